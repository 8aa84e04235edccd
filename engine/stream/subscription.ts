/**
 * One subscriber: a bounded buffer, and the place in the log up to which it has seen everything.
 *
 *                    joins when it has seen all that the hub has
 *      ┌────────┐  ───────────────────────────────────────────►  ┌──────┐
 *      │ behind │                                                │ live │
 *      └────────┘  ◄───────────────────────────────────────────  └──────┘
 *        reads the log itself,         the buffer is full         the hub puts into the buffer
 *        when it is asked
 *
 * The seam, once more in one place (stream-hub.ts has the other half):
 *   J1  Who is live has `seen` >= the place of the hub: everything up to that place is in its buffer, was taken, or was passed over.
 *   J2  The hub's transactions at or before `seen` are not put into the buffer: after joining ahead of the hub nothing comes twice.
 *   J3  Who leaves takes along the place of the transaction that filled its buffer: the own follower goes on right behind it.
 *   J4  What the hub has read and not handed out was decoded for those who were live then: nobody joins in between.
 *
 * Places are batch and index; both sides read whole transactions of the same frames, so "the same place" is two numbers and no search.
 * Who is behind and is not asked costs its buffer and nothing else: the follower reads when `refill` is called.
 *
 * Why not a queue of unbounded length, or one that drops: the log is the queue (design §4).
 */
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { endOfBatch, isBefore } from '../schema/handler-ids.js'
import { Backlog } from './backlog.js'
import type { DecodedTransaction } from './frame-decoder.js'
import type { LogFollower, LogPlace } from './log-follower.js'
import type { SchemaTrail } from './schema-trail.js'
import type { SnapshotRows } from './snapshot-rows.js'
import type { Selection, StreamFilter } from './stream-filter.js'

/** `spill`: reads on from the log; `wait`: the same, and the log is kept for it; `conflate`: merges what it missed; `fail`: ends. */
export type SlowPolicy = 'spill' | 'wait' | 'conflate' | 'fail'

export interface SubscriptionOptions {
  readonly filter: StreamFilter
  /** It sees what comes after this place. */
  readonly after: LogPlace
  /** Commits before this time are passed over. */
  readonly sinceMs: number | undefined
  readonly slow: SlowPolicy
  /** Commits that its buffer holds. */
  readonly commits: number
  /** Rows that come first: `after` is then where these are from. */
  readonly snapshot: (() => SnapshotRows) | undefined
  /** The schemas that it comes to, where somebody asks for them. */
  readonly trail?: SchemaTrail | undefined
}

/** What a subscription asks of the hub. */
export interface SubscriptionHost<Value> {
  readonly place: LogPlace
  readonly isClosed: boolean
  durable(): number
  shape(selection: Selection): Value
  /** Reads for one filter, behind a place. */
  open(options: SubscriptionOptions, after: LogPlace): LogFollower
  /** Takes a subscription in, where J1 and J4 allow it. `isAtEnd`: it has read all that was durable. */
  join(subscription: Subscription<Value>, isAtEnd: boolean): boolean
  leave(subscription: Subscription<Value>): void
  end(subscription: Subscription<Value>): void
  /** Resolves when something became durable, or the hub has moved, or the database closes. */
  nextNews(): Promise<void>
  nextTurn(): Promise<void>
  /** The subscription has moved on. */
  moved(): void
}

export class Subscription<Value> {
  readonly filter: StreamFilter
  readonly slow: SlowPolicy
  /** Told when the buffer has got something, and when the subscription has ended. */
  onNews: () => void = () => undefined
  /** Bytes of the log at the moment when it fell behind, for who bounds what is kept for it. */
  behindSince = 0
  readonly #host: SubscriptionHost<Value>
  readonly #options: SubscriptionOptions
  readonly #values: (Value | undefined)[] = []
  readonly #sizes: number[] = []
  #next = 0
  #bytes = 0
  #state: 'behind' | 'live' | 'ended' = 'behind'
  #seen: LogPlace
  #follower: LogFollower | undefined
  #snapshot: SnapshotRows | undefined
  #isBeforeSnapshot: boolean
  readonly #backlog: Backlog | undefined
  #isRefilling = false
  #hasDropped = false
  #failure: unknown
  readonly #read: DecodedTransaction[] = []

