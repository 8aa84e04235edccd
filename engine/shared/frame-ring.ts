/**
 * Sealed frames: from the sequencer to the log thread, and to everybody who follows the newest part of the log.
 *
 *   entry (8-byte aligned, counters in words)
 *     i32  words in all, body bytes (0: filler, -1: the body stands in the overflow buffer)
 *     f64  batch | f64 previous batch with a frame | f64 now | i32 records, spare
 *     body
 *
 * Invariants:
 *   F1  The sequencer raises `frameTail` before it overwrites an entry, and never past what the log thread has written.
 *   F2  A follower copies a body and then looks at `frameTail` again: a copy whose entry was overwritten is thrown away.
 *   F3  A frame that is longer than half the ring, or does not fit before what the log thread has still to write, stands in the
 *       overflow buffer. There is one at a time: the next waits until it is written (`aheadBytes`), and takes it from followers
 *       by raising `frameTail` past it.
 */
import { assert } from '../base/assert.js'
import type { Control } from './control.js'

export const frameHeaderWords = 5
const inOverflow = -1

export interface FrameEntry {
  batch: number
  previous: number
  now: number
  records: number
  /** The body: a view of the ring or of the overflow buffer. */
  body: Uint8Array
  /** The counter behind the entry. */
  next: number
}

export interface FrameHeader {
  /** The counters of the entry and of what comes behind it. */
  at: number
  next: number
  batch: number
  now: number
  records: number
}

export class FrameRing {
  /** Grows when an erasure has rewritten frames in their places; of the thread that does it, which is that of whoever follows. */
  erasures = 0
  readonly buffer: SharedArrayBuffer
  readonly overflow: SharedArrayBuffer
  readonly bytes: Uint8Array
  readonly i32: Int32Array
  readonly #f64: Float64Array
  readonly #overflowBytes: Uint8Array
  readonly #control: Control
  readonly #words: number
  #head: number
  #reservedAt = 0
  #reservedWords = 0
  #reservedInOverflow = false
  /** The counter behind the newest entry whose body stands in the overflow buffer. */
  #overflowEnd: number

