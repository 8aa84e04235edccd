/**
 * The entry of a stored row in a tree, as ordered bytes, read from its cells by code made for the tree: no value is made on the way.
 *
 * Invariant: what is appended is what the key codec of the same columns writes for the decoded values (key-codec.ts has the
 * format). Images have the same in image-key.ts; a stored row has its long values elsewhere, and null bits in any column of an index.
 */
import { assert } from '../base/assert.js'
import { appendEscapedBytes, enumPlaceBytes, isNotNull, isNull, type KeyBuffer } from '../schema/key-codec.js'
import type { ColumnLayout } from '../schema/row-layout.js'
import type { CellMemory } from './row-codec.js'

/** Appends the entry of the row at an address. */
export type AppendEntry = (row: number, into: KeyBuffer) => void

export function compileEntryKey(columns: readonly ColumnLayout[], memory: CellMemory): AppendEntry {
  const fixed = columns.reduce((bytes, column) => bytes + (column.nullAt < 0 ? 0 : 1) + fixedBytes(column), 0)
  const source = `'use strict'
const { i32 } = memory
return (r, into) => {
  into.reserve(${fixed})
  let bytes = into.bytes, at = into.length
  ${columns.map(appendStatement).join('\n  ')}
  into.length = at
}`
  const appendLong = (cell: number, room: number, into: KeyBuffer): void => {
    const { bytes, from, length } = memory.viewBytes(cell)
    appendEscapedBytes(bytes, from, length, into)
    into.reserve(room) // for what follows
  }
  return new Function('memory', 'appendLong', source)(memory, appendLong) as AppendEntry
}

/** Bytes of a column whose entry has always as many; of a text, none. */
function fixedBytes(column: ColumnLayout): number {
  switch (column.descriptor.type) {
    case 'bool':
      return 1
    case 'enum':
      return enumPlaceBytes(column.descriptor.values ?? [])
    case 'i32':
    case 'u32':
      return 4
    case 'int':
    case 'f64':
    case 'timestamp':
    case 'bigint':
      return 8
    case 'uuid':
      return 16
    case 'text':
    case 'bytes':
      return 0
    case 'json':
      return assert(false, `an index has no json column ("${column.descriptor.name}")`) as never
  }
}

function appendStatement(column: ColumnLayout, place: number, columns: readonly ColumnLayout[]): string {
  const bare = bareStatement(column, columns.slice(place + 1))
  if (column.nullAt < 0) return bare
  return `if ((i32[r * 2 + ${column.nullAt}] & ${column.nullBit}) !== 0) bytes[at++] = ${isNull}
  else { bytes[at++] = ${isNotNull}; ${bare} }`
}

function bareStatement(column: ColumnLayout, after: readonly ColumnLayout[]): string {
  const word = (n = 0): string => `i32[r * 2 + ${column.at + n}]`
  switch (column.descriptor.type) {
    case 'bool':
      return low(word(), 1)
    case 'enum':
      return low(word(), fixedBytes(column))
    case 'i32':
      return low(`${word()} ^ 0x80000000`, 4)
    case 'u32':
      return low(word(), 4)
    case 'int':
    case 'f64':
    case 'timestamp':
      // All ones for negative numbers.
      return `{ const high = ${word(1)}, flip = high >> 31; ${low('high ^ (flip | 0x80000000)', 4)} ${low(`${word()} ^ flip`, 4)} }`
    case 'bigint':
      return low(`${word(1)} ^ 0x80000000`, 4) + low(word(), 4)
    case 'uuid':
      return Array.from({ length: 16 }, (_, n) => `bytes[at++] = ${word(n >>> 2)} >>> ${(n & 3) * 8};`).join(' ')
    default: {
      const room = after.reduce((bytes, one) => bytes + (one.nullAt < 0 ? 0 : 1) + fixedBytes(one), 0)
      return `into.length = at; appendLong(r * 2 + ${column.at}, ${room}, into); bytes = into.bytes; at = into.length`
    }
  }
}

/** The low bytes of a word, big endian: an array of bytes keeps the low eight bits of what it is given. */
function low(word: string, bytes: number): string {
  const stores = Array.from({ length: bytes }, (_, n) => `bytes[at + ${n}] = word >>> ${(bytes - 1 - n) * 8};`).join(' ')
  return `{ const word = ${word}; ${stores} at += ${bytes} }`
}
