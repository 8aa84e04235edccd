/**
 * Rows of any table, inserted as they are: how the population gets in. Not part of the workload.
 *
 * Definitions only: partition workers import this module.
 */
import { column as c } from 'sluicedb'
import { tpcc } from './tables.js'

export const tableNames = [
  'item', 'warehouse', 'district', 'stock', 'customer', 'history', 'order', 'orderLine', 'newOrder',
] as const satisfies readonly (keyof typeof tpcc.tables)[]
export type TableName = (typeof tableNames)[number]

/** `w` places the rows. Those of `item` stray from wherever they are placed. */
export const load = tpcc.procedure(
  'load',
  { input: { table: c.enum(tableNames), w: c.i32(), rows: c.json<readonly object[]>() }, partition: (it) => it.w },
  (tx, { table, rows }) => {
    const handle = tx.db[table] as { insert(row: object): unknown }
    for (const row of rows) handle.insert(row)
  },
)
