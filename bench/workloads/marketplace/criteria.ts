/**
 * Criteria 1–8 over one snapshot. 11 and 12 need the log and are in replay.ts and log.ts.
 *
 * `checkState` reads every table once and folds what belongs to an order into one `OrderFacts`; `spotCheck`
 * gathers the same facts for a few customers and products by key, cheap enough to run on snapshots in the
 * middle of the load. Both are judged by the same code. "At all times" (criteria 4 and 5) means: at every
 * snapshot that anybody took.
 */
import type { RowOf, Snapshot } from 'sluicedb'
import { cart } from './cart.js'
import {
  aggregate,
  entriesOf,
  orderKey,
  orderName,
  sameAggregate,
  totalsOf,
  type Entry,
} from './dashboard.js'
import { order } from './order.js'
import { payment } from './payment.js'
import { product } from './product.js'
import { seller } from './seller.js'
import { shipment } from './shipment.js'
import { stock } from './stock.js'
import { Verdict, type Finding } from './verdict.js'

type Order = Readonly<RowOf<typeof order.tables.order>>
type Item = Readonly<RowOf<typeof order.tables.item>>
type Payment = Readonly<RowOf<typeof payment.tables.payment>>
type Shipment = Readonly<RowOf<typeof shipment.tables.shipment>>
type Package = Readonly<RowOf<typeof shipment.tables.package>>
type Product = Readonly<RowOf<typeof product.tables.product>>
type Line = Readonly<RowOf<typeof cart.tables.item>>

const spotCheckLinesMax = 500

/** Everything that says "there is an order": whichever of the six tables spoke first, all must agree. */
class OrderFacts {
  order: Order | undefined
  shipment: Shipment | undefined
  histories = 0
  payments = 0
  paid = 0
  paidByVoucher = 0
  items = 0
  itemsTotal = 0
  itemsIncentive = 0
  itemsAmount = 0
  itemsFreight = 0
  packages = 0
  packagesFreight = 0
  entries = 0
  entriesInvoice = 0
  entriesAmountAndFreight = 0
  entriesIncentive = 0
  /** Lines with wrong arithmetic, and items that are still in a cart. */
  badItems = 0
  stillInCart = 0

  addItem(item: Item, line: Line | undefined): void {
    this.items += 1
    this.itemsTotal += item.totalItems
    this.itemsIncentive += item.totalIncentive
    this.itemsAmount += item.totalAmount
    this.itemsFreight += item.freight
    const right =
      item.totalItems === item.unitPrice * item.quantity &&
      item.totalAmount === item.totalItems - item.totalIncentive &&
      item.totalIncentive >= 0 &&
      item.totalAmount >= 0
    if (!right) this.badItems += 1
    if (line && line.addedBy === item.addedBy) this.stillInCart += 1
  }

  addPayment(paid: Payment): void {
    this.payments += 1
    if (paid.type === 'VOUCHER') this.paidByVoucher += paid.value
    else this.paid += paid.value
  }

  addPackage(parcel: Package): void {
    this.packages += 1
    this.packagesFreight += parcel.freight
  }

  addEntry(entry: Entry): void {
    this.entries += 1
    this.entriesInvoice += entry.totalInvoice
    this.entriesAmountAndFreight += entry.totalAmount + entry.freight
    this.entriesIncentive += entry.totalIncentive
  }
}

class StateVerdicts {
  readonly checkout = new Verdict(1)
  readonly money = new Verdict(2)
  readonly orderIds = new Verdict(3)
  readonly stock = new Verdict(4)
  readonly productAndStock = new Verdict(5)
  readonly replica = new Verdict(6)
  readonly cartPrice = new Verdict(7)
  readonly dashboard = new Verdict(8)

  findings(): Finding[] {
    return Object.values(this)
      .map((verdict: Verdict) => verdict.finding())
      .filter((finding) => finding.checked > 0)
  }
}

