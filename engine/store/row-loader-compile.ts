/**
 * What a row image says about its row, read from its cells by code made for the table: partition, hash of the key, and whether a
 * stored row has the same key; and the copy of its words.
 *
 * Each must agree with the way over values, or recovery would put a row where no transaction finds it:
 *
 *   partition   `partitionOf` of the decoded values (schema/placement.ts)
 *   hash        `StagedKey.hash` of the decoded key, `hashOfRow` of the stored row
 *
 * An image is a place in `ints`, its first cell at `w`; the same memory is `bytes`. Long values lie behind it in column order, so
 * where one begins is a sum over the columns before it. A row lies at `r` 32-bit words of the region.
 *
 * Why generated code, and whole groups: every table has its own columns, so a function that is shared by all tables meets all kinds
 * of them, and the engine can neither inline nor specialise it. With a loop of its own, a table takes 20 ns for partition and hash.
 */
import { hashEnd, hashStart } from '../base/hash.js'
import { hashBytes8, hashText8, hashUuid8, hashValue, partitionOfOne } from '../schema/placement.js'
import { type ColumnLayout, inlineBytesMax, lengthMask, rowHeaderWords } from '../schema/row-layout.js'
import { cellInts } from './row-codec.js'
import { finish, hashLong, keyHashStart, mix } from './staged-key-compile.js'
import type { TableStore } from './table-store.js'

const headerInts = rowHeaderWords * 2
/** Up to so many words the copy is a list of stores; beyond, a loop. */
const unrolledInts = 64

/** For many images at once, the first `count` of `places` in `ints`: a call for each would cost as much as its work. */
export interface ImageReader {
  /** Partitions and hashes of their keys. */
  place(ints: Int32Array, bytes: Uint8Array, places: Int32Array, count: number, partitions: Int32Array, hashes: Int32Array): void
  /** Of the rows that may be theirs, those with another key become -1; 0 stays. */
  match(ints: Int32Array, places: Int32Array, count: number, rows: Int32Array): void
  /** Of one: whether the row at `r` has its key. */
  equals(ints: Int32Array, w: number, r: number): boolean
  /** Copies the cells of one over those of a row. */
  copy(ints: Int32Array, w: number, r: number): void
}

/** Everything that generated code may call, by name. */
const library = {
  hashStart, hashEnd, hashValue, hashText8, hashBytes8, hashUuid8, partitionOfOne, keyHashStart, mix, finish, hashLong, double, bigint,
  equalInts,
}

export function compileImageReader(table: TableStore): ImageReader {
  const { descriptor, layout } = table
  const ints = (layout.words - rowHeaderWords) * 2
  const keys = descriptor.key.map((ordinal) => layout.columns[ordinal]!)
  const source = `'use strict'
const { ${Object.keys(library).join(', ')} } = library
${keys.filter((column) => column.isVar).map((column) => longFunction(table, column)).join('\n')}
function partition(ints, bytes, w) {
  ${partitionBody(table)}
}
function hash(ints, bytes, w) {
  let hash = keyHashStart
  ${keys.map(hashStatement).join('\n  ')}
  return finish(hash)
}
function equals(ints, w, r) {
  ${keys.map(equalsStatement).join('\n  ')}
  return true
}
return {
  place(ints, bytes, places, count, partitions, hashes) {
    for (let n = 0; n < count; n += 1) {
      partitions[n] = partition(ints, bytes, places[n])
      hashes[n] = hash(ints, bytes, places[n])
    }
  },
  match(ints, places, count, rows) {
    for (let n = 0; n < count; n += 1) {
      if (rows[n] !== 0 && !equals(ints, places[n], rows[n] * 2)) rows[n] = -1
    }
  },
  equals,
  copy(ints, w, r) {
    ${copyBody(ints)}
  },
}`
  return new Function('library', 'i32', 'enums', source)(library, table.codec.memory.i32, enumsOf(table)) as ImageReader
}

const enumsOf = (table: TableStore): readonly (readonly string[])[] => table.descriptor.columns.map((column) => column.values ?? [])

/** Of the image and of the row, the 32-bit word `n` of a column's cell. */
const imageInt = (column: ColumnLayout, n = 0): string => `ints[w + ${column.at - headerInts + n}]`
const rowInt = (column: ColumnLayout, n = 0): string => `i32[r + ${column.at + n}]`
const lengthOf = (column: ColumnLayout): string => `(${imageInt(column)} & ${lengthMask})`
const isLong = (column: ColumnLayout): string => `${lengthOf(column)} > ${inlineBytesMax}`

/** Where the long value of a column begins behind its image, in `ints`. */
function longFunction(table: TableStore, column: ColumnLayout): string {
  const before = table.layout.vars.filter((other) => other.ordinal < column.ordinal)
  return `function long${column.ordinal}(ints, w) {
  let at = w + ${(table.layout.words - rowHeaderWords) * 2}
  ${before.map((other) => `if (${isLong(other)}) at += ((${lengthOf(other)} + 7) >>> 3) * 2`).join('\n  ')}
  return at
}`
}

