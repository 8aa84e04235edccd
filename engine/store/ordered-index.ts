/**
 * The ordered index: a B+tree in the region, copied on write once per page per batch (R18).
 *
 *   cell (4 words)   ts f64 | undo i32, flags i32 | root i32, height i32 | entries f64          zero is an empty tree
 *
 * The cell is a versioned cell with the header of a row. The first change of a batch saves it; a page whose birth is not the
 * running batch is copied before it is changed, and the old one retired. So the root of any sealed batch leads to pages that
 * nobody changes any more: snapshots, long scans and dead workers need nothing else. Keys end in the primary key (R19), so
 * they are unique and no tie is broken by address. Pages and records: see ordered-page.ts.
 *
 * Protocol. A transaction keeps one Int32 for each change in its journal, and undoes them in reverse order, in the same batch:
 *
 *   reserve(length); record = insert(key, length, row, batch)          undone by   undoInsert(record, batch)
 *   reserveRemove(); removal = remove(key, length, batch)              undone by   undoRemove(removal, batch)
 *
 * `removal` is the retire record that will free the entry when nobody can look any more; undoing takes that record back and
 * links the very same entry again. An undone insert gives its entry back at once: no thread but ours has seen it.
 *
 * Undoing allocates nothing and cannot fail (R11):
 *   T1  Every page from the root to a changed entry was born in this batch: the change copied that path, and what splits off
 *       a page of the batch, or is put above it, is born in the batch too. So no page is copied.
 *   T2  No page is split. Between a removal and its undoing, pages are only split, never joined, and the contents go back to
 *       what they were right after the removal. Then the leaf that takes the entry back holds a part of what the leaf it left
 *       held without it, which is at most one less than full.
 *   T3  An undone insert only takes an entry out.
 *
 * Keys often ascend: the lines of an order, a log. The handle remembers the leaf of its last insert, a finger, and a key that belongs
 * there too is entered without a search from the root.
 *
 *   T6  A finger is used in the batch it was set in and under the root it was set under. What moves fences, takes entries out or
 *       copies pages forgets it: splits, removals, undoing, trimming. A batch that was rolled back has another root, for pages of
 *       the run before are given up and not handed out again.
 *
 * Leaves that become empty stay where they are, for T2. A removal that empties its leaf is retired as `retireKind.leaf`
 * with (cell, record): the reclaimer hands it to `trim`, which unlinks the leaf, and pages left without children, at the
 * start of a batch. An undone insert that empties a leaf (the bulk of an aborted transaction) leaves such a note if there is
 * room for it. `trim` may decline when space is out; then the note goes round once more. So a queue (insert at one end, delete at
 * the other) takes what its entries take. Half-empty leaves are not joined: it would double the cost of a delete.
 *
 *   T4  `trim` runs after `beginBatch(batch)` and before the batch changes anything else: before `beginBatch` a rollback would
 *       not find the saved root; later it would break T2.
 *   T5  All keys between the fences of a leaf share its first `skip` bytes. Fences only close in (splits) until `trim`
 *       widens a neighbour, whose edge leaf then gets a smaller skip.
 */
import { assert } from '../base/assert.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { Region } from '../shared/region.js'
import { type Domain, headerWords, outOfSpace, retireKind, roundedWords } from './domain.js'
import { Cursor, type KeyRange, type SnapshotGuard } from './ordered-cursor.js'
import { checkOrdered, type OrderedVisitor } from './ordered-check.js'
import {
  bytesAt, childIndex, copyPage, countOf, firstOffset, initPage, inlineSeparator, insertEntry, isAt, isBelowSeparator, isSeparatorRecord,
  levelOf, lowerBound, moveTail, pageEntriesMax, pageWords, prefixesAt, prefixOf, readSeparator, recordLength, recordWords,
  removeEntry, reskip, secondOffset, sharedBytes, skipOf, writeRecord,
} from './ordered-page.js'

export const orderedCellWords = 4
const undoOffset = 2
const rootOffset = headerWords * 2
const heightOffset = rootOffset + 1
const entriesAt = headerWords + 1

