/** Carts. Each lies in the partition of its customer: adding to one waits for nobody. */
import { column as c, service, table } from 'sluicedb'
import { catalogue } from './catalogue.js'

export interface Line {
  readonly product: string
  readonly seller: string
  readonly price: number
  readonly count: number
}

const line = table({
  columns: { customer: c.text(), product: c.text(), count: c.int().positive() },
  key: ['customer', 'product'],
  ordered: true,
})

export const cart = service('cart', {
  tables: { line },
  reads: { offers: catalogue.tables.offer }, // a service sees rows of another one only where it says so
  events: { checkedOut: { customer: c.text(), card: c.text(), lines: c.json<Line[]>() } },
  aborts: { NOT_LISTED: { product: c.text() }, EMPTY_CART: { customer: c.text() } },
})

export const add = cart.procedure(
  'add',
  {
    input: { customer: c.text(), product: c.text(), count: c.int().positive() },
    partition: (it) => it.customer,
  },
  (tx, it) => {
    if (!tx.db.offers.get(it.product)?.isListed) throw tx.abort('NOT_LISTED', { product: it.product })
    tx.db.line.put(it)
  },
)

/** The head of the checkout. What follows is joined by events, and is one transaction: stock, orders, payment, shipping. */
export const checkout = cart.procedure(
  'checkout',
  { input: { customer: c.text(), card: c.text() } },
  (tx, { customer, card }) => {
    const lines: Line[] = []
    for (const { product, count } of tx.db.line.scan({ prefix: [customer] })) {
      const offer = tx.db.offers.get(product)
      if (!offer?.isListed) throw tx.abort('NOT_LISTED', { product })
      lines.push({ product, seller: offer.seller, price: offer.price, count })
      tx.db.line.delete([customer, product])
    }
    if (lines.length === 0) throw tx.abort('EMPTY_CART', { customer })
    tx.emit('checkedOut', { customer, card, lines })
  },
)
