/**
 * The TPC-C process that is killed. Arguments: path, workers, the number of the first transaction, `checkpoints` or ''.
 * It says in lines what it learned: `ready`, `ack <n>`, `rolledBack <n>`, `checkpoint`. A database that is not there yet is
 * populated first.
 */
import { open } from 'sluicedb'
import application from '../../bench/workloads/tpcc/app.js'
import { populate, runTransaction } from '../../bench/workloads/tpcc/driver.js'
import { tpcc } from '../../bench/workloads/tpcc/tables.js'
import { longPlan, smallOptions } from '../bench/small-tpcc.js'

const [path, workers, first, how] = process.argv.slice(2) as [string, string, string, string]
const callers = 32

const db = await open(application, { ...smallOptions, path, durability: 'fsync', workers: Number(workers) })
if (db.table(tpcc.tables.warehouse).count() === 0) await populate(db, longPlan)

const said: string[] = []
function say(line: string): void {
  if (said.length === 0) setImmediate(() => process.stdout.write(said.splice(0).join('')))
  said.push(`${line}\n`)
}
say('ready')

let next = Number(first)
const caller = async (): Promise<void> => {
  for (;;) {
    const n = next++
    const outcome = await runTransaction(db, longPlan, n, { id: `tpcc-${n}` })
    say(`${outcome === 'committed' ? 'ack' : outcome} ${n}`)
  }
}
const checkpointing = async (): Promise<void> => {
  while (how === 'checkpoints') {
    await db.checkpoint()
    say('checkpoint')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
await Promise.all([checkpointing(), ...Array.from({ length: callers }, caller)])
