import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { FileLogStorage, LogReader, MemoryLogStorage, removeSegments } from '../../wal/index.js'
import type { LogStorage } from '../../wal/index.js'
import { appendAll, databaseId, openWriter, prefixLength, recover, seeded, type Written } from './log-fixture.js'

// The machine may be shared: what is slow then is the machine, not the log.
vi.setConfig({ testTimeout: 60_000 })

async function take(reader: LogReader, upTo: number): Promise<Written[]> {
  const frames: Written[] = []
  for await (const frame of reader.frames(upTo)) {
    // Bodies are kept as they are handed out: they must stay what they were.
    if (frame.kind === 'frame') frames.push({ batch: frame.batch, body: frame.body })
  }
  return frames
}

function logOf(lengths: readonly number[]): { storage: MemoryLogStorage; written: Written[] } {
  const storage = new MemoryLogStorage()
  return { storage, written: appendAll(openWriter(storage, recover(storage).tail), lengths) }
}

test('from any batch, up to any durable batch, exactly the frames between them', async () => {
  const { storage, written } = logOf([40, 9_000, 7_000, 3_000, 20_000, 5, 600])
  const last = written.at(-1)!.batch
  for (let from = 0; from <= last + 1; from += 1) {
    for (const end of written) {
      const reader = LogReader.readFrom(storage, { databaseId, batch: from })
      const expected = written.filter((frame) => frame.batch >= from && frame.batch <= end.batch)
      const found = await take(reader, end.batch)
      expect(found.length).toBe(prefixLength(found, expected))
      expect(found.length).toBe(expected.length)
      reader.close()
    }
  }
})

test('the schema comes before the first frame, and again with every segment', async () => {
  const { storage, written } = logOf([9_000, 9_000, 9_000])
  const reader = LogReader.readFrom(storage, { databaseId, batch: written[1].batch })
  const kinds: string[] = []
  for await (const frame of reader.frames(written[2].batch)) kinds.push(frame.kind)
  expect(kinds).toEqual(['schema', 'frame', 'schema', 'frame'])
})

test('a cursor follows the writer call by call, without gap and without repeat', async () => {
  const durabilities = fc.constantFrom('fsync' as const, 'memory' as const)
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 }), durabilities, async (seed, durability) => {
      const random = seeded(seed)
      const storage = new MemoryLogStorage()
      const writer = openWriter(storage, recover(storage).tail, { durability })
      const reader = LogReader.readFrom(storage, { databaseId, batch: 1 })
      const written: Written[] = []
      const found: Written[] = []
      for (let i = 0; i < 25; i += 1) {
        const dice = random()
        if (dice < 0.5) written.push(...appendAll(writer, [1 + Math.floor(random() * 6_000)], { sync: false }))
        else if (dice < 0.6) writer.certify()
        else if (dice < 0.7) writer.prepareNext()
        else if (dice < 0.8) writer.sync()
        else found.push(...(await take(reader, writer.durableUpTo)))
        expect(reader.batch).toBeLessThanOrEqual(writer.durableUpTo)
      }
      writer.sync()
      found.push(...(await take(reader, writer.durableUpTo)))
      expect(prefixLength(found, written)).toBe(written.length)
    }),
    { numRuns: 100 },
  )
})

test('bytes that were fetched before the writer wrote them are fetched again', async () => {
  const { storage, written } = logOf([40])
  const reader = LogReader.readFrom(storage, { databaseId, batch: 1 })
  expect((await take(reader, written[0].batch)).length).toBe(1)
  // The window of the reader now shows zeros, or half a frame, where the next frame will be.
  const { tail } = recover(storage)
  const half = storage.bytesOf('0000000001.slog')
  half.fill(1, tail.offset, tail.offset + 50)
  expect(await take(reader, written[0].batch)).toEqual([])
  half.fill(0, tail.offset, tail.offset + 50)
  const more = appendAll(openWriter(storage, tail), [70, 70])
  expect(prefixLength(await take(reader, more[1].batch), more)).toBe(2)
})

test('a batch before the log is gone, and so is a segment that was removed under the cursor', async () => {
  const { storage, written } = logOf([9_000, 9_000, 9_000, 9_000])
  const gone = expect.objectContaining({ code: 'HISTORY_GONE' })
  const early = LogReader.readFrom(storage, { databaseId, batch: 1 })
  expect((await take(early, written[0].batch)).length).toBe(1)
  removeSegments(storage, { upTo: written[2].batch })
  await expect(take(early, written[3].batch)).rejects.toEqual(gone)
  expect(() => LogReader.readFrom(storage, { databaseId, batch: written[2].batch })).toThrow(gone)
  const late = LogReader.readFrom(storage, { databaseId, batch: written[2].batch + 1 })
  expect((await take(late, written[3].batch)).length).toBe(1)
})

test('damage below the promised batch is named, after the frames before it', async () => {
  const { storage, written } = logOf([500, 600, 700])
  const bytes = storage.bytesOf('0000000001.slog')
  bytes[4_096 + 128 + 500 + 400] ^= 1
  const found: number[] = []
  const read = async (): Promise<void> => {
    const reader = LogReader.readFrom(storage, { databaseId, batch: 1 })
    for await (const frame of reader.frames(written[2].batch)) if (frame.kind === 'frame') found.push(frame.batch)
  }
  await expect(read()).rejects.toMatchObject({ code: 'LOG_CORRUPT', details: { batch: written[0].batch } })
  expect(found).toEqual([written[0].batch])
})

test('a batch that was never written is not waited for: the log is said to end too early', async () => {
  const { storage, written } = logOf([500])
  const reader = LogReader.readFrom(storage, { databaseId, batch: 1 })
  await expect(take(reader, written[0].batch + 5)).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
})

test('a closed cursor ends its iteration and lets go of its file', async () => {
  const { storage, written } = logOf([500, 500, 500])
  const reader = LogReader.readFrom(storage, { databaseId, batch: 1 })
  let count = 0
  for await (const frame of reader.frames(written[2].batch)) {
    if (frame.kind === 'frame') count += 1
    reader.close()
  }
  expect(count).toBeLessThanOrEqual(1)
  await expect(take(reader, written[2].batch)).rejects.toThrow('one reader')
})

test('several cursors read a log in a folder while it grows over segments', async () => {
  const path = mkdtempSync(join(tmpdir(), 'sluice-reader-'))
  try {
    const storage: LogStorage = FileLogStorage.open(join(path, 'log'))
    const writer = openWriter(storage, recover(storage).tail, { segmentBytesMax: 65_536 })
    const written: Written[] = []
    const cursors = [1, 2, 3].map(() => {
      const found: Written[] = []
      return { reader: LogReader.readFrom(storage, { databaseId, batch: 1 }), found }
    })
    const random = seeded(5)
    for (let round = 0; round < 30; round += 1) {
      written.push(...appendAll(writer, [Math.floor(random() * 20_000) + 1, 50], { sync: false }))
      const upTo = writer.sync()
      writer.prepareNext()
      // Reads that are under way while the next frames are being written.
      const reads = cursors
        .filter((_, index) => round % (index + 1) === 0)
        .map(async (cursor) => cursor.found.push(...(await take(cursor.reader, upTo))))
      written.push(...appendAll(writer, [3_000], { sync: false }))
      await Promise.all(reads)
    }
    const upTo = writer.sync()
    for (const cursor of cursors) {
      cursor.found.push(...(await take(cursor.reader, upTo)))
      expect(prefixLength(cursor.found, written)).toBe(written.length)
      cursor.reader.close()
    }
  } finally {
    rmSync(path, { recursive: true })
  }
})
