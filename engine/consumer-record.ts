/**
 * What is durable about one consumer: its mark (how far it has come) and what it has parked. Both are read at open, and written here.
 *
 * Invariants:
 *   C1  The mark stands before every commit that is neither handled nor parked, durably. What lies behind it is delivered again after a crash.
 *   C2  Ids of calls stay until their delivery is done: those behind the mark because they are behind it, parked ones because the mark keeps
 *       them (schema/handler-ids.ts). A parked delivery may only begin when no mark is on its way that does not keep it.
 *   C3  One mark is in flight at a time, and one call that parks; what waits for it goes in the next one, in order.
 *   C4  What was set aside and has come to its end comes no more from the log: its row stays, as done, until a mark has passed it.
 */
import { ByteReader, ByteWriter } from './base/bytes.js'
import { decodeCanonical, encodeCanonical } from './base/canonical.js'
import { isTheEnd, type SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { Engine } from './database.js'
import type { ConsumerDelivery, DeliveryError } from './consumer-delivery.js'
import { textOfNone, textOfParked, textWhenParked, valueOfParked } from './consumer-key.js'
import { pauseMs } from './log-pump.js'
import { markName, parkName } from './schema/descriptor.js'
import {
  callsOf, consumerCursors, consumerOfCursor, type ConsumerMark, type ConsumerPlace, cursorId, type CursorValue, type HandlerCursor, isBefore, keptForever, markOfValue, ownerOfConsumer,
  placeOfCall, placeText, valueOfMark,
} from './schema/handler-ids.js'
import { type ParkedRow, type ParkedState, parkedTableName } from './schema/parked-table.js'
import { partitionOf } from './schema/placement.js'
import { outcomeTableName } from './sequencer/outcome-table.js'
import { boundsOf } from './store/range-bounds.js'
import type { SnapshotView } from './store/snapshot-view.js'
import type { TableStore } from './store/table-store.js'
import type { DecodedTransaction } from './stream/frame-decoder.js'
import { consumerInput, type ParkedWork } from './txn/consumer-work.js'

/** Deliveries of one key that are parked, in order. */
export interface ParkedKey {
  readonly value: unknown
  readonly places: ConsumerPlace[]
  /** It was told to go on. */
  isReleased: boolean
}

const nothing = new Uint8Array(0)

interface Work {
  readonly work: ParkedWork
  readonly bytes: number
  readonly done: (error: SluiceError | undefined) => void
}

export class ConsumerRecord {
  readonly name: string
  readonly parked = new Map<string, ParkedKey>()
  /** What is parked, released or dead. */
  readonly states = new Map<string, ParkedState>()
  /** Of parked ones: those whose ids the next mark keeps. */
  readonly #kept = new Map<string, ConsumerPlace>()
  /** Behind the mark, at open: commits that were delivered in an earlier life, and made calls. */
  readonly #called = new Set<string>()
  /** Those whose row says so, until a mark has passed them. */
  readonly #done = new Map<string, ConsumerPlace>()
  readonly #engine: Engine
  readonly #later: (ms: number, work: () => void) => void
  readonly #partition: number
  #mark: ConsumerMark
  #marking: Promise<boolean> | undefined
  #works: Work[] = []
  #isWriting = false
  #pauses = 0

  constructor(engine: Engine, name: string, mark: ConsumerMark, later: (ms: number, work: () => void) => void) {
    this.#engine = engine
    this.name = name
    this.#mark = mark
    this.#later = later
    this.#partition = partitionOf([name], engine.parts.plan.partitions)
    const view = engine.openView()!
    try {
      this.#read(view)
    } finally {
      view.close()
    }
  }

  get mark(): ConsumerMark {
    return this.#mark
  }
  get isMarking(): boolean {
    return this.#marking !== undefined
  }
  get isWriting(): boolean {
    return this.#isWriting || this.#works.length > 0
  }
  /** No more can be parked: a consumer that must park waits. */
  isFull(hasCalls: boolean): boolean {
    return this.states.size >= limits.consumerParkedMax || (hasCalls && this.#kept.size >= limits.consumerKeptMax)
  }
  /** How many are in a state. */
  count(...states: readonly ParkedState[]): number {
    let count = 0
    for (const state of this.states.values()) if (states.includes(state)) count += 1
    return count
  }
  hasCalled(place: HandlerCursor): boolean {
    return this.#called.has(placeText(place))
  }
  /** Something at or before a place was parked, and is on its way again. */
  isGoingOn(place: HandlerCursor): boolean {
    for (const { places, isReleased } of this.parked.values()) if (isReleased && places.some((one) => !isBefore(place, one))) return true
    return false
  }

  // ── marks ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Notes a mark, made when it is its turn; false when it could not be, and the one before it stands. Those that `keep` named are in it. */
  async note(markNow: () => Omit<ConsumerMark, 'kept'>): Promise<boolean> {
    while (this.#marking !== undefined) await this.#marking // C3
    const noted: ConsumerMark = { ...markNow(), kept: [...this.#kept.values()] }
    const marking = noteMark(this.#engine, this.name, noted).then(
      () => {
        this.#mark = noted
        this.#forgetDone((place) => !isBefore(noted, place))
        return true
      },
      () => false,
    )
    this.#marking = marking
    const isNoted = await marking
    this.#marking = undefined
    return isNoted
  }

  /** C2: from here on every mark keeps the ids of this delivery; resolves when none is on its way that does not. */
  async keep(place: ConsumerPlace): Promise<void> {
    this.#kept.set(placeText(place), place)
    while (this.#marking !== undefined) await this.#marking
  }

  /**
   * The same for a delivery that the cursor has passed: resolves when the mark that is durable names it. Until then a checkpoint, which
   * knows nothing but the mark, would let go of ids that are recorded behind it.
   */
  async keepPassed(place: ConsumerPlace): Promise<boolean> {
    await this.keep(place)
    const text = placeText(place)
    return this.#mark.kept.some((one) => placeText(one) === text) || (await this.note(() => this.#mark))
  }

  // ── parking ───────────────────────────────────────────────────────────────────────────────────────────

  /** Parks a delivery, or parks it again. Resolves when that is durable. */
  async park(delivery: ConsumerDelivery, state: ParkedState, error: DeliveryError): Promise<void> {
    const { place, attempt, transaction, isKeyErased } = delivery
    const key = textWhenParked(delivery)
    const keyValue = isKeyErased ? undefined : delivery.keyValue
    if (delivery.hasCalls) void this.keep(place)
    const commit = bytesOf(transaction)
    const row: Omit<ParkedRow, 'consumer' | 'since'> = {
      batch: place.batch,
      index: place.index,
      epoch: place.epoch,
      state,
      key: isKeyErased ? '' : key,
      keyValue: isKeyErased ? nothing : bytesOf(keyValue),
      attempts: attempt,
      time: transaction.time,
      code: error.code,
      message: Buffer.from(error.message.slice(0, limits.consumerReasonLengthMax)).toString(), // well-formed
      commit: commit.length > limits.consumerParkedCommitBytesMax ? null : commit,
    }
    const known = this.parked.get(key)
    if (state === 'parked') {
      if (known === undefined) this.parked.set(key, { value: keyValue, places: [place], isReleased: false })
      else if (delivery.isParked) known.isReleased = false
      else known.places.push(place)
    }
    this.states.set(placeText(place), state)
    const writing = [this.#write({ kind: 'put', row }, commit.length)]
    if (state === 'dead' && delivery.isParked) writing.push(this.#takeOut(place))
    await Promise.all(writing)
  }

  /** A parked delivery is done, or dropped. Whoever stands behind it in its key is next. */
  async remove(place: ConsumerPlace): Promise<void> {
    const text = placeText(place)
    const writing: Promise<void>[] = []
    if (isBefore(this.#mark, place)) {
      this.#done.set(text, place)
      writing.push(this.#setState(place, 'done')) // C4
    } else {
      this.states.delete(text)
      writing.push(this.#write({ kind: 'remove', place }, 0))
    }
    writing.push(this.#takeOut(place))
    await Promise.all(writing)
    this.#kept.delete(text)
  }

  /** A reset has begun anew: what came to its end before comes again. */
  async forgetEnded(): Promise<void> {
    await Promise.all(this.#forgetDone(() => true))
  }

  #forgetDone(isOver: (place: ConsumerPlace) => boolean): readonly Promise<void>[] {
    const writing: Promise<void>[] = []
    for (const [text, place] of this.#done) {
      if (!isOver(place)) continue
      this.#done.delete(text)
      this.states.delete(text)
      const removed = this.#write({ kind: 'remove', place }, 0)
      removed.catch(() => undefined) // it is known, and goes another time
      writing.push(removed)
    }
    return writing
  }

  /** Takes a delivery out of its key, which goes on with the one behind it where it was released. */
  async #takeOut(place: ConsumerPlace): Promise<void> {
    for (const [key, { places, isReleased }] of this.parked) {
      const at = places.findIndex((one) => placeText(one) === placeText(place))
      if (at < 0) continue
      places.splice(at, 1)
      if (places.length === 0) this.parked.delete(key)
      else if (at === 0 && isReleased) await this.#setState(places[0]!, 'released')
      return
    }
  }

  /** The key that a delivery is parked under. One that is dead is parked again for that. */
  async keyOf(place: HandlerCursor): Promise<string | undefined> {
    const text = placeText(place)
    for (const [key, { places }] of this.parked) if (places.some((one) => placeText(one) === text)) return key
    const row = this.states.get(text) === 'dead' ? this.#rowAt(place) : undefined
    if (row === undefined) return undefined
    const { epoch, batch, index } = row
    const key = textOfParked(row)
    const one = { epoch, batch, index }
    const known = this.parked.get(key)
    if (known === undefined) this.parked.set(key, { value: valueOfParked(row), places: [one], isReleased: false })
    else known.places.splice(known.isReleased ? 1 : 0, 0, one)
    await this.#setState(one, 'parked')
    return key
  }

  async release(key: string): Promise<void> {
    const parked = this.parked.get(key)!
    parked.isReleased = true
    await this.#setState(parked.places[0]!, 'released')
  }

  /** A key that was told to go on stands still again. */
  async hold(key: string): Promise<void> {
    const parked = this.parked.get(key)
    if (parked === undefined) return
    parked.isReleased = false
    await this.#setState(parked.places[0]!, 'parked')
  }

  /**
   * Keys that name a subject which was erased are gone from the rows: what was parked under one stands alone. Answers the keys that go on
   * because theirs was told to.
   */
  async eraseKeys(names: (value: unknown) => boolean): Promise<readonly string[]> {
    const released: string[] = []
    const writing: Promise<void>[] = []
    for (const [key, { value, places, isReleased }] of [...this.parked]) {
      if (!names(value)) continue
      this.parked.delete(key)
      for (const [n, place] of places.entries()) {
        this.parked.set(textOfNone(place), { value: undefined, places: [place], isReleased })
        if (!isReleased || n === 0) continue // the first one is on its way
        released.push(textOfNone(place))
        writing.push(this.#setState(place, 'released'))
      }
    }
    await Promise.all(writing)
    return released
  }

  async #setState(place: ConsumerPlace, state: ParkedState): Promise<void> {
    this.states.set(placeText(place), state)
    await this.#write({ kind: 'state', place, state }, 0)
  }

  /** Resolves when it is durable; rejects only when nothing is written any more. */
  #write(work: ParkedWork, bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#works.push({ work, bytes, done: (error) => (error === undefined ? resolve() : reject(error)) })
      if (this.#isWriting) return
      this.#isWriting = true
      this.#engine.environment.atEndOfTick(() => this.#flush())
    })
  }

  #flush(): void {
    let count = 0
    let bytes = 0
    while (count < this.#works.length && count < limits.consumerWorksMax && (count === 0 || bytes + this.#works[count]!.bytes <= limits.consumerWorkBytesMax)) {
      bytes += this.#works[count]!.bytes
      count += 1
    }
    const some = this.#works.slice(0, count)
    const settled = (error: SluiceError | undefined): void => {
      if (error !== undefined && !isTheEnd(error)) {
        // Memory, the queue or the disk is full: that may pass. Nothing is handed on before it has been written.
        this.#pauses += 1
        this.#later(pauseMs(this.#pauses), () => this.#flush())
        return
      }
      this.#pauses = 0
      this.#works.splice(0, count)
      for (const { done } of some) done(error)
      if (this.#works.length > 0) this.#flush()
      else this.#isWriting = false
    }
    handIn(this.#engine, parkName, [this.name, some.map(({ work }) => work)], { partition: this.#partition }).then(
      () => settled(undefined),
      (error: SluiceError) => settled(error),
    )
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────

  /** What was parked, as it was read; undefined where it is too long to lie there. */
  commitOf(place: HandlerCursor): { readonly transaction: DecodedTransaction | undefined } | undefined {
    const row = this.#rowAt(place)
    return row && { transaction: transactionOf(row) }
  }

  #rowAt({ batch, index }: HandlerCursor): ParkedRow | undefined {
    return this.#engine.reading().get(tableOf(this.#engine, parkedTableName), [this.name, batch, index]) as ParkedRow | undefined
  }

  /** Places and keys, not the commits: there may be many. */
  #read(view: SnapshotView): void {
    const table = tableOf(this.#engine, parkedTableName)
    const readers = table.descriptor.columns.map(({ name }, n) => [name, table.codec.readers[n]!] as const)
    const columns = Object.fromEntries(readers) as Readonly<Record<string, (row: number) => unknown>>
    for (const address of view.addressesIn(table, table.trees[0]!, { prefix: [this.name] })) {
      const row = view.versionOf(table, address)
      if (row === 0) continue
      const of = <T>(column: keyof ParkedRow): T => columns[column]!(row) as T
      const place: ConsumerPlace = { epoch: of('epoch'), batch: of('batch'), index: of('index') }
      const state: ParkedState = of('state')
      this.states.set(placeText(place), state)
      if (state === 'done') this.#done.set(placeText(place), place)
      if (state === 'done' || state === 'dead') continue
      const found = { key: of<string>('key'), keyValue: of<Uint8Array>('keyValue'), ...place }
      const key = textOfParked(found)
      const known = this.parked.get(key)
      if (known !== undefined) known.places.push(place)
      else this.parked.set(key, { value: valueOfParked(found), places: [place], isReleased: state === 'released' })
    }
    for (const id of idsIn(this.#engine, view, callsOf(this.name))) {
      const place = placeOfCall(id)
      const text = placeText(place)
      const state = this.states.get(text)
      if (state !== undefined && state !== 'done') this.#kept.set(text, place)
      else if (place.epoch === this.#mark.epoch) this.#called.add(text)
    }
  }
}

export const tableOf = (engine: Engine, name: string): TableStore => engine.parts.store.tables.find((table) => table.name === name)!

export function transactionOf(row: ParkedRow): DecodedTransaction | undefined {
  if (row.commit === null) return undefined
  const read = decodeCanonical(new ByteReader(row.commit)) as Pick<DecodedTransaction, 'procedure' | 'id' | 'changes' | 'events'>
  return { ...read, batch: row.batch, index: row.index, time: row.time, outcome: 0, request: 0, value: undefined, isErased: false, isCompacted: false, lost: 0, bytes: row.commit.length }
}

function bytesOf(value: unknown): Uint8Array {
  const writer = new ByteWriter(256)
  encodeCanonical(isTransaction(value) ? { procedure: value.procedure, id: value.id, changes: value.changes, events: value.events } : value, writer)
  return writer.copy()
}
const isTransaction = (value: unknown): value is DecodedTransaction => typeof value === 'object' && value !== null && 'procedure' in value

/** Marks of all consumers that there are, whether anybody opens them or not. */
export function marksIn(engine: Engine): Map<string, ConsumerMark> {
  const view = engine.openView()!
  const marks = new Map<string, ConsumerMark>()
  try {
    const outcomes = tableOf(engine, outcomeTableName)
    for (const id of idsIn(engine, view, consumerCursors)) {
      const found = view.get(outcomes, id) as { readonly value: Uint8Array } | undefined
      if (found !== undefined) marks.set(consumerOfCursor(id)!, markOfValue(decodeCanonical(new ByteReader(found.value)) as CursorValue))
    }
  } finally {
    view.close()
  }
  return marks
}

function idsIn(engine: Engine, view: SnapshotView, [from, to]: readonly [string, string]): readonly string[] {
  const outcomes = tableOf(engine, outcomeTableName)
  const plan = outcomes.trees[0]!
  const bounds = boundsOf(outcomes, plan, 2, { from: [keptForever, from], to: [keptForever, to] })
  return Array.from(view.rowsIn(outcomes, plan, bounds), (row) => row['id'] as string)
}

/** Notes durably how far a consumer has come; `undefined`: that there is none of this name any more. */
export async function noteMark(engine: Engine, name: string, mark: ConsumerMark | undefined): Promise<void> {
  await handIn(engine, markName, mark === undefined ? [] : valueOfMark(mark), { id: cursorId(ownerOfConsumer(name)), partition: 0 })
}

/** Drops what a consumer has parked, some at a time. */
export async function dropParked(engine: Engine, name: string): Promise<void> {
  const partition = partitionOf([name], engine.parts.plan.partitions)
  const table = tableOf(engine, parkedTableName)
  for (;;) {
    const works: ParkedWork[] = []
    for (const row of engine.reading().scan(table, table.trees[0]!, { prefix: [name], limit: limits.consumerWorksMax })) {
      const { batch, index } = row as unknown as ParkedRow
      works.push({ kind: 'remove', place: { batch, index } })
    }
    if (works.length === 0) return
    await handIn(engine, parkName, [name, works], { partition })
  }
}

function handIn(engine: Engine, procedure: string, work: unknown, options: { readonly id?: string; readonly partition: number }): Promise<void> {
  const ordinal = engine.parts.program.procedures.findIndex(({ descriptor }) => descriptor.name === procedure)
  return new Promise((resolve, reject: (error: unknown) => void) => {
    try {
      engine.submit(ordinal, consumerInput(work), { done: () => resolve(), failed: (_index, error) => reject(error) }, 0, { ...options, isOwn: true, whenFull: 'wait' })
    } catch (error) {
      reject(error)
    }
  })
}
