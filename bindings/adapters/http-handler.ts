/**
 * A database over HTTP, as a function from Request to Response. It listens nowhere: mount it where requests come from.
 *
 *   POST /call/<service>/<procedure>      http-call.ts
 *   GET  /table/<service>/<table>         http-table.ts
 *   GET  /changes                         http-changes.ts
 *   GET  /openapi.json                    openapi.ts
 *
 * The way of a request: its address is looked up among what is exposed (404), its method (405) and parameters (400) are checked, then
 * `authorize` is asked (403), then the engine. So nobody learns more of what is not exposed than that there is nothing.
 *
 * Names from outside are looked up in maps and never as properties (R64).
 */
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import type { Program } from '../../engine/schema/descriptor.js'
import { shown } from '../schema/definition.js'
import { programKey } from '../database.js'
import type { Database } from '../database-types.js'
import { descriptionOf } from '../describe/describe.js'
import type { HttpHandler, HttpRequest, HttpResponse } from './fetch-types.js'
import { BodyReader } from './http-body.js'
import { CallPort } from './http-call.js'
import { ChangesPort } from './http-changes.js'
import { errorBody, errorResponse, HttpRefusal, jsonResponse, notThere, wrongAddress } from './http-error.js'
import { type Bounds, checkOptions, type Exposed, exposedOf, type HttpOptions, type Operation, wrongOption } from './http-options.js'
import { PastReads, TablePort } from './http-table.js'
import { openApiOf } from './openapi.js'

/**
 * Makes a handler for a database. Off unless mounted; procedures can be called, tables and the stream are there when `expose` names
 * them.
 *
 * ```ts
 * const handler = httpHandler(db, { expose: { tables: [bank.tables.account] }, authorize: (request) => isKnown(request) })
 * createServer(toNode(handler)).listen(8080)
 * ```
 */
export function httpHandler(db: Database, options: HttpOptions = {}): HttpHandler {
  const program = (db as unknown as Readonly<Record<symbol, Program | undefined>> | undefined)?.[programKey]
  if (program === undefined) throw wrongOption(`httpHandler() takes an open database, not ${shown(db)}.`)
  const { basePath, bounds } = checkOptions(options)
  const description = descriptionOf(program)
  const exposed = exposedOf(options.expose, program, description)
  const document = JSON.stringify(openApiOf({ description, exposed, basePath, info: options.info }))
  const handler = new Handler(db, options, basePath, bounds, exposed, document)
  return (request) => handler.handle(request)
}

/** What was found behind an address, before anybody was asked whether it may be used. */
interface Route {
  readonly methods: readonly string[]
  readonly prepare: (query: URLSearchParams) => Prepared
}
interface Prepared {
  readonly operation: Operation
  readonly run: () => Promise<HttpResponse> | HttpResponse
}

class Handler {
  readonly #db: Database
  readonly #options: HttpOptions
  readonly #basePath: string
  readonly #bounds: Bounds
  readonly #document: string
  readonly #calls: ReadonlyMap<string, CallPort>
  readonly #tables: ReadonlyMap<string, TablePort>
  readonly #changes: ChangesPort | undefined
  readonly #bodies: BodyReader
  readonly #past = new PastReads()

  constructor(db: Database, options: HttpOptions, basePath: string, bounds: Bounds, exposed: Exposed, document: string) {
    this.#db = db
    this.#options = options
    this.#basePath = basePath
    this.#bounds = bounds
    this.#document = document
    this.#calls = new Map([...exposed.procedures].map(([name, { handle, description }]) => [name, new CallPort(handle, description)]))
    this.#tables = new Map([...exposed.tables].map(([name, { handle, description }]) => [name, new TablePort(handle, description, bounds.pageRows)]))
    const hasStream = exposed.changes.size + exposed.events.size > 0
    this.#changes = hasStream ? new ChangesPort(exposed, bounds, (error, request) => this.#tell(error, request)) : undefined
    this.#bodies = new BodyReader(bounds.bodyBytes, bounds.bodyMs)
  }

