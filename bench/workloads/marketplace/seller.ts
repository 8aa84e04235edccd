/**
 * Sellers and what they have to deliver. Entries live with their seller, so that a dashboard reads one partition. An
 * entry is open until its order has been delivered, or will not be.
 */
import { and, column as c, count, eq, select, service, sum, table, type RowOf } from 'sluicedb'
import { totalsOf } from './dashboard.js'
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
    category: c.text(),
    unitPrice: c.int(),
    quantity: c.int(),
    totalItems: c.int(),
    totalAmount: c.int(),
    totalInvoice: c.int(),
    totalIncentive: c.int(),
    freight: c.int(),
    orderStatus: c.text(),
    deliveryStatus: c.text(),
    isOpen: c.bool(),
    shippedAt: c.timestamp().nullable(),
    deliveredAt: c.timestamp().nullable(),
    createdAt: c.timestamp(),
  },
  key: ['customer', 'order', 'product', 'seller'],
  partition: ['seller'],
  indexes: { open: { on: ['seller'], where: { isOpen: true } }, byOrder: { on: ['customer', 'order'] } },
})

export const seller = service('seller', { tables: { seller: known, entry } })

export type Entry = Readonly<RowOf<typeof entry>>

/** The first query of a dashboard: what each open order comes to. */
export const openOrders = select(entry)
  .params({ seller: c.int() })
  .where((row, p) => and(eq(row.seller, p.seller), eq(row.isOpen, true)))
  .groupBy((row) => [row.customer, row.order])
  .columns((row) => ({
    customer: row.customer,
    order: row.order,
    items: count(),
    quantity: sum(row.quantity),
    totalItems: sum(row.totalItems),
    totalAmount: sum(row.totalAmount),
    totalIncentive: sum(row.totalIncentive),
    totalInvoice: sum(row.totalInvoice),
    freight: sum(row.freight),
  }))

/** The second one: the entries behind it. */
export const openEntries = select(entry)
  .params({ seller: c.int() })
  .where((row, p) => and(eq(row.seller, p.seller), eq(row.isOpen, true)))

/** T5: two queries that must see the same moment. Read-only, so it runs where it is called and is never sequenced. */
export const dashboard = seller.procedure(
  'dashboard',
  { input: { seller: c.int() }, readonly: true },
  (tx, it) => {
    const totals = totalsOf(tx.query(openOrders, it))
    return { totals, entries: tx.query(openEntries, it) }
  },
)

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
        category: line.category,
        unitPrice: line.unitPrice,
        quantity: line.quantity,
        totalItems: line.totalItems,
        totalAmount: line.totalAmount,
        totalInvoice: line.totalAmount + line.freight,
        totalIncentive: line.totalIncentive,
        freight: line.freight,
        orderStatus: 'INVOICED',
        deliveryStatus: 'created',
        isOpen: true,
        createdAt: tx.now,
      })
    }
  },
)