/** Index columns and primary key with their tags and escapes. */
export const orderedKeyBytesMax = 2 * limits.keyBytesMax + 256
/** 31 children at least come and go before a level is added: this is never reached. */
export const heightMax = 16
const chainLookEvery = 64
/** The record of the entry and that of one separator, as the domain rounds them. */
const recordsToInsert = (keyLength: number): number => roundedWords(recordWords(keyLength)) + separatorWordsMax
const separatorWordsMax = roundedWords(recordWords(orderedKeyBytesMax))
const splitAt = (pageEntriesMax + 1) >>> 1

export class OrderedIndex {
  readonly cell: number
  readonly #region: Region
  readonly #domain: Domain
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #gatherer: Cursor
  /** T6: the leaf of the last insert, or 0; its root and batch; the page and place of the separator above it, or page 0. */
  #finger = 0
  #fingerRoot = 0
  #fingerBatch = 0
  #fingerUpperPage = 0
  #fingerUpperIndex = 0
  /** The way from the root to a leaf: pages, and which child was taken in each. Scratch of one operation. */
  readonly #path = new Int32Array(heightMax)
  readonly #taken = new Int32Array(heightMax)
  readonly #lower = new Uint8Array(orderedKeyBytesMax)
  readonly #upper = new Uint8Array(orderedKeyBytesMax)

  /** `cell`: `orderedCellWords` words of the region; zeroed words are an empty tree. */
  constructor(region: Region, domain: Domain, cell: number) {
    this.#region = region
    this.#domain = domain
    this.#i32 = region.i32
    this.#f64 = region.f64
    this.cell = cell
    this.#gatherer = new Cursor(region)
  }

  /** Whose memory it takes: of its partition, or the global one. */
  get domain(): Domain {
    return this.#domain
  }

  // ── roots ─────────────────────────────────────────────────────────────────────────────────────────────

  /** The root as the lane sees it, or 0. */
  rootNow(): number {
    return this.#i32[this.cell * 2 + rootOffset]!
  }
  entriesNow(): number {
    return this.#f64[this.cell + entriesAt]!
  }
  get height(): number {
    return this.#i32[this.cell * 2 + heightOffset]!
  }

