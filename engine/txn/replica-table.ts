/**
 * A replica without rows of its own (`strong`, `batch`) inside a transaction: its source, through the key and the chosen columns.
 *
 * It stands before an access to the source and asks that for accessors only, so that what is read, counted and noted (R25, running
 * ahead) are the columns it shows. Whatever writes is refused and dooms (R24).
 */
import { SluiceError } from '../base/errors.js'
import type { ReplicaProgram } from '../schema/descriptor.js'
import type { PlainRow } from '../store/row-codec.js'
import { type AnyIndexHandle, noNames } from './index-handle.js'
import { type TableAccess } from './table-handle.js'

/** What a replica asks of the transaction that reads it. */
export interface ReplicaScope {
  /** The same as long as it is the same transaction. */
  readonly number: number
  /** Throws unless the transaction of this number is open. */
  mustBeOf(number: number): void
  fail(error: SluiceError): never
}

/** What it reads of its source. */
export type ReadAccess = Pick<TableAccess, 'index' | 'row' | 'has' | 'rows' | 'count'>

export class ReplicaTable implements TableAccess {
  readonly index: Readonly<Record<string, AnyIndexHandle>>
  readonly #scope: ReplicaScope
  readonly #name: string
  readonly #source: ReadAccess
  readonly #names: readonly string[]
  readonly #shown: ReadonlySet<string | symbol>

  constructor(scope: ReplicaScope, { descriptor }: ReplicaProgram, source: ReadAccess) {
    this.#scope = scope
    this.#name = descriptor.name
    this.#source = source
    this.#names = descriptor.columns.map(({ name }) => name)
    this.#shown = new Set(this.#names)
    const indexes = Object.create(noNames) as Record<string, AnyIndexHandle>
    for (const { name, unique } of descriptor.indexes) indexes[name] = this.#indexOf(source.index[name]!, unique)
    this.index = Object.freeze(indexes)
    Object.freeze(this)
  }

  get(key: unknown): PlainRow | undefined {
    return this.#plain(this.#source.row(key))
  }
  row(key: unknown): object | undefined {
    return this.#live(this.#source.row(key))
  }
  has(key: unknown): boolean {
    return this.#source.has(key)
  }
  count(): number {
    return this.#source.count()
  }
  scan(range?: unknown): Iterable<PlainRow> {
    return this.#each(this.#source.rows(range), (row) => this.#plain(row)!)
  }
  rows(range?: unknown): Iterable<object> {
    return this.#each(this.#source.rows(range), (row) => this.#live(row)!)
  }

  insert(): never {
    return this.#refuse('insert()')
  }
  put(): never {
    return this.#refuse('put()')
  }
  update(): never {
    return this.#refuse('update()')
  }
  add(): never {
    return this.#refuse('add()')
  }
  delete(): never {
    return this.#refuse('delete()')
  }

  #indexOf(index: AnyIndexHandle, isUnique: boolean): AnyIndexHandle {
    const scan = (range?: unknown): Iterable<PlainRow> => this.#each(index.scan(range), (row) => this.#plain(row)!)
    if (isUnique && 'row' in index) {
      const get = (values: unknown): PlainRow | undefined => this.#plain(index.row(values))
      return Object.freeze({ get, row: (values: unknown) => this.#live(index.row(values)), scan }) as unknown as AnyIndexHandle
    }
    const { rows } = index as Extract<AnyIndexHandle, { rows: unknown }>
    const found = (values: unknown): Iterable<object> => rows.call(index, values) as Iterable<object>
    return Object.freeze({
      get: (values: unknown) => Array.from(found(values), (row) => this.#plain(row)!),
      rows: (values: unknown) => this.#each(found(values), (row) => this.#live(row)!),
      scan,
    }) as unknown as AnyIndexHandle
  }

  /** Which rows they are is fixed at the call; a scan that was kept is of no later transaction. */
  #each<T>(rows: Iterable<object>, shown: (row: object) => T): Iterable<T> {
    return this.#eachOf(rows[Symbol.iterator](), shown, this.#scope.number)
  }
  *#eachOf<T>(rows: Iterator<object>, shown: (row: object) => T, number: number): Iterable<T> {
    for (;;) {
      this.#scope.mustBeOf(number)
      const step = rows.next()
      if (step.done === true) return
      yield shown(step.value)
    }
  }

  #plain(row: object | undefined): PlainRow | undefined {
    if (row === undefined) return undefined
    const plain: Record<string, unknown> = {}
    for (const name of this.#names) plain[name] = (row as PlainRow)[name]
    return plain
  }

  /** The getters of an accessor need the accessor itself. */
  #live(row: object | undefined): object | undefined {
    if (row === undefined) return undefined
    const scope = this.#scope
    const { number } = scope
    const shown = this.#shown
    const refuse = (name: string | symbol): never => this.#refuse(`Setting "${String(name)}"`)
    return new Proxy(row, {
      get: (target, name) => {
        if (!shown.has(name)) return undefined
        scope.mustBeOf(number)
        return Reflect.get(target, name) as unknown
      },
      has: (_target, name) => shown.has(name),
      set: (_target, name) => refuse(name),
      defineProperty: (_target, name) => refuse(name),
    })
  }

  #refuse(what: string): never {
    const scope = this.#scope
    scope.mustBeOf(scope.number)
    return scope.fail(replicaIsRead(what, this.#name))
  }
}

export function replicaIsRead(what: string, name: string): SluiceError {
  return SluiceError.of('INVALID_USE', `${what} of "${name}" was called on a replica, which is read and not written: call a procedure of the service that has the table.`, { details: { table: name } })
}
