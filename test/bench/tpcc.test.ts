/**
 * TPC-C, small: what the plan draws, the mix with all twelve conditions checked while it runs, the same state whoever
 * runs it, and the same rows from the stream of changes. `tpcc-conditions.test.ts` shows that the checker can fail,
 * `test/crash/tpcc.test.ts` kills.
 */
import type { Database } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import application from '../../bench/workloads/tpcc/app.js'
import { checkConditions, conditionNumbers } from '../../bench/workloads/tpcc/conditions.js'
import { populate } from '../../bench/workloads/tpcc/driver.js'
import { rollsBack, tpccInput, tpccPlan, transactionKinds } from '../../bench/workloads/tpcc/plan.js'
import { Population } from '../../bench/workloads/tpcc/population.js'
import { districtsPerWarehouse, standardScale } from '../../bench/workloads/tpcc/scale.js'
import { stateOf } from '../../bench/workloads/tpcc/state.js'
import { tallyOf } from '../../bench/workloads/tpcc/state-tally.js'
import { tpcc } from '../../bench/workloads/tpcc/tables.js'
import { expectedTally, tpccDigest } from '../../bench/workloads/tpcc/tally.js'
import { delivery, newOrder, orderStatus, payment, stockLevel } from '../../bench/workloads/tpcc/transactions.js'
import { newFolder, openFor, refused, until } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'
import { brokenOf, findingsOf, rebuild, runMix, smallOptions, smallPlan, smallSettings, textOf } from './small-tpcc.js'

describe('the plan', () => {
  const transactions = 20_000
  const plan = tpccPlan({ warehouses: 4, transactions, mix: 'standard' })
  const inputs = Array.from({ length: transactions }, (_, n) => tpccInput(plan, n))
  const share = (part: number, whole: number): number => (100 * part) / whole

  test('is mixed 45/43/4/4/4', () => {
    const wanted = { newOrder: 45, payment: 43, orderStatus: 4, delivery: 4, stockLevel: 4 }
    for (const kind of transactionKinds) {
      // Four standard deviations of a share of 45 % are 1.4 %.
      const got = share(inputs.filter((input) => input.kind === kind).length, transactions)
      expect(Math.abs(got - wanted[kind]), `${kind}: ${got} %`).toBeLessThan(1.4)
    }
  })

  test('has 5 to 15 lines an order, 1 % of them remote, and 1 % of the orders roll back', () => {
    const orders = inputs.flatMap((one) => (one.kind === 'newOrder' ? [one.input] : []))
    const lengths = new Set(orders.map(({ lines }) => lines.length))
    expect([...lengths].sort((a, b) => a - b)).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    const lines = orders.flatMap(({ w, lines }) => lines.map((line) => ({ ...line, isRemote: line.supplier !== w })))
    expect(share(lines.filter(({ isRemote }) => isRemote).length, lines.length)).toBeCloseTo(1, 0.3)
    expect(lines.every(({ supplier, quantity }) => supplier >= 1 && supplier <= 4 && quantity >= 1 && quantity <= 10)).toBe(true)
    const unused = orders.filter(({ lines }) => lines.at(-1)!.item === standardScale.items + 1)
    expect(share(unused.length, orders.length)).toBeCloseTo(1, 0.3)
    expect(lines.filter(({ item }) => item > standardScale.items).length).toBe(unused.length)
    expect(Array.from({ length: transactions }, (_, n) => rollsBack(plan, n)).filter(Boolean).length).toBe(unused.length)
  })

  test('has 15 % of the payments from elsewhere, and 60 % by last name', () => {
    const payments = inputs.flatMap((one) => (one.kind === 'payment' ? [one.input] : []))
    const byName = payments.filter(({ c, last }) => c === null && last !== null)
    expect(Math.abs(share(byName.length, payments.length) - 60)).toBeLessThan(2)
    expect(Math.abs(share(payments.filter(({ w, cw }) => w !== cw).length, payments.length) - 15)).toBeLessThan(1.5)
    expect(payments.every(({ amount }) => amount >= 1_00 && amount <= 5_000_00)).toBe(true)
  })

  test('asks for some customers and items far more often than for others', () => {
    const counts = new Map<number, number>()
    const items = inputs.flatMap((one) => (one.kind === 'newOrder' ? one.input.lines.map(({ item }) => item) : []))
    for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1)
    const sorted = [...counts.values()].sort((a, b) => b - a)
    const hottest = sorted.slice(0, standardScale.items / 10).reduce((sum, count) => sum + count, 0)
    expect(share(hottest, items.length), 'of the lines go to a tenth of the items').toBeGreaterThan(30)
  })

  test('is drawn input by input: a longer one begins with a shorter one, and another seed is another plan', () => {
    const longer = tpccPlan({ ...smallSettings, transactions: 200 })
    const shorter = tpccPlan({ ...smallSettings, transactions: 50 })
    const drawn = (of: typeof longer): unknown[] => Array.from({ length: 50 }, (_, n) => tpccInput(of, n))
    expect(drawn(shorter)).toEqual(drawn(longer))
    expect(tpccInput(shorter, 51)).toEqual(tpccInput(shorter, 1))
    expect(drawn(tpccPlan({ ...smallSettings, transactions: 50, seed: 8 }))).not.toEqual(drawn(shorter))
  })

  test('knows no remote warehouse where there is one', () => {
    const alone = tpccPlan({ ...smallSettings, warehouses: 1, remoteLines: 100, remotePayments: 100 })
    expect(expectedTally(alone, 500).stockRemotes).toBe(0)
    expect(new Set([...alone.cw]).size).toBe(2) // 0: no payment
  })
})

