/**
 * The services and the clients of the marketplace, on a small database: flows, decisions, leases, and the
 * retry of what is in doubt.
 */
import { open, SluiceError, type Database } from 'sluicedb'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import application from '../../bench/workloads/marketplace/app.js'
import { addItem, cart, checkout } from '../../bench/workloads/marketplace/cart.js'
import { checkState } from '../../bench/workloads/marketplace/criteria.js'
import { customer } from '../../bench/workloads/marketplace/customer.js'
import { Inputs, Workload, type Plan } from '../../bench/workloads/marketplace/generator.js'
import { Ledger } from '../../bench/workloads/marketplace/ledger.js'
import { order } from '../../bench/workloads/marketplace/order.js'
import { payment } from '../../bench/workloads/marketplace/payment.js'
import { declinedCard } from '../../bench/workloads/marketplace/messages.js'
import { deleteProduct, product, updatePrice, updateProduct } from '../../bench/workloads/marketplace/product.js'
import { Random, ranks } from '../../bench/workloads/marketplace/random.js'
import { dashboard, openEntries, openOrders } from '../../bench/workloads/marketplace/seller.js'
import { shipment, updateDelivery } from '../../bench/workloads/marketplace/shipment.js'
import { stock } from '../../bench/workloads/marketplace/stock.js'
import { holds } from '../../bench/workloads/marketplace/verdict.js'
import { commitsOf, drive, populate, smallWorkload } from './small-marketplace.js'

const buyer = {
  firstName: 'Ana',
  lastName: 'Lima',
  street: 'Rua 1',
  complement: '',
  city: 'Natal',
  state: 'RN',
  zipCode: '59000',
  paymentType: 'CREDIT_CARD',
  cardNumber: '4111',
  cardHolder: 'Ana Lima',
  cardExpiration: '01/31',
  cardBrand: 'Visa',
  installments: 3,
} as const

