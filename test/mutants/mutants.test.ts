/**
 * Do the checks find bugs? Each mutant of the engine (mutants.ts) is bundled and handed to the check that must complain, seed by seed; the
 * engine as it is passes them all. A mutant that survives is a hole in the tests, and a change whose place in the source is gone says so.
 *
 *   SLUICE_MUTANT='no range' npx vitest run test/mutants    those whose name has these words, and what the check said of them
 */
import { afterAll, describe, expect, test, vi } from 'vitest'
import { bundled, type Change } from '../oracle/bundle.js'
import type { Check, CheckName } from './checks.js'
import { mutants } from './mutants.js'

// The machine may be shared: what is slow then is the machine.
vi.setConfig({ testTimeout: 240_000 })

const seedsMax = 20
const wanted = process.env['SLUICE_MUTANT']
const deaths: string[] = []

const checksOf = async (changes: readonly Change[] = []): Promise<Readonly<Record<CheckName, Check>>> =>
  (await bundled<{ checks: Readonly<Record<CheckName, Check>> }>('test/mutants/checks.ts', changes)).checks

describe('a mutant is found', () => {
  const chosen = mutants.filter(({ name }) => wanted === undefined || name.includes(wanted))
  test.each(chosen)('$name: $killedBy', async ({ name, changes, killedBy, from = 1, seeds = seedsMax }) => {
    const check = (await checksOf(changes))[killedBy]
    for (let seed = from; seed < from + seeds; seed += 1) {
      const complaint = await check(seed)
      if (complaint === undefined) continue
      deaths.push(`${name}: ${killedBy}, seed ${seed}`)
      if (wanted !== undefined) console.log(`${name}, seed ${seed}: ${complaint}`)
      return
    }
    expect.fail(`it survived ${seeds} seeds`)
  })
})

test('there are enough of them, each of another name', () => {
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length)
  expect(mutants.length).toBeGreaterThanOrEqual(20)
})

test('the engine as it is passes the checks that find them', async () => {
  const checks = await checksOf()
  for (const [name, check] of Object.entries(checks)) for (let seed = 1; seed <= 3; seed += 1) expect(await check(seed), `${name}, seed ${seed}`).toBeUndefined()
})

afterAll(() => {
  if (process.env['SLUICE_DEATHS'] !== undefined) console.log(deaths.join('\n'))
})
