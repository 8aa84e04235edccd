/**
 * Bytes: writing and reading values. Every codec of the engine is made of these.
 *
 *   u8 ... f64, i64     little endian, fixed width, no alignment
 *   varint              LEB128 of a whole number from 0 to 2^53 - 1
 *   text                varint(byteLength * 2 + wide), then UTF-8; `wide` says that a byte above 0x7f is among them
 *   sized               varint(byteLength), then the bytes
 *
 * Invariants:
 *   B1  Equal values give equal bytes: every form has one spelling (a varint is as short as it can be).
 *   B2  A reader never leaves its bytes; what cannot be read is a `MalformedBytesError`, whatever the bytes are.
 *   B3  Text is well-formed Unicode. A writer refuses the rest instead of storing U+FFFD in its place.
 *
 * The `wide` bit costs nothing and lets a reader choose before it looks: up to 24 ASCII characters through
 * `String.fromCharCode` with fixed arity (20 ns against 44 for latin1Slice and 73 for TextDecoder, measured), longer ones
 * through latin1Slice, wide text through utf8Slice. Both slices take views over shared memory; TextDecoder does not in
 * every release of Node.
 */
import { assert } from './assert.js'

/** Above this a text is written by Node's own encoder: its fixed cost is then less than one turn per character. */
const charLoopMax = 48
/** A text of at most this many ASCII characters has a header of one byte. */
const shortHeaderMax = 63
const writerBytesMin = 64

interface NodeSlices {
  latin1Slice(this: Uint8Array, start: number, end: number): string
  utf8Slice(this: Uint8Array, start: number, end: number): string
  latin1Write(this: Uint8Array, text: string, offset: number, length: number): number
  utf8Write(this: Uint8Array, text: string, offset: number, length: number): number
}
const node = Buffer.prototype as unknown as NodeSlices
const { latin1Slice, utf8Slice, latin1Write, utf8Write } = node

/** The bytes are not what a writer of ours wrote. Whoever knows where they came from says what that means. */
export class MalformedBytesError extends Error {
  override readonly name = 'MalformedBytesError'
}

/** No lone surrogates. In the standard since ES2024, in Node since 20. */
export function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed()
}

/** Bytes of the text in UTF-8. */
export function utf8Length(text: string): number {
  return Buffer.byteLength(text, 'utf8')
}

