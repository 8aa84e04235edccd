/**
 * Shipment: the end of a checkout. One shipment per order, one package per line. Delivery is not part of this
 * profile.
 */
import { column as c, service, table } from 'sluicedb'
import { payment } from './payment.js'

const shipped = table({
  columns: {
    customer: c.int(),
    order: c.int(),
    packageCount: c.int().min(1),
    totalFreight: c.int().min(0),
    requestedAt: c.timestamp(),
    status: c.enum(['APPROVED', 'DELIVERY_IN_PROGRESS', 'CONCLUDED']),
    firstName: c.text(),
    lastName: c.text(),
    street: c.text(),
    complement: c.text(),
    zipCode: c.text(),
    city: c.text(),
    state: c.text(),
  },
  key: ['customer', 'order'],
  partition: ['customer'],
  ordered: true,
})

const parcel = table({
  columns: {
    customer: c.int(),
    order: c.int(),
    package: c.int(),
    seller: c.int(),
    product: c.int(),
    name: c.text(),
    freight: c.int().min(0),
    quantity: c.int().min(1),
    shippedAt: c.timestamp(),
    deliveredAt: c.timestamp().nullable(),
    status: c.enum(['created', 'ready_to_ship', 'canceled', 'shipped', 'lost', 'stolen', 'delivered']),
  },
  key: ['customer', 'order', 'package'],
  partition: ['customer'],
  ordered: true,
})

export const shipment = service('shipment', { tables: { shipment: shipped, package: parcel } })

shipment.on(
  () => payment.events.paymentConfirmed,
  { name: 'ship', atomic: true },
  (tx, event) => {
    const { checkout, order, items } = event.payload
    const { customer, firstName, lastName, street, complement, zipCode, city, state } = checkout
    tx.db.shipment.insert({
      customer,
      order,
      packageCount: items.length,
      totalFreight: items.reduce((sum, line) => sum + line.freight, 0),
      requestedAt: tx.now,
      status: 'APPROVED',
      firstName,
      lastName,
      street,
      complement,
      zipCode,
      city,
      state,
    })
    for (const line of items) {
      tx.db.package.insert({
        customer,
        order,
        package: line.item,
        seller: line.seller,
        product: line.product,
        name: line.name,
        freight: line.freight,
        quantity: line.quantity,
        shippedAt: tx.now,
        status: 'shipped',
      })
    }
  },
)
