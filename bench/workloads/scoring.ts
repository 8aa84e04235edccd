/**
 * Procedures that think: an order is priced by a handful of rows and some arithmetic, and changes two of them. `rounds` sets how
 * long that takes, so that the worker's share of the work can be chosen (5 µs in bench/macro/two-workers.ts).
 *
 * `score` is placed by the buyer and stays in its lane when the seller shares the partition; `scoreAnywhere` runs in the
 * cross-partition lane.
 */
import { app, column as c, service, table, type TxOf } from 'sluicedb'

const party = table({
  columns: { id: c.int(), rate: c.int(), limit: c.int(), spent: c.int(), earned: c.int(), orders: c.int() },
  key: ['id'],
})

export const scoring = service('scoring', { tables: { party } })

const input = { buyer: c.int(), seller: c.int(), peer: c.int(), amount: c.int(), rounds: c.int() }
interface Order {
  readonly buyer: number
  readonly seller: number
  readonly peer: number
  readonly amount: number
  readonly rounds: number
}

function decide(tx: TxOf<typeof scoring>, { buyer, seller, peer, amount, rounds }: Order): number {
  const payer = tx.db.party.row(buyer)!
  const payee = tx.db.party.row(seller)!
  const guarantor = tx.db.party.row(peer)!
  const { limit } = payer
  let score = payer.rate + payee.rate + guarantor.rate
  for (let n = 0; n < rounds; n += 1) score = (Math.imul(score, 48_271) + limit) & 0x7fffffff
  payer.spent += amount
  payer.orders += 1
  payee.earned += amount
  return score
}

export const addParty = scoring.procedure('addParty', { input: { id: c.int(), rate: c.int(), limit: c.int() }, partition: (it) => it.id }, (tx, it) => {
  tx.db.party.insert({ ...it, spent: 0, earned: 0, orders: 0 })
})
export const score = scoring.procedure('score', { input, partition: (it) => it.buyer }, (tx, it) => decide(tx, it))
export const scoreAnywhere = scoring.procedure('scoreAnywhere', { input }, (tx, it) => decide(tx, it))

export default app(import.meta.url, [scoring])
