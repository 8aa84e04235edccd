/**
 * Resident memory of one million rows of one hundred bytes: growth of the process from before `open` to after the
 * load and a full collection. Everything counts that the database keeps for them: rows, index, versions, the log in
 * memory, rings. Each repetition is a new process, since memory that was used once does not come back.
 */
import { modules, play, type Entry, type Standing } from '../contest/contest.js'
import { ours, peerOf, type Benchmark } from './benchmark.js'

const megabyte = 1e6
const mapOfObjects = 'Map of objects'
const sqliteInMemory = 'better-sqlite3 :memory:'

export const memory: Benchmark = {
  name: 'memory',
  about: 'resident memory of one million rows of one hundred bytes',
  async run(b) {
    const rows = b.parameter('rows', 2_000, 1_000_000)
    const repetitions = b.parameter('repetitions', 1, 3)
    const common = { contestant: 'load', count: rows }
    const entries: Entry[] = [
      { ...common, name: 'sluicedb', module: modules.sluicedb },
      { ...common, name: sqliteInMemory, module: modules.sqlite },
      { ...common, name: mapOfObjects, module: modules.plain },
    ]
    const runs: Standing[][] = []
    for (let repetition = 0; repetition < repetitions; repetition += 1) {
      const workload = { kind: 'load', settings: { rows, reads: 0 } } as const
      runs.push(await play(b, workload, entries, { warmups: 0, repetitions: 1 }))
    }
    const standings = entries.map(({ name }, place) => {
      const own = runs.map((run) => run[place] as Standing)
      const [first] = own as [Standing]
      const rates = own.flatMap((standing) => standing.rates)
      return { ...first, name, rates, residentBytes: own.flatMap(({ residentBytes }) => residentBytes) }
    })
    const megabytes = ({ residentBytes }: Standing): number[] =>
      residentBytes.map((bytes) => Math.max(0.1, bytes / megabyte))
    const own = ours(standings, 'sluicedb')
    for (const name of [mapOfObjects, sqliteInMemory]) {
      const peer = peerOf(standings, name, megabytes)
      const goal = name === mapOfObjects ? 220 : undefined
      b.figure({ name: 'resident memory', unit: 'MB', better: 'lower', samples: megabytes(own), goal, peer })
    }
    b.figure({ name: 'load through submitMany', unit: 'rows/s', better: 'higher', samples: own.rates })
    for (const { name, skipped } of standings) if (skipped !== undefined) b.note(`${name} skipped: ${skipped}`)
    b.report('hash', own.digest ?? '')
  },
}
