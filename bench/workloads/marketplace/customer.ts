/** Customers, and how often they have paid, have not paid, and have received a package. */
import { column as c, service, table } from 'sluicedb'
import { payment } from './payment.js'
import { shipment } from './shipment.js'

const columns = {
  id: c.int(),
  firstName: c.text(),
  lastName: c.text(),
  address: c.text(),
  complement: c.text(),
  birthDate: c.text(),
  zipCode: c.text(),
  city: c.text(),
  state: c.text(),
  cardNumber: c.text(),
  cardExpiration: c.text(),
  cardHolder: c.text(),
  cardType: c.text(),
  data: c.text(),
}

const known = table({
  columns: {
    ...columns,
    successPaymentCount: c.int().default(0),
    failedPaymentCount: c.int().default(0),
    deliveryCount: c.int().default(0),
    createdAt: c.timestamp(),
    updatedAt: c.timestamp(),
  },
  key: ['id'],
})

export const customer = service('customer', {
  tables: { customer: known },
  events: { marked: { label: c.text() } },
  aborts: { NO_SUCH_CUSTOMER: { customer: c.int() } },
})

export const addCustomer = customer.procedure(
  'addCustomer',
  { input: columns, partition: (it) => it.id },
  (tx, it) => {
    tx.db.customer.insert({ ...it, createdAt: tx.now, updatedAt: tx.now })
  },
)

/**
 * Puts a mark into the log and changes nothing: whoever reads the log up to its position has read all that
 * came before.
 */
export const mark = customer.procedure(
  'mark',
  { input: { label: c.text() }, partition: () => 0 },
  (tx, it) => {
    tx.emit('marked', it)
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
