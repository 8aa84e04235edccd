/**
 * Ids that the engine gives to its own calls (R61), as text that sorts:
 *
 *    $sluice.cursor:<handler>                          how far a handler has come: the value is a batch and an index
 *    $sluice.on:<handler>:<batch><index><event>        one event for one handler, hexadecimal of fixed width; a repeat after an
 *                                                      outcome that may pass has '#' and its number behind it
 *
 *    $sluice.cursor:consumer/<name>                    the same of a durable consumer, with more to say: see `ConsumerMark`
 *    $sluice.on:consumer/<name>:<epoch><batch><index><call>     one call of one delivery to a consumer
 *    $sluice.erased:<number>                           an erasure (schema/erasure-plan.ts): the value is its record
 *
 * They are kept among the outcomes of calls with an id, so they are in the log, in checkpoints and in no stream. What differs is how
 * long: a cursor for good, an event until the cursor of its handler has passed it. No window of time ends either, hence `keptForever`
 * as their time.
 *
 * Cursors sort before events: who walks all ids in order knows every cursor when the first event comes.
 */
const cursorPrefix = '$sluice.cursor:'
const eventPrefix = '$sluice.on:'
const erasurePrefix = '$sluice.erased:'
/** No user's id begins with it. */
export const enginePrefix = '$sluice.'
export const keptForever = Number.MAX_SAFE_INTEGER

const batchDigits = 14
const indexDigits = 8
const eventDigits = 5
/** Behind every digit. */
const behindDigits = '~'

/** A place in the log up to which a handler has seen everything: a batch and an index in it. */
export interface HandlerCursor {
  readonly batch: number
  readonly index: number
}

/** As an index: all of the batch. */
export const endOfBatch = 2 ** 32 - 1

export const isBefore = (one: HandlerCursor, other: HandlerCursor): boolean => one.batch < other.batch || (one.batch === other.batch && one.index < other.index)
export const placeText = ({ batch, index }: HandlerCursor): string => `${batch}:${index}`

const hexadecimal = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')

export const cursorId = (handler: string): string => cursorPrefix + handler

/** Of the commits of an erasure: `number` is the batch in which it began, `part` 0 for its record. */
export const erasureId = (number: number, part: number): string => `${erasurePrefix}${hexadecimal(number, batchDigits)}${part === 0 ? '' : `#${part}`}`
export const isErasureId = (id: string): boolean => id.startsWith(erasurePrefix)
/** The last commit of an erasure, which says what it has done. */
export const isErasureRecordId = (id: string): boolean => isErasureId(id) && !id.includes('#')

export function eventId(handler: string, place: HandlerCursor, event: number, attempt: number): string {
  const id = `${eventPrefix}${handler}:${hexadecimal(place.batch, batchDigits)}${hexadecimal(place.index, indexDigits)}${hexadecimal(event, eventDigits)}`
  return attempt === 1 ? id : `${id}#${attempt}`
}

/** A delivery to a consumer: a commit, in one of the consumer's epochs, which `reset` begins. */
export interface ConsumerPlace extends HandlerCursor {
  readonly epoch: number
}
/** How far a consumer has come, and all else that is durable about it but what it has parked. */
export interface ConsumerMark extends ConsumerPlace {
  readonly isPaused: boolean
  /** Deliveries at or before the cursor that are not done, for they are parked, and have made calls: the ids of these stay. */
  readonly kept: readonly ConsumerPlace[]
}

/** No handler has a slash in its name. */
const consumerPrefix = 'consumer/'
export const ownerOfConsumer = (name: string): string => consumerPrefix + name
/** The consumer whose cursor has this id. */
export function consumerOfCursor(id: string): string | undefined {
  const owner = handlerOfCursor(id)
  return owner?.startsWith(consumerPrefix) === true ? owner.slice(consumerPrefix.length) : undefined
}
/** Cursors of consumers have ids from the first of these on and below the second. */
export const consumerCursors: readonly [from: string, to: string] = [cursorId(consumerPrefix), cursorId(consumerPrefix) + behindDigits]

