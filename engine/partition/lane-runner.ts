/**
 * Runs the requests of lanes, one after the other, on one thread.
 *
 * For each request: decode the input, run the procedure in a transaction, then commit, undo, or leave it to the
 * cross-partition lane; record what R47 asks for in the lane log, and write the answer. Nothing here knows whether the thread
 * is a worker or main.
 */
import { ByteReader, ByteWriter } from '../base/bytes.js'
import { CanonicalError, encodeCanonical } from '../base/canonical.js'
import { errorCodes, SluiceError } from '../base/errors.js'
import { hash32 } from '../base/hash.js'
import { limits } from '../base/limits.js'
import type { Program } from '../schema/descriptor.js'
import { partitionsOfAnswer } from '../schema/placement.js'
import type { PlainRecord } from '../schema/record-codec.js'
import { type BatchRecord, requestFlag } from '../shared/batch-record.js'
import type { Control } from '../shared/control.js'
import type { LaneLog } from '../shared/lane-log.js'
import { wordsFor } from '../shared/region.js'
import { requestHeaderBytes, type RequestRing } from '../shared/request-ring.js'
import type { ResponseRing } from '../shared/response-ring.js'
import type { SpeculationLog } from '../shared/speculation-log.js'
import type { Statistics } from '../shared/statistics.js'
import type { Store } from '../store/store.js'
import { outOfSpace } from '../store/domain.js'
import { committed, encodeError, encodeShortError, errorOf, outcomeOfCode } from '../txn/outcome.js'
import { attachToFork, type ForkLanes, ForkTable } from '../txn/fork-table.js'
import { requestHashOf } from '../txn/request-hash.js'
import type { Realm } from '../txn/realm.js'
import { type MakeTable, makeServiceScope } from '../txn/service-scope.js'
import { BrokenBatch, crossLane, Transaction } from '../txn/transaction.js'
import { AnswerBlocks } from './answer-blocks.js'
import type { SpeculatedLane } from './speculated-lane.js'

export interface LaneRunnerParts {
  readonly program: Program
  readonly store: Store
  readonly log: LaneLog
  readonly requests: RequestRing
  readonly responses: ResponseRing
  readonly control: Control
  readonly record: BatchRecord
  readonly realm: Realm
  readonly worker: number
  readonly statistics: Statistics
  /** Of a fork. */
  readonly fork?: ForkLanes | undefined
}

/**
 * It says that nothing was decided: a repeat with the same id runs, as if this one had never been. Of a handler it is recorded: its event has ended with it, and must
 * not begin again when it comes once more.
 */
const conflicted = outcomeOfCode('CONFLICT')

const forkTable: MakeTable = (...made) => new ForkTable(...made)
const makeForkScope: typeof makeServiceScope = (transaction, service, isReadOnly) => makeServiceScope(transaction, service, isReadOnly, false, forkTable)

export class LaneRunner {
  readonly transaction: Transaction
  readonly #parts: LaneRunnerParts
  readonly #reader: ByteReader
  readonly #value = new ByteWriter(1_024)
  readonly #recorded = new ByteWriter(1_024)
  readonly #laneCostMax: number
  /** By procedure. */
  readonly #readsSnapshot: readonly boolean[]
  readonly #isHandler: readonly boolean[]
  readonly #answers: AnswerBlocks
  /** While the cross-partition lane commits what was run ahead. */
  #ahead: SpeculatedLane | undefined

  constructor(parts: LaneRunnerParts) {
    this.#parts = parts
    this.#readsSnapshot = parts.program.procedures.map(({ descriptor }) => descriptor.isolation === 'snapshot')
    const handlers = new Set(parts.program.handlers.map(({ name }) => name))
    this.#isHandler = parts.program.procedures.map(({ descriptor }) => handlers.has(descriptor.name))
    this.transaction = new Transaction(parts.program, parts.store, parts.log, parts.fork === undefined ? makeServiceScope : makeForkScope)
    if (parts.fork !== undefined) attachToFork(this.transaction, parts.fork)
    this.#reader = new ByteReader(parts.requests.bytes)
    this.#laneCostMax = laneCostMax(parts.store.partitions)
    this.#answers = new AnswerBlocks(parts.store, parts.store.domains[parts.worker]!)
  }

  /** Before the lanes of a batch, and before each further run of it. */
  beginBatch(): void {
    const { record, log, responses, control, worker, store } = this.#parts
    store.references.withBatch = record.mustProveReferences
    log.clear()
    this.#answers.beginBatch()
    responses.rewind(control.responseHead(worker))
    responses.restartIfEmpty()
    this.transaction.beginBatch(record.batch, record.now, record.seed)
  }

  /** Runs the lane of a partition. Throws BrokenBatch when the batch cannot go on. */
  runPartition(partition: number): void {
    const { record, log } = this.#parts
    const from = record.laneStart(partition)
    const to = record.laneStart(partition + 1)
    if (from === to) return
    log.beginLane(partition)
    for (let index = from; index < to; index += 1) this.#runRequest(index, partition)
    log.endLane()
  }

