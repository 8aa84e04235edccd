/**
 * The body of a frame, written by hand: a FlatBuffer of `FrameBody` (frame.fbs) without a Builder.
 *
 *    byte 0        4        8         28                                    72     76
 *         +--------+--------+---------+-------------------------------------+------+-------+---------
 *         | root   | "SLF1" | vtable  | table: vtable distance, batch, now, | zero | count | lanes …
 *         | (= 28) |        | 20 byte | seed, distances to the 5 vectors    |      |       |
 *         +--------+--------+---------+-------------------------------------+------+-------+---------
 *    then, each the same way: transactions, changes, events, bytes. Zeros to a multiple of 8 at the end.
 *
 * Everything before byte 76 has a fixed place, so a body is laid out by arithmetic and filled by a handful of copies:
 * the sealer asks for a layout, copies the sections of the lanes to the places it names, and writes the head.
 *
 * Invariants:
 *   B1  Every section begins at a multiple of 8 from the start of the body; its count is the word before it.
 *   B2  Same counts, same head, same section bytes: same body. Every byte that belongs to nothing is zero.
 *
 * Why not the Builder: it writes back to front, grows, and costs 0.4 µs per table; a vector of structs through it costs
 * a call per field. Readers in other languages see no difference.
 */
import { Builder, ByteBuffer } from 'flatbuffers'
import { assert } from '../engine/base/assert.js'
import { bodyCorrupt } from './damage.js'
import { Schema } from './generated/schema.js'

/** The words (4 bytes each) of the structs, and the place of each field in them. */
export const laneWords = 5
export const laneField = { partition: 0, transactions: 1, changes: 2, events: 3, bytes: 4 } as const

export const transactionWords = 10
export const transactionField = {
  place: 0,
  procedure: 1,
  outcome: 2,
  resultHash: 3,
  result: 4,
  resultBytes: 5,
  id: 6,
  idBytes: 7,
  changes: 8,
  events: 9,
} as const

export const changeWords = 6
export const changeField = { layout: 0, kind: 1, image: 2, imageBytes: 3, before: 4, beforeBytes: 5 } as const
export const changeKind = { insert: 1, update: 2, delete: 3 } as const

export const eventWords = 3
export const eventField = { type: 0, payload: 1, payloadBytes: 2 } as const

/** `Lane.partition` of the cross-partition lane. */
export const crossPartitionLane = 0xffff_ffff

/** "SLF1" and "SLS1", as little-endian words. */
export const bodyIdentifier = 0x3146_4c53
const schemaIdentifier = 'SLS1'

const vtableAt = 8
const tableAt = 28
const tableBytes = 44
const field = { batch: 4, now: 12, seed: 20, lanes: 24, transactions: 28, changes: 32, events: 36, bytes: 40 } as const
const vtable = [
  tableAt - vtableAt,
  tableBytes,
  field.batch,
  field.now,
  field.seed,
  field.lanes,
  field.transactions,
  field.changes,
  field.events,
  field.bytes,
] as const
const headBytes = tableAt + tableBytes

assert(vtable.length * 2 === tableAt - vtableAt, 'the vtable ends where the table begins')
assert((tableAt + field.batch) % 8 === 0 && (tableAt + field.now) % 8 === 0, 'batch and now are aligned to 8')

export interface BodyCounts {
  readonly lanes: number
  readonly transactions: number
  readonly changes: number
  readonly events: number
  readonly bytes: number
}

export interface BodyLayout extends BodyCounts {
  /** Length of the body, a multiple of 8. */
  readonly total: number
  /** Where the sections begin, in bytes from the start of the body, each a multiple of 8. */
  readonly lanesAt: number
  readonly transactionsAt: number
  readonly changesAt: number
  readonly eventsAt: number
  readonly bytesAt: number
}

export interface BodyHead {
  readonly batch: number
  /** Milliseconds. */
  readonly now: number
  readonly seed: number
}

