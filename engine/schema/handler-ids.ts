/**
 * Ids that the engine gives to its own calls (R61), as text that sorts:
 *
 *    $sluice.cursor:<handler>                          how far a handler has come: the value is a batch and an index
 *    $sluice.on:<handler>:<batch><index><event>        one event for one handler, hexadecimal of fixed width; a repeat after an
 *                                                      outcome that may pass has '#' and its number behind it
 *
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

/** Every event of a handler at a cursor, or before it, has an id from the first of these on and below the second. */
export function passedIds(handler: string, { batch, index }: HandlerCursor): readonly [from: string, to: string] {
  const prefix = `${eventPrefix}${handler}:`
  return [prefix, `${prefix}${hexadecimal(batch, batchDigits)}${hexadecimal(index, indexDigits)}${behindDigits}`]
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
