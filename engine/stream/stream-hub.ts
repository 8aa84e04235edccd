/**
 * The live end of the log, once for all subscribers: each commit is decoded once, and filtered once for each distinct filter that it
 * concerns.
 *
 *   log ──► one follower ──► routes ──► buffers of those who are live ──► who asks
 *      └──► a follower for each subscriber that is behind and asks
 *
 * The hub reads when something has become durable, a share of it in each turn of the event loop, and puts what it has read into the
 * buffers of those whom it concerns. It never waits for anybody: whose buffer is full leaves, and comes back when it has read the
 * rest from the log by itself (J1 – J4 in subscription.ts). What the hub does for a commit depends on how many it concerns and not on
 * how many there are (stream-routes.ts).
 *
 * Invariants:
 *   H1  `place` is where the hub stands: all that is durable up to there has been handed out.
 *   H2  Without live subscribers there is no follower, and nothing is read. The first one to join brings its own place.
 *   H3  The hub is behind as a whole or not at all: where the ring has overtaken it, it reads the files once for all of them. Where it cannot
 *       go on, each subscriber does by itself, and finds its own error.
 */
import type { Environment } from '../base/environment.js'
import { limits } from '../base/limits.js'
import { isBefore } from '../schema/handler-ids.js'
import type { DecodedTransaction, FrameFilter } from './frame-decoder.js'
import type { FollowerOptions, LogFollower, LogPlace } from './log-follower.js'
import type { Selection } from './stream-filter.js'
import { type Route, StreamRoutes } from './stream-routes.js'
import { Subscription, type SubscriptionHost, type SubscriptionOptions } from './subscription.js'
import type { LogHold } from '../../wal/index.js'

/** What a hub asks of the engine. */
export interface HubParts<Value> {
  readonly environment: Environment
  durable(): number
  isClosed(): boolean
  /** Bytes that the log has ever got, as far as this opening knows. */
  logBytes(): number
  /** Told after every advance of durable, while it wants to. */
  follow(follower: { advance(): void }): void
  unfollow(follower: { advance(): void }): void
  open(filter: FrameFilter, after: LogPlace, besides: Pick<FollowerOptions, 'sinceMs' | 'trail'>): LogFollower
  /** What subscribers get. Made once for each distinct filter. */
  shape(selection: Selection): Value
  placeOf(value: Value): LogPlace
}

