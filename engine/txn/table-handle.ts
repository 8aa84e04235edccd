/**
 * A table inside a procedure: `tx.db.<table>`.
 *
 * Every operation goes the same way: is the transaction open, whose partition is it (R25), look, check, count (R41), change
 * between two marks (R6). Errors doom the transaction (R24).
 *
 * What a user's object does to a row is compiled for the table (row-input-compile.ts) and comes back through the `Door`, which knows
 * the transaction. So this code stays one for all tables, and what depends on columns is one for each.
 */
import { SluiceError } from '../base/errors.js'
import { boundsOf, boundsOfValues, type Bounds } from '../store/range-bounds.js'
import type { PlainRow } from '../store/row-codec.js'
import { gatherRows } from '../store/tree-scan.js'
import type { TablePart, TableStore, TreePlan } from '../store/table-store.js'
import { flagDeleted } from '../store/domain.js'
import { type AccessorClass, compileAccessor, type RowSetter } from './accessor.js'
import { type AnyIndexHandle, type IndexedTable, indexHandlesOf } from './index-handle.js'
import { RowInput } from './row-input.js'
import { type CompiledRows, compileRows, type RowDoor } from './row-input-compile.js'
import type { Sequence } from './sequence.js'
import { type CounterTable, sequenceOf } from './sequence-rows.js'
import type { Transaction } from './transaction.js'
import { keyOfGiven, keyOfRow, withKey } from './violation.js'

export class TableHandle implements IndexedTable, TableAccess {
  readonly index: Readonly<Record<string, AnyIndexHandle>>
  readonly #transaction: Transaction
  readonly #table: TableStore
  readonly #accessor: AccessorClass
  readonly #rows: CompiledRows
  readonly #door: Door
  #part!: TablePart

  /** `door`: another one, with more to ask. */
  constructor(transaction: Transaction, table: TableStore, door: Door = doorOf(transaction, table)) {
    this.#transaction = transaction
    this.#table = table
    const input = new RowInput(table)
    this.#door = door
    this.#accessor = compileAccessor(transaction, table, input, door)
    this.#rows = compileRows(table, input, door)
    this.index = indexHandlesOf(this, table)
    Object.freeze(this)
  }

  get(key: unknown): PlainRow | undefined {
    const row = this.#find(key)
    return row === 0 ? undefined : this.#table.codec.decode(row)
  }

  row(key: unknown): object | undefined {
    const row = this.#find(key)
    return row === 0 ? undefined : new this.#accessor(this.#part, row)
  }

  has(key: unknown): boolean {
    return this.#find(key) !== 0
  }

  insert(row: unknown): unknown {
    return this.#write(row, false)
  }

  put(row: unknown): void {
    this.#write(row, true)
  }

