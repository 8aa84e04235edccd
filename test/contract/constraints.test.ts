/**
 * Rules of columns and of rows, on every way of writing: a broken one is CONSTRAINT, names table, key, constraint and value, and
 * nothing of its transaction is left.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Database, SluiceError } from 'sluicedb'
import rulesApp, * as use from '../support/apps/rules-app.js'
import { openOnce, proveWhole, refused } from '../support/fixture.js'
import { openInside } from '../support/inside.js'

const customer = 'ann'
type Patch = Record<string, unknown>

describe.each([0, 1])('with %i workers', (workers) => {
  let db: Database
  let ids = 0
  beforeAll(async () => {
    db = await openOnce(rulesApp, { workers, partitions: 4 })
  })
  afterAll(async () => {
    proveWhole(db)
    await db.close()
  })

  const orders = () => db.table(use.rules.tables.order)
  const placed = async (patch: Patch = {}): Promise<number> => {
    ids += 1
    await db.call(use.write, { customer, id: ids, steps: [['insert', { total: 5, ...patch }]] })
    return ids
  }
  /** The way is refused, the row is as it was. */
  const refusedBy = async (way: use.Way, patch: Patch, across: boolean): Promise<SluiceError> => {
    const id = way === 'insert' ? (ids += 1) : await placed()
    const before = orders().get([customer, id])
    const error = await refused(
      db.call(across ? use.writeAcross : use.write, { customer, id, steps: [[way, patch]] }),
      'CONSTRAINT',
    )
    expect(orders().get([customer, id])).toEqual(before)
    expect(error.details).toMatchObject({ table: 'rules.order', key: [customer, id] })
    expect(error.message).toContain('rules.order')
    return error
  }

  const columns: readonly (readonly [constraint: string, column: string, value: unknown, holds: unknown])[] = [
    ['min', 'total', -1, 0],
    ['max', 'refund', 1, 0],
    ['max', 'depth', 0, -5e-324],
    ['max', 'debt', 0n, -1n],
    ['notBlank', 'note', ' ', ' a'],
    ['maxLength', 'note', 'too much!', 'fits'],
    ['pattern', 'code', 'ab', 'AB'],
    ['isEven', 'even', 3, 4],
  ]
  test.each(columns)('R26: %s of a column, by every way: %s', async (constraint, column, value, holds) => {
    for (const across of [false, true]) {
      for (const way of use.ways) {
        const patch = way === 'add' ? added(column, value) : { [column]: value }
        if (patch === undefined) continue
        const { details } = await refusedBy(way, patch, across)
        expect(details).toMatchObject({ column, constraint, value })
      }
    }
    const id = await placed({ [column]: holds })
    expect(orders().get([customer, id])).toMatchObject({ [column]: holds })
  })

  test('the last column is checked like the first, and the first like the last', async () => {
    const first = await refusedBy('insert', { total: -1, even: 4 }, false)
    expect(first.details).toMatchObject({ column: 'total', constraint: 'min', value: -1 })
    const last = await refusedBy('insert', { total: 1, even: 5 }, false)
    expect(last.details).toMatchObject({ column: 'even', constraint: 'isEven', value: 5 })
  })

  test('a word that is none of the enum is INVALID_INPUT, and names the key as well', async () => {
    const id = await placed()
    const error = await refused(db.call(use.write, { customer, id, steps: [['update', { mood: 'sad' }]] }), 'INVALID_INPUT')
    expect(error.details).toMatchObject({ table: 'rules.order', key: [customer, id], column: 'mood', value: 'sad' })
  })

  test('R26: a check of the row, by every way', async () => {
    for (const across of [false, true]) {
      for (const way of use.ways) {
        const { details, message } = await refusedBy(way, { paid: 6, ...(way === 'insert' && { total: 5 }) }, across)
        expect(details).toMatchObject({ constraint: 'covered', value: { paid: 6, total: 5, customer } })
        expect(message).toContain('covered')
      }
    }
  })

  test('R26: checks run when the transaction ends: what breaks one on the way may be mended', async () => {
    const id = await placed()
    const steps = [['update', { paid: 9 }], ['set', { total: 9 }]] as const
    await db.call(use.write, { customer, id, steps })
    expect(orders().get([customer, id])).toMatchObject({ paid: 9, total: 9 })
    await db.call(use.write, { customer, id, steps: [['set', { paid: 10 }], ['delete', {}]] })
    expect(orders().get([customer, id])).toBeUndefined()
    await db.call(use.write, { customer, id, steps: [['insert', { paid: 1 }], ['put', { paid: 0 }]] })
    expect(orders().get([customer, id])).toMatchObject({ paid: 0, total: 0 })
  })

  test('in order of declaration, and a check that throws or promises holds nothing', async () => {
    const id = await placed()
    const broken = async (patch: Patch) =>
      refused(db.call(use.write, { customer, id, steps: [['update', patch]] }), 'CONSTRAINT')
    expect((await broken({ lines: [], paid: 9, trouble: 'throws' })).details['constraint']).toBe('notEmpty')
    expect((await broken({ paid: 9, trouble: 'throws' })).details['constraint']).toBe('covered')
    const thrown = await broken({ trouble: 'throws' })
    expect([thrown.details['constraint'], (thrown.cause as Error).message]).toEqual(['untroubled', 'a check that throws'])
    expect((await broken({ trouble: 'promises' })).message).toContain('does not answer with true or false')
  })

  test('R28: an atomic handler runs before the checks of the end', async () => {
    ids += 1
    await db.call(use.place, { customer, id: ids, total: 7, paid: 7 })
    expect(orders().get([customer, ids])).toMatchObject({ total: 7, paid: 7 })
    ids += 1
    const error = await refused(db.call(use.place, { customer, id: ids, total: 6, paid: 7 }), 'CONSTRAINT')
    expect(error.details).toMatchObject({ key: [customer, ids], constraint: 'covered' })
  })

  test('R24: a broken column rule that is caught is the outcome all the same', async () => {
    const id = await placed()
    const steps = [['update', { total: -1 }], ['update', { total: 8 }]] as const
    await refused(db.call(use.write, { customer, id, steps, catches: true }), 'CONSTRAINT')
    expect(orders().get([customer, id])).toMatchObject({ total: 5 })
  })

  test('db.transact: columns at the write, rows when it ends', async () => {
    const id = await placed()
    const atWrite = await refused(
      db.transact(async (tx) => tx.table(use.rules.tables.order).update([customer, id], { total: -1 })),
      'CONSTRAINT',
    )
    expect(atWrite.details).toMatchObject({ key: [customer, id], column: 'total', constraint: 'min', value: -1 })
    const atEnd = await refused(
      db.transact(async (tx) => tx.table(use.rules.tables.order).update([customer, id], { paid: 6 })),
      'CONSTRAINT',
    )
    expect(atEnd.details).toMatchObject({ table: 'rules.order', key: [customer, id], constraint: 'covered' })
    await db.transact(async (tx) => {
      tx.table(use.rules.tables.order).update([customer, id], { paid: 6 })
      tx.table(use.rules.tables.order).add([customer, id], { total: 1 })
    })
    expect(orders().get([customer, id])).toMatchObject({ total: 6, paid: 6 })
  })

  test('an error shows long values cut off, and json by its kind', async () => {
    const { details } = await refusedBy('insert', { note: 'x'.repeat(1_000) }, false)
    expect((details['value'] as string).length).toBe(201)
    const row = await refusedBy('update', { lines: [], code: 'AB' }, false)
    expect(row.details['value']).toMatchObject({ lines: 'an array', code: 'AB', debt: -1n })
  })
})

/** What to add to the value that a new row has, to come to one that is refused. */
function added(column: string, value: unknown): Patch | undefined {
  const amounts: Patch = { total: -6, refund: 1, depth: 1, debt: 1n, even: 3 }
  return column in amounts && typeof value !== 'string' ? { [column]: amounts[column] } : undefined
}

describe('R22: ahead of its turn', () => {
  test('a row check is a read: of payments that race, those that the order covers are taken, in order', async () => {
    const { db, check } = await openInside(rulesApp, { workers: 2, partitions: 4, speculation: 'always' })
    await db.call(use.write, { customer, id: 1, steps: [['insert', { total: 50 }]] })
    const outcomes = await db.submitMany(use.pay, Array.from({ length: 40 }, () => ({ customer, id: 1, amount: 3 })))
    expect(outcomes.map((outcome) => outcome.ok)).toEqual(Array.from({ length: 40 }, (_, n) => n < 16))
    expect(db.table(use.rules.tables.order).get([customer, 1])).toMatchObject({ paid: 48 })
    expect(db.stats().speculation.kept, 'some ran ahead').toBeGreaterThan(0)
    check()
  })
})
