/**
 * Commits the speculated runs of one batch in order, on the sequencer's thread (design §3.3).
 *
 * A run that read nothing of what has been written since is done again as a list of operations, by the row writer that every
 * transaction uses: rows are first touched in the same order and end the same, so journal, versions and log are those of the
 * serial run. A stale one runs again on the spot; whatever it touches then is right by definition. Every commit of the lane,
 * whichever way it ran, is noted as written.
 *
 * An `add` takes what the column holds at its turn, and its checks run then. An operation that fails says that the run in order
 * is to be asked: the caller takes the transaction back and runs it.
 */
import { assert } from '../base/assert.js'
import { limits } from '../base/limits.js'
import { eventInts } from '../shared/lane-log.js'
import { operationInts, type SpeculationClaims, type SpeculationEntry, type SpeculationLog } from '../shared/speculation-log.js'
import { flagDeleted } from '../store/domain.js'
import type { Store } from '../store/store.js'
import type { TablePart } from '../store/table-store.js'
import { RowInput } from '../txn/row-input.js'
import { amount, copyMeta, operation } from '../txn/speculation.js'
import type { Transaction } from '../txn/transaction.js'
import { WrittenSet } from '../txn/written-set.js'

/** What became of the runs of one batch. */
export interface SpeculationCounts {
  /** Committed as they were. */
  kept: number
  /** Run again, because what they read had been written. */
  stale: number
  /** Run in order, because the run ahead had not come to a good end. */
  given: number
}

export class SpeculatedLane {
  readonly counts: SpeculationCounts = { kept: 0, stale: 0, given: 0 }
  readonly #store: Store
  readonly #claims: SpeculationClaims
  readonly #logs: readonly SpeculationLog[]
  readonly #written: WrittenSet
  readonly #inputs: (RowInput | undefined)[] = []
  readonly #entry: SpeculationEntry = {
    readsAt: 0, reads: 0, rangesAt: 0, rangesEnd: 0, operationsAt: 0, operations: 0, eventsAt: 0, events: 0, valueAt: 0, valueBytes: 0, payloadsAt: 0,
  }
  readonly #keyValues: unknown[] = []

  constructor(store: Store, claims: SpeculationClaims, logs: readonly SpeculationLog[]) {
    this.#store = store
    this.#claims = claims
    this.#logs = logs
    this.#written = new WrittenSet(store)
  }

  /** Behind the barrier: `count` requests of the cross-partition lane may have been run. */
  begin(count: number): void {
    this.counts.kept = this.counts.stale = this.counts.given = 0
    this.#written.begin()
    for (let n = 0; n < count; n += 1) {
      const place = this.#claims.place(n)
      if (place < 0) continue
      const log = this.#logs[this.#claims.worker(n)]!
      log.read(place, this.#entry)
      this.#written.expectRanges(log.words, this.#entry)
    }
  }

  /** The log that has a run of the n-th request which still holds; undefined: it must run in order. */
  fresh(n: number): SpeculationLog | undefined {
    const place = this.#claims.place(n)
    if (place < 0) {
      this.counts.given += 1
      return undefined
    }
    const log = this.#logs[this.#claims.worker(n)]!
    log.read(place, this.#entry)
    if (this.#written.isStale(log.words, log.bytes, this.#entry)) {
      this.counts.stale += 1
      return undefined
    }
    this.counts.kept += 1
    return log
  }

  /** The value of the run that `fresh` has found: its bytes are those of the log. */
  get value(): { readonly at: number; readonly bytes: number } {
    return { at: this.#entry.valueAt, bytes: this.#entry.valueBytes }
  }

  /** Does in an open transaction what that run did. Throws, and dooms it, where it cannot. */
  apply(transaction: Transaction, log: SpeculationLog): void {
    const { eventsAt, events, payloadsAt, operationsAt, operations } = this.#entry
    for (let n = 0, at = eventsAt; n < events; n += 1, at += eventInts) {
      const from = payloadsAt + log.words[at + 1]!
      const length = log.words[at + 2]!
      transaction.log.addEvent(log.words[at]!, transaction.log.putBytes(log.bytes.subarray(from, from + length), length), length)
    }
    for (let n = 0, at = operationsAt; n < operations; n += 1, at += operationInts) this.#operate(transaction, log.words, at)
    // Long values of rows that it did not read may have grown. Half of the limit was left for that: below it the run in order passes.
    if (transaction.writer.written > limits.transactionBytesMax / 2) transaction.stray()
  }

  /** The run in order, in place of what `apply` could not do. */
  gaveWay(): void {
    this.counts.kept -= 1
    this.counts.stale += 1
  }

  /** The transaction has just committed. */
  noteCommitted(transaction: Transaction): void {
    this.#written.note(transaction.writer.journal)
  }

  #operate(transaction: Transaction, words: Int32Array, at: number): void {
    const table = this.#store.tables[words[at + 1]!]!
    const part = table.part(words[at + 2]!)
    const copy = words[at + 4]!
    const row = words[at + 3]! !== 0 ? words[at + 3]! : this.#store.region.i32[copy * 2 + copyMeta.row]!
    switch (words[at]) {
      case operation.set:
        this.#setColumns(transaction, part, row, copy, words[at + 5]!, 0)
        this.#setColumns(transaction, part, row, copy, words[at + 6]!, 32)
        break
      case operation.add: {
        const column = words[at + 5]!
        amount.ints[0] = words[at + 6]!
        amount.ints[1] = words[at + 7]!
        const now = table.codec.readers[column]!(row) as number | bigint
        const sum = typeof now === 'bigint' ? now + (amount.get(true) as bigint) : now + (amount.get(false) as number)
        this.#inputs[table.ordinal] ??= new RowInput(table)
        // Its checks may fail here and did not ahead: the caller asks the run in order.
        const checked = this.#inputs[table.ordinal]!.column(column, sum)
        transaction.change(() => {
          table.codec.stagers[column]!(checked, part.domain)
          transaction.writer.update(part, row, [column])
        })
        break
      }
      case operation.insert:
        this.#insert(transaction, part, copy)
        break
      case operation.delete:
        transaction.change(() => transaction.writer.delete(part, row))
        break
    }
  }

  #setColumns(transaction: Transaction, part: TablePart, row: number, copy: number, columns: number, from: number): void {
    const { codec, indexed, layout } = part.table
    if (columns === 0) return
    transaction.change(() => transaction.writer.touch(part, row))
    for (let left = columns; left !== 0; left &= left - 1) {
      const ordinal = from + 31 - Math.clz32(left & -left)
      const column = layout.columns[ordinal]!
      if (column.isVar || indexed.has(ordinal)) {
        transaction.change(() => {
          codec.stageCellCopy(copy, ordinal, part.domain)
          transaction.writer.update(part, row, [ordinal])
        })
      } else codec.copyCellBetween(copy, row, ordinal)
    }
  }

  #insert(transaction: Transaction, part: TablePart, copy: number): void {
    const { table } = part
    const { i32 } = this.#store.region
    const values = this.#keyValues
    values.length = table.layout.columns.length
    for (const ordinal of table.descriptor.key) values[ordinal] = table.codec.readers[ordinal]!(copy)
    table.key.setFromRow(values)
    const known = part.findAny()
    assert(known === 0 || (i32[known * 2 + 3]! & flagDeleted) !== 0, 'a run that still holds inserts a key that is absent')
    transaction.change(() => {
      table.codec.stageCopy(copy, part.domain)
      i32[copy * 2 + copyMeta.row] = transaction.writer.insert(part, known)
    })
  }
}
