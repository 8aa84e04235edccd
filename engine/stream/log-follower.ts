/**
 * Follows the log from any position: first what the files hold, then what is being sealed, without a seam (design §4).
 *
 * The newest frames stand in the frame ring; older ones in the segment files (without a path the ring is all there is, R50). A
 * follower keeps the batch it has read up to. As long as that is still in the ring it reads there; when it has fallen behind the
 * ring, it opens the files where it is and goes on until it meets the ring again. Both hold the same bodies, so there is nothing
 * to join but the batch number.
 *
 * A follower pulls: who does not ask costs nothing, and commits never wait for anybody.
 */
import { join } from 'node:path'
import { SluiceError } from '../base/errors.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { endOfBatch } from '../schema/handler-ids.js'
import type { FrameRing } from '../shared/frame-ring.js'
import { decodeSchema, FileLogStorage, FrameBodyReader, LogExtent, type LogPlace as FilePlace, LogReader } from '../../wal/index.js'
import { type DecodedTransaction, FrameCursor, FrameDecoder, type FrameFilter } from './frame-decoder.js'

export interface DatabaseFiles {
  /** Of the database: log and checkpoints are folders in it. */
  readonly directory: string
  readonly databaseId: Uint8Array
  /** Grows when files have been rewritten. */
  rewritten?: number
  /** The log has been compacted up to this batch: it holds not all that was written up to there. 0: it has not. */
  readonly compactedUpTo: () => number
}

export interface FollowerOptions {
  readonly frames: FrameRing
  /** Of today: what the ring holds is of it, what the files hold is brought into its shape. */
  readonly catalog: LoggedCatalog
  readonly disk: DatabaseFiles | undefined
  /** The newest durable batch. */
  readonly durable: () => number
  /** The newest batch whose frame is in the files, durable or not. */
  readonly written: () => number
  readonly filter: FrameFilter
  /** Read what comes after this place: a batch, and an index in it (-1: all of the batch). */
  readonly afterBatch: number
  readonly afterIndex: number
  /** An entry of the ring that is not behind the batch, to look from; undefined: from the oldest one. */
  readonly near?: ((batch: number) => number | undefined) | undefined
  /** Reads may end between two transactions of a frame, at `max` or after so many bytes, wanted or not. Without, frames are taken whole. */
  readonly stepBytes?: number | undefined
  /** Between two frames of the files: throws when whoever asked has given up. */
  readonly goOn?: (() => void) | undefined
  /** Frames of before this time are passed over. */
  readonly sinceMs?: number | undefined
  /** Told of the schemas in the files, each behind a batch, and of the batches that are before `sinceMs`. */
  readonly trail?: { passed(schema: string, after: number): void; leftOut(batch: number): void } | undefined
}

/** A place in the log: everything up to and including the record `index` of a batch. */
export interface LogPlace {
  readonly batch: number
  readonly index: number
}

/** As the index after which a follower reads: all of the batch has been seen. */
const wholeBatch = -1

/** How long the files of a log are, and how far a place in them is. */
export const extentOf = (disk: DatabaseFiles): LogExtent => new LogExtent(logOf(disk))

export function logOf({ directory }: DatabaseFiles): FileLogStorage {
  return FileLogStorage.open(join(directory, 'log'), { create: false })
}

/** The batch before the oldest one that the files hold. */
export function oldestInLog(disk: DatabaseFiles): number {
  return LogReader.oldest(logOf(disk)) - 1
}

/** Decoders keep nothing between two calls, and their code takes longer to make than a short read: one for all who read today's frames. */
const decodersOfToday = new WeakMap<LoggedCatalog, { readonly decoder: FrameDecoder; readonly schema: string }>()

function today(catalog: LoggedCatalog): { readonly decoder: FrameDecoder; readonly schema: string } {
  let found = decodersOfToday.get(catalog)
  if (found === undefined) {
    found = { decoder: new FrameDecoder(catalog), schema: JSON.stringify(catalog) }
    decodersOfToday.set(catalog, found)
  }
  return found
}
const decoderOfToday = (catalog: LoggedCatalog): FrameDecoder => today(catalog).decoder

/** Of what comes behind a schema in the files. */
function decoderOf(schema: string, catalog: LoggedCatalog): FrameDecoder {
  const { decoder, schema: same } = today(catalog)
  return schema === same ? decoder : new FrameDecoder(JSON.parse(schema) as LoggedCatalog, catalog)
}

