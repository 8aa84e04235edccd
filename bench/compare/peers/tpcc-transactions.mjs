/**
 * The five transactions of TPC-C for those that have no language of their own: plain JavaScript and lmdb. A store gives rows as objects;
 * what was changed in one is handed back to it with `save`, which for objects that lie in memory does nothing.
 *
 * NewOrder looks at all its items before it writes: one that does not exist ends it with nothing to undo.
 *
 * A store has: warehouse(w), district(w, d), customer(w, d, c), item(i), stock(w, i), order(w, d, o), line(w, d, o, n);
 * save(table, row); insertOrder(row), insertLine(row), insertNewOrder(w, d, o), insertHistory(row);
 * oldestNewOrder(w, d), deleteNewOrder(w, d, o); customersNamed(w, d, last), sorted by first name; latestOrder(w, d, c).
 */
const wholeRate = 100_00
const original = 'ORIGINAL'
const badCreditDataMax = 500
const recentOrders = 20
const districts = 10

export function tpccTransactions(store) {
  const { save } = store
  const customerOf = (w, d, c, last) => {
    if (c !== null) return store.customer(w, d, c)
    const named = store.customersNamed(w, d, last)
    return named[Math.ceil(named.length / 2) - 1]
  }

  const newOrder = ({ w, d, c, lines }) => {
    const items = []
    for (const line of lines) {
      const item = store.item(line.item)
      if (item === undefined) return undefined
      items.push(item)
    }
    const warehouse = store.warehouse(w)
    const district = store.district(w, d)
    const customer = store.customer(w, d, c)
    const o = district.nextOrder
    district.nextOrder = o + 1
    save('district', district)
    const allLocal = lines.every((line) => line.supplier === w)
    store.insertOrder({ w, d, o, c, entered: Date.now(), carrier: null, lineCount: lines.length, allLocal })
    store.insertNewOrder(w, d, o)
    const dist = `dist${d}`
    let sum = 0
    let brands = ''
    for (let place = 0; place < lines.length; place += 1) {
      const { item: i, supplier, quantity } = lines[place]
      const item = items[place]
      const stock = store.stock(supplier, i)
      const left = stock.quantity - quantity
      stock.quantity = left >= 10 ? left : left + 91
      stock.ytd += quantity
      stock.orderCount += 1
      if (supplier !== w) stock.remoteCount += 1
      save('stock', stock)
      const amount = quantity * item.price
      sum += amount
      brands += item.data.includes(original) && stock.data.includes(original) ? 'B' : 'G'
      store.insertLine({ w, d, o, n: place + 1, item: i, supplier, delivered: null, quantity, amount, distInfo: stock[dist] })
    }
    const rate = ((wholeRate - customer.discount) / wholeRate) * (1 + (warehouse.tax + district.tax) / wholeRate)
    return { o, total: Math.round(sum * rate), brands }
  }

  const payment = ({ w, d, cw, cd, c, last, amount }) => {
    const warehouse = store.warehouse(w)
    const district = store.district(w, d)
    warehouse.ytd += amount
    save('warehouse', warehouse)
    district.ytd += amount
    save('district', district)
    const customer = customerOf(cw, cd, c, last)
    customer.balance -= amount
    customer.ytdPayment += amount
    customer.paymentCount += 1
    if (customer.credit === 'BC') {
      customer.data = (`${customer.c} ${cd} ${cw} ${d} ${w} ${amount}|` + customer.data).slice(0, badCreditDataMax)
    }
    save('customer', customer)
    store.insertHistory({
      cw, cd, c: customer.c, seq: customer.paymentCount, w, d, date: Date.now(), amount,
      data: `${warehouse.name}    ${district.name}`,
    })
    return { c: customer.c, balance: customer.balance }
  }

  const orderStatus = ({ w, d, c, last }) => {
    const customer = customerOf(w, d, c, last)
    const order = store.latestOrder(w, d, customer.c)
    const lines = []
    for (let n = 1; n <= order.lineCount; n += 1) {
      const { item, supplier, quantity, amount, delivered } = store.line(w, d, order.o, n)
      lines.push({ item, supplier, quantity, amount, delivered })
    }
    return { c: customer.c, balance: customer.balance, o: order.o, entered: order.entered, carrier: order.carrier, lines }
  }

  const delivery = ({ w, carrier }) => {
    const delivered = []
    for (let d = 1; d <= districts; d += 1) {
      const o = store.oldestNewOrder(w, d)
      delivered.push(o ?? 0)
      if (o === undefined) continue
      store.deleteNewOrder(w, d, o)
      const order = store.order(w, d, o)
      order.carrier = carrier
      save('order', order)
      const now = Date.now()
      let sum = 0
      for (let n = 1; n <= order.lineCount; n += 1) {
        const line = store.line(w, d, o, n)
        line.delivered = now
        save('orderLine', line)
        sum += line.amount
      }
      const customer = store.customer(w, d, order.c)
      customer.balance += sum
      customer.deliveryCount += 1
      save('customer', customer)
    }
    return { delivered }
  }

  const stockLevel = ({ w, d, threshold }) => {
    const { nextOrder } = store.district(w, d)
    const items = new Set()
    for (let o = Math.max(1, nextOrder - recentOrders); o < nextOrder; o += 1) {
      const { lineCount } = store.order(w, d, o)
      for (let n = 1; n <= lineCount; n += 1) items.add(store.line(w, d, o, n).item)
    }
    let low = 0
    for (const i of items) if (store.stock(w, i).quantity < threshold) low += 1
    return { low }
  }
  return { newOrder, payment, orderStatus, delivery, stockLevel }
}

/** Every row of the population, as [table, row]; each order before its lines. */
export function* rowsOf(population) {
  const named = function* (table, rows) {
    for (const row of rows) yield [table, row]
  }
  yield* named('item', population.items())
  for (let w = 1; w <= population.warehouses; w += 1) {
    yield ['warehouse', population.warehouse(w)]
    yield* named('district', population.districts(w))
    yield* named('stock', population.stock(w))
    for (let d = 1; d <= districts; d += 1) {
      yield* named('customer', population.customers(w, d))
      yield* named('history', population.history(w, d))
      for (const { order, lines } of population.orders(w, d)) {
        yield ['order', order]
        yield* named('orderLine', lines)
      }
      yield* named('newOrder', population.newOrders(w, d))
    }
  }
}

/** Hands every row of the population to `take[table]`. */
export function populate(population, take) {
  for (const [table, row] of rowsOf(population)) take[table](row)
}
