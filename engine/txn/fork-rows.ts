/**
 * What a transaction of a fork does before it looks: rows of the base that it may meet are brought over (store/fork-store.ts).
 *
 *   a key              its row
 *   a range, an index  the first rows of it that are not known, as many as were asked for: the rows that are found are among them
 *   a unique value     the row that has it
 *
 * After that the table handles, the row writer, references and checks look at this store alone, and are right.
 */
import { limits } from '../base/limits.js'
import { SluiceError } from '../base/errors.js'
import { type ForkStore } from '../store/fork-store.js'
import type { Bounds } from '../store/range-bounds.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TablePart, TableStore, TreePlan } from '../store/table-store.js'
import type { Transaction } from './transaction.js'

export class ForkRows {
  readonly #transaction: Transaction
  readonly #store: ForkStore
  readonly #scratch: number

  constructor(transaction: Transaction, store: ForkStore) {
    this.#transaction = transaction
    this.#store = store
    this.#scratch = store.plan.scratchAt // of worker 0, whose lanes run here
  }

  /** A wrong key is for the handle to refuse. */
  ofKey(table: TableStore, key: unknown): void {
    if (this.#transaction.live === 0) return
    try {
      table.key.set(key)
    } catch {
      return
    }
    this.ofStagedKey(table)
  }

  /** The staged key stays staged. */
  ofStagedKey(table: TableStore): void {
    const part = table.part(table.key.partition)
    const row = part.findAny()
    if (this.#store.isKnown(row)) return
    const found = this.#inBase(() => this.#store.base.get(table, table.key.key))
    if (found === undefined) this.#store.noteAbsent(row)
    else this.#transaction.change(() => this.#bring(table, part, row, found))
  }

  ofRange(table: TableStore, plan: TreePlan, makeBounds: () => Bounds): void {
    if (this.#transaction.live === 0 || !this.#store.base.has(table)) return
    let bounds: Bounds
    try {
      bounds = makeBounds()
    } catch {
      return
    }
    if (!this.#isElsewhere(table, plan, bounds)) this.#ofBounds(table, plan, bounds)
  }

  /** Rows that begin with these values in a tree. */
  ofLeading(table: TableStore, plan: TreePlan, bounds: Bounds): void {
    this.#ofBounds(table, plan, bounds)
  }

  /** Before a row with these values, by ordinal, comes into the table; `moved`: the columns that change, if not all. What was staged is staged again. */
  ofUnique(table: TableStore, valueOf: (column: number) => unknown, moved?: readonly number[]): void {
    for (const plan of table.uniqueTrees) {
      if (moved !== undefined && !moved.some((column) => plan.movedBy.has(column))) continue
      const values = plan.columns.slice(0, plan.own).map(valueOf)
      if (!values.includes(null)) this.#bringAll(table, this.#inBase(() => [...this.#store.base.rowsIn(table, plan, this.#store.boundsOfUnique(plan, values))]))
    }
  }

  /** The same for the row that is staged, between the marks of a change: staging is for one row at a time. */
  ofStagedUnique(table: TableStore): void {
    if (table.uniqueTrees.length === 0 || !this.#store.base.has(table)) return
    const { codec } = table
    codec.copyStaged(this.#scratch)
    const values = table.layout.columns.map((_, column) => codec.readers[column]!(this.#scratch))
    const staged = codec.i32.slice()
    try {
      for (const plan of table.uniqueTrees) {
        const wanted = plan.columns.slice(0, plan.own).map((column) => values[column])
        if (wanted.includes(null)) continue
        for (const row of this.#store.base.rowsIn(table, plan, this.#store.boundsOfUnique(plan, wanted))) {
          const part = this.#partOf(table, row)
          const known = part.findAny()
          if (!this.#store.isKnown(known)) this.#bring(table, part, known, row)
        }
      }
    } catch (error) {
      codec.i32.set(staged)
      if (SluiceError.is(error)) codec.releaseStaged(values.length, table.part(0).domain)
      throw error
    }
    codec.i32.set(staged)
    table.key.setFromRow(values)
  }

  #ofBounds(table: TableStore, plan: TreePlan, bounds: Bounds): void {
    if (bounds.isEmpty) return
    const most = Math.min(bounds.limit, limits.transactionRowsReadMax + 1)
    const rows = this.#inBase(() => this.#store.base.rowsIn(table, plan, this.#store.boundsInBase(table, bounds)))
    const wanted: PlainRow[] = []
    this.#inBase(() => {
      for (const row of rows) {
        if (wanted.length >= most) break
        if (!this.#store.isKnown(this.#partOf(table, row).findAny())) wanted.push(row)
      }
    })
    this.#bringAll(table, wanted)
  }

  #bringAll(table: TableStore, rows: readonly PlainRow[]): void {
    for (const row of rows) {
      const part = this.#partOf(table, row)
      const known = part.findAny()
      if (!this.#store.isKnown(known)) this.#transaction.change(() => this.#bring(table, part, known, row))
    }
  }

  /** The key of `row` is staged. */
  #bring(table: TableStore, part: TablePart, known: number, row: PlainRow): void {
    const { codec } = table
    const mustStage = known === 0 || !this.#store.isWhole(known)
    if (mustStage) codec.stage(table.descriptor.columns.map(({ name }) => row[name]), part.domain)
    try {
      this.#transaction.writer.bring(part, known, mustStage)
    } catch (error) {
      // A row that has its values keeps them when the transaction is undone; a block of one that has none is lost to the fork.
      throw this.#tooLarge(error)
    }
    this.#store.noteBrought(table)
  }

  #tooLarge(error: unknown): unknown {
    if (!SluiceError.is(error, 'OUT_OF_SPACE')) return error
    return SluiceError.of('OUT_OF_SPACE', `A fork holds ${this.#store.region.words * 8} bytes of what its transactions touch: fork again for less work, or read with fork.table() and fork.query(), which take none of them.`, {
      details: { bytes: this.#store.region.words * 8 },
      cause: error,
    })
  }

  #partOf(table: TableStore, row: PlainRow): TablePart {
    const values = table.descriptor.key.map((column) => row[table.descriptor.columns[column]!.name])
    table.key.set(values.length === 1 ? values[0] : values)
    return table.part(table.key.partition)
  }

  /** The lane has no say over the range: the handle will stray, and run where it has. */
  #isElsewhere(table: TableStore, plan: TreePlan, bounds: Bounds): boolean {
    const lane = this.#transaction.partition
    return lane >= 0 && !table.isGlobal && table.partitionOfLeading(plan.columns, bounds.fixed) !== lane
  }

  /** The base may have been given up under a fork, because memory ran short: that is what the transaction ends with. */
  #inBase<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw this.#transaction.failed(error)
    }
  }
}
