/**
 * Two environments in turn. The history is a function: batch b makes known changes, so what an environment must hold is known from
 * its batch alone.
 */
import { crc32 } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { SluiceError } from '../../engine/base/errors.js'
import { ChangeBuffer, CheckpointSet, FileLogStorage, LmdbCheckpointStore, MemoryLogStorage, PlainCheckpointStore } from '../../wal/index.js'
import type { CheckpointFinished, CheckpointStore, LogStorage, StorageFault } from '../../wal/index.js'
import { decodeManifest, encodeManifest, encodeUnderWay, manifestBytes, readManifest } from '../../wal/checkpoint-manifest.js'
import { randomOf, seeds } from '../support/random.js'
import { applyToModel, bytesOf, differenceOf, removeTemporaryFolders, temporaryFolder, type Changes, type Model } from './checkpoint-fixture.js'

afterEach(removeTemporaryFolders)

const databaseId = new Uint8Array(16).fill(7)
const meta = Uint8Array.of(4, 2)

function changesOf(batch: number): Changes {
  const random = randomOf(batch)
  return Array.from({ length: 30 }, () => {
    const key = `row/${random.below(120)}`
    return [key, random.chance(0.3) ? undefined : new Uint8Array(100 + random.below(300)).fill(batch)] as const
  })
}

function modelAt(batch: number): Model {
  const model: Model = new Map()
  for (let one = 1; one <= batch; one += 1) applyToModel(model, changesOf(one))
  return model
}

function changesBetween(from: number, to: number): ChangeBuffer {
  const buffer = new ChangeBuffer()
  for (let batch = from + 1; batch <= to; batch += 1) {
    for (const [key, value] of changesOf(batch)) {
      if (value === undefined) buffer.delete(bytesOf(key))
      else buffer.put(bytesOf(key), value)
    }
  }
  return buffer
}

async function bringForward(set: CheckpointSet, to: number): Promise<CheckpointFinished> {
  const run = set.begin()
  try {
    for (const _ of run.steps(changesBetween(run.checkpoint.batch, to).sorted(), { batch: to, meta })) void _
    return await run.finish()
  } catch (error) {
    await run.abandon().catch(() => undefined)
    throw error
  }
}

/** Opens everything that says it is whole, and compares it with what its batch must hold. Answers the batches, newest first. */
async function wholeBatches(store: CheckpointStore): Promise<number[]> {
  const set = CheckpointSet.open(store, { databaseId })
  const batches: number[] = []
  for (const { name, batch, rows } of set.candidates()) {
    if (!set.verify(name)) continue
    const checkpoint = set.read(name)
    expect([checkpoint.batch, checkpoint.rows, [...checkpoint.meta]]).toEqual([batch, rows, [...meta]])
    expect(differenceOf(checkpoint, modelAt(batch))).toBe(undefined)
    await checkpoint.close()
    batches.push(batch)
  }
  return batches
}

const stores: readonly (readonly [string, () => CheckpointStore])[] = [
  ['LMDB', () => LmdbCheckpointStore.open(temporaryFolder())],
  ['plain files', () => new PlainCheckpointStore(FileLogStorage.open(temporaryFolder()))],
  ['plain files in memory', () => new PlainCheckpointStore(new MemoryLogStorage({ crashable: true }))],
]

