/**
 * A check that cannot fail is a defect: every criterion is shown a state or an answer that is wrong, and must say
 * so. Those that look at the log stand in marketplace-log-criteria.test.ts.
 *
 * The wrong states are made by procedures of a test-only application; the wrong snapshot is one that is no
 * snapshot.
 */
import type { Database, RowOf, Snapshot, Table } from 'sluicedb'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cart } from '../../bench/workloads/marketplace/cart.js'
import { customer } from '../../bench/workloads/marketplace/customer.js'
import { checkState, spotCheck } from '../../bench/workloads/marketplace/criteria.js'
import { Driver } from '../../bench/workloads/marketplace/driver.js'
import { sellerOf, Workload } from '../../bench/workloads/marketplace/generator.js'
import { order } from '../../bench/workloads/marketplace/order.js'
import { dashboard, openEntries, seller } from '../../bench/workloads/marketplace/seller.js'
import { shipment } from '../../bench/workloads/marketplace/shipment.js'
import { stock } from '../../bench/workloads/marketplace/stock.js'
import { holds, type Criterion, type Finding } from '../../bench/workloads/marketplace/verdict.js'
import broken, { tamper } from './broken-marketplace.js'
import { findingOf, leaveCart, type Run, smallRun, smallWorkload, someOrder } from './small-marketplace.js'

let run: Run
let db: Database

beforeEach(async () => {
  run = await smallRun(broken)
  db = run.db
})
afterEach(() => db.close())

function state(): Finding[] {
  using snapshot = db.snapshot()
  return checkState(snapshot, smallWorkload.quantity)
}

function someItem(): Readonly<RowOf<typeof order.tables.item>> {
  const { customer, order: id } = someOrder(db)
  return db.table(order.tables.item).get([customer, id, 1])!
}

