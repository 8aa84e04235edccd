/**
 * Reading the store from outside of the lanes: rows of one batch, on main, while lanes go on (R12, R15).
 *
 * A view holds a slot of the snapshot table. Main has one view of its own that follows the newest durable batch and is
 * announced again when that moves: for single reads. Every `snapshot()`, and every iteration, takes another slot for as long
 * as it is open.
 */
import { SluiceError } from '../base/errors.js'
import type { Store } from './store.js'
import type { SnapshotTable } from '../shared/snapshot-table.js'
import { boundsOf, boundsOfValues, type Bounds } from './range-bounds.js'
import type { PlainRow } from './row-codec.js'
import { countCellWords, type TablePart, type TableStore, type TreePlan } from './table-store.js'
import { gatherRows } from './tree-scan.js'
import type { SnapshotGuard } from './ordered-cursor.js'

export class SnapshotView implements SnapshotGuard {
  readonly store: Store
  /** Its rows lie in two stores (fork-view.ts): it has no addresses for them. */
  readonly isLayered: boolean = false
  readonly #snapshots: SnapshotTable
  /** -1 for a store of its own, which nobody writes. */
  readonly #slot: number
  #batch: number
  #isOpen = true
  #isDatabaseClosed = false

  constructor(store: Store, slot: number, batch: number) {
    this.store = store
    this.#snapshots = store.snapshots
    this.#slot = slot
    this.#batch = batch
  }

  get batch(): number {
    return this.#batch
  }

  /** Goes on to a newer durable batch; only for main's own view. */
  moveTo(batch: number): void {
    this.#snapshots.moveHold(this.#slot, batch)
    this.#batch = batch
  }

  /** `withDatabase`: the database was closed under it, and whoever reads on should hear that. */
  close(withDatabase = false): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#isDatabaseClosed = withDatabase
    if (this.#slot >= 0) this.#snapshots.give(this.#slot)
  }

  /** R15: what was read is only good if the slot still held. */
  check(): void {
    if (this.#slot > 0 && this.#snapshots.isExpired(this.#slot)) {
      throw SluiceError.of('SNAPSHOT_TOO_OLD', 'This snapshot was given up because memory ran short: take a new one, hold it for less time, or open with more memory.')
    }
  }

