/** Loading row images: equal to what transactions make of the same changes, and what is refused. */
import { describe, expect, test } from 'vitest'
import { SluiceError } from '../../../engine/base/errors.js'
import { columnTypes, type TableProgram } from '../../../engine/schema/descriptor.js'
import { checkStore } from '../../../engine/store/check.js'
import { loadKind, RowLoader, type TableLoader } from '../../../engine/store/row-loader.js'
import type { Store } from '../../../engine/store/store.js'
import { seeds, withSeed } from '../../support/random.js'
import { batch, edges, expectSameStores, programWith, randomTable, randomValue, rowsOf, storeOf, Written } from './row-loader-fixture.js'

const longTextMax = 120

/** Long values before, between and in the key. */
const longKeys: TableProgram = {
  descriptor: {
    name: 'long',
    columns: [
      { name: 'note', type: 'text', nullable: true },
      { name: 'a', type: 'bytes', nullable: false },
      { name: 'data', type: 'json', nullable: true },
      { name: 'b', type: 'text', nullable: false },
    ],
    key: [3, 1],
    partition: [3],
    ordered: true,
    indexes: [],
  },
  checks: [],
  json: [],
}

describe('the same changes, written by transactions and loaded from their images', () => {
  test.each(seeds(12))('L3: leave the same rows, in the same partitions, in sound indexes, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const program = programWith([longKeys, ...Array.from({ length: 1 + random.below(3) }, (_, n) => randomTable(random, `t${n}`))])
      const partitions = random.pick([1, 3, 4, 16])
      const written = new Written(storeOf(program, partitions))
      const store = storeOf(program, partitions)
      const loader = new RowLoader(store, batch)
      const flushChance = random.pick([0, 0.01, 0.5])
      const known: { table: number; values: readonly unknown[] }[] = []
      let changes = 0
      for (let round = 0; round < 6; round += 1) {
        for (let n = 0; n < 300; n += 1) {
          // The same rows again and again, also within a group: inserted, updated, deleted, inserted.
          const again = known.length > 0 && random.chance(0.6) ? random.pick(known) : undefined
          const table = written.store.tables[again?.table ?? random.below(program.tables.length)]!
          const { columns, key } = table.descriptor
          const fresh = columns.map((column, c) => randomValue(random, column, key.includes(c) ? 60 : longTextMax))
          const values = fresh.map((value, c) => (again !== undefined && key.includes(c) ? again.values[c] : value))
          if (again === undefined) known.push({ table: table.ordinal, values })
          if (random.chance(0.3)) written.delete(table, values)
          else written.insertOrUpdate(table, values)
        }
        changes += written.replayInto(loader, () => random.chance(flushChance))
      }
      loader.end()
      expect(changes).toBeGreaterThan(500)
      expectSameStores(store, written.store)
    })
  })

  // A bigint beyond 32 bits once threw a TypeError in the code that places it.
  test.each(columnTypes.filter((type) => type !== 'json').flatMap((type) => [[type, 1], [type, 2]] as const))('L3: a key of type %s, one of %i partition columns, is placed where its value is', async (type, columns) => {
    await withSeed(7, async (random) => {
      const key = Array.from({ length: columns }, (_, n) => n)
      const column = { name: 'k', type, nullable: false, ...(type === 'enum' ? { values: ['a', 'ü', 'c'] } : {}) }
      const one = { name: 't', columns: key.map((n) => ({ ...column, name: `k${n}` })), key, partition: key, ordered: true, indexes: [] }
      const program = programWith([{ descriptor: one, checks: [], json: [] }])
      for (const partitions of [3, 16, 1_000]) {
        const written = new Written(storeOf(program, partitions))
        const values = [...(edges[type] ?? []), ...Array.from({ length: 30 }, () => randomValue(random, column, 60))]
        for (const value of values) written.insertOrUpdate(written.store.tables[0]!, columns === 1 ? [value] : [random.pick(values), value])
        const store = storeOf(program, partitions)
        const loader = new RowLoader(store, batch)
        written.replayInto(loader, () => false)
        loader.end()
        expectSameStores(store, written.store)
      }
    })
  })

  test('L3: keys that share one 32-bit hash are told apart', () => {
    const table: TableProgram = {
      descriptor: { name: 't', columns: [{ name: 'id', type: 'int', nullable: false }, { name: 'n', type: 'int', nullable: false }], key: [0], partition: 'global', ordered: false, indexes: [] },
      checks: [],
      json: [],
    }
    const written = new Written(storeOf(programWith([table]), 1))
    const rows = written.store.tables[0]!
    const seen = new Map<number, number>()
    const pairs: [number, number][] = []
    for (let id = 0; pairs.length < 2; id += 1) {
      rows.key.set(id * 7_919)
      const { hash } = rows.key
      const other = seen.get(hash)
      if (other !== undefined) pairs.push([other, id * 7_919])
      seen.set(hash, id * 7_919)
    }
    const store = storeOf(programWith([table]), 1)
    const loader = new RowLoader(store, batch)
    const replay = (isGrouped: boolean): void => void written.replayInto(loader, () => !isGrouped)
    for (const isGrouped of [true, false]) {
      for (const [one, other] of pairs) {
        written.insertOrUpdate(rows, [one, 1])
        written.insertOrUpdate(rows, [other, 2])
        written.insertOrUpdate(rows, [one, 3])
      }
      replay(isGrouped)
      for (const [one, other] of pairs) {
        written.delete(rows, [one, 0])
        written.insertOrUpdate(rows, [other, 4])
        written.insertOrUpdate(rows, [one, 5])
        written.delete(rows, [other, 0])
      }
      replay(isGrouped)
    }
    loader.end()
    expectSameStores(store, written.store)
    expect(rowsOf(store.tables[0]!).length).toBe(pairs.length)
  })
})

