/**
 * Rows of one layout as rows of another: which column comes from where. For values here, for images in store/row-upcast.ts.
 *
 * Only layouts of one generation are brought together (catalog.ts), and of these every opening has proved that its rows fit
 * (difference.ts): columns have the type that they had, and what is missing has a fill. A value that no longer fits belongs to a row
 * that has changed or gone since.
 */
import { copyCanonical } from '../base/canonical.js'
import { filled, generationOf, type LoggedColumn, type LoggedTable } from './catalog.js'

type Row = Record<string, unknown>
type ColumnShape = Pick<LoggedColumn, 'name' | 'type' | 'nullable' | 'values'>

/** The images of both are the same bytes, and mean the same to the later one: an enum may have got more words at its end. */
export function hasSameLayout(was: { readonly columns: readonly ColumnShape[] }, is: { readonly columns: readonly ColumnShape[] }): boolean {
  return was.columns.length === is.columns.length && was.columns.every((column, n) => isSameColumn(column, is.columns[n]!))
}

function isSameColumn(was: ColumnShape, is: ColumnShape): boolean {
  return was.name === is.name && was.type === is.type && was.nullable === is.nullable && isBeginningOf(was.values ?? [], is.values ?? [])
}

export function isBeginningOf(was: readonly string[], is: readonly string[]): boolean {
  return was.length <= is.length && was.every((word, n) => word === is[n])
}

/** Rows of the one can be read as rows of the other. */
export function areOfOneGeneration(was: LoggedTable, is: LoggedTable): boolean {
  return generationOf(was) === generationOf(is)
}

/** Turns plain rows into such of a later layout; undefined where they are that already. */
export function reshaping(was: { readonly columns: readonly LoggedColumn[] }, is: { readonly columns: readonly LoggedColumn[] }): ((row: Row) => Row) | undefined {
  if (hasSameLayout(was, is)) return undefined
  const known = new Set(was.columns.map(({ name }) => name))
  const columns = is.columns.map((column) => ({ name: column.name, isKnown: known.has(column.name), fill: known.has(column.name) ? undefined : filled(column) }))
  return (row) => {
    const shaped: Row = {}
    for (const { name, isKnown, fill } of columns) shaped[name] = isKnown ? row[name] : isShared(fill) ? copyCanonical(fill) : fill
    return shaped
  }
}

const isShared = (value: unknown): boolean => typeof value === 'object' && value !== null
