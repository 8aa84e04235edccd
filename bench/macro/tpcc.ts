/**
 * TPC-C in memory and with fsync: NewOrder alone, as half of the world measures it, and the full mix; then the mix in an
 * open loop at half of the rate that the closed loop reached.
 *
 * `--set manyWarehouses=0` leaves the larger database out, whose load takes most of the time.
 */
import { contest, modules, type Entry } from '../contest/contest.js'
import type { Bench } from '../harness.js'
import { spread } from '../statistics.js'
import type { TpccScale, TpccSettings } from '../workloads/tpcc/scale.js'
import { latencyOfRounds, ours, type Benchmark } from './benchmark.js'

const inMemory = 'in memory, workers: 0'
const onDisk = 'fsync, 1 worker'

export const tpcc: Benchmark = {
  name: 'tpcc',
  about: 'TPC-C: NewOrder and the full mix, in memory and fsync; latency at half of the peak',
  async run(b) {
    const items = b.parameter('items', 200, 100_000)
    const customers = b.parameter('customers', 60, 3_000)
    const scale = { items, customers, newOrders: (customers * 3) / 10 }
    const sizes = [b.parameter('warehouses', 1, 1), b.parameter('manyWarehouses', 0, 4)]
    const digests: string[] = []
    for (const warehouses of sizes) if (warehouses > 0) digests.push(...(await compete(b, warehouses, scale)))
    b.report('hash', digests.join(' '))
  },
}

async function compete(b: Bench, warehouses: number, scale: TpccScale): Promise<string[]> {
  const isOne = warehouses === 1
  const newOrders = { warehouses, scale, mix: 'newOrder' } as const
  const orders = await closedLoop(b, newOrders, b.parameter('newOrders', 200, 40_000))
  const memory = ours(orders, inMemory)
  const disk = ours(orders, onDisk)
  const size = isOne ? '1 warehouse' : `${warehouses} warehouses`
  // Half of plain JS arrays (138 k/s), and 25x better-sqlite3 with FULL (2.3 k/s), as measured for one warehouse.
  b.figure({ name: `NewOrder, ${size}, ${inMemory}`, unit: '/s', better: 'higher', samples: memory.rates, goal: isOne ? 69_000 : undefined })
  b.figure({ name: `NewOrder, ${size}, ${onDisk}`, unit: '/s', better: 'higher', samples: disk.rates, goal: isOne ? 57_500 : undefined })

  const standard = { warehouses, scale, mix: 'standard' } as const
  const count = b.parameter('transactions', 400, 40_000)
  const mixed = await closedLoop(b, standard, count)
  for (const name of [inMemory, onDisk]) {
    b.figure({ name: `full mix, ${size}, ${name}`, unit: '/s', better: 'higher', samples: ours(mixed, name).rates })
  }
  await openLoop(b, standard, count, spread(ours(mixed, onDisk).rates).median / 2, size)
  return [memory.digest ?? '', ours(mixed, onDisk).digest ?? '']
}

type Settings = Omit<TpccSettings, 'transactions'>

function closedLoop(b: Bench, settings: Settings, count: number): ReturnType<typeof contest> {
  const options = { how: 'flight', inFlight: b.parameter('inFlight', 32, 256) }
  const entry = { module: modules.sluicedb, contestant: 'tpcc', count }
  return contest(b, 'tpcc', settings, [
    { ...entry, name: inMemory, options: { ...options, workers: 0 } },
    { ...entry, name: onDisk, options: { ...options, workers: 1, file: true } },
  ])
}

async function openLoop(b: Bench, settings: Settings, count: number, perSecond: number, size: string): Promise<void> {
  const name = `full mix, ${size}, ${onDisk}, ${Math.round(perSecond).toLocaleString('en')}/s (half of the peak)`
  const options = { how: 'open', perSecond, workers: 1, file: true }
  const entry: Entry = { name, module: modules.sluicedb, contestant: 'tpcc', count, options, latency: true }
  const latencies = ours(await contest(b, 'tpcc', settings, [entry]), name).latencies
  const p99Ms = latencies.map(({ p99 }) => p99 / 1_000)
  b.figure({ name: `full mix, ${size}, ${onDisk}, half of the peak, p99`, unit: 'ms', better: 'lower', samples: p99Ms, goal: 5 })
  b.latency(name, latencyOfRounds(latencies))
}
