/**
 * The twelve consistency conditions of TPC-C (clause 3.3.2), over the rows of one moment: a snapshot in the middle of
 * the load, what recovery left, or what the stream of changes adds up to.
 *
 * Every table is read once, and folded into what is known of each warehouse, district, customer and order, whichever
 * row spoke of them first; then all of these are judged. Rows that speak of something that is not there break the
 * condition that counts them.
 */
import { deliveredAtLoad, type TpccScale } from './scale.js'
import type { TpccRow, TpccState } from './state.js'

export const conditions = {
  1: 'W_YTD = Σ D_YTD',
  2: 'D_NEXT_O_ID − 1 = max(O_ID) = max(NO_O_ID)',
  3: 'max(NO_O_ID) − min(NO_O_ID) + 1 = number of new orders',
  4: 'Σ O_OL_CNT = number of order lines, by district',
  5: 'O_CARRIER_ID is null where there is a new order, and only there',
  6: 'O_OL_CNT = number of order lines, by order',
  7: 'OL_DELIVERY_D is null where O_CARRIER_ID is, and only there',
  8: 'W_YTD = Σ H_AMOUNT',
  9: 'D_YTD = Σ H_AMOUNT',
  10: 'C_BALANCE = Σ OL_AMOUNT delivered − Σ H_AMOUNT',
  11: 'orders − new orders = those loaded as delivered + those delivered since',
  12: 'C_BALANCE + C_YTD_PAYMENT = Σ OL_AMOUNT delivered',
} as const
export type Condition = keyof typeof conditions

/** Ascending: objects with integer keys keep that order. */
export const conditionNumbers = Object.keys(conditions).map(Number) as readonly Condition[]

export interface Violation {
  /** Of the warehouse, district, customer or order: `[w]`, `[w, d]`, `[w, d, c]`, `[w, d, o]`. */
  readonly key: readonly number[]
  readonly what: string
}

export interface Finding {
  readonly condition: Condition
  readonly name: string
  /** How many keys were looked at. A condition that looked at nothing has not been met. */
  readonly checked: number
  readonly broken: number
  /** The first of them. */
  readonly violations: readonly Violation[]
}

export function holds({ checked, broken }: Finding): boolean {
  return checked > 0 && broken === 0
}

const violationsMax = 10

class Verdict {
  #checked = 0
  #broken = 0
  readonly #violations: Violation[] = []

