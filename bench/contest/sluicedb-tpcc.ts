/** TPC-C on SluiceDB. Options: `file`, `workers`, `inFlight` (sluicedb.ts). */
import application from '../workloads/tpcc/app.js'
import { populate, runTransaction } from '../workloads/tpcc/driver.js'
import { tallyOf } from '../workloads/tpcc/state-tally.js'
import { stateOf } from '../workloads/tpcc/state.js'
import { tpccDigest } from '../workloads/tpcc/tally.js'
import type { Contestant } from './contestant.js'
import { inFlightPlay, openFor } from './sluicedb-open.js'

export const tpccWarehouses: Contestant = async (task) => {
  if (task.kind !== 'tpcc') throw new TypeError(`TPC-C cannot play "${task.kind}"`)
  const { plan } = task
  const db = await openFor(task, application)
  await populate(db, plan)
  return {
    play: inFlightPlay(task.options, (index) => runTransaction(db, plan, index)),
    digest: () => tpccDigest(tallyOf(stateOf(db))),
    close: () => db.close(),
  }
}
