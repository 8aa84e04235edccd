/**
 * Row images into an empty store: recovery lays down what a checkpoint and the log hold, without making a value of it.
 *
 *   add      changes wait, table by table, up to 128 of them; their images must stay where they are until `flush`
 *   look     partition and hash from the cells (row-loader-compile.ts), then the places of the hash index, then the rows
 *   change   a slot, a copy of words, blocks for long values, an entry in the hash index, the count
 *   end      the trees, from the rows that are there (tree-builder.ts)
 *
 * An image is the row but for its header and the addresses of its long values (row-image.ts). There is no journal, no version, nothing
 * retired but outgrown pieces of an index: nobody reads meanwhile, every row is of one batch that every snapshot sees, and
 * what is replaced is free at once. Trees are not touched on the way: a row that changed a thousand times enters its trees once.
 *
 * The profile of a log of transfers is one of cache misses, three for each change. Looking for a whole group at once, so that they
 * overlap, made 1.6 M transfers a second of 1.0 M; groups of 32 or 512 are no better than 128.
 *
 * Invariants:
 *   L1  Between the first change and `end` nobody else works in the tables that were loaded, and nobody reads their trees.
 *   L2  No row in a hash index is deleted: a delete frees row, entry and long values at once.
 *   L3  A row of a loader is what `RowWriter` would have made of the same changes, but for addresses (tests compare).
 *   L4  What `look` found holds until the group deletes a row (the slot may be another's) or inserts one (the key may be there now);
 *       then the row is looked for once more.
 *
 * OUT_OF_SPACE may come in the middle of a change and leaves the store useless: whoever recovers gives it up. That spares every
 * reservation.
 */
import { assert } from '../base/assert.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { inlineBytesMax, lengthMask, rowHeaderWords } from '../schema/row-layout.js'
import { Region, wordsFor } from '../shared/region.js'
import { classOf, type Domain, headerWords } from './domain.js'
import { CellMemory, longAddress, RowCodec } from './row-codec.js'
import { layImage } from './row-image.js'
import { compileImageReader, type ImageReader } from './row-loader-compile.js'
import type { Store } from './store.js'
import type { TablePart, TableStore } from './table-store.js'
import { TreeBuilder } from './tree-builder.js'

const headerInts = rowHeaderWords * 2

/** What is done with a row: the numbers of the log, and `put` for rows that may be there or not. */
export const loadKind = { insert: 1, update: 2, delete: 3, put: 4 } as const

const groupChanges = 128
/** What indexes that grow leave behind, in words, is freed when it is as much. */
const retiredWordsMax = limits.extentBytesMax / 8
const filterBits = 8

/** Where the images of a group are, and what is known of its changes: shared, since one table at a time makes its changes. */
interface Group {
  ints: Int32Array
  bytes: Uint8Array
  /** The tables whose changes wait. */
  readonly waiting: TableLoader[]
  readonly partitions: Int32Array
  readonly hashes: Int32Array
  readonly parts: TablePart[]
  /** Where to look: first for the hash, then for the row. */
  readonly near: Int32Array
  /** By the low bits of their hashes: keys that the group has inserted. */
  readonly inserted: Uint8Array
  /** Nobody asks for it; it makes the loads that are only made to have things near count. */
  seen: number
}

