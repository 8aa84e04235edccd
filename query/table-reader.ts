/**
 * A table outside of transactions: single reads, index reads, scans, over one view or over the newest durable batch.
 *
 * `ReadSource` says which view: a snapshot answers with its own each time; the database answers single reads with main's view of
 * the newest batch, and opens a view of its own for an iteration, so that a loop with awaits in it sees one moment.
 */
import { SluiceError } from '../engine/base/errors.js'
import { isNullAmong, type PlainRow, type SnapshotView, type TableStore, type TreePlan } from '../engine/index.js'

export interface ReadSource {
  /** The view for a read that ends before anything else runs. */
  view(): SnapshotView
  /** A view for an iteration, and what to do when it ends. */
  lease(): { readonly view: SnapshotView; readonly end: () => void }
}

const ordinals = new WeakMap<TableStore, ReadonlyMap<string, number>>()

/** Of columns, by name. */
function ordinalsOf(table: TableStore): ReadonlyMap<string, number> {
  let found = ordinals.get(table)
  if (found === undefined) ordinals.set(table, (found = new Map(table.descriptor.columns.map(({ name }, n) => [name, n]))))
  return found
}

export class TableReader implements Iterable<PlainRow> {
  readonly index: Readonly<Record<string, IndexReader | UniqueIndexReader>>
  readonly #source: ReadSource
  readonly #table: TableStore

  constructor(source: ReadSource, table: TableStore) {
    this.#source = source
    this.#table = table
    const readers = Object.create(null) as Record<string, IndexReader | UniqueIndexReader>
    for (const plan of table.trees) if (plan.name !== '') readers[plan.name] = plan.unique ? new UniqueIndexReader(source, table, plan) : new IndexReader(source, table, plan)
    this.index = Object.freeze(readers)
  }

  get(key: unknown): PlainRow | undefined {
    return this.#source.view().get(this.#table, key)
  }

  value(key: unknown, column: string): unknown {
    const ordinal = ordinalsOf(this.#table).get(column)
    if (ordinal === undefined) {
      throw SluiceError.of('INVALID_USE', `"${this.#table.name}" has no column "${String(column)}"; it has ${[...ordinalsOf(this.#table).keys()].join(', ')}.`)
    }
    return this.#source.view().value(this.#table, key, ordinal)
  }

  has(key: unknown): boolean {
    return this.#source.view().find(this.#table, key) !== 0
  }

  count(): number {
    return this.#source.view().count(this.#table)
  }

  scan(range?: unknown): Iterable<PlainRow> {
    const table = this.#table
    if (!table.ordered) throw SluiceError.of('INVALID_USE', `"${table.name}" has no order: declare the table with \`ordered: true\` to scan it.`)
    const plan = table.trees[0]!
    this.#source.view().checkRange(table, plan, range)
    return iterate(this.#source, (view) => view.scan(table, plan, range))
  }

  [Symbol.iterator](): Iterator<PlainRow> {
    return iterate(this.#source, (view) => view.all(this.#table))[Symbol.iterator]()
  }
}

export class IndexReader {
  readonly #source: ReadSource
  readonly #table: TableStore
  readonly #plan: TreePlan

  constructor(source: ReadSource, table: TableStore, plan: TreePlan) {
    this.#source = source
    this.#table = table
    this.#plan = plan
  }

  get(values: unknown): readonly PlainRow[] {
    return this.#source.view().indexGet(this.#table, this.#plan, values)
  }

  scan(range?: unknown): Iterable<PlainRow> {
    if (!this.#plan.range) throw SluiceError.of('INVALID_USE', `Index "${this.#plan.name}" of "${this.#table.name}" has no order: declare it with \`range: true\`.`)
    this.#source.view().checkRange(this.#table, this.#plan, range)
    return iterate(this.#source, (view) => view.scan(this.#table, this.#plan, range))
  }
}

/** Of a unique index: there is one row with these values, or none. Null is equal to nothing. */
export class UniqueIndexReader {
  readonly #source: ReadSource
  readonly #table: TableStore
  readonly #plan: TreePlan
  readonly #rows: IndexReader

  constructor(source: ReadSource, table: TableStore, plan: TreePlan) {
    this.#source = source
    this.#table = table
    this.#plan = plan
    this.#rows = new IndexReader(source, table, plan)
  }

  get(values: unknown): PlainRow | undefined {
    const rows = this.#source.view().indexGet(this.#table, this.#plan, values)
    return isNullAmong(values) ? undefined : rows[0]
  }

  scan(range?: unknown): Iterable<PlainRow> {
    return this.#rows.scan(range)
  }
}

/** A wrong range is refused at the call; the view is held from the first step of the loop to the last. */
function iterate(source: ReadSource, rows: (view: SnapshotView) => Iterable<PlainRow>): Iterable<PlainRow> {
  return {
    *[Symbol.iterator]() {
      const { view, end } = source.lease()
      try {
        yield* rows(view)
      } finally {
        end()
      }
    },
  }
}
