/**
 * R62 against itself: every batch of random transactions also runs in two databases that begin it with the same rows, one where nothing refers to
 * anything and one where everything that is checked by batch is strong. If the first ends with every reference whole, it is what the batch must have
 * done, answer for answer; else the second is. And the same batches leave the same frames, whoever runs them.
 */
import { select, SluiceError, type Database } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import batchApp, { byBatch, shopWith } from '../support/apps/batch-references-app.js'
import type { Row, Step } from '../support/apps/references-app.js'
import { newFolder } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'
import { seeds, withSeed, type Random } from '../support/random.js'
import { canon } from '../support/same.js'

const keys: Readonly<Record<string, readonly string[]>> = { order: ['id'], item: ['order', 'no'], parcel: ['id'], person: ['id'], note: ['id'] }
const names = Object.keys(keys)
const rules = [
  { child: 'item', on: ['order'], parent: 'order' },
  { child: 'parcel', on: ['order'], parent: 'order' },
  { child: 'parcel', on: ['of', 'no'], parent: 'item' },
  { child: 'person', on: ['boss'], parent: 'person' },
]
type Shop = typeof byBatch
type Rows = Readonly<Record<string, readonly Row[]>>
interface Call {
  /** Undefined: the cross-partition lane. */
  readonly at: number | undefined
  readonly steps: readonly Step[]
}

function stepOf(random: Random, at: number): Step {
  const few = () => random.below(5)
  const maybe = (value: number): number | null => (random.chance(0.25) ? null : value)
  const id = random.chance(0.9) ? at : few()
  const makers: readonly (() => Step)[] = [
    () => ['order', 'put', { id, n: few() }],
    () => ['order', 'put', { id, n: few() }],
    () => ['order', 'delete', id],
    () => ['item', 'put', { order: id, no: random.below(2), text: 'x'.repeat(random.below(60)) }],
    () => ['item', 'delete', [id, random.below(2)]],
    () => ['parcel', random.pick(['insert', 'put'] as const), { id, order: maybe(few()), of: maybe(few()), no: maybe(random.below(2)) }],
    () => ['parcel', 'set', id, { order: maybe(few()) }],
    () => ['parcel', 'set', id, { of: few(), no: random.below(2) }],
    () => ['parcel', 'add', id, { n: 1 }],
    () => ['parcel', 'delete', id],
    () => ['person', 'put', { id, boss: maybe(few()) }],
    () => ['person', 'delete', id],
    () => ['note', 'put', { id, parcel: few() }],
    () => ['note', 'delete', id],
  ]
  return random.chance(0.02) ? ['x', 'abort'] : random.pick(makers)()
}
function batchOf(random: Random): readonly Call[] {
  return Array.from({ length: 1 + random.below(5) }, (): Call => {
    const at = random.below(5)
    return { at: random.chance(0.8) ? at : undefined, steps: Array.from({ length: 1 + random.below(3) }, () => stepOf(random, at)) }
  })
}

const codeOf = (error: unknown): string => (SluiceError.is(error) ? canon([error.code, error.details]) : `no SluiceError: ${String(error)}`)
const run = (db: Database, { inLane, across }: Shop, batch: readonly Call[]) =>
  Promise.all(batch.map(({ at, steps }) => (at === undefined ? db.call(across, { steps }) : db.call(inLane, { at, steps })).then(() => 'ok', codeOf)))
const rowsOf = (db: Database, { shop }: Shop): Rows =>
  Object.fromEntries(names.map((name) => [name, [...db.query(select((shop.tables as Record<string, unknown>)[name] as never))].sort((a, b) => (canon(a) < canon(b) ? -1 : 1)) as Row[]]))
const keyOf = (name: string, row: Row) => keys[name]!.map((column) => row[column]!)

const isWhole = (rows: Rows): boolean =>
  rules.every(({ child, on, parent }) => {
    const there = new Set(rows[parent]!.map((row) => canon(keyOf(parent, row))))
    return rows[child]!.every((row) => {
      const values = on.map((column) => row[column]!)
      return values.includes(null as never) || there.has(canon(values))
    })
  })
