/**
 * An aggregate of many events, loaded without a snapshot: every event is read from its table, decoded and folded, on the caller's thread.
 *
 * The peer folds the same events out of an array of JSON texts: what a stream of events costs that is in memory already.
 */
import { aggregate, app, column as c, open, service } from 'sluicedb'
import type { Benchmark } from './benchmark.js'

const account = aggregate('account', {
  id: c.text(),
  events: { moved: { amount: c.int(), reason: c.text() } },
  initial: () => ({ balance: 0, moves: 0 }),
  evolve: { moved: (state, { amount }) => ({ balance: state.balance + amount, moves: state.moves + 1 }) },
  decide: {},
  snapshotEvery: false,
})
const bank = service('bank', { aggregates: { account } })
const move = bank.procedure('move', { input: { id: c.text(), from: c.int(), count: c.int() }, partition: (it) => it.id }, (tx, { id, from, count }) => {
  tx.aggregate.account(id).append(Array.from({ length: count }, (_, n) => ({ type: 'moved' as const, payload: payloadOf(from + n) })))
})
const application = app(import.meta.url, [bank])

const payloadOf = (n: number) => ({ amount: (n * 7_919) % 1_000 - 300, reason: `move ${n}` })
const perCall = 500

export const rebuildAggregate: Benchmark = {
  name: 'rebuild-aggregate',
  about: 'an aggregate of many events loaded by replaying all of them',
  async run(b) {
    const events = b.parameter('events', 500, 10_000)
    const repetitions = b.parameter('repetitions', 1, 20)
    const warmups = b.parameter('warmups', 1, 10)
    await using db = await open(application, { path: b.directory(), durability: 'os' })
    for (let from = 0; from < events; from += perCall) await db.call(move, { id: 'ann', from, count: Math.min(perCall, events - from) })
    const texts = Array.from({ length: events }, (_, n) => JSON.stringify(payloadOf(n)))
    const folded = (): { balance: number; moves: number } => {
      let state = { balance: 0, moves: 0 }
      for (const text of texts) state = { balance: state.balance + (JSON.parse(text) as { amount: number }).amount, moves: state.moves + 1 }
      return state
    }
    const ours: number[] = []
    const peers: number[] = []
    for (let n = -warmups; n < repetitions; n += 1) {
      const started = performance.now()
      const { state } = await db.call(bank.aggregates.account.load, { id: 'ann' })
      const between = performance.now()
      const wanted = folded()
      const ended = performance.now()
      if (state.balance !== wanted.balance || state.moves !== events) throw new Error('the state is not the sum of the events')
      if (n < 0) continue
      ours.push(between - started)
      peers.push(ended - between)
    }
    b.figure({ name: `${events} events`, unit: 'ms', better: 'lower', samples: ours, goal: 10, peer: { name: 'JSON.parse and fold of an array', samples: peers } })
    b.report('hash', String(folded().balance))
  },
}
