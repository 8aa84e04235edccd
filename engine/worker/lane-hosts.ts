/**
 * Where lanes run. Inline: one runner does them all. With workers: each does its own, and the sequencer waits at a barrier.
 */
import type { LaneHost } from '../sequencer/sequencer.js'
import { Sequencer } from '../sequencer/sequencer.js'
import { Sealer } from '../sequencer/seal.js'
import { BatchReferences } from '../sequencer/batch-references.js'
import type { Environment } from '../base/environment.js'
import { nodeEnvironment } from '../base/environment-node.js'
import { limits } from '../base/limits.js'
import { databaseState } from '../shared/control.js'
import { LaneRunner } from '../partition/lane-runner.js'
import { SpeculatedLane, type SpeculationCounts } from '../partition/speculated-lane.js'
import { SpeculationPace } from '../partition/speculation-pace.js'
import { Speculator } from '../partition/speculator.js'
import { BrokenBatch } from '../txn/transaction.js'
import { Realm } from '../txn/realm.js'
import type { EngineParts } from './engine-plan.js'
import { makeClock } from './clock.js'

export function makeRunner(parts: EngineParts, worker: number, realm: Realm): LaneRunner {
  return new LaneRunner({
    program: parts.program,
    store: parts.store,
    log: parts.logs[worker]!,
    requests: parts.requests,
    responses: parts.responses[worker]!,
    control: parts.control,
    record: parts.record,
    realm,
    worker,
    statistics: parts.statistics,
    fork: parts.fork,
  })
}

function makeSpeculator(parts: EngineParts, worker: number, realm: Realm): Speculator {
  const { claims, logs } = parts.speculation!
  const { copiesAt, copiesWords } = parts.store.plan
  return new Speculator({
    program: parts.program,
    store: parts.store,
    requests: parts.requests,
    control: parts.control,
    record: parts.record,
    realm,
    worker,
    claims,
    log: logs[worker]!,
    scratch: { at: copiesAt + worker * copiesWords, words: copiesWords },
  })
}

/** A worker's part in running ahead: made when it is first asked for. */
export class OwnSpeculation {
  readonly #make: () => Speculator
  #speculator: Speculator | undefined

  constructor(parts: EngineParts, worker: number, realm: Realm) {
    this.#make = () => makeSpeculator(parts, worker, realm)
  }
  run(count: number): void {
    this.#speculator ??= this.#make()
    this.#speculator.run(count)
  }
}

/**
 * The cross-partition lane on the sequencer's thread: in order, or ahead and then in order. `runAhead` has all workers run the
 * requests that are open, and answers when they have.
 */
export class CrossLane {
  readonly #parts: EngineParts
  readonly #runner: LaneRunner
  readonly #runAhead: (count: number) => void
  readonly #pace: SpeculationPace | undefined
  readonly #lane: SpeculatedLane | undefined

  constructor(parts: EngineParts, runner: LaneRunner, runAhead: (count: number) => void) {
    this.#parts = parts
    this.#runner = runner
    this.#runAhead = runAhead
    if (parts.speculation === undefined) return
    const { claims, logs, mode } = parts.speculation
    this.#pace = new SpeculationPace(mode)
    this.#lane = new SpeculatedLane(parts.store, claims, logs)
  }

  /** What became of the runs ahead of the last batch that had some; undefined: there are never any. */
  get counts(): SpeculationCounts | undefined {
    return this.#lane?.counts
  }

  run(strays: number): void {
    const { record } = this.#parts
    const pace = this.#pace
    const count = pace === undefined ? 0 : record.crossRequests(strays)
    if (pace === undefined || count === 0) {
      this.#runner.runCross(strays)
      return
    }
    const ahead = !record.mustRunInOrder && pace.runsAhead(count)
    const startMs = nodeEnvironment.monotonicMs()
    if (ahead) this.#runAheadThenCommit(count, strays)
    else this.#runner.runCross(strays)
    this.#parts.statistics.add(ahead ? 'lanesAhead' : 'lanesInOrder', 1)
    pace.took(ahead, count, nodeEnvironment.monotonicMs() - startMs)
  }

  #runAheadThenCommit(count: number, strays: number): void {
    const { speculation, statistics } = this.#parts
    const lane = this.#lane!
    speculation!.claims.open(count)
    this.#runAhead(count)
    const behindMs = nodeEnvironment.monotonicMs()
    lane.begin(count)
    this.#runner.runCross(strays, lane)
    statistics.record('validate', nodeEnvironment.monotonicMs() - behindMs)
    statistics.add('keptAhead', lane.counts.kept)
    statistics.add('staleAhead', lane.counts.stale)
    statistics.add('leftAhead', lane.counts.given)
  }
}

