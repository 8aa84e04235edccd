/** Procedures of several keys, right and wrong, and a service that reads the tables of another. */
import { app, column as c, service, table } from 'sluicedb'

const account = table({
  columns: { id: c.int(), balance: c.int().default(0), owner: c.text().default('') },
  key: ['id'],
  indexes: { byOwner: { on: ['owner'] } },
})
const rate = table({ columns: { name: c.text(), value: c.int() }, key: ['name'], partition: 'global' })
export const bank = service('bank', { tables: { account, rate } })

const input = { from: c.int(), to: c.int() }
const both = { input, partitions: ({ from, to }: { from: number; to: number }) => [from, to] }
export const put = bank.procedure('put', { input: { id: c.int(), owner: c.text() }, partition: (it) => it.id }, (tx, it) => tx.db.account.put(it))
/** Touches what it says. */
export const move = bank.procedure('move', both, (tx, { from, to }) => {
  if (!tx.db.account.has(to)) throw tx.abort('NOBODY')
  tx.db.account.add(from, { balance: -1 })
  tx.db.account.add(to, { balance: 1 })
  tx.db.rate.get('none')
  return [...new Set([from % 4, to % 4])].length
})
/** Touches one more. */
export const moveElsewhere = bank.procedure('moveElsewhere', both, (tx, { from, to }) => {
  tx.db.account.add(from, { balance: -2 })
  tx.db.account.add(to, { balance: 1 })
  tx.db.account.add(from + 1, { balance: 1 })
})
/** Needs all of them. */
export const moveByOwner = bank.procedure('moveByOwner', both, (tx, { from, to }) => {
  for (const row of tx.db.account.index.byOwner.rows('all')) row.balance += 1
  tx.db.account.add(from, { balance: -tx.db.account.index.byOwner.get('all').length })
  tx.db.account.has(to)
})
/** Writes what only the cross-partition lane may. */
export const moveAndRate = bank.procedure('moveAndRate', both, (tx, { from, to }) => {
  tx.db.rate.put({ name: `${from} ${to}`, value: from })
})
export const wrong = bank.procedure('wrong', { input: { how: c.text() }, partitions: ({ how }) => ({ none: [], text: 'a', hole: [[]], nan: [Number.NaN] })[how] as never }, () => {})

const note = table({ columns: { id: c.int(), text: c.text() }, key: ['id'] })
export const audit = service('audit', { tables: { note }, reads: { accounts: account, rates: () => bank.tables.rate } })
export const look = audit.procedure('look', { input: { id: c.int() }, partition: (it) => it.id }, (tx, { id }) => {
  const row = tx.db.accounts.row(id)
  tx.db.note.put({ id, text: `${row?.balance} of ${tx.db.accounts.get(id)?.owner}` })
  return tx.db.accounts.has(id)
})
export const lookAround = audit.procedure('lookAround', {}, (tx) => Array.from(tx.db.accounts.index.byOwner.rows('all'), (row) => row.balance).reduce((a, b) => a + b, 0))
export const lookOnly = audit.procedure('lookOnly', { readonly: true }, (tx) => tx.db.accounts.count() + tx.db.note.count())
const writes: Readonly<Record<string, (table: { row(id: number): object | undefined } & Readonly<Record<string, (...args: unknown[]) => unknown>>) => unknown>> = {
  insert: (accounts) => accounts['insert']!({ id: 99 }),
  put: (accounts) => accounts['put']!({ id: 1 }),
  update: (accounts) => accounts['update']!(1, { balance: 9 }),
  add: (accounts) => accounts['add']!(1, { balance: 9 }),
  delete: (accounts) => accounts['delete']!(1),
  set: (accounts) => Object.assign(accounts.row(1)!, { balance: 9 }),
}
export const writeAttempts = Object.keys(writes)
export const touches = audit.procedure('touches', { input: { what: c.text() } }, (tx, { what }) => {
  tx.db.note.put({ id: 1, text: 'mine' })
  try {
    writes[what]!(tx.db.accounts as never)
  } catch {}
})

export default app(import.meta.url, [bank, audit])
