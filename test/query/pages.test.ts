/** Pages by key: rows that stay are met once each, whatever comes, goes and moves between one page and the next. */
import { and, app, asc, column as c, desc, eq, gte, select, service, table, type Database, type Query } from 'sluicedb'
import { expect, test } from 'vitest'
import queryApp, { openCustomer, richest, shop, spent } from '../support/apps/query-app.js'
import { openFor, thrown } from '../support/fixture.js'
import { seeds, withSeed } from '../support/random.js'

const { customer } = shop.tables
const size = 4
const queries: readonly (readonly [name: string, query: Query<{ readonly id: string }, {}>])[] = [
  ['an index in order', select(customer).orderBy((row) => row.credit).limit(size)],
  ['an index in reverse', select(customer).orderBy((row) => desc(row.credit)).limit(size)],
  ['a range of an index', select(customer).where((row) => gte(row.credit, 3)).orderBy((row) => row.credit).limit(size)],
  ['what is sorted', select(customer).orderBy((row) => [asc(row.city), desc(row.credit)]).limit(size)],
  ['one value of an index with nulls', select(customer).where((row) => eq(row.city, 'Bern')).orderBy((row) => row.note).limit(size)],
]

test.each(queries)('%s: no page skips a row or repeats it', async (_, query) => {
  for (const seed of seeds(6)) {
    await withSeed(seed, async (random) => {
      const db = await openFor(queryApp, { partitions: 3 })
      const put = (id: string): Promise<void> =>
        db.call(openCustomer, { id, city: random.pick(['Bern', 'Chur']), credit: random.below(6), note: random.chance(0.4) ? null : random.pick(['a', 'b']) })
      for (let n = 0; n < 30; n += 1) await put(`stays${n}`)
      for (let n = 0; n < 15; n += 1) await put(`moves${n}`)
      const stay = db.query(select(customer)).filter(({ id }) => id.startsWith('stays'))
      const wanted = new Set(db.query(query.plan.limit === undefined ? query : withoutLimit(query, db)).map(({ id }) => id).filter((id) => id.startsWith('stays')))
      const met: string[] = []
      for (let after: { readonly id: string } | undefined; ; ) {
        const page = db.query(query, {}, { after })
        met.push(...page.map(({ id }) => id).filter((id) => id.startsWith('stays')))
        if (page.length < size) break
        after = page.at(-1)
        for (let n = 0; n < 5; n += 1) await put(`moves${random.below(20)}`)
      }
      expect(met).toHaveLength(new Set(met).size)
      expect(new Set(met)).toEqual(wanted)
      expect(stay.length).toBeGreaterThanOrEqual(wanted.size)
      await db.close()
    })
  }
})

/** The same query in one page: what its pages must come to. */
function withoutLimit(query: Query<{ readonly id: string }, {}>, db: Database): Query<{ readonly id: string }, {}> {
  const { where, orderBy } = query.plan
  const whole = queries.find(([, one]) => one === query)![1] as unknown as { limit(n: number): Query<{ readonly id: string }, {}> }
  const all = whole.limit(db.table(customer).count())
  expect([all.plan.where, all.plan.orderBy]).toEqual([where, orderBy])
  return all
}

test('a page needs an order, all of it in the row, and a row', async () => {
  const db = await openFor(queryApp)
  await db.call(openCustomer, { id: 'ann', city: 'Bern', credit: 1 })
  const [first] = db.query(richest)
  expect(db.query(richest, {}, { after: first })).toEqual([])
  expect(db.query(richest, undefined, { after: undefined })).toHaveLength(1)
  expect(thrown(() => db.query(select(customer), {}, { after: first }), 'INVALID_USE').message).toMatch(/orderBy/)
  const some = select(customer).orderBy((row) => row.city).columns((row) => ({ city: row.city }))
  expect(thrown(() => db.query(some, {}, { after: { city: 'Bern' } }), 'INVALID_USE').message).toMatch(/shop\.customer\.id is not among the columns/)
  for (const after of [5, 'ann', {}, { credit: 'rich', id: 'ann' }, { credit: null, id: 'ann' }]) {
    thrown(() => db.query(richest, {}, { after: after as never }), 'INVALID_INPUT', 'INVALID_USE')
  }
  const pairs = select({ a: customer, b: customer }).where(({ a, b }) => eq(a.id, b.id)).orderBy(({ a }) => a.credit)
  const [pair] = db.query(pairs)
  expect(pair!.a).toEqual(pair!.b)
  expect(db.query(pairs, {}, { after: pair })).toEqual([])
  expect(db.query(spent, { city: 'Bern' }, { after: { id: 'a', orders: 1, total: 1, mean: 1 } })).toEqual([])
  const groups = select(customer).params({ least: c.int() }).where((row, p) => and(gte(row.credit, p.least))).groupBy((row) => row.city).columns((row) => ({ city: row.city })).orderBy((row) => row.city)
  expect(db.query(groups, { least: 0 }, { after: { city: 'Aarau' } })).toEqual([{ city: 'Bern' }])
})

test('pages by a key come whole, also by an index that goes on behind it (seed 2004678718 of the random queries)', async () => {
  const thing = table({ columns: { id: c.int(), n: c.int() }, key: ['id'], indexes: { byBoth: { on: ['id', 'n'], range: true } } })
  const shelf = service('shelf', { tables: { thing } })
  const put = shelf.procedure('put', { input: { id: c.int() }, partition: (it) => it.id }, (tx, { id }) => void tx.db.thing.insert({ id, n: 10 - id }))
  const db = await openFor(app(import.meta.url, [shelf]), { partitions: 2 })
  for (let id = 0; id < 8; id += 1) await db.call(put, { id })
  const page = select(thing).orderBy((row) => row.id).limit(3)
  const met: number[] = []
  for (let after: { readonly id: number; readonly n: number } | undefined, rows = db.query(page); rows.length > 0; rows = db.query(page, {}, { after })) {
    met.push(...rows.map(({ id }) => id))
    after = rows.at(-1)
  }
  expect(met).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
})
