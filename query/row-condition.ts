/**
 * A condition over one table as a test of plain rows, for who has rows and no table: streams of changes.
 *
 * What the condition asks for with `eq` of a column and a value, in all cases, is told apart from the rest: it can be looked up.
 */
import type { TableDescriptor } from '../engine/index.js'
import { compileRowTest } from './compile-query.js'
import type { QueryPlan } from './logical-plan.js'
import { type Condition, resolveQuery } from './resolved-query.js'
import { invalidQuery } from './values.js'

export interface RowCondition {
  /** Columns that have these values wherever the condition holds. */
  readonly equals: readonly { readonly column: string; readonly value: unknown }[]
  /** The rest of it; undefined where nothing is left. */
  readonly holds: ((row: Readonly<Record<string, unknown>>) => boolean) | undefined
}

/** Of a plan that has one table, a `where` and nothing else that is looked at. */
export function rowConditionOf(plan: QueryPlan, table: TableDescriptor): RowCondition {
  const { where, constants, parameters } = resolveQuery(plan, [table])
  if (parameters.length > 0) throw invalidQuery('The condition of a stream has no parameters: write the values.')
  const equals: { column: string; value: unknown }[] = []
  const rest: Condition[] = []
  for (const condition of where) {
    if (condition.is !== 'eq' || condition.left.kind !== 'column' || condition.right.kind !== 'constant') {
      rest.push(condition)
      continue
    }
    equals.push({ column: table.columns[condition.left.column]!.name, value: condition.right.value })
  }
  return { equals, holds: rest.length === 0 ? undefined : compileRowTest(rest, table, constants) }
}
