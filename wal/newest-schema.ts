/**
 * The schema of the frames to come, without reading the log: each segment begins with one, so it is the last one in the last segment.
 *
 * Where that is damaged or was never finished, the one before it answers; what is wrong is said by who reads the log.
 */
import { LogScan } from './log-scan.js'
import { listSegments, readSegmentHeadOf } from './segment.js'
import type { LogStorage } from './storage.js'

/** Undefined when no segment has one. */
export function newestSchema(storage: LogStorage, databaseId?: Uint8Array): Uint8Array | undefined {
  for (const segment of listSegments(storage).reverse()) {
    const head = readSegmentHeadOf(storage, segment, databaseId)
    if (head === undefined) continue
    const scan = new LogScan(storage, head.databaseId.slice(), head)
    let schema: Uint8Array | undefined
    try {
      for (let part = scan.next(); part !== undefined; part = scan.next()) if (part.envelope.kind === 'schema') schema = part.body.slice()
    } finally {
      scan.close()
    }
    if (schema !== undefined) return schema
  }
  return undefined
}
