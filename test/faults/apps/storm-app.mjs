/** A counter, for processes that run the build as it is. */
import { app, column as c, service, table } from '../../../dist/index.js'

export const counting = service('counting', {
  tables: { counter: table({ columns: { id: c.text(), n: c.int() }, key: ['id'] }) },
  events: { counted: { id: c.text(), n: c.int() } },
})
export const count = counting.procedure('count', { input: { id: c.text() }, partition: (it) => it.id }, (tx, it) => {
  const row = tx.db.counter.row(it.id)
  if (row) row.n += 1
  else tx.db.counter.insert({ id: it.id, n: 1 })
  tx.emit('counted', { id: it.id, n: row ? row.n : 1 })
  return row ? row.n : 1
})

export default app(import.meta.url, [counting])
