/**
 * Criteria 1–10 over one snapshot. 11 and 12, and what of 9 and 10 is about the order of events, need the log and are
 * in replay.ts, log.ts and lifecycle.ts.
 *
 * `checkState` reads every table once and folds what belongs to an order into one `OrderFacts`; `spotCheck`
 * gathers the same facts for a few customers and products by key, cheap enough to run on snapshots in the
 * middle of the load. Both are judged by the same code. "At all times" (criteria 4 and 5) means: at every
 * snapshot that anybody took.
 */
import type { RowOf, Snapshot } from 'sluicedb'
import { cart } from './cart.js'
import { customer } from './customer.js'
import { aggregate, orderKey, orderName, sameAggregate, totalsOf } from './dashboard.js'
import {
  addToTally,
  emptyTally,
  lifecycles,
  OrderFacts,
  type CustomerTally,
  type Line,
  type Order,
} from './order-facts.js'
import { order, statusByShipment } from './order.js'
import { payment } from './payment.js'
import { product } from './product.js'
import { openEntries, openOrders, seller, type Entry } from './seller.js'
import { shipment } from './shipment.js'
import { stock } from './stock.js'
import { Verdict, type Finding } from './verdict.js'

type Product = Readonly<RowOf<typeof product.tables.product>>
type Stock = Readonly<RowOf<typeof stock.tables.item>>
type Customer = Readonly<RowOf<typeof customer.tables.customer>>

const spotCheckLinesMax = 500

class StateVerdicts {
  readonly checkout = new Verdict(1)
  readonly money = new Verdict(2)
  readonly orderIds = new Verdict(3)
  readonly stock = new Verdict(4)
  readonly productAndStock = new Verdict(5)
  readonly replica = new Verdict(6)
  readonly cartPrice = new Verdict(7)
  readonly dashboard = new Verdict(8)
  readonly delivery = new Verdict(9)
  readonly history = new Verdict(10)

  findings(): Finding[] {
    return Object.values(this)
      .map((verdict: Verdict) => verdict.finding())
      .filter((finding) => finding.checked > 0)
  }
}

/** Every row of the snapshot, against every criterion that one snapshot can decide. `quantity`: of each product at first. */
export function checkState(snapshot: Snapshot, quantity: number): Finding[] {
  const verdicts = new StateVerdicts()
  const facts = new Map<number, OrderFacts>()
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
  const sold = new Map<string, number>()
  for (const row of snapshot.table(order.tables.item)) {
    const known = factsOf(row)
    known.addItem(row, lines.get([row.customer, row.seller, row.product]))
    if (known.order?.status === 'PAYMENT_FAILED') continue
    sold.set(productName(row), (sold.get(productName(row)) ?? 0) + row.quantity)
  }
  for (const row of snapshot.table(order.tables.history)) factsOf(row).histories.push(row)
  for (const row of snapshot.table(payment.tables.payment)) factsOf(row).addPayment(row)
  for (const row of snapshot.table(shipment.tables.shipment)) factsOf(row).shipment = row
  for (const row of snapshot.table(shipment.tables.package)) factsOf(row).addPackage(row)
  const openBySeller = new Map<number, Entry[]>()
  for (const row of snapshot.table(seller.tables.entry)) {
    factsOf(row).addEntry(row)
    if (!row.isOpen) continue
    const entries = openBySeller.get(row.seller)
    if (entries) entries.push(row)
    else openBySeller.set(row.seller, [row])
  }
  const tallies = new Map<number, CustomerTally>()
  for (const [key, known] of facts) {
    judgeOrder(verdicts, key, known)
    if (!known.order) continue
    const tally = tallies.get(known.order.customer) ?? emptyTally()
    addToTally(tally, known)
    tallies.set(known.order.customer, tally)
  }
  for (const row of snapshot.table(customer.tables.customer)) {
    judgeCustomer(verdicts, row, tallies.get(row.id) ?? emptyTally())
    tallies.delete(row.id)
    judgeCart(verdicts, snapshot, row.id)
  }
  for (const id of tallies.keys())
    verdicts.checkout.expect(false, () => `customer ${id} has orders and does not exist`)

  const counters = new Map<number, number>()
  for (const row of snapshot.table(order.tables.counter)) counters.set(row.customer, row.lastOrder)
  for (const id of new Set([...counters.keys(), ...ordersOf.keys()])) {
    judgeOrderIds(verdicts, id, ordersOf.get(id) ?? [], counters.get(id))
  }

  for (const row of snapshot.table(stock.tables.item)) {
    judgeStock(verdicts, row, quantity)
    const expected = sold.get(productName(row)) ?? 0
    verdicts.stock.expect(
      row.ytd === expected,
      () => `${productName(row)} was sold ${row.ytd} times, paid orders have ${expected}`,
    )
    sold.delete(productName(row))
    const described = snapshot.table(product.tables.product).has([row.seller, row.product])
    verdicts.productAndStock.expect(described, () => `${productName(row)} has stock and no product`)
  }
  for (const [name, units] of sold) {
    verdicts.stock.expect(false, () => `${name} was sold ${units} times and has no stock`)
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
    judgeDashboard(verdicts, snapshot, id, openBySeller.get(id) ?? [])
    openBySeller.delete(id)
  }
  for (const id of openBySeller.keys())
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
    /** Of each product at first. */
    readonly quantity: number
  },
): Finding[] {
  const verdicts = new StateVerdicts()
  const lines = snapshot.table(cart.tables.item)
  const stored = snapshot.table(product.tables.product)
  for (const id of sample.customers) {
    const ids: number[] = []
    const tally = emptyTally()
    for (const row of snapshot.table(order.tables.order).scan({ prefix: [id] })) {
      ids.push(row.order)
      const prefix = [id, row.order] as const
      const known = new OrderFacts()
      known.order = row
      known.shipment = snapshot.table(shipment.tables.shipment).get(prefix)
      for (const item of snapshot.table(order.tables.item).scan({ prefix })) {
        known.addItem(item, lines.get([id, item.seller, item.product]))
      }
      known.histories.push(...snapshot.table(order.tables.history).scan({ prefix }))
      for (const paid of snapshot.table(payment.tables.payment).scan({ prefix })) known.addPayment(paid)
      for (const parcel of snapshot.table(shipment.tables.package).scan({ prefix })) known.addPackage(parcel)
      for (const entry of snapshot.table(seller.tables.entry).index.byOrder.get(prefix)) known.addEntry(entry)
      judgeOrder(verdicts, orderKey(id, row.order), known)
      addToTally(tally, known)
    }
    judgeOrderIds(verdicts, id, ids, snapshot.table(order.tables.counter).get(id)?.lastOrder)
    const known = snapshot.table(customer.tables.customer).get(id)
    verdicts.checkout.expect(known !== undefined, () => `customer ${id} is gone`)
    if (known) judgeCustomer(verdicts, known, tally)
    judgeCart(verdicts, snapshot, id)
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
    if (kept) judgeStock(verdicts, kept, sample.quantity)
  }
  return verdicts.findings()
}

