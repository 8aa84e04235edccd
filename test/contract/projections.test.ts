/** Projections: tables that are made of what has happened, within its transactions or behind them. */
import { app, column as c, type Commit, type Database, projection, service, table } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import projectionsApp, { appOf, behind, giveBack, levels, look, read, readInLane, remove, restock, say, sell, sellMany, shop, within } from '../support/apps/projections-app.js'
import { limits } from '../../engine/base/limits.js'
import { newFolder, openFor, openOnce, proveWhole, refused, thrown, until } from '../support/fixture.js'

type Projected = typeof behind | typeof within
/** Both have the same tables; what differs is what their functions are given. */
const handleOf = (db: Database, projected: Projected) => db.projection(projected as typeof behind)
const sales = (db: Database, projected: Projected) => Array.from(handleOf(db, projected).tables.sale, ({ customer, n, text }) => `${customer} ${n} ${text}`).sort()
const quantities = (db: Database, projected: Projected) => Object.fromEntries(Array.from(handleOf(db, projected).tables.total, ({ customer, quantity }) => [customer, quantity]))
const totals = (db: Database, projected: Projected) => [...handleOf(db, projected).tables.total].sort((one, other) => (one.customer < other.customer ? -1 : 1))

async function sellSome(db: Database, count: number, from = 0): Promise<string> {
  const receipts = []
  for (let n = from; n < from + count; n += 1) {
    receipts.push(db.submit(n % 5 === 4 ? giveBack : sell, { customer: `c${n % 3}`, product: `p${n}`, quantity: n + 1 }))
  }
  return (await Promise.all(receipts)).map(({ position }) => position).sort().at(-1)!
}

describe.each([0, 1])('workers %i', (workers) => {
  test('inline is there with the commit, async when its position is reached, and both say the same', async () => {
    const db = await openFor(projectionsApp, { workers })
    const position = await sellSome(db, 30)
    expect(await db.call(readInLane, { customer: 'c1' })).toBe(quantities(db, within)['c1'])
    await db.projection(behind).reached(position as never)
    expect(sales(db, behind)).toEqual(sales(db, within))
    expect(sales(db, within)).toHaveLength(30)
    expect(totals(db, behind)).toEqual(totals(db, within))
    expect(await db.call(read, { customer: 'c0' })).toEqual([quantities(db, behind)['c0'], quantities(db, within)['c0']])
    expect(db.projection(behind).status()).toMatchObject({ name: 'report.behind', state: 'live', version: 1, lag: 0, next: undefined, error: undefined })
    expect(db.projection(behind).status().position! >= position).toBe(true)
  })

  test('rebuilding goes on beside writing, and readers see the old until they see the new', async () => {
    const db = await openFor(projectionsApp, { workers })
    await sellSome(db, 40)
    let n = 40
    let isWriting = true
    const writing = (async () => {
      while (isWriting) {
        await sellSome(db, 5, n)
        n += 5
        expect(Object.keys(quantities(db, within))).toHaveLength(3) // never an empty one
      }
    })()
    await Promise.all([db.projection(behind).rebuild(), db.projection(within).rebuild()])
    await db.projection(within).rebuild()
    isWriting = false
    await writing
    const last = await sellSome(db, 5, n)
    await db.projection(behind).reached(last as never)
    expect(sales(db, within)).toHaveLength(n + 5)
    expect(sales(db, behind)).toEqual(sales(db, within))
    expect(totals(db, behind)).toEqual(totals(db, within))
  })
})

test('changes of tables can be followed, too', async () => {
  const db = await openFor(projectionsApp)
  await db.call(restock, { product: 'tea', left: 3 })
  await db.call(restock, { product: 'tea', left: 2 })
  await db.call(restock, { product: 'cup', left: 1 })
  const { position } = await db.submit(remove, { product: 'cup' })
  await db.projection(levels).reached(position)
  expect([...db.projection(levels).tables.level].sort((a, b) => (a.product < b.product ? -1 : 1))).toEqual([
    { product: 'cup', left: null, changes: 2 },
    { product: 'tea', left: 2, changes: 2 },
  ])
})

