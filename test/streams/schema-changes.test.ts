/** A change of the schema stands in the log, and streams tell of it in its place. */
import { app, column as c, type Commit, type Database, gte, only, Position, type SchemaChange, service, table } from 'sluicedb'
import { httpHandler } from 'sluicedb/http'
import { describe, expect, test } from 'vitest'
import { newFolder, openFor, openOnce, take, thrown, until, within } from '../support/fixture.js'
import { type Message, messagesOf } from '../support/http.js'

/** The same shop, three times: a column more, then a table and an event more, a rule wider and another type. */
function version(number: 1 | 2 | 3) {
  const price = number === 3 ? c.bigint() : c.int().max(100)
  const columns = number === 1 ? { id: c.int(), price } : { id: c.int(), price, currency: c.text().default('EUR') }
  const item = table({ columns: columns as { id: ReturnType<typeof c.int>; price: ReturnType<typeof c.int> }, key: ['id'] })
  const paid = { id: c.int(), total: c.int() }
  const shop = service('shop', {
    tables: number === 3 ? { item, note: table({ columns: { id: c.int(), text: c.text() }, key: ['id'] }) } : { item },
    events: number === 3 ? { paid, sent: { id: c.int() } } : { paid },
  })
  const put = shop.procedure('put', { input: { id: c.int() } }, (tx, { id }) => {
    tx.db.item.put({ id, price: number === 3 ? (BigInt(id) as never) : id % 100 })
    ;(tx.emit as (name: string, payload: object) => void)('paid', { id, total: id })
  })
  const migrations = { 2: { 'shop.item': (row: Record<string, unknown>) => ({ ...row, price: BigInt(row['price'] as number) }) } }
  const application = number === 3 ? app(import.meta.url, [shop], { version: 2, migrations }) : app(import.meta.url, [shop])
  return { application, shop, put, item }
}
const [one, two, three] = [version(1), version(2), version(3)]

async function write(path: string, { application, put }: typeof one, ids: readonly number[], durability: 'os' | 'fsync' = 'os'): Promise<string> {
  const db = await openOnce(application, { path, durability })
  let last = ''
  for (const id of ids) last = (await db.submit(put, { id })).position
  await db.close()
  return last
}

/** Commits by the ids that they have put, schemas by what is another one, in the order in which they came. */
async function told(db: Database, options: object, end: number): Promise<string[]> {
  const found: string[] = []
  const stream = db.changes({ ...options, onSchema: (change: SchemaChange) => void found.push(`[${change.differences.map(({ what, change }) => `${what}: ${change}`).join('; ')}]`) } as object)
  for await (const { changes, procedure } of stream as AsyncIterable<Commit>) {
    if (procedure === '$migrate') continue
    const id = Number(changes.at(-1)?.key)
    found.push(String(id))
    if (id === end) break
  }
  return found
}
const second = '[shop.item.currency: new → text]'
const migrated = '[shop.item.price: int → bigint; shop.note: new; version: 1 → 2; shop.sent: new]'

describe('an application that is changed twice', () => {
  test('from the beginning, from positions and from a Date: each change before the first commit behind it', { timeout: 30_000 }, async () => {
    const path = await newFolder()
    const before = await write(path, one, [1, 2])
    await write(path, one, [3]) // the same once more: no change
    const last = await write(path, two, [4, 5])
    const later = new Date()
    while (Date.now() <= later.getTime()) await new Promise((resolve) => setTimeout(resolve, 1))
    const db = await openFor(three.application, { path, durability: 'os' })
    const newest = (await db.submit(three.put, { id: 6 })).position
    await db.call(three.put, { id: 7 })

    expect(await told(db, { from: 'beginning' }, 7)).toEqual(['1', '2', '3', second, '4', '5', migrated, '6', '7'])
    expect(await told(db, { from: Position.parse(before) }, 7)).toEqual(['3', second, '4', '5', migrated, '6', '7'])
    expect(await told(db, { from: Position.parse(last) }, 7)).toEqual([migrated, '6', '7'])
    expect(await told(db, { from: Position.parse(newest) }, 7)).toEqual(['7'])
    expect(await told(db, { from: later }, 7)).toEqual([migrated, '6', '7'])
    // Slow, in small buffers, and merged: still in their places.
    expect(await told(db, { from: 'beginning', buffer: 1 }, 7)).toEqual(['1', '2', '3', second, '4', '5', migrated, '6', '7'])
    expect((await told(db, { from: 'beginning', tables: [three.item], slow: 'conflate', buffer: 1 }, 7)).slice(0, 2)).toEqual([second, migrated])
  })

  test('what it says: where it stands, what was and what is', async () => {
    const path = await newFolder()
    const last = await write(path, one, [1, 2])
    const db = await openFor(two.application, { path, durability: 'os' })
    await db.call(two.put, { id: 3 })
    const changes: SchemaChange[] = []
    const stream = db.changes({ from: 'beginning', onSchema: (change) => void changes.push(change) })
    for await (const commit of stream) if (commit.changes[0]!.key === 3) break
    const id = { name: 'id', type: 'int', nullable: false }
    const price = { name: 'price', type: 'int', nullable: false }
    const events = [{ name: 'shop.paid', columns: [id, { name: 'total', type: 'int', nullable: false }] }]
    expect(changes).toEqual([
      {
        position: expect.any(String) as string,
        before: { version: 1, tables: [{ name: 'shop.item', key: ['id'], columns: [id, price] }], events },
        after: { version: 1, tables: [{ name: 'shop.item', key: ['id'], columns: [id, price, { name: 'currency', type: 'text', nullable: false }] }], events },
        differences: [{ what: 'shop.item.currency', change: 'new → text', of: 'shop.item' }],
      },
    ])
    expect(changes[0]!.position >= last && changes[0]!.position < stream.position!).toBe(true)
    // Who goes on from where it stands is told again: it comes before what is behind that place.
    expect(await told(db, { from: changes[0]!.position }, 3)).toEqual([second, '3'])
  })
})

