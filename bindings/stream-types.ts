/** The log as users read it: commits, in order, whole. */
import type { AnyChange, Change } from './change.js'
import type { ErasureRecord } from './erasure-types.js'
import type { Position, Start } from './position.js'
import type { SchemaChange } from './schema-change-types.js'
import type { Key, Row, Table } from './schema/table.js'
import type { AnyEvent, Delivered, EventType } from './service/event.js'
import type { Only } from './only.js'
import type { GlobalClass } from './schema/shape.js'
import type { Service } from './service/service.js'
import type { SignalLike } from './signal.js'

/** The changes of a table, or of one of several. */
export type ChangeOf<T> = T extends Only<infer U> ? ChangeOf<U> : T extends Table<infer S, infer N> ? Change<N, Key<S>, Row<S>> : never
/** The events of a type, or of one of several. */
export type EventOf<E> = E extends Only<infer U> ? EventOf<U> : E extends EventType<infer N, infer C> ? Delivered<N, C> : never

/** All that one transaction changed and emitted. */
export interface Commit<C = AnyChange, E = AnyEvent> {
  readonly position: Position
  /** Milliseconds since the epoch: the time of its batch. */
  readonly time: number
  /** `'service.procedure'`; undefined for `db.transact`. */
  readonly procedure: string | undefined
  /** The `id` of the call, where it had one. */
  readonly requestId: string | undefined
  readonly changes: readonly C[]
  readonly events: readonly E[]
  /** An erasure has taken changes, events or the id of this commit away; the commit keeps its place. */
  readonly erased?: true
  /** Retention has taken changes or events of this commit away (`retention.compact`, `retention.streams`): these are left. */
  readonly compacted?: true
  /** This commit is the record of an erasure. */
  readonly erasure?: ErasureRecord
  /** Rows as they were at `position`, as inserts (`from: 'snapshot'`); the changes since then follow. */
  readonly snapshot?: true
  /** Of a snapshot: its rows in the commits before this one. */
  readonly rowsBefore?: number
  /** Of a snapshot: these are its last rows. */
  readonly last?: true
  /** With `slow: 'conflate'`: of so many commits the changes of each key as one. */
  readonly merged?: number
}
/** What a filter lets through; without one, everything. */
export type CommitOf<T, E> = [T | E] extends [never] ? Commit : Commit<ChangeOf<T>, EventOf<E>>

/** A `ReadableStream` where its type is known. */
export type ReadableOf<T> = AsyncIterable<T> & {
  getReader(): {
    read(): Promise<{ done: false; value: T } | { done: true; value?: undefined }>
    cancel(reason?: unknown): Promise<void>
    releaseLock(): void
    readonly closed: Promise<unknown>
  }
} & GlobalClass<'ReadableStream', unknown>

/**
 * The log, as an async iterator, with callbacks or as a Web stream. Ends by `break`, `signal` or `close()`. Errors: `HISTORY_GONE`,
 * `OVERLOADED` (`slow: 'fail'`), `SNAPSHOT_TOO_OLD` (`from: 'snapshot'`), `INVALID_USE`, `DATABASE_CLOSED`.
 */
export interface Stream<T> extends AsyncIterable<T>, AsyncDisposable {
  /**
   * Everything up to here has been handed out, or does not match: a stream `from` here goes on without a gap or a repeat. It moves on
   * when nothing matches. Undefined while the rows of a snapshot come, or the moment of a Date is looked for.
   */
  readonly position: Position | undefined
  /** Resolves when everything durable has been handed out and the reader asks for more; rejects where the stream ends before. */
  readonly caughtUp: Promise<Position>
  /** Calls a function for each, one after the other; resolves when the stream has ended. What it throws ends the stream. */
  each(handle: (value: T) => PromiseLike<void> | void): Promise<void>
  /** Takes nothing before it is asked for it. Its `cancel` ends the stream. */
  readable(): ReadableOf<T>
  close(): Promise<void>
}

/**
 * What becomes of a subscriber for whom more than `buffer` commits wait. Commits never wait for it.
 *
 * - `'spill'`: it reads on from the log, and returns to live.
 * - `'wait'`: the same, and the log waits: retention keeps what it has not read, up to 1 GiB. Needs a path to mean more than `'spill'`.
 * - `'conflate'`: the same, and the changes of a key that it has missed come as one, in one commit with `merged`. For tables only.
 * - `'fail'`: it ends with `OVERLOADED`. Not before it has caught up once.
 */
export type SlowSubscriber = 'spill' | 'wait' | 'conflate' | 'fail'

export interface StreamOptions {
  /** Default: `'now'`, fixed when the stream is asked for. */
  readonly from?: Start | undefined
  readonly signal?: SignalLike | undefined
  /** Default: `'spill'`. */
  readonly slow?: SlowSubscriber | undefined
  /** Commits that wait in memory, 1 to 65,536, and 4 MiB of rows and payloads. Default: 1,024. */
  readonly buffer?: number | undefined
  /** Told of `position` while the reader waits, at most every 100 ms: where nothing matches it moves on too. */
  readonly onProgress?: ((position: Position) => void) | undefined
  /** Told each time when everything durable has been handed out: first after the start, then after having been slow. */
  readonly onCaughtUp?: ((position: Position) => void) | undefined
  /**
   * Told where the log goes over to a changed application, between the commits: the next one is handed out when what it answers has
   * resolved. Told again where a stream begins anew at or before that place. Not told of the first application of a log.
   */
  readonly onSchema?: ((change: SchemaChange) => PromiseLike<void> | void) | undefined
}
/** With tables or events a commit arrives when it touches one of them, and carries only those. */
export interface StreamFilter<T, E> {
  readonly tables?: readonly T[] | undefined
  readonly events?: readonly E[] | undefined
}
/** `'snapshot'`: the rows of the tables first, then what changed since, from exactly there. */
export interface ChangesOptions<T, E> extends Omit<StreamOptions, 'from'>, StreamFilter<T, E> {
  readonly from?: Start | 'snapshot' | undefined
}
/** All tables and events of these services, and of their aggregates. */
export interface ServicesOptions extends ChangesOptions<Table | Only, EventType | Only<EventType>> {
  readonly services: readonly Service<any>[]
}
