/** The database as users hold it: the typed surface over the engine. */
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { type Caller, type CheckpointKeeper, checkStore, type OpenEngine, type Program, ReadHost, type SnapshotView, type SubmitOptions } from '../engine/index.js'
import { type ReadSource, ViewQueries } from '../query/index.js'
import { bridgeKey, type BridgeParts } from './bridge.js'
import { procedureOrdinal } from './catalog.js'
import type { BackupOptions, BackupResult, CheckpointOptions, CheckpointResult, Durability, Outcome, Receipt, Snapshot } from './database-types.js'
import { ConsumerPort } from './consumer.js'
import type { Consumer, Consumers } from './consumer-types.js'
import { descriptionOf } from './describe/describe.js'
import type { Description } from './describe/description.js'
import { erasuresIn, eraseSubject } from './erasure.js'
import type { EraseOptions, ErasureRecord } from './erasure-types.js'
import { formatPosition, type Position } from './position.js'
import { checkListener, partsOf } from './progress.js'
import type { DatabaseFork } from './fork.js'
import type { RowHistory } from './history.js'
import type { Moment } from './moments.js'
import { TimeTravel } from './time-travel.js'
import type { AsOfOptions, ForkOptions } from './time-types.js'
import { type AnyReader, readerOf } from './replica-reader.js'
import { queryDefinition } from './query/query-definition.js'
import { shown } from './schema/definition.js'
import { isSignal, mustNotBeAborted } from './signal.js'
import type { DatabaseStats } from './statistics-types.js'
import { statsOf } from './statistics.js'
import type { CommitStream } from './stream.js'
import { streamFilterOf } from './stream-filter.js'
import { StreamHost } from './stream-host.js'
import { ProjectionHost } from './sourcing/projection-host.js'
import type { ProjectionKeeper } from './sourcing/projection-keeper.js'
import { type TransactOptions, transactOptions, Transactor } from './transact.js'

type Options = SubmitOptions & { readonly id?: string | undefined }
/** Not part of the contract: the fixture of the tests calls it. */
const checkSymbol = Symbol.for('sluicedb.check')
/** Not part of the contract: adapters find the program of a database by it. */
export const programKey = Symbol.for('sluicedb.program')
const callOptions = new Set(['id', 'signal', 'timeoutMs', 'whenFull'])
const manyOptions = new Set(['id', 'signal'])
const signalOnly = new Set(['signal'])
const jobOptions = new Set(['signal', 'onProgress'])

type Resolve = (value: never) => void
type Reject = (error: SluiceError) => void

/** Where `new Promise` puts its functions: one executor for all calls, so that a call makes no closure. */
let resolveNoted: Resolve
let rejectNoted: Reject
const noteFunctions = (resolve: Resolve, reject: Reject): void => {
  resolveNoted = resolve
  rejectNoted = reject
}

class SingleCall implements Caller {
  readonly #resolve: Resolve
  readonly #reject: Reject
  readonly #durability: Durability | undefined

  /** `durability` undefined: resolve with the value alone. */
  constructor(resolve: Resolve, reject: Reject, durability: Durability | undefined) {
    this.#resolve = resolve
    this.#reject = reject
    this.#durability = durability
  }
  done(_index: number, value: unknown, batch: number, place: number, repeated: boolean): void {
    this.#resolve((this.#durability === undefined ? value : receiptOf(value, batch, place, this.#durability, repeated)) as never)
  }
  failed(_index: number, error: SluiceError): void {
    this.#reject(error)
  }
}

/** The calls of one list: resolves when each has its outcome. */
class CallList implements Caller {
  readonly isMany = true
  readonly #outcomes: Outcome<unknown>[]
  readonly #resolve: (outcomes: readonly Outcome<unknown>[]) => void
  readonly #durability: Durability
  #left: number

