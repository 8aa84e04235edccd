/**
 * Brings a checkpoint forward: the subscriber of the log that opening relies on (design §4, R58, R59).
 *
 *   read frames behind the checkpoint's batch, up to the durable one         LogReader
 *   collect key and image of every change, sort them, the last one counts    changed-rows.ts, wal/checkpoint-changes.ts
 *   apply them in slices, the last of which names the batch                  Checkpoint.apply
 *   then the checksum of the whole file, and the manifest                    CheckpointRun.finish
 *
 * It reads files only: no snapshot is held and no thread that commits is asked for anything. Whatever stops it costs a longer
 * replay: the environment that it works on has no valid manifest until the end, the other one is not touched.
 *
 * Invariants:
 *   K1  What it reads is durable, so what a manifest names was never acknowledged and lost. Where the database does not sync its
 *       log ('os', 'memory'), the segments are synced before the manifest is written: a checkpoint ahead of the log it came
 *       from would make the log look damaged.
 *   K2  Between two slices the environment equals no batch. It has no manifest then; only `finish` gives it one.
 */
import { ByteReader } from '../base/bytes.js'
import { decodeCanonical } from '../base/canonical.js'
import { SluiceError } from '../base/errors.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { ChangeBuffer, type Checkpoint, type CheckpointSet, type ChunkHooks, decodeSchema, FrameBodyReader, type KnownPlace, LogExtent, LogReader, type LogStorage, rowWords, syncSegments } from '../../wal/index.js'
import type { ErasedFiles } from './file-eraser.js'
import { ChangedRows } from './changed-rows.js'
import type { CompactionReport } from './log-compactor.js'
import { type CursorValue, handlerOfCursor, handlerOfEvent, isEngineId, type PassedIds, passedIds } from '../schema/handler-ids.js'
import { stepBytes } from './recover.js'
import { decodeMeta, decodeOutcome, encodeMeta, logCatalogOf, outcomesPlace, outcomeTime, TablePlaces } from './checkpoint-rows.js'

export interface CheckpointSource {
  readonly log: LogStorage
  readonly checkpoints: CheckpointSet
  readonly databaseId: Uint8Array
}

export interface CheckpointGoal {
  /** A durable batch with a frame; 0 when there is none yet. */
  readonly upTo: number
  readonly outcomeWindowMs: number
  /** The log is not synced by who writes it. */
  readonly isUnsynced: boolean
  readonly shouldStop: () => boolean
  /** What is being done, and how many bytes of it are done. */
  readonly onProgress?: ((step: string, bytes: number, bytesInAll: number) => void) | undefined
}

export interface CheckpointReport {
  /** The state that it holds: the one after this batch. */
  readonly batch: number
  /** Records of that batch. */
  readonly records: number
  readonly rows: number
  /** Rows that were written; one that changed often may count more than once. */
  readonly changedRows: number
  readonly bytes: number
  /** Of an erasure, which runs where checkpoints do. */
  readonly erased?: ErasedFiles
  /** Of the log, behind a checkpoint. */
  readonly compaction?: CompactionReport
}

export async function bringForward(source: CheckpointSource, goal: CheckpointGoal): Promise<CheckpointReport> {
  if (goal.upTo === 0) return { batch: 0, records: 0, rows: 0, changedRows: 0, bytes: 0 }
  const { shouldStop, onProgress } = goal
  const hooksOf = (step: string): ChunkHooks => ({ shouldStop, onProgress: onProgress && ((bytes, bytesInAll) => onProgress(step, bytes, bytesInAll)) })
  const run = source.checkpoints.begin(hooksOf('reading the checkpoints of before'))
  try {
    const forward = new Forward(run.checkpoint, goal)
    await forward.follow(source)
    if (goal.isUnsynced) syncSegments(source.log) // K1
    const { batch, rows, fileBytes } = await run.finish(hooksOf('taking the checksum'))
    return { batch, rows, bytes: fileBytes, records: forward.records, changedRows: forward.changedRows }
  } catch (error) {
    await run.abandon()
    throw error
  }
}

class Forward {
  readonly #checkpoint: Checkpoint
  readonly #goal: CheckpointGoal
  readonly #changes = new ChangeBuffer()
  readonly #rows = new ChangedRows(this.#changes)
  readonly #places: TablePlaces
  readonly #makeRoom = (): void => this.#apply()
  #catalog: LoggedCatalog | undefined
  #place: KnownPlace | undefined
  #batch: number
  #now: number
  records: number
  changedRows = 0

  constructor(checkpoint: Checkpoint, goal: CheckpointGoal) {
    this.#checkpoint = checkpoint
    this.#goal = goal
    const meta = decodeMeta(checkpoint.meta)
    this.#places = new TablePlaces(meta?.catalog.tables ?? [], meta?.layouts)
    this.#catalog = meta === undefined ? undefined : logCatalogOf(meta)
    this.#place = meta?.place
    this.#batch = checkpoint.batch
    this.#now = meta?.now ?? 0
    this.records = meta?.records ?? 0
  }

