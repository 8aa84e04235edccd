/** A reference that is declared on rows which are there already is proved when the database is opened: on all of them, or nothing is changed. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { LoggedCatalog } from '../../engine/schema/catalog.js'
import { loggedCatalog } from '../../engine/schema/catalog.js'
import { differencesOf, isUnchanged } from '../../engine/schema/difference.js'
import { type Evolved, evolved, type Plan, type TablePlan } from '../support/apps/evolving-app.js'
import { newFolder, openOnce, refused } from '../support/fixture.js'
import { programOf } from '../support/inside.js'

type References = NonNullable<TablePlan['references']>
const item: TablePlan = { columns: { id: { type: 'text' }, n: { type: 'int' } } }
const other: TablePlan = { columns: { id: { type: 'text' } } }
/** Its name stands before those of the tables that it refers to. */
const about = (references?: References): TablePlan => ({ columns: { id: { type: 'text' }, item: { type: 'text', nullable: true } }, ...(references && { references }) })
const planOf = (references?: References, more: Partial<Plan> = {}): Plan => ({ tables: { item, other, about: about(references) }, ...more })
const toItem = (strength?: 'strong' | 'batch' | 'eventual'): References => ({ ofItem: { on: ['item'], to: 'item', ...(strength && { strength }) } })

/** Every byte of the log and of the checkpoints, but for zeros at ends. */
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
type Rows = readonly (readonly [table: string, row: Record<string, unknown>])[]
const whole: Rows = [['item', { id: 'a', n: 1 }], ['item', { id: 'b', n: 2 }], ['other', { id: 'a' }], ['about', { id: '1', item: 'a' }], ['about', { id: '2', item: 'b' }], ['about', { id: '3', item: null }]]
const withOrphan: Rows = [...whole, ['about', { id: '4', item: 'nobody' }]]

async function written(plan: Plan, rows: Rows, hasCheckpoint = false): Promise<string> {
  const path = await newFolder()
  const app = evolved(plan)
  const db = await openOnce(app.application, { path, workers: 0 })
  await Promise.all(rows.map(([table, row]) => db.call(app.put, { table, row })))
  if (hasCheckpoint) await db.checkpoint()
  await db.close()
  return path
}
const opened = (path: string, app: Evolved) => openOnce(app.application, { path, workers: 0 })

describe.each([['a log', false], ['a checkpoint', true]] as const)('rows of %s', (_, hasCheckpoint) => {
  test('that all find theirs are taken over, and from then on it holds', async () => {
    const path = await written(planOf(), whole, hasCheckpoint)
    const app = evolved(planOf(toItem()))
    for (let life = 0; life < 2; life += 1) {
      const db = await opened(path, app)
      await refused(db.call(app.put, { table: 'about', row: { id: '9', item: 'nobody' } }), 'CONSTRAINT')
      await refused(db.call(app.remove, { table: 'item', key: 'a' }), 'CONSTRAINT')
      await db.call(app.put, { table: 'about', row: { id: '5', item: 'b' } })
      await db.close()
    }
  })

  test('of which one refers to nothing refuse it: it is named, and nothing is changed', async () => {
    const path = await written(planOf(), withOrphan, hasCheckpoint)
    const before = filesOf(path)
    for (const strength of ['strong', 'batch'] as const) {
      const error = await refused(opened(path, evolved(planOf(toItem(strength)))), 'SCHEMA_MISMATCH')
      expect(error.message).toContain('4 refers to nobody')
      expect(error.details).toEqual({
        table: 'shop.about', rows: [{ key: '4', value: 'nobody', constraint: 'ofItem', other: 'shop.item' }],
        difference: ['shop.about reference ofItem: new, [item] to shop.item (is taken over if every row obeys it)'],
      })
      expect(filesOf(path)).toBe(before)
    }
    // `eventual` holds for no row; and the application before goes on.
    for (const plan of [planOf(toItem('eventual')), planOf()]) {
      const app = evolved(plan)
      const db = await opened(path, app)
      expect(db.table(app.table('about')).get('4' as never)).toEqual({ id: '4', item: 'nobody' })
      await db.close()
    }
  })
})

test('from eventual to strong, and to another table, they are proved again; between strong and batch there is nothing to prove', async () => {
  const path = await written(planOf(toItem('eventual')), withOrphan)
  await refused(opened(path, evolved(planOf(toItem()))), 'SCHEMA_MISMATCH')
  const kept = await written(planOf(toItem('strong')), whole)
  const app = evolved(planOf(toItem('batch')))
  const db = await opened(kept, app)
  await db.call(app.put, { table: 'about', row: { id: '7', item: 'a' } })
  await db.close()
  const error = await refused(opened(kept, evolved(planOf({ ofItem: { on: ['item'], to: 'other' } }))), 'SCHEMA_MISMATCH')
  expect(error.details).toMatchObject({ rows: [{ key: '2', value: 'b', other: 'shop.other' }], difference: [expect.stringContaining('[item] to shop.item → [item] to shop.other')] })
})

test('a migration of either table leaves no row that refers to nothing, or is none', async () => {
  const path = await written(planOf(toItem()), whole)
  const before = filesOf(path)
  const filtered = planOf(toItem(), { version: 2, migrations: { 2: 'filtered' } })
  const error = await refused(opened(path, evolved(filtered)), 'SCHEMA_MISMATCH')
  expect(error.details).toMatchObject({ table: 'shop.about', rows: [{ key: '1', value: 'a', constraint: 'ofItem' }] })
  const app = evolved(planOf(toItem()))
  const db = await opened(path, app)
  expect(filesOf(path)).toBe(before)
  expect(db.table(app.table('item')).get('a' as never)).toEqual({ id: 'a', n: 1 })
  await db.close()
  const both = evolved(planOf(toItem(), { version: 2, migrations: { 2: 'itemsAndParts' } }))
  const now = await opened(path, both)
  await refused(now.call(both.remove, { table: 'item', key: 'a' }), 'CONSTRAINT')
  await now.close()
})

test('a log that is too old to name its references says nothing of its rows; one that does costs nothing to open', () => {
  const today = loggedCatalog(programOf(evolved(planOf(toItem())).application), { seed: 1, partitions: 4 })
  const old: LoggedCatalog = { ...today, tables: today.tables.map(({ references: _, ...table }) => table) }
  expect(today.tables.find(({ name }) => name === 'shop.about')!.references).toEqual([{ name: 'ofItem', on: ['item'], to: 'shop.item' }])
  expect(differencesOf(old, today)).toEqual([{ need: 'proof', table: 'shop.about', what: 'shop.about reference ofItem', change: 'new, [item] to shop.item', reference: 'ofItem' }])
  expect([isUnchanged(today, today), isUnchanged(old, today), differencesOf(today, today), differencesOf(today, old)]).toEqual([true, false, [], []])
})