  constructor(length: number, resolve: (outcomes: readonly Outcome<unknown>[]) => void, durability: Durability) {
    this.#outcomes = new Array<Outcome<unknown>>(length)
    this.#resolve = resolve
    this.#durability = durability
    this.#left = length
  }
  done(index: number, value: unknown, batch: number, place: number, repeated: boolean): void {
    this.#settle(index, { ok: true, value, position: formatPosition(batch, place), durability: this.#durability, repeated })
  }
  failed(index: number, error: SluiceError): void {
    this.#settle(index, { ok: false, error })
  }
  #settle(index: number, outcome: Outcome<unknown>): void {
    this.#outcomes[index] = outcome
    this.#left -= 1
    if (this.#left === 0) this.#resolve(this.#outcomes)
  }
}

function receiptOf(value: unknown, batch: number, place: number, durability: Durability, repeated: boolean): Receipt<unknown> {
  return { value, position: formatPosition(batch, place), durability, repeated }
}

export class SluiceDatabase {
  readonly #open: OpenEngine
  readonly #program: Program
  readonly #readers = new Map<object, AnyReader>()
  readonly #procedures = new Map<unknown, number>()
  /** The same procedure is called again and again. */
  #lastProcedure: unknown = this
  #lastOrdinal = -1
  readonly #streams: StreamHost
  readonly #snapshots = new Set<SnapshotHandle>()
  readonly #newest: ReadSource
  readonly #transactor: Transactor
  readonly #consumers: ConsumerPort
  readonly #projections: ProjectionHost
  #description: Description | undefined
  readonly #queries: ViewQueries
  readonly #reads: ReadHost
  readonly #time: TimeTravel

