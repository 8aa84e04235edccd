/** Conformance of durable consumers: tests that are named after the bug of another system that each guards against (weaver-eventlog.md, §8). */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Database, Position, SluiceError } from 'sluicedb'
import consumersApp, { note, order, post } from '../support/apps/consumers-app.js'
import { byCustomer, noteTwice, ordered, orderOf } from '../support/consumer-orders.js'
import { newFolder, openFor, openOnce, refused, until } from '../support/fixture.js'

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const numbers = (db: Database, customer: string) => Array.from(db.table(post.tables.seen).scan({ prefix: [customer] }), (row) => row.n)
const segments = (path: string) => readdirSync(join(path, 'log'))

async function orders(db: Database, customer: string, from: number, to: number): Promise<Position[]> {
  const positions: Position[] = []
  for (let n = from; n < to; n += 1) positions.push((await db.submit(order, { customer, n })).position)
  return positions
}

test('§8.5 (emmett PR #252): handlers that wait are awaited, one by one', async () => {
  const db = await openFor(consumersApp)
  let running = 0
  const seen: number[] = []
  const consumer = await db.consumer('one', { events: ordered, from: 'beginning' }, async (commit) => {
    running += 1
    expect(running).toBe(1)
    const { n } = orderOf(commit)
    await sleep(n % 3)
    seen.push(n)
    running -= 1
  })
  await Promise.all(Array.from({ length: 30 }, (_, n) => db.call(order, { customer: 'ann', n })))
  await until(() => seen.length === 30, 'all of them')
  expect(seen).toEqual(Array.from({ length: 30 }, (_, n) => n))
  expect(consumer.inspect().handled).toBe(30)
})

test('§8.7 (nats #6114, #7106): a nak with a delay, and a restart, keep the order of a key', async () => {
  const path = await newFolder()
  const seen: string[] = []
  const openConsumer = (db: Database, isPatient: boolean) =>
    db.consumer('delayed', { events: ordered, from: 'beginning', key: byCustomer, redelivery: { limit: 100, backoffMs: 1 } }, async (commit, delivery) => {
      const { customer, n } = orderOf(commit)
      if (customer === 'ann' && n % 2 === 1 && (!isPatient || delivery.attempt < 3)) return delivery.nak({ delayMs: isPatient ? 2 : 60_000 })
      await delivery.call(note, { customer, n })
      seen.push(`${customer} ${n}`)
    })
  const first = await openOnce(consumersApp, { path, durability: 'os' })
  await openConsumer(first, false)
  for (let n = 0; n < 6; n += 1) for (const customer of ['ann', 'bob']) await first.call(order, { customer, n })
  await until(() => seen.length === 7, 'one key waits, the other goes on')
  expect(seen.filter((one) => one.startsWith('ann'))).toEqual(['ann 0'])
  await first.close()
  const second = await openFor(consumersApp, { path, durability: 'os' })
  const consumer = await openConsumer(second, true)
  await until(() => !consumer.inspect().isBehind, 'everything is handled')
  for (const customer of ['ann', 'bob']) expect(numbers(second, customer)).toEqual([0, 1, 2, 3, 4, 5])
})

test('§8.8 (nats #7817): what was tried too often is in the list of what is parked, never lost', { timeout: 60_000 }, async () => {
  const path = await newFolder()
  const first = await openOnce(consumersApp, { path, durability: 'os', retention: { bytes: 0 } })
  const options = { events: ordered, key: byCustomer, redelivery: { limit: 2, backoffMs: 1 } } as const
  let attempts = 0
  const failing = await first.consumer('lists', options, () => {
    attempts += 1
    throw new Error('the street is gone')
  })
  const [position] = await orders(first, 'ann', 0, 1)
  await until(() => failing.inspect().parked === 1 && !failing.inspect().isBehind, 'it is parked')
  expect(attempts).toBe(2)
  await orders(first, 'bob', 1, 3)
  await failing.close()
  for (let n = 0; n < 2; n += 1) await first.checkpoint() // the log may leave
  await first.close()

  const second = await openFor(consumersApp, { path, durability: 'os' })
  expect(second.consumers.parked('lists', { key: 'ann' })).toMatchObject([{ position, attempts: 2, message: 'the street is gone', commit: { position, events: [{ payload: { customer: 'ann', n: 0 } }] } }])
  const seen: number[] = []
  const consumer = await second.consumer('lists', options, (commit) => void seen.push(orderOf(commit).n))
  expect(await consumer.unpark('ann')).toBe(true)
  // Orders of bob may have been parked before the first consumer closed: they stay.
  await until(() => second.consumers.parked('lists', { key: 'ann' }).length === 0, 'it is handled')
  expect(seen).toContain(0)
})

