/**
 * What is run ahead is what runs in order: answers and frames of more than 100,000 random small batches, byte for byte, and the
 * rows. What a plan is and how it fails stands in twins.ts.
 *
 *   SLUICE_SEED=<seed> npx vitest run test/oracle     one seed, made smaller if it fails
 *   SLUICE_RUNS=10 …                                  ten times as many
 */
import { expect, test } from 'vitest'
import { seeds } from '../support/random.js'
import { bundled } from './bundle.js'

const batches = 800

test('more than 100,000 batches: run ahead and in order leave the same answers, frames and rows', { timeout: 600_000 }, async () => {
  const { runOf, differenceOf, storyOf } = await bundled<typeof import('./twins.js')>('test/oracle/twins.ts')
  const tally = { batches: 0, kept: 0, stale: 0, given: 0 }
  for (const seed of seeds(126)) {
    const run = runOf(seed, batches)
    const difference = differenceOf(run, tally)
    if (difference !== undefined) expect.fail(storyOf(run, difference))
  }
  const all = tally.kept + tally.stale + tally.given
  const share = (count: number): string => `${((100 * count) / all).toFixed(1)} %`
  console.log(`${tally.batches} batches, ${all} runs ahead: ${share(tally.kept)} kept, ${share(tally.stale)} stale, ${share(tally.given)} given up`)
  if (process.env['SLUICE_SEED'] !== undefined) return
  expect(tally.batches).toBeGreaterThan(100_000)
  // A way that is seldom gone would prove nothing.
  for (const count of [tally.kept, tally.stale, tally.given]) expect(count).toBeGreaterThan(all / 20)
})
