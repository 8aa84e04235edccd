/**
 * A walk over the log for who wants to look at it: prints, proves, salvages. It reads only, and never throws on damage.
 *
 *   segment | schema | frame | certificate   every part that counts, in order, with its place; then
 *   end                                      where that stops, and what recovery would say of it
 *   missing | detached                       only after damage: what must have been there, and what is still readable
 *
 * A frame behind damage is *detached*: whole and at its place, but what it builds on is not there. Those that follow each
 * other are one range. Batches that an envelope names as written before, or on disk, and that no frame holds, are
 * *missing*. So a salvage can say by batch what is lost for good and what is lost for want of a beginning.
 *
 * Beside a running database it stops at the tail that is just being written. Bytes that it read before the writer wrote
 * them are no damage, so whatever seems to be damage is read once more first.
 *
 * Bodies are valid until the next step. Memory is bounded by the longest frame.
 */
import { crc32 } from 'node:zlib'
import { messageOf, SluiceError } from '../engine/base/errors.js'
import { isMissing } from './damage.js'
import { envelopeBytes, frameBytes, isAtHome, segmentHeadBytes, type EnvelopeKind, type ReadEnvelope } from './envelope.js'
import type { LogPlace } from './frame-scanner.js'
import { searchBehind, searchSegment, type Behind } from './log-behind.js'
import { LogScan } from './log-scan.js'
import { listSegments, readSegmentHeadOf, segmentName } from './segment.js'
import type { LogFile, LogStorage } from './storage.js'

export interface LogPart {
  readonly kind: EnvelopeKind
  readonly segment: number
  readonly offset: number
  /** Envelope, body and padding. */
  readonly bytes: number
  readonly batch: number
  readonly previous: number
  readonly durableUpTo: number
  readonly incarnation: number
  readonly chain: number
  /** Of a frame: an erasure has rewritten its body. */
  readonly isErased: boolean
  /** Of a frame: a compaction has. */
  readonly isCompacted: boolean
  /** Of a schema that begins a group, frames that count together or not at all: its last batch. */
  readonly groupEnd?: number
  /** Empty for a segment and a certificate. */
  readonly body: Uint8Array
}

/**
 * `clean`: nothing but zeros. `torn`: bytes that were never acknowledged, which opening cuts; beside a running database,
 * what is just being written. `damaged`: opening refuses. `newer`: of a format that this version cannot read. `gone`:
 * retention removed the next segment meanwhile. `empty`: there is no log.
 */
export type LogVerdict = 'clean' | 'torn' | 'damaged' | 'newer' | 'gone' | 'empty'

export interface LogEnd {
  readonly kind: 'end'
  readonly verdict: LogVerdict
  /** The first bytes that are no part. */
  readonly segment: number
  readonly offset: number
  /** The newest batch before it, and the newest that is known to have been on disk. */
  readonly batch: number
  readonly durableUpTo: number
  readonly why: string
  /** Bytes behind it that are not zeros. */
  readonly bytesBehind: number
}

export interface DetachedFrames {
  readonly kind: 'detached'
  readonly segment: number
  /** Of the first one. */
  readonly offset: number
  readonly frames: number
  readonly fromBatch: number
  readonly toBatch: number
}

/** Batches above `afterBatch` and up to `toBatch`: at least `toBatch` was there. */
export interface MissingBatches {
  readonly kind: 'missing'
  readonly afterBatch: number
  readonly toBatch: number
}

export type LogFinding = LogPart | LogEnd | DetachedFrames | MissingBatches

const noBody = new Uint8Array(0)
const crcChunkBytes = 1_024 * 1_024

export function* inspectLog(storage: LogStorage): Generator<LogFinding, void, void> {
  const lowest = listSegments(storage)[0]
  if (lowest === undefined) {
    const place = { segment: 0, offset: 0, batch: 0, durableUpTo: 0, bytesBehind: 0 }
    yield { kind: 'end', verdict: 'empty', why: 'there is no log', ...place }
    return
  }
  const head = attempt(() => readSegmentHeadOf(storage, lowest))
  if (head.value !== undefined) {
    yield* partsFrom(storage, head.value)
    return
  }
  const nowhere = { segment: lowest, offset: 0, batch: 0, chain: 0, incarnation: 0 }
  const why = head.error === undefined ? 'the head of the first segment is not whole' : messageOf(head.error)
  const behind = attempt(() => searchBehind(storage, listSegments(storage), nowhere, undefined))
  const found = behind.value?.found === true || lowest > 1
  const verdict = verdictOf(head.error) ?? verdictOf(behind.error) ?? (found ? 'damaged' : 'empty')
  yield* ending(storage, nowhere, undefined, { verdict, why, behind: behind.value })
}

function* partsFrom(storage: LogStorage, head: ReadEnvelope): Generator<LogFinding, void, void> {
  const databaseId = head.databaseId.slice()
  let scan = new LogScan(storage, databaseId, head)
  let seen = head.segment
  yield partOf(head, noBody)
  try {
    for (;;) {
      let step = attempt(() => scan.next())
      const { place, why } = scan
      if (step.value === undefined) {
        const behind = attempt(() => searchBehind(storage, listSegments(storage), place, databaseId))
        // Only now the second look: what was found behind may have been written a moment ago, and this before it.
        const fresh = attempt(() => new LogScan(storage, databaseId, place))
        if (fresh.value !== undefined) {
          scan.close()
          scan = fresh.value
          step = attempt(() => scan.next())
        }
        if (step.value === undefined) {
          yield* headsUpTo(storage, databaseId, seen, place.segment)
          const error = fresh.error ?? step.error ?? behind.error
          const verdict = verdictOf(error) ?? judge(storage, place, behind.value)
          yield* ending(storage, place, databaseId, {
            verdict,
            why: error === undefined ? why : messageOf(error),
            behind: behind.value,
          })
          return
        }
      }
      const { envelope, body } = step.value
      yield* headsUpTo(storage, databaseId, seen, envelope.segment)
      seen = envelope.segment
      yield envelope.isOfGroup === true ? { ...partOf(envelope, body), groupEnd: scan.groupEnd } : partOf(envelope, body)
    }
  } finally {
    scan.close()
  }
}

