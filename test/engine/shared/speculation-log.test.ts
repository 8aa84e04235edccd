/** Runs on their way: every request is taken once, and an entry comes out as it went in. */
import { describe, expect, test } from 'vitest'
import { limits } from '../../../engine/base/limits.js'
import { eventInts } from '../../../engine/shared/lane-log.js'
import { operationInts, SpeculationClaims, type SpeculationEntry, SpeculationLog } from '../../../engine/shared/speculation-log.js'
import { randomFrom, seeds } from '../store/fixture.js'

const emptyEntry = (): SpeculationEntry => ({
  readsAt: 0, reads: 0, rangesAt: 0, rangesEnd: 0, operationsAt: 0, operations: 0, eventsAt: 0, events: 0, valueAt: 0, valueBytes: 0, payloadsAt: 0,
})
const ints = (...words: number[]) => ({ words: Int32Array.from([...words, 77, 77]), length: words.length })
const memory = (...bytes: number[]) => ({ memory: Uint8Array.from([...bytes, 88]), length: bytes.length })

describe('claims', () => {
  test('each request is taken once, by whomever; then come numbers that are none', () => {
    const claims = SpeculationClaims.create()
    const mine = new SpeculationClaims(claims.buffer)
    claims.open(4)
    expect([claims.take(), mine.take(), claims.take(), mine.take(), claims.take()]).toEqual([0, 1, 2, 3, 4])
    claims.open(2)
    expect(mine.take()).toBe(0)
  })

  test('a run is found where it was noted; the others have none, also when the batch before had', () => {
    const claims = SpeculationClaims.create()
    claims.open(3)
    claims.note(0, 0, 0)
    claims.note(2, limits.workersMax - 1, limits.speculationLogBytes / 4 - 1)
    expect([0, 1, 2].map((n) => claims.place(n))).toEqual([0, -1, limits.speculationLogBytes / 4 - 1])
    expect([claims.worker(0), claims.worker(2)]).toEqual([0, limits.workersMax - 1])
    claims.open(3)
    expect([0, 1, 2].map((n) => claims.place(n))).toEqual([-1, -1, -1])
  })

  test('the largest batch has room', () => {
    const claims = SpeculationClaims.create()
    claims.open(limits.batchRequestsMax)
    claims.note(limits.batchRequestsMax - 1, 1, 5)
    expect(claims.place(limits.batchRequestsMax - 1)).toBe(5)
  })
})

describe('the log', () => {
  test('nothing at all is an entry as well', () => {
    const log = new SpeculationLog(SpeculationLog.create())
    const place = log.add(ints(), ints(), ints(), ints(), memory(), memory())
    const entry = emptyEntry()
    log.read(place, entry)
    expect([entry.reads, entry.rangesEnd - entry.rangesAt, entry.operations, entry.events, entry.valueBytes]).toEqual([0, 0, 0, 0, 0])
  })

  test('what finds no room is not there, and the entry before it is; cleared, there is room again', () => {
    const log = new SpeculationLog(SpeculationLog.create())
    const large = { memory: new Uint8Array(limits.speculationLogBytes - 64), length: limits.speculationLogBytes - 64 }
    const first = log.add(ints(1, 2), ints(), ints(), ints(), large, memory())
    expect(first).toBe(0)
    expect(log.add(ints(1, 2), ints(), ints(), ints(), memory(...Array.from({ length: 64 }, () => 1)), memory())).toBe(-1)
    const entry = emptyEntry()
    log.read(first, entry)
    expect([entry.reads, entry.valueBytes]).toEqual([1, large.length])
    log.clear()
    expect(log.add(ints(3, 4), ints(), ints(), ints(), memory(9), memory())).toBe(0)
    expect(log.add({ words: new Int32Array(0), length: 0 }, ints(), ints(), ints(), { memory: large.memory, length: limits.speculationLogBytes }, memory())).toBe(-1)
  })

  test.each(seeds)('an entry comes out as it went in, on another thread\'s view, seed %i', (seed) => {
    const random = randomFrom(seed)
    const buffer = SpeculationLog.create()
    const [log, reader] = [new SpeculationLog(buffer), new SpeculationLog(buffer)]
    const some = (unit: number): number[] => Array.from({ length: random.below(12) * unit }, () => random.int32())
    const bytes = (): number[] => Array.from({ length: random.below(50) }, () => random.below(256))
    for (let batch = 0; batch < 20; batch += 1) {
      log.clear()
      const kept = Array.from({ length: random.below(200) }, () => {
        const parts = { reads: some(2), ranges: some(1), operations: some(operationInts), events: some(eventInts), value: bytes(), payloads: bytes() }
        const place = log.add(ints(...parts.reads), ints(...parts.ranges), ints(...parts.operations), ints(...parts.events), memory(...parts.value), memory(...parts.payloads))
        return { place, parts }
      })
      const entry = emptyEntry()
      for (const { place, parts } of kept) {
        reader.read(place, entry)
        const words = (at: number, length: number): number[] => [...reader.words.subarray(at, at + length)]
        expect({
          reads: words(entry.readsAt, entry.reads * 2),
          ranges: words(entry.rangesAt, entry.rangesEnd - entry.rangesAt),
          operations: words(entry.operationsAt, entry.operations * operationInts),
          events: words(entry.eventsAt, entry.events * eventInts),
          value: [...reader.bytes.subarray(entry.valueAt, entry.valueAt + entry.valueBytes)],
          payloads: [...reader.bytes.subarray(entry.payloadsAt, entry.payloadsAt + parts.payloads.length)],
        }).toEqual(parts)
      }
    }
  })
})