test('a position is reached also where nothing of interest happens, and waiting ends by its signal', async () => {
  const db = await openFor(projectionsApp)
  const { position } = await db.submit(look, { n: 1 })
  await db.projection(behind).reached(position)
  await db.projection(within).reached(position)
  const never = 'ffffffffffff0000-00000000'.slice(3).padStart(25, '0') as typeof position
  const controller = new AbortController()
  const waiting = db.projection(behind).reached(never, { signal: controller.signal })
  controller.abort('enough')
  expect((await refused(waiting, 'CANCELLED')).cause).toBe('enough')
  await refused(db.projection(behind).reached('now' as never), 'INVALID_USE')
  const closing = db.projection(behind).reached(never)
  await Promise.all([refused(closing, 'DATABASE_CLOSED'), db.close()])
})

/**
 * The story: whoever asked for everything was handed every step of every projection as a commit of its own, `report.behind.$step` with the row that says how
 * far it has come; and beside a building all that it made of the log anew.
 */
test('what projections write is no news to whoever asks for everything: not live, not from the log, not to a durable consumer, not while they are built', async () => {
  const db = await openFor(projectionsApp)
  const live = db.changes({ from: 'now' })
  const told: string[] = []
  const tell = (into: string[]) => ({ procedure, changes, events }: Commit) => void into.push(`${procedure} ${[...changes.map(({ kind, table }) => `${kind} ${table}`), ...events.map(({ type }) => type)].join(', ')}`)
  const following = live.each(tell(told))
  const handled: string[] = []
  const consumer = await db.consumer('all', {}, tell(handled))
  await db.call(sell, { customer: 'ann', product: 'tea', quantity: 2 })
  await db.call(restock, { product: 'tea', left: 3 })
  await db.projection(levels).reached(db.stats().position)
  for (const projected of [behind, within, levels]) await handleOf(db, projected as typeof behind).rebuild()
  const { position } = await db.submit(remove, { product: 'tea' })
  for (const projected of [behind, levels]) await handleOf(db, projected as typeof behind).reached(position)
  const end = db.stats().position
  expect(end > position).toBe(true) // they have written since
  await consumer.reached(end)
  await until(() => live.position! >= end, 'the stream has moved on')
  await live.close()
  await following
  const again: string[] = []
  const whole = db.changes({ from: 'beginning' })
  const reading = whole.each(tell(again))
  await whole.caughtUp
  await whole.close()
  await reading
  const all = ['shop.sell shop.sold', 'shop.restock insert shop.stock', 'shop.remove delete shop.stock']
  expect([told, handled, again]).toEqual([all, all, all])
})

test('another version is built beside the one that is read, which stands still, and takes its place', async () => {
  const path = await newFolder()
  const inside = async <R>(made: ReturnType<typeof appOf>, body: (db: Database) => Promise<R>): Promise<R> => {
    const db = await openOnce(made.application, { path })
    try {
      return await body(db)
    } finally {
      proveWhole(db)
      await db.close()
    }
  }
  const one = appOf()
  const before = await inside(one, async (db) => {
    await db.projection(one.behind).reached((await sellSome(db, 20)) as never)
    return quantities(db, one.within)
  })
  const ten = appOf({ per: 10, version: 2, keepOld: true })
  await inside(ten, async (db) => {
    for (const projected of [ten.behind, ten.within]) {
      const handle = handleOf(db, projected)
      const seen = quantities(db, projected)
      if (handle.status().version === 1) { // and was, when it was read: the turn may come between any two looks
        expect(seen).toEqual(before)
        const built = handle.rebuild()
        // From the moment on at which it is read; what is put away behind it once showed as 'rebuilding'.
        while (handle.status().version === 1) await new Promise((resolve) => setImmediate(resolve))
        expect(handle.status()).toMatchObject({ state: 'live', version: 2, next: undefined })
        await built
      }
      expect(handle.status()).toMatchObject({ state: 'live', version: 2 })
      expect(quantities(db, projected)).toEqual(Object.fromEntries(Object.entries(before).map(([customer, n]) => [customer, n * 10])))
    }
    const last = await sellSome(db, 1, 20)
    await db.projection(ten.behind).reached(last as never)
    expect(quantities(db, ten.behind)).toEqual(quantities(db, ten.within))
  })
  await inside(ten, async (db) => {
    expect(db.projection(ten.within).status()).toMatchObject({ state: 'live', version: 2 })
    expect(sales(db, ten.within)).toHaveLength(21)
  })
  // Back again: the application says what is read, and not the larger number.
  await inside(one, async (db) => {
    await Promise.all([one.behind, one.within].map((projected) => handleOf(db, projected).rebuild()))
    expect(quantities(db, one.within)).toEqual(quantities(db, one.behind))
    expect(sales(db, one.behind)).toHaveLength(21)
  })
})

