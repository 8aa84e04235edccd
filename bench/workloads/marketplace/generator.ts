/**
 * The workload: population, mix and parameters of the full profile.
 *
 * A plan is one pick of the mix; plan n is a function of the seed and of n, and for updates of what earlier
 * plans did to the same product. So plans are drawn in order, and the updates of one product run in order
 * (the driver sees to it). Each transaction of a plan has the request id `plan.step`, and an id names its
 * input: nothing about a run has to be written down to repeat it.
 *
 * Why prices are computed here and not in the procedure: "+1..9 % of the current price, for the version I
 * know" is what the original's clients send, and it is the version check that is worth exercising.
 */
import type { Database, InputOf, Receipt } from 'sluicedb'
import { addItem, checkout } from './cart.js'
import { addCustomer } from './customer.js'
import { buyer, merchant, payer } from './people.js'
import { addProduct, deleteProduct, updatePrice, updateProduct } from './product.js'
import { Random, ranks } from './random.js'
import { addSeller } from './seller.js'
import { updateDelivery } from './shipment.js'

export interface WorkloadOptions {
  readonly seed: number
  readonly customers: number
  readonly products: number
  /** Units in stock per product at the start. */
  readonly quantity: number
  /** 0 picks products uniformly; larger values make some of them hot. */
  readonly skew: number
}

export const workloadDefaults: WorkloadOptions = {
  seed: 1,
  customers: 10_000,
  products: 10_000,
  quantity: 10_000,
  skew: 0,
}

export const productsPerSeller = 10
const sessionItemsMax = 10
const itemQuantityMax = 10
const voucherPercent = 10
const voucherProbability = 0.05
const priceMax = 9_999
const freightMax = 999

/** Of the plans that pick a product: one in ten takes it off the market instead of replacing it. */
const deleteProbability = 0.1

/** Cumulative, of a pick from 0 to 100: 30.7 % sessions, 5 % dashboards, 3 % prices, 2 % products, 59.4 % deliveries. */
const thresholds = { session: 30, dashboard: 35, price: 38, product: 40 } as const

/** One transaction, with everything that is needed to run it again. */
export type Step =
  | { readonly kind: 'addItem'; readonly id: string; readonly input: InputOf<typeof addItem> }
  | { readonly kind: 'checkout'; readonly id: string; readonly input: InputOf<typeof checkout> }
  | { readonly kind: 'updatePrice'; readonly id: string; readonly input: InputOf<typeof updatePrice> }
  | { readonly kind: 'updateProduct'; readonly id: string; readonly input: InputOf<typeof updateProduct> }
  | { readonly kind: 'deleteProduct'; readonly id: string; readonly input: InputOf<typeof deleteProduct> }
  | { readonly kind: 'delivery'; readonly id: string; readonly input: InputOf<typeof updateDelivery> }
  | { readonly kind: 'addSeller'; readonly id: string; readonly input: InputOf<typeof addSeller> }
  | { readonly kind: 'addCustomer'; readonly id: string; readonly input: InputOf<typeof addCustomer> }
  | { readonly kind: 'addProduct'; readonly id: string; readonly input: InputOf<typeof addProduct> }

/**
 * One pick of the mix. Its steps run one after the other; a dashboard has none, for it is a read on the
 * caller's side.
 */
export interface Plan {
  readonly plan: number
  readonly kind: 'session' | 'price' | 'product' | 'dashboard' | 'delivery'
  /** What must not be touched by two plans at once: a leased customer, or a product under update. */
  readonly exclusive: string | undefined
  readonly steps: readonly Step[]
  /** The seller of a dashboard. */
  readonly seller: number
}

/** Sends a step, under its id unless told otherwise: a replay has no use for a record of outcomes. */
export function submit(db: Database, step: Step, identified = true): Promise<Receipt<unknown>> {
  const options = identified ? { id: step.id } : {}
  switch (step.kind) {
    case 'addItem':
      return db.submit(addItem, step.input, options)
    case 'checkout':
      return db.submit(checkout, step.input, options)
    case 'updatePrice':
      return db.submit(updatePrice, step.input, options)
    case 'updateProduct':
      return db.submit(updateProduct, step.input, options)
    case 'deleteProduct':
      return db.submit(deleteProduct, step.input, options)
    case 'delivery':
      return db.submit(updateDelivery, step.input, options)
    case 'addSeller':
      return db.submit(addSeller, step.input, options)
    case 'addCustomer':
      return db.submit(addCustomer, step.input, options)
    case 'addProduct':
      return db.submit(addProduct, step.input, options)
  }
}

