/**
 * Shipment: the end of a checkout that was paid. One shipment per order, one package per line. A delivery takes, per
 * seller, the oldest package that is on its way, from ten sellers at most.
 *
 * The oldest is the one whose checkout has the smallest request number, not the smallest time: packages of a batch
 * share their time, and a serial replay of the log (criterion 11) runs at another one.
 */
import { column as c, service, table } from 'sluicedb'
import type { DeliveryNotice, ShipmentNotice } from './messages.js'
import { payment } from './payment.js'

export const deliverySellersMax = 10
/** How far a delivery looks for ten sellers: so many pages of the oldest packages. */
const deliveryPagesMax = 8
const deliveryPageRows = 32

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
    instance: c.int(),
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
  indexes: {
    onTheWay: {
      on: ['instance', 'customer', 'order', 'package'],
      range: true,
      where: { status: 'shipped' },
    },
  },
})

export const shipment = service('shipment', {
  tables: { shipment: shipped, package: parcel },
  events: {
    shipmentUpdated: {
      shipments: c.json<ShipmentNotice[]>(),
      deliveries: c.json<DeliveryNotice[]>(),
      instance: c.int(),
    },
  },
  aborts: { NO_SUCH_SHIPMENT: { customer: c.int(), order: c.int() } },
})

shipment.on(
  () => payment.events.paymentConfirmed,
  { name: 'ship', atomic: true },
  (tx, event) => {
    const { checkout, order, items, instance } = event.payload
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
        instance,
        seller: line.seller,
        product: line.product,
        name: line.name,
        freight: line.freight,
        quantity: line.quantity,
        shippedAt: tx.now,
        status: 'shipped',
      })
    }
    const shipments: ShipmentNotice[] = [{ customer, order, status: 'APPROVED' }]
    tx.emit('shipmentUpdated', { shipments, deliveries: [], instance })
  },
)

interface OldestPackage {
  readonly seller: number
  readonly customer: number
  readonly order: number
}

/** Announces what it did also when there was nothing to deliver. */
export const updateDelivery = shipment.procedure(
  'updateDelivery',
  { input: { instance: c.int() } },
  (tx, { instance }) => {
    const shipments: ShipmentNotice[] = []
    const deliveries: DeliveryNotice[] = []
    for (const { seller, customer, order } of oldestPerSeller()) {
      const sent = tx.db.shipment.row([customer, order])
      if (!sent) throw tx.abort('NO_SUCH_SHIPMENT', { customer, order })
      if (sent.status === 'APPROVED') {
        sent.status = 'DELIVERY_IN_PROGRESS'
        shipments.push({ customer, order, status: 'DELIVERY_IN_PROGRESS' })
      }
      let left = 0
      for (const parcel of tx.db.package.rows({ prefix: [customer, order] })) {
        if (parcel.status !== 'shipped') continue
        if (parcel.seller !== seller) {
          left += 1
          continue
        }
        parcel.status = 'delivered'
        parcel.deliveredAt = tx.now
        deliveries.push({ customer, order, package: parcel.package, seller, product: parcel.product })
      }
      if (left > 0) continue
      sent.status = 'CONCLUDED'
      shipments.push({ customer, order, status: 'CONCLUDED' })
    }
    tx.emit('shipmentUpdated', { shipments, deliveries, instance })
    return { delivered: deliveries.length }

    function oldestPerSeller(): Iterable<OldestPackage> {
      const oldest = new Map<number, OldestPackage>()
      let from: readonly [number, number, number, number] = [0, 0, 0, 0]
      for (let page = 0; page < deliveryPagesMax; page += 1) {
        const limit = deliveryPageRows
        const rows = [...tx.db.package.index.onTheWay.scan({ from, limit })]
        for (const { seller, customer, order } of rows) {
          if (!oldest.has(seller)) oldest.set(seller, { seller, customer, order })
          if (oldest.size === deliverySellersMax) return oldest.values()
        }
        const last = rows.at(-1)
        if (!last || rows.length < limit) break
        from = [last.instance, last.customer, last.order, last.package + 1]
      }
      return oldest.values()
    }
  },
)
