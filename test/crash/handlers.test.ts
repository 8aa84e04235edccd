/** Handlers after the commit, in a process that is killed under load: every event handled once, in order by customer (R61). */
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import handlersApp, { all, order, post, shop } from '../support/apps/handlers-app.js'
import { openOnce } from '../support/fixture.js'
import { describeKills } from '../support/kill-loop.js'
import { settled } from '../support/settled.js'
import { customerOf } from './handler-orders.js'

const child = fileURLToPath(new URL('./handler-child.ts', import.meta.url))

describeKills(child, 3, verify)

/** Lets the handlers end and compares; answers the first number that no order has. */
async function verify(path: string, acknowledged: number): Promise<number> {
  const db = await openOnce(handlersApp, { path, workers: 0, partitions: 4, durability: 'os', outcomes: { window: 0 } })
  try {
    await settled(db)
    const orders = Array.from(db.table(shop.tables.order), (row) => row.n).sort((a, b) => a - b)
    expect(orders.length).toBeGreaterThanOrEqual(acknowledged)
    const commits = new Map<number, string>()
    const total = orders.length
    if (total > 0) {
      let left = total
      // Only what retention has left can be compared with its position.
      for await (const event of db.events(shop.events.ordered, { from: 'beginning', signal: AbortSignal.timeout(500) })) {
        commits.set(event.payload.n, event.position)
        left -= 1
        if (left === 0) break
      }
    }
    const notes = [...db.table(post.tables.seen)]
    for (const customer of new Set(orders.map(customerOf))) {
      const wanted = orders.filter((n) => customerOf(n) === customer)
      const found = notes.filter((row) => row.customer === customer)
      expect(found.map(({ n }) => n), customer).toEqual(wanted)
      for (const { n, position } of found) if (commits.has(n)) expect(position).toBe(commits.get(n))
    }
    expect(Array.from(db.table(all.tables.seen), (row) => row.n).sort((a, b) => a - b)).toEqual(orders)
    const highest = orders.at(-1) ?? -1
    // The next life begins where no id has been.
    for (let n = 0; n <= highest; n += 1) if (!orders.includes(n)) await db.call(order, { customer: customerOf(n), n })
    await settled(db)
    return highest + 1
  } finally {
    await db.close()
  }
}
