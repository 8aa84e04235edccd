/**
 * The threads of a database: partition workers in a Piscina pool, and the log thread. Their start, their end, and the bell
 * with which they wake main.
 *
 * A worker is a loop that a Piscina task starts in its thread (`atomics: 'disabled'`); no other task is ever given to that thread.
 * Piscina gives us threads, their limits and their replacement. The task itself ends at once: Piscina keeps the process alive for
 * every task that runs, and an idle database must not. Everything else goes through shared memory. All threads are unref'd: they do not
 * keep a process alive; a waiting call does (`hold`).
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { nodeEnvironment } from '../base/environment-node.js'
import { messageOf, SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { Control } from '../shared/control.js'
import { StopFlag } from '../shared/stop-flag.js'
import { databaseState } from '../shared/control.js'
import type { CheckpointJob, CheckpointMessage, JobProgress, JobTask } from './checkpoint-main.js'
import type { CheckpointReport } from '../stream/checkpointer.js'
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

/** A log thread that loads its modules and waits for `startLog`. */
export type LogThread = Worker
export function spawnLogThread(): LogThread {
  const thread = new Worker(new URL('./log-main.js', import.meta.url), { execArgv: [] })
  thread.unref()
  return thread
}

/** A job of the checkpoint thread. */
export interface RunningJob {
  readonly ended: Promise<CheckpointReport>
  stop(): void
}

/**
 * Begins a job on a thread of its own. It ends by itself, also when it is told to stop. `isAwaited`: the process waits for it. What
 * `onProgress` throws stops it, and is what it ends with.
 */
export function startJob(task: JobTask, isAwaited: boolean, onProgress: ((progress: JobProgress) => void) | undefined): RunningJob {
  const flag = new StopFlag()
  const workerData: CheckpointJob = { ...task, stop: flag.buffer }
  const thread = new Worker(new URL('./checkpoint-main.js', import.meta.url), { workerData, execArgv: [] })
  if (!isAwaited) thread.unref()
  const stop = (): void => {
    thread.ref() // whoever stops it waits for its end
    flag.raise()
  }
  const ended = new Promise<CheckpointReport>((resolve, reject) => {
    let outcome: (() => void) | undefined
    let isTold = true
    const told = (progress: JobProgress): void => {
      try {
        if (isTold) onProgress?.(progress)
      } catch (error) {
        isTold = false
        outcome = () => reject(error)
        stop()
      }
    }
    thread.on('message', (message: CheckpointMessage) => {
      if (message.kind === 'progress') told(message.progress)
      else if (message.kind === 'failed') outcome ??= () => reject(SluiceError.of(message.error.code, message.error.message, { details: message.error.details }))
      else outcome ??= () => resolve(message.report)
    })
    thread.once('error', (error) => (outcome ??= () => reject(error)))
    // Only then are its files closed.
    thread.once('exit', () => (outcome === undefined ? reject(new Error('the checkpoint thread ended without a word')) : outcome()))
  })
  return { ended, stop }
}

export class ThreadHost {
  readonly #control: Control
  readonly #bells: Bells
  #pool: Piscina | undefined
  readonly #ports: MessagePort[] = []
  /** Threads of the pool that a worker of ours runs in. */
  readonly #taken = new Set<number>()
  readonly #threads: Worker[] = []
  /** Resolved when a worker has come to its end, in whatever way. */
  readonly #ended: Promise<void>[] = []
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
    const pool = new Piscina({
      filename: new URL('./worker-main.js', import.meta.url).href,
      minThreads: plan.workers,
      maxThreads: plan.workers,
      idleTimeout: Infinity,
      concurrentTasksPerWorker: 1,
      atomics: 'disabled',
      // One of ours to a thread, for as long as it lives.
      loadBalancer: (_task, threads) => {
        const free = threads.find((thread) => !this.#taken.has(thread.id) && thread.currentUsage === 0)
        if (free !== undefined) this.#taken.add(free.id)
        return free ?? null
      },
      // A procedure that fills the heap of its worker loses that worker, not the machine. Buffers are not counted (R2).
      resourceLimits: { maxOldGenerationSizeMb: limits.workerHeapBytes / 2 ** 20 },
      // The parent's flags may name loaders that a worker of ours must not run twice.
      execArgv: [],
    })
    // A thread that dies is heard of from the thread itself.
    pool.on('error', () => undefined)
    this.#pool = pool
    this.#start = (worker) => this.#startWorker(pool, worker, plan, module, description)
    await Promise.all(Array.from({ length: plan.workers }, (_, worker) => this.startWorker(worker)))
  }

