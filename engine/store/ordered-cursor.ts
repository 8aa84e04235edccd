/**
 * A cursor over one tree of an ordered index: the rows of a range of keys, in either direction.
 *
 * It is made once and reused, and allocates nothing per row. Pages are copied on write, so leaves cannot be chained: the cursor
 * keeps the way from the root instead. Both ends of the range are looked up first; what lies between needs no comparison.
 *
 * A root from `rootAt` stays as it is while the snapshot is held. A root from `rootNow` is good until the next change of
 * the tree: scans in a lane gather before anything else runs (R23).
 *
 * Snapshots expire (R15): with a guard, the cursor asks after every page whether what it has read was still its own.
 */
import { assert } from '../base/assert.js'
import type { Region } from '../shared/region.js'
import {
  bytesAt, childIndex, compareRecord, countOf, firstOffset, isAt, levelOf, lowerBound, prefixOf, recordLength, secondOffset,
} from './ordered-page.js'

const levelsMax = 16

/** Throws SNAPSHOT_TOO_OLD when the snapshot that is being read has been taken away. */
export interface SnapshotGuard {
  check(): void
}

/** Keys from `from` (or the first) to before `to` (or the end). The keys are only looked at during `seek`. */
export interface KeyRange {
  readonly from: Uint8Array | undefined
  readonly fromLength: number
  /** Leave out `from` itself: to go on behind a known key. */
  readonly fromExclusive: boolean
  readonly to: Uint8Array | undefined
  readonly toLength: number
  readonly reverse: boolean
}

export const everything: KeyRange = { from: undefined, fromLength: 0, fromExclusive: false, to: undefined, toLength: 0, reverse: false }

const none = new Uint8Array(0)

export class Cursor {
  readonly region: Region
  readonly #i32: Int32Array
  readonly #pages = new Int32Array(levelsMax)
  readonly #taken = new Int32Array(levelsMax)
  #guard: SnapshotGuard | undefined
  /** Where the entry that `next` answered stands, as an Int32 index; 0 before the first and after the last. */
  #current = 0
  #reverse = false
  /** Levels above the leaves. */
  #depth = 0
  #leaf = 0
  /** The next entry, and where this leaf ends: behind the last one forward, before the first one in reverse. */
  #index = 0
  #end = 0
  /** The leaf in which the range ends, and where. */
  #lastLeaf = 0
  #lastEnd = 0

  constructor(region: Region) {
    this.region = region
    this.#i32 = region.i32
  }

