/**
 * Running queries by definition: each is prepared once for a schema, and again for other sizes of the tables that it joins.
 *
 * Inside of transactions the plan follows from definition and schema alone (access-path.ts says why), and the tables are the handles that
 * the transaction has. At a view the sizes of joined tables count too, by the power of eight that they are near to, so that a table that
 * grows is planned for anew now and then and not all the time.
 */
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { type ColumnRules, compileRecordCodec, type PlainRecord, type RecordCodec, type RecordDescriptor, type SnapshotView, type Store, type TableDescriptor, type TableStore } from '../engine/index.js'
import { explainQuery } from './explain.js'
import type { QueryPlan } from './logical-plan.js'
import { planQuery } from './planner.js'
import { PreparedQuery } from './prepared-query.js'
import { resolveQuery, type ResolvedQuery } from './resolved-query.js'
import { addressedColumns, AddressedSource, LayeredSource, namedColumns, NamedSource } from './row-source.js'

/** What the floor above hands in; the object itself is what plans are kept for. */
export interface QueryDefinition {
  readonly plan: QueryPlan
  readonly parameters: RecordDescriptor & ColumnRules
}

export interface QueriedTableLike {
  readonly descriptor: TableDescriptor
  readonly handle: object
}

const noParameters: PlainRecord = Object.freeze({})

class Parameters {
  readonly #codec: RecordCodec
  readonly #hasNone: boolean

  constructor(parameters: QueryDefinition['parameters']) {
    this.#hasNone = parameters.columns.length === 0
    this.#codec = compileRecordCodec(parameters, parameters, 'the parameters of a query')
  }
  of(given: unknown): PlainRecord {
    if (this.#hasNone && given === undefined) return noParameters
    return this.#codec.normalize(given === undefined ? noParameters : given)
  }
}

/** The row after which the page begins. */
function afterOf(options: unknown): unknown {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null) throw SluiceError.of('INVALID_USE', 'The options of a query are an object, such as { after: row }.')
  for (const name of Object.keys(options)) if (name !== 'after') throw SluiceError.of('INVALID_USE', `A query has no option "${name}"; it has after.`)
  return (options as { readonly after?: unknown }).after
}

interface Inside {
  readonly tables: readonly TableDescriptor[]
  readonly prepared: PreparedQuery
  readonly parameters: Parameters
}

/** Of one application, inside of transactions. */
export class TransactionQueries {
  readonly #inside = new WeakMap<QueryDefinition, Inside>()

  run(definition: QueryDefinition, tableOf: (name: string) => QueriedTableLike, given: unknown, options: unknown): unknown[] {
    const tables = definition.plan.from.map(({ table }) => tableOf(table))
    let inside = this.#inside.get(definition)
    if (inside === undefined) {
      const descriptors = tables.map(({ descriptor }) => descriptor)
      const query = resolveQuery(definition.plan, descriptors)
      const prepared = new PreparedQuery(query, planQuery(query, { isInside: true }), namedColumns(descriptors))
      inside = { tables: descriptors, prepared, parameters: new Parameters(definition.parameters) }
      this.#inside.set(definition, inside)
    }
    const sources = tables.map(({ descriptor, handle }) => new NamedSource(descriptor, handle))
    return inside.prepared.run(sources, inside.parameters.of(given), afterOf(options))
  }
}

/** As inside of a transaction; where there is no way inside, as outside. */
export function explainDefinition({ plan }: QueryDefinition, tables: readonly TableDescriptor[]): string {
  const query = resolveQuery(plan, tables)
  try {
    return explainQuery(query, planQuery(query, { isInside: true }))
  } catch (error) {
    if (!SluiceError.is(error, 'INVALID_USE')) throw error
    return `outside of transactions only\n${explainQuery(query, planQuery(query, { isInside: false }))}`
  }
}

interface Outside {
  readonly tables: readonly TableStore[]
  readonly query: ResolvedQuery
  readonly parameters: Parameters
  /** By the sizes that they are for; one where a query reads one table. */
  readonly prepared: Map<string, PreparedQuery>
}

/** Of one store, at views of it, which are all layered or none. */
export class ViewQueries {
  readonly #tableOf: (name: string) => TableStore
  readonly #outside = new WeakMap<QueryDefinition, Outside>()

  constructor(store: Store) {
    const tables = new Map(store.tables.map((table) => [table.name, table]))
    this.#tableOf = (name) => {
      const table = tables.get(name)
      if (table !== undefined) return table
      throw SluiceError.of('INVALID_USE', name === '' ? 'A query reads a table that belongs to no service: put it into service(name, { tables: { ... } }).' : `A query reads "${name}", which is not in this application.`)
    }
  }

  run(definition: QueryDefinition, view: SnapshotView, given: unknown, options: unknown): unknown[] {
    const outside = this.#outsideOf(definition)
    const prepared = this.#preparedFor(outside, view)
    const sources = outside.tables.map((table) => (view.isLayered ? new LayeredSource(view, table) : new AddressedSource(view, table)))
    return prepared.run(sources, outside.parameters.of(given), afterOf(options))
  }

  explain(definition: QueryDefinition, view: SnapshotView): string {
    const { query, path } = this.#preparedFor(this.#outsideOf(definition), view)
    return explainQuery(query, path)
  }

  #outsideOf(definition: QueryDefinition): Outside {
    let outside = this.#outside.get(definition)
    if (outside === undefined) {
      const tables = definition.plan.from.map(({ table }) => this.#tableOf(table))
      const query = resolveQuery(definition.plan, tables.map(({ descriptor }) => descriptor))
      outside = { tables, query, parameters: new Parameters(definition.parameters), prepared: new Map() }
      this.#outside.set(definition, outside)
    }
    return outside
  }

  #preparedFor({ tables, query, prepared: all }: Outside, view: SnapshotView): PreparedQuery {
    const sizes = tables.length === 1 ? undefined : tables.map((table) => nearPower(view.count(table)))
    const key = sizes?.join() ?? ''
    let prepared = all.get(key)
    if (prepared === undefined) {
      if (all.size >= limits.queryPlansMax) all.clear()
      prepared = new PreparedQuery(query, planQuery(query, { isInside: false, sizes }), view.isLayered ? namedColumns(tables.map(({ descriptor }) => descriptor)) : addressedColumns(tables))
      all.set(key, prepared)
    }
    return prepared
  }
}

function nearPower(count: number): number {
  return count < 8 ? 8 : 8 ** Math.round(Math.log2(count) / 3)
}
