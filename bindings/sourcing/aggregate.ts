/**
 * Aggregates: state that is the sum of its events, one stream of them for each id.
 *
 * `aggregate()` answers one value for its whole life. `service()` gives it its full name (`'shop.cart'`), and makes of it what it is:
 * a small service of its own, with three tables, its events and a procedure for each command (aggregate-service.ts).
 */
import type { Clock } from '../service/clock.js'
import type { AbortType, EventType } from '../service/event.js'
import type { Procedure } from '../service/procedure.js'
import type { Column } from '../schema/column.js'
import { checkFunction, checkName, checkOptions, DefinitionKind, entriesOf, invalidDefinition, shown } from '../schema/definition.js'
import type { Columns, Details, Read, Write } from '../schema/infer.js'
import { lowerColumns, type LoweredColumns } from '../schema/lower-columns.js'
import { subjectColumns } from '../schema/subject.js'
import { plainCopy } from '../schema/plain.js'
import type { Flat, shape } from '../schema/shape.js'
import type { Table } from '../schema/table.js'
import { type ColumnsOf, EventShapes, type EventSource } from './event-history.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

/** What an aggregate is made of, at the level of types. */
export interface AggregateShape {
  id: Column
  events: Readonly<Record<string, EventSource>>
  state: unknown
  commands: Readonly<Record<string, Columns>>
  aborts: Readonly<Record<string, Columns>>
}

/** An aggregate, as declared. */
export interface Aggregate<S extends AggregateShape = any, Name extends string = string> {
  readonly [shape]: S
  readonly name: Name
}

/** An event that is yet to be recorded. */
export type NewEvent<E extends AggregateShape['events']> = {
  [T in keyof E & string]: {} extends Write<ColumnsOf<E[T]>>
    ? { readonly type: T; readonly payload?: Write<ColumnsOf<E[T]>> }
    : { readonly type: T; readonly payload: Write<ColumnsOf<E[T]>> }
}[keyof E & string]

/** An event of a stream, in today's shape. */
export type RecordedEvent<S extends AggregateShape> = {
  [T in keyof S['events'] & string]: EventMoment<IdOf<S>> & { readonly type: T; readonly payload: Readonly<Read<ColumnsOf<S['events'][T]>>> }
}[keyof S['events'] & string]

type IdOf<S extends AggregateShape> = S['id'][typeof shape]['value']
/** Which event of which stream it is. */
export interface EventMoment<Id = unknown> {
  readonly id: Id
  /** Its place in the stream, from 1. */
  readonly version: number
  /** Milliseconds since the epoch: the time of its batch. */
  readonly time: number
}

/** `'none'`: there is no event yet. `'exists'`: there is one. A number: there are so many. */
export type ExpectedVersion = number | 'none' | 'exists'

type Abort<A extends AggregateShape['aborts']> = keyof A extends never
  ? (reason: string, details?: Readonly<Record<string, unknown>>) => never
  : <R extends keyof A & string>(reason: R, ...details: Details<Write<A[R]>>) => never

/** What a command may know beside the state and its input: nothing that is not the same in every run. */
export interface Decision<Id = unknown, A extends AggregateShape['aborts'] = {}> extends Clock {
  readonly id: Id
  /** Of the state: how many events it is the sum of. */
  readonly version: number
  /** Undoes everything and ends with `ABORTED` and this reason: `throw it.abort(...)`. */
  readonly abort: Abort<A>
}

export interface Command<C extends Columns, Id, E extends AggregateShape['events'], S, A extends AggregateShape['aborts']> {
  /** What it is given, beside the id. */
  readonly input: C
  /** Answers what happens: an event, a list of them, or nothing. Pure. */
  readonly run: (state: Readonly<S>, input: Readonly<Read<C>>, it: Decision<Id, A>) => NewEvent<E> | readonly NewEvent<E>[] | undefined | void
}

/** What must not have happened: see `without`. */
export interface AppendCondition {
  readonly [condition]: true
}
declare const condition: unique symbol

export interface AppendOptions {
  /** `CONFLICT`, with `details.expected` and `details.actual`, where it is another. Default: any. */
  readonly expectedVersion?: ExpectedVersion | undefined
  /** Appended only if all of these hold, of this stream or of others: `CONFLICT` where one does not. */
  readonly appendIf?: AppendCondition | readonly AppendCondition[] | undefined
}

