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

/** Without a partition, in the cross-partition lane. */
export const prepare = fragile.procedure('prepare', { input: { id: c.int() } }, (tx, it) => tx.db.item.put({ id: it.id, n: 1 }))
/** Takes its thread along where nobody has prepared it: ahead of its turn, if that is in the same batch. */
export const dieUnlessPrepared = fragile.procedure('dieUnlessPrepared', { input: { id: c.int(), how: c.enum(['throw', 'exit', 'loop']) } }, (tx, it) => {
  if (tx.db.item.has(it.id)) return 'alive'
  if (it.how === 'throw') throw new Error('not prepared')
  if (it.how === 'exit') process.exit(3)
  for (;;);
})

export default app(import.meta.url, [fragile])
