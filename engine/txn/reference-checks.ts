/**
 * References when a transaction ends (R22, R26): every value that refers to a row finds it, or is null.
 *
 *   deletes    of each row that is gone: rows that refer to it with `cascade` are deleted, with `setNull` set to null, reference by
 *              reference in order of declaration, rows in the order of their keys; and so on with what went along. A row that has gone is
 *              in no tree any more, so a circle of references comes to its end
 *   restrict   then nothing may refer to a row that is gone with `restrict`: a transaction may delete both, in any order
 *   upwards    a row that was inserted, or refers to another row than before, finds it
 *
 * All three look at the state of the end. What deletes do themselves are changes like any other: journaled, counted, recorded.
 */
import { SluiceError } from '../base/errors.js'
import type { Reference, TableStore } from '../store/table-store.js'
import { bareKey, keyOfRow, shownValue } from './violation.js'

/** Who knows the rows that a transaction wrote. */
export interface WrittenRows {
  /** Those of tables with row checks or references that are left alive: the address at which each can be read now. */
  forEachToProve(visit: (table: TableStore, row: number) => void): void
  /** Those of tables that others refer to that were there and are not any more. */
  forEachGone(visit: (table: TableStore, row: number) => void): void
  /** Of a row that `forEachToProve` has shown: may it refer to another one than before the transaction? */
  hasChanged(reference: Reference, row: number): boolean
}

/** What is asked of the transaction. */
export interface EndingTransaction {
  readonly written: WrittenRows
  readonly referring: ReferringRows
  mustBeOpen(): void
  fail(error: SluiceError): never
}

/** How the rows of other tables are looked at and changed: as they stand (standing-referrers.ts), or ahead of its turn. */
export interface ReferringRows {
  /** Is there a row with this key, as users write it? */
  has(parent: TableStore, key: unknown): boolean
  /** The rows that refer to the one with these values for its key, at most so many, in the order of their keys. */
  of(reference: Reference, values: readonly unknown[], limit: number): readonly number[]
  delete(child: TableStore, row: number): void
  setNull(reference: Reference, row: number): void
}

export function followDeletes({ written, referring }: EndingTransaction): void {
  written.forEachGone((parent, row) => {
    for (const reference of parent.referredBy) {
      if (reference.onDelete === 'restrict') continue
      for (const child of referring.of(reference, keyValues(parent, row), Infinity)) {
        if (reference.onDelete === 'cascade') referring.delete(reference.child, child)
        else referring.setNull(reference, child)
      }
    }
  })
}

export function refuseReferred(transaction: EndingTransaction): void {
  const { written, referring } = transaction
  written.forEachGone((parent, row) => {
    for (const reference of parent.referredBy) {
      if (reference.onDelete !== 'restrict') continue
      const values = keyValues(parent, row)
      const [child] = referring.of(reference, values, 1)
      if (child !== undefined) transaction.fail(broken(reference, child, values, `still refers to a row of "${parent.name}" that was deleted`))
    }
  })
}

export function proveReferences(transaction: EndingTransaction, table: TableStore, row: number): void {
  const { written, referring } = transaction
  for (const reference of table.refersTo) {
    if (!written.hasChanged(reference, row)) continue
    const values = reference.on.map((column) => table.codec.readers[column]!(row))
    if (values.includes(null) || referring.has(reference.parent, bareKey(values))) continue
    transaction.fail(broken(reference, row, values, `refers to a row of "${reference.parent.name}" that does not exist`))
  }
}

const keyValues = (table: TableStore, row: number): readonly unknown[] => table.descriptor.key.map((column) => table.codec.readers[column]!(row))

function broken({ name, child, parent }: Reference, row: number, values: readonly unknown[], what: string): SluiceError {
  return SluiceError.of('CONSTRAINT', `A row of "${child.name}" ${what}: reference "${name}" does not hold.`, {
    details: { table: child.name, key: keyOfRow(child, row), constraint: name, value: bareKey(values.map(shownValue)), other: parent.name },
  })
}
