/** Row images of a checkpoint as plain rows, and rows compared by content. */
import { ByteWriter } from '../base/bytes.js'
import { encodeCanonical } from '../base/canonical.js'
import { limits } from '../base/limits.js'
import type { TableDescriptor } from '../schema/descriptor.js'
import { KeyBuffer } from '../schema/key-codec.js'
import { inlineBytesMax, layoutOf, lengthMask, rowHeaderWords, type RowLayout } from '../schema/row-layout.js'
import { Region } from '../shared/region.js'
import { ImageKey } from '../store/image-key.js'
import { CellMemory, type PlainRow, RowCodec } from '../store/row-codec.js'
import { type ImageSource, layImage } from '../store/row-image.js'

const scratchWordsMin = 4_096
const rowAt = 16

/** Of one table. An image that its columns cannot have is an exception of whatever kind: the caller names the place. */
export class ImageDecoder {
  readonly #layout: RowLayout
  #codec: RowCodec
  #memory: CellMemory
  readonly #key: ImageKey
  readonly #keyBuffer = new KeyBuffer(64)

  constructor(table: TableDescriptor) {
    this.#layout = layoutOf(table)
    this.#key = new ImageKey(table, this.#layout)
    this.#memory = scratch(scratchWordsMin)
    this.#codec = new RowCodec(this.#layout, this.#memory)
  }

  decode(image: Uint8Array): PlainRow {
    this.#mustFit(image)
    const words = rowAt + this.#layout.words + (image.length >>> 3) + 16
    if (words > this.#memory.f64.length) {
      this.#memory = scratch(2 ** Math.ceil(Math.log2(words)))
      this.#codec = new RowCodec(this.#layout, this.#memory)
    }
    layImage({ layout: this.#layout }, sourceOf(image), 0, this.#memory.i32, rowAt)
    return this.#codec.decode(rowAt)
  }

  /** Whether an image is that of the row with this ordered key. */
  hasKey(image: Uint8Array, key: Uint8Array): boolean {
    this.#mustFit(image)
    this.#keyBuffer.reset()
    this.#key.append(sourceOf(image), 0, this.#keyBuffer)
    const { bytes, length } = this.#keyBuffer
    return Buffer.compare(bytes.subarray(0, length), key) === 0
  }

  /** The long values that the cells announce are what stands behind the image, to the byte. */
  #mustFit(image: Uint8Array): void {
    const columnBytes = (this.#layout.words - rowHeaderWords) * 8
    if (image.length < columnBytes) throw new Error(`it has ${image.length} bytes, and its columns need ${columnBytes}`)
    const { ints } = sourceOf(image)
    let bytes = columnBytes
    for (const column of this.#layout.vars) {
      const length = ints[column.at - rowHeaderWords * 2]! & lengthMask
      if (length > inlineBytesMax) bytes += Math.ceil(length / 8) * 8
    }
    if (bytes !== image.length) throw new Error(`it has ${image.length} bytes, and its values say ${bytes}`)
  }
}

function sourceOf(image: Uint8Array): ImageSource {
  // ints and bytes begin together, so that places in both are counted from the image.
  const bytes = image.byteOffset % 8 === 0 ? image : image.slice()
  return { ints: new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2), bytes }
}

const scratch = (words: number): CellMemory => new CellMemory(Region.scratch(Math.min(words * 8, limits.frameBytesMax)))

const left = new ByteWriter(256)
const right = new ByteWriter(256)

/** The columns in which two rows of a table differ. */
export function differences(table: TableDescriptor, a: PlainRow, b: PlainRow): readonly string[] {
  return table.columns.flatMap(({ name }) => (isSame(a[name], b[name]) ? [] : [name]))
}

function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  left.reset()
  right.reset()
  encodeCanonical(a, left)
  encodeCanonical(b, right)
  return Buffer.compare(left.bytes(), right.bytes()) === 0
}
