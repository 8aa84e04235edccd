/**
 * Which rows stand in a tree, and which may stand beside each other there: what `where` and `unique` of an index mean.
 *
 * A row enters and leaves a partial index by an update as well as by insert and delete. Null is equal to nothing: rows with a null among the
 * values of a unique index stand in it, as many as there are, and are found by a scan.
 */
import type { ColumnLayout, RowLayout } from '../schema/row-layout.js'
import type { IndexCondition, IndexDescriptor, TableDescriptor } from '../schema/descriptor.js'
import type { KeyBuffer } from '../schema/key-codec.js'
import { isAcross } from '../schema/placement.js'
import { compileEntryKey } from './entry-key.js'
import type { PlainRow, RowCodec } from './row-codec.js'

const everyRow = (): boolean => true

export interface TreeMembership {
  /** Columns that decide where a row stands in it, or whether it does. */
  readonly movedBy: ReadonlySet<number>
  /** It holds every row, whatever others there are. */
  readonly isPlain: boolean
  readonly holdsEvery: boolean
  readonly unique: boolean
  /** One tree for the whole table, in the global area (R21). */
  readonly isAcross: boolean
  /** Whether it holds a stored row, or one that is not stored. */
  readonly holds: (row: number) => boolean
  readonly holdsPlain: (row: PlainRow) => boolean
  /** Of a unique one: appends the index columns of a stored row; false where one of them is null, which is equal to nothing. */
  readonly appendValues: (row: number, into: KeyBuffer) => boolean
}

export function membershipOf(table: TableDescriptor, index: IndexDescriptor, layout: RowLayout, codec: RowCodec): TreeMembership {
  const { on, unique, where } = index
  const conditions = where ?? []
  return {
    movedBy: new Set([...on, ...conditions.map(({ column }) => column)]),
    isPlain: !unique && conditions.length === 0,
    holdsEvery: conditions.length === 0,
    unique,
    isAcross: isAcross(table, index),
    holds: conditions.length === 0 ? everyRow : (row) => conditions.every((one) => isTrue(one, codec.readers[one.column]!(row))),
    holdsPlain: conditions.length === 0 ? everyRow : (row) => conditions.every((one) => isTrue(one, row[table.columns[one.column]!.name])),
    appendValues: valuesOf(on.map((column) => layout.columns[column]!), codec),
  }
}

function isTrue({ value: wanted }: IndexCondition, value: unknown): boolean {
  if (wanted instanceof Uint8Array) return value instanceof Uint8Array && Buffer.compare(value, wanted) === 0
  return value === wanted
}

function valuesOf(columns: readonly ColumnLayout[], codec: RowCodec): (row: number, into: KeyBuffer) => boolean {
  const append = compileEntryKey(columns, codec.memory)
  const nullable = columns.filter((column) => column.nullAt >= 0)
  const { i32 } = codec.memory
  return (row, into) => {
    for (const { nullAt, nullBit } of nullable) if ((i32[row * 2 + nullAt]! & nullBit) !== 0) return false
    append(row, into)
    return true
  }
}
