import { describe, expect, test } from 'vitest'
import { SluiceError } from '../../../engine/base/errors.js'
import { limits } from '../../../engine/base/limits.js'
import { HashIndex, hashStateWords, type KeyMatcher } from '../../../engine/store/hash-index.js'
import { fixture, randomFrom, seeds } from './fixture.js'

/** Keys are numbers; row n + 1 has key `keyOfRow[n]`. Several keys share a hash. */
class Sought implements KeyMatcher {
  key = 0
  readonly keyOfRow: Map<number, number>
  constructor(keyOfRow: Map<number, number>) {
    this.keyOfRow = keyOfRow
  }
  equals(row: number): boolean {
    return this.keyOfRow.get(row) === this.key
  }
}

const hashes: Record<string, (key: number) => number> = {
  spread: (key) => Math.imul(key, 0x85ebca6b) ^ (key << 7),
  'the key itself': (key) => key | 0,
  'low bits empty': (key) => (key << 16) | 0,
  'many share one': (key) => Math.imul(key >>> 3, 0x9e3779b1),
}

function bench(bytes: number, hashOf: (key: number) => number) {
  const { region, domain, take } = fixture(bytes)
  const state = take(hashStateWords)
  const index = new HashIndex(region, domain, state)
  const keyOfRow = new Map<number, number>()
  const rowOfKey = new Map<number, number>()
  const sought = new Sought(keyOfRow)
  let rows = 0
  const find = (key: number): number => {
    sought.key = key
    return index.find(hashOf(key), sought)
  }
  const insert = (key: number): void => {
    index.reserve(hashOf(key))
    rows += 1
    index.insert(hashOf(key), rows)
    keyOfRow.set(rows, key)
    rowOfKey.set(key, rows)
  }
  const remove = (key: number): void => {
    const row = rowOfKey.get(key)!
    index.remove(hashOf(key), row)
    rowOfKey.delete(key)
    keyOfRow.delete(row)
  }
  const compare = (): void => {
    expect(index.entries).toBe(rowOfKey.size)
    const all: number[] = []
    index.forEach((row) => void all.push(row))
    expect(all.sort((a, b) => a - b)).toEqual([...rowOfKey.values()].sort((a, b) => a - b))
    for (const [key, row] of rowOfKey) if (find(key) !== row) expect.unreachable(`key ${key}`)
  }
  return { region, domain, index, state, rowOfKey, find, insert, remove, compare }
}

describe.each(seeds)('hash index, seed %i', (seed) => {
  test.each(Object.keys(hashes))('it holds what a Map holds; hash: %s', (name) => {
    const random = randomFrom(seed)
    const it = bench(64 * 2 ** 20, hashes[name]!)
    let growing = true
    for (let batch = 1; batch <= 60; batch += 1) {
      it.domain.beginBatch()
      if (random.chance(0.1)) growing = !growing
      for (let n = random.below(900); n >= 0; n -= 1) {
        const key = random.below(12_000)
        if (it.find(key) !== (it.rowOfKey.get(key) ?? 0)) expect.unreachable(`key ${key}`)
        if (it.rowOfKey.has(key)) {
          if (random.chance(growing ? 0.3 : 1)) it.remove(key)
        } else if (random.chance(growing ? 1 : 0.3)) it.insert(key)
      }
      it.domain.endBatch(batch)
      if (batch % 20 === 0) it.compare()
      while (it.domain.oldestMark() <= batch - 1) it.domain.reclaimOldest(() => expect.unreachable())
    }
    it.compare()
  })

  test('out of space leaves every entry where it was', () => {
    const random = randomFrom(seed)
    for (let round = 0; round < 10; round += 1) {
      const it = bench(2 ** 17 + random.below(99) * 1_024, hashes['spread']!)
      it.domain.beginBatch()
      const full = (): void => {
        for (let key = 0; ; key += 1) it.insert(key)
      }
      expect(full).toThrow(expect.objectContaining({ code: 'OUT_OF_SPACE' }))
      expect(full).toThrow(SluiceError)
      it.compare()
      expect(it.rowOfKey.size).toBeGreaterThan(1_000)
    }
  })
})