const placeDigits = ({ epoch, batch, index }: ConsumerPlace): string => hexadecimal(epoch, batchDigits) + hexadecimal(batch, batchDigits) + hexadecimal(index, indexDigits)

/** `attempt`: counts outcomes of this call that were refusals; what committed is final. */
export function callId(consumer: string, place: ConsumerPlace, call: number, attempt: number): string {
  const id = `${eventPrefix}${consumerPrefix}${consumer}:${placeDigits(place)}${hexadecimal(call, eventDigits)}`
  return attempt === 1 ? id : `${id}#${attempt}`
}
/** Calls of a consumer have ids from the first of these on and below the second. */
export function callsOf(consumer: string): readonly [from: string, to: string] {
  const prefix = `${eventPrefix}${consumerPrefix}${consumer}:`
  return [prefix, prefix + behindDigits]
}
/** The delivery that a call with this id was made for. */
export function placeOfCall(id: string): ConsumerPlace {
  const at = id.lastIndexOf(':') + 1
  const number = (from: number, digits: number): number => Number.parseInt(id.slice(at + from, at + from + digits), 16)
  return { epoch: number(0, batchDigits), batch: number(batchDigits, batchDigits), index: number(2 * batchDigits, indexDigits) }
}

/** What is recorded under the id of a cursor: of a handler two numbers, of a bridge a text more, of a consumer its mark, of one that was deleted nothing. */
export type CursorValue = readonly [] | readonly [batch: number, index: number, epochOrText?: number | string, isPaused?: boolean, kept?: readonly number[]]

export function valueOfMark({ batch, index, epoch, isPaused, kept }: ConsumerMark): CursorValue {
  return [batch, index, epoch, isPaused, kept.flatMap((place) => [place.epoch, place.batch, place.index])]
}
export function markOfValue([batch = 0, index = 0, epoch = 0, isPaused = false, kept = []]: CursorValue): ConsumerMark {
  const places: ConsumerPlace[] = []
  for (let n = 0; n < kept.length; n += 3) places.push({ epoch: kept[n]!, batch: kept[n + 1]!, index: kept[n + 2]! })
  return { batch, index, epoch: Number(epoch), isPaused, kept: places }
}

/** What a cursor lets go: ids from `from` on and below `to`, but for those that it `keeps`. */
export interface PassedIds {
  readonly from: string
  readonly to: string
  readonly keeps: ((id: string) => boolean) | undefined
}
export function passedIds(handler: string, value: CursorValue): PassedIds {
  const from = `${eventPrefix}${handler}:`
  const [batch, index, epoch, , kept = []] = value
  if (batch === undefined) return { from, to: from + behindDigits, keeps: undefined }
  const inEpoch = typeof epoch === 'number' ? hexadecimal(epoch, batchDigits) : ''
  const to = `${from}${inEpoch}${hexadecimal(batch, batchDigits)}${hexadecimal(index!, indexDigits)}${behindDigits}`
  if (kept.length === 0) return { from, to, keeps: undefined }
  const places = new Set(markOfValue(value).kept.map(placeDigits))
  const length = 2 * batchDigits + indexDigits
  return { from, to, keeps: (id) => places.has(id.slice(from.length, from.length + length)) }
}

/** The handler whose cursor has this id. */
export function handlerOfCursor(id: string): string | undefined {
  return id.startsWith(cursorPrefix) ? id.slice(cursorPrefix.length) : undefined
}
/** The handler whose event has this id. */
export function handlerOfEvent(id: string): string | undefined {
  return id.startsWith(eventPrefix) ? id.slice(eventPrefix.length, id.lastIndexOf(':')) : undefined
}

const prefixBytes = Buffer.from(enginePrefix)

/** Is this id, in UTF-8, one of the engine's? */
export function isEngineId(id: Uint8Array): boolean {
  if (id.length < prefixBytes.length) return false
  for (let n = 0; n < prefixBytes.length; n += 1) if (id[n] !== prefixBytes[n]) return false
  return true
}
