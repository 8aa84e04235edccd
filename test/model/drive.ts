/**
 * Runs a plan against a database and against the model, and compares: every answer, every error, every
 * state that can be looked at, and the stream.
 *
 * The engine decides the order of calls that are in flight together; the positions of the receipts say
 * which order it was, and the model then runs in that order. A call that left no position (it failed, or
 * only read) must fit at *some* place between the calls of its group.
 */
import {
  SluiceError,
  type Commit,
  type Database,
  type OpenOptions,
  type Position,
  type Snapshot,
} from 'sluicedb'
import modelApp, { run, runAt } from '../support/apps/model-app.js'
import { tableSpecs } from '../support/apps/model-schema.js'
import { openOnce, proveWhole, take } from '../support/fixture.js'
import {
  bare,
  emptyState,
  keyOf,
  runOn,
  canonKey,
  type ModelOutcome,
  type Row,
  type State,
} from '../support/model.js'
import type { Call, Plan } from '../support/plans.js'
import { expectState, readerOf } from '../support/reading.js'
import { canon, expectSame } from '../support/same.js'
import { expect } from 'vitest'

interface Version {
  readonly position: Position
  readonly call: Call
  /** Calls that were in flight together. */
  readonly group: number
  readonly state: State
  readonly events: readonly { type: string; payload: unknown }[]
}
type Settled = {
  readonly call: Call
  readonly position: Position | undefined
  readonly value?: unknown
  readonly error?: unknown
}

export async function drive(plan: Plan, options: OpenOptions): Promise<void> {
  const driver = new Driver(options)
  try {
    await driver.start()
    for (const step of plan) {
      if (step.kind === 'batch') await driver.batch(step.calls)
      else if (step.kind === 'serial') for (const call of step.calls) await driver.batch([call])
      else if (step.kind === 'hold') driver.hold()
      else if (step.kind === 'release') driver.release()
      else if (step.kind === 'past') await driver.past()
      else if (step.kind === 'check') driver.check()
      else await driver.reopen()
    }
    await driver.finish()
  } finally {
    await driver.stop()
  }
}

class Driver {
  readonly #options: OpenOptions
  #db!: Database
  #state: State = emptyState
  #reopened = false
  #looksBack = 0
  #group = 0
  /** One for every transaction that wrote, in log order. */
  readonly #versions: Version[] = []
  #held: { readonly snapshot: Snapshot; readonly state: State }[] = []
  #live: Commit[] = []
  #stream: { readonly done: Promise<void>; close(): Promise<void> } | undefined

  constructor(options: OpenOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    this.#db = await openOnce(modelApp, this.#options)
    const changes = this.#db.changes({ from: this.#reopened ? 'now' : 'beginning' })
    const read = async () => {
      for await (const commit of changes) this.#live.push(commit)
    }
    this.#stream = { done: read(), close: () => changes.close() }
    this.#stream.done.catch(() => undefined)
  }

