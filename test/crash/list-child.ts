/**
 * The process that is killed while it keeps a history. Arguments: path, workers, the number of the first call. What it says stands in the
 * order in which it happened: `ready`, `call <n>` before it asks, `ok <n> <actions>`, `no <n> <code>`.
 */
import { open, SluiceError } from 'sluicedb'
import listApp, { inParts, inWhole } from '../support/apps/list-app.js'
import { listCallOf } from './list-calls.js'

const [path, workers, first] = process.argv.slice(2) as [string, string, string]
const callers = 32

const db = await open(listApp, { path, durability: 'fsync', workers: Number(workers), partitions: 4, memory: { bytes: 2 ** 28 } })
const said: string[] = []
function say(line: string): void {
  if (said.length === 0) setImmediate(() => process.stdout.write(said.splice(0).join('')))
  said.push(`${line}\n`)
}
say('ready')

let next = Number(first)
async function caller(): Promise<void> {
  for (;;) {
    const { n, isInParts, fails, wishes } = listCallOf(next)
    next += 1
    say(`call ${n}`)
    try {
      say(`ok ${n} ${JSON.stringify(await db.call(isInParts ? inParts : inWhole, { wishes: [...wishes], fails }))}`)
    } catch (error) {
      say(`no ${n} ${SluiceError.is(error) ? error.code : String(error)}`)
    }
  }
}
await Promise.all(Array.from({ length: callers }, caller))
