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
  openSync,
  read,
  readdirSync,
  readSync,
  realpathSync,
  unlinkSync,
  writevSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { assert } from '../engine/base/assert.js'
import { isStorageName, type LogFile, type LogStorage } from './storage.js'

const directoryMode = 0o700
const fileMode = 0o600
const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_NOFOLLOW, O_DIRECTORY } = constants

export class FileLogStorage implements LogStorage {
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** Opens the folder, and creates it (with its parents) when `create` is set. */
  static open(directory: string, options: { readonly create: boolean } = { create: true }): FileLogStorage {
    const path = resolve(directory)
    if (options.create) createDirectory(path)
    if (!lstatSync(path).isDirectory()) throw systemError('ENOTDIR', `${path} is not a directory, or a link to one`)
    return new FileLogStorage(path)
  }

  list(): string[] {
    return readdirSync(this.#directory).sort()
  }

  create(name: string): LogFile {
    return new File(name, openSync(this.#path(name), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, fileMode))
  }

  open(name: string, access: 'read' | 'write'): LogFile {
    const fd = openSync(this.#path(name), (access === 'read' ? O_RDONLY : O_RDWR) | O_NOFOLLOW)
    if (!fstatSync(fd).isFile()) {
      closeSync(fd)
      throw systemError('EINVAL', `${this.#path(name)} is not a regular file`)
    }
    return new File(name, fd)
  }

  remove(name: string): void {
    unlinkSync(this.#path(name))
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
  #open = true

  constructor(name: string, fd: number) {
    this.name = name
    this.#fd = fd
  }

  size(): number {
    return fstatSync(this.#fd).size
  }

  read(target: Uint8Array, at: number): number {
    let done = 0
    while (done < target.length) {
      const bytes = readSync(this.#fd, target, done, target.length - done, at + done)
      if (bytes === 0) break
      done += bytes
    }
    return done
  }

  async readAsync(target: Uint8Array, at: number): Promise<number> {
    let done = 0
    while (done < target.length) {
      const bytes = await readOnce(this.#fd, target, done, at + done)
      if (bytes === 0) break
      done += bytes
    }
    return done
  }

  write(parts: readonly Uint8Array[], at: number): void {
    let rest = parts.filter((part) => part.length > 0)
    let position = at
    while (rest.length > 0) {
      const written = writevSync(this.#fd, rest, position)
      if (written === 0) throw systemError('EIO', `nothing could be written to ${this.name}`)
      position += written
      rest = without(rest, written)
    }
  }

  sync(): void {
    fdatasyncSync(this.#fd)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.#fd)
  }
}

function readOnce(fd: number, target: Uint8Array, offset: number, position: number): Promise<number> {
  return new Promise((done, failed) => {
    read(fd, target, offset, target.length - offset, position, (error, bytes) => {
      if (error === null) done(bytes)
      else failed(error)
    })
  })
}

/** What a short write left over. */
function without(parts: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = written
  for (const part of parts) {
    if (skip >= part.length) {
      skip -= part.length
    } else {
      rest.push(part.subarray(skip))
      skip = 0
    }
  }
  return rest
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

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code })
}

/** A path with its symbolic links followed; undefined when there is no such file. */
export function realPath(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined
  }
}
