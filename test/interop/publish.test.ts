/**
 * What is published is what was committed: each message once, in order, without a gap, whatever ends or gets lost meanwhile. The contract
 * runs over a double of JetStream, and over a real server where there is one.
 */
import type { Database } from 'sluicedb'
import { fromBinaryMode, fromCloudEvents, fromDebezium } from 'sluicedb/envelopes'
import { ingest, type JetStreamLike, publish, type PublishOptions } from 'sluicedb/nats'
import { describe, expect, test } from 'vitest'
import application, { change, drop, quiet, sink, source, take } from '../support/apps/interop-app.js'
import { newFolder, openFor, openOnce, refused, take as first, until, within } from '../support/fixture.js'
import { seeds, withSeed } from '../support/random.js'
import { expectSame } from '../support/same.js'
import { JetStreamDouble, noFaults } from './jetstream-double.js'
import { doubleServer, idle, type Maker, realServers, type Server } from './jetstream-servers.js'

const double: Maker = { name: 'the double', make: async () => doubleServer(new JetStreamDouble(1)) }

const optionsFor = (server: Server, more: Partial<PublishOptions> = {}): PublishOptions => ({ name: 'out', jetstream: server.client, headers: server.headers, stream: 'OUT', subject: 'out', ...more })

/** All that the log of a database holds, as ids of messages without the part that is the database's. */
async function wantedIds(db: Database, count: number): Promise<string[]> {
  const commits = await first(db.changes({ from: 'beginning' }), count)
  return commits.flatMap((commit) => [...commit.changes, ...commit.events].map((_, n) => `${commit.position}:${n}`))
}
const idsIn = async (server: Server, stream = 'OUT'): Promise<string[]> => (await server.stored(stream)).map(({ header }) => header('Nats-Msg-Id').split(':').slice(2).join(':'))

