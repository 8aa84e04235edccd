/**
 * A table for a procedure with `isolation: 'snapshot'`: it shows what the last batch left and what the transaction itself has written, and
 * writes to what stands now.
 *
 *   a row that is    ours, or as the last batch left it        what stands is what is shown: the handle of the table does everything
 *                    changed since, by another of this batch   read from the snapshot; to write it is to write over what was not read
 *                    in another partition than the lane's      read from the snapshot; to write it strays (R25)
 *
 * To look never strays and never waits, as for replicas by batch (sealed-scope.ts). What would overwrite a change that the transaction cannot have
 * seen ends the run (`outdated`), and the request runs again in its place on what stands: nothing is lost, and nobody has to
 * try again. Whether a row has changed is asked of its columns and not of its stamps: an undone run leaves those, and which runs there are is
 * not the same everywhere.
 *
 * What is declared holds on what stands: keys, unique indexes, checks and references ask the handles of the tables.
 */
import { SluiceError } from '../base/errors.js'
import { compareKeys, KeyBuffer } from '../schema/key-codec.js'
import { flagDeleted } from '../store/domain.js'
import { boundsOf, boundsOfValues, type Bounds, isWithin } from '../store/range-bounds.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TablePart, TableStore, TreePlan } from '../store/table-store.js'
import { gatherRows } from '../store/tree-scan.js'
import { ReadTable } from './read-table.js'
import { SealedScope } from './sealed-scope.js'
import { type AnyIndexHandle, type IndexedTable, indexHandlesOf } from './index-handle.js'
import { notFound, type TableAccess, TableHandle, WatchingDoor } from './table-handle.js'
import type { Transaction } from './transaction.js'
import { keyOfRow } from './violation.js'

export class SnapshotTable implements TableAccess, IndexedTable {
  readonly index: Readonly<Record<string, AnyIndexHandle>>
  readonly #transaction: Transaction
  readonly #table: TableStore
  readonly #scope: SealedScope
  readonly #now: TableHandle
  readonly #past: ReadTable

  constructor(transaction: Transaction, table: TableStore) {
    this.#transaction = transaction
    this.#table = table
    this.#scope = new SealedScope(transaction, () => transaction.outdated())
    this.#now = new TableHandle(transaction, table, new SnapshotDoor(transaction, table))
    this.#past = new ReadTable(this.#scope, table)
    this.index = indexHandlesOf(this, table)
    Object.freeze(this)
  }

  // ── one row ───────────────────────────────────────────────────────────────────────────────────────────

  get(key: unknown): PlainRow | undefined {
    return this.#isNow(key) ? this.#now.get(key) : this.#past.get(key)
  }
  row(key: unknown): object | undefined {
    return this.#isNow(key) ? this.#now.row(key) : this.#past.row(key)
  }
  has(key: unknown): boolean {
    return this.#isNow(key) ? this.#now.has(key) : this.#past.has(key)
  }

