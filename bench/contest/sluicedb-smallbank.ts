/** SmallBank on SluiceDB. Options: `file`, `workers`, `inFlight` (sluicedb.ts). */
import type { Database } from 'sluicedb'
import { inChunks } from '../workloads/bank-driver.js'
import { customerRow, smallBankKinds, type SmallBankPlan } from '../workloads/smallbank-plan.js'
import { SmallBankWitness } from '../workloads/smallbank-witness.js'
import application, {
  amalgamate, depositChecking, openCustomer, sendPayment, smallBank, transactSavings, writeCheck,
} from '../workloads/smallbank.js'
import type { Contestant } from './contestant.js'
import { inFlightPlay } from './in-flight.js'
import { openFor } from './open-for.js'

const loadChunk = 4_096

export const smallBankCustomers: Contestant = async (task) => {
  if (task.kind !== 'smallbank') throw new TypeError(`a small bank cannot play "${task.kind}"`)
  const { plan } = task
  const db = await openFor(task, application)
  await inChunks(0, plan.customers, loadChunk, (ids) => db.submitMany(openCustomer, ids.map(customerRow)))
  const witness = new SmallBankWitness(plan)
  const { savings, checking } = smallBank.tables
  return {
    play: inFlightPlay(task.options, operations(db, plan, witness)),
    digest() {
      const checked = db.table(checking)
      for (const { id, balance } of db.table(savings)) witness.customer(id, balance, checked.get(id)?.balance ?? NaN)
      return witness.digest()
    },
    close: () => db.close(),
  }
}

function operations(
  db: Database, plan: SmallBankPlan, witness: SmallBankWitness,
): (index: number) => Promise<unknown> | undefined {
  const { account, savings, checking } = smallBank.tables
  /** Three rows of one moment. */
  const balanceOf = (customer: number): number => {
    using moment = db.snapshot()
    if (!moment.table(account).has(customer)) return NaN
    return (moment.table(savings).value(customer, 'balance') ?? NaN) + (moment.table(checking).value(customer, 'balance') ?? NaN)
  }
  const answer = async (index: number, answered: Promise<number>): Promise<void> => witness.answered(index, await answered)
  return (index) => {
    const customer = plan.customer[index] as number
    const other = plan.other[index] as number
    const amount = plan.amount[index] as number
    switch (smallBankKinds[plan.kind[index] as number]) {
      case 'balance':
        return void witness.answered(index, balanceOf(customer))
      case 'deposit':
        return answer(index, db.call(depositChecking, { customer, amount }))
      case 'transact':
        return answer(index, db.call(transactSavings, { customer, amount }))
      case 'amalgamate':
        return answer(index, db.call(amalgamate, { customer, other }))
      case 'writeCheck':
        return answer(index, db.call(writeCheck, { customer, amount }))
      case 'sendPayment':
        return answer(index, db.call(sendPayment, { customer, other, amount }))
      case undefined:
        throw new RangeError(`the plan has no operation ${index}`)
    }
  }
}
