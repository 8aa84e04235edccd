/**
 * From definitions to the program of the engine: every reference by name becomes an ordinal, every arrow is
 * followed, and what cannot run is refused.
 *
 * Order: services as given to `app()`; tables and events as written in their service; handlers as declared,
 * because that is the order they run in (R28); procedures by name. A service may define procedures in several
 * modules, and main and workers may load these in different orders: the numbers of procedures must not depend
 * on it.
 */
import type {
  AtomicHandlerProgram,
  ColumnRules,
  EventProgram,
  HandlerProgram,
  ProcedureProgram,
  Program,
  RecordDescriptor,
  ReferenceProgram,
  ServiceProgram,
  TableProgram,
} from '../engine/schema/descriptor.js'
import { violatedEvent, violatedName } from '../engine/index.js'
import { refuseCircles } from './handler-circles.js'
import { invalidDefinition, shown } from './schema/definition.js'
import type { LoweredColumns } from './schema/lower-columns.js'
import { transactionQueries } from './query/query-definition.js'
import { projectionPrograms } from './sourcing/projection-service.js'
import { replicaPrograms } from './replica-program.js'
import type { ReferenceDefinition } from './schema/reference.js'
import { subjectColumns } from './schema/subject.js'
import { tableDefinitions, type TableDefinition } from './schema/table.js'
import { formatPosition } from './position.js'
import { eventDefinitions, type EventDefinition } from './service/event.js'
import type { HandlerDefinition, ServiceDefinition } from './service/service-definition.js'

export function lowerServices(url: string, declared: readonly ServiceDefinition[]): Program {
  const services = declared.flatMap((service) => [service, ...partsOf(service)])
  const events = new Map<string, EventProgram>()
  for (const service of services) {
    for (const event of service.events.values()) {
      events.set(event.name, {
        descriptor: { name: event.name, columns: event.columns.columns, ...(event.shape > 1 && { shape: event.shape }) },
        ...rules(event.columns),
        ...subjectOfEvent(event),
        ...(event.upcast !== undefined && { upcast: event.upcast }),
      })
    }
  }
  const definitions = new Map(
    services.flatMap((service) => [...service.tables.values()].map((table) => [table.name, table] as const)),
  )

  const isWatching = [...definitions.values()].some((table) => table.references.some(isWatched))
  if (isWatching) events.set(violatedName, violatedEvent)
  const eventOrdinals = ordinalsOf(events)
  const tableOrdinals = ordinalsOf(definitions)
  const tables = new Map([...definitions].map(([name, table]) => [name, tableProgram(table, definitions, tableOrdinals)]))
  const replicas = replicaPrograms(services, tables)
  const replicaOrdinals = ordinalsOf(replicas)

  const later: string[] = []
  for (const service of services) {
    for (const handler of service.handlers.values()) eventsOf(handler, eventOrdinals)
    later.push(...laterOf(service))
  }
  refuseLater(later)
  const projections = projectionPrograms(services, eventOrdinals, tableOrdinals)

  const serviceHolders = services.map((service) => serviceProgram(service, services, tableOrdinals, eventOrdinals, replicaOrdinals))
  const atomicHandlers = services.flatMap((service, ordinal) => atomicHandlerPrograms(service, ordinal, eventOrdinals))
  refuseCircles(atomicHandlers, [...events.values()], (service) => serviceHolders[service]!.events)
  return {
    url,
    services: serviceHolders,
    tables: [...tables.values()],
    events: [...events.values()],
    procedures: services.flatMap(procedurePrograms),
    atomicHandlers,
    handlers: [...services.flatMap((service, ordinal) => handlerPrograms(service, ordinal, eventOrdinals)), ...watchPrograms([...definitions.values()], eventOrdinals)],
    runQuery: transactionQueries(),
    ...(projections.length > 0 && { projections }),
    ...(replicas.size > 0 && { replicas: [...replicas.values()] }),
  }
}

function subjectOfEvent({ columns }: EventDefinition): { readonly subject?: readonly number[] } {
  const subject = subjectColumns(columns)
  return subject.length === 0 ? {} : { subject }
}
/** Aggregates and projections are services of their own, behind the one that has them. */
const partsOf = ({ parts }: ServiceDefinition): readonly ServiceDefinition[] => [...parts.values()].flatMap((named) => [...named.values()])

function ordinalsOf(named: ReadonlyMap<string, unknown>): ReadonlyMap<string, number> {
  return new Map([...named.keys()].map((name, ordinal) => [name, ordinal]))
}

function rules({ checks, json }: LoweredColumns): ColumnRules {
  return { checks, json }
}

