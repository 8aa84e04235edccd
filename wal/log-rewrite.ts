/**
 * Rewrites bodies of frames in their places: same positions, same lengths, same chain (R51).
 *
 *   walk      part by part, as recovery does, so nothing is rewritten that was not proved
 *   ask       of every frame whether its body becomes another one, of the same length
 *   record    new envelopes and bodies into the journal, synced         (erasure-journal.ts)
 *   write     the same bytes to their segments, synced
 *
 * The envelope of a rewritten frame says so (`isErased`), has the checksum of the body as it is, and keeps `writtenCrc`, of the body as first
 * written, over which the chain goes: so the chain still proves that no frame is missing, added or moved.
 *
 * Invariants:
 *   X1  Nothing is written to a segment that is not in the journal, on disk. A crash leaves a log that is whole, or that the journal
 *       makes whole (`ErasureJournal.apply`), before anybody reads it.
 *   X2  Frames up to `upTo` are touched and nothing behind: the writer may append to the newest segment meanwhile.
 *   X3  Done twice is done once: what was rewritten is asked about again, and has nothing left to be rewritten.
 *   X4  It ends at `upTo`, or where the log legitimately ends. Behind damage lie frames that nobody has asked about: that is refused.
 *
 * Why in place and not a new file beside the old one: the writer holds the newest segment open, and readers hold others; a name that
 * leads to another file would leave them with the old bytes, for as long as they like.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../engine/base/assert.js'
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { logCorrupt } from './damage.js'
import { envelopeBytes, frameBytes, writeEnvelope } from './envelope.js'
import { applyPatches, type ErasureJournal, type Patch } from './erasure-journal.js'
import type { LogFrame, ScanStep } from './frame-scanner.js'
import { headOfLog, mustEndThere } from './log-copy.js'
import { LogExtent } from './log-extent.js'
import { LogScan } from './log-scan.js'
import { listSegments } from './segment.js'
import type { LogStorage } from './storage.js'

/** Of the log, between two words on how much of it was looked at. */
const stepBytes = 4 * 1_024 * 1_024

/** What was rewritten in a segment. */
export interface RewrittenSegment {
  readonly segment: number
  readonly frames: number
  /** crc32 over the checksums of these frames' bodies, in order: as they were first written, and as they are now. */
  readonly before: number
  readonly after: number
}

/** How much of the log is gone through. */
export interface LogReach {
  /** A durable batch with a frame. */
  readonly upTo: number
  /** This life has written or read it: a log that ends before is damaged. Without it, a power cut may have taken what was not synced. */
  readonly mustReach?: boolean | undefined
  readonly shouldStop?: (() => boolean) | undefined
  /** How much of the files was looked at. */
  readonly onProgress?: ((bytes: number, bytesInAll: number) => void) | undefined
}

export interface RewriteOptions extends LogReach {
  /** The body that a frame is to have, as long as the one that it has; undefined: it stays. Told of schemas, too. */
  readonly rewrite: (part: LogFrame) => Uint8Array | undefined
  /** What the journal keeps beside the patches, for whoever goes on after a crash. */
  readonly report: (segments: readonly RewrittenSegment[]) => unknown
  /** What an earlier life has rewritten already. */
  readonly done: readonly RewrittenSegment[]
  /** Of new frames that are recorded together. */
  readonly patchBytes?: number | undefined
}

export function rewriteLog(storage: LogStorage, journal: ErasureJournal, options: RewriteOptions): readonly RewrittenSegment[] {
  const rewriting = new Rewriting(storage, journal, options)
  walk(storage, options, ({ envelope, body: was }, databaseId) => {
    if (envelope.kind === 'certificate') return
    const { kind, batch, previous, segment, offset } = envelope
    const body = options.rewrite({ kind, batch, previous, body: was, segment, offset })
    if (body === undefined) return
    assert(kind === 'frame' && body.length === was.length, 'a frame keeps its length')
    const bytes = new Uint8Array(frameBytes(body.length))
    const bodyCrc = crc32(body)
    writeEnvelope(bytes, databaseId, { ...envelope, kind: 'frame', bodyCrc, isErased: true })
    bytes.set(body, envelopeBytes)
    rewriting.add({ segment, offset, bytes }, envelope.writtenCrc, bodyCrc)
  })
  rewriting.flush()
  return rewriting.segments
}

