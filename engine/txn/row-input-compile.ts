/**
 * What `insert`, `put`, `update` and `add` do with an object of the user's, as code made for the table.
 *
 *   take      own properties, each read once, into one variable for each column (R65); the names are compared in declared order
 *             first, which costs one comparison each
 *   check     what a column's type and bounds say in one expression; the validator decides the rest, and says why not
 *   place     R25, the key and whether it is taken: the caller's
 *   change    between the marks of the transaction (R6): cells, and whatever hangs on them
 *
 * Everything of the user's that runs (getters, proxies, named checks, schemas) runs before `place`: what is staged afterwards is not
 * touched by a call that comes in between.
 *
 * Fixed-size columns that no tree uses are stored in place once the row is touched, for nothing can fail any more (R5). A patch of
 * others is staged.
 *
 * Why generated: arrays of values and closures for validators cost 20 ns a column, which is more than all that a transaction does
 * with the row afterwards. Generated code holds ordinals, offsets, bounds and `JSON.stringify`ed names (R64).
 */
import { isWellFormed } from '../base/bytes.js'
import type { ColumnLayout } from '../schema/row-layout.js'
import { cellInts, readExpression, readPrelude } from '../store/row-codec.js'
import type { TablePart, TableStore } from '../store/table-store.js'
import { acceptTest, cellStore, isDirect, storeStatement } from './column-source.js'
import { isPlain, type RowInput } from './row-input.js'

/** What compiled code calls while it works for a table of a transaction. */
export interface RowDoor {
  /**
   * The staged key is that of a row to be written: answers where it goes to. With `replaces`, a live row of that key is shown as
   * `known` and `isLive`; without, it is refused.
   */
  place(replaces: boolean): TablePart
  /** The row that has the key already, deleted or live, or 0: as `place` left it. */
  readonly known: number
  readonly isLive: boolean
  /** The value of a generated column that was left out; `values` of the others. */
  draw(column: number, values: readonly unknown[]): number
  /** A value was given for a generated column of a row of that partition. */
  pass(value: unknown, partition: number): void
  /** Reading the object may have done anything: is the transaction open, is the row still there? */
  mustStand(row: number): void
  /** Writes checked values of some columns in the general way. */
  set(part: TablePart, row: number, columns: readonly number[], values: readonly unknown[]): void
  beginChange(): void
  endChange(): void
  touch(part: TablePart, row: number): void
  insert(part: TablePart, known: number): void
}

export interface CompiledRows {
  /** `insert` and `put`; answers the key. */
  write(given: unknown, replaces: boolean): unknown
  patch(part: TablePart, row: number, given: unknown): void
  add(part: TablePart, row: number, given: unknown): void
}

const json = JSON.stringify

