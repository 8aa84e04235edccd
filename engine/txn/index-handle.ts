/**
 * Indexes inside a procedure: `tx.db.<table>.index.<name>`, each a handle that asks its table, whatever that one is: rows as they stand, ahead of
 * their turn, of a fork or of a snapshot.
 */
import { isNullAmong } from '../store/range-bounds.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TableStore, TreePlan } from '../store/table-store.js'

/**
 * The prototype of objects whose names are the user's: none of them means anything else (R64). Not null itself, for objects without
 * a prototype are kept as hash tables, where a look-up costs 10 ns and is never inlined.
 */
export const noNames: object = Object.freeze(Object.create(null) as object)

/** What an index asks of its table. */
export interface IndexedTable {
  indexGet(plan: TreePlan, values: unknown): readonly PlainRow[]
  indexRows(plan: TreePlan, values: unknown): Iterable<object>
  indexScan(plan: TreePlan, range: unknown): Iterable<PlainRow>
}

/** One that is not unique. */
export class IndexHandle {
  readonly #table: IndexedTable
  readonly #plan: TreePlan
  constructor(table: IndexedTable, plan: TreePlan) {
    this.#table = table
    this.#plan = plan
    Object.freeze(this)
  }
  get(values: unknown): readonly PlainRow[] {
    return this.#table.indexGet(this.#plan, values)
  }
  rows(values: unknown): Iterable<object> {
    return this.#table.indexRows(this.#plan, values)
  }
  scan(range?: unknown): Iterable<PlainRow> {
    return this.#table.indexScan(this.#plan, range)
  }
}

/** A unique one: there is one row, or none. */
export class UniqueIndexHandle {
  readonly #table: IndexedTable
  readonly #plan: TreePlan
  constructor(table: IndexedTable, plan: TreePlan) {
    this.#table = table
    this.#plan = plan
    Object.freeze(this)
  }
  get(values: unknown): PlainRow | undefined {
    const rows = this.#table.indexGet(this.#plan, values)
    return isNullAmong(values) ? undefined : rows[0]
  }
  row(values: unknown): object | undefined {
    const rows = this.#table.indexRows(this.#plan, values)
    if (isNullAmong(values)) return undefined
    for (const row of rows) return row
    return undefined
  }
  scan(range?: unknown): Iterable<PlainRow> {
    return this.#table.indexScan(this.#plan, range)
  }
}
export type AnyIndexHandle = IndexHandle | UniqueIndexHandle

/** Those of a table, by name; its own order is none. */
export function indexHandlesOf(access: IndexedTable, { trees }: TableStore): Readonly<Record<string, AnyIndexHandle>> {
  const handles = Object.create(noNames) as Record<string, AnyIndexHandle>
  for (const plan of trees) if (plan.name !== '') handles[plan.name] = plan.unique ? new UniqueIndexHandle(access, plan) : new IndexHandle(access, plan)
  return Object.freeze(handles)
}
