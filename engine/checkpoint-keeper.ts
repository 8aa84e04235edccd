/**
 * When checkpoints and backups are made: one at a time, on a thread that lives as long as the job (worker/checkpoint-main.ts).
 *
 * By itself a checkpoint is made each time the log has grown by `logBytes` since the last one. What fails is tried again when
 * the log has grown by as much once more, and said as a warning: the log holds everything, so only the next opening takes longer.
 *
 * An erasure has one turn from its last look at the rows to its end, so that no checkpoint is newer than what it filters: a row that
 * comes later is new data. One that has failed in between leaves that open: checkpoints, backups and who reads them wait or are refused
 * until it was done.
 */
import { warn } from './base/environment-node.js'
import type { Environment } from './base/environment.js'
import { SluiceError } from './base/errors.js'
import type { AbortLike } from './admission.js'
import { type Control, databaseState } from './shared/control.js'
import type { CheckpointReport } from './stream/checkpointer.js'
import type { ErasedFiles } from './stream/file-eraser.js'
import type { CompactionLook, CompactionReport, CompactionRules } from './stream/log-compactor.js'
import { replayBatch } from './stream/replay.js'
import type { JobProgress, JobTask } from './worker/checkpoint-main.js'
import { startJob } from './worker/thread-host.js'
import type { LogHold } from '../wal/index.js'

export interface KeeperOptions {
  readonly control: Control
  readonly environment: Environment
  readonly directory: string
  readonly databaseId: Uint8Array
  readonly outcomeWindowMs: number
  readonly isUnsynced: boolean
  readonly logBytes: number
  readonly retention: { readonly ageMs: number | undefined; readonly bytes: number | undefined; readonly consumerBytes: number; readonly compaction?: CompactionRules | undefined }
  /** Who holds the log, and up to which batch each has read. */
  readonly consumers: () => readonly LogHold[]
  /** Who begins anew where segments have left, but must not miss a change in those that are there. */
  readonly followers: () => readonly LogHold[]
  /** Of the log behind the newest checkpoint, at open. */
  readonly logBytesAtOpen: number
  /** An earlier life has begun with the files of an erasure. */
  readonly isHalfErased: boolean
}

/** What an erasure does in its turn. */
export interface ErasureJobs {
  /** The files of the erasure whose journal is there. */
  erase(options: JobOptions): Promise<ErasedFiles>
}

export interface JobOptions {
  /** Stops it: `CANCELLED`. Whose turn has not come is given up at once. */
  readonly signal?: AbortLike | undefined
  readonly onProgress?: ((progress: JobProgress) => void) | undefined
}