/** Makes the rows of a database what they are elsewhere, in one transaction. */
async function bring(db: Database, shop: Shop, from: Rows, to: Rows): Promise<void> {
  const steps: Step[] = []
  for (const name of names) {
    const kept = new Set(to[name]!.map((row) => canon(keyOf(name, row))))
    for (const row of from[name]!) if (!kept.has(canon(keyOf(name, row)))) steps.push([name, 'delete', keyOf(name, row).length === 1 ? keyOf(name, row)[0]! : (keyOf(name, row) as number[])])
    for (const row of to[name]!) steps.push([name, 'put', row])
  }
  expect(await run(db, shop, [{ at: undefined, steps }])).toEqual(['ok'])
}

describe('R62: a batch is one without checks if every reference holds at its end, and one with strong references if not', () => {
  const tally = { whole: 0, again: 0, late: 0 }
  test.each(seeds(3))('seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const speculation = random.pick(['never', 'always'] as const)
      const shops = { batch: byBatch, none: shopWith('none'), strong: shopWith('strong') }
      const open = async (shop: Shop) => (await openInside(shop.application, { partitions: 4, speculation })).db
      const { db, check } = await openInside(batchApp, { partitions: 4, speculation })
      const none = await open(shops.none as Shop)
      const strong = await open(shops.strong as Shop)
      let state = rowsOf(db, byBatch)
      for (let n = 0; n < 110; n += 1) {
        const batch = batchOf(random)
        const what = `batch ${n} ${JSON.stringify(batch)}`
        const reruns = db.stats().batches.referenceReruns
        const answers = await run(db, byBatch, batch)
        const rows = rowsOf(db, byBatch)
        const [freely, strictly] = [await run(none, shops.none as Shop, batch), await run(strong, shops.strong as Shop, batch)]
        const [free, strict] = [rowsOf(none, shops.none as Shop), rowsOf(strong, shops.strong as Shop)]
        const holds = isWhole(free)
        expect({ answers, rows }, what).toEqual(holds ? { answers: freely, rows: free } : { answers: strictly, rows: strict })
        expect(db.stats().batches.referenceReruns - reruns, what).toBe(holds ? 0 : 1)
        expect(isWhole(rows), what).toBe(true)
        tally[holds ? 'whole' : 'again'] += 1
        if (holds && canon(strictly) !== canon(freely)) tally.late += 1
        state = rows
        await bring(none, shops.none as Shop, free, state)
        await bring(strong, shops.strong as Shop, strict, state)
      }
      check()
    })
  })
  test('and it met what it is about', () => {
    const all = tally.whole + tally.again
    expect(Math.min(tally.whole, tally.again), canon(tally)).toBeGreaterThan(all / 10)
    expect(tally.late, 'batches that strong references would have refused something of').toBeGreaterThan(0)
  })
})

test.each(seeds(1))('R51: the same batches leave the same frames, whoever runs them, seed %i', { timeout: 120_000 }, async (seed) => {
  await withSeed(seed, async (random) => {
    const plan = Array.from({ length: 60 }, () => batchOf(random))
    const transcribe = async (workers: number, speculation: 'never' | 'always') => {
      const opened = await openInside(batchApp, { workers, partitions: 4, path: await newFolder(), fixed: { nowMs: 1_700_000_000_000, stepMs: 3, seed: 5 }, speculation })
      const answers: string[][] = []
      for (const batch of plan) answers.push(await run(opened.db, byBatch, batch))
      const rows = rowsOf(opened.db, byBatch)
      const { referenceReruns } = opened.db.stats().batches
      await opened.close()
      const again = await openInside(batchApp, { path: opened.path!, workers: 0 })
      expect(rowsOf(again.db, byBatch), 'replayed').toEqual(rows)
      await again.close()
      return { answers, referenceReruns, frames: framesIn(opened.path!).map(({ batch, body }) => [batch, Buffer.from(body).toString('hex')]) }
    }
    const serial = await transcribe(0, 'never')
    expect(serial.referenceReruns).toBeGreaterThan(plan.length / 10)
    for (const [workers, speculation] of [[0, 'always'], [2, 'always']] as const)
      expect(await transcribe(workers, speculation), `${workers} workers, speculation ${speculation}`).toEqual(serial)
  })
})
