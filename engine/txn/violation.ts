/**
 * What an error says about a value that broke a rule: the table, the key of the row, the constraint, and the value.
 *
 * Values go into an error as far as somebody reads them: errors travel between threads, and those of calls with an id are recorded.
 */
import { isWellFormed } from '../base/bytes.js'
import { kindOf } from '../base/canonical.js'
import { SluiceError } from '../base/errors.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TableStore } from '../store/table-store.js'

const shownTextMax = 200

/** A value as an error shows it: scalars as they are, a long text cut off, of anything else what it is. */
export function shownValue(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
      return isWellFormed(value) ? shownText(value) : kindOf(value)
    case 'number':
    case 'boolean':
      return value
    case 'bigint':
      return BigInt.asIntN(64, value) === value ? value : kindOf(value)
    default:
      return value === null ? null : kindOf(value)
  }
}

function shownText(text: string): string {
  if (text.length <= shownTextMax) return text
  const isCutInside = (text.charCodeAt(shownTextMax - 1) & 0xfc00) === 0xd800
  return `${text.slice(0, isCutInside ? shownTextMax - 1 : shownTextMax)}…`
}

export function shownRow(row: PlainRow): PlainRow {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, shownValue(value)]))
}

/** The key of a stored row, as users write it. */
export function keyOfRow({ descriptor, codec }: TableStore, row: number): unknown {
  return bareKey(descriptor.key.map((column) => codec.readers[column]!(row)))
}

/** The key of a row that somebody passed, as far as it can be read: undefined where a part of it is missing. */
export function keyOfGiven({ descriptor }: TableStore, row: unknown): unknown {
  try {
    const values = descriptor.key.map((column) => (row as Readonly<Record<string, unknown>>)[descriptor.columns[column]!.name])
    return values.includes(undefined) ? undefined : bareKey(values.map(shownValue))
  } catch {
    return undefined // a getter of the user's, which has said so once already
  }
}

export function bareKey(values: readonly unknown[]): unknown {
  return values.length === 1 ? values[0] : values
}

/** The error of a column with the key of its row, which only the caller knows. Anything else stays as it is. */
export function withKey(error: unknown, key: () => unknown): unknown {
  if (!SluiceError.is(error)) return error
  const { code, message, reason, cause } = error
  if (error.details['column'] === undefined || error.details['key'] !== undefined) return error
  const of = key()
  if (of === undefined) return error
  const { table, ...rest } = error.details
  return SluiceError.of(code, message, { reason, cause, details: { table, key: of, ...rest } })
}