export class ByteWriter {
  #bytes: Uint8Array
  #view: DataView
  #words: Int32Array
  #length = 0

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(roundedCapacity(capacity))
    this.#view = new DataView(this.#bytes.buffer)
    this.#words = new Int32Array(this.#bytes.buffer)
  }

  /** Bytes written since the last reset. */
  get length(): number {
    return this.#length
  }

  /** Begins again; the memory stays. */
  reset(): void {
    this.#length = 0
  }

  /** Takes back what was written after `length`: a record that turned out to be invalid leaves nothing behind. */
  rewind(length: number): void {
    assert(length >= 0 && length <= this.#length, 'a writer only rewinds to where it has been')
    this.#length = length
  }

  /** What was written, not copied: valid until the next write or reset. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** The memory itself, of which the first `length` bytes count: for callers who copy without making a view. */
  get memory(): Uint8Array {
    return this.#bytes
  }

  /** The memory as words of 4 bytes, for callers who copy few bytes: behind `length` they get what an earlier record left there. */
  get words(): Int32Array {
    return this.#words
  }

  /** The memory, for what `take` made room for. Another `take` may replace it. */
  get view(): DataView {
    return this.#view
  }

  /** What was written, as the caller's own. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  /** Moves on by `count` bytes and answers where they begin: compiled codecs store several values with one look at the room. */
  take(count: number): number {
    return this.#take(count)
  }

  u8(value: number): void {
    const at = this.#take(1)
    this.#bytes[at] = value
  }

  u16(value: number): void {
    const at = this.#take(2)
    this.#view.setUint16(at, value, true)
  }

  u32(value: number): void {
    const at = this.#take(4)
    this.#view.setUint32(at, value, true)
  }

  i32(value: number): void {
    const at = this.#take(4)
    this.#view.setInt32(at, value, true)
  }

  /** Exactly the bits of `value`: a codec that must not tell -0 from 0 says `value + 0`. */
  f64(value: number): void {
    const at = this.#take(8)
    this.#view.setFloat64(at, value, true)
  }

  i64(value: bigint): void {
    const at = this.#take(8)
    this.#view.setBigInt64(at, value, true)
  }

  varint(value: number): void {
    if ((value & 0x7f) === value) {
      const at = this.#take(1)
      this.#bytes[at] = value
      return
    }
    assert(Number.isSafeInteger(value) && value >= 0, 'a varint is a whole number from 0 to 2^53 - 1')
    let at = this.#take(varintLength(value))
    let rest = value
    while (rest >= 0x80) {
      this.#bytes[at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#bytes[at] = rest
  }

  /** Raw bytes, without their length. */
  raw(value: Uint8Array): void {
    const at = this.#take(value.length)
    this.#bytes.set(value, at)
  }

  /** Bytes with their length. */
  sized(value: Uint8Array): void {
    this.varint(value.length)
    this.raw(value)
  }

  text(value: string): void {
    assert(this.tryText(value), 'B3: text is well-formed Unicode')
  }

  /** Writes the text, or answers false and writes nothing when it is not well-formed. */
  tryText(value: string): boolean {
    const length = value.length
    if (length > charLoopMax) return this.#longText(value)
    return this.tryAscii(length * 2, value) || this.#longText(value)
  }

  /** Writes the byte `head` and the characters of an ASCII text, or answers false and writes nothing. */
  tryAscii(head: number, value: string): boolean {
    const length = value.length
    this.#reserve(length + 1)
    const start = this.#length
    const bytes = this.#bytes
    for (let index = 0; index < length; index += 1) {
      const code = value.charCodeAt(index)
      if (code > 0x7f) return false
      bytes[start + 1 + index] = code
    }
    bytes[start] = head
    this.#length = start + 1 + length
    return true
  }

  #longText(value: string): boolean {
    const byteLength = utf8Length(value)
    const wide = byteLength === value.length ? 0 : 1
    if (wide === 1 && !isWellFormed(value)) return false
    this.varint(byteLength * 2 + wide)
    const at = this.#take(byteLength)
    const written = wide === 1
      ? utf8Write.call(this.#bytes, value, at, byteLength)
      : latin1Write.call(this.#bytes, value, at, byteLength)
    assert(written === byteLength, 'a text has the length that was counted')
    return true
  }

  /** Moves on by `count` bytes and answers where they begin. */
  #take(count: number): number {
    this.#reserve(count)
    const at = this.#length
    this.#length = at + count
    return at
  }

  #reserve(count: number): void {
    if (this.#length + count > this.#bytes.length) this.#grow(this.#length + count)
  }

  #grow(least: number): void {
    const bytes = new Uint8Array(roundedCapacity(Math.max(least, this.#bytes.length * 2)))
    bytes.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
    this.#words = new Int32Array(bytes.buffer)
  }
}

/** Whole words. */
function roundedCapacity(bytes: number): number {
  return (Math.max(bytes, writerBytesMin) + 7) & ~7
}

assert(charLoopMax <= shortHeaderMax, 'a text of the character loop has a header of one byte')

function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1
  return length
}

export class ByteReader {
  #bytes: Uint8Array
  /** Made when the first number is read: it costs 80 ns, more than reading a short record without numbers. */
  #view: DataView | undefined
  #offset: number
  #end: number

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = undefined
    this.#offset = 0
    this.#end = bytes.length
  }

  get offset(): number {
    return this.#offset
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#end - this.#offset
  }

  /** Reads other bytes from their beginning. */
  reset(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#view = undefined
    this.#offset = 0
    this.#end = bytes.length
  }

  /** Reads `[offset, end)` of the same bytes: without a new view, for readers that walk through one region. */
  seek(offset: number, end: number): void {
    if (!(offset >= 0 && offset <= end && end <= this.#bytes.length)) throw outside()
    this.#offset = offset
    this.#end = end
  }

  /** Moves on by `count` bytes and answers where they begin: compiled codecs load several values with one look at the end. */
  take(count: number): number {
    return this.#take(count)
  }
  /** What `take` counts in. */
  get view(): DataView {
    return this.#numbers()
  }

  u8(): number {
    const at = this.#take(1)
    return this.#bytes[at]!
  }

  u16(): number {
    const at = this.#take(2)
    return this.#numbers().getUint16(at, true)
  }

  u32(): number {
    const at = this.#take(4)
    return this.#numbers().getUint32(at, true)
  }

  i32(): number {
    const at = this.#take(4)
    return this.#numbers().getInt32(at, true)
  }

  f64(): number {
    const at = this.#take(8)
    return this.#numbers().getFloat64(at, true)
  }

  i64(): bigint {
    const at = this.#take(8)
    return this.#numbers().getBigInt64(at, true)
  }

  varint(): number {
    const first = this.u8()
    if (first < 0x80) return first
    let value = first & 0x7f
    let scale = 0x80
    for (let count = 1; count < 8; count += 1) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (byte === 0 || value > Number.MAX_SAFE_INTEGER) break // B1: one spelling
        return value
      }
      scale *= 0x80
    }
    throw new MalformedBytesError('a varint is as short as it can be and at most 2^53 - 1')
  }

  /** The next `length` bytes, not copied. */
  raw(length: number): Uint8Array {
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** Bytes with their length, not copied. */
  sized(): Uint8Array {
    return this.raw(this.varint())
  }

  text(): string {
    const header = this.varint()
    const wide = header % 2
    const length = (header - wide) / 2
    const at = this.#take(length)
    if (wide === 0) return asciiText(this.#bytes, at, length)
    return utf8Slice.call(this.#bytes, at, at + length)
  }

  /** Text of `length` ASCII bytes. */
  ascii(length: number): string {
    const at = this.#take(length)
    return asciiText(this.#bytes, at, length)
  }

  /** The same for names that come again and again: see `recurring`. */
  recurringAscii(length: number): string {
    const at = this.#take(length)
    return recurring(this.#bytes, at, length)
  }

  #numbers(): DataView {
    return (this.#view ??= new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength))
  }

  #take(count: number): number {
    const at = this.#offset
    if (count > this.#end - at) throw outside()
    this.#offset = at + count
    return at
  }
}

function outside(): MalformedBytesError {
  return new MalformedBytesError('B2: a value ends inside its bytes')
}

/** Text from bytes that are UTF-8. */
export function utf8Text(bytes: Uint8Array, start: number, length: number): string {
  return utf8Slice.call(bytes, start, start + length)
}

/** Text from bytes that are all below 0x80. Fixed arity: V8 makes one allocation and no argument list. */
export function asciiText(u: Uint8Array, p: number, length: number): string {
  const c = String.fromCharCode
  switch (length) {
    case 0: return ''
    case 1: return c(u[p]!)
    case 2: return c(u[p]!, u[p + 1]!)
    case 3: return c(u[p]!, u[p + 1]!, u[p + 2]!)
    case 4: return c(u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!)
    case 5: return c(u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!)
    case 6: return c(u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!)
    case 7: return c(u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!)
    case 8: return c(u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!)
    case 9: return c(u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!, u[p + 8]!)
    case 10:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!,
      )
    case 11:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!,
      )
    case 12:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!,
      )
    case 13:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!,
      )
    case 14:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!,
      )
    case 15:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!,
      )
    case 16:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!, u[p + 15]!,
      )
    case 17:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!, u[p + 15]!,
        u[p + 16]!,
      )
    case 18:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!, u[p + 15]!,
        u[p + 16]!, u[p + 17]!,
      )
    case 19:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!, u[p + 15]!,
        u[p + 16]!, u[p + 17]!, u[p + 18]!,
      )
    case 20:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!, u[p + 15]!,
        u[p + 16]!, u[p + 17]!, u[p + 18]!, u[p + 19]!,
      )
    case 21:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!, u[p + 15]!,
        u[p + 16]!, u[p + 17]!, u[p + 18]!, u[p + 19]!, u[p + 20]!,
      )
    case 22:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!, u[p + 15]!,
        u[p + 16]!, u[p + 17]!, u[p + 18]!, u[p + 19]!, u[p + 20]!, u[p + 21]!,
      )
    case 23:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!, u[p + 15]!,
        u[p + 16]!, u[p + 17]!, u[p + 18]!, u[p + 19]!, u[p + 20]!, u[p + 21]!, u[p + 22]!,
      )
    case 24:
      return c(
        u[p]!, u[p + 1]!, u[p + 2]!, u[p + 3]!, u[p + 4]!, u[p + 5]!, u[p + 6]!, u[p + 7]!,
        u[p + 8]!, u[p + 9]!, u[p + 10]!, u[p + 11]!, u[p + 12]!, u[p + 13]!, u[p + 14]!, u[p + 15]!,
        u[p + 16]!, u[p + 17]!, u[p + 18]!, u[p + 19]!, u[p + 20]!, u[p + 21]!, u[p + 22]!, u[p + 23]!,
      )
    default: return latin1Slice.call(u, p, p + length)
  }
}

/**
 * Keys of plain data come again and again. A key that is found here is the same interned string as the last time, so that
 * setting a property does not have to intern it anew. Only a cache: it never changes what is read.
 */
const recurringSlots = 1_024
const recurringTexts: string[] = new Array<string>(recurringSlots).fill('')

assert((recurringSlots & (recurringSlots - 1)) === 0, 'the cache has a power of two slots')

function recurring(u: Uint8Array, p: number, length: number): string {
  if (length === 0) return ''
  const mixed = length * 31 + u[p]! * 7 + u[p + length - 1]! * 131 + u[p + (length >> 1)]! * 17
  const slot = mixed & (recurringSlots - 1)
  const cached = recurringTexts[slot]!
  if (cached.length === length && isSame(cached, u, p)) return cached
  const text = asciiText(u, p, length)
  recurringTexts[slot] = text
  return text
}

function isSame(text: string, u: Uint8Array, p: number): boolean {
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) !== u[p + index]) return false
  return true
}