export function layoutBody(counts: BodyCounts): BodyLayout {
  const { lanes, transactions, changes, events, bytes } = counts
  const lanesAt = sectionAfter(headBytes)
  const transactionsAt = sectionAfter(lanesAt + lanes * laneWords * 4)
  const changesAt = sectionAfter(transactionsAt + transactions * transactionWords * 4)
  const eventsAt = sectionAfter(changesAt + changes * changeWords * 4)
  const bytesAt = sectionAfter(eventsAt + events * eventWords * 4)
  const total = align8(bytesAt + bytes)
  return { lanes, transactions, changes, events, bytes, total, lanesAt, transactionsAt, changesAt, eventsAt, bytesAt }
}

/**
 * Writes all of the body but the sections, padding included. `base` is where the body begins in `target`, a multiple
 * of 8 so that the sections can be copied as words. The order of head and sections does not matter.
 */
export function writeBodyHead(target: DataView, base: number, layout: BodyLayout, head: BodyHead): void {
  assert(base % 8 === 0, 'B1: a body begins at a multiple of 8')
  assert(Number.isSafeInteger(head.batch) && head.batch >= 0, 'a batch is a whole number below 2^53')
  target.setUint32(base, tableAt, true)
  target.setUint32(base + 4, bodyIdentifier, true)
  for (let i = 0; i < vtable.length; i += 1) target.setUint16(base + vtableAt + i * 2, vtable[i]!, true)

  const table = base + tableAt
  target.setInt32(table, tableAt - vtableAt, true)
  target.setUint32(table + field.batch, head.batch % 2 ** 32, true)
  target.setUint32(table + field.batch + 4, Math.floor(head.batch / 2 ** 32), true)
  target.setFloat64(table + field.now, head.now, true)
  target.setUint32(table + field.seed, head.seed >>> 0, true)

  let end = headBytes
  end = section(target, base, field.lanes, end, layout.lanesAt, layout.lanes, laneWords * 4)
  end = section(target, base, field.transactions, end, layout.transactionsAt, layout.transactions, transactionWords * 4)
  end = section(target, base, field.changes, end, layout.changesAt, layout.changes, changeWords * 4)
  end = section(target, base, field.events, end, layout.eventsAt, layout.events, eventWords * 4)
  end = section(target, base, field.bytes, end, layout.bytesAt, layout.bytes, 1)
  for (; end < layout.total; end += 1) target.setUint8(base + end, 0)
}

/** The distance in the table, zeros up to the count (B2), and the count. Returns where the section ends. */
function section(
  target: DataView,
  base: number,
  distanceAt: number,
  end: number,
  at: number,
  count: number,
  elementBytes: number,
): number {
  const countAt = at - 4
  target.setUint32(base + tableAt + distanceAt, countAt - (tableAt + distanceAt), true)
  if (end < countAt) target.setUint32(base + end, 0, true)
  target.setUint32(base + countAt, count, true)
  return at + count * elementBytes
}

/** The body of a schema frame: the canonical JSON text of the catalog. */
export function encodeSchema(json: string): Uint8Array {
  const text = new TextEncoder().encode(json)
  const builder = new Builder(text.length + 64)
  const bytes = Schema.createJsonVector(builder, text)
  builder.finish(Schema.createSchema(builder, bytes), schemaIdentifier)
  return builder.asUint8Array().slice()
}

export function decodeSchema(body: Uint8Array): string {
  const buffer = new ByteBuffer(body)
  if (body.length < 12 || !buffer.__has_identifier(schemaIdentifier)) throw bodyCorrupt('it is not a schema')
  const json = jsonOf(buffer)
  if (json === null) return ''
  // The generated reader believes lengths: a text that goes on behind the body is somebody else's bytes.
  if (json.byteOffset + json.length > body.byteOffset + body.length) throw bodyCorrupt('its text lies outside')
  return new TextDecoder().decode(json)
}

function jsonOf(buffer: ByteBuffer): Uint8Array | null {
  try {
    return Schema.getRootAsSchema(buffer).jsonArray()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw bodyCorrupt('its text lies outside')
  }
}

function sectionAfter(end: number): number {
  return align8(end + 4)
}

function align8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8
}