  #write(row: unknown, replaces: boolean): unknown {
    const transaction = this.#transaction
    transaction.mustBeOpen()
    try {
      return this.#rows.write(row, replaces)
    } catch (error) {
      throw transaction.failed(withKey(error, () => keyOfGiven(this.#table, row)))
    }
  }

  update(key: unknown, patch: unknown): void {
    const row = this.#mustFind(key)
    const part = this.#part
    let given = patch
    if (typeof patch === 'function') {
      given = (patch as (row: PlainRow) => unknown)(Object.freeze(this.#table.codec.decode(row)))
      this.#transaction.mustBeOpen()
      if (this.#isDeleted(row)) throw this.#notFound(key)
    }
    try {
      this.#rows.patch(part, row, given)
    } catch (error) {
      throw this.#transaction.failed(withKey(error, () => keyOfRow(this.#table, row)))
    }
  }

  add(key: unknown, deltas: unknown): void {
    const row = this.#mustFind(key)
    try {
      this.#rows.add(this.#part, row, deltas)
    } catch (error) {
      throw this.#transaction.failed(withKey(error, () => keyOfRow(this.#table, row)))
    }
  }

  delete(key: unknown): boolean {
    const row = this.#find(key)
    if (row === 0) return false
    const part = this.#part
    this.#door.mayDelete(part)
    this.#transaction.change(() => this.#transaction.writer.delete(part, row))
    return true
  }

  /** All partitions together, so that it runs in the cross-partition lane unless the table is global. */
  count(): number {
    const transaction = this.#transaction
    const table = this.#table
    transaction.mustBeOpen()
    if (table.isGlobal) transaction.mayRead(table, 0)
    else transaction.mustReadAll()
    let count = 0
    for (let p = 0; p < table.partitions; p += 1) count += table.part(p).countNow()
    return count
  }

  scan(range?: unknown): Iterable<PlainRow> {
    return this.#plain(this.gatherPrimary(range))
  }
  rows(range?: unknown): Iterable<object> {
    return this.#live(this.gatherPrimary(range))
  }

  // ── for the index handles ─────────────────────────────────────────────────────────────────────────────

  indexGet(plan: TreePlan, values: unknown): readonly PlainRow[] {
    return [...this.#plain(this.#gather(plan, this.#checked(() => boundsOfValues(this.#table, plan, values))))]
  }
  indexRows(plan: TreePlan, values: unknown): Iterable<object> {
    return this.#live(this.#gather(plan, this.#checked(() => boundsOfValues(this.#table, plan, values))))
  }
  indexScan(plan: TreePlan, range: unknown): Iterable<PlainRow> {
    if (!plan.range) throw this.#fail(SluiceError.of('INVALID_USE', `Index "${plan.name}" of "${this.#table.name}" has no order: declare it with \`range: true\`.`))
    return this.#plain(this.#gather(plan, this.#checked(() => boundsOf(this.#table, plan, plan.own, range))))
  }

  gatherPrimary(range: unknown): readonly Found[] {
    this.#transaction.mustBeOpen()
    if (!this.#table.ordered) throw this.#fail(SluiceError.of('INVALID_USE', `"${this.#table.name}" has no order: declare the table with \`ordered: true\` to scan it.`))
    const plan = this.#table.trees[0]!
    return this.#gather(plan, this.#checked(() => boundsOf(this.#table, plan, plan.own === 0 ? plan.columns.length : plan.own, range)))
  }

  #gather(plan: TreePlan, bounds: Bounds): readonly Found[] {
    this.#transaction.mustBeOpen()
    if (bounds.isEmpty) return []
    const partition = this.#table.partitionOfLeading(plan.columns, bounds.fixed)
    if (partition >= 0) this.#transaction.mayRead(this.#table, partition)
    else this.#transaction.mustReadAll()
    const parts = this.#table.partsOf(plan, partition)
    const rows = gatherRows(parts, plan, bounds.range, bounds.limit, (part) => part.trees[plan.ordinal]!.rootNow())
    this.#transaction.countReads(rows.length)
    if (parts.length === 1 && !plan.isAcross) return rows.map((row) => ({ part: parts[0]!, row }))
    return rows.map((row) => ({ part: this.#table.part(this.#table.partitionOfRow(row)), row }))
  }

  #plain(found: readonly Found[]): Iterable<PlainRow> {
    return this.#plainOf(found, this.#transaction.number)
  }
  #live(found: readonly Found[]): Iterable<object> {
    return this.#liveOf(found, this.#transaction.number)
  }

  *#plainOf(found: readonly Found[], number: number): Iterable<PlainRow> {
    for (const { row } of found) {
      this.#mustBeOf(number)
      if (!this.#isDeleted(row)) yield this.#table.codec.decode(row)
    }
  }
  *#liveOf(found: readonly Found[], number: number): Iterable<object> {
    for (const { part, row } of found) {
      this.#mustBeOf(number)
      if (!this.#isDeleted(row)) yield new this.#accessor(part, row)
    }
  }

  #mustBeOf(number: number): void {
    if (number !== this.#transaction.number) this.#transaction.refuseKept()
    this.#transaction.mustBeOpen()
  }

  // ── steps ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Leaves the part in `#part`. */
  #find(key: unknown): number {
    const transaction = this.#transaction
    const table = this.#table
    transaction.mustBeOpen()
    try {
      table.key.set(key)
    } catch (error) {
      throw transaction.failed(error)
    }
    transaction.mustBeOpen() // an array may have getters, too
    const { partition } = table.key
    transaction.mayRead(table, partition)
    const part = table.part(partition)
    this.#part = part
    return part.find()
  }

  #mustFind(key: unknown): number {
    const row = this.#find(key)
    if (row === 0) throw this.#notFound(key)
    return row
  }

  #notFound(key: unknown): SluiceError {
    return this.#fail(notFound(this.#table, key))
  }

  #isDeleted(row: number): boolean {
    return (this.#table.codec.memory.i32[row * 2 + 3]! & flagDeleted) !== 0
  }

  #checked<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw SluiceError.is(error) ? this.#fail(error) : error
    }
  }
  #fail(error: SluiceError): SluiceError {
    this.#transaction.fail(error)
    return error
  }
}

interface Found {
  readonly part: TablePart
  readonly row: number
}

export const notFound = ({ name }: TableStore, key: unknown): SluiceError =>
  SluiceError.of('NOT_FOUND', `"${name}" has no row with this key: insert() it first, or use put().`, { details: { table: name, key } })

/** What the code of a table asks of its transaction. */
export class Door implements RowDoor, RowSetter {
  known = 0
  isLive = false
  readonly #transaction: Transaction
  readonly #table: TableStore
  readonly #i32: Int32Array
  readonly #sequence: Sequence | undefined

  constructor(transaction: Transaction, table: TableStore, makeCounters = (counters: TableStore): CounterTable => new TableHandle(transaction, counters)) {
    this.#transaction = transaction
    this.#table = table
    this.#i32 = table.codec.memory.i32
    this.#sequence = sequenceOf(transaction, table, makeCounters)
  }

  draw(column: number, values: readonly unknown[]): number {
    this.#transaction.mustBeOpen() // reading the row may have done anything
    return this.#sequence!.draw(column, values)
  }
  pass(value: unknown, partition: number): void {
    this.#sequence!.pass(value, partition)
  }

