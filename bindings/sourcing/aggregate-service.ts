/**
 * What an aggregate becomes: a service of its own, `'shop.cart'`, which the engine knows as any other.
 *
 *   tables      shop.cart.events, shop.cart.heads, shop.cart.snapshots      (aggregate-stream.ts)
 *   events      shop.cart.added, with `id` and `version` before its own columns
 *   procedures  shop.cart.add for each command, in the partition of the id; shop.cart.load, which only reads
 *
 * Names with two points cannot be a user's, so nothing of it can be taken. The service that has the aggregate may read its tables; it
 * writes through `tx.aggregate.cart(id)` and by calling commands, and so does nobody else.
 */
import type { OpenPart } from '../../engine/schema/descriptor.js'
import { column } from '../schema/column.js'
import { byName, DefinitionKind, invalidDefinition, shown } from '../schema/definition.js'
import { lowerColumns } from '../schema/lower-columns.js'
import { table, tableDefinitions } from '../schema/table.js'
import { abortHandle, type EventDefinition, eventHandle } from '../service/event.js'
import { procedureHandle, type ProcedureDefinition } from '../service/procedure.js'
import type { ServiceDefinition } from '../service/service-definition.js'
import { type AggregateDefinition, aggregateDefinitions, type CommandDefinition, type ExpectedVersion } from './aggregate.js'
import { upcastOf } from './event-history.js'
import { AggregateRules, type Payload } from './aggregate-rules.js'
import { AggregateStreamHandle, type Inside } from './aggregate-stream.js'

/** An aggregate in its service: what the engine gets, and what users hold. */
export interface AggregatePart {
  readonly definition: ServiceDefinition
  readonly handle: object
  readonly tables: ReadonlyMap<string, object>
}

/** By what users hold: what it was made of. */
export const servedAggregates = new DefinitionKind<AggregateDefinition>('served aggregate')

/** Looks at all of them before any is taken, so that a refused service leaves every aggregate free. */
export function checkAggregates(service: string, handles: ReadonlyMap<string, unknown>): void {
  const seen = new Set<unknown>()
  for (const [name, handle] of handles) {
    const definition = aggregateDefinitions.of(handle)
    if (definition === undefined) throw invalidDefinition(`aggregates.${name} of service '${service}' must be made by aggregate(), not ${shown(handle)}.`)
    if (definition.name !== name) throw invalidDefinition(`aggregates.${name} of service '${service}' is aggregate '${definition.name}': let both have one name.`)
    if (definition.service !== undefined || seen.has(definition)) {
      throw invalidDefinition(`Aggregate '${service}.${name}' is one of service '${definition.service ?? service}' already: it belongs to one service.`)
    }
    seen.add(definition)
  }
}

export function takeAggregates(service: string, handles: ReadonlyMap<string, unknown>): ReadonlyMap<string, AggregatePart> {
  return new Map(
    [...handles].map(([name, handle]) => {
      const definition = aggregateDefinitions.of(handle)!
      definition.service = service
      return [name, partOf(definition)] as const
    }),
  )
}

type IdColumn = ReturnType<typeof column.text>