describe.each([double, ...realServers])('publishing to $name', ({ make }) => {
  test('every change and event arrives once and in order, as CloudEvents that are the commits again', async () => {
    const server = await make()
    await server.makeStream('OUT')
    const db = await openFor(application)
    await db.submitMany(change, [1, 2, 3].map((id) => ({ id, text: `before ${id}` })))
    await using publisher = await publish(db, optionsFor(server))
    for (let id = 1; id <= 3; id += 1) await db.call(change, { id, text: `after ${id}` })
    await idle(publisher)
    expect(await idsIn(server)).toEqual(await wantedIds(db, 6))
    const stored = await server.stored('OUT')
    expect(stored[0]!.subject).toBe('out.source.item')
    expect(stored[0]!.header('content-type')).toBe('application/cloudevents+json')
    const commits = await first(db.changes({ from: 'beginning' }), 6)
    expectSame(Array.from(commits, (_, n) => fromCloudEvents([JSON.parse(stored[2 * n]!.text), JSON.parse(stored[2 * n + 1]!.text)])), commits, 'the commits')
    expect(publisher.inspect()).toMatchObject({ status: 'running', published: 12, inFlight: 0, position: commits.at(-1)!.position, lagMs: 0, lastError: undefined })
  })

  test('it goes on where it was: after it was closed, and after the server was killed under it', async () => {
    const server = await make()
    await server.makeStream('OUT')
    const db = await openFor(application, { path: await newFolder() })
    const one = await publish(db, optionsFor(server))
    for (let id = 0; id < 20; id += 1) await db.call(change, { id, text: 'one' })
    await one.close()
    expect(one.inspect().status).toBe('closed')
    await one.ended
    const two = await publish(db, optionsFor(server, { maxInFlight: 8 }))
    const calls = Promise.all(Array.from({ length: 60 }, (_, id) => db.call(change, { id, text: 'two' })))
    await server.restart()
    await calls
    await within(10_000, 'it comes back', idle(two))
    await two.close()
    expect(await idsIn(server)).toEqual(await wantedIds(db, 80))
  })

  test('somebody else writes to the same stream: order and number stay', async () => {
    const server = await make()
    await server.makeStream('OUT')
    const db = await openFor(application)
    await using publisher = await publish(db, optionsFor(server, { maxInFlight: 4 }))
    for (let id = 0; id < 30; id += 1) {
      await Promise.all([db.call(change, { id, text: 'ours' }), id % 5 === 0 && server.put('out.others', `${id}`)])
    }
    await idle(publisher)
    const stored = await server.stored('OUT')
    expect(stored.filter(({ subject }) => subject === 'out.others').length).toBe(6)
    expect((await idsIn(server)).filter((id) => id !== '')).toEqual(await wantedIds(db, 30))
  })

  // Between two sessions it once said that it had caught up, for it had been idle at the end of the first.
  test('it is behind as long as it has not met the server again', async () => {
    const server = await make()
    await server.makeStream('OUT')
    const db = await openFor(application)
    let open: () => void = () => undefined
    let gate = Promise.resolve()
    const client: JetStreamLike = Object.create(server.client, {
      jetstreamManager: { value: async (check?: boolean) => (await gate, server.client.jetstreamManager(check)) },
    })
    await using publisher = await publish(db, { ...optionsFor(server), jetstream: client })
    await db.call(change, { id: 0, text: 'before' })
    await idle(publisher)
    gate = new Promise((resolve) => (open = resolve))
    await server.put('out.others', 'takes the next place')
    await db.call(change, { id: 1, text: 'behind' })
    await until(() => publisher.inspect().restarts === 1, 'it meets the server again')
    expect(publisher.inspect()).toMatchObject({ isBehind: true, inFlight: 0 })
    open()
    await idle(publisher)
    expect((await idsIn(server)).filter((id) => id !== '')).toEqual(await wantedIds(db, 2))
  })

  test('a stream that was deleted and made again is noticed', async () => {
    const server = await make()
    await server.makeStream('OUT')
    const db = await openFor(application)
    const one = await publish(db, optionsFor(server))
    await db.call(change, { id: 1, text: 'x' })
    await idle(one)
    await one.close()
    await server.deleteStream('OUT')
    await server.makeStream('OUT')
    const two = await publish(db, optionsFor(server))
    expect((await refused(two.ended, 'HISTORY_GONE')).message).toMatch(/deleted and made again/)
    expect(two.inspect().status).toBe('stopped')
    await two.close()
    await using three = await publish(db, optionsFor(server, { whenGone: 'goOn' }))
    await db.call(change, { id: 2, text: 'y' })
    await idle(three)
    expect(await idsIn(server)).toEqual((await wantedIds(db, 2)).slice(2))
  })
})

// ── what only the double can do ───────────────────────────────────────────────────────────────────────────────

