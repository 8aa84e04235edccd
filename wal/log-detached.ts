/**
 * The frames behind damage, for who wants to see what they say: whole and in their place, but without what they build on
 * (log-inspect.ts lists them as ranges). Each comes with the schemas of its segment before it, so that it can be read.
 *
 * A segment is searched as a whole, for after damage nobody knows where the next envelope begins; memory is bounded by the
 * places of its envelopes and the longest frame.
 */
import { crc32 } from 'node:zlib'
import { envelopeBytes, frameBytes, isAtHome, sameBytes, type ReadEnvelope } from './envelope.js'
import type { LogFrame } from './frame-scanner.js'
import { searchSegment } from './log-behind.js'
import type { DetachedFrames } from './log-inspect.js'
import { segmentName } from './segment.js'
import type { LogFile, LogStorage } from './storage.js'

export function* detachedFrames(storage: LogStorage, databaseId: Uint8Array, range: DetachedFrames): Generator<LogFrame, void, void> {
  const { segment } = range
  const found: ReadEnvelope[] = []
  searchSegment(storage, segment, 0, (envelope, offset) => {
    const isOurs = sameBytes(envelope.databaseId, databaseId) && isAtHome(envelope, databaseId, segment, offset)
    if (isOurs && isWanted(envelope, range)) found.push(envelope)
  })
  const file = storage.open(segmentName(segment), 'read')
  try {
    let end = 0
    for (const envelope of found) {
      const { kind, batch, previous, offset, bodyBytes } = envelope
      // What looks like an envelope inside of a frame is somebody's data.
      if (offset < end) continue
      const body = readBody(file, envelope)
      if (body === undefined) continue
      end = offset + frameBytes(bodyBytes)
      yield { kind: kind === 'schema' ? 'schema' : 'frame', batch, previous, body, segment, offset }
    }
  } finally {
    file.close()
  }
}

function isWanted({ kind, batch, offset }: ReadEnvelope, range: DetachedFrames): boolean {
  if (kind === 'schema') return batch <= range.toBatch
  return kind === 'frame' && offset >= range.offset && batch >= range.fromBatch && batch <= range.toBatch
}

function readBody(file: LogFile, { offset, bodyBytes, bodyCrc }: ReadEnvelope): Uint8Array | undefined {
  const at = offset + envelopeBytes
  if (at + bodyBytes > file.size()) return undefined
  const body = new Uint8Array(bodyBytes)
  return file.read(body, at) === bodyBytes && crc32(body) === bodyCrc ? body : undefined
}
