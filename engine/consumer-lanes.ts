/**
 * Deliveries to a consumer by key, one after the other, each seen through to its end; and what is parked of a key, before what is not.
 *
 *   by key: one at a time, in order ──► a seat ──► done
 *                   ▲                      ├─────► again, later
 *                   └── told to go on ◄────┴─────► parked, and with it what stands behind it
 *
 * Invariants:
 *   G1  Of one key at most one delivery is with a member, and the next begins when it has ended: order per key, whoever the members are.
 *   G2  What is parked of a key comes before what is not. While a key is parked, what comes behind joins it, and other keys go on. A consumer
 *       without keys is one key, and stays where it is: copying the log behind it would be all that parking did.
 *   G5  A delivery that holds what is being erased is read again from the log, when that has been erased, before it is handed out or parked.
 *
 * They are of one life of the consumer (consumer-life.ts): nothing goes on when that is over.
 */
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { Engine } from './database.js'
import { ConsumerDelivery, type DeliveryError } from './consumer-delivery.js'
import type { ConsumerErasure } from './consumer-erasure.js'
import type { ConsumerKey } from './consumer-key.js'
import type { ConsumerLife } from './consumer-life.js'
import type { ConsumerRecord } from './consumer-record.js'
import type { ConsumerSeats, Verdict } from './consumer-seats.js'
import type { LogPump } from './log-pump.js'
import { type ConsumerPlace, type HandlerCursor, placeText } from './schema/handler-ids.js'
import type { DecodedTransaction } from './stream/frame-decoder.js'

export interface RetrySettings {
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

/** What the members of a consumer have made of it since it was opened. */
export interface ConsumerCounts {
  handled: number
  redelivered: number
  lastFailure: ConsumerFailure | undefined
}

export interface ConsumerLanesParts {
  readonly engine: Engine
  readonly retries: RetrySettings
  /** False: all commits are of one key. */
  readonly hasKeys: boolean
  readonly life: ConsumerLife
  readonly record: ConsumerRecord
  readonly seats: ConsumerSeats
  readonly pump: LogPump
  readonly counts: ConsumerCounts
  /** Reads one commit again; undefined: an erasure has left nothing of it. */
  readonly readAgain: (place: HandlerCursor) => Promise<DecodedTransaction | undefined>
  /** The erasure that is under way. */
  readonly erasure: () => ConsumerErasure | undefined
}

/** One key that has something to do. */
interface Lane {
  readonly key: string
  readonly waiting: ConsumerDelivery[]
  /** With a member, on its way to one, in a pause, or being parked. */
  isBusy: boolean
}

export class ConsumerLanes {
  readonly #parts: ConsumerLanesParts
  readonly #lanes = new Map<string, Lane>()
  /** What waits in them must be parked, and there is no room. */
  readonly #stuck = new Set<Lane>()
  /** Parked ones that were told to go on, and are on their way. */
  readonly #released = new Set<ConsumerDelivery>()

  constructor(parts: ConsumerLanesParts) {
    this.#parts = parts
  }

  /** A commit from the log. `failure`: its key could not be found. */
  take(place: ConsumerPlace, transaction: DecodedTransaction, key: ConsumerKey, failure: DeliveryError | undefined): void {
    const { life, record } = this.#parts
    const isKnown = record.states.has(placeText(place)) // set aside, and the mark had not moved
    const delivery = this.#deliveryOf(place, transaction, key, false, record.hasCalled(place))
    life.take(delivery)
    if (isKnown) {
      delivery.isDone = true
      return
    }
    const lane = this.#laneOf(key.text)
    if (failure !== undefined) {
      // It has no key, so nobody can say what must stand behind it: it is set aside alone.
      void this.#setAside(lane, delivery, 'dead', failure)
      return
    }
    lane.waiting.push(delivery)
    this.#serve(lane)
  }

  #deliveryOf(place: ConsumerPlace, transaction: DecodedTransaction, key: ConsumerKey, isParked: boolean, hasCalls: boolean): ConsumerDelivery {
    const { engine, record, erasure } = this.#parts
    const delivery = new ConsumerDelivery(engine, record.name, place, transaction, key, isParked, hasCalls)
    delivery.meet(erasure())
    return delivery
  }

  // ── whose turn it is (G1, G2) ──────────────────────────────────────────────────────────────────────────────────

