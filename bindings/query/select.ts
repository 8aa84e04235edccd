/**
 * Queries as users write them: typed, immutable, defined once and run anywhere.
 *
 * Each step answers a new query, so a common beginning can be shared. The functions that are given to it run at once, with columns
 * and parameters in place of values: what they answer is a plan (query/logical-plan.ts), and nothing of them is left when the query runs.
 * What a step can know to be wrong it refuses; what depends on other steps is refused when the query is first used.
 */
import type { ColumnDescriptor, TableDescriptor } from '../../engine/schema/descriptor.js'
import { explainDefinition, type QueryDefinition, resolveQuery } from '../../query/index.js'
import type { PlanCondition, PlanOrder, PlanTerm, QueryPlan } from '../../query/logical-plan.js'
import { checkFunction, checkName, entriesOf, invalidDefinition, shown } from '../schema/definition.js'
import type { Columns, Write } from '../schema/infer.js'
import { lowerColumns, type LoweredColumns, noColumns } from '../schema/lower-columns.js'
import type { Flat, shape } from '../schema/shape.js'
import { type Row, type Table, type TableDefinition, tableDefinitions, type TableShape } from '../schema/table.js'
import { queryDefinitions } from './query-definition.js'
import { type Condition, conditionOf, type Expression, type Ordering, orderingOf, type Term, termHandle, termOf } from './term.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

/** A question with parameters, which answers rows. */
export interface Query<Row = any, Parameters = any> {
  readonly [shape]: { readonly row: Row; readonly params: Parameters }
  /** What is asked, as plain JSON. */
  readonly plan: QueryPlan
  /** How it is answered inside of a transaction, as text. For the plan at a database or snapshot see `db.explain`. */
  explain(): string
}

/** The columns of a table, in a query. */
export type RowTerms<S extends TableShape> = {
  readonly [P in keyof S['row']]: P extends S['json'] ? Expression<S['row'][P]> : Term<S['row'][P]>
}
/** The parameters of a query, or the columns of the payload of an event. */
export type ParameterTerms<C extends Columns> = {
  readonly [P in keyof C]: C[P][typeof shape]['kind'] extends 'json' ? Expression<C[P][typeof shape]['value']> : Term<C[P][typeof shape]['value']>
}
/** What a query with these columns answers. */
export type Answered<O> = { readonly [P in keyof O]: O[P] extends Expression<infer V> ? V : never } & {}

export interface Select<T = any, C extends Columns = any, R = any> extends Query<R, Write<C>> {
  /** Declares parameters, as columns. Comes before the steps that use them. */
  params<D extends Columns>(columns: D): Select<T, D, R>
  /** Leaves out rows. Several: all of them must hold. */
  where(condition: (row: T, params: ParameterTerms<C>) => Condition): Select<T, C, R>
  /** One row of the answer for each combination of these; `columns` says what it shows. */
  groupBy(by: (row: T) => Term<any> | readonly Term<any>[]): Select<T, C, R>
  /** Leaves out groups. */
  having(condition: (row: T, params: ParameterTerms<C>) => Condition): Select<T, C, R>
  /** What is answered. Without it whole rows; of several tables an object of whole rows. */
  columns<const O extends Readonly<Record<string, Expression<any>>>>(pick: (row: T) => O): Select<T, C, Answered<O>>
  /** Ties are broken by the key, in the direction of the last term: the order is always the same. */
  orderBy(by: (row: T) => Term<any> | Ordering | readonly (Term<any> | Ordering)[]): Select<T, C, R>
  /** At most this many rows. */
  limit(most: number | ((params: ParameterTerms<C>) => Term<number>)): Select<T, C, R>
}

/** What a query is run with: parameters, then options. */
export type QueryWith<R, P> = {} extends P ? [params?: P, options?: QueryOptions<R>] : [params: P, options?: QueryOptions<R>]
export interface QueryOptions<R> {
  /** The last row of the page before: the answer begins behind it. The query has an order, and answers what it is ordered by. */
  readonly after?: NoInfer<R> | undefined
}
/** Where queries can be run. */
export interface Queryable {
  /** The rows that a query answers, at this moment of the data. */
  query<R, P>(query: Query<R, P>, ...rest: QueryWith<R, P>): R[]
}

