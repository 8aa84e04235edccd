/**
 * Services: what is kept, what is announced, why it refuses, and what it does, as one value.
 *
 * A service is open until an `app()` has taken it: modules that import each other in a circle go on defining
 * procedures and handlers while their imports are loading. `app()` seals it, because main and workers must
 * end with the same program.
 *
 * Names: procedures, workflows and handlers share one set of names per service, because the log calls each of
 * them `'service.name'`. Tables, events and abort reasons have a set of names each.
 */
import {
  byName,
  checkFlag,
  checkFunction,
  checkName,
  checkOptions,
  entriesOf,
  invalidDefinition,
  shown,
} from '../schema/definition.js'
import type { PartKind } from '../../engine/schema/descriptor.js'
import type { Aggregate, AggregateShape, ServedAggregate } from '../sourcing/aggregate.js'
import { type ColumnsOf, EventShapes, type EventSource as EventColumns, upcastOf } from '../sourcing/event-history.js'
import type { Projection } from '../sourcing/projection.js'
import { checkProjections, takeProjections } from '../sourcing/projection-service.js'
import { type AggregatePart, checkAggregates, takeAggregates } from '../sourcing/aggregate-service.js'
import type { Columns, PartitionKey, Read, Write } from '../schema/infer.js'
import { lowerColumns, type LoweredColumns } from '../schema/lower-columns.js'
import type { shape } from '../schema/shape.js'
import { checkReplicas, type Replica, takeReplicas } from '../schema/replica.js'
import { tableDefinitions, type Table, type TableDefinition } from '../schema/table.js'
import {
  abortHandle,
  eventDefinitions,
  eventHandle,
  type AbortType,
  type EventDefinition,
  type EventType,
} from './event.js'
import type { Delivered, Emitted } from './event.js'
import { type Isolation, isolationOf, procedureHandle, type Procedure, type ProcedureDefinition, type Sync } from './procedure.js'
import { type ServiceDefinition, serviceDefinitions } from './service-definition.js'
import type { ServiceShape } from './service-shape.js'
import type { ReadTx, Tx } from './transaction.js'
import {
  workflowHandle,
  type Messages,
  type Workflow,
  type WorkflowContext,
  type WorkflowDefinition,
} from './workflow.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

/** Tables as they are, whether they are given or answered by an arrow. */
type Granted<R> = { readonly [G in keyof R]: Extract<R[G] extends () => infer T ? T : R[G], Table> }
type Emits = readonly EventType[] | (() => readonly EventType[])
type EventSource = EventType | (() => EventType)
type EmittedBy<E> = E extends () => infer T ? EmittedBy<T> : E extends EventType<infer N, infer C> ? Emitted<N, C> : never

export interface Service<S extends ServiceShape> {
  readonly [shape]: S
  readonly name: S['name']
  /** The tables, with their full names. */
  readonly tables: {
    readonly [T in keyof S['tables'] & string]: Table<S['tables'][T][typeof shape], `${S['name']}.${T}`>
  }
  /** The replicas, with their full names. */
  readonly replicas: {
    readonly [P in keyof S['replicas'] & string]: S['replicas'][P] extends Replica<infer R>
      ? Replica<R, `${S['name']}.${P}`>
      : never
  }
  readonly events: { readonly [E in keyof S['events'] & string]: EventType<`${S['name']}.${E}`, ColumnsOf<S['events'][E]>> }
  /** The reasons of `tx.abort`: `bank.aborts.INSUFFICIENT_FUNDS.is(error)`. */
  readonly aborts: { readonly [A in keyof S['aborts'] & string]: AbortType<A, S['aborts'][A]> }
  /** The projections, for `db.projection`. */
  readonly projections: { readonly [J in keyof S['projections'] & string]: S['projections'][J] extends Projection<infer A> ? Projection<A, `${S['name']}.${J}`> : never }
  /** The aggregates: their commands, events and reasons. */
  readonly aggregates: { readonly [G in keyof S['aggregates'] & string]: S['aggregates'][G] extends Aggregate<infer A> ? ServedAggregate<`${S['name']}.${G}`, A> : never }

