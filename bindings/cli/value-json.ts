/**
 * Values of rows, payloads and results as JSON, without loss (docs/operations.md, "Values as JSON").
 *
 *   what JSON has      as it is
 *   what it lacks      an object with one key: {"$bigint":"12"}, {"$bytes":"AAE="} (base64), {"$date":"2026-01-01T00:00:00.000Z"},
 *                      {"$number":"NaN"}, {"$undefined":true}
 *   an object of the user's that looks like one of those     {"$object":[["$date","..."]]}: its entries
 *
 * One rule for every place, also inside of `json` columns, so that a reader needs no schema.
 */

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

export function jsonLine(value: object): string {
  return JSON.stringify(value)
}
