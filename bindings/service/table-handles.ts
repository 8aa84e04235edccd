/**
 * Tables in use: inside a procedure, outside of it at one moment, and inside `db.transact`.
 *
 * The interfaces are small and named after what they allow, so that a message says "Property 'scan' does not
 * exist on type TxTable" and not a page of conditionals. `scan` exists where the table is `ordered`.
 */
import type { Bound, KeyValue, Leading } from '../schema/infer.js'
import type { DeepReadonly, Flat, Loose, Without } from '../schema/shape.js'
import type { IndexShape, Key, NewRow, Row, TableShape } from '../schema/table.js'

// ── rows ────────────────────────────────────────────────────────────────────────────────────────────────

type KeyColumns<S extends TableShape> = S['key'][number] & keyof S['row']
/** What `update` takes: any columns but those of the key. */
export type Patch<S extends TableShape> = Flat<Loose<S['row'], Exclude<keyof S['row'], S['key'][number]>>>
/** What `add` takes: numbers and bigints to add, by column. */
export type Deltas<S extends TableShape> = Flat<Loose<S['row'], S['added'] & keyof S['row']>>

/** Marks an accessor. An interface with a name, so that declarations which mention one can be emitted. */
export interface Accessor {
  readonly [live]: true
}
declare const live: unique symbol

type AsAccessor<T> = T extends infer R ? Accessor & R : never
type Inside<T> = { [P in keyof T]: DeepReadonly<T[P]> }
/**
 * A stored row, read and written in place. Key columns are fixed; JSON is replaced as a whole, never changed
 * inside.
 */
export type Live<S extends TableShape> = AsAccessor<
  Flat<
    Readonly<Pick<S['row'], KeyColumns<S>>> &
      Without<S['row'], S['key'][number] | S['json']> &
      Inside<Pick<S['row'], S['json'] & keyof S['row']>>
  >
>
/** A stored row, read in place. */
export type Frozen<S extends TableShape> = AsAccessor<
  Flat<
    Readonly<Pick<S['row'], Exclude<keyof S['row'], S['json']>>> &
      Readonly<Inside<Pick<S['row'], S['json'] & keyof S['row']>>>
  >
>

// ── ranges and indexes ──────────────────────────────────────────────────────────────────────────────────

/**
 * `from` is included, `to` is not, and they mean the low and the high end also in reverse. `prefix`: leading
 * columns.
 */
export interface IndexRange<Key> {
  readonly prefix?: (Key extends readonly unknown[] ? Leading<Key> : never) | undefined
  readonly from?: Bound<Key> | undefined
  readonly to?: Bound<Key> | undefined
  readonly reverse?: boolean | undefined
  /** At most this many rows. */
  readonly limit?: number | undefined
}
/** `after` is `from` without the key itself: the next page. */
export interface Range<Key> extends IndexRange<Key> {
  readonly after?: Key | undefined
}

export interface IndexGet<S extends TableShape, V> {
  /** The rows with these values, in key order. */
  get(values: V): readonly Row<S>[]
}
export interface UniqueGet<S extends TableShape, V> {
  /** The row with these values. */
  get(values: V): Row<S> | undefined
}
export interface IndexScan<S extends TableShape, V> {
  /** The rows of a range of values, in order of the values, then of the key. */
  scan(range?: IndexRange<V>): Iterable<Row<S>>
}
export interface IndexRow<V, L> {
  /** An accessor of the row with these values. */
  row(values: V): L | undefined
}
export interface IndexRows<V, L> {
  /** Accessors of the rows with these values, in key order. */
  rows(values: V): Iterable<L>
}
type Values<S extends TableShape, X extends IndexShape> = KeyValue<S['row'], X['on']>
type Index<S extends TableShape, X extends IndexShape> = (X['unique'] extends true
  ? UniqueGet<S, Values<S, X>>
  : IndexGet<S, Values<S, X>>) &
  (X['range'] extends true ? IndexScan<S, Values<S, X>> : unknown)
