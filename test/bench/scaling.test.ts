/** The model of docs/scaling.md: known answers, and the simulation of the pipeline beside it for many costs. */
import { describe, expect, test } from 'vitest'
import { batchCost, longestShare, predict, type Load, type StageCosts, workersOn } from '../../bench/scaling/model.js'
import { simulate } from '../../bench/scaling/pipeline.js'
import { seeds, withSeed } from '../support/random.js'

const costs: StageCosts = { call: 0.5, order: 0.1, execute: 4, ahead: 4.5, commit: 1, seal: 0.2, log: 0.1, sync: 100, barrier: 5 }
const load: Load = { crossShare: 0, staleShare: 0, batch: 1_000 }

describe('the model', () => {
  test('one worker is limited by the sum of what it does', () => {
    expect(batchCost(costs, load, 1)).toBeCloseTo(0.1 + 0.2 + 4)
    expect(predict(costs, load, 2)).toMatchObject({ limit: 'batches' })
  })
  test('workers share lanes, unevenly; nothing but lanes gets cheaper', () => {
    expect(longestShare(1_000, 1)).toBe(1)
    expect(longestShare(1_000, 4)).toBeGreaterThan(1 / 4)
    expect(longestShare(1_000, 4)).toBeLessThan(1 / 3)
    expect(batchCost(costs, load, 1_000_000)).toBeGreaterThan(0.3)
  })
  test('running ahead is taken where it pays, and stale runs make it dearer', () => {
    const cross = { ...load, crossShare: 1 }
    expect(batchCost(costs, cross, 8)).toBeCloseTo(0.3 + 4.5 / 8 + 1 + 0.01)
    expect(batchCost(costs, { ...cross, staleShare: 0.9 }, 8)).toBeCloseTo(0.3 + 4 + 0.01)
  })
  test('with processors enough main is next', () => {
    const cheap = { ...costs, execute: 1 }
    expect(predict(cheap, load, 16)).toMatchObject({ limit: 'main', perSecond: 2e6 })
  })
  test('main and the log thread have a processor between them', () => {
    expect([1, 2, 4, 16].map(workersOn)).toEqual([1, 1, 3, 15])
  })
})

test.each(seeds(3))('the simulation agrees with the model, seed %i', async (seed) => {
  await withSeed(seed, async (random) => {
    for (let round = 0; round < 40; round += 1) {
      const between = (low: number, high: number): number => low + (high - low) * (random.below(1_000) / 1_000)
      const execute = between(0.5, 20)
      const some: StageCosts = { ...costs, call: between(0.2, 2), execute, ahead: execute * between(1, 1.4), commit: between(0.2, 2), log: between(0.02, 0.2), sync: between(50, 200) }
      const crossShare = random.pick([0, 0.1, 0.5, 1])
      const processors = random.pick([2, 4, 8, 16])
      const batch = 2_000
      const both: Load = { crossShare, staleShare: random.pick([0, 0.2]), batch }
      const model = predict(some, both, processors)
      const run = simulate(some, both, processors, 4 * batch, 60_000, random.below(2 ** 31))
      const ratio = run.perSecond / model.perSecond
      const what = JSON.stringify({ some, both, processors, model, run })
      expect(ratio, what).toBeGreaterThan(1 / 1.4)
      expect(ratio, what).toBeLessThan(1.4)
    }
  })
})
