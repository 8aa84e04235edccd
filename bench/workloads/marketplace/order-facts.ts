/**
 * Everything that says "there is an order": whichever of the eight tables spoke first, all must agree. Collected from
 * whole tables or by key, judged in one place (criteria.ts).
 */
import type { RowOf } from 'sluicedb'
import type { cart } from './cart.js'
import type { order } from './order.js'
import type { payment } from './payment.js'
import type { Entry } from './seller.js'
import type { shipment } from './shipment.js'

export type Order = Readonly<RowOf<typeof order.tables.order>>
export type Item = Readonly<RowOf<typeof order.tables.item>>
export type History = Readonly<RowOf<typeof order.tables.history>>
export type Payment = Readonly<RowOf<typeof payment.tables.payment>>
export type Shipment = Readonly<RowOf<typeof shipment.tables.shipment>>
export type Package = Readonly<RowOf<typeof shipment.tables.package>>
export type Line = Readonly<RowOf<typeof cart.tables.item>>

/** An order goes one of these ways, and no step of it is left out. */
export const lifecycles: readonly (readonly Order['status'][])[] = [
  ['INVOICED', 'PAYMENT_PROCESSED', 'READY_FOR_SHIPMENT', 'IN_TRANSIT', 'DELIVERED'],
  ['INVOICED', 'PAYMENT_FAILED'],
]

const closedStatuses: readonly string[] = ['DELIVERED', 'PAYMENT_FAILED']

export class OrderFacts {
  order: Order | undefined
  shipment: Shipment | undefined
  readonly histories: History[] = []
  payments = 0
  unpaid = 0
  paid = 0
  paidByVoucher = 0
  items = 0
  itemsTotal = 0
  itemsIncentive = 0
  itemsAmount = 0
  itemsFreight = 0
  packages = 0
  packagesFreight = 0
  packagesDelivered = 0
  entries = 0
  entriesDelivered = 0
  entriesInvoice = 0
  entriesAmountAndFreight = 0
  entriesIncentive = 0
  /** Lines with wrong arithmetic, and items that are still in a cart. */
  badItems = 0
  stillInCart = 0
  /** Packages whose time of delivery and status do not go together, entries open or closed at the wrong time. */
  badPackages = 0
  badEntries = 0
  readonly entryStatuses = new Set<string>()

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
    if (paid.status !== 'succeeded') this.unpaid += 1
    if (paid.type === 'VOUCHER') this.paidByVoucher += paid.value
    else this.paid += paid.value
  }

  addPackage(parcel: Package): void {
    this.packages += 1
    this.packagesFreight += parcel.freight
    const isDelivered = parcel.status === 'delivered'
    if (isDelivered) this.packagesDelivered += 1
    if (isDelivered !== (parcel.deliveredAt !== null)) this.badPackages += 1
  }

  addEntry(entry: Entry): void {
    this.entries += 1
    this.entriesInvoice += entry.totalInvoice
    this.entriesAmountAndFreight += entry.totalAmount + entry.freight
    this.entriesIncentive += entry.totalIncentive
    this.entryStatuses.add(entry.orderStatus)
    const isDelivered = entry.deliveryStatus === 'delivered'
    if (isDelivered) this.entriesDelivered += 1
    const right =
      entry.isOpen === !closedStatuses.includes(entry.orderStatus) && isDelivered === (entry.deliveredAt !== null)
    if (!right) this.badEntries += 1
  }
}

/** What a customer's orders and packages add up to. */
export interface CustomerTally {
  succeeded: number
  failed: number
  delivered: number
}

export function emptyTally(): CustomerTally {
  return { succeeded: 0, failed: 0, delivered: 0 }
}

export function addToTally(tally: CustomerTally, { order, packagesDelivered }: OrderFacts): void {
  if (order?.status === 'PAYMENT_FAILED') tally.failed += 1
  else if (order) tally.succeeded += 1
  tally.delivered += packagesDelivered
}
