/** Aggregates: streams of events, what they come to, and on what terms one appends to them. */
import { aggregate, app, column as c, service, type Database } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import cartApp, { addTwice, append, creditUnless, history, rebuild, shop, stubborn, transfer } from '../support/apps/cart-app.js'
import { newFolder, openFor, openOnce, proveWhole, refused, take, thrown, until } from '../support/fixture.js'
import { settled } from '../support/settled.js'

const { cart, account } = shop.aggregates
const added = (product: string, quantity = 1) => ({ type: 'added' as const, payload: { product, quantity } })
const stateOf = (db: Database, id: string) => db.call(cart.load, { id })

describe.each([0, 1])('workers %i', (workers) => {
  test('a command decides on the state, records events, announces them and answers the version', async () => {
    const db = await openFor(cartApp, { workers })
    const heard = take(db.events([cart.events.added, cart.events.checkedOut], { from: 'now' }), 3)
    expect(await db.call(cart.add, { id: 'ann', product: 'tea', quantity: 2 })).toEqual({ version: 1 })
    expect(await db.call(cart.add, { id: 'ann', product: 'tea' })).toEqual({ version: 2 })
    expect(await stateOf(db, 'ann')).toEqual({ version: 2, state: { lines: { tea: 3 }, open: true } })
    expect(await db.call(cart.checkout, { id: 'ann' })).toEqual({ version: 4 })
    expect(await db.call(cart.checkout, { id: 'ann' })).toEqual({ version: 4 }) // it answered nothing
    const error = await refused(db.call(cart.add, { id: 'ann', product: 'cup' }), 'ABORTED')
    expect(cart.aborts.CLOSED.is(error)).toBe(true)
    expect((await heard).map(({ type, payload }) => [type, payload])).toEqual([
      ['shop.cart.added', { id: 'ann', version: 1, product: 'tea', quantity: 2 }],
      ['shop.cart.added', { id: 'ann', version: 2, product: 'tea', quantity: 1 }],
      ['shop.cart.checkedOut', { id: 'ann', version: 4, total: 5, note: null }],
    ])
    expect(Array.from(db.table(shop.tables.seen), ({ what, version }) => [what, version])).toEqual([['checked out at 5', 4]])
  })

  test('several aggregates are one transaction, with all that it does or nothing', async () => {
    const db = await openFor(cartApp, { workers })
    await db.call(account.credit, { id: 1, amount: 10 })
    await db.call(transfer, { from: 1, to: 2, amount: 4 })
    expect(await db.call(account.load, { id: 2 })).toEqual({ version: 1, state: { balance: 4, closed: false } })
    expect((await refused(db.call(transfer, { from: 1, to: 2, amount: 7 }), 'ABORTED')).details).toEqual({ balance: 6 })
    await db.call(account.close, { id: 2 })
    expect((await refused(db.call(transfer, { from: 1, to: 2, amount: 1 }), 'CONFLICT')).details).toEqual({ aggregate: 'shop.account', id: 2, after: 0, type: 'closed', version: 2 })
    expect(await db.call(account.load, { id: 1 })).toEqual({ version: 2, state: { balance: 6, closed: false } })
  })
})

test('what a transaction has appended is what it goes on with', async () => {
  const db = await openFor(cartApp)
  expect(await db.call(addTwice, { id: 'ann' })).toEqual({
    before: { lines: { tea: 1 }, open: true },
    after: 3,
    state: { lines: { tea: 1, cup: 2 }, open: true },
    version: 3,
  })
})

test('expected versions: a number, none, exists; of commands and of streams', async () => {
  const db = await openFor(cartApp)
  const add = (expectedVersion: number | 'none' | 'exists') => db.call(cart.add, { id: 'ann', product: 'tea', expectedVersion })
  expect((await refused(add('exists'), 'CONFLICT')).details).toEqual({ aggregate: 'shop.cart', id: 'ann', expected: 'exists', actual: 0 })
  expect(await add('none')).toEqual({ version: 1 })
  expect((await refused(add('none'), 'CONFLICT')).details).toEqual({ aggregate: 'shop.cart', id: 'ann', expected: 'none', actual: 1 })
  expect(await add('exists')).toEqual({ version: 2 })
  expect(await add(2)).toEqual({ version: 3 })
  expect((await refused(add(2), 'CONFLICT')).message).toContain(`Aggregate "shop.cart" 'ann' is at version 3, and 2 was expected`)
  expect((await refused(db.call(append, { id: 'ann', events: [added('cup')], expected: 4 }), 'CONFLICT')).details).toMatchObject({ expected: 4, actual: 3 })
  expect(await db.call(append, { id: 'ann', events: [added('cup')], expected: 3 })).toBe(4)
  await refused(add(-1), 'INVALID_INPUT')
  await refused(db.call(cart.add, { id: 'ann', product: 'tea', expectedVersion: 'some' as never }), 'INVALID_INPUT')
  expect((await refused(db.call(append, { id: 'ann', events: [], expected: 'some' as never }), 'INVALID_USE')).message).toContain("a version, 'none' or 'exists'")
})