/** What a kill does to this side: no cursor moves any more, and what was in flight may arrive or not. */
describe('whatever gets lost', () => {
  const faults = { lostMessage: 0.02, lostAck: 0.02, lateMessage: 0.02, lostDelivery: 0, redelivery: 0, failedRequest: 0.03, delayMs: 2 }

  test.each(seeds(2))('each message is there once and in order: messages and acknowledgements lost, restarts of either side, seed %i', (seed) =>
    withSeed(seed, async (random) => {
      const server = new JetStreamDouble(seed)
      server.makeStream('OUT')
      server.windowMs = random.pick([0, 0, 60_000])
      const path = await newFolder()
      let count = 0
      for (let round = 0; round < 3; round += 1) {
        const db = await openOnce(application, { path, durability: 'os' })
        server.faults = faults
        const publisher = await publish(db, optionsFor(doubleServer(server), { maxInFlight: random.pick([1, 4, 64]) }))
        const calls = 10 + random.below(30)
        count += calls
        const outcomes = db.submitMany(change, Array.from({ length: calls }, (_, id) => ({ id, text: `round ${round}` })))
        if (random.chance(0.5)) server.put('out.others', 'x')
        await outcomes
        if (random.chance(0.5)) server.restart()
        if (round === 2) {
          server.faults = noFaults
          await idle(publisher)
          expect((await idsIn(doubleServer(server))).filter((id) => id !== '')).toEqual(await wantedIds(db, count))
        } else await new Promise((resolve) => setTimeout(resolve, random.below(20)))
        // Nothing of this client reaches the server any more, and the database ends under the publisher.
        if (random.chance(0.7)) server.restart()
        await db.close()
        await within(10_000, 'the publisher ends with its database', publisher.close())
      }
    }))

  test('nothing is sent beyond the bound while the server is slow, and the log waits', async () => {
    const server = new JetStreamDouble(3)
    server.makeStream('OUT')
    server.faults = { ...noFaults, delayMs: 5 }
    const db = await openFor(application)
    await using publisher = await publish(db, optionsFor(doubleServer(server), { maxInFlight: 3 }))
    const calls = db.submitMany(change, Array.from({ length: 100 }, (_, id) => ({ id, text: 'x' })))
    let most = 0
    await until(() => {
      const { inFlight, published } = publisher.inspect()
      most = Math.max(most, inFlight)
      return published === 200
    }, 'all are published')
    await calls
    expect(most).toBe(3)
  })

  test('what was in flight and is not there any more stops it: it cannot know', async () => {
    const server = new JetStreamDouble(4)
    server.makeStream('OUT')
    const db = await openFor(application)
    await db.call(change, { id: 1, text: 'x' })
    // All is stored, no acknowledgement arrives, and then the stream drops it.
    server.faults = { ...noFaults, lostAck: 1 }
    const one = await publish(db, optionsFor(doubleServer(server)))
    await until(() => server.streams.get('OUT')!.last === 2, 'both are stored')
    await one.close()
    server.faults = noFaults
    server.removeUpTo('OUT', 2)
    const two = await publish(db, optionsFor(doubleServer(server)))
    expect((await refused(two.ended, 'HISTORY_GONE')).details).toMatchObject({ stream: 'OUT', sequence: 2 })
    await two.close()
    await using three = await publish(db, optionsFor(doubleServer(server), { whenGone: 'goOn' }))
    await idle(three)
    expect(await idsIn(doubleServer(server))).toEqual(await wantedIds(db, 1))
  })

  /** The mark that the server had lost stayed in memory, so that nothing before it was read back. */
  test('a server that has lost messages, and is told to go on, is read back from its new end', async () => {
    const server = new JetStreamDouble(13)
    server.makeStream('OUT')
    const db = await openFor(application)
    await using publisher = await publish(db, optionsFor(doubleServer(server), { whenGone: 'goOn' }))
    for (let id = 1; id <= 5; id += 1) await db.call(quiet, { id })
    await idle(publisher)
    const stream = server.streams.get('OUT')!
    for (const sequence of [3, 4, 5]) stream.messages.delete(sequence)
    stream.last = 2
    server.faults = { ...noFaults, lostAck: 1 }
    server.restart()
    for (let id = 6; id <= 7; id += 1) await db.call(quiet, { id })
    await until(() => stream.last > 2, 'something is stored')
    server.faults = noFaults
    await idle(publisher)
    const ids = await wantedIds(db, 7)
    expect(await idsIn(doubleServer(server))).toEqual([...ids.slice(0, 2), ...ids.slice(5)])
  })

  test('an older copy of the database does not publish what the stream is ahead of', async () => {
    const server = new JetStreamDouble(5)
    server.makeStream('OUT')
    const [path, copy] = [await newFolder(), await newFolder()]
    const db = await openOnce(application, { path })
    const one = await publish(db, optionsFor(doubleServer(server)))
    await db.call(change, { id: 1, text: 'x' })
    await idle(one)
    await one.close()
    await db.backup(copy)
    const two = await publish(db, optionsFor(doubleServer(server)))
    await db.call(change, { id: 2, text: 'x' })
    await idle(two)
    await two.close()
    await db.close()
    const older = await openFor(application, { path: copy })
    const three = await publish(older, optionsFor(doubleServer(server)))
    await refused(three.ended, 'INVALID_USE')
    await three.close()
  })

  test('a message that is too long stops it by name', async () => {
    const server = new JetStreamDouble(6)
    server.makeStream('OUT')
    server.payloadMax = 2_000
    const db = await openFor(application)
    await db.call(change, { id: 1, text: 'x' })
    const { position } = await db.submit(change, { id: 2, text: 'x'.repeat(3_000) })
    const publisher = await publish(db, optionsFor(doubleServer(server)))
    expect((await refused(publisher.ended, 'INVALID_USE')).message).toContain(position)
    await publisher.close()
    expect(await idsIn(doubleServer(server))).toEqual((await wantedIds(db, 1)).slice(0, 2))
  })
})

