/** A TPC-C database that loads in a moment: three warehouses, everything else small. */
import type { Database, OpenOptions, Snapshot } from 'sluicedb'
import { checkConditions, holds, type Finding } from '../../bench/workloads/tpcc/conditions.js'
import { runTransaction } from '../../bench/workloads/tpcc/driver.js'
import { tpccPlan, type TpccPlan } from '../../bench/workloads/tpcc/plan.js'
import type { TpccSettings } from '../../bench/workloads/tpcc/scale.js'
import { RebuiltState, stateOf, type TpccState } from '../../bench/workloads/tpcc/state.js'
import { payment } from '../../bench/workloads/tpcc/transactions.js'
import { canon } from '../support/same.js'

export const smallSettings: TpccSettings = {
  warehouses: 3,
  transactions: 3_000,
  mix: 'standard',
  scale: { items: 200, customers: 60, newOrders: 30 },
  remoteLines: 5,
}

export const smallPlan: TpccPlan = tpccPlan(smallSettings)

/** A longer one, with more to deliver: no district runs out of it, wherever a process is killed. */
export const longPlan: TpccPlan = tpccPlan({ ...smallSettings, transactions: 30_000, scale: { items: 100, customers: 100, newOrders: 90 } })

export const smallOptions: OpenOptions = { partitions: 4, memory: { bytes: 256 * 2 ** 20 } }

export function findingsOf(reader: Snapshot | Database, plan = smallPlan): Finding[] {
  return checkConditions(stateOf(reader), plan.scale)
}

/** What is wrong, in words; empty when all twelve hold. */
export function brokenOf(findings: readonly Finding[]): string[] {
  return findings.filter((finding) => !holds(finding)).map(({ condition, name, violations, checked }) => {
    return `${condition} (${name}), ${checked} checked: ${violations.map(({ key, what }) => `${key.join('/')}: ${what}`).join('; ')}`
  })
}

/** Transactions `from` to before `to` of the plan, `inFlight` at once. Answers how many rolled back. */
export async function runMix(db: Database, from: number, to: number, inFlight = 64, onAnswer = (): void => undefined): Promise<number> {
  let next = from
  let rolledBack = 0
  const caller = async (): Promise<void> => {
    while (next < to) {
      const outcome = await runTransaction(db, smallPlan, next++)
      if (outcome === 'rolledBack') rolledBack += 1
      onAnswer()
    }
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
  return rolledBack
}

/** The rows as the stream of changes tells them, from the first commit to a payment that is made for it. */
export async function rebuild(db: Database): Promise<TpccState> {
  const { position } = await db.submit(payment, { w: 1, d: 1, cw: 1, cd: 1, c: 1, last: null, amount: 100 })
  const rebuilt = new RebuiltState()
  for await (const commit of db.changes({ from: 'beginning', signal: AbortSignal.timeout(60_000) })) {
    rebuilt.take(commit)
    if (commit.position === position) return rebuilt.state
  }
  throw new Error(`The stream of changes ended before ${position}.`)
}

/** Every row of every table, as text in an order of its own. */
export function textOf(state: TpccState): string {
  return Object.entries(state).map(([table, rows]) => `${table}\n${[...rows].map(canon).sort().join('\n')}`).join('\n')
}
