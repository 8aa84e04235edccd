/**
 * The five transactions of TPC-C (clauses 2.4 to 2.8). Each is placed by its warehouse: what needs another one, a
 * hundredth of the order lines and 15 % of the payments, strays into the cross-partition lane.
 *
 * What two transactions only count (W_YTD, D_YTD) is added and not read. The counts of a stock and the balance of a
 * customer are written through the row that was read anyway: their quantity and number of payments order the two already.
 *
 * OrderStatus and StockLevel change nothing and are sequenced like the others. The specification wants OrderStatus
 * isolated from the three that write as those are from each other (clause 3.4), which its place in the order gives;
 * StockLevel would be content with committed data.
 *
 * Definitions only: partition workers import this module.
 */
import { column as c, type RowOf, type TxOf } from 'sluicedb'
import type { NewOrderLine } from './plan.js'
import { districtsPerWarehouse } from './scale.js'
import { tpcc } from './tables.js'

type Tx = TxOf<typeof tpcc>

/** Hundredths of a percent. */
const wholeRate = 100_00
const original = 'ORIGINAL'
const badCreditDataMax = 500
const recentOrders = 20

const distColumns = ['dist1', 'dist2', 'dist3', 'dist4', 'dist5', 'dist6', 'dist7', 'dist8', 'dist9', 'dist10'] as const

/**
 * Answers the number of the order and what it costs, and for each line whether it is a brand (`B`) or generic (`G`).
 */
export const newOrder = tpcc.procedure(
  'newOrder',
  { input: { w: c.i32(), d: c.i32(), c: c.i32(), lines: c.json<readonly NewOrderLine[]>() }, partition: (it) => it.w },
  (tx, { w, d, c, lines }) => {
    const warehouse = tx.db.warehouse.row(w) ?? missing(tx, 'warehouse')
    const district = tx.db.district.row([w, d]) ?? missing(tx, 'district')
    const customer = tx.db.customer.row([w, d, c]) ?? missing(tx, 'customer')
    const o = district.nextOrder
    district.nextOrder = o + 1
    const allLocal = lines.every((line) => line.supplier === w)
    tx.db.order.insert({ w, d, o, c, entered: tx.now, carrier: null, lineCount: lines.length, allLocal })
    tx.db.newOrder.insert({ w, d, o })

    const dist = distColumns[d - 1] ?? missing(tx, 'district')
    let sum = 0
    let brands = ''
    for (const [place, line] of lines.entries()) {
      const { supplier, quantity } = line
      const item = tx.db.item.row(line.item) ?? tx.abort('UNUSED_ITEM', { item: line.item })
      const stock = tx.db.stock.row([supplier, line.item]) ?? missing(tx, 'stock')
      const left = stock.quantity - quantity
      stock.quantity = left >= 10 ? left : left + 91
      stock.ytd += quantity
      stock.orderCount += 1
      if (supplier !== w) stock.remoteCount += 1
      const amount = quantity * item.price
      sum += amount
      brands += item.data.includes(original) && stock.data.includes(original) ? 'B' : 'G'
      tx.db.orderLine.insert({
        w, d, o, n: place + 1, item: line.item, supplier, delivered: null, quantity, amount, distInfo: stock[dist],
      })
    }
    const rate = ((wholeRate - customer.discount) / wholeRate) * (1 + (warehouse.tax + district.tax) / wholeRate)
    return { o, total: Math.round(sum * rate), brands }
  },
)

const customerInput = { c: c.i32().nullable(), last: c.text().nullable() }

/** Answers whose payment it was, and the balance behind it. */
export const payment = tpcc.procedure(
  'payment',
  {
    input: { w: c.i32(), d: c.i32(), cw: c.i32(), cd: c.i32(), ...customerInput, amount: c.i32().positive() },
    partition: (it) => it.w,
  },
  (tx, { w, d, cw, cd, c, last, amount }) => {
    const warehouse = tx.db.warehouse.row(w) ?? missing(tx, 'warehouse')
    const district = tx.db.district.row([w, d]) ?? missing(tx, 'district')
    tx.db.warehouse.add(w, { ytd: amount })
    tx.db.district.add([w, d], { ytd: amount })
    const customer = customerOf(tx, cw, cd, c, last)
    customer.balance -= amount
    customer.ytdPayment += amount
    customer.paymentCount += 1
    if (customer.credit === 'BC') {
      const mark = `${customer.c} ${cd} ${cw} ${d} ${w} ${amount}|`
      customer.data = (mark + customer.data).slice(0, badCreditDataMax)
    }
    tx.db.history.insert({
      cw, cd, c: customer.c, seq: customer.paymentCount, w, d, date: tx.now, amount,
      data: `${warehouse.name}    ${district.name}`,
    })
    return { c: customer.c, balance: customer.balance }
  },
)

