import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { FileLogStorage, listSegments, LogReader, MemoryLogStorage, recoverLog } from '../../wal/index.js'
import type { LogStorage, StorageFault, StorageOperation } from '../../wal/index.js'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeEnvelope } from '../../wal/envelope.js'
import { appendAll, databaseId, openWriter, prefixLength, recover, seeded, type Written } from './log-fixture.js'

// The machine may be shared: what is slow then is the machine, not the log.
vi.setConfig({ testTimeout: 60_000 })

const first = '0000000001.slog'
const damaged = expect.objectContaining({ code: 'LOG_CORRUPT' })

interface SmallLog {
  readonly storage: MemoryLogStorage
  readonly written: Written[]
  /** Where the frames end, and where each of them begins. */
  readonly end: number
  readonly starts: number[]
}

/** Some frames in one segment of 8 KiB; each synced before the next one unless told otherwise. */
function smallLog(lengths: readonly number[], options: { sync?: boolean; close?: boolean } = {}): SmallLog {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail, { segmentBytesMax: 8_192 })
  const written: Written[] = []
  for (const bytes of lengths) written.push(...appendAll(writer, [bytes], options))
  const starts: number[] = []
  const found = storage.bytesOf(first)
  for (let at = 4_096; at < found.length; at += 8) {
    const view = new DataView(found.buffer, found.byteOffset + at)
    if (view.byteLength > 128 && view.getUint32(0, true) === 0x3155_4c53 && found[at + 6] === 1) starts.push(at)
  }
  expect(starts.length).toBe(lengths.length)
  const end = starts.at(-1)! + 128 + Math.ceil(lengths.at(-1)! / 8) * 8
  if (options.close === true) writer.close()
  return { storage, written, end, starts }
}

/** Another image of the same disk, with the file changed. */
function changed(storage: MemoryLogStorage, change: (bytes: Uint8Array) => void): MemoryLogStorage {
  const copy = storage.copy({ crashable: true })
  change(copy.bytesOf(first))
  return copy
}

function sameUpTo(left: MemoryLogStorage, right: MemoryLogStorage, start: number, end: number): boolean {
  return Buffer.compare(left.bytesOf(first).slice(start, end), right.bytesOf(first).slice(start, end)) === 0
}

/** What must hold of any log that opens: it goes on, and opens again with all of it. */
function goesOn(storage: LogStorage, written: readonly Written[]): number {
  const found = recover(storage)
  const count = prefixLength(found.frames, written)
  const more = appendAll(openWriter(storage, found.tail), [77, 1_000])
  const again = recover(storage)
  expect(prefixLength(again.frames, [...written.slice(0, count), ...more])).toBe(count + 2)
  expect(again.tail.cutBytes).toBe(0)
  return count
}

test('every truncation point of a small log: what opens is a prefix, with all frames that lie before the cut', () => {
  const { storage, written, end, starts } = smallLog([40, 100, 7])
  for (let cut = 4_096; cut <= end; cut += 1) {
    const whole = starts.filter((_, i) => (starts[i + 1] ?? end) <= cut).length
    // A frame that loses nothing but zeros is whole.
    const zeroed = changed(storage, (bytes) => bytes.fill(0, cut))
    const same = starts.filter((start, i) => sameUpTo(zeroed, storage, start, starts[i + 1] ?? end)).length
    expect(goesOn(zeroed, written)).toBe(same)
    expect(same - whole).toBeLessThanOrEqual(1)

    const shorter = new MemoryLogStorage()
    shorter.create(first).write([storage.bytesOf(first).slice(0, cut)], 0)
    expect(prefixLength(recover(shorter).frames, written)).toBe(whole)
    if (cut % 16 === 1) expect(goesOn(shorter, written)).toBe(whole)
  }
})

