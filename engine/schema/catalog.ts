/**
 * The catalog as a log carries it (R54): what explains the bytes of the frames behind it, and what a database was created with.
 *
 * Numbers in frames are places in these lists. A later opening may have other places and other columns, so every reader translates
 * by name, and rows of an older layout become rows of today's where they are read (store/row-upcast.ts). Where rows are placed, which
 * indexes they have and what rules they obey explains no byte: it stands here so that a database can be read and checked without its
 * application (`programOf`), and so that the next application can be compared with the last one (difference.ts).
 *
 * Three things are handed on from catalog to catalog (`succeeding`), for they are of what is recorded and not of the application:
 *
 *   fill         what a column has in rows that are older than the column: its default when it was added, whatever it is now
 *   generation   grows when a migration rewrites a table. Rows of an older generation are never read as rows of a newer one
 *   goneEvents   events that the application has no more
 */
import { ByteReader, ByteWriter } from '../base/bytes.js'
import { decodeCanonical, encodeCanonical } from '../base/canonical.js'
import { cursorName, type ColumnDescriptor, type ColumnRules, type ColumnType, type EventProgram, type EventUpcast, type IndexCondition, markName, parkName, type Program, type RecordDescriptor, replicateName, type TableProgram, transactName } from './descriptor.js'
import { copiedReplicas, hasCopies } from './replica-tables.js'
import { loggedTables, ownTablePrefix } from './sequence-table.js'

export interface LoggedColumn {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  readonly values?: readonly string[]
  /** Canonical bytes in hexadecimal. Undefined: null, or the column is as old as the table. */
  readonly fill?: string
  readonly generated?: true
  readonly rules?: LoggedRules
}
/** What values obey, for comparing. Functions are known by their names. */
export interface LoggedRules {
  /** Of bigints and infinities, as text. */
  readonly min?: number | string
  readonly max?: number | string
  readonly positive?: true
  readonly notBlank?: true
  readonly maxLength?: number
  readonly pattern?: string
  readonly checks?: readonly string[]
  readonly schema?: true
}
export interface LoggedIndex {
  readonly name: string
  readonly on: readonly string[]
  readonly range: boolean
  readonly unique: boolean
  /** Values as JSON has them: bigints and infinite numbers as text, bytes in hexadecimal. */
  readonly where?: readonly { readonly column: string; readonly value: string | number | boolean | null }[]
}
/** One that holds for every row, whether transactions prove it or batches. */
export interface LoggedReference {
  readonly name: string
  readonly on: readonly string[]
  /** Full name of the table whose key it gives. */
  readonly to: string
}
export interface LoggedTable {
  readonly name: string
  readonly key: readonly string[]
  readonly columns: readonly LoggedColumn[]
  /** The first logs have none of the following: their tables are read as if they had the defaults. */
  readonly partition?: readonly string[] | 'global'
  readonly ordered?: boolean
  readonly indexes?: readonly LoggedIndex[]
  /** Names of the checks of whole rows. */
  readonly checks?: readonly string[]
  /** Undefined: none, or the log is older than this: it says nothing about the rows. */
  readonly references?: readonly LoggedReference[]
  /** Undefined: 0. */
  readonly generation?: number
  /** Its rows are copies of this table's, kept by the engine. Undefined: they are the application's, or the log is older than this. */
  readonly copyOf?: string
}
export interface LoggedEvent {
  readonly name: string
  readonly columns: readonly LoggedColumn[]
  /** Undefined: 1. */
  readonly shape?: number
  /** Of today's catalog, as this process has it: no function is written down. */
  readonly upcast?: EventUpcast
}
export interface LoggedCatalog {
  readonly format: 1
  readonly seed: number
  readonly partitions: number
  readonly tables: readonly LoggedTable[]
  readonly events: readonly LoggedEvent[]
  readonly procedures: readonly string[]
  /** Rules are written down. The first logs have none, which says nothing about their rows. */
  readonly hasRules?: true
  /** Of the application (`app(…, { version })`); undefined: 1. */
  readonly version?: number
  /** Generations of tables that are gone, so that another one of the name is not taken for them. */
  readonly retired?: Readonly<Record<string, number>>
  /** Events that are gone, as they were last: their records stay in the log, so another one of the name must be able to read them. */
  readonly goneEvents?: readonly LoggedEvent[]
}

/** What a new catalog comes after: `rewritten` tables begin again. */
export interface CatalogBefore {
  readonly catalog: LoggedCatalog
  readonly rewritten: ReadonlySet<string>
}

