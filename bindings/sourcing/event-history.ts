/**
 * How an event has changed: `event({ v1 }).became({ v2 }, upcast)`, in the order of its life.
 *
 * What was recorded stays as it is. Each recorded event carries the number of the shape that it was written in (1, 2, …), and on its
 * way to whoever reads it, it goes through the steps behind that number. A step sees an event of the shape before, whole, and what
 * it answers is checked against the columns of its own.
 */
import { SluiceError } from '../../engine/base/errors.js'
import { compileRecordCodec, type RecordCodec } from '../../engine/index.js'
import type { EventUpcast } from '../../engine/schema/descriptor.js'
import { checkFunction, DefinitionKind, shown } from '../schema/definition.js'
import type { Columns, Read, Write } from '../schema/infer.js'
import { lowerColumns, type LoweredColumns } from '../schema/lower-columns.js'
import type { shape } from '../schema/shape.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

/** The shapes that an event has had; the last one is what it is today. */
export interface EventHistory<C extends Columns = any> {
  readonly [shape]: C
  /** From now on it has these columns. `upcast` makes an event of the shape before into one of this. Pure: it sees the event only. */
  became<N extends Columns>(columns: N, upcast: (old: Readonly<Read<C>>) => Write<N>): EventHistory<N>
}
/** An event of an aggregate: its columns, or its history. */
export type EventSource = Columns | EventHistory
export type ColumnsOf<E> = E extends EventHistory<infer C> ? C : E extends Columns ? E : never

/**
 * An event whose columns have changed, or will: its first shape.
 *
 * ```ts
 * event({ product: column.text() })
 *   .became({ product: column.text(), quantity: column.int() }, (old) => ({ ...old, quantity: 1 }))
 * ```
 */
export function event<C extends Columns>(columns: C): EventHistory<C> {
  return new HistoryHandle([{ columns, upcast: undefined }]) as unknown as EventHistory<C>
}

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

interface DeclaredStep {
  readonly columns: unknown
  readonly upcast: ((old: never) => unknown) | undefined
}

const histories = new DefinitionKind<readonly DeclaredStep[]>('event history')

class HistoryHandle {
  readonly #steps: readonly DeclaredStep[]

  constructor(steps: readonly DeclaredStep[]) {
    this.#steps = steps
    Object.freeze(histories.attach(this, steps))
  }

  became(columns: unknown, upcast: unknown): HistoryHandle {
    checkFunction(upcast, 'The second argument of became()')
    return new HistoryHandle([...this.#steps, { columns, upcast }])
  }
}

interface Step {
  readonly columns: LoweredColumns
  readonly upcast: ((old: never) => unknown) | undefined
}
type Payload = Readonly<Record<string, unknown>>

/** What is read of an event: today's columns, whatever it was when it was written. */
export class EventShapes {
  /** The full name, for messages. */
  readonly #name: string
  readonly #steps: readonly Step[]
  readonly #codecs: RecordCodec[] = []
  readonly #filled: (readonly (readonly [name: string, value: unknown])[])[] = []

  constructor(name: string, source: unknown) {
    this.#name = name
    const declared = histories.of(source) ?? [{ columns: source, upcast: undefined }]
    this.#steps = declared.map(({ columns, upcast }) => ({ columns: lowerColumns(columns, `event '${name}'`, 'record'), upcast }))
  }

  /** The number of today's shape, from 1. */
  get newest(): number {
    return this.#steps.length
  }
  /** Today's. */
  get columns(): LoweredColumns {
    return this.#steps[this.newest - 1]!.columns
  }

  /** Of every shape that it has had. */
  get all(): readonly LoweredColumns[] {
    return this.#steps.map(({ columns }) => columns)
  }

  /** A payload as it is recorded: checked, with defaults and nulls filled in. `INVALID_INPUT` where it is none. */
  normalize(payload: unknown): Payload {
    return this.#codecOf(this.newest).normalize(payload === undefined ? {} : payload)
  }

  /** A recorded payload as it is today. */
  read(payload: Payload, number: number): Payload {
    if (number > this.newest || number < 1) {
      throw SluiceError.of('INVALID_USE', `Event "${this.#name}" was recorded in shape ${number}, and the application knows ${this.newest}: it is older than its data.`, { details: { event: this.#name, shape: number } })
    }
    let value = this.#fill(payload, number)
    for (let n = number + 1; n <= this.newest; n += 1) value = this.#step(value, n)
    return value
  }

  #step(old: Payload, number: number): Payload {
    try {
      return this.#codecOf(number).normalize((this.#steps[number - 1]!.upcast as (old: Payload) => unknown)(old))
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : shown(cause)
      throw SluiceError.of('PROCEDURE_FAILED', `The step of event "${this.#name}" from shape ${number - 1} to ${number} failed: ${why}`, { cause, details: { event: this.#name, shape: number - 1 } })
    }
  }

  /** Columns may have come to a shape without a step, where a null or a default stands for them. */
  #fill(payload: Payload, number: number): Payload {
    const fillings = (this.#filled[number - 1] ??= this.#steps[number - 1]!.columns.columns.flatMap(({ name, nullable, default: value }) =>
      nullable || value !== undefined ? [[name, value === undefined ? null : value] as const] : [],
    ))
    let filled: Record<string, unknown> | undefined
    for (const [name, value] of fillings) if (payload[name] === undefined) (filled ??= { ...payload })[name] = value
    return filled ?? payload
  }

  #codecOf(number: number): RecordCodec {
    const { columns } = this.#steps[number - 1]!
    return (this.#codecs[number - 1] ??= compileRecordCodec({ columns: columns.columns }, columns, `the payload of "${this.#name}"`))
  }
}

/** How events in the log become of today's shape; `beside`: columns that are no part of any shape. */
export function upcastOf(shapes: EventShapes, beside: readonly string[] = []): EventUpcast | undefined {
  if (shapes.newest === 1) return undefined
  return (payload, shape) => {
    const kept: Record<string, unknown> = {}
    const old: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(payload)) (beside.includes(name) ? kept : old)[name] = value
    return { ...kept, ...shapes.read(old, shape) }
  }
}
