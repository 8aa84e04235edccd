/**
 * From `submit` to the moment a subscriber of the event holds it: fsync, one transfer at a time. Nothing leaves
 * before it is durable, so the bare fdatasync of as many bytes, measured between the rounds, is the floor.
 */
import { performance } from 'node:perf_hooks'
import { open } from 'sluicedb'
import type { Bench } from '../harness.js'
import { LatencyRecorder, type Latency } from '../statistics.js'
import { digestOfBank, openAccounts, transferInput } from '../workloads/bank-driver.js'
import { transferDigest, transferPlan } from '../workloads/transfer-plan.js'
import application, { bank, transferAnnounced } from '../workloads/transfer.js'
import { BareSync, bytesWritten } from './bare-sync.js'
import { latencyOfRounds, type Benchmark } from './benchmark.js'

interface Rounds {
  readonly commits: readonly Latency[]
  readonly syncs: readonly Latency[]
  readonly frameBytes: number
  readonly digest: string
}

export const commitToSubscriber: Benchmark = {
  name: 'commit-to-subscriber',
  about: 'from submit to the subscriber, fsync, one at a time, p50',
  async run(b) {
    for (const workers of [0, 1]) {
      const { commits, syncs, frameBytes, digest } = await measure(b, workers)
      const medians = (rounds: readonly Latency[]): number[] => rounds.map(({ p50 }) => p50)
      const peer = { name: `fdatasync of ${frameBytes} bytes`, samples: medians(syncs), goal: 1 / 1.3 }
      b.figure({ name: `workers: ${workers}, p50`, unit: 'µs', better: 'lower', samples: medians(commits), peer })
      b.latency(`workers: ${workers}`, latencyOfRounds(commits))
      b.latency(`bare fdatasync beside workers: ${workers}`, latencyOfRounds(syncs))
      b.report(`hash, workers: ${workers}`, digest)
    }
    b.note('the goal "at most 1.3x one fdatasync" reads here as a ratio of at least 0.769')
  },
}

async function measure(b: Bench, workers: number): Promise<Rounds> {
  const accounts = b.parameter('accounts', 100, 10_000)
  const count = b.parameter('commits', 20, 2_000)
  const roundsMax = b.parameter('repetitions', 1, 5) + b.parameter('warmups', 0, 1)
  const plan = transferPlan({ accounts, transfers: count * roundsMax })
  const input = transferInput(plan)
  const path = b.directory()
  const ending = new AbortController()
  await using db = await open(application, { path, workers, durability: 'fsync' })
  await openAccounts(db, accounts)

  let seen: (id: number) => void = () => {}
  const events = db.events(bank.events.transferred, { from: 'now', signal: ending.signal })
  const listening = (async () => {
    for await (const event of events) seen(event.payload.id)
  })()

  const before = bytesWritten(path)
  let next = 0
  const commitsOf = async (latency: LatencyRecorder): Promise<void> => {
    for (let index = 0; index < count; index += 1) {
      const id = next
      next += 1
      const arrived = new Promise<void>((resolve) => {
        seen = (seenId) => {
          if (seenId === id) resolve()
        }
      })
      const start = performance.now()
      const answered = db.submit(transferAnnounced, input(id))
      await Promise.race([arrived, answered.then(() => arrived)])
      latency.record(performance.now() - start)
      await answered
    }
  }
  // The first round tells how many bytes a commit writes, and warms up.
  const syncs: Latency[] = []
  let bare: BareSync | undefined
  let frameBytes = 0
  const commits = await b.repeat(async (repetition) => {
    const commit = new LatencyRecorder(count)
    await commitsOf(commit)
    if (bare === undefined) {
      frameBytes = Math.max(64, Math.round((bytesWritten(path) - before) / next))
      bare = new BareSync(b.directory(), frameBytes, count)
    }
    const sync = new LatencyRecorder(count)
    bare.run(count, sync)
    if (repetition >= 0) syncs.push(sync.summary())
    return commit.summary()
  })
  bare?.close()
  ending.abort()
  await listening.catch(() => {})
  const digest = digestOfBank(db, accounts)
  const expected = transferDigest(plan, next)
  if (digest !== expected) throw new Error(`the bank ended with ${digest} and should have ended with ${expected}`)
  return { commits, syncs, frameBytes, digest }
}