export function compileRows(table: TableStore, input: RowInput, door: RowDoor): CompiledRows {
  const { columns } = table.layout
  const { codec, key } = table
  const isKey = (column: ColumnLayout): boolean => table.descriptor.key.includes(column.ordinal)
  const others = columns.filter((column) => !isKey(column))
  const keyValues = table.descriptor.key.map((ordinal) => `v${ordinal}`)
  const fixed = others.filter((column) => isDirect(column, table))
  const staged = others.filter((column) => !isDirect(column, table))
  const numbers = others.filter((column) => !column.descriptor.nullable && addable.has(column.descriptor.type))
  const source = `'use strict'
const { accept, refuseKind, refuseUnknown, refuseKey, refuseDelta, unreadable } = input
${readPrelude(columns)}
const own = Object.prototype.hasOwnProperty
const { isInteger, isSafeInteger } = Number
const s32 = codec.i32, s64 = codec.f64, sBig = codec.i64
const names = ${json(columns.map((column) => column.descriptor.name))}
${columns.map((column) => (column.descriptor.type === 'enum' ? `const places${column.ordinal} = new Map(words${column.ordinal}.map((word, place) => [word, place]))` : '')).join('\n')}
return {
  write(given, replaces) {
    ${takeSource('row', columns, (column) => `v${column.ordinal} = given[${json(column.descriptor.name)}]`, true)}
    ${columns.filter((column) => !table.generated.includes(column.ordinal)).map((column) => checkSource(table, column, false)).join('\n    ')}
    ${table.generated.map((ordinal) => drawSource(table, columns[ordinal]!)).join('\n    ')}
    key.stage(${keyValues.join(', ')})
    const part = door.place(replaces)
    ${table.generated.map((ordinal) => `if (!drawn${ordinal}) door.pass(v${ordinal}, part.partition)`).join('\n    ')}
    const { known } = door
    if (door.isLive) {
      ${others.length === 0 ? '' : `door.set(part, known, [${others.map((column) => column.ordinal).join(', ')}], [${others.map((column) => `v${column.ordinal}`).join(', ')}])`}
      return
    }
    door.beginChange()
    ${stageSource(columns)}
    door.insert(part, known)
    door.endChange()
    return ${keyValues.length === 1 ? keyValueOf(columns[table.descriptor.key[0]!]!) : `[${table.descriptor.key.map((ordinal) => keyValueOf(columns[ordinal]!)).join(', ')}]`}
  },
  patch(part, row, given) {
    ${takeSource('patch', others, (column) => `v${column.ordinal} = given[${json(column.descriptor.name)}]`, false, keyCases(table, 'refuseKey'))}
    ${others.map((column) => checkSource(table, column, true)).join('\n    ')}
    door.mustStand(row)
    ${staged.length === 0 ? '' : `if (${staged.map((column) => `v${column.ordinal} !== undefined`).join(' || ')}) {
      const ordinals = [], values = []
      ${others.map((column) => `if (v${column.ordinal} !== undefined) { ordinals.push(${column.ordinal}); values.push(v${column.ordinal}) }`).join('\n      ')}
      return door.set(part, row, ordinals, values)
    }`}
    ${fixed.length === 0 ? '' : `if (${fixed.map((column) => `v${column.ordinal} === undefined`).join(' && ')}) return
    door.beginChange()
    door.touch(part, row)
    ${fixed.map((column) => `if (v${column.ordinal} !== undefined) { ${storeStatement(column, 'row', `v${column.ordinal}`)} }`).join('\n    ')}
    door.endChange()`}
  },
  add(part, row, given) {
    const r = row
    ${takeSource('deltas', numbers, (column) => `v${column.ordinal} = given[${json(column.descriptor.name)}]`, false, refusedDeltas(columns, numbers))}
    ${numbers.map((column) => `if (v${column.ordinal} !== undefined && !(${deltaTest(column)})) refuseDelta(${column.ordinal}, v${column.ordinal})`).join('\n    ')}
    door.mustStand(row)
    ${numbers.map((column) => `if (v${column.ordinal} !== undefined) {
      v${column.ordinal} = ${readExpression(column)} + v${column.ordinal}
      ${checkSource(table, column, false)}
    }`).join('\n    ')}
    ${numbers.some((column) => !isDirect(column, table)) ? `if (${numbers.filter((column) => !isDirect(column, table)).map((column) => `v${column.ordinal} !== undefined`).join(' || ')}) {
      const ordinals = [], values = []
      ${numbers.map((column) => `if (v${column.ordinal} !== undefined) { ordinals.push(${column.ordinal}); values.push(v${column.ordinal}) }`).join('\n      ')}
      return door.set(part, row, ordinals, values)
    }` : ''}
    ${numbers.length === 0 ? '' : `if (${numbers.map((column) => `v${column.ordinal} === undefined`).join(' && ')}) return
    door.beginChange()
    door.touch(part, row)
    ${numbers.filter((column) => isDirect(column, table)).map((column) => `if (v${column.ordinal} !== undefined) { ${storeStatement(column, 'row', `v${column.ordinal}`)} }`).join('\n    ')}
    door.endChange()`}
  },
}`
  const build = new Function('input', 'memory', 'codec', 'key', 'door', 'isPlain', 'isWellFormed', source)
  return build(input, codec.memory, codec, key, door, isPlain, isWellFormed) as CompiledRows
}

const addable: ReadonlySet<string> = new Set(['int', 'i32', 'u32', 'f64', 'bigint'])

/** A named rule or a patch of a key column: refused where it has a value. */
function keyCases(table: TableStore, refuse: string): string {
  return table.descriptor.key.map((ordinal) => `case ${json(table.descriptor.columns[ordinal]!.name)}: if (given[name] !== undefined) ${refuse}(${ordinal}); break`).join('\n          ')
}

function refusedDeltas(columns: readonly ColumnLayout[], numbers: readonly ColumnLayout[]): string {
  const refused = columns.filter((column) => !numbers.includes(column))
  return refused.map(({ ordinal, descriptor }) => `case ${json(descriptor.name)}: { const delta = given[name]; if (delta !== undefined) refuseDelta(${ordinal}, delta); break }`).join('\n          ')
}

