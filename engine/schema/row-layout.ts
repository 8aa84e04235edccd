/**
 * Where the columns of a row lie.
 *
 *   word 0        ts: the batch that wrote the row last
 *   word 1        undo address | flags
 *   word 2 ..     columns: first all of 8 bytes and more, then pairs of 4-byte ones, null bits among them
 *
 *   int f64 timestamp bigint     1 word
 *   uuid                         2 words, 16 bytes
 *   text bytes json              3 words: byte length (and a flag for text beyond ASCII), then 20 bytes in place, or the
 *                                address of a longer value and zeros
 *   bool i32 u32 enum, null bits half a word
 *
 * The order is fixed by the declaration alone, so that the image of a row in the log (its words from 2 on, addresses zeroed,
 * long values behind them) means the same on every thread and in every later life of the database.
 */
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { ColumnDescriptor, ColumnType, TableDescriptor } from './descriptor.js'

export const rowHeaderWords = 2
/** Set in the length of a text that is not pure ASCII. */
export const notAscii = 0x4000_0000
export const lengthMask = 0x3fff_ffff
export const inlineBytesMax = 20
export const varCellWords = 3

export interface ColumnLayout {
  readonly descriptor: ColumnDescriptor
  readonly ordinal: number
  /** Offset of the cell from the row, in 32-bit words. */
  readonly at: number
  /** Offset of the word with the null bit, in 32-bit words, and the bit; -1 where the column is never null. */
  readonly nullAt: number
  readonly nullBit: number
  readonly isVar: boolean
}

export interface RowLayout {
  /** Words of a row, header included. */
  readonly words: number
  readonly columns: readonly ColumnLayout[]
  /** Columns whose value may lie outside of the row. */
  readonly vars: readonly ColumnLayout[]
}

const wordsByType: Readonly<Record<ColumnType, number>> = {
  bool: 0.5, i32: 0.5, u32: 0.5, enum: 0.5, int: 1, f64: 1, bigint: 1, timestamp: 1, uuid: 2, text: varCellWords, bytes: varCellWords, json: varCellWords,
}

export function layoutOf(table: TableDescriptor): RowLayout {
  const at = new Map<number, number>()
  let next = rowHeaderWords * 2
  const place = (half: boolean): void => {
    table.columns.forEach((column, ordinal) => {
      const words = wordsByType[column.type]
      if ((words === 0.5) !== half) return
      at.set(ordinal, next)
      next += words * 2
    })
  }
  place(false)
  const nullable = table.columns.flatMap((column, ordinal) => (column.nullable ? [ordinal] : []))
  const nullsAt = next
  next += Math.ceil(nullable.length / 32)
  place(true)
  const columns = table.columns.map((descriptor, ordinal): ColumnLayout => {
    const bit = nullable.indexOf(ordinal)
    return {
      descriptor,
      ordinal,
      at: at.get(ordinal)!,
      nullAt: bit < 0 ? -1 : nullsAt + (bit >>> 5),
      nullBit: bit < 0 ? 0 : 1 << (bit & 31),
      isVar: wordsByType[descriptor.type] === varCellWords,
    }
  })
  const words = (next + 1) >>> 1
  if (words * 8 > limits.rowBytesMax) {
    throw SluiceError.of('INVALID_DEFINITION', `A row of "${table.name}" takes ${words * 8} bytes, more than ${limits.rowBytesMax}: move columns to a table of their own.`)
  }
  return { words, columns, vars: columns.filter((column) => column.isVar) }
}
