/**
 * What it costs to open a database that holds nothing, and to close it: threads, their modules, files. Threads are most of it, and
 * whoever tests with a database of its own for each test pays it each time.
 */
import { performance } from 'node:perf_hooks'
import { open } from 'sluicedb'
import { digestOfBank } from '../workloads/bank-driver.js'
import application from '../workloads/transfer.js'
import type { Benchmark } from './benchmark.js'

export const start: Benchmark = {
  name: 'start',
  about: 'opening and closing an empty database, by the number of workers',
  async run(b) {
    const rounds = b.parameter('rounds', 1, 15)
    for (const workers of [0, 1, 2]) {
      const wallMs: number[] = []
      const usedMs: number[] = []
      for (let round = -1; round < rounds; round += 1) {
        const before = process.cpuUsage()
        const startedMs = performance.now()
        const db = await open(application, { path: b.directory(), workers })
        const openMs = performance.now() - startedMs
        const digest = digestOfBank(db, 0)
        await db.close()
        const { user, system } = process.cpuUsage(before)
        if (round === -1) b.report('hash', digest)
        else {
          wallMs.push(openMs)
          usedMs.push((user + system) / 1_000)
        }
      }
      b.figure({ name: `workers: ${workers}, open`, unit: 'ms', better: 'lower', samples: wallMs })
      b.figure({ name: `workers: ${workers}, open and close, processor time`, unit: 'ms', better: 'lower', samples: usedMs })
    }
  },
}
