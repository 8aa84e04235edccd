/**
 * Rows inside a transaction, through the public API: one call that touches a thousand rows, so that the call does not
 * count.
 */
import { open, type Database } from 'sluicedb'
import { inChunks } from '../workloads/bank-driver.js'
import { wideRow } from '../workloads/row-plan.js'
import application, { addRow, readRows, touchRows } from '../workloads/rows.js'
import { laidDown, operationsPerRun, type MicroCase } from './micro-case.js'

const rows = laidDown(100_000)

async function filledDatabase(): Promise<Database> {
  const db = await open(application)
  await inChunks(0, rows, operationsPerRun, (ids) => db.submitMany(addRow, ids.map(wideRow)))
  return db
}

function calls(db: Database, procedure: typeof touchRows): () => Promise<unknown> {
  let first = 0
  return () => {
    first = (first + operationsPerRun) % rows
    return db.call(procedure, { first, count: operationsPerRun })
  }
}

export const accessorCases: readonly MicroCase[] = [
  { name: 'row(key): read and write a column', prepare: async () => calls(await filledDatabase(), touchRows) },
  { name: 'get(key): the whole row', prepare: async () => calls(await filledDatabase(), readRows) },
]
