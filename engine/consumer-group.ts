/**
 * One durable consumer while it is open: follows the log for its commits, and has each handled by one of its members.
 *
 *   log ──► follower ──► a life ──────────────► by key ──────────────► seats ──────────────► members
 *                        consumer-life.ts       consumer-lanes.ts      consumer-seats.ts     bindings/consumer.ts
 *                        log order, the mark    turns, what is parked  who handles what
 *                           G3, G6                 G1, G2, G5             G1, G4, G5
 *
 * What is durable about it is read and written in one place (consumer-record.ts). It begins a new life where it is reset.
 */
import { codeOf, messageOf, SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { Engine } from './database.js'
import type { CallAnswer, ConsumerDelivery, DeliveryError } from './consumer-delivery.js'
import type { ConsumerErasure } from './consumer-erasure.js'
import { type ConsumerKey, keyOfCommit, type KeyFunction, noKeyOf, textOfKey } from './consumer-key.js'
import { type ConsumerCounts, type ConsumerFailure, ConsumerLanes, type RetrySettings } from './consumer-lanes.js'
import { batchesBetween, ConsumerLife } from './consumer-life.js'
import { ConsumerRecord } from './consumer-record.js'
import { ConsumerSeats, type SeatHolder } from './consumer-seats.js'
import { LogPump, readOn } from './log-pump.js'
import { type ConsumerMark, type HandlerCursor, placeText } from './schema/handler-ids.js'
import type { DecodedTransaction } from './stream/frame-decoder.js'
import type { StreamFilter } from './stream/stream-filter.js'
import type { LogFollower } from './stream/log-follower.js'

/** Who handles deliveries. */
export interface ConsumerMember extends SeatHolder {
  /** Told before anything else. */
  joined(group: ConsumerGroup): void
}

export interface ConsumerSettings extends RetrySettings {
  readonly filter: StreamFilter
  readonly keyOf: KeyFunction
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

export class ConsumerGroup {
  readonly name: string
  readonly #parts: ConsumerGroupParts
  readonly #pump: LogPump
  readonly #record: ConsumerRecord
  readonly #seats: ConsumerSeats
  readonly #counts: ConsumerCounts = { handled: 0, redelivered: 0, lastFailure: undefined }
  #life: ConsumerLife
  #lanes: ConsumerLanes
  #resetting: Promise<void> | undefined
  /** Members that take nothing more, and whose handlers may run on for a while. */
  readonly #leaving = new Set<ConsumerMember>()
  /** Calls of deliveries that are under way. */
  #calling = 0

  constructor(parts: ConsumerGroupParts) {
    const { engine, name, mark } = parts
    this.#parts = parts
    this.name = name
    this.#pump = new LogPump(engine, () => this.#look(), (error) => this.#life.stop(error))
    this.#record = new ConsumerRecord(engine, name, mark, (ms, work) => this.#pump.later(ms, work))
    this.#seats = new ConsumerSeats({
      life: () => this.#life,
      isPaused: () => this.#record.mark.isPaused,
      stale: (delivery) => this.#lanes.stale(delivery),
      ended: (delivery, verdict) => this.#lanes.ended(delivery, verdict),
    })
    this.#life = this.#lifeFrom(mark)
    this.#lanes = this.#lanesOf(this.#life)
    this.#pump.start()
    this.#lanes.serveReleased()
  }

  #lifeFrom(from: HandlerCursor): ConsumerLife {
    return new ConsumerLife({
      record: this.#record,
      pump: this.#pump,
      follower: this.#parts.follow(this.settings.filter, from),
      from,
      stopped: (error) => this.#seats.stopped(error),
      moved: () => this.#seats.moved(),
    })
  }

  #lanesOf(life: ConsumerLife): ConsumerLanes {
    const { engine, settings, readAgain, erasure } = this.#parts
    return new ConsumerLanes({
      engine,
      retries: settings,
      hasKeys: settings.keyOf !== undefined,
      life,
      record: this.#record,
      seats: this.#seats,
      pump: this.#pump,
      counts: this.#counts,
      readAgain: (place) => readAgain(settings.filter, place),
      erasure,
    })
  }

  get settings(): ConsumerSettings {
    return this.#parts.settings
  }
  get mark(): ConsumerMark {
    return this.#record.mark
  }
  get size(): number {
    return this.#seats.count
  }
  /** Nobody takes anything, and nobody has anything. */
  get isLeft(): boolean {
    return this.#seats.count === 0 && this.#leaving.size === 0
  }
  /** Why it does not go on by itself. */
  get stopped(): SluiceError | undefined {
    return this.#life.stopped
  }
  /** Everything up to a place is handled, set aside, or passed over. What was told to go on is neither. */
  hasPassed(place: HandlerCursor): boolean {
    return this.#life.hasPassed(place) && !this.#record.isGoingOn(place)
  }

  get state(): ConsumerState {
    const { engine, name } = this.#parts
    const { deliveries, reached, stopped, follower } = this.#life
    const isLate = deliveries.length > 0 || (stopped === undefined && (this.#pump.isLooking || follower.isBehind()))
    const [first] = deliveries
    return {
      name,
      reached,
      members: this.#seats.count,
      isPaused: this.#record.mark.isPaused,
      isBehind: isLate,
      behindBatches: isLate ? Math.max(1, batchesBetween(reached.batch, engine.durable)) : 0,
      behindMs: first === undefined ? 0 : Math.max(0, engine.now() - first.transaction.time),
      ...this.#counts,
      waiting: deliveries.length,
      inFlight: this.#seats.inFlight,
      parked: this.#record.count('parked', 'released'),
      dead: this.#record.count('dead'),
      stopped,
    }
  }

  join(member: ConsumerMember): void {
    member.joined(this)
    this.#seats.take(member)
    this.#pump.advance()
    const { stopped } = this.#life
    if (stopped !== undefined) member.stopped(stopped)
  }

  /** Before its handlers end: what it gives back, and what waited for it, goes to others. */
  leave(member: ConsumerMember): void {
    this.#leaving.add(member)
    this.#seats.leave(member)
  }

  /** Its handlers have ended, or their time has. */
  hasLeft(member: ConsumerMember): void {
    this.#leaving.delete(member)
  }

  // ── taking commits from the log ───────────────────────────────────────────────────────────────────────

  get #mayTake(): boolean {
    const { isStill, isFull, stopped } = this.#life
    if (isStill || isFull || stopped !== undefined || this.#seats.count === 0 || this.#record.mark.isPaused) return false
    return this.settings.keyOf !== undefined || this.#record.parked.size === 0 // G2
  }

  async #look(): Promise<void> {
    const life = this.#life
    const read: DecodedTransaction[] = []
    while (this.#mayTake && life.follower.isBehind()) {
      read.length = 0
      try {
        const isNews = await readOn(life.follower, limits.consumerCommitsReadMax, read)
        await this.#resetting
        if (life.isOver) return
        for (const transaction of read) this.#take(this.settings.filter.select(transaction))
        life.hasTaken()
        if (!isNews) break
      } catch (error) {
        if (life.isOver) return // its follower was closed under it
        throw error
      }
    }
    life.moveMark(false)
  }

  #take(transaction: DecodedTransaction | undefined): void {
    if (transaction === undefined) return // its changes are not those that were asked for
    const { batch, index } = transaction
    let key: ConsumerKey
    let failure: DeliveryError | undefined
    try {
      key = keyOfCommit(this.settings.keyOf, transaction)
    } catch (error) {
      key = noKeyOf(transaction)
      failure = { code: codeOf(error), message: `The key of this commit could not be found: ${messageOf(error)}` }
    }
    this.#lanes.take({ epoch: this.#record.mark.epoch, batch, index }, transaction, key, failure)
  }

  // ── erasures (G5) ─────────────────────────────────────────────────────────────────────────────────────

  /** An erasure begins. Resolves when nothing that was read before is on its way into the table of what is parked. */
  async erasing(erasure: ConsumerErasure): Promise<void> {
    this.#lanes.meet(erasure)
    while (this.#record.isWriting && this.#life.stopped === undefined && !this.#pump.isClosed) await this.#soon()
  }

  /** Rows and files are without it: so is the rest of what memory knows. */
  async erased(erasure: ConsumerErasure): Promise<void> {
    const last = this.#counts.lastFailure
    if (last !== undefined && erasure.names(last.message)) this.#counts.lastFailure = { ...last, message: '' }
    for (const key of await this.#record.eraseKeys((value) => erasure.names(value))) this.#lanes.serve(key)
  }

  // ── what users ask of it ──────────────────────────────────────────────────────────────────────────────

  /** A call for one of its deliveries: in its batch the mark finds its place. */
  async call(delivery: ConsumerDelivery, procedure: number, input: unknown): Promise<CallAnswer> {
    const answer = delivery.call(procedure, input)
    this.#calling += 1
    this.#life.moveMark(true)
    try {
      return await answer
    } finally {
      this.#calling -= 1
    }
  }

  async setPaused(isPaused: boolean): Promise<void> {
    if (this.#record.mark.isPaused === isPaused) return
    mustBeNoted(await this.#record.note(() => ({ ...this.#record.mark, isPaused }))) // and says nothing of how far it has come
    this.#seats.assignAnew()
    this.#pump.advance()
  }

  /** Lets a key go on, the first first; or that of one commit that was set aside. False: there is none. */
  async unpark(what: { readonly key: unknown } | { readonly place: HandlerCursor }): Promise<boolean> {
    const text = 'key' in what ? textOfKey(what.key) : await this.#record.keyOf(what.place)
    if (text === undefined || !this.#record.parked.has(text)) return false
    await this.#record.release(text)
    this.#lanes.serve(text)
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
    this.#lanes.serveAll()
    this.#pump.advance()
    this.#life.moveMark(false)
    return some.length
  }

  /** Begins anew behind a place; what is parked stays parked. Handlers that run end before. */
  async reset(to: HandlerCursor): Promise<void> {
    if (this.#resetting !== undefined) throw SluiceError.of('INVALID_USE', `Consumer "${this.name}" is being reset: wait until that has ended.`)
    const { engine } = this.#parts
    let ended!: () => void
    this.#resetting = new Promise((resolve) => (ended = resolve))
    this.#life.isStill = true
    try {
      await this.#seats.idle()
      while (this.#record.isWriting && !this.#pump.isClosed) await this.#soon()
      engine.mustBeOpen()
      if (this.#pump.isClosed) throw SluiceError.of('INVALID_USE', `Consumer "${this.name}" was closed before it could be reset: open it, and reset it then.`)
      const { batch, index } = to
      mustBeNoted(await this.#record.note(() => ({ ...this.#record.mark, batch, index, epoch: Math.max(this.#record.mark.epoch + 1, engine.durable) })))
      if (this.#pump.isClosed) return
      this.#beginAnew(to)
      await this.#record.forgetEnded()
    } finally {
      // Where it was not noted, everything stands where it stood, and goes on.
      this.#resetting = undefined
      this.#life.isStill = this.#life.isOver
      ended()
      this.#lanes.serveReleased()
      this.#lanes.serveAll()
      this.#seats.assignAnew()
      this.#life.moveMark(false)
      this.#pump.advance()
    }
  }

  #beginAnew(from: HandlerCursor): void {
    this.#life.end()
    this.#seats.clear()
    this.#life = this.#lifeFrom(from)
    this.#life.isStill = true
    this.#lanes = this.#lanesOf(this.#life)
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  /** All members have left: notes how far it has come, as well as that can be done. */
  async close(): Promise<void> {
    const { environment } = this.#parts.engine
    const untilMs = environment.monotonicMs() + limits.consumerCloseMsMax
    const isBusy = (): boolean => this.#record.isWriting || this.#record.isMarking || this.#calling > 0
    while (isBusy() && this.#life.stopped === undefined && environment.monotonicMs() < untilMs) await this.#soon()
    this.#pump.close()
    await this.#life.close()
  }

  #soon(): Promise<void> {
    return new Promise((resolve) => this.#parts.engine.environment.soon(resolve))
  }
}

function mustBeNoted(isNoted: boolean): void {
  if (!isNoted) throw SluiceError.of('OVERLOADED', 'It could not be noted durably now: try again.')
}