function judgeOrder(verdicts: StateVerdicts, key: number, known: OrderFacts): void {
  const { order, shipment } = known
  const name = (): string => orderName(key)
  verdicts.checkout.expect(order !== undefined, () => `${name()} has parts and no order`)
  if (!order) return
  const isPaid = order.status !== 'PAYMENT_FAILED'
  verdicts.checkout.expect((shipment !== undefined) === isPaid, () => {
    return `${name()} is ${order.status} and has ${shipment ? 'a' : 'no'} shipment`
  })
  const sent = isPaid ? order.countItems : 0
  const counts = [known.items, known.entries, known.packages, shipment?.packageCount ?? 0]
  const wanted = [order.countItems, order.countItems, sent, sent]
  verdicts.checkout.expect(
    counts.every((count, place) => count === wanted[place]),
    () => `${name()} has [${counts.join(', ')}] items, entries, packages, package count, not [${wanted.join(', ')}]`,
  )
  verdicts.checkout.expect(known.payments >= 1, () => `${name()} has no payment`)
  verdicts.checkout.expect(
    known.histories.some((entry) => entry.status === 'INVOICED'),
    () => `${name()} has no history`,
  )
  verdicts.checkout.expect(
    isPaid ? known.unpaid === 0 : known.unpaid === known.payments,
    () => `${name()} is ${order.status} and has ${known.unpaid} of ${known.payments} payments not made`,
  )
  verdicts.checkout.expect(
    known.stillInCart === 0,
    () => `${known.stillInCart} items of ${name()} are still in the cart`,
  )
  verdicts.checkout.expect(
    order.createdAt === order.purchasedAt &&
      (!shipment || (order.createdAt === shipment.requestedAt && order.createdAt === order.paidAt)),
    () => `the parts of ${name()} were written at different times`,
  )
  judgeMoney(verdicts, name, order, known)
  judgeHistory(verdicts, name, order, known)
  judgeDelivery(verdicts, name, order, known)
}

function judgeMoney(verdicts: StateVerdicts, name: () => string, order: Order, known: OrderFacts): void {
  const isPaid = order.status !== 'PAYMENT_FAILED'
  const sums: (readonly [what: string, left: number, right: number])[] = [
    ['total_items = Σ items', order.totalItems, known.itemsTotal],
    ['total_incentive = Σ items', order.totalIncentive, known.itemsIncentive],
    ['total_amount = Σ items', order.totalAmount, known.itemsAmount],
    ['total_freight = Σ items', order.totalFreight, known.itemsFreight],
    ['total_amount = items − incentive', order.totalAmount, order.totalItems - order.totalIncentive],
    ['total_invoice = amount + freight', order.totalInvoice, order.totalAmount + order.totalFreight],
    ['total_invoice = Σ payments without vouchers', order.totalInvoice, known.paid],
    ['vouchers are used when the order is paid', isPaid ? order.totalIncentive : 0, known.paidByVoucher],
    ['total_invoice = Σ entries (amount + freight)', order.totalInvoice, known.entriesAmountAndFreight],
    ['total_invoice = Σ entries (invoice)', order.totalInvoice, known.entriesInvoice],
    ['total_incentive = Σ entries', order.totalIncentive, known.entriesIncentive],
    ['total_freight = shipment', isPaid ? order.totalFreight : 0, known.shipment?.totalFreight ?? 0],
    ['total_freight = Σ packages', isPaid ? order.totalFreight : 0, known.packagesFreight],
    ['no item with wrong arithmetic', known.badItems, 0],
  ]
  for (const [what, left, right] of sums) {
    verdicts.money.expect(left === right, () => `${name()}: ${what} fails, ${left} against ${right}`)
  }
}

