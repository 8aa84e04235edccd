/**
 * Interactive transactions against the model: random scripts, several of them open at a time and advanced step by step in random order,
 * beside procedures. The stream says in which order they committed; in that order each must have seen, step by step, what
 * the model answers on plain maps, and the rows at the end are the model's. What did not commit must fit where it was: what only
 * read, at its snapshot; a failure, at some state of its time; a CONFLICT only where somebody committed meanwhile.
 */
import { describe, expect, test } from 'vitest'
import { SluiceError, type Database, type Draft, type Position, type Table } from 'sluicedb'
import modelApp, { main, run, runAt, shown, side } from '../support/apps/model-app.js'
import { tableSpecs } from '../support/apps/model-schema.js'
import { interpret, type Script, type ScriptIndex, type ScriptTable, type ScriptTx } from '../support/apps/script.js'
import { openOnce, proveWhole, take, within } from '../support/fixture.js'
import { bare, emptyState, keyOf, type ModelOutcome, type Row, runOn, type State } from '../support/model.js'
import { type Call, planOf } from '../support/plans.js'
import { type Random, seeds, withSeed } from '../support/random.js'
import { expectState } from '../support/reading.js'
import { canon, expectSame } from '../support/same.js'

const runsByWorkers = [
  [0, 10],
  [1, 4],
  [2, 4],
] as const
const openMax = 4
const retries = 2
/** Over all seeds: a run that never meets anybody proves nothing. */
const met = { committed: 0, conflicts: 0, readOnly: 0, failed: 0, runs: 0 }

describe.each(runsByWorkers)('workers %i', (workers, runs) => {
  test.each(seeds(runs))('seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const db = await openOnce(modelApp, { workers, partitions: 4 })
      try {
        await within(50_000, 'the run ends', new Weave(db, random).play())
        proveWhole(db)
      } finally {
        await db.close()
      }
    })
  })
})

test('together they commit, conflict, run again, only read, and fail', () => {
  const { committed, conflicts, readOnly, failed, runs } = met
  console.log(`interactive transactions: ${committed} committed, ${conflicts} conflicts, ${readOnly} only read, ${failed} failed, in ${runs} runs`)
  if (process.env['SLUICE_SEED'] !== undefined) return // one seed alone need not meet everything
  for (const count of [committed, conflicts, readOnly, failed, runs - committed - conflicts - readOnly - failed]) expect(count).toBeGreaterThan(0)
})

/** One transaction, from its begin to what became of it. */
interface Life {
  readonly call: Call
  readonly isInteractive: boolean
  readonly mayRetry: boolean
  begin: Position
  end?: Position
  /** What each step answered, in its last run. */
  seen: unknown[]
  runs: number
  error?: unknown
}

class Weave {
  readonly #db: Database
  readonly #random: Random
  readonly #lives: Life[] = []
  /** Open transactions that wait for their turn. */
  readonly #waiting: (() => void)[] = []
  readonly #unsettled = new Set<Promise<void>>()

  constructor(db: Database, random: Random) {
    this.#db = db
    this.#random = random
  }

  async play(): Promise<void> {
    const random = this.#random
    const calls = planOf(random, { steps: 24, reopen: false }).flatMap((step) => ('calls' in step ? step.calls : []))
    for (const call of calls) {
      while (this.#unsettled.size >= openMax || (this.#waiting.length > 0 && random.chance(0.75))) await this.#step()
      this.#begin(call)
    }
    while (this.#unsettled.size > 0) await this.#step()
    await this.#verify()
  }

  /** Somebody goes on; or nobody can, and somebody is settling. */
  async #step(): Promise<void> {
    const [next] = this.#waiting.splice(this.#random.below(Math.max(1, this.#waiting.length)), 1)
    next?.()
    await new Promise((resolve) => (next === undefined ? setTimeout(resolve, 0) : setImmediate(resolve)))
  }

  #begin(call: Call): void {
    const random = this.#random
    const isInteractive = random.chance(0.7)
    const life: Life = { call, isInteractive, mayRetry: random.chance(0.4), begin: this.#now(), seen: [], runs: 0 }
    this.#lives.push(life)
    const settled = (isInteractive ? this.#transact(life) : this.#call(life))
      .catch((error: unknown) => void (life.error = error ?? new Error('nothing was thrown')))
      .finally(() => {
        life.end = this.#now()
        this.#unsettled.delete(settled)
      })
    this.#unsettled.add(settled)
  }

  #now(): Position {
    const snapshot = this.#db.snapshot()
    snapshot.close()
    return snapshot.position
  }

  async #call({ call: { at, script } }: Life): Promise<void> {
    if (at === null) await this.#db.call(run, { script })
    else await this.#db.call(runAt, { at, script })
  }