function partOf(definition: AggregateDefinition): AggregatePart {
  const full = `${definition.service}.${definition.name}`
  const id = definition.id as IdColumn
  const tables = new Map<string, object>([
    ['events', table({
      columns: { id, version: column.int(), type: column.text(), shape: column.int(), time: column.timestamp(), payload: column.json() },
      key: ['id', 'version'], partition: ['id'], ordered: true,
    })],
    ['heads', table({ columns: { id, version: column.int() }, key: ['id'] })],
    ['snapshots', table({ columns: { id, version: column.int(), format: column.int(), state: column.json() }, key: ['id'] })],
  ])
  for (const [name, handle] of tables) {
    const taken = tableDefinitions.of(handle)!
    taken.name = `${full}.${name}`
    taken.service = full
  }
  const events = new Map<string, EventDefinition>()
  for (const [name, shapes] of definition.events) {
    const what = `event '${full}.${name}'`
    const own = lowerColumns({ id, version: column.int() }, what, 'record')
    events.set(name, {
      name: `${full}.${name}`,
      service: full,
      shape: shapes.newest,
      upcast: upcastOf(shapes, ['id', 'version']),
      columns: {
        columns: [...own.columns, ...shapes.columns.columns],
        definitions: [...own.definitions, ...shapes.columns.definitions],
        checks: [...own.checks, ...shapes.columns.checks.map((check) => ({ ...check, column: check.column + own.columns.length }))],
        json: [...own.json, ...shapes.columns.json.map((check) => ({ ...check, column: check.column + own.columns.length }))],
      },
    })
  }
  const rules = new AggregateRules(definition)
  const procedures = new Map<string, ProcedureDefinition>()
  for (const command of definition.commands.values()) procedures.set(command.name, commandProcedure(full, id, command))
  procedures.set('load', loadProcedure(full, id, rules))
  const service: ServiceDefinition = {
    name: full,
    tables: new Map([...tables].map(([name, handle]) => [name, tableDefinitions.of(handle)!])),
    events,
    aborts: definition.aborts,
    reads: new Map(),
    replicas: new Map(),
    procedures,
    workflows: new Map(),
    handlers: new Map(),
    parts: new Map(),
    opens: opensStreams(rules),
    sealedBy: undefined,
  }
  const handle = Object.freeze({
    name: full,
    events: byName([...events].map(([name, event]) => [name, eventHandle(event)])),
    aborts: byName([...definition.aborts.keys()].map((name) => [name, abortHandle(name)])),
    tables: byName(tables),
    ...Object.fromEntries([...procedures].map(([name, procedure]) => [name, procedureHandle(procedure)])),
  })
  return { definition: service, handle, tables }
}

/** `tx.aggregate.cart`: the stream that was asked for last is the one that is asked for next. */
function opensStreams(rules: AggregateRules): OpenPart {
  return (inside) => {
    let last: AggregateStreamHandle | undefined
    return (id: unknown): AggregateStreamHandle => (last !== undefined && last.id === id ? last : (last = new AggregateStreamHandle(rules, inside as Inside, id)))
  }
}

interface PartTx {
  readonly aggregate: (id: unknown) => AggregateStreamHandle
}

function commandProcedure(service: string, id: IdColumn, { name, columns }: CommandDefinition): ProcedureDefinition {
  const expectedVersion = column
    .json<ExpectedVersion>()
    .nullable()
    .check((value) => value === 'none' || value === 'exists' || (Number.isSafeInteger(value) && (value as number) >= 0), 'version')
  return {
    name: `${service}.${name}`,
    service,
    input: lowerColumns({ id, expectedVersion, ...columns }, `the input of command '${service}.${name}'`, 'record'),
    placed: true,
    partition: (it: { readonly id: unknown }) => it.id,
    partitions: undefined,
    readonly: false,
    isolation: 'serializable',
    run: (tx: PartTx, { id: of, expectedVersion: expected, ...input }: Payload & { readonly id: unknown; readonly expectedVersion: ExpectedVersion | null }) => ({
      version: tx.aggregate(of).decide(name, input, expected ?? undefined),
    }),
    handle: undefined,
  }
}

function loadProcedure(service: string, id: IdColumn, rules: AggregateRules): ProcedureDefinition {
  return {
    name: `${service}.load`,
    service,
    input: lowerColumns({ id, version: column.int().min(0).nullable() }, `the input of '${service}.load'`, 'record'),
    placed: false,
    partition: undefined,
    partitions: undefined,
    readonly: true,
    isolation: 'serializable',
    run: (tx: PartTx & object, { id: of, version }: { readonly id: unknown; readonly version: number | null }) => {
      const stream = tx.aggregate(of)
      const newest = stream.version
      const wanted = version === null ? newest : Math.min(version, newest)
      return { version: wanted, state: stream.stateAt(wanted) }
    },
    handle: undefined,
  }
}
