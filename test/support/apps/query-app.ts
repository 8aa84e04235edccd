/** A small shop with every kind of way to its rows, and procedures that ask queries: for the tests of queries. */
import { and, app, avg, column as c, count, desc, eq, gte, lt, lte, oneOf, or, select, service, sum, table } from 'sluicedb'

const customer = table({
  columns: { id: c.text(), city: c.text(), credit: c.int(), level: c.enum(['new', 'good', 'best']).default('new'), note: c.text().nullable() },
  key: ['id'],
  indexes: { byCity: { on: ['city'] }, byCredit: { on: ['credit'], range: true }, byNote: { on: ['note', 'credit'], range: true } },
})
const order = table({
  columns: { customer: c.text(), n: c.int(), product: c.text(), total: c.int(), lines: c.json<{ count: number }[]>() },
  key: ['customer', 'n'],
  ordered: true,
  indexes: { byProduct: { on: ['product'] } },
})
const product = table({ columns: { id: c.text(), name: c.text(), price: c.bigint() }, key: ['id'], partition: 'global' })
/** No order, no index: only its key leads to a row. */
const blob = table({ columns: { id: c.int(), bytes: c.bytes(), at: c.timestamp() }, key: ['id'] })

export const shop = service('shop', { tables: { customer, order, product, blob } })
const item = table({ columns: { id: c.int(), n: c.int() }, key: ['id'], ordered: true })
export const store = service('store', { tables: { item } })

export const ordersOf = select(shop.tables.order)
  .params({ customer: c.text(), from: c.int().default(0), most: c.int().default(100) })
  .where((row, p) => and(eq(row.customer, p.customer), gte(row.n, p.from)))
  .orderBy((row) => row.n)
  .limit((p) => p.most)
export const inCity = select(shop.tables.customer)
  .params({ city: c.text() })
  .where((row, p) => eq(row.city, p.city))
  .orderBy((row) => desc(row.credit))
export const richest = select(shop.tables.customer).orderBy((row) => desc(row.credit)).limit(3)
export const spent = select({ who: shop.tables.customer, order: shop.tables.order })
  .params({ city: c.text() })
  .where(({ who, order }, p) => and(eq(who.city, p.city), eq(order.customer, who.id)))
  .groupBy(({ who }) => who.id)
  .columns(({ who, order }) => ({ id: who.id, orders: count(), total: sum(order.total), mean: avg(order.total) }))
  .orderBy(({ who }) => who.id)
export const chosen = select(shop.tables.customer)
  .params({ ids: c.json<string[]>() })
  .where((row, p) => oneOf(row.id, p.ids))
  .columns((row) => ({ id: row.id, credit: row.credit }))
  .orderBy((row) => row.id)
export const between = select(shop.tables.customer)
  .params({ low: c.int(), high: c.int() })
  .where((row, p) => and(gte(row.credit, p.low), lte(row.credit, p.high)))
  .orderBy((row) => row.credit)
export const everyBlob = select(shop.tables.blob)
export const allItems = select(store.tables.item)

export const openCustomer = shop.procedure('openCustomer', { input: { id: c.text(), city: c.text(), credit: c.int(), note: c.text().nullable() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.customer.put(it)
})
export const placeOrder = shop.procedure('placeOrder', { input: { customer: c.text(), product: c.text(), total: c.int() }, partition: (it) => it.customer }, (tx, it) => {
  const last = tx.query(select(shop.tables.order).params({ customer: c.text() }).where((row, p) => eq(row.customer, p.customer)).orderBy((row) => desc(row.n)).limit(1), { customer: it.customer })
  const n = (last[0]?.n ?? 0) + 1
  tx.db.order.insert({ ...it, n, lines: [{ count: n }] })
  return n
})
export const statement = shop.procedure('statement', { input: { customer: c.text() }, partition: (it) => it.customer }, (tx, it) => tx.query(ordersOf, { customer: it.customer }))
/** Rewards the richest of a city: reads a query, writes what it found. */
export const reward = shop.procedure('reward', { input: { city: c.text(), by: c.int() } }, (tx, it) => {
  const [first] = tx.query(inCity, { city: it.city })
  if (first === undefined) throw tx.abort('NOBODY')
  tx.db.customer.update(first.id, { credit: first.credit + it.by })
  return tx.query(inCity, { city: it.city }).map(({ id, credit }) => ({ id, credit }))
})
export const report = shop.procedure('report', { input: { city: c.text() } }, (tx, it) => tx.query(spent, it))
export const choose = shop.procedure('choose', { input: { ids: c.json<string[]>() } }, (tx, it) => tx.query(chosen, it))
/** Placed beside the customer, and asks about all of them: a stray. */
export const compareWithAll = shop.procedure('compareWithAll', { input: { id: c.text() }, partition: (it) => it.id }, (tx, it) => {
  const mine = tx.db.customer.get(it.id)?.credit ?? 0
  return tx.query(select(shop.tables.customer).params({ mine: c.int() }).where((row, p) => lt(row.credit, p.mine)).columns(() => ({ behind: count() })), { mine })[0]!.behind
})
export const misuse = shop.procedure('misuse', { input: { how: c.text() } }, (tx, { how }) => {
  tx.db.product.put({ id: 'never', name: 'never', price: 0n })
  try {
    if (how === 'no way') tx.query(everyBlob)
    if (how === 'not mine') tx.query(allItems)
    if (how === 'no query') tx.query({} as never)
    if (how === 'parameter') tx.query(inCity, { city: 5 } as never)
    if (how === 'option') tx.query(richest, {}, { before: 1 } as never)
  } catch {
    // Doomed is doomed, caught or not.
  }
})
export const either = select(shop.tables.customer).where((row) => or(eq(row.city, 'Bern'), eq(row.id, 'ann')))

export default app(import.meta.url, [shop, store])
