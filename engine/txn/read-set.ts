/**
 * What a speculated run has read: rows and absent keys with groups of columns (store/column-groups.ts), and ranges of trees.
 *
 *   read    place (the address of a row, or what stands for an absent key), groups
 *   range   ints in all, table, tree, bytes of `from`, bytes of `to`, whether `to` itself belongs to it, then the bytes of both, each padded
 *           to 4; -1 bytes: no bound. Keys of all partitions: those of one that was not read lie elsewhere, or are no harm
 *
 * A range reads which keys there are. What stands in the rows is read one by one, and an empty range is a read as well.
 */
import type { Gathered } from '../shared/speculation-log.js'

export const rangeHeadInts = 6

/** Int32s that grow. */
export class IntList implements Gathered {
  words: Int32Array<ArrayBuffer>
  bytes: Uint8Array
  length = 0

  constructor(capacity: number) {
    this.words = new Int32Array(capacity)
    this.bytes = new Uint8Array(this.words.buffer)
  }

  /** Room for so many more; answers where they begin. */
  take(ints: number): number {
    const at = this.length
    if (at + ints > this.words.length) {
      const larger = new Int32Array(Math.max(this.words.length * 2, at + ints))
      larger.set(this.words)
      this.words = larger
      this.bytes = new Uint8Array(larger.buffer)
    }
    this.length = at + ints
    return at
  }
}

/** One end of a range. */
export interface RangeEnd {
  readonly bytes: Uint8Array
  readonly length: number
}

export class ReadSet {
  readonly reads = new IntList(256)
  readonly ranges = new IntList(64)

  clear(): void {
    this.reads.length = 0
    this.ranges.length = 0
  }

  /** Answers the read, to be widened. */
  note(place: number, groups: number): number {
    const at = this.reads.take(2)
    this.reads.words[at] = place
    this.reads.words[at + 1] = groups
    return at
  }

  widen(read: number, groups: number): void {
    const { words } = this.reads
    words[read + 1] = words[read + 1]! | groups
  }

  noteRange(table: number, tree: number, from: RangeEnd | undefined, to: RangeEnd | undefined, withTo: boolean): void {
    const fromInts = from === undefined ? 0 : (from.length + 3) >>> 2
    const toInts = to === undefined ? 0 : (to.length + 3) >>> 2
    const ints = rangeHeadInts + fromInts + toInts
    const at = this.ranges.take(ints)
    const { words, bytes } = this.ranges
    words[at] = ints
    words[at + 1] = table
    words[at + 2] = tree
    words[at + 3] = from === undefined ? -1 : from.length
    words[at + 4] = to === undefined ? -1 : to.length
    words[at + 5] = withTo ? 1 : 0
    if (from !== undefined) copy(from, bytes, (at + rangeHeadInts) * 4)
    if (to !== undefined) copy(to, bytes, (at + rangeHeadInts + fromInts) * 4)
  }
}

function copy(end: RangeEnd, into: Uint8Array, at: number): void {
  for (let n = 0; n < end.length; n += 1) into[at + n] = end.bytes[n]!
}
