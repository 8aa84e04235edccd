/**
 * Random questions, asked of us and of SQLite: at the database, at a snapshot, in a procedure, in one that only reads, in an interactive transaction, and page by
 * page. The answers must be the same, in the same order where there is one.
 */
import { app, column as c, service, SluiceError, type Database } from 'sluicedb'
import { expect, test } from 'vitest'
import { canon } from '../support/canon.js'
import { openFor } from '../support/fixture.js'
import { seeds, withSeed } from '../support/random.js'
import { openPeer, type Peer } from './peer.js'
import { randomQuery, type RandomQuery, randomTable, type RandomTable, toPeer } from './random-queries.js'

const schemas = 24
const queriesPerSchema = 100
const queriesMin = 2_000

const asked = { all: 0, special: 0, joins: 0, refused: 0, inside: 0, refusedInside: 0, drafts: 0, pages: 0 }

test(`${schemas * queriesPerSchema} random queries on ${schemas} random schemas have the answers of SQLite`, async () => {
  for (const seed of seeds(schemas)) {
    await withSeed(seed, async (random) => {
      const tables = ['a', 'b', 'c'].map((name) => randomTable(random, name))
      const queries = Array.from({ length: queriesPerSchema }, () => randomQuery(random, tables))
      const peer = await openPeer()
      for (const one of tables) load(peer, one)

      const made = service('made', { tables: Object.fromEntries(tables.map((one) => [one.name, one.table])) })
      const fill = made.procedure('fill', { input: { table: c.int() } }, (tx, it) => {
        const { name, rows } = tables[it.table]!
        for (const row of rows) (tx.db as unknown as Record<string, { insert(row: unknown): void }>)[name]!.insert(row)
      })
      const ask = made.procedure('ask', { input: { n: c.int() } }, (tx, it) => tx.query(queries[it.n]!.query, queries[it.n]!.parameters))
      const look = made.procedure('look', { input: { n: c.int() }, readonly: true }, (tx, it) => tx.query(queries[it.n]!.query, queries[it.n]!.parameters))
      const db = await openFor(app(import.meta.url, [made]), { partitions: 1 + random.below(5), memory: { bytes: 64 * 2 ** 20 } })
      for (let n = 0; n < tables.length; n += 1) await db.call(fill, { table: n })

      for (const [n, one] of queries.entries()) {
        try {
          if (isSpecial(planOf(db, one), tables)) asked.special += 1
          await compare(db, peer, one, () => db.call(ask, { n }), () => db.call(look, { n }))
        } catch (error) {
          const { sql, sqlValues } = one
          throw new Error(`query ${n}: ${sql}\nwith ${canon(sqlValues)}\n${planOf(db, one)}\n${error instanceof Error ? error.stack : String(error)}`, { cause: error })
        }
      }
      peer.close()
      await db.close()
    })
  }
  // What was asked is what was meant to be asked: a generator that makes nothing but refusals proves nothing.
  if (process.env['SLUICE_SEED'] === undefined) {
    expect(asked.all).toBeGreaterThanOrEqual(queriesMin)
    expect(asked.special).toBeGreaterThan(asked.all / 100)
    expect(asked.joins).toBeGreaterThan(asked.all / 10)
    expect(asked.refused).toBeLessThan(asked.all / 5)
    expect(asked.inside).toBeGreaterThan(asked.all / 2)
    expect(asked.pages).toBeGreaterThan(asked.all / 10)
  }
}, 120_000)

/** The plan goes by an index that is unique or holds some rows only. */
const isSpecial = (plan: string, tables: readonly RandomTable[]): boolean =>
  tables.some(({ name, special }) => special.some((index) => new RegExp(`made\\.${name}\\b.* index ${index}\\b`).test(plan)))

function load(peer: Peer, { name, columns, rows }: RandomTable): void {
  // Without a type a column of SQLite keeps values as they are.
  peer.exec(`create table ${name} (${columns.map((column) => column.name).join(', ')})`)
  const insert = peer.prepare(`insert into ${name} values (${columns.map(() => '?').join(', ')})`)
  for (const row of rows) insert.run(...columns.map((column) => toPeer(column.type, row[column.name])))
}

async function compare(db: Database, peer: Peer, one: RandomQuery, inProcedure: () => Promise<unknown>, inReading: () => Promise<unknown>): Promise<void> {
  const { query, parameters, sql, sqlValues, isOrdered, isJoin, translate, pages } = one
  const wanted = peer.prepare(sql).safeIntegers(true).all(...sqlValues).map(translate)
  const textOf = (rows: readonly unknown[]): readonly string[] => (isOrdered ? rows.map(canon) : rows.map(canon).sort())
  const wantedText = textOf(wanted)
  const same = (found: readonly unknown[]): void => mustEqual(textOf(found), wantedText)
  asked.all += 1
  let found: readonly unknown[]
  try {
    found = db.query(query, parameters)
  } catch (error) {
    // A join that no key or index leads.
    if (!isJoin || !SluiceError.is(error, 'INVALID_USE')) throw error
    asked.refused += 1
    return
  }
  if (isJoin) asked.joins += 1
  same(found)
  using snapshot = db.snapshot()
  same(snapshot.query(query, parameters))

  try {
    same((await inProcedure()) as readonly unknown[])
    asked.inside += 1
    same((await inReading()) as readonly unknown[])
    same(await db.transact((tx) => tx.query(query, parameters)))
    asked.drafts += 1
  } catch (error) {
    if (!SluiceError.is(error, 'INVALID_USE')) throw error
    expect(query.explain()).toMatch(/^outside of transactions only/)
    asked.refusedInside += 1
  }

  if (pages === undefined || isNested(pages)) return
  asked.pages += 1
  const all: Record<string, unknown>[] = []
  for (let after: Record<string, unknown> | undefined; ; after = all.at(-1)) {
    const page = db.query(pages, parameters, { after })
    all.push(...page)
    if (page.length < 3) break
  }
  const whole = peer.prepare(sql.replace(/ limit \d+$/, '')).safeIntegers(true).all(...sqlValues).map(translate)
  const names = Object.keys(whole[0] ?? {})
  mustEqual(all.map((row) => canon(Object.fromEntries(names.map((name) => [name, row[name]])))), whole.map(canon))
}

/** `toEqual` on thousands of rows is where the time would go. */
function mustEqual(found: readonly string[], wanted: readonly string[]): void {
  if (found.length !== wanted.length || found.some((text, n) => text !== wanted[n])) expect(found).toEqual(wanted)
}

const isNested = (query: RandomQuery['query']): boolean => query.plan.columns === undefined && query.plan.from.length > 1

function planOf(db: Database, { query }: RandomQuery): string {
  try {
    return db.explain(query)
  } catch (error) {
    return String(error)
  }
}
