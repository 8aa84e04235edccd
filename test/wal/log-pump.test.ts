/** The steps of the log thread, taken one by one over a disk in memory with a clock of our own. */
import { expect, test, vi } from 'vitest'
import { limits } from '../../engine/base/limits.js'
import { Control } from '../../engine/shared/control.js'
import { FrameRing } from '../../engine/shared/frame-ring.js'
import { Statistics } from '../../engine/shared/statistics.js'
import { LogPump } from '../../engine/worker/log-pump.js'
import { listSegments, MemoryLogStorage } from '../../wal/index.js'
import type { Durability, StorageFault, StorageOperation } from '../../wal/index.js'
import { bodyOf, openWriter, prefixLength, recover, seeded, type Written } from './log-fixture.js'

// The machine may be shared: what is slow then is the machine, not the log.
vi.setConfig({ testTimeout: 60_000 })

const KiB = 1_024
const MiB = 1_024 * KiB

class Bench {
  readonly control = Control.create(1)
  readonly frames = new FrameRing(new SharedArrayBuffer(8 * MiB), new SharedArrayBuffer(8 * MiB), this.control)
  readonly pump: LogPump
  readonly sealed: Written[]
  nowMs = 0
  rings = 0

  constructor(storage: MemoryLogStorage, options: { durability?: Durability; segmentBytesMax?: number; sealed?: Written[] } = {}) {
    const { durability = 'fsync', segmentBytesMax = 64 * KiB, sealed = [] } = options
    this.sealed = [...sealed]
    const { tail } = recover(storage)
    this.control.durable = tail.batch
    this.control.written = tail.batch
    const writer = openWriter(storage, tail, { durability, segmentBytesMax })
    const monotonicMs = (): number => this.nowMs
    const ring = (): void => void (this.rings += 1)
    this.pump = new LogPump({ control: this.control, frames: this.frames, writer, durability, statistics: Statistics.create(), monotonicMs, ring })
  }

  seal(bytes: number): void {
    const previous = this.sealed.at(-1)?.batch ?? 0
    const batch = previous + 1
    const body = bodyOf(batch, bytes)
    const { bytes: target, at } = this.frames.reserve(bytes)
    target.set(body, at)
    this.frames.publish(batch, previous, 0, 1, bytes)
    this.sealed.push({ batch, body })
  }

  get isFull(): boolean {
    return this.control.load('diskFull') !== 0
  }

  /** Steps until nothing is due now. */
  settle(): void {
    for (let steps = 0; this.pump.step() === 'worked'; steps += 1) expect(steps).toBeLessThan(10_000)
  }
}

test('all frames that are there are written with one sync, and durable afterwards', () => {
  let syncs = 0
  const storage = new MemoryLogStorage({ onOperation: ({ kind }) => void (syncs += kind === 'sync' ? 1 : 0) })
  const bench = new Bench(storage, { segmentBytesMax: MiB })
  bench.settle()
  const before = syncs
  for (let n = 0; n < 20; n += 1) bench.seal(200)
  expect(bench.control.durable).toBe(0)
  expect(bench.pump.step()).toBe('worked')
  expect(syncs - before).toBe(1)
  expect([bench.control.durable, bench.control.written]).toEqual([20, 20])
  expect(prefixLength(recover(storage).frames, bench.sealed)).toBe(20)
})

test('main is rung when it sleeps, and only then', () => {
  const bench = new Bench(new MemoryLogStorage())
  bench.seal(10)
  bench.pump.step()
  expect(bench.rings).toBe(0)
  bench.control.mainFallsAsleep(() => false)
  bench.seal(10)
  bench.pump.step()
  expect(bench.rings).toBe(1)
})

test('a certificate follows when nothing has come for a while, once', () => {
  const storage = new MemoryLogStorage()
  const bench = new Bench(storage)
  bench.settle()
  expect(bench.pump.waitMs).toBe(Infinity)
  bench.seal(100)
  bench.settle()
  expect(bench.pump.waitMs).toBe(limits.certifyAfterMs)
  bench.nowMs += limits.certifyAfterMs - 1
  expect(bench.pump.step()).toBe('idle')
  expect(recover(storage.copy()).tail.certified).toBe(0)
  bench.nowMs += 1
  expect(bench.pump.step()).toBe('worked')
  expect(recover(storage.copy()).tail.certified).toBe(1)
  expect([bench.pump.step(), bench.pump.waitMs]).toEqual(['idle', Infinity])
})

