/**
 * The state that the last batch left, for a transaction of the next one: what replicas with `strength: 'batch'` show, and what procedures with
 * `isolation: 'snapshot'` read.
 *
 * It may be read from every lane, of every partition, beside the lanes that go on writing: exactly as a snapshot is read on main (R12). Nothing
 * needs to be announced. What a snapshot of that batch needs is kept as long as the running batch lasts, for the reclaim bound is
 * no newer than the durable batch (R13), and that is no newer than the last one sealed. For the same reason no run can find it
 * changed: there is no stray, and nothing to note when it runs ahead of its turn.
 */
import type { SluiceError } from '../base/errors.js'
import { SnapshotView } from '../store/snapshot-view.js'
import type { ReadScope } from './read-table.js'
import type { Transaction } from './transaction.js'

/** Of no slot: see above. */
const unannounced = -1

export class SealedScope implements ReadScope {
  readonly #transaction: Transaction
  readonly #refuse: (what: string) => never
  #view: SnapshotView

  /** `refuse`: what becomes of an open transaction that writes here. */
  constructor(transaction: Transaction, refuse: (what: string) => never) {
    this.#transaction = transaction
    this.#refuse = refuse
    this.#view = new SnapshotView(transaction.store, unannounced, 0)
  }

  get view(): SnapshotView {
    const batch = this.#transaction.writer.batch - 1
    const { viewAt } = this.#transaction
    if (this.#view.batch !== batch) this.#view = viewAt?.(unannounced, batch) ?? new SnapshotView(this.#transaction.store, unannounced, batch)
    return this.#view
  }

  mustBeOpen(): void {
    this.#transaction.mustBeOpen()
  }
  guard<T>(work: () => T): T {
    this.#transaction.mustBeOpen()
    try {
      return work()
    } catch (error) {
      throw this.#transaction.failed(error)
    }
  }
  countReads(rows: number): void {
    this.#transaction.countReads(rows)
  }
  fail(error: SluiceError): never {
    return this.#transaction.fail(error)
  }
  refuseWrite(what: string): never {
    this.#transaction.mustBeOpen()
    return this.#refuse(what)
  }
}