test('an inline projection that is new to a database is whole when it is opened', async () => {
  const path = await newFolder()
  const alone = app(import.meta.url, [service('report')]) // an application without the shop knows nothing of it
  await (await openOnce(alone, { path })).close()
  const made = appOf()
  const db = await openOnce(made.application, { path })
  await sellSome(db, 7)
  await db.close()
  const other = projection('other', { inline: true, tables: { count: table({ columns: { customer: c.text(), n: c.int() }, key: ['customer'] }) } }).on(shop.events.sold, (tx, { payload }) => {
    const row = tx.db.count.row(payload.customer)
    if (row) row.n += 1
    else tx.db.count.insert({ customer: payload.customer, n: 1 })
  })
  const again = await openOnce(app(import.meta.url, [shop, made.report, service('more', { projections: { other } })]), { path })
  try {
    expect(again.projection(other).status().state).toBe('live')
    expect([...again.projection(other).tables.count].reduce((sum, { n }) => sum + n, 0)).toBe(6) // one of seven came back
  } finally {
    await again.close()
  }
})

test('a version that comes back has missed nothing and counted nothing twice, whatever was there meanwhile: another version, or the same one inline or behind', async () => {
  const path = await newFolder()
  const life = async (version: number, inline: boolean, hands: 'over' | 'nothing over', body: (db: Database, counted: () => number) => Promise<void>): Promise<void> => {
    const sold = projection('sold', { version, inline, tables: { sum: table({ columns: { id: c.int(), n: c.int() }, key: ['id'] }) } }).on(shop.events.sold, (tx, { payload }) => {
      if (hands === 'nothing over') throw new RangeError('a mistake')
      tx.db.sum.put({ id: 1, n: (tx.db.sum.get(1)?.n ?? 0) + payload.quantity })
    })
    const db = await openOnce(app(import.meta.url, [shop, service('one', { projections: { sold } })]), { path, durability: 'os' })
    try {
      const handle = db.projection(sold)
      if (handle.status().state === 'rebuilding' && hands === 'over') await handle.rebuild()
      await body(db, () => handle.tables.sum.get(1)?.n ?? 0)
      await handle.reached(db.stats().position).catch(() => undefined)
    } finally {
      await db.close()
    }
  }
  const sellFor = async (db: Database, quantity: number) => void (await db.submit(sell, { customer: 'ann', product: 'tea', quantity }))
  await life(1, true, 'over', async (db, counted) => {
    await sellFor(db, 1)
    expect(counted()).toBe(1)
  })
  // The next version fails at the first event: what is read stands still, and what happens is in neither.
  await life(2, true, 'nothing over', async (db, counted) => {
    await sellFor(db, 10)
    expect(counted()).toBe(1)
  })
  await life(1, true, 'over', async (db, counted) => {
    expect(counted()).toBe(11)
    await sellFor(db, 100)
    expect(counted()).toBe(111)
  })
  await life(1, false, 'over', async (db) => await sellFor(db, 1_000))
  await life(1, true, 'over', async (db, counted) => {
    expect(counted()).toBe(1_111)
    await sellFor(db, 10_000)
  })
  await life(1, true, 'over', async (_, counted) => expect(counted()).toBe(11_111))
})

