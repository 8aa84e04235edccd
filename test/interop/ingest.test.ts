/**
 * What is ingested has its effect once and in order, whatever ends or gets lost meanwhile. The contract runs over a double of JetStream,
 * and over a real server where there is one.
 */
import { fileURLToPath } from 'node:url'
import type { Database } from 'sluicedb'
import { type IngestedMessage, ingest, type Ingester, type IngestOptions, publish } from 'sluicedb/nats'
import { describe, expect, test } from 'vitest'
import cartApp, { shop } from '../support/apps/cart-app.js'
import application, { look, park, sink, source, take, takeParked } from '../support/apps/interop-app.js'
import { startCompiled } from '../support/child.js'
import { newFolder, openFor, openOnce, refused, take as first, until, within } from '../support/fixture.js'
import { randomOf, seeds, withSeed } from '../support/random.js'
import { JetStreamDouble, noFaults } from './jetstream-double.js'
import { doubleServer, type Maker, realServers, type Server } from './jetstream-servers.js'

const double: Maker = { name: 'the double', make: async () => doubleServer(new JetStreamDouble(1)) }

const textOf = ({ data }: IngestedMessage): string => new TextDecoder().decode(data)
type Options = IngestOptions<{ key?: string | undefined; sequence: number; text: string }>
const optionsFor = (server: Server, more: Partial<Options> = {}): Options => ({
  name: 'in', jetstream: server.client, stream: 'IN', procedure: take, input: (message) => ({ sequence: message.sequence, text: textOf(message) }), ...more,
})

const taken = (db: Database, key = '') => [...db.table(sink.tables.taken).scan({ prefix: [key] })].map(({ sequence, text }) => `${sequence} ${text}`)
const reached = (ingester: Ingester, sequence: number): Promise<void> =>
  until(() => {
    const state = ingester.inspect()
    if (state.status === 'stopped') throw state.lastError!
    return state.sequence >= sequence
  }, `message ${sequence} is done, after ${JSON.stringify(ingester.inspect())}`)
