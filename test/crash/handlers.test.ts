/** Handlers after the commit, in a process that is killed under load: every event handled once, in order by customer (R61). */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import handlersApp, { all, order, post, shop } from '../support/apps/handlers-app.js'
import { newFolder, openOnce } from '../support/fixture.js'
import { killUnderLoad } from '../support/kill-loop.js'
import { seeds, withSeed } from '../support/random.js'
import { settled } from '../support/settled.js'
import { customerOf } from './handler-orders.js'

const child = fileURLToPath(new URL('./handler-child.ts', import.meta.url))
const kills = 3

describe.each([0, 1])('workers %i', (workers) => {
  test.each(seeds(1))(`${kills} kills, seed %i`, { timeout: 120_000 }, async (seed) => {
    await withSeed(seed + workers, async (random) => {
      const path = await newFolder()
      let next = 0
      for (let round = 0; round < kills; round += 1) {
        const acknowledged = await killUnderLoad(child, [path, workers, next], random)
        next = await verify(path, acknowledged)
      }
      expect(next).toBeGreaterThan(kills * 8)
    })
  })
})

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
