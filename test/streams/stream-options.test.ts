/** What a stream can be asked for, one thing at a time: slices, snapshots, shapes, policies, and what is refused. */
import { type Commit, type Database, eq, gte, isNull, lt, only, type OnlyWhere, SluiceError } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import streamsApp, { count, type counted, fill, other, setThing, store, work } from '../support/apps/streams-app.js'
import { newFolder, openFor, take, thrown, until, within } from '../support/fixture.js'

const { part, label } = store.tables
type Where = OnlyWhere<typeof counted>['where']
const keysOf = (commits: readonly { readonly changes: readonly { readonly key: unknown }[] }[]) => commits.flatMap(({ changes }) => changes.map(({ key }) => String(key)))
const countMany = async (db: Database, n: number): Promise<void> => {
  for (let call = 0; call < n; call += 1) await db.call(count, { shelf: `s${call % 4}`, n: 0 })
}

describe('snapshot then changes', () => {
  test('rows first, as inserts with a mark, then everything after them; also under load', { timeout: 30_000 }, async () => {
    const db = await openFor(streamsApp, { partitions: 4 })
    for (let shelf = 0; shelf < 4; shelf += 1) await db.call(fill, { shelf: `s${shelf}`, from: 0, n: 400 })
    const stream = db.changes({ tables: [part], from: 'snapshot' })
    const rows = new Map<string, number>()
    let [marks, live, isOver] = [0, 0, false]
    const reading = stream.each(async (commit) => {
      for (const change of commit.changes) {
        const key = String(change.key)
        if (commit.snapshot) expect([change.kind, rows.has(key)]).toEqual(['insert', false])
        else expect(change.before?.count, key).toBe(rows.get(key))
        rows.set(key, change.after!.count)
      }
      if (commit.snapshot) {
        expect([isOver, stream.position]).toEqual([false, undefined])
        marks += 1
      } else {
        isOver = true
        live += 1
      }
      if (marks < 4) await new Promise((resolve) => setImmediate(resolve))
    })
    await countMany(db, 300)
    await until(() => rows.size === 1_600 && [...rows.values()].reduce((sum, one) => sum + one, 0) === 300, 'all counts arrived')
    expect([marks, live > 0, live <= 300]).toEqual([4, true, true])
    await stream.close()
    await reading
  })

  test('the snapshot is let go of when it has been read, and when the stream ends before', async () => {
    const db = await openFor(streamsApp)
    await db.call(fill, { shelf: 'a', from: 0, n: 2_000 })
    const before = db.stats().snapshots
    for (let n = 0; n < 2_000; n += 1) {
      const stream = db.changes({ tables: [part], from: 'snapshot' })
      if (n % 2 === 0) await stream[Symbol.asyncIterator]().next()
      await stream.close()
    }
    expect(db.stats().snapshots).toBe(before)
    db.snapshot().close() // there is a slot left
  })

  test('of slices: their rows only, and of an empty table nothing but what comes', async () => {
    const db = await openFor(streamsApp)
    await db.call(fill, { shelf: 'a', from: 0, n: 10 })
    await db.call(fill, { shelf: 'b', from: 0, n: 10 })
    const some = db.changes({ tables: [only(part, { prefix: ['a'], where: (row) => gte(row.n, 7), kinds: ['update'] }), label], from: 'snapshot' })
    expect(keysOf(await take(some, 1)).sort()).toEqual(['a,7', 'a,8', 'a,9'])
    const none = db.changes({ tables: [label], from: 'snapshot' })
    const next = none[Symbol.asyncIterator]().next()
    const position = await within(2_000, 'it has caught up', none.caughtUp)
    expect(none.position).toBe(position)
    await none.close()
    expect((await next).done).toBe(true)
  })
})

