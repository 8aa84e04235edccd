/**
 * A database directory as tools see it: its parts where they exist, read and never written, and nothing that must be running.
 *
 * Who reads for long (a copy, a salvage) holds the lock of the directory meanwhile, so that nobody opens it and takes segments away;
 * who only looks asks whether somebody has it open, and says so. The lock is LMDB's table of readers (R63): holding it writes into
 * `lock/lock.mdb`, the one file of a database that is no data. Where that folder is missing or may not be written, nobody can have
 * the database open, and it is read without.
 */
import { join, resolve } from 'node:path'
import { SluiceError } from '../base/errors.js'
import { DirectoryLock, FileLogStorage, isErasureUnderWay, isHalfErased, mustBeFinished, type LogStorage, withPatches } from '../../wal/index.js'

export class Source {
  readonly path: string
  readonly root: LogStorage
  readonly log: LogStorage
  /** The folder of the checkpoints; undefined when there never was one. */
  readonly checkpoints: string | undefined
  /** Somebody has it open: what is read is a moment of it. */
  readonly isInUse: boolean
  /** An erasure was stopped, and goes on when the database is opened; or one goes on now. */
  readonly isErasureUnderWay: boolean
  readonly #lock: DirectoryLock | undefined

  private constructor(path: string, parts: SourceParts, isInUse: boolean, lock: DirectoryLock | undefined) {
    this.path = path
    this.root = parts.root
    this.log = parts.log
    this.checkpoints = parts.checkpoints
    this.isInUse = isInUse
    this.isErasureUnderWay = isErasureUnderWay(parts.log)
    this.#lock = lock
  }

  /** With `alone`, refuses a directory that is in use, and keeps others out until `close`. */
  static async open(directory: string, use: 'alone' | 'beside'): Promise<Source> {
    const path = resolve(directory)
    const parts = openParts(path)
    if (!DirectoryLock.existsIn(parts.root)) return new Source(path, parts, false, undefined)
    if (use === 'beside') return new Source(path, parts, await DirectoryLock.isHeld(path), undefined)
    return new Source(path, parts, false, await DirectoryLock.takeIfWritable(path))
  }

  /** It has begun with the files: log and checkpoints are of one database again when it has ended. */
  get isHalfErased(): boolean {
    return isHalfErased(this.log)
  }

  /** A copy would have the rows that the checkpoints still hold, for good: nothing in it says that they are to go. */
  mustNotBeHalfErased(): void {
    if (!this.isHalfErased) return
    throw SluiceError.of('INVALID_USE', `An erasure in ${this.path} was stopped in the middle of its files: open the database first, which ends it, then copy.`, {
      details: { path: this.path },
    })
  }

  async close(): Promise<void> {
    await this.#lock?.release()
  }
}

interface SourceParts {
  readonly root: LogStorage
  readonly log: LogStorage
  readonly checkpoints: string | undefined
}

function openParts(path: string): SourceParts {
  try {
    const root = FileLogStorage.open(path, { create: false })
    mustBeFinished(root, path)
    const names = root.list()
    if (!names.includes('log')) throw noDatabase(path, 'it has no folder log')
    // What an erasure that was stopped has not written to its places yet is read as if it had.
    const log = withPatches(FileLogStorage.open(join(path, 'log'), { create: false }))
    const folder = join(path, 'checkpoint')
    if (!names.includes('checkpoint')) return { root, log, checkpoints: undefined }
    FileLogStorage.open(folder, { create: false }) // a link is refused here
    return { root, log, checkpoints: folder }
  } catch (error) {
    if (SluiceError.is(error)) throw error
    throw noDatabase(path, (error as Error).message, error)
  }
}

function noDatabase(path: string, why: string, cause?: unknown): SluiceError {
  return SluiceError.of('INVALID_USE', `${path} is no database that can be read: ${why}. Give the directory that open() was given as path.`, {
    cause,
    details: { path },
  })
}
