/**
 * What event logs were found to get wrong (reference/weaver-eventlog.md, §8), as tests of streams. Each is named after the bug.
 */
import { type Commit, type Database, only, Position, type Stream } from 'sluicedb'
import { expect, test } from 'vitest'
import streamsApp, { count, fill, move, setThing, store } from '../support/apps/streams-app.js'
import { newFolder, openFor, take, until, within } from '../support/fixture.js'
import { canon } from '../support/same.js'

const { part, label } = store.tables
const turn = () => new Promise((resolve) => setImmediate(resolve))
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const counts = (db: Database, n: number, width = 8) =>
  Promise.all(Array.from({ length: width }, async (_, lane) => {
    for (let call = lane; call < n; call += width) await db.call(count, { shelf: `s${call % 5}`, n: 0 })
  }))

test('§8.1 (commanded #327): catch-up goes over to live while progress is reported, and nothing is skipped', { timeout: 30_000 }, async () => {
  const db = await openFor(streamsApp, { path: await newFolder(), durability: 'os', partitions: 4 })
  await counts(db, 600, 64)
  const reported: string[] = []
  const caught: string[] = []
  const seen: Commit[] = []
  const stream = db.changes({ from: 'beginning', buffer: 16, onProgress: (position) => void reported.push(position), onCaughtUp: (position) => void caught.push(position) })
  const reading = stream.each(async (commit) => {
    seen.push(commit)
    if (seen.length % 50 === 0) await pause(2)
  })
  await counts(db, 600, 64)
  await until(() => seen.length === 1_200, 'all commits arrived')
  await pause(150) // a report is due
  await counts(db, 20, 1)
  await until(() => seen.length === 1_220, 'it goes on live')
  const first = await stream.caughtUp
  expect(seen.map(({ position }) => position)).toEqual([...new Set(seen.map(({ position }) => position))].sort())
  const rows = new Map<string, unknown>()
  for (const { changes: [change] } of seen) {
    expect(canon(change!.before), change!.table).toBe(canon(rows.get(canon(change!.key))))
    rows.set(canon(change!.key), change!.after)
  }
  expect(first >= caught[0]!).toBe(true)
  expect(reported.length).toBeGreaterThan(0)
  expect(reported).toEqual(reported.toSorted())
  await stream.close()
  await reading
})

test('§8.2 (Marten #4953): commits that end in another order than they began never let a reader skip one', { timeout: 30_000 }, async () => {
  const db = await openFor(streamsApp, { workers: 1, partitions: 4 })
  const stream = db.changes({ buffer: 4 })
  const answered: string[] = []
  const calls = Array.from({ length: 300 }, async (_, n) => {
    // Some of one lane, some of all of them, in no order.
    const { position } = await (n % 3 === 0 ? db.submit(move, { from: `s${n % 5}`, to: `s${(n + 1) % 5}`, n: 1 }) : db.submit(count, { shelf: `s${n % 7}`, n: 0 }))
    answered.push(position)
  })
  const seen = await take(stream, 300, 'the commits of all calls', 20_000)
  await Promise.all(calls)
  expect(seen.map(({ position }) => position)).toEqual(answered.toSorted())
})

test.each([{ path: false }, { path: true }])('§8.3 (Eventuous #559): a filter that matches nothing still moves on, also where almost nothing happens; on disk: $path', async ({ path }) => {
  const db = await openFor(streamsApp, path ? { path: await newFolder(), durability: 'os' } : {})
  await db.call(count, { shelf: 'a', n: 0 })
  const reported: string[] = []
  const stream = db.changes({ from: 'beginning', tables: [label], onProgress: (position) => void reported.push(position) })
  const iterator = stream[Symbol.asyncIterator]()
  const next = iterator.next()
  const first = await within(2_000, 'it has caught up with nothing', stream.caughtUp)
  const { position } = await db.submit(count, { shelf: 'a', n: 0 }) // the only thing that happens
  await until(() => (reported.at(-1) ?? '') >= position, 'progress is reported')
  expect(stream.position! >= position).toBe(true)
  expect(first < position).toBe(true)
  // From there on nothing is missed, and nothing is looked at again.
  const token = Position.parse(reported.at(-1)!)
  await stream.close()
  expect((await next).done).toBe(true)
  await db.call(setThing, { id: 1, value: 1 })
  const [commit] = await take(db.changes({ from: token }), 1)
  expect(commit!.changes[0]!.table).toBe('other.thing')
})

test('§8.4 (Marten 9.25.0): a read that ends at its limit stands where it ended, not at the head', { timeout: 30_000 }, async () => {
  const db = await openFor(streamsApp, { path: await newFolder(), durability: 'os' })
  await counts(db, 400, 64)
  await db.call(fill, { shelf: 'x', from: 0, n: 300 })
  const last = await db.submit(setThing, { id: 1, value: 1 })
  const all = await take(db.changes({ from: 'beginning' }), 402)
  for (const buffer of [1, 7, 64]) {
    const stream = db.changes({ from: 'beginning', buffer })
    const iterator = stream[Symbol.asyncIterator]()
    for (let n = 0; n < 100; n += 1) {
      const { value } = await iterator.next()
      expect(value!.position).toBe(all[n]!.position)
      // Where it reads ahead, it does not say so; where it has nothing ahead, it says no more than that.
      expect(stream.position! < all[n + 1]!.position, `after ${n + 1} commits it stands before the next one`).toBe(true)
      expect(stream.position! < last.position).toBe(true)
      if (n % 33 !== 0) continue
      const [again] = await take(db.changes({ from: stream.position! }), 1)
      expect(again!.position).toBe(all[n + 1]!.position)
    }
    await stream.close()
  }
})

