/** A commit in any envelope is the same commit when it comes back, and the envelopes are what their specifications ask for. */
import { app, column as c, describe as describeApplication, service, table, type Commit, type Position } from 'sluicedb'
import { type CloudEvent, fromBinaryMode, fromCloudEvents, fromDebezium, toBinaryMode, toCloudEvents, toDebezium } from 'sluicedb/envelopes'
import { describe, expect, test } from 'vitest'
import { openFor, take, thrown } from '../support/fixture.js'
import { SchemaChecker } from '../support/json-schema.js'
import { type Random, randomOf, seeds } from '../support/random.js'
import { expectSame } from '../support/same.js'

const shop = service('shop', {
  tables: {
    item: table({
      columns: { id: c.text(), n: c.bigint().default(0n), bytes: c.bytes().nullable(), at: c.timestamp().default(0), more: c.json<unknown>().nullable(), weight: c.f64().default(0) },
      key: ['id'],
    }),
    place: table({ columns: { row: c.int(), shelf: c.text(), item: c.text() }, key: ['row', 'shelf'] }),
  },
  events: { stored: { item: c.text(), n: c.bigint(), more: c.json<unknown>().nullable() } },
})
const store = shop.procedure('store', { input: { id: c.text(), n: c.bigint() } }, (tx, { id, n }) => {
  tx.db.item.put({ id, n, bytes: new Uint8Array([0, 255]), at: 1_700_000_000_123, more: { big: 2n ** 70n, $bigint: 'no tag' }, weight: Infinity })
  tx.db.place.put({ row: 1, shelf: id, item: id })
  tx.emit('stored', { item: id, n, more: { at: new Uint8Array([7]) } })
  tx.emit('stored', { item: id, n: -n })
})
const remove = shop.procedure('remove', { input: { id: c.text() } }, (tx, { id }) => void tx.db.item.delete(id))
const application = app(import.meta.url, [shop])
const description = describeApplication(application)
const source = '/shop'

// ── what they are measured by ─────────────────────────────────────────────────────────────────────────────────

/** The JSON schema of CloudEvents 1.0.2 (cloudevents/formats/cloudevents.json), in the words of our checker. */
const cloudEventsSchema = {
  type: 'object',
  properties: {
    id: { type: 'string', minLength: 1 },
    source: { type: 'string', minLength: 1, format: 'uri-reference' },
    specversion: { type: 'string', minLength: 1 },
    type: { type: 'string', minLength: 1 },
    datacontenttype: { type: ['string', 'null'], minLength: 1 },
    dataschema: { type: ['string', 'null'], minLength: 1, format: 'uri' },
    subject: { type: ['string', 'null'], minLength: 1 },
    time: { type: ['string', 'null'], minLength: 1, format: 'date-time' },
    data_base64: { type: ['string', 'null'] },
  },
  required: ['id', 'source', 'specversion', 'type'],
}
const checker = new SchemaChecker(cloudEventsSchema)

