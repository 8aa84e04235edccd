/**
 * The files of a database without what is a subject's: the log, body by body in its place (wal/log-rewrite.ts), then both checkpoints, made
 * anew. Runs on the checkpoint thread, beside everybody, while no checkpoint and no backup does; again from the beginning in the
 * next life, when a crash has stopped it: done twice is done once.
 *
 * A checkpoint of before and a log of after are no database: a row that the one has is deleted by nobody in the other. So who opens files
 * in which this has begun ends it first, before anything is read from them.
 *
 * Checkpoints are no newer than `upTo` from the beginning to the end: what is the subject's behind it is new, and stays (checkpoint-keeper.ts).
 */
import { assert } from '../base/assert.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { type ErasurePlan, type Subject, subjectOf } from '../schema/erasure-plan.js'
import { LaneLog } from '../shared/lane-log.js'
import {
  ChangeBuffer, type Checkpoint, type CheckpointCandidate, type CheckpointSet, type ChunkHooks, decodeSchema, type EnvironmentName, ErasureJournal, goOn, type LogStorage, rewriteLog,
  type RewrittenSegment, type RowBlock, rowWords,
} from '../../wal/index.js'
import { answerWithout, BodyEraser, ErasureCounter, type ErasedCounts } from './body-eraser.js'
import { stepBytes } from './recover.js'
import { decodeMeta, decodeOutcome, encodeOutcome, layoutNumber, outcomesPlace, rowBytes } from './checkpoint-rows.js'
import { RowEraser } from './row-eraser.js'

export interface FileErasure {
  readonly log: LogStorage
  readonly checkpoints: CheckpointSet
  readonly journal: ErasureJournal
  readonly plan: ErasurePlan
  /** What is to be erased is known to be in the log: not after a crash, which may have taken the end of one that was not synced. */
  readonly mustReach?: boolean | undefined
  readonly shouldStop?: (() => boolean) | undefined
  /** What is being done, and how many bytes of it are done. */
  readonly onProgress?: ((step: string, bytes: number, bytesInAll: number) => void) | undefined
}

/** A checkpoint before and after: its rows, and the checksum of its file. */
export interface ErasedCheckpoint {
  readonly name: string
  readonly rows: number
  readonly before: number | undefined
  readonly after: number
}
export interface ErasedFiles extends ErasedCounts {
  readonly segments: readonly RewrittenSegment[]
  readonly checkpoints: readonly ErasedCheckpoint[]
}

/** What the journal keeps beside its patches. */
export interface Progress extends ErasedCounts {
  /** A durable batch with a frame: what is to be erased is not behind it. */
  readonly upTo: number
  /** Rows that transactions have taken away before, by table. */
  readonly rows: Readonly<Record<string, number>>
  readonly segments: readonly RewrittenSegment[]
}

/** From here on files change: `eraseFiles` comes next, in this life of the database or before the next one reads anything. */
export function beginFiles(journal: ErasureJournal, upTo: number, rows: Progress['rows']): void {
  const progress: Progress = { upTo, rows, tables: {}, events: 0, answers: [], segments: [] }
  journal.record(progress, [])
}

/** How far it has come; undefined: no file has changed. */
export const progressOf = (journal: ErasureJournal): Progress | undefined => journal.report as Progress | undefined

export async function eraseFiles(options: FileErasure): Promise<ErasedFiles> {
  const progress = eraseLog(options)
  const checkpoints = await eraseCheckpoints(options, progress)
  const { tables, events, answers, segments } = progress
  return { tables, events, answers, segments, checkpoints }
}

function eraseLog({ log, journal, plan, mustReach, shouldStop, onProgress }: FileErasure): Progress {
  const known = progressOf(journal)!
  const { upTo, rows } = known
  const counter = new ErasureCounter(known)
  let eraser: BodyEraser | undefined
  const segments = rewriteLog(log, journal, {
    upTo,
    done: known.segments,
    mustReach,
    shouldStop,
    onProgress: onProgress && ((bytes, bytesInAll) => onProgress('rewriting the log', bytes, bytesInAll)),
    report: (found): Progress => ({ upTo, rows, ...counter.counts, segments: found }),
    rewrite: ({ kind, body }) => {
      if (kind === 'frame') return eraser?.erase(body)
      eraser = new BodyEraser(JSON.parse(decodeSchema(body)) as LoggedCatalog, plan, counter)
      return undefined
    },
  })
  return { upTo, rows, ...counter.counts, segments }
}

async function eraseCheckpoints({ checkpoints, plan, shouldStop, onProgress }: FileErasure, { answers }: Progress): Promise<readonly ErasedCheckpoint[]> {
  const meter = new Meter(checkpoints.candidates(), onProgress)
  const hooks: ChunkHooks = { shouldStop, onProgress: (done) => meter.readTo(done) }
  const before = new Map<string, number | undefined>(checkpoints.candidates().map(({ name }) => [name, checkpoints.crcOf(name)]))
  const touched = new Set(answers.map(({ batch, index }) => `${batch} ${index}`))
  const made = await checkpoints.makeAnew((from, into) => new CheckpointFilter(plan, touched, into, hooks).run(from), hooks)
  meter.end()
  return made.map(({ name, rows }) => ({ name, rows, before: before.get(name), after: checkpoints.crcOf(name as EnvironmentName)! }))
}

