/**
 * Durable consumers against the simplest model there is: the orders of each customer in the order of the log, each noted once. On the way there
 * handlers fail at random, before their effect, behind it and in the middle, say not now and never, members join and leave, the consumer
 * is closed, opened again and paused, keys are parked and told to go on, what is dead is discarded, and the database is closed and opened again. A
 * failure prints its seed.
 */
import { expect, test } from 'vitest'
import type { Consumer, Database, Delivery } from 'sluicedb'
import consumersApp, { order } from '../support/apps/consumers-app.js'
import { byCustomer, drained, expectNoted, noteTwice, ordered, orderOf } from '../support/consumer-orders.js'
import { newFolder, openOnce, proveWhole } from '../support/fixture.js'
import { type Random, seeds, withSeed } from '../support/random.js'

const lives = 3
const ordersPerLife = 60
const customers = 5
/** An order that nobody can handle: it is said to be dead the first time. */
const isDead = (n: number): boolean => n % 23 === 7

class Life {
  readonly #db: Database
  readonly #random: Random
  readonly #members: Consumer[] = []
  readonly #busy = new Set<string>()
  readonly #delivered: Set<number>
  readonly #discarded: Set<number>
  #isCalm = false

  constructor(db: Database, random: Random, delivered: Set<number>, discarded: Set<number>) {
    this.#db = db
    this.#random = random
    this.#delivered = delivered
    this.#discarded = discarded
  }

  async join(): Promise<Consumer> {
    const concurrency = 1 + this.#random.below(4)
    const member = await this.#db.consumer('model', { events: ordered, from: 'beginning', key: byCustomer, group: true, concurrency, redelivery: { limit: 2, backoffMs: 1, backoffMsMax: 3 } }, (commit, delivery) =>
      this.#handle(commit, delivery),
    )
    this.#members.push(member)
    return member
  }

  async #handle(commit: { readonly events: readonly { readonly payload: unknown }[] }, delivery: Delivery): Promise<void> {
    const { customer, n } = orderOf(commit)
    expect(this.#busy.has(customer), `${customer} is with one member at a time`).toBe(false)
    expect(this.#discarded.has(n), `${n} is discarded`).toBe(false)
    this.#busy.add(customer)
    this.#delivered.add(n)
    const fails = (): boolean => !this.#isCalm && this.#random.chance(0.12)
    try {
      if (this.#random.chance(0.3)) await new Promise((resolve) => setTimeout(resolve, this.#random.below(3)))
      if (isDead(n)) return delivery.terminate('nobody can handle it')
      if (fails()) throw new Error('before')
      await noteTwice(commit, delivery, () => {
        if (fails()) throw new Error('in the middle')
      })
      if (fails()) throw new Error('behind')
      if (fails()) delivery.nak({ delayMs: this.#random.below(4) })
    } finally {
      this.#busy.delete(customer)
    }
  }

  async run(from: number): Promise<void> {
    const calls: Promise<unknown>[] = []
    await this.join()
    for (let n = from; n < from + ordersPerLife; n += 1) {
      calls.push(this.#db.call(order, { customer: `c${this.#random.below(customers)}`, n }))
      if (this.#random.chance(0.3)) await calls.at(-1)
      if (this.#random.chance(0.05)) await this.join()
      if (this.#random.chance(0.05) && this.#members.length > 1) await this.#members.splice(this.#random.below(this.#members.length), 1)[0]!.close()
      if (this.#random.chance(0.03)) {
        await Promise.all(this.#members.splice(0).map((member) => member.close()))
        await this.join()
      }
      const one = this.#random.pick(this.#members)
      if (this.#random.chance(0.03)) await one.pause()
      if (this.#random.chance(0.1)) await one.resume()
      if (this.#random.chance(0.1)) for (const { key } of one.parked({ state: 'parked', limit: 2 })) await one.unpark(key)
      if (this.#random.chance(0.1)) {
        for (const { position, commit } of one.parked({ state: 'dead', limit: 1 })) if ((await one.discard({ position })) === 1) this.#discarded.add(orderOf(commit!).n)
      }
      if (this.#random.chance(0.02)) await this.#db.checkpoint()
    }
    await Promise.all(calls)
  }

  async end(): Promise<void> {
    this.#isCalm = true
    const [one] = this.#members
    await one!.resume()
    await drained(one!)
  }
}

test.each(seeds(4))('each order is noted once, in order by customer, seed %i', { timeout: 120_000 }, async (seed) => {
  await withSeed(seed, async (random) => {
    const path = await newFolder()
    const [delivered, discarded] = [new Set<number>(), new Set<number>()]
    for (let life = 0; life < lives; life += 1) {
      const db = await openOnce(consumersApp, { path, partitions: 4, durability: 'os', outcomes: { window: 0 }, retention: { bytes: 0 } })
      const running = new Life(db, random, delivered, discarded)
      await running.run(life * ordersPerLife)
      if (life === lives - 1) {
        await running.end()
        expect(expectNoted(db, isDead)).toBeGreaterThan(0)
        expect([...delivered].sort((a, b) => a - b)).toEqual(Array.from({ length: lives * ordersPerLife }, (_, n) => n))
        const dead = db.consumers.parked('model', { state: 'dead' })
        expect(dead.map(({ commit }) => orderOf(commit!).n).sort((a, b) => a - b)).toEqual(Array.from({ length: lives * ordersPerLife }, (_, n) => n).filter((n) => isDead(n) && !discarded.has(n)))
        proveWhole(db)
      }
      await db.close() // in the middle of it
    }
  })
})
