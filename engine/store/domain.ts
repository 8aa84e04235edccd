/**
 * A domain: the memory and the history of the partitions that one worker owns. The global tables have one of their own.
 *
 * Only one thread works in a domain at a time: its worker while lanes run, the worker of the cross-partition lane after the
 * barrier. So nothing in here is atomic, and everything is a word of the region (R3).
 *
 *   word  0      chunk: bump address | end                     small allocations are carved from it
 *   word  1..3   undo log      (fifo)   records [row | words, image...]; words = 0 for an inserted row
 *   word  4..6   retire log    (fifo)   records [kind | address, extra | extra]
 *   word  7..9   batch marks   (fifo)   records [batch, undo position, retire position]
 *   word 10      batch of the open mark
 *   word 11      words kept for history (undo + retired), a double
 *   word 12..13  undo head at the start of the batch | retire head at its start
 *   word 15      size of the newest chunk, in words
 *   word 16..    free lists, one Int32 for each size class
 *
 * Invariants:
 *   D1  What is released was never seen by another thread, or its batch is at or below the reclaim bound (R13).
 *   D2  ts and undo of a row never go back (R10); an image never changes once it is linked (R8).
 *   D3  Reserve, then change (R5): `reserve` may throw OUT_OF_SPACE, what follows it may not.
 */
import { assert } from '../base/assert.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { Region } from '../shared/region.js'
import { Fifo, fifoStateWords } from './fifo.js'

const chunkAt = 0
const undoAt = 1
const retireAt = undoAt + fifoStateWords
const marksAt = retireAt + fifoStateWords
const keptWordsAt = marksAt + fifoStateWords + 1
const batchStartAt = keptWordsAt + 1
const lastChunkWordsAt = 15
const freeListsAt = 16

/** Row header: word 0 is ts, word 1 is undo | flags. An undo image has the same layout. */
export const headerWords = 2
export const flagDeleted = 1
/** A retire record for this row is under way: one is enough (see `retireRow`). */
export const flagQueued = 2

export const retireRecordWords = 2
const markWords = 3

/** What a retire record asks for when its batch is below the bound. */
export const retireKind = { nothing: 0, block: 1, row: 2, entry: 3, leaf: 4, piece: 5 } as const
export type RetireKind = (typeof retireKind)[keyof typeof retireKind]

/** Size classes: each number of words up to 8, then four to a doubling: at most a quarter of a block is given away. */
const exactLog = 3
const exactWordsMax = 2 ** exactLog
/** A free block holds the link to the next one. */
const wordsMin = 2
const exactClasses = exactWordsMax - wordsMin + 1
export const classesCount = 112
export const domainWords = freeListsAt + classesCount / 2

/** By class; a power costs more than the rest of an allocation. */
const classWords = Float64Array.from({ length: classesCount }, (_, sizeClass) => {
  if (sizeClass < exactClasses) return sizeClass + wordsMin
  const log = exactLog + ((sizeClass - exactClasses) >>> 2)
  return 2 ** log + (((sizeClass - exactClasses) & 3) + 1) * 2 ** (log - 2)
})

export function classOf(words: number): number {
  if (words <= exactWordsMax) return words <= wordsMin ? 0 : words - wordsMin
  const log = 31 - Math.clz32(words - 1)
  // (2^log, 2^(log + 1)] in four steps of 2^(log - 2)
  return exactClasses + (log - exactLog) * 4 + ((words - 1 - (1 << log)) >>> (log - 2))
}
export function wordsOfClass(sizeClass: number): number {
  return classWords[sizeClass]!
}
/** What a block of so many words takes. */
export const roundedWords = (words: number): number => wordsOfClass(classOf(words))
assert(
  [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 17, 4_096, 6_144, 2 ** 27].every((w) => wordsOfClass(classOf(w)) >= w && classOf(wordsOfClass(classOf(w))) === classOf(w)),
  'a class holds what it is asked for and is its own class',
)

const chunkWordsMax = limits.extentBytesMax / 8
const chunkWordsMin = limits.extentBytesMin / 8
/** A block above this is an extent of its own. */
const largeWords = chunkWordsMax / 4

export function outOfSpace(region: Region, words: number): SluiceError {
  return SluiceError.of(
    'OUT_OF_SPACE',
    `The ${region.words * 8} bytes reserved by memory.bytes are used up: open with more memory, close old snapshots, or delete rows.`,
    { details: { bytes: region.words * 8, asked: words * 8 } },
  )
}

export class Domain {
  readonly address: number
  /** Its place among the domains of a store. */
  readonly ordinal: number
  readonly region: Region
  readonly undo: Fifo
  readonly retired: Fifo
  readonly marks: Fifo
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #free: number
  readonly #state: number

