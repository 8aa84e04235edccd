/**
 * The rows that TPC-C starts from (clause 4.3.3), by key: the same wherever and in whatever order they are asked for.
 *
 * Plain data that knows no database. Money is in cents, rates are in hundredths of a percent (1,234 is 12.34 %), times
 * in milliseconds. Short names stand for the columns of the specification: `w`, `d`, `c`, `o`, `i` for the parts of keys,
 * `nextOrder` for D_NEXT_O_ID. History has a key here, which the specification leaves to us: the customer and the
 * number of the payment among theirs, which is C_PAYMENT_CNT after it.
 */
import { Random } from '../marketplace/random.js'
import { distributionsOf, namesOf, type Distributions } from './distribution.js'
import { alphanumericText, drawNonUniform, lastName, maybeOriginal, numericText, stateName, zipCode } from './drawing.js'
import {
  checkScale, defaultSeed, deliveredAtLoad, districtIndex, districtsPerWarehouse, loadedAt, paidAtLoad, standardScale, type TpccScale,
  type TpccSettings,
} from './scale.js'

interface Address {
  readonly street1: string
  readonly street2: string
  readonly city: string
  readonly state: string
  readonly zip: string
}

export interface ItemRow {
  readonly i: number
  readonly image: number
  readonly name: string
  readonly price: number
  readonly data: string
}

export interface WarehouseRow extends Address {
  readonly w: number
  readonly name: string
  readonly tax: number
  readonly ytd: number
}

export interface DistrictRow extends Address {
  readonly w: number
  readonly d: number
  readonly name: string
  readonly tax: number
  readonly ytd: number
  readonly nextOrder: number
}

export interface StockRow {
  readonly w: number
  readonly i: number
  readonly quantity: number
  readonly dist1: string
  readonly dist2: string
  readonly dist3: string
  readonly dist4: string
  readonly dist5: string
  readonly dist6: string
  readonly dist7: string
  readonly dist8: string
  readonly dist9: string
  readonly dist10: string
  readonly ytd: number
  readonly orderCount: number
  readonly remoteCount: number
  readonly data: string
}

export interface CustomerRow extends Address {
  readonly w: number
  readonly d: number
  readonly c: number
  readonly first: string
  readonly middle: string
  readonly last: string
  readonly phone: string
  readonly since: number
  readonly credit: 'GC' | 'BC'
  readonly creditLimit: number
  readonly discount: number
  readonly balance: number
  readonly ytdPayment: number
  readonly paymentCount: number
  readonly deliveryCount: number
  readonly data: string
}

/** A payment: `cw`, `cd`, `c` is who paid, their `seq`-th time; `w`, `d` is where (H_W_ID, H_D_ID). */
export interface HistoryRow {
  readonly cw: number
  readonly cd: number
  readonly c: number
  readonly seq: number
  readonly w: number
  readonly d: number
  readonly date: number
  readonly amount: number
  readonly data: string
}

export interface OrderRow {
  readonly w: number
  readonly d: number
  readonly o: number
  readonly c: number
  readonly entered: number
  readonly carrier: number | null
  readonly lineCount: number
  readonly allLocal: boolean
}

export interface OrderLineRow {
  readonly w: number
  readonly d: number
  readonly o: number
  readonly n: number
  readonly item: number
  readonly supplier: number
  readonly delivered: number | null
  readonly quantity: number
  readonly amount: number
  readonly distInfo: string
}

export interface NewOrderRow {
  readonly w: number
  readonly d: number
  readonly o: number
}

/** Each table, and for customers each part of theirs, draws from streams of its own. */
const streams = { item: 1, warehouse: 2, district: 3, stock: 4, customer: 5, history: 6, order: 7, permutation: 8 } as const

const badCreditPercent = 10
const carriers = 10
const quantityAtLoad = 5

export class Population {
  readonly warehouses: number
  readonly scale: TpccScale
  readonly #seed: number
  readonly #distributions: Distributions

  constructor({ warehouses, scale = standardScale, seed = defaultSeed }: Pick<TpccSettings, 'warehouses' | 'scale' | 'seed'>) {
    checkScale(scale)
    this.warehouses = warehouses
    this.scale = scale
    this.#seed = seed
    this.#distributions = distributionsOf(scale, seed)
  }

  *items(): Generator<ItemRow> {
    for (let i = 1; i <= this.scale.items; i += 1) yield this.item(i)
  }

  item(i: number): ItemRow {
    const random = this.#random('item', i)
    const price = random.between(1_00, 100_00)
    const image = random.between(1, 10_000)
    return { i, image, name: alphanumericText(random, 14, 24), price, data: maybeOriginal(random) }
  }

  /** The first thing that is drawn of an item. */
  price(i: number): number {
    return this.#random('item', i).between(1_00, 100_00)
  }

  warehouse(w: number): WarehouseRow {
    const random = this.#random('warehouse', w)
    const ytd = districtsPerWarehouse * this.scale.customers * paidAtLoad
    return { w, name: alphanumericText(random, 6, 10), ...address(random), tax: random.between(0, 20_00), ytd }
  }

  *districts(w: number): Generator<DistrictRow> {
    const { customers } = this.scale
    for (let d = 1; d <= districtsPerWarehouse; d += 1) {
      const random = this.#random('district', districtIndex(w, d))
      const name = alphanumericText(random, 6, 10)
      const tax = random.between(0, 20_00)
      yield { w, d, name, ...address(random), tax, ytd: customers * paidAtLoad, nextOrder: customers + 1 }
    }
  }

