/**
 * `tx` as the procedures of one service see it. The tables behind it are made once for each worker and service; `tx` itself is
 * new for every transaction, so that one that was kept does not act inside a later one.
 */
import { didYouMean } from '../schema/closest-name.js'
import type { QueriedTable, ServiceProgram } from '../schema/descriptor.js'
import { compileRecordCodec, type RecordCodec } from '../schema/record-codec.js'
import { SluiceError } from '../base/errors.js'
import type { TableStore } from '../store/table-store.js'
import { engineScope } from './draft-commit.js'
import { noNames, type TableAccess, TableHandle } from './table-handle.js'
import type { ServiceScope, Transaction } from './transaction.js'

export type MakeTable = (transaction: Transaction, table: TableStore) => TableAccess

/** `makeTable`: what a table is for the procedures of this transaction. */
export function makeServiceScope(transaction: Transaction, service: ServiceProgram, makeTable: MakeTable = (...made) => new TableHandle(...made)): ServiceScope {
  const own = engineScope(transaction, service, makeTable)
  if (own !== undefined) return own
  const aborts =
    service.aborts === undefined
      ? undefined
      : new Map([...service.aborts].map(([reason, record]) => [reason, compileRecordCodec(record, record, `the details of "${reason}"`)]))
  const db = Object.create(noNames) as Record<string, object>
  for (const [name, table] of service.tables) db[name] = makeTable(transaction, transaction.store.tables[table]!)
  Object.freeze(db)
  const tableOf = queriedTables(transaction, service, db)
  let tx: ServiceTransaction | undefined
  return {
    aborts,
    get tx() {
      return tx?.isOf(transaction.number) === true ? tx : (tx = new ServiceTransaction(transaction, service, db, tableOf, aborts))
    },
  }
}

type TableOf = (name: string) => QueriedTable

/** The tables that queries of a service may read: its own, by full name. */
function queriedTables(transaction: Transaction, service: ServiceProgram, db: Readonly<Record<string, object>>): TableOf {
  const tables = new Map<string, QueriedTable>()
  for (const [name, table] of service.tables) {
    const { descriptor } = transaction.store.tables[table]!
    tables.set(descriptor.name, { descriptor, handle: db[name]! })
  }
  return (name) => {
    const table = tables.get(name)
    if (table !== undefined) return table
    const own = [...tables.keys()]
    throw SluiceError.of('INVALID_USE', `Service "${service.name}" cannot query "${name}", which is not its own${didYouMean(name, own)}: call a procedure of the service that has it.`)
  }
}

/** Getters that answer functions: `({ db, emit }, input) => ...` works as well as `tx.emit`. */
class ServiceTransaction {
  readonly #transaction: Transaction
  readonly #service: ServiceProgram
  readonly #db: Readonly<Record<string, object>>
  readonly #tableOf: TableOf
  readonly #aborts: ReadonlyMap<string, RecordCodec> | undefined
  readonly #number: number

  constructor(transaction: Transaction, service: ServiceProgram, db: Readonly<Record<string, object>>, tableOf: TableOf, aborts: ReadonlyMap<string, RecordCodec> | undefined) {
    this.#transaction = transaction
    this.#service = service
    this.#db = db
    this.#tableOf = tableOf
    this.#aborts = aborts
    this.#number = transaction.number
  }

  isOf(number: number): boolean {
    return this.#number === number
  }

  get db(): Readonly<Record<string, object>> {
    this.#mustBeMine()
    return this.#db
  }
  /** All that it reads goes through the handles of the tables: whose partition it is, what is counted and noted is their business. */
  get query(): (query: unknown, parameters?: unknown, options?: unknown) => readonly unknown[] {
    return (query, parameters, options) => {
      this.#mustBeMine()
      const transaction = this.#transaction
      transaction.mustBeOpen()
      try {
        return transaction.program.runQuery!(query, this.#tableOf, parameters, options)
      } catch (error) {
        throw transaction.failed(error)
      }
    }
  }
  get now(): number {
    this.#mustBeMine()
    return this.#transaction.now
  }
  get random(): () => number {
    return () => {
      this.#mustBeMine()
      return this.#transaction.random()
    }
  }
  get uuid(): () => string {
    return () => {
      this.#mustBeMine()
      return this.#transaction.uuid()
    }
  }
  get emit(): (event: string, payload?: unknown) => void {
    return (event, payload) => {
      this.#mustBeMine()
      const service = this.#service
      const ordinal = service.events.get(event)
      if (ordinal === undefined) {
        this.#transaction.mustBeOpen()
        this.#transaction.fail(SluiceError.of('INVALID_USE', `Service "${service.name}" declares no event "${String(event)}"; it has: ${[...service.events.keys()].join(', ') || 'none'}.`))
      }
      this.#transaction.emit(ordinal, payload)
    }
  }
  get call(): (procedure: unknown, input?: unknown) => unknown {
    return (procedure, input) => {
      this.#mustBeMine()
      return this.#transaction.call(procedure, input)
    }
  }
  get start(): () => never {
    return () => {
      this.#mustBeMine()
      this.#transaction.mustBeOpen()
      this.#transaction.fail(SluiceError.of('INVALID_USE', 'tx.start(workflow) is not in this version: workflows come later.'))
    }
  }
  get abort(): (reason: unknown, details?: unknown) => never {
    return (reason, details) => {
      this.#mustBeMine()
      return this.#transaction.abort(reason, details, this.#aborts)
    }
  }

  #mustBeMine(): void {
    if (this.#number !== this.#transaction.number) this.#transaction.refuseKept()
  }
}
