/** What is sold, and for how much. Everybody reads it, so it is global: no lane has to ask another one for a price. */
import { column as c, service, table } from 'sluicedb'

const offer = table({
  columns: {
    product: c.text(),
    seller: c.text(),
    price: c.int().positive(), // money is whole cents
    isListed: c.bool().default(true),
  },
  key: ['product'],
  partition: 'global',
})

export const catalogue = service('catalogue', {
  tables: { offer },
  events: { listed: { product: c.text(), count: c.int() } },
})

/** The offer and its stock come into being together: stock handles `listed` in this transaction. */
export const list = catalogue.procedure(
  'list',
  { input: { product: c.text(), seller: c.text(), price: c.int(), count: c.int() } },
  (tx, { count, ...offer }) => {
    tx.db.offer.insert(offer)
    tx.emit('listed', { product: offer.product, count })
  },
)

export const changePrice = catalogue.procedure(
  'changePrice',
  { input: { product: c.text(), price: c.int() } },
  (tx, { product, price }) => {
    tx.db.offer.update(product, { price })
  },
)
