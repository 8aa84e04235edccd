/**
 * The order in which tables are read, and the way to the rows of each: the cheapest of all orders, each table taking its cheapest way
 * when its turn comes. Tables are few (`limits.queryTablesMax`), so all orders of up to four are tried, and beyond that the best next one.
 *
 * Joins are nested loops over keys and indexes. A table that nothing leads to is refused, with the index that would: a product of two
 * tables is a mistake more often than a wish, and a transaction has no business with one.
 */
import { SluiceError } from '../engine/base/errors.js'
import { type Path, pathsTo, sizeAssumed } from './access-path.js'
import { type Condition, type ResolvedQuery, type Source, type Term, termsOf } from './resolved-query.js'

export interface PlanStep {
  readonly path: Path
  /** Conditions that can be tested here first, the way to the rows left aside. */
  readonly filter: readonly Condition[]
  /** The same with those that the bounds of a range make true: a page that begins at a row of its own needs them. */
  readonly strictFilter: readonly Condition[]
}

export interface QueryPath {
  readonly steps: readonly PlanStep[]
  /** Rows come in the order that was asked for: nothing is sorted. */
  readonly isOrdered: boolean
  /** The first table alone decides how many rows there are, so it need not read more than the limit. */
  readonly isLimitExact: boolean
}

export interface PlannedFor {
  readonly isInside: boolean
  /** Rows of each table; undefined: not known. */
  readonly sizes?: readonly number[] | undefined
}

const allOrdersMax = 4

export function planQuery(query: ResolvedQuery, { isInside, sizes }: PlannedFor): QueryPath {
  const { sources, where, orderBy, isGrouped, limit } = query
  const order = isGrouped ? [] : orderBy
  let best: { readonly paths: readonly Path[]; readonly cost: number } | undefined
  let stuck: Source | undefined

  const extend = (paths: readonly Path[], rows: number, cost: number): void => {
    if (best !== undefined && cost >= best.cost) return
    if (paths.length === sources.length) {
      best = { paths, cost }
      return
    }
    const known = new Set(paths.map((path) => path.source.ordinal))
    const next: { readonly path: Path; readonly cost: number }[] = []
    for (const source of sources) {
      if (known.has(source.ordinal)) continue
      const size = sizes?.[source.ordinal] ?? sizeAssumed
      const ways = pathsTo(source, { conditions: where, known, order, hasLimit: limit !== undefined && sources.length === 1, isInside, size })
      let cheapest: Path | undefined
      for (const way of ways) if (cheapest === undefined || way.cost < cheapest.cost) cheapest = way
      if (cheapest === undefined) stuck ??= source
      else next.push({ path: cheapest, cost: cost + rows * cheapest.cost })
    }
    if (sources.length > allOrdersMax) next.sort((a, b) => a.cost - b.cost).splice(1)
    for (const { path, cost: sum } of next) extend([...paths, path], Math.max(1, rows * path.rows), sum)
  }
  extend([], 1, 0)
  if (best === undefined) throw refused(query, stuck!, isInside)
  return withFilters(query, best.paths)
}

function withFilters(query: ResolvedQuery, paths: readonly Path[]): QueryPath {
  const known = new Set<number>()
  const left = new Set(query.where)
  const steps = paths.map((path): PlanStep => {
    known.add(path.source.ordinal)
    const here = [...left].filter((condition) => termsOf(condition).every((term) => term.kind !== 'column' || known.has(term.source)))
    for (const condition of here) left.delete(condition)
    return { path, filter: here.filter((condition) => !path.consumed.has(condition)), strictFilter: here.filter((condition) => !path.consumed.has(condition) || isBound(condition)) }
  })
  const [first, ...rest] = steps
  const isPlain = !query.isGrouped && rest.every((step) => step.path.isSingle)
  const isOrdered = query.orderBy.length === 0 || (!query.isGrouped && first!.path.isOrdered && rest.every((step) => step.path.isSingle))
  return { steps, isOrdered, isLimitExact: isPlain && steps.length === 1 && isOrdered && first!.filter.length === 0 }
}

const isBound = (condition: Condition): boolean => condition.is === 'lt' || condition.is === 'lte' || condition.is === 'gt' || condition.is === 'gte'

function refused(query: ResolvedQuery, source: Source, isInside: boolean): SluiceError {
  if (query.sources.length === 1 || query.sources.every((one) => one === source)) return noWay(source, isInside)
  const columns = new Set(query.where.flatMap((condition) => columnsOf(condition, source)))
  const wanted = [...columns].map((column) => source.table.columns[column]!.name)
  const declare = wanted.length === 0 ? 'say in where how its rows belong to the others' : `declare an index on ${wanted.map((name) => `"${name}"`).join(', ')}, or use its key`
  return SluiceError.of('INVALID_USE', `No key or index of "${source.name}" leads from the other tables of this query to its rows${isInside ? ' inside of a transaction' : ''}: ${declare}.`, {
    details: { table: source.table.name },
  })
}

function noWay(source: Source, isInside: boolean): SluiceError {
  const where = isInside ? ' inside of a transaction' : ''
  return SluiceError.of('INVALID_USE', `"${source.table.name}" has no way to all of its rows${where}: ask by its key or an index, declare it with \`ordered: true\`, or read from a snapshot.`, {
    details: { table: source.table.name },
  })
}

/** Columns of a table that a condition compares for equality. */
function columnsOf(condition: Condition, { ordinal }: Source): readonly number[] {
  if (condition.is !== 'eq') return []
  return [condition.left, condition.right].flatMap((term: Term) => (term.kind === 'column' && term.source === ordinal ? [term.column] : []))
}