describe('one transaction at a time', () => {
  let db: Database
  beforeEach(async () => {
    db = await open(application, { workers: 0, memory: { bytes: 256 * 2 ** 20 } })
    await populate(db)
  })
  afterEach(() => db.close())

  const offer = (id: number) => db.table(product.tables.product).get([Math.floor(id / 10), id])!
  const add = (id: number, quantity = 2, voucherPercent = 0, customer = 1) => {
    return db.call(addItem, {
      customer,
      seller: Math.floor(id / 10),
      product: id,
      quantity,
      voucherPercent,
      instance: 900 + id,
    })
  }
  const pay = (customer = 1, instance = 1_000) => db.call(checkout, { ...buyer, customer, instance })
  const deliver = async () => (await db.call(updateDelivery, { instance: 5_000 })).delivered
  const statuses = (customer = 1, id = 1) =>
    [...db.table(order.tables.history).scan({ prefix: [customer, id] })].map((step) => step.status)
  const stateHolds = (): boolean => {
    using snapshot = db.snapshot()
    return checkState(snapshot, smallWorkload.quantity).every((finding) => finding.violations === 0)
  }
  const refusal = async (call: Promise<unknown>): Promise<string | undefined> => {
    const error = await call.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    return SluiceError.is(error, 'ABORTED') ? error.reason : String(error)
  }

  test('a checkout goes through all services in one commit', async () => {
    await add(5, 3)
    await add(17, 1, 10)
    await pay()
    const placed = db.table(order.tables.order).get([1, 1])!
    const [first, second] = [offer(5), offer(17)]
    const voucher = Math.floor(second.price / 10)
    expect(placed).toMatchObject({
      countItems: 2,
      totalItems: 3 * first.price + second.price,
      totalIncentive: voucher,
      totalInvoice: 3 * first.price + second.price - voucher + first.freight + second.freight,
      invoiceNumber: '1-1000-1',
    })
    expect(db.table(payment.tables.payment).get([1, 1, 1])).toMatchObject({
      type: 'CREDIT_CARD',
      installments: 3,
      value: placed.totalInvoice,
    })
    expect(db.table(payment.tables.payment).get([1, 1, 2])).toMatchObject({ type: 'VOUCHER', value: voucher })
    expect(db.table(shipment.tables.shipment).get([1, 1])).toMatchObject({
      packageCount: 2,
      status: 'APPROVED',
    })
    expect(db.table(stock.tables.item).get([0, 5])).toMatchObject({
      qtyAvailable: smallWorkload.quantity - 3,
      qtyReserved: 0,
      orderCount: 1,
      ytd: 3,
    })
    expect(statuses()).toEqual(['INVOICED', 'PAYMENT_PROCESSED', 'READY_FOR_SHIPMENT'])
    expect(db.table(customer.tables.customer).get(1)?.successPaymentCount).toBe(1)
    expect(db.table(cart.tables.item).count()).toBe(0)
    const shown = await db.call(dashboard, { seller: 0 })
    expect(shown.totals).toMatchObject({ orders: 1, items: 1, quantity: 3 })
    expect(shown.entries).toMatchObject([{ orderStatus: 'READY_FOR_SHIPMENT', deliveryStatus: 'ready_to_ship' }])
    const commit = (await commitsOf(db)).at(-1)!
    expect(new Set(commit.changes.map((change) => change.table))).toEqual(
      new Set([
        'customer.customer',
        'cart.cart',
        'cart.item',
        'stock.item',
        'order.counter',
        'order.order',
        'order.item',
        'order.history',
        'seller.entry',
        'payment.payment',
        'payment.card',
        'shipment.shipment',
        'shipment.package',
      ]),
    )
    expect(commit.events.map((event) => event.type)).toEqual([
      'cart.reserveStock',
      'stock.stockConfirmed',
      'order.invoiceIssued',
      'payment.paymentConfirmed',
      'shipment.shipmentUpdated',
    ])
    expect(stateHolds()).toBe(true)
  })

  test('a declined card leaves an order that nobody ships, and everything else as it was', async () => {
    await add(5, 3)
    await add(17, 1, 10)
    await db.call(checkout, { ...buyer, cardNumber: declinedCard, customer: 1, instance: 1_000 })
    expect(statuses()).toEqual(['INVOICED', 'PAYMENT_FAILED'])
    expect(db.table(order.tables.order).get([1, 1])?.status).toBe('PAYMENT_FAILED')
    expect(db.table(payment.tables.payment).count()).toBe(1) // no voucher is used
    expect(db.table(payment.tables.payment).get([1, 1, 1])?.status).toBe('requires_payment_method')
    expect(db.table(shipment.tables.shipment).count()).toBe(0)
    expect(db.table(stock.tables.item).get([0, 5])).toMatchObject({
      qtyAvailable: smallWorkload.quantity,
      qtyReserved: 0,
    })
    const { successPaymentCount, failedPaymentCount } = db.table(customer.tables.customer).get(1)!
    expect([successPaymentCount, failedPaymentCount]).toEqual([0, 1])
    expect((await db.call(dashboard, { seller: 0 })).totals.orders).toBe(0)
    expect(db.table(cart.tables.item).count()).toBe(0)
    expect(stateHolds()).toBe(true)
  })

  test('a delivery takes the oldest package of each seller', async () => {
    await add(5)
    await add(17)
    await pay(1, 20)
    await add(6, 1, 0, 2)
    await pay(2, 10) // committed later, asked for earlier
    expect(await deliver()).toBe(2) // of seller 0 that of customer 2, of seller 1 that of customer 1
    expect(statuses(2)).toEqual([
      'INVOICED',
      'PAYMENT_PROCESSED',
      'READY_FOR_SHIPMENT',
      'IN_TRANSIT',
      'DELIVERED',
    ])
    expect(statuses().at(-1)).toBe('IN_TRANSIT')
    expect(db.table(shipment.tables.shipment).get([1, 1])?.status).toBe('DELIVERY_IN_PROGRESS')
    expect(db.table(shipment.tables.shipment).get([2, 1])?.status).toBe('CONCLUDED')
    expect((await db.call(dashboard, { seller: 1 })).entries).toMatchObject([
      { customer: 1, orderStatus: 'IN_TRANSIT', deliveryStatus: 'delivered', package: 2 },
    ])
    expect(stateHolds()).toBe(true)
    expect(await deliver()).toBe(1)
    expect(db.table(order.tables.order).get([1, 1])?.status).toBe('DELIVERED')
    expect(db.table(customer.tables.customer).get(1)?.deliveryCount).toBe(2)
    expect((await db.call(dashboard, { seller: 1 })).entries).toEqual([])
    expect(await deliver()).toBe(0)
    expect(stateHolds()).toBe(true)
  })

  test('all packages of a seller in an order are delivered together', async () => {
    await add(5)
    await add(6)
    await pay()
    expect(await deliver()).toBe(2)
    expect(stateHolds()).toBe(true)
  })

  test('a deleted product leaves the market with its stock, and an update lists it again', async () => {
    await add(5)
    await db.call(deleteProduct, { seller: 0, product: 5, version: 1, instance: 1 })
    expect(offer(5).status).toBe('deleted')
    expect(db.table(stock.tables.item).get([0, 5])).toMatchObject({ status: 'deleted', version: 1 })
    expect(db.table(cart.tables.replica).get([0, 5])).toMatchObject({ status: 'deleted', version: 1 })
    expect(await refusal(add(5))).toBe('NO_SUCH_PRODUCT')
    expect(await refusal(pay())).toBe('NOTHING_AVAILABLE')
    expect(stateHolds()).toBe(true)
    await db.call(updateProduct, { ...described(offer(5)), status: 'approved', version: 2, instance: 1 })
    await add(5)
    await pay()
    expect(stateHolds()).toBe(true)
  })

  test('the dashboard is two queries by the index of open entries', () => {
    expect(db.explain(openOrders)).toContain('by index open')
    expect(db.explain(openEntries)).toContain('by index open')
  })

  test('an empty cart is refused', async () => {
    expect(await refusal(pay())).toBe('EMPTY_CART')
    expect(db.table(order.tables.order).count()).toBe(0)
  })

  test('a price update reaches the carts, and the voucher makes up for it', async () => {
    await add(5, 1, 10)
    const { price, version } = offer(5)
    const before = db.table(cart.tables.item).get([1, 0, 5])!
    await db.call(updatePrice, { seller: 0, product: 5, price: price + 70, version, instance: 1 })
    expect(db.table(cart.tables.item).get([1, 0, 5])).toMatchObject({
      unitPrice: price + 70,
      voucher: before.voucher + 70,
    })
    expect(db.table(cart.tables.replica).get([0, 5])?.price).toBe(price + 70)
    expect(stateHolds()).toBe(true)
  })

  test('a price for an old version changes neither product nor replica', async () => {
    const { price } = offer(5)
    expect(
      await db.call(updatePrice, { seller: 0, product: 5, price: price + 1, version: 77, instance: 1 }),
    ).toEqual({ current: false })
    expect(offer(5).price).toBe(price)
    expect(db.table(cart.tables.replica).get([0, 5])?.price).toBe(price)
  })

  test('an item of an old version is left out, and when nothing is left the cart stays as it was', async () => {
    await add(5)
    await db.call(updateProduct, { ...described(offer(5)), version: 1, instance: 1 })
    expect(await refusal(pay())).toBe('NOTHING_AVAILABLE')
    expect(db.table(cart.tables.item).count()).toBe(1)
    await add(17)
    await pay()
    expect(db.table(order.tables.order).get([1, 1])?.countItems).toBe(1)
    expect(db.table(cart.tables.item).count()).toBe(0)
    expect(stateHolds()).toBe(true)
  })

  test('no more is reserved than there is', async () => {
    await add(5, smallWorkload.quantity + 1)
    expect(await refusal(pay())).toBe('NOTHING_AVAILABLE')
    await add(5, smallWorkload.quantity)
    await pay()
    await add(5, 1, 0, 2)
    expect(await refusal(pay(2))).toBe('NOTHING_AVAILABLE')
    expect(stateHolds()).toBe(true)
  })

  test('an unknown product is refused everywhere', async () => {
    expect(await refusal(add(4_000))).toBe('NO_SUCH_PRODUCT')
    expect(
      await refusal(db.call(updatePrice, { seller: 9, product: 99, price: 1, version: 0, instance: 1 })),
    ).toBe('NO_SUCH_PRODUCT')
    expect(await refusal(db.call(updateProduct, { ...described(offer(5)), product: 99, instance: 1 }))).toBe(
      'NO_SUCH_PRODUCT',
    )
  })

  function described(row: ReturnType<typeof offer>) {
    const { createdAt, updatedAt, ...rest } = row
    return rest
  }
})

