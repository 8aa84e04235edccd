/**
 * One durable consumer while it is open: follows the log for its commits, hands each to one of its members, and sees it through.
 *
 *   log ──► follower ──► deliveries, in log order ──► by key: one at a time, in order ──► a member ──► done     ┐
 *                              │                                ▲                             ├──► again, later  │ those at the front that
 *                              │                                └──── told to go on ◄─────────┴──► parked        ┘ are done move the mark
 *
 * Invariants:
 *   G1  Of one key at most one delivery is with a member, and the next begins when it has ended: order per key, whoever the members are. A
 *       key goes to the same member as long as the members are the same (highest random weight: Thaler and Ravishankar, 1998).
 *   G2  What is parked of a key comes before what is not. While a key is parked, what comes behind joins it, and other keys go on. A consumer
 *       without keys is one key, and stays where it is: copying the log behind it would be all that parking did.
 *   G3  At most `consumerCommitsAheadMax` commits are taken and not done; a handler that does not end holds these, and nobody else.
 *   G4  A delivery has ended when its handler has, and its calls have. What it ends with is thrown away if the consumer began anew meanwhile.
 *   G5  A delivery that holds what is being erased is read again from the log, when that has been erased, before it is handed out or parked.
 *
 * How far it has come is noted (consumer-record.ts) now and then: beside a call that is under way, after some commits, after some time.
 */
import { hashEnd, hashStart, hashText } from './base/hash.js'
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { Engine } from './database.js'
import { type CallAnswer, ConsumerDelivery } from './consumer-delivery.js'
import type { ConsumerErasure } from './consumer-erasure.js'
import { ConsumerRecord, isBehind, keyOfNone, keyWhenParked, placeText } from './consumer-record.js'
import { keyTextOf } from './handler-queue.js'
import { LogPump, readOn } from './log-pump.js'
import { type ConsumerMark, type ConsumerPlace, endOfBatch, type HandlerCursor } from './schema/handler-ids.js'
import { isPartitionValue } from './schema/placement.js'
import type { DecodedTransaction } from './stream/frame-decoder.js'
import type { StreamFilter } from './stream/stream-filter.js'
import type { LogFollower } from './stream/log-follower.js'

export type Verdict =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: string | null; readonly message: string; readonly delayMs?: number | undefined }
  | { readonly kind: 'dead'; readonly message: string }
  /** The member has left: nobody has handled it. */
  | { readonly kind: 'left' }

/** Who handles deliveries. */
export interface ConsumerMember {
  readonly concurrency: number
  /** Told before anything else. */
  joined(group: ConsumerGroup): void
  /** Never rejects. */
  handle(delivery: ConsumerDelivery): Promise<Verdict>
  /** The consumer does not go on by itself. */
  stopped(error: SluiceError): void
}

export interface ConsumerSettings {
  readonly filter: StreamFilter
  /** Undefined: all commits are of one key. It answers undefined for one that has none. */
  readonly keyOf: ((transaction: DecodedTransaction) => unknown) | undefined
  readonly attempts: number
  readonly backoffMs: number
  readonly backoffMsMax: number
}

export interface ConsumerFailure {
  readonly batch: number
  readonly index: number
  readonly attempt: number
  readonly code: string | null
  readonly message: string
}

export interface ConsumerState {
  readonly name: string
  /** Everything up to here is handled or parked. */
  readonly reached: HandlerCursor
  readonly members: number
  readonly isPaused: boolean
  readonly isBehind: boolean
  readonly behindBatches: number
  readonly behindMs: number
  readonly handled: number
  readonly redelivered: number
  readonly waiting: number
  readonly inFlight: number
  readonly parked: number
  readonly dead: number
  readonly lastFailure: ConsumerFailure | undefined
  readonly stopped: SluiceError | undefined
}

