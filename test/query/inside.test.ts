/** Queries inside of procedures, on the caller's thread, on one worker and on two, and inside of interactive transactions. */
import { count, gt, select, type Database } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import queryApp, {
  allItems, between, chosen, choose, compareWithAll, everyBlob, inCity, misuse, openCustomer, ordersOf, placeOrder, report, reward,
  richest, shop, spent, statement,
} from '../support/apps/query-app.js'
import { openFor, refused, thrown } from '../support/fixture.js'
import { randomOf } from '../support/random.js'

const cities = ['Bern', 'Basel', 'Chur']

async function filled(workers: number): Promise<Database> {
  const db = await openFor(queryApp, { workers, partitions: 4 })
  for (let n = 0; n < 12; n += 1) await db.call(openCustomer, { id: `c${n}`, city: cities[n % 3]!, credit: (n * 7) % 10 })
  for (let n = 0; n < 20; n += 1) await db.call(placeOrder, { customer: `c${n % 5}`, product: `p${n % 3}`, total: n })
  return db
}

describe.each([0, 1, 2])('with %i workers', (workers) => {
  test('procedures get the answers of the database', async () => {
    const db = await filled(workers)
    expect(await db.call(statement, { customer: 'c1' })).toEqual(db.query(ordersOf, { customer: 'c1' }))
    expect(db.query(ordersOf, { customer: 'c1' }).map((row) => [row.n, row.total, row.lines])).toEqual([[1, 1, [{ count: 1 }]], [2, 6, [{ count: 2 }]], [3, 11, [{ count: 3 }]], [4, 16, [{ count: 4 }]]])
    expect(await db.call(report, { city: 'Bern' })).toEqual(db.query(spent, { city: 'Bern' }))
    expect(await db.call(report, { city: 'Bern' })).toEqual([{ id: 'c0', orders: 4, total: 30, mean: 7.5 }, { id: 'c3', orders: 4, total: 42, mean: 10.5 }])
    expect(await db.call(choose, { ids: ['c3', 'nobody', 'c1', 'c3'] })).toEqual([{ id: 'c1', credit: 7 }, { id: 'c3', credit: 1 }])
    expect(await db.call(choose, { ids: [] })).toEqual([])
  })

  test('a query sees what its own transaction has written', async () => {
    const db = await filled(workers)
    expect(await db.call(reward, { city: 'Basel', by: 100 })).toEqual([{ id: 'c7', credit: 109 }, { id: 'c10', credit: 0 }, { id: 'c4', credit: 8 }, { id: 'c1', credit: 7 }].sort((a, b) => b.credit - a.credit))
    expect(db.query(inCity, { city: 'Basel' })[0]).toMatchObject({ id: 'c7', credit: 109 })
  })

  test('a query that leaves the partition of its call makes it a stray, which answers as well', async () => {
    const db = await filled(workers)
    await db.call(statement, { customer: 'c1' })
    expect(db.stats().batches.strays).toBe(0)
    expect(await db.call(compareWithAll, { id: 'c1' })).toBe(8)
    expect(db.stats().batches.strays).toBe(1)
  })

  test('a wrong use dooms the transaction, caught or not', async () => {
    const db = await openFor(queryApp, { workers, partitions: 4 })
    for (const how of ['no way', 'not mine', 'no query', 'option']) await refused(db.call(misuse, { how }), 'INVALID_USE')
    await refused(db.call(misuse, { how: 'parameter' }), 'INVALID_INPUT')
    expect(db.table(shop.tables.product).has('never')).toBe(false)
  })

  test('many calls that read by query and write what they found are those of the serial order', async () => {
    const db = await filled(workers)
    const random = randomOf(7)
    const rewards = Array.from({ length: 200 }, () => ({ city: random.pick(cities), by: 1 + random.below(9) }))
    // One after the other by hand: the richest of the city, the greatest id among equals.
    const credits = new Map(db.query(select(shop.tables.customer)).map((row) => [row.id, { city: row.city, credit: row.credit }]))
    const outcomes = await db.submitMany(reward, rewards)
    expect(outcomes.every(({ ok }) => ok)).toBe(true)
    for (const { city, by } of rewards) {
      const ranked = [...credits].filter(([, one]) => one.city === city).sort(([a, x], [b, y]) => y.credit - x.credit || (a < b ? 1 : -1))
      ranked[0]![1].credit += by
    }
    const found = db.query(select(shop.tables.customer).columns((row) => ({ id: row.id, credit: row.credit })))
    expect(Object.fromEntries(found.map(({ id, credit }) => [id, credit]))).toEqual(Object.fromEntries([...credits].map(([id, { credit }]) => [id, credit])))
  })
})

