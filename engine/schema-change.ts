/**
 * A database and an application that has changed: what is between them, and whether it can be opened (schema/difference.ts).
 *
 *   same      today's catalog is the log's: nothing here costs anything
 *   changed   what is safe is taken over; what is new and strict is proved on every row that is stored; what needs a migration has
 *             one, which comes next (migration.ts), and takes away the rows of replicas that are to be copied again
 *   refused   SCHEMA_MISMATCH, with every difference, or the first rows that break what is new. Nothing was written
 *
 * The log says what is new itself: the next frame is preceded by the catalog of today (wal/log-writer.ts), at the boundary of a batch. An
 * opening that commits nothing changes nothing.
 */
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import { type CatalogBefore, loggedCatalog, type LoggedCatalog } from './schema/catalog.js'
import { compileColumnCheck } from './schema/column-check.js'
import type { Migration, Program, TableMigration, TableProgram } from './schema/descriptor.js'
import { differencesOf, isUnchanged, lineOf, ownerOf, type SchemaDifference, tablesThatNeed } from './schema/difference.js'
import { reshaping } from './schema/row-shape.js'
import { RebuiltStore } from './offline/rebuilt-store.js'
import type { PlainRow } from './store/row-codec.js'
import type { Store } from './store/store.js'
import type { Reference } from './store/table-store.js'
import { whyBroken } from './txn/end-checks.js'
import { hasStanding } from './txn/standing-referrers.js'
import { bareKey, keyOfRow, shownRow, shownValue } from './txn/violation.js'

export interface SchemaChange {
  /** Of the log as it is. */
  readonly before: LoggedCatalog
  /** Of the log as it goes on. */
  readonly today: LoggedCatalog
  readonly differences: readonly SchemaDifference[]
  /** Tables whose rows must be looked at. */
  readonly toProve: ReadonlySet<string>
  /** References that are another one than before: `referenceId` of each. */
  readonly newReferences: ReadonlySet<string>
  /** From the log's version to the application's, in order, by full names of tables. */
  readonly steps: readonly Migration[]
  /** The application makes rows of some tables: these. */
  readonly made: ReadonlySet<string>
  readonly migrates: boolean
  /** Those of its tables that have rows already, and replicas that are others or gone: they are made anew, or go. */
  readonly rewritten: ReadonlySet<string>
}

const noTables: ReadonlySet<string> = new Set()

/** The catalog of a database that this application goes on with, where nothing has changed. */
export function succeeding(program: Program, before: LoggedCatalog, partitions: number | undefined, rewritten: ReadonlySet<string> = noTables): LoggedCatalog {
  const after: CatalogBefore = { catalog: before, rewritten }
  return loggedCatalog(program, { seed: before.seed, partitions: partitions ?? before.partitions }, after)
}

/** Every byte that `before` explains means what it means to the application, and nothing of it has other rules. */
export function isOfApplication(program: Program, before: LoggedCatalog, partitions: number | undefined): boolean {
  return isUnchanged(before, succeeding(program, before, partitions))
}

/** What has to be done to go on behind `before`, the newest catalog of the log. Throws SCHEMA_MISMATCH where nothing can be. */
export function changeTo(program: Program, before: LoggedCatalog, partitions: number | undefined): SchemaChange {
  const differences = differencesOf(before, succeeding(program, before, partitions))
  const steps = stepsBehind(before, program)
  const migrated = migratedBy(steps)
  const stays = new Set(program.tables.map(({ descriptor }) => descriptor.name))
  const refused = differences.filter(({ need, table = '' }) => need === 'return' || (need === 'migration' && (stays.has(table) ? !migrated.has(table) : migrated.get(table) !== 'drop')))
  if (refused.length > 0) throw mismatch(differences, refused)
  const copies = tablesThatNeed('copying', differences)
  const rewritten = new Set([...migrated.keys(), ...copies].filter((name) => before.tables.some((table) => table.name === name)))
  const toProve = new Set([...tablesThatNeed('proof', differences.filter(({ reference }) => reference === undefined))].filter((name) => !rewritten.has(name)))
  const newReferences = new Set(differences.flatMap(({ table, reference }) => (table === undefined || reference === undefined ? [] : [referenceId(table, reference)])))
  return { before, today: succeeding(program, before, partitions, rewritten), differences, toProve, newReferences, steps, made: new Set(migrated.keys()), migrates: migrated.size > 0 || copies.size > 0, rewritten }
}

