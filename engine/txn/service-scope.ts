/**
 * `tx` as the procedures of one service see it. The tables behind it are made once for each worker and service; `tx` itself is
 * new for every transaction, so that one that was kept does not act inside a later one.
 */
import type { PartKind, ReplicaProgram, ServiceProgram } from '../schema/descriptor.js'
import { compileRecordCodec, type RecordCodec } from '../schema/record-codec.js'
import { isCopied } from '../schema/replica-tables.js'
import { SluiceError } from '../base/errors.js'
import type { TableStore } from '../store/table-store.js'
import { consumerScope } from './consumer-work.js'
import { engineScope } from './draft-commit.js'
import { type Parts, partsOf } from './service-parts.js'
import { queriedTables, type TableOf } from './queried-tables.js'
import { inReadOnlyProcedure, ofAnotherService, ofReplica, ReadOnlyTable } from './read-only-table.js'
import { ReadTable } from './read-table.js'
import { replicaScope } from './replica-copy.js'
import { replicaIsRead, ReplicaTable } from './replica-table.js'
import { SealedScope } from './sealed-scope.js'
import { SnapshotTable } from './snapshot-table.js'
import { watchScope } from './reference-watch.js'
import { noNames } from './index-handle.js'
import { type TableAccess, TableHandle } from './table-handle.js'
import type { ServiceScope, Transaction } from './transaction.js'

export type MakeTable = (transaction: Transaction, table: TableStore) => TableAccess

const standing: MakeTable = (transaction, table) => new TableHandle(transaction, table)
const ofSnapshot: MakeTable = (transaction, table) => new SnapshotTable(transaction, table)

/**
 * `isReadOnly`: for procedures with `readonly: true`. `readsSnapshot`: for transactions that do. `makeTable`: what a table is for the procedures of
 * this transaction.
 */
export function makeServiceScope(
  transaction: Transaction, service: ServiceProgram, isReadOnly = false, readsSnapshot = false, makeTable: MakeTable = readsSnapshot ? ofSnapshot : standing,
): ServiceScope {
  const own = engineScope(transaction, service, makeTable) ?? replicaScope(transaction, service, makeTable) ?? watchScope(transaction, service) ?? consumerScope(transaction, service, makeTable)
  if (own !== undefined) return own
  const aborts =
    service.aborts === undefined
      ? undefined
      : new Map([...service.aborts].map(([reason, record]) => [reason, compileRecordCodec(record, record, `the details of "${reason}"`)]))
  const db = Object.create(noNames) as Record<string, object>
  for (const [name, ordinal] of service.tables) {
    const table = transaction.store.tables[ordinal]!
    const access = makeTable(transaction, table)
    db[name] = isReadOnly ? new ReadOnlyTable(transaction, table, access, inReadOnlyProcedure) : access
  }
  for (const [name, ordinal] of service.reads ?? []) {
    const table = transaction.store.tables[ordinal]!
    db[name] = new ReadOnlyTable(transaction, table, makeTable(transaction, table), ofAnotherService)
  }
  for (const [name, ordinal] of service.replicas ?? []) db[name] = replicaTable(transaction, transaction.program.replicas![ordinal]!, makeTable)
  Object.freeze(db)
  const tableOf = queriedTables(transaction.store, service, db)
  let tx: ServiceTransaction | undefined
  return {
    aborts,
    get tx() {
      return tx?.isOf(transaction.number) === true ? tx : (tx = new ServiceTransaction(transaction, service, isReadOnly, db, tableOf, aborts))
    },
  }
}

/** Over its source as it stands now, as the last batch left it, or over rows of its own. */
function replicaTable(transaction: Transaction, replica: ReplicaProgram, makeTable: MakeTable): TableAccess {
  const { tables } = transaction.store
  if (isCopied(replica)) {
    const table = tables[replica.table]!
    return new ReadOnlyTable(transaction, table, makeTable(transaction, table), ofReplica)
  }
  const source = tables[replica.source]!
  const refuse = (what: string): never => transaction.fail(replicaIsRead(what, replica.descriptor.name))
  const access = replica.strength === 'batch' ? new ReadTable(new SealedScope(transaction, refuse), source) : makeTable(transaction, source)
  return new ReplicaTable(transaction, replica, access)
}

/** Getters that answer functions: `({ db, emit }, input) => ...` works as well as `tx.emit`. */
class ServiceTransaction {
  readonly #transaction: Transaction
  readonly #service: ServiceProgram
  readonly #isReadOnly: boolean
  readonly #db: Readonly<Record<string, object>>
  readonly #tableOf: TableOf
  readonly #aborts: ReadonlyMap<string, RecordCodec> | undefined
  readonly #number: number
  #parts: Parts | undefined

  constructor(
    transaction: Transaction, service: ServiceProgram, isReadOnly: boolean, db: Readonly<Record<string, object>>, tableOf: TableOf,
    aborts: ReadonlyMap<string, RecordCodec> | undefined,
  ) {
    this.#transaction = transaction
    this.#service = service
    this.#isReadOnly = isReadOnly
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
      if (this.#isReadOnly) this.#refuse('tx.emit()')
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
      return this.#transaction.call(procedure, input, this.#isReadOnly)
    }
  }
  get aggregate(): unknown {
    this.#mustBeMine()
    return this.#part('aggregate')
  }
  get projection(): unknown {
    this.#mustBeMine()
    return this.#part('projection')
  }
  #part(kind: PartKind): unknown {
    const transaction = this.#transaction
    this.#parts ??= partsOf(this.#service, {
      own: { tx: this, isReadOnly: this.#isReadOnly, fail: (error) => transaction.fail(error as SluiceError) },
      part: (service, isReadOnly) => transaction.txOf(service, isReadOnly || this.#isReadOnly),
    })
    return this.#parts[kind]
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

  #refuse(what: string): never {
    this.#transaction.mustBeOpen()
    return this.#transaction.fail(SluiceError.of('INVALID_USE', `${what} was called ${inReadOnlyProcedure}.`))
  }
  #mustBeMine(): void {
    if (this.#number !== this.#transaction.number) this.#transaction.refuseKept()
  }
}