  /** The slot that readers of the store check; main's own view is never given up. */
  get #guardedSlot(): number {
    return this.#slot > 0 ? this.#slot : -1
  }

  /** Throws when it is closed. */
  mustBeOpen(): void {
    if (this.#isOpen) return
    if (this.#isDatabaseClosed) throw SluiceError.of('DATABASE_CLOSED', 'The database of this snapshot is closed: open() it again.')
    throw SluiceError.of('INVALID_USE', 'This snapshot is closed: take a new one.')
  }

  // ── rows ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Where the version of a row with this key can be read until the next call, or 0. */
  find(table: TableStore, key: unknown): number {
    this.mustBeOpen()
    table.key.set(key)
    const part = table.part(table.partitionOfKey())
    const row = part.findAny()
    if (row !== 0) return this.store.versionAt(row, table.layout.words, this.#batch, this.#guardedSlot)
    this.check() // a row that was there may have been reclaimed
    return 0
  }

  get(table: TableStore, key: unknown): PlainRow | undefined {
    const version = this.find(table, key)
    return version === 0 ? undefined : table.codec.decode(version)
  }

  /** One column. Of fixed size, it is read in place and believed if ts, read after it, is no newer (R12): nothing is copied. */
  value(table: TableStore, key: unknown, column: number): unknown {
    this.mustBeOpen()
    table.key.set(key)
    const row = table.part(table.partitionOfKey()).findAny()
    if (row === 0) {
      this.check()
      return undefined
    }
    const { store } = this
    if (this.#slot === 0 && !table.layout.columns[column]!.isVar) {
      store.region.fence()
      const isThere = store.isLive(row)
      const value = table.codec.readers[column]!(row)
      if (store.region.f64[row]! <= this.#batch) return isThere ? value : undefined
    }
    const version = store.versionAt(row, table.layout.words, this.#batch, this.#guardedSlot)
    return version === 0 ? undefined : table.codec.readers[column]!(version)
  }

  count(table: TableStore): number {
    this.mustBeOpen()
    let count = 0
    for (let p = 0; p < table.partitions; p += 1) {
      const cell = this.store.cellAt(table.part(p).countCell, countCellWords, this.#batch, this.#guardedSlot)
      if (cell !== 0) count += this.store.region.f64[cell + 2]!
    }
    return count
  }

  /** Every row: in key order where the table is ordered. */
  *all(table: TableStore): Generator<PlainRow, void, void> {
    this.mustBeOpen()
    if (table.ordered) {
      yield* this.scan(table, table.trees[0]!, undefined)
      return
    }
    yield* this.allUnordered(table)
  }

  /** Every row, partition by partition: what is gathered first is one partition. */
  *allUnordered(table: TableStore): Generator<PlainRow, void, void> {
    this.mustBeOpen()
    for (let p = 0; p < table.partitions; p += 1) yield* this.#decoded(table, rowsOf(table.part(p)))
  }

  /** Throws what is wrong with a range, before anybody iterates. */
  checkRange(table: TableStore, plan: TreePlan, range: unknown): void {
    this.mustBeOpen()
    boundsOf(table, plan, ownColumns(plan), range)
  }

  scan(table: TableStore, plan: TreePlan, range: unknown): Generator<PlainRow, void, void> {
    return this.rowsIn(table, plan, boundsOf(table, plan, ownColumns(plan), range))
  }

  indexGet(table: TableStore, plan: TreePlan, values: unknown): PlainRow[] {
    return [...this.rowsIn(table, plan, boundsOfValues(table, plan, values))]
  }

  /** The rows between bounds: which ones they are is fixed at the call. */
  rowsIn(table: TableStore, plan: TreePlan, bounds: Bounds): Generator<PlainRow, void, void> {
    return this.#decoded(table, this.#gather(table, plan, bounds))
  }

  // ── rows as addresses, for who reads some columns of many ─────────────────────────────────────────────

  /** Rows of a range, for `versionOf`. */
  addressesIn(table: TableStore, plan: TreePlan, range: unknown): readonly number[] {
    return this.#gather(table, plan, boundsOf(table, plan, ownColumns(plan), range))
  }
  /** Rows with these values of an index. */
  addressesWith(table: TableStore, plan: TreePlan, values: unknown): readonly number[] {
    return this.#gather(table, plan, boundsOfValues(table, plan, values))
  }
  /** Rows of all partitions, in no order; some may not be there at this view. */
  addressesOfAll(table: TableStore): readonly number[] {
    this.mustBeOpen()
    return Array.from({ length: table.partitions }, (_, p) => rowsOf(table.part(p))).flat()
  }
  /** Where the version of a row can be read until the next call, or 0 where there is none. */
  versionOf(table: TableStore, row: number): number {
    return this.store.versionAt(row, table.layout.words, this.#batch, this.#guardedSlot)
  }

  #gather(table: TableStore, plan: TreePlan, bounds: Bounds): readonly number[] {
    this.mustBeOpen()
    if (bounds.isEmpty) return []
    const partition = table.partitionOfLeading(plan.columns, bounds.fixed)
    const parts = table.partsOf(plan, partition)
    const rootOf = (part: TablePart): number => part.trees[plan.ordinal]!.rootAt(this.#batch, this)
    const rows = gatherRows(parts, plan, bounds.range, bounds.limit, rootOf, this)
    this.check()
    return rows
  }

  *#decoded(table: TableStore, rows: readonly number[]): Generator<PlainRow, void, void> {
    for (const row of rows) {
      this.mustBeOpen()
      const version = this.store.versionAt(row, table.layout.words, this.#batch, this.#guardedSlot)
      if (version !== 0) yield table.codec.decode(version)
    }
  }
}

function rowsOf(part: TablePart): readonly number[] {
  const rows: number[] = []
  part.hash.forEach((row) => void rows.push(row))
  return rows
}

/** Columns that a bound may name: those of an index, or all of a primary key. */
const ownColumns = (plan: TreePlan): number => (plan.own === 0 ? plan.columns.length : plan.own)
