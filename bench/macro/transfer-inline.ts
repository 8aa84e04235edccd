/** Transfers in memory on the caller's thread, each awaited before the next: the smallest latency the engine has. */
import { contest, modules } from '../contest/contest.js'
import { latencyOfRounds, ours, peerOf, type Benchmark } from './benchmark.js'

const inline = 'sluicedb, workers: 0'
const oneWorker = 'sluicedb, 1 worker'
const memory = 'better-sqlite3 :memory:'

export const transferInline: Benchmark = {
  name: 'transfer-inline',
  about: 'transfers in memory, one at a time, p50',
  async run(b) {
    const accounts = b.parameter('accounts', 1_000, 100_000)
    const count = b.parameter('transfers', 500, 200_000)
    const module = modules.sluicedb
    const standings = await contest(b, 'transfer', { accounts }, [
      { name: inline, module, contestant: 'transfer', count, options: { workers: 0, how: 'one' }, latency: true },
      { name: oneWorker, module, contestant: 'transfer', count, options: { workers: 1, how: 'one' }, latency: true },
      { name: memory, module: modules.sqlite, contestant: 'transfer', count, latency: true },
    ])
    const medians = (name: string): number[] => ours(standings, name).latencies.map(({ p50 }) => p50)
    const peer = peerOf(standings, memory, ({ latencies }) => latencies.map(({ p50 }) => p50))
    b.figure({ name: `${inline}, p50`, unit: 'µs', better: 'lower', samples: medians(inline), goal: 2.5, peer })
    b.figure({ name: `${oneWorker}, p50`, unit: 'µs', better: 'lower', samples: medians(oneWorker), peer })
    for (const { name, latencies } of standings) if (latencies.length > 0) b.latency(name, latencyOfRounds(latencies))
    b.report('hash', ours(standings, inline).digest ?? '')
  },
}
