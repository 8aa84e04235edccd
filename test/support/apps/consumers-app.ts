/** Orders by customer, and what consumers have made of them: each effect once, in the order in which they saw it. */
import { app, column as c, service, table } from 'sluicedb'

export const shop = service('shop', {
  tables: { order: table({ columns: { customer: c.text(), n: c.int(), note: c.text().default('') }, key: ['customer', 'n'], ordered: true }) },
  events: { ordered: { customer: c.text(), n: c.int() } },
})
export const order = shop.procedure(
  'order',
  { input: { customer: c.text(), n: c.int(), note: c.text().default('') }, partition: (it) => it.customer },
  (tx, it) => {
    tx.db.order.insert(it)
    tx.emit('ordered', { customer: it.customer, n: it.n })
  },
)

export const post = service('post', {
  tables: {
    seen: table({ columns: { customer: c.text(), at: c.int(), n: c.int(), by: c.text().default('') }, key: ['customer', 'at'], ordered: true }),
    tally: table({ columns: { customer: c.text(), count: c.int().default(0) }, key: ['customer'] }),
  },
})
/** Notes that an order was seen, once for each call: a repeat would be a second row. */
export const note = post.procedure('note', { input: { customer: c.text(), n: c.int(), by: c.text().default('') }, partition: (it) => it.customer }, (tx, it) => {
  if (it.by === 'gated' && !tx.db.tally.has('gate')) throw tx.abort('SHUT', {})
  if (!tx.db.tally.has(it.customer)) tx.db.tally.insert({ customer: it.customer })
  const row = tx.db.tally.row(it.customer)!
  tx.db.seen.insert({ ...it, at: row.count })
  row.count += 1
  return row.count
})
export const countOf = post.procedure('countOf', { input: { customer: c.text() }, readonly: true }, (tx, { customer }) => tx.db.tally.get(customer)?.count ?? 0)

export default app(import.meta.url, [shop, post])
