/**
 * What more processors would give: the costs of each stage are measured here, on one thread and on two, and put into the model of
 * docs/scaling.md (scaling/model.ts) and into a simulation of the pipeline (scaling/pipeline.ts), which test/bench/scaling.test.ts holds against it.
 */
import { performance } from 'node:perf_hooks'
import { open, type Database, type InputOf } from 'sluicedb'
import type { Bench } from '../harness.js'
import { predict, type Load, type StageCosts, workersOn } from '../scaling/model.js'
import { simulate } from '../scaling/pipeline.js'
import { randomSource, spread } from '../statistics.js'
import { inChunks } from '../workloads/bank-driver.js'
import application, { addParty, score, scoreAnywhere } from '../workloads/scoring.js'
import type { Benchmark } from './benchmark.js'

const seed = 20_261_127
const partitions = 64
const processorCounts = [2, 4, 8, 16]
const crossShares = [0, 0.1, 1]
/** Whose simulation is the hash of this benchmark: the same on every machine. */
const fixedCosts: StageCosts = { call: 0.5, order: 0.1, execute: 4, ahead: 4.5, commit: 1, seal: 0.2, log: 0.1, sync: 100, barrier: 5 }

type Order = InputOf<typeof score>
interface Measured {
  readonly perCall: number
  readonly order: number
  readonly execute: number
  readonly seal: number
  readonly batch: number
}

export const scaling: Benchmark = {
  name: 'scaling',
  about: 'what 4, 8 and 16 processors would give, from the costs of the stages here',
  async run(b) {
    const parties = b.parameter('parties', 1_600, 100_000)
    const count = b.parameter('orders', 4_000, 200_000)
    const rounds = b.parameter('rounds', 100, 700)
    const chunk = b.parameter('chunk', 256, 2_048)
    const simulated = b.parameter('simulated', 20_000, 300_000)
    const placed = await measure(b, { parties, count, chunk, rounds, isCross: false })
    const ahead = await measureAhead(b, { parties, count, chunk, rounds, isCross: true })
    const disk = await measureDisk(b, { parties, count, chunk, rounds: 0, isCross: false })
    const costs: StageCosts = {
      call: Math.max(0.05, placed.perCall - placed.order - placed.execute - placed.seal),
      order: placed.order,
      execute: placed.execute,
      ahead: ahead.run,
      commit: ahead.commit,
      seal: placed.seal,
      log: disk.log,
      sync: disk.sync,
      barrier: 5,
    }
    for (const [stage, cost] of Object.entries(costs)) b.note(`${stage.padEnd(8)} ${cost.toFixed(2)} µs${stage === 'sync' ? ' a group' : stage === 'barrier' ? ' a batch (set, not measured)' : ''}`)
    for (const crossShare of crossShares) {
      for (const processors of processorCounts) {
        const load: Load = { crossShare, staleShare: 0, batch: placed.batch }
        const { perSecond, limit } = predict(costs, load, processors)
        const run = simulate(costs, load, processors, 4 * chunk, simulated, seed)
        b.figure({ name: `${crossShare * 100} % cross-partition, ${processors} processors, ${workersOn(processors)} workers: ${limit}`, unit: '/s', better: 'higher', samples: [perSecond], peer: { name: 'simulated', samples: [run.perSecond] } })
      }
    }
    b.report('hash', simulate(fixedCosts, { crossShare: 0.1, staleShare: 0.1, batch: 1_000 }, 4, 4_096, 20_000, seed).perSecond.toFixed(0))
  },
}

interface Settings {
  readonly parties: number
  readonly count: number
  readonly chunk: number
  readonly rounds: number
  readonly isCross: boolean
}

function ordersOf({ count, parties, rounds, isCross }: Settings): Order[] {
  const below = randomSource(seed)
  return Array.from({ length: count }, () => {
    const home = below(partitions)
    const any = (): number => (isCross ? below(parties) : below(Math.floor(parties / partitions)) * partitions + home)
    const buyer = any()
    let seller = any()
    while (seller === buyer) seller = any()
    return { buyer, seller, peer: any(), amount: 1 + below(100), rounds }
  })
}

