/** The watchdog sees progress where there is some (R36): it kills who does not come back, and nobody else. */
import { expect, test } from 'vitest'
import { partitionOfOne } from '../../../engine/schema/placement.js'
import lanesApp, { bump, busy, move } from '../../support/apps/lanes-app.js'
import { openInside } from '../../support/inside.js'

const partitions = 4
/** Keys whose partition is one of worker 0, and of worker 1. */
const keysOf = (worker: number): number[] => Array.from({ length: 60 }, (_, n) => n).filter((n) => partitionOfOne(n, partitions) % 2 === worker)

test('R36: a worker whose lane ended with a stray is idle, not stuck, however long others work on', { timeout: 40_000 }, async () => {
  const { db, engine, close } = await openInside(lanesApp, { workers: 2, partitions })
  const [mine] = keysOf(0)
  const [other] = keysOf(1)
  await Promise.all([db.call(bump, { at: mine!, n: 100 }), db.call(bump, { at: other!, n: 100 })])
  await db.call(move, { from: other!, to: mine!, n: 1 }) // begins in a lane of worker 1 and strays
  expect(engine.parts.control.running(1).place, 'nothing runs on worker 1').toBe(-1)
  // Calls are always waiting, and worker 1 has nothing to do.
  const end = performance.now() + 7_000
  while (performance.now() < end) await Promise.all([db.call(busy, { at: mine!, ms: 20 }), db.call(bump, { at: mine!, n: 1 })])
  expect(await db.call(busy, { at: other!, ms: 1 })).toBeDefined()
  await close()
})
