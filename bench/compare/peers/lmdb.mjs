/**
 * lmdb-js (lmdb-open.mjs says how it is opened). Options of a transfer: `inFlight`, `durable` (else `noSync`). A value is always
 * decoded whole, so a read of one column costs what a read of the row costs.
 */
import { openTables } from './lmdb-open.mjs'
import { smallBankCustomers } from './lmdb-smallbank.mjs'
import { tpccWarehouses } from './lmdb-tpcc.mjs'
import { ycsbRows } from './lmdb-ycsb.mjs'

async function transfers({ plan, data, directory, options }) {
  const { root, tables: [account, ledger] } = openTables(directory, ['account', 'ledger'], options)
  await account.transaction(() => {
    for (let id = 0; id < plan.accounts; id += 1) account.put(id, data.accountRow(id))
  })
  await root.flushed

  const transfer = (index) => {
    const from = plan.from[index]
    const to = plan.to[index]
    const amount = plan.amount[index]
    const payer = account.get(from)
    const payee = account.get(to)
    if (!payer || !payee || payer.balance < amount) throw new Error(`transfer ${index} is not possible`)
    account.put(from, { id: from, owner: payer.owner, balance: payer.balance - amount })
    account.put(to, { id: to, owner: payee.owner, balance: payee.balance + amount })
    ledger.put(index, { id: index, source: from, target: to, amount })
  }
  const { inFlight = 1 } = options
  return {
    async play(first, count) {
      const end = first + count
      let next = first
      const lane = async () => {
        while (next < end) {
          const index = next
          next += 1
          await root.transaction(() => transfer(index))
        }
      }
      await Promise.all(Array.from({ length: inFlight }, lane))
    },
    digest() {
      const balances = new Float64Array(plan.accounts)
      for (const { key, value } of account.getRange()) balances[key] = value.balance
      return data.bankDigest(balances, ledger.getKeysCount())
    },
    close: () => root.close(),
  }
}

async function openRows({ directory, options, data }) {
  const { root, tables: [account] } = openTables(directory, ['account'], options)
  const load = (first, count) =>
    account.transactionSync(() => {
      for (let id = first; id < first + count; id += 1) account.putSync(id, data.wideRow(id))
    })
  return { root, account, load }
}

async function reads(task) {
  const { root, account, load } = await openRows(task)
  load(0, task.plan.rows)
  const { keys } = task.plan
  let sum = 0
  return {
    play(first, count) {
      let seen = 0
      for (let index = first; index < first + count; index += 1) seen += account.get(keys[index]).balance
      sum += seen
    },
    digest: () => task.data.sumDigest(sum),
    close: () => root.close(),
  }
}

async function loads(task) {
  const { root, account, load } = await openRows(task)
  return {
    play: load,
    digest() {
      let sum = 0
      for (const { value } of account.getRange()) sum += value.balance
      return task.data.rowsDigest(account.getKeysCount(), sum)
    },
    close: () => root.close(),
  }
}

export const contestants = {
  transfer: transfers, read: reads, load: loads, ycsb: ycsbRows, smallbank: smallBankCustomers, tpcc: tpccWarehouses,
}
