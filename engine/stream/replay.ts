/**
 * Frames into an empty store: recovery at open, and moments of the past that memory no longer holds.
 *
 * A change is laid down as the image that it is (store/row-loader.ts); of a transaction, only what a call with an id has to say is
 * decoded. Nobody reads meanwhile: every row and page is of batch 1, which every snapshot sees. The trees of the tables, and so
 * their indexes, are there after `end`.
 *
 * Images of an older layout become such of today's first (store/row-upcast.ts), all of a frame or block, and are laid down after the
 * others: rows of different tables have no order. Where nothing is older, no change is asked what it is. Rows of an older generation
 * of a table, and of tables that are gone, are passed over (schema/catalog.ts).
 */
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { LoggedCatalog, LoggedTable } from '../schema/catalog.js'
import { areOfOneGeneration } from '../schema/row-shape.js'
import { OutcomeTable } from '../sequencer/outcome-table.js'
import { loadKind, RowLoader, type TableLoader } from '../store/row-loader.js'
import { ImageArena, type RowUpcast, upcastOf } from '../store/row-upcast.js'
import type { Store } from '../store/store.js'
import { changeField, changeKind, changeWords, FrameBodyReader, type LaneSpan, type RowBlock, rowWords } from '../../wal/index.js'
import { decodeOutcome, layoutNumber, type OutcomeRow, outcomesPlace, rowBytes } from './checkpoint-rows.js'
import { forEachOutcome } from './recorded-outcomes.js'

/** Older than every batch of a database. */
export const replayBatch = 1
/** Outcomes after which those that have left the window go, and what they retired with them: no more wait than did in life. */
const outcomesBetweenReclaims = limits.outcomesExpiredPerBatchMax

/** What rows of a layout become: nothing, rows of a table as they are, or rows of a table when they have been brought up to date. */
interface RowSource {
  readonly loader: TableLoader | undefined
  readonly upcast: RowUpcast | undefined
}

export class Replay {
  readonly #outcomes: OutcomeTable
  readonly #loader: RowLoader
  /** What the store is opened with: fills and generations are its. Undefined: the catalogs that come are it. */
  readonly #today: ReadonlyMap<string, LoggedTable> | undefined
  /** By place in the catalog of the frames. Undefined at places whose rows are not laid down as they are. */
  #tables: readonly (TableLoader | undefined)[] | undefined
  /** The same places, each by its layouts: a frame has one, a checkpoint may have more. */
  #sources: readonly (readonly RowSource[])[] = []
  /** Every place has rows of one layout, which is today's. */
  #isPlain = true
  readonly #arena = new ImageArena()
  /** Changes whose images are in the arena: kind, place there, length. */
  readonly #upcast: { readonly loader: TableLoader; readonly kind: number; readonly at: number; readonly bytes: number }[] = []
  #outcomesLaid = 0
  lastNow = 0
  /** Records of that frame. */
  lastRecords = 0
  transactions = 0

  constructor(store: Store, outcomeWindowMs: number, today?: LoggedCatalog) {
    this.#loader = new RowLoader(store, replayBatch)
    this.#outcomes = new OutcomeTable(store, outcomeWindowMs)
    this.#today = today && new Map(today.tables.map((table) => [table.name, table]))
  }

  /** The frames that follow were written under this catalog. `layouts`: of a checkpoint whose tables have several, by place. */
  schema(catalog: LoggedCatalog, layouts?: readonly (readonly LoggedTable[])[]): void {
    this.#sources = catalog.tables.map((table, place) => (layouts?.[place] ?? [table]).map((layout) => this.#sourceOf(layout)))
    this.#tables = this.#sources.map(([first]) => (first?.upcast === undefined ? first?.loader : undefined))
    this.#isPlain = this.#sources.every((sources, place) => sources.length === 1 && this.#tables![place] !== undefined)
  }