describe.each(stores)('two environments of %s', (_, openStore) => {
  test('are brought forward in turn, and the newest comes first', async () => {
    const store = openStore()
    const set = CheckpointSet.open(store, { databaseId })
    expect([set.candidates(), set.olderBatch()]).toEqual([[], 0])
    const finished: string[] = []
    for (const batch of [3, 5, 9, 10]) {
      const { name, sequence } = await bringForward(set, batch)
      finished.push(`${name}${sequence} ${set.olderBatch()}`)
    }
    expect(finished).toEqual(['a1 0', 'b2 3', 'a3 5', 'b4 9'])
    expect(await wholeBatches(store)).toEqual([10, 9])
  })

  test('a run that is abandoned costs its environment, and the next one copies the other over it', async () => {
    const store = openStore()
    const set = CheckpointSet.open(store, { databaseId })
    await bringForward(set, 2)
    await bringForward(set, 4)
    const run = set.begin()
    expect([run.name, run.checkpoint.batch, set.olderBatch()]).toEqual(['a', 2, 0])
    for (const _ of run.steps(changesBetween(2, 6).sorted(), { batch: 6, meta })) void _
    await run.abandon()
    expect([set.others(), await wholeBatches(store)]).toEqual([[{ name: 'a', why: 'it was being brought forward' }], [4]])

    const again = CheckpointSet.open(store, { databaseId })
    const next = again.begin()
    expect([next.name, next.checkpoint.batch]).toEqual(['a', 4])
    for (const _ of next.steps(changesBetween(4, 7).sorted(), { batch: 7, meta })) void _
    await next.finish()
    expect([again.olderBatch(), await wholeBatches(store)]).toEqual([4, [7, 4]])
  })

  test('work that is asked to stop leaves the other one whole, at every chance to stop', async () => {
    const store = openStore()
    const set = CheckpointSet.open(store, { databaseId })
    await bringForward(set, 2)
    await bringForward(set, 4)
    let asked = 0
    const stopped = async (): Promise<unknown> => {
      const run = set.begin()
      return run.finish({ shouldStop: () => ++asked > 0 })
    }
    // A file shorter than a chunk is read in one piece, with a chance behind it only if it fills the chunk.
    await stopped().catch((error: unknown) => expect(SluiceError.is(error, 'CANCELLED')).toBe(true))
    expect((await wholeBatches(store))[0]).toBe(4)
    await bringForward(set, 5)
    expect((await wholeBatches(store))[0]).toBe(5)
  })

  test('the log stays whole until both were proved in this life', async () => {
    const store = openStore()
    const before = CheckpointSet.open(store, { databaseId })
    await bringForward(before, 2)
    await bringForward(before, 4)
    const set = CheckpointSet.open(store, { databaseId })
    expect(set.olderBatch()).toBe(0)
    expect(set.verify('b')).toBe(true)
    expect(set.olderBatch()).toBe(0)
    await bringForward(set, 6)
    expect(set.olderBatch()).toBe(4)
  })

  test('one that is damaged before its turn is not opened: the newest is copied over it', async () => {
    const store = openStore()
    const before = CheckpointSet.open(store, { databaseId })
    await bringForward(before, 2)
    await bringForward(before, 4)
    damage(store.storage, store.fileOf('a')!, 100, 0x10)
    const run = CheckpointSet.open(store, { databaseId }).begin()
    expect([run.name, run.checkpoint.batch]).toEqual(['a', 4])
    await run.finish()
    expect(await wholeBatches(store)).toEqual([4, 4])
  })

  test('with nothing whole a run begins with nothing, and harms only one of them', async () => {
    const store = openStore()
    const before = CheckpointSet.open(store, { databaseId })
    await bringForward(before, 2)
    await bringForward(before, 4)
    for (const name of ['a', 'b']) damage(store.storage, store.fileOf(name)!, 50, 0x01)
    const set = CheckpointSet.open(store, { databaseId })
    const run = set.begin()
    expect([run.checkpoint.batch, run.checkpoint.rows]).toEqual([0, 0])
    await run.abandon()
    expect(store.fileOf(run.name === 'a' ? 'b' : 'a')).not.toBe(undefined)
    await bringForward(set, 5)
    expect(await wholeBatches(store)).toEqual([5])
  })

  test('a copy of one is a set of its own', async () => {
    const store = openStore()
    const set = CheckpointSet.open(store, { databaseId })
    await bringForward(set, 2)
    await bringForward(set, 4)
    const target = openStore()
    expect(set.copyTo(target.storage, 'b')).toBe(true)
    expect(await wholeBatches(target)).toEqual([4])
    damage(store.storage, store.fileOf('a')!, 64, 0x80)
    const other = openStore()
    expect([set.copyTo(other.storage, 'a'), await wholeBatches(other), other.storage.list()]).toEqual([false, [], []])
  })

  test('files of another database are refused and left alone', async () => {
    const store = openStore()
    await bringForward(CheckpointSet.open(store, { databaseId }), 2)
    const before = imageOf(store.storage)
    const open = (): unknown => CheckpointSet.open(store, { databaseId: new Uint8Array(16).fill(8) })
    expect(open).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT', details: { checkpoint: 'a', why: 'it belongs to another database' } }))
    expect(imageOf(store.storage)).toEqual(before)
    expect(CheckpointSet.open(store).databaseId).toEqual(databaseId)
  })
})

