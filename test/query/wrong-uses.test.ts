/** What a query can be wrong about, and that it is said: at the step where it can be known, or when the query is first used. */
import { and, asc, avg, column as c, count, desc, eq, gt, gte, isNull, max, not, oneOf, or, select, service, sum, table, type Query } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import { limits } from '../../engine/base/limits.js'
import queryApp, { allItems, between, chosen, inCity, openCustomer, ordersOf, richest, shop } from '../support/apps/query-app.js'
import { openFor, thrown } from '../support/fixture.js'

const { customer, order, product, blob } = shop.tables
/** As plain JavaScript would write it. */
const loose = select as unknown as (from: unknown) => any
const looseAnd = and as unknown as (...all: unknown[]) => unknown
const looseOr = or as unknown as (...all: unknown[]) => unknown

describe('a definition is refused where it stands', () => {
  const wrong: readonly (readonly [name: string, define: () => unknown, says: RegExp])[] = [
    ['no table', () => loose(undefined), /select\(\) takes a table, or an object of tables by name, not undefined/],
    ['a list of tables', () => loose([customer]), /not an array/],
    ['something else among tables', () => loose({ who: customer, what: 5 }), /'what' is 5/],
    ['no tables', () => loose({}), /at least one table/],
    ['a name that JavaScript uses', () => loose({ constructor: customer }), /'constructor' cannot be the name/],
    ['a value for a condition', () => loose(customer).where(true), /must be a function, not true/],
    ['a condition that is none', () => loose(customer).where(() => true), /where\(\) takes conditions such as/],
    ['a column that is not there', () => loose(customer).where((row: any) => eq(row.cty, 'Bern')), /eq\(\) takes a column, a parameter or an aggregate, not undefined/],
    ['a parameter that is not there', () => loose(customer).where((row: any, p: any) => eq(row.city, p.city)), /eq\(\) takes a column, a parameter/],
    ['two types', () => loose(customer).where((row: any) => eq(row.city, 5)), /shop\.customer\.city is text and cannot be compared with 5/],
    ['two types of columns', () => loose({ a: customer, b: product }).where(({ a, b }: any) => eq(a.credit, b.price)), /a\.credit is number and cannot be compared with b\.price, which is bigint/],
    ['a word that an enum has not', () => loose(customer).where((row: any) => eq(row.level, 'worst')), /one of new, good, best and cannot be compared with "worst"/],
    ['enums of different words', () => loose(customer).params({ level: c.enum(['good', 'bad']) }).where((row: any, p: any) => eq(row.level, p.level)), /different words/],
    ['null', () => loose(customer).where((row: any) => eq(row.note, null as never)), /compares with null, which is never true: use isNull\(\)/],
    ['NaN', () => loose(customer).where((row: any) => eq(row.credit, NaN)), /eq\(\) takes a column/],
    ['two values', () => loose(customer).where(() => eq(1 as never, 2 as never)), /compares two values/],
    ['json', () => loose(order).where((row: any) => eq(row.lines, 'x')), /shop\.order\.lines, which is json/],
    ['a bare list', () => loose(customer).where((row: any) => oneOf(row.id, 'ann' as never)), /oneOf\(\) takes a column/],
    ['a list that is no json', () => loose(customer).params({ ids: c.text() }).where((row: any, p: any) => oneOf(row.id, p.ids)), /a list, or a parameter of type json/],
    ['a list of two types', () => loose(customer).where((row: any) => oneOf(row.id, ['ann', 5 as never])), /cannot be compared with 5/],
    ['and of nothing', () => looseAnd(), /and\(\) takes at least one condition/],
    ['or of something else', () => looseOr(5), /or\(\) takes conditions/],
    ['not of something else', () => not('x' as never), /not\(\) takes conditions/],
    ['an aggregate in where', () => loose(customer).where((row: any) => gt(sum(row.credit), 5)), /aggregates belong into having/],
    ['a sum of texts', () => loose(customer).where((row: any) => gt(sum(row.city), 5)), /sum\(shop\.customer\.city\) needs numbers/],
    ['parameters twice', () => loose(customer).params({ a: c.int() }).params({ b: c.int() }), /params\(\) was given before/],
    ['a generated parameter', () => loose(customer).params({ a: c.int().generated() }), /generated\(\) of column 'a' of the parameters/],
    ['a limit below nothing', () => loose(customer).limit(-1), /limit\(\) takes a whole number/],
    ['half a limit', () => loose(customer).limit(0.5), /limit\(\) takes a whole number/],
    ['a column as the limit', () => loose(customer).limit(() => 5), /limit\(\) takes a column, a parameter/],
    ['columns that are none', () => loose(customer).columns(() => ({ id: 'ann' })), /Column 'id' of columns\(\) takes a column/],
    ['no columns', () => loose(customer).columns(() => ({})), /at least one column/],
    ['a name that is not safe', () => loose(customer).columns((row: any) => ({ ['__proto__x y']: row.id })), /cannot be the name of a column of a query/],
    ['an order by nothing', () => loose(customer).orderBy(() => 'id'), /orderBy\(\) takes a column/],
    ['a direction of nothing', () => desc(undefined as never), /desc\(\) takes a column/],
  ]
  test.each(wrong)('%s', (_, define, says) => {
    expect(thrown(define, 'INVALID_DEFINITION').message).toMatch(says)
  })

  test('too many conditions, and lists that are too long', () => {
    const many = (n: number) => () => loose(customer).where((row: any) => looseAnd(...Array.from({ length: n }, () => isNull(row.note))))
    many(limits.queryConditionsMax - 1)()
    expect(thrown(many(limits.queryConditionsMax), 'INVALID_DEFINITION').message).toMatch(/at most 1024 conditions/)
    expect(thrown(() => loose(customer).where((row: any) => oneOf(row.id, Array.from({ length: 2_000 }, String))), 'INVALID_DEFINITION').message).toMatch(/make the list a parameter/)
  })
})