/** The history is the beginning of one of the ways an order can go, and the order is where it ends. */
function judgeHistory(verdicts: StateVerdicts, name: () => string, order: Order, known: OrderFacts): void {
  const steps = [...known.histories].sort((a, b) => a.step - b.step)
  const statuses = steps.map((entry) => entry.status)
  verdicts.history.expect(
    lifecycles.some((way) => statuses.every((status, place) => status === way[place])),
    () => `${name()} went ${statuses.join(', ')}`,
  )
  verdicts.history.expect(
    steps.every((entry, place) => entry.step === place + 1 && (place === 0 || entry.createdAt >= steps[place - 1]!.createdAt)),
    () => `the history of ${name()} has the steps [${steps.map((entry) => entry.step).join(', ')}], or runs back in time`,
  )
  verdicts.history.expect(
    statuses.at(-1) === order.status && statuses.length === order.steps,
    () => `${name()} is ${order.status} after ${order.steps} steps, its history ends ${statuses.at(-1) ?? 'nowhere'}`,
  )
}

function judgeDelivery(verdicts: StateVerdicts, name: () => string, order: Order, known: OrderFacts): void {
  const { shipment, packages, packagesDelivered } = known
  const counted = `${packagesDelivered} of ${packages} packages delivered`
  if (shipment) {
    const due =
      packagesDelivered === 0
        ? 'APPROVED'
        : packagesDelivered < packages
          ? 'DELIVERY_IN_PROGRESS'
          : 'CONCLUDED'
    verdicts.delivery.expect(
      shipment.status === due && order.status === statusByShipment[due],
      () => `${name()} has ${counted}, is ${order.status}, its shipment ${shipment.status}`,
    )
  }
  verdicts.delivery.expect(
    known.entryStatuses.size === 1 && known.entryStatuses.has(order.status),
    () => `${name()} is ${order.status}, for its sellers ${[...known.entryStatuses].join(', ')}`,
  )
  verdicts.delivery.expect(
    known.entriesDelivered === packagesDelivered && known.badEntries === 0 && known.badPackages === 0,
    () => `${name()} has ${counted}, ${known.entriesDelivered} for its sellers, and ${known.badEntries + known.badPackages} rows at odds with themselves`,
  )
}

function judgeCustomer(verdicts: StateVerdicts, known: Customer, tally: CustomerTally): void {
  const { id, successPaymentCount, failedPaymentCount, deliveryCount } = known
  verdicts.checkout.expect(
    successPaymentCount === tally.succeeded && failedPaymentCount === tally.failed,
    () =>
      `customer ${id} counts ${successPaymentCount} paid and ${failedPaymentCount} failed, the orders ${tally.succeeded} and ${tally.failed}`,
  )
  verdicts.delivery.expect(
    deliveryCount === tally.delivered,
    () => `customer ${id} counts ${deliveryCount} packages, ${tally.delivered} were delivered`,
  )
}

/** There is an open cart where there are lines, and only there. */
function judgeCart(verdicts: StateVerdicts, snapshot: Snapshot, id: number): void {
  const isOpen = snapshot.table(cart.tables.cart).get(id)?.status === 'OPEN'
  const hasLines = [...snapshot.table(cart.tables.item).scan({ prefix: [id], limit: 1 })].length > 0
  verdicts.checkout.expect(isOpen === hasLines, () => {
    return `the cart of ${id} is ${isOpen ? 'open' : 'closed'} and ${hasLines ? 'has lines' : 'empty'}`
  })
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

/** A checkout reserves and sells in one transaction, so that no snapshot shows anything reserved. */
function judgeStock(verdicts: StateVerdicts, row: Stock, quantity: number): void {
  const { qtyReserved, qtyAvailable, ytd } = row
  verdicts.stock.expect(qtyReserved === 0 && qtyAvailable >= 0 && qtyAvailable + ytd === quantity, () => {
    return `${productName(row)} has ${qtyReserved} reserved, ${qtyAvailable} available and ${ytd} sold, of ${quantity}`
  })
}

function judgeProduct(verdicts: StateVerdicts, snapshot: Snapshot, row: Product): void {
  const kept = snapshot.table(stock.tables.item).get([row.seller, row.product])
  verdicts.productAndStock.expect(kept?.version === row.version && kept.status === row.status, () => {
    return `${productName(row)} has version ${row.version} (${row.status}), its stock ${kept ? `${kept.version} (${kept.status})` : 'is missing'}`
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
  const totals = totalsOf(snapshot.query(openOrders, { seller: id }))
  const listed = aggregate(snapshot.query(openEntries, { seller: id }))
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
