/**
 * Migrations (docs/schema-change.md): what no rule makes of rows, the application says. All of it happens, or nothing of it.
 */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { app, service, type Database, type OpenProgress } from 'sluicedb'
import { sluice } from '../cli/sluice.js'
import { type ColumnPlan, evolved, type Evolved, type Plan, type TablePlan } from '../support/apps/evolving-app.js'
import { packageRoot, startCompiled } from '../support/child.js'
import { newFolder, openOnce, refused, take } from '../support/fixture.js'

type Row = Record<string, unknown>
const item: TablePlan = { columns: { id: { type: 'text' }, n: { type: 'int' } }, indexes: { byN: { on: ['n'], range: true } } }
const before: Plan = { tables: { item, other: { columns: { id: { type: 'text' }, n: { type: 'int' } } } } }
const rows: readonly Row[] = [{ id: 'a', n: 1 }, { id: 'b', n: 2 }, { id: 'c', n: 3 }]
const columns = (n: ColumnPlan): TablePlan => ({ ...item, columns: { ...item.columns, n } })
const after = (table: TablePlan | undefined, migrations: Plan['migrations'], more: Plan['tables'] = {}, version = 2): Plan => ({
  version, migrations: migrations!, tables: { ...(table && { item: table }), other: before.tables['other']!, ...more },
})

async function written(count = 3): Promise<string> {
  const path = await newFolder()
  const app = evolved(before)
  const db = await openOnce(app.application, { path })
  const all = count === 3 ? rows : Array.from({ length: count }, (_, n): Row => ({ id: `row ${n}`, n }))
  await Promise.all(all.map((row) => db.call(app.put, { table: 'item', row })))
  await db.call(app.put, { table: 'other', row: { id: 'b', n: 20 } })
  await db.close()
  return path
}
const rowsOf = (db: Database, app: Evolved, name = 'item'): readonly Row[] =>
  [...(db.table(app.table(name)) as unknown as Iterable<Row>)].sort((x, y) => (String(x['id']) < String(y['id']) ? -1 : 1))

const cases: Readonly<Record<string, readonly [Plan, string, readonly Row[]]>> = {
  'another type': [after(columns({ type: 'text' }), { 2: 'nAsText' }), 'item', [{ id: 'a', n: '1' }, { id: 'b', n: '2' }, { id: 'c', n: '3' }]],
  'two steps at once': [after(item, { 2: 'nAsText', 3: 'nAsNumber' }, {}, 3), 'item', rows],
  'a column that goes': [after({ columns: { id: { type: 'text' } } }, { 2: 'withoutN' }), 'item', [{ id: 'a' }, { id: 'b' }, { id: 'c' }]],
  'another name': [after(undefined, { 2: 'renamed' }, { thing: item }), 'thing', rows],
  'a look at another table': [after(item, { 2: 'lookedUp' }), 'item', [{ id: 'a', n: -1 }, { id: 'b', n: 20 }, { id: 'c', n: -1 }]],
  'a table made of another one': [
    after(item, { 2: 'split' }, { part: { columns: { id: { type: 'text' }, n: { type: 'int' } } } }), 'part',
    rows.flatMap(({ id, n }) => [{ id: `${String(id)}-1`, n }, { id: `${String(id)}-2`, n }]),
  ],
  'another key': [after({ ...item, key: ['id', 'n'] }, { 2: 'keyOfTwo' }), 'item', rows],
  'a narrower rule, and fewer rows': [after(columns({ type: 'int', min: 2 }), { 2: 'filtered' }), 'item', [rows[1]!, rows[2]!]],
}

/** Every other one with a worker. */
const alternating = Object.entries(cases).map(([name, change], n) => [name, n % 2, change] as const)

describe('a migration makes', () => {
  test.each(alternating)('%s, with workers: %i', { timeout: 60_000 }, async (_, workers, [plan, name, expected]) => {
    const path = await written()
    const app = evolved(plan)
    const db = await openOnce(app.application, { path, workers })
    expect(rowsOf(db, app, name)).toEqual(expected)
    expect(rowsOf(db, app, 'other')).toEqual([{ id: 'b', n: 20 }])
    await db.call(app.put, { table: 'other', row: { id: 'z', n: 1 } })
    await db.checkpoint()
    await db.close()
    expect((await sluice('verify', path)).out).toContain('whole')

    const again = await openOnce(app.application, { path })
    expect(rowsOf(again, app, name), 'it is not made again').toEqual(expected)
    await again.close()
  })
})

