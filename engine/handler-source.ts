/**
 * What a handler takes from the log: the events that it waits for, or changes that may leave a row without the one that it refers to
 * (txn/reference-watch.ts).
 *
 * A row that was written and finds what it refers to in main's own view, no older than its commit, needs no transaction: from then on only a delete
 * can part the two, and that is looked at itself.
 */
import type { Engine } from './database.js'
import type { HandlerProgram } from './schema/descriptor.js'
import type { RecordCodec } from './schema/record-codec.js'
import type { TableStore } from './store/table-store.js'
import type { DecodedChange, DecodedTransaction, FrameFilter } from './stream/frame-decoder.js'
import { payloadCodec } from './txn/handler-call.js'
import { bareKey } from './txn/violation.js'
import { watchCodec, type WatchedChange } from './txn/reference-watch.js'

export type Payload = Readonly<Record<string, unknown>>

export interface HandlerSource {
  /** The event, by its full name: what it waits for, or what it announces. */
  readonly event: string
  readonly codec: RecordCodec
  readonly filter: FrameFilter
  /**
   * Undefined at the places of events that were erased, and of changes that need no look: numbers are counted with them, so that they are the same whenever the log
   * is read, whatever stands by then.
   */
  payloadsOf(transaction: DecodedTransaction): readonly (Payload | undefined)[]
  /** What is looked at one after the other; undefined: as the partition of the handler says. */
  keyOf?(payload: Payload): readonly unknown[]
}

export function sourceOf(engine: Engine, handler: HandlerProgram): HandlerSource {
  const event = engine.program.events[handler.event]!
  const { name } = event.descriptor
  if (handler.watches !== undefined) return referenceSource(engine, handler, name)
  return {
    event: name,
    codec: payloadCodec(event),
    filter: { tables: new Set(), events: new Set([name]), outcomes: false },
    payloadsOf: ({ events }) => withHoles(events),
  }
}

function referenceSource(engine: Engine, { name, watches }: HandlerProgram, event: string): HandlerSource {
  const reference = engine.parts.store.tables[watches!.table]!.watched.find((one) => one.name === watches!.reference)!
  const { child, parent, on } = reference
  const columns = on.map((column) => child.descriptor.columns[column]!.name)
  const valuesOf = (row: Payload): readonly unknown[] => columns.map((column) => row[column])
  const written = ({ before, after, key }: DecodedChange, batch: number): WatchedChange | undefined => {
    const values = valuesOf(after!)
    if (values.includes(null) || (before !== undefined && isSame(values, valuesOf(before)))) return undefined
    return isThere(engine, parent, values, batch) ? undefined : { values, of: listOf(key) }
  }
  return {
    event,
    codec: watchCodec(name),
    filter: { tables: new Set([child.name, parent.name]), events: new Set(), outcomes: false },
    payloadsOf: ({ batch, changes }) =>
      changes.map((change) => {
        const { table, kind, key } = change
        if (kind === 'delete') return (table === parent.name ? { values: listOf(key), of: null } : undefined) as Payload | undefined
        return (table === child.name ? written(change, batch) : undefined) as Payload | undefined
      }),
    keyOf: ({ values }) => values as readonly unknown[],
  }
}

function withHoles(events: DecodedTransaction['events']): readonly (Payload | undefined)[] {
  if (events.every(({ erasedBefore }) => erasedBefore === undefined)) return events.map(({ payload }) => payload)
  const payloads: (Payload | undefined)[] = []
  events.forEach(({ payload, erasedBefore = 0 }, n) => void (payloads[n + erasedBefore] = payload))
  return Array.from(payloads)
}

function isThere(engine: Engine, parent: TableStore, values: readonly unknown[], batch: number): boolean {
  const view = engine.reading()
  return view.batch >= batch && view.get(parent, bareKey(values)) !== undefined
}

const listOf = (key: unknown): readonly unknown[] => (Array.isArray(key) ? (key as readonly unknown[]) : [key])

function isSame(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.every((value, n) => value === other[n] || (value instanceof Uint8Array && Buffer.compare(value, other[n] as Uint8Array) === 0))
}
