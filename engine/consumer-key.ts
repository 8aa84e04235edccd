/**
 * The key of a commit, of which a consumer handles one after the other: as text, which is the same for keys that are; and as it was given.
 *
 *    of a consumer without keys        ''                  all commits are of one key
 *    of values                         as handlers have it (handler-queue.ts)
 *    of a commit that has none         'none <its place>'  nothing stands behind it. So is one whose key was erased, or could not be found
 */
import { ByteReader } from './base/bytes.js'
import { decodeCanonical } from './base/canonical.js'
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { ConsumerDelivery } from './consumer-delivery.js'
import { keyTextOf } from './handler-queue.js'
import { type HandlerCursor, placeText } from './schema/handler-ids.js'
import type { ParkedRow } from './schema/parked-table.js'
import { isPartitionValue } from './schema/placement.js'
import type { DecodedTransaction } from './stream/frame-decoder.js'

export interface ConsumerKey {
  readonly text: string
  readonly value: unknown
}

/** Undefined: all commits are of one key. It answers undefined for one that has none. */
export type KeyFunction = ((transaction: DecodedTransaction) => unknown) | undefined

const oneKey: ConsumerKey = { text: '', value: undefined }
/** It stands alone. */
export const noKeyOf = (place: HandlerCursor): ConsumerKey => ({ text: textOfNone(place), value: undefined })

export function keyOfCommit(keyOf: KeyFunction, transaction: DecodedTransaction): ConsumerKey {
  if (keyOf === undefined) return oneKey
  const value = keyOf(transaction)
  if (value === undefined || value === null) return noKeyOf(transaction)
  return { text: textOfKey(value), value }
}

export function textOfKey(value: unknown): string {
  if (value === undefined) return oneKey.text
  const values: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (!values.every(isPartitionValue)) throw SluiceError.of('INVALID_USE', 'The key of a consumer is text, a number, a bigint, a boolean or bytes, or a list of these.')
  const text = keyTextOf(values)
  const bytes = Buffer.from(text)
  if (bytes.length > limits.consumerKeyBytesMax || bytes.toString() !== text) throw SluiceError.of('INVALID_USE', `The key of a consumer is well-formed and takes at most ${limits.consumerKeyBytesMax} bytes.`)
  return text
}
export const textOfNone = (place: HandlerCursor): string => `none ${placeText(place)}`

// ── when it is parked ─────────────────────────────────────────────────────────────────────────────────────────

/** The key that a delivery is parked under. */
export const textWhenParked = ({ key, isKeyErased, place }: ConsumerDelivery): string => (isKeyErased ? textOfNone(place) : key)
/** The same, of what is parked. Of a key that was erased no byte is left. */
export const textOfParked = (row: Pick<ParkedRow, 'key' | 'keyValue' | 'batch' | 'index'>): string => (row.keyValue.length === 0 ? textOfNone(row) : row.key)
export const valueOfParked = ({ keyValue }: Pick<ParkedRow, 'keyValue'>): unknown => (keyValue.length === 0 ? undefined : decodeCanonical(new ByteReader(keyValue)))
