/**
 * Payment: one line for the invoice and, when it is paid, one for each voucher that was used. A declined card leaves
 * an order that nobody has paid: the transaction commits, and says so to those who counted on it.
 */
import { column as c, service, table } from 'sluicedb'
import { declinedCard, type Checkout, type OrderLine } from './messages.js'
import { order } from './order.js'

const paid = table({
  columns: {
    customer: c.int(),
    order: c.int(),
    sequential: c.int(),
    type: c.enum(['CREDIT_CARD', 'DEBIT_CARD', 'BOLETO', 'VOUCHER']),
    installments: c.int(),
    value: c.int().min(0),
    status: c.enum(['succeeded', 'requires_payment_method']),
    createdAt: c.timestamp(),
  },
  key: ['customer', 'order', 'sequential'],
  partition: ['customer'],
  ordered: true,
})

const card = table({
  columns: {
    customer: c.int(),
    order: c.int(),
    sequential: c.int(),
    cardNumber: c.text(),
    cardHolder: c.text(),
    cardExpiration: c.text(),
    cardBrand: c.text(),
    createdAt: c.timestamp(),
  },
  key: ['customer', 'order', 'sequential'],
  partition: ['customer'],
  ordered: true,
})

export const payment = service('payment', {
  tables: { payment: paid, card },
  events: {
    paymentConfirmed: {
      checkout: c.json<Checkout>(),
      order: c.int(),
      totalAmount: c.int(),
      items: c.json<OrderLine[]>(),
      paidAt: c.timestamp(),
      instance: c.int(),
    },
    paymentFailed: {
      customer: c.int(),
      order: c.int(),
      items: c.json<OrderLine[]>(),
      instance: c.int(),
    },
  },
})

payment.on(
  () => order.events.invoiceIssued,
  { name: 'collect', atomic: true },
  (tx, event) => {
    const { checkout, order, totalInvoice, items, instance } = event.payload
    const { customer, paymentType } = checkout
    const byCard = paymentType !== 'BOLETO'
    const accepted = !byCard || checkout.cardNumber !== declinedCard
    const status = accepted ? 'succeeded' : 'requires_payment_method'
    const receipt = { customer, order, status, createdAt: tx.now } as const
    let sequential = 1

    tx.db.payment.insert({
      ...receipt,
      sequential,
      type: paymentType,
      installments: byCard ? checkout.installments : 1,
      value: totalInvoice,
    })
    if (byCard) {
      const { cardNumber, cardHolder, cardExpiration, cardBrand } = checkout
      tx.db.card.insert({
        customer,
        order,
        sequential,
        cardNumber,
        cardHolder,
        cardExpiration,
        cardBrand,
        createdAt: tx.now,
      })
    }
    if (!accepted) {
      tx.emit('paymentFailed', { customer, order, items, instance })
      return
    }
    for (const line of items) {
      if (line.totalIncentive === 0) continue
      sequential += 1
      tx.db.payment.insert({
        ...receipt,
        sequential,
        type: 'VOUCHER',
        installments: 1,
        value: line.totalIncentive,
      })
    }
    tx.emit('paymentConfirmed', {
      checkout,
      order,
      totalAmount: totalInvoice,
      items,
      paidAt: tx.now,
      instance,
    })
  },
)
