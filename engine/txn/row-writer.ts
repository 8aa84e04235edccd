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
import { limits } from '../base/limits.js'
import { wordsFor } from '../shared/region.js'
import { type LaneLog, recordCostBytes } from '../shared/lane-log.js'
import { type ColumnLayout, lengthMask } from '../schema/row-layout.js'
import { type Domain, flagDeleted, flagQueued } from '../store/domain.js'
import { flagUnknown } from '../store/fork-store.js'
import { orderedKeyBytesMax } from '../store/ordered-index.js'
import { cellInts, longAddress } from '../store/row-codec.js'
import { writeBefore, writeImage } from '../store/row-image.js'
import type { Store } from '../store/store.js'
import { countCellWords, type Reference, type TablePart, type TableStore, type TreePlan } from '../store/table-store.js'
import { Journal, opInts, opKind } from './journal.js'
import { KeyBuffer, prefixEnd } from '../schema/key-codec.js'
import { bareKey, keyOfRow, shownValue } from './violation.js'

export const changeKind = { insert: 1, update: 2, delete: 3 } as const

const rowHeaderInts = 4

/** Transactions of all writers of this thread, so that each has a number of its own. */
let transactions = 0

export class RowWriter {
  batch = 0
  readonly journal = new Journal()
  /** What the open transaction will record, in bytes, and how much it may (R41): the engine's own writers have no limit. */
  written = 0
  writtenMax = Infinity
  readonly #store: Store
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #oldKey = new KeyBuffer()
  readonly #newKey = new KeyBuffer()
  readonly #equal: number[] = []
  readonly #length = { bytes: 0 }
  /** Retire records that the open transaction may still write, by domain: reserved as they grow (R11). */
  readonly #pendingRetires: Int32Array
  /** Where the row before the transaction stands, and the row: see `#beforeAt`. */
  readonly #before: { words: Int32Array; at: number }
  readonly #now: { words: Int32Array; at: number }
  #transaction = 0

  constructor(store: Store) {
    this.#store = store
    this.#i32 = store.region.i32
    this.#f64 = store.region.f64
    this.#pendingRetires = new Int32Array(store.domains.length)
    this.#before = { words: this.journal.images, at: 0 }
    this.#now = { words: this.#i32, at: 0 }
  }

  /** Starts a transaction: nothing journaled. */
  begin(): void {
    this.written = 0
    transactions += 1
    this.#transaction = transactions
    this.journal.clear()
    for (let n = 0; n < this.#pendingRetires.length; n += 1) this.#pendingRetires[n] = 0
  }

  /** Counts what a change will record (R41), before it is made. */
  count(bytes: number): void {
    this.written += bytes
    if (this.written > this.writtenMax) {
      throw SluiceError.of('OUT_OF_SPACE', `A transaction may write ${limits.transactionBytesMax} bytes: split the work into several.`, { details: { bytes: limits.transactionBytesMax } })
    }
  }

  // ── changes ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Before any change of a row in this transaction: the journal keeps it as the transaction found it, the version undo as
   * the batch found it. Cheap when the transaction has been here before; else its images before and after are counted.
   */
  touch(part: TablePart, row: number): void {
    if (this.journal.opOfRow(row) < 0) this.#touchFirst(part, row)
  }

  #touchFirst(part: TablePart, row: number): void {
    const { table, domain } = part
    const { words, vars } = table.layout
    const { journal } = this
    this.count(changeCost(words) + (vars.length === 0 ? 0 : table.codec.longBytesOfRow(row)))
    this.#reserve(domain, words + 1, 2 + 2 * vars.length)
    if (this.#f64[row] !== this.batch) {
      journal.reserve(0)
      const image = domain.saveVersion(row, words, this.batch)
      journal.noteRow(row, journal.push(opKind.touchedFirst, table.ordinal, part.partition, row, image))
    } else {
      journal.reserve(words * 2)
      const image = journal.keepImage(this.#i32, row * 2 + 3, row * 2 + words * 2)
      journal.noteRow(row, journal.push(opKind.touched, table.ordinal, part.partition, row, image))
    }
  }

  /** Lets `#before` show the row as the transaction found it: `op` is where it was touched. */
  #showBefore(op: number): void {
    const { ops, images } = this.journal
    const isVersion = ops[op] === opKind.touchedFirst
    this.#before.words = isVersion ? this.#i32 : images
    this.#before.at = isVersion ? ops[op + 4]! * 2 : ops[op + 4]! - 3
  }

