/**
 * The engine of one open database, as main holds it: composition, calls, the main loop, and the order of shutting down.
 *
 * Main writes requests into the ring and publishes them once per tick; answers come back through the response rings and are
 * taken when their frame is durable (R42). While calls wait, main looks once in every turn of its event loop; when nothing has
 * happened for a while it sleeps on a port, and whoever has news rings (R40). With `workers: 0` the same steps run on main.
 */
import { ByteReader, ByteWriter } from './base/bytes.js'
import { decodeCanonical } from './base/canonical.js'
import type { Environment } from './base/environment.js'
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import { type Caller, CallTable } from './call-table.js'
import type { PartitionValue, Program } from './schema/descriptor.js'
import { partitionOf, partitionOfOne } from './schema/placement.js'
import { compileRecordCodec, type RecordCodec } from './schema/record-codec.js'
import { databaseState } from './shared/control.js'
import { unplaced } from './shared/request-ring.js'
import type { ResponseEntry } from './shared/response-ring.js'
import { SnapshotView } from './snapshot-view.js'
import type { Sequencer } from './sequencer/sequencer.js'
import { committed, decodeError, outcomeKindMask, repeatedFlag } from './txn/outcome.js'
import type { EngineParts } from './worker/engine-plan.js'
import { InlineLaneHost, makeSequencer } from './worker/lane-hosts.js'
import { Supervisor } from './worker/supervisor.js'
import type { ThreadHost } from './worker/thread-host.js'

export interface SubmitOptions {
  readonly id?: string | undefined
  readonly signal?: AbortLike | undefined
  readonly timeoutMs?: number | undefined
}
export interface AbortLike {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** Follows the log: told after every advance of durable. */
export interface Follower {
  advance(durable: number): void
}

/** Advances of durable after which main lets go of the batch it holds, if nobody reads: reclaiming is in no hurry. */
const newsBetweenHolds = 64
/** Publications after which the clock is looked at. */
const ticksBetweenLooks = 4
/** Publications of which one is timed until a batch takes it. */
const ticksBetweenMoments = 8

export class Engine {
  readonly parts: EngineParts
  readonly program: Program
  readonly environment: Environment
  readonly threads: ThreadHost
  readonly newest: SnapshotView
  readonly supervisor: Supervisor
  readonly #calls = new CallTable()
  readonly #inputs: readonly RecordCodec[]
  readonly #writer = new ByteWriter(1_024)
  readonly #reader = new ByteReader(new Uint8Array(0))
  readonly #inline: Sequencer | undefined
  readonly #lanes: InlineLaneHost | undefined
  readonly #followers = new Set<Follower>()
  readonly #cancels = new Map<number, () => void>()
  readonly #waitingForRoom: (() => void)[] = []
  #moment = { batch: 0, records: 0, time: 0 }
  #momentCounter: number
  #toPublish = false
  #ticks = 0
  #newsCount = 0
  #turnedMs = 0
  #isPumping = false
  #idleTurns = 0
  #seenDurable: number
  #closed: 'no' | 'closing' | 'closed' = 'no'
  #failure: SluiceError | undefined
  #drained: (() => void) | undefined
  readonly #accept = (entry: ResponseEntry): void => this.#settle(entry)
  readonly #pump = (): void => this.#turn()
  readonly #durable = (): number => this.parts.control.durable

