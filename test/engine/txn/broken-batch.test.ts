/**
 * A transaction that ends in the middle of a store operation and says nothing: a stack overflow that the procedure swallows. The
 * `busy` mark finds it (R6), the batch is rolled back (R36) and runs again without the culprit; everybody else in it is
 * answered as if the culprit had never run.
 */
import { SluiceError } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import lanesApp, { bump, catching, lanes, overflow, work } from '../../support/apps/lanes-app.js'
import { newFolder, refused } from '../../support/fixture.js'
import { framesIn, openInside } from '../../support/inside.js'
import { canon } from '../../support/same.js'
import { seeds, withSeed } from '../../support/random.js'

describe.each([0, 2])('workers %i', (workers) => {
  test.each(seeds(1))('R6, R36: the culprit fails, the others of its batch are as in a batch without it, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const path = await newFolder()
      const inside = await openInside(lanesApp, { workers, partitions: 4, path })
      const { db } = inside
      const expected = new Map<number, number>()
      let broken = 0
      // Where the stack ends is for the machine to say: as many rounds as it takes.
      let rounds = 0
      for (let round = 0; round < 12 || (broken < 2 && round < 60); round += 1) {
        rounds += 1
        const culprit = 100 + round
        const before = expected.size
        const calls = Array.from({ length: 30 }, () => ({ at: random.below(40), n: 1 + random.below(9) }))
        const bumps = (from: number, to: number) => calls.slice(from, to).map((it) => db.call(bump, it))
        const first = bumps(0, 15)
        const guilty = db.call(overflow, { at: culprit, frames: 20 + random.below(60) }).then(
          (n) => ({ ok: true as const, n }),
          (error: unknown) => ({ ok: false as const, error }),
        )
        const others = [...first, ...bumps(15, 30)]
        await Promise.all(others)
        for (const { at, n } of calls) expected.set(at, (expected.get(at) ?? 0) + n)
        const outcome = await guilty
        const lines = [...db.table(lanes.tables.line).scan({ prefix: [culprit] })]
        if (outcome.ok) {
          // It struck outside of an operation: what was done is whole. Else nothing of it is there.
          expect(lines.length).toBeGreaterThan(0)
        } else {
          expect(SluiceError.is(outcome.error, 'PROCEDURE_FAILED'), String(outcome.error)).toBe(true)
          expect(lines).toEqual([])
          expect(db.table(lanes.tables.cell).has(culprit)).toBe(false)
          broken += 1
        }
        expect(expected.size).toBeGreaterThanOrEqual(before)
        const found = [...db.table(lanes.tables.cell)].filter(({ at }) => at < 100)
        expect(found.map(({ at, n }) => `${at} ${n}`).sort()).toEqual([...expected].map(([at, n]) => `${at} ${n}`).sort())
        expect(found.every(({ n, twin }) => n + twin === 0)).toBe(true)
        inside.check()
      }
      expect(broken, 'some overflows struck inside an operation').toBeGreaterThan(0)
      await inside.close()
      const records = framesIn(path).flatMap((frame) => frame.records)
      expect(records.length, 'every bump stands in the log once').toBeGreaterThanOrEqual(rounds * 30)
      expect(records.length).toBeLessThanOrEqual(rounds * 31)
      const again = await openInside(lanesApp, { workers: 0, path })
      expect([...again.db.table(lanes.tables.cell)].filter(({ at }) => at < 100).map(({ at, n }) => `${at} ${n}`).sort()).toEqual(
        [...expected].map(([at, n]) => `${at} ${n}`).sort(),
      )
      await again.close()
    })
  })

  test('R24, R28: a nested procedure that throws can be caught as often as one likes; depth counts open calls only', async () => {
    const { db, close } = await openInside(lanesApp, { workers, partitions: 4 })
    expect(await db.call(catching, { at: 1, times: 200 })).toBe(200)
    expect(db.table(lanes.tables.cell).get(1)?.n).toBe(200)
    await close()
  })

  test('R24: an error of tx that is caught is the outcome all the same, and nothing of the transaction stays', async () => {
    const { db, close } = await openInside(lanesApp, { workers, partitions: 4 })
    const steps = [
      { kind: 'put', at: 3, n: 5, text: 'x' },
      { kind: 'emit', at: 3, n: 0, text: 'x' },
      { kind: 'abort', at: 3, n: 1, text: '' },
    ] as const
    const error = await refused(db.call(work, { at: 3, work: [...steps] }), 'ABORTED')
    expect(canon(error.details)).toBe(canon({ at: 3, n: 1 }))
    expect([...db.table(lanes.tables.cell)]).toEqual([])
    await close()
  })
})
