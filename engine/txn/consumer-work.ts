/**
 * What durable consumers write, by two procedures of the engine's own: calls like any other, sequenced, logged, recovered.
 *
 *   $mark    how far one has come. Its answer, recorded under the id of its cursor (schema/handler-ids.ts), is the mark. It touches no
 *            table, so nothing can refuse it, and no refusal ever takes the place of a mark
 *   $park    rows of what it has parked (schema/parked-table.ts), in the lane of the partition that all rows of a consumer lie in
 *
 * Both may be repeated: a mark replaces the one before it, a row that is parked again is put again. So a crash between the two costs nothing: a commit
 * that is parked and comes once more is known by its place.
 */
import { ByteReader, ByteWriter } from '../base/bytes.js'
import { decodeCanonical, encodeCanonical } from '../base/canonical.js'
import { markName, parkName, type ProcedureProgram, type Program, type ServiceProgram } from '../schema/descriptor.js'
import type { HandlerCursor } from '../schema/handler-ids.js'
import { type ParkedRow, type ParkedState, parkedTableName } from '../schema/parked-table.js'
import type { TableStore } from '../store/table-store.js'
import type { TableAccess } from './table-handle.js'
import type { ServiceScope, Transaction } from './transaction.js'

/** The input of both: canonical data. */
export interface ConsumerInput {
  readonly work: Uint8Array
}

/** One thing that `$park` does, for one consumer. */
export type ParkedWork =
  | { readonly kind: 'put'; readonly row: Omit<ParkedRow, 'consumer' | 'since'> }
  | { readonly kind: 'remove'; readonly place: HandlerCursor }
  | { readonly kind: 'state'; readonly place: HandlerCursor; readonly state: ParkedState }

export function consumerInput(work: unknown): ConsumerInput {
  const writer = new ByteWriter(256)
  encodeCanonical(work, writer)
  return { work: writer.copy() }
}

/** It owns the procedures; no user can name it (R64). */
const consumerService: ServiceProgram = { name: '$consumers', tables: new Map(), events: new Map(), aborts: undefined }

/** A program and the two procedures, behind all others. */
export function withConsumers(program: Program): Program {
  const procedureOf = (name: string, run: (park: ParkedRows, work: unknown) => unknown): ProcedureProgram => ({
    descriptor: { name, columns: [{ name: 'work', type: 'bytes', nullable: false }], placed: true },
    checks: [],
    json: [],
    handle: Object.freeze({}),
    service: program.services.length,
    partition: undefined,
    isKnownByName: true,
    run: (park: ParkedRows, { work }: ConsumerInput) => run(park, decodeCanonical(new ByteReader(work))),
  })
  const mark = procedureOf(markName, (_park, value) => value)
  const park = procedureOf(parkName, (rows, work) => rows.run(work as readonly [string, readonly ParkedWork[]]))
  return { ...program, services: [...program.services, consumerService], procedures: [...program.procedures, mark, park] }
}

/** The scope of the service that parks, where `service` is it. */
export function consumerScope(transaction: Transaction, service: ServiceProgram, makeTable: (transaction: Transaction, table: TableStore) => TableAccess): ServiceScope | undefined {
  return service === consumerService ? { tx: new ParkedRows(transaction, makeTable), aborts: undefined } : undefined
}

class ParkedRows {
  readonly #transaction: Transaction
  readonly #makeTable: (transaction: Transaction, table: TableStore) => TableAccess
  #table: TableAccess | undefined

  constructor(transaction: Transaction, makeTable: (transaction: Transaction, table: TableStore) => TableAccess) {
    this.#transaction = transaction
    this.#makeTable = makeTable
  }

  run([consumer, works]: readonly [string, readonly ParkedWork[]]): void {
    const table = (this.#table ??= this.#makeTable(this.#transaction, this.#transaction.store.tables.find(({ name }) => name === parkedTableName)!))
    for (const work of works) {
      if (work.kind === 'put') {
        table.put({ ...work.row, consumer, since: this.#transaction.now })
        continue
      }
      const key = [consumer, work.place.batch, work.place.index]
      if (work.kind === 'remove') table.delete(key)
      else if (table.has(key)) table.update(key, { state: work.state })
    }
  }
}