/** What the clients know of a product. */
interface Known {
  price: number
  version: number
  isDeleted: boolean
}

export class Workload {
  readonly options: WorkloadOptions
  readonly sellers: number
  readonly #catalogue: Known[] = []
  readonly #rankOfProduct: (random: Random) => number
  #next = 1

  constructor(options: WorkloadOptions) {
    this.options = options
    this.sellers = Math.ceil(options.products / productsPerSeller)
    this.#rankOfProduct = ranks(options.products, options.skew)
    for (let product = 0; product < options.products; product += 1) {
      this.#catalogue.push({ price: this.#describe(product, 0).price, version: 0, isDeleted: false })
    }
  }

  /** Sellers, customers and products with stock and replica, in the order in which they may be loaded. */
  *population(): IterableIterator<Step> {
    const { seed, customers, products, quantity } = this.options
    for (let id = 0; id < this.sellers; id += 1)
      yield { kind: 'addSeller', id: `seller.${id}`, input: merchant(seed, id) }
    for (let id = 0; id < customers; id += 1)
      yield { kind: 'addCustomer', id: `customer.${id}`, input: buyer(seed, id) }
    for (let product = 0; product < products; product += 1) {
      yield {
        kind: 'addProduct',
        id: `product.${product}`,
        input: { ...this.#describe(product, 0), quantity },
      }
    }
  }

  /** The number of the plan that `next()` will draw. */
  get upcoming(): number {
    return this.#next
  }

  next(): Plan {
    const plan = this.#next
    this.#next += 1
    const random = new Random(this.options.seed, plan)
    const choice = random.between(0, 100)
    if (choice <= thresholds.session) return this.#session(plan, random)
    if (choice <= thresholds.dashboard) {
      return {
        plan,
        kind: 'dashboard',
        exclusive: undefined,
        steps: [],
        seller: random.between(0, this.sellers - 1),
      }
    }
    if (choice <= thresholds.price) return this.#price(plan, random)
    if (choice <= thresholds.product) return this.#product(plan, random)
    const step: Step = { kind: 'delivery', id: `${plan}.0`, input: { instance: plan } }
    return { plan, kind: 'delivery', exclusive: undefined, steps: [step], seller: -1 }
  }

  #session(plan: number, random: Random): Plan {
    const customer = random.between(0, this.options.customers - 1)
    const wanted = Math.min(random.between(1, sessionItemsMax), this.sellers)
    const steps: Step[] = []
    const chosen = new Set<number>()
    while (steps.length < wanted) {
      const product = this.#rankOfProduct(random)
      const seller = sellerOf(product)
      if (chosen.has(seller)) continue // one line per seller in a cart, as in the vmodb configuration
      chosen.add(seller)
      const input = {
        customer,
        seller,
        product,
        quantity: random.between(1, itemQuantityMax),
        voucherPercent: random.fraction() < voucherProbability ? voucherPercent : 0,
        instance: plan,
      }
      steps.push({ kind: 'addItem', id: `${plan}.${steps.length}`, input })
    }
    const input = { ...payer(this.options.seed, customer, random), customer, instance: plan }
    steps.push({ kind: 'checkout', id: `${plan}.${steps.length}`, input })
    return { plan, kind: 'session', exclusive: `customer ${customer}`, steps, seller: -1 }
  }