  *stock(w: number): Generator<StockRow> {
    for (let i = 1; i <= this.scale.items; i += 1) yield this.stockOf(w, i)
  }

  stockOf(w: number, i: number): StockRow {
    const random = this.#random('stock', this.#stockPlace(w, i))
    const quantity = random.between(10, 100)
    const dist = (): string => alphanumericText(random, 24, 24)
    return {
      w, i, quantity,
      dist1: dist(), dist2: dist(), dist3: dist(), dist4: dist(), dist5: dist(),
      dist6: dist(), dist7: dist(), dist8: dist(), dist9: dist(), dist10: dist(),
      ytd: 0, orderCount: 0, remoteCount: 0, data: maybeOriginal(random),
    }
  }

  /** The first thing that is drawn of a stock. */
  stockQuantity(w: number, i: number): number {
    return this.#random('stock', this.#stockPlace(w, i)).between(10, 100)
  }

  *customers(w: number, d: number): Generator<CustomerRow> {
    for (let c = 1; c <= this.scale.customers; c += 1) yield this.#customer(w, d, c)
  }

  *history(w: number, d: number): Generator<HistoryRow> {
    for (let c = 1; c <= this.scale.customers; c += 1) {
      const data = alphanumericText(this.#random('history', this.#customerPlace(w, d, c)), 12, 24)
      yield { cw: w, cd: d, c, seq: 1, w, d, date: loadedAt, amount: paidAtLoad, data }
    }
  }

  /** Each with its lines. Every customer has one. */
  *orders(w: number, d: number): Generator<{ readonly order: OrderRow; readonly lines: readonly OrderLineRow[] }> {
    const customers = this.#permutation(districtIndex(w, d))
    const delivered = deliveredAtLoad(this.scale)
    for (let o = 1; o <= this.scale.customers; o += 1) {
      const random = this.#random('order', this.#customerPlace(w, d, o))
      const isDelivered = o <= delivered
      const carrier = isDelivered ? random.between(1, carriers) : null
      const lineCount = random.between(5, 15)
      const order = { w, d, o, c: customers[o - 1] as number, entered: loadedAt, carrier, lineCount, allLocal: true }
      yield { order, lines: Array.from({ length: lineCount }, (_, place) => this.#line(order, place + 1, isDelivered, random)) }
    }
  }

  *newOrders(w: number, d: number): Generator<NewOrderRow> {
    for (let o = deliveredAtLoad(this.scale) + 1; o <= this.scale.customers; o += 1) yield { w, d, o }
  }

  /** The number of the last name of a customer, which `lastName` spells out. */
  nameNumber(w: number, d: number, c: number): number {
    if (c <= namesOf(this.scale)) return c - 1
    return drawNonUniform(this.#random('customer', this.#customerPlace(w, d, c)), this.#distributions.loadedName)
  }

  /** The second thing that is drawn of a customer. */
  firstName(w: number, d: number, c: number): string {
    const random = this.#random('customer', this.#customerPlace(w, d, c))
    drawNonUniform(random, this.#distributions.loadedName)
    return alphanumericText(random, 8, 16)
  }

  #customer(w: number, d: number, c: number): CustomerRow {
    const random = this.#random('customer', this.#customerPlace(w, d, c))
    const drawn = drawNonUniform(random, this.#distributions.loadedName)
    const name = c <= namesOf(this.scale) ? c - 1 : drawn
    const first = alphanumericText(random, 8, 16)
    return {
      w, d, c, first, middle: 'OE', last: lastName(name), ...address(random), phone: numericText(random, 16),
      since: loadedAt, credit: random.between(1, 100) <= badCreditPercent ? 'BC' : 'GC', creditLimit: 50_000_00,
      discount: random.between(0, 50_00), balance: -paidAtLoad, ytdPayment: paidAtLoad, paymentCount: 1, deliveryCount: 0,
      data: alphanumericText(random, 300, 500),
    }
  }

  #line({ w, d, o }: OrderRow, n: number, isDelivered: boolean, random: Random): OrderLineRow {
    const item = random.between(1, this.scale.items)
    const amount = isDelivered ? 0 : random.between(1, 9_999_99)
    const distInfo = alphanumericText(random, 24, 24)
    const delivered = isDelivered ? loadedAt : null
    return { w, d, o, n, item, supplier: w, delivered, quantity: quantityAtLoad, amount, distInfo }
  }

  #permutation(district: number): Int32Array {
    const { customers } = this.scale
    const random = this.#random('permutation', district)
    const order = Int32Array.from({ length: customers }, (_, place) => place + 1)
    for (let last = customers - 1; last > 0; last -= 1) {
      const place = random.between(0, last)
      const moved = order[place] as number
      order[place] = order[last] as number
      order[last] = moved
    }
    return order
  }

  #customerPlace(w: number, d: number, c: number): number {
    return districtIndex(w, d) * this.scale.customers + c
  }

  #stockPlace(w: number, i: number): number {
    return (w - 1) * this.scale.items + i
  }

  #random(stream: keyof typeof streams, place: number): Random {
    return new Random(this.#seed * 16 + streams[stream], place)
  }
}

function address(random: Random): Address {
  return {
    street1: alphanumericText(random, 10, 20),
    street2: alphanumericText(random, 10, 20),
    city: alphanumericText(random, 10, 20),
    state: stateName(random),
    zip: zipCode(random),
  }
}
