/**
 * Pages and records of the ordered index: their layout, and what can be done to one of them.
 *
 *   page (128 words)   word 0        f64 the batch it was born in
 *                      word 1        i32 count | i32 level + skip * 256        (level 0 is a leaf)
 *                      word 2..64    f64 prefix, 63 of them
 *                      then          i32 record (leaf) or separator (inner), 63 of them
 *                      then          i32 row (leaf) or child (inner), 63 of them
 *   record             i32 row | i32 bytes long | bytes                         immutable
 *
 * A prefix is six bytes of the key as a whole number, so a binary search reads one dense run of doubles and looks into records
 * only where six bytes do not decide. In a leaf these are the bytes behind the first `skip`, which every key between the
 * leaf's fences shares: without it, eight-byte integers and texts with a common head would all tie. Inner pages have skip 0.
 *
 * A separator is the shortest head of the right neighbour's first key that tells it from the left one's last; if it has at
 * most six bytes the prefix holds it and the word is its length, else the word is the address of a record (never below 16).
 * Entry 0 of an inner page has none.
 *
 * Rows stand in the leaf besides the record, so a scan reads pages only. Keys are compared as bytes, shorter first. Padding
 * a short key with zeros does not change a comparison that the padded bytes decide; where they tie, the length does.
 */
import { assert } from '../base/assert.js'
import type { Region } from '../shared/region.js'
import { windowWords, wordsFor } from '../shared/region.js'

export const pageWords = 128
export const pageEntriesMax = 63
const prefixBytes = 6
export const countOffset = 2
const metaOffset = 3
export const prefixesAt = 2
/** Places in the page counted in 32-bit words: records or separators, rows or children. */
export const firstOffset = (prefixesAt + pageEntriesMax) * 2
export const secondOffset = firstOffset + pageEntriesMax

assert(secondOffset + pageEntriesMax <= pageWords * 2, 'a page holds its entries')

export const levelOf = (i32: Int32Array, page: number): number => i32[page * 2 + metaOffset]! & 0xff
export const skipOf = (i32: Int32Array, page: number): number => i32[page * 2 + metaOffset]! >>> 8
export const countOf = (i32: Int32Array, page: number): number => i32[page * 2 + countOffset]!

export function initPage(region: Region, page: number, level: number, skip: number, batch: number): void {
  region.f64[page] = batch
  region.i32[page * 2 + countOffset] = 0
  region.i32[page * 2 + metaOffset] = level | (skip << 8)
}

// ── records ─────────────────────────────────────────────────────────────────────────────────────────────────

export const recordWords = (length: number): number => 1 + wordsFor(length)
export const recordLength = (i32: Int32Array, record: number): number => i32[record * 2 + 1]!
/** Offset of a record's bytes in its window. */
export const bytesAt = (record: number): number => ((record & (windowWords - 1)) << 3) + 8

export function writeRecord(region: Region, record: number, row: number, key: Uint8Array, start: number, length: number): void {
  region.i32[record * 2] = row
  region.i32[record * 2 + 1] = length
  const window = region.windowOf(record)
  const at = bytesAt(record)
  for (let n = 0; n < length; n += 1) window[at + n] = key[start + n]!
}

/** The six bytes behind the first `skip` of a key, zeros where it ends before. */
export function prefixOf(key: Uint8Array, start: number, length: number, skip: number): number {
  const at = start + skip
  if (length >= skip + prefixBytes) {
    const high = (key[at]! << 16) | (key[at + 1]! << 8) | key[at + 2]!
    return high * 0x1000000 + ((key[at + 3]! << 16) | (key[at + 4]! << 8) | key[at + 5]!)
  }
  let prefix = 0
  for (let n = 0; n < prefixBytes; n += 1) prefix = prefix * 256 + (skip + n < length ? key[at + n]! : 0)
  return prefix
}

