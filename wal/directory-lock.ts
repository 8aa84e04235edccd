/**
 * One process, one opening of a directory (R63).
 *
 * Each holder keeps a read transaction open in a small LMDB environment: its reader table lives in shared memory, and the kernel
 * gives a dead process's entry free, also after SIGKILL. A second holder finds another entry. Openings of the same process share
 * one environment and cannot be told apart there: they are kept in a registry.
 *
 * Why not a file with a process id: it lies across containers, and after a crash.
 */
import type { RootDatabase } from 'lmdb'
import { SluiceError } from '../engine/base/errors.js'
import { isMissing } from './damage.js'
import { lmdb } from './lmdb.js'
import { FileLogStorage } from './storage-file.js'
import type { LogStorage } from './storage.js'

const heldHere = registry()
/** More than LMDB takes for a new lock. */
const roomBytes = 64 * 1_024
const roomName = 'room'

export class DirectoryLock {
  readonly #directory: string
  #isReleased = false
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
      if (!isWhole(`${directory}/lock`)) throw lockDamaged(directory)
      const environment = lmdb().open({ path: `${directory}/lock`, maxReaders: 16 })
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

  /** Somebody may have opened the database: there is a lock to look at. `directory`: the folder of the database. */
  static existsIn(directory: LogStorage): boolean {
    return directory.list().includes('lock')
  }

  /** Whether somebody holds the lock now. Takes nothing, and keeps nobody out. */
  static async isHeld(directory: string): Promise<boolean> {
    if (heldHere.has(directory)) return true
    if (!hasFiles(directory) || !isWhole(`${directory}/lock`)) return false
    let environment: RootDatabase
    try {
      environment = lmdb().open({ path: `${directory}/lock`, maxReaders: 16 })
    } catch (error) {
      if (isNotWritable(error)) return false
      throw error
    }
    environment.readerCheck()
    const isHeld = readersOf(environment) > 0
    await environment.close()
    return isHeld
  }

  /**
   * For who reads: as `take`, but where nothing may be written, or the lock itself is damaged, nobody can open the database, and it
   * goes without.
   */
  static async takeIfWritable(directory: string): Promise<DirectoryLock | undefined> {
    const canBeTaken = hasFiles(directory) && isWhole(`${directory}/lock`)
    if (!canBeTaken && !heldHere.has(directory)) return undefined
    try {
      return await DirectoryLock.take(directory)
    } catch (error) {
      if (isNotWritable(error)) return undefined
      throw error
    }
  }

  /** Twice is once: the directory may be another's by then. */
  async release(): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
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
  if (sizeOf(storage, 'lock.mdb') === 0) mustHaveRoom(storage)
}

/** LMDB maps its lock: a page of it that a full disk cannot give ends the process (SIGBUS). So the disk is asked before. */
function mustHaveRoom(storage: LogStorage): void {
  try {
    const file = storage.create(roomName)
    try {
      file.write([new Uint8Array(roomBytes)], 0)
    } finally {
      file.close()
    }
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== 'EEXIST') throw error
  } finally {
    removeIfThere(storage, roomName)
  }
}

function removeIfThere(storage: LogStorage, name: string): void {
  try {
    storage.remove(name)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

function sizeOf(storage: LogStorage, name: string): number {
  const file = storage.open(name, 'read')
  try {
    return file.size()
  } finally {
    file.close()
  }
}

/** The files of the lock are there, so looking at it makes none. */
function hasFiles(directory: string): boolean {
  const names = FileLogStorage.open(`${directory}/lock`, { create: false }).list()
  return names.includes('data.mdb') && names.includes('lock.mdb')
}

const metaMagic = 0xbeef_c0de
const metaVersion = 2
const noRoot = 0xffff_ffff_ffff_ffffn
const metaBytes = 160

/**
 * LMDB believes what it maps: over a damaged meta page the process dies of SIGSEGV (measured, at its magic). Nothing is ever stored
 * in this environment, so its two meta pages are as they were made: empty. A new file has none yet.
 */
function isWhole(folder: string): boolean {
  const file = FileLogStorage.open(folder, { create: false }).open('data.mdb', 'read')
  try {
    const size = file.size()
    if (size === 0) return true
    const page = new Uint8Array(metaBytes)
    const view = new DataView(page.buffer)
    if (file.read(page, 0) < metaBytes) return false
    const pageBytes = view.getUint32(48, true)
    if (pageBytes < 512 || pageBytes > 65_536 || size < 2 * pageBytes) return false
    return [0, pageBytes].every((at) => {
      file.read(page, at)
      const isMeta = view.getUint32(24, true) === metaMagic && view.getUint32(28, true) === metaVersion && view.getUint32(48, true) === pageBytes
      return isMeta && view.getBigUint64(88, true) === noRoot && view.getBigUint64(136, true) === noRoot
    })
  } finally {
    file.close()
  }
}

function lockDamaged(directory: string): SluiceError {
  return SluiceError.of('INVALID_USE', `The lock of ${directory} is damaged; nothing of the data is in it. Make sure that no process has the database open, then remove the folder lock.`, { details: { path: directory } })
}

/** LMDB names no codes, only the system's sentences. */
function isNotWritable(error: unknown): boolean {
  return error instanceof Error && /read-only file system|permission denied|EROFS|EACCES/i.test(error.message)
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
