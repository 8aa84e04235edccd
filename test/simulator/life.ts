/**
 * One life of a simulated database, from open to its end: the objects of engine/open.ts and of all threads, over a disk in
 * memory and a virtual world, in one thread. Nothing in it happens by itself: whoever holds it steps main, the sequencer
 * and the log.
 *
 * Real: store, transactions, lanes, sequencer, seal, rings, log pump and writer, recovery, replay, main's engine.
 * Stood in for: the threads (stepped-lanes.ts), the clock and the event loop (virtual-world.ts), the disk.
 * Small on purpose: the frame ring, segments and history, so that they wrap, roll and run out all the time.
 */
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { Engine } from '../../engine/database.js'
import { loggedCatalog, type LoggedCatalog } from '../../engine/schema/catalog.js'
import type { Program } from '../../engine/schema/descriptor.js'
import type { Sequencer } from '../../engine/sequencer/sequencer.js'
import { BatchRecord } from '../../engine/shared/batch-record.js'
import { sharedBuffer } from '../../engine/shared/buffers.js'
import { Control, databaseState } from '../../engine/shared/control.js'
import { Statistics } from '../../engine/shared/statistics.js'
import { LaneLog } from '../../engine/shared/lane-log.js'
import { SpeculationClaims } from '../../engine/shared/speculation-log.js'
import { Store, type StorePlan } from '../../engine/store/store.js'
import { bringForward, type CheckpointReport } from '../../engine/stream/checkpointer.js'
import { recover, type Recovered } from '../../engine/stream/recover.js'
import { replayBatch } from '../../engine/stream/replay.js'
import { EngineParts, type EnginePlan, withSystemTables } from '../../engine/worker/engine-plan.js'
import { makeSequencer } from '../../engine/worker/lane-hosts.js'
import { LogPump } from '../../engine/worker/log-pump.js'
import type { ThreadHost } from '../../engine/worker/thread-host.js'
import { applyRetention, CheckpointSet, encodeSchema, LogWriter, PlainCheckpointStore, type Durability } from '../../wal/index.js'
import { randomOf } from '../support/random.js'
import type { SimulatedDisk } from './simulated-disk.js'
import { SequencerDied, SteppedLanes } from './stepped-lanes.js'
import { VirtualWorld } from './virtual-world.js'

const KiB = 1_024
const MiB = 1_024 * KiB
export const partitions = 8
const batchesPerOpening = 2 ** 24

export interface LifeOptions {
  readonly disk: SimulatedDisk
  readonly databaseId: Uint8Array
  readonly workers: number
  readonly durability: Durability
  readonly segmentBytesMax: number
  readonly historyBytes: number
  /** The cross-partition lane is run ahead, in every batch. */
  readonly runsAhead?: boolean
  /** Of the order in which the lanes of different workers run. */
  readonly laneSeed: number
  /** What the wall clock says; it may say anything. */
  readonly wallMs: number
}

export class Life {
  readonly parts: EngineParts
  readonly engine: Engine
  readonly world: VirtualWorld
  readonly catalog: LoggedCatalog
  readonly recovered: Recovered
  readonly lanes: SteppedLanes
  readonly writer: LogWriter
  readonly pump: LogPump
  readonly #options: LifeOptions
  #sequencer: Sequencer
  #isEnded = false

