/**
 * The one codec for plain data: results of procedures, `json` in rows, inputs and payloads (R31).
 *
 *   byte         what it begins
 *   0x00-0x03    null, undefined, false, true
 *   0x04, 0x05   whole number n >= 64: varint n      whole number n < 0: varint -1 - n
 *   0x06         f64: what is no safe integer
 *   0x07, 0x08   bigint n >= 0      n < 0: its -1 - n      (count of bytes, then little endian)
 *   0x09         text that is not short: as ByteWriter.text
 *   0x0a, 0x0b   bytes, sized       Date: the f64 of its time
 *   0x0c, 0x0d   array with 16 or more items, object with 16 or more keys: varint count
 *   0x80-0xbf    whole number 0 to 63
 *   0xc0-0xdf    text of 0 to 31 ASCII characters
 *   0xe0-0xef    object with 0 to 15 keys: for each its key (a text value), its value
 *   0xf0-0xff    array with 0 to 15 items
 *
 * Rules:
 *   C1  Equal values give equal bytes; keys keep the order in which the object lists them, and belong to the value.
 *   C2  What is decoded equals what was encoded: -0 became 0, objects have Object.prototype, bytes and dates are copies.
 *   C3  Anything else is refused by name and path, never turned into something similar: NaN, invalid dates, lone
 *       surrogates, holes, symbol keys, accessors, instances of classes (with them Map, Set, promises), functions,
 *       cycles and whatever is nested deeper than 512. What a getter or a proxy throws is a refusal as well.
 *   C4  A refused value leaves nothing in the writer.
 *
 * Not looked at: what an array carries besides its items, and properties that are not enumerable, as in JSON.
 *
 * Not JSON: it has no bigint, bytes, dates and undefined, turns NaN into null and drops what it does not know. Writing
 * costs the same as `JSON.stringify`, reading 0.6 of `JSON.parse` (measured on orders of 120 bytes).
 * Not structured clone: its bytes differ between releases of V8.
 */
import { isDate, isUint8Array } from 'node:util/types'
import { ByteReader, ByteWriter, MalformedBytesError } from './bytes.js'
import { limits } from './limits.js'

const depthMax = 512
const bytesMax = limits.longValueBytesMax

const tag = {
  null: 0x00, undefined: 0x01, false: 0x02, true: 0x03, whole: 0x04, negative: 0x05, f64: 0x06,
  bigint: 0x07, bigintNegative: 0x08, text: 0x09, bytes: 0x0a, date: 0x0b, array: 0x0c, object: 0x0d,
  smallWhole: 0x80, shortText: 0xc0, smallObject: 0xe0, smallArray: 0xf0,
} as const
const smallWholeMax = 63
const shortTextMax = 31
const smallCountMax = 15

/** The value is no plain data. `path` is like `.items[3].price`, and empty for the value itself. */
export class CanonicalError extends Error {
  override readonly name = 'CanonicalError'
  readonly path: string
  readonly problem: string

  constructor(path: string, problem: string, cause?: unknown) {
    super(`value${path} ${problem}`, cause === undefined ? undefined : { cause })
    this.path = path
    this.problem = problem
  }
}

/** Where the encoder stands, so that a refusal can name the place. One store per nested value, and no allocation. */
const trail: (string | number)[] = []

/** Writes `value`, or throws a `CanonicalError` and leaves the writer as it was. */
export function encodeCanonical(value: unknown, writer: ByteWriter): void {
  const start = writer.length
  try {
    write(value, writer, 0, start + bytesMax)
  } catch (error) {
    writer.rewind(start) // C4
    if (error instanceof Refusal) throw new CanonicalError(pathTo(error.depth), error.problem)
    if (isStackOverflow(error)) throw error
    throw new CanonicalError('', 'threw while it was read', error)
  }
}

/** Reads one value. Bytes that no encoder wrote are a `MalformedBytesError`. */
export function decodeCanonical(reader: ByteReader): unknown {
  return read(reader, 0)
}

const copyWriter = new ByteWriter(1_024)
let copying = false

/** A copy that shares nothing with `value` and equals what a reader of its bytes will get. */
export function copyCanonical(value: unknown): unknown {
  if (typeof value === 'string' && value.length < shortTextMax && isPlainAscii(value)) return value
  // A getter of the value may copy something itself; it gets a writer of its own.
  const writer = copying ? new ByteWriter() : copyWriter
  const outermost = !copying
  copying = true
  try {
    writer.reset()
    encodeCanonical(value, writer)
    return decodeCanonical(new ByteReader(writer.bytes()))
  } finally {
    if (outermost) copying = false
  }
}

function isPlainAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) > 0x7f) return false
  return true
}

/** V8 throws it where it pleases, so it says nothing about the value. */
export function isStackOverflow(error: unknown): boolean {
  return error instanceof RangeError && error.message === 'Maximum call stack size exceeded'
}

/** An object literal or `Object.create(null)`, of this realm or another (vm contexts of test runners). */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return true
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, '__lookupGetter__')
}

