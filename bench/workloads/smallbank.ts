/**
 * SmallBank on SluiceDB (smallbank-plan.ts says what its transactions do, smallbank-witness.ts what they answer). A transaction of one
 * customer is placed by him; one of two runs in the cross-partition lane. Balances are read on the caller's thread, in a snapshot.
 *
 * Definitions only: partition workers import this module.
 */
import { app, column as c, service, table } from 'sluicedb'

const account = table({ columns: { id: c.int(), name: c.text() }, key: ['id'] })
const savings = table({ columns: { id: c.int(), balance: c.int().min(0) }, key: ['id'] })
const checking = table({ columns: { id: c.int(), balance: c.int() }, key: ['id'] })

export const smallBank = service('smallbank', {
  tables: { account, savings, checking },
  aborts: { NO_SUCH_CUSTOMER: {} },
})

const ofOne = { customer: c.int(), amount: c.int() }
const ofTwo = { customer: c.int(), other: c.int() }

export const openCustomer = smallBank.procedure(
  'open',
  { input: { id: c.int(), name: c.text(), savings: c.int(), checking: c.int() }, partition: (it) => it.id },
  (tx, { id, name, ...balances }) => {
    tx.db.account.insert({ id, name })
    tx.db.savings.insert({ id, balance: balances.savings })
    tx.db.checking.insert({ id, balance: balances.checking })
  },
)

export const depositChecking = smallBank.procedure(
  'depositChecking', { input: ofOne, partition: (it) => it.customer },
  (tx, { customer, amount }) => {
    if (!tx.db.account.has(customer)) throw tx.abort('NO_SUCH_CUSTOMER')
    const row = tx.db.checking.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER')
    row.balance += amount
    return 1
  },
)

export const transactSavings = smallBank.procedure(
  'transactSavings', { input: ofOne, partition: (it) => it.customer },
  (tx, { customer, amount }) => {
    if (!tx.db.account.has(customer)) throw tx.abort('NO_SUCH_CUSTOMER')
    const row = tx.db.savings.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER')
    if (row.balance + amount < 0) return 0
    row.balance += amount
    return 1
  },
)

export const writeCheck = smallBank.procedure(
  'writeCheck', { input: ofOne, partition: (it) => it.customer },
  (tx, { customer, amount }) => {
    if (!tx.db.account.has(customer)) throw tx.abort('NO_SUCH_CUSTOMER')
    const saved = tx.db.savings.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER')
    const checked = tx.db.checking.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER')
    const suffices = saved.balance + checked.balance >= amount
    checked.balance -= suffices ? amount : amount + 1
    return suffices ? 1 : 2
  },
)

export const amalgamate = smallBank.procedure('amalgamate', { input: ofTwo }, (tx, { customer, other }) => {
  if (!tx.db.account.has(customer) || !tx.db.account.has(other)) throw tx.abort('NO_SUCH_CUSTOMER')
  const saved = tx.db.savings.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER')
  const checked = tx.db.checking.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER')
  const target = tx.db.checking.row(other) ?? tx.abort('NO_SUCH_CUSTOMER')
  const moved = saved.balance + checked.balance
  saved.balance = 0
  checked.balance = 0
  target.balance += moved
  return moved
})

export const sendPayment = smallBank.procedure(
  'sendPayment', { input: { ...ofTwo, amount: c.int() } },
  (tx, { customer, other, amount }) => {
    if (!tx.db.account.has(customer) || !tx.db.account.has(other)) throw tx.abort('NO_SUCH_CUSTOMER')
    const payer = tx.db.checking.row(customer) ?? tx.abort('NO_SUCH_CUSTOMER')
    const payee = tx.db.checking.row(other) ?? tx.abort('NO_SUCH_CUSTOMER')
    if (payer.balance < amount) return 0
    payer.balance -= amount
    payee.balance += amount
    return 1
  },
)

export default app(import.meta.url, [smallBank])