/** The migrations from the log's version to the application's. What is dropped by the name of a projection or an aggregate is each of its tables. */
function stepsBehind(before: LoggedCatalog, { migrations = [] }: Program): readonly Migration[] {
  const known = new Set(before.tables.map(({ name }) => name))
  const steps: Migration[] = []
  for (const { version, tables } of migrations) {
    if (version <= (before.version ?? 1)) continue
    const dropped = [...tables].filter(([name, migration]) => migration === 'drop' && !known.has(name)).flatMap(([name]) => [...known].filter((table) => ownerOf(table) === name))
    steps.push({ version, tables: new Map([...dropped.map((table) => [table, 'drop'] as const), ...tables]) })
    for (const [name, migration] of tables) {
      if (migration === 'drop') known.delete(name)
      else known.add(name)
    }
  }
  return steps
}

/** What they say last of each table. */
const migratedBy = (steps: readonly Migration[]): ReadonlyMap<string, TableMigration | 'drop'> => new Map(steps.flatMap(({ tables }) => [...tables]))

function mismatch(differences: readonly SchemaDifference[], refused: readonly SchemaDifference[]): SluiceError {
  const lines = [...new Set(differences.filter(({ need }) => need !== 'nothing' && need !== 'copying').map(lineOf))]
  const needsMigration = refused.some((one) => one.need === 'migration')
  const todo = needsMigration
    ? 'Declare what becomes of the rows, app(import.meta.url, [...], { version, migrations }), or change the application back.'
    : 'Change the application back.'
  return SluiceError.of('SCHEMA_MISMATCH', `The application does not fit the rows of the database:\n${lines.map((line) => `  ${line}`).join('\n')}\n${todo} Nothing was changed.`, {
    details: { difference: lines },
  })
}

/** Throws SCHEMA_MISMATCH with the first rows that break what is new. `old`: the database as the log has it. */
export function proveRows(program: Program, { before, today, toProve, differences }: SchemaChange, old: RebuiltStore): void {
  for (const name of toProve) {
    const table = program.tables.find(({ descriptor }) => descriptor.name === name)!
    const broken = brokenRows(table, old, reshaping(tableIn(before, name), tableIn(today, name)))
    if (broken.length === 0) continue
    const lines = differences.filter((one) => one.need === 'proof' && one.table === name).map(lineOf)
    const rows = broken.map(({ key, message }) => `  ${shownKey(key)} ${message}`)
    throw SluiceError.of('SCHEMA_MISMATCH', `Rows of "${name}" break what is new in the application:\n${lines.map((line) => `  ${line}`).join('\n')}\nThe first of them:\n${rows.join('\n')}\nChange these rows with the application before, or declare a migration of "${name}". Nothing was changed.`, {
      details: { difference: lines, table: name, rows: broken.map(({ key, column, constraint, value }) => ({ key, ...(column !== undefined && { column }), constraint, value })) },
    })
  }
}

const referenceId = (table: string, reference: string): string => `${table} ${reference}`

/**
 * Throws SCHEMA_MISMATCH with the first rows that refer to nothing, by references that are new or whose tables are made anew. `store`: all rows of
 * today. A row with a null among its referring columns refers to nothing and may.
 */
