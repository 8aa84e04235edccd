/**
 * Runs requests of the cross-partition lane ahead of their turn, on one thread, and changes nothing (design §3.3).
 *
 * All lanes of the batch have ended and nobody writes, so rows and trees can be read as they stand. Workers take requests from a
 * common counter; a run that came to a good end goes into the worker's log with what it read and would write. Any other end
 * leaves nothing: the request runs in order, and what it says then counts.
 *
 * The method is DOCC's and Block-STM's: optimistic runs, validated in a preset order, run again on the spot (Dong et al., JCST
 * 2020; Gelashvili et al., PPoPP 2023); the state stands still meanwhile, so that reads need no versions.
 */
import { ByteReader, ByteWriter } from '../base/bytes.js'
import { encodeCanonical } from '../base/canonical.js'
import { limits } from '../base/limits.js'
import type { Program } from '../schema/descriptor.js'
import { type BatchRecord, requestFlag } from '../shared/batch-record.js'
import type { Control } from '../shared/control.js'
import { eventInts, LaneLog } from '../shared/lane-log.js'
import { requestHeaderBytes, type RequestRing } from '../shared/request-ring.js'
import { type SpeculationClaims, type SpeculationLog } from '../shared/speculation-log.js'
import type { Store } from '../store/store.js'
import { IntList } from '../txn/read-set.js'
import type { Realm } from '../txn/realm.js'
import { makeServiceScope } from '../txn/service-scope.js'
import { Scratch, Speculation } from '../txn/speculation.js'
import { SpeculativeReferrers } from '../txn/speculative-referrers.js'
import { SpeculativeTableHandle } from '../txn/speculative-handle.js'
import { crossLane, Transaction } from '../txn/transaction.js'

export interface SpeculatorParts {
  readonly program: Program
  readonly store: Store
  readonly requests: RequestRing
  readonly control: Control
  readonly record: BatchRecord
  readonly realm: Realm
  readonly worker: number
  readonly claims: SpeculationClaims
  readonly log: SpeculationLog
  /** Memory of the region for copies of rows. */
  readonly scratch: { readonly at: number; readonly words: number }
}

export class Speculator {
  readonly #parts: SpeculatorParts
  readonly #speculation: Speculation
  readonly #transaction: Transaction
  /** The events of one run. */
  readonly #events: LaneLog
  readonly #eventList = new IntList(3 * 16)
  readonly #payloads: { memory: Uint8Array; length: number } = { memory: new Uint8Array(0), length: 0 }
  readonly #reader: ByteReader
  readonly #value = new ByteWriter(1_024)
  readonly #hasToProve: boolean

  constructor(parts: SpeculatorParts) {
    this.#parts = parts
    const { store, scratch } = parts
    this.#speculation = new Speculation(store, new Scratch(scratch.at, scratch.words))
    this.#events = LaneLog.create({ lanes: 1, transactions: 1, changes: 1, events: limits.eventsPerTransactionMax + 1, bytes: 3 * limits.transactionBytesMax })
    this.#transaction = new Transaction(parts.program, store, this.#events, (transaction, service, isReadOnly) =>
      makeServiceScope(transaction, service, isReadOnly, false, (of, table) => new SpeculativeTableHandle(of, this.#speculation, table)),
    )
    this.#speculation.transaction = this.#transaction
    this.#transaction.written = this.#speculation
    this.#transaction.referring = new SpeculativeReferrers(this.#transaction, this.#speculation)
    this.#hasToProve = store.tables.some((table) => table.rowChecks.length > 0 || table.refersTo.length > 0)
    this.#reader = new ByteReader(parts.requests.bytes)
  }

  /** Takes requests as long as there are any. `count`: how many the cross-partition lane has. */
  run(count: number): void {
    const { claims, record, log, control, worker, store } = this.#parts
    store.references.withBatch = record.mustProveReferences
    log.clear()
    this.#speculation.scratch.clear()
    this.#transaction.beginBatch(record.batch, record.now, record.seed)
    for (let n = claims.take(); n < count; n = claims.take()) {
      const index = record.crossRequest(n)
      const flag = record.flag(index)
      if (flag !== requestFlag.run && flag !== requestFlag.stray) continue
      control.noteRunning(worker, index)
      this.#runAhead(n, index)
      control.noteRunning(worker, -1)
    }
  }

  #runAhead(n: number, index: number): void {
    const { record, requests, realm, claims, log, worker, store } = this.#parts
    const offset = record.offset(index)
    const at = offset >>> 2
    const inputAt = offset + requestHeaderBytes + requests.i32[at + 4]!
    const procedure = requests.i32[at + 2]!
    // Nobody writes what it reads, but what it writes must be what it has read: that is for its turn to say.
    if (this.#parts.program.procedures[procedure]!.descriptor.isolation === 'snapshot') return
    const transaction = this.#transaction
    const speculation = this.#speculation
    this.#events.clear()
    this.#events.beginLane(crossLane)
    speculation.begin()
    transaction.begin(crossLane, record.place(index))
    transaction.mustProve = this.#hasToProve || store.references.withBatch
    this.#value.reset()
    realm.active = transaction
    let hasEnded = false
    try {
      this.#reader.seek(inputAt, inputAt + requests.i32[at + 5]!)
      const result = transaction.run(procedure, transaction.inputs[procedure]!.decode(this.#reader))
      encodeCanonical(result, this.#value)
      // What comes near a limit is counted in order, where the rows are those of its turn.
      hasEnded = transaction.live !== 0 && this.#value.length <= limits.longValueBytesMax && transaction.writer.written <= limits.transactionBytesMax / 2
      this.#gatherEvents()
    } catch {
      // Whatever it was: in order it says what it is.
    }
    realm.active = undefined
    transaction.undo() // there is nothing to take back; tx is closed
    if (!hasEnded) return
    const { readSet, operations } = speculation
    const place = log.add(readSet.reads, readSet.ranges, operations, this.#eventList, { memory: this.#value.memory, length: this.#value.length }, this.#payloads)
    if (place >= 0) claims.note(n, worker, place)
  }

  #gatherEvents(): void {
    const ints = this.#events.eventsOfTransaction * eventInts
    const list = this.#eventList
    list.length = 0
    list.take(ints)
    for (let n = 0; n < ints; n += 1) list.words[n] = this.#events.events[n]!
    this.#payloads.memory = this.#events.bytes
    this.#payloads.length = ints === 0 ? 0 : list.words[ints - 2]! + list.words[ints - 1]!
  }
}