/** The first byte of a text or of bytes, wherever they lie. */
const bytesFrom = (column: ColumnLayout): string =>
  `(${isLong(column)} ? long${column.ordinal}(ints, w) : w + ${column.at - headerInts + 1}) * 4`

function partitionBody(table: TableStore): string {
  if (table.isGlobal) return 'return 0'
  const columns = (table.descriptor.partition as readonly number[]).map((ordinal) => table.layout.columns[ordinal]!)
  const count = table.partitions
  const [first] = columns
  if (columns.length === 1 && first !== undefined) {
    const whole = `const whole = value | 0
    if (whole === value) return ((whole % ${count}) + ${count}) % ${count}
    return partitionOfOne(value, ${count})`
    switch (first.descriptor.type) {
      case 'int':
      case 'f64':
      case 'timestamp':
      case 'i32':
      case 'u32':
        return `const value = ${valueOf(first)}\n    ${whole}`
      case 'bigint':
        return `const value = ${valueOf(first)}\n    if (typeof value === 'bigint') return partitionOfOne(value, ${count})\n    ${whole}`
    }
  }
  return `let hash = hashStart
    ${columns.map((column) => `hash = ${hashOfValue(column)}`).join('\n    ')}
    return hashEnd(hash) % ${count}`
}

/** A value as users know it, of the types that have one without an object. */
function valueOf(column: ColumnLayout): string {
  const at = `w + ${column.at - headerInts}`
  switch (column.descriptor.type) {
    case 'i32':
      return imageInt(column)
    case 'u32':
      return `${imageInt(column)} >>> 0`
    case 'bool':
      return `${imageInt(column)} === 1`
    case 'enum':
      return `enums[${column.ordinal}][${imageInt(column)}]`
    case 'bigint':
      return `bigint(ints, ${at})`
    default:
      return `double(ints, ${at})`
  }
}

function hashOfValue(column: ColumnLayout): string {
  switch (column.descriptor.type) {
    case 'text':
      return `hashText8(hash, bytes, ${bytesFrom(column)}, ${lengthOf(column)})`
    case 'bytes':
      return `hashBytes8(hash, bytes, ${bytesFrom(column)}, ${lengthOf(column)})`
    case 'uuid':
      return `hashUuid8(hash, bytes, (w + ${column.at - headerInts}) * 4)`
    default:
      return `hashValue(hash, ${valueOf(column)})`
  }
}

const times = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

function hashStatement(column: ColumnLayout): string {
  const inline = times(cellInts(column)).map((n) => `hash = mix(hash, ${imageInt(column, n)})`).join('; ')
  if (!column.isVar) return inline
  return `if (${isLong(column)}) hash = hashLong(hash, ${imageInt(column)}, bytes, long${column.ordinal}(ints, w) * 4, ${lengthOf(column)})
    else { ${inline} }`
}

function equalsStatement(column: ColumnLayout): string {
  const differs = (from: number): string => times(cellInts(column)).slice(from).map((n) => `${rowInt(column, n)} !== ${imageInt(column, n)}`).join(' || ')
  if (!column.isVar) return `if (${differs(0)}) return false`
  return `if (${rowInt(column)} !== ${imageInt(column)}) return false
    if (${isLong(column)}) { if (!equalInts(i32, ${rowInt(column, 1)} * 2, ints, long${column.ordinal}(ints, w), ${lengthOf(column)})) return false }
    else if (${differs(1)}) return false`
}

function copyBody(ints: number): string {
  if (ints > unrolledInts) return `for (let n = 0; n < ${ints}; n += 1) i32[r + ${headerInts} + n] = ints[w + n]`
  return times(ints).map((n) => `i32[r + ${headerInts + n}] = ints[w + ${n}]`).join('\n    ')
}

// ── what generated code calls ─────────────────────────────────────────────────────────────────────────────────

const bits = new Int32Array(2)
const asDouble = new Float64Array(bits.buffer)
const asBigint = new BigInt64Array(bits.buffer)

function double(ints: Int32Array, at: number): number {
  bits[0] = ints[at]!
  bits[1] = ints[at + 1]!
  return asDouble[0]!
}

/** A number where it is one of 32 bits: placement does not tell 5 from 5n, and an object less is made. */
function bigint(ints: Int32Array, at: number): bigint | number {
  const low = ints[at]!
  const high = ints[at + 1]!
  if (high === low >> 31) return low
  bits[0] = low
  bits[1] = high
  return asBigint[0]!
}

/** The bytes of two long values; behind the last one stands anything. */
function equalInts(a: Int32Array, aAt: number, b: Int32Array, bAt: number, length: number): boolean {
  const whole = length >>> 2
  for (let n = 0; n < whole; n += 1) if (a[aAt + n] !== b[bAt + n]) return false
  const rest = length & 3
  return rest === 0 || ((a[aAt + whole]! ^ b[bAt + whole]!) & ((1 << (rest * 8)) - 1)) === 0
}
