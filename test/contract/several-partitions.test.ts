/** Declared concurrency: procedures of several keys (`partitions`), and tables of other services that may be read (`reads`). */
import { describe, expect, test } from 'vitest'
import { app, column as c, service, table, type Database, type OpenOptions } from 'sluicedb'
import sharesApp, { audit, bank, look, lookAround, lookOnly, move, moveAndRate, moveByOwner, moveElsewhere, put, touches, writeAttempts, wrong } from '../support/apps/shares-app.js'
import { newFolder, openFor, refused, thrown } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'
import { randomOf } from '../support/random.js'

const hosts: readonly (readonly [string, OpenOptions])[] = [
  ['workers 0', { workers: 0, partitions: 4 }],
  ['workers 1', { workers: 1, partitions: 4 }],
]
const balances = (db: Database) => Array.from({ length: 8 }, (_, id) => db.table(bank.tables.account).value(id, 'balance'))
const lanesOf = (db: Database) => {
  const { partitionLanes, crossPartitionLane, strays } = db.stats().batches
  return { partitionLanes, crossPartitionLane, strays }
}
const fill = (db: Database) => db.submitMany(put, Array.from({ length: 8 }, (_, id) => ({ id, owner: 'all' })))

describe.each(hosts)('%s', (_, options) => {
  const start = async () => {
    const db = await openFor(sharesApp, options)
    await fill(db)
    const before = lanesOf(db)
    const since = () => {
      const now = lanesOf(db)
      return [now.partitionLanes - before.partitionLanes, now.crossPartitionLane - before.crossPartitionLane, now.strays - before.strays]
    }
    return { db, since }
  }

  test('keys of one partition run in its lane, others in the cross-partition lane', async () => {
    const { db, since } = await start()
    await db.call(move, { from: 1, to: 5 })
    expect(since()).toEqual([1, 0, 0])
    await db.call(move, { from: 1, to: 2 })
    expect(since()).toEqual([1, 1, 0])
    expect(balances(db)).toEqual([0, -2, 1, 0, 0, 1, 0, 0])
    await refused(db.call(move, { from: 1, to: 14 }), 'ABORTED')
  })

  test('a partition that was not declared is found and promoted, in either lane', async () => {
    const { db, since } = await start()
    await db.call(moveElsewhere, { from: 1, to: 5 }) // one lane, and then another partition
    expect(since()).toEqual([0, 1, 1])
    await db.call(moveElsewhere, { from: 1, to: 3 })
    expect(since()).toEqual([0, 2, 2])
    await db.call(moveElsewhere, { from: 1, to: 2 }) // what it declares covers all
    expect(since()).toEqual([0, 3, 2])
    expect(balances(db)).toEqual([0, -6, 4, 1, 0, 1, 0, 0])
    await db.call(moveByOwner, { from: 1, to: 2 })
    expect(since()).toEqual([0, 4, 3])
    await db.call(moveAndRate, { from: 1, to: 2 })
    expect(since()).toEqual([0, 5, 3])
    await db.call(moveAndRate, { from: 1, to: 5 })
    expect(since()).toEqual([0, 6, 4])
    expect(db.table(bank.tables.rate).count()).toBe(2)
  })

  test('what is no list of places is refused', async () => {
    const { db } = await start()
    for (const how of ['none', 'text', 'hole', 'nan', 'other']) await refused(db.call(wrong, { how }), 'INVALID_INPUT')
  })

  test('a service reads the tables of another that it declares, in every way, and writes none of them', async () => {
    const { db, since } = await start()
    await db.call(move, { from: 2, to: 6 })
    expect(await db.call(look, { id: 2 })).toBe(true)
    expect(since(), 'reading is in the partition of the rows').toEqual([2, 0, 0])
    expect(db.table(audit.tables.note).get(2)?.text).toBe('-1 of all')
    expect(await db.call(lookAround)).toBe(0)
    expect(await db.call(lookOnly)).toBe(9)
    for (const what of writeAttempts) {
      const { message } = await refused(db.call(touches, { what }), 'INVALID_USE')
      expect(message, what).toContain('another service')
    }
    expect(balances(db)[1]).toBe(0)
    expect(db.table(audit.tables.note).has(1)).toBe(false)
  })
})

test('any number of workers writes the same frames', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const frames: string[] = []
  for (const workers of [0, 1, 2]) {
    const random = randomOf(seed)
    const path = await newFolder()
    const { db, close } = await openInside(sharesApp, { workers, partitions: 4, path, fixed: { nowMs: 1_000_000, stepMs: 1, seed: 7 } })
    await Promise.all(Array.from({ length: 8 }, (_, id) => db.call(put, { id, owner: random.pick(['all', 'one']) })))
    for (let round = 0; round < 8; round += 1) {
      const calls = Array.from({ length: 24 }, () => {
        const procedure = random.pick([move, move, moveElsewhere, moveByOwner, moveAndRate])
        return db.call<{ from: number; to: number }, unknown>(procedure, { from: random.below(7), to: random.below(8) }).catch(() => undefined)
      })
      await Promise.all([...calls, db.call(look, { id: random.below(8) }), db.call(lookAround)])
    }
    await close()
    frames.push(framesIn(path).map(({ body }) => Buffer.from(body).toString('hex')).join('\n'))
  }
  expect(frames[1], `seed ${seed}`).toBe(frames[0])
  expect(frames[2], `seed ${seed}`).toBe(frames[0])
})

test('grants that cannot be are refused when they are defined', () => {
  const mine = table({ columns: { id: c.int() }, key: ['id'] })
  const other = service('other', { tables: { theirs: table({ columns: { id: c.int() }, key: ['id'] }) } })
  const make = (reads: object) => service('s', { tables: { mine: table({ columns: { id: c.int() }, key: ['id'] }) }, reads: reads as never })
  const says = (define: () => unknown) => thrown(define, 'INVALID_DEFINITION').message
  expect(says(() => make({ mine: other.tables.theirs }))).toContain("a table 'mine' and reads another one")
  expect(says(() => make({ theirs: 1 }))).toContain('must be a table')
  expect(says(() => app(import.meta.url, [make({ theirs: other.tables.theirs })]))).toContain("'other.theirs', which is not in this application")
  expect(says(() => app(import.meta.url, [make({ theirs: () => other }), other]))).toContain('must answer a table')
  const own = service('own', { tables: { mine }, reads: { again: () => mine as never } })
  expect(says(() => app(import.meta.url, [own]))).toContain('its own')
})
