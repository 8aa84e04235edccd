/**
 * Events on SluiceDB, to one subscriber in the process that publishes them. Options: `file`, `workers`; `how`: 'one', each awaited by the
 * subscriber before the next, or 'many', in chunks.
 */
import { performance } from 'node:perf_hooks'
import { inChunks } from '../workloads/bank-driver.js'
import { EventWitness, eventOf } from '../workloads/event-plan.js'
import application, { feed, post } from '../workloads/events.js'
import type { Contestant } from './contestant.js'
import { openFor } from './open-for.js'

const chunk = 4_096

export const eventsToOne: Contestant = async (task) => {
  if (task.kind !== 'events') throw new TypeError(`a feed cannot play "${task.kind}"`)
  const db = await openFor(task, application)
  const witness = new EventWitness(task.plan)
  const ending = new AbortController()
  const stream = db.changes({ from: 'now', events: [feed.events.posted], signal: ending.signal })
  const listening = stream.each((commit) => {
    for (const { payload } of commit.events) witness.received(payload.id, payload.amount)
  })
  const failed = listening.then(() => new Promise<never>(() => {}))
  failed.catch(() => {})
  return {
    async play(first, count, latency) {
      if (task.options['how'] === 'many') {
        await inChunks(first, count, chunk, (ids) => db.submitMany(post, ids.map(eventOf)))
        await Promise.race([witness.until(first + count), failed])
        return
      }
      for (let id = first; id < first + count; id += 1) {
        const start = performance.now()
        const answered = db.call(post, eventOf(id))
        await Promise.race([witness.until(id + 1), failed])
        latency?.record(performance.now() - start)
        await answered
      }
    },
    digest: () => witness.digest(),
    async close() {
      ending.abort()
      await listening.catch(() => {})
      await db.close()
    },
  }
}
