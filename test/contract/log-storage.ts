/** What every LogStorage promises. Run on the file system and in memory. */
import { describe, expect, test } from 'vitest'
import type { LogStorage } from '../../wal/index.js'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)

export function logStorageContract(name: string, open: () => LogStorage): void {
  describe(`${name} keeps the contract of a log storage`, () => {
    test('a new file is empty, has its name in the list, and cannot be created twice', () => {
      const storage = open()
      const file = storage.create('b.slog')
      storage.create('a.slog').close()
      expect(file.size()).toBe(0)
      expect(storage.list()).toEqual(['a.slog', 'b.slog'])
      expect(() => storage.create('b.slog')).toThrow(expect.objectContaining({ code: 'EEXIST' }))
      file.close()
    })

    test('parts are written one after the other at their place, and read back', async () => {
      const storage = open()
      const file = storage.create('a.slog')
      file.write([bytes('zero'), bytes(''), bytes('one')], 3)
      file.write([bytes('ZE')], 3)
      expect(file.size()).toBe(10)
      const target = new Uint8Array(7)
      expect(file.read(target, 3)).toBe(7)
      expect(text(target)).toBe('ZEroone')
      expect(await file.readAsync(target.fill(0), 3)).toBe(7)
      expect(text(target)).toBe('ZEroone')
      const gap = new Uint8Array(3).fill(9)
      file.read(gap, 0)
      expect([...gap]).toEqual([0, 0, 0])
      file.close()
    })

    test('a read beyond the end is short, and leaves the rest of the target alone', async () => {
      const file = open().create('a.slog')
      file.write([bytes('abc')], 0)
      const target = new Uint8Array(5).fill(7)
      expect(file.read(target, 1)).toBe(2)
      expect([...target]).toEqual([98, 99, 7, 7, 7])
      expect(file.read(target, 3)).toBe(0)
      expect(await file.readAsync(target, 100)).toBe(0)
      file.close()
    })

    test('bytes of shared memory are written as they are', () => {
      const file = open().create('a.slog')
      const shared = new Uint8Array(new SharedArrayBuffer(16)).fill(5)
      file.write([shared.subarray(4, 8), shared.subarray(0, 2)], 0)
      file.sync()
      const target = new Uint8Array(6)
      expect(file.read(target, 0)).toBe(6)
      expect([...target]).toEqual([5, 5, 5, 5, 5, 5])
      file.close()
    })

    test('what one handle wrote, another one reads at once', () => {
      const storage = open()
      const writer = storage.create('a.slog')
      const reader = storage.open('a.slog', 'read')
      writer.write([bytes('now')], 0)
      const target = new Uint8Array(3)
      expect(reader.read(target, 0)).toBe(3)
      expect(text(target)).toBe('now')
      writer.close()
      reader.close()
    })

    test('a removed file is gone from the list but stays readable for who has it open', () => {
      const storage = open()
      const file = storage.create('a.slog')
      file.write([bytes('abc')], 0)
      storage.remove('a.slog')
      storage.syncDirectory()
      expect(storage.list()).toEqual([])
      expect(() => storage.open('a.slog', 'read')).toThrow(expect.objectContaining({ code: 'ENOENT' }))
      const target = new Uint8Array(3)
      expect(file.read(target, 0)).toBe(3)
      file.close()
    })

    test('a file in the place of another one has its name; who has the other one open goes on reading it', () => {
      const storage = open()
      const old = storage.create('a.slog')
      old.write([bytes('old')], 0)
      const other = storage.create('b')
      other.write([bytes('newer')], 0)
      other.close()
      storage.replace('b', 'a.slog')
      storage.syncDirectory()
      expect(storage.list()).toEqual(['a.slog'])
      const target = new Uint8Array(5)
      expect(old.read(target, 0)).toBe(3)
      expect(text(target.subarray(0, 3))).toBe('old')
      old.close()
      const now = storage.open('a.slog', 'read')
      expect(now.read(target, 0)).toBe(5)
      expect(text(target)).toBe('newer')
      now.close()
      expect(() => storage.replace('b', 'a.slog')).toThrow(expect.objectContaining({ code: 'ENOENT' }))
      for (const [from, to] of [['../a', 'b'], ['a.slog', 'c/d']] as const) expect(() => storage.replace(from, to)).toThrow()
    })

    test('a handle for reading does not write, a closed one does nothing', () => {
      const storage = open()
      storage.create('a.slog').close()
      const reader = storage.open('a.slog', 'read')
      expect(() => reader.write([bytes('x')], 0)).toThrow(expect.objectContaining({ code: 'EBADF' }))
      reader.close()
      reader.close()
      expect(() => reader.read(new Uint8Array(1), 0)).toThrow()
    })

    test('names that are not ours are refused', () => {
      const storage = open()
      for (const name of ['../a', 'a/b', '', '.hidden', 'A', 'a\0b'])
        expect(() => storage.create(name)).toThrow('R66')
    })
  })
}
