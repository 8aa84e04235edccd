/**
 * The past inside of memory: one million rows of one hundred bytes, and commits behind them that each change one.
 *
 *   as-of       a moment of the last commits, drawn uniformly: `asOf`, one read of a row, closed again; and reads on an open one
 *   fork        opened and closed again; what the process takes of memory for forks that stay open; a call on one
 *   history     the ten newest versions of a row, newest first; and the rate at which the log is read for all of them
 */
import { performance } from 'node:perf_hooks'
import { open, type Position } from 'sluicedb'
import { randomSource } from '../statistics.js'
import application, { addRow, rows, touchRows } from '../workloads/rows.js'
import { sumDigest, wideRow } from '../workloads/row-plan.js'
import type { Benchmark } from './benchmark.js'

const { account } = rows.tables
const chunk = 4_096
const goals = { asOfUs: 5, forkMs: 50 }
const microseconds = 1_000

export const timeTravel: Benchmark = {
  name: 'time-travel',
  about: 'as-of reads, forks and histories of rows, inside of memory',
  async run(b) {
    const count = b.parameter('rows', 2_000, 1_000_000)
    const commits = b.parameter('commits', 500, 20_000)
    const reads = b.parameter('reads', 200, 20_000)
    const forks = b.parameter('forks', 4, 20)
    const touched = b.parameter('touched', 100, 1_000)
    await using db = await open(application, { memory: { bytes: 2 ** 31 } })
    for (let first = 0; first < count; first += chunk) {
      const ids = Array.from({ length: Math.min(chunk, count - first) }, (_, n) => first + n)
      await db.submitMany(addRow, ids.map(wideRow))
    }
    const positions: Position[] = []
    for (let n = 0; n < commits; n += 1) positions.push((await db.submit(touchRows, { first: n % touched, count: 1 })).position)
    const below = randomSource(17)
    const drawn = Array.from({ length: reads }, () => below(commits))
    let sum = 0

    const each = async (name: string, times: number, work: (n: number) => Promise<unknown> | undefined, goal?: number): Promise<void> => {
      const samples = await b.repeat(async () => {
        const start = performance.now()
        for (let n = 0; n < times; n += 1) {
          const pending = work(n)
          if (pending !== undefined) await pending
        }
        return ((performance.now() - start) / times) * microseconds
      })
      b.figure({ name, unit: 'µs', better: 'lower', samples, goal })
    }
    await each('asOf(position), get, close', reads, async (n) => {
      using past = await db.asOf(positions[drawn[n]!]!)
      sum += past.table(account).get(drawn[n]! % touched)!.balance
    }, goals.asOfUs)
    const middle = await db.asOf(positions[commits >>> 1]!)
    const then = middle.table(account)
    await each('get on an open as-of snapshot', reads, (n) => {
      sum += then.get(drawn[n]! % count)!.balance
      return undefined
    }, goals.asOfUs)
    const atMs = middle.time
    middle.close()
    await each('asOf(Date), get, close', reads, async (n) => {
      using past = await db.asOf(new Date(atMs))
      sum += past.table(account).has(drawn[n]! % touched) ? 1 : 0
    })
    await each('the ten newest versions of a row', Math.max(1, reads / 100), async (n) => {
      for await (const { after } of db.history(account, drawn[n]! % touched, { limit: 10, reverse: true })) sum += after!.branch
    })
    const seen = await b.repeat(async () => {
      const start = performance.now()
      for await (const { after } of db.history(account, 0, { from: positions[0]! })) sum += after!.branch
      return commits / ((performance.now() - start) / 1_000)
    })
    b.figure({ name: 'commits that a history passes', unit: '/s', better: 'higher', samples: seen })

    const openMs = await b.repeat(async () => {
      const start = performance.now()
      const fork = await db.fork(positions.at(-1)!)
      const ms = performance.now() - start
      await fork.close()
      return ms
    })
    b.figure({ name: 'fork of all rows, opened', unit: 'ms', better: 'lower', samples: openMs, goal: goals.forkMs })
    const before = process.memoryUsage.rss()
    const opened = await Promise.all(Array.from({ length: forks }, () => db.fork()))
    b.figure({ name: 'memory of an open fork', unit: 'MB', better: 'lower', samples: [(process.memoryUsage.rss() - before) / forks / 1e6] })
    const [fork] = opened as [(typeof opened)[number]]
    await each('call on a fork, a row that it has not seen', touched, async (n) => {
      sum += await fork.call(touchRows, { first: (n * 7_919) % count, count: 1 })
    })
    await each('get on a fork', reads, (n) => {
      sum += fork.table(account).get(drawn[n]! % count)!.branch
      return undefined
    })
    if (fork.diff().length === 0) throw new Error('the fork has changed nothing')
    for (const one of opened) await one.close()
    let balances = 0
    for (let id = 0; id < touched; id += 1) balances += db.table(account).get(id)!.balance
    if (!Number.isSafeInteger(sum)) throw new Error('a read was no number')
    b.report('hash', sumDigest(balances))
  },
}
