/** All services, and all tables with the columns that hold a time. */
import type { Service, Table } from 'sluicedb'
import { cart } from './cart.js'
import { customer } from './customer.js'
import './feedback.js'
import { order } from './order.js'
import { payment } from './payment.js'
import { product } from './product.js'
import { seller } from './seller.js'
import { shipment } from './shipment.js'
import { stock } from './stock.js'

/** In the order of a checkout; atomic handlers of one event run in this order. */
export const services: readonly Service<any>[] = [
  customer,
  product,
  cart,
  stock,
  order,
  seller,
  payment,
  shipment,
]

export interface MarketplaceTable {
  readonly table: Table
  /** Columns taken from `tx.now`: the only ones that a replay at another time may change. */
  readonly times: readonly string[]
}

export const tables: readonly MarketplaceTable[] = [
  { table: customer.tables.customer, times: ['createdAt', 'updatedAt'] },
  { table: product.tables.product, times: ['createdAt', 'updatedAt'] },
  { table: cart.tables.cart, times: ['createdAt', 'updatedAt'] },
  { table: cart.tables.item, times: [] },
  { table: cart.tables.replica, times: [] },
  { table: stock.tables.item, times: ['createdAt', 'updatedAt'] },
  { table: order.tables.counter, times: [] },
  {
    table: order.tables.order,
    times: [
      'purchasedAt',
      'paidAt',
      'deliveredCarrierAt',
      'deliveredCustomerAt',
      'estimatedDeliveryAt',
      'createdAt',
      'updatedAt',
    ],
  },
  { table: order.tables.item, times: ['shippingLimit'] },
  { table: order.tables.history, times: ['createdAt'] },
  { table: seller.tables.seller, times: [] },
  { table: seller.tables.entry, times: ['shippedAt', 'deliveredAt', 'createdAt'] },
  { table: payment.tables.payment, times: ['createdAt'] },
  { table: payment.tables.card, times: ['createdAt'] },
  { table: shipment.tables.shipment, times: ['requestedAt'] },
  { table: shipment.tables.package, times: ['shippedAt', 'deliveredAt'] },
]
