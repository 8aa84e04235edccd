/**
 * A primary key on its way to a row: checked, laid out like the cells of a row, hashed, and placed in its partition.
 *
 * The hash index compares 32-bit hashes first and then asks `equals`, which compares whole keys in the row (R17). Hash and
 * comparison work on cells, so a stored row and a sought key need no common object.
 *
 * What depends on the columns of a key is compiled for its table (staged-key-compile.ts); here is what texts and bytes need, and what
 * is said about a key that is none.
 */
import { isWellFormed } from '../base/bytes.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { ColumnDescriptor, TableDescriptor } from '../schema/descriptor.js'
import type { ColumnLayout, RowLayout } from '../schema/row-layout.js'
import { inlineBytesMax, notAscii } from '../schema/row-layout.js'
import type { KeyMatcher } from './hash-index.js'
import type { CellMemory } from './row-codec.js'
import { cellInts } from './row-codec.js'
import { type CompiledKey, compileStagedKey, hashLong, type KeyInMaking, type KeyPart } from './staged-key-compile.js'

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export class StagedKey implements KeyMatcher, KeyInMaking {
  hash = 0
  /** The partition of the staged key; 0 where the table is global. */
  partition = 0
  /** The checked values, one for each key column. */
  readonly values: unknown[]
  /** Takes a key as users write it: bare when it has one column, an array when it has several. */
  readonly set: CompiledKey['set']
  /** Takes the values of the key columns, in key order. */
  readonly stage: CompiledKey['stage']
  /** Takes the key columns out of the checked values of a whole row, by ordinal. */
  readonly setFromRow: CompiledKey['setFromRow']
  readonly equals: CompiledKey['equals']
  /** The hash of a stored row's key, the same as that of the key when it was staged. */
  readonly hashOfRow: CompiledKey['hashOfRow']
  /** The cells; of a value that is too long for its cell the bytes stand in `long`. For compiled code, as all that follows. */
  readonly i32: Int32Array
  readonly f64: Float64Array
  readonly i64: BigInt64Array
  readonly long: (Uint8Array | undefined)[]
  readonly #table: TableDescriptor
  readonly #memory: CellMemory
  readonly #parts: readonly KeyPart[]

  constructor(table: TableDescriptor, layout: RowLayout, memory: CellMemory, partitions: number) {
    this.#table = table
    this.#memory = memory
    let at = 0
    this.#parts = table.key.map((ordinal): KeyPart => {
      const column = layout.columns[ordinal]!
      const ints = cellInts(column)
      if (ints > 1 && at % 2 === 1) at += 1
      const part = partOf(column, at, ints)
      at += ints
      return part
    })
    const staging = new ArrayBuffer((at + 1) * 8)
    this.i32 = new Int32Array(staging)
    this.f64 = new Float64Array(staging)
    this.i64 = new BigInt64Array(staging)
    this.long = this.#parts.map(() => undefined)
    this.values = this.#parts.map(() => undefined)
    const compiled = compileStagedKey(this, table, this.#parts, memory, partitions)
    this.set = compiled.set
    this.stage = compiled.stage
    this.setFromRow = compiled.setFromRow
    this.equals = compiled.equals
    this.hashOfRow = compiled.hashOfRow
  }

  /** The key as users read it. */
  get key(): unknown {
    return this.values.length === 1 ? this.values[0] : [...this.values]
  }

  // ── what compiled code calls ──────────────────────────────────────────────────────────────────────────

  refuseShape(key: unknown): never {
    const names = this.#parts.map((part) => part.name).join(', ')
    throw this.#invalid(`takes keys of ${this.#parts.length} columns, [${names}]`, key)
  }

  refuse(p: number, value: unknown): never {
    const part = this.#parts[p]!
    throw this.#invalid(`takes ${part.type === 'enum' ? `one of ${part.words!.join(', ')}` : part.type} for the key column "${part.name}"`, value)
  }

  stageUuid(p: number, value: unknown): void {
    if (typeof value !== 'string' || !uuidPattern.test(value)) this.refuse(p, value)
    this.#memory.stageUuid(this.i32, this.#parts[p]!.at, value)
  }

  stageBytes(p: number, value: unknown): void {
    if (!(value instanceof Uint8Array)) this.refuse(p, value)
    this.long[p] = undefined
    this.#stageLongBytes(p, this.#parts[p]!, value, 0)
  }

  hashLongOfRow(hash: number, cell: number): number {
    const { bytes, from, length } = this.#memory.viewBytes(cell)
    return hashLong(hash, this.#memory.i32[cell]!, bytes, from, length)
  }

  /** A value of a row and the staged one of the same length, which is too long for a cell. */
  equalsLong(p: number, cell: number): boolean {
    const sought = this.long[p]!
    const { bytes, from, length } = this.#memory.viewBytes(cell)
    if (length !== sought.length) return false
    for (let n = 0; n < length; n += 1) if (bytes[from + n] !== sought[n]) return false
    return true
  }

  stageText(p: number, text: unknown): void {
    if (typeof text !== 'string') this.refuse(p, text)
    const part = this.#parts[p]!
    const { at } = part
    const { length } = text
    this.long[p] = undefined
    if (length <= inlineBytesMax) {
      let word = 0
      let to = at + 1
      let n = 0
      for (; n < length; n += 1) {
        const unit = text.charCodeAt(n)
        if (unit > 0x7f) break
        word |= unit << ((n & 3) << 3)
        if ((n & 3) === 3) {
          this.i32[to] = word
          to += 1
          word = 0
        }
      }
      if (n === length) {
        if ((n & 3) !== 0) {
          this.i32[to] = word
          to += 1
        }
        for (; to < at + part.ints; to += 1) this.i32[to] = 0
        this.i32[at] = length
        return
      }
    }
    if (!isWellFormed(text)) throw this.#invalid(`takes well-formed text for the key column "${part.name}"`, text)
    const bytes = Buffer.from(text, 'utf8')
    this.#stageLongBytes(p, part, bytes, bytes.length === length ? 0 : notAscii)
  }

  #stageLongBytes(p: number, part: KeyPart, bytes: Uint8Array, flag: number): void {
    const at = part.at
    if (bytes.length > limits.keyBytesMax) {
      throw SluiceError.of('INVALID_INPUT', `The key column "${part.name}" of "${this.#table.name}" takes at most ${limits.keyBytesMax} bytes; it got ${bytes.length}.`, {
        details: { table: this.#table.name, column: part.name, bytes: bytes.length },
      })
    }
    this.i32.fill(0, at, at + part.ints)
    this.i32[at] = bytes.length | flag
    if (bytes.length > inlineBytesMax) {
      this.long[p] = bytes
    } else {
      for (let n = 0; n < bytes.length; n += 1) this.i32[at + 1 + (n >>> 2)]! |= bytes[n]! << ((n & 3) << 3)
    }
  }

  #invalid(what: string, value: unknown): SluiceError {
    const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : value === null ? 'null' : typeof value
    return SluiceError.of('INVALID_INPUT', `Table "${this.#table.name}" ${what}; it got ${shown}.`, { details: { table: this.#table.name } })
  }
}

function partOf(column: ColumnLayout, at: number, ints: number): KeyPart {
  const { type, name, values } = column.descriptor
  return { type, name, at, ints, rowAt: column.at, isVar: column.isVar, words: values }
}

/** The type of a value that is looked for: rules such as `min` do not matter, a wrong type would be a silent miss. */
export function checkKeyValue(table: string, column: ColumnDescriptor, value: unknown): unknown {
  if (value === null && column.nullable) return null
  if (isKeyValue(column, value)) return value === 0 ? 0 : value
  const expected = column.type === 'enum' ? `one of ${column.values!.join(', ')}` : column.type
  throw SluiceError.of('INVALID_INPUT', `"${table}.${column.name}" is compared with ${expected}, not with ${value === null ? 'null' : typeof value}.`, {
    details: { table, column: column.name },
  })
}

/** A value that a column can hold, so that a key or an index can be asked for it. Not null. */
export function isKeyValue(column: ColumnDescriptor, value: unknown): boolean {
  switch (column.type) {
    case 'text':
      return typeof value === 'string' && isWellFormed(value)
    case 'uuid':
      return typeof value === 'string' && uuidPattern.test(value)
    case 'enum':
      return typeof value === 'string' && column.values!.includes(value)
    case 'int':
    case 'timestamp':
      return Number.isSafeInteger(value)
    case 'i32':
      return typeof value === 'number' && (value | 0) === value
    case 'u32':
      return typeof value === 'number' && value >>> 0 === value
    case 'f64':
      return typeof value === 'number' && !Number.isNaN(value)
    case 'bigint':
      return typeof value === 'bigint' && BigInt.asIntN(64, value) === value
    case 'bool':
      return typeof value === 'boolean'
    case 'bytes':
      return value instanceof Uint8Array
    case 'json':
      return false
  }
}
