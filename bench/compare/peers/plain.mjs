/**
 * Plain JavaScript: a `Map` of objects, or with `store: 'array'` arrays by number, changed in place. No isolation, no durability, no history, nothing to roll
 * back and nothing that another thread could read: not a database but the ceiling of the language.
 */
import { eventsToOne } from './plain-events.mjs'
import { smallBankCustomers } from './plain-smallbank.mjs'
import { tpccWarehouses } from './plain-tpcc.mjs'
import { ycsbRows } from './plain-ycsb.mjs'

function transfers(task) {
  return task.options.store === 'array' ? arrayTransfers(task) : mapTransfers(task)
}

function arrayTransfers({ plan, data }) {
  const owners = Array.from({ length: plan.accounts }, (_, id) => data.accountRow(id).owner)
  const balances = Float64Array.from(owners, (_, id) => data.accountRow(id).balance)
  const ledger = []
  return {
    play(first, count) {
      for (let index = first; index < first + count; index += 1) {
        const source = plan.from[index]
        const target = plan.to[index]
        const amount = plan.amount[index]
        const isPossible = owners[source] !== undefined && owners[target] !== undefined && balances[source] >= amount
        if (!isPossible) throw new Error(`transfer ${index} is not possible`)
        balances[source] -= amount
        balances[target] += amount
        ledger.push({ id: index, source, target, amount })
      }
    },
    digest: () => data.bankDigest(balances, ledger.length),
    close() {},
  }
}

function mapTransfers({ plan, data }) {
  const account = new Map()
  const ledger = new Map()
  for (let id = 0; id < plan.accounts; id += 1) account.set(id, data.accountRow(id))
  return {
    play(first, count) {
      for (let index = first; index < first + count; index += 1) {
        const source = plan.from[index]
        const target = plan.to[index]
        const amount = plan.amount[index]
        const payer = account.get(source)
        const payee = account.get(target)
        if (!payer || !payee || payer.balance < amount) throw new Error(`transfer ${index} is not possible`)
        payer.balance -= amount
        payee.balance += amount
        ledger.set(index, { id: index, source, target, amount })
      }
    },
    digest() {
      const balances = new Float64Array(plan.accounts)
      for (const [id, row] of account) balances[id] = row.balance
      return data.bankDigest(balances, ledger.size)
    },
    close() {},
  }
}

/**
 * `column: 'one'` reads a field of the object in the map; 'row' copies the object, as a reader that must not share it
 * does.
 */
function reads({ plan, data, options }) {
  const account = new Map()
  for (let id = 0; id < plan.rows; id += 1) account.set(id, data.wideRow(id))
  const { keys } = plan
  const ofOne = (first, end) => {
    let seen = 0
    for (let index = first; index < end; index += 1) seen += account.get(keys[index]).balance
    return seen
  }
  const ofRow = (first, end) => {
    let seen = 0
    for (let index = first; index < end; index += 1) {
      const row = { ...account.get(keys[index]) }
      seen += row.balance
    }
    return seen
  }
  const read = options.column === 'one' ? ofOne : ofRow
  let sum = 0
  return {
    play: (first, count) => void (sum += read(first, first + count)),
    digest: () => data.sumDigest(sum),
    close() {},
  }
}

function loads({ data }) {
  const account = new Map()
  return {
    play(first, count) {
      for (let id = first; id < first + count; id += 1) account.set(id, data.wideRow(id))
    },
    digest() {
      let sum = 0
      for (const row of account.values()) sum += row.balance
      return data.rowsDigest(account.size, sum)
    },
    close() {},
  }
}

export const contestants = {
  transfer: transfers, read: reads, load: loads, ycsb: ycsbRows, smallbank: smallBankCustomers, events: eventsToOne, tpcc: tpccWarehouses,
}
