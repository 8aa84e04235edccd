/**
 * Frames into an empty store: recovery at open, and moments of the past that memory no longer holds.
 *
 * A change is laid down as the image that it is (store/row-loader.ts); of a transaction, only what a call with an id has to say is
 * decoded. Nobody reads meanwhile: every row and page is of batch 1, which every snapshot sees. The trees of the tables, and so
 * their indexes, are there after `end`.
 */
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { OutcomeTable } from '../sequencer/outcome-table.js'
import { loadKind, RowLoader, type TableLoader } from '../store/row-loader.js'
import type { Store } from '../store/store.js'
import { changeField, changeKind, changeWords, FrameBodyReader, type LaneSpan, type RowBlock, rowWords } from '../../wal/index.js'
import { decodeOutcome, type OutcomeRow, outcomesPlace } from './checkpoint-rows.js'
import { forEachOutcome } from './recorded-outcomes.js'

/** Older than every batch of a database. */
export const replayBatch = 1
/** Outcomes after which those that have left the window go, and what they retired with them: no more wait than did in life. */
const outcomesBetweenReclaims = limits.outcomesExpiredPerBatchMax

export class Replay {
  readonly #outcomes: OutcomeTable
  readonly #loader: RowLoader
  /** By place in the catalog of the frames. */
  #tables: readonly TableLoader[] | undefined
  #outcomesLaid = 0
  lastNow = 0
  transactions = 0

  constructor(store: Store, outcomeWindowMs: number) {
    this.#loader = new RowLoader(store, replayBatch)
    this.#outcomes = new OutcomeTable(store, outcomeWindowMs)
  }

  /** The frames that follow were written under this catalog. */
  schema(catalog: LoggedCatalog): void {
    this.#tables = catalog.tables.map(({ name }) => {
      const table = this.#loader.table(name)
      if (table !== undefined) return table
      throw SluiceError.of('LOG_CORRUPT', `The log has rows of a table "${name}" that this application does not have.`, { details: { table: name } })
    })
  }

  /** Rows of a checkpoint, before the first frame. The catalog is that of the checkpoint: places are its own. */
  block(block: RowBlock): void {
    const { bytes, words, rows } = block
    this.#loader.begin(words, bytes)
    for (let row = 0, end = block.count * rowWords; row < end; row += rowWords) {
      const keyAt = rows[row]!
      const place = bytes[keyAt]! * 256 + bytes[keyAt + 1]!
      if (place === outcomesPlace) this.#layOutcome(bytes.subarray(keyAt + 2, keyAt + rows[row + 1]!), decodeOutcome(bytes, rows[row + 2]!, rows[row + 3]!))
      else this.#table(place).add(loadKind.put, rows[row + 2]! >>> 2, rows[row + 3]!)
    }
    this.#loader.flush()
  }

  frame(bytes: Uint8Array): void {
    const tables = this.#tables
    if (tables === undefined) throw SluiceError.of('LOG_CORRUPT', 'The log has a frame before any schema that explains it.')
    const body = new FrameBodyReader(bytes)
    body.check()
    this.lastNow = body.now
    this.transactions += body.transactionCount
    this.#loader.begin(body.words, body.bytes)
    for (const lane of body.lanes) layChanges(tables, body, lane)
    this.#loader.flush()
    forEachOutcome(body, this.#layOutcome)
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
    throw SluiceError.of('LOG_CORRUPT', `A row of the checkpoint is of table ${place}, which its catalog does not have.`, { details: { place } })
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

function unknownTable(body: FrameBodyReader, place: number): SluiceError {
  return SluiceError.of('LOG_CORRUPT', `The frame of batch ${body.batch} names table ${place}, which its schema does not have.`, { details: { batch: body.batch, place } })
}
