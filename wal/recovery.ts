/**
 * Opening a log: hands out every whole frame in order, then decides what the bytes after the last one are.
 *
 * Let e be the last frame that the rule of frame-scanner.ts accepts. What follows is a *torn tail* or *damage*:
 *
 *   damage  when any valid envelope behind e, at its own place, of this database and of no older incarnation, has a
 *           `durableUpTo` above e (or the caller knows that much from elsewhere). A frame above e had been on disk.
 *           Nothing is changed; the log is refused, or, for a salvage, read up to e.
 *   torn    otherwise. What lies behind e was never acknowledged: it is cut, that is, overwritten with zeros.
 *
 * "A good frame behind a bad one means damage" would be wrong: several frames are in flight at once, and the disk may
 * take them in any order. A normal power cut would make the database refuse to open. What stays ambiguous is the very
 * last sync: a frame that was acknowledged, damaged later, and followed by nothing looks torn. Certificates in idle
 * times and at close make that window small.
 *
 * Readable is not on disk: the process may have died between write and sync, and after a failed sync the pages even
 * claim to be clean. So everything behind the newest frame that an envelope certifies is written once more, the same
 * bytes, synced, and read once more (the second reading must find what the first one handed out), before anyone may
 * serve, answer or deliver.
 *
 * A crash during all this leaves a log with the same e: repair only rewrites what is accepted and shrinks what is not.
 *
 * A log of a newer format is neither: whoever meets a whole envelope of one, accepted or behind e, refuses with
 * `INVALID_USE` before anything is changed (`isAtHome` in envelope.ts).
 */
import { envelopeBytes, frameBytes, isAtHome, readEnvelope, sameBytes, segmentHeadBytes, type ReadEnvelope } from './envelope.js'
import { logCorrupt, type LogDamage } from './damage.js'
import type { LogFrame, LogPlace } from './frame-scanner.js'
import { searchBehind, type Behind } from './log-behind.js'
import { LogScan } from './log-scan.js'
import { compactedUpTo, listSegments, readSegmentHeadOf, segmentName } from './segment.js'
import { removeUnfinishedRewrite } from './segment-rewrite.js'
import type { LogFile, LogStorage } from './storage.js'

const copyChunkBytes = 4 * 1_024 * 1_024
const uncertifiedMax = 4_096

/** A place, and where the newest frame before it begins, by which it is proved. */
export interface KnownPlace extends LogPlace {
  readonly frameOffset: number
}

export interface RecoveryOptions {
  /** Refuse the log of another database. Without it, the id is taken from the log. */
  readonly databaseId?: Uint8Array | undefined
  /** Hand out the frames above this batch: the one that the checkpoint holds. All of them must be there. */
  readonly after?: number | undefined
  /** The place behind the frame of `after`, where whoever read that frame kept it: nothing before it is read again. Used if it is proved. */
  readonly from?: KnownPlace | undefined
  /** A batch that is known to be on disk from elsewhere: a log that ends below it is damaged. */
  readonly knownDurable?: number | undefined
  /** `'salvage'` changes nothing and ends at damage instead of throwing; the tail then names it. */
  readonly mode?: 'repair' | 'salvage' | undefined
}

/** Where the next frame goes, and what a writer must know to go on. */
export interface LogTail extends LogPlace {
  /** Undefined when there is no log yet; `segment` is 0 then. */
  readonly databaseId: Uint8Array | undefined
  /** The newest batch that an envelope in the log certifies. */
  readonly certified: number
  /** The newest schema of the last segment, if it got as far. */
  readonly schema: Uint8Array | undefined
  /** How many bytes of a torn tail were cut. */
  readonly cutBytes: number
  /** How many bytes were written once more because nothing certified them. */
  readonly rewrittenBytes: number
  /** Of a salvage. */
  readonly damage: LogDamage | undefined
}

/**
 * Reads the log, repairs its tail and returns it. Bodies are valid until the next step. The repair happens in the step
 * that ends the iteration: who stops earlier has changed nothing.
 */
