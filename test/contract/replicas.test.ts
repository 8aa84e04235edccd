/** Replicas of tables of other services: what each strength shows, that none is written, and how rows of their own follow. docs/services.md. */
import { describe, expect, test } from 'vitest'
import { app, column as c, describe as describeApp, replica, service, table, type Database, type OpenOptions } from 'sluicedb'
import { positionParts } from '../../bindings/position.js'
import replicasApp, {
  attempt, attemptLater, board, cart, catalog, drop, everyWay, keep, overview, rate, rename, seeBoth, seeLast, seeLater, seeNow, set, setAndSee, setRate, tries, useKept,
} from '../support/apps/replicas-app.js'
import lanesApp from '../support/apps/replicas-lanes-app.js'
import { newFolder, openFor, openOnce, refused, thrown, until } from '../support/fixture.js'
import { framesIn, openInside } from '../support/inside.js'
import { randomOf, seeds, withSeed, type Random } from '../support/random.js'

const hosts: readonly (readonly [string, OpenOptions])[] = [
  ['workers 0', { workers: 0, partitions: 4 }],
  ['workers 2', { workers: 2, partitions: 8 }],
]
/** Every replica shows all that is durable. */
const settled = (db: Database): Promise<void> => until(() => db.stats().replicas.every(({ isBehind }) => !isBehind), 'all replicas have come up')
const product = (seller: string, id: number, version: number, more: object = {}) => ({ seller, id, name: `${id}`, kind: 'tea', price: version * 10, version, tags: null, ...more })
const shownOf = ({ secret: _, ...row }: Readonly<Record<string, unknown>>) => row
const rowsOf = (rows: Iterable<Readonly<Record<string, unknown>>>) => Array.from(rows, (row) => JSON.stringify(row, Object.keys(row).sort())).sort()

