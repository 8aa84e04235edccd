/**
 * Columns: the fields of rows, inputs, payloads and details.
 *
 * A column is immutable; every modifier answers a new one, so `const id = column.text()` can be shared by
 * many tables. The interfaces below are what users see. Behind each stands a builder that records a
 * `ColumnDefinition`; rules given twice hold both (the stricter bound is kept), and a column is checked as a
 * whole, with its name, by the definition that uses it (`lower-columns.ts`), because only that knows which
 * column of which table is wrong.
 *
 * Why no call signature on `Later`: with one, TypeScript looks into the arrow while it still infers the
 * table, and a table that refers to itself is a circle (TS7022).
 */
import type { ColumnType, OnDelete, ReferenceStrength } from '../../engine/schema/descriptor.js'
import { checkFunction, checkName, checkOptions, DefinitionKind, invalidDefinition, shown } from './definition.js'
import type { shape } from './shape.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

export type ColumnKind = 'bool' | 'number' | 'bigint' | 'text' | 'bytes' | 'time' | 'json'
export type ColumnMark = 'nullable' | 'default' | 'generated' | 'unique'

export interface Column<Value = any, Kind extends ColumnKind = ColumnKind, Mark extends ColumnMark = any> {
  readonly [shape]: { readonly value: Value; readonly kind: Kind; readonly mark: Mark }
  /** May hold `null`, and is `null` when left out. */
  nullable(): Column<Value | null, Kind, Mark | 'nullable'>
  /** May be left out when written; this is stored then. */
  default(value: Value): Column<Value, Kind, Mark | 'default'>
  /**
   * No two rows hold the same value (`null` excepted). Also makes an index of the column's name. Tables only.
   */
  unique(): Column<Value, Kind, Mark | 'unique'>
  /**
   * A rule of your own: `CONSTRAINT` for rows and `INVALID_INPUT` for inputs where it is false. Must depend
   * on the value only.
   */
  check(holds: (value: NonNullable<Value>) => boolean, name: string): this
  /** The key of a row of another table, or of this one: `.references(() => account)`. Tables only. */
  references(to: Later, options?: ReferenceOptions): this
}

/** An arrow that answers a table: `() => account`. The target is checked by `app()`. */
export interface Later extends Function {}
/** What happens to the rows that refer to a row when it is deleted. Default: `'restrict'`. */
export type { OnDelete, ReferenceStrength }

/** What a reference says beside where it leads to. */
export interface ReferenceOptions {
  /**
   * What becomes of this row when the one that it refers to is deleted: nothing, for that is refused (`'restrict'`, the default), it is
   * deleted too, or it refers to nothing.
   */
  readonly onDelete?: OnDelete | undefined
  /** When it is checked: at the end of the transaction (`'strong'`, the default), or behind its commit. */
  readonly strength?: ReferenceStrength | undefined
}

export interface NumberColumn<Value, Mark extends ColumnMark = never> extends Column<Value, 'number', Mark> {
  nullable(): NumberColumn<Value | null, Mark | 'nullable'>
  default(value: Value): NumberColumn<Value, Mark | 'default'>
  unique(): NumberColumn<Value, Mark | 'unique'>
  /** The smallest value allowed. */
  min(least: number): this
  /** The largest value allowed. */
  max(most: number): this
  /** Greater than zero. */
  positive(): this
  /** Zero or more. */
  nonNegative(): this
  /** Less than zero. */
  negative(): this
  /** Zero or less. */
  nonPositive(): this
}

export interface IntColumn<Value, Mark extends ColumnMark = never> extends NumberColumn<Value, Mark> {
  nullable(): IntColumn<Value | null, Mark | 'nullable'>
  default(value: Value): IntColumn<Value, Mark | 'default'>
  unique(): IntColumn<Value, Mark | 'unique'>
  /** Names whose data the row or the event is: what `db.erase(subject)` takes away. In tables and events. */
  subject(): this
  /** Drawn by the engine when left out: increasing, deterministic, not without gaps. Tables only. */
  generated(): IntColumn<Value, Mark | 'generated'>
}