type LiveIndex<S extends TableShape, X extends IndexShape, L> = Index<S, X> &
  (X['unique'] extends true ? IndexRow<Values<S, X>, L> : IndexRows<Values<S, X>, L>)
type Indexes<S extends TableShape> = { readonly [I in keyof S['indexes']]: Index<S, S['indexes'][I]> }
type LiveIndexes<S extends TableShape, L> = { readonly [I in keyof S['indexes']]: LiveIndex<S, S['indexes'][I], L> }

// ── what a table can do ─────────────────────────────────────────────────────────────────────────────────

export interface Get<S extends TableShape> {
  /** A plain, read-only copy of a row. A single-column key is given bare, a composite one as an array. */
  get(key: Key<S>): Row<S> | undefined
  has(key: Key<S>): boolean
}
export interface Scan<S extends TableShape> {
  /** The rows of a range, plain, in key order. Which rows they are is fixed when it is called. */
  scan(range?: Range<Key<S>>): Iterable<Row<S>>
}
export interface Put<S extends TableShape> {
  /** Answers the key. `CONSTRAINT` where the key is taken. */
  insert(row: NewRow<S>): Key<S>
  /** Inserts, or replaces the whole row. */
  put(row: NewRow<S>): void
  /** Changes the columns that are given. `NOT_FOUND` without a row. */
  update<P extends Patch<S>>(
    key: Key<S>,
    patch: Patch<S> | ((row: Row<S>) => P & Record<Exclude<keyof P, keyof Patch<S>>, never>),
  ): void
  /** Adds to numbers without reading them, so that it never goes stale. `NOT_FOUND` without a row. */
  add(key: Key<S>, deltas: Deltas<S>): void
  /** Was there one? */
  delete(key: Key<S>): boolean
}

/** Reading outside a transaction: at the newest durable batch, or at a snapshot's. Iterates over all rows. */
export interface Reader<S extends TableShape> extends Get<S>, Iterable<Row<S>> {
  readonly index: Indexes<S>
  /** How many rows there are. */
  count(): number
  /** One column of a row, without building the row. `undefined` where there is no row. */
  value<P extends keyof S['row'] & string>(key: Key<S>, column: P): S['row'][P] | undefined
}
export interface OrderedReader<S extends TableShape> extends Reader<S>, Scan<S> {}
export type ReaderOf<S extends TableShape> = S['ordered'] extends true ? OrderedReader<S> : Reader<S>

/** A table inside a procedure. */
export interface TxTable<S extends TableShape> extends Get<S>, Put<S> {
  readonly index: LiveIndexes<S, Live<S>>
  /**
   * An accessor: its columns read and write the stored row. Using it after the transaction is `INVALID_USE`.
   */
  row(key: Key<S>): Live<S> | undefined
}
export interface OrderedTxTable<S extends TableShape> extends TxTable<S>, Scan<S> {
  /** The rows of a range as accessors. */
  rows(range?: Range<Key<S>>): Iterable<Live<S>>
}

/** A table inside a read-only procedure. */
export interface ReadTable<S extends TableShape> extends Get<S> {
  readonly index: LiveIndexes<S, Frozen<S>>
  /** How many rows there are. */
  count(): number
  row(key: Key<S>): Frozen<S> | undefined
}
export interface OrderedReadTable<S extends TableShape> extends ReadTable<S>, Scan<S> {
  rows(range?: Range<Key<S>>): Iterable<Frozen<S>>
}

/** A table inside `db.transact`. */
export interface DraftTable<S extends TableShape> extends Get<S>, Put<S> {
  readonly index: Indexes<S>
  /** One column of a row: a change of the others is no conflict. `undefined` where there is no row. */
  value<P extends keyof S['row'] & string>(key: Key<S>, column: P): S['row'][P] | undefined
}
export interface OrderedDraftTable<S extends TableShape> extends DraftTable<S>, Scan<S> {}
