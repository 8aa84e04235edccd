/**
 * docs/reliability.md is what `npm run test:faults` last wrote: every row of the fault table stands in it, with the cases that
 * are promised and without a failure.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const page = readFileSync(fileURLToPath(new URL('../docs/reliability.md', import.meta.url)), 'utf8')

/** Cases of an ordinary run (reference/determinism-reliability.md, B8); where it says "all", the least there can be. */
const promised: Readonly<Record<number, number>> = {
  1: 2_000, 2: 2_000, 3: 5_000, 4: 30, 6: 300, 7: 100, 8: 100, 9: 120, 10: 100, 11: 140_000, 12: 1_000, 13: 400, 14: 50_000,
  15: 60, 16: 5, 17: 3, 18: 1_000, 19: 1, 20: 2, 21: 10, 22: 100, 23: 10, 24: 50, 25: 500, 29: 200, 30: 1, 31: 20, 32: 20, 33: 10, 34: 50,
  35: 7,
}

interface Line {
  readonly row: number
  readonly count: number
  readonly failures: number
}

const lines: readonly Line[] = page.split('\n').flatMap((line) => {
  const match = /^\| (\d+)[^|]*\|[^|]*\| ([\d,]+) \| (\d+) \|/.exec(line)
  if (match === null) return []
  return [{ row: Number(match[1]), count: Number(match[2]!.replaceAll(',', '')), failures: Number(match[3]) }]
})

test.each(Object.entries(promised))('row %s stands in docs/reliability.md with at least %d cases', (row, least) => {
  const parts = lines.filter((line) => line.row === Number(row))
  expect(parts.length).toBeGreaterThan(0)
  expect(parts.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThanOrEqual(least)
})

test('nothing failed, and row 5 says what covers it', () => {
  expect(lines.filter(({ failures }) => failures > 0)).toEqual([])
  expect(page).toMatch(/Row 5.*\n?.*covered by row 2/)
})