/** The stream of one id, in a transaction of the service that has the aggregate: `tx.aggregate.cart(id)`. */
export interface AggregateStream<S extends AggregateShape = any> {
  readonly id: IdOf<S>
  /** How many events there are. */
  readonly version: number
  /** Their sum. */
  readonly state: Readonly<S['state']>
  /** Records events behind those that there are; answers the version after them. */
  append(events: NewEvent<S['events']> | readonly NewEvent<S['events']>[], options?: AppendOptions): number
  /** The events from a version on, in order. */
  events(range?: { readonly after?: number | undefined; readonly limit?: number | undefined }): Iterable<RecordedEvent<S>>
  /** That the stream has no event of these types (default: of any) behind a version (default: 0) for which `where` is true. */
  without(events: {
    readonly types?: readonly (keyof S['events'] & string)[] | undefined
    readonly after?: number | undefined
    readonly where?: ((event: RecordedEvent<S>) => boolean) | undefined
  }): AppendCondition
  /** Forgets the snapshot, replays every event, and keeps what comes of it as the new snapshot. */
  rebuild(): Readonly<S['state']>
}

/** Of the columns that every event and every command of the aggregate has. */
type IdColumn<S extends AggregateShape> = { readonly id: S['id'] }
type VersionColumn = { readonly version: Column<number, 'number', never> }
type EventTypes<N extends string, S extends AggregateShape> = {
  readonly [E in keyof S['events'] & string]: EventType<`${N}.${E}`, Flat<IdColumn<S> & VersionColumn & ColumnsOf<S['events'][E]>>>
}
export type CommandInput<S extends AggregateShape, C extends Columns> = Flat<
  { readonly id: IdOf<S>; readonly expectedVersion?: ExpectedVersion | null | undefined } & Write<C>
>
export interface EventRow<Id, T extends string> {
  readonly id: Id
  readonly version: number
  readonly type: T
  /** Of the shapes that the event has had: see `event(…).became(…)`. */
  readonly shape: number
  readonly time: number
  readonly payload: unknown
}
type EventTable<N extends string, S extends AggregateShape> = Table<
  { row: EventRow<IdOf<S>, string>; key: readonly ['id', 'version']; leftOut: never; added: never; json: 'payload'; ordered: true; indexes: {} },
  `${N}.events`
>

/** An aggregate as part of a service: its commands, and what is known of it. `Name` is `'shop.cart'`. */
export type ServedAggregate<Name extends string, S extends AggregateShape> = {
  readonly name: Name
  /** As services and streams hear of them: with `id` and `version`. */
  readonly events: EventTypes<Name, S>
  /** The reasons of its commands: `shop.aggregates.cart.aborts.CLOSED.is(error)`. */
  readonly aborts: { readonly [A in keyof S['aborts'] & string]: AbortType<A, S['aborts'][A]> }
  /** What is recorded, to read and to query. */
  readonly tables: { readonly events: EventTable<Name, S> }
  /** The state of an id, as of its newest event or as of an older version. */
  readonly load: Procedure<{ readonly id: IdOf<S>; readonly version?: number | null | undefined }, { readonly version: number; readonly state: S['state'] }, 'read'>
} & {
  readonly [C in keyof S['commands'] & string]: Procedure<CommandInput<S, S['commands'][C]>, { readonly version: number }, 'write'>
}

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

type Fold = (state: unknown, payload: Readonly<Record<string, unknown>>, at: EventMoment) => unknown
export type Decide = (state: unknown, input: Readonly<Record<string, unknown>>, it: Decision) => unknown
export interface CommandDefinition {
  readonly name: string
  readonly columns: Readonly<Record<string, unknown>>
  readonly lowered: LoweredColumns
  readonly run: Decide
}

export interface AggregateDefinition {
  readonly name: string
  /** Set once, by the service that takes it. */
  service: string | undefined
  readonly id: unknown
  readonly sources: ReadonlyMap<string, unknown>
  readonly events: ReadonlyMap<string, EventShapes>
  readonly initial: () => unknown
  readonly evolve: ReadonlyMap<string, Fold>
  readonly commands: ReadonlyMap<string, CommandDefinition>
  readonly aborts: ReadonlyMap<string, LoweredColumns>
  /** Undefined: none are kept. */
  readonly snapshotEvery: number | undefined
  readonly version: number
}

