/**
 * Commits as CloudEvents 1.0, and back without loss.
 *
 *   id            unique within the source, the same whenever it is made: position:number (see idOf)
 *   type          of an event its full name, 'bank.transferred'; of a change its table and kind, 'bank.account.update'
 *   subject       of a change its key: bare text for one column, else JSON
 *   data          of an event its payload; of a change { table, kind, key, before, after }; values as JSON, without loss
 *   sequence      position and number, as text that sorts
 *   partitionkey  what is to stay in order: of a change its table and key; option `partitionKey`
 *
 * Extensions of ours (lower case, as the specification asks for): `sluicekind`, `sluicecount`, and where the commit has them
 * `sluiceprocedure`, `sluicerequest`, `sluiceerased`, `sluicecompacted`, `sluicemerged` and `sluicesnapshot`. Attributes must not hold control
 * characters, so what is text of others is percent-encoded where need be.
 */
import type { AnyChange } from '../change.js'
import { type AnyCommit, changeOf, commitOfItems, type CommitItem, type Content, type FoundItem, hasLost, invalid, isMadeUp, itemsOf, type JsonRecord, marksOf, type Origin, positionOf, recordOf, snapshotWord, textOf, valueOf, wholeOf } from './item.js'
import { SluiceError } from '../../engine/base/errors.js'
import { shown } from '../schema/definition.js'
import type { AnyEvent } from '../service/event.js'
import { jsonOf } from '../value-json.js'

/** An event as CloudEvents 1.0 has it; `JSON.stringify` writes it in structured mode. */
export interface CloudEvent {
  readonly specversion: '1.0'
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject?: string
  /** RFC 3339, of the batch of the commit. */
  readonly time: string
  readonly datacontenttype: 'application/json'
  readonly data: unknown
  readonly sequence: string
  readonly partitionkey?: string
  readonly sluicekind: 'event' | AnyChange['kind']
  readonly sluicecount: number
  readonly sluiceprocedure?: string
  readonly sluicerequest?: string
  /** The commit has lost something to an erasure, or to retention: numbers have moved up. */
  readonly sluiceerased?: true
  readonly sluicecompacted?: true
  /** Of so many commits in one. */
  readonly sluicemerged?: number
  /** Of rows of a snapshot; the last ones say so. */
  readonly sluicesnapshot?: 'true' | 'last'
  /** The number, where the id has table and key in its place. */
  readonly sluicenumber?: number
}

export interface CloudEventOptions {
  /** Says who announces this: a URI reference, such as `'/bank'` or `'https://example.org/bank'`. */
  readonly source: string
  /** Default: `'all'`, changes and events. */
  readonly content?: Content | undefined
  /** The subject of an event. Default: none. */
  readonly subject?: ((event: AnyEvent) => string | undefined) | undefined
  /** Default: of a change its table and key, of an event none. */
  readonly partitionKey?: ((item: AnyChange | AnyEvent) => string | undefined) | undefined
}

/** The media type of one event in structured mode. */
export const cloudEventsMediaType = 'application/cloudevents+json'
const numberDigits = 10
const notInAddress = /[\u0000-\u0020\u007f-\u009f]/

/** One CloudEvent for each change and event of a commit: changes first. */
export function toCloudEvents(commit: AnyCommit, options: CloudEventOptions): CloudEvent[] {
  const { source, content } = options
  if (typeof source !== 'string' || source === '' || notInAddress.test(source)) throw SluiceError.of('INVALID_USE', `The option source is a URI reference, not ${shown(source)}.`)
  const items = itemsOf(commit, content)
  return items.map((item) => cloudEventOf(commit, item, items.length, options))
}