test('clients finish every plan; run again, every request is answered from the record', async () => {
  await using db = await open(application, { workers: 0, memory: { bytes: 256 * 2 ** 20 } })
  await populate(db)
  const { acknowledgements } = await drive(db, 150)
  const plans = draw(150)
  const steps = plans.reduce((sum, plan) => sum + Math.max(1, plan.steps.length), 0)
  expect(acknowledgements.length).toBe(steps)
  using snapshot = db.snapshot()
  expect(checkState(snapshot, smallWorkload.quantity).filter((finding) => finding.violations > 0)).toEqual([])

  const again = await drive(db, 150, smallWorkload, new Ledger())
  const outcomes = new Set(
    again.acknowledgements.filter((one) => one.type !== 'dashboard').map((one) => one.outcome),
  )
  expect(outcomes.has('committed')).toBe(false)
  using after = db.snapshot()
  expect(after.table(order.tables.order).count()).toBe(snapshot.table(order.tables.order).count())
})

test('what was acknowledged before is not sent again', async () => {
  await using db = await open(application, { workers: 0, memory: { bytes: 256 * 2 ** 20 } })
  await populate(db)
  const first = await drive(db, 40)
  const again = await drive(db, 60, smallWorkload, Ledger.unpack(first.ledger.pack()))
  expect(again.acknowledgements.filter((one) => one.plan <= 40 && one.type !== 'dashboard')).toEqual([])
  expect(again.acknowledgements.every((one) => one.outcome !== 'repeated')).toBe(true)
})

