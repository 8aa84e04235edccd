/**
 * Criterion 12, from the log: everything acknowledged is there, once; nothing is half done; the rows are what
 * the log says.
 *
 *  - Each acknowledged commit is in the log exactly once, and no acknowledged refusal is. Every invoice that a
 *    subscriber has seen has its checkout in the log.
 *  - The steps of a plan in the log are a prefix of the plan: each was sent only after the one before was
 *    acknowledged.
 *  - Every checkout in the log carries all its parts in one commit. Positions rise, time never runs back.
 *  - Folding the changes of the log (plus after, minus before) ends at the hash of the rows in the tables, times
 *    included.
 */
import type { Commit, Database, Position, Snapshot } from 'sluicedb'
import { mark } from './customer.js'
import { Fingerprint, fingerprintOf } from './fingerprint.js'
import { addressOf } from './generator.js'
import type { Ledger } from './ledger.js'
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
  /** One bit per step. */
  #present = new Uint16Array(1_024)
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
    if (commit.requestId === undefined || empty) return
    if (commit.procedure === 'cart.checkout') this.#judgeCheckout(commit)
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
    if (plan >= this.#present.length) {
      const grown = new Uint16Array(Math.max(plan + 1, 2 * this.#present.length))
      grown.set(this.#present)
      this.#present = grown
    }
    this.#plans = Math.max(this.#plans, plan + 1)
    const bit = 1 << step
    this.verdict.expect((this.#present[plan]! & bit) === 0, () => `request ${id} is in the log twice`)
    this.#present[plan]! |= bit
    if (procedure === 'cart.checkout') this.#checkedOut.add(plan)
  }

  #judgePlan(plan: number): void {
    const present = this.#present[plan] ?? 0
    const acknowledged = this.#ledger.stepsOf(plan)
    const refused = this.#ledger.refusedLast(plan)
    const expected = refused ? acknowledged - 1 : acknowledged
    for (let step = 0; step < expected; step += 1) {
      this.verdict.expect((present & (1 << step)) !== 0, () => `${plan}.${step} was acknowledged and is gone`)
    }
    const count = 32 - Math.clz32(present)
    this.verdict.expect(
      present === (1 << count) - 1,
      () => `plan ${plan} has steps ${present.toString(2)} (bits): not a prefix`,
    )
    this.verdict.expect(
      !refused || count <= expected,
      () => `${plan}.${acknowledged - 1} was refused and is in the log`,
    )
    this.verdict.expect(
      !this.#ledger.hasSeen(plan) || this.#checkedOut.has(plan),
      () => `the invoice of plan ${plan} was seen and is gone`,
    )
    this.#inDoubt += Math.max(0, count - expected)
  }

  #judgeCheckout(commit: Commit): void {
    const written: Record<string, number> = {}
    for (const change of commit.changes) {
      const name = `${change.kind} ${change.table}`
      written[name] = (written[name] ?? 0) + 1
    }
    const items = written['insert order.item'] ?? 0
    const whole =
      items >= 1 &&
      written['insert order.order'] === 1 &&
      written['insert order.history'] === 1 &&
      written['insert shipment.shipment'] === 1 &&
      (written['insert payment.payment'] ?? 0) >= 1 &&
      written['insert shipment.package'] === items &&
      written['insert seller.entry'] === items &&
      written['update stock.item'] === items &&
      (written['delete cart.item'] ?? 0) >= items
    this.verdict.expect(whole, () => `checkout ${commit.requestId} is half done: ${JSON.stringify(written)}`)
  }
}