function cloudEventOf(commit: AnyCommit, item: CommitItem, count: number, { source, subject, partitionKey }: CloudEventOptions): CloudEvent {
  const { position, time, procedure, requestId, erased, compacted, merged, snapshot } = commit
  const { number } = item
  const one = item.kind === 'change' ? item.change : item.event
  const key = item.kind === 'change' ? keyText(item.change.key) : attributeText(subject?.(item.event) ?? '')
  const partition = partitionKey === undefined ? (item.kind === 'change' ? `${item.change.table}/${key}` : '') : attributeText(partitionKey(one) ?? '')
  return {
    specversion: '1.0',
    id: idOf(commit, item),
    source,
    type: item.kind === 'change' ? `${item.change.table}.${item.change.kind}` : item.event.type,
    ...(key !== '' && { subject: key }),
    time: new Date(time).toISOString(),
    datacontenttype: 'application/json',
    data: item.kind === 'change' ? dataOfChange(item.change) : jsonOf(item.event.payload),
    sequence: `${position}-${String(number).padStart(numberDigits, '0')}`,
    ...(partition !== '' && { partitionkey: partition }),
    sluicekind: item.kind === 'change' ? item.change.kind : 'event',
    sluicecount: count,
    ...(procedure !== undefined && { sluiceprocedure: attributeText(procedure) }),
    ...(requestId !== undefined && { sluicerequest: attributeText(requestId) }),
    ...(erased && { sluiceerased: erased }),
    ...(compacted && { sluicecompacted: compacted }),
    ...(merged !== undefined && { sluicemerged: merged }),
    ...(snapshot && { sluicesnapshot: snapshotWord(commit) }),
    ...(isMadeUp(commit) && { sluicenumber: number }),
  }
}

/**
 * Position and number. Where a commit has lost something its numbers have moved up, so how many are left stands behind them: no id names
 * another item than it did before. Rows of a snapshot, and of several commits in one, come in any order, so table and key tell them.
 */
function idOf(commit: AnyCommit, item: CommitItem): string {
  const { position, changes, events } = commit
  if (isMadeUp(commit) && item.kind === 'change') return rowId(position, item.change)
  return `${position}:${item.number}${hasLost(commit) ? `/${changes.length + events.length}` : ''}`
}

const rowId = (position: string, { table, key }: AnyChange): string => `${position}:${table}/${keyText(key)}`

function dataOfChange({ table, kind, key, before, after }: AnyChange): object {
  return { table, kind, key: jsonOf(key), ...(before && { before: jsonOf(before) }), ...(after && { after: jsonOf(after) }) }
}

/** A key as a subject. */
export function keyText(key: unknown): string {
  return attributeText(typeof key === 'string' ? key : JSON.stringify(jsonOf(key)))
}

// ── back ──────────────────────────────────────────────────────────────────────────────────────────────────────

const kinds: ReadonlySet<unknown> = new Set(['event', 'insert', 'update', 'delete'])

/**
 * The commit whose envelopes these are: all of them, in any order, as `toCloudEvents` made them or as JSON brought them back.
 * `INVALID_INPUT` when one is missing, doubled or no envelope.
 */
export function fromCloudEvents(events: readonly unknown[]): AnyCommit {
  if (!Array.isArray(events)) throw SluiceError.of('INVALID_USE', `fromCloudEvents() takes a list, not ${shown(events)}.`)
  return commitOfItems(events.map(itemOfCloudEvent), 'CloudEvents')
}

function itemOfCloudEvent(event: unknown): Origin & FoundItem {
  const record = recordOf(event, 'A CloudEvent')
  if (record['specversion'] !== '1.0') throw invalid(`specversion is '1.0', not ${shown(record['specversion'])}.`)
  const id = textOf(record['id'], 'id')
  const position = positionOf(id.split(':', 1)[0], `id '${id}'`)
  const marks = marksOf({ erased: record['sluiceerased'], compacted: record['sluicecompacted'], merged: record['sluicemerged'], snapshot: record['sluicesnapshot'] }, (mark) => `sluice${mark}`)
  const time = Date.parse(textOf(record['time'], 'time'))
  if (Number.isNaN(time)) throw invalid(`time is a date as RFC 3339 has it, not ${shown(record['time'])}.`)
  const origin: Origin = {
    position,
    time,
    procedure: optionalText(record, 'sluiceprocedure'),
    requestId: optionalText(record, 'sluicerequest'),
    count: wholeOf(record['sluicecount'], 'sluicecount'),
    marks,
  }
  const number = isMadeUp(marks) ? wholeOf(record['sluicenumber'], 'sluicenumber') : numberIn(id)
  const kind = record['sluicekind']
  if (!kinds.has(kind)) throw invalid(`sluicekind is event, insert, update or delete, not ${shown(kind)}.`)
  if (kind === 'event') {
    const payload = recordOf(valueOf(record['data'], 'data'), 'data')
    return { ...origin, number, event: { type: textOf(record['type'], 'type'), payload } }
  }
  const data = recordOf(record['data'], 'data')
  if (data['kind'] !== kind) throw invalid(`sluicekind is ${String(kind)}, and the data say ${shown(data['kind'])}.`)
  const change = changeOf(kind as AnyChange['kind'], textOf(data['table'], 'data.table'), valueOf(data['key'], 'data.key'), data['before'], data['after'], 'data')
  if (isMadeUp(marks) && id !== rowId(position, change)) throw invalid(`id '${id}' is not that of the row.`)
  return { ...origin, number, change }
}

