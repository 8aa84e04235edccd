/**
 * What a projection becomes: a service of its own, `'report.totals'`, with two of each of its tables and one row that says which are read.
 *
 *   tables      report.totals.blue.total, report.totals.green.total      alike; readers see those of one color
 *               report.totals.state                                      one row, global: which color is read, and what is built
 *   procedure   report.totals.$step                                      one transaction of whoever keeps it up (projection-host.ts)
 *   handlers    report.totals.on1, …                                     of an inline projection: in the transaction of the event
 *
 * Invariants:
 *   P1  A color holds exactly what its version makes of the log from the beginning up to its cursor: the cursor moves in the transaction that
 *       writes what lies before it, and a step that does not begin where the cursor stands does nothing. So each event has its effect once,
 *       whatever crashes.
 *   P2  Readers see one color, and which one changes in one transaction, in which the other one is not behind it.
 *   P3  An inline projection is written by its handlers only while its own version is read. When that begins, nothing is in
 *       flight, and all that is durable has been applied: so nothing is missed between the log and the handlers, and nothing comes twice.
 *   P4  An inline projection that is read while the application has another version of it is left, durably, before that version takes calls: nobody
 *       writes what happens into it, so it is built anew where its own version comes back.
 */
import type { OpenPart, ProjectionProgram } from '../../engine/schema/descriptor.js'
import { SluiceError } from '../../engine/base/errors.js'
import { column } from '../schema/column.js'
import { DefinitionKind, invalidDefinition, shown } from '../schema/definition.js'
import { lowerColumns } from '../schema/lower-columns.js'
import { copyOfTable, table, tableDefinitions, type TableDefinition } from '../schema/table.js'
import { eventDefinitions } from '../service/event.js'
import { procedureHandle, type ProcedureDefinition } from '../service/procedure.js'
import type { HandlerDefinition, ServiceDefinition } from '../service/service-definition.js'
import { type Apply, inlineOfTable, type ProjectionDefinition, projectionDefinitions } from './projection.js'

export type Color = 'blue' | 'green'
export const colors: readonly Color[] = ['blue', 'green']

/** A place in the log, between two things that happened: behind the first so many of a transaction. */
export interface ProjectionCursor {
  readonly batch: number
  readonly index: number
  readonly items: number
}
export const allItems = 2 ** 32 - 1
/** Behind all of a batch. */
export const endOf = (batch: number): ProjectionCursor => ({ batch, index: allItems, items: allItems })

/** What is known of the tables of one color. */
export interface ColorState {
  readonly version: number
  /** Of a version that is written inline. */
  readonly isInline?: boolean
  /** Written inline, and read, while the application had another version: events have come that are not in it (P4). */
  readonly isLeft?: boolean
  readonly cursor: ProjectionCursor
  /** Of the last commit that had an effect. */
  readonly time: number
}
export interface ProjectionRow {
  readonly id: number
  readonly live: Color | null
  readonly next: Color | null
  readonly blue: ColorState | null
  readonly green: ColorState | null
}
export const theRow = 1

/** Full names. */
export const stepOf = (projection: string): string => `${projection}.$step`
export const stateOf = (projection: string): string => `${projection}.state`
export const tablesOfProjection = ({ name, tables }: ProjectionProgram): readonly string[] => [stateOf(name), ...colors.flatMap((color) => tables.map((table) => `${name}.${color}.${table}`))]

/** What happened, on its way to a projection: the number of its source, what it carries, and where it stands. */
export interface ProjectionItem {
  readonly source: number
  readonly happened: Readonly<Record<string, unknown>>
}

export type StepInput =
  | { readonly do: 'begin'; readonly color: Color; readonly state: ColorState; readonly isLive: boolean }
  | { readonly do: 'apply'; readonly color: Color; readonly from: ProjectionCursor; readonly to: ProjectionCursor; readonly time: number; readonly items: readonly ProjectionItem[] }
  | { readonly do: 'turn'; readonly to: Color }
  | { readonly do: 'leave' }
  | { readonly do: 'clear'; readonly table: string; readonly keys: readonly unknown[] }

interface StepTable {
  get(key: unknown): unknown
  put(row: object): void
  delete(key: unknown): boolean
}
interface StepTx {
  readonly db: Readonly<Record<string, StepTable>>
}

/** What a projection is in its service. */
export interface ProjectionPart {
  readonly definition: ServiceDefinition
  readonly tables: ReadonlyMap<string, object>
}

/** By the definition of the small service: the projection that it was made of. */
export const projectedServices = new DefinitionKind<ProjectionDefinition>('projected service')

export function checkProjections(service: string, handles: ReadonlyMap<string, unknown>, taken: ReadonlyMap<string, unknown>): void {
  const seen = new Set<unknown>()
  for (const [name, handle] of handles) {
    const definition = projectionDefinitions.of(handle)
    if (definition === undefined) throw invalidDefinition(`projections.${name} of service '${service}' must be made by projection(), not ${shown(handle)}.`)
    if (definition.own !== name) throw invalidDefinition(`projections.${name} of service '${service}' is projection '${definition.own}': let both have one name.`)
    if (definition.service !== undefined || seen.has(definition)) throw invalidDefinition(`Projection '${service}.${name}' is '${definition.name}' already: it belongs to one service.`)
    if (taken.has(name)) throw invalidDefinition(`Service '${service}' has an aggregate '${name}' and a projection of this name: give one of them another name.`)
    seen.add(definition)
  }
}

