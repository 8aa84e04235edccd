import fc from 'fast-check'
import { Builder, ByteBuffer } from 'flatbuffers'
import { expect, test, vi } from 'vitest'
import {
  changeWords,
  crossPartitionLane,
  decodeSchema,
  encodeSchema,
  eventWords,
  FrameBodyReader,
  laneWords,
  layoutBody,
  transactionWords,
  writeBodyHead,
} from '../../wal/index.js'
import { Change } from '../../wal/generated/change.js'
import { Event } from '../../wal/generated/event.js'
import { FrameBody } from '../../wal/generated/frame-body.js'
import { Lane } from '../../wal/generated/lane.js'
import { Transaction } from '../../wal/generated/transaction.js'
import { seeded } from './log-fixture.js'

// The machine may be shared: what is slow then is the machine, not the log.
vi.setConfig({ testTimeout: 60_000 })

interface LaneData {
  partition: number
  transactions: number[][]
  changes: number[][]
  events: number[][]
  bytes: Uint8Array
}
interface BodyData {
  batch: number
  now: number
  seed: number
  lanes: LaneData[]
}

/** A body that could be real: ranges inside their lane, counts that add up. */
function bodyData(seed: number): BodyData {
  const random = seeded(seed)
  const upTo = (max: number): number => Math.floor(random() * (max + 1))
  const u32 = (): number => Math.floor(random() * 2 ** 32)
  const lanes = Array.from({ length: upTo(4) }, (_, lane): LaneData => {
    const bytes = Uint8Array.from({ length: upTo(70) }, () => upTo(255))
    const range = (): [number, number] => {
      const at = upTo(bytes.length)
      return [at, upTo(bytes.length - at)]
    }
    const changes = Array.from({ length: upTo(5) }, () => [u32(), 1 + upTo(2), ...range(), ...range()])
    const events = Array.from({ length: upTo(3) }, () => [u32(), ...range()])
    const own = changes.length > 0 || events.length > 0
    const transactions = Array.from({ length: own ? 1 + upTo(3) : upTo(3) }, (_, i) => {
      const counts = i === 0 ? [changes.length, events.length] : [0, 0]
      return [u32(), u32(), u32(), u32(), ...range(), ...range(), ...counts]
    })
    return { partition: lane === 3 ? crossPartitionLane : u32(), transactions, changes, events, bytes }
  })
  return { batch: Math.floor(random() * 2 ** 53), now: random() * 2e12, seed: u32(), lanes }
}

function write(data: BodyData, fill = 0): Uint8Array {
  const lanes = data.lanes.map((lane) => [
    lane.partition, lane.transactions.length, lane.changes.length, lane.events.length, lane.bytes.length,
  ])
  const transactions = data.lanes.flatMap((lane) => lane.transactions)
  const changes = data.lanes.flatMap((lane) => lane.changes)
  const events = data.lanes.flatMap((lane) => lane.events)
  const bytes = data.lanes.flatMap((lane) => [...lane.bytes])
  const layout = layoutBody({
    lanes: lanes.length,
    transactions: transactions.length,
    changes: changes.length,
    events: events.length,
    bytes: bytes.length,
  })
  const base = 16
  const target = new Uint8Array(base + layout.total + 8).fill(fill)
  const words = new Uint32Array(target.buffer)
  words.set(lanes.flat(), (base + layout.lanesAt) / 4)
  words.set(transactions.flat(), (base + layout.transactionsAt) / 4)
  words.set(changes.flat(), (base + layout.changesAt) / 4)
  words.set(events.flat(), (base + layout.eventsAt) / 4)
  target.set(bytes, base + layout.bytesAt)
  writeBodyHead(new DataView(target.buffer), base, layout, data)
  expect([...target.subarray(0, base), ...target.subarray(base + layout.total)]).toEqual(Array(base + 8).fill(fill))
  for (const at of [layout.lanesAt, layout.transactionsAt, layout.changesAt, layout.eventsAt, layout.bytesAt]) {
    expect(at % 8).toBe(0)
  }
  return target.subarray(base, base + layout.total)
}

