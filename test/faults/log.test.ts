/**
 * The log alone, on a disk in memory that loses, tears, refuses and damages. What is found must be an exact prefix with
 * everything that was synced, or a refusal; never other bytes.
 *
 * The whole engine meets the same faults in engine.test.ts.
 */
import { expect } from 'vitest'
import { SluiceError } from '../../engine/base/errors.js'
import { MemoryLogStorage, type StorageFault, type StorageOperation } from '../../wal/index.js'
import type { Random } from '../support/random.js'
import { appendAll, openWriter, prefixLength, recover, type Written } from '../wal/log-fixture.js'
import { damage, randomBytes } from './damage.js'
import { faultRow } from './row.js'
import { closedLog, foreignLog, live, mustBeSettled, mustHave, prefixOf, sameFiles, type BuiltLog, type Lived } from './small-log.js'

const levels = ['fsync', 'fsync', 'os', 'memory'] as const
const seven = new Uint8Array(512).fill(7)

faultRow(
  2,
  {
    title: 'lost and reordered unsynced writes',
    injected: 'a disk that keeps a seeded subset of the sectors, names and removals that nobody synced; up to 3 lives in a row',
    invariant: 'an exact prefix of the frames, with all that were synced; opening again changes nothing',
    pr: 2_000,
    nightly: 50_000,
  },
  (run) => {
    let lost = 0
    let cut = 0
    for (const _ of run.cases()) {
      const random = run.chance
      const durability = random.pick(levels)
      let lived: Lived | undefined
      let disk = new MemoryLogStorage({ crashable: true })
      for (let life = 0; life < 3; life += 1) {
        lived = live(disk, lived, random, durability)
        const likely = random.pick([0, 0.3, 0.6, 0.9, 1])
        disk = disk.crash(() => random.chance(likely))
        const count = prefixOf(disk, lived)
        if (count < mustHave(lived)) throw new Error(`${count} frames were found, ${mustHave(lived)} were synced`)
        lost += lived.written.filter(({ batch }) => batch > lived!.removedUpTo).length - count
        if (count < lived.written.length) cut += 1
        mustBeSettled(disk, lived.removedUpTo)
      }
    }
    run.figure('frames lost that nobody had been told of', lost)
    run.figure('crashes that cut something', cut)
  },
)

const tornSizes = [0, 8, 40, 200, 500, 900, 12_000, 20_000]
const fills = ['zeros', 'old bytes', 'random bytes'] as const

faultRow(
  3,
  {
    title: 'torn write',
    injected: 'the last write cut at every byte (above 4 KiB at every sector), the rest filled with zeros, with old bytes, with random bytes',
    invariant: 'the frame is dropped whole, or was there whole; everything before it is found',
    pr: 5_000,
    nightly: 50_000,
  },
  (run) => {
    let whole = 0
    do {
      for (const bytes of tornSizes) {
        const { disk, written, name, at, data } = lastWrite(run.chance, bytes)
        const step = data.length > 4_096 ? 512 : 1
        for (let cut = 0; cut <= data.length && !run.isOver; cut += step) {
          for (const fill of fills) {
            const image = disk.copy()
            const rest = data.length - cut
            const tail = fill === 'zeros' ? new Uint8Array(rest) : fill === 'old bytes' ? repeated(seven, rest) : randomBytes(run.chance, rest)
            const file = image.open(name, 'write')
            file.write([data.subarray(0, cut), tail], at)
            const found = recover(image).frames
            const count = prefixLength(found, written)
            // Without a frame in it, the write was a certificate.
            const before = bytes === 0 ? written.length : written.length - 1
            if (count < before) throw new Error(`cut at ${cut} of ${data.length}, ${fill}: ${count} frames of ${written.length}`)
            // A segment that begins with the torn write goes as a whole.
            const isSame = image.list().includes(name) && Buffer.compare(image.bytesOf(name).subarray(at, at + data.length), data) === 0
            if (count > before && !isSame) throw new Error(`cut at ${cut} of ${data.length}, ${fill}: the last frame was found, and it is not whole`)
            if (count > before) whole += 1
            run.done()
          }
        }
      }
    } while (run.rounds > 1 && !run.isOver)
    run.figure('cuts that lost nothing but zeros', whole)
  },
)

