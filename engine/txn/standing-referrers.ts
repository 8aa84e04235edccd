/**
 * The rows of other tables that references of a transaction lead to and come from, as they stand in its lane.
 *
 * Whose partition they are in is checked like any access (R25): a transaction that must look or write elsewhere strays, at its end, and
 * nothing of it has been recorded.
 */
import { flagDeleted } from '../store/domain.js'
import { boundsOfLeading } from '../store/range-bounds.js'
import type { Reference, TablePart, TableStore } from '../store/table-store.js'
import { gatherRows } from '../store/tree-scan.js'
import type { ReferringRows } from './reference-checks.js'
import type { RowWriter } from './row-writer.js'
import { bareKey } from './violation.js'

/** What is asked of the transaction. */
export interface LookingTransaction {
  readonly writer: RowWriter
  mayRead(table: TableStore, partition: number): void
  mayWrite(table: TableStore, partition: number): void
  mustReadAll(): void
  countReads(rows: number): void
  change<T>(work: () => T): T
}

export class StandingReferrers implements ReferringRows {
  readonly #transaction: LookingTransaction

  constructor(transaction: LookingTransaction) {
    this.#transaction = transaction
  }

  has(parent: TableStore, key: unknown): boolean {
    parent.key.set(key)
    const { partition } = parent.key
    this.#transaction.mayRead(parent, partition)
    return parent.part(partition).find() !== 0
  }

  of(reference: Reference, values: readonly unknown[], limit: number): readonly number[] {
    const rows = standingReferrers(reference, values, limit, (partition) => {
      if (partition >= 0) this.#transaction.mayRead(reference.child, partition)
      else this.#transaction.mustReadAll()
    })
    this.#transaction.countReads(rows.length)
    return rows
  }

  /** One that was gathered may have gone along with another since. */
  delete(child: TableStore, row: number): void {
    if (isDeleted(child, row)) return
    if (child.hasAcross) this.#transaction.mustReadAll()
    const part = this.#partToWrite(child, row)
    this.#transaction.change(() => this.#transaction.writer.delete(part, row))
  }

  setNull({ child, on }: Reference, row: number): void {
    if (isDeleted(child, row)) return
    if (on.some((column) => child.movedAcross.has(column))) this.#transaction.mustReadAll()
    const part = this.#partToWrite(child, row)
    this.#transaction.change(() => {
      for (const column of on) child.codec.stagers[column]!(null, part.domain)
      this.#transaction.writer.update(part, row, on)
    })
  }

  #partToWrite(child: TableStore, row: number): TablePart {
    const partition = child.partitionOfRow(row)
    this.#transaction.mayWrite(child, partition)
    return child.part(partition)
  }
}

/** Is there a row with these values for its key? */
export function hasStanding(parent: TableStore, values: readonly unknown[]): boolean {
  parent.key.set(bareKey(values))
  return parent.part(parent.key.partition).find() !== 0
}

/** The rows that refer to the one with these values for its key. `mayLook`: is asked before, with the partition that has them all, or -1. */
export function standingReferrers({ child, tree, places }: Reference, values: readonly unknown[], limit: number, mayLook?: (partition: number) => void): readonly number[] {
  const { range, fixed } = boundsOfLeading(tree, places.map((place) => values[place]))
  const partition = child.partitionOfLeading(tree.columns, fixed)
  mayLook?.(partition)
  return gatherRows(child.partsOf(tree, partition), tree, range, limit, (part) => part.trees[tree.ordinal]!.rootNow())
}

const isDeleted = ({ codec }: TableStore, row: number): boolean => (codec.memory.i32[row * 2 + 3]! & flagDeleted) !== 0
