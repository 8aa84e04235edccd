/**
 * Transfers on disk, fsync before each answer, one promise each, 1,024 in flight: what a service does all day.
 *
 * The peer commits 256 transfers in one transaction, the best it can do for many callers at once, and gets a large
 * automatic checkpoint, which helps it further. Our callers each wait for their own answer.
 */
import { contest, modules } from '../contest/contest.js'
import { latencyOfRounds, ours, peerOf, type Benchmark } from './benchmark.js'

const oneWorker = 'sluicedb, 1 worker'
const inline = 'sluicedb, workers: 0'
const timed = 'sluicedb, 1 worker, with a clock on each call'
const placed = 'sluicedb, 1 worker, placed by the payer'
const textKeys = 'sluicedb, 1 worker, text keys'
const grouped = 'better-sqlite3 FULL, 256 per commit'
const partitions = 16

export const transferFsync: Benchmark = {
  name: 'transfer-fsync',
  about: 'transfers through row(), fsync, one promise each, 1,024 in flight',
  async run(b) {
    const accounts = b.parameter('accounts', 1_000, 100_000)
    const count = b.parameter('transfers', 1_000, 200_000)
    const peerCount = b.parameter('peerTransfers', 500, 60_000)
    const inFlight = b.parameter('inFlight', 64, 1_024)
    const options = { file: true, workers: 1, how: 'flight', inFlight }
    const module = modules.sluicedb
    const standings = await contest(b, 'transfer', { accounts }, [
      { name: oneWorker, module, contestant: 'transfer', count, options },
      { name: inline, module, contestant: 'transfer', count, options: { ...options, workers: 0 } },
      { name: textKeys, module, contestant: 'transfer', count, options: { ...options, keys: 'text' } },
      { name: timed, module, contestant: 'transfer', count, options, latency: true },
      {
        name: grouped, module: modules.sqlite, contestant: 'transfer', count: peerCount,
        options: { file: true, group: 256, checkpointPages: 100_000 },
      },
    ])
    const local = await contest(b, 'transfer', { accounts, stride: partitions }, [
      { name: placed, module, contestant: 'transfer', count, options: { ...options, procedure: 'transferPlaced' } },
    ])

    const peer = peerOf(standings, grouped, ({ rates }) => rates, 5)
    const { rates: main, digest } = ours(standings, oneWorker)
    b.figure({ name: oneWorker, unit: '/s', better: 'higher', samples: main, goal: 400_000, peer })
    for (const name of [inline, textKeys]) {
      const samples = ours(standings, name).rates
      b.figure({ name, unit: '/s', better: 'higher', samples, peer: peer && { ...peer, goal: undefined } })
    }
    const { rates: samples } = ours(local, placed)
    b.figure({ name: `${placed} (0 % cross-partition)`, unit: '/s', better: 'higher', samples })
    b.latency(timed, latencyOfRounds(ours(standings, timed).latencies))
    b.report('hash', digest ?? '')
  },
}
