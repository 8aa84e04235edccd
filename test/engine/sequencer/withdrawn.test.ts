/** A call can be taken back until a batch has it (R46); then its true outcome settles the promise. Exactly one of the two happens. */
import { SluiceError } from 'sluicedb'
import { expect, test } from 'vitest'
import lanesApp, { bump, busy, lanes } from '../../support/apps/lanes-app.js'
import { openInside } from '../../support/inside.js'
import { seeds, withSeed } from '../../support/random.js'

test.each(seeds(2))('R46: what was withdrawn never ran, what was not withdrawn ran once, seed %i', { timeout: 30_000 }, async (seed) => {
  await withSeed(seed, async (random) => {
    const { db, close } = await openInside(lanesApp, { workers: 2, partitions: 4 })
    const counts = { done: 0, cancelled: 0, timedOut: 0 }
    let expected = 0
    for (let round = 0; round < 12; round += 1) {
      const blocker = db.call(busy, { at: 1, ms: 8 + random.below(10) })
      await new Promise((resolve) => setTimeout(resolve, random.below(4)))
      const calls = Array.from({ length: 60 }, (_, n) => {
        const controller = new AbortController()
        const how = random.below(4)
        const options = how === 0 ? { signal: controller.signal } : how === 1 ? { timeoutMs: 1 + random.below(20) } : how === 2 ? { signal: controller.signal, id: `${round} ${n}` } : {}
        const promise = db.call(bump, { at: random.below(10), n: 1 }, options).then(
          () => 'done' as const,
          (error: unknown) => (SluiceError.is(error, 'CANCELLED') ? ('cancelled' as const) : SluiceError.is(error, 'TIMEOUT') ? ('timedOut' as const) : expect.unreachable(String(error))),
        )
        if (how !== 1 && how !== 3) setTimeout(() => controller.abort(), random.below(25))
        return promise
      })
      await blocker
      for (const outcome of await Promise.all(calls)) {
        counts[outcome] += 1
        if (outcome === 'done') expected += 1
      }
      expect([...db.table(lanes.tables.cell)].reduce((sum, { n }) => sum + n, 0), `after round ${round}`).toBe(expected)
    }
    expect(counts.done).toBeGreaterThan(100)
    expect(counts.cancelled + counts.timedOut, 'some were withdrawn').toBeGreaterThan(20)
    await close()
  })
})
