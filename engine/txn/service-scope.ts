/** `tx` as the procedures of one service see it. Made once for each worker and service; the transaction behind it changes. */
import type { ServiceProgram } from '../schema/descriptor.js'
import { compileRecordCodec } from '../schema/record-codec.js'
import { SluiceError } from '../base/errors.js'
import { TableHandle } from './table-handle.js'
import type { ServiceScope, Transaction } from './transaction.js'

export function makeServiceScope(transaction: Transaction, service: ServiceProgram): ServiceScope {
  const aborts =
    service.aborts === undefined
      ? undefined
      : new Map([...service.aborts].map(([reason, record]) => [reason, compileRecordCodec(record, record, `the details of "${reason}"`)]))
  // Names are the user's: no prototype, so that none of them can mean anything else (R64).
  const db = Object.create(null) as Record<string, TableHandle>
  for (const [name, table] of service.tables) db[name] = new TableHandle(transaction, transaction.store.tables[table]!)
  Object.freeze(db)
  const tx = {
    db,
    get now() {
      return transaction.now
    },
    random: () => transaction.random(),
    uuid: () => transaction.uuid(),
    emit: (event: string, payload?: unknown) => {
      const ordinal = service.events.get(event)
      if (ordinal === undefined) {
        transaction.mustBeOpen()
        transaction.fail(SluiceError.of('INVALID_USE', `Service "${service.name}" declares no event "${String(event)}"; it has: ${[...service.events.keys()].join(', ') || 'none'}.`))
      }
      transaction.emit(ordinal, payload)
    },
    call: (procedure: { readonly name: string } | undefined, input?: unknown) => transaction.call(procedure?.name, input),
    start: () => {
      transaction.mustBeOpen()
      transaction.fail(SluiceError.of('INVALID_USE', 'tx.start(workflow) is not in this version: workflows come later.'))
    },
    abort: (reason: unknown, details?: unknown) => transaction.abort(reason, details, aborts),
  }
  return { tx: Object.freeze(tx), aborts }
}
