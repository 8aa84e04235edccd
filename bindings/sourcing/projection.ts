/**
 * Projections: tables that are a fold of the log, and of nothing else.
 *
 * `projection()` answers one value for its whole life; `.on(event, run)` says what an event does to its tables. `service()` gives it its full
 * name (`'report.totals'`) and makes of it a small service of its own (projection-service.ts), which somebody on main keeps up
 * with the log (projection-host.ts), or which runs in the transactions of its events (`inline: true`).
 */
import type { Change } from '../change.js'
import type { Position } from '../position.js'
import { checkFlag, checkFunction, checkOptions, DefinitionKind, entriesOf, invalidDefinition, shown, checkName } from '../schema/definition.js'
import type { Columns } from '../schema/infer.js'
import type { shape } from '../schema/shape.js'
import { type Key, type Row, type Table, tableDefinitions, type TableDefinition, type TableShape } from '../schema/table.js'
import { type Delivered, type Emitted, eventDefinitions, type EventType } from '../service/event.js'
import type { OrderedReader, OrderedTxTable, Reader, TxTable } from '../service/table-handles.js'
import type { SluiceError } from '../../engine/base/errors.js'
import type { SignalLike } from '../signal.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

/** What a projection is made of, at the level of types. */
export interface ProjectionShape {
  tables: Readonly<Record<string, Table>>
  inline: boolean
}

type WrittenTables<T extends ProjectionShape['tables']> = {
  readonly [N in keyof T]: T[N][typeof shape]['ordered'] extends true ? OrderedTxTable<T[N][typeof shape]> : TxTable<T[N][typeof shape]>
}
/** All that a projection may see beside what has happened: its own tables. */
export interface ProjectionTx<T extends ProjectionShape['tables'] = ProjectionShape['tables']> {
  readonly db: WrittenTables<T>
}
/** What has happened, with the time of its batch; and where it stands in the log, but for projections that write before it stands there. */
export type Projected<S extends ProjectionShape, N extends string, C extends Columns> = S['inline'] extends true
  ? Emitted<N, C> & { readonly time: number }
  : Delivered<N, C>
type ProjectedChange<S extends TableShape, N extends string> = Change<N, Key<S>, Row<S>> & { readonly position: Position; readonly time: number }

export interface Projection<S extends ProjectionShape = any, Name extends string = string> {
  readonly [shape]: S
  /** The full name, `'report.totals'`; its own until a service has it. */
  readonly name: Name
  readonly version: number
  /** What an event of any service of the application does to the tables. An arrow where services import each other. */
  on<N extends string, C extends Columns>(
    event: EventType<N, C> | (() => EventType<N, C>),
    run: (tx: ProjectionTx<S['tables']>, event: Projected<S, N, C>) => void,
  ): this
  /** What a change of a row of another table does to them. Not of an inline projection. */
  on<T extends TableShape, N extends string>(
    table: S['inline'] extends true ? never : Table<T, N> | (() => Table<T, N>),
    run: (tx: ProjectionTx<S['tables']>, change: ProjectedChange<T, N>) => void,
  ): this
}

/** `'building'`: for the first time. `'live'`: it follows. `'rebuilding'`: another version is built beside it. `'failed'`: see `error`. */
export type ProjectionState = 'building' | 'live' | 'rebuilding' | 'failed'
export interface ProjectionStatus {
  readonly name: string
  readonly state: ProjectionState
  /** Of what readers see; undefined while nothing has been built. */
  readonly version: number | undefined
  /** Up to where readers see everything. */
  readonly position: Position | undefined
  /** Milliseconds between the newest commit and the last one that readers see the effect of: 0 where they see all. */
  readonly lag: number
  /** What is built beside it, and how far. */
  readonly next: { readonly version: number; readonly position: Position } | undefined
  /** Why it stands still: what its function threw, at which place in the log; or what the log said. */
  readonly error: SluiceError | undefined
}

type ReadTables<T extends ProjectionShape['tables']> = {
  readonly [N in keyof T & string]: T[N][typeof shape]['ordered'] extends true ? OrderedReader<T[N][typeof shape]> : Reader<T[N][typeof shape]>
}
/** A projection of an open database: `db.projection(report.projections.totals)`. */
export interface ProjectionHandle<S extends ProjectionShape = any> {
  /** The tables that readers see, whichever version that is at each read. */
  readonly tables: ReadTables<S['tables']>
  /** Resolves when readers see what the log says up to a position: to read one's own writes. `CANCELLED` by its signal. */
  reached(position: Position, options?: { readonly signal?: SignalLike | undefined }): Promise<void>
  status(): ProjectionStatus
  /** Builds it once more, beside what readers see, and changes over when it has caught up. Resolves then. */
  rebuild(options?: { readonly signal?: SignalLike | undefined }): Promise<void>
}

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

