/**
 * A consumer and projections of all kinds in one process that is killed under load, while some are being rebuilt: every effect once, none
 * missing, none twice, and each projection is the fold of the log (row 22; the issue of streams, "How it is proved").
 */
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { Database } from 'sluicedb'
import { order, post, shop } from '../support/apps/consumers-app.js'
import followersApp, { behind, hashOf, noted, within } from '../support/apps/followers-app.js'
import { byCustomer, drained, expectNoted, noteTwice, ordered } from '../support/consumer-orders.js'
import { openOnce, proveWhole } from '../support/fixture.js'
import { describeKills } from '../support/kill-loop.js'
import { customerOf } from './handler-orders.js'

const child = fileURLToPath(new URL('./followers-child.ts', import.meta.url))

describeKills(child, 2, verify)

/** Lets all come to their end and compares; answers the first number that no order has. */
async function verify(path: string, acknowledged: number): Promise<number> {
  const db = await openOnce(followersApp, { path, workers: 0, partitions: 4, durability: 'os', outcomes: { window: 0 } })
  try {
    const consumer = await db.consumer('killed', { events: ordered, key: byCustomer }, async (commit, delivery) => await noteTwice(commit, delivery))
    const orders = await expectAll()
    expect(orders.length).toBeGreaterThanOrEqual(acknowledged)
    const highest = Math.max(-1, ...orders)
    // The next life begins where no id has been.
    for (let n = 0; n <= highest; n += 1) if (!orders.includes(n)) await db.call(order, { customer: customerOf(n), n })
    await expectAll()
    proveWhole(db)
    return highest + 1

    async function expectAll(): Promise<number[]> {
      await drained(consumer)
      const log = await logOf(db)
      const { position } = db.stats()
      for (const projected of [within, behind, noted] as object[]) await db.projection(projected as typeof behind).reached(position)
      expect(expectNoted(db)).toBe(log.length)
      expect(foldOf(db, within)).toEqual(summed(log))
      expect(foldOf(db, behind)).toEqual(summed(log))
      expect(foldOf(db, noted)).toEqual(summed([...db.table(post.tables.seen)]))
      return log.map(({ n }) => n)
    }
  } finally {
    await db.close()
  }
}

/** The orders, in the order of the log. */
async function logOf(db: Database): Promise<{ readonly customer: string; readonly n: number }[]> {
  const count = db.table(shop.tables.order).count()
  const orders: { readonly customer: string; readonly n: number }[] = []
  if (count === 0) return orders
  for await (const { payload } of db.events([shop.events.ordered], { from: 'beginning' })) {
    orders.push(payload)
    if (orders.length === count) break
  }
  return orders
}

function summed(orders: readonly { readonly customer: string; readonly n: number }[]): Map<string, readonly [count: number, hash: number]> {
  const sums = new Map<string, readonly [number, number]>()
  for (const { customer, n } of orders) {
    const [count, hash] = sums.get(customer) ?? [0, 0]
    sums.set(customer, [count + 1, hashOf(hash, n)])
  }
  return sums
}
const foldOf = (db: Database, projected: object) => new Map(Array.from(db.projection(projected as typeof behind).tables.sum, ({ customer, count, hash }) => [customer, [count, hash] as const]))
