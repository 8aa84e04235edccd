/** How a query is recognised, and what the floor below gets of it. */
import { SluiceError } from '../../engine/base/errors.js'
import type { RunQuery } from '../../engine/schema/descriptor.js'
import { type QueryDefinition, TransactionQueries } from '../../query/index.js'
import { DefinitionKind, shown } from '../schema/definition.js'

export const queryDefinitions = new DefinitionKind<QueryDefinition>('query')

export function queryDefinition(query: unknown): QueryDefinition {
  const definition = queryDefinitions.of(query)
  if (definition !== undefined) return definition
  throw SluiceError.of('INVALID_USE', `${shown(query)} is no query: pass what select(table) answered.`)
}

/** For the procedures of one application, on one thread. */
export function transactionQueries(): RunQuery {
  const queries = new TransactionQueries()
  return (query, tableOf, parameters, options) => queries.run(queryDefinition(query), tableOf, parameters, options)
}
