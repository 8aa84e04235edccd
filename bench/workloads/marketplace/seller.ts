/**
 * Sellers and what they have to deliver. Entries live with their seller, so that a dashboard reads one
 * partition.
 */
import { column as c, service, table } from 'sluicedb'
import { order } from './order.js'

const known = table({
  columns: {
    id: c.int(),
    name: c.text().notBlank(),
    companyName: c.text(),
    email: c.text(),
    phone: c.text(),
    mobilePhone: c.text(),
    cpf: c.text(),
    cnpj: c.text(),
    address: c.text(),
    complement: c.text(),
    city: c.text(),
    state: c.text(),
    zipCode: c.text(),
  },
  key: ['id'],
})

const entry = table({
  columns: {
    customer: c.int(),
    order: c.int(),
    product: c.int(),
    seller: c.int(),
    naturalKey: c.text(),
    package: c.int(),
    name: c.text(),
    unitPrice: c.int(),
    quantity: c.int(),
    totalItems: c.int(),
    totalAmount: c.int(),
    totalInvoice: c.int(),
    totalIncentive: c.int(),
    freight: c.int(),
    orderStatus: c.text(),
    deliveryStatus: c.text(),
    createdAt: c.timestamp(),
  },
  key: ['customer', 'order', 'product', 'seller'],
  partition: ['seller'],
  indexes: { bySeller: { on: ['seller'] }, byOrder: { on: ['customer', 'order'] } },
})

export const seller = service('seller', { tables: { seller: known, entry } })

export const addSeller = seller.procedure(
  'addSeller',
  {
    input: {
      id: c.int(),
      name: c.text(),
      companyName: c.text(),
      email: c.text(),
      phone: c.text(),
      mobilePhone: c.text(),
      cpf: c.text(),
      cnpj: c.text(),
      address: c.text(),
      complement: c.text(),
      city: c.text(),
      state: c.text(),
      zipCode: c.text(),
    },
    partition: (it) => it.id,
  },
  (tx, it) => {
    tx.db.seller.insert(it)
  },
)

seller.on(
  () => order.events.invoiceIssued,
  { name: 'enter', atomic: true },
  (tx, event) => {
    const { checkout, order, items } = event.payload
    for (const line of items) {
      tx.db.entry.insert({
        customer: checkout.customer,
        order,
        product: line.product,
        seller: line.seller,
        naturalKey: `${checkout.customer}|${order}`,
        package: -1,
        name: line.name,
        unitPrice: line.unitPrice,
        quantity: line.quantity,
        totalItems: line.totalItems,
        totalAmount: line.totalAmount,
        totalInvoice: line.totalAmount + line.freight,
        totalIncentive: line.totalIncentive,
        freight: line.freight,
        orderStatus: 'INVOICED',
        deliveryStatus: 'created',
        createdAt: tx.now,
      })
    }
  },
)
