/**
 * TPC-C with lmdb-js: one database for each table, keys of one number each, values whole rows. What is asked for by name, the latest order
 * of a customer and the undelivered orders have databases of their own, as indexes.
 */
import { inFlightPlay } from './in-flight.mjs'
import { openTables } from './lmdb-open.mjs'
import { populate, tpccTransactions } from './tpcc-transactions.mjs'

const districts = 10
const ordersMax = 2 ** 22
const linesMax = 16

export async function tpccWarehouses({ plan, data, directory, options }) {
  const { Population, tpccInput, tpccDigest, tallyOf } = data.tpcc
  const population = new Population(plan)
  const names = [
    'item', 'warehouse', 'district', 'stock', 'customer', 'history', 'order', 'orderLine', 'newOrder', 'named', 'latest',
  ]
  const { root, tables } = openTables(directory, names, { ...options, keyEncoding: 'ordered-binary' })
  const [item, warehouse, district, stock, customer, history, order, orderLine, newOrder, named, latest] = tables
  const { items, customers } = population.scale
  const districtKey = (w, d) => w * districts + d - 1
  const stockKey = (w, i) => w * (items + 1) + i
  const customerKey = (w, d, c) => districtKey(w, d) * (customers + 1) + c
  const orderKey = (w, d, o) => districtKey(w, d) * ordersMax + o
  const lineKey = (w, d, o, n) => orderKey(w, d, o) * linesMax + n
  const nameKey = (w, d, last) => `${districtKey(w, d)} ${last}`

  const saves = {
    item: (row) => item.put(row.i, row),
    warehouse: (row) => warehouse.put(row.w, row),
    district: (row) => district.put(districtKey(row.w, row.d), row),
    stock: (row) => stock.put(stockKey(row.w, row.i), row),
    customer: (row) => customer.put(customerKey(row.w, row.d, row.c), row),
    history: (row) => history.put([customerKey(row.cw, row.cd, row.c), row.seq], row),
    order: (row) => order.put(orderKey(row.w, row.d, row.o), row),
    orderLine: (row) => orderLine.put(lineKey(row.w, row.d, row.o, row.n), row),
    newOrder: (row) => newOrder.put(orderKey(row.w, row.d, row.o), row),
  }
  const insertOrder = (row) => {
    saves.order(row)
    latest.put(customerKey(row.w, row.d, row.c), row.o)
  }
  const store = {
    item: (i) => item.get(i),
    warehouse: (w) => warehouse.get(w),
    district: (w, d) => district.get(districtKey(w, d)),
    stock: (w, i) => stock.get(stockKey(w, i)),
    customer: (w, d, c) => customer.get(customerKey(w, d, c)),
    order: (w, d, o) => order.get(orderKey(w, d, o)),
    line: (w, d, o, n) => orderLine.get(lineKey(w, d, o, n)),
    save: (table, row) => void saves[table](row),
    insertOrder,
    insertLine: saves.orderLine,
    insertHistory: saves.history,
    insertNewOrder: (w, d, o) => saves.newOrder({ w, d, o }),
    oldestNewOrder(w, d) {
      const [first] = newOrder.getRange({ start: orderKey(w, d, 0), end: orderKey(w, d + 1, 0), limit: 1 }).asArray
      return first?.value.o
    },
    deleteNewOrder: (w, d, o) => newOrder.remove(orderKey(w, d, o)),
    customersNamed: (w, d, last) => named.get(nameKey(w, d, last)).map((c) => customer.get(customerKey(w, d, c))),
    latestOrder: (w, d, c) => order.get(orderKey(w, d, latest.get(customerKey(w, d, c)))),
  }

  const byName = new Map()
  await root.transaction(() => populate(population, {
    ...saves,
    order: insertOrder,
    customer(row) {
      saves.customer(row)
      const key = nameKey(row.w, row.d, row.last)
      byName.set(key, [...(byName.get(key) ?? []), { first: row.first, c: row.c }])
    },
  }))
  await root.transaction(() => {
    for (const [key, rows] of byName) {
      rows.sort((one, other) => (one.first < other.first ? -1 : 1))
      named.put(key, rows.map(({ c }) => c))
    }
  })
  await root.flushed
  byName.clear()

  const transactions = tpccTransactions(store)
  const operate = (index) => {
    const { kind, input } = tpccInput(plan, index)
    return root.transaction(() => transactions[kind](input))
  }
  const rowsOf = (table) => ({ *[Symbol.iterator]() { for (const { value } of table.getRange()) yield value } })
  return {
    play: inFlightPlay(options.inFlight ?? 1, operate),
    digest() {
      const state = { item, warehouse, district, stock, customer, history, order, orderLine, newOrder }
      return tpccDigest(tallyOf(Object.fromEntries(Object.entries(state).map(([name, table]) => [name, rowsOf(table)]))))
    },
    close: () => root.close(),
  }
}
