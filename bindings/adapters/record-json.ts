/**
 * Records and keys as JSON, by their columns, in both directions.
 *
 *   bigint      "12"        decimal text: JSON numbers lose digits above 2^53
 *   bytes       "AAE="      base64, padded
 *   timestamp   a number    milliseconds since 1970, as everywhere
 *   f64         a number, or "Infinity", "-Infinity"
 *   json        as it is; what JSON lacks has a tag (bindings/value-json.ts)
 *   the rest    as it is
 *
 * What comes in and is none of these is handed on untouched: the engine refuses it by its own checks, with its own words. Only text
 * that should have been a bigint or bytes is refused here, because the engine would ask for what JSON does not have.
 *
 * In an address a key is one text per column: `?key=ann&key=7`.
 */
import { SluiceError } from '../../engine/base/errors.js'
import type { ColumnDescription } from '../describe/description.js'
import { bytesOfBase64, jsonOf, ValueJsonError, valueOfJson } from '../value-json.js'

export const bigintText = /^(?:0|-?[1-9][0-9]{0,18})$/
const numberText = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/

export type ColumnsByName = ReadonlyMap<string, ColumnDescription>

export const columnsByName = (columns: readonly ColumnDescription[]): ColumnsByName => new Map(columns.map((column) => [column.name, column]))

// ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The input that JSON stands for; unknown names stay, for the engine to refuse. `what` begins messages. */
export function recordOfJson(columns: ColumnsByName, json: unknown, what: string): unknown {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return json
  // Made from entries: a key "__proto__" stays a key.
  return Object.fromEntries(
    Object.entries(json).map(([name, value]): [string, unknown] => {
      const column = columns.get(name)
      return [name, column === undefined ? value : valueOf(column, value, what)]
    }),
  )
}

function valueOf(column: ColumnDescription, json: unknown, what: string): unknown {
  switch (column.type) {
    case 'bigint':
      if (typeof json !== 'string') return json
      return bigintText.test(json) ? BigInt(json) : refuse(column, what, 'must be a whole number of 64 bits as decimal text, like "12"')
    case 'bytes':
      if (typeof json !== 'string') return json
      return bytesOfBase64(json) ?? refuse(column, what, 'must be bytes as base64 with padding, like "AAE="')
    case 'f64':
      return json === 'Infinity' || json === '-Infinity' ? Number(json) : json
    case 'json':
      try {
        return valueOfJson(json) ?? (json === null ? null : refuse(column, what, 'is undefined: leave it out'))
      } catch (error) {
        if (error instanceof ValueJsonError) return refuse(column, what, error.message)
        throw error
      }
    default:
      return json
  }
}

/** A value of a key or of a range, from the text of an address. */
export function valueOfText(column: ColumnDescription, text: string, what: string): unknown {
  switch (column.type) {
    case 'bool':
      return text === 'true' ? true : text === 'false' ? false : refuse(column, what, 'must be true or false')
    case 'i32': case 'u32': case 'int': case 'timestamp': case 'f64':
      if (column.type === 'f64' && (text === 'Infinity' || text === '-Infinity')) return Number(text)
      return numberText.test(text) ? Number(text) : refuse(column, what, 'must be a number')
    default:
      return valueOf(column, text, what)
  }
}

function refuse(column: ColumnDescription, what: string, problem: string): never {
  throw SluiceError.of('INVALID_INPUT', `${what}: "${column.name}" ${problem}.`, { details: { field: column.name, rule: 'type' } })
}

// ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────

export function jsonOfRecord(columns: ColumnsByName, record: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(record).map(([name, value]): [string, unknown] => [name, jsonOfValue(columns.get(name), value)]))
}

/** A key as users hold it: bare for one column, a list for several. */
export function jsonOfKey(key: readonly ColumnDescription[], value: unknown): unknown {
  if (key.length === 1) return jsonOfValue(key[0], value)
  return (value as readonly unknown[]).map((part, place) => jsonOfValue(key[place], part))
}

function jsonOfValue(column: ColumnDescription | undefined, value: unknown): unknown {
  if (column === undefined || column.type === 'json') return jsonOf(value)
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

/** What `valueOfText` reads again. */
export const textOfValue = (column: ColumnDescription, value: unknown): string => String(jsonOfValue(column, value))
