import { describe, expect, test } from 'vitest'
import { SluiceError } from '../../../engine/base/errors.js'
import { Region } from '../../../engine/shared/region.js'
import { Domain, domainWords, retireKind } from '../../../engine/store/domain.js'
import { compareCursors, Cursor, everything, type KeyRange } from '../../../engine/store/ordered-cursor.js'
import { OrderedIndex, orderedCellWords } from '../../../engine/store/ordered-index.js'
import { fixture, type Random, randomFrom, seeds } from './fixture.js'

type Model = Map<string, { readonly key: Uint8Array; readonly row: number }>
type Undo = { readonly kind: 'insert' | 'remove'; readonly word: number; readonly name: string; readonly row: number; readonly key: Uint8Array }

const nameOf = (key: Uint8Array): string => Buffer.from(key).toString('hex')
const order = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b)
const sorted = (model: Model) => [...model.values()].sort((a, b) => order(a.key, b.key))
const rangeOf = (parts: Partial<KeyRange>): KeyRange => ({ ...everything, ...parts })

/** The tree beside a model of it, driven in batches as the engine does it. */
class Bench {
  readonly region: Region
  readonly domain: Domain
  readonly index: OrderedIndex
  readonly model: Model = new Map()
  batch = 0
  #rows = 16

  constructor(bytes: number) {
    const parts = fixture(bytes)
    this.region = parts.region
    this.domain = parts.domain
    this.index = new OrderedIndex(parts.region, parts.domain, parts.take(orderedCellWords))
  }

