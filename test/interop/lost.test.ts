/**
 * Commits that have lost something, and rows of snapshots, on their way out of the process.
 *
 * The story: ids of envelopes were position and place among what is left. After an erasure an old id named another item, and a receiver that drops what
 * it knows dropped what it did not; a publisher that went on inside such a commit passed messages over. All commits of one snapshot have one
 * position, so their ids repeated, and were those of the real commit there. Nothing that left the process said what it had lost.
 */
import { join } from 'node:path'
import { app, column as c, describe as describeApplication, service, table, type Commit, type Database, type OpenOptions } from 'sluicedb'
import { type CloudEvent, fromBinaryMode, fromCloudEvents, fromDebezium, toBinaryMode, toCloudEvents, toDebezium } from 'sluicedb/envelopes'
import { httpHandler } from 'sluicedb/http'
import { publish, type PublishOptions } from 'sluicedb/nats'
import { describe, expect, test } from 'vitest'
import { newFolder, openFor, openOnce, refused, take, thrown, until, within } from '../support/fixture.js'
import { messagesOf } from '../support/http.js'
import { SchemaChecker } from '../support/json-schema.js'
import { expectSame } from '../support/same.js'
import { JetStreamDouble, noFaults } from './jetstream-double.js'
import { doubleServer, idle } from './jetstream-servers.js'

const people = service('people', {
  tables: {
    note: table({ columns: { id: c.int(), owner: c.text().subject(), text: c.text() }, key: ['id'] }),
    place: table({ columns: { row: c.int(), shelf: c.text(), text: c.text() }, key: ['row', 'shelf'] }),
  },
  events: { seen: { owner: c.text().subject(), n: c.int() } },
})
const { note, place } = people.tables
interface Line {
  readonly id: number
  readonly owner: string
  readonly text: string
}
/** All of it in one commit: changes of notes, and an event for each. */
const write = people.procedure('write', { input: { lines: c.json<readonly Line[]>() } }, (tx, { lines }) => {
  for (const line of lines) tx.db.note.put(line)
  for (const { owner, id } of lines) tx.emit('seen', { owner, n: id })
})
const store = people.procedure('store', { input: { from: c.int(), count: c.int() } }, (tx, { from, count }) => {
  for (let row = from; row < from + count; row += 1) tx.db.place.put({ row, shelf: `a/b:${row % 3} ü%`, text: `${row}` })
})
const remove = people.procedure('remove', { input: { from: c.int(), count: c.int() } }, (tx, { from, count }) => {
  for (let row = from; row < from + count; row += 1) tx.db.place.delete([row, `a/b:${row % 3} ü%`])
})
const both = people.procedure('both', { input: { id: c.int(), text: c.text() } }, (tx, { id, text }) => {
  tx.db.place.put({ row: id, shelf: '', text })
  tx.db.note.put({ id, owner: 'nobody', text: '' })
})
const application = app(import.meta.url, [people])
const description = describeApplication(application)
const source = '/people'

const lines: readonly Line[] = ['ann', 'bob', 'cid'].map((owner, id) => ({ id, owner, text: `of ${owner}` }))
const idsOf = (events: readonly CloudEvent[]): string[] => events.map(({ id }) => id)
/** What an item is, whatever its id. */
const whatIs = ({ type, subject, data }: CloudEvent): string => `${type} ${subject ?? JSON.stringify(data)}`
const throughJson = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

function expectBack(commit: Commit): void {
  const events = toCloudEvents(commit, { source })
  expectSame(fromCloudEvents(throughJson(events).reverse()), commit, 'CloudEvents')
  expectSame(fromCloudEvents(events.map(toBinaryMode).map(fromBinaryMode)), commit, 'CloudEvents in binary mode')
  expectSame(fromDebezium(throughJson(toDebezium(commit, { name: 'people', description }))), commit, 'Debezium')
}

async function snapshotOf(db: Database): Promise<Commit[]> {
  const commits: Commit[] = []
  for await (const commit of db.changes({ from: 'snapshot', tables: [place] })) {
    commits.push(commit as Commit)
    if (commit.last === true) return commits
  }
  return commits
}

// ── snapshots ─────────────────────────────────────────────────────────────────────────────────────────────────