export const aggregateDefinitions = new DefinitionKind<AggregateDefinition>('aggregate')

/** What the handle of a served aggregate has beside its commands. */
const ownNames: readonly string[] = ['name', 'events', 'aborts', 'tables', 'load']
const inputNames: readonly string[] = ['id', 'expectedVersion']
const payloadNames: readonly string[] = ['id', 'version']
const snapshotEveryDefault = 100

/**
 * Declares an aggregate: the events that it is made of, what they come to, and what may happen next.
 *
 * ```ts
 * const cart = aggregate('cart', {
 *   id: column.text(),
 *   events: { added: { product: column.text(), quantity: column.int().positive() } },
 *   initial: () => ({ quantity: 0 }),
 *   evolve: { added: (state, { quantity }) => ({ quantity: state.quantity + quantity }) },
 *   decide: {
 *     add: {
 *       input: { product: column.text(), quantity: column.int().positive() },
 *       run: (state, input) => ({ type: 'added', payload: input }),
 *     },
 *   },
 * })
 * const shop = service('shop', { aggregates: { cart } })
 * // db.call(shop.aggregates.cart.add, { id: 'ann', product: 'tea', quantity: 2 })
 * ```
 */
export function aggregate<
  const N extends string,
  I extends Column<any, any, never>,
  E extends Readonly<Record<string, EventSource>>,
  S,
  D extends { readonly [C in keyof D]: Columns },
  A extends Readonly<Record<string, Columns>> = {},
>(
  name: N,
  definition: {
    /** What names a stream: its rows are in the partition of this value. */
    readonly id: I
    /** Columns, or a history: `event({ … }).became({ … }, upcast)`. */
    readonly events: E
    /** Reasons of `it.abort`; without, any word will do. */
    readonly aborts?: A | undefined
    /** The state before the first event: plain data. */
    readonly initial: () => S
    /** The state after an event. Pure: it answers another one and changes nothing. */
    readonly evolve: { readonly [T in keyof E]: (state: S, payload: Readonly<Read<ColumnsOf<E[T]>>>, at: EventMoment<I[typeof shape]['value']>) => S }
    /** Commands: from the state and an input to events. */
    readonly decide: { readonly [C in keyof D]: Command<D[C], I[typeof shape]['value'], E, S, A> }
    /** After so many events of a stream its state is kept, and loading begins there. `false`: never. Default: 100. */
    readonly snapshotEvery?: number | false | undefined
    /** Of `evolve` and of the state. Snapshots of another version are made anew from the events. Default: 1. */
    readonly version?: number | undefined
  },
): Aggregate<{ id: I; events: E; state: S; commands: D; aborts: A }, N> {
  const defined = defineAggregate(name, definition)
  return Object.freeze(aggregateDefinitions.attach({ name }, defined)) as never
}

/** What it remembers of its events is of no subject but its own: the state has a part of every one. */
function mustBeOfItsId(columns: LoweredColumns, what: string): void {
  const [ordinal] = subjectColumns(columns)
  if (ordinal === undefined) return
  throw invalidDefinition(`Column '${columns.columns[ordinal]!.name}' of ${what} cannot be a subject: give the id of the aggregate .subject(), and db.erase() takes the whole aggregate away.`)
}

