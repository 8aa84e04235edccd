/**
 * Opening from the log alone: transfers that were committed, replayed by a new process until a first read is answered.
 * The rate counts transfers and takes the whole of the opening; the accounts stand in the same log, uncounted.
 *
 * Redis replays its append-only file, with every transfer between MULTI and EXEC, into memory as we do. SQLite, killed with as
 * many in its write-ahead log, checks that log and indexes its pages: the rows stay where they are until they are read.
 * lmdb has no log.
 */
import { peersOf, restarted, restarterModules, restarts, type RestartStanding } from '../recovery/restarts.js'
import type { Benchmark } from './benchmark.js'

const many = 'sluicedb, log of submitMany'
const flight = 'sluicedb, log of 1,024 callers'
const redisLog = 'Redis, append-only file'
const largeGroups = 'better-sqlite3 WAL, 4,096 per commit'
const smallGroups = 'better-sqlite3 WAL, 256 per commit'

export const replay: Benchmark = {
  name: 'replay',
  about: 'transfers replayed from the log at opening, first read included',
  async run(b) {
    const accounts = b.parameter('accounts', 1_000, 100_000)
    const count = b.parameter('transfers', 2_000, 1_000_000)
    const walCount = b.parameter('walTransfers', 1_000, 200_000)
    const rounds = {
      warmups: b.parameter('warmups', 0, 1),
      repetitions: b.parameter('repetitions', 1, 5),
      coldRepetitions: b.parameter('coldRepetitions', 0, 3),
    }
    const { sluicedb, redis, sqlite } = restarterModules
    const of = (transfers: number) => ({
      restarter: 'transfers', workload: { kind: 'transfer', settings: { accounts, transfers } }, count: transfers,
    }) as const
    const standings = await restarts(b, [
      { ...of(count), name: many, module: sluicedb },
      { ...of(count), name: flight, module: sluicedb, options: { how: 'flight', workers: 1 } },
      { ...of(count), name: redisLog, module: redis },
      { ...of(count), name: largeGroups, module: sqlite, options: { group: 4_096 } },
      { ...of(walCount), name: smallGroups, module: sqlite, options: { group: 256 } },
    ], rounds)
    const rates = (times: (standing: RestartStanding) => readonly number[]) =>
      (standing: RestartStanding): readonly number[] => times(standing).map((ms) => standing.count / (ms / 1_000))
    const warm = rates(({ ms }) => ms)
    const cold = rates(({ coldMs }) => coldMs)
    const own = restarted(standings, many)
    const peerNames = [redisLog, largeGroups, smallGroups]
    for (const [index, peer] of [undefined, ...peersOf(standings, peerNames, warm)].entries()) {
      const goal = index === 0 ? 1_500_000 : undefined
      b.figure({ name: many, unit: '/s', better: 'higher', samples: warm(own), goal, peer })
    }
    b.figure({ name: flight, unit: '/s', better: 'higher', samples: warm(restarted(standings, flight)) })
    if (own.coldMs.length > 0) {
      for (const peer of peersOf(standings, peerNames, cold)) {
        b.figure({ name: `${many}, file cache empty`, unit: '/s', better: 'higher', samples: cold(own), peer })
      }
    }
    b.report('hash', own.digest ?? '')
  },
}