export interface BigintColumn<Value, Mark extends ColumnMark = never> extends Column<Value, 'bigint', Mark> {
  nullable(): BigintColumn<Value | null, Mark | 'nullable'>
  default(value: Value): BigintColumn<Value, Mark | 'default'>
  unique(): BigintColumn<Value, Mark | 'unique'>
  /** Names whose data the row or the event is: what `db.erase(subject)` takes away. In tables and events. */
  subject(): this
  /** The smallest value allowed. */
  min(least: bigint): this
  /** The largest value allowed. */
  max(most: bigint): this
  /** Greater than zero. */
  positive(): this
  /** Zero or more. */
  nonNegative(): this
  /** Less than zero. */
  negative(): this
  /** Zero or less. */
  nonPositive(): this
}

export interface TextColumn<Value, Mark extends ColumnMark = never> extends Column<Value, 'text', Mark> {
  nullable(): TextColumn<Value | null, Mark | 'nullable'>
  default(value: Value): TextColumn<Value, Mark | 'default'>
  unique(): TextColumn<Value, Mark | 'unique'>
  /** Names whose data the row or the event is: what `db.erase(subject)` takes away. In tables and events. */
  subject(): this
  /** Holds something else than white space. */
  notBlank(): this
  /** At most this many UTF-16 code units, as `length` counts. */
  maxLength(characters: number): this
  /**
   * Matches somewhere; write `^…$` for the whole. Flags `g` and `y` are refused, they would remember the last
   * match.
   */
  pattern(pattern: RegExp): this
}

/** Any validator that follows the Standard Schema specification, version 1 (zod, valibot, arktype, ...). */
export interface StandardSchema {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => unknown
    readonly types?: { readonly input: unknown; readonly output: unknown } | undefined
  }
}

/** The column types. */
export interface ColumnTypes {
  bool(): Column<boolean, 'bool', never>
  /** A whole number of 32 bits, signed. */
  i32(): IntColumn<number>
  /** A whole number of 32 bits, not negative. */
  u32(): IntColumn<number>
  // Two signatures and not `<T = number>`: T would be inferred from the context, `Column<any>`, as `any`.
  /** A whole number of 53 bits (`Number.isSafeInteger`). Money is integer cents. */
  int(): IntColumn<number>
  int<T extends number>(): IntColumn<T>
  /** A floating-point number; NaN is refused, -0 is stored as 0. */
  f64(): NumberColumn<number>
  /** A whole number of 64 bits, signed. */
  bigint(): BigintColumn<bigint>
  text(): TextColumn<string>
  text<T extends string>(): TextColumn<T>
  /** A UUID in lower case, 16 bytes stored. */
  uuid(): TextColumn<string>
  uuid<T extends string>(): TextColumn<T>
  /** One of these words. */
  enum<const T extends string>(values: readonly [T, ...T[]]): TextColumn<T>
  bytes(): Column<Uint8Array, 'bytes', never>
  /** A number: milliseconds since the epoch. */
  timestamp(): Column<number, 'time', never>
  /**
   * Plain data; with a Standard Schema (zod, valibot, ...) also checked by it. Cannot be part of a key or
   * index.
   */
  json(): Column<unknown, 'json', never>
  json<S extends StandardSchema>(schema: S): Column<NonNullable<S['~standard']['types']>['output'], 'json', never>
  json<T>(): Column<T, 'json', never>
}

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

export interface ColumnDefinition {
  readonly type: ColumnType
  readonly nullable: boolean
  /** In a wrapper, because the default may be null. */
  readonly default?: { readonly value: unknown }
  readonly values?: readonly string[]
  readonly generated?: boolean
  readonly unique?: boolean
  readonly subject?: boolean
  readonly min?: number | bigint
  readonly max?: number | bigint
  readonly positive?: boolean
  readonly notBlank?: boolean
  readonly maxLength?: number
  readonly pattern?: { readonly source: string; readonly flags: string }
  readonly checks: readonly { readonly name: string; readonly holds: (value: never) => boolean }[]
  readonly references: readonly { readonly to: () => unknown; readonly onDelete: OnDelete; readonly strength: ReferenceStrength }[]
  readonly validate?: (value: unknown) => unknown
}

const subjectTypes: ReadonlySet<ColumnType> = new Set<ColumnType>(['text', 'uuid', 'int', 'i32', 'u32', 'bigint'])

