/**
 * The ranges of a tree that a way to rows asks for, in the order in which they are read.
 *
 * What a tree can be asked for ends below its upper bound, and a bound of an index names no key. So `lte` is two ranges: below the
 * value, and the rows that have it. And a page after a row of an index is two: the rest of those with the row's values, of which the
 * comparison in the query leaves out what was before, and what comes behind them.
 *
 * Bounds may let in more than the conditions do, never less: the filter of the step tests what is not exact.
 */
import { isKeyValue, type TableDescriptor } from '../engine/index.js'
import type { Access, PathBound } from './access-path.js'
import type { Slots } from './compile-query.js'
import type { Order } from './resolved-query.js'

export interface Cursor {
  /** The slots of the order hold the row after which the page begins. */
  readonly slots: Slots
  readonly orderBy: readonly Order[]
}

export interface TreeRange {
  readonly range: { readonly prefix?: readonly unknown[]; readonly from?: readonly unknown[]; readonly after?: readonly unknown[]; readonly to?: readonly unknown[]; readonly reverse?: true }
  /** Every row of it counts, so a limit may be passed on. */
  readonly mayBeCut: boolean
}

type RangeAccess = Extract<Access, { readonly is: 'range' }>

interface Bound {
  readonly values: readonly unknown[]
  readonly isOpen: boolean
}

export function rangesOf(access: RangeAccess, table: TableDescriptor, slots: Slots, cursor: Cursor | undefined): readonly TreeRange[] {
  const { tree, isReverse } = access
  const column = (n: number) => table.columns[tree.columns[n]!]!
  const prefix: unknown[] = []
  for (const [n, operand] of access.prefix.entries()) {
    const value = operand.is === 'term' ? slots[operand.term.slot] : null
    // Nothing equals null, or what the column cannot hold.
    if (operand.is === 'term' && (value === null || !isKeyValue(column(n), value))) return []
    prefix.push(value)
  }
  const boundOf = (bound: PathBound | undefined): Bound | undefined | 'nothing' => {
    if (bound === undefined) return undefined
    const value = slots[bound.term.slot]
    if (value === null) return 'nothing'
    return isKeyValue(column(prefix.length), value) ? { values: [...prefix, value], isOpen: bound.isOpen } : undefined
  }
  const low = boundOf(access.low)
  const high = boundOf(access.high)
  if (low === 'nothing' || high === 'nothing') return []
  const start = cursor === undefined ? undefined : placeOf(access, table, prefix, cursor)
  if (start === undefined) {
    const all = between(access, prefix, low, high)
    // The order of a page is another one than the tree's to its end: rows from before the page are read, too, and do not count.
    return cursor === undefined ? all : all.map(({ range }) => ({ range, mayBeCut: false }))
  }
  // The row after which a page begins was found by the same conditions, so it is the closer bound on its side.
  const place: Bound = { values: start, isOpen: true }
  const beyond = isReverse ? between(access, prefix, low, place) : between(access, prefix, place, high)
  if (tree.name === '') return beyond
  return [{ range: { prefix: start, ...(isReverse ? { reverse: true } : {}) }, mayBeCut: false }, ...beyond]
}

function between({ tree, isReverse }: RangeAccess, prefix: readonly unknown[], low: Bound | undefined, high: Bound | undefined): readonly TreeRange[] {
  const base = { ...(prefix.length === 0 ? {} : { prefix }), ...(isReverse ? ({ reverse: true } as const) : {}) }
  const isAfter = low !== undefined && low.isOpen && low.values.length === tree.own
  const from = low === undefined ? {} : isAfter ? { after: low.values } : { from: low.values }
  if (high === undefined || high.isOpen) return [{ range: { ...base, ...from, ...(high === undefined ? {} : { to: high.values }) }, mayBeCut: true }]
  const below: TreeRange = { range: { ...base, ...from, to: high.values }, mayBeCut: true }
  const at: TreeRange = { range: { ...base, ...from, prefix: high.values }, mayBeCut: true }
  return isReverse ? [at, below] : [below, at]
}

/** Where a page begins in the tree: the values that a bound may name; undefined where its order is another one. */
function placeOf({ tree }: RangeAccess, table: TableDescriptor, prefix: readonly unknown[], { slots, orderBy }: Cursor): readonly unknown[] | undefined {
  const place = [...prefix]
  for (let n = prefix.length; n < tree.own; n += 1) {
    const order = orderBy.find(({ term }) => term.kind === 'column' && term.column === tree.columns[n])
    if (order === undefined) return undefined
    const value = slots[order.term.slot]
    const column = table.columns[tree.columns[n]!]!
    if (!(value === null ? column.nullable : isKeyValue(column, value))) return undefined
    place.push(value)
  }
  return place
}
