/** Orders, and handlers that run after their commit: what each of them has seen stands in rows, in the order in which it saw it. */
import { app, column as c, service, table } from 'sluicedb'

export const shop = service('shop', {
  tables: { order: table({ columns: { customer: c.text(), n: c.int() }, key: ['customer', 'n'], ordered: true }) },
  events: { ordered: { customer: c.text(), n: c.int(), how: c.text().default('') } },
})
/** One order, or several in one transaction. */
export const order = shop.procedure(
  'order',
  { input: { customer: c.text(), n: c.int(), how: c.text().default(''), times: c.int().default(1) }, partition: (it) => it.customer },
  (tx, { customer, n, how, times }) => {
    for (let k = 0; k < times; k += 1) {
      tx.db.order.insert({ customer, n: n + k })
      tx.emit('ordered', { customer, n: n + k, how })
    }
  },
)

const seen = () => table({ columns: { customer: c.text(), at: c.int(), n: c.int(), position: c.text() }, key: ['customer', 'at'], ordered: true })
const tally = table({ columns: { customer: c.text(), count: c.int().default(0) }, key: ['customer'] })
export const post = service('post', {
  tables: { seen: seen(), tally },
  events: { noted: { customer: c.text(), n: c.int() } },
})
/** By customer: each one's orders in order, customers beside each other. */
post.on(() => shop.events.ordered, { name: 'note', partition: (it) => it.customer }, (tx, event) => {
  const { customer, n, how } = event.payload
  if (how === 'abort') throw tx.abort('NO', { n })
  if (how === 'throw') throw new Error(`not ${n}`)
  if (!tx.db.tally.has(customer)) tx.db.tally.insert({ customer })
  const row = tx.db.tally.row(customer)!
  tx.db.seen.insert({ customer, at: row.count, n, position: event.position })
  row.count += 1
  tx.emit('noted', { customer, n })
})

const all = service('all', {
  tables: { seen: seen(), tally: table({ columns: { customer: c.text(), count: c.int().default(0) }, key: ['customer'] }) },
})
/** Without a partition: all events, one after the other. And what a handler announces is handled too. */
all.on(() => post.events.noted, { name: 'count' }, (tx, event) => {
  if (!tx.db.tally.has('all')) tx.db.tally.insert({ customer: 'all' })
  const row = tx.db.tally.row('all')!
  tx.db.seen.insert({ customer: 'all', at: row.count, n: event.payload.n, position: event.position })
  row.count += 1
})
export { all }

export default app(import.meta.url, [shop, post, all])
