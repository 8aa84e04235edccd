/**
 * A query as data: what is asked, and nothing about how it is answered.
 *
 * The builder of the bindings makes it today; whoever else wants to ask (SQL, a live query, a request from outside) makes the same and
 * goes the same way: resolve, plan, compile, run. It is plain JSON, so that it can be shown, stored, compared and sent. Tables and columns
 * are named, their types are those of the schema it meets; a column says which table of `from` it is of by its place there.
 */
export interface QueryPlan {
  readonly version: 1
  readonly from: readonly PlanTable[]
  readonly parameters: readonly PlanParameter[]
  readonly where?: PlanCondition
  readonly groupBy?: readonly PlanTerm[]
  readonly having?: PlanCondition
  /** What is answered; without it whole rows. */
  readonly columns?: readonly { readonly name: string; readonly term: PlanTerm }[]
  readonly orderBy?: readonly PlanOrder[]
  readonly limit?: number | { readonly parameter: string }
}

export interface PlanTable {
  /** Its name in the answer, where there are several; else empty. */
  readonly as: string
  /** Full name: `'bank.account'`. */
  readonly table: string
}

export interface PlanParameter {
  readonly name: string
  readonly type: ParameterType
  readonly nullable: boolean
  readonly values?: readonly string[]
}

/** The types of columns, once more: what users compile against reaches this file and must not reach the engine. */
export type ParameterType = 'bool' | 'i32' | 'u32' | 'int' | 'f64' | 'bigint' | 'text' | 'bytes' | 'json' | 'timestamp' | 'uuid' | 'enum'

export type Aggregation = 'count' | 'sum' | 'min' | 'max' | 'avg'
export type PlanTerm =
  | { readonly is: 'column'; readonly of: number; readonly column: string }
  | { readonly is: 'parameter'; readonly parameter: string }
  | { readonly is: 'value'; readonly value: string | number | boolean }
  | { readonly is: 'bigint'; readonly digits: string }
  | { readonly is: 'bytes'; readonly hex: string }
  /** `count` of nothing counts rows; of a column, those where it is not null. */
  | { readonly is: Aggregation; readonly term?: PlanTerm }

export type Comparison = 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte'
/** As in SQL, a comparison with null is neither true nor false, and its `not` is no truer. */
export type PlanCondition =
  | { readonly is: Comparison; readonly left: PlanTerm; readonly right: PlanTerm }
  /** Among some terms, or among the elements of a parameter of type json. */
  | { readonly is: 'oneOf'; readonly term: PlanTerm; readonly among: PlanTerm | readonly PlanTerm[] }
  | { readonly is: 'isNull'; readonly term: PlanTerm }
  | { readonly is: 'and' | 'or'; readonly conditions: readonly PlanCondition[] }
  | { readonly is: 'not'; readonly condition: PlanCondition }

export interface PlanOrder {
  readonly term: PlanTerm
  readonly direction: 'asc' | 'desc'
}