  private constructor(program: Program, options: LifeOptions, recovered: Recovered, catalog: LoggedCatalog) {
    const withSystem = withSystemTables(program)
    const { tail } = recovered
    this.recovered = recovered
    this.#options = options
    this.catalog = catalog
    this.world = new VirtualWorld(options.wallMs)
    const store = recovered.plan ?? layOut(withSystem, options)
    const plan = planOf(options, store, recovered, catalog.seed, this.world)
    // Main must not run lanes itself: to it there are always workers.
    this.parts = new EngineParts(withSystem, { ...plan, workers: Math.max(1, plan.workers) }, plan.store.domains)
    const { control } = this.parts
    const durable = Math.max(tail.batch, replayBatch)
    control.executed = durable
    control.durable = durable
    control.written = durable
    for (const domain of this.parts.store.domains.keys()) this.parts.store.snapshots.raiseFloor(domain, durable)

    const schema = encodeSchema(JSON.stringify(catalog))
    const { databaseId, durability, segmentBytesMax } = options
    this.writer = LogWriter.open(options.disk.log, tail, { databaseId, schema, durability, segmentBytesMax })
    const { frames } = this.parts
    const monotonicMs = (): number => this.world.monotonicMs()
    this.pump = new LogPump({ control, frames, writer: this.writer, durability, statistics: this.parts.statistics, monotonicMs, ring: () => this.engine.rung() })
    this.lanes = new SteppedLanes(withSystem, plan, randomOf(options.laneSeed))
    this.#sequencer = makeSequencer(this.lanes.sequencerParts, this.lanes, this.world)
    const threads = {
      hold: () => undefined,
      kill: () => undefined,
      startWorker: async () => this.#restartSequencer(),
    }
    this.engine = new Engine(program, this.parts, threads as unknown as ThreadHost, this.world)
  }

  /** Throws what opening throws: the log's refusals, and the disk's errors as they are. */
  static async open(program: Program, options: LifeOptions): Promise<Life> {
    const recovered = await recoverDisk(withSystemTables(program), options)
    return new Life(program, options, recovered, loggedCatalog(program, { seed: 7, partitions }))
  }

  // ── the sequencer ─────────────────────────────────────────────────────────────────────────────────────

  get mayRunBatch(): boolean {
    return this.isOpen && this.#sequencer.hasWork() && this.#sequencer.mayRun()
  }

  /** Runs a batch to its seal. A sequencer that dies in it is replaced, and the batch begins again in another step. */
  async runBatch(): Promise<void> {
    try {
      this.#sequencer.runBatch()
    } catch (error) {
      if (!(error instanceof SequencerDied)) throw error
      this.engine.supervisor.lost(0, error)
      for (let n = 0; n < 20; n += 1) {
        await Promise.resolve()
        this.world.turn()
      }
    }
  }

  /** What the sequencer does when a batch is sealed: main is rung if it sleeps. */
  ring(): void {
    if (this.parts.control.mainMustBeRung()) this.engine.rung()
    this.world.endTick()
  }

  #restartSequencer(): void {
    this.lanes.restartSequencer()
    this.#sequencer = makeSequencer(this.lanes.sequencerParts, this.lanes, this.world)
  }

  // ── the log ───────────────────────────────────────────────────────────────────────────────────────────

  /** One step of the log thread; a failure ends it, as in log-main.ts. */
  stepLog(): void {
    try {
      this.pump.step()
    } catch (error) {
      this.parts.control.store('state', databaseState.failed)
      this.engine.logFailed(error instanceof Error ? error.message : String(error))
    }
    this.world.endTick()
  }

  // ── the checkpoint thread ─────────────────────────────────────────────────────────────────────────────

  /** One job of engine/worker/checkpoint-main.ts; it goes on by itself, a read of the log at a time. */
  async checkpoint(keepLogBytes: number): Promise<CheckpointReport> {
    const { disk, databaseId, durability } = this.#options
    const checkpoints = CheckpointSet.open(new PlainCheckpointStore(disk.checkpoint), { databaseId })
    const { control } = this.parts
    const newest = Math.min(control.durable, control.written)
    const goal = {
      // As engine/checkpoint-keeper.ts: before the first frame is in the files, the batch is that of replay.
      upTo: newest > replayBatch ? newest : 0,
      outcomeWindowMs: 600_000,
      isUnsynced: durability !== 'fsync',
      shouldStop: () => this.#isEnded,
    }
    const report = await bringForward({ log: disk.log, checkpoints, databaseId }, goal)
    const nowMs = this.world.wallMs()
    applyRetention(disk.log, { olderCheckpoint: checkpoints.olderBatch(), consumers: [], consumerBytes: 0, bytes: keepLogBytes, nowMs })
    return report
  }

  // ── its states ────────────────────────────────────────────────────────────────────────────────────────

  get isOpen(): boolean {
    return this.parts.control.load('state') === databaseState.open
  }

  /** Whatever goes on by itself ends at its next step. */
  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    givenBack(this.parts.plan)
  }

  /** The end of a life that is told to end. False when the last certificate could not be written. */
  close(): boolean {
    if (this.parts.control.load('state') === databaseState.open) this.parts.control.store('state', databaseState.stopping)
    try {
      this.writer.close()
      return true
    } catch (error) {
      if (!SluiceError.is(error, 'LOG_FAILED')) throw error
      return false
    }
  }
}

