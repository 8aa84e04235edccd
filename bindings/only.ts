/**
 * Some of the changes of a table, or of the events of a type: what stands in `tables` or `events` of a stream in place of the table or the
 * event itself.
 *
 * Each of the conditions can be found without asking everybody: the key and its beginnings are looked up, and so is what `where` asks for
 * with `eq` (engine/stream/route-index.ts). All of them are about the row that the change left, of a delete the row that was deleted; of
 * events about the payload.
 */
import { limits } from '../engine/base/limits.js'
import { SluiceError } from '../engine/base/errors.js'
import { recordCondition } from './query/record-condition.js'
import type { ParameterTerms, RowTerms } from './query/select.js'
import type { Condition } from './query/term.js'
import type { PlanCondition } from '../query/logical-plan.js'
import { DefinitionKind, shown } from './schema/definition.js'
import type { Columns, Leading } from './schema/infer.js'
import { type Key, type Table, type TableDefinition, tableDefinitions, type TableShape } from './schema/table.js'
import { type EventDefinition, eventDefinitions, type EventType } from './service/event.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

declare const sliced: unique symbol

/** What `only()` answers, of a table or of an event. */
export interface Only<T extends Table | EventType = Table> {
  readonly [sliced]: T
}

/** The beginning of a key: of a text its first characters, of several columns some leading values. */
export type KeyPrefix<S extends TableShape> = Key<S> extends readonly unknown[] ? Leading<Key<S>> : Key<S> extends string ? string : never

/** All of what is given must hold. */
export interface OnlyThese<S extends TableShape> {
  /** The row with this key. */
  readonly key?: Key<S> | undefined
  /** Rows whose key begins so. */
  readonly prefix?: KeyPrefix<S> | undefined
  readonly kinds?: readonly ('insert' | 'update' | 'delete')[] | undefined
  /** Updates that changed one of these; inserts and deletes come too, unless `kinds` leaves them out. */
  readonly columns?: readonly (keyof S['row'] & string)[] | undefined
  /** A condition about the row that the change left; of a delete, about the row that was deleted. */
  readonly where?: ((row: RowTerms<S>) => Condition) | undefined
}

/** Which events of a type. */
export interface OnlyWhere<C extends Columns> {
  /** A condition about the payload. */
  readonly where: (payload: ParameterTerms<C>) => Condition
}

/**
 * Some of the changes of a table, or of the events of a type.
 *
 * ```ts
 * db.changes({
 *   tables: [only(bank.tables.account, { columns: ['balance'], where: (row) => lt(row.balance, 0) })],
 *   events: [only(bank.events.transferred, { where: (payload) => gte(payload.amount, 1_000) })],
 * })
 * ```
 */
export function only<S extends TableShape, N extends string>(table: Table<S, N>, these: OnlyThese<S>): Only<Table<S, N>>
export function only<N extends string, C extends Columns>(event: EventType<N, C>, these: OnlyWhere<C>): Only<EventType<N, C>>
export function only(of: unknown, these: unknown): object {
  if (typeof these !== 'object' || these === null || Array.isArray(these)) throw invalid(`only() takes an object that says which changes, or which events, not ${shown(these)}.`)
  const definition = tableDefinitions.of(of)
  if (definition !== undefined) return Object.freeze(slices.attach({}, sliceOf(of, definition, these)))
  const event = eventDefinitions.of(of)
  if (event !== undefined) return Object.freeze(eventSlices.attach({}, eventSliceOf(of, event, these)))
  throw invalid(`only() takes a table or an event, not ${shown(of)}.`)
}

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

/** Values of the leading columns of a key; `isText`: of the one column, its first characters. */
export interface SlicePrefix {
  readonly values: readonly unknown[]
  readonly isText: boolean
}
export interface Slice {
  readonly table: unknown
  readonly definition: TableDefinition
  readonly key: readonly unknown[] | undefined
  readonly prefix: SlicePrefix | undefined
  readonly kinds: readonly ('insert' | 'update' | 'delete')[] | undefined
  readonly columns: readonly string[] | undefined
  readonly where: PlanCondition | undefined
}
export const slices = new DefinitionKind<Slice>('slice of a table')

export interface EventSlice {
  readonly event: unknown
  readonly where: PlanCondition
}
export const eventSlices = new DefinitionKind<EventSlice>('slice of an event')

