/**
 * From columns by name to the descriptors and rules of the engine, checked on the way.
 *
 * The default of a column must obey the column's own rules: a default is stored without being looked at
 * again.
 */
import { limits } from '../../engine/base/limits.js'
import type { ColumnCheck, ColumnDescriptor, ColumnRules, JsonCheck } from '../../engine/schema/descriptor.js'
import { columnDefinitions, type ColumnDefinition } from './column.js'
import { checkName, entriesOf, invalidDefinition, shown } from './definition.js'
import { isBytes, isWellFormed, plainCopy } from './plain.js'

export interface LoweredColumns extends ColumnRules {
  readonly columns: readonly ColumnDescriptor[]
  readonly definitions: readonly ColumnDefinition[]
}

/** Where the columns stand: some modifiers mean something in stored rows only. */
export type ColumnsUse = 'table' | 'record'

export const noColumns: LoweredColumns = { columns: [], definitions: [], checks: [], json: [] }

export function lowerColumns(columns: unknown, what: string, use: ColumnsUse): LoweredColumns {
  const entries = entriesOf(columns, `The columns of ${what}`)
  if (entries.length > limits.columnsMax) {
    throw invalidDefinition(`${what} has ${entries.length} columns; at most ${limits.columnsMax} are possible.`)
  }
  const descriptors: ColumnDescriptor[] = []
  const definitions: ColumnDefinition[] = []
  const checks: ColumnCheck[] = []
  const json: JsonCheck[] = []
  entries.forEach(([name, value], ordinal) => {
    checkName(name, `a column of ${what}`)
    const definition = columnDefinitions.of(value)
    if (definition === undefined) {
      throw invalidDefinition(
        `Column '${name}' of ${what} must be made by column.text(), column.int() and so on, not ${shown(value)}.`,
      )
    }
    const column = `column '${name}' of ${what}`
    if (use === 'record') refuseStoredOnly(definition, column)
    descriptors.push(describe(name, definition, column))
    definitions.push(definition)
    for (const check of definition.checks) checks.push({ column: ordinal, ...check })
    if (definition.validate !== undefined) json.push({ column: ordinal, validate: definition.validate })
  })
  return { columns: descriptors, definitions, checks, json }
}

function refuseStoredOnly(definition: ColumnDefinition, column: string): void {
  const modifier = definition.generated
    ? 'generated'
    : definition.unique
      ? 'unique'
      : definition.references.length > 0
        ? 'references'
        : undefined
  if (modifier === undefined) return
  throw invalidDefinition(`${modifier}() of ${column} means something in a table only: leave it out here.`)
}

function describe(name: string, definition: ColumnDefinition, column: string): ColumnDescriptor {
  const { type, nullable, values, generated, unique, min, max, positive, notBlank, maxLength, pattern } = definition
  if (min !== undefined && max !== undefined && min > max) {
    throw invalidDefinition(`No value fits ${column}: its min is ${min} and its max is ${max}.`)
  }
  for (const bound of [min, max]) {
    const wrong =
      bound === undefined || Math.abs(Number(bound)) === Infinity ? undefined : wrongType(definition, bound)
    if (wrong !== undefined) throw invalidDefinition(`A bound of ${column} is ${shown(bound)}, which ${wrong}.`)
  }
  const names = new Set(definition.checks.map((check) => check.name))
  if (names.size !== definition.checks.length)
    throw invalidDefinition(`Two checks of ${column} have the same name.`)
  if (generated && (definition.default !== undefined || nullable)) {
    throw invalidDefinition(`${column} is generated, so it is never left empty: drop nullable() and default().`)
  }
  return {
    name,
    type,
    nullable,
    ...(values && { values }),
    ...defaultOf(definition, column),
    ...(generated && { generated }),
    ...(unique && { unique }),
    ...(min !== undefined && { min }),
    ...(max !== undefined && { max }),
    ...(positive && { positive }),
    ...(notBlank && { notBlank }),
    ...(maxLength !== undefined && { maxLength }),
    ...(pattern && { pattern }),
  }
}

function defaultOf(definition: ColumnDefinition, column: string): { default?: unknown } {
  if (definition.default === undefined) return {}
  const { value } = definition.default
  if (value === null && definition.nullable) return {} // left out is null anyway
  if (value === null && definition.type !== 'json') {
    throw invalidDefinition(`The default of ${column} is null: say nullable(), or give a value.`)
  }
  if (definition.type === 'json') return { default: jsonDefault(definition, value, column) }
  const wrong = wrongValue(definition, value)
  if (wrong !== undefined) throw invalidDefinition(`The default of ${column} is ${shown(value)}, which ${wrong}.`)
  if (isBytes(value)) return { default: Uint8Array.from(value) }
  return { default: value === 0 ? 0 : value } // -0 is stored as 0 (R31)
}

function jsonDefault(definition: ColumnDefinition, value: unknown, column: string): unknown {
  const checked = definition.validate === undefined ? value : validated(definition.validate, value, column)
  const plain = plainCopy(checked)
  if ('wrong' in plain) {
    throw invalidDefinition(
      `The default of ${column} is no plain data (${plain.wrong}): use JSON, bigint, bytes or dates.`,
    )
  }
  const failed = definition.checks.find((check) => !passes(check, plain.copy))
  if (failed) throw invalidDefinition(`The default of ${column} does not pass its check '${failed.name}'.`)
  return plain.copy
}

