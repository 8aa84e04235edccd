/**
 * The body of a frame without what is a subject's: as long as it was, of the same batch, with the same transactions at the same places.
 *
 *   changes     as if the table had only the rows that are not the subject's. An update that gives a row to the subject becomes its
 *               deletion, one that takes it away an insert, and all between them is gone. Where rows are blanked, all changes stay, with
 *               nulls, but updates that changed nothing else; of one that gives or takes a row, `before` has these columns as `after`
 *   events      the subject's keep their type and their place, and lose their payload
 *   answers     of calls with an id: the recorded value goes when the transaction has touched the subject, or when it mentions it
 *   ids         one that mentions the subject goes, and with it all that was recorded for it
 *
 * So a replay of rewritten frames makes what it had made of a database that never had those rows. Transactions that have lost something say
 * so (`erasedFlag`).
 *
 * What is left is written anew and shorter; behind it stand zeros (readers go by the FlatBuffer, docs/log-format.md).
 */
import { assert } from '../base/assert.js'
import { ByteReader, ByteWriter } from '../base/bytes.js'
import { decodeCanonical, encodeCanonical } from '../base/canonical.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { recordOf } from '../schema/catalog.js'
import { type ErasurePlan, mentions, type Subject, subjectOf } from '../schema/erasure-plan.js'
import { enginePrefix, handlerOfCursor, isErasureId } from '../schema/handler-ids.js'
import { compileRecordCodec, type RecordCodec } from '../schema/record-codec.js'
import { LaneLog, newPiece } from '../shared/lane-log.js'
import { copyLanes, countsOf, type RecordedLane } from '../sequencer/seal.js'
import { committed, erasedFlag, outcomeKindMask } from '../txn/outcome.js'
import { changeField, changeKind, changeWords, eventField, eventWords, FrameBodyReader, type LaneSpan, layoutBody, transactionField, transactionWords, writeBodyHead } from '../../wal/index.js'
import { RowEraser } from './row-eraser.js'

/** A recorded answer that was erased: of which record. */
export interface ErasedAnswer {
  readonly batch: number
  readonly index: number
}
export interface ErasedCounts {
  /** Changes by table. */
  readonly tables: Readonly<Record<string, number>>
  readonly events: number
  readonly answers: readonly ErasedAnswer[]
}

const noRules = { checks: [], json: [] }

interface EventEraser {
  readonly codec: RecordCodec
  readonly subject: readonly string[]
}

/** Of the frames behind one schema. */
export class BodyEraser {
  readonly #subject: Subject
  readonly #tables: readonly (RowEraser | undefined)[]
  readonly #events: readonly (EventEraser | undefined)[]
  readonly #counts: ErasureCounter

  constructor(catalog: LoggedCatalog, plan: ErasurePlan, counts: ErasureCounter) {
    this.#subject = subjectOf(plan.subject)
    this.#counts = counts
    this.#tables = catalog.tables.map((table) => {
      const erased = plan.tables.find(({ name }) => name === table.name)
      return erased && RowEraser.of(table, erased, plan)
    })
    this.#events = catalog.events.map((event) => {
      const erased = plan.events.find(({ name }) => name === event.name)
      const subject = erased?.subject.filter((name) => event.columns.some((column) => column.name === name)) ?? []
      return subject.length === 0 ? undefined : { codec: compileRecordCodec(recordOf(event), noRules, `the payload of "${event.name}"`), subject }
    })
  }

  /** Undefined when nothing in it is the subject's. */
  erase(bytes: Uint8Array): Uint8Array | undefined {
    const body = new FrameBodyReader(bytes)
    body.check()
    const erasing = new Erasing(body, this.#subject, this.#tables, this.#events)
    const erased = erasing.run()
    if (erased !== undefined) this.#counts.add(erasing)
    return erased
  }
}

/** What was taken out of all frames so far. */
export class ErasureCounter {
  readonly #tables: Map<string, number>
  #events: number
  readonly #answers: ErasedAnswer[]

