/**
 * The model: what a database is, on plain maps, with one whole state per position. It knows nothing of
 * batches, lanes, pages or workers; a transaction runs on a copy of the newest state and either replaces it
 * or leaves nothing. Slow and obvious on purpose.
 *
 *   state    full table name -> canonical key -> row (rows are never changed in place)
 *   history  the state after each position, oldest first
 *
 * Where api.md leaves the code of an error open (a value that is out of range *and* breaks a check), a
 * failure holds every code that is right.
 */
import {
  interpret,
  type Key,
  type Range,
  type Script,
  type ScriptIndex,
  type ScriptTable,
  type ScriptTx,
} from './apps/script.js'
import {
  moods,
  schema,
  tableSpecs,
  type ColumnSpec,
  type ColumnType,
  type IndexSpec,
  type TableSpec,
} from './apps/model-schema.js'
import { shown } from './apps/model-app.js'
import { canon } from './canon.js'

export type Row = Readonly<Record<string, unknown>>
export type State = Readonly<Record<string, ReadonlyMap<string, Row>>>

export type ModelOutcome =
  | {
      readonly ok: true
      readonly value: unknown
      readonly state: State
      readonly events: readonly { type: string; payload: unknown }[]
    }
  | {
      readonly ok: false
      readonly codes: readonly string[]
      readonly reason?: string
      readonly details?: unknown
    }

/** What `tx` throws in the model. */
class Failure extends Error {
  readonly codes: readonly string[]
  readonly reason: string | undefined
  readonly details: unknown
  constructor(codes: readonly string[], reason?: string, details?: unknown) {
    super(codes.join(' or '))
    this.codes = codes
    this.reason = reason
    this.details = details
  }
}

export const emptyState: State = Object.fromEntries(Object.keys(tableSpecs).map((name) => [name, new Map()]))

/** Runs a script as one transaction of `service` on `state`. */
export function runOn(state: State, script: Script): ModelOutcome {
  const tx = new ModelTransaction(state)
  try {
    const value = interpret(tx.scope('main'), script, shown, (other) => tx.nested(other))
    tx.finish()
    return { ok: true, value, state: tx.state, events: tx.events }
  } catch (error) {
    const failure = tx.doomed ?? (error instanceof Failure ? error : new Failure(['PROCEDURE_FAILED']))
    const abort = failure.reason === undefined ? {} : { reason: failure.reason, details: failure.details }
    return { ok: false, codes: failure.codes, ...abort }
  }
}

class ModelTransaction {
  readonly #tables: Record<string, ReadonlyMap<string, Row>>
  readonly #changed = new Set<string>()
  readonly events: { type: string; payload: unknown }[] = []
  doomed: Failure | undefined

  constructor(state: State) {
    this.#tables = { ...state }
  }

  get state(): State {
    return this.#tables
  }