export class StreamHub<Value> implements SubscriptionHost<Value> {
  readonly #parts: HubParts<Value>
  readonly #routes = new StreamRoutes<Subscription<Value>>()
  readonly #open = new Set<Subscription<Value>>()
  #live = 0
  #follower: LogFollower | undefined
  #place: LogPlace = { batch: 0, index: 0 }
  #isDue = false
  #isReading = false
  readonly #read: DecodedTransaction[] = []
  #sleepers: (() => void)[] = []
  readonly #watchers = new Set<() => void>()
  #atEnd: (() => void)[] = []
  #stopTimer: (() => void) | undefined
  readonly #pump = (): void => this.#step()
  readonly #deliver = (route: Route<Subscription<Value>>, selection: DecodedTransaction): void => {
    const value = this.#parts.shape(selection)
    for (const subscription of route.subscribers) subscription.receive(value, selection)
  }

  constructor(parts: HubParts<Value>) {
    this.#parts = parts
  }

  subscribe(options: SubscriptionOptions): Subscription<Value> {
    const subscription = new Subscription<Value>(this, options)
    subscription.behindSince = this.#parts.logBytes()
    if (this.#open.size === 0) this.#parts.follow(this)
    this.#open.add(subscription)
    return subscription
  }

  get subscriptions(): ReadonlySet<Subscription<Value>> {
    return this.#open
  }
  /** Distinct filters of those who are live. */
  get distinct(): number {
    return this.#routes.distinct
  }

  /** Whom the log is kept for (`slow: 'wait'`), and up to which batch each has read. */
  get held(): readonly LogHold[] {
    const newest = this.#parts.logBytes()
    return [...this.#open]
      .filter(({ slow, isLive, behindSince }) => slow === 'wait' && (isLive || newest - behindSince <= limits.streamHeldBytesMax))
      .map((subscription, n) => ({ name: `stream ${n}`, batch: subscription.needsAfter }))
  }

  /** Calls `look` some time after something has moved, at most every `limits.streamProgressMs`; answers how to end that. */
  watch(look: () => void): () => void {
    this.#watchers.add(look)
    return () => {
      this.#watchers.delete(look)
      if (this.#watchers.size > 0) return
      this.#stopTimer?.()
      this.#stopTimer = undefined
    }
  }

  /** Calls `look` once, when the hub has handed out all that is durable, or has nobody left. */
  atEnd(look: () => void): void {
    this.#atEnd.push(look)
  }

  // ── the engine's side ─────────────────────────────────────────────────────────────────────────────────

  /** Something became durable. Answers go first: what hears of them was queued before this. */
  advance(): void {
    this.#parts.logBytes()
    this.#wake()
    this.#soon()
  }

  #soon(): void {
    if (this.#isDue || this.#isReading || this.#follower === undefined) return
    this.#isDue = true
    this.#parts.environment.atEndOfTick(this.#pump)
  }

  #step(): void {
    this.#isDue = false
    const follower = this.#follower
    if (follower === undefined || this.#isReading) return
    this.#read.length = 0
    try {
      if (follower.readRing(limits.streamTurnCommitsMax, this.#read)) this.#handOut(follower)
      else void this.#readFiles(follower)
    } catch {
      this.#disband() // H3
    }
  }

  async #readFiles(follower: LogFollower): Promise<void> {
    this.#isReading = true
    try {
      await follower.readFiles(limits.streamTurnCommitsMax, this.#read)
      this.#isReading = false
      if (this.#follower === follower) this.#handOut(follower)
    } catch {
      this.#isReading = false
      if (this.#follower === follower) this.#disband()
    }
    this.#wake()
  }

  #handOut(follower: LogFollower): void {
    const before = this.#place
    const { place } = follower
    // J3 counts on it: who leaves in between stands at its own transaction, and not where the hub will be.
    for (const transaction of this.#read) this.#routes.route(transaction, this.#deliver)
    const hasRead = this.#read.length > 0 || isBefore(before, place)
    this.#read.length = 0
    if (this.#follower !== follower) return
    this.#place = place
    if (!hasRead) return
    this.moved()
    if (!follower.isBehind()) {
      this.#tellEnd()
      return
    }
    this.#isDue = true
    this.#parts.environment.soon(this.#pump)
  }

  /** H3. */
  #disband(): void {
    for (const subscription of [...this.#open]) {
      if (!subscription.isLive) continue
      subscription.leave()
      subscription.onNews()
    }
  }

  #tellEnd(): void {
    if (this.#atEnd.length === 0) return
    const looks = this.#atEnd
    this.#atEnd = []
    for (const look of looks) look()
  }

  #wake(): void {
    const { length } = this.#sleepers
    if (length === 0) return
    const sleepers = this.#sleepers
    this.#sleepers = []
    for (const wake of sleepers) wake()
  }

  // ── the subscribers' side ─────────────────────────────────────────────────────────────────────────────

  get place(): LogPlace {
    return this.#place
  }
  get isClosed(): boolean {
    return this.#parts.isClosed()
  }
  durable(): number {
    return this.#parts.durable()
  }
  shape(selection: Selection): Value {
    return this.#parts.shape(selection)
  }
  open({ filter, sinceMs, trail }: SubscriptionOptions, after: LogPlace): LogFollower {
    return this.#parts.open(filter.frames, after, { sinceMs, trail })
  }

  join(subscription: Subscription<Value>, isAtEnd: boolean): boolean {
    if (this.#isReading) return false // J4
    if (this.#follower === undefined) {
      if (!isAtEnd) return false
      const { place } = subscription
      this.#follower = this.#parts.open(this.#routes.frames, place, {})
      this.#place = place
    } else if (isBefore(subscription.place, this.#place)) return false // J1
    this.#live += 1
    this.#routes.add(subscription.filter, subscription)
    subscription.joined()
    if (this.#follower.isBehind()) this.#soon()
    return true
  }

  leave(subscription: Subscription<Value>): void {
    subscription.behindSince = this.#parts.logBytes()
    this.#routes.remove(subscription.filter, subscription)
    this.#live -= 1
    if (this.#live > 0) return
    this.#follower?.close()
    this.#follower = undefined
    this.#tellEnd()
  }

  end(subscription: Subscription<Value>): void {
    this.#open.delete(subscription)
    if (this.#open.size > 0) return
    this.#parts.unfollow(this)
    this.#wake()
  }

  nextNews(): Promise<void> {
    return new Promise((resolve) => void this.#sleepers.push(resolve))
  }
  nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#parts.environment.soon(resolve))
  }

  moved(): void {
    if (this.#watchers.size === 0 || this.#stopTimer !== undefined) return
    this.#stopTimer = this.#parts.environment.later(limits.streamProgressMs, () => {
      this.#stopTimer = undefined
      for (const look of [...this.#watchers]) look()
    })
  }

  /** An erasure has ended. */
  reread(): void {
    for (const subscription of [...this.#open]) subscription.reread(this.#parts.placeOf)
  }

  /** Everything reads what is left and ends: the database closes. */
  close(): void {
    this.#disband()
    this.#wake()
  }
}
