/**
 * A table inside a speculated transaction: what TableHandle does, on a state that stands still (speculation.ts).
 *
 * Reads are noted, writes are kept. Whatever TableHandle would answer with an error gives the run up: in order it will say the
 * same, or not.
 */
import { compareKeys, KeyBuffer, prefixEnd } from '../schema/key-codec.js'
import { wholeRow } from '../store/column-groups.js'
import { boundsOf, boundsOfLeading, boundsOfValues, type Bounds } from '../store/range-bounds.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TablePart, TableStore, TreePlan } from '../store/table-store.js'
import { gatherRows } from '../store/tree-scan.js'
import { RowInput } from './row-input.js'
import type { Sequence } from './sequence.js'
import { sequenceOf } from './sequence-rows.js'
import type { Speculation } from './speculation.js'
import { compileSpeculativeAccessor, type SpeculativeAccessorClass } from './speculative-accessor.js'
import { type AnyIndexHandle, type IndexedTable, indexHandlesOf } from './index-handle.js'
import { type TableAccess } from './table-handle.js'
import type { Transaction } from './transaction.js'

export class SpeculativeTableHandle implements IndexedTable, TableAccess {
  readonly index: Readonly<Record<string, AnyIndexHandle>>
  readonly #transaction: Transaction
  readonly #speculation: Speculation
  readonly #table: TableStore
  readonly #input: RowInput
  readonly #accessor: SpeculativeAccessorClass
  readonly #nonKey: readonly number[]
  readonly #sequence: Sequence | undefined
  #part!: TablePart

  constructor(transaction: Transaction, speculation: Speculation, table: TableStore) {
    this.#transaction = transaction
    this.#speculation = speculation
    this.#table = table
    this.#input = new RowInput(table)
    this.#accessor = compileSpeculativeAccessor(transaction, speculation, table, this.#input, (copy, column) => this.#noteMoved(copy, [column]))
    this.#sequence = sequenceOf(transaction, table, (counters) => new SpeculativeTableHandle(transaction, speculation, counters))
    this.#nonKey = table.layout.columns.map((column) => column.ordinal).filter((n) => !table.descriptor.key.includes(n))
    this.index = indexHandlesOf(this, table)
    Object.freeze(this)
  }

  get(key: unknown): PlainRow | undefined {
    const at = this.#find(key)
    if (at === 0) return undefined
    this.#readAll()
    return this.#table.codec.decode(at)
  }

  row(key: unknown): object | undefined {
    const at = this.#find(key)
    return at === 0 ? undefined : new this.#accessor(this.#part, at, this.#speculation.foundRow, this.#speculation.foundRead)
  }

  has(key: unknown): boolean {
    return this.#find(key) !== 0
  }

  /** How many rows there are is no group of columns and no range: in order it is known. */
  count(): number {
    this.#transaction.mustBeOpen()
    return this.#speculation.giveUp()
  }

