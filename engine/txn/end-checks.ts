/**
 * What must hold when a transaction ends (R26): after the procedure and its atomic handlers, and before anything of it is recorded.
 *
 *   gone rows      what refers to them goes along, or refers to nothing any more (reference-checks.ts); what may not be is refused
 *   changed rows   every row that the transaction leaves changed and alive, in the order in which it was first touched: the checks of
 *                  its table, then what it refers to, each in order of declaration
 *
 * A check sees the row as it stands at the end, so columns may break it together on the way. It runs at the same place in a
 * lane, in the cross-partition lane and ahead of its turn; there, a row that is checked is read (R22), and one that breaks a rule
 * gives the run up: in order it will say so itself. Interactive transactions are checked in their lane, like any other.
 */
import { isStackOverflow } from '../base/canonical.js'
import { SluiceError } from '../base/errors.js'
import type { RowCheck } from '../schema/descriptor.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TableStore } from '../store/table-store.js'
import { type EndingTransaction, followDeletes, proveReferences, refuseReferred } from './reference-checks.js'
import { keyOfRow, shownRow } from './violation.js'

/** Throws, and dooms the transaction, where something does not hold. */
export function proveEnd(transaction: EndingTransaction): void {
  followDeletes(transaction)
  refuseReferred(transaction)
  transaction.written.forEachToProve((table, row) => {
    if (table.rowChecks.length > 0) proveChecks(transaction, table, row)
    if (table.refersTo.length > 0) proveReferences(transaction, table, row)
  })
}

function proveChecks(transaction: EndingTransaction, table: TableStore, row: number): void {
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
