/**
 * Where in the log a moment is, without reading all of it: segments are searched by halves, each by its first frame, and the frames of one
 * segment are read.
 */
import { LogReader } from './log-reader.js'
import { listSegments, readSegmentHeadOf } from './segment.js'
import { isMissing } from './damage.js'
import type { LogStorage } from './storage.js'

export interface LogSearch {
  readonly databaseId: Uint8Array
  /** A durable batch with a frame: the search does not go beyond it. */
  readonly upTo: number
  /** It holds for the frames from some place on. */
  readonly isAfter: (body: Uint8Array) => boolean
  /** Between two frames: throws when whoever asked has given up. */
  readonly goOn?: (() => void) | undefined
}

/** The body of the last frame that is not after the moment; undefined: the log begins after it. */
export async function lastFrameBefore(storage: LogStorage, search: LogSearch): Promise<Uint8Array | undefined> {
  const starts = startsOf(storage)
  let low = 0
  let high = starts.length
  while (low < high) {
    search.goOn?.()
    const middle = (low + high) >>> 1
    if (await beginsAfter(storage, starts[middle]!, search)) high = middle
    else low = middle + 1
  }
  if (low === 0) return undefined
  let last: Uint8Array | undefined
  const reader = LogReader.readFrom(storage, { databaseId: search.databaseId, batch: starts[low - 1]! + 1 })
  try {
    for await (const frame of reader.frames(search.upTo)) {
      search.goOn?.()
      if (frame.kind !== 'frame') continue
      if (frame.batch > search.upTo || search.isAfter(frame.body)) break
      last = frame.body
    }
  } finally {
    reader.close()
  }
  return last
}

/** The batches behind which the segments of a log begin, in order. */
export function startsOf(storage: LogStorage): number[] {
  return listSegments(storage).flatMap((segment) => {
    try {
      return readSegmentHeadOf(storage, segment)?.previous ?? []
    } catch (error) {
      if (isMissing(error)) return [] // retention was here
      throw error
    }
  })
}

async function beginsAfter(storage: LogStorage, start: number, { databaseId, upTo, isAfter }: LogSearch): Promise<boolean> {
  if (start >= upTo) return true
  const reader = LogReader.readFrom(storage, { databaseId, batch: start + 1 })
  try {
    for await (const frame of reader.frames(upTo)) if (frame.kind === 'frame') return frame.batch > upTo || isAfter(frame.body)
  } finally {
    reader.close()
  }
  return true
}
