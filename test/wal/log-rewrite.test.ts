/**
 * Bodies rewritten in their places (wal/log-rewrite.ts): whatever the moment is at which the power goes, the log that is found is
 * whole, has all its frames at their places and in one chain, and after the journal was applied and the rewriting has gone on, nothing of
 * what was to go is in any file.
 */
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { copyLog, ErasureJournal, inspectLog, isErasureUnderWay, LogReader, MemoryLogStorage, proveLog, rewriteLog, withPatches, type RewrittenSegment, type StorageOperation } from '../../wal/index.js'
import { databaseId, openWriter, recover, seeded, type Written } from './log-fixture.js'

const marker = Buffer.from('ann@example.org')
const hasMarker = (bytes: Uint8Array): boolean => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(marker)

function bodyWith(batch: number, bytes: number, isMarked: boolean): Uint8Array {
  const body = new Uint8Array(bytes).fill(batch & 0x7f)
  if (isMarked) body.set(marker, bytes >>> 1)
  return body
}

/** Frames of which some hold the marker, over several segments. */
function markedLog(options: { crashable?: boolean; close?: boolean } = {}): { storage: MemoryLogStorage; written: Written[] } {
  const storage = new MemoryLogStorage({ crashable: options.crashable === true })
  const writer = openWriter(storage, recover(storage).tail)
  const written: Written[] = []
  const random = seeded(5)
  for (let batch = 1; batch <= 12; batch += 1) {
    const body = bodyWith(batch, 200 + Math.floor(random() * 4_000), batch % 3 === 1)
    writer.append(body, { batch, previous: batch - 1 })
    writer.sync()
    written.push({ batch, body })
  }
  if (options.close !== false) writer.close()
  return { storage, written }
}

const blanked = (body: Uint8Array): Uint8Array => {
  const copy = body.slice()
  const at = Buffer.from(copy.buffer).indexOf(marker)
  copy.fill(0, at, at + marker.length)
  return copy
}
const erased = (written: readonly Written[]): Written[] => written.map(({ batch, body }) => ({ batch, body: hasMarker(body) ? blanked(body) : body }))

/** What an erasure does with the log, from its beginning or from where an earlier life has left it. */
function erase(storage: MemoryLogStorage, upTo = 12): readonly RewrittenSegment[] {
  const journal = ErasureJournal.find(storage) ?? ErasureJournal.begin(storage, { subject: marker.toString() })
  journal.apply()
  const done = (journal.report ?? []) as readonly RewrittenSegment[]
  const segments = rewriteLog(storage, journal, {
    upTo,
    done,
    patchBytes: 1, // a record for each frame
    rewrite: ({ kind, body }) => (kind === 'frame' && hasMarker(body) ? blanked(body) : undefined),
    report: (found) => found,
  })
  journal.end()
  return segments
}

const marked = (storage: MemoryLogStorage): readonly string[] => storage.list().filter((name) => hasMarker(storage.bytesOf(name)))