// ── what is published ─────────────────────────────────────────────────────────────────────────────────────────

describe('messages', () => {
  const published = async (more: Partial<PublishOptions<never, never>>, run: (db: Database) => Promise<unknown>) => {
    const server = doubleServer(new JetStreamDouble(7))
    await server.makeStream('OUT')
    const db = await openFor(application)
    await run(db)
    await using publisher = await publish(db, optionsFor(server, more))
    await idle(publisher)
    return { stored: await server.stored('OUT'), db }
  }
  const both = async (db: Database): Promise<void> => {
    await db.call(change, { id: 1, text: 'tea' })
    await db.call(drop, { id: 1 })
  }

  test('in binary mode', async () => {
    const { stored, db } = await published({ as: 'cloudevents-binary', source: '/here' }, both)
    const events = stored.map(({ header, text }) => fromBinaryMode({ headers: Object.fromEntries(['content-type', ...['specversion', 'id', 'source', 'type', 'time', 'subject', 'sluicekind', 'sluicecount', 'sluiceprocedure'].map((name) => `ce-${name}`)].flatMap((name) => (header(name) === '' ? [] : [[name, header(name)]]))), data: new TextEncoder().encode(text) }))
    const [one] = await first(db.changes({ from: 'beginning' }), 1)
    expectSame(fromCloudEvents(events.slice(0, 2)), one, 'the commit')
    expect(events[0]!.source).toBe('/here')
  })

  test('in the shape of Debezium, with tombstones', async () => {
    const { stored, db } = await published({ as: 'debezium', tombstones: true, subject: (item) => ('key' in item ? `out.${String(item.key)}` : 'out.events') }, both)
    expect(stored.map(({ subject, text }) => [subject, text === ''])).toEqual([['out.1', false], ['out.events', false], ['out.1', false], ['out.1', true]])
    const messages = stored.map(({ header, text }) => ({ key: JSON.parse(header('sluice-key')) as unknown, value: text === '' ? null : (JSON.parse(text) as unknown) }))
    const commits = await first(db.changes({ from: 'beginning' }), 2)
    expectSame([fromDebezium(messages.slice(0, 2)), fromDebezium(messages.slice(2))], commits, 'the commits')
  })

  test('made by the user, of chosen tables', async () => {
    const server = doubleServer(new JetStreamDouble(8))
    await server.makeStream('OUT')
    const db = await openFor(application)
    await both(db)
    await db.call(take, { sequence: 1, text: 'not chosen' })
    await using publisher = await publish(db, {
      ...{ name: 'mine', jetstream: server.client, headers: server.headers, stream: 'OUT' },
      tables: [source.tables.item],
      as: (commit) => commit.changes.map(({ key, after }) => ({ subject: `out.${key}`, data: after?.text ?? 'gone', headers: { kind: 'mine' } })),
    })
    await idle(publisher)
    expect((await server.stored('OUT')).map(({ subject, text, header }) => [subject, text, header('kind')])).toEqual([['out.1', 'tea', 'mine'], ['out.1', 'gone', 'mine']])
  })

  test('from now, from a position, and from where it was', async () => {
    const server = doubleServer(new JetStreamDouble(9))
    await server.makeStream('OUT')
    const db = await openFor(application)
    const { position } = await db.submit(quiet, { id: 1 })
    await db.call(quiet, { id: 2 })
    for (const [name, from] of [['now', 'now'], ['behind', position]] as const) {
      const publisher = await publish(db, optionsFor(server, { name, from, as: (commit) => commit.changes.map(({ key }) => ({ subject: `out.${name}`, data: String(key) })) }))
      await idle(publisher)
      await publisher.close()
    }
    await db.call(quiet, { id: 3 })
    await using again = await publish(db, optionsFor(server, { name: 'now', from: 'beginning', as: (commit) => commit.changes.map(({ key }) => ({ subject: 'out.now', data: String(key) })) }))
    await idle(again)
    expect((await server.stored('OUT')).map(({ subject, text }) => [subject, text])).toEqual([['out.behind', '2'], ['out.now', '3']])
  })

  test('what this database ingested from the stream is not published to it, unless it is asked for', async () => {
    const server = doubleServer(new JetStreamDouble(10))
    await server.makeStream('OUT')
    await server.put('out.others', 'hello')
    const db = await openFor(application)
    const options = { name: 'in', jetstream: server.client, stream: 'OUT', procedure: take, input: ({ sequence, json, header, data }: { sequence: number; json: () => unknown; header: (name: string) => string; data: Uint8Array }) => ({ sequence, text: new TextDecoder().decode(data) }) }
    await using ingester = await ingest(db, options)
    await using publisher = await publish(db, optionsFor(server))
    await until(() => db.table(sink.tables.taken).count() === 1, 'it is ingested')
    await db.call(quiet, { id: 1 })
    await idle(publisher)
    await until(() => ingester.inspect().sequence === 2, 'its own message has passed')
    expect((await server.stored('OUT')).map(({ subject }) => subject)).toEqual(['out.others', 'out.source.item'])
    expect(db.table(sink.tables.taken).count()).toBe(1)
    expect(ingester.inspect()).toMatchObject({ handled: 1, skipped: 1 })
    await publisher.close()
    await using other = await publish(db, optionsFor(server, { name: 'all', ingested: 'publish', tables: [sink.tables.taken] as never }))
    await idle(other)
    expect((await server.stored('OUT')).at(-1)!.subject).toBe('out.sink.taken')
  })
})