  /**
   * Defines a procedure: one serializable transaction. It is synchronous, sees only `tx` and its input, and
   * returns plain data. With `partition` it runs in the lane of that partition; without, in the
   * cross-partition lane.
   */
  procedure<I extends Columns = {}, R = void, const ReadOnly extends boolean = false>(
    name: string,
    options: {
      readonly input?: I | undefined
      /** The value that places the rows it touches, an array of values for several columns. */
      readonly partition?: ((it: Read<I>) => PartitionKey) | undefined
      readonly partitions?: ((it: Read<I>) => readonly PartitionKey[]) | undefined
      /** Runs on a snapshot and is never sequenced. Default: false. */
      readonly readonly?: ReadOnly | undefined
      /**
       * `'serializable'`, the default: it reads what stands in its place of the order. `'snapshot'`: it reads what the batch before
       * its own has left, of any partition, without leaving its lane; write skew is possible, lost updates are not.
       */
      readonly isolation?: Isolation | undefined
    },
    run: (tx: ReadOnly extends true ? ReadTx<S> : Tx<S>, it: Read<I>) => Sync<R>,
  ): Procedure<Write<I>, R, ReadOnly extends true ? 'read' : 'write'>

  /**
   * Reacts to an event, of any service of the application: with `atomic: true` inside the transaction that
   * emits it, else in a transaction of its own. Services that import each other give an arrow: `on(() =>
   * shop.events.paid, ...)`.
   */
  on<N extends string, C extends Columns, R, const Atomic extends boolean = false>(
    event: EventType<N, C> | (() => EventType<N, C>),
    options: {
      readonly name: string
      readonly atomic?: Atomic | undefined
      /** Without `atomic`: events with the same value are handled in order, others beside each other. */
      readonly partition?: ((payload: Read<C>) => PartitionKey) | undefined
      /** With `atomic`: all that it may emit, itself or by what it calls. Others are refused then. */
      readonly emits?: Emits | undefined
    },
    run: (tx: Tx<S>, event: Atomic extends true ? Emitted<N, C> : Delivered<N, C>) => Sync<R>,
  ): void
  /**
   * Reacts to several events of one transaction, inside it: once, when each of them has been emitted, with the first
   * of each. If one is missing, it does not run.
   */
  on<const E extends readonly [EventSource, EventSource, ...EventSource[]], R>(
    events: E,
    options: { readonly name: string; readonly atomic: true; readonly emits?: Emits | undefined },
    run: (tx: Tx<S>, events: { readonly [P in keyof E]: EmittedBy<E[P]> }) => Sync<R>,
  ): void

  workflow<I extends Columns = {}, R = void, M extends Messages = {}>(
    name: string,
    options: { readonly input?: I | undefined; readonly messages?: M | undefined },
    run: (wf: WorkflowContext<M>, it: Read<I>) => Promise<R>,
  ): Workflow<Write<I>, R, M>
}

// ── how it is made ──────────────────────────────────────────────────────────────────────────────────────

class ServiceHandle {
  readonly name: string
  readonly tables: Readonly<Record<string, unknown>>
  readonly replicas: Readonly<Record<string, unknown>>
  readonly events: Readonly<Record<string, EventType>>
  readonly aborts: Readonly<Record<string, AbortType>>
  readonly aggregates: Readonly<Record<string, object>>
  readonly projections: Readonly<Record<string, unknown>>
  readonly #definition: ServiceDefinition

  constructor(
    definition: ServiceDefinition, tables: ReadonlyMap<string, unknown>, replicas: ReadonlyMap<string, unknown>, aggregates: ReadonlyMap<string, AggregatePart>,
    projections: ReadonlyMap<string, unknown>,
  ) {
    this.#definition = definition
    this.name = definition.name
    this.tables = byName(tables)
    this.replicas = byName(replicas)
    this.events = byName([...definition.events].map(([name, event]) => [name, eventHandle(event)]))
    this.aborts = byName([...definition.aborts.keys()].map((name) => [name, abortHandle(name)]))
    this.projections = byName(projections)
    this.aggregates = byName([...aggregates].map(([name, { handle }]) => [name, handle]))
    Object.freeze(serviceDefinitions.attach(this, definition))
  }