  /** `what` is asked for only when it is needed. */
  expect(isMet: boolean, key: readonly number[], what: () => string): void {
    this.#checked += 1
    if (isMet) return
    this.#broken += 1
    if (this.#violations.length < violationsMax) this.#violations.push({ key, what: what() })
  }

  finding(condition: Condition): Finding {
    return { condition, name: conditions[condition], checked: this.#checked, broken: this.#broken, violations: [...this.#violations] }
  }
}

class WarehouseFacts {
  readonly key: readonly number[]
  row: TpccRow<'warehouse'> | undefined
  districtYtd = 0
  paid = 0

  constructor(...key: number[]) {
    this.key = key
  }
}

class DistrictFacts {
  readonly key: readonly number[]
  row: TpccRow<'district'> | undefined
  paid = 0
  orders = 0
  orderMax = 0
  lineCounts = 0
  lines = 0
  newOrders = 0
  newOrderMin = Infinity
  newOrderMax = 0
  deliveries = 0

  constructor(...key: number[]) {
    this.key = key
  }
}

class CustomerFacts {
  readonly key: readonly number[]
  row: TpccRow<'customer'> | undefined
  paid = 0
  deliveredAmount = 0

  constructor(...key: number[]) {
    this.key = key
  }
}

class OrderFacts {
  readonly key: readonly number[]
  row: TpccRow<'order'> | undefined
  isNew = false
  lines = 0
  linesDelivered = 0
  deliveredAmount = 0

  constructor(...key: number[]) {
    this.key = key
  }
}

/** What is known of the things of one kind, by key. */
class Facts<Fact extends { readonly key: readonly number[] }> {
  readonly #facts = new Map<number, Fact>()
  readonly #make: (...key: number[]) => Fact

  constructor(make: (...key: number[]) => Fact) {
    this.#make = make
  }

  of(w: number, d = 0, one = 0): Fact {
    const place = (w * 256 + d) * 2 ** 32 + one
    let fact = this.#facts.get(place)
    if (fact === undefined) this.#facts.set(place, (fact = this.#make(w, d, one)))
    return fact
  }

  [Symbol.iterator](): Iterator<Fact> {
    return this.#facts.values()
  }
}

/** All twelve, in order. */
export function checkConditions(state: TpccState, scale: TpccScale): Finding[] {
  const known = factsOf(state)
  const verdicts = new Map(conditionNumbers.map((condition) => [condition, new Verdict()]))
  const verdict = (condition: Condition): Verdict => verdicts.get(condition) as Verdict
  for (const warehouse of known.warehouses) judgeWarehouse(verdict, warehouse)
  for (const district of known.districts) judgeDistrict(verdict, district, deliveredAtLoad(scale))
  for (const order of known.orders) judgeOrder(verdict, order)
  for (const customer of known.customers) judgeCustomer(verdict, customer)
  return conditionNumbers.map((condition) => verdict(condition).finding(condition))
}

interface Known {
  readonly warehouses: Facts<WarehouseFacts>
  readonly districts: Facts<DistrictFacts>
  readonly customers: Facts<CustomerFacts>
  readonly orders: Facts<OrderFacts>
}

function factsOf(state: TpccState): Known {
  const warehouses = new Facts((w) => new WarehouseFacts(w))
  const districts = new Facts((w, d) => new DistrictFacts(w, d))
  const customers = new Facts((...key) => new CustomerFacts(...key))
  const orders = new Facts((...key) => new OrderFacts(...key))
  for (const row of state.warehouse) warehouses.of(row.w).row = row
  for (const row of state.district) {
    districts.of(row.w, row.d).row = row
    warehouses.of(row.w).districtYtd += row.ytd
  }
  for (const row of state.history) {
    warehouses.of(row.w).paid += row.amount
    districts.of(row.w, row.d).paid += row.amount
    customers.of(row.cw, row.cd, row.c).paid += row.amount
  }
  for (const row of state.customer) {
    customers.of(row.w, row.d, row.c).row = row
    districts.of(row.w, row.d).deliveries += row.deliveryCount
  }
  for (const row of state.order) {
    orders.of(row.w, row.d, row.o).row = row
    const district = districts.of(row.w, row.d)
    district.orders += 1
    district.lineCounts += row.lineCount
    district.orderMax = Math.max(district.orderMax, row.o)
  }
  for (const { w, d, o } of state.newOrder) {
    orders.of(w, d, o).isNew = true
    const district = districts.of(w, d)
    district.newOrders += 1
    district.newOrderMin = Math.min(district.newOrderMin, o)
    district.newOrderMax = Math.max(district.newOrderMax, o)
  }
  for (const { w, d, o, delivered, amount } of state.orderLine) {
    districts.of(w, d).lines += 1
    const order = orders.of(w, d, o)
    order.lines += 1
    if (delivered === null) continue
    order.linesDelivered += 1
    order.deliveredAmount += amount
  }
  for (const { row, deliveredAmount } of orders) {
    if (row !== undefined) customers.of(row.w, row.d, row.c).deliveredAmount += deliveredAmount
  }
  return { warehouses, districts, customers, orders }
}

type Verdicts = (condition: Condition) => Verdict

function judgeWarehouse(verdict: Verdicts, { key, row, districtYtd, paid }: WarehouseFacts): void {
  const ytd = row?.ytd
  verdict(1).expect(ytd === districtYtd, key, () => `W_YTD is ${ytd}, its districts have ${districtYtd}`)
  verdict(8).expect(ytd === paid, key, () => `W_YTD is ${ytd}, its history has ${paid}`)
}

function judgeDistrict(verdict: Verdicts, facts: DistrictFacts, delivered: number): void {
  const { key, row, orders, orderMax, newOrders, newOrderMin, newOrderMax, lineCounts, lines, paid, deliveries } = facts
  const last = row === undefined ? undefined : row.nextOrder - 1
  verdict(2).expect(last === orderMax && (newOrders === 0 || last === newOrderMax), key, () => {
    return `D_NEXT_O_ID − 1 is ${last}, the last order ${orderMax}, the last new order ${newOrders === 0 ? 'none' : newOrderMax}`
  })
  verdict(3).expect(newOrders === 0 || newOrderMax - newOrderMin + 1 === newOrders, key, () => {
    return `${newOrders} new orders from ${newOrderMin} to ${newOrderMax}`
  })
  verdict(4).expect(lineCounts === lines, key, () => `Σ O_OL_CNT is ${lineCounts}, there are ${lines} order lines`)
  verdict(9).expect(row?.ytd === paid, key, () => `D_YTD is ${row?.ytd}, its history has ${paid}`)
  verdict(11).expect(orders - newOrders === delivered + deliveries, key, () => {
    return `${orders} orders, ${newOrders} of them new; ${delivered} were loaded delivered and ${deliveries} delivered since`
  })
}

function judgeOrder(verdict: Verdicts, { key, row, isNew, lines, linesDelivered }: OrderFacts): void {
  const carrier = row?.carrier
  const isUndelivered = carrier === null
  verdict(5).expect(row !== undefined && isUndelivered === isNew, key, () => {
    return `O_CARRIER_ID is ${carrier}, and there is ${isNew ? 'a' : 'no'} new order`
  })
  verdict(6).expect(row?.lineCount === lines, key, () => `O_OL_CNT is ${row?.lineCount}, there are ${lines} order lines`)
  verdict(7).expect(row !== undefined && linesDelivered === (isUndelivered ? 0 : lines), key, () => {
    return `O_CARRIER_ID is ${carrier}, and ${linesDelivered} of ${lines} order lines are delivered`
  })
}

function judgeCustomer(verdict: Verdicts, { key, row, paid, deliveredAmount }: CustomerFacts): void {
  verdict(10).expect(row?.balance === deliveredAmount - paid, key, () => {
    return `C_BALANCE is ${row?.balance}, delivered is ${deliveredAmount}, paid ${paid}`
  })
  verdict(12).expect(row !== undefined && row.balance + row.ytdPayment === deliveredAmount, key, () => {
    return `C_BALANCE is ${row?.balance}, C_YTD_PAYMENT ${row?.ytdPayment}, delivered is ${deliveredAmount}`
  })
}
