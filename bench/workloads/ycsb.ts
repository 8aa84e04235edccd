/**
 * YCSB's table and its writes (ycsb-plan.ts says who does what). Reads and scans need no transaction: they are asked of the table, on
 * the caller's thread. Definitions only: partition workers import this module.
 */
import { app, column as c, service, table } from 'sluicedb'
import { fieldNames, modifiedText } from './ycsb-text.js'

const columns = {
  key: c.int(),
  field0: c.text(), field1: c.text(), field2: c.text(), field3: c.text(), field4: c.text(),
  field5: c.text(), field6: c.text(), field7: c.text(), field8: c.text(), field9: c.text(),
}

const user = table({ columns, key: ['key'] })
/** The table of e: one that can be scanned. */
const sortedUser = table({ columns, key: ['key'], ordered: true })

export const ycsb = service('ycsb', {
  tables: { user, sortedUser },
  aborts: { NO_SUCH_ROW: { key: c.int() } },
})

export const insertRow = ycsb.procedure('insert', { input: columns, partition: (it) => it.key }, (tx, it) => {
  tx.db.user.insert(it)
})

export const insertSortedRow = ycsb.procedure('insertSorted', { input: columns, partition: (it) => it.key }, (tx, it) => {
  tx.db.sortedUser.insert(it)
})

export const updateField = ycsb.procedure(
  'update',
  { input: { key: c.int(), field: c.i32(), text: c.text() }, partition: (it) => it.key },
  (tx, { key, field, text }) => {
    const row = tx.db.user.row(key) ?? tx.abort('NO_SUCH_ROW', { key })
    row[fieldNames[field] as (typeof fieldNames)[number]] = text
  },
)

export const modifyField = ycsb.procedure(
  'modify',
  { input: { key: c.int(), field: c.i32() }, partition: (it) => it.key },
  (tx, { key, field }) => {
    const row = tx.db.user.row(key) ?? tx.abort('NO_SUCH_ROW', { key })
    const name = fieldNames[field] as (typeof fieldNames)[number]
    row[name] = modifiedText(row[name])
  },
)

export default app(import.meta.url, [ycsb])
