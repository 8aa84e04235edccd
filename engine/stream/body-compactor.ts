/**
 * The body of a frame without some of its changes and events: of the same batch, with the same transactions at the same places. Those that
 * have lost something say so (`compactedFlag`). What is left is laid out anew and shorter (wal/body.ts).
 *
 * No value is read: images and payloads are copied as they are, so what is left of a frame means what it meant.
 */
import { compactedFlag } from '../txn/outcome.js'
import {
  changeField, changeWords, eventField, eventWords, type FrameBodyReader, laneField, laneWords, type LaneSpan, layoutBody, transactionField, transactionWords,
  writeBodyHead,
} from '../../wal/index.js'

/** Told the change, or event, by its place among those of the body, in their order, and of what table or type it is. */
export interface Leaving {
  readonly change: (place: number, layout: number) => boolean
  readonly event: (place: number, type: number) => boolean
}

const padded = (bytes: number): number => (bytes + 7) & ~7
/** What a change takes in a body. */
export const changeBytesAt = (words: Int32Array, at: number): number => changeWords * 4 + padded(words[at + changeField.imageBytes]!) + padded(words[at + changeField.beforeBytes]!)
export const eventBytesAt = (words: Int32Array, at: number): number => eventWords * 4 + padded(words[at + eventField.payloadBytes]!)

/** Undefined when nothing of it leaves. */
export function compactBody(body: FrameBodyReader, leaving: Leaving): Uint8Array | undefined {
  const { words } = body
  const isKept = { changes: new Uint8Array(body.changeCount), events: new Uint8Array(body.eventCount) }
  let changes = 0
  let events = 0
  for (let n = 0; n < body.changeCount; n += 1) {
    if (leaving.change(n, words[body.changesWord + n * changeWords + changeField.layout]!)) continue
    isKept.changes[n] = 1
    changes += 1
  }
  for (let n = 0; n < body.eventCount; n += 1) {
    if (leaving.event(n, words[body.eventsWord + n * eventWords + eventField.type]!)) continue
    isKept.events[n] = 1
    events += 1
  }
  if (changes === body.changeCount && events === body.eventCount) return undefined
  const bytes = body.lanes.map((lane) => laneBytes(body, lane, isKept))
  const layout = layoutBody({ lanes: body.laneCount, transactions: body.transactionCount, changes, events, bytes: bytes.reduce((sum, one) => sum + one, 0) })
  const target = new Uint8Array(layout.total)
  const { batch, now, seed } = body
  writeBodyHead(new DataView(target.buffer), 0, layout, { batch, now, seed })
  const copy = new Copy(body, isKept, target)
  let change = layout.changesAt >>> 2
  let event = layout.eventsAt >>> 2
  let at = layout.bytesAt
  for (const [n, lane] of body.lanes.entries()) {
    const end = copy.lane(lane, { lane: (layout.lanesAt >>> 2) + n * laneWords, transaction: (layout.transactionsAt >>> 2) + lane.transactionIndex * transactionWords, change, event, bytes: at, length: bytes[n]! })
    change = end.change
    event = end.event
    at += bytes[n]!
  }
  return target
}

interface Kept {
  readonly changes: Uint8Array
  readonly events: Uint8Array
}

/** What is left of the bytes of a lane. */
function laneBytes(body: FrameBodyReader, lane: LaneSpan, isKept: Kept): number {
  const { words } = body
  let bytes = 0
  for (let n = 0; n < lane.transactionCount; n += 1) {
    const at = body.transactionsWord + (lane.transactionIndex + n) * transactionWords
    bytes += padded(words[at + transactionField.resultBytes]!) + padded(words[at + transactionField.idBytes]!)
  }
  for (let n = lane.changeIndex; n < lane.changeIndex + lane.changeCount; n += 1) {
    if (isKept.changes[n] === 1) bytes += changeBytesAt(words, body.changesWord + n * changeWords) - changeWords * 4
  }
  for (let n = lane.eventIndex; n < lane.eventIndex + lane.eventCount; n += 1) {
    if (isKept.events[n] === 1) bytes += eventBytesAt(words, body.eventsWord + n * eventWords) - eventWords * 4
  }
  return bytes
}

