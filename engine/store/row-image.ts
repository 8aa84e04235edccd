/**
 * Rows as the log keeps them (R52): no header, no address, unused bytes zero.
 *
 *   image    the words of the row behind its header, addresses zeroed | long values, each padded to 8 bytes, in column order
 *   before   one bit for each of those words, padded to 8 bytes | the words that differ, as they were, addresses zeroed |
 *            the old long values of changed cells, padded, in column order
 *
 * So an update carries one whole row and what is needed to see the other (R47), and a wide row with one new number costs
 * two words more than its image.
 */
import { limits } from '../base/limits.js'
import type { LaneLog } from '../shared/lane-log.js'
import { type ColumnLayout, inlineBytesMax, lengthMask, rowHeaderWords, type RowLayout } from '../schema/row-layout.js'
import { type CellMemory, longAddress } from './row-codec.js'

const headerInts = rowHeaderWords * 2
const pad8 = (bytes: number): number => (bytes + 7) & ~7

/** A table, or whatever else knows where the cells of its rows lie. */
export interface Laid {
  readonly layout: RowLayout
}

/** Where an image lies that is compared or written: `words[at]` is the first int of its header. */
export interface ImageAt {
  words: Int32Array
  at: number
}

/** Appends the image of a row to the bytes of a lane; answers its offset in the lane, and leaves its length in `lengthOut`. */
export function writeImage(log: LaneLog, table: Laid, memory: CellMemory, words: Int32Array, at: number, lengthOut: { bytes: number }): number {
  const { vars } = table.layout
  const columnBytes = (table.layout.words - rowHeaderWords) * 8
  let total = columnBytes
  for (let n = 0; n < vars.length; n += 1) {
    const cell = at + vars[n]!.at
    if (longAddress(words, cell) !== 0) total += pad8(words[cell]! & lengthMask)
  }
  const offset = log.takeBytes(total)
  const to = log.byteWords
  for (let n = at + headerInts, w = offset >>> 2, end = at + table.layout.words * 2; n < end; n += 1, w += 1) to[w] = words[n]!
  if (total !== columnBytes) {
    let next = offset + columnBytes
    for (let n = 0; n < vars.length; n += 1) {
      const cell = at + vars[n]!.at
      if (longAddress(words, cell) === 0) continue
      to[(offset >>> 2) + vars[n]!.at - headerInts + 1] = 0
      next = copyLong(log, memory, words, cell, next)
    }
  }
  lengthOut.bytes = total
  return log.offsetInLane(offset)
}

/** Words of the columns that differ, and the replaced long values among them: scratch of one `writeBefore`. */
const changedWords = new Int32Array(limits.rowBytesMax / 8)
const replaced: ColumnLayout[] = []

/** Appends what `now` does not tell of `before`; answers the offset, or -1 when the two are equal. */
export function writeBefore(log: LaneLog, table: Laid, memory: CellMemory, before: ImageAt, now: ImageAt, lengthOut: { bytes: number }): number {
  const words = table.layout.words - rowHeaderWords
  const was = before.words
  const is = now.words
  const wasAt = before.at + headerInts
  const isAt = now.at + headerInts
  let changed = 0
  for (let n = 0; n < words * 2; n += 2) {
    if (was[wasAt + n] === is[isAt + n] && was[wasAt + n + 1] === is[isAt + n + 1]) continue
    changedWords[changed] = n >>> 1
    changed += 1
  }
  if (changed === 0) return -1
  const long = table.layout.vars.length === 0 ? 0 : findReplaced(table.layout.vars, before, now)
  const maskBytes = maskBytesOf(words)
  const total = maskBytes + changed * 8 + long
  const offset = log.takeBytes(total)
  const to = log.byteWords
  const mask = offset >>> 2
  for (let n = 0; n < maskBytes >>> 2; n += 1) to[mask + n] = 0
  let w = (offset + maskBytes) >>> 2
  for (let n = 0; n < changed; n += 1, w += 2) {
    const word = changedWords[n]!
    to[mask + (word >>> 5)]! |= 1 << (word & 31)
    to[w] = was[wasAt + word * 2]!
    to[w + 1] = was[wasAt + word * 2 + 1]!
    if (long !== 0 && isReplaced(word)) to[w + 1] = 0
  }
  if (long !== 0) {
    let next = offset + maskBytes + changed * 8
    for (const column of replaced) next = copyLong(log, memory, was, before.at + column.at, next)
  }
  lengthOut.bytes = total
  return log.offsetInLane(offset)
}