describe('rows of a snapshot', () => {
  test('have ids of their own: no two are the same, none is that of a commit, and the same row has the same one again', async () => {
    const path = await newFolder()
    let db = await openOnce(application, { path })
    await db.call(store, { from: 0, count: 700 })
    await db.call(remove, { from: 0, count: 100 })
    const { position } = await db.submit(store, { from: 1_000, count: 500 })
    const real = (await take(db.changes({ from: 'beginning', tables: [place] }), 3)).flatMap((commit) => toCloudEvents(commit as Commit, { source }))
    const commits = await snapshotOf(db)
    expect(commits.map(({ changes, rowsBefore, last, position: at }) => [changes.length, rowsBefore, last, at])).toEqual([[512, 0, undefined, position], [512, 512, undefined, position], [76, 1_024, true, position]])
    const events = commits.flatMap((commit) => toCloudEvents(commit, { source }))
    expect(new Set(idsOf([...events, ...real])).size).toBe(1_100 + 700 + 100 + 500)
    const { subject, id } = events.find(({ data }) => (data as { key: unknown[] }).key[0] === 1_007)!
    expect([id, subject]).toEqual([`${position}:people.place/${subject}`, '[1007,"a/b:2 ü%25"]'])
    const sequences = events.map(({ sequence }) => sequence)
    expect(sequences).toEqual([...new Set(sequences)].sort())
    for (const commit of commits) expectBack(commit)

    // Another opening has its rows in another order.
    await db.close()
    db = await openFor(application, { path })
    const again = (await snapshotOf(db)).flatMap((commit) => toCloudEvents(commit, { source }))
    const byId = new Map(events.map((event) => [event.id, event]))
    expect(again.length).toBe(events.length)
    for (const event of again) expect(event.data).toEqual(byId.get(event.id)?.data)
  })

  test('say so: in CloudEvents by an attribute, in the shape of Debezium as reads of no transaction', async () => {
    const db = await openFor(application)
    await db.call(store, { from: 0, count: 600 })
    const commits = await snapshotOf(db)
    const events = commits.flatMap((commit) => toCloudEvents(commit, { source }))
    expect(events.map(({ sluicesnapshot, sluicenumber, sluicecount }) => [sluicesnapshot, sluicenumber, sluicecount])).toEqual(events.map((_, n) => (n < 512 ? ['true', n, 512] : ['last', n, 88])))
    const values = commits.flatMap((commit) => toDebezium(commit, { name: 'people', description, tombstones: true })).map(({ value }) => value!)
    expect(values.map(({ op, before, source: { snapshot, number }, transaction }) => [op, before, snapshot, number, transaction])).toEqual(values.map((_, n) => ['r', null, n < 512 ? 'true' : 'last', n, null]))
    const [first] = await take(db.changes({ from: 'beginning' }), 1)
    expect(toDebezium(first!, { name: 'people', description })[0]!.value).toMatchObject({ op: 'c', source: { snapshot: 'false', erased: false, compacted: false, merged: null } })
  })

  test('of nothing are none, and a commit that is full is the last one where no row follows', async () => {
    const db = await openFor(application)
    const none = db.changes({ from: 'snapshot', tables: [place] })
    const next = none[Symbol.asyncIterator]().next()
    await within(2_000, 'it has caught up', none.caughtUp)
    await none.close()
    expect((await next).done).toBe(true)
    await db.call(store, { from: 0, count: 512 })
    expect((await snapshotOf(db)).map(({ changes, last }) => [changes.length, last])).toEqual([[512, true]])
  })

  test('envelopes that do not agree with themselves are refused', async () => {
    const db = await openFor(application)
    await db.call(store, { from: 0, count: 1 })
    const [commit] = await snapshotOf(db)
    const [event] = toCloudEvents(commit!, { source })
    for (const wrong of [{ id: `${commit!.position}:0` }, { id: `${commit!.position}:people.place/2` }, { sluicesnapshot: 'yes' }, { sluicenumber: undefined }, { sluiceerased: 'true' }, { sluicemerged: -1 }]) {
      thrown(() => fromCloudEvents([{ ...event, ...wrong }]), 'INVALID_INPUT')
    }
    const [message] = toDebezium(commit!, { name: 'people', description })
    thrown(() => fromDebezium([{ ...message, value: { ...message!.value, op: 'c' } }]), 'INVALID_INPUT')
    thrown(() => fromDebezium([{ ...message, value: { ...message!.value, source: { ...message!.value!.source, snapshot: 'false' } } }]), 'INVALID_INPUT')
  })

  test('are not published: a publisher comes back to a place of the log', async () => {
    const db = await openFor(application)
    const server = doubleServer(new JetStreamDouble(1))
    const error = await refused(publish(db, { name: 'out', jetstream: server.client, headers: server.headers, stream: 'OUT', subject: 'out', from: 'snapshot' as never }), 'INVALID_USE')
    expect(error.message).toBe("publish(): the option from is 'beginning', 'now' or a Position, not 'snapshot'.")
    expect((await refused(db.consumer('c', { tables: [place], from: 'snapshot' as never }, () => undefined), 'INVALID_USE')).message).toContain('rows of a snapshot have none')
  })
})

