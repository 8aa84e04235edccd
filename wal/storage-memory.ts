/**
 * A log in memory: for databases without a path, and, with `crashable`, a disk that can lose power.
 *
 * A crashable disk keeps two images of every file: what a reader sees, and what is on the platters. A write changes the
 * first and is remembered; a sync carries the remembered writes of that file over. `crash` gives the disk as it is
 * found afterwards: the platters, and of the writes that nobody synced a subset of sectors, chosen by the caller; of a file
 * that was put in the place of another one, the one or the other. A
 * subset in order is every order: a sector that an older write reached last is one whose newer write was lost.
 *
 * A failed sync behaves as on Linux: what was to be written stays readable, counts as clean, and never reaches the
 * platters. `onOperation` sees every operation that can fail before it happens, and may make it fail, or cut it short: the
 * rest of a read or write is then an operation of its own, as on a real disk (transfer.ts).
 */
import { assert } from '../engine/base/assert.js'
import { isStorageName, type LogFile, type LogStorage } from './storage.js'
import { readWhole, systemError, writeWhole } from './transfer.js'

const sectorBytes = 512

export interface StorageOperation {
  /** Counts all operations of this disk, from 0. */
  readonly index: number
  readonly kind: 'create' | 'read' | 'write' | 'sync' | 'remove' | 'replace' | 'sync-directory'
  readonly name: string
  /** Of a read or a write: from which byte of the file, and how many. */
  readonly at: number
  readonly bytes: number
}

export interface StorageFault {
  /** Undefined: no error, but fewer bytes than asked. EINTR and EAGAIN are asked again. */
  readonly code?: 'EIO' | 'ENOSPC' | 'EDQUOT' | 'EINTR' | 'EAGAIN' | undefined
  /** Of a write: how much of it happens, before the error if there is one. */
  readonly writtenBytes?: number
  /** Of a read without an error. */
  readonly readBytes?: number
}

export interface MemoryStorageOptions {
  readonly crashable?: boolean
  readonly onOperation?: (operation: StorageOperation) => StorageFault | undefined
}

export class MemoryLogStorage implements LogStorage {
  readonly #names = new Map<string, FileImage>()
  /** What the folder on the platters holds. */
  #durableNames = new Map<string, FileImage>()
  readonly #options: MemoryStorageOptions
  #operations = 0

  constructor(options: MemoryStorageOptions = {}) {
    this.#options = options
  }

  get operations(): number {
    return this.#operations
  }

