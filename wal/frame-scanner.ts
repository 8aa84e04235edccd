/**
 * What makes the bytes at a place a part of the log. One rule for recovery and for readers.
 *
 * The bytes at offset p of segment s are the next part of the log if and only if
 *   F1  magic, format and headerCrc of the envelope are right;
 *   F2  it names this database, segment s and offset p;
 *   F3  its incarnation is not older than that of the part before it, its durableUpTo not above the batch before it;
 *   F4  a frame: `previous` is the batch before it, `batch` is greater, `chain` follows from the chain before it;
 *       another kind: `batch`, `previous` and `chain` repeat those before it (and a segment head is no such part);
 *   F5  the body lies inside the segment, its checksum is right, and zeros fill it up to a multiple of 8;
 *   F6  the body is the one that was first written, unless its envelope says that an erasure or a compaction has rewritten it.
 *
 * An envelope that keeps F1 and F2 but for a newer format is neither a part nor damage: it is refused (`isAtHome`).
 */
import { crc32 } from 'node:zlib'
import {
  chainAfter,
  envelopeBytes,
  frameBytes,
  isAtHome,
  isZero,
  readEnvelope,
  segmentHeadBytes,
  type EnvelopeKind,
  type ReadEnvelope,
} from './envelope.js'

/** A place between two parts of the log, and all that the next part is checked against. */
export interface LogPlace {
  readonly segment: number
  readonly offset: number
  /** Of the newest frame before this place; 0 before the first. */
  readonly batch: number
  readonly chain: number
  readonly incarnation: number
}

/** A part of the log with a body, as recovery and readers hand it out. */
export interface LogFrame {
  readonly kind: 'frame' | 'schema'
  /** For a schema, both name the newest frame before it. */
  readonly batch: number
  readonly previous: number
  readonly body: Uint8Array
  readonly segment: number
  readonly offset: number
}

/** What `misfit` has let through. */
export interface PartEnvelope extends ReadEnvelope {
  readonly kind: Exclude<EnvelopeKind, 'segment'>
}

export type ScanStep =
  | { readonly kind: 'part'; readonly envelope: PartEnvelope; readonly body: Uint8Array; readonly after: LogPlace }
  | { readonly kind: 'need'; readonly bytes: number }
  | { readonly kind: 'end'; readonly why: string }

/** `segmentBytes` is how many bytes the segment has in all. */
export function scanStep(place: LogPlace, databaseId: Uint8Array, window: SegmentWindow, segmentBytes: number): ScanStep {
  const { bytes, view } = window
  const at = place.offset - window.at
  if (place.offset + envelopeBytes > segmentBytes) return { kind: 'end', why: 'the segment ends' }
  if (at < 0 || at + envelopeBytes > bytes.length) return { kind: 'need', bytes: envelopeBytes }

  const envelope = readEnvelope(bytes, at, view)
  if (envelope === undefined) {
    const empty = isZero(bytes.subarray(at, at + envelopeBytes))
    return { kind: 'end', why: empty ? 'nothing is written there' : 'the envelope is not whole' }
  }
  const wrong = misfit(envelope, place, databaseId)
  if (wrong !== undefined) return { kind: 'end', why: wrong }

  const whole = frameBytes(envelope.bodyBytes)
  if (place.offset + whole > segmentBytes) return { kind: 'end', why: 'the body reaches beyond the segment' }
  if (at + whole > bytes.length) return { kind: 'need', bytes: whole }

  const bodyAt = at + envelopeBytes
  const body = bytes.subarray(bodyAt, bodyAt + envelope.bodyBytes)
  if (crc32(body) !== envelope.bodyCrc) return { kind: 'end', why: 'the checksum of the body is wrong' }
  for (let i = bodyAt + envelope.bodyBytes; i < at + whole; i += 1) {
    if (bytes[i] !== 0) return { kind: 'end', why: 'the padding of the body is not zero' }
  }
  const after: LogPlace = {
    segment: place.segment,
    offset: place.offset + whole,
    batch: envelope.batch,
    chain: envelope.chain,
    incarnation: envelope.incarnation,
  }
  return { kind: 'part', envelope: envelope as PartEnvelope, body, after }
}