  constructor(host: SubscriptionHost<Value>, options: SubscriptionOptions) {
    this.#host = host
    this.#options = options
    this.filter = options.filter
    this.slow = options.slow
    this.#seen = options.after
    this.#isBeforeSnapshot = options.snapshot !== undefined
    if (options.slow === 'conflate') this.#backlog = new Backlog()
  }

  get isLive(): boolean {
    return this.#state === 'live'
  }
  get isEnded(): boolean {
    return this.#state === 'ended'
  }
  get failure(): unknown {
    return this.#failure
  }
  /** Commits in the buffer. */
  get count(): number {
    return this.#values.length - this.#next
  }
  get isInFiles(): boolean {
    return this.#follower?.isInFiles === true
  }
  /** Something durable has not been taken. */
  get isBehind(): boolean {
    if (this.count > 0) return true
    if (this.#state === 'ended') return false
    const { place } = this
    // What the follower has read of files is on its way as long as it reads: it is behind `seen` then.
    if (this.#state === 'behind' && this.#follower !== undefined) return this.#follower.isBehind() || isBefore(place, this.#follower.place)
    return place.batch < this.#host.durable() || (place.batch === this.#host.durable() && place.index !== endOfBatch)
  }
  /** Everything durable has been taken, and what comes is put into the buffer. */
  get isCaughtUp(): boolean {
    return this.#state === 'live' && this.count === 0 && this.place.batch >= this.#host.durable()
  }
  /** It has ended with something in its buffer, which nobody gets. */
  get hasDropped(): boolean {
    return this.#hasDropped
  }
  /** The snapshot that it begins with has not been read to its end. */
  get isInSnapshot(): boolean {
    return this.#isBeforeSnapshot || this.#snapshot !== undefined
  }
  /** Everything up to here is in the buffer, was taken, or was passed over. */
  get place(): LogPlace {
    const { place } = this.#host
    return this.#state === 'live' && isBefore(this.#seen, place) ? place : this.#seen
  }
  /** The log is needed behind this batch. */
  get needsAfter(): number {
    const { batch, index } = this.place
    return index === endOfBatch || this.#state === 'live' ? batch : batch - 1
  }

  /** What `take` answers next. */
  get first(): Value | undefined {
    return this.#values[this.#next]
  }

  take(): Value | undefined {
    const at = this.#next
    if (at === this.#values.length) return undefined
    const value = this.#values[at]
    this.#values[at] = undefined
    this.#bytes -= this.#sizes[at]!
    this.#next = at + 1
    if (this.#next === this.#values.length) this.#clear()
    else if (this.#next >= limits.streamBufferCommitsMax) this.#compact()
    return value
  }

  // ── live ──────────────────────────────────────────────────────────────────────────────────────────────

  /** The hub has let it in. */
  joined(): void {
    this.#state = 'live'
    this.#seen = this.#follower?.place ?? this.#seen
    this.#follower?.close()
    this.#follower = undefined
  }

  /** From the hub: what its filter lets through. */
  receive(value: Value, selection: Selection): void {
    const { batch, index } = selection
    if (batch < this.#seen.batch || (batch === this.#seen.batch && index <= this.#seen.index)) return // J2
    if (this.#options.sinceMs !== undefined && selection.time < this.#options.sinceMs) return
    if (this.slow === 'fail' && this.#isFull) {
      this.end(tooSlow(this.#options.commits))
      return
    }
    this.#put(value, selection.bytes)
    this.onNews()
    if (this.slow !== 'fail' && this.#isFull) this.leave({ batch, index }) // J3
  }

  /** Goes on by itself, behind `place`. */
  leave(place: LogPlace = this.place): void {
    if (this.#state !== 'live') return
    this.#seen = isBefore(this.#seen, place) ? place : this.#seen
    this.#state = 'behind'
    this.#host.leave(this)
  }

  get #isFull(): boolean {
    return this.count >= this.#options.commits || this.#bytes >= limits.streamBufferBytesMax
  }

  /** An erasure has ended: what waits here was read before it, and is read again. What comes out of an open view is as that shows it. */
  reread(placeOf: (value: Value) => LogPlace): void {
    const { first } = this
    if (first === undefined || this.isInSnapshot || this.#state === 'ended' || (this.#backlog !== undefined && this.#state === 'behind')) return
    const { batch, index } = placeOf(first)
    const wasLive = this.#state === 'live'
    this.#clear()
    this.#state = 'behind'
    if (wasLive) this.#host.leave(this)
    this.#follower?.close()
    this.#follower = undefined
    this.#seen = index === 0 ? { batch: batch - 1, index: endOfBatch } : { batch, index: index - 1 }
    this.onNews()
  }

  // ── behind ────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads the log until there is something to take, or it is live. The buffer is empty. One call at a time. */
  async refill(): Promise<void> {
    if (this.#isRefilling) return
    this.#isRefilling = true
    try {
      while (this.#state === 'behind' && this.count === 0) await this.#step()
    } catch (error) {
      this.end(error)
    } finally {
      this.#isRefilling = false
    }
  }

  async #step(): Promise<void> {
    if (this.isInSnapshot) return this.#readRows()
    const host = this.#host
    const { trail } = this.#options
    if (trail?.isBegun === false) return trail.begin(this.#seen.batch)
    if (!host.isClosed && this.#backlog?.isEmpty !== false && host.join(this, this.#isAtEnd)) return
    const follower = (this.#follower ??= host.open(this.#options, this.#seen))
    const before = this.#seen
    this.#read.length = 0
    const most = this.#backlog === undefined ? Math.min(this.#options.commits, limits.streamBufferCommitsMax) : limits.streamBufferCommitsMax
    if (!follower.readRing(most, this.#read)) await follower.readFiles(most, this.#read)
    if (this.#state === 'ended') return
    this.#seen = follower.place
    for (const transaction of this.#read) {
      const selection = this.filter.select(transaction)
      if (selection === undefined) continue
      if (this.#backlog === undefined) this.#put(host.shape(selection), selection.bytes)
      else this.#backlog.add(selection)
    }
    if (isBefore(before, this.#seen)) host.moved()
    const hasRead = this.#read.length > 0 || isBefore(before, this.#seen)
    if (this.#backlog !== undefined && this.#merge(this.#backlog, hasRead)) return host.nextTurn()
    if (hasRead || this.count > 0) return
    // Nothing came of it: look again when something happens, and not at once for ever.
    if (host.isClosed) this.end(undefined)
    else if (!(this.#isAtEnd && host.join(this, true))) await host.nextNews()
  }

  get #isAtEnd(): boolean {
    if (this.#follower !== undefined) return this.#follower.isAtEnd || !this.#follower.isBehind()
    return this.#seen.index === endOfBatch && this.#host.durable() <= this.#seen.batch
  }

  /** True where more should be merged first. */
  #merge(backlog: Backlog, hasRead: boolean): boolean {
    if (backlog.isEmpty) return false
    if (hasRead && !backlog.isFull && !this.#isAtEnd) return true
    const selection = backlog.take()
    if (selection !== undefined) this.#put(this.#host.shape(selection), selection.bytes)
    return false
  }

  /** The next rows of the snapshot; behind the last ones the log, from exactly there. */
  async #readRows(): Promise<void> {
    if (this.#snapshot === undefined) {
      this.#snapshot = this.#options.snapshot!()
      this.#isBeforeSnapshot = false
      this.#seen = this.#snapshot.place
    }
    const selection = this.#snapshot.next()
    if (selection !== undefined) {
      this.#put(this.#host.shape(selection), selection.bytes)
      return
    }
    this.#snapshot.close()
    this.#snapshot = undefined
    this.#host.moved()
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  /** `failure`: why, where it is not by the wish of who reads. */
  end(failure: unknown): void {
    if (this.#state === 'ended') return
    if (this.#state === 'live') this.#seen = this.place
    const wasLive = this.#state === 'live'
    this.#state = 'ended'
    this.#failure = failure
    this.#hasDropped = this.count > 0
    this.#clear()
    if (wasLive) this.#host.leave(this)
    this.#follower?.close()
    this.#snapshot?.close()
    this.#host.end(this)
    this.onNews()
  }

  #put(value: Value, bytes: number): void {
    this.#values.push(value)
    this.#sizes.push(bytes)
    this.#bytes += bytes
  }
  #clear(): void {
    this.#values.length = 0
    this.#sizes.length = 0
    this.#next = 0
    this.#bytes = 0
  }
  #compact(): void {
    this.#values.splice(0, this.#next)
    this.#sizes.splice(0, this.#next)
    this.#next = 0
  }
}

function tooSlow(commits: number): SluiceError {
  return SluiceError.of(
    'OVERLOADED',
    `A stream with slow: 'fail' ended because more than ${commits} commits were waiting for it: read faster, allow more (buffer), or go on from its position with another policy.`,
    { details: { max: commits } },
  )
}
