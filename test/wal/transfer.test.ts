/** Calls of the system that do less than asked, are interrupted, or fail: on a real file, and on a disk in memory. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { limits } from '../../engine/base/limits.js'
import { FileLogStorage, MemoryLogStorage, systemCalls } from '../../wal/index.js'
import type { FileCalls, LogStorage, StorageFault } from '../../wal/index.js'
import { appendAll, openWriter, prefixLength, recover, seeded } from './log-fixture.js'

const root = mkdtempSync(join(tmpdir(), 'sluice-transfer-'))
afterAll(() => rmSync(root, { recursive: true }))
let folders = 0

/** What may happen to the n-th read or write: so many bytes of it, or an error. */
type Trouble = (n: number, bytes: number) => number | string

const failing = (code: string): Error => Object.assign(new Error(code), { code })

function fileDisk(trouble: Trouble): LogStorage {
  let n = 0
  const some = (bytes: number): number => {
    const answer = trouble((n += 1), bytes)
    if (typeof answer === 'string') throw failing(answer)
    return answer
  }
  const calls: FileCalls = {
    read: (fd, target, at) => systemCalls.read(fd, target.subarray(0, some(target.length)), at),
    readAsync: async (fd, target, at) => systemCalls.readAsync(fd, target.subarray(0, some(target.length)), at),
    write: (fd, parts, at) => systemCalls.write(fd, [Buffer.concat(parts).subarray(0, some(parts.reduce((sum, part) => sum + part.length, 0)))], at),
    sync: (fd) => systemCalls.sync(fd),
  }
  return FileLogStorage.open(join(root, String((folders += 1))), { calls })
}

function memoryDisk(trouble: Trouble): LogStorage {
  let n = 0
  return new MemoryLogStorage({
    onOperation: ({ kind, bytes }): StorageFault | undefined => {
      if (kind !== 'read' && kind !== 'write') return undefined
      const answer = trouble((n += 1), bytes)
      if (typeof answer === 'string') return { code: answer as 'EINTR' }
      return { writtenBytes: answer, readBytes: answer }
    },
  })
}

describe.each([['in a folder', fileDisk], ['in memory', memoryDisk]])('%s', (_, disk) => {
  test('short reads and writes, and interruptions, at every n: the log comes back whole', () => {
    const run = (trouble: Trouble): number => {
      let calls = 0
      const storage = disk((n, bytes) => trouble((calls = n), bytes))
      const writer = openWriter(storage, recover(storage).tail)
      const written = appendAll(writer, [40, 9_000, 300])
      writer.prepareNext()
      writer.close()
      expect(prefixLength(recover(storage).frames, written)).toBe(3)
      return calls
    }
    const calls = run((_n, bytes) => bytes)
    for (let at = 1; at <= calls; at += 1) {
      run((n, bytes) => (n === at ? Math.ceil(bytes / 3) : bytes))
      run((n, bytes) => (n === at ? 1 : bytes))
      run((n, bytes) => (n === at ? 'EINTR' : n === at + 1 ? 'EAGAIN' : bytes))
    }
    const random = seeded(9)
    run((_n, bytes) => (random() < 0.3 ? 'EINTR' : 1 + Math.floor(random() * bytes)))
    expect(calls).toBeGreaterThan(15)
  })

  test('a read that waits takes short answers too', async () => {
    const storage = disk((n, bytes) => (n % 3 === 0 ? 'EINTR' : Math.min(bytes, 7)))
    const file = storage.create('a.slog')
    file.write([new Uint8Array(100).fill(3), new Uint8Array(20).fill(4)], 0)
    const target = new Uint8Array(200)
    expect(await file.readAsync(target, 50)).toBe(70)
    expect([target[0], target[49], target[50], target[69], target[70]]).toEqual([3, 3, 4, 4, 0])
    file.close()
  })

  test('interruptions without end are a failure, after a bounded number of trials', () => {
    let calls = 0
    let isBroken = false
    const storage = disk((_n, bytes) => {
      calls += 1
      return isBroken ? 'EAGAIN' : bytes
    })
    const file = storage.create('a.slog')
    file.write([new Uint8Array(8)], 0)
    isBroken = true
    calls = 0
    expect(() => file.write([new Uint8Array(8)], 0)).toThrow(expect.objectContaining({ code: 'EAGAIN' }))
    expect(calls).toBe(limits.interruptedCallsMax)
    calls = 0
    expect(() => file.read(new Uint8Array(8), 0)).toThrow(expect.objectContaining({ code: 'EAGAIN' }))
    expect(calls).toBe(limits.interruptedCallsMax)
    file.close()
  })

  test('a write that writes nothing is an error, and no endless loop', () => {
    const file = disk((_n, bytes) => (bytes === 9 ? 0 : bytes)).create('a.slog')
    expect(() => file.write([new Uint8Array(9)], 0)).toThrow(expect.objectContaining({ code: 'EIO' }))
    file.close()
  })
})

test('a sync is asked once, whatever it says', () => {
  for (const code of ['EINTR', 'EAGAIN', 'EIO']) {
    let syncs = 0
    const sync = (): never => {
      syncs += 1
      throw failing(code)
    }
    const file = FileLogStorage.open(join(root, `sync-${code}`), { calls: { ...systemCalls, sync } }).create('a.slog')
    file.write([new Uint8Array(9)], 0)
    expect(() => file.sync()).toThrow(expect.objectContaining({ code }))
    expect(syncs).toBe(1)
    file.close()
  }
})
