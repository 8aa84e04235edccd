/** Replicas that hold rows of their own (`eventual`), and the name under which is noted how far one has come. */
import { hashEnd, hashStart, hashText } from '../base/hash.js'
import type { Program, ReplicaProgram } from './descriptor.js'

/** A replica with a table of its own. */
export type CopiedReplica = ReplicaProgram & { readonly table: number }

export const isCopied = (replica: ReplicaProgram): replica is CopiedReplica => replica.table !== undefined
export const copiedReplicas = ({ replicas = [] }: Program): readonly CopiedReplica[] => replicas.filter(isCopied)
export const hasCopies = ({ replicas = [] }: Program): boolean => replicas.some(isCopied)

/**
 * Names its source, its columns and the generation of its rows too: a replica that was declared anew with others, or whose rows have gone, has no
 * cursor, so it is filled again. No handler has such a name (R64).
 */
export function replicaCursorName({ descriptor, source }: CopiedReplica, { tables }: Program, generation: number): string {
  const columns = descriptor.columns.reduce((hash, { name, type }) => hashText(hashText(hash, `${name} `), `${type},`), hashStart)
  const rows = generation === 0 ? '' : `.${generation}`
  return `${descriptor.name}<${tables[source]!.descriptor.name}#${(hashEnd(columns) >>> 0).toString(16)}${rows}`
}