test('§8.5 (emmett PR #252): handlers that wait are awaited one by one, and what they throw ends the stream', async () => {
  const db = await openFor(streamsApp)
  await counts(db, 30)
  let [running, most, done] = [0, 0, 0]
  const stream = db.changes({ from: 'beginning' })
  const all = stream.each(async () => {
    running += 1
    most = Math.max(most, running)
    await turn()
    await turn()
    running -= 1
    done += 1
    if (done === 20) throw new Error('enough')
  })
  await expect(within(5_000, 'it ends', all)).rejects.toThrow('enough')
  expect([most, done, running]).toEqual([1, 20, 0])
  const before = stream.position
  await db.call(count, { shelf: 'a', n: 0 })
  expect([done, stream.position]).toEqual([20, before])
  expect((await stream[Symbol.asyncIterator]().next()).done).toBe(true)
})

test('§8.6 (Debezium, KurrentDB): a transaction over partitions comes whole or not at all, in order, also across a resume', { timeout: 30_000 }, async () => {
  const db = await openFor(streamsApp, { partitions: 8 })
  const working = Promise.all(Array.from({ length: 200 }, (_, n) => db.call(move, { from: `s${n % 9}`, to: `s${(n * 5 + 1) % 9}x`, n: n % 3 })))
  let from: 'beginning' | Position = 'beginning'
  const seen: Commit[] = []
  while (seen.length < 200) {
    const stream: Stream<Commit> = db.changes({ from, buffer: 3 })
    for await (const commit of stream) {
      seen.push(commit)
      expect([commit.changes.length, commit.events.length]).toEqual([2, 1])
      if (seen.length % 11 === 0 || seen.length === 200) break
    }
    from = stream.position!
    // What its buffer held when it was cut was not handed out.
    expect(from >= seen.at(-1)!.position).toBe(true)
  }
  await working
  expect(seen.map(({ position }) => position)).toEqual([...new Set(seen.map(({ position }) => position))].sort())
  // Of events too: a stream that is cut between two of one transaction begins again with the first.
  const events = db.events([store.events.moved], { from: 'beginning' })
  const moved = await take(events, 200)
  expect(moved.map(({ position }) => position)).toEqual(seen.map(({ position }) => position))
})

test('§8.13 (KurrentDB, RethinkDB): who is slow has a bounded buffer, reads on from the log, and returns to live', { timeout: 60_000 }, async () => {
  const db = await openFor(streamsApp, { path: await newFolder(), durability: 'os', history: { bytes: 0 } })
  const caught: string[] = []
  const stream = db.changes({ tables: [part], onCaughtUp: (position) => void caught.push(position) })
  const iterator = stream[Symbol.asyncIterator]()
  const first = iterator.next()
  await until(() => caught.length === 1, 'it is live')
  await db.call(count, { shelf: 'a', n: 0 })
  await first
  // More than the ring of frames holds (16 MiB), while nobody asks.
  const note = 'n'.repeat(1_000)
  for (let n = 0; n < 34; n += 1) await db.call(fill, { shelf: `shelf ${n}`, from: 0, n: 500, note })
  expect(db.stats().streams).toMatchObject({ count: 1, behind: 1 })
  const seen: Commit[] = []
  for (let n = 0; n < 34; n += 1) seen.push((await within(10_000, `commit ${n}`, iterator.next())).value!)
  expect(seen.map(({ changes }) => `${(changes[0]!.key as readonly unknown[])[0]} ${changes.length}`)).toEqual(Array.from({ length: 34 }, (_, n) => `shelf ${n} 500`))
  const next = iterator.next()
  await until(() => caught.length === 2, 'it has caught up again')
  expect(db.stats().streams).toMatchObject({ behind: 0, inFiles: 0 })
  await db.call(count, { shelf: 'b', n: 0 })
  expect((await within(2_000, 'live again', next)).value!.changes[0]!.key).toEqual(['b', 0])
  await stream.close()
})

test('§8.14 (MongoDB updateLookup): the after image is the one of the event, and the before image that of the event before', async () => {
  const db = await openFor(streamsApp)
  const stream = db.changes({ tables: [only(part, { key: ['a', 0] })], buffer: 2 })
  for (let n = 0; n < 50; n += 1) await db.call(count, { shelf: 'a', n: 0 })
  await db.call(fill, { shelf: 'a', from: 0, n: 1 }) // and what is there now is another one
  const seen = await take(stream, 51)
  expect(seen.map(({ changes: [change] }) => [change!.before?.count, change!.after?.count])).toEqual([
    ...Array.from({ length: 50 }, (_, n) => [n === 0 ? undefined : n, n + 1]),
    [50, 0],
  ])
  expect(canon(seen.at(-1)!.changes[0]!.after)).toBe(canon(db.table(part).get(['a', 0])))
})
