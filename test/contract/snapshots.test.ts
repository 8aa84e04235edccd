/** Reading one moment: snapshots, the past, and how both fit to the stream. api.md, section 3. */
import { describe, expect, test, vi } from 'vitest'
import { SluiceError, type Database, type OpenOptions, type Snapshot } from 'sluicedb'
import bankApp, { bank, deposit, openAccount, setNote } from '../support/apps/bank-app.js'
import oddApp, { odd, prepare, putSample } from '../support/apps/odd-app.js'
import { newFolder, openFor, openOnce, refused, take } from '../support/fixture.js'
import { openInside } from '../support/inside.js'
import { canon, expectSame } from '../support/same.js'

const hosts: readonly (readonly [string, boolean, OpenOptions])[] = [
  ['workers 0, memory', false, { workers: 0, partitions: 4 }],
  ['workers 2, memory', false, { workers: 2, partitions: 8 }],
  ['workers 1, os', true, { workers: 1, partitions: 4, durability: 'os' }],
]
const entries = (from: Database | Snapshot) => [...from.table(bank.tables.entry).scan()].map((row) => row.n)

describe.each(hosts)('%s', (_, disk, options) => {
  const start = async () => {
    const db = await openFor(bankApp, disk ? { ...options, path: await newFolder() } : options)
    await db.call(openAccount, { id: 'ann', balance: 0 })
    return db
  }
  const many = (db: Database, from: number, count: number) =>
    Promise.all(
      Array.from({ length: count }, (_, at) => db.submit(deposit, { to: 'ann', amount: 1, n: from + at })),
    )

  test('a snapshot is at the newest commit that it shows', async () => {
    const db = await start()
    for (let round = 0; round < 5; round += 1) {
      const receipts = await many(db, round * 10, 10)
      using snapshot = db.snapshot()
      expect(snapshot.position).toBe(
        receipts
          .map((receipt) => receipt.position)
          .sort()
          .at(-1),
      )
      expect(entries(snapshot)).toHaveLength((round + 1) * 10)
      expect(snapshot.table(bank.tables.account).get('ann')?.balance).toBe((round + 1) * 10)
    }
  })

  test('as of any position: the end of its batch, and its own position says which that is', async () => {
    const db = await start()
    const receipts = [
      ...(await many(db, 0, 12)),
      ...(await many(db, 100, 5)),
      await db.submit(deposit, { to: 'ann', amount: 1, n: 999 }),
    ]
    const commits = await take(
      db.changes({ from: 'beginning', tables: [bank.tables.entry] }),
      receipts.length,
    )
    for (const { position } of receipts) {
      using past = await db.asOf(position)
      expect(past.position >= position).toBe(true)
      const shown = commits
        .filter((commit) => commit.position <= past.position)
        .map((commit) => commit.changes[0]!.key[1])
      expectSame(
        entries(past),
        shown.sort((one, other) => one - other),
        `as of ${position}, which calls itself ${past.position}`,
      )
    }
  })

  test(
    'a reader and the stream from its position: nothing twice, nothing missing',
    { timeout: 30_000 },
    async () => {
      const db = await start()
      const working = (async () => {
        for (let round = 0; round < 60; round += 1) await many(db, round * 10, 10)
      })()
      const seams: { readonly shown: number[]; readonly position: Snapshot['position'] }[] = []
      for (let round = 0; round < 15; round += 1) {
        await new Promise((resolve) => setImmediate(resolve))
        using snapshot = db.snapshot()
        seams.push({ shown: entries(snapshot), position: snapshot.position })
      }
      await working
      for (const { shown, position } of seams) {
        const rest = await take(
          db.changes({ from: position, tables: [bank.tables.entry] }),
          600 - shown.length,
        )
        const numbers = [...shown, ...rest.map((commit) => commit.changes[0]!.key[1])].sort(
          (one, other) => one - other,
        )
        expectSame(
          numbers,
          Array.from({ length: 600 }, (_, n) => n),
          `a snapshot at ${position} and what came after it`,
        )
      }
    },
  )

  test('as of a Date: the last batch that was done by then', async () => {
    const db = await start()
    await many(db, 0, 3)
    await new Promise((resolve) => setTimeout(resolve, 25))
    const between = new Date()
    await new Promise((resolve) => setTimeout(resolve, 25))
    await many(db, 100, 3)
    using past = await db.asOf(between)
    expect(entries(past)).toEqual([0, 1, 2])
    using now = await db.asOf(new Date())
    expect(entries(now)).toHaveLength(6)
  })

  test('a moment that cannot be is refused', async () => {
    const db = await start()
    for (const moment of ['x', '', null, 5, {}, new Date(NaN)])
      await refused(db.asOf(moment as never), 'INVALID_INPUT', 'INVALID_USE')
  })

  test('an open snapshot shows the same through thousands of changes', { timeout: 30_000 }, async () => {
    const db = await start()
    await many(db, 0, 50)
    using snapshot = db.snapshot()
    const before = canon([entries(snapshot), ...snapshot.table(bank.tables.account)])
    for (let round = 0; round < 300; round += 1) {
      await Promise.all([
        ...Array.from({ length: 8 }, (_, at) => db.call(setNote, { id: 'ann', note: `${round} ${at}` })),
        db.call(deposit, { to: 'ann', amount: 1, n: 1_000 + round }),
      ])
      if (round % 50 === 0)
        expect(canon([entries(snapshot), ...snapshot.table(bank.tables.account)])).toBe(before)
    }
    expect(canon([entries(snapshot), ...snapshot.table(bank.tables.account)])).toBe(before)
    expect([...snapshot.table(bank.tables.account).index.byBalance.scan()].map((row) => row.balance)).toEqual(
      [50],
    )
  })
})

