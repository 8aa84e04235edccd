/** What a run has read: rows that are widened, ranges with ends of any length. */
import { describe, expect, test } from 'vitest'
import { IntList, rangeHeadInts, ReadSet, type RangeEnd } from '../../../engine/txn/read-set.js'
import { randomFrom, seeds } from '../store/fixture.js'

const end = (...bytes: number[]): RangeEnd => ({ bytes: Uint8Array.from([...bytes, 0xee, 0xee]), length: bytes.length })

/** The ranges as values. */
function rangesOf({ ranges }: ReadSet): { table: number; tree: number; from: number[] | undefined; to: number[] | undefined; withTo: boolean }[] {
  const found = []
  const { words, bytes } = ranges
  for (let at = 0; at < ranges.length; at += words[at]!) {
    const [, table, tree, fromBytes, toBytes, withTo] = words.subarray(at, at + rangeHeadInts) as unknown as [number, number, number, number, number, number]
    const fromAt = (at + rangeHeadInts) * 4
    const toAt = fromAt + (fromBytes < 0 ? 0 : (fromBytes + 3) & ~3)
    found.push({
      table,
      tree,
      from: fromBytes < 0 ? undefined : [...bytes.subarray(fromAt, fromAt + fromBytes)],
      to: toBytes < 0 ? undefined : [...bytes.subarray(toAt, toAt + toBytes)],
      withTo: withTo !== 0,
    })
  }
  return found
}

test('a read is widened where it stands, whatever was read since', () => {
  const set = new ReadSet()
  const first = set.note(100, 1 << 31)
  const second = set.note(-5, 1)
  set.widen(first, 4)
  set.widen(first, 2)
  set.widen(second, 0)
  expect([...set.reads.words.subarray(0, set.reads.length)]).toEqual([100, (1 << 31) | 6, -5, 1])
})

test('no bound, an empty bound and a bound of any length are different things', () => {
  const set = new ReadSet()
  set.noteRange(3, 1, undefined, undefined, false)
  set.noteRange(3, 0, end(), end(), true)
  set.noteRange(0, 2, end(1, 2, 3, 4), undefined, false)
  set.noteRange(9, 2, undefined, end(255), true)
  expect(rangesOf(set)).toEqual([
    { table: 3, tree: 1, from: undefined, to: undefined, withTo: false },
    { table: 3, tree: 0, from: [], to: [], withTo: true },
    { table: 0, tree: 2, from: [1, 2, 3, 4], to: undefined, withTo: false },
    { table: 9, tree: 2, from: undefined, to: [255], withTo: true },
  ])
})

test('the bytes of an end are copied: its buffer may say something else afterwards', () => {
  const set = new ReadSet()
  const mine = end(1, 2)
  set.noteRange(0, 0, mine, mine, false)
  mine.bytes.fill(9)
  expect(rangesOf(set)[0]).toMatchObject({ from: [1, 2], to: [1, 2] })
})

test('cleared, it begins again', () => {
  const set = new ReadSet()
  set.note(1, 1)
  set.noteRange(1, 1, end(1), end(2), true)
  set.clear()
  expect([set.reads.length, set.ranges.length]).toEqual([0, 0])
  expect(set.note(2, 2)).toBe(0)
})

describe('random', () => {
  test.each(seeds)('it keeps what was noted while it grows, seed %i', (seed) => {
    const random = randomFrom(seed)
    const set = new ReadSet()
    for (let round = 0; round < 20; round += 1) {
      set.clear()
      const reads: [number, number][] = []
      const ranges: ReturnType<typeof rangesOf> = []
      const bound = (): number[] | undefined => (random.chance(0.2) ? undefined : Array.from({ length: random.below(40) }, () => random.below(256)))
      for (let n = random.below(2_000); n > 0; n -= 1) {
        if (random.chance(0.3)) {
          const [from, to, withTo] = [bound(), bound(), random.chance(0.5)]
          set.noteRange(n, n % 7, from && end(...from), to && end(...to), withTo)
          ranges.push({ table: n, tree: n % 7, from, to, withTo })
        } else if (reads.length > 0 && random.chance(0.4)) {
          const which = random.below(reads.length)
          const groups = random.int32()
          set.widen(which * 2, groups)
          reads[which]![1] |= groups
        } else {
          const read: [number, number] = [random.int32(), random.int32()]
          expect(set.note(...read)).toBe(reads.length * 2)
          reads.push(read)
        }
      }
      expect([...set.reads.words.subarray(0, set.reads.length)]).toEqual(reads.flat())
      expect(rangesOf(set)).toEqual(ranges)
    }
  })

  test('a list that has to grow keeps its words', () => {
    const list = new IntList(2)
    for (let n = 0; n < 1_000; n += 1) {
      const at = list.take(3)
      list.words[at] = n
      list.words[at + 2] = -n
    }
    expect(list.length).toBe(3_000)
    for (let n = 0; n < 1_000; n += 1) expect([list.words[n * 3], list.words[n * 3 + 2]]).toEqual([n, n === 0 ? 0 : -n])
    expect(list.bytes.buffer).toBe(list.words.buffer)
  })
})
