/**
 * Copies the log, up to a batch, into an empty folder: for a backup of a running database, and for going back to a moment.
 *
 * Part by part, so that everything is verified on its way (frame-scanner.ts: place, chain, checksums) and nothing behind
 * the last frame comes along. The bytes are the same at the same places; the rest of a file is zeros up to the length of
 * its original. Recovery of the copy therefore finds exactly the frames up to the batch, and nothing to cut.
 *
 * Beside a writer: everything up to a durable batch with a frame is in the files and changes no more, and of what is behind it the copy
 * takes whole certificates and nothing else. Retention must wait meanwhile; if it does not, the copy ends with `HISTORY_GONE`. Memory is bounded by
 * the longest frame.
 *
 * The copy is of the same database id and the same incarnation as its original: two lives that go on from one frame are
 * two histories, which the chain tells apart (R51).
 */
import { assert } from '../engine/base/assert.js'
import { SluiceError } from '../engine/base/errors.js'
import { isMissing, logCorrupt } from './damage.js'
import { sameBytes, type ReadEnvelope } from './envelope.js'
import { bytesOfPart } from './frame-scanner.js'
import { searchBehind } from './log-behind.js'
import { historyGone } from './log-reader.js'
import { LogScan } from './log-scan.js'
import { encodeSegmentHead, listSegments, readSegmentHeadOf, segmentName } from './segment.js'
import type { LogFile, LogStorage } from './storage.js'

export interface CopyLogOptions {
  /** The last batch that is wanted. Of a running database: a durable one with a frame. Without it: all that is whole. */
  readonly upTo?: number | undefined
  /** A batch that is known to be in the files: a log that ends below it, and below `upTo`, is damaged. */
  readonly knownDurable?: number | undefined
  /** Refuse the log of another database. */
  readonly databaseId?: Uint8Array | undefined
  /** Asked after every megabyte; `true` ends the copy with `CANCELLED`, and leaves what was copied so far. */
  readonly shouldStop?: (() => boolean) | undefined
  readonly onProgress?: ((progress: { readonly bytes: number; readonly bytesInAll: number }) => void) | undefined
}

export interface CopiedLog {
  /** Of the newest frame in the copy; of the one before its first segment when it has none. */
  readonly batch: number
  readonly segments: number
  /** As long as the files of the copy are. */
  readonly bytes: number
}

const chunkBytes = 1_024 * 1_024

export function copyLog(from: LogStorage, to: LogStorage, options: CopyLogOptions = {}): CopiedLog {
  const { upTo = Infinity, knownDurable = 0 } = options
  assert(listSegments(to).length === 0, 'a log is copied into an empty folder')
  const lowest = listSegments(from)[0]
  if (lowest === undefined) {
    if (knownDurable > 0) throw logCorrupt({ segment: 0, offset: 0, batch: 0, durableUpTo: knownDurable, why: 'there is no log' })
    return { batch: 0, segments: 0, bytes: 0 }
  }
  const head = headOfLog(from, lowest, options)
  if (head === undefined) return { batch: 0, segments: 0, bytes: 0 }
  if (head.previous > upTo) throw historyGone(from, upTo)

  const databaseId = head.databaseId.slice()
  const scan = new LogScan(from, databaseId, head)
  const copy = new Copy(from, to, databaseId, options, lowest)
  try {
    let part = scan.place.batch < upTo ? scan.next() : undefined
    for (; part !== undefined && isWanted(part.envelope, scan.groupEnd, upTo); part = scan.next()) {
      copy.goTo(part.envelope.segment)
      copy.take(bytesOfPart(part), part.envelope.offset)
      copy.batch = part.envelope.batch
    }
    if (part === undefined && scan.place.batch < upTo) mustEndThere(from, scan, databaseId, Math.min(upTo, knownDurable))
    copy.leave()
    to.syncDirectory()
    return { batch: Math.max(copy.batch, head.previous), segments: copy.segments, bytes: copy.bytes }
  } finally {
    scan.close()
    copy.close()
  }
}

/**
 * Parts up to the batch, and certificates behind it: a group counts by the one behind its last frame. A group that ends later is not
 * there at all (log-scan.ts).
 */
function isWanted({ kind, batch, isOfGroup }: ReadEnvelope, groupEnd: number, upTo: number): boolean {
  if (isOfGroup === true && groupEnd > upTo) return false
  return batch < upTo || (batch === upTo && kind !== 'schema')
}

