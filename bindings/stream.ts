/**
 * A stream of commits as users hold it: an async iterator, callbacks, a Web ReadableStream; where it stands, and when it has caught up.
 *
 * It asks its subscription (engine/stream/subscription.ts) and never reads ahead of who asks: what is handed out was asked for, so
 * `position` is where a stream that goes on from there misses nothing and repeats nothing. Calls of `next` are answered in order.
 *
 * What users pass in (`onProgress`, `onCaughtUp`, `onSchema`) runs when nobody else is in the middle of something; what it throws ends the
 * stream. A change of the schema has its place between two commits: the second is kept back until it was told, and `position` stays before it.
 */
import { SluiceError } from '../engine/base/errors.js'
import { type AbortLike, endOfBatch, enginePrefix, type LogPlace, type SchemaStep, type SchemaTrail, type Selection, type StreamHub, type Subscription, transactName } from '../engine/index.js'
import { erasureIn } from './erasure.js'
import { formatPosition, indexMax, inPositions, type Position, positionParts } from './position.js'

/** What `hub` hands out: a commit, as users see it. */
export interface CommitView {
  readonly position: Position
  readonly events: readonly object[]
  readonly snapshot?: true
}

export interface StreamParts<T> {
  readonly hub: StreamHub<CommitView>
  readonly subscription: Subscription<CommitView>
  /** What is handed out of a commit, in order; undefined: the commit. */
  readonly parts: ((commit: CommitView) => readonly T[]) | undefined
  /** It starts at a moment: until something is handed out, or it is live, nothing says where that is. */
  readonly seeksMoment: boolean
  readonly signal: AbortLike | undefined
  readonly onProgress: ((position: Position) => void) | undefined
  readonly onCaughtUp: ((position: Position) => void) | undefined
  /** Whom to tell of the schemas that it comes to, where some may come. */
  readonly schemas: { readonly trail: SchemaTrail; readonly tell: (step: SchemaStep) => PromiseLike<void> | void } | undefined
  readonly atEndOfTick: (work: () => void) => void
  readonly onEnd: () => void
}

interface Request<T> {
  readonly resolve: (result: IteratorResult<T>) => void
  readonly reject: (error: unknown) => void
}

export class CommitStream<T> implements AsyncIterableIterator<T>, AsyncDisposable {
  readonly #parts: StreamParts<T>
  readonly #subscription: Subscription<CommitView>
  readonly #onAbort = (): void => this.#end(undefined)
  readonly #requests: Request<T>[] = []
  /** Parts of a commit that have not been handed out, and its position. */
  #rest: readonly T[] = []
  #nextOfRest = 0
  #restPosition: Position | undefined
  /** Of the last commit that was handed out whole. */
  #handed: Position | undefined
  #isRefilling = false
  #hasFailed = false
  #isLookingForEnd = false
  /** Until all schemas were told. */
  #schemas: StreamParts<T>['schemas']
  #isTelling = false
  #stopWatching: (() => void) | undefined
  #reported: Position | undefined
  /** It has been behind since `onCaughtUp` was told. */
  #wasBehind = true
  #caughtUp: { readonly promise: Promise<Position>; readonly resolve: (position: Position) => void; readonly reject: (error: unknown) => void } | undefined

