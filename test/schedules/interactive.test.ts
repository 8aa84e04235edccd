/**
 * The schedules of Hermitage as they are written, interleaved by hand: each line is one step of one open interactive transaction, and
 * what it answers stands behind the arrow. Rows 1 = 10 and 2 = 20 before each.
 *
 *   t1: r 1 -> 10           a step, with what it reads; a transaction begins at its first step
 *   t1: commit -> CONFLICT  the body returns; what db.transact settles with
 *   rows -> 1=11 2=20       what is there at the end
 *   retried -> 1=11 2=21    and what is there when every transaction may be retried: the steps run again on a new snapshot
 *
 * Sources: github.com/ept/hermitage, `postgres.md`; the expectations are those of serializable isolation.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SluiceError, type Database, type Draft } from 'sluicedb'
import scheduleApp, { history, reset, step, type Values } from '../support/apps/schedule-app.js'
import { openOnce, within } from '../support/fixture.js'

const schedules: Readonly<Record<string, string>> = {
  'G0: no mix of two writers': `
    t1: w 1 11
    t2: w 1 12
    t1: w 2 21
    t1: commit -> ok
    t2: w 2 22
    t2: commit -> ok
    rows -> 1=12 2=22
    retried -> 1=12 2=22`,
  'G1a: nobody reads what was aborted': `
    t1: w 1 101
    t2: all -> 1=10 2=20
    t1: abort -> ABORTED
    t2: all -> 1=10 2=20
    t2: commit -> ok
    rows -> 1=10 2=20
    retried -> 1=10 2=20`,
  'G1b: nobody reads what was intermediate': `
    t1: w 1 101
    t2: all -> 1=10 2=20
    t1: w 1 11
    t1: commit -> ok
    t2: all -> 1=10 2=20
    t2: commit -> ok
    rows -> 1=11 2=20
    retried -> 1=11 2=20`,
  'G1c: information flows one way': `
    t1: w 1 11
    t2: w 2 22
    t1: r 2 -> 20
    t2: r 1 -> 10
    t1: commit -> ok
    t2: commit -> CONFLICT
    rows -> 1=11 2=20
    retried -> 1=11 2=22`,
  'OTV: what was seen does not vanish': `
    t1: w 1 11
    t1: w 2 19
    t2: w 1 12
    t1: commit -> ok
    t3: r 1 -> 11
    t2: w 2 18
    t3: r 2 -> 19
    t2: commit -> ok
    t3: r 2 -> 19
    t3: r 1 -> 11
    t3: commit -> ok
    rows -> 1=12 2=18
    retried -> 1=12 2=18`,
  'OTV, begun earlier': `
    t3: equal 5 -> nothing
    t1: w 1 11
    t1: w 2 19
    t2: w 1 12
    t1: commit -> ok
    t3: r 1 -> 10
    t2: w 2 18
    t3: r 2 -> 20
    t2: commit -> ok
    t3: r 2 -> 20
    t3: r 1 -> 10
    t3: commit -> ok
    rows -> 1=12 2=18
    retried -> 1=12 2=18`,
  'PMP: predicates of one transaction agree': `
    t1: equal 30 -> nothing
    t2: insert 3 30
    t2: commit -> ok
    t1: mod 3 -> nothing
    t1: commit -> ok
    rows -> 1=10 2=20 3=30
    retried -> 1=10 2=20 3=30`,
  'PMP-write: a predicate delete meets what is there now': `
    t1: grow 10
    t2: delete 20
    t1: commit -> ok
    t2: commit -> CONFLICT
    rows -> 1=20 2=30
    retried -> 2=30`,
  'P4: no lost update': `
    t1: r 1 -> 10
    t2: r 1 -> 10
    t1: w 1 11
    t2: w 1 11
    t1: commit -> ok
    t2: commit -> CONFLICT
    rows -> 1=11 2=20
    retried -> 1=11 2=20`,
  'G-single: no read skew': `
    t1: r 1 -> 10
    t2: r 1 -> 10
    t2: r 2 -> 20
    t2: w 1 12
    t2: w 2 18
    t2: commit -> ok
    t1: r 2 -> 20
    t1: commit -> ok
    rows -> 1=12 2=18
    retried -> 1=12 2=18`,
  'G-single, predicates': `
    t1: mod 5 -> 1=10 2=20
    t2: change 10 12
    t2: commit -> ok
    t1: mod 3 -> nothing
    t1: commit -> ok
    rows -> 1=12 2=20
    retried -> 1=12 2=20`,
  'G-single, write predicate': `
    t1: r 1 -> 10
    t2: all -> 1=10 2=20
    t2: w 1 12
    t2: w 2 18
    t2: commit -> ok
    t1: delete 20
    t1: commit -> CONFLICT
    rows -> 1=12 2=18
    retried -> 1=12 2=18`,
  'G2-item: no write skew': `
    t1: r 1 -> 10
    t1: r 2 -> 20
    t2: r 1 -> 10
    t2: r 2 -> 20
    t1: w 1 11
    t2: w 2 21
    t1: commit -> ok
    t2: commit -> CONFLICT
    rows -> 1=11 2=20
    retried -> 1=11 2=21`,
  'G2: no phantoms': `
    t1: mod 3 -> nothing
    t2: mod 3 -> nothing
    t1: insert 3 30
    t2: insert 4 42
    t1: commit -> ok
    t2: commit -> CONFLICT
    rows -> 1=10 2=20 3=30
    retried -> 1=10 2=20 3=30 4=42`,
  'G2: no phantoms in an index': `
    t1: equal 30 -> nothing
    t2: equal 30 -> nothing
    t1: insert 3 30
    t2: insert 4 30
    t1: commit -> ok
    t2: commit -> CONFLICT
    rows -> 1=10 2=20 3=30
    retried -> 1=10 2=20 3=30 4=30`,
  'G2, two edges': `
    t1: all -> 1=10 2=20
    t2: w 2 25
    t2: commit -> ok
    t3: all -> 1=10 2=25
    t3: commit -> ok
    t1: w 1 0
    t1: commit -> CONFLICT
    rows -> 1=10 2=25
    retried -> 1=0 2=25`,
  'what went away and came back is no conflict': `
    t1: r 1 -> 10
    t2: w 1 11
    t2: commit -> ok
    t3: w 1 10
    t3: commit -> ok
    t1: w 2 21
    t1: commit -> ok
    rows -> 1=10 2=21
    retried -> 1=10 2=21`,
}

const layouts = {
  'rows in partitions of their own': (tx: Draft): Values => {
    const values = tx.table(history.tables.value)
    return {
      get: (id) => values.get(id)?.value ?? -1,
      set: (id, value) => values.update(id, { value }),
      insert: (id, value) => void values.insert({ id, value }),
      delete: (id) => void values.delete(id),
      all: () => Array.from(values.scan(), (row) => [row.id, row.value] as const),
      equal: (value) => values.index.byValue.get(value).map((row) => row.id),
    }
  },
  'rows in one partition': (tx: Draft): Values => {
    const values = tx.table(history.tables.together)
    return {
      get: (id) => values.get([1, id])?.value ?? -1,
      set: (id, value) => values.update([1, id], { value }),
      insert: (id, value) => void values.insert({ place: 1, id, value }),
      delete: (id) => void values.delete([1, id]),
      all: () => Array.from(values.scan({ prefix: [1] }), (row) => [row.id, row.value] as const),
      equal: (value) => values.index.byValue.get([1, value]).map((row) => row.id),
    }
  },
} as const
type Layout = keyof typeof layouts

/** A transaction that is told one step after the other, and runs all of them again when it is retried. */
class Told {
  readonly #open: (tx: Draft) => Values
  readonly #steps: string[] = []
  #next: (() => void) | undefined
  #answered: ((answer: string) => void) | undefined
  #outcome: Promise<string> | undefined

