/**
 * `GET /changes`: the log as server-sent events, one for each commit.
 *
 *   ?tables=bank.account&events=bank.transferred      default: all that is exposed
 *   &from=now | beginning | <position>                default: now. `Last-Event-ID` goes before it: the commit after that position
 *
 *   id: 0000000001000002-00000000
 *   event: commit
 *   data: {"position":"…","time":…,"procedure":"bank.transfer","changes":[…],"events":[…]}
 *
 * Invariants:
 *   E1  A client that comes back with the last id it has seen misses nothing and gets nothing twice: the id is the position of the
 *       commit. A stream from now begins with an id without a commit, the position where it began, so that this also holds for a
 *       client that is cut off before its first commit. Where nothing of what a client asked for happens, an id without a commit comes now and
 *       then: it never comes back to an id that retention has passed.
 *   E2  Who reads slowly holds `limits.httpStreamBytesMax` and one commit: commits are read from the log when the response pulls.
 *   E3  When the client goes, by its signal or by cancelling the body, the stream of the log is closed and the timer stopped.
 *
 * Where the log goes over to a changed application, an `event: schema` comes before the first commit behind it, with what of it is asked for:
 * `data: {"position":"…","before":…,"after":…,"differences":[…]}`. It has no id: who comes back with that of the commit before is told again.
 *
 * A stream that fails ends with `event: error` and the body of an error. What is refused at once has its status instead, because a
 * browser comes back after a stream that ended, and stays away after a 410.
 */
import { nodeEnvironment } from '../../engine/base/environment-node.js'
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import type { Database } from '../database-types.js'
import type { TableDescription } from '../describe/description.js'
import { Position, positionParts, type Start } from '../position.js'
import type { Table } from '../schema/table.js'
import type { SchemaChange, SchemaOutline } from '../schema-change-types.js'
import type { EventType } from '../service/event.js'
import type { Commit, Stream } from '../stream-types.js'
import type { HttpRequest, HttpResponse } from './fetch-types.js'
import { errorBody, HttpRefusal, notThere, wrongAddress } from './http-error.js'
import type { Bounds, Exposed } from './http-options.js'
import { type ColumnsByName, columnsByName, jsonOfKey, jsonOfRecord } from './record-json.js'

const parameters = new Set(['tables', 'events', 'from'])
const encoder = new TextEncoder()
const heartbeat = encoder.encode(': \n\n')
const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-content-type-options': 'nosniff' }

export interface ChangesQuery {
  readonly tables: readonly string[]
  readonly events: readonly string[]
  readonly from: Exclude<Start, Date>
}

type Next = IteratorResult<Commit, unknown>

export class ChangesPort {
  readonly #exposed: Exposed
  readonly #shapes: ReadonlyMap<string, ReturnType<typeof shapeOf>>
  readonly #payloads: ReadonlyMap<string, ColumnsByName>
  readonly #bounds: Bounds
  readonly #onError: (error: unknown, request: HttpRequest) => void
  #open = 0

  constructor(exposed: Exposed, bounds: Bounds, onError: (error: unknown, request: HttpRequest) => void) {
    this.#exposed = exposed
    this.#shapes = new Map([...exposed.changes].map(([name, { description }]) => [name, shapeOf(description)]))
    this.#payloads = new Map([...exposed.events].map(([name, { description }]) => [name, columnsByName(description.columns)]))
    this.#bounds = bounds
    this.#onError = onError
  }