describe('shapes', () => {
  test('a Web stream takes nothing before it is asked, and its cancel ends the stream', async () => {
    const db = await openFor(streamsApp)
    await countMany(db, 5)
    const stream = db.changes({ from: 'beginning' })
    const readable = stream.readable()
    const start = stream.position
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(stream.position).toBe(start)
    const reader = readable.getReader()
    const positions: string[] = []
    for (let n = 0; n < 5; n += 1) {
      const { value } = await reader.read()
      positions.push(value!.position)
      if (n < 4) expect(stream.position).toBe(value!.position)
    }
    expect(positions).toEqual(positions.toSorted())
    await reader.cancel()
    expect((await stream[Symbol.asyncIterator]().next()).done).toBe(true)
    expect(db.stats().streams.count).toBe(0)
  })

  test('a signal ends each shape, and a wait for caughtUp', async () => {
    const db = await openFor(streamsApp)
    const controller = new AbortController()
    const { signal } = controller
    const each = db.changes({ signal }).each(() => undefined)
    const reader = db.changes({ signal }).readable().getReader()
    const read = reader.read()
    const neverRead = db.changes({ signal }).caughtUp
    controller.abort()
    await within(1_000, 'each ends', each)
    expect((await within(1_000, 'the reader ends', read)).done).toBe(true)
    await expect(neverRead).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  test('what a listener throws ends the stream', async () => {
    const db = await openFor(streamsApp)
    const stream = db.changes({ onCaughtUp: () => { throw new Error('no') } })
    await expect(within(1_000, 'it ends', stream.each(() => undefined))).rejects.toThrow('no')
  })
})

describe('slow subscribers', () => {
  test("'fail' ends with OVERLOADED once more than its buffer waits, not while it has not caught up", async () => {
    const db = await openFor(streamsApp)
    await countMany(db, 20)
    const stream = db.changes({ from: 'beginning', slow: 'fail', buffer: 5 })
    const iterator = stream[Symbol.asyncIterator]()
    for (let n = 0; n < 20; n += 1) await iterator.next()
    const next = iterator.next()
    await stream.caughtUp
    await countMany(db, 1)
    const last = (await next).value!.position
    await countMany(db, 5)
    await new Promise((resolve) => setImmediate(resolve))
    expect(db.stats().streams.count, 'five wait').toBe(1)
    await countMany(db, 1)
    await expect(iterator.next()).rejects.toMatchObject({ code: 'OVERLOADED' })
    expect((await iterator.next()).done).toBe(true)
    // It can go on from where it was cut off.
    const rest = await take(db.changes({ from: last }), 6)
    expect(rest).toHaveLength(6)
  })

  test("'conflate' merges what was missed by key", async () => {
    const db = await openFor(streamsApp)
    const stream = db.changes({ tables: [part], slow: 'conflate', buffer: 2 })
    const iterator = stream[Symbol.asyncIterator]()
    const first = iterator.next()
    await countMany(db, 103)
    const commits: Commit[] = [await first, await iterator.next(), await iterator.next(), await iterator.next()].map(({ value }) => value as Commit)
    expect(commits.map(({ merged }) => merged)).toEqual([undefined, undefined, undefined, 100])
    expect(commits[3]!.changes.map((change) => [String(change.key), change.kind, change.before?.['count'], change.after?.['count']])).toEqual([
      ['s3,0', 'insert', undefined, 25],
      ['s0,0', 'update', 1, 26],
      ['s1,0', 'update', 1, 26],
      ['s2,0', 'update', 1, 26],
    ])
    expect([commits[3]!.procedure, commits[3]!.requestId, stream.position! >= commits[3]!.position]).toEqual([undefined, undefined, true])
    const live = iterator.next()
    await countMany(db, 1)
    expect((await live).value!.merged).toBeUndefined()
    await stream.close()
  })

  test("'wait' keeps the log that it has not read; another stream is told that it is gone", { timeout: 60_000 }, async () => {
    const db = await openFor(streamsApp, { path: await newFolder(), durability: 'os', retention: { bytes: 1 }, history: { bytes: 0 }, checkpoint: { logBytes: Infinity } })
    await db.call(count, { shelf: 'a', n: 0 })
    const waits = db.changes({ from: 'beginning', slow: 'wait' })
    const spills = db.changes({ from: 'beginning' })
    // More than one segment of 64 MiB, and two checkpoints behind it.
    const note = 'n'.repeat(4_000)
    for (let n = 0; n < 18; n += 1) await db.call(fill, { shelf: 's', from: 0, n: 1_000, note: `${note}${n}` })
    await db.checkpoint()
    await db.checkpoint()
    const first = await within(10_000, 'the log is there', waits[Symbol.asyncIterator]().next())
    expect(first.value!.procedure).toBe('store.count')
    await waits.close()
    await db.checkpoint()
    const error = await spills[Symbol.asyncIterator]().next().then(() => 'it went on', (reason: unknown) => reason)
    expect(SluiceError.is(error, 'HISTORY_GONE'), String(error)).toBe(true)
  })

  test('ten thousand subscribers that are not concerned are not looked at', { timeout: 30_000 }, async () => {
    const db = await openFor(streamsApp)
    const streams = Array.from({ length: 10_000 }, (_, n) => {
      const tables = [n % 2 === 0 ? only(part, { key: ['none', n] }) : only(part, { where: (row) => eq(row.count, -n) })]
      return db.changes({ tables })
    })
    const waiting = streams.map((stream) => stream[Symbol.asyncIterator]().next())
    await new Promise((resolve) => setImmediate(resolve))
    let asked = 0
    const watched = db.changes({ tables: [only(part, { where: (row) => lt(row.count, 3), prefix: ['s0'] })] })
    const seen = take(watched, 2).then((commits) => (asked = commits.length))
    await countMany(db, 9)
    expect(await within(5_000, 'the one that is', seen)).toBe(2)
    expect(asked).toBe(2)
    await db.call(count, { shelf: 'none', n: 4_444 })
    expect((await within(5_000, 'one of ten thousand', waiting[4_444]!)).value!.changes[0]!.key).toEqual(['none', 4_444])
    for (const stream of streams) await stream.close()
    expect((await Promise.all(waiting)).filter(({ done }) => done === true)).toHaveLength(9_999)
    expect(db.stats().streams.count).toBe(0)
  })
})

test('slices of events: by their payload, in streams of commits and of events, live and from the log', async () => {
  const db = await openFor(streamsApp)
  const steps = Array.from({ length: 4 }, (_, count) => ({ do: 'counted' as const, count, note: count === 2 ? null : `n${count}` }))
  const live = db.events(only(store.events.counted, { where: (it) => eq(it.count, 3) }))
  const next = live[Symbol.asyncIterator]().next()
  await db.call(work, { steps: [{ do: 'moved', shelf: 'a', n: 1 }] })
  await db.call(work, { steps })
  expect((await within(2_000, 'the live one', next)).value!.payload).toEqual({ count: 3, note: 'n3' })
  await live.close()
  const counts = async (where: Where) =>
    (await take(db.changes({ from: 'beginning', events: [only(store.events.counted, { where })] }), 1))[0]!.events.map(({ payload }) => payload.count)
  expect(await counts((it) => isNull(it.note))).toEqual([2])
  expect(await counts((it) => gte(it.note, 'n1'))).toEqual([1, 3])
  expect(await counts((it) => lt(it.count, 2))).toEqual([0, 1])
})

test('services: all their tables and events', async () => {
  const db = await openFor(streamsApp)
  const stream = db.changes({ services: [other] })
  await countMany(db, 3)
  await db.call(setThing, { id: 1, value: 2 })
  expect((await take(stream, 1))[0]!.changes[0]!.table).toBe('other.thing')
})

test('what is wrong is refused at the call', async () => {
  const db = await openFor(streamsApp)
  const wrong: readonly (() => unknown)[] = [
    () => db.changes({ slow: 'drop' as never }),
    () => db.changes({ buffer: 0 }),
    () => db.changes({ buffer: 65_537 }),
    () => db.changes({ buffer: 1.5 }),
    () => db.changes({ onProgress: 1 as never }),
    () => db.changes({ onCaughtUp: 'x' as never }),
    () => db.changes({ from: 'snapshot' }),
    () => db.changes({ from: 'snapshot', events: [store.events.moved] }),
    () => db.changes({ from: 'somewhere' as never }),
    () => db.changes({ services: [part] as never }),
    () => db.changes({ services: store as never }),
    () => db.changes({ slow: 'conflate' }),
    () => db.changes({ slow: 'conflate', tables: [part], events: [store.events.moved] }),
    () => db.events(store.events.moved, { tables: [part] } as never),
    () => db.changes().each(undefined as never),
    () => only(store as never, {}),
    () => only(part, undefined as never),
    () => only(part, { keys: [] } as never),
    () => only(part, { key: ['a'] as never }),
    () => only(part, { key: ['a', '1'] as never }),
    () => only(part, { prefix: [] as never }),
    () => only(part, { prefix: ['a', 1] as never }),
    () => only(label, { prefix: '' }),
    () => only(label, { prefix: 1 as never }),
    () => only(other.tables.thing, { prefix: 1 as never }),
    () => only(part, { kinds: [] }),
    () => only(part, { kinds: ['upsert'] as never }),
    () => only(part, { columns: ['nothing'] as never }),
    () => only(store.events.moved, {} as never),
    () => only(store.events.moved, { where: undefined } as never),
    () => only(store.events.moved, { key: 'a' } as never),
    () => only(store.events.moved, { where: (it: { shelf: never }) => eq(it.shelf, 'a'), kinds: ['insert'] } as never),
    () => db.changes({ tables: [only(store.events.moved, { where: (it) => eq(it.n, 1) })] as never }),
    () => db.changes({ events: [only(part, {})] as never }),
    () => db.events(only(part, {}) as never),
    () => db.events(part as never),
  ]
  for (const [n, run] of wrong.entries()) {
    const found = run.toString().includes('.each(') ? await (run() as Promise<void>).catch((error: unknown) => error) : thrown(run, 'INVALID_USE')
    expect(SluiceError.is(found, 'INVALID_USE'), `${n}: ${run.toString()}`).toBe(true)
  }
  thrown(() => only(part, { where: (() => true) as never }), 'INVALID_DEFINITION')
  thrown(() => only(store.events.moved, { where: (() => true) as never }), 'INVALID_DEFINITION')
  thrown(() => only(store.events.moved, { where: 'n = 1' as never }), 'INVALID_DEFINITION')
  expect(String(thrown(() => only(store.events.moved, { where: (it) => eq((it as never as { m: typeof it.n }).m, 1) }), 'INVALID_DEFINITION'))).toContain('eq()')
  expect(String(thrown(() => only(store.events.moved, { where: (it) => eq(it.n, 'a' as never) }), 'INVALID_DEFINITION'))).toContain('cannot be compared')
  for (const buffer of [1, 65_536]) await db.changes({ buffer }).close()
  expect(db.stats().streams.count).toBe(1) // each() of nothing has not ended its stream
})
