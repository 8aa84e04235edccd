/**
 * One process, one opening of a directory (R63).
 *
 * Each holder keeps a read transaction open in a small LMDB environment: its reader table lives in shared memory, and the kernel
 * gives a dead process's entry free, also after SIGKILL. A second holder finds another entry. Openings of the same process share
 * one environment and cannot be told apart there: they are kept in a registry.
 *
 * Why not a file with a process id: it lies across containers, and after a crash.
 */
import { open, type RootDatabase } from 'lmdb'
import { SluiceError } from '../engine/base/errors.js'
import { FileLogStorage } from './storage-file.js'

const heldHere = registry()

export class DirectoryLock {
  readonly #directory: string
  readonly #environment: RootDatabase
  readonly #reading: { done(): void }

  private constructor(directory: string, environment: RootDatabase, reading: { done(): void }) {
    this.#directory = directory
    this.#environment = environment
    this.#reading = reading
  }

  /** `directory`: the absolute path of the database; the lock lies in its folder `lock`. */
  static async take(directory: string): Promise<DirectoryLock> {
    if (heldHere.has(directory)) throw locked(directory, 'this process')
    heldHere.add(directory)
    try {
      makePrivate(`${directory}/lock`)
      const environment = open({ path: `${directory}/lock`, maxReaders: 16 })
      environment.readerCheck()
      const others = readersOf(environment)
      const reading = environment.useReadTransaction() as unknown as { done(): void }
      // The transaction registers with its first read.
      environment.get('held')
      environment.readerCheck()
      if (others > 0 || readersOf(environment) > 1) {
        reading.done()
        await environment.close()
        throw locked(directory, 'another process')
      }
      return new DirectoryLock(directory, environment, reading)
    } catch (error) {
      heldHere.delete(directory)
      throw error
    }
  }

  async release(): Promise<void> {
    this.#reading.done()
    await this.#environment.close()
    heldHere.delete(this.#directory)
  }
}

/** R66: left alone, LMDB makes a folder and files that everybody can read, and follows links. Empty files are new ones to it. */
function makePrivate(folder: string): void {
  const storage = FileLogStorage.open(folder)
  const names = storage.list()
  for (const name of ['data.mdb', 'lock.mdb']) {
    try {
      const file = names.includes(name) ? storage.open(name, 'read') : storage.create(name)
      file.close()
    } catch (error) {
      // Another process was quicker: it makes the same file.
      if ((error as { readonly code?: unknown }).code !== 'EEXIST') throw error
    }
  }
}

/** Entries of the reader table: lines with a process id. */
function readersOf(environment: RootDatabase): number {
  const list = (environment as unknown as { readerList(): string }).readerList()
  return list.split('\n').filter((line) => /^\s*\d+\s/.test(line)).length
}

function locked(directory: string, by: string): SluiceError {
  return SluiceError.of('DATABASE_LOCKED', `The database ${directory} is open in ${by}: close it there first, or open another directory.`, { details: { path: directory } })
}

/** One registry for all copies of the package in a process. */
function registry(): Set<string> {
  const realm = globalThis as unknown as Record<symbol, Set<string> | undefined>
  return (realm[Symbol.for('sluicedb.openDirectories')] ??= new Set())
}
