/** Orders under load and a consumer that notes them, for a parent that kills this process: `path workers from`. Says how far it is. */
import { open } from 'sluicedb'
import consumersApp, { order } from '../support/apps/consumers-app.js'
import { byCustomer, noteTwice, ordered, orderOf } from '../support/consumer-orders.js'
import { customerOf } from './handler-orders.js'

const [path, workers, from] = process.argv.slice(2) as [string, string, string]
const db = await open(consumersApp, { memory: { bytes: 256 * 2 ** 20 }, path, workers: Number(workers), partitions: 4, durability: 'os', outcomes: { window: 0 }, retention: { bytes: 0 } })
const consumer = await db.consumer('killed', { events: ordered, from: 'beginning', key: byCustomer, redelivery: { limit: 2, backoffMs: 1, backoffMsMax: 2 } }, async (commit, delivery) => {
  // Some fail between their effects, and some of these until they are parked.
  await noteTwice(commit, delivery, () => {
    if (orderOf(commit).n % 13 === 5 && (delivery.attempt === 1 || Math.random() < 0.5)) throw new Error('between')
  })
})
console.log('ready')
for (let n = Number(from); ; n += 8) {
  const outcomes = await db.submitMany(order, Array.from({ length: 8 }, (_, k) => ({ customer: customerOf(n + k), n: n + k })), { id: ({ n: id }) => `order ${id}` })
  if (outcomes.every(({ ok }) => ok)) console.log(`ack ${n + 8}`)
  for (const { key } of consumer.parked({ state: 'parked', limit: 1 })) await consumer.unpark(key)
  if (n % 160 === 0) await db.checkpoint()
}
