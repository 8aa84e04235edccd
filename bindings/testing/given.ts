/**
 * Given events, when a command, then events: an aggregate without a database.
 *
 * What runs is the aggregate's own `decide` and `evolve` through the rules that the database has (sourcing/aggregate-rules.ts): inputs and
 * payloads are checked and filled in, older shapes are upcast. What the database cannot notice in time is noticed here: a state that is no plain
 * data, or that `decide` or `evolve` changed in place. Every state is a frozen copy.
 */
import { SluiceError } from '../../engine/base/errors.js'
import type { ErrorCode } from '../../engine/base/errors.js'
import { compileRecordCodec } from '../../engine/index.js'
import { columnDefinitions } from '../schema/column.js'
import { shown } from '../schema/definition.js'
import type { Input, Write } from '../schema/infer.js'
import { plainCopy } from '../schema/plain.js'
import type { Flat, shape } from '../schema/shape.js'
import { type Aggregate, type AggregateDefinition, aggregateDefinitions, type AggregateShape, type Decision, type NewEvent } from '../sourcing/aggregate.js'
import { AggregateRules, type CheckedEvent, type Payload } from '../sourcing/aggregate-rules.js'
import { difference, printed, UnexpectedOutcome } from './unexpected.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

/** What has happened: an event as it is today, or one of an older shape, as it was recorded. */
export type GivenEvent<E extends AggregateShape['events']> = NewEvent<E> | { readonly type: keyof E & string; readonly shape: number; readonly payload: Readonly<Record<string, unknown>> }

export interface GivenOptions<Id = unknown> {
  /** Default: `'id'`, or 1 where ids are numbers. */
  readonly id?: Id | undefined
  /** What `it.now` is, and the time of the events: milliseconds since the epoch. Default: the first second of 2020. */
  readonly now?: number | undefined
  /** Where `it.random()` and `it.uuid()` begin. Default: 1. */
  readonly seed?: number | undefined
}

export interface Given<S extends AggregateShape> {
  /** What the events come to. */
  readonly state: S['state']
  /** The events come to this state. */
  thenState(state: S['state']): void
  /** Runs a command by its name. */
  when<C extends keyof S['commands'] & string>(command: C, ...input: Input<Flat<Write<S['commands'][C]>>>): When<S>
}
export interface When<S extends AggregateShape> {
  /** It is these events that happen: all of them, in this order. Nothing: `[]`. */
  then(events: NewEvent<S['events']> | readonly NewEvent<S['events']>[]): Then<S>
  /** It aborts for this reason, and with these details where they are given. */
  thenAborts(reason: [keyof S['aborts']] extends [never] ? string : keyof S['aborts'] & string, details?: Readonly<Record<string, unknown>>): void
  /** It is refused: `INVALID_INPUT` for inputs and payloads that break a rule. */
  thenFails(code: ErrorCode): void
  /** Whatever happened, this is the state behind it. */
  thenState(state: S['state']): void
}
export interface Then<S extends AggregateShape> {
  /** … and this is the state behind them. */
  thenState(state: S['state']): void
}

/**
 * Given these events, in order, of one stream.
 *
 * ```ts
 * given(cart, [{ type: 'added', payload: { product: 'tea', quantity: 1 } }])
 *   .when('remove', { product: 'tea' })
 *   .then([{ type: 'removed', payload: { product: 'tea' } }])
 * ```
 */
export function given<S extends AggregateShape>(
  aggregate: Aggregate<S>,
  events: readonly GivenEvent<S['events']>[] = [],
  options: GivenOptions<S['id'][typeof shape]['value']> = {},
): Given<S> {
  const definition = aggregateDefinitions.of(aggregate)
  if (definition === undefined) throw SluiceError.of('INVALID_USE', `given() takes what aggregate() answered, not ${shown(aggregate)}.`)
  return new Story(definition, events, options) as unknown as Given<S>
}

// ── the story ───────────────────────────────────────────────────────────────────────────────────────────

