/** Sales under load, for a parent that kills this process: `path from`. Rebuilds in between, and says how far it is. */
import { open } from 'sluicedb'
import projectionsApp, { behind, giveBack, sell, within } from '../support/apps/projections-app.js'

const [path, from] = process.argv.slice(2) as [string, string]
const db = await open(projectionsApp, { memory: { bytes: 256 * 2 ** 20 }, path, durability: 'os' })
console.log('ready')
for (let n = Number(from); ; n += 8) {
  const calls = Array.from({ length: 8 }, (_, k) => ({ customer: `c${(n + k) % 5}`, product: `p${n + k}`, quantity: (n + k) % 7 }))
  await Promise.all(calls.map((call, k) => db.call(k === 7 ? giveBack : sell, call, { id: `sale ${n + k}` })))
  console.log(`ack ${n + 8}`)
  if (n % 80 === 0) await db.projection(behind).rebuild()
  if (n % 120 === 0) void db.projection(within as never).rebuild().catch(() => undefined)
}