  insert(row: unknown): unknown {
    return this.#now.insert(row)
  }
  put(row: unknown): void {
    this.#now.put(row)
  }
  update(key: unknown, patch: unknown): void {
    if (!this.#mayChange(key)) this.#transaction.fail(notFound(this.#table, key))
    this.#now.update(key, patch)
  }
  add(key: unknown, deltas: unknown): void {
    if (!this.#mayChange(key)) this.#transaction.fail(notFound(this.#table, key))
    this.#now.add(key, deltas)
  }
  delete(key: unknown): boolean {
    return this.#mayChange(key) && this.#now.delete(key)
  }

  count(): number {
    return this.#past.count() + this.#transaction.writer.journal.rowsMore(this.#table.ordinal)
  }

  // ── ranges ────────────────────────────────────────────────────────────────────────────────────────────

  scan(range?: unknown): Iterable<PlainRow> {
    return this.#plain(this.#gatherPrimary(range))
  }
  rows(range?: unknown): Iterable<object> {
    return this.#live(this.#gatherPrimary(range))
  }
  indexGet(plan: TreePlan, values: unknown): readonly PlainRow[] {
    return [...this.#plain(this.#gather(plan, () => boundsOfValues(this.#table, plan, values)))]
  }
  indexRows(plan: TreePlan, values: unknown): Iterable<object> {
    return this.#live(this.#gather(plan, () => boundsOfValues(this.#table, plan, values)))
  }
  indexScan(plan: TreePlan, range: unknown): Iterable<PlainRow> {
    if (!plan.range) this.#refuse(`Index "${plan.name}" of "${this.#table.name}" has no order: declare it with \`range: true\`.`)
    return this.#plain(this.#gather(plan, () => boundsOf(this.#table, plan, plan.own, range)))
  }

  #gatherPrimary(range: unknown): readonly number[] {
    const table = this.#table
    if (!table.ordered) this.#refuse(`"${table.name}" has no order: declare the table with \`ordered: true\` to scan it.`)
    const plan = table.trees[0]!
    return this.#gather(plan, () => boundsOf(table, plan, plan.own === 0 ? plan.columns.length : plan.own, range))
  }

  /** Which rows they are is fixed here (R23): those of the snapshot, but for the ones that the transaction has written, and these. */
  #gather(plan: TreePlan, boundsNow: () => Bounds): readonly number[] {
    const transaction = this.#transaction
    const table = this.#table
    const scope = this.#scope
    const rows = scope.guard(() => {
      const bounds = boundsNow()
      if (bounds.isEmpty) return []
      const { view } = scope
      const own = transaction.writer.journal.rowsOf(table.ordinal)
      const parts = table.partsOf(plan, table.partitionOfLeading(plan.columns, bounds.fixed))
      const found = gatherRows(parts, plan, bounds.range, bounds.limit + own.length, (part: TablePart) => part.trees[plan.ordinal]!.rootAt(view.batch, view), view)
      return own.length === 0 ? found : this.#merged(plan, bounds, found, own)
    })
    transaction.countReads(rows.length)
    return rows
  }

  #merged(plan: TreePlan, bounds: Bounds, found: readonly number[], own: readonly number[]): readonly number[] {
    const written = new Set(own)
    const entries: { readonly row: number; readonly key: Uint8Array }[] = []
    const add = (row: number, at: number, isChecked: boolean): void => {
      const key = new KeyBuffer()
      plan.entry(at, key)
      if (!isChecked || isWithin(key.view(), bounds)) entries.push({ row, key: key.view() })
    }
    for (const row of found) {
      const version = written.has(row) ? 0 : this.#scope.view.versionOf(this.#table, row)
      if (version !== 0) add(row, version, false)
    }
    for (const row of own) if (!this.#isDeleted(row) && plan.holds(row)) add(row, row, true)
    const sign = bounds.range.reverse ? -1 : 1
    return entries.sort((a, b) => sign * compareKeys(a.key, b.key)).slice(0, bounds.limit).map(({ row }) => row)
  }

  /** Where a row is shown: in place, in its version, or nowhere (0). */
  #shownAt(row: number): number {
    if (this.#transaction.writer.journal.opOfRow(row) >= 0) return this.#isDeleted(row) ? 0 : row
    return this.#scope.view.versionOf(this.#table, row)
  }

  *#plain(rows: readonly number[]): Iterable<PlainRow> {
    const { number } = this.#transaction
    for (const row of rows) {
      this.#transaction.mustBeOf(number)
      const at = this.#shownAt(row)
      if (at !== 0) yield this.#table.codec.decode(at)
    }
  }
  *#live(rows: readonly number[]): Iterable<object> {
    const { number } = this.#transaction
    for (const row of rows) {
      this.#transaction.mustBeOf(number)
      const at = this.#shownAt(row)
      const live = at === 0 ? undefined : this.row(keyOfRow(this.#table, at))
      if (live !== undefined) yield live
    }
  }

  // ── steps ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Of the row with this key, what stands is what is shown. Nobody else writes it while the transaction runs. */
  #isNow(key: unknown): boolean {
    const transaction = this.#transaction
    const table = this.#table
    const partition = this.#partitionOf(key)
    if (transaction.partition >= 0 && transaction.partition !== partition && !table.isGlobal) return false
    const row = table.part(partition).findAny()
    return row === 0 || isAsRead(transaction, table, row)
  }

  /** False: there is no row to change. One that may not be changed ends the run. */
  #mayChange(key: unknown): boolean {
    if (this.#isNow(key)) return true
    if (!this.#past.has(key)) return false
    this.#transaction.mayWrite(this.#table, this.#partitionOf(key))
    return this.#transaction.outdated()
  }

  #partitionOf(key: unknown): number {
    const transaction = this.#transaction
    transaction.mustBeOpen()
    try {
      this.#table.key.set(key)
    } catch (error) {
      throw transaction.failed(error)
    }
    transaction.mustBeOpen() // an array may have getters, too
    return this.#table.key.partition
  }

  #isDeleted(row: number): boolean {
    return !this.#transaction.store.isLive(row)
  }

  #refuse(message: string): never {
    this.#transaction.mustBeOpen()
    return this.#transaction.fail(SluiceError.of('INVALID_USE', message))
  }
}

/** What is put or inserted must not meet a row that the transaction does not see as it stands. */
class SnapshotDoor extends WatchingDoor {
  readonly #writing: Transaction
  readonly #written: TableStore

  constructor(transaction: Transaction, table: TableStore) {
    super(transaction, table)
    this.#writing = transaction
    this.#written = table
  }

  override place(replaces: boolean): TablePart {
    const { partition } = this.#written.key
    this.#writing.mustBeOpen() // reading the row may have done anything
    this.#writing.mayWrite(this.#written, partition)
    const known = this.#written.part(partition).findAny()
    if (known !== 0 && !isAsRead(this.#writing, this.#written, known)) this.#writing.outdated()
    return super.place(replaces)
  }
}

/** The row is one that the transaction has written, or stands as the last batch left it. */
function isAsRead({ writer, store }: Transaction, table: TableStore, row: number): boolean {
  const { i32, f64 } = store.region
  if (f64[row] !== writer.batch || writer.journal.opOfRow(row) >= 0) return true
  const before = i32[row * 2 + 2]!
  const wasLive = before !== 0 && (i32[before * 2 + 3]! & flagDeleted) === 0
  if (wasLive !== store.isLive(row)) return false
  return !wasLive || table.groups.changed(i32, before * 2, i32, row * 2) === 0
}
