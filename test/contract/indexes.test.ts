/**
 * Unique and partial indexes: one row for each value, null equal to nothing, rows that move in and out; in the transaction, right
 * after it, and at every moment before.
 */
import { describe, expect, test } from 'vitest'
import { app, column as c, service, table, type Database, type SluiceError } from 'sluicedb'
import membersApp, * as use from '../support/apps/members-app.js'
import type { Step } from '../support/apps/members-app.js'
import { newFolder, openFor, openOnce, proveWhole, refused } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'
import { randomOf } from '../support/random.js'

const partitions = 4
const row = (id: number, more: object = {}) => ({ id, email: `${id}@x`, seat: id, ...more })

describe.each([0, 2])('with %i workers', (workers) => {
  const opened = () => openFor(membersApp, { workers, partitions })
  const member = (db: Database) => db.table(use.members.tables.member)
  const change = (db: Database, ...steps: Step[]) => db.call(use.change, { steps })
  const refusedBy = async (db: Database, ...steps: Step[]) => (await refused(change(db, ...steps), 'CONSTRAINT')).details

  test('R21: a value of a unique column is there once in all partitions, by every way of writing', async () => {
    const db = await opened()
    await change(db, { do: 'insert', row: row(1) }, { do: 'insert', row: row(2) })
    const twice = { table: 'members.member', constraint: 'email', value: '1@x', other: 1 }
    expect(await refusedBy(db, { do: 'insert', row: row(3, { email: '1@x' }) })).toMatchObject({ ...twice, key: 3 })
    for (const steps of [
      [{ do: 'put', row: row(2, { email: '1@x' }) }],
      [{ do: 'update', key: 2, patch: { email: '1@x' } }],
      [{ do: 'set', key: 2, patch: { email: '1@x' } }],
    ] as const)
      expect(await refusedBy(db, ...steps)).toMatchObject({ ...twice, key: 2 })
    expect([...member(db)].map(({ id, email }) => [id, email])).toEqual([[1, '1@x'], [2, '2@x']])
    // In its lane a call strays, and says the same.
    const error = await refused(db.call(use.changeAt, { id: 2, steps: [{ do: 'update', key: 2, patch: { email: '1@x' } }] }), 'CONSTRAINT')
    expect(error.details).toMatchObject(twice)
    expect(db.stats().batches.strays).toBeGreaterThan(0)
  })

  test('a value is free again after update, delete and abort, in the same transaction and later', async () => {
    const db = await opened()
    await change(db, { do: 'insert', row: row(1) })
    await change(db, { do: 'update', key: 1, patch: { email: 'new@x' } }, { do: 'insert', row: row(2, { email: '1@x' }) })
    await change(db, { do: 'delete', key: 2 }, { do: 'insert', row: row(2, { email: '1@x', points: 7 }) })
    await refused(change(db, { do: 'insert', row: row(5) }, { do: 'delete', key: 1 }, { do: 'abort' }), 'ABORTED')
    await change(db, { do: 'insert', row: row(3, { email: '5@x' }) })
    expect(['new@x', '1@x', '5@x', '2@x'].map((email) => member(db).index.email.get(email)?.id)).toEqual([1, 2, 3, undefined])
    expect(await refusedBy(db, { do: 'insert', row: row(4, { email: 'new@x' }) })).toMatchObject({ other: 1 })
    // The order of writes counts: a value is not free before it is given up (R26).
    await refusedBy(db, { do: 'update', key: 3, patch: { email: 'new@x' } }, { do: 'update', key: 1, patch: { email: 'old@x' } })
    await change(db, { do: 'update', key: 1, patch: { email: 'old@x' } }, { do: 'update', key: 3, patch: { email: 'new@x' } })
    expect(await change(db, { do: 'get', index: 'email', values: 'new@x' })).toEqual([3])
  })

  test('null is equal to nothing: any number of rows may have it, and none is found by it', async () => {
    const db = await opened()
    await change(db, { do: 'insert', row: row(1) }, { do: 'insert', row: row(2) }, { do: 'insert', row: row(3, { card: 5n }) })
    expect(await refusedBy(db, { do: 'update', key: 1, patch: { card: 5n } })).toMatchObject({ constraint: 'card', value: 5n, other: 3 })
    expect([member(db).index.card.get(null), member(db).index.card.get(5n)?.id]).toEqual([undefined, 3])
    expect(await change(db, { do: 'get', index: 'card', values: null }, { do: 'row', index: 'card', values: null })).toEqual([null, null])
    await change(db, { do: 'update', key: 3, patch: { card: null } }, { do: 'set', key: 1, patch: { card: 5n } })
    expect(member(db).index.card.get(5n)?.id).toBe(1)
  })

  test('a unique index that holds the partition column stays in its lane', async () => {
    const db = await opened()
    const furnish = (house: string, ...steps: Step[]) => db.call(use.furnish, { house, steps })
    for (const house of ['a', 'b']) {
      await furnish(house, { do: 'insert', row: { house, id: 1, door: 1 } }, { do: 'insert', row: { house, id: 2 } }, { do: 'insert', row: { house, id: 3 } })
    }
    const { details } = await refused(furnish('a', { do: 'update', key: ['a', 2], patch: { door: 1 } }), 'CONSTRAINT')
    expect(details).toMatchObject({ table: 'members.room', key: ['a', 2], constraint: 'byDoor', value: ['a', 1], other: ['a', 1] })
    expect(db.stats().batches.strays).toBe(0)
    const seen = await furnish(
      'a',
      { do: 'get', index: 'byDoor', values: ['a', 1] },
      { do: 'row', index: 'byDoor', values: ['a', 9] },
      { do: 'scan', index: 'byDoor', values: { prefix: ['a'] } },
      { do: 'all', index: 'noDoor', values: 'a' },
    )
    expect(seen).toEqual([['a', 1], null, [['a', 2], ['a', 3], ['a', 1]], [['a', 2], ['a', 3]]])
  })

  test('R18, R20: a partial index holds the rows of which its condition is true: they move in and out', async () => {
    const db = await opened()
    const steps: Step[] = [1, 2, 3, 4].map((id) => ({ do: 'insert', row: row(id, { points: id * 10, club: 'c', seat: id }) }))
    await change(db, ...steps)
    const look = async () => {
      const inside = await change(db, { do: 'scan', index: 'byPoints' }, { do: 'all', index: 'shutIn', values: 'c' })
      const outside = [[...member(db).index.byPoints.scan()].map(({ id }) => id), member(db).index.shutIn.get('c').map(({ id }) => id)]
      expect(outside).toEqual(inside)
      return outside
    }
    expect(await look()).toEqual([[1, 2, 3, 4], []])
    using before = db.snapshot()
    await change(db, { do: 'update', key: 2, patch: { status: 'shut' } }, { do: 'set', key: 3, patch: { status: 'shut', points: 0 } })
    expect(await look()).toEqual([[1, 4], [3]])
    await change(db, { do: 'add', key: 2, patch: { points: -20 } })
    expect(await look()).toEqual([[1, 4], [2, 3]])
    await change(db, { do: 'put', row: row(2, { points: 5, club: 'c', seat: 2 }) }, { do: 'delete', key: 3 })
    expect(await look()).toEqual([[2, 1, 4], []])
    await refused(change(db, { do: 'update', key: 1, patch: { status: 'shut', points: 0 } }, { do: 'abort' }), 'ABORTED')
    expect(await look()).toEqual([[2, 1, 4], []])
    const old = before.table(use.members.tables.member)
    expect([[...old.index.byPoints.scan()].map(({ id }) => id), old.index.email.get('3@x')?.id]).toEqual([[1, 2, 3, 4], 3])
    // Unique among the rows that it holds.
    await change(db, { do: 'update', key: 2, patch: { status: 'shut' } }, { do: 'update', key: 1, patch: { seat: 2 } })
    expect(await refusedBy(db, { do: 'update', key: 2, patch: { status: 'open' } })).toMatchObject({ constraint: 'bySeat', value: ['c', 2], other: 1 })
    expect(member(db).index.bySeat.get(['c', 2])?.id).toBe(1)
  })

  test('db.transact sees its own writes in them; its lane has the last word', async () => {
    const db = await opened()
    const { member: members } = use.members.tables
    await change(db, { do: 'insert', row: row(1, { points: 1 }) }, { do: 'insert', row: row(2, { points: 2 }) })
    const seen = await db.transact(async (tx) => {
      const rows = tx.table(members)
      rows.update(1, { email: 'new@x', status: 'shut' })
      rows.insert(row(3, { points: 3 }))
      return [rows.index.email.get('new@x')?.id, rows.index.email.get('1@x'), rows.index.card.get(null), [...rows.index.byPoints.scan()].map(({ id }) => id)]
    })
    expect(seen).toEqual([1, undefined, undefined, [2, 3]])
    expect(member(db).index.email.get('new@x')?.id).toBe(1)
    const error = await refused(db.transact(async (tx) => tx.table(members).update(3, { email: 'new@x' })), 'CONSTRAINT')
    expect(error.details).toMatchObject({ key: 3, constraint: 'email', other: 1 })
    const stale = db.transact(async (tx) => {
      if (tx.table(members).index.email.get('late@x') !== undefined) return
      await change(db, { do: 'insert', row: row(9, { email: 'late@x' }) })
      tx.table(members).update(2, { points: 0 })
    })
    await refused(stale, 'CONFLICT')
  })

  test('they are there after close, from the log and from a checkpoint', async () => {
    const path = await newFolder()
    for (let life = 0; life < 3; life += 1) {
      const db = await openOnce(membersApp, { workers, partitions, path })
      await change(db, { do: 'insert', row: row(life, { status: life === 1 ? 'shut' : 'open' }) }, { do: 'insert', row: row(life + 10, { card: BigInt(life) }) })
      if (life === 1) await db.checkpoint()
      expect(await refusedBy(db, { do: 'insert', row: row(99, { email: '0@x' }) })).toMatchObject({ other: 0 })
      const open = [...member(db).index.byPoints.scan()].map(({ id }) => id)
      expect(open).toEqual([[0, 10], [0, 10, 11], [0, 2, 10, 11, 12]][life])
      proveWhole(db)
      await db.close()
    }
  })
})

