/**
 * Streams of commits as async iterators: catch-up from the log, then live, without a seam.
 *
 * A stream pulls from its follower and buffers at most `limits.streamBufferCommitsMax` commits; who does not pull costs nothing,
 * because the log itself is the buffer. It waits for `advance`, which the engine calls when durable moves.
 */
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { type AbortLike, type DecodedTransaction, enginePrefix, type LogFollower, type OpenEngine, transactName } from '../engine/index.js'
import { erasureIn } from './erasure.js'
import { formatPosition, inPositions } from './position.js'

export class CommitStream<T> implements AsyncIterableIterator<T>, AsyncDisposable {
  readonly #database: OpenEngine
  readonly #follower: LogFollower
  readonly #shape: (transaction: DecodedTransaction) => readonly T[]
  readonly #onEnd: (stream: CommitStream<unknown>) => void
  readonly #signal: AbortLike | undefined
  readonly #onAbort: () => void
  readonly #read: DecodedTransaction[] = []
  #buffer: T[] = []
  #next = 0
  #isEnded = false
  #wake: (() => void) | undefined
  /** Calls of `next` are answered one after the other. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(database: OpenEngine, follower: LogFollower, shape: (transaction: DecodedTransaction) => readonly T[], signal: AbortLike | undefined, onEnd: (stream: CommitStream<unknown>) => void) {
    this.#database = database
    this.#follower = follower
    this.#shape = shape
    this.#signal = signal
    this.#onEnd = onEnd
    this.#onAbort = () => this.#end()
    signal?.addEventListener('abort', this.#onAbort)
    database.engine.follow(this)
    if (signal?.aborted === true) this.#end()
  }

  get isEnded(): boolean {
    return this.#isEnded
  }
  /** It reads files: memory does not hold any more what it comes to. */
  get isInFiles(): boolean {
    return this.#follower.isInFiles
  }
  /** Something is durable that it has not read. */
  get isBehind(): boolean {
    return this.#follower.isBehind()
  }

  /** Something became durable. */
  advance(): void {
    this.#wake?.()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#next < this.#buffer.length && !this.#isEnded) {
      const value = this.#buffer[this.#next]!
      this.#next += 1
      return Promise.resolve({ done: false, value })
    }
    const result = this.#turn.then(() => this.#pull())
    this.#turn = result.catch(() => undefined)
    return result
  }

  async return(): Promise<IteratorResult<T>> {
    this.#end()
    return { done: true, value: undefined }
  }

  async close(): Promise<void> {
    this.#end()
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #pull(): Promise<IteratorResult<T>> {
    for (;;) {
      if (this.#isEnded) return { done: true, value: undefined }
      if (this.#next < this.#buffer.length) {
        const value = this.#buffer[this.#next]!
        this.#next += 1
        return { done: false, value }
      }
      try {
        await inPositions(this.#fill())
      } catch (error) {
        this.#end()
        throw error
      }
    }
  }

  async #fill(): Promise<void> {
    const follower = this.#follower
    this.#read.length = 0
    if (!follower.isBehind()) return this.#wait()
    const before = follower.batch
    if (follower.readRing(limits.streamBufferCommitsMax, this.#read)) {
      if (follower.isInFiles) follower.leaveFiles()
    } else await follower.readFiles(limits.streamBufferCommitsMax, this.#read)
    this.#buffer = this.#read.flatMap(this.#shape)
    this.#next = 0
    // Nothing came of it: look again when something happens, and not at once for ever.
    if (this.#read.length === 0 && follower.batch === before && follower.isBehind()) return this.#wait()
  }

  async #wait(): Promise<void> {
    if (this.#database.engine.isClosed) {
      this.#end()
      return
    }
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
  }

  #end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#buffer = []
    this.#next = 0
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#database.engine.unfollow(this)
    this.#follower.close()
    this.#wake?.()
    this.#onEnd(this)
  }
}

/** A commit as users see it. */
export function commitOf(transaction: DecodedTransaction): object {
  const position = formatPosition(transaction.batch, transaction.index)
  return {
    position,
    time: transaction.time,
    // An interactive transaction has no procedure that a user could know.
    procedure: transaction.procedure === transactName ? undefined : transaction.procedure,
    // The ids of the engine's own calls are nobody's requests.
    requestId: transaction.id?.startsWith(enginePrefix) === true ? undefined : transaction.id,
    changes: transaction.changes,
    events: transaction.events.map(({ type, payload }) => ({ type, payload, position, time: transaction.time })),
    ...erasureIn(transaction),
  }
}

/** Its events alone. */
export function eventsOf(transaction: DecodedTransaction): object[] {
  const position = formatPosition(transaction.batch, transaction.index)
  return transaction.events.map(({ type, payload }) => ({ type, payload, position, time: transaction.time }))
}

export const wrongStart = (shown: string): SluiceError =>
  SluiceError.of('INVALID_USE', `A stream starts from 'now', 'beginning', a Position or a Date, not from ${shown}.`)
