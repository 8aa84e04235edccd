/**
 * The stream of one id, inside of a transaction.
 *
 *   heads       id → how many events there are
 *   events      (id, version) → type, shape, time, payload; ordered, in the partition of the id
 *   snapshots   id → a state, of which version it is and by which `evolve` it was made
 *
 * Loading takes the snapshot, if this `evolve` made it, and folds the events behind it. What was folded is kept as long as the head says that
 * nothing has been appended since, by whoever it was.
 *
 * Invariants:
 *   A1  The versions of a stream are 1, 2, … without a gap, and the head is the last of them: events are appended in the lane of their
 *       partition, each behind the head that the same transaction has read.
 *   A2  A snapshot is what its events come to; it decides how long loading takes, and never what comes of it.
 */
import { SluiceError } from '../../engine/base/errors.js'
import { shown } from '../schema/definition.js'
import type { AppendOptions, AppendCondition, Decision, EventMoment, ExpectedVersion } from './aggregate.js'
import { type AggregateRules, type CheckedEvent, invalidUse, type Payload } from './aggregate-rules.js'

/** The tables, as a transaction has them. */
interface StreamTable {
  get(key: unknown): Readonly<Record<string, unknown>> | undefined
  put(row: object): void
  insert(row: object): unknown
  delete(key: unknown): boolean
  scan(range: object): Iterable<Readonly<Record<string, unknown>>>
}
/** `tx` of the small service of the aggregate, and how an error becomes the outcome of the transaction. */
export interface Inside {
  readonly tx: {
    readonly db: Readonly<Record<'events' | 'heads' | 'snapshots', StreamTable>>
    readonly now: number
    random(): number
    uuid(): string
    emit(event: string, payload: object): void
    abort(reason: string, details?: object): never
  }
  readonly isReadOnly: boolean
  fail(error: SluiceError): never
}

interface EventRow {
  readonly id: unknown
  readonly version: number
  readonly type: string
  readonly shape: number
  readonly time: number
  readonly payload: Payload
}
interface Recorded extends EventMoment {
  readonly type: string
  readonly payload: Payload
}
interface ConditionParts {
  readonly stream: AggregateStreamHandle
  readonly types: ReadonlySet<string> | undefined
  readonly after: number
  readonly where: ((event: Recorded) => unknown) | undefined
}

const conditions = new WeakMap<object, ConditionParts>()
const rangeNames: readonly string[] = ['after', 'limit']
const withoutNames: readonly string[] = ['types', 'after', 'where']
const appendNames: readonly string[] = ['expectedVersion', 'appendIf']

export class AggregateStreamHandle {
  readonly id: unknown
  readonly #rules: AggregateRules
  readonly #inside: Inside
  #state: unknown
  /** Of `#state`; undefined while nothing is loaded. */
  #folded: number | undefined
  /** Events that were replayed to get there. */
  #replayed = 0

  constructor(rules: AggregateRules, inside: Inside, id: unknown) {
    this.#rules = rules
    this.#inside = inside
    this.id = id
    Object.freeze(this)
  }

