/**
 * Compares everything a reader can show (the newest state, a snapshot, a past moment) with a state of the
 * model.
 */
import type { Table } from 'sluicedb'
import { main, side } from './apps/model-app.js'
import { tableSpecs, type IndexSpec, type TableSpec } from './apps/model-schema.js'
import type { Range } from './apps/script.js'
import { bare, keyOf, lookUp, scanOf, searchOf, type Row, type State } from './model.js'
import { canon, expectSame, expectSameRows } from './same.js'

interface AnyReader extends Iterable<Row> {
  get(key: unknown): Row | undefined
  has(key: unknown): boolean
  value(key: unknown, column: string): unknown
  count(): number
  scan(range?: Range): Iterable<Row>
  readonly index: Readonly<
    Record<string, { get(values: unknown): readonly Row[]; scan(range?: Range): Iterable<Row> }>
  >
}
export interface Readable {
  table(table: Table): unknown
}

/** The handles, by full name. */
export const tables: Readonly<Record<string, Table>> = Object.fromEntries(
  [main, side].flatMap((service) =>
    Object.entries(service.tables).map(([name, table]) => [`${service.name}.${name}`, table as Table]),
  ),
)

export const readerOf = (from: Readable, name: string) => from.table(tables[name]!) as AnyReader

export function expectState(from: Readable, state: State, what: string): void {
  for (const [name, spec] of Object.entries(tableSpecs))
    expectTable(readerOf(from, name), spec, [...state[name]!.values()], `${what}, ${name}`)
}

function expectTable(reader: AnyReader, spec: TableSpec, rows: readonly Row[], what: string): void {
  const all = [...reader]
  if (spec.ordered) expectSame(all, scanOf(spec, rows, {}), `${what}: every row, in order`)
  else expectSameRows(all, rows, `${what}: every row`)
  expectSame(reader.count(), rows.length, `${what}: count()`)
  for (const row of rows) {
    const key = bare(keyOf(spec, row))
    expectSame(reader.get(key), row, `${what}: get(${canon(key)})`)
    expectSame(reader.has(key), true, `${what}: has(${canon(key)})`)
  }
  const first = rows[0]
  if (first) {
    for (const column of Object.keys(spec.columns))
      expectSame(
        reader.value(bare(keyOf(spec, first)), column),
        first[column],
        `${what}: value(..., ${column})`,
      )
  }
  if (spec.ordered) {
    for (const range of rangesOf(spec, spec.key, rows))
      expectSame([...reader.scan(range)], scanOf(spec, rows, range), `${what}: scan(${canon(range)})`)
  }
  for (const [name, index] of Object.entries(spec.indexes ?? {}))
    expectIndex(reader, spec, name, index, rows, what)
}

function expectIndex(
  reader: AnyReader,
  spec: TableSpec,
  name: string,
  index: IndexSpec,
  rows: readonly Row[],
  what: string,
): void {
  const shown = reader.index[name]!
  const seen = new Set<string>()
  for (const row of rows) {
    const values = bare(index.on.map((column) => row[column]))
    if (seen.has(canon(values))) continue
    seen.add(canon(values))
    expectSame(
      [...shown.get(values)],
      lookUp(spec, index, rows, values),
      `${what}: index.${name}.get(${canon(values)})`,
    )
  }
  if (!index.range) return
  for (const range of rangesOf(spec, index.on, rows))
    expectSame(
      [...shown.scan(range)],
      searchOf(spec, index, rows, range),
      `${what}: index.${name}.scan(${canon(range)})`,
    )
}

/** A handful of ranges that touch both ends, the middle, and prefixes. */
function rangesOf(spec: TableSpec, on: readonly string[], rows: readonly Row[]): Range[] {
  const middle = rows[rows.length >> 1]
  const ranges: Range[] = [{}, { reverse: true }, { limit: 2 }, { reverse: true, limit: 3 }]
  if (!middle) return ranges
  const values = on.map((name) => middle[name])
  ranges.push(
    { from: bare(values) },
    { to: bare(values) },
    { from: bare(values), reverse: true },
    { to: bare(values), reverse: true, limit: 2 },
  )
  if (on.length > 1)
    ranges.push(
      { prefix: values.slice(0, 1) },
      { from: values.slice(0, 1) },
      { to: values.slice(0, 1) },
      { prefix: values.slice(0, -1), reverse: true },
    )
  if (on === spec.key) ranges.push({ after: bare(values) }, { after: bare(values), limit: 1 })
  return ranges
}