  async #transact(life: Life): Promise<void> {
    const { script } = life.call
    await this.#db.transact(
      async (tx) => {
        life.begin = this.#now()
        life.seen = []
        life.runs += 1
        const scope = scopeOf(tx, main.tables)
        for (const op of script) {
          life.seen.push(...interpret(scope, [op], shown, (other) => interpret(scopeOf(tx, side.tables), other, shown, () => 'not here')))
          await new Promise<void>((resolve) => this.#waiting.push(resolve))
        }
      },
      { retries: life.mayRetry ? retries : 0 },
    )
  }

  async #verify(): Promise<void> {
    const committed = this.#lives.filter((life) => life.error === undefined && life.call.writes)
    const commits = await take(this.#db.changes({ from: 'beginning' }), committed.length, 'the commits')
    const lifeOf = new Map(committed.map((life) => [life.call.n, life]))
    const states: State[] = [emptyState]
    for (const { position, changes, procedure } of commits) {
      const entry = changes.find((change) => change.table === 'main.journal' && change.kind === 'insert')
      const life = lifeOf.get(Number((entry?.after as Row)['n']))!
      expect(procedure).toBe(life.isInteractive ? undefined : life.call.at === null ? 'main.run' : 'main.runAt')
      const outcome = runOn(states.at(-1)!, life.call.script)
      const what = `transaction ${life.call.n}, committed at ${position}, ${canon(life.call.script)}`
      if (!outcome.ok) expect.fail(`${what}: the model says ${outcome.codes.join(' or ')}`)
      if (life.isInteractive) expectSame(life.seen, outcome.value, `what was seen by ${what}`)
      states.push(outcome.state)
    }
    expectState(this.#db, states.at(-1)!, 'the rows at the end')

    const before = (position: Position): number => commits.filter((commit) => commit.position <= position).length
    for (const life of this.#lives) {
      if (committed.includes(life)) continue
      const [first, last] = [before(life.begin), before(life.end!)]
      if (life.isInteractive) expectFits(life, states.slice(first, last + 1))
    }
    const interactive = this.#lives.filter((life) => life.isInteractive)
    for (const life of interactive) {
      if (committed.includes(life)) met.committed += 1
      else if (life.error === undefined) met.readOnly += 1
      else if (SluiceError.is(life.error, 'CONFLICT')) met.conflicts += 1
      else met.failed += 1
    }
    met.runs += interactive.reduce((sum, life) => sum + life.runs, 0)
  }
}

/** `states`: those that were the newest at some time of its life, oldest first. */
function expectFits({ call, seen, error }: Life, states: readonly State[]): void {
  const what = `transaction ${call.n}, ${canon(call.script)}`
  if (error === undefined) {
    const outcome = runOn(states[0]!, call.script)
    expectSame(seen, outcome.ok ? outcome.value : outcome.codes, `what was seen by ${what}`)
    return
  }
  if (SluiceError.is(error, 'CONFLICT')) {
    expect(states.length, `${what} conflicts with somebody`).toBeGreaterThan(1)
    expect(error.details['table'], what).toBeTypeOf('string')
    return
  }
  if (!states.some((state) => fitsFailure(runOn(state, call.script), call.script, error))) {
    const shownError = SluiceError.is(error) ? `${error.code} ${error.message}` : String(error)
    expect.fail(`${what}\n  failed with ${shownError}\n  expected ${states.map((state) => canon(runOn(state, call.script))).join('\n  or       ')}`)
  }
}

/** The sum of an `add` is checked when it is read or in the lane: another error of the script may come before it. */
function fitsFailure(outcome: ModelOutcome, script: Script, error: unknown): boolean {
  if (outcome.ok) return false
  if (canon(script).includes('"op":"add"')) return true
  if (!SluiceError.is(error)) return outcome.codes.includes('PROCEDURE_FAILED')
  return outcome.codes.includes(error.code) && (outcome.reason === undefined || outcome.reason === error.reason)
}

// ── a draft as scripts know a transaction ─────────────────────────────────────────────────────────────────────

interface AnyDraftTable extends Omit<ScriptTable, 'row' | 'rows' | 'index'> {
  value(key: unknown, column: string): unknown
  readonly index: Readonly<Record<string, Omit<ScriptIndex, 'rows'>>>
}

function scopeOf(tx: Draft, tables: Readonly<Record<string, unknown>>): ScriptTx {
  return {
    db: Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, tableOf(tx.table(table as Table) as unknown as AnyDraftTable, (table as Table).name)])),
    emit: (event, payload) => tx.emit((main.events as unknown as Readonly<Record<string, typeof main.events.marked>>)[event]!, payload as never),
    abort: (reason, details) => tx.abort(reason, details as Readonly<Record<string, unknown>>),
  }
}

/** Accessors are imitated column by column, so that single columns are read and written too. */
function tableOf(table: AnyDraftTable, full: string): ScriptTable {
  const spec = tableSpecs[full]!
  const keyIn = (row: Row): unknown => bare(keyOf(spec, row))
  const live = (row: Row): Record<string, unknown> => {
    const key = keyIn(row)
    return new Proxy({}, {
      get: (_, name) => table.value(key, String(name)),
      set: (_, name, value) => {
        table.update(key, { [name]: value as unknown })
        return true
      },
    })
  }
  const lively = function* (rows: Iterable<Row>): Iterable<Record<string, unknown>> {
    for (const row of rows) if (table.has(keyIn(row))) yield live(row)
  }
  return {
    get: (key) => table.get(key),
    has: (key) => table.has(key),
    row: (key) => {
      if (!table.has(key)) return undefined
      return live(Object.fromEntries(spec.key.map((name, n) => [name, spec.key.length === 1 ? key : (key as unknown[])[n]])))
    },
    insert: (row) => table.insert(row),
    put: (row) => table.put(row),
    update: (key, patch) => table.update(key, patch),
    add: (key, deltas) => table.add(key, deltas),
    delete: (key) => table.delete(key),
    scan: (range) => table.scan!(range),
    rows: (range) => lively([...table.scan!(range)]),
    index: Object.fromEntries(
      Object.entries(table.index).map(([name, index]) => [
        name,
        { get: (values) => index.get(values), rows: (values) => lively(index.get(values)), scan: (range) => index.scan!(range) } satisfies ScriptIndex,
      ]),
    ),
  }
}
