/**
 * The clients: a closed loop of `outstanding` slots, each of which draws a plan, runs its steps one after the
 * other and draws the next.
 *
 * A plan leases what it must have for itself: the customer of a session, the product of an update. Who wants
 * the same thing waits for the one before, so that updates of a product take effect in the order in which
 * they were drawn (see generator.ts). Different plans run side by side, and nothing else orders them.
 *
 * Told what was acknowledged before a crash, the driver goes through the same plans again, leaves out what
 * was acknowledged and sends the rest with the same ids: what had committed without an answer is answered
 * from the record.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { SluiceError, type Database } from 'sluicedb'
import { aggregate, sameAggregate } from './dashboard.js'
import { submit, type Plan, type Step, type Workload } from './generator.js'
import type { Ledger } from './ledger.js'
import { dashboard } from './seller.js'

export const transactionTypes = [
  'addItem',
  'checkout',
  'updatePrice',
  'updateProduct',
  'deleteProduct',
  'delivery',
  'dashboard',
] as const
export type TransactionType = (typeof transactionTypes)[number]

export const outcomes = ['committed', 'repeated', 'refused', 'read', 'torn'] as const
/**
 * `repeated`: had committed before, and was answered from the record. `read`: a dashboard, which commits
 * nothing; `torn`: one whose two queries did not agree (criterion 8).
 */
export type Outcome = (typeof outcomes)[number]

export interface Acknowledgement {
  readonly plan: number
  readonly step: number
  readonly type: TransactionType
  readonly outcome: Outcome
  readonly microseconds: number
}

export interface DriverOptions {
  readonly db: Database
  readonly workload: Workload
  /** Plans in progress at any time. */
  readonly outstanding: number
  readonly acknowledged: (acknowledgement: Acknowledgement) => void
  /** What was acknowledged before. */
  readonly ledger?: Ledger | undefined
  /** Stops by itself after this plan. */
  readonly plansMax?: number | undefined
}

const retriesMax = 1_000
const retryMs = 2

export class Driver {
  readonly #options: DriverOptions
  readonly #leases = new Map<string, Promise<void>>()
  #stopping = false
  #drawn = 0

  constructor(options: DriverOptions) {
    this.#options = options
  }

  /** The last plan that was begun. */
  get drawn(): number {
    return this.#drawn
  }

  /** Plans in progress are finished, no new one is begun. */
  stop(): void {
    this.#stopping = true
  }

  /**
   * Runs until `stop()` or `plansMax`. Rejects when a transaction ends in a way that the workload does not
   * foresee.
   */
  async run(): Promise<void> {
    const slots: Promise<void>[] = []
    for (let slot = 0; slot < this.#options.outstanding; slot += 1) slots.push(this.#slot())
    await Promise.all(slots)
  }

  async #slot(): Promise<void> {
    const { workload, plansMax = Number.MAX_SAFE_INTEGER } = this.#options
    try {
      while (!this.#stopping && workload.upcoming <= plansMax) {
        const plan = workload.next()
        this.#drawn = plan.plan
        await this.#withLease(plan)
      }
    } catch (error) {
      this.#stopping = true
      throw error
    }
  }

  async #withLease(plan: Plan): Promise<void> {
    const { exclusive } = plan
    if (exclusive === undefined) return this.#run(plan)
    const before = this.#leases.get(exclusive)
    const mine = before ? before.then(() => this.#run(plan)) : this.#run(plan)
    this.#leases.set(exclusive, mine)
    await mine
    if (this.#leases.get(exclusive) === mine) this.#leases.delete(exclusive)
  }

  async #run(plan: Plan): Promise<void> {
    if (plan.kind === 'dashboard') return this.#dashboard(plan)
    const done = this.#options.ledger?.stepsOf(plan.plan) ?? 0
    for (let step = done; step < plan.steps.length; step += 1) await this.#step(plan, step)
  }

  async #step(plan: Plan, step: number): Promise<void> {
    const request = plan.steps[step]!
    const since = performance.now()
    const outcome = await this.#submit(request)
    const microseconds = (performance.now() - since) * 1_000
    const type = request.kind as TransactionType // the population is not part of a plan
    this.#options.acknowledged({ plan: plan.plan, step, type, outcome, microseconds })
  }

  async #submit(request: Step): Promise<Outcome> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const receipt = await submit(this.#options.db, request)
        return receipt.repeated ? 'repeated' : 'committed'
      } catch (error) {
        if (SluiceError.is(error, 'ABORTED') && mayBeRefused(request)) return 'refused'
        if (!SluiceError.is(error, 'OVERLOADED') || attempt === retriesMax) throw error
        await pause(retryMs)
      }
    }
  }

  async #dashboard(plan: Plan): Promise<void> {
    const since = performance.now()
    const { totals, entries } = await this.#options.db.call(dashboard, { seller: plan.seller })
    const microseconds = (performance.now() - since) * 1_000
    const outcome = sameAggregate(totals, aggregate(entries)) ? 'read' : 'torn'
    this.#options.acknowledged({ plan: plan.plan, step: 0, type: 'dashboard', outcome, microseconds })
  }
}

/** A product may be deleted between two plans that run side by side, and then nothing of a cart may be left. */
function mayBeRefused(request: Step): boolean {
  return request.kind === 'checkout' || request.kind === 'addItem'
}