test('what cannot be applied stops a projection there, and is said; another version mends it', async () => {
  const path = await newFolder()
  const failures: string[] = []
  const appWith = (version: number) => {
    const strict = projection('strict', { version, tables: { seen: table({ columns: { n: c.int(), product: c.text() }, key: ['n'] }) } }).on(shop.events.sold, (tx, { payload }) => {
      if (version === 1 && payload.product === 'poison') throw new RangeError('no poison')
      tx.db.seen.insert({ n: payload.quantity, product: payload.product })
    })
    return { strict, application: app(import.meta.url, [shop, service('one', { projections: { strict } })]) }
  }
  const first = appWith(1)
  const db = await openOnce(first.application, { path, onHandlerError: ({ handler, error }) => failures.push(`${handler} ${error.code}`) })
  const products = ['tea', 'cup', 'poison', 'pot']
  const receipts = await Promise.all(products.map((product, n) => db.submit(sell, { customer: 'ann', product, quantity: n })))
  const { error } = await waitFailed(db, first.strict)
  expect(error!.message).toContain(`stands still at "shop.sold" of position ${receipts[2]!.position}`)
  expect(error).toMatchObject({ code: 'PROCEDURE_FAILED', details: { projection: 'one.strict', position: receipts[2]!.position } })
  expect(Array.from(db.projection(first.strict).tables.seen, ({ product }) => product).sort()).toEqual(['cup', 'tea'])
  await db.projection(first.strict).reached(receipts[1]!.position)
  await refused(db.projection(first.strict).reached(receipts[3]!.position), 'PROCEDURE_FAILED')
  expect(failures).toEqual(['one.strict PROCEDURE_FAILED'])
  await db.close()
  const second = appWith(2)
  const mended = await openOnce(second.application, { path })
  await mended.projection(second.strict).reached(receipts[3]!.position)
  const handle = mended.projection(second.strict)
  if (handle.status().version === 1) await handle.rebuild()
  expect(handle.status()).toMatchObject({ state: 'live', version: 2, error: undefined })
  expect(handle.tables.seen.count()).toBe(4)
  await mended.close()
})