/** Says what a value is, for messages: `a Map`, `an array`, `text`, `undefined`. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'undefined'
  switch (typeof value) {
    case 'string': return 'text'
    case 'number': return Number.isNaN(value) ? 'NaN' : `the number ${value}`
    case 'boolean': return `${value}`
    case 'bigint': return 'a bigint'
    case 'symbol': return 'a symbol'
    case 'function': return 'a function'
    default: return kindOfObject(value as object)
  }
}

function kindOfObject(value: object): string {
  try {
    if (Array.isArray(value)) return 'an array'
    if (isPlainObject(value)) return 'an object'
    const name: unknown = (value as { constructor?: { name?: unknown } }).constructor?.name
    const isNamed = typeof name === 'string' && name !== '' && name.length < 64
    return isNamed ? `an instance of ${name}` : 'an instance of a class'
  } catch {
    return 'an object that throws when it is looked at'
  }
}

/** On its way to `encodeCanonical`. No Error, because the one that is made of it there captures the stack. */
class Refusal {
  readonly depth: number
  readonly problem: string

  constructor(depth: number, problem: string) {
    this.depth = depth
    this.problem = problem
  }
}

function pathTo(depth: number): string {
  let path = ''
  for (let index = 0; index < Math.min(depth, 32); index += 1) {
    const step = trail[index]!
    if (typeof step === 'number') path += `[${step}]`
    else path += /^[A-Za-z_$][\w$]*$/.test(step) ? `.${step}` : `[${JSON.stringify(step.slice(0, 64))}]`
  }
  return depth > 32 ? `${path}...` : path
}

function write(value: unknown, writer: ByteWriter, depth: number, end: number): void {
  switch (typeof value) {
    case 'string':
      writeText(value, writer, depth, end)
      return
    case 'number':
      writeNumber(value, writer, depth)
      return
    case 'object':
      if (value === null) writer.u8(tag.null)
      else writeObject(value, writer, depth, end)
      return
    case 'undefined':
      writer.u8(tag.undefined)
      return
    case 'boolean':
      writer.u8(value ? tag.true : tag.false)
      return
    case 'bigint':
      writeBigint(value, writer, depth, end)
      return
    default:
      throw new Refusal(depth, `is ${kindOf(value)}, which is no plain data`)
  }
}

function writeNumber(value: number, writer: ByteWriter, depth: number): void {
  if (Number.isSafeInteger(value)) {
    if (value < 0) {
      writer.u8(tag.negative)
      writer.varint(-1 - value)
    } else if (value <= smallWholeMax) {
      writer.u8(tag.smallWhole + value) // -0 is 0 here
    } else {
      writer.u8(tag.whole)
      writer.varint(value)
    }
    return
  }
  if (value !== value) throw new Refusal(depth, 'is NaN, which cannot be stored')
  writer.u8(tag.f64)
  writer.f64(value)
}

function writeText(value: string, writer: ByteWriter, depth: number, end: number): void {
  if (value.length <= shortTextMax && writer.tryAscii(tag.shortText + value.length, value)) return
  if (writer.length + value.length > end) throw tooLong(depth)
  writer.u8(tag.text)
  if (!writer.tryText(value)) throw new Refusal(depth, 'is not well-formed Unicode (a lone surrogate)')
}

function writeBigint(value: bigint, writer: ByteWriter, depth: number, end: number): void {
  writer.u8(value < 0n ? tag.bigintNegative : tag.bigint)
  const magnitude = value < 0n ? -1n - value : value
  if (magnitude === 0n) return writer.varint(0)
  const hex = magnitude.toString(16)
  const length = (hex.length + 1) >> 1
  if (writer.length + length > end) throw tooLong(depth)
  writer.varint(length)
  for (let at = hex.length; at > 0; at -= 2) writer.u8(Number.parseInt(hex.slice(Math.max(at - 2, 0), at), 16))
}

function writeObject(value: object, writer: ByteWriter, depth: number, end: number): void {
  if (writer.length > end) throw tooLong(depth)
  if (Array.isArray(value)) return writeArray(value, writer, depth, end)
  if (isPlainObject(value)) return writePlain(value as Record<string, unknown>, writer, depth, end)
  if (isUint8Array(value)) {
    if (writer.length + value.length > end) throw tooLong(depth)
    writer.u8(tag.bytes)
    writer.sized(value)
    return
  }
  if (isDate(value)) {
    const time = Date.prototype.getTime.call(value)
    if (time !== time) throw new Refusal(depth, 'is an invalid Date')
    writer.u8(tag.date)
    writer.f64(time + 0)
    return
  }
  throw new Refusal(depth, `is ${kindOf(value)}, which is no plain data`)
}

function writeArray(value: readonly unknown[], writer: ByteWriter, depth: number, end: number): void {
  if (depth >= depthMax) throw tooDeep(depth)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Array.prototype && !isForeignArrayPrototype(prototype)) {
    throw new Refusal(depth, `is ${kindOf(value)} of a class of its own, which is no plain data`)
  }
  const count = value.length
  if (count <= smallCountMax) {
    writer.u8(tag.smallArray + count)
  } else {
    writer.u8(tag.array)
    writer.varint(count)
  }
  for (let index = 0; index < count; index += 1) {
    const item = value[index]
    trail[depth] = index
    if (item === undefined && !Object.hasOwn(value, index)) throw new Refusal(depth + 1, 'is a hole in an array')
    write(item, writer, depth + 1, end)
    if (writer.length > end) throw tooLong(depth)
  }
}

