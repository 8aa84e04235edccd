/** References of strength `batch` (R62): looked at when the batch is sealed, and by each transaction where that finds something. */
import { select, describe as describeApp, SluiceError, type Database } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import { partitionOfOne } from '../../engine/schema/placement.js'
import batchApp, { byBatch } from '../support/apps/batch-references-app.js'
import type { Step } from '../support/apps/references-app.js'
import { newFolder, openFor, refused } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'

const { inLane, across, dieWhenRunAgain, countRuns, shop } = byBatch
const lane = (db: Database, at: number, ...steps: readonly Step[]) => db.call(inLane, { at, steps })
const codeOf = (error: unknown): string => (SluiceError.is(error) ? error.code : String(error))
/** Calls that are waiting together on a quiet database are one batch. */
const outcomes = (calls: readonly Promise<unknown>[]) => Promise.all(calls.map((call) => call.then(() => 'ok', codeOf)))
const orders = (db: Database) => [...db.query(select(shop.tables.order))].map(({ id }) => id).sort()
const parcels = (db: Database) => [...db.query(select(shop.tables.parcel))].map(({ id, order }) => [id, order]).sort()
/** Numbers whose rows are in a partition that has its lane before, or behind, the one of 1. */
const partitions = 4
const [before, behind] = [(a: number, b: number) => a < b, (a: number, b: number) => a > b].map((comes) => {
  const at = (n: number) => partitionOfOne(n, partitions)
  return Array.from({ length: 40 }, (_, n) => n + 2).find((n) => comes(at(n), at(1)))!
})

