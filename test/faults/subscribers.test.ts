/**
 * Row 20: subscribers of the log that are slow, stuck, or gone without a word.
 *
 * The rate of commits is measured with readers that keep up, and again with as many of which most never read: what is left of a stuck
 * one is its bounded buffer.
 */
import { setMaxListeners } from 'node:events'
import { describe } from 'vitest'
import { only, SluiceError } from 'sluicedb'
import streamsApp, { count, fill, store } from '../support/apps/streams-app.js'
import { newFolder, openFor, within } from '../support/fixture.js'
import { faultRow } from './row.js'

const { part } = store.tables
const subscribers = 40
/** The longest buffer that is asked for. */
const bufferMax = 64
const commits = 120
const policies = ['spill', 'wait', 'conflate', 'fail'] as const
/** Two of each four never read, with each policy in turn. */
const stuckThatFail = subscribers / 2 / policies.length - 1

describe('subscribers', () => {
  faultRow(
    20,
    {
      title: 'a subscriber is slow, stuck, or gone',
      injected: `${subscribers} subscribers with random filters, buffers and policies; of each four one reads, one reads now and then, one never reads after it was live, one was dropped without a close; 18 MiB of commits, which overtake the ring of frames`,
      invariant: 'every commit is answered; whoever reads sees each commit of its filter once and in order, or is told OVERLOADED by its policy; a stuck one holds no more commits than its buffer takes, however many come; it reads them later, from the files',
      pr: 2,
      nightly: 20,
    },
    async (run) => {
      let [seenInAll, overloaded, mostHeld] = [0, 0, 0]
      for (const index of run.cases()) {
        const { chance } = run
        const db = await openFor(streamsApp, { path: await newFolder(), durability: 'os', history: { bytes: 0 } })
        const ending = new AbortController()
        setMaxListeners(subscribers, ending.signal)
        const seen = Array.from({ length: subscribers }, () => 0)
        const last = Array.from({ length: subscribers }, () => '')
        const failures: unknown[] = []
        const stuck: AsyncIterator<unknown>[] = []
        const readers = Array.from({ length: subscribers }, async (_, n) => {
          const slow = policies[(n >> 2) % 4]!
          const how = (['reads', 'slowly', 'never', 'gone'] as const)[n % 4]!
          const tables = [only(part, chance.chance(0.5) ? {} : { prefix: [`s${n % 8}`] })]
          const stream = db.changes({ tables, slow, buffer: 1 + chance.below(slow === 'fail' ? 8 : bufferMax), signal: ending.signal })
          if (how === 'never' || how === 'gone') {
            const iterator = stream[Symbol.asyncIterator]()
            iterator.next().catch(() => undefined)
            if (how === 'never') stuck.push(iterator)
            return
          }
          try {
            await stream.each(async (commit) => {
              if (commit.position <= last[n]!) throw new Error(`${commit.position} after ${last[n]}`)
              last[n] = commit.position
              seen[n]! += commit.merged ?? 1
              if (how === 'slowly' && chance.chance(0.3)) await new Promise((resolve) => setTimeout(resolve, chance.below(20)))
            })
          } catch (error) {
            if (!(SluiceError.is(error, 'OVERLOADED') && slow === 'fail')) failures.push(error)
          }
        })
        await new Promise((resolve) => setImmediate(resolve))
        for (let n = 0; n < commits; n += 1) {
          const shelf = n % 8
          if (n % 2 === 0) await db.call(fill, { shelf: `s${shelf}`, from: 0, n: 75, note: 'n'.repeat(4_000) + String(n) })
          else await db.call(count, { shelf: `s${shelf}`, n: 0 })
        }
        const marks = await Promise.all(Array.from({ length: 8 }, (__, shelf) => db.submit(count, { shelf: `s${shelf}`, n: 1 })))
        const end = marks.map(({ position }) => position).sort().at(-1)!
        const all = commits + 8
        // Those who read everything of a whole table have seen each commit once.
        await within(60_000, 'the readers get there', (async () => {
          while (!seen.some((one) => one === all)) await new Promise((resolve) => setTimeout(resolve, 5))
        })())
        for (const number of seen) if (number > all) throw new Error(`a reader saw ${number} of ${all} commits`)
        const { buffered, count: open } = db.stats().streams
        // Each shelf has more commits than they buffer.
        if (subscribers - open < stuckThatFail) throw new Error(`${subscribers - open} streams have ended by their policy, and ${stuckThatFail} never read`)
        overloaded += subscribers - open
        mostHeld = Math.max(mostHeld, buffered)
        if (buffered > subscribers * bufferMax) throw new Error(`${buffered} commits wait in buffers for ${subscribers} subscribers`)
        // A stuck one goes on where it stood, and arrives.
        const [first] = stuck
        let position = ''
        await within(60_000, 'a stuck one arrives', (async () => {
          while (position < end) {
            const next = await first!.next()
            if (next.done === true) break
            const commit = next.value as { position: string }
            if (commit.position <= position) throw new Error(`${commit.position} after ${position}`)
            position = commit.position
            if (position.slice(0, 16) >= end.slice(0, 16)) break
          }
        })())
        ending.abort()
        await Promise.all(readers)
        if (failures.length > 0) throw failures[0]
        if (db.stats().streams.count !== 0) throw new Error(`case ${index}: streams are left behind`)
        seenInAll += seen.reduce((sum, one) => sum + one, 0)
        await db.close()
      }
      run.figure('subscribers of a case', subscribers)
      run.figure('commits that were read', seenInAll)
      run.figure('ended by their own policy', overloaded)
      run.figure('commits in the buffers of all, at most', mostHeld)
    },
  )
})
