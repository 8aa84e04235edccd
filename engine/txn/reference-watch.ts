/**
 * References of strength `eventual`: looked at behind the commit, in transactions of the engine's own.
 *
 * A queue follows the log for changes that may leave a row without the one that it refers to (engine/handler-source.ts), and has each one
 * looked at exactly once (R61), like an event that a handler waits for. What does not hold then is announced by an event of the engine, one for
 * each row that refers to nothing; services and streams hear of it like of any other event.
 */
import type { ColumnDescriptor, EventProgram, HandlerProgram, Program, ServiceProgram } from '../schema/descriptor.js'
import { compileRecordCodec, type RecordCodec } from '../schema/record-codec.js'
import type { ReferringRows } from './reference-checks.js'
import type { ServiceScope, Transaction } from './transaction.js'
import { bareKey } from './violation.js'

/** No user's event can have this name (R64). */
export const violatedName = '$sluice.referenceViolated'

const noRules = { checks: [], json: [] }
const plain = (name: string): ColumnDescriptor => ({ name, type: 'json', nullable: false })
const text = (name: string): ColumnDescriptor => ({ name, type: 'text', nullable: false })

/** Announces that a row refers to nothing. */
export const violatedEvent: EventProgram = {
  descriptor: { name: violatedName, columns: [text('table'), plain('key'), text('reference'), plain('value'), text('other')] },
  ...noRules,
}

/** What is to be looked at: the rows that give this key, or that one of them alone which has the key `of`. */
export interface WatchedChange {
  readonly values: readonly unknown[]
  readonly of: readonly unknown[] | null
}

export function watchCodec(handler: string): RecordCodec {
  return compileRecordCodec({ columns: [plain('values'), { ...plain('of'), nullable: true }] }, noRules, `what "${handler}" looks at`)
}

const watchService: ServiceProgram = { name: '$references', tables: new Map(), events: new Map(), aborts: undefined }

/** The program with the service whose transactions look, and its ordinal, where there is something to look at. */
export function withWatchService(program: Program): { readonly program: Program; readonly service: number } {
  const service = program.services.length
  if (!program.handlers.some(({ watches }) => watches !== undefined)) return { program, service }
  return { program: { ...program, services: [...program.services, watchService] }, service }
}

export function watchScope(transaction: Transaction, service: ServiceProgram): ServiceScope | undefined {
  return service === watchService ? { tx: new ReferenceWatch(transaction), aborts: undefined } : undefined
}

export class ReferenceWatch {
  readonly #transaction: Transaction

  constructor(transaction: Transaction) {
    this.#transaction = transaction
  }

  look({ watches, event }: HandlerProgram, { values, of }: WatchedChange): void {
    const transaction = this.#transaction
    const referring: ReferringRows = transaction.referring
    const reference = transaction.store.tables[watches!.table]!.watched.find(({ name }) => name === watches!.reference)!
    const { child, parent, name } = reference
    if (referring.has(parent, bareKey(values))) return
    for (const row of referring.of(reference, values, Infinity)) {
      const key = child.descriptor.key.map((column) => child.codec.readers[column]!(row))
      if (of !== null && !isSame(key, of)) continue
      transaction.emit(event, { table: child.name, key: bareKey(key), reference: name, value: bareKey(values), other: parent.name })
    }
  }
}

/** Values of two keys of one table. */
function isSame(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.every((value, n) => value === other[n] || (value instanceof Uint8Array && Buffer.compare(value, other[n] as Uint8Array) === 0))
}