  place(replaces: boolean): TablePart {
    const table = this.#table
    const transaction = this.#transaction
    transaction.mustBeOpen() // reading the row may have done anything
    const { partition } = table.key
    transaction.mayWrite(table, partition)
    const part = table.part(partition)
    const known = part.findAny()
    this.known = known
    this.isLive = known !== 0 && (this.#i32[known * 2 + 3]! & flagDeleted) === 0
    if (this.isLive && !replaces) {
      throw SluiceError.of('CONSTRAINT', `"${table.name}" has a row with this key already: use put() to replace it, or update() to change it.`, {
        details: { table: table.name, key: table.key.key, constraint: 'key' },
      })
    }
    return part
  }

  mustStand(row: number): void {
    this.#transaction.mustBeOpen()
    if ((this.#i32[row * 2 + 3]! & flagDeleted) !== 0) this.refuseDeleted()
  }
  refuseDeleted(): never {
    this.#transaction.mustBeOpen()
    return this.#transaction.fail(SluiceError.of('INVALID_USE', `A row of "${this.#table.name}" was changed after it had been deleted in the same transaction.`))
  }

  set(part: TablePart, row: number, columns: readonly number[], values: readonly unknown[]): void {
    const { codec, layout } = this.#table
    const { writer } = this.#transaction
    this.#transaction.mayWrite(this.#table, part.partition)
    this.#transaction.change(() => {
      let staged = 0
      try {
        for (; staged < columns.length; staged += 1) codec.stagers[columns[staged]!]!(values[staged], part.domain)
        if (layout.vars.length > 0) writer.count(codec.longBytesStaged(columns))
      } catch (error) {
        codec.releaseColumns(columns.slice(0, staged), part.domain)
        throw error
      }
      writer.update(part, row, columns)
    })
  }

  mayDelete(part: TablePart): void {
    this.#transaction.mayWrite(this.#table, part.partition)
  }

  beginChange(): void {
    this.#transaction.beginChange()
  }
  endChange(): void {
    this.#transaction.endChange()
  }
  touch(part: TablePart, row: number): void {
    this.#transaction.mayWrite(this.#table, part.partition)
    this.#transaction.writer.touch(part, row)
  }
  insert(part: TablePart, known: number): void {
    this.#transaction.writer.insert(part, known)
  }
}

/**
 * The door of a table that has more to ask than whose partition it is: rows that are checked when the transaction ends, references from
 * them or to them, or a unique index across all partitions, which only the cross-partition lane changes (R21).
 *
 * Columns that refer stand in a tree or in the key, so `set` is the only way in which they change.
 */
export class WatchingDoor extends Door {
  readonly #watching: Transaction
  readonly #table: TableStore
  readonly #proves: boolean
  readonly #referring: ReadonlySet<number>
  readonly #hasAcross: boolean
  readonly #movedAcross: ReadonlySet<number>

  constructor(transaction: Transaction, table: TableStore, makeCounters?: (counters: TableStore) => CounterTable) {
    super(transaction, table, makeCounters)
    this.#watching = transaction
    this.#proves = table.rowChecks.length > 0
    this.#table = table
    this.#referring = table.referring
    this.#hasAcross = table.hasAcross
    this.#movedAcross = table.movedAcross
  }

  override place(replaces: boolean): TablePart {
    if (this.#hasAcross) {
      this.#watching.mustBeOpen()
      this.#watching.mustReadAll()
    }
    return super.place(replaces)
  }
  override mayDelete(part: TablePart): void {
    if (this.#hasAcross) this.#watching.mustReadAll()
    this.#watching.mustProve ||= this.#table.referredBy.length > 0
    super.mayDelete(part)
  }
  override set(part: TablePart, row: number, columns: readonly number[], values: readonly unknown[]): void {
    if (this.#hasAcross && columns.some((column) => this.#movedAcross.has(column))) this.#watching.mustReadAll()
    this.#watching.mustProve ||= this.#proves || (this.#table.refersTo.length > 0 && columns.some((column) => this.#referring.has(column)))
    super.set(part, row, columns, values)
  }
  override touch(part: TablePart, row: number): void {
    this.#watching.mustProve ||= this.#proves
    super.touch(part, row)
  }
  override insert(part: TablePart, known: number): void {
    this.#watching.mustProve ||= this.#proves || this.#table.refersTo.length > 0
    super.insert(part, known)
  }
}

function doorOf(transaction: Transaction, table: TableStore): Door {
  const isWatched = table.rowChecks.length > 0 || table.hasAcross || table.declaredTo.length > 0 || table.declaredBy.length > 0
  return isWatched ? new WatchingDoor(transaction, table) : new Door(transaction, table)
}

/** `tx.db.<table>`: on the rows as they stand, or ahead of its turn (speculative-handle.ts). */
export interface TableAccess {
  readonly index: Readonly<Record<string, AnyIndexHandle>>
  get(key: unknown): PlainRow | undefined
  row(key: unknown): object | undefined
  has(key: unknown): boolean
  insert(row: unknown): unknown
  put(row: unknown): void
  update(key: unknown, patch: unknown): void
  add(key: unknown, deltas: unknown): void
  delete(key: unknown): boolean
  count(): number
  scan(range?: unknown): Iterable<PlainRow>
  rows(range?: unknown): Iterable<object>
}
