/**
 * Rows as words, words as values: compiled once per table and thread.
 *
 * Values reach a row through a staging image, private memory with the row's own layout: everything that can fail (a long
 * value that finds no room) happens while staging, and a few plain stores follow (R5). Old versions and log images have the
 * same layout, so one decoder reads them all.
 *
 * Generated code holds ordinals, offsets and `JSON.stringify`ed names, nothing else of the user's (R64).
 */
import { asciiText, ByteReader, ByteWriter, utf8Length, utf8Text } from '../base/bytes.js'
import { decodeCanonical, encodeCanonical } from '../base/canonical.js'
import type { Region } from '../shared/region.js'
import { windowWords, wordsFor } from '../shared/region.js'
import type { ColumnLayout, RowLayout } from '../schema/row-layout.js'
import { inlineBytesMax, lengthMask, notAscii, rowHeaderWords, varCellWords } from '../schema/row-layout.js'

/** Where long values get their memory: a domain, or the scratch of a speculated run. */
export interface BlockMemory {
  allocate(words: number): number
  release(address: number, words: number): void
}

/** A row as a plain object, columns in declared order. */
export type PlainRow = Record<string, unknown>

const varCellInts = varCellWords * 2
const hexByte = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, '0'))

export function uuidText(bytes: Uint8Array, from: number): string {
  let text = ''
  for (let n = 0; n < 16; n += 1) {
    if (n === 4 || n === 6 || n === 8 || n === 10) text += '-'
    text += hexByte[bytes[from + n]!]!
  }
  return text
}

/** Reads and writes the cells that are not plain numbers. One for each thread. */
export class CellMemory {
  readonly region: Region
  readonly i32: Int32Array
  readonly f64: Float64Array
  readonly i64: BigInt64Array
  readonly #windows: readonly Buffer[]
  readonly #writer = new ByteWriter(1_024)
  readonly #reader = new ByteReader(new Uint8Array(0))

  constructor(region: Region) {
    this.region = region
    this.i32 = region.i32
    this.f64 = region.f64
    this.i64 = new BigInt64Array(region.buffer, 0, region.words)
    this.#windows = region.windows.map((w) => Buffer.from(region.buffer, w.byteOffset, w.byteLength))
  }

