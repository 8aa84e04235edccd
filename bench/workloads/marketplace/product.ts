/**
 * The catalogue: what is sold, by whom and for how much. It owns prices and versions; cart and stock follow
 * in the same transaction.
 */
import { column as c, service, table } from 'sluicedb'
import { productColumns } from './messages.js'

const entry = table({
  columns: { ...productColumns, createdAt: c.timestamp(), updatedAt: c.timestamp() },
  key: ['seller', 'product'],
  ordered: true,
})

export const product = service('product', {
  tables: { product: entry },
  events: {
    productAdded: { ...productColumns, quantity: c.int().min(0) },
    productUpdated: { ...productColumns, instance: c.int() },
    productDeleted: { seller: c.int(), product: c.int(), version: c.int(), instance: c.int() },
    priceUpdated: { seller: c.int(), product: c.int(), price: c.int(), version: c.int(), instance: c.int() },
  },
  aborts: { NO_SUCH_PRODUCT: { seller: c.int(), product: c.int() } },
})

/**
 * Sets up one product together with its stock and its replica in the cart service: they exist together or not
 * at all.
 */
export const addProduct = product.procedure(
  'addProduct',
  { input: { ...productColumns, quantity: c.int().min(0) } },
  (tx, it) => {
    const { quantity, ...described } = it
    tx.db.product.insert({ ...described, createdAt: tx.now, updatedAt: tx.now })
    tx.emit('productAdded', { ...described, quantity })
  },
)

/**
 * A price for another version than the stored one arrives too late: it is announced, and changes nothing
 * here.
 */
export const updatePrice = product.procedure(
  'updatePrice',
  {
    input: { seller: c.int(), product: c.int(), price: c.int().min(0), version: c.int(), instance: c.int() },
  },
  (tx, it) => {
    const stored = tx.db.product.row([it.seller, it.product])
    if (!stored) throw tx.abort('NO_SUCH_PRODUCT', { seller: it.seller, product: it.product })
    const current = stored.version === it.version
    if (current) {
      stored.price = it.price
      stored.updatedAt = tx.now
    }
    tx.emit('priceUpdated', it)
    return { current }
  },
)

/**
 * Replaces a product: every field and a new version. Carts that hold the old version will be refused by
 * stock.
 */
export const updateProduct = product.procedure(
  'updateProduct',
  { input: { ...productColumns, instance: c.int() } },
  (tx, it) => {
    const { instance, ...described } = it
    const stored = tx.db.product.get([it.seller, it.product])
    if (!stored) throw tx.abort('NO_SUCH_PRODUCT', { seller: it.seller, product: it.product })
    tx.db.product.put({ ...described, createdAt: stored.createdAt, updatedAt: tx.now })
    tx.emit('productUpdated', { ...described, instance })
  },
)

/**
 * Takes a product off the market, and its stock with it. That is a new version too: carts that hold the old one will
 * be refused by stock.
 */
export const deleteProduct = product.procedure(
  'deleteProduct',
  { input: { seller: c.int(), product: c.int(), version: c.int(), instance: c.int() } },
  (tx, it) => {
    const stored = tx.db.product.row([it.seller, it.product])
    if (!stored) throw tx.abort('NO_SUCH_PRODUCT', { seller: it.seller, product: it.product })
    stored.status = 'deleted'
    stored.version = it.version
    stored.updatedAt = tx.now
    tx.emit('productDeleted', it)
  },
)
