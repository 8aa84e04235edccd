/** Handlers that run after the commit: exactly once, in order by key, across restarts (R61). api.md, section 4. */
import { describe, expect, test } from 'vitest'
import { app, column as c, open, service, table, type Database, type HandlerFailure, type OpenOptions } from 'sluicedb'
import handlersApp, { all, order, post, shop } from '../support/apps/handlers-app.js'
import { newFolder, openFor, openOnce, refused, take, until } from '../support/fixture.js'
import { seeds, withSeed } from '../support/random.js'
import { settled } from '../support/settled.js'

const hosts: readonly (readonly [string, OpenOptions])[] = [
  ['workers 0', { workers: 0, partitions: 4 }],
  ['workers 1', { workers: 1, partitions: 4 }],
]
const numbers = (db: Database, customer: string) => Array.from(db.table(post.tables.seen).scan({ prefix: [customer] }), (row) => row.n)
const handlerOf = (db: Database, name: string) => db.stats().handlers.find((handler) => handler.name === name)!

describe.each(hosts)('%s', (_, options) => {
  test('each event is handled once, by customer in order, in a transaction of its own with its place in the log', async () => {
    const db = await openFor(handlersApp, options)
    const receipts = await Promise.all(
      Array.from({ length: 200 }, (_, n) => db.submit(order, { customer: `c${n % 7}`, n })),
    )
    await db.call(order, { customer: 'many', n: 1_000, times: 20 })
    await settled(db)
    for (let k = 0; k < 7; k += 1) expect(numbers(db, `c${k}`)).toEqual(Array.from({ length: 200 }, (_, n) => n).filter((n) => n % 7 === k))
    expect(numbers(db, 'many')).toEqual(Array.from({ length: 20 }, (_, n) => 1_000 + n))
    const places = new Map(Array.from(db.table(post.tables.seen), (row) => [row.n, row.position]))
    for (let n = 0; n < 200; n += 1) expect(places.get(n)).toBe(receipts[n]!.position)
    expect(db.table(all.tables.seen).count()).toBe(220)
    const { handled, failed, waiting, stoppedBy } = handlerOf(db, 'post.note')
    expect({ handled, failed, waiting, stoppedBy }).toEqual({ handled: 220, failed: 0, waiting: 0, stoppedBy: undefined })
  })

  test('one that refuses an event for good is told about it and goes on, in order', async () => {
    const failures: HandlerFailure[] = []
    const db = await openFor(handlersApp, { ...options, onHandlerError: (failure) => void failures.push(failure) })
    for (const [n, how] of ['', 'abort', '', 'throw', ''].entries()) await db.call(order, { customer: 'ann', n, how })
    await settled(db)
    expect(numbers(db, 'ann')).toEqual([0, 2, 4])
    expect(failures.map(({ handler, event, error }) => [handler, event.type, event.payload['n'], error.code])).toEqual([
      ['post.note', 'shop.ordered', 1, 'ABORTED'],
      ['post.note', 'shop.ordered', 3, 'PROCEDURE_FAILED'],
    ])
    expect(failures[0]!.error.reason).toBe('NO')
    expect(handlerOf(db, 'post.note')).toMatchObject({ event: 'shop.ordered', handled: 3, failed: 2, isBehind: false })
  })

  test('what it commits is in the stream under its name; cursors and ids are not', async () => {
    const db = await openFor(handlersApp, options)
    const stream = db.changes({ from: 'beginning' })
    for (let n = 0; n < 5; n += 1) await db.call(order, { customer: 'ann', n })
    await settled(db)
    const commits = await take(stream, 15)
    const names = commits.map((commit) => commit.procedure)
    expect(['shop.order', 'post.note', 'all.count'].map((name) => names.filter((one) => one === name).length)).toEqual([5, 5, 5])
    expect(commits.map((commit) => commit.requestId)).toEqual(commits.map(() => undefined))
    await refused(db.call(order, { customer: 'eve', n: 1 }, { id: '$sluice.on:post.note:1' }), 'INVALID_INPUT')
  })

  test.each(seeds(2))('across openings, checkpoints and a log that is cut off, seed %i', { timeout: 120_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const path = await newFolder()
      const wanted = new Map<string, number[]>()
      let n = 0
      const openings = 4
      for (let round = 0; round < openings; round += 1) {
        const db = await openOnce(handlersApp, { ...options, path, durability: 'os', outcomes: { window: 0 }, retention: { bytes: 0 }, onHandlerError: () => undefined })
        const calls: Promise<unknown>[] = []
        for (let k = 10 + random.below(60); k > 0; k -= 1) {
          const customer = `c${random.below(4)}`
          const how = random.chance(0.05) ? 'abort' : ''
          const times = 1 + random.below(3)
          calls.push(db.call(order, { customer, n, how, times }))
          const list = wanted.get(customer) ?? []
          wanted.set(customer, list)
          if (how === '') for (let one = 0; one < times; one += 1) list.push(n + one)
          n += times
          if (random.chance(0.2)) await calls.at(-1)
          if (random.chance(0.03)) await db.checkpoint()
        }
        await Promise.all(calls)
        if (round === openings - 1) {
          await settled(db)
          for (const [customer, list] of wanted) expect(numbers(db, customer), customer).toEqual(list)
          const total = [...wanted.values()].reduce((sum, list) => sum + list.length, 0)
          expect(db.table(all.tables.seen).count()).toBe(total)
        }
        await db.close() // in the middle of it
      }
    })
  })
})