export class RowLoader {
  readonly #store: Store
  readonly #batch: number
  readonly #tables: ReadonlyMap<string, TableLoader>
  readonly #group: Group = {
    ints: new Int32Array(0),
    bytes: new Uint8Array(0),
    waiting: [],
    partitions: new Int32Array(groupChanges),
    hashes: new Int32Array(groupChanges),
    parts: [],
    near: new Int32Array(groupChanges),
    inserted: new Uint8Array(2 ** filterBits),
    seen: 0,
  }

  /** `batch`: older than every batch that was or will be. */
  constructor(store: Store, batch: number) {
    this.#store = store
    this.#batch = batch
    this.#tables = new Map(store.tables.map((table) => [table.name, new TableLoader(table, batch, this.#group)]))
    for (const domain of store.domains) domain.beginBatch()
  }

  /** The loader of a table, by its full name. */
  table(name: string): TableLoader | undefined {
    return this.#tables.get(name)
  }

  /** The images of the changes that follow, up to `flush`, stand in `ints`, of which `bytes` is the same memory. */
  begin(ints: Int32Array, bytes: Uint8Array): void {
    assert(this.#group.waiting.length === 0, 'changes are made before their images go')
    this.#group.ints = ints
    this.#group.bytes = bytes
  }

  /** Makes the changes that wait: before their images go, and before the rows are read. */
  flush(): void {
    for (const table of this.#group.waiting) table.flush()
    this.#group.waiting.length = 0
    for (const domain of this.#store.domains) if (domain.keptWords() > retiredWordsMax) this.#reclaim(domain)
  }

  /** After `end`: what a unique index would refuse of the rows that are there. */
  twice: SluiceError | undefined

  /** All rows are there: builds the trees of the tables that were loaded. */
  end(): void {
    const builder = new TreeBuilder(this.#batch)
    for (const loader of this.#tables.values()) {
      if (loader.isLoaded) builder.build(loader.table)
    }
    this.twice = builder.twice
    this.reclaim()
  }

  /** Frees what was retired in all domains: nobody can look at it. */
  reclaim(): void {
    for (const domain of this.#store.domains) this.#reclaim(domain)
  }

  #reclaim(domain: Domain): void {
    domain.endBatch(this.#batch)
    this.#store.reclaimAll(domain, this.#batch)
    domain.beginBatch()
  }
}

export class TableLoader {
  readonly table: TableStore
  readonly #batch: number
  readonly #group: Group
  #reader: ImageReader | undefined
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  /** Of the vars, by place: offset of the cell from the row, and the address that its next value gets. */
  readonly #varsAt: readonly number[]
  readonly #addresses: number[]
  readonly #imageInts: number
  // Changes that wait: their kinds, and where their images begin and how long they are.
  #count = 0
  #isWaiting = false
  readonly #kinds = new Int32Array(groupChanges)
  readonly #places = new Int32Array(groupChanges)
  readonly #lengths = new Int32Array(groupChanges)

  constructor(table: TableStore, batch: number, group: Group) {
    this.table = table
    this.#batch = batch
    this.#group = group
    const { memory } = table.codec
    this.#i32 = memory.i32
    this.#f64 = memory.f64
    this.#varsAt = table.layout.vars.map((column) => column.at)
    this.#addresses = this.#varsAt.map(() => 0)
    this.#imageInts = (table.layout.words - rowHeaderWords) * 2
  }

  /** Something was loaded into the table. */
  get isLoaded(): boolean {
    return this.#reader !== undefined
  }

  /** So many rows will come: the hash indexes of an empty table take their size at once. */
  reserve(rows: number): void {
    const { partitions } = this.table
    for (let p = 0; p < partitions; p += 1) this.table.part(p).hash.reserveEntries(Math.ceil(rows / partitions))
  }

  /**
   * One change (`loadKind`), whose image begins at `w` in the ints and has `length` bytes. Changes of a table are made in their order,
   * those of different tables in any.
   */
  add(kind: number, w: number, length: number): void {
    const n = this.#count
    this.#kinds[n] = kind
    this.#places[n] = w
    this.#lengths[n] = length
    this.#count = n + 1
    if (n === 0 && !this.#isWaiting) {
      this.#isWaiting = true
      this.#group.waiting.push(this)
    }
    if (n + 1 === groupChanges) this.#make()
  }

  flush(): void {
    this.#make()
    this.#isWaiting = false
  }

  /** Looks for all rows of the group, then makes its changes. */
  #make(): void {
    const count = this.#count
    const { near } = this.#group
    this.#count = 0
    this.#look(count)
    this.#group.inserted.fill(0)
    let hasDeleted = false
    for (let n = 0; n < count; n += 1) {
      hasDeleted ||= this.#kinds[n] === loadKind.delete
      this.#change(n, near[n]!, hasDeleted)
    }
  }

  /**
   * `near[n]` becomes the row of change n, -1 where another key has its hash, 0 where there is none. In steps, because a load that
   * misses the caches takes 270 ns here, and 20 when nothing waits for it: first the places of the index are loaded, then
   * looked at, then the rows.
   */
  #look(count: number): void {
    const { ints, bytes, partitions, hashes, parts, near } = this.#group
    const i32 = this.#i32
    const reader = (this.#reader ??= compileImageReader(this.table))
    reader.place(ints, bytes, this.#places, count, partitions, hashes)
    for (let n = 0; n < count; n += 1) {
      const part = this.table.part(partitions[n]!)
      parts[n] = part
      near[n] = part.hash.homeOf(hashes[n]!)
    }
    let seen = 0
    for (let n = 0; n < count; n += 1) seen = (seen + i32[near[n]!]!) | 0
    for (let n = 0; n < count; n += 1) near[n] = parts[n]!.hash.seek(hashes[n]!)
    for (let n = 0; n < count; n += 1) seen = (seen + i32[near[n]! * 2]!) | 0
    this.#group.seen = seen
    reader.match(ints, this.#places, count, near)
  }

  /** `seen`: what `#look` found (L4). */
  #change(n: number, seen: number, hasDeleted: boolean): void {
    const { ints, parts, hashes, inserted } = this.#group
    const w = this.#places[n]!
    const length = this.#lengths[n]!
    const part = parts[n]!
    const hash = hashes[n]!
    let row = seen
    if (seen === 0 ? inserted[hash & (2 ** filterBits - 1)] !== 0 : hasDeleted || seen < 0) row = this.#find(part, hash, w)
    switch (this.#kinds[n]) {
      case loadKind.insert:
        if (row !== 0) throw this.#contradiction('insert', w)
        this.#insert(part, hash, ints, w, length)
        break
      case loadKind.update:
        if (row === 0) throw this.#contradiction('update', w)
        this.#lay(part, row, true, ints, w, length)
        break
      case loadKind.delete:
        if (row === 0) throw this.#contradiction('delete', w)
        this.#delete(part, hash, row)
        break
      case loadKind.put:
        if (row === 0) this.#insert(part, hash, ints, w, length)
        else this.#lay(part, row, true, ints, w, length)
        break
      default:
        assert(false, `a change of the unknown kind ${this.#kinds[n]}`)
    }
  }

  #find(part: TablePart, hash: number, w: number): number {
    const { ints } = this.#group
    for (let row = part.hash.seek(hash); row !== 0; row = part.hash.seekNext(hash)) {
      if (this.#reader!.equals(ints, w, row * 2)) return row
    }
    return 0
  }

  #insert(part: TablePart, hash: number, ints: Int32Array, w: number, length: number): void {
    const row = part.takeSlot()
    this.#f64[row] = this.#batch
    this.#i32[row * 2 + 2] = 0
    this.#i32[row * 2 + 3] = 0
    this.#lay(part, row, false, ints, w, length)
    part.hash.reserve(hash)
    part.hash.insert(hash, row)
    this.#group.inserted[hash & (2 ** filterBits - 1)] = 1
    this.#countRows(part, 1)
  }

  #delete(part: TablePart, hash: number, row: number): void {
    const i32 = this.#i32
    for (const at of this.#varsAt) {
      const address = longAddress(i32, row * 2 + at)
      if (address !== 0) part.domain.release(address, wordsFor(i32[row * 2 + at]! & lengthMask))
    }
    part.hash.remove(hash, row)
    part.freeSlot(row)
    this.#countRows(part, -1)
  }

  #lay(part: TablePart, row: number, isReplaced: boolean, ints: Int32Array, w: number, length: number): void {
    if (this.#varsAt.length > 0) this.#layLong(part.domain, isReplaced ? row : 0, ints, w, length)
    else if (length !== this.#imageInts * 4) throw this.#misshapen(length)
    this.#reader!.copy(ints, w, row * 2)
    for (let n = 0; n < this.#varsAt.length; n += 1) {
      if (this.#addresses[n] !== 0) this.#i32[row * 2 + this.#varsAt[n]! + 1] = this.#addresses[n]!
    }
  }

  #countRows(part: TablePart, delta: number): void {
    this.#f64[part.countCell] = this.#batch
    this.#f64[part.countCell + headerWords]! += delta
  }

  // ── long values ───────────────────────────────────────────────────────────────────────────────────────

  /**
   * Copies the long values behind an image into blocks, and keeps their addresses. `row`: the row that is
   * replaced, whose blocks serve again where their size is right, or 0.
   */
  #layLong(domain: Domain, row: number, ints: Int32Array, w: number, length: number): void {
    const i32 = this.#i32
    let from = w + this.#imageInts
    for (let n = 0; n < this.#varsAt.length; n += 1) {
      const at = this.#varsAt[n]!
      const bytesNow = ints[w + at - headerInts]! & lengthMask
      const words = bytesNow > inlineBytesMax ? wordsFor(bytesNow) : 0
      let address = row === 0 ? 0 : longAddress(i32, row * 2 + at)
      if (address !== 0) {
        const old = wordsFor(i32[row * 2 + at]! & lengthMask)
        if (words === 0 || classOf(old) !== classOf(words)) {
          domain.release(address, old)
          address = 0
        }
      }
      if (words !== 0) {
        if (from + words * 2 > w + (length >>> 2)) throw this.#misshapen(length)
        if (address === 0) address = domain.allocate(words)
        copyInts(ints, from, i32, address * 2, words * 2)
        from += words * 2
      }
      this.#addresses[n] = address
    }
    if (from * 4 !== w * 4 + length) throw this.#misshapen(length)
  }

  // ── what cannot be ────────────────────────────────────────────────────────────────────────────────────

  #contradiction(kind: 'insert' | 'update' | 'delete', w: number): SluiceError {
    const { ints, bytes } = this.#group
    const { name, descriptor, layout } = this.table
    const memory = new CellMemory(Region.scratch((layout.words + 2) * 8 + bytes.length))
    layImage(this.table, { ints, bytes }, w * 4, memory.i32, 2)
    const row = new RowCodec(layout, memory).decode(2)
    const key = descriptor.key.map((ordinal) => row[descriptor.columns[ordinal]!.name])
    return SluiceError.of('LOG_CORRUPT', `The log says ${kind} of a row of "${name}" that ${kind === 'insert' ? 'exists' : 'does not exist'}.`, {
      details: { table: name, key: key.length === 1 ? key[0] : key },
    })
  }

  #misshapen(length: number): SluiceError {
    const { name } = this.table
    return SluiceError.of('LOG_CORRUPT', `The log has a row of "${name}" of ${length} bytes, which its columns do not have.`, { details: { table: name, bytes: length } })
  }
}

/** A loop beats `set` and `subarray` for the few dozen bytes that most long values have. */
const loopIntsMax = 64
function copyInts(from: Int32Array, at: number, to: Int32Array, toAt: number, ints: number): void {
  if (ints > loopIntsMax) to.set(from.subarray(at, at + ints), toAt)
  else for (let n = 0; n < ints; n += 1) to[toAt + n] = from[at + n]!
}
