/**
 * JSON Schema (2020-12) of inputs, rows and payloads as they travel over HTTP (bindings/adapters/record-json.ts).
 *
 * What a schema accepts the engine accepts, and the other way round, with the exceptions that no schema can say:
 *   - rules that are functions: named checks, schemas of `json` columns; they are listed as `x-checks` and `x-schema`;
 *   - `maxLength` of text counts UTF-16 code units here and characters in JSON Schema: they differ beyond U+FFFF;
 *   - text must be well-formed Unicode (RFC 7493): no half of a surrogate pair;
 *   - patterns with flags other than `u` have no spelling there and stand as `x-pattern`;
 *   - dates that no calendar has;
 *   - inputs have at most 4 MiB, and `json` is nested at most 512 deep.
 * test/http/json-schema.test.ts compares both on random values.
 */
import { limits } from '../../engine/base/limits.js'
import { base64Pattern } from '../value-json.js'
import type { ColumnDescription, Description } from './description.js'

/** A schema, or a part of one: keywords by name. */
export type JsonSchema = Readonly<Record<string, unknown>>

const dialect = 'https://json-schema.org/draft/2020-12/schema'
const i64Min = -(2n ** 63n)
const i64Max = 2n ** 63n - 1n
const timestampMax = 8.64e15
const uuidPattern = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
/** As `Date.prototype.toISOString` writes it. */
const datePattern = '^(?:[0-9]{4}|[+-][0-9]{6})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$'
const jsonName = 'Json'
const bigintName = 'Bigint'

/**
 * The schemas of an application, as one document: under `$defs` stand `bank.transfer.input` for each procedure, `bank.account.row` (as
 * read) and `bank.account.newRow` (as written) for each table, `bank.transferred.payload` for each event; `Json`, any plain data, and
 * `Bigint`, 64 bits, for those to refer to.
 */
export function jsonSchemas(description: Description): JsonSchema {
  return { $schema: dialect, $defs: schemasOf(description, '#/$defs/') }
}

/** The same by name; `at` is where they will stand. */
export function schemasOf(description: Description, at: string): Readonly<Record<string, JsonSchema>> {
  const schemas: [string, JsonSchema][] = [[jsonName, anyJson(at)], [bigintName, decimal(i64Min, i64Max)]]
  for (const { name, input } of description.procedures) schemas.push([`${name}.input`, writtenRecord(input, at)])
  for (const { name, columns } of description.tables) {
    schemas.push([`${name}.row`, readRecord(columns, at)], [`${name}.newRow`, writtenRecord(columns, at)])
  }
  for (const { name, columns } of description.events) schemas.push([`${name}.payload`, readRecord(columns, at)])
  return Object.fromEntries(schemas)
}

/** As written: what is nullable, defaulted or generated may be left out, and nothing else may be there. */
function writtenRecord(columns: readonly ColumnDescription[], at: string): JsonSchema {
  return record(columns, columns.filter((column) => !column.optional), at)
}

/** As read: every column, always there. */
function readRecord(columns: readonly ColumnDescription[], at: string): JsonSchema {
  return record(columns, columns, at)
}

function record(columns: readonly ColumnDescription[], required: readonly ColumnDescription[], at: string): JsonSchema {
  return {
    type: 'object',
    properties: Object.fromEntries(columns.map((column) => [column.name, columnSchema(column, at)])),
    required: required.map((column) => column.name),
    additionalProperties: false,
  }
}

export function columnSchema(column: ColumnDescription, at: string): JsonSchema {
  const notes = {
    ...(column.generated && { description: 'Drawn by the database when left out.' }),
    ...(column.checks.length > 0 && { 'x-checks': column.checks }),
    ...(column.hasSchema && { 'x-schema': true }),
  }
  const value = valueSchema(column, at)
  const isNullable = column.nullable && column.type !== 'json'
  return { ...(isNullable ? { anyOf: [value, { type: 'null' }] } : value), ...notes }
}

