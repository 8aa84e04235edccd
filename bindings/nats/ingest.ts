/** `ingest(db, options)`: checks them, and starts an ingestion. */
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { bridgePartsOf } from '../bridge.js'
import { procedureOrdinal } from '../catalog.js'
import type { Database } from '../database-types.js'
import { shown } from '../schema/definition.js'
import type { Procedure } from '../service/procedure.js'
import type { SignalLike } from '../signal.js'
import { BridgeLife, checkKnown, checkNames, checkWord } from './bridge-life.js'
import type { IngestedMessage, Ingester } from './bridge-types.js'
import { StreamIngester } from './ingester.js'
import type { JetStreamLike } from './jetstream-types.js'
import { ingestPrefix } from './publisher.js'

export interface IngestOptions<I, O = unknown> {
  /** Of this ingestion, in this database and for this stream: its cursor is kept under it, and the server's consumer is `sluice_<name>`. */
  readonly name: string
  /** The client: `connection.jetstream()`. */
  readonly jetstream: JetStreamLike
  /** The stream. Retention `limits` or `workqueue`. */
  readonly stream: string
  /** Only messages of this subject, with wildcards. Default: all. */
  readonly filter?: string | undefined
  /** Where a new one begins. Default: `'beginning'`, the first message that is there; `'new'`: behind the last; or with a sequence. */
  readonly from?: 'beginning' | 'new' | number | undefined
  /** Is called once for each message. */
  readonly procedure: Procedure<I, O>
  /** What it is called with. `undefined`: the message is passed over. Always the same of the same message. */
  readonly input: (message: IngestedMessage) => NoInfer<I> | undefined
  /** Messages of one key follow one another, others are beside each other. Default: all follow one another, in the order of the stream. */
  readonly key?: ((message: IngestedMessage) => string) | undefined
  /**
   * How often a call is made that is refused (an abort, a constraint, a version that an aggregate does not have, an error of the procedure); an ingestion
   * that begins again counts anew. Default: 5.
   */
  readonly attempts?: number | undefined
  /**
   * Takes a message whose call was refused for good; when it resolves the message is done. It may be told twice. Default: none, and the
   * ingestion stops before the message, so that nothing is lost.
   */
  readonly onRefused?: ((message: IngestedMessage, error: SluiceError) => PromiseLike<void> | void) | undefined
  /** Messages that are taken and not done, at most. Default: 256. */
  readonly maxInFlight?: number | undefined
  /** Where the stream was made again, has lost messages, or has removed some that were not ingested: stop (default), or go on with what is there. */
  readonly whenGone?: 'stop' | 'goOn' | undefined
  readonly signal?: SignalLike | undefined
}

const what = 'ingest()'
const known = new Set(['name', 'jetstream', 'stream', 'filter', 'from', 'procedure', 'input', 'key', 'attempts', 'onRefused', 'maxInFlight', 'whenGone', 'signal'])

/**
 * Makes a call of each message of a stream of NATS JetStream: exactly once and in order, however often either side ends.
 *
 * ```ts
 * await using ingester = await ingest(db, { name: 'orders', jetstream, stream: 'ORDERS', procedure: place, input: (message) => orderOf(message.json()) })
 * ```
 *
 * Errors: `INVALID_USE`, and of `ended`: `HISTORY_GONE`, `INVALID_USE`, and what the call of a message was refused with.
 */
export async function ingest<I, O>(db: Database, options: IngestOptions<I, O>): Promise<Ingester> {
  const bridge = bridgePartsOf(db, what)
  if (typeof options !== 'object' || options === null) throw wrong(`The options of ${what} are an object, not ${shown(options)}.`)
  checkKnown(what, options, known)
  checkNames(what, options)
  const { name, stream, jetstream, filter, from = 'beginning', procedure, input, key, attempts = limits.natsAttemptsDefault, onRefused, maxInFlight = limits.natsAheadDefault, whenGone = 'stop', signal } = options
  if (typeof jetstream?.jetstreamManager !== 'function' || typeof jetstream.consumers?.get !== 'function') throw wrong(`${what}: the option jetstream is a client of JetStream, connection.jetstream(), not ${shown(jetstream)}.`)
  if (filter !== undefined && (typeof filter !== 'string' || filter === '')) throw wrong(`${what}: the option filter is a subject, not ${shown(filter)}.`)
  if (from !== 'beginning' && from !== 'new' && !(Number.isSafeInteger(from) && from >= 1)) throw wrong(`${what}: the option from is 'beginning', 'new' or the sequence of a message, not ${shown(from)}.`)
  if (typeof input !== 'function') throw wrong(`${what}: the option input is a function, not ${shown(input)}.`)
  for (const [option, value] of [['key', key], ['onRefused', onRefused]] as const) if (value !== undefined && typeof value !== 'function') throw wrong(`${what}: the option ${option} is a function, not ${shown(value)}.`)
  whole('attempts', attempts, limits.natsAttemptsMax)
  whole('maxInFlight', maxInFlight, limits.natsAheadMax)
  checkWord(what, 'whenGone', whenGone, ['stop', 'goOn'])
  const ordinal = procedureOrdinal(bridge.program, procedure)
  if (bridge.program.procedures[ordinal]!.descriptor.readonly === true) throw wrong(`${what}: '${bridge.program.procedures[ordinal]!.descriptor.name}' only reads: the procedure of an ingestion writes.`)
  const life = new BridgeLife(bridge, `${ingestPrefix}${stream}.${name}`, `The ingestion "${name}" of the stream "${stream}"`, signal)
  return new StreamIngester({
    bridge, life, name, stream, filter, jetstream, from,
    procedure: ordinal,
    inputOf: input,
    keyOf: key,
    onRefused,
    attemptsMax: attempts,
    aheadMax: maxInFlight,
    goesOn: whenGone === 'goOn',
  })
}

function whole(option: string, value: unknown, most: number): void {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > most) throw wrong(`${what}: the option ${option} is a whole number from 1 to ${most}, not ${shown(value)}.`)
}

const wrong = (message: string): SluiceError => SluiceError.of('INVALID_USE', message)
