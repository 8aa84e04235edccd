/**
 * A log explains its rows with the schema of its day: opening it with another one is refused, and the
 * message shows the difference.
 */
import { describe, expect, test } from 'vitest'
import {
  app,
  column as c,
  service,
  table,
  type App,
  type Database,
  type Procedure,
  type Table,
} from 'sluicedb'
import { newFolder, openOnce, refused } from '../support/fixture.js'

interface Shop {
  readonly application: App
  readonly put: Procedure<{ row: unknown }, unknown>
  readonly item: Table
}
interface Changes {
  readonly columns?: object
  readonly key?: readonly string[]
  readonly partition?: unknown
  readonly ordered?: boolean
  readonly indexes?: object
  readonly more?: object
  readonly tableName?: string
  readonly serviceName?: string
}
const columns = {
  id: c.text(),
  n: c.int(),
  note: c.text().nullable(),
  mood: c.enum(['calm', 'glad']).default('calm'),
}

/** The same small service each time, with one thing changed. */
function shop({ more = {}, tableName = 'item', serviceName = 'shop', ...changes }: Changes = {}): Shop {
  const made = table({ columns, key: ['id'], ...changes } as never)
  const built = service(serviceName, { tables: { [tableName]: made, ...more } as never })
  const put = built.procedure('put', { input: { row: c.json() } }, (tx, it) => {
    ;(tx.db as unknown as Record<string, { put(row: unknown): void }>)[tableName]!.put(it.row)
  })
  return {
    application: app(import.meta.url, [built]),
    put: put as never,
    item: (built.tables as Record<string, Table>)[tableName]!,
  }
}

async function written(): Promise<string> {
  const path = await newFolder()
  const { application, put } = shop()
  const db = await openOnce(application, { path })
  for (const id of ['a', 'b']) await db.call(put, { row: { id, n: 1 } })
  await db.close()
  return path
}
const rows = (db: Database, item: Table) =>
  [...(db.table(item) as Iterable<{ id: string }>)].map((row) => row.id).sort()

describe('a changed schema', () => {
  const contradictions: Readonly<Record<string, readonly [Changes, ...RegExp[]]>> = {
    'a column of another type': [{ columns: { ...columns, n: c.text() } }, /item/, /\bn\b/, /int/, /text/],
    'a narrower number': [{ columns: { ...columns, n: c.i32() } }, /item/, /\bn\b/, /i32/],
    'a column that is gone': [
      { columns: { id: columns.id, note: columns.note, mood: columns.mood } },
      /item/,
      /\bn\b/,
    ],
    'a column that is new and needed': [{ columns: { ...columns, extra: c.int() } }, /item/, /extra/],
    'a column that is no longer nullable': [
      { columns: { ...columns, note: c.text() } },
      /item/,
      /note/,
      /nullable/,
    ],
    'an enum without one of its values': [
      { columns: { ...columns, mood: c.enum(['glad']).default('glad') } },
      /item/,
      /mood/,
      /calm/,
    ],
    'another key': [{ key: ['n'] }, /item/, /key/],
    'a longer key': [{ key: ['id', 'n'] }, /item/, /key/],
    'a table that is gone': [{ tableName: 'thing' }, /shop\.item/],
    'another service': [{ serviceName: 'store' }, /shop\.item/],
  }
  test.each(Object.entries(contradictions))(
    '%s is SCHEMA_MISMATCH and says so; the files stay as they were',
    async (_, [change, ...says]) => {
      const path = await written()
      const error = await refused(openOnce(shop(change).application, { path }), 'SCHEMA_MISMATCH')
      const text = `${error.message} ${JSON.stringify(error.details)}`
      for (const word of says) expect(text).toMatch(word)
      const { application, item } = shop()
      const db = await openOnce(application, { path })
      expect(rows(db, item)).toEqual(['a', 'b'])
      await db.close()
    },
  )

  const harmless: Readonly<Record<string, Changes>> = {
    nothing: {},
    'a new table': { more: { other: table({ columns: { id: c.int() }, key: ['id'] }) } },
    'another partition: rows say nothing about it': { partition: 'global' },
    'a new index': { indexes: { byN: { on: ['n'], range: true } } },
  }
  test.each(Object.entries(harmless))('%s opens, and every row is there', async (_, change) => {
    const path = await written()
    const { application, item, put } = shop(change)
    const db = await openOnce(application, { path })
    expect(rows(db, item)).toEqual(['a', 'b'])
    await db.call(put, { row: { id: 'c', n: 1 } })
    if (change.indexes) {
      const { index } = db.table(item) as unknown as { index: { byN: { get(n: number): { id: string }[] } } }
      expect(index.byN.get(1).map((row) => row.id)).toEqual(['a', 'b', 'c'])
    }
    await db.close()
  })
})
