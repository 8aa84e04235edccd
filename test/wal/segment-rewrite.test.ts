/**
 * Segments written anew, shorter (wal/segment-rewrite.ts): every part stays in its place of the chain, whatever the moment is at which the
 * power goes there is the old segment or the new one, and who reads the old one goes on where it was.
 */
import { expect, test } from 'vitest'
import {
  compactable, compactedUpTo, copyLog, ErasureJournal, inspectLog, listSegments, LogReader, MemoryLogStorage, rewriteLog, rewriteSegment, segmentName, type StorageOperation,
} from '../../wal/index.js'
import { databaseId, openWriter, recover, seeded, type Written } from './log-fixture.js'

const frames = 14

function bodyOf(batch: number, bytes: number): Uint8Array {
  return new Uint8Array(bytes).fill(batch)
}
const shorter = (body: Uint8Array): Uint8Array => body.slice(0, Math.floor(body.length / 16) * 8)

/** Frames over several segments, one of which is longer than a segment. */
function madeLog(options: { crashable?: boolean } = {}): { storage: MemoryLogStorage; written: Written[] } {
  const storage = new MemoryLogStorage({ crashable: options.crashable === true })
  const writer = openWriter(storage, recover(storage).tail)
  const written: Written[] = []
  const random = seeded(11)
  for (let batch = 1; batch <= frames; batch += 1) {
    const body = bodyOf(batch, batch === 6 ? 40_000 : 200 + Math.floor(random() * 4_000))
    writer.append(body, { batch, previous: batch - 1 })
    writer.sync()
    written.push({ batch, body })
  }
  writer.close()
  return { storage, written }
}

const isMine = (batch: number): boolean => batch % 2 === 0
const rewrite = ({ kind, batch, body }: { kind: string; batch: number; body: Uint8Array }): Uint8Array | undefined => (kind === 'frame' && isMine(batch) ? shorter(body) : undefined)

/** All closed segments, the newest first. */
function compact(storage: MemoryLogStorage): number {
  let saved = 0
  for (const segment of listSegments(storage).slice(0, -1).reverse()) saved += rewriteSegment(storage, segment, { rewrite })!
  return saved
}

/** All bytes of a disk, and the bodies of frames, as texts: quicker to compare. */
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
const imageOf = (disk: MemoryLogStorage): readonly string[] => disk.list().map((name) => `${name} ${textOf(disk.bytesOf(name))}`)
const texts = (frames: readonly Written[]): unknown[] => frames.map(({ batch, body }) => [batch, textOf(body)])

async function readAll(reader: LogReader): Promise<Written[]> {
  const read: Written[] = []
  for await (const { kind, batch, body } of reader.frames(frames)) if (kind === 'frame') read.push({ batch, body: body.slice() })
  return read
}
const lastBatchOf = (storage: MemoryLogStorage, segment: number): number => [...inspectLog(storage)].reduce((last, part) => (part.kind === 'frame' && part.segment <= segment ? part.batch : last), 0)

test('batches, chain and everything but the bodies stay; head, inspection, reader and copy say and know what was done', async () => {
  const { storage, written } = madeLog()
  const before = [...inspectLog(storage.copy())]
  const closed = listSegments(storage).slice(0, -1)
  expect(closed.length).toBeGreaterThan(2)
  const upTo = lastBatchOf(storage, closed.at(-1)!)
  const lengths = (): number => storage.list().reduce((sum, name) => sum + storage.bytesOf(name).length, 0)
  const long = lengths()
  expect(compactedUpTo(storage)).toBe(0)
  expect(compact(storage)).toBe(long - lengths())
  expect(storage.list().every((name) => name.endsWith('.slog'))).toBe(true)
  expect(compactedUpTo(storage)).toBe(upTo)

  const after = [...inspectLog(storage)]
  const bare = (parts: typeof after): unknown[] => parts.map((part) => (part.kind === 'end' ? { kind: 'end', verdict: part.verdict, batch: part.batch } : 'chain' in part ? [part.kind, part.segment, part.batch, part.previous, part.chain, part.durableUpTo, part.incarnation] : part))
  expect(bare(after)).toEqual(bare(before))
  expect(after.flatMap((part) => (part.kind === 'frame' && part.isCompacted ? [part.batch] : []))).toEqual(written.map(({ batch }) => batch).filter((batch) => isMine(batch) && batch <= upTo))
  const left = written.map(({ batch, body }) => ({ batch, body: isMine(batch) && batch <= upTo ? shorter(body) : body }))
  expect(texts(await readAll(LogReader.readFrom(storage, { databaseId, batch: 1 })))).toEqual(texts(left))
  const copy = new MemoryLogStorage()
  copyLog(storage, copy)
  expect(compactedUpTo(copy)).toBe(upTo)
  expect(texts(recover(copy, { after: upTo }).frames)).toEqual(texts(left.filter(({ batch }) => batch > upTo)))
  expect(copy.list().map((name) => copy.bytesOf(name).length)).toEqual(storage.list().map((name) => storage.bytesOf(name).length))
})

