/**
 * Live rows: an object whose getters read the stored columns and whose setters write them (R30: a new one each time, 12 ns).
 *
 * The class of a table is compiled once for each worker. It holds its state in private fields, so a column may have any name
 * (R64), and has nothing to enumerate, so `{ ...row }` copies nothing and no codec takes it for plain data.
 *
 * A setter of a fixed-size column that no index uses goes straight to memory; everything else takes the way of `update`.
 */
import { SluiceError } from '../base/errors.js'
import type { ColumnDescriptor } from '../schema/descriptor.js'
import { cellInts, readExpression, readPrelude } from '../store/row-codec.js'
import type { TablePart, TableStore } from '../store/table-store.js'
import { flagDeleted } from '../store/domain.js'
import type { RowInput } from './row-input.js'
import type { Transaction } from './transaction.js'

export type AccessorClass = new (part: TablePart, row: number) => object

/** What compiled setters call. */
interface SetterSupport {
  ended(): never
  deleted(): never
  key(ordinal: number): never
  /** The slow way: checks, stages, maintains indexes. */
  set(part: TablePart, row: number, ordinal: number, value: unknown): void
  /** Before a direct store: checks the lane and journals the row. */
  touch(part: TablePart, row: number): void
}

export function compileAccessor(transaction: Transaction, table: TableStore, input: RowInput): AccessorClass {
  const columns = table.layout.columns
  const lines: string[] = [readPrelude(columns), 'return class Row {', '  #part; #row; #number; #touched = false;']
  lines.push('  constructor(part, row) { this.#part = part; this.#row = row; this.#number = tx.number }')
  for (const column of columns) {
    const name = JSON.stringify(column.descriptor.name)
    lines.push(`  get [${name}]() { if (this.#number !== tx.number || !tx.isOpen) support.ended(); const r = this.#row; return ${readExpression(column)} }`)
    if (table.descriptor.key.includes(column.ordinal)) {
      lines.push(`  set [${name}](v) { support.key(${column.ordinal}) }`)
      continue
    }
    const direct = directStore(column.descriptor, table, column.ordinal)
    const slow = `support.set(this.#part, this.#row, ${column.ordinal}, v)`
    lines.push(`  set [${name}](v) {`, '    if (this.#number !== tx.number || !tx.isOpen) support.ended()')
    if (direct !== undefined) {
      const target = direct.array === 'f64' ? `f64[this.#row + ${column.at >>> 1}]` : `i32[this.#row * 2 + ${column.at}]`
      lines.push(
        `    if (${direct.accepts}) {`,
        '      if (!this.#touched) { support.touch(this.#part, this.#row); this.#touched = true }',
        `      else if ((i32[this.#row * 2 + 3] & ${flagDeleted}) !== 0) support.deleted()`,
        `      ${target} = v`,
        '      return',
        '    }',
      )
    }
    lines.push(`    ${slow}`, '  }')
  }
  lines.push('}')
  const support: SetterSupport = {
    ended: () => {
      transaction.mustBeOpen()
      throw SluiceError.of('INVALID_USE', `A row of "${table.name}" was used after its transaction had ended: copy what you need with get(key), or read again.`)
    },
    deleted: () => transaction.fail(SluiceError.of('INVALID_USE', `A row of "${table.name}" was changed after it had been deleted in the same transaction.`)),
    key: (ordinal) => {
      transaction.mustBeOpen()
      const name = columns[ordinal]!.descriptor.name
      transaction.fail(SluiceError.of('INVALID_INPUT', `"${name}" is part of the key of "${table.name}", which never changes: delete the row and insert another.`, { details: { table: table.name, column: name } }))
    },
    touch: (part, row) => {
      transaction.mustBeOpen()
      transaction.mayWrite(table, part.partition)
      if ((part.domain.region.i32[row * 2 + 3]! & flagDeleted) !== 0) support.deleted()
      transaction.countWrite(part, row, 0)
      transaction.beginChange()
      try {
        transaction.writer.touch(part, row)
      } catch (error) {
        if (SluiceError.is(error)) transaction.fail(error)
        throw error
      }
      transaction.endChange()
    },
    set: (part, row, ordinal, value) => {
      transaction.mustBeOpen()
      if ((part.domain.region.i32[row * 2 + 3]! & flagDeleted) !== 0) support.deleted()
      setColumns(transaction, part, row, [ordinal], [value], input)
    },
  }
  const accessor = new Function('memory', 'tx', 'support', lines.join('\n'))(table.codec.memory, transaction, support) as AccessorClass
  refuseOtherNames(accessor, transaction, table)
  return accessor
}

