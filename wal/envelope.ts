/**
 * The envelope: 128 little-endian bytes in front of every body, filled by the log thread.
 *
 *    byte  0  u32  magic "SLU1"
 *          4  u16  format (1)
 *          6  u8   kind: 1 frame, 2 certificate, 3 schema, 4 segment
 *          7  u8   flags: 1 on a schema that begins, or goes on with, a group of frames (log-scan.ts);
 *                  2 on a frame whose body was rewritten by an erasure (log-rewrite.ts);
 *                  4 on a frame whose body was rewritten by a compaction (segment-rewrite.ts); else 0
 *          8  16   database id
 *         24  u32  segment    } its own place: an envelope that lies elsewhere is data, somebody's copy, not a frame
 *         28  u32  offset     }
 *         32  u32  incarnation: grows with every life of the database that writes
 *         36  u32  bodyBytes
 *         40  f64  batch of this frame; of the newest frame before it, for the other kinds
 *         48  f64  previous: batch of the frame before it; equal to `batch` for the other kinds
 *         56  f64  durableUpTo: the newest batch known to be on disk when this was written
 *         64  u32  bodyCrc: of the body as it is
 *         68  u32  writtenCrc: of the body as it was first written (differs after an erasure or a compaction)
 *         72  u32  chain: crc32(writtenCrc, the chain before); the other kinds repeat the chain before
 *         76  u32  zero
 *         80  f64  of the head of a segment that was compacted: the newest batch in it; else zero
 *         88  36   zero
 *        124  u32  headerCrc: crc32 of bytes 0 to 123
 *
 * A certificate and a segment head have no body. The chain covers frames only, so it is a digest of the history: the
 * same batches give the same chain, whatever certificates and segments lie between them. It begins with
 * crc32(database id), so that the frames of two databases never chain.
 *
 * Bytes 0 to 5, 8 to 31 and 124 to 127 mean the same in every format to come: so a version can tell the log of a newer one
 * from damage, and say so (`kind` is then 'unknown').
 *
 * What makes an envelope valid at its place is in frame-scanner.ts.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../engine/base/assert.js'
import { newerFormat } from './damage.js'

export const envelopeBytes = 128
export const databaseIdBytes = 16
/** The head page of a segment: one envelope of kind segment, then zeros. */
export const segmentHeadBytes = 4_096
export const envelopeFormat = 1
/** "SLU1" as a little-endian word. */
export const envelopeMagic = 0x3155_4c53

const kinds = ['frame', 'certificate', 'schema', 'segment'] as const
export type EnvelopeKind = (typeof kinds)[number]

const groupFlag = 1
const erasedFlag = 2
const compactedFlag = 4
const compactedUpToAt = 80
const headerCrcAt = 124
const reservedAt = 76

export interface Envelope {
  readonly kind: EnvelopeKind
  readonly segment: number
  readonly offset: number
  readonly incarnation: number
  readonly batch: number
  readonly previous: number
  readonly durableUpTo: number
  readonly bodyBytes: number
  readonly bodyCrc: number
  readonly writtenCrc: number
  readonly chain: number
  /** Of a schema. */
  readonly isOfGroup?: boolean
  /** Of a frame: its body is not the one that was first written, for an erasure or a compaction has rewritten it. */
  readonly isErased?: boolean
  readonly isCompacted?: boolean
  /** Of a segment that was compacted: the newest batch in it. 0, or undefined: it was not. */
  readonly compactedUpTo?: number
}

export interface ReadEnvelope extends Omit<Envelope, 'kind'> {
  readonly kind: EnvelopeKind | 'unknown'
  readonly format: number
  readonly databaseId: Uint8Array
}

export function writeEnvelope(target: Uint8Array, databaseId: Uint8Array, envelope: Envelope): void {
  assert(databaseId.length === databaseIdBytes, 'a database id has 16 bytes')
  const view = new DataView(target.buffer, target.byteOffset, envelopeBytes)
  view.setUint32(0, envelopeMagic, true)
  view.setUint16(4, envelopeFormat, true)
  view.setUint8(6, kinds.indexOf(envelope.kind) + 1)
  view.setUint8(7, (envelope.isOfGroup === true ? groupFlag : 0) | (envelope.isErased === true ? erasedFlag : 0) | (envelope.isCompacted === true ? compactedFlag : 0))
  target.set(databaseId, 8)
  view.setUint32(24, envelope.segment, true)
  view.setUint32(28, envelope.offset, true)
  view.setUint32(32, envelope.incarnation, true)
  view.setUint32(36, envelope.bodyBytes, true)
  view.setFloat64(40, envelope.batch, true)
  view.setFloat64(48, envelope.previous, true)
  view.setFloat64(56, envelope.durableUpTo, true)
  view.setUint32(64, envelope.bodyCrc, true)
  view.setUint32(68, envelope.writtenCrc, true)
  view.setUint32(72, envelope.chain, true)
  target.fill(0, reservedAt, headerCrcAt)
  if (envelope.compactedUpTo !== undefined) view.setFloat64(compactedUpToAt, envelope.compactedUpTo, true)
  view.setUint32(headerCrcAt, crc32(target.subarray(0, headerCrcAt)), true)
}