  /** The bytes of a cell: a view of the region, not to be kept. `cell` counts 32-bit words. */
  viewBytes(cell: number): { readonly bytes: Buffer; readonly from: number; readonly length: number } {
    const length = this.i32[cell]! & lengthMask
    if (length <= inlineBytesMax) return { bytes: this.#windowOfCell(cell), from: this.#offsetOfCell(cell + 1), length }
    const address = this.i32[cell + 1]!
    return { bytes: this.#windowOf(address), from: this.region.byteOffsetOf(address), length }
  }

  /** A block of long bytes: the buffer that holds it and where it starts. */
  block(address: number): { readonly bytes: Buffer; readonly from: number } {
    return { bytes: this.#windowOf(address), from: this.region.byteOffsetOf(address) }
  }

  text(cell: number): string {
    const head = this.i32[cell]!
    const length = head & lengthMask
    if (length <= inlineBytesMax) {
      const bytes = this.#windowOfCell(cell)
      const from = this.#offsetOfCell(cell + 1)
      return head === length ? asciiText(bytes, from, length) : utf8Text(bytes, from, length)
    }
    const address = this.i32[cell + 1]!
    const bytes = this.#windowOf(address)
    const from = this.region.byteOffsetOf(address)
    return head === length ? asciiText(bytes, from, length) : utf8Text(bytes, from, length)
  }

  bytes(cell: number): Uint8Array {
    const { bytes, from, length } = this.viewBytes(cell)
    const copy = new Uint8Array(length)
    copy.set(bytes.subarray(from, from + length))
    return copy
  }

  json(cell: number): unknown {
    const copy = this.bytes(cell)
    this.#reader.reset(copy)
    return decodeCanonical(this.#reader)
  }

  uuid(cell: number): string {
    return uuidText(this.#windowOfCell(cell), this.#offsetOfCell(cell))
  }

  // ── staging ───────────────────────────────────────────────────────────────────────────────────────────

  /** Stages a text; a longer one gets a block of the domain, whose address the staged cell then holds. */
  stageText(into: Int32Array, at: number, text: string, domain: BlockMemory): void {
    const length = text.length
    if (length <= inlineBytesMax) {
      if (stageAscii(into, at, text, length)) return
    } else if (length <= copiedTextMax && asciiWords(text, length)) {
      const address = domain.allocate(wordsFor(length))
      const words = (length + 3) >>> 2
      for (let n = 0; n < words; n += 1) this.i32[address * 2 + n] = textWords[n]!
      stageLong(into, at, length, address)
      return
    }
    const bytes = utf8Length(text)
    const flag = bytes === length ? 0 : notAscii
    if (bytes <= inlineBytesMax) {
      stageInline(into, at, Buffer.from(text, 'utf8'), bytes, flag)
      return
    }
    const address = domain.allocate(wordsFor(bytes))
    const buffer = this.#windowOf(address)
    const from = this.region.byteOffsetOf(address)
    buffer.write(text, from, bytes, flag === 0 ? 'latin1' : 'utf8')
    stageLong(into, at, bytes | flag, address)
  }

  stageBytes(into: Int32Array, at: number, value: Uint8Array, domain: BlockMemory): void {
    if (value.length <= inlineBytesMax) {
      stageInline(into, at, value, value.length, 0)
      return
    }
    const address = domain.allocate(wordsFor(value.length))
    this.#windowOf(address).set(value, this.region.byteOffsetOf(address))
    stageLong(into, at, value.length, address)
  }

  stageJson(into: Int32Array, at: number, value: unknown, domain: BlockMemory): void {
    this.#writer.reset()
    encodeCanonical(value, this.#writer)
    this.stageBytes(into, at, this.#writer.bytes(), domain)
  }

  stageUuid(into: Int32Array, at: number, text: string): void {
    const digits = text.replaceAll('-', '')
    for (let n = 0; n < 4; n += 1) {
      let word = 0
      for (let b = 3; b >= 0; b -= 1) word = (word << 8) | Number.parseInt(digits.slice((n * 4 + b) * 2, (n * 4 + b) * 2 + 2), 16)
      into[at + n] = word
    }
  }

  #windowOf(address: number): Buffer {
    return this.#windows[Math.floor(address / windowWords)]!
  }
  #windowOfCell(cell: number): Buffer {
    return this.#windows[Math.floor(cell / (windowWords * 2))]!
  }
  #offsetOfCell(cell: number): number {
    return (cell % (windowWords * 2)) * 4
  }
}

/** Up to so many characters a loop beats the engine's own writer, which costs 100 ns before its first byte. */
const copiedTextMax = 128
const textWords = new Int32Array(copiedTextMax / 4)

/** Leaves a text in `textWords`, four characters to a word; false when it is not ASCII. */
function asciiWords(text: string, length: number): boolean {
  let word = 0
  let all = 0
  for (let n = 0; n < length; n += 1) {
    const unit = text.charCodeAt(n)
    all |= unit
    word |= unit << ((n & 3) << 3)
    if ((n & 3) !== 3) continue
    textWords[n >>> 2] = word
    word = 0
  }
  if ((length & 3) !== 0) textWords[length >>> 2] = word
  return all <= 0x7f
}

function stageAscii(into: Int32Array, at: number, text: string, length: number): boolean {
  let word = 0
  let to = at + 1
  let n = 0
  for (; n < length; n += 1) {
    const unit = text.charCodeAt(n)
    if (unit > 0x7f) return false
    word |= unit << ((n & 3) << 3)
    if ((n & 3) === 3) {
      into[to] = word
      to += 1
      word = 0
    }
  }
  if ((n & 3) !== 0) {
    into[to] = word
    to += 1
  }
  while (to < at + varCellInts) {
    into[to] = 0
    to += 1
  }
  into[at] = length
  return true
}

function stageInline(into: Int32Array, at: number, bytes: Uint8Array, length: number, flag: number): void {
  for (let n = 1; n < varCellInts; n += 1) into[at + n] = 0
  for (let n = 0; n < length; n += 1) into[at + 1 + (n >>> 2)]! |= bytes[n]! << ((n & 3) << 3)
  into[at] = length | flag
}

function stageLong(into: Int32Array, at: number, head: number, address: number): void {
  into[at] = head
  into[at + 1] = address
  for (let n = 2; n < varCellInts; n += 1) into[at + n] = 0
}

/** The block of a staged or stored cell: its address, or 0 when the value stands in the row. */
export function longAddress(words: Int32Array, cell: number): number {
  return (words[cell]! & lengthMask) > inlineBytesMax ? words[cell + 1]! : 0
}

function longBytesIn(words: Int32Array, at: number, vars: readonly ColumnLayout[]): number {
  let bytes = 0
  for (const column of vars) if (longAddress(words, at + column.at) !== 0) bytes += wordsFor(words[at + column.at]! & lengthMask) * 8
  return bytes
}

export class RowCodec {
  readonly layout: RowLayout
  readonly memory: CellMemory
  /** Staging image: `i32` and `f64` are the same memory, laid out like a row. */
  readonly i32: Int32Array
  readonly f64: Float64Array
  readonly i64: BigInt64Array
  /** The row at an address (or an old version, or any image in the region) as a plain object. */
  readonly decode: (row: number) => PlainRow
  /** One column of it, by ordinal. */
  readonly readers: readonly ((row: number) => unknown)[]
  /** Stages one value, already checked, by ordinal. May throw OUT_OF_SPACE. */
  readonly stagers: readonly ((value: unknown, domain: BlockMemory) => void)[]

  constructor(layout: RowLayout, memory: CellMemory) {
    this.layout = layout
    this.memory = memory
    const staging = new ArrayBuffer(layout.words * 8)
    this.i32 = new Int32Array(staging)
    this.f64 = new Float64Array(staging)
    this.i64 = new BigInt64Array(staging)
    this.decode = compileDecode(layout, memory)
    this.readers = layout.columns.map((column) => compileReader(column, memory))
    this.stagers = layout.columns.map((column) => this.#stager(column))
  }

  /** Stages a row of checked values by ordinal; what was allocated is given back when one of them finds no room. */
  stage(values: readonly unknown[], domain: BlockMemory): void {
    this.i32.fill(0)
    let staged = 0
    try {
      for (; staged < values.length; staged += 1) this.stagers[staged]!(values[staged], domain)
    } catch (error) {
      this.releaseStaged(staged, domain)
      throw error
    }
  }

  /** Bytes of the long values of a stored row, of all staged columns, or of some. */
  longBytesOfRow(row: number): number {
    return longBytesIn(this.memory.i32, row * 2, this.layout.vars)
  }
  longBytesStaged(ordinals?: readonly number[]): number {
    const vars = ordinals === undefined ? this.layout.vars : this.layout.vars.filter((column) => ordinals.includes(column.ordinal))
    return longBytesIn(this.i32, 0, vars)
  }

  /** Gives back the blocks of the first `columns` staged columns. */
  releaseStaged(columns: number, domain: BlockMemory): void {
    this.releaseColumns(this.layout.columns.slice(0, columns).map((column) => column.ordinal), domain)
  }

  /** Gives back the blocks of some staged columns, by ordinal. */
  releaseColumns(ordinals: readonly number[], domain: BlockMemory): void {
    for (const ordinal of ordinals) {
      const column = this.layout.columns[ordinal]!
      const address = column.isVar ? longAddress(this.i32, column.at) : 0
      if (address !== 0) domain.release(address, wordsFor(this.i32[column.at]! & lengthMask))
    }
  }

  /** Copies the staged columns over a row. */
  copyStaged(row: number): void {
    const to = row * 2
    const from = this.i32
    const i32 = this.memory.i32
    for (let n = rowHeaderWords * 2; n < from.length; n += 1) i32[to + n] = from[n]!
  }

  /** Copies the staged cell of one column, with its null bit, over a row. */
  copyCell(row: number, ordinal: number): void {
    const column = this.layout.columns[ordinal]!
    const i32 = this.memory.i32
    const ints = cellInts(column)
    for (let n = 0; n < ints; n += 1) i32[row * 2 + column.at + n] = this.i32[column.at + n]!
    if (column.nullAt < 0) return
    const word = row * 2 + column.nullAt
    i32[word] = (i32[word]! & ~column.nullBit) | (this.i32[column.nullAt]! & column.nullBit)
  }

  /** Copies the cell of one column, with its null bit, from one row to another. */
  copyCellBetween(from: number, to: number, ordinal: number): void {
    const column = this.layout.columns[ordinal]!
    const i32 = this.memory.i32
    const ints = cellInts(column)
    for (let n = 0; n < ints; n += 1) i32[to * 2 + column.at + n] = i32[from * 2 + column.at + n]!
    if (column.nullAt < 0) return
    i32[to * 2 + column.nullAt] = (i32[to * 2 + column.nullAt]! & ~column.nullBit) | (i32[from * 2 + column.nullAt]! & column.nullBit)
  }

  /** Stages what a row holds, with long values of its own. Gives back what it allocated when one finds no room. */
  stageCopy(row: number, domain: BlockMemory): void {
    const i32 = this.memory.i32
    for (let n = 0; n < this.i32.length; n += 1) this.i32[n] = i32[row * 2 + n]!
    let staged = 0
    try {
      for (; staged < this.layout.vars.length; staged += 1) this.#ownBlock(this.layout.vars[staged]!, domain)
    } catch (error) {
      this.releaseColumns(this.layout.vars.slice(0, staged).map((column) => column.ordinal), domain)
      throw error
    }
  }

  /** The same for one column, whose other cells stay as they are staged. */
  stageCellCopy(row: number, ordinal: number, domain: BlockMemory): void {
    const column = this.layout.columns[ordinal]!
    const i32 = this.memory.i32
    const ints = cellInts(column)
    for (let n = 0; n < ints; n += 1) this.i32[column.at + n] = i32[row * 2 + column.at + n]!
    if (column.nullAt >= 0) this.i32[column.nullAt] = (this.i32[column.nullAt]! & ~column.nullBit) | (i32[row * 2 + column.nullAt]! & column.nullBit)
    if (column.isVar) this.#ownBlock(column, domain)
  }

  /** A staged cell that shows a block of another's gets a copy of it. */
  #ownBlock(column: ColumnLayout, domain: BlockMemory): void {
    const address = longAddress(this.i32, column.at)
    if (address === 0) return
    const words = wordsFor(this.i32[column.at]! & lengthMask)
    const own = domain.allocate(words)
    const i32 = this.memory.i32
    for (let n = 0; n < words * 2; n += 1) i32[own * 2 + n] = i32[address * 2 + n]!
    this.i32[column.at + 1] = own
  }

  #stager(column: ColumnLayout): (value: unknown, domain: BlockMemory) => void {
    const { i32, f64, i64, memory } = this
    const { at, nullAt, nullBit } = column
    const cell = ((): ((value: never, domain: BlockMemory) => void) => {
      switch (column.descriptor.type) {
        case 'int':
        case 'f64':
        case 'timestamp':
          return (value: number) => void (f64[at >>> 1] = value + 0) // -0 is stored as 0 (R31)
        case 'i32':
          return (value: number) => void (i32[at] = value)
        case 'u32':
          return (value: number) => void (i32[at] = value | 0)
        case 'bool':
          return (value: boolean) => void (i32[at] = value ? 1 : 0)
        case 'bigint':
          return (value: bigint) => void (i64[at >>> 1] = value)
        case 'enum': {
          const places = new Map(column.descriptor.values!.map((word, n) => [word, n]))
          return (value: string) => void (i32[at] = places.get(value)!)
        }
        case 'uuid':
          return (value: string) => memory.stageUuid(i32, at, value)
        case 'text':
          return (value: string, domain) => memory.stageText(i32, at, value, domain)
        case 'bytes':
          return (value: Uint8Array, domain) => memory.stageBytes(i32, at, value, domain)
        case 'json':
          return (value: unknown, domain) => memory.stageJson(i32, at, value, domain)
      }
    })()
    if (nullAt < 0) return cell as (value: unknown, domain: BlockMemory) => void
    const ints = cellInts(column)
    return (value, domain) => {
      if (value === null) {
        i32[nullAt]! |= nullBit
        for (let n = 0; n < ints; n += 1) i32[at + n] = 0
      } else {
        i32[nullAt]! &= ~nullBit
        cell(value as never, domain)
      }
    }
  }
}

/** 32-bit words of a column's cell. */
export function cellInts(column: ColumnLayout): number {
  if (column.isVar) return varCellInts
  switch (column.descriptor.type) {
    case 'uuid':
      return 4
    case 'bool':
    case 'i32':
    case 'u32':
    case 'enum':
      return 1
    default:
      return 2
  }
}

/** The JavaScript expression that reads a column of the row at address `r`. */
export function readExpression(column: ColumnLayout): string {
  const cell = `r * 2 + ${column.at}`
  const value = ((): string => {
    switch (column.descriptor.type) {
      case 'int':
      case 'f64':
      case 'timestamp':
        return `f64[r + ${column.at >>> 1}]`
      case 'i32':
        return `i32[${cell}]`
      case 'u32':
        return `(i32[${cell}] >>> 0)`
      case 'bool':
        return `(i32[${cell}] === 1)`
      case 'bigint':
        return `i64[r + ${column.at >>> 1}]`
      case 'enum':
        return `words${column.ordinal}[i32[${cell}]]`
      case 'uuid':
        return `memory.uuid(${cell})`
      case 'text':
        return `memory.text(${cell})`
      case 'bytes':
        return `memory.bytes(${cell})`
      case 'json':
        return `memory.json(${cell})`
    }
  })()
  return column.nullAt < 0 ? value : `((i32[r * 2 + ${column.nullAt}] & ${column.nullBit}) !== 0 ? null : ${value})`
}

/** Constants that `readExpression` refers to. */
export function readPrelude(columns: readonly ColumnLayout[]): string {
  const enums = columns.filter((column) => column.descriptor.type === 'enum')
  return [
    'const { i32, f64, i64 } = memory;',
    ...enums.map((column) => `const words${column.ordinal} = ${JSON.stringify(column.descriptor.values)};`),
  ].join('\n')
}

function compileDecode(layout: RowLayout, memory: CellMemory): (row: number) => PlainRow {
  // `__proto__` cannot be a name here (R64), so a literal with quoted names makes own properties only.
  const fields = layout.columns.map((column) => `${JSON.stringify(column.descriptor.name)}: ${readExpression(column)}`)
  const source = `${readPrelude(layout.columns)}\nreturn (r) => ({ ${fields.join(',\n')} })`
  return new Function('memory', source)(memory) as (row: number) => PlainRow
}

function compileReader(column: ColumnLayout, memory: CellMemory): (row: number) => unknown {
  return new Function('memory', `${readPrelude([column])}\nreturn (r) => ${readExpression(column)}`)(memory) as (row: number) => unknown
}
