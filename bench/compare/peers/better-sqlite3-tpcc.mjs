/**
 * TPC-C with better-sqlite3: tables WITHOUT ROWID on the keys of TPC-C, the history in the order in which it comes, every statement prepared,
 * rows read as arrays. NewOrder looks at all its items before it writes: one that does not exist leaves nothing to undo in a
 * group, and rolls back a transaction of its own.
 */
import { groupedPlay, loaded, openDatabase, transactions } from './better-sqlite3-open.mjs'
import { populate } from './tpcc-transactions.mjs'

const wholeRate = 100_00
const original = 'ORIGINAL'
const recentOrders = 20
const districts = 10

const definitions = `
  CREATE TABLE item (i INTEGER PRIMARY KEY, image INTEGER, name TEXT, price INTEGER, data TEXT);
  CREATE TABLE warehouse (
    w INTEGER PRIMARY KEY, name TEXT, street1 TEXT, street2 TEXT, city TEXT, state TEXT, zip TEXT, tax INTEGER, ytd INTEGER);
  CREATE TABLE district (
    w INTEGER, d INTEGER, name TEXT, street1 TEXT, street2 TEXT, city TEXT, state TEXT, zip TEXT, tax INTEGER, ytd INTEGER,
    nextOrder INTEGER, PRIMARY KEY (w, d)) WITHOUT ROWID;
  CREATE TABLE stock (
    w INTEGER, i INTEGER, quantity INTEGER, ytd INTEGER, orderCount INTEGER, remoteCount INTEGER,
    dist1 TEXT, dist2 TEXT, dist3 TEXT, dist4 TEXT, dist5 TEXT, dist6 TEXT, dist7 TEXT, dist8 TEXT, dist9 TEXT, dist10 TEXT,
    data TEXT, PRIMARY KEY (w, i)) WITHOUT ROWID;
  CREATE TABLE customer (
    w INTEGER, d INTEGER, c INTEGER, first TEXT, middle TEXT, last TEXT, street1 TEXT, street2 TEXT, city TEXT, state TEXT,
    zip TEXT, phone TEXT, since INTEGER, credit TEXT, creditLimit INTEGER, discount INTEGER, balance INTEGER,
    ytdPayment INTEGER, paymentCount INTEGER, deliveryCount INTEGER, data TEXT, PRIMARY KEY (w, d, c)) WITHOUT ROWID;
  CREATE TABLE history (
    cw INTEGER, cd INTEGER, c INTEGER, seq INTEGER, w INTEGER, d INTEGER, date INTEGER, amount INTEGER, data TEXT);
  CREATE TABLE "order" (
    w INTEGER, d INTEGER, o INTEGER, c INTEGER, entered INTEGER, carrier INTEGER, lineCount INTEGER, allLocal INTEGER,
    PRIMARY KEY (w, d, o)) WITHOUT ROWID;
  CREATE TABLE orderLine (
    w INTEGER, d INTEGER, o INTEGER, n INTEGER, item INTEGER, supplier INTEGER, delivered INTEGER, quantity INTEGER,
    amount INTEGER, distInfo TEXT, PRIMARY KEY (w, d, o, n)) WITHOUT ROWID;
  CREATE TABLE newOrder (w INTEGER, d INTEGER, o INTEGER, PRIMARY KEY (w, d, o)) WITHOUT ROWID;
`
const indexes = `
  CREATE INDEX byName ON customer (w, d, last, first);
  CREATE INDEX byCustomer ON "order" (w, d, c, o);
`
const tables = ['item', 'warehouse', 'district', 'stock', 'customer', 'history', 'order', 'orderLine', 'newOrder']

/** Rolled back, as the plan has it for one NewOrder of a hundred. */
class UnusedItem extends Error {}

export function tpccWarehouses({ plan, data, directory, options }) {
  const { Population, tpccInput, tpccDigest, tallyOf } = data.tpcc
  const db = openDatabase(directory, { cacheMiB: 1_024, ...options })
  db.exec(definitions)
  loaded(db, options, () => {
    populate(new Population(plan), Object.fromEntries(tables.map((name) => [name, inserter(db, name)])))
    db.exec(indexes)
    db.exec('ANALYZE')
  })
  const run = prepared(db)
  const inTransaction = transactions(db)
  const operate = (index) => {
    const { kind, input } = tpccInput(plan, index)
    return run[kind](input)
  }
  const inGroup = (index) => unlessUnused(() => operate(index))
  const alone = (index) => unlessUnused(() => inTransaction(() => operate(index)))
  return {
    play: groupedPlay(db, options, inGroup, alone),
    digest() {
      const rows = (name) => ({ [Symbol.iterator]: () => db.prepare(`SELECT * FROM "${name}"`).iterate() })
      return tpccDigest(tallyOf(Object.fromEntries(tables.map((name) => [name, rows(name)]))))
    },
    close: () => db.close(),
  }
}