describe('R62: a batch counts as a whole', () => {
  const opened = () => openFor(batchApp, { workers: 0, partitions })

  test('a row may come before the one that it refers to, in any lane, and nothing strays for it', async () => {
    const db = await opened()
    for (const at of [before, behind]) {
      expect(await outcomes([lane(db, at!, ['parcel', 'put', { id: at!, order: 1 }]), lane(db, 1, ['order', 'put', { id: 1 }])])).toEqual(['ok', 'ok'])
      expect(await outcomes([lane(db, 1, ['order', 'delete', 1]), lane(db, at!, ['parcel', 'set', at!, { order: null }])])).toEqual(['ok', 'ok'])
    }
    expect(db.stats().batches).toMatchObject({ strays: 0, referenceReruns: 0, crossPartitionLane: 0 })
  })

  test('one that refers to nothing at the end is refused by itself; nobody else of the batch is', async () => {
    const db = await opened()
    const stream = db.changes()
    const lost = lane(db, 2, ['parcel', 'put', { id: 2, order: 7 }])
    expect(await outcomes([lane(db, 1, ['order', 'put', { id: 1 }]), lost, lane(db, 3, ['parcel', 'put', { id: 3, order: null }])])).toEqual(['ok', 'CONSTRAINT', 'ok'])
    const error = await refused(lost, 'CONSTRAINT')
    expect(error.details).toEqual({ table: 'shop.parcel', key: 2, constraint: 'order', value: 7, other: 'shop.order' })
    expect(db.stats().batches.referenceReruns).toBe(1)
    expect(parcels(db)).toEqual([[3, null]])
    const { value } = await stream[Symbol.asyncIterator]().next()
    expect(value!.changes.map(({ table, key }: { table: string; key: unknown }) => [table, key]).concat()).toEqual([['shop.order', 1]])
    await stream.close()
  })

  test('a row that others still refer to at the end stays', async () => {
    const db = await opened()
    await outcomes([lane(db, 1, ['order', 'put', { id: 1 }]), lane(db, 2, ['parcel', 'put', { id: 2, order: 1 }])])
    const kept = lane(db, 1, ['order', 'delete', 1])
    expect(await outcomes([kept, lane(db, 3, ['order', 'put', { id: 3 }])])).toEqual(['CONSTRAINT', 'ok'])
    expect((await refused(kept, 'CONSTRAINT')).details).toEqual({ table: 'shop.parcel', key: 2, constraint: 'order', value: 1, other: 'shop.order' })
    expect(orders(db)).toEqual([1, 3])
    expect(await outcomes([lane(db, 1, ['order', 'delete', 1]), lane(db, 2, ['parcel', 'set', 2, { order: 3 }])])).toEqual(['ok', 'ok'])
    expect(db.stats().batches.referenceReruns).toBe(1)
  })

  test('a batch that runs again is one of strong references: there a row must find what is there when its transaction ends', async () => {
    const db = await opened()
    const calls = [lane(db, 1, ['item', 'put', { order: 1, no: 1 }]), lane(db, 1, ['order', 'put', { id: 1 }]), lane(db, 1, ['item', 'put', { order: 1, no: 2 }]), lane(db, behind!, ['parcel', 'put', { id: behind!, order: 99 }])]
    expect(await outcomes(calls)).toEqual(['CONSTRAINT', 'ok', 'ok', 'CONSTRAINT'])
    // It leaves no mark on the next one.
    expect(await outcomes([lane(db, 5, ['item', 'put', { order: 5, no: 1 }]), lane(db, 5, ['order', 'put', { id: 5 }])])).toEqual(['ok', 'ok'])
    expect(db.stats().batches.referenceReruns).toBe(1)
  })

  test('a row that ends as it began is nothing to look at, whatever happened to it between', async () => {
    const db = await opened()
    await outcomes([lane(db, 1, ['order', 'put', { id: 1 }]), lane(db, 2, ['parcel', 'put', { id: 2, order: 1 }])])
    expect(await outcomes([
      lane(db, 1, ['order', 'delete', 1]), lane(db, 1, ['order', 'put', { id: 1, n: 2 }]),
      lane(db, 2, ['parcel', 'set', 2, { order: 77 }]), lane(db, 2, ['parcel', 'set', 2, { order: 1 }]),
      lane(db, 3, ['parcel', 'put', { id: 3, order: 78 }]), lane(db, 3, ['parcel', 'delete', 3]),
    ])).toEqual(Array(6).fill('ok'))
    expect(db.stats().batches.referenceReruns).toBe(0)
  })

  test('strong references beside them are checked as ever; an interactive transaction is one of its batch', async () => {
    const db = await opened()
    expect(await outcomes([lane(db, 1, ['note', 'put', { id: 1, parcel: 8 }]), lane(db, 2, ['parcel', 'put', { id: 2 }])])).toEqual(['CONSTRAINT', 'ok'])
    expect(db.stats().batches.referenceReruns).toBe(0)
    await refused(db.transact((tx) => tx.table(shop.tables.parcel).insert({ id: 4, order: 9 })), 'CONSTRAINT')
    await db.transact((tx) => {
      tx.table(shop.tables.parcel).insert({ id: 4, order: 9 })
      tx.table(shop.tables.order).insert({ id: 9 })
    })
    expect(parcels(db)).toEqual([[2, null], [4, 9]])
    expect(db.stats().batches.referenceReruns).toBe(1)
  })

  test('what was refused never reaches the log; a checkpoint and recovery have what was answered', async () => {
    const path = await newFolder()
    const inside = await openInside(batchApp, { path, partitions })
    for (let round = 0; round < 6; round += 1) {
      await outcomes([lane(inside.db, round, ['parcel', 'put', { id: round, order: 100 + (round % 2) }]), lane(inside.db, 100, ['order', 'put', { id: 100, n: round }])])
      if (round === 2) await inside.db.checkpoint()
    }
    inside.check()
    const rows = parcels(inside.db)
    expect(rows).toEqual([[0, 100], [2, 100], [4, 100]])
    await inside.close()
    expect(framesIn(path).map(({ records }) => records.length)).toEqual([2, 1, 2, 1, 2, 1])
    const again = await openInside(batchApp, { path, partitions })
    expect(parcels(again.db)).toEqual(rows)
    await again.close()
  })

  test('describe() tells the strength; none of it takes a call to the cross-partition lane by itself', () => {
    const parcel = describeApp(batchApp).tables.find(({ name }) => name === 'shop.parcel')!
    expect(parcel.references.map(({ name, strength, crossPartition }) => [name, strength, crossPartition])).toEqual([['order', 'batch', false], ['ofItem', 'batch', false]])
  })
})

test('a worker that is lost while a batch runs again takes only its own call along, and the batch goes on where it was', { timeout: 60_000 }, async () => {
  const db = await openFor(batchApp, { workers: 2, partitions: 2 })
  const other = Array.from({ length: 20 }, (_, n) => n).find((n) => partitionOfOne(n, 2) === 0)!
  const dying = Array.from({ length: 20 }, (_, n) => n).find((n) => partitionOfOne(n, 2) === 1)!
  const counted = db.call(countRuns, { at: other })
  const all = [lane(db, other, ['parcel', 'put', { id: other, order: 50 }]), db.call(dieWhenRunAgain, { at: dying }), db.call(across, { steps: [['order', 'put', { id: 3 }]] }), counted]
  expect(await outcomes(all)).toEqual(['CONSTRAINT', 'WORKER_LOST', 'ok', 'ok'])
  // In order, proving references, and proving them once more: the end is not looked at again.
  expect(await counted).toBe(3)
  expect([orders(db), parcels(db), db.stats().batches.referenceReruns]).toEqual([[3], [], 1])
})