test('a torn write at every byte, filled with random bytes, is cut', () => {
  const { storage, written, end, starts } = smallLog([40, 100, 70])
  const random = seeded(11)
  for (let cut = starts[2]; cut < end; cut += 1) {
    const torn = changed(storage, (bytes) => {
      for (let at = cut; at < bytes.length; at += 1) bytes[at] = Math.floor(random() * 256)
    })
    expect(goesOn(torn, written)).toBe(2)
  }
})

test('one damaged byte anywhere in a certified log is refused, and the file is left as it is', () => {
  const { storage, written, end } = smallLog([40, 100, 7], { close: true })
  const damages = [(byte: number) => byte ^ 0x10, () => 0x00, () => 0xff]
  const certificate = end
  let refused = 0
  for (let at = 0; at < end + 128; at += 1) {
    for (const damage of damages) {
      const copy = changed(storage, (bytes) => void (bytes[at] = damage(bytes[at])))
      const before = copy.bytesOf(first).slice()
      if (Buffer.compare(before, storage.bytesOf(first)) === 0) continue
      if (at >= certificate) {
        // Only the certificate itself is hit: no frame is lost, the certificate is cut.
        expect(goesOn(copy, written)).toBe(3)
        continue
      }
      expect(() => recover(copy), `byte ${at}`).toThrow(damaged)
      expect(Buffer.compare(before, copy.bytesOf(first))).toBe(0)
      refused += 1
    }
  }
  expect(refused).toBeGreaterThan(8_000)
})

test('one damaged byte in a log without certificate costs at most the last frame', () => {
  const { storage, written, end, starts } = smallLog([40, 100, 7])
  for (let at = 0; at < end; at += 1) {
    const copy = changed(storage, (bytes) => void (bytes[at] ^= 0x04))
    if (at < starts[2]) expect(() => recover(copy), `byte ${at}`).toThrow(damaged)
    else expect(goesOn(copy, written), `byte ${at}`).toBe(2)
  }
})

test('a lost frame followed by a good one of the same unsynced window is a torn tail', () => {
  const { storage, written, starts } = smallLog([40, 100, 70, 30], { sync: false })
  for (const lost of [1, 2]) {
    const copy = changed(storage, (bytes) => bytes.fill(0, starts[lost], starts[lost + 1]))
    const { tail } = recover(copy.copy())
    expect(tail.cutBytes).toBeGreaterThan(0)
    expect(goesOn(copy, written)).toBe(lost)
  }
})

test('a lost frame followed by one whose durableUpTo covers it is damage, with the place and both batches', () => {
  const { storage, written, starts } = smallLog([40, 100, 70, 30])
  const copy = changed(storage, (bytes) => bytes.fill(0, starts[1], starts[2]))
  let error: unknown
  try {
    recover(copy)
  } catch (caught) {
    error = caught
  }
  expect(error).toMatchObject({
    code: 'LOG_CORRUPT',
    details: { segment: 1, offset: starts[1], batch: written[0].batch, durableUpTo: written[2].batch },
  })
  expect(String(error)).toContain('Restore')

  const salvaged = recover(copy, { mode: 'salvage' })
  expect(prefixLength(salvaged.frames, written)).toBe(1)
  expect(salvaged.tail.damage).toMatchObject({ offset: starts[1], durableUpTo: written[2].batch })
  const untouched = changed(storage, (bytes) => bytes.fill(0, starts[1], starts[2]))
  expect(Buffer.compare(copy.bytesOf(first), untouched.bytesOf(first))).toBe(0)
})