test('a queue of keys takes the memory of its entries, however long it runs', () => {
  const it = bench(16 * 2 ** 20, hashes['spread']!)
  let used = 0
  for (let batch = 1; batch <= 400; batch += 1) {
    it.domain.beginBatch()
    for (let n = 0; n < 500; n += 1) {
      it.insert(batch * 500 + n)
      if (batch > 2) it.remove((batch - 2) * 500 + n)
    }
    it.domain.endBatch(batch)
    while (it.domain.oldestMark() <= batch - 1) it.domain.reclaimOldest(() => expect.unreachable())
    if (batch === 100) used = it.region.usedWords()
  }
  it.compare()
  expect(it.region.usedWords()).toBeLessThan(used * 1.2)
  expect(it.index.words).toBeLessThan(16 * it.index.entries)
})

test('no piece is larger than the limit, and a scan that has begun meets each row once while pieces split', () => {
  const it = bench(64 * 2 ** 20, hashes['spread']!)
  it.domain.beginBatch()
  for (let key = 0; key < 300_000; key += 1) it.insert(key)
  // 300,000 entries at a load between 3/8 and 3/4, in words of one entry each.
  expect(it.index.words).toBeGreaterThan(300_000 / 0.75)
  expect(it.index.words).toBeLessThan(300_000 / 0.3)
  const { i32 } = it.region
  const directory = i32[it.state * 2]! * 2
  const pieces = new Set(i32.subarray(directory + 2, directory + 2 + i32[directory + 1]!))
  for (const piece of pieces) expect(i32[piece * 2]! + 1).toBeLessThanOrEqual(limits.hashPieceEntriesMax)
  expect(pieces.size).toBeGreaterThan(4)

  const before = it.rowOfKey.size
  const met = new Set<number>()
  let next = 300_000
  it.index.forEach((row) => {
    if (row <= before && met.has(row)) expect.unreachable(`row ${row} twice`)
    met.add(row)
    if (met.size % 2 === 0 && next < 700_000) it.insert((next += 1))
    if (met.size % 2 === 0 && next < 700_000) it.insert((next += 1))
    if (met.size % 2 === 0 && next < 700_000) it.insert((next += 1))
  })
  for (let row = 1; row <= before; row += 1) if (!met.has(row)) expect.unreachable(`row ${row} missed`)
})

test('a thread that died while it linked a split has left every row findable, and met once by a scan', () => {
  const it = bench(64 * 2 ** 20, hashes['spread']!)
  const { i32 } = it.region
  it.domain.beginBatch()
  const slotsOf = (): number[] => {
    const directory = i32[it.state * 2]!
    return Array.from(i32.subarray(directory * 2 + 2, directory * 2 + 2 + i32[directory * 2 + 1]!))
  }
  let cut = 0
  let before: number[] = []
  for (let key = 0; key < 600_000 && cut < 3; key += 1) {
    // One by one near the limit of a piece would be slow to watch: pieces split when they hold more than 32,768 rows.
    const watch = it.rowOfKey.size > 90_000
    if (watch) before = slotsOf()
    const directory = i32[it.state * 2]!
    it.insert(key)
    if (!watch || i32[it.state * 2] !== directory) continue
    const after = slotsOf()
    const changed = after.flatMap((piece, slot) => (piece === before[slot] ? [] : [slot]))
    if (changed.length < 2 || after[changed[0]!] === after[changed.at(-1)!]) continue
    // The second half of the slots was not reached; the last insert went through the first half or is lost with its batch.
    const lost = key
    for (const slot of changed.slice(changed.length >>> 1)) i32[directory * 2 + 2 + slot] = before[slot]!
    cut += 1
    const met = new Set<number>()
    it.index.forEach((row) => {
      if (met.has(row)) expect.unreachable(`row ${row} twice`)
      met.add(row)
    })
    for (const [known, row] of it.rowOfKey) {
      if (known !== lost && (it.find(known) !== row || !met.has(row))) expect.unreachable(`key ${known}`)
    }
    // It stays so; what the old piece does later must not undo what the new one has taken in since.
    it.rowOfKey.delete(lost)
  }
  expect(cut).toBeGreaterThan(0)
  for (const [key, row] of it.rowOfKey) if (it.find(key) !== row) expect.unreachable(`key ${key}`)
})