function valueSchema(column: ColumnDescription, at: string): JsonSchema {
  switch (column.type) {
    case 'bool':
      return { type: 'boolean' }
    case 'i32':
      return whole(column, -(2 ** 31), 2 ** 31 - 1)
    case 'u32':
      return whole(column, 0, 2 ** 32 - 1)
    case 'int':
      return whole(column, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    case 'timestamp':
      return { ...whole(column, -timestampMax, timestampMax), description: 'Milliseconds since 1970-01-01T00:00:00Z.' }
    case 'f64':
      return floating(column)
    case 'bigint':
      return column.min === undefined && column.max === undefined ? { $ref: `${at}${bigintName}` } : decimal(lowestOf(column), highestOf(column))
    case 'text':
      return { type: 'string', ...textRules(column) }
    case 'uuid':
      return { type: 'string', format: 'uuid', ...textRules(column, uuidPattern) }
    case 'enum':
      return { enum: column.values ?? [], ...textRules(column) }
    case 'bytes':
      return { type: 'string', contentEncoding: 'base64', pattern: base64Pattern, ...bytesRules(column) }
    case 'json':
      // As a whole it would be leaving the column out, which one says by leaving it out.
      return { $ref: `${at}${jsonName}`, not: { required: ['$undefined'], maxProperties: 1, type: 'object' } }
  }
}

const decimal = (low: bigint, high: bigint): JsonSchema => ({ type: 'string', pattern: decimalPattern(low, high), description: 'A whole number of 64 bits, in decimal.' })
const lowestOf = ({ min }: ColumnDescription): bigint => (typeof min === 'bigint' && min > i64Min ? min : i64Min)
const highestOf = ({ max }: ColumnDescription): bigint => (typeof max === 'bigint' && max < i64Max ? max : i64Max)

function whole({ min, max, positive }: ColumnDescription, least: number, most: number): JsonSchema {
  return { type: 'integer', minimum: Math.max(Number(min ?? -Infinity), least, positive ? 1 : -Infinity), maximum: Math.min(Number(max ?? Infinity), most) }
}

/** The infinities are text, where the bounds let them through. */
function floating({ min, max, positive }: ColumnDescription): JsonSchema {
  const low = Number(min ?? -Infinity)
  const high = Number(max ?? Infinity)
  const number = {
    type: 'number',
    ...(Number.isFinite(low) && { minimum: low }),
    ...(Number.isFinite(high) && { maximum: high }),
    ...(positive && { exclusiveMinimum: 0 }),
  }
  const infinities = [...(high === Infinity ? ['Infinity'] : []), ...(low === -Infinity && !positive ? ['-Infinity'] : [])]
  return infinities.length === 0 ? number : { anyOf: [number, { enum: infinities }] }
}

function textRules({ notBlank, maxLength, pattern }: ColumnDescription, own?: string): JsonSchema {
  const isPlain = pattern !== undefined && (pattern.flags === '' || pattern.flags === 'u') && isUnicodePattern(pattern.source)
  const patterns = [...(own === undefined ? [] : [own]), ...(notBlank ? ['\\S'] : []), ...(isPlain ? [pattern.source] : [])]
  return {
    ...(patterns.length === 1 && { pattern: patterns[0] }),
    ...(patterns.length > 1 && { allOf: patterns.map((one) => ({ pattern: one })) }),
    ...(maxLength !== undefined && { maxLength }),
    ...(pattern !== undefined && !isPlain && { 'x-pattern': `/${pattern.source}/${pattern.flags}` }),
  }
}

/** JSON Schema reads patterns with the flag `u`, which refuses some that are fine without it. */
function isUnicodePattern(source: string): boolean {
  try {
    new RegExp(source, 'u')
    return true
  } catch {
    return false
  }
}

/** n bytes are groups of four characters for each three; at the longest length the padding says whether there is a byte too many. */
function bytesRules({ maxLength }: ColumnDescription): JsonSchema {
  if (maxLength === undefined) return {}
  const fullGroups = Math.floor(maxLength / 3) * 4
  const rest = maxLength % 3
  if (rest === 0) return { maxLength: fullGroups }
  return { maxLength: fullGroups + 4, anyOf: [{ maxLength: fullGroups }, { pattern: rest === 1 ? '==$' : '=$' }] }
}

/** Any plain data, as bindings/value-json.ts writes it. */
function anyJson(at: string): JsonSchema {
  const self = { $ref: `${at}${jsonName}` }
  const tag = (name: string, value: JsonSchema): JsonSchema => ({ type: 'object', properties: { [name]: value }, required: [name], additionalProperties: false })
  return {
    description: 'Any plain data. What JSON lacks is an object with one key that begins with $.',
    anyOf: [
      { type: ['null', 'boolean', 'number', 'string'] },
      { type: 'array', items: self },
      { type: 'object', additionalProperties: self, not: { minProperties: 1, maxProperties: 1, propertyNames: { pattern: '^\\$' } } },
      tag('$bigint', { type: 'string', pattern: '^(?:0|-?[1-9][0-9]*)$', maxLength: limits.jsonBigintDigitsMax }),
      tag('$bytes', { type: 'string', contentEncoding: 'base64', pattern: base64Pattern }),
      tag('$date', { type: 'string', pattern: datePattern }),
      tag('$number', { enum: ['Infinity', '-Infinity'] }),
      tag('$undefined', { const: true }),
      tag('$object', { type: 'array', items: { type: 'array', prefixItems: [{ type: 'string' }, self], minItems: 2, maxItems: 2 } }),
    ],
  }
}

// ── decimal numbers of a range, as a pattern ──────────────────────────────────────────────────────────────────

/** Matches the decimal text of the whole numbers from `low` to `high`, and nothing else. */
export function decimalPattern(low: bigint, high: bigint): string {
  const positive = high < 0n ? [] : wholes(low < 0n ? 0n : low, high)
  const negative = low >= 0n ? [] : wholes(high < 0n ? -high : 1n, -low).map((one) => `-${one}`)
  return `^(?:${[...negative, ...positive].join('|')})$`
}

/** Patterns for 0 <= low <= high, number of digits by number of digits. */
function wholes(low: bigint, high: bigint): string[] {
  const patterns: string[] = []
  for (let digits = String(low).length; digits <= String(high).length; digits += 1) {
    const least = digits === 1 ? 0n : 10n ** BigInt(digits - 1)
    const most = 10n ** BigInt(digits) - 1n
    patterns.push(...between(String(low > least ? low : least), String(high < most ? high : most)))
  }
  return patterns
}

/** Patterns for the numbers from `low` to `high`, which have the same number of digits. */
function between(low: string, high: string): string[] {
  const rest = low.length - 1
  const isOpen = /^0*$/.test(low.slice(1)) && /^9*$/.test(high.slice(1))
  if (isOpen) return [digit(Number(low[0]), Number(high[0])) + anyDigits(rest)]
  const [first, last] = [Number(low[0]), Number(high[0])]
  if (first === last) return between(low.slice(1), high.slice(1)).map((one) => low[0] + one)
  const begins = between(low.slice(1), '9'.repeat(rest)).map((one) => low[0] + one)
  const ends = between('0'.repeat(rest), high.slice(1)).map((one) => high[0] + one)
  const middle = first + 1 <= last - 1 ? [digit(first + 1, last - 1) + anyDigits(rest)] : []
  return [...begins, ...middle, ...ends]
}

const digit = (from: number, to: number): string => (from === to ? String(from) : `[${from}-${to}]`)
const anyDigits = (count: number): string => (count === 0 ? '' : `[0-9]{${count}}`)