function unlessUnused(work) {
  try {
    work()
  } catch (error) {
    if (!(error instanceof UnusedItem)) throw error
  }
}

function inserter(db, table) {
  const names = db.pragma(`table_info("${table}")`).map(({ name }) => name)
  const insert = db.prepare(`INSERT INTO "${table}" (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`)
  const stored = (value) => (typeof value === 'boolean' ? Number(value) : value)
  return (row) => void insert.run(...names.map((name) => stored(row[name])))
}

function prepared(db) {
  const one = (text) => db.prepare(text).raw()
  const warehouse = one('SELECT tax, name FROM warehouse WHERE w = ?')
  const district = one('SELECT tax, nextOrder, name FROM district WHERE w = ? AND d = ?')
  const takeOrder = db.prepare('UPDATE district SET nextOrder = nextOrder + 1 WHERE w = ? AND d = ?')
  const discountOf = db.prepare('SELECT discount FROM customer WHERE w = ? AND d = ? AND c = ?').pluck()
  const insertOrder = db.prepare('INSERT INTO "order" VALUES (?, ?, ?, ?, ?, NULL, ?, ?)')
  const insertNewOrder = db.prepare('INSERT INTO newOrder VALUES (?, ?, ?)')
  const item = one('SELECT price, data FROM item WHERE i = ?')
  const stock = Array.from({ length: districts }, (_, place) =>
    one(`SELECT quantity, dist${place + 1} FROM stock WHERE w = ? AND i = ?`))
  const stockData = db.prepare('SELECT data FROM stock WHERE w = ? AND i = ?').pluck()
  const setStock = db.prepare(`UPDATE stock SET quantity = ?, ytd = ytd + ?, orderCount = orderCount + 1,
    remoteCount = remoteCount + ? WHERE w = ? AND i = ?`)
  const insertLine = db.prepare('INSERT INTO orderLine VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)')

  const newOrder = ({ w, d, c, lines }) => {
    const items = []
    for (const line of lines) {
      const found = item.get(line.item)
      if (found === undefined) throw new UnusedItem()
      items.push(found)
    }
    const [warehouseTax] = warehouse.get(w)
    const [districtTax, o] = district.get(w, d)
    takeOrder.run(w, d)
    const discount = discountOf.get(w, d, c)
    const allLocal = lines.every((line) => line.supplier === w)
    insertOrder.run(w, d, o, c, Date.now(), lines.length, allLocal ? 1 : 0)
    insertNewOrder.run(w, d, o)
    let sum = 0
    let brands = ''
    for (let place = 0; place < lines.length; place += 1) {
      const { item: i, supplier, quantity } = lines[place]
      const [price, itemData] = items[place]
      const [there, distInfo] = stock[d - 1].get(supplier, i)
      const left = there - quantity
      setStock.run(left >= 10 ? left : left + 91, quantity, supplier === w ? 0 : 1, supplier, i)
      sum += quantity * price
      brands += itemData.includes(original) && stockData.get(supplier, i).includes(original) ? 'B' : 'G'
      insertLine.run(w, d, o, place + 1, i, supplier, quantity, quantity * price, distInfo)
    }
    const rate = ((wholeRate - discount) / wholeRate) * (1 + (warehouseTax + districtTax) / wholeRate)
    return { o, total: Math.round(sum * rate), brands }
  }

  const addToWarehouse = db.prepare('UPDATE warehouse SET ytd = ytd + ? WHERE w = ?')
  const addToDistrict = db.prepare('UPDATE district SET ytd = ytd + ? WHERE w = ? AND d = ?')
  const named = db.prepare('SELECT c FROM customer WHERE w = ? AND d = ? AND last = ? ORDER BY first').pluck()
  const customer = one('SELECT balance, paymentCount, credit FROM customer WHERE w = ? AND d = ? AND c = ?')
  const pay = db.prepare(`UPDATE customer SET balance = balance - ?, ytdPayment = ytdPayment + ?, paymentCount = paymentCount + 1
    WHERE w = ? AND d = ? AND c = ?`)
  const payBadly = db.prepare(`UPDATE customer SET balance = balance - ?, ytdPayment = ytdPayment + ?,
    paymentCount = paymentCount + 1, data = substr(? || data, 1, 500) WHERE w = ? AND d = ? AND c = ?`)
  const insertHistory = db.prepare('INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const numberOf = (w, d, c, last) => {
    if (c !== null) return c
    const numbers = named.all(w, d, last)
    return numbers[Math.ceil(numbers.length / 2) - 1]
  }

  const payment = ({ w, d, cw, cd, c, last, amount }) => {
    const [, warehouseName] = warehouse.get(w)
    const [, , districtName] = district.get(w, d)
    addToWarehouse.run(amount, w)
    addToDistrict.run(amount, w, d)
    const who = numberOf(cw, cd, c, last)
    const [balance, payments, credit] = customer.get(cw, cd, who)
    if (credit === 'BC') payBadly.run(amount, amount, `${who} ${cd} ${cw} ${d} ${w} ${amount}|`, cw, cd, who)
    else pay.run(amount, amount, cw, cd, who)
    insertHistory.run(cw, cd, who, payments + 1, w, d, Date.now(), amount, `${warehouseName}    ${districtName}`)
    return { c: who, balance: balance - amount }
  }

  const latest = one('SELECT o, entered, carrier FROM "order" WHERE w = ? AND d = ? AND c = ? ORDER BY o DESC LIMIT 1')
  const linesOf = db.prepare('SELECT item, supplier, quantity, amount, delivered FROM orderLine WHERE w = ? AND d = ? AND o = ?')
  const orderStatus = ({ w, d, c, last }) => {
    const who = numberOf(w, d, c, last)
    const [balance] = customer.get(w, d, who)
    const [o, entered, carrier] = latest.get(w, d, who)
    return { c: who, balance, o, entered, carrier, lines: linesOf.all(w, d, o) }
  }

  const oldest = db.prepare('SELECT o FROM newOrder WHERE w = ? AND d = ? ORDER BY o LIMIT 1').pluck()
  const deleteNewOrder = db.prepare('DELETE FROM newOrder WHERE w = ? AND d = ? AND o = ?')
  const ordererOf = db.prepare('SELECT c FROM "order" WHERE w = ? AND d = ? AND o = ?').pluck()
  const setCarrier = db.prepare('UPDATE "order" SET carrier = ? WHERE w = ? AND d = ? AND o = ?')
  const setDelivered = db.prepare('UPDATE orderLine SET delivered = ? WHERE w = ? AND d = ? AND o = ?')
  const sumOf = db.prepare('SELECT sum(amount) FROM orderLine WHERE w = ? AND d = ? AND o = ?').pluck()
  const deliverTo = db.prepare(`UPDATE customer SET balance = balance + ?, deliveryCount = deliveryCount + 1
    WHERE w = ? AND d = ? AND c = ?`)
  const delivery = ({ w, carrier }) => {
    const delivered = []
    for (let d = 1; d <= districts; d += 1) {
      const o = oldest.get(w, d)
      delivered.push(o ?? 0)
      if (o === undefined) continue
      deleteNewOrder.run(w, d, o)
      const c = ordererOf.get(w, d, o)
      setCarrier.run(carrier, w, d, o)
      setDelivered.run(Date.now(), w, d, o)
      deliverTo.run(sumOf.get(w, d, o), w, d, c)
    }
    return { delivered }
  }

  const low = db.prepare(`SELECT count(*) FROM (
      SELECT DISTINCT item FROM orderLine WHERE w = ? AND d = ? AND o >= ? AND o < ?
    ) recent CROSS JOIN stock s WHERE s.w = ? AND s.i = recent.item AND s.quantity < ?`).pluck()
  const stockLevel = ({ w, d, threshold }) => {
    const [, nextOrder] = district.get(w, d)
    return { low: low.get(w, d, nextOrder - recentOrders, nextOrder, w, threshold) }
  }
  return { newOrder, payment, orderStatus, delivery, stockLevel }
}
