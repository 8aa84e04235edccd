/**
 * References against plain maps: transactions of random inserts, moves and deletes over tables that refer to one another, over three
 * levels, in circles and across partitions; some abort. The model follows deletes and looks at everything when a transaction ends (R26), in no
 * particular order, for the end is one. And the same batches leave the same frames for 0, 1 and 2 workers, run ahead or not.
 */
import { select, SluiceError, type Database } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import referencesApp, { across, billing, inLane, shop, type Row, type Step } from '../support/apps/references-app.js'
import { newFolder } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'
import { seeds, withSeed, type Random } from '../support/random.js'
import { canon } from '../support/same.js'

interface Rule {
  readonly child: string
  readonly on: readonly string[]
  readonly parent: string
  readonly onDelete: 'restrict' | 'cascade' | 'setNull'
}
const keys: Readonly<Record<string, readonly string[]>> = {
  customer: ['id'], order: ['customer', 'id'], line: ['customer', 'order', 'no'], note: ['customer', 'id'], product: ['name'], coupon: ['code'], person: ['id'], bill: ['customer', 'id'],
}
const rules: readonly Rule[] = [
  { child: 'order', on: ['customer'], parent: 'customer', onDelete: 'restrict' },
  { child: 'order', on: ['coupon'], parent: 'coupon', onDelete: 'setNull' },
  { child: 'line', on: ['product'], parent: 'product', onDelete: 'restrict' },
  { child: 'line', on: ['customer', 'order'], parent: 'order', onDelete: 'cascade' },
  { child: 'note', on: ['customer', 'order', 'no'], parent: 'line', onDelete: 'cascade' },
  { child: 'coupon', on: ['owner'], parent: 'customer', onDelete: 'cascade' },
  { child: 'person', on: ['boss'], parent: 'person', onDelete: 'cascade' },
  { child: 'person', on: ['friend'], parent: 'person', onDelete: 'setNull' },
  { child: 'bill', on: ['customer', 'order'], parent: 'order', onDelete: 'restrict' },
]
const tables = { ...shop.tables, ...billing.tables }
const names = Object.keys(keys)
type State = Record<string, Map<string, Row>>
const textOf = (values: readonly unknown[]): string => JSON.stringify(values)
const valuesOf = (row: Row, on: readonly string[]) => on.map((name) => row[name] ?? null)
const defaults: Readonly<Record<string, Row>> = {
  customer: { name: '' }, order: { total: 0, coupon: null }, line: { product: null, paid: 0 }, note: { no: null, text: '' }, product: { price: 1 },
  coupon: { owner: null }, person: { boss: null, friend: null, n: 0 }, bill: { order: null, at: 0 },
}

/** What a transaction ends with: an error code, or the state that it leaves. */
function runModel(before: State, steps: readonly Step[]): State | string {
  const state: State = Object.fromEntries(names.map((name) => [name, new Map(before[name]!)]))
  for (const [name, way, given, patch] of steps as readonly (readonly [string, string, unknown?, Row?])[]) {
    if (way === 'abort') return 'ABORTED'
    const rows = state[name]!
    const isRow = way === 'insert' || way === 'put'
    const at = textOf(isRow ? valuesOf(given as Row, keys[name]!) : Array.isArray(given) ? given : [given])
    if (way === 'insert' && rows.has(at)) return 'CONSTRAINT'
    if (isRow) rows.set(at, { ...defaults[name], ...(given as Row) })
    else if (way === 'delete') rows.delete(at)
    else if (rows.has(at)) rows.set(at, { ...rows.get(at), ...patch })
    else if (way !== 'set') return 'NOT_FOUND'
    const owners = name === 'coupon' ? [...rows.values()].map((row) => row['owner']).filter((owner) => owner !== null) : []
    if (new Set(owners).size < owners.length) return 'CONSTRAINT'
  }
  const gone = names.flatMap((name) => [...before[name]!.keys()].filter((key) => !state[name]!.has(key)).map((key) => [name, key] as const))
  for (const [name, key] of gone) {
    for (const { child, on, parent, onDelete } of rules) {
      if (parent !== name || onDelete === 'restrict') continue
      for (const [childKey, row] of [...state[child]!]) {
        if (textOf(valuesOf(row, on)) !== key) continue
        if (onDelete === 'setNull') state[child]!.set(childKey, { ...row, ...Object.fromEntries(on.map((column) => [column, null])) })
        else {
          state[child]!.delete(childKey)
          if (before[child]!.has(childKey)) gone.push([child, childKey])
        }
      }
    }
  }
  for (const { child, on, parent } of rules) {
    for (const row of state[child]!.values()) {
      const values = valuesOf(row, on)
      if (!values.includes(null) && !state[parent]!.has(textOf(values))) return 'CONSTRAINT'
    }
  }
  return state
}

