/**
 * What a draft has written to one table, by key: its own reads look here before they look at the snapshot.
 *
 *   whole     inserted or put: the row is known without the snapshot
 *   changed   updated or added to: the snapshot's row with changes, in their order
 *   gone      deleted
 *
 * Changes are kept one by one and not summed up: (row + 0.1) + 0.2 is what the lane will compute, and row + (0.1 + 0.2) is not.
 */
import { encodeCanonical } from './base/canonical.js'
import { ByteWriter } from './base/bytes.js'
import type { PlainRow } from './store/row-codec.js'

/** A key as the draft holds it: a copy of what the user passed. */
export interface DraftKey {
  /** Equal for equal keys of one table: a primitive. */
  readonly id: unknown
  readonly values: readonly unknown[]
  /** As users write it: bare when it has one column. */
  readonly key: unknown
}

export interface Change {
  readonly columns: readonly number[]
  readonly values: readonly unknown[]
  readonly isDelta: boolean
}

export type Written =
  | { readonly kind: 'whole'; readonly at: DraftKey; readonly row: PlainRow }
  | { readonly kind: 'changed'; readonly at: DraftKey; readonly changes: readonly Change[] }
  | { readonly kind: 'gone'; readonly at: DraftKey }

export class DraftOverlay {
  readonly #written = new Map<unknown, Written>()

  get size(): number {
    return this.#written.size
  }
  find(key: DraftKey): Written | undefined {
    return this.#written.get(key.id)
  }
  set(written: Written): void {
    this.#written.set(written.at.id, written)
  }
  /** One more change of a row that is not known whole. */
  change(at: DraftKey, change: Change): void {
    const known = this.#written.get(at.id)
    const changes = known?.kind === 'changed' ? known.changes : []
    this.#written.set(at.id, { kind: 'changed', at, changes: [...changes, change] })
  }
  all(): Iterable<Written> {
    return this.#written.values()
  }
}

const writer = new ByteWriter()

/** `values`: checked, and nobody else's. */
export function draftKey(values: readonly unknown[]): DraftKey {
  const [first] = values
  if (values.length === 1 && typeof first !== 'object') return { id: first, values, key: first }
  writer.reset()
  encodeCanonical(values, writer)
  return { id: Buffer.from(writer.bytes()).toString('latin1'), values, key: values.length === 1 ? first : values }
}

/** What a column becomes by the changes from `from` on; `accept` checks a sum as the lane will. */
export function changedColumn(column: number, before: unknown, changes: readonly Change[], accept: (value: unknown) => unknown, from = 0): unknown {
  let value = before
  for (let n = from; n < changes.length; n += 1) {
    const { columns, values, isDelta } = changes[n]!
    const place = columns.indexOf(column)
    if (place < 0) continue
    value = isDelta ? accept(sum(value as number | bigint, values[place] as number | bigint)) : values[place]
  }
  return value
}

/** The place of the last change that sets a column, whatever it was before; -1: none does. */
export function lastSet(column: number, changes: readonly Change[]): number {
  for (let n = changes.length - 1; n >= 0; n -= 1) if (!changes[n]!.isDelta && changes[n]!.columns.includes(column)) return n
  return -1
}

function sum(before: number | bigint, delta: number | bigint): number | bigint {
  return typeof before === 'bigint' ? before + (delta as bigint) : before + (delta as number)
}
