/** SmallBank with better-sqlite3. The balances of a customer are read by one statement, which is a transaction by itself. */
import { groupedPlay, loaded, openDatabase, transactions } from './better-sqlite3-open.mjs'

export function smallBankCustomers({ plan, data, directory, options }) {
  const { SmallBankWitness, smallBankKinds, customerRow } = data.smallBank
  const db = openDatabase(directory, options)
  db.exec(`
    CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE savings (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));
    CREATE TABLE checking (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
  `)
  const insertAccount = db.prepare('INSERT INTO account VALUES (?, ?)')
  const insertSavings = db.prepare('INSERT INTO savings VALUES (?, ?)')
  const insertChecking = db.prepare('INSERT INTO checking VALUES (?, ?)')
  loaded(db, options, () => {
    for (let id = 0; id < plan.customers; id += 1) {
      const { name, savings, checking } = customerRow(id)
      insertAccount.run(id, name)
      insertSavings.run(id, savings)
      insertChecking.run(id, checking)
    }
  })

  const exists = db.prepare('SELECT 1 FROM account WHERE id = ?').pluck()
  const balances = db.prepare(`SELECT s.balance + c.balance FROM account a
    JOIN savings s ON s.id = a.id JOIN checking c ON c.id = a.id WHERE a.id = ?`).pluck()
  const savingsOf = db.prepare('SELECT balance FROM savings WHERE id = ?').pluck()
  const checkingOf = db.prepare('SELECT balance FROM checking WHERE id = ?').pluck()
  const setSavings = db.prepare('UPDATE savings SET balance = ? WHERE id = ?')
  const setChecking = db.prepare('UPDATE checking SET balance = ? WHERE id = ?')
  const addChecking = db.prepare('UPDATE checking SET balance = balance + ? WHERE id = ?')
  const mustExist = (id) => {
    if (exists.get(id) === undefined) throw new Error(`there is no customer ${id}`)
  }

  const answerOf = (index) => {
    const who = plan.customer[index]
    const other = plan.other[index]
    const amount = plan.amount[index]
    const kind = smallBankKinds[plan.kind[index]]
    if (kind === 'balance') return balances.get(who)
    mustExist(who)
    switch (kind) {
      case 'deposit':
        return addChecking.run(amount, who).changes
      case 'transact': {
        const saved = savingsOf.get(who)
        if (saved + amount < 0) return 0
        setSavings.run(saved + amount, who)
        return 1
      }
      case 'amalgamate': {
        mustExist(other)
        const moved = savingsOf.get(who) + checkingOf.get(who)
        setSavings.run(0, who)
        setChecking.run(0, who)
        addChecking.run(moved, other)
        return moved
      }
      case 'writeCheck': {
        const checked = checkingOf.get(who)
        const suffices = savingsOf.get(who) + checked >= amount
        setChecking.run(checked - (suffices ? amount : amount + 1), who)
        return suffices ? 1 : 2
      }
      case 'sendPayment': {
        mustExist(other)
        const checked = checkingOf.get(who)
        if (checked < amount) return 0
        setChecking.run(checked - amount, who)
        addChecking.run(amount, other)
        return 1
      }
    }
  }
  const witness = new SmallBankWitness(plan)
  const inTransaction = transactions(db)
  const operate = (index) => witness.answered(index, answerOf(index))
  const alone = (index) =>
    smallBankKinds[plan.kind[index]] === 'balance' ? operate(index) : inTransaction(() => operate(index))
  return {
    play: groupedPlay(db, options, operate, alone),
    digest() {
      const all = db.prepare('SELECT s.id, s.balance, c.balance FROM savings s JOIN checking c ON c.id = s.id').raw()
      for (const [id, savings, checking] of all.iterate()) witness.customer(id, savings, checking)
      return witness.digest()
    },
    close: () => db.close(),
  }
}