test('the population is that of the specification', () => {
  const population = new Population({ warehouses: 1 })
  const customers = [...population.customers(1, 1)]
  const orders = [...population.orders(1, 1)]
  expect([customers.length, orders.length, [...population.newOrders(1, 1)].length]).toEqual([3_000, 3_000, 900])
  expect(customers.slice(0, 1_000).map(({ last }) => last).filter((last, n, all) => all.indexOf(last) === n).length).toBe(1_000)
  expect(customers[371]!.last).toBe('PRICALLYOUGHT')
  expect(new Set(orders.map(({ order }) => order.c)).size, 'each customer has one order').toBe(3_000)
  expect(orders.filter(({ order }) => order.carrier === null).map(({ order }) => order.o)).toEqual([...population.newOrders(1, 1)].map(({ o }) => o))
  expect(orders.flatMap(({ lines }) => lines).every(({ delivered, amount, o }) => (delivered === null) === (o > 2_100) && (amount === 0) === (o <= 2_100))).toBe(true)
  const bad = customers.filter(({ credit }) => credit === 'BC').length
  expect(bad).toBeGreaterThan(200)
  expect(bad).toBeLessThan(400)
  const originals = Array.from({ length: 5_000 }, (_, n) => population.item(n + 1)).filter(({ data }) => data.includes('ORIGINAL')).length
  expect(originals).toBeGreaterThan(350)
  expect(originals).toBeLessThan(650)
  const { data, dist10, quantity } = population.stockOf(1, 77)
  expect([dist10.length, data.length >= 26 && data.length <= 50, quantity]).toEqual([24, true, population.stockQuantity(1, 77)])
  expect([...population.districts(1)].length).toBe(districtsPerWarehouse)
})

