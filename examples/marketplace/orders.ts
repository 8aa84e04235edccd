/** Orders, numbered by the engine. An order that was not paid stays, and says so. */
import { column as c, service, table } from 'sluicedb'
import { cart, type Line } from './cart.js'

export const orderStatuses = ['placed', 'paid', 'declined', 'delivered'] as const

const order = table({
  columns: {
    customer: c.text(),
    id: c.int().generated(),
    total: c.int().positive(),
    status: c.enum(orderStatuses).default('placed'),
    lines: c.json<Line[]>(),
    placed: c.timestamp(),
  },
  key: ['customer', 'id'],
  ordered: true,
  checks: { addsUp: (row) => row.total === row.lines.reduce((sum, line) => sum + line.price * line.count, 0) },
})

export const orders = service('orders', {
  tables: { order },
  events: {
    placed: { customer: c.text(), id: c.int(), total: c.int(), card: c.text(), lines: c.json<Line[]>() },
  },
})

orders.on(cart.events.checkedOut, { name: 'place', atomic: true }, (tx, { payload }) => {
  const { customer, card, lines } = payload
  const total = lines.reduce((sum, line) => sum + line.price * line.count, 0)
  const [, id] = tx.db.order.insert({ customer, total, lines, placed: tx.now })
  tx.emit('placed', { customer, id, total, card, lines })
})

/** The others say how it went on. */
export const setStatus = orders.procedure(
  'setStatus',
  { input: { customer: c.text(), id: c.int(), status: c.enum(orderStatuses) } },
  (tx, { customer, id, status }) => {
    tx.db.order.update([customer, id], { status })
  },
)
