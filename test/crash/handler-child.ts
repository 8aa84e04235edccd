/** Orders under load, for a parent that kills this process: `path workers from`. Says how far it is. */
import { open } from 'sluicedb'
import handlersApp, { order } from '../support/apps/handlers-app.js'
import { customerOf } from './handler-orders.js'

const [path, workers, from] = process.argv.slice(2) as [string, string, string]
const db = await open(handlersApp, { memory: { bytes: 256 * 2 ** 20 }, path, workers: Number(workers), partitions: 4, durability: 'os', outcomes: { window: 0 }, retention: { bytes: 0 }, onHandlerError: () => undefined })
console.log('ready')
for (let n = Number(from); ; n += 8) {
  const outcomes = await db.submitMany(order, Array.from({ length: 8 }, (_, k) => ({ customer: customerOf(n + k), n: n + k })), { id: ({ n: id }) => `order ${id}` })
  if (outcomes.every(({ ok }) => ok)) console.log(`ack ${n + 8}`)
  if (n % 160 === 0) await db.checkpoint()
}
