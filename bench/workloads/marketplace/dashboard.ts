/**
 * T5, the seller's dashboard: two queries that must see the same moment. The caller brings the snapshot, and
 * the pause between them.
 */
import type { RowOf, Snapshot } from 'sluicedb'
import { seller } from './seller.js'

export type Entry = Readonly<RowOf<typeof seller.tables.entry>>

export interface Aggregate {
  readonly orders: number
  readonly items: number
  readonly quantity: number
  readonly totalItems: number
  readonly totalAmount: number
  readonly totalIncentive: number
  readonly totalInvoice: number
  readonly freight: number
}

export function aggregate(entries: Iterable<Entry>): Aggregate {
  const orders = new Set<number>()
  const sum = {
    items: 0,
    quantity: 0,
    totalItems: 0,
    totalAmount: 0,
    totalIncentive: 0,
    totalInvoice: 0,
    freight: 0,
  }
  for (const entry of entries) {
    orders.add(orderKey(entry.customer, entry.order))
    sum.items += 1
    sum.quantity += entry.quantity
    sum.totalItems += entry.totalItems
    sum.totalAmount += entry.totalAmount
    sum.totalIncentive += entry.totalIncentive
    sum.totalInvoice += entry.totalInvoice
    sum.freight += entry.freight
  }
  return { orders: orders.size, ...sum }
}

/** The first query: one row. All entries are open, as in the vmodb profile. */
export function totalsOf(snapshot: Snapshot, id: number): Aggregate {
  return aggregate(snapshot.table(seller.tables.entry).index.bySeller.get(id))
}

/** The second query: the entries behind it. */
export function entriesOf(snapshot: Snapshot, id: number): readonly Entry[] {
  return snapshot.table(seller.tables.entry).index.bySeller.get(id)
}

export function sameAggregate(a: Aggregate, b: Aggregate): boolean {
  return (Object.keys(a) as (keyof Aggregate)[]).every((name) => a[name] === b[name])
}

const ordersPerCustomerMax = 2 ** 24

/** One number for (customer, order), both far below their limits in any run. */
export function orderKey(customer: number, order: number): number {
  return customer * ordersPerCustomerMax + order
}

export function orderName(key: number): string {
  return `order ${Math.floor(key / ordersPerCustomerMax)}/${key % ordersPerCustomerMax}`
}
