/**
 * `isolation: 'snapshot'`: the schedules of Hermitage again (schedules.test.ts), in one batch, where what is allowed differs: reads are of the
 * batch before, write skew is possible, lost updates are not. And random transactions against maps, and against themselves for any number of workers.
 *
 *   a line     <transaction>: step; step; ...
 *   an answer  <order of arrival> -> <what each reads, in that order> -> final rows
 */
import { SluiceError, type Database } from 'sluicedb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import scheduleApp, { across, acrossSnapshot, apartSnapshot, history, inside, insideSnapshot, reset, step, type Values } from '../support/apps/schedule-app.js'
import { newFolder, openOnce } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'
import { seeds, withSeed, type Random } from '../support/random.js'

const schedules: Readonly<Record<string, string>> = {
  'G0: no mix of two writers: who writes over another runs again': `
    t1: w 1 11; w 2 21
    t2: w 1 12; w 2 22
    t1 t2 -> t1 ok / t2 ok -> 1=12 2=22
    t2 t1 -> t2 ok / t1 ok -> 1=11 2=21`,
  'G1a, G1b: nobody reads what was aborted, or of this batch': `
    t1: w 1 101; abort
    t2: w 1 102; w 1 12
    t3: all; equal 102; equal 10
    t1 t2 t3 -> t1 ABORTED / t2 ok / t3 1=10 2=20, nothing, 1 -> 1=12 2=20`,
  'G1c: no circle of information': `
    t1: w 1 11; r 2
    t2: w 2 22; r 1
    t1 t2 -> t1 20 / t2 10 -> 1=11 2=22
    t2 t1 -> t2 10 / t1 20 -> 1=11 2=22`,
  'OTV: what was seen does not vanish': `
    t1: w 1 11; w 2 19
    t2: w 1 12; w 2 18
    t3: r 1; r 2; r 2; r 1
    t1 t2 t3 -> t1 ok / t2 ok / t3 10, 20, 20, 10 -> 1=12 2=18
    t1 t3 t2 -> t1 ok / t3 10, 20, 20, 10 / t2 ok -> 1=12 2=18`,
  'PMP: predicates of one transaction agree': `
    t1: equal 30; mod 3
    t2: insert 3 30
    t1 t2 -> t1 nothing, nothing / t2 ok -> 1=10 2=20 3=30
    t2 t1 -> t2 ok / t1 nothing, nothing -> 1=10 2=20 3=30`,
  'PMP-write: a predicate delete that meets a change runs again': `
    t1: grow 10
    t2: delete 20
    t1 t2 -> t1 ok / t2 ok -> 2=30
    t2 t1 -> t2 ok / t1 ok -> 1=20`,
  'P4: no lost update': `
    t1: r 1; w 1 11; r 1
    t2: r 1; w 1 12; r 1
    t1 t2 -> t1 10, 11 / t2 11, 12 -> 1=12 2=20
    t2 t1 -> t2 10, 12 / t1 12, 11 -> 1=11 2=20`,
  'G-single: no read skew': `
    t1: r 1; r 2; all
    t2: r 1; r 2; w 1 12; w 2 18
    t2 t1 -> t2 10, 20 / t1 10, 20, 1=10 2=20 -> 1=12 2=18`,
  'G2-item: write skew is possible': `
    t1: r 1; r 2; w 1 11
    t2: r 1; r 2; w 2 21
    t1 t2 -> t1 10, 20 / t2 10, 20 -> 1=11 2=21
    t2 t1 -> t2 10, 20 / t1 10, 20 -> 1=11 2=21`,
  'G2: phantoms of predicates that are only read are possible': `
    t1: mod 3; insert 3 30
    t2: mod 3; insert 4 42
    t1 t2 -> t1 nothing / t2 nothing -> 1=10 2=20 3=30 4=42`,
  'what is written is read by who wrote it, in every way': `
    t1: w 1 30; insert 3 10; all; equal 10; equal 30; delete 20; all; mod 3; w 3 20; equal 20; delete 20; all
    t1 -> t1 1=30 2=20 3=10, 3, 1, 1=30 3=10, 1=30, 3, 1=30 -> 1=30`,
  'keys are those of what stands: nobody inserts one twice, nobody changes what is gone': `
    t1: insert 3 30; delete 20
    t2: insert 3 31
    t3: r 2; w 2 25
    t1 t2 t3 -> t1 ok / t2 CONSTRAINT / t3 NOT_FOUND -> 1=10 3=30`,
}