  /** Stands before the first row of a range. */
  seek(root: number, range: KeyRange, guard?: SnapshotGuard): void {
    this.#current = 0
    this.#guard = guard
    this.#reverse = range.reverse
    this.#leaf = 0
    this.#index = this.#end = 0
    if (root === 0) return
    if (range.from !== undefined && range.to !== undefined && !isBelow(range.from, range.fromLength, range.to, range.toLength)) return
    this.#depth = levelOf(this.#i32, root)
    assert(this.#depth < levelsMax, 'a tree is never so high')
    if (range.reverse) {
      this.#lastEnd = this.#descendToFrom(root, range) - 1
      this.#lastLeaf = this.#leaf
      this.#index = this.#descendToEnd(root, range) - 1
    } else {
      this.#lastEnd = this.#descendToEnd(root, range)
      this.#lastLeaf = this.#leaf
      this.#index = this.#descendToFrom(root, range)
    }
    this.#open()
  }

  /**
   * The record of the row that `next` answered: its key; 0 if there is none. Looked up when asked, so that a scan that only
   * wants rows leaves these cache lines alone.
   */
  get record(): number {
    return this.#current === 0 ? 0 : this.#i32[this.#current + firstOffset]!
  }

  /** The address of the next row, or 0. */
  next(): number {
    while (this.#index === this.#end) if (!this.#turn()) return 0
    const at = this.#leaf * 2 + this.#index
    this.#index += this.#reverse ? -1 : 1
    this.#current = at
    return this.#i32[at + secondOffset]!
  }

  /** Appends the next rows to `out`, at most `limit`; answers how many. */
  gather(limit: number, out: number[]): number {
    const i32 = this.#i32
    const step = this.#reverse ? -1 : 1
    let left = limit
    while (left > 0) {
      if (this.#index === this.#end) {
        if (!this.#turn()) break
        continue
      }
      const entries = Math.min(left, (this.#end - this.#index) * step)
      const rows = this.#leaf * 2 + secondOffset
      let index = this.#index
      for (let n = 0; n < entries; n += 1, index += step) out.push(i32[rows + index]!)
      this.#index = index
      left -= entries
    }
    return limit - left
  }

  #descendToFrom(root: number, range: KeyRange): number {
    const { from, fromLength } = range
    const leaf = this.#descend(root, from ?? none, from === undefined ? 0 : fromLength)
    if (from === undefined) return 0
    const index = lowerBound(this.region, leaf, from, 0, fromLength)
    return range.fromExclusive && isAt(this.region, leaf, index, from, 0, fromLength) ? index + 1 : index
  }

  #descendToEnd(root: number, range: KeyRange): number {
    const { to, toLength } = range
    if (to !== undefined) return lowerBound(this.region, this.#descend(root, to, toLength), to, 0, toLength)
    let page = root
    for (let d = 0; d < this.#depth; d += 1) {
      const last = countOf(this.#i32, page) - 1
      this.#pages[d] = page
      this.#taken[d] = last
      page = this.#child(page, last, d)
    }
    this.#leaf = page
    return countOf(this.#i32, page)
  }

  #descend(root: number, key: Uint8Array, length: number): number {
    const prefix = prefixOf(key, 0, length, 0)
    let page = root
    for (let d = 0; d < this.#depth; d += 1) {
      const index = childIndex(this.region, page, prefix, key, 0, length)
      this.#pages[d] = page
      this.#taken[d] = index
      page = this.#child(page, index, d)
    }
    this.#leaf = page
    return page
  }

  #child(page: number, index: number, depth: number): number {
    const child = this.#i32[page * 2 + secondOffset + index]!
    const level = levelOf(this.#i32, child)
    this.#guard?.check()
    assert(level === this.#depth - depth - 1, 'a child is one level below its page')
    return child
  }

  /** Sets the end of the leaf that has just been entered. */
  #open(): void {
    if (this.#leaf === this.#lastLeaf) this.#end = this.#lastEnd
    else this.#end = this.#reverse ? -1 : countOf(this.#i32, this.#leaf)
  }

  /** Enters the next leaf of the range; false when there is none. */
  #turn(): boolean {
    if (this.#leaf === this.#lastLeaf || this.#leaf === 0) {
      this.#current = 0
      this.#leaf = 0
      this.#index = this.#end = 0
      return false
    }
    const i32 = this.#i32
    let d = this.#depth - 1
    if (this.#reverse) {
      while (this.#taken[d] === 0) d -= 1
      this.#taken[d]! -= 1
    } else {
      while (this.#taken[d]! + 1 === countOf(i32, this.#pages[d]!)) d -= 1
      this.#taken[d]! += 1
    }
    for (;;) {
      const page = this.#child(this.#pages[d]!, this.#taken[d]!, d)
      d += 1
      if (d === this.#depth) {
        this.#leaf = page
        break
      }
      this.#pages[d] = page
      this.#taken[d] = this.#reverse ? countOf(i32, page) - 1 : 0
    }
    this.#index = this.#reverse ? countOf(i32, this.#leaf) - 1 : 0
    this.#open()
    return true
  }
}

const isBelow = (a: Uint8Array, aLength: number, b: Uint8Array, bLength: number): boolean => {
  for (let n = 0; n < aLength && n < bLength; n += 1) if (a[n] !== b[n]) return a[n]! < b[n]!
  return aLength < bLength
}

/** The order of the keys that two cursors of one region stand on: to merge partitions (R20). Both have a row. */
export function compareCursors(a: Cursor, b: Cursor): number {
  const { region } = b
  return compareRecord(region, a.record, region.windowOf(b.record), bytesAt(b.record), recordLength(region.i32, b.record), 0)
}