const nowDefault = Date.UTC(2020, 0, 1)
const optionNames: readonly string[] = ['id', 'now', 'seed']

class Story {
  readonly #rules: AggregateRules
  readonly #options: GivenOptions
  readonly #id: unknown
  readonly #now: number
  readonly #version: number
  readonly state: unknown

  constructor(definition: AggregateDefinition, events: readonly unknown[], options: GivenOptions) {
    for (const name of Object.keys(options)) if (!optionNames.includes(name)) throw SluiceError.of('INVALID_USE', `given() has no option "${name}"; it has ${optionNames.join(', ')}.`)
    this.#rules = new AggregateRules(definition)
    this.#options = options
    this.#now = options.now ?? nowDefault
    this.#id = options.id ?? (columnDefinitions.of(definition.id)!.type === 'text' ? 'id' : 1)
    this.#version = events.length
    this.state = this.#foldAll(plain(definition.initial(), `initial of ${definition.name}`), events.map((event) => this.#recorded(event)), 0)
  }

  thenState(state: unknown): void {
    mustBeState(this.#rules.name, state, this.state)
  }

  when(name: string, input: unknown = {}): Outcome {
    const { commands } = this.#rules.definition
    const command = commands.get(name)
    if (command === undefined) throw SluiceError.of('INVALID_USE', `Aggregate "${this.#rules.name}" has no command ${shown(name)}; it has ${[...commands.keys()].join(', ')}.`)
    let events: readonly CheckedEvent[] = []
    let error: unknown
    try {
      const { lowered } = command
      const checked = compileRecordCodec({ columns: lowered.columns }, lowered, `the input of "${this.#rules.name}.${name}"`).normalize(input) as Payload
      events = this.#rules.decide(command, this.state, checked, this.#decision())
    } catch (thrown) {
      error = thrown
    }
    const after = error === undefined ? this.#foldAll(this.state, events, this.#version) : this.state
    return new Outcome(this.#rules, name, events, error, after)
  }

  #foldAll(from: unknown, events: readonly CheckedEvent[], version: number): unknown {
    let state = from
    events.forEach(({ type, payload }, n) => {
      state = plain(this.#rules.fold(state, type, payload, { id: this.#id, version: version + n + 1, time: this.#now }), `what evolve.${type} of ${this.#rules.name} answered`)
    })
    return state
  }

  #recorded(event: unknown): CheckedEvent {
    const { shape, ...rest } = event as { readonly shape?: number }
    if (shape === undefined) return this.#rules.checked(event, 'given()')[0]!
    const { type, payload } = rest as CheckedEvent
    return { type, payload: this.#rules.shapesOf(type).read(payload, shape) }
  }

  #decision(): Decision {
    let drawn = this.#options.seed ?? 1
    const random = (): number => {
      drawn = (Math.imul(drawn, 1_664_525) + 1_013_904_223) >>> 0
      return drawn / 2 ** 32
    }
    const digits = (count: number): string => Array.from({ length: count }, () => Math.floor(random() * 16).toString(16)).join('')
    return {
      id: this.#id,
      version: this.#version,
      now: this.#now,
      random,
      uuid: () => `${digits(8)}-${digits(4)}-4${digits(3)}-8${digits(3)}-${digits(12)}`,
      abort: (reason: string, details?: object) => this.#abort(reason, details),
    }
  }

  #abort(reason: string, details: object = {}): never {
    const { aborts } = this.#rules.definition
    const declared = aborts.get(reason)
    if (declared === undefined && aborts.size > 0) {
      throw SluiceError.of('INVALID_USE', `it.abort("${reason}") is not declared by aggregate "${this.#rules.name}": add it to \`aborts\`, or use one of ${[...aborts.keys()].join(', ')}.`)
    }
    const kept = declared === undefined ? details : compileRecordCodec({ columns: declared.columns }, declared, `the details of "${reason}"`).normalize(details)
    throw SluiceError.of('ABORTED', `The command aborted: ${reason}.`, { reason, details: kept as Readonly<Record<string, unknown>> })
  }
}

