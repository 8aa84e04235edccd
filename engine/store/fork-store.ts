/**
 * The store of a fork: an empty store over a view of another one, its *base*, which never changes.
 *
 * A row is *known* here once a transaction of the fork has looked for it to write it, or to read it in a lane: then it is brought over, as
 * the base has it, by an insert that is journaled and not recorded (txn/row-writer.ts, `bring`), and stands in the hash index and the trees like
 * any other. From then on this store says what it is. Of all other rows the base says so. Opening a fork therefore copies nothing, and what
 * it takes of memory grows with what its transactions touch.
 *
 *   in no hash index     not known
 *   flagUnknown          not known: it was brought over by a transaction that was undone. What it holds is still what the base has
 *   and flagStale        the same, and what it holds may be anything: the batch was rolled back under it (R36)
 *   flagDeleted alone    known, and there is none
 *
 * Invariants:
 *   K1  A known row stays known. So a deleted one is never reclaimed: the base would show through.
 *   K2  A row that is brought over does not count: the cell of a part holds what the fork has added to the base, or taken from it.
 *   K3  At a view of batch s, a row is known if its version at s is. Views of before it was known look at the base.
 *
 * Why not the overlay of interactive transactions (engine/draft-overlay.ts): it knows rows by key only, so constraints, references, generated
 * keys, accessors and handlers would have to be written once more over it, and would be right when they are the same by luck. Here the
 * transactions of a fork are those of the engine.
 */
import { SluiceError } from '../base/errors.js'
import type { Program } from '../schema/descriptor.js'
import { flagDeleted } from './domain.js'
import { boundsOfLeading, type Bounds } from './range-bounds.js'
import type { PlainRow } from './row-codec.js'
import type { SnapshotView } from './snapshot-view.js'
import { Store, type StorePlan } from './store.js'
import type { TablePart, TableStore, TreePlan } from './table-store.js'

export const flagUnknown = 4
export const flagStale = 8

/** The rows that a fork began with. `own`: names of tables that it begins without. */
export class ForkBase {
  readonly view: SnapshotView
  readonly #own: ReadonlySet<string>

  constructor(view: SnapshotView, own: ReadonlySet<string>) {
    this.view = view
    this.#own = own
  }

  has(table: TableStore): boolean {
    return !this.#own.has(table.name)
  }
  get(table: TableStore, key: unknown): PlainRow | undefined {
    return this.has(table) ? this.view.get(this.#tableOf(table), key) : undefined
  }
  count(table: TableStore): number {
    return this.has(table) ? this.view.count(this.#tableOf(table)) : 0
  }
  all(table: TableStore): Iterable<PlainRow> {
    return this.has(table) ? this.view.all(this.#tableOf(table)) : []
  }
  rowsIn(table: TableStore, plan: TreePlan, bounds: Bounds): Iterable<PlainRow> {
    if (!this.has(table)) return []
    const there = this.#tableOf(table)
    return this.view.rowsIn(there, there.trees[plan.ordinal]!, bounds)
  }

  /** Both stores are of one program. */
  #tableOf(table: TableStore): TableStore {
    return this.view.store.tables[table.ordinal]!
  }
}

export class ForkStore extends Store {
  readonly base: ForkBase
  /** By table: how many rows were brought over, those of transactions that were undone included. */
  readonly #brought: number[]
  readonly #flags: Int32Array

  constructor(program: Program, plan: StorePlan, seat: number, base: ForkBase) {
    super(program, plan, seat)
    this.base = base
    this.#brought = this.tables.map(() => 0)
    this.#flags = this.region.i32
  }

  /** The row of the staged key is known. */
  isKnown(row: number): boolean {
    return row !== 0 && (this.#flags[row * 2 + 3]! & flagUnknown) === 0
  }
  /** A row that is not known holds what the base has. */
  isWhole(row: number): boolean {
    return row !== 0 && (this.#flags[row * 2 + 3]! & flagStale) === 0
  }
  /** The base has been asked, and has none. */
  noteAbsent(row: number): void {
    if (row !== 0) this.#flags[row * 2 + 3]! &= ~(flagUnknown | flagStale)
  }
  noteBrought(table: TableStore): void {
    this.#brought[table.ordinal]! += 1
  }
  /** At most so many rows of the base are known here. */
  broughtOf(table: TableStore): number {
    return this.#brought[table.ordinal]!
  }

  /** Bounds under which the base has at least as many rows that are not known here as were asked for. */
  boundsInBase(table: TableStore, bounds: Bounds): Bounds {
    return { ...bounds, limit: bounds.limit + this.broughtOf(table) }
  }
  boundsOfUnique(plan: TreePlan, values: readonly unknown[]): Bounds {
    return boundsOfLeading(plan, values)
  }

  /** K1. */
  override retireRow(part: TablePart, row: number): void {
    if (!this.base.has(part.table)) super.retireRow(part, row)
  }

  /** R36: rows of the batch are deleted ones, whose content nobody has put back. */
  override rollback(): void {
    for (const domain of this.domains) {
      domain.rollback((row) => {
        this.#flags[row * 2 + 3] = this.#flags[row * 2 + 3]! | flagDeleted | flagUnknown | flagStale
      })
    }
  }
}

/** What a fork cannot be asked. */
export const notInForks = (what: string): SluiceError => SluiceError.of('INVALID_USE', `${what} is not offered by a fork: fork the position that you want to see, or ask the database.`)
