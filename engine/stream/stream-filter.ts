/**
 * What a stream lets through, as data and as code.
 *
 * A filter is a list of *interests*, one for each entry of `tables` and of `events`. An interest is about the image of a row that a
 * change leaves (of a delete: that it took away), or about the payload of an event, so that whatever one record asks for is a function of
 * that record alone: no state, and the same answer live and from the log.
 *
 *   equals     columns that have these values: the whole key, the beginning of a key, or what `where` asks for with eq(). What an
 *              interest says here can be looked up, so the hub needs no loop over all of them (route-index.ts)
 *   holds      whatever else must hold of the row, or of the payload
 *   kinds      of tables: insert, update, delete
 *   changed    of tables: updates where one of these columns has another value than before
 *
 * Equal filters have equal `id`s: the hub makes what they let through once.
 */
import { ByteWriter } from '../base/bytes.js'
import { encodeCanonical } from '../base/canonical.js'
import type { PlainRow } from '../store/row-codec.js'
import type { DecodedChange, DecodedEvent, DecodedTransaction, FrameFilter } from './frame-decoder.js'

export type ChangeKind = DecodedChange['kind']

/** A column and what it has, or what it begins with. */
export interface Equality {
  readonly column: string
  readonly value: unknown
  /** The text has this many characters of `value`, and may go on. */
  readonly prefixLength?: number | undefined
}

/** A transaction as one filter lets it through, or several of them as one, or rows of a snapshot. */
export interface Selection extends DecodedTransaction {
  /** How many transactions it stands for, where it is more than one. */
  readonly merged?: number | undefined
  /** It is rows of a snapshot: how many came before them, and whether they are the last. */
  readonly snapshot?: { readonly rowsBefore: number; readonly isLast: boolean } | undefined
}

/** What is asked of one record: of the image of a row, or of the payload of an event. */
export interface Question {
  readonly equals: readonly Equality[]
  readonly holds: ((record: PlainRow) => boolean) | undefined
}
export interface Interest extends Question {
  /** Full name. */
  readonly table: string
  readonly kinds: ReadonlySet<ChangeKind> | undefined
  readonly changed: readonly string[] | undefined
}
export interface EventInterest extends Question {
  /** Full name. */
  readonly event: string
}

/** What is no news to whoever asks for everything: it is made of what has been told. */
export interface Unasked {
  /** Full names. */
  readonly tables: ReadonlySet<string>
  readonly procedures: ReadonlySet<string>
}
const nothing: Unasked = { tables: new Set(), procedures: new Set() }

export class StreamFilter {
  readonly id: string
  readonly interests: readonly Interest[]
  readonly eventInterests: readonly EventInterest[]
  /** Nothing is asked for by its name. */
  readonly isOpen: boolean
  /** For whoever reads the log for this filter alone. */
  readonly frames: FrameFilter
  readonly #byTable: ReadonlyMap<string, readonly Interest[]>
  readonly #byEvent: ReadonlyMap<string, readonly EventInterest[]>
  readonly #unasked: Unasked

