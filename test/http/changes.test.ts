/** Server-sent events: the log as a browser reads it, from any place, without a gap or a repeat (docs/http.md). */
import { describe, expect, test } from 'vitest'
import type { Database } from 'sluicedb'
import { httpHandler, type HttpOptions } from 'sluicedb/http'
import { limits } from '../../engine/base/limits.js'
import bankApp, { bank, deposit, openAccount, transfer } from '../support/apps/bank-app.js'
import columnsApp, { columns, write } from '../support/apps/columns-app.js'
import { newFolder, openFor, take, until, within } from '../support/fixture.js'
import { messagesOf, refusal, ways, type Client, type Message } from '../support/http.js'
import { seeds, withSeed } from '../support/random.js'

const stream: HttpOptions = { expose: { changes: [bank.tables.account, bank.tables.entry], events: [bank.events.transferred, bank.events.opened] } }
interface Commit {
  readonly position: string
  readonly procedure: string
  readonly changes: readonly { readonly table: string; readonly kind: string; readonly key: unknown; readonly before?: unknown; readonly after?: unknown }[]
  readonly events: readonly { readonly type: string; readonly payload: Readonly<Record<string, unknown>> }[]
}
const commitIn = ({ data }: Message): Commit => JSON.parse(data!) as Commit
const openStreams = (db: Database): number => db.stats().streams.count