test('a conflict says whether the same call may yet succeed: who asks before trying again does not try for ever', async () => {
  const db = await openFor(cartApp)
  for (const product of ['tea', 'cup']) await db.call(cart.add, { id: 'ann', product })
  const add = (expectedVersion: number | 'none' | 'exists', id = 'ann') => refused(db.call(cart.add, { id, product: 'tea', expectedVersion }, { id: `${id} ${expectedVersion}` }), 'CONFLICT')
  expect([await add(1), await add('none'), await add(0)].map(({ retryable }) => retryable), 'the stream has passed it').toEqual([false, false, false])
  expect([await add(3), await add('exists', 'bob')].map(({ retryable }) => retryable), 'the stream may come to it').toEqual([true, true])
  await db.call(cart.add, { id: 'bob', product: 'tea' })
  expect(await db.call(cart.add, { id: 'bob', product: 'tea', expectedVersion: 'exists' }, { id: 'bob exists' }), 'the same id, later').toEqual({ version: 2 })
  await db.call(account.close, { id: 2 })
  expect((await refused(db.call(creditUnless, { id: 1, other: 2, above: 9, after: 0 }), 'CONFLICT')).retryable, 'what is recorded stays').toBe(false)
})

test('only one of two who decided on the same version is served, whoever calls', async () => {
  const db = await openFor(cartApp)
  const both = await Promise.allSettled(['tea', 'cup'].map((product) => db.call(cart.add, { id: 'ann', product, expectedVersion: 'none' })))
  expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  expect((await stateOf(db, 'ann')).version).toBe(1)
})

test('a condition may be of a stream that is not written to', async () => {
  const db = await openFor(cartApp)
  const credit = (above: number, after = 0) => db.call(creditUnless, { id: 1, other: 2, above, after })
  expect(await credit(0)).toBe(1)
  await db.call(account.credit, { id: 2, amount: 5 })
  expect(await credit(5)).toBe(2)
  expect((await refused(credit(4), 'CONFLICT')).details).toEqual({ aggregate: 'shop.account', id: 2, after: 0, type: 'credited', version: 1 })
  expect(await credit(4, 1)).toBe(3) // behind version 1 there is none
  await db.call(account.close, { id: 2 })
  expect((await refused(credit(9), 'CONFLICT')).details).toMatchObject({ type: 'closed', version: 2 })
})

test('a conflict dooms its transaction, caught or not', async () => {
  const db = await openFor(cartApp)
  await refused(db.call(stubborn, { id: 'ann' }), 'CONFLICT')
  expect(await stateOf(db, 'ann')).toEqual({ version: 0, state: { lines: {}, open: true } })
})

test('payloads are checked and filled in, and an unknown event is refused by name', async () => {
  const db = await openFor(cartApp)
  await refused(db.call(append, { id: 'ann', events: [added('tea', 0)] }), 'INVALID_INPUT')
  const wrong = (event: unknown) => refused(db.call(append, { id: 'ann', events: [event as never] }), 'INVALID_USE')
  expect((await wrong({ type: 'adde', payload: {} })).message).toContain('did you mean "added"')
  expect((await wrong({ type: 'added', product: 'tea' })).message).toContain('no "product": put it into the payload')
  expect((await wrong('added')).message).toContain("not 'added'")
  expect((await stateOf(db, 'ann')).version).toBe(0)
})

test('events are rows: they can be read, and their states of before', async () => {
  const db = await openFor(cartApp)
  for (const product of ['tea', 'cup', 'pot']) await db.call(cart.add, { id: 'ann', product })
  await db.call(cart.add, { id: 'bob', product: 'jar' })
  expect((await db.call(history, { id: 'ann', after: 1 })).map(({ version, payload }) => [version, payload])).toEqual([
    [2, { product: 'cup', quantity: 1 }],
    [3, { product: 'pot', quantity: 1 }],
  ])
  expect(await db.call(cart.load, { id: 'ann', version: 2 })).toEqual({ version: 2, state: { lines: { tea: 1, cup: 1 }, open: true } })
  expect(db.table(cart.tables.events).get(['bob', 1])).toMatchObject({ type: 'added', shape: 1, payload: { product: 'jar', quantity: 1 } })
  expect([...db.table(cart.tables.events).scan({ prefix: ['ann'] })]).toHaveLength(3)
})

