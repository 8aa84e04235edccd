/**
 * An application that is written as data, so that a test can have many of them, each a little other than the last: one service, `shop`,
 * with the tables of a plan, and procedures that write any row. Its address carries the plan, for workers load it from there.
 */
import { app, column, service, table, type App, type Procedure, type Table } from 'sluicedb'

export interface ColumnPlan {
  readonly type: 'int' | 'i32' | 'text' | 'bigint' | 'bool' | 'f64' | 'json' | 'uuid' | 'enum' | 'bytes' | 'timestamp'
  readonly nullable?: boolean
  /** Bigints as text. */
  readonly default?: unknown
  readonly values?: readonly string[]
  readonly min?: number
  readonly max?: number
  readonly notBlank?: boolean
  readonly maxLength?: number
  readonly generated?: boolean
  /** The named check "short": at most 3 characters, or below 1,000. */
  readonly short?: boolean
}
export interface TablePlan {
  readonly columns: Readonly<Record<string, ColumnPlan>>
  readonly key?: readonly string[]
  readonly partition?: readonly string[] | 'global'
  readonly ordered?: boolean
  readonly indexes?: Readonly<Record<string, { readonly on: readonly string[]; readonly unique?: boolean; readonly range?: boolean }>>
  readonly references?: Readonly<Record<string, { readonly on: readonly string[]; readonly to: string; readonly strength?: 'strong' | 'batch' | 'eventual'; readonly onDelete?: string }>>
  /** The check of whole rows "nonzero": n is not 0. */
  readonly nonzero?: boolean
}
export interface Plan {
  readonly tables: Readonly<Record<string, TablePlan>>
  readonly events?: Readonly<Record<string, Readonly<Record<string, ColumnPlan>>>>
  readonly procedures?: readonly string[]
  readonly version?: number
  /** Names of `migrations`, by version. */
  readonly migrations?: Readonly<Record<number, string>>
}

type Row = Record<string, any>

/** What plans can name. */
export const migrations: Readonly<Record<string, Readonly<Record<string, any>>>> = {
  nAsText: { 'shop.item': (row: Row) => ({ ...row, n: String(row['n']) }) },
  nAsNumber: { 'shop.item': (row: Row) => ({ ...row, n: Number(row['n']) }) },
  doubled: { 'shop.item': (row: Row) => ({ ...row, n: row['n'] * 2 }) },
  withoutN: { 'shop.item': ({ n: _, ...row }: Row) => row },
  dropItem: { 'shop.item': 'drop' },
  renamed: { 'shop.thing': { from: 'shop.item', rows: (row: Row) => row }, 'shop.item': 'drop' },
  split: { 'shop.part': { from: 'shop.item', rows: (row: Row) => [{ id: `${row['id']}-1`, n: row['n'] }, { id: `${row['id']}-2`, n: row['n'] }] } },
  lookedUp: { 'shop.item': (row: Row, old: any) => ({ ...row, n: old['shop.other'].get(row['id'])?.n ?? -1 }) },
  keyOfTwo: { 'shop.item': (row: Row) => row },
  filtered: { 'shop.item': (row: Row) => (row['n'] > 1 ? row : null) },
  itemsAndParts: { 'shop.item': (row: Row) => row, 'shop.about': (row: Row) => row },
  failing: {
    'shop.item': (row: Row) => {
      if (row['id'] === 'b') throw new Error('b is in the way')
      return row
    },
  },
  same: { 'shop.item': () => ({ id: 'one', n: 1 }) },
  promised: { 'shop.item': async (row: Row) => row },
  killed: {
    'shop.item': (row: Row) => {
      if (row['n'] === Number(process.env['KILL_AT'])) process.kill(process.pid, 'SIGKILL')
      return { ...row, n: String(row['n']) }
    },
  },
}

function columnOf(plan: ColumnPlan): any {
  let made: any = plan.type === 'enum' ? column.enum(plan.values as [string, ...string[]]) : (column as unknown as Record<string, () => unknown>)[plan.type]!()
  if (plan.min !== undefined) made = made.min(plan.min)
  if (plan.max !== undefined) made = made.max(plan.max)
  if (plan.notBlank === true) made = made.notBlank()
  if (plan.maxLength !== undefined) made = made.maxLength(plan.maxLength)
  if (plan.short === true) made = made.check((value: string | number) => (typeof value === 'string' ? value.length <= 3 : value < 1_000), 'short')
  if (plan.generated === true) made = made.generated()
  if (plan.nullable === true) made = made.nullable()
  if (plan.default !== undefined) made = made.default(plan.type === 'bigint' ? BigInt(plan.default as string) : plan.default)
  return made
}
const columnsOf = (plans: Readonly<Record<string, ColumnPlan>>): any => Object.fromEntries(Object.entries(plans).map(([name, plan]) => [name, columnOf(plan)]))

export interface Evolved {
  readonly plan: Plan
  readonly application: App
  readonly put: Procedure<{ table: string; row: unknown }, unknown>
  readonly insert: Procedure<{ table: string; row: unknown }, unknown>
  readonly remove: Procedure<{ table: string; key: unknown }, unknown>
  readonly emit: Procedure<{ event: string; payload: unknown }, unknown>
  readonly table: (name: string) => Table
}

export function evolved(plan: Plan): Evolved {
  const url = new URL(import.meta.url)
  url.search = `?plan=${encodeURIComponent(JSON.stringify(plan))}`
  return build(plan, url.href)
}

function build(plan: Plan, url: string): Evolved {
  const tables: Row = Object.fromEntries(
    Object.entries(plan.tables).map(([name, { columns, key = ['id'], nonzero, references = {}, ...rest }]) => [
      name,
      table({ ...rest, references: Object.fromEntries(Object.entries(references).map(([one, { to, ...said }]) => [one, { ...said, to: () => shop.tables[to] }])), columns: columnsOf(columns), key, ...(nonzero === true && { checks: { nonzero: (row: Row) => row['n'] !== 0 } }) } as never),
    ]),
  )
  const events = Object.fromEntries(Object.entries(plan.events ?? {}).map(([name, columns]) => [name, columnsOf(columns)]))
  const shop: Row = service('shop', { tables, events } as never)
  const input = { table: column.text(), row: column.json() }
  const put = shop.procedure('put', { input }, (tx: any, it: any) => void tx.db[it.table].put(it.row))
  const insert = shop.procedure('insert', { input }, (tx: any, it: any) => tx.db[it.table].insert(it.row))
  const remove = shop.procedure('remove', { input: { table: column.text(), key: column.json() } }, (tx: any, it: any) => void tx.db[it.table].delete(it.key))
  const emit = shop.procedure('emit', { input: { event: column.text(), payload: column.json() } }, (tx: any, it: any) => void tx.emit(it.event, it.payload))
  for (const name of plan.procedures ?? []) shop.procedure(name, { input: {} }, () => name)
  const options = {
    ...(plan.version !== undefined && { version: plan.version }),
    ...(plan.migrations && { migrations: Object.fromEntries(Object.entries(plan.migrations).map(([version, name]) => [version, migrations[name]!])) }),
  }
  return { plan, application: app(url, [shop as never], options), put, insert, remove, emit, table: (name) => shop.tables[name] }
}

const carried = new URL(import.meta.url).searchParams.get('plan')
export default carried === null ? undefined : build(JSON.parse(carried) as Plan, import.meta.url).application
