/**
 * How calls get in: checked, encoded, placed, and written into the ring; or refused, or told to wait until there is room.
 *
 *   single calls     at most `queue.calls` are in flight. One more is OVERLOADED, or stands in the line (`whenFull`), whose own
 *                    bounds are in limits.ts. Nobody overtakes the line.
 *   many calls       feeders have a share of their own, which they divide. It is two batches while nobody else calls, and less beside
 *                    single calls, and for a while after one: what stands before a single call in the ring is what it waits for.
 *
 * Room comes with answers: then the line and the feeders are served in turns.
 *
 * A call can be withdrawn (R46) while it stands in the line and while no batch has taken it. Its deadline is written into the
 * ring too: a sequencer that meets it later than that turns it away, however long main was busy with something else.
 */
import { ByteWriter } from './base/bytes.js'
import type { Environment } from './base/environment.js'
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import { type Caller, CallTable } from './call-table.js'
import type { Program } from './schema/descriptor.js'
import { partitionOfAnswer, partitionsOfAnswer } from './schema/placement.js'
import { compileRecordCodec, type PlainRecord, type RecordCodec } from './schema/record-codec.js'
import { enginePrefix, isEngineId } from './schema/handler-ids.js'
import type { Control } from './shared/control.js'
import { neverWithdrawn, noDeadline, type RequestRing, unplaced } from './shared/request-ring.js'
import { lateError } from './txn/outcome.js'

export type WhenFull = 'refuse' | 'wait'

export interface QueueOptions {
  /** Single calls in flight, at most. */
  readonly calls: number
  readonly whenFull: WhenFull
}
export const defaultQueue: QueueOptions = { calls: limits.callsInFlightMax, whenFull: 'refuse' }

export interface SubmitOptions {
  readonly id?: string | undefined
  readonly signal?: AbortLike | undefined
  readonly timeoutMs?: number | undefined
  readonly whenFull?: WhenFull | undefined
  /** The id is one of the engine's own. */
  readonly isOwn?: true | undefined
  /** It is of the one who has the database to itself (`Engine.alone`). */
  readonly isAlone?: true | undefined
  /** Where the call is placed, when its procedure does not say it: interactive transactions. */
  readonly partition?: number | undefined
}
export interface AbortLike {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** Many calls of one procedure, handed in as there is room. */
export interface Feed {
  readonly procedure: number
  readonly inputs: readonly unknown[]
  readonly idOf: ((input: never, index: number) => string) | undefined
  readonly signal: AbortLike | undefined
  readonly caller: Caller
}

export interface AdmissionParts {
  readonly program: Program
  readonly control: Control
  readonly requests: RequestRing
  readonly partitions: number
  readonly environment: Environment
  readonly queue: QueueOptions
  /** Something was written into the ring. */
  readonly written: () => void
  /** A call has gone by itself. */
  readonly withdrawn: () => void
  /** Why nothing new is accepted, if so. */
  readonly closed: () => SluiceError | undefined
}

/** A call in the line: encoded, so that what the caller does with its input meanwhile changes nothing. */
interface Waiting {
  readonly procedure: number
  readonly partition: number
  readonly id: Uint8Array | undefined
  readonly input: Uint8Array
  readonly caller: Caller
  readonly index: number
  readonly deadline: number
  watch: Watch | undefined
  isGone: boolean
}

/** What may withdraw a call, and where the call stands: in the line, then in a slot. */
interface Watch {
  slot: number
  offset: number
  waiting: Waiting | undefined
  readonly stop: () => void
}

interface Feeder extends Feed {
  next: number
  readonly end: number
}

export class Admission {
  readonly calls = new CallTable()
  readonly #parts: AdmissionParts
  readonly #inputs: readonly RecordCodec[]
  readonly #writer = new ByteWriter(1_024)
  #isEncoding = false
  readonly #watches: (Watch | undefined)[] = []
  #watched = 0
  #line: Waiting[] = []
  /** Of the line, how many at its front were served, and the bytes of the others. */
  #served = 0
  #lineBytes = 0
  readonly #feeders: Feeder[] = []
  /** Calls of feeders that are in flight. */
  #fed = 0
  /** Calls of feeders since somebody else called: whoever calls one after the other is not there just when room is given away. */
  #fedAlone: number = limits.fedAloneMin
  /** Whoever calls stands in the line, until `letIn`. */
  #isHeld = false

  constructor(parts: AdmissionParts) {
    this.#parts = parts
    this.#inputs = parts.program.procedures.map((p) => compileRecordCodec(p.descriptor, p, `the input of "${p.descriptor.name}"`))
  }

