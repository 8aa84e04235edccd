/** An open database, as users hold it. */
import type { Projection, ProjectionHandle, ProjectionShape } from './sourcing/projection.js'
import type { Description } from './describe/description.js'
import type { DatabaseStats } from './statistics-types.js'
import type { SluiceError } from '../engine/base/errors.js'
import type { AnyChange } from './change.js'
import type { HandlerFailure } from './handler-failure.js'
import type { Position } from './position.js'
import type { Progress } from './progress.js'
import type { Durability, Receipt } from './receipt.js'
import type { EraseOptions, ErasureRecord, ErasureSubject } from './erasure-types.js'
import type { Only } from './only.js'
import type { Query, Queryable } from './query/select.js'
import type { CallWith } from './schema/infer.js'
import type { Replica } from './schema/replica.js'
import type { Key, Row, Table, TableShape } from './schema/table.js'
import type { EventType } from './service/event.js'
import type { Procedure } from './service/procedure.js'
import type { ReaderOf } from './service/table-handles.js'
import type { Draft } from './service/transaction.js'
import type { Messages, Run, Workflow } from './service/workflow.js'
import type { Duration, SignalLike } from './signal.js'
import type { ChangesOptions, Commit, CommitOf, EventOf, ServicesOptions, Stream, StreamOptions } from './stream-types.js'
import type { Consumer, ConsumerHandler, ConsumerOptions, Consumers } from './consumer-types.js'
import type { AsOfOptions, CompensateOptions, ForkOptions, History, HistoryOptions } from './time-types.js'

export type { Durability, Receipt }

export interface OpenOptions {
  /** The directory of the database. Default: none, in memory only, durability `'memory'`. */
  readonly path?: string | undefined
  /** Threads that run procedures. `'auto'`: what this machine has use for. Default: 0, everything on the caller's thread. */
  readonly workers?: number | 'auto' | undefined
  /** How many calls may be in flight, and what becomes of one more. */
  readonly queue?: QueueOptions | undefined
  /** Logical partitions, fixed when the database is created. Default: 16. */
  readonly partitions?: number | undefined
  /** What an answer waits for. Default: `'fsync'`, without a path `'memory'`. */
  readonly durability?: Durability | undefined
  /**
   * Bytes of address space for rows, versions and indexes: reserved, not used. Default: half of the memory of
   * the machine, at most 4 GiB.
   */
  readonly memory?: { readonly bytes: number } | undefined
  /** How long the outcomes of calls with an `id` are kept. Default: 10 minutes. */
  readonly outcomes?: { readonly window: Duration } | undefined
  /** How many bytes of old versions are kept for `asOf`. Default: 64 MiB. */
  readonly history?: { readonly bytes: number } | undefined
  /**
   * When a checkpoint is made by itself: each time the log has grown by so many bytes since the last one. Opening reads the
   * newest checkpoint and what the log holds behind it. Default: 256 MiB; `Infinity`: only `db.checkpoint()` makes one.
   */
  readonly checkpoint?: { readonly logBytes: number } | undefined
  /** How much of the log is kept. Default: all of it, so that streams and `asOf` reach back to the beginning. */
  readonly retention?: RetentionOptions | undefined
  /** Told now and then, while a long opening goes on. */
  readonly onProgress?: ((progress: OpenProgress) => void) | undefined
  /**
   * Told of every event that a handler without `atomic: true` has refused for good. Perhaps more than once: again after a restart, where
   * the handler had not moved on durably. Default: a warning of the process, once for each handler.
   */
  readonly onHandlerError?: ((failure: HandlerFailure) => void) | undefined
  /** The module that workers load, where it is not the one that called `app()`: a bundle. */
  readonly module?: string | { readonly href: string } | undefined
  /** Gives up opening: `CANCELLED`. What was begun, an erasure or a projection, the next opening goes on with. */
  readonly signal?: SignalLike | undefined
}

/** `'refuse'`: `OVERLOADED`, at once; `'wait'`: the call stands in line until there is room, its signal or its time withdraws it. */
export type WhenFull = 'refuse' | 'wait'

