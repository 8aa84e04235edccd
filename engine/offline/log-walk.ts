/**
 * The log of a database, part by part, up to the first bytes that are none; then what these are, and what can still be named behind
 * them. Reads only, and throws for nothing that bytes can be.
 */
import type { LoggedCatalog } from '../schema/catalog.js'
import {
  compactedUpTo, decodeSchema, type DetachedFrames, inspectLog, type LogPart as InspectedPart, type LogStorage, type LogVerdict, listSegments,
  type MissingBatches, readSegmentHeadOf, segmentName,
} from '../../wal/index.js'

/** `share`: how far in the log it lies, from 0 to 1. */
export type LogPart = InspectedPart & { readonly share: number }

export interface LogEnd {
  /** Undefined where no segment says it. */
  readonly databaseId: Uint8Array | undefined
  /** The first segment goes on behind this batch; 0 for a log from the beginning. */
  readonly after: number
  /** What it holds up to there is not all that was written: retention has compacted it. 0: it is. */
  readonly compactedUpTo: number
  /** The newest batch that is whole. */
  readonly batch: number
  readonly segment: number
  readonly offset: number
  readonly segments: number
  readonly bytes: number
  readonly verdict: LogVerdict
  /** Behind the end lies what was never acknowledged: so many bytes. */
  readonly tornBytes: number
  /** What opening would refuse. */
  readonly damage: { readonly durableUpTo: number; readonly why: string } | undefined
  /** Of damage: whole frames behind it, and batches that no frame holds. */
  readonly detached: readonly DetachedFrames[]
  readonly missing: readonly MissingBatches[]
}

export function* walkLog(log: LogStorage): Generator<LogPart, LogEnd, void> {
  const sizes = sizesOf(log)
  const bytes = bytesOf(log)
  const databaseId = databaseIdOf(log)
  const detached: DetachedFrames[] = []
  const missing: MissingBatches[] = []
  let after: number | undefined
  let end: Omit<LogEnd, 'detached' | 'missing'> | undefined
  for (const found of inspectLog(log)) {
    switch (found.kind) {
      case 'end': {
        const { verdict, segment, offset, batch, durableUpTo, why, bytesBehind } = found
        const isRefused = verdict === 'damaged' || verdict === 'newer'
        end = {
          databaseId, after: after ?? 0, compactedUpTo: compactedIn(log), batch, segment, offset, segments: sizes.length, bytes, verdict,
          tornBytes: verdict === 'torn' ? bytesBehind : 0,
          damage: isRefused ? { durableUpTo, why } : undefined,
        }
        break
      }
      case 'detached':
        detached.push(found)
        break
      case 'missing':
        missing.push(found)
        break
      default:
        after ??= found.previous
        yield { ...found, share: shareOf(sizes, bytes, found) }
    }
  }
  return { ...end!, detached, missing }
}

export function catalogIn(part: { readonly body: Uint8Array }): LoggedCatalog {
  return JSON.parse(decodeSchema(part.body)) as LoggedCatalog
}

/** Inside of a database directory. */
export const fileOfSegment = (segment: number): string => `log/${segmentName(segment)}`

/** The log without its segments before one: what is readable behind damage that a checkpoint makes good. */
export function laterSegments(log: LogStorage, first: number): LogStorage {
  const isLater = (name: string): boolean => name >= segmentName(first)
  return {
    list: () => log.list().filter(isLater),
    create: (name) => log.create(name),
    open: (name, access) => log.open(name, access),
    remove: (name) => log.remove(name),
    replace: (from, to) => log.replace(from, to),
    syncDirectory: () => log.syncDirectory(),
  }
}

/** Heads that cannot be read say nothing: the walk says why. */
export function compactedIn(log: LogStorage): number {
  try {
    return compactedUpTo(log)
  } catch {
    return 0
  }
}

/** The first segment that says it. */
function databaseIdOf(log: LogStorage): Uint8Array | undefined {
  for (const segment of listSegments(log)) {
    try {
      const head = readSegmentHeadOf(log, segment)
      if (head !== undefined) return head.databaseId.slice()
    } catch {
      // Of a newer format, or gone meanwhile: the walk says so.
    }
  }
  return undefined
}

/** What the segments take on disk. */
export function bytesOf(log: LogStorage): number {
  return sizesOf(log).reduce((sum, one) => sum + one.bytes, 0)
}

interface Sized {
  readonly segment: number
  readonly before: number
  readonly bytes: number
}

function sizesOf(log: LogStorage): readonly Sized[] {
  const sizes: Sized[] = []
  let before = 0
  for (const segment of listSegments(log)) {
    const bytes = sizeOf(log, segment)
    sizes.push({ segment, before, bytes })
    before += bytes
  }
  return sizes
}

/** Beside a running database a segment may have left since it was listed. */
function sizeOf(log: LogStorage, segment: number): number {
  try {
    const file = log.open(segmentName(segment), 'read')
    const bytes = file.size()
    file.close()
    return bytes
  } catch {
    return 0
  }
}

function shareOf(sizes: readonly Sized[], bytes: number, { segment, offset }: InspectedPart): number {
  const before = sizes.find((one) => one.segment === segment)?.before ?? 0
  return bytes === 0 ? 1 : (before + offset) / bytes
}