describe('what depends on the whole query is refused when it is first used', () => {
  const loneTable = table({ columns: { id: c.int() }, key: ['id'] })
  const elsewhere = service('elsewhere', { tables: { other: table({ columns: { id: c.int() }, key: ['id'] }) } })
  const wrong: readonly (readonly [name: string, query: Query, code: 'INVALID_DEFINITION' | 'INVALID_USE', says: RegExp])[] = [
    ['groups without columns', loose(customer).groupBy((row: any) => row.city), 'INVALID_DEFINITION', /A query with groups says what it answers/],
    ['a column that differs within a group', loose(customer).columns((row: any) => ({ id: row.id, n: count() })), 'INVALID_DEFINITION', /columns has "id", shop\.customer\.id, which differs within a group/],
    ['an order that differs within a group', loose(customer).groupBy((row: any) => row.city).columns((row: any) => ({ city: row.city })).orderBy((row: any) => row.id), 'INVALID_DEFINITION', /orderBy has a term, shop\.customer\.id/],
    ['having that differs within a group', loose(customer).groupBy((row: any) => row.city).having((row: any) => gt(row.credit, 5)).columns((row: any) => ({ city: row.city })), 'INVALID_DEFINITION', /having has a term/],
    ['having without groups', loose(customer).having((row: any) => gt(row.credit, 5)), 'INVALID_DEFINITION', /use where for rows/],
    ['groups by json', loose(order).groupBy((row: any) => row.lines).columns(() => ({ n: count() })), 'INVALID_DEFINITION', /groupBy has shop\.order\.lines, which is json/],
    ['an order by json', loose(order).orderBy((row: any) => row.lines), 'INVALID_DEFINITION', /orderBy has shop\.order\.lines/],
    ['the greatest json', loose(order).columns((row: any) => ({ x: max(row.lines) })), 'INVALID_DEFINITION', /max\(\) has shop\.order\.lines/],
    ['a mean of texts', loose(order).columns((row: any) => ({ x: avg(row.product) })), 'INVALID_DEFINITION', /avg\(shop\.order\.product\) needs numbers/],
    ['a limit that is text', loose(customer).params({ n: c.text() }).limit((p: any) => p.n), 'INVALID_DEFINITION', /limit takes a number/],
    ['too many tables', loose(Object.fromEntries(Array.from({ length: limits.queryTablesMax + 1 }, (_, n) => [`t${n}`, customer]))), 'INVALID_DEFINITION', /at most 8 tables, not 9/],
    ['two tables that nothing joins', loose({ a: customer, b: customer }), 'INVALID_USE', /say in where how its rows belong to the others/],
    ['a join without an index', loose({ a: order, b: blob }).where(({ a, b }: any) => eq(a.total, b.at)), 'INVALID_USE', /declare an index on "(total|at)", or use its key/],
    ['a table of no service', loose(loneTable), 'INVALID_USE', /belongs to no service/],
    ['a table of another application', loose(elsewhere.tables.other), 'INVALID_USE', /"elsewhere\.other", which is not in this application/],
  ]
  test.each(wrong)('%s', async (_, query, code, says) => {
    const db = await openFor(queryApp)
    expect(thrown(() => db.query(query, {}), code).message).toMatch(says)
    expect(thrown(() => db.explain(query), code).message).toMatch(says)
  })
})

