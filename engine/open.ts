/**
 * Opening a database: lock, recover, lay out memory, start threads. And closing it, in the opposite order.
 */
import { join, resolve } from 'node:path'
import type { Environment } from './base/environment.js'
import { nodeEnvironment } from './base/environment-node.js'
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { AbortLike, QueueOptions } from './admission.js'
import { Engine } from './database.js'
import type { HandlerFailure } from './handler-queue.js'
import { ConsumerHost } from './consumer-host.js'
import { Eraser, finishFiles } from './erasure.js'
import { HandlerHost } from './handler-host.js'
import { ReplicaHost } from './replica-host.js'
import { loggedCatalog, type LoggedCatalog } from './schema/catalog.js'
import type { SpeculationMode } from './partition/speculation-pace.js'
import type { Program } from './schema/descriptor.js'
import { hasCopies } from './schema/replica-tables.js'
import { programText } from './schema/program-text.js'
import { migrate, type MigrationProgress } from './migration.js'
import { recoverFiles, type RecoveredFiles } from './recover-files.js'
import { databaseState } from './shared/control.js'
import { CheckpointKeeper, type JobOptions } from './checkpoint-keeper.js'
import { Store, type StorePlan } from './store/store.js'
import type { CompactionRules } from './stream/log-compactor.js'
import type { RecoverProgress } from './stream/recover.js'
import type { DatabaseFiles } from './stream/log-follower.js'
import { replayBatch } from './stream/replay.js'
import { createPlan, EngineParts, withSystemTables } from './worker/engine-plan.js'
import { isLoadable } from './worker/app-guard.js'
import { chooseWorkers, type WorkerChoice } from './worker/worker-choice.js'
import { type LogThread, spawnLogThread, ThreadHost } from './worker/thread-host.js'
import { compactedUpTo, databaseIdBytes, DirectoryLock, diskIsFull, encodeSchema, FileLogStorage, isNoSpace, type LogHold, type LogTail, LogWriter, mustBeFinished, recoverLog, type Durability } from '../wal/index.js'

/** What comes before the files of a database are read, or after: an erasure that goes on, projections that are built. Of one step of it. */
export interface OpeningProgress {
  readonly phase: 'erasure' | 'projection'
  readonly bytes: number
  readonly bytesInAll: number
}

export interface EngineOptions {
  readonly path: string | undefined
  /** `'auto'`: as many as this machine has use for. `engine.workers` says how many, and why. */
  readonly workers: number | 'auto'
  readonly queue: QueueOptions
  /** Undefined: what the database was created with, or the default. */
  readonly partitions: number | undefined
  readonly durability: Durability
  /** Undefined: the default, which may be halved where the machine refuses it. */
  readonly memoryBytes: number | undefined
  readonly historyBytes: number
  readonly outcomeWindowMs: number
  /** Growth of the log after which a checkpoint is made; Infinity: never by itself. */
  readonly checkpointLogBytes: number
  readonly retention: { readonly ageMs: number | undefined; readonly bytes: number | undefined; readonly consumerBytes: number; readonly compaction?: CompactionRules | undefined }
  readonly onProgress: ((progress: RecoverProgress | MigrationProgress | OpeningProgress) => void) | undefined
  /** The module that workers load. */
  readonly module: string
  /** Told of events that a handler could not handle. */
  readonly onHandlerFailure?: ((failure: HandlerFailure) => void) | undefined
  readonly signal: AbortLike | undefined
  /** 'auto': where there are two workers or more, and it pays. The rest is for tests. */
  readonly speculation?: SpeculationMode | undefined
  /** Tests: batches are so many milliseconds apart, beginning at a fixed moment, with a fixed seed. */
  readonly fixed: { readonly nowMs: number; readonly stepMs: number; readonly seed: number } | undefined
}

/** With the workers that were chosen. */
type ChosenOptions = EngineOptions & { readonly workers: number }