/** A log whose last write was not synced: the disk without it, and the write. */
function lastWrite(random: Random, bytes: number): BuiltLog & { readonly name: string; readonly at: number; readonly data: Uint8Array } {
  const { disk, written } = closedLog(random, { frames: 6, bytesMax: 2_000, segmentBytesMax: 32_768, lives: 2 })
  const before = disk.copy()
  const writer = openWriter(disk, recover(disk).tail, { segmentBytesMax: 65_536 })
  if (bytes === 0) {
    const more = appendAll(writer, [100])
    const image = disk.copy()
    writer.certify()
    return { disk: image, written: [...written, ...more], ...difference(image, disk) }
  }
  const more = appendAll(writer, [bytes], { sync: false })
  // A frame that rolled into a new segment: the segment stays, its content goes.
  for (const name of disk.list()) {
    if (!before.list().includes(name)) before.create(name).write([new Uint8Array(disk.bytesOf(name).length)], 0)
  }
  return { disk: before, written: [...written, ...more], ...difference(before, disk) }
}

function difference(left: MemoryLogStorage, right: MemoryLogStorage): { name: string; at: number; data: Uint8Array } {
  for (const name of right.list()) {
    const [a, b] = [left.bytesOf(name), right.bytesOf(name)]
    if (Buffer.compare(a, b) === 0) continue
    let at = 0
    while (a[at] === b[at]) at += 1
    let end = b.length
    while (a[end - 1] === b[end - 1]) end -= 1
    return { name, at, data: b.slice(at, end) }
  }
  throw new Error('nothing was written')
}

const repeated = (bytes: Uint8Array, length: number): Uint8Array => Uint8Array.from({ length }, (_, n) => bytes[n % bytes.length]!)

faultRow(
  '8 log',
  {
    title: 'EIO on read at open',
    injected: 'the n-th read of the log fails, once and from then on, for every n',
    invariant: 'a clear error, files untouched; the next opening finds everything',
    pr: 100,
    nightly: 1_000,
  },
  (run) => {
    for (const index of run.cases()) {
      const { disk, written } = closedLog(run.chance, { frames: 12, bytesMax: 4_000, segmentBytesMax: 8_192 })
      for (let n = 0; ; n += 1) {
        let read = 0
        const isOnce = (n + index) % 2 === 0
        const onOperation = ({ kind }: StorageOperation): StorageFault | undefined => {
          if (kind !== 'read') return undefined
          read += 1
          return isOnce ? (read === n + 1 ? { code: 'EIO' } : undefined) : read > n ? { code: 'EIO' } : undefined
        }
        const image = disk.copy({ crashable: true, onOperation })
        let error: unknown
        try {
          recover(image)
        } catch (caught) {
          error = caught
        }
        if (read <= n && error === undefined) break
        expect((error as { code?: unknown }).code, `read ${n}`).toBe('EIO')
        if (!sameFiles(disk, image)) throw new Error(`read ${n} failed, and the files were changed`)
        if (prefixLength(recover(image.copy({})).frames, written) !== written.length) throw new Error('the next opening finds less')
      }
    }
  },
)

// ── damage ────────────────────────────────────────────────────────────────────────────────────────────────────

faultRow(
  '12 log',
  {
    title: 'many damages of the log',
    injected: 'bits, swapped, doubled and misdirected sectors, zeroed pages, files cut short, made longer, removed and of another database; 1 to 4 at once',
    invariant: 'all of it, or a refusal, when the newest batch is known; else an exact prefix or a refusal. A refusal changes nothing',
    pr: 1_000,
    nightly: 20_000,
  },
  (run) => {
    let refused = 0
    let harmless = 0
    let peak = 0
    for (const _ of run.cases()) {
      const random = run.chance
      const shape = { frames: 9, bytesMax: random.pick([60, 900, 9_000]), segmentBytesMax: 8_192, lives: 1 + random.below(3) }
      const { disk, written } = closedLog(random, shape)
      const other = foreignLog(random, 8)
      const image = disk.copy()
      const done: string[] = []
      for (let n = 1 + random.below(4); n > 0 && image.list().length > 0; n -= 1) done.push(damage(image, other, random))
      if (sameFiles(disk, image)) harmless += 1
      const memory = process.memoryUsage().arrayBuffers
      for (const knownDurable of [written.at(-1)!.batch, 0]) {
        const before = image.copy()
        try {
          const count = prefixLength(recover(image, { knownDurable }).frames, written)
          if (knownDurable > 0 && count < written.length) throw new Error(`${done.join(', ')}: ${count} of ${written.length} frames, and nobody was told`)
        } catch (error) {
          if (!SluiceError.is(error, 'LOG_CORRUPT')) throw new Error(`${done.join(', ')}: ${String(error)}`, { cause: error })
          if (!sameFiles(before, image)) throw new Error(`${done.join(', ')}: refused, and the files were changed`)
          refused += 1
        }
      }
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - memory)
    }
    run.figure('refused', refused)
    run.figure('damages that changed nothing', harmless)
    run.figure('most memory for one log', Math.round(peak / 1_024), 'KiB')
  },
)