export function* recoverLog(storage: LogStorage, options: RecoveryOptions = {}): Generator<LogFrame, LogTail, void> {
  const { after = 0, knownDurable = 0, mode = 'repair' } = options
  const segments = listSegments(storage)
  const start = findStart(storage, segments, after, options.databaseId)
  if (start.kind === 'nothing') {
    return emptyTail(storage, segments, options, mode === 'repair')
  }
  const { head, databaseId } = start
  if (head.previous > after) {
    const why = `the log begins after batch ${head.previous}, and the frames after batch ${after} are asked for`
    throw logCorrupt({ segment: head.segment, offset: 0, batch: after, durableUpTo: head.previous, why })
  }
  const compacted = compactedUpTo(storage, head.segment) // segments before that end at or before `after`
  if (compacted > after) {
    const why = `the log is compacted up to batch ${compacted}, so it does not hold all that was written after batch ${after}`
    throw logCorrupt({ segment: head.segment, offset: 0, batch: after, durableUpTo: compacted, why })
  }

  const { from } = options
  const isKnown = from !== undefined && from.batch === after && segments.includes(from.segment) && isProved(storage, from, databaseId)
  const scan = new LogScan(storage, databaseId, isKnown ? from : head)
  const uncertified = new Uncertified(scan.place)
  let schema: Uint8Array | undefined
  let schemaSegment = 0
  try {
    for (let part = scan.next(); part !== undefined; part = scan.next()) {
      const { envelope, body } = part
      uncertified.certify(scan.certified)
      if (envelope.kind === 'frame') uncertified.add(part.after)
      if (envelope.kind === 'schema') {
        schema = body.slice()
        schemaSegment = envelope.segment
      }
      if (envelope.kind === 'schema' || (envelope.kind === 'frame' && envelope.batch > after)) {
        const { kind, batch, previous, segment, offset } = envelope
        yield { kind, batch, previous, body, segment, offset }
      }
    }
    uncertified.certify(scan.certified)
  } finally {
    scan.close()
  }

  const place = scan.place
  const behind = searchBehind(storage, segments, place, databaseId)
  const durableUpTo = Math.max(behind.durableUpTo, knownDurable)
  let damage: LogDamage | undefined
  if (durableUpTo > place.batch) {
    damage = { segment: place.segment, offset: place.offset, batch: place.batch, durableUpTo, why: scan.why }
    if (mode === 'repair') throw logCorrupt(damage)
  }

  let rewrittenBytes = 0
  if (mode === 'repair') {
    rewrittenBytes = repair(storage, uncertified.from, place, behind)
    verifyAgain(storage, databaseId, uncertified.from, place)
    removeBehind(storage, segments, place.segment, behind)
    removeUnfinishedRewrite(storage)
  }
  return {
    ...place,
    incarnation: Math.max(place.incarnation, behind.incarnation),
    databaseId,
    certified: scan.certified,
    schema: schemaSegment === place.segment ? schema : undefined,
    cutBytes: mode === 'repair' ? behind.bytes : 0,
    rewrittenBytes,
    damage,
  }
}

/**
 * Whether the frame before a place is the one that was before it when the place was kept: at its own offset, of its batch, ending
 * there, and with the chain of all that came before. The log of a copy may hold the same frames elsewhere, and whatever stood
 * before a wrong place would be passed over without a word.
 */
function isProved(storage: LogStorage, place: KnownPlace, databaseId: Uint8Array): boolean {
  const file = storage.open(segmentName(place.segment), 'read')
  try {
    const bytes = new Uint8Array(envelopeBytes)
    if (file.read(bytes, place.frameOffset) < envelopeBytes) return false
    const envelope = readEnvelope(bytes, 0)
    if (envelope === undefined || envelope.kind !== 'frame' || !isAtHome(envelope, databaseId, place.segment, place.frameOffset)) return false
    const end = place.frameOffset + frameBytes(envelope.bodyBytes)
    return envelope.batch === place.batch && envelope.chain === place.chain && end === place.offset
  } finally {
    file.close()
  }
}

type Start =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'segment'; readonly head: ReadEnvelope; readonly databaseId: Uint8Array }

/** The last segment that begins at or below `after`, else the first one. */
function findStart(
  storage: LogStorage,
  segments: readonly number[],
  after: number,
  wanted: Uint8Array | undefined,
): Start {
  const lowest = segments[0]
  if (lowest === undefined) return { kind: 'nothing' }
  const first = readSegmentHeadOf(storage, lowest)
  if (first === undefined) {
    // The head of the first segment is synced before any frame is written: with frames behind it, it is damaged.
    const nowhere = { segment: lowest, offset: 0, batch: 0, chain: 0, incarnation: 0 }
    const behind = searchBehind(storage, segments, nowhere, wanted)
    if (lowest === 1 && !behind.found) return { kind: 'nothing' }
    const why = 'the head of the first segment is not whole'
    throw logCorrupt({ segment: lowest, offset: 0, batch: 0, durableUpTo: behind.durableUpTo, why })
  }
  const { durableUpTo } = first
  const databaseId = first.databaseId.slice()
  if (wanted !== undefined && !sameBytes(databaseId, wanted)) {
    const why = 'it is the log of another database'
    throw logCorrupt({ segment: lowest, offset: 0, batch: 0, durableUpTo, why })
  }
  for (let i = segments.length - 1; i > 0; i -= 1) {
    const head = readSegmentHeadOf(storage, segments[i]!, databaseId)
    if (head !== undefined && head.previous <= after) return { kind: 'segment', head, databaseId }
  }
  return { kind: 'segment', head: first, databaseId }
}

