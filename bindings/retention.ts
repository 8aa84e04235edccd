/** The option `retention` of `open()`, checked: what leaves the log as a whole, and what leaves it of some tables and events. */
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import type { EngineOptions, Program } from '../engine/index.js'
import { eventOrdinal, tableOrdinal } from './catalog.js'
import type { RetentionOptions, StreamRetention } from './database-types.js'
import { durationMs } from './duration.js'
import { shown } from './schema/definition.js'

type Retention = EngineOptions['retention']
type StreamRule = NonNullable<Retention['compaction']>['streams'][number]

const retentionNames = new Set(['age', 'bytes', 'consumerBytes', 'compact', 'streams'])
const streamNames = new Set(['tables', 'events', 'age', 'bytes'])

export function checkRetention(program: Program, options: RetentionOptions = {}): Retention {
  mustBeObject('retention', options, retentionNames)
  const { age, bytes, consumerBytes = limits.consumerLogBytesDefault, compact = [], streams = [] } = options
  const tables = namesOf('retention.compact', compact, (table) => tableName(program, table))
  const rules = listOf('retention.streams', streams).map((stream, n) => streamRule(program, `retention.streams[${n}]`, stream as StreamRetention))
  if (rules.length > limits.retentionStreamsMax) throw wrong(`The option retention.streams has at most ${limits.retentionStreamsMax} streams, not ${rules.length}.`)
  return {
    ageMs: age === undefined ? undefined : durationMs('retention.age', age),
    bytes: bytes === undefined ? undefined : wholeBytes('retention.bytes', bytes),
    consumerBytes: consumerBytes === Infinity ? Infinity : wholeBytes('retention.consumerBytes', consumerBytes, 'Infinity or '),
    compaction: tables.length + rules.length === 0 ? undefined : { tables, streams: rules },
  }
}

function streamRule(program: Program, what: string, stream: StreamRetention): StreamRule {
  mustBeObject(what, stream, streamNames)
  const { tables = [], events = [], age, bytes } = stream
  const rule: StreamRule = {
    tables: namesOf(`${what}.tables`, tables, (table) => tableName(program, table)),
    events: namesOf(`${what}.events`, events, (event) => program.events[eventOrdinal(program, event)]!.descriptor.name),
    ageMs: age === undefined ? undefined : durationMs(`${what}.age`, age),
    bytes: bytes === undefined ? undefined : wholeBytes(`${what}.bytes`, bytes),
  }
  if (rule.tables.length + rule.events.length === 0) throw wrong(`The option ${what} names tables, events or both.`)
  if (rule.ageMs === undefined && rule.bytes === undefined) throw wrong(`The option ${what} has an age, bytes or both: without them nothing of it leaves.`)
  return rule
}

const tableName = (program: Program, table: unknown): string => program.tables[tableOrdinal(program, table)]!.descriptor.name

function namesOf(what: string, list: unknown, nameOf: (handle: unknown) => string): readonly string[] {
  const names = listOf(what, list).map(nameOf)
  const twice = names.find((name, n) => names.indexOf(name) < n)
  if (twice !== undefined) throw wrong(`The option ${what} has "${twice}" twice.`)
  return names
}

function listOf(what: string, list: unknown): readonly unknown[] {
  if (Array.isArray(list)) return list
  throw wrong(`The option ${what} is a list, not ${shown(list)}.`)
}

function mustBeObject(what: string, value: unknown, names: ReadonlySet<string>): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(`The option ${what} is an object, not ${shown(value)}.`)
  for (const name of Object.keys(value)) if (!names.has(name)) throw wrong(`The option ${what} has no "${name}"; it has ${[...names].join(', ')}.`)
}

function wholeBytes(what: string, value: unknown, or = ''): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw wrong(`The option ${what} is ${or}a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, not ${shown(value)}.`)
}

const wrong = (message: string): SluiceError => SluiceError.of('INVALID_USE', message)
