/**
 * TPC-C in plain JavaScript: rows are objects, changed in place. By default they lie in arrays by the parts of their keys, which is
 * the fastest that JavaScript has; with `store: 'map'` in one `Map` for each table, by a key of one number.
 */
import { populate, tpccTransactions } from './tpcc-transactions.mjs'

const districts = 10

export function tpccWarehouses({ plan, data, options }) {
  const { Population, tpccInput, tpccDigest, tallyOf } = data.tpcc
  const population = new Population(plan)
  const { store, take, state } = options.store === 'map' ? maps(population) : arrays(population)
  populate(population, take)
  const transactions = tpccTransactions(store)
  return {
    play(first, count) {
      for (let index = first; index < first + count; index += 1) {
        const { kind, input } = tpccInput(plan, index)
        transactions[kind](input)
      }
    },
    digest: () => tpccDigest(tallyOf(state())),
    close() {},
  }
}

/** By district: customers of each last name, each customer's latest order, the undelivered orders. */
function besideTables({ warehouses }) {
  const each = (make) => Array.from({ length: (warehouses + 1) * districts }, make)
  const named = each(() => new Map())
  const latest = each(() => [])
  const undelivered = each(() => new Queue())
  const place = (w, d) => w * districts + d - 1 - districts
  return {
    customersNamed: (w, d, last) => named[place(w, d)].get(last),
    addCustomer(row) {
      const group = named[place(row.w, row.d)]
      const rows = group.get(row.last) ?? []
      rows.push(row)
      rows.sort((one, other) => (one.first < other.first ? -1 : 1))
      group.set(row.last, rows)
    },
    latest: (w, d) => latest[place(w, d)],
    undelivered: (w, d) => undelivered[place(w, d)],
    *undeliveredRows() {
      for (let w = 1; w <= warehouses; w += 1) {
        for (let d = 1; d <= districts; d += 1) for (const o of undelivered[place(w, d)]) yield { w, d, o }
      }
    },
  }
}

/** Whole numbers, first in first out. */
class Queue {
  #items = []
  #first = 0

  push(item) {
    this.#items.push(item)
  }

  first() {
    return this.#items[this.#first]
  }

