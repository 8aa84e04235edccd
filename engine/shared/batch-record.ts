/**
 * The batch that runs, written down before it runs (R34), so that any thread can run it, and run it again.
 *
 *   head      f64: batch, previous batch with a frame, now | i32: seed, requests, first and last lane with requests, in order only,
 *             references of strength `batch` as `strong`
 *   order     i32: offset of the request in the ring, place at intake            one pair for each request, lane by lane
 *   flags     i32: 0 to run, 1 stray, 2 put off, 3 answered by the sequencer, 16 + error code: settled without running
 *   starts    i32: where each lane starts in the order; P + 2 of them, the cross-partition lane is lane P; of the partition lanes
 *             those from the first with requests to the one behind the last are written
 *   strays    i32: indexes into the order, the end of the cross-partition lane
 *
 * Written by the sequencer; the owner of a lane writes the flags of its requests.
 */
import { limits } from '../base/limits.js'

export const requestFlag = { run: 0, stray: 1, putOff: 2, turnedAway: 3, settled: 16 } as const

const headInts = 16
const max = limits.batchRequestsMax

export class BatchRecord {
  readonly buffer: SharedArrayBuffer
  readonly partitions: number
  readonly #f64: Float64Array
  readonly #i32: Int32Array
  readonly #order = headInts
  readonly #flags = headInts + 2 * max
  readonly #strays = headInts + 3 * max
  readonly #starts = headInts + 4 * max

  constructor(buffer: SharedArrayBuffer, partitions: number) {
    this.buffer = buffer
    this.partitions = partitions
    this.#f64 = new Float64Array(buffer)
    this.#i32 = new Int32Array(buffer)
  }

  static create(partitions: number): BatchRecord {
    return new BatchRecord(new SharedArrayBuffer(Math.ceil((headInts + 4 * max + partitions + 4) / 2) * 8), partitions)
  }

  get batch(): number {
    return this.#f64[0]!
  }
  get previous(): number {
    return this.#f64[1]!
  }
  get now(): number {
    return this.#f64[2]!
  }
  get seed(): number {
    return this.#i32[6]!
  }
  get requests(): number {
    return this.#i32[7]!
  }
  begin(batch: number, previous: number, now: number, seed: number, requests: number): void {
    this.#f64[0] = batch
    this.#f64[1] = previous
    this.#f64[2] = now
    this.#i32[6] = seed
    this.#i32[7] = requests
  }

  /** The partition lanes that have requests lie between these two; none do when the first is above the last. */
  get firstLane(): number {
    return this.#i32[8]!
  }
  get lastLane(): number {
    return this.#i32[9]!
  }
  setLaneRange(first: number, last: number): void {
    this.#i32[8] = first
    this.#i32[9] = last
  }

  setRequest(index: number, offset: number, place: number): void {
    this.#i32[this.#order + index * 2] = offset
    this.#i32[this.#order + index * 2 + 1] = place
    this.#i32[this.#flags + index] = requestFlag.run
  }
  offset(index: number): number {
    return this.#i32[this.#order + index * 2]!
  }
  place(index: number): number {
    return this.#i32[this.#order + index * 2 + 1]!
  }
  flag(index: number): number {
    return this.#i32[this.#flags + index]!
  }
  setFlag(index: number, flag: number): void {
    this.#i32[this.#flags + index] = flag
  }

  /** Settles a request without running it: its worker died of it. */
  condemn(index: number, outcome: number): void {
    this.setFlag(index, requestFlag.settled + outcome)
  }

  /** Lane `partitions` is the cross-partition lane. */
  laneStart(lane: number): number {
    return this.#i32[this.#starts + lane]!
  }
  setLaneStart(lane: number, index: number): void {
    this.#i32[this.#starts + lane] = index
  }

  stray(n: number): number {
    return this.#i32[this.#strays + n]!
  }
  setStray(n: number, index: number): void {
    this.#i32[this.#strays + n] = index
  }

  /** How many requests the cross-partition lane has: those that were sent there, and the strays. */
  crossRequests(strays: number): number {
    return this.requests - this.laneStart(this.partitions) + strays
  }
  /** The index of the n-th of them, in that order. */
  crossRequest(n: number): number {
    const from = this.laneStart(this.partitions)
    const sent = this.requests - from
    return n < sent ? from + n : this.stray(n - sent)
  }

  /** A run ahead of its turn killed a worker: until a batch is sealed, everything runs in order, where it can be blamed. */
  get mustRunInOrder(): boolean {
    return this.#i32[10] !== 0
  }
  set mustRunInOrder(must: boolean) {
    this.#i32[10] = must ? 1 : 0
  }

  /** A reference of strength `batch` did not hold at the end: until a batch is sealed, each transaction proves them at its own end (R62). */
  get mustProveReferences(): boolean {
    return this.#i32[11] !== 0
  }
  set mustProveReferences(must: boolean) {
    this.#i32[11] = must ? 1 : 0
  }
}
