/**
 * The engine of one open database, as main holds it: composition, calls, the main loop, and the order of shutting down.
 *
 * Main writes requests into the ring and publishes them once per tick; answers come back through the response rings and are
 * taken when their frame is durable (R42). While calls wait, main looks once in every turn of its event loop; when nothing has
 * happened for a while it sleeps on a port, and whoever has news rings (R40). With `workers: 0` the same steps run on main.
 */
import { assert } from './base/assert.js'
import { Admission, defaultQueue, type Feed, type QueueOptions, type SubmitOptions } from './admission.js'
import { ByteReader } from './base/bytes.js'
import { decodeCanonical } from './base/canonical.js'
import type { Environment } from './base/environment.js'
import { messageOf, SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { Caller, CallTable } from './call-table.js'
import type { Program } from './schema/descriptor.js'
import { databaseState } from './shared/control.js'
import type { ResponseEntry } from './shared/response-ring.js'
import type { SnapshotView } from './store/snapshot-view.js'
import { FrameIndex, type FrameMoment } from './stream/frame-index.js'
import type { Sequencer } from './sequencer/sequencer.js'
import { committed, decodeError, outcomeKindMask, repeatedFlag } from './txn/outcome.js'
import { timeNow } from './worker/clock.js'
import type { EngineParts } from './worker/engine-plan.js'
import { InlineLaneHost, makeSequencer } from './worker/lane-hosts.js'
import { Supervisor } from './worker/supervisor.js'
import type { ThreadHost } from './worker/thread-host.js'
import type { WorkerChoice } from './worker/worker-choice.js'

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
  /** How many workers there are, and why. */
  readonly workers: WorkerChoice
  readonly #admission: Admission
  readonly #calls: CallTable
  readonly #reader = new ByteReader(new Uint8Array(0))
  readonly #inline: Sequencer | undefined
  readonly #lanes: InlineLaneHost | undefined
  readonly #followers = new Set<Follower>()
  /** Moments of the newest part of the log. */
  readonly frames: FrameIndex
  #toPublish = false
  /** Nothing is published: see `quietly`. */
  #isHeld = false
  /** Requests that were written and not published, while something will publish them. */
  #unpublished = 0
  readonly #answersPerTurn: number
  #collectedMs = 0
  #ticks = 0
  #newsCount = 0
  #turnedMs = 0
  #isPumping = false
  /** A read-only procedure runs on this thread. */
  #isReadingHere = false
  #idleTurns = 0
  #seenDurable: number
  #closed: 'no' | 'closing' | 'closed' = 'no'
  #failure: SluiceError | undefined
  #drained: (() => void) | undefined
  /** Who waits for calls in flight to end. */
  #idle: (() => void) | undefined
  #alone: Promise<void> = Promise.resolve()
  readonly #accept = (entry: ResponseEntry): void => this.#settle(entry)
  readonly #pump = (): void => this.#turn()
  readonly #durable = (): number => this.parts.control.durable

  /** `program` as the user made it. `threads` have been started. */
  constructor(program: Program, parts: EngineParts, threads: ThreadHost, environment: Environment, queue: QueueOptions = defaultQueue, workers: WorkerChoice = { workers: parts.plan.workers, why: 'the plan says so' }) {
    this.workers = workers
    this.program = program
    this.parts = parts
    this.threads = threads
    this.environment = environment
    const { store, control, requests, plan } = parts
    this.#admission = new Admission({
      program: parts.program,
      control,
      requests,
      partitions: plan.partitions,
      environment,
      queue,
      written: () => this.#publishSoon(),
      withdrawn: () => this.#checkDrained(),
      closed: () => this.#refusal(),
    })
    this.#calls = this.#admission.calls
    const slot = store.snapshots.take()
    this.newest = parts.viewAt(slot, store.snapshots.holdNewest(slot, this.#durable))
    this.#seenDurable = control.durable
    this.frames = new FrameIndex(parts.frames)
    this.supervisor = new Supervisor(parts, threads, environment, (error) => this.stopped(error))
    this.#answersPerTurn = plan.workers > 0 || plan.hasLogThread ? limits.answersPerTurnMax : Infinity
    if (plan.workers === 0) {
      this.#lanes = new InlineLaneHost(parts)
      this.#inline = makeSequencer(parts, this.#lanes)
    }
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Hands a request in. The caller hears exactly once, unless this throws. */
  submit(procedure: number, input: unknown, caller: Caller, index: number, options?: SubmitOptions): void {
    const refusal = this.#refusal()
    if (refusal !== undefined) throw refusal
    this.#admission.submit(procedure, input, caller, index, options)
  }

  /** Hands in many, as fast as answers make room. Each is heard of once. */
  feed(feed: Feed): void {
    this.#admission.feed(feed)
  }

  /**
   * Runs `work` when nothing is in flight, and lets nothing in meanwhile but its own calls (`isAlone`): what is durable then is all there is. Whoever
   * calls waits in the line. One at a time.
   */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#alone
    let end = (): void => undefined
    this.#alone = new Promise((resolve) => {
      end = resolve
    })
    await before
    this.#admission.hold()
    try {
      while (this.#admission.calls.waiting > 0 && this.#closed === 'no' && this.#failure === undefined) {
        await new Promise<void>((resolve) => {
          this.#idle = resolve
          this.#keepLooking()
        })
      }
      return await work()
    } finally {
      this.#admission.letIn()
      end()
    }
  }

  /** Calls that have no answer yet. */
  get waiting(): number {
    return this.#admission.waiting
  }
  /** A procedure that runs on this thread must not call the database. */
  mustBeOutside(): void {
    if (this.#isInside) throw insideProcedure()
  }

  get #isInside(): boolean {
    return this.#isReadingHere || this.#lanes?.isRunning === true
  }

  /** The time of a batch that would begin now; never before that of a batch that can be read. */
  now(): number {
    const { clock } = this.parts.plan
    return clock.stepMs === undefined ? timeNow(clock, this.environment) : Math.max(clock.wallMs, this.momentOf(this.durable).time)
  }

  /** Why no call is accepted now, if so. */
  #refusal(): SluiceError | undefined {
    if (this.#closed !== 'no') return closedError()
    if (this.#failure !== undefined) return this.#failure
    if (this.#isInside) return insideProcedure()
    return this.parts.control.load('diskFull') === 0 ? undefined : diskFull()
  }

  /** What one tick writes is published together: it becomes one batch where the executor is free. */
  #publishSoon(): void {
    if (this.#toPublish) {
      this.#unpublished += 1
      if (this.#unpublished >= limits.requestsPublishedMax && this.#inline === undefined && !this.#isHeld) {
        this.#unpublished = 0
        this.parts.requests.publish()
        this.parts.control.wakeWorker(0)
      }
      return
    }
    this.#toPublish = true
    this.#unpublished = 1
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
    if (this.#isHeld) return // `quietly` does it
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
    return this.#admission.waiting > 0 || (this.#inline?.hasWork() ?? false)
  }

  #turn(): void {
    if (this.#look()) this.#idleTurns = 0
    else this.#idleTurns += 1
    if (!this.#isWaiting()) {
      this.#isPumping = false
      this.#rest()
      return
    }
    // A call may stand in the line while the ring holds nothing but what was withdrawn: no answer will tell that there is room.
    this.#admission.serve()
    if (this.#idleTurns > this.parts.plan.idleTurns && this.#calls.waiting > 0 && this.parts.control.mainFallsAsleep(() => this.#hasNews())) {
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

  /** A worker's thread has exited, and with it perhaps a ring that it owed us: look. */
  workerLost(worker: number, error: unknown): void {
    this.supervisor.lost(worker, error)
    this.rung()
  }

  /** Nobody waits: nothing of ours keeps the process alive. */
  #rest(): void {
    this.supervisor.rest()
    this.threads.hold(false)
  }

  /**
   * Runs `work` while nothing runs: what was handed in before has ended and is in the files, what comes meanwhile waits. `work` is
   * synchronous, and may touch what others write while batches run.
   */
  async quietly<Result>(work: () => Result): Promise<Result> {
    assert(!this.#isHeld, 'the database is held once at a time')
    this.#isHeld = true
    try {
      for (;;) {
        this.#mustBeOpen()
        const { control, record, requests, plan } = this.parts
        const isQuiet = requests.tail === requests.publishedHead && record.batch <= control.executed && control.durable >= control.frameBatch
        if (isQuiet && (!plan.hasLogThread || control.written >= control.frameBatch)) return work()
        this.#look()
        await new Promise<void>((resolve) => this.environment.soon(resolve))
      }
    } finally {
      this.#isHeld = false
      if (this.#toPublish) this.#publish()
    }
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
   * Hands out what is durable, a turn's share of it. Answers first: a long one lies in memory that is held for main's own view, which
   * therefore goes on to a batch only when all the answers that need it have been taken (answer-blocks.ts).
   */
  #collect(isReading: boolean): boolean {
    const { control, responses } = this.parts
    const durable = control.durable
    const isNewer = durable !== this.#seenDurable
    if (isNewer) this.#newsCount += 1
    const mustMove = isReading || (isNewer && (this.#newsCount % newsBetweenHolds === 0 || this.parts.store.isShort))
    const most = mustMove ? Infinity : this.#answersNow()
    let taken = 0
    for (const ring of responses) taken += ring.drain(durable, this.#accept, most)
    if (mustMove) this.newest.moveTo(durable)
    if (isNewer) {
      this.#seenDurable = durable
      for (const follower of this.#followers) follower.advance(durable)
    }
    if (taken > 0) this.#noteRelease(durable)
    if (taken === 0 && !isNewer) return false
    if (taken > 0 && this.#inline === undefined) control.wakeWorker(0) // it may have waited for room
    if (taken > 0) this.#admission.serve()
    this.#checkDrained()
    return true
  }

  #noteRelease(durable: number): void {
    const { statistics } = this.parts
    const left = statistics.leftKey('durable')
    if (left !== undefined && left <= durable) statistics.takeUp('durable', 'release', this.environment.monotonicMs())
  }

  /** A turn's share of the answers; all of them where the turns are long, for something else has the event loop. */
  #answersNow(): number {
    if (this.#answersPerTurn === Infinity) return Infinity
    const nowMs = this.environment.monotonicMs()
    const isLong = nowMs - this.#collectedMs > limits.longTurnMs
    this.#collectedMs = nowMs
    return isLong ? Infinity : this.#answersPerTurn
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
    this.#admission.release(entry.slot)
    if (caller === undefined) return
    this.#seekValue(entry)
    const kind = entry.outcome & outcomeKindMask
    if (kind === committed) {
      const value = this.#reader.left === 0 ? undefined : decodeCanonical(this.#reader)
      const isRecorded = entry.index >= 0
      caller.done(index, value, isRecorded ? entry.batch : entry.needs, isRecorded ? entry.index : 0, (entry.outcome & repeatedFlag) !== 0)
    } else caller.failed(index, decodeError(kind, this.#reader), (entry.outcome & repeatedFlag) !== 0)
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
    if (this.parts.control.durable !== this.newest.batch && !this.#isReadingHere) this.#collect(true)
    return this.newest
  }

  /** Runs `work` over main's own view, which stays where it is until it has ended. `now`: the clock of the database at its beginning. */
  readHere<T>(work: (view: SnapshotView, now: number) => T): T {
    if (this.isClosed) throw closedError()
    this.mustBeOutside()
    const view = this.reading()
    const now = this.now()
    this.#isReadingHere = true
    try {
      return work(view, now)
    } finally {
      this.#isReadingHere = false
    }
  }

  /** A view of its own on the newest durable batch, or on an older one that memory still holds (undefined: it does not). */
  openView(batch?: number): SnapshotView | undefined {
    this.#mustBeReadable()
    const { store } = this.parts
    const slot = store.snapshots.take()
    if (slot < 0) throw overloaded('open snapshots', limits.snapshotSlots)
    if (batch === undefined || batch >= this.durable) return this.parts.viewAt(slot, store.snapshots.holdNewest(slot, this.#durable))
    if (store.snapshots.holdOld(slot, batch, store.domains.length)) return this.parts.viewAt(slot, batch)
    store.snapshots.give(slot)
    return undefined
  }

  /** How many records a batch has in the log, and its time, as far as the ring of frames goes back; zeros beyond. */
  momentOf(batch: number): FrameMoment {
    return this.frames.momentOf(batch)
  }

  /** Nothing runs and nothing waits: the store stands still. */
  get isQuiet(): boolean {
    const { control, record, requests } = this.parts
    return this.#admission.waiting === 0 && !this.#toPublish && record.batch <= control.executed && requests.tail === requests.publishedHead
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
    this.#fail(SluiceError.of('COMMIT_UNKNOWN', `The log failed before this call was durable: ${message} Open the database again; a call with the same id then tells what happened.`))
  }

  /** The program is wrong, or a thread is gone: nothing goes on. */
  stopped(error: SluiceError): void {
    if (this.#failure !== undefined) return
    this.parts.control.store('state', databaseState.failed)
    this.#failure = error
    this.#fail(SluiceError.of('COMMIT_UNKNOWN', `The database stopped before this call was answered: ${error.message}`, { cause: error }))
  }

  #fail(unknown: SluiceError): void {
    this.#admission.failAll(unknown, this.#failure!)
    this.#checkDrained()
  }

  #checkDrained(): void {
    if (this.#admission.waiting === 0) this.#drained?.()
    if (this.#admission.calls.waiting === 0) this.#idle?.()
  }

  /** Refuses new calls and waits for those in flight. */
  async drain(): Promise<void> {
    this.#closed = 'closing'
    if (this.#admission.waiting > 0 && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve
        this.#keepLooking()
      })
    }
    this.parts.requests.publish()
    this.#closed = 'closed'
  }
}

function overloaded(what: string, max: number): SluiceError {
  return SluiceError.of('OVERLOADED', `Too many ${what} (at most ${max}): wait for answers before you send more.`, { details: { max } })
}
function diskFull(): SluiceError {
  return SluiceError.of('OUT_OF_SPACE', 'The disk has no room for more of the log, so no call is accepted; reads, snapshots and streams go on. Make room: calls are accepted again by themselves, about a second later.', { details: { disk: true } })
}
function bugFound(error: unknown): SluiceError {
  const message = messageOf(error)
  return SluiceError.of('WORKER_LOST', `The database stopped because one of its own assertions failed (${message}): close it, open it again, and please report this.`, { cause: error })
}
function insideProcedure(): SluiceError {
  return SluiceError.of('INVALID_USE', 'The database was called inside a procedure, which sees only tx and may run again: use tx.call(procedure, input) for the same transaction, or emit an event.')
}
function closedError(): SluiceError {
  return SluiceError.of('DATABASE_CLOSED', 'The database is closed: open() it again.')
}
