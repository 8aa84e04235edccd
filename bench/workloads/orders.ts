/**
 * Transactions in the manner of TPC-C, for what happens inside of one: composite keys, texts, tables in order, an index. Three of its
 * kinds and their tables only, without its mix, its terminals and its rules of measurement. Definitions only.
 */
import { app, column as c, service, table } from 'sluicedb'

const warehouse = table({
  columns: { w: c.i32(), name: c.text(), street: c.text(), city: c.text(), state: c.text(), zip: c.text(), tax: c.int(), ytd: c.int() },
  key: ['w'],
})
const district = table({
  columns: { w: c.i32(), d: c.i32(), name: c.text(), street: c.text(), city: c.text(), tax: c.int(), ytd: c.int(), nextOrder: c.i32() },
  key: ['w', 'd'],
  partition: ['w'],
})
const customer = table({
  columns: {
    w: c.i32(), d: c.i32(), c: c.i32(), first: c.text(), middle: c.text(), last: c.text(), street: c.text(), city: c.text(),
    credit: c.text(), discount: c.int(), balance: c.int(), ytdPayment: c.int(), payments: c.i32(), deliveries: c.i32(), data: c.text(),
  },
  key: ['w', 'd', 'c'],
  partition: ['w'],
})
const item = table({
  columns: { i: c.i32(), name: c.text(), price: c.int(), data: c.text() },
  key: ['i'],
  partition: 'global',
})
const stock = table({
  columns: { w: c.i32(), i: c.i32(), quantity: c.i32(), ytd: c.int(), orders: c.i32(), remote: c.i32(), dist: c.text(), data: c.text() },
  key: ['w', 'i'],
  partition: ['w'],
})
const order = table({
  columns: { w: c.i32(), d: c.i32(), o: c.i32(), c: c.i32(), entered: c.timestamp(), carrier: c.i32().nullable(), lines: c.i32(), local: c.bool() },
  key: ['w', 'd', 'o'],
  partition: ['w'],
  indexes: { byCustomer: { on: ['w', 'd', 'c'], range: true } },
})
const openOrder = table({
  columns: { w: c.i32(), d: c.i32(), o: c.i32() },
  key: ['w', 'd', 'o'],
  partition: ['w'],
  ordered: true,
})
const line = table({
  columns: {
    w: c.i32(), d: c.i32(), o: c.i32(), n: c.i32(), i: c.i32(), supplier: c.i32(), delivered: c.timestamp().nullable(),
    quantity: c.i32(), amount: c.int(), dist: c.text(),
  },
  key: ['w', 'd', 'o', 'n'],
  partition: ['w'],
  ordered: true,
})
const history = table({
  columns: { w: c.i32(), n: c.int(), d: c.i32(), c: c.i32(), at: c.timestamp(), amount: c.int(), data: c.text() },
  key: ['w', 'n'],
  partition: ['w'],
})

export const shop = service('shop', {
  tables: { warehouse, district, customer, item, stock, order, openOrder, line, history },
  aborts: { NO_SUCH_ITEM: {} },
})

const pad = (text: string, length: number): string => text.padEnd(length, 'x')

/** A warehouse with its districts, customers and stock. */
export const fill = shop.procedure('fill', { input: { w: c.i32(), customers: c.i32(), items: c.i32() } }, (tx, { w, customers, items }) => {
  const { db } = tx
  db.warehouse.insert({ w, name: `W${w}`, street: pad('street', 18), city: pad('city', 15), state: 'ZH', zip: '123411111', tax: 1_000, ytd: 0 })
  for (let d = 1; d <= 10; d += 1) {
    db.district.insert({ w, d, name: `D${d}`, street: pad('street', 18), city: pad('city', 15), tax: 500, ytd: 0, nextOrder: 1 })
    for (let n = 1; n <= customers; n += 1) {
      db.customer.insert({
        w, d, c: n, first: pad(`first${n}`, 12), middle: 'OE', last: pad(`last${n}`, 12), street: pad('street', 18), city: pad('city', 15),
        credit: n % 10 === 0 ? 'BC' : 'GC', discount: 100, balance: -1_000, ytdPayment: 1_000, payments: 1, deliveries: 0, data: pad('data', 300),
      })
    }
  }
  for (let i = 1; i <= items; i += 1) {
    db.stock.insert({ w, i, quantity: 50, ytd: 0, orders: 0, remote: 0, dist: pad(`dist${i}`, 24), data: pad('data', 40) })
  }
})

export const fillItems = shop.procedure('fillItems', { input: { items: c.i32() } }, (tx, { items }) => {
  for (let i = 1; i <= items; i += 1) tx.db.item.insert({ i, name: pad(`item${i}`, 18), price: 100 + (i % 9_900), data: pad('data', 40) })
})

interface Line {
  readonly i: number
  readonly quantity: number
}

/** Reads 3 rows and 2 for each line, updates 1 and 1 for each line, inserts 2 and 1 for each line. */
export const newOrder = shop.procedure(
  'newOrder',
  { input: { w: c.i32(), d: c.i32(), customer: c.i32(), lines: c.json<readonly Line[]>() }, partition: (it) => it.w },
  (tx, { w, d, customer: number, lines }) => {
    const { db } = tx
    const warehouseTax = db.warehouse.row(w)!.tax
    const inDistrict = db.district.row([w, d])!
    const buyer = db.customer.row([w, d, number])!
    const o = inDistrict.nextOrder
    inDistrict.nextOrder = o + 1
    db.order.insert({ w, d, o, c: number, entered: tx.now, carrier: null, lines: lines.length, local: true })
    db.openOrder.insert({ w, d, o })
    let total = 0
    for (let n = 0; n < lines.length; n += 1) {
      const { i, quantity } = lines[n]!
      const wanted = db.item.row(i) ?? tx.abort('NO_SUCH_ITEM')
      const held = db.stock.row([w, i])!
      const left = held.quantity
      held.quantity = left >= quantity + 10 ? left - quantity : left - quantity + 91
      held.ytd += quantity
      held.orders += 1
      const amount = quantity * wanted.price
      total += amount
      db.line.insert({ w, d, o, n: n + 1, i, supplier: w, delivered: null, quantity, amount, dist: held.dist })
    }
    return { o, total: Math.round((total * (10_000 - buyer.discount) * (10_000 + warehouseTax + inDistrict.tax)) / 1e8), credit: buyer.credit }
  },
)

/** Reads and updates 3 rows, two of them by `add`, one by a patch; inserts one. */
export const payment = shop.procedure(
  'payment',
  { input: { w: c.i32(), d: c.i32(), customer: c.i32(), amount: c.int(), n: c.int() }, partition: (it) => it.w },
  (tx, { w, d, customer: number, amount, n }) => {
    const { db } = tx
    db.warehouse.add(w, { ytd: amount })
    db.district.add([w, d], { ytd: amount })
    const payer = db.customer.get([w, d, number])!
    const balance = payer.balance - amount
    db.customer.update([w, d, number], { balance, ytdPayment: payer.ytdPayment + amount, payments: payer.payments + 1 })
    db.history.insert({ w, n, d, c: number, at: tx.now, amount, data: `W${w}    D${d}` })
    return { balance, last: payer.last }
  },
)

export default app(import.meta.url, [shop])
