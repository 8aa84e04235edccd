/**
 * Generated keys (R29): a sequence for each table and partition, which is undone with its transaction, stands in the log, and is the
 * same for whoever runs it.
 */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Database } from 'sluicedb'
import { partitionOfOne } from '../../engine/schema/placement.js'
import keysApp, * as use from '../support/apps/keys-app.js'
import { newFolder, openFor, openOnce, refused, take } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'

const partitions = 4
/** Two accounts of one partition, and one of another. */
const names = Array.from({ length: 40 }, (_, n) => `account ${n}`)
const placeOf = (account: string): number => partitionOfOne(account, partitions)
const [first, ...others] = names
const near = others.find((account) => placeOf(account) === placeOf(first!))!
const far = others.find((account) => placeOf(account) !== placeOf(first!))!
/** The n-th number of an account's partition, from 1 on. */
const nth = (account: string, n: number): number => (placeOf(account) === 0 ? partitions : placeOf(account)) + (n - 1) * partitions

const add = (db: Database, account: string, count = 1): Promise<number[]> =>
  db.call(use.add, { account, amounts: Array.from({ length: count }, () => 1) })

describe.each([0, 2])('with %i workers', (workers) => {
  const opened = () => openFor(keysApp, { workers, partitions })

  test('R29: partition p draws p, p + P, …; accounts of one partition share it, lanes and the cross-partition lane too', async () => {
    const db = await opened()
    expect(await add(db, first!, 2)).toEqual([nth(first!, 1), nth(first!, 2)])
    expect(await add(db, near)).toEqual([nth(near, 3)])
    expect(await add(db, far)).toEqual([nth(far, 1)])
    expect(await db.call(use.addAcross, { account: first!, amounts: [1, 1] })).toEqual([nth(first!, 4), nth(first!, 5)])
    expect(await add(db, first!)).toEqual([nth(first!, 6)])
    const seqs = [...db.table(use.keys.tables.entry).scan({ prefix: [first!] })].map((row) => row.seq)
    expect(seqs).toEqual([1, 2, 4, 5, 6].map((n) => nth(first!, n)))
  })

  test('R29: a row that its number places stays in its lane; the cross-partition lane draws the smallest of all', async () => {
    const db = await opened()
    const homes = [1, 1, 2, 0]
    const drawn = []
    for (const home of homes) drawn.push(await db.call(use.open, { home }))
    expect(drawn).toEqual([1, 5, 2, 4])
    const across = []
    for (let n = 0; n < 5; n += 1) across.push(await db.call(use.openAcross, {}))
    expect(across).toEqual([3, 6, 7, 8, 9])
    expect(await db.call(use.openAt, { id: 50 })).toBe(50) // 50 is of partition 2
    expect([await db.call(use.open, { home: 2 }), await db.call(use.open, { home: 3 })]).toEqual([54, 11])
    expect([...db.table(use.keys.tables.ticket)].map((row) => row.id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 50, 54])
  })

  test('a global table has one sequence, and a number beside the key begins where its column does', async () => {
    const db = await opened()
    expect(await Promise.all(['a', 'b', 'c'].map((name) => db.call(use.name, { name })))).toEqual([1, 2, 3])
    const [one, two] = [await db.call(use.give, { owner: first!, number: null }), await db.call(use.give, { owner: near, number: null })]
    expect([one! >= 100, one! % partitions, two]).toEqual([true, placeOf(first!), one! + partitions])
  })

  test('what is undone is drawn again; what is drawn and deleted is gone', async () => {
    const db = await opened()
    await add(db, first!)
    await refused(db.call(use.add, { account: first!, amounts: [1, 1], aborts: true }), 'ABORTED')
    const { details } = await refused(db.call(use.add, { account: first!, amounts: [1, 1_001] }), 'CONSTRAINT')
    expect(details).toMatchObject({ column: 'amount', constraint: 'max', value: 1_001 })
    expect(await db.call(use.addAndDrop, { account: first! })).toBe(nth(first!, 2))
    expect(await add(db, first!)).toEqual([nth(first!, 3)])
  })

  test('a number that is given moves the sequence of its partition beyond it, a smaller one does not', async () => {
    const db = await opened()
    const given = nth(first!, 10)
    await db.call(use.addAt, { account: first!, seq: given })
    expect(await add(db, near)).toEqual([nth(near, 11)])
    await db.call(use.addAt, { account: first!, seq: given, puts: true })
    await db.call(use.addAt, { account: first!, seq: 0 })
    await db.call(use.addAt, { account: first!, seq: -7 })
    await db.call(use.addAt, { account: first!, seq: nth(first!, 12) + 1 })
    expect(await add(db, first!)).toEqual([nth(first!, 13)])
    expect((await refused(db.call(use.addAt, { account: first!, seq: given }), 'CONSTRAINT')).details['constraint']).toBe('key')
  })

  test('a sequence that is used up is CONSTRAINT', async () => {
    const db = await opened()
    await db.call(use.give, { owner: first!, number: 2 ** 31 - 1 })
    const { details } = await refused(db.call(use.give, { owner: near, number: null }), 'CONSTRAINT')
    expect(details).toMatchObject({ table: 'keys.badge', column: 'number', constraint: 'generated' })
    await db.call(use.addAt, { account: first!, seq: Number.MAX_SAFE_INTEGER })
    await refused(add(db, first!), 'CONSTRAINT')
  })

  test('db.transact knows at once what it draws; who has drawn in between is a conflict', async () => {
    const db = await opened()
    const { entry, ticket } = use.keys.tables
    await add(db, first!)
    const drawn = await db.transact(async (tx) => {
      const keys = [tx.table(entry).insert({ account: first! }), tx.table(entry).insert({ account: near })]
      expect(tx.table(entry).get(keys[0]!)).toEqual({ account: first, seq: nth(first!, 2), amount: 0 })
      return keys.map(([, seq]) => seq)
    })
    expect(drawn).toEqual([nth(first!, 2), nth(first!, 3)])
    expect(await add(db, first!)).toEqual([nth(first!, 4)])
    const error = await refused(
      db.transact(async (tx) => {
        tx.table(entry).insert({ account: first! })
        await add(db, first!)
      }),
      'CONFLICT',
    )
    expect(error.message).toContain('keys.entry')
    let runs = 0
    const retried = await db.transact(
      async (tx) => {
        const key = tx.table(entry).insert({ account: first! })
        if ((runs += 1) === 1) await add(db, first!)
        return key
      },
      { retries: 3 },
    )
    expect([retried, runs]).toEqual([[first, nth(first!, 7)], 2])
    const ids = await db.transact(async (tx) => [tx.table(ticket).insert({}), tx.table(ticket).insert({}), tx.table(ticket).insert({})])
    expect(ids).toEqual([1, 2, 3])
    expect(await db.call(use.openAcross, {})).toBe(4)
  })

  test('counters are in the log, and in no stream', async () => {
    const db = await opened()
    await add(db, first!)
    await db.call(use.addAndDrop, { account: first! })
    await add(db, far)
    const commits = await take(db.changes({ from: 'beginning' }), 2)
    expect(commits.map(({ changes }) => changes.map(({ table, key }) => [table, key]))).toEqual([
      [['keys.entry', [first, nth(first!, 1)]]],
      [['keys.entry', [far, nth(far, 1)]]],
    ])
    expect(db.snapshot().table(use.keys.tables.entry).count()).toBe(2)
  })

  test('sequences go on after close, a checkpoint, and the log alone', async () => {
    const path = await newFolder()
    const copied = join(await newFolder(), 'copy')
    let expected = 0
    for (let life = 0; life < 3; life += 1) {
      const db = await openOnce(keysApp, { workers, partitions, path })
      expect(await add(db, first!)).toEqual([nth(first!, (expected += 1))])
      await refused(db.call(use.add, { account: first!, amounts: [1], aborts: true }), 'ABORTED')
      expect(await db.call(use.addAndDrop, { account: first! })).toBe(nth(first!, (expected += 1)))
      if (life === 1) await db.checkpoint()
      if (life === 2) await db.backup(copied)
      await db.close()
    }
    const copy = await openOnce(keysApp, { workers, partitions, path: copied })
    expect(await add(copy, first!)).toEqual([nth(first!, 7)])
    await copy.close()
  })
})