  /** Without both everything is let through but what is `unasked`. */
  constructor(id: string, interests: readonly Interest[] | undefined, eventInterests: readonly EventInterest[] | undefined, unasked = nothing) {
    this.id = id
    this.interests = interests ?? []
    this.eventInterests = eventInterests ?? []
    this.#unasked = unasked
    this.isOpen = interests === undefined && eventInterests === undefined
    this.#byTable = byName(this.interests, ({ table }) => table)
    this.#byEvent = byName(this.eventInterests, ({ event }) => event)
    this.frames = { tables: this.isOpen ? undefined : this.#byTable, events: this.isOpen ? undefined : this.#byEvent, outcomes: false }
  }

  /** Whether a row of a snapshot belongs to what is followed: as an insert, whatever kinds and columns are asked for. */
  takesRow(table: string, row: PlainRow): boolean {
    return this.#byTable.get(table)!.some((interest) => isAbout(interest, row))
  }

  /** What of a transaction is let through, which `frames` has let through; undefined: nothing. */
  select(transaction: DecodedTransaction): DecodedTransaction | undefined {
    if (this.isOpen) return this.#selectOpen(transaction)
    const changes = taken(transaction.changes, this.#takesChange)
    const events = taken(transaction.events, this.#takesEvent)
    if (changes === transaction.changes && events === transaction.events) return transaction
    return changes.length === 0 && events.length === 0 ? undefined : selected(transaction, changes, events)
  }

  #selectOpen(transaction: DecodedTransaction): DecodedTransaction | undefined {
    const { tables, procedures } = this.#unasked
    if (tables.size === 0) return transaction
    if (procedures.has(transaction.procedure)) return undefined
    const changes = taken(transaction.changes, ({ table }) => !tables.has(table))
    if (changes === transaction.changes) return transaction
    const isLeft = changes.length > 0 || transaction.events.length > 0 || transaction.isErased || transaction.value !== undefined
    return isLeft ? selected(transaction, changes, transaction.events) : undefined
  }

  readonly #takesChange = (change: DecodedChange): boolean => {
    const interests = this.#byTable.get(change.table)!
    for (let n = 0; n < interests.length; n += 1) if (takes(interests[n]!, change)) return true
    return false
  }

  readonly #takesEvent = ({ type, payload }: DecodedEvent): boolean => {
    const interests = this.#byEvent.get(type)!
    for (let n = 0; n < interests.length; n += 1) if (isAbout(interests[n]!, payload)) return true
    return false
  }
}

function byName<T>(all: readonly T[], nameOf: (one: T) => string): ReadonlyMap<string, readonly T[]> {
  const found = new Map<string, T[]>()
  for (const one of all) {
    const name = nameOf(one)
    const some = found.get(name)
    if (some === undefined) found.set(name, [one])
    else some.push(one)
  }
  return found
}

/** The list itself where all of it is taken. */
function taken<T>(all: readonly T[], takes: (one: T) => boolean): readonly T[] {
  let some: T[] | undefined
  for (let n = 0; n < all.length; n += 1) {
    const one = all[n]!
    if (takes(one)) some?.push(one)
    else some ??= all.slice(0, n)
  }
  return some ?? all
}

export function selected(transaction: DecodedTransaction, changes: readonly DecodedChange[], events: readonly DecodedEvent[]): DecodedTransaction {
  return { ...transaction, changes, events }
}

export const imageOf = (change: DecodedChange): PlainRow => (change.after ?? change.before)!

export function takes(interest: Interest, change: DecodedChange): boolean {
  return takesKind(interest, change) && isAbout(interest, imageOf(change))
}

/** All but what an index has looked up. */
export function takesBesides(interest: Interest, change: DecodedChange): boolean {
  return takesKind(interest, change) && holdsOf(interest, imageOf(change))
}

/** The same of a row or a payload alone. */
export const holdsOf = ({ holds }: Question, record: PlainRow): boolean => holds === undefined || holds(record)

function takesKind({ kinds, changed }: Interest, change: DecodedChange): boolean {
  if (kinds !== undefined && !kinds.has(change.kind)) return false
  if (changed === undefined || change.kind !== 'update') return true
  const { before, after } = change
  return changed.some((column) => !isSame(before![column], after![column]))
}

function isAbout(asks: Question, record: PlainRow): boolean {
  const { equals } = asks
  for (let n = 0; n < equals.length; n += 1) {
    const { column, value, prefixLength } = equals[n]!
    const is = record[column]
    if (prefixLength === undefined ? !isSame(is, value) : !(is as string).startsWith(value as string)) return false
  }
  return holdsOf(asks, record)
}

const left = new ByteWriter(256)
const right = new ByteWriter(256)

/** Values of one column: scalars, bytes, JSON. */
function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0
  left.reset()
  right.reset()
  encodeCanonical(a, left)
  encodeCanonical(b, right)
  return Buffer.compare(left.bytes(), right.bytes()) === 0
}