// ── what is refused ───────────────────────────────────────────────────────────────────────────────────────────

test('a publisher holds its name, and options that mean nothing are refused', async () => {
  const server = doubleServer(new JetStreamDouble(11))
  await server.makeStream('OUT')
  const db = await openFor(application)
  await using publisher = await publish(db, optionsFor(server))
  expect((await refused(publish(db, optionsFor(server)), 'INVALID_USE')).message).toMatch(/runs already/)
  const wrongs: readonly object[] = [
    { name: 'no dots.' }, { stream: 'OUT.>' }, { jetstream: {} }, { headers: undefined }, { subject: '' }, { as: 'avro' }, { maxInFlight: 0 }, { maxInFlight: 4_097 },
    { whenGone: 'maybe' }, { ingested: 'no' }, { from: new Date() }, { from: 'yesterday' }, { tables: [5] }, { colour: 'red' }, { source: '' },
  ]
  for (const wrong of wrongs) await refused(publish(db, { ...optionsFor(server, { name: 'wrong' }), ...wrong } as never), 'INVALID_USE')
  await refused(publish({} as never, optionsFor(server)), 'INVALID_USE')
  const subjects = await publish(db, optionsFor(server, { name: 'blank', subject: () => 'two words' }))
  await db.call(quiet, { id: 1 })
  await refused(subjects.ended, 'INVALID_USE')
  await publisher.close()
  await (await publish(db, optionsFor(server))).close()
  await db.close()
  await refused(publish(db, optionsFor(server)), 'DATABASE_CLOSED')
})

test('streams that drop what was read are refused by name', async () => {
  const server = doubleServer(new JetStreamDouble(12))
  await server.makeStream('OUT', 'workqueue')
  const db = await openFor(application)
  const publisher = await publish(db, optionsFor(server))
  expect((await refused(publisher.ended, 'INVALID_USE')).message).toMatch(/limits/)
  await publisher.close()
})