/**
 * The envelope at `at`, when its magic and its own checksum are right. It may still be somebody's data. `view` spans the
 * same bytes: a walk makes one for many envelopes.
 */
export function readEnvelope(bytes: Uint8Array, at: number, view: DataView = viewOf(bytes)): ReadEnvelope | undefined {
  if (at + envelopeBytes > bytes.length || view.getUint32(at, true) !== envelopeMagic) return undefined
  if (view.getUint32(at + headerCrcAt, true) !== crc32(bytes.subarray(at, at + headerCrcAt))) return undefined
  const format = view.getUint16(at + 4, true)
  const kind = kinds[view.getUint8(at + 6) - 1]
  if (format < envelopeFormat || (kind === undefined && format === envelopeFormat)) return undefined
  return {
    kind: format === envelopeFormat ? kind! : 'unknown',
    format,
    databaseId: bytes.subarray(at + 8, at + 8 + databaseIdBytes),
    segment: view.getUint32(at + 24, true),
    offset: view.getUint32(at + 28, true),
    incarnation: view.getUint32(at + 32, true),
    bodyBytes: view.getUint32(at + 36, true),
    batch: view.getFloat64(at + 40, true),
    previous: view.getFloat64(at + 48, true),
    durableUpTo: view.getFloat64(at + 56, true),
    bodyCrc: view.getUint32(at + 64, true),
    writtenCrc: view.getUint32(at + 68, true),
    chain: view.getUint32(at + 72, true),
    isOfGroup: (view.getUint8(at + 7) & groupFlag) !== 0,
    isErased: (view.getUint8(at + 7) & erasedFlag) !== 0,
    isCompacted: (view.getUint8(at + 7) & compactedFlag) !== 0,
    compactedUpTo: kind === 'segment' ? view.getFloat64(at + compactedUpToAt, true) : 0,
  }
}

/**
 * Whether the envelope belongs to this database and lies where it says it lies. One that does, and is of a newer format,
 * is refused by an error: whoever asks is about to judge bytes that it cannot understand.
 */
export function isAtHome(envelope: ReadEnvelope, databaseId: Uint8Array, segment: number, offset: number): boolean {
  if (envelope.segment !== segment || envelope.offset !== offset) return false
  for (let i = 0; i < databaseIdBytes; i += 1) if (envelope.databaseId[i] !== databaseId[i]) return false
  if (envelope.format !== envelopeFormat) throw newerFormat('log', envelope.format, envelopeFormat)
  return true
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** The checksum of a body in pieces. */
export function crcOfParts(parts: readonly Uint8Array[]): number {
  let crc = 0
  for (const part of parts) crc = crc32(part, crc)
  return crc
}

export function chainStart(databaseId: Uint8Array): number {
  return crc32(databaseId)
}

const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0)
  return crc
})

/** crc32 of the four bytes of `writtenCrc`, continued from `chain`. Four bytes are not worth a call of zlib. */
export function chainAfter(chain: number, writtenCrc: number): number {
  let crc = ~chain
  for (let shift = 0; shift < 32; shift += 8) {
    crc = crcTable[(crc ^ (writtenCrc >>> shift)) & 0xff]! ^ (crc >>> 8)
  }
  return ~crc >>> 0
}

/** Envelope, body and zeros up to the next multiple of 8. */
export function frameBytes(bodyBytes: number): number {
  return envelopeBytes + Math.ceil(bodyBytes / 8) * 8
}

export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0
}

const zeros = new Uint8Array(64 * 1_024)

/** Compared by blocks with zeros: ten times as fast as a loop. */
export function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const block = bytes.subarray(at, at + zeros.length)
    if (Buffer.compare(block, zeros.subarray(0, block.length)) !== 0) return false
  }
  return true
}
