/**
 * Main reads rows while workers write them, without locks (R12). What a read shows is one moment: inside a row `n + twin` is 0,
 * over all rows the sum is what it was, an index shows the rows of that very moment in its order, and moments never go back
 * (R45). The writers move amounts around, insert and delete.
 */
import { describe, expect, test } from 'vitest'
import lanesApp, { bump, clear, fill, lanes, move } from '../../support/apps/lanes-app.js'
import { openInside } from '../../support/inside.js'
import { seeds, withSeed } from '../../support/random.js'

const { cell, line } = lanes.tables
const rows = 60
const each = 1_000

describe.each([1, 2])('workers %i', (workers) => {
  test.each(seeds(1))('R12, R15, R17, R18: every read shows one moment, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const inside = await openInside(lanesApp, { workers, partitions: 8, memoryBytes: 256 * 2 ** 20, historyBytes: 2 ** 20 })
      const { db } = inside
      await db.submitMany(bump, Array.from({ length: rows }, (_, at) => ({ at, n: each })))
      const end = performance.now() + 4_000
      let writes = 0
      let isOver = false
      const write = async (): Promise<void> => {
        for (let round = 0; performance.now() < end; round += 1) {
          const at = random.below(8)
          const calls: Promise<unknown>[] = Array.from({ length: 150 }, () =>
            db.call(move, { from: random.below(rows), to: random.below(rows), n: random.below(5) }).catch((error: { code: string }) => expect(error.code).toBe('CONSTRAINT')),
          )
          calls.push(db.call(fill, { at, from: round * 100, rows: 20, characters: random.below(80) }), db.call(clear, { at, limit: 15 }))
          await Promise.all(calls)
          writes += calls.length
        }
        isOver = true
      }
      const writing = write()
      const counts = { rows: 0, snapshots: 0, indexes: 0, moments: new Set<string>() }
      const table = db.table(cell)
      const half = (n: number | undefined, twin: number | undefined, what: string) => n! + twin! === 0 || expect.unreachable(`${what}: ${n} and ${twin}`)
      let last = ''
      while (!isOver) {
        const stop = performance.now() + 8
        while (performance.now() < stop) {
          for (let n = 0; n < 40; n += 1) {
            const row = table.get(random.below(rows))!
            half(row.n, row.twin, 'get()')
            counts.rows += 1
          }
          using snapshot = db.snapshot()
          expect(snapshot.position >= last, 'moments never go back').toBe(true)
          last = snapshot.position
          counts.moments.add(last)
          const seen = snapshot.table(cell)
          let sum = 0
          for (let at = 0; at < rows; at += 1) {
            const n = seen.value(at, 'n')
            half(n, seen.value(at, 'twin'), 'value()')
            sum += n!
          }
          if (sum !== rows * each) expect.unreachable(`the values of a snapshot add up to ${sum}`)
          const all = [...seen]
          if (all.length !== rows || all.reduce((total, row) => total + row.n, 0) !== rows * each) expect.unreachable('the rows of a snapshot')
          const byN = [...seen.index.byN.scan()]
          const sorted = all.map(({ n, at }) => [n, at] as const).sort((a, b) => a[0] - b[0] || a[1] - b[1])
          if (byN.map(({ n, at }) => `${n} ${at}`).join() !== sorted.map(([n, at]) => `${n} ${at}`).join()) expect.unreachable('the index shows other rows than the table')
          const lines = snapshot.table(line)
          const scanned = [...lines.scan()]
          if (scanned.length !== lines.count()) expect.unreachable(`${scanned.length} lines, count() says ${lines.count()}`)
          const ranked = [0, 1, 2, 3, 4].flatMap((rank) => [...lines.index.byRank.get(rank)])
          if (ranked.map(({ at, seq }) => `${at} ${seq}`).sort().join() !== scanned.map(({ at, seq }) => `${at} ${seq}`).sort().join()) expect.unreachable('the lines by rank are others than the lines')
          counts.snapshots += 1
          counts.indexes += byN.length + ranked.length
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
      await writing
      expect(counts.snapshots).toBeGreaterThan(30)
      expect(counts.moments.size, 'the writers went on meanwhile').toBeGreaterThan(20)
      expect(writes).toBeGreaterThan(500)
      await inside.close()
    })
  })
})
