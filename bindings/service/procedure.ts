/** Procedures: what a service does, one transaction each. */
import type { ProcedureDescriptor } from '../../engine/schema/descriptor.js'
import { DefinitionKind, invalidDefinition, shown } from '../schema/definition.js'
import type { LoweredColumns } from '../schema/lower-columns.js'
import type { shape } from '../schema/shape.js'
import type { Accessor } from './table-handles.js'

export interface Procedure<Input = any, Output = any, Mode extends 'read' | 'write' = 'read' | 'write'> {
  readonly [shape]: { readonly input: Input; readonly output: Output; readonly mode: Mode }
  /** The full name, `'bank.transfer'`. */
  readonly name: string
}

/** What a procedure that writes reads: what stands in its place of the order, or what the batch before its own has left. */
export type Isolation = 'serializable' | 'snapshot'

type IsPromise = 'A procedure is synchronous: it must not return a promise.'
type IsLive = 'An accessor ends with its transaction: return its columns, or get(key) instead of row(key).'
/** The result of a procedure; where it cannot be one, a sentence that the compiler prints. */
export type Sync<R> = R extends PromiseLike<unknown> ? IsPromise : R extends Accessor ? IsLive : R

export interface ProcedureDefinition {
  /** The full name, `'bank.transfer'`. */
  readonly name: string
  readonly service: string
  readonly input: LoweredColumns
  readonly placed: ProcedureDescriptor['placed']
  readonly partition: ((input: never) => unknown) | undefined
  readonly partitions: ((input: never) => unknown) | undefined
  /** Runs on a snapshot and is never sequenced. */
  readonly readonly: boolean
  readonly isolation: Isolation
  readonly run: (tx: never, input: never) => unknown
  /** What the user holds; set when it is made. */
  handle: object | undefined
}

export const procedureDefinitions = new DefinitionKind<ProcedureDefinition>('procedure')

export function procedureHandle(definition: ProcedureDefinition): Procedure {
  const handle = Object.freeze(procedureDefinitions.attach({ name: definition.name }, definition))
  definition.handle = handle
  return handle as unknown as Procedure
}

export function isolationOf(given: unknown, isReadOnly: boolean, what: string): Isolation {
  if (given !== 'serializable' && given !== 'snapshot') throw invalidDefinition(`isolation of ${what} is 'serializable' or 'snapshot', not ${shown(given)}.`)
  if (given === 'snapshot' && isReadOnly) throw invalidDefinition(`${what} has readonly: true, so it reads a snapshot anyway: leave isolation out.`)
  return given
}
