/** A change of the application, from what two catalogs of the log say. */
import { changesOf, type LoggedCatalog, ownTablePrefix, type SchemaStep } from '../engine/index.js'
import { formatPosition, indexMax } from './position.js'
import type { ColumnOutline, SchemaChange, SchemaOutline } from './schema-change-types.js'

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