test('several commits in one say so, and have ids of their own', async () => {
  const db = await openFor(application)
  const [first] = await take((await db.call(store, { from: 0, count: 3 }), db.changes({ from: 'beginning', tables: [place] })), 1)
  const merged: Commit = { ...(first as Commit), procedure: undefined, merged: 4 }
  expectBack(merged)
  const [one, other] = [toCloudEvents(first as Commit, { source }), toCloudEvents(merged, { source })]
  expect(new Set(idsOf([...one, ...other])).size).toBe(6)
  expect(other.map(({ sluicemerged }) => sluicemerged)).toEqual([4, 4, 4])
  expect(toDebezium(merged, { name: 'people', description })[0]!.value!.source.merged).toBe(4)
})

// ── erasures ──────────────────────────────────────────────────────────────────────────────────────────────────

describe('a commit that an erasure has taken something of', () => {
  test('says so in both envelopes, and no id names another item than it did', async () => {
    const db = await openFor(application)
    await db.call(write, { lines })
    const [before] = await take(db.changes({ from: 'beginning' }), 1)
    const known = new Map(toCloudEvents(before!, { source }).map((event) => [event.id, whatIs(event)]))
    expect(known.size).toBe(6)
    for (const [subject, count] of [['ann', 4], ['bob', 2]] as const) {
      await db.erase(subject)
      const [after] = await take(db.changes({ from: 'beginning' }), 1)
      expect(after).toMatchObject({ position: before!.position, erased: true })
      const events = toCloudEvents(after!, { source })
      expect(events.map(({ sluiceerased, sluicecount }) => [sluiceerased, sluicecount])).toEqual(events.map(() => [true, count]))
      for (const event of events) {
        expect(known.get(event.id) ?? whatIs(event)).toBe(whatIs(event))
        known.set(event.id, whatIs(event))
      }
      expect(idsOf(toCloudEvents(after!, { source, content: 'events' }))).toEqual(idsOf(events).slice(count / 2))
      expect(toDebezium(after!, { name: 'people', description })[0]!.value!.source).toMatchObject({ erased: true, compacted: false, count })
      expectBack(after!)
    }
    expect(known.size).toBe(6 + 4 + 2)
  })

  const optionsFor = (double: JetStreamDouble, more: Partial<PublishOptions> = {}): PublishOptions => ({ name: 'out', jetstream: doubleServer(double).client, headers: doubleServer(double).headers, stream: 'OUT', subject: 'out', ...more })
  const textsIn = async (double: JetStreamDouble): Promise<string[]> =>
    (await doubleServer(double).stored('OUT')).map(({ text }) => {
      const { data } = JSON.parse(text) as { data: { after?: Line; before?: Line; owner?: string } }
      return data.after?.owner ?? data.owner ?? `${data.before?.owner} is gone`
    })
  test('in the middle of being published: nothing is passed over. The publisher stops, or publishes what is left of it', async () => {
    const double = new JetStreamDouble(1)
    double.makeStream('OUT')
    double.windowMs = 60_000
    double.payloadMax = 3_000
    const db = await openFor(application)
    const { position } = await db.submit(write, { lines: lines.map((line) => (line.owner === 'bob' ? { ...line, text: 'x'.repeat(5_000) } : line)) })
    const one = await publish(db, optionsFor(double))
    await refused(one.ended, 'INVALID_USE') // the second message is too long
    await one.close()
    expect(await textsIn(double)).toEqual(['ann'])
    await db.erase('ann')
    double.payloadMax = 10_000
    const two = await publish(db, optionsFor(double))
    expect((await refused(two.ended, 'HISTORY_GONE')).details).toEqual({ stream: 'OUT', position })
    await two.close()
    expect(await textsIn(double)).toEqual(['ann'])
    const three = await publish(db, optionsFor(double, { whenGone: 'goOn' }))
    await idle(three)
    await three.close()
    const texts = await textsIn(double)
    expect(texts.slice(0, 5)).toEqual(['ann', 'bob', 'cid', 'bob', 'cid'])
    // Nothing has been lost since, so whoever starts again goes on.
    await using four = await publish(db, optionsFor(double))
    await db.call(write, { lines: [{ id: 9, owner: 'eve', text: '' }] })
    await idle(four)
    expect(await textsIn(double)).toEqual([...texts, 'eve', 'eve'])
  })

  test('that was published whole and not noted: nothing stops, and nothing comes twice', async () => {
    const double = new JetStreamDouble(2)
    double.makeStream('OUT')
    const db = await openFor(application)
    await db.call(write, { lines })
    double.faults = { ...noFaults, lostAck: 1 }
    const one = await publish(db, optionsFor(double))
    await until(() => double.streams.get('OUT')!.last === 6, 'all are stored')
    await one.close()
    double.faults = noFaults
    const before = await textsIn(double)
    await db.erase('cid')
    await using two = await publish(db, optionsFor(double))
    await db.call(write, { lines: [{ id: 9, owner: 'eve', text: '' }] })
    await idle(two)
    expect((await textsIn(double)).filter((text) => !text.includes('gone'))).toEqual([...before, 'eve', 'eve'])
  })
})