export const columnDefinitions = new DefinitionKind<ColumnDefinition>('column')

class ColumnBuilder {
  protected readonly definition: ColumnDefinition

  constructor(definition: ColumnDefinition) {
    this.definition = Object.freeze(definition)
    columnDefinitions.attach(this, definition)
    Object.freeze(this)
  }

  protected with(change: Partial<ColumnDefinition>): this {
    const Builder = this.constructor as new (definition: ColumnDefinition) => this
    return new Builder({ ...this.definition, ...change })
  }

  /** `column.int().min(): what is wrong.` */
  protected refuse(method: string, sentence: string): never {
    throw invalidDefinition(`column.${this.definition.type}().${method}() ${sentence}.`)
  }

  nullable(): this {
    return this.with({ nullable: true })
  }

  default(value: unknown): this {
    if (value === undefined) this.refuse('default', 'needs a value; use nullable() for a column that may be empty')
    return this.with({ default: { value } })
  }

  unique(): this {
    return this.with({ unique: true })
  }

  subject(): this {
    const { type } = this.definition
    if (!subjectTypes.has(type)) this.refuse('subject', 'cannot say whose data a row is: let a text, uuid, int, i32, u32 or bigint say it')
    return this.with({ subject: true })
  }

  check(holds: unknown, name: unknown): this {
    checkFunction(holds, `The first argument of column.${this.definition.type}().check()`)
    checkName(name, `a check of column.${this.definition.type}()`)
    return this.with({ checks: [...this.definition.checks, { name, holds: holds as (value: never) => boolean }] })
  }

  references(to: unknown, options: unknown = {}): this {
    if (typeof to !== 'function')
      this.refuse('references', `takes an arrow that answers a table, () => account, not ${shown(to)}`)
    const what = `column.${this.definition.type}().references()`
    const said = referenceOptions(checkOptions(options, what, ['onDelete', 'strength']), what)
    return this.with({ references: [...this.definition.references, { to: to as () => unknown, ...said }] })
  }
}

export function referenceOptions({ onDelete = 'restrict', strength = 'strong' }: Readonly<Record<string, unknown>>, what: string): { readonly onDelete: OnDelete; readonly strength: ReferenceStrength } {
  if (onDelete !== 'restrict' && onDelete !== 'cascade' && onDelete !== 'setNull')
    throw invalidDefinition(`onDelete of ${what} is 'restrict', 'cascade' or 'setNull', not ${shown(onDelete)}.`)
  if (strength !== 'strong' && strength !== 'batch' && strength !== 'eventual')
    throw invalidDefinition(`strength of ${what} is 'strong', 'batch' or 'eventual', not ${shown(strength)}.`)
  if (strength !== 'strong' && onDelete !== 'restrict')
    throw invalidDefinition(`${what} says onDelete: '${onDelete}', which a reference with strength: '${strength}' cannot do: nothing is done behind the transaction.`)
  return { onDelete, strength }
}

/** Bounds of numbers and of bigints alike: which of the two is decided by the type of the column. */
class NumberBuilder extends ColumnBuilder {
  min(least: unknown): this {
    const bound = this.#bound('min', least)
    const { min } = this.definition
    return this.with({ min: min !== undefined && min > bound ? min : bound })
  }

  max(most: unknown): this {
    const bound = this.#bound('max', most)
    const { max } = this.definition
    return this.with({ max: max !== undefined && max < bound ? max : bound })
  }

  positive(): this {
    switch (this.definition.type) {
      case 'f64':
        return this.with({ positive: true })
      case 'bigint':
        return this.min(1n)
      default:
        return this.min(1)
    }
  }

