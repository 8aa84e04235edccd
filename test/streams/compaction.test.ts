/**
 * Retention within segments, as users meet it: what is left of the log, who is told that something is gone, and who never notices. The
 * definition of what leaves is tested in test/engine/stream/log-compactor.test.ts, crashes there and in test/wal/segment-rewrite.test.ts.
 */
import { join } from 'node:path'
import { app, column as c, replica, service, table, type AnyChange, type Commit, type Database, type OpenOptions, type Position } from 'sluicedb'
import { expect, test, vi } from 'vitest'
import { Salvage, restoreDatabase, Source, verifyDatabase, type VerifyReport } from '../../dist/engine/index.js'
import { limits } from '../../engine/base/limits.js'
import { newFolder, openFor, openOnce, refused, until } from '../support/fixture.js'

// The machine may be shared: every opening starts threads.
vi.setConfig({ testTimeout: 60_000 })

const shop = service('shop', {
  tables: {
    cart: table({ columns: { id: c.int(), note: c.text(), n: c.int() }, key: ['id'] }),
    order: table({ columns: { id: c.int(), total: c.int() }, key: ['id'] }),
  },
  events: { viewed: { page: c.text() }, ordered: { id: c.int() } },
})
const { cart, order } = shop.tables
const { viewed, ordered } = shop.events
const fill = shop.procedure('fill', { input: { id: c.int(), note: c.text(), n: c.int() } }, (tx, it) => void tx.db.cart.put(it))
const drop = shop.procedure('drop', { input: { id: c.int() } }, (tx, { id }) => void tx.db.cart.delete(id))
const buy = shop.procedure('buy', { input: { id: c.int() } }, (tx, { id }) => {
  tx.db.order.put({ id, total: id })
  tx.emit('ordered', { id })
})
const both = shop.procedure('both', { input: { id: c.int(), note: c.text() } }, (tx, { id, note }) => {
  tx.db.cart.put({ id, note, n: 0 })
  tx.db.order.put({ id, total: 0 })
})
const view = shop.procedure('view', { input: { page: c.text() } }, (tx, { page }) => void tx.emit('viewed', { page }))
const application = app(import.meta.url, [shop])
const board = service('board', { replicas: { orders: replica(() => order, { columns: ['total'], strength: 'eventual' }) } })
const withReplica = app(import.meta.url, [shop, board])
const other = service('other', { tables: { thing: table({ columns: { id: c.int() }, key: ['id'] }) }, events: { seen: { id: c.int() } } })

const options = (path: string, retention?: OpenOptions['retention']): OpenOptions => ({ path, durability: 'os', history: { bytes: 0 }, checkpoint: { logBytes: Infinity }, retention })
const note = 'x'.repeat(90_000)

/** More than the first segment, which has 4 MiB: three carts, many times over, and an order now and then. Answers the positions. */
async function fillLog(db: Database, from = 0, count = 36): Promise<Position[]> {
  const positions: Position[] = []
  for (let n = from; n < from + count; n += 1) {
    positions.push((await db.submit(fill, { id: n % 3, note, n }, { id: n === 2 ? 'asked' : undefined })).position)
    if (n % 9 === 0) await db.call(buy, { id: n })
  }
  return positions
}
async function checkpoints(db: Database): Promise<void> {
  for (let n = 0; n < 2; n += 1) await db.checkpoint()
}

async function commitsOf(db: Database, from: 'beginning' | Position = 'beginning'): Promise<Commit[]> {
  const last = db.stats().position
  const commits: Commit[] = []
  for await (const commit of db.changes({ from })) {
    commits.push(commit)
    if (commit.position >= last) break
  }
  return commits
}
const cartsIn = (commits: readonly Commit[]): number[] => commits.flatMap(({ changes }) => changes.filter((one) => cart.is(one)).map((change: AnyChange) => (change.after as { n: number } | undefined)?.n ?? -1))
const ordersIn = (commits: readonly Commit[]): number[] => commits.flatMap(({ changes }) => changes.filter((one) => order.is(one)).map(({ key }) => key as number))