test.each([0, 1])(
  'workers %i: a snapshot held over more changes than memory expires by name; writers go on',
  { timeout: 60_000 },
  async (workers) => {
    const db = await openFor(oddApp, { workers, partitions: 2, memory: { bytes: 24 * 2 ** 20 } })
    await db.call(prepare)
    await db.call(putSample, { id: 1, text: 'first' })
    const snapshot = db.snapshot()
    const read = () => {
      try {
        return snapshot.table(odd.tables.sample).get(1)?.text
      } catch (error) {
        return SluiceError.is(error) ? error.code : error
      }
    }
    let expired = 0
    for (let round = 0; round < 3_000; round += 1) {
      await db.call(putSample, { id: 1, text: String(round % 10).repeat(20_000) })
      const seen = read()
      if (seen === 'SNAPSHOT_TOO_OLD') expired += 1
      else expect([seen, expired], `round ${round}`).toEqual(['first', 0])
    }
    expect(expired, '60 MB of versions do not fit into 24 MiB').toBeGreaterThan(0)
    snapshot.close()
    expect(db.table(odd.tables.sample).get(1)?.text).toBe('9'.repeat(20_000))
  },
)

test.each([false, true])('a database that was opened again is at the position and the time of its last commit; from a checkpoint: %s', async (fromCheckpoint) => {
  const path = await newFolder()
  const first = await openOnce(bankApp, { path, durability: 'os' })
  await first.call(openAccount, { id: 'ann', balance: 0 })
  const receipts = await Promise.all(Array.from({ length: 5 }, (_, n) => first.submit(deposit, { to: 'ann', amount: 1, n })))
  const before = first.snapshot()
  expect(before.position).toBe(receipts.map(({ position }) => position).sort().at(-1))
  if (fromCheckpoint) await first.checkpoint()
  await first.close()

  const second = await openFor(bankApp, { path, durability: 'os' })
  using after = second.snapshot()
  expect([after.position, after.time]).toEqual([before.position, before.time])
  expect(second.stats().position).toBe(before.position)
})

// It once asked again which batch is durable, after it had opened its view: who went on from there missed what had become durable in between.
test('a snapshot that something becomes durable beside is where its rows are', async () => {
  const { db, engine, close } = await openInside(bankApp)
  await db.call(openAccount, { id: 'ann' })
  const { position } = await db.submit(deposit, { to: 'ann', amount: 1, n: 1 })
  const open = engine.openView.bind(engine)
  vi.spyOn(engine, 'openView').mockImplementation(() => {
    const view = open()
    vi.spyOn(engine, 'durable', 'get').mockReturnValue(engine.durable + 1)
    return view
  })
  const snapshot = db.snapshot()
  vi.restoreAllMocks()
  expect([entries(snapshot), snapshot.position]).toEqual([[1], position])
  snapshot.close()
  await close()
})