// ── compaction ────────────────────────────────────────────────────────────────────────────────────────────────

test('a commit that retention has taken something of says so: in both envelopes, and over HTTP as its document says', async () => {
  const options: OpenOptions = { path: join(await newFolder(), 'data'), durability: 'os', history: { bytes: 0 }, checkpoint: { logBytes: Infinity }, retention: { compact: [place] } }
  let db = await openOnce(application, options)
  const text = 'x'.repeat(90_000)
  const { position } = await db.submit(both, { id: 1, text })
  // More than a segment, which has 4 MiB; each is newer than the one before.
  for (let n = 0; n < 100; n += 1) await db.call(both, { id: 1, text: `${n}${text}` })
  await db.checkpoint()
  await db.checkpoint()
  expect(db.stats().log.compactedBytes).toBeGreaterThan(3_000_000)
  await db.close()
  db = await openFor(application, options) // what memory has is whole
  const [commit] = await take(db.changes({ from: 'beginning' }), 1)
  expect(commit).toMatchObject({ position, compacted: true, changes: [{ table: 'people.note' }] })
  expectBack(commit!)
  expect(toCloudEvents(commit!, { source })[0]).toMatchObject({ id: `${position}:0/1`, sluicecompacted: true })
  expect(toDebezium(commit!, { name: 'people', description })[0]!.value!.source).toMatchObject({ erased: false, compacted: true })

  const handler = httpHandler(db, { expose: { changes: [note, place] } })
  const document = (await (await handler(new Request('http://db/openapi.json'))).json()) as { components: { schemas: Record<string, Record<string, unknown>> } }
  const response = await handler(new Request('http://db/changes?from=beginning'))
  for await (const { event, data } of messagesOf(response)) {
    if (event !== 'commit') continue
    const sent = JSON.parse(data!) as object
    expect(sent).toMatchObject({ position, compacted: true })
    const checker = new SchemaChecker(document)
    expect(checker.accepts(document.components.schemas['Commit']!, sent)).toBe(true)
    expect(checker.accepts(document.components.schemas['Commit']!, { ...sent, compacted: 'yes' })).toBe(false)
    break
  }
})