test('an envelope behind the end is a claim unless it is of an older life; a cut one ages the next life', () => {
  const { storage, written, end } = smallLog([40, 100])
  const older = storage.copy()
  appendAll(openWriter(older, recover(older).tail), [30])
  const known = recover(older).tail
  const claim = (incarnation: number, durableUpTo: number): MemoryLogStorage => {
    const copy = older.copy()
    const offset = known.offset + 80
    const envelope = { segment: 1, offset, incarnation, durableUpTo, batch: 900, previous: 900 } as const
    const rest = { bodyBytes: 0, bodyCrc: 0, writtenCrc: 0, chain: 0 } as const
    const at = copy.bytesOf(first).subarray(offset, offset + 128)
    writeEnvelope(at, databaseId, { kind: 'certificate', ...envelope, ...rest })
    return copy
  }
  expect(known.incarnation).toBe(2)
  expect(end).toBeLessThan(known.offset)
  expect(() => recover(claim(2, 900))).toThrow(damaged)
  expect(recover(claim(1, 900)).tail).toMatchObject({ batch: known.batch, cutBytes: 208, incarnation: 2 })
  expect(recover(claim(9, written[1].batch)).tail).toMatchObject({ batch: known.batch, cutBytes: 208, incarnation: 9 })
})

test('a batch that is known from elsewhere to be durable makes a shorter log damage', () => {
  const { storage, written, starts } = smallLog([40, 100])
  const copy = changed(storage, (bytes) => bytes.fill(0, starts[1]))
  expect(recover(copy.copy(), { knownDurable: written[0].batch }).frames.length).toBe(1)
  expect(() => recover(copy, { knownDurable: written[1].batch })).toThrow(damaged)
  expect(() => recover(new MemoryLogStorage(), { knownDurable: 1 })).toThrow(damaged)
})

test('a frame inside user data is not mistaken for a frame', () => {
  const source = smallLog([40, 64, 70])
  const copyOfFrames = source.storage.bytesOf(first).slice(source.starts[0], source.end)
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail, { segmentBytesMax: 8_192 })
  // The data holds real envelopes of this database that claim durable batches, at other places than their own.
  const body = new Uint8Array(900)
  body.set(copyOfFrames, 56)
  writer.append(body, { batch: 1, previous: 0 })
  writer.sync()
  const start = 4_096 + 128 + Math.ceil(recover(storage).tail.schema!.length / 8) * 8
  expect(prefixLength(recover(storage).frames, [{ batch: 1, body }])).toBe(1)
  const torn = changed(storage, (bytes) => void (bytes[start + 128] ^= 1))
  const { tail, frames } = recover(torn)
  expect(frames).toEqual([])
  expect(tail.cutBytes).toBeGreaterThan(600)
})

test('the log of another database, a missing segment and a removed beginning are refused', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const written = appendAll(writer, [8_000, 8_000, 8_000])
  expect(() => recover(storage, { databaseId: new Uint8Array(16) })).toThrow(damaged)
  expect(recover(storage, { databaseId: undefined }).tail.databaseId).toEqual(databaseId)
  for (const gone of [1, 2]) {
    const copy = storage.copy()
    copy.remove(`000000000${gone}.slog`)
    expect(() => recover(copy)).toThrow(damaged)
  }
  const shorter = storage.copy()
  shorter.remove('0000000003.slog')
  expect(prefixLength(recover(shorter).frames, written)).toBe(2)
})

test('another history of the same database, at the same places, is not taken for ours', async () => {
  const twin = (fill: number): { storage: MemoryLogStorage; bodies: Uint8Array[]; starts: number[] } => {
    const storage = new MemoryLogStorage()
    const writer = openWriter(storage, recover(storage).tail)
    const bodies = [1_000, 2_000, 9_000].map((bytes, i) => new Uint8Array(bytes).fill(i === 0 ? fill : 7))
    const starts = bodies.map((body, i) => {
      const at = writer.append(body, { batch: i + 1, previous: i })
      writer.sync()
      return at.offset
    })
    return { storage, bodies, starts }
  }
  const ours = twin(1)
  const theirs = twin(2)
  expect(listSegments(ours.storage)).toEqual([1, 2])
  const expected = ours.bodies.map((body, i) => ({ batch: i + 1, body }))

  // Batch, previous and place of their second frame are those of ours; the chain alone tells them apart.
  const frame = theirs.storage.bytesOf(first).slice(ours.starts[1])
  const spliced = ours.storage.copy()
  spliced.bytesOf(first).set(frame, ours.starts[1])
  expect(prefixLength(recover(spliced, { mode: 'salvage' }).frames, expected)).toBe(1)

  const second = '0000000002.slog'
  const mixed = ours.storage.copy()
  mixed.bytesOf(second).set(theirs.storage.bytesOf(second))
  expect(prefixLength(recover(mixed.copy(), { mode: 'salvage' }).frames, expected)).toBe(2)
  const reader = LogReader.readFrom(mixed, { databaseId, batch: 1 })
  const read = async (): Promise<void> => {
    for await (const found of reader.frames(3)) expect(found.batch).toBeLessThan(3)
  }
  await expect(read()).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
})

