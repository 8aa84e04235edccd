/**
 * The blocking walk over the log that recovery makes: part by part, from segment to segment, with one window of bytes
 * that is used again, so memory is bounded by the longest frame. (`LogReader` is the walk that waits.)
 *
 * A **group** is a number of frames that count together or not at all: a migration. It begins with a schema that says so. While it
 * is written nothing claims to be durable above the batch before it (`LogWriter.beginGroup`); the first claim that is above says that
 * the whole group was synced. So a walk that meets the beginning looks ahead for such a claim, and where there is none the log ends
 * before the group: all of it was never acknowledged.
 */
import type { ReadEnvelope } from './envelope.js'
import {
  continues,
  placeAfterHead,
  scanStep,
  SegmentWindow,
  type LogPlace,
  type ScanStep,
} from './frame-scanner.js'
import { readSegmentHead, segmentName } from './segment.js'
import type { LogFile, LogStorage } from './storage.js'

const fetchBytesDefault = 4 * 1_024 * 1_024

type Part = Extract<ScanStep, { kind: 'part' }>

/** Goes through the parts of the log, from segment to segment, up to the first bytes that are none. */
export class LogScan {
  place: LogPlace
  /** The highest `durableUpTo` of the accepted envelopes. */
  certified: number
  /** Why the scan ended. */
  why = ''
  readonly #storage: LogStorage
  readonly #databaseId: Uint8Array
  readonly #fetchBytes: number
  readonly #window = new SegmentWindow(true)
  #file: LogFile
  #bytes: number
  /** It only looks for the end of a group. */
  #isAhead = false
  /** The last batch of the newest group whose beginning it has met: what was found ahead to be on disk. A long group is looked through once. */
  groupEnd = 0

  /** `fetchBytes`: how much is read at a time, if the next part is not longer. */
  constructor(storage: LogStorage, databaseId: Uint8Array, from: LogPlace | ReadEnvelope, fetchBytes = fetchBytesDefault) {
    this.#fetchBytes = fetchBytes
    this.#storage = storage
    this.#databaseId = databaseId
    const isHead = 'kind' in from
    this.place = isHead ? placeAfterHead(from) : from
    this.certified = isHead ? from.durableUpTo : 0
    this.#file = storage.open(segmentName(from.segment), 'read')
    this.#bytes = this.#file.size()
  }

  next(): Part | undefined {
    for (;;) {
      const step = scanStep(this.place, this.#databaseId, this.#window, this.#bytes)
      if (step.kind === 'part') {
        if (step.envelope.isOfGroup === true && !this.#isGroupWhole(step)) {
          this.why = 'a migration that did not come to its end begins here'
          return undefined
        }
        this.place = step.after
        this.certified = Math.max(this.certified, step.envelope.durableUpTo)
        return step
      }
      if (step.kind === 'end') {
        this.why = step.why
        if (!this.#enterNext()) return undefined
      } else if (!this.#read(step.bytes)) {
        this.why = 'the file is shorter than it says'
        return undefined
      }
    }
  }

  close(): void {
    this.#file.close()
  }

  /** Some envelope knows that a frame of the group is on disk. */
  #isGroupWhole({ envelope, after }: Part): boolean {
    if (this.#isAhead || envelope.batch < this.groupEnd) return true
    const ahead = new LogScan(this.#storage, this.#databaseId, after)
    ahead.#isAhead = true
    try {
      while (ahead.certified <= envelope.batch && ahead.next() !== undefined);
      this.groupEnd = Math.max(this.groupEnd, ahead.certified)
      return ahead.certified > envelope.batch
    } finally {
      ahead.close()
    }
  }

  #read(bytes: number): boolean {
    const buffer = this.#window.prepare(this.place.offset, bytes, this.#fetchBytes, this.#bytes)
    const read = this.#file.read(buffer, this.place.offset)
    this.#window.filled(buffer, read, this.place.offset)
    return read >= bytes
  }

  /** The next segment goes on where this one ends when its head repeats batch and chain. */
  #enterNext(): boolean {
    const segment = this.place.segment + 1
    const name = segmentName(segment)
    if (!this.#storage.list().includes(name)) return false
    const file = this.#storage.open(name, 'read')
    const head = readSegmentHead(file, segment, this.#databaseId)
    if (head === undefined || !continues(head, this.place)) {
      file.close()
      return false
    }
    this.#file.close()
    this.#file = file
    this.#bytes = file.size()
    this.#window.clear()
    this.place = placeAfterHead(head)
    this.certified = Math.max(this.certified, head.durableUpTo)
    return true
  }
}