async function waitFailed(db: Database, projected: Parameters<Database['projection']>[0]) {
  for (;;) {
    const status = db.projection(projected).status()
    if (status.state === 'failed') return status
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

test('a transaction of more than a step takes is applied in two, and many rows of nobody go in several', async () => {
  const db = await openFor(projectionsApp)
  const { position } = await db.submit(sellMany, { customer: 'ann', count: limits.projectionItemsMax + 1 })
  await db.projection(behind).reached(position)
  expect(quantities(db, behind)).toEqual({ ann: limits.projectionItemsMax + 1 })
  const more = await db.submit(sellMany, { customer: 'bob', count: limits.projectionKeysMax })
  await db.projection(behind).reached(more.position)
  await db.projection(behind).rebuild()
  await db.projection(behind).rebuild() // into what was read before, when that is empty
  expect(sales(db, behind)).toEqual(sales(db, within))
})

test('what is read and what is built may both stand inside of one long transaction: neither is turned to before it has come as far', async () => {
  const sold = projection('sold', { version: 1, tables: { sum: table({ columns: { id: c.int(), n: c.int() }, key: ['id'] }) } }).on(shop.events.sold, (tx, { payload }) => {
    tx.db.sum.put({ id: 1, n: (tx.db.sum.get(1)?.n ?? 0) + payload.quantity })
  })
  const db = await openFor(app(import.meta.url, [shop, service('one', { projections: { sold } })]))
  const handle = db.projection(sold)
  const count = 4 * limits.projectionItemsMax
  let written = 0
  let isWriting = true
  const write = async () => {
    while (isWriting) {
      const { position } = await db.submit(sellMany, { customer: 'ann', count })
      written += count
      await handle.reached(position)
      expect(handle.tables.sum.get(1)!.n).toBe(written)
    }
  }
  const rebuild = async () => {
    for (let times = 0; times < 3; times += 1) await handle.rebuild() // each takes twice as long as all before
    isWriting = false
  }
  await Promise.all([write(), rebuild()])
  expect(handle.status()).toMatchObject({ state: 'live', error: undefined })
})

test('a log that has lost its beginning cannot be built from', async () => {
  const db = await openFor(projectionsApp)
  await sellSome(db, 3)
  const text = 'x'.repeat(1_000_000)
  // The log of a database in memory is 64 MiB long.
  for (let n = 0; n < 70; n += 1) await db.call(say, { text })
  const before = quantities(db, within)
  expect((await refused(db.projection(within).rebuild(), 'HISTORY_GONE')).details).toMatchObject({ projection: 'report.within' })
  expect(quantities(db, within)).toEqual(before)
  expect(db.projection(within).status()).toMatchObject({ state: 'failed', version: 1 })
})

describe('definitions', () => {
  const tables = () => ({ t: table({ columns: { n: c.int() }, key: ['n'] }) })

  test('what is wrong with a projection is said by its name', () => {
    const wrong = (other: object): string => thrown(() => projection('thing', { tables: tables(), ...other } as never), 'INVALID_DEFINITION').message
    expect(wrong({ version: 0 })).toContain("version of projection 'thing'")
    expect(wrong({ tables: {} })).toContain('needs tables')
    expect(wrong({ tables: { t: {} } })).toContain('made by table()')
    expect(wrong({ tables: { t: table({ columns: { n: c.int().generated() }, key: ['n'] }) } })).toContain("Column 'n' of table 't' of projection 'thing' is generated")
    expect(wrong({ tables: { t: table({ columns: { n: c.int().references(() => shop.tables.stock) }, key: ['n'] }) } })).toContain('has references')
    expect(wrong({ inline: 1 })).toContain('inline of projection')
    expect(wrong({ apply: {} })).toContain("has no option 'apply'")
  })

  test('it belongs to one service, and follows what is in the application, once', () => {
    const thing = projection('thing', { tables: tables() })
    expect(thrown(() => service('one', { projections: { other: thing } as never }), 'INVALID_DEFINITION').message).toContain('let both have one name')
    const two = service('two', { projections: { thing } })
    expect(thrown(() => service('three', { projections: { thing } }), 'INVALID_DEFINITION').message).toContain("'two.thing' already")
    expect(thrown(() => app(import.meta.url, [two]), 'INVALID_DEFINITION').message).toContain("'two.thing' follows nothing")
    const of = (define: (one: ReturnType<typeof make>) => unknown, inline = false): string => {
      const one = make(inline)
      return thrown(() => {
        define(one)
        app(import.meta.url, [service('four', { projections: { one } })])
      }, 'INVALID_DEFINITION').message
    }
    const make = (inline: boolean) => projection('one', { tables: tables(), inline: inline as false })
    expect(of((one) => one.on(shop.events.sold, () => undefined))).toContain("follows shop.sold, which is no event and no other table of this application")
    expect(of((one) => one.on((() => 1) as never, () => undefined))).toContain('follows 1')
    expect(of((one) => one.on({} as never, () => undefined))).toContain('an event or a table')
    expect(of((one) => one.on(shop.tables.stock, () => undefined), true)).toContain('is inline')
    const events = service('five', { events: { e: {} } })
    const twice = projection('twice', { tables: tables() }).on(events.events.e, () => undefined).on(events.events.e, () => undefined)
    expect(thrown(() => app(import.meta.url, [events, service('six', { projections: { twice } })]), 'INVALID_DEFINITION').message).toContain("follows 'five.e' twice")
    expect(thrown(() => behind.on(shop.events.looked, () => undefined), 'INVALID_DEFINITION').message).toContain('after app() has taken it')
  })

  test('a database knows its own projections only', async () => {
    const db = await openFor(projectionsApp)
    expect(thrown(() => db.projection({} as never), 'INVALID_USE').message).toContain('is no projection')
    const other = projection('other', { tables: tables() })
    expect(thrown(() => db.projection(other), 'INVALID_USE').message).toContain("'other' is not in this application")
  })
})