function defineAggregate(name: unknown, definition: unknown): AggregateDefinition {
  checkName(name, 'an aggregate')
  const what = `aggregate '${name}'`
  const options = checkOptions(definition, what, ['id', 'events', 'aborts', 'initial', 'evolve', 'decide', 'snapshotEvery', 'version'])
  const { initial, snapshotEvery = snapshotEveryDefault, version = 1 } = options
  lowerColumns({ id: options['id'] }, `the id of ${what}`, 'record')
  const sources = new Map<string, unknown>()
  const events = new Map<string, EventShapes>()
  for (const [event, source] of entriesOf(options['events'], `The events of ${what}`)) {
    checkName(event, `an event of ${what}`)
    sources.set(event, source)
    const shapes = new EventShapes(`${name}.${event}`, source)
    events.set(event, shapes)
    for (const columns of shapes.all) {
      mustBeFree(columns, payloadNames, `event '${event}' of ${what}`)
      mustBeOfItsId(columns, `event '${event}' of ${what}`)
    }
  }
  if (events.size === 0) throw invalidDefinition(`${what} needs events: events: { added: { product: column.text() } }.`)
  checkFunction(initial, `initial of ${what}`)
  mustBePlain(initial as () => unknown, what)
  if (snapshotEvery !== false && !isCount(snapshotEvery)) throw invalidDefinition(`snapshotEvery of ${what} is a number of events, or false, not ${shown(snapshotEvery)}.`)
  if (!isCount(version)) throw invalidDefinition(`version of ${what} is a whole number from 1, not ${shown(version)}.`)
  return {
    name,
    service: undefined,
    id: options['id'],
    sources,
    events,
    initial: initial as () => unknown,
    evolve: foldsOf(options['evolve'], events, what),
    commands: commandsOf(options['decide'], what),
    aborts: abortsOf(options['aborts'], what),
    snapshotEvery: snapshotEvery === false ? undefined : (snapshotEvery as number),
    version: version as number,
  }
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) < 2 ** 31

function mustBePlain(initial: () => unknown, what: string): void {
  let state: unknown
  try {
    state = initial()
  } catch (cause) {
    throw invalidDefinition(`initial of ${what} threw: see cause.`, undefined, cause)
  }
  if (state === undefined) throw invalidDefinition(`initial of ${what} answers nothing: let it answer the state before the first event.`)
  const plain = plainCopy(state)
  if ('wrong' in plain) throw invalidDefinition(`initial of ${what} is no plain data (${plain.wrong}), so it could not be kept: use objects and arrays.`)
}

function mustBeFree({ columns }: LoweredColumns, names: readonly string[], what: string): void {
  const taken = columns.find(({ name }) => names.includes(name))
  if (taken !== undefined) throw invalidDefinition(`Column '${taken.name}' of ${what} needs another name: the aggregate puts its own ${taken.name} there.`)
}

function foldsOf(evolve: unknown, events: ReadonlyMap<string, unknown>, what: string): ReadonlyMap<string, Fold> {
  const folds = new Map<string, Fold>()
  for (const [event, fold] of entriesOf(evolve, `evolve of ${what}`)) {
    if (!events.has(event)) throw invalidDefinition(`evolve of ${what} has '${event}', which is none of its events: ${[...events.keys()].join(', ')}.`)
    checkFunction(fold, `evolve.${event} of ${what}`)
    folds.set(event, fold as unknown as Fold)
  }
  for (const event of events.keys()) if (!folds.has(event)) throw invalidDefinition(`evolve of ${what} lacks '${event}': say what it does to the state, if nothing: (state) => state.`)
  return folds
}

function commandsOf(decide: unknown, what: string): ReadonlyMap<string, CommandDefinition> {
  const commands = new Map<string, CommandDefinition>()
  for (const [name, command] of entriesOf(decide, `decide of ${what}`)) {
    checkName(name, `a command of ${what}`)
    if (ownNames.includes(name)) throw invalidDefinition(`A command of ${what} cannot be '${name}': every aggregate has that itself.`)
    const of = `command '${name}' of ${what}`
    const { input = {}, run } = checkOptions(command, of, ['input', 'run'])
    checkFunction(run, `run of ${of}`)
    const lowered = lowerColumns(input, `the input of ${of}`, 'record')
    mustBeFree(lowered, inputNames, `the input of ${of}`)
    commands.set(name, { name, columns: input as Readonly<Record<string, unknown>>, lowered, run: run as unknown as Decide })
  }
  return commands
}

function abortsOf(aborts: unknown, what: string): ReadonlyMap<string, LoweredColumns> {
  const reasons = new Map<string, LoweredColumns>()
  for (const [reason, columns] of entriesOf(aborts, `The aborts of ${what}`)) {
    checkName(reason, `an abort reason of ${what}`)
    reasons.set(reason, lowerColumns(columns, `abort reason '${reason}' of ${what}`, 'record'))
  }
  return reasons
}
