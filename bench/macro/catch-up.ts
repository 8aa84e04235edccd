/**
 * A subscriber that begins at the beginning: transfers are written to disk first, then one stream reads all of them back from the
 * segment files, as whole commits with both images of every row. A transfer makes three changes.
 */
import { performance } from 'node:perf_hooks'
import { open } from 'sluicedb'
import { digestOfBank, inChunks, openAccounts, transferInput } from '../workloads/bank-driver.js'
import { transferDigest, transferPlan } from '../workloads/transfer-plan.js'
import application, { transfer } from '../workloads/transfer.js'
import type { Benchmark } from './benchmark.js'

const changesPerTransfer = 3

export const catchUp: Benchmark = {
  name: 'catch-up',
  about: 'changes per second to one subscriber that reads the log from its beginning',
  async run(b) {
    const accounts = b.parameter('accounts', 1_000, 100_000)
    const count = b.parameter('transfers', 1_000, 600_000)
    const plan = transferPlan({ accounts, transfers: count })
    const input = transferInput(plan)
    await using db = await open(application, { path: b.directory(), workers: b.parameter('workers', 0, 1), durability: 'os' })
    await openAccounts(db, accounts)
    await inChunks(0, count, 4_096, (ids) => db.submitMany(transfer, ids.map(input)))
    const commits = accounts + count
    const changes = accounts + count * changesPerTransfer

    const rates = await b.repeat(async () => {
      let [commitsSeen, changesSeen] = [0, 0]
      const start = performance.now()
      for await (const commit of db.changes({ from: 'beginning' })) {
        commitsSeen += 1
        changesSeen += commit.changes.length
        if (commitsSeen === commits) break
      }
      const seconds = (performance.now() - start) / 1_000
      if (changesSeen !== changes) throw new Error(`the stream brought ${changesSeen} changes of ${changes}`)
      return changes / seconds
    })
    const digest = digestOfBank(db, accounts)
    const expected = transferDigest(plan, count)
    if (digest !== expected) throw new Error(`the bank ended with ${digest} and should have ended with ${expected}`)
    b.figure({ name: 'changes', unit: '/s', better: 'higher', samples: rates, goal: 2_000_000 })
    b.report('hash', digest)
  },
}