describe('every operation of the disk', () => {
  const batches = [2, 5, 6]

  test('comes in its order: under way, then changes, then the folder, then whole', async () => {
    const done: string[] = []
    const disk = new MemoryLogStorage({ onOperation: ({ kind, name }) => void (kind === 'read' || done.push(`${kind} ${name}`.trim())) })
    const set = CheckpointSet.open(new PlainCheckpointStore(disk), { databaseId })
    await bringForward(set, 2)
    await bringForward(set, 4)
    done.length = 0
    await bringForward(set, 6)
    const changed = done.map((operation, index) => (operation.includes('.plain') ? index : -1)).filter((index) => index >= 0)
    expect(done.slice(0, 2)).toEqual(['write a.manifest', 'sync a.manifest'])
    expect(changed[0]).toBe(2)
    expect(done.slice(changed.at(-1)! + 1)).toEqual(['sync-directory', 'write a.manifest', 'sync a.manifest'])
  })

  test('of a copy is done when it says so: it survives a power cut', async () => {
    const set = CheckpointSet.open(new PlainCheckpointStore(new MemoryLogStorage()), { databaseId })
    await bringForward(set, 3)
    const target = new MemoryLogStorage({ crashable: true })
    expect(set.copyTo(target, 'a')).toBe(true)
    expect(await wholeBatches(new PlainCheckpointStore(target.crash(() => false, {})))).toEqual([3])
  })

  /** Runs the history until something throws. Answers the batches that were acknowledged. */
  async function acknowledged(disk: MemoryLogStorage): Promise<number[]> {
    const done: number[] = []
    try {
      const set = CheckpointSet.open(new PlainCheckpointStore(disk), { databaseId })
      for (const batch of batches) {
        await bringForward(set, batch)
        done.push(batch)
      }
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'EIO') throw error
    }
    return done
  }

  async function operationsOf(): Promise<number> {
    const disk = new MemoryLogStorage({ crashable: true })
    expect(await acknowledged(disk)).toEqual(batches)
    return disk.operations
  }

  test('may be the last one before a power cut: what was finished is there, exactly', { timeout: 120_000 }, async () => {
    const total = await operationsOf()
    for (const seed of seeds(3)) {
      const random = randomOf(seed)
      for (let last = 0; last < total; last += 1) {
        const disk = new MemoryLogStorage({ crashable: true, onOperation: ({ index }) => (index >= last ? { code: 'EIO' } : undefined) })
        const done = await acknowledged(disk)
        const keeping = random.fraction()
        const after = disk.crash(() => random.chance(keeping), {})
        const store = new PlainCheckpointStore(after)
        const found = await wholeBatches(store)
        const label = `seed ${seed}, operation ${last}, acknowledged ${done.join()}, found ${found.join()}`
        if (done.length > 0) expect(found[0], label).toBeGreaterThanOrEqual(done.at(-1)!)
        await bringForward(CheckpointSet.open(store, { databaseId }), 8)
        expect((await wholeBatches(store))[0], label).toBe(8)
      }
    }
  })

  test('may fail once: the run is lost, and the next one in the same life is right', { timeout: 120_000 }, async () => {
    const total = await operationsOf()
    for (const code of ['EIO', 'ENOSPC'] as const) {
      for (let failing = 0; failing < total; failing += 1) {
        const fault = ({ index }: { index: number }): StorageFault | undefined => (index === failing ? { code, writtenBytes: 100 } : undefined)
        const disk = new MemoryLogStorage({ crashable: true, onOperation: fault })
        const set = openedAgain(() => CheckpointSet.open(new PlainCheckpointStore(disk), { databaseId }))
        let newest = 0
        for (const batch of batches) {
          await bringForward(set, batch).then(() => (newest = batch), (error: unknown) => expect(error).toMatchObject({ code }))
          const label = `${code} at operation ${failing}, batch ${batch}`
          const afterCrash = await wholeBatches(new PlainCheckpointStore(disk.crash(() => false, {})))
          expect(afterCrash[0] ?? 0, label).toBeGreaterThanOrEqual(newest)
          const older = set.olderBatch()
          if (older > 0) expect(afterCrash.length === 2 && Math.min(...afterCrash) >= older, label).toBe(true)
        }
        await bringForward(set, 8).catch(() => bringForward(set, 8))
        expect((await wholeBatches(new PlainCheckpointStore(disk.crash(() => false, {}))))[0]).toBe(8)
      }
    }
  })

  function openedAgain<T>(open: () => T): T {
    try {
      return open()
    } catch {
      return open()
    }
  }
})

