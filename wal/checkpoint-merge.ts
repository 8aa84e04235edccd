/**
 * Brings sorted changes into blocks. The same for every checkpoint: an implementation says where blocks are and takes new ones.
 *
 * Every change belongs to the range of one block, from its fence to the next one. The rows of that block and the changes of its range
 * are merged and cut into blocks again. When deletions leave less than a quarter of a block, the next block joins in; an empty one
 * always does, and what comes of both keeps the first fence. So the empty fence goes last of all (K5).
 */
import {
  blockBytesMax,
  blockHeadBytes,
  BlockAssembler,
  compareBytes,
  isDeletion,
  keyBytesAt,
  keyOffset,
  recordEnd,
  WordBuffer,
} from './checkpoint-blocks.js'
import type { SortedChanges } from './checkpoint-changes.js'

const joinBelowBytes = blockBytesMax / 4

/** The keys from a fence up to the next one. */
export interface BlockRange {
  readonly fence: Uint8Array
  /** The next fence; undefined behind the last block. */
  readonly upper: Uint8Array | undefined
  /** Whether there is a block: there is, unless there are no rows at all (K5). */
  readonly exists: boolean
}

export interface BlockMap {
  /** The range of a key. Keys come in ascending order, each above the last range. */
  find(bytes: Uint8Array, keyAt: number, keyBytes: number): BlockRange
  /** The range that begins at `upper`. */
  after(range: BlockRange): BlockRange
  /** Reads the block of a range and answers its length; it is one that a checked `RowBlock` would read. */
  load(range: BlockRange, into: WordBuffer): number
  /** Fences come in ascending order; a block at a fence that has one takes its place. */
  put(fence: Uint8Array, block: Uint8Array): void
  remove(range: BlockRange): void
}

export class Merge {
  readonly #map: BlockMap
  readonly #assembler: BlockAssembler
  readonly #base = new WordBuffer()
  /** Of the range that is being merged: whether its fence has got a block, and what happened to its rows. */
  #fenceIsWritten = false
  #hasDeleted = false
  #hasInserted = false
  #rows = 0

  constructor(map: BlockMap) {
    this.#map = map
    this.#assembler = new BlockAssembler((fence, block) => {
      this.#fenceIsWritten = true
      this.#map.put(fence, block)
    })
  }

  /** Applies all changes and answers by how many rows the checkpoint has grown. */
  apply(changes: SortedChanges): number {
    const { bytes, words } = changes.buffer
    this.#rows = 0
    for (let index = 0; index < changes.count; ) {
      const at = changes.places[index]!
      let range = this.#map.find(bytes, keyOffset(words, at), keyBytesAt(words, at))
      const first = range
      this.#assembler.begin(range.fence)
      this.#fenceIsWritten = this.#hasDeleted = this.#hasInserted = false
      index = this.#mergeRange(changes, index, range, false)
      while (this.#hasDeleted && this.#assembler.bytes < joinBelowBytes && range.upper !== undefined) {
        range = this.#map.after(range)
        index = this.#mergeRange(changes, index, range, true)
      }
      this.#assembler.end({ balanced: this.#hasInserted })
      if (first.exists && !this.#fenceIsWritten) this.#map.remove(first)
    }
    return this.#rows
  }

  /** Merges the block of a range with its changes, from `index` on. Answers the index of the first change behind the range. */
  #mergeRange(changes: SortedChanges, index: number, range: BlockRange, joins: boolean): number {
    const { places, buffer } = changes
    const { bytes, words } = buffer
    const base = this.#base
    const length = range.exists ? this.#map.load(range, base) : blockHeadBytes
    const { upper } = range
    // Before anything is put: a new block may get the fence of the one that joins in.
    if (joins) this.#map.remove(range)

    let at = blockHeadBytes
    let run = at
    let runLast = at
    let runCount = 0
    for (; index < places.length; index += 1) {
      const change = places[index]!
      const key = keyOffset(words, change)
      const keyBytes = keyBytesAt(words, change)
      if (upper !== undefined && compareBytes(bytes, key, keyBytes, upper, 0, upper.length) >= 0) break

      let order = 1
      while (at < length) {
        order = compareBytes(base.bytes, keyOffset(base.words, at), keyBytesAt(base.words, at), bytes, key, keyBytes)
        if (order >= 0) break
        runLast = at
        runCount += 1
        at = recordEnd(base.words, at)
      }
      if (runCount > 0) this.#assembler.add(base, run, at, runLast, runCount)
      runCount = 0
      const isThere = at < length && order === 0
      if (isThere) {
        at = recordEnd(base.words, at)
        this.#rows -= 1
      }
      run = at
      if (isDeletion(words, change)) {
        this.#hasDeleted ||= isThere
      } else {
        this.#rows += 1
        this.#hasInserted ||= !isThere && at < length
        this.#assembler.add(buffer, change, recordEnd(words, change), change, 1)
      }
    }
    while (at < length) {
      runLast = at
      runCount += 1
      at = recordEnd(base.words, at)
    }
    if (runCount > 0) this.#assembler.add(base, run, length, runLast, runCount)
    base.release()
    return index
  }
}
