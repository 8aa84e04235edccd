/** `publish(db, options)`: checks them, and starts a publisher. */
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { endOfBatch } from '../../engine/index.js'
import { bridgePartsOf } from '../bridge.js'
import type { Database } from '../database-types.js'
import { descriptionOf } from '../describe/describe.js'
import type { AnyCommit } from '../envelopes/item.js'
import type { Position } from '../position.js'
import { shown } from '../schema/definition.js'
import type { Table } from '../schema/table.js'
import type { EventType } from '../service/event.js'
import type { SignalLike } from '../signal.js'
import type { ChangeOf, CommitOf, EventOf } from '../stream-types.js'
import { BridgeLife, checkKnown, checkNames, checkWord } from './bridge-life.js'
import type { Publisher } from './bridge-types.js'
import type { HeadersLike, JetStreamLike } from './jetstream-types.js'
import { outgoingOf, type PublishAs } from './outgoing.js'
import { publisherPrefix, StreamPublisher } from './publisher.js'

export interface PublishOptions<T extends Table = never, E extends EventType = never> {
  /** Of this publisher, in this database and for this stream: its cursor is kept under it. */
  readonly name: string
  /** The client: `connection.jetstream()`. */
  readonly jetstream: JetStreamLike
  /** The function `headers` of the client's package. */
  readonly headers: () => HeadersLike
  /** The stream that takes the subjects. Retention `limits`. */
  readonly stream: string
  /** Where a new publisher begins. Default: `'beginning'`. One that is known goes on where it was. */
  readonly from?: 'beginning' | 'now' | Position | undefined
  /** With tables or events, only what touches them. Default: everything. */
  readonly tables?: readonly T[] | undefined
  readonly events?: readonly E[] | undefined
  /** A prefix: `'bank'` becomes `bank.<service>.<table or event>`; or a function of a change or an event. Not needed where `as` is a function. */
  readonly subject?: string | ((item: [T | E] extends [never] ? ChangeOf<Table> | EventOf<EventType> : ChangeOf<T> | EventOf<E>, commit: CommitOf<T, E>) => string) | undefined
  /** What messages are. Default: `'cloudevents'`. */
  readonly as?: PublishAs<CommitOf<T, E>> | undefined
  /** Of the database: `source` of CloudEvents, `source.name` of Debezium. Default: the name of the publisher. */
  readonly source?: string | undefined
  /** With `as: 'debezium'`: a delete is followed by its key without a value. Default: false. */
  readonly tombstones?: boolean | undefined
  /** Messages that are published and not acknowledged, at most. Default: 256. */
  readonly maxInFlight?: number | undefined
  /** Where the stream was made again, or has removed what it was to tell: stop (default), or go on and perhaps publish something twice. */
  readonly whenGone?: 'stop' | 'goOn' | undefined
  /** What this database has ingested from the same stream is not published to it again (default), or is. */
  readonly ingested?: 'skip' | 'publish' | undefined
  readonly signal?: SignalLike | undefined
}

const what = 'publish()'
const known = new Set(['name', 'jetstream', 'headers', 'stream', 'from', 'tables', 'events', 'subject', 'as', 'source', 'tombstones', 'maxInFlight', 'whenGone', 'ingested', 'signal'])

/**
 * Publishes the log to a stream of NATS JetStream: each message once and in order, however often either side ends. Resolves when the
 * place where it begins is durable.
 *
 * ```ts
 * await using publisher = await publish(db, { name: 'bank', jetstream: connection.jetstream(), headers, stream: 'BANK', subject: 'bank' })
 * ```
 *
 * Errors: `INVALID_USE`, and of `ended`: `HISTORY_GONE`, `INVALID_USE`.
 */
export async function publish<T extends Table = never, E extends EventType = never>(db: Database, options: PublishOptions<T, E>): Promise<Publisher> {
  const bridge = bridgePartsOf(db, what)
  if (typeof options !== 'object' || options === null) throw wrong(`The options of ${what} are an object, not ${shown(options)}.`)
  checkKnown(what, options, known)
  checkNames(what, options)
  const { name, stream, jetstream, headers, from = 'beginning', tables, events, subject, as = 'cloudevents', source = name, tombstones = false, maxInFlight = limits.natsAheadDefault, whenGone = 'stop', ingested = 'skip', signal } = options
  if (typeof jetstream?.publish !== 'function' || typeof jetstream.jetstreamManager !== 'function') throw wrong(`${what}: the option jetstream is a client of JetStream, connection.jetstream(), not ${shown(jetstream)}.`)
  if (typeof headers !== 'function') throw wrong(`${what}: the option headers is the function of that name of the client's package, not ${shown(headers)}.`)
  if (typeof as !== 'function') {
    checkWord(what, 'as', as, ['cloudevents', 'cloudevents-binary', 'debezium'])
    if (typeof subject !== 'function' && (typeof subject !== 'string' || subject === '')) throw wrong(`${what}: the option subject is a prefix of subjects or a function, not ${shown(subject)}.`)
  }
  if (typeof source !== 'string' || source === '') throw wrong(`${what}: the option source is text, not ${shown(source)}.`)
  if (!Number.isInteger(maxInFlight) || maxInFlight < 1 || maxInFlight > limits.natsAheadMax) throw wrong(`${what}: the option maxInFlight is a whole number from 1 to ${limits.natsAheadMax}, not ${shown(maxInFlight)}.`)
  checkWord(what, 'whenGone', whenGone, ['stop', 'goOn'])
  checkWord(what, 'ingested', ingested, ['skip', 'publish'])
  const filter = { ...(tables && { tables }), ...(events && { events }) }
  const otherStart = (from as unknown) instanceof Date ? 'a Date' : (from as unknown) === 'snapshot' ? shown(from) : undefined
  if (otherStart !== undefined) throw wrong(`${what}: the option from is 'beginning', 'now' or a Position, not ${otherStart}.`)
  const start = bridge.startOf(from)
  const first = { batch: start.batch, index: start.index < 0 ? endOfBatch : start.index }
  await bridge.stream({ ...filter, from: 'now' }).close() // refuses a filter that means nothing
  const life = new BridgeLife(bridge, `${publisherPrefix}${stream}.${name}`, `The publisher "${name}" of the stream "${stream}"`, signal)
  const outgoing = { as: as as PublishAs<AnyCommit>, subject: subject as never, source, tombstones }
  const messagesOf = outgoingOf(outgoing, descriptionOf(bridge.program))
  const parts = { bridge, life, name, stream, jetstream, headers, filter, messagesOf, aheadMax: maxInFlight, goesOn: whenGone === 'goOn', publishesIngested: ingested === 'publish' }
  try {
    return await StreamPublisher.start(parts, first)
  } catch (error) {
    life.abandon()
    throw error
  }
}

const wrong = (message: string): SluiceError => SluiceError.of('INVALID_USE', message)
