/**
 * What users write as a range, as bytes of a tree: `{ prefix, from, after, to, reverse, limit }`.
 *
 * From `from`, or behind the whole key `after`, to before `to`; bounds may be leading columns, and all of them hold together
 * with `prefix`. They mean the low and the high end also in reverse. A bound of one column is given bare, more as an array.
 */
import { SluiceError } from '../base/errors.js'
import { compareKeys, KeyBuffer, prefixEnd } from '../schema/key-codec.js'
import { checkKeyValue } from './staged-key.js'
import type { KeyRange } from './ordered-cursor.js'
import type { TableStore, TreePlan } from './table-store.js'

export interface Bounds {
  readonly range: KeyRange
  readonly limit: number
  /** Leading values that every key in the range has: they may fix the partition. */
  readonly fixed: readonly unknown[]
  readonly isEmpty: boolean
}

const rangeOptions = new Set(['prefix', 'from', 'after', 'to', 'reverse', 'limit'])

/** `own`: how many columns of the tree a bound may name (all of a primary key, the index columns of an index). */
export function boundsOf(table: TableStore, plan: TreePlan, own: number, options: unknown): Bounds {
  const given = optionsOf(table, options)
  const columns = plan.codec.columns.slice(0, own)
  const tuple = (value: unknown, what: string, whole = false): readonly unknown[] | undefined => {
    if (value === undefined) return undefined
    const values = Array.isArray(value) ? (value as readonly unknown[]) : [value]
    if (values.length === 0 || values.length > own || (whole && values.length !== own)) {
      throw refused(table, `${what} names ${whole ? 'all' : 'one to all'} of the columns ${columns.map((c) => c.name).join(', ')}`)
    }
    return values.map((one, n) => checkKeyValue(table.name, columns[n]!, one))
  }
  const prefix = tuple(given['prefix'], 'prefix')
  const from = tuple(given['from'], 'from')
  const after = tuple(given['after'], 'after', true)
  const to = tuple(given['to'], 'to')
  let low: KeyBuffer | undefined
  let high: KeyBuffer | undefined
  const encode = (values: readonly unknown[]): KeyBuffer => {
    const buffer = new KeyBuffer()
    plan.codec.encodePrefix(values, buffer)
    return buffer
  }
  const raise = (buffer: KeyBuffer): void => {
    if (low === undefined || compareKeys(buffer.view(), low.view()) > 0) low = buffer
  }
  const lower = (buffer: KeyBuffer): void => {
    if (high === undefined || compareKeys(buffer.view(), high.view()) < 0) high = buffer
  }
  if (prefix !== undefined) {
    raise(encode(prefix))
    const end = encode(prefix)
    if (prefixEnd(end)) lower(end)
  }
  if (from !== undefined) raise(encode(from))
  let isEmpty = false
  if (after !== undefined) {
    const end = encode(after)
    if (prefixEnd(end)) raise(end)
    else isEmpty = true
  }
  if (to !== undefined) lower(encode(to))
  return {
    range: {
      from: low?.bytes,
      fromLength: low?.length ?? 0,
      fromExclusive: false,
      to: high?.bytes,
      toLength: high?.length ?? 0,
      reverse: flagOf(table, given['reverse']),
    },
    limit: limitOf(table, given['limit']),
    fixed: prefix ?? commonLeading(from ?? after, to),
    isEmpty,
  }
}

/** The bounds of all entries whose index columns have these values. */
export function boundsOfValues(table: TableStore, plan: TreePlan, value: unknown): Bounds {
  const values = plan.own === 1 ? [value] : value
  if (!Array.isArray(values) || values.length !== plan.own) {
    throw refused(table, `index "${plan.name}" takes ${plan.own} values, [${plan.codec.columns.slice(0, plan.own).map((c) => c.name).join(', ')}]`)
  }
  return boundsOfLeading(plan, values.map((one, n) => checkKeyValue(table.name, plan.codec.columns[n]!, one)))
}

/** The bounds of all entries that begin with these values, which the columns can hold. */
export function boundsOfLeading(plan: TreePlan, checked: readonly unknown[], limit = Infinity): Bounds {
  const low = new KeyBuffer()
  plan.codec.encodePrefix(checked, low)
  const high = new KeyBuffer()
  plan.codec.encodePrefix(checked, high)
  const hasHigh = prefixEnd(high)
  return {
    range: { from: low.bytes, fromLength: low.length, fromExclusive: false, to: hasHigh ? high.bytes : undefined, toLength: hasHigh ? high.length : 0, reverse: false },
    limit,
    fixed: checked,
    isEmpty: false,
  }
}

/** Of the values of a unique index. Null is equal to nothing: no row is the one with it. */
export function isNullAmong(values: unknown): boolean {
  return values === null || (Array.isArray(values) && values.includes(null))
}

function commonLeading(from: readonly unknown[] | undefined, to: readonly unknown[] | undefined): readonly unknown[] {
  if (from === undefined || to === undefined) return []
  let n = 0
  // The last value of a bound is no equality: the range starts or ends somewhere among its rows.
  while (n < from.length - 1 && n < to.length - 1 && from[n] === to[n]) n += 1
  return from.slice(0, n)
}

function optionsOf(table: TableStore, options: unknown): Readonly<Record<string, unknown>> {
  if (options === undefined) return {}
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw refused(table, 'a range is an object such as { prefix, from, to, limit }')
  for (const name of Object.keys(options)) {
    if (!rangeOptions.has(name)) throw refused(table, `a range has no option "${name}"; it has ${[...rangeOptions].join(', ')}`)
  }
  return options as Readonly<Record<string, unknown>>
}

function limitOf(table: TableStore, value: unknown): number {
  if (value === undefined) return Infinity
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw refused(table, 'limit is a whole number, 0 or more')
  return value
}
function flagOf(table: TableStore, value: unknown): boolean {
  if (value === undefined) return false
  if (typeof value !== 'boolean') throw refused(table, 'reverse is true or false')
  return value
}
function refused(table: TableStore, what: string): SluiceError {
  return SluiceError.of('INVALID_INPUT', `In a range of "${table.name}", ${what}.`, { details: { table: table.name } })
}

/** An entry of a tree lies between bounds. */
export function isWithin(key: Uint8Array, { range }: Bounds): boolean {
  if (range.from !== undefined && compareKeys(key, range.from.subarray(0, range.fromLength)) < 0) return false
  return range.to === undefined || compareKeys(key, range.to.subarray(0, range.toLength)) < 0
}
