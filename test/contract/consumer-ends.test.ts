/** Consumers that are closed, opened again, reset, paused and emptied at moments that are not the best: what was promised still holds. docs/consumers.md. */
import { expect, test } from 'vitest'
import type { Commit, Consumer, Database, Delivery } from 'sluicedb'
import consumersApp, { note, order, post, shop } from '../support/apps/consumers-app.js'
import { newFolder, openFor, openOnce, refused, until, within } from '../support/fixture.js'

type Ordered = Commit<never, { payload: { customer: string; n: number } }>
const events = [shop.events.ordered]
const quick = { limit: 2, backoffMs: 1, backoffMsMax: 2 }
const numbers = (db: Database, customer: string) => Array.from(db.table(post.tables.seen).scan({ prefix: [customer] }), (row) => row.n)
const idle = (consumer: Consumer) => until(() => !consumer.inspect().isBehind, 'the consumer is at the end of the log')
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const customerOf = (commit: Ordered) => commit.events[0]!.payload.customer
const keyed = { events, from: 'beginning', key: customerOf, redelivery: quick } as const
const noteIt = async (commit: Ordered, delivery: Delivery) => void (await delivery.call(note, commit.events[0]!.payload))

async function orders(db: Database, customer: string, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 1) await db.call(order, { customer, n })
}

test('a handler that outlasts the closing of its consumer makes no call any more, whoever has handled its commit since', { timeout: 20_000 }, async () => {
  const db = await openFor(consumersApp)
  let goOn = (): void => undefined
  const waiting = new Promise<void>((resolve) => (goOn = resolve))
  let outlasting: Promise<unknown> | undefined
  const first = await db.consumer('slow', keyed, async (commit, delivery) => {
    await waiting
    await (outlasting = refused(delivery.call(note, commit.events[0]!.payload), 'INVALID_USE'))
  })
  await orders(db, 'ann', 0, 1)
  await until(() => first.inspect().inFlight === 1, 'it is with its handler')
  await first.close()
  const second = await db.consumer('slow', keyed, noteIt)
  await idle(second)
  await second.close() // its mark has passed the commit: the ids of its calls are forgotten
  goOn()
  await until(() => outlasting !== undefined, 'the old handler goes on')
  await outlasting
  expect(numbers(db, 'ann')).toEqual([0])
})

/** Two members of a group, one of which has the one commit there is, until the gate opens. */
async function busyAndIdle(db: Database) {
  let open = (): void => undefined
  const gate = new Promise<void>((resolve) => (open = resolve))
  const handled: string[] = []
  let busy = ''
  let refuses = ''
  const refuse = (name: string) => void (refuses = name)
  const join = (name: string) =>
    db.consumer('team', { ...keyed, group: true }, async (commit) => {
      busy = name
      await gate
      if (name === refuses) throw new Error('not by me')
      handled.push(`${name} ${customerOf(commit)}`)
    })
  const members = { one: await join('one'), two: await join('two') }
  await orders(db, 'ann', 0, 1)
  await until(() => busy !== '', 'it is with its handler')
  const isOne = busy === 'one'
  return { open, refuse, handled, join, busy: isOne ? members.one : members.two, idle: isOne ? members.two : members.one, name: busy }
}

test.each(['the idle one first', 'the idle one last', 'the database'])('what a handler has done within its time is done, whoever of its group is closed with it: %s', async (how) => {
  const path = await newFolder()
  const first = await openOnce(consumersApp, { path, durability: 'os' })
  const team = await busyAndIdle(first)
  const members = how === 'the idle one first' ? [team.idle, team.busy] : [team.busy, team.idle]
  const closing = how === 'the database' ? [first.close()] : members.map((member) => member.close())
  await sleep(20)
  team.open()
  await Promise.all(closing)
  expect(team.handled).toEqual([`${team.name} ann`])
  await first.close()
  const second = await openFor(consumersApp, { path, durability: 'os' })
  const delivered: string[] = []
  const late = await second.consumer('team', keyed, (commit) => void delivered.push(customerOf(commit)))
  await idle(late)
  expect(delivered).toEqual([])
})

test.each([true, false])('who joins a group while one that leaves still has a commit is given that one only if it was not handled: %s, it was', async (wasHandled) => {
  const db = await openFor(consumersApp)
  const team = await busyAndIdle(db)
  const closing = team.busy.close()
  await team.idle.close()
  const third = await team.join('three')
  await orders(db, 'bob', 0, 1)
  await sleep(20)
  expect(third.inspect()).toMatchObject({ members: 1, inFlight: 2 })
  if (!wasHandled) team.refuse(team.name)
  team.open()
  await closing
  await idle(third)
  expect(team.handled.sort()).toEqual([`${wasHandled ? team.name : 'three'} ann`, 'three bob'].sort())
})

test('a consumer that is being closed when the database is has ended when its handler has', async () => {
  const db = await openFor(consumersApp)
  let open = (): void => undefined
  const gate = new Promise<void>((resolve) => (open = resolve))
  const consumer = await db.consumer('twice', keyed, () => gate)
  await orders(db, 'ann', 0, 1)
  await until(() => consumer.inspect().inFlight === 1, 'it is with its handler')
  const closing = [consumer.close(), db.close()]
  await sleep(20)
  open()
  await within(2_000, 'closing', Promise.all(closing))
})