const layOut = (program: Program, { workers, historyBytes, runsAhead = false }: LifeOptions): StorePlan =>
  Store.plan(program, { bytes: 24 * MiB, isDefault: false, workers, partitions, historyBytes, runsAhead })

/** As `recoverFiles` in engine/open.ts does. `program` with system tables. */
export async function recoverDisk(program: Program, options: LifeOptions): Promise<Recovered> {
  const { disk, databaseId } = options
  let laid: { readonly plan: StorePlan; readonly store: Store } | undefined
  const steps = recover({
    log: disk.log,
    checkpoints: CheckpointSet.open(new PlainCheckpointStore(disk.checkpoint), { databaseId }),
    outcomeWindowMs: 600_000,
    mode: 'repair',
    layOut: () => {
      if (laid === undefined) {
        const plan = layOut(program, options)
        laid = { plan, store: new Store(program, plan, plan.domains) }
      }
      return laid
    },
  })
  for (;;) {
    const step = await steps.next()
    if (step.done === true) return step.value
  }
}

/** Rings are used again: what stands in them does not matter, and making them takes longer than a short life. */
const rings = new Map<number, SharedArrayBuffer[]>()
const taken = (bytes: number): SharedArrayBuffer => rings.get(bytes)?.pop() ?? sharedBuffer(bytes)
function givenBack({ requests, responses, frameOverflow, speculation }: EnginePlan): void {
  const give = (bytes: number, buffer: SharedArrayBuffer): void => {
    const free = rings.get(bytes)
    if (free === undefined) rings.set(bytes, [buffer])
    else free.push(buffer)
  }
  give(limits.requestRingBytes, requests)
  give(limits.requestRingBytes, frameOverflow)
  give(responses.byteLength, responses)
  for (const log of speculation?.logs ?? []) give(limits.speculationLogBytes, log)
}

/** As long as the rings of so many workers ask for, rounded as `sharedBuffer` rounds. */
function takenForResponses(threads: number): SharedArrayBuffer {
  return taken(Math.max(threads * limits.responseRingBytes, limits.heapBlockBytesMax))
}

function planOf(options: LifeOptions, store: StorePlan, { tail, lastNow }: Recovered, seed: number, world: VirtualWorld): EnginePlan {
  const threads = Math.max(1, options.workers)
  const sizes = { lanes: partitions + 2, transactions: 4_200, changes: 2 ** 13, events: 2 ** 11, bytes: 2 * MiB }
  return {
    store,
    control: Control.create(threads).buffer,
    requests: taken(limits.requestRingBytes),
    responses: takenForResponses(threads),
    logs: Array.from({ length: threads }, () => LaneLog.create(sizes).buffers),
    record: BatchRecord.create(partitions).buffer,
    frames: new SharedArrayBuffer(64 * KiB),
    frameRingBytes: 64 * KiB,
    frameOverflow: taken(limits.requestRingBytes),
    workers: options.workers,
    partitions,
    seed,
    firstBatch: (Math.floor(tail.batch / batchesPerOpening) + 1) * batchesPerOpening,
    previous: tail.batch,
    clock: { wallMs: Math.max(world.wallMs(), lastNow), monotonicMs: world.monotonicMs(), stepMs: undefined },
    outcomeWindowMs: 600_000,
    isMemory: options.durability === 'memory',
    hasLogThread: true,
    spinLoads: 0,
    idleTurns: 4,
    statistics: Statistics.create().buffer,
    speculation:
      options.runsAhead === true
        ? { claims: SpeculationClaims.create().buffer, logs: Array.from({ length: threads }, () => taken(limits.speculationLogBytes)), mode: 'always' }
        : undefined,
  }
}
