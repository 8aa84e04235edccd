/** The log as it lies in its files: every part with its place, and of a frame what is in it. */
import { FrameBodyReader } from '../../wal/index.js'
import { type LogEnd, walkLog } from './log-walk.js'
import { isAfter, isBefore, type Moment } from './moment.js'
import type { Source } from './source.js'

export interface ListedPart {
  readonly kind: 'segment' | 'schema' | 'frame' | 'certificate'
  readonly segment: number
  readonly offset: number
  /** Envelope, body and padding. */
  readonly bytes: number
  readonly batch: number
  readonly previous: number
  readonly durableUpTo: number
  readonly incarnation: number
  readonly frame: { readonly time: string; readonly lanes: number; readonly transactions: number; readonly changes: number; readonly events: number } | undefined
}

export interface PartFilter {
  readonly from: Moment | undefined
  readonly to: Moment | undefined
  readonly limit: number
}

/** Answers how the log ended; undefined when the listing ended before it. */
export function* listParts(source: Source, { from, to, limit }: PartFilter): Generator<ListedPart, LogEnd | undefined, void> {
  const parts = walkLog(source.log)
  let listed = 0
  let now = 0
  for (let step = parts.next(); ; step = parts.next()) {
    if (step.done === true) return step.value
    const { kind, segment, offset, bytes, batch, previous, durableUpTo, incarnation, body } = step.value
    const reader = kind === 'frame' ? new FrameBodyReader(body) : undefined
    now = reader?.now ?? now
    if (to !== undefined && isAfter(to, batch, now)) return undefined
    if (from !== undefined && isBefore(from, batch, now)) continue
    yield { kind, segment, offset, bytes, batch, previous, durableUpTo, incarnation, frame: reader && contents(reader) }
    listed += 1
    if (listed >= limit) return undefined
  }
}

function contents(body: FrameBodyReader): NonNullable<ListedPart['frame']> {
  return {
    time: new Date(body.now).toISOString(),
    lanes: body.laneCount,
    transactions: body.transactionCount,
    changes: body.changeCount,
    events: body.eventCount,
  }
}
