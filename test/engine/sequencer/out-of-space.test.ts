/**
 * A memory that is full: whatever allocation fails, the transaction fails with OUT_OF_SPACE and leaves nothing (R5, R11), the
 * database lives, deletes make room (R2, R14), and the answers that say so get through. Against a plain model.
 */
import { SluiceError } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import lanesApp, { answer, bump, clear, fill, lanes } from '../../support/apps/lanes-app.js'
import { newFolder } from '../../support/fixture.js'
import { openInside } from '../../support/inside.js'
import { seeds, withSeed } from '../../support/random.js'

const memoryBytes = 16 * 2 ** 20

describe.each([0, 2])('workers %i', (workers) => {
  test.each(seeds(2))('R2, R5, R37: full, emptied and filled again, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const inside = await openInside(lanesApp, { workers, partitions: 2, memoryBytes, historyBytes: 0, path: await newFolder() })
      const { db } = inside
      const model = new Map<number, Map<number, number>>()
      const cells = new Map<number, number>()
      let number = 0
      const counts = { ok: 0, full: 0, cleared: 0, emptied: 0 }
      const outcomeOf = async (call: Promise<unknown>): Promise<unknown> => {
        try {
          return await call
        } catch (error) {
          if (!SluiceError.is(error, 'OUT_OF_SPACE') && !SluiceError.is(error, 'OVERLOADED')) throw error
          counts.full += 1
          return undefined
        }
      }
      const mustBeTheModel = (): void => {
        const found = [...db.table(lanes.tables.line)].map(({ at, seq, text }) => `${at} ${seq} ${text.length}`).sort()
        const expected = [...model].flatMap(([at, rows]) => [...rows].map(([seq, length]) => `${at} ${seq} ${length}`)).sort()
        if (found.join() !== expected.join()) expect.fail(`${found.length} lines, ${expected.length} in the model, after ${counts.ok} that fitted`)
        expect([...db.table(lanes.tables.cell)].map(({ at, n }) => `${at} ${n}`).sort()).toEqual([...cells].map(([at, n]) => `${at} ${n}`).sort())
      }
      // Some seeds empty it early and take a while to fill it again.
      for (let round = 0; round < 400 || (counts.full <= 5 && round < 2_000); round += 1) {
        number += 1
        const at = random.below(6)
        const id = random.chance(0.3) ? { id: `call ${number} ${'i'.repeat(random.below(100))}` } : {}
        const die = random.below(100)
        if (die < 65) {
          const rows = 1 + random.below(90)
          const characters = random.chance(0.5) ? random.below(60) : random.below(9_000)
          const from = number * 1_000
          if ((await outcomeOf(db.call(fill, { at, from, rows, characters }, id))) !== undefined) {
            const lines = model.get(at) ?? new Map<number, number>()
            for (let n = 0; n < rows; n += 1) lines.set(from + n, characters)
            model.set(at, lines)
            counts.ok += 1
          }
        } else if (die < 80) {
          const n = 1 + random.below(5)
          const results = await Promise.all(Array.from({ length: 5 }, (_, k) => outcomeOf(db.call(bump, { at: 10 + at + k, n }, random.chance(0.3) ? { id: `bump ${number} ${k}` } : {}).then(() => true))))
          results.forEach((done, k) => done && cells.set(10 + at + k, (cells.get(10 + at + k) ?? 0) + n))
        } else if (die < 90) {
          const characters = random.below(20_000)
          const text = await outcomeOf(db.call(answer, { at, characters }, id))
          if (text !== undefined) expect((text as string).length).toBeGreaterThanOrEqual(characters)
        } else if (model.get(at) !== undefined) {
          const limit = 1 + random.below(200)
          const cleared = await outcomeOf(db.call(clear, { at, limit }))
          if (cleared !== undefined) {
            const lines = model.get(at)!
            const gone = [...lines.keys()].sort((a, b) => a - b).slice(0, limit)
            expect(cleared).toBe(gone.length)
            for (const seq of gone) lines.delete(seq)
            counts.cleared += gone.length
          }
        }
        if (round % 20 === 0) mustBeTheModel()
        if (round % 40 === 0) inside.check()
        if (counts.full > 0 && random.chance(0.03)) {
          // Out of a full memory there is a way: small deletes, until all is gone.
          let attempts = 0
          for (const [place, lines] of model) {
            while (lines.size > 0) {
              const cleared = await outcomeOf(db.call(clear, { at: place, limit: 1 + random.below(60) }))
              if ((attempts += 1) > 3_000) expect.fail(`deletes do not get through: ${lines.size} lines are left at ${place}, ${inside.store.region.usedWords()} words used`)
              for (const seq of [...lines.keys()].sort((a, b) => a - b).slice(0, (cleared as number | undefined) ?? 0)) lines.delete(seq)
            }
          }
          counts.emptied += 1
          inside.check()
          const lines = model.get(0) ?? new Map<number, number>()
          let fitted = 0
          for (let n = 0; n < 20; n += 1) {
            number += 1
            if ((await outcomeOf(db.call(fill, { at: 0, from: number * 1_000, rows: 20, characters: 500 }))) === undefined) continue
            fitted += 1
            for (let k = 0; k < 20; k += 1) lines.set(number * 1_000 + k, 500)
          }
          model.set(0, lines)
          expect(fitted, 'what was deleted makes room').toBeGreaterThan(10)
        }
      }
      mustBeTheModel()
      expect(counts.full, 'the memory was full at times').toBeGreaterThan(5)
      expect(counts.ok).toBeGreaterThan(20)
      await inside.close()
    })
  })
})
