/** `tx`: all that a procedure sees besides its input. */
import type { Queryable } from '../query/select.js'
import type { CallWith, Columns, Details, Input, Payload, Write } from '../schema/infer.js'
import type { shape } from '../schema/shape.js'
import type { Replica } from '../schema/replica.js'
import type { ColumnsOf } from '../sourcing/event-history.js'
import type { Aggregate, AggregateStream } from '../sourcing/aggregate.js'
import type { Projection } from '../sourcing/projection.js'
import type { Table, TableShape } from '../schema/table.js'
import type { Clock } from './clock.js'
import type { EventType } from './event.js'
import type { Procedure } from './procedure.js'
import type { ServiceShape } from './service-shape.js'
import type {
  DraftTable,
  OrderedDraftTable,
  OrderedReadTable,
  OrderedTxTable,
  ReadTable,
  TxTable,
} from './table-handles.js'
import type { Messages, Workflow } from './workflow.js'

type Abort<S extends ServiceShape> = keyof S['aborts'] extends never
  ? (reason: string, details?: Readonly<Record<string, unknown>>) => never
  : <A extends keyof S['aborts'] & string>(reason: A, ...details: Details<Write<S['aborts'][A]>>) => never

type Tables = Readonly<Record<string, Table>>
type TxTables<T extends Tables> = {
  readonly [N in keyof T]: T[N][typeof shape]['ordered'] extends true
    ? OrderedTxTable<T[N][typeof shape]>
    : TxTable<T[N][typeof shape]>
}
type ReadTables<T extends Readonly<Record<string, Table | Replica>>> = {
  readonly [N in keyof T]: T[N][typeof shape]['ordered'] extends true
    ? OrderedReadTable<T[N][typeof shape]>
    : ReadTable<T[N][typeof shape]>
}
type Granted<S extends ServiceShape> = S['reads'] extends Tables ? S['reads'] : {}
type Replicas<S extends ServiceShape> = S['replicas'] extends Readonly<Record<string, Replica>> ? S['replicas'] : {}

type Streams<S extends ServiceShape> = {
  readonly [G in keyof S['aggregates']]: S['aggregates'][G] extends Aggregate<infer A> ? (id: A['id'][typeof shape]['value']) => AggregateStream<A> : never
}
type StreamsRead<S extends ServiceShape> = {
  readonly [G in keyof S['aggregates']]: S['aggregates'][G] extends Aggregate<infer A>
    ? (id: A['id'][typeof shape]['value']) => Omit<AggregateStream<A>, 'append' | 'rebuild'>
    : never
}

type Projections<S extends ServiceShape> = {
  readonly [J in keyof S['projections']]: S['projections'][J] extends Projection<infer A> ? ReadTables<A['tables']> : never
}

/** The transaction of a read-only procedure. */
export interface ReadTx<S extends ServiceShape = ServiceShape> extends Clock, Queryable {
  readonly db: ReadTables<S['tables']> & ReadTables<Granted<S>> & ReadTables<Replicas<S>>
  /** The streams of the aggregates of the service, to read: `tx.aggregate.cart(id).state`. */
  readonly aggregate: StreamsRead<S>
  /** The projections of the service, as they are read: `tx.projection.totals.total.get(key)`. */
  readonly projection: Projections<S>
  call<I, O>(procedure: Procedure<I, O, 'read'>, ...input: Input<I>): O
  readonly abort: Abort<S>
}

/**
 * The transaction of a procedure or handler. Any `SluiceError` it throws dooms the transaction, caught or
 * not.
 */
export interface Tx<S extends ServiceShape = ServiceShape> extends Clock, Queryable {
  /** The tables of the service, and read-only those of others that it `reads`, and its replicas. */
  readonly db: TxTables<S['tables']> & ReadTables<Granted<S>> & ReadTables<Replicas<S>>
  /** The streams of the aggregates of the service: `tx.aggregate.cart(id)`. */
  readonly aggregate: Streams<S>
  /** The projections of the service, as they are read: `tx.projection.totals.total.get(key)`. */
  readonly projection: Projections<S>
  /** Announces an event of the service, if this commits. */
  emit<E extends keyof S['events'] & string>(event: E, ...payload: Payload<Write<ColumnsOf<S['events'][E]>>>): void
  /** Runs another procedure, of any service of the application, inside this transaction. */
  call<I, O>(procedure: Procedure<I, O>, ...input: Input<I>): O
  /** Begins a workflow if this commits; answers the id of its run. */
  start<I, O, M extends Messages>(
    workflow: Workflow<I, O, M>,
    ...rest: CallWith<I, { readonly id?: string | undefined }>
  ): string
  /**
   * Undoes everything and ends with `ABORTED` and this reason. `throw tx.abort(...)` lets the compiler see
   * that it stops.
   */
  readonly abort: Abort<S>
}

/**
 * The transaction of `db.transact`: reads see one snapshot and what it has written itself; writes take effect when it
 * commits. Any `SluiceError` it throws dooms it, caught or not; used after its end it is `INVALID_USE`.
 */
export interface Draft extends Queryable {
  /** Milliseconds since the epoch: the time of its snapshot, by the clock of the database. Each retry has its own. */
  readonly now: number
  /** A table of any service of the application. */
  table<S extends TableShape>(table: Table<S>): S['ordered'] extends true ? OrderedDraftTable<S> : DraftTable<S>
  /** Announces an event, if this commits. */
  emit<N extends string, C extends Columns>(event: EventType<N, C>, ...payload: Payload<Write<C>>): void
  /** Gives up: nothing has changed, and `db.transact` rejects with `ABORTED` and this reason. */
  abort(reason: string, details?: Readonly<Record<string, unknown>>): never
}
