/** Procedures that take their worker along. */
import { app, column as c, service, table } from 'sluicedb'

export const fragile = service('fragile', {
  tables: { item: table({ columns: { id: c.int(), n: c.int() }, key: ['id'], indexes: { byN: { on: ['n'] } } }) },
})

const input = { id: c.int(), n: c.int() }

export const put = fragile.procedure('put', { input, partition: (it) => it.id }, (tx, it) => {
  tx.db.item.put(it)
})
/** Writes, and ends the thread. */
export const exit = fragile.procedure('exit', { input, partition: (it) => it.id }, (tx, it) => {
  tx.db.item.put(it)
  process.exit(3)
})
/** The same in the cross-partition lane. */
export const exitAcross = fragile.procedure('exitAcross', { input }, (tx, it) => {
  tx.db.item.put(it)
  process.exit(3)
})

export default app(import.meta.url, [fragile])
