/**
 * Values as queries compare them: the order of the keys (R19), so that an index and a sort agree. Null first, text by its UTF-8 bytes,
 * the words of an enum by their place, false before true.
 */
import { isWellFormed } from '../engine/base/bytes.js'
import { SluiceError } from '../engine/base/errors.js'
import type { ColumnDescriptor } from '../engine/index.js'

/** What can be compared with what. */
export type Kind = 'number' | 'bigint' | 'text' | 'enum' | 'bool' | 'bytes' | 'json'

export interface ValueType {
  readonly kind: Kind
  readonly nullable: boolean
  /** The words of an enum. */
  readonly words?: readonly string[]
  /** How errors call it: `bank.account.owner`. */
  readonly name: string
  /** Where it is a column or a parameter. */
  readonly column?: ColumnDescriptor
}

const kinds: Readonly<Record<ColumnDescriptor['type'], Kind>> = {
  bool: 'bool', i32: 'number', u32: 'number', int: 'number', f64: 'number', timestamp: 'number', bigint: 'bigint',
  text: 'text', uuid: 'text', enum: 'enum', bytes: 'bytes', json: 'json',
}

export function typeOfColumn(column: ColumnDescriptor, name: string): ValueType {
  const kind = kinds[column.type]
  return { kind, nullable: column.nullable, name, column, ...(kind === 'enum' ? { words: column.values! } : {}) }
}

/** A value that no row was made of: is it of this type? */
export function isOfKind({ kind, words }: ValueType, value: unknown): boolean {
  switch (kind) {
    case 'number':
      return typeof value === 'number' && !Number.isNaN(value)
    case 'bigint':
      return typeof value === 'bigint'
    case 'text':
      return typeof value === 'string' && isWellFormed(value)
    case 'enum':
      return typeof value === 'string' && words!.includes(value)
    case 'bool':
      return typeof value === 'boolean'
    case 'bytes':
      return value instanceof Uint8Array
    case 'json':
      return false
  }
}

export type Compare = (left: never, right: never) => number

/** UTF-16 puts surrogates before U+E000 to U+FFFF, UTF-8 behind them. */
export function compareText(left: string, right: string): number {
  const length = Math.min(left.length, right.length)
  for (let n = 0; n < length; n += 1) {
    const a = left.charCodeAt(n)
    const b = right.charCodeAt(n)
    if (a !== b) return a >= 0xd800 && b >= 0xd800 ? inUtf8(a) - inUtf8(b) : a - b
  }
  return left.length - right.length
}
const inUtf8 = (unit: number): number => (unit >= 0xe000 ? unit - 0x800 : unit + 0x2000)

export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const length = Math.min(left.length, right.length)
  for (let n = 0; n < length; n += 1) if (left[n] !== right[n]) return left[n]! - right[n]!
  return left.length - right.length
}

const comparePlain = (left: number, right: number): number => (left < right ? -1 : left > right ? 1 : 0)

/** The order of two values of a type that are not null. */
export function comparerOf({ kind, words }: ValueType): Compare {
  switch (kind) {
    case 'text':
      return compareText
    case 'bytes':
      return compareBytes
    case 'enum': {
      const places = new Map(words!.map((word, place) => [word, place]))
      return (left: string, right: string) => places.get(left)! - places.get(right)!
    }
    default:
      return comparePlain
  }
}

/** Equal tuples give equal texts, others others. Of one value that is no bytes, the value itself. */
export function groupKey(values: readonly unknown[]): unknown {
  if (values.length === 1 && !(values[0] instanceof Uint8Array)) return values[0]
  let key = ''
  for (const value of values) key += partOfKey(value)
  return key
}
function partOfKey(value: unknown): string {
  if (value === null) return '-'
  if (typeof value === 'string') return `t${value.length}:${value}`
  if (value instanceof Uint8Array) return `b${value.length}:${value.join()};`
  return `${typeof value === 'number' ? 'n' : typeof value}${String(value)};`
}

export const invalidQuery = (message: string): SluiceError => SluiceError.of('INVALID_DEFINITION', message)
