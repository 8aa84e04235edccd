/**
 * The same as standing-referrers.ts, for a run ahead of its turn: to look is to read (R22).
 *
 * Deletes that take other rows along give the run up: in order it is known which these are.
 */
import type { Reference, TableStore } from '../store/table-store.js'
import type { ReferringRows } from './reference-checks.js'
import type { Speculation } from './speculation.js'
import { SpeculativeTableHandle } from './speculative-handle.js'
import type { Transaction } from './transaction.js'

export class SpeculativeReferrers implements ReferringRows {
  readonly #transaction: Transaction
  readonly #speculation: Speculation
  /** Of tables that references have led to. */
  readonly #handles: (SpeculativeTableHandle | undefined)[] = []

  constructor(transaction: Transaction, speculation: Speculation) {
    this.#transaction = transaction
    this.#speculation = speculation
  }

  has(parent: TableStore, key: unknown): boolean {
    return this.#handle(parent).has(key)
  }

  of({ child, tree, places }: Reference, values: readonly unknown[], limit: number): readonly number[] {
    return this.#handle(child).gatherLeading(tree, places.map((place) => values[place]), limit)
  }

  delete(): never {
    return this.#speculation.giveUp()
  }
  setNull(): never {
    return this.#speculation.giveUp()
  }

  #handle(table: TableStore): SpeculativeTableHandle {
    return (this.#handles[table.ordinal] ??= new SpeculativeTableHandle(this.#transaction, this.#speculation, table))
  }
}