function readOurs(body: Uint8Array): BodyData {
  const reader = new FrameBodyReader(body)
  reader.check()
  const records = (start: number, index: number, count: number, width: number): number[][] =>
    Array.from({ length: count }, (_, i) =>
      Array.from({ length: width }, (_, j) => reader.words[start + (index + i) * width + j] >>> 0),
    )
  const { batch, now, seed } = reader
  const lanes = reader.lanes.map((lane): LaneData => ({
    partition: lane.partition,
    transactions: records(reader.transactionsWord, lane.transactionIndex, lane.transactionCount, transactionWords),
    changes: records(reader.changesWord, lane.changeIndex, lane.changeCount, changeWords),
    events: records(reader.eventsWord, lane.eventIndex, lane.eventCount, eventWords),
    bytes: reader.bytes.slice(lane.bytesAt, lane.bytesAt + lane.bytes),
  }))
  return { batch, now, seed, lanes }
}

function readGenerated(body: Uint8Array): BodyData {
  const buffer = new ByteBuffer(body)
  expect(FrameBody.bufferHasIdentifier(buffer)).toBe(true)
  const root = FrameBody.getRootAsFrameBody(buffer)
  let transaction = 0
  let change = 0
  let event = 0
  let at = 0
  const all = root.bytesArray() ?? new Uint8Array(0)
  const lanes = Array.from({ length: root.lanesLength() }, (_, i): LaneData => {
    const lane = root.lanes(i)!
    const transactions = Array.from({ length: lane.transactions() }, () => {
      const t = root.transactions(transaction++)!
      return [
        t.place(), t.procedure(), t.outcome(), t.resultHash(), t.result(), t.resultBytes(), t.id(), t.idBytes(),
        t.changes(), t.events(),
      ]
    })
    const changes = Array.from({ length: lane.changes() }, () => {
      const c = root.changes(change++)!
      return [c.layout(), c.kind(), c.image(), c.imageBytes(), c.before(), c.beforeBytes()]
    })
    const events = Array.from({ length: lane.events() }, () => {
      const e = root.events(event++)!
      return [e.type(), e.payload(), e.payloadBytes()]
    })
    const bytes = all.slice(at, at + lane.bytes())
    at += lane.bytes()
    return { partition: lane.partition(), transactions, changes, events, bytes }
  })
  return { batch: Number(root.batch()), now: root.now(), seed: root.seed(), lanes }
}

type TenNumbers = [number, number, number, number, number, number, number, number, number, number]

function build(data: BodyData): Uint8Array {
  const builder = new Builder(16)
  const bytes = FrameBody.createBytesVector(builder, Uint8Array.from(data.lanes.flatMap((lane) => [...lane.bytes])))
  const vector = <T>(items: T[], start: (count: number) => void, one: (item: T) => void): number => {
    start(items.length)
    for (const item of items.toReversed()) one(item)
    return builder.endVector()
  }
  const lanes = vector(data.lanes, (n) => FrameBody.startLanesVector(builder, n), (lane) => {
    const { partition, transactions, changes, events, bytes: own } = lane
    Lane.createLane(builder, partition, transactions.length, changes.length, events.length, own.length)
  })
  const transactions = vector(
    data.lanes.flatMap((lane) => lane.transactions),
    (n) => FrameBody.startTransactionsVector(builder, n),
    (t) => Transaction.createTransaction(builder, ...(t as TenNumbers)),
  )
  const changes = vector(
    data.lanes.flatMap((lane) => lane.changes),
    (n) => FrameBody.startChangesVector(builder, n),
    (c) => Change.createChange(builder, ...(c as [number, number, number, number, number, number])),
  )
  const events = vector(
    data.lanes.flatMap((lane) => lane.events),
    (n) => FrameBody.startEventsVector(builder, n),
    (e) => Event.createEvent(builder, ...(e as [number, number, number])),
  )
  FrameBody.startFrameBody(builder)
  FrameBody.addBytes(builder, bytes)
  FrameBody.addEvents(builder, events)
  FrameBody.addChanges(builder, changes)
  FrameBody.addTransactions(builder, transactions)
  FrameBody.addLanes(builder, lanes)
  FrameBody.addSeed(builder, data.seed)
  FrameBody.addNow(builder, data.now)
  FrameBody.addBatch(builder, BigInt(data.batch))
  builder.finish(FrameBody.endFrameBody(builder), 'SLF1')
  return builder.asUint8Array()
}

