/**
 * Which partition a row belongs to: a function of the values of its partition columns, pinned forever.
 *
 *   one whole number or bigint     value mod P (R29: what partition p generates is placed in p again)
 *   everything else                32-bit hash of the values, mod P
 *
 * It looks at the values as programs see them and not at column types, on purpose: a procedure's `partition` function
 * returns bare values, and what it says must place a call where the rows are. By type, a UUID that is 16 bytes in a row and
 * text in the function, or an enum that is a place here and a word there, would send every call to the wrong lane.
 * Hence also 5 and 5n are placed alike.
 *
 * Recovery places row images, which have cells and no values: it feeds `hashText8` and `hashUuid8` the bytes of a text and of
 * a UUID, and `hashValue` everything else.
 *
 * What is hashed, each value after a byte that tells its kind:
 *   text     UTF-8, then 0xff, which UTF-8 never has        bool     0 or 1
 *   number   the bits of the double, low byte first         bytes    the length as u32, low byte first, then the bytes
 *            (-0 as 0); a bigint that is a safe integer     bigint   beyond that: 64 bits, low byte first
 *            is that number
 */
import { assert } from '../base/assert.js'
import { hashByte, hashEnd, hashStart, hashText } from '../base/hash.js'
import type { IndexDescriptor, PartitionValue, TableDescriptor } from './descriptor.js'

const kind = { text: 1, number: 2, bigint: 3, bool: 4, bytes: 5 } as const
const numberView = new DataView(new ArrayBuffer(8))
const textStart = hashByte(hashStart, kind.text)

/**
 * A unique index that does not name the partition columns: equal values may lie in any partition, so it is one tree for the whole
 * table, in the global area (R21).
 */
export function isAcross(table: TableDescriptor, index: IndexDescriptor): boolean {
  return index.unique && table.partition !== 'global' && !table.partition.every((column) => index.on.includes(column))
}

/** The partition, 0 to `partitions` - 1, of a tuple of one or more values. */
export function partitionOf(values: readonly unknown[], partitions: number): number {
  if (values.length === 1) return partitionOfOne(values[0] as PartitionValue, partitions)
  assert(values.length > 0, 'a row is placed by a value at least')
  let hash = hashStart
  for (const value of values) hash = hashValue(hash, value as PartitionValue)
  return hashEnd(hash) % partitions
}

/** The same for one value, bare: `partitionOf([value], partitions)`. */
export function partitionOfOne(value: PartitionValue, partitions: number): number {
  if (typeof value === 'string') return hashEnd(hashByte(hashText(textStart, value), 0xff)) % partitions
  if (typeof value === 'number' && Number.isSafeInteger(value)) return ((value % partitions) + partitions) % partitions
  if (typeof value === 'bigint') {
    const count = BigInt(partitions)
    return Number(((value % count) + count) % count)
  }
  return hashEnd(hashValue(hashStart, value)) % partitions
}

export function isPartitionValue(value: unknown): value is PartitionValue {
  return (
    (typeof value === 'number' && !Number.isNaN(value)) || typeof value === 'string' || typeof value === 'bigint' || typeof value === 'boolean' || value instanceof Uint8Array
  )
}

/** The partition that the answer of a user's partition function means: one value, bare, or a tuple of them. -1: it means none. */
export function partitionOfAnswer(answer: unknown, partitions: number): number {
  if (isPartitionValue(answer)) return partitionOfOne(answer, partitions)
  return Array.isArray(answer) && answer.length > 0 && answer.every(isPartitionValue) ? partitionOf(answer, partitions) : -1
}

/** The same for a function that names several places; undefined: it does not. */
export function partitionsOfAnswer(answer: unknown, partitions: number): readonly number[] | undefined {
  if (!Array.isArray(answer) || answer.length === 0) return undefined
  const found = answer.map((one) => partitionOfAnswer(one, partitions))
  return found.includes(-1) ? undefined : found
}

/** One value of a tuple that is hashed: begin with `hashStart`, finish with `hashEnd`. */
export function hashValue(hash: number, value: PartitionValue): number {
  switch (typeof value) {
    case 'string':
      return hashByte(hashText(hashByte(hash, kind.text), value), 0xff)
    case 'number':
      return hashNumber(hash, value)
    case 'boolean':
      return hashByte(hashByte(hash, kind.bool), value ? 1 : 0)
    case 'bigint':
      if (Number.isSafeInteger(Number(value))) return hashNumber(hash, Number(value))
      numberView.setBigInt64(0, value, true)
      return hashNumberView(hashByte(hash, kind.bigint))
    default:
      assert(value instanceof Uint8Array, 'a row is placed by text, numbers, booleans or bytes')
      return hashBytes(hashByte(hash, kind.bytes), value)
  }
}

function hashNumber(hash: number, value: number): number {
  assert(value === value, 'a row is not placed by NaN')
  numberView.setFloat64(0, value + 0, true)
  return hashNumberView(hashByte(hash, kind.number))
}

function hashNumberView(start: number): number {
  let hash = start
  for (let index = 0; index < 8; index += 1) hash = hashByte(hash, numberView.getUint8(index))
  return hash
}

function hashBytes(start: number, bytes: Uint8Array): number {
  return hashBytesWithin(start, bytes, 0, bytes.length)
}

function hashBytesWithin(start: number, bytes: Uint8Array, from: number, length: number): number {
  let hash = start
  for (let shift = 0; shift < 32; shift += 8) hash = hashByte(hash, (length >>> shift) & 0xff)
  for (let index = from; index < from + length; index += 1) hash = hashByte(hash, bytes[index]!)
  return hash
}

// ── values that are still bytes ───────────────────────────────────────────────────────────────────────────────

/** `hashValue` of the bytes from `from` on. */
export function hashBytes8(hash: number, bytes: Uint8Array, from: number, length: number): number {
  return hashBytesWithin(hashByte(hash, kind.bytes), bytes, from, length)
}

/** `hashValue` of the text that these bytes are in UTF-8. */
export function hashText8(start: number, bytes: Uint8Array, from: number, length: number): number {
  let hash = hashByte(start, kind.text)
  for (let index = from; index < from + length; index += 1) hash = hashByte(hash, bytes[index]!)
  return hashByte(hash, 0xff)
}

const hexDigits = Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))
const dash = 0x2d

/** `hashValue` of the UUID that these 16 bytes are, as text. */
export function hashUuid8(start: number, bytes: Uint8Array, from: number): number {
  let hash = hashByte(start, kind.text)
  for (let index = 0; index < 16; index += 1) {
    if (index === 4 || index === 6 || index === 8 || index === 10) hash = hashByte(hash, dash)
    const byte = bytes[from + index]!
    hash = hashByte(hashByte(hash, hexDigits[byte >>> 4]!), hexDigits[byte & 15]!)
  }
  return hashByte(hash, 0xff)
}
