/**
 * Carts, and the replica of the catalogue that fills them.
 *
 * A cart lives in the partition of its customer, so that adding to it is a single-partition transaction. The
 * replica is global: every lane may read it, only the cross-partition lane writes it. An add therefore takes
 * price and version from the replica inside its own transaction. In the original the client sends the price
 * it saw, outside of any transaction, and a driver has to lock products so that nobody adds a stale price;
 * here there is nothing to lock.
 *
 * Decisions where the profile is silent:
 *  - An empty cart is refused (`EMPTY_CART`), not turned into an order without items.
 *  - When stock can reserve nothing, the whole checkout is undone (`NOTHING_AVAILABLE`), so the cart stays as it
 *    was. Adding the product again replaces the old line by one of the current version.
 */
import { column as c, service, table } from 'sluicedb'
import { checkoutColumns, productColumns, type CartLine, type Checkout } from './messages.js'
import { product } from './product.js'

const item = table({
  columns: {
    customer: c.int(),
    seller: c.int(),
    product: c.int(),
    name: c.text(),
    unitPrice: c.int().min(0),
    freight: c.int().min(0),
    quantity: c.int().min(1),
    voucher: c.int().min(0),
    version: c.int(),
    /**
     * `unitPrice - voucher` when the line was added: whatever happens to the price, the customer never pays
     * more.
     */
    netWhenAdded: c.int(),
    addedBy: c.int(),
  },
  key: ['customer', 'seller', 'product'],
  partition: ['customer'],
  ordered: true,
  indexes: { byProduct: { on: ['seller', 'product', 'version'] } },
})

const replica = table({ columns: productColumns, key: ['seller', 'product'], partition: 'global' })

export const cart = service('cart', {
  tables: { item, replica },
  events: {
    reserveStock: {
      timestamp: c.timestamp(),
      checkout: c.json<Checkout>(),
      items: c.json<CartLine[]>(),
      instance: c.int(),
    },
  },
  aborts: { NO_SUCH_PRODUCT: { seller: c.int(), product: c.int() }, EMPTY_CART: { customer: c.int() } },
})

export const addItem = cart.procedure(
  'addItem',
  {
    input: {
      customer: c.int(),
      seller: c.int(),
      product: c.int(),
      quantity: c.int().min(1),
      voucherPercent: c.int().min(0).max(100),
      instance: c.int(),
    },
    partition: (it) => it.customer,
  },
  (tx, it) => {
    const offer = tx.db.replica.row([it.seller, it.product])
    if (!offer) throw tx.abort('NO_SUCH_PRODUCT', { seller: it.seller, product: it.product })
    const { name, price, freight, version } = offer
    const voucher = Math.floor((price * it.voucherPercent) / 100)
    tx.db.item.put({
      customer: it.customer,
      seller: it.seller,
      product: it.product,
      name,
      unitPrice: price,
      freight,
      quantity: it.quantity,
      voucher,
      version,
      netWhenAdded: price - voucher,
      addedBy: it.instance,
    })
  },
)

/**
 * The head of the checkout: cart → stock → order → { seller, payment → shipment }, one transaction joined by
 * events.
 */
export const checkout = cart.procedure('checkout', { input: checkoutColumns }, (tx, it) => {
  const items: CartLine[] = []
  for (const { customer, netWhenAdded, ...line } of tx.db.item.scan({ prefix: [it.customer] }))
    items.push(line)
  if (items.length === 0) throw tx.abort('EMPTY_CART', { customer: it.customer })
  for (const line of items) tx.db.item.delete([it.customer, line.seller, line.product])
  tx.emit('reserveStock', { timestamp: tx.now, checkout: it, items, instance: it.instance })
  return { items: items.length }
})

cart.on(
  () => product.events.productAdded,
  { name: 'replicate', atomic: true },
  (tx, event) => {
    const { quantity, ...described } = event.payload
    tx.db.replica.insert(described)
  },
)

cart.on(
  () => product.events.productUpdated,
  { name: 'followProduct', atomic: true },
  (tx, event) => {
    const { instance, ...described } = event.payload
    tx.db.replica.put(described)
  },
)

/** Carts that hold this version see the new price, and a voucher that makes up for the difference. */
cart.on(
  () => product.events.priceUpdated,
  { name: 'followPrice', atomic: true },
  (tx, event) => {
    const { seller, product, price, version } = event.payload
    const offer = tx.db.replica.row([seller, product])
    if (offer && offer.version === version) offer.price = price
    for (const line of tx.db.item.index.byProduct.rows([seller, product, version])) {
      line.voucher += price - line.unitPrice // first: once the price is overwritten there is no difference left
      line.unitPrice = price
    }
  },
)