/** Every row of the snapshot, against every criterion that one snapshot can decide. */
export function checkState(snapshot: Snapshot): Finding[] {
  const verdicts = new StateVerdicts()
  const facts = new Map<number, OrderFacts>()
  const ordered = new Map<string, number>()
  const factsOf = (row: { readonly customer: number; readonly order: number }): OrderFacts => {
    const key = orderKey(row.customer, row.order)
    let known = facts.get(key)
    if (!known) facts.set(key, (known = new OrderFacts()))
    return known
  }

  const lines = snapshot.table(cart.tables.item)
  const ordersOf = new Map<number, number[]>()
  for (const row of snapshot.table(order.tables.order)) {
    factsOf(row).order = row
    const ids = ordersOf.get(row.customer)
    if (ids) ids.push(row.order)
    else ordersOf.set(row.customer, [row.order])
  }
  for (const row of snapshot.table(order.tables.item)) {
    factsOf(row).addItem(row, lines.get([row.customer, row.seller, row.product]))
    const key = productName(row)
    ordered.set(key, (ordered.get(key) ?? 0) + row.quantity)
  }
  for (const row of snapshot.table(order.tables.history)) factsOf(row).histories += 1
  for (const row of snapshot.table(payment.tables.payment)) factsOf(row).addPayment(row)
  for (const row of snapshot.table(shipment.tables.shipment)) factsOf(row).shipment = row
  for (const row of snapshot.table(shipment.tables.package)) factsOf(row).addPackage(row)
  const entriesBySeller = new Map<number, Entry[]>()
  for (const row of snapshot.table(seller.tables.entry)) {
    factsOf(row).addEntry(row)
    const entries = entriesBySeller.get(row.seller)
    if (entries) entries.push(row)
    else entriesBySeller.set(row.seller, [row])
  }
  for (const [key, known] of facts) judgeOrder(verdicts, key, known)

  const counters = new Map<number, number>()
  for (const row of snapshot.table(order.tables.counter)) counters.set(row.customer, row.lastOrder)
  for (const customer of new Set([...counters.keys(), ...ordersOf.keys()])) {
    judgeOrderIds(verdicts, customer, ordersOf.get(customer) ?? [], counters.get(customer))
  }

  for (const row of snapshot.table(stock.tables.item)) {
    const { qtyReserved } = row
    judgeStock(verdicts, row)
    const expected = ordered.get(productName(row)) ?? 0
    verdicts.stock.expect(
      qtyReserved === expected,
      () => `${productName(row)} has ${qtyReserved} reserved, ${expected} ordered`,
    )
    ordered.delete(productName(row))
    const described = snapshot.table(product.tables.product).has([row.seller, row.product])
    verdicts.productAndStock.expect(described, () => `${productName(row)} has stock and no product`)
  }
  for (const [name, quantity] of ordered) {
    verdicts.stock.expect(false, () => `${name} was ordered ${quantity} times and has no stock`)
  }
  let products = 0
  for (const row of snapshot.table(product.tables.product)) {
    products += 1
    judgeProduct(verdicts, snapshot, row)
  }
  const replicas = snapshot.table(cart.tables.replica).count()
  verdicts.replica.expect(replicas === products, () => `${replicas} replicas of ${products} products`)

  for (const row of lines)
    judgeLine(verdicts, row, snapshot.table(product.tables.product).get([row.seller, row.product]))
  for (const { id } of snapshot.table(seller.tables.seller)) {
    judgeDashboard(verdicts, snapshot, id, entriesBySeller.get(id) ?? [])
    entriesBySeller.delete(id)
  }
  for (const id of entriesBySeller.keys())
    verdicts.dashboard.expect(false, () => `entries of seller ${id}, whom nobody knows`)
  return verdicts.findings()
}

/**
 * The same questions about a few customers and products, and about the carts there are, for snapshots under
 * load.
 */