export interface OpenEngine {
  readonly engine: Engine
  readonly options: EngineOptions
  readonly durability: Durability
  readonly catalog: LoggedCatalog
  /** Undefined without a path. */
  readonly disk: DatabaseFiles | undefined
  /** Undefined without a path. */
  readonly keeper: CheckpointKeeper | undefined
  /** Undefined where no handler runs after the commit. */
  readonly handlers: HandlerHost | undefined
  readonly databaseId: Uint8Array
  /** Undefined where no replica has rows of its own. */
  readonly replicas: ReplicaHost | undefined
  readonly consumers: ConsumerHost
  readonly eraser: Eraser
  /** Who holds the log, each under a name: asked when segments may leave (R60). */
  readonly holders: Map<string, () => readonly LogHold[]>
  /** The oldest batch that live memory can answer for `asOf`. */
  readonly firstBatch: number
  /** The moment that it began with, which is in no frame of its ring: the end of the log, or of what it is a fork of. */
  readonly origin?: { readonly batch: number; readonly index: number; readonly time: number } | undefined
  close(): Promise<void>
}

/** R16: every opening goes on at a multiple of this. */
const batchesPerOpening = 2 ** 24

export async function openEngine(program: Program, asked: EngineOptions): Promise<OpenEngine> {
  const environment = nodeEnvironment
  const choice = choiceOf(asked, environment)
  const options: ChosenOptions = { ...asked, workers: choice.workers }
  if (options.workers > 0 && environment.architecture !== 'x64') {
    throw SluiceError.of('INVALID_USE', `This version reads rows across threads on x64 only; on ${environment.architecture} open with workers: 0.`)
  }
  const directory = options.path === undefined ? undefined : resolve(options.path)
  let lock: DirectoryLock | undefined
  let logThread: LogThread | undefined
  try {
    if (directory !== undefined) {
      mustBeFinished(FileLogStorage.open(directory), directory)
      lock = await DirectoryLock.take(directory)
      logThread = spawnLogThread()
    }
    return await openLocked(program, options, choice, environment, directory, lock, logThread)
  } catch (error) {
    await logThread?.terminate()
    await lock?.release()
    if (SluiceError.is(error, 'CANCELLED')) mustNotBeAborted(options) // in its own words
    throw SluiceError.is(error) || directory === undefined ? error : unusable(directory, error)
  }
}

function choiceOf(asked: EngineOptions, environment: Environment): WorkerChoice {
  const { workers, partitions = limits.partitionsDefault, path, module } = asked
  if (workers !== 'auto') return { workers, why: 'the option says so' }
  return chooseWorkers({ environment, partitions, hasPath: path !== undefined, isLoadable: isLoadable(module) })
}

