/**
 * The live change stream: one subscriber on main takes every change of every commit while transfers are submitted, on
 * disk with fsync. The clock stops when the subscriber has seen the last of them. A transfer makes three changes.
 */
import { performance } from 'node:perf_hooks'
import { open } from 'sluicedb'
import { digestOfBank, inChunks, openAccounts, transferInput } from '../workloads/bank-driver.js'
import { transferDigest, transferPlan } from '../workloads/transfer-plan.js'
import application, { transfer } from '../workloads/transfer.js'
import type { Benchmark } from './benchmark.js'

const changesPerTransfer = 3

export const liveStream: Benchmark = {
  name: 'live-stream',
  about: 'changes per second to one live subscriber, fsync',
  async run(b) {
    const accounts = b.parameter('accounts', 1_000, 100_000)
    const count = b.parameter('transfers', 1_000, 300_000)
    const chunk = b.parameter('chunk', 256, 4_096)
    const roundsMax = b.parameter('repetitions', 1, 5) + b.parameter('warmups', 0, 1)
    const workers = b.parameter('workers', 1, 1)
    const plan = transferPlan({ accounts, transfers: count * roundsMax })
    const input = transferInput(plan)
    const ending = new AbortController()
    await using db = await open(application, { path: b.directory(), workers, durability: 'fsync' })
    await openAccounts(db, accounts)

    let changesSeen = 0
    let awaited = Infinity
    let arrived: () => void = () => {}
    const stream = db.changes({ from: 'now', signal: ending.signal })
    const listening = (async () => {
      for await (const commit of stream) {
        changesSeen += commit.changes.length
        if (changesSeen >= awaited) arrived()
      }
    })()

    let next = 0
    const rates = await b.repeat(async () => {
      const first = next
      next += count
      awaited = next * changesPerTransfer
      const all = new Promise<void>((resolve) => (arrived = resolve))
      const start = performance.now()
      await inChunks(first, count, chunk, (ids) => db.submitMany(transfer, ids.map(input)))
      await Promise.race([all, listening])
      if (changesSeen !== awaited) throw new Error(`the stream brought ${changesSeen} changes of ${awaited}`)
      return count / ((performance.now() - start) / 1_000)
    })
    ending.abort()
    await listening.catch(() => {})
    const digest = digestOfBank(db, accounts)
    const expected = transferDigest(plan, next)
    if (digest !== expected) throw new Error(`the bank ended with ${digest} and should have ended with ${expected}`)

    const changes = rates.map((rate) => rate * changesPerTransfer)
    b.figure({ name: 'changes', unit: '/s', better: 'higher', samples: changes, goal: 1_000_000 })
    b.figure({ name: 'commits', unit: '/s', better: 'higher', samples: rates })
    b.report('hash', digest)
  },
}
