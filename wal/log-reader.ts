/**
 * The reading end of the log: a cursor that starts at any batch and goes on as far as it is told, while the writer
 * appends behind it. It holds one file and one window of bytes; the files are never locked.
 *
 * It may read up to a batch that is *durable* and has a frame (`LogWriter.durableUpTo`): all bytes up to there are in
 * the files, so whatever the cursor does not understand before it is damage, never a frame that is just being written.
 * Bytes that it fetched earlier may be older than the writer's last word, so a window that ends the log is fetched
 * again before it is believed; more than once, for an erasure rewrites bodies in their places (log-rewrite.ts), and a read may meet
 * one half way.
 *
 * Bodies stay valid as long as they are held: every window is a new buffer.
 *
 * Retention may remove segments at any moment, the oldest first. The one that a cursor reads stays readable for it; what it
 * asks for behind that may be gone, which is said as such, with the oldest batch that is left.
 */
import { assert } from '../engine/base/assert.js'
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { isMissing, logCorrupt } from './damage.js'
import type { ReadEnvelope } from './envelope.js'
import { continues, placeAfterHead, scanStep, SegmentWindow, type LogFrame, type LogPlace } from './frame-scanner.js'
import { listSegments, readSegmentHead, readSegmentHeadOf, segmentName } from './segment.js'
import type { LogFile, LogStorage } from './storage.js'

/** The first fetch of a cursor is small, and so is one at the tail, which reads one frame at a time. */
const firstFetchBytes = 64 * 1_024
/** In front of what is read ahead there is room for the beginning of a frame that ends in it. */
const headroomBytes = 256 * 1_024
/** Fetches of the same bytes before they are damage. A rewritten body is a few writes into memory. */
const looksMax = 32

export interface LogReaderOptions {
  readonly databaseId: Uint8Array
  /** The first batch that is wanted. */
  readonly batch: number
}

export class LogReader {
  readonly #storage: LogStorage
  readonly #databaseId: Uint8Array
  readonly #from: number
  readonly #window = new SegmentWindow(false)
  #place: LogPlace
  #file: LogFile
  #bytes: number
  #fetchBytes = firstFetchBytes
  /** The bytes behind the window, on their way while those of the window are looked at. */
  #ahead: { readonly at: number; readonly buffer: Uint8Array; readonly read: Promise<number> } | undefined
  #reading = false
  #closed = false

  private constructor(storage: LogStorage, options: LogReaderOptions, file: LogFile, head: ReadEnvelope) {
    this.#storage = storage
    this.#databaseId = options.databaseId
    this.#from = options.batch
    this.#file = file
    this.#bytes = file.size()
    this.#place = placeAfterHead(head)
  }

  /** A cursor in front of the first frame at or above `batch`; `HISTORY_GONE` when the log begins after it. */
  static readFrom(storage: LogStorage, options: LogReaderOptions): LogReader {
    const segments = listSegments(storage)
    for (const segment of segments.reverse()) {
      const head = headOf(storage, segment, options.databaseId)
      // Batches begin at 1.
      if (head === undefined || head.previous >= Math.max(1, options.batch)) continue
      const file = openIfThere(storage, segment)
      if (file !== undefined) return new LogReader(storage, options, file, head)
    }
    throw historyGone(storage, options.batch)
  }

  /** The first batch that can be asked for: 1 as long as nothing has left the log. */
  static oldest(storage: LogStorage): number {
    for (const segment of listSegments(storage)) {
      const head = headOf(storage, segment)
      if (head !== undefined) return head.previous + 1
    }
    return 1
  }

  /** Behind the newest frame that was handed out or passed over: `recoverLog` can go on from there. */
  get place(): LogPlace {
    return this.#place
  }

  /** The newest batch that was handed out or passed over. */
  get batch(): number {
    return this.#place.batch
  }