  /** Calls that wait for an answer, or for room. */
  get waiting(): number {
    return this.calls.waiting + this.#line.length - this.#served
  }

  // ── single calls ──────────────────────────────────────────────────────────────────────────────────────

  /** Hands a call in. The caller hears exactly once, unless this throws. */
  submit(procedure: number, input: unknown, caller: Caller, index: number, options: SubmitOptions | undefined): void {
    const { queue } = this.#parts
    this.#fedAlone = 0
    const signal = options?.signal
    if (signal?.aborted === true) throw cancelled(signal.reason)
    const isHeld = this.#isHeld && options?.isAlone !== true
    const mayStand = isHeld || (options?.whenFull ?? queue.whenFull) === 'wait'
    const isFull = this.#isHeld ? isHeld : this.calls.waiting - this.#fed >= queue.calls || this.#line.length > this.#served
    if (isFull && !mayStand) throw overloaded('calls in flight', queue.calls)
    const place = this.#encode(procedure, input)
    const partition = options?.partition ?? place
    const timeoutMs = options?.timeoutMs
    const id = options?.id === undefined ? undefined : idBytes(options.id, options.isOwn)
    const isWatched = signal !== undefined || timeoutMs !== undefined
    const deadline = !isWatched ? neverWithdrawn : timeoutMs === undefined ? noDeadline : this.#parts.environment.monotonicMs() + timeoutMs
    if (!isFull && this.#write(procedure, partition, id, this.#writer.memory, this.#writer.length, caller, index, deadline)) {
      if (isWatched) this.#watch(this.calls.newest, undefined, options!)
    } else if (mayStand) this.#stand(procedure, partition, id, caller, index, deadline, isWatched ? options : undefined)
    else throw overloaded('bytes of waiting requests', limits.requestRingBytes)
  }

  /** Encodes an input into the writer and answers its partition. */
  #encode(procedure: number, input: unknown): number {
    // What an input's getters and the partition function do, they do in the middle of this.
    if (this.#isEncoding) throw SluiceError.of('INVALID_USE', 'The database was called while it was reading the input of another call, from a getter or a partition function: call it before or after.')
    this.#isEncoding = true
    const writer = this.#writer
    writer.reset()
    const { partition, partitions, descriptor } = this.#parts.program.procedures[procedure]!
    const given = input === undefined ? {} : input
    let place = unplaced
    try {
      if (partition === undefined && partitions === undefined) this.#inputs[procedure]!.encode(given, writer)
      // The function sees the input as the procedure will: checked, with defaults.
      else place = this.#place(procedure, this.#inputs[procedure]!.encodeRecord(given, writer))
    } finally {
      this.#isEncoding = false
    }
    if (writer.length > limits.inputBytesMax) {
      throw SluiceError.of('INVALID_INPUT', `The input of "${descriptor.name}" takes ${writer.length} bytes, more than ${limits.inputBytesMax}: pass less, in several calls.`, { details: { bytes: writer.length } })
    }
    return place
  }

  /** Where the functions of a procedure place it: in the lane of a partition, or `unplaced` where they name several. */
  #place(procedure: number, input: PlainRecord): number {
    const { partitions, program } = this.#parts
    const { partition, partitions: several, descriptor } = program.procedures[procedure]!
    const { name } = descriptor
    let answer: unknown
    try {
      answer = partition !== undefined ? partition(input as never) : several!(input as never)
    } catch (cause) {
      throw SluiceError.of('INVALID_INPUT', `The partition function of "${name}" threw.`, { cause, details: { procedure: name } })
    }
    if (partition !== undefined) {
      const place = partitionOfAnswer(answer, partitions)
      if (place >= 0) return place
      throw SluiceError.of('INVALID_INPUT', `The partition function of "${name}" answers text, numbers, bigints, booleans or bytes, or a list of them.`, { details: { procedure: name } })
    }
    const places = partitionsOfAnswer(answer, partitions)
    if (places === undefined) {
      throw SluiceError.of('INVALID_INPUT', `The function partitions of "${name}" answers a list, one entry or more, each of which is what partition would answer.`, { details: { procedure: name } })
    }
    return places.every((place) => place === places[0]) ? places[0]! : unplaced
  }

