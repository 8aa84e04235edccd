/**
 * What the lanes of one worker record during a batch, ready to be joined into a frame.
 *
 * Four sections that grow side by side: transactions, changes and events as structs, and bytes. A lane stands in one piece in
 * each of them, and its structs count bytes from the start of the lane (R52), so that the sealer copies pieces and rewrites
 * nothing. The struct layouts are those of wal/frame.fbs.
 *
 * Written by the worker while its lanes run, read by the sequencer after the barrier.
 */
import { assert } from '../base/assert.js'

const KiB = 1_024
export const transactionInts = 10
export const changeInts = 6
export const eventInts = 3
const laneInts = 9
/** What one struct counts for against the limits of a transaction and a lane, beside its bytes. */
export const recordCostBytes = 64

export interface LaneLogSizes {
  readonly lanes: number
  readonly transactions: number
  readonly changes: number
  readonly events: number
  readonly bytes: number
}

export interface LanePiece {
  partition: number
  transactionsAt: number
  transactions: number
  changesAt: number
  changes: number
  eventsAt: number
  events: number
  bytesAt: number
  bytes: number
}

export const newPiece = (): LanePiece => ({ partition: 0, transactionsAt: 0, transactions: 0, changesAt: 0, changes: 0, eventsAt: 0, events: 0, bytesAt: 0, bytes: 0 })

export class LaneLog {
  readonly buffers: readonly SharedArrayBuffer[]
  readonly transactions: Int32Array
  readonly changes: Int32Array
  readonly events: Int32Array
  readonly bytes: Uint8Array
  /** The same memory as `bytes`. Everything that is written there begins on 8 bytes. */
  readonly byteWords: Int32Array
  readonly #lanes: Int32Array
  // The open lane, as counts of the whole sections.
  #lane = 0
  #transactions = 0
  #changes = 0
  #events = 0
  #bytes = 0
  // Where the open transaction began.
  #changesMark = 0
  #eventsMark = 0
  #bytesMark = 0

  constructor(buffers: readonly SharedArrayBuffer[]) {
    assert(buffers.length === 5, 'a lane log has five sections')
    this.buffers = buffers
    this.#lanes = new Int32Array(buffers[0]!)
    this.transactions = new Int32Array(buffers[1]!)
    this.changes = new Int32Array(buffers[2]!)
    this.events = new Int32Array(buffers[3]!)
    this.bytes = new Uint8Array(buffers[4]!)
    this.byteWords = new Int32Array(buffers[4]!)
  }

  static create(sizes: LaneLogSizes): LaneLog {
    const ints = (count: number, each: number): SharedArrayBuffer => new SharedArrayBuffer(Math.ceil((count * each * 4) / KiB) * KiB)
    return new LaneLog([
      ints(1 + sizes.lanes, laneInts),
      ints(sizes.transactions, transactionInts),
      ints(sizes.changes, changeInts),
      ints(sizes.events, eventInts),
      new SharedArrayBuffer(Math.ceil(sizes.bytes / KiB) * KiB),
    ])
  }

  // ── the worker ────────────────────────────────────────────────────────────────────────────────────────

  /** Forgets the last batch. */
  clear(): void {
    this.#lane = this.#transactions = this.#changes = this.#events = this.#bytes = 0
    this.#lanes[0] = 0
  }

