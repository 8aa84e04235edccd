/**
 * What payment and shipment tell the services before them: stock sells or takes back what it reserved, orders and
 * sellers follow, customers count. All of it in the transaction that is told about.
 *
 * These handlers stand here and not with their services because a checkout comes back to where it has been: files of
 * services import in the direction of the checkout, and only this one looks back.
 */
import type { TxOf } from 'sluicedb'
import { customer } from './customer.js'
import { order, statusByShipment, type OrderStatus } from './order.js'
import { payment } from './payment.js'
import { seller } from './seller.js'
import { shipment } from './shipment.js'
import { stock } from './stock.js'

stock.on(
  () => payment.events.paymentConfirmed,
  { name: 'sell', atomic: true },
  (tx, event) => {
    for (const { seller, product, quantity } of event.payload.items) {
      const kept = tx.db.item.row([seller, product])
      if (!kept) throw tx.abort('NO_SUCH_STOCK', { seller, product })
      kept.qtyAvailable -= quantity
      kept.qtyReserved -= quantity
      kept.orderCount += 1
      kept.ytd += quantity
      kept.updatedAt = tx.now
    }
  },
)

stock.on(
  () => payment.events.paymentFailed,
  { name: 'giveBack', atomic: true },
  (tx, event) => {
    for (const { seller, product, quantity } of event.payload.items) {
      const kept = tx.db.item.row([seller, product])
      if (!kept) throw tx.abort('NO_SUCH_STOCK', { seller, product })
      kept.qtyReserved -= quantity
      kept.updatedAt = tx.now
    }
  },
)

customer.on(
  () => payment.events.paymentConfirmed,
  { name: 'countSuccess', atomic: true },
  (tx, event) => {
    const { customer } = event.payload.checkout
    const known = tx.db.customer.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER', { customer })
    known.successPaymentCount += 1
    known.updatedAt = tx.now
  },
)

customer.on(
  () => payment.events.paymentFailed,
  { name: 'countFailure', atomic: true },
  (tx, event) => {
    const { customer } = event.payload
    const known = tx.db.customer.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER', { customer })
    known.failedPaymentCount += 1
    known.updatedAt = tx.now
  },
)

customer.on(
  () => shipment.events.shipmentUpdated,
  { name: 'countDeliveries', atomic: true },
  (tx, event) => {
    for (const { customer } of event.payload.deliveries) {
      const known = tx.db.customer.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER', { customer })
      known.deliveryCount += 1
      known.updatedAt = tx.now
    }
  },
)

order.on(
  () => payment.events.paymentConfirmed,
  { name: 'notePaid', atomic: true },
  (tx, event) => {
    advance(tx, event.payload.checkout.customer, event.payload.order, 'PAYMENT_PROCESSED').paidAt = tx.now
  },
)

order.on(
  () => payment.events.paymentFailed,
  { name: 'noteUnpaid', atomic: true },
  (tx, event) => {
    advance(tx, event.payload.customer, event.payload.order, 'PAYMENT_FAILED')
  },
)

order.on(
  () => shipment.events.shipmentUpdated,
  { name: 'followShipment', atomic: true },
  (tx, event) => {
    for (const { customer, order, status } of event.payload.shipments) {
      const placed = advance(tx, customer, order, statusByShipment[status])
      if (status === 'DELIVERY_IN_PROGRESS') placed.deliveredCarrierAt = tx.now
      if (status === 'CONCLUDED') placed.deliveredCustomerAt = tx.now
    }
  },
)

/** The next status of an order, and its place in the history. */
function advance(tx: TxOf<typeof order>, customer: number, id: number, status: OrderStatus) {
  const placed = tx.db.order.row([customer, id])
  if (!placed) throw tx.abort('NO_SUCH_ORDER', { customer, order: id })
  placed.status = status
  placed.steps += 1
  placed.updatedAt = tx.now
  tx.db.history.insert({ customer, order: id, step: placed.steps, status, createdAt: tx.now })
  return placed
}

seller.on(
  () => payment.events.paymentConfirmed,
  { name: 'notePaid', atomic: true },
  (tx, event) => {
    const { checkout, order, items } = event.payload
    for (const { product, seller } of items)
      tx.db.entry.update([checkout.customer, order, product, seller], { orderStatus: 'PAYMENT_PROCESSED' })
  },
)

seller.on(
  () => payment.events.paymentFailed,
  { name: 'noteUnpaid', atomic: true },
  (tx, event) => {
    const { customer, order, items } = event.payload
    for (const { product, seller } of items)
      tx.db.entry.update([customer, order, product, seller], { orderStatus: 'PAYMENT_FAILED', isOpen: false })
  },
)

seller.on(
  () => shipment.events.shipmentUpdated,
  { name: 'followShipment', atomic: true },
  (tx, event) => {
    for (const { customer, order, status } of event.payload.shipments) {
      for (const entry of tx.db.entry.index.byOrder.rows([customer, order])) {
        entry.orderStatus = statusByShipment[status]
        if (status === 'CONCLUDED') entry.isOpen = false
        if (status !== 'APPROVED') continue
        entry.deliveryStatus = 'ready_to_ship'
        entry.shippedAt = tx.now
      }
    }
    for (const { customer, order, product, seller, package: parcel } of event.payload.deliveries) {
      tx.db.entry.update([customer, order, product, seller], {
        deliveryStatus: 'delivered',
        package: parcel,
        deliveredAt: tx.now,
      })
    }
  },
)