async function openLocked(
  program: Program,
  options: ChosenOptions,
  choice: WorkerChoice,
  environment: Environment,
  directory: string | undefined,
  lock: DirectoryLock | undefined,
  logThread: LogThread | undefined,
): Promise<OpenEngine> {
  const withSystem = withSystemTables(program)
  const speculation = options.speculation ?? 'auto'
  const logDirectory = directory === undefined ? undefined : join(directory, 'log')
  const layOut = (partitions: number): StorePlan =>
    Store.plan(withSystem, {
      bytes: options.memoryBytes ?? defaultMemory(environment),
      isDefault: options.memoryBytes === undefined,
      workers: options.workers,
      partitions,
      historyBytes: options.historyBytes,
      runsAhead: speculation === 'always' || (speculation === 'auto' && options.workers > 1),
    })
  const ofErasure: JobOptions = { signal: options.signal, onProgress: ({ done, inAll }) => inAll > 0 && options.onProgress?.({ phase: 'erasure', bytes: done, bytesInAll: inAll }) }
  const pause = async (): Promise<void> => {
    await new Promise<void>((resolve) => environment.soon(resolve))
    mustNotBeAborted(options)
  }
  mustNotBeAborted(options)
  const erased = directory === undefined ? undefined : await finishFiles(directory, ofErasure)
  const found =
    directory === undefined
      ? undefined
      : await recoverFiles({ program, withSystem, directory, partitions: options.partitions, outcomeWindowMs: options.outcomeWindowMs, memoryBytes: options.memoryBytes ?? defaultMemory(environment), layOut, onProgress: options.onProgress, pause })
  mustNotBeAborted(options)
  if (found?.twice !== undefined) throw found.twice
  const recovered = found?.change?.migrates !== true ? found : await migrateFiles(withSystem, found, directory!, options, environment, pause)
  const created = recovered?.catalog
  const partitions = created?.partitions ?? options.partitions ?? limits.partitionsDefault
  const seed = options.fixed?.seed ?? created?.seed ?? new DataView(environment.randomBytes(4).buffer).getUint32(0)
  const catalog = { ...(recovered?.today ?? loggedCatalog(program, { seed, partitions })), seed }
  const lastBatch = recovered?.tail.batch ?? 0
  const firstBatch = firstBatchAfter(lastBatch)
  const store = recovered?.plan ?? layOut(partitions)
  const hasLogThread = logDirectory !== undefined
  const threadsInAll = 1 + options.workers + (hasLogThread ? 1 : 0)
  const plan = createPlan({
    store,
    workers: options.workers,
    partitions,
    seed,
    firstBatch,
    previous: lastBatch,
    clock: {
      wallMs: options.fixed?.nowMs ?? Math.max(environment.wallMs(), recovered?.lastNow ?? 0),
      monotonicMs: environment.monotonicMs(),
      stepMs: options.fixed?.stepMs,
    },
    outcomeWindowMs: options.outcomeWindowMs,
    isMemory: options.durability === 'memory',
    hasLogThread,
    spinLoads: spinLoads(threadsInAll, environment.processors),
    idleTurns: threadsInAll <= environment.processors ? limits.idleTurnsMax : limits.idleTurnsMax / 4,
    speculation,
  })
  const parts = new EngineParts(withSystem, plan, plan.store.domains)
  const { control } = parts
  // A new database is at the batch of replay, which nothing was written in: a snapshot of it is empty.
  const durable = Math.max(lastBatch, replayBatch)
  control.executed = durable
  control.durable = durable
  control.written = durable
  for (let domain = 0; domain < parts.store.domains.length; domain += 1) parts.store.snapshots.raiseFloor(domain, durable)

  let engine: Engine | undefined
  // What happens to one thread while others still start is told to the engine as soon as there is one.
  const untold: ((engine: Engine) => void)[] = []
  const tell = (news: (engine: Engine) => void): void => {
    if (engine === undefined) untold.push(news)
    else news(engine)
  }
  const threads = new ThreadHost(control, {
    look: () => engine?.rung(),
    logFailed: (message) => tell((it) => it.logFailed(message)),
    workerLost: (worker, error) => tell((it) => it.workerLost(worker, error)),
  })
  const databaseId = recovered?.tail.databaseId ?? environment.randomBytes(databaseIdBytes)
  try {
    if (logDirectory !== undefined) {
      await threads.startLog(logThread!, {
        control: plan.control,
        frames: plan.frames,
        frameOverflow: plan.frameOverflow,
        frameRingBytes: plan.frameRingBytes,
        statistics: plan.statistics,
        directory: logDirectory,
        tail: recovered!.tail,
        databaseId,
        schema: encodeSchema(JSON.stringify(catalog)),
        durability: options.durability,
        spinLoads: plan.spinLoads,
      })
    }
    if (options.workers > 0) await threads.startWorkers(plan, options.module, programText(program))
    mustNotBeAborted(options)
  } catch (error) {
    control.store('state', databaseState.stopping)
    await threads.close()
    throw error
  }
  let handlers: HandlerHost | undefined
  let consumers: ConsumerHost | undefined
  const holders: OpenEngine['holders'] = new Map()
  const keeper =
    directory === undefined
      ? undefined
      : new CheckpointKeeper({
          control,
          environment,
          directory,
          databaseId,
          outcomeWindowMs: options.outcomeWindowMs,
          isUnsynced: options.durability !== 'fsync',
          logBytes: options.checkpointLogBytes,
          retention: options.retention,
          consumers: () => [...holders.values()].flatMap((held) => held()),
          followers: () => (replicas?.states ?? []).map(({ name, reached }) => ({ name, batch: Math.max(0, reached), isUnbounded: true as const })),
          logBytesAtOpen: recovered!.logBytes,
          isHalfErased: erased !== undefined,
        })
  engine = new Engine(program, parts, threads, environment, options.queue, choice)
  const opened = engine
  if (keeper !== undefined) engine.follow(keeper)
  for (const news of untold) news(engine)
  const disk = directory === undefined ? undefined : filesOf(directory, databaseId, options)
  let closing: Promise<void> | undefined
  let replicas: ReplicaHost | undefined
  let eraser: Eraser
  const close = async (): Promise<void> => {
    const consumed = consumers?.close()
    if (consumed !== undefined) await consumed
    handlers?.close()
    replicas?.close()
    const kept = keeper?.close()
    await opened.drain()
    await kept
    if (control.load('state') === databaseState.open) control.store('state', databaseState.stopping)
    await threads.close()
    await lock?.release()
  }
  try {
    mustNotBeAborted(options)
    handlers = await HandlerHost.start({ engine: opened, catalog, disk, onFailure: (failure) => options.onHandlerFailure?.(failure) })
    consumers = new ConsumerHost({ engine: opened, catalog, disk })
    holders.set('handlers', () => handlers?.held ?? []).set('consumers', () => consumers!.held)
    eraser = new Eraser({ engine: opened, catalog, databaseId, disk, keeper, consumers })
    mustNotBeAborted(options)
    await eraser.resume(erased, ofErasure)
    mustNotBeAborted(options)
    if (hasCopies(program)) replicas = new ReplicaHost({ engine: opened, catalog, disk })
  } catch (error) {
    await close()
    throw error
  }
  return {
    engine,
    options,
    durability: options.durability,
    catalog,
    disk,
    databaseId,
    keeper,
    handlers,
    replicas,
    consumers,
    eraser,
    holders,
    firstBatch: durable,
    origin: recovered === undefined || lastBatch === 0 ? undefined : { batch: lastBatch, index: Math.max(0, recovered.lastRecords - 1), time: recovered.lastNow },
    close: () => (closing ??= close()),
  }
}

