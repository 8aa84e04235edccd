/**
 * Opening with a changed application (docs/schema-change.md): what is taken over, what is refused and how it is said, and that every
 * row that was ever written stays readable: from the log, from checkpoints, at old moments, in streams, with the tools.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Database, type SluiceError } from 'sluicedb'
import { sluice } from '../cli/sluice.js'
import { type ColumnPlan, evolved, type Evolved, type Plan, type TablePlan } from '../support/apps/evolving-app.js'
import { newFolder, openOnce, refused, take } from '../support/fixture.js'

const item: TablePlan = {
  columns: {
    id: { type: 'text' },
    n: { type: 'int' },
    note: { type: 'text', nullable: true },
    mood: { type: 'enum', values: ['calm', 'glad'], default: 'calm' },
  },
}
const longNote = 'a note that has no room in its row, so that it lies behind the image'
const rows = [
  { id: 'a', n: 1, note: null, mood: 'calm' },
  { id: 'b', n: 2, note: longNote, mood: 'glad' },
  { id: 'c', n: 2, note: 'short', mood: 'calm' },
]
const planOf = (table: TablePlan, more: Partial<Plan> = {}): Plan => ({ ...more, tables: { item: table, ...more.tables } })
const withColumns = (columns: Readonly<Record<string, ColumnPlan>>, more: Partial<TablePlan> = {}): Plan => planOf({ ...item, ...more, columns: { ...item.columns, ...columns } })
const without = (name: string): Plan => planOf({ ...item, columns: Object.fromEntries(Object.entries(item.columns).filter(([other]) => other !== name)) })

async function written(plan: Plan = planOf(item), how: { checkpoint?: boolean; path?: string } = {}): Promise<string> {
  const path = how.path ?? (await newFolder())
  const { application, put } = evolved(plan)
  const db = await openOnce(application, { path })
  for (const row of rows) await db.call(put, { table: 'item', row })
  if (how.checkpoint === true) await db.checkpoint()
  await db.close()
  return path
}

const rowsOf = (db: Database, app: Evolved, name = 'item'): readonly Record<string, unknown>[] =>
  [...(db.table(app.table(name)) as unknown as Iterable<Record<string, unknown>>)].sort((x, y) => (String(x['id']) < String(y['id']) ? -1 : 1))

/** Every byte of the log and of the checkpoints, but for zeros at ends: segments are prepared whenever there is time. */
const filesOf = (path: string): string => {
  const hash = createHash('sha256')
  for (const folder of ['log', 'checkpoint']) {
    for (const name of readdirSync(join(path, folder)).sort()) {
      const bytes = readFileSync(join(path, folder, name))
      let end = bytes.length
      while (end > 0 && bytes[end - 1] === 0) end -= 1
      if (end > 0 && !name.endsWith('-lock')) hash.update(name).update(bytes.subarray(0, end))
    }
  }
  return hash.digest('hex')
}

// ── taken over ────────────────────────────────────────────────────────────────────────────────────────────────

type Row = Record<string, unknown>
const same = (row: Row): Row => row
const applied: Readonly<Record<string, readonly [Plan, (row: Row) => Row]>> = {
  'a new table': [planOf(item, { tables: { other: { columns: { id: { type: 'text' } } } } } as never), same],
  'a new nullable column': [withColumns({ more: { type: 'bytes', nullable: true } }), (row) => ({ ...row, more: null })],
  'a new column with a default': [withColumns({ more: { type: 'int', default: 7 } }), (row) => ({ ...row, more: 7 })],
  'new columns of every kind': [
    withColumns({
      big: { type: 'bigint', default: '1234567890123456789' },
      yes: { type: 'bool', default: true },
      ratio: { type: 'f64', default: 0.5 },
      small: { type: 'i32', default: -3 },
      long: { type: 'text', default: longNote },
      data: { type: 'json', default: { list: [1, 'two', null] } },
      word: { type: 'enum', values: ['x', 'y'], default: 'y' },
    }),
    (row) => ({ ...row, big: 1234567890123456789n, yes: true, ratio: 0.5, small: -3, long: longNote, data: { list: [1, 'two', null] }, word: 'y' }),
  ],
  'columns in another order': [planOf({ ...item, columns: Object.fromEntries(Object.entries(item.columns).reverse()) }), same],
  'a column that may be null now': [withColumns({ n: { type: 'int', nullable: true } }), same],
  'an enum with more words': [withColumns({ mood: { type: 'enum', values: ['calm', 'glad', 'sad'], default: 'sad' } }), same],
  'an enum with its words in another order': [withColumns({ mood: { type: 'enum', values: ['sad', 'glad', 'calm'], default: 'sad' } }), same],
  'a column that must not be null, and never was': [withColumns({ mood: { type: 'enum', values: ['calm', 'glad'] } }), same],
  'bounds that hold': [withColumns({ n: { type: 'int', min: 1, max: 2 } }), same],
  'a check that holds': [withColumns({ n: { type: 'int', short: true } }, { nonzero: true }), same],
  'an index': [planOf({ ...item, indexes: { byN: { on: ['n'], range: true } } }), same],
  'a unique index that holds': [planOf({ ...item, indexes: { byBoth: { on: ['n', 'note'], unique: true } } }), same],
  'other procedures and events': [planOf(item, { procedures: ['fresh'], events: { told: { id: { type: 'text' } } } }), same],
  'another partition': [planOf({ ...item, partition: 'global' }), same],
  'another version': [planOf(item, { version: 3 }), same],
}

