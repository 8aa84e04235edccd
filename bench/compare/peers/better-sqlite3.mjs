/**
 * better-sqlite3, with every statement prepared once (better-sqlite3-open.mjs says how it is opened).
 *
 * Options of a transfer: those of opening, and `checkpoints: 'always'`: another thread runs one PASSIVE checkpoint after the other,
 * as long as a round lasts. Options of a read: `column` ('one' or 'row'), `file`.
 */
import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { groupedPlay, loaded, openDatabase, transactions } from './better-sqlite3-open.mjs'
import { smallBankCustomers } from './better-sqlite3-smallbank.mjs'
import { tpccWarehouses } from './better-sqlite3-tpcc.mjs'
import { ycsbRows } from './better-sqlite3-ycsb.mjs'

function transfers({ plan, data, directory, options }) {
  const db = openDatabase(directory, options)
  db.exec(`
    CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, balance INTEGER NOT NULL CHECK (balance >= 0));
    CREATE TABLE ledger (
      id INTEGER PRIMARY KEY, source INTEGER NOT NULL, target INTEGER NOT NULL, amount INTEGER NOT NULL);
  `)
  const balanceOf = db.prepare('SELECT balance FROM account WHERE id = ?').pluck()
  const setBalance = db.prepare('UPDATE account SET balance = ? WHERE id = ?')
  const insertLedger = db.prepare('INSERT INTO ledger VALUES (?, ?, ?, ?)')
  const insertAccount = db.prepare('INSERT INTO account VALUES (?, ?, ?)')

  loaded(db, options, () => {
    for (let id = 0; id < plan.accounts; id += 1) {
      const { owner, balance } = data.accountRow(id)
      insertAccount.run(id, owner, balance)
    }
  })

  const transfer = (index) => {
    const from = plan.from[index]
    const to = plan.to[index]
    const amount = plan.amount[index]
    const payer = balanceOf.get(from)
    const payee = balanceOf.get(to)
    const isPossible = payee !== undefined && payer >= amount
    if (!isPossible) throw new Error(`transfer ${index} is not possible`)
    setBalance.run(payer - amount, from)
    setBalance.run(payee + amount, to)
    insertLedger.run(index, from, to, amount)
  }
  const inTransaction = transactions(db)
  const playAll = groupedPlay(db, options, transfer, (index) => inTransaction(() => transfer(index)))
  const checkpoints = options.checkpoints === 'always' ? new Checkpoints(join(directory, 'peer.sqlite')) : undefined
  return {
    async settle() {
      await checkpoints?.stop()
    },
    besides: () => checkpoints?.taken() ?? 0,
    async play(first, count, latency) {
      await checkpoints?.start()
      playAll(first, count, latency)
    },
    digest() {
      const balances = Float64Array.from(db.prepare('SELECT balance FROM account ORDER BY id').pluck().all())
      return data.bankDigest(balances, db.prepare('SELECT count(*) FROM ledger').pluck().get())
    },
    async close() {
      await checkpoints?.end()
      db.close()
    },
  }
}

/** The thread of better-sqlite3-checkpoints.mjs. It and this one share two words: whether it runs, and how often it ran. */
class Checkpoints {
  #words = new Int32Array(new SharedArrayBuffer(8))
  #thread

  constructor(path) {
    this.#thread = new Worker(new URL('better-sqlite3-checkpoints.mjs', import.meta.url), {
      workerData: { path, words: this.#words },
    })
  }

  start() {
    Atomics.store(this.#words, 0, 1)
    return this.#tell('begun')
  }

  stop() {
    Atomics.store(this.#words, 0, 0)
    return this.#tell('ended')
  }

  taken() {
    return Atomics.exchange(this.#words, 1, 0)
  }

  end() {
    return this.#thread.terminate()
  }

  async #tell(answer) {
    const answered = once(this.#thread, 'message')
    this.#thread.postMessage(answer)
    await answered
  }
}

function openRows({ data, directory, options }) {
  const db = openDatabase(directory, options)
  db.exec(`CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, balance INTEGER NOT NULL,
    opened INTEGER NOT NULL, branch INTEGER NOT NULL, status INTEGER NOT NULL, note TEXT NOT NULL)`)
  const insert = db.prepare('INSERT INTO account VALUES (?, ?, ?, ?, ?, ?, ?)')
  const load = (first, count) => {
    db.exec('BEGIN')
    for (let id = first; id < first + count; id += 1) {
      const row = data.wideRow(id)
      insert.run(row.id, row.owner, row.balance, row.opened, row.branch, row.status, row.note)
    }
    db.exec('COMMIT')
  }
  return { db, load }
}

function reads(task) {
  const { db, load } = openRows(task)
  load(0, task.plan.rows)
  const { keys } = task.plan
  const balance = db.prepare('SELECT balance FROM account WHERE id = ?').pluck()
  const row = db.prepare('SELECT * FROM account WHERE id = ?')
  const ofOne = (first, end) => {
    let seen = 0
    for (let index = first; index < end; index += 1) seen += balance.get(keys[index])
    return seen
  }
  const ofRow = (first, end) => {
    let seen = 0
    for (let index = first; index < end; index += 1) seen += row.get(keys[index]).balance
    return seen
  }
  const read = task.options.column === 'one' ? ofOne : ofRow
  let sum = 0
  return {
    play: (first, count) => void (sum += read(first, first + count)),
    digest: () => task.data.sumDigest(sum),
    close: () => db.close(),
  }
}

function loads(task) {
  const { db, load } = openRows(task)
  return {
    play: load,
    digest() {
      const { count, sum } = db.prepare('SELECT count(*) AS count, sum(balance) AS sum FROM account').get()
      return task.data.rowsDigest(count, sum)
    },
    close: () => db.close(),
  }
}

export const contestants = {
  transfer: transfers, read: reads, load: loads, ycsb: ycsbRows, smallbank: smallBankCustomers, tpcc: tpccWarehouses,
}