  /** The root that a snapshot sees, or 0. Any thread, wait-free: first the root, then ts, then undo (R12). */
  rootAt(snapshot: number, guard?: SnapshotGuard): number {
    this.#region.fence()
    const root = this.#i32[this.cell * 2 + rootOffset]!
    if (this.#f64[this.cell]! <= snapshot) return root
    const image = this.#imageAt(snapshot, guard)
    return image === 0 ? 0 : this.#i32[image * 2 + rootOffset]!
  }

  entriesAt(snapshot: number, guard?: SnapshotGuard): number {
    this.#region.fence()
    const entries = this.#f64[this.cell + entriesAt]!
    if (this.#f64[this.cell]! <= snapshot) return entries
    const image = this.#imageAt(snapshot, guard)
    return image === 0 ? 0 : this.#f64[image + entriesAt]!
  }

  #imageAt(snapshot: number, guard: SnapshotGuard | undefined): number {
    let image = this.#i32[this.cell * 2 + undoOffset]!
    for (let steps = 1; image !== 0 && !(this.#f64[image]! <= snapshot); steps += 1) {
      image = this.#i32[image * 2 + undoOffset]!
      if (steps % chainLookEvery === 0) guard?.check() // R15: the chain of an expired snapshot may be a circle
    }
    return image
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────

  /** The row of exactly this key, or 0. */
  find(root: number, key: Uint8Array, length: number): number {
    if (root === 0) return 0
    const leaf = this.#path[this.#descend(root, key, 0, length)]!
    const index = lowerBound(this.#region, leaf, key, 0, length)
    return isAt(this.#region, leaf, index, key, 0, length) ? this.#i32[leaf * 2 + secondOffset + index]! : 0
  }

  /** Appends the rows of a range to `out`, at most `limit`; answers how many. */
  gather(root: number, range: KeyRange, limit: number, out: number[], guard?: SnapshotGuard): number {
    this.#gatherer.seek(root, range, guard)
    return this.#gatherer.gather(limit, out)
  }

  /** Proves the tree that the lane sees. */
  check(visitor: OrderedVisitor = {}): void {
    checkOrdered(this.#region, this.rootNow(), this.height, this.entriesNow(), this.#f64[this.cell]!, visitor)
  }

  // ── reserving ─────────────────────────────────────────────────────────────────────────────────────────

  /** Words of the domain that one `insert` can take, for callers who reserve for several changes at once. */
  wordsToInsert(keyLength: number): number {
    return (this.height * 2 + 2) * pageWords + recordsToInsert(keyLength)
  }
  /** Retire records that one `insert` or `remove` can take. */
  retiresToChange(): number {
    return this.height + 1
  }

  /** Room for one `insert` of a key of so many bytes. Throws OUT_OF_SPACE unchanged (R5). */
  reserve(keyLength: number): void {
    assert(keyLength <= orderedKeyBytesMax, 'the entries of an index are bounded')
    this.#domain.reserveVersion(orderedCellWords, this.retiresToChange())
    if (!this.#tryReserve(this.height * 2 + 2, recordsToInsert(keyLength))) {
      throw outOfSpace(this.#region, this.wordsToInsert(keyLength))
    }
  }

  /** Room for one `remove`. In a full region it needs only as many free pages as the tree is high. */
  reserveRemove(): void {
    this.#domain.reserveVersion(orderedCellWords, this.retiresToChange())
    if (!this.#tryReserve(this.height, 0)) throw outOfSpace(this.#region, this.height * pageWords)
  }

  #tryReserve(pages: number, words: number): boolean {
    const domain = this.#domain
    if (domain.tryReserveRounded(pages * pageWords + words)) return true
    return domain.tryReserveRounded(domain.shortfall(pageWords, pages) + words)
  }

  // ── changing ──────────────────────────────────────────────────────────────────────────────────────────

  /** Adds an absent key. Needs `reserve(length)`. Answers the record, to be kept for `undoInsert`. */
  insert(key: Uint8Array, length: number, row: number, batch: number): number {
    this.#touch(batch)
    const record = this.#domain.allocate(recordWords(length))
    writeRecord(this.#region, record, row, key, 0, length)
    if (!this.#enterAtFinger(record, row, key, length, batch)) this.#link(record, row, key, 0, length, batch)
    return record
  }

  /** Enters a key next to the last one, if that is where it belongs. */
  #enterAtFinger(record: number, row: number, key: Uint8Array, length: number, batch: number): boolean {
    const leaf = this.#finger
    if (leaf === 0 || this.#fingerBatch !== batch || this.#fingerRoot !== this.rootNow()) return false
    const region = this.#region
    const i32 = this.#i32
    const count = countOf(i32, leaf)
    const skip = skipOf(i32, leaf)
    if (count === pageEntriesMax || length < skip) return false
    // T5: whoever does not share these bytes is outside of the fences, and would be compared by the wrong ones.
    const other = i32[leaf * 2 + firstOffset + count - 1]!
    if (sharedBytes(region.windowOf(other), bytesAt(other), skip, key, 0, skip) < skip) return false
    const index = lowerBound(region, leaf, key, 0, length)
    // Between two entries is between the fences; before the first one nobody knows.
    if (index === 0 || (index === count && !this.#isBelowUpper(key, length))) return false
    insertEntry(region, leaf, index, prefixOf(key, 0, length, skip), record, row)
    this.#f64[this.cell + entriesAt]! += 1
    return true
  }

  #isBelowUpper(key: Uint8Array, length: number): boolean {
    const page = this.#fingerUpperPage
    return page === 0 || isBelowSeparator(this.#region, page, this.#fingerUpperIndex, key, length)
  }

  /** The path leads to a leaf that has just taken an entry. */
  #setFinger(depth: number, batch: number): void {
    this.#finger = this.#path[depth]!
    this.#fingerRoot = this.rootNow()
    this.#fingerBatch = batch
    this.#fingerUpperPage = 0
    for (let d = depth - 1; d >= 0; d -= 1) {
      const index = this.#taken[d]! + 1
      if (index >= countOf(this.#i32, this.#path[d]!)) continue
      this.#fingerUpperPage = this.#path[d]!
      this.#fingerUpperIndex = index
      return
    }
  }

  /**
   * Adds a key above all others, for who builds a tree: no search, no reservation, no undoing. Begin with leaf 0 and pass on what the
   * call before answered, as long as nothing else is done to the tree. Keys begin at `start`.
   */
  append(leaf: number, key: Uint8Array, start: number, length: number, row: number, batch: number): number {
    const region = this.#region
    this.#finger = 0
    const record = this.#domain.allocate(recordWords(length))
    writeRecord(region, record, row, key, start, length)
    const count = leaf === 0 ? pageEntriesMax : countOf(this.#i32, leaf)
    if (count === pageEntriesMax) {
      this.#touch(batch)
      this.#link(record, row, key, start, length, batch)
      return this.#path[this.#descend(this.rootNow(), key, start, length)]!
    }
    insertEntry(region, leaf, count, prefixOf(key, start, length, skipOf(this.#i32, leaf)), record, row)
    this.#f64[this.cell + entriesAt]! += 1
    return leaf
  }

  /** Takes a key out. Needs `reserveRemove()`. Answers the removal, to be kept for `undoRemove`, or 0: no such key. */
  remove(key: Uint8Array, length: number, batch: number): number {
    const root = this.rootNow()
    if (root === 0) return 0
    this.#finger = 0
    const depth = this.#descend(root, key, 0, length)
    const index = lowerBound(this.#region, this.#path[depth]!, key, 0, length)
    if (!isAt(this.#region, this.#path[depth]!, index, key, 0, length)) return 0
    this.#touch(batch)
    this.#own(depth, batch)
    const leaf = this.#path[depth]!
    const record = this.#i32[leaf * 2 + firstOffset + index]!
    this.#unlink(leaf, index)
    if (countOf(this.#i32, leaf) === 0) return this.#domain.retire(retireKind.leaf, this.cell, record)
    return this.#domain.retireBlock(record, recordWords(length))
  }

  /** The record of a removal: its key. */
  recordOf(removal: number): number {
    return this.#removedRecord(removal)
  }
  /** The key of a record, as the caller's own. */
  keyOf(record: number): Uint8Array {
    const from = bytesAt(record)
    return this.#region.windowOf(record).slice(from, from + recordLength(this.#i32, record))
  }

  /** The row of a removal. */
  rowOf(removal: number): number {
    return this.#i32[this.#removedRecord(removal) * 2]!
  }

  undoInsert(record: number, batch: number): void {
    this.#finger = 0
    const region = this.#region
    const key = region.windowOf(record)
    const start = bytesAt(record)
    const length = recordLength(this.#i32, record)
    const depth = this.#descend(this.rootNow(), key, start, length)
    const leaf = this.#path[depth]!
    const index = lowerBound(region, leaf, key, start, length)
    assert(this.#i32[leaf * 2 + firstOffset + index] === record && this.#f64[leaf] === batch, 'T1: what is undone is in a page of its batch')
    this.#unlink(leaf, index)
    if (countOf(this.#i32, leaf) === 0 && this.#roomToRetire()) this.#domain.retire(retireKind.leaf, this.cell, record)
    else this.#domain.release(record, recordWords(length))
  }

  undoRemove(removal: number, batch: number): void {
    this.#finger = 0
    const record = this.#removedRecord(removal)
    this.#domain.unretire(removal)
    const key = this.#region.windowOf(record)
    const start = bytesAt(record)
    const length = recordLength(this.#i32, record)
    const depth = this.#descend(this.rootNow(), key, start, length)
    const leaf = this.#path[depth]!
    assert(this.#f64[leaf] === batch && countOf(this.#i32, leaf) < pageEntriesMax, 'T1, T2: a removed entry finds its place again')
    this.#enter(leaf, record, this.#i32[record * 2]!, key, start, length)
    this.#f64[this.cell + entriesAt]! += 1
  }

  #removedRecord(removal: number): number {
    const at = removal * 2
    return this.#i32[at] === retireKind.leaf ? this.#i32[at + 2]! : this.#i32[at + 1]!
  }

  #touch(batch: number): void {
    if (this.#f64[this.cell] !== batch) this.#domain.saveVersion(this.cell, orderedCellWords, batch)
  }

  #setRoot(root: number, height: number): void {
    this.#i32[this.cell * 2 + rootOffset] = root
    this.#i32[this.cell * 2 + heightOffset] = height
  }

  #newPage(level: number, skip: number, batch: number): number {
    const page = this.#domain.allocate(pageWords)
    initPage(this.#region, page, level, skip, batch)
    return page
  }

  /** Fills the path; answers the depth of the leaf. */
  #descend(root: number, key: Uint8Array, start: number, length: number): number {
    const i32 = this.#i32
    const prefix = prefixOf(key, start, length, 0)
    let page = root
    let depth = 0
    for (let level = levelOf(i32, root); level > 0; level -= 1) {
      const index = childIndex(this.#region, page, prefix, key, start, length)
      this.#path[depth] = page
      this.#taken[depth] = index
      depth += 1
      page = i32[page * 2 + secondOffset + index]!
    }
    this.#path[depth] = page
    return depth
  }

  /** Makes the path writable: pages of this batch stay (and so do all above them, T1), others are copied. */
  #own(depth: number, batch: number): void {
    let owned = depth
    while (owned >= 0 && this.#f64[this.#path[owned]!] !== batch) owned -= 1
    for (let d = owned + 1; d <= depth; d += 1) {
      const page = this.#path[d]!
      const copy = this.#domain.allocate(pageWords)
      copyPage(this.#region, page, copy, batch)
      this.#domain.retireBlock(page, pageWords)
      this.#path[d] = copy
      if (d === 0) this.#i32[this.cell * 2 + rootOffset] = copy
      else this.#i32[this.#path[d - 1]! * 2 + secondOffset + this.#taken[d - 1]!] = copy
    }
  }

  #link(record: number, row: number, key: Uint8Array, start: number, length: number, batch: number): void {
    let root = this.rootNow()
    if (root === 0) {
      root = this.#newPage(0, 0, batch)
      this.#setRoot(root, 1)
    }
    const depth = this.#descend(root, key, start, length)
    this.#own(depth, batch)
    const leaf = this.#path[depth]!
    if (countOf(this.#i32, leaf) < pageEntriesMax) {
      this.#enter(leaf, record, row, key, start, length)
      this.#setFinger(depth, batch)
    } else {
      this.#finger = 0
      this.#split(depth, record, row, key, start, length, batch)
    }
    this.#f64[this.cell + entriesAt]! += 1
  }

  #enter(leaf: number, record: number, row: number, key: Uint8Array, start: number, length: number): void {
    const index = lowerBound(this.#region, leaf, key, start, length)
    insertEntry(this.#region, leaf, index, prefixOf(key, start, length, skipOf(this.#i32, leaf)), record, row)
  }

  #unlink(leaf: number, index: number): void {
    removeEntry(this.#region, leaf, index)
    this.#f64[this.cell + entriesAt]! -= 1
  }

  /** Splits a full leaf in the middle; behind its last entry when keys ascend, which leaves it full. */
  #split(depth: number, record: number, row: number, key: Uint8Array, start: number, length: number, batch: number): void {
    const region = this.#region
    const i32 = this.#i32
    const leaf = this.#path[depth]!
    const skip = skipOf(i32, leaf)
    const index = lowerBound(region, leaf, key, start, length)
    const right = this.#newPage(0, skip, batch)
    const at = index === pageEntriesMax ? index : splitAt
    moveTail(region, leaf, at, right)
    const prefix = prefixOf(key, start, length, skip)
    if (index > at || index === pageEntriesMax) insertEntry(region, right, index - at, prefix, record, row)
    else insertEntry(region, leaf, index, prefix, record, row)

    const a = i32[leaf * 2 + firstOffset + countOf(i32, leaf) - 1]!
    const b = i32[right * 2 + firstOffset]!
    const bytes = region.windowOf(b)
    const from = bytesAt(b)
    const aBytes = region.windowOf(a)
    const separatorLength = sharedBytes(aBytes, bytesAt(a), recordLength(i32, a), bytes, from, recordLength(i32, b)) + 1
    assert(separatorLength <= recordLength(i32, b), 'R19: keys are unique')

    const lowerLength = this.#fence(depth, false, this.#lower)
    const upperLength = this.#fence(depth, true, this.#upper)
    const leftSkip = lowerLength < 0 ? 0 : sharedBytes(this.#lower, 0, lowerLength, bytes, from, separatorLength)
    const rightSkip = upperLength < 0 ? 0 : sharedBytes(this.#upper, 0, upperLength, bytes, from, separatorLength)
    if (leftSkip !== skip) reskip(region, leaf, leftSkip)
    if (rightSkip !== skip) reskip(region, right, rightSkip)

    let word = inlineSeparator(separatorLength)
    if (word < 0) {
      word = this.#domain.allocate(recordWords(separatorLength))
      writeRecord(region, word, 0, bytes, from, separatorLength)
    }
    this.#linkChild(depth - 1, prefixOf(bytes, from, separatorLength, 0), word, right, batch)
  }

  /** Puts a new page behind the one that the path took, and splits upwards as needed. Separators move, none is copied. */
  #linkChild(depth: number, prefix: number, separator: number, child: number, batch: number): void {
    const region = this.#region
    const i32 = this.#i32
    for (let d = depth; d >= 0; d -= 1) {
      const page = this.#path[d]!
      const index = this.#taken[d]! + 1
      if (countOf(i32, page) < pageEntriesMax) return insertEntry(region, page, index, prefix, separator, child)
      const right = this.#newPage(levelOf(i32, page), 0, batch)
      if (index === pageEntriesMax) {
        insertEntry(region, right, 0, 0, 0, child)
      } else {
        moveTail(region, page, splitAt, right)
        const upPrefix = this.#f64[right + prefixesAt]!
        const upSeparator = i32[right * 2 + firstOffset]!
        this.#f64[right + prefixesAt] = 0
        i32[right * 2 + firstOffset] = 0
        if (index <= splitAt) insertEntry(region, page, index, prefix, separator, child)
        else insertEntry(region, right, index - splitAt, prefix, separator, child)
        prefix = upPrefix
        separator = upSeparator
      }
      child = right
    }
    const root = this.rootNow()
    const above = this.#newPage(levelOf(i32, root) + 1, 0, batch)
    insertEntry(region, above, 0, 0, 0, root)
    insertEntry(region, above, 1, prefix, separator, child)
    assert(this.height + 1 < heightMax, 'a tree is never so high')
    this.#setRoot(above, this.height + 1)
  }

  /** The bytes of the nearest separator below or above the page at a depth of the path, or -1: none, it is the outermost. */
  #fence(depth: number, upper: boolean, out: Uint8Array): number {
    for (let d = depth - 1; d >= 0; d -= 1) {
      const index = this.#taken[d]! + (upper ? 1 : 0)
      if (index > 0 && index < countOf(this.#i32, this.#path[d]!)) return readSeparator(this.#region, this.#path[d]!, index, out)
    }
    return -1
  }

  // ── trimming ──────────────────────────────────────────────────────────────────────────────────────────

  /**
   * For the reclaimer, for every `retireKind.leaf` record of this cell (T4): unlinks the leaf of that key if it is still
   * empty. Takes over the record. Never throws for want of space.
   */
  trim(record: number, batch: number): void {
    this.#finger = 0
    const root = this.rootNow()
    const depth = root === 0 ? 0 : this.#descend(root, this.#region.windowOf(record), bytesAt(record), recordLength(this.#i32, record))
    if (root !== 0 && countOf(this.#i32, this.#path[depth]!) === 0) {
      if (!this.#roomToTrim()) {
        if (this.#roomToRetire()) {
          this.#domain.retire(retireKind.leaf, this.cell, record)
          return
        }
      } else this.#unlinkLeaf(depth, batch)
    }
    this.#domain.release(record, recordWords(recordLength(this.#i32, record)))
  }

  #roomToTrim(): boolean {
    const height = this.height
    try {
      // The path and the edge of the neighbour copied; all that is taken out, and levels that vanish.
      this.#domain.reserveVersion(orderedCellWords, height * 4 + 2)
    } catch (error) {
      if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
      return false
    }
    return this.#tryReserve(height * 2, 0)
  }

  #roomToRetire(): boolean {
    try {
      this.#domain.reserveVersion(0, 1)
      return true
    } catch (error) {
      if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
      return false
    }
  }

  #unlinkLeaf(depth: number, batch: number): void {
    this.#touch(batch)
    const i32 = this.#i32
    // The highest page that would be left without children goes, with all below it.
    let top = depth
    while (top > 0 && countOf(i32, this.#path[top - 1]!) === 1) top -= 1
    for (let d = top; d <= depth; d += 1) this.#dropPage(this.#path[d]!, batch)
    if (top === 0) {
      assert(this.entriesNow() === 0, 'a tree without leaves has no entries')
      this.#setRoot(0, 0)
      return
    }
    this.#own(top - 1, batch)
    const parent = this.#path[top - 1]!
    const index = this.#taken[top - 1]!
    // Child 0 has no separator of its own: without it, the one of its neighbour is not needed.
    const gone = i32[parent * 2 + firstOffset + Math.max(index, 1)]!
    const neighbour = Math.max(index - 1, 0)
    removeEntry(this.#region, parent, index)
    if (index === 0) {
      this.#f64[parent + prefixesAt] = 0
      i32[parent * 2 + firstOffset] = 0
    }
    if (isSeparatorRecord(gone)) this.#domain.retireBlock(gone, recordWords(recordLength(i32, gone)))
    this.#widen(top - 1, neighbour, index > 0, batch)
    this.#collapse(batch)
  }

  /** The child that took over a range: its edge leaf shares no more bytes than the new fences of the child do (T5). */
  #widen(depth: number, child: number, toTheRight: boolean, batch: number): void {
    const i32 = this.#i32
    this.#taken[depth] = child
    let d = depth
    for (let level = levelOf(i32, this.#path[depth]!); level > 0; level -= 1) {
      d += 1
      this.#path[d] = i32[this.#path[d - 1]! * 2 + secondOffset + this.#taken[d - 1]!]!
      this.#taken[d] = toTheRight ? countOf(i32, this.#path[d]!) - 1 : 0
    }
    const lowerLength = this.#fence(d, false, this.#lower)
    const upperLength = this.#fence(d, true, this.#upper)
    const skip = lowerLength < 0 || upperLength < 0 ? 0 : sharedBytes(this.#lower, 0, lowerLength, this.#upper, 0, upperLength)
    if (skipOf(i32, this.#path[d]!) <= skip) return
    this.#own(d, batch)
    reskip(this.#region, this.#path[d]!, skip)
  }

  /** A root with one child is no root. */
  #collapse(batch: number): void {
    const i32 = this.#i32
    for (let root = this.rootNow(); levelOf(i32, root) > 0 && countOf(i32, root) === 1; root = this.rootNow()) {
      this.#setRoot(i32[root * 2 + secondOffset]!, this.height - 1)
      this.#dropPage(root, batch)
    }
  }

  /** A page of this batch was never seen by another thread. */
  #dropPage(page: number, batch: number): void {
    if (this.#f64[page] === batch) this.#domain.release(page, pageWords)
    else this.#domain.retireBlock(page, pageWords)
  }
}
