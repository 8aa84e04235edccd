import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { copyLog, FileLogStorage, listSegments, MemoryLogStorage, removeSegments } from '../../wal/index.js'
import type { LogStorage, StorageOperation } from '../../wal/index.js'
import { appendAll, bodyOf, databaseId, openWriter, prefixLength, recover, seeded, type Written } from './log-fixture.js'

// The machine may be shared: what is slow then is the machine, not the log.
vi.setConfig({ testTimeout: 60_000 })

const damaged = expect.objectContaining({ code: 'LOG_CORRUPT' })

function logOf(lengths: readonly number[], sync = true): { storage: MemoryLogStorage; written: Written[] } {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const written = appendAll(writer, lengths, { sync })
  writer.certify()
  return { storage, written }
}

const lengths = [40, 9_000, 7_000, 30, 3_000, 20_000, 5, 600, 12_000]

test('up to every batch: the copy holds exactly the frames up to it, at the same places, and goes on', () => {
  const { storage, written } = logOf(lengths)
  const last = written.at(-1)!.batch
  for (let upTo = 0; upTo <= last + 1; upTo += 1) {
    const copy = new MemoryLogStorage({ crashable: true })
    const { batch, segments, bytes } = copyLog(storage, copy, { upTo })
    const expected = written.filter((frame) => frame.batch <= upTo)
    expect(batch).toBe(expected.at(-1)?.batch ?? 0)
    expect(segments).toBe(listSegments(copy).length)
    expect(bytes).toBe(copy.list().reduce((sum, name) => sum + copy.bytesOf(name).length, 0))
    // Everything is on disk when the copy ends.
    const disk = copy.crash(() => false)
    const found = recover(disk)
    expect(prefixLength(found.frames, written)).toBe(expected.length)
    expect(found.tail.cutBytes).toBe(0)
    for (const name of copy.list()) {
      const [ours, theirs] = [copy.bytesOf(name), storage.bytesOf(name)]
      expect(ours.length).toBe(theirs.length)
      const end = name === copy.list().at(-1) ? found.tail.offset : ours.length
      expect(Buffer.compare(ours.subarray(0, end), theirs.subarray(0, end))).toBe(0)
      expect(ours.subarray(end).every((byte) => byte === 0)).toBe(true)
    }
    const more = appendAll(openWriter(disk, found.tail), [77, 9_000])
    expect(prefixLength(recover(disk).frames, [...expected, ...more])).toBe(expected.length + 2)
  }
})

test('without a batch, all that is whole: a torn end stays behind, a prepared segment too', () => {
  const { storage, written } = logOf([40, 9_000, 300])
  const { tail } = recover(storage)
  const writer = openWriter(storage, tail)
  while (writer.prepareNext() === 'underway');
  storage.bytesOf(`000000000${tail.segment}.slog`).fill(7, tail.offset, tail.offset + 50)
  const copy = new MemoryLogStorage()
  expect(copyLog(storage, copy)).toMatchObject({ batch: written[2]!.batch, segments: tail.segment })
  expect(recover(copy)).toMatchObject({ tail: { cutBytes: 0, batch: written[2]!.batch } })
})

test('nothing is copied of no log, and only into an empty folder', () => {
  expect(copyLog(new MemoryLogStorage(), new MemoryLogStorage())).toEqual({ batch: 0, segments: 0, bytes: 0 })
  const { storage } = logOf([40])
  expect(() => copyLog(storage, storage.copy())).toThrow('empty folder')
  expect(() => copyLog(new MemoryLogStorage(), new MemoryLogStorage(), { knownDurable: 3 })).toThrow(damaged)
})

test('one damaged byte below the wanted batch is refused, wherever it is', () => {
  const { storage, written } = logOf([40, 900, 9_000, 30])
  const upTo = written.at(-1)!.batch
  const { tail } = recover(storage.copy())
  let refused = 0
  for (const name of storage.list()) {
    const bytes = storage.bytesOf(name)
    for (let at = 0; at < bytes.length; at += 13) {
      const isEnd = name === storage.list().at(-1) && at >= tail.offset - 128
      if (bytes[at] === 0 || isEnd) continue
      bytes[at]! ^= 0x20
      expect(() => copyLog(storage, new MemoryLogStorage(), { upTo, knownDurable: upTo }), `${name} ${at}`).toThrow(damaged)
      bytes[at]! ^= 0x20
      refused += 1
    }
  }
  expect(refused).toBeGreaterThan(500)
})

