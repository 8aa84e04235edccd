/**
 * Live rows: an object whose getters read the stored columns and whose setters write them (R30: a new one each time, 12 ns).
 *
 * The class of a table is compiled once for each worker. It holds its state in private fields, so a column may have any name
 * (R64), and has nothing to enumerate, so `{ ...row }` copies nothing and no codec takes it for plain data.
 *
 * A setter of a fixed-size column that no index uses goes straight to memory; everything else takes the way of `update`.
 */
import { SluiceError } from '../base/errors.js'
import { flagDeleted } from '../store/domain.js'
import { readExpression, readPrelude } from '../store/row-codec.js'
import type { TablePart, TableStore } from '../store/table-store.js'
import { acceptTest, isDirect, storeStatement } from './column-source.js'
import type { RowInput } from './row-input.js'
import type { Transaction } from './transaction.js'
import { keyOfRow, withKey } from './violation.js'

export type AccessorClass = new (part: TablePart, row: number) => object

/** How a row is changed that is there: for everything that is no direct store. */
export interface RowSetter {
  /** Writes checked values of some columns in the general way. */
  set(part: TablePart, row: number, columns: readonly number[], values: readonly unknown[]): void
  refuseDeleted(): never
}

/** What compiled getters and setters call. */
interface SetterSupport {
  ended(): never
  deleted(): never
  key(ordinal: number): never
  /** The slow way: checks, stages, maintains indexes. */
  set(part: TablePart, row: number, ordinal: number, value: unknown): void
  /** Before a direct store: checks the lane and journals the row. */
  touch(part: TablePart, row: number): void
}

export function compileAccessor(transaction: Transaction, table: TableStore, input: RowInput, setter: RowSetter): AccessorClass {
  const columns = table.layout.columns
  const lines: string[] = [readPrelude(columns), 'const { isInteger } = Number', 'return class Row {', '  #part; #row; #number; #touched = false;']
  lines.push('  constructor(part, row) { this.#part = part; this.#row = row; this.#number = tx.live }')
  for (const column of columns) {
    const name = JSON.stringify(column.descriptor.name)
    lines.push(`  get [${name}]() { if (this.#number !== tx.live) support.ended(); const r = this.#row; return ${readExpression(column)} }`)
    if (table.descriptor.key.includes(column.ordinal)) {
      lines.push(`  set [${name}](v) { support.key(${column.ordinal}) }`)
      continue
    }
    lines.push(`  set [${name}](v) {`, '    if (this.#number !== tx.live) support.ended()')
    const test = isStored(column.descriptor.type) && column.nullAt < 0 && isDirect(column, table) ? acceptTest(column.descriptor, 'v', table.checked.has(column.ordinal)) : undefined
    if (test !== undefined) {
      lines.push(
        `    if (${test}) {`,
        '      const row = this.#row',
        '      if (!this.#touched) { support.touch(this.#part, row); this.#touched = true }',
        `      else if ((i32[row * 2 + 3] & ${flagDeleted}) !== 0) support.deleted()`,
        `      ${storeStatement(column, 'row', 'v')}`,
        '      return',
        '    }',
      )
    }
    lines.push(`    support.set(this.#part, this.#row, ${column.ordinal}, v)`, '  }')
  }
  lines.push('}')
  const { i32 } = table.codec.memory
  const single = columns.map((_, ordinal) => [ordinal])
  const touch = (part: TablePart, row: number): void => {
    transaction.mayWrite(table, part.partition)
    if ((i32[row * 2 + 3]! & flagDeleted) !== 0) setter.refuseDeleted()
    transaction.beginChange()
    try {
      transaction.writer.touch(part, row)
    } catch (error) {
      throw transaction.failed(error)
    }
    transaction.endChange()
  }
  const support: SetterSupport = {
    ended: () => {
      transaction.mustBeOpen()
      throw SluiceError.of('INVALID_USE', `A row of "${table.name}" was used after its transaction had ended: copy what you need with get(key), or read again.`)
    },
    deleted: () => setter.refuseDeleted(),
    key: (ordinal) => {
      transaction.mustBeOpen()
      const name = columns[ordinal]!.descriptor.name
      transaction.fail(SluiceError.of('INVALID_INPUT', `"${name}" is part of the key of "${table.name}", which never changes: delete the row and insert another.`, { details: { table: table.name, column: name } }))
    },
    touch: table.rowChecks.length === 0 ? touch : (part, row) => {
      transaction.mustProve = true
      touch(part, row)
    },
    set: (part, row, ordinal, value) => {
      if ((i32[row * 2 + 3]! & flagDeleted) !== 0) setter.refuseDeleted()
      transaction.mayWrite(table, part.partition)
      let checked: unknown
      try {
        // Leaving a column out is a matter of patches; here it is named, so undefined is a value of the wrong type.
        checked = input.column(ordinal, value === undefined ? null : value)
      } catch (error) {
        throw transaction.failed(withKey(error, () => keyOfRow(table, row)))
      }
      setter.set(part, row, single[ordinal]!, [checked])
    },
  }
  const accessor = new Function('memory', 'tx', 'support', lines.join('\n'))(table.codec.memory, transaction, support) as AccessorClass
  refuseOtherNames(accessor, transaction, table)
  return accessor
}

/** Types whose test fits into a setter; texts are staged, whatever they are. */
const isStored = (type: string): boolean => type !== 'text'

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