describe('in db.transact', () => {
  test('a query sees the snapshot and its own writes, and what it read is validated', async () => {
    const db = await filled(0)
    let runs = 0
    const answer = await db.transact(
      async (tx) => {
        runs += 1
        const found = tx.query(between, { low: 5, high: 7 }).map((row) => row.id)
        // Somebody moves into the range that was read.
        if (runs === 1) await db.call(openCustomer, { id: 'late', city: 'Chur', credit: 6 })
        tx.table(shop.tables.customer).put({ id: 'mine', city: 'Chur', credit: 7 })
        return [found, tx.query(between, { low: 5, high: 7 }).map((row) => row.id)]
      },
      { retries: 1 },
    )
    expect(runs).toBe(2)
    expect(answer[0]).toContain('late')
    expect(answer[1]).toEqual([...answer[0]!, 'mine'].sort((a, b) => creditOf(db, a) - creditOf(db, b) || (a < b ? -1 : 1)))
  })

  test('a row beside the range that was read is no conflict', async () => {
    const db = await filled(0)
    await db.transact(async (tx) => {
      tx.query(chosen, { ids: ['c1', 'c2'] })
      await db.call(openCustomer, { id: 'c3', city: 'Chur', credit: 0 })
      tx.table(shop.tables.customer).update('c1', { credit: 50 })
    })
    expect(db.query(chosen, { ids: ['c1'] })).toEqual([{ id: 'c1', credit: 50 }])
  })

  test('what it cannot ask dooms it', async () => {
    const db = await filled(0)
    await refused(db.transact((tx) => void tx.query(everyBlob)), 'INVALID_USE')
    await refused(db.transact((tx) => {
      try {
        tx.query(inCity, {} as never)
      } catch {
        tx.table(shop.tables.customer).delete('c1')
      }
    }), 'INVALID_INPUT')
    expect(db.table(shop.tables.customer).has('c1')).toBe(true)
    // The tables of all services are there.
    expect(await db.transact((tx) => tx.query(allItems))).toEqual([])
  })
})

const creditOf = (db: Database, id: string): number => db.table(shop.tables.customer).get(id)!.credit

test('a query that is kept with its answers shares nothing with later ones', async () => {
  const db = await filled(0)
  const first = db.query(richest)
  first.length = 0
  expect(db.query(richest)).toHaveLength(3)
  using snapshot = db.snapshot()
  await db.call(reward, { city: 'Bern', by: 1_000 })
  expect(snapshot.query(richest).every((row) => row.credit < 10)).toBe(true)
  expect(db.query(richest)[0]!.credit).toBeGreaterThan(1_000)
  snapshot.close()
  thrown(() => snapshot.query(richest), 'INVALID_USE')
})

test('the past answers too', async () => {
  const db = await filled(0)
  const { position } = await db.submit(openCustomer, { id: 'new', city: 'Zug', credit: 5 })
  await db.call(openCustomer, { id: 'new', city: 'Zug', credit: 6 })
  using past = await db.asOf(position)
  expect(past.query(inCity, { city: 'Zug' })).toMatchObject([{ id: 'new', credit: 5 }])
  expect(db.query(inCity, { city: 'Zug' })).toMatchObject([{ id: 'new', credit: 6 }])
})

test('rows that a query reads count against the limit of its transaction', async () => {
  const db = await filled(0)
  // 100,000 rows for an interactive one.
  const rows = db.query(select(shop.tables.customer).where((row) => gt(row.credit, -1)).columns(() => ({ n: count() })))[0]!.n
  const times = Math.ceil(100_000 / rows) + 1
  await refused(db.transact((tx) => {
    for (let n = 0; n < times; n += 1) tx.query(between, { low: -1, high: 1_000 })
    tx.table(shop.tables.customer).delete('c1')
  }), 'OUT_OF_SPACE')
})