  procedure(name: unknown, options: unknown, run: unknown): Procedure {
    const full = this.#claim(name, 'procedure')
    const what = `procedure '${full}'`
    const { input, partition, partitions, readonly, isolation = 'serializable' } = checkOptions(options, what, [
      'input',
      'partition',
      'partitions',
      'readonly',
      'isolation',
    ])
    checkFunction(run, `The third argument of ${what}`)
    if (partition !== undefined) checkFunction(partition, `partition of ${what}`)
    if (partitions !== undefined) checkFunction(partitions, `partitions of ${what}`)
    if (partition !== undefined && partitions !== undefined) {
      throw invalidDefinition(
        `${what} has both partition and partitions: give the one that says where its rows are.`,
      )
    }
    const isReadOnly = checkFlag(readonly, `readonly of ${what}`)
    if (isReadOnly && (partition !== undefined || partitions !== undefined)) {
      throw invalidDefinition(`${what} is read-only, so it runs on a snapshot of all partitions: leave ${partition !== undefined ? 'partition' : 'partitions'} out.`)
    }
    const definition: ProcedureDefinition = {
      name: full,
      service: this.name,
      input: lowerColumns(input, `the input of ${what}`, 'record'),
      placed: partition !== undefined || partitions !== undefined,
      partition,
      partitions,
      readonly: isReadOnly,
      isolation: isolationOf(isolation, isReadOnly, what),
      run,
      handle: undefined,
    }
    this.#definition.procedures.set(name as string, definition)
    return procedureHandle(definition)
  }

  on(event: unknown, options: unknown, run: unknown): void {
    const { name, atomic, partition, emits } = checkOptions(options, `on() of service '${this.name}'`, [
      'name',
      'atomic',
      'partition',
      'emits',
    ])
    const full = this.#claim(name, 'handler')
    const what = `handler '${full}'`
    const joins = Array.isArray(event)
    const sources = joins ? (event as readonly unknown[]) : [event]
    for (const source of sources) {
      if (eventDefinitions.of(source) === undefined && typeof source !== 'function') {
        throw invalidDefinition(
          `The first argument of ${what} must be an event, or an arrow that answers one ` +
            `(() => shop.events.paid), not ${shown(source)}.`,
        )
      }
    }
    checkFunction(run, `The third argument of ${what}`)
    if (partition !== undefined) checkFunction(partition, `partition of ${what}`)
    const isAtomic = checkFlag(atomic, `atomic of ${what}`)
    if (isAtomic && partition !== undefined) {
      throw invalidDefinition(`${what} is atomic, so it runs where its event is emitted: leave partition out.`)
    }
    if (joins && (!isAtomic || sources.length < 2)) {
      throw invalidDefinition(
        isAtomic
          ? `${what} waits for a list of ${sources.length}: give two events or more, or one without a list.`
          : `${what} waits for several events, which only atomic: true can, for they are of one transaction.`,
      )
    }
    if (emits !== undefined && !isAtomic) throw invalidDefinition(`${what} is not atomic, so it may emit anything: leave emits out.`)
    if (emits !== undefined && !Array.isArray(emits)) checkFunction(emits, `emits of ${what}`)
    const arrow = (source: unknown) => (typeof source === 'function' ? (source as () => unknown) : () => source)
    this.#definition.handlers.set(name as string, {
      name: full,
      events: sources.map(arrow),
      joins,
      atomic: isAtomic,
      emits: emits === undefined ? undefined : arrow(emits),
      partition,
      run,
    })
  }

  workflow(name: unknown, options: unknown, run: unknown): Workflow {
    const full = this.#claim(name, 'workflow')
    const what = `workflow '${full}'`
    const { input, messages } = checkOptions(options, what, ['input', 'messages'])
    checkFunction(run, `The third argument of ${what}`)
    lowerColumns(input, `the input of ${what}`, 'record')
    for (const [message, columns] of entriesOf(messages, `The messages of ${what}`)) {
      checkName(message, `a message of ${what}`)
      lowerColumns(columns, `message '${message}' of ${what}`, 'record')
    }
    const definition: WorkflowDefinition = { name: full, service: this.name }
    this.#definition.workflows.set(name as string, definition)
    return workflowHandle(definition)
  }

  /** The full name of something new; refused when the service is sealed or has the name already. */
  #claim(name: unknown, noun: string): string {
    checkName(name, `a ${noun} of service '${this.name}'`)
    const full = `${this.name}.${name}`
    const { sealedBy, procedures, workflows, handlers } = this.#definition
    if (sealedBy !== undefined) {
      throw invalidDefinition(
        `The ${noun} '${full}' is defined after app() in ${sealedBy} has sealed service '${this.name}': ` +
          'import its module there, before app() is called.',
      )
    }
    const taken = procedures.has(name)
      ? 'procedure'
      : workflows.has(name)
        ? 'workflow'
        : handlers.has(name)
          ? 'handler'
          : undefined
    if (taken === undefined) return full
    throw invalidDefinition(
      `The ${noun} '${full}' has the name of a ${taken} of the same service: rename one, the log knows both by it.`,
    )
  }
}