  /** `program` as the user made it. `threads` have been started. */
  constructor(program: Program, parts: EngineParts, threads: ThreadHost, environment: Environment) {
    this.program = program
    this.parts = parts
    this.threads = threads
    this.environment = environment
    this.#inputs = program.procedures.map((p) => compileRecordCodec(p.descriptor, p, `the input of "${p.descriptor.name}"`))
    const { store, control } = parts
    const slot = store.snapshots.take()
    this.newest = new SnapshotView(store, slot, store.snapshots.holdNewest(slot, this.#durable))
    this.#seenDurable = control.durable
    this.#momentCounter = parts.frames.tail
    this.supervisor = new Supervisor(parts, threads, environment, (error) => this.stopped(error))
    if (parts.plan.workers === 0) {
      this.#lanes = new InlineLaneHost(parts)
      this.#inline = makeSequencer(parts, this.#lanes)
    }
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Hands a request in. The caller hears exactly once, unless this throws. */
  submit(procedure: number, input: unknown, caller: Caller, index: number, options?: SubmitOptions): void {
    this.#mustBeOpen()
    if (this.#lanes?.isRunning === true) throw insideProcedure()
    if (options?.signal?.aborted === true) throw cancelled(options.signal.reason)
    if (this.#calls.waiting >= limits.callsInFlightMax) throw overloaded('calls in flight', limits.callsInFlightMax)
    if (this.parts.control.load('diskFull') !== 0) throw diskFull()
    const writer = this.#writer
    writer.reset()
    this.#inputs[procedure]!.encode(input === undefined ? {} : input, writer)
    if (writer.length > limits.inputBytesMax) {
      throw SluiceError.of('INVALID_INPUT', `The input of "${this.program.procedures[procedure]!.descriptor.name}" takes ${writer.length} bytes, more than ${limits.inputBytesMax}: pass less, in several calls.`, { details: { bytes: writer.length } })
    }
    const partition = this.#partitionOf(procedure)
    const id = options?.id === undefined ? undefined : idBytes(options.id)
    const slot = this.#calls.add(caller, index)
    if (!this.parts.requests.write(slot, procedure, partition, id, writer.memory, writer.length)) {
      this.#calls.remove(slot)
      throw overloaded('bytes of waiting requests', limits.requestRingBytes)
    }
    if (options?.signal !== undefined || options?.timeoutMs !== undefined) this.#watch(slot, this.parts.requests.lastWritten, options)
    this.#publishSoon()
  }

  /** Calls that have no answer yet. */
  get waiting(): number {
    return this.#calls.waiting
  }
  /** Room for one more request of a usual size, for callers that feed many. */
  get hasRoom(): boolean {
    return this.#calls.waiting < limits.callsInFlightMax / 2
  }
  /** Answers are to come, to whomever: they will make room. */
  get isAnswering(): boolean {
    return this.#calls.waiting > 0
  }
  /** Called once when answers have made room. */
  whenRoom(work: () => void): void {
    this.#waitingForRoom.push(work)
  }

  #partitionOf(procedure: number): number {
    const { partition } = this.program.procedures[procedure]!
    if (partition === undefined) return unplaced
    // The function sees the input as the procedure will: checked, with defaults.
    this.#reader.reset(this.#writer.bytes())
    const input = this.#inputs[procedure]!.decode(this.#reader)
    const name = this.program.procedures[procedure]!.descriptor.name
    let value: PartitionValue | readonly PartitionValue[]
    try {
      value = partition(input as never)
    } catch (cause) {
      throw SluiceError.of('INVALID_INPUT', `The partition function of "${name}" threw.`, { cause, details: { procedure: name } })
    }
    const values: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (values.length === 0 || !values.every(isPartitionValue)) {
      throw SluiceError.of('INVALID_INPUT', `The partition function of "${name}" answers text, numbers, bigints, booleans or bytes, or a list of them.`, { details: { procedure: name } })
    }
    const { partitions } = this.parts.plan
    return values.length === 1 ? partitionOfOne(values[0] as PartitionValue, partitions) : partitionOf(values, partitions)
  }

  /** R46: until a batch takes the request, it can be withdrawn. */
  #watch(slot: number, offset: number, options: SubmitOptions): void {
    const { signal, timeoutMs } = options
    const withdraw = (error: () => SluiceError): void => {
      const caller = this.#calls.callerOf(slot)
      if (caller === undefined || !this.parts.requests.withdraw(offset, slot)) return
      const index = this.#calls.indexOf(slot)
      this.#release(slot)
      caller.failed(index, error())
      this.#checkDrained()
    }
    const onAbort = (): void => withdraw(() => cancelled(signal!.reason))
    signal?.addEventListener('abort', onAbort)
    const cancelTimer = timeoutMs === undefined ? undefined : this.environment.later(timeoutMs, () => withdraw(() => timedOut(timeoutMs)))
    this.#cancels.set(slot, () => {
      signal?.removeEventListener('abort', onAbort)
      cancelTimer?.()
    })
  }

  #release(slot: number): void {
    this.#calls.remove(slot)
    if (this.#cancels.size === 0) return
    this.#cancels.get(slot)?.()
    this.#cancels.delete(slot)
  }

  /** What one tick writes is published together: it becomes one batch where the executor is free. */
  #publishSoon(): void {
    if (this.#toPublish) return
    this.#toPublish = true
    if (this.#inline !== undefined && this.#mustTurn()) this.environment.soon(this.#publish)
    else this.environment.atEndOfTick(this.#publish)
  }

  /** With `workers: 0` answers and new calls could follow each other in microtasks for ever: now and then the loop turns. */
  #mustTurn(): boolean {
    if (this.#ticks % ticksBetweenLooks !== 0) return false
    const nowMs = this.environment.monotonicMs()
    if (nowMs - this.#turnedMs < limits.inlineMsMax) return false
    this.#turnedMs = nowMs
    return true
  }
  readonly #publish = (): void => {
    this.#toPublish = false
    const { statistics, requests } = this.parts
    if (this.#ticks % ticksBetweenMoments === 0 && statistics.mayLeave('published')) statistics.leave('published', requests.head, this.environment.monotonicMs())
    this.#ticks += 1
    requests.publish()
    if (this.#inline === undefined) this.parts.control.wakeWorker(0)
    else this.#look()
    this.#keepLooking()
  }

  // ── the main loop ─────────────────────────────────────────────────────────────────────────────────────

  #keepLooking(): void {
    if (this.#isPumping || !this.#isWaiting()) return
    this.#isPumping = true
    this.#idleTurns = 0
    this.supervisor.watch()
    this.environment.soon(this.#pump)
  }

  #isWaiting(): boolean {
    return this.#calls.waiting > 0 || (this.#inline?.hasWork() ?? false)
  }

  #turn(): void {
    if (this.#look()) this.#idleTurns = 0
    else this.#idleTurns += 1
    if (!this.#isWaiting()) {
      this.#isPumping = false
      this.#rest()
      return
    }
    if (this.#idleTurns > this.parts.plan.idleTurns && this.parts.control.mainFallsAsleep(() => this.#hasNews())) {
      this.#isPumping = false
      this.threads.hold(true)
      return
    }
    this.environment.soon(this.#pump)
  }

  /** A thread rang. */
  rung(): void {
    this.#look()
    this.#keepLooking()
    if (!this.#isWaiting()) this.#rest()
  }

  /** Nobody waits: nothing of ours keeps the process alive. */
  #rest(): void {
    this.supervisor.rest()
    this.threads.hold(false)
  }

  #hasNews(): boolean {
    const { control, plan } = this.parts
    if (control.durable !== this.#seenDurable || control.load('state') === databaseState.failed) return true
    for (let worker = 0; worker < Math.max(1, plan.workers); worker += 1) {
      if (this.parts.responses[worker]!.hasFor(control.durable)) return true
    }
    return (this.#inline?.hasWork() ?? false) && this.#inline!.mayRun()
  }

  /** Runs what can run here, hands out what is durable. True when something happened. */
  #look(): boolean {
    const ran = this.#inline !== undefined && this.#runInline()
    return this.#collect(false) || ran
  }

  /**
   * Hands out what is durable. Answers first: a long one lies in memory that is held for main's own view, which therefore goes
   * on to a batch only when the answers that need it have been taken (answer-blocks.ts).
   */
  #collect(isReading: boolean): boolean {
    const { control, responses } = this.parts
    const durable = control.durable
    let taken = 0
    for (const ring of responses) taken += ring.drain(durable, this.#accept)
    const isNewer = durable !== this.#seenDurable
    if (isNewer) this.#newsCount += 1
    if (isReading || (isNewer && (this.#newsCount % newsBetweenHolds === 0 || this.parts.store.isShort))) this.newest.moveTo(durable)
    if (isNewer) {
      this.#seenDurable = durable
      for (const follower of this.#followers) follower.advance(durable)
    }
    if (taken > 0) this.#noteRelease(durable)
    if (taken === 0 && !isNewer) return false
    if (taken > 0 && this.#inline === undefined) control.wakeWorker(0) // it may have waited for room
    this.#checkDrained()
    if (this.#waitingForRoom.length > 0 && this.hasRoom) for (const work of this.#waitingForRoom.splice(0)) work()
    return true
  }

  #noteRelease(durable: number): void {
    const { statistics } = this.parts
    const left = statistics.leftKey('durable')
    if (left !== undefined && left <= durable) statistics.takeUp('durable', 'release', this.environment.monotonicMs())
  }

  #runInline(): boolean {
    const sequencer = this.#inline!
    const { control } = this.parts
    if (!sequencer.hasWork() || control.load('state') === databaseState.failed) return false
    let ran = false
    let startedMs = 0
    while (sequencer.hasWork() && sequencer.mayRun()) {
      // The clock is looked at from the second batch on: most ticks have one.
      if (ran && startedMs === 0) startedMs = this.environment.monotonicMs()
      else if (ran && this.environment.monotonicMs() - startedMs > limits.inlineMsMax) break
      try {
        sequencer.runBatch()
      } catch (error) {
        this.stopped(bugFound(error))
        return true
      }
      ran = true
    }
    return ran
  }

  #settle(entry: ResponseEntry): void {
    const caller = this.#calls.callerOf(entry.slot)
    const index = this.#calls.indexOf(entry.slot)
    this.#release(entry.slot)
    if (caller === undefined) return
    this.#seekValue(entry)
    const kind = entry.outcome & outcomeKindMask
    if (kind === committed) {
      const value = this.#reader.left === 0 ? undefined : decodeCanonical(this.#reader)
      const isRecorded = entry.index >= 0
      caller.done(index, value, isRecorded ? entry.batch : entry.needs, isRecorded ? entry.index : 0, (entry.outcome & repeatedFlag) !== 0)
    } else caller.failed(index, decodeError(kind, this.#reader))
  }

  #seekValue(entry: ResponseEntry): void {
    if (entry.valueBytes >= 0) {
      this.#reader.reset(entry.bytes)
      this.#reader.seek(entry.valueAt, entry.valueAt + entry.valueBytes)
      return
    }
    const { region } = this.parts.store
    const address = -entry.valueBytes
    const length = region.i32[address * 2]!
    const from = region.byteOffsetOf(address) + 8
    this.#reader.reset(region.windowOf(address).slice(from, from + length))
  }

  // ── following and reading ─────────────────────────────────────────────────────────────────────────────

  get durable(): number {
    return this.parts.control.durable
  }
  follow(follower: Follower): void {
    this.#followers.add(follower)
  }
  unfollow(follower: Follower): void {
    this.#followers.delete(follower)
  }

  /** The newest durable batch for one read. */
  reading(): SnapshotView {
    this.#mustBeReadable()
    if (this.parts.control.durable !== this.newest.batch) this.#collect(true)
    return this.newest
  }

  /** A view of its own on the newest durable batch, or on an older one that memory still holds (undefined: it does not). */
  openView(batch?: number): SnapshotView | undefined {
    this.#mustBeReadable()
    const { store } = this.parts
    const slot = store.snapshots.take()
    if (slot < 0) throw overloaded('open snapshots', limits.snapshotSlots)
    if (batch === undefined || batch >= this.durable) return new SnapshotView(store, slot, store.snapshots.holdNewest(slot, this.#durable))
    if (store.snapshots.holdOld(slot, batch, store.domains.length)) return new SnapshotView(store, slot, batch)
    store.snapshots.give(slot)
    return undefined
  }

  /** How many records a batch has in the log, and its time, as far as the ring of frames goes back; zeros beyond. */
  momentOf(batch: number): { readonly batch: number; readonly records: number; readonly time: number } {
    const { frames } = this.parts
    // Snapshots ask for newer and newer batches: go on where the last look ended. Once more from the tail, if that was overwritten.
    for (let attempt = 0; attempt < 2; attempt += 1) {
      if (batch < this.#moment.batch || !frames.stillThere(this.#momentCounter)) {
        this.#moment = { batch: 0, records: 0, time: 0 }
        this.#momentCounter = frames.tail
      }
      const head = frames.publishedHead
      for (let entry = frames.read(this.#momentCounter, head); entry !== undefined && entry.batch <= batch; entry = frames.read(entry.next, head)) {
        this.#moment = { batch: entry.batch, records: entry.records, time: entry.now }
        this.#momentCounter = entry.next
      }
      if (frames.stillThere(this.#momentCounter)) break
    }
    return this.#moment
  }

  /** Nothing runs and nothing waits: the store stands still. */
  get isQuiet(): boolean {
    const { control, record, requests } = this.parts
    return this.#calls.waiting === 0 && !this.#toPublish && record.batch <= control.executed && requests.tail === requests.publishedHead
  }

  // ── states ────────────────────────────────────────────────────────────────────────────────────────────

  get isClosed(): boolean {
    return this.#closed !== 'no'
  }
  mustBeOpen(): void {
    this.#mustBeOpen()
  }
  #mustBeReadable(): void {
    if (this.#closed === 'closed') throw closedError()
  }
  #mustBeOpen(): void {
    if (this.#closed !== 'no') throw closedError()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** R44: unanswered calls may or may not have happened; new ones are refused. Reads stay at the last durable batch. */
  logFailed(message: string): void {
    if (this.#failure !== undefined) return
    this.parts.control.store('state', databaseState.failed)
    this.#look()
    this.#failure = SluiceError.of('LOG_FAILED', `The log could not be written, so nothing is accepted any more: ${message} Close the database, make room or mend the disk, and open it again.`)
    this.#failAll(SluiceError.of('COMMIT_UNKNOWN', `The log failed before this call was durable: ${message} Open the database again; a call with the same id then tells what happened.`))
  }

  /** The program is wrong, or a thread is gone: nothing goes on. */
  stopped(error: SluiceError): void {
    if (this.#failure !== undefined) return
    this.parts.control.store('state', databaseState.failed)
    this.#failure = error
    this.#failAll(SluiceError.of('COMMIT_UNKNOWN', `The database stopped before this call was answered: ${error.message}`, { cause: error }))
  }

  #failAll(error: SluiceError): void {
    this.#calls.failAll(error)
    for (const cancel of this.#cancels.values()) cancel()
    this.#cancels.clear()
    this.#checkDrained()
  }

  #checkDrained(): void {
    if (this.#calls.waiting === 0) this.#drained?.()
  }

  /** Refuses new calls and waits for those in flight. */
  async drain(): Promise<void> {
    this.#closed = 'closing'
    if (this.#calls.waiting > 0 && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve
        this.#keepLooking()
      })
    }
    this.parts.requests.publish()
    this.#closed = 'closed'
  }
}

function isPartitionValue(value: unknown): boolean {
  return (
    typeof value === 'string' || (typeof value === 'number' && !Number.isNaN(value)) || typeof value === 'bigint' || typeof value === 'boolean' || value instanceof Uint8Array
  )
}

function idBytes(id: unknown): Uint8Array {
  if (typeof id !== 'string' || id === '') throw SluiceError.of('INVALID_INPUT', 'The id of a call is text, and not empty.')
  const bytes = Buffer.from(id, 'utf8')
  if (bytes.length > limits.requestIdBytesMax || bytes.toString('utf8') !== id) {
    throw SluiceError.of('INVALID_INPUT', `The id of a call is well-formed text of at most ${limits.requestIdBytesMax} bytes.`)
  }
  return bytes
}

function cancelled(reason: unknown): SluiceError {
  return SluiceError.of('CANCELLED', 'The call was withdrawn by its signal before a batch had taken it; it has no effect.', { cause: reason })
}
function timedOut(ms: number): SluiceError {
  return SluiceError.of('TIMEOUT', `No batch took the call within ${ms} ms; it has no effect. Try again, or send less at a time.`, { details: { timeoutMs: ms } })
}
function overloaded(what: string, max: number): SluiceError {
  return SluiceError.of('OVERLOADED', `Too many ${what} (at most ${max}): wait for answers before you send more.`, { details: { max } })
}
function diskFull(): SluiceError {
  return SluiceError.of('OUT_OF_SPACE', 'The disk has no room for more of the log, so no call is accepted; reads, snapshots and streams go on. Make room: calls are accepted again by themselves, about a second later.', { details: { disk: true } })
}
function bugFound(error: unknown): SluiceError {
  const message = error instanceof Error ? error.message : String(error)
  return SluiceError.of('WORKER_LOST', `The database stopped because one of its own assertions failed (${message}): close it, open it again, and please report this.`, { cause: error })
}
function insideProcedure(): SluiceError {
  return SluiceError.of('INVALID_USE', 'The database was called inside a procedure, which sees only tx and may run again: use tx.call(procedure, input) for the same transaction, or emit an event.')
}
function closedError(): SluiceError {
  return SluiceError.of('DATABASE_CLOSED', 'The database is closed: open() it again.')
}