// ── one table of pairs ────────────────────────────────────────────────────────────────────────────────────────

const pair: TableProgram = {
  descriptor: {
    name: 'shop.pair',
    columns: [{ name: 'place', type: 'text', nullable: false }, { name: 'day', type: 'i32', nullable: false }, { name: 'note', type: 'text', nullable: true }],
    key: [0, 1],
    partition: [0],
    ordered: true,
    indexes: [{ name: 'byNote', on: [2], range: true, unique: false }],
  },
  checks: [],
  json: [],
}

/** Images of rows, as a transaction writes them. */
function imagesOf(rows: readonly (readonly unknown[])[]): { ints: Int32Array; bytes: Uint8Array; at: number[]; length: number[] } {
  const written = new Written(storeOf(programWith([pair]), 4))
  for (const row of rows) written.insertOrUpdate(written.store.tables[0]!, row)
  const { changes, byteWords, bytes } = written.log
  const each = rows.map((_, n) => n * 6)
  return { ints: byteWords, bytes, at: each.map((c) => written.log.absoluteOffset(changes[c + 2]!) >>> 2), length: each.map((c) => changes[c + 3]!) }
}

function pairLoader(bytes?: number): { store: Store; loader: RowLoader; pairs: TableLoader } {
  const store = storeOf(programWith([pair]), 4, bytes)
  const loader = new RowLoader(store, batch)
  return { store, loader, pairs: loader.table('shop.pair')! }
}

const place = 'a place with a name that is longer than twenty-eight bytes'

describe('a change that contradicts the rows', () => {
  test.each([
    ['insert', [loadKind.insert, loadKind.insert]],
    ['update', [loadKind.update]],
    ['delete', [loadKind.delete]],
    ['delete', [loadKind.insert, loadKind.delete, loadKind.delete]],
    ['update', [loadKind.put, loadKind.delete, loadKind.update]],
  ] as const)('is LOG_CORRUPT and names table and key: %s after %j', (kind, kinds) => {
    for (const isGrouped of [true, false]) {
      const { ints, bytes, at, length } = imagesOf([[place, 7, 'x'.repeat(50)]])
      const change = (): void => {
        const { loader, pairs } = pairLoader()
        loader.begin(ints, bytes)
        for (const one of kinds) {
          pairs.add(one, at[0]!, length[0]!)
          if (!isGrouped) loader.flush()
        }
        loader.flush()
      }
      expect(change).toThrow(`The log says ${kind} of a row of "shop.pair"`)
      expect(change).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }))
      try {
        change()
      } catch (error) {
        expect((error as SluiceError).details).toEqual({ table: 'shop.pair', key: [place, 7] })
      }
    }
  })

  test('is LOG_CORRUPT when an image is longer or shorter than its columns say', () => {
    const { ints, bytes, at, length } = imagesOf([[place, 7, 'x'.repeat(50)], ['short', 7, null]])
    for (const row of [0, 1]) {
      for (const wrong of [-8, 8]) {
        const { loader, pairs } = pairLoader()
        loader.begin(ints, bytes)
        pairs.add(loadKind.put, at[row]!, length[row]! + wrong)
        expect(() => loader.flush()).toThrow('which its columns do not have')
      }
    }
  })
})

