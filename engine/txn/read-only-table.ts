/**
 * A table that may be read and not written, inside a transaction that may write others: for procedures with `readonly: true` that are
 * called by one that writes, and for tables of another service that grants reading them.
 *
 * It stands before the handle of the table, which reads as always: the partition is checked (R25), reads are counted, and noted when the
 * transaction runs ahead. So reading is as serializable as reading one's own tables. Whatever writes is refused and dooms (R24).
 */
import { SluiceError } from '../base/errors.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TableStore } from '../store/table-store.js'
import { type AnyIndexHandle, noNames, UniqueIndexHandle } from './index-handle.js'
import { type TableAccess } from './table-handle.js'
import type { Transaction } from './transaction.js'

/** Why nothing can be written here, as the end of a sentence that names what was tried. */
export type WhyReadOnly = string

export const inReadOnlyProcedure: WhyReadOnly = 'in a procedure with readonly: true, which changes nothing: leave readonly out, or call a procedure that writes from one that does too'
export const ofAnotherService: WhyReadOnly = 'on a table of another service, which may be read here and not written: call a procedure of its service, tx.call(procedure, input), or emit an event that it handles'
export const ofReplica: WhyReadOnly = 'on a replica, which is read and not written: call a procedure of the service that has the table'

export class ReadOnlyTable implements TableAccess {
  readonly index: Readonly<Record<string, AnyIndexHandle>>
  readonly #transaction: Transaction
  readonly #name: string
  readonly #table: TableAccess
  readonly #why: WhyReadOnly

  constructor(transaction: Transaction, table: TableStore, access: TableAccess, why: WhyReadOnly) {
    this.#transaction = transaction
    this.#name = table.name
    this.#table = access
    this.#why = why
    const indexes = Object.create(noNames) as Record<string, AnyIndexHandle>
    for (const [name, index] of Object.entries(access.index)) indexes[name] = this.#readOnlyIndex(index)
    this.index = Object.freeze(indexes)
    Object.freeze(this)
  }

  get(key: unknown): PlainRow | undefined {
    return this.#table.get(key)
  }
  has(key: unknown): boolean {
    return this.#table.has(key)
  }
  row(key: unknown): object | undefined {
    const row = this.#table.row(key)
    return row === undefined ? undefined : this.#readOnlyRow(row)
  }
  scan(range?: unknown): Iterable<PlainRow> {
    return this.#table.scan(range)
  }
  rows(range?: unknown): Iterable<object> {
    return this.#readOnlyRows(this.#table.rows(range))
  }
  count(): number {
    return this.#table.count()
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

  /** A plain object with the operations of the handle it stands for. */
  #readOnlyIndex(index: AnyIndexHandle): AnyIndexHandle {
    const get = (values: unknown): unknown => index.get(values)
    const scan = (range?: unknown): Iterable<PlainRow> => index.scan(range)
    if (index instanceof UniqueIndexHandle) {
      const row = (values: unknown): object | undefined => {
        const found = index.row(values)
        return found === undefined ? undefined : this.#readOnlyRow(found)
      }
      return Object.freeze({ get, row, scan }) as unknown as AnyIndexHandle
    }
    return Object.freeze({ get, rows: (values: unknown) => this.#readOnlyRows(index.rows(values)), scan }) as unknown as AnyIndexHandle
  }
  *#readOnlyRows(rows: Iterable<object>): Iterable<object> {
    for (const row of rows) yield this.#readOnlyRow(row)
  }
  /** The getters of an accessor need the accessor itself. */
  #readOnlyRow(row: object): object {
    const refuse = (name: string | symbol): never => this.#refuse(`Setting "${String(name)}"`)
    return new Proxy(row, {
      get: (target, name) => Reflect.get(target, name) as unknown,
      set: (_target, name) => refuse(name),
      defineProperty: (_target, name) => refuse(name),
    })
  }

  #refuse(what: string): never {
    this.#transaction.mustBeOpen()
    return this.#transaction.fail(SluiceError.of('INVALID_USE', `${what} of "${this.#name}" was called ${this.#why}.`, { details: { table: this.#name } }))
  }
}
