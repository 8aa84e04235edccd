/** Forks of applications with aggregates and projections, and what a fork has not. docs/time-travel.md. */
import { app, column as c, projection, service, table, type Database } from 'sluicedb'
import { expect, test } from 'vitest'
import branchApp from '../support/apps/branch-app.js'
import cartApp, { addTwice, shop as carts } from '../support/apps/cart-app.js'
import { openFor, refused, thrown } from '../support/fixture.js'

test('aggregates are in a fork what they are in the database, and it keeps its own', async () => {
  const db = await openFor(cartApp)
  const { cart } = carts.aggregates
  for (let n = 0; n < 7; n += 1) await db.call(cart.add, { id: 'ann', product: 'tea' }) // with a snapshot at 5
  await using fork = await db.fork()
  await db.call(cart.add, { id: 'ann', product: 'of the database' })
  expect(await fork.call(cart.load, { id: 'ann' })).toEqual({ version: 7, state: { lines: { tea: 7 }, open: true } })
  expect(await fork.call(cart.add, { id: 'ann', product: 'cup', expectedVersion: 7 })).toEqual({ version: 8 })
  expect((await refused(fork.call(cart.add, { id: 'ann', product: 'cup', expectedVersion: 7 }), 'CONFLICT')).details).toMatchObject({ expected: 7, actual: 8 })
  expect(await fork.call(addTwice, { id: 'ann' })).toMatchObject({ after: 11, state: { lines: { tea: 8, cup: 3 } } })
  expect(await fork.call(cart.checkout, { id: 'ann' })).toEqual({ version: 13 })
  expect(Array.from(fork.table(carts.tables.seen), ({ version }) => version)).toEqual([13]) // its atomic handler
  expect(await db.call(cart.load, { id: 'ann' })).toEqual({ version: 8, state: { lines: { tea: 7, 'of the database': 1 }, open: true } })
  expect(fork.diff().filter(({ table }) => table === 'shop.cart.events').map(({ key }) => (key as [string, number])[1]).sort((a, b) => a - b)).toEqual([8, 9, 10, 11, 12, 13])
})

const shelf = service('shelf', { tables: { part: table({ columns: { id: c.int(), n: c.int() }, key: ['id'], ordered: true }) } })
const put = shelf.procedure('put', { input: { id: c.int(), n: c.int() }, partition: (it) => it.id }, (tx, it) => void tx.db.part.put(it))
const sum = shelf.procedure('sum', { input: {}, readonly: true }, (tx) => [...tx.db.part.scan()].reduce((total, { n }) => total + n, 0))
const copySum = shelf.procedure('copySum', { input: { id: c.int() }, isolation: 'snapshot' }, (tx, { id }) => {
  const n = [...tx.db.part.scan()].reduce((total, row) => total + row.n, 0)
  tx.db.part.put({ id, n })
  return n
})

test('a procedure of isolation snapshot, and one that only reads, see the fork', async () => {
  const db = await openFor(app(import.meta.url, [shelf]), { partitions: 4 })
  for (let id = 0; id < 5; id += 1) await db.call(put, { id, n: 1 })
  await using fork = await db.fork()
  await db.call(put, { id: 9, n: 100 })
  await fork.call(put, { id: 5, n: 1 })
  expect([await fork.call(copySum, { id: 6 }), await fork.call(sum, {})]).toEqual([6, 12])
  expect(await db.call(sum, {})).toBe(105)
})

const total = projection('total', { inline: true, tables: { sum: table({ columns: { id: c.int(), n: c.int() }, key: ['id'] }) } })
const order = table({ columns: { id: c.int() }, key: ['id'] })
const desk = service('desk', {
  tables: { order, item: table({ columns: { id: c.int(), order: c.int().references(() => order, { strength: 'batch' }) }, key: ['id'] }) },
  events: { counted: { n: c.int() } },
  projections: { total },
})
total.on(desk.events.counted, (tx, { payload: { n } }) => {
  const row = tx.db.sum.row(0)
  if (row === undefined) tx.db.sum.insert({ id: 0, n })
  else row.n += n
})
const addOrder = desk.procedure('addOrder', { input: { id: c.int() } }, (tx, it) => void tx.db.order.insert(it))
const dropOrder = desk.procedure('dropOrder', { input: { id: c.int() } }, (tx, it) => void tx.db.order.delete(it.id))
const addItem = desk.procedure('addItem', { input: { id: c.int(), order: c.int() } }, (tx, it) => void tx.db.item.insert(it))
const tell = desk.procedure('tell', { input: { n: c.int() } }, (tx, it) => tx.emit('counted', it))
const totalNow = desk.procedure('totalNow', { input: {}, readonly: true }, (tx) => tx.projection.total.sum.get(0)?.n ?? 0)

test('references of a batch hold in a fork, and inline projections go on', async () => {
  const db = await openFor(app(import.meta.url, [desk]), { partitions: 4 })
  await db.call(addOrder, { id: 1 })
  await db.call(addItem, { id: 1, order: 1 })
  await db.call(tell, { n: 5 })
  await db.projection(desk.projections.total).reached(db.stats().position)
  await using fork = await db.fork()
  expect((await refused(fork.call(addItem, { id: 2, order: 7 }), 'CONSTRAINT')).details).toMatchObject({ table: 'desk.item' })
  await refused(fork.call(dropOrder, { id: 1 }), 'CONSTRAINT')
  await fork.call(addItem, { id: 2, order: 1 })
  expect(await Promise.all([fork.call(addOrder, { id: 8 }), fork.call(addItem, { id: 3, order: 8 })])).toHaveLength(2)
  await fork.call(tell, { n: 2 })
  expect([await fork.call(totalNow, {}), await db.call(totalNow, {})]).toEqual([7, 5])
})

test('what a fork has not is refused by name', async () => {
  const db = await openFor(branchApp)
  await using fork = await db.fork()
  const untyped = fork as unknown as Database
  for (const run of [
    () => untyped.consumer('mail', {}, () => undefined), () => untyped.consumers.list(), () => untyped.erase('ann'), () => untyped.erasures(), () => untyped.fork(), () => untyped.asOf(new Date()),
    () => untyped.checkpoint(), () => untyped.projection({} as never), () => untyped.stats(),
  ]) expect(thrown(run, 'INVALID_USE').message).toMatch(/^A fork has no [a-zA-Z]+: ask the database/)
})
