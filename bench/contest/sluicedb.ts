/**
 * Our side of the contests (contestant.ts): transfers, reads and loads; YCSB, SmallBank, TPC-C and events are in files beside this one. The options
 * choose how the database is opened and how it is called, never what is done:
 *
 *   file     on disk with fsync, else in memory            workers    0: everything on the caller's thread
 *   how      'one': each call awaited before the next      keys       'int' (default) or 'text'
 *            'flight': one promise each, `inFlight` open   procedure  'transfer' (default) or 'transferPlaced'
 *            'many': submitMany of `chunk`, a few at once  column     of a read: 'one' or 'row'
 *   checkpoints of transfers: 'none'; 'always', the next one begins when one has ended, as long as a round lasts; a
 *            number, whenever the log has grown by so many bytes; else as the database does it by itself
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { Database, Outcome } from 'sluicedb'
import type { LatencyRecorder } from '../statistics.js'
import { counter, digestOfBank, inChunks, keepInFlight, openAccounts, transferInput } from '../workloads/bank-driver.js'
import rowsApp, { addRow, rows } from '../workloads/rows.js'
import type { TransferPlan } from '../workloads/transfer-plan.js'
import textApp, { openTextAccount, textBank, transferText } from '../workloads/transfer-text.js'
import intApp, { transfer, transferPlaced } from '../workloads/transfer.js'
import { workloadData, type Contestant, type ContestantOptions, type Player, type Task } from './contestant.js'
import { openFor } from './open-for.js'
import { eventsToOne } from './sluicedb-events.js'
import { smallBankCustomers } from './sluicedb-smallbank.js'
import { tpcc } from './sluicedb-tpcc.js'
import { ycsbRows } from './sluicedb-ycsb.js'

const loadChunk = 4_096

/** What a driver needs of an opened bank, by number of transfer. */
interface Bank {
  call(index: number): Promise<unknown>
  submitMany(indexes: readonly number[]): Promise<readonly Outcome<unknown>[]>
}

const transfers: Contestant = async (task) => {
  if (task.kind !== 'transfer') throw new TypeError(`a bank cannot play "${task.kind}"`)
  return task.options['keys'] === 'text' ? textTransfers(task, task.plan) : intTransfers(task, task.plan)
}

async function intTransfers(task: Task, plan: TransferPlan): Promise<Player> {
  const db = await openFor(task, intApp)
  await openAccounts(db, plan.accounts)
  const procedure = task.options['procedure'] === 'transferPlaced' ? transferPlaced : transfer
  const input = transferInput(plan)
  const play = driver(task.options, {
    call: (index) => db.call(procedure, input(index)),
    submitMany: (indexes) => db.submitMany(procedure, indexes.map(input)),
  })
  return {
    ...withCheckpoints(db, task, play),
    digest: () => digestOfBank(db, plan.accounts),
    close: () => db.close(),
  }
}

type Playing = Pick<Player, 'play' | 'settle' | 'besides'>

function withCheckpoints(db: Database, { options, directory }: Task, play: Player['play']): Playing {
  if (options['checkpoints'] === 'always') return oneAfterTheOther(db, play)
  return typeof options['checkpoints'] === 'number' ? bySizeOfLog(db, directory, play) : { play }
}

/** Checkpoints that the database makes by itself. One that still runs after the round must not disturb the next player. */
function bySizeOfLog(db: Database, directory: string, play: Player['play']): Playing {
  let begun = 0
  return {
    async play(...round) {
      const before = manifests(directory)
      await play(...round)
      begun = manifests(directory).filter((written, index) => written !== before[index]).length
    },
    settle: async () => void (await db.checkpoint()),
    besides: () => begun,
  }
}

/** When the manifests of the two checkpoints were written: at the begin of one, which voids it, and at its end. */
function manifests(directory: string): (number | undefined)[] {
  return ['a', 'b'].map((name) => statSync(join(directory, 'checkpoint', `${name}.manifest`), { throwIfNoEntry: false })?.mtimeMs)
}

