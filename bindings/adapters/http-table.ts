/**
 * `GET /table/<service>/<table>`: rows at one moment.
 *
 *   ?key=ann&key=7                          one row: {"row":{…},"position":"…"}, or 404 NOT_FOUND
 *   ?prefix=ann&limit=50                    a page, where the table is ordered: {"rows":[…],"position":"…","next":"?prefix=ann&after=ann&after=7&limit=50"}
 *   ?from=…&to=…&after=…&reverse=true       as in `scan`: bounds are leading columns of the key, one text for each
 *   &at=<position>                          the state after that position's batch
 *
 * `next` is an address relative to this one; it is absent on the last page. Pages are of the newest state each, or all of the same one
 * with `at`. Reading an older state may lay a checkpoint into memory, so few of these are read at once, and no longer than their client is there.
 */
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import type { Database, Snapshot } from '../database-types.js'
import type { ColumnDescription, TableDescription } from '../describe/description.js'
import { Position } from '../position.js'
import type { Table } from '../schema/table.js'
import type { SignalLike } from '../signal.js'
import type { HttpResponse } from './fetch-types.js'
import { HttpRefusal, jsonResponse, wrongAddress } from './http-error.js'
import { columnsByName, jsonOfRecord, textOfValue, valueOfText } from './record-json.js'

type Row = Readonly<Record<string, unknown>>
interface Reader {
  get(key: unknown): Row | undefined
  scan(range: object): Iterable<Row>
}
type Bound = 'prefix' | 'from' | 'after' | 'to'
const boundNames: readonly Bound[] = ['prefix', 'from', 'after', 'to']
const parameters = new Set<string>([...boundNames, 'key', 'limit', 'reverse', 'at'])

export interface TableQuery {
  readonly key: readonly unknown[] | undefined
  readonly bounds: Readonly<Partial<Record<Bound, readonly unknown[]>>>
  readonly limit: number
  readonly reverse: boolean
  readonly at: Position | undefined
}

export class TablePort {
  readonly description: TableDescription
  readonly #handle: Table
  readonly #columns: ReturnType<typeof columnsByName>
  readonly #key: readonly ColumnDescription[]
  readonly #rowsMax: number

  constructor(handle: Table, description: TableDescription, rowsMax: number) {
    this.#handle = handle
    this.description = description
    this.#columns = columnsByName(description.columns)
    this.#key = description.key.map((name) => this.#columns.get(name)!)
    this.#rowsMax = rowsMax
  }

