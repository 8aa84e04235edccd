/**
 * Speculated runs on their way from the worker that made them to the one that commits in order.
 *
 *   claims   line 0: the next request to be taken | from int 16: for each request of the cross-partition lane, an Int32:
 *            0 no run to be used, else worker * 2^24 + place of the entry + 1
 *   entry    (ints) in all, reads, range ints, operations, events, value bytes
 *            reads: [place, groups] each | ranges | operations: operationInts each | events: [type, byte, bytes] each
 *            bytes: the value, then the payloads, padded to 4
 *
 * `claims` is one buffer for all, the log one for each worker; a worker writes its own, and the others read it behind the barrier
 * that ends the speculation of a batch.
 */
import { sharedBuffer } from './buffers.js'
import { limits } from '../base/limits.js'
import { eventInts } from './lane-log.js'

const lineInts = 16
const workerShift = 24
const placeMask = 2 ** workerShift - 1
const headInts = 6
export const operationInts = 8

export class SpeculationClaims {
  readonly buffer: SharedArrayBuffer
  readonly #i32: Int32Array

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#i32 = new Int32Array(buffer)
  }
  static create(): SpeculationClaims {
    return new SpeculationClaims(sharedBuffer((lineInts + limits.batchRequestsMax) * 4))
  }

  /** The sequencer, before it lets the workers in. */
  open(requests: number): void {
    this.#i32.fill(0, lineInts, lineInts + requests)
    Atomics.store(this.#i32, 0, 0)
  }
  /** The next request that nobody has taken. */
  take(): number {
    return Atomics.add(this.#i32, 0, 1)
  }
  /** A run of request `n` stands in the log of a worker. */
  note(n: number, worker: number, place: number): void {
    this.#i32[lineInts + n] = (worker << workerShift) | (place + 1)
  }
  worker(n: number): number {
    return this.#i32[lineInts + n]! >>> workerShift
  }
  /** The place of the entry, or -1. */
  place(n: number): number {
    return (this.#i32[lineInts + n]! & placeMask) - 1
  }
}

/** Where the parts of an entry stand, as indexes of `words`; bytes as indexes of `bytes`. Reused. */
export interface SpeculationEntry {
  readsAt: number
  reads: number
  rangesAt: number
  rangesEnd: number
  operationsAt: number
  operations: number
  eventsAt: number
  events: number
  valueAt: number
  valueBytes: number
  payloadsAt: number
}

/** Counted parts of an entry in private memory, as the worker has gathered them. */
export interface Gathered {
  readonly words: Int32Array
  readonly length: number
}
export interface GatheredBytes {
  readonly memory: Uint8Array
  readonly length: number
}

export class SpeculationLog {
  readonly words: Int32Array
  readonly bytes: Uint8Array
  #head = 0

  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer, 0, limits.speculationLogBytes / 4)
    this.bytes = new Uint8Array(buffer, 0, limits.speculationLogBytes)
  }
  static create(): SharedArrayBuffer {
    return sharedBuffer(limits.speculationLogBytes)
  }

  /** Forgets the last batch. */
  clear(): void {
    this.#head = 0
  }

  /** Copies a run; answers its place, or -1 when there is no room: then it is run again in order. */
  add(reads: Gathered, ranges: Gathered, operations: Gathered, events: Gathered, value: GatheredBytes, payloads: GatheredBytes): number {
    const at = this.#head
    const ints = headInts + reads.length + ranges.length + operations.length + events.length
    const bytes = pad4(value.length) + pad4(payloads.length)
    const end = at + ints + (bytes >>> 2)
    if (end > this.words.length) return -1
    const words = this.words
    words[at] = end - at
    words[at + 1] = reads.length >>> 1
    words[at + 2] = ranges.length
    words[at + 3] = operations.length / operationInts
    words[at + 4] = events.length / eventInts
    words[at + 5] = value.length
    let to = at + headInts
    for (const part of [reads, ranges, operations, events]) {
      for (let n = 0; n < part.length; n += 1) words[to + n] = part.words[n]!
      to += part.length
    }
    let byte = to * 4
    for (let n = 0; n < value.length; n += 1) this.bytes[byte + n] = value.memory[n]!
    byte += pad4(value.length)
    for (let n = 0; n < payloads.length; n += 1) this.bytes[byte + n] = payloads.memory[n]!
    this.#head = end
    return at
  }

  read(place: number, into: SpeculationEntry): void {
    const words = this.words
    into.reads = words[place + 1]!
    into.readsAt = place + headInts
    into.rangesAt = into.readsAt + into.reads * 2
    into.rangesEnd = into.rangesAt + words[place + 2]!
    into.operations = words[place + 3]!
    into.operationsAt = into.rangesEnd
    into.events = words[place + 4]!
    into.eventsAt = into.operationsAt + into.operations * operationInts
    into.valueBytes = words[place + 5]!
    into.valueAt = (into.eventsAt + into.events * eventInts) * 4
    into.payloadsAt = into.valueAt + pad4(into.valueBytes)
  }
}

const pad4 = (bytes: number): number => (bytes + 3) & ~3