  #sourceOf(layout: LoggedTable): RowSource {
    const loader = this.#loader.table(layout.name)
    const today = this.#today === undefined ? layout : this.#today.get(layout.name)
    // A table of the engine's own is not in every catalog, and always the same.
    if (loader === undefined || (today !== undefined && !areOfOneGeneration(layout, today))) return { loader: undefined, upcast: undefined }
    return { loader, upcast: upcastOf(layout, today ?? layout, loader.table.descriptor) }
  }

  /** Rows of a checkpoint, before the first frame. The catalog is that of the checkpoint: places are its own. */
  block(block: RowBlock): void {
    const { bytes, words, rows } = block
    this.#loader.begin(words, bytes)
    const isPlain = this.#isPlain
    for (let row = 0, end = block.count * rowWords; row < end; row += rowWords) {
      const keyAt = rows[row]!
      const place = bytes[keyAt]! * 256 + bytes[keyAt + 1]!
      if (place === outcomesPlace) this.#layOutcome(bytes.subarray(keyAt + 2, keyAt + rows[row + 1]!), decodeOutcome(bytes, rows[row + 2]!, rows[row + 3]!))
      else if (isPlain) this.#table(place).add(loadKind.put, rows[row + 2]! >>> 2, rows[row + 3]!)
      else this.#layOlder(words, this.#sourceIn(place, layoutNumber(words, rows[row + 2]!, rows[row + 3]!)), loadKind.put, rows[row + 2]! >>> 2, rowBytes(rows[row + 3]!))
    }
    this.#loader.flush()
    this.#flushUpcast()
  }

  frame(bytes: Uint8Array): void {
    const tables = this.#tables
    if (tables === undefined) throw SluiceError.of('LOG_CORRUPT', 'The log has a frame before any schema that explains it.')
    const body = new FrameBodyReader(bytes)
    body.check()
    this.lastNow = body.now
    this.lastRecords = body.transactionCount
    this.transactions += body.transactionCount
    this.#loader.begin(body.words, body.bytes)
    if (this.#isPlain) for (const lane of body.lanes) layChanges(tables as readonly TableLoader[], body, lane)
    else for (const lane of body.lanes) this.#layOlderChanges(body, lane)
    this.#loader.flush()
    this.#flushUpcast()
    forEachOutcome(body, this.#layOutcome)
  }

  #layOlderChanges(body: FrameBodyReader, lane: LaneSpan): void {
    const { words } = body
    let c = body.changesWord + lane.changeIndex * changeWords
    for (let n = 0; n < lane.changeCount; n += 1, c += changeWords) {
      const source = this.#sources[words[c + changeField.layout]!]?.[0]
      if (source === undefined) throw unknownTable(body, words[c + changeField.layout]!)
      const kind = words[c + changeField.kind]!
      const image = kind === changeKind.delete ? changeField.before : changeField.image
      this.#layOlder(words, source, kind, (lane.bytesAt + words[c + image]!) >>> 2, words[c + image + 1]!)
    }
  }

  #layOlder(ints: Int32Array, { loader, upcast }: RowSource, kind: number, w: number, bytes: number): void {
    if (loader === undefined) return
    if (upcast === undefined) {
      loader.add(kind, w, bytes)
      return
    }
    const at = upcast.append(ints, w, this.#arena)
    this.#upcast.push({ loader, kind, at, bytes: (this.#arena.length - at) * 4 })
  }

  /** What was brought up to date, when nothing else waits: its images are elsewhere. */
  #flushUpcast(): void {
    if (this.#upcast.length === 0) return
    this.#loader.begin(this.#arena.ints, this.#arena.bytes)
    for (const { loader, kind, at, bytes } of this.#upcast) loader.add(kind, at, bytes)
    this.#loader.flush()
    this.#upcast.length = 0
    this.#arena.length = 0
  }

  /** All frames are there: builds the trees. */
  end(): void {
    this.#loader.end()
    if (this.lastNow > 0) this.#outcomes.expire(replayBatch, this.lastNow)
    this.#loader.reclaim()
  }

  readonly #layOutcome = (id: Uint8Array, outcome: OutcomeRow): void => {
    this.#outcomes.replace(replayBatch, Buffer.from(id.buffer, id.byteOffset, id.length).toString('utf8'), outcome)
    this.#outcomesLaid += 1
    if (this.#outcomesLaid % outcomesBetweenReclaims !== 0) return
    this.#outcomes.expire(replayBatch, outcome.time)
    this.#loader.reclaim()
  }

  /** After `end`: what a unique index would refuse. Only who opens a database minds; the past may have been so. */
  get twice(): SluiceError | undefined {
    return this.#loader.twice
  }

  #table(place: number): TableLoader {
    const table = this.#tables?.[place]
    if (table !== undefined) return table
    throw unknownPlace(place)
  }

  #sourceIn(place: number, layout: number): RowSource {
    const source = this.#sources[place]?.[layout]
    if (source !== undefined) return source
    throw unknownPlace(place)
  }
}

function layChanges(tables: readonly TableLoader[], body: FrameBodyReader, lane: LaneSpan): void {
  const { words } = body
  const base = lane.bytesAt
  let c = body.changesWord + lane.changeIndex * changeWords
  for (let n = 0; n < lane.changeCount; n += 1, c += changeWords) {
    const table = tables[words[c + changeField.layout]!]
    if (table === undefined) throw unknownTable(body, words[c + changeField.layout]!)
    const kind = words[c + changeField.kind]!
    const image = kind === changeKind.delete ? changeField.before : changeField.image
    table.add(kind, (base + words[c + image]!) >>> 2, words[c + image + 1]!)
  }
}

function unknownPlace(place: number): SluiceError {
  return SluiceError.of('LOG_CORRUPT', `A row of the checkpoint is of table ${place}, which its catalog does not have.`, { details: { place } })
}

function unknownTable(body: FrameBodyReader, place: number): SluiceError {
  return SluiceError.of('LOG_CORRUPT', `The frame of batch ${body.batch} names table ${place}, which its schema does not have.`, { details: { batch: body.batch, place } })
}
