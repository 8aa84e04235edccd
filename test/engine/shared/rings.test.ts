/**
 * The rings between threads, against plain queues: what goes in comes out once, in order and unchanged, across the end of the
 * buffer and of the 32-bit counters (R16), and a full ring says so and loses nothing.
 */
import { describe, expect, test } from 'vitest'
import { Control } from '../../../engine/shared/control.js'
import { FrameRing, frameHeaderWords } from '../../../engine/shared/frame-ring.js'
import { noDeadline, requestHeaderBytes, RequestRing } from '../../../engine/shared/request-ring.js'
import { ResponseRing } from '../../../engine/shared/response-ring.js'
import { randomFrom, seeds, type Random } from '../store/fixture.js'

const bytesOf = (random: Random, length: number): Uint8Array => Uint8Array.from({ length }, () => random.below(256))
/** Shortly before the counters turn negative, and before they wrap to 0. */
const starts = [0, 2 ** 31 - 4_096, -4_096]

describe.each(seeds)('request ring, seed %i', (seed) => {
  test.each(starts)('R16, R34: entries come out whole and in order, from counter %i on', (start) => {
    const random = randomFrom(seed)
    const control = Control.create(1)
    control.store('requestHead', start)
    control.store('requestTail', start)
    const ring = new RequestRing(new SharedArrayBuffer(4_096), control)
    const waiting: { slot: number; procedure: number; partition: number; id: Uint8Array | undefined; input: Uint8Array }[] = []
    let slot = 0
    let refused = 0
    let fillers = 0
    for (let round = 0; round < 8_000; round += 1) {
      if (random.chance(0.62)) {
        const id = random.chance(0.3) ? bytesOf(random, 1 + random.below(40)) : undefined
        const input = bytesOf(random, random.chance(0.05) ? random.below(2_000) : random.below(90))
        const entry = { slot: (slot += 1), procedure: random.below(9), partition: random.below(5) - 1, id, input }
        if (ring.write(entry.slot, entry.procedure, entry.partition, id, input, input.length)) waiting.push(entry)
        else refused += 1
        if (random.chance(0.7)) ring.publish()
      } else {
        let counter = ring.tail
        for (let n = random.below(6); n > 0 && counter !== ring.publishedHead; n -= 1) {
          const offset = ring.offsetOf(counter)
          const at = offset >>> 2
          counter = (counter + ring.bytesAt(offset)) | 0
          if (ring.isFiller(offset)) {
            fillers += 1
            continue
          }
          const expected = waiting.shift()!
          expect(ring.take(offset)).toBe(true)
          expect([...ring.i32.subarray(at + 1, at + 6)]).toEqual([expected.slot, expected.procedure, expected.partition, expected.id?.length ?? 0, expected.input.length])
          const from = offset + requestHeaderBytes
          const idBytes = expected.id?.length ?? 0
          expect(Buffer.compare(ring.bytes.subarray(from, from + idBytes), expected.id ?? new Uint8Array(0))).toBe(0)
          expect(Buffer.compare(ring.bytes.subarray(from + idBytes, from + idBytes + expected.input.length), expected.input)).toBe(0)
        }
        ring.free(counter)
      }
    }
    expect(refused, 'the ring was full at times').toBeGreaterThan(10)
    expect(fillers, 'entries met the end of the buffer').toBeGreaterThan(10)
  })

  test('R46: main and the sequencer never both have a request', () => {
    const random = randomFrom(seed)
    const control = Control.create(1)
    const ring = new RequestRing(new SharedArrayBuffer(4_096), control)
    for (let round = 0; round < 2_000; round += 1) {
      const deadline = random.chance(0.5) ? noDeadline : 1 + random.below(1_000)
      const input = bytesOf(random, random.below(9))
      expect(ring.write(round, 0, 0, random.chance(0.5) ? bytesOf(random, 3) : undefined, input, input.length, deadline)).toBe(true)
      const offset = ring.lastWritten
      ring.publish()
      expect(ring.deadline(offset)).toBe(deadline)
      expect(ring.verdict(offset)).toBe(0)
      expect(ring.withdraw(offset, round + 1), 'another request stands there now').toBe(false)
      if (random.chance(0.5)) {
        expect(ring.withdraw(offset, round)).toBe(true)
        expect(ring.withdraw(offset, round), 'once').toBe(false)
        expect(ring.take(offset)).toBe(false)
      } else {
        expect(ring.take(offset)).toBe(true)
        expect(ring.withdraw(offset, round)).toBe(false)
        expect(ring.deadline(offset), 'what was taken has no deadline any more').toBe(Infinity)
        expect(ring.take(offset), 'a batch that runs again takes it again').toBe(true)
        ring.markDone(offset)
        expect(ring.take(offset), 'what is done is not taken again').toBe(false)
      }
      ring.free(ring.publishedHead)
    }
  })
})