/**
 * How far checkpoints are made anew. Their files are read for their checksums; the newest for its rows, and what becomes of it to be summed, copied
 * and summed again: about as long as it was.
 */
class Meter {
  readonly #bytesInAll: number
  readonly #tell: FileErasure['onProgress']
  #bytes = 0
  #inFile = 0

  constructor(candidates: readonly CheckpointCandidate[], tell: FileErasure['onProgress']) {
    const [newest] = candidates
    this.#bytesInAll = candidates.reduce((bytes, { fileBytes }) => bytes + fileBytes, 4 * (newest?.fileBytes ?? 0))
    this.#tell = tell
    this.#say(0)
  }

  /** So far in a file; less than before is another file. */
  readTo(bytes: number): void {
    this.#bytes += bytes < this.#inFile ? bytes : bytes - this.#inFile
    this.#inFile = bytes
    this.#say(Math.min(this.#bytes, this.#bytesInAll))
  }
  end(): void {
    this.#say(this.#bytesInAll)
  }

  #say(bytes: number): void {
    if (this.#bytesInAll > 0) this.#tell?.('making the checkpoints anew', bytes, this.#bytesInAll)
  }
}

/** Brings the rows of one checkpoint into another, without what is the subject's. */
class CheckpointFilter {
  readonly #plan: ErasurePlan
  readonly #subject: Subject
  readonly #touched: ReadonlySet<string>
  readonly #into: Checkpoint
  readonly #hooks: ChunkHooks
  readonly #changes = new ChangeBuffer()
  #at: { readonly batch: number; readonly meta: Uint8Array } = { batch: 0, meta: new Uint8Array(0) }

  constructor(plan: ErasurePlan, touched: ReadonlySet<string>, into: Checkpoint, hooks: ChunkHooks) {
    this.#plan = plan
    this.#subject = subjectOf(plan.subject)
    this.#touched = touched
    this.#into = into
    this.#hooks = hooks
  }

  run(from: Checkpoint): void {
    const meta = decodeMeta(from.meta)
    if (meta === undefined) return
    this.#at = { batch: from.batch, meta: from.meta }
    const erasers = meta.catalog.tables.map((now, place) => {
      const erased = this.#plan.tables.find(({ name }) => name === now.name)
      return erased && (meta.layouts?.[place] ?? [now]).map((layout) => RowEraser.of(layout, erased, this.#plan))
    })
    let read = 0
    let told = 0
    for (const block of from.blocks()) {
      const { bytes, rows } = block
      read += block.words[1]! // its length
      if (read - told >= stepBytes) {
        goOn(this.#hooks, read, 0)
        told = read
      }
      for (let row = 0, end = block.count * rowWords; row < end; row += rowWords) {
        if (this.#changes.isFull) this.#apply()
        const keyAt = rows[row]!
        const place = bytes[keyAt]! * 256 + bytes[keyAt + 1]!
        if (place === outcomesPlace) this.#outcome(block, row)
        else this.#row(block, row, erasers[place])
      }
    }
    this.#apply()
  }

  #row(block: RowBlock, row: number, erasers: readonly (RowEraser | undefined)[] | undefined): void {
    const { bytes, words, rows } = block
    const valueAt = rows[row + 2]!
    const valueBytes = rows[row + 3]!
    const number = layoutNumber(words, valueAt, valueBytes)
    const eraser = erasers?.[number]
    const imageBytes = rowBytes(valueBytes)
    if (eraser !== undefined) {
      eraser.layAfter({ ints: words, bytes }, valueAt, imageBytes)
      if (eraser.isOf('after', this.#subject)) {
        if (eraser.blanks) this.#blanked(block, row, eraser, number, imageBytes)
        return
      }
    }
    this.#changes.putPart(bytes, rows[row]!, rows[row + 1]!, bytes, valueAt, imageBytes, number)
  }

  #blanked({ bytes, rows }: RowBlock, row: number, eraser: RowEraser, number: number, imageBytes: number): void {
    const log = LaneLog.create({ lanes: 1, transactions: 1, changes: 1, events: 1, bytes: imageBytes + 64 })
    log.beginLane(0)
    eraser.blank('after')
    const image = eraser.put('after', log)
    assert(image.bytes <= imageBytes, 'a row with fewer values is not longer')
    this.#changes.putPart(bytes, rows[row]!, rows[row + 1]!, log.bytes, image.at, image.bytes, number)
  }

  #outcome({ bytes, rows }: RowBlock, row: number): void {
    const id = bytes.subarray(rows[row]! + 2, rows[row]! + rows[row + 1]!)
    const outcome = decodeOutcome(bytes, rows[row + 2]!, rows[row + 3]!)
    const answer = answerWithout(id, outcome.value, outcome.outcome, this.#subject, this.#touched.has(`${outcome.batch} ${outcome.place}`))
    if (answer?.keepsId === false) return
    const key = bytes.subarray(rows[row]!, rows[row]! + rows[row + 1]!)
    this.#changes.put(key, encodeOutcome(answer === undefined ? outcome : { ...outcome, value: answer.value }))
  }

  #apply(): void {
    const changes = this.#changes.sorted()
    for (const slice of changes.slices()) {
      this.#into.apply(slice, this.#at)
      this.#into.flush()
    }
    this.#changes.clear()
  }
}