test('a log that is never idle finds its next segment ready all the same', () => {
  const before: string[] = []
  let last = ''
  const storage = new MemoryLogStorage({
    onOperation: ({ kind, name, at, bytes }) => {
      const isHead = kind === 'write' && at === 0 && bytes === 4_096
      if (isHead) before.push(`${last}, ${storage.bytesOf(name).length / MiB} MiB`)
      last = kind
    },
  })
  const bench = new Bench(storage, { segmentBytesMax: 4 * MiB })
  for (let n = 0; n < 40; n += 1) {
    bench.seal(300 * KiB)
    last = 'nothing'
    bench.pump.step()
    expect(bench.pump.hasFrames).toBe(false)
  }
  // Nobody could prepare the first one. The others are entered at once by the frame that needs them.
  expect(before).toEqual(['sync, 4 MiB', 'nothing, 4 MiB', 'nothing, 4 MiB', 'nothing, 4 MiB'])
})

// ── a full disk ───────────────────────────────────────────────────────────────────────────────────────────────

/** A disk that holds so many bytes: what is there can be written over, what grows may not fit. */
function smallDisk(): { storage: MemoryLogStorage; room: { bytes: number }; used: () => number } {
  const room = { bytes: Infinity }
  const used = (): number => storage.list().reduce((sum, name) => sum + storage.bytesOf(name).length, 0)
  const storage = new MemoryLogStorage({
    onOperation: ({ kind, name, at, bytes }): StorageFault | undefined => {
      if (kind !== 'write') return undefined
      const grows = at + bytes - storage.bytesOf(name).length
      return grows > 0 && used() + grows > room.bytes ? { code: 'ENOSPC' } : undefined
    },
  })
  return { storage, room, used }
}

test('a full disk is said as soon as it is met, and unsaid when the whole segment has found room', () => {
  const { storage, room, used } = smallDisk()
  const bench = new Bench(storage, { segmentBytesMax: 4 * MiB })
  room.bytes = used() + 2 * MiB
  bench.settle()
  expect(bench.isFull).toBe(false)
  while (!bench.isFull) {
    bench.seal(100 * KiB)
    bench.settle()
    expect(bench.sealed.length).toBeLessThan(25)
  }
  // What was taken before goes on, in this segment and in what is prepared of the next.
  const met = bench.sealed.length
  for (let n = 0; n < 45; n += 1) {
    bench.seal(100 * KiB)
    bench.settle()
  }
  expect(listSegments(storage)).toEqual([1, 2])
  expect(bench.control.durable).toBe(met + 45)
  expect(storage.bytesOf('0000000002.slog').length).toBe(2 * MiB)

  const trials = storage.operations
  bench.nowMs += limits.diskRetryMs - 1
  bench.settle()
  expect(storage.operations - trials).toBeLessThan(4)
  bench.nowMs += 1
  bench.settle()
  expect([bench.isFull, bench.pump.waitMs]).toEqual([true, limits.diskRetryMs])
  room.bytes = used() + 2 * MiB
  bench.nowMs += limits.diskRetryMs
  bench.settle()
  expect(bench.isFull, 'half a segment is not enough').toBe(true)
  room.bytes = Infinity
  bench.nowMs += limits.diskRetryMs
  bench.settle()
  expect([bench.isFull, bench.pump.waitMs]).toEqual([false, Infinity])
  for (let n = 0; n < 100; n += 1) {
    bench.seal(100 * KiB)
    bench.settle()
  }
  expect(prefixLength(recover(storage).frames, bench.sealed)).toBe(bench.sealed.length)
})

