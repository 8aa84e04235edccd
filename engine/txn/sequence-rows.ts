/** The counters of sequences as rows of a running transaction: in a lane, or ahead of its turn. */
import { sequenceTableName } from '../schema/sequence-table.js'
import type { TableStore } from '../store/table-store.js'
import { type Counter, Sequence } from './sequence.js'
import type { Transaction } from './transaction.js'

/** What a table handle does for counters. */
export interface CounterTable {
  row(key: unknown): object | undefined
  insert(row: unknown): unknown
}

/** One handle of the counters serves all tables of a transaction. */
const handles = new WeakMap<Transaction, CounterTable>()

/** The sequence of a table that generates something. `makeTable` makes a handle of the counters. */
export function sequenceOf(transaction: Transaction, table: TableStore, makeTable: (counters: TableStore) => CounterTable): Sequence | undefined {
  if (table.generated.length === 0) return undefined
  let counters = handles.get(transaction)
  if (counters === undefined) {
    counters = makeTable(transaction.store.tables.find(({ name }) => name === sequenceTableName)!)
    handles.set(transaction, counters)
  }
  return new Sequence(table, new CounterRows(counters, table.name), transaction)
}

class CounterRows implements Counter {
  readonly #counters: CounterTable
  readonly #key: [string, number]
  #row: { next: number } | undefined

  constructor(counters: CounterTable, table: string) {
    this.#counters = counters
    this.#key = [table, 0]
  }

  next(partition: number): number | undefined {
    this.#key[1] = partition
    this.#row = this.#counters.row(this.#key) as { next: number } | undefined
    return this.#row?.next
  }

  moveTo(partition: number, next: number): void {
    if (this.#row !== undefined) this.#row.next = next
    else this.#counters.insert({ table: this.#key[0], partition, next })
  }
}