const layoutOfColumn = ({ name, type, nullable, values }: ColumnDescriptor): LoggedColumn => ({ name, type, nullable, ...(values && { values }) })

/** `program` as the user made it: of the engine's own tables the counters are logged, where there are any; its own procedures come last. */
export function loggedCatalog(program: Program, database: { readonly seed: number; readonly partitions: number }, before?: CatalogBefore): LoggedCatalog {
  const tables = loggedTables(program)
  const retired = retiredIn(tables, before)
  const eventsBefore = before === undefined ? [] : everyEventOf(before.catalog)
  const events = program.events.map((event) => loggedEvent(event, eventsBefore.find(({ name }) => name === event.descriptor.name)))
  const goneEvents = eventsBefore.filter(({ name }) => !events.some((event) => event.name === name))
  return {
    format: 1,
    seed: database.seed,
    partitions: database.partitions,
    tables: tables.map((table) => loggedTable(table, program, before)),
    events,
    procedures: [...program.procedures.map(({ descriptor: p }) => p.name), transactName, ...ownNames(program)],
    hasRules: true,
    ...(program.version !== undefined && program.version !== 1 && { version: program.version }),
    ...(Object.keys(retired).length > 0 && { retired }),
    ...(goneEvents.length > 0 && { goneEvents }),
  }
}

/** Those that are there, and those that the log has records of. */
export const everyEventOf = ({ events, goneEvents = [] }: LoggedCatalog): readonly LoggedEvent[] => [...events, ...goneEvents]

/** In the order of `withHandlers`, `withReplicas` and `withConsumers` (txn/handler-call.ts, replica-copy.ts, consumer-work.ts). */
function ownNames(program: Program): readonly string[] {
  const names = program.handlers.map(({ name }) => name)
  if (hasCopies(program)) names.push(replicateName)
  return [cursorName, ...names, markName, parkName]
}

export const generationOf = (table: LoggedTable): number => table.generation ?? 0

function retiredIn(tables: readonly TableProgram[], before: CatalogBefore | undefined): Readonly<Record<string, number>> {
  const names = new Set(tables.map(({ descriptor }) => descriptor.name))
  const retired: Record<string, number> = {}
  for (const [name, generation] of Object.entries(before?.catalog.retired ?? {})) if (!names.has(name)) retired[name] = generation
  for (const table of before?.catalog.tables ?? []) {
    if (!names.has(table.name) && !table.name.startsWith(ownTablePrefix)) retired[table.name] = generationOf(table)
  }
  return retired
}

function loggedTable({ descriptor: table, rowChecks = [], references = [], ...rules }: TableProgram, program: Program, before: CatalogBefore | undefined): LoggedTable {
  const names = (ordinals: readonly number[]): readonly string[] => ordinals.map((n) => table.columns[n]!.name)
  const was = before?.catalog.tables.find(({ name }) => name === table.name)
  const isRewritten = before?.rewritten.has(table.name) === true
  const retired = before?.catalog.retired?.[table.name]
  const generation = was !== undefined ? generationOf(was) + (isRewritten ? 1 : 0) : retired === undefined ? 0 : retired + 1
  const older = isRewritten ? undefined : was
  const kept = references.filter(({ strength }) => strength !== 'eventual')
  const replica = copiedReplicas(program).find(({ descriptor }) => descriptor.name === table.name)
  return {
    name: table.name,
    key: names(table.key),
    columns: table.columns.map((column, ordinal) => ({
      ...layoutOfColumn(column),
      ...fillOf(column, older),
      ...(column.generated === true && { generated: true as const }),
      ...rulesOf(column, ordinal, rules),
    })),
    partition: table.partition === 'global' ? 'global' : names(table.partition),
    ordered: table.ordered,
    indexes: table.indexes.map(({ name, on, range, unique, where }) => ({
      name, on: names(on), range, unique,
      ...(where && { where: where.map(({ column, value }) => ({ column: table.columns[column]!.name, value: loggedValue(value) })) }),
    })),
    ...(rowChecks.length > 0 && { checks: rowChecks.map((check) => check.name) }),
    ...(kept.length > 0 && { references: kept.map(({ name, on, to }) => ({ name, on: names(on), to: program.tables[to]!.descriptor.name })) }),
    ...(generation > 0 && { generation }),
    ...(replica && { copyOf: program.tables[replica.source]!.descriptor.name }),
  }
}