export function makeSequencer(parts: EngineParts, lanes: LaneHost, environment: Environment = nodeEnvironment): Sequencer {
  const { plan } = parts
  const sealer = new Sealer({
    control: parts.control,
    frames: parts.frames,
    logs: parts.logs,
    store: parts.store,
    isMemory: plan.isMemory,
    hasLogThread: plan.hasLogThread,
  })
  return new Sequencer(
    {
      program: parts.program,
      store: parts.store,
      control: parts.control,
      requests: parts.requests,
      responses: parts.responses,
      record: parts.record,
      lanes,
      sealer,
      references: BatchReferences.of(parts.store, parts.logs),
      clock: makeClock(plan.clock, environment),
      seed: plan.seed,
      statistics: parts.statistics,
      isMemory: plan.isMemory,
      monotonicMs: () => environment.monotonicMs(),
      outcomeWindowMs: plan.outcomeWindowMs,
    },
    // After a worker was lost, behind the batch it left unfinished: batch numbers are never reused (R16).
    Math.max(plan.firstBatch, parts.control.executed + 1, parts.record.batch + 1),
    Math.max(plan.previous, parts.control.frameBatch),
  )
}

/** The lanes of one worker: the partitions p with p mod workers = worker. */
export function runOwnLanes(parts: EngineParts, runner: LaneRunner, worker: number): void {
  const { store, control, record, plan } = parts
  store.reclaim(worker, control.durable, record.batch, limits.reclaimMarksPerBatchMax)
  runner.beginBatch()
  const step = Math.max(1, plan.workers)
  const first = worker + Math.ceil(Math.max(0, record.firstLane - worker) / step) * step
  for (let partition = first; partition <= record.lastLane; partition += step) runner.runPartition(partition)
}

/** `workers: 0`: everything on the caller's thread. The globals are the transaction's for the length of the lanes (R38). */
export class InlineLaneHost implements LaneHost {
  readonly #parts: EngineParts
  readonly #realm = new Realm()
  readonly #runner: LaneRunner
  readonly #cross: CrossLane

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#runner = makeRunner(parts, 0, this.#realm)
    const own = new OwnSpeculation(parts, 0, this.#realm)
    this.#cross = new CrossLane(parts, this.#runner, (count) => own.run(count))
  }

  /** A procedure is running, on the very thread that callers use. */
  get isRunning(): boolean {
    return this.#realm.active !== undefined
  }
  enter(): void {
    this.#realm.enter()
  }
  leave(): void {
    this.#realm.leave()
  }
  runLanes(): void {
    runOwnLanes(this.#parts, this.#runner, 0)
  }
  runCross(strays: number): void {
    this.#cross.run(strays)
  }
  /** As `CrossLane.counts`. */
  get counts(): SpeculationCounts | undefined {
    return this.#cross.counts
  }
}

/** The database stopped while the sequencer waited for lanes, which may never end: nobody replaces the worker of one any more. */
export class StoppedAtBarrier extends Error {}

/** The sequencer's worker: starts the others, runs its own lanes, waits for all. */
export class ThreadLaneHost implements LaneHost {
  readonly #parts: EngineParts
  readonly #runner: LaneRunner
  readonly #cross: CrossLane
  #epoch: number

  constructor(parts: EngineParts, runner: LaneRunner, realm: Realm) {
    this.#parts = parts
    this.#runner = runner
    const own = new OwnSpeculation(parts, 0, realm)
    this.#cross = new CrossLane(parts, runner, (count) => this.#onAll(count, () => own.run(count)))
    this.#epoch = parts.control.load('lanes')
  }

  /** The realm of a worker is the transactions' all the time. */
  enter(): void {}
  leave(): void {}

  runLanes(): void {
    this.#onAll(0, () => runOwnLanes(this.#parts, this.#runner, 0))
  }

  runCross(strays: number): void {
    this.#cross.run(strays)
  }

  /** Starts the other workers, at their lanes or at so many requests to be run ahead, does our own part, and waits for them all. */
  #onAll(speculating: number, own: () => void): void {
    const { control, plan } = this.#parts
    const others = plan.workers - 1
    // Also with one worker: by this word the supervisor knows that whoever dies has run ahead of his turn.
    control.store('speculating', speculating)
    if (others > 0) {
      this.#epoch = (this.#epoch + 1) | 0
      control.store('lanes', this.#epoch)
      for (let worker = 1; worker <= others; worker += 1) control.wakeWorker(worker)
    }
    let broken: unknown
    try {
      own()
    } catch (error) {
      broken = error
    }
    if (others > 0) {
      const mustLook = (): boolean => this.#haveEnded(others) || control.load('state') !== databaseState.open
      if (!control.spin(mustLook, plan.spinLoads)) while (!mustLook()) control.sleepWorker(0, mustLook)
      if (!this.#haveEnded(others)) throw new StoppedAtBarrier()
      if (control.load('abandon') !== 0) {
        control.store('abandon', 0)
        broken ??= new BrokenBatch('a lane of another worker broke the batch')
      }
    }
    control.store('speculating', 0)
    if (broken !== undefined) throw broken
  }

  /** The other workers have come to the end of their lanes; a new one in the place of a lost one says so at its start. */
  #haveEnded(others: number): boolean {
    for (let worker = 1; worker <= others; worker += 1) if (this.#parts.control.laneEpoch(worker) !== this.#epoch) return false
    return true
  }
}
