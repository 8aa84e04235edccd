/**
 * What a TPC-C run must have added up to, whatever the order in which its transactions took effect: what every
 * contestant reads from its tables, and what the plan itself reckons.
 *
 * Most of the state does not depend on the order. Sums do not, nor does a stock's quantity: it moves down by what was
 * ordered modulo 91, inside of 10 to 100. What does depend (which number an order got, which orders have been delivered, the
 * texts of bad credit) is left to the consistency conditions. Deliveries count here by their number alone, and for that no
 * district may run out of undelivered orders: `expectedTally` refuses a plan that comes close.
 */
import { Checksum } from '../../statistics.js'
import { namesOf } from './distribution.js'
import { rollsBack, transactionKinds, type TpccPlan } from './plan.js'
import { Population } from './population.js'
import { districtIndex, districtsPerWarehouse, paidAtLoad } from './scale.js'

export interface TpccTally {
  /** By warehouse, from the first. */
  readonly warehouseYtd: readonly number[]
  /** By district: those of warehouse 1, of warehouse 2, … */
  readonly districtYtd: readonly number[]
  readonly nextOrder: readonly number[]
  readonly orders: number
  readonly newOrders: number
  readonly orderLines: number
  readonly history: number
  /** Σ OL_AMOUNT. */
  readonly lineAmount: number
  /** Over all stock: Σ S_QUANTITY · S_I_ID, Σ S_YTD · S_I_ID, Σ S_ORDER_CNT, Σ S_REMOTE_CNT. */
  readonly stockQuantity: number
  readonly stockYtd: number
  readonly stockOrders: number
  readonly stockRemotes: number
  /** Over all customers: Σ C_YTD_PAYMENT, Σ C_PAYMENT_CNT · C_ID, Σ C_DELIVERY_CNT. */
  readonly paid: number
  readonly payments: number
  readonly deliveries: number
}

/** Of any contestant, equal for equal tallies. */
export function tpccDigest(tally: TpccTally): string {
  const checksum = new Checksum()
  for (const list of [tally.warehouseYtd, tally.districtYtd, tally.nextOrder]) for (const value of list) checksum.number(value)
  const sums = [
    tally.orders, tally.newOrders, tally.orderLines, tally.history, tally.lineAmount, tally.stockQuantity, tally.stockYtd,
    tally.stockOrders, tally.stockRemotes, tally.paid, tally.payments, tally.deliveries,
  ]
  for (const value of sums) checksum.number(value)
  return checksum.toString()
}

/** After the first `count` transactions of the plan. */
export function expectedTally(plan: TpccPlan, count: number): TpccTally {
  const totals = new Totals(plan)
  for (let step = 0; step < count; step += 1) totals.take(step % plan.transactions)
  return totals.tally()
}

class Totals {
  readonly #plan: TpccPlan
  readonly #population: Population
  readonly #warehouseYtd: Float64Array
  readonly #districtYtd: Float64Array
  readonly #nextOrder: Float64Array
  readonly #undelivered: Float64Array
  readonly #quantities: Uint8Array
  readonly #prices: Int32Array
  readonly #middles = new Map<number, number>()
  #orderLines = 0
  #lineAmount = 0
  #stockYtd = 0
  #stockOrders = 0
  #stockRemotes = 0
  #paid: number
  #payments: number
  #history: number
  #deliveries = 0

  constructor(plan: TpccPlan) {
    const { warehouses, scale } = plan
    const { customers, items } = scale
    const districts = warehouses * districtsPerWarehouse
    this.#plan = plan
    this.#population = new Population(plan)
    this.#warehouseYtd = new Float64Array(warehouses).fill(districtsPerWarehouse * customers * paidAtLoad)
    this.#districtYtd = new Float64Array(districts).fill(customers * paidAtLoad)
    this.#nextOrder = new Float64Array(districts).fill(customers + 1)
    this.#undelivered = new Float64Array(districts).fill(scale.newOrders)
    this.#prices = Int32Array.from({ length: items + 1 }, (_, i) => (i === 0 ? 0 : this.#population.price(i)))
    this.#quantities = new Uint8Array(warehouses * items)
    for (let w = 1; w <= warehouses; w += 1) {
      for (let i = 1; i <= items; i += 1) this.#quantities[(w - 1) * items + i - 1] = this.#population.stockQuantity(w, i)
      for (let d = 1; d <= districtsPerWarehouse; d += 1) this.#takeLoadedOrders(w, d)
    }
    this.#paid = districts * customers * paidAtLoad
    this.#payments = (districts * customers * (customers + 1)) / 2
    this.#history = districts * customers
  }