  /** `address` is `domainWords` zeroed words of the region: the first thread to come finds an empty domain. */
  constructor(region: Region, address: number, ordinal = 0) {
    this.region = region
    this.address = address
    this.ordinal = ordinal
    this.#i32 = region.i32
    this.#f64 = region.f64
    this.#state = address * 2
    this.#free = (address + freeListsAt) * 2
    const segments = {
      takeSegment: (wordsAtLeast: number) => this.#takeSegment(wordsAtLeast),
      giveSegment: (segment: number, words: number) => this.release(segment, words),
    }
    // Whoever moves the head of a log, if only to a new segment, has room for the mark that says so (`endBatch`).
    const marked = {
      takeSegment: (wordsAtLeast: number) => {
        this.marks.reserve(markWords)
        return this.#takeSegment(wordsAtLeast)
      },
      giveSegment: segments.giveSegment,
    }
    this.undo = new Fifo(region, address + undoAt, marked)
    this.retired = new Fifo(region, address + retireAt, marked)
    this.marks = new Fifo(region, address + marksAt, segments)
  }

  /** A long history takes large segments; where there is no room for one, what is needed: else a full region refused deletes. */
  #takeSegment(wordsAtLeast: number): { readonly address: number; readonly words: number } {
    const least = roundedWords(wordsAtLeast)
    const wanted = roundedWords(Math.max(wordsAtLeast, this.keptWords() > chunkWordsMax ? chunkWordsMax : chunkWordsMin))
    for (let words = wanted; words > least; words = Math.max(least, roundedWords(words >>> 2))) {
      try {
        return { address: this.allocate(words), words }
      } catch (error) {
        if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
      }
    }
    return { address: this.allocate(least), words: least }
  }

  // ── blocks ────────────────────────────────────────────────────────────────────────────────────────────

  /** `words` words, not zeroed. Throws OUT_OF_SPACE and then has changed nothing. */
  allocate(words: number): number {
    const sizeClass = classOf(words)
    const list = this.#free + sizeClass
    const free = this.#i32[list]!
    if (free !== 0) {
      this.#i32[list] = this.#i32[free * 2]!
      return free
    }
    return this.#carve(wordsOfClass(sizeClass))
  }

  /** Gives a block back at once (D1). `words` as asked for. */
  release(address: number, words: number): void {
    const list = this.#free + classOf(words)
    this.#i32[address * 2] = this.#i32[list]!
    this.#i32[list] = address
  }

  /** After this, allocations of `words` words in total cannot fail (each of 2 to `largeWords`). */
  reserve(words: number): void {
    if (!this.tryReserve(words)) throw outOfSpace(this.region, words)
  }

  /** The same as a question. What was reserved before is not added up: one reservation for everything that follows it. */
  tryReserve(words: number): boolean {
    // Classes round up by at most a half.
    return this.tryReserveRounded(words + (words >>> 1))
  }
  /** For callers who add up `roundedWords`. */
  tryReserveRounded(words: number): boolean {
    const chunk = this.#state + chunkAt * 2
    return this.#i32[chunk + 1]! - this.#i32[chunk]! >= words || this.#newChunk(words)
  }

  /**
   * Words that `count` blocks of `words` words would take beyond what their free list holds. It follows cold links: only
   * to be asked when `tryReserve` said no, so that a full region can go on with what was freed in it.
   */
  shortfall(words: number, count: number): number {
    assert(words < chunkWordsMin, 'blocks that may become chunks do not count as free')
    const sizeClass = classOf(words)
    let missing = count
    for (let free = this.#i32[this.#free + sizeClass]!; free !== 0 && missing > 0; free = this.#i32[free * 2]!) missing -= 1
    return missing * wordsOfClass(sizeClass)
  }

  #carve(words: number): number {
    if (words > largeWords) {
      const extent = this.region.takeExtent(words)
      if (extent !== 0) return extent
      const free = this.#takeFree(words)
      if (free === 0) throw outOfSpace(this.region, words)
      this.#giveRange(free + words, this.#takenWords - words)
      return free
    }
    const chunk = this.#state + chunkAt * 2
    if (this.#i32[chunk + 1]! - this.#i32[chunk]! < words && !this.#newChunk(words)) throw outOfSpace(this.region, words)
    const at = this.#i32[chunk]!
    this.#i32[chunk] = at + words
    return at
  }

  /**
   * Extents double from 4 KiB to 256 KiB (R2). What is left of the old chunk goes to the free lists. A large freed block is
   * a chunk before a new extent is, smaller ones when there is no extent: else what a long snapshot kept were lost to rows.
   */
  #newChunk(wordsAtLeast: number): boolean {
    const i32 = this.#i32
    const chunk = this.#state + chunkAt * 2
    let words = Math.min(chunkWordsMax, Math.max(chunkWordsMin, i32[this.#state + lastChunkWordsAt * 2]! * 2))
    while (words < wordsAtLeast) words *= 2
    let from = this.#takeFree(Math.max(wordsAtLeast, largeWords))
    if (from !== 0) words = this.#takenWords
    else {
      from = this.region.takeExtent(words)
      if (from === 0) from = this.region.takeExtent((words = wordsAtLeast))
      if (from === 0) {
        from = this.#takeFree(Math.max(wordsAtLeast, chunkWordsMin))
        if (from === 0) return false
        words = this.#takenWords
      }
    }
    const left = i32[chunk]!
    const leftWords = i32[chunk + 1]! - left
    // Emptied before its end moves: a thread that dies between these stores leaks the rest and hands out nothing twice.
    i32[chunk] = 0
    i32[chunk + 1] = 0
    this.#giveRange(left, leftWords)
    i32[chunk] = from
    i32[chunk + 1] = from + words
    i32[this.#state + lastChunkWordsAt * 2] = Math.min(words, chunkWordsMax)
    return true
  }

  /** A freed block of at least so many words, or 0; its size is in `#takenWords`. */
  #takenWords = 0
  #takeFree(wordsAtLeast: number): number {
    for (let sizeClass = classOf(wordsAtLeast); sizeClass < classesCount; sizeClass += 1) {
      const free = this.#i32[this.#free + sizeClass]!
      if (free === 0) continue
      this.#i32[this.#free + sizeClass] = this.#i32[free * 2]!
      this.#takenWords = wordsOfClass(sizeClass)
      return free
    }
    return 0
  }

  /** Any run of words, to the free lists in pieces that are their own class. */
  #giveRange(from: number, words: number): void {
    for (let at = from, left = words; left >= wordsMin; ) {
      let sizeClass = classOf(left)
      if (wordsOfClass(sizeClass) > left) sizeClass -= 1
      const size = wordsOfClass(sizeClass)
      this.release(at, size)
      at += size
      left -= size
    }
  }

  // ── versions ──────────────────────────────────────────────────────────────────────────────────────────

  /** Room for the first write of a batch to a row of `words` words and for a few retire records. */
  reserveVersion(words: number, retireRecords = 4): void {
    this.reserveLogs(words + 1, retireRecords)
  }
  /** Room for so many words of the undo log and so many retire records, and for the mark that closes the batch. */
  reserveLogs(undoWords: number, retireRecords: number): void {
    this.undo.reserve(undoWords)
    this.retired.reserve(retireRecords * retireRecordWords)
    this.marks.reserve(markWords)
  }

  /**
   * R8: before the first change of a batch to a row (or any other versioned cell of the same header), keep it whole:
   * image first, then row.undo, then row.ts. The caller stores columns after that. Needs `reserveVersion`. Answers the image,
   * which stays as it is at least until the batch is sealed.
   */
  saveVersion(row: number, words: number, batch: number): number {
    const i32 = this.#i32
    const record = this.undo.append(words + 1)
    const image = record + 1
    i32[record * 2] = row
    i32[record * 2 + 1] = words
    for (let from = row * 2, to = image * 2, end = from + words * 2; from < end; from += 1, to += 1) i32[to] = i32[from]!
    i32[row * 2 + 2] = image
    this.#f64[row] = batch
    this.#f64[this.address + keptWordsAt]! += words + 1
    return image
  }

  /** The first write of a batch to a row that did not exist: nothing to keep, but a rollback must find it (R36). */
  noteInsert(row: number): void {
    const record = this.undo.append(1)
    this.#i32[record * 2] = row
    this.#i32[record * 2 + 1] = 0
    this.#f64[this.address + keptWordsAt]! += 1
  }

  // ── retiring ──────────────────────────────────────────────────────────────────────────────────────────

  /**
   * To be undone when nobody can look any more. Needs room reserved in the retire log, or may throw before any change.
   * Answers the record, by which `unretire` takes it back while its batch runs.
   */
  retire(kind: RetireKind, address: number, extra = 0, extra2 = 0): number {
    const record = this.retired.append(retireRecordWords)
    const at = record * 2
    const i32 = this.#i32
    i32[at] = kind
    i32[at + 1] = address
    i32[at + 2] = extra
    i32[at + 3] = extra2
    return record
  }

  /** Room for one record more, for those who work where nothing may be thrown. */
  hasRoomToRetire(): boolean {
    try {
      this.reserveVersion(0, 1)
      return true
    } catch (error) {
      if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
      return false
    }
  }

  /** A block of `words` words that older snapshots may still read. */
  retireBlock(address: number, words: number): number {
    const record = this.retire(retireKind.block, address, words)
    this.#f64[this.address + keptWordsAt]! += words
    return record
  }

  /** Takes a retire record of the running batch back: an undone transaction wants its things again. Cannot fail. */
  unretire(record: number): void {
    const at = record * 2
    if (this.#i32[at] === retireKind.block) this.#f64[this.address + keptWordsAt]! -= this.#i32[at + 2]!
    this.#i32[at] = retireKind.nothing
  }

  // ── batches ───────────────────────────────────────────────────────────────────────────────────────────

  /** Where the logs stand before a batch changes anything, for `rollback`. */
  beginBatch(): void {
    const i32 = this.#i32
    const at = (this.address + batchStartAt) * 2
    i32[at] = this.undo.headSegment
    i32[at + 1] = this.undo.head
    i32[at + 2] = this.retired.headSegment
    i32[at + 3] = this.retired.head
  }

  /** Closes what the batch added to the logs. A batch that changed nothing here leaves no mark. */
  endBatch(batch: number): void {
    const i32 = this.#i32
    const start = (this.address + batchStartAt) * 2
    if (i32[start + 1] === this.undo.head && i32[start + 3] === this.retired.head) return
    const mark = this.marks.append(markWords)
    this.#f64[mark] = batch
    i32[mark * 2 + 2] = this.undo.headSegment
    i32[mark * 2 + 3] = this.undo.head
    i32[mark * 2 + 4] = this.retired.headSegment
    i32[mark * 2 + 5] = this.retired.head
  }

  /** Words that only the past needs: undo images and retired blocks. */
  keptWords(): number {
    return this.#f64[this.address + keptWordsAt]!
  }

  /** The batch of the oldest mark, or Infinity. */
  oldestMark(): number {
    if (this.marks.tailSegment === 0) return Infinity
    const front = this.#frontMark()
    return front === this.marks.head ? Infinity : this.#f64[front]!
  }

  /**
   * Frees what only snapshots before the oldest mark's batch could see, and drops the mark. The caller has made sure that
   * its batch is at or below the reclaim bound. `visit` handles every kind but blocks and may retire again.
   */
  reclaimOldest(visit: (kind: RetireKind, address: number, extra: number, extra2: number) => void): void {
    const i32 = this.#i32
    const mark = this.#frontMark()
    const undoSegment = i32[mark * 2 + 2]!
    const undoHead = i32[mark * 2 + 3]!
    const retireSegment = i32[mark * 2 + 4]!
    const retireHead = i32[mark * 2 + 5]!
    let freed = 0
    if (retireSegment !== 0) {
      this.retired.drain(retireSegment, retireHead, retireRecordWords, (record) => {
        const at = record * 2
        const kind = i32[at]! as RetireKind
        if (kind === retireKind.nothing) return
        if (kind === retireKind.block) {
          this.release(i32[at + 1]!, i32[at + 2]!)
          freed += i32[at + 2]!
        } else {
          visit(kind, i32[at + 1]!, i32[at + 2]!, i32[at + 3]!)
        }
      })
    }
    if (undoSegment !== 0) freed += this.undo.cut(undoSegment, undoHead)
    const segment = this.marks.tailSegment
    this.marks.cut(segment, mark + markWords)
    this.#f64[this.address + keptWordsAt]! -= freed
  }

  #frontMark(): number {
    // The tail may stand at the end of a full segment.
    if (this.marks.tailSegment !== this.marks.headSegment && this.marks.tail >= this.#i32[this.marks.tailSegment * 2 + 2]!) {
      const next = this.#i32[this.marks.tailSegment * 2]!
      this.marks.cut(next, next + 2)
    }
    return this.marks.tail
  }

  // ── rollback (R36) ────────────────────────────────────────────────────────────────────────────────────

  /**
   * Puts every row and root that the running batch touched back to its saved image, all but ts and undo (R10), and
   * forgets what the batch retired. `insert` is told of rows that did not exist before: they become deleted ones.
   * The batch then runs again under the same number and without another `beginBatch`: rows it has touched keep ts and
   * are not saved twice, so only the first start leads a second rollback to them.
   */
  rollback(insert: (row: number) => void): void {
    const i32 = this.#i32
    const start = (this.address + batchStartAt) * 2
    this.retired.walk(i32[start + 2]!, i32[start + 3]!, (record) => {
      this.unretire(record)
      return retireRecordWords
    })
    this.retired.rewindTo(i32[start + 2]!, i32[start + 3]!)
    this.undo.walk(i32[start]!, i32[start + 1]!, (record) => {
      const row = i32[record * 2]!
      const words = i32[record * 2 + 1]!
      if (words === 0) insert(row)
      else {
        const image = record + 1
        i32[row * 2 + 3] = i32[image * 2 + 3]!
        for (let n = headerWords * 2; n < words * 2; n += 1) i32[row * 2 + n] = i32[image * 2 + n]!
      }
      return 1 + words
    })
  }
}
