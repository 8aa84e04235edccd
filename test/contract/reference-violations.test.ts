/** References of strength `eventual`: nothing waits for them, and what does not hold is told behind the commit, once. */
import { app, column as c, describe as describeApp, referenceViolated, service, table, type Database } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import eventualApp, { cancel, desk, mail, order, send, touch } from '../support/apps/eventual-app.js'
import { newFolder, openFor, openOnce, until } from '../support/fixture.js'

const watch = 'mail.parcel.$order'
/** Everything that was durable has been looked at. */
async function settled(db: Database): Promise<void> {
  for (let turn = 0; turn < 2_000; turn += 1) {
    const state = db.stats().handlers.find(({ name }) => name === watch)!
    expect([state.failed, state.stoppedBy]).toEqual([0, undefined])
    if (!state.isBehind) return
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  expect.fail('the queue does not come to its end')
}
const complaints = (db: Database) => [1, 2, 3, 4, 5].flatMap((parcel) => [7, 8, 9].map((to) => db.table(desk.tables.complaint).get([parcel, to]))).flatMap((row) => (row === undefined ? [] : [[row.parcel, row.order, row.times]]))

describe.each([0, 2])('with %i workers', (workers) => {
  test('a row that refers to nothing is written, and told once for the change that left it so', async () => {
    const db = await openFor(eventualApp, { workers, partitions: 4 })
    const stream = db.events(referenceViolated)
    await db.call(order, { id: 7 })
    await db.call(send, { id: 1, order: 7 })
    await db.call(send, { id: 2, order: 7 })
    await db.call(send, { id: 3, order: null })
    await settled(db)
    expect(complaints(db)).toEqual([])
    expect(db.stats().handlers[0]!.handled, 'what is found at once needs no transaction').toBe(0)

    await db.call(send, { id: 4, order: 8 })
    const { value: first } = await stream[Symbol.asyncIterator]().next()
    expect(first).toMatchObject({ type: '$sluice.referenceViolated', payload: { table: 'mail.parcel', key: 4, reference: 'order', value: 8, other: 'shop.order' } })
    await db.call(touch, { id: 4 }) // refers to what it did before
    await db.call(send, { id: 4, order: 8 })
    await settled(db)
    expect(complaints(db)).toEqual([[4, 8, 1]])

    await db.call(cancel, { id: 7 })
    await settled(db)
    expect(complaints(db)).toEqual([[1, 7, 1], [2, 7, 1], [4, 8, 1]])
    await db.call(send, { id: 4, order: 9 })
    await settled(db)
    expect(complaints(db)).toEqual([[1, 7, 1], [2, 7, 1], [4, 8, 1], [4, 9, 1]])
    await stream.close()
  })

  test('exactly once, across restarts: it goes on where it was', async () => {
    const path = await newFolder()
    for (let life = 0; life < 4; life += 1) {
      const db = await openFor(eventualApp, { path, workers, partitions: 4 })
      // Closed at once, so that what was written last is looked at by the next life, or by both.
      await Promise.all([1, 2, 3, 4, 5].map((id) => db.call(send, { id, order: 7 + ((life + id) % 3) })))
      await db.close()
    }
    const db = await openFor(eventualApp, { path, workers, partitions: 4 })
    await settled(db)
    // Every parcel has named four orders one after the other. One that was changed before it was looked at holds what it holds then.
    const found = complaints(db)
    for (const [parcel, to, times] of found) expect(times, `${parcel} ${to}`).toBeLessThanOrEqual((7 + ((parcel as number) % 3)) === to ? 2 : 1)
    for (const id of [1, 2, 3, 4, 5]) expect(found.some(([parcel, to]) => parcel === id && to === 7 + ((3 + id) % 3)), `${id}`).toBe(true)
    const before = complaints(db)
    await db.close()
    const again = await openFor(eventualApp, { path, workers, partitions: 4 })
    await settled(again)
    expect(complaints(again)).toEqual(before)
  })
})

test('of two rows of one commit that refer to nothing, the second is told, although the first has found its parent when the log is read again', async () => {
  const path = await newFolder()
  const nowhere = 1_000_000
  const shop = service('shop', { tables: { order: table({ columns: { id: c.int() }, key: ['id'] }) } })
  const mail = service('mail', {
    tables: { parcel: table({ columns: { id: c.int(), order: c.int().references(() => shop.tables.order, { strength: 'eventual' }) }, key: ['id'] }) },
  })
  const desk = service('desk', { tables: { complaint: table({ columns: { parcel: c.int(), times: c.int() }, key: ['parcel'] }) } })
  const place = shop.procedure('place', { input: { from: c.int(), to: c.int() } }, (tx, { from, to }) => {
    for (let id = from; id < to; id += 1) tx.db.order.insert({ id })
  })
  const sendTwo = mail.procedure('sendTwo', { input: { id: c.int() } }, (tx, { id }) => {
    tx.db.parcel.insert({ id: 2 * id, order: id })
    tx.db.parcel.insert({ id: 2 * id + 1, order: nowhere })
  })
  desk.on(() => referenceViolated, { name: 'complain', atomic: true }, (tx, { payload }) => {
    const parcel = payload.key as number
    tx.db.complaint.put({ parcel, times: (tx.db.complaint.get(parcel)?.times ?? 0) + 1 })
  })
  const application = app(import.meta.url, [shop, mail, desk])
  const pairs = 400
  const toldOf = (db: Database) => Array.from(db.table(desk.tables.complaint)).filter(({ parcel }) => parcel % 2 === 1)

  const first = await openOnce(application, { path, durability: 'os', workers: 0, partitions: 4 })
  await Promise.all(Array.from({ length: pairs }, (_, id) => first.call(sendTwo, { id })))
  // Each order is looked at for itself; all that refer to the same one wait for each other.
  await until(() => first.stats().handlers[0]!.handled >= pairs, 'the first of each commit was looked at')
  await first.call(place, { from: 0, to: pairs })
  await first.close()
  const second = await openFor(application, { path, durability: 'os', workers: 0, partitions: 4 })
  await settled(second)
  const told = toldOf(second)
  expect(told).toHaveLength(pairs)
  expect(told.filter(({ times }) => times !== 1)).toEqual([])
})

test('describe() tells the strength; nothing of it takes a call to the cross-partition lane', () => {
  const { tables, events } = describeApp(eventualApp)
  const parcel = tables.find(({ name }) => name === 'mail.parcel')!
  expect(parcel).toMatchObject({ crossPartitionWrites: false, references: [{ name: 'order', to: 'shop.order', strength: 'eventual', crossPartition: false }] })
  expect(events.map(({ name }) => name)).toEqual(['$sluice.referenceViolated'])
  expect(describeApp(eventualApp).events[0]!.atomicHandlers).toEqual(['desk.complain'])
  void mail
})