  #takeLoadedOrders(w: number, d: number): void {
    for (const { lines } of this.#population.orders(w, d)) {
      this.#orderLines += lines.length
      for (const { amount } of lines) this.#lineAmount += amount
    }
  }

  take(n: number): void {
    switch (transactionKinds[this.#plan.kind[n] as number]) {
      case 'newOrder':
        if (!rollsBack(this.#plan, n)) this.#takeNewOrder(n)
        return
      case 'payment':
        return this.#takePayment(n)
      case 'delivery':
        return this.#takeDelivery(n)
    }
  }

  #takeNewOrder(n: number): void {
    const { lineStart, item, supplier, quantity, scale } = this.#plan
    const w = this.#plan.w[n] as number
    const district = districtIndex(w, this.#plan.d[n] as number)
    this.#nextOrder[district]! += 1
    this.#undelivered[district]! += 1
    for (let line = lineStart[n] as number; line < (lineStart[n + 1] as number); line += 1) {
      const i = item[line] as number
      const ordered = quantity[line] as number
      this.#orderLines += 1
      this.#lineAmount += ordered * (this.#prices[i] as number)
      this.#stockYtd += ordered * i
      this.#stockOrders += 1
      if (supplier[line] !== w) this.#stockRemotes += 1
      const place = ((supplier[line] as number) - 1) * scale.items + i - 1
      const left = this.#quantities[place] as number
      this.#quantities[place] = left >= ordered + 10 ? left - ordered : left - ordered + 91
    }
  }

  #takePayment(n: number): void {
    const { w, d, cw, cd, c, name, amount } = this.#plan
    const paid = amount[n] as number
    this.#warehouseYtd[(w[n] as number) - 1]! += paid
    this.#districtYtd[districtIndex(w[n] as number, d[n] as number)]! += paid
    this.#paid += paid
    this.#payments += (c[n] as number) || this.#middleOf(cw[n] as number, cd[n] as number, name[n] as number)
    this.#history += 1
  }

  #takeDelivery(n: number): void {
    const w = this.#plan.w[n] as number
    for (let d = 1; d <= districtsPerWarehouse; d += 1) {
      const district = districtIndex(w, d)
      const left = (this.#undelivered[district] as number) - 1
      // Whoever runs many at once runs them a little out of order: half of the load is far more than that little.
      if (left < this.#plan.scale.newOrders / 2) {
        throw new RangeError(`district ${d} of warehouse ${w} comes close to having nothing to deliver: load more new orders, or draw less`)
      }
      this.#undelivered[district] = left
      this.#deliveries += 1
    }
  }

  /** Whom a last name means: of those who have it, sorted by first name, the one at ⌈n / 2⌉ (clause 2.5.2.2). */
  #middleOf(w: number, d: number, name: number): number {
    const district = districtIndex(w, d)
    const names = namesOf(this.#plan.scale)
    const known = this.#middles.get(district * names + name)
    if (known !== undefined) return known
    const population = this.#population
    const groups = Array.from({ length: names }, (): number[] => [])
    for (let c = 1; c <= this.#plan.scale.customers; c += 1) groups[population.nameNumber(w, d, c)]?.push(c)
    for (const [number, group] of groups.entries()) {
      const sorted = group.map((c) => ({ c, first: population.firstName(w, d, c) })).sort((a, b) => (a.first < b.first ? -1 : 1))
      this.#middles.set(district * names + number, sorted[Math.ceil(sorted.length / 2) - 1]?.c ?? 0)
    }
    return this.#middles.get(district * names + name) as number
  }

  tally(): TpccTally {
    const { warehouses, scale } = this.#plan
    const sum = (values: Float64Array): number => values.reduce((all, value) => all + value, 0)
    const districts = warehouses * districtsPerWarehouse
    let stockQuantity = 0
    for (const [place, quantity] of this.#quantities.entries()) stockQuantity += quantity * ((place % scale.items) + 1)
    return {
      warehouseYtd: [...this.#warehouseYtd],
      districtYtd: [...this.#districtYtd],
      nextOrder: [...this.#nextOrder],
      orders: sum(this.#nextOrder) - districts,
      newOrders: sum(this.#undelivered),
      orderLines: this.#orderLines,
      history: this.#history,
      lineAmount: this.#lineAmount,
      stockQuantity,
      stockYtd: this.#stockYtd,
      stockOrders: this.#stockOrders,
      stockRemotes: this.#stockRemotes,
      paid: this.#paid,
      payments: this.#payments,
      deliveries: this.#deliveries,
    }
  }
}
