/**
 * Writes a closed segment anew, shorter, beside the old one, and puts it in its place (R60: who may have it so is said in retention.ts).
 *
 *   walk      part by part, as recovery does, from the head to where the next segment goes on
 *   write     head, schemas, certificates and frames in their order, into a file of another name; frames with the bodies that are asked for
 *   prove     the new file is read as a segment and leads to the same place
 *   replace   synced, then renamed over the old one; then the folder is synced
 *
 * Every part stays, so batches, times, positions in them and the chain are what they were (R51): the envelope of a rewritten frame says so
 * (`isCompacted`) and keeps `writtenCrc`, over which the chain goes. The head says up to which batch the segment was compacted: who makes
 * rows of frames must not begin before it (`compactedUpTo` in segment.ts).
 *
 * Invariants:
 *   Y1  A crash leaves the old segment or the new one, whole, and perhaps the file of another name, which counts for nobody and goes with
 *       the next opening or rewriting.
 *   Y2  What is not understood to its end is not touched: a damaged segment stays as it is, for who verifies and salvages.
 *   Y3  Who has the old file open reads on in it to its end, and goes on in the next segment: both lead there.
 *
 * Why not in place, as an erasure does (log-rewrite.ts): bytes would not become fewer. And nobody is hurt by old bytes that are read for a
 * while longer, as they would be by those of a subject.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../engine/base/assert.js'
import { SluiceError } from '../engine/base/errors.js'
import { envelopeBytes, frameBytes, writeEnvelope, type ReadEnvelope } from './envelope.js'
import { bytesOfPart, continues, type LogFrame, type LogPlace, type PartEnvelope, placeAfterHead, scanStep, SegmentWindow } from './frame-scanner.js'
import { encodeSegmentHead, listSegments, readSegmentHeadOf, segmentName } from './segment.js'
import type { LogFile, LogStorage } from './storage.js'

/** The new segment, as long as it is not in its place. */
export const rewriteName = 'rewrite'
const chunkBytes = 1_024 * 1_024

export interface SegmentRewrite {
  /** The body that a frame is to have, never longer; undefined: it stays. Told of schemas, too. */
  readonly rewrite: (part: LogFrame) => Uint8Array | undefined
  readonly shouldStop?: (() => boolean) | undefined
}

interface Part {
  readonly envelope: PartEnvelope
  readonly body: Uint8Array
}

/** Answers how many bytes fewer it is; undefined where the segment is not whole up to the next one, and stays. */
export function rewriteSegment(storage: LogStorage, segment: number, { rewrite, shouldStop }: SegmentRewrite): number | undefined {
  const head = readSegmentHeadOf(storage, segment)
  const isClosed = listSegments(storage).includes(segment + 1)
  const next = head && isClosed ? readSegmentHeadOf(storage, segment + 1, head.databaseId) : undefined
  if (head === undefined || next === undefined) return undefined
  const databaseId = head.databaseId.slice()
  removeUnfinishedRewrite(storage)
  const old = storage.open(segmentName(segment), 'read')
  const file = storage.create(rewriteName)
  let isPlaced = false
  try {
    const copy = new Copy(file, databaseId)
    copy.add(encodeSegmentHead(databaseId, { ...head, compactedUpTo: next.previous }))
    const end = walkSegment(old, head, (part) => {
      if (shouldStop?.() === true) throw SluiceError.of('CANCELLED', 'Compacting the log was stopped; it goes on after a later checkpoint.')
      copy.take(part, rewrite)
    })
    if (!continues(next, end)) return undefined // Y2
    copy.flush()
    assert(continues(next, walkSegment(file, head, () => undefined)), 'a rewritten segment leads where it led')
    file.sync()
    storage.replace(rewriteName, segmentName(segment))
    isPlaced = true
    storage.syncDirectory()
    return old.size() - copy.bytes
  } finally {
    old.close()
    file.close()
    if (!isPlaced) removeUnfinishedRewrite(storage)
  }
}

/** What a crash, or an error, has left of one that was not put in its place. */
export function removeUnfinishedRewrite(storage: LogStorage): void {
  if (!storage.list().includes(rewriteName)) return
  storage.remove(rewriteName)
  storage.syncDirectory()
}

/** Frames and schemas of one segment, in order, up to a batch or to where it is not understood. Bodies are valid until the next part. */
export function readSegment(storage: LogStorage, head: ReadEnvelope, upTo: number, visit: (part: LogFrame) => void): void {
  const file = storage.open(segmentName(head.segment), 'read')
  try {
    walkSegment(file, head, ({ envelope, body }) => {
      const { kind, batch, previous, segment, offset } = envelope
      if (kind !== 'certificate' && batch <= upTo) visit({ kind, batch, previous, body, segment, offset })
    })
  } finally {
    file.close()
  }
}

function walkSegment(file: LogFile, head: ReadEnvelope, visit: (part: Part) => void): LogPlace {
  const databaseId = head.databaseId.slice()
  const window = new SegmentWindow(true)
  const size = file.size()
  for (let place = placeAfterHead(head); ; ) {
    const step = scanStep(place, databaseId, window, size)
    if (step.kind === 'end') return place
    if (step.kind === 'part') {
      visit(step)
      place = step.after
      continue
    }
    const buffer = window.prepare(place.offset, step.bytes, chunkBytes, size)
    const read = file.read(buffer, place.offset)
    window.filled(buffer, read, place.offset)
    if (read < step.bytes) return place
  }
}

/** The file that is being written; parts are gathered to a megabyte. */
class Copy {
  bytes = 0
  readonly #file: LogFile
  readonly #databaseId: Uint8Array
  readonly #gathered = new Uint8Array(chunkBytes)
  #gatheredBytes = 0

  constructor(file: LogFile, databaseId: Uint8Array) {
    this.#file = file
    this.#databaseId = databaseId
  }

  take(part: Part, rewrite: SegmentRewrite['rewrite']): void {
    const { envelope } = part
    const { kind, batch, previous, segment, offset } = envelope
    const body = kind === 'certificate' ? undefined : rewrite({ kind, batch, previous, body: part.body, segment, offset })
    if (body === undefined) {
      const bytes = bytesOfPart(part).slice()
      writeEnvelope(bytes, this.#databaseId, { ...envelope, offset: this.bytes })
      this.add(bytes)
      return
    }
    assert(kind === 'frame' && body.length <= part.body.length, 'only frames are rewritten, and none becomes longer')
    const bytes = new Uint8Array(frameBytes(body.length))
    writeEnvelope(bytes, this.#databaseId, { ...envelope, offset: this.bytes, bodyBytes: body.length, bodyCrc: crc32(body), isCompacted: true })
    bytes.set(body, envelopeBytes)
    this.add(bytes)
  }

  add(bytes: Uint8Array): void {
    if (this.#gatheredBytes + bytes.length > chunkBytes) this.flush()
    if (bytes.length > chunkBytes) this.#file.write([bytes], this.bytes)
    else {
      this.#gathered.set(bytes, this.#gatheredBytes)
      this.#gatheredBytes += bytes.length
    }
    this.bytes += bytes.length
  }

  flush(): void {
    if (this.#gatheredBytes > 0) this.#file.write([this.#gathered.subarray(0, this.#gatheredBytes)], this.bytes - this.#gatheredBytes)
    this.#gatheredBytes = 0
  }
}