export interface QueueOptions {
  /** Calls in flight, those of `submitMany` not counted: they have a share of their own. Default: 65,536. */
  readonly calls?: number | undefined
  /** For calls that do not say so themselves. Default: `'refuse'`. */
  readonly whenFull?: WhenFull | undefined
}

/**
 * Segments of the log leave, oldest first, when the older of the two checkpoints has passed them and they are older than `age`, or
 * the log is longer than `bytes`. Without either no segment leaves. With `compact` and `streams` what is in them becomes less: `asOf`,
 * `history` and `fork` of a moment before that are `HISTORY_GONE`, and streams from before it hand out what is left.
 */
export interface RetentionOptions {
  readonly age?: Duration | undefined
  readonly bytes?: number | undefined
  /**
   * How much of the log a durable consumer that is behind holds back, each. One that is further behind has expired when that costs it a
   * segment: `HISTORY_GONE` at its next read. Default: 1 GiB; `Infinity`: without a bound.
   */
  readonly consumerBytes?: number | undefined
  /** Of these tables the log keeps the newest change of each key: the delete, where the row is gone. */
  readonly compact?: readonly Table[] | undefined
  /** Tables and events that are kept for less long than the log. */
  readonly streams?: readonly StreamRetention[] | undefined
}
/** Changes of these tables and events of these types leave the log, commit by commit, oldest first. */
export interface StreamRetention {
  readonly tables?: readonly Table[] | undefined
  readonly events?: readonly EventType[] | undefined
  /** When they are older than this. */
  readonly age?: Duration | undefined
  /** When more bytes of them follow, as they stand in the log. */
  readonly bytes?: number | undefined
}

export interface OpenProgress {
  /**
   * In this order, where there is something to do: an erasure that goes on where it was stopped, the newest checkpoint, the log behind it, a
   * migration, the first building of inline projections.
   */
  readonly phase: 'erasure' | 'checkpoint' | 'log' | 'migration' | 'projection'
  /**
   * Bytes of this phase that were read, and how many there are in all. Of an erasure: first of the log, then of checkpoints. Of a checkpoint: twice
   * those of its file. Of a migration: of rows of before, long values not counted. Of projections: of the log, for one after the other.
   */
  readonly bytes: number
  readonly bytesInAll: number
}

export interface CheckpointOptions {
  readonly signal?: SignalLike | undefined
  /** Told now and then how far it is. What it throws gives up. */
  readonly onProgress?: ((progress: CheckpointProgress) => void) | undefined
}
export type CheckpointProgress = Progress
export interface CheckpointResult {
  /** The state that it holds: the one at the end of this position's batch. */
  readonly position: Position
  /** Rows in it, and how many of them this run wrote. */
  readonly rows: number
  readonly changedRows: number
  /** Length of its file. */
  readonly bytes: number
  readonly durationMs: number
}
export type BackupProgress = Progress
export interface BackupOptions {
  /** Gives up, and leaves a directory that `open()` refuses: `CANCELLED`. */
  readonly signal?: SignalLike | undefined
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined
}
export interface BackupResult {
  /** The copy ends with the batch of this position. */
  readonly position: Position
  readonly bytes: number
  readonly durationMs: number
}

export interface CallOptions {
  /**
   * Makes the call exactly-once: a repeat with the same id answers the recorded outcome, also after a
   * restart. The same id with another procedure or input is `ID_REUSED`.
   */
  readonly id?: string | undefined
  /** Withdraws the call while no batch has taken it: `CANCELLED`. */
  readonly signal?: SignalLike | undefined
  /** Withdraws the call when no batch has taken it after this many milliseconds, waiting in line included: `TIMEOUT`. */
  readonly timeoutMs?: number | undefined
  /** What becomes of the call when the queue is full. Default: what `open()` was told (`queue.whenFull`). */
  readonly whenFull?: WhenFull | undefined
}
export interface CallManyOptions<Input> {
  /** The id of each call. */
  readonly id?: ((input: Input, index: number) => string) | undefined
  readonly signal?: SignalLike | undefined
}

export type Outcome<Value> =
  ({ readonly ok: true } & Receipt<Value>) | { readonly ok: false; readonly error: SluiceError }

