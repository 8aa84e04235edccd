/** Changes of one row among those of a frame, found by their keys: nothing of the others is decoded. */
import { SluiceError } from '../base/errors.js'
import { type LoggedTable, tableProgramOf } from '../schema/catalog.js'
import { compileKeyCodec, KeyBuffer } from '../schema/key-codec.js'
import { layoutOf } from '../schema/row-layout.js'
import { ImageKey } from '../store/image-key.js'
import type { ImageSource } from '../store/row-image.js'

export interface WantedRow {
  readonly table: string
  /** The values of its key. */
  readonly key: readonly unknown[]
}

/** Whether an image of the table, as a catalog has it, is one of the row. */
export type IsWanted = (source: ImageSource, image: number) => boolean

export function rowFilter({ key }: WantedRow, table: LoggedTable): IsWanted {
  const { descriptor } = tableProgramOf(table)
  const imageKey = new ImageKey(descriptor, layoutOf(descriptor))
  const wanted = bytesOf(descriptor.key.map((column) => descriptor.columns[column]!), key)
  // A key that the table could not have in those days.
  if (wanted === undefined) return () => false
  const found = new KeyBuffer()
  return (source, image) => {
    found.length = 0
    imageKey.append(source, image, found)
    if (found.length !== wanted.length) return false
    for (let n = 0; n < wanted.length; n += 1) if (found.bytes[n] !== wanted[n]) return false
    return true
  }
}

function bytesOf(columns: Parameters<typeof compileKeyCodec>[0], key: readonly unknown[]): Uint8Array | undefined {
  if (columns.length !== key.length) return undefined
  const buffer = new KeyBuffer()
  try {
    compileKeyCodec(columns).encode(key, buffer)
  } catch (error) {
    if (SluiceError.is(error) || error instanceof TypeError) return undefined
    throw error
  }
  return buffer.copy()
}
