/**
 * Some lives of the simulator with every `npm test`; the fault table (test/faults) lives through many more.
 *
 * A failure names its seed: `SLUICE_SEED=<seed> npx vitest run test/simulator` runs that one alone, exactly as it was.
 *
 * What it found in the engine stands in found.test.ts. Whether it finds what is put there is asked in test/mutants. Two bugs are found not by
 * these seeds but by rows of the fault table: the log is kept from the newer checkpoint instead of the older (row 32, first case);
 * remains of a torn tail are not overwritten (row 2: the number of the life makes them harmless, they are only left over).
 */
import { expect, test, vi } from 'vitest'
import type { Program } from '../../engine/schema/descriptor.js'
import modelApp from '../support/apps/model-app.js'
import { seeds } from '../support/random.js'
import { lifeOf, simulate } from './simulation.js'

// The machine may be shared: what is slow then is the machine.
vi.setConfig({ testTimeout: 180_000 })

const program = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!

test('the same seed lives the same life', async () => {
  for (const seed of seeds(3)) {
    const [one, other] = [await simulate(program, lifeOf(seed)), await simulate(program, lifeOf(seed))]
    expect(other).toEqual(one)
  }
})

test('any number of workers leaves the same bytes on the disk, whether they run ahead or not', async () => {
  for (const seed of seeds(6)) {
    const disks: string[] = []
    for (const workers of [0, 1, 2, 4, 8, 16]) disks.push((await simulate(program, lifeOf(seed, { workers, deaths: false }))).disk)
    for (const workers of [0, 3]) disks.push((await simulate(program, lifeOf(seed, { workers, deaths: false, runsAhead: seed % 3 === 0 }))).disk)
    expect(new Set(disks).size, `seed ${seed}: ${disks.join(' | ')}`).toBe(1)
  }
})

test('whatever fails, the database is what a serial run on plain maps is, and keeps what it told', async () => {
  const sum = { lives: 0, calls: 0, answers: 0, deaths: 0, deathsAhead: 0, kept: 0, stale: 0, failures: 0, checkpoints: 0, lostFrames: 0 }
  for (const seed of seeds(100)) {
    const result = await simulate(program, lifeOf(seed))
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += result[name]
  }
  // A simulator that meets none of it would prove nothing.
  if (process.env['SLUICE_SEED'] !== undefined) return
  for (const [name, count] of Object.entries(sum)) expect(count, name).toBeGreaterThan(10)
})
