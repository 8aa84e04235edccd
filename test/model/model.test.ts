/**
 * The engine against the model: random transactions over every column type, with aborts, scans, held
 * snapshots, old moments, reopens and the stream, for each number of workers. On failure the message holds
 * the seed and the smallest plan found that still fails.
 */
import { describe, test } from 'vitest'
import type { OpenOptions } from 'sluicedb'
import { newFolder, within } from '../support/fixture.js'
import { planOf, type Plan } from '../support/plans.js'
import { seeds, withSeed } from '../support/random.js'
import { drive } from './drive.js'
import { shrink } from './shrink.js'

interface Setting {
  readonly name: string
  readonly runs: number
  readonly steps: number
  readonly disk: boolean
  readonly options: OpenOptions
}
const settings: readonly Setting[] = [
  { name: 'workers 0, in memory', runs: 14, steps: 24, disk: false, options: { workers: 0, partitions: 4 } },
  {
    name: 'workers 0, one partition',
    runs: 6,
    steps: 16,
    disk: false,
    options: { workers: 0, partitions: 1 },
  },
  {
    name: 'workers 0, on disk',
    runs: 8,
    steps: 24,
    disk: true,
    options: { workers: 0, partitions: 4, durability: 'os' },
  },
  { name: 'workers 1, in memory', runs: 6, steps: 24, disk: false, options: { workers: 1, partitions: 4 } },
  { name: 'workers 2, in memory', runs: 6, steps: 24, disk: false, options: { workers: 2, partitions: 8 } },
  {
    name: 'workers 2, on disk with fsync',
    runs: 5,
    steps: 24,
    disk: true,
    options: { workers: 2, partitions: 8 },
  },
]

/** Shrinking takes its time; when everything fails, two small plans are enough. */
let shrinksLeft = 2

describe.each(settings)(
  '$name: answers, states and stream equal the model',
  ({ runs, steps, disk, options }) => {
    test.each(seeds(runs))('seed %i', { timeout: 120_000 }, async (seed) => {
      await withSeed(seed, async (random) => {
        const plan = planOf(random, { steps, reopen: disk })
        const fails = async (tried: Plan, ms: number): Promise<unknown> => {
          const path = disk ? await newFolder() : undefined
          return within(ms, 'the plan ends', drive(tried, { ...options, path })).then(
            () => undefined,
            (error: unknown) => error,
          )
        }
        const error = await fails(plan, 40_000)
        if (error === undefined) return
        shrinksLeft -= 1
        if (shrinksLeft < 0) throw error
        const smallest = await shrink(plan, async (tried) => (await fails(tried, 4_000)) !== undefined)
        const message = String((await fails(smallest, 4_000)) ?? error)
        throw new Error(`${message}\nsmallest plan that fails: ${show(smallest)}`, { cause: error })
      })
    })
  },
)

/** JSON, with bigint and bytes in a form that can be pasted back. */
const show = (plan: Plan) =>
  JSON.stringify(plan, (_, value: unknown) => {
    if (typeof value === 'bigint') return `BigInt ${value}`
    if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`
    return value
  })
