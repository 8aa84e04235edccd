/** Projections and aggregates that go: their tables by one name, and what is left of them in the log (docs/schema-change.md). */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { aggregate, app, type AppOptions, column as c, type Database, event, projection, service, table } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import { sluice } from '../cli/sluice.js'
import { newFolder, openOnce, proveWhole, refused, until } from '../support/fixture.js'

const dropping = (name: string): AppOptions => ({ version: 2, migrations: { 2: { [name]: 'drop' } } })

/** What the log tells of the tables and events of `owner`, as the application of today reads it. */
async function toldOf(db: Database, owner: string): Promise<string[]> {
  const told: string[] = []
  const enough = new AbortController()
  const stream = db.changes({ from: 'beginning', signal: enough.signal })
  const read = stream.each(({ changes, events }) => {
    for (const { table, kind } of changes) if (table.startsWith(owner)) told.push(`${kind} ${table.slice(owner.length + 1)}`)
    for (const { type } of events) if (type.startsWith(owner)) told.push(type.slice(owner.length + 1))
  })
  await stream.caughtUp
  enough.abort()
  await read.catch(() => undefined)
  return told
}

describe.each([true, false])('with checkpoints: %s', (hasCheckpoints) => {
  /** Opens, does it, closes; and what was there is there again after another opening, from the log alone where there are no checkpoints. */
  async function life(path: string, application: ReturnType<typeof app>, body: (db: Database) => Promise<void>, again: (db: Database) => Promise<void> = async () => undefined): Promise<void> {
    for (const then of [body, again]) {
      const db = await openOnce(application, { path, durability: 'os' })
      try {
        await then(db)
        if (hasCheckpoints) await db.checkpoint()
        proveWhole(db)
      } finally {
        await db.close()
      }
      if (!hasCheckpoints) rmSync(join(path, 'checkpoint'), { recursive: true, force: true })
    }
    expect((await sluice('verify', path)).out).toContain('whole')
  }

  describe.each([true, false])('a projection, inline: %s', (inline) => {
    const shop = service('shop', { events: { sold: { product: c.text(), quantity: c.int() } } })
    const sell = shop.procedure('sell', { input: { product: c.text(), quantity: c.int() } }, (tx, it) => tx.emit('sold', it))
    const made = (options: AppOptions = {}) => {
      const totals = projection('totals', { inline, tables: { total: table({ columns: { product: c.text(), quantity: c.int() }, key: ['product'] }), last: table({ columns: { id: c.int(), product: c.text() }, key: ['id'] }) } })
        .on(shop.events.sold, (tx, { payload: { product, quantity } }) => {
          tx.db.total.put({ product, quantity: (tx.db.total.get(product)?.quantity ?? 0) + quantity })
          tx.db.last.put({ id: 1, product })
        })
      const report = service('report', { projections: { totals } })
      return { totals, application: app(import.meta.url, [shop, report], options) }
    }
    /** Of the same name, with tables that no rule leads to. */
    const other = (options: AppOptions = {}) => {
      const totals = projection('totals', { inline, tables: { total: table({ columns: { product: c.text(), quantity: c.text() }, key: ['product'] }) } })
        .on(shop.events.sold, (tx, { payload: { product, quantity } }) => void tx.db.total.put({ product, quantity: `${tx.db.total.get(product)?.quantity ?? ''}+${quantity}` }))
      const report = service('report', { projections: { totals } })
      return { totals, application: app(import.meta.url, [shop, report], options) }
    }
    const without = (options: AppOptions = {}) => app(import.meta.url, [shop, service('report')], options)
    const sellTea = async (db: Database, quantity: number) => (await db.submit(sell, { product: 'tea', quantity })).position

    test('is refused where nobody says that it goes, in one line with what to say; and that works', { timeout: 60_000 }, async () => {
      const path = await newFolder()
      const one = made()
      await life(path, one.application, async (db) => {
        await db.projection(one.totals).reached(await sellTea(db, 1))
        expect(db.projection(one.totals).tables.total.get('tea')?.quantity).toBe(1)
      })
      const error = await refused(openOnce(without(), { path }), 'SCHEMA_MISMATCH')
      expect(error.details['difference']).toEqual([`report.totals: in the database, not in the application (needs a migration: 'report.totals': 'drop')`])

      await life(path, without(dropping('report.totals')), async (db) => void (await sellTea(db, 10)), async (db) => {
        await sellTea(db, 100)
        expect(await toldOf(db, 'report.totals')).toEqual([])
      })

      // The name once more: built of all that was sold, also while there was none.
      const two = other(dropping('report.totals'))
      const shows = (quantity: string) => async (db: Database) => {
        const totals = db.projection(two.totals)
        await totals.reached(db.stats().position)
        expect(totals.status()).toMatchObject({ state: 'live', error: undefined })
        expect([...totals.tables.total]).toEqual([{ product: 'tea', quantity }])
      }
      await life(path, two.application, async (db) => {
        await db.projection(two.totals).reached(await sellTea(db, 1_000))
        await shows('+1+10+100+1000')(db)
      }, shows('+1+10+100+1000'))
    })

    test('may have its name at once, with other tables: it is built anew', { timeout: 60_000 }, async () => {
      const path = await newFolder()
      const one = made()
      await life(path, one.application, async (db) => void (await db.projection(one.totals).reached(await sellTea(db, 1))))
      const error = await refused(openOnce(other().application, { path }), 'SCHEMA_MISMATCH')
      expect(error.message).toContain(`report.totals.green.last: in the database, not in the application (needs a migration: 'report.totals.green.last': 'drop')`)
      const two = other(dropping('report.totals'))
      await life(path, two.application, async (db) => {
        await db.projection(two.totals).reached(await sellTea(db, 10))
        expect([...db.projection(two.totals).tables.total]).toEqual([{ product: 'tea', quantity: '+1+10' }])
      })
    })

    test('goes by the full names of its tables, too', { timeout: 60_000 }, async () => {
      const path = await newFolder()
      const one = made()
      await life(path, one.application, async (db) => void (await db.projection(one.totals).reached(await sellTea(db, 1))))
      const names = ['blue.total', 'blue.last', 'green.total', 'green.last', 'state'].map((own) => `report.totals.${own}`)
      await life(path, without({ version: 2, migrations: { 2: Object.fromEntries(names.map((name) => [name, 'drop' as const])) } }), async (db) => void (await sellTea(db, 10)))
    })
  })

  describe('an aggregate', () => {
    const told: string[] = []
    /** `added`: the columns of its event, or how they became others. */
    const made = (options: AppOptions = {}, added: object = { product: c.text() }, toEvent: (product: string) => object = (product) => ({ product })) => {
      const cart = aggregate('cart', {
        id: c.text(),
        events: { added: added as { product: ReturnType<typeof c.text> } },
        initial: () => ({ products: 0 }),
        evolve: { added: ({ products }) => ({ products: products + 1 }) },
        decide: { add: { input: { product: c.text() }, run: (_state, { product }) => ({ type: 'added', payload: toEvent(product) as { product: string } }) } },
        snapshotEvery: 2,
      })
      const shop = service('shop', { aggregates: { cart }, tables: { parcel: table({ columns: { id: c.text() }, key: ['id'] }) } })
      shop.on(shop.aggregates.cart.events.added, { name: 'hear', partition: (it) => it.id }, (tx, { payload }) => void told.push(`${payload.id} ${payload.version}`))
      return { cart: shop.aggregates.cart, parcel: shop.tables.parcel, application: app(import.meta.url, [shop], options) }
    }
    const without = (options: AppOptions = {}) => {
      const shop = service('shop', { tables: { parcel: table({ columns: { id: c.text() }, key: ['id'] }) } })
      return { pack: shop.procedure('pack', { input: { id: c.text() } }, (tx, it) => tx.db.parcel.put(it)), application: app(import.meta.url, [shop], options) }
    }
    const heard = (db: Database) => until(() => db.stats().handlers.every(({ isBehind }) => !isBehind), 'all events are heard')

    async function dropped(): Promise<string> {
      const path = await newFolder()
      const one = made()
      told.length = 0
      await life(path, one.application, async (db) => {
        for (const product of ['tea', 'cup', 'pot']) await db.call(one.cart.add, { id: 'ann', product })
        await heard(db)
      })
      expect(told).toEqual(['ann 1', 'ann 2', 'ann 3'])
      expect((await refused(openOnce(without().application, { path }), 'SCHEMA_MISMATCH')).details['difference']).toEqual([
        `shop.cart: in the database, not in the application (needs a migration: 'shop.cart': 'drop')`,
      ])
      const none = without(dropping('shop.cart'))
      await life(path, none.application, async (db) => void (await db.call(none.pack, { id: 'ann' })), async (db) => expect(await toldOf(db, 'shop.cart')).toEqual([]))
      return path
    }

    test('goes with its streams; another one of the name begins at 1, and the log tells of both', { timeout: 60_000 }, async () => {
      const path = await dropped()
      const again = made(dropping('shop.cart'))
      const state = async (db: Database) => (await db.call(again.cart.load, { id: 'ann' }))
      await life(path, again.application, async (db) => {
        expect(await state(db)).toEqual({ version: 0, state: { products: 0 } })
        expect(db.table(again.cart.tables.events).count()).toBe(0)
        expect(await db.call(again.cart.add, { id: 'ann', product: 'jar', expectedVersion: 'none' })).toEqual({ version: 1 })
        await heard(db)
      }, async (db) => {
        expect(await state(db)).toEqual({ version: 1, state: { products: 1 } })
        expect([...db.table(again.cart.tables.events)].map(({ payload }) => payload)).toEqual([{ product: 'jar' }])
        expect([...db.table(again.parcel)]).toEqual([{ id: 'ann' }])
        const events = (await toldOf(db, 'shop.cart')).filter((one) => one === 'added' || one.endsWith(' events'))
        expect(events).toEqual(['insert events', 'added', 'insert events', 'added', 'insert events', 'added', 'delete events', 'delete events', 'delete events', 'insert events', 'added'])
      })
      expect(told, 'its handler goes on where it was').toEqual(['ann 1', 'ann 2', 'ann 3', 'ann 1'])
    })

    test('has events in the log, which another one of the name must be able to read', { timeout: 60_000 }, async () => {
      const path = await dropped()
      // It was opened, and its events were read as if they had these columns: a text where a number was promised.
      const numbered = made(dropping('shop.cart'), { product: c.int() })
      expect((await refused(openOnce(numbered.application, { path }), 'SCHEMA_MISMATCH')).message).toContain('shop.cart.added.product: text → int (cannot be changed')
      const grown = made(dropping('shop.cart'), event({ product: c.text() }).became({ sku: c.text() }, ({ product }) => ({ sku: product.toUpperCase() })), (sku) => ({ sku }))
      const db = await openOnce(grown.application, { path })
      try {
        await db.call(grown.cart.add, { id: 'ann', product: 'jar' })
        const skus: unknown[] = []
        for await (const { payload } of db.events(grown.cart.events.added, { from: 'beginning' })) if (skus.push((payload as unknown as { sku: string }).sku) === 4) break
        expect(skus).toEqual(['TEA', 'CUP', 'POT', 'jar'])
      } finally {
        await db.close()
      }
    })
  })
})