describe.each(hosts)('%s', (_, options) => {
  test('strong and batch are read in every way that the source is, without the columns that were not chosen', async () => {
    const db = await openFor(lanesApp, options)
    for (const [id, name] of ['', 'one', 'two', 'three'].entries()) if (id > 0) await db.call(set, product('a', id, id, { name, tags: [name] }))
    await db.call(set, product('a', 9, 9, { kind: 'cup' }))
    const [now, last] = await db.call(everyWay, { seller: 'a', id: 2 })
    const two = { seller: 'a', id: 2, name: 'two', kind: 'tea', price: 20, version: 2, tags: ['two'] }
    expect(now).toEqual({
      get: two,
      has: [true, false],
      row: { ...two, secret: undefined },
      scan: [1, 2, 3, 9],
      rows: [9, 3, 2, 1],
      byKind: [1, 2, 3],
      byKindRows: [10, 20, 30],
      byPrice: [20, 30, 90],
      byName: two,
      byNameRow: 2,
      count: 4,
      indexes: ['byKind', 'byPrice', 'byName'],
    })
    expect(last).toEqual(now)
    expect(await db.call(overview, { seller: 'a', id: 2 })).toEqual({ last: two, now: two, indexes: ['byKind', 'byPrice', 'byName'] })
    for (const handle of [cart.replicas.now, cart.replicas.last]) {
      const reader = db.table(handle)
      expect([reader.get(['a', 2]), reader.has(['a', 2]), reader.count(), reader.value(['a', 2], 'price')]).toEqual([two, true, 4, 20])
      expect([...reader].length + [...reader.scan({ prefix: ['a'], limit: 2 })].length).toBe(6)
      expect([reader.index.byName.get(['a', 'two']), reader.index.byKind.get(['a', 'cup']).length, [...reader.index.byPrice.scan({ to: 20 })].length]).toEqual([two, 1, 1])
      expect(Object.keys(reader.index)).toEqual(['byKind', 'byPrice', 'byName'])
      thrown(() => reader.value(['a', 2], 'secret' as never), 'INVALID_USE')
    }
  })

  test('strong is what stands in this transaction, batch what the last batch left: it costs no stray', async () => {
    const db = await openFor(lanesApp, options)
    await db.call(set, product('a', 1, 1))
    expect(await db.call(setAndSee, product('a', 1, 2))).toEqual({ last: 1, now: 2 })
    const strays = () => db.stats().batches.strays
    const before = strays()
    const customers = Array.from({ length: 32 }, (_, n) => `c${n}`)
    expect(await Promise.all(customers.map((customer, n) => db.call(seeLast, { customer, n, seller: 'a', id: 1 })))).toEqual(customers.map(() => 2))
    await db.call(setRate, { code: 'eur', value: 2 })
    expect(await Promise.all(customers.map((customer) => db.call(rate, { customer })))).toEqual(customers.map(() => ({ code: 'eur', value: 2 })))
    expect(strays(), 'reading the past').toBe(before)
    await Promise.all(customers.map((customer) => db.call(seeNow, { customer, seller: 'a', id: 1 })))
    expect(strays(), 'reading what stands is reading the table').toBeGreaterThan(before)
  })

  test('none is written', async () => {
    const db = await openFor(replicasApp, options)
    await db.call(set, product('a', 1, 1))
    await settled(db)
    for (const how of Object.keys(tries)) {
      for (const on of ['now', 'last']) expect((await refused(db.call(attempt, { how, on }), 'INVALID_USE')).message, `${how} on ${on}`).toMatch(/replica, which is read and not written/)
      expect((await refused(db.call(attemptLater, { how }), 'INVALID_USE')).message, how).toMatch(/replica, which is read and not written/)
    }
    await refused(db.transact((tx) => tx.table(cart.replicas.now as never)), 'INVALID_USE')
    expect(db.table(catalog.tables.product).get(['a', 1])?.price).toBe(10)
    expect(db.table(board.replicas.later).get(['a', 1])?.price).toBe(10)
  })

  test('what is kept of one is of no use in a later transaction', async () => {
    const db = await openFor(lanesApp, options)
    for (let n = 1; n < 4; n += 1) await db.call(set, product('a', n, 1))
    for (const on of ['now', 'last']) {
      for (const what of ['scan', 'row']) {
        await db.call(keep, { on })
        await refused(db.call(useKept, { what }), 'INVALID_USE')
      }
    }
  })

  test('eventual follows inserts, changes of the chosen columns and deletes, and has indexes of its own', async () => {
    const db = await openFor(replicasApp, options)
    await db.submitMany(set, Array.from({ length: 300 }, (_, id) => product(`s${id % 7}`, id, 1, { kind: id % 2 === 0 ? 'tea' : 'cup', tags: id % 3 === 0 ? ['x'] : null })))
    await db.call(setRate, { code: 'eur', value: 1.5 })
    await settled(db)
    const mustBeEqual = () => expect(rowsOf(db.table(board.replicas.later))).toEqual(rowsOf(Array.from(db.table(catalog.tables.product), shownOf)))
    mustBeEqual()
    expect([...db.table(board.replicas.rates)]).toEqual([{ code: 'eur', value: 1.5 }])
    expect(await db.call(seeLater, { seller: 's0', id: 0 })).toEqual({ get: shownOf(db.table(catalog.tables.product).get(['s0', 0])!), kinds: Array.from({ length: 300 }, (_, id) => id).filter((id) => id % 14 === 0), indexes: ['byKind', 'byPrice'] })
    await Promise.all([
      ...Array.from({ length: 50 }, (_, id) => db.call(drop, { seller: `s${id % 7}`, id })),
      ...Array.from({ length: 50 }, (_, n) => db.call(set, product('s1', 1_000 + n, 2))),
      db.call(set, product('s6', 299, 7, { tags: ['y', 'z'] })),
    ])
    await settled(db)
    mustBeEqual()
    const [later] = db.stats().replicas
    expect(later).toMatchObject({ name: 'board.later', source: 'catalog.product', waiting: 0, isBehind: false, stoppedBy: undefined })
    expect(later!.position! >= db.stats().position.slice(0, 14)).toBe(true)
    // What is not shown changes nothing: the copy writes no record.
    const changes = db.changes({ from: 'now' })
    await db.call(rename, { seller: 's6', id: 299, secret: 'other' })
    await settled(db)
    await db.call(setRate, { code: 'eur', value: 2 })
    const seen: string[] = []
    for await (const commit of changes) {
      seen.push(...commit.changes.map((change) => change.table))
      if (seen.includes('board.rates')) break
    }
    expect(seen).toEqual(['catalog.product', 'catalog.rate', 'board.rates'])
  })

  test.each(seeds(1))('at every snapshot: strong and batch are the source, eventual is a past of each row that never goes back; at rest it is the source, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const db = await openFor(replicasApp, options)
      const run = new RandomRun(random)
      for (let round = 0; round < 60; round += 1) {
        await run.round(db)
        run.look(db)
        if (random.chance(0.2)) await settled(db)
      }
      await settled(db)
      run.mustBeAtRest(db)
    })
  })
})

