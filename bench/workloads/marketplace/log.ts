/**
 * Criterion 12, from the log: everything acknowledged is there, once; nothing is half done; the rows are what
 * the log says.
 *
 *  - Each acknowledged commit is in the log exactly once, and no acknowledged refusal is. Every invoice that a
 *    subscriber has seen has its checkout in the log.
 *  - The steps of a plan in the log, refused ones included, are a prefix of the plan: each was sent only after the
 *    one before was acknowledged.
 *  - Every checkout in the log carries all its parts in one commit, paid or not, and so does every delivery. Positions rise, time never runs back.
 *  - Folding the changes of the log (plus after, minus before) ends at the hash of the rows in the tables, times
 *    included.
 */
import type { Commit, Database, Position, Snapshot } from 'sluicedb'
import { customer, mark } from './customer.js'
import { Fingerprint, fingerprintOf } from './fingerprint.js'
import { addressOf } from './generator.js'
import type { Ledger } from './ledger.js'
import { payment } from './payment.js'
import { shipment } from './shipment.js'
import { Verdict } from './verdict.js'

export interface LogVisitor {
  visit(commit: Commit): void | Promise<void>
}

const quietMsMax = 120_000

/** Shows every commit so far to the visitors, in log order. Returns how many there were. */
export async function readLog(db: Database, visitors: readonly LogVisitor[]): Promise<number> {
  const { position: end } = await db.submit(mark, { label: 'read the log up to here' })
  let commits = 0
  for await (const commit of db.changes({ from: 'beginning', signal: AbortSignal.timeout(quietMsMax) })) {
    if (commit.position >= end) return commits
    commits += 1
    for (const visitor of visitors) {
      const pending = visitor.visit(commit)
      if (pending) await pending
    }
  }
  throw new Error(`The stream of changes ended before ${end}, after ${commits} commits.`)
}

export class DurabilityAudit implements LogVisitor {
  readonly verdict = new Verdict(12)
  readonly #ledger: Ledger
  readonly #populationLeft: Set<string>
  readonly #folded = new Fingerprint()
  /** One bit per step: committed, and refused. */
  #present = new Uint16Array(1_024)
  #refused = new Uint16Array(1_024)
  readonly #checkedOut = new Set<number>()
  #plans = 0
  #position: Position | undefined
  #time = 0
  #inDoubt = 0

  constructor(ledger: Ledger, population: Iterable<{ readonly id: string }>) {
    this.#ledger = ledger
    this.#populationLeft = new Set(Array.from(population, (step) => step.id))
  }

  /** Commits that were in the log although their answer had not arrived. */
  get inDoubt(): number {
    return this.#inDoubt
  }

  visit(commit: Commit): void {
    const { verdict } = this
    verdict.expect(this.#position === undefined || this.#position < commit.position, () => {
      return `position ${commit.position} comes after ${this.#position}`
    })
    verdict.expect(this.#time <= commit.time, () => `time runs back to ${commit.time} at ${commit.position}`)
    this.#position = commit.position
    this.#time = commit.time

    for (const change of commit.changes) {
      if (change.before) this.#folded.remove(change.table, change.before)
      if (change.after) this.#folded.add(change.table, change.after)
    }
    const empty = commit.changes.length === 0 && commit.events.length === 0 // the recorded outcome of a refusal
    if (commit.requestId === undefined) return
    if (empty) {
      const address = addressOf(commit.requestId)
      if (!address) return
      this.#reach(address.plan)
      this.#refused[address.plan]! |= 1 << address.step
      return
    }
    if (commit.procedure === 'cart.checkout') this.#judgeCheckout(commit)
    if (commit.procedure === 'shipment.updateDelivery') this.#judgeDelivery(commit)
    this.#note(commit.requestId, commit.procedure)
  }