describe('damage', () => {
  const damages = [(byte: number) => byte ^ (1 << (byte & 7)), () => 0x00, () => 0xff]

  test('to any byte of a file of LMDB is found before LMDB sees it, and the other one serves', { timeout: 120_000 }, async () => {
    const folder = temporaryFolder()
    const written = CheckpointSet.open(LmdbCheckpointStore.open(folder), { databaseId })
    await bringForward(written, 2)
    await bringForward(written, 4)
    const memory = copied(FileLogStorage.open(folder))
    const store: CheckpointStore = {
      kind: 'lmdb',
      storage: memory,
      fileOf: (name) => `${name}.mdb`,
      newFileOf: (name) => `${name}.mdb`,
      open: () => expect.unreachable('LMDB was shown damaged bytes'),
      remove: () => expect.unreachable('nothing is removed by looking'),
    }
    expect(CheckpointSet.open(store, { databaseId }).verify('a')).toBe(true)
    // The smaller one: it was written by fewer transactions.
    const bytes = memory.bytesOf('a.mdb')
    let cases = 0
    for (let at = 0; at < bytes.length; at += 1) {
      for (const [way, wrong] of damages.entries()) {
        const right = bytes[at]!
        if (wrong(right) === right) continue
        bytes[at] = wrong(right)
        const set = CheckpointSet.open(store, { databaseId })
        if (set.verify('a') || set.candidates().map(({ name }) => name).join() !== 'b') expect.fail(`byte ${at}, damage ${way} was not found`)
        bytes[at] = right
        cases += 1
      }
    }
    expect(cases).toBeGreaterThan(bytes.length * 2)
    damage(memory, 'b.mdb', 5_000, 0x40)
    expect(() => CheckpointSet.open(store, { databaseId }).read('b')).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
  })

  test('to the length of a file is found', async () => {
    const disk = new MemoryLogStorage()
    const store = new PlainCheckpointStore(disk)
    await bringForward(CheckpointSet.open(store, { databaseId }), 3)
    const file = store.fileOf('a')!
    const whole = disk.bytesOf(file).slice()
    for (const length of [0, 1, whole.length - 8, whole.length - 1]) {
      const other = new MemoryLogStorage()
      fill(other, 'a.manifest', disk.bytesOf('a.manifest'))
      fill(other, file, whole.subarray(0, length))
      expect(await wholeBatches(new PlainCheckpointStore(other)), `${length} bytes`).toEqual([])
    }
    disk.open(file, 'write').write([new Uint8Array(1)], whole.length)
    expect(await wholeBatches(store)).toEqual([])
  })

  test('to any byte of a manifest makes its environment none, and the other one serves', async () => {
    const disk = new MemoryLogStorage()
    const store = new PlainCheckpointStore(disk)
    const set = CheckpointSet.open(store, { databaseId })
    await bringForward(set, 2)
    await bringForward(set, 4)
    const bytes = disk.bytesOf('b.manifest')
    expect(bytes.length).toBe(manifestBytes)
    for (let at = 0; at < bytes.length; at += 1) {
      for (const wrong of damages) {
        const right = bytes[at]!
        if (wrong(right) === right) continue
        bytes[at] = wrong(right)
        expect(readManifest(disk, 'b').state, `byte ${at}`).toBe('damaged')
        expect(CheckpointSet.open(store, { databaseId }).candidates().map(({ name }) => name)).toEqual(['a'])
        bytes[at] = right
      }
    }
    disk.open('b.manifest', 'write').write([new Uint8Array(1)], manifestBytes)
    expect(readManifest(disk, 'b').state).toBe('damaged')
    expect(await wholeBatches(store)).toEqual([2])
  })

  test('the manifest of another environment does not make a file whole', async () => {
    const disk = new MemoryLogStorage()
    const store = new PlainCheckpointStore(disk)
    const set = CheckpointSet.open(store, { databaseId })
    await bringForward(set, 2)
    await bringForward(set, 4)
    disk.open('a.manifest', 'write').write([disk.bytesOf('b.manifest').slice()], 0)
    expect(await wholeBatches(store)).toEqual([4])
  })
})