/** Leaves the columns in `replaced` whose long value is another one now; answers the bytes of the old ones. */
function findReplaced(vars: readonly ColumnLayout[], before: ImageAt, now: ImageAt): number {
  const was = before.words
  const is = now.words
  let long = 0
  replaced.length = 0
  for (let n = 0; n < vars.length; n += 1) {
    const { at } = vars[n]!
    const cell = before.at + at
    // A long value that was replaced stands at another address: the first word of its cell differs.
    if (longAddress(was, cell) === 0 || (was[cell] === is[now.at + at] && was[cell + 1] === is[now.at + at + 1])) continue
    replaced.push(vars[n]!)
    long += pad8(was[cell]! & lengthMask)
  }
  return long
}

const maskBytesOf = (words: number): number => pad8((words + 7) >>> 3)

/** The word is the first of a long value's cell: its second half is an address, which the log never holds. */
function isReplaced(word: number): boolean {
  for (let n = 0; n < replaced.length; n += 1) if (replaced[n]!.at === headerInts + word * 2) return true
  return false
}

/** Up to so many bytes a loop over words is faster than a view of the bytes and a call of the engine. */
const copyLoopBytesMax = 512

function copyLong(log: LaneLog, memory: CellMemory, words: Int32Array, cell: number, to: number): number {
  const length = words[cell]! & lengthMask
  const address = words[cell + 1]!
  const padded = pad8(length)
  const ints = log.byteWords
  const end = (to + padded) >>> 2
  ints[end - 1] = 0
  ints[end - 2] = 0
  if (length <= copyLoopBytesMax) {
    const source = memory.i32
    const whole = length >>> 2
    const from = address * 2
    for (let n = 0; n < whole; n += 1) ints[(to >>> 2) + n] = source[from + n]!
    // Behind the last byte of a block stands anything.
    const rest = length & 3
    if (rest !== 0) ints[(to >>> 2) + whole] = source[from + whole]! & ((1 << (rest << 3)) - 1)
  } else {
    const block = memory.block(address)
    log.bytes.set(block.bytes.subarray(block.from, block.from + length), to)
  }
  return to + padded
}

/** Frames are read by laying an image out as a row in a scratch region, so that the table's own decoder reads it. */
export interface ImageSource {
  /** The frame body as ints; byte offsets are multiples of 8. */
  readonly ints: Int32Array
  readonly bytes: Uint8Array
}

/** Lays an image out at `row`; answers the first word behind it and its long values. */
export function layImage(table: Laid, source: ImageSource, at: number, into: Int32Array, row: number): number {
  const start = row * 2
  const ints = (table.layout.words - rowHeaderWords) * 2
  const from = at >>> 2
  into[start + 3] = 0
  for (let n = 0; n < ints; n += 1) into[start + headerInts + n] = source.ints[from + n]!
  let next = row + table.layout.words
  let longAt = from + ints
  for (const column of table.layout.vars) {
    const cell = start + column.at
    const length = into[cell]! & lengthMask
    if (length <= inlineBytesMax) continue
    const words = pad8(length) >>> 2
    for (let n = 0; n < words; n += 1) into[next * 2 + n] = source.ints[longAt + n]!
    into[cell + 1] = next
    longAt += words
    next += words >>> 1
  }
  return next
}

/** Turns the row laid at `now` into the row before the update, at `row`. Long values of unchanged cells are shared. */
export function layBefore(table: Laid, source: ImageSource, at: number, into: Int32Array, now: number, row: number): number {
  const words = table.layout.words - rowHeaderWords
  const maskInts = maskBytesOf(words) >>> 2
  const mask = at >>> 2
  let from = mask + maskInts
  const start = row * 2
  into[start + 3] = 0
  for (let word = 0; word < words; word += 1) {
    const n = headerInts + word * 2
    const isChanged = (source.ints[mask + (word >>> 5)]! & (1 << (word & 31))) !== 0
    into[start + n] = isChanged ? source.ints[from]! : into[now * 2 + n]!
    into[start + n + 1] = isChanged ? source.ints[from + 1]! : into[now * 2 + n + 1]!
    if (isChanged) from += 2
  }
  let next = row + table.layout.words
  for (const column of table.layout.vars) {
    const word = (column.at - headerInts) >>> 1
    if ((source.ints[mask + (word >>> 5)]! & (1 << (word & 31))) === 0) continue
    const cell = start + column.at
    const length = into[cell]! & lengthMask
    if (length <= inlineBytesMax) continue
    const ints = pad8(length) >>> 2
    for (let n = 0; n < ints; n += 1) into[next * 2 + n] = source.ints[from + n]!
    into[cell + 1] = next
    from += ints
    next += ints >>> 1
  }
  return next
}
