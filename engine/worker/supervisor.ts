/**
 * Watches the workers from main, and puts a lost one's batch right (R36).
 *
 * A worker that shows the same transaction at two looks a limit apart is stuck and is killed. Whatever a worker died of: when its
 * thread has exited and the others have come to the end of their lanes, the batch is rolled back from its saved images and the
 * tree roots of the last seal; the request that was running is condemned; a new worker takes the place; and the requests of the
 * batch, which are still in the ring, run again. Nobody outside has seen anything of the first run.
 *
 * If no request was running, something else killed the worker: the batch runs again whole, the second time the database stops.
 */
import type { Environment } from '../base/environment.js'
import { type ErrorCode, SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { databaseState } from '../shared/control.js'
import { outcomeOfCode } from '../txn/outcome.js'
import type { EngineParts } from './engine-plan.js'
import type { ThreadHost } from './thread-host.js'

interface Seen {
  place: number
  ticks: number
  sinceMs: number
}

const pollEveryMs = 1

export class Supervisor {
  readonly #parts: EngineParts
  readonly #threads: ThreadHost
  readonly #environment: Environment
  readonly #stop: (error: SluiceError) => void
  readonly #seen: Seen[] = []
  readonly #killed = new Set<number>()
  #unexplained = 0
  #cancel: (() => void) | undefined
  /** Losses are put right one after the other. */
  #repairing: Promise<void> = Promise.resolve()

  constructor(parts: EngineParts, threads: ThreadHost, environment: Environment, stop: (error: SluiceError) => void) {
    this.#parts = parts
    this.#threads = threads
    this.#environment = environment
    this.#stop = stop
  }

  /** Looks every half second while calls wait. */
  watch(): void {
    if (this.#cancel !== undefined || this.#parts.plan.workers === 0) return
    this.#cancel = this.#environment.later(limits.lookEveryMs, () => {
      this.#cancel = undefined
      this.#look()
    })
  }
  rest(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#seen.length = 0
  }

  #look(): void {
    const { control, plan } = this.#parts
    const nowMs = this.#environment.monotonicMs()
    for (let worker = 0; worker < plan.workers; worker += 1) {
      const { place, ticks } = control.running(worker)
      const seen = this.#seen[worker]
      if (place < 0 || seen === undefined || seen.ticks !== ticks) {
        this.#seen[worker] = { place, ticks, sinceMs: nowMs }
      } else if (nowMs - seen.sinceMs > limits.procedureMsMax && !this.#killed.has(worker)) {
        this.#killed.add(worker)
        this.#threads.kill(worker)
      }
    }
    this.watch()
  }

  /** The thread of a worker has exited under the database. */
  lost(worker: number, error: unknown): void {
    this.#repairing = this.#repairing.then(() => this.#repair(worker, error)).catch((cause: unknown) => {
      this.#stop(SluiceError.of('WORKER_LOST', `Partition worker ${worker} was lost and could not be replaced: ${textOf(cause)}. Close the database and open it again.`, { cause }))
    })
  }

  async #repair(worker: number, error: unknown): Promise<void> {
    const { control, record, requests, store, plan } = this.#parts
    if (control.load('state') !== databaseState.open) return
    const code: ErrorCode = this.#killed.delete(worker) ? 'PROCEDURE_STUCK' : 'WORKER_LOST'
    delete this.#seen[worker]
    const { place } = control.running(worker)
    const isUnfinished = record.batch > control.executed
    if (!isUnfinished || place < 0) {
      this.#unexplained += 1
      if (this.#unexplained > 1) {
        this.#stop(SluiceError.of('WORKER_LOST', `Partition worker ${worker} ended twice without a request to blame: ${textOf(error)}. Close the database and open it again.`, { cause: error }))
        return
      }
    } else requests.condemn(record.offset(place), outcomeOfCode(code))
    control.noteRunning(worker, -1)
    if (worker === 0) {
      // The sequencer's own: the others come to rest at the barrier, and nobody rolls back but us.
      await this.#othersAtRest()
      if (isUnfinished) store.rollback()
      control.store('abandon', 0)
      await this.#threads.startWorker(0)
    } else {
      await this.#threads.startWorker(worker)
      // The sequencer waits for this lane: it finds the batch abandoned, rolls it back and runs it again.
      if (place >= 0) record.condemn(place, outcomeOfCode(code))
      control.store('abandon', 1)
      control.add('lanesDone', 1)
    }
    for (let one = 0; one < plan.workers; one += 1) control.wakeWorker(one)
  }

  /** The lanes of the other workers have ended. */
  async #othersAtRest(): Promise<void> {
    const { control, plan } = this.#parts
    const isBusy = (): boolean => {
      for (let worker = 1; worker < plan.workers; worker += 1) if (control.running(worker).place >= 0) return true
      return plan.workers > 1 && control.load('lanesDone') < plan.workers - 1 && control.load('lanes') !== 0
    }
    while (isBusy()) await new Promise<void>((resolve) => void this.#environment.later(pollEveryMs, resolve))
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
