/**
 * Reads the body of a frame where it lies: two views over the same bytes, and the places of the sections.
 *
 * The constructor reads the root table once and proves that the five sections lie inside the body; `check` proves the
 * rest, in one pass: that the lanes account for every record, and that every offset and length in a record stays
 * inside its lane's part of the bytes. After that, no read through the views can leave the body.
 *
 * Hot loops index `words` themselves (`words[changesWord + i * changeWords + changeField.kind]`): a generated accessor
 * looks up its field in the vtable on every call, ten times the cost of the read. Words are signed: `>>> 0` where a
 * value may reach 2^31 (hashes, the partition of the cross-partition lane).
 *
 * Bodies that the flatbuffers Builder wrote are read as well: fields may be missing (their default is 0 or empty) and
 * sections may be in any order, as long as they are aligned to 4.
 */
import { bodyCorrupt } from './damage.js'
import {
  bodyIdentifier,
  changeField,
  changeWords,
  eventField,
  eventWords,
  laneField,
  laneWords,
  transactionField,
  transactionWords,
} from './body.js'

/** What belongs to one lane: ranges of records, by index, and its part of `bytes`. */
export interface LaneSpan {
  /** 0xffffffff: the cross-partition lane. */
  readonly partition: number
  readonly transactionIndex: number
  readonly transactionCount: number
  readonly changeIndex: number
  readonly changeCount: number
  readonly eventIndex: number
  readonly eventCount: number
  /** Where the lane's part begins in `bytes` of the reader; offsets in its records count from here. */
  readonly bytesAt: number
  readonly bytes: number
}

const fieldsMax = 8
const fieldIndex = { batch: 0, now: 1, seed: 2, lanes: 3, transactions: 4, changes: 5, events: 6, bytes: 7 } as const

export class FrameBodyReader {
  /** The whole body, as bytes and as words. */
  readonly bytes: Uint8Array
  readonly words: Int32Array

  readonly batch: number
  readonly now: number
  readonly seed: number

  readonly laneCount: number
  readonly transactionCount: number
  readonly changeCount: number
  readonly eventCount: number
  /** Length of the section of bytes. */
  readonly bytesLength: number

  /** Where the sections begin: indexes into `words`, and for the bytes an index into `bytes`. */
  readonly lanesWord: number
  readonly transactionsWord: number
  readonly changesWord: number
  readonly eventsWord: number
  readonly bytesAt: number

  #spans: readonly LaneSpan[] | undefined

