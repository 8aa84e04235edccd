/**
 * References (R22, R26): a value that refers to a row finds it when the transaction ends, on every way of writing, in a lane and
 * across; what a delete takes along; what it may not delete.
 */
import { describe as describeApp, type AnyChange, type Database, type SluiceError } from 'sluicedb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import referencesApp, { across, billing, inLane, place, shop, type Row, type Step } from '../support/apps/references-app.js'
import { newFolder, openFor, openOnce, proveWhole, refused } from '../support/fixture.js'
import { openInside } from '../support/inside.js'

const { customer, order, line, note, product, coupon, person } = shop.tables
const { bill } = billing.tables

describe.each([0, 2])('with %i workers', (workers) => {
  let db: Database
  let last = 0
  beforeAll(async () => {
    db = await openOnce(referencesApp, { workers, partitions: 4 })
    await db.call(across, { steps: [['product', 'insert', { name: 'pen' }], ['product', 'insert', { name: 'ink' }]] })
  })
  afterAll(async () => {
    proveWhole(db)
    await db.close()
  })

  const run = (id: number, steps: readonly Step[], isAcross = false) => (isAcross ? db.call(across, { steps }) : db.call(inLane, { customer: id, steps }))
  /** A customer of its own, with an order of two lines, one of them noted. */
  const placed = async (): Promise<number> => {
    last += 1
    const id = last
    await run(id, [
      ['note', 'insert', { customer: id, id: 1, order: 1, no: 2 }],
      ['line', 'insert', { customer: id, order: 1, no: 1, product: 'pen' }],
      ['line', 'insert', { customer: id, order: 1, no: 2, product: null }],
      ['order', 'insert', { customer: id, id: 1 }],
      ['customer', 'insert', { id }],
    ])
    return id
  }
  const refusedBy = async (id: number, steps: readonly Step[], isAcross = false): Promise<SluiceError> => refused(run(id, steps, isAcross), 'CONSTRAINT')

  test('R26: parents may come after their children, and both may go in any order: what counts is the end', async () => {
    const id = await placed()
    expect(db.table(note).get([id, 1])).toMatchObject({ no: 2 })
    await run(id, [['customer', 'delete', id], ['order', 'delete', [id, 1]]])
    expect(db.table(customer).has(id)).toBe(false)
    expect(db.table(order).has([id, 1])).toBe(false)
  })

  test('R22: a child needs its parent, by every way of writing, in the lane and across', async () => {
    for (const isAcross of [false, true]) {
      const id = await placed()
      const wrong: Row = { customer: id, id: 9, order: 1, no: 7 }
      const ways: readonly Step[] = [
        ['note', 'insert', wrong],
        ['note', 'put', wrong],
        ['note', 'put', { ...wrong, id: 1 }],
        ['note', 'update', [id, 1], { no: 7 }],
        ['note', 'updateBy', [id, 1], { no: 7 }],
        ['note', 'set', [id, 1], { no: 7 }],
        ['note', 'add', [id, 1], { order: 6 }],
      ]
      for (const step of ways) {
        const error = await refusedBy(id, [step], isAcross)
        const key = step[1] === 'insert' || (step[1] === 'put' && step[2]['id'] === 9) ? 9 : 1
        const value = step[1] === 'add' ? [id, 7, 2] : [id, 1, 7]
        expect(error.details).toEqual({ table: 'shop.note', key: [id, key], constraint: 'ofLine', value, other: 'shop.line' })
        expect(error.message).toContain('shop.line')
      }
      expect(db.table(note).get([id, 1])).toMatchObject({ order: 1, no: 2 })
      expect(db.table(note).get([id, 9])).toBeUndefined()
    }
  })

  test('a null among the columns refers to nothing', async () => {
    const id = await placed()
    await run(id, [['note', 'insert', { customer: id, id: 2, order: 77, no: null }], ['note', 'set', [id, 1], { order: 78, no: null }]])
    await refusedBy(id, [['note', 'set', [id, 2], { no: 2 }]])
    await run(id, [['order', 'delete', [id, 1]]])
    expect(db.table(note).get([id, 1])).toMatchObject({ order: 78, no: null })
  })

  test('restrict: a row that others refer to stays, until they go or let go', async () => {
    const id = await placed()
    for (const isAcross of [false, true]) {
      const { details } = await refusedBy(id, [['customer', 'delete', id]], isAcross)
      expect(details).toEqual({ table: 'shop.order', key: [id, 1], constraint: 'ofCustomer', value: id, other: 'shop.customer' })
    }
    const { details } = await refusedBy(0, [['product', 'delete', 'pen']], true)
    expect(details).toMatchObject({ table: 'shop.line', constraint: 'product', value: 'pen', other: 'shop.product' })
    await run(id, [['customer', 'delete', id], ['customer', 'insert', { id, name: 'again' }]])
    expect(db.table(customer).get(id)).toMatchObject({ name: 'again' })
    await run(id, [['order', 'delete', [id, 1]]])
    await run(id, [['customer', 'delete', id]])
  })

  test('cascade: over three levels, with the indexes, and what restricts a level below refuses all of it', async () => {
    const id = await placed()
    await run(id, [['order', 'delete', [id, 1]]])
    expect([...db.table(line).scan({ prefix: [id] })]).toEqual([])
    expect(db.table(note).has([id, 1])).toBe(false)
    expect(db.table(customer).has(id)).toBe(true)

    const other = await placed()
    await db.call(across, { steps: [['bill', 'insert', { customer: other, id: 1, order: 1 }]] })
    const { details } = await refusedBy(other, [['order', 'delete', [other, 1]]])
    expect(details).toEqual({ table: 'billing.bill', key: [other, 1], constraint: 'ofOrder', value: [other, 1], other: 'shop.order' })
    expect(db.table(line).has([other, 1, 2])).toBe(true)
    await db.call(across, { steps: [['bill', 'set', [other, 1], { order: null }], ['order', 'delete', [other, 1]]] })
    expect(db.table(bill).get([other, 1])).toMatchObject({ order: null })
    expect(db.table(note).has([other, 1])).toBe(false)
  })

  // Seed 1377257236 of test/model/references.test.ts: rows that stood further up in what the transaction had touched were passed over, and left orphans.
  test('cascade goes on below a row that the transaction has written before, on every level', async () => {
    for (const isAcross of [false, true]) {
      for (const written of [['line', 'put', { order: 1, no: 2, product: 'ink' }], ['line', 'update', { paid: 0 }], ['note', 'set', { text: 'x' }]] as const) {
        const id = await placed()
        const [name, way, what] = written
        const step: Step = way === 'put' ? [name, way, { customer: id, ...what }] : [name, way, name === 'line' ? [id, 1, 2] : [id, 1], what]
        await run(id, [step, ['order', 'delete', [id, 1]]], isAcross)
        expect([...db.table(line).scan({ prefix: [id] })], `${name} ${way}`).toEqual([])
        expect(db.table(note).get([id, 1]), `${name} ${way}`).toBe(undefined)
        await run(id, [['customer', 'delete', id]])
      }
    }
  })

  test('R22: what refers to another partition strays, and is checked there: cascade and setNull across', async () => {
    const id = await placed()
    const before = db.stats().batches.strays
    await run(id, [['coupon', 'insert', { code: `c${id}`, owner: id }], ['order', 'set', [id, 1], { coupon: `c${id}` }]])
    expect(db.stats().batches.strays, 'the coupon is somewhere else, or its unique owner is').toBeGreaterThan(before)
    await refusedBy(id, [['order', 'set', [id, 1], { coupon: 'none' }]])
    const error = await refusedBy(id, [['customer', 'delete', id]])
    expect(error.details).toMatchObject({ constraint: 'ofCustomer' })
    expect(db.table(order).get([id, 1])).toMatchObject({ coupon: `c${id}` })
    // The coupon goes with its owner, and whatever named it names nothing. Another customer's order does, too.
    const other = await placed()
    await run(other, [['order', 'set', [other, 1], { coupon: `c${id}` }]])
    await run(id, [['customer', 'delete', id], ['order', 'delete', [id, 1]]])
    expect(db.table(coupon).has(`c${id}`)).toBe(false)
    expect(db.table(order).get([other, 1])).toMatchObject({ coupon: null })
    expect([...db.table(order).scan({ prefix: [id] })]).toEqual([])
  })

  test('a lane keeps what it can answer: its own partition and global parents make no stray', async () => {
    const id = await placed()
    const before = db.stats().batches.strays
    await run(id, [['line', 'set', [id, 1, 1], { product: 'ink' }], ['line', 'insert', { customer: id, order: 1, no: 3, product: 'pen' }]])
    await run(id, [['line', 'delete', [id, 1, 2]]])
    await run(id, [['order', 'set', [id, 1], { total: 4 }]])
    expect(db.stats().batches.strays).toBe(before)
  })

  test('setNull comes before the row checks, which see the row as it ends', async () => {
    const id = await placed()
    await run(id, [['person', 'insert', { id: -id }], ['person', 'insert', { id: -id - 1_000_000, friend: -id }]])
    await run(id, [['person', 'delete', -id]])
    expect(db.table(person).get(-id - 1_000_000)).toMatchObject({ friend: null })
    const { details } = await refusedBy(id, [['line', 'set', [id, 1, 2], { paid: 3 }]])
    expect(details).toMatchObject({ constraint: 'hasProduct' })
  })

  test('circles: a row may refer to itself, and a ring goes as a whole', async () => {
    const at = (n: number) => -500 - n
    await run(0, [['person', 'insert', { id: at(0), boss: at(0) }]])
    await run(0, [['person', 'delete', at(0)]])
    expect(db.table(person).has(at(0))).toBe(false)
    await run(0, [1, 2, 3, 4].map((n): Step => ['person', 'insert', { id: at(n), boss: at((n % 4) + 1), friend: at(n) }]))
    await run(0, [['person', 'insert', { id: at(5), friend: at(3) }]])
    await run(0, [['person', 'delete', at(2)]])
    for (const n of [1, 2, 3, 4]) expect(db.table(person).has(at(n))).toBe(false)
    expect(db.table(person).get(at(5))).toMatchObject({ friend: null })
  })

  test('an abort, and a broken reference, leave nothing of a cascade', async () => {
    const id = await placed()
    await refused(run(id, [['order', 'delete', [id, 1]], ['x', 'abort']]), 'ABORTED')
    await refusedBy(id, [['order', 'delete', [id, 1]], ['note', 'insert', { customer: id, id: 5, order: 3, no: 3 }]])
    expect(db.table(line).has([id, 1, 1])).toBe(true)
    expect(db.table(note).get([id, 1])).toMatchObject({ no: 2 })
    await run(id, [['line', 'update', [id, 1, 2], { product: 'pen' }]])
    await run(id, [['line', 'delete', [id, 1, 2]]])
    expect(db.table(note).has([id, 1])).toBe(false)
  })

  test('R28: atomic handlers run before: a parent that comes behind its event is in time', async () => {
    const id = await placed()
    await db.call(place, { customer: id, id: 8, withOrder: true })
    expect(db.table(line).has([id, 8, 1])).toBe(true)
    const { details } = await refused(db.call(place, { customer: id, id: 9, withOrder: false }), 'CONSTRAINT')
    expect(details).toMatchObject({ table: 'shop.line', constraint: 'ofOrder', value: [id, 9] })
  })

  test('db.transact: checked when it ends, and what it deletes takes the rest along', async () => {
    const id = await placed()
    const error = await refused(db.transact(async (tx) => tx.table(note).insert({ customer: id, id: 4, order: 1, no: 4 })), 'CONSTRAINT')
    expect(error.details).toMatchObject({ table: 'shop.note', key: [id, 4], constraint: 'ofLine', other: 'shop.line' })
    await refused(db.transact(async (tx) => tx.table(customer).delete(id)), 'CONSTRAINT')
    await db.transact(async (tx) => {
      tx.table(order).delete([id, 1])
      tx.table(customer).delete(id)
    })
    expect(db.table(note).has([id, 1])).toBe(false)
    expect(db.table(line).has([id, 1, 1])).toBe(false)
  })

  test('a cascade is in the log row by row, in the order of keys', async () => {
    const id = await placed()
    const stream = db.changes({ from: 'now' })
    await run(id, [['order', 'delete', [id, 1]]])
    const { value: commit } = await stream[Symbol.asyncIterator]().next()
    expect((commit?.changes as readonly AnyChange[]).map(({ table, kind, key }) => [table, kind, key])).toEqual([
      ['shop.order', 'delete', [id, 1]],
      ['shop.line', 'delete', [id, 1, 1]],
      ['shop.line', 'delete', [id, 1, 2]],
      ['shop.note', 'delete', [id, 1]],
    ])
    await stream.close?.()
  })
})

