/**
 * A database with its engine in reach: the same build that `sluicedb` is, opened at the floor below `open()`, so that a
 * test can look at the store, the log and the shared memory behind the calls it makes. Closing walks the whole store.
 */
import { join } from 'node:path'
import type { App, Database } from 'sluicedb'
import { onTestFinished } from 'vitest'
import { SluiceDatabase } from '../../dist/bindings/database.js'
import { defaultQueue } from '../../dist/engine/admission.js'
import { checkStore, openEngine, type Engine, type EngineOptions, type OpenEngine, type Program } from '../../dist/engine/index.js'
import type { Store } from '../../dist/engine/store/store.js'
import { FileLogStorage, FrameBodyReader, recoverLog } from '../../dist/wal/index.js'

export interface Inside {
  readonly db: Database
  readonly engine: Engine
  readonly opened: OpenEngine
  readonly store: Store
  readonly path: string | undefined
  /** Walks the whole store; nothing may be running. */
  check(): { readonly rows: number; readonly deleted: number }
  /** Checks, then closes. */
  close(): Promise<void>
}

export interface InsideOptions {
  readonly workers?: number
  readonly partitions?: number
  readonly path?: string
  readonly durability?: EngineOptions['durability']
  readonly memoryBytes?: number
  readonly historyBytes?: number
  readonly outcomeWindowMs?: number
  readonly fixed?: EngineOptions['fixed']
  readonly speculation?: EngineOptions['speculation']
  readonly queue?: EngineOptions['queue']
}

export const programOf = (application: App): Program =>
  (application as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!

/** Opens for the length of one test. */
export async function openInside(application: App, options: InsideOptions = {}): Promise<Inside> {
  const program = programOf(application)
  const opened: OpenEngine = await openEngine(program, {
    path: options.path,
    workers: options.workers ?? 0,
    partitions: options.partitions,
    durability: options.path === undefined ? 'memory' : (options.durability ?? 'os'),
    memoryBytes: options.memoryBytes ?? 256 * 2 ** 20,
    historyBytes: options.historyBytes ?? 64 * 2 ** 20,
    queue: options.queue ?? defaultQueue,
    outcomeWindowMs: options.outcomeWindowMs ?? 600_000,
    checkpointLogBytes: Infinity,
    retention: { ageMs: undefined, bytes: undefined, consumerBytes: Infinity },
    onProgress: undefined,
    module: application.url,
    signal: undefined,
    fixed: options.fixed,
    speculation: options.speculation,
  })
  const db = new SluiceDatabase(opened, program) as unknown as Database
  const { engine } = opened
  const { store, control } = engine.parts
  onTestFinished(() => db.close())
  const check = (): { rows: number; deleted: number } => checkStore(store, control.executed)
  return {
    db,
    engine,
    opened,
    store,
    path: options.path,
    check,
    close: async () => {
      check()
      await db.close()
    },
  }
}

export interface LoggedBatch {
  readonly batch: number
  readonly now: number
  readonly body: Uint8Array
  /** Places at intake of what was recorded, in the order of the frame, with the lane (-1: cross-partition). */
  readonly records: readonly { readonly lane: number; readonly place: number; readonly procedure: number; readonly outcome: number }[]
}

/** The frames of a closed database. */
export function framesIn(path: string): LoggedBatch[] {
  const batches: LoggedBatch[] = []
  for (const { kind, body } of recoverLog(FileLogStorage.open(join(path, 'log')))) {
    if (kind !== 'frame') continue
    const copy = body.slice()
    const reader = new FrameBodyReader(copy)
    reader.check()
    const records = reader.lanes.flatMap(({ partition, transactionIndex, transactionCount }) =>
      Array.from({ length: transactionCount }, (_, n) => {
        const at = reader.transactionsWord + (transactionIndex + n) * 10
        const [place, procedure, outcome] = reader.words.subarray(at, at + 3)
        return { lane: partition | 0, place: place!, procedure: procedure!, outcome: outcome! }
      }),
    )
    batches.push({ batch: reader.batch, now: reader.now, body: copy, records })
  }
  return batches
}
