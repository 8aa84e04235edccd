/**
 * Checkpoints in LMDB: one file `<name>.mdb` each, one entry for each block.
 *
 *    key 0 0          state: u32 magic "SLL1", u32 format, f64 batch, f64 rows
 *    key 0 1          meta
 *    key 1 <fence>    a block
 *
 * Never `getAsync` (a missing key kills the process), never the asynchronous `transaction` (it does not roll back), never values in
 * shared memory (they crash it): what LMDB sees are blocks in our own buffers, in `transactionSync`.
 *
 * `noSync`: LMDB keeps its file whole across crashes, which costs it two syncs per transaction, and here nobody needs that. A file
 * counts only under a manifest that was written behind `flush`, which syncs through a handle of our own. The handle is opened before
 * LMDB writes, so that no failed write of the system goes by unseen.
 *
 * Pages that a transaction frees are used again by the one after the next. So a run in small steps leaves a file that is little
 * larger than its rows (5 % for 1 M rows, measured), and one in a single transaction leaves two or three times of them, to be
 * read and summed at every opening.
 */
import { assert } from '../engine/base/assert.js'
import { limits } from '../engine/base/limits.js'
import { checkpointCorrupt, checkpointKeyBytesMax, compareBytes, RowBlock, type WordBuffer } from './checkpoint-blocks.js'
import type { SortedChanges } from './checkpoint-changes.js'
import { Merge, type BlockMap, type BlockRange } from './checkpoint-merge.js'
import type { Checkpoint, CheckpointAt, CheckpointStore } from './checkpoint.js'
import { lmdb } from './lmdb.js'
import { FileLogStorage } from './storage-file.js'
import type { LogFile } from './storage.js'

/** Keys may be as long as half a page less its head; pages of 4 KiB would be too small. */
const pageBytes = 8_192
const lmdbKeyBytesMax = 4_026
assert(checkpointKeyBytesMax < lmdbKeyBytesMax, 'a fence with its prefix is a key of LMDB')

const format = 1
const stateMagic = 0x314c_4c53
const stateBytes = 24
const stateKey = Uint8Array.of(0, 0)
const metaKey = Uint8Array.of(0, 1)
const blockPrefix = 1
const firstBlockKey = Uint8Array.of(blockPrefix)

const fencesAheadMin = 2
const fencesAheadMax = 64

export class LmdbCheckpointStore implements CheckpointStore {
  readonly kind = 'lmdb'
  readonly storage: FileLogStorage
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
    this.storage = FileLogStorage.open(directory)
  }

  /** The folder is made when there is none. */
  static open(directory: string): LmdbCheckpointStore {
    return new LmdbCheckpointStore(directory)
  }

  fileOf(name: string): string | undefined {
    const file = this.newFileOf(name)
    return this.storage.list().includes(file) ? file : undefined
  }

  newFileOf(name: string): string {
    return `${name}.mdb`
  }

  open(name: string, access: 'read' | 'write'): Checkpoint {
    const fileName = this.newFileOf(name)
    this.#removeLock(name)
    // R66: left alone, LMDB makes files that everybody can read, and follows links. Empty files are new ones to it.
    this.#createLock(name)
    const isNew = this.fileOf(name) === undefined
    assert(!isNew || access === 'write', 'only an environment that exists is read')
    const file = isNew ? this.storage.create(fileName) : this.storage.open(fileName, access)
    try {
      const database = lmdb().open({
        path: `${this.#directory}/${fileName}`,
        noSubdir: true,
        encoding: 'binary',
        keyEncoding: 'binary',
        pageSize: pageBytes,
        mapSize: limits.checkpointMapBytes,
        maxDbs: 1,
        cache: false,
        compression: false,
        overlappingSync: false,
        readOnly: access === 'read',
        ...(access === 'write' ? { noSync: true } : {}),
      })
      return new LmdbCheckpoint(name, database as unknown as BinaryDatabase, file, () => this.#removeLock(name))
    } catch (error) {
      file.close()
      throw error
    }
  }

  remove(name: string): void {
    if (this.fileOf(name) !== undefined) this.storage.remove(this.newFileOf(name))
    this.#removeLock(name)
  }

  /** LMDB maps its lock: a page of it that a full disk cannot give ends the process (SIGBUS). Written pages are there. */
  #createLock(name: string): void {
    const lock = this.storage.create(lockOf(name))
    try {
      lock.write([new Uint8Array(lockBytes)], 0)
    } catch (error) {
      this.#removeLock(name)
      throw error
    } finally {
      lock.close()
    }
  }

  /** The lock is for other processes; those are kept out by the lock of the directory. What an earlier life left is noise. */
  #removeLock(name: string): void {
    if (this.storage.list().includes(lockOf(name))) this.storage.remove(lockOf(name))
  }
}

