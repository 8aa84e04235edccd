/**
 * A table inside `db.transact`: the snapshot with the draft's own writes over it.
 *
 * Every look at the snapshot is written down, as little as it saw: that a row is there, one column, a whole row, or the rows of a range
 * up to the last one that was looked at. Looks at what the draft itself has written are no reads, for nobody can change that. A
 * read is written down once; looking again sees the same, for the snapshot stays.
 *
 * The handles and rules are those of procedures (txn/table-handle.ts), except that rows are plain: an accessor would have to
 * live as long as the awaits of its caller.
 */
import { copyCanonical } from './base/canonical.js'
import { SluiceError } from './base/errors.js'
import type { Draft } from './draft.js'
import { draftSequence } from './draft-sequence.js'
import { type Change, changedColumn, draftKey, type DraftKey, DraftOverlay, lastSet, type Written } from './draft-overlay.js'
import { compareKeys, KeyBuffer } from './schema/key-codec.js'
import { type Bounds, boundsOf, boundsOfValues, isNullAmong, isWithin } from './store/range-bounds.js'
import type { PlainRow } from './store/row-codec.js'
import type { TableStore, TreePlan } from './store/table-store.js'
import { namesOf } from './txn/draft-commit.js'
import type { RangeKind } from './txn/draft-codec.js'
import { noNames } from './txn/index-handle.js'
import type { RowInput } from './txn/row-input.js'
import type { Sequence } from './txn/sequence.js'
import { ValueHash } from './txn/value-hash.js'
import { keyOfGiven, withKey } from './txn/violation.js'

/** What of a row has been written down. */
interface Seen {
  existence: boolean
  row: boolean
  readonly columns: Set<number>
}

/** A row of the overlay that a range may have, under the bytes that place it in the tree. */
interface OwnRow {
  readonly key: Uint8Array
  readonly row: PlainRow
}

/** `tx.table(t).index.<name>`. A unique one gets one row, or none. */
interface DraftIndex {
  get(values: unknown): readonly PlainRow[] | PlainRow | undefined
  scan(range?: unknown): Iterable<PlainRow>
}

export class DraftTable {
  readonly index: Readonly<Record<string, DraftIndex>>
  readonly #draft: Draft
  readonly #table: TableStore
  readonly #input: RowInput
  readonly #names: readonly string[]
  readonly #overlay = new DraftOverlay()
  readonly #seen = new Map<unknown, Seen>()
  readonly #sequence: Sequence | undefined
  readonly #hash = new ValueHash()

  constructor(draft: Draft, table: TableStore) {
    this.#draft = draft
    this.#table = table
    this.#input = draft.kit.inputOf(table)
    this.#names = namesOf(table)
    this.#sequence = draftSequence(draft, table, (counters) => new DraftTable(draft, counters))
    const indexes = Object.create(noNames) as Record<string, DraftIndex>
    for (const plan of table.trees) if (plan.name !== '') indexes[plan.name] = this.#indexOf(plan)
    this.index = Object.freeze(indexes)
    Object.freeze(this)
  }

  // ── one row ───────────────────────────────────────────────────────────────────────────────────────────

  get(key: unknown): PlainRow | undefined {
    return this.#draft.run(() => this.#rowAt(this.#locate(key)))
  }

  has(key: unknown): boolean {
    return this.#draft.run(() => this.#isThere(this.#locate(key)))
  }