test('what was discarded does not come again, although the mark stood before it when the database was closed', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const }
  const first = await openOnce(consumersApp, options)
  const early = await first.consumer('drops', keyed, async (commit, delivery) => {
    if (customerOf(commit) === 'ann') await new Promise<void>((resolve) => delivery.signal.addEventListener('abort', () => resolve()))
    if (commit.events[0]!.payload.n === 1) return delivery.terminate('nobody can read this')
    throw new Error('never')
  })
  await orders(first, 'ann', 0, 1)
  await orders(first, 'bob', 0, 1)
  await orders(first, 'eve', 1, 2)
  await until(() => early.parked().length === 2, 'two are set aside')
  for (const { position } of early.parked()) expect(await early.discard({ position })).toBe(1)
  await first.close()
  const second = await openFor(consumersApp, options)
  const delivered: string[] = []
  const late = await second.consumer('drops', keyed, (commit) => void delivered.push(customerOf(commit)))
  await idle(late)
  expect(delivered).toEqual(['ann'])
})

test('a reset that somebody pauses is a reset, also after a restart', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const }
  const first = await openOnce(consumersApp, options)
  const early = await first.consumer('anew', keyed, noteIt)
  await orders(first, 'ann', 0, 3)
  await idle(early)
  const reset = early.reset('beginning')
  for (let n = 0; n < 20; n += 1) await Promise.resolve() // its mark is on its way
  await Promise.all([reset, early.pause()])
  await first.close()
  const second = await openFor(consumersApp, options)
  const late = await second.consumer('anew', keyed, noteIt)
  expect(late.inspect().isPaused).toBe(true)
  await late.resume()
  await idle(late)
  expect(numbers(second, 'ann')).toEqual([0, 1, 2, 0, 1, 2])
})

test('a call that its handler did not wait for has its effect once, although the consumer is closed and opened again while it is under way', async () => {
  const db = await openFor(consumersApp, { path: await newFolder() })
  let isBroken = true
  const broken = async (commit: Ordered, delivery: Delivery): Promise<void> => {
    if (isBroken && commit.events[0]!.payload.n === 0 && customerOf(commit) === 'ann') throw new Error('not now')
    await noteIt(commit, delivery)
  }
  let opening: Promise<Consumer> | undefined
  const first = await db.consumer('hasty', { ...keyed, from: 'beginning' }, async (commit, delivery) => {
    const { customer, n } = commit.events[0]!.payload
    if (customer === 'zoe') return delivery.nak({ delayMs: 60_000 }) // the mark stays before all others
    if (n === 1) opening = first.close().then(() => db.consumer('hasty', keyed, broken))
    const noted = delivery.call(note, { customer, n })
    if (n !== 1) await noted
  })
  await orders(db, 'zoe', 0, 1)
  await orders(db, 'ann', 0, 2)
  await until(() => opening !== undefined, 'it is being closed')
  const second = await opening!
  await until(() => second.inspect().parked === 2, 'both of ann are parked')
  await idle(second)
  await second.close() // its mark has passed them
  isBroken = false
  const third = await db.consumer('hasty', keyed, noteIt)
  expect(await third.unpark('ann')).toBe(true)
  await until(() => third.inspect().parked === 0, 'nothing is parked')
  expect(numbers(db, 'ann').sort()).toEqual([0, 1])
})

test('what is dead has made its calls: told to go on, it does not make them again', async () => {
  const db = await openFor(consumersApp)
  let isBroken = true
  const handle = async (commit: Ordered, delivery: Delivery): Promise<void> => {
    await noteIt(commit, delivery)
    if (isBroken) delivery.terminate('behind its effect')
  }
  const first = await db.consumer('dies', keyed, handle)
  await orders(db, 'ann', 0, 1)
  await idle(first)
  await first.close() // its mark has passed the commit
  isBroken = false
  const second = await db.consumer('dies', keyed, handle)
  expect(await second.unpark({ position: second.parked()[0]!.position })).toBe(true)
  await until(() => second.parked().length === 0, 'it has gone on')
  expect(numbers(db, 'ann')).toEqual([0])
})

test('a parked commit that has left the log holds up nobody but its key, and can be discarded', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const, retention: { bytes: 0 } }
  const first = await openOnce(consumersApp, options)
  const asked = { tables: [shop.tables.order], from: 'beginning', key: (commit: { changes: readonly { after?: { customer: string } | undefined }[] }) => commit.changes[0]!.after!.customer, redelivery: { limit: 1 } } as const
  const early = await first.consumer('long', asked, () => {
    throw new Error('never')
  })
  await first.call(order, { customer: 'ann', n: 0, note: 'x'.repeat(1_100_000) })
  await until(() => early.parked().length === 1, 'it is parked')
  await early.close()
  await first.submitMany(note, Array.from({ length: 60 }, (_, n) => ({ customer: 'long', n, by: 'x'.repeat(100_000) }))) // beyond the first segment
  const middle = await first.consumer('long', asked, () => undefined)
  await idle(middle)
  await middle.close()
  await first.close()
  const second = await openFor(consumersApp, options)
  for (let n = 0; n < 2; n += 1) await second.checkpoint()
  const delivered: string[] = []
  const late = await second.consumer('long', asked, (commit) => void delivered.push(String(commit.changes[0]!.key)))
  expect(await late.unpark('ann')).toBe(true)
  await until(() => late.inspect().lastFailure?.code === 'HISTORY_GONE', 'it is said')
  await orders(second, 'bob', 0, 1)
  await until(() => delivered.length === 1, 'others go on')
  expect(late.parked().map(({ state }) => state)).toEqual(['parked'])
  expect(await late.discard('ann')).toBe(1)
  expect(late.parked()).toEqual([])
})
