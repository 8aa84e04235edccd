/**
 * Positions: moments in the log, as text that sorts.
 *
 *    0000000001000000-00000003
 *    batch, hexadecimal, 16 digits  '-'  index of the record in the batch, 8 digits
 *
 * Fixed widths make the order of the texts the order of the log, so that users compare with `===` and `<`,
 * keep positions in JSON and in other databases, and never need a function of ours to do so. Batch numbers
 * have 53 bits (R16).
 *
 * Why not a bigint: JSON has none. Why not a number: batch and index together need more than 53 bits.
 */
import { assert } from '../engine/base/assert.js'
import { SluiceError } from '../engine/base/errors.js'

declare const position: unique symbol

/** A moment in the log, as text that sorts: compare with `===` and `<`, keep it in JSON. */
export type Position = string & { readonly [position]: true }

/**
 * Where a stream starts: `'now'` (default), with the first commit that is kept, with the first commit after a
 * position, or with the first commit at or after a moment.
 */
export type Start = 'beginning' | 'now' | Position | Date

const batchDigits = 16
const indexDigits = 8
export const indexMax = 16 ** indexDigits - 1
const pattern = /^[0-9a-f]{16}-[0-9a-f]{8}$/

export interface PositionParts {
  readonly batch: number
  /** Place of the record among the records of its batch, in serial order. */
  readonly index: number
}

/** What positions of the batch that was asked for last begin with, and the ends of the first indexes: answers come batch by batch. */
let prefixBatch = -1
let prefix = ''
const endings: string[] = []
const endingsMax = 4_096

export function formatPosition(batch: number, index: number): Position {
  if (batch !== prefixBatch) {
    assert(Number.isSafeInteger(batch) && batch >= 0, 'R16: a batch number is a whole number of at most 53 bits')
    prefix = `${hexadecimal(batch, batchDigits)}-`
    prefixBatch = batch
  }
  assert(Number.isInteger(index) && index >= 0 && index <= indexMax, 'a batch has fewer than 2^32 records')
  if (index >= endingsMax) return (prefix + hexadecimal(index, indexDigits)) as Position
  for (let n = endings.length; n <= index; n += 1) endings.push(hexadecimal(n, indexDigits))
  return (prefix + endings[index]!) as Position
}

function hexadecimal(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

/** The numbers of a position, or undefined when the text is none. */
export function positionParts(text: unknown): PositionParts | undefined {
  if (typeof text !== 'string' || !pattern.test(text)) return undefined
  const batch = Number.parseInt(text.slice(0, batchDigits), 16)
  return Number.isSafeInteger(batch)
    ? { batch, index: Number.parseInt(text.slice(batchDigits + 1), 16) }
    : undefined
}

export const Position = Object.freeze({
  /** Checks text that was kept elsewhere; `INVALID_USE` when it is no position. */
  parse(text: string): Position {
    if (positionParts(text) !== undefined) return text as Position
    const shown = typeof text === 'string' ? `'${text.slice(0, 60)}'` : typeof text
    throw SluiceError.of('INVALID_USE', `${shown} is no position: pass text that came from one.`)
  },
})

/** The engine counts batches where users read positions: what it says of a history that is gone, in their words. */
export async function inPositions<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    throw toldInPositions(error)
  }
}

export function toldInPositions<E>(error: E): E | SluiceError {
  if (!SluiceError.is(error, 'HISTORY_GONE') || typeof error.details['oldest'] !== 'number') return error
  const oldest = formatPosition(error.details['oldest'] - 1, indexMax)
  return SluiceError.of(
    'HISTORY_GONE',
    `Retention has removed that part of the log. What comes after position ${oldest} is left: start from there, from 'beginning', or from 'now' with a snapshot; or keep more of the log (retention).`,
    { cause: error, details: { oldest } },
  )
}
