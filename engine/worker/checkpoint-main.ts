/**
 * Entry of the checkpoint thread: one job (a checkpoint, a backup, the proof or the files of an erasure), then it ends. Between jobs there is no thread.
 *
 * It reads files and writes files, at the lowest priority that still gets along: the threads that commit share the processors
 * with it. Told to stop, it does so between two frames, chunks or transactions; it is never terminated, for LMDB must close its
 * environment.
 */
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { giveWay } from '../base/environment-node.js'
import { type ErrorCode, messageOf, SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { StopFlag } from '../shared/stop-flag.js'
import { copyDatabase } from '../offline/copy-database.js'
import type { ErasurePlan } from '../schema/erasure-plan.js'
import { bringForward, type CheckpointReport } from '../stream/checkpointer.js'
import { eraseFiles } from '../stream/file-eraser.js'
import { compactLog, type CompactionLook, type CompactionRules } from '../stream/log-compactor.js'
import { applyRetention, CheckpointSet, ErasureJournal, FileLogStorage, freeBytes, isNoSpace, LmdbCheckpointStore, proveLog, realPath, type RetentionRules } from '../../wal/index.js'

interface JobOf {
  /** Of the database. */
  readonly directory: string
  /** Undefined: whatever its files say. */
  readonly databaseId: Uint8Array | undefined
}
interface CheckpointTask extends JobOf {
  readonly kind: 'checkpoint'
  readonly databaseId: Uint8Array
  /** A durable batch with a frame. */
  readonly upTo: number
  readonly outcomeWindowMs: number
  readonly isUnsynced: boolean
  readonly retention: { readonly ageMs: number | undefined; readonly bytes: number | undefined; readonly consumerBytes: number; readonly nowMs: number; readonly consumers: RetentionRules['consumers'] }
  /** Undefined: the log keeps whole segments, or none of them. */
  readonly compaction: { readonly rules: CompactionRules; readonly last: CompactionLook | undefined; readonly consumers: RetentionRules['consumers'] } | undefined
}
interface BackupTask extends JobOf {
  readonly kind: 'backup'
  readonly databaseId: Uint8Array
  readonly upTo: number
  readonly target: string
}
/** The log, up to a durable batch with a frame. */
interface ProofTask extends JobOf {
  readonly kind: 'proof'
  readonly upTo: number
}
/** The files of the erasure whose journal is there. */
interface ErasureTask extends JobOf {
  readonly kind: 'erasure'
  /** What is to be erased was written in this life. */
  readonly mustReach: boolean
}
export type JobTask = CheckpointTask | BackupTask | ProofTask | ErasureTask
/** `stop`: see stop-flag.ts. */
export type CheckpointJob = JobTask & { readonly stop: SharedArrayBuffer }

export interface JobProgress {
  /** What is being done, in words. */
  readonly step: string
  /** How much of it is done, and how much there is: bytes, or shares of 1. */
  readonly done: number
  readonly inAll: number
}
export type CheckpointMessage =
  | { readonly kind: 'ended'; readonly report: CheckpointReport }
  | { readonly kind: 'progress'; readonly progress: JobProgress }
  | { readonly kind: 'failed'; readonly error: { readonly code: ErrorCode; readonly message: string; readonly details: SluiceError['details'] } }

const job = workerData as CheckpointJob
const send = (message: CheckpointMessage): void => parentPort!.postMessage(message)
const stop = new StopFlag(job.stop)
const shouldStop = (): boolean => stop.isRaised
const tell = (step: string, done: number, inAll: number): void => send({ kind: 'progress', progress: { step, done, inAll } })

async function run(): Promise<void> {
  giveWay(realPath('/proc/thread-self')) // where Linux names the calling thread
  const { databaseId, directory } = job
  const log = FileLogStorage.open(join(directory, 'log'), { create: false })
  const checkpoints = CheckpointSet.open(LmdbCheckpointStore.open(join(directory, 'checkpoint')), { databaseId })
  if (job.kind === 'backup') {
    const { upTo, target } = job
    const onProgress = (step: string, part: number): void => tell(step, part, 1)
    const { batch, bytes } = await copyDatabase({ log, checkpoints, databaseId: job.databaseId, to: target, upTo, knownDurable: upTo, shouldStop, onProgress })
    return send({ kind: 'ended', report: { batch, bytes, rows: 0, records: 0, changedRows: 0 } })
  }
  if (job.kind === 'proof') {
    proveLog(log, { upTo: job.upTo, mustReach: true, shouldStop })
    return send({ kind: 'ended', report: { batch: job.upTo, bytes: 0, rows: 0, records: 0, changedRows: 0 } })
  }
  if (job.kind === 'erasure') {
    const journal = ErasureJournal.find(log)!
    try {
      const erased = await eraseFiles({ log, checkpoints, journal, plan: (journal.intent as { readonly plan: ErasurePlan }).plan, mustReach: job.mustReach, shouldStop, onProgress: tell })
      return send({ kind: 'ended', report: { batch: 0, bytes: 0, rows: 0, records: 0, changedRows: 0, erased } })
    } finally {
      journal.close()
    }
  }
  const { upTo, outcomeWindowMs, isUnsynced, retention } = job
  const report = await bringForward({ log, checkpoints, databaseId: job.databaseId }, { upTo, outcomeWindowMs, isUnsynced, shouldStop, onProgress: tell })
  const olderCheckpoint = checkpoints.olderBatch()
  applyRetention(log, { olderCheckpoint, ...retention })
  if (job.compaction === undefined) return send({ kind: 'ended', report })
  const { consumerBytes, nowMs } = retention
  const hasRoom = (bytes: number): boolean => freeBytes(directory) >= bytes + limits.segmentBytes // the next segment is the log's
  const compaction = compactLog(log, { ...job.compaction, olderCheckpoint, consumerBytes, nowMs, upTo, shouldStop, hasRoom })
  send({ kind: 'ended', report: { ...report, compaction } })
}

/** What the disk refused: the log goes on, and holds everything. */
function failureOf(error: unknown): SluiceError {
  if (SluiceError.is(error)) return error
  const why = messageOf(error)
  const what = { backup: 'The backup', checkpoint: 'The checkpoint', proof: 'The erasure', erasure: 'The erasure' }[job.kind]
  // LMDB calls a full disk an error of input and output.
  const code = isNoSpace(error) || freeBytes(job.directory) < limits.checkpointStepBytesMax ? 'OUT_OF_SPACE' : 'LOG_FAILED'
  const then =
    job.kind === 'erasure'
      ? 'The database goes on, without new checkpoints and backups until it is done: make room or mend the disk, then call db.erase() again, or open the database again.'
      : 'The database and its log are not touched by that: make room or mend the disk, and try again.'
  return SluiceError.of(code, `${what} could not be written (${why}). ${then}`, {
    details: { operation: job.kind, disk: true },
  })
}

run().catch((error: unknown) => {
  const { code, message, details } = failureOf(error)
  send({ kind: 'failed', error: { code, message, details } })
})