  #price(plan: number, random: Random): Plan {
    const product = this.#rankOfProduct(random)
    const known = this.#catalogue[product]!
    const percent = random.between(1, 9)
    known.price += Math.max(1, Math.round((known.price * percent) / 100)) // only ever up
    const input = {
      seller: sellerOf(product),
      product,
      price: known.price,
      version: known.version,
      instance: plan,
    }
    const step: Step = { kind: 'updatePrice', id: `${plan}.0`, input }
    return { plan, kind: 'price', exclusive: `product ${product}`, steps: [step], seller: -1 }
  }

  #product(plan: number, random: Random): Plan {
    const product = this.#rankOfProduct(random)
    const known = this.#catalogue[product]!
    let step: Step
    if (!known.isDeleted && random.fraction() < deleteProbability) {
      known.version = plan
      known.isDeleted = true
      const input = { seller: sellerOf(product), product, version: plan, instance: plan }
      step = { kind: 'deleteProduct', id: `${plan}.0`, input }
    } else {
      const described = this.#describe(product, plan)
      this.#catalogue[product] = { price: described.price, version: plan, isDeleted: false }
      step = { kind: 'updateProduct', id: `${plan}.0`, input: { ...described, instance: plan } }
    }
    return { plan, kind: 'product', exclusive: `product ${product}`, steps: [step], seller: -1 }
  }

  #describe(product: number, version: number) {
    const random = new Random(this.options.seed ^ 0x5bd1e995, product * 7_919 + version)
    return {
      seller: sellerOf(product),
      product,
      name: `${random.pick(adjectives)} ${random.pick(things)} ${product}`,
      sku: `SKU-${product.toString(36)}-${random.word().toString(36)}`,
      category: random.pick(categories),
      description: `${random.pick(adjectives)}, ${random.pick(adjectives)}, from seller ${sellerOf(product)}`,
      price: random.between(0, priceMax),
      freight: random.between(0, freightMax),
      status: 'approved' as const,
      version,
    }
  }
}

/**
 * The inputs of a run by request id, for a reader that meets the ids roughly in the order of their plans.
 * Plans are drawn when they are first asked for, and forgotten when all their steps have been taken.
 */
export class Inputs {
  readonly #workload: Workload
  readonly #population = new Map<string, Step>()
  readonly #plans = new Map<number, { readonly steps: readonly Step[]; left: number }>()
  readonly #plansMax: number

  /** `plansMax`: an id beyond it was never handed out. */
  constructor(options: WorkloadOptions, plansMax: number) {
    this.#workload = new Workload(options)
    this.#plansMax = plansMax
    for (const step of this.#workload.population()) this.#population.set(step.id, step)
  }

  /** The step of that id, once; undefined when the run had no such request or it was taken before. */
  take(id: string): Step | undefined {
    const populated = this.#population.get(id)
    if (populated) {
      this.#population.delete(id)
      return populated
    }
    const address = addressOf(id)
    if (!address || address.plan > this.#plansMax) return undefined
    while (this.#workload.upcoming <= address.plan) {
      const { plan, steps } = this.#workload.next()
      if (steps.length > 0) this.#plans.set(plan, { steps: [...steps], left: steps.length })
    }
    const drawn = this.#plans.get(address.plan)
    const step = drawn?.steps[address.step]
    if (!drawn || !step) return undefined
    drawn.left -= 1
    delete (drawn.steps as Step[])[address.step]
    if (drawn.left === 0) this.#plans.delete(address.plan)
    return step
  }
}

/** `'4711.3'` is step 3 of plan 4711; undefined for the ids of the population and for strangers. */
export function addressOf(id: string): { readonly plan: number; readonly step: number } | undefined {
  const match = /^([1-9]\d{0,9})\.(\d{1,2})$/.exec(id)
  return match ? { plan: Number(match[1]), step: Number(match[2]) } : undefined
}

export function sellerOf(product: number): number {
  return Math.floor(product / productsPerSeller)
}

const adjectives = [
  'Sturdy',
  'Gentle',
  'Brisk',
  'Quiet',
  'Copper',
  'Woven',
  'Nordic',
  'Plain',
  'Folding',
  'Amber',
] as const
const things = [
  'Kettle',
  'Lamp',
  'Chair',
  'Notebook',
  'Jacket',
  'Bicycle',
  'Clock',
  'Basket',
  'Radio',
  'Tent',
] as const
const categories = ['home', 'office', 'sports', 'fashion', 'garden'] as const
