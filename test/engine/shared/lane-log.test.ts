/** What lanes record, against plain lists: pieces in one piece, offsets from the start of their lane, dropped work gone (R52). */
import { describe, expect, test } from 'vitest'
import { BatchRecord, requestFlag } from '../../../engine/shared/batch-record.js'
import { changeInts, eventInts, LaneLog, type LanePiece, transactionInts } from '../../../engine/shared/lane-log.js'
import { limits } from '../../../engine/base/limits.js'
import { randomFrom, seeds } from '../store/fixture.js'

const emptyPiece = (): LanePiece => ({ partition: 0, transactionsAt: 0, transactions: 0, changesAt: 0, changes: 0, eventsAt: 0, events: 0, bytesAt: 0, bytes: 0 })

interface Kept {
  readonly place: number
  readonly changes: number[]
  readonly events: number[]
  readonly texts: { readonly at: number; readonly text: string }[]
}

describe.each(seeds)('lane log, seed %i', (seed) => {
  test('R52: each lane reads back as what was kept of it, and padding is zero, whatever stood there before', () => {
    const random = randomFrom(seed)
    const log = LaneLog.create({ lanes: 9, transactions: 900, changes: 4_000, events: 4_000, bytes: 256 * 1_024 })
    for (let batch = 0; batch < 60; batch += 1) {
      log.clear()
      const lanes: { partition: number; kept: Kept[] }[] = []
      const count = random.below(9)
      for (let lane = 0; lane < count; lane += 1) {
        const partition = lane === 8 ? -1 : lane * 3
        const kept: Kept[] = []
        log.beginLane(partition)
        expect(log.laneOrdinal).toBe(lane)
        for (let n = random.below(30); n > 0; n -= 1) {
          log.beginTransaction()
          const one: Kept = { place: random.below(4_096), changes: [], events: [], texts: [] }
          let cost = 0
          for (let c = random.below(4); c > 0; c -= 1) {
            const text = 'é'.repeat(random.below(20)) + batch
            const bytes = Buffer.from(text)
            const at = log.putBytes(bytes, bytes.length)
            expect(at % 8).toBe(0)
            one.texts.push({ at, text })
            cost += (bytes.length + 7) & ~7
            if (random.chance(0.5)) one.changes.push(random.below(1e6))
            else one.events.push(random.below(1e6))
          }
          for (const change of one.changes) log.addChange(change, 1, 2, 3, 4, 5)
          for (const event of one.events) log.addEvent(event, 6, 7)
          expect([log.changesOfTransaction, log.eventsOfTransaction]).toEqual([one.changes.length, one.events.length])
          expect(log.transactionCost).toBe(cost + 64 * (one.changes.length + one.events.length))
          if (random.chance(0.3)) log.dropTransaction()
          else {
            expect(log.recorded).toBe(kept.length)
            log.addTransaction(one.place, 1, 0, 99, 0, 0, 0, 0)
            kept.push(one)
          }
        }
        log.endLane()
        lanes.push({ partition, kept })
      }
      expect(log.lanes).toBe(lanes.length)
      lanes.forEach(({ partition, kept }, n) => {
        const piece = log.piece(n, emptyPiece())
        expect(piece.partition).toBe(partition)
        expect(piece.transactions).toBe(kept.length)
        let [change, event, end] = [piece.changesAt, piece.eventsAt, 0]
        kept.forEach((one, t) => {
          const at = (piece.transactionsAt + t) * transactionInts
          expect([log.transactions[at], log.transactions[at + 8], log.transactions[at + 9]]).toEqual([one.place, one.changes.length, one.events.length])
          for (const layout of one.changes) expect(log.changes[change++ * changeInts]).toBe(layout)
          for (const type of one.events) expect(log.events[event++ * eventInts]).toBe(type)
          for (const { at: offset, text } of one.texts) {
            expect(offset, 'bytes follow each other without a hole').toBe(end)
            const bytes = Buffer.byteLength(text)
            end = offset + ((bytes + 7) & ~7)
            const stored = Buffer.from(log.bytes.slice(piece.bytesAt + offset, piece.bytesAt + end))
            expect(stored.toString('utf8', 0, bytes)).toBe(text)
            expect(stored.subarray(bytes).every((byte) => byte === 0), 'padding is zero').toBe(true)
          }
        })
        expect([change - piece.changesAt, event - piece.eventsAt, end]).toEqual([piece.changes, piece.events, piece.bytes])
      })
      log.bytes.fill(255, 0, 8_192) // leavings, for the next batch
    }
  })
})

test('R34: a batch record keeps what was written into it, for any thread that looks', () => {
  const record = BatchRecord.create(8)
  record.begin(2 ** 40 + 3, 2 ** 40, 1_700_000_000_123, -5, limits.batchRequestsMax)
  for (let n = 0; n < limits.batchRequestsMax; n += 1) {
    record.setRequest(n, n * 48, limits.batchRequestsMax - 1 - n)
    if (n % 3 === 0) record.setFlag(n, requestFlag.stray)
    record.setStray(n, n ^ 1)
  }
  for (let lane = 0; lane <= 9; lane += 1) record.setLaneStart(lane, lane * 7)
  const seen = new BatchRecord(record.buffer, 8)
  expect([seen.batch, seen.previous, seen.now, seen.seed, seen.requests]).toEqual([2 ** 40 + 3, 2 ** 40, 1_700_000_000_123, -5, limits.batchRequestsMax])
  for (let n = 0; n < limits.batchRequestsMax; n += 1) {
    const expected = [n * 48, limits.batchRequestsMax - 1 - n, n % 3 === 0 ? requestFlag.stray : requestFlag.run, n ^ 1]
    if ([seen.offset(n), seen.place(n), seen.flag(n), seen.stray(n)].join() !== expected.join()) expect.unreachable(`request ${n}`)
  }
  expect(Array.from({ length: 10 }, (_, lane) => seen.laneStart(lane))).toEqual([0, 7, 14, 21, 28, 35, 42, 49, 56, 63])
})
