/**
 * Tables: what a service keeps.
 *
 * `table()` answers one value for its whole life. `service()` gives it its full name (`'bank.account'`) and
 * its owner; a table belongs to one service. `bank.tables.account` is the same value, with that name in its
 * type.
 */
import type { IndexCondition, IndexDescriptor, RowCheck, SubjectRule, TableDescriptor } from '../../engine/schema/descriptor.js'
import type { AnyChange, Change } from '../change.js'
import type { Later, ReferenceOptions } from './column.js'
import {
  checkFlag,
  checkFunction,
  checkName,
  checkOptions,
  DefinitionKind,
  entriesOf,
  invalidDefinition,
  shown,
} from './definition.js'
import type { Columns, KeyValue, LeftOut, Marked, OfKind, Read } from './infer.js'
import { isBytes } from './plain.js'
import { lowerColumns, ordinals, wrongValue, type LoweredColumns } from './lower-columns.js'
import { type EraseRule, subjectRuleOf } from './subject.js'
import { defineReferences, indexesOfReferences, type ReferenceDefinition } from './reference.js'
import type { Flat, Loose, shape, Without } from './shape.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

export interface IndexShape {
  readonly on: readonly string[]
  readonly range?: boolean
  readonly unique?: boolean
  readonly where?: object
}
export interface TableShape {
  row: object
  key: readonly string[]
  leftOut: PropertyKey
  added: PropertyKey
  json: PropertyKey
  ordered: boolean
  indexes: Readonly<Record<string, IndexShape>>
}

/** A row as it is read: plain and read-only. */
export type Row<S extends TableShape> = Readonly<S['row']>
export type Key<S extends TableShape> = KeyValue<S['row'], S['key']>
/** A row as it is written. */
export type NewRow<S extends TableShape> = [S['leftOut']] extends [never]
  ? S['row']
  : Flat<Without<S['row'], S['leftOut']> & Loose<S['row'], S['leftOut'] & keyof S['row']>>

/** A table, as declared (`Name` is `string`) or as part of a service (`Name` is `'service.table'`). */
export interface Table<S extends TableShape = any, Name extends string = string> {
  readonly [shape]: S
  /** The full name, `'bank.account'`; empty until a service has the table. */
  readonly name: Name
  /** Tells whether a change is one of this table, and types it. */
  is(change: AnyChange): change is Change<Name, Key<S>, Row<S>>
}

type KeyName<C extends Columns> = Exclude<keyof C, Marked<C, 'nullable'> | OfKind<C, 'json'>> & string
type IndexOn<C extends Columns> = {
  readonly on: readonly [keyof C & string, ...(keyof C & string)[]]
  readonly range?: boolean
  readonly unique?: boolean
  readonly where?: Partial<Read<C>>
}
/**
 * An inferred literal is not checked for unknown properties; this does it, so that `uniqe: true` does not
 * compile.
 */
type Known<X, C> = {
  readonly [I in keyof X]: Record<Exclude<keyof X[I], keyof IndexOn<Columns>>, never> &
    (X[I] extends { readonly where: infer W }
      ? { readonly where: Record<Exclude<keyof W, keyof C>, never> }
      : unknown)
}
type ReferenceOn<C extends Columns> = {
  readonly on: readonly (keyof C)[]
  readonly to: Later
} & ReferenceOptions
type TableOf<
  C extends Columns,
  K extends readonly string[],
  X extends Readonly<Record<string, IndexShape>>,
  O extends boolean,
> = Table<{
  row: Read<C>
  key: K
  leftOut: LeftOut<C> & string
  added: Exclude<OfKind<C, 'number' | 'bigint'>, Marked<C, 'nullable'> | K[number]> & string
  json: OfKind<C, 'json'> & string
  ordered: O
  indexes: Flat<
    X & { readonly [P in Marked<C, 'unique'> & string]: { readonly on: readonly [P]; readonly unique: true } }
  >
}>

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

export interface TableDefinition {
  /** Both set once, by the service that takes the table. */
  name: string
  service: string | undefined
  readonly columns: LoweredColumns
  /** All of the descriptor but the name. */
  readonly descriptor: Omit<TableDescriptor, 'name'>
  readonly rowChecks: readonly RowCheck[]
  readonly references: readonly ReferenceDefinition[]
  readonly subject: SubjectRule | undefined
}

