/**
 * Walks a whole tree of an ordered index and proves what ordered-index.ts promises. Run after every test and by `check`.
 *
 * Proven: levels fall by one to the leaves; no page is met twice or born after the root's batch; pages are within their size;
 * inner pages have a child; keys ascend strictly over all leaves and lie between their fences; a prefix is the prefix of its
 * record; the skipped bytes are shared by both fences; separators are what their words say; the row of an entry is the
 * row of its record; the number of entries is the cell's.
 */
import { assert } from '../base/assert.js'
import type { Region } from '../shared/region.js'
import {
  bytesAt, countOf, firstOffset, isSeparatorRecord, levelOf, pageEntriesMax, prefixesAt, prefixOf, readSeparator, recordLength,
  secondOffset, sharedBytes, skipOf,
} from './ordered-page.js'

export interface OrderedVisitor {
  page?(page: number): void
  separator?(record: number): void
  entry?(record: number, row: number, key: Uint8Array): void
}

/** A fence; undefined is outermost. */
type Fence = Uint8Array | undefined

export function checkOrdered(region: Region, root: number, height: number, entries: number, batch: number, visitor: OrderedVisitor): void {
  const { f64, i32 } = region
  const seen = new Set<number>()
  let found = 0
  let before: Fence
  const scratch = new Uint8Array(2 ** 16)

  const walk = (page: number, level: number, lower: Fence, upper: Fence): void => {
    assert(!seen.has(page), 'a page has one parent')
    seen.add(page)
    assert(levelOf(i32, page) === level, 'levels fall by one')
    assert(f64[page]! <= batch, 'no page is younger than its root')
    const count = countOf(i32, page)
    assert(count >= (level > 0 ? 1 : 0) && count <= pageEntriesMax, 'a page is within its size')
    visitor.page?.(page)
    if (level === 0) walkLeaf(page, count, lower, upper)
    else walkInner(page, count, level, lower, upper)
  }

  const walkInner = (page: number, count: number, level: number, lower: Fence, upper: Fence): void => {
    assert(skipOf(i32, page) === 0, 'inner pages skip nothing')
    assert(i32[page * 2 + firstOffset] === 0, 'child 0 has no separator')
    let low = lower
    for (let n = 0; n < count; n += 1) {
      let high = upper
      if (n + 1 < count) {
        high = scratch.slice(0, readSeparator(region, page, n + 1, scratch))
        const word = i32[page * 2 + firstOffset + n + 1]!
        assert(isSeparatorRecord(word) === high.length > 6 && high.length > 0, 'short separators need no record')
        assert(f64[page + prefixesAt + n + 1] === prefixOf(high, 0, high.length, 0), 'a separator has its prefix')
        if (isSeparatorRecord(word)) visitor.separator?.(word)
        assert((low === undefined || compare(low, high) < 0) && (upper === undefined || compare(high, upper) < 0), 'separators ascend between the fences')
      }
      walk(i32[page * 2 + secondOffset + n]!, level - 1, low, high)
      low = high
    }
  }

  const walkLeaf = (page: number, count: number, lower: Fence, upper: Fence): void => {
    const skip = skipOf(i32, page)
    const shared = lower === undefined || upper === undefined ? 0 : sharedBytes(lower, 0, lower.length, upper, 0, upper.length)
    assert(skip <= shared, 'T5: the fences share what the leaf skips')
    for (let n = 0; n < count; n += 1) {
      const record = i32[page * 2 + firstOffset + n]!
      const from = bytesAt(record)
      const key = region.windowOf(record).slice(from, from + recordLength(i32, record))
      assert(f64[page + prefixesAt + n] === prefixOf(key, 0, key.length, skip), 'an entry has the prefix of its record')
      assert(before === undefined || compare(before, key) < 0, 'keys ascend')
      assert((lower === undefined || compare(lower, key) <= 0) && (upper === undefined || compare(key, upper) < 0), 'a key lies between its fences')
      const row = i32[page * 2 + secondOffset + n]!
      assert(row === i32[record * 2], 'leaf and record name one row')
      visitor.entry?.(record, row, key)
      before = key
      found += 1
    }
  }

  if (root !== 0) walk(root, height - 1, undefined, undefined)
  assert(found === entries, 'the cell counts the entries')
  assert(root !== 0 || height === 0, 'an empty tree has no height')
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const shared = sharedBytes(a, 0, a.length, b, 0, b.length)
  return shared < a.length && shared < b.length ? a[shared]! - b[shared]! : a.length - b.length
}