/** Every other one with a worker, and with a checkpoint beside the log. */
const alternating = Object.entries(applied).map(([name, change], n) => [name, n % 2, change] as const)

describe('taken over by itself:', () => {
  test.each(alternating)('%s, with workers: %i', { timeout: 60_000 }, async (_, workers, [plan, shape]) => {
    const path = await written(planOf(item), { checkpoint: workers === 1 })
    const before = filesOf(path)
    const app = evolved(plan)
    const looked = await openOnce(app.application, { path })
    const expected = rows.map(shape)
    expect(rowsOf(looked, app)).toEqual(expected)
    await looked.close()
    expect(filesOf(path), 'an opening that commits nothing changes nothing').toBe(before)

    const db = await openOnce(app.application, { path, workers })
    const changed: Row = { ...expected[0]!, n: 2, note: 'other' }
    await db.call(app.put, { table: 'item', row: changed })
    await db.call(app.put, { table: 'item', row: { id: 'd', n: 1, mood: 'glad' } })
    await db.call(app.remove, { table: 'item', key: 'c' })
    const now = rowsOf(db, app)
    expect(now.map((row) => row['id'])).toEqual(['a', 'b', 'd'])
    expect(now.slice(0, 2)).toEqual([changed, expected[1]])
    const changes = (await take(db.changes({ from: 'beginning', tables: [app.table('item')] } as never), 6)) as unknown as { changes: { kind: string; key: unknown; before?: Row; after?: Row }[] }[]
    expect(changes.slice(0, 3).map(({ changes: [one] }) => one!.after)).toEqual(expected)
    expect(changes[3]!.changes[0]).toMatchObject({ kind: 'update', key: 'a', before: expected[0], after: changed })
    expect(changes[5]!.changes[0]).toMatchObject({ kind: 'delete', key: 'c', before: expected[2] })
    await db.checkpoint()
    await db.close()
    expect((await sluice('verify', path)).out).toContain('whole')

    const again = await openOnce(app.application, { path })
    expect(rowsOf(again, app)).toEqual(now)
    await again.close()
  })
})

// ── refused ───────────────────────────────────────────────────────────────────────────────────────────────────

const refusals: Readonly<Record<string, readonly [Plan, ...RegExp[]]>> = {
  'a column of another type': [withColumns({ n: { type: 'text' } }), /shop\.item\.n: int → text/, /needs a migration of "shop\.item"/],
  'a column that is gone': [without('n'), /shop\.item\.n: int → gone/],
  'a new column without a default': [withColumns({ more: { type: 'int' } }), /shop\.item\.more: new → int, without a default/],
  'null in a column that takes none now': [withColumns({ note: { type: 'text' } }), /shop\.item\.note: text nullable → text/, /\ba \.note is null/],
  'a word that is gone': [withColumns({ mood: { type: 'enum', values: ['glad'], default: 'glad' } }), /shop\.item\.mood: enum\(calm glad\) → enum\(glad\)/, /\ba \.mood must be one of "glad", not "calm"/],
  'a bound that does not hold': [withColumns({ n: { type: 'int', min: 2 } }), /shop\.item\.n: min: none → 2/, /\ba \.n must be at least 2/],
  'a length that does not hold': [withColumns({ note: { type: 'text', nullable: true, maxLength: 10 } }), /maxLength: none → 10/, /\bb \.note must not be longer than 10/],
  'a check that does not hold': [withColumns({ note: { type: 'text', nullable: true, short: true } }), /check: none → short/, /\bb \.note/],
  'a unique index that does not hold': [planOf({ ...item, indexes: { byN: { on: ['n'], unique: true } } }), /byN/, /b and c have the same n/],
  'another key': [planOf({ ...item, key: ['n'] }), /shop\.item key: \[id\] → \[n\]/],
  'a table that is gone': [{ tables: {} }, /shop\.item: in the database, not in the application/, /'shop\.item': 'drop'/],
  'generated where it was not': [withColumns({ n: { type: 'int', generated: true } }), /shop\.item\.n: not generated → generated/],
}