/** Runs a job to its end. `begun` is told how to stop it. */
export async function runJob(task: JobTask, isAwaited: boolean, { signal, onProgress }: JobOptions, begun?: (stop: () => void) => void): Promise<CheckpointReport> {
  const { ended, stop } = startJob(task, isAwaited, onProgress)
  begun?.(stop)
  signal?.addEventListener('abort', stop)
  if (signal?.aborted === true) stop()
  try {
    return await ended
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

interface Goal {
  readonly directory: string
  readonly databaseId: Uint8Array
  /** A durable batch with a frame; 0: there is none yet. */
  readonly upTo: number
}

const wordBytes = 8

export class CheckpointKeeper {
  /** From the first change of an erasure's files until its record is there. */
  isHalfErased: boolean
  readonly #options: KeeperOptions
  /** Log bytes since the last checkpoint began. */
  #grown: number
  #frameHead: number
  #isDue = false
  #isClosing = false
  /** The end of the newest job: they run one after the other. */
  #last: Promise<unknown> = Promise.resolve()
  #stop: (() => void) | undefined
  #look: CompactionLook | undefined
  /** Taken out of segments that stayed, since the database was opened. */
  #compacted = { segments: 0, bytes: 0 }

  constructor(options: KeeperOptions) {
    this.#options = options
    this.isHalfErased = options.isHalfErased
    this.#grown = options.logBytesAtOpen
    this.#frameHead = options.control.load('frameHead')
  }

  get compacted(): { readonly segments: number; readonly bytes: number } {
    return this.#compacted
  }

  /** Durable has moved: to be asked often, for the counter of the frame ring wraps. */
  advance(): void {
    const head = this.#options.control.load('frameHead')
    this.#grown += ((head - this.#frameHead) | 0) * wordBytes
    this.#frameHead = head
    if (this.#grown < this.#options.logBytes || this.#isDue || this.#isClosing || this.isHalfErased) return
    this.#isDue = true
    this.#checkpoint({}, false).then(
      () => (this.#isDue = false),
      (error: unknown) => {
        this.#isDue = false
        if (!this.#isClosing && !this.isHalfErased) warn('CHECKPOINT', `A checkpoint could not be made, so the next opening replays more of the log: ${(error as Error).message}`)
      },
    )
  }

  /** The newest durable batch of the moment when it begins. */
  async checkpoint(options: JobOptions): Promise<CheckpointReport> {
    return await this.#checkpoint(options, true)
  }
  async #checkpoint(options: JobOptions, isAwaited: boolean): Promise<CheckpointReport> {
    return await this.#enqueue(options, async () => {
      this.#mustBeWhole()
      this.#grown = 0
      const report = await this.#run(options, isAwaited, (goal) => this.#checkpointTo(goal))
      if (report.compaction !== undefined) this.#noteCompaction(report.compaction)
      return report
    })
  }

  /** The log is whole whatever became of it; what was not done is done behind a later checkpoint. */
  #noteCompaction({ look, segments, bytes, problem }: CompactionReport): void {
    this.#look = look
    this.#compacted = { segments: this.#compacted.segments + segments, bytes: this.#compacted.bytes + bytes }
    if (problem !== undefined) warn('COMPACTION', `The log could not be compacted, so it stays longer than retention asks for: ${problem}`)
  }

  async backup(target: string, options: JobOptions): Promise<CheckpointReport> {
    return await this.#enqueue(options, () => {
      this.#mustBeWhole()
      return this.#run(options, true, (goal) => ({ kind: 'backup', ...goal, target }))
    })
  }

  /** Rejects where the log cannot be read from its beginning to its end. */
  async proveLog(options: JobOptions): Promise<void> {
    await this.#enqueue(options, () => this.#run(options, true, (goal) => ({ kind: 'proof', ...goal })))
  }

  /** Runs while nothing else does. `signal` gives it up before its turn. */
  async whileErasing<Result>(work: (jobs: ErasureJobs) => Promise<Result>, options: Pick<JobOptions, 'signal'> = {}): Promise<Result> {
    const erase = async (of: JobOptions): Promise<ErasedFiles> => {
      const { erased } = await this.#run(of, true, ({ directory, databaseId }) => ({ kind: 'erasure', directory, databaseId, mustReach: true }))
      return erased!
    }
    return await this.#enqueue(options, () => work({ erase }))
  }

  /** Runs while no checkpoint does: for those who read its files. */
  async exclusively<Result>(work: () => Promise<Result>, options: Pick<JobOptions, 'signal'> = {}): Promise<Result> {
    return await this.#enqueue(options, () => {
      this.#mustBeWhole()
      return work()
    })
  }

  /** Stops what runs; what waits is refused. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#stop?.()
    await this.#last.catch(() => undefined)
  }

  #enqueue<Result>({ signal }: JobOptions, work: () => Promise<Result>): Promise<Result> {
    let hasBegun = false
    const mustGoOn = (): void => {
      if (this.#isClosing) throw stopped('the database is being closed', undefined)
      if (signal?.aborted === true) throw stopped('its signal was aborted', signal.reason)
    }
    const turn = this.#last
      .catch(() => undefined)
      .then(async () => {
        mustGoOn()
        hasBegun = true
        return await work()
      })
    this.#last = turn.catch(() => undefined)
    if (signal === undefined) return turn
    return new Promise<Result>((resolve, reject: (error: unknown) => void) => {
      const onAbort = (): void => {
        if (!hasBegun) reject(stopped('its signal was aborted', signal.reason))
      }
      signal.addEventListener('abort', onAbort)
      turn.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
      if (signal.aborted) onAbort()
    })
  }

  #mustBeWhole(): void {
    if (!this.isHalfErased) return
    const why = 'An erasure has begun to rewrite the files and could not end, so checkpoints are neither made nor read, nor copied, until it has'
    throw SluiceError.of('INVALID_USE', `${why}: call db.erase() again, for whomever, or open the database again, and it goes on.`)
  }

  /** At 'memory' answers come before their frames are in the files, and what was answered is to be in a checkpoint or a backup. */
  async #answersInFiles(): Promise<void> {
    const { control, environment } = this.#options
    const answered = control.durable
    while (control.written < answered && control.load('state') === databaseState.open && !this.#isClosing) {
      await new Promise<void>((resolve) => environment.soon(resolve))
    }
  }

  async #run(options: JobOptions, isAwaited: boolean, taskOf: (goal: Goal) => JobTask): Promise<CheckpointReport> {
    const { control, directory, databaseId } = this.#options
    await this.#answersInFiles()
    // Before the first frame of a database is in the files, its batch is that of replay.
    const newest = Math.min(control.durable, control.written)
    const task = taskOf({ directory, databaseId, upTo: newest > replayBatch ? newest : 0 })
    try {
      return await runJob(task, isAwaited, options, (stop) => {
        this.#stop = stop
        if (this.#isClosing) stop()
      })
    } catch (error) {
      if (SluiceError.is(error, 'CANCELLED')) throw stopped(this.#isClosing ? 'the database is being closed' : 'its signal was aborted', options.signal?.reason)
      throw error
    } finally {
      this.#stop = undefined
    }
  }

  #checkpointTo(goal: Goal): JobTask {
    const { environment, outcomeWindowMs, isUnsynced } = this.#options
    const { compaction: rules, ...whole } = this.#options.retention
    const retention = { ...whole, consumers: this.#options.consumers(), nowMs: environment.wallMs() }
    const compaction = rules && { rules, last: this.#look, consumers: [...retention.consumers, ...this.#options.followers()] }
    return { kind: 'checkpoint', ...goal, outcomeWindowMs, isUnsynced, retention, compaction }
  }
}

function stopped(why: string, cause: unknown): SluiceError {
  return SluiceError.of('CANCELLED', `It was given up because ${why}; what was there before is untouched.`, { cause })
}