/** The walk has been through these heads, without handing them out. */
function* headsUpTo(storage: LogStorage, databaseId: Uint8Array, seen: number, upTo: number): Generator<LogPart> {
  for (let segment = seen + 1; segment <= upTo; segment += 1) {
    const head = attempt(() => readSegmentHeadOf(storage, segment, databaseId)).value
    if (head !== undefined) yield partOf(head, noBody)
  }
}

function judge(storage: LogStorage, place: LogPlace, behind: Behind | undefined): LogVerdict {
  const first = listSegments(storage)[0] ?? 0
  if (first > place.segment) return 'gone'
  if (behind === undefined || behind.durableUpTo > place.batch) return 'damaged'
  return behind.bytes > 0 ? 'torn' : 'clean'
}

interface Ending {
  readonly verdict: LogVerdict
  readonly why: string
  readonly behind: Behind | undefined
}

function* ending(
  storage: LogStorage,
  place: LogPlace,
  databaseId: Uint8Array | undefined,
  { verdict, why, behind }: Ending,
): Generator<LogFinding, void, void> {
  const { segment, offset, batch } = place
  const durableUpTo = Math.max(batch, behind?.durableUpTo ?? 0)
  yield { kind: 'end', verdict, segment, offset, batch, durableUpTo, why, bytesBehind: behind?.bytes ?? 0 }
  if (verdict !== 'damaged') return

  let known = batch
  for (const behindSegment of listSegments(storage)) {
    if (behindSegment < segment) continue
    const start = behindSegment === segment ? offset : 0
    for (const { previous, ...range } of detachedIn(storage, behindSegment, start, place, databaseId)) {
      if (range.toBatch <= known) continue
      if (previous > known) yield { kind: 'missing', afterBatch: known, toBatch: previous }
      yield range
      known = range.toBatch
    }
  }
  if (durableUpTo > known) yield { kind: 'missing', afterBatch: known, toBatch: durableUpTo }
}

interface Range extends DetachedFrames {
  readonly previous: number
}

/** The whole frames of a segment from `start` on, as ranges that follow each other. */
function detachedIn(
  storage: LogStorage,
  segment: number,
  start: number,
  place: LogPlace,
  databaseId: Uint8Array | undefined,
): readonly Range[] {
  const ranges: Range[] = []
  // What cannot be read is lost; what was found before it is not.
  attempt(() => {
    const file = storage.open(segmentName(segment), 'read')
    try {
      let skipUntil = 0
      searchSegment(storage, segment, start, (envelope, offset) => {
        if (offset < skipUntil || !isAtHome(envelope, databaseId ?? envelope.databaseId, segment, offset)) return
        if (envelope.kind !== 'frame' || envelope.incarnation < place.incarnation) return
        if (!isBodyWhole(file, envelope)) return
        skipUntil = offset + frameBytes(envelope.bodyBytes)
        const { batch, previous } = envelope
        const last = ranges.at(-1)
        if (last !== undefined && last.toBatch === previous) {
          ranges[ranges.length - 1] = { ...last, frames: last.frames + 1, toBatch: batch }
        } else {
          ranges.push({ kind: 'detached', segment, offset, frames: 1, fromBatch: batch, toBatch: batch, previous })
        }
      })
    } finally {
      file.close()
    }
  })
  return ranges
}

function isBodyWhole(file: LogFile, { offset, bodyBytes, bodyCrc }: ReadEnvelope): boolean {
  const end = offset + envelopeBytes + bodyBytes
  if (end > file.size()) return false
  const chunk = new Uint8Array(Math.min(crcChunkBytes, bodyBytes))
  let crc = 0
  for (let at = offset + envelopeBytes; at < end; at += chunk.length) {
    const read = file.read(chunk.subarray(0, end - at), at)
    crc = crc32(chunk.subarray(0, read), crc)
  }
  return crc === bodyCrc
}

function partOf(envelope: ReadEnvelope, body: Uint8Array): LogPart {
  const { kind, segment, offset, batch, previous, durableUpTo, incarnation, chain, bodyBytes, isErased = false, isCompacted = false } = envelope
  const bytes = kind === 'segment' ? segmentHeadBytes : frameBytes(bodyBytes)
  return { kind: kind as EnvelopeKind, segment, offset, bytes, batch, previous, durableUpTo, incarnation, chain, isErased, isCompacted, body }
}

type Attempt<Value> = { readonly value: Value; readonly error?: undefined } | { readonly value?: undefined; readonly error: unknown }

function attempt<Value>(action: () => Value): Attempt<Value> {
  try {
    return { value: action() }
  } catch (error) {
    return { error: error ?? new Error('the disk failed without a word') }
  }
}

/** What an error says of the log; undefined without one. */
function verdictOf(error: unknown): LogVerdict | undefined {
  if (error === undefined) return undefined
  if (SluiceError.is(error, 'INVALID_USE')) return 'newer'
  return isMissing(error) ? 'gone' : 'damaged'
}
