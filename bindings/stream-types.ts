/** The log as users read it: commits, in order, whole. */
import type { AnyChange, Change } from './change.js'
import type { ErasureRecord } from './erasure-types.js'
import type { Position, Start } from './position.js'
import type { Key, Row, Table } from './schema/table.js'
import type { AnyEvent, Delivered, EventType } from './service/event.js'
import type { SignalLike } from './signal.js'

/** The changes of a table, or of one of several. */
export type ChangeOf<T> = T extends Table<infer S, infer N> ? Change<N, Key<S>, Row<S>> : never
/** The events of a type, or of one of several. */
export type EventOf<E> = E extends EventType<infer N, infer C> ? Delivered<N, C> : never

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
  /** This commit is the record of an erasure. */
  readonly erasure?: ErasureRecord
}
/** What a filter lets through; without one, everything. */
export type CommitOf<T, E> = [T | E] extends [never] ? Commit : Commit<ChangeOf<T>, EventOf<E>>

/** Ends by `break`, `signal` or `close()`. Errors: `HISTORY_GONE`, `INVALID_USE`, `DATABASE_CLOSED`. */
export interface Stream<T> extends AsyncIterable<T>, AsyncDisposable {
  close(): Promise<void>
}

export interface StreamOptions {
  /** Default: `'now'`, fixed when the stream is asked for. */
  readonly from?: Start | undefined
  readonly signal?: SignalLike | undefined
}
/** With tables or events a commit arrives when it touches one of them, and carries only those. */
export interface StreamFilter<T, E> {
  readonly tables?: readonly T[] | undefined
  readonly events?: readonly E[] | undefined
}
