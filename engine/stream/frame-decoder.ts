/**
 * Frames as commits: what subscribers see, and what recovery applies.
 *
 * A decoder belongs to one catalog of the log, because places in frames mean what that catalog says. It reads rows with code made
 * for each table (image-reader.ts). A `FrameCursor` goes through one frame and may stop between two transactions, so that who
 * follows a log of long frames does so in steps.
 *
 * With the catalog of today, rows and payloads have today's shape: columns that came later are filled in, columns that went are left
 * out, and so are the tables and events that went. Where a migration has made other rows of a table, those before it keep the shape
 * of their day. Without, everything is as it was written (tools without an application).
 */
import { ByteReader } from '../base/bytes.js'
import { type LoggedCatalog, type LoggedEvent, type LoggedTable, recordOf, shapeOfEvent } from '../schema/catalog.js'
import type { TableDescriptor } from '../schema/descriptor.js'
import { isEngineId, isErasureRecordId } from '../schema/handler-ids.js'
import { ownTablePrefix } from '../schema/sequence-table.js'
import { compileRecordCodec, type RecordCodec } from '../schema/record-codec.js'
import { areOfOneGeneration, reshaping } from '../schema/row-shape.js'
import { layoutOf } from '../schema/row-layout.js'
import type { PlainRow } from '../store/row-codec.js'
import { compactedFlag, erasedFlag } from '../txn/outcome.js'
import { changeKind, changeWords, eventWords, type FrameBodyReader, transactionWords } from '../../wal/index.js'
import { compileImageReader, type ImageReader } from './image-reader.js'
import { type IsWanted, rowFilter, type WantedRow } from './row-filter.js'

export interface DecodedChange {
  readonly kind: 'insert' | 'update' | 'delete'
  readonly table: string
  readonly key: unknown
  readonly before: PlainRow | undefined
  readonly after: PlainRow | undefined
}
export interface DecodedEvent {
  readonly type: string
  readonly payload: PlainRow
  /** Of this type, before it in its transaction: events whose payload was erased, which keep their places. */
  readonly erasedBefore?: number
}

export interface DecodedTransaction {
  readonly batch: number
  /** Place among the records of the batch. */
  readonly index: number
  readonly time: number
  readonly procedure: string
  readonly id: string | undefined
  readonly outcome: number
  /** An erasure has taken something of it away. */
  readonly isErased: boolean
  /** Retention has: a compaction by key, or of a stream. */
  readonly isCompacted: boolean
  /** Of calls with an id: what was asked (see request-hash.ts), and the recorded value. */
  readonly request: number
  readonly value: Uint8Array | undefined
  /** Bytes of the images and payloads that were decoded. */
  readonly bytes: number
  readonly changes: readonly DecodedChange[]
  readonly events: readonly DecodedEvent[]
  /** Changes of tables that the application has no more: they are not among `changes`. */
  readonly lost: number
}

/** Names that are wanted: a set, or whatever answers as one. */
export interface Names {
  has(name: string): boolean
}
/** What a reader wants; where both are undefined, everything. */
export interface FrameFilter {
  readonly tables: Names | undefined
  readonly events: Names | undefined
  /** Also transactions that changed and emitted nothing: recorded aborts. */
  readonly outcomes: boolean
  /** Somebody wants everything, whatever the names are: also commits that an erasure has emptied, and its record. */
  readonly isOpen?: boolean
  /** Changes of this row alone, which is of one of the tables. */
  readonly row?: WantedRow | undefined
}
export const allRecords: FrameFilter = { tables: undefined, events: undefined, outcomes: true }

interface TableDecoder {
  readonly name: string
  /** The engine's, or gone: its rows are no news to anybody (R49). */
  readonly isHidden: boolean
  readonly isGone: boolean
  readonly reshape: ((row: PlainRow) => PlainRow) | undefined
  readonly images: ImageReader
  readonly key: readonly string[]
  readonly logged: LoggedTable
  /** The row that was asked for last, and what tells it: decoders are shared by those who follow a log. */
  wanted: { readonly row: WantedRow; readonly is: IsWanted } | undefined
}

const noRules = { checks: [], json: [] }

interface EventDecoder {
  readonly name: string
  readonly isHidden: boolean
  /** Its payload has bytes, unless they were erased. */
  readonly hasPayload: boolean
  readonly codec: RecordCodec
  readonly reshape: ((payload: PlainRow) => PlainRow) | undefined
}

