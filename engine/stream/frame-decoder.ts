/**
 * Frames as commits: what subscribers see, and what recovery applies.
 *
 * A decoder belongs to one catalog of the log, because places in frames mean what that catalog says. It reads rows with a
 * table's own compiled decoder, over a scratch region in which images are laid out like rows.
 *
 * With the catalog of today, rows and payloads have today's shape: columns that came later are filled in, columns that went are left
 * out, and so are the tables and events that went. Where a migration has made other rows of a table, those before it keep the shape
 * of their day. Without, everything is as it was written (tools without an application).
 */
import { ByteReader } from '../base/bytes.js'
import { limits } from '../base/limits.js'
import { type LoggedCatalog, type LoggedEvent, recordOf, shapeOfEvent } from '../schema/catalog.js'
import type { TableDescriptor } from '../schema/descriptor.js'
import { ownTablePrefix } from '../schema/sequence-table.js'
import { compileRecordCodec, type RecordCodec } from '../schema/record-codec.js'
import { areOfOneGeneration, reshaping } from '../schema/row-shape.js'
import { layoutOf, type RowLayout } from '../schema/row-layout.js'
import { Region } from '../shared/region.js'
import { layBefore, layImage } from '../store/row-image.js'
import { CellMemory, type PlainRow, RowCodec } from '../store/row-codec.js'
import { changeKind, changeWords, eventWords, FrameBodyReader, transactionWords } from '../../wal/index.js'

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
}

export interface DecodedTransaction {
  readonly batch: number
  /** Place among the records of the batch. */
  readonly index: number
  readonly time: number
  readonly procedure: string
  readonly id: string | undefined
  readonly outcome: number
  /** Of calls with an id: what was asked (see request-hash.ts), and the recorded value. */
  readonly request: number
  readonly value: Uint8Array | undefined
  readonly changes: readonly DecodedChange[]
  readonly events: readonly DecodedEvent[]
}

/** What a reader wants; undefined sets want everything. */
export interface FrameFilter {
  readonly tables: ReadonlySet<string> | undefined
  readonly events: ReadonlySet<string> | undefined
  /** Also transactions that changed and emitted nothing: recorded aborts. */
  readonly outcomes: boolean
}
export const allRecords: FrameFilter = { tables: undefined, events: undefined, outcomes: true }

interface TableDecoder {
  readonly name: string
  /** The engine's, or gone: its rows are no news to anybody (R49). */
  readonly isHidden: boolean
  readonly reshape: ((row: PlainRow) => PlainRow) | undefined
  readonly layout: RowLayout
  readonly key: readonly string[]
  codec: RowCodec
}

const noRules = { checks: [], json: [] }
const scratchWordsMin = 8_192
const rowAt = 16

interface EventDecoder {
  readonly name: string
  readonly isHidden: boolean
  readonly codec: RecordCodec
  readonly reshape: ((payload: PlainRow) => PlainRow) | undefined
}

export class FrameDecoder {
  readonly #tables: readonly TableDecoder[]
  readonly #events: readonly EventDecoder[]
  readonly #procedures: readonly string[]
  readonly #reader = new ByteReader(new Uint8Array(0))
  #memory = scratchMemory(scratchWordsMin)