describe('each transaction', () => {
  const opened = async (): Promise<Database> => {
    const db = await openFor(application, smallOptions)
    await populate(db, smallSettings)
    return db
  }
  const { district, customer, stock, order, orderLine, newOrder: newOrders, history, warehouse, item } = tpcc.tables

  test('NewOrder takes the next number, moves the stocks, and says what it costs', async () => {
    const db = await opened()
    const before = db.table(stock).get([1, 5])!
    const remote = db.table(stock).get([2, 6])!
    const lines = [{ item: 5, supplier: 1, quantity: 4 }, { item: 6, supplier: 2, quantity: 10 }]
    const { o, total, brands } = await db.call(newOrder, { w: 1, d: 2, c: 3, lines })
    expect([o, db.table(district).get([1, 2])!.nextOrder]).toEqual([61, 62])
    expect(db.table(order).get([1, 2, 61])).toMatchObject({ c: 3, carrier: null, lineCount: 2, allLocal: false })
    expect(db.table(newOrders).has([1, 2, 61])).toBe(true)
    const cost = 4 * db.table(item).get(5)!.price + 10 * db.table(item).get(6)!.price
    expect(db.table(orderLine).get([1, 2, 61, 2])).toMatchObject({ item: 6, supplier: 2, quantity: 10, delivered: null, distInfo: remote.dist2 })
    const left = before.quantity >= 14 ? before.quantity - 4 : before.quantity + 87
    expect(db.table(stock).get([1, 5])).toEqual({ ...before, quantity: left, ytd: 4, orderCount: 1, remoteCount: 0 })
    expect(db.table(stock).get([2, 6])).toMatchObject({ ytd: 10, orderCount: 1, remoteCount: 1 })
    const rates = { discount: db.table(customer).get([1, 2, 3])!.discount, tax: db.table(district).get([1, 2])!.tax + db.table(warehouse).get(1)!.tax }
    expect(total).toBe(Math.round(cost * (1 - rates.discount / 10_000) * (1 + rates.tax / 10_000)))
    expect(brands).toMatch(/^[BG]{2}$/)
  })

  test('NewOrder of an item that does not exist leaves nothing', async () => {
    const db = await opened()
    const before = textOf(stateOf(db))
    const lines = [{ item: 5, supplier: 1, quantity: 4 }, { item: 201, supplier: 1, quantity: 1 }]
    const error = await refused(db.call(newOrder, { w: 1, d: 2, c: 3, lines }), 'ABORTED')
    expect(error.reason).toBe('UNUSED_ITEM')
    expect(textOf(stateOf(db)) === before).toBe(true)
  })

  test('Payment books what was paid, and marks bad credit; a last name means the customer in the middle', async () => {
    const db = await opened()
    const bad = [...db.table(customer)].find(({ w, d, credit }) => w === 2 && d === 3 && credit === 'BC')!
    await db.call(payment, { w: 1, d: 1, cw: 2, cd: 3, c: bad.c, last: null, amount: 777 })
    const after = db.table(customer).get([2, 3, bad.c])!
    expect(after).toMatchObject({ balance: bad.balance - 777, ytdPayment: bad.ytdPayment + 777, paymentCount: 2 })
    expect(after.data).toBe(`${bad.c} 3 2 1 1 777|${bad.data}`.slice(0, 500))
    expect(db.table(history).get([2, 3, bad.c, 2])).toMatchObject({ w: 1, d: 1, amount: 777 })
    expect(db.table(warehouse).get(1)!.ytd).toBe(10 * 60 * 1_000 + 777)

    const named = new Map<string, { c: number; first: string }[]>()
    for (const { w, d, c, last, first } of db.table(customer)) {
      if (w === 1 && d === 1) named.set(last, [...(named.get(last) ?? []), { c, first }])
    }
    for (const [last, group] of named) {
      const middle = group.sort((a, b) => (a.first < b.first ? -1 : 1))[Math.ceil(group.length / 2) - 1]!
      expect(await db.call(payment, { w: 1, d: 1, cw: 1, cd: 1, c: null, last, amount: 1 })).toMatchObject({ c: middle.c })
    }
  })

  test('Delivery delivers the oldest order of each district, and OrderStatus tells of it', async () => {
    const db = await opened()
    const { delivered } = await db.call(delivery, { w: 1, carrier: 7 })
    expect(delivered).toEqual(Array.from({ length: 10 }, () => 31))
    const { c } = db.table(order).get([1, 4, 31])!
    const status = await db.call(orderStatus, { w: 1, d: 4, c, last: null })
    expect(status).toMatchObject({ c, o: 31, carrier: 7 })
    expect(status.lines.length).toBe(db.table(order).get([1, 4, 31])!.lineCount)
    expect(status.balance).toBe(status.lines.reduce((sum, line) => sum + line.amount, -1_000))
    expect(status.lines.every((line) => line.delivered !== null)).toBe(true)
    for (let more = 32; more <= 60; more += 1) await db.call(delivery, { w: 1, carrier: 1 })
    expect((await db.call(delivery, { w: 1, carrier: 1 })).delivered, 'nothing left').toEqual(Array.from({ length: 10 }, () => 0))
    expect(brokenOf(findingsOf(db))).toEqual([])
  })

  test('StockLevel counts the items of the last twenty orders that are low', async () => {
    const db = await opened()
    const recent = new Set([...db.table(orderLine)].filter(({ w, d, o }) => w === 3 && d === 9 && o > 40).map((line) => line.item))
    for (const threshold of [10, 15, 20, 101]) {
      const low = [...recent].filter((i) => db.table(stock).get([3, i])!.quantity < threshold).length
      expect(await db.call(stockLevel, { w: 3, d: 9, threshold })).toEqual({ low })
    }
  })
})

