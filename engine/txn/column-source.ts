/**
 * What generated code says about one column: whether a value can be taken as it is, and how it gets into its cell.
 *
 * Used by the setters of accessors and by what rows are written with, so that both take and store the same.
 */
import { i32Max, i32Min, timestampMax, u32Max } from '../schema/column-check.js'
import type { ColumnDescriptor } from '../schema/descriptor.js'
import type { ColumnLayout } from '../schema/row-layout.js'
import { cellInts } from '../store/row-codec.js'
import type { TableStore } from '../store/table-store.js'

/**
 * The expression under which `v` passes type and bounds of a column; null has been looked at before. Undefined: the validator
 * decides. The type comes first, for a bigint in an expression with a number throws an error of the language, which dooms nothing.
 */
export function acceptTest(column: ColumnDescriptor, v: string, hasChecks: boolean): string | undefined {
  if (hasChecks || column.notBlank === true || column.maxLength !== undefined || column.pattern !== undefined) return undefined
  switch (column.type) {
    case 'bool':
      return `typeof ${v} === 'boolean'`
    case 'i32':
      return `typeof ${v} === 'number' && (${v} | 0) === ${v}${within(column, v, i32Min, i32Max)}`
    case 'u32':
      return `typeof ${v} === 'number' && ${v} >>> 0 === ${v}${within(column, v, 0, u32Max)}`
    case 'int':
      return `typeof ${v} === 'number' && isInteger(${v}) && ${v} >= ${lowOf(column, Number.MIN_SAFE_INTEGER)} && ${v} <= ${highOf(column, Number.MAX_SAFE_INTEGER)}`
    case 'timestamp':
      return `typeof ${v} === 'number' && isInteger(${v}) && ${v} >= ${lowOf(column, -timestampMax)} && ${v} <= ${highOf(column, timestampMax)}`
    case 'f64':
      return column.positive === true ? undefined : `typeof ${v} === 'number' && ${v} === ${v}${within(column, v, -Infinity, Infinity)}`
    case 'text':
      return `typeof ${v} === 'string' && isWellFormed(${v})`
    default:
      return undefined
  }
}

function lowOf(column: ColumnDescriptor, least: number): number {
  return Math.max(least, Number(column.min ?? least), column.positive === true ? 1 : least)
}
function highOf(column: ColumnDescriptor, most: number): number {
  return Math.min(most, Number(column.max ?? most))
}

/** The bounds that the type alone does not give. */
function within(column: ColumnDescriptor, v: string, least: number, most: number): string {
  const low = lowOf(column, least)
  const high = highOf(column, most)
  return (low > least ? ` && ${v} >= ${low}` : '') + (high < most ? ` && ${v} <= ${high}` : '')
}

/** Cells of one size that stand in the row and in no tree: storing one needs nothing but a row that was touched. */
export function isDirect(column: ColumnLayout, table: TableStore): boolean {
  return !column.isVar && column.descriptor.type !== 'uuid' && !table.indexed.has(column.ordinal)
}

/** Stores an accepted value, or null, in a row of the region. `row`: an expression for its address. */
export function storeStatement(column: ColumnLayout, row: string, v: string): string {
  const bare = cellStore(column, 'i32', 'f64', 'i64', row, v)
  if (column.nullAt < 0) return bare
  const nulls = `i32[${row} * 2 + ${column.nullAt}]`
  const zeros = Array.from({ length: cellInts(column) }, (_, n) => `i32[${row} * 2 + ${column.at + n}] = 0`).join('; ')
  return `if (${v} === null) { ${nulls} |= ${column.nullBit}; ${zeros} } else { ${nulls} &= ${~column.nullBit}; ${bare} }`
}

/** Stores a value of fixed size. Without a row, the arrays are those of a staging image. */
export function cellStore(column: ColumnLayout, i32: string, f64: string, i64: string, row: string, v: string): string {
  const word = row === '' ? `${column.at >>> 1}` : `${row} + ${column.at >>> 1}`
  const int = row === '' ? `${column.at}` : `${row} * 2 + ${column.at}`
  switch (column.descriptor.type) {
    case 'int':
    case 'f64':
    case 'timestamp':
      return `${f64}[${word}] = ${v} + 0` // -0 is stored as 0 (R31)
    case 'bigint':
      return `${i64}[${word}] = ${v}`
    case 'bool':
      return `${i32}[${int}] = ${v} ? 1 : 0`
    case 'enum':
      return `${i32}[${int}] = places${column.ordinal}.get(${v})`
    default:
      return `${i32}[${int}] = ${v}` // an array of 32-bit integers keeps the low 32 bits: u32 needs no more
  }
}
