/**
 * The checker of TPC-C's twelve conditions can fail: each of them, for the row that breaks it, and no other one for that.
 */
import { open, type Database, type RowOf, type Table } from 'sluicedb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkConditions, conditionNumbers, holds, type Condition } from '../../bench/workloads/tpcc/conditions.js'
import { populate } from '../../bench/workloads/tpcc/driver.js'
import { stateOf } from '../../bench/workloads/tpcc/state.js'
import { tpcc } from '../../bench/workloads/tpcc/tables.js'
import brokenApp, { tamper, type Tampering } from './broken-tpcc.js'
import { findingsOf, runMix, smallOptions, smallPlan, smallSettings } from './small-tpcc.js'

const { warehouse, district, customer, history, order, orderLine, newOrder } = tpcc.tables

let db: Database
beforeAll(async () => {
  db = await open(brokenApp, smallOptions)
  await populate(db, smallSettings)
  await runMix(db, 0, 1_000)
})
afterAll(() => db.close())

const first = <Row>(rows: Iterable<Row>, which: (row: Row) => boolean): Row => {
  for (const row of rows) if (which(row)) return row
  throw new Error('the run has left no such row')
}
type Order = RowOf<typeof order>
const keyOf = ({ w, d, o }: Order): readonly [number, number, number] => [w, d, o]
const homeOf = ({ w, d }: Order): readonly number[] => [w, d]
const buyerOf = ({ w, d, c }: Order): readonly number[] => [w, d, c]

/** One that was delivered during the run, so that its lines cost something. */
const delivered = (): Order => first(db.table(order), ({ o, carrier }) => carrier !== null && o > 30)
const waiting = (): Order => first(db.table(order), (row) => row.carrier === null && db.table(newOrder).has([row.w, row.d, row.o - 1]) && db.table(newOrder).has([row.w, row.d, row.o + 1]))
const newest = (): Order => first(db.table(order), ({ w, d, o }) => o === db.table(district).get([w, d])!.nextOrder - 1)
const oldest = (): Order => first(db.table(order), (row) => row.carrier === null && !db.table(newOrder).has([row.w, row.d, row.o - 1]))
const firstLine = (of: Order): readonly [number, number, number, number] => [...keyOf(of), 1]

interface Break {
  readonly what: string
  readonly how: () => readonly Tampering[]
  /** The conditions that are broken by it, each with the keys that are to blame. */
  readonly breaks: () => Readonly<Partial<Record<Condition, readonly (readonly number[])[]>>>
}

const paid = [2, 3, 7, 1] as const
const home = [2, 3]
const payer = [2, 3, 7]

