/**
 * A worker that dies costs its one call (R36). The story behind the second test: two workers died in one batch, the repair of the
 * first waited for the second to come to rest, and the repair of the second waited for that of the first.
 */
import { open } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import application, { exit, exitAcross, fragile, put } from '../support/apps/lost-app.js'

const memory = { bytes: 2 ** 26 }
const codeOf = (outcome: PromiseSettledResult<unknown>): string =>
  outcome.status === 'fulfilled' ? 'ok' : (outcome.reason as { code: string }).code

describe.each([1, 2, 3])('workers %i', (workers) => {
  test('the call that killed it fails, everything else of its batch goes on as if it had not been there', async () => {
    await using db = await open(application, { workers, partitions: 4, memory })
    for (const killer of [exit, exitAcross]) {
      const outcomes = await Promise.allSettled([
        db.call(put, { id: 1, n: 1 }),
        db.call(put, { id: 2, n: 2 }),
        db.call(killer, { id: 1, n: -1 }),
        db.call(put, { id: 1, n: 5 }),
        db.call(put, { id: 3, n: 3 }),
      ])
      expect(outcomes.map(codeOf)).toEqual(['ok', 'ok', 'WORKER_LOST', 'ok', 'ok'])
      const items = db.table(fragile.tables.item)
      expect([1, 2, 3].map((id) => items.get(id)?.n)).toEqual([5, 2, 3])
      expect(items.index.byN.get(-1)).toEqual([])
    }
  })

  test('several that die in one batch are all replaced, also the one that runs the sequencer', async () => {
    await using db = await open(application, { workers, partitions: 4, memory })
    for (let round = 0; round < 3; round += 1) {
      const ids = [0, 1, 2, 3]
      const outcomes = await Promise.allSettled([
        ...ids.map((id) => db.call(exit, { id, n: -1 })),
        ...ids.map((id) => db.call(put, { id, n: round })),
      ])
      expect(outcomes.map(codeOf)).toEqual([...ids.map(() => 'WORKER_LOST'), ...ids.map(() => 'ok')])
      expect(ids.map((id) => db.table(fragile.tables.item).get(id)?.n)).toEqual(ids.map(() => round))
    }
  })
})

test('with workers 0 the event loop turns while callers never pause', async () => {
  await using db = await open(application, { workers: 0, memory })
  let isOver = false
  const callers = Array.from({ length: 64 }, async (_, id) => {
    while (!isOver) await db.call(put, { id, n: 1 })
  })
  const started = performance.now()
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setTimeout(resolve, 10))
  isOver = true
  await Promise.all(callers)
  expect(performance.now() - started).toBeLessThan(5_000)
})
