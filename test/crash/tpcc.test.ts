/**
 * TPC-C, killed with SIGKILL under load again and again. After each kill the database is opened here: all twelve
 * conditions hold, over its rows and over those that its stream of changes adds up to; what was acknowledged is there,
 * and asking again for what nobody answered has its effect once: the rows add up to exactly the plan so far.
 *
 * `SLUICE_KILLS=<n>` asks for more kills.
 */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { Database } from 'sluicedb'
import application from '../../bench/workloads/tpcc/app.js'
import { checkConditions } from '../../bench/workloads/tpcc/conditions.js'
import { runTransaction, type TpccOutcome } from '../../bench/workloads/tpcc/driver.js'
import { rollsBack } from '../../bench/workloads/tpcc/plan.js'
import { stateOf } from '../../bench/workloads/tpcc/state.js'
import { tallyOf } from '../../bench/workloads/tpcc/state-tally.js'
import { expectedTally } from '../../bench/workloads/tpcc/tally.js'
import { brokenOf, findingsOf, longPlan, rebuild, smallOptions, textOf } from '../bench/small-tpcc.js'
import { startCompiled } from '../support/child.js'
import { newFolder, openOnce } from '../support/fixture.js'
import { seeds, withSeed, type Random } from '../support/random.js'

const child = fileURLToPath(new URL('./tpcc-child.ts', import.meta.url))
/** Calls in flight when the child died, and answers that it had no time to say. */
const unsaidMax = 256
const kills = Number(process.env['SLUICE_KILLS'] ?? 4)
const settings = [
  { workers: 0, checkpoints: false },
  { workers: 2, checkpoints: true },
]

/** What the child said: the outcome of each transaction that it was answered. */
type Answered = Map<number, TpccOutcome>

async function liveAndDie(path: string, { workers, checkpoints }: (typeof settings)[number], answered: Answered, first: number, random: Random): Promise<void> {
  const program = startCompiled(child, [path, workers, first, checkpoints ? 'checkpoints' : ''])
  program.onLine((line) => {
    const [what, n] = line.split(' ') as [string, string]
    if (what === 'ack') answered.set(Number(n), 'committed')
    else if (what === 'rolledBack') answered.set(Number(n), 'rolledBack')
  })
  await program.line(/^ready/, 60_000)
  if (checkpoints && random.chance(0.5)) await program.line(/^checkpoint/)
  await program.line(/^ack/)
  await new Promise((resolve) => setTimeout(resolve, 20 + random.below(300)))
  expect(program.process.exitCode, program.errors.join('\n')).toBe(null)
  program.process.kill('SIGKILL')
  expect((await program.ended).signal).toBe('SIGKILL')
}

/** Asks again for everything up to the last one that was answered; answers where to go on. */
async function settle(db: Database, answered: Answered): Promise<number> {
  const next = Math.max(-1, ...answered.keys()) + 1 + unsaidMax
  for (let n = 0; n < next; n += 1) {
    const known = answered.get(n)
    if (known !== undefined && n % 23 !== 0) continue
    const outcome = await runTransaction(db, longPlan, n, { id: `tpcc-${n}` })
    expect(outcome, `transaction ${n}`).toBe(known ?? (rollsBack(longPlan, n % longPlan.transactions) ? 'rolledBack' : 'committed'))
    answered.set(n, outcome)
  }
  return next
}

describe.each(settings)('TPC-C killed, workers $workers, checkpoints $checkpoints', (setting) => {
  const share = Math.ceil(kills / settings.length)
  test.each(seeds(1))(`all twelve conditions hold after each of ${share} kills, seed %i`, { timeout: 60_000 + share * 30_000 }, async (seed) => {
    await withSeed(seed + setting.workers, async (random) => {
      const path = await newFolder()
      const answered: Answered = new Map()
      let next = 0
      for (let kill = 0; kill < share; kill += 1) {
        await liveAndDie(path, setting, answered, next, random)
        const db = await openOnce(application, { ...smallOptions, path, workers: 0 })
        try {
          expect(brokenOf(findingsOf(db, longPlan)), 'after recovery').toEqual([])
          next = await settle(db, answered)
          expect(brokenOf(findingsOf(db, longPlan)), 'after asking again').toEqual([])
          expect(tallyOf(stateOf(db)), 'each transaction took effect once').toEqual(expectedTally(longPlan, next))
        } finally {
          await db.close()
        }
      }
      expect(answered.size).toBeGreaterThan(share * 50)
      const db = await openOnce(application, { ...smallOptions, path, workers: 0 })
      const rebuilt = await rebuild(db)
      expect(brokenOf(checkConditions(rebuilt, longPlan.scale)), 'from the stream of changes').toEqual([])
      expect(textOf(rebuilt) === textOf(stateOf(db)), 'row by row').toBe(true)
      await db.close()
    })
  })
})