  beginLane(partition: number): void {
    const at = laneInts * (1 + this.#lane)
    const lanes = this.#lanes
    lanes[at] = partition
    lanes[at + 1] = this.#transactions
    lanes[at + 3] = this.#changes
    lanes[at + 5] = this.#events
    lanes[at + 7] = this.#bytes
    this.beginTransaction()
  }

  endLane(): void {
    const at = laneInts * (1 + this.#lane)
    const lanes = this.#lanes
    lanes[at + 2] = this.#transactions - lanes[at + 1]!
    lanes[at + 4] = this.#changes - lanes[at + 3]!
    lanes[at + 6] = this.#events - lanes[at + 5]!
    lanes[at + 8] = this.#bytes - lanes[at + 7]!
    this.#lane += 1
    lanes[0] = this.#lane
  }

  /** Which of this log's lanes is open. */
  get laneOrdinal(): number {
    return this.#lane
  }
  /** Recorded transactions of the open lane so far. */
  get recorded(): number {
    return this.#transactions - this.#lanes[laneInts * (1 + this.#lane) + 1]!
  }
  /** What the open lane has written, as it counts against its limit. */
  get laneCost(): number {
    const at = laneInts * (1 + this.#lane)
    const lanes = this.#lanes
    return (
      this.#bytes - lanes[at + 7]! +
      recordCostBytes * (this.#changes - lanes[at + 3]! + this.#events - lanes[at + 5]! + this.#transactions - lanes[at + 1]!)
    )
  }

  beginTransaction(): void {
    this.#changesMark = this.#changes
    this.#eventsMark = this.#events
    this.#bytesMark = this.#bytes
  }
  /** Forgets what the open transaction wrote. */
  dropTransaction(): void {
    this.#changes = this.#changesMark
    this.#events = this.#eventsMark
    this.#bytes = this.#bytesMark
  }
  get changesOfTransaction(): number {
    return this.#changes - this.#changesMark
  }
  get eventsOfTransaction(): number {
    return this.#events - this.#eventsMark
  }
  /** What the open transaction has written, as it counts against its limit. */
  get transactionCost(): number {
    return this.#bytes - this.#bytesMark + recordCostBytes * (this.changesOfTransaction + this.eventsOfTransaction)
  }

  /** Takes `length` bytes, zero filled to a multiple of 8; answers their absolute offset in `bytes`. */
  takeBytes(length: number): number {
    const at = this.#bytes
    const padded = (length + 7) & ~7
    this.#bytes = at + padded
    if (padded !== length) {
      this.byteWords[(at + padded) / 4 - 1] = 0
      this.byteWords[(at + padded) / 4 - 2] = 0
    }
    return at
  }
  /** An absolute offset as the structs of the open lane say it. */
  offsetInLane(absolute: number): number {
    return absolute - this.#lanes[laneInts * (1 + this.#lane) + 7]!
  }
  absoluteOffset(inLane: number): number {
    return inLane + this.#lanes[laneInts * (1 + this.#lane) + 7]!
  }
  putBytes(value: Uint8Array, length: number): number {
    const at = this.takeBytes(length)
    if (length <= 64) for (let n = 0; n < length; n += 1) this.bytes[at + n] = value[n]!
    else this.bytes.set(value.subarray(0, length), at)
    return this.offsetInLane(at)
  }

  addChange(layout: number, kind: number, image: number, imageBytes: number, before: number, beforeBytes: number): void {
    const at = this.#changes * changeInts
    const changes = this.changes
    changes[at] = layout
    changes[at + 1] = kind
    changes[at + 2] = image
    changes[at + 3] = imageBytes
    changes[at + 4] = before
    changes[at + 5] = beforeBytes
    this.#changes += 1
  }
  addEvent(type: number, payload: number, payloadBytes: number): void {
    const at = this.#events * eventInts
    this.events[at] = type
    this.events[at + 1] = payload
    this.events[at + 2] = payloadBytes
    this.#events += 1
  }
  addTransaction(place: number, procedure: number, outcome: number, resultHash: number, result: number, resultBytes: number, id: number, idBytes: number): void {
    const at = this.#transactions * transactionInts
    const transactions = this.transactions
    transactions[at] = place
    transactions[at + 1] = procedure
    transactions[at + 2] = outcome
    transactions[at + 3] = resultHash
    transactions[at + 4] = result
    transactions[at + 5] = resultBytes
    transactions[at + 6] = id
    transactions[at + 7] = idBytes
    transactions[at + 8] = this.changesOfTransaction
    transactions[at + 9] = this.eventsOfTransaction
    this.#transactions += 1
  }

  // ── the sequencer ─────────────────────────────────────────────────────────────────────────────────────

  get lanes(): number {
    return this.#lanes[0]!
  }
  /** What all lanes have written, in bytes, rather more than less. */
  get cost(): number {
    const count = this.#lanes[0]!
    if (count === 0) return 0
    const at = laneInts * count
    const lanes = this.#lanes
    return lanes[at + 7]! + lanes[at + 8]! + recordCostBytes * (lanes[at + 1]! + lanes[at + 2]! + lanes[at + 3]! + lanes[at + 4]! + lanes[at + 5]! + lanes[at + 6]!)
  }
  piece(lane: number, into: LanePiece): LanePiece {
    const at = laneInts * (1 + lane)
    const lanes = this.#lanes
    into.partition = lanes[at]!
    into.transactionsAt = lanes[at + 1]!
    into.transactions = lanes[at + 2]!
    into.changesAt = lanes[at + 3]!
    into.changes = lanes[at + 4]!
    into.eventsAt = lanes[at + 5]!
    into.events = lanes[at + 6]!
    into.bytesAt = lanes[at + 7]!
    into.bytes = lanes[at + 8]!
    return into
  }
}