const put = async (server: Server, from: number, to: number): Promise<void> => {
  for (let n = from; n <= to; n += 1) await server.put('in.orders', `text ${n}`)
}
const wanted = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n + 1} text ${n + 1}`)

describe.each([double, ...realServers])('ingesting from $name', ({ make }) => {
  test('each message is one call, in order, from the beginning and then live', async () => {
    const server = await make()
    await server.makeStream('IN')
    await put(server, 1, 5)
    const db = await openFor(application)
    await using ingester = await ingest(db, optionsFor(server))
    await put(server, 6, 10)
    await reached(ingester, 10)
    expect(taken(db)).toEqual(wanted(10))
    expect(ingester.inspect()).toMatchObject({ status: 'running', sequence: 10, lag: 0, handled: 10, repeated: 0, skipped: 0, refused: 0, inFlight: 0 })
    const commits = await first(db.changes({ from: 'beginning', events: [sink.events.took] }), 10)
    expect(commits.map(({ events, requestId }) => [events[0]!.payload.sequence, requestId])).toEqual(Array.from({ length: 10 }, (_, n) => [n + 1, undefined]))
  })

  test('it goes on where it was: after it was closed, and after the server was killed under it', async () => {
    const server = await make()
    await server.makeStream('IN')
    const path = await newFolder()
    const db = await openOnce(application, { path })
    await put(server, 1, 10)
    const one = await ingest(db, optionsFor(server))
    await reached(one, 10)
    await db.close()
    await one.close()
    expect(one.inspect().status).toBe('closed')
    const again = await openFor(application, { path })
    await put(server, 11, 20)
    await using two = await ingest(again, optionsFor(server))
    await reached(two, 12)
    await server.restart()
    await put(server, 21, 30)
    await within(15_000, 'it comes back', reached(two, 30))
    expect(taken(again)).toEqual(wanted(30))
  })

  test('a work queue is emptied: messages are acknowledged when their effect is durable', async () => {
    const server = await make()
    await server.makeStream('IN', 'workqueue')
    await put(server, 1, 5)
    const db = await openFor(application)
    const one = await ingest(db, optionsFor(server))
    await reached(one, 5)
    await until(async () => (await server.stored('IN').catch(() => [])).length === 0, 'the queue is empty')
    await one.close()
    await put(server, 6, 7)
    await using two = await ingest(db, optionsFor(server))
    await reached(two, 7)
    expect(taken(db)).toEqual(wanted(7))
  })

  /**
   * The cursor moved with messages that were taken only. Where retention removed others that had come since, the next session, after nothing worse
   * than a lost connection, found the stream begin behind it, and stopped for good with HISTORY_GONE.
   */
  test('messages that the filter leaves out are passed: removing them stops nothing', async () => {
    const server = await make()
    await server.makeStream('IN')
    await server.put('in.others.a', 'text 1')
    await put(server, 2, 3)
    const db = await openFor(application)
    await using ingester = await ingest(db, optionsFor(server, { filter: 'in.others.>' }))
    await reached(ingester, 3)
    await put(server, 4, 6)
    await reached(ingester, 6)
    expect(ingester.inspect()).toMatchObject({ lag: 0, handled: 1, skipped: 0 })
    await server.removeUpTo('IN', 5)
    await server.restart()
    await server.put('in.others.b', 'text 7')
    await within(15_000, 'it comes back', reached(ingester, 7))
    expect(taken(db)).toEqual(['1 text 1', '7 text 7'])
  })

  test('a stream that was deleted and made again is noticed, and its messages are others though their numbers are the same', async () => {
    const server = await make()
    await server.makeStream('IN')
    await put(server, 1, 3)
    const db = await openFor(application)
    const one = await ingest(db, optionsFor(server))
    await reached(one, 3)
    await one.close()
    await server.deleteStream('IN')
    await server.makeStream('IN')
    await put(server, 1, 5)
    const two = await ingest(db, optionsFor(server))
    expect((await refused(two.ended, 'HISTORY_GONE')).message).toMatch(/deleted and made again/)
    await two.close()
    await using three = await ingest(db, optionsFor(server, { whenGone: 'goOn' }))
    await until(() => taken(db).length === 8, 'the new ones are there')
    expect(taken(db)).toEqual([...wanted(3), ...wanted(5)])
    expect(three.inspect().sequence).toBe(5)
  })
})

describe('whatever gets lost', () => {
  const faults = { lostMessage: 0, lostAck: 0.1, lateMessage: 0, lostDelivery: 0.03, redelivery: 0.1, failedRequest: 0.05, delayMs: 2 }

  test.each(seeds(2))('each effect is there once and in order: deliveries and acknowledgements lost, redeliveries, refusals, restarts of either side, seed %i', (seed) =>
    withSeed(seed, async (random) => {
      const server = new JetStreamDouble(seed)
      server.makeStream('IN', random.pick(['limits', 'workqueue']))
      const path = await newFolder()
      let count = 0
      const all: string[][] = [[], [], []]
      const byKey = random.chance(0.5)
      const filter = random.pick([undefined, 'in.orders'])
      // What is refused now and then is another call each time.
      const refusals = random.pick([0, 0.2])
      const keyOf = ({ sequence }: IngestedMessage): string => (byKey ? String(sequence % 3) : '')
      const options = optionsFor(doubleServer(server), { filter, key: keyOf, maxInFlight: random.pick([1, 8, 64]), attempts: 100, input: (message) => ({ key: keyOf(message), sequence: message.sequence, text: random.chance(refusals) ? 'poison' : textOf(message) }) })
      for (let round = 0; round < 3; round += 1) {
        const db = await openOnce(application, { path, durability: 'os' })
        server.faults = faults
        const ingester = await ingest(db, options)
        const messages = 20 + random.below(40)
        for (let n = 1; n <= messages; n += 1) {
          if (filter !== undefined && random.chance(0.3)) server.put('in.others', 'x')
          count += 1
          server.put('in.orders', `text ${count}`)
          const sequence = server.streams.get('IN')!.last
          all[byKey ? sequence % 3 : 0]!.push(`${sequence} text ${count}`)
        }
        if (random.chance(0.5)) server.restart()
        if (round === 2) {
          // Of a work queue the last ones may be gone before the cursor has passed them: rows tell.
          await until(() => db.table(sink.tables.taken).count() >= count, `all ${count} are there, ${JSON.stringify(ingester.inspect())}`, 15_000)
          for (const key of byKey ? [0, 1, 2] : [0]) expect(taken(db, byKey ? String(key) : '')).toEqual(all[key])
        } else await new Promise((resolve) => setTimeout(resolve, random.below(40)))
        // The database ends under it, with calls in flight and the cursor behind.
        await db.close()
        await within(10_000, 'it ends with its database', ingester.close())
      }
    }))

  /**
   * A call far ahead of the cursor, with thousands between that the filter leaves out, had the id that a message of the next stream came to have: that one
   * was passed over as done.
   */
  test('a stream that was made again has ids of its own, however far ahead of the cursor a call was made', async () => {
    const server = new JetStreamDouble(9)
    server.makeStream('IN')
    server.put('in.orders', 'poison')
    for (let n = 0; n < 8_192; n += 1) server.put('in.others', 'x')
    server.put('in.orders', 'far ahead')
    const db = await openFor(application)
    const options = optionsFor(doubleServer(server), { filter: 'in.orders', key: ({ sequence }) => String(sequence), attempts: 1, whenGone: 'goOn' })
    let refuse: () => void = () => undefined
    const one = await ingest(db, { ...options, onRefused: () => new Promise((_resolve, reject) => (refuse = () => reject(new Error('no room')))) })
    await until(() => taken(db).length === 1, 'the one that is far ahead is done')
    refuse()
    await refused(one.ended, 'INVALID_USE')
    await one.close()
    server.makeStream('IN')
    await using two = await ingest(db, options)
    await until(() => two.inspect().status === 'running', 'it has begun')
    await put(doubleServer(server), 1, 3)
    await reached(two, 3)
    expect(taken(db).slice(1)).toEqual(wanted(3))
  })

  test('what was removed before it was ingested stops it, as does a server that has lost messages', async () => {
    const server = new JetStreamDouble(2)
    server.makeStream('IN')
    const db = await openFor(application)
    const run = async (more: Partial<Options> = {}) => ingest(db, optionsFor(doubleServer(server), more))
    await put(doubleServer(server), 1, 3)
    const one = await run()
    await reached(one, 3)
    await one.close()
    await put(doubleServer(server), 4, 6)
    server.removeUpTo('IN', 5)
    const two = await run()
    expect((await refused(two.ended, 'HISTORY_GONE')).details).toMatchObject({ stream: 'IN', sequence: 6 })
    await two.close()
    const three = await run({ whenGone: 'goOn' })
    await reached(three, 6)
    await three.close()
    const stream = server.streams.get('IN')!
    stream.messages.delete(6)
    stream.last = 5
    const four = await run()
    expect((await refused(four.ended, 'HISTORY_GONE')).message).toMatch(/lost messages/)
    await four.close()
    await using five = await run({ whenGone: 'goOn' })
    await until(() => five.inspect().sequence === 5, 'it has begun at the end')
    server.put('in.orders', 'text 6, another one')
    await reached(five, 6)
    expect(taken(db)).toEqual([...wanted(3), '6 text 6', '6 text 6, another one'])
  })
})

describe('messages that are refused', () => {
  const start = async (texts: readonly string[], more: Partial<Options>) => {
    const server = doubleServer(new JetStreamDouble(3))
    await server.makeStream('IN')
    for (const text of texts) await server.put('in.orders', text)
    const db = await openFor(application)
    return { db, server, ingester: await ingest(db, optionsFor(server, more)) }
  }

  test('are tried again, then it stops before them: nothing is lost', async () => {
    const { db, server, ingester } = await start(['text 1', 'poison', 'text 3'], { attempts: 3 })
    expect((await refused(ingester.ended, 'ABORTED')).reason).toBe('POISON')
    expect(ingester.inspect()).toMatchObject({ status: 'stopped', handled: 1, retried: 2, sequence: 1 })
    await ingester.close()
    expect(taken(db)).toEqual(['1 text 1'])
    // The next one knows what its calls came to, and with somebody who takes it goes on.
    const refusals: string[] = []
    await using next = await ingest(db, optionsFor(server, { attempts: 3, onRefused: ({ sequence }, error) => void refusals.push(`${sequence} ${error.reason}`) }))
    await reached(next, 3)
    expect([taken(db), refusals]).toEqual([['1 text 1', '3 text 3'], ['2 POISON']])
  })

  test('go to a table of dead letters, once, by a call with an id; others of their key wait until then', async () => {
    const { db, ingester } = await start(['poison a', 'text 2', 'poison b', 'text 4'], {
      attempts: 1,
      onRefused: async ({ stream, sequence }, error) => {
        await db.call(park, { sequence, reason: error.reason ?? error.code }, { id: `${stream}:${sequence}` })
      },
    })
    await reached(ingester, 4)
    await ingester.close()
    expect(taken(db)).toEqual(['2 text 2', '4 text 4'])
    expect([...db.table(sink.tables.refused)].map(({ sequence, reason }) => [sequence, reason]).sort()).toEqual([[1, 'POISON'], [3, 'POISON']])
    expect(ingester.inspect()).toMatchObject({ refused: 2, handled: 2 })
  })

  test('an input that throws is refused by name, one that is undefined passes over', async () => {
    const { db, ingester } = await start(['text 1', 'text 2', 'text 3'], {
      attempts: 1,
      input: (message) => {
        if (message.sequence === 1) return undefined
        return { sequence: message.sequence, text: message.sequence === 3 ? String(message.json()) : textOf(message) }
      },
    })
    expect((await refused(ingester.ended, 'INVALID_INPUT')).details).toMatchObject({ stream: 'IN', subject: 'in.orders', sequence: 3 })
    await ingester.close()
    expect([taken(db), ingester.inspect().skipped]).toEqual([['2 text 2'], 1])
  })

  /** It was known by its id, whatever `input` answered now, and passed over without a word: no effect, and nobody was told. */
  test('are made again once `input` was mended', async () => {
    const { db, server, ingester } = await start(['text 1', 'poison'], { attempts: 1 })
    await refused(ingester.ended, 'ABORTED')
    await ingester.close()
    const input = (message: IngestedMessage) => ({ sequence: message.sequence, text: message.sequence === 2 ? 'mended' : textOf(message) })
    await using next = await ingest(db, optionsFor(server, { attempts: 1, input }))
    await reached(next, 2)
    expect(taken(db)).toEqual(['1 text 1', '2 mended'])
    expect(next.inspect()).toMatchObject({ handled: 1, repeated: 0, refused: 0 })
  })

  /** The refusals of before were answered again, and counted as attempts: no call was ever made. */
  test('are made again once the procedure would take them, and attempts are those of this session', async () => {
    const options = { procedure: takeParked as never, attempts: 2 }
    const { db, server, ingester } = await start(['text 1'], options)
    expect((await refused(ingester.ended, 'ABORTED')).reason).toBe('NOT_YET')
    await ingester.close()
    const again = await ingest(db, optionsFor(server, options))
    expect((await refused(again.ended, 'ABORTED')).reason).toBe('NOT_YET')
    expect(again.inspect()).toMatchObject({ retried: 1, sequence: 0 })
    await again.close()
    await db.call(park, { sequence: 1, reason: 'NOT_YET' })
    await using next = await ingest(db, optionsFor(server, { ...options, attempts: 1 }))
    await reached(next, 1)
    expect(taken(db)).toEqual(['1 text 1'])
    expect(next.inspect()).toMatchObject({ handled: 1, retried: 0 })
  })

  test('but what has committed stays as it is, whatever `input` answers later', async () => {
    const server = doubleServer(new JetStreamDouble(3))
    await server.makeStream('IN')
    await put(server, 1, 2)
    const path = await newFolder()
    const db = await openOnce(application, { path })
    const one = await ingest(db, optionsFor(server))
    await reached(one, 2)
    // It ends before its cursor is noted, so that both come again.
    await db.close()
    await one.close()
    const again = await openFor(application, { path })
    await using two = await ingest(again, optionsFor(server, { input: ({ sequence }) => ({ sequence, text: 'other' }) }))
    await reached(two, 2)
    expect(taken(again)).toEqual(wanted(2))
    expect(two.inspect()).toMatchObject({ handled: 0, refused: 0 })
  })

  /** CONFLICT is retryable, for others than a call: the same call was made for ever, and everything stood behind it. */
  test('among them one that expects another version of an aggregate', async () => {
    const server = doubleServer(new JetStreamDouble(3))
    await server.makeStream('IN')
    await server.put('in.orders', 'tea')
    const db = await openFor(cartApp)
    const options = { name: 'in', jetstream: server.client, stream: 'IN', procedure: shop.aggregates.cart.add, attempts: 2 }
    const one = await ingest(db, { ...options, input: (message) => ({ id: 'ann', product: textOf(message), expectedVersion: 7 }) })
    const error = await within(5_000, 'it stops', refused(one.ended, 'CONFLICT'))
    expect(error.details).toMatchObject({ expected: 7, actual: 0 })
    expect(one.inspect()).toMatchObject({ status: 'stopped', retried: 1, sequence: 0 })
    await one.close()
    await using two = await ingest(db, { ...options, input: (message) => ({ id: 'ann', product: textOf(message), expectedVersion: 0 }) })
    await reached(two, 1)
    expect(await db.call(shop.aggregates.cart.load, { id: 'ann' })).toMatchObject({ version: 1, state: { lines: { tea: 1 } } })
  })

  test('a failure of onRefused stops it before the message', async () => {
    const { db, ingester } = await start(['poison', 'text 2'], { attempts: 1, onRefused: () => Promise.reject(new Error('no room')) })
    expect((await refused(ingester.ended, 'INVALID_USE')).message).toMatch(/onRefused/)
    await ingester.close()
    expect([taken(db), ingester.inspect().sequence]).toEqual([[], 0])
  })
})

test('from new, from a sequence, and by a subject', async () => {
  const server = doubleServer(new JetStreamDouble(4))
  await server.makeStream('IN')
  await put(server, 1, 3)
  const db = await openFor(application)
  const input = (name: string) => (message: IngestedMessage) => ({ key: name, sequence: message.sequence, text: message.subject })
  const all = [
    await ingest(db, optionsFor(server, { name: 'new', from: 'new', input: input('new') })),
    await ingest(db, optionsFor(server, { name: 'three', from: 3, input: input('three') })),
    await ingest(db, optionsFor(server, { name: 'others', filter: 'in.others.>', input: input('others') })),
  ]
  await until(() => all[0]!.inspect().sequence === 3, 'it has begun')
  await server.put('in.others.a', 'x')
  await server.put('in.orders', 'x')
  await reached(all[0]!, 5)
  await reached(all[1]!, 5)
  await reached(all[2]!, 4)
  for (const one of all) await one.close()
  expect(taken(db, 'new')).toEqual(['4 in.others.a', '5 in.orders'])
  expect(taken(db, 'three')).toEqual(['3 in.orders', '4 in.others.a', '5 in.orders'])
  expect(taken(db, 'others')).toEqual(['4 in.others.a'])
})

test('no more than the bound is taken while calls wait', async () => {
  const double = new JetStreamDouble(5)
  const server = doubleServer(double)
  await server.makeStream('IN')
  await put(server, 1, 50)
  const db = await openFor(application)
  let open: () => void = () => undefined
  const gate = new Promise<void>((resolve) => (open = resolve))
  await server.put('in.orders', 'poison')
  await using ingester = await ingest(db, optionsFor(server, { maxInFlight: 4, from: 48, attempts: 1, onRefused: () => gate }))
  await reached(ingester, 50)
  await put(server, 52, 80)
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(double.streams.get('IN')!.consumers.get('sluice_in')!.next).toBeLessThanOrEqual(51 + 2 * 4 + 1)
  open()
  await reached(ingester, 80)
  expect(taken(db).length).toBe(32)
})

test('an ingestion holds its name, and options that mean nothing are refused', async () => {
  const server = doubleServer(new JetStreamDouble(6))
  await server.makeStream('IN')
  const db = await openFor(application)
  await using ingester = await ingest(db, optionsFor(server))
  expect((await refused(ingest(db, optionsFor(server)), 'INVALID_USE')).message).toMatch(/runs already/)
  const wrongs: readonly object[] = [
    { name: '' }, { stream: 'a.b' }, { jetstream: 5 }, { filter: '' }, { from: 0 }, { from: 'now' }, { input: 'x' }, { key: 'x' }, { onRefused: 5 }, { attempts: 0 }, { attempts: 1_001 },
    { maxInFlight: 0 }, { maxInFlight: 4_097 }, { whenGone: 'yes' }, { procedure: look }, { procedure: {} }, { colour: 'red' },
  ]
  for (const wrong of wrongs) await refused(ingest(db, { ...optionsFor(server, { name: 'wrong' }), ...wrong } as never), 'INVALID_USE')
  await server.makeStream('SHARED', 'interest')
  const shared = await ingest(db, optionsFor(server, { name: 'shared', stream: 'SHARED' }))
  expect((await refused(shared.ended, 'INVALID_USE')).message).toMatch(/not in this version/)
  const queue = doubleServer(new JetStreamDouble(7))
  await queue.makeStream('IN', 'workqueue')
  const middle = await ingest(db, optionsFor(queue, { name: 'middle', from: 'new' }))
  await refused(middle.ended, 'INVALID_USE')
})

test('a signal ends it, and a database that is closed does', async () => {
  const server = new JetStreamDouble(8)
  server.makeStream('IN')
  server.faults = noFaults
  const db = await openOnce(application)
  const aborter = new AbortController()
  const one = await ingest(db, optionsFor(doubleServer(server), { signal: aborter.signal }))
  aborter.abort()
  await within(5_000, 'it ends', one.ended)
  const two = await ingest(db, optionsFor(doubleServer(server)))
  await put(doubleServer(server), 1, 1)
  await reached(two, 1)
  await db.close()
  await within(5_000, 'it ends', two.ended)
  await refused(ingest(db, optionsFor(doubleServer(server))), 'DATABASE_CLOSED')
})

// ── either side is killed ─────────────────────────────────────────────────────────────────────────────────────

const child = fileURLToPath(new URL('./kill-child.ts', import.meta.url))
const kills = 2

test.each(realServers)('either side is killed again and again: $name', { timeout: 60_000 }, async ({ make }) => {
  const seed = seeds(1)[0]!
  const random = randomOf(seed)
  const server = await make()
  await server.makeStream('OUT')
  await server.makeStream('IN')
  const path = await newFolder()
  let sent = 0
  let next = 0
  for (let kill = 0; kill < kills; kill += 1) {
    const program = startCompiled(child, [path, String(server.port), next])
    program.onLine((line) => {
      if (line.startsWith('called ')) next = Math.max(next, Number(line.slice('called '.length)) + 1)
    })
    await program.line(/^called/)
    for (let n = 0; n < 20; n += 1) await server.put('in.orders', `text ${(sent += 1)}`)
    if (kill === 1) await server.restart()
    await new Promise((resolve) => setTimeout(resolve, random.below(60)))
    expect(program.process.exitCode, program.errors.join('\n')).toBe(null)
    program.process.kill('SIGKILL')
    await program.ended
    next += 1 // the one in flight may have committed
  }
  const db = await openFor(application, { path })
  await using publisher = await publish(db, { name: 'out', jetstream: server.client, headers: server.headers, stream: 'OUT', subject: 'out', tables: [source.tables.item] })
  await using ingester = await ingest(db, { name: 'in', jetstream: server.client, stream: 'IN', procedure: take, input: (message) => ({ sequence: message.sequence, text: new TextDecoder().decode(message.data) }) })
  await until(() => ingester.inspect().sequence === sent, `all is ingested, seed ${seed}`)
  await until(() => !publisher.inspect().isBehind, `all is published, seed ${seed}`)
  expect([...db.table(sink.tables.taken).scan({ prefix: [''] })].map(({ text }) => text), `seed ${seed}`).toEqual(Array.from({ length: sent }, (_, n) => `text ${n + 1}`))
  const items = db.table(source.tables.item).count()
  expect(items).toBeGreaterThan(kills)
  const commits = await first(db.changes({ from: 'beginning', tables: [source.tables.item] }), items)
  const stored = await server.stored('OUT')
  expect(stored.map(({ text }) => (JSON.parse(text) as { id: string }).id), `seed ${seed}`).toEqual(commits.map(({ position }) => `${position}:0`))
})