  async follow({ log, databaseId }: CheckpointSource): Promise<void> {
    const { upTo } = this.#goal
    if (this.#batch < upTo) {
      const reader = LogReader.readFrom(log, { databaseId, batch: this.#batch + 1 })
      const extent = new LogExtent(log, reader.place.segment)
      const start = extent.before(reader.place)
      let told = start
      const tell = (bytes: number): void => this.#goal.onProgress?.('reading the log', bytes - start, extent.bytes - start)
      tell(start)
      this.#place ??= { ...reader.place, frameOffset: 0 } // behind no frame: it proves nothing
      try {
        for await (const frame of reader.frames(upTo)) {
          if (frame.kind === 'schema') this.#schema(JSON.parse(decodeSchema(frame.body)) as LoggedCatalog)
          else this.#frame(new FrameBodyReader(frame.body))
          if (frame.kind === 'frame') this.#place = { ...reader.place, frameOffset: frame.offset }
          this.#mustGoOn()
          const bytes = extent.before(reader.place)
          if (bytes - told < stepBytes) continue
          tell(bytes)
          told = bytes
        }
        tell(extent.bytes)
      } finally {
        reader.close()
      }
    }
    this.#apply()
    this.#forgetOldOutcomes()
  }

  #schema(catalog: LoggedCatalog): void {
    this.#catalog = catalog
    this.#places.join(catalog)
    this.#rows.schema(catalog, this.#places)
  }

  #frame(body: FrameBodyReader): void {
    body.check()
    this.#rows.frame(body, this.#makeRoom)
    this.#batch = body.batch
    this.#now = body.now
    this.records = body.transactionCount
  }

  /**
   * R57: those that have left the window, and events that the cursor of their handler has passed (R61). They are few where the log is
   * short, and looked for when all others are there. Cursors come before events.
   */
  #forgetOldOutcomes(): void {
    const oldest = this.#now - this.#goal.outcomeWindowMs
    const passed = new PassedEvents()
    for (const block of this.#checkpoint.blocks(Uint8Array.of(outcomesPlace >>> 8, outcomesPlace & 0xff))) {
      const { bytes, rows } = block
      for (let row = 0; row < block.count * rowWords && !this.#changes.isFull; row += rowWords) {
        const isPassed = (): boolean => passed.has(bytes.subarray(rows[row]! + 2, rows[row]! + rows[row + 1]!), () => decodeOutcome(bytes, rows[row + 2]!, rows[row + 3]!).value)
        if (outcomeTime(bytes, rows[row + 2]!) < oldest || isPassed()) this.#changes.deletePart(bytes, rows[row]!, rows[row + 1]!)
      }
    }
    if (this.#changes.count > 0) this.#apply()
  }

  /** What was collected so far, with the batch that is complete; in the middle of a frame that is the one before it. */
  #apply(): void {
    const catalog = this.#catalog
    const place = this.#place
    if (catalog === undefined || place === undefined) return
    const meta = encodeMeta({
      format: 1,
      catalog: { ...catalog, tables: this.#places.tables },
      logTables: catalog.tables.map(({ name }) => name),
      now: this.#now,
      records: this.records,
      place,
      ...this.#places.layouts,
    })
    const changes = this.#changes.sorted()
    for (const slice of changes.slices()) {
      this.#checkpoint.apply(slice, { batch: this.#batch, meta })
      // In small portions: one long sync at the end would stand before those of the log.
      this.#checkpoint.flush()
      this.#mustGoOn()
    }
    this.changedRows += changes.count
    this.#changes.clear()
  }

  #mustGoOn(): void {
    if (this.#goal.shouldStop()) throw SluiceError.of('CANCELLED', 'The checkpoint was stopped; the one before it is untouched.')
  }
}

/** Walks outcomes in order of their ids, and knows which events the cursors that it has met have passed. */
class PassedEvents {
  readonly #passed = new Map<string, PassedIds>()

  has(idBytes: Uint8Array, valueOf: () => Uint8Array): boolean {
    if (!isEngineId(idBytes)) return false
    const id = Buffer.from(idBytes).toString('utf8')
    const moved = handlerOfCursor(id)
    if (moved !== undefined) {
      const cursor = decodeCanonical(new ByteReader(valueOf())) as CursorValue
      this.#passed.set(moved, passedIds(moved, cursor))
      return cursor.length === 0 // its consumer was deleted
    }
    const handler = handlerOfEvent(id)
    const passed = handler === undefined ? undefined : this.#passed.get(handler)
    return passed !== undefined && id < passed.to && passed.keeps?.(id) !== true
  }
}