  /**
   * Runs the cross-partition lane: what was sent there, then the strays. `ahead`: runs of them that were made already, to be
   * committed where they still hold.
   */
  runCross(strays: number, ahead?: SpeculatedLane): void {
    const { record, log } = this.#parts
    const count = record.crossRequests(strays)
    if (count === 0) return
    log.beginLane(-1)
    this.#ahead = ahead
    for (let n = 0; n < count; n += 1) this.#runRequest(record.crossRequest(n), crossLane, ahead?.fresh(n))
    this.#ahead = undefined
    log.endLane()
  }

  /** `run`: where a run of it stands that still holds. `isOutdated`: the snapshot that it asks for is too old for what it writes. */
  #runRequest(index: number, lane: number, run?: SpeculationLog, isOutdated = false): void {
    const { record, requests, control, worker, log, statistics } = this.#parts
    const flag = record.flag(index)
    const offset = record.offset(index)
    const at = offset >>> 2
    const slot = requests.i32[at + 1]!
    const procedure = requests.i32[at + 2]!
    const place = record.place(index)
    if (flag >= requestFlag.settled) {
      this.#refuse(slot, procedure, place, offset, flag - requestFlag.settled)
      return
    }
    if (flag === requestFlag.putOff || flag === requestFlag.turnedAway) return
    if (log.laneCost > this.#laneCostMax) {
      record.setFlag(index, requestFlag.putOff) // R41: it goes first in the next batch
      return
    }
    control.noteRunning(worker, index)
    const idBytes = requests.i32[at + 4]!
    const inputBytes = requests.i32[at + 5]!
    const inputAt = offset + requestHeaderBytes + idBytes
    const { transaction } = this
    transaction.begin(lane, place)
    if (this.#readsSnapshot[procedure] && !isOutdated) transaction.readSnapshot()
    let outcome: number = committed
    let failure: SluiceError | undefined
    this.#value.reset()
    this.#parts.realm.active = transaction
    try {
      if (run === undefined) {
        this.#reader.seek(inputAt, inputAt + inputBytes)
        const input = transaction.inputs[procedure]!.decode(this.#reader)
        if (lane === crossLane && flag !== requestFlag.stray) this.#declare(procedure, input)
        const result = transaction.run(procedure, input)
        this.#encodeResult(result, procedure)
      } else this.#takeRun(run)
    } catch (thrown) {
      this.#parts.realm.active = undefined
      if (transaction.isBroken) {
        throw this.#broken(index)
      }
      if (run !== undefined) {
        // What it would do cannot be done now: its checks failed, or memory is out. In order it says so itself.
        transaction.undo()
        this.#ahead!.gaveWay()
        this.#runRequest(index, lane)
        return
      }
      if (transaction.isStray) {
        this.#leaveToCross(index)
        return
      }
      if (transaction.isOutdated) {
        this.#runOnWhatStands(index, lane)
        return
      }
      failure = errorOf(transaction.outcomeOf(thrown), this.#nameOf(procedure))
      outcome = outcomeOfCode(failure.code)
    }
    this.#parts.realm.active = undefined
    if (transaction.isBroken) throw this.#broken(index)
    if (transaction.isStray) {
      // Its procedure swallowed the signal and returned as if nothing had happened.
      this.#leaveToCross(index)
      return
    }
    if (transaction.isOutdated) {
      this.#runOnWhatStands(index, lane)
      return
    }
    let long = 0
    if (failure === undefined && this.#value.length > limits.responseInlineBytesMax) {
      long = this.#answers.put(this.#value.memory, this.#value.length)
      if (long === 0) {
        failure = outOfSpace(this.#parts.store.region, wordsFor(this.#value.length))
        outcome = outcomeOfCode(failure.code)
      }
    }
    if (failure === undefined) {
      if (transaction.hasLeftDeclared) statistics.add('strays', 1)
      transaction.commit()
      this.#ahead?.noteCommitted(transaction)
    } else {
      transaction.undo()
      this.#value.reset()
      encodeError(failure, this.#value, true)
    }
    this.#settle(slot, procedure, place, offset, idBytes, outcome, failure, long)
    control.noteRunning(worker, -1)
  }

  /** What a procedure said with `partitions`, so that leaving it is found. Its function has answered on main already. */
  #declare(procedure: number, input: PlainRecord): void {
    const { program, store } = this.#parts
    const { partitions } = program.procedures[procedure]!
    if (partitions === undefined) return
    const places = partitionsOfAnswer(partitions(input as never), store.partitions)
    if (places !== undefined) this.transaction.declare(places)
  }

  /** Does again what a run ahead has done, with its value. */
  #takeRun(run: SpeculationLog): void {
    const ahead = this.#ahead!
    ahead.apply(this.transaction, run)
    const { at, bytes } = ahead.value
    this.#value.raw(run.bytes.subarray(at, at + bytes))
  }

  /** What it would change is not what it has read any more: it runs again in its place, and reads what it changes. */
  #runOnWhatStands(index: number, lane: number): void {
    this.transaction.undo()
    this.#runRequest(index, lane, undefined, true)
  }

  /** A stray: it runs again at the end of the batch (R25), and its worker is idle (R36). */
  #leaveToCross(index: number): void {
    this.transaction.undo()
    this.#parts.record.setFlag(index, requestFlag.stray)
    this.#parts.control.noteRunning(this.#parts.worker, -1)
  }

