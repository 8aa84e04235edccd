/**
 * Payments. A card that is declined is no error: the transaction commits, and those who counted on the payment hear
 * that it did not come.
 */
import { column as c, service, table } from 'sluicedb'
import type { Line } from './cart.js'
import { orders, setStatus } from './orders.js'

/** The number that every payment provider has for this. */
export const declinedCard = '4000000000000002'

const receipt = table({
  columns: { customer: c.text(), order: c.int(), amount: c.int(), isPaid: c.bool() },
  key: ['customer', 'order'],
})

const outcome = { customer: c.text(), id: c.int(), lines: c.json<Line[]>() }

export const payment = service('payment', { tables: { receipt }, events: { paid: outcome, declined: outcome } })

const emits = () => [payment.events.paid, payment.events.declined]
payment.on(orders.events.placed, { name: 'collect', atomic: true, emits }, (tx, { payload }) => {
  const { customer, id, total, card, lines } = payload
  const isPaid = card !== declinedCard
  tx.db.receipt.insert({ customer, order: id, amount: total, isPaid })
  tx.call(setStatus, { customer, id, status: isPaid ? 'paid' : 'declined' })
  tx.emit(isPaid ? 'paid' : 'declined', { customer, id, lines })
})