  scope(service: 'main' | 'side'): ScriptTx {
    const tables = Object.keys(schema[service]).map((name) => [name, this.#table(`${service}.${name}`)])
    return {
      db: Object.fromEntries(tables),
      emit: (event, payload) => this.#emit(`${service}.${event}`, payload as Record<string, unknown>),
      abort: (reason, details = {}) => this.fail(['ABORTED'], reason, details),
    }
  }

  nested(script: Script): unknown {
    this.alive()
    return interpret(this.scope('side'), script, shown, () => 'not here')
  }

  /** After the body: the doomed stay doomed, then the atomic handlers, in order of emit. */
  finish(): void {
    this.alive()
    for (let at = 0; at < this.events.length; at += 1) {
      const { type, payload } = this.events[at] as {
        type: string
        payload: { place: string; n: number; fail?: boolean; extra?: unknown }
      }
      const { place, n } = payload
      if (type === 'main.marked') {
        const side = this.scope('side')
        side.db['audit']!.insert({ place, n, extra: payload.extra })
        if (payload.fail) side.abort('REFUSED', { n })
        side.emit('noted', { place, n })
      } else {
        const { tally } = this.scope('main').db
        const row = tally!.row(place)
        if (row) row['count'] = Number(row['count']) + 1
        else tally!.insert({ place, count: 1 })
      }
    }
  }

  alive(): void {
    if (this.doomed) throw this.doomed
  }

  fail(codes: readonly string[], reason?: string, details?: unknown): never {
    this.alive()
    this.doomed = new Failure(codes, reason, details)
    throw this.doomed
  }

  #emit(type: string, payload: Record<string, unknown>): void {
    this.alive()
    const whole = type === 'main.marked' ? { fail: false, extra: null, ...payload } : payload
    this.events.push({ type, payload: normal(whole) })
  }

  #table(name: string): ScriptTable {
    const spec = tableSpecs[name]!
    const rows = () => this.#tables[name]!
    const write = (key: string, row: Row | undefined) => {
      const next = this.#changed.has(name) ? (rows() as Map<string, Row>) : new Map(rows())
      this.#changed.add(name)
      if (row) next.set(key, row)
      else next.delete(key)
      this.#tables[name] = next
    }
    const find = (key: Key) => {
      this.alive()
      return rows().get(canonKey(spec, key))
    }
    const existing = (key: Key) => find(key) ?? this.fail(['NOT_FOUND'])
    const checked = (columns: Readonly<Record<string, unknown>>) => {
      for (const column of Object.keys(columns)) this.#check(spec, column, columns[column])
      return normal(columns) as Row
    }
    const patched = (row: Row, patch: Readonly<Record<string, unknown>>) => {
      const next = { ...row, ...checked(patch) }
      write(canon(keyOf(spec, row)), next)
      return next
    }
    const whole = (row: object): Row => {
      this.alive()
      const filled = Object.fromEntries(
        Object.entries(spec.columns).map(([column, it]) => [
          column,
          filledIn(it, (row as Record<string, unknown>)[column]),
        ]),
      )
      return checked(filled)
    }
    const live = (row: Row): Record<string, unknown> => {
      const key = canon(keyOf(spec, row))
      const accessor = {}
      for (const column of Object.keys(spec.columns)) {
        Object.defineProperty(accessor, column, {
          get: () => rows().get(key)![column],
          set: (value: unknown) => {
            this.alive()
            patched(rows().get(key)!, { [column]: value })
          },
        })
      }
      return accessor
    }
    /** Fixes its rows when called, skips what has been deleted since. */
    const lively = function* (fixed: readonly Row[]): Iterable<Record<string, unknown>> {
      for (const row of fixed) if (rows().has(canon(keyOf(spec, row)))) yield live(row)
    }
    const scan = (range: Range = {}) => {
      this.alive()
      return scanOf(spec, rows().values(), range)
    }
    const index = (it: IndexSpec): ScriptIndex => {
      const get = (values: unknown) => {
        this.alive()
        return lookUp(spec, it, rows().values(), values)
      }
      return {
        get,
        rows: (values) => lively(get(values)),
        scan: (range = {}) => {
          this.alive()
          return searchOf(spec, it, rows().values(), range)
        },
      }
    }
    return {
      get: find,
      has: (key) => find(key) !== undefined,
      row: (key) => {
        const row = find(key)
        return row && live(row)
      },
      insert: (row) => {
        const next = whole(row)
        const key = keyOf(spec, next)
        if (rows().has(canon(key))) this.fail(['CONSTRAINT'])
        write(canon(key), next)
        return bare(key)
      },
      put: (row) => {
        const next = whole(row)
        write(canon(keyOf(spec, next)), next)
      },
      update: (key, patch) => {
        const row = existing(key)
        patched(row, (typeof patch === 'function' ? patch(row) : patch) as Row)
      },
      add: (key, deltas) => {
        const row = existing(key)
        patched(
          row,
          Object.fromEntries(
            Object.entries(deltas).map(([column, delta]) => [column, sum(row[column], delta)]),
          ),
        )
      },
      delete: (key) => {
        const row = find(key)
        if (row) write(canon(keyOf(spec, row)), undefined)
        return row !== undefined
      },
      scan,
      rows: (range) => lively(scan(range)),
      index: Object.fromEntries(Object.entries(spec.indexes ?? {}).map(([name, it]) => [name, index(it)])),
    }
  }

  #check(spec: TableSpec, name: string, value: unknown): void {
    const column = spec.columns[name]
    if (!column || !isOfType(column, value)) this.fail(['INVALID_INPUT', 'CONSTRAINT'])
    if (value === null) return
    const broken =
      (column.min !== undefined && Number(value) < column.min) ||
      (column.max !== undefined && Number(value) > column.max) ||
      (column.notBlank && String(value).trim() === '') ||
      (column.maxLength !== undefined && String(value).length > column.maxLength)
    if (broken) this.fail(['CONSTRAINT'])
  }
}

function filledIn(column: ColumnSpec, value: unknown): unknown {
  if (value !== undefined) return value
  if ('default' in column) return column.default
  return column.nullable ? null : undefined
}

