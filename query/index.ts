/** Questions to the store, answered over a read view or inside of a transaction. */
export { IndexReader, TableReader, type ReadSource } from './table-reader.js'
export { explainDefinition, type QueriedTableLike, type QueryDefinition, TransactionQueries, ViewQueries } from './query-runner.js'
export { resolveQuery } from './resolved-query.js'
export { rowConditionOf, type RowCondition } from './row-condition.js'
export type { QueryPlan } from './logical-plan.js'
