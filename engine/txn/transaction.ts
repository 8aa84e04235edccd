/**
 * One transaction at a time, as the lanes of a worker run them: what `tx` stands for.
 *
 * Life: `begin` → procedure, nested calls, atomic handlers → `commit` or `undo`. Any SluiceError that `tx` throws, and the
 * stray signal, doom the transaction (R24): whoever catches it goes on in a transaction whose every operation throws it again,
 * and whose outcome it is.
 *
 * A stray is a transaction that touched a partition other than its lane's (R25). It is undone and runs again in the
 * cross-partition lane of the same batch; its procedure must not notice, so the signal is no SluiceError and nothing is kept.
 *
 * `live` is the number of the transaction while it may act, and 0 while it may not: it has ended, it is doomed, or the store is in the
 * middle of a change (R6). A stack overflow can end the change there and be swallowed by the procedure's own `catch`: the next
 * operation, or the end, finds a transaction that is open and not live, and gives the batch up. So one comparison tells an
 * accessor that its transaction is the running one, that it is open, and that nothing is half done.
 */
import { AssertionError } from '../base/assert.js'
import { ByteReader, ByteWriter } from '../base/bytes.js'
import { CanonicalError, copyCanonical } from '../base/canonical.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { Program, ServiceProgram } from '../schema/descriptor.js'
import { compileRecordCodec, type PlainRecord, type RecordCodec } from '../schema/record-codec.js'
import { type LaneLog, recordCostBytes } from '../shared/lane-log.js'
import type { SnapshotView } from '../store/snapshot-view.js'
import type { Store } from '../store/store.js'
import type { TableStore } from '../store/table-store.js'
import { proveEnd } from './end-checks.js'
import type { ReferringRows, WrittenRows } from './reference-checks.js'
import { TransactionRandom } from './random.js'
import type { RealmTransaction } from './realm.js'
import { RowWriter } from './row-writer.js'
import { StandingReferrers } from './standing-referrers.js'

/** The lane of transactions that may touch every partition. */
export const crossLane = -1
/** The same lane, for a transaction that said which partitions it touches. */
const declaredLane = -2

const state = { closed: 0, open: 1, doomed: 2 } as const

/** What is of no partition: a global table, which the cross-partition lane writes; and what needs them all. */
const anyPartition = -1
const allPartitions = -2

/** Ints of `#emitted` for each event. */
const emittedInts = 4
/** Events that the body emits have no cause among handlers. */
const noRun = -1

/** Not an error of the user's: see above. */
export const straySignal: unique symbol = Symbol('this transaction left its partition')

/** Nor is this one: a procedure with `isolation: 'snapshot'` wrote a row that has changed since its snapshot. */
const outdatedSignal: unique symbol = Symbol('this transaction has read an older state than it would change')

/** The batch cannot go on: its store operations were interrupted (R6). The culprit is the transaction that ran. */
export class BrokenBatch extends Error {
  override readonly name = 'BrokenBatch'
}

/** What the procedures of one service get as `tx` (service-scope.ts), and how the details of its reasons are checked. */
export interface ServiceScope {
  readonly tx: object
  readonly aborts: ReadonlyMap<string, RecordCodec> | undefined
}

/** `readsSnapshot`: its tables show what the last batch left, and what the transaction has written. */
type MakeScope = (transaction: Transaction, service: ServiceProgram, isReadOnly: boolean, readsSnapshot: boolean) => ServiceScope

interface Scopes {
  readonly ofService: readonly ServiceScope[]
  /** Of each procedure: its service's, or what that is for procedures that only read. */
  readonly ofProcedure: readonly ServiceScope[]
  /** What a service's is for procedures that only read: made when there is one. */
  readonly reading: (service: number) => ServiceScope
}

