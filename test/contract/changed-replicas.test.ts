/**
 * Replicas with rows of their own, of which the application changes the columns, the source or the strength: the rows are copies, so they are made
 * anew at the next opening, and nobody has to say what becomes of them (docs/services.md).
 */
import { app, type AppOptions, column as c, type Database, replica, service, table } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import { sluice } from '../cli/sluice.js'
import { newFolder, openOnce, proveWhole, refused, until } from '../support/fixture.js'

type Row = Readonly<Record<string, any>>
type Columns = Readonly<Record<string, object>>
interface Shape {
  readonly columns?: Columns
  readonly key?: string
  /** Undefined: there is no replica. */
  readonly shown?: readonly string[] | undefined
  readonly strength?: 'strong' | 'batch' | 'eventual'
  /** Of another table. */
  readonly ofSpare?: boolean
  readonly options?: AppOptions
}
const columns: Columns = { id: c.int(), name: c.text(), price: c.int(), note: c.text().nullable(), kind: c.enum(['tea', 'cup']) }

function made(shape: Shape) {
  const { columns: of = columns, key = 'id', shown = ['name'], strength = 'eventual', ofSpare = false, options = {} } = shape
  const isThere = !('shown' in shape) || shape.shown !== undefined
  const catalog: Row = service('catalog', { tables: { product: table({ columns: of, key: [key] } as never), spare: table({ columns: of, key: [key] } as never) } })
  const put = catalog.procedure('put', { input: { row: c.json() } }, (tx: any, { row }: { row: Row }) => void tx.db.product.put(row))
  const remove = catalog.procedure('remove', { input: { key: c.json() } }, (tx: any, it: { key: unknown }) => void tx.db.product.delete(it.key))
  const replicas = isThere ? { shelf: replica(() => (ofSpare ? catalog.tables.spare : catalog.tables.product), { columns: shown, strength } as never) } : {}
  const cart: Row = service('cart', { replicas } as never)
  return { catalog, cart, put, remove, key, shown, source: ofSpare ? 'spare' : 'product', application: app(import.meta.url, [catalog as never, cart as never], options) }
}
/** As `made`, for those without a replica. */
const without = () => made({ shown: undefined })
type Made = ReturnType<typeof made>

const rows: readonly Row[] = Array.from({ length: 40 }, (_, id) => ({ id, name: `n${id}`, price: id, note: id % 2 === 0 ? null : 'odd', kind: id % 3 === 0 ? 'cup' : 'tea' }))
const settled = (db: Database): Promise<void> => until(() => db.stats().replicas.every(({ isBehind }) => !isBehind), 'all replicas have come up')
const texts = (found: Iterable<Row>): readonly string[] => Array.from(found, (row) => JSON.stringify(row, Object.keys(row).sort())).sort()

function mustBeAlike(db: Database, { catalog, cart, key, shown, source }: Made): void {
  const wanted = Array.from(db.table(catalog.tables[source]) as unknown as Iterable<Row>, (row) => Object.fromEntries([key, ...shown].map((name) => [name, row[name]])))
  expect(texts(db.table(cart.replicas.shelf) as unknown as Iterable<Row>)).toEqual(texts(wanted))
}

async function life(path: string, of: Made, body: (db: Database) => Promise<void>): Promise<void> {
  const db = await openOnce(of.application, { path, durability: 'os' })
  try {
    await body(db)
    proveWhole(db)
  } finally {
    await db.close()
  }
}

async function written(of: Made = made({})): Promise<string> {
  const path = await newFolder()
  await life(path, of, async (db) => {
    await Promise.all(rows.map((row) => db.call(of.put, { row })))
    await settled(db)
  })
  return path
}

