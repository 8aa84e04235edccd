/**
 * Checkpoints without LMDB: one sorted file each, over any storage. For the simulator and for tests, which crash and damage it.
 *
 *    header    u32 magic "SLP1", u32 format, f64 batch, u32 bytes of meta, u32 zero, meta, zeros to a multiple of 8
 *    blocks    u32 bytes of the fence, u32 zero, fence, zeros to a multiple of 8, block (checkpoint-blocks.ts)
 *    footer    u32 magic "SLPE", u32 blocks, f64 rows, f64 bytes of the file, u32 crc32 of header and blocks, u32 crc32 of the 28 bytes before
 *
 * Every `apply` writes a new file, `<name>-<generation>.plain`, and syncs it before the one before it goes. The file of the highest
 * generation is the one that counts; bytes after a crash may say otherwise, which the manifest of the set finds.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../engine/base/assert.js'
import {
  checkpointCorrupt,
  checkpointKeyBytesMax,
  compareBytes,
  compareKeys,
  RowBlock,
  roundedUp,
  type WordBuffer,
} from './checkpoint-blocks.js'
import { ChangeBuffer, type SortedChanges } from './checkpoint-changes.js'
import { Merge, type BlockMap, type BlockRange } from './checkpoint-merge.js'
import type { Checkpoint, CheckpointAt, CheckpointStore } from './checkpoint.js'
import type { LogFile, LogStorage } from './storage.js'

const format = 1
const headMagic = 0x3150_4c53
const footMagic = 0x4550_4c53
const headBytes = 24
const footBytes = 32
const placeBytes = 8
const generationPattern = /^(.+)-(\d{10})\.plain$/
const writeBufferBytes = 64 * 1_024

export class PlainCheckpointStore implements CheckpointStore {
  readonly kind = 'plain'
  readonly storage: LogStorage

  constructor(storage: LogStorage) {
    this.storage = storage
  }

  fileOf(name: string): string | undefined {
    return filesOf(this.storage, name).at(-1)
  }

  newFileOf(name: string): string {
    return plainName(name, 1)
  }

  open(name: string, access: 'read' | 'write'): Checkpoint {
    const fileName = this.fileOf(name)
    assert(fileName !== undefined || access === 'write', 'only an environment that exists is read')
    return new PlainCheckpoint(this.storage, name, access, fileName)
  }

  remove(name: string): void {
    for (const fileName of filesOf(this.storage, name)) this.storage.remove(fileName)
  }
}

function plainName(name: string, generation: number): string {
  return `${name}-${String(generation).padStart(10, '0')}.plain`
}

/** Ascending. */
function filesOf(storage: LogStorage, name: string): string[] {
  return storage.list().filter((file) => generationPattern.exec(file)?.[1] === name)
}

function generationOf(fileName: string): number {
  return Number(generationPattern.exec(fileName)![2])
}

interface BlockAt {
  readonly fence: Uint8Array
  readonly at: number
  readonly bytes: number
}

/** What a file holds. Blocks are read when they are asked for. */
interface PlainImage {
  readonly file: LogFile
  readonly batch: number
  readonly rows: number
  readonly meta: Uint8Array
  readonly blocks: readonly BlockAt[]
}

class PlainCheckpoint implements Checkpoint {
  readonly #storage: LogStorage
  readonly #name: string
  readonly #access: 'read' | 'write'
  #image: PlainImage | undefined
  #generation = 0
  #isOpen = true

  constructor(storage: LogStorage, name: string, access: 'read' | 'write', fileName: string | undefined) {
    this.#storage = storage
    this.#name = name
    this.#access = access
    if (fileName === undefined) return
    this.#image = readImage(storage.open(fileName, 'read'), name)
    this.#generation = generationOf(fileName)
  }

  get batch(): number {
    return this.#image?.batch ?? 0
  }
  get meta(): Uint8Array {
    return this.#image?.meta ?? new Uint8Array(0)
  }
  get rows(): number {
    return this.#image?.rows ?? 0
  }