test('cascades and their parents are there again after a restart', async () => {
  const path = await newFolder()
  const steps: readonly Step[] = [
    ['customer', 'insert', { id: 1 }],
    ['order', 'insert', { customer: 1, id: 1 }],
    ['order', 'insert', { customer: 1, id: 2 }],
    ['line', 'insert', { customer: 1, order: 1, no: 1 }],
    ['line', 'insert', { customer: 1, order: 2, no: 1 }],
    ['note', 'insert', { customer: 1, id: 1, order: 1, no: 1 }],
    ['note', 'insert', { customer: 1, id: 2, order: 2, no: 1 }],
  ]
  const db = await openFor(referencesApp, { path, workers: 1 })
  await db.call(inLane, { customer: 1, steps })
  await db.call(inLane, { customer: 1, steps: [['order', 'delete', [1, 1]]] })
  await db.close()
  const again = await openFor(referencesApp, { path, workers: 0 })
  expect(again.table(note).has([1, 1])).toBe(false)
  expect(again.table(note).has([1, 2])).toBe(true)
  await refused(again.call(inLane, { customer: 1, steps: [['customer', 'delete', 1]] }), 'CONSTRAINT')
  await again.call(inLane, { customer: 1, steps: [['order', 'delete', [1, 2]]] })
  await again.call(inLane, { customer: 1, steps: [['customer', 'delete', 1]] })
  expect(again.table(note).has([1, 2])).toBe(false)
})