  query(parts: URLSearchParams): TableQuery {
    for (const name of parts.keys()) if (!parameters.has(name)) throw wrongAddress(`A table has no parameter "${name.slice(0, 40)}"; it has ${[...parameters].join(', ')}.`)
    const key = this.#values(parts, 'key')
    const bounds = Object.fromEntries(boundNames.flatMap((name) => (parts.has(name) ? [[name, this.#values(parts, name)]] : [])))
    const at = single(parts, 'at')
    if (key !== undefined) {
      if (key.length !== this.#key.length) throw wrongAddress(`The key of ${this.description.name} is ${this.description.key.join(', ')}: give key= once for each, in this order.`)
      if ([...parts.keys()].some((name) => name !== 'key' && name !== 'at')) throw wrongAddress('key= asks for one row: leave out what asks for a page.')
    } else if (!this.description.ordered) throw wrongAddress(`${this.description.name} has no order: ask for one row with key=, or declare the table with ordered: true.`)
    return { key, bounds, limit: this.#limit(single(parts, 'limit')), reverse: reverseOf(single(parts, 'reverse')), at: at === undefined ? undefined : Position.parse(at) }
  }

  #values(parts: URLSearchParams, name: string): readonly unknown[] | undefined {
    if (!parts.has(name)) return undefined
    const texts = parts.getAll(name)
    if (texts.length > this.#key.length) throw wrongAddress(`${name}= is given ${texts.length} times, and the key of ${this.description.name} has ${this.#key.length} columns.`)
    return texts.map((text, place) => valueOfText(this.#key[place]!, text, `${name} of ${this.description.name}`))
  }

  #limit(text: string | undefined): number {
    if (text === undefined) return Math.min(limits.httpPageRowsDefault, this.#rowsMax)
    if (!/^[1-9][0-9]{0,8}$/.test(text) || Number(text) > this.#rowsMax) throw wrongAddress(`limit is a whole number from 1 to ${this.#rowsMax}.`)
    return Number(text)
  }

  async answer(db: Database, query: TableQuery, past: PastReads, signal: SignalLike): Promise<HttpResponse> {
    if (query.at === undefined) {
      using snapshot = db.snapshot()
      return this.#read(snapshot, query)
    }
    return await past.read(db, query.at, signal, (snapshot) => this.#read(snapshot, query))
  }

  #read(snapshot: Snapshot, query: TableQuery): HttpResponse {
    const reader = snapshot.table(this.#handle) as unknown as Reader
    const { position } = snapshot
    if (query.key === undefined) return this.#page(reader, query, position)
    const row = reader.get(this.#bare(query.key))
    if (row === undefined) throw SluiceError.of('NOT_FOUND', `${this.description.name} has no row with this key.`, { details: { table: this.description.name, position } })
    return jsonResponse(200, { row: jsonOfRecord(this.#columns, row), position })
  }

  #page(reader: Reader, { bounds, limit, reverse, at }: TableQuery, position: Position): HttpResponse {
    const range: Record<string, unknown> = { reverse, limit: limit + 1 }
    for (const [name, values] of Object.entries(bounds)) range[name] = name === 'prefix' ? values : this.#bare(values)
    const rows: string[] = []
    let bytes = 0
    let last: Row | undefined
    let next: string | undefined
    for (const row of reader.scan(range)) {
      if (rows.length === limit || bytes >= limits.httpPageBytesMax) {
        next = this.#next({ key: undefined, bounds, limit, reverse, at }, last!)
        break
      }
      const json = JSON.stringify(jsonOfRecord(this.#columns, row))
      bytes += json.length
      rows.push(json)
      last = row
    }
    // The rows are text already: their length decides where the page ends.
    const body = `{"rows":[${rows.join(',')}],"position":${JSON.stringify(position)}${next === undefined ? '' : `,"next":${JSON.stringify(next)}`}}`
    return jsonResponse(200, body)
  }

  /** The page behind `last`: above it, or in reverse below it, for `to` is not included. */
  #next({ bounds, limit, reverse, at }: TableQuery, last: Row): string {
    const next = new URLSearchParams()
    const own: Bound = reverse ? 'to' : 'after'
    for (const [name, values] of Object.entries(bounds)) {
      if (name !== own) values.forEach((value, place) => next.append(name, textOfValue(this.#key[place]!, value)))
    }
    for (const column of this.#key) next.append(own, textOfValue(column, last[column.name]))
    next.append('limit', String(limit))
    if (reverse) next.append('reverse', 'true')
    if (at !== undefined) next.append('at', at)
    return `?${String(next)}`
  }

  #bare(values: readonly unknown[]): unknown {
    return this.#key.length === 1 ? values[0] : values
  }
}

function single(parts: URLSearchParams, name: string): string | undefined {
  const texts = parts.getAll(name)
  if (texts.length > 1) throw wrongAddress(`${name}= is given ${texts.length} times.`)
  return texts[0]
}

function reverseOf(text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false
  if (text === 'true') return true
  throw wrongAddress('reverse is true or false.')
}

/** Reads of older states: a few at once. Who has gone away gives his place free. */
export class PastReads {
  #open = 0

  async read(db: Database, at: Position, signal: SignalLike, read: (snapshot: Snapshot) => HttpResponse): Promise<HttpResponse> {
    if (this.#open === limits.httpPastReadsMax) {
      throw new HttpRefusal(503, SluiceError.of('OVERLOADED', `${limits.httpPastReadsMax} older states are being read: try again.`))
    }
    this.#open += 1
    try {
      using snapshot = await db.asOf(at, { signal })
      return read(snapshot)
    } finally {
      this.#open -= 1
    }
  }
}