test('recovery that would begin before what was compacted is refused, and changes nothing', () => {
  const { storage } = madeLog()
  compact(storage)
  const upTo = compactedUpTo(storage)
  const before = imageOf(storage)
  for (const after of [0, upTo - 1]) {
    expect(() => recover(storage, { after })).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT', message: expect.stringContaining(`compacted up to batch ${upTo}`) }))
    expect(() => recover(storage, { after, mode: 'salvage' })).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
  }
  expect(imageOf(storage)).toEqual(before)
  const { tail } = recover(storage, { after: upTo })
  expect(tail.batch).toBe(frames)
  const writer = openWriter(storage, tail)
  writer.append(bodyOf(99, 300), { batch: 99, previous: frames })
  writer.close()
  expect(recover(storage, { after: frames }).frames.map(({ batch }) => batch)).toEqual([99])
})

test('a reader that stands in a segment while it is replaced goes on in the old one, then in the next, without a gap or a repeat', async () => {
  const { storage, written } = madeLog()
  for (let stop = 1; stop < frames; stop += 1) {
    const disk = storage.copy()
    const reader = LogReader.readFrom(disk, { databaseId, batch: 1 })
    const read: Written[] = []
    for await (const { kind, batch, body } of reader.frames(stop)) if (kind === 'frame') read.push({ batch, body: body.slice() })
    compact(disk)
    read.push(...(await readAll(reader)))
    reader.close()
    expect(read.map(({ batch }) => batch)).toEqual(written.map(({ batch }) => batch))
    for (const [n, { body }] of read.entries()) expect([written[n]!.body, shorter(written[n]!.body)].some((one) => Buffer.compare(one, body) === 0)).toBe(true)
  }
})

test('a power cut at every operation, with what the disk keeps chosen at random: each segment is the old or the new one, and the next opening has no other file', () => {
  const { storage, written } = madeLog({ crashable: true })
  let counted = 0
  const done = storage.copy({ crashable: true, onOperation: () => void (counted += 1) })
  compact(done)
  const operations = counted
  const upTo = compactedUpTo(done)
  const forms = new Map(listSegments(storage).map((segment) => [segmentName(segment), [storage, done].map((disk) => Buffer.from(disk.bytesOf(segmentName(segment))))]))
  let old = 0
  let made = 0
  for (let stop = 0; stop < operations; stop += 1) {
    for (const seed of [1, 2]) {
      const random = seeded(stop * 13 + seed)
      let count = 0
      const onOperation = ({ kind, bytes }: StorageOperation): { code: 'EIO'; writtenBytes: number } | undefined => {
        count += 1
        return count <= stop ? undefined : { code: 'EIO', writtenBytes: kind === 'write' ? Math.floor(random() * bytes) : 0 }
      }
      const life = storage.copy({ crashable: true, onOperation })
      expect(() => compact(life), `operation ${stop}`).toThrow('EIO')
      const found = life.crash(() => random() < 0.5, { crashable: true })
      for (const [name, [before, after]] of forms) {
        const bytes = Buffer.from(found.bytesOf(name))
        expect([before!, after!].some((form) => form.equals(bytes)), `operation ${stop}, seed ${seed}, ${name}`).toBe(true)
        if (!before!.equals(after!)) bytes.equals(before!) ? (old += 1) : (made += 1)
      }
      expect([...inspectLog(found)].at(-1)).toMatchObject({ kind: 'end', verdict: 'clean', batch: frames })
      expect(recover(found, { after: upTo }).frames.map(({ batch }) => batch)).toEqual(written.map(({ batch }) => batch).filter((batch) => batch > upTo))
      expect(found.list().filter((name) => !name.endsWith('.slog'))).toEqual([])
    }
  }
  expect(Math.min(old, made)).toBeGreaterThan(20)
})

