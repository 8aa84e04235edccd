/** Procedures that read a snapshot, by every way of reading, and what they call. */
import { app, column as c, eq, select, service, table } from 'sluicedb'

export const bank = service('bank', {
  tables: {
    account: table({ columns: { id: c.int(), owner: c.text(), balance: c.int().min(0) }, key: ['id'], indexes: { byOwner: { on: ['owner'] } } }),
    label: table({ columns: { id: c.int(), text: c.text().unique() }, key: ['id'] }),
    rate: table({ columns: { name: c.text(), percent: c.int() }, key: ['name'], partition: 'global' }),
    entry: table({ columns: { account: c.int(), no: c.int().generated(), amount: c.int(), text: c.text() }, key: ['account', 'no'], ordered: true, indexes: { open: { on: ['account'], where: { amount: 0 } } } }),
  },
  events: { moved: { account: c.int() } },
})
const { account } = bank.tables
export const audit = service('audit', { tables: { seen: table({ columns: { account: c.int(), balance: c.int(), total: c.int() }, key: ['account'] }) }, reads: { account } })

const isolation = 'snapshot'
const at = { id: c.int() }
/** Queries count by it; the types of tables do not offer it. */
const countOf = (of: unknown): number => (of as { count(): number }).count()
export const open = bank.procedure('open', { input: { id: c.int(), owner: c.text(), balance: c.int() }, partition: (it) => it.id }, (tx, it) => tx.db.account.put(it))
export const deposit = bank.procedure('deposit', { input: { id: c.int(), amount: c.int() }, partition: (it) => it.id }, (tx, it) => tx.db.account.add(it.id, { balance: it.amount }))
export const setRate = bank.procedure('setRate', { input: { name: c.text(), percent: c.int() } }, (tx, it) => tx.db.rate.put(it))
const balanceOf = bank.procedure('balanceOf', { input: at, readonly: true }, (tx, it) => tx.db.account.get(it.id)?.balance)

/** All that it sees of an account, in every way. */
export const look = bank.procedure('look', { input: { id: c.int(), at: c.int() }, partition: (it) => it.at, isolation }, (tx, it) => {
  const row = tx.db.account.row(it.id)
  return {
    get: tx.db.account.get(it.id)?.balance,
    row: row?.balance,
    has: tx.db.account.has(it.id),
    owned: tx.db.account.index.byOwner.get('ann').map(({ balance }) => balance),
    rows: Array.from(tx.db.account.index.byOwner.rows('ann'), ({ balance }) => balance),
    query: [...tx.query(select(account).where((row) => eq(row.owner, 'ann')))].map(({ balance }) => balance),
    count: countOf(tx.db.account),
    called: tx.call(balanceOf, { id: it.id }),
    rate: tx.db.rate.get('base')?.percent,
  }
})
/** What it runs over an account, in its lane; how often it was begun there. */
export const runs: string[] = []
export const change = bank.procedure('change', { input: { id: c.int(), how: c.enum(['set', 'rows', 'update', 'patch', 'add', 'put', 'delete', 'swallow']), amount: c.int() }, partition: (it) => it.id, isolation }, (tx, it) => {
  runs.push(it.how)
  const { account } = tx.db
  const seen = account.get(it.id)?.balance ?? 0
  const balance = seen + it.amount
  if (it.how === 'set') account.row(it.id)!.balance = balance
  else if (it.how === 'rows') for (const row of account.index.byOwner.rows('ann')) { if (row.id === it.id) row.balance = balance }
  else if (it.how === 'update') account.update(it.id, { balance })
  else if (it.how === 'patch') account.update(it.id, (row) => ({ balance: row.balance + it.amount }))
  else if (it.how === 'add') account.add(it.id, { balance: it.amount })
  else if (it.how === 'put') account.put({ id: it.id, owner: 'ann', balance })
  else if (it.how === 'delete') account.delete(it.id)
  else {
    try {
      account.update(it.id, { balance })
    } catch {
      return 'swallowed'
    }
  }
  return seen
})
export const name = bank.procedure('name', { input: { id: c.int(), name: c.text() }, isolation }, (tx, it) => void tx.db.label.insert({ id: it.id, text: it.name }))
/** Entries of its own in between those that are there. */
export const enter = bank.procedure('enter', { input: { account: c.int() }, partition: (it) => it.account, isolation }, (tx, it) => {
  const shown = () => Array.from(tx.db.entry.scan({ prefix: [it.account] }), ({ amount }) => amount)
  const before = shown()
  const [first] = tx.db.entry.rows({ prefix: [it.account], limit: 1 })
  if (first !== undefined) first.amount = 0
  tx.db.entry.insert({ account: it.account, amount: 0, text: 'x'.repeat(40) })
  const last = tx.db.entry.insert({ account: it.account, amount: 7, text: '' })
  return {
    before, after: shown(), reverse: Array.from(tx.db.entry.scan({ prefix: [it.account], reverse: true, limit: 2 }), ({ amount }) => amount), rest: Array.from(tx.db.entry.scan({ from: last }), ({ amount }) => amount),
    open: tx.db.entry.index.open.get(it.account).length, count: countOf(tx.db.entry),
  }
})
/** What is handled inside is of the same transaction. */
export const tell = bank.procedure('tell', { input: at, partition: (it) => it.id, isolation }, (tx, it) => {
  tx.db.account.add(it.id, { balance: 1 })
  tx.emit('moved', { account: it.id })
})
audit.on(bank.events.moved, { name: 'see', atomic: true }, (tx, { payload }) => {
  const all = tx.db.account.index.byOwner.get('ann')
  tx.db.seen.put({ account: payload.account, balance: tx.db.account.get(payload.account)!.balance, total: all.reduce((sum, { balance }) => sum + balance, 0) })
})
/** Doctors on call: each goes if another stays. */
const leave = (tx: { db: { account: { index: { byOwner: { get(owner: string): readonly { readonly id: number }[] } }; update(id: number, patch: { owner: string }): void } } }, id: number) => {
  if (tx.db.account.index.byOwner.get('on call').length > 1) tx.db.account.update(id, { owner: 'gone' })
}
export const leaveBySnapshot = bank.procedure('leaveBySnapshot', { input: at, partition: (it) => it.id, isolation }, (tx, it) => leave(tx, it.id))
export const leaveSerially = bank.procedure('leaveSerially', { input: at, partition: (it) => it.id, isolation: 'serializable' }, (tx, it) => leave(tx, it.id))

export default app(import.meta.url, [bank, audit])
