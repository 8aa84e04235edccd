/** What can be awaited of a durable consumer, and what ends it: `reached`, the option `signal`. docs/consumers.md. */
import { describe, expect, test } from 'vitest'
import type { Commit, Database, OpenOptions } from 'sluicedb'
import consumersApp, { note, order, post, shop } from '../support/apps/consumers-app.js'
import { newFolder, openFor, openOnce, refused, until } from '../support/fixture.js'

type Ordered = Commit<never, { payload: { customer: string; n: number } }>
const events = [shop.events.ordered]
const quick = { limit: 2, backoffMs: 1, backoffMsMax: 2 }
const customerOf = (commit: Ordered) => commit.events[0]!.payload.customer
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const orderOf = async (db: Database, customer: string, n: number) => (await db.submit(order, { customer, n })).position
const seenBy = (db: Database, customer: string) => Array.from(db.table(post.tables.seen).scan({ prefix: [customer] }), ({ n }) => n)

/** A door that handlers wait at. */
function door() {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { open, opened }
}

const hosts: readonly (readonly [string, OpenOptions])[] = [
  ['workers 0', { workers: 0, partitions: 4 }],
  ['workers 1', { workers: 1, partitions: 4 }],
]

describe.each(hosts)('%s', (_, options) => {
  test('a position is reached when all up to it is handled, and not before', async () => {
    const db = await openFor(consumersApp, options)
    const consumer = await db.consumer('all', { events }, async (commit, delivery) => {
      await sleep(1)
      await delivery.call(note, commit.events[0]!.payload)
    })
    for (let n = 0; n < 20; n += 1) {
      await consumer.reached(await orderOf(db, 'ann', n))
      expect(seenBy(db, 'ann')).toHaveLength(n + 1)
    }
    await consumer.reached(db.stats().position)
    expect(consumer.inspect()).toMatchObject({ isBehind: false, handled: 20 })
  })

  test('nobody waits for what comes behind, nor for what nobody has asked for', async () => {
    const db = await openFor(consumersApp, options)
    const { open, opened } = door()
    const consumer = await db.consumer('mixed', { events }, async (commit) => void (commit.events[0]!.payload.n === 1 && (await opened)))
    const [first, between, second, last] = (
      await Promise.all([db.submit(order, { customer: 'ann', n: 0 }), db.submit(note, { customer: 'ann', n: 7 }), db.submit(order, { customer: 'ann', n: 1 }), db.submit(note, { customer: 'ann', n: 8 })])
    ).map(({ position }) => position) as [never, never, never, never]
    await consumer.reached(first)
    await consumer.reached(between) // no event of its own: passed over
    expect(consumer.inspect()).toMatchObject({ inFlight: 1, isBehind: true })
    let isThere = false
    const waiting = consumer.reached(last).then(() => (isThere = true))
    await sleep(20)
    expect(isThere).toBe(false)
    open()
    await Promise.all([consumer.reached(second), waiting])
  })
})

test('what is parked or dead is not waited for; what was told to go on is', async () => {
  const db = await openFor(consumersApp)
  const { open, opened } = door()
  let isBroken = true
  const consumer = await db.consumer('mail', { events, key: customerOf, redelivery: quick }, async (commit, delivery) => {
    if (customerOf(commit) === 'eve') return delivery.terminate('nobody can read this')
    if (customerOf(commit) !== 'bob') return
    if (isBroken) throw new Error('no such street')
    await opened
    await delivery.call(note, commit.events[0]!.payload)
  })
  for (const [n, customer] of ['bob', 'eve', 'bob'].entries()) await orderOf(db, customer, n)
  const last = await orderOf(db, 'ann', 0)
  await consumer.reached(last)
  expect(consumer.inspect()).toMatchObject({ parked: 2, dead: 1 })
  isBroken = false
  expect(await consumer.unpark('bob')).toBe(true)
  let isThere = false
  const waiting = consumer.reached(last).then(() => (isThere = true))
  await sleep(20)
  expect(isThere).toBe(false)
  open()
  await waiting
  expect(consumer.inspect().parked).toBe(0)
  expect(seenBy(db, 'bob')).toHaveLength(2)
  isBroken = true
  await consumer.reached(await orderOf(db, 'bob', 3))
  await consumer.unpark('bob')
  await consumer.reached(last) // tried again, in vain: it is parked once more
  await consumer.reached(db.stats().position)
  expect(consumer.parked({ state: 'parked' })).toHaveLength(1)
})

test('what was committed before the database was opened is reached like anything else', async () => {
  const path = await newFolder()
  const first = await openOnce(consumersApp, { path, durability: 'os' })
  const early: number[] = []
  const one = await first.consumer('old', { events, from: 'beginning' }, async (commit, { signal }) => {
    const { n } = commit.events[0]!.payload
    if (n > 0) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('closed'))))
    early.push(n)
  })
  // Of one batch, in the middle of which it is closed.
  const [done, left, looked] = (
    await Promise.all([first.submit(order, { customer: 'ann', n: 0 }), first.submit(order, { customer: 'ann', n: 1 }), first.submit(note, { customer: 'ann', n: 3 })])
  ).map(({ position }) => position) as [never, never, never]
  await one.reached(done)
  await one.close()
  await orderOf(first, 'ann', 2)
  await first.close()
  const second = await openFor(consumersApp, { path, durability: 'os' })
  const late: number[] = []
  const other = await second.consumer('old', { events }, (commit) => void late.push(commit.events[0]!.payload.n))
  await other.reached(done)
  expect(late).toEqual([])
  await other.reached(left)
  expect(late).toContain(1)
  await other.reached(second.stats().position)
  expect([early, late]).toEqual([[0], [1, 2]])
  await other.reset('beginning')
  await other.reached(looked) // not as it was reached before
  expect(late.slice(2, 4)).toEqual([0, 1])
})