export interface ConsumerGroupParts {
  readonly engine: Engine
  readonly name: string
  readonly settings: ConsumerSettings
  readonly mark: ConsumerMark
  readonly follow: (filter: StreamFilter, after: HandlerCursor) => LogFollower
  /** Reads one commit again; undefined: an erasure has left nothing of it. */
  readonly readAgain: (filter: StreamFilter, place: HandlerCursor) => Promise<DecodedTransaction | undefined>
  /** The erasure that is under way. */
  readonly erasure: () => ConsumerErasure | undefined
}

interface Seat {
  readonly member: ConsumerMember
  readonly number: number
  readonly ready: ConsumerDelivery[]
  inFlight: number
}

/** One key that has something to do. */
interface Lane {
  readonly key: string
  readonly waiting: ConsumerDelivery[]
  /** With a member, on its way to one, in a pause, or being parked. */
  isBusy: boolean
}

export class ConsumerGroup {
  readonly name: string
  readonly #parts: ConsumerGroupParts
  readonly #pump: LogPump
  readonly #record: ConsumerRecord
  readonly #seats: Seat[] = []
  #seatsEver = 0
  #follower: LogFollower
  #deliveries: ConsumerDelivery[] = []
  /** Parked ones that were told to go on, and are on their way. */
  readonly #released = new Set<ConsumerDelivery>()
  #changesAhead = 0
  readonly #lanes = new Map<string, Lane>()
  /** What waits in them must be parked, and there is no room. */
  readonly #stuck = new Set<Lane>()
  /** Nobody can take them now: no member, or it is paused. */
  #unassigned: ConsumerDelivery[] = []
  #reached: HandlerCursor
  /** The follower is ahead of what was taken: where it is says nothing. */
  #isReading = false
  #doneSinceMark = 0
  #isMarkDue = false
  /** Grows when it begins anew. */
  #life = 0
  #resetting: Promise<void> | undefined
  #inFlight = 0
  /** Calls of deliveries that are under way. */
  #calling = 0
  #whenEnded: (() => void)[] = []
  #stopped: SluiceError | undefined
  #handled = 0
  #redelivered = 0
  #lastFailure: ConsumerFailure | undefined

  constructor(parts: ConsumerGroupParts) {
    const { engine, name, mark, follow, settings } = parts
    this.#parts = parts
    this.name = name
    this.#pump = new LogPump(engine, () => this.#look(), (error) => this.#stop(error))
    this.#record = new ConsumerRecord(engine, name, mark, (ms, work) => void this.#pump.later(ms, work))
    this.#reached = mark
    this.#follower = follow(settings.filter, mark)
    this.#pump.start()
    for (const [key, { isReleased }] of this.#record.parked) if (isReleased) this.#serve(this.#laneOf(key))
  }

  get settings(): ConsumerSettings {
    return this.#parts.settings
  }
  get mark(): ConsumerMark {
    return this.#record.mark
  }
  get size(): number {
    return this.#seats.length
  }

  get state(): ConsumerState {
    const { engine, name } = this.#parts
    const isReading = this.#stopped === undefined && this.#follower.isBehind()
    const first = this.#deliveries[0]
    const { batch } = this.#reached
    const durable = engine.durable
    const isLate = this.#deliveries.length > 0 || isReading
    return {
      name,
      reached: this.#reached,
      members: this.#seats.length,
      isPaused: this.#record.mark.isPaused,
      isBehind: isLate,
      behindBatches: isLate ? Math.max(1, batchesBetween(batch, durable)) : 0,
      behindMs: first === undefined ? 0 : Math.max(0, engine.now() - first.transaction.time),
      handled: this.#handled,
      redelivered: this.#redelivered,
      waiting: this.#deliveries.length,
      inFlight: this.#inFlight,
      parked: this.#record.count('parked', 'released'),
      dead: this.#record.count('dead'),
      lastFailure: this.#lastFailure,
      stopped: this.#stopped,
    }
  }

  get #isResetting(): boolean {
    return this.#resetting !== undefined
  }

  // ── members ───────────────────────────────────────────────────────────────────────────────────────────