export class LogFollower {
  readonly #options: FollowerOptions
  readonly #decoder: FrameDecoder
  #batch: number
  #index: number
  /** Counter of the ring entry that comes next, when the follower is in the ring. */
  #counter: number | undefined
  /** It starts inside a batch, whose rest has not been read. */
  #isInside: boolean
  #reader: LogReader | undefined
  #fileDecoder: FrameDecoder | undefined
  /** Erasures that memory and files had seen when it read last. */
  #erasures = 0
  /** The frame that has been read in part. */
  #cursor: FrameCursor | undefined
  #isAtEnd = false

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#decoder = decoderOfToday(options.catalog)
    this.#batch = options.afterBatch
    this.#index = options.afterIndex
    this.#isInside = options.afterIndex >= 0
  }

  /** The batch that was read last. */
  get batch(): number {
    return this.#batch
  }

  /** Everything up to here has been read; the end of a batch is one place, however many records it has. */
  get place(): LogPlace {
    const isWhole = this.#cursor === undefined && !this.#isInside
    return { batch: this.#batch, index: isWhole ? endOfBatch : this.#index }
  }
  /** The last read of the ring has read all that was durable. */
  get isAtEnd(): boolean {
    return this.#isAtEnd
  }

  /** Something durable has not been read yet. */
  isBehind(): boolean {
    return this.#cursor !== undefined || this.#options.durable() >= this.#firstWanted
  }
  /** The oldest batch that may hold something new: the one after the last read, or the rest of the one it starts in. */
  get #firstWanted(): number {
    return this.#isInside ? this.#batch : this.#batch + 1
  }

  /**
   * What is left of the frame that was read in part, and transactions from the ring, at most about `max`; false when they must be read from the files
   * first. Where memory holds what comes next, files are left, and only there: who has more of a frame of theirs to hand out reads on in them.
   */
  readRing(max: number, into: DecodedTransaction[]): boolean {
    const { frames, durable } = this.#options
    const upTo = durable()
    this.#isAtEnd = false
    this.#forgetErased()
    if (!this.#drain(max, into)) return true
    while (into.length < max && this.#firstWanted <= upTo) {
      const counter = this.#counter ?? this.#findInRing()
      if (counter === undefined) return false
      this.leaveFiles()
      const entry = frames.read(counter, frames.publishedHead)
      // F2 before anything of it is believed; and after 2^31 words the difference of two counters says nothing.
      const isNext = entry === undefined || entry.batch === this.#batch || (entry.batch >= this.#firstWanted && this.#follows(entry))
      if (!frames.stillThere(counter) || !isNext) {
        this.#counter = undefined
        continue
      }
      if (entry === undefined || entry.batch > upTo) {
        this.#counter = counter
        this.#isInside = false // the batch that it starts in has no frame
        this.#isAtEnd = true
        return true
      }
      const body = new Uint8Array(entry.body.length)
      body.set(entry.body)
      const next = entry.next
      if (!frames.stillThere(counter)) {
        this.#counter = undefined // F2: overwritten under the copy
        continue
      }
      this.#counter = next
      if (!this.#take(this.#decoder, body, entry.batch, max, into)) return true
    }
    this.#isAtEnd = this.#firstWanted > upTo
    if (this.#isAtEnd) this.leaveFiles()
    return true
  }

  /** Transactions from the files; resolves when at least one was read, or nothing durable is left. */
  async readFiles(max: number, into: DecodedTransaction[]): Promise<void> {
    const { disk } = this.#options
    if (disk === undefined) {
      throw SluiceError.of('HISTORY_GONE', 'The log of a database without a path holds the newest frames only, and these are gone: start from "now", or give the database a path.')
    }
    this.#isAtEnd = false
    const known = { batch: this.#batch, index: this.#index, isInside: this.#isInside || this.#cursor !== undefined, count: into.length }
    await this.#readFiles(disk, max, into)
    if (this.#erasures === this.#erasuresNow) return
    // Files were rewritten under it: what it has read may be of before.
    into.length = known.count
    this.#batch = known.batch
    this.#index = known.index
    this.#isInside = known.isInside
    this.#cursor = undefined
    this.leaveFiles()
    await this.readFiles(max, into)
  }

  get #erasuresNow(): number {
    const { frames, disk } = this.#options
    return frames.erasures + (disk?.rewritten ?? 0)
  }

  /** Frames and files that were read before an erasure are not read on. */
  #forgetErased(): void {
    const now = this.#erasuresNow
    if (this.#erasures === now) return
    this.#erasures = now
    this.leaveFiles()
    if (this.#cursor === undefined) return
    this.#cursor = undefined
    this.#counter = undefined
    this.#isInside = true
  }

  async #readFiles(disk: DatabaseFiles, max: number, into: DecodedTransaction[]): Promise<void> {
    const { durable, catalog } = this.#options
    this.#forgetErased()
    if (!this.#drain(max, into) || into.length >= max) return
    const storage = logOf(disk)
    this.#reader ??= LogReader.readFrom(storage, { databaseId: disk.databaseId, batch: this.#firstWanted })
    this.#fileDecoder ??= this.#decoder
    // What is durable in memory may not be in the files yet; it is in the ring until it is.
    const upTo = Math.min(durable(), this.#options.written())
    const { stepBytes = Infinity } = this.#options
    let passed = 0
    for await (const frame of this.#reader.frames(upTo)) {
      this.#options.goOn?.()
      if (frame.kind === 'schema') {
        const schema = decodeSchema(frame.body)
        this.#fileDecoder = decoderOf(schema, catalog)
        this.#options.trail?.passed(schema, frame.batch)
      } else if (frame.batch >= this.#firstWanted && !this.#take(this.#fileDecoder, frame.body, frame.batch, max, into)) return
      passed += frame.body.length
      if (into.length >= max || passed >= stepBytes) return
    }
    if (this.#batch < upTo) {
      this.#batch = upTo
      this.#index = wholeBatch
    }
    this.#isInside = false
  }

  /** It needs no files until it falls behind again. */
  leaveFiles(): void {
    this.#reader?.close()
    this.#reader = undefined
    this.#fileDecoder = undefined
  }
  get isInFiles(): boolean {
    return this.#reader !== undefined
  }
  /** Where in the files it reads on; undefined while it reads in the ring. */
  get placeInFiles(): FilePlace | undefined {
    return this.#reader?.place
  }

  close(): void {
    this.leaveFiles()
  }

  /** Nothing lies before it that the follower has not read: of a batch that it is inside of, the rest may be in the files only. */
  #follows({ previous }: { readonly previous: number }): boolean {
    return this.#isInside ? previous < this.#batch : previous <= this.#batch
  }

  /** The counter of the first entry behind the follower's batch, if the ring reaches back that far. */
  #findInRing(): number | undefined {
    const { frames, disk } = this.#options
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const head = frames.publishedHead
      const start = this.#options.near?.(this.#batch) ?? frames.tail
      let counter = start
      let isFirst = true
      let gone = false
      for (let entry = frames.read(counter, head); entry !== undefined; entry = frames.read(counter, head)) {
        if (!frames.stillThere(start)) {
          gone = true
          break
        }
        if (entry.batch >= this.#firstWanted) {
          // The entry before it must be ours: else something between lies in the files only.
          const isNext = !isFirst || entry.batch === this.#batch || this.#follows(entry)
          if (!isNext) return undefined
          return counter
        }
        isFirst = false
        counter = entry.next
      }
      if (!gone && frames.stillThere(start)) return disk === undefined || !isFirst ? counter : undefined
    }
    return undefined
  }

  /** Begins a frame; false where it ended a read inside of it. */
  #take(decoder: FrameDecoder, bytes: Uint8Array, batch: number, max: number, into: DecodedTransaction[]): boolean {
    const { filter, sinceMs, trail } = this.#options
    const from = batch === this.#batch ? this.#index + 1 : 0
    const body = new FrameBodyReader(bytes)
    this.#batch = batch
    this.#isInside = false
    this.#index = body.transactionCount - 1
    if (sinceMs !== undefined && body.now < sinceMs) {
      trail?.leftOut(batch)
      return true
    }
    this.#cursor = new FrameCursor(decoder, body, filter, from)
    return this.#drain(max, into)
  }

  /** Goes on in the frame that is open; false where the read ends inside of it. */
  #drain(max: number, into: DecodedTransaction[]): boolean {
    const cursor = this.#cursor
    if (cursor === undefined) return true
    const { stepBytes } = this.#options
    let bytes = 0
    for (let next = cursor.next(); next !== undefined; next = cursor.next()) {
      into.push(next)
      bytes += next.bytes
      if (stepBytes === undefined || (into.length < max && bytes < stepBytes)) continue
      this.#index = cursor.index - 1
      return false
    }
    this.#cursor = undefined
    this.#index = cursor.index - 1
    return true
  }
}