test('when what is taken does not fit any more the log fails, nothing acknowledged is lost, and with room it goes on', () => {
  const { storage, room, used } = smallDisk()
  const bench = new Bench(storage, { segmentBytesMax: 4 * MiB })
  room.bytes = used() + 2 * MiB
  const overfill = (): void => {
    for (let n = 0; n < 100; n += 1) {
      bench.seal(100 * KiB)
      bench.settle()
    }
  }
  expect(overfill).toThrow(expect.objectContaining({ code: 'LOG_FAILED' }))
  expect(bench.isFull).toBe(true)
  const acknowledged = bench.control.durable
  expect(acknowledged).toBeGreaterThan(45)
  expect(prefixLength(recover(storage.copy()).frames, bench.sealed)).toBeGreaterThanOrEqual(acknowledged)

  // Opening while the disk is still full: all there, nothing refused but more of it.
  const reading = recover(storage)
  expect(reading.frames.length).toBeGreaterThanOrEqual(acknowledged)
  room.bytes = Infinity
  const again = new Bench(storage, { segmentBytesMax: 4 * MiB, sealed: reading.frames })
  for (let n = 0; n < 60; n += 1) {
    again.seal(100 * KiB)
    again.settle()
  }
  expect(prefixLength(recover(storage).frames, again.sealed)).toBe(reading.frames.length + 60)
})

test('a new log on a full disk is refused as such, and opens when there is room', () => {
  let isFull = true
  const storage = new MemoryLogStorage({
    onOperation: ({ kind }) => (isFull && kind === 'write' ? { code: 'EDQUOT', writtenBytes: 3_000 } : undefined),
  })
  expect(() => new Bench(storage)).toThrow(expect.objectContaining({ code: 'OUT_OF_SPACE', details: { disk: true } }))
  isFull = false
  const bench = new Bench(storage)
  bench.seal(100)
  bench.settle()
  expect(prefixLength(recover(storage).frames, bench.sealed)).toBe(1)
})

test('no room at the n-th operation, once or for good, at any n: what was durable is there, and the log goes on', () => {
  const run = (failAt: number, isForGood: boolean): { operations: number; outcome: 'fine' | 'failed' | 'refused' } => {
    let isFull = false
    const onOperation = ({ index, kind }: StorageOperation): StorageFault | undefined => {
      if (kind !== 'write' && kind !== 'create') return undefined
      if (index === failAt) isFull = true
      return isFull && (isForGood || index === failAt) ? { code: 'ENOSPC', writtenBytes: index % 700 } : undefined
    }
    const storage = new MemoryLogStorage({ crashable: true, onOperation })
    const random = seeded(failAt + 7)
    let bench: Bench | undefined
    let outcome: 'fine' | 'failed' | 'refused' = 'fine'
    try {
      bench = new Bench(storage, { segmentBytesMax: 16 * KiB })
      for (let n = 0; n < 10; n += 1) {
        if (!bench.isFull) bench.seal(1 + Math.floor(random() * 6_000))
        bench.nowMs += 40 * n
        bench.settle()
      }
    } catch (error) {
      const { code } = error as { code: string }
      expect(['LOG_FAILED', 'OUT_OF_SPACE']).toContain(code)
      outcome = code === 'LOG_FAILED' ? 'failed' : 'refused'
    }
    const { operations } = storage
    for (const keeps of [() => false, () => random() < 0.5]) {
      const disk = storage.crash(keeps, { crashable: true })
      const found = recover(disk)
      expect(prefixLength(found.frames, bench?.sealed ?? [])).toBeGreaterThanOrEqual(bench?.control.durable ?? 0)
      const again = new Bench(disk, { sealed: found.frames, segmentBytesMax: 16 * KiB })
      for (let n = 0; n < 5; n += 1) {
        again.seal(4_000)
        again.settle()
      }
      expect(prefixLength(recover(disk).frames, again.sealed)).toBe(found.frames.length + 5)
    }
    return { operations, outcome }
  }
  const { operations } = run(-1, false)
  expect(operations).toBeGreaterThan(30)
  const outcomes = { fine: 0, failed: 0, refused: 0 }
  for (let failAt = 0; failAt < operations; failAt += 1) {
    for (const isForGood of [false, true]) outcomes[run(failAt, isForGood).outcome] += 1
  }
  expect(Object.values(outcomes).every((count) => count > 0), JSON.stringify(outcomes)).toBe(true)
})
