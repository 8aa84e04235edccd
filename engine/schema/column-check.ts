/**
 * What one column takes: a value from outside goes in, its stored form comes out, or a violation is reported.
 *
 * Used by everything that writes: inputs and payloads (every violation is INVALID_INPUT) and rows (a value of the wrong
 * type is INVALID_INPUT, a broken rule is CONSTRAINT). So the check only says what is wrong, and the caller what that
 * means: `onViolation` throws.
 *
 *   type        stored form                                rules
 *   bool        boolean
 *   i32, u32    number, -0 as 0                            min, max
 *   int         safe integer                               min, max
 *   timestamp   whole milliseconds, as `Date` has them     min, max
 *   f64         number without NaN; infinities are fine    min, max, positive
 *   bigint      signed, 64 bits                            min, max
 *   text        well-formed string                         notBlank, maxLength, pattern
 *   uuid        string, lower case                         pattern
 *   enum        string, one of the column's words
 *   bytes       Uint8Array, a copy                         maxLength
 *   json        plain data, a copy                         schema
 *
 * All of them: named checks, after the rules above, in order of declaration. Null passes every rule, as in SQL. A `json`
 * column that is not nullable takes null as data.
 *
 * `undefined` is leaving out: the default, else null where the column is nullable, else the violation `required`. What is
 * generated, and what an update leaves unchanged, never comes here.
 */
import { isUint8Array } from 'node:util/types'
import { isWellFormed } from '../base/bytes.js'
import { CanonicalError, copyCanonical, isStackOverflow, kindOf } from '../base/canonical.js'
import type { ColumnDescriptor, ColumnRules, JsonCheck } from './descriptor.js'
import { isUuid } from './uuid.js'

/** A column's value as the engine keeps it. `object` is plain data of a `json` column. */
export type StoredValue = boolean | number | bigint | string | Uint8Array | object | null

export interface ViolationParts {
  /** Inside a `json` value: `.items[3].price`. */
  readonly path?: string
  /** What a check, a schema or a getter threw. */
  readonly cause?: unknown
}

/**
 * Throws. `rule` is a word (`type`, `required`, `min`, ...) or the name of a check; `message` continues after the
 * column's name.
 */
export type OnViolation = (kind: 'type' | 'rule', rule: string, message: string, parts?: ViolationParts) => never

export interface ColumnValidator {
  accept(value: unknown, onViolation: OnViolation): StoredValue
}

type Step = (value: unknown, onViolation: OnViolation) => StoredValue
type Rule = (value: StoredValue, onViolation: OnViolation) => void

/** `Date` takes 100,000,000 days on either side of the epoch. */
export const timestampMax = 8.64e15
export const i32Min = -(2 ** 31)
export const i32Max = 2 ** 31 - 1
export const u32Max = 2 ** 32 - 1

/** `ordinal` is the column's place among its siblings: the rules know their columns by it. */
export function compileColumnCheck(column: ColumnDescriptor, ordinal: number, rules: ColumnRules): ColumnValidator {
  const typed = typeStep(column, rules.json.find((check) => check.column === ordinal))
  const checked = withRules(typed, rulesOf(column, ordinal, rules))
  return { accept: withQuickBounds(column, withLeavingOut(column, checked), rulesBeyondBounds(column, ordinal, rules)) }
}

/** True when `min`, `max` and `positive` are all that is left to check once the type is right. */
export function hasOnlyBounds(column: ColumnDescriptor, ordinal: number, rules: ColumnRules): boolean {
  return !rulesBeyondBounds(column, ordinal, rules)
}

function rulesBeyondBounds(column: ColumnDescriptor, ordinal: number, rules: ColumnRules): boolean {
  return (
    column.notBlank === true || column.maxLength !== undefined || column.pattern !== undefined ||
    rules.checks.some((check) => check.column === ordinal) || rules.json.some((check) => check.column === ordinal)
  )
}

/** Whole numbers are most of what is checked: one closure decides for all that is well, the rest takes the long way. */
function withQuickBounds(column: ColumnDescriptor, accept: Step, more: boolean): Step {
  if (more || (column.type !== 'int' && column.type !== 'i32' && column.type !== 'u32')) return accept
  const min = Math.max(Number(column.min ?? -Infinity), lowestOf(column.type), column.positive ? 1 : -Infinity)
  const max = Math.min(Number(column.max ?? Infinity), highestOf(column.type))
  return (value, onViolation) => {
    if (typeof value === 'number' && value >= min && value <= max && Number.isInteger(value)) return value + 0
    return accept(value, onViolation)
  }
}

