/**
 * How long the files of a log are, and how much of that is in front of a place: for who tells how far reading is. Files are full of zeros
 * behind their last frame, which count as well: it is at least what there is to be read.
 */
import { isMissing } from './damage.js'
import type { LogPlace } from './frame-scanner.js'
import { listSegments, segmentName } from './segment.js'
import type { LogStorage } from './storage.js'

export class LogExtent {
  readonly bytes: number
  readonly #starts = new Map<number, number>()

  /** Of the files that are there now. `from`: the first segment that counts. */
  constructor(storage: LogStorage, from = 0) {
    let bytes = 0
    for (const segment of listSegments(storage)) {
      if (segment < from) continue
      this.#starts.set(segment, bytes)
      bytes += bytesOf(storage, segment)
    }
    this.bytes = bytes
  }

  /** A place in a later file is the end. */
  before({ segment, offset }: Pick<LogPlace, 'segment' | 'offset'>): number {
    const start = this.#starts.get(segment)
    return start === undefined ? this.bytes : Math.min(this.bytes, start + offset)
  }
}

function bytesOf(storage: LogStorage, segment: number): number {
  try {
    const file = storage.open(segmentName(segment), 'read')
    try {
      return file.size()
    } finally {
      file.close()
    }
  } catch (error) {
    if (isMissing(error)) return 0 // retention was here
    throw error
  }
}
