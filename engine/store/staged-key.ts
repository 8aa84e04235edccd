/**
 * A primary key on its way to a row: checked, laid out like the cells of a row, and hashed.
 *
 * The hash index compares 32-bit hashes first and then asks `equals`, which compares whole keys in the row (R17). Hash and
 * comparison work on cells, so a stored row and a sought key need no common object.
 */
import { isWellFormed } from '../base/bytes.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { ColumnDescriptor, ColumnType, TableDescriptor } from '../schema/descriptor.js'
import type { ColumnLayout, RowLayout } from '../schema/row-layout.js'
import { inlineBytesMax, lengthMask, notAscii } from '../schema/row-layout.js'
import type { KeyMatcher } from './hash-index.js'
import type { CellMemory } from './row-codec.js'
import { cellInts } from './row-codec.js'

interface Part {
  readonly type: ColumnType
  readonly name: string
  /** In the staged key, in 32-bit words. */
  readonly at: number
  readonly ints: number
  /** In a row. */
  readonly rowAt: number
  readonly isVar: boolean
  readonly words: readonly string[] | undefined
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export class StagedKey implements KeyMatcher {
  hash = 0
  /** The checked values, one for each key column. */
  readonly values: unknown[]
  readonly #table: TableDescriptor
  readonly #memory: CellMemory
  readonly #parts: readonly Part[]
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #i64: BigInt64Array
  readonly #long: (Uint8Array | undefined)[]
  #hasLong = false

  constructor(table: TableDescriptor, layout: RowLayout, memory: CellMemory) {
    this.#table = table
    this.#memory = memory
    let at = 0
    this.#parts = table.key.map((ordinal): Part => {
      const column = layout.columns[ordinal]!
      const ints = cellInts(column)
      if (ints > 1 && at % 2 === 1) at += 1
      const part = partOf(column, at, ints)
      at += ints
      return part
    })
    const staging = new ArrayBuffer((at + 1) * 8)
    this.#i32 = new Int32Array(staging)
    this.#f64 = new Float64Array(staging)
    this.#i64 = new BigInt64Array(staging)
    this.#long = this.#parts.map(() => undefined)
    this.values = this.#parts.map(() => undefined)
  }

  /** Takes a key as users write it: bare when it has one column, an array when it has several. */
  set(key: unknown): this {
    if (this.#parts.length === 1) this.#stagePart(0, key)
    else {
      if (!Array.isArray(key) || key.length !== this.#parts.length) {
        const names = this.#parts.map((part) => part.name).join(', ')
        throw this.#invalid(`takes keys of ${this.#parts.length} columns, [${names}]`, key)
      }
      for (let n = 0; n < this.#parts.length; n += 1) this.#stagePart(n, key[n])
    }
    this.hash = this.#hashStaged()
    return this
  }

  /** Takes the key columns out of the checked values of a whole row, by ordinal. */
  setFromRow(row: readonly unknown[]): this {
    for (let n = 0; n < this.#parts.length; n += 1) this.#stagePart(n, row[this.#table.key[n]!])
    this.hash = this.#hashStaged()
    return this
  }

  /** The key as users read it. */
  get key(): unknown {
    return this.values.length === 1 ? this.values[0] : [...this.values]
  }

  equals(row: number): boolean {
    const cells = this.#memory.i32
    for (let p = 0; p < this.#parts.length; p += 1) {
      const part = this.#parts[p]!
      const at = part.at
      const cell = row * 2 + part.rowAt
      if (cells[cell] !== this.#i32[at]) return false
      if (part.isVar && this.#hasLong && this.#long[p] !== undefined) {
        if (!this.#equalsLong(cell, this.#long[p]!)) return false
      } else {
        for (let n = 1; n < part.ints; n += 1) if (cells[cell + n] !== this.#i32[at + n]) return false
      }
    }
    return true
  }

  /** The hash of a stored row's key, the same as that of the key when it was staged. */
  hashOfRow(row: number): number {
    let hash = keyHashStart
    const cells = this.#memory.i32
    for (const part of this.#parts) {
      const cell = row * 2 + part.rowAt
      if (part.isVar && (cells[cell]! & lengthMask) > inlineBytesMax) {
        const { bytes, from, length } = this.#memory.viewBytes(cell)
        hash = hashLong(hash, cells[cell]!, bytes, from, length)
      } else {
        for (let n = 0; n < part.ints; n += 1) hash = mix(hash, cells[cell + n]!)
      }
    }
    return finish(hash)
  }

  #hashStaged(): number {
    let hash = keyHashStart
    for (let p = 0; p < this.#parts.length; p += 1) {
      const part = this.#parts[p]!
      const long = this.#long[p]
      if (this.#hasLong && long !== undefined) hash = hashLong(hash, this.#i32[part.at]!, long, 0, long.length)
      else for (let n = 0; n < part.ints; n += 1) hash = mix(hash, this.#i32[part.at + n]!)
    }
    return finish(hash)
  }

  #stagePart(p: number, value: unknown): void {
    const part = this.#parts[p]!
    const at = part.at
    this.#long[p] = undefined
    if (p === 0) this.#hasLong = false
    switch (part.type) {
      case 'text':
        if (typeof value !== 'string') throw this.#wrongType(part, value)
        this.#stageText(p, part, value)
        break
      case 'int':
      case 'timestamp':
        if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw this.#wrongType(part, value)
        this.#f64[at >>> 1] = value + 0 // -0 becomes 0
        break
      case 'f64':
        if (typeof value !== 'number' || Number.isNaN(value)) throw this.#wrongType(part, value)
        this.#f64[at >>> 1] = value + 0
        break
      case 'i32':
        if (typeof value !== 'number' || (value | 0) !== value) throw this.#wrongType(part, value)
        this.#i32[at] = value
        break
      case 'u32':
        if (typeof value !== 'number' || value >>> 0 !== value) throw this.#wrongType(part, value)
        this.#i32[at] = value | 0
        break
      case 'bool':
        if (typeof value !== 'boolean') throw this.#wrongType(part, value)
        this.#i32[at] = value ? 1 : 0
        break
      case 'bigint':
        if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value) throw this.#wrongType(part, value)
        this.#i64[at >>> 1] = value
        break
      case 'enum': {
        const place = part.words!.indexOf(value as string)
        if (place < 0) throw this.#wrongType(part, value)
        this.#i32[at] = place
        break
      }
      case 'uuid':
        if (typeof value !== 'string' || !uuidPattern.test(value)) throw this.#wrongType(part, value)
        this.#memory.stageUuid(this.#i32, at, value)
        break
      case 'bytes':
        if (!(value instanceof Uint8Array)) throw this.#wrongType(part, value)
        this.#stageLongBytes(p, part, value, 0)
        break
      case 'json':
        throw this.#wrongType(part, value)
    }
    this.values[p] = value
  }

  #stageText(p: number, part: Part, text: string): void {
    const at = part.at
    const length = text.length
    if (length <= inlineBytesMax) {
      let word = 0
      let to = at + 1
      let n = 0
      for (; n < length; n += 1) {
        const unit = text.charCodeAt(n)
        if (unit > 0x7f) break
        word |= unit << ((n & 3) << 3)
        if ((n & 3) === 3) {
          this.#i32[to] = word
          to += 1
          word = 0
        }
      }
      if (n === length) {
        if ((n & 3) !== 0) {
          this.#i32[to] = word
          to += 1
        }
        for (; to < at + 6; to += 1) this.#i32[to] = 0
        this.#i32[at] = length
        return
      }
    }
    if (!isWellFormed(text)) throw this.#invalid(`takes well-formed text for the key column "${part.name}"`, text)
    const bytes = Buffer.from(text, 'utf8')
    this.#stageLongBytes(p, part, bytes, bytes.length === length ? 0 : notAscii)
  }

  #stageLongBytes(p: number, part: Part, bytes: Uint8Array, flag: number): void {
    const at = part.at
    if (bytes.length > limits.keyBytesMax) {
      throw SluiceError.of('INVALID_INPUT', `The key column "${part.name}" of "${this.#table.name}" takes at most ${limits.keyBytesMax} bytes; it got ${bytes.length}.`, {
        details: { table: this.#table.name, column: part.name, bytes: bytes.length },
      })
    }
    this.#i32.fill(0, at, at + part.ints)
    this.#i32[at] = bytes.length | flag
    if (bytes.length > inlineBytesMax) {
      this.#long[p] = bytes
      this.#hasLong = true
    } else {
      for (let n = 0; n < bytes.length; n += 1) this.#i32[at + 1 + (n >>> 2)]! |= bytes[n]! << ((n & 3) << 3)
    }
  }

  #equalsLong(cell: number, sought: Uint8Array): boolean {
    const { bytes, from, length } = this.#memory.viewBytes(cell)
    if (length !== sought.length) return false
    for (let n = 0; n < length; n += 1) if (bytes[from + n] !== sought[n]) return false
    return true
  }

  #wrongType(part: Part, value: unknown): SluiceError {
    return this.#invalid(`takes ${part.type === 'enum' ? `one of ${part.words!.join(', ')}` : part.type} for the key column "${part.name}"`, value)
  }
  #invalid(what: string, value: unknown): SluiceError {
    const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : value === null ? 'null' : typeof value
    return SluiceError.of('INVALID_INPUT', `Table "${this.#table.name}" ${what}; it got ${shown}.`, { details: { table: this.#table.name } })
  }
}

function partOf(column: ColumnLayout, at: number, ints: number): Part {
  const { type, name, values } = column.descriptor
  return { type, name, at, ints, rowAt: column.at, isVar: column.isVar, words: values }
}

// ── the hash of a key, cell by cell ───────────────────────────────────────────────────────────────────────────

export const keyHashStart: number = 0x811c9dc5 | 0

export function mix(hash: number, word: number): number {
  hash = Math.imul(hash ^ word, 0x9e3779b1)
  return hash ^ (hash >>> 15)
}
export function finish(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return hash ^ (hash >>> 13)
}
/** A value that stands outside of its cell: the head of the cell, its bytes, its length. */
export function hashLong(hash: number, head: number, bytes: Uint8Array, from: number, length: number): number {
  hash = mix(hash, head)
  for (let n = 0; n < length; n += 1) hash = Math.imul(hash ^ bytes[from + n]!, 0x01000193)
  return mix(hash, length)
}

/** The type of a value that is looked for: rules such as `min` do not matter, a wrong type would be a silent miss. */
export function checkKeyValue(table: string, column: ColumnDescriptor, value: unknown): unknown {
  if (value === null && column.nullable) return null
  if (isOfType(column, value)) return value === 0 ? 0 : value
  const expected = column.type === 'enum' ? `one of ${column.values!.join(', ')}` : column.type
  throw SluiceError.of('INVALID_INPUT', `"${table}.${column.name}" is compared with ${expected}, not with ${value === null ? 'null' : typeof value}.`, {
    details: { table, column: column.name },
  })
}

function isOfType(column: ColumnDescriptor, value: unknown): boolean {
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