function lowestOf(type: 'int' | 'i32' | 'u32'): number {
  return type === 'int' ? Number.MIN_SAFE_INTEGER : type === 'i32' ? i32Min : 0
}

function highestOf(type: 'int' | 'i32' | 'u32'): number {
  return type === 'int' ? Number.MAX_SAFE_INTEGER : type === 'i32' ? i32Max : u32Max
}

function withLeavingOut(column: ColumnDescriptor, checked: Step): Step {
  const fill = column.default
  const isMutable = fill !== null && typeof fill === 'object'
  const missing = fill === undefined && !column.nullable
  const takesNull = column.nullable || column.type === 'json'
  return (value, onViolation) => {
    if (value === undefined) {
      if (missing) onViolation('type', 'required', 'is missing')
      return fill === undefined ? null : isMutable ? (copyCanonical(fill) as StoredValue) : (fill as StoredValue)
    }
    if (value === null) {
      if (!takesNull) onViolation('type', 'type', 'is null, and the column is not nullable')
      if (column.nullable) return null
    }
    return checked(value, onViolation)
  }
}

function withRules(typed: Step, rules: readonly Rule[]): Step {
  if (rules.length === 0) return typed
  return (value, onViolation) => {
    const stored = typed(value, onViolation)
    for (const rule of rules) rule(stored, onViolation)
    return stored
  }
}

function typeStep(column: ColumnDescriptor, json: JsonCheck | undefined): Step {
  switch (column.type) {
    case 'bool':
      return (value, fail) => (typeof value === 'boolean' ? value : wrongType(value, 'true or false', fail))
    case 'i32':
      return numberStep((value) => (value | 0) === value, 'a whole number of 32 bits with sign')
    case 'u32':
      return numberStep((value) => value >>> 0 === value, 'a whole number from 0 to 4294967295')
    case 'int':
      return numberStep(Number.isSafeInteger, 'a whole number up to 2^53 - 1')
    case 'timestamp':
      return numberStep(isTimestamp, 'whole milliseconds since the epoch, as Date.prototype.getTime gives them')
    case 'f64':
      return numberStep((value) => value === value, 'a number')
    case 'bigint':
      return (value, fail) =>
        typeof value === 'bigint' && BigInt.asIntN(64, value) === value
          ? value
          : wrongType(value, 'a bigint of 64 bits with sign', fail)
    case 'text':
      return (value, fail) => {
        if (typeof value !== 'string') return wrongType(value, 'text', fail)
        if (!isWellFormed(value)) fail('type', 'type', 'is not well-formed Unicode (a lone surrogate)')
        return value
      }
    case 'uuid':
      return (value, fail) =>
        typeof value === 'string' && isUuid(value)
          ? value
          : wrongType(value, 'a UUID in lower case, like "0b5e7a3c-6f0d-4f6e-9a53-2f1f7d7c1c11"', fail)
    case 'enum':
      return enumStep(column.values ?? [])
    case 'bytes':
      return (value, fail) => (isUint8Array(value) ? new Uint8Array(value) : wrongType(value, 'a Uint8Array', fail))
    case 'json':
      return jsonStep(json)
  }
}

function isTimestamp(value: number): boolean {
  return Number.isInteger(value) && value >= -timestampMax && value <= timestampMax
}

function numberStep(holds: (value: number) => boolean, wanted: string): Step {
  return (value, fail) => (typeof value === 'number' && holds(value) ? value + 0 : wrongType(value, wanted, fail))
}

function wrongType(value: unknown, wanted: string, fail: OnViolation): never {
  return fail('type', 'type', `must be ${wanted}, not ${kindOf(value)}`)
}

function enumStep(values: readonly string[]): Step {
  const words = new Set(values)
  const wanted = `one of ${values.map((word) => JSON.stringify(word)).join(', ')}`
  return (value, fail) => {
    if (typeof value === 'string' && words.has(value)) return value
    const given = typeof value === 'string' ? JSON.stringify(value.slice(0, 64)) : kindOf(value)
    return fail('type', 'type', `must be ${wanted}, not ${given}`)
  }
}