/** The last one ends after the clock. */
function oneAfterTheOther(db: Database, play: Player['play']): Playing {
  let isPlaying = false
  let checkpoints: Promise<void> = Promise.resolve()
  let count = 0
  const run = async (): Promise<void> => {
    while (isPlaying) {
      await db.checkpoint()
      count += 1
    }
  }
  return {
    async play(...round) {
      isPlaying = true
      checkpoints = run()
      try {
        // A checkpoint that fails ends the round; the others end after it.
        await Promise.race([play(...round), checkpoints.then(() => new Promise<never>(() => {}))])
      } finally {
        isPlaying = false
      }
    },
    settle: () => checkpoints,
    besides() {
      const before = count
      count = 0
      return before
    },
  }
}

async function textTransfers(task: Task, plan: TransferPlan): Promise<Player> {
  const db = await openFor(task, textApp)
  const names = Array.from({ length: plan.accounts }, (_, id) => `account-${String(id).padStart(9, '0')}`)
  const name = (id: number): string => names[id] as string
  const account = (id: number) => ({ ...workloadData.accountRow(id), id: name(id) })
  await inChunks(0, plan.accounts, loadChunk, (ids) => db.submitMany(openTextAccount, ids.map(account)))
  const numbered = transferInput(plan)
  const input = (index: number) => {
    const { id, from, to, amount } = numbered(index)
    return { id, from: name(from), to: name(to), amount }
  }
  return {
    play: driver(task.options, {
      call: (index) => db.call(transferText, input(index)),
      submitMany: (indexes) => db.submitMany(transferText, indexes.map(input)),
    }),
    digest() {
      const accounts = db.table(textBank.tables.account)
      const balances = Float64Array.from(names, (id) => accounts.get(id)?.balance ?? NaN)
      return workloadData.bankDigest(balances, db.table(textBank.tables.ledger).count())
    },
    close: () => db.close(),
  }
}

function driver(options: ContestantOptions, bank: Bank): Player['play'] {
  const { how, inFlight = 1_024, chunk = 4_096 } = options
  switch (how) {
    case 'one':
      return (first, count, latency) => keepInFlight(1, counter(first, count), timed(bank.call, latency))
    case 'flight':
      return (first, count, latency) => keepInFlight(Number(inFlight), counter(first, count), timed(bank.call, latency))
    case 'many':
      return (first, count) => inChunks(first, count, Number(chunk), (indexes) => bank.submitMany(indexes))
    default:
      throw new TypeError(`"how" is one, flight or many, not ${String(how)}`)
  }
}

function timed(call: Bank['call'], latency: LatencyRecorder | undefined): Bank['call'] {
  if (latency === undefined) return call
  return async (index) => {
    const start = performance.now()
    await call(index)
    latency.record(performance.now() - start)
  }
}

const reads: Contestant = async (task) => {
  if (task.kind !== 'read') throw new TypeError(`rows cannot be read to play "${task.kind}"`)
  const db = await openFor(task, rowsApp)
  const { keys } = task.plan
  await inChunks(0, task.plan.rows, loadChunk, (ids) => db.submitMany(addRow, ids.map(workloadData.wideRow)))
  const accounts = db.table(rows.tables.account)
  const ofOne = (first: number, end: number): number => {
    let seen = 0
    for (let index = first; index < end; index += 1) seen += accounts.value(keys[index] as number, 'balance') as number
    return seen
  }
  const ofRow = (first: number, end: number): number => {
    let seen = 0
    for (let index = first; index < end; index += 1) seen += accounts.get(keys[index] as number)?.balance ?? NaN
    return seen
  }
  const read = task.options['column'] === 'one' ? ofOne : ofRow
  let sum = 0
  return {
    play: (first, count) => void (sum += read(first, first + count)),
    digest: () => workloadData.sumDigest(sum),
    close: () => db.close(),
  }
}

const loads: Contestant = async (task) => {
  const db = await openFor(task, rowsApp)
  return {
    play: (first, count) =>
      inChunks(first, count, loadChunk, (ids) => db.submitMany(addRow, ids.map(workloadData.wideRow))),
    digest() {
      const accounts = db.table(rows.tables.account)
      let sum = 0
      for (const row of accounts) sum += row.balance
      return workloadData.rowsDigest(accounts.count(), sum)
    },
    close: () => db.close(),
  }
}

export const contestants: Readonly<Record<string, Contestant>> = {
  transfer: transfers, read: reads, load: loads, ycsb: ycsbRows, smallbank: smallBankCustomers, tpcc, events: eventsToOne,
}