  constructor(body: Uint8Array) {
    if (body.length < 16) throw bodyCorrupt(`it has ${body.length} bytes`)
    const bytes = body.byteOffset % 4 === 0 ? body : new Uint8Array(body)
    this.bytes = bytes
    this.words = new Int32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4))

    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    if (view.getUint32(4, true) !== bodyIdentifier) throw bodyCorrupt('its identifier is not SLF1')
    const table = view.getUint32(0, true)
    const fields = readVtable(view, table)

    const batchAt = fieldAt(view, table, fields[fieldIndex.batch]!, 8)
    this.batch = batchAt === 0 ? 0 : view.getUint32(batchAt, true) + view.getUint32(batchAt + 4, true) * 2 ** 32
    if (!Number.isSafeInteger(this.batch)) throw bodyCorrupt('its batch is above 2^53')
    const nowAt = fieldAt(view, table, fields[fieldIndex.now]!, 8)
    this.now = nowAt === 0 ? 0 : view.getFloat64(nowAt, true)
    const seedAt = fieldAt(view, table, fields[fieldIndex.seed]!, 4)
    this.seed = seedAt === 0 ? 0 : view.getUint32(seedAt, true)

    const lanes = vectorAt(view, table, fields[fieldIndex.lanes]!, laneWords * 4)
    const transactions = vectorAt(view, table, fields[fieldIndex.transactions]!, transactionWords * 4)
    const changes = vectorAt(view, table, fields[fieldIndex.changes]!, changeWords * 4)
    const events = vectorAt(view, table, fields[fieldIndex.events]!, eventWords * 4)
    const rest = vectorAt(view, table, fields[fieldIndex.bytes]!, 1)
    this.laneCount = countOf(view, lanes)
    this.transactionCount = countOf(view, transactions)
    this.changeCount = countOf(view, changes)
    this.eventCount = countOf(view, events)
    this.bytesLength = countOf(view, rest)
    this.lanesWord = lanes / 4
    this.transactionsWord = transactions / 4
    this.changesWord = changes / 4
    this.eventsWord = events / 4
    this.bytesAt = rest
  }

  /** The lanes in order, with the ranges that belong to them. Throws when they do not account for all records. */
  get lanes(): readonly LaneSpan[] {
    return (this.#spans ??= this.#readSpans())
  }

  /** Proves that every offset and length stays inside its lane. Once per body that does not come from ourselves. */
  check(): void {
    for (const lane of this.lanes) {
      this.#checkTransactions(lane)
      this.#checkChanges(lane)
      this.#checkEvents(lane)
    }
  }

  #checkTransactions(lane: LaneSpan): void {
    const { words } = this
    let changes = 0
    let events = 0
    for (let i = 0; i < lane.transactionCount; i += 1) {
      const at = this.transactionsWord + (lane.transactionIndex + i) * transactionWords
      changes += words[at + transactionField.changes]! >>> 0
      events += words[at + transactionField.events]! >>> 0
      const inside =
        isWithin(words[at + transactionField.result]!, words[at + transactionField.resultBytes]!, lane.bytes) &&
        isWithin(words[at + transactionField.id]!, words[at + transactionField.idBytes]!, lane.bytes)
      if (!inside) throw bodyCorrupt(`transaction ${lane.transactionIndex + i} points outside its lane`)
    }
    if (changes > lane.changeCount || events > lane.eventCount) {
      throw bodyCorrupt('transactions count more changes or events than their lane has')
    }
  }

  #checkChanges(lane: LaneSpan): void {
    const { words } = this
    for (let i = 0; i < lane.changeCount; i += 1) {
      const at = this.changesWord + (lane.changeIndex + i) * changeWords
      const kind = words[at + changeField.kind]!
      const inside =
        isWithin(words[at + changeField.image]!, words[at + changeField.imageBytes]!, lane.bytes) &&
        isWithin(words[at + changeField.before]!, words[at + changeField.beforeBytes]!, lane.bytes)
      if (!inside) throw bodyCorrupt(`change ${lane.changeIndex + i} points outside its lane`)
      if (kind < 1 || kind > 3) throw bodyCorrupt(`change ${lane.changeIndex + i} is of the unknown kind ${kind}`)
    }
  }

  #checkEvents(lane: LaneSpan): void {
    const { words } = this
    for (let i = 0; i < lane.eventCount; i += 1) {
      const at = this.eventsWord + (lane.eventIndex + i) * eventWords
      if (!isWithin(words[at + eventField.payload]!, words[at + eventField.payloadBytes]!, lane.bytes)) {
        throw bodyCorrupt(`event ${lane.eventIndex + i} points outside its lane`)
      }
    }
  }

  #readSpans(): readonly LaneSpan[] {
    const spans: LaneSpan[] = []
    let transactionIndex = 0
    let changeIndex = 0
    let eventIndex = 0
    let bytesIndex = 0
    for (let i = 0; i < this.laneCount; i += 1) {
      const at = this.lanesWord + i * laneWords
      const transactionCount = this.words[at + laneField.transactions]! >>> 0
      const changeCount = this.words[at + laneField.changes]! >>> 0
      const eventCount = this.words[at + laneField.events]! >>> 0
      const bytes = this.words[at + laneField.bytes]! >>> 0
      const partition = this.words[at + laneField.partition]! >>> 0
      const bytesAt = this.bytesAt + bytesIndex
      spans.push({
        partition, transactionIndex, transactionCount, changeIndex, changeCount, eventIndex, eventCount, bytesAt, bytes,
      })
      transactionIndex += transactionCount
      changeIndex += changeCount
      eventIndex += eventCount
      bytesIndex += bytes
    }
    const whole =
      transactionIndex === this.transactionCount &&
      changeIndex === this.changeCount &&
      eventIndex === this.eventCount &&
      bytesIndex === this.bytesLength
    if (!whole) throw bodyCorrupt('its lanes do not account for all of its records')
    return spans
  }
}

/** Bodies are shorter than 2^31 bytes, so what is negative here is too large. */
function isWithin(offset: number, length: number, bytes: number): boolean {
  return (offset | length) >= 0 && offset <= bytes - length
}

/** The places of the fields in the table, 0 where a field is missing. */
function readVtable(view: DataView, table: number): readonly number[] {
  const end = view.byteLength
  if (table < 8 || table + 4 > end) throw bodyCorrupt('its root points outside')
  const vtable = table - view.getInt32(table, true)
  if (vtable < 0 || vtable + 4 > end) throw bodyCorrupt('its vtable lies outside')
  const vtableBytes = view.getUint16(vtable, true)
  if (vtableBytes < 4 || vtableBytes % 2 !== 0 || vtable + vtableBytes > end) throw bodyCorrupt('its vtable is cut')

  const fields: number[] = []
  for (let i = 0; i < fieldsMax; i += 1) {
    const at = 4 + i * 2
    fields.push(at + 2 <= vtableBytes ? view.getUint16(vtable + at, true) : 0)
  }
  return fields
}

function fieldAt(view: DataView, table: number, field: number, bytes: number): number {
  if (field === 0) return 0
  if (table + field + bytes > view.byteLength) throw bodyCorrupt('a field lies outside')
  return table + field
}

/** Where the elements of a vector begin, proven to lie inside; 0 for a missing one. */
function vectorAt(view: DataView, table: number, field: number, elementBytes: number): number {
  const at = fieldAt(view, table, field, 4)
  if (at === 0) return 0
  const countAt = at + view.getUint32(at, true)
  if (countAt % 4 !== 0 || countAt + 4 > view.byteLength) throw bodyCorrupt('a section lies outside')
  const end = countAt + 4 + view.getUint32(countAt, true) * elementBytes
  if (end > view.byteLength) throw bodyCorrupt('a section is cut')
  return countAt + 4
}

function countOf(view: DataView, vector: number): number {
  return vector === 0 ? 0 : view.getUint32(vector - 4, true)
}
