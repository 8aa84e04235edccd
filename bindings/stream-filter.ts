/** What a stream was asked for, as the engine filters it (engine/stream/stream-filter.ts). */
import { SluiceError } from '../engine/base/errors.js'
import { type Equality, type EventInterest, type Interest, type Program, StreamFilter, type Unasked } from '../engine/index.js'
import { rowConditionOf } from '../query/index.js'
import { eventOrdinal, tableOrdinal } from './catalog.js'
import { eventSlices, type Slice, slices } from './only.js'
import { planOfRecord, recordTable } from './query/record-condition.js'
import { shown } from './schema/definition.js'
import { serviceDefinitions } from './service/service-definition.js'
import { stepOf, tablesOfProjection } from './sourcing/projection-service.js'

export interface FilterOptions {
  readonly tables?: unknown
  readonly events?: unknown
  readonly services?: unknown
}

export function streamFilterOf(program: Program, options: FilterOptions): StreamFilter {
  const services = listOf('services', options.services)?.map((service) => handlesOf(service))
  const tables = listOf('tables', options.tables) ?? []
  const events = listOf('events', options.events) ?? []
  if (options.tables === undefined && options.events === undefined && services === undefined) return new StreamFilter('', undefined, undefined, unaskedIn(program))
  const interests = [...tables, ...(services ?? []).flatMap((service) => service.tables)].map((table) => interestOf(program, table))
  const eventInterests = [...events, ...(services ?? []).flatMap((service) => service.events)].map((event) => eventInterestOf(program, event))
  const idOf = (all: readonly { readonly id: string }[]): readonly string[] => [...new Set(all.map(({ id }) => id))].sort()
  return new StreamFilter(JSON.stringify([idOf(interests), idOf(eventInterests)]), interests.map(({ interest }) => interest), eventInterests.map(({ interest }) => interest))
}

const unaskedByProgram = new WeakMap<Program, Unasked>()

/** What projections write: made anew when they like, of what is in the stream anyhow. */
function unaskedIn(program: Program): Unasked {
  let found = unaskedByProgram.get(program)
  if (found === undefined) {
    const { projections = [] } = program
    found = { tables: new Set(projections.flatMap(tablesOfProjection)), procedures: new Set(projections.map(({ name }) => stepOf(name))) }
    unaskedByProgram.set(program, found)
  }
  return found
}

/** The tables that a filter has, by ordinal. */
export function tablesOf(program: Program, filter: StreamFilter): readonly number[] {
  const names = new Set(filter.interests.map(({ table }) => table))
  return program.tables.flatMap(({ descriptor }, ordinal) => (names.has(descriptor.name) ? [ordinal] : []))
}

/** `id`: the same text for the same interest. */
function interestOf(program: Program, given: unknown): { readonly id: string; readonly interest: Interest } {
  const slice = slices.of(given)
  const { descriptor } = program.tables[tableOrdinal(program, slice?.table ?? given)]!
  const table = descriptor.name
  if (slice === undefined) return { id: table, interest: { table, equals: [], kinds: undefined, changed: undefined, holds: undefined } }
  const condition =
    slice.where === undefined
      ? { equals: [], holds: undefined }
      : rowConditionOf(planOfRecord(table, slice.where), descriptor)
  const equals: readonly Equality[] = [...keyEqualities(slice), ...condition.equals]
  const { kinds, columns } = slice
  const asked = { equals: equals.map(({ column, value, prefixLength }) => [column, prefixLength ?? -1, typeof value, String(value)]), kinds: kinds ?? null, columns: columns ?? null, where: slice.where ?? null }
  return {
    id: `${table} ${JSON.stringify(asked)}`,
    interest: { table, equals, kinds: kinds === undefined ? undefined : new Set(kinds), changed: columns, holds: condition.holds },
  }
}

function eventInterestOf(program: Program, given: unknown): { readonly id: string; readonly interest: EventInterest } {
  const slice = eventSlices.of(given)
  const { name: event, columns } = program.events[eventOrdinal(program, slice?.event ?? given)]!.descriptor
  if (slice === undefined) return { id: event, interest: { event, equals: [], holds: undefined } }
  return { id: `${event} ${JSON.stringify(slice.where)}`, interest: { event, ...rowConditionOf(planOfRecord(event, slice.where), recordTable(event, columns)) } }
}

function keyEqualities({ definition, key, prefix }: Slice): readonly Equality[] {
  const names = definition.descriptor.key.map((ordinal) => definition.columns.columns[ordinal]!.name)
  const leading = (prefix?.values ?? []).map((value, n): Equality =>
    prefix!.isText ? { column: names[n]!, value, prefixLength: (value as string).length } : { column: names[n]!, value },
  )
  return [...(key ?? []).map((value, n): Equality => ({ column: names[n]!, value: value === 0 ? 0 : value })), ...leading]
}

interface Handles {
  readonly tables: object
  readonly events: object
}

/** Those of its aggregates too. Tables of projections are made anew when they like, and are nobody's news. */
function handlesOf(service: unknown): { readonly tables: readonly unknown[]; readonly events: readonly unknown[] } {
  if (serviceDefinitions.of(service) === undefined) throw SluiceError.of('INVALID_USE', `The option services is a list of services, and has ${shown(service)}.`)
  const { aggregates = {}, ...own } = service as Handles & { readonly aggregates?: Readonly<Record<string, Handles>> }
  const all = [own, ...Object.values(aggregates)]
  return { tables: all.flatMap(({ tables }) => Object.values(tables)), events: all.flatMap(({ events }) => Object.values(events)) }
}

export function listOf(name: string, value: unknown): readonly unknown[] | undefined {
  if (value === undefined) return undefined
  if (!Array.isArray(value)) throw SluiceError.of('INVALID_USE', `The option ${name} is a list, not ${shown(value)}.`)
  return value as readonly unknown[]
}
