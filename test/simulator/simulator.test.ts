import { expect, test } from 'vitest'
import type { Program } from '../../engine/schema/descriptor.js'
import modelApp from '../support/apps/model-app.js'
import { simulate } from './simulation.js'

const program = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!
test('tmp', { timeout: 300_000 }, async () => {
  const from = Number(process.env['SLUICE_SEED'] ?? 1)
  for (let seed = from; seed < from + Number(process.env['N'] ?? 20); seed += 1) {
    const t = performance.now()
    const r = await simulate(program, { seed, workers: seed % 5, steps: 300, faults: true, deaths: true })
    console.log(seed, Math.round(performance.now() - t), JSON.stringify(r))
  }
  expect(1).toBe(1)
})