export const tableDefinitions = new DefinitionKind<TableDefinition>('table')

class TableHandle {
  readonly #definition: TableDefinition

  constructor(definition: TableDefinition) {
    this.#definition = definition
    tableDefinitions.attach(this, definition)
  }

  get name(): string {
    return this.#definition.name
  }

  is(change: unknown): boolean {
    return this.#definition.name !== '' && (change as AnyChange | null | undefined)?.table === this.#definition.name
  }
}

/**
 * Declares a table.
 *
 * ```ts
 * const account = table({
 *   columns: { id: column.text(), owner: column.text(), balance: column.int().min(0) },
 *   key: ['id'],
 *   indexes: { byOwner: { on: ['owner'] } },
 * })
 * ```
 */
export function table<
  C extends Columns,
  const K extends readonly [KeyName<C>, ...KeyName<C>[]],
  const X extends Readonly<Record<string, IndexOn<C>>> = {},
  const O extends boolean = false,
>(definition: {
  readonly columns: C
  /** The columns that name a row, in this order. */
  readonly key: K
  /**
   * Columns of the key that place a row; default: the first. `'global'`: read by every lane, written by the
   * cross-partition lane.
   */
  readonly partition?: 'global' | readonly K[number][] | undefined
  /** The primary key can be scanned in order. Default: false. */
  readonly ordered?: O | undefined
  /** Other ways to find rows: by equal values, with `range: true` also in order. */
  readonly indexes?: (X & Known<X, C>) | undefined
  readonly references?: Readonly<Record<string, ReferenceOn<C>>> | undefined
  /**
   * What `db.erase(subject)` does with a row whose `.subject()` column holds the subject: it goes (`'delete'`, the default), or these
   * columns become null, and the subject column with them.
   */
  readonly erase?: EraseRule<Marked<C, 'nullable'> & string> | undefined
  /** Rules of a whole row, by name. */
  readonly checks?: Readonly<Record<string, (row: Readonly<Read<C>>) => boolean>> | undefined
}): TableOf<C, K, X, O> {
  return new TableHandle(defineTable(definition)) as unknown as TableOf<C, K, X, O>
}

/** A second table of the same columns, for who keeps two of them (a projection: bindings/sourcing/projection-service.ts). */
export function copyOfTable(definition: TableDefinition, name: string, service: string): object {
  return new TableHandle({ ...definition, name, service })
}

function defineTable(definition: unknown): TableDefinition {
  const options = checkOptions(definition, 'table()', [
    'columns',
    'key',
    'partition',
    'ordered',
    'indexes',
    'references',
    'erase',
    'checks',
  ])
  const names = entriesOf(options['columns'], 'The columns of table()').map(([name]) => name)
  if (names.length === 0)
    throw invalidDefinition("A table needs columns: table({ columns: { id: column.text() }, key: ['id'] }).")
  const what = `the table of ${names.slice(0, 4).join(', ')}${names.length > 4 ? ', …' : ''}`
  const columns = lowerColumns(options['columns'], what, 'table')

  const key = ordinals(options['key'], columns, `The key of ${what}`)
  for (const ordinal of key) checkKeyColumn(columns, ordinal, what)
  const checks = entriesOf(options['checks'], `The checks of ${what}`)
  for (const [name, holds] of checks) {
    checkName(name, `a check of ${what}`)
    checkFunction(holds, `Check '${name}' of ${what}`)
  }
  const partition = definePartition(options['partition'], key, columns, what)
  checkGenerated(columns, partition, what)
  const declared = defineIndexes(options['indexes'], columns, what)
  const references = defineReferences(options['references'], columns, what)
  const ordered = checkFlag(options['ordered'], `ordered of ${what}`)
  const asked = [...declared, ...indexesOfUnique(columns, declared, what)]
  const indexes = [...asked, ...indexesOfReferences(references, asked, key, ordered)]
  return {
    name: '',
    service: undefined,
    columns,
    descriptor: {
      columns: columns.columns,
      key,
      partition,
      ordered,
      indexes,
    },
    rowChecks: checks.map(([name, holds]) => ({ name, holds: holds as RowCheck['holds'] })),
    references,
    subject: subjectRuleOf(options['erase'], columns, key, what),
  }
}

