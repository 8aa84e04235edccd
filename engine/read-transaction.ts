/**
 * What `tx` is for a procedure with `readonly: true`: a run over one snapshot, on the thread that called.
 *
 * It is never sequenced. Its state is that of the newest durable batch (R42), so nothing it answers can be lost, and the answer has
 * nothing to wait for. It writes nothing, so it needs no journal, no lane and no place in an order: its place in the serial order is
 * behind its snapshot's batch.
 *
 *   now       the clock of the database when it begins: one value for the whole run, never before the batch it reads
 *   random    from the seed of the database, the batch and the number of the run, apart from what transactions draw (R33)
 *
 * Every way of changing something is there and refuses (R24: caught or not, that is the outcome). `db` has the tables of the service whose
 * procedure runs; `call` runs other read-only procedures on the same snapshot.
 *
 * Why on main and not on a worker: a row is read in half a microsecond, a way to a worker and back takes some twenty; and the lanes
 * of a worker would stand while it read. Lanes and log go on while main reads. What waits for a long one is what main does itself:
 * handing out answers, and with `workers: 0` everything, as with any long procedure there.
 */
import { CanonicalError, copyCanonical } from './base/canonical.js'
import { SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { PartKind, Program, ReplicaProgram, ServiceProgram } from './schema/descriptor.js'
import type { PlainRecord, RecordCodec } from './schema/record-codec.js'
import { isCopied } from './schema/replica-tables.js'
import { type ReadScope, ReadTable } from './txn/read-table.js'
import type { SnapshotView } from './store/snapshot-view.js'
import { errorOf } from './txn/outcome.js'
import { queriedTables } from './txn/queried-tables.js'
import { type Parts, partsOf } from './txn/service-parts.js'
import { ReplicaTable } from './txn/replica-table.js'
import { TransactionRandom } from './txn/random.js'
import type { RealmTransaction } from './txn/realm.js'
import { noNames } from './txn/index-handle.js'

/** What the runs of one database share: compiled once. */
export interface ReadKit {
  readonly program: Program
  readonly procedureByHandle: ReadonlyMap<unknown, number>
  inputOf(procedure: number): RecordCodec
  /** By service; undefined where it declares no reasons. */
  abortsOf(service: number): ReadonlyMap<string, RecordCodec> | undefined
}

export interface ReadMoment {
  readonly view: SnapshotView
  readonly now: number
  readonly seed: number
  /** Of the runs over read-only procedures since the database was opened. */
  readonly number: number
}

/** Places of requests are below it: no run draws what a transaction draws. */
const drawsApart = 2 ** 31

export class ReadTransaction implements RealmTransaction, ReadScope {
  readonly view: SnapshotView
  readonly now: number
  readonly #kit: ReadKit
  readonly #moment: ReadMoment
  readonly #scopes: (object | undefined)[] = []
  #random: TransactionRandom | undefined
  #doom: SluiceError | undefined
  #hasEnded = false
  #depth = 0
  #rowsRead = 0

  constructor(kit: ReadKit, moment: ReadMoment) {
    this.#kit = kit
    this.#moment = moment
    this.view = moment.view
    this.now = moment.now
  }

  /** Runs the procedure that was called; answers plain data. */
  run(procedure: number, input: unknown): unknown {
    const { name } = this.#kit.program.procedures[procedure]!.descriptor
    try {
      const result = this.#invoke(procedure, this.#kit.inputOf(procedure).normalize(input === undefined ? {} : input))
      this.mustBeOpen()
      return copyResult(result, name)
    } catch (thrown) {
      throw this.#doom ?? errorOf(thrown, name)
    } finally {
      this.#hasEnded = true
    }
  }

  // ── what tables ask ───────────────────────────────────────────────────────────────────────────────────

  mustBeOpen(): void {
    if (this.#doom !== undefined) throw this.#doom
    if (this.#hasEnded) throw SluiceError.of('INVALID_USE', 'This transaction has ended: tx, its tables and its rows are of use only inside the procedure they were given to.')
  }
  /** One object for each run. */
  readonly number = 0
  mustBeOf(): void {
    this.mustBeOpen()
  }
  fail(error: SluiceError): never {
    this.#doom ??= error
    throw error
  }
  /** Every operation: whatever SluiceError it throws is the outcome (R24). */
  guard<T>(work: () => T): T {
    this.mustBeOpen()
    try {
      return work()
    } catch (error) {
      if (SluiceError.is(error)) this.fail(error)
      throw error
    }
  }
  countReads(rows: number): void {
    this.#rowsRead += rows
    if (this.#rowsRead > limits.transactionRowsReadMax) {
      this.fail(SluiceError.of('OUT_OF_SPACE', `A transaction may read ${limits.transactionRowsReadMax} rows: split the work, or read from a snapshot outside.`))
    }
  }
  refuseWrite(what: string): never {
    this.mustBeOpen()
    return this.fail(SluiceError.of('INVALID_USE', `${what} was called in a procedure with readonly: true, which runs on a snapshot and changes nothing: leave readonly out, and it is sequenced like any other.`))
  }

  // ── what procedures call ──────────────────────────────────────────────────────────────────────────────

  random(): number {
    return this.#seeded().unit()
  }
  uuid(): string {
    return this.#seeded().uuid()
  }
  fillRandom(bytes: Uint8Array): void {
    this.#seeded().fill(bytes)
  }
  #seeded(): TransactionRandom {
    this.mustBeOpen()
    if (this.#random === undefined) {
      const { seed, number } = this.#moment
      this.#random = new TransactionRandom()
      this.#random.seed(seed, this.view.batch, drawsApart + (number % drawsApart))
    }
    return this.#random
  }

  #call(handle: unknown, input: unknown): unknown {
    this.mustBeOpen()
    const { program, procedureByHandle } = this.#kit
    const procedure = procedureByHandle.get(handle)
    if (procedure === undefined) return this.fail(SluiceError.of('INVALID_USE', 'tx.call(procedure, input) takes a procedure of a service that belongs to this application.'))
    const { name, readonly: isReadOnly } = program.procedures[procedure]!.descriptor
    if (isReadOnly !== true) this.refuseWrite(`tx.call of "${name}", which is not read-only,`)
    return this.#invoke(
      procedure,
      this.guard(() => this.#kit.inputOf(procedure).normalize(input === undefined ? {} : input)),
    )
  }

  #invoke(procedure: number, input: PlainRecord): unknown {
    if (this.#depth >= limits.callDepthMax) this.fail(SluiceError.of('INVALID_USE', `Calls are nested more than ${limits.callDepthMax} deep.`))
    const { run, service, descriptor } = this.#kit.program.procedures[procedure]!
    const depth = this.#depth
    this.#depth = depth + 1
    try {
      const result = run((this.#scopes[service] ??= this.#scopeOf(service)) as never, input as never)
      this.#mustBeSynchronous(result, descriptor.name)
      return result
    } finally {
      this.#depth = depth
    }
  }

  #abort(service: number, reason: unknown, details: unknown): never {
    this.mustBeOpen()
    if (typeof reason !== 'string' || reason === '') this.fail(SluiceError.of('INVALID_USE', 'tx.abort(reason, details) takes a word as its reason.'))
    const declared = this.#kit.abortsOf(service)
    const codec = declared?.get(reason)
    if (declared !== undefined && codec === undefined) {
      this.fail(SluiceError.of('INVALID_USE', `tx.abort("${reason}") is not declared by this service: add it to \`aborts\`, or use one of ${[...declared.keys()].join(', ')}.`))
    }
    const kept = this.guard(() => {
      try {
        return codec !== undefined ? codec.normalize(details ?? {}) : (copyCanonical(details ?? {}) as Readonly<Record<string, unknown>>)
      } catch (problem) {
        if (!(problem instanceof CanonicalError)) throw problem
        throw SluiceError.of('INVALID_USE', `The details of tx.abort("${reason}") are no plain data: ${problem.message}`)
      }
    })
    return this.fail(SluiceError.of('ABORTED', `The procedure aborted: ${reason}.`, { reason, details: kept }))
  }

  /** Functions of their own, so that `({ db, call }) => ...` works too. */
  #scopeOf(ordinal: number): object {
    const service = this.#kit.program.services[ordinal]!
    const db = this.#tablesOf(service)
    const tableOf = queriedTables(this.view.store, service, db)
    let parts: Parts | undefined
    const partOf = (kind: PartKind): unknown => {
      const own = { tx, isReadOnly: true, fail: (error: Error) => this.fail(error as SluiceError) }
      return (parts ??= partsOf(service, { own, part: (other) => (this.#scopes[other] ??= this.#scopeOf(other)) }))[kind]
    }
    const tx: object = Object.freeze({
      now: this.now,
      get aggregate() {
        return partOf('aggregate')
      },
      get projection() {
        return partOf('projection')
      },
      db,
      query: (query: unknown, parameters?: unknown, options?: unknown) => this.guard(() => this.#kit.program.runQuery!(query, tableOf, parameters, options)),
      random: () => this.random(),
      uuid: () => this.uuid(),
      call: (procedure: unknown, input?: unknown) => this.#call(procedure, input),
      abort: (reason: unknown, details?: unknown) => this.#abort(ordinal, reason, details),
      emit: () => this.refuseWrite('tx.emit'),
      start: () => this.refuseWrite('tx.start'),
    })
    return tx
  }

  #tablesOf(service: ServiceProgram): Readonly<Record<string, object>> {
    const db = Object.create(noNames) as Record<string, object>
    for (const [name, table] of [...service.tables, ...(service.reads ?? [])]) {
      let handle: ReadTable | undefined
      Object.defineProperty(db, name, { enumerable: true, get: () => (handle ??= new ReadTable(this, this.view.store.tables[table]!)) })
    }
    for (const [name, ordinal] of service.replicas ?? []) {
      let handle: object | undefined
      Object.defineProperty(db, name, { enumerable: true, get: () => (handle ??= this.#replicaOf(this.#kit.program.replicas![ordinal]!)) })
    }
    return Object.freeze(db)
  }

  /** A snapshot stands behind its batch, so what that left is what it shows, as is what stands: one view for both strengths. */
  #replicaOf(replica: ReplicaProgram): object {
    const table = new ReadTable(this, this.view.store.tables[replica.table ?? replica.source]!)
    return isCopied(replica) ? table : new ReplicaTable(this, replica, table)
  }

  /** R32. */
  #mustBeSynchronous(result: unknown, name: string): void {
    if ((typeof result !== 'object' && typeof result !== 'function') || result === null) return
    let then: unknown
    try {
      then = (result as { then?: unknown }).then
      if (typeof then !== 'function') return
      then.call(result, undefined, () => undefined)
    } catch {
      if (typeof then !== 'function') return // not plain data either: the codec will say so
    }
    this.fail(SluiceError.of('PROCEDURE_FAILED', `"${name}" returned a promise: a procedure is synchronous. Await outside, or use a workflow.`, { details: { procedure: name } }))
  }
}

/** R31: what leaves is plain data, the same as from a procedure that is sequenced. */
function copyResult(result: unknown, name: string): unknown {
  if (result === undefined) return undefined
  try {
    return copyCanonical(result)
  } catch (problem) {
    if (!(problem instanceof CanonicalError)) throw problem
    throw SluiceError.of('PROCEDURE_FAILED', `"${name}" returned what is no plain data: ${problem.message}. Return get(key) instead of row(key), and values instead of instances.`, { details: { procedure: name } })
  }
}