export function proveReferences(store: Store, { newReferences, made, differences }: SchemaChange): void {
  for (const table of store.tables) {
    for (const reference of table.declaredTo) {
      const isMade = made.has(table.name) || made.has(reference.parent.name)
      if (!isMade && !newReferences.has(referenceId(table.name, reference.name))) continue
      const orphans = orphansOf(store, reference)
      if (orphans.length === 0) continue
      const lines = differences.filter((one) => one.table === table.name && one.reference === reference.name).map(lineOf)
      const rows = orphans.map(({ key, value }) => `  ${shownKey(key)} refers to ${shownKey(value)}`)
      throw SluiceError.of('SCHEMA_MISMATCH', `Rows of "${table.name}" refer to rows of "${reference.parent.name}" that are not there, by the reference "${reference.name}":\n${lines.map((line) => `  ${line}\n`).join('')}The first of them:\n${rows.join('\n')}\n${isMade ? 'Let the migration leave them out, or make the rows that they refer to' : 'Change these rows with the application before, or declare a migration of the table'}. Nothing was changed.`, {
        details: { difference: lines, table: table.name, rows: orphans.map((orphan) => ({ ...orphan, constraint: reference.name, other: reference.parent.name })) },
      })
    }
  }
}

function orphansOf(store: Store, { child, on, parent }: Reference): readonly { readonly key: unknown; readonly value: unknown }[] {
  const found: { readonly key: unknown; readonly value: unknown }[] = []
  for (let partition = 0; partition < child.partitions && found.length < limits.schemaRowsNamedMax; partition += 1) {
    child.part(partition).hash.forEach((row) => {
      if (found.length === limits.schemaRowsNamedMax || !store.isLive(row)) return
      const values = on.map((column) => child.codec.readers[column]!(row))
      if (!values.includes(null) && !hasStanding(parent, values)) found.push({ key: keyOfRow(child, row), value: bareKey(values.map(shownValue)) })
    })
  }
  return found
}

const tableIn = (catalog: LoggedCatalog, name: string): LoggedCatalog['tables'][number] => catalog.tables.find((table) => table.name === name)!
const shownKey = (key: unknown): string => (Array.isArray(key) ? `[${key.map(String).join(', ')}]` : String(key))

interface BrokenRow {
  readonly key: unknown
  readonly column: string | undefined
  readonly constraint: string
  readonly value: unknown
  readonly message: string
}

/** A rule that does not hold, on its way to who looks at the row. */
class RuleBroken extends Error {
  readonly rule: string
  constructor(rule: string, message: string) {
    super(message)
    this.rule = rule
  }
}
const onViolation = (_kind: 'type' | 'rule', rule: string, message: string): never => {
  throw new RuleBroken(rule, message)
}

function brokenRows({ descriptor, rowChecks = [], ...rules }: TableProgram, old: RebuiltStore, reshape: ((row: PlainRow) => PlainRow) | undefined): readonly BrokenRow[] {
  const stored = old.tables.find((table) => table.name === descriptor.name)
  if (stored === undefined) return []
  const validators = descriptor.columns.map((column, ordinal) => compileColumnCheck(column, ordinal, rules))
  const found: BrokenRow[] = []
  for (const row of old.rows(stored)) {
    const shaped = reshape === undefined ? row : reshape(row)
    const broken = brokenIn(shaped)
    if (broken === undefined) continue
    found.push({ ...broken, key: bareKey(descriptor.key.map((ordinal) => shownValue(shaped[descriptor.columns[ordinal]!.name]))) })
    if (found.length === limits.schemaRowsNamedMax) break
  }
  return found

  function brokenIn(row: PlainRow): Omit<BrokenRow, 'key'> | undefined {
    for (const [ordinal, { name }] of descriptor.columns.entries()) {
      try {
        validators[ordinal]!.accept(row[name], onViolation)
      } catch (error) {
        if (!(error instanceof RuleBroken)) throw error
        return { column: name, constraint: error.rule, value: shownValue(row[name]), message: `.${name} ${error.message}` }
      }
    }
    for (const check of rowChecks) {
      const why = whyBroken(check, Object.freeze({ ...row }))
      if (why !== undefined) return { column: undefined, constraint: check.name, value: shownRow(row), message: why.message }
    }
    return undefined
  }
}
