/**
 * Commits in the shape of Debezium's messages, and back without loss.
 *
 *   key    { id: 'ann' }: the columns of the key
 *   value  { before, after, op, source: { …, schema, table, position }, ts_ms, transaction: { id, total_order, data_collection_order } }
 *
 * `op` is c, u or d for changes, and r for rows of a snapshot, which are of no transaction. Events are what Debezium calls logical messages: `op: 'm'` with `message: { prefix, content }`, the type
 * and the payload as JSON in base64. With `tombstones` a delete is followed by its key with the value null, for logs that are compacted.
 * Values are JSON without loss (docs/operations.md), not the types of Kafka Connect.
 */
import { SluiceError } from '../../engine/base/errors.js'
import type { AnyChange } from '../change.js'
import type { Description } from '../describe/description.js'
import { shown } from '../schema/definition.js'
import { bytesOfBase64, jsonOf } from '../value-json.js'
import { type AnyCommit, changeOf, commitOfItems, type CommitItem, type Content, type FoundItem, invalid, itemsOf, marksOf, type Origin, positionOf, recordOf, snapshotWord, textOf, valueOf, wholeOf } from './item.js'

export interface DebeziumSource {
  readonly version: '1'
  readonly connector: 'sluicedb'
  /** Of the database: option `name`. */
  readonly name: string
  readonly ts_ms: number
  /** Of rows of a snapshot 'true', of its last ones 'last'. */
  readonly snapshot: 'false' | 'true' | 'last'
  /** Service and table, or service and event. */
  readonly schema: string
  readonly table: string
  readonly position: string
  /** Place in the commit, or in the snapshot, from 0; and how many messages the commit has, tombstones not counted. */
  readonly number: number
  readonly count: number
  readonly procedure: string | null
  readonly request: string | null
  /** The commit has lost something to an erasure, or to retention: numbers have moved up. */
  readonly erased: boolean
  readonly compacted: boolean
  /** Of so many commits in one. */
  readonly merged: number | null
}
export interface DebeziumValue {
  readonly before: unknown
  readonly after: unknown
  readonly source: DebeziumSource
  readonly op: 'c' | 'u' | 'd' | 'r' | 'm'
  /** The time of the commit: the same whenever it is made. */
  readonly ts_ms: number
  /** Null for rows of a snapshot. */
  readonly transaction: { readonly id: string; readonly total_order: number; readonly data_collection_order: number } | null
  readonly message?: { readonly prefix: string; readonly content: string }
}
export interface DebeziumMessage {
  /** Null for events. */
  readonly key: Readonly<Record<string, unknown>> | null
  /** Null: a tombstone. */
  readonly value: DebeziumValue | null
}

export interface DebeziumOptions {
  /** Of the database, in `source.name`. */
  readonly name: string
  /** `db.describe()` or `describe(app)`: it knows the columns of keys. */
  readonly description: Description
  /** Default: `'all'`, changes and events. */
  readonly content?: Content | undefined
  /** A delete is followed by its key with the value null. Default: false. */
  readonly tombstones?: boolean | undefined
}

const operationOf = { insert: 'c', update: 'u', delete: 'd' } as const
const kindOf: Readonly<Record<string, AnyChange['kind']>> = { c: 'insert', r: 'insert', u: 'update', d: 'delete' }

/** One message for each change and event of a commit, and where asked for a tombstone behind each delete. */
export function toDebezium(commit: AnyCommit, options: DebeziumOptions): DebeziumMessage[] {
  const { name, content, tombstones = false, description } = options
  if (typeof name !== 'string' || name === '') throw SluiceError.of('INVALID_USE', `The option name is text, not ${shown(name)}.`)
  if (typeof tombstones !== 'boolean') throw SluiceError.of('INVALID_USE', `The option tombstones is true or false, not ${shown(tombstones)}.`)
  const items = itemsOf(commit, content)
  const orders = new Map<string, number>()
  return items.flatMap((item, n): DebeziumMessage[] => {
    const full = item.kind === 'change' ? item.change.table : item.event.type
    const order = (orders.get(full) ?? 0) + 1
    orders.set(full, order)
    const value = valueOfItem(commit, item, { name, full, count: items.length, total: n + 1, order })
    if (item.kind === 'event') return [{ key: null, value }]
    const key = keyOf(item.change, description)
    return item.change.kind === 'delete' && tombstones ? [{ key, value }, { key, value: null }] : [{ key, value }]
  })
}

interface Numbers {
  readonly name: string
  readonly full: string
  readonly count: number
  readonly total: number
  readonly order: number
}

