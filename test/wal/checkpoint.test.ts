import { lstatSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { ChangeBuffer, FileLogStorage, LmdbCheckpointStore, MemoryLogStorage, PlainCheckpointStore, RowBlock } from '../../wal/index.js'
import { SluiceError } from '../../engine/base/errors.js'
import { randomOf, seeds } from '../support/random.js'
import { checkpointContract } from './checkpoint-contract.js'
import { bytesOf, contentOf, keyOf, removeTemporaryFolders, sortedOf, temporaryFolder } from './checkpoint-fixture.js'

afterEach(removeTemporaryFolders)

checkpointContract('LMDB', () => LmdbCheckpointStore.open(temporaryFolder()))
checkpointContract('a plain file', () => new PlainCheckpointStore(FileLogStorage.open(temporaryFolder())))
checkpointContract('a plain file in memory', () => new PlainCheckpointStore(new MemoryLogStorage({ crashable: true })))

describe('collected changes', () => {
  const listed = (buffer: ChangeBuffer): (readonly [string, string | undefined])[] => {
    const { places, buffer: { bytes, words } } = buffer.sorted()
    return [...places].map((at) => {
      const valueBytes = words[at >> 2]!
      const keyAt = at + 8 + (valueBytes < 0 ? 0 : (valueBytes + 7) & ~7)
      const key = keyOf(bytes.subarray(keyAt, keyAt + words[(at >> 2) + 1]!))
      return [key, valueBytes < 0 ? undefined : keyOf(bytes.subarray(at + 8, at + 8 + valueBytes))] as const
    })
  }

  test('come sorted byte by byte, and the last one of a key counts', () => {
    for (const seed of seeds(30)) {
      const random = randomOf(seed)
      const buffer = new ChangeBuffer()
      const model = new Map<string, string | undefined>()
      const alphabet = random.pick(['\0\x01', '\0a', 'ab', '\xfe\xff', 'abcdefgh'])
      const head = random.pick(['', 'shared/', '\0\0\0\0\0'])
      for (let index = 0, count = random.pick([3, 30, 3_000]); index < count; index += 1) {
        const tail = Array.from({ length: 1 + random.below(random.pick([3, 12])) }, () => random.pick([...alphabet])).join('')
        const key = random.chance(0.9) ? head + tail : tail
        const value = random.chance(0.3) ? undefined : `value ${index} `.repeat(random.below(12))
        if (value === undefined) buffer.delete(bytesOf(key))
        else buffer.put(bytesOf(key), bytesOf(value))
        model.set(key, value)
      }
      const expected = [...model].sort(([left], [right]) => (left < right ? -1 : 1))
      expect(listed(buffer), `seed ${seed}`).toEqual(expected)
      const slices = [...buffer.sorted().slices()]
      expect(slices.reduce((sum, slice) => sum + slice.count, 0), `seed ${seed}`).toBe(expected.length)
    }
  })

  test('are copied, also out of shared memory, with zeros behind them', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(64)).fill(0xaa)
    const buffer = new ChangeBuffer()
    buffer.putPart(shared, 3, 5, shared, 8, 11)
    buffer.clear()
    buffer.putPart(shared, 3, 1, shared, 8, 1)
    shared.fill(0)
    const { places, buffer: { bytes } } = buffer.sorted()
    expect([...bytes.subarray(places[0], places[0] + 24)]).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 0xaa, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0, 0, 0, 0, 0, 0, 0])
  })

  test('a slice is one step: a bounded number of changes and bytes', () => {
    const buffer = new ChangeBuffer()
    for (let index = 0; index < 5_000; index += 1) buffer.put(bytesOf(`key ${index}`), new Uint8Array(index % 100 === 0 ? 300_000 : 10))
    const slices = [...buffer.sorted().slices()]
    expect(slices.length).toBeGreaterThan(3)
    expect(Math.max(...slices.map((slice) => slice.count))).toBeLessThanOrEqual(2_048)
    expect([...new ChangeBuffer().sorted().slices()].map((slice) => slice.count)).toEqual([0])
  })
})

test('a block of arbitrary bytes is read inside of its bounds, or refused', () => {
  let refused = 0
  for (const seed of seeds(4)) {
    const random = randomOf(seed)
    for (let round = 0; round < 2_000; round += 1) {
      const length = random.pick([0, 4, 8, 16, 24, 64, 200])
      const block = new RowBlock()
      const target = block.target(length)
      for (let at = 0; at < length; at += 1) target[at] = random.chance(0.6) ? 0 : random.below(random.pick([3, 20, 256]))
      if (random.chance(0.8) && length >= 8) new DataView(target.buffer).setUint32(4, length, true)
      try {
        const { count, rows } = block.read(length, 'a')
        for (let row = 0; row < count; row += 1) {
          const [keyAt, keyBytes, valueAt, valueBytes] = rows.subarray(row * 4, row * 4 + 4)
          const isInside = valueAt >= 8 && valueBytes >= 0 && valueAt + valueBytes <= keyAt && keyAt + keyBytes <= length
          expect(isInside, `seed ${seed}, round ${round}`).toBe(true)
        }
      } catch (error) {
        if (!SluiceError.is(error, 'LOG_CORRUPT')) throw error
        refused += 1
      }
    }
  }
  expect(refused).toBeGreaterThan(1_000)
})

describe('files of LMDB', () => {
  test('are for their owner alone, and closing leaves no lock behind', async () => {
    const folder = temporaryFolder()
    const checkpoint = LmdbCheckpointStore.open(folder).open('a', 'write')
    checkpoint.apply(sortedOf([['key', Uint8Array.of(1)]]), { batch: 1, meta: new Uint8Array(0) })
    expect(readdirSync(folder)).toEqual(['a.mdb', 'a.mdb-lock'])
    for (const name of ['', 'a.mdb', 'a.mdb-lock']) expect(statSync(join(folder, name)).mode & 0o077, name).toBe(0)
    await checkpoint.close()
    expect(readdirSync(folder)).toEqual(['a.mdb'])
  })

  test('are never links, and a lock of an earlier life is noise', async () => {
    const folder = temporaryFolder()
    mkdirSync(folder, { recursive: true })
    const outside = join(dirname(folder), 'outside.mdb')
    writeFileSync(outside, '')
    symlinkSync(outside, join(folder, 'a.mdb'))
    const store = LmdbCheckpointStore.open(folder)
    expect(() => store.open('a', 'write')).toThrow(expect.objectContaining({ code: 'ELOOP' }))
    expect(statSync(outside).size).toBe(0)

    symlinkSync(outside, join(folder, 'b.mdb-lock'))
    const checkpoint = store.open('b', 'write')
    expect(lstatSync(join(folder, 'b.mdb-lock')).isSymbolicLink()).toBe(false)
    expect(contentOf(checkpoint)).toEqual([])
    await checkpoint.close()
    writeFileSync(join(folder, 'b.mdb-lock'), Buffer.alloc(8_192, 0xff))
    await store.open('b', 'write').close()
    expect(statSync(outside).size).toBe(0)
  })
})