/** At least what LMDB takes for its 126 readers. */
const lockBytes = 16_384

function lockOf(name: string): string {
  return `${name}.mdb-lock`
}

/** What we use of it. `getBinaryFast` answers a view of LMDB's own buffer, valid until the next call. */
interface BinaryDatabase {
  getBinaryFast(key: Uint8Array): Uint8Array | undefined
  getKeys(range: { start: Uint8Array; limit: number; reverse?: boolean; exclusiveStart?: boolean }): Iterable<Uint8Array>
  putSync(key: Uint8Array, value: Uint8Array): void
  removeSync(key: Uint8Array): boolean
  transactionSync(run: () => void): void
  close(): Promise<void>
}

class LmdbCheckpoint implements Checkpoint, BlockMap {
  readonly #name: string
  readonly #database: BinaryDatabase
  readonly #file: LogFile
  readonly #atClose: () => void
  readonly #merge = new Merge(this)
  readonly #fences: FenceWindow
  #batch = 0
  #rows = 0
  #meta: Uint8Array = new Uint8Array(0)
  /** Counts what ends a walk. */
  #applied = 0
  #isOpen = true

  constructor(name: string, database: BinaryDatabase, file: LogFile, atClose: () => void) {
    this.#name = name
    this.#database = database
    this.#file = file
    this.#atClose = atClose
    this.#fences = new FenceWindow(database)
    this.#readState()
  }

  get batch(): number {
    return this.#batch
  }
  get meta(): Uint8Array {
    return this.#meta
  }
  get rows(): number {
    return this.#rows
  }