faultRow(
  '13 damage',
  {
    title: 'damage before a frame that covers it',
    injected: 'one frame before the last is zeroed, torn, flipped or overwritten, in a log whose frames were synced one by one',
    invariant: 'refused with the place; nothing changed; a salvage gives exactly the frames before, and names what is lost',
    pr: 400,
    nightly: 10_000,
  },
  (run) => {
    for (const _ of run.cases()) {
      const random = run.chance
      const { disk, written } = closedLog(random, { frames: 8, bytesMax: random.pick([60, 2_000]), segmentBytesMax: 32_768 })
      const victim = random.below(written.length)
      const { name, start, end } = placeOf(disk, written[victim]!)
      const bytes = disk.bytesOf(name)
      const kind = random.below(4)
      if (kind === 0) bytes.fill(0, start, end)
      else if (kind === 1) bytes.fill(0, start + random.below(end - start - 1), end)
      else if (kind === 2) bytes[start + random.below(128 + written[victim]!.body.length)]! ^= 1 << random.below(8)
      else bytes.set(randomBytes(random, end - start), start)
      const before = disk.copy()
      if (victim + 1 <= written.length && sameBody(bytes, start, written[victim]!)) continue // only zeros were hit
      let error: unknown
      try {
        recover(disk)
      } catch (caught) {
        error = caught
      }
      expect(error).toMatchObject({ code: 'LOG_CORRUPT', details: { offset: start, batch: written[victim - 1]?.batch ?? 0 } })
      if (!sameFiles(before, disk)) throw new Error('refused, and the files were changed')
      const salvaged = recover(disk, { mode: 'salvage' })
      expect(prefixLength(salvaged.frames, written)).toBe(victim)
      expect(salvaged.tail.damage).toMatchObject({ offset: start, durableUpTo: written.at(-1)!.batch })
    }
  },
)

faultRow(
  '13 window',
  {
    title: 'a lost frame followed by a good one of the same unsynced window',
    injected: 'several frames written between two syncs; one that is not the last of them never reached the disk',
    invariant: 'opens: the frames before the lost one, the rest is cut; a normal power cut never makes a database refuse',
    pr: 400,
    nightly: 10_000,
  },
  (run) => {
    for (const _ of run.cases()) {
      const random = run.chance
      const { disk, written } = closedLog(random, { frames: 4, bytesMax: 900, segmentBytesMax: 65_536, lives: 2 })
      const writer = openWriter(disk, recover(disk).tail, { segmentBytesMax: 65_536 })
      const lengths = Array.from({ length: 2 + random.below(5) }, () => 1 + random.below(900))
      const window = appendAll(writer, lengths, { sync: false })
      const lost = random.below(window.length - 1)
      const { name, start, end } = placeOf(disk, window[lost]!)
      disk.bytesOf(name).fill(0, start, end)
      const found = recover(disk)
      const count = prefixLength(found.frames, [...written, ...window])
      expect(count).toBe(written.length + lost)
      expect(found.tail.cutBytes).toBeGreaterThan(0)
      const more = appendAll(openWriter(disk, found.tail), [50])
      expect(prefixLength(recover(disk).frames, [...written, ...window.slice(0, lost), ...more])).toBe(count + 1)
    }
  },
)

interface Place {
  readonly name: string
  readonly start: number
  readonly end: number
}

/** Where a frame lies, by its body. */
function placeOf(disk: MemoryLogStorage, frame: Written): Place {
  for (const name of disk.list()) {
    const bytes = disk.bytesOf(name)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 4_096; at + 128 <= bytes.length; at += 8) {
      const isFrame = view.getUint32(at, true) === 0x3155_4c53 && bytes[at + 6] === 1
      if (isFrame && view.getFloat64(at + 40, true) === frame.batch && sameBody(bytes, at, frame)) {
        return { name, start: at, end: at + 128 + Math.ceil(frame.body.length / 8) * 8 }
      }
    }
  }
  throw new Error(`batch ${frame.batch} is in no file`)
}

const sameBody = (bytes: Uint8Array, at: number, { body, batch }: Written): boolean =>
  Buffer.compare(bytes.subarray(at + 128, at + 128 + body.length), body) === 0 &&
  new DataView(bytes.buffer, bytes.byteOffset + at, 48).getFloat64(40, true) === batch