  /** Starts the worker of a place: at open, and when the one before it is gone. */
  startWorker(worker: number): Promise<void> {
    return this.#start!(worker)
  }
  #start: ((worker: number) => Promise<void>) | undefined

  /** Stops a worker that does not come back. `workerLost` follows when its thread has exited. */
  kill(worker: number): void {
    void this.#threads[worker]?.terminate()
  }

  #startWorker(pool: Piscina, worker: number, plan: EnginePlan, module: string, description: string): Promise<void> {
    const { port1, port2 } = new MessageChannel()
    this.#ports[worker]?.close()
    this.#ports[worker] = port1
    return new Promise((resolve, reject) => {
      let end: () => void = () => undefined
      this.#ended[worker] = new Promise<void>((ended) => (end = ended))
      port1.on('message', (message: WorkerMessage) => {
        if (message.kind === 'ready') {
          this.#watch(pool, worker, message.threadId, end)
          if (!this.#held || worker !== 0) port1.unref()
          resolve()
        } else if (message.kind === 'refused') {
          end()
          reject(SluiceError.of('APP_NOT_LOADED', message.message, { details: { module } }))
        } else if (message.kind === 'ended') end()
        else this.#bells.look()
      })
      const task: WorkerTask = { worker, plan, module, description, port: port2 }
      // The task ends as soon as the worker runs by itself; it fails when the thread dies before.
      pool.run(task, { transferList: [port2] }).catch((error: unknown) => {
        end()
        reject(SluiceError.of('APP_NOT_LOADED', `Worker ${worker} could not start: ${messageOf(error)}`, { cause: error }))
      })
    })
  }

  /** From now on the end of the thread is a loss, unless we are closing. */
  #watch(pool: Piscina, worker: number, threadId: number, end: () => void): void {
    const thread = pool.threads.find((one) => one.threadId === threadId)
    if (thread === undefined) {
      end()
      this.#bells.workerLost(worker, new Error('the thread ended as soon as it had started'))
      return
    }
    this.#threads[worker] = thread
    let cause: unknown
    thread.once('error', (error) => (cause = error))
    thread.once('exit', (code) => {
      this.#taken.delete(threadId)
      end()
      if (!this.#isClosing) this.#bells.workerLost(worker, cause ?? new Error(`the thread exited with code ${code}`))
    })
    thread.unref()
  }

  startLog(thread: Worker, data: LogThreadData): Promise<void> {
    this.#log = thread
    thread.ref()
    thread.postMessage(data)
    this.#logEnded = new Promise((resolve) => thread.once('exit', () => resolve()))
    return new Promise((resolve, reject) => {
      thread.on('message', (message: LogMessage) => {
        if (message.kind === 'ready') {
          thread.unref()
          resolve()
        } else if (message.kind === 'failed') {
          reject(SluiceError.of(message.code, message.message, { details: message.details }))
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

  /**
   * The state says that the database is stopping: wakes everybody and waits for their end. A worker in a procedure that does not
   * come back, where the database failed under it, has as long as the watchdog would give it; then it goes with the pool.
   */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#control.rouseAll()
    this.#log?.ref()
    for (const port of this.#ports) port.ref()
    let cancel: (() => void) | undefined
    const tooLong = new Promise<void>((resolve) => (cancel = nodeEnvironment.later(limits.procedureMsMax, resolve)))
    await Promise.race([Promise.all(this.#ended), tooLong])
    cancel?.()
    await this.#logEnded
    for (const port of this.#ports) port.close()
    await this.#pool?.destroy()
  }
}