  /**
   * The frames up to `upTo`, and the schemas between them. A later call goes on where this one ended. `upTo` is a
   * durable batch with a frame; at or below `batch` there is nothing to read.
   */
  async *frames(upTo: number): AsyncGenerator<LogFrame, void, void> {
    assert(!this.#reading && !this.#closed, 'a cursor is read by one reader at a time')
    this.#reading = true
    let looks = 0
    try {
      while (this.#place.batch < upTo) {
        const step = scanStep(this.#place, this.#databaseId, this.#window, this.#bytes)
        if (step.kind === 'part') {
          this.#place = step.after
          looks = 0
          const { kind, batch, previous, segment, offset } = step.envelope
          const wanted = kind === 'schema' || (kind === 'frame' && batch >= this.#from)
          if (wanted) yield { kind, batch, previous, body: step.body, segment, offset }
          if (this.#closed) return
        } else if (step.kind === 'need' || looks === 0 || (looks < looksMax && !this.#hasNext())) {
          const bytes = step.kind === 'need' ? step.bytes : 0
          const isOnWay = step.kind === 'need' && (await this.#takeAhead(bytes))
          const read = isOnWay ? bytes : await this.#fetch(bytes)
          if (read < bytes) throw this.#damaged(upTo, 'the file is shorter than it says')
          if (this.#fetchBytes === limits.streamReadBytes) this.#readAhead()
          this.#fetchBytes = Math.min(this.#fetchBytes * 4, limits.streamReadBytes)
          looks += 1
        } else {
          this.#enterNext(upTo, step.why)
        }
      }
      this.#fetchBytes = firstFetchBytes
    } finally {
      this.#reading = false
      if (this.#closed) this.#file.close()
    }
  }

  /** Lets go of the file; an iteration that is under way ends at its next step. */
  close(): void {
    this.#closed = true
    if (!this.#reading) this.#file.close()
  }

  async #fetch(bytes: number): Promise<number> {
    this.#ahead = undefined
    const { offset } = this.#place
    const buffer = this.#window.prepare(offset, bytes, this.#fetchBytes, this.#bytes)
    const read = await this.#file.readAsync(buffer, offset)
    this.#window.filled(buffer, read, offset)
    return read
  }

  #readAhead(): void {
    const { at, bytes } = this.#window
    const end = at + bytes.length
    const length = Math.min(limits.streamReadBytes, this.#bytes - end)
    if (this.#ahead !== undefined || length <= 0) return
    const buffer = new Uint8Array(headroomBytes + length)
    // Who fails is asked again when the bytes are needed, and says it then.
    const read = this.#file.readAsync(buffer.subarray(headroomBytes), end).catch(() => 0)
    this.#ahead = { at: end, buffer, read }
  }

  /** Joins what is left of the window and what was read ahead; false when that is not enough, and nothing has changed. */
  async #takeAhead(bytes: number): Promise<boolean> {
    const ahead = this.#ahead
    this.#ahead = undefined
    const { offset } = this.#place
    const left = ahead === undefined ? -1 : ahead.at - offset
    if (ahead === undefined || left < 0 || left > headroomBytes || left % 8 !== 0) return false
    const read = await ahead.read
    if (left + read < bytes) return false
    const from = headroomBytes - left
    ahead.buffer.set(this.#window.bytes.subarray(offset - this.#window.at), from)
    this.#window.filled(ahead.buffer.subarray(from), left + read, offset)
    return true
  }

  /** The next segment goes on from here: this one has ended. */
  #hasNext(): boolean {
    const head = headOf(this.#storage, this.#place.segment + 1, this.#databaseId)
    return head !== undefined && continues(head, this.#place)
  }

  #enterNext(upTo: number, why: string): void {
    const segment = this.#place.segment + 1
    const file = openIfThere(this.#storage, segment)
    if (file === undefined) throw this.#missing(upTo, why)
    const head = readSegmentHead(file, segment, this.#databaseId)
    if (head === undefined || !continues(head, this.#place)) {
      file.close()
      throw this.#damaged(upTo, why)
    }
    this.#file.close()
    this.#file = file
    this.#bytes = file.size()
    this.#window.clear()
    this.#ahead = undefined
    this.#place = placeAfterHead(head)
  }

  /** A segment that is not there was removed, if there are later ones; else the log ends too early. */
  #missing(upTo: number, why: string): SluiceError {
    const later = listSegments(this.#storage).some((segment) => segment > this.#place.segment)
    return later ? historyGone(this.#storage, this.#place.batch + 1) : this.#damaged(upTo, why)
  }

  #damaged(upTo: number, why: string): SluiceError {
    const { segment, offset, batch } = this.#place
    return logCorrupt({ segment, offset, batch, durableUpTo: upTo, why })
  }
}

function openIfThere(storage: LogStorage, segment: number): LogFile | undefined {
  try {
    return storage.open(segmentName(segment), 'read')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function headOf(storage: LogStorage, segment: number, databaseId?: Uint8Array): ReadEnvelope | undefined {
  try {
    return readSegmentHeadOf(storage, segment, databaseId)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** `oldest` is the first batch that can still be asked for. */
export function historyGone(storage: LogStorage, batch: number): SluiceError {
  const oldest = LogReader.oldest(storage)
  return SluiceError.of(
    'HISTORY_GONE',
    `The log no longer holds batch ${batch}; the oldest one left is ${oldest}. Start there, or at "now" from a snapshot; or keep more of the log.`,
    { details: { batch, oldest } },
  )
}