function checkKeyColumn({ columns }: LoweredColumns, ordinal: number, what: string): void {
  const column = columns[ordinal]
  if (column?.nullable)
    throw invalidDefinition(`Column '${column.name}' is in the key of ${what}: it cannot be nullable.`)
  if (column?.type === 'json')
    throw invalidDefinition(
      `Column '${column.name}' is in the key of ${what}: it cannot be json, which has no order.`,
    )
}

function definePartition(
  partition: unknown,
  key: readonly number[],
  columns: LoweredColumns,
  what: string,
): readonly number[] | 'global' {
  if (partition === undefined) return key.slice(0, 1)
  if (partition === 'global') return 'global'
  const places = ordinals(partition, columns, `The partition of ${what}`)
  for (const ordinal of places) {
    if (key.includes(ordinal)) continue
    throw invalidDefinition(
      `The partition of ${what} names '${columns.columns[ordinal]?.name}', which is not in the key: ` +
        'rows are placed by columns of their key.',
    )
  }
  return places
}

/** What is drawn from the sequence of a partition is placed there again when it is the whole place of a row (R29). */
function checkGenerated({ columns }: LoweredColumns, partition: readonly number[] | 'global', what: string): void {
  if (partition === 'global' || partition.length === 1) return
  const column = partition.map((ordinal) => columns[ordinal]).find((one) => one?.generated)
  if (column !== undefined)
    throw invalidDefinition(
      `Column '${column.name}' of ${what} is generated, and places its rows together with others: ` +
        'let it be the only column of the partition, or none of them.',
    )
}

function defineIndexes(
  indexes: unknown,
  columns: LoweredColumns,
  what: string,
): readonly IndexDescriptor[] {
  return entriesOf(indexes, `The indexes of ${what}`).map(([name, definition]) => {
    checkName(name, `an index of ${what}`)
    const index = `index '${name}' of ${what}`
    const options = checkOptions(definition, index, ['on', 'range', 'unique', 'where'])
    const on = ordinals(options['on'], columns, `on of ${index}`)
    for (const ordinal of on) {
      const column = columns.columns[ordinal]
      if (column?.type === 'json')
        throw invalidDefinition(`Column '${column.name}' is in ${index}: it cannot be json, which has no order.`)
    }
    const unique = checkFlag(options['unique'], `unique of ${index}`)
    const where = options['where'] === undefined ? undefined : conditionsOf(options['where'], columns, index)
    return { name, on, range: checkFlag(options['range'], `range of ${index}`), unique, ...(where && { where }) }
  })
}

/** A unique column is an index of its name. */
function indexesOfUnique(
  { columns }: LoweredColumns,
  declared: readonly IndexDescriptor[],
  what: string,
): readonly IndexDescriptor[] {
  return columns.flatMap(({ name, type, unique }, ordinal) => {
    if (unique !== true) return []
    if (declared.some((index) => index.name === name)) {
      throw invalidDefinition(
        `Index '${name}' of ${what} has the name of a unique column, which is an index itself: rename it.`,
      )
    }
    if (type === 'json')
      throw invalidDefinition(`Column '${name}' of ${what} cannot be unique: it is json, which has no order.`)
    return [{ name, on: [ordinal], range: false, unique: true }]
  })
}

function conditionsOf(
  where: unknown,
  { columns, definitions }: LoweredColumns,
  index: string,
): readonly IndexCondition[] {
  return entriesOf(where, `where of ${index}`).map(([name, value]) => {
    const column = columns.findIndex((one) => one.name === name)
    const definition = definitions[column]
    if (definition === undefined) throw invalidDefinition(`where of ${index} names '${name}', which is no column.`)
    if (definition.type === 'json')
      throw invalidDefinition(`where of ${index} names '${name}': json cannot be compared.`)
    const wrong =
      value === null ? (definition.nullable ? undefined : 'the column cannot hold') : wrongValue(definition, value)
    if (wrong !== undefined)
      throw invalidDefinition(`where of ${index} asks for ${name} ${shown(value)}, which ${wrong}.`)
    return { column, value: isBytes(value) ? Uint8Array.from(value) : value === 0 ? 0 : value } // -0 is stored as 0
  })
}