const customers = 4
/** Few keys, so that they meet. */
function stepOf(random: Random, customer: number): Step {
  const few = () => random.below(3)
  const maybe = <T>(value: T): T | null => (random.chance(0.3) ? null : value)
  const makers: readonly (() => Step)[] = [
    () => ['customer', random.pick(['insert', 'put'] as const), { id: customer }],
    () => ['customer', 'delete', customer],
    () => ['order', random.pick(['insert', 'put', 'put'] as const), { customer, id: few(), coupon: random.chance(0.2) ? `c${few()}` : null }],
    () => ['order', 'delete', [customer, few()]],
    () => ['order', 'set', [customer, few()], { total: few() }],
    () => ['line', random.pick(['insert', 'put', 'put'] as const), { customer, order: few(), no: few(), product: maybe(`p${few()}`) }],
    () => ['line', 'delete', [customer, few(), few()]],
    () => ['note', 'put', { customer, id: random.below(6), order: few(), no: maybe(few()) }],
    () => ['note', 'set', [customer, random.below(6)], { order: few(), no: few() }],
    () => ['product', 'put', { name: `p${few()}` }],
    () => ['product', 'delete', `p${few()}`],
    () => ['coupon', 'put', { code: `c${few()}`, owner: maybe(random.below(customers)) }],
    () => ['coupon', 'delete', `c${few()}`],
    () => ['person', 'put', { id: random.below(7), boss: maybe(random.below(7)), friend: maybe(random.below(7)) }],
    () => ['person', 'set', random.below(7), { friend: maybe(random.below(7)) }],
    () => ['person', 'delete', random.below(7)],
    () => ['bill', 'put', { customer, id: few(), order: maybe(few()) }],
    () => ['bill', 'delete', [customer, few()]],
  ]
  return random.chance(0.02) ? ['x', 'abort'] : random.pick(makers)()
}

interface Call {
  readonly customer: number
  readonly isAcross: boolean
  readonly steps: readonly Step[]
}
function callOf(random: Random): Call {
  const customer = random.below(customers)
  // One that builds from the top makes states in which there is something to break.
  const built: readonly Step[] = [
    ['product', 'put', { name: 'p0' }],
    ['customer', 'put', { id: customer }],
    ['order', 'put', { customer, id: 1 }],
    ['line', 'put', { customer, order: 1, no: 1, product: 'p0' }],
    ['note', 'put', { customer, id: 1, order: 1, no: 1 }],
  ]
  const steps = random.chance(0.15) ? built : Array.from({ length: 1 + random.below(4) }, () => stepOf(random, customer))
  return { customer, isAcross: random.chance(0.4), steps }
}
const run = (db: Database, { customer, isAcross, steps }: Call) => (isAcross ? db.call(across, { steps }) : db.call(inLane, { customer, steps }))
const codeOf = (error: unknown): string => (SluiceError.is(error) ? error.code : `no SluiceError: ${String(error)}`)

/** As the database has it, by the query language: every column of every row. */
function rowsOf(db: Database): Record<string, unknown> {
  return Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, db.query(select(table as never)).map((row) => canon(row)).sort()]))
}

describe('R22, R26: references are those of plain maps', () => {
  const tally = { committed: 0, refused: 0, gone: 0 }
  test.each(seeds(4))('seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const workers = random.pick([0, 1])
      const { db, check } = await openInside(referencesApp, { workers, partitions: 4 })
      let state: State = Object.fromEntries(names.map((name) => [name, new Map()]))
      for (let n = 0; n < 400; n += 1) {
        const call = callOf(random)
        const expected = runModel(state, call.steps)
        const got = await run(db, call).then(() => 'ok', codeOf)
        const what = `call ${n} ${JSON.stringify(call)}`
        expect(got, what).toBe(typeof expected === 'string' ? expected : 'ok')
        if (typeof expected === 'string') tally.refused += 1
        else {
          tally.committed += 1
          if (names.reduce((sum, name) => sum + expected[name]!.size, 0) < names.reduce((sum, name) => sum + state[name]!.size, 0) - 1) tally.gone += 1
          state = expected
        }
        if (n % 20 === 0 || n === 399) expect(rowsOf(db), what).toEqual(Object.fromEntries(names.map((name) => [name, [...state[name]!.values()].map(canon).sort()])))
      }
      check()
    })
  })
  test('and it met what it is about', () => {
    const all = tally.committed + tally.refused
    for (const count of [tally.committed, tally.refused]) expect(count).toBeGreaterThan(all / 10)
    expect(tally.gone, 'deletes that took others along').toBeGreaterThan(all / 100)
  })
})

test.each(seeds(1))('R51: the same batches leave the same frames, whoever runs them, seed %i', { timeout: 120_000 }, async (seed) => {
  await withSeed(seed, async (random) => {
    const plan = Array.from({ length: 60 }, () => Array.from({ length: 1 + random.below(9) }, () => callOf(random)))
    const transcribe = async (workers: number, speculation: 'never' | 'always') => {
      const opened = await openInside(referencesApp, { workers, partitions: 4, path: await newFolder(), fixed: { nowMs: 1_700_000_000_000, stepMs: 3, seed: 5 }, speculation })
      const answers: string[][] = []
      for (const batch of plan) answers.push(await Promise.all(batch.map((call) => run(opened.db, call).then(() => 'ok', (error: unknown) => canon([codeOf(error), (error as SluiceError).details])))))
      const rows = rowsOf(opened.db)
      await opened.close()
      const again = await openInside(referencesApp, { path: opened.path!, workers: 0 })
      expect(rowsOf(again.db), 'replayed').toEqual(rows)
      await again.close()
      return { answers, frames: framesIn(opened.path!).map(({ batch, body }) => [batch, Buffer.from(body).toString('hex')]) }
    }
    const serial = await transcribe(0, 'never')
    expect(serial.frames.length).toBeGreaterThan(plan.length / 4)
    for (const [workers, speculation] of [[1, 'never'], [2, 'never'], [2, 'always']] as const)
      expect(await transcribe(workers, speculation), `${workers} workers, speculation ${speculation}`).toEqual(serial)
  })
})
