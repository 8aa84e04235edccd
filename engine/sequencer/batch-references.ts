/**
 * References of strength `batch`, looked at when a batch has run and before it is sealed (R62).
 *
 * What counts is what the batch as a whole has done: a row that it leaves there and that refers to another one than before finds it; a
 * row that it took away is referred to by nobody. Which rows these can be stands in the logs of the lanes; what they were before is the version
 * that the batch has saved of them, so a row that ends as it began is nothing to look at.
 *
 * The look is at the state of the end, whoever ran the lanes, so the answer is the same for any number of workers. It decides, and blames
 * nobody: others may have read what a transaction wrote. If something does not hold, the batch is rolled back and runs once more, with every
 * transaction proving these references at its own end; then there is nothing left to find here.
 *
 * Rows are found by the cells of their images (row-loader-compile.ts), so changes of other tables cost the look at one number.
 */
import { assert } from '../base/assert.js'
import { SluiceError } from '../base/errors.js'
import type { LaneLog, LanePiece } from '../shared/lane-log.js'
import { changeInts, newPiece } from '../shared/lane-log.js'
import { flagDeleted } from '../store/domain.js'
import { ForkStore } from '../store/fork-store.js'
import { boundsOfLeading } from '../store/range-bounds.js'
import { compileImageReader, type ImageReader } from '../store/row-loader-compile.js'
import type { Store } from '../store/store.js'
import type { Reference, TableStore } from '../store/table-store.js'
import { changeKind } from '../txn/row-writer.js'
import { hasStanding, standingReferrers } from '../txn/standing-referrers.js'

interface WatchedTable {
  readonly table: TableStore
  readonly reader: ImageReader
  readonly refersTo: readonly Reference[]
  readonly referredBy: readonly Reference[]
}

const isOfBatch = ({ strength }: Reference): boolean => strength === 'batch'

export class BatchReferences {
  readonly #store: Store
  readonly #logs: readonly LaneLog[]
  /** By ordinal; undefined: nothing to look at. */
  readonly #watched: readonly (WatchedTable | undefined)[]
  readonly #piece: LanePiece = newPiece()
  readonly #place = new Int32Array(1)
  readonly #partition = new Int32Array(1)
  readonly #hash = new Int32Array(1)

  /** Undefined where no table has such a reference. */
  static of(store: Store, logs: readonly LaneLog[]): BatchReferences | undefined {
    return store.references.ofBatch.length === 0 ? undefined : new BatchReferences(store, logs)
  }

  constructor(store: Store, logs: readonly LaneLog[]) {
    this.#store = store
    this.#logs = logs
    const watched: (WatchedTable | undefined)[] = store.tables.map(() => undefined)
    for (const table of store.references.ofBatch) {
      watched[table.ordinal] = { table, reader: compileImageReader(table), refersTo: table.declaredTo.filter(isOfBatch), referredBy: table.declaredBy.filter(isOfBatch) }
    }
    this.#watched = watched
  }

  /** All of them hold, as the lanes of this batch have left the rows. */
  hold(batch: number): boolean {
    const piece = this.#piece
    for (const log of this.#logs) {
      for (let lane = 0; lane < log.lanes; lane += 1) {
        log.piece(lane, piece)
        for (let n = 0, at = piece.changesAt * changeInts; n < piece.changes; n += 1, at += changeInts) {
          const watched = this.#watched[log.changes[at]!]
          if (watched !== undefined && !this.#holdsFor(watched, log, piece.bytesAt, at, batch)) return false
        }
      }
    }
    return true
  }

  #holdsFor(watched: WatchedTable, log: LaneLog, bytesAt: number, change: number, batch: number): boolean {
    const isDelete = log.changes[change + 1] === changeKind.delete
    if ((isDelete ? watched.referredBy : watched.refersTo).length === 0) return true
    const row = this.#rowOf(watched, log, bytesAt + log.changes[change + (isDelete ? 4 : 2)]!)
    const { i32, f64 } = this.#store.region
    assert(f64[row] === batch, 'a row that a batch has changed is of that batch')
    const before = i32[row * 2 + 2]!
    const wasThere = before !== 0 && (i32[before * 2 + 3]! & flagDeleted) === 0
    if (this.#store.isLive(row)) return isDelete || watched.refersTo.every((reference) => this.#finds(reference, row, wasThere ? before : 0))
    // A fork has brought it over in this batch: no version of before says that the base has it.
    const mayHaveBeen = wasThere || this.#store instanceof ForkStore
    return !isDelete || !mayHaveBeen || watched.referredBy.every((reference) => this.#isFree(reference, row))
  }

  /** `before`: the version of the row before the batch, or 0. */
  #finds({ child, on, groups, parent }: Reference, row: number, before: number): boolean {
    const { i32 } = this.#store.region
    if (before !== 0 && (child.groups.changed(i32, before * 2, i32, row * 2) & groups) === 0) return true
    const values = on.map((column) => child.codec.readers[column]!(row))
    return values.includes(null) || hasStanding(parent, values)
  }

  #isFree(reference: Reference, row: number): boolean {
    const { parent } = reference
    const values = parent.descriptor.key.map((column) => parent.codec.readers[column]!(row))
    return standingReferrers(reference, values, 1).length === 0 && !this.#mayHaveInBase(reference, values)
  }

  /** Of a fork: rows that refer may be none that it knows. With every transaction proving its references they are brought over, and that decides. */
  #mayHaveInBase({ child, tree, places }: Reference, values: readonly unknown[]): boolean {
    const store = this.#store
    if (!(store instanceof ForkStore)) return false
    const bounds = boundsOfLeading(tree, places.map((place) => values[place]))
    try {
      for (const _row of store.base.rowsIn(child, tree, bounds)) return true
    } catch (error) {
      if (SluiceError.is(error)) return true // the base was given up: so hears who looks in a transaction
      throw error
    }
    return false
  }

  /** The row whose image begins at a byte of the log. Nothing that the batch touched has left the hash index yet. */
  #rowOf({ table, reader }: WatchedTable, log: LaneLog, image: number): number {
    const w = image >>> 2
    this.#place[0] = w
    reader.place(log.byteWords, log.bytes, this.#place, 1, this.#partition, this.#hash)
    const { hash } = table.part(this.#partition[0]!)
    const sought = this.#hash[0]!
    let row = hash.seek(sought)
    while (row !== 0 && !reader.equals(log.byteWords, w, row * 2)) row = hash.seekNext(sought)
    return row
  }
}
