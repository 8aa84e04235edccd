import { describe, expect, test } from 'vitest'
import { limits } from '../../../engine/base/limits.js'
import { classOf, headerWords, retireKind, roundedWords, wordsOfClass } from '../../../engine/store/domain.js'
import { fixture, randomFrom, seeds } from './fixture.js'

test('size classes hold what they are asked for and waste less than a quarter', () => {
  for (let words = 2; words < 100_000; words += 1) {
    const rounded = roundedWords(words)
    expect(rounded >= words && rounded < words * 1.25 + 1).toBe(true)
    if (words < 200) expect(classOf(wordsOfClass(classOf(words)))).toBe(classOf(words))
  }
})

describe.each(seeds)('domain, seed %i', (seed) => {
  test('blocks never overlap, and a reservation is kept', () => {
    const random = randomFrom(seed)
    const { region, domain } = fixture(2 ** 20)
    const blocks: { at: number; words: number; mark: number }[] = []
    let full = 0
    for (let n = 0; n < 60_000; n += 1) {
      if (random.chance(full > 0 ? 0.6 : 0.4) && blocks.length > 0) {
        const [block] = blocks.splice(random.below(blocks.length), 1)
        for (let w = block!.at; w < block!.at + block!.words; w += 1) if (region.f64[w] !== block!.mark) expect.unreachable('overwritten')
        domain.release(block!.at, block!.words)
        full -= full > 0 ? 1 : 0
        continue
      }
      const sizes = Array.from({ length: 1 + random.below(4) }, () => (random.chance(0.02) ? 500 + random.below(12_000) : 2 + random.below(150)))
      const small = sizes.every((words) => words < 8_000)
      if (small && !domain.tryReserve(sizes.reduce((a, b) => a + b))) {
        full = 40
        continue
      }
      for (const words of sizes) {
        let at = 0
        try {
          at = domain.allocate(words)
        } catch (error) {
          if (small) throw error
          full = 40
          break
        }
        blocks.push({ at, words, mark: n })
        region.f64.fill(n, at, at + words)
      }
    }
    expect(region.usedWords()).toBeLessThanOrEqual(2 ** 17)
  })

  test('versions come back by rollback, history is counted exactly, and all of it is freed', () => {
    const random = randomFrom(seed)
    const { region, domain, take } = fixture(8 * 2 ** 20)
    const { f64, i32 } = region
    const words = 5
    const rows = Array.from({ length: 40 }, () => take(words))
    const values = rows.map(() => 0)
    const history = new Map<number, number[]>([[0, [...values]]])
    const store = (row: number, batch: number, value: number): void => {
      domain.reserveVersion(words)
      if (f64[rows[row]!] !== batch) domain.saveVersion(rows[row]!, words, batch)
      f64[rows[row]! + 4] = value
      values[row] = value
    }
    const valueAt = (row: number, snapshot: number): number => {
      let at = rows[row]!
      while (f64[at]! > snapshot) at = i32[at * 2 + 2]!
      return f64[at + 4]!
    }
    const retired = new Set<number>()
    const put = (): void => {
      domain.reserveVersion(0)
      if (random.chance(0.5)) domain.retireBlock(domain.allocate(64), 64)
      else {
        const mark = random.below(1e9)
        const record = domain.retire(retireKind.row, mark)
        if (random.chance(0.2)) domain.unretire(record)
        else retired.add(mark)
      }
    }
    let bound = 0
    for (let batch = 1; batch <= 800; batch += 1) {
      domain.beginBatch()
      if (random.chance(0.7)) {
        if (random.chance(0.2)) {
          const [before, retiredBefore] = [[...values], new Set(retired)]
          for (let n = random.below(60); n > 0; n -= 1) random.chance(0.5) ? store(random.below(40), batch, random.below(1e6)) : put()
          domain.rollback(() => expect.unreachable())
          values.splice(0, values.length, ...before)
          retired.clear()
          for (const mark of retiredBefore) retired.add(mark)
        }
        for (let n = random.below(60); n > 0; n -= 1) random.chance(0.5) ? store(random.below(40), batch, random.below(1e6)) : put()
      }
      domain.endBatch(batch)
      history.set(batch, [...values])
      bound = Math.max(bound, batch - random.below(12))
      while (domain.oldestMark() <= bound) domain.reclaimOldest((kind, mark) => expect(kind === retireKind.row && retired.delete(mark)).toBe(true))
      for (let snapshot = bound; snapshot <= batch; snapshot += 1) {
        for (let row = 0; row < 40; row += 1) if (valueAt(row, snapshot) !== history.get(snapshot)![row]) expect.unreachable(`row ${row} at ${snapshot}`)
      }
    }
    while (domain.oldestMark() <= 800) domain.reclaimOldest((_, mark) => retired.delete(mark))
    expect(domain.keptWords()).toBe(0)
    expect(retired.size).toBe(0)
    expect(domain.oldestMark()).toBe(Infinity)
    expect(headerWords).toBe(2)
  })
})

test('no batch is found where a segment of marks has ended and the next one has only been reserved', () => {
  const { domain } = fixture(8 * 2 ** 20)
  // Enough batches to end exactly at a border, whatever the size of a segment.
  for (let batch = 1; batch < 2_000; batch += 1) {
    domain.beginBatch()
    domain.reserveVersion(2)
    domain.retire(retireKind.row, batch)
    domain.endBatch(batch)
    domain.reserveVersion(2)
    expect(domain.oldestMark()).toBe(batch)
    domain.reclaimOldest(() => undefined)
    expect(domain.oldestMark()).toBe(Infinity)
  }
})

test('what a long snapshot kept serves as memory for anything afterwards', () => {
  const { region, domain, take } = fixture(16 * 2 ** 20)
  const row = take(64)
  let batch = 0
  for (; region.usedWords() < region.words * 0.9; ) {
    batch += 1
    domain.beginBatch()
    domain.reserveVersion(64)
    domain.saveVersion(row, 64, batch)
    domain.endBatch(batch)
  }
  while (domain.oldestMark() <= batch) domain.reclaimOldest(() => undefined)
  let blocks = 0
  expect(() => {
    for (;;) blocks += domain.allocate(100) > 0 ? 1 : 0
  }).toThrow(expect.objectContaining({ code: 'OUT_OF_SPACE' }))
  expect(blocks * 128).toBeGreaterThan(region.words * 0.85)
  expect(limits.extentBytesMax).toBe(262_144)
})

test('in a full region freed blocks serve smaller ones', () => {
  const { region, domain } = fixture(4 * 2 ** 20)
  const blocks: number[] = []
  expect(() => {
    for (;;) blocks.push(domain.allocate(1_024))
  }).toThrow(expect.objectContaining({ code: 'OUT_OF_SPACE' }))
  for (const at of blocks) domain.release(at, 1_024)
  for (let n = 0; n < blocks.length * 8; n += 1) domain.allocate(128)
  expect(blocks.length * 1_024).toBeGreaterThan(region.words * 0.9)
})
