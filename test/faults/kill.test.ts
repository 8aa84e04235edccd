/** Row 4: SIGKILL under load, with and without checkpoints under way (test/crash/killing.ts tells how). */
import { describe } from 'vitest'
import { killAgainAndAgain, type Killing } from '../crash/killing.js'
import { faultRow } from './row.js'

const settings: readonly Killing[] = [
  { durability: 'fsync', workers: 0, checkpoints: true },
  { durability: 'fsync', workers: 2, checkpoints: false },
  { durability: 'os', workers: 0, checkpoints: false },
  { durability: 'os', workers: 1, checkpoints: true },
  { durability: 'fsync', workers: 1, checkpoints: true },
]

describe('killed', () => {
  faultRow(
    4,
    {
      title: 'the process is killed under load',
      injected: 'SIGKILL at a random moment, with 24 callers, an event stream and (three of five settings) checkpoints all the time; fsync and os, 0, 1 and 2 workers; the same database killed again and again',
      invariant: 'every acknowledged call is there, at its position, and its events; no event that was seen is undone; the others are whole or absent; asking again with the same id has its effect once',
      pr: 30,
      nightly: 1_000,
    },
    async (run) => {
      const share = Math.ceil(run.count / settings.length)
      const sums = { acknowledged: 0, events: 0, checkpoints: 0 }
      // Two at a time: a killed process leaves a processor free while its parent looks.
      const waiting = [...settings]
      const runner = async (): Promise<void> => {
        for (let killing = waiting.shift(); killing !== undefined && !run.isOver; killing = waiting.shift()) {
          const found = await killAgainAndAgain(killing, share, run.chance, () => run.done())
          sums.acknowledged += found.acknowledged
          sums.events += found.events
          sums.checkpoints += found.checkpoints
        }
      }
      await Promise.all([runner(), runner()])
      for (const [name, value] of Object.entries(sums)) run.figure(name, value)
    },
  )
})
