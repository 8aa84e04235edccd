/** A short history on two threads, as JSON: for flags.test.ts, which starts it with flags of V8. Argument: how many calls. */
import { open, SluiceError } from 'sluicedb'
import { listCallOf, partsApart } from '../crash/list-calls.js'
import listApp, { inParts, inWhole } from '../support/apps/list-app.js'
import type { Action, Observed } from '../support/history.js'

const count = Number(process.argv[2])
const history: Observed[] = []
await using db = await open(listApp, { workers: 2, partitions: 4, memory: { bytes: 2 ** 26 } })
let [next, clock] = [0, 0]

const apart = (action: Action): Action => ('append' in action ? { ...action, append: action.append + partsApart } : { ...action, read: action.read + partsApart })
async function caller(): Promise<void> {
  while (next < count) {
    const { isInParts, fails, wishes } = listCallOf(next)
    next += 1
    const called = (clock += 1)
    const note = (outcome: Observed['outcome'], actions: readonly Action[]): void =>
      void history.push({ called, answered: (clock += 1), outcome, actions: isInParts ? actions.map(apart) : actions })
    try {
      note('committed', await db.call(isInParts ? inParts : inWhole, { wishes: [...wishes], fails }))
    } catch (error) {
      if (!SluiceError.is(error, 'ABORTED')) throw error
      note('aborted', wishes.filter((wish) => 'append' in wish))
    }
  }
}
await Promise.all(Array.from({ length: 24 }, caller))
console.log(`history ${JSON.stringify(history)}`)
