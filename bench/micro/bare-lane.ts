/**
 * One lane without rings, threads and log: what a transaction costs inside, from the procedure to its images.
 *
 * It does for a batch what sequencer and lane runner do for the store: marks, reclaiming, the lane log. Requests are neither decoded nor
 * answered, so that the figure holds what procedures, rows, indexes and journal take, and nothing of the way there.
 */
import { type App, programOf } from '../../bindings/index.js'
import { SluiceError } from '../../engine/base/errors.js'
import { LaneLog } from '../../engine/shared/lane-log.js'
import type { Program } from '../../engine/schema/descriptor.js'
import { Store } from '../../engine/store/store.js'
import { makeServiceScope } from '../../engine/txn/service-scope.js'
import { crossLane, Transaction } from '../../engine/txn/transaction.js'
import { laidDown } from './micro-case.js'

/** All of it is touched beforehand: what a first touch of a page costs belongs to the kernel, and differs by a factor of ten. */
const regionBytes = Math.max(2 ** 27, laidDown(2 ** 30))
const historyBytes = 64 * 2 ** 20
const partitions = 16
const reclaimMarksMax = 4_096
const pageInts = 4_096 / 4

export class BareLane {
  readonly store: Store
  readonly transaction: Transaction
  readonly #log: LaneLog
  readonly #program: Program
  #batch = 0

  constructor(application: App) {
    this.#program = programOf(application)
    const sizes = { bytes: regionBytes, isDefault: false, workers: 1, partitions, historyBytes }
    this.store = new Store(this.#program, Store.plan(this.#program, sizes), 0)
    const { i32 } = this.store.region
    for (let page = this.store.region.usedWords() * 2; page < i32.length; page += pageInts) i32[page] = 0
    this.#log = LaneLog.create({ lanes: 2, transactions: 10_000, changes: 1_000_000, events: 10_000, bytes: 256 * 2 ** 20 })
    this.transaction = new Transaction(this.#program, this.store, this.#log, makeServiceScope)
  }

  procedure(name: string): number {
    const ordinal = this.#program.procedures.findIndex(({ descriptor }) => descriptor.name === name)
    if (ordinal < 0) throw new RangeError(`no procedure ${name}`)
    return ordinal
  }

  /** Runs a batch of calls of one procedure; answers how many were undone. */
  run(procedure: number, inputs: readonly object[]): number {
    const { store, transaction } = this
    const log = this.#log
    this.#batch += 1
    const batch = this.#batch
    for (let n = 0; n < store.domains.length; n += 1) store.domains[n]!.beginBatch()
    log.clear()
    transaction.beginBatch(batch, 1_700_000_000_000 + batch, 1)
    for (let n = 0; n < store.domains.length; n += 1) store.reclaim(n, batch - 1, batch, reclaimMarksMax)
    log.beginLane(-1)
    let undone = 0
    for (let place = 0; place < inputs.length; place += 1) {
      transaction.begin(crossLane, place)
      try {
        transaction.run(procedure, inputs[place] as never)
      } catch (error) {
        if (transaction.isBroken || !SluiceError.is(error, 'ABORTED')) throw error
        transaction.undo()
        undone += 1
        continue
      }
      transaction.commit()
    }
    log.endLane()
    for (let n = 0; n < store.domains.length; n += 1) store.domains[n]!.endBatch(batch)
    return undone
  }
}