export function spotCheck(
  snapshot: Snapshot,
  sample: {
    readonly customers: readonly number[]
    readonly products: readonly { readonly seller: number; readonly product: number }[]
  },
): Finding[] {
  const verdicts = new StateVerdicts()
  const lines = snapshot.table(cart.tables.item)
  const stored = snapshot.table(product.tables.product)
  for (const customer of sample.customers) {
    const ids: number[] = []
    for (const row of snapshot.table(order.tables.order).scan({ prefix: [customer] })) {
      ids.push(row.order)
      const prefix = [customer, row.order] as const
      const known = new OrderFacts()
      known.order = row
      known.shipment = snapshot.table(shipment.tables.shipment).get(prefix)
      for (const item of snapshot.table(order.tables.item).scan({ prefix })) {
        known.addItem(item, lines.get([customer, item.seller, item.product]))
      }
      for (const _ of snapshot.table(order.tables.history).scan({ prefix })) known.histories += 1
      for (const paid of snapshot.table(payment.tables.payment).scan({ prefix })) known.addPayment(paid)
      for (const parcel of snapshot.table(shipment.tables.package).scan({ prefix })) known.addPackage(parcel)
      for (const entry of snapshot.table(seller.tables.entry).index.byOrder.get(prefix)) known.addEntry(entry)
      judgeOrder(verdicts, orderKey(customer, row.order), known)
    }
    judgeOrderIds(verdicts, customer, ids, snapshot.table(order.tables.counter).get(customer)?.lastOrder)
  }
  let looked = 0
  for (const line of lines) {
    judgeLine(verdicts, line, stored.get([line.seller, line.product]))
    if ((looked += 1) === spotCheckLinesMax) break
  }
  for (const { seller, product } of sample.products) {
    const row = stored.get([seller, product])
    if (!row) {
      verdicts.productAndStock.expect(false, () => `${productName({ seller, product })} is gone`)
      continue
    }
    judgeProduct(verdicts, snapshot, row)
    const kept = snapshot.table(stock.tables.item).get([seller, product])
    if (kept) judgeStock(verdicts, kept)
  }
  return verdicts.findings()
}

function judgeOrder(verdicts: StateVerdicts, key: number, known: OrderFacts): void {
  const { order, shipment } = known
  const name = (): string => orderName(key)
  verdicts.checkout.expect(order !== undefined && shipment !== undefined, () => {
    return `${name()} has ${order ? 'no shipment' : 'parts and no order'}`
  })
  if (!order || !shipment) return
  const counts = [known.items, known.packages, known.entries, shipment.packageCount]
  verdicts.checkout.expect(
    counts.every((count) => count === order.countItems),
    () =>
      `${name()} has ${order.countItems} items, and [${counts.join(', ')}] items, packages, entries, package count`,
  )
  verdicts.checkout.expect(known.payments >= 1, () => `${name()} has no payment`)
  verdicts.checkout.expect(known.histories >= 1, () => `${name()} has no history`)
  verdicts.checkout.expect(
    known.stillInCart === 0,
    () => `${known.stillInCart} items of ${name()} are still in the cart`,
  )
  verdicts.checkout.expect(
    order.createdAt === shipment.requestedAt && order.createdAt === order.purchasedAt,
    () => `the parts of ${name()} were written at different times`,
  )

  const sums: readonly (readonly [what: string, left: number, right: number])[] = [
    ['total_items = Σ items', order.totalItems, known.itemsTotal],
    ['total_incentive = Σ items', order.totalIncentive, known.itemsIncentive],
    ['total_amount = Σ items', order.totalAmount, known.itemsAmount],
    ['total_freight = Σ items', order.totalFreight, known.itemsFreight],
    ['total_amount = items − incentive', order.totalAmount, order.totalItems - order.totalIncentive],
    ['total_invoice = amount + freight', order.totalInvoice, order.totalAmount + order.totalFreight],
    ['total_invoice = Σ payments without vouchers', order.totalInvoice, known.paid],
    ['total_incentive = Σ vouchers paid', order.totalIncentive, known.paidByVoucher],
    ['total_invoice = Σ entries (amount + freight)', order.totalInvoice, known.entriesAmountAndFreight],
    ['total_invoice = Σ entries (invoice)', order.totalInvoice, known.entriesInvoice],
    ['total_incentive = Σ entries', order.totalIncentive, known.entriesIncentive],
    ['total_freight = shipment', order.totalFreight, shipment.totalFreight],
    ['total_freight = Σ packages', order.totalFreight, known.packagesFreight],
    ['no item with wrong arithmetic', known.badItems, 0],
  ]
  for (const [what, left, right] of sums) {
    verdicts.money.expect(left === right, () => `${name()}: ${what} fails, ${left} against ${right}`)
  }
}

