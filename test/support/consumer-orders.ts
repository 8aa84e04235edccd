/** What consumers of the consumers-app must have made of its orders, whatever befell them on the way. */
import { expect } from 'vitest'
import { type Commit, type Consumer, type Database, type Delivery } from 'sluicedb'
import { note, post, shop } from './apps/consumers-app.js'
import { until } from './fixture.js'

type Orders = Commit<never, { readonly type: string; readonly payload: { readonly customer: string; readonly n: number } }>

export const ordered = [shop.events.ordered]
export const orderOf = (commit: { readonly events: readonly { readonly payload: unknown }[] }) => commit.events[0]!.payload as { customer: string; n: number }
export const byCustomer = (commit: { readonly events: readonly { readonly payload: unknown }[] }): string => orderOf(commit).customer
export type { Orders }

/** Notes an order, in two calls: whoever fails in between has made the first. */
export async function noteTwice(commit: { readonly events: readonly { readonly payload: unknown }[] }, delivery: Delivery, between: () => void = () => undefined): Promise<void> {
  const { customer, n } = orderOf(commit)
  await delivery.call(note, { customer, n })
  between()
  await delivery.call(note, { customer: `copy of ${customer}`, n })
}

/** Everything that is parked goes on, and everything durable is handled. */
export async function drained(consumer: Consumer): Promise<void> {
  await until(async () => {
    for (const { key } of consumer.parked({ state: 'parked' })) await consumer.unpark(key)
    const { isBehind, parked } = consumer.inspect()
    return !isBehind && parked === 0 && consumer.parked({ state: 'released', limit: 1 }).length === 0 // and its row says so
  }, 'nothing is parked, and nothing is left in the log')
}

/** Each order of a customer was noted once, in the order of the log, and its copy too. */
export function expectNoted(db: Database, isSkipped: (n: number) => boolean = () => false): number {
  const seen = new Map<string, number[]>()
  for (const { customer, n } of db.table(post.tables.seen)) seen.set(customer, [...(seen.get(customer) ?? []), n])
  const wanted = new Map<string, number[]>()
  let count = 0
  for (const { customer, n } of db.table(shop.tables.order)) {
    if (isSkipped(n)) continue
    wanted.set(customer, [...(wanted.get(customer) ?? []), n])
    count += 1
  }
  for (const [customer, list] of wanted) {
    expect(seen.get(customer), customer).toEqual(list)
    expect(seen.get(`copy of ${customer}`), `copy of ${customer}`).toEqual(list)
  }
  expect(seen.size).toBe(2 * wanted.size)
  return count
}