/**
 * Setting a column that does not exist would make a property and be lost. Known names end at the class's own setters; any other
 * assignment goes up the prototypes and meets this trap, so that it costs the known ones nothing.
 */
function refuseOtherNames(accessor: AccessorClass, transaction: Transaction, table: TableStore): void {
  const prototype = accessor.prototype as object
  Object.setPrototypeOf(
    prototype,
    new Proxy(Object.prototype, {
      set: (_target, name) => {
        transaction.mustBeOpen()
        transaction.fail(SluiceError.of('INVALID_INPUT', `"${table.name}" has no column "${String(name)}".`, { details: { table: table.name, column: String(name) } }))
      },
    }),
  )
}

/** Checks and writes some columns of a row. */
export function setColumns(transaction: Transaction, part: TablePart, row: number, columns: readonly number[], values: readonly unknown[], input: RowInput): void {
  const { table } = part
  transaction.mayWrite(table, part.partition)
  const checked: unknown[] = []
  try {
    for (let n = 0; n < columns.length; n += 1) {
      // Leaving a column out is a matter of patches; here it is named, so undefined is a value of the wrong type.
      const value = input.column(columns[n]!, values[n] === undefined ? null : values[n])
      checked.push(value)
    }
  } catch (error) {
    if (SluiceError.is(error)) transaction.fail(error)
    throw error
  }
  transaction.change(() => {
    let staged = 0
    const { codec } = table
    try {
      for (; staged < columns.length; staged += 1) codec.stagers[columns[staged]!]!(checked[staged], part.domain)
      transaction.countWrite(part, row, codec.longBytesStaged(columns))
    } catch (error) {
      codec.releaseColumns(columns.slice(0, staged), part.domain)
      throw error
    }
    transaction.writer.update(part, row, columns)
  })
}

/** The test under which a value can be stored as it is, for columns whose rules fit into one expression. */
export function directStore(column: ColumnDescriptor, table: TableStore, ordinal: number): { array: 'f64' | 'i32'; accepts: string } | undefined {
  if (column.nullable || table.indexed.has(ordinal) || table.checked.has(ordinal)) return undefined
  const within = (low: number, high: number): string => {
    const least = Math.max(low, typeof column.min === 'number' ? column.min : low)
    const most = Math.min(high, typeof column.max === 'number' ? column.max : high)
    return `v >= ${least} && v <= ${most}`
  }
  // A -0 takes the slow way, which stores 0 (R31): 1 / v tells it from 0 only where v is 0.
  const notMinusZero = '(v !== 0 || 1 / v > 0)'
  switch (column.type) {
    case 'int':
      return { array: 'f64', accepts: `typeof v === 'number' && ${within(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)} && Math.floor(v) === v && ${notMinusZero}` }
    case 'i32':
      // The type first: a bigint in an expression with a number throws an error of the language, which dooms nothing.
      return cellInts(table.layout.columns[ordinal]!) === 1 ? { array: 'i32', accepts: `typeof v === 'number' && (v | 0) === v && ${within(-(2 ** 31), 2 ** 31 - 1)} && ${notMinusZero}` } : undefined
    default:
      return undefined
  }
}
