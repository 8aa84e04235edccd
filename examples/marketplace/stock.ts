/** Stock: reserves first, sells when the payment is in. `min(0)` is what refuses a sale of what is not there. */
import { column as c, service, table } from 'sluicedb'
import { cart } from './cart.js'
import { catalogue } from './catalogue.js'
import { payment } from './payment.js'

const enough = 20

const item = table({
  columns: { product: c.text(), available: c.int().min(0), reserved: c.int().min(0).default(0) },
  key: ['product'],
})
const note = table({ columns: { product: c.text(), left: c.int() }, key: ['product'] })

export const stock = service('stock', {
  tables: { item, note },
  events: { ranLow: { product: c.text(), left: c.int() } },
})

stock.on(catalogue.events.listed, { name: 'take', atomic: true }, (tx, { payload }) => {
  tx.db.item.insert({ product: payload.product, available: payload.count })
})

stock.on(cart.events.checkedOut, { name: 'reserve', atomic: true }, (tx, { payload }) => {
  for (const { product, count } of payload.lines) tx.db.item.add(product, { available: -count, reserved: count })
})

stock.on(payment.events.paid, { name: 'sell', atomic: true }, (tx, { payload }) => {
  for (const { product, count } of payload.lines) {
    const kept = tx.db.item.row(product)!
    kept.reserved -= count
    if (kept.available < enough) tx.emit('ranLow', { product, left: kept.available })
  }
})

stock.on(payment.events.declined, { name: 'release', atomic: true }, (tx, { payload }) => {
  for (const { product, count } of payload.lines) tx.db.item.add(product, { available: count, reserved: -count })
})

/** Nobody has to wait for a note to the buyers: this one is a transaction of its own, after the commit, exactly once. */
stock.on(stock.events.ranLow, { name: 'note', partition: (it) => it.product }, (tx, { payload }) => {
  tx.db.note.put(payload)
})
