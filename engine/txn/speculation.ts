/**
 * One speculated transaction: what it has read, and what it would write.
 *
 * It runs on a state that stands still (all lanes of the batch have ended, nobody writes) and changes nothing of it. A row that it
 * writes is copied into scratch memory of its worker, with the layout of a row, so that every reader of rows reads the copy as
 * well; long values go into scratch, too. What it did is a list of operations, which the sequencer's thread does again in order, by
 * the same row writer that any other transaction uses (partition/speculated-commit.ts), when nothing that was read has changed.
 *
 *   copy         6 ints before the row: columns set (2 words of bits), operation of the last set + 1, next copy with the same
 *                stand-in, the row it is for (0: none yet), marks: the transaction inserts it, its place in trees is another one
 *   operation    kind, table, partition, row (0: an inserted one), copy, then for a set the columns (2 words of bits), for an `add`
 *                the column and its amount (2 words)
 *
 * Several sets of a row are one operation as long as no `add` lies between: the copy holds the last values, and an operation
 * copies what its columns hold in the end.
 *
 * Whatever is unusual (an error, a full scratch, a row used after it was deleted) gives the run up: `giveUp` it like a
 * stray, and it runs in order instead. So speculation need not know how to fail.
 */
import { StampedMap } from '../base/stamped-map.js'
import { operationInts } from '../shared/speculation-log.js'
import { absentKey, existence, wholeRow } from '../store/column-groups.js'
import { flagDeleted } from '../store/domain.js'
import type { BlockMemory } from '../store/row-codec.js'
import type { Store } from '../store/store.js'
import type { Reference, TablePart, TableStore } from '../store/table-store.js'
import { IntList, ReadSet } from './read-set.js'
import { changeCost } from './row-writer.js'
import type { Transaction } from './transaction.js'

export const operation = { set: 1, add: 2, insert: 3, delete: 4 } as const

/** Words in front of a copy. */
const metaWords = 3
const metaInts = metaWords * 2
/** Where the parts of the head stand, counted from the row of the copy. */
export const copyMeta = { setLow: -6, setHigh: -5, lastSet: -4, next: -3, row: -2, marks: -1 } as const
const mark = { inserted: 1, moved: 2 } as const
/** Columns that can be told apart in an operation. A table with more is not speculated on. */
export const columnsTold = 64

const none: readonly number[] = []

/** Scratch memory of one worker, in the region: begun again with every batch. */
export class Scratch {
  readonly from: number
  readonly to: number
  #next: number

  constructor(from: number, words: number) {
    this.from = from
    this.to = from + words
    this.#next = from
  }
  clear(): void {
    this.#next = this.from
  }
  /** 0 when there is no room. */
  take(words: number): number {
    if (this.#next + words > this.to) return 0
    const at = this.#next
    this.#next = at + words
    return at
  }
  holds(address: number): boolean {
    return address >= this.from && address < this.to
  }
}

export class Speculation {
  readonly store: Store
  readonly scratch: Scratch
  readonly readSet = new ReadSet()
  readonly operations = new IntList(32 * operationInts)
  /** Grows when a row is copied or deleted: accessors look again where their row is. */
  writes = 0
  transaction!: Transaction
  readonly #i32: Int32Array
  /** Row → its copy. */
  readonly #copies = new StampedMap()
  /** The stand-in of an absent key → the first copy with it. */
  readonly #inserted = new StampedMap()
  /** Copies whose place in trees is not the one of the state: inserted, deleted, or with other values in indexed columns. [table, copy] */
  readonly #moved = new IntList(32)

  constructor(store: Store, scratch: Scratch) {
    this.store = store
    this.scratch = scratch
    this.#i32 = store.region.i32
  }

  begin(): void {
    this.readSet.clear()
    this.operations.length = 0
    this.writes += 1
    this.#copies.clear()
    this.#inserted.clear()
    this.#moved.length = 0
  }

  /** It cannot be told now what the serial run will do: it will be asked. */
  giveUp(): never {
    return this.transaction.stray()
  }

  // ── looking ───────────────────────────────────────────────────────────────────────────────────────────

  /** The read of the last `find`, to be widened; -1 when it met nothing, or a row that the transaction inserted. */
  foundRead = -1
  /** The row of the last `find`, deleted or not; 0 for none in the state. */
  foundRow = 0

