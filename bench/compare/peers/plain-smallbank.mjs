/** SmallBank on `Map`s of objects, or with `store: 'array'` on typed arrays by number of customer. */
export function smallBankCustomers({ plan, data, options }) {
  const { SmallBankWitness, smallBankKinds, customerRow } = data.smallBank
  const store = options.store === 'array' ? arrays(plan.customers, customerRow) : maps(plan.customers, customerRow)
  const { has, savingsOf, checkingOf, setSavings, setChecking } = store
  const mustExist = (id) => {
    if (!has(id)) throw new Error(`there is no customer ${id}`)
  }
  const answerOf = (index) => {
    const who = plan.customer[index]
    const other = plan.other[index]
    const amount = plan.amount[index]
    mustExist(who)
    switch (smallBankKinds[plan.kind[index]]) {
      case 'balance':
        return savingsOf(who) + checkingOf(who)
      case 'deposit':
        setChecking(who, checkingOf(who) + amount)
        return 1
      case 'transact': {
        const saved = savingsOf(who)
        if (saved + amount < 0) return 0
        setSavings(who, saved + amount)
        return 1
      }
      case 'amalgamate': {
        mustExist(other)
        const moved = savingsOf(who) + checkingOf(who)
        setSavings(who, 0)
        setChecking(who, 0)
        setChecking(other, checkingOf(other) + moved)
        return moved
      }
      case 'writeCheck': {
        const checked = checkingOf(who)
        const suffices = savingsOf(who) + checked >= amount
        setChecking(who, checked - (suffices ? amount : amount + 1))
        return suffices ? 1 : 2
      }
      case 'sendPayment': {
        mustExist(other)
        const checked = checkingOf(who)
        if (checked < amount) return 0
        setChecking(who, checked - amount)
        setChecking(other, checkingOf(other) + amount)
        return 1
      }
    }
  }
  const witness = new SmallBankWitness(plan)
  return {
    play(first, count) {
      for (let index = first; index < first + count; index += 1) witness.answered(index, answerOf(index))
    },
    digest() {
      for (let id = 0; id < plan.customers; id += 1) witness.customer(id, savingsOf(id), checkingOf(id))
      return witness.digest()
    },
    close() {},
  }
}

function maps(customers, customerRow) {
  const account = new Map()
  const savings = new Map()
  const checking = new Map()
  for (let id = 0; id < customers; id += 1) {
    const row = customerRow(id)
    account.set(id, { id, name: row.name })
    savings.set(id, { id, balance: row.savings })
    checking.set(id, { id, balance: row.checking })
  }
  return {
    has: (id) => account.has(id),
    savingsOf: (id) => savings.get(id).balance,
    checkingOf: (id) => checking.get(id).balance,
    setSavings: (id, balance) => void (savings.get(id).balance = balance),
    setChecking: (id, balance) => void (checking.get(id).balance = balance),
  }
}

function arrays(customers, customerRow) {
  const rows = Array.from({ length: customers }, (_, id) => customerRow(id))
  const names = rows.map(({ name }) => name)
  const savings = Float64Array.from(rows, (row) => row.savings)
  const checking = Float64Array.from(rows, (row) => row.checking)
  return {
    has: (id) => names[id] !== undefined,
    savingsOf: (id) => savings[id],
    checkingOf: (id) => checking[id],
    setSavings: (id, balance) => void (savings[id] = balance),
    setChecking: (id, balance) => void (checking[id] = balance),
  }
}