describe('memory', () => {
  test('put replaces a row, and a value of the same size keeps its block', () => {
    const { ints, bytes, at, length } = imagesOf([[place, 7, 'x'.repeat(50)]])
    const changed = imagesOf([[place, 7, 'y'.repeat(49)]])
    const { store, loader, pairs } = pairLoader()
    const put = (from: typeof changed): void => {
      loader.begin(from.ints, from.bytes)
      pairs.add(loadKind.put, from.at[0]!, from.length[0]!)
      loader.flush()
    }
    put({ ints, bytes, at, length })
    const state = (): number[] => store.domains.flatMap(({ address }) => [...store.region.i32.subarray(address * 2, address * 2 + 2)])
    const before = state()
    put(changed)
    expect(state(), 'nothing was carved').toEqual(before)
    loader.end()
    expect(rowsOf(store.tables[0]!)).toEqual([expect.stringContaining('y'.repeat(49))])
    checkStore(store, batch)
  })

  test('rows that come and go take no more memory in the hundredth round than in the third', () => {
    const rows = Array.from({ length: 500 }, (_, n) => [`${place} ${n % 50}`, n, n % 3 === 0 ? null : 'n'.repeat(n)])
    const { ints, bytes, at, length } = imagesOf(rows)
    const { store, loader, pairs } = pairLoader()
    let words = 0
    for (let round = 0; round < 100; round += 1) {
      loader.begin(ints, bytes)
      for (let n = 0; n < rows.length; n += 1) pairs.add(loadKind.insert, at[n]!, length[n]!)
      for (let n = 0; n < rows.length; n += 1) pairs.add(loadKind.update, at[n]!, length[n]!)
      for (let n = 0; n < rows.length; n += 1) pairs.add(loadKind.delete, at[n]!, length[n]!)
      loader.flush()
      if (round === 2) words = store.region.usedWords()
    }
    loader.end()
    expect(checkStore(store, batch)).toEqual({ rows: 0, deleted: 0 })
    expect(store.region.usedWords()).toBe(words)
  })

  test('an index that knows how many rows will come is built once', () => {
    const rows = Array.from({ length: 5_000 }, (_, n) => [`place ${n}`, n, null])
    const { ints, bytes, at, length } = imagesOf(rows)
    const { store, loader, pairs } = pairLoader()
    pairs.reserve(rows.length)
    const words = [0, 1, 2, 3].map((p) => store.tables[0]!.part(p).hash.words)
    loader.begin(ints, bytes)
    for (let n = 0; n < rows.length; n += 1) pairs.add(loadKind.insert, at[n]!, length[n]!)
    loader.flush()
    loader.end()
    expect([0, 1, 2, 3].map((p) => store.tables[0]!.part(p).hash.words)).toEqual(words)
    expect(checkStore(store, batch).rows).toBe(rows.length)
  })

  test('that ends is OUT_OF_SPACE', () => {
    const rows = Array.from({ length: 300 }, (_, n) => [`place ${n}`, n, 'x'.repeat(2_000)])
    const { ints, bytes, at, length } = imagesOf(rows)
    const { loader, pairs } = pairLoader(2 ** 19)
    loader.begin(ints, bytes)
    const load = (): void => {
      for (let n = 0; n < rows.length; n += 1) pairs.add(loadKind.insert, at[n]!, length[n]!)
      loader.flush()
    }
    expect(load).toThrow(expect.objectContaining({ code: 'OUT_OF_SPACE' }))
  })
})

describe('trees that were built at the end', () => {
  test.each(seeds(4))('T1, T5: are as good as trees that grew: thousands of entries in any order come and go, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const heads = ['', 'the same beginning, longer than a prefix, ', '\u0000\u0001']
      const row = (n: number): readonly unknown[] => [random.pick(['x', place]), n, random.chance(0.1) ? null : random.pick(heads) + random.below(1_000_000)]
      const isAscending = random.chance(0.3)
      const count = 6_000
      const days = Array.from({ length: count }, (_, n) => (isAscending ? n : (n * 4_801) % count))
      const written = new Written(storeOf(programWith([pair]), 1))
      for (const day of days) written.insertOrUpdate(written.store.tables[0]!, row(day))
      const store = storeOf(programWith([pair]), 1)
      const loader = new RowLoader(store, batch)
      written.replayInto(loader, () => false)
      loader.end()
      expectSameStores(store, written.store)
      expect(store.tables[0]!.part(0).trees.map((tree) => tree.height)).toEqual([3, 3])

      const after = new Written(store)
      for (let n = 0; n < 1_500; n += 1) {
        if (random.chance(0.5)) after.delete(store.tables[0]!, row(random.below(count)))
        else after.insertOrUpdate(store.tables[0]!, row(count / 2 + random.below(count)))
      }
      after.next()
      checkStore(store, batch)
    })
  })

  test('refuse an entry that is too long, with the name of its index', () => {
    const short: TableProgram = { ...pair, descriptor: { ...pair.descriptor, indexes: [] } }
    const written = new Written(storeOf(programWith([short]), 4))
    written.insertOrUpdate(written.store.tables[0]!, ['x', 1, 'n'.repeat(3_000)])
    const { loader } = pairLoader()
    written.replayInto(loader, () => false)
    expect(() => loader.end()).toThrow(expect.objectContaining({ code: 'INVALID_INPUT', message: expect.stringContaining('index "byNote" of "shop.pair" takes 3008 bytes') as string }))
  })
})
