/**
 * YCSB on SluiceDB. Reads and scans are answered at once, from the newest durable batch, by the thread that asks; writes are calls.
 * Options: `file`, `workers`, `inFlight` (sluicedb.ts).
 */
import type { Database } from 'sluicedb'
import { inChunks } from '../workloads/bank-driver.js'
import { newFields, rowKey, ycsbKinds, type YcsbPlan } from '../workloads/ycsb-plan.js'
import { fieldNames, fieldText } from '../workloads/ycsb-text.js'
import { YcsbWitness } from '../workloads/ycsb-witness.js'
import application, { insertRow, insertSortedRow, modifyField, updateField, ycsb } from '../workloads/ycsb.js'
import type { Contestant } from './contestant.js'
import { inFlightPlay } from './in-flight.js'
import { openFor } from './open-for.js'

const loadChunk = 1_024

export const ycsbRows: Contestant = async (task) => {
  if (task.kind !== 'ycsb') throw new TypeError(`YCSB cannot play "${task.kind}"`)
  const { plan } = task
  const db = await openFor(task, application)
  const isSorted = plan.workload === 'e'
  const insert = isSorted ? insertSortedRow : insertRow
  await inChunks(0, plan.rows, loadChunk, (numbers) => db.submitMany(insert, numbers.map((number) => newRow(rowKey(number)))))
  const witness = new YcsbWitness(plan)
  const play = inFlightPlay(task.options, operations(db, plan, witness, insert))
  return {
    play(first, count, latency) {
      witness.round(first, count)
      return play(first, count, latency)
    },
    digest() {
      const rows = isSorted ? db.table(ycsb.tables.sortedUser) : db.table(ycsb.tables.user)
      for (const row of rows) witness.row(row.key, fieldNames.map((name) => row[name]))
      return witness.digest()
    },
    close: () => db.close(),
  }
}

function operations(
  db: Database, plan: YcsbPlan, witness: YcsbWitness, insert: typeof insertRow,
): (index: number) => Promise<unknown> | undefined {
  const user = db.table(ycsb.tables.user)
  const sortedUser = db.table(ycsb.tables.sortedUser)
  return (index) => {
    const key = plan.key[index] as number
    const detail = plan.detail[index] as number
    switch (ycsbKinds[plan.kind[index] as number]) {
      case 'read': {
        const row = user.get(key)
        if (row === undefined) throw new Error(`row ${key} was not there to be read by operation ${index}`)
        witness.sawRow(row.field0, row.field9)
        return undefined
      }
      case 'scan': {
        const rows = [...sortedUser.scan({ from: key, limit: detail })]
        witness.sawRows(rows[0]?.field0 ?? '', rows[0]?.field9 ?? '', rows.length)
        return undefined
      }
      case 'update':
        return db.call(updateField, { key, field: detail, text: fieldText(key, detail, index + 1) })
      case 'modify':
        return db.call(modifyField, { key, field: detail })
      case 'insert':
        return db.call(insert, newRow(key))
      case undefined:
        throw new RangeError(`the plan has no operation ${index}`)
    }
  }
}

function newRow(key: number) {
  const [field0, field1, field2, field3, field4, field5, field6, field7, field8, field9] = newFields(key) as Ten
  return { key, field0, field1, field2, field3, field4, field5, field6, field7, field8, field9 }
}

type Ten = [string, string, string, string, string, string, string, string, string, string]
