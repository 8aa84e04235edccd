/**
 * Answers on their way from a worker to main. Main takes an entry only when the frame it needs is durable (R42).
 *
 *   entry (8-byte aligned)
 *     i32  bytes in all, call slot
 *     f64  batch
 *     f64  needs: the newest batch with a frame at or before `batch`
 *     i32  outcome, place in the log (index of the record in its batch, -1 without one)
 *     i32  lane of the record (patched into `index` at the seal), value bytes; negative: minus the address of a long value
 *     value
 *
 * The lanes write without looking at the tail: before each batch the sequencer has made sure that the answers of a full one
 * fit (`hasRoomForBatch`). Long values travel through the region and are retired one batch later (answer-blocks.ts).
 */
import { assert } from '../base/assert.js'
import { limits } from '../base/limits.js'
import type { Control } from './control.js'

const headerBytes = 40
const filler = -1
const restartBytes = 2 ** 20
const entryBytesMax = headerBytes + limits.responseInlineBytesMax

export interface ResponseEntry {
  slot: number
  batch: number
  needs: number
  outcome: number
  index: number
  /** Byte offset of the value in `bytes`, and its length; a negative length is minus the address of a long value. */
  valueAt: number
  valueBytes: number
  /** The ring's memory. */
  readonly bytes: Buffer
}

const noWords = new Int32Array(0)

export class ResponseRing {
  readonly buffer: SharedArrayBuffer
  readonly bytes: Buffer
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #control: Control
  readonly #worker: number
  readonly #mask: number
  #head: number
  readonly #entry: ResponseEntry
  /** The memory that values come from, nearly always that of one writer, and the same as words. */
  #value: Uint8Array = new Uint8Array(0)
  #valueWords: Int32Array = noWords