function loggedEvent({ descriptor: event, upcast }: EventProgram, was: LoggedEvent | undefined): LoggedEvent {
  return {
    name: event.name,
    columns: event.columns.map((column) => ({ ...layoutOfColumn(column), ...fillOf(column, was) })),
    ...(event.shape !== undefined && event.shape > 1 && { shape: event.shape }),
    ...(upcast !== undefined && { upcast }),
  }
}

export const shapeOfEvent = ({ shape = 1 }: { readonly shape?: number }): number => shape

/** What the column has in older rows: as it was said when it was added, else its default now, if it is added now. */
function fillOf(column: ColumnDescriptor, was: { readonly columns: readonly LoggedColumn[] } | undefined): { fill?: string } {
  const old = was?.columns.find(({ name }) => name === column.name)
  if (old !== undefined) return old.fill === undefined ? {} : { fill: old.fill }
  if (was === undefined || column.default === undefined) return {}
  const writer = new ByteWriter(64)
  encodeCanonical(column.default, writer)
  return { fill: Buffer.from(writer.bytes()).toString('hex') }
}

/** The value of a column in rows that do not have it. */
export function filled({ fill }: LoggedColumn): unknown {
  return fill === undefined ? null : decodeCanonical(new ByteReader(Uint8Array.from(Buffer.from(fill, 'hex'))))
}

function rulesOf(column: ColumnDescriptor, ordinal: number, { checks, json }: ColumnRules): { rules?: LoggedRules } {
  const named = checks.filter((check) => check.column === ordinal).map((check) => check.name)
  const { min, max, positive, notBlank, maxLength, pattern } = column
  const rules: LoggedRules = {
    ...(min !== undefined && { min: loggedBound(min) }),
    ...(max !== undefined && { max: loggedBound(max) }),
    ...(positive === true && { positive }),
    ...(notBlank === true && { notBlank }),
    ...(maxLength !== undefined && { maxLength }),
    ...(pattern && { pattern: `/${pattern.source}/${pattern.flags}` }),
    ...(named.length > 0 && { checks: named }),
    ...(json.some((check) => check.column === ordinal) && { schema: true as const }),
  }
  return Object.keys(rules).length === 0 ? {} : { rules }
}

function loggedBound(bound: number | bigint): number | string {
  return typeof bound === 'bigint' || !Number.isFinite(bound) ? String(bound) : bound
}

/** The tables and events of a log as a program without procedures and rules: enough to hold and to check its rows. */
export function programOf(catalog: LoggedCatalog): Program {
  return {
    url: '',
    services: [],
    tables: catalog.tables.map(tableProgramOf),
    events: catalog.events.map((event) => ({ descriptor: { name: event.name, columns: event.columns }, checks: [], json: [] })),
    procedures: [],
    atomicHandlers: [],
    handlers: [],
  }
}

/** A table as its catalog says it. */
export function tableProgramOf(table: LoggedTable): TableProgram {
  const ordinals = (names: readonly string[]): readonly number[] => names.map((name) => table.columns.findIndex((c) => c.name === name))
  const { partition = table.key.slice(0, 1), ordered = false, indexes = [] } = table
  return {
    descriptor: {
      name: table.name,
      columns: table.columns,
      key: ordinals(table.key),
      partition: partition === 'global' ? 'global' : ordinals(partition),
      ordered,
      indexes: indexes.map(({ name, on, range, unique, where }) => ({
        name, on: ordinals(on), range, unique,
        ...(where && { where: where.map((one) => conditionOf(table, one)) }),
      })),
    },
    checks: [],
    json: [],
  }
}

function loggedValue(value: unknown): string | number | boolean | null {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))) return String(value)
  return value as string | number | boolean | null
}

function conditionOf(table: LoggedTable, { column, value }: { readonly column: string; readonly value: string | number | boolean | null }): IndexCondition {
  const ordinal = table.columns.findIndex((one) => one.name === column)
  if (typeof value !== 'string') return { column: ordinal, value }
  switch (table.columns[ordinal]?.type) {
    case 'bigint':
      return { column: ordinal, value: BigInt(value) }
    case 'bytes':
      return { column: ordinal, value: Uint8Array.from(Buffer.from(value, 'hex')) }
    case 'f64':
      return { column: ordinal, value: Number(value) }
    default:
      return { column: ordinal, value }
  }
}

/** A record as it was when it was logged, for decoding: no defaults, no rules. */
export function recordOf(logged: LoggedEvent | LoggedTable): RecordDescriptor {
  return { columns: logged.columns }
}
