/**
 * The writing end of the log. Belongs to one thread, which it blocks: append, append, sync, and so on.
 *
 * Three words: a batch is *written* when its frame was handed to the system, *synced* when a sync came back after that,
 * and *durable* when it reached the level of the database: synced for 'fsync', written for 'os' and 'memory'.
 *
 *   level     a group            a new segment        idle, close
 *   fsync     write, fdatasync   the old one synced   certificate, synced
 *   os        write              the old one synced   sync, certificate, synced
 *   memory    write              –                    –
 *
 * The preparation of a segment is synced at every level (segment.ts, G1): it is off the path of the frames.
 *
 * Invariants:
 *   W1  `durableUpTo` in an envelope is *synced*, at every level: recovery takes it as a promise of the disk.
 *   W2  After the first failed write or sync nothing more is written or synced (R44): the system drops what it could
 *       not write, calls it clean, and says so once. A second sync would succeed without the data.
 *   W3  Except 'memory', a segment is synced before anything is written to the next one, so frames that the disk may
 *       take in any order never lie in two files.
 *   W4  There is always room for one certificate behind a frame, so the last frame of a segment can be certified.
 *   W5  Opening a log writes nothing to it: the schema, if it differs, goes before the next frame.
 *   W6  The next segment is prepared ahead of need, in proportion: when this one is half full it is ready. So a full disk
 *       is met while there is still room for what is under way, and whoever calls `prepareNext` hears of it first.
 *   W7  While a group is open no envelope claims more than was synced before it, at any level: so it counts when it has ended,
 *       and before that as nothing (log-scan.ts).
 */
