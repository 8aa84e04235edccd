/**
 * What subscribers cost a commit: fsync, one transfer at a time, its latency with
 *
 *   none         no subscriber at all
 *   all read     a thousand that take every commit
 *   one stuck    a thousand, of which one has stopped asking
 *   filtered     ten thousand that ask for accounts that never change
 *
 * "Stuck" is held against "all read": what a stuck one costs the others. "Filtered" against none: what those cost whom a commit does
 * not concern. The settings take turns in blocks, so that the disk is the same for all of them.
 */
import { performance } from 'node:perf_hooks'
import { type Database, only, open } from 'sluicedb'
import { LatencyRecorder, type Latency } from '../statistics.js'
import { digestOfBank, openAccounts, transferInput } from '../workloads/bank-driver.js'
import { transferDigest, transferPlan } from '../workloads/transfer-plan.js'
import application, { bank, transfer } from '../workloads/transfer.js'
import { latencyOfRounds, type Benchmark } from './benchmark.js'

const settings = ['none', 'all read', 'one stuck', 'filtered'] as const
type Setting = (typeof settings)[number]

export const manySubscribers: Benchmark = {
  name: 'many-subscribers',
  about: 'latency of a commit beside 1,000 subscribers, one of them stuck, and beside 10,000 filtered ones',
  async run(b) {
    const accounts = b.parameter('accounts', 100, 1_000)
    const count = b.parameter('commits', 10, 500)
    const readers = b.parameter('readers', 20, 1_000)
    const filtered = b.parameter('filtered', 100, 10_000)
    const rounds = b.parameter('repetitions', 1, 5)
    const plan = transferPlan({ accounts, transfers: count * settings.length * (rounds + 1) })
    const input = transferInput(plan)
    await using db = await open(application, { path: b.directory(), workers: b.parameter('workers', 0, 0), durability: 'fsync' })
    await openAccounts(db, accounts)
    const latencies: Record<Setting, Latency[]> = { 'none': [], 'all read': [], 'one stuck': [], 'filtered': [] }
    let next = 0
    // The first round warms up.
    for (let round = -1; round < rounds; round += 1) {
      for (const setting of settings) {
        const end = await subscribe(db, setting, readers, filtered, accounts)
        const latency = new LatencyRecorder(count)
        for (let n = 0; n < count; n += 1, next += 1) {
          const start = performance.now()
          await db.call(transfer, input(next))
          latency.record(performance.now() - start)
          await new Promise((resolve) => setImmediate(resolve)) // the readers read
        }
        await end()
        if (round >= 0) latencies[setting].push(latency.summary())
      }
    }
    const digest = digestOfBank(db, accounts)
    const expected = transferDigest(plan, next)
    if (digest !== expected) throw new Error(`the bank ended with ${digest} and should have ended with ${expected}`)
    const p99 = (setting: Setting): number[] => latencies[setting].map((one) => one.p99)
    b.figure({ name: 'p99, one of them stuck', unit: 'µs', better: 'lower', samples: p99('one stuck'), peer: { name: 'all of them reading', samples: p99('all read'), goal: 1 / 1.1 } })
    b.figure({ name: 'p99, filtered', unit: 'µs', better: 'lower', samples: p99('filtered'), peer: { name: 'no subscriber', samples: p99('none'), goal: 1 / 1.1 } })
    for (const setting of settings) b.latency(setting, latencyOfRounds(latencies[setting]))
    b.report('hash', digest)
  },
}

/** Answers how to end them. */
async function subscribe(db: Database, setting: Setting, readers: number, filtered: number, accounts: number): Promise<() => Promise<void>> {
  const streams =
    setting === 'none' ? []
    : setting === 'filtered' ? Array.from({ length: filtered }, (_, n) => db.changes({ tables: [only(bank.tables.account, { key: accounts + n })] }))
    : Array.from({ length: readers }, () => db.changes())
  let seen = 0
  const reading = streams.map((stream, n) => {
    // It has been live, and asks no more.
    if (setting === 'one stuck' && n === 0) return stream[Symbol.asyncIterator]().next().then(() => undefined)
    return stream.each(() => void (seen += 1))
  })
  await new Promise((resolve) => setImmediate(resolve))
  return async () => {
    for (const stream of streams) await stream.close()
    await Promise.all(reading)
    if (setting === 'filtered' && seen > 0) throw new Error(`${seen} commits came to subscribers that they do not concern`)
  }
}
