/**
 * Copies a database, or what it was at some batch, into a new directory that `open()` accepts: the log up to there, and the
 * checkpoints that are not newer. Shared by backup, restore and salvage.
 *
 * Order: the target is marked as unfinished, then come the checkpoints, each verified in the copy, then the log; then the mark goes.
 * A crash or an error anywhere leaves a directory that open() refuses by name (wal/unfinished.ts).
 *
 * A checkpoint is copied byte by byte and believed only when its manifest fits the copy: one that was being brought forward
 * meanwhile falls out by itself. Beside a running database whoever copies must keep the log from `retention` (the checkpoint thread
 * does both, so they never meet).
 */
import { join, resolve } from 'node:path'
import { SluiceError } from '../base/errors.js'
import { type CheckpointCandidate, type CheckpointSet, clearUnfinished, copyLog, FileLogStorage, markUnfinished, type LogStorage } from '../../wal/index.js'

export interface CopyOptions {
  readonly log: LogStorage
  /** Undefined: none are copied, and the log must reach from the beginning. */
  readonly checkpoints: CheckpointSet | undefined
  readonly databaseId: Uint8Array
  /** The new directory: missing or empty. */
  readonly to: string
  /** The last batch that is wanted; without it, all that is whole. */
  readonly upTo?: number | undefined
  /** A batch that is known to be in the log. */
  readonly knownDurable?: number | undefined
  readonly onProgress?: ((what: string, part: number) => void) | undefined
  /** `true` ends the copy with `CANCELLED`. */
  readonly shouldStop?: (() => boolean) | undefined
}

export interface CopiedDatabase {
  readonly path: string
  readonly batch: number
  readonly bytes: number
  readonly checkpoints: number
}

export async function copyDatabase(options: CopyOptions): Promise<CopiedDatabase> {
  return await makeDirectory(options.to, async (path) => {
    const { log, databaseId, upTo, knownDurable, onProgress, shouldStop } = options
    const checkpoints = copyCheckpoints(options, path)
    const copied = copyLog(log, FileLogStorage.open(join(path, 'log')), {
      databaseId,
      upTo,
      knownDurable,
      shouldStop,
      onProgress: ({ bytes, bytesInAll }) => onProgress?.('copying the log', bytes / Math.max(1, bytesInAll)),
    })
    const reached = Math.max(copied.batch, ...checkpoints.map((one) => one.batch))
    const bytes = checkpoints.reduce((sum, one) => sum + one.fileBytes, copied.bytes)
    return { path, batch: reached, bytes, checkpoints: checkpoints.length }
  })
}

/** The checkpoints that are not newer than wanted and turn out to be whole, into the folder of a new directory. */
export function copyCheckpoints({ checkpoints, upTo = Infinity, onProgress, shouldStop }: Omit<CopyOptions, 'log' | 'databaseId' | 'to'>, path: string): readonly CheckpointCandidate[] {
  const wanted = checkpoints?.candidates().filter((one) => one.batch <= upTo) ?? []
  if (checkpoints === undefined || wanted.length === 0) return []
  const folder = FileLogStorage.open(join(path, 'checkpoint'))
  const copied: CheckpointCandidate[] = []
  for (const one of wanted) {
    onProgress?.(`copying checkpoint ${one.name}`, 0)
    if (checkpoints.copyTo(folder, one.name, { ...(shouldStop !== undefined && { shouldStop }) })) copied.push(one)
  }
  folder.syncDirectory()
  return copied
}

/** Makes a new database directory: marked as unfinished until `fill` has come back. */
export async function makeDirectory<Report>(to: string, fill: (path: string) => Promise<Report>): Promise<Report> {
  const path = resolve(to)
  const root = emptyDirectory(path)
  markUnfinished(root)
  const report = await fill(path)
  clearUnfinished(root)
  return report
}

function emptyDirectory(path: string): FileLogStorage {
  let root: FileLogStorage
  try {
    root = FileLogStorage.open(path)
    if (root.list().length === 0) return root
  } catch (cause) {
    throw SluiceError.of('INVALID_USE', `The directory ${path} cannot be made: ${(cause as Error).message}. Name one that this process may create.`, { cause, details: { path } })
  }
  throw SluiceError.of('INVALID_USE', `The directory ${path} is not empty, and nothing is ever written over: name a new one, or remove it first.`, { details: { path } })
}
