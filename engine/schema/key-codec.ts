/**
 * Keys as bytes whose order is the order of the values (R19): primary keys, and index entries, which are the index columns
 * followed by the primary key.
 *
 *   null        0x00; every other value of a nullable column has 0x01 before it. Other columns have no such byte.
 *   bool        1 byte
 *   i32, u32    4 bytes, big endian, the sign bit of i32 flipped
 *   int, f64,   8 bytes: the bits of the double, big endian; positive: sign flipped, negative: all flipped. -0 is 0.
 *   timestamp
 *   bigint      8 bytes, big endian, sign flipped
 *   enum        its place: 1 byte, or 2 above 256 words
 *   uuid        16 bytes
 *   text,       the bytes (of text: UTF-8), with 0x00 as 01 01 and 0x01 as 01 02, then 0x00
 *   bytes
 *
 * Invariants:
 *   K1  Comparing bytes compares tuples: column by column, null first, text by its UTF-8 bytes.
 *   K2  No encoded column is the beginning of another one of the same type. So the entries whose leading columns have some
 *       values are exactly those whose bytes begin with theirs, and `prefixEnd` is the bound above all of them.
 *   K3  A key can be read back: equal tuples give equal bytes, and the other way round.
 *
 * The usual escape, 0x00 as 00 FF with 00 00 at the end, takes a byte more for every text; here 0x00 occurs only as an end
 * (and inside of numbers), so one byte ends a text, and text from real life holds neither 0x00 nor 0x01.
 *
 * Values were checked before they come here (column-check.ts): the codec asserts only what it needs to stay sound.
 */
import { assert } from '../base/assert.js'
import { asciiText, MalformedBytesError, utf8Text } from '../base/bytes.js'
import type { ColumnDescriptor } from './descriptor.js'
import { uuidBytes, uuidFromBytes, uuidToBytes } from './uuid.js'

const narrowEnumMax = 256
const bufferBytesMin = 64
export const isNull = 0x00
export const isNotNull = 0x01
const textEnd = 0x00
const escape = 0x01
const escapedZero = 0x01
const escapedEscape = 0x02

/** Bytes that grow. The fields are open because the store compares and copies them in place. */
export class KeyBuffer {
  bytes: Uint8Array
  length = 0

  constructor(capacity = bufferBytesMin) {
    this.bytes = new Uint8Array(Math.max(capacity, bufferBytesMin))
  }

  reset(): void {
    this.length = 0
  }

  /** The key, not copied: valid until the buffer changes. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  copy(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }

  /** Room for `count` more bytes. */
  reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const bytes = new Uint8Array(Math.max(this.length + count, this.bytes.length * 2))
    bytes.set(this.view())
    this.bytes = bytes
  }
}

export interface KeyCodec {
  readonly columns: readonly ColumnDescriptor[]
  /** Appends the whole tuple. */
  encode(values: readonly unknown[], into: KeyBuffer): void
  /** Appends the leading columns that `values` has, at least one of the columns and at most all. */
  encodePrefix(values: readonly unknown[], into: KeyBuffer): void
  /** Reads a tuple that begins at `offset`. */
  decode(bytes: Uint8Array, offset: number): unknown[]
  /** The offset behind a tuple that begins at `offset`: where the primary key of an index entry begins. */
  skip(bytes: Uint8Array, offset: number): number
}

/**
 * Turns the bytes of a prefix into the first bytes above everything that begins with it. False when there are none, because
 * the prefix is empty or all 0xff: then nothing above it needs a bound.
 */
export function prefixEnd(prefix: KeyBuffer): boolean {
  while (prefix.length > 0) {
    const last = prefix.length - 1
    if (prefix.bytes[last] !== 0xff) {
      prefix.bytes[last]! += 1
      return true
    }
    prefix.length = last
  }
  return false
}