/** The database at one moment. Open snapshots keep old versions in memory: close them, or say `using`. */
export interface Snapshot extends Disposable, Queryable {
  readonly position: Position
  /** Milliseconds since the epoch: the time of its batch. */
  readonly time: number
  /** Reading may be refused with `SNAPSHOT_TOO_OLD` where memory has run short. */
  table<S extends TableShape>(table: Table<S> | Replica<S>): ReaderOf<S>
  close(): void
}

export interface Database extends AsyncDisposable, Queryable {
  /**
   * Runs a procedure as one transaction. Settles when its batch is durable at the level of the database, with
   * what the procedure returned; rejects with its `SluiceError`, and then nothing has changed
   * (`COMMIT_UNKNOWN`: perhaps).
   */
  call<I, O>(procedure: Procedure<I, O>, ...rest: CallWith<I, CallOptions>): Promise<O>
  /** As `call`, with the position and the durability. */
  submit<I, O>(procedure: Procedure<I, O>, ...rest: CallWith<I, CallOptions>): Promise<Receipt<O>>
  /**
   * Many calls, one promise; not one transaction. Outcomes in input order; rejects only when no call could be
   * made (a wrong argument, a closed database).
   */
  submitMany<I, O>(
    procedure: Procedure<I, O>,
    inputs: readonly NoInfer<I>[],
    options?: CallManyOptions<NoInfer<I>>,
  ): Promise<Outcome<O>[]>
  /**
   * An interactive transaction: reads of one snapshot are recorded and validated in order; `CONFLICT` when
   * they went stale, after `retries` (default 0) runs more.
   */
  transact<R>(
    run: (tx: Draft) => R | PromiseLike<R>,
    options?: CallOptions & { readonly retries?: number | undefined },
  ): Promise<R>

  /** Reads on this thread, synchronously, at the newest durable batch. */
  table<S extends TableShape>(table: Table<S> | Replica<S>): ReaderOf<S>
  /** Several reads of one moment: the newest durable batch. */
  snapshot(): Snapshot
  /** How `db.query` would answer a query now, as text; `query.explain()` tells it for transactions. */
  explain(query: Query): string
  /**
   * The state after the batch of a position, or at a moment. `HISTORY_GONE` if retention has passed it. A moment that has left memory is
   * read from checkpoint and log, in steps between which other work goes on.
   */
  asOf(moment: Position | Date, options?: AsOfOptions): Promise<Snapshot>
  /**
   * The versions of one row, from the log: who made them, when, before and after. Costs the reading of the log between `from` and `to`
   * (docs/time-travel.md), and memory for at most 1,024 versions.
   */
  history<N extends string, S extends TableShape>(table: Table<S, N>, key: Key<S>, options?: HistoryOptions): History<Row<S>>
  /**
   * A branch of the database as it is now, or was at a position or a moment, to be written and thrown away. In memory it copies
   * nothing; of a moment that has left memory it reads the disk, as `asOf` does. Errors: `HISTORY_GONE`, `CANCELLED`.
   */
  fork(moment?: Position | Date, options?: ForkOptions): Promise<Fork>
  /**
   * Undoes a committed transaction by a new one: every row that it changed gets the values of before, if no row has changed since; else
   * `CONFLICT`, which names the row, and nothing has changed. Exactly once for each position. Events are not taken back.
   */
  compensate(position: Position, options?: CompensateOptions): Promise<Receipt<void>>

  /** The log: whole commits, in order, without gaps, catch-up then live. */
  changes<T extends Table | Only = never, E extends EventType | Only<EventType> = never>(
    options?: ChangesOptions<T, E> & { readonly services?: undefined },
  ): Stream<CommitOf<T, E>>
  changes(options: ServicesOptions): Stream<Commit>
  /** The events of one or several types, in order. */
  events<E extends EventType | Only<EventType>>(events: E | readonly E[], options?: StreamOptions): Stream<EventOf<E>>
  /**
   * A durable consumer: each commit is handled, in order by key, at least once, and `delivery.call` has its effect exactly once. It goes on
   * where it was; a commit is done when the handler resolves. `INVALID_USE` when it is open and not a group.
   */
  consumer<T extends Table | Only = never, E extends EventType | Only<EventType> = never>(
    name: string,
    options: ConsumerOptions<T, E>,
    handle: ConsumerHandler<T, E>,
  ): Promise<Consumer>
  /** All durable consumers: list, what they have set aside, delete. */
  readonly consumers: Consumers

