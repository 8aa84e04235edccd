/** Whole lives by chance: the simulator with everything that it can do to a database (test/simulator/simulation.ts). */
import { expect } from 'vitest'
import type { Program } from '../../engine/schema/descriptor.js'
import { simulate } from '../simulator/simulation.js'
import modelApp from '../support/apps/model-app.js'
import { faultRow } from './row.js'

const program = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!

faultRow(
  25,
  {
    title: 'random schedules of threads, with every fault of this page',
    injected: 'the simulator: seeds for calls, steps, lanes, sectors; W in {0, 1, 2, 4, 8, 16}; failing disks, power cuts, kills, dying workers',
    invariant: 'answers, changes, events, snapshots and recovered states are those of the serial run on plain maps; without dying workers all W leave the same bytes',
    pr: 500,
    nightly: 20_000,
  },
  async (run) => {
    let lives = 0
    let calls = 0
    let deaths = 0
    for (const index of run.cases()) {
      const seed = run.chance.below(2 ** 31)
      if (index % 25 === 0) {
        const disks: string[] = []
        for (const workers of [0, 1, 2, 4, 8, 16]) {
          const result = await simulate(program, { seed, workers, steps: 60, faults: true, deaths: false })
          disks.push(result.disk)
          lives += result.lives
          calls += result.calls
        }
        expect(new Set(disks).size, `seed ${seed}: ${disks.join(' | ')}`).toBe(1)
        continue
      }
      const workers = run.chance.pick([0, 1, 2, 4, 8, 16])
      const result = await simulate(program, { seed, workers, steps: 60, faults: true, deaths: true })
      lives += result.lives
      calls += result.calls
      deaths += result.deaths
    }
    run.figure('lives', lives)
    run.figure('calls', calls)
    run.figure('workers that died', deaths)
  },
)
