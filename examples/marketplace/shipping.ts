/** Parcels, one for each line of a paid order, and the sellers' view of what is still to be delivered. */
import { and, column as c, count, eq, select, service, sum, table } from 'sluicedb'
import { setStatus } from './orders.js'
import { payment } from './payment.js'

const parcel = table({
  columns: {
    seller: c.text(),
    n: c.int().generated(),
    customer: c.text(),
    order: c.int(),
    product: c.text(),
    count: c.int(),
    amount: c.int(),
    isDelivered: c.bool().default(false),
  },
  key: ['seller', 'n'],
  ordered: true,
  indexes: {
    waiting: { on: ['seller'], where: { isDelivered: false } }, // partial: what was delivered costs nothing any more
    byOrder: { on: ['customer', 'order'] },
  },
})

export const shipping = service('shipping', { tables: { parcel } })

shipping.on(payment.events.paid, { name: 'pack', atomic: true }, (tx, { payload }) => {
  const { customer, id, lines } = payload
  for (const { seller, product, price, count } of lines)
    tx.db.parcel.insert({ seller, customer, order: id, product, count, amount: price * count })
})

/** Delivers the oldest parcel of a seller. An order is delivered with its last parcel. */
export const deliver = shipping.procedure('deliver', { input: { seller: c.text() } }, (tx, { seller }) => {
  const [parcel] = tx.db.parcel.index.waiting.rows(seller)
  if (!parcel) return { product: null }
  const { customer, order, product } = parcel
  parcel.isDelivered = true
  const all = tx.db.parcel.index.byOrder.get([customer, order])
  if (all.every((one) => one.isDelivered)) tx.call(setStatus, { customer, id: order, status: 'delivered' })
  return { product }
})

const waiting = select(parcel)
  .params({ seller: c.text() })
  .where((row, p) => and(eq(row.seller, p.seller), eq(row.isDelivered, false)))
const sums = waiting.columns((row) => ({ parcels: count(), amount: sum(row.amount) }))

/** Two queries of one moment. Read-only: it runs where it is called, and stands in nobody's way. */
export const dashboard = shipping.procedure(
  'dashboard',
  { input: { seller: c.text() }, readonly: true },
  (tx, it) => {
    const [totals] = tx.query(sums, it)
    return { ...totals!, list: tx.query(waiting, it) }
  },
)
