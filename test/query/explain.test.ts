/** Which way a query takes, as its plan says it; and the plan as data. */
import { and, column as c, count, desc, eq, gt, gte, isNotNull, isNull, lt, lte, max, ne, not, oneOf, or, select, type Query } from 'sluicedb'
import { expect, test } from 'vitest'
import queryApp, { chosen, everyBlob, inCity, openCustomer, ordersOf, placeOrder, richest, shop, spent } from '../support/apps/query-app.js'
import { openFor } from '../support/fixture.js'

const { customer, order, product } = shop.tables
const plans: readonly (readonly [name: string, query: Query, text: string])[] = [
  ['the whole key is one look', select(customer).where((row) => eq(row.id, 'ann')), "read shop.customer by key id = \"ann\"\nanswer id, city, credit, level, note"],
  ['a list of keys', chosen, 'read shop.customer by key id in $ids\nsort by id\nanswer id, credit'],
  ['an ordered key: its beginning by value, the rest between bounds', ordersOf, 'read shop.order in order of its key, customer = $customer, n >= $from\nin order of n, customer\nlimit $most, reading no more rows than that\nanswer customer, n, product, total, lines'],
  ['in its order backwards', select(order).where((row) => eq(row.customer, 'ann')).orderBy((row) => desc(row.n)).limit(1), 'read shop.order in order of its key reversed, customer = "ann"\nin order of n desc, customer desc\nlimit 1, reading no more rows than that\nanswer customer, n, product, total, lines'],
  ['an index by value', inCity, 'read shop.customer by index byCity, city = $city\nsort by credit desc, id desc\nanswer id, city, credit, level, note'],
  ['an index in order, cut off by the limit', richest, 'read shop.customer in order of index byCredit reversed, all rows\nin order of credit desc, id desc\nlimit 3, reading no more rows than that\nanswer id, city, credit, level, note'],
  [
    'both bounds of a range; what it makes true is not tested again',
    select(customer).params({ low: c.int(), high: c.int() }).where((row, p) => and(gt(row.credit, p.low), lte(row.credit, p.high), ne(row.city, 'Bern'))).orderBy((row) => row.credit).limit(2),
    'read shop.customer in order of index byCredit, credit > $low, credit <= $high\n  where city <> "Bern"\nin order of credit, id\nlimit 2, ending there\nanswer id, city, credit, level, note',
  ],
  ['a fraction that whole numbers do not have is tested', select(customer).where((row) => lt(row.credit, 1.5)), 'read shop.customer in order of index byCredit, credit < 1.5\n  where credit < 1.5\nanswer id, city, credit, level, note'],
  ['null is a value of an index', select(customer).where((row) => isNull(row.note)).orderBy((row) => row.credit), 'read shop.customer in order of index byNote, note is null\nin order of credit, id\nanswer id, city, credit, level, note'],
  ['an upper bound would let null in, so it is tested', select(customer).where((row) => lt(row.note, 'm')), 'read shop.customer in order of index byNote, note < "m"\n  where note < "m"\nanswer id, city, credit, level, note'],
  [
    'not is carried to the leaves',
    select(customer).where((row) => not(or(and(eq(row.id, 'a'), lt(row.credit, 5)), isNotNull(row.note), oneOf(row.city, ['Bern'])))),
    'read shop.customer in order of index byNote, note is null\n  where id <> "a" or credit >= 5\n  where city not in ("Bern")\nanswer id, city, credit, level, note',
  ],
  [
    'a join follows the keys',
    spent,
    'read shop.customer as who by index byCity, city = $city\njoin shop.order as order in order of its key, customer = who.id\ngroup by who.id\nsort by who.id\nanswer who.id as id, count(*) as orders, sum(order.total) as total, avg(order.total) as mean',
  ],
  [
    'whichever table comes first in the text',
    select({ order, product, who: customer }).where(({ order, product, who }) => and(eq(order.product, product.id), eq(who.id, order.customer), eq(product.name, 'tea'), eq(order.customer, 'ann'))),
    'read shop.order as order in order of its key, customer = "ann"\njoin shop.product as product by key id = order.product\n  where product.name = "tea"\njoin shop.customer as who by key id = order.customer\nanswer order.*, product.*, who.*',
  ],
  [
    'groups and what is kept of them',
    select(order).groupBy((row) => row.product).having((row) => gte(count(), 2)).columns((row) => ({ product: row.product, largest: max(row.total) })).orderBy((row) => desc(max(row.total))).limit(5),
    'read shop.order in order of its key, all rows\ngroup by product\n  having count(*) >= 2\nsort by max(total) desc, product desc\nlimit 5\nanswer product, max(total) as largest',
  ],
  ['what no transaction can ask', everyBlob, 'outside of transactions only\nread shop.blob all rows\nanswer id, bytes, at'],
]

test.each(plans)('%s', (_, query, text) => {
  expect(query.explain()).toBe(text)
})

test('the plan is data, and means the same after a journey as JSON', () => {
  const query = select(product).params({ least: c.bigint() }).where((row, p) => and(gte(row.price, p.least), lt(row.price, 10n), ne(row.name, 'tea'))).limit(2)
  expect(JSON.parse(JSON.stringify(query.plan))).toEqual({
    version: 1,
    from: [{ as: '', table: 'shop.product' }],
    parameters: [{ name: 'least', type: 'bigint', nullable: false }],
    where: {
      is: 'and',
      conditions: [
        { is: 'gte', left: { is: 'column', of: 0, column: 'price' }, right: { is: 'parameter', parameter: 'least' } },
        { is: 'lt', left: { is: 'column', of: 0, column: 'price' }, right: { is: 'bigint', digits: '10' } },
        { is: 'ne', left: { is: 'column', of: 0, column: 'name' }, right: { is: 'value', value: 'tea' } },
      ],
    },
    limit: 2,
  })
})

test('outside of transactions the sizes of joined tables decide which one is read first', async () => {
  const db = await openFor(queryApp)
  const pairs = select({ who: customer, order }).where(({ who, order }) => and(eq(who.id, order.customer), eq(who.city, order.product)))
  for (let n = 0; n < 80; n += 1) await db.call(openCustomer, { id: `c${n}`, city: 'Bern', credit: n })
  await db.call(placeOrder, { customer: 'c1', product: 'Bern', total: 1 })
  expect(db.explain(pairs)).toMatch(/^read shop.order as order .*\njoin shop.customer as who by key/)
  expect(db.query(pairs)).toHaveLength(1)
  for (let n = 0; n < 400; n += 1) await db.call(placeOrder, { customer: `c${n % 80}`, product: 'tea', total: 1 })
  expect(db.explain(pairs)).toMatch(/^read shop.customer as who .*\njoin shop.order as order in order of its key/)
  expect(db.query(pairs)).toHaveLength(1)
})