describe('a manifest', () => {
  const manifest = { kind: 'lmdb', databaseId, sequence: 3, batch: 2 ** 40, rows: 5, fileBytes: 8_192, fileCrc: 0xdead_beef } as const

  test('is read as it was written', () => {
    expect(decodeManifest(encodeManifest(manifest))).toEqual({ state: 'whole', manifest })
    expect(decodeManifest(encodeUnderWay('plain', databaseId))).toEqual({ state: 'under way', databaseId })
    expect(decodeManifest(new Uint8Array(0))).toEqual({ state: 'missing' })
  })

  test('is these bytes, in every version to come', () => {
    const bytes = encodeManifest(manifest)
    expect(Buffer.from(bytes.subarray(0, 64)).toString('hex')).toBe(
      '534c43310100010107070707070707070707070707070707' + '0000000000000840' + '0000000000007042' + '0000000000001440' + '000000000000c040' + 'efbeadde' + '00000000',
    )
    expect(new DataView(bytes.buffer).getUint32(508, true)).toBe(crc32(bytes.subarray(0, 508)))
  })

  test('of a newer format is refused politely, whatever else is in it, and nothing is changed', () => {
    const disk = new MemoryLogStorage()
    const bytes = encodeManifest(manifest)
    new DataView(bytes.buffer).setUint16(4, 2, true)
    bytes.fill(0x55, 6, 508)
    new DataView(bytes.buffer).setUint32(508, crc32(bytes.subarray(0, 508)), true)
    fill(disk, 'b.manifest', bytes)
    const before = imageOf(disk)
    expect(() => CheckpointSet.open(new PlainCheckpointStore(disk), { databaseId })).toThrow(
      expect.objectContaining({ code: 'INVALID_USE', details: { format: 2, supported: 1 }, message: expect.stringMatching(/newer sluicedb.*upgrade/) }),
    )
    expect(imageOf(disk)).toEqual(before)
  })

  test('of arbitrary bytes is damaged or missing, whatever they are', () => {
    for (const seed of seeds(4)) {
      const random = randomOf(seed)
      for (let round = 0; round < 500; round += 1) {
        const bytes = encodeManifest(manifest).slice(0, random.pick([manifestBytes, manifestBytes, random.below(manifestBytes)]))
        for (let count = 1 + random.below(20); count > 0 && bytes.length > 0; count -= 1) bytes[random.below(bytes.length)]! ^= 1 + random.below(255)
        const { state } = decodeManifest(bytes)
        // Two changes may undo each other.
        if (Buffer.compare(bytes, encodeManifest(manifest)) !== 0) expect(['damaged', 'missing'], `seed ${seed}, round ${round}`).toContain(state)
      }
    }
  })
})

function fill(storage: LogStorage, name: string, bytes: Uint8Array): void {
  const file = storage.create(name)
  file.write([bytes.slice()], 0)
  file.close()
}

function damage(storage: LogStorage, name: string, at: number, mask: number): void {
  const file = storage.open(name, 'write')
  const byte = new Uint8Array(1)
  file.read(byte, at)
  file.write([Uint8Array.of(byte[0]! ^ mask)], at)
  file.close()
}

function imageOf(storage: LogStorage): Map<string, number> {
  return new Map(storage.list().map((name) => [name, crc32(contentsOf(storage, name))]))
}

function contentsOf(storage: LogStorage, name: string): Uint8Array {
  const file = storage.open(name, 'read')
  const bytes = new Uint8Array(file.size())
  file.read(bytes, 0)
  file.close()
  return bytes
}

function copied(storage: LogStorage): MemoryLogStorage {
  const memory = new MemoryLogStorage()
  for (const name of storage.list()) fill(memory, name, contentsOf(storage, name))
  return memory
}