describe('the workload', () => {
  test('is a function of its seed', () => {
    expect(draw(200)).toEqual(draw(200))
    expect(draw(200)).not.toEqual(draw(200, smallWorkload.seed + 1))
  })

  test('has the mix of the profile', () => {
    const plans = draw(20_000)
    const share = (kind: Plan['kind']): number =>
      (100 * plans.filter((plan) => plan.kind === kind).length) / plans.length
    const wanted = { session: 30.7, dashboard: 5, price: 3, product: 2, delivery: 59.4 } as const
    for (const kind of ['session', 'dashboard', 'price', 'product', 'delivery'] as const) {
      expect(Math.abs(share(kind) - wanted[kind])).toBeLessThan(1)
    }
  })

  test('puts one line per seller into a cart, and only ever raises a price', () => {
    const prices = new Map<string, number>()
    for (const plan of draw(5_000)) {
      const sellers = plan.steps.flatMap((step) => (step.kind === 'addItem' ? [step.input.seller] : []))
      expect(new Set(sellers).size).toBe(sellers.length)
      const [step] = plan.steps
      if (step?.kind !== 'updatePrice') continue
      const key = `${step.input.product}@${step.input.version}`
      expect(step.input.price).toBeGreaterThan(prices.get(key) ?? -1)
      prices.set(key, step.input.price)
    }
  })

  test('names every input by its id, once', () => {
    const inputs = new Inputs(smallWorkload, 100)
    for (const plan of draw(100).reverse()) {
      for (const step of plan.steps) {
        expect(inputs.take(step.id)).toEqual(step)
        expect(inputs.take(step.id)).toBeUndefined()
      }
    }
    expect(inputs.take('101.0')).toBeUndefined()
    expect(inputs.take('customer.3')?.kind).toBe('addCustomer')
    expect(inputs.take('nobody')).toBeUndefined()
  })

  test('picks hot products when it is skewed, and all of them when it is not', () => {
    const counts = (skew: number): number[] => {
      const rank = ranks(100, skew)
      const random = new Random(3, 0)
      const seen = new Array<number>(100).fill(0)
      for (let pick = 0; pick < 20_000; pick += 1) seen[rank(random)]! += 1
      return seen
    }
    expect(Math.min(...counts(0))).toBeGreaterThan(130)
    expect(counts(1)[0]!).toBeGreaterThan(8 * counts(1)[50]!)
  })
})

function draw(count: number, seed = smallWorkload.seed): Plan[] {
  const workload = new Workload({ ...smallWorkload, seed })
  return Array.from({ length: count }, () => workload.next())
}
