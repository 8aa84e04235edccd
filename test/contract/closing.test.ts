/**
 * Calls that are withdrawn, and what is left of a database that is closed: every promise settles, with the
 * truth.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Database } from 'sluicedb'
import oddApp, * as use from '../support/apps/odd-app.js'
import { openFor, openOnce, refused, thrown } from '../support/fixture.js'
import { codeOf, refusedWhole } from '../support/refusals.js'

let db: Database
beforeAll(async () => {
  db = await openOnce(oddApp, { workers: 0, partitions: 4 })
  await db.call(use.prepare)
})
afterAll(() => db.close())

describe('closing', () => {
  test('everything on a closed database is DATABASE_CLOSED, closing twice is fine', async () => {
    const own = await openFor(oddApp, { workers: 0 })
    await own.call(use.prepare)
    const [reader, snapshot] = [own.table(use.odd.tables.sample), own.snapshot()]
    await Promise.all([own.close(), own.close()])
    await own.close()
    await refused(own.call(use.ping, {}), 'DATABASE_CLOSED')
    await refused(own.submit(use.ping, {}), 'DATABASE_CLOSED')
    await refused(
      own
        .submitMany(use.ping, [{}])
        .then((outcomes) => Promise.reject(outcomes[0]!.ok ? new Error('ok') : outcomes[0]!.error)),
      'DATABASE_CLOSED',
    )
    thrown(() => own.table(use.odd.tables.sample).get(0), 'DATABASE_CLOSED')
    thrown(() => reader.get(0), 'DATABASE_CLOSED')
    thrown(() => reader.count(), 'DATABASE_CLOSED')
    thrown(() => snapshot.table(use.odd.tables.sample).get(0), 'DATABASE_CLOSED')
    thrown(() => own.snapshot(), 'DATABASE_CLOSED')
    const read = async () => {
      for await (const _ of own.changes()) break
    }
    await refused(read(), 'DATABASE_CLOSED')
  })

  test('a closed snapshot is INVALID_USE, the database goes on', () => {
    const snapshot = db.snapshot()
    const reader = snapshot.table(use.odd.tables.sample)
    expect(reader.has(0)).toBe(true)
    snapshot.close()
    snapshot.close()
    thrown(() => reader.get(0), 'INVALID_USE')
    thrown(() => snapshot.table(use.odd.tables.sample).get(0), 'INVALID_USE')
    expect(db.table(use.odd.tables.sample).has(0)).toBe(true)
  })

  test.each([0, 1, 2])(
    'close during calls, workers %i: every promise settles, with its outcome or DATABASE_CLOSED',
    { timeout: 30_000 },
    async (workers) => {
      const own = await openOnce(oddApp, { workers, partitions: 4 })
      const calls = Array.from({ length: 200 }, (_, id) => codeOf(own.call(use.slow, { id, ms: 1 })))
      await calls[0]
      await own.close()
      const outcomes = new Set(await Promise.all(calls))
      for (const outcome of outcomes) expect(['ok', 'DATABASE_CLOSED']).toContain(outcome)
    },
  )
})

describe('withdrawing', () => {
  test('a signal that is aborted already is CANCELLED and the call never runs', async () => {
    await refusedWhole(
      db,
      () => db.call(use.slow, { id: 50, ms: 0 }, { signal: AbortSignal.abort() }),
      'CANCELLED',
    )
  })

  test.each([0, 1])(
    'workers %i: a signal aborted at any moment leaves the true outcome',
    { timeout: 30_000 },
    async (workers) => {
      const own = await openFor(oddApp, { workers, partitions: 4 })
      for (let id = 100; id < 160; id += 1) {
        const controller = new AbortController()
        const calls = [
          own.call(use.slow, { id: 1, ms: 2 }),
          own.call(use.slow, { id, ms: 0 }, { signal: controller.signal }),
        ] as const
        if (id % 3 === 1) await Promise.resolve()
        if (id % 3 === 2) await new Promise((resolve) => setTimeout(resolve, 1))
        controller.abort()
        const outcome = await codeOf(calls[1])
        await calls[0]
        expect(outcome === 'ok' || outcome === 'CANCELLED', outcome).toBe(true)
        expect(own.table(use.odd.tables.sample).has(id), `call ${id} settled as ${outcome}`).toBe(
          outcome === 'ok',
        )
      }
    },
  )

  test('a signal after the answer does nothing', async () => {
    const controller = new AbortController()
    expect(await db.call(use.slow, { id: 51, ms: 0 }, { signal: controller.signal })).toBe(51)
    controller.abort()
    expect(db.table(use.odd.tables.sample).has(51)).toBe(true)
  })

  test(
    'timeoutMs withdraws a call that waits behind a long batch; a call that was taken ends as it ends',
    { timeout: 30_000 },
    async () => {
      const own = await openFor(oddApp, { workers: 1, partitions: 4 })
      await own.call(use.slow, { id: 0, ms: 1 })
      const first = own.call(use.slow, { id: 1, ms: 300 }, { timeoutMs: 10_000 })
      await new Promise((resolve) => setTimeout(resolve, 20))
      const waiting = own.call(use.slow, { id: 2, ms: 0 }, { timeoutMs: 5 })
      const outcome = await codeOf(waiting)
      expect(await first).toBe(1)
      expect(['ok', 'TIMEOUT']).toContain(outcome)
      expect(own.table(use.odd.tables.sample).has(2)).toBe(outcome === 'ok')
    },
  )
})
