import { describe, expect, test } from 'vitest'
import { Fifo, fifoStateWords } from '../../../engine/store/fifo.js'
import { fixture, randomFrom, seeds } from './fixture.js'

function bench() {
  const { region, domain, take } = fixture(16 * 2 ** 20)
  let held = 0
  const fifo = new Fifo(region, take(fifoStateWords), {
    takeSegment: (wordsAtLeast) => {
      const words = Math.max(16, wordsAtLeast)
      held += 1
      const address = domain.allocate(words)
      // What lies in a block is what its last owner left there.
      region.i32.fill(0x7ead, address * 2, (address + words) * 2)
      return { address, words }
    },
    giveSegment: (address, words) => {
      held -= 1
      region.i32.fill(0x7ead, address * 2, (address + words) * 2)
      domain.release(address, words)
    },
  })
  return { region, fifo, held: () => held }
}

describe.each(seeds)('fifo, seed %i', (seed) => {
  test('it is a queue of records that also forgets its newest ones', () => {
    const random = randomFrom(seed)
    for (let round = 0; round < 20; round += 1) {
      const { region, fifo, held } = bench()
      const words = 2 + random.below(3)
      let model: number[] = []
      let value = 0
      const append = (): void => {
        region.i32[fifo.append(words) * 2] = value += 1
        model.push(value)
      }
      for (let n = 0; n < 400; n += 1) {
        const at = { segment: fifo.headSegment, head: fifo.head }
        const before = model.length
        for (let k = random.below(30); k > 0; k -= 1) append()
        if (random.chance(0.3)) fifo.reserve(words * random.below(6))
        const seen: number[] = []
        fifo.walk(at.segment, at.head, (record) => (seen.push(region.i32[record * 2]!), words))
        expect(seen).toEqual(model.slice(before))
        if (random.chance(0.3)) {
          fifo.rewindTo(at.segment, at.head)
          model = model.slice(0, before)
        } else if (random.chance(0.4)) {
          const end = { segment: fifo.headSegment, head: fifo.head }
          const rest: number[] = []
          for (let k = random.below(4); k > 0; k -= 1) rest.push(0)
          if (end.segment !== 0 && random.chance(0.5)) {
            const drained: number[] = []
            const appended: number[] = []
            fifo.drain(end.segment, end.head, words, (record) => {
              drained.push(region.i32[record * 2]!)
              if (random.chance(0.1)) {
                region.i32[fifo.append(words) * 2] = value += 1
                appended.push(value)
              }
            })
            expect(drained).toEqual(model)
            model = appended
          } else if (end.segment !== 0) {
            expect(fifo.cut(end.segment, end.head)).toBe(model.length * words)
            model = []
          }
        }
        if (random.chance(0.5)) {
          const all: number[] = []
          fifo.walk(fifo.tailSegment, fifo.tail, (record) => (all.push(region.i32[record * 2]!), words))
          expect(all).toEqual(model)
        }
        expect(held()).toBeLessThanOrEqual(3 + Math.ceil(((model.length + 30) * words) / 10))
      }
    }
  })
})

test('a visitor that throws has had its record: no record is drained twice', () => {
  const { region, fifo } = bench()
  for (let n = 1; n <= 20; n += 1) region.i32[fifo.append(2) * 2] = n
  const seen: number[] = []
  const drain = (): void =>
    fifo.drain(fifo.headSegment, fifo.head, 2, (record) => {
      seen.push(region.i32[record * 2]!)
      if (seen.length === 9) throw new Error('visit')
    })
  expect(drain).toThrow('visit')
  drain()
  expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => n + 1))
})
