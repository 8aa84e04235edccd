/**
 * The transactions of a TPC-C run, drawn in advance: the same for every contestant.
 *
 * Everything is a number in a column of its own, so that a plan of a million transactions weighs nothing on the heap of
 * whoever plays it. `tpccInput` gives one as an object; who is in a hurry reads the columns. Input n is drawn from
 * (seed, n) alone: whoever was not there when it was drawn can draw it again.
 *
 * What each transaction does is clause 2.4 to 2.8 of the specification, said once in transactions.ts; what all of it
 * adds up to is in tally.ts.
 */
import { Random } from '../marketplace/random.js'
import { distributionsOf, type Distributions } from './distribution.js'
import { drawNonUniform, lastName } from './drawing.js'
import { checkScale, defaultSeed, districtsPerWarehouse, standardScale, type TpccScale, type TpccSettings } from './scale.js'

export const transactionKinds = ['newOrder', 'payment', 'orderStatus', 'delivery', 'stockLevel'] as const
export type TransactionKind = (typeof transactionKinds)[number]

/** `supplier` is the warehouse that supplies `item`. */
export interface NewOrderLine {
  readonly item: number
  readonly supplier: number
  readonly quantity: number
}

export interface NewOrderInput {
  readonly w: number
  readonly d: number
  readonly c: number
  /** 5 to 15. In one of a hundred inputs the last item does not exist: the transaction must undo what it did. */
  readonly lines: readonly NewOrderLine[]
}

/** A customer is asked for by number (`c`), or else by last name: then the middle one, by first name, is meant. */
export interface PaymentInput {
  readonly w: number
  readonly d: number
  readonly cw: number
  readonly cd: number
  readonly c: number | null
  readonly last: string | null
  readonly amount: number
}

export interface OrderStatusInput {
  readonly w: number
  readonly d: number
  readonly c: number | null
  readonly last: string | null
}

export interface DeliveryInput {
  readonly w: number
  readonly carrier: number
}

export interface StockLevelInput {
  readonly w: number
  readonly d: number
  readonly threshold: number
}

export type TpccInput =
  | { readonly kind: 'newOrder'; readonly input: NewOrderInput }
  | { readonly kind: 'payment'; readonly input: PaymentInput }
  | { readonly kind: 'orderStatus'; readonly input: OrderStatusInput }
  | { readonly kind: 'delivery'; readonly input: DeliveryInput }
  | { readonly kind: 'stockLevel'; readonly input: StockLevelInput }

/** What is not said about a transaction is 0. Keys are numbered from 1, so 0 is nobody. */
export interface TpccPlan extends TpccSettings {
  readonly scale: TpccScale
  readonly seed: number
  /** Place of the kind in `transactionKinds`. */
  readonly kind: Uint8Array
  readonly w: Uint16Array
  /** 0 for a delivery, which serves all districts. */
  readonly d: Uint8Array
  /** The customer, or 0: by last name. */
  readonly c: Int32Array
  /** Number of the last name (`lastName` spells it), where `c` is 0. */
  readonly name: Int16Array
  /** Of a payment: where the customer is at home. */
  readonly cw: Uint16Array
  readonly cd: Uint8Array
  /** Of a payment: cents. Of a delivery: the carrier. Of a stock level: the threshold. */
  readonly amount: Int32Array
  /** Lines of transaction n: `lineStart[n]` to before `lineStart[n + 1]` in the next three. */
  readonly lineStart: Int32Array
  readonly item: Int32Array
  readonly supplier: Uint16Array
  readonly quantity: Uint8Array
}

const shares = {
  standard: { newOrder: 45, payment: 43, orderStatus: 4, delivery: 4, stockLevel: 4 },
  newOrder: { newOrder: 100, payment: 0, orderStatus: 0, delivery: 0, stockLevel: 0 },
  payment: { newOrder: 0, payment: 100, orderStatus: 0, delivery: 0, stockLevel: 0 },
} as const satisfies Record<TpccSettings['mix'], Record<TransactionKind, number>>

const linesMin = 5
const linesMax = 15
const quantityMax = 10
const carriers = 10
const [paymentMin, paymentMax] = [1_00, 5_000_00]
const [thresholdMin, thresholdMax] = [10, 20]
const rollbackPercent = 1
const byNamePercent = 60
const remoteLinesDefault = 1
const remotePaymentsDefault = 15

/** The streams of inputs are not those of the population, whatever its seed. */
const inputStream = 15

export function tpccPlan(settings: TpccSettings): TpccPlan {
  const { warehouses, transactions, scale = standardScale, seed = defaultSeed } = settings
  checkScale(scale)
  if (warehouses < 1 || warehouses > 0xffff) throw new RangeError(`${warehouses} warehouses cannot be planned`)
  const plan: TpccPlan = {
    ...settings, scale, seed,
    kind: new Uint8Array(transactions), w: new Uint16Array(transactions), d: new Uint8Array(transactions),
    c: new Int32Array(transactions), name: new Int16Array(transactions),
    cw: new Uint16Array(transactions), cd: new Uint8Array(transactions), amount: new Int32Array(transactions),
    lineStart: new Int32Array(transactions + 1),
    item: new Int32Array(transactions * linesMax), supplier: new Uint16Array(transactions * linesMax),
    quantity: new Uint8Array(transactions * linesMax),
  }
  const distributions = distributionsOf(scale, seed)
  for (let n = 0; n < transactions; n += 1) draw(plan, distributions, n)
  const lines = plan.lineStart[transactions] as number
  return { ...plan, item: plan.item.slice(0, lines), supplier: plan.supplier.slice(0, lines), quantity: plan.quantity.slice(0, lines) }
}

