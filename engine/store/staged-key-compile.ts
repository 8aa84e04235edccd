/**
 * The code of a table's keys: checks, cells, hash, partition, and the comparison with a stored row.
 *
 *   partition   `partitionOf` of the values (schema/placement.ts)
 *   hash        of the cells, one after the other; of a value that stands outside of its cell the head, the bytes and their number
 *
 * Why generated: a look-up costs about as much as the lines of memory it waits for, 40 ns and more. Loops over the columns of a key,
 * shared by all tables, cost that once more. Generated code holds ordinals and offsets, and no name (R64).
 */
import { hashEnd, hashStart } from '../base/hash.js'
import { hashValue, partitionOfOne } from '../schema/placement.js'
import type { ColumnType, TableDescriptor } from '../schema/descriptor.js'
import { inlineBytesMax, lengthMask } from '../schema/row-layout.js'
import type { CellMemory } from './row-codec.js'

/** A column of a key. */
export interface KeyPart {
  readonly type: ColumnType
  readonly name: string
  /** In the staged key, in 32-bit words. */
  readonly at: number
  readonly ints: number
  /** In a row. */
  readonly rowAt: number
  readonly isVar: boolean
  readonly words: readonly string[] | undefined
}

export interface CompiledKey {
  set(given: unknown): void
  stage(...values: readonly unknown[]): void
  setFromRow(row: readonly unknown[]): void
  equals(row: number): boolean
  hashOfRow(row: number): number
}

/** What compiled code fills, and asks for what it has no code for. */
export interface KeyInMaking {
  hash: number
  partition: number
  readonly values: unknown[]
  readonly i32: Int32Array
  readonly f64: Float64Array
  readonly i64: BigInt64Array
  readonly long: (Uint8Array | undefined)[]
  refuseShape(given: unknown): never
  refuse(p: number, value: unknown): never
  stageText(p: number, value: unknown): void
  stageUuid(p: number, value: unknown): void
  stageBytes(p: number, value: unknown): void
  hashLongOfRow(hash: number, cell: number): number
  equalsLong(p: number, cell: number): boolean
}

const { isSafeInteger } = Number
const { imul } = Math

/** Everything that generated code may call, by name. */
const library = { hashStart, hashEnd, hashValue, hashLong, partitionOfOne, isSafeInteger, imul, fitsBigint }

export function compileStagedKey(key: KeyInMaking, table: TableDescriptor, parts: readonly KeyPart[], memory: CellMemory, partitions: number): CompiledKey {
  const all = parts.map((_, p) => `v${p}`).join(', ')
  const source = `'use strict'
const { ${Object.keys(library).join(', ')} } = library
const { i32, f64, i64, long, values } = key
const cells = memory.i32
${parts.map((part, p) => (part.words === undefined ? '' : `const words${p} = parts[${p}].words`)).join('\n')}
function stage(${all}) {
  ${parts.map(stageStatement).join('\n  ')}
  let hash = ${keyHashStart}
  ${parts.map((part, p) => hashStatement(part, `long[${p}] !== undefined`, `hashLong(hash, i32[${part.at}], long[${p}], 0, long[${p}].length)`, (n) => `i32[${part.at + n}]`)).join('\n  ')}
  ${finishStatement}
  key.hash = hash
  key.partition = ${partitionExpression(table, partitions)}
}
return {
  stage,
  set(given) {
    ${parts.length === 1 ? 'stage(given)' : `if (!Array.isArray(given) || given.length !== ${parts.length}) key.refuseShape(given)
    stage(${parts.map((_, p) => `given[${p}]`).join(', ')})`}
  },
  setFromRow(row) {
    stage(${table.key.map((ordinal) => `row[${ordinal}]`).join(', ')})
  },
  equals(row) {
    const r = row * 2
    ${parts.map(equalsStatement).join('\n    ')}
    return true
  },
  hashOfRow(row) {
    const r = row * 2
    let hash = ${keyHashStart}
    ${parts.map((part) => hashStatement(part, `(cells[r + ${part.rowAt}] & ${lengthMask}) > ${inlineBytesMax}`, `key.hashLongOfRow(hash, r + ${part.rowAt})`, (n) => `cells[r + ${part.rowAt + n}]`)).join('\n    ')}
    ${finishStatement}
    return hash
  },
}`
  return new Function('library', 'key', 'memory', 'parts', source)(library, key, memory, parts) as CompiledKey
}

