/**
 * Processor time that an open database uses while nothing is asked of it, all threads counted, after it has worked
 * once: no thread may go on spinning, and no timer may run. What the same process uses before it opens a database is
 * taken off.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { performance } from 'node:perf_hooks'
import { open } from 'sluicedb'
import { digestOfBank, openAccounts } from '../workloads/bank-driver.js'
import { transferDigest, transferPlan } from '../workloads/transfer-plan.js'
import application from '../workloads/transfer.js'
import type { Benchmark } from './benchmark.js'

/** Of processor time in a second, beyond what the process needs anyway; a thread that spins takes 1,000. */
const limitMsPerSecond = 1

export const idle: Benchmark = {
  name: 'idle',
  about: 'processor time of an idle open database',
  async run(b) {
    const accounts = b.parameter('accounts', 100, 100_000)
    const settleMs = b.parameter('settleMs', 20, 500)
    const idleMs = b.parameter('idleMs', 100, 2_000)
    const measure = async (): Promise<number> => {
      await sleep(settleMs)
      const before = process.cpuUsage()
      const start = performance.now()
      await sleep(idleMs)
      const used = process.cpuUsage(before)
      return (used.user + used.system) / 1_000 / ((performance.now() - start) / 1_000)
    }
    const nothing = await measure()
    for (const workers of [0, 1, 2]) {
      await using db = await open(application, { path: b.directory(), workers })
      await openAccounts(db, accounts)
      const digest = digestOfBank(db, accounts)
      const expected = transferDigest(transferPlan({ accounts, transfers: 0 }), 0)
      if (digest !== expected) throw new Error('the accounts are not what was loaded')
      const beyond = Math.max(0, (await measure()) - nothing)
      const name = `workers: ${workers}, on disk`
      b.figure({ name, unit: 'ms/s', better: 'lower', samples: [beyond], goal: limitMsPerSecond })
      b.report('hash', digest)
    }
    b.note(`the same process without a database: ${nothing.toFixed(2)} ms of processor time a second`)
  },
}