const layouts = { acrossSnapshot, insideSnapshot } as const
const tableOf = { acrossSnapshot: history.tables.value, insideSnapshot: history.tables.together } as const
const shown = (read: readonly string[]) => read.filter((one) => one !== '').join(', ') || 'ok'
const answer = (call: Promise<readonly string[]>): Promise<string> =>
  call.then(shown, (error: unknown) => {
    if (!SluiceError.is(error)) throw error
    return error.code
  })
const rowsOf = (db: Database, table: typeof history.tables.value | typeof history.tables.together) => Array.from(db.table(table as typeof history.tables.value).scan(), ({ id, value }) => `${id}=${value}`).join(' ')

describe.each(Object.keys(layouts) as (keyof typeof layouts)[])('%s', (layout) => {
  let db: Database
  beforeAll(async () => {
    db = await openOnce(scheduleApp, { workers: 0, partitions: 4 })
  })
  afterAll(() => db.close())

  test.each(Object.entries(schedules))('%s', async (_, text) => {
    const lines = text.trim().split('\n').map((line) => line.trim())
    const steps = new Map(lines.flatMap((line) => (/^t\d: /.test(line) ? [[line.slice(0, 2), line.slice(4).split('; ')] as const] : [])))
    for (const line of lines.filter((one) => one.includes(' -> '))) {
      await db.call(reset)
      const order = line.split(' -> ')[0]!.split(' ')
      const got = await Promise.all(order.map(async (name) => `${name} ${await answer(db.call(layouts[layout], { steps: steps.get(name)! }))}`))
      expect(`${order.join(' ')} -> ${got.join(' / ')} -> ${rowsOf(db, tableOf[layout])}`).toBe(line)
    }
  })
})

test('it reads other partitions without leaving its lane, and what was sealed before is there', async () => {
  const { db } = await openInside(scheduleApp, { partitions: 4 })
  await db.call(reset)
  const { strays } = db.stats().batches
  expect(await db.call(apartSnapshot, { at: 1, steps: ['all', 'w 1 11', 'all', 'equal 20', 'r 2'] })).toEqual(['1=10 2=20', '', '1=11 2=20', '2', '20'])
  expect(await db.call(apartSnapshot, { at: 2, steps: ['r 1', 'grow 0'] })).toEqual(['11', ''])
  expect(db.stats().batches.strays - strays, 'the write of row 1 from the lane of row 2').toBe(1)
})

// ── against maps ──────────────────────────────────────────────────────────────────────────────────────────────

class Refusal extends Error {}
class Outdated extends Error {}

function run(state: Map<number, number>, before: ReadonlyMap<number, number> | undefined, steps: readonly string[]): { readonly answer: string; readonly after: Map<number, number> } {
  const after = new Map(state)
  const own = new Set<number>()
  // What it shows: all that stands, or the snapshot and what it has written itself.
  const view = (): Map<number, number> => {
    if (before === undefined) return after
    const seen = new Map(before)
    for (const id of own) if (after.has(id)) seen.set(id, after.get(id)!)
      else seen.delete(id)
    return seen
  }
  const write = (id: number, change: () => void): void => {
    if (before !== undefined && !own.has(id) && state.get(id) !== before.get(id)) throw new Outdated()
    own.add(id)
    change()
  }
  const all = () => [...view()].sort(([a], [b]) => a - b)
  const values: Values = {
    get: (id) => view().get(id) ?? -1,
    set: (id, value) => {
      if (!view().has(id)) throw new Refusal('NOT_FOUND')
      write(id, () => after.set(id, value))
    },
    insert: (id, value) => write(id, () => {
      if (after.has(id)) throw new Refusal('CONSTRAINT')
      after.set(id, value)
    }),
    delete: (id) => {
      if (view().has(id)) write(id, () => after.delete(id))
    },
    all,
    equal: (value) => all().filter(([, one]) => one === value).map(([id]) => id),
  }
  const abort = (): never => {
    throw new Refusal('ABORTED')
  }
  try {
    return { answer: shown(steps.map((line) => step(values, { abort }, line))), after }
  } catch (error) {
    if (error instanceof Outdated) return run(state, undefined, steps)
    if (!(error instanceof Refusal)) throw error
    return { answer: error.message, after: state }
  }
}

