/**
 * One engine in one thread with nothing around it: requests go into its ring, batches run, and what came out (answers and the
 * frame) is read at once. No promises, no log, no clock but the one that steps: so thousands of small batches take a second.
 *
 * `ahead` runs the cross-partition lane ahead of its turn: 'inline' as `workers: 0` does, else with so many workers, in an
 * order that chance makes (test/simulator/stepped-lanes.ts).
 */
import { ByteReader, ByteWriter } from '../../engine/base/bytes.js'
import { decodeCanonical } from '../../engine/base/canonical.js'
import { errorCodes } from '../../engine/base/errors.js'
import { hash32 } from '../../engine/base/hash.js'
import { limits } from '../../engine/base/limits.js'
import type { SpeculationCounts } from '../../engine/partition/speculated-lane.js'
import type { Program } from '../../engine/schema/descriptor.js'
import { partitionOfOne } from '../../engine/schema/placement.js'
import { compileRecordCodec, type RecordCodec } from '../../engine/schema/record-codec.js'
import type { LaneHost, Sequencer } from '../../engine/sequencer/sequencer.js'
import { BatchRecord } from '../../engine/shared/batch-record.js'
import { sharedBuffer } from '../../engine/shared/buffers.js'
import { Control } from '../../engine/shared/control.js'
import { LaneLog } from '../../engine/shared/lane-log.js'
import { unplaced } from '../../engine/shared/request-ring.js'
import type { ResponseEntry } from '../../engine/shared/response-ring.js'
import { SpeculationClaims } from '../../engine/shared/speculation-log.js'
import { Statistics } from '../../engine/shared/statistics.js'
import { checkStore } from '../../engine/store/check.js'
import { flagDeleted } from '../../engine/store/domain.js'
import { Store } from '../../engine/store/store.js'
import { replayBatch } from '../../engine/stream/replay.js'
import { outcomeKindMask } from '../../engine/txn/outcome.js'
import { EngineParts, type EnginePlan, withSystemTables } from '../../engine/worker/engine-plan.js'
import { InlineLaneHost, makeSequencer } from '../../engine/worker/lane-hosts.js'
import { SteppedLanes } from '../simulator/stepped-lanes.js'
import { randomOf } from '../support/random.js'
import { canon } from '../support/canon.js'

export interface Request {
  /** Ordinal of the procedure. */
  readonly procedure: number
  readonly input: Readonly<Record<string, unknown>>
  readonly id: string | undefined
  /** The value that places it. */
  readonly at: number | undefined
}

/** What a batch came to. `answers` holds, one behind the other, outcome, place in the log and value of each request. */
export interface Outcome {
  readonly answers: Uint8Array
  readonly frame: Uint8Array | undefined
}

export type Ahead = 'never' | 'inline' | 1 | 2 | 3

const partitions = 4
const KiB = 1_024
const MiB = 1_024 * KiB
/** A hundred looks at a clock that goes by 3 ms each time. */
export const outcomeWindowMs = 300
const laneSizes = { lanes: partitions + 2, transactions: 4_200, changes: 2 ** 13, events: 2 ** 11, bytes: 2 * MiB }

/** Rings are used again: what stands in them does not matter. */
const rings = new Map<number, SharedArrayBuffer[]>()
const taken = (bytes: number): SharedArrayBuffer => rings.get(Math.max(bytes, limits.heapBlockBytesMax))?.pop() ?? sharedBuffer(bytes)

export class Bench {
  readonly store: Store
  readonly #parts: EngineParts
  readonly #sequencer: Sequencer
  readonly #host: LaneHost & { readonly counts: SpeculationCounts | undefined }
  readonly #inputs: readonly RecordCodec[]
  readonly #input = new ByteWriter(1_024)
  readonly #answers = new ByteWriter(4_096)
  readonly #buffers: SharedArrayBuffer[] = []
  #frames: number

  /** `mebibytes`: of memory, and of what a batch may record. */
  constructor(program: Program, ahead: Ahead, seed: number, mebibytes?: number) {
    const withSystem = withSystemTables(program)
    const workers = typeof ahead === 'number' ? ahead : 0
    const plan = this.#plan(withSystem, workers, ahead !== 'never', seed, mebibytes)
    this.#inputs = program.procedures.map((p) => compileRecordCodec(p.descriptor, p, p.descriptor.name))
    if (workers === 0) {
      this.#parts = new EngineParts(withSystem, plan, 0)
      this.#host = new InlineLaneHost(this.#parts)
    } else {
      const stepped = new SteppedLanes(withSystem, plan, randomOf(seed ^ 0x2545_f491))
      this.#parts = stepped.sequencerParts
      this.#host = stepped
    }
    const { control, store } = this.#parts
    control.executed = replayBatch
    control.durable = replayBatch
    this.store = store
    this.#sequencer = makeSequencer(this.#parts, this.#host)
    this.#frames = this.#parts.frames.tail
  }

