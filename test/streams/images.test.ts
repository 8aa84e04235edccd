/** Images of an update, where columns share the word of their null bits. Found by the fault table (rows 1, 12, 24 and 32). */
import { app, column as c, service, table } from 'sluicedb'
import { expect, test } from 'vitest'
import { openFor, take } from '../support/fixture.js'

const thing = table({
  columns: { id: c.int(), n: c.int().nullable(), blob: c.bytes().nullable(), note: c.text().nullable(), data: c.json().nullable() },
  key: ['id'],
})
const shop = service('shop', { tables: { thing } })
const put = shop.procedure('put', { input: { id: c.int(), n: c.int().nullable(), blob: c.bytes().nullable(), note: c.text().nullable(), data: c.json().nullable() } }, (tx, it) => void tx.db.thing.put(it))
const application = app(import.meta.url, [shop])

test('a long value that an update leaves alone is in both images, also when the null bit of another column changes', async () => {
  const db = await openFor(application)
  const long = { blob: new Uint8Array(300).fill(0xcd), note: 'a long note '.repeat(20), data: { list: Array.from({ length: 40 }, (_, n) => n) } }
  const short = { blob: Uint8Array.of(1, 2), note: 'short', data: { a: 1 } }
  const none = { blob: null, note: null, data: null }
  const rows = [
    { id: 1, n: null, ...long }, { id: 1, n: 1, ...long }, { id: 1, n: null, ...long }, { id: 1, n: null, ...short }, { id: 1, n: 2, ...short },
    { id: 1, n: 2, ...none }, { id: 1, n: null, ...none }, { id: 1, n: 3, ...long, note: null }, { id: 1, n: null, ...long, note: null }, { id: 1, n: null, ...long },
  ]
  const stream = db.changes({ tables: [thing] })
  for (const row of rows) await db.call(put, row)
  const commits = await take(stream, rows.length)
  for (const [at, { changes: [change] }] of commits.entries()) {
    expect(change!.after, `the row after ${at}`).toEqual(rows[at])
    expect(change!.before ?? undefined, `the row before ${at}`).toEqual(rows[at - 1])
  }
})
