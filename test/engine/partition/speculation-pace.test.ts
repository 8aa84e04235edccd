/** Which way the cross-partition lane goes: the quicker one, the other now and then. */
import { expect, test } from 'vitest'
import { limits } from '../../../engine/base/limits.js'
import { SpeculationPace } from '../../../engine/partition/speculation-pace.js'

const many: number = limits.speculatedRequestsMin

/** Lanes of so many requests, each taking as long as the way it goes says; how many of them ran ahead. */
function ahead(pace: SpeculationPace, lanes: number, aheadMs: number, orderMs: number, requests = many): number {
  let count = 0
  for (let n = 0; n < lanes; n += 1) {
    const runs = pace.runsAhead(requests)
    if (runs) count += 1
    pace.took(runs, requests, runs ? aheadMs : orderMs)
  }
  return count
}

test('always and never are what they say, whatever it takes', () => {
  const [always, never] = [new SpeculationPace('always'), new SpeculationPace('never')]
  expect(ahead(always, 100, 50, 1)).toBe(100)
  expect(ahead(always, 10, 50, 1, 1)).toBe(10)
  expect(always.runsAhead(0)).toBe(false)
  expect(ahead(never, 100, 1, 50)).toBe(0)
})

test('short lanes run in order, and are no measurement', () => {
  const pace = new SpeculationPace('auto')
  expect(ahead(pace, 1_000, 1, 50, many - 1)).toBe(0)
  // They took 50 each in order; had it counted, the long ones would now run ahead only.
  expect(ahead(pace, 500, 50, 1)).toBeLessThan(100)
})

test('the quicker way is found, and the other one is tried again every so often', () => {
  for (const [aheadMs, orderMs] of [[1, 2], [2, 1]] as const) {
    const pace = new SpeculationPace('auto')
    ahead(pace, 10 * limits.speculationProbeBatches, aheadMs, orderMs)
    const rounds = 20
    const count = ahead(pace, rounds * limits.speculationProbeBatches, aheadMs, orderMs)
    const other = aheadMs < orderMs ? rounds * limits.speculationProbeBatches - count : count
    expect(other, `ahead ${aheadMs} ms, in order ${orderMs} ms`).toBeGreaterThanOrEqual(rounds - 1)
    expect(other).toBeLessThanOrEqual(rounds + 1)
  }
})

test('it changes its mind when the load does', () => {
  const pace = new SpeculationPace('auto')
  ahead(pace, 10 * limits.speculationProbeBatches, 1, 2)
  // What ran ahead was quick and is slow now: a few lanes tell.
  expect(ahead(pace, 20, 20, 2)).toBeLessThanOrEqual(10)
  // And back: only the tries in between can tell, a fifth of the way each.
  ahead(pace, 60 * limits.speculationProbeBatches, 1, 2)
  expect(ahead(pace, 100, 1, 2)).toBeGreaterThanOrEqual(98)
})

test('per request: a long lane is not a slow one', () => {
  const pace = new SpeculationPace('auto')
  for (let n = 0; n < 10 * limits.speculationProbeBatches; n += 1) {
    const requests = n % 2 === 0 ? many : 100 * many
    const runs = pace.runsAhead(requests)
    pace.took(runs, requests, requests * (runs ? 1 : 2))
  }
  expect(ahead(pace, 50, many, 2 * many)).toBeGreaterThanOrEqual(49)
})