test('a table that is dropped, and one of its name later', async () => {
  const path = await written()
  const dropped = evolved(after(undefined, { 2: 'dropItem' }))
  await (await openOnce(dropped.application, { path })).close()
  const back = evolved({ ...after(columns({ type: 'text' }), { 2: 'dropItem' }), version: 3 })
  const db = await openOnce(back.application, { path })
  expect(rowsOf(db, back)).toEqual([])
  await db.call(back.put, { table: 'item', row: { id: 'new', n: 'text' } })
  await db.close()
  const again = await openOnce(back.application, { path })
  expect(rowsOf(again, back)).toEqual([{ id: 'new', n: 'text' }])
  await again.close()
  expect((await sluice('verify', path)).out).toContain('whole')
})

test('a stream across it: rows go as they were, and come as they are; moments of before are refused', async () => {
  const path = await written()
  const old = evolved(before)
  const first = await openOnce(old.application, { path })
  const moment = first.snapshot().position
  await first.close()
  const app = evolved(after(columns({ type: 'text' }), { 2: 'nAsText' }))
  const db = await openOnce(app.application, { path })
  const commits = (await take(db.changes({ from: 'beginning', tables: [app.table('item')] } as never), 5)) as unknown as { procedure: string; changes: { kind: string; key: string; before?: Row; after?: Row }[] }[]
  const state = new Map<string, Row>()
  for (const { changes } of commits) {
    for (const { kind, key, before: was, after: is } of changes) {
      expect(state.has(key), `${kind} ${key}`).toBe(kind !== 'insert')
      if (kind !== 'insert') expect(state.get(key)).toEqual(was)
      if (kind === 'delete') state.delete(key)
      else state.set(key, is!)
    }
  }
  expect([...state.values()].sort((x, y) => (String(x['id']) < String(y['id']) ? -1 : 1))).toEqual(rowsOf(db, app))
  expect(commits.at(-1)!.procedure).toBe('$migrate')
  const gone = await refused(db.asOf(moment as never), 'HISTORY_GONE')
  expect(gone.message).toMatch(/before the migration that has rewritten "shop\.item"/)
  await db.close()
})

test('a migration of many transactions tells how far it is', async () => {
  const path = await written(5_000)
  const told: OpenProgress[] = []
  const app = evolved(after(columns({ type: 'text' }), { 2: 'nAsText' }))
  const db = await openOnce(app.application, { path, onProgress: (progress) => void told.push(progress) })
  const steps = told.filter(({ phase }) => phase === 'migration')
  expect(steps.length).toBeGreaterThan(4)
  expect(steps.at(-1)!.bytes).toBe(steps.at(-1)!.bytesInAll)
  expect(steps.map(({ bytes }) => bytes)).toEqual(steps.map(({ bytes }) => bytes).sort((x, y) => x - y))
  expect(rowsOf(db, app)).toHaveLength(5_000)
  await db.close()
  expect((await sluice('verify', path)).out).toContain('whole')
})

describe('a migration that fails changes nothing:', () => {
  const failures: Readonly<Record<string, readonly [Plan, RegExp]>> = {
    'a function that throws': [after(columns({ type: 'int', min: -9 }), { 2: 'failing' }), /the row b of "shop\.item": b is in the way/],
    'a row that breaks a rule': [after(columns({ type: 'int', max: 4 }), { 2: 'doubled' }), /the row c of "shop\.item".*must be at most 4/s],
    'a row of a wrong type': [after(columns({ type: 'bool' }), { 2: 'doubled' }), /must be true or false/],
    'a key twice': [after(item, { 2: 'same' }), /has a row with this key already/],
    'a promise': [after(item, { 2: 'promised' }), /synchronous/],
  }
  test.each(Object.entries(failures))('%s', async (_, [plan, says]) => {
    const path = await written()
    const error = await refused(openOnce(evolved(plan).application, { path }), 'SCHEMA_MISMATCH')
    expect(error.message).toMatch(says)
    expect((await sluice('verify', path)).out).toContain('whole')
    const app = evolved(before)
    const db = await openOnce(app.application, { path })
    expect(rowsOf(db, app)).toEqual(rows)
    await db.call(app.put, { table: 'item', row: { id: 'd', n: 4 } })
    await db.close()
  })
})