test('recovery starts at the segment that holds what follows the checkpoint', () => {
  let bytesRead = 0
  const onOperation = (operation: StorageOperation): undefined => {
    if (operation.kind === 'read' && operation.name === first) bytesRead += operation.bytes
  }
  const storage = new MemoryLogStorage({ onOperation })
  const written = appendAll(openWriter(storage, recover(storage).tail), [4_000, 4_000, 4_000, 4_000, 4_000])
  for (let i = 0; i <= written.length; i += 1) {
    const after = i === 0 ? 0 : written[i - 1].batch
    bytesRead = 0
    expect(prefixLength(recover(storage, { after }).frames, written.slice(i))).toBe(written.length - i)
    if (i >= 4) expect(bytesRead).toBeLessThanOrEqual(4_096)
  }
})

test('segments that hold remains of a cut tail are removed, an empty next one is taken over', () => {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail, { durability: 'memory' })
  const written = appendAll(writer, [4_000, 4_000, 4_000, 4_000, 8_000])
  expect(listSegments(storage)).toEqual([1, 2, 3])
  storage.bytesOf(first).fill(0, 9_000, 9_100)
  expect(goesOn(storage.copy(), written)).toBe(1)
  const found = recover(storage)
  expect(found.tail).toMatchObject({ segment: 1, batch: written[0].batch })
  expect(listSegments(storage)).toEqual([1])

  const next = openWriter(storage, found.tail)
  next.prepareNext()
  expect(listSegments(storage)).toEqual([1, 2])
  recover(storage)
  expect(listSegments(storage)).toEqual([1, 2])
})

test('after a crash, at every level, what is there is a prefix with everything that was durable', () => {
  const levels = fc.constantFrom('fsync' as const, 'os' as const, 'memory' as const)
  const lengths = fc.array(fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 3_000, max: 12_000 })), {
    minLength: 1,
    maxLength: 14,
  })
  const seeds = fc.integer({ min: 0, max: 2 ** 31 })
  let cut = 0
  fc.assert(
    fc.property(levels, lengths, seeds, (durability, frames, seed) => {
      const random = seeded(seed)
      const likely = random()
      const keeps = (): boolean => random() < likely
      let disk = new MemoryLogStorage({ crashable: true })
      let written: Written[] = []
      let synced = 0
      for (let life = 0; life < 3; life += 1) {
        const found = recover(disk)
        const count = prefixLength(found.frames, written)
        expect(count).toBeGreaterThanOrEqual(synced)
        if (count < written.length) cut += 1
        written = written.slice(0, count)
        synced = count
        const writer = openWriter(disk, found.tail, { durability })
        for (const bytes of frames) {
          written.push(...appendAll(writer, [bytes], { sync: false }))
          const dice = random()
          if (dice < 0.3) writer.sync()
          else if (dice < 0.4) writer.prepareNext()
          else if (dice < 0.45) writer.certify()
          if (durability === 'fsync') synced = written.filter((frame) => frame.batch <= writer.durableUpTo).length
        }
        disk = disk.crash(keeps)
      }
    }),
    { numRuns: 250 },
  )
  expect(cut).toBeGreaterThan(100)
})

