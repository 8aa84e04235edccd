/**
 * A check that cannot fail is a defect: every criterion is shown a state, a log or an answer that is wrong,
 * and must say so.
 *
 * The wrong states are made by procedures of a test-only application; the wrong logs are right ones from
 * which something was taken; the wrong snapshot is one that is no snapshot.
 */
import type { Commit, Database, RowOf, Snapshot, Table } from 'sluicedb'
import { open } from 'sluicedb'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cart } from '../../bench/workloads/marketplace/cart.js'
import { customer } from '../../bench/workloads/marketplace/customer.js'
import { checkState, spotCheck } from '../../bench/workloads/marketplace/criteria.js'
import { Driver } from '../../bench/workloads/marketplace/driver.js'
import { Inputs, sellerOf, Workload } from '../../bench/workloads/marketplace/generator.js'
import { Ledger } from '../../bench/workloads/marketplace/ledger.js'
import { LifecycleAudit } from '../../bench/workloads/marketplace/lifecycle.js'
import { DurabilityAudit } from '../../bench/workloads/marketplace/log.js'
import { order } from '../../bench/workloads/marketplace/order.js'
import { Replay } from '../../bench/workloads/marketplace/replay.js'
import { dashboard, openEntries, seller } from '../../bench/workloads/marketplace/seller.js'
import { shipment } from '../../bench/workloads/marketplace/shipment.js'
import { stock } from '../../bench/workloads/marketplace/stock.js'
import { holds, type Criterion, type Finding } from '../../bench/workloads/marketplace/verdict.js'
import broken, { tamper } from './broken-marketplace.js'
import { commitsOf, leaveCart, smallRun, smallWorkload, type Run } from './small-marketplace.js'

let run: Run
let db: Database

beforeEach(async () => {
  run = await smallRun(broken)
  db = run.db
})
afterEach(() => db.close())

function findingOf(findings: readonly Finding[], criterion: Criterion): Finding {
  return (
    findings.find((finding) => finding.criterion === criterion) ?? {
      criterion,
      checked: 0,
      violations: 0,
      examples: [],
    }
  )
}

function state(): Finding[] {
  using snapshot = db.snapshot()
  return checkState(snapshot, smallWorkload.quantity)
}

/** Some order that was paid: the one with the most items, so that there is something to take away. */
function someOrder(): Readonly<RowOf<typeof order.tables.order>> {
  const orders = [...db.table(order.tables.order)].filter((row) => row.status !== 'PAYMENT_FAILED')
  return orders.reduce((most, next) => (next.countItems > most.countItems ? next : most))
}