async function load(db: Database, parties: number): Promise<void> {
  await inChunks(0, parties, 4_096, (ids) => db.submitMany(addParty, ids.map((id) => ({ id, rate: id % 1_000, limit: 1_000 + (id % 97) }))))
}

/** Microseconds of a stage for each transaction that ran between two looks. */
async function costsOf(db: Database, work: () => Promise<unknown>): Promise<Measured> {
  const before = db.stats()
  const start = performance.now()
  await work()
  const tookMs = performance.now() - start
  const after = db.stats()
  const requests = after.batches.requests - before.batches.requests
  const batches = after.batches.count - before.batches.count
  const of = (stage: 'order' | 'execute' | 'seal'): number => {
    const [then, now] = [before.stages[stage], after.stages[stage]]
    const timed = now.count - then.count
    // Of batches that were timed; the others are like them.
    return timed === 0 ? 0 : (((now.meanMs * now.count - then.meanMs * then.count) / timed) * batches * 1_000) / requests
  }
  return { perCall: (tookMs * 1_000) / requests, order: of('order'), execute: of('execute'), seal: of('seal'), batch: requests / batches }
}

const middle = (all: readonly number[]): number => spread(all).median

async function measure(b: Bench, settings: Settings): Promise<Measured> {
  const orders = ordersOf(settings)
  await using db = await open(application, { partitions })
  await load(db, settings.parties)
  const runs = await b.repeat(() => costsOf(db, () => play(db, orders, settings)))
  const of = (name: keyof Measured): number => middle(runs.map((run) => run[name]))
  return { perCall: of('perCall'), order: of('order'), execute: of('execute'), seal: of('seal'), batch: of('batch') }
}

/** With two workers: what running ahead takes of a worker, and committing of the sequencer. */
async function measureAhead(b: Bench, settings: Settings): Promise<{ readonly run: number; readonly commit: number }> {
  const orders = ordersOf(settings)
  await using db = await open(application, { partitions, workers: 2 })
  await load(db, settings.parties)
  const runs = await b.repeat(async () => {
    const before = db.stats()
    const { execute } = await costsOf(db, () => play(db, orders, settings))
    const after = db.stats()
    const committed = after.speculation.kept + after.speculation.stale - before.speculation.kept - before.speculation.stale
    const ms = after.stages.validate.meanMs * after.stages.validate.count - before.stages.validate.meanMs * before.stages.validate.count
    const commit = committed === 0 ? 0 : (ms * 1_000) / committed
    return { run: Math.max(0, execute - commit) * 2, commit }
  })
  return { run: middle(runs.map(({ run }) => run)), commit: middle(runs.map(({ commit }) => commit)) }
}

async function measureDisk(b: Bench, settings: Settings): Promise<{ readonly log: number; readonly sync: number }> {
  const orders = ordersOf(settings)
  await using db = await open(application, { partitions, path: b.directory() })
  await load(db, settings.parties)
  // One at a time: a sync of next to nothing.
  for (const order of orders.slice(0, 50)) await db.call(score, order)
  const before = db.stats().stages.sync
  for (const order of orders.slice(50, 150)) await db.call(score, order)
  const alone = db.stats().stages.sync
  const sync = ((alone.meanMs * alone.count - before.meanMs * before.count) / (alone.count - before.count)) * 1_000
  await play(db, orders, settings)
  const after = db.stats().stages.sync
  const groups = after.count - alone.count
  const all = (after.meanMs * after.count - alone.meanMs * alone.count) * 1_000
  return { log: Math.max(0.01, (all - groups * sync) / orders.length), sync }
}

async function play(db: Database, orders: readonly Order[], { chunk, isCross }: Settings): Promise<void> {
  await inChunks(0, orders.length, chunk, (indexes) => db.submitMany(isCross ? scoreAnywhere : score, indexes.map((index) => orders[index]!)))
}