  constructor(open: (tx: Draft) => Values) {
    this.#open = open
  }

  tell(db: Database, line: string, retries: number): Promise<string> {
    this.#steps.push(line)
    const answer = new Promise<string>((resolve) => (this.#answered = resolve))
    this.#outcome ??= db.transact((tx) => this.#body(tx), { retries }).then(
      () => 'ok',
      (error: unknown) => {
        if (!SluiceError.is(error)) throw error
        return error.code
      },
    )
    this.#next?.()
    return line === 'commit' || line === 'abort' ? this.#outcome : answer
  }

  async #body(tx: Draft): Promise<void> {
    const values = this.#open(tx)
    for (let at = 0; ; at += 1) {
      while (at === this.#steps.length) await new Promise<void>((resolve) => (this.#next = resolve))
      const line = this.#steps[at]!
      if (line === 'commit') return
      const read = step(values, tx, line)
      if (at === this.#steps.length - 1) this.#answered!(read)
    }
  }
}

function rowsOf(db: Database, layout: Layout): string {
  const rows = layout === 'rows in one partition' ? db.table(history.tables.together).scan() : db.table(history.tables.value).scan()
  return Array.from(rows, (row) => `${row.id}=${row.value}`).join(' ')
}

/** Plays a schedule; answers it as it went. */
async function play(db: Database, layout: Layout, text: string, retries: number): Promise<{ played: string; rows: string }> {
  const told = new Map<string, Told>()
  const played: string[] = []
  for (const written of text.trim().split('\n').map((line) => line.trim())) {
    const [, name, line] = /^(t\d): (.*?)(?: -> .*)?$/.exec(written) ?? []
    if (name === undefined || line === undefined) continue
    if (!told.has(name)) told.set(name, new Told(layouts[layout]))
    const answer = await within(10_000, written, told.get(name)!.tell(db, line, retries))
    played.push(`${name}: ${line}${answer === '' ? '' : ` -> ${answer}`}`)
  }
  return { played: played.join('\n'), rows: rowsOf(db, layout) }
}

const expected = (text: string, what: string): string => new RegExp(`^ *${what} -> (.*)$`, 'm').exec(text)![1]!
const steps = (text: string): string =>
  text.trim().split('\n').map((line) => line.trim()).filter((line) => line.startsWith('t')).join('\n')

describe.each([0, 1, 2])('workers %i', (workers) => {
  let db: Database
  beforeAll(async () => {
    db = await openOnce(scheduleApp, { workers, partitions: 4 })
  }, 30_000)
  afterAll(() => db.close())

  describe.each(Object.keys(layouts) as Layout[])('%s', (layout) => {
    test.each(Object.entries(schedules))('%s', async (_, text) => {
      await db.call(reset)
      const once = await play(db, layout, text, 0)
      expect(once.played).toBe(steps(text))
      expect(once.rows).toBe(expected(text, 'rows'))

      await db.call(reset)
      const retried = await play(db, layout, text, 3)
      expect(retried.played).toBe(steps(text).replaceAll('CONFLICT', 'ok'))
      expect(retried.rows).toBe(expected(text, 'retried'))
    })
  })
})