test.each([1, 2])('R36: what a lost worker has put into the trees is taken back, with %i workers', async (workers) => {
  const db = await openFor(membersApp, { workers, partitions })
  const change = (...steps: Step[]) => db.call(use.change, { steps })
  await change({ do: 'insert', row: row(1, { card: 1n }) }, { do: 'insert', row: row(2, { status: 'shut', points: 0, club: 'c' }) })
  const outcomes = await Promise.allSettled([
    change({ do: 'insert', row: row(3) }),
    change({ do: 'update', key: 1, patch: { email: 'new@x', card: null } }, { do: 'delete', key: 2 }, { do: 'insert', row: row(4, { email: 'lost@x' }) }, { do: 'exit' }),
    change({ do: 'insert', row: row(5, { email: 'lost@x' }) }),
    change({ do: 'insert', row: row(6, { email: '1@x' }) }),
  ])
  expect(outcomes.map((one) => (one.status === 'fulfilled' ? 'ok' : (one.reason as SluiceError).code))).toEqual(['ok', 'WORKER_LOST', 'ok', 'CONSTRAINT'])
  const { index } = db.table(use.members.tables.member)
  expect(['1@x', 'new@x', 'lost@x', '3@x'].map((email) => index.email.get(email)?.id)).toEqual([1, undefined, 5, 3])
  expect([index.card.get(1n)?.id, index.shutIn.get('c').map(({ id }) => id)]).toEqual([1, [2]])
})