  join(member: ConsumerMember): void {
    member.joined(this)
    this.#seats.push({ member, number: (this.#seatsEver += 1), ready: [], inFlight: 0 })
    this.#assignAnew()
    this.#pump.advance()
    if (this.#stopped !== undefined) member.stopped(this.#stopped)
  }

  /** Before its handlers end: what it gives back, and what waited for it, goes to others. */
  leave(member: ConsumerMember): void {
    const at = this.#seats.findIndex((seat) => seat.member === member)
    if (at < 0) return
    const [seat] = this.#seats.splice(at, 1)
    this.#unassigned.push(...seat!.ready.splice(0))
    this.#assignAnew()
  }

  #assignAnew(): void {
    const ready = this.#unassigned
    this.#unassigned = []
    for (const seat of this.#seats) ready.push(...seat.ready.splice(0))
    for (const delivery of ready) this.#dispatch(delivery)
  }

  #seatOf(key: string): Seat | undefined {
    if (this.#seats.length < 2) return this.#seats[0]
    let best: Seat | undefined
    let most = -1
    for (const seat of this.#seats) {
      const weight = hashEnd(hashText(hashText(hashStart, `${seat.number} `), key))
      if (weight > most) {
        best = seat
        most = weight
      }
    }
    return best
  }

  // ── taking commits from the log ───────────────────────────────────────────────────────────────────────

  get #mayTake(): boolean {
    const { length } = this.#deliveries
    if (this.#pump.isClosed || this.#isResetting || this.#stopped !== undefined || this.#seats.length === 0 || this.#record.mark.isPaused) return false
    if (length >= limits.consumerCommitsAheadMax || this.#changesAhead >= limits.consumerChangesAheadMax) return false
    return this.settings.keyOf !== undefined || this.#record.parked.size === 0 // G2
  }

  async #look(): Promise<void> {
    const life = this.#life
    const read: DecodedTransaction[] = []
    while (this.#mayTake && this.#follower.isBehind()) {
      read.length = 0
      this.#isReading = true
      try {
        const isNews = await readOn(this.#follower, limits.consumerCommitsReadMax, read)
        await this.#resetting
        if (this.#pump.isClosed || life !== this.#life) return
        for (const transaction of read) this.#take(this.settings.filter.select(transaction))
        if (!isNews) break
      } catch (error) {
        if (life !== this.#life) return // its follower was closed under it
        throw error
      } finally {
        this.#isReading = false
      }
    }
    this.#moveMark(false)
  }

  #take(transaction: DecodedTransaction | undefined): void {
    if (transaction === undefined) return // its changes are not those that were asked for
    const { batch, index } = transaction
    const { mark } = this.#record
    const place = { epoch: mark.epoch, batch, index }
    const isKnown = this.#record.states.has(placeText(place)) // set aside, and the mark had not moved
    let key = oneKey
    let failure: unknown
    try {
      key = keyOf(this.settings, transaction)
    } catch (error) {
      failure = error
    }
    const delivery = new ConsumerDelivery(this.#parts.engine, this.name, place, transaction, key, false, this.#record.hasCalled(place))
    this.#note(delivery)
    this.#deliveries.push(delivery)
    this.#changesAhead += weightOf(delivery)
    if (isKnown) {
      delivery.isDone = true
      return
    }
    const lane = this.#laneOf(key.text)
    if (failure !== undefined) {
      // It has no key, so nobody can say what must stand behind it: it is set aside alone.
      void this.#setAside(lane, delivery, 'dead', { code: codeOf(failure), message: `The key of this commit could not be found: ${messageOf(failure)}` })
      return
    }
    lane.waiting.push(delivery)
    this.#serve(lane)
  }

  // ── one after the other, by key ───────────────────────────────────────────────────────────────────────

  #laneOf(key: string): Lane {
    let lane = this.#lanes.get(key)
    if (lane === undefined) this.#lanes.set(key, (lane = { key, waiting: [], isBusy: false }))
    return lane
  }

  #serve(lane: Lane): void {
    if (lane.isBusy || this.#isResetting || this.#pump.isClosed || this.#lanes.get(lane.key) !== lane) return
    const parked = this.#record.parked.get(lane.key)
    if (parked?.isReleased === true) {
      lane.isBusy = true
      void this.#goOn(lane, parked.places[0]!)
      return
    }
    if (parked !== undefined) {
      if (this.settings.keyOf !== undefined) void this.#parkWaiting(lane)
      return
    }
    const next = lane.waiting.shift()
    if (next === undefined) {
      this.#lanes.delete(lane.key)
      return
    }
    lane.isBusy = true
    this.#dispatch(next)
  }

  /** The first of a key that was parked and told to go on. */
  async #goOn(lane: Lane, place: ConsumerPlace): Promise<void> {
    const life = this.#life
    try {
      while (!(await this.#record.keepPassed(place))) { // C2
        if (life !== this.#life || this.#pump.isClosed) return
        await new Promise<void>((resolve) => void this.#pump.later(limits.consumerMarkMs, resolve))
      }
      const found = this.#record.commitOf(place)
      const value = this.#record.parked.get(lane.key)?.value
      const transaction = found?.transaction ?? (await this.#parts.readAgain(this.settings.filter, place))
      if (life !== this.#life || this.#pump.isClosed) return
      if (transaction === undefined) {
        await this.#record.remove(place)
        if (life !== this.#life || this.#pump.isClosed) return
        lane.isBusy = false
        this.#serve(lane)
        this.#serveStuck()
        this.#wentOn()
        return
      }
      const delivery = new ConsumerDelivery(this.#parts.engine, this.name, place, transaction, { text: lane.key, value }, true, true)
      this.#note(delivery)
      this.#released.add(delivery)
      this.#dispatch(delivery)
    } catch (error) {
      if (life !== this.#life || this.#pump.isClosed) return
      if (SluiceError.is(error, 'HISTORY_GONE')) await this.#standStill(lane, place, error)
      else this.#stop(error)
    }
  }

  /** It cannot go on: its key stands still again, until it is discarded. */
  async #standStill(lane: Lane, place: ConsumerPlace, { code, message }: SluiceError): Promise<void> {
    this.#lastFailure = { batch: place.batch, index: place.index, attempt: 0, code, message }
    try {
      await this.#record.hold(lane.key)
    } catch (problem) {
      this.#stop(problem)
      return
    }
    lane.isBusy = false
    this.#serve(lane)
  }

  #dispatch(delivery: ConsumerDelivery): void {
    if (delivery.erasure !== undefined) {
      void this.#freshenThen(delivery, () => this.#dispatch(delivery))
      return
    }
    const seat = this.#record.mark.isPaused || this.#isResetting ? undefined : this.#seatOf(delivery.key)
    if (seat === undefined) this.#unassigned.push(delivery)
    else {
      seat.ready.push(delivery)
      this.#begin(seat)
    }
  }

  #begin(seat: Seat): void {
    while (seat.ready.length > 0 && seat.inFlight < seat.member.concurrency && this.#stopped === undefined && !this.#pump.isClosed && !this.#isResetting) {
      const delivery = seat.ready.shift()!
      if (delivery.erasure !== undefined) {
        this.#dispatch(delivery)
        continue
      }
      seat.inFlight += 1
      this.#inFlight += 1
      delivery.begin()
      void this.#handle(seat, delivery, this.#life)
    }
  }

  async #handle(seat: Seat, delivery: ConsumerDelivery, life: number): Promise<void> {
    const verdict = await seat.member.handle(delivery)
    await delivery.settled() // G4
    seat.inFlight -= 1
    this.#inFlight -= 1
    if (life === this.#life && !this.#pump.isClosed) this.#settle(delivery, verdict)
    if (this.#seats.includes(seat)) this.#begin(seat)
    if (this.#inFlight === 0) for (const ended of this.#whenEnded.splice(0)) ended()
  }

  #settle(delivery: ConsumerDelivery, verdict: Verdict): void {
    const lane = this.#laneOf(delivery.key)
    switch (verdict.kind) {
      case 'done':
        this.#handled += 1
        void this.#finish(lane, delivery)
        return
      case 'left':
        this.#dispatch(delivery)
        return
      case 'dead':
        this.#noteFailure(delivery, { code: null, message: verdict.message })
        void this.#setAside(lane, delivery, 'dead', { code: null, message: verdict.message })
        return
      default:
        this.#noteFailure(delivery, verdict)
        this.#again(lane, delivery, verdict)
    }
  }

  #noteFailure({ place, attempt }: ConsumerDelivery, { code, message }: { readonly code: string | null; readonly message: string }): void {
    this.#lastFailure = { batch: place.batch, index: place.index, attempt, code, message }
  }

  #again(lane: Lane, delivery: ConsumerDelivery, failed: Verdict & { readonly kind: 'failed' }): void {
    const { attempts, backoffMs, backoffMsMax } = this.settings
    const isLast = delivery.attempt >= attempts
    if (isLast && (delivery.isParked || !this.#record.isFull(delivery.hasCalls))) {
      void this.#setAside(lane, delivery, 'parked', failed)
      return
    }
    const ms = failed.delayMs ?? Math.min(backoffMsMax, backoffMs * 2 ** Math.min(delivery.attempt - 1, 30))
    delivery.attempt += 1
    this.#redelivered += 1
    const life = this.#life
    this.#pump.later(ms, () => {
      if (life === this.#life) this.#dispatch(delivery)
    })
  }

  // ── erasures (G5) ─────────────────────────────────────────────────────────────────────────────────────

  /** An erasure begins. Resolves when nothing that was read before is on its way into the table of what is parked. */
  async erasing(erasure: ConsumerErasure): Promise<void> {
    for (const delivery of [...this.#deliveries, ...this.#released]) this.#note(delivery, erasure)
    while (this.#record.isWriting && this.#stopped === undefined && !this.#pump.isClosed) await new Promise<void>((resolve) => this.#parts.engine.environment.soon(resolve))
  }

  /** Rows and files are without it: so is the rest of what memory knows. */
  async erased(erasure: ConsumerErasure): Promise<void> {
    const last = this.#lastFailure
    if (last !== undefined && erasure.names(last.message)) this.#lastFailure = { ...last, message: '' }
    for (const key of await this.#record.eraseKeys((value) => erasure.names(value))) this.#serve(this.#laneOf(key))
  }

  #note(delivery: ConsumerDelivery, erasure = this.#parts.erasure()): void {
    if (erasure !== undefined && !delivery.isDone && erasure.concerns(delivery.transaction, delivery.keyValue)) delivery.erasure = erasure
  }

  /** Reads a delivery again when its erasure has ended. Where nothing is left of it, it is done, whatever `then` is. */
  async #freshenThen(delivery: ConsumerDelivery, then: () => void): Promise<void> {
    const life = this.#life
    const erasure = delivery.erasure!
    try {
      const hasErased = await erasure.over
      const transaction = hasErased ? await this.#parts.readAgain(this.settings.filter, delivery.place) : delivery.transaction
      if (life !== this.#life || this.#pump.isClosed) return
      delivery.erasure = undefined
      delivery.isKeyErased ||= hasErased && erasure.names(delivery.keyValue)
      if (transaction === undefined) void this.#finish(this.#laneOf(delivery.key), delivery)
      else {
        this.#changesAhead += delivery.isParked ? 0 : transaction.changes.length + transaction.events.length - weightOf(delivery)
        delivery.transaction = transaction
        then()
      }
    } catch (error) {
      if (life === this.#life) this.#stop(error)
    }
  }

  async #finish(lane: Lane, delivery: ConsumerDelivery): Promise<void> {
    if (delivery.isParked) {
      try {
        await this.#record.remove(delivery.place)
      } catch (error) {
        this.#stop(error)
        return
      }
    }
    this.#leave(lane, delivery)
    this.#serveStuck()
  }

  /** There is room where something was parked. */
  #serveStuck(): void {
    const stuck = [...this.#stuck]
    this.#stuck.clear()
    for (const lane of stuck) this.#serve(lane)
  }

  async #setAside(lane: Lane, delivery: ConsumerDelivery, state: 'parked' | 'dead', error: { readonly code: string | null; readonly message: string }): Promise<void> {
    const life = this.#life
    lane.isBusy = true
    const { erasure } = delivery
    if (erasure !== undefined) {
      const left = erasure.names(error.message) ? { ...error, message: '' } : error
      void this.#freshenThen(delivery, () => void this.#setAside(lane, delivery, state, left))
      return
    }
    if (state === 'dead' && !delivery.isParked && this.#record.isFull(delivery.hasCalls)) {
      // No room: later. Until then nothing of its key goes on.
      this.#pump.later(limits.handlerPauseMsMax, () => {
        if (life === this.#life) void this.#setAside(lane, delivery, state, error)
      })
      return
    }
    try {
      const parked = this.#record.parked.get(keyWhenParked(delivery))
      if (delivery.isParked && state === 'parked' && parked !== undefined) parked.isReleased = false
      const written = [this.#record.park(delivery, state, error)]
      if (delivery.isParked && state === 'dead') written.push(this.#record.takeOut(delivery.place))
      await Promise.all(written)
    } catch (problem) {
      this.#stop(problem)
      return
    }
    this.#leave(lane, delivery)
  }

  /** What stands behind a key that is parked joins it. */
  async #parkWaiting(lane: Lane): Promise<void> {
    if (lane.waiting.length === 0) return
    lane.isBusy = true
    const parking: Promise<void>[] = []
    const some: ConsumerDelivery[] = []
    while (lane.waiting.length > 0 && !this.#record.isFull(lane.waiting[0]!.hasCalls)) {
      const delivery = lane.waiting[0]!
      if (delivery.erasure !== undefined) {
        if (some.length > 0) break
        lane.waiting.shift()
        void this.#freshenThen(delivery, () => {
          lane.waiting.unshift(delivery)
          lane.isBusy = false
          this.#serve(lane)
        })
        return
      }
      lane.waiting.shift()
      some.push(delivery)
      delivery.attempt = 0 // nobody has tried it
      parking.push(this.#record.park(delivery, 'parked', { code: null, message: 'What its key came to before is parked.' }))
    }
    try {
      await Promise.all(parking)
    } catch (error) {
      this.#stop(error)
      return
    }
    for (const delivery of some) delivery.isDone = true
    lane.isBusy = false
    const isStuck = lane.waiting.length > 0 && this.#record.isFull(lane.waiting[0]!.hasCalls)
    if (isStuck && this.#record.parked.get(lane.key)?.isReleased === false) this.#stuck.add(lane)
    else this.#serve(lane)
    this.#wentOn()
  }

  /** A delivery has come to its end. */
  #leave(lane: Lane, delivery: ConsumerDelivery): void {
    delivery.isDone = true
    this.#released.delete(delivery)
    lane.isBusy = false
    this.#serve(lane)
    this.#wentOn()
  }

  #wentOn(): void {
    this.#takeAway()
    this.#moveMark(false)
    if (this.#deliveries.length < limits.consumerCommitsAheadMax / 2) this.#pump.advance()
  }

  // ── the mark ──────────────────────────────────────────────────────────────────────────────────────────

  #takeAway(): void {
    const list = this.#deliveries
    let count = 0
    while (count < list.length && list[count]!.isDone) {
      this.#changesAhead -= weightOf(list[count]!)
      count += 1
    }
    if (count > 0) {
      this.#reached = list[count - 1]!.place
      this.#doneSinceMark += count
      list.splice(0, count)
    }
    if (list.length === 0 && !this.#isReading && this.#follower.batch > this.#reached.batch) this.#reached = { batch: this.#follower.batch, index: endOfBatch }
  }

  /** `isUnderWay`: a call is being handed in, in whose batch the mark finds its place. */
  #moveMark(isUnderWay: boolean): void {
    this.#takeAway()
    const { mark, isMarking } = this.#record
    if (isMarking || this.#isResetting || this.#pump.isClosed || !isBehind(mark, this.#reached)) return
    const isFar = this.#doneSinceMark >= limits.consumerMarkCommits || batchesBetween(mark.batch, this.#reached.batch) >= limits.consumerMarkBatches
    if (isFar || (isUnderWay && this.#doneSinceMark > 0)) void this.#noteReached()
    else if (!this.#isMarkDue && this.#doneSinceMark > 0) {
      this.#isMarkDue = true
      this.#pump.later(limits.consumerMarkMs, () => {
        this.#isMarkDue = false
        if (!this.#record.isMarking && !this.#isResetting && isBehind(this.#record.mark, this.#reached)) void this.#noteReached()
      })
    }
  }

  /** When it could not be noted: another time, more is delivered again until then. */
  async #noteReached(): Promise<boolean> {
    this.#doneSinceMark = 0
    return await this.#record.note(() => ({ ...this.#record.mark, batch: this.#reached.batch, index: this.#reached.index }))
  }

  /** A call for one of its deliveries. */
  async call(delivery: ConsumerDelivery, procedure: number, input: unknown): Promise<CallAnswer> {
    const answer = delivery.call(procedure, input)
    this.#calling += 1
    this.#moveMark(true)
    try {
      return await answer
    } finally {
      this.#calling -= 1
    }
  }

  // ── what users ask of it ──────────────────────────────────────────────────────────────────────────────

  async setPaused(isPaused: boolean): Promise<void> {
    if (this.#record.mark.isPaused === isPaused) return
    mustBeNoted(await this.#record.note(() => ({ ...this.#record.mark, isPaused }))) // and says nothing of how far it has come
    this.#assignAnew()
    this.#pump.advance()
  }

  /** Lets a key go on, the first first; or that of one commit that was set aside. False: there is none. */
  async unpark(what: { readonly key: unknown } | { readonly place: HandlerCursor }): Promise<boolean> {
    const text = 'key' in what ? textOfKey(what.key) : await this.#record.keyOf(what.place)
    if (text === undefined || !this.#record.parked.has(text)) return false
    await this.#record.release(text)
    this.#serve(this.#laneOf(text))
    this.#pump.advance()
    return true
  }

  /** Drops what is parked of a key, or what is set aside of one commit. Answers how many. */
  async discard(what: { readonly key: unknown } | { readonly place: HandlerCursor }): Promise<number> {
    const places =
      'key' in what
        ? (this.#record.parked.get(textOfKey(what.key))?.places ?? [])
        : this.#record.states.has(placeText(what.place)) ? [{ epoch: 0, ...what.place }] : []
    // What was told to go on is on its way: it ends by itself.
    const some = places.filter((place) => !['released', 'done'].includes(this.#record.states.get(placeText(place))!))
    await Promise.all(some.map((place) => this.#record.remove(place)))
    for (const lane of [...this.#lanes.values()]) this.#serve(lane)
    this.#serveStuck()
    this.#pump.advance()
    this.#wentOn()
    return some.length
  }

  /** Begins anew behind a place; what is parked stays parked. Handlers that run end before. */
  async reset(to: HandlerCursor): Promise<void> {
    if (this.#isResetting) throw SluiceError.of('INVALID_USE', `Consumer "${this.name}" is being reset: wait until that has ended.`)
    const { engine } = this.#parts
    let ended!: () => void
    this.#resetting = new Promise((resolve) => (ended = resolve))
    try {
      while (this.#inFlight > 0) await new Promise<void>((resolve) => this.#whenEnded.push(resolve))
      while (this.#record.isWriting && !this.#pump.isClosed) await new Promise<void>((resolve) => engine.environment.soon(resolve))
      engine.mustBeOpen()
      if (this.#pump.isClosed) throw SluiceError.of('INVALID_USE', `Consumer "${this.name}" was closed before it could be reset: open it, and reset it then.`)
      mustBeNoted(await this.#record.note(() => ({ ...this.#record.mark, batch: to.batch, index: to.index, epoch: Math.max(this.#record.mark.epoch + 1, engine.durable) })))
      if (this.#pump.isClosed) return
      this.#beginAnew(to)
      await this.#record.forgetEnded()
    } finally {
      // Where it was not noted, everything stands where it stood, and goes on.
      this.#resetting = undefined
      ended()
      for (const [key, { isReleased }] of this.#record.parked) if (isReleased) this.#serve(this.#laneOf(key))
      for (const lane of [...this.#lanes.values()]) this.#serve(lane)
      this.#assignAnew()
      this.#wentOn()
      this.#pump.advance()
    }
  }

  #beginAnew(to: HandlerCursor): void {
    this.#life += 1
    this.#follower.close()
    this.#follower = this.#parts.follow(this.settings.filter, to)
    this.#deliveries = []
    this.#changesAhead = 0
    this.#unassigned = []
    this.#released.clear()
    for (const seat of this.#seats) seat.ready.length = 0
    this.#lanes.clear()
    this.#stuck.clear()
    this.#reached = to
    this.#doneSinceMark = 0
    this.#stopped = undefined
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  #stop(error: unknown): void {
    if (this.#pump.isClosed || this.#stopped !== undefined) return
    this.#stopped = SluiceError.is(error) ? error : SluiceError.of('LOG_CORRUPT', `Consumer "${this.name}" could not read the log: ${messageOf(error)}`, { cause: error })
    this.#follower.close()
    if (SluiceError.is(error, 'DATABASE_CLOSED')) return
    for (const { member } of this.#seats) member.stopped(this.#stopped)
  }

  /** All members have left: notes how far it has come, as well as that can be done. */
  async close(): Promise<void> {
    const { environment } = this.#parts.engine
    const untilMs = environment.monotonicMs() + limits.consumerCloseMsMax
    const isBusy = (): boolean => this.#record.isWriting || this.#record.isMarking || this.#calling > 0
    while (isBusy() && this.#stopped === undefined && environment.monotonicMs() < untilMs) await new Promise<void>((resolve) => environment.soon(resolve))
    this.#takeAway()
    this.#pump.close()
    this.#follower.close()
    if (isBehind(this.#record.mark, this.#reached) && this.#stopped === undefined && !this.#isResetting) await this.#noteReached()
  }
}

/** Batches between two of them; openings that lie between count as one batch each at least. */
function batchesBetween(from: number, to: number): number {
  const life = 2 ** 24
  const lives = Math.floor(to / life) - Math.floor(from / life)
  return lives === 0 ? to - from : (to % life) + lives
}

const weightOf = ({ transaction }: ConsumerDelivery): number => transaction.changes.length + transaction.events.length

const oneKey = { text: '', value: undefined as unknown }

function keyOf({ keyOf: answer }: ConsumerSettings, transaction: DecodedTransaction): { readonly text: string; readonly value: unknown } {
  if (answer === undefined) return oneKey
  const value = answer(transaction)
  // Of no key: nothing stands behind it.
  if (value === undefined || value === null) return { text: keyOfNone(transaction), value: undefined }
  return { text: textOfKey(value), value }
}

export function textOfKey(value: unknown): string {
  if (value === undefined) return oneKey.text
  const values: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (!values.every(isPartitionValue)) throw SluiceError.of('INVALID_USE', 'The key of a consumer is text, a number, a bigint, a boolean or bytes, or a list of these.')
  const text = keyTextOf(values)
  const bytes = Buffer.from(text)
  if (bytes.length > limits.consumerKeyBytesMax || bytes.toString() !== text) throw SluiceError.of('INVALID_USE', `The key of a consumer is well-formed and takes at most ${limits.consumerKeyBytesMax} bytes.`)
  return text
}

function mustBeNoted(isNoted: boolean): void {
  if (!isNoted) throw SluiceError.of('OVERLOADED', 'It could not be noted durably now: try again.')
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
export const codeOf = (error: unknown): string | null => (SluiceError.is(error) ? error.code : null)
