/** What `httpHandler` takes, and what becomes of it: names from outside are looked up in maps (R64). */
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { eventOrdinal, procedureOrdinal, tableOrdinal } from '../catalog.js'
import type { Description, EventDescription, ProcedureDescription, TableDescription } from '../describe/description.js'
import type { Program } from '../../engine/schema/descriptor.js'
import { shown } from '../schema/definition.js'
import type { Table } from '../schema/table.js'
import type { EventType } from '../service/event.js'
import type { Procedure } from '../service/procedure.js'
import type { HttpRequest, HttpResponse } from './fetch-types.js'

/** What may be reached from outside. What is not named here is not there: 404. */
export interface Expose {
  /** Default: `'all'`. */
  readonly procedures?: 'all' | readonly Procedure[] | undefined
  /** Tables that can be read. Default: none. */
  readonly tables?: readonly Table[] | undefined
  /** Tables whose changes are in the stream. Default: none. */
  readonly changes?: readonly Table[] | undefined
  /** Events that are in the stream. Default: none. */
  readonly events?: readonly EventType[] | undefined
}

/** What a request asks for. */
export type Operation =
  | {
      readonly kind: 'call'
      readonly procedure: string
      readonly readonly: boolean
      readonly requestId: string | undefined
      /** Reads the body, once: what the procedure will be called with, not checked yet. */
      readonly input: () => Promise<unknown>
    }
  | { readonly kind: 'read'; readonly table: string; readonly key: readonly unknown[] | undefined; readonly prefix: readonly unknown[] | undefined }
  | { readonly kind: 'changes'; readonly tables: readonly string[]; readonly events: readonly string[] }
  | { readonly kind: 'openapi' }

/** Bounds, in milliseconds and bytes; each can be lowered, and up to its maximum raised. */
export interface HttpLimits {
  /** Bytes of a body: 413 above. Default: 8 MiB, which is also the most. */
  readonly bodyBytes?: number | undefined
  /** How long a body may take to arrive: 408. Default: 30 seconds. */
  readonly bodyMs?: number | undefined
  /** How long a call may wait for its batch: 504, and it has not run. Default: 30 seconds. */
  readonly callMs?: number | undefined
  /** Rows of a page. Default: 1,000, which is also the most. */
  readonly pageRows?: number | undefined
  /** Streams that are open at once: 503 above. Default: 1,024. */
  readonly streams?: number | undefined
  /** A stream without news says so this often. Default: 15 seconds. */
  readonly heartbeatMs?: number | undefined
}

export interface HttpOptions {
  /** What addresses begin with: `'/api'`. Default: nothing. */
  readonly basePath?: string | undefined
  readonly expose?: Expose | undefined
  /**
   * Asked before anything is done. `true`: go on; `false`: 403; a Response: that is the answer. Default: everything that is exposed is
   * allowed.
   */
  readonly authorize?: ((request: HttpRequest, operation: Operation) => boolean | HttpResponse | PromiseLike<boolean | HttpResponse>) | undefined
  /** Told what is answered with a status of 500, and what ended a stream: clients do not see its words. */
  readonly onError?: ((error: unknown, request: HttpRequest) => void) | undefined
  /** Of the OpenAPI document. Default: the names of the services, `'1'`. */
  readonly info?: { readonly title?: string | undefined; readonly version?: string | undefined; readonly description?: string | undefined } | undefined
  readonly limits?: HttpLimits | undefined
}

export interface Exposed {
  readonly procedures: ReadonlyMap<string, { readonly handle: Procedure; readonly description: ProcedureDescription }>
  readonly tables: ReadonlyMap<string, { readonly handle: Table; readonly description: TableDescription }>
  readonly changes: ReadonlyMap<string, { readonly handle: Table; readonly description: TableDescription }>
  readonly events: ReadonlyMap<string, { readonly handle: EventType; readonly description: EventDescription }>
}
export type Bounds = { readonly [L in keyof HttpLimits]-?: number }