const breaks: readonly Break[] = [
  {
    what: 'W_YTD has a cent too many',
    how: () => [{ table: 'warehouse', update: 2, to: { ytd: db.table(warehouse).get(2)!.ytd + 1 } }],
    breaks: () => ({ 1: [[2]], 8: [[2]] }),
  },
  {
    what: 'D_YTD has a cent too many',
    how: () => [{ table: 'district', update: [2, 3], to: { ytd: db.table(district).get([2, 3])!.ytd + 1 } }],
    breaks: () => ({ 1: [[2]], 9: [home] }),
  },
  {
    what: 'D_NEXT_O_ID has left one out',
    how: () => [{ table: 'district', update: [2, 3], to: { nextOrder: db.table(district).get([2, 3])!.nextOrder + 1 } }],
    breaks: () => ({ 2: [home] }),
  },
  {
    what: 'the newest new order is missing',
    how: () => [{ table: 'newOrder', delete: keyOf(newest()) }],
    breaks: () => ({ 2: [homeOf(newest())], 5: [keyOf(newest())], 11: [homeOf(newest())] }),
  },
  {
    what: 'a new order in the middle is missing',
    how: () => [{ table: 'newOrder', delete: keyOf(waiting()) }],
    breaks: () => ({ 3: [homeOf(waiting())], 5: [keyOf(waiting())], 11: [homeOf(waiting())] }),
  },
  {
    what: 'the oldest new order is missing',
    how: () => [{ table: 'newOrder', delete: keyOf(oldest()) }],
    breaks: () => ({ 5: [keyOf(oldest())], 11: [homeOf(oldest())] }),
  },
  {
    what: 'an order has forgotten a line',
    how: () => [{ table: 'order', update: keyOf(waiting()), to: { lineCount: waiting().lineCount - 1 } }],
    breaks: () => ({ 4: [homeOf(waiting())], 6: [keyOf(waiting())] }),
  },
  {
    what: 'two orders of a district have exchanged a line in their counts',
    how: () => {
      const [one, other] = [waiting(), oldest()]
      const [w, d] = homeOf(one) as [number, number]
      const neighbour = db.table(order).get([w, d, other.w === w && other.d === d ? other.o : one.o + 1])!
      return [
        { table: 'order', update: keyOf(one), to: { lineCount: one.lineCount + 1 } },
        { table: 'order', update: keyOf(neighbour), to: { lineCount: neighbour.lineCount - 1 } },
      ]
    },
    breaks: () => {
      const [one, other] = [waiting(), oldest()]
      const neighbour = other.w === one.w && other.d === one.d ? other.o : one.o + 1
      return { 6: [keyOf(one), [one.w, one.d, neighbour]] }
    },
  },
  {
    what: 'a delivered order has no carrier',
    how: () => [{ table: 'order', update: keyOf(delivered()), to: { carrier: null } }],
    breaks: () => ({ 5: [keyOf(delivered())], 7: [keyOf(delivered())] }),
  },
  {
    what: 'an undelivered order has a carrier',
    how: () => [{ table: 'order', update: keyOf(waiting()), to: { carrier: 3 } }],
    breaks: () => ({ 5: [keyOf(waiting())], 7: [keyOf(waiting())] }),
  },
  {
    what: 'an undelivered line is missing',
    how: () => [{ table: 'orderLine', delete: firstLine(waiting()) }],
    breaks: () => ({ 4: [homeOf(waiting())], 6: [keyOf(waiting())] }),
  },
  {
    what: 'a line of an undelivered order is delivered, for nothing',
    how: () => [{ table: 'orderLine', update: firstLine(waiting()), to: { delivered: 1, amount: 0 } }],
    breaks: () => ({ 7: [keyOf(waiting())] }),
  },
  {
    what: 'a line of a delivered order is not',
    how: () => [{ table: 'orderLine', update: firstLine(delivered()), to: { delivered: null } }],
    breaks: () => ({ 7: [keyOf(delivered())], 10: [buyerOf(delivered())], 12: [buyerOf(delivered())] }),
  },
  {
    what: 'a delivered line costs a cent more',
    how: () => {
      const { amount } = db.table(orderLine).get(firstLine(delivered()))!
      return [{ table: 'orderLine', update: firstLine(delivered()), to: { amount: amount + 1 } }]
    },
    breaks: () => ({ 10: [buyerOf(delivered())], 12: [buyerOf(delivered())] }),
  },
  {
    what: 'a payment is missing',
    how: () => [{ table: 'history', delete: paid }],
    breaks: () => ({ 8: [[2]], 9: [home], 10: [payer] }),
  },
  {
    what: 'a payment was booked in another district',
    how: () => [{ table: 'history', update: paid, to: { d: 4 } }],
    breaks: () => ({ 9: [home, [2, 4]] }),
  },
  {
    what: 'a payment was booked in another warehouse',
    how: () => [{ table: 'history', update: paid, to: { w: 3 } }],
    breaks: () => ({ 8: [[2], [3]], 9: [home, [3, 3]] }),
  },
  {
    what: 'a payment was booked for another customer',
    how: () => [
      { table: 'history', insert: { ...db.table(history).get(paid)!, c: 8, seq: 9_999 } },
      { table: 'history', delete: paid },
    ],
    breaks: () => ({ 10: [payer, [2, 3, 8]] }),
  },
  {
    what: 'C_BALANCE has a cent too many',
    how: () => [{ table: 'customer', update: payer, to: { balance: db.table(customer).get([2, 3, 7])!.balance + 1 } }],
    breaks: () => ({ 10: [payer], 12: [payer] }),
  },
  {
    what: 'C_YTD_PAYMENT has a cent too many',
    how: () => [{ table: 'customer', update: payer, to: { ytdPayment: db.table(customer).get([2, 3, 7])!.ytdPayment + 1 } }],
    breaks: () => ({ 12: [payer] }),
  },
  {
    what: 'C_DELIVERY_CNT has counted one too many',
    how: () => [{ table: 'customer', update: payer, to: { deliveryCount: db.table(customer).get([2, 3, 7])!.deliveryCount + 1 } }],
    breaks: () => ({ 11: [home] }),
  },
  {
    what: 'an order is gone that was loaded as delivered',
    how: () => [{ table: 'order', delete: [2, 3, 5] }],
    breaks: () => ({ 4: [home], 5: [[2, 3, 5]], 6: [[2, 3, 5]], 7: [[2, 3, 5]], 11: [home] }),
  },
  {
    what: 'a line belongs to no order',
    how: () => [{ table: 'orderLine', insert: { ...db.table(orderLine).get([2, 3, 5, 1])!, o: 4_711, delivered: null } }],
    breaks: () => ({ 4: [home], 5: [[2, 3, 4_711]], 6: [[2, 3, 4_711]], 7: [[2, 3, 4_711]] }),
  },
]

