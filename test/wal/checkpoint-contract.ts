/** What every checkpoint promises. Run on LMDB and on plain files, on a disk and in memory. */
import { describe, expect, test } from 'vitest'
import type { Checkpoint, CheckpointStore } from '../../wal/index.js'
import { randomOf, seeds, type Random } from '../support/random.js'
import { applyToModel, bytesOf, contentOf, differenceOf, rowsOf, sortedOf, type Changes, type Model } from './checkpoint-fixture.js'

const meta = Uint8Array.of(1, 2, 3)
const value = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill)
const rows = (count: number, length = 100): Changes =>
  Array.from({ length: count }, (_, index) => [`row/${String(index).padStart(6, '0')}`, value(length, index & 0xff)] as const)

export function checkpointContract(name: string, openStore: () => CheckpointStore): void {
  const filled = (store: CheckpointStore, ...batches: Changes[]): { checkpoint: Checkpoint; model: Model } => {
    const checkpoint = store.open('a', 'write')
    const model: Model = new Map()
    for (const [index, changes] of batches.entries()) {
      checkpoint.apply(sortedOf(changes), { batch: index + 1, meta })
      applyToModel(model, changes)
    }
    return { checkpoint, model }
  }

  describe(`${name} keeps the contract of a checkpoint`, () => {
    test('a new one is empty, at batch 0 and without meta data', async () => {
      const { checkpoint } = filled(openStore())
      expect([checkpoint.batch, checkpoint.rows, checkpoint.meta.length, contentOf(checkpoint)]).toEqual([0, 0, 0, []])
      expect(checkpoint.get(bytesOf('x'))).toBe(undefined)
      await checkpoint.close()
    })

    test('what was applied is there when it is opened again, to read and to write', async () => {
      const store = openStore()
      const { checkpoint, model } = filled(store, rows(2_000), [['row/000500', undefined], ['zzz', value(3, 7)]])
      checkpoint.flush()
      await checkpoint.close()
      for (const access of ['read', 'write', 'read'] as const) {
        const again = store.open('a', access)
        expect([again.batch, [...again.meta]]).toEqual([2, [...meta]])
        expect(differenceOf(again, model)).toBe(undefined)
        await again.close()
      }
    })

    test('random changes give what a map gives', { timeout: 120_000 }, async () => {
      for (const seed of seeds(6)) {
        const random = randomOf(seed)
        const store = openStore()
        const model: Model = new Map()
        let checkpoint = store.open('a', 'write')
        for (let batch = 1; batch <= 25; batch += 1) {
          const changes = randomChanges(random, model)
          checkpoint.apply(sortedOf(changes), { batch, meta: Uint8Array.of(batch) })
          applyToModel(model, changes)
          expect(differenceOf(checkpoint, model), `seed ${seed}, batch ${batch}`).toBe(undefined)
          if (random.chance(0.2)) {
            await checkpoint.close()
            checkpoint = store.open('a', 'write')
            expect([checkpoint.batch, [...checkpoint.meta]], `seed ${seed}, batch ${batch}`).toEqual([batch, [batch]])
          }
          for (const from of [random.pick([...model.keys(), 'm']), `${random.pick([...model.keys(), 'm'])}\0`, 'k', '\xff']) {
            expect(differenceOf(checkpoint, model, from), `seed ${seed}, batch ${batch}, from ${from.slice(0, 20)}`).toBe(undefined)
            expect(checkpoint.get(bytesOf(from)), `seed ${seed}`).toEqual(model.get(from))
          }
        }
        await checkpoint.close()
      }
    })

    test('blocks are full when rows come in order, at least half full when they do not, and joined when rows go', async () => {
      const { checkpoint } = filled(openStore(), rows(3_000))
      const blocks = (): number => [...checkpoint.blocks()].length
      const perBlock = Math.floor(8_160 / (8 + 104 + 16))
      expect(blocks()).toBe(Math.ceil(3_000 / perBlock))

      const between = rows(3_000).map(([key, bytes]) => [`${key}x`, bytes] as const)
      for (let from = 0; from < 50; from += 1) {
        checkpoint.apply(sortedOf(between.filter((_, index) => index % 50 === from)), { batch: 2 + from, meta })
      }
      expect(checkpoint.rows).toBe(6_000)
      expect(blocks()).toBeLessThan(2.1 * Math.ceil(6_000 / perBlock))

      checkpoint.apply(sortedOf(rows(3_000).flatMap(([key], index) => [[key, undefined], ...(index % 10 === 0 ? [] : [[`${key}x`, undefined] as const])] as const)), { batch: 60, meta })
      expect(checkpoint.rows).toBe(300)
      expect(blocks()).toBeLessThan(4 * Math.ceil(300 / perBlock))
      await checkpoint.close()
    })

    test('blocks stay full when rows only come behind all others', async () => {
      const { checkpoint } = filled(openStore(), [['a', value(100, 1)]])
      const grown = rows(3_000)
      for (let from = 0, batch = 2; from < 3_000; from += 20, batch += 1) checkpoint.apply(sortedOf(grown.slice(from, from + 20)), { batch, meta })
      expect(checkpoint.rows).toBe(3_001)
      expect([...checkpoint.blocks()].length).toBe(Math.ceil(3_001 / 63))
      await checkpoint.close()
    })

    test('the first rows may go, and others may come before all that are there', async () => {
      const first: Changes = rows(200)
      const none: Changes = rows(150).map(([key]) => [key, undefined] as const)
      const { checkpoint, model } = filled(openStore(), first, none, [['a', value(5, 5)]], [['\0', value(0, 0)]])
      expect(differenceOf(checkpoint, model)).toBe(undefined)
      await checkpoint.close()
    })

    test('deleting everything leaves nothing, and what was never there may be deleted', async () => {
      const all: Changes = rows(500)
      const { checkpoint, model } = filled(openStore(), all, all.map(([key]) => [key, undefined] as const), [['nobody', undefined]], [['one', value(1, 1)]])
      expect(differenceOf(checkpoint, model)).toBe(undefined)
      expect(checkpoint.rows).toBe(1)
      await checkpoint.close()
    })

    test('values of 16 MiB and keys of 2.4 KiB, beside each other', async () => {
      const long = 'k'.repeat(2_400)
      const { checkpoint, model } = filled(
        openStore(),
        [['a', value(16 * 1_024 * 1_024, 1)], ['b', value(0, 0)], [`${long}1`, value(10, 2)], [`${long}2`, value(16 * 1_024 * 1_024 + 5, 3)]],
        [...Array.from({ length: 40 }, (_, index) => [`${long}1${index}`, value(index, index)] as const), ['a', value(20_000, 4)]],
        [['b', undefined], [`${long}2`, undefined]],
      )
      expect(differenceOf(checkpoint, model)).toBe(undefined)
      await checkpoint.close()
    })

    test('an empty apply moves batch and meta data, and nothing else', async () => {
      const { checkpoint, model } = filled(openStore(), rows(10), [])
      expect(checkpoint.batch).toBe(2)
      checkpoint.apply(sortedOf([]), { batch: 9, meta: new Uint8Array(0) })
      expect([checkpoint.batch, checkpoint.meta.length, differenceOf(checkpoint, model)]).toEqual([9, 0, undefined])
      await checkpoint.close()
    })

    test('an apply that throws half-way has changed nothing, and the next one works', async () => {
      const store = openStore()
      const { checkpoint, model } = filled(store, rows(1_000))
      const changes = sortedOf(rows(1_000).map(([key], index) => [key, index % 3 === 0 ? undefined : value(300, 9)] as const))
      const poisoned = Object.create(changes, { places: { value: poisonedAt(changes.places, 700) } }) as typeof changes
      expect(() => checkpoint.apply(poisoned, { batch: 2, meta: Uint8Array.of(9) })).toThrow(/half-way/)
      expect([checkpoint.batch, [...checkpoint.meta], differenceOf(checkpoint, model)]).toEqual([1, [...meta], undefined])

      checkpoint.apply(sortedOf([['row/000001', value(7, 7)]]), { batch: 2, meta })
      model.set('row/000001', value(7, 7))
      await checkpoint.close()
      const again = store.open('a', 'read')
      expect([again.batch, differenceOf(again, model)]).toEqual([2, undefined])
      await again.close()
    })

    test('it never goes back', async () => {
      const { checkpoint } = filled(openStore(), [], rows(1))
      expect(() => checkpoint.apply(sortedOf([]), { batch: 1, meta })).toThrow(/goes forward/)
      await checkpoint.close()
    })

    test('a walk may take its time and may be left, and an apply ends it', async () => {
      const { checkpoint, model } = filled(openStore(), rows(10_000))
      const found: string[] = []
      for (const block of checkpoint.blocks()) {
        found.push(...rowsOf(block).map(([key]) => key))
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(found).toEqual([...model.keys()])

      for (const block of checkpoint.blocks()) if (block.count > 0) break
      const walk = checkpoint.blocks()[Symbol.iterator]()
      walk.next()
      checkpoint.apply(sortedOf([]), { batch: 2, meta })
      expect(() => walk.next()).toThrow(/ends a walk/)
      await checkpoint.close()
    })

    test('environments of two names are two, and a removed one is new', async () => {
      const store = openStore()
      const { checkpoint, model } = filled(store, rows(10))
      const other = store.open('b', 'write')
      other.apply(sortedOf([['only', value(1, 1)]]), { batch: 5, meta })
      expect([differenceOf(checkpoint, model), contentOf(other).length]).toEqual([undefined, 1])
      await checkpoint.close()
      store.remove('a')
      expect([store.fileOf('a'), contentOf(other).length]).toEqual([undefined, 1])
      const again = store.open('a', 'write')
      expect([again.batch, again.rows, contentOf(again)]).toEqual([0, 0, []])
      await again.close()
      await other.close()
    })
  })
}

/** The same numbers, until the one at `index` is asked for. */
function poisonedAt(places: Int32Array, index: number): Int32Array {
  return new Proxy(places, {
    get(target, property) {
      if (property === String(index)) throw new Error('half-way')
      return Reflect.get(target, property, target) as unknown
    },
  })
}

const prefixes = ['', 'k', 'key/', 'key/', '\0\0', '\xff\xff', 'z'.repeat(300), 'p'.repeat(2_300)]

function randomChanges(random: Random, model: Model): Changes {
  const known = [...model.keys()]
  const changes = new Map<string, Uint8Array | undefined>()
  const count = random.pick([0, 1, 5, 50, 500])
  const deleting = random.pick([0.1, 0.5, 0.95])
  for (let index = 0; index < count; index += 1) {
    const isKnown = known.length > 0 && random.chance(0.5)
    const key = isKnown ? random.pick(known) : `${random.pick(prefixes)}${String.fromCharCode(random.below(256))}${random.below(1_000)}`
    const long = random.chance(0.01) ? random.below(30_000) : random.below(random.chance(0.05) ? 6_000 : 200)
    changes.set(key, random.chance(deleting) ? undefined : value(long, random.below(256)))
  }
  return [...changes]
}
