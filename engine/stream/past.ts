/**
 * Moments that memory does not hold any more (R48): the newest checkpoint that is not after the moment, and the log behind it up to
 * there, laid into a store of its own. Between two steps of reading the event loop turns, as in `recover`.
 */
import { join } from 'node:path'
import { SluiceError } from '../base/errors.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import type { Program } from '../schema/descriptor.js'
import { areOfOneGeneration } from '../schema/row-shape.js'
import { Store } from '../store/store.js'
import { type CheckpointCandidate, CheckpointSet, decodeSchema, LmdbCheckpointStore, LogReader } from '../../wal/index.js'
import { type CheckpointMeta, decodeMeta, logCatalogOf } from './checkpoint-rows.js'
import { type DatabaseFiles, logOf, oldestInLog } from './log-follower.js'
import { stepBytes } from './recover.js'
import { Replay, replayBatch } from './replay.js'

export interface PastOptions {
  /** With system tables. */
  readonly program: Program
  /** Of today: rows are brought into its shape. */
  readonly catalog: LoggedCatalog
  readonly disk: DatabaseFiles | undefined
  readonly memoryBytes: number
  readonly batch: number
  /** Between two steps: lets the event loop turn, and throws when whoever asked has given up. */
  readonly pause: () => Promise<void>
}

/** The store is read at any snapshot from `replayBatch` on. No checkpoint may be made meanwhile. */
export async function openPast(options: PastOptions): Promise<Store> {
  const { disk } = options
  if (disk === undefined) {
    throw SluiceError.of('HISTORY_GONE', 'That moment has left memory, and a database without a path has nothing else: open with a larger history.bytes, or with a path.')
  }
  const past = new Past(options)
  const after = await past.layCheckpoint(disk)
  // Frames of before do not make the rows that there were.
  if (after < disk.compactedUpTo()) throw compacted(checkpointsOf(disk))
  if (after < options.batch) await past.replay(disk, after)
  if (oldestInLog(disk) <= replayBatch) past.begin()
  return past.end()
}

const checkpointsOf = ({ directory, databaseId }: DatabaseFiles): CheckpointSet => CheckpointSet.open(LmdbCheckpointStore.open(join(directory, 'checkpoint')), { databaseId })

/** `oldest`: the first batch behind the oldest moment that can be made. */
function compacted(checkpoints: CheckpointSet): SluiceError {
  const batches = checkpoints.candidates().map(({ batch }) => batch)
  return SluiceError.of('HISTORY_GONE', 'Retention has compacted the log up to that moment (retention.compact, retention.streams): what is left does not make the rows of then.', {
    details: batches.length === 0 ? {} : { oldest: Math.min(...batches) + 1 },
  })
}

class Past {
  readonly #options: PastOptions
  #store: Store | undefined
  #replay: Replay | undefined
  #newest: LoggedCatalog | undefined
  /** Read since the last pause. */
  #bytes = 0

  constructor(options: PastOptions) {
    this.#options = options
  }

  /** Answers the batch of the checkpoint; 0 when there is none that is old enough and whole. */
  async layCheckpoint(disk: DatabaseFiles): Promise<number> {
    const checkpoints = checkpointsOf(disk)
    const found = await this.#newestWhole(checkpoints)
    if (found === undefined) return 0
    const checkpoint = checkpoints.read(found.name)
    try {
      const meta = decodeMeta(checkpoint.meta)
      if (meta === undefined) return 0
      const replay = this.#schema(meta.catalog, meta.layouts)
      for (const block of checkpoint.blocks()) {
        replay.block(block)
        if (this.#isLong(block.words[1]!)) await this.#options.pause() // its length
      }
      this.#schema(logCatalogOf(meta))
    } finally {
      await checkpoint.close()
    }
    return found.batch
  }

  async #newestWhole(checkpoints: CheckpointSet): Promise<CheckpointCandidate | undefined> {
    for (const candidate of checkpoints.candidates()) {
      if (candidate.batch > this.#options.batch) continue
      const steps = checkpoints.verifying(candidate.name)
      let step = steps.next()
      try {
        for (; step.done !== true; step = steps.next()) await this.#options.pause()
      } finally {
        if (step.done !== true) steps.return(false)
      }
      if (step.value) return candidate
    }
    return undefined
  }

  /** So much more was read: a step ends here. */
  #isLong(bytes: number): boolean {
    this.#bytes += bytes
    if (this.#bytes < stepBytes) return false
    this.#bytes = 0
    return true
  }

  async replay(disk: DatabaseFiles, after: number): Promise<void> {
    const reader = LogReader.readFrom(logOf(disk), { databaseId: disk.databaseId, batch: after + 1 })
    // One that stands in front of no frame up to the moment is of a later one.
    let schema: LoggedCatalog | undefined
    try {
      for await (const frame of reader.frames(this.#options.batch)) {
        if (frame.kind === 'schema') schema = JSON.parse(decodeSchema(frame.body)) as LoggedCatalog
        else if (frame.batch <= this.#options.batch) {
          if (schema !== undefined) this.#schema(schema)
          schema = undefined
          this.#replay!.frame(frame.body)
          if (this.#isLong(frame.body.length)) await this.#options.pause()
        } else break
      }
      if (this.#store === undefined && schema !== undefined) this.#schema(schema)
    } finally {
      reader.close()
    }
  }

  /** Before the first commit there was nothing, and the log says so where it has its beginning. */
  begin(): void {
    if (this.#store === undefined) this.#schema(this.#options.catalog)
  }

  end(): Store {
    this.#replay?.end()
    this.#mustBeReadable()
    if (this.#store === undefined) throw SluiceError.of('HISTORY_GONE', 'The log holds nothing of that moment.')
    return this.#store
  }

  /** Rows of before a migration are none of today's tables: a moment without them would be a wrong one. */
  #mustBeReadable(): void {
    const older = this.#newest?.tables.find((was) => {
      const now = this.#options.catalog.tables.find(({ name }) => name === was.name)
      return now !== undefined && !areOfOneGeneration(was, now)
    })
    if (older === undefined) return
    throw SluiceError.of('HISTORY_GONE', `That moment is before the migration that has rewritten "${older.name}": the application of that day can read it, from a copy made with \`sluice restore\`.`, { details: { table: older.name } })
  }

  #schema(catalog: LoggedCatalog, layouts?: CheckpointMeta['layouts']): Replay {
    this.#newest = catalog
    if (this.#store === undefined) {
      const { program, memoryBytes } = this.#options
      const plan = Store.plan(program, { bytes: memoryBytes, isDefault: true, workers: 0, partitions: catalog.partitions, historyBytes: 0 })
      this.#store = new Store(program, plan, plan.domains)
    }
    this.#replay ??= new Replay(this.#store, Infinity, this.#options.catalog)
    this.#replay.schema(catalog, layouts)
    return this.#replay
  }
}