test('a log that ends below a batch that is known to be durable is damaged; without that knowledge it is shorter', () => {
  const { storage, written } = logOf([40, 100, 200], false)
  const { tail } = recover(storage.copy(), { mode: 'salvage' })
  storage.bytesOf('0000000001.slog').fill(0, tail.offset - 500)
  const upTo = written[2]!.batch
  const copy = new MemoryLogStorage()
  expect(copyLog(storage, copy, { upTo }).batch).toBeLessThan(upTo)
  expect(() => copyLog(storage, new MemoryLogStorage(), { upTo, knownDurable: upTo })).toThrow(damaged)
})

test('of another database, or of a moment that has left the log: refused', () => {
  const { storage, written } = logOf([9_000, 9_000, 9_000])
  expect(() => copyLog(storage, new MemoryLogStorage(), { databaseId: new Uint8Array(16) })).toThrow(damaged)
  removeSegments(storage, { upTo: written[1]!.batch })
  const gone = expect.objectContaining({ code: 'HISTORY_GONE' })
  expect(() => copyLog(storage, new MemoryLogStorage(), { upTo: written[0]!.batch })).toThrow(gone)
  const copy = new MemoryLogStorage()
  expect(copyLog(storage, copy).batch).toBe(written[2]!.batch)
  expect(prefixLength(recover(copy, { after: written[1]!.batch }).frames, written.slice(2))).toBe(1)
})

test('a segment that retention removes meanwhile ends the copy with the oldest batch that is left', () => {
  let onRead: (() => void) | undefined
  const storage = new MemoryLogStorage({
    onOperation: ({ kind, name }: StorageOperation): undefined => {
      if (kind === 'read' && name === '0000000002.slog') onRead?.()
    },
  })
  const written = appendAll(openWriter(storage, recover(storage).tail), [9_000, 9_000, 9_000, 9_000])
  onRead = () => {
    onRead = undefined
    removeSegments(storage, { upTo: written[2]!.batch })
  }
  const oldest = written[2]!.batch + 1
  const gone = expect.objectContaining({ code: 'HISTORY_GONE', details: expect.objectContaining({ oldest }) })
  expect(() => copyLog(storage, new MemoryLogStorage(), { upTo: written[3]!.batch })).toThrow(gone)
})

test('it stops when it is told to, and says how far it is', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail, { segmentBytesMax: 4_194_304 })
  const body = bodyOf(1, 700_000)
  for (let batch = 1; batch < 9; batch += 1) writer.append(body, { batch, previous: batch - 1 })
  const seen: number[] = []
  copyLog(storage, new MemoryLogStorage(), { onProgress: ({ bytes, bytesInAll }) => seen.push(bytes / bytesInAll) })
  expect(seen.length).toBeGreaterThan(5)
  expect(seen).toEqual([...seen].sort((left, right) => left - right))
  expect(seen.at(-1)).toBe(1)
  let asked = 0
  const shouldStop = (): boolean => (asked += 1) > 3
  expect(() => copyLog(storage, new MemoryLogStorage(), { shouldStop })).toThrow(expect.objectContaining({ code: 'CANCELLED' }))
})

test('beside a writer in a folder, up to what is durable, while more is written', () => {
  const path = mkdtempSync(join(tmpdir(), 'sluice-copy-'))
  try {
    const storage: LogStorage = FileLogStorage.open(join(path, 'log'))
    const writer = openWriter(storage, recover(storage).tail, { segmentBytesMax: 65_536 })
    const random = seeded(3)
    const written: Written[] = []
    for (let round = 0; round < 12; round += 1) {
      written.push(...appendAll(writer, [1 + Math.floor(random() * 30_000), 50], { sync: false }))
      const upTo = writer.sync()
      const expected = written.length
      const copy = FileLogStorage.open(join(path, `copy-${round}`))
      // The writer goes on between the steps of the copy.
      const onProgress = (): void => void written.push(...appendAll(writer, [3_000], { sync: false }))
      expect(copyLog(storage, copy, { upTo, knownDurable: upTo, databaseId, onProgress }).batch).toBe(upTo)
      expect(written.length).toBeGreaterThan(expected)
      const found = recover(copy)
      expect(prefixLength(found.frames, written)).toBe(expected)
    }
  } finally {
    rmSync(path, { recursive: true })
  }
})
