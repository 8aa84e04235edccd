/** Events and abort reasons: what a service announces, and why it refuses. */
import { SluiceError } from '../../engine/base/errors.js'
import type { EventUpcast } from '../../engine/schema/descriptor.js'
import { DefinitionKind } from '../schema/definition.js'
import type { Columns, Read } from '../schema/infer.js'
import type { LoweredColumns } from '../schema/lower-columns.js'
import type { shape } from '../schema/shape.js'
import type { Position } from '../position.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

/** An event inside the transaction that emits it, which has no position yet. */
export interface Emitted<Name extends string = string, C extends Columns = any> {
  /** The full name, `'bank.transferred'`. */
  readonly type: Name
  readonly payload: Readonly<Read<C>>
}
/** An event in the log. */
export interface Delivered<Name extends string = string, C extends Columns = any> extends Emitted<Name, C> {
  readonly position: Position
  /** Milliseconds since the epoch: the time of its batch. */
  readonly time: number
}
/** An event of any type: its definition recognises it, `bank.events.transferred.is(event)`. */
export interface AnyEvent {
  readonly type: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly position: Position
  readonly time: number
}

export interface EventType<Name extends string = string, C extends Columns = any> {
  readonly [shape]: C
  /** The full name, `'bank.transferred'`. */
  readonly name: Name
  /** Tells whether an event is one of this type, and types it. */
  is(event: AnyEvent): event is Delivered<Name, C>
}

/** What `is` of an abort reason has found: the error, with typed details. */
export type AbortError<Name extends string, C extends Columns> = SluiceError & {
  readonly code: 'ABORTED'
  readonly reason: Name
  readonly details: Read<C>
}
export interface AbortType<Name extends string = string, C extends Columns = any> {
  readonly [shape]: C
  readonly name: Name
  /** Tells whether an error is an abort for this reason, and types its details. */
  is(error: unknown): error is AbortError<Name, C>
}

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

export interface EventDefinition {
  readonly name: string
  readonly service: string
  readonly columns: LoweredColumns
  /** Of the columns, from 1, and how older ones become of it. */
  readonly shape: number
  readonly upcast: EventUpcast | undefined
}

export const eventDefinitions = new DefinitionKind<EventDefinition>('event')

export function eventHandle(definition: EventDefinition): EventType {
  const { name } = definition
  const handle = { name, is: (event: AnyEvent | null | undefined) => event?.type === name }
  return Object.freeze(eventDefinitions.attach(handle, definition)) as unknown as EventType
}

export function abortHandle(name: string): AbortType {
  const handle = { name, is: (error: unknown) => SluiceError.is(error, 'ABORTED') && error.reason === name }
  return Object.freeze(handle) as unknown as AbortType
}
