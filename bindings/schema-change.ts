/** A change of the application as the log shows it: what was, what is, and what is between the two. */
import type { ColumnType } from '../engine/schema/descriptor.js'
import { changesOf, type LoggedCatalog, ownTablePrefix, type SchemaStep } from '../engine/index.js'
import { formatPosition, indexMax, type Position } from './position.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

/** The shape of rows and events changes here: an application was changed, and has committed for the first time. */
export interface SchemaChange {
  /** Commits up to here were made by the application of before, those behind it by the one of after. */
  readonly position: Position
  readonly before: SchemaOutline
  readonly after: SchemaOutline
  /** One for each thing that is another one. */
  readonly differences: readonly SchemaDifference[]
}
export interface SchemaDifference {
  /** `'shop.item.price'`, `'shop.item index byPrice'`, `'version'` */
  readonly what: string
  /** `'int → bigint'`, `'new'`, `'gone'` */
  readonly change: string
  /** Full name of the table or event that it is about; undefined: the application as a whole. */
  readonly of: string | undefined
}
/** Tables and events as they were. */
export interface SchemaOutline {
  /** Of the application: `app(…, { version })`. */
  readonly version: number
  readonly tables: readonly TableOutline[]
  readonly events: readonly EventOutline[]
}
export interface TableOutline {
  readonly name: string
  readonly key: readonly string[]
  readonly columns: readonly ColumnOutline[]
}
export interface EventOutline {
  readonly name: string
  readonly columns: readonly ColumnOutline[]
}
export interface ColumnOutline {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  /** The words of an enum. */
  readonly values?: readonly string[]
}

// ── how it is made ──────────────────────────────────────────────────────────────────────────────────────

export function schemaChangeOf({ after, before, now }: SchemaStep): SchemaChange {
  const events = new Set([...before.events, ...now.events].map(({ name }) => name))
  return {
    position: formatPosition(after, indexMax),
    before: outlineOf(before),
    after: outlineOf(now),
    differences: changesOf(before, now).map(({ table, what, change }) => ({ what, change, of: table ?? eventIn(events, what) })),
  }
}

/** `shop.paid.total` is about `shop.paid`. */
function eventIn(events: ReadonlySet<string>, what: string): string | undefined {
  if (events.has(what)) return what
  const event = what.slice(0, what.lastIndexOf('.'))
  return events.has(event) ? event : undefined
}

function outlineOf({ version = 1, tables, events }: LoggedCatalog): SchemaOutline {
  return {
    version,
    tables: tables.filter(({ name }) => !name.startsWith(ownTablePrefix)).map(({ name, key, columns }) => ({ name, key, columns: columnsOf(columns) })),
    events: events.map(({ name, columns }) => ({ name, columns: columnsOf(columns) })),
  }
}

const columnsOf = (columns: LoggedCatalog['tables'][number]['columns']): readonly ColumnOutline[] =>
  columns.map(({ name, type, nullable, values }) => ({ name, type, nullable, ...(values && { values }) }))
