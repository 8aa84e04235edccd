/**
 * Watches the workers from main, and puts a lost one's batch right (R36).
 *
 * A worker that shows the same transaction at two looks a limit apart is stuck and is killed. Whatever a worker died of: when its
 * thread has exited and the others have come to the end of their lanes, the batch is rolled back from its saved images and the
 * tree roots of the last seal; the request that was running is condemned; a new worker takes the place; and the requests of the
 * batch, which are still in the ring, run again. Nobody outside has seen anything of the first run.
 *
 * If no request was running, something else killed the worker. A lane's runs again, once; a sequencer's cannot say whether its
 * batch is in the log, and the database stops: opening it again finds out.
 *
 * The dead may also have owed a wake, wherever they died: all others are roused before anybody waits for them.
 */
import type { Environment } from '../base/environment.js'
import { type ErrorCode, messageOf, SluiceError } from '../base/errors.js'
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

export class Supervisor {
  readonly #parts: EngineParts
  readonly #threads: ThreadHost
  readonly #environment: Environment
  readonly #stop: (error: SluiceError) => void
  readonly #seen: Seen[] = []
  readonly #killed = new Set<number>()
  #unexplained = 0
  #cancel: (() => void) | undefined
  /** Workers whose threads have exited, with what they died of. */
  readonly #dead = new Map<number, unknown>()
  #errors: unknown[] = []
  /** Losses are put right one after the other. */
  #repairing: Promise<void> | undefined

  constructor(parts: EngineParts, threads: ThreadHost, environment: Environment, stop: (error: SluiceError) => void) {
    this.#parts = parts
    this.#threads = threads
    this.#environment = environment
    this.#stop = stop
  }

  /** Looks now and then while calls wait. */
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
    this.#dead.set(worker, error)
    this.#repairing ??= this.#repair().then(
      () => {
        this.#repairing = undefined
      },
      (cause: unknown) => this.#giveUp(worker, cause),
    )
  }

  /** Until nobody is dead: others may die while the first are replaced. */
  async #repair(): Promise<void> {
    const { control } = this.#parts
    while (this.#dead.size > 0 && control.load('state') === databaseState.open) {
      control.rouseAll()
      if (this.#dead.has(0)) await this.#replaceWithSequencer()
      else await this.#replaceLanes()
    }
  }

  /**
   * The sequencer is alive, and waits at the barrier of this batch or of a later one for the lanes of the dead. The new workers
   * let it go on: it finds the batch abandoned, rolls it back, and runs it again without the condemned.
   */
  async #replaceLanes(): Promise<void> {
    for (const worker of this.#takeDead()) {
      this.#condemn(worker)
      await this.#threads.startWorker(worker)
    }
  }

  /** The sequencer itself is dead: the living come to rest at the barrier, we roll back, and a new one takes everything again. */
  async #replaceWithSequencer(): Promise<void> {
    const { control, store } = this.#parts
    if (!(await this.#livingAtRest())) return
    const isUnfinished = this.#isUnfinished()
    const dead = this.#takeDead()
    if (control.running(0).place < 0) {
      // Outside of any transaction: nobody can say how far it was with sealing, answering and freeing its batch.
      throw SluiceError.of('WORKER_LOST', 'the sequencer ended outside of any transaction')
    }
    for (const worker of dead) this.#condemn(worker)
    if (isUnfinished) store.rollback()
    control.store('abandon', 0)
    control.store('speculating', 0)
    for (const worker of dead) control.setLaneEpoch(worker, control.load('lanes'))
    // The sequencer last: the lanes it starts must have somebody to run them.
    for (const worker of dead.sort((a, b) => b - a)) await this.#threads.startWorker(worker)
  }

  #takeDead(): number[] {
    const dead = [...this.#dead.keys()]
    this.#errors = [...this.#dead.values()]
    this.#dead.clear()
    for (const worker of dead) delete this.#seen[worker]
    return dead
  }

  /** Whatever a dead worker was running does not run again. */
  #condemn(worker: number): void {
    const { control, record, requests } = this.#parts
    const code: ErrorCode = this.#killed.delete(worker) ? 'PROCEDURE_STUCK' : 'WORKER_LOST'
    const { place } = control.running(worker)
    control.noteRunning(worker, -1)
    if (this.#isUnfinished() && place >= 0 && control.load('speculating') !== 0) {
      // It ran ahead of its turn, on a state that it may never meet. In order it will show what it is.
      record.mustRunInOrder = true
      return
    }
    if (this.#isUnfinished() && place >= 0) {
      requests.condemn(record.offset(place), outcomeOfCode(code))
      record.condemn(place, outcomeOfCode(code))
      return
    }
    this.#unexplained += 1
    if (this.#unexplained > 1) {
      throw SluiceError.of('WORKER_LOST', `it ended twice without a request to blame: ${messageOf(this.#errors[0])}`, { cause: this.#errors[0] })
    }
  }

  #isUnfinished(): boolean {
    return this.#parts.record.batch > this.#parts.control.executed
  }

  /** The lanes of all workers that are alive have ended. False when the database stopped before that: then nobody may ever end them. */
  async #livingAtRest(): Promise<boolean> {
    const { control, plan } = this.#parts
    const isBusy = (): boolean => {
      for (let worker = 1; worker < plan.workers; worker += 1) {
        if (!this.#dead.has(worker) && control.laneEpoch(worker) !== control.load('lanes')) return true
      }
      return false
    }
    // Turns, not timers: they keep the process alive, and this is short.
    while (isBusy()) {
      if (control.load('state') !== databaseState.open) return false
      await new Promise<void>((resolve) => this.#environment.soon(resolve))
    }
    return true
  }

  #giveUp(worker: number, cause: unknown): void {
    this.#stop(SluiceError.of('WORKER_LOST', `Partition worker ${worker} was lost and could not be replaced: ${messageOf(cause)}. Close the database and open it again.`, { cause }))
  }
}