function jsonStep(check: JsonCheck | undefined): Step {
  return (value, fail) => {
    try {
      return copyCanonical(check === undefined ? value : validated(check, value, fail)) as StoredValue
    } catch (error) {
      if (!(error instanceof CanonicalError)) throw error
      return fail('type', 'type', `${error.path} ${error.problem}`.trim(), { path: error.path, cause: error.cause })
    }
  }
}

interface SchemaAnswer {
  readonly value?: unknown
  readonly issues?: readonly { readonly message?: unknown; readonly path?: readonly unknown[] }[]
}

function validated(check: JsonCheck, value: unknown, fail: OnViolation): unknown {
  let answer: unknown
  try {
    answer = check.validate(value)
  } catch (error) {
    if (isStackOverflow(error)) throw error
    return fail('rule', 'schema', 'could not be checked: its schema threw', { cause: error })
  }
  if (typeof answer !== 'object' || answer === null) return fail('rule', 'schema', 'has a schema that gave no answer')
  if (typeof (answer as { then?: unknown }).then === 'function') {
    Promise.resolve(answer).catch(() => {}) // R32: the rest of an async schema must not crash the process later
    return fail('rule', 'schema', 'has an asynchronous schema; it must answer at once')
  }
  const { issues, value: accepted } = answer as SchemaAnswer
  if (issues === undefined) {
    return accepted === undefined ? fail('rule', 'schema', 'has a schema that made undefined of it') : accepted
  }
  const first = issues[0]
  const path = (first?.path ?? []).map(stepOf).join('')
  return fail('rule', 'schema', `${path} ${String(first?.message ?? 'does not fit its schema')}`.trim(), { path })
}

function stepOf(step: unknown): string {
  const key: unknown = typeof step === 'object' && step !== null && 'key' in step ? step.key : step
  return typeof key === 'number' ? `[${key}]` : `.${String(key)}`
}

function rulesOf(column: ColumnDescriptor, ordinal: number, rules: ColumnRules): readonly Rule[] {
  const list: Rule[] = []
  const { min, max, maxLength } = column
  if (min !== undefined) {
    list.push((value, fail) => void ((value as number) < min && fail('rule', 'min', `must be at least ${min}`)))
  }
  if (max !== undefined) {
    list.push((value, fail) => void ((value as number) > max && fail('rule', 'max', `must be at most ${max}`)))
  }
  if (column.positive === true) {
    list.push((value, fail) => void (!((value as number) > 0) && fail('rule', 'positive', 'must be greater than zero')))
  }
  if (column.notBlank === true) {
    list.push((value, fail) => void ((value as string).trim() === '' && fail('rule', 'notBlank', 'must not be blank')))
  }
  if (maxLength !== undefined) {
    list.push((value, fail) => {
      if ((value as string).length > maxLength) fail('rule', 'maxLength', `must not be longer than ${maxLength}`)
    })
  }
  if (column.pattern !== undefined) list.push(patternRule(column.pattern.source, column.pattern.flags))
  for (const check of rules.checks) {
    if (check.column === ordinal) list.push(namedRule(check.name, check.holds as (value: unknown) => unknown))
  }
  return list
}

function patternRule(source: string, flags: string): Rule {
  const pattern = new RegExp(source, flags)
  return (value, fail) => {
    pattern.lastIndex = 0 // `g` and `y` remember where they stopped; a rule must not
    if (!pattern.test(value as string)) fail('rule', 'pattern', `must match ${String(pattern)}`)
  }
}

function namedRule(name: string, holds: (value: unknown) => unknown): Rule {
  return (value, fail) => {
    let verdict: unknown
    try {
      verdict = holds(value)
    } catch (error) {
      if (isStackOverflow(error)) throw error
      fail('rule', name, `could not be checked: "${name}" threw`, { cause: error })
    }
    // An object is true to JavaScript, and most often a promise: an asynchronous check would let everything pass.
    if (typeof verdict === 'object' && verdict !== null) {
      fail('rule', name, `has a check "${name}" that does not answer with true or false`)
    }
    if (!verdict) fail('rule', name, `breaks the rule "${name}"`)
  }
}
