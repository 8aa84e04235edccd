/**
 * The canonical workload: a bank. A transfer reads two accounts, checks one, updates both and inserts a ledger row.
 *
 * `transfer` names no partition and runs in the cross-partition lane, as a transfer between any two accounts must.
 * `transferPlaced` is placed by the payer: it stays in its lane when both accounts share a partition (plans with a
 * stride), and strays when they do not. `transferAnnounced` also emits an event.
 *
 * Definitions only: partition workers import this module.
 */
import { app, column as c, service, table, type TxOf } from 'sluicedb'

const account = table({
  columns: { id: c.int(), owner: c.text(), balance: c.int().min(0) },
  key: ['id'],
})

const ledger = table({
  columns: { source: c.int(), id: c.int(), target: c.int(), amount: c.int() },
  key: ['source', 'id'],
  partition: ['source'],
})

export const bank = service('bank', {
  tables: { account, ledger },
  events: { transferred: { id: c.int(), from: c.int(), to: c.int(), amount: c.int() } },
  aborts: { NO_SUCH_ACCOUNT: {}, INSUFFICIENT_FUNDS: { balance: c.int() } },
})

const transferInput = { id: c.int(), from: c.int(), to: c.int(), amount: c.int().positive() }
interface Transfer {
  readonly id: number
  readonly from: number
  readonly to: number
  readonly amount: number
}

function move(tx: TxOf<typeof bank>, { id, from, to, amount }: Transfer): number {
  const payer = tx.db.account.row(from) ?? tx.abort('NO_SUCH_ACCOUNT')
  const payee = tx.db.account.row(to) ?? tx.abort('NO_SUCH_ACCOUNT')
  if (payer.balance < amount) throw tx.abort('INSUFFICIENT_FUNDS', { balance: payer.balance })
  payer.balance -= amount
  payee.balance += amount
  tx.db.ledger.insert({ source: from, id, target: to, amount })
  return payer.balance
}

export const openAccount = bank.procedure(
  'openAccount',
  { input: { id: c.int(), owner: c.text(), balance: c.int() }, partition: (it) => it.id },
  (tx, it) => {
    tx.db.account.insert(it)
  },
)

export const transfer = bank.procedure('transfer', { input: transferInput }, (tx, it) => ({ left: move(tx, it) }))

export const transferPlaced = bank.procedure(
  'transferPlaced',
  { input: transferInput, partition: (it) => it.from },
  (tx, it) => ({ left: move(tx, it) }),
)

export const transferAnnounced = bank.procedure('transferAnnounced', { input: transferInput }, (tx, it) => {
  const left = move(tx, it)
  tx.emit('transferred', it)
  return { left }
})

export default app(import.meta.url, [bank])