test('snapshots come every so many events, and an older state does without them', async () => {
  const db = await openFor(cartApp)
  const snapshots = () => Array.from(snapshotsOf(db), ({ id, version, state }) => [id, version, state])
  for (let n = 1; n <= 4; n += 1) await db.call(cart.add, { id: 'ann', product: `p${n}` })
  expect(snapshots()).toEqual([])
  await db.call(append, { id: 'ann', events: [added('p5'), added('p6')] })
  expect(snapshots()).toMatchObject([['ann', 6, { open: true, lines: { p1: 1, p6: 1 } }]])
  await db.call(cart.add, { id: 'ann', product: 'p7' })
  expect(snapshots()[0]![1]).toBe(6)
  expect((await db.call(cart.load, { id: 'ann', version: 3 })).state.lines).toEqual({ p1: 1, p2: 1, p3: 1 })
  expect(Object.keys((await db.call(rebuild, { id: 'ann' })).lines)).toHaveLength(7)
  expect(snapshots()[0]![1]).toBe(7)
})

/** A table like any other, which no type shows: it is the engine's business. */
function snapshotsOf(db: Database): Iterable<Readonly<Record<'id' | 'version' | 'state', unknown>>> {
  const { snapshots } = cart.tables as unknown as Readonly<Record<'snapshots', typeof cart.tables.events>>
  return db.table(snapshots) as unknown as Iterable<Readonly<Record<'id' | 'version' | 'state', unknown>>>
}

test('another version of evolve makes snapshots anew, from the events', async () => {
  const path = await newFolder()
  const appOf = (version: number, per: number) => {
    const sum = aggregate('sum', {
      id: c.text(),
      events: { counted: { n: c.int() } },
      initial: () => ({ total: 0 }),
      evolve: { counted: (state, { n }) => ({ total: state.total + n * per }) },
      decide: { count: { input: { n: c.int() }, run: (_state, input) => ({ type: 'counted', payload: input }) } },
      snapshotEvery: 3,
      version,
    })
    const sums = service('sums', { aggregates: { sum } })
    return { sum: sums.aggregates.sum, application: app(import.meta.url, [sums]) }
  }
  const once = async (version: number, per: number, count: number): Promise<number> => {
    const { sum, application } = appOf(version, per)
    const db = await openOnce(application, { path })
    try {
      for (let n = 0; n < count; n += 1) await db.call(sum.count, { id: 'x', n: 1 })
      proveWhole(db)
      return (await db.call(sum.load, { id: 'x' })).state.total
    } finally {
      await db.close()
    }
  }
  expect(await once(1, 1, 4)).toBe(4)
  expect(await once(1, 10, 0)).toBe(13) // who changes evolve and does not say so has a snapshot of before
  expect(await once(2, 10, 0)).toBe(40)
  expect(await once(2, 10, 1)).toBe(50) // … and it is kept: the replay was long enough
  expect(await once(2, 100, 0)).toBe(50)
})

test('a handler behind the commit that meets a conflict has failed: it is not tried for ever', async () => {
  const count = aggregate('count', {
    id: c.text(),
    events: { counted: {} },
    initial: () => 0,
    evolve: { counted: (n) => n + 1 },
    decide: { count: { input: {}, run: () => ({ type: 'counted' }) } },
  })
  const counts = service('counts', { aggregates: { count } })
  counts.on(counts.aggregates.count.events.counted, { name: 'again', partition: (it) => it.id }, (tx, { payload }) => {
    tx.aggregate.count(payload.id).append({ type: 'counted' }, { expectedVersion: 'none' })
  })
  const failures: string[] = []
  const db = await openFor(app(import.meta.url, [counts]), { onHandlerError: ({ error }) => void failures.push(error.code) })
  await db.call(counts.aggregates.count.count, { id: 'x' })
  await until(() => failures.length > 0, 'it has failed')
  expect(failures).toEqual(['CONFLICT'])
  expect(db.stats().handlers[0]).toMatchObject({ failed: 1, retried: 0 })
})

