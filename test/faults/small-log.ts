/**
 * Small logs to hurt: some segments of a few KiB, and what was written to them. The builders of test/wal/log-fixture.ts,
 * with removal of old segments, and with what a row of the fault table must say of a log that opens.
 */
import { type Durability, LogWriter, MemoryLogStorage, recoverLog, removeSegments } from '../../wal/index.js'
import type { Random } from '../support/random.js'
import { appendAll, databaseId, openWriter, prefixLength, recover, schema, type Written } from '../wal/log-fixture.js'

export interface BuiltLog {
  readonly disk: MemoryLogStorage
  readonly written: readonly Written[]
}

/** Frames of a few bytes to a few KiB, each synced; closed, so that a certificate stands behind the last one. */
export function closedLog(random: Random, options: { frames: number; bytesMax: number; segmentBytesMax: number; lives?: number }): BuiltLog {
  const disk = new MemoryLogStorage({ crashable: true })
  const written: Written[] = []
  const lives = options.lives ?? 1
  for (let life = 0; life < lives; life += 1) {
    const writer = openWriter(disk, recover(disk).tail, { segmentBytesMax: options.segmentBytesMax })
    for (let n = 0; n < options.frames / lives; n += 1) {
      written.push(...appendAll(writer, [1 + random.below(options.bytesMax)]))
      if (random.chance(0.2)) writer.certify()
      if (random.chance(0.3)) writer.prepareNext()
    }
    writer.close()
  }
  return { disk, written }
}

/** The files of another database, with frames like ours. */
export function foreignLog(random: Random, frames: number): MemoryLogStorage {
  const disk = new MemoryLogStorage({ crashable: true })
  const id = Uint8Array.from({ length: 16 }, () => random.below(256))
  const { tail } = recover(disk, { databaseId: id })
  const options = { databaseId: id, schema, durability: 'fsync', segmentBytesMax: 8_192 } as const
  const writer = LogWriter.open(disk, tail, options)
  for (let n = 0; n < frames; n += 1) appendAll(writer, [1 + random.below(3_000)])
  writer.close()
  return disk
}

export interface Lived {
  readonly disk: MemoryLogStorage
  /** All that was ever written and may still be there. */
  readonly written: readonly Written[]
  /** So many of them were synced: they must be found. */
  readonly synced: number
  /** Nothing up to here is needed: segments may be gone. */
  readonly removedUpTo: number
}

/** One life on a disk: appends, syncs, certificates, preparation and removal in any order, up to no particular end. */
export function live(disk: MemoryLogStorage, before: Lived | undefined, random: Random, durability: Durability): Lived {
  let removedUpTo = before?.removedUpTo ?? 0
  const found = recover(disk, { after: removedUpTo })
  const old = (before?.written ?? []).filter(({ batch }) => batch > removedUpTo)
  const count = prefixLength(found.frames, old)
  const written = old.slice(0, count)
  const writer = openWriter(disk, found.tail, { durability, segmentBytesMax: 8_192 << random.below(3) })
  let synced = count
  for (let steps = 1 + random.below(14); steps > 0; steps -= 1) {
    const bytes = random.chance(0.85) ? 1 + random.below(900) : 2_000 + random.below(12_000)
    written.push(...appendAll(writer, [bytes], { sync: false }))
    const die = random.fraction()
    if (die < 0.35) writer.sync()
    else if (die < 0.45) writer.prepareNext()
    else if (die < 0.5) writer.certify()
    else if (die < 0.55 && written.length > 3) {
      // As after a checkpoint: of what is synced, something.
      const upTo = written[random.below(Math.max(1, synced))]!.batch
      if (synced > 0 && durability === 'fsync') {
        removeSegments(disk, { upTo })
        removedUpTo = Math.max(removedUpTo, upTo)
      }
    }
    if (durability === 'fsync') synced = written.filter(({ batch }) => batch <= writer.durableUpTo).length
  }
  return { disk, written, synced, removedUpTo }
}

/** The frames of an image that must be a prefix of what was written; how many of those above `after` there are. */
export function prefixOf(disk: MemoryLogStorage, lived: Lived): number {
  const wanted = lived.written.filter(({ batch }) => batch > lived.removedUpTo)
  return prefixLength(recover(disk, { after: lived.removedUpTo }).frames, wanted)
}

/** Of what was synced, what must still be found. */
export const mustHave = (lived: Lived): number =>
  lived.written.slice(0, lived.synced).filter(({ batch }) => batch > lived.removedUpTo).length

export function sameFiles(left: MemoryLogStorage, right: MemoryLogStorage): boolean {
  const names = left.list()
  if (names.join() !== right.list().join()) return false
  return names.every((name) => Buffer.compare(left.bytesOf(name), right.bytesOf(name)) === 0)
}

/** Opening once more changes nothing, and finds nothing behind the end. */
export function mustBeSettled(disk: MemoryLogStorage, after: number): void {
  const before = disk.copy()
  const steps = recoverLog(disk, { databaseId, after })
  let step = steps.next()
  while (step.done !== true) step = steps.next()
  if (step.value.cutBytes > 0) throw new Error(`${step.value.cutBytes} bytes were left behind the end of the log`)
  if (!sameFiles(before, disk)) throw new Error('opening a second time changes the files')
}
