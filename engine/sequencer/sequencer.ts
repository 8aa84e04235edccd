/**
 * The sequencer: takes requests, fixes their order, has them run, seals the batch. One batch at a time (design §3).
 *
 *   intake → order → [partition lanes, in parallel] → barrier → cross-partition lane → seal → next
 *
 * The outcome equals running the batch serially: lane by lane, then the cross-partition lane. That order depends on the
 * requests alone, so it is the same for any number of workers (test/model/workers.test.ts compares the bytes).
 *
 * It knows no thread: `LaneHost` runs lanes wherever they run. What it keeps between batches is in shared memory or can be
 * found again there; what it keeps on its heap is scratch.
 */
import { ByteWriter } from '../base/bytes.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { Program } from '../schema/descriptor.js'
import { enginePrefix } from '../schema/handler-ids.js'
import { type BatchRecord, requestFlag } from '../shared/batch-record.js'
import type { Control } from '../shared/control.js'
import { requestHeaderBytes, type RequestRing, unplaced } from '../shared/request-ring.js'
import type { ResponseRing } from '../shared/response-ring.js'
import type { Statistics } from '../shared/statistics.js'
import type { Store } from '../store/store.js'
import { committed, encodeError, lateError, outcomeKindMask, outcomeOfCode, repeatedFlag } from '../txn/outcome.js'
import { requestHashOf } from '../txn/request-hash.js'
import { BrokenBatch } from '../txn/transaction.js'
import { OutcomeTable } from './outcome-table.js'
import type { BatchReferences } from './batch-references.js'
import type { Sealer } from './seal.js'

/** Runs lanes. Inline it is one runner; with threads it is all of them and a barrier. */
export interface LaneHost {
  /** Around everything that a batch runs: the globals are the transactions' meanwhile. */
  enter(): void
  leave(): void
  /** Runs every partition lane of the recorded batch to its end. Throws BrokenBatch when one of them broke it. */
  runLanes(): void
  /** Runs the cross-partition lane, on the sequencer's own thread. */
  runCross(strays: number): void
}

export interface BatchClock {
  /** Milliseconds; never below an earlier answer (R56). */
  now(): number
  /** The clock of deadlines, the same on every thread. */
  monotonicMs(): number
}

export interface SequencerParts {
  readonly program: Program
  readonly store: Store
  readonly control: Control
  readonly requests: RequestRing
  /** One for each worker. */
  readonly responses: readonly ResponseRing[]
  readonly record: BatchRecord
  readonly lanes: LaneHost
  readonly sealer: Sealer
  /** Undefined: no table has a reference of strength `batch`. */
  readonly references: BatchReferences | undefined
  readonly clock: BatchClock
  readonly seed: number
  readonly statistics: Statistics
  /** What is sealed is durable. */
  readonly isMemory: boolean
  /** For the statistics: no result depends on it. */
  readonly monotonicMs: () => number
  readonly outcomeWindowMs: number
}

/** A request that is answered without running: a repeat, one whose id finds no room (no `id` here), one that came too late. */
interface Duplicate {
  readonly counter: number
  readonly offset: number
  readonly id: string
  readonly request: number
  readonly isLate: boolean
}

export class Sequencer {
  readonly #parts: SequencerParts
  readonly #outcomes: OutcomeTable
  /** The next request that was never taken, as a counter of the ring. */
  #next: number
  /** Counters of requests that a full lane put off; they go first (R41). */
  #putOff: number[] = []
  #batch: number
  #previous: number
  // Scratch of intake.
  readonly #offsets = new Int32Array(limits.batchRequestsMax)
  readonly #counters = new Int32Array(limits.batchRequestsMax)
  readonly #lanes = new Int32Array(limits.batchRequestsMax)
  readonly #laneSizes: Int32Array
  readonly #value = new ByteWriter(512)
  readonly #ids = new Set<string>()
  /** How large the next batch is can only be guessed before it is taken: as large as the last one. */
  #timesOrder = false
  /** Of the last run of a batch. */
  #strays = 0
  #taken = 0
  #takenBytes = 0
  #duplicates: Duplicate[] = []
  #hasIds = false
  readonly #responseStart: number[] = []

  /**
   * `batch` is the first one to run, `previous` the newest one with a frame. A sequencer that follows one that died takes the
   * requests of its unfinished batch from the ring again: they are freed after the seal (R34).
   */
  constructor(parts: SequencerParts, batch: number, previous: number) {
    this.#parts = parts
    this.#batch = batch
    this.#previous = previous
    this.#next = parts.requests.tail
    this.#outcomes = new OutcomeTable(parts.store, parts.outcomeWindowMs)
    this.#laneSizes = new Int32Array(parts.record.partitions + 2)
  }

