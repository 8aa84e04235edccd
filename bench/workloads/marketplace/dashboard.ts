/**
 * What a seller's dashboard shows (T5): one row of totals, and the list that it totals. The totals come from a query
 * that groups, the judge's from adding up the list.
 */
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

const added = [
  'items',
  'quantity',
  'totalItems',
  'totalAmount',
  'totalIncentive',
  'totalInvoice',
  'freight',
] as const

type Amounts = Readonly<Record<(typeof added)[number], number>>

/** From what each open order comes to. */
export function totalsOf(orders: readonly Amounts[]): Aggregate {
  const sums = { items: 0, quantity: 0, totalItems: 0, totalAmount: 0, totalIncentive: 0, totalInvoice: 0, freight: 0 }
  for (const order of orders) {
    for (const name of added) sums[name] += order[name]
  }
  return { orders: orders.length, ...sums }
}

type Listed = Omit<Amounts, 'items'> & { readonly customer: number; readonly order: number }

/** From the entries themselves. */
export function aggregate(entries: Iterable<Listed>): Aggregate {
  const orders = new Set<number>()
  const listed: Amounts[] = []
  for (const entry of entries) {
    orders.add(orderKey(entry.customer, entry.order))
    listed.push({ ...entry, items: 1 })
  }
  return { ...totalsOf(listed), orders: orders.size }
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
