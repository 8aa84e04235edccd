import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { applyRetention, layoutBody, listSegments, LogReader, MemoryLogStorage, removable, writeBodyHead } from '../../wal/index.js'
import type { RetentionRules } from '../../wal/index.js'
import { databaseId, openWriter, recover } from './log-fixture.js'

// The machine may be shared: what is slow then is the machine, not the log.
vi.setConfig({ testTimeout: 60_000 })

/** A frame that says nothing but its time, padded to a length. */
function frameAt(batch: number, now: number, bytes: number): Uint8Array {
  const layout = layoutBody({ lanes: 0, transactions: 0, changes: 0, events: 0, bytes })
  const body = new Uint8Array(layout.total)
  writeBodyHead(new DataView(body.buffer), 0, layout, { batch, now, seed: 0 })
  return body
}

const segmentBytes = 16_384

/** One frame to a segment: segment n holds batch n, of n seconds. */
function logOf(segments: number): MemoryLogStorage {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail, { segmentBytesMax: segmentBytes })
  for (let batch = 1; batch <= segments; batch += 1) {
    writer.append(frameAt(batch, batch * 1_000, 8_000), { batch, previous: batch - 1 })
  }
  writer.close()
  expect(listSegments(storage).length).toBe(segments)
  return storage
}

const keepAll: RetentionRules = { olderCheckpoint: 1_000, consumers: [], consumerBytes: 0, nowMs: 1_000_000 }

test('without an age or a number of bytes nothing leaves', () => {
  expect(removable(logOf(5), keepAll)).toEqual({ upTo: 0, expired: [] })
})

test('bytes: the oldest segments leave until the rest is small enough, never the newest one', () => {
  const storage = logOf(6)
  const left = (bytes: number): number => removable(storage, { ...keepAll, bytes }).upTo
  expect(left(6 * segmentBytes)).toBe(0)
  expect(left(6 * segmentBytes - 1)).toBe(1)
  expect(left(3 * segmentBytes)).toBe(3)
  expect(left(0)).toBe(5)
})

test('age: a segment leaves when the first frame behind it is old enough', () => {
  const storage = logOf(6)
  const upTo = (ageMs: number): number => removable(storage, { ...keepAll, nowMs: 10_000, ageMs }).upTo
  expect([8_001, 8_000, 7_001, 7_000, 0].map(upTo)).toEqual([0, 1, 1, 2, 5])
})

test('nothing of what the older checkpoint needs leaves, whatever the limits say', () => {
  const storage = logOf(6)
  for (let olderCheckpoint = 0; olderCheckpoint < 8; olderCheckpoint += 1) {
    expect(removable(storage, { ...keepAll, olderCheckpoint, bytes: 0, ageMs: 0 }).upTo).toBe(Math.min(olderCheckpoint, 5))
  }
})

test('consumers hold what they have not read up to their bytes, and beyond expire by name when a segment of theirs leaves', () => {
  const storage = logOf(6)
  const consumers = [{ name: 'mail', batch: 2 }, { name: 'search', batch: 4 }]
  const rules = { ...keepAll, bytes: 0, consumers }
  // `mail` needs segments 3 to 6, `search` 5 and 6.
  expect(removable(storage, { ...rules, consumerBytes: 4 * segmentBytes })).toEqual({ upTo: 2, expired: [] })
  expect(removable(storage, { ...rules, consumerBytes: 3 * segmentBytes })).toEqual({ upTo: 4, expired: ['mail'] })
  expect(removable(storage, { ...rules, consumerBytes: 0 })).toEqual({ upTo: 5, expired: ['mail', 'search'] })
  // Far behind, but the limits want nothing of it: nobody expires.
  expect(removable(storage, { ...rules, bytes: 4 * segmentBytes, consumerBytes: 0 })).toEqual({ upTo: 2, expired: [] })
})

test('who expires is told before the first segment goes; then readers learn the oldest batch that is left', async () => {
  const storage = logOf(6)
  const early = LogReader.readFrom(storage, { databaseId, batch: 1 })
  for await (const frame of early.frames(1)) expect(frame.batch).toBeLessThanOrEqual(1)
  let before: number[] = []
  const retired = applyRetention(storage, { ...keepAll, bytes: 0, olderCheckpoint: 3, consumers: [{ name: 'mail', batch: 0 }] }, ({ expired }) => {
    expect(expired).toEqual(['mail'])
    before = listSegments(storage)
  })
  expect(before).toEqual([1, 2, 3, 4, 5, 6])
  expect(retired).toEqual({ upTo: 3, expired: ['mail'], removed: [1, 2, 3], bytes: 3 * segmentBytes })
  expect(listSegments(storage)).toEqual([4, 5, 6])

  const gone = (batch: number) => expect.objectContaining({ code: 'HISTORY_GONE', details: { batch, oldest: 4 }, message: expect.stringContaining('oldest one left is 4') })
  expect(() => LogReader.readFrom(storage, { databaseId, batch: 3 })).toThrow(gone(3))
  const goOn = async (): Promise<void> => {
    for await (const frame of early.frames(6)) expect(frame.batch).toBeLessThanOrEqual(1)
  }
  await expect(goOn()).rejects.toEqual(gone(2))
  expect(recover(storage, { after: 3 }).frames.map((frame) => frame.batch)).toEqual([4, 5, 6])
})

test('a segment that is only prepared, or has no frame yet, counts for nothing', () => {
  const storage = logOf(3)
  const writer = openWriter(storage, recover(storage).tail, { segmentBytesMax: segmentBytes })
  while (writer.prepareNext() === 'underway');
  expect(listSegments(storage)).toEqual([1, 2, 3, 4])
  expect(removable(storage, { ...keepAll, bytes: 3 * segmentBytes }).upTo).toBe(0)
  expect(removable(storage, { ...keepAll, ageMs: 0 }).upTo).toBe(2)
})

test('any rules: what leaves is a beginning, below the checkpoint, and of no consumer that is not named', () => {
  const storage = logOf(7)
  const batches = fc.integer({ min: 0, max: 8 })
  const maybe = (max: number) => fc.option(fc.integer({ min: 0, max }), { nil: undefined })
  const rules = fc.record({
    olderCheckpoint: batches,
    consumers: fc.array(batches, { maxLength: 3 }).map((all) => all.map((batch, at) => ({ name: `c${at}`, batch }))),
    consumerBytes: fc.integer({ min: 0, max: 8 * segmentBytes }),
    ageMs: maybe(9_000),
    bytes: maybe(8 * segmentBytes),
    nowMs: fc.integer({ min: 0, max: 12_000 }),
  })
  let removedSome = 0
  fc.assert(
    fc.property(rules, (it) => {
      const { upTo, expired } = removable(storage, it)
      if (upTo > 0) removedSome += 1
      expect(upTo).toBeLessThanOrEqual(Math.min(it.olderCheckpoint, 6))
      const hurt = it.consumers.filter(({ batch }) => batch < upTo).map(({ name }) => name)
      expect([...expired].sort()).toEqual(hurt)
      if (it.ageMs === undefined && it.bytes === undefined) expect(upTo).toBe(0)
      const copy = storage.copy()
      const { removed } = applyRetention(copy, it)
      expect(removed).toEqual(Array.from({ length: upTo }, (_, at) => at + 1))
      expect(applyRetention(copy, it).removed).toEqual([])
    }),
    { numRuns: 300 },
  )
  expect(removedSome).toBeGreaterThan(50)
})
