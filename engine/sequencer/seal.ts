/**
 * The seal: what the lanes recorded becomes the frame of the batch.
 *
 * The pieces of the lanes are copied in the order of the lanes, whatever worker they come from (R52), so the body is the same
 * for any number of workers. A batch that recorded nothing has no frame (R47).
 */
import { ByteWriter } from '../base/bytes.js'
import { errorCodes } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { AnswerBlocks } from '../partition/answer-blocks.js'
import type { BatchRecord } from '../shared/batch-record.js'
import type { Control } from '../shared/control.js'
import type { FrameRing } from '../shared/frame-ring.js'
import { changeInts, eventInts, type LaneLog, type LanePiece, newPiece, transactionInts } from '../shared/lane-log.js'
import type { ResponseRing } from '../shared/response-ring.js'
import type { Store } from '../store/store.js'
import { committed, encodeShortError, outcomeKindMask, outcomeOfCode } from '../txn/outcome.js'
import { type BodyLayout, crossPartitionLane, layoutBody, writeBodyHead } from '../../wal/index.js'

export interface SealerParts {
  readonly control: Control
  readonly frames: FrameRing
  /** One for each worker. */
  readonly logs: readonly LaneLog[]
  readonly store: Store
  /** No log thread follows: what is executed is durable. */
  readonly isMemory: boolean
  /** Something writes frames behind us and has to keep up. */
  readonly hasLogThread: boolean
}

export interface Sealed {
  readonly hasFrame: boolean
  readonly frameBytes: number
  /** By worker, by lane of that worker: how many transactions were recorded before it in the batch. */
  readonly laneBase: readonly Int32Array[]
}

/** A lane, and where its records stand in the log of its worker. */
export interface RecordedLane {
  readonly log: LaneLog
  readonly piece: LanePiece
}
interface JoinedLane {
  log: LaneLog
  worker: number
  ordinal: number
  readonly piece: LanePiece
}

/** Every partition on one worker, and the cross-partition lane. */
const lanesPerWorkerMax = limits.partitionsMax + 1

const hasRecords = ({ piece }: JoinedLane): boolean => piece.transactions > 0
const rank = (partition: number): number => (partition < 0 ? Infinity : partition)
const byPartition = (a: JoinedLane, b: JoinedLane): number => rank(a.piece.partition) - rank(b.piece.partition)

export class Sealer {
  readonly #parts: SealerParts
  /** Sealed frames that were not durable when last looked at, oldest first. */
  readonly #ahead: number[] = []
  #hasFrame = false
  readonly #laneBase: Int32Array[]
  readonly #views = new Map<Uint8Array, DataView>()
  readonly #answers: AnswerBlocks
  readonly #short = new ByteWriter(128)

  constructor(parts: SealerParts) {
    this.#parts = parts
    this.#answers = new AnswerBlocks(parts.store, parts.store.domains[0]!)
    this.#laneBase = parts.logs.map(() => new Int32Array(lanesPerWorkerMax))
  }

  beginBatch(): void {
    this.#answers.beginBatch()
  }