  apply(changes: SortedChanges, at: CheckpointAt): void {
    assert(this.#isOpen, 'a closed checkpoint takes no changes')
    assert(at.batch >= this.#batch, 'a checkpoint goes forward')
    this.#applied += 1
    this.#fences.forget()
    let rows = this.#rows
    this.#database.transactionSync(() => {
      rows += this.#merge.apply(changes)
      this.#database.putSync(stateKey, encodeState(at.batch, rows))
      if (this.#batch === 0 || Buffer.compare(this.#meta, at.meta) !== 0) this.#database.putSync(metaKey, new Uint8Array(at.meta))
    })
    this.#batch = at.batch
    this.#rows = rows
    this.#meta = new Uint8Array(at.meta)
  }

  /** Keys are asked for in groups: between two blocks no cursor and no transaction of LMDB is open. */
  *blocks(from?: Uint8Array): Generator<RowBlock> {
    const walk = this.#applied
    const block = new RowBlock()
    let start = from === undefined ? firstBlockKey : this.#fences.below(from)
    let exclusiveStart = false
    let below = from // only the first block can hold keys below it
    for (;;) {
      const keys = [...this.#database.getKeys({ start, limit: fencesAheadMax, exclusiveStart })]
      for (const key of keys) {
        assert(this.#isOpen && walk === this.#applied, 'an apply or the end of the checkpoint ends a walk over its blocks')
        const value = this.#valueOf(key)
        block.target(value.length).set(value)
        yield block.read(value.length, this.#name, below)
        below = undefined
      }
      if (keys.length < fencesAheadMax) return
      start = keys.at(-1)!
      exclusiveStart = true
    }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    for (const { count, rows, bytes } of this.blocks(key)) {
      if (count === 0) continue
      const [keyAt, keyBytes, valueAt, valueBytes] = [rows[0]!, rows[1]!, rows[2]!, rows[3]!]
      const isFound = compareBytes(bytes, keyAt, keyBytes, key, 0, key.length) === 0
      return isFound ? bytes.slice(valueAt, valueAt + valueBytes) : undefined
    }
    return undefined
  }

  flush(): void {
    this.#file.sync()
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.#database.close()
    this.#file.close()
    this.#atClose()
  }

  // ── where blocks are ──

  find(bytes: Uint8Array, keyAt: number, keyBytes: number): BlockRange {
    return this.#fences.find(bytes, keyAt, keyBytes)
  }

  after(range: BlockRange): BlockRange {
    const { upper } = range
    assert(upper !== undefined, 'behind the last block there is no other')
    return this.#fences.find(upper, 0, upper.length)
  }

  load(range: BlockRange, into: WordBuffer): number {
    const value = this.#valueOf(prefixed(range.fence))
    into.reserve(value.length, 0)
    into.bytes.set(value)
    return value.length
  }

  put(fence: Uint8Array, block: Uint8Array): void {
    this.#database.putSync(prefixed(fence), block)
  }

  remove(range: BlockRange): void {
    this.#database.removeSync(prefixed(range.fence))
  }

  #valueOf(key: Uint8Array): Uint8Array {
    const value = this.#database.getBinaryFast(key)
    if (value === undefined) throw checkpointCorrupt(this.#name, 'a block is missing')
    // Its length is a property of its own: the engine still sees the whole buffer.
    return Uint8Array.prototype.subarray.call(value, 0, value.length)
  }

  #readState(): void {
    const found = this.#database.getBinaryFast(stateKey)
    if (found === undefined) return
    const view = new DataView(found.buffer, found.byteOffset, found.length)
    if (found.length !== stateBytes || view.getUint32(0, true) !== stateMagic || view.getUint32(4, true) !== format) {
      throw checkpointCorrupt(this.#name, 'it does not begin as checkpoints do')
    }
    this.#batch = view.getFloat64(8, true)
    this.#rows = view.getFloat64(16, true)
    // A copy: `slice` of a Buffer would be a view of what the next read overwrites.
    this.#meta = new Uint8Array(this.#valueOf(metaKey))
  }
}

function encodeState(batch: number, rows: number): Uint8Array {
  const bytes = new Uint8Array(stateBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, stateMagic, true)
  view.setUint32(4, format, true)
  view.setFloat64(8, batch, true)
  view.setFloat64(16, rows, true)
  return bytes
}

function prefixed(fence: Uint8Array): Uint8Array {
  const key = new Uint8Array(fence.length + 1)
  key[0] = blockPrefix
  key.set(fence, 1)
  return key
}

/**
 * The fences around the keys that are asked for, read ahead: a search of LMDB costs 3 µs, more than the search for the row. The
 * window grows while keys lie close together, and what is put or removed meanwhile lies behind the keys to come.
 */
class FenceWindow {
  readonly #database: BinaryDatabase
  #fences: Uint8Array[] = []
  /** The window ends with the last fence there is. */
  #isLast = false
  /** The fence of the range that was found last. */
  #place = 0
  #ahead = fencesAheadMin

  constructor(database: BinaryDatabase) {
    this.#database = database
  }

  forget(): void {
    this.#fences = []
    this.#isLast = false
  }

  /** The LMDB key of the block that may hold the key, or of the first one when there are no rows. */
  below(key: Uint8Array): Uint8Array {
    for (const found of this.#database.getKeys({ start: prefixed(key), limit: 1, reverse: true })) {
      if (found[0] === blockPrefix) return found
    }
    return firstBlockKey
  }

  find(bytes: Uint8Array, keyAt: number, keyBytes: number): BlockRange {
    const fences = this.#fences
    const isBehind = (fence: Uint8Array | undefined): boolean =>
      fence !== undefined && compareBytes(fence, 0, fence.length, bytes, keyAt, keyBytes) <= 0
    while (isBehind(fences[this.#place + 1])) this.#place += 1
    const isKnown = fences.length > 0 && (this.#place + 1 < fences.length || this.#isLast)
    if (isKnown) return this.#range()

    this.#ahead = this.#place * 2 >= this.#ahead ? Math.min(fencesAheadMax, this.#ahead * 2) : fencesAheadMin
    const start = this.below(bytes.subarray(keyAt, keyAt + keyBytes))
    const keys = [...this.#database.getKeys({ start, limit: this.#ahead })]
    this.#isLast = keys.length < this.#ahead
    this.#fences = keys.map((key) => key.subarray(1))
    this.#place = 0
    assert(this.#fences.length === 0 || isBehind(this.#fences[0]), 'K5: every key has a block to go to')
    return this.#range()
  }

  #range(): BlockRange {
    const fence = this.#fences[this.#place]
    return { fence: fence ?? new Uint8Array(0), upper: this.#fences[this.#place + 1], exists: fence !== undefined }
  }
}