  /**
   * Inserts the staged values of the table's codec under its staged key. `known` is the deleted row of that key, which is
   * revived (R14), or 0. Answers the row.
   */
  insert(part: TablePart, known: number): number {
    const { table } = part
    const hasLong = table.layout.vars.length > 0
    let row = known
    try {
      this.count((known === 0 ? changeCost(table.layout.words) : 0) + (hasLong ? table.codec.longBytesStaged() : 0))
      if (known !== 0) this.#revive(part, known)
      else row = this.#insertNew(part)
    } catch (error) {
      // The row has not taken over its long values.
      if (hasLong && SluiceError.is(error)) table.codec.releaseStaged(table.layout.columns.length, part.domain)
      throw error
    }
    this.#count(part, 1)
    for (let n = 0; n < table.trees.length; n += 1) this.#addEntry(part, table.trees[n]!, row)
    return row
  }

  #revive(part: TablePart, row: number): void {
    this.touch(part, row)
    const { layout, codec } = part.table
    // Room for all at once: a block must not be dropped while the row keeps it.
    const drops = 2 * layout.vars.length
    this.#reserve(part.domain, 0, drops)
    this.#retiresDone(part.domain, drops)
    for (const column of layout.vars) this.#dropOverwritten(part, row, column)
    codec.copyStaged(row)
    this.#i32[row * 2 + 3]! &= ~flagDeleted
  }

  #insertNew(part: TablePart): number {
    const { table, domain } = part
    const { hash } = table.key
    const { journal } = this
    this.#reserve(domain, 1 + countCellWords + 1, 2 + 2 * table.layout.vars.length)
    part.hash.reserve(hash)
    journal.reserve(0)
    const row = part.takeSlot()
    const i32 = this.#i32
    journal.noteRow(row, journal.push(opKind.inserted, table.ordinal, part.partition, row, 0))
    i32[row * 2 + 2] = 0
    this.#f64[row] = this.batch
    i32[row * 2 + 3] = 0
    table.codec.copyStaged(row)
    domain.noteInsert(row)
    part.hash.insert(hash, row)
    return row
  }

  /**
   * Lays down a row as the base of a fork has it (store/fork-store.ts): undone like a change, and neither counted nor recorded. `known`: the row
   * of its key that was brought before, or 0. `isStaged`: its values are, under its staged key; else that row holds them.
   */
  bring(part: TablePart, known: number, isStaged: boolean): void {
    const { table, domain } = part
    const { words } = table.layout
    const { journal } = this
    this.#reserve(domain, words + 1, 2)
    journal.reserve(0)
    let row = known
    if (row === 0) {
      part.hash.reserve(table.key.hash)
      row = part.takeSlot()
      this.#i32[row * 2 + 2] = 0
      this.#f64[row] = this.batch
      domain.noteInsert(row)
      part.hash.insert(table.key.hash, row)
    } else if (this.#f64[row] !== this.batch) domain.saveVersion(row, words, this.batch)
    this.#i32[row * 2 + 3] = 0
    if (isStaged) table.codec.copyStaged(row)
    journal.push(opKind.brought, table.ordinal, part.partition, row, 0)
    for (const plan of table.trees) this.#addEntry(part, plan, row)
  }

  delete(part: TablePart, row: number): void {
    this.touch(part, row)
    const { trees } = part.table
    for (let n = 0; n < trees.length; n += 1) this.#removeEntry(part, trees[n]!, row)
    this.#count(part, -1)
    this.#i32[row * 2 + 3]! |= flagDeleted
  }

  /** Copies the staged cells of some columns over a row, with the trees that they move. `columns`: ordinals. */
  update(part: TablePart, row: number, columns: readonly number[]): void {
    const table = part.table
    const isMoved = table.indexed.size > 0 && columns.some((column) => table.indexed.has(column))
    const moved = isMoved ? table.trees.filter((plan) => columns.some((c) => plan.movedBy.has(c))) : []
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
    if (column.isVar) this.#dropOverwritten(part, row, column)
    for (let n = 0, ints = cellInts(column); n < ints; n += 1) i32[row * 2 + column.at + n] = codec.i32[column.at + n]!
    if (column.nullAt >= 0) {
      const word = row * 2 + column.nullAt
      i32[word] = (i32[word]! & ~column.nullBit) | (codec.i32[column.nullAt]! & column.nullBit)
    }
  }

  /** A long value that this very transaction wrote and now overwrites belongs to nobody: retired with the batch. */
  #dropOverwritten(part: TablePart, row: number, column: ColumnLayout): void {
    const address = longAddress(this.#i32, row * 2 + column.at)
    if (address === 0) return
    const op = this.journal.opOfRow(row)
    if (op >= 0 && this.journal.ops[op] !== opKind.inserted) {
      this.#showBefore(op)
      if (longAddress(this.#before.words, this.#before.at + column.at) === address) return // the version before still needs it
    }
    this.#reserve(part.domain, 0, 1)
    part.domain.retireBlock(address, wordsFor(this.#i32[row * 2 + column.at]! & lengthMask))
    this.#retiresDone(part.domain, 1)
  }

  /** All rows that a transaction adds to a part, or takes from it, are one op of the journal. */
  #count(part: TablePart, delta: number): void {
    const { journal } = this
    if (part.countedBy !== this.#transaction) {
      journal.reserve(0)
      part.domain.reserveVersion(countCellWords)
      part.countedOp = journal.push(opKind.counted, part.table.ordinal, part.partition, 0, 0)
      part.countedBy = this.#transaction
    }
    part.addToCount(delta, this.batch)
    journal.ops[part.countedOp + 3]! += delta
  }

  // ── trees ─────────────────────────────────────────────────────────────────────────────────────────────

  #addEntry(part: TablePart, plan: TreePlan, row: number): void {
    if (!plan.isPlain) {
      if (!plan.holds(row)) return
      if (plan.unique) this.#mustBeUnique(part, plan, row)
    }
    const key = this.#entryKey(plan, row, this.#newKey)
    if (key.length > orderedKeyBytesMax) {
      const what = plan.name === '' ? 'primary key' : `index "${plan.name}"`
      throw SluiceError.of('INVALID_INPUT', `An entry of the ${what} of "${part.table.name}" takes ${key.length} bytes, more than ${orderedKeyBytesMax}: index a shorter column.`, {
        details: { table: part.table.name, index: plan.name, bytes: key.length },
      })
    }
    const tree = part.trees[plan.ordinal]!
    const { domain } = tree
    const retires = tree.retiresToChange()
    this.#reserve(domain, 0, 2 + retires)
    this.journal.reserve(0)
    tree.reserve(key.length)
    const record = tree.insert(key.bytes, key.length, row, this.batch)
    this.#retiresDone(domain, retires)
    this.journal.push(opKind.treeInserted, part.table.ordinal, part.partition, plan.ordinal, record)
  }

  /** R26: at the write. Null is equal to nothing. */
  #mustBeUnique(part: TablePart, plan: TreePlan, row: number): void {
    const from = this.#newKey
    const to = this.#oldKey
    from.length = 0
    to.length = 0
    if (!plan.appendValues(row, from)) return
    plan.appendValues(row, to)
    const hasEnd = prefixEnd(to)
    const tree = part.trees[plan.ordinal]!
    const root = tree.rootNow()
    if (root === 0) return
    this.#equal.length = 0
    tree.gather(root, { from: from.bytes, fromLength: from.length, fromExclusive: false, to: hasEnd ? to.bytes : undefined, toLength: to.length, reverse: false }, 1, this.#equal)
    if (this.#equal.length > 0) throw notUnique(part.table, plan, row, this.#equal[0]!)
  }

  #removeEntry(part: TablePart, plan: TreePlan, row: number): void {
    if (!plan.isPlain && !plan.holds(row)) return
    const key = this.#entryKey(plan, row, this.#oldKey)
    const tree = part.trees[plan.ordinal]!
    const { domain } = tree
    const retires = tree.retiresToChange() + 1
    this.#reserve(domain, 0, 2 + retires)
    this.journal.reserve(0)
    tree.reserveRemove()
    const removal = tree.remove(key.bytes, key.length, this.batch)
    assert(removal !== 0, 'every row of a table stands in each of its trees that holds it')
    this.#retiresDone(domain, retires)
    this.journal.push(opKind.treeRemoved, part.table.ordinal, part.partition, plan.ordinal, removal)
  }

  #entryKey(plan: TreePlan, row: number, into: KeyBuffer): KeyBuffer {
    into.length = 0
    plan.entry(row, into)
    return into
  }

  /** The rows of tables with something to prove that the transaction leaves changed and alive, in the order of first touch. */
  forEachToProve(visit: (table: TableStore, row: number) => void): void {
    const { journal } = this
    for (let at = 0; at < journal.length; at += opInts) {
      const kind = journal.ops[at]
      if (kind !== opKind.inserted && kind !== opKind.touched && kind !== opKind.touchedFirst) continue
      const table = this.#store.tables[journal.ops[at + 1]!]!
      const row = journal.ops[at + 3]!
      if ((table.rowChecks.length > 0 || table.refersTo.length > 0) && (this.#i32[row * 2 + 3]! & flagDeleted) === 0) visit(table, row)
    }
  }

  /**
   * The rows of tables that others refer to which the transaction found and does not leave, each once, in the order of first touch; then those that
   * `visit` itself has deleted meanwhile and that stand further up, for they had been touched before.
   */
  forEachGone(visit: (table: TableStore, row: number) => void): void {
    const { journal } = this
    let visited: Set<number> | undefined // most transactions have none
    for (let before = -1; before < (visited?.size ?? 0); ) {
      before = visited?.size ?? 0
      for (let at = 0; at < journal.length; at += opInts) {
        const kind = journal.ops[at]
        if (kind !== opKind.touched && kind !== opKind.touchedFirst) continue
        const table = this.#store.tables[journal.ops[at + 1]!]!
        const row = journal.ops[at + 3]!
        if (table.referredBy.length === 0 || (this.#i32[row * 2 + 3]! & flagDeleted) === 0 || visited?.has(row) === true) continue
        this.#showBefore(at)
        if ((this.#before.words[this.#before.at + 3]! & flagDeleted) !== 0) continue
        visited ??= new Set()
        visited.add(row)
        visit(table, row)
      }
    }
  }

  /** The transaction has put the row there, or has left something else in the columns that refer. */
  hasChanged({ child, groups }: Reference, row: number): boolean {
    const { journal } = this
    const op = journal.opOfRow(row)
    if (journal.ops[op] === opKind.inserted) return true
    this.#showBefore(op)
    const { words, at } = this.#before
    return (words[at + 3]! & flagDeleted) !== 0 || (child.groups.changed(words, at, this.#i32, row * 2) & groups) !== 0
  }

  // ── the end of a transaction ──────────────────────────────────────────────────────────────────────────

  /** Takes everything back, in reverse. Allocates nothing (R11): what it retires was reserved when it was journaled. */
  undo(): void {
    const { ops } = this.journal
    for (let at = this.journal.length - opInts; at >= 0; at -= opInts) {
      const part = this.#store.tables[ops[at + 1]!]!.part(ops[at + 2]!)
      switch (ops[at]) {
        case opKind.touched:
        case opKind.touchedFirst:
          this.#showBefore(at)
          this.#restoreRow(part, ops[at + 3]!)
          break
        case opKind.inserted:
          this.#i32[ops[at + 3]! * 2 + 3]! |= flagDeleted // R14: an undone insert counts as a delete
          this.#store.retireRow(part, ops[at + 3]!)
          break
        case opKind.brought:
          this.#i32[ops[at + 3]! * 2 + 3] = flagDeleted | flagUnknown
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
  #restoreRow(part: TablePart, row: number): void {
    const { layout } = part.table
    const i32 = this.#i32
    const { words, at } = this.#before
    for (const column of layout.vars) {
      const cell = row * 2 + column.at
      const address = longAddress(i32, cell)
      if (address !== 0 && address !== longAddress(words, at + column.at)) part.domain.retireBlock(address, wordsFor(i32[cell]! & lengthMask))
    }
    const queued = i32[row * 2 + 3]! & flagQueued
    i32[row * 2 + 3] = (words[at + 3]! & ~flagQueued) | queued
    for (let n = rowHeaderInts; n < layout.words * 2; n += 1) i32[row * 2 + n] = words[at + n]!
    if ((words[at + 3]! & flagDeleted) !== 0) this.#store.retireRow(part, row)
  }

  /** Commits: records the net change of each row in the order of first touch, and retires what it replaced. */
  commit(log: LaneLog): void {
    const { ops, length } = this.journal
    for (let at = 0; at < length; at += opInts) {
      const kind = ops[at]
      if (kind === opKind.inserted) this.#commitInserted(log, ops[at + 1]!, ops[at + 2]!, ops[at + 3]!)
      else if (kind === opKind.touched || kind === opKind.touchedFirst) this.#commitTouched(log, ops[at + 1]!, ops[at + 2]!, ops[at + 3]!, at)
    }
  }

  /** Commits changes of the engine's own tables, which the log does not record: only what must be retired is. */
  settle(): void {
    const { ops } = this.journal
    for (let at = 0; at < this.journal.length; at += opInts) {
      const isTouched = ops[at] === opKind.touched || ops[at] === opKind.touchedFirst
      if (!isTouched && ops[at] !== opKind.inserted) continue
      const row = ops[at + 3]!
      const part = this.#store.tables[ops[at + 1]!]!.part(ops[at + 2]!)
      if ((this.#i32[row * 2 + 3]! & flagDeleted) !== 0) this.#store.retireRow(part, row)
      if (!isTouched) continue
      this.#showBefore(at)
      this.#retireReplaced(part, row)
    }
  }

  /** Long values of the row before the transaction that are not its values any more. */
  #retireReplaced(part: TablePart, row: number): void {
    const { words, at } = this.#before
    const { vars } = part.table.layout
    for (let n = 0; n < vars.length; n += 1) {
      const cell = vars[n]!.at
      const old = longAddress(words, at + cell)
      if (old !== 0 && old !== longAddress(this.#i32, row * 2 + cell)) part.domain.retireBlock(old, wordsFor(words[at + cell]! & lengthMask))
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

  #commitTouched(log: LaneLog, tableOrdinal: number, partition: number, row: number, op: number): void {
    const table = this.#store.tables[tableOrdinal]!
    const { memory } = this.#store
    this.#showBefore(op)
    const before = this.#before
    const wasDeleted = (before.words[before.at + 3]! & flagDeleted) !== 0
    const isDeleted = (this.#i32[row * 2 + 3]! & flagDeleted) !== 0
    if (!isDeleted) {
      if (wasDeleted) {
        const at = writeImage(log, table, memory, this.#i32, row * 2, this.#length)
        log.addChange(tableOrdinal, changeKind.insert, at, this.#length.bytes, 0, 0)
      } else {
        this.#now.at = row * 2
        const beforeAt = writeBefore(log, table, memory, before, this.#now, this.#length)
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
      this.#store.retireRow(table.part(partition), row)
    }
    if (table.layout.vars.length > 0) this.#retireReplaced(table.part(partition), row)
  }

  /** Some of the reserved records are written, or will not be. */
  #retiresDone(domain: Domain, records: number): void {
    this.#pendingRetires[domain.ordinal]! -= records
  }

  /** Room for words of the undo log, and for retire records beside all that the transaction may still write. */
  #reserve(domain: Domain, undoWords: number, records: number): void {
    const pending = this.#pendingRetires[domain.ordinal]! + records
    domain.reserveLogs(undoWords, pending)
    this.#pendingRetires[domain.ordinal] = pending
  }
}

function notUnique(table: TableStore, plan: TreePlan, row: number, other: number): SluiceError {
  const own = plan.columns.slice(0, plan.own)
  const names = own.map((column) => table.descriptor.columns[column]!.name).join(', ')
  const value = bareKey(own.map((column) => shownValue(table.codec.readers[column]!(row))))
  return SluiceError.of('CONSTRAINT', `"${table.name}" has a row with the same ${names} already: its unique index "${plan.name}" holds no value twice.`, {
    details: { table: table.name, key: keyOfRow(table, row), constraint: plan.name, value, other: keyOfRow(table, other) },
  })
}

/** What the first change of a row of so many words counts for (R41): its images before and after. */
export const changeCost = (words: number): number => 2 * words * 8 + recordCostBytes