  insert(row: unknown): unknown {
    const values = this.#checkedRow(row)
    if (this.#locateRow(values) !== 0) this.#speculation.giveUp()
    this.#insertChecked(values)
    return this.#table.key.key
  }

  put(row: unknown): void {
    const values = this.#checkedRow(row)
    const at = this.#locateRow(values)
    if (at === 0) this.#insertChecked(values)
    else this.#set(this.#part, at, this.#nonKey, this.#nonKey.map((n) => values[n]))
  }

  update(key: unknown, patch: unknown): void {
    const at = this.#mustFind(key)
    const part = this.#part
    let given = patch
    if (typeof patch === 'function') {
      this.#readAll()
      const row = this.#speculation.foundRow
      given = (patch as (row: PlainRow) => unknown)(Object.freeze(this.#table.codec.decode(at)))
      this.#transaction.mustBeOpen()
      if (this.#speculation.isDeleted(row === 0 ? at : this.#speculation.placeOf(row))) this.#speculation.giveUp()
      const { columns, values } = this.#checked(() => this.#input.patch(given))
      this.#set(part, row === 0 ? at : this.#speculation.placeOf(row), columns, values)
      return
    }
    const { columns, values } = this.#checked(() => this.#input.patch(given))
    this.#set(part, at, columns, values)
  }

  add(key: unknown, deltas: unknown): void {
    const at = this.#mustFind(key)
    const part = this.#part
    const { columns, values } = this.#checked(() => this.#input.deltas(deltas))
    if (columns.length === 0) return
    const { codec } = this.#table
    const copy = this.#speculation.copyOf(part, at)
    columns.forEach((column, n) => {
      const now = codec.readers[column]!(copy) as number | bigint
      const sum = typeof now === 'bigint' ? now + (values[n] as bigint) : now + (values[n] as number)
      this.#speculation.put(part, copy, column, this.#checked(() => this.#input.column(column, sum)))
      this.#speculation.noteAdd(part, copy, column, values[n]!)
    })
    this.#noteMoved(copy, columns)
  }

  delete(key: unknown): boolean {
    const at = this.#find(key)
    if (at === 0) return false
    const part = this.#part
    this.#transaction.mayWrite(this.#table, part.partition)
    this.#speculation.delete(part, this.#speculation.copyOf(part, at))
    return true
  }

  scan(range?: unknown): Iterable<PlainRow> {
    return this.#plainOf(this.#gatherPrimary(range), this.#transaction.number)
  }
  rows(range?: unknown): Iterable<object> {
    return this.#liveOf(this.#gatherPrimary(range), this.#transaction.number)
  }

  // ── for the index handles ─────────────────────────────────────────────────────────────────────────────

  indexGet(plan: TreePlan, values: unknown): readonly PlainRow[] {
    return [...this.#plainOf(this.#gather(plan, this.#checked(() => boundsOfValues(this.#table, plan, values))), this.#transaction.number)]
  }
  indexRows(plan: TreePlan, values: unknown): Iterable<object> {
    return this.#liveOf(this.#gather(plan, this.#checked(() => boundsOfValues(this.#table, plan, values))), this.#transaction.number)
  }
  indexScan(plan: TreePlan, range: unknown): Iterable<PlainRow> {
    if (!plan.range) this.#speculation.giveUp()
    return this.#plainOf(this.#gather(plan, this.#checked(() => boundsOf(this.#table, plan, plan.own, range))), this.#transaction.number)
  }

  /** Rows whose entries in a tree begin with these values: for references. */
  gatherLeading(plan: TreePlan, values: readonly unknown[], limit: number): readonly number[] {
    return this.#gather(plan, boundsOfLeading(plan, values, limit))
  }

  #gatherPrimary(range: unknown): readonly number[] {
    this.#transaction.mustBeOpen()
    if (!this.#table.ordered) this.#speculation.giveUp()
    const plan = this.#table.trees[0]!
    return this.#gather(plan, this.#checked(() => boundsOf(this.#table, plan, plan.own === 0 ? plan.columns.length : plan.own, range)))
  }

  /** Addresses in the state, and of copies that are inserted. */
  #gather(plan: TreePlan, bounds: Bounds): readonly number[] {
    this.#transaction.mustBeOpen()
    const table = this.#table
    if (bounds.isEmpty) return []
    const partition = table.partitionOfLeading(plan.columns, bounds.fixed)
    if (partition >= 0) this.#transaction.mayRead(table, partition)
    const parts = table.partsOf(plan, partition)
    const moved = this.#speculation.movedIn(table.ordinal)
    const limit = bounds.limit + moved.length
    let rows: readonly number[] = gatherRows(parts, plan, bounds.range, limit, (part) => part.trees[plan.ordinal]!.rootNow())
    if (moved.length > 0) rows = this.#mergeMoved(plan, bounds, rows, moved)
    this.#transaction.countReads(rows.length)
    this.#noteRange(plan, bounds, rows)
    return rows
  }

  /** What the run itself has moved in the tree is taken out of the rows of the state, and put where it stands now. */
  #mergeMoved(plan: TreePlan, { range, limit }: Bounds, rows: readonly number[], moved: readonly number[]): readonly number[] {
    const speculation = this.#speculation
    const keyed = rows.filter((row) => !speculation.hasMoved(row)).map((row) => ({ row, key: this.#entryKey(plan, row) }))
    for (const copy of moved) {
      const row = speculation.rowOf(copy)
      if (row !== 0) {
        // Where it stands may follow from what the state has: an `add` to an indexed column.
        speculation.readSet.note(row, wholeRow)
        if (speculation.placeOf(row) !== copy) continue // deleted, and inserted again as another copy
      }
      if (speculation.isDeleted(copy) || !plan.holds(copy)) continue
      const key = this.#entryKey(plan, copy)
      if (range.from !== undefined && compareKeys(key, range.from.subarray(0, range.fromLength)) < 0) continue
      if (range.to !== undefined && compareKeys(key, range.to.subarray(0, range.toLength)) >= 0) continue
      keyed.push({ row: row === 0 ? copy : row, key })
    }
    keyed.sort((a, b) => (range.reverse ? compareKeys(b.key, a.key) : compareKeys(a.key, b.key)))
    return (limit < keyed.length ? keyed.slice(0, limit) : keyed).map((one) => one.row)
  }

  #entryKey(plan: TreePlan, row: number): Uint8Array {
    const at = this.#speculation.placeOf(row)
    const key = new KeyBuffer()
    plan.codec.encode(plan.columns.map((column) => this.#table.codec.readers[column]!(at)), key)
    return key.view().slice()
  }

  /** The keys that were looked at: of a range that its limit cut off, those up to the last row. */
  #noteRange(plan: TreePlan, { range, limit }: Bounds, rows: readonly number[]): void {
    const { readSet } = this.#speculation
    let from = range.from === undefined ? undefined : { bytes: range.from, length: range.fromLength }
    let to = range.to === undefined ? undefined : { bytes: range.to, length: range.toLength }
    let withTo = false
    if (limit === 0) return
    if (rows.length === limit) {
      const bytes = this.#entryKey(plan, rows.at(-1)!)
      const end = { bytes, length: bytes.length }
      if (range.reverse) from = end
      else {
        to = end
        withTo = true
      }
    }
    readSet.noteRange(this.#table.ordinal, plan.ordinal, from, to, withTo)
  }

  *#plainOf(rows: readonly number[], number: number): Iterable<PlainRow> {
    for (const row of rows) {
      const at = this.#stillThere(row, number)
      if (at === 0) continue
      // A copy shows what the transaction did not write as the state has it.
      if (!this.#speculation.scratch.holds(row)) this.#speculation.readSet.note(row, wholeRow)
      yield this.#table.codec.decode(at)
    }
  }
  *#liveOf(rows: readonly number[], number: number): Iterable<object> {
    for (const row of rows) {
      const at = this.#stillThere(row, number)
      if (at === 0) continue
      const part = this.#table.part(this.#table.partitionOfRow(row))
      const { scratch, readSet } = this.#speculation
      yield scratch.holds(row) ? new this.#accessor(part, at, 0, -1) : new this.#accessor(part, at, row, readSet.note(row, 0))
    }
  }

  /** Where a scanned row is now; 0 when the run has deleted it since (R23). Whether the state has it, the range has read. */
  #stillThere(row: number, number: number): number {
    if (number !== this.#transaction.number) this.#transaction.refuseKept()
    this.#transaction.mustBeOpen()
    const at = this.#speculation.placeOf(row)
    if (!this.#speculation.isDeleted(at)) return at
    // One that the run itself has inserted may be there again by now, as another copy; in order it is the same row.
    if (this.#speculation.scratch.holds(row)) this.#speculation.giveUp()
    return 0
  }

  // ── steps ─────────────────────────────────────────────────────────────────────────────────────────────

  #find(key: unknown): number {
    this.#transaction.mustBeOpen()
    try {
      this.#table.key.set(key)
    } catch {
      this.#speculation.giveUp()
    }
    const partition = this.#table.partitionOfKey()
    this.#transaction.mayRead(this.#table, partition)
    this.#part = this.#table.part(partition)
    return this.#speculation.find(this.#part)
  }

  #mustFind(key: unknown): number {
    const at = this.#find(key)
    if (at === 0) this.#speculation.giveUp()
    return at
  }

  /** All columns of the row that was just found. */
  #readAll(): void {
    const { foundRead, readSet } = this.#speculation
    if (foundRead >= 0) readSet.widen(foundRead, wholeRow)
  }

  #checkedRow(row: unknown): unknown[] {
    this.#transaction.mustBeOpen()
    return this.#checked(() => this.#input.row(row, this.#sequence))
  }

  #locateRow(values: readonly unknown[]): number {
    this.#checked(() => this.#table.key.setFromRow(values))
    this.#part = this.#table.part(this.#table.partitionOfKey())
    this.#transaction.mayWrite(this.#table, this.#part.partition)
    return this.#speculation.find(this.#part)
  }

  #insertChecked(values: readonly unknown[]): void {
    const { codec } = this.#table
    const known = this.#speculation.foundRow
    codec.stage(values, this.#speculation.blocks)
    const copy = this.#speculation.insert(this.#part, known, codec.longBytesStaged())
    for (const plan of this.#table.uniqueTrees) this.#mustBeUnique(plan, copy)
  }

  #set(part: TablePart, at: number, columns: readonly number[], values: readonly unknown[]): void {
    if (columns.length === 0) return
    const checked = this.#checked(() => columns.map((column, n) => this.#input.column(column, values[n] === undefined ? null : values[n])))
    const copy = this.#speculation.copyOf(part, at)
    columns.forEach((column, n) => {
      this.#speculation.put(part, copy, column, checked[n])
      this.#speculation.noteSet(part, copy, column)
    })
    const long = this.#table.codec.longBytesStaged(columns)
    if (long > 0) this.#speculation.count(long)
    this.#noteMoved(copy, columns)
  }

  /** Columns of a copy have been written: its values must be nobody else's. */
  #noteMoved(copy: number, columns: readonly number[]): void {
    for (const plan of this.#table.uniqueTrees) if (columns.some((column) => plan.movedBy.has(column))) this.#mustBeUnique(plan, copy)
  }

  /** To ask whether there is another row with these values is a read of their range (R22). In order the row writer says who it is. */
  #mustBeUnique(plan: TreePlan, copy: number): void {
    const from = new KeyBuffer()
    const to = new KeyBuffer()
    if (!plan.holds(copy) || !plan.appendValues(copy, from)) return
    plan.appendValues(copy, to)
    const hasEnd = prefixEnd(to)
    const range = { from: from.bytes, fromLength: from.length, fromExclusive: false, to: hasEnd ? to.bytes : undefined, toLength: to.length, reverse: false }
    const rows = this.#gather(plan, { range, limit: Infinity, fixed: [], isEmpty: false })
    const own = this.#speculation.rowOf(copy) || copy
    if (rows.some((row) => row !== own)) this.#speculation.giveUp()
  }

  /** Errors doom the transaction (R24), caught or not; here the doom is to run in order. */
  #checked<T>(work: () => T): T {
    try {
      return work()
    } catch {
      this.#speculation.giveUp()
    }
  }
}