/** Places in the new body: words, and for the bytes of the lane a byte. */
interface LanePlaces {
  readonly lane: number
  readonly transaction: number
  readonly change: number
  readonly event: number
  readonly bytes: number
  readonly length: number
}

class Copy {
  readonly #body: FrameBodyReader
  readonly #isKept: Kept
  readonly #target: Uint8Array
  readonly #words: Int32Array
  /** Of the lane that is being copied: where its bytes are in either body, and how many there are in the new one. */
  #from = 0
  #to = 0
  #length = 0

  constructor(body: FrameBodyReader, isKept: Kept, target: Uint8Array) {
    this.#body = body
    this.#isKept = isKept
    this.#target = target
    this.#words = new Int32Array(target.buffer)
  }

  lane(lane: LaneSpan, places: LanePlaces): { readonly change: number; readonly event: number } {
    const { words, changesWord, eventsWord, transactionsWord } = this.#body
    this.#from = lane.bytesAt
    this.#to = places.bytes
    this.#length = 0
    let { change, event } = places
    let oldChange = lane.changeIndex
    let oldEvent = lane.eventIndex
    for (let n = 0; n < lane.transactionCount; n += 1) {
      const old = transactionsWord + (lane.transactionIndex + n) * transactionWords
      const at = places.transaction + n * transactionWords
      const [firstChange, firstEvent] = [change, event]
      for (const end = oldChange + words[old + transactionField.changes]!; oldChange < end; oldChange += 1) {
        if (this.#isKept.changes[oldChange] === 1) change = this.#change(changesWord + oldChange * changeWords, change)
      }
      for (const end = oldEvent + words[old + transactionField.events]!; oldEvent < end; oldEvent += 1) {
        if (this.#isKept.events[oldEvent] === 1) event = this.#event(eventsWord + oldEvent * eventWords, event)
      }
      this.#transaction(old, at, (change - firstChange) / changeWords, (event - firstEvent) / eventWords)
    }
    this.#words[places.lane + laneField.partition] = lane.partition | 0
    this.#words[places.lane + laneField.transactions] = lane.transactionCount
    this.#words[places.lane + laneField.changes] = (change - places.change) / changeWords
    this.#words[places.lane + laneField.events] = (event - places.event) / eventWords
    this.#words[places.lane + laneField.bytes] = places.length
    return { change, event }
  }

  #transaction(old: number, at: number, changes: number, events: number): void {
    const { words } = this.#body
    const target = this.#words
    for (let n = 0; n < transactionWords; n += 1) target[at + n] = words[old + n]!
    const hasLost = changes !== words[old + transactionField.changes] || events !== words[old + transactionField.events]
    if (hasLost) target[at + transactionField.outcome] = words[old + transactionField.outcome]! | compactedFlag
    target[at + transactionField.result] = this.#bytes(words[old + transactionField.result]!, words[old + transactionField.resultBytes]!)
    target[at + transactionField.id] = this.#bytes(words[old + transactionField.id]!, words[old + transactionField.idBytes]!)
    target[at + transactionField.changes] = changes
    target[at + transactionField.events] = events
  }

  #change(old: number, at: number): number {
    const { words } = this.#body
    const target = this.#words
    for (let n = 0; n < changeWords; n += 1) target[at + n] = words[old + n]!
    target[at + changeField.image] = this.#bytes(words[old + changeField.image]!, words[old + changeField.imageBytes]!)
    target[at + changeField.before] = this.#bytes(words[old + changeField.before]!, words[old + changeField.beforeBytes]!)
    return at + changeWords
  }

  #event(old: number, at: number): number {
    const { words } = this.#body
    const target = this.#words
    for (let n = 0; n < eventWords; n += 1) target[at + n] = words[old + n]!
    target[at + eventField.payload] = this.#bytes(words[old + eventField.payload]!, words[old + eventField.payloadBytes]!)
    return at + eventWords
  }

  /** Copies bytes of the lane; answers where they are in it now. */
  #bytes(at: number, length: number): number {
    if (length === 0) return 0
    const from = this.#from + at
    const place = this.#length
    this.#target.set(this.#body.bytes.subarray(from, from + length), this.#to + place)
    this.#length += padded(length)
    return place
  }
}
