/**
 * Where batches stand in the ring of frames: a mark for every sixteenth frame, so that a moment of the past is found in a few steps and not
 * by a walk through all that the ring holds.
 *
 * Marks are made as far as somebody asks, going on where the last look ended. They go when the ring overwrites them.
 */
import type { FrameHeader, FrameRing } from '../shared/frame-ring.js'

export interface FrameMoment {
  readonly batch: number
  readonly records: number
  readonly time: number
}

const framesPerMark = 16
const marksPerPart = 64
/** Marks that have gone are dropped from the list when they are so many. */
const goneMax = 1_024
const nowhere: FrameMoment = { batch: 0, records: 0, time: 0 }

interface Mark {
  readonly counter: number
  readonly batch: number
  readonly time: number
}

export class FrameIndex {
  readonly #frames: FrameRing
  #marks: Mark[] = []
  #first = 0
  #next: number
  #sinceMark = 0
  #newest = nowhere
  readonly #entry: FrameHeader = { at: 0, next: 0, batch: 0, now: 0, records: 0 }

  constructor(frames: FrameRing) {
    this.#frames = frames
    this.#next = frames.tail
  }

  /** The newest batch with a frame that is not after `batch`, as far as the ring goes back; zeros beyond. */
  momentOf(batch: number): FrameMoment {
    return this.#last((at) => at <= batch, Infinity)
  }

  /** The same for a time; `upTo`: the newest batch that counts. */
  lastAt(ms: number, upTo: number): FrameMoment {
    return this.#last((_batch, time) => time <= ms, upTo)
  }

  /** A counter from which the frame of a batch is a few steps away; undefined: the ring does not go back that far. */
  near(batch: number): number | undefined {
    this.#follow()
    return this.#markBefore((mark) => mark.batch <= batch)?.counter
  }

  /** Batches that divide the ring into parts of about a thousand frames, in order. */
  borders(): number[] {
    this.#follow()
    const borders: number[] = []
    for (let n = this.#first; n < this.#marks.length; n += marksPerPart) borders.push(this.#marks[n]!.batch)
    return borders
  }

  /** `isIn` holds up to some place of the ring, and not behind it. */
  #last(isIn: (batch: number, time: number) => boolean, upTo: number): FrameMoment {
    const frames = this.#frames
    const entry = this.#entry
    for (let attempt = 0; attempt < 3; attempt += 1) {
      this.#follow()
      const { batch, time } = this.#newest
      if (batch > 0 && batch <= upTo && isIn(batch, time) && frames.stillThere(this.#next)) return this.#newest
      const start = this.#markBefore((mark) => mark.batch <= upTo && isIn(mark.batch, mark.time))?.counter ?? frames.tail
      const head = frames.publishedHead
      let lastBatch = 0
      let lastRecords = 0
      let lastNow = 0
      for (let there = frames.peek(start, head, entry); there; there = frames.peek(entry.next, head, entry)) {
        if (entry.batch > upTo || !isIn(entry.batch, entry.now)) break
        lastBatch = entry.batch
        lastRecords = entry.records
        lastNow = entry.now
      }
      if (frames.stillThere(start)) return { batch: lastBatch, records: lastRecords, time: lastNow }
    }
    return nowhere
  }

  #markBefore(isIn: (mark: Mark) => boolean): Mark | undefined {
    let low = this.#first
    let high = this.#marks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isIn(this.#marks[middle]!)) low = middle + 1
      else high = middle
    }
    return low > this.#first ? this.#marks[low - 1] : undefined
  }

  #follow(): void {
    const frames = this.#frames
    if (!frames.stillThere(this.#next)) {
      this.#marks = []
      this.#first = 0
      this.#sinceMark = 0
      this.#newest = nowhere
      this.#next = frames.tail
    }
    const head = frames.publishedHead
    const entry = this.#entry
    while (frames.peek(this.#next, head, entry)) {
      const { at, batch, now, records, next } = entry
      if (!frames.stillThere(at)) return // the next look begins anew
      if (this.#sinceMark === 0) this.#marks.push({ counter: at, batch, time: now })
      this.#sinceMark = (this.#sinceMark + 1) % framesPerMark
      this.#newest = { batch, records, time: now }
      this.#next = next
    }
    while (this.#first < this.#marks.length && !frames.stillThere(this.#marks[this.#first]!.counter)) this.#first += 1
    if (this.#first <= goneMax) return
    this.#marks = this.#marks.slice(this.#first)
    this.#first = 0
  }
}
