/** A process that publishes its log and ingests a stream at once, until it is killed: `kill-child.ts <directory> <port> <calls so far>`. */
import { createRequire } from 'node:module'
import { open } from 'sluicedb'
import { type HeadersLike, ingest, type JetStreamLike, publish } from 'sluicedb/nats'
import application, { change, source, take } from '../support/apps/interop-app.js'

const [path, port, begin] = process.argv.slice(2) as [string, string, string]
const nats = createRequire(import.meta.url)('nats') as { connect(options: object): Promise<{ jetstream(): JetStreamLike }>; headers(): HeadersLike }
const jetstream = (await nats.connect({ port: Number(port), reconnectTimeWait: 20, maxReconnectAttempts: -1 })).jetstream()
const db = await open(application, { path, memory: { bytes: 256 * 2 ** 20 } })
await publish(db, { name: 'out', jetstream, headers: () => nats.headers(), stream: 'OUT', subject: 'out', tables: [source.tables.item] })
await ingest(db, { name: 'in', jetstream, stream: 'IN', procedure: take, input: (message) => ({ sequence: message.sequence, text: new TextDecoder().decode(message.data) }) })
for (let id = Number(begin); ; id += 1) {
  await db.call(change, { id, text: `item ${id}` })
  process.stdout.write(`called ${id}\n`)
  await new Promise((resolve) => setTimeout(resolve, 1))
}