/** What the text of the specification asks for beyond the schema (§3.1, §3.2). */
function expectConforming(event: CloudEvent): void {
  expect(checker.accepts(cloudEventsSchema, JSON.parse(JSON.stringify(event)))).toBe(true)
  expect(event.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  for (const [name, value] of Object.entries(event)) {
    expect(name).toMatch(/^[a-z0-9]{1,20}$/)
    if (name === 'data') continue
    expect(['string', 'number', 'boolean']).toContain(typeof value)
    expect(String(value)).not.toMatch(/[\u0000-\u001f\u007f-\u009f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/)
  }
}

const throughJson = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

// ── any commit ────────────────────────────────────────────────────────────────────────────────────────────────

const texts = ['', 'ann', 'a/b:c', '100%', 'ü€𝄞', 'new\nline\u0000', '"quoted" text', '{"$bigint":"1"}', '__proto__', 'x'.repeat(300)]
function valueOf(random: Random, depth = 0): unknown {
  switch (random.below(depth > 2 ? 8 : 11)) {
    case 0: return null
    case 1: return random.chance(0.5)
    case 2: return random.pick([0, -1, 1.5, 2 ** 53 - 1, 1e-320, NaN, Infinity, -Infinity])
    case 3: case 4: return random.pick(texts)
    case 5: return BigInt(random.below(2 ** 30)) ** 5n * (random.chance(0.5) ? 1n : -1n)
    case 6: return Uint8Array.from({ length: random.below(5) }, () => random.below(256))
    case 7: return new Date(random.below(2 ** 40))
    case 8: return Array.from({ length: random.below(4) }, () => valueOf(random, depth + 1))
    case 9: return { [random.pick(['$bigint', '$object', '$x', '__proto__', 'a'])]: valueOf(random, depth + 1) }
    default: return recordOf(random, depth + 1)
  }
}
const recordOf = (random: Random, depth = 0): Record<string, unknown> => Object.fromEntries(Array.from({ length: random.below(5) }, (_, n) => [`${random.pick(['a', '$b', 'c'])}${n}`, valueOf(random, depth)]))

function commitOf(random: Random, how: 'as it was written' | 'as it may be read' = 'as it may be read'): Commit {
  const position = `${random.below(2 ** 31).toString(16).padStart(16, '0')}-${random.below(100).toString(16).padStart(8, '0')}` as Position
  const time = 1_700_000_000_000 + random.below(10 ** 9)
  const changes = Array.from({ length: random.below(5) }, (): Commit['changes'][number] => {
    const isPlace = random.chance(0.5)
    const key = isPlace ? [random.below(9), random.pick(texts)] : random.pick(texts)
    const change = { table: isPlace ? 'shop.place' : 'shop.item', key }
    const [before, after] = [recordOf(random), recordOf(random)]
    const kind = random.pick(['insert', 'update', 'delete'] as const)
    if (kind === 'insert') return { ...change, kind, before: undefined, after }
    return kind === 'update' ? { ...change, kind, before, after } : { ...change, kind, before, after: undefined }
  })
  const events = Array.from({ length: random.below(4) + (changes.length === 0 ? 1 : 0) }, () => ({ type: random.pick(['shop.stored', 'bank.paid']), payload: recordOf(random), position, time }))
  const plain = { position, time, procedure: random.pick(['shop.store', undefined]), requestId: random.pick([undefined, ...texts]), changes, events }
  if (how === 'as it was written') return plain
  const lost = { ...(random.chance(0.2) && { erased: true as const }), ...(random.chance(0.2) && { compacted: true as const }) }
  const inserts = changes.flatMap((change) => (change.kind === 'insert' ? [change] : []))
  if (inserts.length > 0 && random.chance(0.3)) {
    return { position, time, procedure: undefined, requestId: undefined, changes: inserts, events: [], snapshot: true, rowsBefore: random.below(2 ** 31), ...(random.chance(0.5) && { last: true }) }
  }
  if (changes.length > 0 && random.chance(0.2)) return { position, time, procedure: undefined, requestId: undefined, changes, events: [], ...lost, merged: 2 + random.below(9) }
  return { ...plain, ...lost }
}

describe.each(seeds(8))('any commit, seed %i', (seed) => {
  const random = randomOf(seed)
  const commits = Array.from({ length: 10 }, () => commitOf(random))

  test('as CloudEvents and back is the same commit, in structured and in binary mode', () => {
    for (const commit of commits) {
      const events = toCloudEvents(commit, { source })
      expect(events.length).toBe(commit.changes.length + commit.events.length)
      for (const event of events) expectConforming(event)
      expectSame(fromCloudEvents(throughJson(events).reverse()), commit, `seed ${seed}, structured mode`)
      const binary = events.map(toBinaryMode)
      for (const { headers } of binary) for (const text of Object.values(headers)) expect(text).toMatch(/^[\u0021-\u007e]*$/)
      const events2 = binary.map(({ headers, data }) => fromBinaryMode({ headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name.toUpperCase(), text])), data }))
      expectSame(events2, throughJson(events), `seed ${seed}, binary mode`)
      expectSame(fromCloudEvents(events2), commit, `seed ${seed}, binary mode`)
      expect(events.map(({ sequence }) => sequence)).toEqual(events.map(({ sequence }) => sequence).sort())
    }
  })

  test('in the shape of Debezium and back is the same commit', () => {
    for (const commit of commits) {
      const tombstones = random.chance(0.5)
      const messages = toDebezium(commit, { name: 'shop', description, tombstones })
      const deletes = commit.changes.filter(({ kind }) => kind === 'delete').length
      expect(messages.length).toBe(commit.changes.length + commit.events.length + (tombstones ? deletes : 0))
      const orders = messages.flatMap(({ value }) => value?.transaction?.total_order ?? [])
      expect(orders).toEqual(orders.map((_, n) => n + 1))
      expectSame(fromDebezium(throughJson(messages)), commit, `seed ${seed}`)
    }
  })
})

