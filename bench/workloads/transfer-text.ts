/**
 * The canonical bank with text keys (transfer.ts says what a transfer does): hashing and encoding of the keys cost
 * more.
 */
import { app, column as c, service, table } from 'sluicedb'

const account = table({
  columns: { id: c.text(), owner: c.text(), balance: c.int().min(0) },
  key: ['id'],
})

const ledger = table({
  columns: { source: c.text(), id: c.int(), target: c.text(), amount: c.int() },
  key: ['source', 'id'],
  partition: ['source'],
})

export const textBank = service('textBank', {
  tables: { account, ledger },
  aborts: { NO_SUCH_ACCOUNT: {}, INSUFFICIENT_FUNDS: { balance: c.int() } },
})

export const openTextAccount = textBank.procedure(
  'openAccount',
  { input: { id: c.text(), owner: c.text(), balance: c.int() }, partition: (it) => it.id },
  (tx, it) => {
    tx.db.account.insert(it)
  },
)

export const transferText = textBank.procedure(
  'transfer',
  { input: { id: c.int(), from: c.text(), to: c.text(), amount: c.int().positive() } },
  (tx, { id, from, to, amount }) => {
    const payer = tx.db.account.row(from) ?? tx.abort('NO_SUCH_ACCOUNT')
    const payee = tx.db.account.row(to) ?? tx.abort('NO_SUCH_ACCOUNT')
    if (payer.balance < amount) throw tx.abort('INSUFFICIENT_FUNDS', { balance: payer.balance })
    payer.balance -= amount
    payee.balance += amount
    tx.db.ledger.insert({ source: from, id, target: to, amount })
    return { left: payer.balance }
  },
)

export default app(import.meta.url, [textBank])