function isForeignArrayPrototype(prototype: unknown): boolean {
  return Array.isArray(prototype) && Object.hasOwn(prototype, 'copyWithin')
}

function writePlain(value: Record<string, unknown>, writer: ByteWriter, depth: number, end: number): void {
  if (depth >= depthMax) throw tooDeep(depth)
  if (Object.getOwnPropertySymbols(value).length !== 0) throw new Refusal(depth, 'has a symbol as a key')
  const keys = Object.keys(value)
  const count = keys.length
  if (count <= smallCountMax) {
    writer.u8(tag.smallObject + count)
  } else {
    writer.u8(tag.object)
    writer.varint(count)
  }
  for (let index = 0; index < count; index += 1) {
    const key = keys[index]!
    trail[depth] = key
    writeText(key, writer, depth + 1, end)
    // The descriptor costs 20 ns and tells an accessor from a value without running it.
    const property = Object.getOwnPropertyDescriptor(value, key)
    if (property === undefined || property.get !== undefined || property.set !== undefined) {
      throw new Refusal(depth + 1, 'is an accessor, which is no plain data')
    }
    write(property.value, writer, depth + 1, end)
    if (writer.length > end) throw tooLong(depth)
  }
}

function tooDeep(depth: number): Refusal {
  return new Refusal(depth, `is nested deeper than ${depthMax}, or refers to itself`)
}

function tooLong(depth: number): Refusal {
  return new Refusal(depth, `makes the value longer than ${bytesMax} bytes`)
}

function read(reader: ByteReader, depth: number): unknown {
  const first = reader.u8()
  if (first >= 0x80) {
    if (first < tag.shortText) return first - tag.smallWhole
    if (first < tag.smallObject) return reader.ascii(first - tag.shortText)
    if (first < tag.smallArray) return readPlain(reader, first - tag.smallObject, depth)
    return readArray(reader, first - tag.smallArray, depth)
  }
  switch (first) {
    case tag.null: return null
    case tag.undefined: return undefined
    case tag.false: return false
    case tag.true: return true
    case tag.whole: return reader.varint()
    case tag.negative: return -1 - reader.varint()
    case tag.f64: return reader.f64()
    case tag.bigint: return readMagnitude(reader)
    case tag.bigintNegative: return -1n - readMagnitude(reader)
    case tag.text: return reader.text()
    case tag.bytes: return new Uint8Array(reader.sized()) // a copy, also of shared memory
    case tag.date: return new Date(reader.f64())
    case tag.array: return readArray(reader, reader.varint(), depth)
    case tag.object: return readPlain(reader, reader.varint(), depth)
    default: throw new MalformedBytesError(`no plain data begins with the byte ${first}`)
  }
}

function readMagnitude(reader: ByteReader): bigint {
  const bytes = reader.sized()
  if (bytes.length === 0) return 0n
  let hex = '0x'
  for (let index = bytes.length - 1; index >= 0; index -= 1) hex += bytes[index]!.toString(16).padStart(2, '0')
  return BigInt(hex)
}

function readArray(reader: ByteReader, count: number, depth: number): unknown[] {
  checkCount(reader, count, depth)
  const items: unknown[] = []
  for (let index = 0; index < count; index += 1) items.push(read(reader, depth + 1))
  return items
}

/** Names that an assignment may not reach: `__proto__` always, the others where somebody froze Object.prototype. */
const inherited: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(Object.prototype))
const inheritedLengthMin = Math.min(...[...inherited].map((name) => name.length))

function readPlain(reader: ByteReader, count: number, depth: number): Record<string, unknown> {
  checkCount(reader, count * 2, depth)
  const value: Record<string, unknown> = {}
  for (let index = 0; index < count; index += 1) {
    const key = readKey(reader)
    const item = read(reader, depth + 1)
    if (key.length >= inheritedLengthMin && inherited.has(key)) {
      Object.defineProperty(value, key, { value: item, writable: true, enumerable: true, configurable: true })
    } else {
      value[key] = item
    }
  }
  return value
}

/** Every item takes a byte at least: bytes that lie about their count do not make us allocate for it. */
function checkCount(reader: ByteReader, least: number, depth: number): void {
  if (least > reader.left) throw new MalformedBytesError('an array or object ends inside its bytes')
  if (depth >= depthMax) throw new MalformedBytesError(`plain data is nested at most ${depthMax} deep`)
}

function readKey(reader: ByteReader): string {
  const first = reader.u8()
  if (first >= tag.shortText && first < tag.smallObject) {
    return reader.recurringAscii(first - tag.shortText)
  }
  if (first === tag.text) return reader.text()
  throw new MalformedBytesError('the key of an object is a text')
}
