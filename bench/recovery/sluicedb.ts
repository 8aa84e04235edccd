/**
 * Our side of the restarts (restarter.ts). Options:
 *
 *   workers      0 (default): everything on the caller's thread
 *   checkpoint   the database is left with a checkpoint of everything; else its log is all there is
 *   how          who wrote the log of transfers: 'many' (default), submitMany of 4,096; 'flight', 1,024 callers that
 *                wait for an answer each
 */
import type { App, Database } from 'sluicedb'
import type { Task } from '../contest/contestant.js'
import { counter, digestOfBank, inChunks, keepInFlight, openAccounts, transferInput } from '../workloads/bank-driver.js'
import rowsApp, { addRow, rows } from '../workloads/rows.js'
import bankApp, { bank, transfer } from '../workloads/transfer.js'
import { openWith } from './checkpoint-options.js'
import type { Reopened, Restarter } from './restarter.js'

const chunk = 4_096
const callers = 1_024

function openFor({ directory, options }: Task, application: App): Promise<Database> {
  return openWith(application, { path: directory, workers: Number(options['workers'] ?? 0), durability: 'fsync' }, 'on demand')
}

async function leave(db: Database, { options }: Task): Promise<void> {
  if (options['checkpoint'] === true) await db.checkpoint()
  await db.close()
}

const wideRows: Restarter = {
  async prepare(task) {
    if (task.kind !== 'load') throw new TypeError(`rows cannot be left behind for "${task.kind}"`)
    const db = await openFor(task, rowsApp)
    await inChunks(0, task.plan.rows, chunk, (ids) => db.submitMany(addRow, ids.map(task.data.wideRow)))
    await leave(db, task)
  },
  async reopen(task): Promise<Reopened> {
    if (task.kind !== 'load') throw new TypeError(`there are no rows for "${task.kind}"`)
    const db = await openFor(task, rowsApp)
    const accounts = db.table(rows.tables.account)
    if (accounts.get(task.plan.rows >> 1) === undefined) throw new Error('the first read found nothing')
    return {
      digest() {
        let sum = 0
        for (const row of accounts) sum += row.balance
        return task.data.rowsDigest(accounts.count(), sum)
      },
      leave() {},
    }
  },
}

const transfers: Restarter = {
  async prepare(task) {
    if (task.kind !== 'transfer') throw new TypeError(`a bank cannot be left behind for "${task.kind}"`)
    const db = await openFor(task, bankApp)
    const { accounts, transfers: count } = task.plan
    await openAccounts(db, accounts)
    const input = transferInput(task.plan)
    if (task.options['how'] === 'flight') {
      await keepInFlight(callers, counter(0, count), (index) => db.call(transfer, input(index)))
    } else {
      await inChunks(0, count, chunk, (indexes) => db.submitMany(transfer, indexes.map(input)))
    }
    await leave(db, task)
  },
  async reopen(task): Promise<Reopened> {
    if (task.kind !== 'transfer') throw new TypeError(`there is no bank for "${task.kind}"`)
    const db = await openFor(task, bankApp)
    const { accounts } = task.plan
    if (db.table(bank.tables.account).get(accounts >> 1) === undefined) throw new Error('the first read found nothing')
    return { digest: () => digestOfBank(db, accounts), leave() {} }
  },
}

export const restarters: Readonly<Record<string, Restarter>> = { rows: wideRows, transfers }
