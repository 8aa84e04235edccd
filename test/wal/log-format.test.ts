/** A log of a newer format is whole, only not for us: it is refused in words that say so, and never changed. */
import { expect, test } from 'vitest'
import { crc32 } from 'node:zlib'
import { copyLog, inspectLog, LogReader, MemoryLogStorage, newerFormat } from '../../wal/index.js'
import { chainAfter } from '../../wal/envelope.js'
import { appendAll, databaseId, openWriter, recover, seeded, type Written } from './log-fixture.js'

const newer = expect.objectContaining({
  code: 'INVALID_USE',
  details: { format: 2, supported: 1 },
  message: expect.stringMatching(/newer sluicedb \(format 2; this one reads 1\): upgrade the package/),
})

function logOf(): { storage: MemoryLogStorage; written: Written[] } {
  const storage = new MemoryLogStorage()
  const writer = openWriter(storage, recover(storage).tail)
  const written = appendAll(writer, [40, 100, 9_000, 9_000])
  writer.close()
  return { storage, written }
}

/** Gives the envelope another format, and the checksum that belongs to it; `kind`: one that we do not know. */
function renumber(storage: MemoryLogStorage, name: string, offset: number, kind?: number): MemoryLogStorage {
  const copy = storage.copy()
  const bytes = copy.bytesOf(name).subarray(offset, offset + 128)
  const view = new DataView(bytes.buffer, bytes.byteOffset, 128)
  expect(view.getUint32(0, true)).toBe(0x3155_4c53)
  view.setUint16(4, 2, true)
  if (kind !== undefined) view.setUint8(6, kind)
  view.setUint32(124, crc32(bytes.subarray(0, 124)), true)
  return copy
}

function placesOf(storage: MemoryLogStorage): { name: string; offset: number; kind: string }[] {
  const places: { name: string; offset: number; kind: string }[] = []
  for (const found of inspectLog(storage)) {
    if (found.kind === 'end' || found.kind === 'missing' || found.kind === 'detached') continue
    places.push({ name: `000000000${found.segment}.slog`, offset: found.offset, kind: found.kind })
  }
  return places
}

test('every envelope, of the first segment and of later ones, in every kind: refused by all who read, and nothing is changed', async () => {
  const { storage, written } = logOf()
  const places = placesOf(storage)
  expect(new Set(places.map((place) => place.kind))).toEqual(new Set(['segment', 'schema', 'frame', 'certificate']))
  for (const { name, offset } of places) {
    for (const kind of [undefined, 9]) {
      const copy = renumber(storage, name, offset, kind)
      const before = copy.list().map((one) => copy.bytesOf(one).slice())
      expect(() => recover(copy)).toThrow(newer)
      expect(() => recover(copy, { mode: 'salvage' })).toThrow(newer)
      expect(() => recover(copy, { databaseId: undefined })).toThrow(newer)
      expect([...inspectLog(copy)].at(-1)).toMatchObject({ kind: 'end', verdict: 'newer' })
      expect(copy.list().every((one, at) => Buffer.compare(copy.bytesOf(one), before[at]!) === 0)).toBe(true)
      expect(() => copyLog(copy, new MemoryLogStorage())).toThrow(newer)
    }
  }
  // A cursor looks at heads to find its place, and meets the rest on its way.
  expect(() => LogReader.readFrom(renumber(storage, '0000000002.slog', 0), { databaseId, batch: 1 })).toThrow(newer)
  const second = places.filter((place) => place.kind === 'frame')[1]!
  const read = async (): Promise<void> => {
    const reader = LogReader.readFrom(renumber(storage, second.name, second.offset), { databaseId, batch: 1 })
    for await (const frame of reader.frames(written[3]!.batch)) expect(frame.batch).toBeLessThan(written[1]!.batch)
  }
  await expect(read()).rejects.toEqual(newer)
})

test('behind damage it is still a newer format, and not cut', () => {
  const { storage } = logOf()
  const places = placesOf(storage).filter((place) => place.kind === 'frame')
  const copy = renumber(storage, places[1]!.name, places[1]!.offset)
  copy.bytesOf(places[0]!.name)[places[0]!.offset + 130]! ^= 1
  expect(() => recover(copy)).toThrow(newer)
})

test('a newer envelope that is not at its place, or not whole, is data or damage', () => {
  const { storage, written } = logOf()
  const { name, offset } = placesOf(storage)[2]!
  const bytes = renumber(storage, name, offset).bytesOf(name).slice(offset, offset + 128)
  const elsewhere = new MemoryLogStorage()
  const writer = openWriter(elsewhere, recover(elsewhere).tail)
  const body = new Uint8Array(1_024)
  body.set(bytes, 256)
  writer.append(body, { batch: 1, previous: 0 })
  writer.close()
  expect(recover(elsewhere).frames.length).toBe(1)
  const torn = renumber(storage, name, offset)
  torn.bytesOf(name)[offset + 60]! ^= 1
  expect(() => recover(torn)).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
  expect(written.length).toBe(4)
})

test('the words fit every kind of file', () => {
  expect(newerFormat('checkpoint', 3, 1)).toMatchObject({ code: 'INVALID_USE', retryable: false, details: { format: 3, supported: 1 } })
})

test('the chain is the crc32 of the four bytes, continued', () => {
  const random = seeded(4)
  const word = new Uint8Array(4)
  for (let n = 0; n < 1_000; n += 1) {
    const [chain, crc] = [Math.floor(random() * 2 ** 32), Math.floor(random() * 2 ** 32)]
    new DataView(word.buffer).setUint32(0, crc, true)
    expect(chainAfter(chain, crc)).toBe(crc32(word, chain))
  }
})
