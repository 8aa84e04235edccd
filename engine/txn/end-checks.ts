/**
 * What must hold when a transaction ends (R26): after the procedure and its atomic handlers, and before anything of it is recorded.
 *
 *   row checks     every row that the transaction leaves changed and alive, in the order in which it was first touched, each by the
 *                  checks of its table in order of declaration
 *
 * A check sees the row as it stands at the end, so columns may break it together on the way. It runs at the same place in a
 * lane, in the cross-partition lane and ahead of its turn; there, a row that is checked is read (R22), and one that breaks a rule
 * gives the run up: in order it will say so itself. Interactive transactions are checked in their lane, like any other.
 *
 * Everything else that belongs to the end of a transaction and not to one write comes in here: references do.
 */
import { isStackOverflow } from '../base/canonical.js'
import { SluiceError } from '../base/errors.js'
import type { RowCheck } from '../schema/descriptor.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TableStore } from '../store/table-store.js'
import { keyOfRow, shownRow } from './violation.js'

/** Who knows the rows that a transaction wrote. */
export interface WrittenRows {
  /** Those of tables with row checks: the address at which each can be read now. */
  forEachToProve(visit: (table: TableStore, row: number) => void): void
}

/** What is asked of the transaction. */
export interface EndingTransaction {
  readonly written: WrittenRows
  mustBeOpen(): void
  fail(error: SluiceError): never
}

/** Throws, and dooms the transaction, where something does not hold. */
export function proveEnd(transaction: EndingTransaction): void {
  transaction.written.forEachToProve((table, row) => {
    const plain = Object.freeze(table.codec.decode(row))
    for (const check of table.rowChecks) {
      const broken = whyBroken(check, plain)
      if (broken !== undefined) {
        transaction.fail(
          SluiceError.of('CONSTRAINT', `A row of "${table.name}" ${broken.message}.`, {
            details: { table: table.name, key: keyOfRow(table, row), constraint: check.name, value: shownRow(plain) },
            cause: broken.cause,
          }),
        )
      }
    }
    transaction.mustBeOpen() // a check that kept a tx may have doomed it
  })
}

/** Undefined: the row obeys the check. */
export function whyBroken({ name, holds }: RowCheck, row: PlainRow): { readonly message: string; readonly cause?: unknown } | undefined {
  let verdict: unknown
  try {
    verdict = (holds as (row: PlainRow) => unknown)(row)
  } catch (cause) {
    if (isStackOverflow(cause)) throw cause
    return { message: `could not be checked: "${name}" threw`, cause }
  }
  // An object is true to JavaScript, and most often a promise: an asynchronous check would let everything pass.
  if (typeof verdict === 'object' && verdict !== null) return { message: `has a check "${name}" that does not answer with true or false` }
  return verdict ? undefined : { message: `breaks the check "${name}"` }
}