  nonNegative(): this {
    return this.min(this.#whole(0))
  }

  /** The doubles below zero end at the smallest one that there is. */
  negative(): this {
    return this.max(this.definition.type === 'f64' ? -Number.MIN_VALUE : this.#whole(-1))
  }

  nonPositive(): this {
    return this.max(this.#whole(0))
  }

  #whole(value: number): number | bigint {
    return this.definition.type === 'bigint' ? BigInt(value) : value
  }

  #bound(method: string, value: unknown): number | bigint {
    const { type } = this.definition
    if (type === 'bigint') {
      if (typeof value === 'bigint') return value
      return this.refuse(method, `takes a bigint such as 5n, not ${shown(value)}`)
    }
    if (typeof value !== 'number' || Number.isNaN(value))
      return this.refuse(method, `takes a number, not ${shown(value)}`)
    if (type !== 'f64' && !Number.isSafeInteger(value))
      return this.refuse(method, `takes a whole number, not ${shown(value)}`)
    return value === 0 ? 0 : value
  }
}

class IntBuilder extends NumberBuilder {
  generated(): this {
    return this.with({ generated: true })
  }
}

class TextBuilder extends ColumnBuilder {
  notBlank(): this {
    return this.with({ notBlank: true })
  }

  maxLength(characters: unknown): this {
    if (!Number.isSafeInteger(characters) || (characters as number) < 1) {
      this.refuse('maxLength', `takes a whole number from 1, not ${shown(characters)}`)
    }
    return this.with({ maxLength: Math.min(this.definition.maxLength ?? Infinity, characters as number) })
  }

  pattern(pattern: unknown): this {
    if (Object.prototype.toString.call(pattern) !== '[object RegExp]') {
      this.refuse('pattern', `takes a regular expression, not ${shown(pattern)}`)
    }
    const { source, flags } = pattern as RegExp
    if (/[gy]/.test(flags))
      this.refuse('pattern', `takes no flags g or y, which remember the last match: write /${source}/`)
    if (this.definition.pattern !== undefined)
      this.refuse('pattern', 'was given before: write both as one, with (?=…)')
    return this.with({ pattern: { source, flags } })
  }
}

function checkWords(values: unknown): readonly string[] {
  const refuse = (sentence: string) => invalidDefinition(`column.enum() ${sentence}.`)
  if (!Array.isArray(values)) throw refuse(`takes an array of words, ['open', 'shut'], not ${shown(values)}`)
  if (values.length === 0) throw refuse('needs at least one word')
  for (const word of values) if (typeof word !== 'string') throw refuse(`takes words, not ${shown(word)}`)
  if (new Set(values).size !== values.length) throw refuse('has the same word twice')
  return Object.freeze([...(values as string[])])
}

function validatorOf(schema: unknown): (value: unknown) => unknown {
  const standard = (schema as StandardSchema | null)?.['~standard']
  if (typeof standard?.validate !== 'function') {
    throw invalidDefinition(
      `column.json() takes a Standard Schema (zod, valibot, ...) or nothing, not ${shown(schema)}.`,
    )
  }
  return (value) => standard.validate(value)
}

function start(type: ColumnType): ColumnDefinition {
  return { type, nullable: false, checks: [], references: [] }
}

const ofType = (type: ColumnType) => () => new ColumnBuilder(start(type))
const ofNumber = (type: ColumnType) => () => new NumberBuilder(start(type))
const ofInt = (type: ColumnType) => () => new IntBuilder(start(type))
const ofText = (type: ColumnType) => () => new TextBuilder(start(type))

// The interfaces carry a phantom that no value has, so the one step from builders to what users see is a
// cast.
const builders = {
  bool: ofType('bool'),
  i32: ofInt('i32'),
  u32: ofInt('u32'),
  int: ofInt('int'),
  f64: ofNumber('f64'),
  bigint: ofNumber('bigint'),
  text: ofText('text'),
  uuid: ofText('uuid'),
  enum: (values: unknown) => new TextBuilder({ ...start('enum'), values: checkWords(values) }),
  bytes: ofType('bytes'),
  timestamp: ofType('timestamp'),
  // By count: a schema that is undefined, because its module is still loading, must not be taken for none.
  json: (...schema: unknown[]) =>
    new ColumnBuilder(schema.length === 0 ? start('json') : { ...start('json'), validate: validatorOf(schema[0]) }),
} satisfies Record<ColumnType, unknown>

/**
 * The types of columns: `column.text()`, `column.int().min(0)`, `column.enum(['open',
 * 'shut']).default('open')`. Commonly imported as `c`: `import { column as c } from 'sluicedb'`.
 */
export const column: ColumnTypes = Object.freeze(builders) as unknown as ColumnTypes