// ── commits of a database ─────────────────────────────────────────────────────────────────────────────────────

describe('commits of a database', () => {
  const commitsOf = async () => {
    const db = await openFor(application)
    await db.call(store, { id: 'tea', n: 2n ** 60n }, { id: 'first' })
    await db.call(store, { id: 'tea', n: 1n })
    await db.call(remove, { id: 'tea' })
    return take(db.changes({ from: 'beginning' }), 3)
  }

  test('come back as they were, with bigints, bytes, infinities and json', async () => {
    for (const commit of await commitsOf()) {
      expectSame(fromCloudEvents(throughJson(toCloudEvents(commit, { source }))), commit, 'CloudEvents')
      expectSame(fromDebezium(throughJson(toDebezium(commit, { name: 'shop', description }))), commit, 'Debezium')
    }
  })

  test('as CloudEvents: ids are positions with a number, subjects are keys, data are payloads and images', async () => {
    const [first, , last] = await commitsOf()
    const events = toCloudEvents(first!, { source, subject: (event) => String(event.payload['item']) })
    expect(events.map(({ id, type, subject, partitionkey, sluicekind }) => [id, type, subject, partitionkey, sluicekind])).toEqual([
      [`${first!.position}:0`, 'shop.item.insert', 'tea', 'shop.item/tea', 'insert'],
      [`${first!.position}:1`, 'shop.place.insert', '[1,"tea"]', 'shop.place/[1,"tea"]', 'insert'],
      [`${first!.position}:2`, 'shop.stored', 'tea', undefined, 'event'],
      [`${first!.position}:3`, 'shop.stored', 'tea', undefined, 'event'],
    ])
    expect(events[2]).toMatchObject({ specversion: '1.0', source, datacontenttype: 'application/json', sluicerequest: 'first', sluiceprocedure: 'shop.store', sluicecount: 4 })
    expect(events[2]!.data).toEqual({ item: 'tea', n: { $bigint: String(2n ** 60n) }, more: { at: { $bytes: 'Bw==' } } })
    expect(toCloudEvents(first!, { source, content: 'events' }).map(({ id }) => id)).toEqual([`${first!.position}:2`, `${first!.position}:3`])
    const [deleted] = toCloudEvents(last!, { source })
    expect(deleted!.data).toMatchObject({ kind: 'delete', key: 'tea', before: { id: 'tea' } })
    expect(Object.keys(deleted!.data as object)).not.toContain('after')
  })

  test('in the shape of Debezium: keys by column, before and after, order in the transaction, tombstones', async () => {
    const [first, second, last] = await commitsOf()
    const messages = toDebezium(first!, { name: 'shop', description })
    expect(messages.map(({ key }) => key)).toEqual([{ id: 'tea' }, { row: 1, shelf: 'tea' }, null, null])
    expect(messages.map(({ value }) => [value!.op, value!.source.table, value!.transaction])).toEqual([
      ['c', 'item', { id: first!.position, total_order: 1, data_collection_order: 1 }],
      ['c', 'place', { id: first!.position, total_order: 2, data_collection_order: 1 }],
      ['m', 'stored', { id: first!.position, total_order: 3, data_collection_order: 1 }],
      ['m', 'stored', { id: first!.position, total_order: 4, data_collection_order: 2 }],
    ])
    const [update] = toDebezium(second!, { name: 'shop', description, content: 'changes' })
    expect(update!.value).toMatchObject({ op: 'u', before: { n: { $bigint: String(2n ** 60n) } }, after: { n: { $bigint: '1' } }, ts_ms: second!.time })
    const [deleted, tombstone, ...others] = toDebezium(last!, { name: 'shop', description, tombstones: true })
    expect(deleted!.value).toMatchObject({ op: 'd', after: null, before: { id: 'tea' } })
    expect([tombstone, others]).toEqual([{ key: { id: 'tea' }, value: null }, []])
  })
})

