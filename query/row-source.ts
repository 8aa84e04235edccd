/**
 * One table as a running query reads it. Two kinds:
 *
 *   named      inside of a transaction: accessors where the handle has them (in a lane, so that only the columns that are looked at are
 *              read, and count as read), plain rows else. Columns by name.
 *   addressed  at a view: where the version of a row stands until the next one is asked for. Columns by number, through the readers of
 *              the store, so that no row is made of what a condition leaves out.
 */
import type { SnapshotView, TableDescriptor, TableStore } from '../engine/index.js'

/** A row is truthy. */
export type StoredRow = object | number

export interface RowSource {
  readonly descriptor: TableDescriptor
  get(key: unknown): StoredRow | undefined | 0
  index(name: string, values: readonly unknown[], isUnique: boolean): Iterable<StoredRow>
  /** Of an index, or of the primary key where the name is empty. */
  scan(name: string, range: object): Iterable<StoredRow>
  all(): Iterable<StoredRow>
}

/** What handles of transactions have in common. */
export interface NamedHandle {
  get(key: unknown): object | undefined
  row?(key: unknown): object | undefined
  scan?(range: object): Iterable<object>
  rows?(range: object): Iterable<object>
  readonly index: Readonly<Record<string, NamedIndex>>
}
interface NamedIndex {
  get(values: unknown): readonly object[] | object | undefined
  row?(values: unknown): object | undefined
  rows?(values: unknown): Iterable<object>
  scan(range: object): Iterable<object>
}

/** One column is given bare, several as a list. */
const bare = (values: readonly unknown[]): unknown => (values.length === 1 ? values[0] : values)

export class NamedSource implements RowSource {
  readonly descriptor: TableDescriptor
  readonly #handle: NamedHandle

  constructor(descriptor: TableDescriptor, handle: object) {
    this.descriptor = descriptor
    this.#handle = handle as NamedHandle
  }

  get(key: unknown): object | undefined {
    const handle = this.#handle
    return handle.row === undefined ? handle.get(key) : handle.row(key)
  }

  index(name: string, values: readonly unknown[], isUnique: boolean): Iterable<object> {
    const index = this.#handle.index[name]!
    if (!isUnique) return index.rows === undefined ? (index.get(bare(values)) as readonly object[]) : index.rows(bare(values))
    const row = index.row === undefined ? (index.get(bare(values)) as object | undefined) : index.row(bare(values))
    return row === undefined ? [] : [row]
  }

  scan(name: string, range: object): Iterable<object> {
    const handle = this.#handle
    if (name !== '') return handle.index[name]!.scan(range)
    return handle.rows === undefined ? handle.scan!(range) : handle.rows(range)
  }

  /** No plan for a transaction asks for it. */
  all(): never {
    throw new TypeError('a transaction reads tables in order')
  }
}

export class AddressedSource implements RowSource {
  readonly descriptor: TableDescriptor
  readonly #view: SnapshotView
  readonly #table: TableStore

  constructor(view: SnapshotView, table: TableStore) {
    this.descriptor = table.descriptor
    this.#view = view
    this.#table = table
  }

  get(key: unknown): number {
    return this.#view.find(this.#table, key)
  }
  index(name: string, values: readonly unknown[]): Iterable<number> {
    return this.#versions(this.#view.addressesWith(this.#table, this.#treeOf(name), bare(values)))
  }
  scan(name: string, range: object): Iterable<number> {
    return this.#versions(this.#view.addressesIn(this.#table, this.#treeOf(name), range))
  }
  all(): Iterable<number> {
    return this.#versions(this.#view.addressesOfAll(this.#table))
  }

  #treeOf(name: string): TableStore['trees'][number] {
    return this.#table.trees.find((tree) => tree.name === name)!
  }
  *#versions(rows: readonly number[]): Iterable<number> {
    for (const row of rows) {
      const version = this.#view.versionOf(this.#table, row)
      if (version !== 0) yield version
    }
  }
}

/** At a view that has no addresses for its rows: whole rows, columns by name. */
export class LayeredSource implements RowSource {
  readonly descriptor: TableDescriptor
  readonly #view: SnapshotView
  readonly #table: TableStore

  constructor(view: SnapshotView, table: TableStore) {
    this.descriptor = table.descriptor
    this.#view = view
    this.#table = table
  }

  get(key: unknown): object | undefined {
    return this.#view.get(this.#table, key)
  }
  index(name: string, values: readonly unknown[]): Iterable<object> {
    return this.#view.indexGet(this.#table, this.#treeOf(name), bare(values))
  }
  scan(name: string, range: object): Iterable<object> {
    return this.#view.scan(this.#table, this.#treeOf(name), range)
  }
  all(): Iterable<object> {
    return this.#view.all(this.#table)
  }
  #treeOf(name: string): TableStore['trees'][number] {
    return this.#table.trees.find((tree) => tree.name === name)!
  }
}

/** How generated code reads column `column` of the row `r` of source `source`. */
export interface ColumnAccess {
  readonly expression: (source: number, column: number) => string
  /** By source, then by column; `read` in the code. */
  readonly readers: readonly (readonly ((row: number) => unknown)[])[]
}

export function namedColumns(tables: readonly TableDescriptor[]): ColumnAccess {
  return { expression: (source, column) => `r[${JSON.stringify(tables[source]!.columns[column]!.name)}]`, readers: [] }
}
export function addressedColumns(tables: readonly TableStore[]): ColumnAccess {
  return { expression: (source, column) => `read${source}_${column}(r)`, readers: tables.map((table) => table.codec.readers) }
}
