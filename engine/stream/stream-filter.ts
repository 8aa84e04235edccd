/**
 * What a stream lets through, as data and as code.
 *
 * A filter is a list of *interests*, one for each entry of `tables`, and names of events. An interest is about the image of a row that a
 * change leaves (of a delete: that it took away), so that whatever one change asks for is a function of that change alone: no state,
 * and the same answer live and from the log.
 *
 *   equals     columns that have these values: the whole key, the beginning of a key, or what `where` asks for with eq(). What an
 *              interest says here can be looked up, so the hub needs no loop over all of them (stream-routes.ts)
 *   kinds      insert, update, delete
 *   changed    of updates: one of these columns has another value than before
 *   holds      whatever else must hold of the row
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
  readonly isSnapshot?: boolean | undefined
}

export interface Interest {
  /** Full name. */
  readonly table: string
  readonly equals: readonly Equality[]
  readonly kinds: ReadonlySet<ChangeKind> | undefined
  readonly changed: readonly string[] | undefined
  readonly holds: ((row: PlainRow) => boolean) | undefined
}

export class StreamFilter {
  readonly id: string
  readonly interests: readonly Interest[]
  readonly events: ReadonlySet<string>
  /** Everything of every commit. */
  readonly isOpen: boolean
  /** For whoever reads the log for this filter alone. */
  readonly frames: FrameFilter
  readonly #byTable = new Map<string, Interest[]>()

  /** Without interests and without events everything is let through. */
  constructor(id: string, interests: readonly Interest[] | undefined, events: readonly string[] | undefined) {
    this.id = id
    this.interests = interests ?? []
    this.events = new Set(events)
    this.isOpen = interests === undefined && events === undefined
    for (const interest of this.interests) {
      const all = this.#byTable.get(interest.table)
      if (all === undefined) this.#byTable.set(interest.table, [interest])
      else all.push(interest)
    }
    this.frames = { tables: this.isOpen ? undefined : this.#byTable, events: this.isOpen ? undefined : this.events, outcomes: false }
  }

  /** Whether a row of a snapshot belongs to what is followed: as an insert, whatever kinds and columns are asked for. */
  takesRow(table: string, row: PlainRow): boolean {
    return this.#byTable.get(table)!.some((interest) => isAbout(interest, row))
  }

  /** What of a transaction is let through, which `frames` has let through; undefined: nothing. */
  select(transaction: DecodedTransaction): DecodedTransaction | undefined {
    if (this.isOpen) return transaction
    const { changes } = transaction
    const all = changes.length
    let taken: DecodedChange[] | undefined
    for (let n = 0; n < all; n += 1) {
      const change = changes[n]!
      const isTaken = this.#takes(change)
      if (isTaken) taken?.push(change)
      else taken ??= changes.slice(0, n)
    }
    if (taken === undefined) return transaction
    return taken.length === 0 && transaction.events.length === 0 ? undefined : selected(transaction, taken, transaction.events)
  }

  #takes(change: DecodedChange): boolean {
    const interests = this.#byTable.get(change.table)!
    for (let n = 0; n < interests.length; n += 1) if (takes(interests[n]!, change)) return true
    return false
  }
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
  return takesKind(interest, change) && (interest.holds === undefined || interest.holds(imageOf(change)))
}

function takesKind({ kinds, changed }: Interest, change: DecodedChange): boolean {
  if (kinds !== undefined && !kinds.has(change.kind)) return false
  if (changed === undefined || change.kind !== 'update') return true
  const { before, after } = change
  return changed.some((column) => !isSame(before![column], after![column]))
}

function isAbout({ equals, holds }: Interest, row: PlainRow): boolean {
  for (let n = 0; n < equals.length; n += 1) {
    const { column, value, prefixLength } = equals[n]!
    const is = row[column]
    if (prefixLength === undefined ? !isSame(is, value) : !(is as string).startsWith(value as string)) return false
  }
  return holds === undefined || holds(row)
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
