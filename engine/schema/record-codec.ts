/**
 * Inputs of procedures and payloads of events: checked and turned into bytes in one pass, and back into plain objects.
 *
 *   [null bits: one for each nullable column, in order, as many bytes as they need]
 *   [columns that are not null, in order, without padding]
 *        bool         u8                          text         ByteWriter.text
 *        i32, u32     4 bytes                     uuid         16 bytes
 *        int, f64,    f64                         enum         u8 of its place, u16 above 256 words
 *        timestamp                                bytes        sized
 *        bigint       i64                         json         canonical
 *
 * Both directions are compiled for the descriptor. The compiled code contains ordinals and the JSON of column names,
 * nothing else (R64); words, bounds, defaults and checks are reached through constants it closes over.
 *
 * Invariants:
 *   R1  Equal records give equal bytes, so that a hash of the bytes tells whether two inputs are the same.
 *   R2  Only own enumerable properties are read, each once, and unknown ones are refused (R65).
 *   R3  Whatever a caller passes, the answer is a record or INVALID_INPUT; a refused record leaves nothing in the writer.
 *   R4  What the compiled test refuses, the column's validator refuses too: it is asked to say why.
 *
 * An object whose keys are exactly the columns in their order is known by comparing interned names (14 ns for three);
 * every other order takes the long way, so that the short one needs no look-up at all.
 */
import { assert } from '../base/assert.js'
import { ByteReader, type ByteWriter, MalformedBytesError } from '../base/bytes.js'
import {
  CanonicalError, decodeCanonical, encodeCanonical, isPlainObject, isStackOverflow, kindOf,
} from '../base/canonical.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { didYouMean } from './closest-name.js'
import {
  type ColumnValidator, compileColumnCheck, i32Max, i32Min, type OnViolation, type StoredValue,
  timestampMax, u32Max,
} from './column-check.js'
import type { ColumnDescriptor, ColumnRules, RecordDescriptor } from './descriptor.js'
import { decodeSource, encodeSource, hasCopies, normalizeSource } from './record-source.js'
import { uuidBytes, uuidFromBytes, uuidToBytes } from './uuid.js'

/** A record as programs see it: every column, in declared order. */
export type PlainRecord = Record<string, StoredValue>

export interface RecordCodec {
  /** The checked record with defaults and nulls filled in, as a new object that shares nothing with `value`. */
  normalize(value: unknown): PlainRecord
  /** The bytes of `normalize(value)`, without making it. */
  encode(value: unknown, writer: ByteWriter): void
  /** The same, and what `decode` would make of the bytes: for who needs both. */
  encodeRecord(value: unknown, writer: ByteWriter): PlainRecord
  decode(reader: ByteReader): PlainRecord
}

type Encode = RecordCodec['encode']
type EncodeRecord = RecordCodec['encodeRecord']
type Decode = RecordCodec['decode']
type Normalize = RecordCodec['normalize']

const columnName = /^[A-Za-z][A-Za-z0-9_]{0,62}$/
const shownTextMax = 64

/** `what` begins every message: `the input of "bank.transfer"`. */
export function compileRecordCodec(descriptor: RecordDescriptor, rules: ColumnRules, what: string): RecordCodec {
  const { columns } = descriptor
  assert(columns.length <= limits.columnsMax, 'a record has a bounded number of columns')
  for (const { name } of columns) {
    assert(columnName.test(name) && name !== 'constructor' && name !== 'prototype', 'R64: a column has a safe name')
  }
  const shared = new Shared(columns, rules, what)
  const encode = compileSource<Encode>(encodeSource(columns, rules, false), shared)
  const decode = compileSource<Decode>(decodeSource(columns), shared)
  return {
    normalize: compileSource<Normalize>(normalizeSource(columns), shared),
    encode,
    encodeRecord: hasCopies(columns) ? encodeAndDecode(encode, decode) : compileSource<EncodeRecord>(encodeSource(columns, rules, true), shared),
    decode,
  }
}

/** A record of columns whose values are the caller's objects: the copy is made of the bytes. */
function encodeAndDecode(encode: Encode, decode: Decode): EncodeRecord {
  return (value, writer) => {
    const start = writer.length
    encode(value, writer)
    return decode(new ByteReader(writer.bytes().slice(start)))
  }
}

function compileSource<Compiled>(source: string, shared: Shared): Compiled {
  return new Function('shared', `'use strict'\n${source}`)(shared) as Compiled
}

/** Everything the compiled code closes over, by ordinal. */
class Shared {
  readonly columns: readonly ColumnDescriptor[]
  readonly names: readonly string[]
  readonly validators: readonly ColumnValidator[]
  readonly low: readonly (number | bigint)[]
  readonly high: readonly (number | bigint)[]
  /** What is stored when a column is left out: shared by all records, for encoding reads it and keeps nothing of it. */
  readonly fills: readonly unknown[]
  readonly places: readonly ReadonlyMap<string, number>[]
  readonly words: readonly (readonly string[])[]
  readonly hasOwn = Object.hasOwn
  readonly isInteger = Number.isInteger
  readonly readJson = decodeCanonical
  readonly writeUuid = writeUuid
  readonly readUuid = readUuid
  readonly readWord = readWord
  readonly readBytes = (reader: ByteReader): Uint8Array => new Uint8Array(reader.sized())
  readonly #what: string
  readonly #onViolation: readonly OnViolation[]

