/**
 * Memory under a long life: the past is kept as long as the history hold says (R48) and as long as somebody looks (R13), no
 * longer; and when memory runs short, the oldest snapshot is given up by name (R15, design §2).
 */
import { SluiceError, type Position, type Snapshot } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import lanesApp, { bump, fill, lanes } from '../../support/apps/lanes-app.js'
import { thrown } from '../../support/fixture.js'
import { openInside } from '../../support/inside.js'

const { cell, line } = lanes.tables
const MiB = 2 ** 20

describe.each([0, 2])('workers %i', (workers) => {
  test('R13, R48: hundreds of thousands of updates of few rows take no more memory than the history hold', { timeout: 60_000 }, async () => {
    const inside = await openInside(lanesApp, { workers, partitions: 4, memoryBytes: 128 * MiB, historyBytes: MiB })
    const { db, store } = inside
    const rows = 2_000
    let bumps = 0
    const many = async (count: number): Promise<void> => {
      const outcomes = await db.submitMany(bump, Array.from({ length: count }, (_, n) => ({ at: n % rows, n: 1 })))
      expect(outcomes.every(({ ok }) => ok)).toBe(true)
      bumps += count
    }
    // Each round is a version of every row; kept for good, a hundred of them would take 30 MB.
    for (let n = 0; n < 100; n += 1) await many(rows)
    const used = store.region.usedWords() * 8
    for (let n = 0; n < 200; n += 1) await many(rows)
    expect(store.region.usedWords() * 8 - used, 'bytes taken by twice as many updates again').toBeLessThan(8 * MiB)
    expect([...db.table(cell)].reduce((sum, { n }) => sum + n, 0)).toBe(bumps)
    await inside.close()
  })

  test('R13: a snapshot that is held through all that shows its moment, exactly, to the end', { timeout: 60_000 }, async () => {
    const inside = await openInside(lanesApp, { workers, partitions: 4, memoryBytes: 256 * MiB, historyBytes: 0 })
    const { db } = inside
    await db.submitMany(fill, Array.from({ length: 8 }, (_, at) => ({ at, from: 0, rows: 40, characters: at * 50 })))
    const held: { snapshot: Snapshot; text: string }[] = []
    const shown = ({ table }: Pick<Snapshot, 'table'>): string => JSON.stringify([...table(cell)].map((row) => [row.at, row.n, row.twin]).sort()) + JSON.stringify([...table(line).index.byRank.scan()].map((row) => [row.at, row.seq, row.text.length]))
    const shownIn = (snapshot: Snapshot): string => shown({ table: (it) => snapshot.table(it) })
    for (let round = 0; round < 40; round += 1) {
      await db.submitMany(bump, Array.from({ length: 300 }, (_, n) => ({ at: n % 30, n: 1 })))
      await db.call(fill, { at: round % 8, from: 1_000 + round * 100, rows: 10, characters: 30 })
      if (round % 8 === 0) {
        const snapshot = db.snapshot()
        held.push({ snapshot, text: shownIn(snapshot) })
      }
      for (const { snapshot, text } of held) expect(shownIn(snapshot) === text, `the snapshot of ${snapshot.position} after round ${round}`).toBe(true)
      if (held.length > 3) held.splice(1, 1)[0]!.snapshot.close()
    }
    for (const { snapshot } of held) snapshot.close()
    await inside.close()
  })

  test('R48: a moment of the past is shown exactly, or it is HISTORY_GONE, also when much of it was reclaimed at once', { timeout: 60_000 }, async () => {
    const inside = await openInside(lanesApp, { workers, partitions: 4, memoryBytes: 256 * MiB, historyBytes: 256 * 1_024 })
    const { db } = inside
    const rows = 50
    const moments: { position: Position; text: string }[] = []
    const textOf = (table: Iterable<{ at: number; n: number }>): string => [...table].map(({ at, n }) => `${at} ${n}`).sort().join()
    const counts = { exact: 0, gone: 0 }
    const round = async (): Promise<void> => {
      const outcomes = await db.submitMany(bump, Array.from({ length: rows }, (_, at) => ({ at, n: 1 + (moments.length % 7) })))
      const last = outcomes.map((it) => (it.ok ? it.position : expect.unreachable(it.error.message))).toSorted().at(-1)!
      moments.push({ position: last, text: textOf(db.table(cell)) })
    }
    const look = async (): Promise<void> => {
      for (const { position, text } of moments) {
        try {
          using past = await db.asOf(position)
          if (textOf(past.table(cell)) !== text) expect.unreachable(`as of ${position}, ${moments.length} rounds later`)
          counts.exact += 1
        } catch (error) {
          if (!SluiceError.is(error, 'HISTORY_GONE')) throw error
          counts.gone += 1
        }
      }
    }
    for (let cycle = 0; cycle < 4; cycle += 1) {
      const holder = db.snapshot() // nothing behind it is reclaimed meanwhile
      for (let n = 0; n < 60; n += 1) await round()
      await look()
      holder.close()
      for (let n = 0; n < 6; n += 1) {
        await round()
        await look()
      }
    }
    expect(counts.exact).toBeGreaterThan(200)
    expect(counts.gone).toBeGreaterThan(200)
    await inside.close()
  })

  test('R15: when memory runs short the oldest snapshot is given up: SNAPSHOT_TOO_OLD, never a wrong row; writers go on', { timeout: 60_000 }, async () => {
    const inside = await openInside(lanesApp, { workers, partitions: 2, memoryBytes: 16 * MiB, historyBytes: 0 })
    const { db } = inside
    await db.submitMany(bump, Array.from({ length: 2_000 }, (_, at) => ({ at, n: 1 })))
    const old = db.snapshot()
    const expected = new Map([...old.table(cell)].map((row) => [row.at, row.n]))
    let lost = 0
    let wrong = 0
    for (let round = 0; round < 80 && lost === 0; round += 1) {
      const outcomes = await db.submitMany(bump, Array.from({ length: 2_000 }, (_, at) => ({ at, n: 1 })))
      expect(outcomes.filter(({ ok }) => !ok).map((it) => !it.ok && it.error.code), `round ${round}`).toEqual([])
      try {
        for (const [at, n] of expected) if (old.table(cell).value(at, 'n') !== n) wrong += 1
      } catch (error) {
        expect(SluiceError.is(error, 'SNAPSHOT_TOO_OLD'), String(error)).toBe(true)
        lost += 1
      }
    }
    expect(wrong, 'wrong rows').toBe(0)
    expect(lost, 'the snapshot was given up').toBe(1)
    thrown(() => [...old.table(cell)], 'SNAPSHOT_TOO_OLD')
    thrown(() => old.table(cell).index.byN.get(1), 'SNAPSHOT_TOO_OLD')
    old.close()
    using fresh = db.snapshot()
    expect(fresh.table(cell).count()).toBe(2_000)
    await inside.close()
  })
})
