/** What is recorded of a service: what `app()` takes, and lowers to the program of the engine. */
import type { OpenPart, PartKind } from '../../engine/schema/descriptor.js'
import { DefinitionKind } from '../schema/definition.js'
import type { LoweredColumns } from '../schema/lower-columns.js'
import type { ReplicaDefinition } from '../schema/replica.js'
import type { TableDefinition } from '../schema/table.js'
import type { EventDefinition } from './event.js'
import type { ProcedureDefinition } from './procedure.js'
import type { WorkflowDefinition } from './workflow.js'

export interface HandlerDefinition {
  /** The full name, `'bank.book'`. */
  readonly name: string
  /** One, or all of several that it `joins`. */
  readonly events: readonly (() => unknown)[]
  readonly joins: boolean
  readonly atomic: boolean
  readonly emits: (() => unknown) | undefined
  readonly partition: ((payload: never) => unknown) | undefined
  readonly run: (tx: never, event: never) => unknown
}

export interface ServiceDefinition {
  readonly name: string
  readonly tables: ReadonlyMap<string, TableDefinition>
  readonly events: ReadonlyMap<string, EventDefinition>
  readonly aborts: ReadonlyMap<string, LoweredColumns>
  /** Tables of other services, by the names that this one gives them. */
  readonly reads: ReadonlyMap<string, () => unknown>
  readonly replicas: ReadonlyMap<string, ReplicaDefinition>
  readonly procedures: Map<string, ProcedureDefinition>
  readonly workflows: Map<string, WorkflowDefinition>
  readonly handlers: Map<string, HandlerDefinition>
  /** Its aggregates and projections, each a service of its own, by kind and name. */
  readonly parts: ReadonlyMap<PartKind, ReadonlyMap<string, ServiceDefinition>>
  /** It is such a part: what its owner has of it. */
  readonly opens: OpenPart | undefined
  /** Where the first `app()` that took the service was called. */
  sealedBy: string | undefined
}

export const serviceDefinitions = new DefinitionKind<ServiceDefinition>('service')
