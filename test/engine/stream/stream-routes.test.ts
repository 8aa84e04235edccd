/** Whom a commit concerns: conditions are asked once for each distinct filter, and equalities are looked up. */
import { expect, test } from 'vitest'
import { type EventInterest, StreamFilter } from '../../../engine/stream/stream-filter.js'
import type { DecodedTransaction } from '../../../engine/stream/frame-decoder.js'
import { StreamRoutes } from '../../../engine/stream/stream-routes.js'

const subscribers = 1_000

function commitOf(payloads: readonly { readonly amount: number }[]): DecodedTransaction {
  const events = payloads.map((payload) => ({ type: 'bank.paid', payload }))
  return { batch: 2, index: 0, time: 0, procedure: 'bank.pay', id: undefined, outcome: 0, isErased: false, isCompacted: false, request: 0, value: undefined, bytes: 0, changes: [], events, lost: 0 }
}

/** What each subscriber was handed. */
function routed(routes: StreamRoutes<number>, commit: DecodedTransaction): ReadonlyMap<number, readonly unknown[]> {
  const found = new Map<number, readonly unknown[]>()
  routes.route(commit, (route, { events }) => {
    for (const subscriber of route.subscribers) found.set(subscriber, events.map(({ payload }) => payload['amount']))
  })
  return found
}

test('a condition about a payload is asked once for each event, whatever the number of its subscribers', () => {
  let asked = 0
  const large: EventInterest = { event: 'bank.paid', equals: [], holds: ({ amount }) => ((asked += 1), (amount as number) >= 10) }
  const routes = new StreamRoutes<number>()
  for (let n = 0; n < subscribers; n += 1) routes.add(new StreamFilter('large', undefined, [large]), n)
  const found = routed(routes, commitOf([{ amount: 1 }, { amount: 10 }, { amount: 11 }]))
  expect([found.size, asked]).toEqual([subscribers, 3])
  expect(new Set([...found.values()].map(String))).toEqual(new Set(['10,11']))
})

test('who asks for a value of a payload is looked up, and the others are not asked', () => {
  let asked = 0
  const routes = new StreamRoutes<number>()
  const filters = Array.from({ length: subscribers }, (_, n) => {
    const interest: EventInterest = { event: 'bank.paid', equals: [{ column: 'amount', value: n }], holds: () => ((asked += 1), true) }
    return new StreamFilter(`of ${n}`, undefined, [interest])
  })
  filters.forEach((filter, n) => routes.add(filter, n))
  expect(routed(routes, commitOf([{ amount: 7 }, { amount: -7 }, { amount: 9 }]))).toEqual(new Map([[7, [7]], [9, [9]]]))
  expect(asked).toBe(2)
  filters.forEach((filter, n) => routes.remove(filter, n))
  expect([routes.distinct, routes.frames.events!.has('bank.paid'), routed(routes, commitOf([{ amount: 7 }])).size]).toEqual([0, false, 0])
})