  /** Where the row of the staged key can be read: in the state, as a copy, or 0. Its existence has been read. */
  find(part: TablePart): number {
    const { key, ordinal } = part.table
    const row = part.findAny()
    this.foundRow = row
    this.foundRead = -1
    if (row === 0) {
      const standIn = absentKey(ordinal, key.hash)
      for (let copy = this.#inserted.get(standIn); copy !== 0; copy = this.#i32[copy * 2 + copyMeta.next]!) {
        if (key.equals(copy)) return this.isDeleted(copy) ? 0 : copy
      }
      this.readSet.note(standIn, existence)
      return 0
    }
    const copy = this.#copies.get(row)
    // What the transaction has put there itself is no read; what it has changed a little shows the rest as the state has it.
    if (copy === 0 || (this.#i32[copy * 2 + copyMeta.marks]! & mark.inserted) === 0) this.foundRead = this.readSet.note(row, existence)
    const at = copy === 0 ? row : copy
    return this.isDeleted(at) ? 0 : at
  }

  /** Where a row of the state is to be read now. */
  placeOf(row: number): number {
    const copy = this.#copies.get(row)
    return copy === 0 ? row : copy
  }
  isDeleted(address: number): boolean {
    return (this.#i32[address * 2 + 3]! & flagDeleted) !== 0
  }

  /** The copies of a table whose place in its trees is not the one of the state. */
  movedIn(table: number): readonly number[] {
    if (this.#moved.length === 0) return none
    const copies: number[] = []
    for (let at = 0; at < this.#moved.length; at += 2) if (this.#moved.words[at] === table) copies.push(this.#moved.words[at + 1]!)
    return copies
  }
  /** The tree of the state shows this row where it is not any more. */
  hasMoved(row: number): boolean {
    const copy = this.#copies.get(row)
    return copy !== 0 && (this.#i32[copy * 2 + copyMeta.marks]! & mark.moved) !== 0
  }
  /** The row of the state that a copy is of, or 0. */
  rowOf(copy: number): number {
    return this.#i32[copy * 2 + copyMeta.row]!
  }

  // ── writing ───────────────────────────────────────────────────────────────────────────────────────────

  /** The copy of a row that exists, made at the first write. `row`: in the state, or a copy already. */
  copyOf(part: TablePart, row: number): number {
    if (this.scratch.holds(row)) return row
    const known = this.#copies.get(row)
    if (known !== 0) return known
    this.transaction.mayWrite(part.table, part.partition)
    const { words } = part.table.layout
    this.count(changeCost(words) + part.table.codec.longBytesOfRow(row))
    const copy = this.#newCopy(part, row, false)
    const i32 = this.#i32
    for (let n = 3; n < words * 2; n += 1) i32[copy * 2 + n] = i32[row * 2 + n]!
    this.#copies.set(row, copy)
    this.writes += 1
    return copy
  }

  /** Counts as the row writer does, or more: what goes beyond the limit of a transaction is told by the run in order. */
  count(bytes: number): void {
    try {
      this.transaction.writer.count(bytes)
    } catch {
      this.giveUp()
    }
  }

  #newCopy(part: TablePart, row: number, isInserted: boolean): number {
    const { layout } = part.table
    if (layout.columns.length > columnsTold) this.giveUp()
    const at = this.scratch.take(metaWords + layout.words)
    if (at === 0) this.giveUp()
    const copy = at + metaWords
    const i32 = this.#i32
    for (let n = 1; n <= metaInts; n += 1) i32[copy * 2 - n] = 0
    i32[copy * 2 + copyMeta.row] = row
    i32[copy * 2 + copyMeta.marks] = isInserted ? mark.inserted : 0
    return copy
  }

  /** This transaction sets the column: a read of it is no read of the state any more. */
  hasSet(copy: number, column: number): boolean {
    const i32 = this.#i32
    if ((i32[copy * 2 + copyMeta.marks]! & mark.inserted) !== 0) return true
    return (i32[copy * 2 + (column < 32 ? copyMeta.setLow : copyMeta.setHigh)]! & (1 << (column & 31))) !== 0
  }

  /** A column of the copy was or will be stored: the operation that says so. */
  noteSet(part: TablePart, copy: number, column: number): void {
    if (part.table.indexed.has(column)) this.#noteMoved(part, copy)
    if (this.hasSet(copy, column)) return
    const i32 = this.#i32
    const at = copy * 2
    const bit = 1 << (column & 31)
    const word = column < 32 ? 0 : 1
    i32[at + copyMeta.setLow + word] = i32[at + copyMeta.setLow + word]! | bit
    let op = i32[at + copyMeta.lastSet]! - 1
    if (op < 0) {
      op = this.#push(operation.set, part, i32[at + copyMeta.row]!, copy)
      i32[at + copyMeta.lastSet] = op + 1
    }
    const { words } = this.operations
    words[op + 5 + word] = words[op + 5 + word]! | bit
  }

  /** An amount that is added in order, whatever the column holds then. The copy holds the sum as it is seen here. */
  noteAdd(part: TablePart, copy: number, column: number, delta: number | bigint): void {
    if (part.table.indexed.has(column)) this.#noteMoved(part, copy)
    if (this.hasSet(copy, column)) return
    if (part.table.referring.has(column)) this.giveUp() // what the sum refers to is known at its turn
    const i32 = this.#i32
    i32[copy * 2 + copyMeta.lastSet] = 0
    const op = this.#push(operation.add, part, i32[copy * 2 + copyMeta.row]!, copy)
    const { words } = this.operations
    words[op + 5] = column
    amount.set(delta)
    words[op + 6] = amount.ints[0]!
    words[op + 7] = amount.ints[1]!
  }

  /** The staged values of the table's codec become a row of this transaction. `known`: the deleted row of the key, or 0. */
  insert(part: TablePart, known: number, longBytes: number): number {
    const { table } = part
    this.count(changeCost(table.layout.words) + longBytes)
    const copy = this.#newCopy(part, known, true)
    const i32 = this.#i32
    i32[copy * 2 + 3] = 0
    table.codec.copyStaged(copy)
    if (known !== 0) this.#copies.set(known, copy)
    else {
      const standIn = absentKey(table.ordinal, table.key.hash)
      i32[copy * 2 + copyMeta.next] = this.#inserted.get(standIn)
      this.#inserted.set(standIn, copy)
    }
    this.#push(operation.insert, part, known, copy)
    this.#noteMoved(part, copy)
    this.writes += 1
    return copy
  }

  delete(part: TablePart, copy: number): void {
    const i32 = this.#i32
    i32[copy * 2 + 3] = i32[copy * 2 + 3]! | flagDeleted
    this.#push(operation.delete, part, i32[copy * 2 + copyMeta.row]!, copy)
    this.#noteMoved(part, copy)
    this.writes += 1
  }

  /** Stages one checked value of a column and lays it into the copy. */
  put(part: TablePart, copy: number, column: number, value: unknown): void {
    const { codec } = part.table
    codec.stagers[column]!(value, this.blocks)
    codec.copyCell(copy, column)
  }

  /**
   * The rows of tables with something to prove that the run leaves changed and alive, once each. To check a row is to read all of it,
   * whatever the run wrote there (R22); to look where it refers to, what it set there itself is enough.
   */
  forEachToProve(visit: (table: TableStore, copy: number) => void): void {
    const { words } = this.operations
    const seen = new Set<number>()
    for (let op = 0; op < this.operations.length; op += operationInts) {
      const table = this.store.tables[words[op + 1]!]!
      const copy = words[op + 4]!
      if ((table.rowChecks.length === 0 && table.refersTo.length === 0) || seen.has(copy) || this.isDeleted(copy)) continue
      seen.add(copy)
      const row = this.rowOf(copy)
      const isChanged = row !== 0 && (this.#i32[copy * 2 + copyMeta.marks]! & mark.inserted) === 0
      if (isChanged && table.rowChecks.length > 0) this.readSet.note(row, wholeRow)
      if (isChanged) for (const reference of table.refersTo) if (this.#isChangedInPart(reference, copy)) this.readSet.note(row, reference.groups)
      visit(table, copy)
    }
  }

  /** The rows of tables that others refer to which the state has and the run does not leave. */
  forEachGone(visit: (table: TableStore, copy: number) => void): void {
    const { words } = this.operations
    for (let op = 0; op < this.operations.length; op += operationInts) {
      if (words[op] !== operation.delete || words[op + 3] === 0) continue
      const table = this.store.tables[words[op + 1]!]!
      if (table.referredBy.length > 0 && this.isDeleted(this.placeOf(words[op + 3]!))) visit(table, words[op + 4]!)
    }
  }

  /** The run has put the row there, or set one of these columns: an amount that is added to one has given it up (`noteAdd`). */
  hasChanged({ on }: Reference, copy: number): boolean {
    return on.some((column) => this.hasSet(copy, column))
  }
  /** Of several columns that refer together some are set, and the others are as the state has them. */
  #isChangedInPart(reference: Reference, copy: number): boolean {
    return this.hasChanged(reference, copy) && !reference.on.every((column) => this.hasSet(copy, column))
  }

  /** Memory for long values. */
  readonly blocks: BlockMemory = {
    allocate: (words: number): number => {
      const at = this.scratch.take(words)
      if (at === 0) this.giveUp()
      return at
    },
    /** It goes with the batch. */
    release: (): void => undefined,
  }

  #push(kind: number, part: TablePart, row: number, copy: number): number {
    const op = this.operations.take(operationInts)
    const { words } = this.operations
    words[op] = kind
    words[op + 1] = part.table.ordinal
    words[op + 2] = part.partition
    words[op + 3] = row
    words[op + 4] = copy
    words[op + 5] = 0
    words[op + 6] = 0
    words[op + 7] = 0
    return op
  }

  #noteMoved(part: TablePart, copy: number): void {
    const at = copy * 2 + copyMeta.marks
    if (part.table.trees.length === 0 || (this.#i32[at]! & mark.moved) !== 0) return
    this.#i32[at] = this.#i32[at]! | mark.moved
    const pair = this.#moved.take(2)
    this.#moved.words[pair] = part.table.ordinal
    this.#moved.words[pair + 1] = copy
  }
}

/** The amount of an `add` as two Int32s: a double, or a bigint of 64 bits. */
class Amount {
  readonly ints = new Int32Array(2)
  readonly #f64 = new Float64Array(this.ints.buffer)
  readonly #i64 = new BigInt64Array(this.ints.buffer)

  set(value: number | bigint): void {
    if (typeof value === 'bigint') this.#i64[0] = BigInt.asIntN(64, value)
    else this.#f64[0] = value
  }
  /** Of a column of bigints, or of numbers. */
  get(isBigint: boolean): number | bigint {
    return isBigint ? this.#i64[0]! : this.#f64[0]!
  }
}
export const amount = new Amount()
