/** Where features meet: streams and consumers of slices and of aggregates, erasures of aggregates and over HTTP. */
import { aggregate, app, column as c, eq, gte, only, service, table, type Commit } from 'sluicedb'
import { httpHandler } from 'sluicedb/http'
import { describe, expect, test } from 'vitest'
import cartApp, { shop as carts } from '../support/apps/cart-app.js'
import streamsApp, { count, fill, setThing, store } from '../support/apps/streams-app.js'
import { directly, messagesOf } from '../support/http.js'
import { newFolder, openFor, take, thrown, until } from '../support/fixture.js'

test('services: of its aggregates too, their tables and events', async () => {
  const db = await openFor(cartApp)
  const { cart } = carts.aggregates
  const heard = take(db.changes({ services: [carts] }), 2)
  const named = take(db.changes({ tables: [cart.tables.events], events: [cart.events.checkedOut] }), 2)
  await db.call(cart.add, { id: 'ann', product: 'tea' })
  await db.call(cart.checkout, { id: 'ann' })
  const [added, out] = (await heard) as Commit[]
  expect([added!.changes.map(({ table }) => table).sort(), added!.events.map(({ type }) => type)]).toEqual([['shop.cart.events', 'shop.cart.heads'], ['shop.cart.added']])
  expect(new Set(out!.changes.map(({ table }) => table))).toEqual(new Set(['shop.cart.events', 'shop.cart.heads', 'shop.seen']))
  expect(((await named) as Commit[]).map(({ changes, events }) => [changes.length, events.length])).toEqual([[1, 0], [2, 1]])
})

describe('a consumer of a slice', () => {
  const { part } = store.tables

  test('is given what the slice lets through, and nothing else of a commit, also of one that was parked', async () => {
    const db = await openFor(streamsApp, { path: await newFolder(), durability: 'os' })
    const tables = [only(part, { prefix: ['a'], kinds: ['update'], columns: ['count'], where: (row) => gte(row.n, 2) })]
    const seen: string[] = []
    let isBroken = true
    const consumer = await db.consumer('slices', { tables, redelivery: { limit: 1 } }, (commit) => {
      if (isBroken) throw new Error('not yet')
      for (const { kind, key } of commit.changes) seen.push(`${kind} ${String(key)}`)
    })
    await db.call(fill, { shelf: 'a', from: 0, n: 4 }) // inserts
    await db.call(count, { shelf: 'b', n: 3 }) // of another shelf
    await db.call(setThing, { id: 1, value: 2 })
    await db.call(count, { shelf: 'a', n: 1 }) // not of the rows
    await db.call(count, { shelf: 'a', n: 3 })
    await db.call(count, { shelf: 'a', n: 2 })
    await until(() => consumer.parked().length === 1, 'the first is parked')
    const [parked] = consumer.parked()
    expect(parked!.commit!.changes.map(({ kind, key }) => [kind, key])).toEqual([['update', ['a', 3]]])
    isBroken = false
    await consumer.unpark()
    await until(() => !consumer.inspect().isBehind && consumer.inspect().parked === 0, 'it has caught up')
    expect(seen).toEqual(['update a,3', 'update a,2'])
    expect(consumer.inspect().handled).toBe(2)
  })

  test('of a commit that is too long to be parked and is read again, too', async () => {
    const db = await openFor(streamsApp)
    const tables = [only(part, { prefix: ['a'], where: (row) => gte(row.n, 300) })]
    let [attempts, rows] = [0, 0]
    const consumer = await db.consumer('long', { tables, redelivery: { limit: 1 } }, (commit) => {
      attempts += 1
      if (attempts === 1) throw new Error('not yet')
      rows = commit.changes.length
      expect(commit.changes.every(({ key }) => key[0] === 'a' && key[1] >= 300)).toBe(true)
    })
    await db.call(fill, { shelf: 'a', from: 0, n: 700, note: 'x'.repeat(4_000) })
    await until(() => consumer.parked().length === 1, 'it is parked')
    expect(consumer.parked()[0]!.commit).toBeUndefined()
    await consumer.unpark()
    await until(() => consumer.inspect().parked === 0, 'it is done')
    expect([attempts, rows]).toEqual([2, 400])
  })

  test('of a condition on a bigint, and on bytes', async () => {
    const db = await openFor(streamsApp)
    const tables = [only(part, { where: (row) => eq(row.big, 0n) }), only(part, { where: (row) => eq(row.raw, new Uint8Array([1])) })]
    const heard = take(db.changes({ tables }), 1)
    await db.call(count, { shelf: 'a', n: 1 })
    expect((await heard)[0]!.changes).toHaveLength(1)
  })

  test('members of a group ask for the same slice', async () => {
    const db = await openFor(streamsApp)
    const open = (shelf: string) => db.consumer('group', { tables: [only(part, { prefix: [shelf] })], group: true }, () => undefined)
    await open('a')
    await open('a')
    await expect(open('b')).rejects.toMatchObject({ code: 'INVALID_USE' })
  })
})

