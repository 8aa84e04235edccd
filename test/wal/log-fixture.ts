/** A small log to damage: seeded bodies, tiny segments, and the plain list of what was written. */
import { decodeSchema, encodeSchema, LogWriter, recoverLog } from '../../wal/index.js'
import type { Durability, LogStorage, LogTail, RecoveryOptions } from '../../wal/index.js'

export const databaseId = Uint8Array.from({ length: 16 }, (_, i) => i * 7 + 1)
export const schema = encodeSchema('{"tables":["account"]}')

/** Mulberry32: one number in, the same run out. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What a frame of `batch` holds: a function of the batch, so that any wrong byte shows. */
export function bodyOf(batch: number, bytes: number): Uint8Array {
  const random = seeded(batch * 31 + bytes)
  return Uint8Array.from({ length: bytes }, () => Math.floor(random() * 256))
}

export interface Written {
  readonly batch: number
  readonly body: Uint8Array
}

export interface Recovered {
  readonly tail: LogTail
  readonly frames: Written[]
  readonly schemas: string[]
}

export function recover(storage: LogStorage, options: RecoveryOptions = {}): Recovered {
  const frames: Written[] = []
  const schemas: string[] = []
  const recovery = recoverLog(storage, { databaseId, ...options })
  for (;;) {
    const step = recovery.next()
    if (step.done === true) return { tail: step.value, frames, schemas }
    const { kind, batch, body } = step.value
    if (kind === 'frame') frames.push({ batch, body: body.slice() })
    else schemas.push(decodeSchema(body))
  }
}

export interface WriterOptions {
  readonly durability?: Durability
  readonly segmentBytesMax?: number
  readonly schema?: Uint8Array
}

export function openWriter(storage: LogStorage, tail: LogTail, options: WriterOptions = {}): LogWriter {
  return LogWriter.open(storage, tail, { databaseId, schema, durability: 'fsync', segmentBytesMax: 16_384, ...options })
}

/** Appends one frame for each length, synced one by one unless told otherwise. */
export function appendAll(writer: LogWriter, lengths: readonly number[], options: { sync?: boolean } = {}): Written[] {
  const written: Written[] = []
  for (const bytes of lengths) {
    const previous = writer.writtenUpTo
    const batch = previous + 1 + (bytes % 3)
    const body = bodyOf(batch, bytes)
    writer.append(body, { batch, previous })
    if (options.sync !== false) writer.sync()
    written.push({ batch, body })
  }
  return written
}

/** How many frames of `written` were found; throws when what was found is anything but a prefix of it. */
export function prefixLength(found: readonly Written[], written: readonly Written[]): number {
  if (found.length > written.length) throw new Error(`found ${found.length} frames of ${written.length}`)
  found.forEach((frame, index) => {
    const expected = written[index]
    if (frame.batch !== expected.batch) throw new Error(`frame ${index} is batch ${frame.batch}, not ${expected.batch}`)
    if (Buffer.compare(frame.body, expected.body) !== 0) throw new Error(`batch ${frame.batch} holds wrong bytes`)
  })
  return found.length
}