export function takeProjections(service: string, handles: ReadonlyMap<string, unknown>): ReadonlyMap<string, ProjectionPart> {
  return new Map(
    [...handles].map(([name, handle]) => {
      const definition = projectionDefinitions.of(handle)!
      definition.service = service
      definition.name = `${service}.${name}`
      for (const [own, taken] of definition.tables) {
        taken.service = definition.name
        taken.name = `${definition.name}.${own}`
      }
      return [name, partOf(definition)] as const
    }),
  )
}

function partOf(definition: ProjectionDefinition): ProjectionPart {
  const { name, isInline } = definition
  const tables = new Map<string, object>()
  for (const color of colors) for (const [own, declared] of definition.tables) tables.set(`${color}.${own}`, copyOfTable(declared, `${name}.${color}.${own}`, name))
  const state = table({
    columns: { id: column.int(), live: column.text().nullable(), next: column.text().nullable(), blue: column.json().nullable(), green: column.json().nullable() },
    key: ['id'],
    partition: 'global',
  })
  const taken = tableDefinitions.of(state)!
  taken.name = stateOf(name)
  taken.service = name
  tables.set('state', state)
  const service: ServiceDefinition = {
    name,
    tables: new Map([...tables].map(([own, handle]) => [own, tableDefinitions.of(handle) as TableDefinition])),
    events: new Map(),
    aborts: new Map(),
    reads: new Map(),
    replicas: new Map(),
    procedures: new Map([['$step', stepProcedure(definition)]]),
    workflows: new Map(),
    // What it follows is known when all modules have been loaded: see `handlers` below.
    get handlers() {
      return isInline ? inlineHandlers(definition) : new Map<string, HandlerDefinition>()
    },
    parts: new Map(),
    opens: opensTables(definition),
    sealedBy: undefined,
  }
  return { definition: projectedServices.attach(service, definition), tables }
}

/** `tx.projection.totals`: the tables that are read, as a transaction sees them. */
function opensTables({ tables }: ProjectionDefinition): OpenPart {
  return ({ tx }) => {
    const { db } = tx as StepTx
    const shownTables: Record<string, unknown> = Object.create(null) as Record<string, unknown>
    for (const own of tables.keys()) {
      Object.defineProperty(shownTables, own, {
        enumerable: true,
        get: () => db[`${(db['state']!.get(theRow) as ProjectionRow | undefined)?.live ?? 'blue'}.${own}`],
      })
    }
    return Object.freeze(shownTables)
  }
}

/** What a projection may see: its tables of one color, under their own names. */
function insideOf({ tables }: ProjectionDefinition, tx: StepTx, color: Color): { readonly db: object } {
  const db = Object.create(null) as Record<string, unknown>
  for (const own of tables.keys()) db[own] = tx.db[`${color}.${own}`]
  return Object.freeze({ db: Object.freeze(db) })
}

function run(apply: Apply, inside: { readonly db: object }, happened: object, name: string): void {
  const result = apply(inside, happened)
  if (typeof result !== 'object' || result === null || typeof (result as { then?: unknown }).then !== 'function') return
  ;(result as Promise<unknown>).then(undefined, () => undefined)
  throw SluiceError.of('PROCEDURE_FAILED', `A function of projection "${name}" returned a promise: it is synchronous.`, { details: { procedure: name } })
}

// ── inline ──────────────────────────────────────────────────────────────────────────────────────────────

function inlineHandlers(definition: ProjectionDefinition): Map<string, HandlerDefinition> {
  const { name, version, sources } = definition
  return new Map(
    sources.map(({ of, run: apply }, n): [string, HandlerDefinition] => [
      `on${n + 1}`,
      {
        name: `${name}.on${n + 1}`,
        events: [of],
        joins: false,
        atomic: true,
        emits: () => [],
        partition: undefined,
        run: (tx: StepTx & { readonly now: number }, { type, payload }: { readonly type: string; readonly payload: object }) => {
          const row = tx.db['state']!.get(theRow) as ProjectionRow | undefined
          if (row === undefined || row.live === null || !isWrittenBy(row[row.live]!, { version, isInline: true })) return // P3
          run(apply, insideOf(definition, tx, row.live), Object.freeze({ type, payload, time: tx.now }), name)
        },
      },
    ]),
  )
}

// ── steps ───────────────────────────────────────────────────────────────────────────────────────────────