/** Check and cells of one value. The last statement keeps it: a value that was refused is nobody's. */
function stageStatement({ type, at }: KeyPart, p: number): string {
  const v = `v${p}`
  const kept = `; values[${p}] = ${v}`
  const unless = (test: string): string => `if (!(${test})) key.refuse(${p}, ${v}); `
  switch (type) {
    case 'text':
      return `key.stageText(${p}, ${v})${kept}`
    case 'int':
    case 'timestamp':
      return `${unless(`typeof ${v} === 'number' && isSafeInteger(${v})`)}f64[${at >>> 1}] = ${v} + 0${kept}` // -0 becomes 0
    case 'f64':
      return `${unless(`typeof ${v} === 'number' && ${v} === ${v}`)}f64[${at >>> 1}] = ${v} + 0${kept}`
    case 'i32':
      return `${unless(`typeof ${v} === 'number' && (${v} | 0) === ${v}`)}i32[${at}] = ${v}${kept}`
    case 'u32':
      return `${unless(`typeof ${v} === 'number' && ${v} >>> 0 === ${v}`)}i32[${at}] = ${v} | 0${kept}`
    case 'bool':
      return `${unless(`typeof ${v} === 'boolean'`)}i32[${at}] = ${v} ? 1 : 0${kept}`
    case 'bigint':
      return `${unless(`typeof ${v} === 'bigint' && fitsBigint(${v})`)}i64[${at >>> 1}] = ${v}${kept}`
    case 'enum':
      return `const place${p} = words${p}.indexOf(${v}); ${unless(`place${p} >= 0`)}i32[${at}] = place${p}${kept}`
    case 'uuid':
      return `key.stageUuid(${p}, ${v})${kept}`
    case 'bytes':
      return `key.stageBytes(${p}, ${v})${kept}`
    case 'json':
      return `key.refuse(${p}, ${v})`
  }
}

function partitionExpression(table: TableDescriptor, partitions: number): string {
  if (table.partition === 'global') return '0'
  const places = table.partition.map((column) => table.key.indexOf(column))
  const [first] = places
  if (places.length === 1) {
    const v = `v${first}`
    const { type } = table.columns[table.key[first!]!]!
    if (type !== 'i32' && type !== 'u32' && type !== 'int' && type !== 'f64' && type !== 'timestamp') return `partitionOfOne(${v}, ${partitions})`
    // A remainder of doubles is a call and 30 ns.
    return `(${v} | 0) !== ${v} ? partitionOfOne(${v}, ${partitions}) : ${v} >= 0 ? (${v} | 0) % ${partitions} : (((${v} | 0) % ${partitions}) + ${partitions}) % ${partitions}`
  }
  return `hashEnd(${places.reduce((hash, place) => `hashValue(${hash}, v${place})`, 'hashStart')}) % ${partitions}`
}

const times = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

function hashStatement(part: KeyPart, isLong: string, hashed: string, word: (n: number) => string): string {
  const inline = times(part.ints).map((n) => mixStatement(word(n))).join(' ')
  return part.isVar ? `if (${isLong}) hash = ${hashed}\n  else { ${inline} }` : inline
}

function equalsStatement(part: KeyPart, p: number): string {
  const differs = (from: number): string => times(part.ints).slice(from).map((n) => `cells[r + ${part.rowAt + n}] !== i32[${part.at + n}]`).join(' || ')
  if (!part.isVar) return `if (${differs(0)}) return false`
  return `if (cells[r + ${part.rowAt}] !== i32[${part.at}]) return false
    if (long[${p}] !== undefined) { if (!key.equalsLong(${p}, r + ${part.rowAt})) return false }
    else if (${differs(1)}) return false`
}

// ── the hash of a key, cell by cell ───────────────────────────────────────────────────────────────────────────

export const keyHashStart: number = 0x811c9dc5 | 0

const mixStatement = (word: string): string => `hash = imul(hash ^ ${word}, ${0x9e3779b1 | 0}); hash ^= hash >>> 15;`
const finishStatement = `hash = imul(hash ^ (hash >>> 16), ${0x85ebca6b | 0}); hash ^= hash >>> 13`

/** What `mixStatement` and `finishStatement` do. */
export function mix(hash: number, word: number): number {
  hash = Math.imul(hash ^ word, 0x9e3779b1)
  return hash ^ (hash >>> 15)
}
export function finish(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return hash ^ (hash >>> 13)
}
/** A value that stands outside of its cell: the head of the cell, its bytes, its length. */
export function hashLong(hash: number, head: number, bytes: Uint8Array, from: number, length: number): number {
  hash = mix(hash, head)
  for (let n = 0; n < length; n += 1) hash = Math.imul(hash ^ bytes[from + n]!, 0x01000193)
  return mix(hash, length)
}

function fitsBigint(value: bigint): boolean {
  return BigInt.asIntN(64, value) === value
}
