/**
 * What the cross-partition lane of a batch has written so far: a speculated run is stale when it read any of it.
 *
 * Rows and keys that had none, with groups of columns (store/column-groups.ts), go into one map. Keys that entered or left a tree
 * are kept, sorted, for those trees only of which a run of this batch has read a range.
 *
 * Everything is taken from the journal of a transaction that has just committed, whichever way it ran.
 */
import { StampedMap } from '../base/stamped-map.js'
import { compareKeys } from '../schema/key-codec.js'
import type { SpeculationEntry } from '../shared/speculation-log.js'
import { absentKey, wholeRow } from '../store/column-groups.js'
import { flagDeleted } from '../store/domain.js'
import type { Store } from '../store/store.js'
import { type Journal, opInts, opKind } from './journal.js'
import { rangeHeadInts } from './read-set.js'

const treesPerTableMax = 1_024
const treeOf = (table: number, tree: number): number => table * treesPerTableMax + tree

export class WrittenSet {
  readonly #store: Store
  readonly #groups = new StampedMap(1_024)
  /** By tree that somebody reads ranges of: keys in order. */
  readonly #keys = new Map<number, Uint8Array[]>()

  constructor(store: Store) {
    this.#store = store
  }

  begin(): void {
    this.#groups.clear()
    this.#keys.clear()
  }

  /** Keys of the trees that these ranges are about will be kept. */
  expectRanges(words: Int32Array, entry: SpeculationEntry): void {
    for (let at = entry.rangesAt; at < entry.rangesEnd; at += words[at]!) {
      const tree = treeOf(words[at + 1]!, words[at + 2]!)
      if (!this.#keys.has(tree)) this.#keys.set(tree, [])
    }
  }

  /** What a transaction has written that has just committed. */
  note(journal: Journal): void {
    const { ops, images } = journal
    const { i32 } = this.#store.region
    for (let at = 0; at < journal.length; at += opInts) {
      const table = this.#store.tables[ops[at + 1]!]!
      const row = ops[at + 3]!
      switch (ops[at]) {
        case opKind.touched:
        case opKind.touchedFirst: {
          // The row as the transaction found it: an image of the journal, or the version that was saved for the batch.
          const isVersion = ops[at] === opKind.touchedFirst
          const before = isVersion ? i32 : images
          const from = isVersion ? ops[at + 4]! * 2 : ops[at + 4]! - 3
          const isMoved = ((before[from + 3]! ^ i32[row * 2 + 3]!) & flagDeleted) !== 0
          const groups = isMoved ? wholeRow : table.groups.changed(before, from, i32, row * 2)
          if (groups !== 0) this.#groups.add(row, groups)
          // The deleted row may be what an insert of this lane has left that was undone: the runs have seen no row, but an absent key.
          if (isMoved && (before[from + 3]! & flagDeleted) !== 0) this.#groups.add(absentKey(table.ordinal, table.key.hashOfRow(row)), wholeRow)
          break
        }
        case opKind.inserted:
          this.#groups.add(row, wholeRow)
          this.#groups.add(absentKey(table.ordinal, table.key.hashOfRow(row)), wholeRow)
          break
        case opKind.treeInserted:
        case opKind.treeRemoved: {
          const keys = this.#keys.get(treeOf(table.ordinal, ops[at + 3]!))
          if (keys === undefined) break
          const tree = table.part(ops[at + 2]!).trees[ops[at + 3]!]!
          const key = tree.keyOf(ops[at] === opKind.treeInserted ? ops[at + 4]! : tree.recordOf(ops[at + 4]!))
          keys.splice(placeIn(keys, key), 0, key)
          break
        }
      }
    }
  }

  /** A run with these reads would end otherwise now, or might. */
  isStale(words: Int32Array, bytes: Uint8Array, entry: SpeculationEntry): boolean {
    if (this.#groups.size > 0) {
      for (let n = 0, at = entry.readsAt; n < entry.reads; n += 1, at += 2) {
        if ((this.#groups.get(words[at]!) & words[at + 1]!) !== 0) return true
      }
    }
    for (let at = entry.rangesAt; at < entry.rangesEnd; at += words[at]!) if (this.#isEntered(words, bytes, at)) return true
    return false
  }

  #isEntered(words: Int32Array, bytes: Uint8Array, at: number): boolean {
    const keys = this.#keys.get(treeOf(words[at + 1]!, words[at + 2]!))!
    if (keys.length === 0) return false
    const fromBytes = words[at + 3]!
    const toBytes = words[at + 4]!
    const fromAt = (at + rangeHeadInts) * 4
    const first = fromBytes < 0 ? 0 : placeIn(keys, bytes.subarray(fromAt, fromAt + fromBytes))
    if (first === keys.length) return false
    if (toBytes < 0) return true
    const toAt = fromAt + (fromBytes < 0 ? 0 : (fromBytes + 3) & ~3)
    const order = compareKeys(keys[first]!, bytes.subarray(toAt, toAt + toBytes))
    return order < 0 || (order === 0 && words[at + 5] !== 0)
  }
}

/** Where a key is, or would be. */
function placeIn(keys: readonly Uint8Array[], key: Uint8Array): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareKeys(keys[middle]!, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}
