/** A replica outside of transactions: the reader of its own table, or that of its source through the columns it shows. */
import { SluiceError } from '../engine/base/errors.js'
import type { PlainRow, Program, ReplicaProgram, Store } from '../engine/index.js'
import { type ReadSource, TableReader } from '../query/index.js'
import { replicaOf, tableOrdinal } from './catalog.js'

export type AnyReader = TableReader | ReplicaReader

/** What `table(handle)` answers, for a table and for a replica. */
export function readerOf(program: Program, store: Store, source: ReadSource, handle: object): AnyReader {
  const replica = replicaOf(program, handle)
  if (replica === undefined) return new TableReader(source, store.tables[tableOrdinal(program, handle)]!)
  const reader = new TableReader(source, store.tables[replica.table ?? replica.source]!)
  return replica.table === undefined ? new ReplicaReader(reader, replica) : reader
}

/** A moment outside of transactions is the end of a batch: what that left is what stands, so both strengths show the same there. */
export class ReplicaReader implements Iterable<PlainRow> {
  readonly index: Readonly<Record<string, object>>
  readonly #source: TableReader
  readonly #name: string
  readonly #names: readonly string[]

  constructor(source: TableReader, { descriptor }: ReplicaProgram) {
    this.#source = source
    this.#name = descriptor.name
    this.#names = descriptor.columns.map(({ name }) => name)
    const readers = Object.create(null) as Record<string, object>
    for (const { name } of descriptor.indexes) readers[name] = this.#indexOf(source.index[name]!)
    this.index = Object.freeze(readers)
  }

  get(key: unknown): PlainRow | undefined {
    const row = this.#source.get(key)
    return row === undefined ? undefined : this.#shown(row)
  }
  value(key: unknown, column: string): unknown {
    if (this.#names.includes(column)) return this.#source.value(key, column)
    throw SluiceError.of('INVALID_USE', `"${this.#name}" has no column "${String(column)}"; it has ${this.#names.join(', ')}.`)
  }
  has(key: unknown): boolean {
    return this.#source.has(key)
  }
  count(): number {
    return this.#source.count()
  }
  scan(range?: unknown): Iterable<PlainRow> {
    return this.#each(this.#source.scan(range))
  }
  [Symbol.iterator](): Iterator<PlainRow> {
    return this.#each(this.#source)[Symbol.iterator]()
  }

  #indexOf(index: TableReader['index'][string]): object {
    const get = (values: unknown): unknown => {
      const found = index.get(values)
      if (found === undefined) return undefined
      return Array.isArray(found) ? found.map((row: PlainRow) => this.#shown(row)) : this.#shown(found as PlainRow)
    }
    return Object.freeze({ get, scan: (range?: unknown) => this.#each(index.scan(range)) })
  }

  #shown(row: PlainRow): PlainRow {
    return Object.fromEntries(this.#names.map((name) => [name, row[name]]))
  }
  #each(rows: Iterable<PlainRow>): Iterable<PlainRow> {
    const shown = (row: PlainRow): PlainRow => this.#shown(row)
    return {
      *[Symbol.iterator]() {
        for (const row of rows) yield shown(row)
      },
    }
  }
}
