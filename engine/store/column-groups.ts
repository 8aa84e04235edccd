/**
 * The columns of a row as groups that do not conflict with one another: one bit each.
 *
 * A transaction that read one column does not mind that another one of the row was written. Every column is a group of its
 * own; a table with more than 31 of them lets the rest share the last one. The sign bit is the existence of the row: to ask
 * whether there is one reads it, an insert or a delete writes it with all others.
 *
 * What a transaction wrote is found by comparing the row with its image before, so a column that was set to what it held is
 * not written. Two columns may share a word of a row, and null bits of several stand in one: comparing goes by 32-bit words and,
 * where they hold null bits, by bits.
 */
import { type RowLayout, rowHeaderWords } from '../schema/row-layout.js'
import { cellInts } from './row-codec.js'

export const existence: number = 1 << 31
/** All columns, and that the row exists. */
export const wholeRow = -1
const lastGroup = 30

interface NullBit {
  readonly bit: number
  readonly group: number
}

export class ColumnGroups {
  /** By ordinal: the bit of a column. */
  readonly ofColumn: Int32Array
  readonly #ofInt: Int32Array
  readonly #nulls: readonly (readonly NullBit[] | undefined)[]
  readonly #from = rowHeaderWords * 2
  readonly #to: number

  constructor(layout: RowLayout) {
    this.#to = layout.words * 2
    this.ofColumn = Int32Array.from(layout.columns, ({ ordinal }) => 1 << Math.min(ordinal, lastGroup))
    this.#ofInt = new Int32Array(this.#to)
    const nulls: NullBit[][] = []
    for (const column of layout.columns) {
      const group = this.ofColumn[column.ordinal]!
      for (let n = 0; n < cellInts(column); n += 1) this.#ofInt[column.at + n] = group
      if (column.nullAt >= 0) (nulls[column.nullAt] ??= []).push({ bit: column.nullBit, group })
    }
    this.#nulls = nulls
  }

  /** The groups in which two images of a row differ. Indexes count 32-bit words and stand at the header. */
  changed(a: Int32Array, aAt: number, b: Int32Array, bAt: number): number {
    let groups = 0
    for (let n = this.#from; n < this.#to; n += 1) {
      const difference = a[aAt + n]! ^ b[bAt + n]!
      if (difference === 0) continue
      groups |= this.#ofInt[n]!
      const nulls = this.#nulls[n]
      if (nulls === undefined) continue
      for (const { bit, group } of nulls) if ((difference & bit) !== 0) groups |= group
    }
    return groups
  }
}

/** What stands for a key that no row has, beside addresses of rows: never positive. Keys may share one. */
export function absentKey(table: number, hash: number): number {
  return Math.imul(hash ^ Math.imul(table + 1, 0x9e3779b1), 0x85ebca6b) | existence
}
