/**
 * Images of rows of one table, and what an erasure leaves of them: whose a row is, and the row without what is the subject's.
 *
 * Images are laid out as rows in a scratch region, as for decoding (store/row-image.ts), changed there, and written as images again.
 */
import type { LoggedTable } from '../schema/catalog.js'
import { type ErasedTable, type ErasurePlan, type Redaction, redacted, type Subject } from '../schema/erasure-plan.js'
import type { TableDescriptor } from '../schema/descriptor.js'
import { type ColumnLayout, layoutOf, rowHeaderWords, type RowLayout } from '../schema/row-layout.js'
import type { LaneLog } from '../shared/lane-log.js'
import { Region } from '../shared/region.js'
import { cellInts, CellMemory, RowCodec } from '../store/row-codec.js'
import { type ImageSource, layBefore, layImage, writeBefore, writeImage } from '../store/row-image.js'
import { limits } from '../base/limits.js'

const scratchWordsMin = 8_192
const rowAt = 16

/** Place of an image in a lane, and how long it is. */
export interface PutImage {
  readonly at: number
  readonly bytes: number
}

export class RowEraser {
  readonly name: string
  /** Rows of the subject stay, without some of their values. */
  readonly blanks: boolean
  /** By column: of two rows of an update each has its own. */
  readonly redacts: boolean
  readonly layout: RowLayout
  readonly #subjectColumns: readonly number[]
  readonly #redactions: readonly Redaction[]
  readonly #plan: ErasurePlan
  readonly #blank: readonly ColumnLayout[]
  readonly #length = { bytes: 0 }
  #memory = scratch(scratchWordsMin)
  #codec: RowCodec
  /** Where the row before an update was laid. */
  #beforeAt = 0

  /** Undefined: the table has none of the columns that say whose a row is. */
  static of(table: LoggedTable, erased: ErasedTable, plan: ErasurePlan): RowEraser | undefined {
    const descriptor: TableDescriptor = { name: table.name, columns: table.columns, key: [0], partition: 'global', ordered: false, indexes: [] }
    const eraser = new RowEraser(descriptor, erased, plan)
    return eraser.#subjectColumns.length + eraser.#redactions.length === 0 ? undefined : eraser
  }

  private constructor(descriptor: TableDescriptor, { name, subject, blank, redact = [] }: ErasedTable, plan: ErasurePlan) {
    this.name = name
    this.layout = layoutOf(descriptor)
    const named = (names: readonly string[]): readonly ColumnLayout[] => this.layout.columns.filter((column) => names.includes(column.descriptor.name))
    this.#subjectColumns = named(subject).map(({ ordinal }) => ordinal)
    this.#plan = plan
    this.#redactions = redact.filter(({ column }) => named([column]).length > 0)
    this.redacts = redact.length > 0
    this.blanks = this.redacts || blank !== undefined
    this.#blank = named(blank ?? [])
    this.#codec = new RowCodec(this.layout, this.#memory)
  }

  /** Lays the image out as the row after a change. */
  layAfter(source: ImageSource, at: number, bytes: number): void {
    this.#makeRoom(bytes)
    this.#beforeAt = layImage(this, source, at, this.#memory.i32, rowAt)
  }
  /** The row before the update whose later one was laid; `bytes` are of both. */
  layBoth(source: ImageSource, after: number, before: number, bytes: number): void {
    this.#makeRoom(bytes)
    this.#beforeAt = layImage(this, source, after, this.#memory.i32, rowAt)
    layBefore(this, source, before, this.#memory.i32, rowAt, this.#beforeAt)
  }

  isOf(which: 'after' | 'before', subject: Subject): boolean {
    const row = this.#rowOf(which)
    const { readers } = this.#codec
    return this.#subjectColumns.some((ordinal) => readers[ordinal]!(row) === subject) || this.#redacted(row).length > 0
  }

  /** Columns that are to be blank become null, or zero where an older layout had no null for them. */
  blank(which: 'after' | 'before'): void {
    const { i32 } = this.#memory
    const row = this.#rowOf(which)
    const start = row * 2
    for (const column of this.redacts ? this.#redacted(row) : this.#blank) {
      i32.fill(0, start + column.at, start + column.at + cellInts(column))
      if (column.nullAt >= 0) i32[start + column.nullAt] = i32[start + column.nullAt]! | column.nullBit
    }
  }

  #redacted(row: number): readonly ColumnLayout[] {
    if (!this.redacts) return []
    const { columns } = this.layout
    const names = redacted(this.#plan, this.#redactions, (name) => this.#codec.readers[columns.findIndex(({ descriptor }) => descriptor.name === name)]!(row))
    return columns.filter(({ descriptor }) => names.includes(descriptor.name))
  }

  /** Both rows that were laid are one. */
  get isSame(): boolean {
    const { i32 } = this.#memory
    const [after, before] = [(rowAt + rowHeaderWords) * 2, (this.#beforeAt + rowHeaderWords) * 2]
    for (let n = 0; n < (this.layout.words - rowHeaderWords) * 2; n += 1) if (i32[after + n] !== i32[before + n]) return false
    return true
  }

  /**
   * The row before takes these columns from the row after: between two owners they are not compared. What two rows have in common they need
   * one image for, and a body has no room for more than it had.
   */
  blankLikeAfter(): void {
    for (const { ordinal } of this.#blank) this.#codec.copyCellBetween(rowAt, this.#beforeAt, ordinal)
  }

  put(which: 'after' | 'before', log: LaneLog): PutImage {
    const at = writeImage(log, this, this.#memory, this.#memory.i32, this.#rowOf(which) * 2, this.#length)
    return { at, bytes: this.#length.bytes }
  }
  /** What the row after does not tell of the one before; undefined when they are the same. */
  putBefore(log: LaneLog): PutImage | undefined {
    const words = this.#memory.i32
    const at = writeBefore(log, this, this.#memory, { words, at: this.#rowOf('before') * 2 }, { words, at: rowAt * 2 }, this.#length)
    return at < 0 ? undefined : { at, bytes: this.#length.bytes }
  }
  /** A row before that was as the row after. */
  putSame(log: LaneLog): PutImage {
    const bytes = Math.ceil((this.layout.words - rowHeaderWords) / 64) * 8
    const at = log.takeBytes(bytes)
    log.bytes.fill(0, at, at + bytes)
    return { at: log.offsetInLane(at), bytes }
  }

  #rowOf(which: 'after' | 'before'): number {
    return which === 'after' ? rowAt : this.#beforeAt
  }

  #makeRoom(bytes: number): void {
    const words = rowAt + 2 * this.layout.words + (bytes >>> 3) + 16
    if (words <= this.#memory.f64.length) return
    this.#memory = scratch(2 ** Math.ceil(Math.log2(words)))
    this.#codec = new RowCodec(this.layout, this.#memory)
  }
}

const scratch = (words: number): CellMemory => new CellMemory(Region.scratch(Math.min(words * 8, limits.frameBytesMax)))