/**
 * Declares a service: its tables, its events and the reasons it may give for refusing. Procedures, handlers
 * and workflows are defined on it afterwards.
 *
 * ```ts
 * const ledger = service('ledger', {
 *   tables: { account: table({ columns: { id: column.text(), balance: column.int() }, key: ['id'] }) },
 * })
 * const transfer = ledger.procedure(
 *   'transfer',
 *   { input: { from: column.text(), to: column.text(), amount: column.int().positive() } },
 *   (tx, it) => {
 *     tx.db.account.add(it.from, { balance: -it.amount })
 *     tx.db.account.add(it.to, { balance: it.amount })
 *   },
 * )
 * ```
 */
export function service<
  const N extends string,
  T extends Readonly<Record<string, Table>> = {},
  E extends Readonly<Record<string, EventColumns>> = {},
  A extends Readonly<Record<string, Columns>> = {},
  R extends Readonly<Record<string, Table | (() => Table)>> = {},
  P extends Readonly<Record<string, Replica>> = {},
  G extends { readonly [K in keyof G]: Aggregate<AggregateShape, K & string> } = {},
  J extends { readonly [K in keyof J]: Projection<any, K & string> } = {},
>(
  name: N,
  definition?: {
    readonly tables?: T | undefined
    readonly events?: E | undefined
    readonly aborts?: A | undefined
    /**
     * Tables of other services that its procedures and handlers may read, by the names they have in `tx.db`. A
     * table, or an arrow where services import each other.
     */
    readonly reads?: R | undefined
    /** Columns of tables of other services, by the names they have in `tx.db`. */
    readonly replicas?: P | undefined
    /** Event-sourced state, by the names of the aggregates: `{ cart }`. */
    readonly aggregates?: G | undefined
    /** Tables that are made of what has happened, by the names of the projections: `{ totals }`. */
    readonly projections?: J | undefined
  },
): Service<{ name: N; tables: T; events: E; aborts: A; reads: Granted<R>; replicas: P; aggregates: G; projections: J }> {
  return defineService(name, definition ?? {}) as never
}

