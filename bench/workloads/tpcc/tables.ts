/**
 * The nine tables of TPC-C (clause 1.3), all of a warehouse in one partition; population.ts explains the columns.
 *
 *   item is `global`: the same for every warehouse, read by each and written by nobody after the load.
 *   newOrder is ordered: the oldest one of a district is delivered next.
 *   orders and their lines are not: whoever wants some of them knows their numbers, from D_NEXT_O_ID and O_OL_CNT.
 *   customer.byName finds the three or so of one last name; order.byCustomer a customer's latest order.
 *
 * Definitions only: partition workers import this module.
 */
import { column as c, service, table } from 'sluicedb'

const address = { street1: c.text(), street2: c.text(), city: c.text(), state: c.text(), zip: c.text() }

const item = table({
  columns: { i: c.i32(), image: c.i32(), name: c.text(), price: c.i32(), data: c.text() },
  key: ['i'],
  partition: 'global',
})

const warehouse = table({
  columns: { w: c.i32(), name: c.text(), ...address, tax: c.i32(), ytd: c.int() },
  key: ['w'],
})

const district = table({
  columns: { w: c.i32(), d: c.i32(), name: c.text(), ...address, tax: c.i32(), ytd: c.int(), nextOrder: c.i32() },
  key: ['w', 'd'],
})

const stock = table({
  columns: {
    w: c.i32(), i: c.i32(), quantity: c.i32(),
    dist1: c.text(), dist2: c.text(), dist3: c.text(), dist4: c.text(), dist5: c.text(),
    dist6: c.text(), dist7: c.text(), dist8: c.text(), dist9: c.text(), dist10: c.text(),
    ytd: c.int(), orderCount: c.i32(), remoteCount: c.i32(), data: c.text(),
  },
  key: ['w', 'i'],
})

const customer = table({
  columns: {
    w: c.i32(), d: c.i32(), c: c.i32(), first: c.text(), middle: c.text(), last: c.text(), ...address,
    phone: c.text(), since: c.timestamp(), credit: c.enum(['GC', 'BC']), creditLimit: c.int(), discount: c.i32(),
    balance: c.int(), ytdPayment: c.int(), paymentCount: c.i32(), deliveryCount: c.i32(), data: c.text(),
  },
  key: ['w', 'd', 'c'],
  indexes: { byName: { on: ['w', 'd', 'last'] } },
})

const history = table({
  columns: {
    cw: c.i32(), cd: c.i32(), c: c.i32(), seq: c.i32(), w: c.i32(), d: c.i32(),
    date: c.timestamp(), amount: c.i32(), data: c.text(),
  },
  key: ['cw', 'cd', 'c', 'seq'],
})

const order = table({
  columns: {
    w: c.i32(), d: c.i32(), o: c.i32(), c: c.i32(), entered: c.timestamp(), carrier: c.i32().nullable(),
    lineCount: c.i32(), allLocal: c.bool(),
  },
  key: ['w', 'd', 'o'],
  indexes: { byCustomer: { on: ['w', 'd', 'c', 'o'], range: true } },
})

const orderLine = table({
  columns: {
    w: c.i32(), d: c.i32(), o: c.i32(), n: c.i32(), item: c.i32(), supplier: c.i32(),
    delivered: c.timestamp().nullable(), quantity: c.i32(), amount: c.i32(), distInfo: c.text(),
  },
  key: ['w', 'd', 'o', 'n'],
})

const newOrder = table({ columns: { w: c.i32(), d: c.i32(), o: c.i32() }, key: ['w', 'd', 'o'], ordered: true })

/** UNUSED_ITEM is the rollback that clause 2.4.1.4 asks for. */
export const tpcc = service('tpcc', {
  tables: { item, warehouse, district, stock, customer, history, order, orderLine, newOrder },
  aborts: { UNUSED_ITEM: { item: c.i32() }, NO_SUCH_ROW: { table: c.text() } },
})