/** Goes through what `rewriteLog` would, and changes nothing. Throws what it would throw. */
export function proveLog(storage: LogStorage, reach: LogReach): void {
  walk(storage, reach, () => undefined)
}

/** X4. */
function walk(storage: LogStorage, { upTo, mustReach = false, shouldStop, onProgress }: LogReach, visit: (part: Extract<ScanStep, { kind: 'part' }>, databaseId: Uint8Array) => void): void {
  if (upTo === 0) return
  const knownDurable = mustReach ? upTo : 0
  const lowest = listSegments(storage)[0]
  if (lowest === undefined) {
    if (mustReach) throw logCorrupt({ segment: 0, offset: 0, batch: 0, durableUpTo: upTo, why: 'there is no log' })
    return
  }
  const head = headOfLog(storage, lowest, { knownDurable })
  if (head === undefined) return
  const databaseId = head.databaseId.slice()
  const scan = new LogScan(storage, databaseId, head)
  const extent = new LogExtent(storage)
  let told = 0
  try {
    onProgress?.(0, extent.bytes)
    while (scan.place.batch < upTo) {
      mustGoOn(shouldStop)
      const part = scan.next()
      if (part === undefined) return mustEndThere(storage, scan, databaseId, knownDurable)
      const seen = extent.before(scan.place)
      if (seen - told >= stepBytes) {
        onProgress?.(seen, extent.bytes)
        told = seen
      }
      visit(part, databaseId)
    }
    onProgress?.(extent.bytes, extent.bytes)
  } finally {
    scan.close()
  }
}

function mustGoOn(shouldStop: LogReach['shouldStop']): void {
  if (shouldStop?.() === true) throw SluiceError.of('CANCELLED', 'The erasure was stopped; it goes on when the database is opened again.')
}

class Rewriting {
  readonly #storage: LogStorage
  readonly #journal: ErasureJournal
  readonly #options: RewriteOptions
  readonly #segments: Map<number, RewrittenSegment>
  #patches: Patch[] = []
  #bytes = 0

  constructor(storage: LogStorage, journal: ErasureJournal, options: RewriteOptions) {
    this.#storage = storage
    this.#journal = journal
    this.#options = options
    this.#segments = new Map(options.done.map((one) => [one.segment, one]))
  }

  get segments(): readonly RewrittenSegment[] {
    return [...this.#segments.values()]
  }

  add(patch: Patch, writtenCrc: number, bodyCrc: number): void {
    const known = this.#segments.get(patch.segment) ?? { segment: patch.segment, frames: 0, before: 0, after: 0 }
    this.#segments.set(patch.segment, {
      ...known,
      frames: known.frames + 1,
      before: continued(known.before, writtenCrc),
      after: continued(known.after, bodyCrc),
    })
    this.#patches.push(patch)
    this.#bytes += patch.bytes.length
    if (this.#bytes >= (this.#options.patchBytes ?? limits.erasurePatchBytes)) this.flush()
  }

  /** X1. */
  flush(): void {
    if (this.#patches.length === 0) return
    mustGoOn(this.#options.shouldStop)
    this.#journal.record(this.#options.report(this.segments), this.#patches)
    applyPatches(this.#storage, this.#patches)
    this.#patches = []
    this.#bytes = 0
  }
}

function continued(sum: number, crc: number): number {
  const word = new Uint8Array(4)
  new DataView(word.buffer).setUint32(0, crc, true)
  return crc32(word, sum)
}