test('rows that a new unique index would refuse are SCHEMA_MISMATCH, and the database stays as it was', async () => {
  const path = await newFolder()
  const made = (isUnique: boolean) => {
    const item = table({ columns: { id: c.int(), n: c.int().nullable() }, key: ['id'], indexes: { byN: { on: ['n'], unique: isUnique } } })
    const shop = service('shop', { tables: { item } })
    const put = shop.procedure('put', { input: { id: c.int(), n: c.int().nullable() } }, (tx, it) => tx.db.item.put(it))
    return { application: app(import.meta.url, [shop]), put }
  }
  const before = made(false)
  const db = await openOnce(before.application, { path })
  for (const [id, n] of [[1, 5], [2, null], [3, null], [4, 5]] as const) await db.call(before.put, { id, n })
  await db.close()
  const error = await refused(openOnce(made(true).application, { path }), 'SCHEMA_MISMATCH')
  expect(error.details).toEqual({ table: 'shop.item', index: 'byN', keys: [1, 4], values: [5] })
  const again = await openOnce(before.application, { path })
  await again.call(before.put, { id: 4, n: 6 })
  await again.close()
  const after = made(true)
  const now = await openOnce(after.application, { path })
  await refused(now.call(after.put, { id: 9, n: 5 }), 'CONSTRAINT')
  await now.close()
})