// ── what is no commit ─────────────────────────────────────────────────────────────────────────────────────────

describe('envelopes that are not whole', () => {
  const commit = commitOf(randomOf(7), 'as it was written')
  const events = () => toCloudEvents({ ...commit, events: [...commit.events, ...commit.events] }, { source })

  test('are refused: one missing, one twice, two commits, none', () => {
    const refusedBy = (list: readonly unknown[]) => thrown(() => fromCloudEvents(list), 'INVALID_INPUT').message
    const [first, ...rest] = events()
    expect(refusedBy(rest)).toMatch(/of the \d+ envelopes/)
    expect(refusedBy([first, first, ...rest])).toMatch(/twice/)
    const other = { ...commit, position: '0000000000000001-00000000' as Position }
    expect(refusedBy([...toCloudEvents(other, { source }), ...rest])).toMatch(/commits/)
    expect(refusedBy([])).toMatch(/one envelope at least/)
    thrown(() => fromDebezium(toDebezium(commit, { name: 'x', description }).slice(1)), 'INVALID_INPUT')
  })

  test.each([
    ['no object', 5],
    ['another version', { specversion: '0.3' }],
    ['an id that is no position', { id: '42' }],
    ['an id with more behind it', { id: '0000000000000001-00000000:0:1' }],
    ['an id of which nothing is left', { id: '0000000000000001-00000000:0/0' }],
    ['no time', { time: 'yesterday' }],
    ['no kind', { sluicekind: 'truncate' }],
    ['a tag that is no value', { data: { table: 'shop.item', kind: 'insert', key: { $bigint: 'x' }, after: {} } }],
    ['an insert without a row', { data: { table: 'shop.item', kind: 'insert', key: 'a' } }],
    ['a request that is no percent-encoding', { sluicerequest: '%zz' }],
  ])('are refused: %s', (_, wrong) => {
    const change = { kind: 'insert' as const, table: 'shop.item', key: 'a', before: undefined, after: { id: 'a' } }
    const [event] = toCloudEvents({ ...commit, changes: [change], events: [] }, { source })
    fromCloudEvents([event])
    thrown(() => fromCloudEvents([typeof wrong === 'object' ? { ...event, ...wrong } : wrong]), 'INVALID_INPUT')
  })

  test('options that mean nothing are refused', () => {
    for (const source of ['', 'two words', 5 as never]) thrown(() => toCloudEvents(commit, { source }), 'INVALID_USE')
    thrown(() => toCloudEvents(commit, { source, content: 'rows' as never }), 'INVALID_USE')
    thrown(() => toDebezium(commit, { name: '', description }), 'INVALID_USE')
    const nobody = { ...commit, changes: [{ kind: 'delete' as const, table: 'no.body', key: 1, before: {}, after: undefined }] }
    thrown(() => toDebezium(nobody, { name: 'x', description }), 'INVALID_USE')
  })
})