  constructor(columns: readonly ColumnDescriptor[], rules: ColumnRules, what: string) {
    this.columns = columns
    this.names = columns.map((column) => column.name)
    this.validators = columns.map((column, ordinal) => compileColumnCheck(column, ordinal, rules))
    this.low = columns.map(lowOf)
    this.high = columns.map(highOf)
    this.fills = columns.map((column) => column.default)
    this.words = columns.map((column) => column.values ?? [])
    this.places = this.words.map((words) => new Map(words.map((word, place) => [word, place])))
    this.#what = what
    this.#onViolation = columns.map(({ name }) => (_kind, rule, message, parts) => {
      const field = `${name}${parts?.path ?? ''}`
      throw new Violation(`"${name}" ${message}`, { field, rule }, parts?.cause)
    })
  }

  /** The keys of a record, or a refusal: instances, arrays and maps are no records. */
  keysOf = (value: unknown): string[] => {
    if (typeof value !== 'object' || value === null || !isPlainObject(value)) {
      throw new Violation(`must be a plain object, not ${kindOf(value)}`, { rule: 'type' })
    }
    return Object.keys(value)
  }

  /** Unknown keys are slips of the hand, or columns of another version: never dropped silently. */
  refuseUnknown = (keys: readonly string[]): void => {
    for (const key of keys) {
      if (this.names.includes(key)) continue
      const shown = key.slice(0, shownTextMax)
      throw new Violation(`has no "${shown}"${didYouMean(key, this.names)}`, { field: shown, rule: 'unknown' })
    }
  }

  accept = (ordinal: number, value: unknown): StoredValue => {
    try {
      return this.validators[ordinal]!.accept(value, this.#onViolation[ordinal]!)
    } catch (error) {
      throw withValue(error, value)
    }
  }

  /** R4: the compiled test said no, the validator says why. */
  refuse = (ordinal: number, value: unknown): never => {
    this.accept(ordinal, value)
    assert(false, `R4: the validator of "${this.names[ordinal]}" refuses what the compiled test refuses`)
  }

  writeJson = (ordinal: number, value: unknown, writer: ByteWriter): void => {
    try {
      encodeCanonical(value, writer)
    } catch (error) {
      if (error instanceof CanonicalError) {
        const { path, problem, cause } = error
        this.#onViolation[ordinal]!('type', 'type', `${path} ${problem}`.trim(), { path, cause })
      }
      throw error
    }
  }

  /** R3: the one place where what went wrong with a record becomes an error. */
  invalid = (error: unknown): unknown => {
    if (error instanceof Violation) {
      const { message, details, cause } = error
      return SluiceError.of('INVALID_INPUT', `${this.#what}: ${message}`, { details, cause })
    }
    // Our own false assertions and the end of the stack say nothing about the record.
    if (isStackOverflow(error) || (error instanceof Error && error.name === 'AssertionError')) return error
    const details = { rule: 'unreadable' }
    return SluiceError.of('INVALID_INPUT', `${this.#what}: threw while it was read`, { details, cause: error })
  }
}

/** On its way to `invalid`. No Error, because the one that is made of it there captures the stack. */
class Violation {
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
  readonly cause: unknown

  constructor(message: string, details: Readonly<Record<string, unknown>>, cause?: unknown) {
    this.message = message
    this.details = details
    this.cause = cause
  }
}

/** Details carry the value where it is small: they are shown, logged and sent between threads. */
function withValue(error: unknown, value: unknown): unknown {
  if (!(error instanceof Violation) || value === undefined) return error
  const isSmall = typeof value === 'string' ? value.length <= shownTextMax : isSmallValue(value)
  return isSmall ? new Violation(error.message, { ...error.details, value }, error.cause) : error
}

function isSmallValue(value: unknown): boolean {
  return value === null || typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint'
}

function lowOf(column: ColumnDescriptor): number | bigint {
  const { min, positive } = column
  switch (column.type) {
    case 'i32': return Math.max(Number(min ?? i32Min), positive ? 1 : i32Min)
    case 'u32': return Math.max(Number(min ?? 0), positive ? 1 : 0)
    case 'int': return Math.max(Number(min ?? Number.MIN_SAFE_INTEGER), positive ? 1 : Number.MIN_SAFE_INTEGER)
    case 'timestamp': return Math.max(Number(min ?? -timestampMax), positive ? 1 : -timestampMax)
    case 'f64': return Math.max(Number(min ?? -Infinity), positive ? Number.MIN_VALUE : -Infinity)
    case 'bigint': return BigInt(min ?? -(2n ** 63n)) // range errors of `min` are the definition's
    default: return 0
  }
}

function highOf(column: ColumnDescriptor): number | bigint {
  const { max } = column
  switch (column.type) {
    case 'i32': return Math.min(Number(max ?? i32Max), i32Max)
    case 'u32': return Math.min(Number(max ?? u32Max), u32Max)
    case 'int': return Math.min(Number(max ?? Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
    case 'timestamp': return Math.min(Number(max ?? timestampMax), timestampMax)
    case 'f64': return Number(max ?? Infinity)
    case 'bigint': return BigInt(max ?? 2n ** 63n - 1n)
    default: return 0
  }
}

const uuidScratch = new Uint8Array(uuidBytes)

function writeUuid(value: string, writer: ByteWriter): void {
  uuidToBytes(value, uuidScratch, 0)
  writer.raw(uuidScratch)
}

function readUuid(reader: ByteReader): string {
  return uuidFromBytes(reader.raw(uuidBytes), 0)
}

function readWord(words: readonly string[], place: number): string {
  const word = words[place]
  if (word === undefined) throw new MalformedBytesError(`an enum of ${words.length} words has no word ${place}`)
  return word
}