/**
 * Begins a query over a table, or over several that `where` joins by their columns.
 *
 * ```ts
 * const richest = select(bank.tables.account)
 *   .params({ owner: column.text() })
 *   .where((row, p) => and(eq(row.owner, p.owner), gte(row.balance, 10)))
 *   .orderBy((row) => desc(row.balance))
 *   .limit(10)
 * db.query(richest, { owner: 'Ann' })
 * ```
 */
export function select<S extends TableShape>(table: Table<S>): Select<RowTerms<S>, {}, Row<S>>
export function select<const T extends Readonly<Record<string, Table>>>(
  tables: T,
): Select<
  { readonly [P in keyof T]: RowTerms<T[P][typeof shape]> },
  {},
  Flat<{ readonly [P in keyof T]: Row<T[P][typeof shape]> }>
>
export function select(from: unknown): unknown {
  const single = tableDefinitions.of(from)
  const sources = single === undefined ? sourcesOf(from) : [{ as: '', table: single }]
  return new SelectBuilder({ sources, parameters: noColumns, where: [], having: [] })
}

function sourcesOf(from: unknown): readonly SourceDefinition[] {
  if (typeof from !== 'object' || from === null || Array.isArray(from)) throw invalidDefinition(`select() takes a table, or an object of tables by name, not ${shown(from)}.`)
  const sources = Object.entries(from).map(([as, handle]) => {
    checkName(as, 'a table of a query')
    const table = tableDefinitions.of(handle)
    if (table === undefined) throw invalidDefinition(`select() takes a table, or an object of tables by name; '${as}' is ${shown(handle)}.`)
    return { as, table }
  })
  if (sources.length === 0) throw invalidDefinition('select() takes at least one table.')
  return sources
}

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

interface SourceDefinition {
  readonly as: string
  readonly table: TableDefinition
}

interface State {
  readonly sources: readonly SourceDefinition[]
  readonly parameters: LoweredColumns
  readonly where: readonly PlanCondition[]
  readonly having: readonly PlanCondition[]
  readonly groupBy?: readonly PlanTerm[]
  readonly columns?: NonNullable<QueryPlan['columns']>
  readonly orderBy?: readonly PlanOrder[]
  readonly limit?: QueryPlan['limit']
}

class SelectBuilder {
  readonly #state: State
  readonly #definition: QueryDefinition

  constructor(state: State) {
    this.#state = state
    let plan: QueryPlan | undefined
    this.#definition = {
      parameters: state.parameters,
      // A table has its name from its service, perhaps later than a query has its table.
      get plan() {
        const made = plan ?? planOf(state)
        if (made.from.every(({ table }) => table !== '')) plan = made
        return made
      },
    }
    queryDefinitions.attach(this, this.#definition)
    Object.freeze(this)
  }