function valueOfItem(commit: AnyCommit, item: CommitItem, { name, full, count, total, order }: Numbers): DebeziumValue {
  const { position, time, procedure, requestId, erased = false, compacted = false, merged = null, snapshot = false } = commit
  const dot = full.indexOf('.')
  const change = item.kind === 'change' ? item.change : undefined
  return {
    before: change?.before === undefined ? null : jsonOf(change.before),
    after: change?.after === undefined ? null : jsonOf(change.after),
    source: {
      version: '1',
      connector: 'sluicedb',
      name,
      ts_ms: time,
      snapshot: snapshot ? snapshotWord(commit) : 'false',
      schema: full.slice(0, dot),
      table: full.slice(dot + 1),
      position,
      number: item.number,
      count,
      procedure: procedure ?? null,
      request: requestId ?? null,
      erased,
      compacted,
      merged,
    },
    op: change === undefined ? 'm' : snapshot ? 'r' : operationOf[change.kind],
    ts_ms: time,
    transaction: snapshot ? null : { id: position, total_order: total, data_collection_order: order },
    ...(item.kind === 'event' && { message: { prefix: item.event.type, content: Buffer.from(JSON.stringify(jsonOf(item.event.payload))).toString('base64') } }),
  }
}

function keyOf({ table, key }: AnyChange, { tables, replicas }: Description): Readonly<Record<string, unknown>> {
  const columns = [...tables, ...replicas].find(({ name }) => name === table)?.key
  if (columns === undefined) throw SluiceError.of('INVALID_USE', `The description does not know the table '${table}': pass that of the database which the commit is of.`)
  const values = columns.length === 1 ? [key] : (key as readonly unknown[])
  return Object.fromEntries(columns.map((column, n) => [column, jsonOf(values[n])]))
}

// ── back ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The commit whose messages these are: all of them, in any order; tombstones say nothing and are passed over. `INVALID_INPUT` when one is
 * missing, doubled or no such message.
 */
export function fromDebezium(messages: readonly unknown[]): AnyCommit {
  if (!Array.isArray(messages)) throw SluiceError.of('INVALID_USE', `fromDebezium() takes a list, not ${shown(messages)}.`)
  const records = messages.map((message) => recordOf(message, 'A message'))
  return commitOfItems(records.filter(({ value }) => value !== null).map(({ key, value }) => itemOfMessage(key, recordOf(value, 'value'))), 'Debezium messages')
}

function itemOfMessage(key: unknown, value: Readonly<Record<string, unknown>>): Origin & FoundItem {
  const source = recordOf(value['source'], 'source')
  const origin: Origin = {
    position: positionOf(source['position'], 'source.position'),
    time: wholeOf(source['ts_ms'], 'source.ts_ms'),
    procedure: optional(source['procedure'], 'source.procedure'),
    requestId: optional(source['request'], 'source.request'),
    count: wholeOf(source['count'], 'source.count'),
    marks: marksOf({ erased: source['erased'], compacted: source['compacted'], merged: source['merged'], snapshot: source['snapshot'] }, (mark) => `source.${mark}`),
  }
  const number = wholeOf(source['number'], 'source.number')
  const { op } = value
  if (op === 'm') {
    const message = recordOf(value['message'], 'message')
    return { ...origin, number, event: { type: textOf(message['prefix'], 'message.prefix'), payload: payloadOf(message['content']) } }
  }
  const kind = typeof op === 'string' && Object.hasOwn(kindOf, op) ? kindOf[op] : undefined
  if (kind === undefined) throw invalid(`op is c, u, d, r or m, not ${shown(op)}.`)
  if ((op === 'r') !== (origin.marks.snapshot === true)) throw invalid(`op is '${String(op)}', and source.snapshot ${shown(source['snapshot'])}.`)
  const values = Object.values(recordOf(key, 'key')).map((one) => valueOf(one, 'key'))
  if (values.length === 0) throw invalid('key has a column at least.')
  const table = `${textOf(source['schema'], 'source.schema')}.${textOf(source['table'], 'source.table')}`
  return { ...origin, number, change: changeOf(kind, table, values.length === 1 ? values[0] : values, value['before'], value['after'], 'value') }
}

function payloadOf(content: unknown): Readonly<Record<string, unknown>> {
  const bytes = bytesOfBase64(content)
  if (bytes === undefined) throw invalid(`message.content is base64, not ${shown(content)}.`)
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (cause) {
    throw SluiceError.of('INVALID_INPUT', 'message.content is no JSON.', { cause })
  }
  return recordOf(valueOf(json, 'message.content'), 'message.content')
}

function optional(value: unknown, what: string): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw invalid(`${what} is text, not ${shown(value)}.`)
  return value
}
