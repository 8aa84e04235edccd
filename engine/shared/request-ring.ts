/**
 * Requests on their way from main to the sequencer: one producer, one consumer, whole entries of bytes.
 *
 *   entry (16-byte aligned)  i32: bytes in all, call slot, procedure, partition, id bytes, input bytes, state, verdict
 *                            id | input
 *
 * The state says whether a batch has taken the request: until then main may withdraw it (R46). Both ask with one
 * compare-and-exchange, so that exactly one of them gets it. The verdict is set on a request that a worker died of: an outcome
 * with which the next batch answers it without running it.
 *
 * An entry that does not fit before the end is preceded by a filler (procedure -1). Main writes entries and publishes them
 * together (`publish`); the sequencer runs a batch in place and frees its entries after the seal (R34).
 */
import { assert } from '../base/assert.js'
import type { Control } from './control.js'

const headerInts = 8
const stateAt = 6
const verdictAt = 7
const requestState = { waiting: 0, taken: 1, withdrawn: 2, done: 3 } as const
export const requestHeaderBytes = headerInts * 4
/** What is left before the end of the ring always holds the first words of a filler. */
const alignment = 16
const filler = -1
/** Partition of a request that goes to the cross-partition lane from the start. */
export const unplaced = -1

export class RequestRing {
  readonly buffer: SharedArrayBuffer
  readonly bytes: Buffer
  readonly i32: Int32Array
  readonly #control: Control
  readonly #mask: number
  readonly #size: number
  /** Producer: the offset of the newest entry, for `withdraw`. */
  lastWritten = 0
  /** Producer: where the next entry goes, ahead of what is published. */
  #head: number

  /** The buffer may be longer than the ring. */
  constructor(buffer: SharedArrayBuffer, control: Control, size = buffer.byteLength) {
    this.buffer = buffer
    this.#size = size
    this.#mask = this.#size - 1
    assert((this.#size & this.#mask) === 0, 'a ring is a power of two')
    this.bytes = Buffer.from(buffer, 0, size)
    this.i32 = new Int32Array(buffer, 0, size / 4)
    this.#control = control
    this.#head = control.load('requestHead')
  }

  // ── main ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Writes an entry; false when there is no room. Nobody sees it before `publish`. */
  write(slot: number, procedure: number, partition: number, id: Uint8Array | undefined, input: Uint8Array, inputBytes: number): boolean {
    const idBytes = id === undefined ? 0 : id.length
    const total = (requestHeaderBytes + idBytes + inputBytes + alignment - 1) & ~(alignment - 1)
    const free = this.#size - ((this.#head - this.#control.load('requestTail')) | 0)
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
    const at = offset >>> 2
    this.i32[at] = total
    this.i32[at + 1] = slot
    this.i32[at + 2] = procedure
    this.i32[at + 3] = partition
    this.i32[at + 4] = idBytes
    this.i32[at + 5] = inputBytes
    this.i32[at + stateAt] = requestState.waiting
    this.i32[at + verdictAt] = 0
    this.lastWritten = offset
    let to = offset + requestHeaderBytes
    if (id !== undefined) {
      this.bytes.set(id, to)
      to += idBytes
    }
    // For the few bytes of a usual input a loop beats `set` with its subarray.
    if (inputBytes <= 64) for (let n = 0; n < inputBytes; n += 1) this.bytes[to + n] = input[n]!
    else this.bytes.set(input.subarray(0, inputBytes), to)
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

  /** Lets the sequencer see everything written so far. */
  publish(): void {
    this.#control.store('requestHead', this.#head)
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
    return Atomics.compareExchange(this.i32, at, requestState.waiting, requestState.taken) <= requestState.taken
  }
  /** A request that stays in the ring behind one that was put off must not be taken again by a new sequencer. */
  markDone(offset: number): void {
    Atomics.store(this.i32, (offset >>> 2) + stateAt, requestState.done)
  }
  verdict(offset: number): number {
    return this.i32[(offset >>> 2) + verdictAt]!
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
