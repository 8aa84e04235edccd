/**
 * What a second worker gives where procedures take about 5 µs: partition lanes run side by side, the cross-partition lane is run
 * ahead by both and committed in order. The same calls through `submitMany`, in memory, so that main and disk leave the
 * processors to the workers.
 */
import { performance } from 'node:perf_hooks'
import { open, type Database, type InputOf } from 'sluicedb'
import type { Bench } from '../harness.js'
import { Checksum, randomSource } from '../statistics.js'
import { inChunks } from '../workloads/bank-driver.js'
import application, { addParty, score, scoreAnywhere, scoring } from '../workloads/scoring.js'
import type { Benchmark } from './benchmark.js'

const seed = 20_261_127
const partitions = 16
const goals: Readonly<Record<number, number | undefined>> = { 0: undefined, 10: 1.6, 100: 1.4 }

type Order = InputOf<typeof score>

/** Orders of which `crossPercent` in a hundred touch several partitions. */
function ordersOf(count: number, parties: number, rounds: number, crossPercent: number): { readonly order: Order; readonly isCross: boolean }[] {
  const below = randomSource(seed)
  return Array.from({ length: count }, () => {
    const isCross = below(100) < crossPercent
    const home = below(partitions)
    const any = (): number => (isCross ? below(parties) : below(Math.floor(parties / partitions)) * partitions + home)
    const buyer = any()
    let seller = any()
    while (seller === buyer) seller = any()
    return { order: { buyer, seller, peer: any(), amount: 1 + below(100), rounds }, isCross }
  })
}

export const twoWorkers: Benchmark = {
  name: 'two-workers',
  about: 'procedures of about 5 µs: two workers against one, at 0, 10 and 100 % cross-partition',
  async run(b) {
    const parties = b.parameter('parties', 1_600, 100_000)
    const count = b.parameter('orders', 2_000, 300_000)
    const rounds = b.parameter('rounds', 100, 700)
    const chunk = b.parameter('chunk', 256, 2_048)
    const checksums: string[] = []
    const inline = await open(application, { partitions })
    await load(inline, parties)
    const alone = await b.repeat(() => play(inline, ordersOf(count, parties, rounds, 100), chunk))
    const empty = await b.repeat(() => play(inline, ordersOf(count, parties, 0, 100), chunk))
    await inline.close()
    const each = (rates: readonly number[]): number => 1e6 / [...rates].sort((x, y) => x - y)[rates.length >> 1]!
    b.note(`one call takes ${each(alone).toFixed(1)} µs on one thread, ${(each(alone) - each(empty)).toFixed(1)} of them in the loop of its procedure`)

    for (const crossPercent of [0, 10, 100]) {
      const orders = ordersOf(count, parties, rounds, crossPercent)
      await using one = await open(application, { workers: 1, partitions })
      await using two = await open(application, { workers: 2, partitions })
      for (const db of [one, two]) await load(db, parties)
      const rates: number[][] = [[], []]
      await b.repeat(async (repetition) => {
        for (const [n, db] of [one, two].entries()) {
          const rate = await play(db, orders, chunk)
          if (repetition >= 0) rates[n]!.push(rate)
        }
      })
      const [single, double] = rates
      b.figure({ name: `${crossPercent} % cross-partition, 2 workers`, unit: '/s', better: 'higher', samples: double!, peer: { name: '1 worker', samples: single!, goal: goals[crossPercent] } })
      const sums = [one, two].map(digestOf)
      if (sums[0] !== sums[1]) throw new Error(`at ${crossPercent} % two workers end in ${sums[1]}, one in ${sums[0]}`)
      checksums.push(sums[0]!)
    }
    b.report('hash', checksums.join(' '))
  },
}

async function load(db: Database, parties: number): Promise<void> {
  await inChunks(0, parties, 4_096, (ids) => db.submitMany(addParty, ids.map((id) => ({ id, rate: (id * 7) % 1_000, limit: 1_000 + (id % 97) }))))
}

/** Calls a second. What is placed and what is not is handed in side by side, in the same shares all the time. */
async function play(db: Database, orders: readonly { readonly order: Order; readonly isCross: boolean }[], chunk: number): Promise<number> {
  const start = performance.now()
  await inChunks(0, orders.length, chunk, async (indexes) => {
    const placed: Order[] = []
    const anywhere: Order[] = []
    for (const index of indexes) (orders[index]!.isCross ? anywhere : placed).push(orders[index]!.order)
    return (await Promise.all([db.submitMany(score, placed), db.submitMany(scoreAnywhere, anywhere)])).flat()
  })
  return (orders.length / (performance.now() - start)) * 1_000
}

/** By number: the table is not ordered, and chunks of a load in flight together are inserted as they come. */
function digestOf(db: Database): string {
  const checksum = new Checksum()
  let spent = 0
  const rows = [...db.table(scoring.tables.party)].sort((a, b) => a.id - b.id)
  for (const row of rows) {
    spent += row.spent
    checksum.number(row.id).number(row.spent).number(row.earned).number(row.orders)
  }
  return checksum.number(spent).toString()
}
