/**
 * Aggregates against plain arrays of events: commands with expected versions, conditions on other streams, refusals, several streams in one
 * transaction, snapshots that are made anew, reopening in the middle, states of before by version and by position. A failure prints its seed.
 */
import { expect, test } from 'vitest'
import { type Database, type ErrorCode, type Position, SluiceError } from 'sluicedb'
import cartApp, { append, creditUnless, rebuild, shop, transfer } from '../support/apps/cart-app.js'
import { newFolder, openFor, openOnce, proveWhole } from '../support/fixture.js'
import { type Random, seeds, withSeed } from '../support/random.js'

const { account, cart } = shop.aggregates
type Happened = { readonly type: string; readonly n?: number; readonly product?: string }
type Expected = number | 'none' | 'exists' | undefined
const carts = ['ann', 'bob', 'eve']
const accounts = [1, 2]
const products = ['tea', 'cup', 'pot']

/** What is said of a call: the code of its refusal, or how it ended. */
type Said = ErrorCode | 'done'

class Streams {
  readonly #of = new Map<string | number, Happened[]>()
  /** What was there at some positions of the log. */
  readonly moments: { readonly position: Position; readonly lengths: ReadonlyMap<string | number, number> }[] = []

  of(id: string | number): Happened[] {
    let events = this.#of.get(id)
    if (events === undefined) this.#of.set(id, (events = []))
    return events
  }
  get count(): number {
    return [...this.#of.values()].reduce((sum, { length }) => sum + length, 0)
  }
  note(position: Position): void {
    this.moments.push({ position, lengths: new Map(Array.from(this.#of, ([id, { length }]) => [id, length])) })
  }

  cart(id: string, version = Infinity): { lines: Record<string, number>; open: boolean } {
    const state = { lines: {} as Record<string, number>, open: true }
    for (const { type, product, n } of this.of(id).slice(0, version)) {
      if (type === 'added') state.lines[product!] = (state.lines[product!] ?? 0) + n!
      if (type === 'removed') delete state.lines[product!]
      if (type === 'checkedOut') state.open = false
    }
    return state
  }
  account(id: number, version = Infinity): { balance: number; closed: boolean } {
    const events = this.of(id).slice(0, version)
    return { balance: events.reduce((sum, { n = 0 }) => sum + n, 0), closed: events.some(({ type }) => type === 'closed') }
  }
}

const meets = (actual: number, expected: Expected): boolean =>
  expected === undefined || (expected === 'none' ? actual === 0 : expected === 'exists' ? actual > 0 : actual === expected)

/** A call, what must be said of it, and what it does to the arrays if it is done. */
interface Step {
  readonly what: string
  readonly wanted: Said
  readonly submit: () => Promise<{ readonly position: Position }>
  readonly then: () => void
}

function stepOf(db: Database, streams: Streams, random: Random): Step {
  return random.chance(0.65) ? cartStep(db, streams, random) : accountStep(db, streams, random)
}

function cartStep(db: Database, streams: Streams, { below, pick, chance }: Random): Step {
  const id = pick(carts)
  const events = streams.of(id)
  const { length } = events
  const { lines, open } = streams.cart(id)
  const product = pick(products)
  const expected = chance(0.6) ? undefined : pick<Expected>([length, length + 1, Math.max(0, length - 1), 'none', 'exists'])
  const expectation = expected === undefined ? {} : { expectedVersion: expected }
  const ifMet = (said: Said): Said => (meets(length, expected) ? said : 'CONFLICT')
  const what = (name: string): string => `${name} ${id} at ${length}, expected ${expected}`
  switch (below(5)) {
    case 0: {
      const quantity = 1 + below(3)
      return { what: what('add'), wanted: ifMet(open ? 'done' : 'ABORTED'), submit: () => db.submit(cart.add, { id, product, quantity, ...expectation }), then: () => events.push({ type: 'added', product, n: quantity }) }
    }
    case 1:
      return { what: what('remove'), wanted: ifMet(lines[product] === undefined ? 'ABORTED' : 'done'), submit: () => db.submit(cart.remove, { id, product, ...expectation }), then: () => events.push({ type: 'removed', product }) }
    case 2: {
      const total = Object.values(lines).reduce((sum, n) => sum + n, 0) + length
      const then = (): void => void (open && events.push({ type: 'looked' }, { type: 'checkedOut', n: total }))
      return { what: what('check out'), wanted: ifMet('done'), submit: () => db.submit(cart.checkout, { id, ...expectation }), then }
    }
    case 3: {
      const more = Array.from({ length: 1 + below(4) }, () => ({ product: pick(products), quantity: 1 + below(9) }))
      const submit = () => db.submit(append, { id, events: more.map((payload) => ({ type: 'added' as const, payload })), expected: expected ?? null })
      return { what: what('append'), wanted: ifMet('done'), submit, then: () => events.push(...more.map((one) => ({ type: 'added', product: one.product, n: one.quantity }))) }
    }
    default:
      return { what: what('rebuild'), wanted: 'done', submit: () => db.submit(rebuild, { id }), then: () => undefined }
  }
}

function accountStep(db: Database, streams: Streams, { below, pick, chance }: Random): Step {
  const [id, other] = [pick(accounts), pick(accounts)]
  const [events, others] = [streams.of(id), streams.of(other)]
  const { balance } = streams.account(id)
  const isClosed = (stream: readonly Happened[]): boolean => stream.some(({ type }) => type === 'closed')
  const amount = 1 + below(20)
  if (chance(0.01)) return { what: `close ${id}`, wanted: 'done', submit: () => db.submit(account.close, { id }), then: () => events.push({ type: 'closed' }) }
  switch (below(3)) {
    case 0: {
      const signed = chance(0.3) ? -amount : amount
      return { what: `credit ${id} ${signed}`, wanted: balance + signed < 0 ? 'ABORTED' : 'done', submit: () => db.submit(account.credit, { id, amount: signed }), then: () => events.push({ type: 'credited', n: signed }) }
    }
    case 1: {
      const [above, after] = [below(20), below(others.length + 1)]
      const isMet = !isClosed(others) && !others.slice(after).some(({ type, n }) => type === 'credited' && n! > above)
      const submit = () => db.submit(creditUnless, { id, other, above, after })
      return { what: `credit ${id} unless ${other} above ${above} behind ${after}`, wanted: isMet ? 'done' : 'CONFLICT', submit, then: () => events.push({ type: 'credited', n: 1 }) }
    }
    default: {
      const then = (): void => {
        events.push({ type: 'credited', n: -amount })
        others.push({ type: 'credited', n: amount })
      }
      return { what: `transfer ${amount} from ${id} to ${other}`, wanted: balance < amount ? 'ABORTED' : isClosed(others) ? 'CONFLICT' : 'done', submit: () => db.submit(transfer, { from: id, to: other, amount }), then }
    }
  }
}

async function take(db: Database, streams: Streams, random: Random): Promise<void> {
  const { what, wanted, submit, then } = stepOf(db, streams, random)
  const outcome = await submit().then(({ position }) => ({ said: 'done' as const, position }), (error: unknown) => {
    if (!SluiceError.is(error)) throw error
    return { said: error.code, position: undefined }
  })
  expect(outcome.said, what).toBe(wanted)
  if (outcome.position === undefined) return
  const before = streams.count
  then()
  // A call that has recorded nothing stands nowhere in the log.
  if (streams.count > before && random.chance(0.2)) streams.note(outcome.position)
}

/** States of now and of any version before, rows, and rows as they were at a position. */
async function compare(db: Database, streams: Streams, random: Random): Promise<void> {
  const rowsOf = (of: Pick<Database, 'table'>, aggregate: typeof cart | typeof account, id: string | number) =>
    Array.from(of.table(aggregate.tables.events as typeof cart.tables.events).scan({ prefix: [id as string] }), ({ version, type, payload }) => {
      const { product, quantity, amount, total } = payload as Readonly<Record<string, unknown>>
      return { version, type, product, n: quantity ?? amount ?? total }
    })
  const wanted = (id: string | number, length = Infinity) => streams.of(id).slice(0, length).map(({ type, product, n }, at) => ({ version: at + 1, type, product, n }))
  const moment = streams.moments.length > 0 ? random.pick(streams.moments) : undefined
  using past = moment && (await db.asOf(moment.position))
  for (const [aggregate, ids] of [[cart, carts], [account, accounts]] as const) {
    for (const id of ids) {
      const { length } = streams.of(id)
      const version = random.below(length + 1)
      const stateAt = (at: number): unknown => (aggregate === cart ? streams.cart(id as string, at) : streams.account(id as number, at))
      expect(await db.call(aggregate.load as typeof cart.load, { id: id as string })).toEqual({ version: length, state: stateAt(length) })
      if (version > 0) expect(await db.call(aggregate.load as typeof cart.load, { id: id as string, version })).toEqual({ version, state: stateAt(version) })
      expect(rowsOf(db, aggregate, id)).toEqual(wanted(id))
      if (past !== undefined) expect(rowsOf(past as unknown as Database, aggregate, id)).toEqual(wanted(id, moment!.lengths.get(id) ?? 0))
    }
  }
}

/** Commands one after the other; now and then everything is compared. */
async function live(db: Database, streams: Streams, random: Random, steps: number): Promise<void> {
  for (let n = 0; n < steps; n += 1) {
    await take(db, streams, random)
    if (random.chance(0.05)) await compare(db, streams, random)
  }
  await compare(db, streams, random)
  proveWhole(db)
}

test.each(seeds(4))('streams of events are arrays, whatever is called and refused, seed %i', { timeout: 60_000 }, async (seed) => {
  await withSeed(seed, async (random) => await live(await openFor(cartApp, { workers: 0, partitions: 4, history: { bytes: 64 * 2 ** 20 } }), new Streams(), random, 120))
})

test.each(seeds(2))('they are, whatever is opened again, and so is what they were before, seed %i', { timeout: 60_000 }, async (seed) => {
  await withSeed(seed, async (random) => {
    const path = await newFolder()
    const streams = new Streams()
    for (let life = 0; life < 2; life += 1) {
      const db = await openOnce(cartApp, { path, workers: 0, partitions: 4, durability: 'os' })
      try {
        await live(db, streams, random, 20)
        if (random.chance(0.3)) await db.checkpoint()
      } finally {
        await db.close()
      }
    }
  })
})
