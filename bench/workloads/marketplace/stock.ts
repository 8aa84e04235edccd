/**
 * Stock: reserves what a checkout asks for, line by line. A line of another version, or too large, is left
 * out. When the payment is in, what was reserved is sold; when it is not, it is given back. Both are part of the
 * checkout's transaction, so nobody ever sees a reservation.
 */
import { column as c, service, table } from 'sluicedb'
import { cart } from './cart.js'
import { productStatuses, type CartLine, type Checkout } from './messages.js'
import { product } from './product.js'

const item = table({
  columns: {
    seller: c.int(),
    product: c.int(),
    qtyAvailable: c.int().min(0),
    qtyReserved: c.int().min(0),
    orderCount: c.int().min(0).default(0),
    /** Units sold. */
    ytd: c.int().min(0).default(0),
    data: c.text().default(''),
    version: c.int(),
    status: c.enum(productStatuses).default('approved'),
    createdAt: c.timestamp(),
    updatedAt: c.timestamp(),
  },
  key: ['seller', 'product'],
})

export const stock = service('stock', {
  tables: { item },
  events: {
    stockConfirmed: {
      timestamp: c.timestamp(),
      checkout: c.json<Checkout>(),
      items: c.json<CartLine[]>(),
      instance: c.int(),
    },
  },
  aborts: {
    NO_SUCH_STOCK: { seller: c.int(), product: c.int() },
    NOTHING_AVAILABLE: { customer: c.int(), items: c.int() },
  },
})

stock.on(
  () => product.events.productAdded,
  { name: 'open', atomic: true },
  (tx, event) => {
    const { seller, product, quantity, version } = event.payload
    tx.db.item.insert({
      seller,
      product,
      qtyAvailable: quantity,
      qtyReserved: 0,
      version,
      createdAt: tx.now,
      updatedAt: tx.now,
    })
  },
)

stock.on(
  () => product.events.productUpdated,
  { name: 'followProduct', atomic: true },
  (tx, event) => {
    const { seller, product, version, status } = event.payload
    const kept = tx.db.item.row([seller, product])
    if (!kept) throw tx.abort('NO_SUCH_STOCK', { seller, product })
    kept.version = version
    kept.status = status
    kept.updatedAt = tx.now
  },
)

stock.on(
  () => product.events.productDeleted,
  { name: 'followDelete', atomic: true },
  (tx, event) => {
    const { seller, product, version } = event.payload
    const kept = tx.db.item.row([seller, product])
    if (!kept) throw tx.abort('NO_SUCH_STOCK', { seller, product })
    kept.version = version
    kept.status = 'deleted'
    kept.updatedAt = tx.now
  },
)

stock.on(
  () => cart.events.reserveStock,
  { name: 'reserve', atomic: true },
  (tx, event) => {
    const { checkout, items, instance } = event.payload
    const accepted: CartLine[] = []
    for (const line of items) {
      const kept = tx.db.item.row([line.seller, line.product])
      if (!kept || kept.version !== line.version || kept.status !== 'approved') continue
      if (kept.qtyReserved + line.quantity > kept.qtyAvailable) continue
      kept.qtyReserved += line.quantity
      kept.updatedAt = tx.now
      accepted.push(line)
    }
    if (accepted.length === 0)
      throw tx.abort('NOTHING_AVAILABLE', { customer: checkout.customer, items: items.length })
    tx.emit('stockConfirmed', { timestamp: event.payload.timestamp, checkout, items: accepted, instance })
  },
)
