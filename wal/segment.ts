/**
 * Segments: the files of the log, `0000000001.slog` and up, without a gap.
 *
 *    byte 0                    4096
 *         +--------------------+----------+---------+---------+- - - - -+--------------------+
 *         | segment head, zero | schema   | frame   | frame   |  ...    | zeros              |
 *         +--------------------+----------+---------+---------+- - - - -+--------------------+
 *
 * The head is an envelope without body: its `previous` is the newest batch before the segment (so the segment that
 * holds what follows batch b is the last one whose `previous` is not above b), its `chain` the chain at the start.
 *
 * Invariants:
 *   G1  A segment is written full of zeros, synced, and its name synced, before its head is written. A sync of a frame
 *       then changes no metadata (0.09 ms against 0.13–0.18 ms), and a full disk shows here and not at a commit.
 *   G2  A frame never spans segments. One that does not fit begins the next segment, which is made longer if need be.
 *   G3  Sizes double from `firstSegmentBytes` up to `limits.segmentBytes`: an empty database does not cost 64 MiB.
 *       Nothing relies on it: the size of a segment is the length of its file, and a full disk makes shorter ones.
 *
 * Why zeros and not a reserved length (fallocate, truncate): the first write to a reserved block changes metadata.
 */
import { limits } from '../engine/base/limits.js'
import { isMissing, isNoSpace } from './damage.js'
import {
  envelopeBytes,
  isAtHome,
  isZero,
  readEnvelope,
  sameBytes,
  segmentHeadBytes,
  writeEnvelope,
  type Envelope,
  type ReadEnvelope,
} from './envelope.js'
import type { LogFile, LogStorage } from './storage.js'

export const firstSegmentBytes = 4 * 1_024 * 1_024
const zeroChunkBytes = 1_024 * 1_024

const namePattern = /^(\d{10})\.slog$/

export function segmentName(segment: number): string {
  return `${String(segment).padStart(10, '0')}.slog`
}

/** The numbers of all segments, ascending. Files of other names are not ours to judge. */
export function listSegments(storage: LogStorage): number[] {
  return storage
    .list()
    .flatMap((name) => namePattern.exec(name)?.slice(1) ?? [])
    .map(Number)
    .filter((segment) => segment > 0)
    .sort((left, right) => left - right)
}

/** G3. */
export function segmentBytesOf(segment: number, segmentBytesMax: number = limits.segmentBytes): number {
  return Math.min(segmentBytesMax, firstSegmentBytes * 2 ** Math.min(segment - 1, 30))
}

/** The head page of a segment. */
export function encodeSegmentHead(databaseId: Uint8Array, head: Omit<Envelope, 'kind' | 'offset'>): Uint8Array {
  const page = new Uint8Array(segmentHeadBytes)
  writeEnvelope(page, databaseId, { ...head, kind: 'segment', offset: 0 })
  return page
}

/** The head of an open segment when it is whole; of this database, if that is given. */
export function readSegmentHead(file: LogFile, segment: number, databaseId?: Uint8Array): ReadEnvelope | undefined {
  const page = new Uint8Array(segmentHeadBytes)
  if (file.read(page, 0) < segmentHeadBytes) return undefined
  const head = readEnvelope(page, 0)
  if (head === undefined || !isAtHome(head, databaseId ?? head.databaseId, segment, 0)) return undefined
  if (head.kind !== 'segment') return undefined
  return isZero(page.subarray(envelopeBytes)) ? head : undefined
}

export function readSegmentHeadOf(
  storage: LogStorage,
  segment: number,
  databaseId?: Uint8Array,
): ReadEnvelope | undefined {
  const file = storage.open(segmentName(segment), 'read')
  try {
    return readSegmentHead(file, segment, databaseId)
  } finally {
    file.close()
  }
}

/**
 * The batch up to which the log has been compacted (segment-rewrite.ts): what it holds up to there is not all that was written. 0: it is
 * whole, from its first segment on or from the one that is given. The segments say it, so a copy of them says it too.
 */
export function compactedUpTo(storage: LogStorage, from = 0): number {
  let upTo = 0
  for (const segment of listSegments(storage)) {
    if (segment < from) continue
    try {
      upTo = Math.max(upTo, readSegmentHeadOf(storage, segment)?.compactedUpTo ?? 0)
    } catch (error) {
      if (!isMissing(error)) throw error // retention was here
    }
  }
  return upTo
}

