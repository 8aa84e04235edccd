/** Customers, and how often they have paid, have not paid, and have received a package. */
import { column as c, service, table } from 'sluicedb'

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