/** No log yet: no segment, or one whose making was cut short. */
function emptyTail(
  storage: LogStorage,
  segments: readonly number[],
  options: RecoveryOptions,
  mayRepair: boolean,
): LogTail {
  const place: LogPlace = { segment: 0, offset: 0, batch: 0, chain: 0, incarnation: 0 }
  const known = options.knownDurable ?? 0
  let damage: LogDamage | undefined
  if (known > 0) {
    damage = { segment: 0, offset: 0, batch: 0, durableUpTo: known, why: 'there is no log' }
    if (mayRepair) throw logCorrupt(damage)
  }
  const behind = searchBehind(storage, segments, place, options.databaseId)
  if (mayRepair) removeBehind(storage, segments, 0, behind)
  return {
    ...place,
    incarnation: behind.incarnation,
    databaseId: options.databaseId,
    certified: 0,
    schema: undefined,
    cutBytes: mayRepair ? behind.bytes : 0,
    rewrittenBytes: 0,
    damage,
  }
}

/**
 * From where on nothing certifies the log. Keeps the places behind the frames that are not certified yet; when there
 * are too many (a log written without syncs), every second one is forgotten: a little more is rewritten then.
 */
class Uncertified {
  from: LogPlace
  #places: LogPlace[] = []

  constructor(start: LogPlace) {
    this.from = start
  }

  add(place: LogPlace): void {
    if (this.#places.length >= uncertifiedMax) this.#places = this.#places.filter((_, index) => index % 2 === 0)
    this.#places.push(place)
  }

  certify(batch: number): void {
    let certified = 0
    while (certified < this.#places.length && this.#places[certified]!.batch <= batch) certified += 1
    if (certified === 0) return
    this.from = this.#places[certified - 1]!
    this.#places.splice(0, certified)
  }
}

/** Writes the accepted bytes from `from` to `place` once more, zeros over what is behind, and syncs. */
function repair(storage: LogStorage, from: LogPlace, place: LogPlace, behind: Behind): number {
  let rewritten = 0
  const zeros = new Uint8Array(Math.min(copyChunkBytes, behind.bytes))
  for (let segment = from.segment; segment <= place.segment; segment += 1) {
    const file = storage.open(segmentName(segment), 'write')
    try {
      // The head of a segment is certified by nothing either as long as no frame of it is.
      const start = segment === from.segment && from.offset > segmentHeadBytes ? from.offset : 0
      const end = segment === place.segment ? place.offset : file.size()
      const cutEnd = segment === place.segment ? (behind.ends.get(segment) ?? end) : end
      if (start >= end && cutEnd <= end) continue
      rewritten += rewrite(file, start, end)
      for (let at = end; at < cutEnd; at += zeros.length) file.write([zeros.subarray(0, cutEnd - at)], at)
      file.sync()
    } finally {
      file.close()
    }
  }
  return rewritten
}

function rewrite(file: LogFile, start: number, end: number): number {
  const buffer = new Uint8Array(Math.min(copyChunkBytes, Math.max(0, end - start)))
  for (let at = start; at < end; at += buffer.length) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, end - at))
    const read = file.read(chunk, at)
    file.write([chunk.subarray(0, read)], at)
  }
  return Math.max(0, end - start)
}

/** The pages that were rewritten may have been fetched from the disk anew: they must say what was handed out. */
function verifyAgain(storage: LogStorage, databaseId: Uint8Array, from: LogPlace, place: LogPlace): void {
  const scan = new LogScan(storage, databaseId, from)
  try {
    while (scan.next() !== undefined);
    const now = scan.place
    if (now.segment === place.segment && now.offset === place.offset && now.chain === place.chain) return
    const why = `the disk gave other bytes when they were read again (${scan.why})`
    throw logCorrupt({ segment: now.segment, offset: now.offset, batch: now.batch, durableUpTo: place.batch, why })
  } finally {
    scan.close()
  }
}

/** Later segments go, last one first; a next one that is all zeros stays, for the writer to take over. */
function removeBehind(storage: LogStorage, segments: readonly number[], last: number, behind: Behind): void {
  const doomed = segments.filter((segment) => segment > last && (segment > last + 1 || behind.ends.has(segment)))
  for (const segment of doomed.reverse()) storage.remove(segmentName(segment))
  if (doomed.length > 0) storage.syncDirectory()
}