describe('refused:', () => {
  test.each(Object.entries(refusals))('%s, and the files stay as they were', async (_, [plan, ...says]) => {
    const path = await written()
    const before = filesOf(path)
    const error = await refused(openOnce(evolved(plan).application, { path }), 'SCHEMA_MISMATCH')
    for (const words of says) expect(error.message).toMatch(words)
    expect(filesOf(path)).toBe(before)
    const app = evolved(planOf(item))
    const db = await openOnce(app.application, { path })
    expect(rowsOf(db, app)).toEqual(rows)
    await db.close()
  })

  test('a refusal names the first rows', async () => {
    const path = await newFolder()
    const app = evolved(planOf(item))
    const db = await openOnce(app.application, { path })
    for (let n = 0; n < 9; n += 1) await db.call(app.put, { table: 'item', row: { id: `row ${n}`, n: n - 9 } })
    await db.close()
    const error: SluiceError = await refused(openOnce(evolved(withColumns({ n: { type: 'int', min: 0 } })).application, { path }), 'SCHEMA_MISMATCH')
    const named = error.details['rows'] as readonly Row[]
    expect(named).toHaveLength(5)
    expect(named[0]).toMatchObject({ column: 'n', constraint: 'min', value: expect.any(Number), key: expect.stringMatching(/^row /) })
    expect(error.details).toMatchObject({ table: 'shop.item', difference: [expect.stringContaining('shop.item.n: min: none → 0')] })
  })

  test('rows that broke it once, and changed since, do not count', async () => {
    const path = await written()
    const first = evolved(planOf(item))
    const db = await openOnce(first.application, { path })
    await db.call(first.put, { table: 'item', row: { ...rows[0], note: 'no longer null' } })
    await db.close()
    const app = evolved(withColumns({ note: { type: 'text' }, mood: { type: 'enum', values: ['glad', 'calm'], default: 'glad' } }))
    const now = await openOnce(app.application, { path })
    expect(rowsOf(now, app)).toEqual([{ ...rows[0], note: 'no longer null' }, rows[1], rows[2]])
    await now.close()
  })

  test('a smaller version, and other columns of an event', async () => {
    const events = { told: { id: { type: 'text' } } } as const
    const path = await written(planOf(item, { version: 2, events }))
    expect((await refused(openOnce(evolved(planOf(item, { version: 1, events })).application, { path }), 'SCHEMA_MISMATCH')).message).toMatch(/version: 2 in the database, 1 in the application/)
    expect((await refused(openOnce(evolved(planOf(item, { version: 2, events: { told: { id: { type: 'int' } } } })).application, { path }), 'SCHEMA_MISMATCH')).message).toMatch(/shop\.told\.id: text → int/)
  })
})

// ── one after the other ───────────────────────────────────────────────────────────────────────────────────────

test.each([
  ['without a checkpoint', false],
  ['with a checkpoint after each', true],
])('several changes, %s: every row and every moment stays readable', { timeout: 60_000 }, async (_, hasCheckpoints) => {
  const path = await newFolder()
  const plans = [
    planOf(item),
    withColumns({ more: { type: 'int', default: 1 } }),
    // Another default for what is written from now on: rows of before keep the 1.
    withColumns({ more: { type: 'int', default: 2 }, late: { type: 'text', nullable: true } }),
    withColumns({ more: { type: 'int', default: 3, nullable: true }, late: { type: 'text', nullable: true }, mood: { type: 'enum', values: ['sad', 'calm', 'glad'], default: 'sad' } }),
  ]
  const moments: { position: string; ids: readonly string[] }[] = []
  for (const [n, plan] of plans.entries()) {
    const app = evolved(plan)
    const db = await openOnce(app.application, { path })
    await db.call(app.put, { table: 'item', row: { id: `v${n}`, n, mood: 'glad' } })
    const snapshot = db.snapshot()
    moments.push({ position: snapshot.position, ids: rowsOf(db, app).map((row) => String(row['id'])) })
    snapshot.close()
    if (hasCheckpoints) await db.checkpoint()
    await db.close()
  }
  const app = evolved(plans[3]!)
  const db = await openOnce(app.application, { path })
  expect(rowsOf(db, app).map(({ id, more, late, mood }) => [id, more, late, mood])).toEqual([
    ['v0', 1, null, 'glad'],
    ['v1', 1, null, 'glad'],
    ['v2', 2, null, 'glad'],
    ['v3', 3, null, 'glad'],
  ])
  for (const { position, ids } of moments) {
    const past = await db.asOf(position as never)
    const found = [...(past.table(app.table('item')) as unknown as Iterable<Row>)]
    expect(found.map((row) => row['id']).sort()).toEqual(ids)
    expect(found.every((row) => 'more' in row && 'late' in row)).toBe(true)
    past.close()
  }
  const commits = (await take(db.changes({ from: 'beginning' }), 4)) as unknown as { changes: { after: Row }[] }[]
  expect(commits.map(({ changes }) => [changes[0]!.after['id'], changes[0]!.after['more'], changes[0]!.after['late']])).toEqual([
    ['v0', 1, null], ['v1', 1, null], ['v2', 2, null], ['v3', 3, null],
  ])
  await db.close()
  expect((await sluice('verify', path)).out).toContain('whole')
  expect((await sluice('log', path, '--json')).out.split('\n').filter((line) => line.includes('"v0"'))).not.toEqual([])
})
