import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { PartitionValue } from '../../../engine/schema/descriptor.js'
import { partitionOf, partitionOfOne } from '../../../engine/schema/placement.js'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const value = fc.oneof(
  fc.string({ unit: 'binary' }), fc.maxSafeInteger(), fc.double({ noNaN: true }), fc.boolean(), fc.uint8Array(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
) as fc.Arbitrary<PartitionValue>
const partitions = fc.integer({ min: 1, max: 1_024 })

test('every tuple has a partition, always the same, and one value is placed bare or in an array alike', () => {
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 4 }), partitions, (values, count) => {
      const place = partitionOf(values, count)
      expect(Number.isInteger(place) && place >= 0 && place < count).toBe(true)
      expect(partitionOf([...values], count)).toBe(place)
      if (values.length === 1) expect(partitionOfOne(values[0]!, count)).toBe(place)
    }),
    { numRuns: 500, seed },
  )
})

test('R29: whole numbers go round the partitions, below zero too, as bigints as well', () => {
  expect([0, 1, 15, 16, 17, -1, -16, -17, -0].map((whole) => partitionOfOne(whole, 16))).toEqual([0, 1, 15, 0, 1, 15, 0, 15, 0])
  expect([0n, 17n, -1n, 2n ** 63n - 1n].map((whole) => partitionOfOne(whole, 16))).toEqual([0, 1, 15, 15])
  expect(partitionOf([5, 'a'], 1_024)).toBe(partitionOf([5n, 'a'], 1_024))
})

test('the order and the borders of values matter', () => {
  const places = [['ab', 'c'], ['a', 'bc'], ['abc', ''], ['c', 'ab'], ['1', 1], [1, '1'], [true, 1], [1, true]]
  expect(new Set(places.map((values) => partitionOf(values, 2 ** 30))).size).toBe(places.length)
})

test('keys that look alike are spread evenly', () => {
  const counts = new Array<number>(16).fill(0)
  for (let index = 0; index < 16_000; index += 1) counts[partitionOfOne(`account-${index}`, 16)]! += 1
  expect(Math.min(...counts)).toBeGreaterThan(850)
  expect(Math.max(...counts)).toBeLessThan(1_150)
})

/** A change here would put the rows of every existing database into other partitions. */
test('placement is pinned forever', () => {
  const tuples: PartitionValue[][] = [
    [''], ['a'], ['ann'], ['bob'], ['Zürich'], ['😀'], ['\0'], ['0b5e7a3c-6f0d-4f6e-9a53-2f1f7d7c1c11'],
    [1.5], [Infinity], [true], [false], [Uint8Array.of()], [Uint8Array.of(0, 1, 255)],
    ['ann', 1], [1, 'ann'], [1, 2, 3], [2n ** 60n, 'x'], [-1n, 'x'], [true, false],
  ]
  expect(tuples.map((tuple) => partitionOf(tuple, 1_024)).join(' ')).toMatchInlineSnapshot(`"615 595 15 1003 1003 130 40 21 544 231 27 631 998 569 759 10 333 99 76 604"`)
})