  #laneOf(key: string): Lane {
    let lane = this.#lanes.get(key)
    if (lane === undefined) this.#lanes.set(key, (lane = { key, waiting: [], isBusy: false }))
    return lane
  }

  /** A key may go on. */
  serve(key: string): void {
    this.#serve(this.#laneOf(key))
  }

  /** Any key may go on, for something was parked that is not any more, or nothing could begin. */
  serveAll(): void {
    for (const lane of [...this.#lanes.values()]) this.#serve(lane)
    this.#serveStuck()
  }

  #serve(lane: Lane): void {
    const { life, record, hasKeys, seats } = this.#parts
    if (lane.isBusy || life.isStill || this.#lanes.get(lane.key) !== lane) return
    const parked = record.parked.get(lane.key)
    if (parked?.isReleased === true) {
      lane.isBusy = true
      void this.#goOn(lane, parked.places[0]!)
      return
    }
    if (parked !== undefined) {
      if (hasKeys) void this.#parkWaiting(lane)
      return
    }
    const next = lane.waiting.shift()
    if (next === undefined) {
      this.#lanes.delete(lane.key)
      return
    }
    lane.isBusy = true
    seats.assign(next)
  }

  /** There is room where something was parked. */
  #serveStuck(): void {
    const stuck = [...this.#stuck]
    this.#stuck.clear()
    for (const lane of stuck) this.#serve(lane)
  }

  // ── how a delivery ends ───────────────────────────────────────────────────────────────────────────────

  /** Its handler has ended, and its calls have. */
  ended(delivery: ConsumerDelivery, verdict: Verdict): void {
    const { counts, seats } = this.#parts
    const lane = this.#laneOf(delivery.key)
    switch (verdict.kind) {
      case 'done':
        counts.handled += 1
        void this.#finish(lane, delivery)
        return
      case 'left':
        seats.assign(delivery)
        return
      case 'dead': {
        const error = { code: null, message: verdict.message }
        this.#noteFailure(delivery, error)
        void this.#setAside(lane, delivery, 'dead', error)
        return
      }
      default:
        this.#noteFailure(delivery, verdict)
        this.#again(lane, delivery, verdict)
    }
  }

  #noteFailure({ place, attempt }: ConsumerDelivery, { code, message }: DeliveryError): void {
    this.#parts.counts.lastFailure = { batch: place.batch, index: place.index, attempt, code, message }
  }

  #again(lane: Lane, delivery: ConsumerDelivery, failed: Verdict & { readonly kind: 'failed' }): void {
    const { retries, record, counts, pump, life, seats } = this.#parts
    const isLast = delivery.attempt >= retries.attempts
    if (isLast && (delivery.isParked || !record.isFull(delivery.hasCalls))) {
      void this.#setAside(lane, delivery, 'parked', failed)
      return
    }
    const ms = failed.delayMs ?? Math.min(retries.backoffMsMax, retries.backoffMs * 2 ** Math.min(delivery.attempt - 1, 30))
    delivery.attempt += 1
    counts.redelivered += 1
    pump.later(ms, () => {
      if (!life.isOver) seats.assign(delivery)
    })
  }

  async #finish(lane: Lane, delivery: ConsumerDelivery): Promise<void> {
    if (delivery.isParked) {
      try {
        await this.#parts.record.remove(delivery.place)
      } catch (error) {
        this.#parts.life.stop(error)
        return
      }
    }
    this.#leave(lane, delivery)
    this.#serveStuck()
  }

  #leave(lane: Lane, delivery: ConsumerDelivery): void {
    delivery.isDone = true
    this.#released.delete(delivery)
    lane.isBusy = false
    this.#serve(lane)
    this.#parts.life.goOn()
  }

  // ── what is parked ────────────────────────────────────────────────────────────────────────────────────

  /** Keys that were told to go on, in an earlier life. */
  serveReleased(): void {
    for (const [key, { isReleased }] of this.#parts.record.parked) if (isReleased) this.serve(key)
  }

  /** The first of a key that was parked and told to go on. */
  async #goOn(lane: Lane, place: ConsumerPlace): Promise<void> {
    const { life, record, pump, seats, readAgain } = this.#parts
    try {
      while (!(await record.keepPassed(place))) { // C2
        if (life.isOver) return
        await new Promise<void>((resolve) => pump.later(limits.consumerMarkMs, resolve))
      }
      const found = record.commitOf(place)
      const value = record.parked.get(lane.key)?.value
      const transaction = found?.transaction ?? (await readAgain(place))
      if (life.isOver) return
      if (transaction === undefined) {
        await record.remove(place)
        if (life.isOver) return
        lane.isBusy = false
        this.#serve(lane)
        this.#serveStuck()
        life.goOn()
        return
      }
      const delivery = this.#deliveryOf(place, transaction, { text: lane.key, value }, true, true)
      this.#released.add(delivery)
      seats.assign(delivery)
    } catch (error) {
      if (life.isOver) return
      if (SluiceError.is(error, 'HISTORY_GONE')) await this.#standStill(lane, place, error)
      else life.stop(error)
    }
  }

  /** It cannot go on: its key stands still again, until it is discarded. */
  async #standStill(lane: Lane, { batch, index }: ConsumerPlace, { code, message }: SluiceError): Promise<void> {
    const { life, record, counts } = this.#parts
    counts.lastFailure = { batch, index, attempt: 0, code, message }
    try {
      await record.hold(lane.key)
    } catch (problem) {
      life.stop(problem)
      return
    }
    lane.isBusy = false
    this.#serve(lane)
    life.goOn()
  }

  async #setAside(lane: Lane, delivery: ConsumerDelivery, state: 'parked' | 'dead', error: DeliveryError): Promise<void> {
    const { life, record, pump } = this.#parts
    lane.isBusy = true
    const { erasure } = delivery
    if (erasure !== undefined) {
      const left = erasure.names(error.message) ? { ...error, message: '' } : error
      void this.#freshenThen(delivery, () => void this.#setAside(lane, delivery, state, left))
      return
    }
    if (state === 'dead' && !delivery.isParked && record.isFull(delivery.hasCalls)) {
      // No room: later. Until then nothing of its key goes on.
      pump.later(limits.handlerPauseMsMax, () => {
        if (!life.isOver) void this.#setAside(lane, delivery, state, error)
      })
      return
    }
    try {
      await record.park(delivery, state, error)
    } catch (problem) {
      life.stop(problem)
      return
    }
    this.#leave(lane, delivery)
  }

  /** What stands behind a key that is parked joins it. */
  async #parkWaiting(lane: Lane): Promise<void> {
    const { life, record } = this.#parts
    if (lane.waiting.length === 0) return
    lane.isBusy = true
    const parking: Promise<void>[] = []
    const some: ConsumerDelivery[] = []
    while (lane.waiting.length > 0 && !record.isFull(lane.waiting[0]!.hasCalls)) {
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
      parking.push(record.park(delivery, 'parked', { code: null, message: 'What its key came to before is parked.' }))
    }
    try {
      await Promise.all(parking)
    } catch (error) {
      life.stop(error)
      return
    }
    for (const delivery of some) delivery.isDone = true
    lane.isBusy = false
    const isStuck = lane.waiting.length > 0 && record.isFull(lane.waiting[0]!.hasCalls)
    if (isStuck && record.parked.get(lane.key)?.isReleased === false) this.#stuck.add(lane)
    else this.#serve(lane)
    life.goOn()
  }

  // ── erasures (G5) ─────────────────────────────────────────────────────────────────────────────────────

  /** An erasure begins. */
  meet(erasure: ConsumerErasure): void {
    for (const delivery of [...this.#parts.life.deliveries, ...this.#released]) delivery.meet(erasure)
  }

  /** A delivery could not be handed out as it is. */
  stale(delivery: ConsumerDelivery): void {
    void this.#freshenThen(delivery, () => this.#parts.seats.assign(delivery))
  }

  /** Reads a delivery again when its erasure has ended. Where nothing is left of it, it is done, whatever `then` is. */
  async #freshenThen(delivery: ConsumerDelivery, then: () => void): Promise<void> {
    const { life, readAgain } = this.#parts
    const erasure = delivery.erasure!
    try {
      const hasErased = await erasure.over
      const transaction = hasErased ? await readAgain(delivery.place) : delivery.transaction
      if (life.isOver) return
      delivery.isKeyErased ||= hasErased && erasure.names(delivery.keyValue)
      if (transaction === undefined) void this.#finish(this.#laneOf(delivery.key), delivery)
      else if (delivery.erasure !== erasure) void this.#freshenThen(delivery, then) // the next one has begun meanwhile
      else {
        delivery.erasure = undefined
        life.freshen(delivery, transaction)
        then()
      }
    } catch (error) {
      life.stop(error)
    }
  }
}
