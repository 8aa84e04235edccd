/** What the programs of stir-app.ts work on: tables of many kinds in two services, and a procedure of the other one. */
import { column as c, service, table, type TxOf } from 'sluicedb'

const columnsOf = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`c${n}`, c.i32().default(n)]))

const cell = table({
  columns: {
    at: c.int(),
    n: c.int().min(-60),
    twin: c.int().default(0),
    real: c.f64().default(0),
    big: c.bigint().default(0n),
    small: c.i32().default(0),
    word: c.text().nullable(),
    blob: c.bytes().nullable(),
    doc: c.json().nullable(),
    flag: c.bool().default(false),
    kind: c.enum(['calm', 'glad', 'sad']).nullable(),
  },
  key: ['at'],
  indexes: { byN: { on: ['n'], range: true }, byKind: { on: ['kind'] }, byWord: { on: ['word'] } },
})
/** Rows of a place in order: for ranges. */
const line = table({
  columns: { at: c.int(), seq: c.int(), rank: c.int().nullable(), n: c.int().min(-3).default(0), text: c.text().default('') },
  key: ['at', 'seq'],
  partition: ['at'],
  ordered: true,
  indexes: { byRank: { on: ['rank'], range: true }, byPlaceRank: { on: ['at', 'rank'], range: true } },
})
/** More columns than groups. */
const wide = table({
  columns: { at: c.int(), ...columnsOf(38), label: c.text().nullable(), last: c.int().nullable(), total: c.int().default(0) },
  key: ['at'],
  indexes: { byLast: { on: ['last'], range: true } },
})
/** More columns than a run ahead can write. */
const huge = table({ columns: { at: c.int(), ...columnsOf(66), total: c.int().default(0) }, key: ['at'] })
/** Everybody adds to these two. */
const counter = table({ columns: { at: c.int(), n: c.int().min(-40), real: c.f64().default(0), big: c.bigint().default(0n), up: c.u32().default(0) }, key: ['at'] })
const world = table({ columns: { name: c.text(), n: c.int() }, key: ['name'], partition: 'global', ordered: true, indexes: { byN: { on: ['n'], range: true } } })
/** Nothing but keys. */
const pair = table({ columns: { at: c.int(), other: c.int() }, key: ['at', 'other'], ordered: true })
/** What is drawn. */
const drawn = table({ columns: { id: c.uuid(), at: c.int(), chance: c.f64(), time: c.timestamp() }, key: ['id'], indexes: { byTime: { on: ['time'], range: true } } })
/** Keys that are drawn, values that are there once (in all places, in one, among some), rows that are checked as a whole. */
const card = table({
  columns: {
    at: c.int(), id: c.int().generated(), tag: c.i32().nullable().unique(), spot: c.int().nullable(),
    n: c.int().default(0), cap: c.int().default(9), state: c.enum(['open', 'shut']).default('open'),
  },
  key: ['at', 'id'],
  partition: ['at'],
  ordered: true,
  indexes: {
    bySpot: { on: ['at', 'spot'], unique: true, where: { state: 'open' } },
    open: { on: ['n'], range: true, where: { state: 'open' } },
    full: { on: ['at'], where: { n: 9, spot: null } },
  },
  checks: { withinCap: (row) => row.n <= row.cap },
})
/** Placed by what it draws. */
const ticket = table({ columns: { id: c.int().generated(), at: c.int() }, key: ['id'], ordered: true })
/** Everybody adds to these without looking, and what all of them add is checked. */
const purse = table({
  columns: { at: c.int(), n: c.int(), spent: c.int().default(0) },
  key: ['at'],
  checks: { covered: (row) => row.spent <= row.n },
})

export const stir = service('stir', {
  tables: { cell, line, wide, huge, counter, world, pair, drawn, card, ticket, purse },
  events: { wrote: { at: c.int(), n: c.int(), text: c.text().nullable() } },
})
export const other = service('other', {
  tables: { tally: table({ columns: { at: c.int(), n: c.int() }, key: ['at'] }) },
  events: { counted: { at: c.int() } },
})

export type Tx = TxOf<typeof stir>
type OtherTx = TxOf<typeof other>

export const inner = other.procedure('inner', { input: { at: c.int(), n: c.int() }, partition: (it) => it.at }, (tx: OtherTx, it) => {
  const row = tx.db.tally.row(it.at)
  if (row === undefined) {
    if (it.n > 5) return 'none'
    tx.db.tally.insert({ at: it.at, n: it.n })
    return 'made'
  }
  if (it.n === 0) return tx.db.tally.delete(it.at)
  if (it.n === 1) return row.n
  row.n += it.n
  return undefined
})
