/** Durable consumers, as users hold them: docs/consumers.md. */
import type { SluiceError } from '../engine/base/errors.js'
import type { AnyChange } from './change.js'
import type { Position, Start } from './position.js'
import type { Receipt } from './receipt.js'
import type { CallWith, Scalar } from './schema/infer.js'
import type { Only } from './only.js'
import type { Table } from './schema/table.js'
import type { AnyEvent, EventType } from './service/event.js'
import type { Procedure } from './service/procedure.js'
import type { Service } from './service/service.js'
import type { Signal, SignalLike } from './signal.js'
import type { Commit, CommitOf, StreamFilter } from './stream-types.js'

/** What order is kept for: one value or several. Values that place a row alike are one key. */
export type ConsumerKey = Scalar | readonly Scalar[]

export interface ConsumerOptions<T, E> extends StreamFilter<T, E> {
  /** Where one that is new begins. One that exists goes on where it was. Default: `'now'`, fixed when it is asked for. */
  readonly from?: Start | undefined
  /**
   * Commits of one key are handled in order, one at a time; keys beside each other. Undefined for a commit that needs no order. Without
   * this option all commits are of one key.
   */
  readonly key?: ((commit: CommitOf<T, E>) => ConsumerKey | undefined) | undefined
  /** How many this member handles beside each other. Default: 16 with a key, else 1. */
  readonly concurrency?: number | undefined
  /** What becomes of a commit whose handler failed. */
  readonly redelivery?: RedeliveryOptions | undefined
  /** Others may open the consumer too, and share its work: each commit goes to one of them, each key to one at a time. Default: false. */
  readonly group?: boolean | undefined
  /** Told when the consumer does not go on by itself, for example with `HISTORY_GONE`. Default: a warning of the process. */
  readonly onStop?: ((error: SluiceError) => void) | undefined
  /** Stops it as `close()` does. One that is aborted before the consumer is open is `CANCELLED`. */
  readonly signal?: SignalLike | undefined
}
/** All tables and events of these services, and of their aggregates. */
export interface ConsumerServicesOptions extends Omit<ConsumerOptions<never, never>, 'tables' | 'events'>, StreamFilter<Table | Only, EventType | Only<EventType>> {
  readonly services: readonly Service<any>[]
}

export interface RedeliveryOptions {
  /** Attempts, all in all, after which the commit is parked. Default: 5. */
  readonly limit?: number | undefined
  /** The pause before the second attempt, doubled each time. Default: 100. */
  readonly backoffMs?: number | undefined
  /** The longest pause. Default: 30,000. */
  readonly backoffMsMax?: number | undefined
}

/** One commit with one handler. Of use until the handler has ended. */
export interface Delivery {
  /** 1 at first. Counted anew when the process begins anew. */
  readonly attempt: number
  /** Aborted when this member is closed. */
  readonly signal: Signal
  /** `'consumer:position'`, the same in every attempt: what a service outside can know a repeat by. */
  readonly key: string
  /**
   * A call whose effect happens once, whatever becomes of this delivery: it carries the id consumer, position, and which call of the
   * delivery it is. So a handler that runs again makes the same calls in the same order, and is answered with what was recorded; what
   * was refused is tried again. Another input than that of a call that has committed is `ID_REUSED`.
   */
  call<I, O>(procedure: Procedure<I, O>, ...rest: CallWith<I, never>): Promise<O>
  /** As `call`, with the position and the durability. */
  submit<I, O>(procedure: Procedure<I, O>, ...rest: CallWith<I, never>): Promise<Receipt<O>>
  /** Not now: deliver it again, after `delayMs` (default: the pause of `redelivery`). Counts as an attempt. */
  nak(options?: { readonly delayMs?: number | undefined; readonly reason?: string | undefined }): void
  /** Never again: it is set aside as dead at once, and its key goes on. */
  terminate(reason: string): void
}

export type ConsumerHandler<T, E> = (commit: CommitOf<T, E>, delivery: Delivery) => PromiseLike<void> | void

/** One key, or one commit that was set aside. */
export type ParkedChoice = ConsumerKey | { readonly position: Position }