  /** R43: at most 8 frames or 32 MiB between executed and durable. */
  mayRun(): boolean {
    const { control, frames, hasLogThread } = this.#parts
    if (!hasLogThread) return true
    const durable = control.durable
    while (this.#ahead.length > 0 && this.#ahead[0]! <= durable) this.#ahead.shift()
    return this.#ahead.length < limits.framesAheadMax && frames.aheadBytes() < Math.min(limits.frameBytesAheadMax, frames.words * 4)
  }

  /** The lanes recorded more than one frame may hold. */
  isTooLong(): boolean {
    let cost = 0
    for (const log of this.#parts.logs) cost += log.cost
    return cost > limits.frameBytesMax / 2 && layoutBody(countsOf(this.#join())).total > limits.frameBytesMax
  }

  seal(record: BatchRecord): Sealed {
    const { frames } = this.#parts
    const lanes = this.#join()
    const laneBase = this.#laneBase
    let recorded = 0
    for (const { worker, ordinal, piece } of lanes) {
      laneBase[worker]![ordinal] = recorded
      recorded += piece.transactions
    }
    this.#hasFrame = recorded > 0
    if (recorded === 0) return { hasFrame: false, frameBytes: 0, laneBase }
    const kept = lanes.every(hasRecords) ? lanes : lanes.filter(hasRecords)
    const layout = layoutBody(countsOf(kept))
    const { bytes, at } = frames.reserve(layout.total)
    writeBodyHead(this.#viewOf(bytes), at, layout, { batch: record.batch, now: record.now, seed: record.seed })
    copyLanes(kept, layout, at, new Int32Array(bytes.buffer))
    frames.publish(record.batch, record.previous, record.now, recorded, layout.total)
    return { hasFrame: true, frameBytes: layout.total, laneBase }
  }

  /** After `executed` moved: who waits for the frame? */
  publish(batch: number): void {
    const { control, isMemory, hasLogThread } = this.#parts
    if (!this.#hasFrame) return
    if (hasLogThread) {
      this.#ahead.push(batch)
      control.wakeLog()
    } else control.store('frameWritten', control.load('frameHead'))
    if (isMemory) control.durable = batch
  }

  /** Every recorded transaction with a request id: its place in the batch, its outcome, and what it was asked. */
  forEachWithId(visit: (index: number, outcome: number, id: string, request: number, value: Uint8Array) => void): void {
    let index = 0
    for (const { log, piece } of this.#join()) {
      for (let n = 0; n < piece.transactions; n += 1) {
        const at = (piece.transactionsAt + n) * transactionInts
        const t = log.transactions
        const idBytes = t[at + 7]!
        if (idBytes > 0) {
          const idAt = piece.bytesAt + t[at + 6]!
          const valueAt = piece.bytesAt + t[at + 4]!
          const id = Buffer.from(log.bytes.buffer, idAt, idBytes).toString('utf8')
          visit(index, t[at + 2]!, id, t[at + 3]! >>> 0, log.bytes.slice(valueAt, valueAt + t[at + 5]!))
        }
        index += 1
      }
    }
  }

  /** Answers a request from outside of the lanes. `ofBatch` is the batch of a recorded outcome. */
  answer(ring: ResponseRing, slot: number, batch: number, outcome: number, index: number, value: Uint8Array, ofBatch: number): void {
    const inBatch = ofBatch === 0 ? batch : ofBatch
    const long = value.length > limits.responseInlineBytesMax ? this.#answers.put(value, value.length) : 0
    if (value.length <= limits.responseInlineBytesMax || long !== 0) {
      ring.write(slot, inBatch, 0, outcome, -1, index, value, value.length, long)
      return
    }
    const kind = outcome & outcomeKindMask
    const code = kind === committed ? 'OUT_OF_SPACE' : errorCodes[kind - 1]!
    encodeShortError(code, undefined, this.#short)
    ring.write(slot, inBatch, 0, outcomeOfCode(code), -1, index, this.#short.memory, this.#short.length, 0)
  }

  /** The lanes of all workers in the order of the batch: by partition, the cross-partition lane last. Reused each time. */
  #join(): readonly JoinedLane[] {
    const { logs } = this.#parts
    const lanes = this.#lanes
    lanes.length = 0
    for (let worker = 0; worker < logs.length; worker += 1) {
      const log = logs[worker]!
      for (let ordinal = 0; ordinal < log.lanes; ordinal += 1) {
        const lane = (this.#pool[lanes.length] ??= { log, worker, ordinal, piece: newPiece() })
        lane.log = log
        lane.worker = worker
        lane.ordinal = ordinal
        log.piece(ordinal, lane.piece)
        lanes.push(lane)
      }
    }
    return lanes.length < 2 ? lanes : lanes.sort(byPartition)
  }
  readonly #lanes: JoinedLane[] = []
  readonly #pool: JoinedLane[] = []

  #viewOf(bytes: Uint8Array): DataView {
    let view = this.#views.get(bytes)
    if (view === undefined) {
      view = new DataView(bytes.buffer)
      this.#views.set(bytes, view)
    }
    return view
  }
}

export function countsOf(lanes: readonly RecordedLane[]): { lanes: number; transactions: number; changes: number; events: number; bytes: number } {
  const counts = { lanes: lanes.length, transactions: 0, changes: 0, events: 0, bytes: 0 }
  for (const { piece } of lanes) {
    counts.transactions += piece.transactions
    counts.changes += piece.changes
    counts.events += piece.events
    counts.bytes += piece.bytes
  }
  return counts
}

/** The sections of a body whose layout they gave, from `at` on. */
export function copyLanes(lanes: readonly RecordedLane[], layout: BodyLayout, at: number, ints: Int32Array): void {
  let lane = (at + layout.lanesAt) >>> 2
  let transactions = (at + layout.transactionsAt) >>> 2
  let changes = (at + layout.changesAt) >>> 2
  let events = (at + layout.eventsAt) >>> 2
  let rest = at + layout.bytesAt
  for (const { log, piece } of lanes) {
    ints[lane] = piece.partition < 0 ? crossPartitionLane | 0 : piece.partition
    ints[lane + 1] = piece.transactions
    ints[lane + 2] = piece.changes
    ints[lane + 3] = piece.events
    ints[lane + 4] = piece.bytes
    lane += 5
    transactions = copyInts(ints, transactions, log.transactions, piece.transactionsAt * transactionInts, piece.transactions * transactionInts)
    changes = copyInts(ints, changes, log.changes, piece.changesAt * changeInts, piece.changes * changeInts)
    events = copyInts(ints, events, log.events, piece.eventsAt * eventInts, piece.events * eventInts)
    copyInts(ints, rest >>> 2, log.byteWords, piece.bytesAt >>> 2, piece.bytes >>> 2)
    rest += piece.bytes
  }
}

/** Below some dozens of words a loop is quicker than making a view for `set`. */
function copyInts(to: Int32Array, at: number, from: Int32Array, start: number, count: number): number {
  if (count <= 64) for (let n = 0; n < count; n += 1) to[at + n] = from[start + n]!
  else to.set(from.subarray(start, start + count), at)
  return at + count
}
