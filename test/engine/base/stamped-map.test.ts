/** Against a Map: what was set is there until the map is cleared, and nothing else ever is. */
import { describe, expect, test } from 'vitest'
import { StampedMap } from '../../../engine/base/stamped-map.js'
import { randomFrom, seeds } from '../store/fixture.js'

test('a new one is empty; 0 stands for nothing', () => {
  const map = new StampedMap()
  expect(map.size).toBe(0)
  for (const key of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) expect(map.get(key)).toBe(0)
})

test('every Int32 is a key, 0 and the negative ones as well', () => {
  const map = new StampedMap(2)
  const keys = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 0x9e3779b1 | 0]
  keys.forEach((key, n) => map.set(key, n + 1))
  expect(keys.map((key) => map.get(key))).toEqual([1, 2, 3, 4, 5, 6])
  expect(map.size).toBe(6)
})

test('add() sets bits, the sign bit too, and makes what is not there', () => {
  const map = new StampedMap()
  map.add(7, 1)
  map.add(7, 4)
  map.add(7, 1 << 31)
  expect(map.get(7)).toBe((1 << 31) | 5)
  map.set(7, 2)
  expect(map.get(7)).toBe(2)
  expect(map.size).toBe(1)
})

test('cleared, it has forgotten everything, however often', () => {
  const map = new StampedMap(4)
  for (let round = 1; round <= 1_000; round += 1) {
    for (let key = 0; key < 8; key += 1) {
      expect(map.get(key)).toBe(0)
      map.add(key, round)
    }
    expect(map.get(3)).toBe(round)
    map.clear()
    expect(map.size).toBe(0)
  }
})

describe('random', () => {
  test.each(seeds)('it is a Map, seed %i', (seed) => {
    const random = randomFrom(seed)
    const map = new StampedMap(2)
    let model = new Map<number, number>()
    const keyOf = (): number => (random.chance(0.8) ? random.below(300) - 150 : random.int32())
    for (let step = 0; step < 60_000; step += 1) {
      const key = keyOf()
      if (random.chance(0.001)) {
        map.clear()
        model = new Map()
      } else if (random.chance(0.3)) {
        const value = random.int32() | 1
        map.set(key, value)
        model.set(key, value)
      } else if (random.chance(0.4)) {
        const bits = (1 << random.below(32)) | 1
        map.add(key, bits)
        model.set(key, (model.get(key) ?? 0) | bits)
      } else if (map.get(key) !== (model.get(key) ?? 0)) expect.fail(`step ${step}: ${key} is ${map.get(key)}, and should be ${model.get(key)}`)
      if (step % 1_000 === 0) {
        expect(map.size).toBe(model.size)
        for (const [known, value] of model) if (map.get(known) !== value) expect.fail(`step ${step}: ${known}`)
      }
    }
  })
})