  shift() {
    this.#first += 1
    if (this.#first < 4_096) return
    this.#items = this.#items.slice(this.#first)
    this.#first = 0
  }

  *[Symbol.iterator]() {
    for (let place = this.#first; place < this.#items.length; place += 1) yield this.#items[place]
  }
}

function arrays(population) {
  const { warehouses } = population
  const beside = besideTables(population)
  const ofWarehouses = (make) => Array.from({ length: warehouses + 1 }, make)
  const ofDistricts = () => ofWarehouses(() => Array.from({ length: districts + 1 }, () => []))
  const items = []
  const warehouse = []
  const district = ofWarehouses(() => [])
  const stock = ofWarehouses(() => [])
  const customer = ofDistricts()
  const order = ofDistricts()
  const lines = ofDistricts()
  const history = []
  const insertOrder = (row) => {
    order[row.w][row.d][row.o] = row
    lines[row.w][row.d][row.o] = []
    beside.latest(row.w, row.d)[row.c] = row
  }
  const insertLine = (row) => void lines[row.w][row.d][row.o].push(row)
  const insertHistory = (row) => void history.push(row)
  const insertNewOrder = (w, d, o) => beside.undelivered(w, d).push(o)
  const present = (rows) => rows.flat(2).filter((row) => row !== undefined)
  return {
    store: {
      item: (i) => items[i],
      warehouse: (w) => warehouse[w],
      district: (w, d) => district[w][d],
      stock: (w, i) => stock[w][i],
      customer: (w, d, c) => customer[w][d][c],
      order: (w, d, o) => order[w][d][o],
      line: (w, d, o, n) => lines[w][d][o][n - 1],
      save() {},
      insertOrder, insertLine, insertHistory, insertNewOrder,
      oldestNewOrder: (w, d) => beside.undelivered(w, d).first(),
      deleteNewOrder: (w, d) => beside.undelivered(w, d).shift(),
      customersNamed: beside.customersNamed,
      latestOrder: (w, d, c) => beside.latest(w, d)[c],
    },
    take: {
      item: (row) => void (items[row.i] = row),
      warehouse: (row) => void (warehouse[row.w] = row),
      district: (row) => void (district[row.w][row.d] = row),
      stock: (row) => void (stock[row.w][row.i] = row),
      customer(row) {
        customer[row.w][row.d][row.c] = row
        beside.addCustomer(row)
      },
      history: insertHistory,
      order: insertOrder,
      orderLine: insertLine,
      newOrder: (row) => insertNewOrder(row.w, row.d, row.o),
    },
    state: () => ({
      item: items.slice(1), warehouse: warehouse.slice(1), district: present(district), stock: present(stock),
      customer: present(customer), history, order: present(order), orderLine: present(lines.flat(2)),
      newOrder: [...beside.undeliveredRows()],
    }),
  }
}

/** Keys above 2^31 are boxed by V8, which costs; nested maps cost more. */
function maps(population) {
  const beside = besideTables(population)
  const names = ['item', 'warehouse', 'district', 'stock', 'customer', 'history', 'order', 'orderLine']
  const tables = Object.fromEntries(names.map((name) => [name, new Map()]))
  const { items, customers } = population.scale
  const districtKey = (w, d) => w * districts + d - 1
  const stockKey = (w, i) => w * (items + 1) + i
  const customerKey = (w, d, c) => districtKey(w, d) * (customers + 1) + c
  const ordersMax = 2 ** 22
  const orderKey = (w, d, o) => districtKey(w, d) * ordersMax + o
  const linesMax = 16
  const lineKey = (w, d, o, n) => orderKey(w, d, o) * linesMax + n
  const insertOrder = (row) => {
    tables.order.set(orderKey(row.w, row.d, row.o), row)
    beside.latest(row.w, row.d)[row.c] = row
  }
  const insertLine = (row) => void tables.orderLine.set(lineKey(row.w, row.d, row.o, row.n), row)
  const insertHistory = (row) => void tables.history.set(tables.history.size, row)
  const insertNewOrder = (w, d, o) => beside.undelivered(w, d).push(o)
  return {
    store: {
      item: (i) => tables.item.get(i),
      warehouse: (w) => tables.warehouse.get(w),
      district: (w, d) => tables.district.get(districtKey(w, d)),
      stock: (w, i) => tables.stock.get(stockKey(w, i)),
      customer: (w, d, c) => tables.customer.get(customerKey(w, d, c)),
      order: (w, d, o) => tables.order.get(orderKey(w, d, o)),
      line: (w, d, o, n) => tables.orderLine.get(lineKey(w, d, o, n)),
      save() {},
      insertOrder, insertLine, insertHistory, insertNewOrder,
      oldestNewOrder: (w, d) => beside.undelivered(w, d).first(),
      deleteNewOrder: (w, d) => beside.undelivered(w, d).shift(),
      customersNamed: beside.customersNamed,
      latestOrder: (w, d, c) => beside.latest(w, d)[c],
    },
    take: {
      item: (row) => void tables.item.set(row.i, row),
      warehouse: (row) => void tables.warehouse.set(row.w, row),
      district: (row) => void tables.district.set(districtKey(row.w, row.d), row),
      stock: (row) => void tables.stock.set(stockKey(row.w, row.i), row),
      customer(row) {
        tables.customer.set(customerKey(row.w, row.d, row.c), row)
        beside.addCustomer(row)
      },
      history: insertHistory,
      order: insertOrder,
      orderLine: insertLine,
      newOrder: (row) => insertNewOrder(row.w, row.d, row.o),
    },
    state() {
      const rows = Object.fromEntries(names.map((name) => [name, [...tables[name].values()]]))
      return { ...rows, newOrder: [...beside.undeliveredRows()] }
    },
  }
}