/**
 * A stored row is written again by `put`, so what the schema answers must itself pass: defaults go the same
 * way.
 */
function validated(validate: (value: unknown) => unknown, value: unknown, column: string): unknown {
  let answer: {
    readonly then?: unknown
    readonly issues?: readonly { readonly message?: unknown }[]
    readonly value?: unknown
  }
  try {
    answer = validate(value) as typeof answer
  } catch (cause) {
    throw invalidDefinition(`The schema of ${column} threw when it saw the default: see cause.`, undefined, cause)
  }
  if (typeof answer.then === 'function') {
    throw invalidDefinition(
      `The schema of ${column} is asynchronous: procedures are synchronous, and so is what checks their data.`,
    )
  }
  if (answer.issues === undefined) return answer.value
  const message = answer.issues[0]?.message
  const why = typeof message === 'string' ? `: ${message}` : ''
  throw invalidDefinition(`The default of ${column} does not pass its own schema${why}.`)
}

function passes(check: ColumnDefinition['checks'][number], value: unknown): boolean {
  try {
    return check.holds(value as never)
  } catch (cause) {
    throw invalidDefinition(
      `Check '${check.name}' threw when it saw the value of a definition: see cause.`,
      undefined,
      cause,
    )
  }
}

const dateMsMax = 8.64e15
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Why `value` is none of the column's type, as the end of a sentence; undefined when it is. */
export function wrongType({ type, values }: ColumnDefinition, value: unknown): string | undefined {
  const unless = (holds: boolean, sentence: string) => (holds ? undefined : sentence)
  switch (type) {
    case 'bool':
      return unless(typeof value === 'boolean', 'is neither true nor false')
    case 'i32':
      return unless(
        Number.isInteger(value) && (value as number) === (value as number) >> 0,
        'is no whole number of 32 bits',
      )
    case 'u32':
      return unless(
        Number.isInteger(value) && (value as number) === (value as number) >>> 0,
        'is no whole number of 32 bits from 0',
      )
    case 'int':
      return unless(Number.isSafeInteger(value), 'is no whole number of 53 bits')
    case 'f64':
      return unless(typeof value === 'number' && !Number.isNaN(value), 'is no number')
    case 'timestamp':
      return unless(
        Number.isSafeInteger(value) && Math.abs(value as number) <= dateMsMax,
        'is no time in milliseconds since the epoch',
      )
    case 'bigint':
      return unless(typeof value === 'bigint' && BigInt.asIntN(64, value) === value, 'is no bigint of 64 bits')
    case 'text':
      return unless(typeof value === 'string' && isWellFormed(value), 'is no well-formed text')
    case 'uuid':
      return unless(typeof value === 'string' && uuidPattern.test(value), 'is no UUID in lower case')
    case 'enum':
      return unless(values !== undefined && values.includes(value as string), `is none of ${values?.join(', ')}`)
    case 'bytes':
      return unless(isBytes(value), 'is no Uint8Array')
    case 'json':
      return undefined
  }
}

/**
 * Why the column refuses `value` (not null, not JSON), as the end of a sentence; undefined when it accepts
 * it.
 */
export function wrongValue(definition: ColumnDefinition, value: unknown): string | undefined {
  const wrong = wrongType(definition, value)
  if (wrong !== undefined) return wrong
  const { min, max, positive, notBlank, maxLength, pattern, checks } = definition
  const number = value as number
  const text = value as string
  if (min !== undefined && number < min) return `is less than its min ${min}`
  if (max !== undefined && number > max) return `is more than its max ${max}`
  if (positive && number <= 0) return 'is not positive'
  if (notBlank && text.trim() === '') return 'is blank'
  if (maxLength !== undefined && text.length > maxLength) return `is longer than ${maxLength}`
  if (pattern !== undefined && !new RegExp(pattern.source, pattern.flags).test(text))
    return `does not match /${pattern.source}/`
  const failed = checks.find((check) => !passes(check, value))
  return failed && `does not pass its check '${failed.name}'`
}

/** The ordinals of columns given by name: at least one, each known, none twice. */
export function ordinals(names: unknown, { columns }: LoweredColumns, what: string): readonly number[] {
  if (!Array.isArray(names) || names.length === 0) {
    throw invalidDefinition(
      `${what} must be a list of at least one column, ['id'], not ` +
        `${Array.isArray(names) ? 'an empty one' : shown(names)}.`,
    )
  }
  const found: number[] = []
  for (const name of names) {
    const ordinal = columns.findIndex((column) => column.name === name)
    if (ordinal < 0)
      throw invalidDefinition(
        `${what} names ${shown(name)}, which is no column; ` +
          `there are ${columns.map((column) => column.name).join(', ')}.`,
      )
    if (found.includes(ordinal)) throw invalidDefinition(`${what} names '${String(name)}' twice.`)
    found.push(ordinal)
  }
  return found
}