test('an aggregate gets another name, and its streams come with it', async () => {
  const path = await newFolder()
  const made = (name: 'cart' | 'basket', options: AppOptions = {}) => {
    const one = aggregate(name as 'cart', {
      id: c.text(),
      events: { added: { product: c.text() } },
      initial: () => [] as readonly string[],
      evolve: { added: (state, { product }) => [...state, product] },
      decide: { add: { input: { product: c.text() }, run: (_state, payload) => ({ type: 'added', payload }) } },
      snapshotEvery: 2,
    })
    const shop = service('shop', { aggregates: { [name]: one } as { cart: typeof one } })
    return { it: (shop.aggregates as Readonly<Record<string, typeof shop.aggregates.cart>>)[name]!, application: app(import.meta.url, [shop], options) }
  }
  const cart = made('cart')
  const first = await openOnce(cart.application, { path })
  for (const product of ['tea', 'cup', 'pot']) await first.call(cart.it.add, { id: 'ann', product })
  await first.close()
  const moved = (own: string) => ({ [`shop.basket.${own}`]: { from: `shop.cart.${own}`, rows: (row: object) => row as never } })
  const basket = made('basket', { version: 2, migrations: { 2: { ...moved('events'), ...moved('heads'), ...moved('snapshots'), 'shop.cart': 'drop' } } })
  for (const version of [4, 5]) {
    const db = await openOnce(basket.application, { path })
    expect(await db.call(basket.it.add, { id: 'ann', product: 'jar', expectedVersion: version - 1 })).toEqual({ version })
    expect((await db.call(basket.it.load, { id: 'ann' })).state.slice(0, 4)).toEqual(['tea', 'cup', 'pot', 'jar'])
    await db.close()
  }
})

