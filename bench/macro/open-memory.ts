/**
 * The most memory that opening one million rows of one hundred bytes takes, over what the open database holds: both as
 * the kernel counts them for the process (VmHWM, VmRSS), in a new process each time, the latter after a full collection.
 * Once as they are, with what Node itself takes in both, and once without that.
 */
import { peersOf, restarted, restarterModules, restarts, type RestartStanding } from '../recovery/restarts.js'
import type { OpeningMemory } from '../recovery/restart-stage.js'
import type { Benchmark } from './benchmark.js'

const checkpointed = 'sluicedb'
const fromLog = 'sluicedb, from the log alone'
const redisLog = 'Redis, append-only file'
const sqliteAll = 'better-sqlite3, all rows into a Map'
const lmdbAll = 'lmdb, all rows into a Map'
const jsonLines = 'JSON lines into a Map'
const peerNames = [redisLog, sqliteAll, lmdbAll, jsonLines]
const goal = 1.5
const megabyte = 1e6

const ratio = ({ peakBytes, openBytes }: OpeningMemory): number => peakBytes / openBytes
const ratioWithoutNode = ({ peakBytes, openBytes, beforeBytes }: OpeningMemory): number =>
  (peakBytes - beforeBytes) / Math.max(1, openBytes - beforeBytes)

export const openMemory: Benchmark = {
  name: 'open-memory',
  about: 'peak memory of opening one million rows of one hundred bytes, over that of the open database',
  async run(b) {
    const rows = b.parameter('rows', 2_000, 1_000_000)
    const rounds = { warmups: 0, repetitions: b.parameter('repetitions', 1, 3), coldRepetitions: 0 }
    const { sluicedb, redis, sqlite, lmdb, plain } = restarterModules
    const common = { restarter: 'rows', workload: { kind: 'load', settings: { rows, reads: 0 } }, count: rows } as const
    const standings = await restarts(b, [
      { ...common, name: checkpointed, module: sluicedb, options: { checkpoint: true } },
      { ...common, name: fromLog, module: sluicedb },
      { ...common, name: redisLog, module: redis },
      { ...common, name: sqliteAll, module: sqlite, options: { read: 'all' } },
      { ...common, name: lmdbAll, module: lmdb, options: { read: 'all' } },
      { ...common, name: jsonLines, module: plain },
    ], rounds)
    const own = restarted(standings, checkpointed)
    if (own.memory.length === 0) throw new Error('this system does not tell the peak of a process: Linux does')
    const figures = (name: string, unit: string, of: (memory: OpeningMemory) => number, limit?: number): void => {
      const samples = ({ memory }: RestartStanding): number[] => memory.map(of)
      for (const [index, peer] of [undefined, ...peersOf(standings, peerNames, samples)].entries()) {
        const first = index === 0 ? limit : undefined
        b.figure({ name, unit, better: 'lower', samples: samples(own), goal: first, peer })
      }
    }
    figures('peak ÷ open', 'x', ratio, goal)
    b.figure({ name: 'peak ÷ open, without Node', unit: 'x', better: 'lower', samples: own.memory.map(ratioWithoutNode), goal })
    figures('peak', 'MB', ({ peakBytes }) => peakBytes / megabyte)
    figures('open', 'MB', ({ openBytes }) => openBytes / megabyte)
    const log = restarted(standings, fromLog)
    b.figure({ name: `${fromLog}: peak ÷ open`, unit: 'x', better: 'lower', samples: log.memory.map(ratio), goal })
    b.report('hash', own.digest ?? '')
  },
}