/**
 * Removes the segments that hold nothing above `upTo`: those whose successor begins at or below it. Oldest first, so
 * that a crash leaves a log without a gap, and only when the head of the successor is on disk, for the first segment of
 * a log must have one. It is written once more before it is synced: a sync of the log thread may have failed meanwhile, and
 * then the page is lost, counts as clean, and another sync says nothing (W2). Returns the numbers of the removed segments.
 */
export function removeSegments(storage: LogStorage, options: { readonly upTo: number }): number[] {
  const segments = listSegments(storage)
  const removed: number[] = []
  for (let i = 0; i + 1 < segments.length; i += 1) {
    const head = readSegmentHeadOf(storage, segments[i]!)
    const next = readSegmentHeadOf(storage, segments[i + 1]!)
    const done = head !== undefined && next !== undefined && sameBytes(head.databaseId, next.databaseId)
    if (!done || next.previous > options.upTo) break
    rewriteHead(storage, segments[i + 1]!)
    storage.remove(segmentName(segments[i]!))
    removed.push(segments[i]!)
  }
  if (removed.length > 0) storage.syncDirectory()
  return removed
}

/** The same bytes: nobody writes the head of a segment after the segment was begun. */
function rewriteHead(storage: LogStorage, segment: number): void {
  const file = storage.open(segmentName(segment), 'write')
  try {
    const page = new Uint8Array(segmentHeadBytes)
    file.read(page, 0)
    file.write([page], 0)
    file.sync()
  } finally {
    file.close()
  }
}

/** Puts on disk whatever was written of any segment: for who reads a log that its writer does not sync. */
export function syncSegments(storage: LogStorage): void {
  for (const segment of listSegments(storage)) syncSegment(storage, segment)
}

function syncSegment(storage: LogStorage, segment: number): void {
  const file = storage.open(segmentName(segment), 'write')
  try {
    file.sync()
  } finally {
    file.close()
  }
}

const zeros = new Uint8Array(zeroChunkBytes)

/** The segment after the one in use, on its way to being full of zeros (G1), one chunk at a time. */
export class NextSegment {
  readonly segment: number
  readonly #storage: LogStorage
  #file: LogFile | undefined
  #bytes = 0
  /** Its name is on disk, and whatever an earlier life left in it. */
  #settled = false

  /** What an earlier life left of it (recovery has seen that it is all zeros) is taken over. */
  constructor(storage: LogStorage, segment: number) {
    this.#storage = storage
    this.segment = segment
  }

  /** How much of it is written. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Writes and syncs one chunk of the first `bytes`. Returns the error when the disk is full: nothing is lost by that,
   * and the step can be taken again. Any other failure is thrown, that of a sync always.
   */
  step(bytes: number): unknown {
    try {
      this.#file ??= this.#open()
      if (this.#bytes >= bytes && this.#settled) return undefined
      const chunk = zeros.subarray(0, Math.max(0, Math.min(zeroChunkBytes, bytes - this.#bytes)))
      this.#file.write([chunk], this.#bytes)
    } catch (error) {
      if (isNoSpace(error)) return error
      throw error
    }
    this.#file.sync()
    if (!this.#settled) this.#storage.syncDirectory()
    this.#settled = true
    this.#bytes = Math.max(this.#bytes, Math.min(bytes, this.#bytes + zeroChunkBytes))
    return undefined
  }

  /**
   * Finishes the segment and hands it over: with `bytes` if the disk has them, else with what there is, if that is at
   * least `needed`. What had been prepared when the disk became full is the room of the calls that were under way.
   */
  finish(bytes: number, needed: number): LogFile {
    do {
      const full = this.step(bytes)
      if (full === undefined) continue
      if (this.#bytes < needed || !this.#settled) throw full
      break
    } while (this.#bytes < bytes)
    return this.#file!
  }

  close(): void {
    this.#file?.close()
    this.#file = undefined
  }

  /** A file left by an earlier life is synced once more, and so is its name: it may be readable only. */
  #open(): LogFile {
    const name = segmentName(this.segment)
    if (!this.#storage.list().includes(name)) return this.#storage.create(name)
    const file = this.#storage.open(name, 'write')
    this.#bytes = file.size()
    return file
  }
}
