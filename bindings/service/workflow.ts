/**
 * Workflows: what runs over many transactions. Their types are part of the contract; this version records a
 * definition and `app()` refuses it.
 */
import { DefinitionKind } from '../schema/definition.js'
import type { CallWith, Columns, Input, Payload, Read, Write } from '../schema/infer.js'
import type { shape } from '../schema/shape.js'
import type { Duration, Signal, SignalLike } from '../signal.js'
import type { Clock } from './clock.js'
import type { Procedure } from './procedure.js'

export type Messages = Readonly<Record<string, Columns>>

export interface Workflow<Input = any, Output = any, M extends Messages = any> {
  readonly [shape]: { readonly input: Input; readonly output: Output; readonly messages: M }
  /** The full name, `'shop.fulfil'`. */
  readonly name: string
}

type MessageName<M> = {} extends M ? string : keyof M & string
type Message<M, N> = N extends keyof M ? (M[N] extends Columns ? Read<M[N]> : unknown) : unknown
type MessageIn<M, N> = N extends keyof M
  ? M[N] extends Columns
    ? Payload<Write<M[N]>>
    : [payload?: unknown]
  : [payload?: unknown]
/** How many attempts, and how long to wait between them: first, times factor, never more than most. */
export type Retries =
  | number
  | {
      readonly attempts: number
      readonly first?: Duration | undefined
      readonly factor?: number | undefined
      readonly most?: Duration | undefined
    }

export interface WorkflowStep {
  /** The same in every attempt: pass it on as an idempotency key. */
  readonly key: string
  readonly signal: Signal
  /** From 1. */
  readonly attempt: number
}
export interface WorkflowContext<M extends Messages = {}> extends Clock {
  readonly id: string
  /** One transaction, exactly once. */
  call<I, O>(procedure: Procedure<I, O>, ...input: Input<I>): Promise<O>
  /** Something outside the database; its result is recorded. */
  step<R>(
    name: string,
    run: (context: WorkflowStep) => R | PromiseLike<R>,
    options?: { readonly retries?: Retries | undefined; readonly timeout?: Duration | undefined },
  ): Promise<R>
  sleep(duration: Duration): Promise<void>
  /** The next message of this name; `undefined` on time-out. */
  receive<N extends MessageName<M>>(name: N): Promise<Message<M, N>>
  receive<N extends MessageName<M>>(
    name: N,
    options: { readonly timeout: Duration },
  ): Promise<Message<M, N> | undefined>
  start<I, O, N extends Messages>(
    workflow: Workflow<I, O, N>,
    ...rest: CallWith<I, { readonly id?: string | undefined }>
  ): Promise<Run<O, N>>
}

export interface RunStatus {
  readonly state: 'running' | 'waiting' | 'done' | 'failed' | 'cancelled'
  readonly step: string | undefined
  /** Milliseconds since the epoch. */
  readonly since: number
}
/** The handle of one run of a workflow. */
export interface Run<Output = any, M extends Messages = any> {
  readonly id: string
  result(options?: { readonly signal?: SignalLike | undefined }): Promise<Output>
  status(): Promise<RunStatus>
  /** Nothing to do once it has ended. */
  cancel(): Promise<void>
  send<N extends MessageName<M>>(name: N, ...payload: MessageIn<M, N>): Promise<void>
}

export interface WorkflowDefinition {
  readonly name: string
  readonly service: string
}

export const workflowDefinitions = new DefinitionKind<WorkflowDefinition>('workflow')

export function workflowHandle(definition: WorkflowDefinition): Workflow {
  return Object.freeze(workflowDefinitions.attach({ name: definition.name }, definition)) as unknown as Workflow
}