  query(parts: URLSearchParams, lastEventId: string | null): ChangesQuery {
    for (const name of parts.keys()) if (!parameters.has(name)) throw wrongAddress(`A stream has no parameter "${name.slice(0, 40)}"; it has ${[...parameters].join(', ')}.`)
    const isFiltered = parts.has('tables') || parts.has('events')
    const names = (name: string, known: ReadonlyMap<string, unknown>): readonly string[] =>
      isFiltered ? namesIn(parts.getAll(name), known) : [...known.keys()]
    const tables = names('tables', this.#exposed.changes)
    const events = names('events', this.#exposed.events)
    if (tables.length + events.length === 0) throw wrongAddress('A stream has a table or an event at least.')
    const from = lastEventId !== null && lastEventId !== '' ? lastEventId : (parts.get('from') ?? 'now')
    return { tables, events, from: from === 'now' || from === 'beginning' ? from : Position.parse(from) }
  }

  async answer(db: Database, query: ChangesQuery, request: HttpRequest): Promise<HttpResponse> {
    if (this.#open >= this.#bounds.streams) throw new HttpRefusal(503, SluiceError.of('OVERLOADED', `${this.#bounds.streams} streams are open: try again later.`))
    const now = positionNow(db)
    const from = query.from === 'now' ? now : query.from
    // The end of a batch is behind its last record.
    if (from !== 'beginning' && positionParts(from)!.batch > positionParts(now)!.batch) throw wrongAddress('This database has not reached that position: it is of another one, or of a newer copy.')
    const tables: readonly Table[] = query.tables.map((name) => this.#exposed.changes.get(name)!.handle)
    const events: readonly EventType[] = query.events.map((name) => this.#exposed.events.get(name)!.handle)
    let feed: Feed | undefined
    const stream = db.changes({ from, tables, events, signal: request.signal, onProgress: (position) => feed?.progressed(position), onSchema: (change) => feed?.schemaChanged(schemaOf(change, query)) }) as Stream<Commit>
    this.#open += 1
    const end = (): void => {
      this.#open -= 1
    }
    feed = new Feed(stream, (commit) => this.#jsonOf(commit), this.#bounds.heartbeatMs, (error) => this.#onError(error, request), end)
    await feed.firstLook()
    const begin = query.from === 'now' ? `id: ${from}\n\n` : ''
    return new Response(feed.body(begin), { headers })
  }

  #jsonOf(commit: Commit): object {
    const { position, time, procedure, requestId, changes, events, erased, compacted } = commit
    return {
      position,
      time,
      procedure,
      requestId,
      changes: changes.map((change) => {
        const { columns, key } = this.#shapes.get(change.table)!
        const image = (row: Readonly<Record<string, unknown>> | undefined): object | undefined => row && jsonOfRecord(columns, row)
        return { table: change.table, kind: change.kind, key: jsonOfKey(key, change.key), before: image(change.before), after: image(change.after) }
      }),
      events: events.map(({ type, payload }) => ({ type, payload: jsonOfRecord(this.#payloads.get(type)!, payload) })),
      erased,
      compacted,
    }
  }
}

function shapeOf({ columns, key }: TableDescription) {
  const known = columnsByName(columns)
  return { columns: known, key: key.map((name) => known.get(name)!) }
}

/** What of a change is about the tables and events of a stream; undefined: nothing. */
function schemaOf({ position, before, after, differences }: SchemaChange, { tables, events }: ChangesQuery): object | undefined {
  const names = new Set([...tables, ...events])
  const about = differences.filter(({ of }) => of !== undefined && names.has(of))
  const outlineOf = (outline: SchemaOutline): SchemaOutline => ({
    version: outline.version,
    tables: outline.tables.filter(({ name }) => names.has(name)),
    events: outline.events.filter(({ name }) => names.has(name)),
  })
  return about.length === 0 ? undefined : { position, before: outlineOf(before), after: outlineOf(after), differences: about }
}

function positionNow(db: Database): Position {
  using snapshot = db.snapshot()
  return snapshot.position
}

function namesIn(texts: readonly string[], known: ReadonlyMap<string, unknown>): readonly string[] {
  const names = new Set(texts.flatMap((text) => text.split(',')).filter((name) => name !== ''))
  for (const name of names) if (!known.has(name)) throw notThere(`table or event "${name.slice(0, 80)}" in the stream`)
  return [...names]
}

/** One stream of the log on its way to one client. */
class Feed {
  readonly #iterator: AsyncIterator<Commit>
  readonly #jsonOf: (commit: Commit) => object
  readonly #heartbeatMs: number
  readonly #onError: (error: unknown) => void
  readonly #onEnd: () => void
  #pending: Promise<Next> | undefined
  #stopTimer: () => void = () => undefined
  #isEnded = false
  /** Before the next commit. */
  #schemas: object[] = []
  /** Where the stream stands, since the last message; told with the next heartbeat. */
  #progress: Position | undefined

  constructor(stream: Stream<Commit>, jsonOf: (commit: Commit) => object, heartbeatMs: number, onError: (error: unknown) => void, onEnd: () => void) {
    this.#iterator = stream[Symbol.asyncIterator]()
    this.#jsonOf = jsonOf
    this.#heartbeatMs = heartbeatMs
    this.#onError = onError
    this.#onEnd = onEnd
  }

  /** Asks for the first commit; throws when that is refused at once. */
  async firstLook(): Promise<void> {
    this.#pending = this.#iterator.next()
    let stopWaiting: () => void = () => undefined
    const shortly = new Promise<void>((resolve) => {
      stopWaiting = nodeEnvironment.later(limits.httpFirstLookMs, resolve)
    })
    try {
      await Promise.race([this.#pending, shortly])
    } catch (error) {
      this.#end()
      throw error
    } finally {
      stopWaiting()
    }
    // Nobody may be waiting for it when it fails.
    this.#pending.catch(() => undefined)
  }

  body(begin: string): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          controller.enqueue(begin === '' ? heartbeat : encoder.encode(begin))
          this.#beat(controller)
        },
        pull: (controller) => this.#pull(controller),
        cancel: () => this.#end(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: limits.httpStreamBytesMax }),
    )
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      const next = await (this.#pending ?? this.#iterator.next())
      this.#pending = undefined
      if (this.#isEnded) return
      if (next.done === true) {
        this.#end()
        controller.close()
        return
      }
      this.#progress = undefined
      this.#sendSchemas(controller)
      controller.enqueue(messageOf('commit', this.#jsonOf(next.value), next.value.position))
    } catch (error) {
      if (this.#isEnded) return
      this.#end()
      this.#onError(error)
      controller.enqueue(messageOf('error', errorBody(error).body))
      controller.close()
    }
  }

  schemaChanged(schema: object | undefined): void {
    if (schema !== undefined) this.#schemas.push(schema)
  }

  #sendSchemas(controller: ReadableStreamDefaultController<Uint8Array>): void {
    for (const schema of this.#schemas.splice(0)) controller.enqueue(messageOf('schema', schema))
  }

  /** The client has everything up to here: in place of a heartbeat, where nothing waits for it. */
  progressed(position: Position): void {
    this.#progress = position
  }

  /** Where something waits for the client already, another heartbeat says nothing. */
  #beat(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#stopTimer = nodeEnvironment.later(this.#heartbeatMs, () => {
      if (this.#isEnded) return
      if ((controller.desiredSize ?? 0) === limits.httpStreamBytesMax) {
        this.#sendSchemas(controller) // The id may be behind them.
        controller.enqueue(this.#progress === undefined ? heartbeat : encoder.encode(`id: ${this.#progress}\n\n`))
        this.#progress = undefined
      }
      this.#beat(controller)
    })
  }

  #end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#stopTimer()
    this.#onEnd()
    void this.#iterator.return?.().catch(() => undefined)
  }
}

function messageOf(event: string, data: object, id?: Position): Uint8Array {
  return encoder.encode(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
}