const { price: _, ...withoutPrice } = columns
const cases: Readonly<Record<string, readonly [Shape, Shape, Row?]>> = {
  'a column more, without a default': [{ shown: ['name'] }, { shown: ['name', 'price'] }],
  'a column more, which may be null': [{ shown: ['name'] }, { shown: ['name', 'note'] }],
  'a column less': [{ shown: ['name', 'price'] }, { shown: ['name'] }],
  'other columns': [{ shown: ['name', 'note'] }, { shown: ['price', 'kind'] }],
  'a column less, which the source has no more': [
    { shown: ['name', 'price'] },
    { shown: ['name'], columns: withoutPrice, options: { version: 2, migrations: { 2: { 'catalog.product': ({ price: _gone, ...row }) => row, 'catalog.spare': (row) => row } } } },
    { id: 100, name: 'new', note: null, kind: 'tea' },
  ],
  'another type, of which the source has a migration': [
    { shown: ['name', 'price'] },
    { shown: ['name', 'price'], columns: { ...columns, price: c.text() }, options: { version: 2, migrations: { 2: { 'catalog.product': (row) => ({ ...row, price: `${row['price'] as number}` }), 'catalog.spare': (row) => row } } } },
    { id: 100, name: 'new', price: '9', note: null, kind: 'tea' },
  ],
  'another key, of which the source has a migration': [
    { shown: ['name'] },
    { shown: ['price'], key: 'name', options: { version: 2, migrations: { 2: { 'catalog.product': (row) => row, 'catalog.spare': (row) => row } } } },
  ],
  'a word less, which no row of the source has': [{ shown: ['kind'], columns: { ...columns, kind: c.enum(['tea', 'cup', 'pot']) } }, { shown: ['kind'] }],
  'another source': [{ shown: ['name', 'price'] }, { shown: ['name'], ofSpare: true }],
  'a migration of its own, though none is needed': [{ shown: ['name'] }, { shown: ['name'], options: { version: 2, migrations: { 2: { 'cart.shelf': 'drop' } } } }],
}

describe('a replica with', () => {
  test.each(Object.entries(cases))('%s', { timeout: 60_000 }, async (_name, [before, after, row = { id: 100, name: 'new', price: 9, note: null, kind: 'tea' }]) => {
    const [was, is] = [made(before), made(after)]
    const path = await written(was)
    await life(path, is, async (db) => {
      await settled(db)
      mustBeAlike(db, is)
      await db.call(is.put, { row })
      await settled(db)
      mustBeAlike(db, is)
    })
    expect((await sluice('verify', path)).out).toContain('whole')
    await life(path, is, async (db) => {
      await settled(db)
      mustBeAlike(db, is)
      expect(db.stats().replicas[0]!.copied, 'it goes on where it was').toBeLessThan(rows.length)
      await db.checkpoint()
    })
    await life(path, is, async (db) => mustBeAlike(db, is))
    expect((await sluice('verify', path)).out).toContain('whole')
  })
})

test('it may go, come back, and be of another strength, without a word', { timeout: 60_000 }, async () => {
  const eventual = made({})
  const path = await written(eventual)
  const gone = without()
  await life(path, gone, async (db) => {
    await db.call(gone.put, { row: { ...rows[0], name: 'while it was away' } })
    await db.call(gone.remove, { key: 1 })
  })
  // It was filled once and has a cursor, which is of rows that have gone: it begins anew.
  await life(path, eventual, async (db) => {
    await settled(db)
    mustBeAlike(db, eventual)
    expect(db.table(eventual.cart.replicas.shelf).count()).toBe(39)
  })
  for (const strength of ['batch', 'strong'] as const) {
    const other = made({ strength, shown: ['price'] })
    await life(path, other, async (db) => mustBeAlike(db, other))
  }
  await life(path, eventual, async (db) => {
    await settled(db)
    mustBeAlike(db, eventual)
  })
  expect((await sluice('verify', path)).out).toContain('whole')
})

test('closed while it is filled, it goes on with it; and back again is forth again', { timeout: 60_000 }, async () => {
  const [narrow, wide] = [made({ shown: ['name'] }), made({ shown: ['name', 'price'] })]
  const path = await written(narrow)
  for (let round = 0; round < 3; round += 1) {
    await life(path, wide, async () => undefined)
    await life(path, narrow, async () => undefined)
  }
  await life(path, wide, async () => undefined)
  await life(path, wide, async (db) => {
    await settled(db)
    mustBeAlike(db, wide)
  })
})

