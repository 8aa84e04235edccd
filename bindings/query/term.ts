/**
 * What queries are made of: columns, parameters, aggregates, and the conditions over them.
 *
 * A term carries its type in a phantom and its plan under a symbol. Functions and not methods, so that a column may have any name; and
 * the type of a comparison is that of its left side, so that a literal on the right is checked against it: `eq(row.status, 'opne')` does
 * not compile.
 */
import type { Aggregation, Comparison, PlanCondition, PlanOrder, PlanTerm } from '../../query/logical-plan.js'
import { DefinitionKind, invalidDefinition, shown } from '../schema/definition.js'

// ── what users see ──────────────────────────────────────────────────────────────────────────────────────

/** Something that has a value in each row or group: it can be answered. */
export interface Expression<out Value = unknown> {
  readonly [valueOf]: Value
}
/** An expression that can be compared and sorted by: any but JSON. */
export interface Term<out Value = unknown> extends Expression<Value> {
  readonly [ordered]: true
}
/** What `where` and `having` take. */
export interface Condition {
  readonly [holds]: true
}
/** A term with a direction. */
export interface Ordering {
  readonly [direction]: true
}
declare const valueOf: unique symbol
declare const ordered: unique symbol
declare const holds: unique symbol
declare const direction: unique symbol

/** What a term can be compared with. Null is asked for by `isNull`. */
export type Comparable<Value> = NonNullable<Value> | Term<NonNullable<Value> | null>

// ── what is recorded ────────────────────────────────────────────────────────────────────────────────────

export const terms = new DefinitionKind<PlanTerm>('query term')
export const conditions = new DefinitionKind<PlanCondition>('query condition')
export const orderings = new DefinitionKind<PlanOrder>('query order')

export function termHandle<Handle>(plan: PlanTerm): Handle {
  return Object.freeze(terms.attach({}, Object.freeze(plan))) as Handle
}
function conditionHandle(plan: PlanCondition): Condition {
  return Object.freeze(conditions.attach({}, Object.freeze(plan))) as unknown as Condition
}

export function conditionOf(value: unknown, where: string): PlanCondition {
  const plan = conditions.of(value)
  if (plan !== undefined) return plan
  throw invalidDefinition(`${where} takes conditions such as eq(row.owner, p.owner), not ${shown(value)}.`)
}

export function termOf(value: unknown, where: string): PlanTerm {
  const plan = terms.of(value)
  if (plan !== undefined) return plan
  throw invalidDefinition(`${where} takes a column, a parameter or an aggregate, not ${shown(value)}.`)
}

/** A term, or a value that stands for itself. */
function operandOf(value: unknown, where: string): PlanTerm {
  if (typeof value === 'number' && Number.isFinite(value)) return { is: 'value', value: value === 0 ? 0 : value }
  if (typeof value === 'string' || typeof value === 'boolean') return { is: 'value', value }
  if (typeof value === 'bigint') return { is: 'bigint', digits: String(value) }
  if (value instanceof Uint8Array) return { is: 'bytes', hex: Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('') }
  if (value === null) throw invalidDefinition(`${where} compares with null, which is never true: use isNull().`)
  return termOf(value, where)
}

function compared(is: Comparison, left: unknown, right: unknown): Condition {
  return conditionHandle({ is, left: operandOf(left, `${is}()`), right: operandOf(right, `${is}()`) })
}

// ── conditions ──────────────────────────────────────────────────────────────────────────────────────────

/** Equal. As in SQL, no comparison with null is true, nor is its `not`. */
export const eq = <T>(left: Term<T>, right: Comparable<NoInfer<T>>): Condition => compared('eq', left, right)
/** Not equal, and neither side null. */
export const ne = <T>(left: Term<T>, right: Comparable<NoInfer<T>>): Condition => compared('ne', left, right)
/** Less than. */
export const lt = <T>(left: Term<T>, right: Comparable<NoInfer<T>>): Condition => compared('lt', left, right)
/** Less than or equal. */
export const lte = <T>(left: Term<T>, right: Comparable<NoInfer<T>>): Condition => compared('lte', left, right)
/** Greater than. */
export const gt = <T>(left: Term<T>, right: Comparable<NoInfer<T>>): Condition => compared('gt', left, right)
/** Greater than or equal. */
export const gte = <T>(left: Term<T>, right: Comparable<NoInfer<T>>): Condition => compared('gte', left, right)

/** Equal to one of these; a list that is a parameter is declared as `column.json<string[]>()`. */
export const oneOf = <T>(term: Term<T>, among: readonly Comparable<NoInfer<T>>[] | Expression<readonly NonNullable<NoInfer<T>>[]>): Condition =>
  conditionHandle({
    is: 'oneOf',
    term: termOf(term, 'oneOf()'),
    among: Array.isArray(among) ? (among as readonly unknown[]).map((value) => operandOf(value, 'oneOf()')) : termOf(among, 'oneOf()'),
  })

export const isNull = (term: Expression<any>): Condition => conditionHandle({ is: 'isNull', term: termOf(term, 'isNull()') })
export const isNotNull = (term: Expression<any>): Condition => not(isNull(term))

/** All of them. */
export const and = (...all: readonly [Condition, ...Condition[]]): Condition => joined('and', all)
/** At least one of them. */
export const or = (...all: readonly [Condition, ...Condition[]]): Condition => joined('or', all)
export const not = (condition: Condition): Condition => conditionHandle({ is: 'not', condition: conditionOf(condition, 'not()') })

function joined(is: 'and' | 'or', all: readonly unknown[]): Condition {
  if (all.length === 0) throw invalidDefinition(`${is}() takes at least one condition.`)
  return conditionHandle({ is, conditions: all.map((one) => conditionOf(one, `${is}()`)) })
}

// ── aggregates and orders ───────────────────────────────────────────────────────────────────────────────

function aggregated<V>(is: Aggregation, of: unknown): Term<V> {
  return termHandle(of === undefined ? { is } : { is, term: termOf(of, `${is}()`) })
}
/** How many rows, or how many of them have a value in this column. */
export const count = (of?: Expression<any>): Term<number> => aggregated('count', of)
/** Of nothing, 0. Whole numbers are added without rounding. */
export const sum = <T extends number | bigint>(of: Term<T | null>): Term<T> => aggregated('sum', of)
/** The least value; null where there is none. */
export const min = <T>(of: Term<T>): Term<T | null> => aggregated('min', of)
/** The greatest value; null where there is none. */
export const max = <T>(of: Term<T>): Term<T | null> => aggregated('max', of)
/** The mean; null where there is no value. */
export const avg = (of: Term<number | bigint | null>): Term<number | null> => aggregated('avg', of)

/** Upwards, null first: as a bare term. */
export const asc = (term: Term<any>): Ordering => orderingHandle(term, 'asc')
/** Downwards, null last. */
export const desc = (term: Term<any>): Ordering => orderingHandle(term, 'desc')

function orderingHandle(term: unknown, towards: PlanOrder['direction']): Ordering {
  return Object.freeze(orderings.attach({}, Object.freeze({ term: termOf(term, `${towards}()`), direction: towards }))) as unknown as Ordering
}
export function orderingOf(value: unknown): PlanOrder {
  return orderings.of(value) ?? { term: termOf(value, 'orderBy()'), direction: 'asc' }
}
