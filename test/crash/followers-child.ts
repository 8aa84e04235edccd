/** Orders under load, with a consumer and projections that are rebuilt now and then, for a parent that kills this process: `path workers from`. */
import { open } from 'sluicedb'
import { order } from '../support/apps/consumers-app.js'
import followersApp, { behind, noted, within } from '../support/apps/followers-app.js'
import { byCustomer, noteTwice, ordered, orderOf } from '../support/consumer-orders.js'
import { customerOf } from './handler-orders.js'

const [path, workers, from] = process.argv.slice(2) as [string, string, string]
const db = await open(followersApp, { memory: { bytes: 256 * 2 ** 20 }, path, workers: Number(workers), partitions: 4, durability: 'os', outcomes: { window: 0 } })
const consumer = await db.consumer('killed', { events: ordered, from: 'beginning', key: byCustomer, redelivery: { limit: 2, backoffMs: 1, backoffMsMax: 2 } }, async (commit, delivery) => {
  await noteTwice(commit, delivery, () => {
    if (orderOf(commit).n % 13 === 5 && (delivery.attempt === 1 || Math.random() < 0.5)) throw new Error('between')
  })
})
const projections = [within, behind, noted]
for (let n = Number(from); ; n += 8) {
  const outcomes = await db.submitMany(order, Array.from({ length: 8 }, (_, k) => ({ customer: customerOf(n + k), n: n + k })), { id: ({ n: id }) => `order ${id}` })
  if (outcomes.every(({ ok }) => ok)) console.log(`ack ${n + 8}`)
  for (const { key } of consumer.parked({ state: 'parked', limit: 1 })) await consumer.unpark(key)
  if (n % 160 === 0) await db.checkpoint()
  if (n % 80 === 0) void db.projection(projections[(n / 80) % 3] as typeof behind).rebuild().catch(() => undefined)
}
