/** A condition about one record, a row of a table or the payload of an event, in the language of queries: as a plan, proved on its columns. */
import type { ColumnDescriptor, TableDescriptor } from '../../engine/schema/descriptor.js'
import { resolveQuery } from '../../query/index.js'
import type { PlanCondition, QueryPlan } from '../../query/logical-plan.js'
import { checkFunction } from '../schema/definition.js'
import { termsOfColumns } from './select.js'
import { conditionOf } from './term.js'

export function recordCondition(condition: unknown, name: string, columns: readonly ColumnDescriptor[]): PlanCondition {
  checkFunction(condition, 'The option where')
  const where = conditionOf(condition(termsOfColumns(columns, 0) as never), 'where')
  resolveQuery(planOfRecord(name, where), [recordTable(name, columns)])
  return where
}

/** What a record is asked, as a query that has nothing but its condition. */
export const planOfRecord = (name: string, where: PlanCondition): QueryPlan => ({ version: 1, from: [{ as: '', table: name }], parameters: [], where })

/** Columns as a table that nobody stores. */
export const recordTable = (name: string, columns: readonly ColumnDescriptor[]): TableDescriptor => ({ name, columns, key: [], partition: 'global', ordered: false, indexes: [] })
