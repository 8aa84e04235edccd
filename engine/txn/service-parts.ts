/**
 * The parts of a service, as its `tx` has them: `tx.aggregate.cart`, `tx.projection.totals`. Each is a service of its own, and what it is to its
 * owner is made by the floor above (`OpenPart`), over the `tx` of the part in the same transaction. A projection is written by what
 * it follows, so its owner has it over a `tx` that reads.
 */
import type { OpenPart, PartKind, ServiceProgram } from '../schema/descriptor.js'
import { noNames } from './index-handle.js'

export type Parts = Readonly<Record<PartKind, unknown>>

export interface PartsOf {
  /** The service itself. */
  readonly own: Parameters<OpenPart>[0]
  /** `tx` of the service with this ordinal; `isReadOnly`: one that writes nothing. */
  part(service: number, isReadOnly: boolean): object
}

export function partsOf({ opens, parts }: ServiceProgram, { own, part }: PartsOf): Parts {
  // A part opens itself, under both words: its own procedures find there what its owner finds.
  if (opens !== undefined) {
    const opened = opens(own)
    return { aggregate: opened, projection: opened }
  }
  const named = (kind: PartKind): object => {
    const all = Object.create(noNames) as Record<string, unknown>
    for (const [name, ordinal] of parts?.get(kind) ?? []) {
      Object.defineProperty(all, name, { enumerable: true, get: () => (part(ordinal, kind === 'projection') as Readonly<Record<PartKind, unknown>>)[kind] })
    }
    return Object.freeze(all)
  }
  return { aggregate: named('aggregate'), projection: named('projection') }
}
