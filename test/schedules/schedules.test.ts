/**
 * The schedules of Hermitage (github.com/ept/hermitage), rows 1 = 10 and 2 = 20. There they are interleaved
 * by hand through an interactive API; a procedure cannot be interleaved, so what must hold here is
 * stronger: in one batch and in consecutive batches, in every order of arrival, the answers and the final
 * rows are those of that serial order, written out below.
 *
 *   a line     <transaction>: step; step; ...
 *   an answer  <order of arrival> -> <what each reads, in that order> -> final rows
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SluiceError, type Database } from 'sluicedb'
import scheduleApp, { across, history, inside, reset, stray } from '../support/apps/schedule-app.js'
import { openOnce } from '../support/fixture.js'

const schedules: Readonly<Record<string, string>> = {
  'G0: no mix of two writers': `
    t1: w 1 11; w 2 21
    t2: w 1 12; w 2 22
    t1 t2 -> t1 ok / t2 ok -> 1=12 2=22
    t2 t1 -> t2 ok / t1 ok -> 1=11 2=21`,
  'G1a: nobody reads what was aborted': `
    t1: w 1 101; abort
    t2: all; equal 101; all
    t1 t2 -> t1 ABORTED / t2 1=10 2=20, nothing, 1=10 2=20 -> 1=10 2=20
    t2 t1 -> t2 1=10 2=20, nothing, 1=10 2=20 / t1 ABORTED -> 1=10 2=20`,
  'G1b: nobody reads what was intermediate': `
    t1: w 1 101; w 1 11
    t2: all; equal 101; all
    t1 t2 -> t1 ok / t2 1=11 2=20, nothing, 1=11 2=20 -> 1=11 2=20
    t2 t1 -> t2 1=10 2=20, nothing, 1=10 2=20 / t1 ok -> 1=11 2=20`,
  'G1c: information flows one way': `
    t1: w 1 11; r 2
    t2: w 2 22; r 1
    t1 t2 -> t1 20 / t2 11 -> 1=11 2=22
    t2 t1 -> t2 10 / t1 22 -> 1=11 2=22`,
  'OTV: what was seen does not vanish': `
    t1: w 1 11; w 2 19
    t2: w 1 12; w 2 18
    t3: r 1; r 2; r 2; r 1
    t1 t2 t3 -> t1 ok / t2 ok / t3 12, 18, 18, 12 -> 1=12 2=18
    t1 t3 t2 -> t1 ok / t3 11, 19, 19, 11 / t2 ok -> 1=12 2=18
    t2 t1 t3 -> t2 ok / t1 ok / t3 11, 19, 19, 11 -> 1=11 2=19
    t2 t3 t1 -> t2 ok / t3 12, 18, 18, 12 / t1 ok -> 1=11 2=19
    t3 t1 t2 -> t3 10, 20, 20, 10 / t1 ok / t2 ok -> 1=12 2=18
    t3 t2 t1 -> t3 10, 20, 20, 10 / t2 ok / t1 ok -> 1=11 2=19`,
  'PMP: predicates of one transaction agree': `
    t1: equal 30; mod 3
    t2: insert 3 30
    t1 t2 -> t1 nothing, nothing / t2 ok -> 1=10 2=20 3=30
    t2 t1 -> t2 ok / t1 3, 3=30 -> 1=10 2=20 3=30`,
  'PMP-write: a predicate delete meets what is there now': `
    t1: grow 10
    t2: delete 20
    t1 t2 -> t1 ok / t2 ok -> 2=30
    t2 t1 -> t2 ok / t1 ok -> 1=20`,
  'P4: no lost update': `
    t1: r 1; w 1 11; r 1
    t2: r 1; w 1 12; r 1
    t1 t2 -> t1 10, 11 / t2 11, 12 -> 1=12 2=20
    t2 t1 -> t2 10, 12 / t1 12, 11 -> 1=11 2=20`,
  'G-single: no read skew': `
    t1: r 1; r 2
    t2: r 1; r 2; w 1 12; w 2 18
    t1 t2 -> t1 10, 20 / t2 10, 20 -> 1=12 2=18
    t2 t1 -> t2 10, 20 / t1 12, 18 -> 1=12 2=18`,
  'G-single, predicates': `
    t1: mod 5; mod 3
    t2: change 10 12
    t1 t2 -> t1 1=10 2=20, nothing / t2 ok -> 1=12 2=20
    t2 t1 -> t2 ok / t1 2=20, 1=12 -> 1=12 2=20`,
  'G-single, write predicate': `
    t1: r 1; delete 20
    t2: all; w 1 12; w 2 18
    t1 t2 -> t1 10 / t2 NOT_FOUND -> 1=10
    t2 t1 -> t2 1=10 2=20 / t1 12 -> 1=12 2=18`,
  'G2-item: no write skew': `
    t1: r 1; r 2; w 1 11
    t2: r 1; r 2; w 2 21
    t1 t2 -> t1 10, 20 / t2 11, 20 -> 1=11 2=21
    t2 t1 -> t2 10, 20 / t1 10, 21 -> 1=11 2=21`,
  'G2: no phantoms': `
    t1: mod 3; insert 3 30
    t2: mod 3; insert 4 42
    t1 t2 -> t1 nothing / t2 3=30 -> 1=10 2=20 3=30 4=42
    t2 t1 -> t2 nothing / t1 4=42 -> 1=10 2=20 3=30 4=42`,
  'G2, two edges': `
    t1: all; w 1 0
    t2: w 2 25
    t3: all
    t1 t2 t3 -> t1 1=10 2=20 / t2 ok / t3 1=0 2=25 -> 1=0 2=25
    t1 t3 t2 -> t1 1=10 2=20 / t3 1=0 2=20 / t2 ok -> 1=0 2=25
    t2 t1 t3 -> t2 ok / t1 1=10 2=25 / t3 1=0 2=25 -> 1=0 2=25
    t2 t3 t1 -> t2 ok / t3 1=10 2=25 / t1 1=10 2=25 -> 1=0 2=25
    t3 t1 t2 -> t3 1=10 2=20 / t1 1=10 2=20 / t2 ok -> 1=0 2=25
    t3 t2 t1 -> t3 1=10 2=20 / t2 ok / t1 1=10 2=25 -> 1=0 2=25`,
}

interface Schedule {
  readonly transactions: ReadonlyMap<string, string[]>
  readonly orders: readonly { readonly order: string[]; readonly answers: string; readonly rows: string }[]
}

function parse(text: string): Schedule {
  const transactions = new Map<string, string[]>()
  const orders: { order: string[]; answers: string; rows: string }[] = []
  for (const line of text
    .trim()
    .split('\n')
    .map((it) => it.trim())) {
    const declared = /^(t\d): (.*)$/.exec(line)
    if (declared) {
      transactions.set(declared[1]!, declared[2]!.split('; '))
      continue
    }
    const [order, answers, rows] = line.split(' -> ')
    orders.push({ order: order!.split(' '), answers: answers!, rows: rows! })
  }
  return { transactions, orders }
}

const layouts = { across, stray, inside } as const
type Layout = keyof typeof layouts

/** What a transaction read, or 'ok' when it read nothing, or the code of its error. */
async function answer(db: Database, layout: Layout, steps: string[]): Promise<string> {
  try {
    const read = await db.call(layouts[layout], { steps })
    return read.filter((one) => one !== '').join(', ') || 'ok'
  } catch (error) {
    if (!SluiceError.is(error)) throw error
    return error.code
  }
}