  /** Something is waiting to be taken. */
  hasWork(): boolean {
    return this.#putOff.length > 0 || this.#next !== this.#parts.requests.publishedHead
  }

  /** R43: the log is near enough for another frame, and main for the answers of another batch. */
  mayRun(): boolean {
    const { sealer, responses } = this.#parts
    for (let worker = 0; worker < responses.length; worker += 1) if (!responses[worker]!.hasRoomForBatch()) return false
    return sealer.mayRun()
  }

  /** Runs one batch, if there are requests. Answers how many it took. */
  runBatch(): number {
    const { store, record, control, requests, sealer, clock, responses, lanes } = this.#parts
    const { statistics, monotonicMs } = this.#parts
    const startedMs = this.#timesOrder ? monotonicMs() : 0
    const taken = this.#intake()
    if (taken === 0) return 0
    const batch = this.#batch
    this.#batch += 1
    const isTimed = statistics.isTimed(batch, taken)
    const beganMs = isTimed ? monotonicMs() : 0
    const published = statistics.leftKey('published')
    if (published !== undefined && ((this.#next - published) | 0) >= 0) statistics.takeUp('published', 'queue', isTimed ? beganMs : monotonicMs())
    const now = clock.now()
    record.begin(batch, this.#previous, now, this.#parts.seed, taken)
    for (const domain of store.domains) domain.beginBatch()
    sealer.beginBatch()
    for (let worker = 0; worker < responses.length; worker += 1) this.#responseStart[worker] = control.responseHead(worker)
    lanes.enter()
    try {
      this.#run(taken, batch, now)
    } finally {
      lanes.leave()
    }
    const ranMs = isTimed ? monotonicMs() : 0
    for (const duplicate of this.#duplicates) this.#answerRepeat(duplicate, batch)
    const sealed = sealer.seal(record)
    for (const domain of store.domains) domain.endBatch(batch)
    if (sealed.hasFrame) {
      this.#previous = batch
      control.frameBatch = batch
    }
    control.executed = batch
    sealer.publish(batch)
    for (let worker = 0; worker < responses.length; worker += 1) {
      const ring = responses[worker]!
      const to = worker === 0 ? ring.head : control.laneHead(worker)
      ring.settle(this.#responseStart[worker]!, to, sealed.laneBase[worker]!, this.#previous)
      control.publishResponses(worker, to)
    }
    if (isTimed) {
      if (startedMs > 0) statistics.record('order', beganMs - startedMs)
      statistics.record('execute', ranMs - beganMs)
      statistics.record('seal', monotonicMs() - ranMs)
    }
    this.#timesOrder = isTimed
    statistics.add('batches', 1)
    statistics.add('requests', taken)
    statistics.add('strays', this.#strays)
    statistics.add('crossRequests', record.crossRequests(this.#strays))
    if (sealed.hasFrame) {
      statistics.add('frames', 1)
      statistics.add('frameBytes', sealed.frameBytes)
    }
    // With a log thread it is the one that says so.
    if (isTimed && this.#parts.isMemory && statistics.mayLeave('durable')) statistics.leave('durable', batch, monotonicMs())
    if (record.mustRunInOrder) record.mustRunInOrder = false
    if (record.mustProveReferences) {
      record.mustProveReferences = false
      statistics.add('referenceReruns', 1)
    }
    this.#collectPutOff(taken)
    requests.free(this.#putOff.length > 0 ? this.#putOff[0]! : this.#next)
    return taken
  }

  /**
   * Runs the lanes: again without the culprit if a transaction broke the batch (R6, R36), with fewer if the frame is too long,
   * with every transaction proving its references if one does not hold now (R62), without the calls with an id if their outcomes
   * cannot be remembered.
   */
  #run(taken: number, batch: number, now: number): void {
    const { lanes, store, record, sealer, references } = this.#parts
    let limit = taken
    for (let attempt = 0; attempt < limits.batchRunsMax; attempt += 1) {
      try {
        lanes.runLanes()
        this.#reclaimGlobal(record.batch)
        const strays = this.#collectStrays(taken)
        lanes.runCross(strays)
        this.#strays = strays
        if (sealer.isTooLong()) {
          limit = Math.max(1, limit >>> 1)
          for (let n = 0; n < taken; n += 1) if (record.place(n) >= limit) record.setFlag(n, requestFlag.putOff)
        } else if (references !== undefined && !record.mustProveReferences && !references.hold(batch)) record.mustProveReferences = true
        else if (this.#remember(batch, now)) return
        else this.#turnIdsAway(taken)
      } catch (error) {
        if (!(error instanceof BrokenBatch)) throw error
      }
      store.rollback()
      for (let n = 0; n < taken; n += 1) if (record.flag(n) === requestFlag.stray) record.setFlag(n, requestFlag.run)
    }
    throw new Error(`a batch of ${taken} requests did not come to an end in ${limits.batchRunsMax} runs`)
  }

  #reclaimGlobal(batch: number): void {
    const { store, control } = this.#parts
    store.reclaim(store.domains.length - 1, control.durable, batch, limits.reclaimMarksPerBatchMax)
  }

  // ── intake ────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes what is there, in order of arrival, what was put off first; writes the order of the batch down. */
  #intake(): number {
    const { requests } = this.#parts
    const head = requests.publishedHead
    this.#taken = 0
    this.#takenBytes = 0
    this.#hasIds = false
    if (this.#duplicates.length > 0) this.#duplicates = []
    if (this.#ids.size > 0) this.#ids.clear()
    if (this.#putOff.length > 0) {
      const first = this.#putOff
      this.#putOff = []
      for (const counter of first) this.#take(counter)
    }
    while (this.#next !== head && this.#taken + this.#duplicates.length < limits.batchRequestsMax && this.#takenBytes < limits.batchBytesMax) {
      const counter = this.#next
      this.#next = (counter + requests.bytesAt(requests.offsetOf(counter))) | 0
      this.#take(counter)
    }
    const taken = this.#taken
    if (taken > 0) this.#order(taken)
    // A batch of nothing but repeats still answers them.
    if (taken === 0) this.#answerOnly()
    return taken
  }

  #take(counter: number): void {
    const { requests } = this.#parts
    const offset = requests.offsetOf(counter)
    if (requests.isFiller(offset)) return
    const deadline = requests.deadline(offset)
    if (deadline !== Infinity && this.#isLate(counter, offset, deadline)) return
    if (!requests.take(offset)) return
    this.#takenBytes += requests.bytesAt(offset)
    if (requests.i32[(offset >>> 2) + 4]! > 0 && !this.#admitId(counter, offset)) return
    this.#offsets[this.#taken] = offset
    this.#counters[this.#taken] = counter
    this.#taken += 1
  }

  /** R46: its time was over before a batch took it, and main, which has a timer for it, was busy with something else. */
  #isLate(counter: number, offset: number, deadline: number): boolean {
    const { requests, clock } = this.#parts
    if (clock.monotonicMs() < deadline || !requests.withdraw(offset, requests.i32[(offset >>> 2) + 1]!)) return false
    this.#duplicates.push({ counter, offset, id: '', request: 0, isLate: true })
    return true
  }

  /** Counting sort by lane: partitions in order, then the cross-partition lane; arrival decides within a lane. */
  #order(taken: number): void {
    const { record, requests } = this.#parts
    const partitions = record.partitions
    const sizes = this.#laneSizes
    const { i32 } = requests
    let first = partitions
    let last = -1
    for (let n = 0; n < taken; n += 1) {
      const partition = i32[(this.#offsets[n]! >>> 2) + 3]!
      const lane = partition === unplaced ? partitions : partition
      this.#lanes[n] = lane
      sizes[lane]! += 1
      if (lane === partitions) continue
      if (lane < first) first = lane
      if (lane > last) last = lane
    }
    let start = 0
    for (let lane = 0; lane < partitions; lane += 1) {
      record.setLaneStart(lane, start)
      const size = sizes[lane]!
      sizes[lane] = start
      start += size
    }
    record.setLaneStart(partitions, start)
    record.setLaneStart(partitions + 1, taken)
    sizes[partitions] = start
    record.setLaneRange(first, last)
    for (let n = 0; n < taken; n += 1) {
      const index = sizes[this.#lanes[n]!]!
      sizes[this.#lanes[n]!] = index + 1
      record.setRequest(index, this.#offsets[n]!, n)
      const verdict = requests.verdict(this.#offsets[n]!)
      if (verdict !== 0) record.setFlag(index, requestFlag.settled + verdict)
    }
    sizes.fill(0)
  }

  // ── calls with an id ──────────────────────────────────────────────────────────────────────────────────

  /** False when the request is a repeat, or cannot be remembered: it is answered at the seal instead of run. */
  #admitId(counter: number, offset: number): boolean {
    const { program, requests, clock, store } = this.#parts
    const at = offset >>> 2
    const idBytes = requests.i32[at + 4]!
    const from = offset + requestHeaderBytes
    const id = requests.bytes.toString('utf8', from, from + idBytes)
    const request = requestHashOf(program, requests, offset)
    if (this.#ids.has(id) || this.#outcomes.find(id) !== undefined) {
      this.#duplicates.push({ counter, offset, id, request, isLate: false })
      return false
    }
    let hasRoom = this.#outcomes.hasRoom(clock.now())
    try {
      store.domains.at(-1)!.reserve(outcomeReserveWords)
    } catch (error) {
      if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
      hasRoom = false
    }
    if (!hasRoom) {
      this.#duplicates.push({ counter, offset, id: '', request, isLate: false })
      return false
    }
    this.#ids.add(id)
    this.#hasIds = true
    return true
  }

  /** Remembers the outcomes of the batch, after its lanes. False when there is no room: what was done is rolled back with the batch. */
  #remember(batch: number, now: number): boolean {
    if (!this.#hasIds) return true
    try {
      this.#parts.sealer.forEachWithId((index, outcome, id, request, value) => this.#outcomes.add(batch, id, request, index, outcome, now, value))
    } catch (error) {
      if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
      return false
    }
    this.#outcomes.expire(batch, now)
    return true
  }

  /** R57: never silently at-least-once. */
  #turnIdsAway(taken: number): void {
    const { record, requests } = this.#parts
    for (let n = 0; n < taken; n += 1) {
      const offset = record.offset(n)
      if (requests.i32[(offset >>> 2) + 4]! === 0 || record.flag(n) === requestFlag.putOff) continue
      record.setFlag(n, requestFlag.turnedAway)
      this.#duplicates.push({ counter: this.#counters[record.place(n)]!, offset, id: '', request: 0, isLate: false })
    }
    this.#hasIds = false
  }

  #answerRepeat({ counter, offset, id, request, isLate }: Duplicate, batch: number): void {
    const { requests, responses, program, record } = this.#parts
    const at = offset >>> 2
    const slot = requests.i32[at + 1]!
    const found = id === '' ? undefined : this.#outcomes.find(id)
    if (found === undefined && id !== '') {
      this.#putOff.push(counter) // the call that it repeats was put off: it waits for the same answer
      return
    }
    requests.markDone(offset)
    if (found !== undefined && found.request === request) {
      // The value may be long: it goes back through the runner's own way, which main reads like any other.
      this.#parts.sealer.answer(responses[0]!, slot, record.batch, found.outcome | repeatedFlag, found.place, found.value, found.batch)
      return
    }
    const name = program.procedures[requests.i32[at + 2]!]!.descriptor.name
    const error = isLate
      ? lateError()
      : found !== undefined
        ? SluiceError.of('ID_REUSED', `The id "${id}" was used for another request than this call of "${name}": give every request an id of its own.`, { details: detailsOfReuse(id, found.outcome) })
        : SluiceError.of('OVERLOADED', `There is no room to remember the outcome of another call with an id (at most ${limits.outcomesMax} are kept, as far as memory goes): try again later, or open with a shorter outcomes.window.`)
    this.#value.reset()
    encodeError(error, this.#value, true)
    this.#parts.sealer.answer(responses[0]!, slot, batch, outcomeOfCode(error.code), -1, this.#value.bytes(), 0)
  }

  /** Repeats alone, or requests that were withdrawn: no batch runs, the newest one answers. */
  #answerOnly(): void {
    const { control, responses, requests } = this.#parts
    const ring = responses[0]!
    const start = control.responseHead(0)
    ring.rewind(start)
    for (const duplicate of this.#duplicates) this.#answerRepeat(duplicate, this.#batch - 1)
    this.#duplicates = []
    ring.settle(start, ring.head, noLanes, this.#previous)
    control.publishResponses(0, ring.head)
    requests.free(this.#next)
  }

  // ── strays and what was put off ───────────────────────────────────────────────────────────────────────

  /** By partition, then arrival: the order of the record. */
  #collectStrays(taken: number): number {
    const { record } = this.#parts
    let strays = 0
    for (let n = 0; n < taken; n += 1) {
      if (record.flag(n) !== requestFlag.stray) continue
      record.setStray(strays, n)
      strays += 1
    }
    return strays
  }

  #collectPutOff(taken: number): void {
    const { record } = this.#parts
    for (let n = 0; n < taken; n += 1) {
      if (record.flag(n) === requestFlag.putOff) this.#putOff.push(this.#counters[record.place(n)]!)
    }
    if (this.#putOff.length === 0) return
    this.#putOff.sort((a, b) => (a - b) | 0)
    for (let n = 0; n < taken; n += 1) if (record.flag(n) !== requestFlag.putOff) this.#parts.requests.markDone(record.offset(n))
  }
}

/** Of an id of the engine's its owner must know whether there is an effect that stands. */
const detailsOfReuse = (id: string, outcome: number): Readonly<Record<string, unknown>> => (id.startsWith(enginePrefix) ? { id, committed: (outcome & outcomeKindMask) === committed } : { id })

const noLanes = new Int32Array(0)
/** Words for the outcome rows of one batch, so that the seal never runs out of space. */
const outcomeReserveWords = 2_048