/** Undefined when there is no log yet: a first segment that was being made. */
export function headOfLog(from: LogStorage, lowest: number, options: Pick<CopyLogOptions, 'databaseId' | 'knownDurable'>): ReadEnvelope | undefined {
  const head = readSegmentHeadOf(from, lowest)
  const { databaseId, knownDurable = 0 } = options
  if (head !== undefined && (databaseId === undefined || sameBytes(databaseId, head.databaseId))) return head
  const nowhere = { segment: lowest, offset: 0, batch: 0, chain: 0, incarnation: 0 }
  const behind = searchBehind(from, listSegments(from), nowhere, head?.databaseId)
  if (head === undefined && lowest === 1 && !behind.found && knownDurable === 0) return undefined
  const why = head === undefined ? 'the head of the first segment is not whole' : 'it is the log of another database'
  throw logCorrupt({ segment: lowest, offset: 0, batch: 0, durableUpTo: Math.max(behind.durableUpTo, knownDurable), why })
}

/** The walk has ended before the batch that is wanted: a torn end, or the log is damaged there, or retention was quicker. */
export function mustEndThere(from: LogStorage, scan: LogScan, databaseId: Uint8Array, knownDurable: number): void {
  const { segment, offset, batch } = scan.place
  const segments = listSegments(from)
  if (segments.length > 0 && segments[0]! > segment) throw historyGone(from, batch + 1)
  const durableUpTo = Math.max(searchBehind(from, segments, scan.place, databaseId).durableUpTo, knownDurable)
  if (durableUpTo > batch) throw logCorrupt({ segment, offset, batch, durableUpTo, why: scan.why })
}

/** The file that is being written, from its head to its last zero; bytes are gathered to a megabyte. */
class Copy {
  batch = 0
  segments = 0
  bytes = 0
  readonly #from: LogStorage
  readonly #to: LogStorage
  readonly #databaseId: Uint8Array
  readonly #options: CopyLogOptions
  readonly #gathered = new Uint8Array(chunkBytes)
  #gatheredBytes = 0
  #file: LogFile | undefined
  #segment: number
  /** Of the file that is being written: how much of it there is, with what is gathered. */
  #end = 0
  #bytesInAll = 0

  constructor(from: LogStorage, to: LogStorage, databaseId: Uint8Array, options: CopyLogOptions, lowest: number) {
    this.#from = from
    this.#to = to
    this.#databaseId = databaseId
    this.#options = options
    this.#segment = lowest
    for (const segment of listSegments(from)) this.#bytesInAll += this.#unlessGone(() => sizeOf(from, segment))
    this.#enter(lowest)
  }

  /** Segments between may have a head and nothing else. */
  goTo(segment: number): void {
    while (this.#segment < segment) {
      this.leave()
      this.#enter(this.#segment + 1)
    }
  }

  take(part: Uint8Array, offset: number): void {
    assert(offset === this.#end, 'a copy has every part at its own place')
    if (this.#gatheredBytes + part.length > chunkBytes) this.#flush()
    if (part.length > chunkBytes) {
      for (let at = 0; at < part.length; at += chunkBytes) {
        this.#write(part.subarray(at, at + chunkBytes), offset + at)
      }
    } else {
      this.#gathered.set(part, this.#gatheredBytes)
      this.#gatheredBytes += part.length
    }
    this.#end += part.length
  }

  /** Zeros up to the length of the original, synced. */
  leave(): void {
    this.#flush()
    const size = this.#unlessGone(() => sizeOf(this.#from, this.#segment))
    this.#gathered.fill(0)
    while (this.#end < size) {
      const bytes = Math.min(chunkBytes, size - this.#end)
      this.#write(this.#gathered.subarray(0, bytes))
      this.#end += bytes
    }
    this.#file!.sync()
    this.close()
    this.segments += 1
  }

  close(): void {
    this.#file?.close()
    this.#file = undefined
  }

  #enter(segment: number): void {
    const head = this.#unlessGone(() => readSegmentHeadOf(this.#from, segment, this.#databaseId))
    assert(head !== undefined, 'the walk has read this head before')
    this.#file = this.#to.create(segmentName(segment))
    this.#segment = segment
    this.#end = 0
    this.take(encodeSegmentHead(this.#databaseId, head), 0)
  }

  /** Retention was quicker. */
  #unlessGone<Result>(read: () => Result): Result {
    try {
      return read()
    } catch (error) {
      throw isMissing(error) ? historyGone(this.#from, this.batch + 1) : error
    }
  }

  #flush(): void {
    const bytes = this.#gatheredBytes
    this.#gatheredBytes = 0
    if (bytes > 0) this.#write(this.#gathered.subarray(0, bytes), this.#end - bytes)
  }

  #write(bytes: Uint8Array, at = this.#end): void {
    const { shouldStop, onProgress } = this.#options
    if (shouldStop?.() === true) throw SluiceError.of('CANCELLED', 'Copying the log was stopped; remove what was copied.')
    this.#file!.write([bytes], at)
    this.bytes += bytes.length
    onProgress?.({ bytes: this.bytes, bytesInAll: this.#bytesInAll })
  }
}

function sizeOf(storage: LogStorage, segment: number): number {
  const file = storage.open(segmentName(segment), 'read')
  try {
    return file.size()
  } finally {
    file.close()
  }
}