test('a crash at any step of a recovery leaves a log that recovers to the same frames', () => {
  for (let seed = 0; seed < 12; seed += 1) {
    const random = seeded(seed)
    const disk = new MemoryLogStorage({ crashable: true })
    const writer = openWriter(disk, recover(disk).tail)
    const written = appendAll(writer, [500, 4_000, 9_000, 100])
    const durable = written.length
    written.push(...appendAll(writer, [800, 700, 900, 5_000], { sync: false }))
    const crashed = disk.crash(() => random() < 0.7)
    const count = prefixLength(recover(crashed.copy()).frames, written)
    expect(count).toBeGreaterThanOrEqual(durable)

    for (let step = 0; ; step += 1) {
      let index = 0
      const onOperation = (operation: StorageOperation): StorageFault | undefined => {
        if (operation.kind === 'read') return undefined
        index += 1
        return index > step ? { code: 'EIO', writtenBytes: Math.floor(random() * operation.bytes) } : undefined
      }
      const attempt = crashed.copy({ crashable: true, onOperation })
      let done = true
      try {
        recover(attempt)
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' })
        done = false
      }
      const after = attempt.crash(() => random() < 0.5, { crashable: true })
      expect(prefixLength(recover(after).frames, written)).toBe(count)
      goesOn(after, written)
      if (done) break
    }
  }
})

test('what was readable but not on disk is on disk once recovery returns', () => {
  const disk = new MemoryLogStorage({ crashable: true })
  const writer = openWriter(disk, recover(disk).tail)
  const written = appendAll(writer, [300, 300])
  written.push(...appendAll(writer, [400, 500], { sync: false }))
  // The process died, the machine did not: recovery sees all four, serves them, and then the power goes.
  expect(disk.crash(() => false).bytesOf(first).indexOf(written[3].body[0])).toBeGreaterThan(-2)
  expect(prefixLength(recover(disk.crash(() => false)).frames, written)).toBe(2)
  expect(prefixLength(recover(disk).frames, written)).toBe(4)
  expect(prefixLength(recover(disk.crash(() => false)).frames, written)).toBe(4)
})

test('the head of the segment where recovery starts is written again as well', () => {
  let failing = false
  const onOperation = (operation: StorageOperation): StorageFault | undefined =>
    failing && operation.kind === 'sync' && operation.name === '0000000002.slog' ? { code: 'EIO' } : undefined
  const disk = new MemoryLogStorage({ crashable: true, onOperation })
  const writer = openWriter(disk, recover(disk).tail)
  const written = appendAll(writer, [9_000])
  expect(writer.prepareNext()).toBe('ready')
  failing = true
  expect(() => appendAll(writer, [9_000])).toThrow(expect.objectContaining({ code: 'LOG_FAILED' }))
  failing = false
  const after = written[0].batch
  expect(recover(disk.crash(() => true), { after }).frames).toEqual([])
  expect(recover(disk, { after }).frames.length).toBe(1)
  expect(recover(disk.crash(() => false), { after }).frames.length).toBe(1)
})

test('after a failed sync, pages that claim to be clean are written again by the next recovery', () => {
  let failing = false
  const onOperation = (operation: StorageOperation): StorageFault | undefined =>
    failing && operation.kind === 'sync' ? { code: 'EIO' } : undefined
  const disk = new MemoryLogStorage({ crashable: true, onOperation })
  const writer = openWriter(disk, recover(disk).tail)
  const written = appendAll(writer, [300])
  failing = true
  const batch = writer.writtenUpTo + 1
  expect(() => appendAll(writer, [600])).toThrow(expect.objectContaining({ code: 'LOG_FAILED' }))
  failing = false
  const found = recover(disk)
  expect(found.frames.map((frame) => frame.batch)).toEqual([written[0].batch, batch])
  expect(recover(disk.crash(() => false)).frames.length).toBe(2)
})

