/**
 * Takes the messages of a stream of JetStream and makes a call of each, exactly once, however often either side ends.
 *
 *   stream ──► durable consumer, from the cursor on ──► by key: one at a time, in order ──► a call with an id of the message ──► ack
 *                                  └─ those at the front that are done move the cursor
 *
 * Invariants:
 *   I1  The cursor is in the database: a place in the stream before every message whose call has no durable outcome. Each session begins
 *       there, with a consumer made anew, so it does not matter what the server remembers of acknowledgements.
 *   I2  The call of a message has an id of the engine's, of stream and sequence, which lives until the cursor has passed it (R61): a
 *       message that comes again finds its outcome. One that committed is final. One that is known to have been refused has changed nothing,
 *       and what refused it may have been mended since: the call is made again, under the next id.
 *   I3  Of one key at most one call is in flight, and the next begins when its outcome is known: order per key; without keys, of all.
 *   I4  A message is acknowledged when its outcome is durable. A gap in the numbers of deliveries means that some were lost on their way:
 *       a new session begins at the cursor.
 *   I5  Sequences mean something in one stream only. The mark of the cursor is the stream (when it was made) and what is added to its
 *       sequences, so that places of a stream that was made again come behind all of the one before.
 *   I6  What the filter leaves out is passed without a delivery. It is the stream that says what the filter takes next: what the consumer has
 *       delivered may not have arrived.
 */