  async stop(): Promise<void> {
    for (const { snapshot } of this.#held) snapshot.close()
    this.#held = []
    await this.#stream?.close()
    if (this.#db !== undefined) proveWhole(this.#db)
    await this.#db?.close()
  }

  /** All of them in one tick; then settles who came when. */
  async batch(calls: readonly Call[]): Promise<void> {
    this.#group += 1
    const submitted = calls.map((call) => this.#submit(call))
    const settled = await Promise.all(submitted)
    const before = this.#versions.length
    const committed = settled.filter(
      (it): it is Settled & { position: Position } => it.position !== undefined && it.call.writes,
    )
    committed.sort((one, other) => (one.position < other.position ? -1 : 1))
    this.#expectArrival(committed.filter(({ call }) => call.at === null))
    const states = [this.#state]
    for (const { call, position, value } of committed) {
      const last = this.#versions.at(-1)
      if (last && !(last.position < position))
        expect.fail(`positions grow: ${position} came after ${last.position}`)
      const outcome = runOn(this.#state, call.script)
      if (!outcome.ok)
        expect.fail(
          `call ${call.n} committed, the model says ${outcome.codes.join(' or ')}: ${canon(call.script)}`,
        )
      expectSame(value, outcome.value, `the answer of call ${call.n}, ${canon(call.script)}`)
      this.#state = outcome.state
      states.push(outcome.state)
      this.#versions.push({
        position,
        call,
        group: this.#group,
        state: outcome.state,
        events: outcome.events,
      })
    }
    for (const one of settled) if (!committed.includes(one as never)) this.#expectSomewhere(one, states)
    if (this.#versions.length > before) this.#expectJournal(calls)
  }

  hold(): void {
    const snapshot = this.#db.snapshot()
    this.#held.push({ snapshot, state: this.#state })
  }

  release(): void {
    const oldest = this.#held.shift()
    if (!oldest) return
    expectState(oldest.snapshot, oldest.state, 'a snapshot when it is released')
    oldest.snapshot.close()
  }

  /** The state as of some old position is the state at the end of that position's batch. */
  async past(): Promise<void> {
    if (this.#versions.length === 0) return
    this.#looksBack += 1
    const chosen = this.#versions[(this.#looksBack * 37) % this.#versions.length]!
    let past: Snapshot
    try {
      past = await this.#db.asOf(chosen.position)
    } catch (error) {
      // After a reopen older moments may be gone, by name; before it nothing is old enough for that.
      if (this.#reopened && SluiceError.is(error, 'HISTORY_GONE')) return
      throw error
    }
    try {
      this.#expectEndOfBatch(past, chosen)
    } finally {
      past.close()
    }
  }

  /**
   * Which calls of a group shared a batch is the engine's affair: the state is that of one of them, at or
   * after the chosen one.
   */
  #expectEndOfBatch(past: Snapshot, chosen: Version): void {
    const ends = this.#versions.filter(
      ({ group, position }) => group === chosen.group && position >= chosen.position,
    )
    const misses = ends.map(({ state, position }) => {
      try {
        expectState(past, state, `as of ${chosen.position}, if its batch ends at ${position}`)
      } catch (error) {
        return error
      }
      return undefined
    })
    if (!misses.includes(undefined)) throw misses[0]
  }

  check(): void {
    expectState(this.#db, this.#state, 'the newest state')
    for (const { snapshot, state } of this.#held) expectState(snapshot, state, 'a held snapshot')
  }

  async reopen(): Promise<void> {
    this.check()
    await this.#expectStreams()
    await this.stop()
    this.#reopened = true
    await this.start()
    expectState(this.#db, this.#state, 'the state after reopening')
  }

  async finish(): Promise<void> {
    this.check()
    await this.#expectStreams()
  }

  async #submit(call: Call): Promise<Settled> {
    const { at, script } = call
    try {
      const receipt =
        at === null ? await this.#db.submit(run, { script }) : await this.#db.submit(runAt, { at, script })
      return { call, position: receipt.position, value: receipt.value }
    } catch (error) {
      return { call, position: undefined, error }
    }
  }

  /** Calls that declare no partition share one lane, and arrival orders within a lane. */
  #expectArrival(committed: readonly Settled[]): void {
    const numbers = committed.map(({ call }) => call.n)
    expectSame(
      numbers,
      numbers.toSorted((one, other) => one - other),
      'calls of the cross-partition lane commit in the order of arrival',
    )
  }

  #expectSomewhere(settled: Settled, states: readonly State[]): void {
    const outcomes = states.map((state) => runOn(state, settled.call.script))
    const fits =
      settled.error === undefined
        ? (outcome: ModelOutcome) => outcome.ok && canon(outcome.value) === canon(settled.value)
        : (outcome: ModelOutcome) => fitsError(outcome, settled.error)
    if (outcomes.some(fits)) return
    const got = settled.error === undefined ? canon(settled.value) : describeError(settled.error)
    const wanted = [
      ...new Set(
        outcomes.map((it) => (it.ok ? canon(it.value) : `${it.codes.join(' or ')} ${it.reason ?? ''}`)),
      ),
    ].join('\n  or       ')
    expect.fail(
      `call ${settled.call.n}, ${canon(settled.call.script)}\n  got      ${got}\n  expected ${wanted}`,
    )
  }

  /** What has settled is seen by every later read. */
  #expectJournal(calls: readonly Call[]): void {
    const journal = readerOf(this.#db, 'main.journal')
    for (const { script } of calls) {
      for (const op of script) {
        if (op.op !== 'insert' || op.table !== 'journal') continue
        const key = [op.row['place'], op.row['n']]
        expectSame(
          journal.has(key),
          this.#state['main.journal']!.has(canon(key)),
          `the journal row ${canon(key)} right after the answer`,
        )
      }
    }
  }

  /**
   * The log tells the same story as the answers: same order, same images, same events; live and from the
   * beginning.
   */
  async #expectStreams(): Promise<void> {
    const commits = await take(
      this.#db.changes({ from: 'beginning' }),
      this.#versions.length,
      'changes from the beginning',
    )
    let state: State = emptyState
    commits.forEach((commit, at) => {
      const version = this.#versions[at]!
      const what = `commit ${at} (call ${version.call.n})`
      expectSame(commit.position, version.position, `${what}: position`)
      expectSame(commit.procedure, version.call.at === null ? 'main.run' : 'main.runAt', `${what}: procedure`)
      expectSame(
        commit.events.map(({ type, payload }) => ({ type, payload })),
        version.events,
        `${what}: events`,
      )
      state = applied(state, commit, what)
      for (const name of Object.keys(tableSpecs))
        expectSame(
          sorted(state[name]!),
          sorted(version.state[name]!),
          `${what}: ${name} rebuilt from the stream`,
        )
    })
    const deadline = performance.now() + 10_000
    const newest = commits.at(-1)?.position
    while (!this.#reopened && this.#live.at(-1)?.position !== newest && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 1))
    const known = new Map(commits.map((commit) => [commit.position, canon(commit)]))
    for (const commit of this.#live)
      expectSame(
        canon(commit),
        known.get(commit.position),
        `the live commit ${commit.position} equals the one read later`,
      )
    if (!this.#reopened) expectSame(this.#live.length, commits.length, 'the number of live commits')
  }
}

const sorted = (rows: ReadonlyMap<string, Row>) => [...rows.values()].map(canon).sort()

function applied(state: State, commit: Commit, what: string): State {
  const next = Object.fromEntries(Object.entries(state).map(([name, rows]) => [name, new Map(rows)]))
  for (const change of commit.changes) {
    const spec = tableSpecs[change.table]
    const rows = next[change.table]
    if (!spec || !rows) expect.fail(`${what}: unknown table ${change.table}`)
    const key = canonKey(spec, change.key)
    expectSame(change.before, rows.get(key), `${what}: before-image of ${change.table} ${key}`)
    const image = change.after ?? change.before
    expectSame(change.key, bare(keyOf(spec, image)), `${what}: the key of ${change.table}`)
    const kind = change.before === undefined ? 'insert' : change.after === undefined ? 'delete' : 'update'
    expectSame(change.kind, kind, `${what}: kind of ${change.table} ${key}`)
    if (change.after) rows.set(key, change.after)
    else rows.delete(key)
  }
  return next
}

function fitsError(outcome: ModelOutcome, error: unknown): boolean {
  if (outcome.ok || !SluiceError.is(error) || !outcome.codes.includes(error.code)) return false
  return (
    outcome.reason === undefined ||
    (error.reason === outcome.reason && canon(error.details) === canon(outcome.details))
  )
}

const describeError = (error: unknown) =>
  SluiceError.is(error)
    ? `${error.code} ${error.reason ?? ''} ${canon(error.details)} ${error.message}`
    : String(error)