/** Envelope, body and padding of a part, as they stand in the window. */
export function bytesOfPart({ envelope, body }: { readonly envelope: PartEnvelope; readonly body: Uint8Array }): Uint8Array {
  return new Uint8Array(body.buffer, body.byteOffset - envelopeBytes, frameBytes(envelope.bodyBytes))
}

/** F2 to F4 and F6, as the sentence that says what is wrong. */
function misfit(envelope: ReadEnvelope, place: LogPlace, databaseId: Uint8Array): string | undefined {
  if (!isAtHome(envelope, databaseId, place.segment, place.offset)) {
    return 'the envelope belongs to another place or another database'
  }
  if (envelope.incarnation < place.incarnation) return 'the envelope is the remains of an earlier life'
  if (!(envelope.durableUpTo <= place.batch)) return 'the envelope claims to know the future'
  if (envelope.kind === 'frame') {
    const grows = envelope.batch > place.batch && Number.isSafeInteger(envelope.batch)
    if (envelope.previous !== place.batch || !grows) return `the frame follows batch ${envelope.previous}, not ${place.batch}`
    if (envelope.chain !== chainAfter(place.chain, envelope.writtenCrc)) return 'the frame is not of this chain'
    if (envelope.bodyCrc !== envelope.writtenCrc && envelope.isErased !== true && envelope.isCompacted !== true) return 'the body is not the one that was first written'
    return undefined
  }
  if (envelope.kind === 'segment' || envelope.kind === 'unknown') return 'a segment head inside a segment'
  const repeats = envelope.batch === place.batch && envelope.previous === place.batch && envelope.chain === place.chain
  return repeats ? undefined : `the ${envelope.kind} is not of this chain`
}

/** Whether a segment head goes on where `place` is. */
export function continues(head: ReadEnvelope, place: LogPlace): boolean {
  return (
    head.previous === place.batch &&
    head.chain === place.chain &&
    head.incarnation >= place.incarnation &&
    head.durableUpTo <= place.batch
  )
}

export function placeAfterHead(head: ReadEnvelope): LogPlace {
  const { segment, previous, chain, incarnation } = head
  return { segment, offset: segmentHeadBytes, batch: previous, chain, incarnation }
}

/**
 * The bytes of one segment that are in memory. A read begins at the place that is asked for, a multiple of 8, so that
 * bodies are as aligned in memory as in the file.
 */
export class SegmentWindow {
  bytes: Uint8Array = new Uint8Array(0)
  view = new DataView(this.bytes.buffer)
  at = 0
  readonly #reuse: boolean

  /** With `reuse`, the bytes handed out are valid until the next read only. */
  constructor(reuse: boolean) {
    this.#reuse = reuse
  }

  /** A buffer to fill from `offset` of the file: at least `bytes`, `ahead` if there are as many. */
  prepare(offset: number, bytes: number, ahead: number, segmentBytes: number): Uint8Array {
    const length = Math.max(0, Math.min(Math.max(bytes, ahead), segmentBytes - offset))
    const buffer = this.bytes.buffer
    const fits = this.#reuse && buffer.byteLength >= length && buffer.byteLength <= 4 * Math.max(ahead, length)
    return fits ? new Uint8Array(buffer, 0, length) : new Uint8Array(length)
  }

  /** What was read of the prepared buffer. */
  filled(buffer: Uint8Array, read: number, offset: number): void {
    this.bytes = buffer.subarray(0, read)
    this.view = new DataView(buffer.buffer, buffer.byteOffset, read)
    this.at = offset
  }

  clear(): void {
    this.filled(this.bytes, 0, 0)
  }
}