  /** One buffer may hold the rings of all workers. */
  constructor(buffer: SharedArrayBuffer, control: Control, worker: number, size = buffer.byteLength, offset = 0) {
    this.buffer = buffer
    this.bytes = Buffer.from(buffer, offset, size)
    this.#entry = { slot: 0, batch: 0, needs: 0, outcome: 0, index: 0, valueAt: 0, valueBytes: 0, bytes: this.bytes }
    this.#i32 = new Int32Array(buffer, offset, size / 4)
    this.#f64 = new Float64Array(buffer, offset, size / 8)
    this.#control = control
    this.#worker = worker
    this.#mask = size - 1
    assert((size & this.#mask) === 0, 'a ring is a power of two')
    this.#head = control.responseHead(worker)
  }

  // ── lanes ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Where the next entry will stand, as a counter. */
  get head(): number {
    return this.#head
  }

  /** Drops what was written after `head` was taken: the batch runs again (R36). */
  rewind(head: number): void {
    this.#head = head
  }

  /** Before a batch writes: an empty ring begins again at its start, so that only the memory that was needed is ever touched. */
  restartIfEmpty(): void {
    const offset = this.#head & this.#mask
    if (offset <= restartBytes || this.#control.responseTail(this.#worker) !== this.#head) return
    this.#fillToEnd(offset)
  }

  #fillToEnd(offset: number): void {
    const toEnd = this.#mask + 1 - offset
    this.#i32[offset >>> 2] = toEnd
    this.#i32[(offset >>> 2) + 1] = filler
    this.#head = (this.#head + toEnd) | 0
  }

  write(slot: number, batch: number, needs: number, outcome: number, lane: number, index: number, value: Uint8Array, valueBytes: number, longAddress: number): void {
    const inline = longAddress === 0 ? valueBytes : 0
    const total = (headerBytes + inline + 7) & ~7
    let offset = this.#head & this.#mask
    const toEnd = this.#mask + 1 - offset
    if (total > toEnd) {
      this.#fillToEnd(offset)
      offset = 0
    }
    const at = offset >>> 2
    this.#i32[at] = total
    this.#i32[at + 1] = slot
    this.#f64[(offset >>> 3) + 1] = batch
    this.#f64[(offset >>> 3) + 2] = needs
    this.#i32[at + 6] = outcome
    this.#i32[at + 7] = index
    this.#i32[at + 8] = lane
    this.#i32[at + 9] = longAddress === 0 ? valueBytes : -longAddress
    if (inline > 0) this.#copy(value, inline, offset + headerBytes)
    this.#head = (this.#head + total) | 0
  }

  /** Word by word where the memory allows it: up to three bytes more than the value, within the entry. */
  #copy(value: Uint8Array, length: number, to: number): void {
    if (value !== this.#value) {
      this.#value = value
      this.#valueWords = value.byteOffset % 4 === 0 && value.length % 4 === 0 ? new Int32Array(value.buffer, value.byteOffset, value.length / 4) : noWords
    }
    const words = this.#valueWords
    if (words === noWords) for (let n = 0; n < length; n += 1) this.bytes[to + n] = value[n]!
    else for (let n = 0, at = to >>> 2, end = (length + 3) >>> 2; n < end; n += 1) this.#i32[at + n] = words[n]!
  }

  // ── the sequencer ─────────────────────────────────────────────────────────────────────────────────────

  /** Every request of a batch may answer here, and one entry may meet the end of the ring. */
  hasRoomForBatch(): boolean {
    const used = (this.#control.responseHead(this.#worker) - this.#control.responseTail(this.#worker)) | 0
    return this.#mask + 1 - used >= (limits.batchRequestsMax + 1) * entryBytesMax
  }

  /** Turns places within lanes into places within the batch, from a counter to the head, and says what the entries need. */
  settle(from: number, to: number, laneBase: Int32Array, needs: number): void {
    assert(((to - this.#control.responseTail(this.#worker)) | 0) <= this.#mask + 1, 'answers never overtake main')
    for (let counter = from; counter !== to; ) {
      const offset = counter & this.#mask
      const at = offset >>> 2
      counter = (counter + this.#i32[at]!) | 0
      if (this.#i32[at + 1] === filler) continue
      this.#f64[(offset >>> 3) + 2] = needs
      const lane = this.#i32[at + 8]!
      if (lane >= 0 && this.#i32[at + 7]! >= 0) this.#i32[at + 7] = this.#i32[at + 7]! + laneBase[lane]!
    }
  }

  // ── main ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether `drain` would visit something. */
  hasFor(durable: number): boolean {
    const head = this.#control.responseHead(this.#worker)
    let tail = this.#control.responseTail(this.#worker)
    while (tail !== head) {
      const at = (tail & this.#mask) >>> 2
      if (this.#i32[at + 1] !== filler) return this.#f64[((tail & this.#mask) >>> 3) + 2]! <= durable
      tail = (tail + this.#i32[at]!) | 0
    }
    return false
  }

  /**
   * Visits the entries whose frame is durable, so many at most. The entry object is reused. `accept` must take what it needs at
   * once. Answers how many were visited.
   */
  drain(durable: number, accept: (entry: ResponseEntry) => void, most = Infinity): number {
    const head = this.#control.responseHead(this.#worker)
    let tail = this.#control.responseTail(this.#worker)
    if (tail === head) return 0
    let count = 0
    const entry = this.#entry
    while (tail !== head && count < most) {
      const offset = tail & this.#mask
      const at = offset >>> 2
      const total = this.#i32[at]!
      if (this.#i32[at + 1] !== filler) {
        entry.needs = this.#f64[(offset >>> 3) + 2]!
        if (entry.needs > durable) break
        entry.slot = this.#i32[at + 1]!
        entry.batch = this.#f64[(offset >>> 3) + 1]!
        entry.outcome = this.#i32[at + 6]!
        entry.index = this.#i32[at + 7]!
        entry.valueBytes = this.#i32[at + 9]!
        entry.valueAt = offset + headerBytes
        accept(entry)
        count += 1
      }
      tail = (tail + total) | 0
    }
    this.#control.freeResponses(this.#worker, tail)
    return count
  }
}
