/** Products that change and go under load, for a parent that kills this process: `path workers from`. Says how far it is. */
import { open } from 'sluicedb'
import replicasApp, { drop, set } from '../support/apps/replicas-app.js'

const [path, workers, from] = process.argv.slice(2) as [string, string, string]
const db = await open(replicasApp, { memory: { bytes: 256 * 2 ** 20 }, path, workers: Number(workers), partitions: 4, durability: 'os', retention: { bytes: 0 } })
console.log('ready')
for (let n = Number(from); ; n += 8) {
  await Promise.all(
    Array.from({ length: 8 }, (_, k) => {
      const version = n + k
      const at = { seller: `s${version % 5}`, id: (version * 7) % 40 }
      return version % 6 === 5 ? db.call(drop, at) : db.call(set, { ...at, name: `${at.id}`, kind: 'tea', price: version, version, tags: null })
    }),
  )
  console.log(`ack ${n + 8}`)
  if (n % 160 === 0) await db.checkpoint()
}
