/**
 * Requests on their way from main to the sequencer: one producer, one consumer, whole entries of bytes.
 *
 *   entry (16-byte aligned)  i32: bytes in all, call slot, procedure, partition, id bytes, input bytes, state, verdict
 *                            id | input | f64 deadline, as the last 8 bytes, where the verdict is `timed`
 *
 * The state says whether a batch has taken the request: until then main, or the sequencer that finds its deadline passed, may
 * withdraw it (R46). They ask with one compare-and-exchange, so that exactly one of them gets it. A request that nobody can
 * withdraw is `bound` from the start, and taken without asking: most are, and the question costs as much as the entry.
 *
 * The verdict is set on a request that a worker died of: an outcome with which the next batch answers it without running it.
 *
 * An entry that does not fit before the end is preceded by a filler (procedure -1). Main writes entries and publishes them
 * together (`publish`); the sequencer runs a batch in place and frees its entries after the seal (R34).
 */
import { assert } from '../base/assert.js'
import type { Control } from './control.js'

const headerInts = 8
const stateAt = 6
const verdictAt = 7
const requestState = { waiting: 0, taken: 1, withdrawn: 2, done: 3, bound: 4 } as const
/** Verdict of a request with a deadline that no worker has died of. */
const timed = -1
/** In the place of a deadline: nobody withdraws the request; or somebody may, whenever it pleases him. */
export const neverWithdrawn = 0
export const noDeadline = Infinity
const wordCopyBytesMax = 128
export const requestHeaderBytes = headerInts * 4
/** What is left before the end of the ring always holds the first words of a filler. */
const alignment = 16
const filler = -1
/** Partition of a request that goes to the cross-partition lane from the start. */
export const unplaced = -1

const noWords = new Int32Array(0)

export class RequestRing {
  readonly buffer: SharedArrayBuffer
  readonly bytes: Buffer
  readonly i32: Int32Array
  readonly #f64: Float64Array
  readonly #control: Control
  readonly #mask: number
  readonly #size: number
  /** Producer: the offset of the newest entry, for `withdraw`. */
  lastWritten = 0
  /** Producer: where the next entry goes, ahead of what is published. */
  #head: number
  /** Producer: where the tail was when it was last looked at. */
  #tail: number
  #isTailOld = true
  #input: Uint8Array = new Uint8Array(0)
  #inputWords: Int32Array = noWords