function tableProgram(
  table: TableDefinition,
  tables: ReadonlyMap<string, TableDefinition>,
  ordinals: ReadonlyMap<string, number>,
): TableProgram {
  const references = table.references.map((reference): ReferenceProgram => {
    const { name, on, onDelete, strength } = reference
    return { name, on, to: ordinals.get(targetOf(reference, table, tables).name)!, onDelete, strength }
  })
  return {
    descriptor: { name: table.name, ...table.descriptor },
    ...rules(table.columns),
    rowChecks: table.rowChecks,
    ...(table.subject && { subject: table.subject }),
    ...(references.length > 0 && { references }),
  }
}

function serviceProgram(
  service: ServiceDefinition,
  services: readonly ServiceDefinition[],
  tables: ReadonlyMap<string, number>,
  events: ReadonlyMap<string, number>,
  replicas: ReadonlyMap<string, number>,
): ServiceProgram {
  const own = (names: Iterable<string>, ordinals: ReadonlyMap<string, number>) =>
    new Map([...names].map((name) => [name, ordinals.get(`${service.name}.${name}`) ?? -1]))
  const aborts = new Map<string, RecordDescriptor & ColumnRules>()
  for (const [reason, columns] of service.aborts)
    aborts.set(reason, { columns: columns.columns, ...rules(columns) })
  return {
    name: service.name,
    tables: own(service.tables.keys(), tables),
    events: own(service.events.keys(), events),
    aborts: aborts.size === 0 ? undefined : aborts,
    ...(service.parts.size > 0 && { parts: new Map([...service.parts].map(([kind, named]) => [kind, new Map([...named].map(([name, part]) => [name, services.indexOf(part)]))])) }),
    ...(service.opens !== undefined && { opens: service.opens }),
    ...(service.reads.size > 0 && { reads: grantsOf(service, tables) }),
    ...(service.replicas.size > 0 && { replicas: own(service.replicas.keys(), replicas) }),
  }
}

/** The ordinals of the tables of other services that a service reads. */
function grantsOf(service: ServiceDefinition, tables: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  return new Map(
    [...service.reads].map(([name, arrow]) => {
      const what = `reads.${name} of service '${service.name}'`
      const answer = follow(arrow, `The arrow of ${what}`)
      const definition = tableDefinitions.of(answer)
      if (definition === undefined) throw invalidDefinition(`The arrow of ${what} must answer a table, () => shop.tables.order, not ${shown(answer)}.`)
      const ordinal = tables.get(definition.name)
      if (ordinal === undefined) {
        throw invalidDefinition(`${what} leads to ${definition.name === '' ? 'a table of no service' : `'${definition.name}'`}, which is not in this application: put its service into app().`)
      }
      if (definition.service === service.name) throw invalidDefinition(`${what} is a table of its own: leave it out, tx.db has it.`)
      return [name, ordinal] as const
    }),
  )
}