function defineService(name: unknown, definition: unknown): ServiceHandle {
  checkName(name, 'a service')
  const what = `service '${name}'`
  const options = checkOptions(definition, what, ['tables', 'events', 'aborts', 'reads', 'replicas', 'aggregates', 'projections'])
  const events = new Map<string, EventDefinition>()
  for (const [event, columns] of entriesOf(options['events'], `The events of ${what}`)) {
    checkName(event, `an event of ${what}`)
    const full = `${name}.${event}`
    const shapes = new EventShapes(full, columns)
    events.set(event, { name: full, service: name, columns: shapes.columns, shape: shapes.newest, upcast: upcastOf(shapes) })
  }
  const aborts = new Map<string, LoweredColumns>()
  for (const [reason, columns] of entriesOf(options['aborts'], `The aborts of ${what}`)) {
    checkName(reason, `an abort reason of ${what}`)
    aborts.set(reason, lowerColumns(columns, `abort reason '${reason}' of ${what}`, 'record'))
  }
  const reads = new Map<string, () => unknown>()
  for (const [grant, source] of entriesOf(options['reads'], `The reads of ${what}`)) {
    checkName(grant, `a table that ${what} reads`)
    if (tableDefinitions.of(source) === undefined && typeof source !== 'function') {
      throw invalidDefinition(`reads.${grant} of ${what} must be a table, or an arrow that answers one (() => shop.tables.order), not ${shown(source)}.`)
    }
    reads.set(grant, typeof source === 'function' ? (source as () => unknown) : () => source)
  }
  const handles = new Map(entriesOf(options['tables'], `The tables of ${what}`))
  const both = [...reads.keys()].find((grant) => handles.has(grant))
  if (both !== undefined) throw invalidDefinition(`${what} has a table '${both}' and reads another one under this name: give one of them another name.`)
  const copies = new Map(entriesOf(options['replicas'], `The replicas of ${what}`))
  const taken = [...copies.keys()].find((replica) => handles.has(replica) || reads.has(replica))
  if (taken !== undefined) throw invalidDefinition(`${what} has a replica '${taken}' and a table of this name: give one of them another name.`)
  checkReplicas(name, copies)
  const sourced = new Map(entriesOf(options['aggregates'], `The aggregates of ${what}`))
  checkAggregates(name, sourced)
  const projected = new Map(entriesOf(options['projections'], `The projections of ${what}`))
  checkProjections(name, projected, sourced)
  const tables = takeTables(name, handles)
  const replicas = takeReplicas(name, copies)
  const aggregates = takeAggregates(name, sourced)
  const projections = takeProjections(name, projected)
  for (const [aggregate, { tables: own }] of aggregates) for (const [table, handle] of own) reads.set(`${aggregate}.${table}`, () => handle)
  return new ServiceHandle(
    {
      name,
      tables,
      events,
      aborts,
      reads,
      replicas,
      procedures: new Map(),
      workflows: new Map(),
      handlers: new Map(),
      parts: partsBy({ aggregate: aggregates, projection: projections }),
      opens: undefined,
      sealedBy: undefined,
    },
    handles,
    copies,
    aggregates,
    projected,
  )
}

/** The kinds of which there are any. */
function partsBy(all: Readonly<Record<string, ReadonlyMap<string, { readonly definition: ServiceDefinition }>>>): ServiceDefinition['parts'] {
  const kinds = Object.entries(all).filter(([, parts]) => parts.size > 0)
  return new Map(kinds.map(([kind, parts]) => [kind as PartKind, new Map([...parts].map(([name, { definition }]) => [name, definition]))]))
}

/**
 * Gives the tables their names. All are looked at first, so that a refused service leaves every table free.
 */
function takeTables(service: string, handles: ReadonlyMap<string, unknown>): ReadonlyMap<string, TableDefinition> {
  const tables = new Map<string, TableDefinition>()
  for (const [name, handle] of handles) {
    checkName(name, `a table of service '${service}'`)
    const full = `${service}.${name}`
    const definition = tableDefinitions.of(handle)
    if (definition === undefined)
      throw invalidDefinition(`Table '${full}' must be made by table(), not ${shown(handle)}.`)
    const before = definition.service !== undefined ? definition.name : nameOf(tables, definition, service)
    if (before !== undefined) {
      throw invalidDefinition(
        `Table '${full}' is '${before}' already: a table belongs to one service, under one name. ` +
          'Call table() again for a second one.',
      )
    }
    tables.set(name, definition)
  }
  for (const [name, definition] of tables) {
    definition.name = `${service}.${name}`
    definition.service = service
  }
  return tables
}

function nameOf(
  tables: ReadonlyMap<string, TableDefinition>,
  wanted: TableDefinition,
  service: string,
): string | undefined {
  for (const [name, definition] of tables) if (definition === wanted) return `${service}.${name}`
  return undefined
}
