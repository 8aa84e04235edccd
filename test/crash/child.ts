/**
 * The process that is killed. Arguments: path, durability, workers, the number of the first order, where to
 * continue the events ('' is the beginning), perhaps `checkpoints`. It says in lines what it learned: `ready`, `ack <n>
 * <position>`, `refused <n> <code>`, `event <position> <n>`, `checkpoint`.
 */
import { open, SluiceError, type Durability, type Position } from 'sluicedb'
import bankApp, { bank, deposit, openAccount, transfer } from '../support/apps/bank-app.js'
import { accounts, idOf, opening, orderOf } from './orders.js'

const [path, durability, workers, first, from, how] = process.argv.slice(2) as [
  string,
  Durability,
  string,
  string,
  string,
  string,
]
const lanes = 24

const db = await open(bankApp, {
  path,
  durability,
  workers: Number(workers),
  partitions: 4,
  memory: { bytes: 2 ** 28 },
})
for (const id of accounts) await db.call(openAccount, { id, balance: opening }, { id: `open-${id}` })

const said: string[] = []
function say(line: string): void {
  if (said.length === 0) setImmediate(() => process.stdout.write(said.splice(0).join('')))
  said.push(`${line}\n`)
}

const follow = async () => {
  for await (const event of db.events(bank.events.transferred, {
    from: from === '' ? 'beginning' : (from as Position),
  }))
    say(`event ${event.position} ${event.payload.n}`)
}
const followed = follow()
say('ready')

let next = Number(first)
const lane = async () => {
  for (;;) {
    const { kind, ...order } = orderOf(next)
    next += 1
    try {
      const options = { id: idOf(order.n) }
      const receipt =
        kind === 'deposit'
          ? await db.submit(deposit, order, options)
          : await db.submit(transfer, order as typeof order & { from: string }, options)
      say(`ack ${order.n} ${receipt.position}`)
    } catch (error) {
      say(`refused ${order.n} ${SluiceError.is(error) ? error.code : String(error)}`)
    }
    if (order.n % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
/** One after the other, and a little of time between them. */
const checkpointing = async () => {
  while (how === 'checkpoints') {
    await db.checkpoint()
    say('checkpoint')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
await Promise.all([checkpointing(), followed, ...Array.from({ length: lanes }, lane)])
