/**
 * Values of rows, payloads and results as JSON, without loss, and back (docs/operations.md, "Values as JSON").
 *
 *   what JSON has      as it is
 *   what it lacks      an object with one key: {"$bigint":"12"}, {"$bytes":"AAE="} (base64), {"$date":"2026-01-01T00:00:00.000Z"},
 *                      {"$number":"NaN"}, {"$undefined":true}
 *   an object of the user's that looks like one of those     {"$object":[["$date","..."]]}: its entries
 *
 * One rule for every place, also inside of `json` columns, so that a reader needs no schema.
 */
import { limits } from '../engine/base/limits.js'

/** A value that `JSON.stringify` writes as it is. */
export function jsonOf(value: unknown): unknown {
  switch (typeof value) {
    case 'bigint':
      return { $bigint: String(value) }
    case 'undefined':
      return { $undefined: true }
    case 'number':
      return Number.isFinite(value) ? value : { $number: String(value) }
    case 'object':
      return value === null ? null : jsonOfObject(value)
    default:
      return value
  }
}

function jsonOfObject(value: object): unknown {
  if (Array.isArray(value)) return value.map(jsonOf)
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') }
  if (value instanceof Date) return { $date: value.toISOString() }
  const entries = Object.entries(value).map(([name, one]): [string, unknown] => [name, jsonOf(one)])
  if (entries.length === 1 && entries[0]![0].startsWith('$')) return { $object: entries }
  // Made from entries: a key "__proto__" stays a key.
  return Object.fromEntries(entries)
}

/** Why JSON is no value: it looks like one of the objects above and is none. */
export class ValueJsonError extends Error {
  override readonly name = 'ValueJsonError'
}

/** As deep as plain data may be (engine/base/canonical.ts). */
const depthMax = 512

/** The value whose `jsonOf` this is. Throws a `ValueJsonError`. */
export function valueOfJson(json: unknown, depth = 0): unknown {
  if (typeof json !== 'object' || json === null) return json
  if (depth > depthMax) throw new ValueJsonError(`is nested deeper than ${depthMax}`)
  if (Array.isArray(json)) return json.map((item) => valueOfJson(item, depth + 1))
  const entries = Object.entries(json)
  if (entries.length === 1 && entries[0]![0].startsWith('$')) return valueOfTag(entries[0]![0], entries[0]![1], depth)
  return Object.fromEntries(entries.map(([name, one]) => [name, valueOfJson(one, depth + 1)]))
}

function valueOfTag(tag: string, json: unknown, depth: number): unknown {
  const text = typeof json === 'string' ? json : ''
  switch (tag) {
    case '$bigint':
      if (text.length <= limits.jsonBigintDigitsMax && /^(?:0|-?[1-9][0-9]*)$/.test(text)) return BigInt(text)
      break
    case '$bytes': {
      const bytes = bytesOfBase64(json)
      if (bytes !== undefined) return bytes
      break
    }
    case '$date': {
      const date = new Date(text)
      if (!Number.isNaN(date.getTime()) && date.toISOString() === text) return date
      break
    }
    case '$number':
      if (text === 'Infinity' || text === '-Infinity' || text === 'NaN') return Number(text)
      break
    case '$undefined':
      if (json === true) return undefined
      break
    case '$object':
      if (Array.isArray(json) && json.every((entry) => Array.isArray(entry) && entry.length === 2 && typeof entry[0] === 'string')) {
        return Object.fromEntries((json as [string, unknown][]).map(([name, one]) => [name, valueOfJson(one, depth + 1)]))
      }
      break
  }
  throw new ValueJsonError(`has an object with the one key "${tag.slice(0, 20)}" that is no value: write your own as {"$object":[["${tag.slice(0, 20)}", ...]]}`)
}

/** The one text that is the base64 of bytes, padded and without white space. */
export const base64Pattern = '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$'

export function bytesOfBase64(json: unknown): Uint8Array | undefined {
  if (typeof json !== 'string') return undefined
  // The pattern by comparison: a regular expression over megabytes of text overflows the stack.
  const bytes = Buffer.from(json, 'base64')
  return bytes.toString('base64') === json ? new Uint8Array(bytes) : undefined
}

export function jsonLine(value: object): string {
  return JSON.stringify(value)
}
