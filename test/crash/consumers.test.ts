/** A durable consumer in a process that is killed under load: every effect once, in order by customer, none missing (row 22). */
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import consumersApp, { order, shop } from '../support/apps/consumers-app.js'
import { byCustomer, drained, expectNoted, noteTwice, ordered } from '../support/consumer-orders.js'
import { openOnce } from '../support/fixture.js'
import { describeKills } from '../support/kill-loop.js'
import { customerOf } from './handler-orders.js'

const child = fileURLToPath(new URL('./consumer-child.ts', import.meta.url))

describeKills(child, 2, verify)

/** Lets the consumer come to its end and compares; answers the first number that no order has. */
async function verify(path: string, acknowledged: number): Promise<number> {
  const db = await openOnce(consumersApp, { path, workers: 0, partitions: 4, durability: 'os', outcomes: { window: 0 } })
  try {
    const consumer = await db.consumer('killed', { events: ordered, key: byCustomer }, async (commit, delivery) => await noteTwice(commit, delivery))
    await drained(consumer)
    const orders = Array.from(db.table(shop.tables.order), (row) => row.n).sort((a, b) => a - b)
    expect(orders.length).toBeGreaterThanOrEqual(acknowledged)
    expect(expectNoted(db)).toBe(orders.length)
    const highest = orders.at(-1) ?? -1
    // The next life begins where no id has been.
    for (let n = 0; n <= highest; n += 1) if (!orders.includes(n)) await db.call(order, { customer: customerOf(n), n })
    await drained(consumer)
    return highest + 1
  } finally {
    await db.close()
  }
}
