/**
 * Publishes commits to a stream of JetStream, each message once and in order, however often either side ends.
 *
 *   log ──► commits ──► messages, numbered within their commit ──► publish, each expecting the one before it to be the last ──► acks ──► cursor
 *
 * Invariants:
 *   B1  A message is published with the sequence and the id that the end of the stream must have: the server takes it only where the one
 *       before it stands at the end. So a message that is lost takes those behind it with it, one that is late or comes twice finds its
 *       place taken, and what is in the stream is what was sent, in order, without a gap. The sequence alone would not do: a message of
 *       somebody else in the place of a lost one has it too.
 *   B2  After a failure, and at every start, the stream is read back from its end for the last message of this publisher (by
 *       `Nats-Msg-Id`), which is where it goes on. This needs no window of time.
 *   B3  The cursor stands before every message that is not acknowledged. Its mark is the stream (when it was made) and the sequence of
 *       the last acknowledged message: there reading back ends.
 *   B4  Where reading back meets a message that the stream has removed, it may have been ours: then the publisher stops, or is told to
 *       go on, and publishes again what it cannot know of.
 *   B5  Numbers are those of what the commit has now. Where it was published in part, and an erasure or retention has taken something of it since, they do
 *       not tell which part: the publisher stops, or is told to go on, and publishes what is left of it. What had lost something says in its id how many
 *       messages are left, so that no id is that of another message.
 *
 * Others may write to the same stream: what comes in between fails those in flight, and they are sent again behind it (B2).
 */
import { type DecodedTransaction, endOfBatch, handlerOfEvent, type LogHold, neededAfter } from '../../engine/index.js'
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { BridgeCursor, type BridgeParts } from '../bridge.js'
import { type AnyCommit, hasLost } from '../envelopes/item.js'
import { formatPosition, positionParts } from '../position.js'
import { commitOf, type CommitStream } from '../stream.js'
import type { BridgeLife } from './bridge-life.js'
import type { Publisher, PublisherState } from './bridge-types.js'
import type { HeadersLike, JetStreamLike, ManagerLike, StreamInfoLike } from './jetstream-types.js'
import type { OutgoingMessage } from './outgoing.js'
import { isServerError } from './server-error.js'

export interface PublisherParts {
  readonly bridge: BridgeParts
  readonly life: BridgeLife
  readonly name: string
  readonly stream: string
  readonly jetstream: JetStreamLike
  readonly headers: () => HeadersLike
  readonly filter: Readonly<Record<string, unknown>>
  readonly messagesOf: (commit: AnyCommit) => readonly OutgoingMessage[]
  readonly aheadMax: number
  readonly goesOn: boolean
  readonly publishesIngested: boolean
}

/** A message on its way. `commit`: the place of the commit that ends with it. */
interface Flying {
  readonly sequence: number
  /** Messages of its commit behind it. */
  readonly more: number
  readonly commit: Place | undefined
}
interface Place {
  readonly batch: number
  readonly index: number
  readonly time: number
}
interface Mark {
  readonly created: string
  readonly sequence: number
}

/** The last message of ours in the stream: its place in the log, and as its id says it what was left of the commit. */
interface Stored {
  readonly position: string
  readonly number: number
  readonly left: string
  /** Others of the same commit follow. */
  readonly hasMore: boolean
}

/** How many messages of its commit follow it; without it, none. */
const moreHeader = 'sluice-more'

/** Handlers of events are named so that no user's can be: names of services begin with a letter. */
export const publisherPrefix = '$nats.out.'
export const ingestPrefix = '$nats.in.'

const encoder = new TextEncoder()

export class StreamPublisher implements Publisher {
  readonly #parts: PublisherParts
  readonly #cursor: BridgeCursor
  readonly #idPrefix: string
  /** Everything up to here is acknowledged; what is noted stands at it or before it. */
  #reached: Place
  #noted: Place
  #mark: Mark
  #isNoting = false
  #sinceNote = 0
  /** The log is kept from the commit behind the cursor. */
  readonly #held = (): readonly LogHold[] => [{ name: this.#cursor.name, batch: neededAfter(this.#noted) }]
  #flying: Flying[] = []
  #isIdle = false
  #published = 0
  #repeated = 0
  #sessions = 0
  #commits: CommitStream<unknown> | undefined
  #failure: unknown
  #wake: () => void = () => undefined
  #stopTimer: () => void = () => undefined
  readonly #work: Promise<void>