/** Own properties into variables. A whole row is most often written in declared order: then names are compared and not searched. */
function takeSource(what: string, columns: readonly ColumnLayout[], read: (column: ColumnLayout) => string, isWhole: boolean, moreCases = ''): string {
  const search = `for (const name in given) {
        if (!own.call(given, name)) continue
        switch (name) {
          ${columns.map((column) => `case ${json(column.descriptor.name)}: ${read(column)}; break`).join('\n          ')}
          ${moreCases}
          default: refuseUnknown(name)
        }
      }`
  return `if (!isPlain(given)) refuseKind(${json(what)})
    ${columns.length === 0 ? '' : `let ${columns.map((column) => `v${column.ordinal}`).join(', ')}`}
    try {
      ${isWhole ? `let n = 0
      for (const name in given) {
        if (name !== names[n] || !own.call(given, name)) { n = -1; break }
        n += 1
      }
      if (n === ${columns.length}) {
        ${columns.map(read).join('\n        ')}
      } else ` : ''}${search}
    } catch (error) {
      throw unreadable(${json(what)}, error)
    }`
}

function checkSource(table: TableStore, column: ColumnLayout, isPatch: boolean): string {
  const v = `v${column.ordinal}`
  const { nullable, default: fill } = column.descriptor
  const test = acceptTest(column.descriptor, v, table.checked.has(column.ordinal))
  const accepted = `${v} = accept(${column.ordinal}, ${v})`
  const unlessNull = nullable ? `${v} !== null && ` : ''
  if (isPatch) return test === undefined ? `if (${v} !== undefined) ${accepted}` : `if (${v} !== undefined && ${unlessNull}!(${test})) ${accepted}`
  if (test === undefined) return accepted
  const filled = nullable && fill === undefined ? `if (${v} === undefined) ${v} = null; ` : ''
  return `${filled}if (${unlessNull}!(${test})) ${accepted}`
}

/** A column that is drawn when it is left out: after all that decide where the row goes. */
function drawSource(table: TableStore, column: ColumnLayout): string {
  const { ordinal } = column
  const values = table.layout.columns.map((one) => `v${one.ordinal}`).join(', ')
  return `const drawn${ordinal} = v${ordinal} === undefined
    if (drawn${ordinal}) v${ordinal} = door.draw(${ordinal}, [${values}])
    ${checkSource(table, column, false)}`
}

function deltaTest(column: ColumnLayout): string {
  const v = `v${column.ordinal}`
  switch (column.descriptor.type) {
    case 'bigint':
      return `typeof ${v} === 'bigint'`
    case 'f64':
      return `typeof ${v} === 'number' && ${v} === ${v}`
    default:
      return `typeof ${v} === 'number' && isSafeInteger(${v})`
  }
}

const numeric: ReadonlySet<string> = new Set(['int', 'i32', 'u32', 'f64', 'timestamp'])
/** -0 is 0 in a key as everywhere. */
const keyValueOf = (column: ColumnLayout): string => (numeric.has(column.descriptor.type) ? `v${column.ordinal} + 0` : `v${column.ordinal}`)

/** All cells of the staging image. Only long values can fail: those before are given back. */
function stageSource(columns: readonly ColumnLayout[]): string {
  const statements = columns.map((column) => {
    const v = `v${column.ordinal}`
    const at = `s32, ${column.at}, ${v}`
    const bare = ((): string => {
      switch (column.descriptor.type) {
        case 'text':
          return `staged = ${column.ordinal}; memory.stageText(${at}, domain)`
        case 'bytes':
          return `staged = ${column.ordinal}; memory.stageBytes(${at}, domain)`
        case 'json':
          return `staged = ${column.ordinal}; memory.stageJson(${at}, domain)`
        case 'uuid':
          return `memory.stageUuid(${at})`
        default:
          return cellStore(column, 's32', 's64', 'sBig', '', v)
      }
    })()
    if (column.nullAt < 0) return bare
    return `if (${v} === null) { s32[${column.nullAt}] |= ${column.nullBit}; ${zeros(column)} } else { s32[${column.nullAt}] &= ${~column.nullBit}; ${bare} }`
  })
  if (!columns.some((column) => column.isVar)) return statements.join('\n    ')
  return `const { domain } = part
    let staged = 0
    try {
      ${statements.join('\n      ')}
    } catch (error) {
      codec.releaseStaged(staged, domain)
      throw error
    }`
}

function zeros(column: ColumnLayout): string {
  return Array.from({ length: cellInts(column) }, (_, n) => `s32[${column.at + n}] = 0`).join('; ')
}