test('a request that nobody can withdraw is taken as often as it is asked for, until it is done', () => {
  const control = Control.create(1)
  const ring = new RequestRing(new SharedArrayBuffer(4_096), control)
  expect(ring.write(7, 0, 0, undefined, new Uint8Array(3), 3)).toBe(true)
  const offset = ring.lastWritten
  expect(ring.withdraw(offset, 7)).toBe(false)
  expect(ring.deadline(offset)).toBe(Infinity)
  expect([ring.take(offset), ring.take(offset)]).toEqual([true, true])
  ring.markDone(offset)
  expect(ring.take(offset)).toBe(false)
})

test('a request that needs the whole ring fits where the ring is empty, and is refused where it is not', () => {
  const control = Control.create(1)
  const ring = new RequestRing(new SharedArrayBuffer(4_096), control)
  const whole = new Uint8Array(4_096 - requestHeaderBytes)
  expect(ring.write(1, 0, 0, undefined, whole, whole.length)).toBe(true)
  expect(ring.write(2, 0, 0, undefined, new Uint8Array(0), 0)).toBe(false)
  ring.publish()
  ring.free(ring.publishedHead)
  expect(ring.write(3, 0, 0, undefined, new Uint8Array(0), 0)).toBe(true)
})

describe.each(seeds)('response ring, seed %i', (seed) => {
  test.each(starts)('R42: answers come out in order when their frame is durable, not before, from counter %i on', (start) => {
    const random = randomFrom(seed)
    const control = Control.create(2)
    control.publishResponses(1, start)
    control.freeResponses(1, start)
    const ring = new ResponseRing(new SharedArrayBuffer(8_192), control, 1)
    interface Answer { slot: number; batch: number; needs: number; outcome: number; index: number; value: Uint8Array; long: number }
    const waiting: Answer[] = []
    let pending = 0
    let slot = 0
    let durable = 0
    let newestFrame = 0
    let drained = 0
    for (let batch = 1; batch < 2_000; batch += 1) {
      const from = ring.head
      const laneBase = Int32Array.from([0, random.below(50), random.below(500)])
      const hasFrame = random.chance(0.7)
      const written: Answer[] = []
      for (let run = random.chance(0.1) ? 2 : 1; run > 0; run -= 1) {
        ring.rewind(from) // the batch runs again: what its first run answered is gone
        written.length = 0
        const room = 8_192 - 2 * 256 - pending
        for (let n = random.below(12), used = 0; n > 0 && used < room - 200; n -= 1) {
          const value = bytesOf(random, random.below(100))
          const long = random.chance(0.1) ? 1 + random.below(1e6) : 0
          const lane = random.below(4) - 1
          const index = random.below(5) - 1
          ring.write((slot += 1), batch, 0, random.below(30), lane, index, value, value.length, long)
          used += 48 + value.length
          written.push({ slot, batch, needs: 0, outcome: 0, index: index >= 0 && lane >= 0 ? index + laneBase[lane]! : index, value, long })
        }
      }
      if (hasFrame) newestFrame = batch
      ring.settle(from, ring.head, laneBase, newestFrame)
      control.publishResponses(1, ring.head)
      for (const answer of written) waiting.push({ ...answer, needs: newestFrame })
      pending = (ring.head - control.responseTail(1)) | 0
      if (random.chance(0.5) || pending > 4_000) {
        durable = pending > 4_000 ? newestFrame : Math.min(newestFrame, durable + random.below(3))
        const isNext = waiting.length > 0 && waiting[0]!.needs <= durable
        expect(ring.hasFor(durable)).toBe(isNext)
        ring.drain(durable, (entry) => {
          const expected = waiting.shift()!
          expect(expected.needs).toBeLessThanOrEqual(durable)
          expect([entry.slot, entry.batch, entry.needs, entry.index]).toEqual([expected.slot, expected.batch, expected.needs, expected.index])
          if (expected.long > 0) expect(entry.valueBytes).toBe(-expected.long)
          else expect(Buffer.compare(entry.bytes.subarray(entry.valueAt, entry.valueAt + entry.valueBytes), expected.value)).toBe(0)
          drained += 1
        })
        expect(waiting[0] === undefined || waiting[0].needs > durable, 'all that may leave has left').toBe(true)
        pending = (ring.head - control.responseTail(1)) | 0
      }
    }
    expect(drained).toBeGreaterThan(3_000)
  })
})

// ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────

const ringWords = 512
const bodyOf = (batch: number, bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, n) => (batch * 31 + n) & 255)