  list(): string[] {
    return [...this.#names.keys()].sort()
  }

  create(name: string): LogFile {
    assert(isStorageName(name), 'R66: file names are ours')
    if (this.#names.has(name)) throw systemError('EEXIST', name)
    this.#step('create', name, 0, 0)
    const image = new FileImage(this.#options.crashable === true)
    this.#names.set(name, image)
    return this.#handle(name, image, 'write')
  }

  open(name: string, access: 'read' | 'write'): LogFile {
    return this.#handle(name, this.#image(name), access)
  }

  remove(name: string): void {
    this.#image(name)
    this.#step('remove', name, 0, 0)
    this.#names.delete(name)
  }

  replace(from: string, to: string): void {
    assert(isStorageName(to), 'R66: file names are ours')
    const image = this.#image(from)
    this.#step('replace', to, 0, 0)
    this.#names.delete(from)
    this.#names.set(to, image)
  }

  syncDirectory(): void {
    this.#step('sync-directory', '', 0, 0)
    if (this.#options.crashable === true) this.#durableNames = new Map(this.#names)
  }

  /** The bytes that a reader sees, for tests that damage them in place. */
  bytesOf(name: string): Uint8Array {
    return this.#image(name).visible()
  }

  /** The disk after a power cut. `keeps` is asked for every unsynced sector, new file, removed file and name that leads to another one. */
  crash(keeps: () => boolean, options: MemoryStorageOptions = this.#options): MemoryLogStorage {
    assert(this.#options.crashable === true, 'only a crashable disk remembers what it has not synced')
    const after = new MemoryLogStorage(options)
    const names = new Set([...this.#durableNames.keys(), ...this.#names.keys()])
    for (const name of [...names].sort()) {
      const now = this.#names.get(name)
      const onDisk = this.#durableNames.get(name)
      const found = now === onDisk || keeps() ? now : onDisk
      if (found !== undefined) after.#names.set(name, found.afterCrash(keeps))
    }
    after.#durableNames = new Map(after.#names)
    return after
  }

  /** A disk with the same bytes, all of them on the platters: what reading and writing the image of a disk gives. */
  copy(options: MemoryStorageOptions = this.#options): MemoryLogStorage {
    const copy = new MemoryLogStorage(options)
    for (const [name, image] of this.#names) copy.#names.set(name, image.copy(options.crashable === true))
    copy.#durableNames = new Map(copy.#names)
    return copy
  }

  #image(name: string): FileImage {
    const image = this.#names.get(name)
    if (image === undefined) throw systemError('ENOENT', name)
    return image
  }

  #handle(name: string, image: FileImage, access: 'read' | 'write'): LogFile {
    return new MemoryFile(name, image, access, (kind, at, bytes, onFault) => this.#step(kind, name, at, bytes, onFault))
  }

  /** Answers the fault when it only cuts the operation short. */
  #step(
    kind: StorageOperation['kind'],
    name: string,
    at: number,
    bytes: number,
    onFault?: (fault: StorageFault) => void,
  ): StorageFault | undefined {
    const operation = { index: this.#operations, kind, name, at, bytes }
    this.#operations += 1
    const fault = this.#options.onOperation?.(operation)
    if (fault?.code === undefined) return fault
    onFault?.(fault)
    throw systemError(fault.code, `${kind} ${name}`)
  }
}

type Step = (
  kind: StorageOperation['kind'],
  at: number,
  bytes: number,
  onFault?: (fault: StorageFault) => void,
) => StorageFault | undefined

class MemoryFile implements LogFile {
  readonly name: string
  readonly #image: FileImage
  readonly #access: 'read' | 'write'
  readonly #step: Step
  #open = true

  constructor(name: string, image: FileImage, access: 'read' | 'write', step: Step) {
    this.name = name
    this.#image = image
    this.#access = access
    this.#step = step
  }

  size(): number {
    return this.#image.visible().length
  }

  read(target: Uint8Array, at: number): number {
    if (!this.#open) throw systemError('EBADF', this.name)
    return readWhole((rest, from) => this.#readSome(rest, from), target, at)
  }

  #readSome(target: Uint8Array, at: number): number {
    const short = this.#step('read', at, target.length)?.readBytes ?? target.length
    const found = this.#image.visible().subarray(at, at + Math.max(1, Math.min(short, target.length)))
    target.set(found)
    return found.length
  }

  async readAsync(target: Uint8Array, at: number): Promise<number> {
    await Promise.resolve()
    return this.read(target, at)
  }

  write(parts: readonly Uint8Array[], at: number): void {
    if (!this.#open || this.#access === 'read') throw systemError('EBADF', this.name)
    writeWhole((rest, from) => this.#writeSome(joined(rest), from), parts, at)
  }

  #writeSome(data: Uint8Array, at: number): number {
    const fault = this.#step('write', at, data.length, ({ writtenBytes = 0 }) => {
      this.#image.write(data.subarray(0, writtenBytes), at)
    })
    const written = data.subarray(0, fault?.writtenBytes ?? data.length)
    this.#image.write(written, at)
    return written.length
  }

  sync(): void {
    if (!this.#open) throw systemError('EBADF', this.name)
    this.#step('sync', 0, 0, () => this.#image.forget())
    this.#image.sync()
  }

  close(): void {
    this.#open = false
  }
}

class FileImage {
  #bytes = new Uint8Array(0)
  #length = 0
  #durable = new Uint8Array(0)
  #unsynced: { readonly at: number; readonly data: Uint8Array }[] = []
  readonly #crashable: boolean

  constructor(crashable: boolean) {
    this.#crashable = crashable
  }

  visible(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  write(data: Uint8Array, at: number): void {
    if (data.length === 0) return
    const end = at + data.length
    if (end > this.#bytes.length) this.#bytes = enlarged(this.#bytes, Math.max(end, this.#bytes.length * 2))
    this.#bytes.set(data, at)
    this.#length = Math.max(this.#length, end)
    if (this.#crashable) this.#unsynced.push({ at, data })
  }

  sync(): void {
    for (const { at, data } of this.#unsynced) this.#durable = withBytes(this.#durable, data, at)
    this.#unsynced = []
  }

  /** A failed sync: the pages count as clean. */
  forget(): void {
    this.#unsynced = []
  }

  afterCrash(keeps: () => boolean): FileImage {
    let bytes = this.#durable.slice()
    for (const { at, data } of this.#unsynced) {
      for (let from = 0; from < data.length; ) {
        const end = Math.min(data.length, from + sectorBytes - ((at + from) % sectorBytes))
        if (keeps()) bytes = withBytes(bytes, data.subarray(from, end), at + from)
        from = end
      }
    }
    return FileImage.of(bytes, true)
  }

  copy(crashable: boolean): FileImage {
    return FileImage.of(this.visible().slice(), crashable)
  }

  static of(bytes: Uint8Array<ArrayBuffer>, crashable: boolean): FileImage {
    const image = new FileImage(crashable)
    image.#bytes = bytes
    image.#length = bytes.length
    if (crashable) image.#durable = bytes.slice()
    return image
  }
}

function withBytes(bytes: Uint8Array<ArrayBuffer>, data: Uint8Array, at: number): Uint8Array<ArrayBuffer> {
  const end = at + data.length
  const result = end > bytes.length ? enlarged(bytes, end) : bytes
  result.set(data, at)
  return result
}

function enlarged(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length)
  larger.set(bytes)
  return larger
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const data = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0))
  let at = 0
  for (const part of parts) {
    data.set(part, at)
    at += part.length
  }
  return data
}
