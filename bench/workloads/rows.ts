/** One table with rows of one hundred bytes (row-plan.ts counts them), for reads and for memory. Definitions only. */
import { app, column as c, service, table } from 'sluicedb'

const account = table({
  columns: {
    id: c.int(),
    owner: c.text(),
    balance: c.int(),
    opened: c.timestamp(),
    branch: c.i32(),
    status: c.i32(),
    note: c.text(),
  },
  key: ['id'],
})

export const rows = service('rows', { tables: { account } })

export const addRow = rows.procedure(
  'addRow',
  {
    input: {
      id: c.int(),
      owner: c.text(),
      balance: c.int(),
      opened: c.timestamp(),
      branch: c.i32(),
      status: c.i32(),
      note: c.text(),
    },
    partition: (it) => it.id,
  },
  (tx, it) => {
    tx.db.account.insert(it)
  },
)

const run = { first: c.int(), count: c.int() }

/** Adds 1 to the balance of `count` rows, through accessors. */
export const touchRows = rows.procedure('touchRows', { input: run }, (tx, { first, count }) => {
  for (let id = first; id < first + count; id += 1) {
    const row = tx.db.account.row(id)
    if (row) row.balance += 1
  }
  return count
})

/** Sums the balances of `count` rows, each read whole. */
export const readRows = rows.procedure('readRows', { input: run }, (tx, { first, count }) => {
  let sum = 0
  for (let id = first; id < first + count; id += 1) sum += tx.db.account.get(id)?.balance ?? 0
  return sum
})

export default app(import.meta.url, [rows])