const person = aggregate('person', {
  id: c.text().subject(),
  events: { named: { name: c.text() } },
  initial: () => ({ name: '' }),
  evolve: { named: (_state, { name }) => ({ name }) },
  decide: { rename: { input: { name: c.text() }, run: (_state, { name }) => ({ type: 'named', payload: { name } }) } },
  snapshotEvery: 2,
})
const people = service('people', {
  tables: { note: table({ columns: { id: c.int(), owner: c.text().subject() }, key: ['id'] }) },
  aggregates: { person },
})
const note = people.procedure('note', { input: { id: c.int(), owner: c.text() } }, (tx, it) => void tx.db.note.put(it))
const peopleApp = app(import.meta.url, [people])

test('an aggregate of a subject goes as a whole: its events, its head, its snapshot', async () => {
  const db = await openFor(peopleApp)
  const { rename, load, tables } = people.aggregates.person
  for (let n = 0; n < 5; n += 1) for (const id of ['ann-7f3e9c', 'bob']) await db.call(rename, { id, name: `${id} ${n}` })
  const record = await db.erase('ann-7f3e9c')
  expect(Object.fromEntries(Object.entries(record.tables).map(([name, { rows }]) => [name, rows]))).toEqual({ 'people.person.events': 5, 'people.person.heads': 1, 'people.person.snapshots': 1 })
  expect(record.events).toBe(5)
  expect(await db.call(load, { id: 'ann-7f3e9c' })).toEqual({ version: 0, state: { name: '' } })
  expect(await db.call(load, { id: 'bob' })).toEqual({ version: 5, state: { name: 'bob 4' } })
  expect(JSON.stringify(await take(db.changes({ from: 'beginning' }), 10))).not.toContain('ann-7f3e9c')
  expect(db.table(tables.events).count()).toBe(5)
  expect(await db.call(rename, { id: 'ann-7f3e9c', name: 'a new one', expectedVersion: 'none' })).toEqual({ version: 1 })
  thrown(
    () => aggregate('letter', { ...letter, events: { sent: { to: c.text().subject() } } }),
    'INVALID_DEFINITION',
  )
})
const letter = { id: c.text(), initial: () => 0, evolve: { sent: () => 1 }, decide: {} }

test('over HTTP a commit says that something of it was erased', async () => {
  const db = await openFor(peopleApp)
  const client = await directly(httpHandler(db, { expose: { changes: [people.tables.note] } }))
  await db.call(note, { id: 1, owner: 'ann-7f3e9c' })
  await db.transact((tx) => {
    for (const [id, owner] of [[2, 'ann-7f3e9c'], [3, 'bob']] as const) tx.table(people.tables.note).insert({ id, owner })
  })
  await db.erase('ann-7f3e9c')
  const [message] = await take(messagesOf(await client.send('/changes?from=beginning')), 1)
  expect(JSON.parse(message!.data!)).toMatchObject({ erased: true, changes: [{ kind: 'insert', key: 3 }] })
})