// A migration counts by what is written behind it: copies that ended with it once left it out, and named a position that they did not reach.
test('a backup and a restore that end with a migration have it, and a moment in the middle of one is the one before', { timeout: 60_000 }, async () => {
  const path = await written(5_000)
  const now = evolved(after(columns({ type: 'text' }), { 2: 'nAsText' }))
  const settled = evolved({ ...after(columns({ type: 'text' }), {}), version: 2 })
  const db = await openOnce(now.application, { path })
  const [saved, restored, midway] = [join(await newFolder(), 'a'), join(await newFolder(), 'b'), join(await newFolder(), 'c')]
  const { position } = await db.backup(saved)
  await db.close()
  expect((await sluice('restore', path, restored)).code).toBe(0)
  for (const copy of [saved, restored]) {
    expect((await sluice('verify', copy)).out).toContain('whole')
    const again = await openOnce(settled.application, { path: copy })
    expect(again.stats().position >= position).toBe(true)
    expect(rowsOf(again, settled).every(({ n }) => typeof n === 'string')).toBe(true)
    await again.close()
  }

  const { lines } = await sluice('log', path, '--json')
  const migration = lines.map((line) => JSON.parse(line) as { position?: string; procedure?: string }).filter(({ procedure }) => procedure?.startsWith('$') === true)
  const first = migration[0]!.position!
  expect(first < position).toBe(true)
  expect((await sluice('restore', path, midway, '--to', first)).code).toBe(0)
  expect((await sluice('verify', midway)).out).toContain('whole')
  const old = evolved(before)
  const back = await openOnce(old.application, { path: midway })
  expect(rowsOf(back, old).every(({ n }) => typeof n === 'number')).toBe(true)
  await back.close()
})

test.each([
  [{ version: 0 }, /version of app\(\)/],
  [{ version: 1.5 }, /version of app\(\)/],
  [{ migration: {} }, /no option 'migration'/],
  [{ version: 2, migrations: { 3: {} } }, /from 2 to that of app\(\), 2: '3'/],
  [{ version: 2, migrations: { 2: { item: 'drop' } } }, /full name/],
  [{ version: 2, migrations: { 2: { 'shop.item': 'gone' } } }, /function of a row/],
  [{ version: 2, migrations: { 2: { 'shop.item': { from: 'shop.item' } } } }, /function of a row/],
])('%j is no declaration of migrations', (options, says) => {
  expect(() => app(import.meta.url, [service('shop', { tables: {} })], options as never)).toThrow(says)
})

test('killed anywhere in it, it has not begun: the application before opens, and so does the one after', { timeout: 120_000 }, async () => {
  const path = await written(5_000)
  const child = join(packageRoot, 'test/crash/migration-child.ts')
  for (const at of [0, 700, 2_500, 4_999]) {
    const folder = await newFolder()
    cpSync(path, folder, { recursive: true })
    const killing = evolved(after(columns({ type: 'text' }), { 2: 'killed' }))
    const died = startCompiled(child, [folder, JSON.stringify(killing.plan)], { env: { KILL_AT: String(at) } })
    expect((await died.ended).signal, died.errors.join('\n')).toBe('SIGKILL')
    expect((await sluice('verify', folder)).out).toContain('whole')
    const back = evolved(before)
    const db = await openOnce(back.application, { path: folder })
    expect(rowsOf(db, back)).toHaveLength(5_000)
    expect(rowsOf(db, back).every(({ n }) => typeof n === 'number')).toBe(true)
    await db.call(back.put, { table: 'item', row: { id: 'after', n: -1 } })
    await db.close()
    const next = evolved(after(columns({ type: 'text' }), { 2: 'nAsText' }))
    const migrated = await openOnce(next.application, { path: folder })
    expect(rowsOf(migrated, next)).toHaveLength(5_001)
    expect(rowsOf(migrated, next).every(({ n }) => typeof n === 'string')).toBe(true)
    await migrated.close()
  }
})