  /** `projections`: where the application has any, started. */
  constructor(open: OpenEngine, program: Program, projections = new ProjectionHost(open, program)) {
    this.#projections = projections
    this.#open = open
    this.#program = program
    const { engine } = open
    this.#transactor = new Transactor(engine, program)
    this.#consumers = new ConsumerPort({
      open,
      program,
      filterOf: (options) => streamFilterOf(program, options),
      startOf: (from) => this.#streams.startOf(from),
      read: (procedure, input, isReceipt) => (isReceipt ? this.submit(procedure, input) : this.call(procedure, input)),
    })
    this.#queries = new ViewQueries(engine.parts.store)
    this.#reads = new ReadHost(engine)
    this.#time = new TimeTravel({ open, program, transactor: this.#transactor, branch: (forked) => new SluiceDatabase(forked, program), checkOptions: (_what, options) => checkCallOptions(options, callOptions) })
    this.#streams = new StreamHost({ open, program, oldestBatch: () => this.#time.moments.oldestBatch, endOf: (batch) => this.#time.moments.endOf(batch), checkOptions })
    this.#newest = {
      view: () => engine.reading(),
      lease: () => {
        const view = engine.openView()!
        return { view, end: () => view.close() }
      },
    }
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────

  call(procedure: unknown, input?: unknown, options?: Options): Promise<unknown> {
    return this.#submit(procedure, input, options, undefined)
  }

  submit(procedure: unknown, input?: unknown, options?: Options): Promise<unknown> {
    return this.#submit(procedure, input, options, this.#open.durability)
  }

  #submit(procedure: unknown, input: unknown, options: Options | undefined, durability: Durability | undefined): Promise<unknown> {
    const promise = new Promise<unknown>(noteFunctions as ConstructorParameters<typeof Promise<unknown>>[0])
    const reject = rejectNoted
    const call = new SingleCall(resolveNoted, reject, durability)
    try {
      if (options !== undefined) checkCallOptions(options, callOptions)
      const ordinal = this.#ordinalOf(procedure)
      if (this.#reads.runs(ordinal)) this.#read(ordinal, input, call, 0, options?.signal)
      else this.#open.engine.submit(ordinal, input, call, 0, options)
    } catch (error) {
      reject(error as SluiceError)
    }
    return promise
  }

  async submitMany(procedure: unknown, inputs: readonly unknown[], options: { readonly id?: (input: never, index: number) => string; readonly signal?: SubmitOptions['signal'] } = {}): Promise<readonly Outcome<unknown>[]> {
    const { engine, durability } = this.#open
    engine.mustBeOpen()
    const ordinal = this.#ordinalOf(procedure)
    checkCallOptions(options, manyOptions)
    if (!Array.isArray(inputs)) throw SluiceError.of('INVALID_USE', `submitMany() takes a list of inputs, not ${shown(inputs)}.`)
    if (inputs.length === 0) return []
    return await new Promise<readonly Outcome<unknown>[]>((resolve) => {
      const caller = new CallList(inputs.length, resolve, durability)
      if (this.#reads.runs(ordinal)) {
        this.#readMany(ordinal, inputs, caller, options.signal)
        return
      }
      engine.feed({ procedure: ordinal, inputs, idOf: options.id, signal: options.signal, caller })
    })
  }

  /** A procedure that only reads runs at once, on this thread (engine/read-host.ts). Its position is the end of what it has read. */
  #read(procedure: number, input: unknown, caller: Caller, index: number, signal: SubmitOptions['signal']): void {
    try {
      if (signal?.aborted === true) throw SluiceError.of('CANCELLED', 'The call was withdrawn by its signal before it ran.', { cause: signal.reason })
      const { value, batch } = this.#reads.run(procedure, input)
      caller.done(index, value, batch, this.#time.moments.endOf(batch).index, false)
    } catch (error) {
      caller.failed(index, error as SluiceError)
    }
  }

  /** Many of them: the event loop turns in between, so that answers and commits go on. */
  #readMany(procedure: number, inputs: readonly unknown[], caller: Caller, signal: SubmitOptions['signal']): void {
    const { environment } = this.#open.engine
    let next = 0
    const step = (): void => {
      const startedMs = environment.monotonicMs()
      for (; next < inputs.length && environment.monotonicMs() - startedMs < limits.inlineMsMax; next += 1) this.#read(procedure, inputs[next], caller, next, signal)
      if (next < inputs.length) environment.soon(step)
    }
    step()
  }

  /** The body begins at once; wrong options are a rejection, as with `call`. */
  async transact(body: unknown, options: TransactOptions = {}): Promise<unknown> {
    checkCallOptions(options, transactOptions)
    return await this.#transactor.transact(body, options)
  }

  #ordinalOf(procedure: unknown): number {
    if (procedure === this.#lastProcedure) return this.#lastOrdinal
    let ordinal = this.#procedures.get(procedure)
    if (ordinal === undefined) {
      ordinal = procedureOrdinal(this.#program, procedure)
      this.#procedures.set(procedure, ordinal)
    }
    this.#lastProcedure = procedure
    this.#lastOrdinal = ordinal
    return ordinal
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────

  table(table: object): AnyReader {
    let reader = this.#readers.get(table)
    if (reader === undefined) {
      reader = readerOf(this.#program, this.#open.engine.parts.store, this.#newest, table)
      this.#readers.set(table, reader)
    }
    return reader
  }

  query(query: unknown, parameters?: unknown, options?: unknown): unknown[] {
    return this.#queries.run(queryDefinition(query), this.#open.engine.reading(), parameters, options)
  }

  explain(query: unknown): string {
    return this.#queries.explain(queryDefinition(query), this.#open.engine.reading())
  }

  snapshot(): Snapshot {
    const { engine } = this.#open
    engine.mustBeOpen()
    return this.#handle(engine.openView()!, this.#time.moments.endOf(engine.durable)) as unknown as Snapshot
  }

  async asOf(moment: unknown, options?: AsOfOptions): Promise<Snapshot> {
    if (options !== undefined) checkOptions('db.asOf()', options, signalOnly)
    const signal = options?.signal
    if (signal !== undefined) mustNotBeAborted('db.asOf()', signal)
    const found = this.#time.viewAt('db.asOf()', moment, signal)
    const { view, at } = found instanceof Promise ? await found : found
    return this.#handle(view, at) as unknown as Snapshot
  }
  history(table: unknown, key: unknown, options?: unknown): RowHistory {
    return this.#time.history(table, key, options)
  }
  fork(moment?: unknown, options?: ForkOptions): Promise<DatabaseFork> {
    return this.#time.fork(moment, options)
  }
  compensate(position: unknown, options?: unknown): Promise<Receipt<void>> {
    return this.#time.compensate(position, options)
  }

  #handle(view: SnapshotView, place: Moment): SnapshotHandle {
    const queries = view.store === this.#open.engine.parts.store ? this.#queries : new ViewQueries(view.store)
    const handle = new SnapshotHandle(view, place, queries, this.#program, () => this.#snapshots.delete(handle))
    this.#snapshots.add(handle)
    return handle
  }

  // ── the log ───────────────────────────────────────────────────────────────────────────────────────────

  changes(options?: Readonly<Record<string, unknown>>): CommitStream<unknown> {
    return this.#streams.changes(options)
  }
  events(events: unknown, options?: Readonly<Record<string, unknown>>): CommitStream<unknown> {
    return this.#streams.events(events, options)
  }
  get [bridgeKey](): BridgeParts {
    return { open: this.#open, program: this.#program, startOf: (from) => this.#streams.startOf(from), stream: (options) => this.#streams.transactions(options) }
  }

  async consumer(name: unknown, options: unknown, handler: unknown): Promise<Consumer> {
    return await this.#consumers.open(name, options, handler)
  }
  get consumers(): Consumers {
    return this.#consumers.all
  }

  // ── looking at it ─────────────────────────────────────────────────────────────────────────────────────

  describe(): Description {
    return (this.#description ??= descriptionOf(this.#program))
  }
  get [programKey](): Program {
    return this.#program
  }

  stats(): DatabaseStats {
    const { engine } = this.#open
    engine.mustBeOpen()
    const { batch, index } = this.#time.moments.endOf(engine.durable)
    return statsOf(this.#open, formatPosition(batch, index), { streams: this.#streams.streams, snapshots: this.#snapshots.size })
  }

  projection(projection: unknown): ProjectionKeeper {
    return this.#projections.of(projection)
  }

  // ── not in this version ───────────────────────────────────────────────────────────────────────────────

  start(): Promise<never> {
    return Promise.reject(later('db.start()'))
  }
  run(): never {
    throw later('db.run()')
  }

  /** Tests: proves the invariants of the whole store; false when something still runs. */
  [checkSymbol](): boolean {
    const { engine } = this.#open
    if (!engine.isQuiet || engine.isClosed) return false
    checkStore(engine.parts.store, engine.parts.control.executed)
    return true
  }

  // ── copies on disk ────────────────────────────────────────────────────────────────────────────────────

  async checkpoint(options: CheckpointOptions = {}): Promise<CheckpointResult> {
    const keeper = this.#keeper('db.checkpoint()', options)
    const startedMs = this.#open.engine.environment.monotonicMs()
    const { batch, records, rows, changedRows, bytes } = await keeper.checkpoint({ signal: options.signal, onProgress: partsOf(options.onProgress) })
    return { position: formatPosition(batch, Math.max(0, records - 1)), rows, changedRows, bytes, durationMs: this.#msSince(startedMs) }
  }

  async backup(directory: string, options: BackupOptions = {}): Promise<BackupResult> {
    const keeper = this.#keeper('db.backup()', options)
    if (typeof directory !== 'string' || directory === '') throw SluiceError.of('INVALID_USE', `db.backup() takes a directory, not ${shown(directory)}.`)
    const startedMs = this.#open.engine.environment.monotonicMs()
    const { batch, bytes } = await keeper.backup(directory, { signal: options.signal, onProgress: partsOf(options.onProgress) })
    const { index } = this.#time.moments.endOf(batch)
    return { position: formatPosition(batch, index), bytes, durationMs: this.#msSince(startedMs) }
  }

  async erase(subject: unknown, options: EraseOptions = {}): Promise<ErasureRecord> {
    checkOptions('db.erase()', options, jobOptions)
    checkListener('db.erase()', options.onProgress)
    return await eraseSubject(this.#open, subject, options)
  }
  erasures(subject?: unknown): readonly ErasureRecord[] {
    return erasuresIn(this.#open, subject)
  }

  #keeper(what: string, options: CheckpointOptions): CheckpointKeeper {
    const { engine, keeper } = this.#open
    engine.mustBeOpen()
    checkOptions(what, options, jobOptions)
    checkListener(what, options.onProgress)
    if (keeper === undefined) throw SluiceError.of('INVALID_USE', `${what} needs files: open the database with a path.`)
    return keeper
  }
  #msSince(startedMs: number): number {
    return this.#open.engine.environment.monotonicMs() - startedMs
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────

  async close(): Promise<void> {
    const projected = this.#projections.close()
    if (!this.#consumers.isEmpty) await this.#consumers.close()
    const closed = this.#open.close()
    this.#transactor.close()
    await this.#time.close()
    this.#streams.closing()
    await closed
    await projected
    await this.#streams.close()
    for (const snapshot of [...this.#snapshots]) snapshot.close(true)
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

class SnapshotHandle implements Disposable {
  readonly #place: Moment
  readonly #view: SnapshotView
  readonly #queries: ViewQueries
  readonly #program: Program
  readonly #onClose: () => void
  readonly #readers = new Map<object, AnyReader>()
  readonly #source: ReadSource

  constructor(view: SnapshotView, place: Moment, queries: ViewQueries, program: Program, onClose: () => void) {
    this.#place = place
    this.#view = view
    this.#queries = queries
    this.#program = program
    this.#onClose = onClose
    this.#source = { view: () => view, lease: () => ({ view, end: () => undefined }) }
  }

  get position(): Position {
    return formatPosition(this.#place.batch, this.#place.index)
  }
  get time(): number {
    return this.#place.time
  }

  table(table: object): AnyReader {
    let reader = this.#readers.get(table)
    if (reader === undefined) {
      reader = readerOf(this.#program, this.#view.store, this.#source, table)
      this.#readers.set(table, reader)
    }
    return reader
  }

  query(query: unknown, parameters?: unknown, options?: unknown): unknown[] {
    return this.#queries.run(queryDefinition(query), this.#view, parameters, options)
  }

  /** `withDatabase`: the database was closed under it. */
  close(withDatabase = false): void {
    this.#view.close(withDatabase)
    this.#onClose()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}

const later = (what: string): SluiceError => SluiceError.of('INVALID_USE', `${what} is not in this version of SluiceDB.`)

function checkCallOptions(options: unknown, known: ReadonlySet<string>): void {
  checkOptions(known === transactOptions ? 'db.transact()' : 'a call', options, known)
  const { signal, timeoutMs, whenFull } = options as { signal?: unknown; timeoutMs?: unknown; whenFull?: unknown }
  if (whenFull !== undefined && whenFull !== 'refuse' && whenFull !== 'wait') throw SluiceError.of('INVALID_USE', `The option whenFull is 'refuse' or 'wait', not ${shown(whenFull)}.`)
  if (signal !== undefined && !isSignal(signal)) throw SluiceError.of('INVALID_USE', `The option signal is an AbortSignal, not ${shown(signal)}.`)
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs >= 0 && timeoutMs < 2 ** 31)) {
    throw SluiceError.of('INVALID_USE', `The option timeoutMs is a number of milliseconds, 0 or more, not ${shown(timeoutMs)}.`)
  }
}

function checkOptions(what: string, options: unknown, known: ReadonlySet<string>): void {
  if (typeof options !== 'object' || options === null) throw SluiceError.of('INVALID_USE', `The options of ${what} are an object, not ${shown(options)}.`)
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw SluiceError.of('INVALID_USE', `${what} has no option "${name}"; it has ${[...known].join(', ')}.`)
  }
  const { signal } = options as { signal?: unknown }
  if (signal !== undefined && !isSignal(signal)) throw SluiceError.of('INVALID_USE', `The option signal is an AbortSignal, not ${shown(signal)}.`)
}