const kindNames = ['insert', 'update', 'delete'] as const
const ofTables: ReadonlySet<string> = new Set(['key', 'prefix', 'kinds', 'columns', 'where'])
const ofEvents: ReadonlySet<string> = new Set(['where'])
const listOf = (value: unknown): readonly unknown[] | undefined => (value === undefined ? undefined : Array.isArray(value) ? (value as readonly unknown[]) : [value])

function sliceOf(table: unknown, definition: TableDefinition, these: object): Slice {
  mustKnow('a table', these, ofTables)
  const { key, prefix, kinds, columns, where } = these as Readonly<Record<string, unknown>>
  const names = definition.columns.columns.map(({ name }) => name)
  const slice: Slice = {
    table,
    definition,
    key: listOf(key),
    prefix: prefixOf(definition, prefix),
    kinds: namesOf('kinds', kinds, [...kindNames]) as Slice['kinds'],
    columns: namesOf('columns', columns, names),
    where: where === undefined ? undefined : recordCondition(where, definition.name, definition.descriptor.columns),
  }
  if (slice.key !== undefined) mustBeKey(definition, slice.key)
  return slice
}

function eventSliceOf(event: unknown, { name, columns }: EventDefinition, these: object): EventSlice {
  mustKnow('an event', these, ofEvents)
  const { where } = these as { readonly where?: unknown }
  if (where === undefined) throw invalid(`only() of the event "${name}" takes a condition about its payload, where; all events of the type are the event itself.`)
  return { event, where: recordCondition(where, name, columns.columns) }
}

function mustKnow(what: string, these: object, known: ReadonlySet<string>): void {
  for (const name of Object.keys(these)) if (!known.has(name)) throw invalid(`only() of ${what} has no option "${name}"; it has ${[...known].join(', ')}.`)
}

function namesOf(option: string, value: unknown, all: readonly string[]): readonly string[] | undefined {
  if (value === undefined) return undefined
  if (!Array.isArray(value) || value.length === 0) throw invalid(`The option ${option} of only() is a list of ${all.slice(0, 3).join(', ')} and so on, not ${shown(value)}.`)
  const wrong = (value as readonly unknown[]).find((name) => !all.includes(name as string))
  if (wrong !== undefined) throw invalid(`The option ${option} of only() has ${shown(wrong)}; there are ${all.join(', ')}.`)
  return [...new Set(value as readonly string[])].sort()
}

function prefixOf(definition: TableDefinition, prefix: unknown): SlicePrefix | undefined {
  if (prefix === undefined) return undefined
  const { key } = definition.descriptor
  const [first] = key.map((ordinal) => definition.columns.columns[ordinal]!)
  if (key.length === 1) {
    if (first!.type !== 'text') throw invalid(`Keys of ${first!.name} have no prefix: it is ${first!.type}, and a prefix is the beginning of a text, or some leading values of several columns.`)
    if (typeof prefix !== 'string' || prefix === '' || prefix.length > limits.keyBytesMax) throw invalid(`The prefix of only() is the beginning of ${first!.name}, a text, not ${shown(prefix)}.`)
    return { values: [prefix], isText: true }
  }
  if (!Array.isArray(prefix) || prefix.length === 0 || prefix.length >= key.length) throw invalid(`The prefix of only() is a list of some leading values of the key, not ${shown(prefix)}.`)
  mustBeKey(definition, prefix, prefix.length)
  return { values: prefix as readonly unknown[], isText: false }
}

function mustBeKey({ descriptor: { key }, columns }: TableDefinition, values: readonly unknown[], length = key.length): void {
  if (values.length !== length) throw invalid(`The key of only() has ${length} values, for ${key.map((ordinal) => columns.columns[ordinal]!.name).join(', ')}.`)
  for (let n = 0; n < length; n += 1) {
    const { name, type } = columns.columns[key[n]!]!
    const value = values[n]
    const expected = typeOfKey[type]
    const isRight = expected === 'bytes' ? value instanceof Uint8Array : typeof value === expected
    if (!isRight) throw invalid(`The key column ${name} is ${type}; only() was given ${shown(value)}.`)
  }
}
const typeOfKey: Readonly<Record<TableDefinition['columns']['columns'][number]['type'], string>> = {
  bool: 'boolean', i32: 'number', u32: 'number', int: 'number', f64: 'number', timestamp: 'number', bigint: 'bigint', text: 'string', uuid: 'string', enum: 'string', bytes: 'bytes', json: 'none',
}

const invalid = (message: string): SluiceError => SluiceError.of('INVALID_USE', message)
