/**
 * A few kills of a real process under load, at each level of durability. What is killed and what must hold is in `killing.ts`;
 * many more kills, with checkpoints under way, are row 4 of `test/faults`.
 *
 * `SLUICE_KILLS=<n>` asks for more kills.
 */
import { describe, test } from 'vitest'
import { seeds, withSeed } from '../support/random.js'
import { killAgainAndAgain, type Killing } from './killing.js'

const kills = Number(process.env['SLUICE_KILLS'] ?? 8)
const settings: readonly Killing[] = [
  { durability: 'fsync', workers: 0, checkpoints: false },
  { durability: 'fsync', workers: 2, checkpoints: false },
  { durability: 'os', workers: 0, checkpoints: false },
  { durability: 'os', workers: 1, checkpoints: false },
]

describe.each(settings)('killed with $durability, workers $workers: nothing acknowledged is lost', (killing) => {
  const share = Math.ceil(kills / settings.length)
  test.each(seeds(1))(`${share} kills, seed %i`, { timeout: 30_000 + share * 10_000 }, async (seed) => {
    await withSeed(seed + killing.workers, async (random) => void (await killAgainAndAgain(killing, share, random)))
  })
})
