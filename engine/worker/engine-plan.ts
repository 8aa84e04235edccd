/**
 * Everything that the threads of a database share, as buffers and numbers that can be handed to a worker, and the objects that
 * each thread makes of them. The plan never changes; what changes lies in the buffers.
 */
import { limits } from '../base/limits.js'
import type { Program } from '../schema/descriptor.js'
import { withParked, withSequences } from '../schema/sequence-table.js'
import { outcomeTable } from '../sequencer/outcome-table.js'
import { BatchRecord } from '../shared/batch-record.js'
import { sharedBuffer } from '../shared/buffers.js'
import { Control } from '../shared/control.js'
import { FrameRing } from '../shared/frame-ring.js'
import { LaneLog, recordCostBytes } from '../shared/lane-log.js'
import { RequestRing } from '../shared/request-ring.js'
import { ResponseRing } from '../shared/response-ring.js'
import { Statistics } from '../shared/statistics.js'
import { SpeculationClaims, SpeculationLog } from '../shared/speculation-log.js'
import { SnapshotView } from '../store/snapshot-view.js'
import { Store, type StorePlan } from '../store/store.js'
import { laneCostMax } from '../partition/lane-runner.js'
import type { SpeculationMode } from '../partition/speculation-pace.js'
import { withConsumers } from '../txn/consumer-work.js'
import { withTransact } from '../txn/draft-commit.js'
import type { ForkLanes } from '../txn/fork-table.js'
import { withHandlers } from '../txn/handler-call.js'
import { withReplicas } from '../txn/replica-copy.js'

export interface ClockPlan {
  /** Milliseconds: wall clock at open, or the last logged time if that is later (R56). */
  readonly wallMs: number
  /** The monotonic clock at that moment. */
  readonly monotonicMs: number
  /** Tests: every batch is so many milliseconds after the last, and no clock is read. */
  readonly stepMs: number | undefined
}

export interface EnginePlan {
  readonly store: StorePlan
  readonly control: SharedArrayBuffer
  readonly requests: SharedArrayBuffer
  /** The rings of all workers, one behind the other. */
  readonly responses: SharedArrayBuffer
  readonly logs: readonly (readonly SharedArrayBuffer[])[]
  readonly record: SharedArrayBuffer
  readonly frames: SharedArrayBuffer
  readonly frameOverflow: SharedArrayBuffer
  readonly statistics: SharedArrayBuffer
  /** Of the frame ring; the buffer may be longer. */
  readonly frameRingBytes: number
  readonly workers: number
  readonly partitions: number
  readonly seed: number
  readonly firstBatch: number
  readonly previous: number
  readonly clock: ClockPlan
  readonly outcomeWindowMs: number
  readonly isMemory: boolean
  readonly hasLogThread: boolean
  /** Shared loads that a waiting thread spends before it sleeps; 0 where threads outnumber processors. */
  readonly spinLoads: number
  /** Turns of main's event loop without news after which it sleeps. */
  readonly idleTurns: number
  /** Runs of the cross-partition lane ahead of their turn; undefined: everything runs in order. */
  readonly speculation: SpeculationPlan | undefined
}

export interface SpeculationPlan {
  readonly claims: SharedArrayBuffer
  /** One for each worker. */
  readonly logs: readonly SharedArrayBuffer[]
  readonly mode: SpeculationMode
}

/** The program with the engine's own tables and its own procedures behind the user's. */
export function withSystemTables(program: Program): Program {
  const withOwn = withConsumers(withReplicas(withHandlers(withTransact(program), program.services.length)))
  return { ...withOwn, tables: [...withSequences(withParked(withOwn.tables)), outcomeTable] }
}

export type PlanOptions = Omit<EnginePlan, 'store' | 'control' | 'requests' | 'responses' | 'logs' | 'record' | 'frames' | 'frameOverflow' | 'frameRingBytes' | 'statistics' | 'speculation'> & {
  readonly store: StorePlan
  readonly speculation: SpeculationMode
}

export function createPlan(options: PlanOptions): EnginePlan {
  const threads = Math.max(1, options.workers)
  const lanes = Math.ceil(options.partitions / threads) + 1
  const bytes = lanes * (laneCostMax(options.partitions) + 1.5 * limits.transactionBytesMax)
  const sizes = {
    lanes,
    transactions: limits.batchRequestsMax + 1,
    changes: Math.ceil(bytes / recordCostBytes),
    events: Math.ceil(bytes / recordCostBytes),
    bytes: Math.min(bytes, 1.5 * limits.frameBytesMax),
  }
  const ring = options.hasLogThread && !options.isMemory ? 2 * limits.frameBytesAheadMax : limits.memoryLogBytes
  return {
    ...options,
    control: Control.create(threads).buffer,
    requests: sharedBuffer(limits.requestRingBytes),
    responses: sharedBuffer(threads * limits.responseRingBytes),
    logs: Array.from({ length: threads }, () => LaneLog.create(sizes).buffers),
    record: BatchRecord.create(options.partitions).buffer,
    frames: sharedBuffer(ring),
    frameRingBytes: ring,
    frameOverflow: sharedBuffer(limits.frameBytesMax),
    statistics: Statistics.create().buffer,
    speculation:
      options.store.copiesWords === 0
        ? undefined
        : {
            claims: SpeculationClaims.create().buffer,
            logs: Array.from({ length: threads }, () => SpeculationLog.create()),
            mode: options.speculation,
          },
  }
}

export interface ForkParts extends ForkLanes {
  readonly store: Store
}

/** The objects of one thread over the shared plan. */
export class EngineParts {
  readonly plan: EnginePlan
  readonly program: Program
  readonly control: Control
  readonly store: Store
  readonly requests: RequestRing
  readonly responses: readonly ResponseRing[]
  readonly logs: readonly LaneLog[]
  readonly record: BatchRecord
  readonly frames: FrameRing
  readonly statistics: Statistics
  readonly speculation: { readonly claims: SpeculationClaims; readonly logs: readonly SpeculationLog[]; readonly mode: SpeculationMode } | undefined

  /** Of a fork: its store, and how it is read. */
  readonly fork: ForkParts | undefined

  /** `seat`: the worker, or the number of threads for main. `program` with system tables. */
  constructor(program: Program, plan: EnginePlan, seat: number, fork?: ForkParts) {
    this.plan = plan
    this.program = program
    this.control = new Control(plan.control, plan.workers === 0 && !plan.hasLogThread)
    this.fork = fork
    this.store = fork?.store ?? new Store(program, plan.store, seat)
    this.requests = new RequestRing(plan.requests, this.control, limits.requestRingBytes)
    const ringBytes = limits.responseRingBytes
    this.responses = plan.logs.map((_, worker) => new ResponseRing(plan.responses, this.control, worker, ringBytes, worker * ringBytes))
    this.logs = plan.logs.map((buffers) => new LaneLog(buffers))
    this.record = new BatchRecord(plan.record, plan.partitions)
    this.frames = new FrameRing(plan.frames, plan.frameOverflow, this.control, plan.frameRingBytes)
    this.statistics = new Statistics(plan.statistics)
    const { speculation } = plan
    if (speculation !== undefined) {
      const logs = speculation.logs.map((buffer) => new SpeculationLog(buffer))
      this.speculation = { claims: new SpeculationClaims(speculation.claims), logs, mode: speculation.mode }
    }
  }

  /** The rows after a batch, under a slot that holds it. */
  viewAt(slot: number, batch: number): SnapshotView {
    return this.fork === undefined ? new SnapshotView(this.store, slot, batch) : this.fork.viewAt(slot, batch)
  }
}
