/**
 * Outcomes of calls with an id (R57): a table of the store like any other, but the engine's own, global, and written at the
 * seal from what the lanes recorded. It needs no frame space: the transactions in the frame are its contents, and recovery
 * fills it from them.
 *
 * A repeat finds its outcome here. Entries leave when they are older than the window, in batch time; when the table is full of
 * younger ones, calls with an id are `OVERLOADED`, never silently at-least-once.
 *
 * An erasure names recorded answers of which nothing may be left, by their place in the log; ids that name its subject go, too.
 *
 * The engine's own ids (schema/handler-ids.ts) have no window: a cursor is replaced by the next one of its handler, which lets those of
 * the events go that it has passed (R61). The cursor of a consumer that was deleted takes everything along, itself too.
 */
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { decodeCanonical } from '../base/canonical.js'
import { ByteReader } from '../base/bytes.js'
import { type CursorValue, enginePrefix, handlerOfCursor, isErasureId, keptForever, passedIds, type PassedIds } from '../schema/handler-ids.js'
import type { TableProgram } from '../schema/descriptor.js'
import { boundsOf } from '../store/range-bounds.js'
import type { PlainRow } from '../store/row-codec.js'
import type { Store } from '../store/store.js'
import { gatherRows } from '../store/tree-scan.js'
import type { TablePart, TableStore } from '../store/table-store.js'
import { RowWriter } from '../txn/row-writer.js'

/** No user's table can have this name (R64). */
export const outcomeTableName = '$outcomes'

export const outcomeTable: TableProgram = {
  descriptor: {
    name: outcomeTableName,
    columns: [
      { name: 'id', type: 'text', nullable: false },
      { name: 'request', type: 'f64', nullable: false },
      { name: 'batch', type: 'f64', nullable: false },
      { name: 'place', type: 'u32', nullable: false },
      { name: 'outcome', type: 'u32', nullable: false },
      { name: 'time', type: 'f64', nullable: false },
      { name: 'value', type: 'bytes', nullable: false },
    ],
    key: [0],
    partition: 'global',
    ordered: false,
    indexes: [{ name: 'byTime', on: [5], range: true, unique: false }],
  },
  checks: [],
  json: [],
}

export interface RecordedOutcome {
  readonly request: number
  readonly batch: number
  readonly place: number
  readonly outcome: number
  readonly value: Uint8Array
}

export class OutcomeTable {
  readonly #table: TableStore
  readonly #part: TablePart
  readonly #writer: RowWriter
  readonly #windowMs: number
  readonly #store: Store

  constructor(store: Store, windowMs: number) {
    this.#store = store
    this.#table = store.tables.find((table) => table.name === outcomeTableName)!
    this.#part = this.#table.part(0)
    this.#writer = new RowWriter(store)
    this.#windowMs = windowMs
  }