test('rewritten bodies keep place, length and chain; recovery, a reader, an inspection and a copy know them', async () => {
  const { storage, written } = markedLog()
  const before = [...inspectLog(storage.copy())]
  const segments = erase(storage)
  expect(marked(storage)).toEqual([])
  expect(storage.list().filter((name) => !name.endsWith('.slog'))).toEqual([])

  const after = [...inspectLog(storage)]
  expect(after.map((part) => ({ ...part, body: undefined, isErased: undefined }))).toEqual(before.map((part) => ({ ...part, body: undefined, isErased: undefined })))
  const flagged = after.flatMap((part) => (part.kind === 'frame' && part.isErased ? [part.batch] : []))
  expect(flagged).toEqual([1, 4, 7, 10])
  expect(segments.reduce((sum, { frames }) => sum + frames, 0)).toBe(4)
  const sumOf = (bodies: readonly Uint8Array[]): number => bodies.reduce((sum, body) => {
    const word = new Uint8Array(4)
    new DataView(word.buffer).setUint32(0, crc32(body), true)
    return crc32(word, sum)
  }, 0)
  const inFirst = written.filter(({ batch }) => flagged.includes(batch) && after.some((part) => part.kind === 'frame' && part.batch === batch && part.segment === 1)).map(({ body }) => body)
  expect(segments[0]).toMatchObject({ segment: 1, frames: inFirst.length, before: sumOf(inFirst), after: sumOf(inFirst.map(blanked)) })

  expect(recover(storage.copy()).frames).toEqual(erased(written))
  const reader = LogReader.readFrom(storage, { databaseId, batch: 1 })
  const read: Written[] = []
  for await (const { kind, batch, body } of reader.frames(12)) if (kind === 'frame') read.push({ batch, body })
  reader.close()
  expect(read).toEqual(erased(written))
  const copy = new MemoryLogStorage()
  copyLog(storage, copy)
  expect(recover(copy).frames).toEqual(erased(written))
  expect(marked(copy)).toEqual([])
})

test('an erasure of what is erased changes nothing, and one up to a batch leaves what is behind it', () => {
  const { storage, written } = markedLog()
  erase(storage, 5)
  const half = recover(storage.copy()).frames
  expect(half.map(({ body }) => hasMarker(body))).toEqual(written.map(({ batch }) => batch > 5 && batch % 3 === 1))
  erase(storage)
  const once = storage.list().map((name) => storage.bytesOf(name).slice())
  expect(erase(storage)).toEqual([])
  expect(storage.list().map((name) => storage.bytesOf(name).slice())).toEqual(once)
})

test('a power cut at every operation of an erasure, with what the disk keeps chosen at random: the log is whole, and the erasure goes on', () => {
  const { storage, written } = markedLog({ crashable: true })
  let operations = 0
  erase(storage.copy({ crashable: true, onOperation: () => void (operations += 1) }))
  expect(operations).toBeGreaterThan(30)
  let resumed = 0
  for (let stop = 0; stop < operations; stop += 1) {
    for (const seed of [1, 2]) {
      const random = seeded(stop * 7 + seed)
      let count = 0
      const onOperation = ({ kind, bytes }: StorageOperation): { code: 'EIO'; writtenBytes: number } | undefined => {
        count += 1
        if (count <= stop) return undefined
        return { code: 'EIO', writtenBytes: kind === 'write' ? Math.floor(random() * bytes) : 0 }
      }
      const life = storage.copy({ crashable: true, onOperation })
      expect(() => erase(life), `operation ${stop}`).toThrow('EIO')
      const found = life.crash(() => random() < 0.5, { crashable: true })

      // Who only reads sees a whole log, before anybody has mended it.
      const parts = [...inspectLog(withPatches(found))]
      expect(parts.at(-1), `operation ${stop}, seed ${seed}`).toMatchObject({ kind: 'end', verdict: 'clean', batch: 12 })
      const isUnderWay = isErasureUnderWay(found)
      const journal = ErasureJournal.find(found)
      expect(journal !== undefined).toBe(isUnderWay)
      journal?.apply()
      journal?.close()
      const frames = recover(found.copy()).frames
      expect(frames.map(({ batch }) => batch)).toEqual(written.map(({ batch }) => batch))
      const goal = erased(written)
      frames.forEach(({ body }, n) => expect([written[n]!.body, goal[n]!.body].some((one) => Buffer.compare(one, body) === 0)).toBe(true))

      // The next life goes on where it was, or begins: the end is the same, and so are the counts.
      if (isUnderWay) resumed += 1
      const isDone = !isUnderWay && marked(found).length === 0
      const segments = erase(found)
      if (!isDone) expect(segments.reduce((sum, one) => sum + one.frames, 0), `operation ${stop}, seed ${seed}`).toBe(4)
      expect(recover(found.copy()).frames).toEqual(goal)
      expect(marked(found)).toEqual([])
    }
  }
  expect(resumed).toBeGreaterThan(operations)
})

