/**
 * The threads of a database: partition workers in a Piscina pool, and the log thread. Their start, their end, and the bell
 * with which they wake main.
 *
 * A worker is one Piscina task that never returns (`atomics: 'disabled'`, one task per thread), so it stays where it is; Piscina
 * gives us its start, its limits and its end. Everything else goes through shared memory. All threads are unref'd: they do not
 * keep a process alive; a waiting call does (`hold`).
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { SluiceError } from '../base/errors.js'
import type { Control } from '../shared/control.js'
import { databaseState } from '../shared/control.js'
import type { EnginePlan } from './engine-plan.js'
import type { LogMessage, LogThreadData } from './log-main.js'
import type { WorkerMessage, WorkerTask } from './worker-main.js'

export interface Bells {
  /** Something may have happened: look. */
  look(): void
  /** The log has failed for good. */
  logFailed(message: string): void
  /** A worker is dead: its thread has exited. */
  workerLost(worker: number, error: unknown): void
}

export class ThreadHost {
  readonly #control: Control
  readonly #bells: Bells
  #pool: Piscina | undefined
  readonly #ports: MessagePort[] = []
  readonly #tasks: Promise<unknown>[] = []
  #log: Worker | undefined
  #logEnded: Promise<void> = Promise.resolve()
  /** The port or thread whose reference keeps the process alive while calls wait. */
  #held = false
  #isClosing = false

  constructor(control: Control, bells: Bells) {
    this.#control = control
    this.#bells = bells
  }

  // ── starting ──────────────────────────────────────────────────────────────────────────────────────────

  async startWorkers(plan: EnginePlan, module: string, description: string): Promise<void> {
    this.#pool = new Piscina({
      filename: new URL('./worker-main.js', import.meta.url).href,
      minThreads: plan.workers,
      maxThreads: plan.workers,
      idleTimeout: Infinity,
      concurrentTasksPerWorker: 1,
      atomics: 'disabled',
      // The parent's flags may name loaders that a worker of ours must not run twice.
      execArgv: [],
    })
    this.#start = (worker) => this.#startWorker(this.#pool!, worker, plan, module, description)
    const ready = Array.from({ length: plan.workers }, (_, worker) => this.startWorker(worker))
    await Promise.all(ready)
  }

  /** Starts the worker of a place: at open, and when the one before it is gone. */
  async startWorker(worker: number): Promise<void> {
    await this.#start!(worker)
    for (const thread of this.#pool!.threads) thread.unref()
  }
  #start: ((worker: number) => Promise<void>) | undefined

  /** Stops a worker that does not come back. `workerLost` follows when its thread has exited. */
  kill(worker: number): void {
    const id = this.#threadIds[worker]
    void this.#pool?.threads.find((thread) => thread.threadId === id)?.terminate()
  }
  readonly #threadIds: number[] = []

  #startWorker(pool: Piscina, worker: number, plan: EnginePlan, module: string, description: string): Promise<void> {
    const { port1, port2 } = new MessageChannel()
    this.#ports[worker]?.close()
    this.#ports[worker] = port1
    return new Promise((resolve, reject) => {
      port1.on('message', (message: WorkerMessage) => {
        if (message.kind === 'ready') {
          this.#threadIds[worker] = message.threadId
          if (!this.#held || worker !== 0) port1.unref()
          resolve()
        } else if (message.kind === 'refused') reject(SluiceError.of('APP_NOT_LOADED', message.message, { details: { module } }))
        else this.#bells.look()
      })
      const task: WorkerTask = { worker, plan, module, description, port: port2 }
      const ended = pool.run(task, { transferList: [port2] }).then(
        () => reject(SluiceError.of('APP_NOT_LOADED', `Worker ${worker} ended before it was ready.`)),
        (error: unknown) => {
          reject(SluiceError.of('APP_NOT_LOADED', `Worker ${worker} could not start: ${error instanceof Error ? error.message : String(error)}`, { cause: error }))
          // The rejection may come before the end of the thread, which may still be writing (R36).
          if (!this.#isClosing && this.#threadIds[worker] !== undefined) void this.#exited(worker).then(() => this.#bells.workerLost(worker, error))
        },
      )
      this.#tasks[worker] = ended
    })
  }

  /** Waits until the thread of a worker is gone. */
  async #exited(worker: number): Promise<void> {
    const id = this.#threadIds[worker]
    // It resolves when the thread is gone, also when it was gone before; an `exit` event may have passed already.
    await this.#pool!.threads.find((one) => one.threadId === id)?.terminate()
  }

  startLog(data: LogThreadData): Promise<void> {
    const thread = new Worker(new URL('./log-main.js', import.meta.url), { workerData: data, execArgv: [] })
    this.#log = thread
    this.#logEnded = new Promise((resolve) => thread.once('exit', () => resolve()))
    return new Promise((resolve, reject) => {
      thread.on('message', (message: LogMessage) => {
        if (message.kind === 'ready') {
          thread.unref()
          resolve()
        } else if (message.kind === 'failed') {
          reject(SluiceError.of('LOG_FAILED', message.message))
          this.#bells.logFailed(message.message)
        } else this.#bells.look()
      })
      thread.once('error', (error) => {
        this.#control.store('state', databaseState.failed)
        reject(error)
        this.#bells.logFailed(error.message)
      })
    })
  }

  // ── keeping the process ───────────────────────────────────────────────────────────────────────────────

  /** While calls wait, the process waits with them (R40). */
  hold(isWaiting: boolean): void {
    if (isWaiting === this.#held) return
    this.#held = isWaiting
    const bell = this.#log ?? this.#ports[0]
    if (isWaiting) bell?.ref()
    else bell?.unref()
    const port = this.#ports[0]
    if (isWaiting) port?.ref()
    else port?.unref()
  }

  // ── ending ────────────────────────────────────────────────────────────────────────────────────────────

  /** The state says that the database is stopping: wakes everybody and waits for their end. */
  async close(workers: number): Promise<void> {
    this.#isClosing = true
    for (let worker = 0; worker < Math.max(1, workers); worker += 1) this.#control.wakeWorker(worker)
    this.#control.wakeLog()
    this.#log?.ref()
    await Promise.allSettled(this.#tasks)
    await this.#logEnded
    for (const port of this.#ports) port.close()
    await this.#pool?.destroy()
  }
}