class Outcome {
  readonly #rules: AggregateRules
  readonly #command: string
  readonly #events: readonly CheckedEvent[]
  readonly #error: unknown
  readonly #state: unknown

  constructor(rules: AggregateRules, command: string, events: readonly CheckedEvent[], error: unknown, state: unknown) {
    this.#rules = rules
    this.#command = command
    this.#events = events
    this.#error = error
    this.#state = state
  }

  /** A promise is awaited by calling its `then`: whoever awaits a story has not ended it. */
  then(expected: unknown, reject?: unknown): { thenState(state: unknown): void } | undefined {
    if (typeof expected === 'function') {
      const unfinished = SluiceError.of('INVALID_USE', 'There is nothing to await: end the story with .then([events]), .thenAborts(reason), .thenFails(code) or .thenState(state).')
      if (typeof reject !== 'function') throw unfinished
      ;(reject as (error: unknown) => void)(unfinished)
      return undefined
    }
    this.#mustHaveRun()
    const [wanted, came] = [printed(this.#rules.checked(expected, 'then()')), printed(this.#events)]
    if (wanted !== came) throw new UnexpectedOutcome(`${this.#what} happened otherwise (- expected, + happened):\n${difference(wanted, came)}`, expected, this.#events)
    return { thenState: (state) => this.thenState(state) }
  }

  thenState(state: unknown): void {
    this.#mustHaveRun()
    mustBeState(this.#rules.name, state, this.#state)
  }

  thenAborts(reason: string, details?: unknown): void {
    const error = this.#mustHaveFailed(`abort with ${reason}`)
    if (error.code !== 'ABORTED' || error.reason !== reason) throw new UnexpectedOutcome(`${this.#what} was to abort with ${reason}, and ended with ${endOf(error)}`, reason, error.reason ?? error.code)
    if (details === undefined) return
    const [wanted, came] = [printed(details), printed(error.details)]
    if (wanted !== came) throw new UnexpectedOutcome(`${this.#what} aborted with other details (- expected, + happened):\n${difference(wanted, came)}`, details, error.details)
  }

  thenFails(code: ErrorCode): void {
    const error = this.#mustHaveFailed(`fail with ${code}`)
    if (error.code !== code) throw new UnexpectedOutcome(`${this.#what} was to fail with ${code}, and ended with ${endOf(error)}`, code, error.code)
  }

  get #what(): string {
    return `Command ${this.#command} of "${this.#rules.name}"`
  }
  #mustHaveRun(): void {
    if (this.#error === undefined) return
    if (!SluiceError.is(this.#error)) throw this.#error
    throw new UnexpectedOutcome(`${this.#what} ended with ${endOf(this.#error)}`, this.#events, this.#error)
  }
  #mustHaveFailed(what: string): SluiceError {
    if (SluiceError.is(this.#error)) return this.#error
    if (this.#error !== undefined) throw this.#error
    throw new UnexpectedOutcome(`${this.#what} was to ${what}, and this happened:\n${printed(this.#events)}`, what, this.#events)
  }
}

const endOf = ({ code, reason, message, details }: SluiceError): string => (code === 'ABORTED' ? `ABORTED ${reason} ${printed(details)}` : `${code}: ${message}`)

function mustBeState(name: string, expected: unknown, actual: unknown): void {
  const [wanted, came] = [printed(expected), printed(actual)]
  if (wanted !== came) throw new UnexpectedOutcome(`The state of "${name}" is another (- expected, + is):\n${difference(wanted, came)}`, expected, actual)
}

/** As a snapshot keeps it, and frozen. */
function plain(state: unknown, what: string): unknown {
  const copied = plainCopy(state)
  if ('wrong' in copied) throw SluiceError.of('INVALID_USE', `The state is no plain data (${copied.wrong}), so it could not be kept: look at ${what}, and use objects and arrays.`)
  return copied.copy
}