test('an opening that commits nothing changes nothing; its first commit does, also for who follows live and for who sees nothing of it', async () => {
  const path = await newFolder()
  const last = await write(path, one, [1])
  await write(path, two, [])
  const db = await openFor(two.application, { path, durability: 'os' })
  const found: string[] = []
  const live = db.changes({ onSchema: () => void found.push('schema') })
  const living = live.each(({ changes }) => void found.push(String(changes[0]!.key)))
  let positionWhenTold: string | undefined
  const nothing = db.changes({ events: [only(two.shop.events.paid, { where: (it) => gte(it.total, 1_000) })], onSchema: () => void (positionWhenTold = nothing.position) })
  const waiting = nothing.each(() => void found.push('matches'))
  const position = await within(10_000, 'caught up', live.caughtUp)
  expect([found, position.slice(0, 16)]).toEqual([[], last.slice(0, 16)])
  const first = (await db.submit(two.put, { id: 2 })).position
  await db.call(two.put, { id: 3 })
  await until(() => found.length === 3 && positionWhenTold !== undefined && nothing.position! > first, 'both were told')
  expect(found).toEqual(['schema', '2', '3'])
  expect(positionWhenTold!.slice(0, 16), 'it stands before the change until it was told').toBe(last.slice(0, 16))
  for (const stream of [live, nothing]) await stream.close()
  await Promise.all([living, waiting])
})

test('a position behind the last commit of an application, where the log has nothing: what comes next is told', async () => {
  const path = await newFolder()
  const position = await write(path, one, [1])
  await write(path, two, [2])
  const next = await openFor(two.application, { path, durability: 'os' })
  const behind = (BigInt(`0x${position.slice(0, 16)}`) + 3n).toString(16).padStart(16, '0')
  for (const from of [position, `${behind}-00000001`, `${behind}-ffffffff`]) expect(await told(next, { from: Position.parse(from) }, 2)).toEqual([second, '2'])
})

test('a listener is waited for, what it throws ends the stream, and a stream that it closes has ended', async () => {
  const path = await newFolder()
  await write(path, one, [1])
  const db = await openFor(two.application, { path, durability: 'os' })
  await db.call(two.put, { id: 2 })
  const order: string[] = []
  const slow = db.changes({
    from: 'beginning',
    onSchema: async () => {
      order.push('begun')
      await new Promise((resolve) => setTimeout(resolve, 20))
      order.push('done')
    },
  })
  for await (const { changes } of slow) {
    order.push(String(changes[0]!.key))
    if (changes[0]!.key === 2) break
  }
  expect(order).toEqual(['1', 'begun', 'done', '2'])
  const failing = db.events(two.shop.events.paid, { from: 'beginning', onSchema: () => Promise.reject(new Error('the warehouse is closed')) })
  const events: number[] = []
  await expect(failing.each(({ payload }) => void events.push(payload.id))).rejects.toThrow('the warehouse is closed')
  expect(events).toEqual([1])
  const closing = db.changes({ from: 'beginning', onSchema: () => void closing.close() })
  const keys: unknown[] = []
  await closing.each(({ changes }) => void keys.push(changes[0]!.key))
  expect(keys).toEqual([1])
  thrown(() => db.changes({ onSchema: true as never }), 'INVALID_USE')
})

test('over HTTP it is a message of its own, without an id, with what was asked for and nothing else', async () => {
  const path = await newFolder()
  const last = await write(path, one, [1])
  await write(path, two, [2])
  const db = await openFor(three.application, { path, durability: 'os' })
  await db.call(three.put, { id: 3 })
  const client = httpHandler(db, { expose: { changes: [three.item], events: [three.shop.events.paid] } })
  const read = async (query: string, count: number): Promise<readonly Message[]> => take(messagesOf((await client(new Request(`http://here/changes?from=${query}`))) as Response), count)
  const all = await read('beginning&tables=shop.item', 7)
  expect(all.map(({ event, id }) => [event, id !== undefined])).toEqual([['commit', true], ['schema', false], ['commit', true], ['commit', true], ['schema', false], ['commit', true], ['commit', true]])
  const [, added, , , retyped] = all.map(({ data }) => JSON.parse(data!) as SchemaChange)
  expect(added!.differences).toEqual([{ what: 'shop.item.currency', change: 'new → text', of: 'shop.item' }])
  expect(retyped!.differences).toEqual([{ what: 'shop.item.price', change: 'int → bigint', of: 'shop.item' }])
  expect([retyped!.before.tables.map(({ name }) => name), retyped!.after.tables.map(({ name }) => name), retyped!.after.events, retyped!.after.version]).toEqual([['shop.item'], ['shop.item'], [], 2])
  // Nothing about the events that are followed is another one.
  expect((await read(`${last}&events=shop.paid`, 2)).map(({ event }) => event)).toEqual(['commit', 'commit'])
})

test('a database without a path, and one that was never another, tell nothing', async () => {
  const path = await newFolder()
  await write(path, two, [1])
  for (const options of [{}, { path, durability: 'os' as const }]) {
    const db = await openFor(two.application, options)
    await db.call(two.put, { id: 2 })
    expect(await told(db, { from: 'beginning' }, 2)).toEqual(options.path === undefined ? ['2'] : ['1', '2'])
    await db.close()
  }
})
