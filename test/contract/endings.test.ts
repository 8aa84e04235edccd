/**
 * How a procedure can end: with what is no plain data, with any throw, by overflow, never, or with its
 * thread.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Database, ErrorCode } from 'sluicedb'
import oddApp, * as use from '../support/apps/odd-app.js'
import { openFor, openOnce, refused } from '../support/fixture.js'
import { codeOf, refusedWhole } from '../support/refusals.js'

describe.each([0, 1])('how a procedure can end, workers %i', (workers) => {
  let own: Database
  const reopen = async () => {
    own = await openOnce(oddApp, { workers, partitions: 4 })
    await own.call(use.prepare)
  }
  beforeAll(reopen, 30_000)
  // A database that one ending stopped must not take the others along.
  beforeEach(async () => {
    if ((await codeOf(own.call(use.ping, {}))) === 'ok') return
    await own.close()
    await reopen()
  }, 30_000)
  afterAll(() => own.close())

  test.each(Object.keys(use.endings))(
    '%s: PROCEDURE_FAILED, and its writes are gone',
    { timeout: 20_000 },
    async (name) => {
      // api.md, section 6: "it threw something else, or returned what is no plain data".
      const error = await refusedWhole(own, () => own.call(use.ending, { name }), 'PROCEDURE_FAILED')
      expect(error.message.length).toBeGreaterThan(0)
      expect(Object.prototype.toString.call(error)).toBe('[object Error]')
    },
  )

  test('nothing that a procedure leaves behind (promises, thenables) reaches the process later', async () => {
    const strays: unknown[] = []
    const note = (reason: unknown) => strays.push(reason)
    process.on('unhandledRejection', note)
    try {
      for (const name of [
        'returns a promise that is refused later',
        'is async and uses tx later',
        'throws a promise',
      ]) {
        await refused(own.call(use.ending, { name }), 'PROCEDURE_FAILED')
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    } finally {
      process.off('unhandledRejection', note)
    }
    expect(strays.filter((it) => !String(it).includes('inside a thrown promise'))).toEqual([])
    expect(own.table(use.odd.tables.sample).has(3)).toBe(false)
  })

  test('a swallowed stack overflow commits whole or not at all', { timeout: 60_000 }, async () => {
    for (let round = 0; round < 6; round += 1) {
      const start = 1_000 + round * 100_000
      const before = own.table(use.odd.tables.limited).count()
      const written = await own
        .call(use.recurseAndSwallow, { start })
        .catch((error: { code: ErrorCode }) => error.code)
      const rows = [...own.table(use.odd.tables.limited)].filter((row) => row.id >= start)
      if (typeof written === 'number') {
        // The put that overflowed may have been done before the counter was raised; every row is whole
        // either way.
        expect(
          rows.length - written === 0 || rows.length - written === 1,
          `${rows.length} rows, ${written} counted`,
        ).toBe(true)
      } else expect([rows.length, own.table(use.odd.tables.limited).count()]).toEqual([0, before])
      const reader = own.table(use.odd.tables.limited)
      for (const row of rows) expect(reader.get(row.id)).toEqual(row)
      const indexed = [...reader.index.byLeast.scan()].map((row) => row.id).sort((one, other) => one - other)
      expect(indexed).toEqual([...reader].map((row) => row.id).sort((one, other) => one - other))
      expect(reader.count()).toBe(indexed.length)
    }
  })

  test.each(use.accessorNames)('an accessor that %s is refused', async (name) => {
    await refusedWhole(
      own,
      () => own.call(use.accessor, { name }),
      'INVALID_USE',
      'INVALID_INPUT',
      'PROCEDURE_FAILED',
      'NOT_FOUND',
    )
  })
})

describe('endless loops and lost workers', () => {
  test(
    'an endless loop is PROCEDURE_STUCK; other calls of the batch are answered',
    { timeout: 90_000 },
    async () => {
      const own = await openFor(oddApp, { workers: 1, partitions: 4 })
      await own.call(use.prepare)
      const stuck = refused(own.call(use.loopForever, { at: 1 }), 'PROCEDURE_STUCK')
      const others = [1, 2, 3].map((id) => own.call(use.slow, { id: id + 10, ms: 0 }))
      await stuck
      expect(await Promise.all(others)).toEqual([11, 12, 13])
      expect(own.table(use.odd.tables.sample).has(2)).toBe(false)
      expect(
        [...own.table(use.odd.tables.sample)].map((row) => row.id).sort((one, other) => one - other),
      ).toEqual([0, 11, 12, 13])
      expect(await own.call(use.ping, {})).toBe(2)
    },
  )

  test(
    'a procedure that ends its thread is WORKER_LOST; other calls are answered',
    { timeout: 60_000 },
    async () => {
      const own = await openFor(oddApp, { workers: 1, partitions: 4 })
      await own.call(use.prepare)
      const lost = refused(own.call(use.exitThread), 'WORKER_LOST', 'PROCEDURE_FAILED')
      const others = [1, 2, 3].map((id) => own.call(use.slow, { id: id + 10, ms: 0 }))
      await lost
      expect(await Promise.all(others)).toEqual([11, 12, 13])
      expect(own.table(use.odd.tables.sample).has(2)).toBe(false)
      expect(await own.call(use.ping, {})).toBe(2)
    },
  )
})
