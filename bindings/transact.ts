/**
 * `db.transact(async (tx) => ...)`: runs a body over a snapshot, hands in what it read and wrote, and runs it again when that has
 * become stale.
 *
 * One run: a snapshot of the newest durable batch, the body, then one request (engine/draft.ts). A run is stale when its request ends with
 * CONFLICT, or when its snapshot was given up because memory ran short; then, after a random pause, there is another one on a
 * new snapshot, `retries` times at most. Whatever else happens is the outcome.
 *
 * With an `id` an outcome is recorded once and every repeat gets it: the body's value, an abort, a broken constraint. So a known
 * id is answered before the body runs. What the body itself throws is not recorded (perhaps it was the network), and neither is
 * CONFLICT, which decides nothing.
 */
import type { Environment } from '../engine/base/environment.js'
import { type ErrorCode, SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { type AbortLike, type Draft, DraftHost, DraftTable, type Engine, type HandInOptions, type Program, type TableDescriptor } from '../engine/index.js'
import { eventOrdinal, tableOrdinal } from './catalog.js'
import { shown } from './schema/definition.js'

export interface TransactOptions {
  readonly id?: string | undefined
  readonly signal?: AbortLike | undefined
  readonly timeoutMs?: number | undefined
  readonly retries?: number | undefined
  readonly whenFull?: HandInOptions['whenFull']
  /** For who needs the place in the log too; no option of users. */
  readonly placed?: HandInOptions['placed']
}
/** How a body of ours finds tables by name. */
export const tableNamed: unique symbol = Symbol('tables of a draft by name')
export const transactOptions: ReadonlySet<string> = new Set(['id', 'signal', 'timeoutMs', 'whenFull', 'retries'])

type Body = (tx: object) => unknown
type Run = { readonly value: unknown } | { readonly stale: SluiceError }

/** Errors that say what the transaction is, and not how it went: with an id they are recorded, as those of a procedure are. */
const recorded: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ABORTED', 'CONSTRAINT', 'NOT_FOUND', 'INVALID_INPUT', 'INVALID_USE', 'OUT_OF_SPACE'])

export class Transactor {
  readonly #engine: Engine
  readonly #program: Program
  readonly #host: DraftHost
  readonly #running = new Set<Patience>()

  constructor(engine: Engine, program: Program) {
    this.#engine = engine
    this.#program = program
    this.#host = new DraftHost(engine)
  }

  /** `options` have been checked, except `retries`. The body begins before this returns. */
  async transact(body: unknown, options: TransactOptions): Promise<unknown> {
    const { retries = 0, id, whenFull, placed } = options
    this.#engine.mustBeOutside()
    this.#engine.mustBeOpen()
    if (typeof body !== 'function') throw SluiceError.of('INVALID_USE', `db.transact() takes a function of tx, not ${shown(body)}.`)
    if (!Number.isInteger(retries) || retries < 0 || retries > limits.draftRetriesMax) {
      throw SluiceError.of('INVALID_USE', `The option retries is a whole number from 0 to ${limits.draftRetriesMax}, not ${shown(retries)}.`)
    }
    const patience = new Patience(this.#engine.environment, options)
    this.#running.add(patience)
    try {
      for (let attempt = 0; ; attempt += 1) {
        patience.mustLast()
        const known = id === undefined ? undefined : this.#host.known(id)
        if (known !== undefined) {
          placed?.({ batch: known.batch, index: known.index, repeated: true })
          return known.value
        }
        const run = await this.#run(body as Body, patience, { id, whenFull, placed })
        if ('value' in run) return run.value
        if (attempt >= retries) throw run.stale
        await patience.pause(attempt)
      }
    } finally {
      this.#running.delete(patience)
      patience.end()
    }
  }

  async #run(body: Body, patience: Patience, handIn: Pick<HandInOptions, 'id' | 'whenFull' | 'placed'>): Promise<Run> {
    const { id } = handIn
    const draft = this.#host.begin()
    let value: unknown
    try {
      value = await patience.wait(runBody(body, this.#scope(draft)), (error) => draft.giveUp(error))
    } catch (thrown) {
      if (draft.doom === undefined) throw thrown
    } finally {
      draft.end()
      draft.view.close()
    }
    const options = { ...handIn, signal: patience.signal, timeoutMs: patience.leftMs }
    const { doom } = draft
    try {
      if (doom !== undefined) {
        if (id === undefined || !recorded.has(doom.code)) throw doom
        return { value: await this.#host.refuse(doom, options) }
      }
      if (id === undefined && draft.isReadOnly) return { value }
      const answered = await this.#host.commit(draft, value, options)
      return { value: id === undefined ? value : answered }
    } catch (error) {
      if (SluiceError.is(error, 'CONFLICT') || (error === doom && SluiceError.is(doom, 'SNAPSHOT_TOO_OLD'))) return { stale: error as SluiceError }
      throw SluiceError.is(error, 'TIMEOUT') ? patience.timedOut() : error
    }
  }

  /** `tx`. Functions of their own, so that `({ table }) => ...` works too. */
  #scope(draft: Draft): object {
    const { store } = draft.kit
    const tables: (DraftTable | undefined)[] = []
    const ordinals = new Map<unknown, number>()
    const tableAt = (ordinal: number): DraftTable => (tables[ordinal] ??= new DraftTable(draft, store.tables[ordinal]!))
    const queried = (name: string): { readonly descriptor: TableDescriptor; readonly handle: object } => {
      const table = store.tables.find((one) => one.name === name)
      if (table === undefined) throw SluiceError.of('INVALID_USE', `A query reads "${name}", which is not in this application.`)
      return { descriptor: table.descriptor, handle: tableAt(table.ordinal) }
    }
    return Object.freeze({
      [tableNamed]: (name: string) => queried(name).handle,
      now: draft.now,
      table: (handle: unknown) => {
        let ordinal = ordinals.get(handle)
        if (ordinal === undefined) {
          ordinal = draft.run(() => tableOrdinal(this.#program, handle))
          ordinals.set(handle, ordinal)
        }
        return tableAt(ordinal)
      },
      query: (query: unknown, parameters?: unknown, options?: unknown) => draft.run(() => this.#program.runQuery!(query, queried, parameters, options)),
      emit: (handle: unknown, payload?: unknown) => draft.run(() => draft.emit(eventOrdinal(this.#program, handle), payload)),
      abort: (reason: unknown, details?: unknown) => draft.abort(reason, details),
    })
  }

  /** The database closes: no body can commit any more. */
  close(): void {
    for (const patience of [...this.#running]) patience.giveUp(SluiceError.of('DATABASE_CLOSED', 'The database was closed while this transaction ran, which has no effect: open() it again.'))
  }
}

/** Starts at once; whatever it throws is a rejection. */
async function runBody(body: Body, tx: object): Promise<unknown> {
  return await body(tx)
}

/** What may end a transaction from outside: its signal, its time, the end of the database. */
class Patience {
  readonly signal: AbortLike | undefined
  readonly #environment: Environment
  readonly #timeoutMs: number | undefined
  readonly #endMs: number
  readonly #listeners = new Set<(error: SluiceError) => void>()
  readonly #cancelTimer: (() => void) | undefined
  #error: SluiceError | undefined

  constructor(environment: Environment, { signal, timeoutMs }: TransactOptions) {
    this.signal = signal
    this.#environment = environment
    this.#timeoutMs = timeoutMs
    this.#endMs = timeoutMs === undefined ? Infinity : environment.monotonicMs() + timeoutMs
    signal?.addEventListener('abort', this.#onAbort)
    this.#cancelTimer = timeoutMs === undefined ? undefined : environment.later(timeoutMs, () => this.giveUp(this.timedOut()))
    if (signal?.aborted === true) this.#onAbort()
  }
  readonly #onAbort = (): void => {
    this.giveUp(SluiceError.of('CANCELLED', 'The transaction was given up by its signal before a batch had taken it; it has no effect.', { cause: this.signal!.reason }))
  }

  timedOut(): SluiceError {
    const ms = this.#timeoutMs!
    return SluiceError.of('TIMEOUT', `The transaction was not ready for a batch, or no batch took it, within ${ms} ms; it has no effect. Try again, with more time.`, { details: { timeoutMs: ms } })
  }

  get leftMs(): number | undefined {
    return this.#timeoutMs === undefined ? undefined : Math.max(0, this.#endMs - this.#environment.monotonicMs())
  }

  giveUp(error: SluiceError): void {
    if (this.#error !== undefined) return
    this.#error = error
    for (const listener of [...this.#listeners]) listener(error)
  }
  mustLast(): void {
    if (this.#error !== undefined) throw this.#error
  }

  /** Settles as `work` does, or at once when the transaction is given up; what becomes of `work` then is nobody's business. */
  wait<T>(work: Promise<T>, onGivenUp?: (error: SluiceError) => void): Promise<T> {
    return new Promise((resolve, reject: (error: unknown) => void) => {
      const leave = (error: SluiceError): void => {
        this.#listeners.delete(leave)
        onGivenUp?.(error)
        reject(error)
      }
      const settle = (): void => void this.#listeners.delete(leave)
      this.#listeners.add(leave)
      work.then(resolve, reject).finally(settle)
      if (this.#error !== undefined) leave(this.#error)
    })
  }

  /** Before retry `attempt` + 1: a random time, so that those who met do not meet again. */
  async pause(attempt: number): Promise<void> {
    const [random = 0] = new Uint32Array(this.#environment.randomBytes(4).slice().buffer)
    const mostMs = Math.min(limits.draftPauseMsMax, limits.draftPauseMs * 2 ** attempt)
    let cancel: (() => void) | undefined
    const passed = new Promise<void>((resolve) => {
      cancel = this.#environment.later((mostMs * random) / 2 ** 32, resolve, true)
    })
    try {
      await this.wait(passed)
    } finally {
      cancel?.()
    }
  }

  end(): void {
    this.#listeners.clear()
    this.signal?.removeEventListener('abort', this.#onAbort)
    this.#cancelTimer?.()
  }
}
