/** One life of a database that evolves: makes the changes of a list, one after the other, and ends as it is told: closed, or killed. */
import { open } from 'sluicedb'
import { evolved, type Plan } from '../support/apps/evolving-app.js'

export interface EvolutionLife {
  readonly path: string
  readonly plan: Plan
  readonly changes: readonly { readonly row?: Readonly<Record<string, unknown>>; readonly remove?: string }[]
  readonly checkpointAfter: number
  readonly end: 'close' | 'kill'
}

const life = JSON.parse(process.argv[2]!) as EvolutionLife
const app = evolved(life.plan)
const db = await open(app.application, { path: life.path })
for (const [n, { row, remove }] of life.changes.entries()) {
  if (row !== undefined) await db.call(app.put, { table: 'item', row })
  if (remove !== undefined) await db.call(app.remove, { table: 'item', key: remove })
  if (n === life.checkpointAfter) await db.checkpoint()
}
if (life.end === 'kill') process.kill(process.pid, 'SIGKILL')
await db.close()
