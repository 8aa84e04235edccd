/**
 * Which segments may leave the log (R60), and their leaving. And which may be compacted (segment-rewrite.ts): the same consumers hold
 * them in the same way.
 *
 *   the older checkpoint    nothing after it ever leaves: opening needs it (R59)
 *   age, bytes              what the user wants to keep; without either nothing leaves
 *   consumers               hold what they have not read, each up to `consumerBytes` of log; one that is further behind
 *                           holds nothing, and when that costs it a segment it has *expired*, by name
 *
 * Invariants:
 *   E1  A whole segment leaves or none, the oldest first, so the log never has a gap (`removeSegments`).
 *   E2  The newest segment stays, whatever the limits say: it is where the next frame goes.
 *   E3  A consumer is never moved on: it is named here, and finds `HISTORY_GONE` when it reads.
 *
 * A segment is as old as its newest frame, of which the time is not known without reading all of it. The first frame of
 * the next segment is younger than all of it, so when that one is old enough, the segment is: at most one segment too much
 * is kept.
 */
import { FrameBodyReader } from './body-reader.js'
import type { ReadEnvelope } from './envelope.js'
import { LogScan } from './log-scan.js'
import { listSegments, readSegmentHeadOf, removeSegments, segmentName } from './segment.js'
import type { LogStorage } from './storage.js'

/** Somebody who reads the log, and has read everything up to and including this batch. */
export interface LogHold {
  readonly name: string
  readonly batch: number
  /** `consumerBytes` is nothing to it. */
  readonly isUnbounded?: true
}

export interface RetentionRules {
  /** The batch that the older valid checkpoint holds; 0 when there are no two. */
  readonly olderCheckpoint: number
  readonly consumers: readonly LogHold[]
  readonly consumerBytes: number
  readonly ageMs?: number | undefined
  readonly bytes?: number | undefined
  /** The time of now, on the clock of the frames. */
  readonly nowMs: number
}

export interface Removable {
  /** All batches up to this one may leave; 0: none. The end of a segment. */
  readonly upTo: number
  /** Consumers that have not read all of that. */
  readonly expired: readonly string[]
}

export interface Retired extends Removable {
  /** The numbers of the segments that were removed, and how long they were. */
  readonly removed: readonly number[]
  readonly bytes: number
}

/** A segment with a head. */
export interface HeldSegment {
  readonly head: ReadEnvelope
  readonly bytes: number
}

/** A consumer that is behind: the first segment that it needs, and how much of the log that holds. */
interface Behind {
  readonly name: string
  readonly from: number
  readonly bytes: number
}

const firstFrameFetchBytes = 64 * 1_024

export function removable(storage: LogStorage, rules: RetentionRules): Removable {
  const { olderCheckpoint, ageMs, bytes, nowMs } = rules
  const nothing: Removable = { upTo: 0, expired: [] }
  if (ageMs === undefined && bytes === undefined) return nothing
  const segments = writtenSegments(storage)
  const consumers = consumersBehind(segments, rules)

  let left = bytesOf(segments)
  let upTo = 0
  const expired = new Set<string>()
  for (let i = 0; i + 1 < segments.length; i += 1) {
    const next = segments[i + 1]!.head
    if (next.previous > olderCheckpoint) break
    const isTooMuch = bytes !== undefined && left > bytes
    const isTooOld = (): boolean => ageMs !== undefined && firstNow(storage, next) <= nowMs - ageMs
    if (!isTooMuch && !isTooOld()) break
    const behind = consumers.filter(({ from }) => from <= i)
    if (isHeld(behind, rules)) break
    for (const { name } of behind) expired.add(name)
    upTo = next.previous
    left -= segments[i]!.bytes
  }
  return upTo === 0 ? nothing : { upTo, expired: [...expired] }
}

/**
 * The segments that nobody needs as they were written: whole before the older checkpoint, so opening does not read them, and passed by every
 * consumer that is not further behind than its bytes. Oldest first, and all that are behind them.
 */
export function compactable(storage: LogStorage, rules: Pick<RetentionRules, 'olderCheckpoint' | 'consumers' | 'consumerBytes'>): {
  readonly within: readonly HeldSegment[]
  readonly behind: readonly HeldSegment[]
} {
  const segments = writtenSegments(storage)
  const consumers = consumersBehind(segments, rules)
  const isFree = (i: number): boolean => {
    const next = segments[i + 1]?.head
    return next !== undefined && next.previous <= rules.olderCheckpoint && !isHeld(consumers.filter(({ from }) => from <= i), rules)
  }
  let count = 0
  while (isFree(count)) count += 1
  return { within: segments.slice(0, count), behind: segments.slice(count) }
}

/** Removes what may leave. Whoever expired must be remembered before: after that there is no way back for it. */
export function applyRetention(
  storage: LogStorage,
  rules: RetentionRules,
  beforeRemoval: (removable: Removable) => void = () => undefined,
): Retired {
  const found = removable(storage, rules)
  if (found.upTo === 0) return { ...found, removed: [], bytes: 0 }
  beforeRemoval(found)
  const before = new Map(writtenSegments(storage).map(({ head, bytes }) => [head.segment, bytes]))
  const removed = removeSegments(storage, { upTo: found.upTo })
  return { ...found, removed, bytes: removed.reduce((sum, segment) => sum + (before.get(segment) ?? 0), 0) }
}

function consumersBehind(segments: readonly HeldSegment[], { consumers }: Pick<RetentionRules, 'consumers'>): Behind[] {
  return consumers.map(({ name, batch, isUnbounded }) => {
    const from = Math.max(0, segments.findLastIndex(({ head }) => head.previous <= batch))
    return { name, from, bytes: isUnbounded === true ? 0 : bytesOf(segments.slice(from)) }
  })
}

/** One of them may hold as much as it needs. */
function isHeld(behind: readonly Behind[], { consumerBytes }: Pick<RetentionRules, 'consumerBytes'>): boolean {
  return behind.some(({ bytes }) => bytes <= consumerBytes)
}

/** Those with a head: the one that is being prepared has none. */
function writtenSegments(storage: LogStorage): HeldSegment[] {
  const found: HeldSegment[] = []
  for (const segment of listSegments(storage)) {
    const head = readSegmentHeadOf(storage, segment)
    if (head === undefined) break
    const file = storage.open(segmentName(segment), 'read')
    found.push({ head, bytes: file.size() })
    file.close()
  }
  return found
}

function bytesOf(segments: readonly HeldSegment[]): number {
  return segments.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** The time of the first frame after a segment head; Infinity when there is none yet. */
function firstNow(storage: LogStorage, head: ReadEnvelope): number {
  const scan = new LogScan(storage, head.databaseId, head, firstFrameFetchBytes)
  try {
    for (let part = scan.next(); part !== undefined; part = scan.next()) {
      if (part.envelope.kind === 'frame') return new FrameBodyReader(part.body).now
    }
    return Infinity
  } finally {
    scan.close()
  }
}