describe('definitions', () => {
  const parts = { id: c.text(), events: { happened: {} }, initial: () => 0, evolve: { happened: (n: number) => n + 1 }, decide: {} }
  const wrong = (other: object): string => thrown(() => aggregate('thing', { ...parts, ...other } as never), 'INVALID_DEFINITION').message

  test('what is wrong with an aggregate is said by its name', () => {
    expect(wrong({ events: {} })).toContain("aggregate 'thing' needs events")
    expect(wrong({ evolve: {} })).toContain("lacks 'happened'")
    expect(wrong({ evolve: { ...parts.evolve, gone: () => 0 } })).toContain("has 'gone', which is none of its events")
    expect(wrong({ events: { happened: { version: c.int() } } })).toContain("Column 'version' of event 'happened'")
    expect(wrong({ decide: { go: { input: { id: c.int() }, run: () => undefined } } })).toContain("Column 'id' of the input of command 'go'")
    expect(wrong({ decide: { load: { input: {}, run: () => undefined } } })).toContain("cannot be 'load'")
    expect(wrong({ decide: { go: { input: {}, then: 1 } } })).toContain("has no option 'then'")
    expect(wrong({ initial: () => new Map() })).toContain('no plain data')
    expect(wrong({ initial: () => undefined })).toContain('answers nothing')
    expect(wrong({ snapshotEvery: 0 })).toContain('snapshotEvery')
    expect(wrong({ version: 1.5 })).toContain('version of')
    expect(wrong({ id: c.int().generated() })).toContain('generated()')
    expect(wrong({ tables: {} })).toContain("has no option 'tables'")
  })

  test('an aggregate belongs to one service, under its own name', () => {
    const thing = aggregate('thing', parts as never)
    expect(thrown(() => service('one', { aggregates: { other: thing } as never }), 'INVALID_DEFINITION').message).toContain('let both have one name')
    service('two', { aggregates: { thing } })
    expect(thrown(() => service('three', { aggregates: { thing } }), 'INVALID_DEFINITION').message).toContain("'three.thing' is one of service 'two' already")
    expect(thrown(() => service('four', { aggregates: { thing: {} as never } }), 'INVALID_DEFINITION').message).toContain('made by aggregate()')
  })
})

test('the application as data has their tables, events and commands, and no service for each', async () => {
  const db = await openFor(cartApp)
  const { services, tables, events, procedures } = db.describe()
  expect(services).toEqual(['shop'])
  expect(tables.map(({ name }) => name)).toContain('shop.cart.events')
  expect(events.find(({ name }) => name === 'shop.cart.added')?.columns.map(({ name }) => name)).toEqual(['id', 'version', 'product', 'quantity'])
  expect(procedures.find(({ name }) => name === 'shop.cart.add')).toMatchObject({ service: 'shop', lane: 'partition' })
  expect(procedures.find(({ name }) => name === 'shop.cart.load')).toMatchObject({ readonly: true })
})

test('a handler behind the commit that met a conflict does not begin again when the database is opened again', async () => {
  const path = await newFolder()
  const sum = aggregate('sum', {
    id: c.int(),
    events: { counted: { n: c.int() } },
    initial: () => ({ total: 0 }),
    evolve: { counted: (state, { n }) => ({ total: state.total + n }) },
    decide: { count: { input: { n: c.int() }, run: (_state, input) => ({ type: 'counted', payload: input }) } },
  })
  const sums = service('sums', { aggregates: { sum }, events: { wished: { n: c.int() } } })
  const wish = sums.procedure('wish', { input: { n: c.int() } }, (tx, it) => tx.emit('wished', it))
  sums.on(sums.events.wished, { name: 'fulfil' }, (tx, { payload }) => {
    tx.aggregate.sum(1).append([{ type: 'counted', payload }], { expectedVersion: 1 })
  })
  const application = app(import.meta.url, [sums])
  const told: string[] = []
  const options = { path, durability: 'os' as const, onHandlerError: ({ error }: { error: { code: string } }) => void told.push(error.code) }
  const load = (db: Database) => db.call(sums.aggregates.sum.load, { id: 1 })

  const first = await openOnce(application, options)
  await first.call(wish, { n: 10 })
  await until(() => told.length === 1, 'it has failed')
  await first.call(sums.aggregates.sum.count, { id: 1, n: 1 })
  await first.close()
  const second = await openFor(application, options)
  await settled(second)
  expect(await load(second)).toEqual({ version: 1, state: { total: 1 } })
  expect(new Set(told)).toEqual(new Set(['CONFLICT']))
})
