/**
 * A log in a folder of the file system. The only file of the project that imports node:fs.
 *
 * R66: the folder is 0700, files are 0600, names are ours, and nothing that is a symbolic link is opened: a link inside
 * a database is a mistake or an attack, never a wish.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  read,
  readdirSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  unlinkSync,
  writevSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { assert } from '../engine/base/assert.js'
import { temporaryDirectory } from '../engine/base/environment-node.js'
import { isStorageName, type LogFile, type LogStorage } from './storage.js'
import { readWhole, readWholeAsync, systemError, writeWhole } from './transfer.js'

const directoryMode = 0o700
const fileMode = 0o600
const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_NOFOLLOW, O_DIRECTORY } = constants

/** The calls of the system that move bytes. Tests give others: short ones, interrupted ones, failing ones. */
export interface FileCalls {
  read(fd: number, target: Uint8Array, at: number): number
  readAsync(fd: number, target: Uint8Array, at: number): Promise<number>
  write(fd: number, parts: readonly Uint8Array[], at: number): number
  sync(fd: number): void
}

export const systemCalls: FileCalls = {
  read: (fd, target, at) => readSync(fd, target, 0, target.length, at),
  readAsync: (fd, target, at) =>
    new Promise((done, failed) => {
      read(fd, target, 0, target.length, at, (error, bytes) => (error === null ? done(bytes) : failed(error)))
    }),
  write: (fd, parts, at) => writevSync(fd, parts, at),
  sync: fdatasyncSync,
}

export interface FileStorageOptions {
  /** Creates the folder, with its parents, when it is not there. */
  readonly create?: boolean
  readonly calls?: FileCalls
}

export class FileLogStorage implements LogStorage {
  readonly #directory: string
  readonly #calls: FileCalls

  private constructor(directory: string, calls: FileCalls) {
    this.#directory = directory
    this.#calls = calls
  }

  /** Another folder of the same database is another storage. */
  static open(directory: string, { create = true, calls = systemCalls }: FileStorageOptions = {}): FileLogStorage {
    const path = resolve(directory)
    if (create) createDirectory(path)
    if (!lstatSync(path).isDirectory()) throw systemError('ENOTDIR', `${path} is not a directory, or a link to one`)
    return new FileLogStorage(path, calls)
  }

  list(): string[] {
    return readdirSync(this.#directory).sort()
  }

  create(name: string): LogFile {
    return new File(name, openSync(this.#path(name), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, fileMode), this.#calls)
  }

  open(name: string, access: 'read' | 'write'): LogFile {
    const fd = openSync(this.#path(name), (access === 'read' ? O_RDONLY : O_RDWR) | O_NOFOLLOW)
    if (!fstatSync(fd).isFile()) {
      closeSync(fd)
      throw systemError('EINVAL', `${this.#path(name)} is not a regular file`)
    }
    return new File(name, fd, this.#calls)
  }

  remove(name: string): void {
    unlinkSync(this.#path(name))
  }

  replace(from: string, to: string): void {
    renameSync(this.#path(from), this.#path(to))
  }

  syncDirectory(): void {
    syncDirectory(this.#directory)
  }

  #path(name: string): string {
    assert(isStorageName(name), 'R66: file names are ours')
    return join(this.#directory, name)
  }
}

class File implements LogFile {
  readonly name: string
  readonly #fd: number
  readonly #calls: FileCalls
  #open = true

  constructor(name: string, fd: number, calls: FileCalls) {
    this.name = name
    this.#fd = fd
    this.#calls = calls
  }

  size(): number {
    return fstatSync(this.#fd).size
  }

  read(target: Uint8Array, at: number): number {
    return readWhole((rest, from) => this.#calls.read(this.#fd, rest, from), target, at)
  }

  readAsync(target: Uint8Array, at: number): Promise<number> {
    return readWholeAsync((rest, from) => this.#calls.readAsync(this.#fd, rest, from), target, at)
  }

  write(parts: readonly Uint8Array[], at: number): void {
    writeWhole((rest, from) => this.#calls.write(this.#fd, rest, from), parts, at)
  }

  sync(): void {
    this.#calls.sync(this.#fd)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.#fd)
  }
}

/** A new folder is on disk only when its entry in the folder above is; with parents, all the way up. */
function createDirectory(path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: directoryMode })
  if (first === undefined) return
  const top = dirname(first)
  let above = path
  do {
    above = dirname(above)
    syncDirectory(above)
  } while (above !== top)
}

function syncDirectory(path: string): void {
  const fd = openSync(path, O_RDONLY | O_DIRECTORY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** A path with its symbolic links followed; undefined when there is no such file. */
export function realPath(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}

/** Bytes that the file system of a path still has for this process. */
export function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

/** A folder for files that nobody else sees and nobody misses. Removed with all that is in it. */
export class TemporaryFolder {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  static make(): TemporaryFolder {
    return new TemporaryFolder(mkdtempSync(join(temporaryDirectory, 'sluicedb-')))
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
