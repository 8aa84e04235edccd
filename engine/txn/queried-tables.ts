/** Which tables `tx.query` of a service may read: its own and those that it declares in `reads`, each through the handle that `tx.db` has. Not its replicas. */
import { SluiceError } from '../base/errors.js'
import { didYouMean } from '../schema/closest-name.js'
import type { QueriedTable, ServiceProgram } from '../schema/descriptor.js'
import type { Store } from '../store/store.js'

export type TableOf = (fullName: string) => QueriedTable

export function queriedTables(store: Store, service: ServiceProgram, db: Readonly<Record<string, object>>): TableOf {
  const ordinals = new Map<string, { readonly ordinal: number; readonly name: string }>()
  for (const [name, ordinal] of [...service.tables, ...(service.reads ?? [])]) ordinals.set(store.tables[ordinal]!.descriptor.name, { ordinal, name })
  return (fullName) => {
    const found = ordinals.get(fullName)
    if (found !== undefined) return { descriptor: store.tables[found.ordinal]!.descriptor, handle: db[found.name]! }
    const known = [...ordinals.keys()]
    throw SluiceError.of('INVALID_USE', `Service "${service.name}" cannot query "${fullName}", which is not its own${didYouMean(fullName, known)}: name it in the service's reads, or call a procedure of the service that has it.`)
  }
}
