/**
 * Every change of a row, with what makes it undoable: the one place where rows, hash entries, trees, counts, versions and
 * the journal change together.
 *
 * An operation checks, allocates and reserves first and then only stores (R5); each of the elementary steps (a row with its
 * hash entry, one tree) is journaled by itself, so that a failure between two steps is undone like any other.
 *
 * Order of the stores of a row, because threads may look at any moment: undo image, undo, ts, then flags and columns (R8).
 */
import { assert } from '../base/assert.js'
import { SluiceError } from '../base/errors.js'
import { wordsFor } from '../shared/region.js'
import type { LaneLog } from '../shared/lane-log.js'
import { lengthMask } from '../schema/row-layout.js'
import { type Domain, flagDeleted, flagQueued, retireRecordWords } from '../store/domain.js'
import { orderedKeyBytesMax } from '../store/ordered-index.js'
import { longAddress } from '../store/row-codec.js'
import { writeBefore, writeImage } from '../store/row-image.js'
import type { Store } from '../store/store.js'
import { countCellWords, type TablePart, type TableStore, type TreePlan } from '../store/table-store.js'
import { Journal, opInts, opKind } from './journal.js'
import { KeyBuffer } from '../schema/key-codec.js'

export const changeKind = { insert: 1, update: 2, delete: 3 } as const

const rowHeaderInts = 4

export class RowWriter {
  batch = 0
  readonly journal = new Journal()
  readonly #store: Store
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #oldKey = new KeyBuffer()
  readonly #newKey = new KeyBuffer()
  readonly #keyValues: unknown[] = []
  readonly #length = { bytes: 0 }
  /** Retire records that the open transaction may still write, by domain: reserved as they grow (R11). */
  readonly #pendingRetires: number[]
  readonly #journalImage: { words: Int32Array; at: number }
  readonly #rowImage: { words: Int32Array; at: number }

  constructor(store: Store) {
    this.#store = store
    this.#i32 = store.region.i32
    this.#f64 = store.region.f64
    this.#pendingRetires = store.domains.map(() => 0)
    this.#journalImage = { words: this.journal.images, at: 0 }
    this.#rowImage = { words: this.#i32, at: 0 }
  }

  /** Starts a transaction: nothing journaled. */
  begin(): void {
    this.journal.clear()
    this.#pendingRetires.fill(0)
  }

  // ── changes ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Before any change of a row in this transaction: the journal keeps it as the transaction found it, the version undo as
   * the batch found it. Cheap when the transaction has been here before.
   */
  touch(part: TablePart, row: number): void {
    if (this.journal.opOfRow(row) >= 0) return
    const { layout, ordinal } = part.table
    this.#reserveRetires(part.domain, 2 + 2 * layout.vars.length)
    part.domain.reserveVersion(layout.words)
    const ints = layout.words * 2
    this.journal.reserve(ints)
    const image = this.journal.keepImage(this.#i32, row * 2 + 3, row * 2 + ints)
    this.journal.noteRow(row, this.journal.push(opKind.touched, ordinal, part.partition, row, image))
    if (this.#f64[row] !== this.batch) part.domain.saveVersion(row, layout.words, this.batch)
  }

  /**
   * Inserts the staged values of the table's codec under its staged key. `known` is the deleted row of that key, which is
   * revived (R14), or 0. Answers the row.
   */
  insert(part: TablePart, known: number): number {
    const table = part.table
    let row = known
    try {
      part.domain.reserveVersion(countCellWords)
      if (known !== 0) this.#revive(part, known)
      else row = this.#insertNew(part)
    } catch (error) {
      // The row has not taken over its long values.
      if (SluiceError.is(error)) table.codec.releaseStaged(table.layout.columns.length, part.domain)
      throw error
    }
    this.#count(part, 1)
    for (const plan of table.trees) this.#addEntry(part, plan, row)
    return row
  }

  #revive(part: TablePart, row: number): void {
    this.touch(part, row)
    const { layout, codec } = part.table
    // Room for all at once: a block must not be dropped while the row keeps it.
    const drops = 2 * layout.vars.length
    this.#reserveRetires(part.domain, drops)
    this.#retiresDone(part.domain, drops)
    for (const column of layout.vars) this.#dropOverwritten(part, row, column.ordinal)
    codec.copyStaged(row)
    this.#i32[row * 2 + 3]! &= ~flagDeleted
  }

  #insertNew(part: TablePart): number {
    const table = part.table
    this.#reserveRetires(part.domain, 2 + 2 * table.layout.vars.length)
    part.domain.reserveVersion(table.layout.words)
    part.hash.reserve(table.key.hash)
    this.journal.reserve(0)
    const row = part.takeSlot()
    const i32 = this.#i32
    this.journal.noteRow(row, this.journal.push(opKind.inserted, table.ordinal, part.partition, row, 0))
    i32[row * 2 + 2] = 0
    this.#f64[row] = this.batch
    i32[row * 2 + 3] = 0
    table.codec.copyStaged(row)
    part.domain.noteInsert(row)
    part.hash.insert(table.key.hash, row)
    return row
  }