test('a disk that gives other bytes at the second reading is not served', () => {
  const { storage, written, starts } = smallLog([40, 100])
  let dropped = false
  // The page leaves the cache between the first reading and the rewriting, and the disk never had the second frame.
  const dropPage = (): void => {
    if (!dropped) copy.bytesOf(first).fill(0, starts[1])
    dropped = true
  }
  let frames = 0
  const copy = storage.copy({
    onOperation: (operation) => {
      if (operation.kind === 'read' && frames === 2) dropPage()
      return undefined
    },
  })
  const handedOut: number[] = []
  const read = (): void => {
    for (const frame of recoverLog(copy, { databaseId })) {
      if (frame.kind !== 'frame') continue
      handedOut.push(frame.batch)
      frames += 1
    }
  }
  expect(read).toThrow(damaged)
  expect(handedOut).toEqual(written.map((frame) => frame.batch))
  expect(dropped).toBe(true)
})

test('arbitrary bytes as a log are refused or cut, never read, and nothing else is thrown', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 6_000 }), fc.integer({ min: 1, max: 3 }), (bytes, segment) => {
      const storage = new MemoryLogStorage()
      storage.create(`000000000${segment}.slog`).write([bytes], 0)
      try {
        expect(recover(storage).frames).toEqual([])
      } catch (error) {
        expect(error).toMatchObject({ code: 'LOG_CORRUPT' })
      }
    }),
    { numRuns: 200 },
  )
})

test('many damages of any kind: a prefix or a refusal; all of it or a refusal when the last batch is known', () => {
  const source = new MemoryLogStorage()
  const writer = openWriter(source, recover(source).tail)
  const written = appendAll(writer, [40, 9_000, 7, 7_000, 600, 3_000, 9, 9, 5_000])
  writer.close()
  const segments = listSegments(source).map((segment) => `000000000${segment}.slog`)
  let refused = 0
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
      const random = seeded(seed)
      const upTo = (max: number): number => Math.floor(random() * max)
      const copy = source.copy()
      for (let i = 0; i <= upTo(3); i += 1) {
        const bytes = copy.bytesOf(segments[upTo(segments.length)])
        const from = upTo(bytes.length / 512) * 512
        const to = upTo(bytes.length / 512) * 512
        const kind = upTo(4)
        if (kind === 0) bytes.copyWithin(to, from, from + 512)
        else if (kind === 1) bytes.fill(0, from, from + 4_096)
        else if (kind === 2) bytes[upTo(bytes.length)] ^= 1 << upTo(8)
        else {
          const other = copy.bytesOf(segments[upTo(segments.length)]).slice(from, from + 512)
          bytes.set(other, Math.min(to, bytes.length - 512))
        }
      }
      const known = written.at(-1)!.batch
      for (const knownDurable of [known, 0]) {
        try {
          const count = prefixLength(recover(copy, { knownDurable }).frames, written)
          if (knownDurable > 0) expect(count).toBe(written.length)
        } catch (error) {
          expect(error).toMatchObject({ code: 'LOG_CORRUPT' })
          refused += 1
        }
      }
    }),
    { numRuns: 300 },
  )
  expect(refused).toBeGreaterThan(100)
})

test('a log in a folder: lives, segments and a torn end', () => {
  const path = mkdtempSync(join(tmpdir(), 'sluice-recovery-'))
  try {
    const storage = FileLogStorage.open(join(path, 'log'))
    const written: Written[] = []
    for (let life = 0; life < 3; life += 1) {
      const found = recover(storage)
      expect(prefixLength(found.frames, written)).toBe(written.length)
      const writer = openWriter(storage, found.tail)
      written.push(...appendAll(writer, [100, 9_000, 20_000, 5]))
      writer.prepareNext()
      if (life < 2) writer.close()
    }
    const { tail } = recover(storage)
    const file = storage.open(`${String(tail.segment).padStart(10, '0')}.slog`, 'write')
    file.write([new Uint8Array(64).fill(3)], tail.offset)
    file.close()
    expect(recover(storage).tail.cutBytes).toBe(64)
    expect(goesOn(storage, written)).toBe(written.length)
  } finally {
    rmSync(path, { recursive: true })
  }
})
