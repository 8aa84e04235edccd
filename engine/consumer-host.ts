/**
 * The durable consumers of a database: which ones there are, and those that are open.
 *
 * A consumer exists from the moment when its start is noted until it is deleted, whether anybody has it open or not: as long as it exists, it holds
 * the log from its mark on (R60). What concerns one name happens one after the other.
 */
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import { ConsumerErasure } from './consumer-erasure.js'
import { ConsumerGroup, type ConsumerMember, type ConsumerSettings, type ConsumerState } from './consumer-group.js'
import { dropParked, marksIn, noteMark } from './consumer-record.js'
import { type FollowedLog, followLog, neededAfter, readOn } from './log-pump.js'
import type { ErasurePlan } from './schema/erasure-plan.js'
import { type ConsumerMark, endOfBatch, type HandlerCursor } from './schema/handler-ids.js'
import { allRecords, type DecodedTransaction, type FrameFilter } from './stream/frame-decoder.js'
import type { StreamFilter } from './stream/stream-filter.js'
import type { LogFollower } from './stream/log-follower.js'
import type { LogHold } from '../wal/index.js'

interface OpenGroup {
  readonly group: ConsumerGroup
  /** Its members know of each other. */
  readonly isShared: boolean
}

export class ConsumerHost {
  readonly #parts: FollowedLog
  readonly #marks: Map<string, ConsumerMark>
  readonly #groups = new Map<string, OpenGroup>()
  #erasure: ConsumerErasure | undefined
  /** By name: the end of what was begun last. */
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(parts: FollowedLog) {
    this.#parts = parts
    this.#marks = marksIn(parts.engine)
  }

  /** Opens a consumer, or joins it; one that is new begins at `start`, durably before this resolves. */
  async join(name: string, settings: ConsumerSettings, isShared: boolean, start: () => HandlerCursor | Promise<HandlerCursor>, member: ConsumerMember): Promise<ConsumerGroup> {
    return await this.#inTurn(name, async () => {
      const open = this.#groups.get(name)
      if (open !== undefined) {
        if (!open.isShared || !isShared) throw SluiceError.of('INVALID_USE', `Consumer "${name}" is open: close it first, or let all that open it say \`group: true\` and share its work.`)
        if (open.group.settings.filter.id !== settings.filter.id) throw SluiceError.of('INVALID_USE', `Members of consumer "${name}" must ask for the same tables and events.`)
        if (open.group.size >= limits.consumerMembersMax) throw SluiceError.of('OVERLOADED', `Consumer "${name}" has ${limits.consumerMembersMax} members: let one of them leave.`)
        open.group.join(member)
        return open.group
      }
      let mark = this.#marks.get(name)
      if (mark === undefined) {
        if (this.#marks.size >= limits.consumersMax) throw SluiceError.of('OVERLOADED', `There are ${limits.consumersMax} consumers: delete those that nobody opens any more.`)
        mark = { ...(await start()), epoch: this.#parts.engine.durable, isPaused: false, kept: [] }
        await noteMark(this.#parts.engine, name, mark)
        this.#marks.set(name, mark)
      }
      const { engine } = this.#parts
      const group = new ConsumerGroup({ engine, name, settings, mark, follow: (filter, after) => this.follow(filter.frames, after), readAgain: (filter, place) => this.#readAgain(filter, place), erasure: () => this.#erasure })
      this.#groups.set(name, { group, isShared })
      group.join(member)
      return group
    })
  }

  /** A member has left, and its handlers have ended: the last one, whoever began to leave first, closes the consumer, and its mark is noted. */
  async leave(group: ConsumerGroup, member: ConsumerMember): Promise<void> {
    await this.#inTurn(group.name, async () => {
      group.hasLeft(member)
      if (!group.isLeft || this.#groups.get(group.name)?.group !== group) return
      await group.close()
      this.#groups.delete(group.name)
      this.#marks.set(group.name, group.mark)
    })
  }

  /** Forgets a consumer and all that it has parked. False: there is none of this name. */
  async delete(name: string): Promise<boolean> {
    return await this.#inTurn(name, async () => {
      if (this.#groups.has(name)) throw SluiceError.of('INVALID_USE', `Consumer "${name}" is open: close it before it is deleted.`)
      if (!this.#marks.has(name)) return false
      const { engine } = this.#parts
      await dropParked(engine, name)
      await noteMark(engine, name, undefined)
      this.#marks.delete(name)
      return true
    })
  }

  get names(): readonly string[] {
    return [...this.#marks.keys()].sort()
  }
  markOf(name: string): ConsumerMark | undefined {
    return this.#groups.get(name)?.group.mark ?? this.#marks.get(name)
  }
  stateOf(name: string): ConsumerState | undefined {
    return this.#groups.get(name)?.group.state
  }
  get states(): readonly ConsumerState[] {
    return [...this.#groups.values()].map(({ group }) => group.state)
  }

  /** What each has noted: the log is kept from there, up to a bound (R60). */
  get held(): readonly LogHold[] {
    return this.names.map((name) => ({ name, batch: neededAfter(this.markOf(name)!) }))
  }

  follow(filter: FrameFilter, cursor: HandlerCursor): LogFollower {
    return followLog(this.#parts, filter, cursor)
  }

  /** Erases, while nothing of the subject's that consumers have in memory is handed out or parked. One erasure at a time. */
  async whileErasing<T>(plan: ErasurePlan, work: () => Promise<T>): Promise<T> {
    const erasure = new ConsumerErasure(plan)
    this.#erasure = erasure
    let hasErased = false
    try {
      await Promise.all([...this.#groups.values()].map(({ group }) => group.erasing(erasure)))
      const done = await work()
      hasErased = true
      await Promise.all([...this.#groups.values()].map(({ group }) => group.erased(erasure)))
      return done
    } finally {
      this.#erasure = undefined
      erasure.end(hasErased)
    }
  }

  /** One commit, from wherever it is; undefined where an erasure has left nothing of it for this filter. */
  async #readAgain(filter: StreamFilter, place: HandlerCursor): Promise<DecodedTransaction | undefined> {
    const found = await this.#readOne(filter.frames, place)
    const taken = found && filter.select(found)
    if (taken !== undefined && !taken.isCompacted) return taken
    const all = taken ?? (await this.#readOne(allRecords, place))
    if (all?.isErased === true && !all.isCompacted) return undefined
    throw SluiceError.of('HISTORY_GONE', 'A parked commit is too long to be kept where it is parked, and has left the log, or is not of these tables and events any more: discard it.')
  }

  async #readOne(frames: FrameFilter, place: HandlerCursor): Promise<DecodedTransaction | undefined> {
    const follower = this.follow(frames, { batch: place.batch - 1, index: endOfBatch })
    const read: DecodedTransaction[] = []
    try {
      while (follower.isBehind() && follower.batch < place.batch) {
        await readOn(follower, 1, read)
        const found = read.find(({ batch, index }) => batch === place.batch && index === place.index)
        if (found !== undefined) return found
        read.length = 0
      }
      return undefined
    } finally {
      follower.close()
    }
  }

  /** Closes what is open, within a bound; undefined where nothing is. */
  close(): Promise<unknown> | undefined {
    if (this.#groups.size === 0) return undefined
    return Promise.allSettled([...this.#groups.values()].map(({ group }) => group.close()))
  }

  async #inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(work, work)
    this.#turns.set(name, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(name) === turn) this.#turns.delete(name)
    }
  }
}

