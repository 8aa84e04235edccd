/**
 * The durable transfer where it hurts: accounts in different partitions, and a few accounts that everybody wants.
 *
 * `transferPlaced` is placed by the payer; where the payee is elsewhere it strays, is undone and runs again in the cross-partition
 * lane. `transfer` names no partition and runs there at once: who knows that accounts lie anywhere calls that one. Ratios are taken
 * within the run, of the 0 % and of the uniform draw.
 */
import { contest, modules, type Entry } from '../contest/contest.js'
import { ours, type Benchmark } from './benchmark.js'
import type { Bench } from '../harness.js'

const partitions = 16
const shares = [0, 10, 50, 100]
const placed = (share: number): string => `${share} % cross-partition, placed by the payer`
const unplaced = '100 % cross-partition, no partition named'
const uniform = 'any two accounts, uniform'
const zipf = 'any two accounts, Zipf 0.99'

const crossGoal = 0.6
const skewGoal = 0.9

export const transferShares: Benchmark = {
  name: 'transfer-shares',
  about: 'transfers, fsync: 0 to 100 % cross-partition, uniform and Zipf 0.99; one promise each and submitMany',
  async run(b) {
    const workers = b.parameter('workers', 0, 1)
    const inFlight = b.parameter('inFlight', 64, 1_024)
    const chunk = b.parameter('chunk', 256, 4_096)
    const flightCount = b.parameter('transfers', 1_000, 200_000)
    const manyCount = b.parameter('manyTransfers', 2_000, 400_000)
    const common = { file: true, workers }
    const digests = [
      ...await compare(b, 'one promise each', flightCount, { ...common, how: 'flight', inFlight }),
      ...await compare(b, 'submitMany', manyCount, { ...common, how: 'many', chunk }),
    ]
    b.report('hash', [...new Set(digests)].join(' '))
  },
}

async function compare(b: Bench, how: string, count: number, options: NonNullable<Entry['options']>): Promise<string[]> {
  const accounts = b.parameter('accounts', 1_000, 100_000)
  const entry = (name: string, procedure: string, settings: Entry['settings']): Entry =>
    ({ name, module: modules.sluicedb, contestant: 'transfer', count, options: { ...options, procedure }, settings })
  const standings = await contest(b, 'transfer', { accounts }, [
    ...shares.map((cross) => entry(placed(cross), 'transferPlaced', { stride: partitions, cross })),
    entry(unplaced, 'transfer', { stride: partitions, cross: 100 }),
    entry(uniform, 'transfer', { distribution: 'uniform' }),
    entry(zipf, 'transfer', { distribution: 'zipf' }),
  ])
  const ratesOf = (name: string): readonly number[] => ours(standings, name).rates
  const figure = (name: string, of: string | undefined, goal?: number): void => {
    const peer = of === undefined ? undefined : { name: of, samples: ratesOf(of), goal }
    b.figure({ name: `${how}: ${name}`, unit: '/s', better: 'higher', samples: ratesOf(name), peer })
  }
  figure(placed(0), undefined)
  for (const share of shares.slice(1)) figure(placed(share), placed(0), share === 100 ? crossGoal : undefined)
  figure(unplaced, placed(0), crossGoal)
  figure(uniform, undefined)
  figure(zipf, uniform, skewGoal)
  return standings.map(({ digest }) => digest ?? '')
}