export class Transaction implements RealmTransaction {
  readonly program: Program
  readonly store: Store
  readonly writer: RowWriter
  readonly log: LaneLog
  /** Batch time, milliseconds. */
  now = 0
  /** Grows with every transaction: an accessor knows by it that its time is over. */
  number = 0
  /** `number` while the transaction may act, else 0. */
  live = 0
  readonly inputs: readonly RecordCodec[]
  readonly #events: readonly RecordCodec[]
  readonly #standing: Scopes
  /** The same for transactions that read a snapshot: made when there is one. */
  #snapshot: Scopes | undefined
  readonly #makeScopes: (readsSnapshot: boolean) => Scopes
  #scopes: Scopes
  readonly #procedureByHandle: ReadonlyMap<unknown, number>
  readonly #handlersByEvent: readonly (readonly number[])[]
  readonly #random = new TransactionRandom()
  readonly #payloads = new ByteWriter(1_024)
  readonly #reader = new ByteReader(new Uint8Array(0))
  /** Events that handlers wait for: event, place and length of the payload, and the run of a handler that emitted it (-1: the body). */
  readonly #emitted: number[] = []
  /** Runs of handlers: which handler, and the runs that emitted what it waited for. */
  readonly #runHandlers: number[] = []
  readonly #runCauses: (number | readonly number[])[] = []
  #run = noRun
  /** By handler that waits for several events: where the first of each stands in `#emitted`. */
  readonly #joins = new Map<number, number[]>()
  #state: number = state.closed
  #doom: unknown
  #bug: AssertionError | undefined
  #lane = crossLane
  #declared: readonly number[] = []
  /** It has touched a partition that it had not declared, and went on as one that may touch all. */
  hasLeftDeclared = false
  #seed = 0
  #batch = 0
  #place = 0
  #isSeeded = false
  #depth = 0
  #rowsRead = 0
  /** The transaction wrote to a table whose rows have something to prove at its end. */
  mustProve = false
  /** Who knows the rows that it wrote: the row writer, or a run ahead; and who knows those that they refer to, or that refer to them. */
  written: WrittenRows
  referring: ReferringRows
  /** What the state after a batch is seen through, where that is not the store alone (fork-table.ts). */
  viewAt: ((slot: number, batch: number) => SnapshotView) | undefined