const seeds = fc.integer({ min: 0, max: 2 ** 31 })

test('what our writer wrote, our reader and the generated one read', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const data = bodyData(seed)
      const body = write(data)
      expect(readOurs(body)).toEqual(data)
      expect(readGenerated(body)).toEqual(data)
    }),
    { numRuns: 200 },
  )
})

test('what the flatbuffers Builder wrote, our reader reads, at any alignment', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 0, max: 7 }), (seed, shift) => {
      const data = bodyData(seed)
      const built = build(data)
      const shifted = new Uint8Array(built.length + shift)
      shifted.set(built, shift)
      expect(readOurs(shifted.subarray(shift))).toEqual(data)
    }),
    { numRuns: 200 },
  )
})

test('a body that leaves out every field has their defaults', () => {
  const builder = new Builder(16)
  FrameBody.startFrameBody(builder)
  builder.finish(FrameBody.endFrameBody(builder), 'SLF1')
  expect(readOurs(builder.asUint8Array())).toEqual({ batch: 0, now: 0, seed: 0, lanes: [] })
})

test('the same sections give the same bytes, whatever was there before', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const data = bodyData(seed)
      expect(Buffer.compare(write(data, 0), write(data, 0xa5))).toBe(0)
    }),
    { numRuns: 100 },
  )
})

test('a damaged body is read as something inside itself, or refused as corrupt, and nothing else', () => {
  let refused = 0
  fc.assert(
    fc.property(seeds, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), (seed, where, flip, cut) => {
      const body = write(bodyData(seed)).slice()
      const at = where % body.length
      body[at] ^= flip
      try {
        const reader = new FrameBodyReader(cut ? body.slice(0, at) : body)
        reader.check()
        for (const lane of reader.lanes) expect(lane.bytesAt + lane.bytes).toBeLessThanOrEqual(reader.bytes.length)
        const end = reader.changesWord + reader.changeCount * changeWords
        expect(end).toBeLessThanOrEqual(reader.words.length)
        expect(reader.lanesWord + reader.laneCount * laneWords).toBeLessThanOrEqual(reader.words.length)
      } catch (error) {
        expect(error).toMatchObject({ code: 'LOG_CORRUPT' })
        refused += 1
      }
    }),
    { numRuns: 2_000 },
  )
  expect(refused).toBeGreaterThan(100)
})

test('a record that points one byte outside its lane is refused, even where the body goes on', () => {
  const one = (): LaneData => ({
    partition: 0,
    transactions: [[0, 0, 0, 0, 0, 0, 0, 0, 1, 0]],
    changes: [[0, 1, 0, 4, 0, 0]],
    events: [],
    bytes: Uint8Array.of(1, 2, 3, 4),
  })
  const data: BodyData = { batch: 1, now: 0, seed: 0, lanes: [one(), one()] }
  expect(() => readOurs(write(data))).not.toThrow()
  for (const [offset, length] of [[1, 4], [0, 5], [0xffff_ffff, 1], [0, 0xffff_ffff]]) {
    data.lanes[0].changes[0].splice(2, 2, offset, length)
    expect(() => readOurs(write(data))).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
  }
})

test('a schema comes back as it was, and a frame body is none', () => {
  const json = '{"name":"größer"}'
  expect(decodeSchema(encodeSchema(json))).toBe(json)
  expect(decodeSchema(encodeSchema(''))).toBe('')
  expect(() => decodeSchema(write(bodyData(1)))).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
})