test.each([1, 2])('R36: what a lost worker has drawn is drawn again, with %i workers', async (workers) => {
  const db = await openFor(keysApp, { workers, partitions })
  const outcomes = await Promise.allSettled([
    add(db, first!),
    db.call(use.openAcross, {}),
    db.call(use.perish, { account: first! }),
    db.call(use.addAcross, { account: first!, amounts: [1] }),
    db.call(use.openAcross, {}),
  ])
  expect(outcomes.map((one) => (one.status === 'fulfilled' ? one.value : (one.reason as { code: string }).code))).toEqual([
    [nth(first!, 1)],
    1,
    'WORKER_LOST',
    [nth(first!, 2)],
    2,
  ])
})

test('R29: the same numbers and the same frames for any number of workers, run ahead or not', async () => {
  const runs = []
  for (const [workers, speculation] of [[0, 'never'], [1, 'never'], [2, 'never'], [0, 'always'], [2, 'always']] as const) {
    const path = await newFolder()
    const inside = await openInside(keysApp, { path, workers, partitions, speculation, fixed: { nowMs: 1_700_000_000_000, stepMs: 3, seed: 7 } })
    const answers: unknown[] = []
    for (let batch = 0; batch < 12; batch += 1) {
      const calls = Array.from({ length: 30 }, (_, n): Promise<unknown> => {
        const account = names[(n * 7 + batch) % names.length]!
        const aborts = (n + batch) % 5 === 0
        switch (n % 5) {
          case 0:
            return inside.db.call(use.add, { account, amounts: [1, 2], aborts })
          case 1:
            return inside.db.call(use.addAcross, { account, amounts: [n], aborts })
          case 2:
            return inside.db.call(use.openAcross, { title: account })
          case 3:
            return inside.db.call(use.open, { home: n })
          default:
            return inside.db.call(use.name, { name: account })
        }
      })
      answers.push((await Promise.allSettled(calls)).map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason))))
    }
    await inside.close()
    runs.push({ what: `workers ${workers}, ahead ${speculation}`, answers, bodies: framesIn(path).map(({ body }) => Buffer.from(body).toString('hex')) })
  }
  for (const { what, answers, bodies } of runs) {
    expect(answers, what).toEqual(runs[0]!.answers)
    expect(bodies, what).toEqual(runs[0]!.bodies)
  }
})