function procedurePrograms(service: ServiceDefinition, ordinal: number): readonly ProcedureProgram[] {
  const byName = [...service.procedures.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  return byName.map(({ name, input, placed, partition, partitions, readonly, isolation, run, handle }) => ({
    descriptor: { name, columns: input.columns, placed, ...(readonly && { readonly }), ...(isolation === 'snapshot' && { isolation }) },
    ...rules(input),
    handle: handle as object,
    service: ordinal,
    partition: partition as ProcedureProgram['partition'],
    ...(partitions !== undefined && { partitions: partitions as NonNullable<ProcedureProgram['partitions']> }),
    run,
  }))
}

/** Those that run after the commit. What `run` gets is the event as `db.events` shows it. */
function handlerPrograms(
  service: ServiceDefinition,
  ordinal: number,
  events: ReadonlyMap<string, number>,
): readonly HandlerProgram[] {
  const after = [...service.handlers.values()].filter(({ atomic }) => !atomic)
  return after.map((handler) => {
    const { name, run, partition } = handler
    const event = eventsOf(handler, events)[0]!
    const type = (eventDefinitions.of(handler.events[0]!()) as EventDefinition).name
    return {
      name,
      service: ordinal,
      event,
      partition: partition as HandlerProgram['partition'],
      run: (tx, { batch, index, time, payload }) =>
        run(tx, Object.freeze({ type, payload: Object.freeze(payload), position: formatPosition(batch, index), time }) as never),
    }
  })
}

const isWatched = ({ strength }: ReferenceDefinition): boolean => strength === 'eventual'

/** Each reference of strength `eventual` is looked at by a queue of its own, which goes on where it was. */
function watchPrograms(tables: readonly TableDefinition[], events: ReadonlyMap<string, number>): readonly HandlerProgram[] {
  return tables.flatMap(({ name, references }, table) =>
    references.filter(isWatched).map((reference): HandlerProgram => ({
      name: `${name}.$${reference.name}`,
      service: -1, // the engine's own
      event: events.get(violatedName)!,
      partition: undefined,
      watches: { table, reference: reference.name },
      run: () => undefined,
    })),
  )
}

function atomicHandlerPrograms(
  service: ServiceDefinition,
  ordinal: number,
  events: ReadonlyMap<string, number>,
): readonly AtomicHandlerProgram[] {
  const atomic = [...service.handlers.values()].filter((handler) => handler.atomic)
  return atomic.map((handler) => ({
    name: handler.name,
    service: ordinal,
    events: eventsOf(handler, events),
    joins: handler.joins,
    emits: emitsOf(handler, events),
    run: handler.run,
  }))
}

/** The ordinals of the events of a handler: arrows are followed here, when all modules have been loaded. */
function eventsOf(handler: HandlerDefinition, events: ReadonlyMap<string, number>): readonly number[] {
  const ordinals = handler.events.map((arrow) => eventOf(handler, arrow, events))
  const twice = ordinals.find((ordinal, n) => ordinals.indexOf(ordinal) !== n)
  if (twice === undefined) return ordinals
  throw invalidDefinition(`Handler '${handler.name}' waits for '${[...events.keys()][twice]}' twice: list each event once.`)
}

function emitsOf({ name, emits }: HandlerDefinition, events: ReadonlyMap<string, number>): readonly number[] | undefined {
  if (emits === undefined) return undefined
  const answer = follow(emits, `The arrow of emits of handler '${name}'`)
  if (!Array.isArray(answer)) throw invalidDefinition(`emits of handler '${name}' is a list of events, not ${shown(answer)}.`)
  return answer.map((one: unknown) => {
    const definition = eventDefinitions.of(one)
    const ordinal = definition && events.get(definition.name)
    if (ordinal !== undefined) return ordinal
    throw invalidDefinition(`emits of handler '${name}' lists ${definition === undefined ? shown(one) : `'${definition.name}'`}, which is no event of this application.`)
  })
}

function eventOf(handler: HandlerDefinition, arrow: () => unknown, events: ReadonlyMap<string, number>): number {
  const answer = follow(arrow, `The arrow of handler '${handler.name}'`)
  const definition = eventDefinitions.of(answer)
  if (definition === undefined) {
    throw invalidDefinition(
      `The arrow of handler '${handler.name}' must answer an event, () => shop.events.paid, not ${shown(answer)}.`,
    )
  }
  const ordinal = events.get(definition.name)
  if (ordinal !== undefined) return ordinal
  throw invalidDefinition(
    `Handler '${handler.name}' waits for '${definition.name}', which is not in this application: ` +
      `add service '${definition.service}' to app().`,
  )
}

function follow(arrow: () => unknown, what: string): unknown {
  try {
    return arrow()
  } catch (cause) {
    throw invalidDefinition(`${what} threw: see cause.`, undefined, cause)
  }
}

function targetOf(
  reference: ReferenceDefinition,
  table: TableDefinition,
  tables: ReadonlyMap<string, TableDefinition>,
): TableDefinition {
  const what = `Reference '${reference.name}' of table '${table.name}'`
  const answer = follow(reference.to, `The arrow of reference '${reference.name}' of table '${table.name}'`)
  const target = tableDefinitions.of(answer)
  if (target === undefined)
    throw invalidDefinition(`${what} must answer a table, () => account, not ${shown(answer)}.`)
  if (tables.get(target.name) !== target) {
    throw invalidDefinition(
      `${what} leads to ${target.name === '' ? 'a table of no service' : `'${target.name}'`}, ` +
        'which is not in this application: put the table into a service, and the service into app().',
    )
  }
  // An enum is its words: a value that the key cannot have refers to nothing that could ever be.
  const typesOf = (definition: TableDefinition, ordinals: readonly number[]) =>
    ordinals.map((ordinal) => definition.columns.columns[ordinal]!).map(({ type, values }) => (values === undefined ? type : `${type} of ${values.join(' | ')}`)).join(', ')
  const given = typesOf(table, reference.on)
  const wanted = typesOf(target, target.descriptor.key)
  if (given !== wanted)
    throw invalidDefinition(`${what} gives (${given}), but the key of '${target.name}' is (${wanted}).`)
  return target
}

/** What a service asks for that this version does not have: never silently ignored. */
function laterOf(service: ServiceDefinition): readonly string[] {
  const later: string[] = []
  for (const { name } of service.workflows.values()) later.push(`workflow '${name}'`)
  return later
}

function refuseLater(features: readonly string[]): void {
  if (features.length === 0) return
  const shownFeatures = features.slice(0, 8).join('; ')
  const rest = features.length > 8 ? `; and ${features.length - 8} more` : ''
  throw invalidDefinition(
    `Not in this version of sluicedb: ${shownFeatures}${rest}. Leave these out until a later version has them.`,
    { features },
  )
}
