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
 *  - A cart is a row of its own, `OPEN` as long as there is something in it.
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
    category: c.text(),
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

const opened = table({
  columns: {
    customer: c.int(),
    status: c.enum(['OPEN', 'CHECKOUT_SENT']),
    createdAt: c.timestamp(),
    /** When the status changed. */
    updatedAt: c.timestamp(),
  },
  key: ['customer'],
})

const replica = table({ columns: productColumns, key: ['seller', 'product'], partition: 'global' })

export const cart = service('cart', {
  tables: { cart: opened, item, replica },
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
    if (offer?.status !== 'approved')
      throw tx.abort('NO_SUCH_PRODUCT', { seller: it.seller, product: it.product })
    const { name, category, price, freight, version } = offer
    const kept = tx.db.cart.row(it.customer)
    if (!kept) {
      tx.db.cart.insert({ customer: it.customer, status: 'OPEN', createdAt: tx.now, updatedAt: tx.now })
    } else if (kept.status !== 'OPEN') {
      kept.status = 'OPEN'
      kept.updatedAt = tx.now
    }
    const voucher = Math.floor((price * it.voucherPercent) / 100)
    tx.db.item.put({
      customer: it.customer,
      seller: it.seller,
      product: it.product,
      name,
      category,
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
 * The head of the checkout: cart → stock → order → { seller, payment → … }, one transaction joined by events. A
 * payment that succeeds goes on to stock, customer, order, seller and shipment, one that fails to the first four of
 * them.
 */
export const checkout = cart.procedure('checkout', { input: checkoutColumns }, (tx, it) => {
  const items: CartLine[] = []
  for (const { customer, netWhenAdded, ...line } of tx.db.item.scan({ prefix: [it.customer] }))
    items.push(line)
  if (items.length === 0) throw tx.abort('EMPTY_CART', { customer: it.customer })
  for (const line of items) tx.db.item.delete([it.customer, line.seller, line.product])
  tx.db.cart.update(it.customer, { status: 'CHECKOUT_SENT', updatedAt: tx.now })
  tx.emit('reserveStock', { timestamp: tx.now, checkout: it, items, instance: it.instance })
  return { items: items.length }
})

/** Carts that hold this version see the new price, and a voucher that makes up for the difference. */
cart.on(
  () => product.events.priceUpdated,
  { name: 'reprice', atomic: true },
  (tx, event) => {
    const { seller, product, price, version } = event.payload
    for (const line of tx.db.item.index.byProduct.rows([seller, product, version])) {
      line.voucher += price - line.unitPrice // first: once the price is overwritten there is no difference left
      line.unitPrice = price
    }
  },
)

/* The replica of the catalogue: the four handlers from here on are all that keeps it, and nothing else writes it. */

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
  { name: 'replicateUpdate', atomic: true },
  (tx, event) => {
    const { instance, ...described } = event.payload
    tx.db.replica.put(described)
  },
)

cart.on(
  () => product.events.productDeleted,
  { name: 'replicateDelete', atomic: true },
  (tx, event) => {
    const { seller, product, version } = event.payload
    tx.db.replica.update([seller, product], { status: 'deleted', version })
  },
)

cart.on(
  () => product.events.priceUpdated,
  { name: 'replicatePrice', atomic: true },
  (tx, event) => {
    const { seller, product, price, version } = event.payload
    const offer = tx.db.replica.row([seller, product])
    if (offer && offer.version === version) offer.price = price
  },
)
