/**
 * What lies behind the last part of the log that is understood: the evidence that tells a torn tail from damage (recovery.ts
 * says how), and the place to look for what a salvage can still name.
 *
 * Every multiple of 8 is looked at, for after damage nobody knows where the next envelope begins. Memory is bounded by one
 * chunk; parts that are all zeros cost a comparison.
 */
import { envelopeBytes, envelopeMagic, isAtHome, isZero, readEnvelope, type ReadEnvelope } from './envelope.js'
import type { LogPlace } from './frame-scanner.js'
import { segmentName } from './segment.js'
import type { LogStorage } from './storage.js'

const scanChunkBytes = 4 * 1_024 * 1_024

export interface Behind {
  /** Some valid envelope was found, and the highest of what they claim. */
  readonly found: boolean
  readonly durableUpTo: number
  readonly incarnation: number
  /** Where the bytes that are not zero end, by segment. */
  readonly ends: ReadonlyMap<number, number>
  /** How many bytes there are from the place up to those ends. */
  readonly bytes: number
}

/** Looks at everything behind `place`: the rest of its segment, and all later ones. */
export function searchBehind(
  storage: LogStorage,
  segments: readonly number[],
  place: LogPlace,
  databaseId: Uint8Array | undefined,
): Behind {
  let found = false
  let durableUpTo = 0
  let incarnation = 0
  let total = 0
  const ends = new Map<number, number>()

  for (const segment of segments) {
    if (segment < place.segment) continue
    const start = segment === place.segment ? place.offset : 0
    const end = searchSegment(storage, segment, start, (envelope, offset) => {
      if (!isAtHome(envelope, databaseId ?? envelope.databaseId, segment, offset)) return
      if (envelope.incarnation < place.incarnation) return
      found = true
      durableUpTo = Math.max(durableUpTo, envelope.durableUpTo)
      incarnation = Math.max(incarnation, envelope.incarnation)
    })
    if (end > start) {
      ends.set(segment, end)
      total += end - start
    }
  }
  return { found, durableUpTo, incarnation, ends, bytes: total }
}

/** Calls `visit` for each whole envelope at a multiple of 8; returns where the bytes that are not zero end. */
export function searchSegment(
  storage: LogStorage,
  segment: number,
  start: number,
  visit: (envelope: ReadEnvelope, offset: number) => void,
): number {
  const file = storage.open(segmentName(segment), 'read')
  const buffer = new Uint8Array(Math.min(scanChunkBytes, Math.max(0, file.size() - start)) + envelopeBytes)
  const chunkBytes = buffer.length - envelopeBytes
  const words = new Uint32Array(buffer.buffer, 0, Math.floor(buffer.length / 4))
  let end = start
  try {
    for (let at = start; ; at += chunkBytes) {
      // An envelope may begin at the end of a chunk: each read takes the first bytes of the next one along.
      const read = file.read(buffer, at)
      const chunk = buffer.subarray(0, read)
      if (!isZero(chunk)) {
        for (let word = 0; word * 4 < Math.min(read, chunkBytes); word += 2) {
          if (words[word] !== envelopeMagic) continue
          const envelope = readEnvelope(chunk, word * 4)
          if (envelope !== undefined) visit(envelope, at + word * 4)
        }
        let last = read
        while (chunk[last - 1] === 0) last -= 1
        end = at + last
      }
      if (read < buffer.length || chunkBytes === 0) return end
    }
  } finally {
    file.close()
  }
}
