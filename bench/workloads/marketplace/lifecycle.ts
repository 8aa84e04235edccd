/**
 * Criteria 9 and 10, from the log: what a state cannot show, because it is about the way to it.
 *
 *  - A package leaves `shipped` once, to be delivered, and nothing changes it afterwards.
 *  - A delivery takes packages of ten sellers at most, and of each the oldest that was on its way.
 *  - The history of an order grows by one step at a time, along one of the ways that an order can go.
 */
import type { Commit } from 'sluicedb'
import { orderKey, orderName } from './dashboard.js'
import type { LogVisitor } from './log.js'
import { lifecycles } from './order-facts.js'
import { order } from './order.js'
import { deliverySellersMax, shipment } from './shipment.js'
import { Verdict, type Finding } from './verdict.js'

export class LifecycleAudit implements LogVisitor {
  readonly #delivery = new Verdict(9)
  readonly #history = new Verdict(10)
  /** Packages on their way: per seller, how many of each request. */
  readonly #onTheWay = new Map<number, Map<number, number>>()
  /** How far each order has come. */
  readonly #statuses = new Map<number, string[]>()

  findings(): Finding[] {
    return [this.#delivery.finding(), this.#history.finding()]
  }

  visit(commit: Commit): void {
    const delivered = new Map<number, Set<number>>()
    for (const change of commit.changes) {
      if (shipment.tables.package.is(change)) {
        const { before, after } = change
        if (change.kind === 'insert') {
          this.#count(change.after.seller, change.after.instance, 1)
          continue
        }
        const once = before?.status === 'shipped' && after?.status === 'delivered'
        this.#delivery.expect(once, () => {
          return `a package of order ${String(change.key)} went from ${before?.status} to ${after?.status ?? 'nowhere'}`
        })
        if (!once) continue
        const instances = delivered.get(after.seller) ?? new Set()
        delivered.set(after.seller, instances.add(after.instance))
      } else if (order.tables.history.is(change) && change.kind === 'insert') {
        this.#step(change.after.customer, change.after.order, change.after.step, change.after.status)
      }
    }
    if (commit.procedure !== 'shipment.updateDelivery') {
      this.#delivery.expect(delivered.size === 0, () => `${commit.procedure} delivers packages`)
      return
    }
    this.#delivery.expect(
      delivered.size <= deliverySellersMax,
      () => `${commit.requestId} delivers packages of ${delivered.size} sellers`,
    )
    for (const [seller, instances] of delivered) {
      const oldest = Math.min(...(this.#onTheWay.get(seller)?.keys() ?? []))
      this.#delivery.expect(
        instances.size === 1 && instances.has(oldest),
        () => `${commit.requestId} delivers seller ${seller}'s packages of ${[...instances].join(', ')}, the oldest is of ${oldest}`,
      )
    }
    for (const change of commit.changes) {
      if (!shipment.tables.package.is(change) || change.kind !== 'update') continue
      this.#count(change.after.seller, change.after.instance, -1)
    }
  }

  #count(seller: number, instance: number, by: number): void {
    let requests = this.#onTheWay.get(seller)
    if (!requests) this.#onTheWay.set(seller, (requests = new Map()))
    const count = (requests.get(instance) ?? 0) + by
    if (count > 0) requests.set(instance, count)
    else requests.delete(instance)
  }

  #step(customer: number, id: number, step: number, status: string): void {
    const key = orderKey(customer, id)
    const statuses = this.#statuses.get(key) ?? []
    this.#statuses.set(key, statuses)
    statuses.push(status)
    const right = step === statuses.length && lifecycles.some((way) => statuses.every((one, place) => one === way[place]))
    this.#history.expect(right, () => `${orderName(key)} went ${statuses.join(', ')}`)
  }
}