import { endOfBatch, eventId } from '../../engine/index.js'
import { isDiskFull, isTheEnd, SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { BridgeCursor, type BridgeParts } from '../bridge.js'
import type { BridgeLife } from './bridge-life.js'
import type { IngestedMessage, Ingester, IngesterState } from './bridge-types.js'
import type { JetStreamLike, ManagerLike, MessageLike, MessagesLike, StreamInfoLike } from './jetstream-types.js'
import { gone, ingestPrefix, messageAt } from './publisher.js'
import { isServerError } from './server-error.js'

export interface IngesterParts {
  readonly bridge: BridgeParts
  readonly life: BridgeLife
  readonly name: string
  readonly stream: string
  readonly filter: string | undefined
  readonly jetstream: JetStreamLike
  readonly from: 'beginning' | 'new' | number
  /** Ordinal. */
  readonly procedure: number
  readonly inputOf: (message: IngestedMessage) => unknown
  readonly keyOf: ((message: IngestedMessage) => string) | undefined
  readonly onRefused: ((message: IngestedMessage, error: SluiceError) => unknown) | undefined
  readonly attemptsMax: number
  readonly aheadMax: number
  readonly goesOn: boolean
}

interface Taken {
  readonly message: IngestedMessage
  readonly raw: MessageLike
  readonly key: string
  /** In the id of its call: one more than outcomes under ids before it, which were refusals. */
  attempt: number
  /** Of calls that were made in this session. */
  refusals: number
  pauses: number
  isDone: boolean
}
/** Of the stream that the cursor is in. */
interface Mark {
  readonly created: string
  readonly base: number
}

/** Between the places of a stream and of the one that was made after it: more than a call can be ahead of a cursor, for what the filter leaves out counts. */
const basesApart = 2 ** 36
const nanosecondsPerMs = 1_000_000
const decoder = new TextDecoder('utf-8', { fatal: true })

export class StreamIngester implements Ingester {
  readonly #parts: IngesterParts
  readonly #cursor: BridgeCursor
  readonly #ownPrefix: string
  /** Undefined until the first contact with the stream. */
  #mark: Mark | undefined
  /** Sequences: every message up to here is done, and is so noted. */
  #reached = 0
  #noted = 0
  #taken: Taken[] = []
  #keys = new Map<string, Taken[]>()
  #pauses = new Set<() => void>()
  #messages: MessagesLike | undefined
  #manager: ManagerLike | undefined
  #failure: unknown
  #wake: () => void = () => undefined
  #isNoting = false
  #inFlight = 0
  #lastSequence = 0
  #handled = 0
  #repeated = 0
  #skipped = 0
  #refused = 0
  #retried = 0
  #sessions = 0
  #sinceNote = 0
  #stopTimer: () => void = () => undefined
  readonly #work: Promise<void>

  constructor(parts: IngesterParts) {
    this.#parts = parts
    this.#cursor = new BridgeCursor(parts.bridge, `${ingestPrefix}${parts.stream}.${parts.name}`)
    this.#ownPrefix = `${Buffer.from(parts.bridge.open.databaseId).toString('hex')}:`
    const known = this.#cursor.known
    if (known?.mark !== undefined) {
      const [created, base] = JSON.parse(known.mark) as readonly [string, number]
      this.#mark = { created, base }
      this.#reached = this.#noted = known.batch - base
    }
    parts.life.signal.addEventListener('abort', () => this.#interrupt())
    this.#tick()
    this.#work = parts.life.run(() => this.#session()).then(() => this.#end())
  }

  get ended(): Promise<void> {
    return this.#parts.life.ended
  }

  inspect(): IngesterState {
    const { name, stream, life } = this.#parts
    return {
      name,
      stream,
      status: life.status,
      sequence: this.#reached,
      lag: Math.max(0, this.#lastSequence - this.#reached),
      handled: this.#handled,
      repeated: this.#repeated,
      skipped: this.#skipped,
      refused: this.#refused,
      retried: this.#retried,
      inFlight: this.#inFlight,
      restarts: Math.max(0, this.#sessions - 1),
      lastError: life.lastError,
    }
  }

  async close(): Promise<void> {
    this.#parts.life.stop()
    await this.#work
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // ── a session ─────────────────────────────────────────────────────────────────────────────────────────

  async #session(): Promise<void> {
    const { jetstream, stream, name, life, aheadMax } = this.#parts
    this.#sessions += 1
    this.#failure = undefined
    const manager = await jetstream.jetstreamManager(false)
    const info = await manager.streams.info(stream)
    await this.#meet(info)
    await this.#passOthers(manager, info)
    const consumer = `sluice_${name}`
    await this.#makeConsumer(manager, consumer, info)
    if (life.signal.aborted) return
    const messages = await (await jetstream.consumers.get(stream, consumer)).consume({ max_messages: aheadMax, expires: limits.natsPullMs, abort_on_missing_resource: true })
    this.#messages = messages
    this.#manager = manager
    try {
      if (!life.signal.aborted) await this.#take(messages)
      if (this.#failure === undefined && !life.signal.aborted) throw new Error(`the consumer "${consumer}" of the stream "${stream}" has ended`)
    } finally {
      this.#messages = undefined
      this.#manager = undefined
      await Promise.resolve(messages.close()).catch(() => undefined)
      await this.#landed()
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  /** The stream is the one that it was, and holds what comes next; or it is the first one. */
  async #meet({ created, config, state }: StreamInfoLike): Promise<void> {
    const { stream, goesOn, from } = this.#parts
    const { retention } = config
    if (retention === 'interest') throw SluiceError.of('INVALID_USE', `The stream "${stream}" has the retention 'interest', which drops what its consumers have not seen when they are made anew: ingesting is not in this version for it. Use 'limits' or 'workqueue'.`)
    this.#lastSequence = state.last_seq
    if (this.#mark === undefined) {
      if (retention === 'workqueue' && from !== 'beginning') throw SluiceError.of('INVALID_USE', `The stream "${stream}" is a work queue: it is ingested from the beginning, not from ${String(from)}.`)
      const sequence = from === 'beginning' ? Math.max(0, state.first_seq - 1) : from === 'new' ? state.last_seq : Math.max(0, from - 1)
      return await this.#note(sequence, { created, base: 0 })
    }
    const { base } = this.#mark
    const isSame = this.#mark.created === created
    if (!isSame || state.last_seq < this.#reached) {
      const why = isSame ? `ends with message ${state.last_seq}, and this database has ingested message ${this.#reached}: the server has lost messages, and gives their numbers to others` : 'was deleted and made again since'
      if (!goesOn) throw gone(`The stream "${stream}" ${why}.`, { stream, created, sequence: state.last_seq })
      return await this.#note(isSame ? state.last_seq : 0, { created, base: base + Math.max(this.#reached, state.last_seq) + basesApart })
    }
    if (state.first_seq > this.#reached + 1 && state.last_seq > this.#reached) {
      // A work queue drops what was acknowledged, and that is what has had its effect.
      if (!goesOn && retention === 'limits') throw gone(`The stream "${stream}" begins with message ${state.first_seq}, and this database has ingested up to ${this.#reached}: what was in between was removed.`, { stream, sequence: state.first_seq })
      await this.#note(state.first_seq - 1, this.#mark)
    }
  }

  /** Moves on to the end of the stream as `info` has it, or to what the filter takes next (I6). */
  async #passOthers(manager: ManagerLike, { created, state }: StreamInfoLike): Promise<void> {
    const { stream, filter } = this.#parts
    const mark = this.#mark!
    const from = this.#reached
    if (filter === undefined || created !== mark.created || state.last_seq <= from) return
    const next = await messageAt(manager, stream, from + 1, filter)
    this.#lastSequence = Math.max(this.#lastSequence, state.last_seq)
    if (this.#taken.length > 0 || this.#mark !== mark || this.#reached !== from) return
    this.#reached = Math.min(state.last_seq, (next?.seq ?? Infinity) - 1)
  }

  async #makeConsumer(manager: ManagerLike, consumer: string, { config }: StreamInfoLike): Promise<void> {
    const { stream, filter } = this.#parts
    try {
      await manager.consumers.delete(stream, consumer)
    } catch (error) {
      if (!isServerError(error, 'consumerNotFound')) throw error
    }
    // A work queue holds what was not acknowledged only, and refuses any other start. How much is under way is bounded by what is asked for.
    const start = config.retention === 'workqueue' ? { deliver_policy: 'all' } : { deliver_policy: 'by_start_sequence', opt_start_seq: this.#reached + 1 }
    await manager.consumers.add(stream, { durable_name: consumer, ack_policy: 'explicit', ...start, ...(filter !== undefined && { filter_subject: filter }), max_ack_pending: -1 })
  }

  async #take(messages: MessagesLike): Promise<void> {
    const { aheadMax, life } = this.#parts
    let deliveries = 0
    let newest = this.#reached
    for await (const raw of messages) {
      deliveries += 1
      if (raw.info.deliverySequence !== deliveries) throw new Error(`delivery ${deliveries} did not arrive, but ${raw.info.deliverySequence}`)
      if (raw.seq <= newest) {
        if (raw.seq <= this.#reached) acknowledge(raw) // done before, and the server has not heard of it
        continue
      }
      newest = raw.seq
      this.#lastSequence = Math.max(this.#lastSequence, newest)
      this.#enqueue(raw)
      while (this.#taken.length >= aheadMax && this.#failure === undefined && !life.signal.aborted) await this.#change()
      if (this.#failure !== undefined || life.signal.aborted) return
    }
  }

  // ── one after the other, by key ───────────────────────────────────────────────────────────────────────

  #enqueue(raw: MessageLike): void {
    const message = messageOf(this.#parts.stream, raw)
    let key = ''
    try {
      key = String(this.#parts.keyOf?.(message) ?? '')
    } catch {
      // `input` has it too, and says what is wrong with it.
    }
    const taken: Taken = { message, raw, key, attempt: 1, refusals: 0, pauses: 0, isDone: false }
    this.#taken.push(taken)
    const waiting = this.#keys.get(key)
    if (waiting !== undefined) waiting.push(taken) // I3
    else {
      this.#keys.set(key, [])
      this.#handIn(taken)
    }
  }

  #handIn(taken: Taken): void {
    const { bridge, procedure, inputOf, life } = this.#parts
    if (this.#failure !== undefined || life.signal.aborted) return
    const { message, attempt } = taken
    if (message.header('Nats-Msg-Id').startsWith(this.#ownPrefix)) return this.#skip(taken)
    let input: unknown
    try {
      input = inputOf(message)
    } catch (cause) {
      return this.#refuse(taken, SluiceError.of('INVALID_INPUT', `The option input threw at message ${message.sequence} of the stream "${message.stream}": see cause.`, { cause, details: detailsOf(message) }))
    }
    if (input === undefined) return this.#skip(taken)
    const id = eventId(this.#cursor.name, { batch: this.#mark!.base + message.sequence, index: 0 }, 0, attempt)
    this.#inFlight += 1
    const settled = (then: () => void): void => {
      this.#inFlight -= 1
      then()
      this.#wake()
    }
    const caller = {
      done: (_index: number, _value: unknown, _batch: number, _place: number, repeated: boolean) => settled(() => {
        if (repeated) this.#repeated += 1
        else this.#handled += 1
        this.#done(taken)
      }),
      failed: (_index: number, error: SluiceError, repeated = false) => settled(() => this.#failed(taken, error, repeated)),
    }
    try {
      bridge.open.engine.submit(procedure, input, caller, 0, { id, isOwn: true, whenFull: 'wait' })
    } catch (error) {
      settled(() => this.#failed(taken, SluiceError.is(error) ? error : SluiceError.of('INVALID_INPUT', `The input of message ${message.sequence} cannot be read: see cause.`, { cause: error, details: detailsOf(message) }), false))
    }
  }

  #failed(taken: Taken, error: SluiceError, repeated: boolean): void {
    const isReused = error.code === 'ID_REUSED'
    // The call was made before, with what `input` answered then: its effect stands.
    if (isReused && error.details['committed'] === true) {
      this.#repeated += 1
      return this.#done(taken)
    }
    if (repeated || isReused) {
      if (taken.attempt >= limits.natsRefusalsMax) return this.#refuse(taken, error)
      taken.attempt += 1 // only now: what is under a later id was made when this outcome was recorded
      return this.#handIn(taken)
    }
    if (isTheEnd(error) || error.code === 'WORKER_LOST') return this.#fail(error)
    // A call never conflicts with others, only with what it expects itself (an aggregate's version): that is a refusal.
    if ((error.retryable && error.code !== 'CONFLICT') || isDiskFull(error)) return this.#again(taken)
    taken.refusals += 1
    if (taken.refusals >= this.#parts.attemptsMax) return this.#refuse(taken, error)
    this.#again(taken)
  }

  #again(taken: Taken): void {
    const ms = Math.min(limits.natsPauseMsMax, limits.natsPauseMs * 2 ** taken.pauses)
    taken.pauses += 1
    this.#retried += 1
    const cancel = this.#parts.bridge.open.engine.environment.later(ms, () => {
      this.#pauses.delete(cancel)
      this.#handIn(taken)
    })
    this.#pauses.add(cancel)
  }

  #skip(taken: Taken): void {
    this.#skipped += 1
    this.#done(taken)
  }

  /** For good: told to whoever takes it, and then it is done; where nobody does, this stops before it. */
  #refuse(taken: Taken, error: SluiceError): void {
    const { onRefused } = this.#parts
    if (onRefused === undefined) return this.#fail(error)
    this.#inFlight += 1
    const told = async (): Promise<void> => void (await onRefused(taken.message, error))
    told().then(
      () => {
        this.#refused += 1
        this.#inFlight -= 1
        this.#done(taken)
        this.#noteSoon() // until it is noted, one that comes again is tried again
        this.#wake()
      },
      (cause: unknown) => {
        this.#inFlight -= 1
        this.#fail(SluiceError.is(cause) ? cause : SluiceError.of('INVALID_USE', `The option onRefused failed at message ${taken.message.sequence}: see cause.`, { cause, details: detailsOf(taken.message) }))
      },
    )
  }

  #done(taken: Taken): void {
    taken.isDone = true
    this.#parts.life.progress()
    acknowledge(taken.raw) // I4
    const waiting = this.#keys.get(taken.key)
    const next = waiting?.shift()
    if (next === undefined) this.#keys.delete(taken.key)
    else this.#handIn(next)
    this.#takeAway()
  }

  /** This session ends, with an error that may be its last. */
  #fail(error: unknown): void {
    this.#failure ??= error
    this.#interrupt()
  }

  // ── waiting ───────────────────────────────────────────────────────────────────────────────────────────

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #interrupt(): void {
    this.#wake()
    void Promise.resolve(this.#messages?.close()).catch(() => undefined)
  }

  /** Calls in flight have their outcome; nothing of this session is handed in any more. */
  async #landed(): Promise<void> {
    this.#failure ??= new Error('the session has ended')
    for (const cancel of this.#pauses) cancel()
    this.#pauses.clear()
    while (this.#inFlight > 0) await this.#change()
    this.#takeAway()
    this.#taken = []
    this.#keys = new Map()
  }

  // ── the cursor ────────────────────────────────────────────────────────────────────────────────────────

  #takeAway(): void {
    let count = 0
    while (count < this.#taken.length && this.#taken[count]!.isDone) count += 1
    if (count === 0) return
    this.#reached = Math.max(this.#reached, this.#taken[count - 1]!.message.sequence)
    this.#taken.splice(0, count)
    this.#sinceNote += count
    if (this.#sinceNote >= limits.natsCursorMessages) this.#noteSoon()
  }

  #noteSoon(): void {
    if (this.#isNoting || this.#mark === undefined || this.#reached === this.#noted) return
    this.#note(this.#reached, this.#mark).catch(() => undefined) // another time: the ids are kept until then
  }

  async #note(sequence: number, mark: Mark): Promise<void> {
    this.#isNoting = true
    this.#sinceNote = 0
    try {
      await this.#cursor.move({ batch: mark.base + sequence, index: endOfBatch }, JSON.stringify([mark.created, mark.base]))
      if (mark !== this.#mark || sequence > this.#reached) this.#reached = sequence
      this.#mark = mark
      this.#noted = sequence
    } finally {
      this.#isNoting = false
    }
  }

  #tick(): void {
    const { bridge, life } = this.#parts
    this.#stopTimer = bridge.open.engine.environment.later(limits.natsCursorMs, () => {
      if (bridge.open.engine.isClosed) return life.stop()
      if (life.signal.aborted) return
      this.#look()
      this.#noteSoon()
      this.#tick()
    })
  }

  #look(): void {
    const manager = this.#manager
    if (manager === undefined || this.#parts.filter === undefined || this.#taken.length > 0) return
    manager.streams.info(this.#parts.stream).then((info) => this.#passOthers(manager, info)).catch(() => undefined) // another time
  }

  async #end(): Promise<void> {
    this.#stopTimer()
    if (this.#mark === undefined || this.#reached === this.#noted || this.#parts.bridge.open.engine.isClosed) return
    await this.#note(this.#reached, this.#mark).catch(() => undefined)
  }
}

/** What the server does not hear it delivers again, and hears then. */
function acknowledge(raw: MessageLike): void {
  try {
    raw.ack()
  } catch {
    // the connection is gone
  }
}

function messageOf(stream: string, { seq, subject, data, headers, info }: MessageLike): IngestedMessage {
  return {
    stream,
    subject,
    sequence: seq,
    time: Math.floor(info.timestampNanos / nanosecondsPerMs),
    data,
    header: (name) => headers?.get(name) ?? '',
    json: () => JSON.parse(decoder.decode(data)) as unknown,
  }
}

const detailsOf = ({ stream, subject, sequence }: IngestedMessage): Readonly<Record<string, unknown>> => ({ stream, subject, sequence })