function stepProcedure(definition: ProjectionDefinition): ProcedureDefinition {
  const { name } = definition
  const procedure: ProcedureDefinition = {
    name: stepOf(name),
    service: name,
    input: lowerColumns({ step: column.json<StepInput>() }, `the input of '${stepOf(name)}'`, 'record'),
    placed: false,
    partition: undefined,
    partitions: undefined,
    readonly: false,
    isolation: 'serializable',
    run: (tx: StepTx, { step }: { readonly step: StepInput }) => doStep(definition, tx, step),
    handle: undefined,
  }
  procedureHandle(procedure)
  return procedure
}

/** Answers whether it has done what it was to do. */
function doStep(definition: ProjectionDefinition, tx: StepTx, step: StepInput): boolean {
  const { db } = tx
  const row = (db['state']!.get(theRow) as ProjectionRow | undefined) ?? { id: theRow, live: null, next: null, blue: null, green: null }
  switch (step.do) {
    case 'begin':
      db['state']!.put({ ...row, [step.color]: step.state, ...(step.isLive ? { live: step.color, next: null } : { next: step.color }) })
      return true
    case 'apply': {
      const { color, from, to, time, items } = step
      const state = row[color]
      if (state === null || !isSameCursor(state.cursor, from)) return false // P1
      const inside = insideOf(definition, tx, color)
      for (const { source, happened } of items) run(definition.sources[source]!.run, inside, Object.freeze(happened), definition.name)
      db['state']!.put({ ...row, [color]: { ...state, cursor: to, time } })
      return true
    }
    case 'turn': {
      const [next, live] = [row[step.to], row.live === null ? null : row[row.live]]
      // P2: of a live one of this version that is followed apart, for inline ones are never behind.
      if (row.next !== step.to || next === null) return false
      if (live !== null && live.version === definition.version && !definition.isInline && isBefore(next.cursor, live.cursor)) return false
      db['state']!.put({ ...row, live: step.to, next: null })
      return true
    }
    case 'leave': {
      const live = row.live === null ? null : row[row.live]
      if (live === null) return false
      db['state']!.put({ ...row, [row.live!]: { ...live, isLeft: true } })
      return true
    }
    case 'clear':
      for (const key of step.keys) db[step.table]!.delete(key)
      return true
  }
}

/** Of this version, and as it is written: inline or behind. Without a word from before there was one, it is. */
export const isOf = (state: ColorState, { version, isInline }: { readonly version: number; readonly isInline: boolean }): boolean => state.version === version && (state.isInline ?? isInline) === isInline
/** It holds all that its version makes of the log, as long as that goes on writing it. */
export const isWrittenBy = (state: ColorState, projection: { readonly version: number; readonly isInline: boolean }): boolean => isOf(state, projection) && state.isLeft !== true
export const isSameCursor = (one: ProjectionCursor, other: ProjectionCursor): boolean => one.batch === other.batch && one.index === other.index && one.items === other.items
export const isBefore = (one: ProjectionCursor, other: ProjectionCursor): boolean =>
  one.batch !== other.batch ? one.batch < other.batch : one.index !== other.index ? one.index < other.index : one.items < other.items

// ── what the program says of it ─────────────────────────────────────────────────────────────────────────

/** Arrows are followed here, when all modules have been loaded. */
export function projectionPrograms(services: readonly ServiceDefinition[], events: ReadonlyMap<string, unknown>, tables: ReadonlyMap<string, unknown>): readonly ProjectionProgram[] {
  return services.flatMap((service) => {
    const definition = projectedServices.of(service)
    return definition === undefined ? [] : [programOf(definition, events, tables)]
  })
}

function programOf(definition: ProjectionDefinition, events: ReadonlyMap<string, unknown>, tables: ReadonlyMap<string, unknown>): ProjectionProgram {
  const { name, version, isInline, keepsOld, sources } = definition
  definition.isSealed = true
  if (sources.length === 0) throw invalidDefinition(`Projection '${name}' follows nothing: say what an event does to it, ${definition.own}.on(shop.events.paid, (tx, event) => …).`)
  const followed = sources.map((source): { readonly event: string; readonly change: string } => {
    let answer: unknown
    try {
      answer = source.of()
    } catch (cause) {
      throw invalidDefinition(`An arrow of projection '${name}' threw: see cause.`, undefined, cause)
    }
    const [event, change] = [eventDefinitions.of(answer)?.name, tableDefinitions.of(answer)?.name]
    if (change !== undefined && isInline) throw inlineOfTable(name)
    if (event !== undefined && events.has(event)) return { event, change: '' }
    if (change !== undefined && tables.has(change) && !change.startsWith(`${name}.`)) return { event: '', change }
    throw invalidDefinition(`Projection '${name}' follows ${event ?? change ?? shown(answer)}, which is no event and no other table of this application: add its service to app().`)
  })
  const names = followed.map(({ event, change }) => event || change)
  const twice = names.find((one, n) => names.indexOf(one) !== n)
  if (twice !== undefined) throw invalidDefinition(`Projection '${name}' follows '${twice}' twice: let one function do both.`)
  return { name, version, isInline, keepsOld, events: followed.map(({ event }) => event), changes: followed.map(({ change }) => change), tables: [...definition.tables.keys()] }
}
