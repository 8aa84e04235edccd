/**
 * Frames into an empty store: recovery at open, and moments of the past that memory no longer holds.
 *
 * Nobody reads meanwhile, so no versions are kept: every row and page is of batch 1, which every snapshot sees. What is
 * replaced or removed goes back to the free lists at once.
 */
import { SluiceError } from '../base/errors.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { OutcomeTable } from '../sequencer/outcome-table.js'
import type { DecodedChange, DecodedTransaction } from './frame-decoder.js'
import { allRecords, FrameDecoder } from './frame-decoder.js'
import type { Store } from '../store/store.js'
import type { TableStore } from '../store/table-store.js'
import { RowWriter } from '../txn/row-writer.js'
import { FrameBodyReader } from '../../wal/index.js'

/** Older than every batch of a database. */
export const replayBatch = 1
/** Frames after which the little that replay retires is freed. */
const framesBetweenReclaims = 256

export class Replay {
  readonly #store: Store
  readonly #tables: ReadonlyMap<string, TableStore>
  readonly #writer: RowWriter
  readonly #outcomes: OutcomeTable
  #decoder: FrameDecoder | undefined
  #frames = 0
  lastNow = 0
  transactions = 0

  constructor(store: Store, outcomeWindowMs: number) {
    this.#store = store
    this.#tables = new Map(store.tables.map((table) => [table.name, table]))
    this.#writer = new RowWriter(store)
    this.#writer.batch = replayBatch
    this.#outcomes = new OutcomeTable(store, outcomeWindowMs)
    for (const domain of store.domains) domain.beginBatch()
  }

  /** The frames that follow were written under this catalog. */
  schema(catalog: LoggedCatalog): void {
    this.#decoder = new FrameDecoder(catalog)
  }

  frame(bytes: Uint8Array): void {
    const decoder = this.#decoder
    if (decoder === undefined) throw SluiceError.of('LOG_CORRUPT', 'The log has a frame before any schema that explains it.')
    const body = new FrameBodyReader(bytes)
    body.check()
    this.lastNow = body.now
    decoder.decode(body, allRecords, 0, (transaction) => this.#apply(transaction))
    this.#frames += 1
    if (this.#frames % framesBetweenReclaims === 0) this.#reclaim()
  }

  end(): void {
    this.#reclaim()
    if (this.lastNow > 0) this.#outcomes.expire(replayBatch, this.lastNow)
    this.#reclaim()
  }

  #apply(transaction: DecodedTransaction): void {
    this.transactions += 1
    for (const change of transaction.changes) this.#change(change)
    if (transaction.id !== undefined) {
      this.#outcomes.replace(replayBatch, transaction.id, {
        request: transaction.request,
        batch: transaction.batch,
        place: transaction.index,
        outcome: transaction.outcome,
        time: transaction.time,
        value: transaction.value ?? new Uint8Array(0),
      })
    }
  }

  #change(change: DecodedChange): void {
    const table = this.#tables.get(change.table)!
    const row = change.after ?? change.before!
    const values = table.descriptor.columns.map((column) => row[column.name])
    table.key.setFromRow(values)
    const part = table.part(table.partitionOfKey())
    const found = part.find()
    this.#writer.begin()
    if (change.kind === 'insert') {
      if (found !== 0) throw this.#contradiction(change)
      const known = part.findAny()
      table.codec.stage(values, part.domain)
      this.#writer.insert(part, known)
    } else if (found === 0) {
      throw this.#contradiction(change)
    } else if (change.kind === 'delete') {
      this.#writer.delete(part, found)
    } else {
      table.codec.stage(values, part.domain)
      this.#writer.update(part, found, table.layout.columns.map((column) => column.ordinal))
    }
    this.#writer.settle()
  }

  #contradiction(change: DecodedChange): SluiceError {
    return SluiceError.of('LOG_CORRUPT', `The log says ${change.kind} of a row of "${change.table}" that ${change.kind === 'insert' ? 'exists' : 'does not exist'}.`, {
      details: { table: change.table, key: change.key },
    })
  }

  #reclaim(): void {
    for (const domain of this.#store.domains) {
      domain.endBatch(replayBatch)
      this.#store.reclaimAll(domain, replayBatch)
      domain.beginBatch()
    }
  }
}