function numberIn(id: string): number {
  const number = /^[^:]*:(0|[1-9][0-9]*)(?:\/[1-9][0-9]*)?$/.exec(id)?.[1]
  if (number === undefined) throw invalid(`id '${id}' has no number behind the position.`)
  return Number(number)
}

function optionalText(record: JsonRecord, name: string): string | undefined {
  const text = record[name]
  if (text === undefined || text === null) return undefined
  if (typeof text !== 'string') throw invalid(`${name} is text, not ${shown(text)}.`)
  return decoded(text, name)
}

// ── binary mode ───────────────────────────────────────────────────────────────────────────────────────────────

/** Attributes as headers, data as bytes: the binary mode of the bindings to HTTP, NATS and others. */
export interface BinaryCloudEvent {
  /** `content-type`, and `ce-` before every other attribute, percent-encoded as the binding to HTTP asks for. */
  readonly headers: Readonly<Record<string, string>>
  readonly data: Uint8Array
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

/** A CloudEvent in binary mode. */
export function toBinaryMode(event: CloudEvent): BinaryCloudEvent {
  const headers: Record<string, string> = { 'content-type': event.datacontenttype }
  for (const [name, value] of Object.entries(event)) {
    if (name !== 'data' && name !== 'datacontenttype' && value !== undefined) headers[`ce-${name}`] = headerText(String(value))
  }
  return { headers, data: encoder.encode(JSON.stringify(event.data)) }
}

const numberAttributes: ReadonlySet<string> = new Set(['sluicecount', 'sluicemerged', 'sluicenumber'])
const trueAttributes: ReadonlySet<string> = new Set(['sluiceerased', 'sluicecompacted'])

/** The CloudEvent that headers and data are in binary mode; names of headers in any case. `INVALID_INPUT` when they are none. */
export function fromBinaryMode({ headers, data }: BinaryCloudEvent): CloudEvent {
  const event: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (lower === 'content-type') event['datacontenttype'] = value
    else if (lower.startsWith('ce-')) {
      const attribute = lower.slice('ce-'.length)
      const text = decoded(value, name)
      event[attribute] = numberAttributes.has(attribute) ? Number(text) : trueAttributes.has(attribute) && text === 'true' ? true : text
    }
  }
  for (const name of ['specversion', 'id', 'source', 'type']) textOf(event[name], `The header ce-${name}`)
  try {
    event['data'] = JSON.parse(decoder.decode(data))
  } catch (cause) {
    throw SluiceError.of('INVALID_INPUT', 'The data of a CloudEvent in binary mode are no JSON in UTF-8.', { cause })
  }
  return event as unknown as CloudEvent
}

// ── text of attributes ────────────────────────────────────────────────────────────────────────────────────────

/** What attributes must not hold: control characters and halves of surrogate pairs; and the sign of our own encoding. */
const unfit = /[%\u0000-\u001f\u007f-\u009f]/g
const percent = (text: string): string => [...encoder.encode(text)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')

/** Text as the value of an attribute. */
function attributeText(text: string): string {
  return decoder.decode(encoder.encode(text)).replaceAll(unfit, percent)
}

/** The value of an attribute as the value of a header: printable ASCII without space, quotes and percent. */
function headerText(text: string): string {
  return text.replaceAll(/[^\u0021-\u007e]|["%]/gu, percent)
}

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw SluiceError.of('INVALID_INPUT', `${what} is not percent-encoded as it should be: ${shown(text)}.`, { cause })
  }
}
