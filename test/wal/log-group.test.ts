/** A group of frames counts together or not at all (W7, log-scan.ts): whatever the moment is at which its writer stops. */
import { expect, test } from 'vitest'
import { copyLog, encodeSchema, listSegments, MemoryLogStorage, newestSchema } from '../../wal/index.js'
import { inspectLog } from '../../wal/log-inspect.js'
import { appendAll, databaseId, openWriter, recover, schema, seeded, type Written } from './log-fixture.js'

const other = encodeSchema('{"tables":["account","entry"]}')
const batches = (frames: readonly Written[]): readonly number[] => frames.map(({ batch }) => batch)

test.each(['fsync', 'os', 'memory'] as const)('at level %s: as long as a group has not ended there is none of it, over several segments', (durability) => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const random = seeded(seed)
    const lengths = (count: number): number[] => Array.from({ length: count }, () => 1 + Math.floor(random() * 5_000))
    const storage = new MemoryLogStorage()
    const writer = openWriter(storage, recover(storage).tail, { durability })
    const before = appendAll(writer, lengths(1 + Math.floor(random() * 8)))
    writer.beginGroup()
    const group: Written[] = []
    const count = 2 + Math.floor(random() * 9)
    for (let n = 0; n < count; n += 1) {
      if (n === count >> 1) writer.explain(other)
      group.push(...appendAll(writer, lengths(1), { sync: random() < 0.3 }))
      const died = storage.copy()
      const ends = [...inspectLog(died)].filter((part) => part.kind === 'end')
      expect(ends).toMatchObject([{ verdict: 'torn', batch: before.at(-1)!.batch }])
      expect(newestSchema(died), `seed ${seed}`).toEqual(schema)
      const found = recover(died)
      expect(batches(found.frames), `seed ${seed}, ${n + 1} of ${count} frames`).toEqual(batches(before))
      const more = appendAll(openWriter(died, found.tail), [100, 9_000, 20])
      expect(batches(recover(died).frames)).toEqual(batches([...before, ...more]))
    }
    writer.endGroup()
    const all = [...before, ...group]
    const ended = storage.copy()
    expect(batches(recover(ended).frames), `seed ${seed}`).toEqual(batches(all))
    expect(newestSchema(ended)).toEqual(other)
    // Behind it the log goes on as ever, whoever opens it, from wherever it is read.
    const more = appendAll(writer, lengths(4))
    writer.close()
    const found = recover(storage)
    expect(batches(found.frames)).toEqual(batches([...all, ...more]))
    const middle = all.at(-1)!.batch
    expect(batches(recover(storage, { after: middle }).frames)).toEqual(batches(more))
    expect(listSegments(storage).length).toBeGreaterThan(1)
    expect(found.tail.databaseId).toEqual(databaseId)
  }
})

test('a group that was begun and has no frame is nothing', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const before = appendAll(writer, [10, 20])
  writer.beginGroup()
  expect(() => writer.endGroup()).toThrow('a group has a frame')
  writer.close()
  expect(batches(recover(storage).frames)).toEqual(batches(before))
})

// The certificate that makes a group count stands behind its last frame: a copy up to that frame once left it behind, and with it the group.
test('a copy up to the end of a group has all of it, and one up to its middle nothing', () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const random = seeded(seed)
    const lengths = (count: number): number[] => Array.from({ length: count }, () => 1 + Math.floor(random() * 5_000))
    const storage = new MemoryLogStorage()
    const writer = openWriter(storage, recover(storage).tail)
    const before = appendAll(writer, lengths(1 + Math.floor(random() * 4)))
    writer.beginGroup()
    const group = appendAll(writer, lengths(3))
    writer.explain(other)
    group.push(...appendAll(writer, lengths(3)))
    writer.endGroup()
    const more = seed % 2 === 0 ? appendAll(writer, lengths(3)) : []
    const all = [...before, ...group, ...more]
    const inside = (batch: number): boolean => batch >= group[0]!.batch && batch < group.at(-1)!.batch
    for (const { batch: upTo } of all) {
      const copy = new MemoryLogStorage()
      const copied = copyLog(storage, copy, { upTo, knownDurable: upTo })
      const expected = inside(upTo) ? before : all.filter(({ batch }) => batch <= upTo)
      const found = recover(copy)
      expect(batches(found.frames), `seed ${seed}, up to ${upTo}`).toEqual(batches(expected))
      expect([copied.batch, found.tail.cutBytes]).toEqual([expected.at(-1)!.batch, 0])
      const later = appendAll(openWriter(copy, found.tail), [100, 9_000, 20])
      expect(batches(recover(copy).frames)).toEqual(batches([...expected, ...later]))
    }
  }
})