function counting(name: string) {
  const source = service('source', { events: { said: { n: c.int() } } })
  const say = source.procedure('say', { input: { n: c.int() } }, (tx, { n }) => tx.emit('said', { n }))
  const heard = service('heard', { tables: { word: table({ columns: { n: c.int() }, key: ['n'] }) } })
  if (name !== '') heard.on(source.events.said, { name }, (tx, { payload }) => tx.db.word.insert(payload))
  const words = (db: Database) => Array.from(db.table(heard.tables.word), (row) => row.n).sort((a, b) => a - b)
  return { application: app(import.meta.url, [source, heard]), say, words }
}

test('a handler that is new hears what is said from then on; one that was away goes on where it was', async () => {
  const path = await newFolder()
  const without = counting('')
  const first = await openOnce(without.application, { path })
  await first.call(without.say, { n: 1 })
  await first.close()
  const withIt = counting('hear')
  const second = await openOnce(withIt.application, { path })
  await second.call(withIt.say, { n: 2 })
  await settled(second)
  expect(withIt.words(second)).toEqual([2])
  await second.close()
  const third = await openOnce(without.application, { path })
  await third.call(without.say, { n: 3 })
  await third.close()
  const fourth = await openOnce(withIt.application, { path })
  await settled(fourth)
  expect(withIt.words(fourth)).toEqual([2, 3])
  await fourth.close()
})

test('a partition function that throws, and an onHandlerError that throws, stop nobody', async () => {
  const source = service('source', { events: { said: { n: c.int() } } })
  const say = source.procedure('say', { input: { n: c.int() } }, (tx, { n }) => tx.emit('said', { n }))
  const heard = service('heard', { tables: { word: table({ columns: { n: c.int() }, key: ['n'] }) } })
  const partition = ({ n }: { n: number }) => {
    if (n === 1) throw new Error('no place')
    return n === 2 ? (undefined as never) : n
  }
  heard.on(source.events.said, { name: 'hear', partition }, (tx, { payload }) => {
    tx.db.word.insert(payload)
  })
  const codes: string[] = []
  const db = await openFor(app(import.meta.url, [source, heard]), {
    onHandlerError: ({ error }) => {
      codes.push(error.code)
      throw new Error('a listener of its own')
    },
  })
  for (const n of [0, 1, 2, 3]) await db.call(say, { n })
  await settled(db)
  expect(Array.from(db.table(heard.tables.word), (row) => row.n).sort()).toEqual([0, 3])
  expect(codes).toEqual(['INVALID_INPUT', 'INVALID_INPUT'])
})

test('what may pass is tried again: a memory that was full', async () => {
  const source = service('source', { events: { said: { n: c.int() } } })
  const say = source.procedure('say', { input: { n: c.int() } }, (tx, { n }) => tx.emit('said', { n }))
  const heard = service('heard', { tables: { word: table({ columns: { n: c.int(), text: c.text() }, key: ['n'] }) } })
  const long = 'x'.repeat(1_000_000)
  const fill = heard.procedure('fill', { input: { n: c.int() } }, (tx, { n }) => tx.db.word.insert({ n, text: long }))
  const empty = heard.procedure('empty', { input: { n: c.int() } }, (tx, { n }) => tx.db.word.delete(n))
  heard.on(source.events.said, { name: 'hear' }, (tx, { payload }) => {
    tx.db.word.insert({ ...payload, text: long })
  })
  const db = await open(app(import.meta.url, [source, heard]), { memory: { bytes: 16 * 2 ** 20 }, history: { bytes: 0 } })
  try {
    let n = 100
    while (await db.call(fill, { n }).then(() => true, () => false)) n += 1
    await db.call(say, { n: 1 })
    await until(() => handlerOf(db, 'heard.hear').retried > 0, 'it is tried again')
    for (let gone = 100; gone < n; gone += 1) await db.call(empty, { n: gone }).catch(() => undefined)
    await settled(db)
    const { handled, failed } = handlerOf(db, 'heard.hear')
    expect({ handled, failed, isThere: db.table(heard.tables.word).has(1) }).toEqual({ handled: 1, failed: 0, isThere: true })
  } finally {
    await db.close()
  }
})