function someItem(): Readonly<RowOf<typeof order.tables.item>> {
  const { customer, order: id } = someOrder()
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
  const orderKey = (): readonly [number, number] => [someOrder().customer, someOrder().order]
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
        const row = { totalInvoice: someOrder().totalInvoice + 1 }
        return tamper(db, { table: 'order.order', kind: 'update', key: orderKey(), row })
      },
    ],
    [
      2,
      'a payment is a cent too low',
      () => {
        const row = { value: someOrder().totalInvoice - 1 }
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
        const { customer } = someOrder()
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
      () => tamper(db, { table: 'order.counter', kind: 'delete', key: someOrder().customer }),
    ],
    [
      3,
      'an order number is skipped',
      async () => {
        const first = db.table(order.tables.order).get([someOrder().customer, 1])!
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
        return tamper(db, { table: 'cart.cart', kind: 'update', key: someOrder().customer, row })
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

describe('a log that is not that of this run', () => {
  const population = () => new Workload(smallWorkload).population()

  async function replayed(commits: readonly Commit[], workload = smallWorkload): Promise<Finding> {
    await using fresh = await open(broken, { workers: 0, memory: { bytes: 256 * 2 ** 20 } })
    const replay = new Replay(fresh, new Inputs(workload, run.plans))
    for (const commit of commits) await replay.visit(commit)
    using snapshot = db.snapshot()
    replay.finish(snapshot)
    return replay.verdict.finding()
  }

  function audited(commits: readonly Commit[], ledger = run.ledger): Finding {
    const audit = new DurabilityAudit(ledger, population())
    for (const commit of commits) audit.visit(commit)
    using snapshot = db.snapshot()
    audit.finish(snapshot)
    return audit.verdict.finding()
  }

  const isCheckout = (commit: Commit): boolean =>
    commit.procedure === 'cart.checkout' && commit.events.some((event) => event.type === 'payment.paymentConfirmed')

  const without = (commits: readonly Commit[], place: number, table: string): Commit[] => {
    const lost = commits[place]!.changes.find((change) => change.table === table)!
    const half = { ...commits[place]!, changes: commits[place]!.changes.filter((change) => change !== lost) }
    return commits.map((commit, other) => (other === place ? half : commit))
  }

  test('the log as it is meets criteria 11 and 12', async () => {
    const commits = await commitsOf(db)
    expect(holds(await replayed(commits))).toBe(true)
    expect(audited(commits)).toMatchObject({ violations: 0 })
  })

  test('criterion 11 notices a change that no request made', async () => {
    const [customer, id] = [someOrder().customer, someOrder().order]
    await tamper(db, {
      table: 'order.order',
      kind: 'update',
      key: [customer, id],
      row: { invoiceNumber: 'lost' },
    })
    const finding = await replayed(await commitsOf(db))
    expect(finding.violations).toBe(2) // the commit without a request, and the row
    expect(finding.examples.join()).toContain('only in the original')
  })

  test('criterion 11 notices a commit that is missing', async () => {
    const commits = await commitsOf(db)
    const last = commits.findLastIndex(isCheckout)
    expect((await replayed(commits.filter((_, place) => place !== last))).violations).toBeGreaterThan(0)
  })

  test('criterion 11 notices two conflicting commits in the wrong order', async () => {
    const commits = await commitsOf(db)
    const checkout = commits.findLastIndex(isCheckout)
    const plan = commits[checkout]!.requestId!.split('.')[0]
    const add = commits.findLastIndex(
      (commit) => commit.procedure === 'cart.addItem' && commit.requestId!.startsWith(`${plan}.`),
    )
    const swapped = [...commits]
    swapped[add] = commits[checkout]!
    swapped[checkout] = commits[add]!
    expect((await replayed(swapped)).violations).toBeGreaterThan(0)
  })

  test('criterion 11 notices inputs other than those that were sent', async () => {
    const finding = await replayed(await commitsOf(db), { ...smallWorkload, seed: smallWorkload.seed + 1 })
    expect(finding.violations).toBeGreaterThan(0)
  })

  test('criterion 12 notices an acknowledged commit that is gone', async () => {
    const commits = await commitsOf(db)
    const place = commits.findIndex((commit) => commit.procedure === 'cart.addItem')
    const finding = audited(commits.filter((_, other) => other !== place))
    expect(finding.examples.join()).toContain(`${commits[place]!.requestId} was acknowledged and is gone`)
  })

  test('criterion 12 notices an acknowledgement of which the log knows nothing', async () => {
    const commits = await commitsOf(db)
    const ledger = Ledger.unpack(run.ledger.pack())
    ledger.acknowledge(run.plans + 1, 0, false)
    expect(audited(commits, ledger).violations).toBe(1)
  })

  test('criterion 12 notices a refusal that has committed, and an invoice that was seen and is gone', async () => {
    const commits = await commitsOf(db)
    const refused = run.ledger.pack()
    const [plan, step] = commits.find(isCheckout)!.requestId!.split('.').map(Number)
    refused.refused[plan!] = 1 << step!
    expect(audited(commits, Ledger.unpack(refused)).violations).toBe(1)
    const seen = Ledger.unpack(run.ledger.pack())
    seen.see(run.plans + 1)
    expect(audited(commits, seen).violations).toBe(1)
  })

  test('criterion 12 notices a commit that happened twice', async () => {
    const commits = await commitsOf(db)
    const finding = audited([...commits, commits.findLast(isCheckout)!])
    expect(finding.examples.join()).toContain('in the log twice')
  })

  test.each([
    'order.order',
    'order.item',
    'payment.payment',
    'shipment.package',
    'seller.entry',
    'stock.item',
    'cart.item',
    'cart.cart',
    'customer.customer',
  ])('criterion 12 notices a checkout without its change of %s', async (table) => {
    const commits = await commitsOf(db)
    const finding = audited(without(commits, commits.findIndex(isCheckout), table))
    expect(finding.examples.join()).toContain('is half done')
    expect(finding.examples.join()).toContain('the log adds up to')
  })

  test.each(['seller.entry', 'order.history', 'customer.customer', 'shipment.package'])(
    'criterion 12 notices a delivery without its change of %s',
    async (table) => {
      const commits = await commitsOf(db)
      const place = commits.findIndex(
        (commit) => isDelivery(commit) && commit.changes.some((change) => change.table === table),
      )
      expect(audited(without(commits, place, table)).examples.join()).toContain('is half done')
    },
  )

  test('criterion 12 notices a part of the population that is gone, and a log that runs back', async () => {
    const commits = await commitsOf(db)
    const seller = commits.findIndex((commit) => commit.requestId === 'seller.2')
    expect(audited(commits.filter((_, place) => place !== seller)).examples.join()).toContain(
      'of the population are missing',
    )
    const back = commits.map((commit, place) =>
      place === commits.length - 1 ? { ...commit, time: commit.time - 1_000_000 } : commit,
    )
    expect(audited(back).examples.join()).toContain('time runs back')
  })

  const isDelivery = (commit: Commit): boolean =>
    commit.procedure === 'shipment.updateDelivery' && commit.changes.length > 0

  function lived(commits: readonly Commit[], criterion: Criterion): Finding {
    const audit = new LifecycleAudit()
    for (const commit of commits) audit.visit(commit)
    return findingOf(audit.findings(), criterion)
  }

  test('the log as it is meets criteria 9 and 10', async () => {
    const commits = await commitsOf(db)
    for (const criterion of [9, 10] as const) expect(holds(lived(commits, criterion))).toBe(true)
  })

  test('criterion 9 notices a package that is delivered twice', async () => {
    const commits = await commitsOf(db)
    const twice = commits.find(isDelivery)!
    const again = {
      ...twice,
      changes: twice.changes.map((change) => ({ ...change, before: change.after }) as typeof change),
    }
    expect(lived([...commits, again], 9).examples.join()).toContain('went from delivered to delivered')
  })

  test('criterion 9 notices a delivery that leaves an older package behind', async () => {
    const commits = await commitsOf(db)
    const place = commits.findIndex(isDelivery)
    const change = commits[place]!.changes.find((one) => one.table === shipment.tables.package.name)!
    const older = { ...change.before!, instance: 0, package: 99 }
    const inserted = { ...change, kind: 'insert', before: undefined, after: older } as typeof change
    const before = { ...commits[place]!, procedure: 'cart.checkout', changes: [inserted] }
    const finding = lived([...commits.slice(0, place), before, ...commits.slice(place)], 9)
    expect(finding.examples.join()).toContain('the oldest is of 0')
  })

  test('criterion 9 notices a delivery for eleven sellers, and one by somebody else', async () => {
    const commits = await commitsOf(db)
    const whole = commits.find(isDelivery)!
    const change = whole.changes.find((one) => one.table === shipment.tables.package.name)!
    const ofSeller = (seller: number) =>
      ({ ...change, before: { ...change.before!, seller }, after: { ...change.after!, seller } }) as typeof change
    const many = { ...whole, changes: Array.from({ length: 11 }, (_, seller) => ofSeller(seller)) }
    expect(lived([many], 9).examples.join()).toContain('packages of 11 sellers')
    expect(lived([{ ...whole, procedure: 'cart.addItem' }], 9).examples.join()).toContain('cart.addItem delivers')
  })

  test('criterion 10 notices steps that come in another order than they have', async () => {
    const commits = await commitsOf(db)
    const place = commits.findIndex(isCheckout)
    const backwards = { ...commits[place]!, changes: [...commits[place]!.changes].reverse() }
    const finding = lived(
      commits.map((commit, other) => (other === place ? backwards : commit)),
      10,
    )
    expect(finding.violations).toBeGreaterThan(0)
  })
})