  get version(): number {
    return (this.#inside.tx.db.heads.get(this.id)?.['version'] as number | undefined) ?? 0
  }

  get state(): unknown {
    return this.#guard(() => this.#load(this.version))
  }

  append(events: unknown, options: AppendOptions = {}): number {
    return this.#guard(() => {
      this.#mustWrite('append()')
      this.#known(options, appendNames, 'append()')
      const before = this.version
      this.#expect(options.expectedVersion, before)
      this.#mustHold(options.appendIf)
      return this.#record(this.#rules.checked(events, 'append()'), before)
    })
  }

  /** Not of users: what a command's procedure does. */
  decide(name: string, input: Payload, expectedVersion: ExpectedVersion | undefined): number {
    return this.#guard(() => {
      const before = this.version
      this.#expect(expectedVersion, before)
      const { tx } = this.#inside
      const it: Decision = {
        id: this.id,
        version: before,
        now: tx.now,
        random: () => tx.random(),
        uuid: () => tx.uuid(),
        abort: (reason: string, details?: object) => tx.abort(reason, details),
      }
      return this.#record(this.#rules.decide(this.#rules.definition.commands.get(name)!, this.#load(before), input, it), before)
    })
  }

  *events(range: { readonly after?: number; readonly limit?: number } = {}): Iterable<Recorded> {
    this.#known(range, rangeNames, 'events()')
    const { after = 0, limit } = range
    for (const row of this.#rows(after, limit)) yield this.#read(row)
  }

  without(events: { readonly types?: readonly string[]; readonly after?: number; readonly where?: (event: Recorded) => unknown } = {}): AppendCondition {
    return this.#guard(() => {
      this.#known(events, withoutNames, 'without()')
      const { types, after = 0, where } = events
      for (const type of types ?? []) this.#rules.shapesOf(type)
      if (where !== undefined && typeof where !== 'function') throw invalidUse(`where of without() is a function of an event, not ${shown(where)}.`)
      const made = Object.freeze({})
      conditions.set(made, { stream: this, types: types && new Set(types), after, where })
      return made as unknown as AppendCondition
    })
  }

  rebuild(): unknown {
    return this.#guard(() => {
      this.#mustWrite('rebuild()')
      const version = this.version
      this.#inside.tx.db.snapshots.delete(this.id)
      this.#folded = undefined
      const state = this.#load(version)
      if (version > 0 && this.#rules.definition.snapshotEvery !== undefined) this.#keep(version)
      return state
    })
  }

  /** As of an older version: no snapshot helps but one that is no newer. */
  stateAt(version: number): unknown {
    const newest = this.version
    if (version >= newest) return this.#load(newest)
    const { state, version: from } = this.#beginning(version)
    return this.#fold(state, this.#rows(from, version - from))
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────

  #load(version: number): unknown {
    if (this.#folded === version) return this.#state
    const { state, version: from } = this.#beginning(version)
    this.#state = this.#fold(state, this.#rows(from))
    this.#folded = version
    this.#replayed = version - from
    return this.#state
  }

  #beginning(versionMax: number): { readonly state: unknown; readonly version: number } {
    const { definition } = this.#rules
    const kept = definition.snapshotEvery === undefined ? undefined : this.#inside.tx.db.snapshots.get(this.id)
    if (kept === undefined || kept['format'] !== definition.version || (kept['version'] as number) > versionMax) return { state: definition.initial(), version: 0 }
    return { state: kept['state'], version: kept['version'] as number }
  }

  #rows(after: number, limit?: number): Iterable<EventRow> {
    const { id } = this
    const range = { prefix: [id], ...(after > 0 && { after: [id, after] }), ...(limit !== undefined && { limit }) }
    return this.#inside.tx.db.events.scan(range) as Iterable<unknown> as Iterable<EventRow>
  }

  #fold(from: unknown, rows: Iterable<EventRow>): unknown {
    const rules = this.#rules
    let state = from
    for (const { id, version, type, shape, time, payload } of rows) {
      state = rules.fold(state, type, rules.shapesOf(type).read(payload, shape), { id, version, time })
    }
    return state
  }

  #read({ id, version, type, shape, time, payload }: EventRow): Recorded {
    return this.#guard(() => ({ id, version, time, type, payload: this.#rules.shapesOf(type).read(payload, shape) }))
  }

  // ── conditions ────────────────────────────────────────────────────────────────────────────────────────

  #expect(expected: unknown, actual: number): void {
    if (expected === undefined || expected === null) return
    const holds = expected === 'none' ? actual === 0 : expected === 'exists' ? actual > 0 : expected === actual
    if (holds) return
    if (expected !== 'none' && expected !== 'exists' && !(Number.isSafeInteger(expected) && (expected as number) >= 0)) {
      throw invalidUse(`expectedVersion is a version, 'none' or 'exists', not ${shown(expected)}.`)
    }
    throw SluiceError.of('CONFLICT', `Aggregate "${this.#rules.name}" ${shown(this.id)} is at version ${actual}, and ${String(expected)} was expected: load it and decide again.`, {
      details: { aggregate: this.#rules.name, id: this.id, expected, actual },
      isFinal: expected === 'none' || (typeof expected === 'number' && expected < actual), // A1: versions only grow
    })
  }

  #mustHold(appendIf: unknown): void {
    if (appendIf === undefined) return
    for (const one of Array.isArray(appendIf) ? (appendIf as readonly unknown[]) : [appendIf]) {
      const parts = typeof one === 'object' && one !== null ? conditions.get(one) : undefined
      if (parts === undefined) throw invalidUse(`appendIf is what without() of a stream answered, or a list of such, not ${shown(one)}.`)
      parts.stream.#mustBeWithout(parts)
    }
  }

  #mustBeWithout({ types, after, where }: ConditionParts): void {
    for (const row of this.#rows(after)) {
      if (types !== undefined && !types.has(row.type)) continue
      if (where !== undefined && where(this.#read(row)) !== true) continue
      throw SluiceError.of('CONFLICT', `Aggregate "${this.#rules.name}" ${shown(this.id)} has an event "${row.type}" at version ${row.version}, which appendIf excludes: load it and decide again.`, {
        details: { aggregate: this.#rules.name, id: this.id, after, type: row.type, version: row.version },
        isFinal: true, // what is recorded stays
      })
    }
  }

  // ── writing ───────────────────────────────────────────────────────────────────────────────────────────

  #record(events: readonly CheckedEvent[], before: number): number {
    if (events.length === 0) return before
    const { tx } = this.#inside
    const { id } = this
    const { now: time, db } = tx
    const isLoaded = this.#folded === before
    let version = before
    for (const { type, payload } of events) {
      version += 1
      db.events.insert({ id, version, type, shape: this.#rules.shapesOf(type).newest, time, payload })
      tx.emit(type, { id, version, ...payload })
      if (isLoaded) this.#state = this.#rules.fold(this.#state, type, payload, { id, version, time })
    }
    if (isLoaded) this.#folded = version
    db.heads.put({ id, version })
    const every = this.#rules.definition.snapshotEvery
    if (every !== undefined && (Math.floor(version / every) > Math.floor(before / every) || this.#replayed >= every)) {
      this.#load(version)
      this.#keep(version)
    }
    return version
  }

  #keep(version: number): void {
    this.#inside.tx.db.snapshots.put({ id: this.id, version, format: this.#rules.definition.version, state: this.#state })
    this.#replayed = 0
  }

  #mustWrite(what: string): void {
    if (this.#inside.isReadOnly) throw invalidUse(`${what} of aggregate "${this.#rules.name}" was called in a procedure with readonly: true, which changes nothing: leave readonly out.`)
  }

  #known(options: unknown, known: readonly string[], what: string): void {
    if (typeof options !== 'object' || options === null) this.#inside.fail(invalidUse(`The options of ${what} are an object, not ${shown(options)}.`))
    for (const name of Object.keys(options as object)) if (!known.includes(name)) this.#inside.fail(invalidUse(`${what} has no option "${name}"; it has ${known.join(', ')}.`))
  }

  /** Whatever SluiceError is thrown here is the outcome of the transaction, caught or not (R24). */
  #guard<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (SluiceError.is(error)) return this.#inside.fail(error)
      throw error
    }
  }
}
