/** `app(…, { version, migrations })`: checked, and as the engine takes it. */
import type { Migration, OldDatabase, Program, RowMigration, TableMigration } from '../engine/schema/descriptor.js'
import { invalidDefinition, shown } from './schema/definition.js'

/** A row as it was, or as it becomes: columns by name. */
export type MigratedRow = Readonly<Record<string, unknown>>

/**
 * What becomes of one row: the row to store, several of them, or nothing (null). `old` is the database as it was before it was opened, by
 * full names of its tables: `old['bank.account'].get(key)`, or all rows with `for … of`.
 */
export type MigrateRow = (row: MigratedRow, old: OldDatabase) => MigratedRow | readonly MigratedRow[] | null | undefined

/**
 * By full name of the table that is made: how its rows are made of its own rows, or of those of another table (`from`); or that it goes
 * (`'drop'`). All rows of the tables that are named are replaced. `'drop'` of a projection or an aggregate, `'report.totals'`, is that of all its tables.
 */
export type TableMigrations = Readonly<Record<string, MigrateRow | { readonly from: string; readonly rows: MigrateRow } | 'drop'>>

export interface AppOptions {
  /** Of the data model. Grows by one with every change that needs a migration. Default: 1. */
  readonly version?: number
  /** By the version that they lead to. A database of an older version goes through all that lie between, at opening. */
  readonly migrations?: Readonly<Record<number, TableMigrations>>
}

const optionNames = new Set(['version', 'migrations'])
/** `shop.item`; `shop.cart.events` of an aggregate; `report.totals.blue.total` of a projection. */
const tableName = /^[^.$]+(\.[^.$]+){1,3}$/

export function lowerMigrations(options: AppOptions): Pick<Program, 'version' | 'migrations'> {
  if (typeof options !== 'object' || options === null) throw invalidDefinition(`The third argument of app() is { version, migrations }, not ${shown(options)}.`)
  for (const name of Object.keys(options)) if (!optionNames.has(name)) throw invalidDefinition(`app() has no option '${name}'; it has version and migrations.`)
  const { version = 1, migrations = {} } = options
  if (!Number.isSafeInteger(version) || version < 1) throw invalidDefinition(`The version of app() is a whole number from 1, not ${shown(version)}.`)
  if (typeof migrations !== 'object' || migrations === null) throw invalidDefinition(`The migrations of app() are an object, by version, not ${shown(migrations)}.`)
  const lowered = Object.entries(migrations).map(([key, tables]) => migrationOf(key, tables, version))
  return { version, migrations: lowered.sort((a, b) => a.version - b.version) }
}

function migrationOf(key: string, tables: unknown, newest: number): Migration {
  const version = Number(key)
  if (!Number.isSafeInteger(version) || version < 2 || version > newest) {
    throw invalidDefinition(`A migration leads to a version from 2 to that of app(), ${newest}: '${key}' is none of these.`)
  }
  if (typeof tables !== 'object' || tables === null) throw invalidDefinition(`Migration ${version} of app() is an object, by full name of a table, not ${shown(tables)}.`)
  return { version, tables: new Map(Object.entries(tables).map(([name, value]) => [name, tableMigration(version, name, value)])) }
}

function tableMigration(version: number, name: string, value: unknown): TableMigration | 'drop' {
  const what = `Migration ${version} of '${name}'`
  if (!tableName.test(name)) throw invalidDefinition(`${what}: tables have their full name here, such as 'bank.account'.`)
  if (value === 'drop') return 'drop'
  if (typeof value === 'function') return { from: name, rows: value as RowMigration }
  const { from, rows } = (typeof value === 'object' && value !== null ? value : {}) as { from?: unknown; rows?: unknown }
  if (typeof from !== 'string' || !tableName.test(from) || typeof rows !== 'function') {
    throw invalidDefinition(`${what} is a function of a row, { from: 'bank.account', rows: (row) => … }, or 'drop', not ${shown(value)}.`)
  }
  return { from, rows: rows as RowMigration }
}