const sum = (value: unknown, delta: unknown) =>
  typeof value === 'bigint' ? value + (delta as bigint) : (value as number) + (delta as number)

const whole = (low: number, high: number) => (value: unknown) =>
  Number.isInteger(value) && (value as number) >= low && (value as number) <= high
const ofType: Readonly<Record<ColumnType, (value: unknown) => boolean>> = {
  bool: (value) => typeof value === 'boolean',
  i32: whole(-(2 ** 31), 2 ** 31 - 1),
  u32: whole(0, 2 ** 32 - 1),
  int: whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  f64: (value) => typeof value === 'number' && !Number.isNaN(value),
  bigint: (value) => typeof value === 'bigint',
  text: (value) => typeof value === 'string' && Buffer.from(value).toString() === value,
  bytes: (value) => value instanceof Uint8Array,
  json: (value) => value !== undefined,
  timestamp: (value) => typeof value === 'number' && Number.isFinite(value),
  uuid: (value) => typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value),
  enum: (value) => moods.includes(value as never),
}
const isOfType = (column: ColumnSpec, value: unknown) =>
  value === null ? column.nullable === true || column.type === 'json' : ofType[column.type](value)

/** -0 is stored as 0. */
function normal(value: unknown): unknown {
  if (Object.is(value, -0)) return 0
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || value instanceof Date)
    return value
  if (Array.isArray(value)) return value.map(normal)
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, normal(entry)]))
}

export const keyOf = (spec: TableSpec, row: Row): unknown[] => spec.key.map((name) => row[name])
/** A key of one column is given and returned bare. */
export const bare = (key: readonly unknown[]): unknown => (key.length === 1 ? key[0] : key)
export const canonKey = (spec: TableSpec, key: Key): string =>
  canon(normal(spec.key.length === 1 ? [key] : key))

/** Null first, text and bytes by their bytes, the rest by value. */
export function compare(one: unknown, other: unknown): number {
  if (one === null || other === null) return Number(one !== null) - Number(other !== null)
  if (typeof one === 'string') return Buffer.compare(Buffer.from(one), Buffer.from(other as string))
  if (one instanceof Uint8Array) return Buffer.compare(one, other as Uint8Array)
  return (one as number) < (other as number) ? -1 : (one as number) > (other as number) ? 1 : 0
}

/** As many columns as the shorter one has: a bound may be leading columns. */
function compareLeading(values: readonly unknown[], bound: readonly unknown[]): number {
  for (let at = 0; at < bound.length; at += 1) {
    const order = compare(values[at], bound[at])
    if (order !== 0) return order
  }
  return 0
}

const asList = (bound: unknown, columns: readonly string[]): readonly unknown[] =>
  columns.length === 1 && !Array.isArray(bound) ? [bound] : (bound as unknown[])

function ranged(spec: TableSpec, on: readonly string[], rows: Iterable<Row>, range: Range): Row[] {
  const values = (row: Row) => on.map((name) => row[name])
  const order = (one: Row, other: Row) =>
    compareLeading([...values(one), ...keyOf(spec, one)], [...values(other), ...keyOf(spec, other)])
  const bound = (name: string) => (range[name] === undefined ? undefined : asList(normal(range[name]), on))
  const [prefix, from, after, to] = [bound('prefix'), bound('from'), bound('after'), bound('to')]
  const inside = (row: Row) =>
    (!prefix || compareLeading(values(row), prefix) === 0) &&
    (!from || compareLeading(values(row), from) >= 0) &&
    (!after || compareLeading(values(row), after) > 0) &&
    (!to || compareLeading(values(row), to) < 0)
  const found = [...rows].filter(inside).sort(order)
  if (range['reverse']) found.reverse()
  return range['limit'] === undefined ? found : found.slice(0, Number(range['limit']))
}

export const scanOf = (spec: TableSpec, rows: Iterable<Row>, range: Range) =>
  ranged(spec, spec.key, rows, range)
export const searchOf = (spec: TableSpec, index: IndexSpec, rows: Iterable<Row>, range: Range) =>
  ranged(spec, index.on, rows, range)
export function lookUp(spec: TableSpec, index: IndexSpec, rows: Iterable<Row>, values: unknown): Row[] {
  const wanted = asList(normal(values), index.on)
  const equal = [...rows].filter(
    (row) =>
      compareLeading(
        index.on.map((name) => row[name]),
        wanted,
      ) === 0,
  )
  return scanOf(spec, equal, {})
}