  /** A projection of the application: what readers see of it, how far it is, and how to build it once more. */
  projection<S extends ProjectionShape>(projection: Projection<S>): ProjectionHandle<S>

  /** Begins a workflow. */
  start<I, O, M extends Messages>(
    workflow: Workflow<I, O, M>,
    ...rest: CallWith<I, { readonly id?: string | undefined }>
  ): Promise<Run<O, M>>
  /** The handle of any run, from anywhere. */
  run<I, O, M extends Messages>(workflow: Workflow<I, O, M>, id: string): Run<O, M>

  /**
   * The application as data: tables, events and procedures with their columns, rules, keys and indexes, and what takes a call to the
   * cross-partition lane.
   */
  describe(): Description
  /**
   * What the database has done and is doing: where the time of calls goes by stages, the mix of lanes, memory, log, streams. It
   * counts all the time; asking costs some microseconds.
   */
  stats(): DatabaseStats

  /**
   * Brings a checkpoint forward to the newest durable batch, in the background: the next opening starts from it. They are made by
   * themselves too (`checkpoint.logBytes`). `OUT_OF_SPACE` when the disk is full, `CANCELLED` by its signal or by `close()`; the
   * checkpoint before it is untouched then.
   */
  checkpoint(options?: CheckpointOptions): Promise<CheckpointResult>
  /**
   * Copies the database, as of the newest durable batch, into a new or empty directory that `open()` accepts, while calls go on. With
   * the whole log that is still kept.
   */
  backup(directory: string, options?: BackupOptions): Promise<BackupResult>

  /**
   * Takes away what is a subject's: rows and events whose `.subject()` column holds this value, from memory, log, checkpoints and recorded
   * answers; positions stay. Resolves when nothing of it is left in any file, with the record of what was done.
   */
  erase(subject: ErasureSubject, options?: EraseOptions): Promise<ErasureRecord>
  /** The erasures that were done, oldest first; those of one subject, where it is given. */
  erasures(subject?: ErasureSubject): readonly ErasureRecord[]

  /** Waits for the calls in flight, then closes. Closing twice is fine. */
  close(): Promise<void>
}

/**
 * A branch of the database in memory, which can be written and is thrown away. The database never hears of it, and goes on meanwhile
 * without being seen by it.
 */
export interface Fork extends AsyncDisposable, Queryable {
  /** Where it branched off: the end of that batch. */
  readonly position: Position
  /** Milliseconds since the epoch: the time of that batch. */
  readonly time: number
  /** As `db.call`, on the branch. Nothing of it is durable. */
  call<I, O>(procedure: Procedure<I, O>, ...rest: CallWith<I, CallOptions>): Promise<O>
  /** As `db.submit`, with positions of the branch: they come after `position` and mean nothing to the database. */
  submit<I, O>(procedure: Procedure<I, O>, ...rest: CallWith<I, CallOptions>): Promise<Receipt<O>>
  /** As `db.submitMany`, on the branch. */
  submitMany<I, O>(procedure: Procedure<I, O>, inputs: readonly NoInfer<I>[], options?: CallManyOptions<NoInfer<I>>): Promise<Outcome<O>[]>
  /** As `db.transact`, on the branch. */
  transact<R>(run: (tx: Draft) => R | PromiseLike<R>, options?: CallOptions & { readonly retries?: number | undefined }): Promise<R>
  /** Reads the branch as it is now. */
  table<S extends TableShape>(table: Table<S> | Replica<S>): ReaderOf<S>
  /** Several reads of one moment of the branch. */
  snapshot(): Snapshot
  /** The commits of the branch, and none of the database. */
  changes<T extends Table | Only = never, E extends EventType | Only<EventType> = never>(options?: ChangesOptions<T, E> & { readonly services?: undefined }): Stream<CommitOf<T, E>>
  /**
   * What the branch has changed, row by row, in no order: the net of all its transactions. Costs what they have touched.
   */
  diff(): AnyChange[]
  /** Throws the branch away. Closing twice is fine. */
  close(): Promise<void>
}