interface Operation {
  readonly place: string
  readonly batch: number
  readonly key: string
  /** 0: deleted. */
  readonly version: number
}

/** Random changes of products, and what readers may see of them: the changes themselves, by their positions. */
class RandomRun {
  readonly #random: Random
  readonly #operations: Operation[] = []
  /** Per key: states in order, and which one was seen last. */
  readonly #states = new Map<string, { readonly versions: number[]; seen: number }>()
  #next = 1

  constructor(random: Random) {
    this.#random = random
  }

  async round(db: Database): Promise<void> {
    const random = this.#random
    const looks: Promise<void>[] = []
    const changes: Promise<Operation>[] = []
    const keyOf = () => ({ seller: `s${random.below(5)}`, id: random.below(4) })
    for (let n = 1 + random.below(12); n > 0; n -= 1) {
      const at = keyOf()
      if (random.chance(0.5)) {
        const version = random.chance(0.25) ? 0 : this.#next++
        const call = version === 0 ? db.submit(drop, at) : db.submit(set, product(at.seller, at.id, version, { name: `${at.id} ${version}` }))
        changes.push(call.then(({ position }) => ({ place: position, batch: positionParts(position)!.batch, key: `${at.seller} ${at.id}`, version })))
      } else {
        const key = `${at.seller} ${at.id}`
        // What is seen is judged when all changes of the round are known.
        const look =
          n % 2 === 0
            ? db.submit(seeLast, { customer: `c${n}`, n: this.#next++, ...at }).then(({ value, position }) => ({ last: value, now: undefined, position }))
            : db.submit(seeBoth, at).then(({ value, position }) => ({ ...value, position }))
        looks.push(
          look.then(async ({ last, now, position }) => {
            const all = [...this.#operations, ...(await Promise.all(changes))].sort((a, b) => (a.place < b.place ? -1 : 1))
            const { batch } = positionParts(position)!
            if (now === undefined) expect(last, `${key} before batch ${batch}`).toBe(all.findLast((one) => one.key === key && one.batch < batch)?.version ?? 0)
            else {
              // It recorded nothing, so its position is the end of its batch at the most: both are states of that batch or before.
              const versions = [0, ...all.filter((one) => one.key === key && one.batch <= batch).map(({ version }) => version)]
              expect(versions).toContain(now)
              expect(versions).toContain(last)
              expect(versions.indexOf(last)).toBeLessThanOrEqual(versions.lastIndexOf(now))
            }
          }),
        )
      }
    }
    await Promise.all(looks)
    const done = (await Promise.all(changes)).sort((a, b) => (a.place < b.place ? -1 : 1))
    this.#operations.push(...done)
    for (const { key, version } of done) {
      const states = this.#states.get(key) ?? { versions: [0], seen: 0 }
      this.#states.set(key, states)
      states.versions.push(version)
    }
  }

  look(db: Database): void {
    using snapshot = db.snapshot()
    const source = rowsOf(Array.from(snapshot.table(catalog.tables.product), shownOf))
    expect(rowsOf(snapshot.table(cart.replicas.now))).toEqual(source)
    expect(rowsOf(snapshot.table(cart.replicas.last))).toEqual(source)
    const later = snapshot.table(board.replicas.later)
    for (const [key, states] of this.#states) {
      const [seller, id] = key.split(' ') as [string, string]
      const row = later.get([seller, Number(id)])
      const version = row?.version ?? 0
      if (row !== undefined) expect(row).toEqual(product(seller, Number(id), version, { name: `${id} ${version}` }))
      const state = states.versions.indexOf(version, states.seen)
      expect(state, `${key} shows ${version} after ${states.versions[states.seen]}, of ${states.versions.join()}`).toBeGreaterThanOrEqual(0)
      states.seen = state
    }
  }

  mustBeAtRest(db: Database): void {
    expect(rowsOf(db.table(board.replicas.later))).toEqual(rowsOf(Array.from(db.table(catalog.tables.product), shownOf)))
  }
}

test.each(seeds(1))('a batch sees the state before it, whoever runs it: frames and answers are the same for 0, 1 and 2 workers, in order and ahead, seed %i', { timeout: 60_000 }, async (seed) => {
  const runs: readonly (readonly [number, 'always' | 'never'])[] = [[0, 'never'], [1, 'never'], [2, 'never'], [2, 'always']]
  const transcripts: unknown[] = []
  for (const [workers, speculation] of runs) {
    const random = randomOf(seed)
    const path = await newFolder()
    const { db } = await openInside(lanesApp, { path, workers, partitions: 4, speculation, fixed: { nowMs: 1_700_000_000_000, stepMs: 3, seed: 7 } })
    const answers: unknown[] = []
    const state = new Map<string, number>()
    let version = 0
    for (let round = 0; round < 25; round += 1) {
      const before = new Map(state)
      const calls: Promise<void>[] = []
      for (let n = 0; n < 24; n += 1) {
        const at = { seller: `s${random.below(6)}`, id: random.below(3) }
        const key = `${at.seller} ${at.id}`
        const expected = before.get(key) ?? 0
        const how = random.below(4)
        const note = async (call: Promise<unknown>, lastOf: (value: never) => number | undefined) => {
          const value = await call
          answers.push([round, n, value])
          if (lastOf(value as never) !== undefined) expect(lastOf(value as never), `workers ${workers} ${speculation}, round ${round}: ${key}`).toBe(expected)
        }
        if (how === 0) {
          state.set(key, ++version)
          calls.push(note(db.call(set, product(at.seller, at.id, version, { name: `${at.id} ${version}` })), () => undefined))
        } else if (how === 1) calls.push(note(db.call(seeLast, { customer: `c${n}`, n: round, ...at }), (value: number) => value))
        else if (how === 2) calls.push(note(db.call(seeBoth, at), (value: { last: number }) => value.last))
        else calls.push(note(db.call(setAndSee, product(`x${at.seller}`, at.id, ++version, { name: `${at.id} ${version}` })), () => undefined))
      }
      await Promise.all(calls)
    }
    await db.close()
    const sorted = answers.map((answer) => JSON.stringify(answer)).sort()
    transcripts.push({ sorted, frames: framesIn(path).map(({ batch, body }) => [batch, Buffer.from(body).toString('hex')]) })
  }
  for (const transcript of transcripts.slice(1)) expect(transcript).toEqual(transcripts[0])
})

describe('across openings', () => {
  test.each(seeds(1))('it goes on where it was, seed %i', { timeout: 60_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const path = await newFolder()
      let version = 1
      for (let round = 0; round < 4; round += 1) {
        const db = await openOnce(replicasApp, { path, workers: round % 2, partitions: 4, durability: 'os', retention: { bytes: 0 } })
        const calls: Promise<unknown>[] = []
        for (let n = random.below(200); n > 0; n -= 1) {
          const at = { seller: `s${random.below(5)}`, id: random.below(20) }
          calls.push(random.chance(0.3) ? db.call(drop, at) : db.call(set, product(at.seller, at.id, version++, { name: `${at.id} ${version}` })))
          if (random.chance(0.1)) await calls.at(-1)
          if (random.chance(0.02)) await db.checkpoint()
        }
        await Promise.all(calls)
        if (round % 2 === 1) {
          await settled(db)
          expect(rowsOf(db.table(board.replicas.later))).toEqual(rowsOf(Array.from(db.table(catalog.tables.product), shownOf)))
        }
        await db.close() // in the middle of it
      }
    })
  })

  const things = service('things', { tables: { thing: table({ columns: { id: c.int(), a: c.int(), b: c.text() }, key: ['id'] }) } })
  const put = things.procedure('put', { input: { id: c.int(), a: c.int(), b: c.text() }, partition: (it) => it.id }, (tx, it) => tx.db.thing.put(it))
  const remove = things.procedure('remove', { input: { id: c.int() }, partition: (it) => it.id }, (tx, { id }) => tx.db.thing.delete(id))
  const shows = service('shows', { replicas: { thing: replica(() => things.tables.thing, { columns: ['a'], strength: 'eventual' }) } })
  const without = app(import.meta.url, [things])
  const withIt = app(import.meta.url, [things, shows])

  test('a new one is filled from the rows that are there', async () => {
    const path = await newFolder()
    const first = await openOnce(without, { path })
    await first.submitMany(put, Array.from({ length: 3_000 }, (_, id) => ({ id, a: id, b: '' })))
    await first.close()
    const second = await openOnce(withIt, { path })
    await Promise.all([second.call(put, { id: 5, a: 50, b: '' }), second.call(remove, { id: 6 })]) // while it is filled
    await settled(second)
    const wanted = Array.from({ length: 3_000 }, (_, id) => ({ id, a: id === 5 ? 50 : id })).filter(({ id }) => id !== 6)
    expect(rowsOf(second.table(shows.replicas.thing))).toEqual(rowsOf(wanted))
    expect(second.stats().replicas[0]!.copied).toBeGreaterThanOrEqual(3_000)
    await second.close()
    // Filled once: what it has noted is what it begins with.
    const third = await openOnce(withIt, { path })
    await third.call(put, { id: 7, a: 70, b: '' })
    await settled(third)
    expect(third.table(shows.replicas.thing).get(7)).toEqual({ id: 7, a: 70 })
    expect(third.stats().replicas[0]!.copied).toBeLessThan(3_000)
    await third.close()
  })

  test('one whose log was cut off compares itself with the source', async () => {
    const path = await newFolder()
    const options: OpenOptions = { path, durability: 'os', retention: { bytes: 0 } }
    const first = await openOnce(withIt, options)
    await first.submitMany(put, Array.from({ length: 50 }, (_, id) => ({ id, a: id, b: '' })))
    await settled(first)
    await first.close()
    // A program that has the rows as a plain table copies nothing: changes go by, and the log is cut off behind them.
    const plain = service('shows', { tables: { thing: table({ columns: { id: c.int(), a: c.int() }, key: ['id'] }) } })
    const second = await openOnce(app(import.meta.url, [things, plain]), options)
    const long = 'x'.repeat(100_000)
    await second.submitMany(put, Array.from({ length: 90 }, (_, n) => ({ id: n % 5, a: n + 100, b: long })))
    await second.call(remove, { id: 3 })
    for (let n = 0; n < 3; n += 1) {
      await second.call(put, { id: 1_000 + n, a: 0, b: '' })
      await second.checkpoint()
    }
    await second.close()
    const third = await openOnce(withIt, options)
    await settled(third)
    expect(rowsOf(third.table(shows.replicas.thing))).toEqual(rowsOf(Array.from(third.table(things.tables.thing), ({ id, a }) => ({ id, a }))))
    expect(third.table(shows.replicas.thing).count()).toBe(52)
    expect(third.stats().replicas[0]!.copied, 'it was compared as a whole').toBeGreaterThanOrEqual(52)
    await third.close()
  })
})

describe('what is refused', () => {
  const shop = service('shop', { tables: { thing: table({ columns: { id: c.int(), a: c.int(), b: c.text() }, key: ['id'] }) } })
  const { thing } = shop.tables
  const one = () => replica(() => thing, { columns: ['a'], strength: 'strong' })
  let services = 0
  const withReplica = (given: unknown, more: object = {}) => service(`other${(services += 1)}`, { ...more, replicas: { thing: given as never } })
  const made = (given: unknown) => app(import.meta.url, [shop, withReplica(given)])
  const wrong: readonly (readonly [string, () => unknown, RegExp])[] = [
    ['no table', () => replica(5 as never, { columns: [], strength: 'strong' }), /must be a table, or an arrow/],
    ['no columns', () => replica(() => thing, { strength: 'strong' } as never), /columns of replica\(\) is a list of names/],
    ['a column twice', () => replica(() => thing, { columns: ['a', 'a'], strength: 'strong' }), /names 'a' twice/],
    ['no strength', () => replica(() => thing, { columns: ['a'], strength: 'weak' as never }), /'strong', 'batch' or 'eventual'/],
    ['an unknown option', () => replica(() => thing, { columns: ['a'], strength: 'strong', more: 1 } as never), /has no option 'more'/],
    ['something that is no replica', () => withReplica(thing), /must be made by replica\(\)/],
    ['the name of a table', () => withReplica(one(), { tables: { thing: table({ columns: { id: c.int() }, key: ['id'] }) } }), /a replica 'thing' and a table of this name/],
    ['the name of a table it reads', () => withReplica(one(), { reads: { thing } }), /a replica 'thing' and a table of this name/],
    ['an unknown column', () => made(replica(() => thing, { columns: ['no' as never], strength: 'strong' })), /names 'no', which is no column of 'shop.thing'; there are a, b/],
    ['a column of the key', () => made(replica(() => thing, { columns: ['id' as never], strength: 'strong' })), /in the key of 'shop.thing'/],
    ['an arrow to nothing', () => made(replica((() => undefined) as never, { columns: [], strength: 'strong' })), /must answer a table/],
    ['an arrow that throws', () => made(replica((() => { throw new Error('no') }) as never, { columns: [], strength: 'strong' })), /threw: see cause/],
    ['a service that is not there', () => app(import.meta.url, [withReplica(one())]), /'shop.thing', which is not in this application/],
    ['a table of no service', () => made(replica(table({ columns: { id: c.int() }, key: ['id'] }), { columns: [], strength: 'strong' })), /a table of no service/],
  ]
  test.each(wrong)('%s', (_, define, message) => void expect(thrown(define, 'INVALID_DEFINITION').message).toMatch(message))

  test('a table of its own service, and a replica that has a service', () => {
    const mine = table({ columns: { id: c.int(), a: c.int() }, key: ['id'] })
    const own = service('own', { tables: { mine }, replicas: { again: replica(() => mine, { columns: ['a'], strength: 'strong' }) } })
    expect(thrown(() => app(import.meta.url, [own]), 'INVALID_DEFINITION').message).toMatch(/of a table of its own service/)
    const taken = one()
    withReplica(taken)
    expect(thrown(() => withReplica(taken), 'INVALID_DEFINITION').message).toMatch(/is 'other\d+.thing' already: call replica\(\) again/)
    expect(thrown(() => service('two', { replicas: { a: taken, b: taken } as never }), 'INVALID_DEFINITION').message).toMatch(/already/)
  })

  test('a replica of another application', async () => {
    const elsewhere = withReplica(one())
    const db = await openFor(app(import.meta.url, [shop]))
    expect(thrown(() => db.table(elsewhere.replicas.thing), 'INVALID_USE').message).toMatch(/The replica 'other\d+.thing' is not in this application/)
    expect(thrown(() => db.table(one()), 'INVALID_USE').message).toMatch(/belongs to no service: put it into service\(name, \{ replicas/)
  })
})

test('a description names source, columns and strength, and no table of a replica', () => {
  const { tables, replicas } = describeApp(replicasApp)
  expect(tables.map(({ name }) => name)).toEqual(['catalog.product', 'catalog.rate', 'cart.seen'])
  expect(replicas.map(({ name, service: of, source, key, strength, columns }) => ({ name, of, source, key, strength, columns: columns.map((column) => column.name) }))).toEqual([
    ...(['now', 'last'] as const).map((name) => ({ name: `cart.${name}`, of: 'cart', source: 'catalog.product', key: ['seller', 'id'], strength: name === 'now' ? 'strong' : 'batch', columns: ['seller', 'id', 'name', 'kind', 'price', 'version', 'tags'] })),
    { name: 'cart.rates', of: 'cart', source: 'catalog.rate', key: ['code'], strength: 'batch', columns: ['code', 'value'] },
    { name: 'board.later', of: 'board', source: 'catalog.product', key: ['seller', 'id'], strength: 'eventual', columns: ['seller', 'id', 'name', 'kind', 'price', 'version', 'tags'] },
    { name: 'board.rates', of: 'board', source: 'catalog.rate', key: ['code'], strength: 'eventual', columns: ['code', 'value'] },
  ])
})
