/**
 * better-sqlite3 opens a database again. Options:
 *
 *   read    of rows: 'one', the first read by key; 'all', every row into a Map of objects
 *   group   transfers per commit. The process is killed with all of them in the write-ahead log: no checkpoint has run,
 *           and none runs when the file is opened again. SQLite then checks the log and indexes its pages; what it
 *           holds is read page by page when it is asked for.
 */
import Database from 'better-sqlite3'
import { join } from 'node:path'

function openFile(directory) {
  const db = new Database(join(directory, 'peer.sqlite'))
  db.pragma('journal_mode = WAL')
  db.pragma('mmap_size = 1073741824')
  db.pragma('cache_size = -524288')
  db.pragma('temp_store = MEMORY')
  db.pragma('wal_autocheckpoint = 0')
  return db
}

const rows = {
  prepare({ directory, plan, data }) {
    const db = openFile(directory)
    db.exec(`CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, balance INTEGER NOT NULL,
      opened INTEGER NOT NULL, branch INTEGER NOT NULL, status INTEGER NOT NULL, note TEXT NOT NULL)`)
    const insert = db.prepare('INSERT INTO account VALUES (?, ?, ?, ?, ?, ?, ?)')
    db.exec('BEGIN')
    for (let id = 0; id < plan.rows; id += 1) {
      const row = data.wideRow(id)
      insert.run(row.id, row.owner, row.balance, row.opened, row.branch, row.status, row.note)
    }
    db.exec('COMMIT')
    db.pragma('wal_checkpoint(TRUNCATE)')
    db.close()
  },
  reopen({ directory, plan, data, options }) {
    const db = openFile(directory)
    const inMemory = new Map()
    if (options.read === 'all') {
      for (const row of db.prepare('SELECT * FROM account').iterate()) inMemory.set(row.id, row)
    }
    const id = plan.rows >> 1
    const first = options.read === 'all' ? inMemory.get(id) : db.prepare('SELECT * FROM account WHERE id = ?').get(id)
    if (first === undefined) throw new Error('the first read found nothing')
    return {
      digest() {
        if (options.read === 'all') {
          let read = 0
          for (const row of inMemory.values()) read += row.balance
          return data.rowsDigest(inMemory.size, read)
        }
        const { count, sum } = db.prepare('SELECT count(*) AS count, sum(balance) AS sum FROM account').get()
        return data.rowsDigest(count, sum)
      },
      leave() {},
    }
  },
}

const transfers = {
  prepare({ directory, plan, data, options }) {
    const db = openFile(directory)
    db.exec(`
      CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, balance INTEGER NOT NULL CHECK (balance >= 0));
      CREATE TABLE ledger (
        id INTEGER PRIMARY KEY, source INTEGER NOT NULL, target INTEGER NOT NULL, amount INTEGER NOT NULL);
    `)
    const insertAccount = db.prepare('INSERT INTO account VALUES (?, ?, ?)')
    const add = db.prepare('UPDATE account SET balance = balance + ? WHERE id = ?')
    const insertLedger = db.prepare('INSERT INTO ledger VALUES (?, ?, ?, ?)')
    db.exec('BEGIN')
    for (let id = 0; id < plan.accounts; id += 1) {
      const { owner, balance } = data.accountRow(id)
      insertAccount.run(id, owner, balance)
    }
    db.exec('COMMIT')
    for (let index = 0; index < plan.transfers;) {
      db.exec('BEGIN IMMEDIATE')
      for (const end = Math.min(index + options.group, plan.transfers); index < end; index += 1) {
        const amount = plan.amount[index]
        add.run(-amount, plan.from[index])
        add.run(amount, plan.to[index])
        insertLedger.run(index, plan.from[index], plan.to[index], amount)
      }
      db.exec('COMMIT')
    }
    // Not closed: closing would move the log into the file. Reachable, so that no collection closes it either.
    leftOpen.push(db)
  },
  reopen({ directory, plan, data }) {
    const db = openFile(directory)
    const first = db.prepare('SELECT balance FROM account WHERE id = ?').get(plan.accounts >> 1)
    if (first === undefined) throw new Error('the first read found nothing')
    return {
      digest() {
        const balances = Float64Array.from(db.prepare('SELECT balance FROM account ORDER BY id').pluck().all())
        return data.bankDigest(balances, db.prepare('SELECT count(*) FROM ledger').pluck().get())
      },
      leave() {},
    }
  },
}

const leftOpen = []

export const restarters = { rows, transfers }