  get plan(): QueryPlan {
    return this.#definition.plan
  }
  explain(): string {
    return explainDefinition(this.#definition, descriptorsOf(this.#state.sources))
  }

  params(columns: unknown): SelectBuilder {
    if (this.#state.parameters.columns.length > 0) throw invalidDefinition('params() was given before: declare all parameters of a query at once.')
    return new SelectBuilder({ ...this.#state, parameters: lowerColumns(columns, 'the parameters of a query', 'record') })
  }

  where(condition: unknown): SelectBuilder {
    const where = [...this.#state.where, this.#condition(condition, 'where()')]
    const next = new SelectBuilder({ ...this.#state, where })
    // Conditions about rows depend on nothing that may still come.
    const { sources } = this.#state
    resolveQuery(planOf({ sources, parameters: this.#state.parameters, where, having: [] }), descriptorsOf(sources))
    return next
  }
  having(condition: unknown): SelectBuilder {
    return new SelectBuilder({ ...this.#state, having: [...this.#state.having, this.#condition(condition, 'having()')] })
  }
  #condition(condition: unknown, where: string): PlanCondition {
    checkFunction(condition, `The argument of ${where}`)
    return conditionOf(condition(this.#row() as never, this.#parameters() as never), where)
  }

  groupBy(by: unknown): SelectBuilder {
    checkFunction(by, 'The argument of groupBy()')
    return new SelectBuilder({ ...this.#state, groupBy: listOf(by(this.#row() as never)).map((term) => termOf(term, 'groupBy()')) })
  }

  columns(pick: unknown): SelectBuilder {
    checkFunction(pick, 'The argument of columns()')
    const columns = entriesOf(pick(this.#row() as never), 'What columns() answers').map(([name, term]) => {
      checkName(name, 'a column of a query')
      return { name, term: termOf(term, `Column '${name}' of columns()`) }
    })
    if (columns.length === 0) throw invalidDefinition('columns() answers at least one column.')
    return new SelectBuilder({ ...this.#state, columns })
  }

  orderBy(by: unknown): SelectBuilder {
    checkFunction(by, 'The argument of orderBy()')
    return new SelectBuilder({ ...this.#state, orderBy: listOf(by(this.#row() as never)).map(orderingOf) })
  }

  limit(most: unknown): SelectBuilder {
    if (typeof most !== 'function') {
      if (!Number.isSafeInteger(most) || (most as number) < 0) throw invalidDefinition(`limit() takes a whole number, 0 or more, or a parameter, (p) => p.most, not ${shown(most)}.`)
      return new SelectBuilder({ ...this.#state, limit: most as number })
    }
    const term = termOf((most as (params: object) => unknown)(this.#parameters()), 'limit()')
    if (term.is !== 'parameter') throw invalidDefinition('limit() takes a number or a parameter, (p) => p.most.')
    return new SelectBuilder({ ...this.#state, limit: { parameter: term.parameter } })
  }

  /** The columns of the one table, or of each by its name. */
  #row(): object {
    const { sources } = this.#state
    const [first] = sources
    if (first!.as === '') return termsOfColumns(first!.table.descriptor.columns, 0)
    return byNames(sources.map(({ as, table }, of) => [as, termsOfColumns(table.descriptor.columns, of)]))
  }
  #parameters(): object {
    return byNames(this.#state.parameters.columns.map(({ name }) => [name, termHandle<object>({ is: 'parameter', parameter: name })]))
  }
}

/** Columns as conditions name them: by property. `of`: which of the tables of a query. */
export function termsOfColumns(columns: readonly ColumnDescriptor[], of: number): object {
  return byNames(columns.map(({ name }) => [name, termHandle<object>({ is: 'column', of, column: name })]))
}
function byNames(entries: readonly (readonly [string, object])[]): object {
  const object = Object.create(null) as Record<string, object>
  for (const [name, value] of entries) object[name] = value
  return Object.freeze(object)
}
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as readonly unknown[]) : [value])

function planOf({ sources, parameters, where, having, groupBy, columns, orderBy, limit }: State): QueryPlan {
  const all = (conditions: readonly PlanCondition[]): PlanCondition => (conditions.length === 1 ? conditions[0]! : { is: 'and', conditions })
  return {
    version: 1,
    from: sources.map(({ as, table }) => ({ as, table: table.name })),
    parameters: parameters.columns.map(({ name, type, nullable, values }) => ({ name, type, nullable, ...(values === undefined ? {} : { values }) })),
    ...(where.length === 0 ? {} : { where: all(where) }),
    ...(groupBy === undefined ? {} : { groupBy }),
    ...(having.length === 0 ? {} : { having: all(having) }),
    ...(columns === undefined ? {} : { columns }),
    ...(orderBy === undefined ? {} : { orderBy }),
    ...(limit === undefined ? {} : { limit }),
  }
}

function descriptorsOf(sources: readonly SourceDefinition[]): readonly TableDescriptor[] {
  return sources.map(({ table }) => ({ name: table.name, ...table.descriptor }))
}