describe.each([0, 1, 2])('the mix, workers %i', (workers) => {
  test('keeps all twelve conditions at every moment, and adds up to what the plan says', { timeout: 60_000 }, async () => {
    const db = await openFor(application, { ...smallOptions, workers })
    await populate(db, smallSettings)
    expect(brokenOf(findingsOf(db)), 'as loaded').toEqual([])
    let answered = 0
    const looked = new Set<string>()
    const look = async (): Promise<void> => {
      for (let due = 300; due < smallPlan.transactions; due += 300) {
        await until(() => answered >= due, `${due} answers`)
        using snapshot = db.snapshot()
        expect(brokenOf(findingsOf(snapshot)), `at ${snapshot.position}`).toEqual([])
        looked.add(snapshot.position)
      }
    }
    const [rolledBack] = await Promise.all([runMix(db, 0, smallPlan.transactions, 64, () => (answered += 1)), look()])
    expect(looked.size, 'moments in the middle of the run').toBeGreaterThan(5)
    expect(rolledBack).toBe(Array.from({ length: smallPlan.transactions }, (_, n) => rollsBack(smallPlan, n)).filter(Boolean).length)
    expect(brokenOf(findingsOf(db)), 'at the end').toEqual([])
    expect(tallyOf(stateOf(db))).toEqual(expectedTally(smallPlan, smallPlan.transactions))
    expect(tpccDigest(tallyOf(stateOf(db)))).toBe(tpccDigest(expectedTally(smallPlan, smallPlan.transactions)))
  })
})

test('the stream of changes adds up to the same rows, which meet all twelve', { timeout: 60_000 }, async () => {
  const db = await openFor(application, { ...smallOptions, path: await newFolder(), durability: 'os', workers: 1 })
  await populate(db, smallSettings)
  await runMix(db, 0, 1_000)
  const rebuilt = await rebuild(db)
  const findings = checkConditions(rebuilt, smallPlan.scale)
  expect(findings.map(({ condition }) => condition)).toEqual(conditionNumbers)
  expect(brokenOf(findings)).toEqual([])
  expect(textOf(rebuilt) === textOf(stateOf(db)), 'row by row').toBe(true)
})

test('0, 1 and 2 workers end with the same rows and the same log', { timeout: 60_000 }, async () => {
  const runOf = async (workers: number) => {
    const path = await newFolder()
    const { db, close } = await openInside(application, { path, workers, partitions: 4, fixed: { nowMs: 1_700_000_000_000, stepMs: 3, seed: 77 } })
    await populate(db, smallSettings)
    // All calls of one turn on a quiet database are one batch.
    for (let from = 0; from < 1_000; from += 100) await runMix(db, from, from + 100, 100)
    const text = textOf(stateOf(db))
    await close()
    return { text, frames: framesIn(path).map(({ batch, body }) => `${batch} ${Buffer.from(body).toString('latin1')}`) }
  }
  const serial = await runOf(0)
  expect(serial.frames.length).toBeGreaterThan(10)
  for (const workers of [1, 2]) {
    const other = await runOf(workers)
    expect(other.text === serial.text, `the rows with ${workers} workers`).toBe(true)
    expect(other.frames.length).toBe(serial.frames.length)
    expect(other.frames.findIndex((frame, n) => frame !== serial.frames[n]), `the first frame that differs, with ${workers} workers`).toBe(-1)
  }
})