  delete(part: TablePart, row: number): void {
    this.touch(part, row)
    part.domain.reserveVersion(countCellWords)
    for (const plan of part.table.trees) this.#removeEntry(part, plan, row)
    this.#i32[row * 2 + 3]! |= flagDeleted
    this.#count(part, -1)
  }

  /** Copies the staged cells of some columns over a row, with the trees that they move. `columns`: ordinals. */
  update(part: TablePart, row: number, columns: readonly number[]): void {
    const table = part.table
    const isMoved = columns.some((column) => table.indexed.has(column))
    const moved = isMoved ? table.trees.filter((plan) => plan.columns.slice(0, plan.own).some((c) => columns.includes(c))) : []
    let copied = 0
    try {
      this.touch(part, row)
      for (const plan of moved) this.#removeEntry(part, plan, row)
      for (; copied < columns.length; copied += 1) this.#copyColumn(part, row, columns[copied]!)
    } catch (error) {
      if (SluiceError.is(error)) table.codec.releaseColumns(columns.slice(copied), part.domain)
      throw error
    }
    for (const plan of moved) this.#addEntry(part, plan, row)
  }

  #copyColumn(part: TablePart, row: number, ordinal: number): void {
    const i32 = this.#i32
    const { codec, layout } = part.table
    const column = layout.columns[ordinal]!
    this.#dropOverwritten(part, row, ordinal)
    const ints = column.isVar ? 6 : column.descriptor.type === 'uuid' ? 4 : intsOf(column.descriptor.type)
    for (let n = 0; n < ints; n += 1) i32[row * 2 + column.at + n] = codec.i32[column.at + n]!
    if (column.nullAt >= 0) {
      const word = row * 2 + column.nullAt
      i32[word] = (i32[word]! & ~column.nullBit) | (codec.i32[column.nullAt]! & column.nullBit)
    }
  }

  /** A long value that this very transaction wrote and now overwrites belongs to nobody: retired with the batch. */
  #dropOverwritten(part: TablePart, row: number, ordinal: number): void {
    const column = part.table.layout.columns[ordinal]!
    if (!column.isVar) return
    const address = longAddress(this.#i32, row * 2 + column.at)
    if (address === 0) return
    const op = this.journal.opOfRow(row)
    if (op >= 0 && this.journal.ops[op] === opKind.touched) {
      const image = this.journal.ops[op + 4]!
      if (longAddress(this.journal.images, image - 3 + column.at) === address) return // the version before still needs it
    }
    this.#reserveRetires(part.domain, 1)
    part.domain.retireBlock(address, wordsFor(this.#i32[row * 2 + column.at]! & lengthMask))
    this.#retiresDone(part.domain, 1)
  }

  #count(part: TablePart, delta: number): void {
    this.journal.reserve(0)
    part.addToCount(delta, this.batch)
    this.journal.push(opKind.counted, part.table.ordinal, part.partition, delta, 0)
  }

  // ── trees ─────────────────────────────────────────────────────────────────────────────────────────────

  #addEntry(part: TablePart, plan: TreePlan, row: number): void {
    const key = this.#entryKey(part.table, plan, row, this.#newKey)
    if (key.length > orderedKeyBytesMax) {
      const what = plan.name === '' ? 'primary key' : `index "${plan.name}"`
      throw SluiceError.of('INVALID_INPUT', `An entry of the ${what} of "${part.table.name}" takes ${key.length} bytes, more than ${orderedKeyBytesMax}: index a shorter column.`, {
        details: { table: part.table.name, index: plan.name, bytes: key.length },
      })
    }
    const tree = part.trees[plan.ordinal]!
    const retires = tree.retiresToChange()
    this.#reserveRetires(part.domain, 2 + retires)
    this.journal.reserve(0)
    tree.reserve(key.length)
    const record = tree.insert(key.bytes, key.length, row, this.batch)
    this.#retiresDone(part.domain, retires)
    this.journal.push(opKind.treeInserted, part.table.ordinal, part.partition, plan.ordinal, record)
  }

  #removeEntry(part: TablePart, plan: TreePlan, row: number): void {
    const key = this.#entryKey(part.table, plan, row, this.#oldKey)
    const tree = part.trees[plan.ordinal]!
    const retires = tree.retiresToChange() + 1
    this.#reserveRetires(part.domain, 2 + retires)
    this.journal.reserve(0)
    tree.reserveRemove()
    const removal = tree.remove(key.bytes, key.length, this.batch)
    assert(removal !== 0, 'every row of a table stands in each of its trees')
    this.#retiresDone(part.domain, retires)
    this.journal.push(opKind.treeRemoved, part.table.ordinal, part.partition, plan.ordinal, removal)
  }

  #entryKey(table: TableStore, plan: TreePlan, row: number, into: KeyBuffer): KeyBuffer {
    const values = this.#keyValues
    values.length = plan.columns.length
    for (let n = 0; n < plan.columns.length; n += 1) values[n] = table.codec.readers[plan.columns[n]!]!(row)
    into.reset()
    plan.codec.encode(values, into)
    return into
  }

  // ── the end of a transaction ──────────────────────────────────────────────────────────────────────────

  /** Takes everything back, in reverse. Allocates nothing (R11): what it retires was reserved when it was journaled. */
  undo(): void {
    const { ops } = this.journal
    for (let at = this.journal.length - opInts; at >= 0; at -= opInts) {
      const part = this.#store.tables[ops[at + 1]!]!.part(ops[at + 2]!)
      switch (ops[at]) {
        case opKind.touched:
          this.#restoreRow(part, ops[at + 3]!, ops[at + 4]!)
          break
        case opKind.inserted:
          this.#i32[ops[at + 3]! * 2 + 3]! |= flagDeleted // R14: an undone insert counts as a delete
          this.#store.retireRow(part, ops[at + 3]!)
          break
        case opKind.treeInserted:
          part.trees[ops[at + 3]!]!.undoInsert(ops[at + 4]!, this.batch)
          break
        case opKind.treeRemoved:
          part.trees[ops[at + 3]!]!.undoRemove(ops[at + 4]!, this.batch)
          break
        case opKind.counted:
          part.addToCount(-ops[at + 3]!, this.batch)
          break
      }
    }
  }

  /** R10: columns and flags go back, ts and undo stay. */
  #restoreRow(part: TablePart, row: number, image: number): void {
    const { layout } = part.table
    const i32 = this.#i32
    const images = this.journal.images
    for (const column of layout.vars) {
      const cell = row * 2 + column.at
      const address = longAddress(i32, cell)
      if (address !== 0 && address !== longAddress(images, image - 3 + column.at)) part.domain.retireBlock(address, wordsFor(i32[cell]! & lengthMask))
    }
    const queued = i32[row * 2 + 3]! & flagQueued
    i32[row * 2 + 3] = (images[image]! & ~flagQueued) | queued
    for (let n = rowHeaderInts; n < layout.words * 2; n += 1) i32[row * 2 + n] = images[image + n - 3]!
    if ((images[image]! & flagDeleted) !== 0) this.#store.retireRow(part, row)
  }

  /** Commits: records the net change of each row in the order of first touch, and retires what it replaced. */
  commit(log: LaneLog): void {
    const { ops } = this.journal
    for (let at = 0; at < this.journal.length; at += opInts) {
      if (ops[at] === opKind.touched) this.#commitTouched(log, ops[at + 1]!, ops[at + 2]!, ops[at + 3]!, ops[at + 4]!)
      else if (ops[at] === opKind.inserted) this.#commitInserted(log, ops[at + 1]!, ops[at + 2]!, ops[at + 3]!)
    }
  }

  /** Commits changes of the engine's own tables, which the log does not record: only what must be retired is. */
  settle(): void {
    const { ops } = this.journal
    for (let at = 0; at < this.journal.length; at += opInts) {
      if (ops[at] !== opKind.touched && ops[at] !== opKind.inserted) continue
      const row = ops[at + 3]!
      const part = this.#store.tables[ops[at + 1]!]!.part(ops[at + 2]!)
      if ((this.#i32[row * 2 + 3]! & flagDeleted) !== 0) this.#store.retireRow(part, row)
      if (ops[at] === opKind.touched) this.#retireReplaced(part, row, ops[at + 4]!)
    }
  }

  /** Long values of the row before the transaction that are not its values any more. */
  #retireReplaced(part: TablePart, row: number, image: number): void {
    const { images } = this.journal
    for (const column of part.table.layout.vars) {
      const cell = image - 3 + column.at
      const old = longAddress(images, cell)
      if (old !== 0 && old !== longAddress(this.#i32, row * 2 + column.at)) part.domain.retireBlock(old, wordsFor(images[cell]! & lengthMask))
    }
  }

  #commitInserted(log: LaneLog, tableOrdinal: number, partition: number, row: number): void {
    const table = this.#store.tables[tableOrdinal]!
    if ((this.#i32[row * 2 + 3]! & flagDeleted) !== 0) {
      this.#store.retireRow(table.part(partition), row)
      return
    }
    const image = writeImage(log, table, this.#store.memory, this.#i32, row * 2, this.#length)
    log.addChange(tableOrdinal, changeKind.insert, image, this.#length.bytes, 0, 0)
  }

  #commitTouched(log: LaneLog, tableOrdinal: number, partition: number, row: number, image: number): void {
    const table = this.#store.tables[tableOrdinal]!
    const part = table.part(partition)
    const { memory } = this.#store
    const wasDeleted = (this.journal.images[image]! & flagDeleted) !== 0
    const isDeleted = (this.#i32[row * 2 + 3]! & flagDeleted) !== 0
    const before = this.#journalImage
    before.words = this.journal.images
    before.at = image - 3
    if (!isDeleted) {
      if (wasDeleted) {
        const at = writeImage(log, table, memory, this.#i32, row * 2, this.#length)
        log.addChange(tableOrdinal, changeKind.insert, at, this.#length.bytes, 0, 0)
      } else {
        this.#rowImage.at = row * 2
        const beforeAt = writeBefore(log, table, memory, before, this.#rowImage, this.#length)
        if (beforeAt >= 0) {
          const beforeBytes = this.#length.bytes
          const at = writeImage(log, table, memory, this.#i32, row * 2, this.#length)
          log.addChange(tableOrdinal, changeKind.update, at, this.#length.bytes, beforeAt, beforeBytes)
        }
      }
    } else {
      if (!wasDeleted) {
        const at = writeImage(log, table, memory, before.words, before.at, this.#length)
        log.addChange(tableOrdinal, changeKind.delete, 0, 0, at, this.#length.bytes)
      }
      this.#store.retireRow(part, row)
    }
    this.#retireReplaced(part, row, image)
  }

  /** Some of the reserved records are written, or will not be. */
  #retiresDone(domain: Domain, records: number): void {
    this.#pendingRetires[this.#store.domains.indexOf(domain)]! -= records
  }

  #reserveRetires(domain: Domain, records: number): void {
    const place = this.#store.domains.indexOf(domain)
    const pending = this.#pendingRetires[place]! + records
    domain.retired.reserve(pending * retireRecordWords)
    this.#pendingRetires[place] = pending
  }
}

function intsOf(type: string): number {
  return type === 'bool' || type === 'i32' || type === 'u32' || type === 'enum' ? 1 : 2
}
