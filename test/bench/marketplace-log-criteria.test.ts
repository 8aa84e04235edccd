/**
 * The criteria that look at the log, as marketplace-criteria.test.ts has them that look at a state: each is shown a log that is wrong,
 * which is a right one from which something was taken, and must say so.
 */
import type { Commit, Database } from 'sluicedb'
import { open } from 'sluicedb'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Inputs, Workload } from '../../bench/workloads/marketplace/generator.js'
import { Ledger } from '../../bench/workloads/marketplace/ledger.js'
import { LifecycleAudit } from '../../bench/workloads/marketplace/lifecycle.js'
import { DurabilityAudit } from '../../bench/workloads/marketplace/log.js'
import { Replay } from '../../bench/workloads/marketplace/replay.js'
import { shipment } from '../../bench/workloads/marketplace/shipment.js'
import { holds, type Criterion, type Finding } from '../../bench/workloads/marketplace/verdict.js'
import broken, { tamper } from './broken-marketplace.js'
import { commitsOf, findingOf, type Run, smallRun, smallWorkload, someOrder } from './small-marketplace.js'

let run: Run
let db: Database

beforeEach(async () => {
  run = await smallRun(broken)
  db = run.db
})
afterEach(() => db.close())

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
    const [customer, id] = [someOrder(db).customer, someOrder(db).order]
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
