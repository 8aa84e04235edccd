/** A fork as users hold it: a database over a fork of the engine (engine/fork.ts), without what a branch in memory cannot mean. */
import { encodeCanonical } from '../engine/base/canonical.js'
import { ByteWriter } from '../engine/base/bytes.js'
import { SluiceError } from '../engine/base/errors.js'
import { ForkView, type OpenEngine, type PlainRow } from '../engine/index.js'
import type { AnyChange } from './change.js'
import { formatPosition, type Position } from './position.js'

/** What a database does that a fork does too. */
export interface Branch {
  call(procedure: unknown, input?: unknown, options?: never): Promise<unknown>
  submit(procedure: unknown, input?: unknown, options?: never): Promise<unknown>
  submitMany(procedure: unknown, inputs: readonly unknown[], options?: never): Promise<unknown>
  transact(body: unknown, options?: never): Promise<unknown>
  table(table: object): unknown
  query(query: unknown, parameters?: unknown, options?: unknown): unknown[]
  snapshot(): unknown
  changes(options?: never): unknown
  close(): Promise<void>
}

export class DatabaseFork implements AsyncDisposable {
  readonly position: Position
  readonly time: number
  readonly #open: OpenEngine
  readonly #branch: Branch
  readonly #onClose: (fork: DatabaseFork) => void

  constructor(open: OpenEngine, branch: Branch, onClose: (fork: DatabaseFork) => void) {
    const { batch, index, time } = open.origin!
    this.position = formatPosition(batch, index)
    this.time = time
    this.#open = open
    this.#branch = branch
    this.#onClose = onClose
  }

  call(procedure: unknown, input?: unknown, options?: never): Promise<unknown> {
    return this.#branch.call(procedure, input, options)
  }
  submit(procedure: unknown, input?: unknown, options?: never): Promise<unknown> {
    return this.#branch.submit(procedure, input, options)
  }
  submitMany(procedure: unknown, inputs: readonly unknown[], options?: never): Promise<unknown> {
    return this.#branch.submitMany(procedure, inputs, options)
  }
  transact(body: unknown, options?: never): Promise<unknown> {
    return this.#branch.transact(body, options)
  }
  table(table: object): unknown {
    return this.#branch.table(table)
  }
  query(query: unknown, parameters?: unknown, options?: unknown): unknown[] {
    return this.#branch.query(query, parameters, options)
  }
  snapshot(): unknown {
    return this.#branch.snapshot()
  }
  changes(options?: never): unknown {
    return this.#branch.changes(options)
  }

  diff(): AnyChange[] {
    const { engine } = this.#open
    engine.mustBeOpen()
    const view = engine.reading() as ForkView
    const changed: AnyChange[] = []
    // Tables of the engine's own stand behind the user's.
    for (const table of view.store.tables.slice(0, engine.program.tables.length)) {
      for (const { key, after } of view.known(table)) {
        const change = changeOf(table.name, key, view.inBase(table, key), after)
        if (change !== undefined) changed.push(change)
      }
    }
    return changed
  }

  close(): Promise<void> {
    this.#onClose(this)
    return this.#branch.close()
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** What a database has and a branch has not. From JavaScript it is asked for all the same. */
const ofDatabases = [
  'asOf', 'backup', 'checkpoint', 'compensate', 'consumer', 'consumers', 'describe', 'erase', 'erasures', 'events', 'explain', 'fork', 'history', 'projection', 'run', 'start', 'stats',
]
for (const name of ofDatabases) {
  Object.defineProperty(DatabaseFork.prototype, name, {
    get: () => {
      throw SluiceError.of('INVALID_USE', `A fork has no ${name}: ask the database that it was forked from.`)
    },
  })
}

const one = new ByteWriter()
const other = new ByteWriter()

function changeOf(table: string, key: unknown, before: PlainRow | undefined, after: PlainRow | undefined): AnyChange | undefined {
  if (before === undefined) return after === undefined ? undefined : { kind: 'insert', table, key, before, after }
  if (after === undefined) return { kind: 'delete', table, key, before, after }
  one.reset()
  other.reset()
  encodeCanonical(before, one)
  encodeCanonical(after, other)
  return Buffer.compare(one.bytes(), other.bytes()) === 0 ? undefined : { kind: 'update', table, key, before, after }
}
