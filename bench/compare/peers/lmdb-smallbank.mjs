/** SmallBank with lmdb-js: a write is a transaction, the balances are read in the one that reads of this turn share. */
import { inFlightPlay } from './in-flight.mjs'
import { openTables } from './lmdb-open.mjs'

export async function smallBankCustomers({ plan, data, directory, options }) {
  const { SmallBankWitness, smallBankKinds, customerRow } = data.smallBank
  const { root, tables: [account, savings, checking] } = openTables(directory, ['account', 'savings', 'checking'], options)
  await root.transaction(() => {
    for (let id = 0; id < plan.customers; id += 1) {
      const row = customerRow(id)
      account.put(id, { id, name: row.name })
      savings.put(id, { id, balance: row.savings })
      checking.put(id, { id, balance: row.checking })
    }
  })
  await root.flushed

  const mustExist = (id) => {
    if (account.get(id) === undefined) throw new Error(`there is no customer ${id}`)
  }
  const answerOf = (index) => {
    const who = plan.customer[index]
    const other = plan.other[index]
    const amount = plan.amount[index]
    mustExist(who)
    switch (smallBankKinds[plan.kind[index]]) {
      case 'balance':
        return savings.get(who).balance + checking.get(who).balance
      case 'deposit':
        checking.put(who, { id: who, balance: checking.get(who).balance + amount })
        return 1
      case 'transact': {
        const saved = savings.get(who).balance
        if (saved + amount < 0) return 0
        savings.put(who, { id: who, balance: saved + amount })
        return 1
      }
      case 'amalgamate': {
        mustExist(other)
        const moved = savings.get(who).balance + checking.get(who).balance
        savings.put(who, { id: who, balance: 0 })
        checking.put(who, { id: who, balance: 0 })
        checking.put(other, { id: other, balance: checking.get(other).balance + moved })
        return moved
      }
      case 'writeCheck': {
        const checked = checking.get(who).balance
        const suffices = savings.get(who).balance + checked >= amount
        checking.put(who, { id: who, balance: checked - (suffices ? amount : amount + 1) })
        return suffices ? 1 : 2
      }
      case 'sendPayment': {
        mustExist(other)
        const checked = checking.get(who).balance
        if (checked < amount) return 0
        checking.put(who, { id: who, balance: checked - amount })
        checking.put(other, { id: other, balance: checking.get(other).balance + amount })
        return 1
      }
    }
  }
  const witness = new SmallBankWitness(plan)
  const write = async (index) => witness.answered(index, await root.transaction(() => answerOf(index)))
  const operate = (index) => {
    if (smallBankKinds[plan.kind[index]] === 'balance') return witness.answered(index, answerOf(index))
    return write(index)
  }
  return {
    play: inFlightPlay(options.inFlight ?? 1, operate),
    digest() {
      for (const { key, value } of savings.getRange()) witness.customer(key, value.balance, checking.get(key).balance)
      return witness.digest()
    },
    close: () => root.close(),
  }
}
