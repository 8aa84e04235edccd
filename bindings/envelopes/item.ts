/**
 * What envelopes have in common: a commit as a list of items, each with its place, and back.
 *
 *   commit ──► its changes, then its events, numbered from 0 ──► one envelope for each, which says how many there are ──► commit
 *
 * Every envelope carries what the commit has (position, time, procedure, request id), so any one of them tells where it comes from, and
 * all of them together are the commit again. What is missing or doubled is found by number and count.
 */
import { SluiceError } from '../../engine/base/errors.js'
import type { AnyChange } from '../change.js'
import { type Position, positionParts } from '../position.js'
import { shown } from '../schema/definition.js'
import type { AnyEvent } from '../service/event.js'
import type { Commit } from '../stream-types.js'
import { valueOfJson, ValueJsonError } from '../value-json.js'

/** What of a commit becomes envelopes. */
export type Content = 'all' | 'changes' | 'events'

/** A commit as streams hand it out, whatever it was filtered by. */
export type AnyCommit = Commit<AnyChange, AnyEvent>

/** A change or an event with its place: changes come first, and numbers do not depend on `content`. Rows of a snapshot are counted through it. */
export type CommitItem =
  | { readonly kind: 'change'; readonly number: number; readonly change: AnyChange }
  | { readonly kind: 'event'; readonly number: number; readonly event: AnyEvent }

export function itemsOf({ changes, events, rowsBefore = 0 }: AnyCommit, content: unknown = 'all'): CommitItem[] {
  if (content !== 'all' && content !== 'changes' && content !== 'events') throw SluiceError.of('INVALID_USE', `The option content is 'all', 'changes' or 'events', not ${shown(content)}.`)
  const items: CommitItem[] = []
  if (content !== 'events') for (const [number, change] of changes.entries()) items.push({ kind: 'change', number: rowsBefore + number, change })
  if (content !== 'changes') for (const [n, event] of events.entries()) items.push({ kind: 'event', number: changes.length + n, event })
  return items
}

/** What an envelope says of the commit that it is of. */
export interface Origin {
  readonly position: Position
  readonly time: number
  readonly procedure: string | undefined
  readonly requestId: string | undefined
  /** Envelopes that were made of the commit. */
  readonly count: number
  readonly marks: Marks
}

/** What a commit says of itself, where it does. */
export type Marks = Partial<Pick<AnyCommit, 'erased' | 'compacted' | 'merged' | 'snapshot' | 'last'>>

/** Something of it is gone from the log, and what was behind that has moved up. */
export const hasLost = ({ erased, compacted }: AnyCommit): boolean => erased === true || compacted === true

/** What stands at its position in the log is another one: rows of a snapshot, or several commits as one. */
export const isMadeUp = ({ snapshot, merged }: Marks): boolean => snapshot === true || merged !== undefined

export type FoundItem = { readonly number: number } & (
  | { readonly change: AnyChange; readonly event?: undefined }
  | { readonly event: Omit<AnyEvent, 'position' | 'time'>; readonly change?: undefined }
)

/** The commit that all these envelopes are of; refused when one is missing, doubled or of another commit. */
export function commitOfItems(found: readonly (Origin & FoundItem)[], what: string): AnyCommit {
  const first = found[0]
  if (first === undefined) throw invalid(`${what}: a commit has one envelope at least.`)
  const { position, time, procedure, requestId, count, marks } = first
  const inOrder = [...found].sort((one, other) => one.number - other.number)
  for (const [n, one] of inOrder.entries()) {
    if (one.position !== position) throw invalid(`${what}: the envelopes are of the commits ${position} and ${one.position}; pass those of one.`, { position: one.position })
    if (n > 0 && one.number === inOrder[n - 1]!.number) throw invalid(`${what}: number ${one.number} of commit ${position} is there twice.`, { position, number: one.number })
  }
  if (inOrder.length !== count) throw invalid(`${what}: ${inOrder.length} of the ${count} envelopes of commit ${position} are there.`, { position, count })
  return {
    position,
    time,
    procedure,
    requestId,
    changes: inOrder.flatMap(({ change }) => change ?? []),
    events: inOrder.flatMap(({ event }) => (event === undefined ? [] : [{ ...event, position, time }])),
    ...marks,
    ...(marks.snapshot === true && { rowsBefore: inOrder[0]!.number }),
  }
}

// ── reading what others wrote ─────────────────────────────────────────────────────────────────────────────────

export type JsonRecord = Readonly<Record<string, unknown>>

export const invalid = (message: string, details: JsonRecord = {}): SluiceError => SluiceError.of('INVALID_INPUT', message, { details })

export function recordOf(value: unknown, what: string): JsonRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${what} is an object, not ${shown(value)}.`)
  return value as JsonRecord
}

export function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(`${what} is text, not ${shown(value)}.`)
  return value
}

export function wholeOf(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw invalid(`${what} is a whole number, not ${shown(value)}.`)
  return value
}

export function positionOf(value: unknown, what: string): Position {
  if (positionParts(value) === undefined) throw invalid(`${what} is no position, but ${shown(value)}.`)
  return value as Position
}

/** What both envelopes say in the same words: of rows of a snapshot 'true', and 'last' of the last ones. */
export const snapshotWord = ({ last }: Marks): 'true' | 'last' => (last === true ? 'last' : 'true')

export function marksOf(found: { readonly erased: unknown; readonly compacted: unknown; readonly merged: unknown; readonly snapshot: unknown }, nameOf: (mark: string) => string): Marks {
  const { merged, snapshot } = found
  const isSnapshot = snapshot === 'true' || snapshot === 'last'
  if (!isSnapshot && snapshot !== undefined && snapshot !== null && snapshot !== 'false') throw invalid(`${nameOf('snapshot')} is 'true', 'last' or 'false', not ${shown(snapshot)}.`)
  return {
    ...(isMarked(found.erased, nameOf('erased')) && { erased: true }),
    ...(isMarked(found.compacted, nameOf('compacted')) && { compacted: true }),
    ...(merged !== undefined && merged !== null && { merged: wholeOf(merged, nameOf('merged')) }),
    ...(isSnapshot && { snapshot: true }),
    ...(snapshot === 'last' && { last: true }),
  }
}

function isMarked(value: unknown, what: string): boolean {
  if (value === undefined || value === null || value === false) return false
  if (value !== true) throw invalid(`${what} is true, not ${shown(value)}.`)
  return true
}

/** The value that JSON stands for, as docs/operations.md says it. */
export function valueOf(json: unknown, what: string): unknown {
  try {
    return valueOfJson(json)
  } catch (error) {
    if (error instanceof ValueJsonError) throw invalid(`${what} ${error.message}.`)
    throw error
  }
}

/** A change from its parts; `before` and `after` say which kind it is, and must agree with it. */
export function changeOf(kind: 'insert' | 'update' | 'delete', table: string, key: unknown, before: unknown, after: unknown, what: string): AnyChange {
  const row = (json: unknown, side: string): JsonRecord => recordOf(valueOf(json, `${what}, ${side},`), `${what}, ${side},`)
  switch (kind) {
    case 'insert':
      return { kind, table, key, before: undefined, after: row(after, 'after') }
    case 'update':
      return { kind, table, key, before: row(before, 'before'), after: row(after, 'after') }
    case 'delete':
      return { kind, table, key, before: row(before, 'before'), after: undefined }
  }
}