async function verified(path: string): Promise<VerifyReport> {
  const source = await Source.open(path, 'beside')
  try {
    return await verifyDatabase(source, () => undefined)
  } finally {
    await source.close()
  }
}

test('E-45: of a compacted table the log keeps the newest change of each key, a delete too; who asks for what is gone is told', async () => {
  const path = await newFolder()
  const db = await openOnce(application, options(join(path, 'data'), { compact: [cart] }))
  await db.call(fill, { id: 99, note, n: 0 })
  const early = (await db.submit(fill, { id: 99, note, n: 1 })).position
  await db.call(drop, { id: 99 })
  const positions = await fillLog(db)
  const before = await commitsOf(db)
  expect(db.stats().log.compactedBytes).toBe(0)
  await checkpoints(db)
  expect(db.stats().log.compactedBytes).toBeGreaterThan(3_500_000)

  const check = async (it: Database): Promise<void> => {
    expect([...it.table(cart)].map(({ n }) => n)).toEqual([33, 34, 35])
    const left = await commitsOf(it)
    const inFirst = cartsIn(before).length - cartsIn(left).length
    expect(inFirst).toBeGreaterThan(15)
    // Of the first segment: the tombstone. All carts have newer changes in the second.
    expect(cartsIn(left)).toEqual([-1, ...cartsIn(before).slice(inFirst + 1)])
    expect(ordersIn(left)).toEqual(ordersIn(before))
    const whole = new Map(before.map((commit) => [commit.position, commit]))
    for (const commit of left) expect({ ...whole.get(commit.position), compacted: undefined }).toEqual({ ...commit, compacted: undefined })
    expect(await commitsOf(it, early)).toEqual(left)

    const { oldest } = (await refused(it.asOf(early), 'HISTORY_GONE')).details as { oldest: Position }
    await refused(it.asOf(new Date(before[1]!.time)), 'HISTORY_GONE', 'INVALID_USE')
    await refused(it.fork(early), 'HISTORY_GONE')
    using past = await it.asOf(oldest)
    expect([...past.table(cart)].map(({ n }) => n)).toEqual([33, 34, 35])
    await refused(it.compensate(early), 'HISTORY_GONE')
    const history = it.history(cart, 0)
    expect(history.oldest! > early).toBe(true)
    const versions: number[] = []
    for await (const { after } of history) versions.push(after!.n)
    expect(versions).toEqual(cartsIn(before).slice(inFirst + 1).filter((n) => n % 3 === 0))
    const gone = (async () => {
      for await (const _ of it.history(cart, 0, { to: early })) return
    })()
    expect((await refused(gone, 'HISTORY_GONE')).details).toEqual({ oldest: history.oldest })
    // A recorded answer is in the checkpoints.
    expect(await it.submit(fill, { id: 2, note, n: 2 }, { id: 'asked' })).toMatchObject({ repeated: true, position: positions[2] })
  }
  // Memory is whole for a while longer, moments that it does not hold are gone.
  expect(cartsIn(await commitsOf(db))).toEqual(cartsIn(before))
  await refused(db.asOf(early), 'HISTORY_GONE')
  const during = await verified(join(path, 'data'))
  expect(during).toMatchObject({ isWhole: true, findings: [] })
  await db.backup(join(path, 'backup'))
  await db.close()
  for (const name of ['data', 'backup']) {
    const report = await verified(join(path, name))
    expect(report).toMatchObject({ isWhole: true, rows: 3 + ordersIn(before).length, log: { after: 0 } })
    expect(report.log.compactedUpTo).toBe(during.log.compactedUpTo)
    expect(report.log.compactedFrames).toBeGreaterThan(15)
  }
  // Without the option nothing more leaves, and what has left is still said; a backup says it too.
  const again = await openOnce(application, options(join(path, 'backup')))
  await check(again)
  await again.close()
  const source = await Source.open(join(path, 'data'), 'alone')
  const to = { kind: 'position' as const, batch: Number.parseInt(early.slice(0, 16), 16), index: 0 }
  await refused(restoreDatabase(source, join(path, 'restored'), to, () => undefined), 'HISTORY_GONE')
  const salvage = Salvage.begin(source, () => undefined)
  expect(salvage.report).toMatchObject({ isWhole: true, losses: [] })
  expect(salvage.report.state!.from).toContain('checkpoint')
  await salvage.close()
  await source.close()
})

