/**
 * The catalog as a log carries it (R54): what explains the bytes of the frames behind it, and what a database was created with.
 *
 * Numbers in frames are places in these lists. A later opening may have other places, so every reader translates by name.
 * What explains bytes may not change from opening to opening; where rows are placed and which indexes they have may, and stands
 * here so that a database can be read and checked without its application (`programOf`).
 */
import { cursorName, type ColumnDescriptor, type ColumnType, type IndexCondition, type Program, type RecordDescriptor, replicateName, type TableDescriptor, type TableProgram, transactName } from './descriptor.js'
import { hasCopies } from './replica-tables.js'
import { loggedTables, ownTablePrefix } from './sequence-table.js'

export interface LoggedColumn {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  readonly values?: readonly string[]
}
export interface LoggedIndex {
  readonly name: string
  readonly on: readonly string[]
  readonly range: boolean
  readonly unique: boolean
  /** Values as JSON has them: bigints and infinite numbers as text, bytes in hexadecimal. */
  readonly where?: readonly { readonly column: string; readonly value: string | number | boolean | null }[]
}
export interface LoggedTable {
  readonly name: string
  readonly key: readonly string[]
  readonly columns: readonly LoggedColumn[]
  /** The first logs have none of the following: their tables are read as if they had the defaults. */
  readonly partition?: readonly string[] | 'global'
  readonly ordered?: boolean
  readonly indexes?: readonly LoggedIndex[]
}
export interface LoggedRecord {
  readonly name: string
  readonly columns: readonly LoggedColumn[]
}
export interface LoggedCatalog {
  readonly format: 1
  readonly seed: number
  readonly partitions: number
  readonly tables: readonly LoggedTable[]
  readonly events: readonly LoggedRecord[]
  readonly procedures: readonly string[]
}

const column = ({ name, type, nullable, values }: ColumnDescriptor): LoggedColumn => ({ name, type, nullable, ...(values && { values }) })

/** `program` as the user made it: of the engine's own tables the counters are logged, where there are any; its own procedures come last. */
export function loggedCatalog(program: Program, database: { readonly seed: number; readonly partitions: number }): LoggedCatalog {
  return {
    format: 1,
    seed: database.seed,
    partitions: database.partitions,
    tables: loggedTables(program).map(({ descriptor }) => loggedTable(descriptor)),
    events: program.events.map(({ descriptor: e }) => ({ name: e.name, columns: e.columns.map(column) })),
    procedures: [...program.procedures.map(({ descriptor: p }) => p.name), transactName, ...ownNames(program)],
  }
}

/** In the order of `withHandlers` and `withReplicas` (txn/handler-call.ts, txn/replica-copy.ts). */
function ownNames(program: Program): readonly string[] {
  const names = program.handlers.map(({ name }) => name)
  if (hasCopies(program)) names.push(replicateName)
  return names.length === 0 ? [] : [cursorName, ...names]
}

function loggedTable(table: TableDescriptor): LoggedTable {
  const names = (ordinals: readonly number[]): readonly string[] => ordinals.map((n) => table.columns[n]!.name)
  return {
    name: table.name,
    key: names(table.key),
    columns: table.columns.map(column),
    partition: table.partition === 'global' ? 'global' : names(table.partition),
    ordered: table.ordered,
    indexes: table.indexes.map(({ name, on, range, unique, where }) => ({
      name, on: names(on), range, unique,
      ...(where && { where: where.map(({ column, value }) => ({ column: table.columns[column]!.name, value: loggedValue(value) })) }),
    })),
  }
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

function tableProgramOf(table: LoggedTable): TableProgram {
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
export function recordOf(logged: LoggedRecord | LoggedTable): RecordDescriptor {
  return { columns: logged.columns }
}

/** What the log says that the program contradicts, as lines for people. Empty: every old byte can be read. */
export function contradictions(log: LoggedCatalog, now: LoggedCatalog): readonly string[] {
  const lines: string[] = []
  if (log.partitions !== now.partitions) lines.push(`partitions: the database was created with ${log.partitions}, open() says ${now.partitions}`)
  const tables = new Map(now.tables.map((table) => [table.name, table]))
  for (const was of log.tables) {
    const is = tables.get(was.name)
    if (is === undefined && was.name.startsWith(ownTablePrefix)) continue // every store has it
    if (is === undefined) lines.push(`table ${was.name}: in the log, not in the application`)
    else lines.push(...tableLines(was, is))
  }
  const events = new Map(now.events.map((event) => [event.name, event]))
  for (const was of log.events) {
    const is = events.get(was.name)
    if (is !== undefined) lines.push(...columnLines(`event ${was.name}`, was.columns, is.columns))
  }
  return lines
}

function tableLines(was: LoggedTable, is: LoggedTable): string[] {
  const lines = columnLines(`table ${was.name}`, was.columns, is.columns)
  if (was.key.join() !== is.key.join()) lines.push(`table ${was.name}: key [${was.key.join(', ')}] in the log, [${is.key.join(', ')}] in the application`)
  return lines
}

function columnLines(what: string, was: readonly LoggedColumn[], is: readonly LoggedColumn[]): string[] {
  const lines: string[] = []
  const now = new Map(is.map((c) => [c.name, c]))
  for (const old of was) {
    const current = now.get(old.name)
    if (current === undefined) lines.push(`- ${what}.${old.name}: ${typeText(old)}`)
    else if (typeText(old) !== typeText(current)) lines.push(`~ ${what}.${old.name}: ${typeText(old)} in the log, ${typeText(current)} in the application`)
  }
  const before = new Set(was.map((c) => c.name))
  for (const current of is) if (!before.has(current.name)) lines.push(`+ ${what}.${current.name}: ${typeText(current)}`)
  if (lines.length === 0 && was.map((c) => c.name).join() !== is.map((c) => c.name).join()) lines.push(`~ ${what}: the columns stand in another order`)
  return lines
}

function typeText({ type, nullable, values }: LoggedColumn): string {
  return `${type}${values ? `(${values.join(' ')})` : ''}${nullable ? ' nullable' : ''}`
}