  constructor(from: ErasedCounts = { tables: {}, events: 0, answers: [] }) {
    this.#tables = new Map(Object.entries(from.tables))
    this.#events = from.events
    this.#answers = [...from.answers]
  }
  add({ tables, events, answers }: { readonly tables: ReadonlyMap<string, number>; readonly events: number; readonly answers: readonly ErasedAnswer[] }): void {
    for (const [name, count] of tables) this.#tables.set(name, (this.#tables.get(name) ?? 0) + count)
    this.#events += events
    for (const answer of answers) this.#answers.push(answer)
  }
  get counts(): ErasedCounts {
    return { tables: Object.fromEntries(this.#tables), events: this.#events, answers: [...this.#answers] }
  }
}

/** Of one body. */
class Erasing {
  readonly tables = new Map<string, number>()
  events = 0
  readonly answers: ErasedAnswer[] = []
  readonly #body: FrameBodyReader
  readonly #subject: Subject
  readonly #rowErasers: readonly (RowEraser | undefined)[]
  readonly #eventErasers: readonly (EventEraser | undefined)[]
  readonly #log: LaneLog
  #hasErased = false

  constructor(body: FrameBodyReader, subject: Subject, rowErasers: readonly (RowEraser | undefined)[], eventErasers: readonly (EventEraser | undefined)[]) {
    this.#body = body
    this.#subject = subject
    this.#rowErasers = rowErasers
    this.#eventErasers = eventErasers
    const { laneCount: lanes, transactionCount, changeCount, eventCount, bytesLength } = body
    // A deletion that an update becomes has the bytes of its two images, and one head more.
    this.#log = LaneLog.create({ lanes, transactions: transactionCount + 1, changes: changeCount + 1, events: eventCount + 1, bytes: bytesLength + 64 })
  }

  run(): Uint8Array | undefined {
    const { lanes } = this.#body
    let index = 0
    for (const lane of lanes) {
      this.#log.beginLane(lane.partition | 0)
      let change = lane.changeIndex
      let event = lane.eventIndex
      for (let n = 0; n < lane.transactionCount; n += 1, index += 1) {
        const at = this.#body.transactionsWord + (lane.transactionIndex + n) * transactionWords
        this.#transaction(lane, index, at, change, event)
        change += this.#body.words[at + transactionField.changes]!
        event += this.#body.words[at + transactionField.events]!
      }
      this.#log.endLane()
    }
    return this.#hasErased ? this.#joined(lanes.length) : undefined
  }

  #transaction(lane: LaneSpan, index: number, at: number, firstChange: number, firstEvent: number): void {
    const { words } = this.#body
    const log = this.#log
    log.beginTransaction()
    let isTouched = false
    for (let n = 0; n < words[at + transactionField.changes]!; n += 1) isTouched = this.#change(lane, this.#body.changesWord + (firstChange + n) * changeWords) || isTouched
    for (let n = 0; n < words[at + transactionField.events]!; n += 1) isTouched = this.#event(lane, this.#body.eventsWord + (firstEvent + n) * eventWords) || isTouched

    const idBytes = this.#bytes(lane, words[at + transactionField.id]!, words[at + transactionField.idBytes]!)
    const outcome = words[at + transactionField.outcome]!
    let value = this.#bytes(lane, words[at + transactionField.result]!, words[at + transactionField.resultBytes]!)
    let id = idBytes
    if (idBytes.length > 0) {
      const answer = answerWithout(idBytes, value, outcome, this.#subject, isTouched)
      if (answer !== undefined) {
        id = answer.keepsId ? idBytes : new Uint8Array(0)
        value = answer.keepsId ? answer.value : new Uint8Array(0)
        this.answers.push({ batch: this.#body.batch, index })
        isTouched = true
      }
    }
    if (isTouched) this.#hasErased = true
    const valueAt = log.putBytes(value, value.length)
    const idAt = log.putBytes(id, id.length)
    log.addTransaction(
      words[at + transactionField.place]!, words[at + transactionField.procedure]!, outcome | (isTouched ? erasedFlag : 0),
      words[at + transactionField.resultHash]!, valueAt, value.length, idAt, id.length,
    )
  }

  /** Writes what is left of a change. True when it is not the whole. */
  #change(lane: LaneSpan, c: number): boolean {
    const { words, bytes } = this.#body
    const layout = words[c + changeField.layout]!
    const kind = words[c + changeField.kind]!
    const eraser = this.#rowErasers[layout]
    const image = { at: words[c + changeField.image]!, bytes: words[c + changeField.imageBytes]! }
    const before = { at: words[c + changeField.before]!, bytes: words[c + changeField.beforeBytes]! }
    if (eraser === undefined) return this.#keep(lane, layout, kind, image, before)
    const source = { ints: words, bytes }
    const subject = this.#subject
    const isUpdate = kind === changeKind.update
    if (isUpdate) eraser.layBoth(source, lane.bytesAt + image.at, lane.bytesAt + before.at, image.bytes + before.bytes)
    else {
      const only = kind === changeKind.insert ? image : before
      eraser.layAfter(source, lane.bytesAt + only.at, only.bytes)
    }
    const isAfter = eraser.isOf('after', subject)
    const isBefore = isUpdate && eraser.isOf('before', subject)
    if (!isAfter && !isBefore) return this.#keep(lane, layout, kind, image, before)
    this.tables.set(eraser.name, (this.tables.get(eraser.name) ?? 0) + 1)
    const log = this.#log
    if (eraser.blanks) {
      if (isAfter) eraser.blank('after')
      if (isBefore) eraser.blank('before')
      if (isUpdate && eraser.isSame) return true // nothing else had changed
      if (isUpdate && isAfter !== isBefore && !eraser.redacts) eraser.blankLikeAfter()
      const put = (which: 'after'): void => {
        const { at, bytes: length } = eraser.put(which, log)
        if (kind === changeKind.insert) log.addChange(layout, kind, at, length, 0, 0)
        else log.addChange(layout, kind, 0, 0, at, length)
      }
      if (isUpdate) this.#putUpdate(eraser, layout)
      else put('after')
    } else if (isUpdate && isAfter !== isBefore) {
      const { at, bytes: length } = eraser.put(isAfter ? 'before' : 'after', log)
      if (isAfter) log.addChange(layout, changeKind.delete, 0, 0, at, length)
      else log.addChange(layout, changeKind.insert, at, length, 0, 0)
    }
    return true
  }

  #putUpdate(eraser: RowEraser, layout: number): void {
    const before = eraser.putBefore(this.#log) ?? eraser.putSame(this.#log)
    const image = eraser.put('after', this.#log)
    this.#log.addChange(layout, changeKind.update, image.at, image.bytes, before.at, before.bytes)
  }

  #keep(lane: LaneSpan, layout: number, kind: number, image: { at: number; bytes: number }, before: { at: number; bytes: number }): false {
    const copied = ({ at, bytes }: { at: number; bytes: number }): number => (bytes === 0 ? 0 : this.#log.putBytes(this.#bytes(lane, at, bytes), bytes))
    this.#log.addChange(layout, kind, copied(image), image.bytes, copied(before), before.bytes)
    return false
  }

  #event(lane: LaneSpan, e: number): boolean {
    const { words } = this.#body
    const type = words[e + eventField.type]!
    const payload = this.#bytes(lane, words[e + eventField.payload]!, words[e + eventField.payloadBytes]!)
    const eraser = this.#eventErasers[type]
    const isErased = eraser !== undefined && payload.length > 0 && this.#isSubjects(eraser, payload)
    if (isErased) {
      this.events += 1
      this.#log.addEvent(type, 0, 0)
    } else this.#log.addEvent(type, this.#log.putBytes(payload, payload.length), payload.length)
    return isErased
  }

  #isSubjects({ codec, subject }: EventEraser, payload: Uint8Array): boolean {
    const record = codec.decode(new ByteReader(payload))
    return subject.some((name) => record[name] === this.#subject)
  }

  #bytes(lane: LaneSpan, at: number, length: number): Uint8Array {
    const from = lane.bytesAt + at
    return this.#body.bytes.subarray(from, from + length)
  }

  #joined(count: number): Uint8Array {
    const lanes = Array.from({ length: count }, (_, lane): RecordedLane => ({ log: this.#log, piece: this.#log.piece(lane, newPiece()) }))
    const layout = layoutBody(countsOf(lanes))
    const { bytes, batch, now, seed } = this.#body
    assert(layout.total <= bytes.length && bytes.length % 8 === 0, 'what is left of a body fits into its place')
    const joined = new Uint8Array(bytes.length)
    writeBodyHead(new DataView(joined.buffer), 0, layout, { batch, now, seed })
    copyLanes(lanes, layout, 0, new Int32Array(joined.buffer))
    return joined
  }
}

/** What is left of a recorded answer; undefined: all of it. The engine's own notes name nobody. */
export function answerWithout(idBytes: Uint8Array, value: Uint8Array, outcome: number, subject: Subject, isTouched: boolean): { readonly keepsId: boolean; readonly value: Uint8Array } | undefined {
  const id = Buffer.from(idBytes.buffer, idBytes.byteOffset, idBytes.length).toString('utf8')
  if (handlerOfCursor(id) !== undefined || isErasureId(id)) return undefined
  const isNamed = !id.startsWith(enginePrefix) && mentions(id, subject) // its own name nobody, and are what keeps effects from happening twice
  const empty = (outcome & outcomeKindMask) === committed ? new Uint8Array(0) : emptyError
  if (!isNamed && Buffer.compare(value, empty) === 0) return undefined
  if (!isNamed && !isTouched && !mentions(decodeCanonical(new ByteReader(value)), subject)) return undefined
  return { keepsId: !isNamed, value: empty }
}

/** The error of an outcome, without words (txn/outcome.ts). Never longer than one with words. */
const emptyError = ((): Uint8Array => {
  const writer = new ByteWriter(64)
  encodeCanonical(['', undefined, {}, undefined, undefined, undefined], writer)
  return writer.copy()
})()