export interface Consumer extends AsyncDisposable {
  readonly name: string
  /** Everything up to here is handled, or set aside. */
  readonly position: Position
  /** Nothing new is handed out, durably, until `resume`. What is in flight ends. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Begins anew from there, when what is in flight has ended. Calls of deliveries are made again; what is parked stays parked. */
  reset(from: Start): Promise<void>
  inspect(): ConsumerStats
  /**
   * Resolves when everything up to a position is handled, set aside, or passed over; what was told to go on is waited for too. `CANCELLED` by
   * its signal, or when this member is closed; with why the consumer does not go on by itself (`onStop`).
   */
  reached(position: Position, options?: { readonly signal?: SignalLike | undefined }): Promise<void>
  /** What is set aside, in the order of the log. */
  parked(options?: ParkedOptions): readonly ParkedDelivery[]
  /**
   * Lets a parked key go on, its first commit first; without an argument, that of a consumer without keys. A commit that is dead is tried
   * again by its position. False: there is none.
   */
  unpark(choice?: ParkedChoice): Promise<boolean>
  /** Drops what is parked of a key, or one commit that was set aside; what was told to go on is not dropped. Answers how many. */
  discard(choice?: ParkedChoice): Promise<number>
  /** Leaves: aborts the signals of its deliveries, and waits for their handlers, 5 seconds at most. The last one closes the consumer. */
  close(): Promise<void>
}

export interface ConsumerStats {
  readonly name: string
  readonly position: Position
  readonly members: number
  readonly isPaused: boolean
  /** There is something durable that it has not handled or looked at. */
  readonly isBehind: boolean
  /** Batches between its position and the newest durable one. Those before an earlier opening count as one for each. */
  readonly behindBatches: number
  /** The age of the oldest commit that is taken and not done. */
  readonly behindMs: number
  readonly handled: number
  /** Attempts beyond the first. */
  readonly redelivered: number
  /** Commits that are taken from the log and not done; of them, those with a handler. */
  readonly waiting: number
  readonly inFlight: number
  readonly parked: number
  readonly dead: number
  readonly lastFailure:
    | { readonly position: Position; readonly attempt: number; readonly code: string | undefined; readonly message: string }
    | undefined
  /** Why it does not go on. */
  readonly stoppedBy: string | undefined
}

export interface ParkedOptions {
  readonly state?: ParkedDelivery['state'] | undefined
  readonly key?: ConsumerKey | undefined
  /** Behind this one: the next page. */
  readonly after?: Position | undefined
  /** Default: 100. */
  readonly limit?: number | undefined
}

/** A commit that was set aside: a row of the dead-letter table. */
export interface ParkedDelivery {
  readonly consumer: string
  readonly position: Position
  /** Of the commit, and when it was set aside: milliseconds since the epoch. */
  readonly time: number
  readonly since: number
  readonly key: ConsumerKey | undefined
  /** `'parked'`: its key stands still; `'released'`: told to go on; `'dead'`: will not be tried again, its key went on. */
  readonly state: 'parked' | 'released' | 'dead'
  /** 0: nobody has tried it, it came behind one of its key. */
  readonly attempts: number
  readonly code: string | undefined
  readonly message: string
  /** As it was to be delivered; undefined where it takes more than 1 MiB, and stands in the log only. */
  readonly commit: Commit<AnyChange, AnyEvent> | undefined
}

/** All durable consumers of a database, open or not. */
export interface Consumers {
  list(): readonly ConsumerSummary[]
  /** What one has set aside. */
  parked(name: string, options?: ParkedOptions): readonly ParkedDelivery[]
  /** Forgets one that is not open, and everything it has parked. False: there is none. */
  delete(name: string): Promise<boolean>
}
export interface ConsumerSummary {
  readonly name: string
  readonly position: Position
  readonly isPaused: boolean
  readonly isOpen: boolean
}

/** What `db.consumer` takes. */
export type ConsumerWith<T extends Table, E extends EventType> = [name: string, options: ConsumerOptions<T, E>, handle: ConsumerHandler<T, E>]