test('a damaged segment, and the one that is being written, are left as they are', () => {
  const { storage } = madeLog()
  const segments = listSegments(storage)
  const [first] = segments
  const part = [...inspectLog(storage.copy())].filter((one) => one.kind === 'frame' && one.segment === first).at(-1) as { offset: number }
  const file = storage.open(segmentName(first!), 'write')
  file.write([new Uint8Array([1, 2, 3])], part.offset + 200)
  file.close()
  const before = imageOf(storage)
  expect(rewriteSegment(storage, first!, { rewrite })).toBe(undefined)
  expect(rewriteSegment(storage, segments.at(-1)!, { rewrite })).toBe(undefined)
  expect(imageOf(storage)).toEqual(before)
})

test('a rewriting that is stopped, or finds no room, leaves the log as it was', () => {
  const { storage } = madeLog()
  const before = imageOf(storage)
  expect(() => rewriteSegment(storage, 1, { rewrite, shouldStop: () => true })).toThrow(expect.objectContaining({ code: 'CANCELLED' }))
  const full = storage.copy({ onOperation: ({ kind }) => (kind === 'write' ? { code: 'ENOSPC' } : undefined) })
  expect(() => rewriteSegment(full, 1, { rewrite })).toThrow('ENOSPC')
  for (const disk of [storage, full]) expect(imageOf(disk)).toEqual(before)
})

test('an erasure rewrites what was compacted, and compaction what was erased', () => {
  const { storage, written } = madeLog()
  const zeroed = (body: Uint8Array): Uint8Array => body.map((byte, at) => (at < 8 ? 0 : byte))
  const erase = (disk: MemoryLogStorage): void => {
    const journal = ErasureJournal.begin(disk, {})
    rewriteLog(disk, journal, { upTo: frames, done: [], rewrite: ({ kind, batch, body }) => (kind === 'frame' && batch % 4 === 0 && body[0] !== 0 ? zeroed(body) : undefined), report: () => [] })
    journal.end()
  }
  const other = storage.copy()
  compact(storage)
  erase(storage)
  erase(other)
  compact(other)
  const upTo = compactedUpTo(storage)
  // Bodies are valid until the next step.
  const bodies = (disk: MemoryLogStorage): unknown[] => {
    const found: unknown[] = []
    for (const part of inspectLog(disk)) if (part.kind === 'frame') found.push([part.batch, part.isErased, part.isCompacted, textOf(part.body)])
    return found
  }
  expect(bodies(storage)).toEqual(bodies(other))
  expect(bodies(storage)).toEqual(
    written.map(({ batch, body }) => {
      const isShort = isMine(batch) && batch <= upTo
      const left = isShort ? shorter(body) : body
      return [batch, batch % 4 === 0, isShort, textOf(batch % 4 === 0 ? zeroed(left) : left)]
    }),
  )
})

test('which segments may be rewritten: whole before the older checkpoint, and passed by all who are not too far behind', () => {
  const { storage } = madeLog()
  const ends = listSegments(storage).map((segment) => lastBatchOf(storage, segment))
  const count = (olderCheckpoint: number, consumers: readonly { name: string; batch: number; isUnbounded?: true }[] = [], consumerBytes = Infinity): number => compactable(storage, { olderCheckpoint, consumers, consumerBytes }).within.length
  for (let batch = 0; batch <= frames; batch += 1) expect(count(batch)).toBe(ends.slice(0, -1).filter((end) => end <= batch).length)
  expect(count(frames, [{ name: 'a', batch: ends[0]! - 1 }])).toBe(0)
  expect(count(frames, [{ name: 'a', batch: ends[0]! }])).toBe(1)
  expect(count(frames, [{ name: 'a', batch: ends[0]! - 1 }], 0)).toBe(ends.length - 1)
  expect(count(frames, [{ name: 'a', batch: ends[0]! - 1, isUnbounded: true }], 0)).toBe(0)
})