test('E-44: events of a type leave when they are old enough, those of others and the changes of their commits stay', async () => {
  const path = await newFolder()
  const writer = await openOnce(application, options(path, { streams: [{ events: [viewed], age: 0 }, { tables: [order], bytes: 0 }] }))
  for (let n = 0; n < 20; n += 1) await writer.call(view, { page: note })
  await fillLog(writer)
  await checkpoints(writer)
  await writer.close()
  const db = await openFor(application, options(path))
  const left = await commitsOf(db)
  expect(left.flatMap(({ events }) => events.filter((one) => viewed.is(one)))).toEqual([])
  expect(cartsIn(left)).toEqual(Array.from({ length: 36 }, (_, n) => n))
  const orders = left.flatMap(({ events }) => events.filter((one) => ordered.is(one)))
  expect(orders.map(({ payload }) => payload.id)).toEqual([0, 9, 18, 27])
  // Of the orders themselves those of the first segment are gone, but for the ones that none follows.
  expect(ordersIn(left).length).toBeLessThan(4)
  expect(left.filter(({ compacted }) => compacted === true).map(({ events }) => events[0]!.type)).toEqual(Array.from({ length: 4 - ordersIn(left).length }, () => 'shop.ordered'))
  expect(db.table(order).count()).toBe(4)
  const others: AnyChange[] = []
  for await (const commit of db.changes({ from: 'beginning', events: [ordered] })) {
    others.push(...(commit.changes as readonly AnyChange[]))
    if (commit.events.some(({ payload }) => payload.id === 27)) break
  }
  expect(others).toEqual([])
})

test('a consumer that is behind holds compaction back, up to its bytes, and reads all that was written', async () => {
  const path = await newFolder()
  const db = await openFor(application, options(path, { compact: [cart] }))
  const seen: number[] = []
  const late = await db.consumer('late', { tables: [cart] }, (commit) => void seen.push(...cartsIn([commit as Commit])))
  await db.call(fill, { id: 0, note, n: 0 })
  await until(() => seen.length === 1, 'the first one')
  await late.pause()
  await fillLog(db, 1, 35)
  await checkpoints(db)
  expect(db.stats().log.compactedBytes).toBe(0)
  await late.resume()
  await until(() => seen.length === 36, 'all')
  expect(seen).toEqual(Array.from({ length: 36 }, (_, n) => n))
  await until(async () => {
    await db.checkpoint() // its mark follows
    return db.stats().log.compactedBytes > 3_500_000
  }, 'it holds nothing any more')
})

test('a parked commit that is too long to be kept, and has lost something since, is told as gone and not delivered in part', async () => {
  const path = await newFolder()
  const keep = { compact: [cart] }
  const parking = { tables: [cart, order], key: ({ changes }: { changes: readonly unknown[] }) => (changes.length === 2 ? 'two' : 'one'), redelivery: { limit: 1 } }
  const db = await openOnce(application, options(path, keep))
  const consumer = await db.consumer('parks', parking, ({ changes }) => {
    if (changes.length === 2) throw new Error('not now')
  })
  await db.call(both, { id: 7, note: 'x'.repeat(1_200_000) })
  await until(() => consumer.parked().length === 1, 'it is set aside')
  await db.call(fill, { id: 7, note, n: 1 })
  await fillLog(db)
  await until(async () => {
    await db.checkpoint()
    return db.stats().log.compactedBytes > 1_200_000
  }, 'its mark has passed')
  await db.close()

  const again = await openFor(application, options(path, keep))
  let delivered = 0
  const same = await again.consumer('parks', parking, ({ changes }) => void (delivered += changes.length === 2 ? 0 : changes.length))
  await same.unpark('two')
  await until(() => same.inspect().lastFailure !== undefined, 'it is told')
  expect(same.inspect()).toMatchObject({ lastFailure: { code: 'HISTORY_GONE' }, stoppedBy: undefined, parked: 1 })
  expect(delivered).toBe(0)
})