  /** After the last commit: what is missing, and whether the rows agree with the log. */
  finish(snapshot: Snapshot): void {
    const { verdict } = this
    verdict.expect(
      this.#populationLeft.size === 0,
      () => `${this.#populationLeft.size} requests of the population are missing`,
    )
    for (let plan = 1; plan < Math.max(this.#plans, this.#ledger.plans); plan += 1) this.#judgePlan(plan)
    const rows = fingerprintOf(snapshot)
    verdict.expect(rows.full === this.#folded.full && rows.rows === this.#folded.rows, () => {
      const { rows: counted, full } = this.#folded
      return `the log adds up to ${counted} rows (${full}), the tables hold ${rows.rows} (${rows.full})`
    })
  }

  #note(id: string, procedure: string | undefined): void {
    const address = addressOf(id)
    if (!address) {
      this.verdict.expect(
        this.#populationLeft.delete(id),
        () => `request ${id} is in the log twice, or was never made`,
      )
      return
    }
    const { plan, step } = address
    this.#reach(plan)
    const bit = 1 << step
    this.verdict.expect((this.#present[plan]! & bit) === 0, () => `request ${id} is in the log twice`)
    this.#present[plan]! |= bit
    if (procedure === 'cart.checkout') this.#checkedOut.add(plan)
  }

  #reach(plan: number): void {
    this.#plans = Math.max(this.#plans, plan + 1)
    if (plan < this.#present.length) return
    const grow = (bits: Uint16Array<ArrayBuffer>): Uint16Array<ArrayBuffer> => {
      const grown = new Uint16Array(Math.max(plan + 1, 2 * bits.length))
      grown.set(bits)
      return grown
    }
    this.#present = grow(this.#present)
    this.#refused = grow(this.#refused)
  }

  #judgePlan(plan: number): void {
    const present = this.#present[plan] ?? 0
    const acknowledged = this.#ledger.stepsOf(plan)
    const refused = this.#ledger.refusedSteps(plan)
    for (let step = 0; step < acknowledged; step += 1) {
      const isRefused = (refused & (1 << step)) !== 0
      this.verdict.expect(((present & (1 << step)) !== 0) !== isRefused, () => {
        return `${plan}.${step} was ${isRefused ? 'refused and is in the log' : 'acknowledged and is gone'}`
      })
    }
    const met = present | (this.#refused[plan] ?? 0) | refused
    const count = 32 - Math.clz32(met)
    this.verdict.expect(
      met === (1 << count) - 1,
      () => `plan ${plan} has steps ${met.toString(2)} (bits): not a prefix`,
    )
    this.verdict.expect(
      !this.#ledger.hasSeen(plan) || this.#checkedOut.has(plan),
      () => `the invoice of plan ${plan} was seen and is gone`,
    )
    this.#inDoubt += bitsIn(present >> acknowledged)
  }

  #judgeCheckout(commit: Commit): void {
    const written = countChanges(commit)
    const items = written('insert order.item')
    const isPaid = !commit.events.some((event) => payment.events.paymentFailed.is(event))
    const whole =
      items >= 1 &&
      written('insert order.order') === 1 &&
      written('insert order.history') === (isPaid ? 3 : 2) &&
      written('insert shipment.shipment') === (isPaid ? 1 : 0) &&
      written('insert payment.payment') >= 1 &&
      written('insert shipment.package') === (isPaid ? items : 0) &&
      written('insert seller.entry') === items &&
      (isPaid ? written('update stock.item') === items : written('update stock.item') <= items) &&
      written('update customer.customer') === 1 &&
      written('update cart.cart') === 1 &&
      written('delete cart.item') >= items
    this.verdict.expect(whole, () => {
      return `checkout ${commit.requestId} (${isPaid ? 'paid' : 'not paid'}) is half done: ${describeChanges(commit)}`
    })
  }

  #judgeDelivery(commit: Commit): void {
    const written = countChanges(commit)
    const packages = written('update shipment.package')
    let counted = 0
    for (const change of commit.changes) {
      if (customer.tables.customer.is(change) && change.kind === 'update')
        counted += change.after.deliveryCount - change.before.deliveryCount
    }
    let notices = 0
    for (const event of commit.events) {
      if (shipment.events.shipmentUpdated.is(event)) notices += event.payload.shipments.length
    }
    const whole =
      counted === packages &&
      written('update seller.entry') >= packages &&
      written('insert order.history') === notices &&
      written('update order.order') <= notices
    this.verdict.expect(whole, () => `delivery ${commit.requestId} is half done: ${describeChanges(commit)}`)
  }
}

function tally(commit: Commit): Map<string, number> {
  const written = new Map<string, number>()
  for (const { kind, table } of commit.changes) {
    const name = `${kind} ${table}`
    written.set(name, (written.get(name) ?? 0) + 1)
  }
  return written
}

function countChanges(commit: Commit): (name: string) => number {
  const written = tally(commit)
  return (name) => written.get(name) ?? 0
}

function describeChanges(commit: Commit): string {
  return JSON.stringify(Object.fromEntries(tally(commit)))
}

function bitsIn(bits: number): number {
  let count = 0
  for (let left = bits; left !== 0; left &= left - 1) count += 1
  return count
}