test('a table that has the name of a projection is dropped alone', async () => {
  const path = await newFolder()
  const shop = service('shop', { events: { sold: { n: c.int() } } })
  const sell = shop.procedure('sell', { input: { n: c.int() } }, (tx, it) => tx.emit('sold', it))
  const made = (hasTable: boolean, options: AppOptions = {}) => {
    const totals = projection('totals', { tables: { sum: table({ columns: { id: c.int(), n: c.int() }, key: ['id'] }) } }).on(shop.events.sold, (tx, { payload }) => {
      tx.db.sum.put({ id: 1, n: (tx.db.sum.get(1)?.n ?? 0) + payload.n })
    })
    const tables: { totals?: ReturnType<typeof plain> } = hasTable ? { totals: plain() } : {}
    return { totals, application: app(import.meta.url, [shop, service('report', { projections: { totals }, tables: tables as never })], options) }
  }
  const plain = () => table({ columns: { id: c.int() }, key: ['id'] })
  const before = made(true)
  const first = await openOnce(before.application, { path })
  await first.projection(before.totals).reached((await first.submit(sell, { n: 7 })).position)
  await first.close()
  const after = made(false, dropping('report.totals'))
  const db = await openOnce(after.application, { path, retention: { bytes: 0 } })
  expect(db.projection(after.totals).tables.sum.get(1)).toEqual({ id: 1, n: 7 })
  await db.close()
})