test('a body that is not the first one, and does not say so, is damage; so is one that says so and has another checksum', () => {
  const { storage, written } = markedLog()
  erase(storage)
  const { segment, offset } = [...inspectLog(storage.copy())].find((part) => part.kind === 'frame' && part.isErased) as { segment: number; offset: number }
  for (const at of [offset + 7, offset + 64, offset + 128 + 20]) {
    const copy = storage.copy()
    copy.bytesOf(`000000000${segment}.slog`)[at] ^= 2
    expect(() => recover(copy)).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
  }
  expect(recover(storage).frames).toEqual(erased(written))
})

test('a writer goes on behind what an erasure rewrites in its segment', () => {
  const { storage, written } = markedLog({ close: false })
  const writer = openWriter(storage, recover(storage).tail)
  writer.append(bodyWith(13, 300, false), { batch: 13, previous: 12 })
  writer.sync()
  erase(storage, 12)
  writer.append(bodyWith(14, 300, true), { batch: 14, previous: 13 })
  writer.close()
  const all = [...erased(written), { batch: 13, body: bodyWith(13, 300, false) }, { batch: 14, body: bodyWith(14, 300, true) }]
  expect(recover(storage).frames).toEqual(all)
})

test('a second erasure waits for the first one; a first record that was torn was never begun', () => {
  const { storage } = markedLog()
  const journal = ErasureJournal.begin(storage, { subject: 'a' })
  expect(() => ErasureJournal.begin(storage, { subject: 'b' })).toThrow(expect.objectContaining({ code: 'INVALID_USE' }))
  expect(ErasureJournal.find(storage)!.intent).toEqual({ subject: 'a' })
  journal.end()
  const torn = ErasureJournal.begin(storage, { subject: 'c' })
  torn.close()
  storage.bytesOf('erasure')[26] ^= 1
  expect(isErasureUnderWay(storage)).toBe(false)
  ErasureJournal.begin(storage, { subject: 'd' }).end()
  expect(storage.list()).not.toContain('erasure')
})

test('behind damage nothing is passed over: it is refused, also by who only proves; a log that has lost its end is refused by who has written it', () => {
  const { storage } = markedLog()
  const frames = [...inspectLog(storage.copy())].flatMap((part) => (part.kind === 'frame' ? [part] : []))
  const fourth = frames[3]!
  const damaged = storage.copy()
  damaged.bytesOf(`000000000${fourth.segment}.slog`)[fourth.offset + 130] ^= 2
  const place = { code: 'LOG_CORRUPT', details: expect.objectContaining({ segment: fourth.segment, offset: fourth.offset, batch: 3 }) }
  for (const mustReach of [true, false]) expect(() => proveLog(damaged, { upTo: 12, mustReach })).toThrow(expect.objectContaining(place))
  expect(() => erase(damaged)).toThrow(expect.objectContaining(place))
  proveLog(damaged, { upTo: 3, mustReach: true })
  proveLog(storage, { upTo: 12, mustReach: true })
  expect(() => proveLog(storage, { upTo: 12, shouldStop: () => true })).toThrow(expect.objectContaining({ code: 'CANCELLED' }))

  // A power cut has taken the end, of which nobody claims that it was on disk.
  const cut = storage.copy()
  const { segment, offset } = frames.at(-1)!
  cut.bytesOf(`000000000${segment}.slog`).fill(0, offset)
  proveLog(cut, { upTo: 12 })
  expect(() => proveLog(cut, { upTo: 12, mustReach: true })).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
  erase(cut)
  expect(marked(cut)).toEqual([])
  const empty = new MemoryLogStorage()
  proveLog(empty, { upTo: 12 })
  expect(() => proveLog(empty, { upTo: 12, mustReach: true })).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
})