  begin(bound: number): void {
    this.batch += 1
    this.domain.beginBatch()
    this.reclaim(bound)
  }
  reclaim(bound: number): void {
    while (this.domain.oldestMark() <= bound) {
      this.domain.reclaimOldest((kind, cell, record) => {
        expect(kind).toBe(retireKind.leaf)
        expect(cell).toBe(this.index.cell)
        this.index.trim(record, this.batch)
      })
    }
  }
  end(): void {
    this.domain.endBatch(this.batch)
  }
  insert(key: Uint8Array): Undo {
    this.index.reserve(key.length)
    const row = (this.#rows += 1)
    const word = this.index.insert(key, key.length, row, this.batch)
    this.model.set(nameOf(key), { key, row })
    return { kind: 'insert', word, name: nameOf(key), row, key }
  }
  remove(key: Uint8Array): Undo {
    this.index.reserveRemove()
    const word = this.index.remove(key, key.length, this.batch)
    const there = this.model.get(nameOf(key))!
    expect(this.index.rowOf(word)).toBe(there.row)
    this.model.delete(nameOf(key))
    return { kind: 'remove', word, name: nameOf(key), row: there.row, key }
  }
  undo(journal: readonly Undo[]): void {
    for (const step of [...journal].reverse()) {
      if (step.kind === 'insert') {
        this.index.undoInsert(step.word, this.batch)
        this.model.delete(step.name)
      } else {
        this.index.undoRemove(step.word, this.batch)
        this.model.set(step.name, { key: step.key, row: step.row })
      }
    }
  }
  rowsOf(root: number, range: KeyRange = everything): number[] {
    const rows: number[] = []
    this.index.gather(root, range, Infinity, rows)
    return rows
  }
  compare(): void {
    this.index.check()
    expect(this.rowsOf(this.index.rootNow())).toEqual(sorted(this.model).map((e) => e.row))
  }
}

/** Keys of many shapes: common heads, zeros at the end, one the head of another, far apart. */
function keyMaker(random: Random, space: number): () => Uint8Array {
  const shape = random.below(4)
  return () => {
    const n = random.below(space)
    if (shape === 0) return Uint8Array.of(0, 0, 0, 0, (n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255)
    if (shape === 1) return Buffer.from(`customer/${n % 7}/${n}`)
    if (shape === 2) return Uint8Array.from({ length: 1 + (n % 23) }, (_, i) => (i === 0 ? n & 255 : i === 1 ? (n >>> 8) & 255 : 0))
    return Buffer.from(Math.imul(n, 0x9e3779b1).toString(16).padStart(9, '0').repeat(1 + (n % 3)))
  }
}

describe.each(seeds)('ordered index, seed %i', (seed) => {
  test('it holds what a sorted list holds, through batches, aborts, reclaim and old snapshots', () => {
    const random = randomFrom(seed)
    for (let round = 0; round < 4; round += 1) {
      const bench = new Bench(32 * 2 ** 20)
      const makeKey = keyMaker(random, 6_000)
      const snapshots = new Map<number, number[]>()
      let growing = true
      for (let n = 0; n < 60; n += 1) {
        if (random.chance(0.05)) growing = !growing
        // The oldest kept snapshot is the bound.
        if (random.chance(0.3)) snapshots.delete([...snapshots.keys()][0]!)
        const bound = Math.min(bench.batch, ...snapshots.keys())
        bench.begin(bound)
        bench.compare()
        for (let t = random.below(12); t >= 0; t -= 1) {
          const journal: Undo[] = []
          for (let k = random.below(random.chance(0.1) ? 400 : 12); k >= 0; k -= 1) {
            const key = makeKey()
            const there = bench.model.has(nameOf(key))
            if (bench.index.find(bench.index.rootNow(), key, key.length) !== (bench.model.get(nameOf(key))?.row ?? 0)) expect.unreachable('find')
            if (there && random.chance(growing ? 0.3 : 1)) journal.push(bench.remove(key))
            else if (!there && random.chance(growing ? 1 : 0.3)) journal.push(bench.insert(key))
          }
          if (!growing && random.chance(0.2)) for (const { key } of sorted(bench.model).slice(0, 150)) journal.push(bench.remove(key))
          if (random.chance(0.3)) {
            bench.undo(journal.slice(journal.length >>> 1))
            bench.undo(journal.slice(0, journal.length >>> 1))
            if (random.chance(0.2)) bench.compare()
          }
        }
        bench.end()
        snapshots.set(bench.batch, sorted(bench.model).map((e) => e.row))
        if (n % 5 === 0) {
          for (const [batch, rows] of snapshots) {
            expect(bench.rowsOf(bench.index.rootAt(batch))).toEqual(rows)
            expect(bench.index.entriesAt(batch)).toBe(rows.length)
          }
        }
      }
    }
  })

  /** The finger: lines of orders, each run of keys somewhere in the middle of the others. */
  test('T6: runs of ascending keys find their places, through splits, removals, aborts and batches that are rolled back', () => {
    const random = randomFrom(seed ^ 0x77)
    for (let round = 0; round < 4; round += 1) {
      const bench = new Bench(32 * 2 ** 20)
      const isText = round % 2 === 1
      const keyOf = (run: number, n: number): Uint8Array =>
        isText ? Buffer.from(`run-${'x'.repeat(run % 5)}${run}/${String(n).padStart(6, '0')}`) : Uint8Array.of(0, 0, 0, 7, 0, 0, run, 0, 0, n >>> 8, n & 255)
      const next = new Map<number, number>()
      const grow = (): Undo[] => {
        const run = random.below(20)
        return Array.from({ length: 1 + random.below(25) }, () => {
          const n = next.get(run) ?? 0
          next.set(run, n + 1)
          // Now and then a key of another run comes in between: the finger points elsewhere.
          const key = keyOf(random.chance(0.05) ? (run + 7) % 20 : run, random.chance(0.05) ? n + 30_000 : n)
          return bench.model.has(nameOf(key)) ? [] : [bench.insert(key)]
        }).flat()
      }
      for (let n = 0; n < 40; n += 1) {
        bench.begin(bench.batch)
        const sealed: Model = new Map(bench.model)
        const isRolledBack = random.chance(0.2)
        for (let run = 0; run < (isRolledBack ? 2 : 1); run += 1) {
          for (let t = random.below(8); t >= 0; t -= 1) {
            const journal: Undo[] = []
            for (let k = random.below(4); k >= 0; k -= 1) {
              journal.push(...grow())
              const last = journal.findLast(({ kind, name }) => kind === 'insert' && bench.model.has(name))
              if (last !== undefined && random.chance(0.2)) journal.push(bench.remove(last.key))
            }
            if (random.chance(0.2)) bench.undo(journal)
          }
          if (run === 1 || !isRolledBack) break
          bench.compare()
          bench.domain.rollback(() => undefined)
          bench.model.clear()
          for (const [name, entry] of sealed) bench.model.set(name, entry)
        }
        bench.compare()
        bench.end()
      }
    }
  })

  test('a cursor gives any range in both directions, also merged with another', () => {
    const random = randomFrom(seed ^ 0x55)
    for (let round = 0; round < 12; round += 1) {
      const bench = new Bench(16 * 2 ** 20)
      const makeKey = keyMaker(random, 3_000)
      bench.begin(0)
      for (let n = random.below(2_500); n >= 0; n -= 1) {
        const key = makeKey()
        if (!bench.model.has(nameOf(key))) bench.insert(key)
        else if (random.chance(0.5)) bench.remove(key)
      }
      // Holes that leave empty leaves.
      const holes = sorted(bench.model)
      const first = random.below(holes.length)
      for (const { key } of holes.slice(first, first + random.below(400))) bench.remove(key)
      bench.end()
      const all = sorted(bench.model)
      const cursor = new Cursor(bench.region)
      const root = bench.index.rootNow()
      for (let n = 0; n < 60; n += 1) {
        const from = random.chance(0.2) ? undefined : random.chance(0.5) ? makeKey() : all[random.below(all.length)]?.key
        const to = random.chance(0.2) ? undefined : random.chance(0.5) ? makeKey() : all[random.below(all.length)]?.key
        const range = rangeOf({
          from, fromLength: from?.length ?? 0, fromExclusive: random.chance(0.5), to, toLength: to?.length ?? 0, reverse: random.chance(0.5),
        })
        const expected = all
          .filter(({ key }) => (from === undefined || order(key, from) > (range.fromExclusive ? 0 : -1)) && (to === undefined || order(key, to) < 0))
          .map((e) => e.row)
        if (range.reverse) expected.reverse()
        cursor.seek(root, range)
        const rows: number[] = []
        for (let row = cursor.next(); row !== 0; row = cursor.next()) rows.push(row)
        expect(rows).toEqual(expected)
        expect(cursor.next()).toBe(0)
        expect(bench.rowsOf(root, range)).toEqual(expected)
        const limit = random.below(expected.length + 2)
        const some: number[] = []
        expect(bench.index.gather(root, range, limit, some)).toBe(Math.min(limit, expected.length))
        expect(some).toEqual(expected.slice(0, limit))
      }
      const [a, b] = [new Cursor(bench.region), new Cursor(bench.region)]
      for (let n = 0; n < 50 && all.length > 0; n += 1) {
        const [x, y] = [all[random.below(all.length)]!, all[random.below(all.length)]!]
        a.seek(root, rangeOf({ from: x.key, fromLength: x.key.length }))
        b.seek(root, rangeOf({ from: y.key, fromLength: y.key.length }))
        expect([a.next(), b.next()]).toEqual([x.row, y.row])
        expect(Math.sign(compareCursors(a, b))).toBe(Math.sign(order(x.key, y.key)))
      }
    }
  })

  test('a batch that is rolled back leaves the tree of the batch before, and can run again under its number', () => {
    const random = randomFrom(seed ^ 0xaa)
    const bench = new Bench(64 * 2 ** 20)
    const makeKey = keyMaker(random, 5_000)
    const change = () => {
      const key = makeKey()
      if (bench.model.has(nameOf(key))) bench.remove(key)
      else bench.insert(key)
    }
    for (let n = 0; n < 60; n += 1) {
      bench.begin(bench.batch)
      const before = new Map(bench.model)
      // Trimming belongs to the batch: it goes back with it.
      for (let run = random.below(3); run > 0; run -= 1) {
        for (let k = 0; k < 300; k += 1) change()
        bench.domain.rollback(() => expect.unreachable())
        bench.model.clear()
        for (const [name, entry] of before) bench.model.set(name, entry)
        bench.compare()
      }
      for (let k = 0; k < 200; k += 1) change()
      bench.end()
      bench.compare()
      bench.reclaim(bench.batch)
      expect(bench.domain.keptWords()).toBeGreaterThanOrEqual(0)
    }
  })

  test('out of space at any allocation leaves the tree as it was, and removing goes on', () => {
    const random = randomFrom(seed ^ 0x77)
    for (let round = 0; round < 2; round += 1) {
      const bench = new Bench(2 ** 18 + random.below(64) * 512)
      const makeKey = keyMaker(random, 1_000_000)
      let full = 0
      for (let n = 0; n < 400 && full < 6; n += 1) {
        bench.begin(bench.batch)
        for (let k = random.below(60); k >= 0; k -= 1) {
          const key = makeKey()
          if (bench.model.has(nameOf(key))) continue
          try {
            bench.insert(key)
          } catch (error) {
            if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
            full += 1
            bench.compare()
            break
          }
        }
        bench.end()
        bench.compare()
      }
      expect(full).toBeGreaterThan(0)
      const before = bench.model.size
      for (let n = 0; n < 40 && bench.model.size > 0; n += 1) {
        bench.begin(bench.batch)
        const entries = sorted(bench.model)
        for (let k = 0; k < 8 && k < entries.length; k += 1) {
          try {
            bench.remove(entries[k]!.key)
          } catch (error) {
            if (!SluiceError.is(error, 'OUT_OF_SPACE')) throw error
            break
          }
        }
        bench.end()
        bench.compare()
      }
      expect(bench.model.size).toBeLessThan(before)
    }
  })
})

test('a queue takes the memory of its entries, however long it runs', () => {
  const bench = new Bench(32 * 2 ** 20)
  const keyOf = (n: number): Uint8Array => Buffer.from(`queue-entry-${String(n).padStart(12, '0')}`)
  let head = 0
  let tail = 0
  let used = 0
  for (let n = 0; n < 700; n += 1) {
    bench.begin(bench.batch - 2)
    for (let k = 0; k < 100; k += 1) bench.insert(keyOf((head += 1)))
    while (head - tail > 1_000) bench.remove(keyOf((tail += 1)))
    bench.end()
    if (n === 100) used = bench.region.usedWords()
  }
  bench.compare()
  expect(bench.index.height).toBeLessThanOrEqual(2)
  expect(bench.region.usedWords()).toBeLessThan(used * 1.3)
})

test('large aborted transactions take nothing for good', () => {
  const bench = new Bench(32 * 2 ** 20)
  let used = 0
  for (let n = 0; n < 300; n += 1) {
    bench.begin(bench.batch)
    const journal: Undo[] = []
    for (let k = 0; k < 500; k += 1) journal.push(bench.insert(Buffer.from(`${n}/${String(k).padStart(6, '0')}`)))
    bench.undo(journal)
    bench.end()
    if (n === 50) used = bench.region.usedWords()
  }
  bench.begin(bench.batch)
  bench.end()
  bench.begin(bench.batch)
  bench.end()
  bench.compare()
  expect(bench.index.height).toBeLessThanOrEqual(1)
  expect(bench.region.usedWords()).toBeLessThan(used * 1.3)
})

test('when everything is removed and reclaimed, every block is free again', () => {
  const bench = new Bench(32 * 2 ** 20)
  const random = randomFrom(7)
  const words: number[] = []
  for (let cycle = 0; cycle < 12; cycle += 1) {
    bench.begin(bench.batch)
    for (let k = 0; k < 5_000; k += 1) {
      const key = Buffer.from(`some common head ${random.below(1e9)}`)
      if (!bench.model.has(nameOf(key))) bench.insert(key)
    }
    bench.end()
    bench.begin(bench.batch)
    for (const { key } of sorted(bench.model)) bench.remove(key)
    bench.end()
    for (let n = 0; n < 3; n += 1) {
      bench.begin(bench.batch)
      bench.end()
    }
    expect(bench.index.rootNow()).toBe(0)
    bench.reclaim(bench.batch)
    expect(bench.domain.keptWords()).toBe(0)
    words.push(bench.region.usedWords())
  }
  expect(words.at(-1)).toBe(words[3])
})

test('two threads may follow each other: nothing lives on the heap', () => {
  const bench = new Bench(8 * 2 ** 20)
  const random = randomFrom(3)
  for (let n = 0; n < 30; n += 1) {
    const region = new Region(bench.region.buffer)
    const domain = new Domain(region, bench.domain.address)
    const next = new OrderedIndex(region, domain, bench.index.cell)
    Object.assign(bench, { region, domain, index: next })
    bench.begin(bench.batch)
    for (let k = 0; k < 100; k += 1) {
      const key = Buffer.from(String(random.below(2_000)))
      if (bench.model.has(nameOf(key))) bench.remove(key)
      else bench.insert(key)
    }
    bench.end()
    bench.compare()
  }
  expect(domainWords).toBeGreaterThan(0)
})
