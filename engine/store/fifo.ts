/**
 * A first-in-first-out log in the region: undo images, retired things and batch marks are three of them.
 *
 * Segments are chained; records never cross one. Appending bumps the head; `cut` gives whole segments back once everything
 * in them is below a position. Positions are plain addresses: (segment, address inside it).
 *
 *   state (3 words)   i32: headSegment, head, headEnd, tailSegment, tail, spare
 *   segment           i32: next segment, words, where its records end once it is full, spare | records ...
 *
 * Everything is a word of the region (R3): another thread can go on where this one died.
 */
import { assert } from '../base/assert.js'
import type { Region } from '../shared/region.js'

export const fifoStateWords = 3
const headSegmentAt = 0
const headAt = 1
const headEndAt = 2
const tailSegmentAt = 3
const tailAt = 4
const segmentHeaderWords = 2

/** Where segments come from and go to. */
export interface SegmentSource {
  takeSegment(wordsAtLeast: number): { readonly address: number; readonly words: number }
  giveSegment(address: number, words: number): void
}

export class Fifo {
  readonly #i32: Int32Array
  readonly #state: number
  readonly #source: SegmentSource

  constructor(region: Region, stateAddress: number, source: SegmentSource) {
    this.#i32 = region.i32
    this.#state = stateAddress * 2
    this.#source = source
  }

  /** Makes sure that the next `append` of at most `words` cannot fail (R5). May throw out-of-space, before any change. */
  reserve(words: number): void {
    if (this.#i32[this.#state + headEndAt]! - this.#i32[this.#state + headAt]! < words) this.#takeSegment(words)
  }

  /** Apart, so that the question stays small enough to be inlined wherever it is asked. */
  #takeSegment(words: number): void {
    const i32 = this.#i32
    const segment = this.#source.takeSegment(words + segmentHeaderWords)
    i32[segment.address * 2] = 0
    i32[segment.address * 2 + 1] = segment.words
    i32[segment.address * 2 + 2] = 0
    const last = i32[this.#state + headSegmentAt]!
    if (last === 0) {
      i32[this.#state + tailSegmentAt] = segment.address
      i32[this.#state + tailAt] = segment.address + segmentHeaderWords
    } else {
      i32[last * 2 + 2] = i32[this.#state + headAt]!
      i32[last * 2] = segment.address
    }
    i32[this.#state + headSegmentAt] = segment.address
    i32[this.#state + headAt] = segment.address + segmentHeaderWords
    i32[this.#state + headEndAt] = segment.address + segment.words
  }

  /** The address of `words` new words at the head. */
  append(words: number): number {
    this.reserve(words)
    const at = this.#i32[this.#state + headAt]!
    this.#i32[this.#state + headAt] = at + words
    return at
  }

  get headSegment(): number {
    return this.#i32[this.#state + headSegmentAt]!
  }
  get head(): number {
    return this.#i32[this.#state + headAt]!
  }
  get tailSegment(): number {
    return this.#i32[this.#state + tailSegmentAt]!
  }
  get tail(): number {
    return this.#i32[this.#state + tailAt]!
  }

  /** Forgets what was appended after a position taken earlier; newer segments are given up until the log passes them. */
  rewindTo(segment: number, at: number): void {
    if (segment === 0) {
      // The log was empty then: everything in it goes, the first segment stays for reuse.
      const first = this.tailSegment
      if (first === 0) return
      segment = first
      at = first + segmentHeaderWords
    }
    const i32 = this.#i32
    let next = i32[segment * 2]!
    i32[segment * 2] = 0
    i32[this.#state + headSegmentAt] = segment
    i32[this.#state + headAt] = at
    i32[this.#state + headEndAt] = segment + i32[segment * 2 + 1]!
    while (next !== 0) {
      const after = i32[next * 2]!
      this.#source.giveSegment(next, i32[next * 2 + 1]!)
      next = after
    }
  }

  /**
   * Visits fixed-size records from the tail to a position and drops them; whole segments go back to the source.
   * `visit` may append to this log: what it appends lies behind `untilAt`. A log never gives up its only segment, so
   * `untilSegment` is on the chain or the log is empty.
   */
  drain(untilSegment: number, untilAt: number, recordWords: number, visit: (record: number) => void): void {
    const i32 = this.#i32
    for (;;) {
      const segment = this.tailSegment
      if (segment === 0) return
      const end = segment === untilSegment ? untilAt : this.#usedEnd(segment)
      // The tail moves before the visit: whoever dies or throws in it leaks one record and frees none twice.
      for (let at = this.tail; at < end; at += recordWords) {
        i32[this.#state + tailAt] = at + recordWords
        visit(at)
      }
      if (segment === untilSegment) return
      this.#dropTailSegment(segment)
    }
  }

  /** Drops everything up to a position without looking at it; answers how many words of records that were. */
  cut(untilSegment: number, untilAt: number): number {
    let dropped = 0
    for (;;) {
      const segment = this.tailSegment
      if (segment === 0) return dropped
      if (segment === untilSegment) break
      dropped += this.#usedEnd(segment) - this.tail
      this.#dropTailSegment(segment)
    }
    dropped += untilAt - this.tail
    this.#i32[this.#state + tailAt] = untilAt
    return dropped
  }

  /** Visits every record between two positions; the visitor answers how many words the record has. */
  walk(fromSegment: number, fromAt: number, visit: (record: number) => number): void {
    let segment = fromSegment === 0 ? this.tailSegment : fromSegment
    let at = fromSegment === 0 ? segment + segmentHeaderWords : fromAt
    while (segment !== 0) {
      const end = segment === this.headSegment ? this.head : this.#usedEnd(segment)
      while (at < end) at += visit(at)
      if (segment === this.headSegment) return
      segment = this.#i32[segment * 2]!
      at = segment + segmentHeaderWords
    }
  }

  /** Where the records of a segment behind the head end; what did not fit went to the next one. */
  #usedEnd(segment: number): number {
    return this.#i32[segment * 2 + 2]!
  }

  #dropTailSegment(segment: number): void {
    const i32 = this.#i32
    const next = i32[segment * 2]!
    assert(next !== 0, 'a position lies on the chain of segments')
    i32[this.#state + tailSegmentAt] = next
    i32[this.#state + tailAt] = next + segmentHeaderWords
    this.#source.giveSegment(segment, i32[segment * 2 + 1]!)
  }
}