export type Apply = (tx: { readonly db: object }, happened: object) => unknown
export interface ProjectionSource {
  readonly of: () => unknown
  readonly run: Apply
}
export interface ProjectionDefinition {
  readonly own: string
  /** The full name; set once, by the service that takes it. */
  name: string
  service: string | undefined
  readonly version: number
  readonly isInline: boolean
  readonly keepsOld: boolean
  readonly tables: ReadonlyMap<string, TableDefinition>
  readonly sources: ProjectionSource[]
  /** `app()` has taken it. */
  isSealed: boolean
}

export const projectionDefinitions = new DefinitionKind<ProjectionDefinition>('projection')

class ProjectionDeclaration {
  readonly #definition: ProjectionDefinition

  constructor(definition: ProjectionDefinition) {
    this.#definition = definition
    Object.freeze(projectionDefinitions.attach(this, definition))
  }

  get name(): string {
    return this.#definition.name
  }
  get version(): number {
    return this.#definition.version
  }

  on(source: unknown, run: unknown): this {
    const { name, sources, isSealed, isInline } = this.#definition
    if (isSealed) throw invalidDefinition(`Projection '${name}' is defined after app() has taken it: import its module there, before app() is called.`)
    if (eventDefinitions.of(source) === undefined && tableDefinitions.of(source) === undefined && typeof source !== 'function') {
      throw invalidDefinition(`The first argument of on() of projection '${name}' is an event or a table, or an arrow that answers one, not ${shown(source)}.`)
    }
    if (isInline && tableDefinitions.of(source) !== undefined) throw inlineOfTable(name)
    checkFunction(run, `The second argument of on() of projection '${name}'`)
    sources.push({ of: typeof source === 'function' ? (source as () => unknown) : () => source, run: run as unknown as Apply })
    return this
  }
}

export const inlineOfTable = (name: string) =>
  invalidDefinition(`Projection '${name}' is inline, so it runs where its events are emitted: let it follow events, or leave inline out.`)

/**
 * Declares a projection: tables that are made of what has happened.
 *
 * ```ts
 * const totals = projection('totals', {
 *   version: 1,
 *   tables: { total: table({ columns: { product: column.text(), quantity: column.int() }, key: ['product'] }) },
 * }).on(shop.aggregates.cart.events.added, (tx, { payload }) => {
 *   const row = tx.db.total.row(payload.product)
 *   if (row) row.quantity += payload.quantity
 *   else tx.db.total.insert({ product: payload.product, quantity: payload.quantity })
 * })
 * const report = service('report', { projections: { totals } })
 * ```
 */
export function projection<const N extends string, T extends Readonly<Record<string, Table>>, const I extends boolean = false>(
  name: N,
  definition: {
    /** Of what it does: another one is built anew, beside the one before. Default: 1. */
    readonly version?: number | undefined
    /** Its own. Without generated columns and references. */
    readonly tables: T
    /** Written in the transactions that emit its events, and not behind them. Default: false. */
    readonly inline?: I | undefined
    /** The rows of the version before stay until the next building, where readers do not see them. Default: false. */
    readonly keepOld?: boolean | undefined
  },
): Projection<{ tables: T; inline: I }, N> {
  return new ProjectionDeclaration(defineProjection(name, definition)) as never
}

function defineProjection(name: unknown, definition: unknown): ProjectionDefinition {
  checkName(name, 'a projection')
  const what = `projection '${name}'`
  const { version = 1, tables: declared, inline, keepOld } = checkOptions(definition, what, ['version', 'tables', 'inline', 'keepOld'])
  if (!Number.isSafeInteger(version) || (version as number) < 1) throw invalidDefinition(`version of ${what} is a whole number from 1, not ${shown(version)}.`)
  const tables = new Map<string, TableDefinition>()
  for (const [table, handle] of entriesOf(declared, `The tables of ${what}`)) {
    checkName(table, `a table of ${what}`)
    const found = tableDefinitions.of(handle)
    if (found === undefined) throw invalidDefinition(`Table '${table}' of ${what} must be made by table(), not ${shown(handle)}.`)
    if (found.service !== undefined) throw invalidDefinition(`Table '${table}' of ${what} is '${found.name}' already: call table() again for a second one.`)
    if (found.references.length > 0) throw invalidDefinition(`Table '${table}' of ${what} has references: what is made of events refers to nothing, leave them out.`)
    const drawn = found.columns.columns.find(({ generated }) => generated)
    if (drawn !== undefined) throw invalidDefinition(`Column '${drawn.name}' of table '${table}' of ${what} is generated, and would be another one when it is rebuilt: take the number from an event.`)
    tables.set(table, found)
  }
  if (tables.size === 0) throw invalidDefinition(`${what} needs tables, which it writes.`)
  return { own: name, name, service: undefined, version: version as number, isInline: checkFlag(inline, `inline of ${what}`), keepsOld: checkFlag(keepOld, `keepOld of ${what}`), tables, sources: [], isSealed: false }
}
