/**
 * Opens and closes databases, and says what that left behind. Arguments: a folder, how often, a seed.
 *
 * Plain JavaScript against the build: the process whose threads and files are counted must hold nothing but the database.
 */
import { readdirSync } from 'node:fs'
import { open } from '../../../dist/index.js'
import application, { count, counting } from './storm-app.mjs'

const [folder, times, seed] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
let state = seed >>> 0
const below = (end) => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * end)
}

/** How many calls each path has acknowledged. */
const acknowledged = new Map()

async function once(n) {
  // Most are cheap ones; every kind comes in each hundred.
  const kind = n % 100
  const workers = kind >= 96 ? 1 : 0
  const path = kind >= 98 || (kind >= 84 && kind < 96) ? `${folder}/db${below(3)}` : undefined
  const db = await open(application, { workers, memory: { bytes: 2 ** 25 }, durability: path === undefined ? 'memory' : kind % 2 === 0 ? 'fsync' : 'os', ...(path === undefined ? {} : { path }) })
  const before = db.table(counting.tables.counter).get('x')?.n ?? 0
  if (before < (acknowledged.get(path) ?? 0)) throw new Error(`${path} has lost ${acknowledged.get(path) - before} calls`)
  let reading
  if (below(3) === 0) {
    db.snapshot()
    reading = (async () => {
      for await (const commit of db.changes()) void commit
    })().catch((error) => {
      if (error.code !== 'DATABASE_CLOSED') throw error
    })
  }
  let done = before
  if (below(4) > 0) done = await db.call(count, { id: 'x' })
  const calls = below(3) === 0 ? Array.from({ length: 1 + below(20) }, () => db.call(count, { id: 'x' })) : []
  await (below(4) === 0 ? Promise.all([db.close(), db.close()]) : db.close())
  const outcomes = await Promise.allSettled(calls)
  const wrong = outcomes.find((it) => it.status === 'rejected' && it.reason.code !== 'DATABASE_CLOSED')
  if (wrong !== undefined) throw wrong.reason
  await reading
  if (path !== undefined) acknowledged.set(path, done + outcomes.filter((it) => it.status === 'fulfilled').length)
}

const threads = () => readdirSync('/proc/self/task').length
const files = () => readdirSync('/proc/self/fd').length
/** What stdout needs is not ours. */
const resources = () => process.getActiveResourcesInfo().filter((name) => !['PipeWrap', 'TTYWrap', 'FSReqCallback', 'FSReqPromise'].includes(name))
const settle = () => new Promise((resolve) => setTimeout(resolve, 200))

for (const n of [0, 84, 85, 86, 87, 96, 97, 98, 99]) await once(n)
await settle()
globalThis.gc?.()
const before = { threads: threads(), files: files(), rss: process.memoryUsage().rss }
const startedMs = performance.now()
for (let n = 0; n < times; n += 1) await once(n)
const ms = performance.now() - startedMs
await settle()
globalThis.gc?.()
console.log(
  'report',
  JSON.stringify({
    opened: times,
    threads: threads() - before.threads,
    files: files() - before.files,
    resources: resources(),
    rssMiB: Math.round((process.memoryUsage().rss - before.rss) / 2 ** 20),
    ms,
  }),
)
