/** `isolation` of a procedure: `'snapshot'` reads what the batch before its own has left, and writes to what stands. */
import { column as c, describe as describeApp, service, SluiceError, table, type Database } from 'sluicedb'
import { expect, test } from 'vitest'
import isolationApp, { audit, bank, change, deposit, enter, leaveBySnapshot, leaveSerially, look, name, open, runs, setRate, tell } from '../support/apps/isolation-app.js'
import { openFor, refused, thrown } from '../support/fixture.js'

const partitions = 4
const opened = async (): Promise<Database> => {
  const db = await openFor(isolationApp, { workers: 0, partitions })
  for (const id of [1, 2, 3]) await db.call(open, { id, owner: 'ann', balance: 10 * id })
  await db.call(setRate, { name: 'base', percent: 3 })
  return db
}
const balance = (db: Database, id: number) => db.table(bank.tables.account).get(id)?.balance
const codeOf = (error: unknown): unknown => (SluiceError.is(error) ? error.code : error)

test('every way of reading shows the batch before, in its lane or behind it, without a stray', async () => {
  const db = await opened()
  const calls = [look, look, look].map((procedure, n) => [db.call(deposit, { id: n + 1, amount: 1 }), db.call(procedure, { id: n + 1, at: 1 + (n % 2) })] as const).flat()
  void db.call(setRate, { name: 'base', percent: 4 })
  const shown = { has: true, owned: [10, 20, 30], rows: [10, 20, 30], query: [10, 20, 30], count: 3, rate: 3 }
  const answers = await Promise.all(calls)
  for (const n of [0, 1, 2]) expect(answers[2 * n + 1]).toEqual({ ...shown, get: 10 * (n + 1), row: 10 * (n + 1), called: 10 * (n + 1) })
  expect([1, 2, 3].map((id) => balance(db, id))).toEqual([11, 21, 31])
  expect(db.stats().batches.strays).toBe(0)
  expect(await db.call(look, { id: 1, at: 2 })).toMatchObject({ get: 11, owned: [11, 21, 31], rate: 4 })
})

test.each(['set', 'rows', 'update', 'patch', 'add', 'put', 'swallow'] as const)('no update is lost: %s of a row that this batch has changed runs again, on what is there', async (how) => {
  const db = await opened()
  runs.length = 0
  const answers = await Promise.all([db.call(deposit, { id: 1, amount: 5 }), db.call(change, { id: 1, how, amount: 100 }), db.call(change, { id: 1, how, amount: 1_000 }), db.call(change, { id: 2, how, amount: 1 })])
  expect(answers.slice(1)).toEqual([15, 115, 20])
  expect([balance(db, 1), balance(db, 2)]).toEqual([1_115, 21])
  // Two runs of those that came too late, and one of the other; the index leads out of the lane, where it is looked at as it stands.
  if (how !== 'rows') expect(runs.length).toBe(5)
})

test('what was deleted meanwhile is gone, what was changed and changed back is no change', async () => {
  const db = await opened()
  expect(await Promise.all([db.call(change, { id: 1, how: 'delete', amount: 0 }), db.call(change, { id: 1, how: 'update', amount: 1 }).catch(codeOf), db.call(change, { id: 1, how: 'put', amount: 4 })])).toEqual([10, 'NOT_FOUND', 0])
  expect(balance(db, 1)).toBe(4)
  runs.length = 0
  await Promise.all([db.call(deposit, { id: 2, amount: 1 }), db.call(deposit, { id: 2, amount: -1 }), db.call(change, { id: 2, how: 'add', amount: 2 })])
  expect([balance(db, 2), runs.length]).toEqual([22, 1])
})

test('write skew is possible, and is not with the default', async () => {
  const db = await opened()
  for (const [procedure, left] of [[leaveBySnapshot, 0], [leaveSerially, 1]] as const) {
    for (const id of [8, 9]) await db.call(open, { id, owner: 'on call', balance: 0 })
    await Promise.all([db.call(procedure, { id: 8 }), db.call(procedure, { id: 9 })])
    expect(db.table(bank.tables.account).index.byOwner.get('on call').length).toBe(left)
  }
})

test('what is declared holds on what stands: bounds, unique values', async () => {
  const db = await opened()
  const late = Promise.all([db.call(deposit, { id: 1, amount: -8 }), db.call(change, { id: 1, how: 'add', amount: -5 })])
  expect((await refused(late, 'CONSTRAINT')).details).toMatchObject({ column: 'balance' })
  expect(balance(db, 1)).toBe(2)
  expect(await Promise.all([db.call(name, { id: 1, name: 'x' }), db.call(name, { id: 2, name: 'x' }).catch(codeOf)])).toEqual([undefined, 'CONSTRAINT'])
})

test('it reads what it has written itself, in ranges too, and draws keys from what stands', async () => {
  const db = await opened()
  expect(await db.call(enter, { account: 1 })).toEqual({ before: [], after: [0, 7], reverse: [7, 0], rest: [7], open: 1, count: 2 })
  const two = await Promise.all([db.call(enter, { account: 1 }), db.call(enter, { account: 2 })])
  expect(two).toEqual([
    { before: [0, 7], after: [0, 7, 0, 7], reverse: [7, 0], rest: [7], open: 2, count: 4 },
    { before: [], after: [0, 7], reverse: [7, 0], rest: [7], open: 1, count: 4 },
  ])
  // Both begin with the same rows; the second would change the first of them, which the first has not changed.
  expect((await Promise.all([db.call(enter, { account: 2 }), db.call(enter, { account: 2 })])).map(({ before, count }) => [before, count])).toEqual([[[0, 7], 8], [[0, 7], 8]])
  expect(db.table(bank.tables.entry).count()).toBe(10)
})

test('what it calls, and what handles its events inside, is of the same snapshot', async () => {
  const db = await opened()
  await Promise.all([db.call(deposit, { id: 1, amount: 100 }), db.call(tell, { id: 2 })])
  // The handler's row stands elsewhere, perhaps; the balances are those of the batch before, and the one that the transaction has written.
  expect(db.table(audit.tables.seen).get(2)).toEqual({ account: 2, balance: 21, total: 61 })
  expect([balance(db, 1), balance(db, 2)]).toEqual([110, 21])
})

test('describe() tells it; what is no isolation, and one of a reading procedure, is refused', () => {
  const of = (full: string) => describeApp(isolationApp).procedures.find((one) => one.name === full)!.isolation
  expect(['bank.look', 'bank.open', 'bank.balanceOf'].map(of)).toEqual(['snapshot', 'serializable', 'snapshot'])
  const define = (options: object) => () => service('x', { tables: { a: table({ columns: { id: c.int() }, key: ['id'] }) } }).procedure('p', options, () => undefined)
  expect(thrown(define({ isolation: 'none' }), 'INVALID_DEFINITION').message).toContain("'serializable' or 'snapshot'")
  expect(thrown(define({ isolation: 'snapshot', readonly: true }), 'INVALID_DEFINITION').message).toContain('leave isolation out')
})