test('parameters and options are checked as inputs are', async () => {
  const db = await openFor(queryApp)
  await db.call(openCustomer, { id: 'ann', city: 'Bern', credit: 2 ** 52 })
  const query = db.query as unknown as (query: unknown, parameters?: unknown, options?: unknown) => unknown[]
  const ask = query.bind(db)
  for (const parameters of [undefined, {}, { city: 5 }, { city: 'Bern', town: 'Bern' }, 5, null]) thrown(() => ask(inCity, parameters), 'INVALID_INPUT')
  thrown(() => ask(richest, { most: 1 }), 'INVALID_INPUT')
  thrown(() => ask(richest, {}, { after: undefined, before: 1 }), 'INVALID_USE')
  thrown(() => ask(richest, {}, 5), 'INVALID_USE')
  for (const other of [undefined, customer, {}, 'select']) thrown(() => ask(other), 'INVALID_USE')
  for (const most of [-1, 2 ** 60, 0.5]) thrown(() => ask(ordersOf, { customer: 'ann', most }), 'INVALID_INPUT')
  expect(ask(ordersOf, { customer: 'ann', most: 0 })).toEqual([])
  for (const ids of ['ann', [5], [null], { 0: 'ann' }, Array.from({ length: limits.queryListMax + 1 }, () => 'x')]) thrown(() => ask(chosen, { ids }), 'INVALID_INPUT')
  expect(ask(chosen, { ids: Array.from({ length: limits.queryListMax }, () => 'ann') })).toHaveLength(1)
  expect(ask(allItems)).toEqual([])
  expect(ask(between, { low: 5, high: 1 })).toEqual([])
  // A value that the column cannot hold is in no row.
  const near = select(customer).params({ x: c.f64() }).where((row, p) => and(eq(row.credit, p.x), gte(row.credit, p.x))).orderBy((row) => asc(row.credit))
  expect([0.5, 1e300, -0].map((x) => db.query(near, { x }).length)).toEqual([0, 0, 0])
  // A sum that is no whole number any more.
  for (let n = 0; n < 2; n += 1) await db.call(openCustomer, { id: `c${n}`, city: 'Bern', credit: 2 ** 52 })
  const total = select(customer).columns((row) => ({ total: sum(row.credit) }))
  expect(thrown(() => db.query(total), 'INVALID_USE').message).toMatch(/13510798882111488, which is no whole number of 53 bits/)
  await db.call(openCustomer, { id: 'c1', city: 'Bern', credit: -(2 ** 52) })
  expect(db.query(total)).toEqual([{ total: 2 ** 52 }])
})

test('of nothing: counts and sums are 0, the least and the mean are null, groups are none', async () => {
  const db = await openFor(queryApp)
  const all = { n: 0, total: 0, mean: null, most: null, coins: 0n }
  expect(db.query(select({ who: customer, what: product }).where(({ who, what }) => eq(who.city, what.id)).columns(({ who, what }) => ({ n: count(), total: sum(who.credit), mean: avg(who.credit), most: max(who.credit), coins: sum(what.price) })))).toEqual([all])
  expect(db.query(select(customer).groupBy((row) => row.city).columns((row) => ({ city: row.city, n: count() })))).toEqual([])
})

test('a closed database answers no query', async () => {
  const db = await openFor(queryApp)
  await db.close()
  thrown(() => db.query(richest), 'DATABASE_CLOSED')
})