test('§8.9 (redis #9745): a consumer that is deleted with pending commits leaves nothing unreachable', async () => {
  const path = await newFolder()
  const db = await openFor(consumersApp, { path, durability: 'os', retention: { bytes: 0 } })
  const consumer = await db.consumer('doomed', { events: ordered, key: byCustomer, redelivery: { limit: 1 } }, async (commit, delivery) => {
    const { customer, n } = orderOf(commit)
    await delivery.call(note, { customer, n })
    if (n > 0) await (n === 1 ? Promise.reject(new Error('parked')) : new Promise((resolve) => delivery.signal.addEventListener('abort', resolve)))
    if (delivery.signal.aborted) throw new Error('left in the middle')
  })
  for (const customer of ['ann', 'bob']) await orders(db, customer, 0, 2)
  await orders(db, 'eve', 2, 3)
  await until(() => consumer.inspect().parked === 2 && consumer.inspect().inFlight === 1, 'parked, and in flight')
  await consumer.close()
  expect(await db.consumers.delete('doomed')).toBe(true)
  expect([db.consumers.list(), db.consumers.parked('doomed'), db.stats().consumers]).toEqual([[], [], []])
  // Nothing of it holds the log, and one of the same name is another one.
  const fresh = await db.consumer('doomed', { events: ordered, from: 'beginning', key: byCustomer }, (commit, delivery) => noteTwice(commit, delivery))
  await until(() => !fresh.inspect().isBehind, 'everything once more')
  expect([numbers(db, 'ann'), numbers(db, 'copy of ann')]).toEqual([[0, 1, 0, 1], [0, 1]])
})

/** Segments of 8 MB: some of them. */
async function fillLog(db: Database, from: number): Promise<void> {
  await db.submitMany(order, Array.from({ length: 90 }, (_, k) => ({ customer: 'long', n: from + k, note: 'x'.repeat(100_000) })))
}

test('§8.10 (mongo ChangeStreamHistoryLost, redis #5570): the log is kept for who has not read it, or that one is told what is left', { timeout: 120_000 }, async () => {
  const path = await newFolder()
  const open = (consumerBytes: number) => openOnce(consumersApp, { path, durability: 'os', retention: { bytes: 0, consumerBytes } })
  const seen: number[] = []
  const first = await open(Infinity)
  const early = await first.consumer('late', { events: ordered }, (commit) => void seen.push(orderOf(commit).n))
  await orders(first, 'ann', 0, 2)
  await until(() => seen.length === 2, 'two')
  await early.pause()
  await fillLog(first, 2)
  const before = segments(path)
  await first.close()
  // The log in memory is gone, that in files is not: all of it that the consumer has not passed.
  const again = await open(Infinity)
  for (let n = 0; n < 2; n += 1) await again.checkpoint()
  const same = await again.consumer('late', { events: ordered }, (commit) => void seen.push(orderOf(commit).n))
  await same.resume()
  await until(() => seen.length === 92, 'it goes on without a gap')
  expect(seen).toEqual(Array.from({ length: 92 }, (_, n) => n))
  await same.pause()
  for (const from of [92, 182, 272]) await fillLog(again, from) // the newest segment never leaves
  await again.close()

  const second = await open(1_000_000) // less than it is behind
  for (let n = 0; n < 2; n += 1) await second.checkpoint()
  expect(segments(path)).not.toEqual(expect.arrayContaining(before))
  let told: SluiceError | undefined
  const late = await second.consumer('late', { events: ordered, onStop: (error) => void (told = error) }, (commit) => void seen.push(orderOf(commit).n))
  await late.resume()
  await until(() => told !== undefined, 'it is told')
  expect(told!.code).toBe('HISTORY_GONE')
  const { oldest } = told!.details as { oldest: Position }
  expect(oldest > late.position).toBe(true)
  expect(seen.length).toBe(92)
  expect(late.inspect()).toMatchObject({ stoppedBy: 'HISTORY_GONE', handled: 0 })
  await refused(second.consumer('late', { events: ordered }, () => undefined), 'INVALID_USE')
  await late.reset(oldest) // it is for a person to say that the gap is known
  await orders(second, 'eve', 1_000, 1_001)
  await until(() => seen.includes(1_000), 'it goes on')
  expect(late.inspect().stoppedBy).toBe(undefined)
  await second.close()
})

test('§8.15 (E-20, X-04): a crash between effect and acknowledgement: no effect twice', async () => {
  const path = await newFolder()
  const first = await openOnce(consumersApp, { path, durability: 'os', outcomes: { window: 0 } })
  let acknowledges = false
  const handle = async (commit: { readonly events: readonly { readonly payload: unknown }[] }, delivery: Parameters<typeof noteTwice>[1]) => {
    await noteTwice(commit, delivery)
    // The process ends before the handler does: what it has done is durable, that it is done is not.
    if (!acknowledges) await new Promise((resolve) => delivery.signal.addEventListener('abort', resolve))
    if (delivery.signal.aborted) throw new Error('not acknowledged')
  }
  const options = { events: ordered, from: 'beginning', key: byCustomer } as const
  await first.consumer('twice', options, handle)
  for (const customer of ['ann', 'bob']) await orders(first, customer, 0, 2)
  await until(() => numbers(first, 'copy of ann').length === 1 && numbers(first, 'copy of bob').length === 1, 'the effects')
  await first.checkpoint()
  await first.close()
  const second = await openFor(consumersApp, { path, durability: 'os', outcomes: { window: 0 } })
  acknowledges = true
  const attempts = await second.consumer('twice', options, handle)
  await until(() => !attempts.inspect().isBehind, 'everything is handled')
  for (const customer of ['ann', 'bob', 'copy of ann', 'copy of bob']) expect(numbers(second, customer), customer).toEqual([0, 1])
})