function draw(plan: TpccPlan, distributions: Distributions, n: number): void {
  const { warehouses, mix } = plan
  const random = new Random(plan.seed * 16 + inputStream, n)
  const kind = drawKind(random, mix)
  plan.kind[n] = transactionKinds.indexOf(kind)
  plan.w[n] = random.between(1, warehouses)
  plan.lineStart[n + 1] = plan.lineStart[n] as number
  if (kind !== 'delivery') plan.d[n] = random.between(1, districtsPerWarehouse)
  switch (kind) {
    case 'newOrder':
      plan.c[n] = drawNonUniform(random, distributions.customer)
      return drawLines(plan, distributions, n, random)
    case 'payment':
      drawHome(plan, n, random)
      drawCustomer(plan, distributions, n, random)
      plan.amount[n] = random.between(paymentMin, paymentMax)
      return
    case 'orderStatus':
      return drawCustomer(plan, distributions, n, random)
    case 'delivery':
      plan.amount[n] = random.between(1, carriers)
      return
    case 'stockLevel':
      plan.amount[n] = random.between(thresholdMin, thresholdMax)
  }
}

function drawKind(random: Random, mix: TpccSettings['mix']): TransactionKind {
  let percent = random.between(1, 100)
  for (const kind of transactionKinds) {
    percent -= shares[mix][kind]
    if (percent <= 0) return kind
  }
  throw new Error(`the shares of "${mix}" do not add up to 100`)
}

function drawLines(plan: TpccPlan, distributions: Distributions, n: number, random: Random): void {
  const { warehouses, scale, remoteLines = remoteLinesDefault } = plan
  const start = plan.lineStart[n] as number
  const end = start + random.between(linesMin, linesMax)
  const rollsBack = random.between(1, 100) <= rollbackPercent
  for (let line = start; line < end; line += 1) {
    const isUnused = rollsBack && line === end - 1
    plan.item[line] = isUnused ? scale.items + 1 : drawNonUniform(random, distributions.item)
    const isRemote = random.between(1, 100) <= remoteLines && warehouses > 1
    plan.supplier[line] = isRemote ? otherWarehouse(plan, n, random) : (plan.w[n] as number)
    plan.quantity[line] = random.between(1, quantityMax)
  }
  plan.lineStart[n + 1] = end
}

function drawHome(plan: TpccPlan, n: number, random: Random): void {
  const { warehouses, remotePayments = remotePaymentsDefault } = plan
  const isRemote = random.between(1, 100) <= remotePayments && warehouses > 1
  plan.cw[n] = isRemote ? otherWarehouse(plan, n, random) : (plan.w[n] as number)
  plan.cd[n] = isRemote ? random.between(1, districtsPerWarehouse) : (plan.d[n] as number)
}

function drawCustomer(plan: TpccPlan, distributions: Distributions, n: number, random: Random): void {
  if (random.between(1, 100) <= byNamePercent) plan.name[n] = drawNonUniform(random, distributions.askedName)
  else plan.c[n] = drawNonUniform(random, distributions.customer)
}

function otherWarehouse({ warehouses, w }: TpccPlan, n: number, random: Random): number {
  const other = random.between(1, warehouses - 1)
  return other < (w[n] as number) ? other : other + 1
}

/** Transaction n of the plan. Past its end the plan starts over. */
export function tpccInput(plan: TpccPlan, n: number): TpccInput {
  const drawn = n % plan.transactions
  switch (transactionKinds[plan.kind[drawn] as number]) {
    case 'newOrder':
      return { kind: 'newOrder', input: newOrderInput(plan, drawn) }
    case 'payment':
      return { kind: 'payment', input: paymentInput(plan, drawn) }
    case 'orderStatus':
      return { kind: 'orderStatus', input: { w: plan.w[drawn] as number, d: plan.d[drawn] as number, ...customerOf(plan, drawn) } }
    case 'delivery':
      return { kind: 'delivery', input: { w: plan.w[drawn] as number, carrier: plan.amount[drawn] as number } }
    case 'stockLevel':
      return { kind: 'stockLevel', input: { w: plan.w[drawn] as number, d: plan.d[drawn] as number, threshold: plan.amount[drawn] as number } }
    default:
      throw new RangeError(`the plan has no transaction ${n}`)
  }
}

export function newOrderInput(plan: TpccPlan, n: number): NewOrderInput {
  const start = plan.lineStart[n] as number
  const end = plan.lineStart[n + 1] as number
  const lines: NewOrderLine[] = []
  for (let line = start; line < end; line += 1) {
    const supplier = plan.supplier[line] as number
    lines.push({ item: plan.item[line] as number, supplier, quantity: plan.quantity[line] as number })
  }
  return { w: plan.w[n] as number, d: plan.d[n] as number, c: plan.c[n] as number, lines }
}

export function paymentInput(plan: TpccPlan, n: number): PaymentInput {
  const { c, last } = customerOf(plan, n)
  return {
    w: plan.w[n] as number, d: plan.d[n] as number, cw: plan.cw[n] as number, cd: plan.cd[n] as number,
    c, last, amount: plan.amount[n] as number,
  }
}

function customerOf(plan: TpccPlan, n: number): { readonly c: number | null; readonly last: string | null } {
  const c = plan.c[n] as number
  return c > 0 ? { c, last: null } : { c: null, last: lastName(plan.name[n] as number) }
}

/** Is transaction n a NewOrder that must roll back? */
export function rollsBack(plan: TpccPlan, n: number): boolean {
  const end = plan.lineStart[n + 1] as number
  return end > (plan.lineStart[n] as number) && (plan.item[end - 1] as number) > plan.scale.items
}
