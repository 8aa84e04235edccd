import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { FileLogStorage, MemoryLogStorage } from '../../wal/index.js'
import { logStorageContract } from '../contract/log-storage.js'
import { seeded } from './log-fixture.js'

const folders: string[] = []
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-log-'))
  folders.push(path)
  return path
}
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true })
})

logStorageContract('a folder', () => FileLogStorage.open(join(folder(), 'db', 'log')))
logStorageContract('memory', () => new MemoryLogStorage())
logStorageContract('a crashable disk', () => new MemoryLogStorage({ crashable: true }))

test('folders are for their owner alone, and so are files', () => {
  const path = join(folder(), 'db', 'log')
  FileLogStorage.open(path).create('a.slog').close()
  expect(statSync(path).mode & 0o777).toBe(0o700)
  expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700)
  expect(statSync(join(path, 'a.slog')).mode & 0o777).toBe(0o600)
})

test('symbolic links and other things that are no files are refused', () => {
  const path = folder()
  writeFileSync(join(path, 'real'), 'x')
  mkdirSync(join(path, 'log'))
  symlinkSync(join(path, 'real'), join(path, 'log', 'a.slog'))
  mkdirSync(join(path, 'log', 'b.slog'))
  symlinkSync(join(path, 'log'), join(path, 'link'))
  const storage = FileLogStorage.open(join(path, 'log'))
  expect(() => storage.open('a.slog', 'read')).toThrow(expect.objectContaining({ code: 'ELOOP' }))
  expect(() => storage.create('a.slog')).toThrow(expect.objectContaining({ code: 'EEXIST' }))
  expect(() => storage.open('b.slog', 'read')).toThrow(expect.objectContaining({ code: 'EINVAL' }))
  expect(() => FileLogStorage.open(join(path, 'link'))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }))
  const none = (): unknown => FileLogStorage.open(join(path, 'none'), { create: false })
  expect(none).toThrow(expect.objectContaining({ code: 'ENOENT' }))
})

test('a crash keeps what was synced, and of the rest the sectors that it is told to keep', () => {
  const disk = new MemoryLogStorage({ crashable: true })
  const file = disk.create('a.slog')
  disk.syncDirectory()
  file.write([new Uint8Array(2_048).fill(1)], 0)
  file.sync()
  file.write([new Uint8Array(2_048).fill(2)], 0)

  expect([...new Set(disk.crash(() => false).bytesOf('a.slog'))]).toEqual([1])
  expect([...new Set(disk.crash(() => true).bytesOf('a.slog'))]).toEqual([2])
  const random = seeded(3)
  const some = disk.crash(() => random() < 0.5).bytesOf('a.slog')
  expect([...new Set(some)].sort()).toEqual([1, 2])
  for (let at = 0; at < some.length; at += 512) expect(new Set(some.subarray(at, at + 512)).size).toBe(1)
})

test('a file whose name was not synced may be gone after a crash, a removed one may be back', () => {
  const disk = new MemoryLogStorage({ crashable: true })
  disk.create('old.slog')
  disk.syncDirectory()
  disk.remove('old.slog')
  disk.create('new.slog')
  expect(disk.crash(() => false).list()).toEqual(['old.slog'])
  expect(disk.crash(() => true).list()).toEqual(['new.slog'])
})

test('after a failed sync the bytes are readable, and no later sync brings them to the disk', () => {
  let failing = true
  const onOperation = (operation: { kind: string }) =>
    operation.kind === 'sync' && failing ? ({ code: 'EIO' } as const) : undefined
  const disk = new MemoryLogStorage({ crashable: true, onOperation })
  const file = disk.create('a.slog')
  disk.syncDirectory()
  file.write([new Uint8Array(8).fill(1)], 0)
  expect(() => file.sync()).toThrow(expect.objectContaining({ code: 'EIO' }))
  failing = false
  file.sync()
  expect(disk.bytesOf('a.slog').length).toBe(8)
  expect(disk.crash(() => true).bytesOf('a.slog').length).toBe(0)
})
