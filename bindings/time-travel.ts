/** The past of a database: as it was (`asOf`), what became of a row (`history`), what would have been (`fork`), and taking back (`compensate`). */
import { SluiceError } from '../engine/base/errors.js'
import { openFork, openPast, type OpenEngine, type Program, SnapshotView, type Store } from '../engine/index.js'
import { tableOrdinal } from './catalog.js'
import { compensate } from './compensation.js'
import type { Receipt } from './database-types.js'
import { type Branch, DatabaseFork } from './fork.js'
import { RowHistory } from './history.js'
import { type Moment, Moments } from './moments.js'
import { inPositions } from './position.js'
import { shown } from './schema/definition.js'
import { mustNotBeAborted, type SignalLike } from './signal.js'
import type { CompensateOptions, ForkOptions, HistoryOptions } from './time-types.js'
import type { Transactor } from './transact.js'

/** What it needs of the database that it is of. */
export interface Present {
  readonly open: OpenEngine
  readonly program: Program
  readonly transactor: Transactor
  /** Another one, over a fork of the engine. */
  readonly branch: (open: OpenEngine) => Branch
  /** The options that calls have, too. */
  readonly checkOptions: (what: string, options: unknown) => void
}

interface ViewAt {
  readonly view: SnapshotView
  readonly at: Moment
}

export class TimeTravel {
  readonly moments: Moments
  readonly #present: Present
  readonly #forks = new Set<DatabaseFork>()

  constructor(present: Present) {
    this.#present = present
    this.moments = new Moments(present.open)
  }

  /** A view of a moment, which the caller closes; at once where memory knows it. `signal` gives up what reads files. */
  viewAt(what: string, moment: unknown, signal: SignalLike | undefined): ViewAt | Promise<ViewAt> {
    this.#present.open.engine.mustBeOpen()
    const found = this.moments.find(what, moment, signal)
    return found instanceof Promise ? found.then((at) => this.#viewOf(what, at, signal)) : this.#viewOf(what, found, signal)
  }

  #viewOf(what: string, at: Moment, signal: SignalLike | undefined): ViewAt | Promise<ViewAt> {
    const { engine, firstBatch } = this.#present.open
    if (at.batch > engine.durable) throw SluiceError.of('INVALID_USE', `${what} was asked for a position that this database has not reached.`)
    const view = at.batch >= firstBatch ? engine.openView(at.batch) : undefined
    return view === undefined ? this.#readPast(what, at, signal) : { view, at }
  }

  async #readPast(what: string, at: Moment, signal: SignalLike | undefined): Promise<ViewAt> {
    const { open } = this.#present
    const { engine, keeper, disk, options, catalog } = open
    const { program, store } = engine.parts
    const mustGoOn = (): void => {
      mustNotBeAborted(what, signal)
      if (engine.isClosed) throw SluiceError.of('DATABASE_CLOSED', 'The database is closed: open() it again.')
    }
    const pause = async (): Promise<void> => {
      await new Promise<void>((resolve) => engine.environment.soon(resolve))
      mustGoOn()
    }
    const past = { program, catalog, disk, memoryBytes: options.memoryBytes ?? store.region.words * 8, batch: at.batch, pause }
    const read = (): Promise<Store> => openPast(past)
    try {
      const restored = await inPositions(keeper === undefined ? read() : keeper.exclusively(read, { signal }))
      mustGoOn()
      return { view: new SnapshotView(restored, -1, at.batch), at }
    } catch (error) {
      mustGoOn() // the keeper says it in other words
      throw error
    }
  }

  history(table: unknown, key: unknown, options: unknown = {}): RowHistory {
    const { open, program } = this.#present
    open.engine.mustBeOpen()
    const ordinal = tableOrdinal(program, table)
    return new RowHistory(open, this.moments, open.engine.parts.store.tables[ordinal]!, key, options as HistoryOptions)
  }

  async fork(moment: unknown, options: ForkOptions = {}): Promise<DatabaseFork> {
    const { open, branch } = this.#present
    const { engine } = open
    engine.mustBeOpen()
    engine.mustBeOutside()
    checkForkOptions(options)
    mustNotBeAborted('db.fork()', options.signal)
    const { view, at } = moment === undefined ? { view: engine.openView()!, at: undefined } : await this.viewAt('db.fork()', moment, options.signal)
    try {
      mustNotBeAborted('db.fork()', options.signal)
      engine.mustBeOpen()
      const forked = openFork(open, view, at ?? this.moments.endOf(view.batch))
      const fork: DatabaseFork = new DatabaseFork(forked, branch(forked), (closed) => this.#forks.delete(closed))
      this.#forks.add(fork)
      return fork
    } catch (error) {
      view.close()
      throw error
    }
  }

  async compensate(position: unknown, options: unknown = {}): Promise<Receipt<void>> {
    const { open, transactor } = this.#present
    open.engine.mustBeOpen()
    if (typeof options !== 'object' || options === null) throw SluiceError.of('INVALID_USE', `The options of db.compensate() are an object, not ${shown(options)}.`)
    this.#present.checkOptions('db.compensate()', { signal: (options as CompensateOptions).signal, timeoutMs: (options as CompensateOptions).timeoutMs })
    return await compensate(open, transactor, position, options as CompensateOptions)
  }

  /** The database closes, and what reads its memory with it. */
  async close(): Promise<void> {
    for (const fork of [...this.#forks]) await fork.close()
  }
}

function checkForkOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null) throw SluiceError.of('INVALID_USE', `The options of db.fork() are an object, not ${shown(options)}.`)
  for (const name of Object.keys(options)) if (name !== 'signal') throw SluiceError.of('INVALID_USE', `db.fork() has no option "${name}"; it has signal.`)
  const { signal } = options as { signal?: unknown }
  if (signal !== undefined && (typeof signal !== 'object' || signal === null || !('aborted' in signal))) throw SluiceError.of('INVALID_USE', `The option signal is an AbortSignal, not ${shown(signal)}.`)
}
