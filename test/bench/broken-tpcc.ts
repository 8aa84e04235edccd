/**
 * TPC-C with one procedure more, which writes whatever it is told: the only way to make states that its transactions
 * never make. The real application is not loaded beside it, for it would seal the service.
 */
import { app, column as c, type Database } from 'sluicedb'
import { tableNames, type TableName } from '../../bench/workloads/tpcc/load.js'
import { tpcc } from '../../bench/workloads/tpcc/tables.js'
import '../../bench/workloads/tpcc/transactions.js'

export type Tampering = { readonly table: TableName } & (
  | { readonly insert: object }
  | { readonly delete: readonly number[] }
  | { readonly update: number | readonly number[]; readonly to: object }
)

interface LooseTable {
  insert(row: unknown): unknown
  update(key: unknown, row: unknown): void
  delete(key: unknown): boolean
}

const tamperWith = tpcc.procedure('tamper', { input: { table: c.enum(tableNames), how: c.json<Tampering>() } }, (tx, { table, how }) => {
  const handle = tx.db[table] as unknown as LooseTable
  if ('insert' in how) handle.insert(how.insert)
  else if ('update' in how) handle.update(how.update, how.to)
  else if (!handle.delete(how.delete)) throw new Error(`nothing to delete in ${table}`)
})

export async function tamper(db: Database, ...all: readonly Tampering[]): Promise<void> {
  for (const how of all) await db.call(tamperWith, { table: how.table, how })
}

export default app(import.meta.url, [tpcc])