test('an undisturbed run meets all twelve, and each of them looked at something', () => {
  const findings = findingsOf(db)
  expect(findings.map(({ condition }) => condition)).toEqual(conditionNumbers)
  for (const finding of findings) {
    expect(finding.checked, finding.name).toBeGreaterThanOrEqual(3)
    expect(finding.violations, finding.name).toEqual([])
  }
})

describe('a row that no transaction of TPC-C leaves behind', () => {
  test.each(breaks.map((one) => [one.what, one] as const))('%s', async (_, { how, breaks: expected }) => {
    const before = stateNow()
    const wanted = expected()
    const undo = how().flatMap(undoOf).reverse()
    await tamper(db, ...how())
    try {
      const found = findingsOf(db).filter((finding) => !holds(finding))
      expect(found.map(({ condition }) => String(condition))).toEqual(Object.keys(wanted))
      for (const { condition, broken, violations, name } of found) {
        const keys = wanted[condition]!
        expect(violations.map(({ key }) => key.join('/')).sort(), name).toEqual(keys.map((key) => key.join('/')).sort())
        expect(broken).toBe(keys.length)
        for (const { what } of violations) expect(what).not.toBe('')
      }
    } finally {
      await tamper(db, ...undo)
    }
    expect(stateNow(), 'the next one begins with a whole database').toEqual(before)
  })

  test('each condition has a row that breaks it', () => {
    const broken = new Set(breaks.flatMap((one) => Object.keys(one.breaks()).map(Number)))
    expect([...broken].sort((a, b) => a - b)).toEqual(conditionNumbers)
  })
})

test('a condition that looked at nothing has not been met', () => {
  const empty = Object.fromEntries(Object.keys(tpcc.tables).map((name) => [name, []])) as unknown as ReturnType<typeof stateOf>
  expect(checkConditions(empty, smallPlan.scale).filter(holds)).toEqual([])
})

test('of many violations the first ten are named, and all are counted', () => {
  const state = { ...stateOf(db), history: [] }
  const finding = checkConditions(state, smallPlan.scale).find(({ condition }) => condition === 10)!
  expect(finding.violations.length).toBe(10)
  expect(finding.broken).toBe(3 * 10 * 60)
})

const stateNow = (): unknown => findingsOf(db).map(({ condition, checked, broken }) => [condition, checked, broken])

/** What puts back what one tampering changes. */
function undoOf(how: Tampering): readonly Tampering[] {
  const reader = db.table(tpcc.tables[how.table] as Table) as { get(key: unknown): object | undefined }
  if ('update' in how) {
    const before = reader.get(how.update) as Record<string, unknown>
    const to = Object.fromEntries(Object.keys(how.to).map((column) => [column, before[column]]))
    return [{ table: how.table, update: how.update, to }]
  }
  if ('delete' in how) return [{ table: how.table, insert: reader.get(how.delete)! }]
  const row = how.insert as Record<string, number>
  const columns = how.table === 'history' ? ['cw', 'cd', 'c', 'seq'] : ['w', 'd', 'o', 'n']
  return [{ table: how.table, delete: columns.map((column) => row[column]!) }]
}
