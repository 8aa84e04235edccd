/**
 * The application of the model tests: tables from `model-schema.ts`, and procedures that run any script of
 * `script.ts`.
 */
import { app, column as c, service, table } from 'sluicedb'
import { moods, schema, tableSpecs, type ColumnSpec, type TableSpec } from './model-schema.js'
import { interpret, type Columns, type Script, type ScriptTx } from './script.js'

/**
 * The builders are called from data here; the typed way to write the same is what every other app in this
 * folder does.
 */
interface AnyBuilder {
  nullable(): AnyBuilder
  default(value: unknown): AnyBuilder
  min(least: number): AnyBuilder
  max(most: number): AnyBuilder
  notBlank(): AnyBuilder
  maxLength(characters: number): AnyBuilder
}

function toColumn(spec: ColumnSpec): AnyBuilder {
  let built = (spec.type === 'enum' ? c.enum(moods) : c[spec.type]()) as unknown as AnyBuilder
  if (spec.min !== undefined) built = built.min(spec.min)
  if (spec.max !== undefined) built = built.max(spec.max)
  if (spec.notBlank) built = built.notBlank()
  if (spec.maxLength !== undefined) built = built.maxLength(spec.maxLength)
  if ('default' in spec) built = built.default(spec.default)
  if (spec.nullable) built = built.nullable()
  return built
}

const toTable = (spec: TableSpec) =>
  table({
    ...spec,
    columns: Object.fromEntries(
      Object.entries(spec.columns).map(([name, column]) => [name, toColumn(column)]),
    ),
  } as never)

const toTables = (specs: Readonly<Record<string, TableSpec>>) =>
  Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, toTable(spec)]))

/** What an accessor shows, and the key columns, by the short name of the table. */
export const shown: Columns = Object.fromEntries(
  Object.entries(tableSpecs).flatMap(([full, spec]) => {
    const name = full.split('.')[1]!
    return [
      [name, Object.keys(spec.columns)],
      [`${name} key`, spec.key],
    ]
  }),
)

export const main = service('main', {
  tables: toTables(schema.main),
  events: {
    marked: { place: c.text(), n: c.int(), fail: c.bool().default(false), extra: c.json().nullable() },
  },
})
export const side = service('side', {
  tables: toTables(schema.side),
  events: { noted: { place: c.text(), n: c.int() } },
})

const inner = side.procedure('inner', { input: { script: c.json<Script>() } }, (tx, it): unknown =>
  interpret(tx as unknown as ScriptTx, it.script, shown, () => 'not here'),
)

const runIn = (tx: { call(procedure: typeof inner, input: { script: Script }): unknown }, script: Script) =>
  interpret(tx as unknown as ScriptTx, script, shown, (other) => tx.call(inner, { script: other }))

/** Cross-partition lane. */
export const run = main.procedure('run', { input: { script: c.json<Script>() } }, (tx, it): unknown =>
  runIn(tx, it.script),
)

/** Single-partition lane, until the script strays. */
export const runAt = main.procedure(
  'runAt',
  { input: { at: c.text(), script: c.json<Script>() }, partition: (it) => it.at },
  (tx, it): unknown => runIn(tx, it.script),
)

side.on(
  () => main.events.marked,
  { name: 'audit', atomic: true },
  (tx, event) => {
    const { place, n, fail, extra } = event.payload
    ;(tx as unknown as ScriptTx).db['audit']!.insert({ place, n, extra })
    if (fail) throw tx.abort('REFUSED', { n })
    tx.emit('noted', { place, n })
  },
)

main.on(
  () => side.events.noted,
  { name: 'tally', atomic: true },
  (tx, event) => {
    const tally = (tx as unknown as ScriptTx).db['tally']!
    const row = tally.row(event.payload.place)
    if (row) row['count'] = Number(row['count']) + 1
    else tally.insert({ place: event.payload.place, count: 1 })
  },
)

export default app(import.meta.url, [main, side])