/** Record against key: negative, 0 or positive. The first `from` bytes, padded, are known to be equal. */
export function compareRecord(region: Region, record: number, key: Uint8Array, start: number, length: number, from: number): number {
  const window = region.windowOf(record)
  const at = bytesAt(record)
  const recordBytes = region.i32[record * 2 + 1]!
  const common = recordBytes < length ? recordBytes : length
  for (let n = from; n < common; n += 1) {
    const difference = window[at + n]! - key[start + n]!
    if (difference !== 0) return difference
  }
  return recordBytes - length
}

/** How many leading bytes two keys share. */
export function sharedBytes(a: Uint8Array, aStart: number, aLength: number, b: Uint8Array, bStart: number, bLength: number): number {
  const common = Math.min(aLength, bLength)
  let n = 0
  while (n < common && a[aStart + n] === b[bStart + n]) n += 1
  return n
}

// ── separators ──────────────────────────────────────────────────────────────────────────────────────────────

export const isSeparatorRecord = (word: number): boolean => word > prefixBytes
/** The word of a separator that needs no record, or -1. */
export const inlineSeparator = (length: number): number => (length <= prefixBytes ? length : -1)

/** Copies a separator's bytes out; answers their number. */
export function readSeparator(region: Region, page: number, index: number, out: Uint8Array): number {
  const word = region.i32[page * 2 + firstOffset + index]!
  if (isSeparatorRecord(word)) {
    const length = recordLength(region.i32, word)
    const window = region.windowOf(word)
    const at = bytesAt(word)
    for (let n = 0; n < length; n += 1) out[n] = window[at + n]!
    return length
  }
  const prefix = region.f64[page + prefixesAt + index]!
  for (let n = 0; n < word; n += 1) out[n] = Math.floor(prefix / 256 ** (prefixBytes - 1 - n)) % 256
  return word
}

// ── searching ───────────────────────────────────────────────────────────────────────────────────────────────

/** Leaf: the first place whose key is not below the sought one. The sought key lies between the fences of the leaf. */
export function lowerBound(region: Region, page: number, key: Uint8Array, start: number, length: number): number {
  const { f64, i32 } = region
  const skip = skipOf(i32, page)
  const sought = prefixOf(key, start, length, skip)
  const prefixes = page + prefixesAt
  const records = page * 2 + firstOffset
  const tied = skip + prefixBytes
  let low = 0
  let high = i32[page * 2 + countOffset]!
  // Ascending keys, the common case, end here.
  if (high > 0) {
    const last = f64[prefixes + high - 1]!
    if (last < sought) return high
    if (last === sought && compareRecord(region, i32[records + high - 1]!, key, start, length, tied) < 0) return high
  }
  while (low < high) {
    const middle = (low + high) >>> 1
    const prefix = f64[prefixes + middle]!
    if (prefix < sought) low = middle + 1
    else if (prefix > sought) high = middle
    else if (compareRecord(region, i32[records + middle]!, key, start, length, tied) < 0) low = middle + 1
    else high = middle
  }
  return low
}

/** Leaf: whether the entry at a place has exactly this key. */
export function isAt(region: Region, page: number, index: number, key: Uint8Array, start: number, length: number): boolean {
  const { i32 } = region
  return index < countOf(i32, page) && compareRecord(region, i32[page * 2 + firstOffset + index]!, key, start, length, 0) === 0
}

/** Inner page: the place of the child whose range holds the key: the last one whose separator is not above it. */
export function childIndex(region: Region, page: number, prefix: number, key: Uint8Array, start: number, length: number): number {
  const { f64, i32 } = region
  const prefixes = page + prefixesAt
  const separators = page * 2 + firstOffset
  let low = 1
  let high = i32[page * 2 + countOffset]!
  while (low < high) {
    const middle = (low + high) >>> 1
    const there = f64[prefixes + middle]!
    if (there < prefix) low = middle + 1
    else if (there > prefix) high = middle
    else {
      const word = i32[separators + middle]!
      const order = isSeparatorRecord(word) ? compareRecord(region, word, key, start, length, prefixBytes) : word - length
      if (order <= 0) low = middle + 1
      else high = middle
    }
  }
  return low - 1
}

