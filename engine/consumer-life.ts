/**
 * One life of a consumer, from where it was opened or reset to where it is reset or closed: what it has taken from the log and is not done, and
 * the mark, which follows what is.
 *
 *   log ──► follower ──► deliveries, in log order ──► those at the front that are done ──► reached ──► the mark (consumer-record.ts), now and then
 *
 * Invariants:
 *   G3  At most `consumerCommitsAheadMax` commits are taken and not done; a handler that does not end holds these, and nobody else.
 *   G6  Reached is behind no delivery that is not done, and behind nothing that was read and not taken. A reset alone takes it back.
 *
 * The mark moves beside a call that is under way, after some commits, after some time.
 */
import { messageOf, SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import { type ConsumerDelivery, weightOf } from './consumer-delivery.js'
import type { ConsumerRecord } from './consumer-record.js'
import type { LogPump } from './log-pump.js'
import { type HandlerCursor, isBefore } from './schema/handler-ids.js'
import type { DecodedTransaction } from './stream/frame-decoder.js'
import type { LogFollower } from './stream/log-follower.js'

export interface ConsumerLifeParts {
  readonly record: ConsumerRecord
  readonly pump: LogPump
  readonly follower: LogFollower
  readonly from: HandlerCursor
  /** It does not go on by itself. Told once. */
  readonly stopped: (error: SluiceError) => void
  /** It has come further, or it has stopped. */
  readonly moved: () => void
}

export class ConsumerLife {
  /** Nothing begins: it is over, or the consumer is being reset. */
  isStill = false
  readonly #parts: ConsumerLifeParts
  #deliveries: ConsumerDelivery[] = []
  #changesAhead = 0
  #reached: HandlerCursor
  /** All up to here was read and taken. */
  #taken: HandlerCursor
  #doneSinceMark = 0
  #isMarkDue = false
  #isOver = false
  #stopped: SluiceError | undefined

  constructor(parts: ConsumerLifeParts) {
    this.#parts = parts
    this.#reached = parts.from
    this.#taken = parts.follower.place
  }

  get follower(): LogFollower {
    return this.#parts.follower
  }
  /** Taken and not done, and what is done behind it. */
  get deliveries(): readonly ConsumerDelivery[] {
    return this.#deliveries
  }
  get reached(): HandlerCursor {
    return this.#reached
  }
  /** What comes to its end now is of no account. */
  get isOver(): boolean {
    return this.#isOver
  }
  get stopped(): SluiceError | undefined {
    return this.#stopped
  }
  /** Nothing up to a place is to come any more from the log: it is done, or nobody has asked for it. */
  hasPassed(place: HandlerCursor): boolean {
    const first = this.#deliveries.find(({ isDone }) => !isDone)
    return first === undefined ? !isBefore(this.#taken, place) : isBefore(place, first.place)
  }
  get isFull(): boolean {
    return this.#deliveries.length >= limits.consumerCommitsAheadMax || this.#changesAhead >= limits.consumerChangesAheadMax // G3
  }

  // ── what is taken ─────────────────────────────────────────────────────────────────────────────────────

  take(delivery: ConsumerDelivery): void {
    this.#deliveries.push(delivery)
    this.#changesAhead += weightOf(delivery.transaction)
  }

  /** All that the follower has read is taken. */
  hasTaken(): void {
    this.#taken = this.#parts.follower.place
  }

  /** A delivery was read again. */
  freshen(delivery: ConsumerDelivery, transaction: DecodedTransaction): void {
    if (!delivery.isParked) this.#changesAhead += weightOf(transaction) - weightOf(delivery.transaction)
    delivery.transaction = transaction
  }

  /** Something is done. */
  goOn(): void {
    this.moveMark(false)
    if (this.#deliveries.length < limits.consumerCommitsAheadMax / 2) this.#parts.pump.advance()
  }

  #takeAway(): void {
    const list = this.#deliveries
    let count = 0
    while (count < list.length && list[count]!.isDone) {
      this.#changesAhead -= weightOf(list[count]!.transaction)
      count += 1
    }
    if (count > 0) {
      this.#reached = list[count - 1]!.place
      this.#doneSinceMark += count
      list.splice(0, count)
    }
    if (list.length === 0 && this.#taken.batch > this.#reached.batch) this.#reached = this.#taken // G6
  }

  // ── the mark ──────────────────────────────────────────────────────────────────────────────────────────

  /** `isUnderWay`: a call is being handed in, in whose batch the mark finds its place. */
  moveMark(isUnderWay: boolean): void {
    this.#takeAway()
    this.#parts.moved()
    const { record, pump } = this.#parts
    if (record.isMarking || this.isStill || !isBefore(record.mark, this.#reached)) return
    const isFar = this.#doneSinceMark >= limits.consumerMarkCommits || batchesBetween(record.mark.batch, this.#reached.batch) >= limits.consumerMarkBatches
    if (isFar || (isUnderWay && this.#doneSinceMark > 0)) void this.#noteReached()
    else if (!this.#isMarkDue && this.#doneSinceMark > 0) {
      this.#isMarkDue = true
      pump.later(limits.consumerMarkMs, () => {
        this.#isMarkDue = false
        if (!record.isMarking && !this.isStill && isBefore(record.mark, this.#reached)) void this.#noteReached()
      })
    }
  }

  /** When it could not be noted: another time, more is delivered again until then. */
  async #noteReached(): Promise<boolean> {
    const { record } = this.#parts
    this.#doneSinceMark = 0
    return await record.note(() => ({ ...record.mark, batch: this.#reached.batch, index: this.#reached.index }))
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  /** It does not go on: the log could not be read, or nothing is written any more. */
  stop(error: unknown): void {
    const { record, follower, stopped, moved } = this.#parts
    if (this.#isOver || this.#stopped !== undefined) return
    this.#stopped = SluiceError.is(error) ? error : SluiceError.of('LOG_CORRUPT', `Consumer "${record.name}" could not read the log: ${messageOf(error)}`, { cause: error })
    follower.close()
    if (!SluiceError.is(error, 'DATABASE_CLOSED')) stopped(this.#stopped)
    moved()
  }

  /** Nothing of it moves the mark any more. */
  end(): void {
    this.isStill = this.#isOver = true
    this.#parts.follower.close()
  }

  /** Over for good: what it has reached is noted, as well as that can be done. */
  async close(): Promise<void> {
    const isResetting = this.isStill
    this.#takeAway()
    this.end()
    if (isBefore(this.#parts.record.mark, this.#reached) && this.#stopped === undefined && !isResetting) await this.#noteReached()
  }
}

/** Batches between two of them; openings that lie between count as one batch each at least. */
export function batchesBetween(from: number, to: number): number {
  const life = 2 ** 24
  const lives = Math.floor(to / life) - Math.floor(from / life)
  return lives === 0 ? to - from : (to % life) + lives
}