  async handle(request: HttpRequest): Promise<HttpResponse> {
    try {
      return await this.#answer(request)
    } catch (error) {
      if (errorBody(error).status === 500) this.#tell(error, request)
      return errorResponse(error)
    }
  }

  async #answer(request: HttpRequest): Promise<HttpResponse> {
    if (request.url.length > limits.httpAddressLengthMax) {
      throw new HttpRefusal(414, SluiceError.of('INVALID_USE', `An address has at most ${limits.httpAddressLengthMax} characters.`))
    }
    const { pathname, searchParams } = new URL(request.url)
    const route = this.#routeOf(pathname, request)
    if (!route.methods.includes(request.method)) {
      throw new HttpRefusal(405, SluiceError.of('INVALID_USE', `This address takes ${route.methods.join(' and ')}.`), { allow: route.methods.join(', ') })
    }
    const { operation, run } = route.prepare(searchParams)
    const verdict = (await this.#options.authorize?.(request, operation)) ?? true
    if (verdict instanceof Response) return verdict
    // An object is true to JavaScript: only `true` opens the door.
    if (verdict !== true) throw new HttpRefusal(403, SluiceError.of('INVALID_USE', 'This is not allowed.'))
    return await run()
  }

  #routeOf(pathname: string, request: HttpRequest): Route {
    const [first, second, third, ...more] = this.#segmentsOf(pathname)
    const name = `${second ?? ''}.${third ?? ''}`
    if (more.length === 0 && third !== undefined) {
      const call = first === 'call' ? this.#calls.get(name) : undefined
      if (call !== undefined) return this.#callRoute(call, request)
      const table = first === 'table' ? this.#tables.get(name) : undefined
      if (table !== undefined) return this.#tableRoute(table, request)
    }
    if (second === undefined) {
      if (first === 'changes' && this.#changes !== undefined) return this.#changesRoute(this.#changes, request)
      if (first === 'openapi.json') return { methods: ['GET'], prepare: () => ({ operation: { kind: 'openapi' }, run: () => jsonResponse(200, this.#document) }) }
    }
    throw notThere('such address')
  }

  #segmentsOf(pathname: string): readonly string[] {
    if (!pathname.startsWith(`${this.#basePath}/`)) return []
    try {
      return pathname.slice(this.#basePath.length + 1).split('/').map(decodeURIComponent)
    } catch {
      throw wrongAddress('The address is not well-formed.')
    }
  }

  #callRoute(port: CallPort, request: HttpRequest): Route {
    const { name, readonly } = port.description
    return {
      methods: readonly ? ['GET', 'POST'] : ['POST'],
      prepare: (query) => {
        const requestId = request.headers.get('idempotency-key') ?? undefined
        if (requestId !== undefined && readonly) throw wrongAddress('What only reads has no Idempotency-Key: it can be repeated as it is.')
        let read: Promise<unknown> | undefined
        const input = (): Promise<unknown> => (read ??= port.input(request, query, this.#bodies))
        return {
          operation: { kind: 'call', procedure: name, readonly, requestId, input },
          run: async () => await port.answer(this.#db, await input(), request, requestId, this.#bounds.callMs),
        }
      },
    }
  }

  #tableRoute(port: TablePort, request: HttpRequest): Route {
    return {
      methods: ['GET'],
      prepare: (parts) => {
        const query = port.query(parts)
        return {
          operation: { kind: 'read', table: port.description.name, key: query.key, prefix: query.bounds.prefix },
          run: () => port.answer(this.#db, query, this.#past, request.signal),
        }
      },
    }
  }

  #changesRoute(port: ChangesPort, request: HttpRequest): Route {
    return {
      methods: ['GET'],
      prepare: (parts) => {
        const query = port.query(parts, request.headers.get('last-event-id'))
        return {
          operation: { kind: 'changes', tables: query.tables, events: query.events },
          run: () => port.answer(this.#db, query, request),
        }
      },
    }
  }

  #tell(error: unknown, request: HttpRequest): void {
    try {
      this.#options.onError?.(error, request)
    } catch {
      // What listens to errors must not be one more of them.
    }
  }
}