function judgeOrderIds(
  verdicts: StateVerdicts,
  customer: number,
  ids: readonly number[],
  last: number | undefined,
): void {
  const sorted = [...ids].sort((a, b) => a - b)
  const dense = sorted.every((id, place) => id === place + 1)
  verdicts.orderIds.expect(dense && (last ?? 0) === sorted.length, () => {
    const first = sorted.slice(0, 12).join(', ')
    return `customer ${customer} has the orders [${first}] and the counter ${last ?? 'missing'}`
  })
}

function judgeStock(verdicts: StateVerdicts, row: Readonly<RowOf<typeof stock.tables.item>>): void {
  const { qtyReserved, qtyAvailable } = row
  verdicts.stock.expect(0 <= qtyReserved && qtyReserved <= qtyAvailable, () => {
    return `${productName(row)} has ${qtyReserved} reserved of ${qtyAvailable}`
  })
}

function judgeProduct(verdicts: StateVerdicts, snapshot: Snapshot, row: Product): void {
  const kept = snapshot.table(stock.tables.item).get([row.seller, row.product])
  verdicts.productAndStock.expect(kept?.version === row.version, () => {
    return `${productName(row)} has version ${row.version}, its stock ${kept?.version ?? 'is missing'}`
  })
  const replica = snapshot.table(cart.tables.replica).get([row.seller, row.product])
  const differing =
    replica &&
    (Object.keys(replica) as (keyof typeof replica)[]).find((column) => replica[column] !== row[column])
  verdicts.replica.expect(replica !== undefined && differing === undefined, () => {
    if (!replica || !differing) return `${productName(row)} has no replica`
    return `the replica of ${productName(row)} has ${differing} ${replica[differing]} instead of ${row[differing]}`
  })
}

function judgeLine(verdicts: StateVerdicts, line: Line, current: Product | undefined): void {
  const name = (): string => `${productName(line)} in the cart of ${line.customer}`
  verdicts.cartPrice.expect(line.unitPrice - line.voucher === line.netWhenAdded, () => {
    return `${name()} costs ${line.unitPrice} − ${line.voucher}, net ${line.netWhenAdded} when it was added`
  })
  if (!current || current.version !== line.version) return
  verdicts.cartPrice.expect(
    line.unitPrice === current.price,
    () => `${name()} costs ${line.unitPrice}, the product ${current.price}`,
  )
}

function judgeDashboard(
  verdicts: StateVerdicts,
  snapshot: Snapshot,
  id: number,
  scanned: readonly Entry[],
): void {
  const totals = totalsOf(snapshot, id)
  const listed = aggregate(entriesOf(snapshot, id))
  verdicts.dashboard.expect(
    sameAggregate(totals, listed),
    () => `the totals of seller ${id} are not those of the list`,
  )
  verdicts.dashboard.expect(sameAggregate(totals, aggregate(scanned)), () => {
    return `the dashboard of seller ${id} shows ${totals.items} entries, the table has ${scanned.length}`
  })
}

function productName(row: { readonly seller: number; readonly product: number }): string {
  return `product ${row.seller}/${row.product}`
}
