/** Accounts, entries and transfers: for the tests of the stream, of exactly-once and of crashes. */
import { app, column as c, service, table } from 'sluicedb'

const account = table({
  columns: { id: c.text(), owner: c.text(), balance: c.int().min(0), note: c.text().nullable() },
  key: ['id'],
  indexes: { byOwner: { on: ['owner'] }, byBalance: { on: ['balance'], range: true } },
})
/** Two for each transfer, under the number of the transfer. */
const entry = table({
  columns: { account: c.text(), n: c.int(), amount: c.int(), filler: c.text().default('') },
  key: ['account', 'n'],
  ordered: true,
})
const untouched = table({ columns: { id: c.int(), n: c.int() }, key: ['id'] })

export const bank = service('bank', {
  tables: { account, entry, untouched },
  events: {
    transferred: { from: c.text(), to: c.text(), amount: c.int(), n: c.int() },
    opened: { id: c.text() },
  },
  aborts: { NO_SUCH_ACCOUNT: { id: c.text() }, INSUFFICIENT_FUNDS: { balance: c.int() } },
})

export const openAccount = bank.procedure(
  'openAccount',
  { input: { id: c.text(), balance: c.int().default(0) }, partition: (it) => it.id },
  (tx, it) => {
    tx.db.account.insert({ ...it, owner: `owner of ${it.id}` })
    tx.emit('opened', { id: it.id })
  },
)

export const transfer = bank.procedure(
  'transfer',
  {
    input: {
      from: c.text(),
      to: c.text(),
      amount: c.int().positive(),
      n: c.int(),
      filler: c.text().default(''),
    },
  },
  (tx, { from, to, amount, n, filler }) => {
    const payer = tx.db.account.row(from) ?? tx.abort('NO_SUCH_ACCOUNT', { id: from })
    if (!tx.db.account.has(to)) throw tx.abort('NO_SUCH_ACCOUNT', { id: to })
    tx.db.entry.insert({ account: from, n, amount: -amount, filler })
    tx.db.entry.insert({ account: to, n, amount, filler })
    tx.emit('transferred', { from, to, amount, n })
    if (payer.balance < amount) throw tx.abort('INSUFFICIENT_FUNDS', { balance: payer.balance })
    payer.balance -= amount
    tx.db.account.add(to, { balance: amount })
    return { left: payer.balance, n }
  },
)

/** One account, one partition: deposits go through the lanes of the workers. */
export const deposit = bank.procedure(
  'deposit',
  {
    input: { to: c.text(), amount: c.int(), n: c.int(), filler: c.text().default('') },
    partition: (it) => it.to,
  },
  (tx, { to, amount, n, filler }) => {
    tx.db.account.add(to, { balance: amount })
    tx.db.entry.insert({ account: to, n, amount, filler })
    return { n, random: tx.random(), uuid: tx.uuid(), now: tx.now }
  },
)

export const setNote = bank.procedure(
  'setNote',
  { input: { id: c.text(), note: c.text().nullable() }, partition: (it) => it.id },
  (tx, it) => {
    tx.db.account.update(it.id, { note: it.note })
  },
)

export const closeAccount = bank.procedure(
  'closeAccount',
  { input: { id: c.text() }, partition: (it) => it.id },
  (tx, it) => tx.db.account.delete(it.id),
)

/** Touches neither accounts nor events: invisible to a filter on them. */
export const touch = bank.procedure('touch', { input: { id: c.int() } }, (tx, it) => {
  const row = tx.db.untouched.row(it.id)
  if (row) row.n += 1
  else tx.db.untouched.insert({ id: it.id, n: 1 })
})

/** Changes nothing, says nothing. */
export const look = bank.procedure(
  'look',
  { input: { id: c.text() } },
  (tx, it) => tx.db.account.get(it.id)?.balance ?? -1,
)

/** Inserts, changes and deletes in one transaction. */
export const churn = bank.procedure('churn', { input: { id: c.text() } }, (tx, it) => {
  tx.db.account.update(it.id, { note: 'first' })
  tx.db.account.update(it.id, { note: 'second' })
  tx.db.account.insert({ id: `${it.id}+`, owner: 'new', balance: 1 })
  tx.db.account.insert({ id: `${it.id}-`, owner: 'gone', balance: 1 })
  tx.db.account.delete(`${it.id}-`)
})

/** Writes, says something, and thinks better of it. */
export const forbid = bank.procedure('forbid', { input: { id: c.text() } }, (tx, it) => {
  tx.db.account.update(it.id, { note: 'never' })
  tx.emit('opened', { id: it.id })
  throw tx.abort('NO_SUCH_ACCOUNT', { id: it.id })
})

export default app(import.meta.url, [bank])
