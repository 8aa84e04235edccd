/**
 * The entry of a stored row in a tree, as ordered bytes, read from its cells: no value is made on the way.
 *
 * Invariant: `append` writes what the codec of the tree's plan writes for the decoded columns (key-codec.ts has the format). Images
 * have the same in image-key.ts; a stored row has its long values elsewhere, and null bits in any column of an index.
 */
import { assert } from '../base/assert.js'
import { appendEscapedBytes, enumPlaceBytes, isNotNull, isNull, type KeyBuffer } from '../schema/key-codec.js'
import { type ColumnLayout } from '../schema/row-layout.js'
import type { CellMemory } from './row-codec.js'
import type { TableStore, TreePlan } from './table-store.js'

type AppendCell = (row: number, into: KeyBuffer) => void

export class EntryKey {
  readonly #parts: readonly AppendCell[]

  constructor(table: TableStore, plan: TreePlan) {
    this.#parts = plan.columns.map((ordinal) => cellOf(table.layout.columns[ordinal]!, table.codec.memory))
  }

  /** Appends the entry of the row at an address. */
  append(row: number, into: KeyBuffer): void {
    for (const part of this.#parts) part(row, into)
  }
}

function cellOf(column: ColumnLayout, memory: CellMemory): AppendCell {
  const bare = bareCellOf(column, memory)
  if (column.nullAt < 0) return bare
  const { i32 } = memory
  return (row, into) => {
    const isNullHere = (i32[row * 2 + column.nullAt]! & column.nullBit) !== 0
    into.reserve(1)
    into.bytes[into.length++] = isNullHere ? isNull : isNotNull
    if (!isNullHere) bare(row, into)
  }
}

function bareCellOf(column: ColumnLayout, memory: CellMemory): AppendCell {
  const { at } = column
  const { i32 } = memory
  switch (column.descriptor.type) {
    case 'bool':
      return (row, into) => appendLow(i32[row * 2 + at]!, 1, into)
    case 'enum': {
      const bytes = enumPlaceBytes(column.descriptor.values ?? [])
      return (row, into) => appendLow(i32[row * 2 + at]!, bytes, into)
    }
    case 'i32':
      return (row, into) => appendLow(i32[row * 2 + at]! ^ 0x80000000, 4, into)
    case 'u32':
      return (row, into) => appendLow(i32[row * 2 + at]!, 4, into)
    case 'int':
    case 'f64':
    case 'timestamp':
      return (row, into) => {
        const high = i32[row * 2 + at + 1]!
        const flip = high >> 31 // all ones for negative numbers
        appendLow(high ^ (flip | 0x80000000), 4, into)
        appendLow(i32[row * 2 + at]! ^ flip, 4, into)
      }
    case 'bigint':
      return (row, into) => {
        appendLow(i32[row * 2 + at + 1]! ^ 0x80000000, 4, into)
        appendLow(i32[row * 2 + at]!, 4, into)
      }
    case 'uuid':
      return (row, into) => {
        into.reserve(16)
        for (let n = 0; n < 16; n += 1) into.bytes[into.length++] = i32[row * 2 + at + (n >>> 2)]! >>> ((n & 3) * 8)
      }
    case 'text':
    case 'bytes':
      return (row, into) => {
        const { bytes, from, length } = memory.viewBytes(row * 2 + at)
        appendEscapedBytes(bytes, from, length, into)
      }
    case 'json':
      return assert(false, `an index has no json column ("${column.descriptor.name}")`) as never
  }
}

/** The low bytes of a word, big endian. */
function appendLow(word: number, bytes: number, into: KeyBuffer): void {
  into.reserve(bytes)
  for (let shift = (bytes - 1) * 8; shift >= 0; shift -= 8) into.bytes[into.length++] = (word >>> shift) & 0xff
}