describe.each(ways)('%s', (_, way) => {
  const bankClient = async (options: HttpOptions = stream, more: object = {}): Promise<{ client: Client; db: Database }> => {
    const db = await openFor(bankApp, { partitions: 4, ...more })
    return { client: await way(httpHandler(db, options)), db }
  }

  test('a message is a commit: its position is the id, its rows and payloads are those of the schema', async () => {
    const { client, db } = await bankClient()
    await db.call(openAccount, { id: 'ann', balance: 5 })
    await db.call(openAccount, { id: 'bob' })
    const { position } = await db.submit(transfer, { from: 'ann', to: 'bob', amount: 2, n: 1 }, { id: 'req-1' })
    const response = await client.send('/changes?from=beginning&tables=bank.account&events=bank.transferred')
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8'])
    const [, , moved] = await take(messagesOf(response), 3)
    expect([moved!.id, moved!.event]).toEqual([position, 'commit'])
    expect(commitIn(moved!)).toEqual({
      position,
      time: expect.any(Number) as unknown,
      procedure: 'bank.transfer',
      requestId: 'req-1',
      changes: [
        { table: 'bank.account', kind: 'update', key: 'ann', before: { id: 'ann', owner: 'owner of ann', balance: 5, note: null }, after: { id: 'ann', owner: 'owner of ann', balance: 3, note: null } },
        { table: 'bank.account', kind: 'update', key: 'bob', before: { id: 'bob', owner: 'owner of bob', balance: 0, note: null }, after: { id: 'bob', owner: 'owner of bob', balance: 2, note: null } },
      ],
      events: [{ type: 'bank.transferred', payload: { from: 'ann', to: 'bob', amount: 2, n: 1 } }],
    })
    await until(() => openStreams(db) === 0, 'the stream ends with its client')
  })

  test('columns that JSON does not have are text', async () => {
    const db = await openFor(columnsApp)
    const client = await way(httpHandler(db, { expose: { changes: [columns.tables.plain], events: [columns.events.wrote] } }))
    const row = { flag: true, i32: 0, u32: 0, int: 0, f64: -Infinity, big: -5n, text: '', uuid: '0b5e7a3c-6f0d-4f6e-9a53-2f1f7d7c1c11', word: 'open', bytes: new Uint8Array([255]), time: 0, json: { n: 7n } } as const
    await db.call(write, { id: 1, ...row })
    const [message] = await take(messagesOf(await client.send('/changes?from=beginning')), 1)
    const { changes, events } = commitIn(message!)
    expect(changes[0]!.after).toEqual({ id: 1, ...row, f64: '-Infinity', big: '-5', bytes: '/w==', json: { n: { $bigint: '7' } } })
    expect(events[0]!.payload).toEqual({ id: 1, big: '-5', bytes: '/w==' })
  })

  test('a stream from now begins with the position where it began: who is cut off before the first commit misses nothing', async () => {
    const { client, db } = await bankClient()
    await db.call(openAccount, { id: 'ann' })
    const first = await client.send('/changes')
    const messages = messagesOf(first)
    const { value: begin } = (await messages.next()) as { value: Message }
    expect(begin).toEqual({ id: db.stats().position })
    await messages.return(undefined)
    await db.call(openAccount, { id: 'bob' })
    const again = await client.send('/changes', { headers: { 'last-event-id': begin.id! } })
    const [missed] = await take(messagesOf(again), 1)
    expect(commitIn(missed!).events[0]!.payload).toEqual({ id: 'bob' })
  })

  test.each(seeds(3))('seed %i: who comes back again and again, while others write, sees every commit once', (seed) =>
    withSeed(seed, async (random) => {
      const { client, db } = await bankClient(stream, { workers: 1, path: await newFolder(), durability: 'os' })
      await Promise.all(['ann', 'bob', 'eve'].map((id) => db.call(openAccount, { id, balance: 1_000_000 })))
      const commitsWanted = 1_200
      const writing = (async () => {
        for (let n = 1; n <= commitsWanted / 4; n += 1) await Promise.all([1, 2, 3, 4].map((part) => db.call(deposit, { to: 'ann', amount: 1, n: n * 4 + part })))
      })()
      const seen: string[] = []
      let last: string | undefined
      let connections = 0
      while (seen.length < commitsWanted + 3) {
        connections += 1
        const response = await client.send('/changes?from=beginning', last === undefined ? {} : { headers: { 'last-event-id': last } })
        const stopAfter = 1 + random.below(200)
        let here = 0
        for await (const { id, event } of messagesOf(response)) {
          expect(event).toBe('commit')
          seen.push(id!)
          last = id
          here += 1
          if (here === stopAfter || seen.length === commitsWanted + 3) break
        }
      }
      await writing
      const expected: string[] = []
      for await (const { position } of db.changes({ from: 'beginning', tables: [bank.tables.account] })) {
        expected.push(position)
        if (expected.length === commitsWanted + 3) break
      }
      expect(connections).toBeGreaterThan(3)
      expect(seen).toEqual(expected)
      await until(() => openStreams(db) === 0, 'all streams end with their clients')
    }),
  )

  test('only what is asked for arrives, and only what is exposed can be asked for', async () => {
    const { client, db } = await bankClient()
    await db.call(openAccount, { id: 'ann', balance: 5 })
    await db.call(openAccount, { id: 'bob' })
    await db.call(transfer, { from: 'ann', to: 'bob', amount: 2, n: 1 })
    const [only] = await take(messagesOf(await client.send('/changes?from=beginning&events=bank.transferred')), 1)
    expect([commitIn(only!).changes, commitIn(only!).events.length]).toEqual([[], 1])
    const [entry] = await take(messagesOf(await client.send('/changes?from=beginning&tables=bank.entry')), 1)
    expect(commitIn(entry!).changes.map(({ table }) => table)).toEqual(['bank.entry', 'bank.entry'])
    for (const query of ['tables=bank.untouched', 'tables=__proto__', 'events=bank.nothing', 'tables=bank.transferred', 'tables=bank.entry,constructor']) {
      expect(await refusal(await client.send(`/changes?${query}`)), query).toBe('404 INVALID_USE')
    }
    for (const query of ['from=tomorrow', 'from=', 'since=now', 'tables=', 'from=00ffffffffffffff-00000000', 'from=2026-01-01']) {
      expect(await refusal(await client.send(`/changes?${query}`)), query).toBe('400 INVALID_USE')
    }
    expect(await refusal(await client.send('/changes', { headers: { 'last-event-id': 'seven' } }))).toBe('400 INVALID_USE')
  })

  test('a position that retention has passed is gone: its status keeps browsers from coming back', async () => {
    const { client, db } = await bankClient({ ...stream })
    await db.call(openAccount, { id: 'ann' })
    const { position } = db.stats()
    const filler = 'x'.repeat(500_000)
    await db.call(openAccount, { id: 'bob', balance: 1_000_000 })
    for (let n = 0; n < 160; n += 1) await db.call(transfer, { from: 'bob', to: 'ann', amount: 1, n, filler })
    const response = await client.send('/changes', { headers: { 'last-event-id': position } })
    expect(await refusal(response)).toBe('410 HISTORY_GONE')
  })

  test('there are so many streams at once, and a place is free when one has ended', async () => {
    const { client, db } = await bankClient({ ...stream, limits: { streams: 2 } })
    const going = new AbortController()
    const first = await client.send('/changes', { signal: going.signal })
    await client.send('/changes')
    expect(await refusal(await client.send('/changes'))).toBe('503 OVERLOADED')
    if (client.origin === 'http://db') await first.body!.cancel()
    else going.abort()
    await until(() => openStreams(db) === 1, 'the first stream has ended')
    await until(async () => (await client.send('/changes')).status === 200, 'its place is free')
  })

  test('where nothing of what is asked for happens, ids without a commit move on, and one can come back with them', async () => {
    const { client, db } = await bankClient({ ...stream, limits: { heartbeatMs: 20 } })
    const response = await client.send('/changes?events=bank.opened')
    let text = ''
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) text += new TextDecoder().decode(chunk)
    })()
    await until(() => text.startsWith('id: '), 'the first id')
    await db.call(openAccount, { id: 'ann', balance: 9 })
    const { position } = await db.submit(deposit, { to: 'ann', amount: 1, n: 1 })
    const lastId = (): string => [...text.matchAll(/^id: (.*)$/gm)].at(-1)![1]!
    await until(() => lastId() > position, 'an id behind what does not concern it')
    const again = await client.send('/changes?events=bank.opened', { headers: { 'last-event-id': lastId() } })
    expect(again.status).toBe(200)
    await db.call(openAccount, { id: 'bob' })
    const [message] = await take(messagesOf(again), 1)
    expect(commitIn(message!).events[0]!.payload).toEqual({ id: 'bob' })
    await db.close()
    await within(5_000, 'the end of the stream', reading)
  })

  test('without news there are heartbeats, and the database closes its streams', async () => {
    const { client, db } = await bankClient({ ...stream, limits: { heartbeatMs: 20 } })
    const response = await client.send('/changes')
    let text = ''
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) text += new TextDecoder().decode(chunk)
    })()
    await until(() => (text.match(/: \n\n/g)?.length ?? 0) >= 3, 'three heartbeats')
    await db.close()
    await within(5_000, 'the end of the stream', reading)
    expect(text.startsWith('id: ')).toBe(true)
  })
})

test('who does not read is left behind in the log, holds nobody up, and reads everything later', async () => {
  const db = await openFor(bankApp, { partitions: 4 })
  const handler = httpHandler(db, { ...stream, limits: { heartbeatMs: 1 } })
  await db.call(openAccount, { id: 'ann', balance: 1_000_000 })
  await db.call(openAccount, { id: 'bob' })
  const response = await handler(new Request('http://db/changes?from=beginning&events=bank.transferred'))
  // More than the response and the stream of the log buffer together: 256 KiB and 1,024 commits.
  const commits = 3 * limits.streamBufferCommitsMax
  for (let n = 0; n < commits; n += 1) await db.call(transfer, { from: 'ann', to: 'bob', amount: 1, n })
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(db.stats().streams).toMatchObject({ count: 1, behind: 1 })
  const numbers = (await take(messagesOf(response), commits)).map((message) => commitIn(message).events[0]!.payload['n'])
  expect(numbers).toEqual(Array.from({ length: commits }, (_, n) => n))
  await until(() => openStreams(db) === 0, 'the stream has ended')
})
