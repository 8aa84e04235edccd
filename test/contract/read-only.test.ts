/** Procedures with `readonly: true`: what they see, what they cannot do, and how they end. api.md, section 1. */
import { describe, expect, test } from 'vitest'
import { SluiceError, type Database, type OpenOptions } from 'sluicedb'
import application, { bookAndLook, ends, kept, moveStock, overview, put, stockOf, store, tries, triesInside, writeAttempts } from '../support/apps/reads-app.js'
import { newFolder, openFor, refused, take, thrown } from '../support/fixture.js'

const hosts: readonly (readonly [string, boolean, OpenOptions])[] = [
  ['workers 0', false, { workers: 0, partitions: 4 }],
  ['workers 1, with a path', true, { workers: 1, partitions: 4, durability: 'os' }],
  ['workers 2', false, { workers: 2, partitions: 8 }],
]

describe.each(hosts)('%s', (_, disk, options) => {
  const start = async (): Promise<Database> => {
    const db = await openFor(application, disk ? { ...options, path: await newFolder() } : options)
    await db.submitMany(put, [
      { id: 'a', kind: 'tea', stock: 10 },
      { id: 'b', kind: 'cup', stock: 20 },
      { id: 'c', kind: 'tea', stock: 30 },
    ])
    return db
  }

  test('reads rows, ranges, indexes and counts of one moment, and calls others that only read', async () => {
    const db = await start()
    await db.call(moveStock, { from: 'a', to: 'b', n: 1 })
    await db.call(moveStock, { from: 'c', to: 'a', n: 2 })
    const globals = [Date, Math.random, setTimeout, crypto]
    const before = Date.now() - 60_000
    const { at, chance, ...seen } = await db.call(overview)
    expect(seen).toEqual({
      items: 3,
      moves: 4,
      sum: 60,
      teas: ['a', 'c'],
      cups: ['b'],
      last: [{ item: 'c', n: 2, amount: -1 }, { item: 'b', n: 1, amount: 1 }],
      moved: 0,
      first: 10,
      same: true,
    })
    expect(at).toBeGreaterThan(before)
    await db.call(overview)
    expect([Date, Math.random, setTimeout, crypto].map((one, n) => one === globals[n]), 'the world is back').toEqual([true, true, true, true])
    const again = await db.call(overview)
    expect(again.chance, 'another run draws something else').not.toEqual(chance)
    expect(again.at).toBeGreaterThanOrEqual(at)
  })

  test('what has settled is seen, and its receipt names the moment it has read', async () => {
    const db = await start()
    for (let n = 0; n < 20; n += 1) {
      const written = await db.submit(put, { id: 'd', kind: 'cup', stock: n })
      const read = await db.submit(stockOf, { id: 'd' }, { id: `the same id ${n % 2}` })
      expect([read.value, read.repeated]).toEqual([n, false])
      expect(read.position >= written.position).toBe(true)
      using past = await db.asOf(read.position)
      expect(past.table(store.tables.item).get('d')?.stock).toBe(n)
    }
  })

  test('it sees one moment while others write: the sum is always the same', async () => {
    const db = await start()
    const writing = (async () => {
      for (let round = 0; round < 20; round += 1) {
        await Promise.all(Array.from({ length: 20 }, (_, n) => db.call(moveStock, { from: 'c', to: 'b', n: round * 20 + n }).catch(() => undefined)))
      }
    })()
    let reads = 0
    let isOver = false
    void writing.then(() => (isOver = true))
    while (!isOver) {
      const { sum, moved, moves } = await db.call(overview)
      expect([sum, moved, moves % 2]).toEqual([60, 0, 0])
      reads += 1
      await new Promise((resolve) => setImmediate(resolve))
    }
    await writing
    expect(reads).toBeGreaterThan(1)
  })

  test('it is never sequenced: no batch, no record in the log', async () => {
    const db = await start()
    const before = db.stats()
    for (let n = 0; n < 10; n += 1) await db.call(overview)
    await db.submitMany(stockOf, Array.from({ length: 3_000 }, () => ({ id: 'a' })))
    const after = db.stats()
    expect([after.batches.requests, after.log.frames, after.position]).toEqual([before.batches.requests, before.log.frames, before.position])
  })

  test('many of them: outcomes in the order of the inputs, errors at their place', async () => {
    const db = await start()
    const outcomes = await db.submitMany(stockOf, [{ id: 'a' }, { id: 'none' }, { id: 'c' }])
    expect(outcomes.map((outcome) => (outcome.ok ? outcome.value : outcome.error.reason))).toEqual([10, 'NO_ITEM', 30])
  })

  test('every way of writing fails, caught or not, also where a procedure that writes has called it', async () => {
    const db = await start()
    for (const what of writeAttempts) {
      const { message } = await refused(db.call(tries, { what }), 'INVALID_USE')
      expect(message, what).toContain('readonly: true')
      await refused(db.call(triesInside, { what }), 'INVALID_USE')
    }
    expect(await db.call(stockOf, { id: 'a' })).toBe(10)
    expect(await db.call(stockOf, { id: 'b' })).toBe(20)
  })

  test('called by a procedure that writes it sees what that has written', async () => {
    const db = await start()
    expect(await db.call(bookAndLook, { id: 'a' })).toEqual({ items: 3, sum: 61, first: 11, stock: 11 })
    const many = await Promise.all(Array.from({ length: 30 }, () => db.call(bookAndLook, { id: 'a' })))
    expect(many.map(({ stock }) => stock).sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, n) => 12 + n))
  })

  test('it ends as any procedure: reasons, errors of its own, what is no plain data', async () => {
    const db = await start()
    const absent = await refused(db.call(stockOf, { id: 'none' }), 'ABORTED')
    expect(store.aborts.NO_ITEM.is(absent) && absent.details.id).toBe('none')
    const own = await refused(db.call(ends, { how: 'throws' }), 'PROCEDURE_FAILED')
    expect(own.cause).toBeInstanceOf(RangeError)
    for (const how of ['promise', 'accessor']) await refused(db.call(ends, { how }), 'PROCEDURE_FAILED')
    for (const how of ['timer', 'reason', 'scan']) await refused(db.call(ends, { how }), 'INVALID_USE')
    await refused(db.call(ends, { how: 1 } as never), 'INVALID_INPUT')
    await refused(db.call(stockOf, { id: 'a' }, { signal: AbortSignal.abort() }), 'CANCELLED')
  })

  test('what it keeps is of no use when it has ended', async () => {
    const db = await start()
    expect(await db.call(ends, { how: 'keeps' })).toBe('kept')
    thrown(() => kept.tx.db.item.get('a'), 'INVALID_USE')
    thrown(() => kept.row.stock, 'INVALID_USE')
    thrown(() => [...kept.scan], 'INVALID_USE')
    thrown(() => kept.tx.call(stockOf, { id: 'a' }), 'INVALID_USE')
  })

  test('a closed database refuses it', async () => {
    const db = await start()
    await db.close()
    await refused(db.call(stockOf, { id: 'a' }), 'DATABASE_CLOSED')
  })

  test('the stream does not show it', async () => {
    const db = await start()
    const stream = db.changes({ from: 'now' })
    await db.call(overview)
    await db.call(put, { id: 'z', kind: 'cup', stock: 1 })
    const [commit] = await take(stream, 1)
    expect(commit!.procedure).toBe('store.put')
  })
})

test('inside a procedure that reads the database cannot be called', async () => {
  const { app, column: c, service } = await import('sluicedb')
  let db: Database
  const errors: unknown[] = []
  const odd = service('odd', {})
  const other = odd.procedure('other', { input: { n: c.int().default(0) }, readonly: true }, () => 1)
  const calls = odd.procedure('calls', { readonly: true }, () => {
    void db.call(other).catch((error: unknown) => void errors.push(error))
    void db.transact(() => 1).catch((error: unknown) => void errors.push(error))
  })
  db = await openFor(app(import.meta.url, [odd]))
  await db.call(calls)
  await new Promise((resolve) => setImmediate(resolve))
  expect(errors.map((error) => SluiceError.is(error, 'INVALID_USE'))).toEqual([true, true])
})