test('an undisturbed run meets criteria 1 to 10, and each of them looked at something', async () => {
  await leaveCart(db)
  const findings = state()
  expect(findings.map((finding) => finding.criterion)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect(findings.filter((finding) => !holds(finding))).toEqual([])
})

describe('a state that no transaction of the marketplace makes', () => {
  type Break = () => Promise<void> | void
  const orderKey = (): readonly [number, number] => [someOrder(db).customer, someOrder(db).order]
  const entries = seller.tables.entry
  const product = { seller: sellerOf(15), product: 15 }
  const productKey = [product.seller, product.product]
  const lineKey = [3, sellerOf(15), 15]

  const wrongs: readonly (readonly [criterion: Criterion, what: string, break_: Break])[] = [
    [
      1,
      'a package is missing',
      () => tamper(db, { table: 'shipment.package', kind: 'delete', key: [...orderKey(), 1] }),
    ],
    [
      1,
      'an item is missing',
      () => tamper(db, { table: 'order.item', kind: 'delete', key: [...orderKey(), 1] }),
    ],
    [
      1,
      'the shipment is missing',
      () => tamper(db, { table: 'shipment.shipment', kind: 'delete', key: orderKey() }),
    ],
    [1, 'the order is missing', () => tamper(db, { table: 'order.order', kind: 'delete', key: orderKey() })],
    [
      1,
      'the history is missing',
      () => tamper(db, { table: 'order.history', kind: 'delete', key: [...orderKey(), 1] }),
    ],
    [
      1,
      'an entry is missing',
      () => {
        const { customer, order, product, seller } = someItem()
        return tamper(db, { table: 'seller.entry', kind: 'delete', key: [customer, order, product, seller] })
      },
    ],
    [
      1,
      'the payments are missing',
      async () => {
        const [customer, id] = orderKey()
        for (let sequential = 1; sequential <= 20; sequential += 1) {
          await tamper(db, {
            table: 'payment.payment',
            kind: 'delete',
            key: [customer, id, sequential],
          }).catch(() => undefined)
        }
      },
    ],
    [
      1,
      'a consumed item is still in the cart',
      () => {
        const { customer, seller, product, addedBy } = someItem()
        const row = {
          customer,
          seller,
          product,
          addedBy,
          version: 424_242,
          name: 'again',
          category: 'home',
          unitPrice: 5,
          freight: 0,
          quantity: 1,
          voucher: 0,
          netWhenAdded: 5,
        }
        return tamper(db, { table: 'cart.item', kind: 'insert', row })
      },
    ],
    [
      1,
      'the parts were written at different times',
      () => {
        return tamper(db, {
          table: 'shipment.shipment',
          kind: 'update',
          key: orderKey(),
          row: { requestedAt: 1 },
        })
      },
    ],
    [
      2,
      'the invoice is a cent too high',
      () => {
        const row = { totalInvoice: someOrder(db).totalInvoice + 1 }
        return tamper(db, { table: 'order.order', kind: 'update', key: orderKey(), row })
      },
    ],
    [
      2,
      'a payment is a cent too low',
      () => {
        const row = { value: someOrder(db).totalInvoice - 1 }
        return tamper(db, { table: 'payment.payment', kind: 'update', key: [...orderKey(), 1], row })
      },
    ],
    [
      2,
      'an item is a cent too dear',
      () => {
        const { customer, order, item, totalAmount } = someItem()
        return tamper(db, {
          table: 'order.item',
          kind: 'update',
          key: [customer, order, item],
          row: { totalAmount: totalAmount + 1 },
        })
      },
    ],
    [
      2,
      'an item has another quantity than its total',
      () => {
        const { customer, order, item, quantity } = someItem()
        return tamper(db, {
          table: 'order.item',
          kind: 'update',
          key: [customer, order, item],
          row: { quantity: quantity + 1 },
        })
      },
    ],
    [
      2,
      'an entry is a cent too high',
      () => {
        const { customer, order, product, seller, totalAmount } = someItem()
        const key = [customer, order, product, seller]
        return tamper(db, {
          table: 'seller.entry',
          kind: 'update',
          key,
          row: { totalAmount: totalAmount + 1 },
        })
      },
    ],
    [
      2,
      'a package has another freight',
      () => {
        const { customer, order, freight } = someItem()
        return tamper(db, {
          table: 'shipment.package',
          kind: 'update',
          key: [customer, order, 1],
          row: { freight: freight + 1 },
        })
      },
    ],
    [
      3,
      'a counter is ahead',
      () => {
        const { customer } = someOrder(db)
        const { lastOrder } = db.table(order.tables.counter).get(customer)!
        return tamper(db, {
          table: 'order.counter',
          kind: 'update',
          key: customer,
          row: { lastOrder: lastOrder + 1 },
        })
      },
    ],
    [
      3,
      'a counter is missing',
      () => tamper(db, { table: 'order.counter', kind: 'delete', key: someOrder(db).customer }),
    ],
    [
      3,
      'an order number is skipped',
      async () => {
        const first = db.table(order.tables.order).get([someOrder(db).customer, 1])!
        await tamper(db, { table: 'order.order', kind: 'insert', row: { ...first, order: 1_000 } })
        await tamper(db, { table: 'order.order', kind: 'delete', key: [first.customer, 1] })
      },
    ],
    [
      4,
      'one unit is still reserved',
      () => {
        const { qtyReserved } = db.table(stock.tables.item).get([product.seller, product.product])!
        return tamper(db, {
          table: 'stock.item',
          kind: 'update',
          key: productKey,
          row: { qtyReserved: qtyReserved + 1 },
        })
      },
    ],
    [
      4,
      'more is reserved than there is',
      () => {
        const { seller, product } = someItem()
        return tamper(db, {
          table: 'stock.item',
          kind: 'update',
          key: [seller, product],
          row: { qtyAvailable: 0 },
        })
      },
    ],
    [
      4,
      'something was ordered that has no stock',
      () => {
        const { seller, product } = someItem()
        return tamper(db, { table: 'stock.item', kind: 'delete', key: [seller, product] })
      },
    ],
    [
      5,
      'stock has another version',
      () => tamper(db, { table: 'stock.item', kind: 'update', key: productKey, row: { version: 999_999 } }),
    ],
    [5, 'stock is missing', () => tamper(db, { table: 'stock.item', kind: 'delete', key: productKey })],
    [
      5,
      'the product is missing',
      () => tamper(db, { table: 'product.product', kind: 'delete', key: productKey }),
    ],
    [
      6,
      'a replica has another price',
      () => tamper(db, { table: 'cart.replica', kind: 'update', key: productKey, row: { price: 1_000_000 } }),
    ],
    [6, 'a replica is missing', () => tamper(db, { table: 'cart.replica', kind: 'delete', key: productKey })],
    [
      6,
      'a replica is left over',
      () => tamper(db, { table: 'product.product', kind: 'delete', key: productKey }),
    ],
    [
      7,
      'a price in a cart has moved without its voucher',
      async () => {
        await leaveCart(db)
        const { unitPrice } = db.table(cart.tables.item).get([3, sellerOf(15), 15])!
        await tamper(db, {
          table: 'cart.item',
          kind: 'update',
          key: lineKey,
          row: { unitPrice: unitPrice + 1 },
        })
      },
    ],
    [
      7,
      'a price in a cart is not the price of the product',
      async () => {
        await leaveCart(db)
        const { unitPrice, voucher } = db.table(cart.tables.item).get([3, sellerOf(15), 15])!
        await tamper(db, {
          table: 'cart.item',
          kind: 'update',
          key: lineKey,
          row: { unitPrice: unitPrice + 1, voucher: voucher + 1 },
        })
      },
    ],
    [
      8,
      'an entry belongs to nobody',
      () => {
        const { customer, order, product } = someItem()
        const known = db.table(seller.tables.entry).get([customer, order, product, someItem().seller])!
        return tamper(db, { table: 'seller.entry', kind: 'insert', row: { ...known, isOpen: true, seller: 4_711 } })
      },
    ],
    [
      1,
      'a customer has paid once more than there are paid orders',
      () => {
        const { successPaymentCount } = db.table(customer.tables.customer).get(3)!
        const row = { successPaymentCount: successPaymentCount + 1 }
        return tamper(db, { table: 'customer.customer', kind: 'update', key: 3, row })
      },
    ],
    [
      1,
      'a payment of a paid order was not made',
      () => {
        const row = { status: 'requires_payment_method' }
        return tamper(db, { table: 'payment.payment', kind: 'update', key: [...orderKey(), 1], row })
      },
    ],
    [
      1,
      'an order that nobody paid is sent',
      () => tamper(db, { table: 'order.order', kind: 'update', key: orderKey(), row: { status: 'PAYMENT_FAILED' } }),
    ],
    [
      1,
      'an empty cart is open',
      () => {
        const row = { status: 'OPEN' }
        return tamper(db, { table: 'cart.cart', kind: 'update', key: someOrder(db).customer, row })
      },
    ],
    [
      4,
      'units were sold that nobody paid for',
      () => {
        const { qtyAvailable, ytd } = db.table(stock.tables.item).get([product.seller, product.product])!
        const row = { qtyAvailable: qtyAvailable - 1, ytd: ytd + 1 }
        return tamper(db, { table: 'stock.item', kind: 'update', key: productKey, row })
      },
    ],
    [
      5,
      'stock of a deleted product is still for sale',
      () => {
        const { status } = db.table(stock.tables.item).get([product.seller, product.product])!
        const row = { status: status === 'approved' ? 'deleted' : 'approved' }
        return tamper(db, { table: 'stock.item', kind: 'update', key: productKey, row })
      },
    ],
    [
      9,
      'a package is delivered and its shipment knows nothing',
      () => {
        const { status } = db.table(shipment.tables.package).get([...orderKey(), 1])!
        const row = status === 'delivered' ? { status: 'shipped', deliveredAt: null } : { status: 'delivered', deliveredAt: 1 }
        return tamper(db, { table: 'shipment.package', kind: 'update', key: [...orderKey(), 1], row })
      },
    ],
    [
      9,
      'a shipment is ahead of its packages, or behind',
      () => {
        const { status } = db.table(shipment.tables.shipment).get(orderKey())!
        const row = { status: status === 'CONCLUDED' ? 'APPROVED' : 'CONCLUDED' }
        return tamper(db, { table: 'shipment.shipment', kind: 'update', key: orderKey(), row })
      },
    ],
    [
      9,
      'a package has no time of delivery, or one too early',
      () => {
        const { deliveredAt } = db.table(shipment.tables.package).get([...orderKey(), 1])!
        const row = { deliveredAt: deliveredAt === null ? 1 : null }
        return tamper(db, { table: 'shipment.package', kind: 'update', key: [...orderKey(), 1], row })
      },
    ],
    [
      9,
      'a customer counts a package too many',
      () => {
        const { deliveryCount } = db.table(customer.tables.customer).get(3)!
        const row = { deliveryCount: deliveryCount + 1 }
        return tamper(db, { table: 'customer.customer', kind: 'update', key: 3, row })
      },
    ],
    [
      9,
      'a seller believes something else of an order',
      () => {
        const { customer, order, product, seller } = someItem()
        const row = { orderStatus: 'INVOICED' }
        return tamper(db, { table: 'seller.entry', kind: 'update', key: [customer, order, product, seller], row })
      },
    ],
    [
      9,
      'an entry is open that should be closed, or closed that should be open',
      () => {
        const { customer, order, product, seller } = someItem()
        const key = [customer, order, product, seller] as const
        const row = { isOpen: !db.table(entries).get(key)!.isOpen }
        return tamper(db, { table: 'seller.entry', kind: 'update', key, row })
      },
    ],
    [
      10,
      'a step of a history is missing',
      () => tamper(db, { table: 'order.history', kind: 'delete', key: [...orderKey(), 2] }),
    ],
    [
      10,
      'a history has two steps the other way round',
      async () => {
        const swap = (step: number, status: string) =>
          tamper(db, { table: 'order.history', kind: 'update', key: [...orderKey(), step], row: { status } })
        await swap(1, 'PAYMENT_PROCESSED')
        await swap(2, 'INVOICED')
      },
    ],
    [
      10,
      'an order is not where its history ends',
      () => tamper(db, { table: 'order.order', kind: 'update', key: orderKey(), row: { status: 'INVOICED' } }),
    ],
    [
      10,
      'a history runs back in time',
      () => {
        const row = { createdAt: 1 }
        return tamper(db, { table: 'order.history', kind: 'update', key: [...orderKey(), 2], row })
      },
    ],
  ]

  test.each(wrongs)('criterion %i notices that %s', async (criterion, _, break_) => {
    expect(findingOf(state(), criterion).violations).toBe(0)
    await break_()
    const finding = findingOf(state(), criterion)
    expect(finding.violations).toBeGreaterThan(0)
    expect(finding.examples.length).toBeGreaterThan(0)
  })

  const customers = Array.from({ length: smallWorkload.customers }, (_, id) => id)
  const products = Array.from({ length: smallWorkload.products }, (_, id) => ({
    seller: sellerOf(id),
    product: id,
  }))
  const unsampled = [
    'units were sold that nobody paid for',
    'a replica is left over',
    'something was ordered that has no stock',
    'the order is missing',
    'a counter is missing',
  ]
  const sampled = wrongs.filter(([criterion, what]) => criterion !== 8 && !unsampled.includes(what))

  test.each(sampled)('a spot check of criterion %i notices that %s', async (criterion, _, break_) => {
    const look = (): Finding => {
      using snapshot = db.snapshot()
      return findingOf(spotCheck(snapshot, { customers, products, quantity: smallWorkload.quantity }), criterion)
    }
    expect(look().violations).toBe(0)
    await break_()
    expect(look().violations).toBeGreaterThan(0)
  })
})

describe('a snapshot that is none', () => {
  test('criterion 8 notices a list that has lost an entry since the totals', () => {
    using snapshot = db.snapshot()
    const torn = {
      table: (table: Table) => snapshot.table(table),
      query: (query: typeof openEntries, params: { readonly seller: number }) => {
        const rows = snapshot.query(query, params)
        return rows.slice(query === openEntries && rows.length > 0 ? 1 : 0)
      },
    } as unknown as Snapshot
    expect(findingOf(checkState(torn, smallWorkload.quantity), 8).violations).toBeGreaterThan(0)
  })

  test('the driver notices a snapshot that moves on between two queries', async () => {
    const moving = {
      submit: db.submit.bind(db),
      call: async (procedure: typeof dashboard, input: { readonly seller: number }) => {
        const { totals } = await db.call(procedure, input)
        await turn() // others commit
        const { entries } = await db.call(procedure, input)
        return { totals, entries }
      },
    } as unknown as Database
    let torn = 0
    const driver = new Driver({
      db: moving,
      workload: new Workload(smallWorkload),
      ledger: run.ledger,
      outstanding: 16,
      plansMax: 600,
      acknowledged: ({ outcome }) => {
        if (outcome === 'torn') torn += 1
      },
    })
    await driver.run()
    expect(torn).toBeGreaterThan(0)
  })
})