  #plan(program: Program, workers: number, runsAhead: boolean, seed: number, mebibytes = 0): EnginePlan {
    const threads = Math.max(1, workers)
    const take = (bytes: number): SharedArrayBuffer => {
      const buffer = taken(bytes)
      this.#buffers.push(buffer)
      return buffer
    }
    return {
      store: Store.plan(program, { bytes: Math.max(16, mebibytes) * MiB, isDefault: false, workers, partitions, historyBytes: 0, runsAhead }),
      control: Control.create(threads).buffer,
      requests: take(limits.requestRingBytes),
      responses: take(threads * limits.responseRingBytes),
      logs: Array.from({ length: threads }, () => LaneLog.create({ ...laneSizes, bytes: Math.max(2, mebibytes) * MiB }).buffers),
      record: BatchRecord.create(partitions).buffer,
      frames: new SharedArrayBuffer(256 * KiB),
      frameRingBytes: 256 * KiB,
      frameOverflow: take(Math.max(limits.requestRingBytes, mebibytes * MiB)),
      workers,
      partitions,
      seed,
      firstBatch: 2 ** 24,
      previous: 0,
      clock: { wallMs: 1_700_000_000_000, monotonicMs: 0, stepMs: 3 },
      outcomeWindowMs,
      isMemory: true,
      hasLogThread: false,
      spinLoads: 0,
      idleTurns: 4,
      statistics: Statistics.create().buffer,
      speculation: runsAhead ? { claims: SpeculationClaims.create().buffer, logs: Array.from({ length: threads }, () => take(limits.speculationLogBytes)), mode: 'always' } : undefined,
    }
  }

  /** All of them as one batch. */
  run(requests: readonly Request[]): Outcome {
    const { requests: ring, responses, frames } = this.#parts
    requests.forEach(({ procedure, input, id, at }, slot) => {
      this.#input.reset()
      this.#inputs[procedure]!.encode(input, this.#input)
      const partition = at === undefined ? unplaced : partitionOfOne(at, partitions)
      if (!ring.write(slot, procedure, partition, id === undefined ? undefined : Buffer.from(id), this.#input.memory, this.#input.length)) throw new Error('a batch that does not fit into the ring')
    })
    ring.publish()
    while (this.#sequencer.hasWork()) this.#sequencer.runBatch()
    const entries = this.#entries
    entries.length = 0
    for (const one of responses) one.drain(Infinity, (entry) => this.#accept(entry))
    if (entries.length !== requests.length) throw new Error(`${entries.length} of ${requests.length} requests were answered`)
    const answers = this.#answers
    answers.reset()
    // By worker until here: who ran a lane is nobody's business.
    for (const { slot, outcome, index, value } of entries.sort((a, b) => a.slot - b.slot)) {
      answers.u32(slot)
      answers.u32(outcome)
      answers.u32(index >>> 0)
      answers.u32(value.length)
      answers.raw(value)
    }
    const entry = frames.read(this.#frames, frames.publishedHead)
    if (entry === undefined) return { answers: answers.bytes().slice(), frame: undefined }
    this.#frames = entry.next
    return { answers: answers.bytes().slice(), frame: entry.body.slice() }
  }
  readonly #entries: { slot: number; outcome: number; index: number; value: Uint8Array }[] = []

  #accept({ slot, outcome, index, valueAt, valueBytes, bytes }: ResponseEntry): void {
    let value = bytes.subarray(valueAt, valueAt + Math.max(0, valueBytes))
    if (valueBytes < 0) {
      const { bytes: memory, from } = this.store.memory.block(-valueBytes)
      value = memory.subarray(from + 8, from + 8 + this.store.region.i32[-valueBytes * 2]!)
    }
    this.#entries.push({ slot, outcome, index, value: value.slice() })
  }

  /** Runs ahead that were committed, were made again, or had come to nothing, in the last batch that had some. */
  get counts(): SpeculationCounts | undefined {
    return this.#host.counts
  }

  /** A hash of all rows, whatever their order. */
  hash(): number {
    let sum = 0
    for (const table of this.store.tables) {
      for (let partition = 0; partition < table.partitions; partition += 1) {
        table.part(partition).hash.forEach((row) => {
          if ((this.store.region.i32[row * 2 + 3]! & flagDeleted) === 0) sum = (sum + hash32(Buffer.from(`${table.name} ${canon(table.codec.decode(row))}`))) | 0
        })
      }
    }
    return sum
  }

  /** Walks the store. */
  check(): void {
    checkStore(this.store, this.#parts.control.executed)
  }

  /** Its rings may be used by another one. */
  end(): void {
    for (const buffer of this.#buffers) {
      const bytes = buffer.byteLength
      const free = rings.get(bytes)
      if (free === undefined) rings.set(bytes, [buffer])
      else free.push(buffer)
    }
  }

  /** Answers in words. */
  spoken(answers: Uint8Array): string[] {
    const reader = new ByteReader(answers)
    const said: string[] = []
    while (reader.left > 0) {
      const [slot, outcome, index, length] = [reader.u32(), reader.u32(), reader.u32() | 0, reader.u32()]
      const kind = outcome & outcomeKindMask
      const value = length === 0 ? undefined : decodeCanonical(new ByteReader(reader.raw(length)))
      said[slot] = `${kind === 0 ? 'ok' : errorCodes[kind - 1]} ${canon(value)} at ${index}`
    }
    return said
  }
}