  constructor(parts: StreamParts<T>) {
    this.#parts = parts
    this.#subscription = parts.subscription
    this.#subscription.onNews = () => this.#serve()
    if (!parts.seeksMoment && !this.#subscription.isInSnapshot) this.#handed = positionOf(this.#subscription.place)
    this.#schemas = parts.schemas
    if (parts.onProgress !== undefined || parts.schemas !== undefined) this.#stopWatching = parts.hub.watch(() => this.#look())
    parts.signal?.addEventListener('abort', this.#onAbort)
    if (parts.signal?.aborted === true) this.#end(undefined)
  }

  get isEnded(): boolean {
    return this.#subscription.isEnded
  }
  /** It reads files: memory does not hold any more what it comes to. */
  get isInFiles(): boolean {
    return this.#subscription.isInFiles
  }
  /** Something is durable that it has not read. */
  get isBehind(): boolean {
    return this.#subscription.isBehind
  }

  /** Commits in its buffer. */
  get buffered(): number {
    return this.#subscription.count
  }

  get position(): Position | undefined {
    const subscription = this.#subscription
    const hasMore = subscription.count > 0 || this.#nextOfRest < this.#rest.length || subscription.hasDropped
    if (hasMore || subscription.isInSnapshot) return this.#handed
    if (this.#handed === undefined && this.#parts.seeksMoment && !subscription.isLive) return undefined
    const untold = this.#schemaDue
    const place = positionOf(untold === undefined ? subscription.place : { batch: untold.after, index: endOfBatch })
    // Rows of a snapshot, or several commits as one, were handed out under the position where they end.
    return this.#handed === undefined || this.#handed < place ? place : this.#handed
  }

  get caughtUp(): Promise<Position> {
    if (this.#caughtUp === undefined) {
      let resolve!: (position: Position) => void
      let reject!: (error: unknown) => void
      const promise = new Promise<Position>((one, other) => {
        resolve = one
        reject = other
      })
      this.#caughtUp = { promise, resolve, reject }
      promise.catch(() => undefined) // Nobody may be waiting.
      if (this.isEnded) reject(endedBefore())
      else if (!this.#wasBehind) resolve(this.position!)
      else this.#lookForEnd()
    }
    return this.#caughtUp.promise
  }

  /** The database closes. */
  advance(): void {
    this.#serve()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#requests.length === 0) {
      const value = this.#take()
      if (value !== undefined) return Promise.resolve({ done: false, value })
    }
    return new Promise((resolve, reject) => {
      this.#requests.push({ resolve, reject })
      this.#serve()
    })
  }

  async return(): Promise<IteratorResult<T>> {
    this.#end(undefined)
    return { done: true, value: undefined }
  }
  async close(): Promise<void> {
    this.#end(undefined)
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** One at a time: the next one is taken when the promise of the one before has resolved. */
  async each(handle: (value: T) => unknown): Promise<void> {
    if (typeof handle !== 'function') throw SluiceError.of('INVALID_USE', 'each() takes a function: stream.each(async (commit) => { … }).')
    try {
      for (;;) {
        // What is there is handed out without a turn between two, as long as nobody asks for one.
        let value = this.#requests.length === 0 ? this.#take() : undefined
        if (value === undefined) {
          const next = await this.next()
          if (next.done === true) return
          value = next.value
        }
        const pending = handle(value)
        if (isThenable(pending)) await pending
      }
    } catch (error) {
      this.#end(undefined)
      throw error
    }
  }

  /** Nothing is taken before it is asked for: what waits there is not counted as handed out. */
  readable(): ReadableStream<T> {
    const pull = async (controller: ReadableStreamDefaultController<T>): Promise<void> => {
      const { done, value } = await this.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    }
    return new ReadableStream<T>({ pull, cancel: () => this.#end(undefined) }, { highWaterMark: 0 })
  }

  // ── handing out ───────────────────────────────────────────────────────────────────────────────────────

  #take(): T | undefined {
    if (this.isEnded) return undefined
    const { parts } = this.#parts
    if (parts === undefined) {
      const commit = this.#takeCommit()
      if (commit !== undefined && commit.snapshot === undefined) this.#handed = commit.position
      return commit as T | undefined
    }
    while (this.#nextOfRest === this.#rest.length) {
      const commit = this.#takeCommit()
      if (commit === undefined) return undefined
      this.#rest = parts(commit)
      this.#nextOfRest = 0
      this.#restPosition = commit.position
    }
    const value = this.#rest[this.#nextOfRest]!
    this.#nextOfRest += 1
    if (this.#nextOfRest === this.#rest.length) this.#handed = this.#restPosition
    return value
  }

  /** Answers who asks, as far as there is something, and sees to it that there will be. */
  #serve(): void {
    const subscription = this.#subscription
    while (this.#requests.length > 0) {
      const value = this.#take()
      if (value === undefined) break
      this.#requests.shift()!.resolve({ done: false, value })
    }
    if (subscription.isEnded) {
      this.#sayEnd()
      return
    }
    if (!subscription.isLive) this.#wasBehind = true
    if (this.#requests.length === 0 || this.#isTelling) return
    if (this.#schemaDue !== undefined) {
      this.#tellSchema()
      return
    }
    if (subscription.isLive && this.#parts.hub.isClosed) subscription.leave()
    if (subscription.isLive) {
      if (this.#wasBehind && (this.#caughtUp !== undefined || this.#parts.onCaughtUp !== undefined)) this.#lookForEnd()
    } else void this.#refill()
  }

  async #refill(): Promise<void> {
    if (this.#isRefilling) return
    this.#isRefilling = true
    await this.#subscription.refill()
    this.#isRefilling = false
    this.#serve()
  }

  /** Nothing while a change of the schema stands before it. */
  #takeCommit(): CommitView | undefined {
    return this.#isTelling || this.#schemaDue !== undefined ? undefined : this.#subscription.take()
  }

  // ── schemas ───────────────────────────────────────────────────────────────────────────────────────────

  /** What stands before the next commit, or before the place that was reached where there is none. */
  get #schemaDue(): SchemaStep | undefined {
    const trail = this.#schemas?.trail
    if (trail === undefined || this.#nextOfRest < this.#rest.length) return undefined
    const { first, place } = this.#subscription
    const step = trail.due(first === undefined ? place.batch : positionParts(first.position)!.batch)
    if (trail.isOver) this.#schemas = undefined
    return step
  }

  #tellSchema(): void {
    this.#isTelling = true
    this.#parts.atEndOfTick(() => void this.#tellSteps())
  }

  async #tellSteps(): Promise<void> {
    try {
      for (let step = this.#schemaDue; step !== undefined && !this.isEnded; step = this.#schemaDue) {
        const { trail, tell } = this.#schemas!
        await tell(step)
        trail.told()
      }
    } catch (error) {
      this.#end(error)
    }
    this.#isTelling = false
    this.#serve()
  }

  // ── where it stands ───────────────────────────────────────────────────────────────────────────────────

  #look(): void {
    if (this.#schemas !== undefined) this.#serve()
    if (this.#parts.onProgress !== undefined) this.#report()
  }

  /** Whoever asks has dealt with what was handed out before, so a position told now has no commit in the making. */
  #report(): void {
    const { position } = this
    if (this.#requests.length === 0 || position === undefined || position === this.#reported) return
    this.#reported = position
    this.#tell(this.#parts.onProgress!, position)
  }

  /** Caught up: it is asked, and there is nothing durable that it has not handed out. */
  #lookForEnd(): void {
    if (!this.#wasBehind || this.isEnded) return
    if (this.#requests.length > 0 && this.#subscription.isCaughtUp && !this.#isTelling && this.#schemaDue === undefined) {
      this.#wasBehind = false
      const position = this.position!
      this.#caughtUp?.resolve(position)
      if (this.#parts.onCaughtUp !== undefined) this.#tell(this.#parts.onCaughtUp, position)
    } else if (this.#subscription.isLive && !this.#isLookingForEnd) {
      this.#isLookingForEnd = true
      this.#parts.hub.atEnd(() => {
        this.#isLookingForEnd = false
        this.#lookForEnd()
      })
    }
  }

  #tell(listener: (position: Position) => void, position: Position): void {
    this.#parts.atEndOfTick(() => {
      if (this.isEnded) return
      try {
        listener(position)
      } catch (error) {
        this.#end(error)
      }
    })
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  #end(failure: unknown): void {
    this.#subscription.end(failure)
  }

  /** The one who asks first hears why; everybody after that, that it has ended. */
  #sayEnd(): void {
    this.#stopWatching?.()
    this.#stopWatching = undefined
    this.#parts.signal?.removeEventListener('abort', this.#onAbort)
    this.#parts.onEnd()
    const { failure } = this.#subscription
    this.#caughtUp?.reject(failure ?? endedBefore())
    if (failure !== undefined && !this.#hasFailed && this.#requests.length > 0) {
      this.#hasFailed = true
      const { reject } = this.#requests.shift()!
      inPositions(Promise.reject(failure as Error)).catch(reject)
    }
    for (const { resolve } of this.#requests.splice(0)) resolve({ done: true, value: undefined })
  }
}

const isThenable = (answer: unknown): boolean => typeof answer === 'object' && answer !== null && 'then' in answer

const endedBefore = (): SluiceError => SluiceError.of('CANCELLED', 'The stream ended before it had caught up.')

/** The end of a batch is after all of it. */
export const positionOf = ({ batch, index }: LogPlace): Position => formatPosition(batch, index === endOfBatch ? indexMax : index)

/** A commit as users see it. */
export function commitOf(selection: Selection): CommitView {
  const { batch, index, time, changes, merged, isCompacted, isErased, value } = selection
  const position = formatPosition(batch, index)
  const isOne = merged === undefined && selection.snapshot === undefined
  const commit = {
    position,
    time,
    // An interactive transaction has no procedure that a user could know.
    procedure: isOne && selection.procedure !== transactName ? selection.procedure : undefined,
    // The ids of the engine's own calls are nobody's requests.
    requestId: isOne && selection.id?.startsWith(enginePrefix) !== true ? selection.id : undefined,
    changes,
    events: eventsOf(selection, position),
  }
  if (isOne && !isCompacted && !isErased && value === undefined) return commit // nearly all: no copy
  const whole = { ...commit, ...(isCompacted && { compacted: true as const }), ...erasureIn(selection) }
  if (isOne) return whole
  if (selection.snapshot === undefined) return { ...whole, merged } as CommitView
  const { rowsBefore, isLast } = selection.snapshot
  return { ...whole, snapshot: true, rowsBefore, ...(isLast && { last: true }) } as CommitView
}

const noEvents: readonly object[] = Object.freeze([])

function eventsOf({ events, time }: Selection, position: Position): readonly object[] {
  return events.length === 0 ? noEvents : events.map(({ type, payload }) => ({ type, payload, position, time }))
}

export const wrongStart = (shown: string): SluiceError =>
  SluiceError.of('INVALID_USE', `A stream starts from 'now', 'beginning', 'snapshot', a Position or a Date, not from ${shown}.`)