test('R21, R22: the same answers and frames for any number of workers, run ahead or not', async () => {
  const runs = []
  for (const [workers, speculation] of [[0, 'never'], [1, 'never'], [2, 'never'], [0, 'always'], [2, 'always']] as const) {
    const random = randomOf(11)
    const path = await newFolder()
    const inside = await openInside(membersApp, { path, workers, partitions, speculation, fixed: { nowMs: 1_700_000_000_000, stepMs: 3, seed: 7 } })
    const answers: unknown[] = []
    const stepOf = (id: number): Step => {
      const patch = random.pick([
        { email: `${random.below(12)}@x` },
        { status: random.pick(['open', 'shut']) },
        { seat: random.below(4), points: random.below(3) },
        { card: random.pick([null, 1n, 2n, 3n]) },
      ])
      switch (random.below(8)) {
        case 0:
        case 1:
        case 2:
          return { do: 'put', row: { id, email: `${random.below(12)}@x`, seat: random.below(6), ...patch } }
        case 3:
          return { do: 'delete', key: id }
        case 4:
          return { do: 'get', index: 'email', values: `${random.below(12)}@x` }
        case 5:
          return { do: 'scan', index: 'byPoints' }
        default:
          return { do: random.pick(['update', 'set']), key: id, patch }
      }
    }
    for (let batch = 0; batch < 60; batch += 1) {
      const calls = Array.from({ length: 12 }, (): Promise<unknown> => {
        const id = random.below(8)
        const steps = Array.from({ length: 1 + random.below(3) }, () => stepOf(id))
        if (random.chance(0.1)) steps.push({ do: 'abort' })
        return random.chance(0.3) ? inside.db.call(use.changeAt, { id, steps }) : inside.db.call(use.change, { steps })
      })
      answers.push((await Promise.allSettled(calls)).map((one) => (one.status === 'fulfilled' ? one.value : `${one.reason} ${JSON.stringify(one.reason.details, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))}`)))
      inside.check()
    }
    await inside.close()
    runs.push({ what: `workers ${workers}, ahead ${speculation}`, answers, bodies: framesIn(path).map(({ body }) => Buffer.from(body).toString('hex')) })
  }
  const said = runs[0]!.answers.flat() as unknown[]
  for (const constraint of ['email', 'card', 'bySeat']) expect(said.some((one) => String(one).includes(`"constraint":"${constraint}"`)), constraint).toBe(true)
  for (const { what, answers, bodies } of runs) {
    expect(answers, what).toEqual(runs[0]!.answers)
    expect(bodies, what).toEqual(runs[0]!.bodies)
  }
})
