/**
 * The primary key of a row image, as the ordered bytes of its key codec, read from the cells: no value is made on the way.
 *
 * What follows the log keeps rows by key (the checkpoint, most of all) and sees every image that is committed, so the way over
 * values, with a string and a few objects for each row, would cost more than the rest of its work.
 *
 * Invariant: `append` writes what `compileKeyCodec(...).encode` writes for the decoded key columns (key-codec.ts has the format).
 */
import { assert } from '../base/assert.js'
import type { TableDescriptor } from '../schema/descriptor.js'
import { appendEscapedBytes, enumPlaceBytes, isNotNull, isNull, type KeyBuffer } from '../schema/key-codec.js'
import { type ColumnLayout, inlineBytesMax, lengthMask, rowHeaderWords, type RowLayout } from '../schema/row-layout.js'
import type { ImageSource } from './row-image.js'

const headerInts = rowHeaderWords * 2
const pad8 = (bytes: number): number => (bytes + 7) & ~7

type AppendCell = (source: ImageSource, image: number, into: KeyBuffer) => void

export class ImageKey {
  readonly #parts: readonly AppendCell[]

  constructor(table: TableDescriptor, layout: RowLayout) {
    this.#parts = table.key.map((ordinal) => cellOf(layout.columns[ordinal]!, layout))
  }

  /** Appends the key of the image that begins at a byte of the source, a multiple of 8. */
  append(source: ImageSource, image: number, into: KeyBuffer): void {
    for (const part of this.#parts) part(source, image, into)
  }
}

function cellOf(column: ColumnLayout, layout: RowLayout): AppendCell {
  const bare = bareCellOf(column, layout)
  if (column.nullAt < 0) return bare
  const nullAt = column.nullAt - headerInts
  return (source, image, into) => {
    const isNullHere = (source.ints[(image >>> 2) + nullAt]! & column.nullBit) !== 0
    into.reserve(1)
    into.bytes[into.length++] = isNullHere ? isNull : isNotNull
    if (!isNullHere) bare(source, image, into)
  }
}

function bareCellOf(column: ColumnLayout, layout: RowLayout): AppendCell {
  const at = column.at - headerInts
  switch (column.descriptor.type) {
    case 'bool':
      return (source, image, into) => appendLow(source.ints[(image >>> 2) + at]!, 1, into)
    case 'enum': {
      const bytes = enumPlaceBytes(column.descriptor.values ?? [])
      return (source, image, into) => appendLow(source.ints[(image >>> 2) + at]!, bytes, into)
    }
    case 'i32':
      return (source, image, into) => appendLow(source.ints[(image >>> 2) + at]! ^ 0x80000000, 4, into)
    case 'u32':
      return (source, image, into) => appendLow(source.ints[(image >>> 2) + at]!, 4, into)
    case 'int':
    case 'f64':
    case 'timestamp':
      return (source, image, into) => {
        const low = source.ints[(image >>> 2) + at]!
        const high = source.ints[(image >>> 2) + at + 1]!
        const flip = high >> 31 // all ones for negative numbers
        appendLow(high ^ (flip | 0x80000000), 4, into)
        appendLow(low ^ flip, 4, into)
      }
    case 'bigint':
      return (source, image, into) => {
        appendLow(source.ints[(image >>> 2) + at + 1]! ^ 0x80000000, 4, into)
        appendLow(source.ints[(image >>> 2) + at]!, 4, into)
      }
    case 'uuid':
      return (source, image, into) => appendRaw(source.bytes, image + at * 4, 16, into)
    case 'text':
    case 'bytes':
      return (source, image, into) => {
        const length = source.ints[(image >>> 2) + at]! & lengthMask
        const from = length <= inlineBytesMax ? image + at * 4 + 4 : longAt(layout, column, source, image)
        appendEscapedBytes(source.bytes, from, length, into)
      }
    case 'json':
      return assert(false, `a key has no json column ("${column.descriptor.name}")`) as never
  }
}

/** Where the long value of a column stands behind its image: long values follow each other in column order. */
function longAt(layout: RowLayout, wanted: ColumnLayout, source: ImageSource, image: number): number {
  let at = image + (layout.words - rowHeaderWords) * 8
  for (const column of layout.vars) {
    if (column === wanted) break
    const length = source.ints[(image >>> 2) + column.at - headerInts]! & lengthMask
    if (length > inlineBytesMax) at += pad8(length)
  }
  return at
}

/** The low bytes of a word, big endian. */
function appendLow(word: number, bytes: number, into: KeyBuffer): void {
  into.reserve(bytes)
  for (let shift = (bytes - 1) * 8; shift >= 0; shift -= 8) into.bytes[into.length++] = (word >>> shift) & 0xff
}

function appendRaw(bytes: Uint8Array, from: number, length: number, into: KeyBuffer): void {
  into.reserve(length)
  for (let n = 0; n < length; n += 1) into.bytes[into.length++] = bytes[from + n]!
}