  /** `scopeOf` comes from above: the handles know the transaction, so it must not know them. */
  constructor(program: Program, store: Store, log: LaneLog, scopeOf: MakeScope) {
    this.program = program
    this.store = store
    this.log = log
    this.writer = new RowWriter(store)
    this.written = this.writer
    this.referring = new StandingReferrers(this)
    this.writer.writtenMax = limits.transactionBytesMax
    this.inputs = program.procedures.map((p) => compileRecordCodec(p.descriptor, p, `the input of "${p.descriptor.name}"`))
    this.#events = program.events.map((e) => compileRecordCodec(e.descriptor, e, `the payload of "${e.descriptor.name}"`))
    this.#procedureByHandle = new Map(program.procedures.map((p, n) => [p.handle, n]))
    this.#handlersByEvent = program.events.map((_, event) => program.atomicHandlers.flatMap((h, n) => (h.events.includes(event) ? [n] : [])))
    this.#makeScopes = (readsSnapshot) => {
      const ofService = program.services.map((service) => scopeOf(this, service, false, readsSnapshot))
      const made: (ServiceScope | undefined)[] = []
      const reading = (service: number): ServiceScope => (made[service] ??= scopeOf(this, program.services[service]!, true, readsSnapshot))
      const ofProcedure = program.procedures.map(({ descriptor, service }) => (descriptor.readonly === true ? reading(service) : ofService[service]!))
      return { ofService, ofProcedure, reading }
    }
    this.#standing = this.#makeScopes(false)
    this.#scopes = this.#standing
  }

  beginBatch(batch: number, now: number, seed: number): void {
    this.writer.batch = batch
    this.#batch = batch
    this.now = now
    this.#seed = seed
  }

  begin(lane: number, place: number): void {
    this.#lane = lane
    this.hasLeftDeclared = false
    this.#place = place
    this.#isSeeded = false
    this.#state = state.open
    this.#doom = undefined
    this.#depth = 0
    this.#rowsRead = 0
    this.mustProve = false
    this.#scopes = this.#standing
    if (this.#emitted.length > 0) this.#forgetEvents() // a runtime call, also for nothing
    this.number += 1
    this.live = this.number
    this.writer.begin()
    this.log.beginTransaction()
  }

  /** Its procedure has `isolation: 'snapshot'`: it reads what the last batch left, and so does all that it calls (snapshot-table.ts). */
  readSnapshot(): void {
    this.#scopes = this.#snapshot ??= this.#makeScopes(true)
  }

  /** In the cross-partition lane: it is to touch these partitions only. */
  declare(partitions: readonly number[]): void {
    this.#lane = declaredLane
    this.#declared = partitions
  }

  /** Runs a procedure, the atomic handlers of what it emitted, and what is checked at the end (R26, R28). Throws what dooms it. */
  run(procedure: number, input: PlainRecord): unknown {
    const result = this.#invoke(procedure, input)
    if (this.#emitted.length > 0) this.#handleEvents()
    this.mustBeOpen()
    if (this.mustProve) proveEnd(this)
    return result
  }

  commit(): void {
    this.#close()
    this.writer.commit(this.log)
    if (this.log.transactionCost > limits.transactionBytesMax + limits.transactionBytesMax / 2) throw new AssertionError('a transaction records no more than it was allowed to write')
  }

  /** Takes everything back. Afterwards `tx` is closed. */
  undo(): void {
    this.#close()
    this.writer.undo()
    this.log.dropTransaction()
  }

  #close(): void {
    this.#state = state.closed
    this.live = 0
  }

  /** What the transaction ends with, when it threw `thrown`: the doom, where there is one. */
  outcomeOf(thrown: unknown): unknown {
    return this.#state === state.doomed ? this.#doom : thrown
  }

  /** It must run again in its place, on what is there now: see `outdated`. */
  get isOutdated(): boolean {
    return this.#state === state.doomed && this.#doom === outdatedSignal
  }
  get isStray(): boolean {
    return this.#state === state.doomed && this.#doom === straySignal
  }
  /** R6: a store operation of this transaction never came to its end. */
  get isBroken(): boolean {
    return this.#state === state.open && this.live === 0
  }

  /** An assertion of ours failed under this transaction: the program is wrong, and the database stops. */
  get bug(): AssertionError | undefined {
    return this.#bug
  }

  // ── what the handles call ─────────────────────────────────────────────────────────────────────────────

  mustBeOpen(): void {
    if (this.live !== 0) return
    this.#refuse()
  }
  #refuse(): never {
    if (this.#state === state.open) throw new BrokenBatch('a store operation did not come to its end')
    if (this.#state === state.doomed) throw this.#doom
    throw SluiceError.of('INVALID_USE', 'This transaction has ended: tx, its tables and its rows are of use only inside the procedure they were given to.')
  }

  /** Something of an earlier transaction is used in this one. */
  refuseKept(): never {
    this.mustBeOpen()
    this.fail(SluiceError.of('INVALID_USE', 'tx, a row or a scan of an earlier transaction was used: they are of use only inside the procedure they were given to.'))
  }

  /** Something of the transaction of this number is used. */
  mustBeOf(number: number): void {
    if (number !== this.number) this.refuseKept()
    this.mustBeOpen()
  }

  fail(error: SluiceError): never {
    this.#doomBy(error)
    throw error
  }

  /** What an operation of a table threw, on its way to the procedure: R24; and what was thrown in the middle of a change (R6). */
  failed(error: unknown): unknown {
    if (SluiceError.is(error)) this.#doomBy(error)
    else if (error instanceof AssertionError && this.isBroken) this.#bug = error
    return error
  }

  #doomBy(error: SluiceError): void {
    this.live = 0
    if (this.#state !== state.open) return
    this.#state = state.doomed
    this.#doom = error
  }

  stray(): never {
    this.live = 0
    this.#state = state.doomed
    this.#doom = straySignal
    // The signal is thrown as it is: no procedure can tell it from another reason to stop, and nothing of it survives.
    throw straySignal
  }

  /** It would change a row that is not any more what it reads: nothing of this run stays, and its procedure must not notice. */
  outdated(): never {
    this.mustBeOpen()
    this.live = 0
    this.#state = state.doomed
    this.#doom = outdatedSignal
    throw outdatedSignal
  }

  /** Runs a change of the store between two marks (R6). Whatever it throws dooms the transaction, or loses the batch. */
  change<T>(work: () => T): T {
    this.beginChange()
    let result: T
    try {
      result = work()
    } catch (error) {
      throw this.failed(error)
    }
    this.endChange()
    return result
  }
  /**
   * The same for paths that are too hot for a closure: the caller pairs them, and whatever is thrown in between goes through `failed`.
   * What is no SluiceError leaves the transaction open and not live: the batch is lost.
   */
  beginChange(): void {
    this.live = 0
  }
  endChange(): void {
    this.live = this.number
  }

  /** The partition of the lane that it runs in, or `crossLane`. */
  get partition(): number {
    return this.#lane
  }

  /** R25: before the first look at a partition. */
  mayRead(table: TableStore, partition: number): void {
    if (this.#lane !== crossLane && partition !== this.#lane && !table.isGlobal) this.#outside(partition)
    this.countReads(1)
  }
  countReads(rows: number): void {
    this.#rowsRead += rows
    if (this.#rowsRead > limits.transactionRowsReadMax) {
      this.fail(SluiceError.of('OUT_OF_SPACE', `A transaction may read ${limits.transactionRowsReadMax} rows: split the work, or read from a snapshot outside.`))
    }
  }
  mayWrite(table: TableStore, partition: number): void {
    if (this.#lane !== crossLane && (partition !== this.#lane || table.isGlobal)) this.#outside(table.isGlobal ? anyPartition : partition)
  }
  /** An access that no single partition can answer (R20). */
  mustReadAll(): void {
    if (this.#lane !== crossLane) this.#outside(allPartitions)
  }
  /**
   * A partition that is not the lane's. In the lane of a partition that is the end of this run. In the cross-partition lane it is found
   * and promoted: the lane has every partition to itself, so the transaction goes on as one that has declared nothing.
   */
  #outside(partition: number): void {
    if (this.#lane !== declaredLane) this.stray()
    if (partition === anyPartition || this.#declared.includes(partition)) return
    this.#lane = crossLane
    this.hasLeftDeclared = true
  }

  // ── what tx does beside tables ────────────────────────────────────────────────────────────────────────

  #seeded(): TransactionRandom {
    this.mustBeOpen()
    if (!this.#isSeeded) {
      this.#random.seed(this.#seed, this.#batch, this.#place)
      this.#isSeeded = true
    }
    return this.#random
  }
  random(): number {
    return this.#seeded().unit()
  }
  uuid(): string {
    return this.#seeded().uuid()
  }
  fillRandom(bytes: Uint8Array): void {
    this.#seeded().fill(bytes)
  }

  abort(reason: unknown, details: unknown, declared: ServiceScope['aborts']): never {
    this.mustBeOpen()
    if (typeof reason !== 'string' || reason === '') this.fail(SluiceError.of('INVALID_USE', 'tx.abort(reason, details) takes a word as its reason.'))
    let kept: Readonly<Record<string, unknown>> = {}
    try {
      const codec = declared?.get(reason)
      if (declared !== undefined && codec === undefined) {
        this.fail(SluiceError.of('INVALID_USE', `tx.abort("${reason}") is not declared by this service: add it to \`aborts\`, or use one of ${[...declared.keys()].join(', ')}.`))
      }
      kept = codec !== undefined ? codec.normalize(details ?? {}) : (copyCanonical(details ?? {}) as Readonly<Record<string, unknown>>)
    } catch (error) {
      if (error instanceof CanonicalError) this.fail(SluiceError.of('INVALID_USE', `The details of tx.abort("${reason}") are no plain data: ${error.message}`))
      if (SluiceError.is(error)) this.fail(error)
      throw error
    }
    this.fail(SluiceError.of('ABORTED', `The procedure aborted: ${reason}.`, { reason, details: kept }))
  }

  emit(event: number, payload: unknown): void {
    this.mustBeOpen()
    if (this.#run !== noRun) this.#mustBeDeclared(event)
    if (this.log.eventsOfTransaction >= limits.eventsPerTransactionMax) {
      this.fail(SluiceError.of('OUT_OF_SPACE', `A transaction may emit ${limits.eventsPerTransactionMax} events: is there a circle of handlers?`))
    }
    const writer = this.#payloads
    writer.reset()
    try {
      this.#events[event]!.encode(payload === undefined ? {} : payload, writer)
    } catch (error) {
      if (SluiceError.is(error)) this.fail(error)
      throw error
    }
    this.writer.written += writer.length + recordCostBytes
    if (this.writer.written > limits.transactionBytesMax) {
      this.fail(SluiceError.of('OUT_OF_SPACE', `A transaction may write ${limits.transactionBytesMax} bytes, events included: split the work into several.`))
    }
    const at = this.log.putBytes(writer.memory, writer.length)
    this.log.addEvent(event, at, writer.length)
    if (this.#handlersByEvent[event]!.length > 0) this.#emitted.push(event, at, writer.length, this.#run)
  }

  /** `handle`: what `service.procedure()` answered; a look-alike is none. `mayOnlyRead`: the caller is read-only. */
  call(handle: unknown, input: unknown, mayOnlyRead: boolean): unknown {
    this.mustBeOpen()
    const procedure = this.#procedureByHandle.get(handle)
    if (procedure === undefined) this.fail(SluiceError.of('INVALID_USE', 'tx.call(procedure, input) takes a procedure of a service that belongs to this application.'))
    const { name, readonly: isReadOnly } = this.program.procedures[procedure]!.descriptor
    if (mayOnlyRead && isReadOnly !== true) this.fail(SluiceError.of('INVALID_USE', `tx.call of "${name}", which writes, was called in a procedure with readonly: true: leave readonly out there, or call one that only reads.`))
    let record: PlainRecord
    try {
      record = this.inputs[procedure]!.normalize(input === undefined ? {} : input)
    } catch (error) {
      if (SluiceError.is(error)) this.fail(error)
      throw error
    }
    return this.#invoke(procedure, record)
  }

  /** `tx` of another service in this transaction: of a part, for its owner. */
  txOf(service: number, isReadOnly: boolean): object {
    return (isReadOnly ? this.#scopes.reading(service) : this.#scopes.ofService[service]!).tx
  }

  #invoke(procedure: number, input: PlainRecord): unknown {
    if (this.#depth >= limits.callDepthMax) this.fail(SluiceError.of('INVALID_USE', `Calls are nested more than ${limits.callDepthMax} deep.`))
    const definition = this.program.procedures[procedure]!
    const depth = this.#depth
    this.#depth = depth + 1
    try {
      const result = definition.run(this.#scopes.ofProcedure[procedure]!.tx as never, input as never)
      this.#mustBeSynchronous(result, definition.descriptor.name)
      return result
    } finally {
      this.#depth = depth // also when the caller catches what this one threw
    }
  }

  /** R28: handlers run in order of emit and declaration; what they emit is handled after what was emitted before. */
  #handleEvents(): void {
    for (let n = 0; n < this.#emitted.length; n += emittedInts) {
      for (const handler of this.#handlersByEvent[this.#emitted[n]!]!) {
        const { joins } = this.program.atomicHandlers[handler]!
        if (!joins) this.#runHandler(handler, this.#emittedAt(n), this.#emitted[n + 3]!)
        else if (this.#completes(handler, n)) {
          const places = this.#joins.get(handler)!
          this.#runHandler(
            handler,
            places.map((place) => this.#emittedAt(place)),
            places.map((place) => this.#emitted[place + 3]!),
          )
        }
      }
    }
    this.#run = noRun
  }

  #runHandler(handler: number, events: unknown, causes: number | readonly number[]): void {
    const { service, run, name } = this.program.atomicHandlers[handler]!
    if (this.#isCausedBy(causes, handler)) this.#refuseCircle(handler, causes)
    this.#run = this.#runHandlers.push(handler) - 1
    this.#runCauses.push(causes)
    this.mustBeOpen()
    const result = run(this.#scopes.ofService[service]!.tx as never, events as never)
    this.#mustBeSynchronous(result, name)
  }

  #emittedAt(n: number): unknown {
    const event = this.#emitted[n]!
    const at = this.log.absoluteOffset(this.#emitted[n + 1]!)
    const bytes = this.log.bytes.slice(at, at + this.#emitted[n + 2]!)
    this.#reader.reset(bytes)
    const payload = Object.freeze(this.#events[event]!.decode(this.#reader))
    return Object.freeze({ type: this.program.events[event]!.descriptor.name, payload })
  }

  /** Notes the first event of each kind that a handler waits for; true for the one that was missing. */
  #completes(handler: number, n: number): boolean {
    const { events } = this.program.atomicHandlers[handler]!
    let places = this.#joins.get(handler)
    if (places === undefined) this.#joins.set(handler, (places = events.map(() => -1)))
    const which = events.indexOf(this.#emitted[n]!)
    if (places[which] !== -1) return false
    places[which] = n
    return !places.includes(-1)
  }

  #forgetEvents(): void {
    this.#emitted.length = 0
    this.#runHandlers.length = 0
    this.#runCauses.length = 0
    this.#run = noRun
    if (this.#joins.size > 0) this.#joins.clear()
  }

  /** Has this handler run among the causes? Then it would go round in a circle, which definitions have not shown (bindings/handler-circles.ts). */
  #isCausedBy(causes: number | readonly number[], handler: number): boolean {
    if (typeof causes !== 'number') return causes.some((cause) => this.#isCausedBy(cause, handler))
    return causes !== noRun && (this.#runHandlers[causes] === handler || this.#isCausedBy(this.#runCauses[causes]!, handler))
  }
  #refuseCircle(handler: number, causes: number | readonly number[]): never {
    const { name } = this.program.atomicHandlers[handler]!
    const between: string[] = []
    const last = typeof causes === 'number' ? causes : causes.find((cause) => this.#isCausedBy(cause, handler))!
    for (let run = last; this.#runHandlers[run] !== handler; ) {
      between.unshift(this.program.atomicHandlers[this.#runHandlers[run]!]!.name)
      const before = this.#runCauses[run]!
      run = typeof before === 'number' ? before : before.find((cause) => this.#isCausedBy(cause, handler))!
    }
    const circle = [name, ...between]
    return this.fail(
      SluiceError.of('INVALID_USE', `Handlers with atomic: true went round in a circle: ${[...circle, name].join(' → ')}. Let one of them run after the commit (leave atomic out).`, { details: { circle } }),
    )
  }
  #mustBeDeclared(event: number): void {
    const { emits, name } = this.program.atomicHandlers[this.#runHandlers[this.#run]!]!
    if (emits === undefined || emits.includes(event)) return
    const { name: type } = this.program.events[event]!.descriptor
    this.fail(SluiceError.of('INVALID_USE', `Handler "${name}" emitted "${type}", itself or by what it called, which its emits does not list: add it there.`, { details: { event: type } }))
  }

  /** R32: a promise would go on after the transaction has ended. */
  #mustBeSynchronous(result: unknown, name: string): void {
    if ((typeof result !== 'object' && typeof result !== 'function') || result === null) return
    let then: unknown
    try {
      then = (result as { then?: unknown }).then
    } catch {
      return // not plain data either: the codec will say so
    }
    if (typeof then !== 'function') return
    try {
      then.call(result, undefined, () => undefined)
    } catch {
      // Nothing that a thenable does in here is of interest any more.
    }
    this.fail(SluiceError.of('PROCEDURE_FAILED', `"${name}" returned a promise: a procedure is synchronous. Await outside, or use a workflow.`, { details: { procedure: name } }))
  }
}
