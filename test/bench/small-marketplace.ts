/**
 * A marketplace small enough to be broken in many ways in a second: four sellers, forty products, twenty
 * customers.
 */
import { open, type App, type Commit, type Database, type RowOf } from 'sluicedb'
import { addItem } from '../../bench/workloads/marketplace/cart.js'
import { Driver, type Acknowledgement } from '../../bench/workloads/marketplace/driver.js'
import { submit, Workload, type WorkloadOptions } from '../../bench/workloads/marketplace/generator.js'
import { Ledger } from '../../bench/workloads/marketplace/ledger.js'
import { readLog } from '../../bench/workloads/marketplace/log.js'
import { order } from '../../bench/workloads/marketplace/order.js'
import type { Criterion, Finding } from '../../bench/workloads/marketplace/verdict.js'

export const smallWorkload: WorkloadOptions = {
  seed: 7,
  customers: 20,
  products: 40,
  quantity: 10_000,
  skew: 0,
}

export async function populate(db: Database, workload = smallWorkload): Promise<void> {
  await Promise.all(Array.from(new Workload(workload).population(), (step) => submit(db, step)))
}

export interface Run {
  readonly db: Database
  readonly ledger: Ledger
  readonly acknowledgements: readonly Acknowledgement[]
  readonly plans: number
}

/** Populates a database in memory and runs the first plans of the workload. */
export async function smallRun(application: App, plansMax = 80, workload = smallWorkload): Promise<Run> {
  const db = await open(application, { workers: 0, memory: { bytes: 256 * 2 ** 20 } })
  await populate(db, workload)
  return { db, plans: plansMax, ...(await drive(db, plansMax, workload)) }
}

export async function drive(db: Database, plansMax: number, workload = smallWorkload, before = new Ledger()) {
  const acknowledgements: Acknowledgement[] = []
  const driver = new Driver({
    db,
    workload: new Workload(workload),
    outstanding: 8,
    plansMax,
    ledger: before,
    acknowledged: (acknowledgement) => {
      acknowledgements.push(acknowledgement)
      const { plan, step, type, outcome } = acknowledgement
      if (type !== 'dashboard') before.acknowledge(plan, step, outcome === 'refused')
    },
  })
  await driver.run()
  return { ledger: before, acknowledgements }
}

/** Leaves lines in the cart of one customer: after a whole run all carts may be empty. */
export async function leaveCart(db: Database, customer = 3): Promise<void> {
  for (const product of [2, 15, 33]) {
    const seller = Math.floor(product / 10)
    await db.submit(addItem, {
      customer,
      seller,
      product,
      quantity: 2,
      voucherPercent: 10,
      instance: 1_000_000 + product,
    })
  }
}

export async function commitsOf(db: Database): Promise<Commit[]> {
  const commits: Commit[] = []
  await readLog(db, [{ visit: (commit) => void commits.push(commit) }])
  return commits
}

/** What was found of a criterion; nothing, where nobody looked. */
export function findingOf(findings: readonly Finding[], criterion: Criterion): Finding {
  return (
    findings.find((finding) => finding.criterion === criterion) ?? {
      criterion,
      checked: 0,
      violations: 0,
      examples: [],
    }
  )
}

/** Some order that was paid: the one with the most items, so that there is something to take away. */
export function someOrder(db: Database): Readonly<RowOf<typeof order.tables.order>> {
  const orders = [...db.table(order.tables.order)].filter((row) => row.status !== 'PAYMENT_FAILED')
  return orders.reduce((most, next) => (next.countItems > most.countItems ? next : most))
}