  /** What a repeat is answered with. A cursor has one id for good: each of its calls is a new one. */
  find(id: string): RecordedOutcome | undefined {
    if (handlerOfCursor(id) !== undefined) return undefined
    this.#table.key.set(id)
    const row = this.#part.find()
    return row === 0 ? undefined : (this.#table.codec.decode(row) as PlainRow & RecordedOutcome)
  }

  /** Room for one more id at this time. */
  hasRoom(now: number): boolean {
    if (this.#part.countNow() < limits.outcomesMax) return true
    return this.#oldest(now - this.#windowMs, 1).length > 0
  }

  /** Runs inside a batch, after its lanes. */
  add(batch: number, id: string, request: number, place: number, outcome: number, time: number, value: Uint8Array, ofBatch = batch): void {
    const handler = id.startsWith(enginePrefix) ? handlerOfCursor(id) : undefined
    if (handler !== undefined) {
      this.#forget(batch, id)
      const cursor = decodeCanonical(new ByteReader(value)) as CursorValue
      this.#forgetPassed(batch, passedIds(handler, cursor))
      if (cursor.length === 0) return // its consumer was deleted
    }
    if (handler === undefined && isErasureId(id)) this.#eraseAnswers(batch, value)
    this.#writer.batch = batch
    this.#writer.begin()
    const { codec, key } = this.#table
    key.set(id)
    const known = this.#part.findAny()
    if (known !== 0 && this.#part.find() !== 0) return
    codec.stage([id, request, ofBatch, place, outcome, id.startsWith(enginePrefix) ? keptForever : time, value], this.#part.domain)
    this.#writer.insert(this.#part, known)
  }

  /** Recovery: the newest outcome of an id wins; an older one had left the window. */
  replace(batch: number, id: string, outcome: RecordedOutcome & { readonly time: number }): void {
    this.#forget(batch, id)
    this.add(batch, id, outcome.request, outcome.place, outcome.outcome, outcome.time, outcome.value, outcome.batch)
  }

  /** Forgets what is older than the window, a bounded number each time. Runs inside a batch, after its lanes. */
  expire(batch: number, now: number): void {
    this.#deleteRows(batch, this.#oldest(now - this.#windowMs, limits.outcomesExpiredPerBatchMax))
  }

  #forget(batch: number, id: string): void {
    this.#table.key.set(id)
    const row = this.#part.find()
    if (row === 0) return
    this.#writer.batch = batch
    this.#writer.begin()
    this.#writer.delete(this.#part, row)
    this.#writer.settle()
  }

  /** The value of an erasure's commit: its record, then `[batch, place, value]` of answers, or `[batch, place]` of those that are forgotten. */
  #eraseAnswers(batch: number, value: Uint8Array): void {
    const [, answers] = decodeCanonical(new ByteReader(value)) as readonly [unknown, readonly (readonly [number, number, Uint8Array?])[]]
    if (answers.length === 0) return
    const places = new Map(answers.map((answer) => [`${answer[0]} ${answer[1]}`, answer]))
    const found: { readonly row: PlainRow & RecordedOutcome & { readonly id: string; readonly time: number }; readonly value: Uint8Array | undefined }[] = []
    this.#part.hash.forEach((address) => {
      if (!this.#store.isLive(address)) return
      const row = this.#table.codec.decode(address) as (typeof found)[number]['row']
      const answer = places.get(`${row.batch} ${row.place}`)
      if (answer !== undefined) found.push({ row, value: answer[2] })
    })
    for (const { row, value: left } of found) {
      this.#forget(batch, row.id)
      if (left !== undefined) this.add(batch, row.id, row.request, row.place, row.outcome, row.time, left, row.batch)
    }
  }

  /** Ids of one time stand in the index in their own order. */
  #forgetPassed(batch: number, { from, to, keeps }: PassedIds): void {
    const plan = this.#table.trees[0]!
    const { range } = boundsOf(this.#table, plan, 2, { from: [keptForever, from], to: [keptForever, to] })
    const rows = gatherRows([this.#part], plan, range, Infinity, (part) => part.trees[0]!.rootNow())
    const idOf = this.#table.codec.readers[0]!
    this.#deleteRows(batch, keeps === undefined ? rows : rows.filter((row) => !keeps(idOf(row) as string)))
  }

  /** As many as there is room for; the rest another time. */
  #deleteRows(batch: number, rows: readonly number[]): void {
    this.#writer.batch = batch
    for (const row of rows) {
      this.#writer.begin()
      try {
        this.#writer.delete(this.#part, row)
      } catch (error) {
        if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
        this.#writer.undo()
        return // another time
      }
      this.#writer.settle()
    }
  }

  #oldest(before: number, limit: number): number[] {
    const plan = this.#table.trees[0]!
    const { range } = boundsOf(this.#table, plan, 1, { to: before })
    return gatherRows([this.#part], plan, range, limit, (part) => part.trees[0]!.rootNow())
  }
}