test('waiting ends by its signal, with its consumer, and with the database', async () => {
  const db = await openFor(consumersApp)
  const consumer = await db.consumer('ends', { events }, () => undefined)
  const never = 'f'.repeat(12).padStart(16, '0') + '-00000000' as never
  const controller = new AbortController()
  const waiting = consumer.reached(never, { signal: controller.signal })
  controller.abort('enough')
  expect((await refused(waiting, 'CANCELLED')).cause).toBe('enough')
  await refused(consumer.reached(never, { signal: controller.signal }), 'CANCELLED')
  await refused(consumer.reached('now' as never), 'INVALID_USE')
  await refused(consumer.reached(never, { timeoutMs: 5 } as never), 'INVALID_USE')
  const closing = consumer.reached(never)
  await Promise.all([refused(closing, 'CANCELLED'), consumer.close()])
  await refused(consumer.reached(never), 'INVALID_USE')
  const again = await db.consumer('ends', { events, group: true }, () => undefined)
  const other = await db.consumer('ends', { events, group: true }, () => undefined)
  const both = [refused(again.reached(never), 'CANCELLED'), refused(other.reached(never), 'DATABASE_CLOSED')] // each with its own member
  await again.close()
  await db.close()
  await Promise.all(both)
  await refused(other.reached(never), 'DATABASE_CLOSED')
})

/** A database without a path has the newest 64 MiB of frames only: who is behind them does not go on. */
test('who waits for a consumer that does not go on hears why', async () => {
  const db = await openFor(consumersApp)
  const first = await db.consumer('late', { events, from: 'beginning' }, () => undefined)
  await first.pause()
  const position = await orderOf(db, 'ann', 0)
  await db.submitMany(note, Array.from({ length: 800 }, (_, n) => ({ customer: 'ann', n, by: 'x'.repeat(100_000) })))
  const stops: string[] = []
  await first.close()
  const late = await db.consumer('late', { events, onStop: ({ code }) => void stops.push(code) }, () => undefined)
  const waiting = late.reached(position)
  await late.resume()
  await refused(waiting, 'HISTORY_GONE')
  await refused(late.reached(position), 'HISTORY_GONE')
  await until(() => stops.length > 0, 'onStop hears of it')
  expect(stops).toEqual(['HISTORY_GONE'])
})

test('a signal stops a consumer as close() does, and one that is aborted before opens none', async () => {
  const db = await openFor(consumersApp)
  const controller = new AbortController()
  let isAborted = false
  const consumer = await db.consumer('signalled', { events, signal: controller.signal }, async (_, { signal }) => {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    isAborted = true
    throw new Error('closed')
  })
  await orderOf(db, 'ann', 0)
  await until(() => consumer.inspect().inFlight === 1, 'it is with its handler')
  controller.abort()
  await consumer.close()
  expect(isAborted).toBe(true)
  expect(db.consumers.list()).toMatchObject([{ name: 'signalled', isOpen: false }])
  const seen: number[] = []
  const again = await db.consumer('signalled', { events, signal: new AbortController().signal }, (commit) => void seen.push(commit.events[0]!.payload.n))
  await again.reached(db.stats().position)
  expect(seen).toEqual([0]) // what was given back is delivered
  expect((await refused(db.consumer('none', { events, signal: AbortSignal.abort('no') }, () => undefined), 'CANCELLED')).cause).toBe('no')
  const hasty = new AbortController()
  const opening = db.consumer('hasty', { events, signal: hasty.signal }, () => undefined)
  hasty.abort()
  await refused(opening, 'CANCELLED')
  expect(db.consumers.list()).toMatchObject([{ name: 'hasty', isOpen: false }, { name: 'signalled', isOpen: true }])
  await refused(db.consumer('wrong', { events, signal: 1 as never }, () => undefined), 'INVALID_USE')
})

test('a consumer of services has their tables and events, and those of no other', async () => {
  const db = await openFor(consumersApp)
  const seen: string[] = []
  const consumer = await db.consumer('of', { services: [shop], key: (commit) => commit.procedure }, (commit) => void seen.push(...commit.changes.map(({ table }) => table), ...commit.events.map(({ type }) => type)))
  await db.call(note, { customer: 'ann', n: 0 })
  await consumer.reached(await orderOf(db, 'ann', 0))
  expect(seen).toEqual(['shop.order', 'shop.ordered'])
  await refused(db.consumer('odd', { services: [1 as never] }, () => undefined), 'INVALID_USE')
})