  /** The buffer may be longer than the ring. */
  constructor(buffer: SharedArrayBuffer, overflow: SharedArrayBuffer, control: Control, size = buffer.byteLength) {
    this.buffer = buffer
    this.overflow = overflow
    this.bytes = new Uint8Array(buffer, 0, size)
    this.i32 = new Int32Array(buffer, 0, size / 4)
    this.#f64 = new Float64Array(buffer, 0, size / 8)
    this.#overflowBytes = new Uint8Array(overflow)
    this.#control = control
    this.#words = this.#f64.length
    assert((this.#words & (this.#words - 1)) === 0, 'a ring is a power of two')
    this.#head = control.load('frameHead')
    this.#overflowEnd = this.#findOverflow()
  }

  // ── sequencer ─────────────────────────────────────────────────────────────────────────────────────────

  /** Room for a body of so many bytes; answers where to write it. The log thread must be far enough (`aheadBytes`). */
  reserve(bodyBytes: number): { bytes: Uint8Array; at: number } {
    const whole = frameHeaderWords + ((bodyBytes + 7) >>> 3)
    const mask = this.#words - 1
    const offset = this.#head & mask
    const toEnd = this.#words - offset
    const taken = whole > toEnd ? toEnd + whole : whole
    const ahead = (this.#head - this.#control.load('frameWritten')) | 0
    this.#reservedInOverflow = whole > this.#words / 2 || ahead + taken > this.#words
    const words = this.#reservedInOverflow ? frameHeaderWords : whole
    assert(((this.#overflowEnd - this.tail) | 0) >= 0, 'F3: the place of the overflow is kept among the entries')
    if (this.#reservedInOverflow) this.#dropBefore(this.#overflowEnd)
    if (words > toEnd) {
      this.#makeRoom(toEnd)
      this.i32[offset * 2] = toEnd
      this.i32[offset * 2 + 1] = 0
      this.#head = (this.#head + toEnd) | 0
    }
    this.#makeRoom(words)
    this.#reservedAt = this.#head & mask
    this.#reservedWords = words
    if (this.#reservedInOverflow) return { bytes: this.#overflowBytes, at: 0 }
    return { bytes: this.bytes, at: (this.#reservedAt + frameHeaderWords) * 8 }
  }

  publish(batch: number, previous: number, now: number, records: number, bodyBytes: number): void {
    const at = this.#reservedAt
    this.i32[at * 2] = this.#reservedWords
    this.i32[at * 2 + 1] = this.#reservedInOverflow ? inOverflow : bodyBytes
    this.#f64[at + 1] = batch
    this.#f64[at + 2] = previous
    this.#f64[at + 3] = now
    this.i32[(at + 4) * 2] = records
    this.i32[(at + 4) * 2 + 1] = bodyBytes
    this.#head = (this.#head + this.#reservedWords) | 0
    if (this.#reservedInOverflow) this.#overflowEnd = this.#head
    this.#control.store('frameHead', this.#head)
  }

  /** Bytes between the head and what the log thread has written; Infinity while the overflow buffer is among them (F3). */
  aheadBytes(): number {
    const written = this.#control.load('frameWritten')
    return ((this.#overflowEnd - written) | 0) > 0 ? Infinity : ((this.#head - written) | 0) * 8
  }

  /** For a sequencer that takes the place of another one. */
  #findOverflow(): number {
    let end = this.tail
    for (let counter = end; counter !== this.#head; ) {
      const at = (counter & (this.#words - 1)) * 2
      counter = (counter + this.i32[at]!) | 0
      if (this.i32[at + 1] === inOverflow) end = counter
    }
    return end
  }

  #dropBefore(counter: number): void {
    assert(((counter - this.#control.load('frameWritten')) | 0) <= 0, 'F3: the overflow buffer is written before it is used again')
    if (((counter - this.#control.load('frameTail')) | 0) > 0) this.#control.store('frameTail', counter)
  }

  #makeRoom(words: number): void {
    const keep = this.#words - words
    let tail = this.#control.load('frameTail')
    if (((this.#head - tail) | 0) <= keep) return
    while (((this.#head - tail) | 0) > keep) tail = (tail + this.i32[(tail & (this.#words - 1)) * 2]!) | 0
    this.#control.store('frameTail', tail) // F1
    // Never left behind, or the difference of two counters would turn around after 2^31 words.
    if (((this.#overflowEnd - tail) | 0) < 0) this.#overflowEnd = tail
  }

  // ── log thread and followers ──────────────────────────────────────────────────────────────────────────

  get publishedHead(): number {
    return this.#control.load('frameHead')
  }
  get tail(): number {
    return this.#control.load('frameTail')
  }
  get words(): number {
    return this.#words
  }

  /**
   * The entry at a counter, fillers skipped; undefined at the head, or where the entry has been overwritten. The body is a view,
   * and the counter of a follower that has slept points anywhere: believe it, and `undefined`, when the entry is `stillThere` (F2).
   */
  read(counter: number, head: number): FrameEntry | undefined {
    for (;;) {
      if (counter === head) return undefined
      const at = counter & (this.#words - 1)
      const words = this.i32[at * 2]!
      const kind = this.i32[at * 2 + 1]!
      const next = (counter + words) | 0
      // Whatever stands in the place of an overwritten header: a length of nothing would be read for ever.
      if (words <= 0 || !this.stillThere(counter)) return undefined
      if (kind === 0) {
        counter = next
        continue
      }
      const bodyBytes = this.i32[(at + 4) * 2 + 1]!
      const from = (at + frameHeaderWords) * 8
      return {
        batch: this.#f64[at + 1]!,
        previous: this.#f64[at + 2]!,
        now: this.#f64[at + 3]!,
        records: this.i32[(at + 4) * 2]!,
        body: kind === inOverflow ? this.#overflowBytes.subarray(0, bodyBytes) : this.bytes.subarray(from, from + bodyBytes),
        next,
      }
    }
  }

  /** What the header of the entry at a counter says, fillers skipped; false where `read` answers undefined. To be believed as that is (F2). */
  peek(counter: number, head: number, into: FrameHeader): boolean {
    for (;;) {
      if (counter === head) return false
      const at = counter & (this.#words - 1)
      const words = this.i32[at * 2]!
      const kind = this.i32[at * 2 + 1]!
      if (words <= 0 || !this.stillThere(counter)) return false
      into.at = counter
      into.next = (counter + words) | 0
      counter = into.next
      if (kind === 0) continue
      into.batch = this.#f64[at + 1]!
      into.now = this.#f64[at + 3]!
      into.records = this.i32[(at + 4) * 2]!
      return true
    }
  }

  /** F2: nothing at or after `counter` has been overwritten. */
  stillThere(counter: number): boolean {
    return ((counter - this.#control.load('frameTail')) | 0) >= 0
  }
}