import { assert } from '../engine/base/assert.js'
import { messageOf, SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { diskIsFull, isNoSpace } from './damage.js'
import {
  chainAfter,
  chainStart,
  crcOfParts,
  databaseIdBytes,
  envelopeBytes,
  frameBytes,
  sameBytes,
  segmentHeadBytes,
  writeEnvelope,
  type EnvelopeKind,
} from './envelope.js'
import { encodeSegmentHead, NextSegment, segmentBytesOf, segmentName } from './segment.js'
import type { LogFile, LogStorage } from './storage.js'
import type { LogTail } from './recovery.js'

export type Durability = 'fsync' | 'os' | 'memory'

export interface LogWriterOptions {
  readonly databaseId: Uint8Array
  /** The body of the schema frame that explains the frames to come. */
  readonly schema: Uint8Array
  readonly durability: Durability
  readonly segmentBytesMax?: number | undefined
}

/** Where the preparation of the next segment stands. `'later'`: more of it is due when this one is fuller (W6). */
export type Preparation = 'ready' | 'underway' | 'later' | 'no-space'

export interface FrameAt {
  readonly segment: number
  readonly offset: number
}

const padding = new Uint8Array(8)

export class LogWriter {
  readonly #storage: LogStorage
  readonly #options: LogWriterOptions
  readonly #incarnation: number
  readonly #envelope = new Uint8Array(envelopeBytes)

  #file: LogFile | undefined
  #next: NextSegment
  #segment: number
  #offset: number
  #capacity = 0
  #chain: number

  #written: number
  #synced: number
  /** The newest `durableUpTo` that was written, and the newest that is on disk. */
  #claimed: number
  #certified: number
  #dirty = false
  #schemaDue: boolean
  #schema: Uint8Array
  /** In a group: what was synced before it. */
  #groupAfter: number | undefined
  #failure: SluiceError | undefined
  #closed = false

  private constructor(storage: LogStorage, tail: LogTail, options: LogWriterOptions) {
    this.#storage = storage
    this.#options = options
    this.#incarnation = tail.incarnation + 1
    this.#segment = tail.segment
    this.#offset = tail.offset
    this.#chain = tail.segment === 0 ? chainStart(options.databaseId) : tail.chain
    this.#written = tail.batch
    this.#synced = tail.batch
    this.#claimed = tail.certified
    this.#certified = tail.certified
    this.#schema = options.schema
    this.#schemaDue = tail.schema === undefined || !sameBytes(tail.schema, options.schema)
    this.#next = this.#nextSegment()
  }

  /** Continues the log where recovery found its end; creates the first segment when there is none. */
  static open(storage: LogStorage, tail: LogTail, options: LogWriterOptions): LogWriter {
    assert(options.databaseId.length === databaseIdBytes, 'a database id has 16 bytes')
    assert(tail.damage === undefined, 'a damaged log is not written to')
    const sameDatabase = tail.databaseId === undefined || sameBytes(tail.databaseId, options.databaseId)
    assert(sameDatabase, 'the log belongs to this database')

    const writer = new LogWriter(storage, tail, options)
    try {
      writer.#guard('open', () => writer.#begin(tail))
    } catch (error) {
      writer.#letGo()
      throw error
    }
    return writer
  }

  #begin(tail: LogTail): void {
    if (tail.segment === 0) {
      this.#roll(0)
      this.#syncFile()
    } else {
      this.#file = this.#storage.open(segmentName(tail.segment), 'write')
      this.#capacity = this.#file.size()
    }
  }

  /** The newest batch at the level of the database. Always that of a frame. */
  get durableUpTo(): number {
    return this.#options.durability === 'fsync' ? this.#synced : this.#written
  }

  get writtenUpTo(): number {
    return this.#written
  }

  /** Whether the log has stopped for good. */
  get failure(): SluiceError | undefined {
    return this.#failure
  }

  /** Writes the frame of `batch`. The body may be in pieces, and in shared memory; nobody may change it meanwhile. */
  append(body: Uint8Array | readonly Uint8Array[], of: { readonly batch: number; readonly previous: number }): FrameAt {
    this.#alive()
    const parts = body instanceof Uint8Array ? [body] : body
    const bodyBytes = parts.reduce((bytes, part) => bytes + part.length, 0)
    assert(bodyBytes > 0 && bodyBytes <= limits.frameBytesMax, 'a frame has a body within its limit')
    assert(of.previous === this.#written, `frames are appended in order: ${this.#written} was the last batch`)
    assert(Number.isSafeInteger(of.batch) && of.batch > of.previous, 'R16: batch numbers grow')

    return this.#guard('append', () => {
      const schemaBytes = this.#schemaDue ? frameBytes(this.#schema.length) : 0
      const bytes = frameBytes(bodyBytes)
      if (this.#offset + schemaBytes + bytes + envelopeBytes > this.#capacity) this.#roll(bytes)
      if (this.#schemaDue) {
        this.#write('schema', [this.#schema], this.#written)
        this.#schemaDue = false
      }
      const at: FrameAt = { segment: this.#segment, offset: this.#offset }
      this.#write('frame', parts, of.batch)
      this.#written = of.batch
      return at
    })
  }

  /** The frames to come are explained by another schema. */
  explain(schema: Uint8Array): void {
    this.#alive()
    this.#schema = schema
    this.#schemaDue = true
  }

  /** The frames to come count together, when `endGroup` has come back, or not at all. What is there is synced first. */
  beginGroup(): void {
    this.#alive()
    assert(this.#groupAfter === undefined, 'a group is not in another one')
    this.#guard('beginGroup', () => this.#syncFile())
    this.#groupAfter = this.#synced
    this.#schemaDue = true
  }

  /** Syncs the group, whatever the level, and says so in the log. */
  endGroup(): void {
    this.#alive()
    assert(this.#groupAfter !== undefined && this.#written > this.#groupAfter, 'a group has a frame')
    this.#guard('endGroup', () => {
      this.#syncFile()
      this.#groupAfter = undefined
      this.#write('certificate', [], this.#written)
      this.#syncFile()
    })
  }

  get #claimable(): number {
    return this.#groupAfter ?? this.#synced
  }

  /** Makes what was appended durable, at the level of the database. Returns `durableUpTo`. */
  sync(): number {
    this.#alive()
    if (this.#options.durability === 'fsync') this.#guard('sync', () => this.#syncFile())
    return this.durableUpTo
  }

  /**
   * For idle times: writes, at most once after each frame, an envelope that says that the last frame is on disk. From
   * then on damage to that frame is told from a torn write. Returns whether there was something to certify.
   */
  certify(): boolean {
    this.#alive()
    if (this.#options.durability === 'memory') return false
    return this.#guard('certify', () => {
      this.#syncFile()
      if (this.#certified >= this.#synced || this.#offset + envelopeBytes > this.#capacity) return false
      this.#write('certificate', [], this.#written)
      this.#syncFile()
      return true
    })
  }

  /**
   * One step (at most 1 MiB) towards the next segment, when it is due; with `'whole'`, whether it is due or not. To be
   * called between groups. `'no-space'` is no failure yet; it becomes one when a frame needs the segment.
   */
  prepareNext(amount: 'due' | 'whole' = 'due'): Preparation {
    this.#alive()
    const target = segmentBytesOf(this.#next.segment, this.#options.segmentBytesMax)
    if (this.#next.bytes >= target) return 'ready'
    if (amount === 'due' && this.#next.bytes * this.#capacity > 2 * this.#offset * target) return 'later'
    return this.#guard('prepareNext', () => {
      const full = this.#next.step(target)
      if (full !== undefined) return 'no-space'
      return this.#next.bytes >= target ? 'ready' : 'underway'
    })
  }

  /** Syncs and certifies what is there, unless the log has failed, and lets go of the files. */
  close(): void {
    if (this.#closed) return
    try {
      if (this.#failure === undefined && this.#groupAfter === undefined) this.certify()
    } finally {
      this.#closed = true
      this.#letGo()
    }
  }

  #letGo(): void {
    this.#file?.close()
    this.#next.close()
  }

  /** Goes on in the next segment, which gets room for a frame of `bytes` (G2, W3). */
  #roll(bytes: number): void {
    const { databaseId, durability, segmentBytesMax } = this.#options
    const schema = this.#schema
    if (durability !== 'memory') this.#syncFile()
    const needed = segmentHeadBytes + frameBytes(schema.length) + bytes + envelopeBytes
    const wanted = Math.max(segmentBytesOf(this.#next.segment, segmentBytesMax), needed)
    const file = this.#next.finish(wanted, needed)

    this.#file?.close()
    this.#file = file
    this.#segment = this.#next.segment
    this.#capacity = this.#next.bytes
    this.#offset = segmentHeadBytes
    this.#next = this.#nextSegment()
    this.#dirty = true
    this.#schemaDue = true
    this.#claimed = this.#claimable
    const head = encodeSegmentHead(databaseId, {
      segment: this.#segment,
      incarnation: this.#incarnation,
      batch: this.#written,
      previous: this.#written,
      durableUpTo: this.#claimable,
      bodyBytes: 0,
      bodyCrc: 0,
      writtenCrc: 0,
      chain: this.#chain,
    })
    file.write([head], 0)
  }

  #write(kind: EnvelopeKind, parts: readonly Uint8Array[], batch: number): void {
    const bodyBytes = parts.reduce((bytes, part) => bytes + part.length, 0)
    const bodyCrc = crcOfParts(parts)
    if (kind === 'frame') this.#chain = chainAfter(this.#chain, bodyCrc)
    writeEnvelope(this.#envelope, this.#options.databaseId, {
      kind,
      segment: this.#segment,
      offset: this.#offset,
      incarnation: this.#incarnation,
      batch,
      previous: this.#written,
      durableUpTo: this.#claimable,
      bodyBytes,
      bodyCrc,
      writtenCrc: bodyCrc,
      chain: this.#chain,
      isOfGroup: kind === 'schema' && this.#groupAfter !== undefined,
    })
    const bytes = frameBytes(bodyBytes)
    this.#dirty = true
    this.#claimed = this.#claimable
    const pad = padding.subarray(0, bytes - envelopeBytes - bodyBytes)
    this.#file!.write([this.#envelope, ...parts, pad], this.#offset)
    this.#offset += bytes
  }

  #syncFile(): void {
    if (!this.#dirty) return
    this.#file!.sync()
    this.#dirty = false
    this.#synced = this.#written
    this.#certified = this.#claimed
  }

  #nextSegment(): NextSegment {
    return new NextSegment(this.#storage, this.#segment + 1)
  }

  #alive(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#closed) throw SluiceError.of('DATABASE_CLOSED', 'The log is closed.')
  }

  /** W2: the first failure is the last operation. */
  #guard<Result>(operation: string, action: () => Result): Result {
    try {
      return action()
    } catch (cause) {
      if (operation === 'open' && isNoSpace(cause)) throw diskIsFull(undefined, cause)
      const why = messageOf(cause)
      this.#failure = SluiceError.of(
        'LOG_FAILED',
        `The log could not be written (${why}). Nothing more will be; what was durable stays readable. ` +
          'Repair the disk or make room, then open the database again.',
        { cause, details: { operation, segment: this.#segment, offset: this.#offset, durableUpTo: this.durableUpTo } },
      )
      throw this.#failure
    }
  }
}
