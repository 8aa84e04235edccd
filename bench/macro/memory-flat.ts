/**
 * Whether memory stays flat under updates that go on: rows that are there are written again and again for minutes, on disk with
 * fsync, beside checkpoints, retention and a subscriber that reads every commit.
 *
 * What is resident, what the heap of main holds and what the database has handed out of its memory are looked at several times a second.
 * "After warm-up" and "at the end" are medians of the first and of the last tenth of what was seen behind the warm-up: a heap goes up and down.
 * The slope is the least-squares line through all of it.
 */
import { performance } from 'node:perf_hooks'
import { open } from 'sluicedb'
import type { Bench } from '../harness.js'
import { spread } from '../statistics.js'
import { inChunks, keepInFlight } from '../workloads/bank-driver.js'
import { balanceOf, wideRow } from '../workloads/row-plan.js'
import application, { addRow, rows as service, touchRows } from '../workloads/rows.js'
import type { Benchmark } from './benchmark.js'

const loadChunk = 4_096
const megabyte = 1e6
const msPerMinute = 60_000
/** The end over what it was after the warm-up. */
const growthMax = 1.05

interface Sample {
  readonly minutes: number
  readonly resident: number
  readonly heap: number
  readonly used: number
}

export const memoryFlat: Benchmark = {
  name: 'memory-flat',
  about: 'memory after minutes of updates, over what it was after the warm-up',
  async run(b) {
    const rows = b.parameter('rows', 1_000, 100_000)
    const minutes = b.parameter('minutes', 0.01, 10)
    const warmUpMinutes = b.parameter('warmUpMinutes', 0.005, 1)
    const inFlight = b.parameter('inFlight', 16, 256)
    const sampleMs = b.parameter('sampleMs', 20, 250)
    const logBytes = b.parameter('logBytes', 4 * 2 ** 20, 64 * 2 ** 20)
    await using db = await open(application, {
      path: b.directory(), workers: 1, durability: 'fsync', checkpoint: { logBytes }, retention: { bytes: 2 * logBytes },
    })
    await inChunks(0, rows, loadChunk, (ids) => db.submitMany(addRow, ids.map(wideRow)))
    let told = 0
    const stream = db.changes({ tables: [service.tables.account] })
    const following = stream.each(({ changes }) => void (told += changes.length))

    let calls = 0
    const update = async (forMinutes: number, samples: Sample[]): Promise<void> => {
      const startMs = performance.now()
      const endMs = startMs + forMinutes * msPerMinute
      const look = (): void => {
        const { rss: resident, heapUsed: heap } = process.memoryUsage()
        samples.push({ minutes: (performance.now() - startMs) / msPerMinute, resident, heap, used: db.stats().memory.used })
      }
      look()
      const looking = setInterval(look, sampleMs)
      // A prime step: neighbours are not written one after the other.
      const next = (): number | undefined => (performance.now() < endMs ? (calls++ * 7_919) % rows : undefined)
      await keepInFlight(inFlight, next, (first) => db.call(touchRows, { first, count: 1 }))
      clearInterval(looking)
      look()
    }
    await update(warmUpMinutes, [])
    const samples: Sample[] = []
    const callsBefore = calls
    await update(minutes, samples)

    const { position } = db.stats()
    while (!(stream.position! >= position)) await new Promise((resolve) => setTimeout(resolve, 1))
    await stream.close()
    await following
    let sum = 0
    for (const { balance, id } of db.table(service.tables.account)) sum += balance - balanceOf(id)
    if (sum !== calls) throw new Error(`the rows were written ${sum} times, by ${calls} calls`)
    if (told !== calls) throw new Error(`the subscriber was told of ${told} changes, and ${calls} were made`)

    show(b, 'resident memory', samples, ({ resident }) => resident)
    show(b, 'heap of main', samples, ({ heap }) => heap)
    show(b, 'memory of the database in use', samples, ({ used }) => used)
    b.note(`${Math.round((calls - callsBefore) / minutes / 60).toLocaleString('en')} updates/s, ${samples.length.toLocaleString('en')} looks at the memory`)
  },
}

function show(b: Bench, name: string, samples: readonly Sample[], of: (sample: Sample) => number): void {
  const values = samples.map(of)
  const tenth = Math.max(1, Math.floor(values.length / 10))
  const start = spread(values.slice(0, tenth).map((bytes) => bytes / megabyte))
  const end = spread(values.slice(-tenth).map((bytes) => bytes / megabyte))
  const memory = { unit: 'MB', better: 'lower' } as const
  b.figure({ ...memory, name: `${name}, after warm-up`, samples: start.samples })
  b.figure({ ...memory, name: `${name}, at the end`, samples: end.samples })
  b.figure({ name: `${name}, growth`, unit: 'x', better: 'lower', samples: [end.median / start.median], goal: name === 'resident memory' ? growthMax : undefined })
  b.figure({ name: `${name}, slope`, unit: 'MB/min', better: 'lower', samples: [slope(samples.map(({ minutes }) => minutes), values) / megabyte] })
}

/** Of the line with the least squares. */
function slope(at: readonly number[], values: readonly number[]): number {
  const mean = (all: readonly number[]): number => all.reduce((sum, one) => sum + one, 0) / all.length
  const [x, y] = [mean(at), mean(values)]
  const along = at.reduce((sum, one) => sum + (one - x) ** 2, 0)
  return along === 0 ? 0 : at.reduce((sum, one, n) => sum + (one - x) * (values[n]! - y), 0) / along
}