const optionNames = new Set(['basePath', 'expose', 'authorize', 'onError', 'info', 'limits'])
const exposeNames = new Set(['procedures', 'tables', 'changes', 'events'])
const infoNames = new Set(['title', 'version', 'description'])
/** Default and maximum. */
const bounds: Readonly<Record<keyof HttpLimits, readonly [number, number]>> = {
  bodyBytes: [limits.httpBodyBytesMax, limits.httpBodyBytesMax],
  bodyMs: [limits.httpBodyMsMax, 2 ** 31 - 1],
  callMs: [limits.httpCallMsMax, 2 ** 31 - 1],
  pageRows: [limits.httpPageRowsMax, limits.httpPageRowsMax],
  streams: [limits.httpStreamsMax, 2 ** 31 - 1],
  heartbeatMs: [limits.httpHeartbeatMs, 2 ** 31 - 1],
}

export const wrongOption = (message: string): SluiceError => SluiceError.of('INVALID_USE', message)

function mustKnow(value: unknown, what: string, known: ReadonlySet<string>): void {
  if (typeof value !== 'object' || value === null) throw wrongOption(`${what} is an object, not ${shown(value)}.`)
  for (const name of Object.keys(value)) if (!known.has(name)) throw wrongOption(`${what} has no "${name}"; it has ${[...known].join(', ')}.`)
}

/** Refuses wrong options when the handler is made. */
export function checkOptions(options: HttpOptions): { readonly basePath: string; readonly bounds: Bounds } {
  mustKnow(options, 'The second argument of httpHandler()', optionNames)
  const { basePath = '', authorize, onError, info, limits: given = {} } = options
  if (typeof basePath !== 'string' || !/^(?:\/[\w.~-]+)*$/.test(basePath)) throw wrongOption(`The option basePath is like '/api', without a slash at its end, not ${shown(basePath)}.`)
  for (const [name, hook] of [['authorize', authorize], ['onError', onError]] as const) {
    if (hook !== undefined && typeof hook !== 'function') throw wrongOption(`The option ${name} is a function, not ${shown(hook)}.`)
  }
  if (info !== undefined) mustKnow(info, 'The option info', infoNames)
  mustKnow(given, 'The option limits', new Set(Object.keys(bounds)))
  const chosen = Object.entries(bounds).map(([name, [usual, most]]): [string, number] => {
    const value = given[name as keyof HttpLimits] ?? usual
    if (!Number.isInteger(value) || value < 1 || value > most) throw wrongOption(`The limit ${name} is a whole number from 1 to ${most}, not ${shown(value)}.`)
    return [name, value]
  })
  return { basePath, bounds: Object.fromEntries(chosen) as unknown as Bounds }
}

export function exposedOf(expose: Expose | undefined, program: Program, description: Description): Exposed {
  const given = expose ?? {}
  mustKnow(given, 'The option expose', exposeNames)
  const tables = (name: string, list: readonly Table[] | undefined) =>
    describedOf(handlesOf<Table>(name, list), description.tables, (handle) => program.tables[tableOrdinal(program, handle)]!)
  const procedures = given.procedures ?? 'all'
  const called = procedures === 'all' ? program.procedures.map(({ handle }) => handle as Procedure) : handlesOf<Procedure>('procedures', procedures)
  return {
    procedures: describedOf(called, description.procedures, (handle) => program.procedures[procedureOrdinal(program, handle)]!),
    tables: tables('tables', given.tables),
    changes: tables('changes', given.changes),
    events: describedOf(handlesOf<EventType>('events', given.events), description.events, (handle) => program.events[eventOrdinal(program, handle)]!),
  }
}

function handlesOf<Handle>(name: string, list: unknown): readonly Handle[] {
  if (list === undefined) return []
  if (!Array.isArray(list)) throw wrongOption(`expose.${name} is a list of definitions, not ${shown(list)}.`)
  return list as readonly Handle[]
}

/** Definitions with their descriptions, by name: a description has fewer of them than the program. What it leaves out is nobody's to reach. */
function describedOf<Handle, One extends { readonly name: string }>(
  handles: readonly Handle[],
  descriptions: readonly One[],
  partOf: (handle: Handle) => { readonly descriptor: { readonly name: string } },
): ReadonlyMap<string, { readonly handle: Handle; readonly description: One }> {
  const byName = new Map(descriptions.map((one) => [one.name, one]))
  return new Map(
    handles.flatMap((handle) => {
      const { name } = partOf(handle).descriptor
      const description = byName.get(name)
      return description === undefined ? [] : [[name, { handle, description }] as const]
    }),
  )
}