function rowsOf(db: Database, layout: Layout): string {
  const rows =
    layout === 'inside' ? db.table(history.tables.together).scan() : db.table(history.tables.value).scan()
  return Array.from(rows, (row) => `${row.id}=${row.value}`).join(' ')
}

const ways = {
  'in one batch': (runs: readonly (() => Promise<string>)[]) => Promise.all(runs.map((run) => run())),
  'in consecutive batches': async (runs: readonly (() => Promise<string>)[]) => {
    const answers: string[] = []
    for (const run of runs) answers.push(await run())
    return answers
  },
} as const

describe.each([0, 1, 2])('workers %i', (workers) => {
  let db: Database
  beforeAll(async () => {
    db = await openOnce(scheduleApp, { workers, partitions: 4 })
  }, 30_000)
  afterAll(() => db.close())

  describe.each(Object.keys(layouts) as Layout[])('%s', (layout) => {
    test.each(Object.entries(schedules))('%s', { timeout: 60_000 }, async (_, text) => {
      const { transactions, orders } = parse(text)
      for (const [way, together] of Object.entries(ways)) {
        for (const { order, answers, rows } of orders) {
          await db.call(reset)
          const runs = order.map((name) => () => answer(db, layout, transactions.get(name)!))
          const got = (await together(runs)).map((it, at) => `${order[at]} ${it}`).join(' / ')
          expect(`${order.join(' ')} -> ${got} -> ${rowsOf(db, layout)}`, way).toBe(
            `${order.join(' ')} -> ${answers} -> ${rows}`,
          )
        }
      }
    })
  })
})
