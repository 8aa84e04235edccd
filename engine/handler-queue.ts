/**
 * One handler that runs after the commit: follows the log for its event, and has each one handled exactly once (R61).
 *
 *   log ──► follower ──► deliveries, in log order ──► by key: one at a time, in order ──► a call with the id handler:place
 *                              └─ those at the front that are done move the cursor
 *
 * Invariants:
 *   Q1  Of one key at most one call is in flight, and the next begins when its outcome is known: order per key.
 *   Q2  The cursor stands before every delivery that is not done. Whatever lies behind it is delivered again after a restart, and finds
 *       the outcome that is recorded under its id: exactly once.
 *   Q3  At most `handlerEventsAheadMax` events are taken and not done, so the ids that must be kept are few.
 *
 * How an event ends: with a commit; or with an outcome that is recorded (it aborted, broke a constraint, threw). That one is final: it
 * is counted, told to whoever listens, and the next event of the key has its turn, for a handler that cannot handle one event must not
 * stop those behind it for ever. What may pass (the queue is full, the disk is full, memory ran out) is tried again, with pauses.
 *
 * The cursor moves beside calls that are under way anyhow: at most once per batch, and no batch is made for it alone unless it has
 * fallen far behind.
 */
import type { SubmitOptions } from './admission.js'
import { ByteWriter } from './base/bytes.js'
import { isDiskFull, isTheEnd, SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { Engine } from './database.js'
import type { HandlerProgram, PartitionValue } from './schema/descriptor.js'
import { type HandlerSource, sourceOf } from './handler-source.js'
import { LogPump, pauseMs, readOn } from './log-pump.js'
import { cursorId, endOfBatch, eventId, type HandlerCursor, isBefore } from './schema/handler-ids.js'
import { partitionOfAnswer } from './schema/placement.js'
import { unplaced } from './shared/request-ring.js'
import type { DecodedTransaction, FrameFilter } from './stream/frame-decoder.js'
import type { HandlerInput } from './txn/handler-call.js'
import type { LogFollower } from './stream/log-follower.js'

export interface HandlerFailure {
  /** Full name: `'bank.note'`. */
  readonly handler: string
  /** Of the transaction that emitted the event. */
  readonly batch: number
  readonly index: number
  readonly event: { readonly type: string; readonly payload: Readonly<Record<string, unknown>> }
  readonly error: SluiceError
}

export interface HandlerState {
  readonly name: string
  readonly event: string
  readonly handled: number
  readonly failed: number
  readonly retried: number
  /** Taken from the log and not done. */
  readonly waiting: number
  /** It has events to take, or to handle. */
  readonly isBehind: boolean
  readonly cursor: HandlerCursor
  /** Why it does not go on. */
  readonly stopped: SluiceError | undefined
}

export interface HandlerQueueParts {
  readonly engine: Engine
  readonly handler: HandlerProgram
  /** Ordinals of its procedure, and of the one that notes cursors. */
  readonly procedure: number
  readonly cursorProcedure: number
  readonly cursor: HandlerCursor
  readonly follow: (filter: FrameFilter, after: HandlerCursor) => LogFollower
  readonly onFailure: (failure: HandlerFailure) => void
}

interface Delivery {
  readonly batch: number
  readonly index: number
  /** Place among the events of this type that its transaction emitted. */
  readonly number: number
  readonly time: number
  readonly payload: Readonly<Record<string, unknown>>
  readonly key: string
  readonly partition: number
  attempt: number
  pauses: number
  isDone: boolean
}

export class HandlerQueue {
  readonly #parts: HandlerQueueParts
  readonly #source: HandlerSource
  readonly #writer = new ByteWriter(256)
  readonly #pump: LogPump
  readonly #follower: LogFollower
  readonly #deliveries: Delivery[] = []
  /** Deliveries of a key that wait for the one in flight. */
  readonly #keys = new Map<string, Delivery[]>()
  readonly #read: DecodedTransaction[] = []
  #cursor: HandlerCursor
  /** Everything up to here is done. */
  #reached: HandlerCursor
  #isMoving = false
  #stopped: SluiceError | undefined
  #handled = 0
  #failed = 0
  #retried = 0
  #doneSinceMove = 0

  constructor(parts: HandlerQueueParts) {
    const { engine, handler, cursor } = parts
    this.#parts = parts
    this.#source = sourceOf(engine, handler)
    this.#cursor = cursor
    this.#reached = cursor
    this.#pump = new LogPump(engine, () => this.#look(), (error) => this.#stop(error))
    this.#follower = parts.follow(this.#source.filter, cursor)
  }

  get name(): string {
    return this.#parts.handler.name
  }
  get cursor(): HandlerCursor {
    return this.#cursor
  }
  get state(): HandlerState {
    const { name } = this
    const isBehind = this.#deliveries.length > 0 || (this.#stopped === undefined && (this.#pump.isLooking || this.#follower.isBehind()))
    return { name, event: this.#source.event, handled: this.#handled, failed: this.#failed, retried: this.#retried, waiting: this.#deliveries.length, isBehind, cursor: this.#cursor, stopped: this.#stopped }
  }

  start(): void {
    this.#pump.start()
  }

  close(): void {
    this.#pump.close()
    this.#follower.close()
  }

  // ── taking events from the log ────────────────────────────────────────────────────────────────────────

  async #look(): Promise<void> {
    while (this.#mayTake && this.#follower.isBehind()) {
      this.#read.length = 0
      const isNews = await readOn(this.#follower, limits.handlerEventsAheadMax, this.#read)
      if (this.#pump.isClosed) return
      for (const transaction of this.#read) this.#take(transaction)
      if (!isNews) break
    }
    if (this.#stopped === undefined) this.#moveCursor(false)
  }

  get #mayTake(): boolean {
    return !this.#pump.isClosed && this.#stopped === undefined && this.#deliveries.length < limits.handlerEventsAheadMax // Q3
  }

  #take(transaction: DecodedTransaction): void {
    const { batch, index, time } = transaction
    let number = 0
    for (const payload of this.#source.payloadsOf(transaction)) {
      if (payload === undefined) {
        number += 1
        continue
      }
      let place: { readonly key: string; readonly partition: number } | undefined
      let failure: SluiceError | undefined
      try {
        place = this.#placeOf(payload)
      } catch (error) {
        failure = error as SluiceError
      }
      const delivery: Delivery = { batch, index, number, time, payload, key: place?.key ?? '', partition: place?.partition ?? unplaced, attempt: 1, pauses: 0, isDone: false }
      number += 1
      this.#deliveries.push(delivery)
      if (failure !== undefined) this.#fail(delivery, failure)
      else this.#enqueue(delivery)
    }
  }

  /** Without a partition all events are of one key, and run in the cross-partition lane. */
  #placeOf(payload: Readonly<Record<string, unknown>>): { readonly key: string; readonly partition: number } {
    const { handler, engine } = this.#parts
    const { partition: partitionFunction, name } = handler
    if (this.#source.keyOf !== undefined) return { key: keyTextOf(this.#source.keyOf(payload)), partition: unplaced }
    if (partitionFunction === undefined) return { key: '', partition: unplaced }
    let value: unknown
    try {
      value = partitionFunction(payload as never)
    } catch (cause) {
      throw SluiceError.of('INVALID_INPUT', `The partition function of "${name}" threw.`, { cause, details: { procedure: name } })
    }
    const { partitions } = engine.parts.plan
    const partition = partitionOfAnswer(value, partitions)
    if (partition < 0) {
      throw SluiceError.of('INVALID_INPUT', `The partition function of "${name}" answers text, numbers, bigints, booleans or bytes, or a list of them.`, { details: { procedure: name } })
    }
    return { key: keyTextOf(Array.isArray(value) ? value : [value]), partition }
  }

  // ── one after the other, by key ───────────────────────────────────────────────────────────────────────

  #enqueue(delivery: Delivery): void {
    const waiting = this.#keys.get(delivery.key)
    if (waiting !== undefined) waiting.push(delivery) // Q1
    else {
      this.#keys.set(delivery.key, [])
      this.#handIn(delivery)
    }
  }

  #handIn(delivery: Delivery): void {
    if (this.#pump.isClosed || this.#stopped !== undefined) return
    const { engine, procedure } = this.#parts
    const { batch, index, number, time, payload, partition, attempt } = delivery
    const options: SubmitOptions = { id: eventId(this.name, delivery, number, attempt), isOwn: true, partition, whenFull: 'wait' }
    try {
      const input: HandlerInput = { batch, index, time, payload: this.#encoded(payload) }
      engine.submit(procedure, input, { done: () => this.#done(delivery), failed: (_index, error) => this.#ended(delivery, error) }, 0, options)
      this.#moveCursor(true)
    } catch (error) {
      this.#ended(delivery, error as SluiceError)
    }
  }

  #encoded(payload: Delivery['payload']): Uint8Array {
    this.#writer.reset()
    this.#source.codec.encode(payload, this.#writer)
    return this.#writer.copy()
  }

  #done(delivery: Delivery): void {
    this.#handled += 1
    this.#finish(delivery)
  }

  #ended(delivery: Delivery, error: SluiceError): void {
    if (isTheEnd(error)) {
      this.#stop(error)
      return
    }
    const isMemoryFull = error.code === 'OUT_OF_SPACE' && !isDiskFull(error)
    // A call never conflicts with others, only with what it expects itself (an aggregate's version): its outcome is recorded, and stays.
    if ((error.retryable && error.code !== 'CONFLICT') || isDiskFull(error)) this.#again(delivery)
    else if (isMemoryFull && delivery.attempt < limits.handlerAttemptsMax) {
      delivery.attempt += 1 // the outcome of the last one is recorded
      this.#again(delivery)
    } else {
      this.#fail(delivery, error)
      this.#next(delivery)
    }
  }

  #again(delivery: Delivery): void {
    const ms = pauseMs(delivery.pauses)
    delivery.pauses += 1
    this.#retried += 1
    this.#pump.later(ms, () => this.#handIn(delivery))
  }

  /** For good. */
  #fail(delivery: Delivery, error: SluiceError): void {
    const { batch, index, payload } = delivery
    this.#failed += 1
    delivery.isDone = true
    this.#parts.onFailure({ handler: this.name, batch, index, event: { type: this.#source.event, payload }, error })
  }

  #finish(delivery: Delivery): void {
    delivery.isDone = true
    this.#next(delivery)
  }

  #next({ key }: Delivery): void {
    const waiting = this.#keys.get(key)
    const next = waiting?.shift()
    if (next === undefined) this.#keys.delete(key)
    else this.#handIn(next)
    this.#takeAway()
    if (this.#deliveries.length < limits.handlerEventsAheadMax / 2) this.#pump.advance()
  }

  // ── the cursor ────────────────────────────────────────────────────────────────────────────────────────

  /** Those at the front that are done (Q2). */
  #takeAway(): void {
    const list = this.#deliveries
    let count = 0
    while (count < list.length && list[count]!.isDone) count += 1
    if (count === 0) return
    const last = list[count - 1]!
    const next = list[count]
    this.#doneSinceMove += count
    list.splice(0, count)
    // A transaction that emitted several is passed with the last of them.
    if (next === undefined || next.batch !== last.batch || next.index !== last.index) this.#reached = last
    else if (next.index > 0) this.#reached = { batch: last.batch, index: last.index - 1 }
  }

  /** `isUnderWay`: a call is being handed in, in whose batch the move finds its place. */
  #moveCursor(isUnderWay: boolean): void {
    this.#takeAway()
    if (this.#deliveries.length === 0 && this.#follower.batch > this.#reached.batch) this.#reached = { batch: this.#follower.batch, index: endOfBatch }
    const to = this.#reached
    if (this.#isMoving || this.#pump.isClosed || !isBefore(this.#cursor, to)) return
    const isFar = this.#doneSinceMove >= limits.handlerEventsAheadMax || to.batch - this.#cursor.batch >= limits.handlerCursorBatchesMax
    if (!isFar && !(isUnderWay && this.#doneSinceMove > 0)) return
    const { engine } = this.#parts
    this.#isMoving = true
    this.#doneSinceMove = 0
    const settled = (moved: boolean): void => {
      this.#isMoving = false
      if (moved) this.#cursor = to
    }
    noteCursor(engine, this.#parts.cursorProcedure, this.name, to).then(
      () => settled(true),
      () => settled(false), // another time: the ids are kept until then
    )
  }

  #stop(error: unknown): void {
    if (this.#pump.isClosed || this.#stopped !== undefined) return
    this.#stopped = SluiceError.is(error) ? error : SluiceError.of('LOG_CORRUPT', `Handler "${this.name}" could not read the log: ${String(error)}`, { cause: error })
    this.#follower.close()
  }
}

/** Notes durably how far a handler has come, and a mark, where it needs one. */
export function noteCursor(engine: Engine, procedure: number, handler: string, { batch, index }: HandlerCursor, mark: string | null = null): Promise<void> {
  return new Promise((resolve, reject: (error: unknown) => void) => {
    try {
      engine.submit(procedure, { batch, index, mark }, { done: () => resolve(), failed: (_index, error) => reject(error) }, 0, { id: cursorId(handler), isOwn: true, partition: 0, whenFull: 'wait' })
    } catch (error) {
      reject(error)
    }
  })
}

/** Keys that are the same are the same text. */
export const keyTextOf = (values: readonly unknown[]): string => (values as readonly PartitionValue[]).map(keyText).join('\0')

/** Values that place a row alike are one key, so 5 and 5n are (schema/placement.ts). */
function keyText(value: PartitionValue): string {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`
  return `${typeof value === 'bigint' ? 'number' : typeof value} ${String(value)}`
}
