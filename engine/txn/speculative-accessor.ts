/**
 * Live rows of a speculated transaction: what accessor.ts compiles, with three differences. A getter notes the column as read, a
 * setter stores into the copy of the row, and each looks first where the row is: another accessor may have made the copy.
 *
 * A column that this transaction has set counts as read when it is got: a read too many never makes a result wrong.
 */
import { SluiceError } from '../base/errors.js'
import { readExpression, readPrelude } from '../store/row-codec.js'
import type { TablePart, TableStore } from '../store/table-store.js'
import { acceptTest, isDirect, storeStatement } from './column-source.js'
import type { RowInput } from './row-input.js'
import type { Speculation } from './speculation.js'
import type { Transaction } from './transaction.js'

/** `at`: where the row is read; `row`: in the state, or 0; `read`: its entry in the read set, or -1. */
export type SpeculativeAccessorClass = new (part: TablePart, at: number, row: number, read: number) => object

interface Support {
  ended(): never
  /** Where the row is now. */
  placeOf(row: number, at: number): number
  copyOf(part: TablePart, at: number): number
  noteSet(part: TablePart, copy: number, ordinal: number): void
  widen(read: number, groups: number): void
  set(part: TablePart, copy: number, ordinal: number, value: unknown): void
  giveUp(): never
}

export function compileSpeculativeAccessor(transaction: Transaction, speculation: Speculation, table: TableStore, input: RowInput, noteMoved: (copy: number, ordinal: number) => void): SpeculativeAccessorClass {
  const columns = table.layout.columns
  const guard = 'if (this.#number !== tx.live) support.ended()'
  const lines: string[] = [
    readPrelude(columns),
    'const { isInteger } = Number',
    'return class Row {',
    '  #part; #at; #row; #read; #number; #writes; #seen = 0',
    '  constructor(part, at, row, read) {',
    '    this.#part = part; this.#at = at; this.#row = row; this.#read = read',
    '    this.#number = tx.live; this.#writes = speculation.writes',
    '  }',
    '  #look() { if (this.#writes !== speculation.writes) { this.#writes = speculation.writes; this.#at = support.placeOf(this.#row, this.#at) } return this.#at }',
    '  #get(groups) {',
    '    const at = this.#look()',
    '    if ((this.#seen & groups) !== groups) { this.#seen |= groups; if (this.#read >= 0) support.widen(this.#read, groups) }',
    '    return at',
    '  }',
    '  #set(ordinal) { const copy = support.copyOf(this.#part, this.#look()); this.#at = copy; support.noteSet(this.#part, copy, ordinal); return copy }',
  ]
  for (const column of columns) {
    const name = JSON.stringify(column.descriptor.name)
    lines.push(`  get [${name}]() { ${guard}; const r = this.#get(${table.groups.ofColumn[column.ordinal]!}); return ${readExpression(column)} }`)
    if (table.descriptor.key.includes(column.ordinal)) {
      lines.push(`  set [${name}](v) { ${guard}; support.giveUp() }`)
      continue
    }
    lines.push(`  set [${name}](v) {`, `    ${guard}`)
    const test = column.descriptor.type !== 'text' && column.nullAt < 0 && isDirect(column, table) ? acceptTest(column.descriptor, 'v', table.checked.has(column.ordinal)) : undefined
    if (test !== undefined) lines.push(`    if (${test}) { const row = this.#set(${column.ordinal}); ${storeStatement(column, 'row', 'v')}; return }`)
    lines.push(`    support.set(this.#part, this.#set(${column.ordinal}), ${column.ordinal}, v)`, '  }')
  }
  lines.push('}')
  const support: Support = {
    ended: () => {
      transaction.mustBeOpen()
      throw SluiceError.of('INVALID_USE', `A row of "${table.name}" was used after its transaction had ended: copy what you need with get(key), or read again.`)
    },
    placeOf: (row, at) => {
      const place = row === 0 ? at : speculation.placeOf(row)
      // What a row says that was deleted under its accessor is told by the run in order.
      if (speculation.isDeleted(place)) speculation.giveUp()
      return place
    },
    copyOf: (part, at) => speculation.copyOf(part, at),
    noteSet: (part, copy, ordinal) => speculation.noteSet(part, copy, ordinal),
    widen: (read, groups) => speculation.readSet.widen(read, groups),
    set: (part, copy, ordinal, value) => {
      let checked: unknown
      try {
        checked = input.column(ordinal, value === undefined ? null : value)
      } catch {
        speculation.giveUp()
      }
      speculation.put(part, copy, ordinal, checked)
      const long = table.codec.longBytesStaged([ordinal])
      if (long > 0) speculation.count(long)
      if (table.uniqueTrees.length > 0) noteMoved(copy, ordinal)
    },
    giveUp: () => speculation.giveUp(),
  }
  const accessor = new Function('memory', 'tx', 'speculation', 'support', lines.join('\n'))(table.codec.memory, transaction, speculation, support) as SpeculativeAccessorClass
  Object.setPrototypeOf(accessor.prototype as object, new Proxy(Object.prototype, { set: () => speculation.giveUp() }))
  return accessor
}