  /** Notes where it begins, durably, if it is new. */
  static async start(parts: PublisherParts, first: { readonly batch: number; readonly index: number }): Promise<StreamPublisher> {
    const cursor = new BridgeCursor(parts.bridge, `${publisherPrefix}${parts.stream}.${parts.name}`)
    if (cursor.known === undefined) await cursor.move(first, '')
    return new StreamPublisher(parts, cursor)
  }

  private constructor(parts: PublisherParts, cursor: BridgeCursor) {
    this.#parts = parts
    this.#cursor = cursor
    const { databaseId, engine } = parts.bridge.open
    this.#idPrefix = `${Buffer.from(databaseId).toString('hex')}:${parts.name}:`
    const { batch, index, mark } = cursor.known!
    this.#reached = this.#noted = { batch, index, time: engine.momentOf(batch).time }
    this.#mark = markOf(mark)
    parts.bridge.open.holders.set(cursor.name, this.#held)
    this.#tick()
    parts.life.signal.addEventListener('abort', () => this.#interrupt())
    this.#work = parts.life.run(() => this.#session()).then(() => this.#end())
  }

  get ended(): Promise<void> {
    return this.#parts.life.ended
  }

  inspect(): PublisherState {
    const { life, name, stream, bridge } = this.#parts
    const { engine } = bridge.open
    const newest = engine.momentOf(engine.durable).time
    const isBehind = !this.#isIdle || this.#flying.length > 0 || this.#commits?.isBehind === true
    return {
      name,
      stream,
      status: life.status,
      position: formatPosition(this.#reached.batch, this.#reached.index),
      isBehind,
      lagMs: isBehind && this.#reached.time > 0 ? Math.max(0, newest - this.#reached.time) : 0,
      published: this.#published,
      repeated: this.#repeated,
      inFlight: this.#flying.length,
      restarts: Math.max(0, this.#sessions - 1),
      lastError: life.lastError,
    }
  }

  async close(): Promise<void> {
    this.#parts.life.stop()
    await this.#work
    this.#letGo()
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // ── a session ─────────────────────────────────────────────────────────────────────────────────────────

  async #session(): Promise<void> {
    const { jetstream, stream, filter, bridge, life } = this.#parts
    this.#sessions += 1
    this.#flying = []
    this.#isIdle = false
    this.#failure = undefined
    const manager = await jetstream.jetstreamManager(false)
    const info = await manager.streams.info(stream)
    await this.#meet(info)
    const stored = await this.#lastStored(manager, info)
    if (life.signal.aborted) return
    const from = formatPosition(this.#reached.batch, this.#reached.index)
    const commits = bridge.stream({ ...filter, from })
    this.#commits = commits
    try {
      await this.#publish(commits as CommitStream<DecodedTransaction>, info.state.last_seq, stored)
      await this.#landed()
    } finally {
      this.#commits = undefined
      await commits.close()
    }
  }

  /** The stream is the one that it was, or the first one. */
  async #meet({ created, config, state }: StreamInfoLike): Promise<void> {
    const { stream, goesOn } = this.#parts
    if (config.retention !== 'limits') throw SluiceError.of('INVALID_USE', `The stream "${stream}" has the retention '${config.retention}': publishing once needs 'limits', for it reads back what is there. Let a stream of that kind take its messages from this one (sources).`)
    const isSame = this.#mark.created === created
    if (!isSame && this.#mark.created !== '' && !goesOn) {
      throw gone(`The stream "${stream}" was deleted and made again since: what was published is not in it.`, { stream, created })
    }
    if (isSame && state.last_seq >= this.#mark.sequence) return
    if (isSame && !goesOn) throw gone(`The stream "${stream}" ends with message ${state.last_seq}, and had acknowledged message ${this.#mark.sequence}: the server has lost messages.`, { stream, sequence: state.last_seq })
    const mark: Mark = { created, sequence: isSame || this.#mark.created !== '' ? 0 : state.last_seq }
    await this.#note(mark)
    this.#mark = mark
  }

  /** The last message of ours behind the cursor (B2). */
  async #lastStored(manager: ManagerLike, { state }: StreamInfoLike): Promise<Stored | undefined> {
    const { stream, goesOn, bridge, life } = this.#parts
    for (let sequence = state.last_seq; sequence > this.#mark.sequence && !life.signal.aborted; sequence -= 1) {
      const message = sequence < state.first_seq ? undefined : await messageAt(manager, stream, sequence)
      if (message === undefined) {
        if (goesOn) return undefined
        throw gone(`The stream "${stream}" has removed message ${sequence}, which may have been one that was in flight when this publisher ended (B4).`, { stream, sequence })
      }
      const id = message.header?.get('Nats-Msg-Id') ?? ''
      if (!id.startsWith(this.#idPrefix)) continue
      const [position = '', place = ''] = id.slice(this.#idPrefix.length).split(':')
      const parts = positionParts(position)
      if (parts === undefined) continue
      if (parts.batch > bridge.open.engine.durable) throw SluiceError.of('INVALID_USE', `The stream "${stream}" has position ${position} of this database, which has not reached it: it is an older copy of itself. Publish from the newer one, or from this one under another name.`, { details: { position } })
      const [number, left = ''] = place.split('/')
      return { position, number: Number(number), left, hasMore: (message.header?.get(moreHeader) ?? '') !== '' }
    }
    return undefined
  }

  /** The number of the first message of a commit that is not in the stream. */
  #firstToSend(commit: AnyCommit, count: number, left: string, stored: Stored | undefined): number {
    if (stored === undefined || commit.position > stored.position) return 0
    if (commit.position < stored.position || count === 0) return count
    if (stored.left === left) return stored.number + 1
    if (!stored.hasMore) return count
    const { stream, goesOn } = this.#parts
    if (goesOn) return 0
    throw gone(`An erasure, or retention, has taken something of the commit ${commit.position} while a part of it was published to the stream "${stream}": what is left of it does not tell which part (B5).`, { stream, position: commit.position })
  }

  async #publish(commits: CommitStream<DecodedTransaction>, lastSequence: number, stored: Stored | undefined): Promise<void> {
    const { messagesOf, stream, publishesIngested, aheadMax } = this.#parts
    const ownIngest = `${ingestPrefix}${stream}.`
    let sequence = lastSequence
    /** Of the message before, in this session. */
    let lastId: string | undefined
    this.#isIdle = true
    for await (const transaction of commits) {
      this.#isIdle = false
      const commit = commitOf(transaction) as AnyCommit
      const isIngested = transaction.id !== undefined && handlerOfEvent(transaction.id)?.startsWith(ownIngest) === true
      const messages = isIngested && !publishesIngested ? [] : messagesOf(commit)
      const place: Place = { batch: transaction.batch, index: transaction.index, time: transaction.time }
      const left = hasLost(commit) ? String(messages.length) : ''
      const known = this.#firstToSend(commit, messages.length, left, stored)
      for (let number = known; number < messages.length; number += 1) {
        while (this.#flying.length >= aheadMax && this.#failure === undefined) await this.#change()
        if (this.#failure !== undefined) throw this.#failure
        sequence += 1
        const id = `${this.#idPrefix}${commit.position}:${number}${left === '' ? '' : `/${left}`}`
        const more = messages.length - 1 - number
        this.#send(messages[number]!, id, lastId, { sequence, more, commit: more === 0 ? place : undefined })
        lastId = id
      }
      if (known >= messages.length) this.#passed(place, messages.length > 0)
      this.#isIdle = true
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  #send(message: OutgoingMessage, msgID: string, lastMsgID: string | undefined, flying: Flying): void {
    const { jetstream, stream, headers: newHeaders } = this.#parts
    const headers = newHeaders()
    for (const [name, value] of Object.entries(message.headers ?? {})) headers.set(name, value)
    if (flying.more > 0) headers.set(moreHeader, String(flying.more))
    const data = typeof message.data === 'string' ? encoder.encode(message.data) : message.data
    const session = this.#sessions
    this.#flying.push(flying)
    const failed = (error: unknown): void => {
      if (session !== this.#sessions || this.#failure !== undefined) return
      this.#failure = isServerError(error, 'messageTooLong') ? tooLong(msgID, data, error) : error
      this.#interrupt()
    }
    try {
      const expect = { streamName: stream, lastSequence: flying.sequence - 1, ...(lastMsgID !== undefined && { lastMsgID }) }
      jetstream.publish(message.subject, data, { msgID, headers, timeout: limits.natsAckMs, expect }).then((ack) => {
        if (session !== this.#sessions) return
        // Another place than the one that was kept for it: it was there already, and the order is that of before.
        if (ack.seq !== flying.sequence) failed(new Error(`the server has message ${msgID} as ${ack.seq} and not as ${flying.sequence}`))
        else this.#acknowledged(flying, ack.duplicate)
      }, failed)
    } catch (error) {
      failed(error)
    }
  }

  /** All before it are in the stream as well (B1). */
  #acknowledged({ sequence }: Flying, isRepeated: boolean): void {
    if (isRepeated) this.#repeated += 1
    let count = 0
    let last: Flying | undefined
    while (count < this.#flying.length && this.#flying[count]!.sequence <= sequence) {
      if (this.#flying[count]!.commit !== undefined) last = this.#flying[count]!
      count += 1
    }
    if (count === 0) return
    this.#flying.splice(0, count)
    this.#published += count
    this.#sinceNote += count
    this.#parts.life.progress()
    if (last !== undefined) {
      // Of a commit that is there in part reading back must find the part, so the mark stays with the cursor.
      this.#reached = last.commit!
      this.#mark = { created: this.#mark.created, sequence: last.sequence }
    }
    this.#noteSoon()
    this.#wake()
  }

  /** A commit without a message that is on its way: it is passed with those before it. */
  #passed(place: Place, isStored: boolean): void {
    const last = this.#flying.at(-1)
    if (last !== undefined) this.#flying[this.#flying.length - 1] = { ...last, commit: place }
    else {
      this.#reached = place
      if (isStored) this.#sinceNote += 1
    }
  }

  // ── waiting ───────────────────────────────────────────────────────────────────────────────────────────

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #interrupt(): void {
    this.#wake()
    void this.#commits?.close()
  }

  /** What is in flight when it is closed: acknowledged, or given up after the time of an acknowledgement. */
  async #landed(): Promise<void> {
    const end = this.#parts.bridge.open.engine.environment.later(limits.natsAckMs, () => {
      this.#failure ??= new Error('closed before all was acknowledged')
      this.#wake()
    })
    while (this.#flying.length > 0 && this.#failure === undefined) await this.#change()
    end()
  }

  // ── the cursor ────────────────────────────────────────────────────────────────────────────────────────

  #noteSoon(): void {
    if (this.#sinceNote < limits.natsCursorMessages || this.#isNoting) return
    this.#note(this.#mark).catch(() => undefined) // another time: reading back goes further then
  }

  async #note(mark: Mark): Promise<void> {
    const to = this.#reached
    this.#isNoting = true
    this.#sinceNote = 0
    try {
      await this.#cursor.move(to, JSON.stringify([mark.created, mark.sequence]))
      this.#noted = to
    } finally {
      this.#isNoting = false
    }
  }

  /** Now and then: what was acknowledged and is not noted; and where nothing is for it in a long log, that it has seen it. */
  #tick(): void {
    const { bridge, life } = this.#parts
    const { engine } = bridge.open
    this.#stopTimer = engine.environment.later(limits.natsCursorMs, () => {
      if (life.signal.aborted || engine.isClosed) return
      const durable = engine.durable
      const hasSeenAll = this.#isIdle && this.#flying.length === 0 && this.#commits?.isBehind === false
      if (hasSeenAll && durable - this.#noted.batch >= limits.handlerCursorBatchesMax) {
        this.#reached = { batch: durable, index: endOfBatch, time: engine.momentOf(durable).time }
        this.#sinceNote += 1
      }
      if (this.#sinceNote > 0 && !this.#isNoting) this.#note(this.#mark).catch(() => undefined)
      this.#tick()
    })
  }

  #letGo(): void {
    const { holders } = this.#parts.bridge.open
    // Another one of this name may hold it by now, from a place of its own.
    if (holders.get(this.#cursor.name) === this.#held) holders.delete(this.#cursor.name)
  }

  async #end(): Promise<void> {
    const { open } = this.#parts.bridge
    this.#stopTimer()
    if (this.#sinceNote > 0 && !open.engine.isClosed) await this.#note(this.#mark).catch(() => undefined)
    // One that has stopped holds the log until it is closed: what it has not published must not go meanwhile.
    if (this.#parts.life.status === 'closed') this.#letGo()
  }
}

function markOf(text: string | undefined): Mark {
  if (text === undefined || text === '') return { created: '', sequence: 0 }
  const [created, sequence] = JSON.parse(text) as readonly [string, number]
  return { created, sequence }
}

/** With a filter: the first one of it that is there or behind. */
export async function messageAt(manager: ManagerLike, stream: string, seq: number, filter?: string) {
  try {
    return (await manager.streams.getMessage(stream, { seq, ...(filter !== undefined && { next_by_subj: filter }) })) ?? undefined
  } catch (error) {
    if (isServerError(error, 'messageNotFound')) return undefined
    throw error
  }
}

/** What was taken away on the other side. */
export const gone = (message: string, details: Readonly<Record<string, unknown>>): SluiceError =>
  SluiceError.of('HISTORY_GONE', `${message} Look at what is there; then say whenGone: 'goOn', or begin under another name.`, { details })

const tooLong = (id: string, data: Uint8Array, cause: unknown): SluiceError =>
  SluiceError.of('INVALID_USE', `Message ${id} has ${data.length} bytes, more than the server takes: raise max_payload and the limit of the stream, or publish less of a commit.`, { cause, details: { id, bytes: data.length } })
