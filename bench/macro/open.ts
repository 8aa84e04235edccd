/**
 * Opening one million rows of one hundred bytes from a checkpoint: from `open` to the answer of the first read, in a new
 * process each time. By then every row of ours is in memory.
 *
 * The peers are shown at both ends: those that keep rows in their file answer a first read at once, and so do not do what
 * we do; read into objects, they do more than we do. Redis stands between, for it has its rows in memory as we do, in a
 * process of its own.
 */
import { peersOf, restarted, restarterModules, restarts, type RestartEntry, type RestartStanding } from '../recovery/restarts.js'
import type { Benchmark } from './benchmark.js'

const inline = 'sluicedb'
const oneWorker = 'sluicedb, 1 worker'
const fromLog = 'sluicedb, from the log alone'
const redisLog = 'Redis, append-only file'
const redisSnapshot = 'Redis, append-only file rewritten as a snapshot'
const sqliteAll = 'better-sqlite3, all rows into a Map'
const sqliteOne = 'better-sqlite3, the first read only'
const lmdbAll = 'lmdb, all rows into a Map'
const lmdbOne = 'lmdb, the first read only'
const jsonLines = 'JSON lines into a Map'
const peerNames = [redisLog, redisSnapshot, sqliteAll, lmdbAll, jsonLines, sqliteOne, lmdbOne]

export const openRows: Benchmark = {
  name: 'open',
  about: 'opening one million rows of one hundred bytes from a checkpoint, first read included',
  async run(b) {
    const rows = b.parameter('rows', 2_000, 1_000_000)
    const rounds = {
      warmups: b.parameter('warmups', 0, 1),
      repetitions: b.parameter('repetitions', 1, 5),
      coldRepetitions: b.parameter('coldRepetitions', 0, 3),
    }
    const { sluicedb, redis, sqlite, lmdb, plain } = restarterModules
    const common = { restarter: 'rows', workload: { kind: 'load', settings: { rows, reads: 0 } }, count: rows } as const
    const entries: RestartEntry[] = [
      { ...common, name: inline, module: sluicedb, options: { checkpoint: true } },
      { ...common, name: oneWorker, module: sluicedb, options: { checkpoint: true, workers: 1 } },
      { ...common, name: fromLog, module: sluicedb },
      { ...common, name: redisLog, module: redis },
      { ...common, name: redisSnapshot, module: redis, options: { rewritten: true } },
      { ...common, name: sqliteAll, module: sqlite, options: { read: 'all' } },
      { ...common, name: sqliteOne, module: sqlite, options: { read: 'one' }, opens: sqliteAll },
      { ...common, name: lmdbAll, module: lmdb, options: { read: 'all' } },
      { ...common, name: lmdbOne, module: lmdb, options: { read: 'one' }, opens: lmdbAll },
      { ...common, name: jsonLines, module: plain },
    ]
    const standings = await restarts(b, entries, rounds)
    const warm = ({ ms }: RestartStanding): readonly number[] => ms
    const cold = ({ coldMs }: RestartStanding): readonly number[] => coldMs
    const own = restarted(standings, inline)
    for (const [index, peer] of [undefined, ...peersOf(standings, peerNames, warm)].entries()) {
      b.figure({ name: inline, unit: 'ms', better: 'lower', samples: own.ms, goal: index === 0 ? 800 : undefined, peer })
    }
    for (const name of [oneWorker, fromLog]) {
      b.figure({ name, unit: 'ms', better: 'lower', samples: restarted(standings, name).ms })
    }
    if (own.coldMs.length > 0) {
      for (const peer of peersOf(standings, peerNames, cold)) {
        b.figure({ name: `${inline}, file cache empty`, unit: 'ms', better: 'lower', samples: own.coldMs, peer })
      }
    }
    b.report('hash', own.digest ?? '')
  },
}