export class FrameDecoder {
  readonly #tables: readonly TableDecoder[]
  readonly #events: readonly EventDecoder[]
  readonly #procedures: readonly string[]
  readonly #reader = new ByteReader(new Uint8Array(0))
  readonly #source: { ints: Int32Array; bytes: Uint8Array } = { ints: new Int32Array(0), bytes: new Uint8Array(0) }

  constructor(catalog: LoggedCatalog, today?: LoggedCatalog) {
    this.#tables = catalog.tables.map((table): TableDecoder => {
      const descriptor: TableDescriptor = { name: table.name, columns: table.columns, key: [0], partition: 'global', ordered: false, indexes: [] }
      const now = today === undefined ? table : today.tables.find((one) => one.name === table.name)
      return {
        name: table.name,
        isHidden: table.name.startsWith(ownTablePrefix) || now === undefined,
        isGone: now === undefined && !table.name.startsWith(ownTablePrefix),
        reshape: now === undefined || !areOfOneGeneration(table, now) ? undefined : reshaping(table, now),
        images: compileImageReader(layoutOf(descriptor)),
        key: table.key,
        logged: table,
        wanted: undefined,
      }
    })
    this.#events = catalog.events.map((event): EventDecoder => {
      const now = today === undefined ? event : today.events.find((one) => one.name === event.name)
      return {
        name: event.name,
        isHidden: now === undefined,
        hasPayload: event.columns.length > 0,
        codec: compileRecordCodec(recordOf(event), noRules, `the payload of "${event.name}"`),
        reshape: now && reshapingEvent(event, now),
      }
    })
    this.#procedures = catalog.procedures
  }

  /** The transactions of a frame that touch what the filter wants, from a place on. The body is not kept. */
  decode(body: FrameBodyReader, filter: FrameFilter, fromIndex: number, visit: (transaction: DecodedTransaction) => void): void {
    const cursor = new FrameCursor(this, body, filter, fromIndex)
    for (let next = cursor.next(); next !== undefined; next = cursor.next()) visit(next)
  }

  /** One transaction, whose words begin at `at`; undefined where it is not wanted. For cursors. */
  transaction(body: FrameBodyReader, filter: FrameFilter, index: number, at: number, base: number, change: number, event: number): DecodedTransaction | undefined {
    const { words } = body
    const isFiltered = (filter.tables !== undefined || filter.events !== undefined) && filter.isOpen !== true
    let bytes = 0
    let lost = 0
    const changes: DecodedChange[] = []
    for (let c = body.changesWord + change * changeWords, end = c + words[at + 8]! * changeWords; c < end; c += changeWords) {
      const table = this.#tables[words[c]!]!
      if (table.isGone) lost += 1
      if (table.isHidden || (isFiltered && filter.tables?.has(table.name) !== true)) continue
      if (filter.row !== undefined && !this.#isWanted(filter.row, table, body, c, base)) continue
      changes.push(changeOf(table, body, c, base))
      bytes += words[c + 3]! + words[c + 5]!
    }
    const events: DecodedEvent[] = []
    let erasedEvents: Map<string, number> | undefined
    for (let e = body.eventsWord + event * eventWords, end = e + words[at + 9]! * eventWords; e < end; e += eventWords) {
      const { name, isHidden, hasPayload, codec, reshape } = this.#events[words[e]!]!
      if (isHidden || (isFiltered && filter.events?.has(name) !== true)) continue
      if (words[e + 2]! === 0 && hasPayload) {
        erasedEvents ??= new Map()
        erasedEvents.set(name, (erasedEvents.get(name) ?? 0) + 1)
        continue
      }
      const from = base + words[e + 1]!
      this.#reader.reset(body.bytes)
      this.#reader.seek(from, from + words[e + 2]!)
      const payload = codec.decode(this.#reader)
      const erasedBefore = erasedEvents?.get(name)
      events.push({ type: name, payload: reshape === undefined ? payload : reshape(payload), ...(erasedBefore !== undefined && { erasedBefore }) })
      bytes += words[e + 2]!
    }
    const idBytes = words[at + 7]!
    const idAt = base + words[at + 6]!
    const isErased = (words[at + 2]! & erasedFlag) !== 0
    const isErasure = idBytes > 0 && isErasureRecord(body.bytes, idAt, idBytes)
    const isNothing = changes.length === 0 && events.length === 0 && !filter.outcomes
    // What is gone is known to have been of some table: who follows all of them is told.
    if (isNothing && (isFiltered || (!isErased && !isErasure))) return undefined
    return {
      batch: body.batch,
      index,
      time: body.now,
      procedure: this.#procedures[words[at + 1]!]!,
      id: idBytes === 0 ? undefined : Buffer.from(body.bytes.buffer, body.bytes.byteOffset + idAt, idBytes).toString('utf8'),
      outcome: words[at + 2]! & ~(erasedFlag | compactedFlag),
      isErased,
      isCompacted: (words[at + 2]! & compactedFlag) !== 0,
      request: words[at + 3]! >>> 0,
      value: (filter.outcomes && idBytes > 0) || isErasure ? body.bytes.slice(base + words[at + 4]!, base + words[at + 4]! + words[at + 5]!) : undefined,
      bytes,
      changes,
      events,
      lost,
    }
  }

  #isWanted(row: WantedRow, table: TableDecoder, body: FrameBodyReader, c: number, base: number): boolean {
    if (table.wanted?.row !== row) table.wanted = { row, is: rowFilter(row, table.logged) }
    this.#source.ints = body.words
    this.#source.bytes = body.bytes
    return table.wanted.is(this.#source, base + body.words[c + (body.words[c + 1] === changeKind.delete ? 4 : 2)]!)
  }
}

/** Goes through the transactions of one frame, in order. */
export class FrameCursor {
  readonly #decoder: FrameDecoder
  readonly #body: FrameBodyReader
  readonly #filter: FrameFilter
  readonly #from: number
  #lane = 0
  /** The next transaction: its place in its lane, and in the frame; its first change and event. */
  #n = 0
  #index = 0
  #change = 0
  #event = 0

  constructor(decoder: FrameDecoder, body: FrameBodyReader, filter: FrameFilter, fromIndex: number) {
    this.#decoder = decoder
    this.#body = body
    this.#filter = filter
    this.#from = fromIndex
  }

  /** Place of the next transaction among those of the frame. */
  get index(): number {
    return this.#index
  }

  /** The next one that is wanted; undefined at the end. */
  next(): DecodedTransaction | undefined {
    const body = this.#body
    const { lanes, words } = body
    for (; this.#lane < lanes.length; this.#lane += 1, this.#n = 0) {
      const lane = lanes[this.#lane]!
      if (this.#n === 0) {
        this.#change = lane.changeIndex
        this.#event = lane.eventIndex
      }
      while (this.#n < lane.transactionCount) {
        const at = body.transactionsWord + (lane.transactionIndex + this.#n) * transactionWords
        const index = this.#index
        const found = index < this.#from ? undefined : this.#decoder.transaction(body, this.#filter, index, at, lane.bytesAt, this.#change, this.#event)
        this.#n += 1
        this.#index += 1
        this.#change += words[at + 8]!
        this.#event += words[at + 9]!
        if (found !== undefined) return found
      }
    }
    return undefined
  }
}

function changeOf(table: TableDecoder, { words, bytes }: FrameBodyReader, c: number, base: number): DecodedChange {
  const { readAfter, readBefore } = table.images
  const kind = words[c + 1]!
  if (kind === changeKind.update) {
    const is = readAfter(words, bytes, (base + words[c + 2]!) >>> 2)
    const was = readBefore(words, bytes, (base + words[c + 4]!) >>> 2, is)
    const after = shaped(table, is)
    return { kind: 'update', table: table.name, key: keyOf(table, after), before: shaped(table, was), after }
  }
  const isInsert = kind === changeKind.insert
  const row = shaped(table, readAfter(words, bytes, (base + words[c + (isInsert ? 2 : 4)]!) >>> 2))
  return isInsert
    ? { kind: 'insert', table: table.name, key: keyOf(table, row), before: undefined, after: row }
    : { kind: 'delete', table: table.name, key: keyOf(table, row), before: row, after: undefined }
}

function isErasureRecord(bytes: Uint8Array, at: number, length: number): boolean {
  const id = bytes.subarray(at, at + length)
  return isEngineId(id) && isErasureRecordId(Buffer.from(id.buffer, id.byteOffset, length).toString('utf8'))
}

function shaped({ reshape }: TableDecoder, row: PlainRow): PlainRow {
  return reshape === undefined ? row : reshape(row)
}

/** Events of an older shape go through the steps between the two (bindings/sourcing/event-history.ts). */
function reshapingEvent(event: LoggedEvent, now: LoggedEvent): ((payload: PlainRow) => PlainRow) | undefined {
  const { upcast } = now
  const shape = shapeOfEvent(event)
  if (upcast === undefined || shape === shapeOfEvent(now)) return reshaping(event, now)
  return (payload) => upcast(payload, shape) as PlainRow
}

function keyOf(table: TableDecoder, row: PlainRow): unknown {
  return table.key.length === 1 ? row[table.key[0]!] : table.key.map((name) => row[name])
}