  /** One column: a change of the others is no conflict. */
  value(key: unknown, column: string): unknown {
    return this.#draft.run(() => {
      const ordinal = this.#names.indexOf(column)
      if (ordinal < 0) throw SluiceError.of('INVALID_USE', `"${this.#table.name}" has no column "${String(column)}"; it has ${this.#names.join(', ')}.`)
      return this.#columnAt(this.#locate(key), ordinal)
    })
  }

  /** Not offered: every insert and delete in the table would be a conflict. */
  count(): never {
    return this.#draft.run((): never => {
      throw SluiceError.of('INVALID_USE', `Counting "${this.#table.name}" inside db.transact() would conflict with every insert and delete: count in db.snapshot(), or keep the number in a row and add() to it.`)
    })
  }

  insert(row: unknown): unknown {
    return this.#draft.run(() => {
      const values = this.#checkedRow(row)
      const at = this.#locateRow(values)
      if (this.#isThere(at)) {
        throw SluiceError.of('CONSTRAINT', `"${this.#table.name}" has a row with this key already: use put() to replace it, or update() to change it.`, {
          details: { table: this.#table.name, key: at.key, constraint: 'key' },
        })
      }
      this.#write('insert', at, values)
      return at.key
    })
  }

  put(row: unknown): void {
    this.#draft.run(() => {
      const values = this.#checkedRow(row)
      this.#write('put', this.#locateRow(values), values)
    })
  }

  update(key: unknown, patch: unknown): void {
    this.#draft.run(() => {
      const at = this.#locate(key)
      if (!this.#isThere(at)) throw this.#notFound(at)
      let given = patch
      if (typeof patch === 'function') {
        given = (patch as (row: unknown) => unknown)(Object.freeze(this.#rowAt(at)))
        if (!this.#isThere(at)) throw this.#notFound(at) // it deleted the row
      }
      const { columns, values } = this.#checked(at, () => this.#input.patch(given))
      this.#change(at, columns, values, false)
    })
  }

  /** No read: whether there is a row is asked again in the lane. */
  add(key: unknown, deltas: unknown): void {
    this.#draft.run(() => {
      const at = this.#locate(key)
      const written = this.#overlay.find(at)
      if (written === undefined ? this.#draft.view.find(this.#table, at.key) === 0 : written.kind === 'gone') throw this.#notFound(at)
      const { columns, values } = this.#checked(at, () => this.#input.deltas(deltas))
      this.#change(at, columns, values, true)
    })
  }

  delete(key: unknown): boolean {
    return this.#draft.run(() => {
      const at = this.#locate(key)
      if (!this.#isThere(at)) return false
      this.#noteWrite(at)
      this.#draft.writes.remove(this.#table.ordinal, at.key)
      this.#overlay.set({ kind: 'gone', at })
      return true
    })
  }

  /** What this draft has put there itself, if it has. */
  ownRow(key: unknown): PlainRow | undefined {
    const written = this.#overlay.find(this.#locate(key))
    return written?.kind === 'whole' ? written.row : undefined
  }

  // ── ranges ────────────────────────────────────────────────────────────────────────────────────────────

  scan(range?: unknown): Iterable<PlainRow> {
    return this.#draft.run(() => {
      const table = this.#table
      if (!table.ordered) throw SluiceError.of('INVALID_USE', `"${table.name}" has no order: declare the table with \`ordered: true\` to scan it.`)
      return this.#range('scan', table.trees[0]!, range)
    })
  }
  #indexOf(plan: TreePlan): DraftIndex {
    const rowsWith = (values: unknown): PlainRow[] => this.#draft.run(() => this.#range('indexGet', plan, values))
    return Object.freeze({
      get: plan.unique ? (values: unknown) => (isNullAmong(values) ? undefined : rowsWith(values)[0]) : rowsWith,
      scan: (range?: unknown) =>
        this.#draft.run(() => {
          if (!plan.range) throw SluiceError.of('INVALID_USE', `Index "${plan.name}" of "${this.#table.name}" has no order: declare it with \`range: true\`.`)
          return this.#range('indexScan', plan, range)
        }),
    })
  }

  /**
   * The rows of a range, own writes merged in. What is written down is how far the snapshot was looked at: so many rows, or one
   * more than there were when its end was seen.
   */
  #range(kind: RangeKind, plan: TreePlan, argument: unknown): PlainRow[] {
    const own = copyCanonical(argument)
    const table = this.#table
    const bounds = kind === 'indexGet' ? boundsOfValues(table, plan, own) : boundsOf(table, plan, plan.own === 0 ? plan.columns.length : plan.own, own)
    if (bounds.isEmpty || bounds.limit === 0) return []
    const { rows, hidden } = this.#ownRows(plan, bounds)
    const base = [...this.#draft.view.rowsIn(table, plan, { ...bounds, limit: Math.min(bounds.limit + hidden.size, this.#draft.rowsLeft + 1) })]
    const sign = bounds.range.reverse ? -1 : 1
    const found: PlainRow[] = []
    let place = 0
    let ownPlace = 0
    let looked = 0
    let isEndSeen = false
    while (found.length < bounds.limit) {
      const theirs = base[place]
      const mine = rows[ownPlace]
      if (theirs === undefined) isEndSeen = true
      else looked = place + 1
      const written = theirs === undefined || this.#overlay.size === 0 ? undefined : this.#overlay.find(this.#keyOf(theirs))
      if (written !== undefined && hidden.has(written)) {
        place += 1
        continue
      }
      if (mine !== undefined && (theirs === undefined || sign * compareKeys(mine.key, this.#placeOf(plan, theirs)) < 0)) {
        found.push(copyCanonical(mine.row) as PlainRow)
        ownPlace += 1
        continue
      }
      if (theirs === undefined) break
      found.push(written?.kind === 'changed' ? this.#changed(theirs, written.changes) : theirs)
      place += 1
    }
    this.#draft.countRows(looked)
    this.#draft.noteRead(table, table.partitionOfLeading(plan.columns, bounds.fixed))
    this.#hash.begin()
    for (let n = 0; n < looked; n += 1) this.#hash.row(base[n]!, this.#names)
    const again = kind === 'indexGet' ? own : { ...(own as object | undefined), limit: isEndSeen ? looked + 1 : looked }
    this.#draft.reads.range(kind, table.ordinal, plan.ordinal, again, looked, this.#hash.end())
    return found
  }

  /** Own rows inside of a range, in its order; and what hides a row of the snapshot: it is not there any more, or stands elsewhere. */
  #ownRows(plan: TreePlan, bounds: Bounds): { readonly rows: readonly OwnRow[]; readonly hidden: ReadonlySet<Written> } {
    const rows: OwnRow[] = []
    const hidden = new Set<Written>()
    for (const written of this.#overlay.all()) {
      if (written.kind === 'changed' && !written.changes.some(({ columns }) => columns.some((column) => plan.movedBy.has(column)))) continue
      hidden.add(written)
      if (written.kind === 'gone') continue
      const row = written.kind === 'whole' ? written.row : this.#rowAt(written.at)
      if (row === undefined || !plan.holdsPlain(row)) continue
      const key = this.#placeOf(plan, row)
      if (isWithin(key, bounds)) rows.push({ key, row })
    }
    const sign = bounds.range.reverse ? -1 : 1
    rows.sort((a, b) => sign * compareKeys(a.key, b.key))
    return { rows, hidden }
  }

  #placeOf(plan: TreePlan, row: PlainRow): Uint8Array {
    const buffer = new KeyBuffer()
    plan.codec.encode(plan.columns.map((column) => row[this.#names[column]!]), buffer)
    return buffer.view()
  }

  // ── looks at the snapshot, written down ───────────────────────────────────────────────────────────────

  #isThere(at: DraftKey): boolean {
    const written = this.#overlay.find(at)
    if (written !== undefined && written.kind !== 'changed') return written.kind === 'whole'
    const isThere = this.#draft.view.find(this.#table, at.key) !== 0
    const seen = this.#seenOf(at)
    if (seen.existence) return isThere
    this.#noteRead(at)
    this.#draft.reads.existence(this.#table.ordinal, at.key, isThere)
    seen.existence = true
    return isThere
  }

  #rowAt(at: DraftKey): PlainRow | undefined {
    const written = this.#overlay.find(at)
    if (written?.kind === 'gone') return undefined
    if (written?.kind === 'whole') return copyCanonical(written.row) as PlainRow
    const row = this.#draft.view.get(this.#table, at.key)
    if (row === undefined) {
      this.#isThere(at)
      return undefined
    }
    const seen = this.#seenOf(at)
    if (!seen.row) {
      this.#noteRead(at)
      this.#hash.begin().row(row, this.#names)
      this.#draft.reads.row(this.#table.ordinal, at.key, this.#hash.end())
      seen.row = true
      seen.existence = true
    }
    return written === undefined ? row : this.#changed(row, written.changes)
  }

  #columnAt(at: DraftKey, column: number): unknown {
    const written = this.#overlay.find(at)
    if (written?.kind === 'gone') return undefined
    if (written?.kind === 'whole') return copyCanonical(written.row[this.#names[column]!])
    const changes = written?.changes ?? []
    const set = lastSet(column, changes)
    if (!this.#isThereForColumn(at, set >= 0)) return undefined
    if (set >= 0) return copyCanonical(changedColumn(column, undefined, changes, (value) => this.#input.column(column, value), set))
    const value = this.#draft.view.value(this.#table, at.key, column)
    const seen = this.#seenOf(at)
    if (!seen.row && !seen.columns.has(column)) {
      this.#noteRead(at)
      this.#hash.begin().value(value)
      this.#draft.reads.column(this.#table.ordinal, at.key, column, this.#hash.end())
      seen.columns.add(column)
      seen.existence = true
    }
    return changedColumn(column, value, changes, (sum) => this.#input.column(column, sum))
  }

  /** The read of a column says that there is a row; where there is none, or the column is our own, existence is what is read. */
  #isThereForColumn(at: DraftKey, isOwn: boolean): boolean {
    return isOwn || this.#draft.view.find(this.#table, at.key) === 0 ? this.#isThere(at) : true
  }

  #changed(row: PlainRow, changes: readonly Change[]): PlainRow {
    const next = { ...row }
    for (const column of new Set(changes.flatMap(({ columns }) => columns))) {
      const name = this.#names[column]!
      next[name] = copyCanonical(changedColumn(column, row[name], changes, (value) => this.#input.column(column, value)))
    }
    return next
  }

  #seenOf(at: DraftKey): Seen {
    let seen = this.#seen.get(at.id)
    if (seen === undefined) {
      seen = { existence: false, row: false, columns: new Set() }
      this.#seen.set(at.id, seen)
    }
    return seen
  }

  // ── writes, kept back ─────────────────────────────────────────────────────────────────────────────────

  #write(kind: 'insert' | 'put', at: DraftKey, values: readonly unknown[]): void {
    this.#noteWrite(at)
    this.#draft.writes.whole(kind, this.#table.ordinal, values)
    const kept = copyCanonical(values) as unknown[]
    this.#overlay.set({ kind: 'whole', at, row: Object.fromEntries(this.#names.map((name, n) => [name, kept[n]])) })
  }

  #change(at: DraftKey, columns: readonly number[], values: readonly unknown[], isDelta: boolean): void {
    if (columns.length === 0) return
    this.#noteWrite(at)
    this.#draft.writes.columns(isDelta ? 'add' : 'update', this.#table.ordinal, at.key, columns, values)
    const change = { columns, values: copyCanonical(values) as unknown[], isDelta }
    const written = this.#overlay.find(at)
    if (written?.kind === 'whole') this.#overlay.set({ kind: 'whole', at, row: this.#changed(written.row, [change]) })
    else this.#overlay.change(at, change)
  }

  /** Errors of columns name the row. */
  #checkedRow(row: unknown): unknown[] {
    try {
      return this.#input.row(row, this.#sequence)
    } catch (error) {
      throw withKey(error, () => keyOfGiven(this.#table, row))
    }
  }
  #checked<T>(at: DraftKey, work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw withKey(error, () => at.key)
    }
  }

  // ── keys ──────────────────────────────────────────────────────────────────────────────────────────────

  #locate(key: unknown): DraftKey {
    this.#table.key.set(key)
    return draftKey(copyCanonical(this.#table.key.values) as unknown[])
  }
  #locateRow(values: readonly unknown[]): DraftKey {
    this.#table.key.setFromRow(values)
    return draftKey(copyCanonical(this.#table.key.values) as unknown[])
  }
  #keyOf(row: PlainRow): DraftKey {
    return draftKey(this.#table.descriptor.key.map((column) => row[this.#names[column]!]))
  }

  #noteRead(at: DraftKey): void {
    this.#draft.countRows(1)
    this.#draft.noteRead(this.#table, this.#partitionOf(at))
  }
  #noteWrite(at: DraftKey): void {
    this.#draft.noteWrite(this.#table, this.#partitionOf(at))
  }
  #partitionOf(at: DraftKey): number {
    this.#table.key.set(at.key)
    return this.#table.partitionOfKey()
  }

  #notFound(at: DraftKey): SluiceError {
    return SluiceError.of('NOT_FOUND', `"${this.#table.name}" has no row with this key: insert() it first, or use put().`, { details: { table: this.#table.name, key: at.key } })
  }
}
