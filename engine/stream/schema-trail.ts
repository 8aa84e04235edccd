/**
 * The schemas that one reader of the log comes to, each in its place between the commits.
 *
 *   … frames of A │ schema B │ frames of B … the log when it was opened │ frames of this opening: in memory, and in files
 *
 * The log says which schema explains the frames behind it, and who reads files passes these records. Memory has none, and needs none: all
 * that it holds is of this opening, and so of today's catalog. So a trail knows what the reader stands on, takes up what the reader passes,
 * and ends with the first commit of this opening.
 *
 * Invariants:
 *   S1  Steps are in order, each behind another batch. A record that is passed once more (the reader fell back, files were rewritten, a
 *       schema was left without a frame by a crash) changes the step of its place, as long as nobody was told of it, and else nothing.
 *   S2  A step stands for something that is another one: equal catalogs, and such that differ in procedures alone, are no step.
 */
import { SluiceError } from '../base/errors.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { isUnchanged } from '../schema/difference.js'
import { decodeSchema, LogReader } from '../../wal/index.js'
import { type DatabaseFiles, logOf } from './log-follower.js'

/** Frames above batch `after` are of `now`, those up to it of `before`. */
export interface SchemaStep {
  readonly after: number
  readonly before: LoggedCatalog
  readonly now: LoggedCatalog
}

export interface SchemaTrailParts {
  readonly disk: DatabaseFiles
  readonly today: LoggedCatalog
  /** The last batch of the log when it was opened. */
  readonly lastBatch: number
  /** The log has a frame of this opening: one that commits nothing changes nothing. */
  readonly hasGrown: () => boolean
  /** The reader begins at a moment: what it passes before that is where it begins. */
  readonly seeksMoment: boolean
}

export class SchemaTrail {
  readonly #parts: SchemaTrailParts
  /** Of the frames that were passed last; undefined: the log begins behind the reader. */
  #known: LoggedCatalog | undefined
  #text = ''
  /** Before the record that was passed last, and the place of that. */
  #knownBefore: LoggedCatalog | undefined
  #at = -1
  #toldUpTo = -1
  readonly #steps: SchemaStep[] = []
  #isBegun = false
  /** A commit of this opening was met. */
  #isThrough = false

  constructor(parts: SchemaTrailParts) {
    this.#parts = parts
  }

  get isBegun(): boolean {
    return this.#isBegun
  }
  /** There is nothing to come, and nothing left to tell. */
  get isOver(): boolean {
    return this.#isThrough && this.#steps.length === 0
  }

  /** The reader sees what comes after this batch, or after a part of it. */
  async begin(batch: number): Promise<void> {
    const { disk, lastBatch, seeksMoment } = this.#parts
    if (batch > lastBatch) this.#isThrough = true
    else if (!seeksMoment) {
      const found = await schemaAt(disk, batch, lastBatch)
      if (found !== undefined) {
        this.#know(decodeSchema(found.schema))
        this.#at = found.after
      }
    }
    this.#isBegun = true
  }

  /** The reader has passed this schema, behind a batch. */
  passed(schema: string, after: number): void {
    if (this.#isThrough || after < this.#at || after <= this.#toldUpTo) return
    if (after === this.#at && this.#steps.at(-1)?.after === after) {
      this.#steps.pop() // S1
      this.#known = this.#knownBefore
      this.#text = ''
    }
    this.#knownBefore = this.#known
    this.#at = after
    this.#know(schema)
    this.#step(after, this.#knownBefore, this.#known!)
  }

  /** The frame of this batch is before the moment that the reader begins at. */
  leftOut(batch: number): void {
    while (this.#steps.length > 0 && this.#steps[0]!.after < batch) this.#steps.shift()
    if (batch > this.#parts.lastBatch) this.#isThrough = true
  }

  /** The first step that a commit of this batch stands behind, and that nobody was told of. */
  due(batch: number): SchemaStep | undefined {
    const { lastBatch, today, hasGrown } = this.#parts
    if (!this.#isBegun) return undefined
    if (batch > lastBatch && !this.#isThrough && hasGrown()) {
      this.#isThrough = true
      if (this.#steps.at(-1)?.after !== lastBatch) this.#step(lastBatch, this.#known, today)
    }
    const [first] = this.#steps
    return first !== undefined && first.after < batch ? first : undefined
  }

  /** Of the first step. */
  told(): void {
    this.#toldUpTo = this.#steps.shift()!.after
  }

  #know(schema: string): void {
    if (schema === this.#text) return
    this.#text = schema
    this.#known = JSON.parse(schema) as LoggedCatalog
  }

  #step(after: number, before: LoggedCatalog | undefined, now: LoggedCatalog): void {
    if (before === undefined || isUnchanged(before, now)) return // S2
    this.#steps.push({ after, before, now })
  }
}

interface SchemaPlace {
  readonly schema: Uint8Array
  readonly after: number
}

/** What explains the last frame at or before a batch; undefined where that has left the log. `upTo`: the last batch of the log. */
async function schemaAt(disk: DatabaseFiles, batch: number, upTo: number): Promise<SchemaPlace | undefined> {
  let reader: LogReader
  try {
    reader = LogReader.readFrom(logOf(disk), { databaseId: disk.databaseId, batch })
  } catch (error) {
    if (SluiceError.is(error, 'HISTORY_GONE')) return undefined
    throw error
  }
  // Frames before the batch are passed over by the reader: what comes next tells whether there were any.
  let found: SchemaPlace | undefined
  let last: SchemaPlace | undefined
  try {
    for await (const part of reader.frames(upTo)) {
      const isExplained = last !== undefined && (part.kind === 'schema' ? part.batch > last.after : part.batch === batch || part.previous > last.after)
      if (isExplained) found = last
      if (part.kind === 'frame') break
      last = { schema: part.body, after: part.batch }
    }
  } finally {
    reader.close()
  }
  // Its segment begins between the last frame and the batch.
  return found ?? (last === undefined || last.after === 0 ? undefined : schemaAt(disk, last.after, upTo))
}