describe.each(seeds)('frame ring, seed %i', (seed) => {
  test.each(starts)('R43, F1: the log thread finds every frame whole, however far behind it may be, from counter %i on', (start) => {
    const random = randomFrom(seed)
    const control = Control.create(1)
    for (const word of ['frameHead', 'frameWritten', 'frameTail'] as const) control.store(word, start)
    const ring = new FrameRing(new SharedArrayBuffer(ringWords * 8), new SharedArrayBuffer(64 * 1_024), control)
    const sealed: { batch: number; bytes: number }[] = []
    let counter = start
    let overflowed = 0
    let written = 0
    const writeOne = (): void => {
      const entry = ring.read(counter, ring.publishedHead)!
      const expected = sealed.shift()!
      expect([entry.batch, entry.records, entry.body.length]).toEqual([expected.batch, expected.batch % 7, expected.bytes])
      if (Buffer.compare(entry.body, bodyOf(expected.batch, expected.bytes)) !== 0) expect.unreachable(`the body of batch ${expected.batch} was overwritten before it was written`)
      counter = entry.next
      control.store('frameWritten', counter)
      written += 1
    }
    for (let batch = 1; batch < 2_000; batch += 1) {
      // The rule of the sealer (R43), for this ring.
      while (sealed.length > 0 && (sealed.length >= 8 || ring.aheadBytes() >= (ringWords * 8) / 2 || random.chance(0.3))) writeOne()
      const half = (ringWords * 8) / 2
      const bytes = 1 + (random.chance(0.1) ? half - 200 + random.below(2 * half) : random.chance(0.3) ? random.below(half) : random.below(300))
      if (bytes + frameHeaderWords * 8 > half) overflowed += 1
      const { bytes: into, at } = ring.reserve(bytes)
      into.set(bodyOf(batch, bytes), at)
      ring.publish(batch, batch - 1, batch * 10, batch % 7, bytes)
      sealed.push({ batch, bytes })
    }
    while (sealed.length > 0) writeOne()
    expect(written).toBe(1_999)
    expect(overflowed, 'some frames stood in the overflow buffer').toBeGreaterThan(50)
  })

  test('F2: a follower that copies and then looks never keeps a copy of a frame that was overwritten', () => {
    const random = randomFrom(seed)
    const control = Control.create(1)
    const ring = new FrameRing(new SharedArrayBuffer(ringWords * 8), new SharedArrayBuffer(64 * 1_024), control)
    const sizes = new Map<number, number>()
    let counter = 0
    let [kept, lost] = [0, 0]
    for (let batch = 1; batch < 2_000; batch += 1) {
      const bytes = 1 + (random.chance(0.05) ? 3_000 + random.below(3_000) : random.below(400))
      const { bytes: into, at } = ring.reserve(bytes)
      into.set(bodyOf(batch, bytes), at)
      ring.publish(batch, batch - 1, 0, 1, bytes)
      control.store('frameWritten', ring.publishedHead)
      sizes.set(batch, bytes)
      if (random.chance(0.6)) continue
      for (let n = random.below(20); n > 0; n -= 1) {
        if (!ring.stillThere(counter)) counter = ring.tail
        const entry = ring.read(counter, ring.publishedHead)
        if (entry === undefined) break
        const copy = entry.body.slice()
        counter = ring.stillThere(counter) ? entry.next : ring.tail
        if (Buffer.compare(copy, bodyOf(entry.batch, sizes.get(entry.batch)!)) === 0) kept += 1
        else {
          lost += 1
          expect.unreachable(`a copy of batch ${entry.batch} shows a later frame`)
        }
      }
    }
    expect(kept).toBeGreaterThan(250)
    expect(lost).toBe(0)
  })
})

/**
 * An empty ring used to begin again at its start wherever its last entry had ended behind the first MiB, and gave up all that lay
 * behind: a load that wrote 3 MiB in one turn was told that 8 MiB were full, and a request of 2 MiB was refused for ever by an
 * idle database.
 */
test('an empty ring takes half of its size, in one entry or in many, wherever the last entry ended', () => {
  const size = 8 * 2 ** 20
  const small = new Uint8Array(200 - requestHeaderBytes)
  const half = new Uint8Array(size / 2 - requestHeaderBytes)
  for (let before = size / 32; before < size; before += size / 32) {
    for (const isOne of [true, false]) {
      const control = Control.create(1)
      const ring = new RequestRing(new SharedArrayBuffer(size), control)
      const first = new Uint8Array(before - requestHeaderBytes)
      expect(ring.write(0, 0, 0, undefined, first, first.length)).toBe(true)
      ring.publish()
      ring.free(ring.publishedHead)
      let written = 0
      if (isOne) written = ring.write(0, 0, 0, undefined, half, half.length) ? size / 2 : 0
      else while (ring.write(0, 0, 0, undefined, small, small.length)) written += 208
      expect(written, `behind ${before} bytes`).toBeGreaterThan(size / 2 - 208)
    }
  }
})