  /** Marks the culprit, so that the next run of the batch answers it without running it (R6). */
  #broken(index: number): Error {
    if (this.transaction.bug !== undefined) return this.transaction.bug
    this.#parts.record.setFlag(index, requestFlag.settled + outcomeOfCode('PROCEDURE_FAILED'))
    this.#parts.control.noteRunning(this.#parts.worker, -1)
    return new BrokenBatch('a transaction ended in the middle of a store operation')
  }

  /** Records (R47) and answers. `long`: where a long value stands already. */
  #settle(slot: number, procedure: number, place: number, offset: number, idBytes: number, outcome: number, failure: SluiceError | undefined, long: number): void {
    const { log, responses, record, requests } = this.#parts
    const hasId = idBytes > 0 && (outcome !== conflicted || this.#isHandler[procedure] === true)
    let index = -1
    if (hasId || (failure === undefined && (log.changesOfTransaction > 0 || log.eventsOfTransaction > 0))) {
      let value = this.#value
      if (hasId && failure !== undefined) {
        value = this.#recorded
        value.reset()
        encodeError(failure, value, false)
      }
      const bytes = value.memory
      const resultAt = hasId ? log.putBytes(bytes, value.length) : 0
      const from = offset + requestHeaderBytes
      const idAt = hasId ? log.putBytes(requests.bytes.subarray(from, from + idBytes), idBytes) : 0
      index = log.recorded
      const hash = hasId ? requestHashOf(this.#parts.program, requests, offset) : hash32(bytes, 0, value.length)
      log.addTransaction(place, procedure, outcome, hash | 0, resultAt, hasId ? value.length : 0, idAt, idBytes)
    }
    let address = long
    if (address === 0 && this.#value.length > limits.responseInlineBytesMax) {
      address = this.#answers.put(this.#value.memory, this.#value.length)
      if (address === 0) encodeShortError(failure!.code, failure!.reason, this.#value)
    }
    responses.write(slot, record.batch, 0, outcome, log.laneOrdinal, index, this.#value.memory, this.#value.length, address)
  }

  /** Answers a request that must not run again: the watchdog or a broken batch found it guilty. */
  #refuse(slot: number, procedure: number, place: number, offset: number, kind: number): void {
    const code = errorCodes[kind - 1] ?? 'PROCEDURE_FAILED'
    const name = this.#nameOf(procedure)
    const message = {
      PROCEDURE_STUCK: `"${name}" ran for more than ${limits.procedureMsMax} ms and was stopped: split the work, or bound its loops.`,
      WORKER_LOST: `The worker that ran "${name}" died under it. Everything else went on; this call had no effect.`,
    }[code as 'PROCEDURE_STUCK' | 'WORKER_LOST'] ?? `"${name}" overflowed the stack inside a table operation: is there an endless recursion?`
    const failure = SluiceError.of(code, message, { details: { procedure: name } })
    this.#parts.log.beginTransaction()
    this.#value.reset()
    encodeError(failure, this.#value, true)
    this.#settle(slot, procedure, place, offset, this.#parts.requests.i32[(offset >>> 2) + 4]!, outcomeOfCode(code), failure, 0)
  }

  #encodeResult(result: unknown, procedure: number): void {
    try {
      encodeCanonical(result, this.#value)
    } catch (problem) {
      if (!(problem instanceof CanonicalError)) throw problem
      throw SluiceError.of('PROCEDURE_FAILED', `"${this.#nameOf(procedure)}" returned what is no plain data: ${problem.message}. Return get(key) instead of row(key), and values instead of instances.`, {
        details: { procedure: this.#nameOf(procedure) },
      })
    }
    if (this.#value.length > limits.longValueBytesMax) {
      throw SluiceError.of('PROCEDURE_FAILED', `"${this.#nameOf(procedure)}" returned more than ${limits.longValueBytesMax} bytes: read them from a snapshot.`, { details: { procedure: this.#nameOf(procedure) } })
    }
  }

  #nameOf(procedure: number): string {
    return this.#parts.program.procedures[procedure]!.descriptor.name
  }
}

/**
 * R41: what a lane may record before it puts the rest off. With many partitions a frame could still grow beyond its limit,
 * by one large transaction in each lane: then the sequencer runs the batch again with fewer requests.
 */
export function laneCostMax(partitions: number): number {
  const share = Math.floor(limits.frameBytesMax / 2 / (partitions + 1))
  return Math.max(limits.laneLogBytesMax / 64, Math.min(limits.laneLogBytesMax, share))
}
