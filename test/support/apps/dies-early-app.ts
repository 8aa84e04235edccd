/** Of two threads that load this one after the other, one ends as soon as its loop runs, and the other takes its time. */
import { isMainThread, threadId } from 'node:worker_threads'
import { app, column as c, service, table } from 'sluicedb'

const slowMs = 500

export const early = service('early', { tables: { item: table({ columns: { id: c.int(), n: c.int() }, key: ['id'] }) } })
export const put = early.procedure('put', { input: { id: c.int(), n: c.int() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.item.put(it)
})

if (!isMainThread) {
  if (threadId % 2 === 0) setImmediate(() => process.exit(3))
  else await new Promise((resolve) => setTimeout(resolve, slowMs))
}

export default app(import.meta.url, [early])
