/** A disk without room under those who follow the log: who may not write waits, nothing is lost, and nothing comes twice when there is room. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from 'sluicedb'
import { expect, test } from 'vitest'
import consumersApp, { order } from '../support/apps/consumers-app.js'
import erasureApp, { note, putNote } from '../support/apps/erasure-app.js'
import projectionsApp, { behind, say, sell, within } from '../support/apps/projections-app.js'
import { byCustomer, drained, expectNoted, noteTwice, ordered, orderOf } from '../support/consumer-orders.js'
import { newFolder, openFor, openOnce, refused, until } from '../support/fixture.js'
import { fillDisk, hasRoom, writeUntilFull } from '../support/full-disk.js'

const long = 'x'.repeat(200_000)

test('a consumer whose calls, marks and parked commits find no room goes on when there is some, each effect once', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const, partitions: 4 }
  const asked = { events: ordered, from: 'beginning', key: byCustomer, redelivery: { limit: 2, backoffMs: 1, backoffMsMax: 5 } } as const
  const first = await openOnce(consumersApp, options)
  let isOpen = false
  const stops: unknown[] = []
  const codes = new Set<unknown>()
  const consumer = await first.consumer('full', { ...asked, onStop: (error) => stops.push(error) }, async (commit, delivery) => {
    if (orderOf(commit).customer === 'eve') await until(() => isOpen, 'it may begin')
    try {
      await noteTwice(commit, delivery)
    } catch (error) {
      codes.add((error as { code?: unknown }).code)
      throw error
    }
  })
  const makeRoom = fillDisk()
  for (let n = 0; n < 8; n += 1) await first.call(order, { customer: n % 2 === 0 ? 'eve' : 'bob', n })
  const count = 8 + (await writeUntilFull((n) => first.call(order, { customer: 'eve', n: 8 + n, note: long })))
  isOpen = true
  await until(() => codes.size > 0 && consumer.inspect().redelivered > 0, 'a call of the handler finds no room')
  expect([...codes]).toEqual(['OUT_OF_SPACE'])
  // What must be durable says that it could not be, and everything stands where it stood.
  await refused(consumer.pause(), 'OVERLOADED')
  expect(consumer.inspect()).toMatchObject({ isPaused: false, stoppedBy: undefined, isBehind: true })
  makeRoom()
  await hasRoom(first)
  await drained(consumer)
  expect(expectNoted(first)).toBeGreaterThanOrEqual(count)
  expect(stops).toEqual([])
  await first.close()
  const second = await openFor(consumersApp, options)
  const late = await second.consumer('full', asked, async (commit, delivery) => await noteTwice(commit, delivery))
  await drained(late)
  expect(expectNoted(second)).toBeGreaterThanOrEqual(count)
})

test('a reset that could not be noted has reset nothing: what was on its way goes on', async () => {
  const path = await newFolder()
  const db = await openFor(consumersApp, { path, durability: 'os', partitions: 4 })
  let isBroken = true
  const seen: string[] = []
  const consumer = await db.consumer('anew', { events: ordered, from: 'beginning', key: byCustomer, redelivery: { limit: 1_000, backoffMs: 50, backoffMsMax: 50 } }, (commit) => {
    const { customer, n } = orderOf(commit)
    if (isBroken && customer === 'ann') throw new Error('not now')
    seen.push(`${customer} ${n}`)
  })
  for (let n = 0; n < 3; n += 1) await db.call(order, { customer: 'ann', n })
  const makeRoom = fillDisk()
  const count = await writeUntilFull((n) => db.call(order, { customer: 'bob', n, note: long }))
  await until(() => seen.length === count && consumer.inspect().redelivered > 0, 'bob is done, ann is tried again')
  await refused(consumer.reset('beginning'), 'OVERLOADED')
  isBroken = false
  await until(() => seen.length === count + 3, 'what waited for its next attempt is handled')
  makeRoom()
  expect(seen.slice(count)).toEqual(['ann 0', 'ann 1', 'ann 2'])
  await hasRoom(db)
  await consumer.reset('beginning')
  await until(() => seen.length === 2 * (count + 3), 'everything once more')
})

test('a projection that finds no room waits, says nothing of a failure, and has each event once', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const }
  const compare = (db: Database): number => {
    const of = (projected: typeof behind) => [...db.projection(projected).tables.total].map(({ customer, quantity }) => [customer, quantity]).sort()
    expect(of(behind)).toEqual(of(within as never))
    return db.projection(behind).tables.sale.count()
  }
  const first = await openOnce(projectionsApp, options)
  const makeRoom = fillDisk()
  let sold = 0
  const position = { last: '' }
  await writeUntilFull(async (n) => {
    await first.call(say, { text: long })
    position.last = (await first.submit(sell, { customer: `c${n % 3}`, product: 'p', quantity: n })).position
    sold += 1
  })
  const { error } = first.projection(behind).status()
  expect(error).toBe(undefined)
  makeRoom()
  await first.projection(behind).reached(position.last as never)
  expect(compare(first)).toBe(sold)
  await first.close()
  const second = await openFor(projectionsApp, options)
  await second.projection(behind).reached(second.stats().position)
  expect(compare(second)).toBe(sold)
})

test('an erasure that finds no room has erased nothing, and does when there is some', async () => {
  const path = await newFolder()
  const options = { path, durability: 'os' as const }
  const owner = 'ann-5d1c@example.org'
  const filesWith = (text: string) => readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(path, name)).isFile() && readFileSync(join(path, name)).includes(text))
  const ownedBy = (db: Database) => [...db.table(note)].filter((row) => row.owner === owner).length
  const first = await openOnce(erasureApp, options)
  for (let id = 0; id < 3; id += 1) await first.call(putNote, { id, owner, text: 'mine', n: id })
  const makeRoom = fillDisk()
  const others = await writeUntilFull((n) => first.call(putNote, { id: 10 + n, owner: 'bob', text: long, n }))
  expect((await refused(first.erase(owner), 'OUT_OF_SPACE')).details).toMatchObject({ disk: true })
  expect(ownedBy(first)).toBe(3)
  makeRoom()
  await first.close()
  const second = await openFor(erasureApp, options)
  expect(ownedBy(second)).toBe(3)
  await second.erase(owner)
  expect(filesWith(owner)).toEqual([])
  expect([ownedBy(second), second.table(note).count()]).toEqual([0, others])
})