/** Below 0, 0, above 0: the order of two keys. */
export function compareKeys(left: Uint8Array, right: Uint8Array): number {
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index += 1) {
    const difference = left[index]! - right[index]!
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

type Append = (value: never, into: KeyBuffer) => void
interface Part {
  readonly append: Append
  readonly read: (cursor: KeyCursor) => unknown
  readonly skip: (cursor: KeyCursor) => void
}

/** A place in bytes that does not leave them. */
interface KeyCursor {
  readonly bytes: Uint8Array
  offset: number
}

export function compileKeyCodec(columns: readonly ColumnDescriptor[]): KeyCodec {
  assert(columns.length > 0, 'a key has a column')
  const parts = columns.map(partOf)
  const encode = compileEncode(parts)
  return {
    columns,
    encode(values, into) {
      assert(values.length === columns.length, 'a key has a value for each of its columns')
      encode(values, into)
    },
    encodePrefix(values, into) {
      assert(values.length <= columns.length, 'a prefix has at most the columns of the key')
      for (let at = 0; at < values.length; at += 1) parts[at]!.append(values[at] as never, into)
    },
    decode(bytes, offset) {
      const cursor: KeyCursor = { bytes, offset }
      return parts.map((part) => part.read(cursor))
    },
    skip(bytes, offset) {
      const cursor: KeyCursor = { bytes, offset }
      for (const part of parts) part.skip(cursor)
      return cursor.offset
    },
  }
}

/** One call site per column, so that each of them sees one function. The code holds ordinals only (R64). */
function compileEncode(parts: readonly Part[]): (values: readonly unknown[], into: KeyBuffer) => void {
  const constants = parts.map((_, at) => `const append${at} = parts[${at}].append`).join('\n')
  const calls = parts.map((_, at) => `append${at}(values[${at}], into)`).join('\n  ')
  const source = `'use strict'\n${constants}\nreturn function encode(values, into) {\n  ${calls}\n}`
  return new Function('parts', source)(parts) as (values: readonly unknown[], into: KeyBuffer) => void
}

function partOf(column: ColumnDescriptor): Part {
  const part = barePart(column)
  if (!column.nullable) return part
  const append = part.append as (value: unknown, into: KeyBuffer) => void
  return {
    append(value: unknown, into: KeyBuffer) {
      appendByte(value === null ? isNull : isNotNull, into)
      if (value !== null) append(value, into)
    },
    read: (cursor) => (readByte(cursor) === isNull ? null : part.read(cursor)),
    skip: (cursor) => void (readByte(cursor) !== isNull && part.skip(cursor)),
  }
}

function barePart(column: ColumnDescriptor): Part {
  switch (column.type) {
    case 'bool':
      return {
        append: (value: boolean, into) => appendByte(value ? 1 : 0, into),
        read: (cursor) => readByte(cursor) === 1,
        skip: skipFixed(1),
      }
    case 'i32':
      return {
        append: (value: number, into) => appendWord(value ^ 0x80000000, into),
        read: (cursor) => readWord(cursor) ^ 0x80000000,
        skip: skipFixed(4),
      }
    case 'u32':
      return { append: appendWord, read: (cursor) => readWord(cursor) >>> 0, skip: skipFixed(4) }
    case 'int':
    case 'f64':
    case 'timestamp':
      return { append: appendDouble, read: readDouble, skip: skipFixed(8) }
    case 'bigint':
      return { append: appendBigint, read: readBigint, skip: skipFixed(8) }
    case 'enum':
      return enumPart(column.values ?? [])
    case 'uuid':
      return {
        append: appendUuid,
        read: (cursor) => uuidFromBytes(cursor.bytes, take(cursor, uuidBytes)),
        skip: skipFixed(uuidBytes),
      }
    case 'text':
      return { append: appendText, read: readText, skip: skipEscaped }
    case 'bytes':
      return { append: appendEscaped, read: readEscaped, skip: skipEscaped }
    case 'json':
      return assert(false, `a key has no json column ("${column.name}")`) as never
  }
}

/** Bytes of the place of an enum's word. */
export function enumPlaceBytes(words: readonly string[]): 1 | 2 {
  return words.length <= narrowEnumMax ? 1 : 2
}

function enumPart(words: readonly string[]): Part {
  const places = new Map(words.map((word, place) => [word, place]))
  const isNarrow = enumPlaceBytes(words) === 1
  return {
    append(value: string, into) {
      const place = places.get(value)
      assert(place !== undefined, 'an enum in a key is one of its words')
      if (!isNarrow) appendByte(place >> 8, into)
      appendByte(place & 0xff, into)
    },
    read(cursor) {
      const place = isNarrow ? readByte(cursor) : readByte(cursor) * 256 + readByte(cursor)
      const word = words[place]
      if (word === undefined) throw new MalformedBytesError(`an enum of ${words.length} words has no word ${place}`)
      return word
    },
    skip: skipFixed(isNarrow ? 1 : 2),
  }
}

function appendByte(value: number, into: KeyBuffer): void {
  into.reserve(1)
  into.bytes[into.length++] = value
}

function appendWord(value: number, into: KeyBuffer): void {
  into.reserve(4)
  const { bytes, length } = into
  bytes[length] = value >>> 24
  bytes[length + 1] = (value >>> 16) & 0xff
  bytes[length + 2] = (value >>> 8) & 0xff
  bytes[length + 3] = value & 0xff
  into.length = length + 4
}

const numberView = new DataView(new ArrayBuffer(8))

function appendDouble(value: number, into: KeyBuffer): void {
  assert(value === value, 'a key holds no NaN')
  numberView.setFloat64(0, value + 0)
  const high = numberView.getInt32(0)
  const low = numberView.getInt32(4)
  const flip = high >> 31 // all ones for negative numbers
  appendWord(high ^ (flip | 0x80000000), into)
  appendWord(low ^ flip, into)
}

function appendBigint(value: bigint, into: KeyBuffer): void {
  numberView.setBigInt64(0, value)
  appendWord(numberView.getInt32(0) ^ 0x80000000, into)
  appendWord(numberView.getInt32(4), into)
}

function appendUuid(value: string, into: KeyBuffer): void {
  into.reserve(uuidBytes)
  uuidToBytes(value, into.bytes, into.length)
  into.length += uuidBytes
}

/** At most three bytes for each UTF-16 unit, escapes included, and the end. */
function appendText(value: string, into: KeyBuffer): void {
  const units = value.length
  into.reserve(units * 3 + 1)
  const bytes = into.bytes
  let at = into.length
  for (let index = 0; index < units; index += 1) {
    const unit = value.charCodeAt(index)
    if (unit < 0x80) {
      if (unit <= escape) {
        bytes[at++] = escape
        bytes[at++] = unit === 0 ? escapedZero : escapedEscape
      } else {
        bytes[at++] = unit
      }
    } else if (unit < 0x800) {
      bytes[at++] = 0xc0 | (unit >> 6)
      bytes[at++] = 0x80 | (unit & 0x3f)
    } else if (unit < 0xd800 || unit > 0xdfff) {
      bytes[at++] = 0xe0 | (unit >> 12)
      bytes[at++] = 0x80 | ((unit >> 6) & 0x3f)
      bytes[at++] = 0x80 | (unit & 0x3f)
    } else {
      const point = value.codePointAt(index)!
      assert(point > 0xffff, 'text in a key is well-formed Unicode')
      index += 1
      bytes[at++] = 0xf0 | (point >> 18)
      bytes[at++] = 0x80 | ((point >> 12) & 0x3f)
      bytes[at++] = 0x80 | ((point >> 6) & 0x3f)
      bytes[at++] = 0x80 | (point & 0x3f)
    }
  }
  bytes[at++] = textEnd
  into.length = at
}

function appendEscaped(value: Uint8Array, into: KeyBuffer): void {
  appendEscapedBytes(value, 0, value.length, into)
}

/** Appends `count` bytes from `from` as a column of type bytes, or as the text that they are in UTF-8. */
export function appendEscapedBytes(source: Uint8Array, from: number, count: number, into: KeyBuffer): void {
  into.reserve(count * 2 + 1)
  const bytes = into.bytes
  let at = into.length
  for (let index = from; index < from + count; index += 1) {
    const byte = source[index]!
    if (byte <= escape) {
      bytes[at++] = escape
      bytes[at++] = byte === 0 ? escapedZero : escapedEscape
    } else {
      bytes[at++] = byte
    }
  }
  bytes[at++] = textEnd
  into.length = at
}

function skipFixed(count: number): (cursor: KeyCursor) => void {
  return (cursor) => void take(cursor, count)
}

/** Behind the end of a text. */
function skipEscaped(cursor: KeyCursor): void {
  const { bytes } = cursor
  let end = cursor.offset
  while (end < bytes.length && bytes[end] !== textEnd) end += 1
  take(cursor, end - cursor.offset + 1)
}

/** Moves on by `count` bytes and answers where they begin. */
function take(cursor: KeyCursor, count: number): number {
  const at = cursor.offset
  if (at + count > cursor.bytes.length) throw new MalformedBytesError('a key ends inside its bytes')
  cursor.offset = at + count
  return at
}

function readByte(cursor: KeyCursor): number {
  return cursor.bytes[take(cursor, 1)]!
}

/** 32 bits with sign. */
function readWord(cursor: KeyCursor): number {
  const at = take(cursor, 4)
  const { bytes } = cursor
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

function readDouble(cursor: KeyCursor): number {
  const high = readWord(cursor)
  const low = readWord(cursor)
  const flip = ~(high >> 31) // all ones where the number was negative
  numberView.setInt32(0, high ^ (flip | 0x80000000))
  numberView.setInt32(4, low ^ flip)
  return numberView.getFloat64(0)
}

function readBigint(cursor: KeyCursor): bigint {
  numberView.setInt32(0, readWord(cursor) ^ 0x80000000)
  numberView.setInt32(4, readWord(cursor))
  return numberView.getBigInt64(0)
}

function readText(cursor: KeyCursor): string {
  const start = cursor.offset
  const { bytes } = cursor
  let end = start
  let isPlain = true
  for (; end < bytes.length && bytes[end] !== textEnd; end += 1) {
    const byte = bytes[end]!
    if (byte === escape || byte > 0x7f) isPlain = false
  }
  if (!isPlain) {
    const raw = readEscaped(cursor)
    return utf8Text(raw, 0, raw.length)
  }
  take(cursor, end - start + 1)
  return asciiText(bytes, start, end - start)
}

function readEscaped(cursor: KeyCursor): Uint8Array {
  const { bytes, offset: start } = cursor
  skipEscaped(cursor)
  const end = cursor.offset - 1
  const raw = new Uint8Array(end - start)
  let length = 0
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!
    if (byte !== escape) {
      raw[length++] = byte
      continue
    }
    index += 1
    const escaped = index < end ? bytes[index]! : 0
    if (escaped !== escapedZero && escaped !== escapedEscape) {
      throw new MalformedBytesError('an escape in a key is 01 or 02')
    }
    raw[length++] = escaped === escapedZero ? 0x00 : 0x01
  }
  return length === raw.length ? raw : raw.slice(0, length)
}