  /** The buffer may be longer than the ring. */
  constructor(buffer: SharedArrayBuffer, control: Control, size = buffer.byteLength) {
    this.buffer = buffer
    this.#size = size
    this.#mask = this.#size - 1
    assert((this.#size & this.#mask) === 0, 'a ring is a power of two')
    this.bytes = Buffer.from(buffer, 0, size)
    this.i32 = new Int32Array(buffer, 0, size / 4)
    this.#f64 = new Float64Array(buffer, 0, size / 8)
    this.#control = control
    this.#head = control.load('requestHead')
    this.#tail = control.load('requestTail')
  }

  // ── main ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Writes an entry; false when there is no room. Nobody sees it before `publish`. `deadline`: monotonic milliseconds, or one of the two above. */
  write(slot: number, procedure: number, partition: number, id: Uint8Array | undefined, input: Uint8Array, inputBytes: number, deadline: number = neverWithdrawn): boolean {
    const idBytes = id === undefined ? 0 : id.length
    const isTimed = deadline !== neverWithdrawn && deadline !== noDeadline
    const total = (requestHeaderBytes + idBytes + inputBytes + (isTimed ? 8 : 0) + alignment - 1) & ~(alignment - 1)
    let free = this.#size - ((this.#head - this.#tail) | 0)
    // The tail is looked at once for all that is published together, and again only when what it was does not do.
    if (this.#isTailOld || free < 2 * total) {
      this.#isTailOld = false
      this.#tail = this.#control.load('requestTail')
      free = this.#size - ((this.#head - this.#tail) | 0)
    }
    let offset = this.#head & this.#mask
    const toEnd = this.#size - offset
    // An empty ring begins again at its start, so that memory that was never needed is never touched. The rest of it is lost until a
    // batch has taken the filler; therefore only in the second half, where an entry of half the ring, the longest, still fits.
    if (total > toEnd || (free === this.#size && toEnd <= this.#size >>> 1)) {
      if (toEnd + total > free) return false
      this.i32[offset >>> 2] = toEnd
      this.i32[(offset >>> 2) + 2] = filler
      this.#head = (this.#head + toEnd) | 0
      offset = 0
    } else if (total > free) return false
    const i32 = this.i32
    const at = offset >>> 2
    i32[at] = total
    i32[at + 1] = slot
    i32[at + 2] = procedure
    i32[at + 3] = partition
    i32[at + 4] = idBytes
    i32[at + 5] = inputBytes
    i32[at + stateAt] = deadline === neverWithdrawn ? requestState.bound : requestState.waiting
    i32[at + verdictAt] = isTimed ? timed : 0
    if (isTimed) this.#f64[(offset + total) / 8 - 1] = deadline
    this.lastWritten = offset
    let to = offset + requestHeaderBytes
    if (id !== undefined) {
      this.bytes.set(id, to)
      to += idBytes
    }
    if (idBytes === 0 && inputBytes <= wordCopyBytesMax && this.#hasWords(input)) {
      // Up to three bytes more than the input: they are the entry's, whose deadline stands on 8 bytes behind them.
      const words = this.#inputWords
      for (let n = 0, word = to >>> 2, end = (inputBytes + 3) >>> 2; n < end; n += 1) i32[word + n] = words[n]!
    } else this.bytes.set(input.subarray(0, inputBytes), to)
    this.#head = (this.#head + total) | 0
    return true
  }

  /** Bytes of requests whose batch has not been sealed. */
  get queuedBytes(): number {
    return (this.#head - this.#control.load('requestTail')) | 0
  }
  /** Behind the newest entry, published or not. */
  get head(): number {
    return this.#head
  }

  /** The input's memory as words. It is that of one writer nearly always, so that one view is kept. */
  #hasWords(input: Uint8Array): boolean {
    if (input !== this.#input) {
      this.#input = input
      this.#inputWords = input.byteOffset % 4 === 0 && input.length % 4 === 0 ? new Int32Array(input.buffer, input.byteOffset, input.length / 4) : noWords
    }
    return this.#inputWords !== noWords
  }

  /** Lets the sequencer see everything written so far. */
  publish(): void {
    this.#control.store('requestHead', this.#head)
    this.#isTailOld = true
  }

  /** Takes a request back; false when a batch has it already. `slot` guards against an entry that was reused. */
  withdraw(offset: number, slot: number): boolean {
    const at = offset >>> 2
    if (this.i32[at + 1] !== slot) return false
    return Atomics.compareExchange(this.i32, at + stateAt, requestState.waiting, requestState.withdrawn) === requestState.waiting
  }

  // ── sequencer ─────────────────────────────────────────────────────────────────────────────────────────

  get publishedHead(): number {
    return this.#control.load('requestHead')
  }
  get tail(): number {
    return this.#control.load('requestTail')
  }
  /** The byte offset of the entry at a counter, and the counter behind it. Fillers are answered like entries: see `isFiller`. */
  offsetOf(counter: number): number {
    return counter & this.#mask
  }
  /** Takes a request into a batch; false when it was withdrawn, or is done and only waits for the ring to move on. */
  take(offset: number): boolean {
    const at = (offset >>> 2) + stateAt
    // Nobody but the sequencer changes a bound one: a plain load does.
    if (this.i32[at] === requestState.bound) return true
    return Atomics.compareExchange(this.i32, at, requestState.waiting, requestState.taken) <= requestState.taken
  }
  /** Until when a request may be taken; Infinity for most. One that a batch has taken before has no deadline any more. */
  deadline(offset: number): number {
    const at = offset >>> 2
    if (this.i32[at + verdictAt] !== timed || Atomics.load(this.i32, at + stateAt) !== requestState.waiting) return Infinity
    return this.#f64[(offset + this.i32[at]!) / 8 - 1]!
  }
  /** A request that stays in the ring behind one that was put off must not be taken again by a new sequencer. */
  markDone(offset: number): void {
    Atomics.store(this.i32, (offset >>> 2) + stateAt, requestState.done)
  }
  /** The outcome of a request that killed its worker, or 0. */
  verdict(offset: number): number {
    return Math.max(0, this.i32[(offset >>> 2) + verdictAt]!)
  }
  /** The outcome for a request that killed its worker. Any thread, while no lane runs it. */
  condemn(offset: number, outcome: number): void {
    this.i32[(offset >>> 2) + verdictAt] = outcome
  }
  bytesAt(offset: number): number {
    return this.i32[offset >>> 2]!
  }
  isFiller(offset: number): boolean {
    return this.i32[(offset >>> 2) + 2] === filler
  }
  free(counter: number): void {
    this.#control.store('requestTail', counter)
  }
}