  constructor(catalog: LoggedCatalog, today?: LoggedCatalog) {
    this.#tables = catalog.tables.map((table): TableDecoder => {
      const descriptor: TableDescriptor = { name: table.name, columns: table.columns, key: [0], partition: 'global', ordered: false, indexes: [] }
      const layout = layoutOf(descriptor)
      const now = today === undefined ? table : today.tables.find((one) => one.name === table.name)
      return {
        name: table.name,
        isHidden: table.name.startsWith(ownTablePrefix) || now === undefined,
        reshape: now === undefined || !areOfOneGeneration(table, now) ? undefined : reshaping(table, now),
        layout,
        key: table.key,
        codec: new RowCodec(layout, this.#memory),
      }
    })
    this.#events = catalog.events.map((event): EventDecoder => {
      const now = today === undefined ? event : today.events.find((one) => one.name === event.name)
      return {
        name: event.name,
        isHidden: now === undefined,
        codec: compileRecordCodec(recordOf(event), noRules, `the payload of "${event.name}"`),
        reshape: now && reshapingEvent(event, now),
      }
    })
    this.#procedures = catalog.procedures
  }

  /** The transactions of a frame that touch what the filter wants, from a place on. The body is not kept. */
  decode(body: FrameBodyReader, filter: FrameFilter, fromIndex: number, visit: (transaction: DecodedTransaction) => void): void {
    const { words } = body
    let index = 0
    for (const lane of body.lanes) {
      let change = lane.changeIndex
      let event = lane.eventIndex
      const base = lane.bytesAt
      for (let n = 0; n < lane.transactionCount; n += 1, index += 1) {
        const at = body.transactionsWord + (lane.transactionIndex + n) * transactionWords
        const changes = words[at + 8]!
        const events = words[at + 9]!
        if (index >= fromIndex) this.#visit(body, filter, index, at, base, change, changes, event, events, visit)
        change += changes
        event += events
      }
    }
  }

  #visit(body: FrameBodyReader, filter: FrameFilter, index: number, at: number, base: number, change: number, changes: number, event: number, events: number, visit: (transaction: DecodedTransaction) => void): void {
    const { words } = body
    const isFiltered = filter.tables !== undefined || filter.events !== undefined
    const decodedChanges: DecodedChange[] = []
    for (let n = 0; n < changes; n += 1) {
      const c = body.changesWord + (change + n) * changeWords
      const table = this.#tables[words[c]!]!
      if (table.isHidden || (isFiltered && !filter.tables?.has(table.name))) continue
      decodedChanges.push(this.#change(body, table, c, base))
    }
    const decodedEvents: DecodedEvent[] = []
    for (let n = 0; n < events; n += 1) {
      const e = body.eventsWord + (event + n) * eventWords
      const { name, isHidden, codec, reshape } = this.#events[words[e]!]!
      if (isHidden || (isFiltered && !filter.events?.has(name))) continue
      const from = base + words[e + 1]!
      this.#reader.reset(body.bytes)
      this.#reader.seek(from, from + words[e + 2]!)
      const payload = codec.decode(this.#reader)
      decodedEvents.push({ type: name, payload: reshape === undefined ? payload : reshape(payload) })
    }
    if (decodedChanges.length === 0 && decodedEvents.length === 0 && !filter.outcomes) return
    const idBytes = words[at + 7]!
    const idAt = base + words[at + 6]!
    visit({
      batch: body.batch,
      index,
      time: body.now,
      procedure: this.#procedures[words[at + 1]!]!,
      id: idBytes === 0 ? undefined : Buffer.from(body.bytes.buffer, body.bytes.byteOffset + idAt, idBytes).toString('utf8'),
      outcome: words[at + 2]!,
      request: words[at + 3]! >>> 0,
      value: filter.outcomes && idBytes > 0 ? body.bytes.slice(base + words[at + 4]!, base + words[at + 4]! + words[at + 5]!) : undefined,
      changes: decodedChanges,
      events: decodedEvents,
    })
  }

  #change(body: FrameBodyReader, table: TableDecoder, c: number, base: number): DecodedChange {
    const { words } = body
    const kind = words[c + 1]!
    const image = words[c + 3]!
    const before = words[c + 5]!
    this.#makeRoom(table, image + before)
    const into = this.#memory.i32
    const source = { ints: words, bytes: body.bytes }
    const layout = table
    if (kind === changeKind.update) {
      const next = layImage(layout, source, base + words[c + 2]!, into, rowAt)
      layBefore(layout, source, base + words[c + 4]!, into, rowAt, next)
      const after = rowIn(table, rowAt)
      return { kind: 'update', table: table.name, key: keyOf(table, after), before: rowIn(table, next), after }
    }
    const at = kind === changeKind.insert ? words[c + 2]! : words[c + 4]!
    layImage(layout, source, base + at, into, rowAt)
    const row = rowIn(table, rowAt)
    return kind === changeKind.insert
      ? { kind: 'insert', table: table.name, key: keyOf(table, row), before: undefined, after: row }
      : { kind: 'delete', table: table.name, key: keyOf(table, row), before: row, after: undefined }
  }

  /** The scratch region holds a row, the row before it, and their long values. */
  #makeRoom(table: TableDecoder, bytes: number): void {
    const words = rowAt + 2 * table.layout.words + (bytes >>> 3) + 16
    if (words > this.#memory.f64.length) {
      this.#memory = scratchMemory(2 ** Math.ceil(Math.log2(words)))
      for (const one of this.#tables) one.codec = new RowCodec(one.layout, this.#memory)
    }
  }
}

/** Events of an older shape go through the steps between the two (bindings/sourcing/event-history.ts). */
function reshapingEvent(event: LoggedEvent, now: LoggedEvent): ((payload: PlainRow) => PlainRow) | undefined {
  const { upcast } = now
  const shape = shapeOfEvent(event)
  if (upcast === undefined || shape === shapeOfEvent(now)) return reshaping(event, now)
  return (payload) => upcast(payload, shape) as PlainRow
}

function rowIn({ codec, reshape }: TableDecoder, at: number): PlainRow {
  const row = codec.decode(at)
  return reshape === undefined ? row : reshape(row)
}

function keyOf(table: TableDecoder, row: PlainRow): unknown {
  return table.key.length === 1 ? row[table.key[0]!] : table.key.map((name) => row[name])
}

function scratchMemory(words: number): CellMemory {
  return new CellMemory(Region.scratch(Math.min(words * 8, limits.frameBytesMax)))
}
