/**
 * What users pass to `insert`, `put`, `update` and `add`: checked values by ordinal (R26, R65), and what is said when they are none.
 *
 * The usual way of a row is compiled for its table (row-input-compile.ts) and comes here for what it has no code for.
 */
import { isPlainObject } from '../base/canonical.js'
import { SluiceError } from '../base/errors.js'
import type { OnViolation } from '../schema/column-check.js'
import type { TableStore } from '../store/table-store.js'
import type { Sequence } from './sequence.js'
import { shownValue } from './violation.js'

export class RowInput {
  readonly #table: TableStore
  readonly #ordinals: ReadonlyMap<string, number>
  readonly #isKey: readonly boolean[]
  readonly #onViolation: readonly OnViolation[]
  /** What is being checked: an error shows it. */
  #value: unknown

  constructor(table: TableStore) {
    this.#table = table
    const { columns, key } = table.descriptor
    this.#ordinals = new Map(columns.map((column, n) => [column.name, n]))
    this.#isKey = columns.map((_, n) => key.includes(n))
    this.#onViolation = columns.map((column) => (kind, rule, message, parts) => {
      const isType = kind === 'type'
      throw SluiceError.of(isType ? 'INVALID_INPUT' : 'CONSTRAINT', `Column "${table.name}.${column.name}"${parts?.path ?? ''} ${message}.`, {
        details: { table: table.name, column: column.name, constraint: rule, ...(this.#value !== undefined && { value: shownValue(this.#value) }) },
        cause: parts?.cause,
      })
    })
  }

  /** A whole row: unknown names are refused, what is left out gets its default. */
  row(value: unknown, sequence?: Sequence): unknown[] {
    const given = this.#given(value, 'row')
    const { generated, validators } = this.#table
    if (generated.length === 0 || sequence === undefined) return validators.map((_, n) => this.column(n, given[n]))
    const values = validators.map((_, n) => (generated.includes(n) ? undefined : this.column(n, given[n])))
    for (const n of generated) values[n] = this.column(n, given[n] ?? sequence.draw(n, values))
    for (const n of generated) if (given[n] !== undefined) sequence.pass(values[n], sequence.placeOf(values))
    return values
  }

  /** Some columns that are not in the key; `undefined` leaves one out. Answers ordinals, and values in their order. */
  patch(value: unknown): { readonly columns: readonly number[]; readonly values: readonly unknown[] } {
    const given = this.#given(value, 'patch')
    const columns: number[] = []
    const values: unknown[] = []
    for (let n = 0; n < given.length; n += 1) {
      if (given[n] === undefined) continue
      if (this.#isKey[n]) this.refuseKey(n)
      columns.push(n)
      values.push(this.column(n, given[n]))
    }
    return { columns, values }
  }

  /** Amounts to add to columns of numbers. */
  deltas(value: unknown): { readonly columns: readonly number[]; readonly values: readonly (number | bigint)[] } {
    const given = this.#given(value, 'deltas')
    const columns: number[] = []
    const values: (number | bigint)[] = []
    for (let n = 0; n < given.length; n += 1) {
      const delta = given[n]
      if (delta === undefined) continue
      if (this.#isKey[n]) this.refuseKey(n)
      const { type, nullable } = this.#table.descriptor.columns[n]!
      const isNumber = (type === 'int' || type === 'i32' || type === 'u32' || type === 'f64') && typeof delta === 'number' && !Number.isNaN(delta)
      const isWhole = type === 'f64' || Number.isSafeInteger(delta)
      if (nullable || !((isNumber && isWhole) || (type === 'bigint' && typeof delta === 'bigint'))) this.refuseDelta(n, delta)
      columns.push(n)
      values.push(delta as number | bigint)
    }
    return { columns, values }
  }

  /** One value for one column. */
  column(ordinal: number, value: unknown): unknown {
    this.#value = value
    return this.#table.validators[ordinal]!.accept(value, this.#onViolation[ordinal]!)
  }

  // ── what compiled code calls ──────────────────────────────────────────────────────────────────────────

  /** The compiled test said no, the validator says why, or what is stored instead: a default, null. */
  accept = (ordinal: number, value: unknown): unknown => this.column(ordinal, value)

  refuseKind = (what: string): never => {
    throw this.#refused(`takes a plain object as ${what}`, {})
  }
  refuseUnknown = (name: string): never => {
    throw this.#refused(`has no column "${name}"`, { column: name })
  }
  /** What a getter or a proxy threw. */
  unreadable = (what: string, error: unknown): unknown => {
    if (SluiceError.is(error) || error instanceof RangeError) return error
    return this.#refused(`could not read the ${what} that was given`, {}, error)
  }
  refuseKey = (ordinal: number): never => {
    const name = this.#table.descriptor.columns[ordinal]!.name
    throw SluiceError.of('INVALID_INPUT', `"${name}" is part of the key of "${this.#table.name}", which never changes: delete the row and insert another.`, {
      details: { table: this.#table.name, column: name },
    })
  }

  refuseDelta = (ordinal: number, delta: unknown): never => {
    if (this.#isKey[ordinal]) this.refuseKey(ordinal)
    const { type, name } = this.#table.descriptor.columns[ordinal]!
    throw SluiceError.of('INVALID_INPUT', `add() takes ${type === 'bigint' ? 'a bigint' : 'a number'} for a numeric column that is never null; "${this.#table.name}.${name}" got ${typeof delta}.`, {
      details: { table: this.#table.name, column: name },
    })
  }

  #given(value: unknown, what: string): unknown[] {
    const given: unknown[] = new Array<unknown>(this.#table.descriptor.columns.length).fill(undefined)
    if (!isPlain(value)) this.refuseKind(what)
    let names: string[]
    try {
      names = Object.keys(value as object)
      for (const name of names) {
        const ordinal = this.#ordinals.get(name)
        if (ordinal === undefined) throw this.#refused(`has no column "${name}"`, { column: name })
        given[ordinal] = (value as Record<string, unknown>)[name]
      }
    } catch (error) {
      if (SluiceError.is(error) || error instanceof RangeError) throw error
      throw this.#refused(`could not read the ${what} that was given`, {}, error)
    }
    return given
  }

  #refused(what: string, details: Record<string, unknown>, cause?: unknown): SluiceError {
    return SluiceError.of('INVALID_INPUT', `Table "${this.#table.name}" ${what}.`, { details: { table: this.#table.name, ...details }, cause })
  }
}

/** Not an array, a promise, an accessor, an instance of anything. Whatever a proxy does when it is asked, it is none. */
export function isPlain(value: unknown): boolean {
  try {
    return typeof value === 'object' && value !== null && isPlainObject(value)
  } catch {
    return false
  }
}
