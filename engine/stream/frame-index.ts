/**
 * Where batches stand in the ring of frames: a mark for every sixteenth frame, so that a moment of the past is found in a few steps and not
 * by a walk through all that the ring holds.
 *
 * Marks are made as far as somebody asks, going on where the last look ended. They go when the ring overwrites them.
 */
import type { FrameRing } from '../shared/frame-ring.js'

export interface FrameMoment {
  readonly batch: number
  readonly records: number
  readonly time: number
}

const framesPerMark = 16
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

  constructor(frames: FrameRing) {
    this.#frames = frames
    this.#next = frames.tail
  }

  /** The newest batch with a frame that is not after `batch`, as far as the ring goes back; zeros beyond. */
  momentOf(batch: number): FrameMoment {
    return this.#last((entry) => entry.batch <= batch, Infinity)
  }

  /** The same for a time; `upTo`: the newest batch that counts. */
  lastAt(ms: number, upTo: number): FrameMoment {
    return this.#last((entry) => entry.time <= ms, upTo)
  }

  /** `isIn` holds up to some place of the ring, and not behind it. */
  #last(isIn: (at: { readonly batch: number; readonly time: number }) => boolean, upTo: number): FrameMoment {
    const frames = this.#frames
    for (let attempt = 0; attempt < 3; attempt += 1) {
      this.#follow()
      if (this.#newest.batch > 0 && this.#newest.batch <= upTo && frames.stillThere(this.#next) && isIn(this.#newest)) return this.#newest
      const start = this.#markBefore((mark) => mark.batch <= upTo && isIn(mark))?.counter ?? frames.tail
      const head = frames.publishedHead
      let last = nowhere
      for (let entry = frames.read(start, head); entry !== undefined; entry = frames.read(entry.next, head)) {
        if (entry.batch > upTo || !isIn({ batch: entry.batch, time: entry.now })) break
        last = { batch: entry.batch, records: entry.records, time: entry.now }
      }
      if (frames.stillThere(start)) return last
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
    for (let counter = this.#next, entry = frames.read(counter, head); entry !== undefined; counter = entry.next, entry = frames.read(counter, head)) {
      const { batch, now, records, next } = entry
      if (!frames.stillThere(counter)) return // the next look begins anew
      if (this.#sinceMark === 0) this.#marks.push({ counter, batch, time: now })
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
