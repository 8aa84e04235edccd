/** Limits of size: below them everything works, above them everything is refused, and the process lives. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Database } from 'sluicedb'
import oddApp, * as use from '../support/apps/odd-app.js'
import { openFor } from '../support/fixture.js'
import { codeOf, refusedWhole } from '../support/refusals.js'

let db: Database
beforeEach(async () => {
  db = await openFor(oddApp, { workers: 0, partitions: 4 })
  await db.call(use.prepare)
})

describe('limits of size', () => {
  const mebi = 2 ** 20
  test('input below 4 MiB is taken, above it INVALID_INPUT', { timeout: 30_000 }, async () => {
    const answer = await db.call(use.echo, { text: 'x'.repeat(4 * mebi - 4_096) })
    expect(answer.text?.length).toBe(4 * mebi - 4_096)
    for (const length of [4 * mebi + 1, 8 * mebi])
      await refusedWhole(db, () => db.call(use.echo, { text: 'x'.repeat(length) }), 'INVALID_INPUT')
    await refusedWhole(db, () => db.call(use.echo, { bytes: new Uint8Array(4 * mebi + 1) }), 'INVALID_INPUT')
    await refusedWhole(db, () => db.call(use.echo, { json: ['é'.repeat(2 * mebi + 1)] }), 'INVALID_INPUT')
  })

  test('more than 16 MiB written by one transaction is refused and undone', { timeout: 60_000 }, async () => {
    await db.call(use.fill, { rows: 10, characters: mebi })
    expect(db.table(use.odd.tables.sample).value(105, 'text')).toBe('x'.repeat(mebi))
    await refusedWhole(
      db,
      () => db.call(use.fill, { rows: 40, characters: mebi }),
      'OUT_OF_SPACE',
      'INVALID_USE',
      'INVALID_INPUT',
    )
  })

  test(
    'a full memory is OUT_OF_SPACE for the transaction, never the end of the process',
    { timeout: 60_000 },
    async () => {
      const own = await openFor(oddApp, { workers: 0, partitions: 1, memory: { bytes: 16 * mebi } })
      const outcomes = new Set<string>()
      for (let round = 0; round < 40; round += 1) {
        const outcome = await codeOf(own.call(use.putSample, { id: round, text: 'x'.repeat(mebi) }))
        outcomes.add(outcome)
        const rows = own.table(use.odd.tables.sample)
        expect(rows.has(round), `round ${round}: ${outcome}`).toBe(outcome === 'ok')
      }
      expect([...outcomes].sort()).toEqual(['OUT_OF_SPACE', 'ok'])
      expect(await own.call(use.ping, {})).toBe(2)
    },
  )

  test(
    'there is one limit for the length of a key: below it everything works, above it everything is refused',
    { timeout: 30_000 },
    async () => {
      const fits = async (length: number) => {
        const left = 'k'.repeat(length)
        const outcome = await codeOf(db.call(use.putText, { left, note: null }))
        expect(['ok', 'INVALID_INPUT', 'CONSTRAINT']).toContain(outcome)
        const reader = db.table(use.odd.tables.pair)
        if (outcome === 'ok') expect(reader.get([left, 1])?.left).toBe(left)
        return outcome === 'ok'
      }
      let [low, high] = [1, 2 * mebi]
      expect(await fits(0), 'the empty key is a key').toBe(true)
      expect(await fits(low)).toBe(true)
      if (await fits(high)) return
      while (high - low > 1) {
        const middle = (low + high) >> 1
        if (await fits(middle)) low = middle
        else high = middle
      }
      expect([await fits(low - 1), await fits(low), await fits(high), await fits(high + 1)]).toEqual([
        true,
        true,
        false,
        false,
      ])
      expect(low, 'a key of 200 characters is nothing unusual').toBeGreaterThanOrEqual(200)
    },
  )

  test(
    'a long text in an index is found again or refused, whatever its length',
    { timeout: 30_000 },
    async () => {
      for (const length of [100, 1_000, 2_000, 4_000, 10_000, 65_535, 65_536, 100_000, mebi]) {
        const [left, note] = [`note of ${length}`, 'n'.repeat(length)]
        const outcome = await codeOf(db.call(use.putText, { left, note }))
        expect(['ok', 'INVALID_INPUT', 'CONSTRAINT'], `a text of ${length} characters in an index`).toContain(
          outcome,
        )
        const reader = db.table(use.odd.tables.pair)
        if (outcome === 'ok') expect(reader.index.byNote.get(note).map((row) => row.left)).toEqual([left])
        else expect(reader.has([left, 1])).toBe(false)
      }
    },
  )

  test('the same holds for two keys that differ only far behind', async () => {
    const long = 'k'.repeat(190)
    for (const end of ['', '1', '2']) await db.call(use.putText, { left: long + end, note: end })
    for (const end of ['', '1', '2'])
      expect(db.table(use.odd.tables.pair).get([long + end, 1])?.note).toBe(end)
    expect(db.table(use.odd.tables.pair).has([`${long}3`, 1])).toBe(false)
  })

  test('an id of a call has a limit too, and below it ids that differ at the end are different', async () => {
    const same = 'i'.repeat(60)
    const [one, other] = [
      await db.call(use.slow, { id: 60, ms: 0 }, { id: `${same}1` }),
      await db.call(use.slow, { id: 61, ms: 0 }, { id: `${same}2` }),
    ]
    expect([one, other]).toEqual([60, 61])
    await refusedWhole(
      db,
      () => db.call(use.slow, { id: 62, ms: 0 }, { id: 'i'.repeat(8 * mebi) }),
      'INVALID_INPUT',
      'INVALID_USE',
    )
  })
})
