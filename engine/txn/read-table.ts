/**
 * A table in a procedure with `readonly: true`: `tx.db.<table>` over a snapshot. Every operation that writes is there and refuses.
 *
 * An accessor is made of a copy of its row: the snapshot does not change, so the copy is the row.
 */
import { SluiceError } from '../base/errors.js'
import type { SnapshotView } from '../store/snapshot-view.js'
import { boundsOf, boundsOfValues, type Bounds } from '../store/range-bounds.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TableStore, TreePlan } from '../store/table-store.js'
import { type AnyIndexHandle, type IndexedTable, indexHandlesOf } from './index-handle.js'

/** What a table asks of its transaction. */
export interface ReadScope {
  readonly view: SnapshotView
  mustBeOpen(): void
  /** Runs an operation: whatever SluiceError it throws is the outcome. */
  guard<T>(work: () => T): T
  countReads(rows: number): void
  fail(error: SluiceError): never
  refuseWrite(what: string): never
}

export class ReadTable implements IndexedTable {
  readonly index: Readonly<Record<string, AnyIndexHandle>>
  readonly #transaction: ReadScope
  readonly #table: TableStore

  constructor(transaction: ReadScope, table: TableStore) {
    this.#transaction = transaction
    this.#table = table
    this.index = indexHandlesOf(this, table)
    Object.freeze(this)
  }

  get(key: unknown): PlainRow | undefined {
    const transaction = this.#transaction
    transaction.countReads(1)
    return transaction.guard(() => transaction.view.get(this.#table, key))
  }
  row(key: unknown): object | undefined {
    const found = this.get(key)
    return found === undefined ? undefined : this.#accessor(found)
  }
  has(key: unknown): boolean {
    const transaction = this.#transaction
    transaction.countReads(1)
    return transaction.guard(() => transaction.view.find(this.#table, key) !== 0)
  }
  count(): number {
    return this.#transaction.guard(() => this.#transaction.view.count(this.#table))
  }
  scan(range?: unknown): Iterable<PlainRow> {
    return this.#plain(this.#primary(range))
  }
  rows(range?: unknown): Iterable<object> {
    return this.#live(this.#primary(range))
  }

  insert(): never {
    return this.#transaction.refuseWrite(`insert() of "${this.#table.name}"`)
  }
  put(): never {
    return this.#transaction.refuseWrite(`put() of "${this.#table.name}"`)
  }
  update(): never {
    return this.#transaction.refuseWrite(`update() of "${this.#table.name}"`)
  }
  add(): never {
    return this.#transaction.refuseWrite(`add() of "${this.#table.name}"`)
  }
  delete(): never {
    return this.#transaction.refuseWrite(`delete() of "${this.#table.name}"`)
  }

  // ── for the index handles ─────────────────────────────────────────────────────────────────────────────

  indexGet(plan: TreePlan, values: unknown): readonly PlainRow[] {
    return [...this.#plain(this.#among(plan, values))]
  }
  indexRows(plan: TreePlan, values: unknown): Iterable<object> {
    return this.#live(this.#among(plan, values))
  }
  indexScan(plan: TreePlan, range: unknown): Iterable<PlainRow> {
    if (!plan.range) this.#refuse(`Index "${plan.name}" of "${this.#table.name}" has no order: declare it with \`range: true\`.`)
    return this.#plain(this.#within(plan, () => boundsOf(this.#table, plan, plan.own, range)))
  }

  #primary(range: unknown): Iterable<PlainRow> {
    const table = this.#table
    if (!table.ordered) this.#refuse(`"${table.name}" has no order: declare the table with \`ordered: true\` to scan it.`)
    const plan = table.trees[0]!
    return this.#within(plan, () => boundsOf(table, plan, plan.own === 0 ? plan.columns.length : plan.own, range))
  }
  #among(plan: TreePlan, values: unknown): Iterable<PlainRow> {
    return this.#within(plan, () => boundsOfValues(this.#table, plan, values))
  }
  /** R23 holds by itself: nothing changes under a snapshot. */
  #within(plan: TreePlan, bounds: () => Bounds): Iterable<PlainRow> {
    const transaction = this.#transaction
    return transaction.guard(() => transaction.view.rowsIn(this.#table, plan, bounds()))
  }

  *#plain(found: Iterable<PlainRow>): Iterable<PlainRow> {
    const rows = found[Symbol.iterator]()
    for (;;) {
      const step = this.#transaction.guard(() => rows.next())
      if (step.done === true) return
      this.#transaction.countReads(1)
      yield step.value
    }
  }
  *#live(found: Iterable<PlainRow>): Iterable<object> {
    for (const row of this.#plain(found)) yield this.#accessor(row)
  }

  /** Getters that ask whether the transaction is open; a name that is set, any name, is a write. */
  #accessor(row: PlainRow): object {
    const transaction = this.#transaction
    const table = this.#table
    return new Proxy(readRow, {
      get: (_target, name) => {
        if (typeof name !== 'string') return undefined
        transaction.mustBeOpen()
        return Object.hasOwn(row, name) ? row[name] : undefined
      },
      has: (_target, name) => typeof name === 'string' && Object.hasOwn(row, name),
      set: (_target, name) => transaction.refuseWrite(`Setting "${String(name)}" of a row of "${table.name}"`),
      defineProperty: (_target, name) => transaction.refuseWrite(`Setting "${String(name)}" of a row of "${table.name}"`),
    })
  }

  #refuse(message: string): never {
    this.#transaction.mustBeOpen()
    return this.#transaction.fail(SluiceError.of('INVALID_USE', message))
  }
}

/** An instance of a class: `{ ...row }` copies nothing, and no codec takes it for plain data. */
class ReadRow {}
const readRow = Object.freeze(new ReadRow())