describe('R22: ahead of its turn', () => {
  test('a reference is a read: of children that race with the delete of their parent, those before it count', async () => {
    const { db, check } = await openInside(referencesApp, { workers: 2, partitions: 4, speculation: 'always' })
    await db.call(across, { steps: Array.from({ length: 8 }, (_, id): Step => ['customer', 'insert', { id }]) })
    for (let round = 0; round < 8; round += 1) {
      const orders = Array.from({ length: 12 }, (_, n) => ({ steps: [['order', 'insert', { customer: round, id: n }]] as Step[] }))
      const removal = { steps: [['customer', 'delete', round]] as Step[] }
      const calls = [...orders]
      calls.splice(round, 0, removal)
      const outcomes = await db.submitMany(across, calls)
      const isRefused = round > 0
      expect(outcomes.map((outcome) => outcome.ok)).toEqual(calls.map((_, n) => (isRefused ? n !== round : n === 0)))
    }
    expect(db.stats().speculation.kept, 'some ran ahead').toBeGreaterThan(0)
    check()
  })
})

test('describe() tells references, the indexes made for them, and what leaves a partition', () => {
  const { tables } = describeApp(referencesApp)
  const of = (name: string) => tables.find((one) => one.name === name)!
  expect(of('shop.note').references).toEqual([
    { name: 'ofLine', on: ['customer', 'order', 'no'], to: 'shop.line', onDelete: 'cascade', strength: 'strong', crossPartition: false },
  ])
  expect(of('shop.note').indexes).toEqual([{ name: '$ofLine', on: ['customer', 'order', 'no'], range: false, unique: false, crossPartition: false }])
  expect(of('shop.line').indexes.map(({ name }) => name)).toEqual(['$product'])
  expect(of('shop.order').indexes.map(({ name }) => name)).toEqual(['$byCoupon'])
  expect(of('shop.coupon').indexes.map(({ name }) => name)).toEqual(['owner'])
  expect(of('shop.order').references.map(({ name, crossPartition }) => [name, crossPartition])).toEqual([['ofCustomer', false], ['byCoupon', true]])
  const writing = tables.filter(({ crossPartitionWrites }) => crossPartitionWrites).map(({ name }) => name)
  expect(writing).toEqual(['shop.customer', 'shop.order', 'shop.product', 'shop.coupon', 'shop.person'])
})