const stepsOf = (random: Random): string[] =>
  Array.from({ length: 1 + random.below(4) }, () => {
    const [id, value] = [1 + random.below(6), random.below(5)]
    return random.pick([`r ${id}`, 'all', 'mod 2', `equal ${value}`, `w ${id} ${value}`, `w ${id} ${value}`, `insert ${id} ${value}`, `grow 1`, `change ${value} ${value + 1}`, `delete ${value}`, random.chance(0.2) ? 'abort' : 'mod 3'])
  })

test.each(seeds(3))('a snapshot is the batch before, a change of what it cannot see runs again: as with maps, seed %i', async (seed) => {
  await withSeed(seed, async (random) => {
    const { db, check } = await openInside(scheduleApp, { partitions: 4, speculation: random.pick(['never', 'always'] as const) })
    await db.call(reset)
    const layout = random.pick(['acrossSnapshot', 'insideSnapshot'] as const)
    let state = new Map([[1, 10], [2, 20]])
    let differs = 0
    for (let n = 0; n < 100; n += 1) {
      const batch = Array.from({ length: 1 + random.below(4) }, () => ({ steps: stepsOf(random), isSnapshot: random.chance(0.8) }))
      const got = await Promise.all(batch.map(({ steps, isSnapshot }) => answer(db.call(isSnapshot ? layouts[layout] : layout === 'acrossSnapshot' ? across : inside, { steps }))))
      const before = state
      for (const [at, { steps, isSnapshot }] of batch.entries()) {
        const { answer: expected, after } = run(state, isSnapshot ? before : undefined, steps)
        if (expected !== run(state, undefined, steps).answer) differs += 1
        expect(got[at], `batch ${n} ${JSON.stringify(batch)} at ${at}`).toBe(expected)
        state = after
      }
      expect(rowsOf(db, tableOf[layout])).toBe([...state].sort(([a], [b]) => a - b).map(([id, value]) => `${id}=${value}`).join(' '))
    }
    expect(differs, 'answers that a serializable run would not have given').toBeGreaterThan(0)
    check()
  })
})

test.each(seeds(1))('R51: the same batches leave the same frames, whoever runs them, seed %i', { timeout: 60_000 }, async (seed) => {
  await withSeed(seed, async (random) => {
    const callOf = () => ({ way: random.pick(['apart', 'apart', 'apart', 'across', 'acrossSnapshot', 'inside', 'insideSnapshot'] as const), at: 1 + random.below(6), steps: stepsOf(random) })
    const plan = Array.from({ length: 60 }, () => Array.from({ length: 1 + random.below(6) }, callOf))
    const transcribe = async (workers: number, speculation: 'never' | 'always') => {
      const { db, path, close } = await openInside(scheduleApp, { workers, partitions: 4, path: await newFolder(), fixed: { nowMs: 1_700_000_000_000, stepMs: 3, seed: 5 }, speculation })
      await db.call(reset)
      const answers: string[][] = []
      for (const batch of plan) {
        answers.push(await Promise.all(batch.map(({ way, at, steps }) => answer(way === 'apart' ? db.call(apartSnapshot, { at, steps }) : db.call({ across, acrossSnapshot, inside, insideSnapshot }[way], { steps })))))
      }
      const rows = [rowsOf(db, history.tables.value), rowsOf(db, history.tables.together)]
      await close()
      return { answers, rows, frames: framesIn(path!).map(({ batch, body }) => [batch, Buffer.from(body).toString('hex')]) }
    }
    const serial = await transcribe(0, 'never')
    for (const [workers, speculation] of [[0, 'always'], [2, 'always']] as const) expect(await transcribe(workers, speculation), `${workers} workers, speculation ${speculation}`).toEqual(serial)
  })
})