/** Inner page: whether a key lies below the separator at a place. */
export function isBelowSeparator(region: Region, page: number, index: number, key: Uint8Array, length: number): boolean {
  const there = region.f64[page + prefixesAt + index]!
  const prefix = prefixOf(key, 0, length, 0)
  if (there !== prefix) return there > prefix
  const word = region.i32[page * 2 + firstOffset + index]!
  return (isSeparatorRecord(word) ? compareRecord(region, word, key, 0, length, prefixBytes) : word - length) > 0
}

// ── changing ────────────────────────────────────────────────────────────────────────────────────────────────

export function insertEntry(region: Region, page: number, index: number, prefix: number, first: number, second: number): void {
  const { f64, i32 } = region
  const count = i32[page * 2 + countOffset]!
  const prefixes = page + prefixesAt
  const firsts = page * 2 + firstOffset
  for (let n = count; n > index; n -= 1) {
    f64[prefixes + n] = f64[prefixes + n - 1]!
    i32[firsts + n] = i32[firsts + n - 1]!
    i32[firsts + pageEntriesMax + n] = i32[firsts + pageEntriesMax + n - 1]!
  }
  f64[prefixes + index] = prefix
  i32[firsts + index] = first
  i32[firsts + pageEntriesMax + index] = second
  i32[page * 2 + countOffset] = count + 1
}

export function removeEntry(region: Region, page: number, index: number): void {
  const { i32 } = region
  const count = i32[page * 2 + countOffset]! - 1
  copyEntries(region, page, index + 1, page, index, count - index)
  i32[page * 2 + countOffset] = count
}

/** Entries `from`, ... go to `to`, ...; upwards, so within a page only towards the front. */
function copyEntries(region: Region, page: number, from: number, target: number, to: number, entries: number): void {
  const { f64, i32 } = region
  const source = page + prefixesAt + from
  const destination = target + prefixesAt + to
  for (let n = 0; n < entries; n += 1) f64[destination + n] = f64[source + n]!
  const firsts = page * 2 + firstOffset + from
  const firstsTo = target * 2 + firstOffset + to
  for (let n = 0; n < entries; n += 1) {
    i32[firstsTo + n] = i32[firsts + n]!
    i32[firstsTo + pageEntriesMax + n] = i32[firsts + pageEntriesMax + n]!
  }
}

/**
 * A page of its own for the running batch. One `copyWithin` of all its words: 64 ns, where loops over the entries in use take
 * 200 (measured; the shifts inside a page are shorter, there loops win). As integers, so that no bit pattern is taken for NaN.
 */
export function copyPage(region: Region, page: number, to: number, batch: number): void {
  region.i32.copyWithin(to * 2, page * 2, (page + pageWords) * 2)
  region.f64[to] = batch
}

/** Moves the entries from `index` on to the (empty) page `right`. */
export function moveTail(region: Region, page: number, index: number, right: number): void {
  const { i32 } = region
  const entries = i32[page * 2 + countOffset]! - index
  copyEntries(region, page, index, right, 0, entries)
  i32[page * 2 + countOffset] = index
  i32[right * 2 + countOffset] = entries
}

/** Leaf: takes other bytes as prefixes. Reads every record, so only when the fences have moved. */
export function reskip(region: Region, page: number, skip: number): void {
  const { f64, i32 } = region
  i32[page * 2 + metaOffset] = levelOf(i32, page) | (skip << 8)
  for (let n = 0; n < countOf(i32, page); n += 1) {
    const record = i32[page * 2 + firstOffset + n]!
    f64[page + prefixesAt + n] = prefixOf(region.windowOf(record), bytesAt(record), recordLength(i32, record), skip)
  }
}
