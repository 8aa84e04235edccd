/** Every pair of bounds over an index of a nullable column, against the same conditions on plain rows. */
import { and, app, column as c, desc, eq, gt, gte, lt, lte, select, service, table } from 'sluicedb'
import { expect, test } from 'vitest'
import { openFor } from '../support/fixture.js'

const point = table({
  columns: { id: c.int(), group: c.text(), x: c.int().nullable() },
  key: ['id'],
  indexes: { byX: { on: ['x'], range: true }, byGroup: { on: ['group', 'x'], range: true } },
})
const plane = service('plane', { tables: { point } })
const put = plane.procedure('put', { input: { id: c.int(), group: c.text(), x: c.int().nullable() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.point.put(it)
})
const application = app(import.meta.url, [plane])

const lows = { none: undefined, gt: [gt, (x: number, y: number) => x > y], gte: [gte, (x: number, y: number) => x >= y] } as const
const highs = { none: undefined, lt: [lt, (x: number, y: number) => x < y], lte: [lte, (x: number, y: number) => x <= y] } as const
const values = [null, 0, 1, 2, 3]

test('bounds, with and without a value before them, up and down, whole and page by page', async () => {
  const db = await openFor(application, { partitions: 3 })
  const rows = values.flatMap((x, n) => [0, 1, 2].map((m) => ({ id: n * 3 + m, group: m < 2 ? 'a' : 'b', x })))
  for (const row of rows) await db.call(put, row)
  let compared = 0
  for (const low of Object.values(lows)) {
    for (const high of Object.values(highs)) {
      for (const isGrouped of [false, true]) {
        for (const isDown of [false, true]) {
          const query = select(point)
            .params({ low: c.int().nullable(), high: c.int() })
            .where((row, p) => and(gte(row.id, 0), ...(low === undefined ? [] : [low[0](row.x, p.low)]), ...(high === undefined ? [] : [high[0](row.x, p.high)]), ...(isGrouped ? [eq(row.group, 'a')] : [])))
            .orderBy((row) => (isDown ? desc(row.x) : row.x))
          for (const from of values) {
            for (const to of [0, 1, 3]) {
              const wanted = rows
                .filter(({ x, group }) => (low === undefined || (x !== null && from !== null && low[1](x, from))) && (high === undefined || (x !== null && high[1](x, to))) && (!isGrouped || group === 'a'))
                .sort((a, b) => (isDown ? -1 : 1) * ((a.x ?? -1) - (b.x ?? -1) || a.id - b.id))
              expect(db.query(query, { low: from, high: to })).toEqual(wanted)
              expect(await db.transact((tx) => tx.query(query, { low: from, high: to }))).toEqual(wanted)
              for (let n = 0; n < wanted.length; n += 2) expect(db.query(query.limit(2), { low: from, high: to }, { after: wanted[n] })).toEqual(wanted.slice(n + 1, n + 3))
              compared += 1
            }
          }
        }
      }
    }
  }
  // A row that the query would never have answered moves no bound.
  const atLeast = select(point).where((row) => gte(row.x, 2)).orderBy((row) => row.x)
  expect(db.query(atLeast, {}, { after: { id: 0, group: 'a', x: 0 } })).toEqual(rows.filter(({ x }) => x !== null && x >= 2))
  expect(compared).toBe(3 * 3 * 2 * 2 * 5 * 3)
})