  /** False when the ring has no room. */
  #write(procedure: number, partition: number, id: Uint8Array | undefined, input: Uint8Array, inputBytes: number, caller: Caller, index: number, deadline: number): boolean {
    const { calls } = this
    const slot = calls.add(caller, index)
    if (!this.#parts.requests.write(slot, procedure, partition, id, input, inputBytes, deadline)) {
      calls.remove(slot)
      return false
    }
    this.#parts.written()
    return true
  }

  // ── the line ──────────────────────────────────────────────────────────────────────────────────────────

  #stand(procedure: number, partition: number, id: Uint8Array | undefined, caller: Caller, index: number, deadline: number, options: SubmitOptions | undefined): void {
    const input = this.#writer.copy()
    if (this.#line.length - this.#served >= limits.callsInLineMax) throw overloaded('calls in the line', limits.callsInLineMax)
    if (this.#lineBytes + input.length > limits.lineBytesMax) throw overloaded('bytes in the line', limits.lineBytesMax)
    const waiting: Waiting = { procedure, partition, id, input, caller, index, deadline, watch: undefined, isGone: false }
    this.#line.push(waiting)
    this.#lineBytes += input.length
    if (options !== undefined) waiting.watch = this.#watch(-1, waiting, options)
    this.#parts.written() // whoever waits keeps main looking
  }

  /** Answers came, or a call was withdrawn: lets in who waits. */
  serve(): void {
    if (this.#isHeld) return
    if (this.#line.length === 0 && this.#feeders.length === 0) return
    for (let moved = true; moved; ) {
      moved = this.#serveLine(limits.servedAtOnce)
      for (const feeder of [...this.#feeders]) moved = this.#feed(feeder, limits.servedAtOnce) || moved
    }
  }

  #serveLine(most: number): boolean {
    const { queue, requests } = this.#parts
    const line = this.#line
    let served = 0
    while (this.#served < line.length && served < most && this.calls.waiting - this.#fed < queue.calls) {
      const waiting = line[this.#served]!
      if (!waiting.isGone) {
        const { procedure, partition, id, input, caller, index, deadline, watch } = waiting
        if (!this.#write(procedure, partition, id, input, input.length, caller, index, deadline)) break
        if (watch !== undefined) {
          watch.waiting = undefined
          watch.slot = this.calls.newest
          watch.offset = requests.lastWritten
          this.#watches[watch.slot] = watch
        }
        served += 1
      }
      this.#lineBytes -= waiting.input.length
      this.#served += 1
    }
    // Cut off what was served when it is half of the array: each call is moved once on average.
    if (this.#served === line.length) {
      this.#line = []
      this.#served = 0
    } else if (this.#served > line.length >>> 1 && this.#served >= limits.servedAtOnce) {
      this.#line = line.slice(this.#served)
      this.#served = 0
    }
    return served > 0
  }

  /** From now on nobody is let in but who is alone. */
  hold(): void {
    this.#isHeld = true
  }
  letIn(): void {
    this.#isHeld = false
    this.serve()
    this.#parts.written()
  }

  // ── withdrawing ───────────────────────────────────────────────────────────────────────────────────────

  /** R46: until a batch takes the request, it can be withdrawn. */
  #watch(slot: number, waiting: Waiting | undefined, options: SubmitOptions): Watch {
    const { environment, requests } = this.#parts
    const { signal, timeoutMs } = options
    const onAbort = (): void => this.#withdraw(watch, () => cancelled(signal!.reason))
    const cancelTimer = timeoutMs === undefined ? undefined : environment.later(timeoutMs, () => this.#withdraw(watch, () => lateError(timeoutMs)))
    signal?.addEventListener('abort', onAbort)
    const stop = (): void => {
      signal?.removeEventListener('abort', onAbort)
      cancelTimer?.()
    }
    const watch: Watch = { slot, offset: requests.lastWritten, waiting, stop }
    this.#watched += 1
    if (slot >= 0) this.#watches[slot] = watch
    return watch
  }

  #withdraw(watch: Watch, error: () => SluiceError): void {
    const { waiting, slot } = watch
    if (waiting !== undefined) {
      if (waiting.isGone) return
      waiting.isGone = true
      this.#unwatch(watch)
      waiting.caller.failed(waiting.index, error())
    } else {
      if (this.#watches[slot] !== watch || !this.#parts.requests.withdraw(watch.offset, slot)) return
      const caller = this.calls.callerOf(slot)!
      const index = this.calls.indexOf(slot)
      this.release(slot)
      caller.failed(index, error())
    }
    this.serve()
    this.#parts.withdrawn()
  }

  #unwatch(watch: Watch): void {
    watch.stop()
    this.#watched -= 1
    if (watch.slot >= 0) this.#watches[watch.slot] = undefined
  }

  /** The call of a slot was answered. */
  release(slot: number): void {
    if (this.#fed > 0 && this.calls.callerOf(slot)?.isMany === true) this.#fed -= 1
    this.calls.remove(slot)
    if (this.#watched === 0) return
    const watch = this.#watches[slot]
    if (watch !== undefined) this.#unwatch(watch)
  }

  // ── many calls ────────────────────────────────────────────────────────────────────────────────────────

  feed(feed: Feed): void {
    const feeder: Feeder = { ...feed, next: 0, end: feed.inputs.length }
    this.#feeders.push(feeder)
    while (this.#feed(feeder, limits.servedAtOnce));
  }

  /** Hands in at most so many of the rest, as far as the feeder's share goes. True when that moved. */
  #feed(feeder: Feeder, most: number): boolean {
    const { inputs, procedure, idOf, signal, caller } = feeder
    const { calls } = this
    const memory = this.#writer
    const room = Math.min(most, this.#share() - this.#fed)
    const start = feeder.next
    const end = Math.min(feeder.end, start + room)
    while (feeder.next < end) {
      const index = feeder.next
      feeder.next += 1
      const closed = this.#parts.closed()
      if (closed !== undefined) {
        caller.failed(index, closed)
        continue
      }
      try {
        const input = inputs[index]
        const id = idOf?.(input as never, index)
        if (signal?.aborted === true) throw cancelled(signal.reason)
        const partition = this.#encode(procedure, input)
        const bytes = id === undefined ? undefined : idBytes(id)
        if (!this.#write(procedure, partition, bytes, memory.memory, memory.length, caller, index, signal === undefined ? neverWithdrawn : noDeadline)) {
          if (calls.waiting === 0) throw overloaded('bytes of waiting requests', limits.requestRingBytes)
          feeder.next = index // answers are still to come, to us or to others: they make room
          break
        }
        this.#fed += 1
        this.#fedAlone += 1
        if (signal !== undefined) this.#watch(calls.newest, undefined, { signal })
      } catch (error) {
        caller.failed(index, SluiceError.is(error) ? error : SluiceError.of('INVALID_INPUT', 'An input could not be read.', { cause: error }))
      }
    }
    if (feeder.next === feeder.end) {
      const at = this.#feeders.indexOf(feeder)
      if (at >= 0) this.#feeders.splice(at, 1)
      return false
    }
    return feeder.next > start
  }

  /** What all feeders may have in flight together. */
  #share(): number {
    if (this.#isHeld) return this.#fed
    return this.#fedAlone < limits.fedAloneMin ? limits.fedBesideOthersMax : limits.fedMax
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  /** Nothing is answered any more: calls in flight hear `unknown`, those that were not sent `refused`. */
  failAll(unknown: SluiceError, refused: SluiceError): void {
    for (const watch of this.#watches) watch?.stop()
    this.#watches.length = 0
    this.#watched = 0
    this.#fed = 0
    const line = this.#line.slice(this.#served)
    this.#line = []
    this.#served = 0
    this.#lineBytes = 0
    const feeders = this.#feeders.splice(0)
    this.calls.failAll(unknown)
    for (const { isGone, watch, caller, index } of line) {
      if (isGone) continue
      watch?.stop()
      caller.failed(index, refused)
    }
    for (const feeder of feeders) for (; feeder.next < feeder.end; feeder.next += 1) feeder.caller.failed(feeder.next, refused)
  }
}

/** The bytes of a request id, or a refusal. */
export function idBytes(id: unknown, isOwn = false): Uint8Array {
  if (typeof id !== 'string' || id === '') throw SluiceError.of('INVALID_INPUT', 'The id of a call is text, and not empty.')
  const bytes = Buffer.from(id, 'utf8')
  if (bytes.length > limits.requestIdBytesMax || bytes.toString('utf8') !== id) {
    throw SluiceError.of('INVALID_INPUT', `The id of a call is well-formed text of at most ${limits.requestIdBytesMax} bytes.`)
  }
  if (!isOwn && isEngineId(bytes)) throw SluiceError.of('INVALID_INPUT', `Ids that begin with "${enginePrefix}" are the engine's own: begin the id of a call in another way.`)
  return bytes
}

function cancelled(reason: unknown): SluiceError {
  return SluiceError.of('CANCELLED', 'The call was withdrawn by its signal before a batch had taken it; it has no effect.', { cause: reason })
}
function overloaded(what: string, max: number): SluiceError {
  return SluiceError.of('OVERLOADED', `Too many ${what} (at most ${max}): wait for answers before you send more, or let calls wait with \`whenFull: 'wait'\`.`, { details: { max } })
}
