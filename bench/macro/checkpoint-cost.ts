/**
 * What a running checkpoint costs those who commit: the durable transfer, 1,024 in flight, without checkpoints and with
 * one after the other all the time. Each pair of rounds lies close together, so the ratio is taken of the pair.
 *
 * Checkpoints of ours are incremental and end with the log up to them dispensable. Redis' equivalent is the rewriting of its
 * append-only file, which forks; SQLite's moves the write-ahead log into the file. Redis and SQLite without checkpoints let
 * their log grow, as ours does then. SQLite's latencies are those of commits of 256 transfers.
 */
import { contest, modules, type Entry, type Standing } from '../contest/contest.js'
import { latencyOfRounds, ours, type Benchmark } from './benchmark.js'
import type { PeerInput } from '../harness.js'

const without = 'sluicedb'
const always = 'sluicedb, checkpoints all the time'
const automatic = 'sluicedb, checkpoints by size of the log'
const redisWithout = 'Redis'
const redisAlways = 'Redis, BGREWRITEAOF all the time'
const sqliteWithout = 'better-sqlite3'
const sqliteAlways = 'better-sqlite3, wal_checkpoint all the time'
/** Who is compared with whom. */
const pairs: ReadonlyMap<string, string> = new Map([
  [always, without], [automatic, without], [redisAlways, redisWithout], [sqliteAlways, sqliteWithout],
])

export const checkpointCost: Benchmark = {
  name: 'checkpoint-cost',
  about: 'transfers, fsync, 1,024 in flight: throughput and p99 while a checkpoint runs, over those without',
  async run(b) {
    const accounts = b.parameter('accounts', 1_000, 100_000)
    const count = b.parameter('transfers', 1_000, 400_000)
    const redisCount = b.parameter('redisTransfers', 500, 60_000)
    const sqliteCount = b.parameter('sqliteTransfers', 512, 60_000)
    const inFlight = b.parameter('inFlight', 64, 1_024)
    const logBytes = b.parameter('logBytes', 4 * 2 ** 20, 64 * 2 ** 20)
    const flight = { file: true, workers: 1, how: 'flight', inFlight }
    const grouped = { file: true, group: 256, checkpointPages: 0 }
    const common = { contestant: 'transfer', latency: true }
    const entries: Entry[] = [
      { ...common, name: without, module: modules.sluicedb, count, options: { ...flight, checkpoints: 'none' } },
      { ...common, name: always, module: modules.sluicedb, count, options: { ...flight, checkpoints: 'always' } },
      { ...common, name: automatic, module: modules.sluicedb, count, options: { ...flight, checkpoints: logBytes } },
      { ...common, name: redisWithout, module: modules.redis, count: redisCount, options: { inFlight } },
      { ...common, name: redisAlways, module: modules.redis, count: redisCount, options: { inFlight, checkpoints: 'always' } },
      { ...common, name: sqliteWithout, module: modules.sqlite, count: sqliteCount, options: grouped },
      {
        ...common, name: sqliteAlways, module: modules.sqlite, count: sqliteCount,
        options: { ...grouped, checkpoints: 'always' },
      },
    ]
    const standings = await contest(b, 'transfer', { accounts }, entries)
    const p99 = ({ latencies }: Standing): number[] => latencies.map((latency) => latency.p99)
    /** Round by round; nothing where the peer is not installed. */
    const ratios = (name: string, of: (standing: Standing) => readonly number[]): number[] => {
      const find = (wanted: string): Standing => standings.find((standing) => standing.name === wanted) as Standing
      const base = of(find(pairs.get(name) as string))
      return of(find(name)).map((value, round) => value / (base[round] as number))
    }
    const peers = (of: (standing: Standing) => readonly number[]): (PeerInput | undefined)[] => {
      const known = [redisAlways, sqliteAlways].flatMap((name) => {
        const samples = ratios(name, of)
        return samples.length > 0 ? [{ name, samples }] : []
      })
      return known.length > 0 ? known : [undefined]
    }
    const rates = ({ rates: samples }: Standing): readonly number[] => samples
    for (const name of [always, automatic]) {
      const samples = ratios(name, rates)
      for (const peer of peers(rates)) {
        b.figure({ name: `${name}: throughput`, unit: 'x', better: 'higher', samples, goal: 0.9, peer })
      }
    }
    for (const name of [always, automatic]) {
      const samples = ratios(name, p99)
      for (const peer of peers(p99)) b.figure({ name: `${name}: p99`, unit: 'x', better: 'lower', samples, goal: 2, peer })
    }
    for (const standing of standings) {
      if (standing.skipped !== undefined) continue
      b.figure({ name: standing.name, unit: '/s', better: 'higher', samples: standing.rates })
      b.latency(standing.name, latencyOfRounds(standing.latencies))
    }
    for (const { name, besides } of standings) {
      const hasNone = besides.length > 0 && besides.every((checkpoints) => checkpoints === 0)
      if (hasNone && [always, redisAlways, sqliteAlways].includes(name)) throw new Error(`${name} made no checkpoint`)
      const times = name === automatic ? 'checkpoints begun by the end of a round (2: or more)' : 'checkpoints in a round'
      if (!hasNone && besides.length > 0) b.note(`${name}: ${besides.join(', ')} ${times}`)
      if (hasNone && name === automatic) b.note(`${name}: there was none, the log was too short`)
    }
    b.report('hash', ours(standings, without).digest ?? '')
  },
}