test('given up anywhere in it, all of the old rows are there or none, and the application of before goes on', { timeout: 60_000 }, async () => {
  const [narrow, wide] = [made({ shown: ['name'] }), made({ shown: ['name', 'price'] })]
  const path = await written(narrow)
  const stood: boolean[] = []
  for (let looks = 0; ; looks += 1) {
    let left = looks
    const signal = { get aborted() { return (left -= 1) < 0 }, reason: 'enough', addEventListener: () => undefined, removeEventListener: () => undefined }
    const opened = await openOnce(wide.application, { path, durability: 'os', signal: signal as never }).catch((error: unknown) => void expect(error).toMatchObject({ code: 'CANCELLED' }))
    if (opened !== undefined) {
      await settled(opened)
      mustBeAlike(opened, wide)
      await opened.close()
      break
    }
    await life(path, narrow, async (db) => {
      const count = db.table(narrow.cart.replicas.shelf).count()
      expect([0, rows.length]).toContain(count)
      stood.push(count > 0)
      await settled(db)
      mustBeAlike(db, narrow)
      if (count > 0) expect(db.stats().replicas[0]!.copied, 'nothing had gone').toBeLessThan(rows.length)
    })
  }
  // Two looks before it, one when the rows have gone, one before the end of the group; whoever gives up later finds that it has happened.
  expect(stood.indexOf(false)).toBeGreaterThan(3)
  expect((await sluice('verify', path)).out).toContain('whole')
})

test('a stream across it sees the old rows go before the new ones come, and moments of before are read without them', { timeout: 60_000 }, async () => {
  const [narrow, wide] = [made({ shown: ['name'] }), made({ shown: ['name', 'price'] })]
  const path = await written(narrow)
  let moment: unknown
  await life(path, narrow, async (db) => void (moment = db.stats().position))
  await life(path, wide, async (db) => {
    await settled(db)
    const state = new Map<number, Row>()
    const differences: string[] = []
    const enough = new AbortController()
    const stream = db.changes({ from: 'beginning', signal: enough.signal, onSchema: (change) => void differences.push(...change.differences.map(({ what, change: is }) => `${what}: ${is}`)) })
    const read = stream.each(({ changes }) => {
      for (const change of changes as unknown as readonly { table: string; kind: string; key: number; before?: Row; after?: Row }[]) {
        if (change.table !== 'cart.shelf') continue
        expect(state.get(change.key), `${change.kind} of ${change.key}`).toEqual(change.kind === 'insert' ? undefined : change.before)
        if (change.kind === 'delete') state.delete(change.key)
        else state.set(change.key, change.after!)
      }
    })
    await stream.caughtUp
    enough.abort()
    await read.catch(() => undefined)
    expect(texts(state.values())).toEqual(texts(db.table(wide.cart.replicas.shelf) as unknown as Iterable<Row>))
    expect(differences).toEqual(['cart.shelf.price: new → int'])
    const then = await db.asOf(moment as never)
    expect(then.table(wide.catalog.tables.product).count()).toBe(rows.length)
    expect(then.table(wide.cart.replicas.shelf).count()).toBe(0)
    then.close()
  })
})

test('rows that the application writes itself are not taken for copies: a table that was a replica, and one that becomes one', { timeout: 60_000 }, async () => {
  const path = await written(made({ shown: ['name', 'price'] }))
  const catalog = made({}).catalog as never
  const own = service('cart', { tables: { shelf: table({ columns: { id: c.int(), name: c.text() }, key: ['id'] }) } })
  const error = await refused(openOnce(app(import.meta.url, [catalog, own]), { path }), 'SCHEMA_MISMATCH')
  expect(error.message).toContain('cart.shelf.price: int → gone (needs a migration of "cart.shelf")')
  const db = await openOnce(app(import.meta.url, [catalog, own], { version: 2, migrations: { 2: { 'cart.shelf': ({ price: _gone, ...row }) => row } } }), { path })
  expect(db.table(own.tables.shelf).count()).toBe(rows.length)
  await db.close()
  await refused(openOnce(made({ shown: ['name', 'price'], options: { version: 2 } }).application, { path }), 'SCHEMA_MISMATCH')
})