/** Answers a customer's latest order with its lines. */
export const orderStatus = tpcc.procedure(
  'orderStatus',
  { input: { w: c.i32(), d: c.i32(), ...customerInput }, partition: (it) => it.w },
  (tx, { w, d, c, last }) => {
    const customer = customerOf(tx, w, d, c, last)
    const [order] = tx.db.order.index.byCustomer.scan({ prefix: [w, d, customer.c], reverse: true, limit: 1 })
    if (order === undefined) throw missing(tx, 'order')
    const lines = []
    for (let n = 1; n <= order.lineCount; n += 1) {
      const line = tx.db.orderLine.row([w, d, order.o, n]) ?? missing(tx, 'orderLine')
      const { item, supplier, quantity, amount, delivered } = line
      lines.push({ item, supplier, quantity, amount, delivered })
    }
    return { c: customer.c, balance: customer.balance, o: order.o, entered: order.entered, carrier: order.carrier, lines }
  },
)

/** Delivers the oldest order of each district. Answers their numbers by district; 0 where there was nothing to deliver. */
export const delivery = tpcc.procedure(
  'delivery',
  { input: { w: c.i32(), carrier: c.i32() }, partition: (it) => it.w },
  (tx, { w, carrier }) => {
    const delivered: number[] = []
    for (let d = 1; d <= districtsPerWarehouse; d += 1) {
      const [oldest] = tx.db.newOrder.scan({ prefix: [w, d], limit: 1 })
      delivered.push(oldest === undefined ? 0 : oldest.o)
      if (oldest !== undefined) deliver(tx, w, d, oldest.o, carrier)
    }
    return { delivered }
  },
)

function deliver(tx: Tx, w: number, d: number, o: number, carrier: number): void {
  tx.db.newOrder.delete([w, d, o])
  const order = tx.db.order.row([w, d, o]) ?? missing(tx, 'order')
  order.carrier = carrier
  let sum = 0
  for (let n = 1; n <= order.lineCount; n += 1) {
    const line = tx.db.orderLine.row([w, d, o, n]) ?? missing(tx, 'orderLine')
    line.delivered = tx.now
    sum += line.amount
  }
  const customer = tx.db.customer.row([w, d, order.c]) ?? missing(tx, 'customer')
  customer.balance += sum
  customer.deliveryCount += 1
}

/** Answers how many items of the last twenty orders of a district are low in the stock of their warehouse. */
export const stockLevel = tpcc.procedure(
  'stockLevel',
  { input: { w: c.i32(), d: c.i32(), threshold: c.i32() }, partition: (it) => it.w },
  (tx, { w, d, threshold }) => {
    const { nextOrder } = tx.db.district.row([w, d]) ?? missing(tx, 'district')
    const items = new Set<number>()
    for (let o = Math.max(1, nextOrder - recentOrders); o < nextOrder; o += 1) {
      const { lineCount } = tx.db.order.row([w, d, o]) ?? missing(tx, 'order')
      for (let n = 1; n <= lineCount; n += 1) {
        items.add((tx.db.orderLine.row([w, d, o, n]) ?? missing(tx, 'orderLine')).item)
      }
    }
    let low = 0
    for (const i of items) {
      const { quantity } = tx.db.stock.row([w, i]) ?? missing(tx, 'stock')
      if (quantity < threshold) low += 1
    }
    return { low }
  },
)

/** By number, or by last name: the one in the middle, rounded up, by first name (clause 2.5.2.2). */
function customerOf(tx: Tx, w: number, d: number, c: number | null, last: string | null): RowOf<typeof tpcc.tables.customer> {
  if (c !== null) return tx.db.customer.row([w, d, c]) ?? missing(tx, 'customer')
  const named = last === null ? [] : [...tx.db.customer.index.byName.rows([w, d, last])]
  if (named.length > 1) named.sort((one, other) => (one.first < other.first ? -1 : 1))
  return named[Math.ceil(named.length / 2) - 1] ?? missing(tx, 'customer')
}

/** What the population has and nothing deletes: if it is not there, something is wrong with us. */
function missing(tx: Tx, table: string): never {
  throw tx.abort('NO_SUCH_ROW', { table })
}
