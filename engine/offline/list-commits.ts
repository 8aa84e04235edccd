/**
 * The log as commits for people: filtered, in order, with what became of each. Reads up to the first bytes that are no log, and
 * says at the end what these are; nothing is repaired and nothing refused.
 */
import { ByteReader } from '../base/bytes.js'
import { decodeCanonical } from '../base/canonical.js'
import { errorCodes } from '../base/errors.js'
import { type DecodedTransaction, FrameDecoder, type FrameFilter } from '../stream/frame-decoder.js'
import { decodeError, committed, outcomeKindMask } from '../txn/outcome.js'
import { FrameBodyReader } from '../../wal/index.js'
import { catalogIn, type LogEnd, walkLog } from './log-walk.js'
import { isAfter, isBefore, type Moment } from './moment.js'
import type { Source } from './source.js'

export interface CommitFilter {
  readonly from: Moment | undefined
  readonly to: Moment | undefined
  /** Full names; with any of these two, only their changes and events are shown, and only commits that have some. */
  readonly tables: readonly string[]
  readonly events: readonly string[]
  readonly procedure: string | undefined
  readonly id: string | undefined
  readonly limit: number
}

export interface ListedCommit extends DecodedTransaction {
  /** `'committed'`, or the code of the error that is recorded for a call with an id. */
  readonly result: string
  /** Of calls with an id: what was answered, or the reason of an abort. */
  readonly answer: { readonly value: unknown } | { readonly message: string; readonly reason: string | undefined } | undefined
}

export interface ListEnd {
  /** How the log ended; undefined when the listing ended before it, at its `to` or its limit. */
  readonly end: LogEnd | undefined
  /** All names that the catalogs of the log have, for whoever asks for one that is none. */
  readonly names: { readonly tables: ReadonlySet<string>; readonly events: ReadonlySet<string>; readonly procedures: ReadonlySet<string> }
}

export function* listCommits(source: Source, filter: CommitFilter): Generator<ListedCommit, ListEnd, void> {
  const { from, to } = filter
  const names = { tables: new Set<string>(), events: new Set<string>(), procedures: new Set<string>() }
  const wants = wantsOf(filter)
  const parts = walkLog(source.log)
  let decoder: FrameDecoder | undefined
  let listed = 0
  for (;;) {
    const step = parts.next()
    if (step.done === true) return { end: step.value, names }
    const part = step.value
    if (part.kind === 'schema') {
      const catalog = catalogIn(part)
      decoder = new FrameDecoder(catalog)
      for (const { name } of catalog.tables) names.tables.add(name)
      for (const { name } of catalog.events) names.events.add(name)
      for (const name of catalog.procedures) names.procedures.add(name)
    }
    if (part.kind !== 'frame' || decoder === undefined) continue
    if (from?.kind === 'position' && part.batch < from.batch) continue
    const body = new FrameBodyReader(part.body)
    if (to !== undefined && isAfter(to, part.batch, body.now)) return { end: undefined, names }
    if (from !== undefined && isBefore(from, part.batch, body.now)) continue
    body.check()
    const firstIndex = from?.kind === 'position' && from.batch === part.batch ? from.index : 0
    const found: DecodedTransaction[] = []
    decoder.decode(body, wants, firstIndex, (transaction) => void found.push(transaction))
    for (const transaction of found) {
      if (to?.kind === 'position' && to.batch === transaction.batch && transaction.index > to.index) return { end: undefined, names }
      if (filter.procedure !== undefined && transaction.procedure !== filter.procedure) continue
      if (filter.id !== undefined && transaction.id !== filter.id) continue
      yield listedCommit(transaction)
      listed += 1
      if (listed >= filter.limit) return { end: undefined, names }
    }
  }
}

function wantsOf({ tables, events }: CommitFilter): FrameFilter {
  if (tables.length === 0 && events.length === 0) return { tables: undefined, events: undefined, outcomes: true }
  return { tables: new Set(tables), events: new Set(events), outcomes: false }
}

export function listedCommit(transaction: DecodedTransaction): ListedCommit {
  const kind = transaction.outcome & outcomeKindMask
  const { value } = transaction
  if (kind === committed) {
    const answer = value === undefined ? undefined : { value: value.length === 0 ? undefined : decodeCanonical(new ByteReader(value)) }
    return { ...transaction, result: 'committed', answer }
  }
  const result = errorCodes[kind - 1] ?? `outcome ${kind}`
  if (value === undefined || value.length === 0) return { ...transaction, result, answer: undefined }
  const { message, reason } = decodeError(kind, new ByteReader(value))
  return { ...transaction, result, answer: { message, reason } }
}
