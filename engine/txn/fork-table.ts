/** A table inside a transaction of a fork: what TableHandle does, after the rows that it may meet have been brought over (fork-rows.ts). */
import { boundsOf, boundsOfLeading, boundsOfValues } from '../store/range-bounds.js'
import { SnapshotView } from '../store/snapshot-view.js'
import type { PlainRow } from '../store/row-codec.js'
import type { Reference, TablePart, TableStore, TreePlan } from '../store/table-store.js'
import type { ForkStore } from '../store/fork-store.js'
import { ForkRows } from './fork-rows.js'
import type { ReferringRows } from './reference-checks.js'
import { StandingReferrers } from './standing-referrers.js'
import { type AnyIndexHandle, type IndexedTable, indexHandlesOf } from './index-handle.js'
import { type TableAccess, TableHandle, WatchingDoor } from './table-handle.js'
import type { Transaction } from './transaction.js'

const rowsOf = new WeakMap<Transaction, ForkRows>()

/** Those of one transaction object, which runs one transaction after the other. */
function forkRows(transaction: Transaction): ForkRows {
  let rows = rowsOf.get(transaction)
  if (rows === undefined) rowsOf.set(transaction, (rows = new ForkRows(transaction, transaction.store as ForkStore)))
  return rows
}

export class ForkTable implements IndexedTable, TableAccess {
  readonly index: Readonly<Record<string, AnyIndexHandle>>
  readonly #table: TableStore
  readonly #handle: TableHandle
  readonly #rows: ForkRows
  readonly #base: ForkStore['base']

  constructor(transaction: Transaction, table: TableStore) {
    this.#table = table
    this.#rows = forkRows(transaction)
    this.#base = (transaction.store as ForkStore).base
    this.#handle = new TableHandle(transaction, table, new ForkDoor(transaction, table))
    this.index = indexHandlesOf(this, table)
    Object.freeze(this)
  }

  get(key: unknown): PlainRow | undefined {
    this.#rows.ofKey(this.#table, key)
    return this.#handle.get(key)
  }
  row(key: unknown): object | undefined {
    this.#rows.ofKey(this.#table, key)
    return this.#handle.row(key)
  }
  has(key: unknown): boolean {
    this.#rows.ofKey(this.#table, key)
    return this.#handle.has(key)
  }
  insert(row: unknown): unknown {
    return this.#handle.insert(row)
  }
  put(row: unknown): void {
    this.#handle.put(row)
  }
  update(key: unknown, patch: unknown): void {
    this.#rows.ofKey(this.#table, key)
    this.#handle.update(key, patch)
  }
  add(key: unknown, deltas: unknown): void {
    this.#rows.ofKey(this.#table, key)
    this.#handle.add(key, deltas)
  }
  delete(key: unknown): boolean {
    this.#rows.ofKey(this.#table, key)
    return this.#handle.delete(key)
  }
  /** K2 of the store. */
  count(): number {
    return this.#handle.count() + this.#base.count(this.#table)
  }

  scan(range?: unknown): Iterable<PlainRow> {
    this.#ofPrimary(range)
    return this.#handle.scan(range)
  }
  rows(range?: unknown): Iterable<object> {
    this.#ofPrimary(range)
    return this.#handle.rows(range)
  }
  indexGet(plan: TreePlan, values: unknown): readonly PlainRow[] {
    this.#ofValues(plan, values)
    return this.#handle.indexGet(plan, values)
  }
  indexRows(plan: TreePlan, values: unknown): Iterable<object> {
    this.#ofValues(plan, values)
    return this.#handle.indexRows(plan, values)
  }
  indexScan(plan: TreePlan, range: unknown): Iterable<PlainRow> {
    if (plan.range) this.#rows.ofRange(this.#table, plan, () => boundsOf(this.#table, plan, plan.own, range))
    return this.#handle.indexScan(plan, range)
  }

  #ofPrimary(range: unknown): void {
    const [plan] = this.#table.trees
    if (this.#table.ordered) this.#rows.ofRange(this.#table, plan!, () => boundsOf(this.#table, plan!, plan!.own === 0 ? plan!.columns.length : plan!.own, range))
  }
  #ofValues(plan: TreePlan, values: unknown): void {
    this.#rows.ofRange(this.#table, plan, () => boundsOfValues(this.#table, plan, values))
  }
}

/** Where rows are written: what has the same key, or the same unique values, is there before. */
class ForkDoor extends WatchingDoor {
  readonly #own: TableStore
  readonly #rows: ForkRows
  readonly #forked: Transaction

  constructor(transaction: Transaction, table: TableStore) {
    super(transaction, table, (counters) => new ForkTable(transaction, counters))
    this.#own = table
    this.#rows = forkRows(transaction)
    this.#forked = transaction
  }

  override place(replaces: boolean): TablePart {
    this.#forked.mustBeOpen()
    this.#rows.ofStagedKey(this.#own)
    return super.place(replaces)
  }
  override set(part: TablePart, row: number, columns: readonly number[], values: readonly unknown[]): void {
    const { readers } = this.#own.codec
    this.#rows.ofUnique(this.#own, (column) => (columns.includes(column) ? values[columns.indexOf(column)] : readers[column]!(row)), columns)
    super.set(part, row, columns, values)
  }
  override insert(part: TablePart, known: number): void {
    this.#rows.ofStagedUnique(this.#own)
    super.insert(part, known)
  }
}

class ForkReferrers implements ReferringRows {
  readonly #standing: StandingReferrers
  readonly #rows: ForkRows

  constructor(transaction: Transaction) {
    this.#standing = new StandingReferrers(transaction)
    this.#rows = forkRows(transaction)
  }
  has(parent: TableStore, key: unknown): boolean {
    this.#rows.ofKey(parent, key)
    return this.#standing.has(parent, key)
  }
  of(reference: Reference, values: readonly unknown[], limit: number): readonly number[] {
    const { child, tree, places } = reference
    this.#rows.ofLeading(child, tree, boundsOfLeading(tree, places.map((place) => values[place]), limit))
    return this.#standing.of(reference, values, limit)
  }
  delete(child: TableStore, row: number): void {
    this.#standing.delete(child, row)
  }
  setNull(reference: Reference, row: number): void {
    this.#standing.setNull(reference, row)
  }
}

/** How the lanes of a fork look at their rows. `viewAt`: the state after a batch. */
export interface ForkLanes {
  viewAt(slot: number, batch: number): SnapshotView
}

export function attachToFork(transaction: Transaction, lanes: ForkLanes): void {
  transaction.referring = new ForkReferrers(transaction)
  transaction.viewAt = (slot, batch) => lanes.viewAt(slot, batch)
}
