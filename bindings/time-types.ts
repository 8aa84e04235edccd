/** Time travel, as users see it; the branch itself is in database-types.ts. */
import type { Position } from './position.js'
import type { Draft } from './service/transaction.js'
import type { SignalLike } from './signal.js'

export interface AsOfOptions {
  /** Gives up what has to be read from files, and the waiting for a checkpoint, a backup or an erasure that is under way: `CANCELLED`. */
  readonly signal?: SignalLike | undefined
}

export interface HistoryOptions {
  /** The first moment that counts, itself included. Default: as far back as the log goes. */
  readonly from?: Position | Date | undefined
  /** The last moment that counts, itself included. Default: the newest durable commit when it is asked for. */
  readonly to?: Position | Date | undefined
  /** At most so many versions. Default: all. */
  readonly limit?: number | undefined
  /** The newest first. Default: false. */
  readonly reverse?: boolean | undefined
  /** Ends it with `CANCELLED`. */
  readonly signal?: SignalLike | undefined
}

/** What one transaction made of a row. */
export type RowVersion<Row> = {
  readonly position: Position
  /** Milliseconds since the epoch: the time of its batch. */
  readonly time: number
  /** `'service.procedure'`; undefined for `db.transact`. */
  readonly procedure: string | undefined
  /** The `id` of the call, where it had one. */
  readonly requestId: string | undefined
} & (
  | { readonly kind: 'insert'; readonly before: undefined; readonly after: Row }
  | { readonly kind: 'update'; readonly before: Row; readonly after: Row }
  | { readonly kind: 'delete'; readonly before: Row; readonly after: undefined }
)

/** The versions of one row, in order. Read once. Errors: `HISTORY_GONE`, `CANCELLED`, `DATABASE_CLOSED`. */
export interface History<Row> extends AsyncIterable<RowVersion<Row>> {
  /** What was asked for reaches further back than the log: versions at this position and before it are not shown. Undefined: nothing is missing. */
  readonly oldest: Position | undefined
}

export interface ForkOptions {
  /** As of `asOf`. */
  readonly signal?: SignalLike | undefined
}

export interface CompensateOptions {
  /**
   * Runs in the same transaction, behind the rows that were taken back: emit an event that says so, or write what has to be written.
   * It sees the rows as they were before. May run more than once.
   */
  readonly also?: ((tx: Draft) => void | PromiseLike<void>) | undefined
  readonly signal?: SignalLike | undefined
  readonly timeoutMs?: number | undefined
}