  apply(changes: SortedChanges, at: CheckpointAt): void {
    assert(this.#isOpen && this.#access === 'write', 'only a checkpoint that is open for writing takes changes')
    assert(at.batch >= this.batch, 'a checkpoint goes forward')
    const fileName = plainName(this.#name, this.#generation + 1)
    const file = this.#storage.create(fileName)
    const before = this.#image
    let after: PlainImage
    try {
      const writer = new PlainWriter(file, before, this.#name, at)
      const rows = this.rows + new Merge(writer).apply(changes)
      after = writer.finish(rows)
      file.sync()
      this.#storage.syncDirectory()
    } catch (error) {
      file.close()
      this.#removeQuietly(fileName)
      throw error
    }
    this.#image = after
    this.#generation += 1
    before?.file.close()
    if (before !== undefined) this.#storage.remove(before.file.name)
  }

  *blocks(from?: Uint8Array): Generator<RowBlock> {
    const image = this.#image
    if (image === undefined) return
    const block = new RowBlock()
    const first = from === undefined ? 0 : Math.max(0, placeOf(image.blocks, from, 0, from.length))
    for (let place = first; place < image.blocks.length; place += 1) {
      assert(this.#isOpen && image === this.#image, 'an apply or the end of the checkpoint ends a walk over its blocks')
      const { at, bytes } = image.blocks[place]!
      readWhole(image.file, block.target(bytes), at, this.#name)
      // Only the first block can hold keys below it.
      yield block.read(bytes, this.#name, place === first ? from : undefined)
    }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    for (const { count, rows, bytes } of this.blocks(key)) {
      if (count === 0) continue
      const isFound = compareBytes(bytes, rows[0]!, rows[1]!, key, 0, key.length) === 0
      return isFound ? bytes.slice(rows[2]!, rows[2]! + rows[3]!) : undefined
    }
    return undefined
  }

  /** Every `apply` is on disk already; an environment without one gets its file here, so that there is something to prove. */
  flush(): void {
    assert(this.#isOpen, 'a closed checkpoint is not flushed')
    if (this.#image === undefined && this.#access === 'write') this.apply(new ChangeBuffer().sorted(), { batch: 0, meta: this.meta })
  }

  async close(): Promise<void> {
    this.#isOpen = false
    this.#image?.file.close()
  }

  /** What could not be written stays behind as a generation that nobody finishes; the error of writing is the one to tell. */
  #removeQuietly(fileName: string): void {
    try {
      this.#storage.remove(fileName)
    } catch {
      // The manifest is invalid, and the next run removes all generations.
    }
  }
}

/** The last block whose fence is not above the key; -1 when there are no rows (K5). */
function placeOf(blocks: readonly BlockAt[], bytes: Uint8Array, keyAt: number, keyBytes: number): number {
  let [low, high] = [0, blocks.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const { fence } = blocks[middle]!
    if (compareBytes(fence, 0, fence.length, bytes, keyAt, keyBytes) <= 0) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Writes the next file while blocks of the one before it are merged: what lies between two touched ranges is copied as it is. */
class PlainWriter implements BlockMap {
  readonly #file: LogFile
  readonly #before: PlainImage | undefined
  readonly #name: string
  readonly #at: CheckpointAt
  readonly #blocks: BlockAt[] = []
  readonly #buffer = new Uint8Array(writeBufferBytes)
  #buffered = 0
  #written = 0
  #crc = 0
  /** Blocks of the file before that were copied, put anew or left out. */
  #done = 0

  constructor(file: LogFile, before: PlainImage | undefined, name: string, at: CheckpointAt) {
    this.#file = file
    this.#before = before
    this.#name = name
    this.#at = { batch: at.batch, meta: new Uint8Array(at.meta) }
    this.#write(encodeHead(this.#at))
  }

  find(bytes: Uint8Array, keyAt: number, keyBytes: number): BlockRange {
    const blocks = this.#before?.blocks ?? []
    const place = placeOf(blocks, bytes, keyAt, keyBytes)
    assert(place >= 0 || blocks.length === 0, 'K5: every key has a block to go to')
    this.#copyUpTo(place)
    this.#done = place + 1
    return { fence: blocks[place]?.fence ?? new Uint8Array(0), upper: blocks[place + 1]?.fence, exists: place >= 0 }
  }

  after({ upper }: BlockRange): BlockRange {
    assert(upper !== undefined, 'behind the last block there is no other')
    return this.find(upper, 0, upper.length)
  }

  load({ fence }: BlockRange, into: WordBuffer): number {
    const { file, blocks } = this.#before!
    const { at, bytes } = blocks[placeOf(blocks, fence, 0, fence.length)]!
    into.reserve(bytes, 0)
    readWhole(file, into.bytes.subarray(0, bytes), at, this.#name)
    return bytes
  }

  put(fence: Uint8Array, block: Uint8Array): void {
    const head = new Uint8Array(placeBytes + roundedUp(fence.length))
    new DataView(head.buffer).setUint32(0, fence.length, true)
    head.set(fence, placeBytes)
    this.#write(head)
    this.#blocks.push({ fence: fence.slice(), at: this.#written + this.#buffered, bytes: block.length })
    this.#write(block)
  }

  /** A block that was found is in the new file only if it is put. */
  remove(): void {}

  finish(rows: number): PlainImage {
    this.#copyUpTo(this.#before?.blocks.length ?? 0)
    const footer = new Uint8Array(footBytes)
    const view = new DataView(footer.buffer)
    view.setUint32(0, footMagic, true)
    view.setUint32(4, this.#blocks.length, true)
    view.setFloat64(8, rows, true)
    view.setFloat64(16, this.#written + this.#buffered + footBytes, true)
    view.setUint32(24, this.#crc, true)
    view.setUint32(28, crc32(footer.subarray(0, 28)), true)
    this.#write(footer)
    this.#flush()
    return { file: this.#file, batch: this.#at.batch, meta: this.#at.meta, rows, blocks: this.#blocks }
  }

  #copyUpTo(end: number): void {
    const before = this.#before
    if (before === undefined) return
    for (; this.#done < end; this.#done += 1) {
      const { fence, at, bytes } = before.blocks[this.#done]!
      const block = new Uint8Array(bytes)
      readWhole(before.file, block, at, this.#name)
      this.put(fence, block)
    }
  }

  #write(bytes: Uint8Array): void {
    this.#crc = crc32(bytes, this.#crc)
    if (this.#buffered + bytes.length > this.#buffer.length) this.#flush()
    if (bytes.length > this.#buffer.length) {
      this.#file.write([bytes], this.#written)
      this.#written += bytes.length
    } else {
      this.#buffer.set(bytes, this.#buffered)
      this.#buffered += bytes.length
    }
  }

  #flush(): void {
    if (this.#buffered === 0) return
    this.#file.write([this.#buffer.slice(0, this.#buffered)], this.#written)
    this.#written += this.#buffered
    this.#buffered = 0
  }
}

function encodeHead({ batch, meta }: CheckpointAt): Uint8Array {
  const bytes = new Uint8Array(headBytes + roundedUp(meta.length))
  const view = new DataView(bytes.buffer)
  view.setUint32(0, headMagic, true)
  view.setUint32(4, format, true)
  view.setFloat64(8, batch, true)
  view.setUint32(16, meta.length, true)
  bytes.set(meta, headBytes)
  return bytes
}

/** Reads all of the file once: it is small, and whoever opened it wants to know whether it is whole. */
function readImage(file: LogFile, name: string): PlainImage {
  const bytes = new Uint8Array(file.size())
  try {
    readWhole(file, bytes, 0, name)
    return { file, ...decodeImage(bytes, name) }
  } catch (error) {
    file.close()
    throw error
  }
}

function decodeImage(bytes: Uint8Array, name: string): Omit<PlainImage, 'file'> {
  const wrong = (why: string): never => {
    throw checkpointCorrupt(name, why)
  }
  if (bytes.length < headBytes + footBytes || bytes.length % 8 !== 0) wrong('it is shorter than the shortest one')
  const view = new DataView(bytes.buffer)
  const end = bytes.length - footBytes
  if (view.getUint32(end + 28, true) !== crc32(bytes.subarray(end, end + 28))) wrong('it has no end')
  if (view.getUint32(end + 24, true) !== crc32(bytes.subarray(0, end))) wrong('its checksum is wrong')
  const isOurs = view.getUint32(0, true) === headMagic && view.getUint32(4, true) === format && view.getUint32(end, true) === footMagic
  if (!isOurs || view.getFloat64(end + 16, true) !== bytes.length) wrong('it does not begin or end as checkpoints do')

  const metaBytes = view.getUint32(16, true)
  let at = headBytes + roundedUp(metaBytes)
  if (metaBytes > end || at > end) wrong('its meta data ends outside of it')
  const blocks: BlockAt[] = []
  while (at < end) {
    const fenceBytes = view.getUint32(at, true)
    const blockAt = at + placeBytes + roundedUp(fenceBytes)
    if (fenceBytes > checkpointKeyBytesMax || blockAt + 8 > end) wrong('a fence ends outside of it')
    const fence = bytes.slice(at + placeBytes, at + placeBytes + fenceBytes)
    const blockBytes = view.getUint32(blockAt + 4, true)
    const isAscending = blocks.length === 0 ? fenceBytes === 0 : compareKeys(blocks.at(-1)!.fence, fence) < 0
    if (blockBytes < 8 || blockBytes > end - blockAt || !isAscending) wrong('a block ends outside of it or is out of order')
    blocks.push({ fence, at: blockAt, bytes: blockBytes })
    at = blockAt + blockBytes
  }
  if (at !== end || blocks.length !== view.getUint32(end + 4, true)) wrong('it has another number of blocks than it says')
  return { batch: view.getFloat64(8, true), rows: view.getFloat64(end + 8, true), meta: bytes.slice(headBytes, headBytes + metaBytes), blocks }
}

function readWhole(file: LogFile, target: Uint8Array, at: number, name: string): void {
  if (file.read(target, at) < target.length) throw checkpointCorrupt(name, 'it is shorter than it says')
}
