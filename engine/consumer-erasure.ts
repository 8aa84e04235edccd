/**
 * What consumers know of an erasure that is under way.
 *
 * A consumer has commits in memory, read before the erasure began, and would write them into the table of what is parked behind the erasure's
 * back. So those that hold the subject are *stale* from the beginning of the erasure on: they are neither handed out nor parked before it has
 * ended, and then as the log has them.
 */
import { type ErasurePlan, holdsSubject, mentions, type Subject, subjectOf } from './schema/erasure-plan.js'
import type { DecodedTransaction } from './stream/frame-decoder.js'

export class ConsumerErasure {
  readonly #plan: ErasurePlan
  readonly #subject: Subject
  /** Resolves when it has ended: true where it has erased, false where it was refused. */
  readonly over: Promise<boolean>
  end!: (hasErased: boolean) => void

  constructor(plan: ErasurePlan) {
    this.#plan = plan
    this.#subject = subjectOf(plan.subject)
    this.over = new Promise((resolve) => (this.end = resolve))
  }

  concerns(transaction: DecodedTransaction, keyValue: unknown): boolean {
    return this.names(keyValue) || holdsSubject(this.#plan, transaction)
  }
  /** The key of a delivery, or what its handler said. */
  names(value: unknown): boolean {
    return mentions(value, this.#subject)
  }
}