/** Nobody else compacts the log while it is open: without rules it stays as it was found. */
function filesOf(directory: string, databaseId: Uint8Array, { retention }: EngineOptions): DatabaseFiles {
  const log = FileLogStorage.open(join(directory, 'log'))
  const found = compactedUpTo(log)
  return { directory, databaseId, compactedUpTo: retention.compaction === undefined ? () => found : () => compactedUpTo(log) }
}

/** The rows that a migration makes, in the store and in the log. A migration that fails leaves a log that ends where it ended. */
async function migrateFiles(program: Program, found: RecoveredFiles, directory: string, options: ChosenOptions, environment: Environment, pause: () => Promise<void>): Promise<RecoveredFiles> {
  const { tail, change, old, store, lastNow } = found
  const storage = FileLogStorage.open(join(directory, 'log'))
  const writer = LogWriter.open(storage, tail, { databaseId: tail.databaseId!, schema: encodeSchema(JSON.stringify(change!.before)), durability: options.durability })
  const nowMs = Math.max(options.fixed?.nowMs ?? environment.wallMs(), lastNow)
  let batch: number
  try {
    batch = await migrate({ program, change: change!, old: old!, store: store!, writer, firstBatch: firstBatchAfter(tail.batch), previous: tail.batch, nowMs, onProgress: options.onProgress, pause })
  } catch (error) {
    writer.close()
    endOf(storage, tail.batch)
    throw error
  }
  writer.close()
  return { ...found, tail: endOf(storage, batch), lastNow: nowMs, lastRecords: 1 }
}

/** Mends the end of a log, and answers where that is. */
function endOf(log: FileLogStorage, batch: number): LogTail {
  const frames = recoverLog(log, { after: batch })
  for (let step = frames.next(); ; step = frames.next()) if (step.done === true) return step.value
}

const firstBatchAfter = (batch: number): number => (Math.floor(batch / batchesPerOpening) + 1) * batchesPerOpening

/** What the system says of a directory or a file, in our words; its own stays the cause. */
function unusable(directory: string, cause: unknown): SluiceError {
  if (isNoSpace(cause)) return diskIsFull(directory, cause)
  const { code, message } = cause as NodeJS.ErrnoException
  const why = code === 'ENOTDIR' || code === 'ELOOP' ? 'something in it is a symbolic link or no directory, which a database refuses' : message
  return SluiceError.of('INVALID_USE', `The directory ${directory} cannot be used: ${why}. Give a path that this process may create, read and write, without links inside.`, {
    cause,
    details: { path: directory, system: code ?? 'unknown' },
  })
}

function mustNotBeAborted(options: Pick<EngineOptions, 'signal'>): void {
  if (options.signal?.aborted === true) throw SluiceError.of('CANCELLED', 'Opening was cancelled by its signal.', { cause: options.signal.reason })
}

function defaultMemory(environment: Environment): number {
  return Math.min(limits.memoryBytesDefaultMax, Math.floor(environment.memoryBytes / 2 / 8) * 8)
}

/** A shared load takes about 5 ns (reference: storage-measured §2). Never more spinning threads than processors. */
function spinLoads(threads: number, processors: number): number {
  const loads = Math.floor((limits.spinMs * 1_000_000) / 5 / 4)
  return threads <= processors ? loads : threads <= processors + 1 ? Math.floor(loads / 4) : 0
}