test('a stream that reads a segment while it is replaced hands out every commit that is left, once, in order', async () => {
  const path = await newFolder()
  const writer = await openOnce(application, options(path))
  await fillLog(writer)
  const all = await commitsOf(writer)
  await writer.close()
  // Memory does not hold them any more.
  const db = await openFor(application, options(path, { compact: [cart] }))
  const stream = db.changes({ from: 'beginning', buffer: 2 })
  const read: Commit[] = []
  for await (const commit of stream) {
    read.push(commit)
    if (read.length === 7) await checkpoints(db)
    if (commit.position >= all.at(-1)!.position) break
  }
  expect(db.stats().log.compactedBytes).toBeGreaterThan(3_500_000)
  const left = await commitsOf(db)
  const positions = read.map(({ position }) => position)
  expect(positions).toEqual([...new Set(positions)].sort())
  expect(left.map(({ position }) => position).filter((position) => !positions.includes(position))).toEqual([])
  expect(positions.slice(0, 7)).toEqual(all.slice(0, 7).map(({ position }) => position))
  for (const commit of read) expect(all.find(({ position }) => position === commit.position)!.changes).toEqual(expect.arrayContaining(commit.changes as unknown[]))
})

test('what opening needs is never compacted: without an older checkpoint nothing is; a replica holds back what it has not copied, no more', async () => {
  const path = await newFolder()
  const db = await openOnce(withReplica, options(path, { compact: [cart], streams: [{ tables: [order], age: 0 }] }))
  await fillLog(db)
  await db.checkpoint() // there is no older one yet
  expect(db.stats().log.compactedBytes).toBe(0)
  await db.close()
  const again = await openFor(withReplica, options(path, { compact: [cart] }))
  expect([...again.table(cart)].map(({ n }) => n)).toEqual([33, 34, 35])
  const carts: number[] = []
  for await (const commit of again.changes({ from: 'beginning', tables: [cart] })) {
    carts.push(...cartsIn([commit as Commit]))
    if (carts.at(-1) === 35) break
  }
  expect(carts).toEqual(Array.from({ length: 36 }, (_, n) => n))
  await until(async () => {
    await again.checkpoint()
    return again.stats().log.compactedBytes > 3_500_000
  }, 'the replica has copied all')
  expect(again.stats().replicas).toMatchObject([{ isBehind: false }])
})

test('options that mean nothing are refused by name', async () => {
  const open = (retention: unknown) => refused(openOnce(application, options('/nowhere/at/all', retention as OpenOptions['retention'])), 'INVALID_USE')
  const stream = (one: unknown) => open({ streams: [one] })
  for (const [retention, says] of [
    [{ compact: cart }, 'retention.compact is a list'],
    [{ compact: [viewed] }, 'table'],
    [{ compact: [other.tables.thing] }, 'other.thing'],
    [{ compact: [cart, cart] }, '"shop.cart" twice'],
    [{ streams: {} }, 'retention.streams is a list'],
    [{ compacts: [cart] }, 'has no "compacts"'],
    [[], 'is an object'],
  ] as const) expect((await open(retention)).message).toContain(says)
  for (const [one, says] of [
    [{ events: [viewed] }, 'retention.streams[0] has an age, bytes or both'],
    [{ age: '1h' }, 'retention.streams[0] names tables, events or both'],
    [{ events: [cart], age: '1h' }, 'event'],
    [{ tables: [ordered], age: '1h' }, 'table'],
    [{ tables: [order], age: 'soon' }, 'retention.streams[0].age'],
    [{ tables: [order], bytes: -1 }, 'retention.streams[0].bytes'],
    [{ tables: [order], bytes: 1, keys: [] }, 'has no "keys"'],
    [null, 'is an object'],
  ] as const) expect((await stream(one)).message).toContain(says)
  const streams = (count: number): OpenOptions => ({ retention: { streams: Array.from({ length: count }, () => ({ events: [viewed], bytes: 0 })) } })
  expect((await refused(openOnce(application, streams(limits.retentionStreamsMax + 1)), 'INVALID_USE')).message).toContain('at most 64 streams')
  expect((await refused(openOnce(application, streams(limits.retentionStreamsMax)), 'INVALID_USE')).message).toContain('need a path')
})
