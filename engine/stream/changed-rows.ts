/**
 * Frames as changes of a checkpoint: key and image of every row, copied into a buffer that sorts them later (wal/checkpoint-changes.ts).
 * Of several changes of a row the last one counts.
 *
 * No values are made and no object per row: a log of transfers brings half a million changes a second, and whoever follows it here
 * gets what the threads that commit leave.
 */
import { assert } from '../base/assert.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { programOf } from '../schema/catalog.js'
import { KeyBuffer } from '../schema/key-codec.js'
import { layoutOf } from '../schema/row-layout.js'
import { ImageKey } from '../store/image-key.js'
import { changeField, changeKind, changeWords, type ChangeBuffer, type FrameBodyReader } from '../../wal/index.js'
import { encodeOutcome, outcomesPlace, type TablePlaces } from './checkpoint-rows.js'
import { forEachOutcome } from './recorded-outcomes.js'

interface ChangedTable {
  readonly place: number
  /** Its number in the checkpoint. */
  readonly layout: number
  readonly key: ImageKey
}

export class ChangedRows {
  readonly #into: ChangeBuffer
  readonly #key = new KeyBuffer(256)
  readonly #source: { ints: Int32Array; bytes: Uint8Array } = { ints: new Int32Array(0), bytes: new Uint8Array(0) }
  /** By place in the catalog of the frames. */
  #tables: readonly ChangedTable[] = []

  constructor(into: ChangeBuffer) {
    this.#into = into
  }

  /** The frames that follow were written under this catalog, which the places of the checkpoint know. */
  schema(catalog: LoggedCatalog, places: TablePlaces): void {
    this.#tables = programOf(catalog).tables.map(({ descriptor }) => ({
      place: places.placeOf(descriptor.name),
      layout: places.layoutOf(descriptor.name),
      key: new ImageKey(descriptor, layoutOf(descriptor)),
    }))
  }

  /** All changes of a frame, in order. `makeRoom` empties the buffer when it is full, which may be in the middle of a frame. */
  frame(body: FrameBodyReader, makeRoom: () => void): void {
    const { words, bytes } = body
    this.#source.ints = words
    this.#source.bytes = bytes
    for (const lane of body.lanes) {
      for (let n = 0; n < lane.changeCount; n += 1) {
        const at = body.changesWord + (lane.changeIndex + n) * changeWords
        const isDelete = words[at + changeField.kind] === changeKind.delete
        const image = lane.bytesAt + words[at + (isDelete ? changeField.before : changeField.image)]!
        const table = this.#tables[words[at + changeField.layout]!]
        assert(table !== undefined, 'a change names a table of its catalog')
        const key = this.#startKey(table.place)
        table.key.append(this.#source, image, key)
        if (this.#into.isFull) makeRoom()
        if (isDelete) this.#into.deletePart(key.bytes, 0, key.length)
        else this.#into.putPart(key.bytes, 0, key.length, bytes, image, words[at + changeField.imageBytes]!, table.layout)
      }
    }
    this.#outcomes(body, makeRoom)
  }

  #outcomes(body: FrameBodyReader, makeRoom: () => void): void {
    forEachOutcome(body, (id, outcome) => {
      const key = this.#startKey(outcomesPlace)
      key.reserve(id.length)
      key.bytes.set(id, key.length)
      key.length += id.length
      if (this.#into.isFull) makeRoom()
      this.#into.put(key.view(), encodeOutcome(outcome))
    })
  }

  /** Places are two bytes, big endian, before the key of a row. */
  #startKey(place: number): KeyBuffer {
    const key = this.#key
    key.reset()
    key.reserve(2)
    key.bytes[0] = place >>> 8
    key.bytes[1] = place & 0xff
    key.length = 2
    return key
  }
}
