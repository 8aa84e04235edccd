/** The application as data, and the OpenAPI document that is made of it. */
import { app, column as c, describe as described, service, table, type Description } from 'sluicedb'
import { httpHandler, type HttpOptions } from 'sluicedb/http'
import { describe, expect, test } from 'vitest'
import { openApiOf } from '../../bindings/adapters/openapi.js'
import bankApp, { bank } from '../support/apps/bank-app.js'
import columnsApp, { columns } from '../support/apps/columns-app.js'
import { openFor } from '../support/fixture.js'
import { SchemaChecker } from '../support/json-schema.js'

const tableOf = (description: Description, name: string) => description.tables.find((one) => one.name === name)!

describe('db.describe()', () => {
  test('is what describe() says without opening, and plain data', async () => {
    const db = await openFor(bankApp)
    expect(db.describe()).toEqual(described(bankApp))
    expect(structuredClone(described(columnsApp))).toEqual(described(columnsApp))
  })

  test('names columns with their rules, keys, partitions and indexes', () => {
    const { services, tables, procedures, aborts, events } = described(bankApp)
    expect(services).toEqual(['bank'])
    expect(tables.map(({ name }) => name)).toEqual(['bank.account', 'bank.entry', 'bank.untouched'])
    const account = tableOf(described(bankApp), 'bank.account')
    expect(account).toMatchObject({ service: 'bank', key: ['id'], partition: ['id'], ordered: false, crossPartitionWrites: false, references: [], checks: [] })
    expect(account.columns.find(({ name }) => name === 'balance')).toMatchObject({ type: 'int', min: 0, nullable: false, optional: false })
    expect(account.columns.find(({ name }) => name === 'note')).toMatchObject({ type: 'text', nullable: true, optional: true })
    expect(procedures.find(({ name }) => name === 'bank.transfer')).toMatchObject({ lane: 'cross-partition', readonly: false, input: [{ name: 'from' }, { name: 'to' }, { name: 'amount', min: 1 }, { name: 'n' }, { name: 'filler', optional: true, default: '' }] })
    expect(procedures.find(({ name }) => name === 'bank.openAccount')!.lane).toBe('partition')
    expect(aborts.map(({ service: of, reason }) => `${of} ${reason}`)).toEqual(['bank NO_SUCH_ACCOUNT', 'bank INSUFFICIENT_FUNDS'])
    expect(events.map(({ name, atomicHandlers }) => [name, atomicHandlers])).toEqual([['bank.transferred', []], ['bank.opened', []]])
    const { input } = described(columnsApp).procedures.find(({ name }) => name === 'columns.takeRuled')!
    expect(input.find(({ name }) => name === 'checked')).toMatchObject({ checks: ['even'], default: 2 })
    expect(input.find(({ name }) => name === 'code')).toMatchObject({ pattern: { source: '^[a-z]+-\\d{1,3}$', flags: '' }, maxLength: 6 })
  })

  test('says which index and which table takes a call to the cross-partition lane', () => {
    const description = described(columnsApp)
    expect(tableOf(description, 'columns.world')).toMatchObject({ partition: 'global', crossPartitionWrites: true, indexes: [{ name: 'byN', crossPartition: false }] })
    expect(tableOf(description, 'columns.pair').indexes.map(({ name, on, range, crossPartition }) => [name, on, range, crossPartition])).toEqual([
      ['byAN', ['n', 'a'], true, false],
      ['byN', ['n'], false, true],
    ])
  })

  test('names the handlers of an event in the order they run in', () => {
    const shop = service('shop', { tables: { row: table({ columns: { id: c.int() }, key: ['id'] }) }, events: { sold: { id: c.int() } } })
    const stock = service('stock', { tables: { row: table({ columns: { id: c.int() }, key: ['id'] }) } })
    stock.on(shop.events.sold, { name: 'second', atomic: true }, () => undefined)
    shop.on(shop.events.sold, { name: 'first', atomic: true }, () => undefined)
    expect(described(app(import.meta.url, [shop, stock])).events[0]!.atomicHandlers).toEqual(['shop.first', 'stock.second'])
  })
})

// ── OpenAPI ───────────────────────────────────────────────────────────────────────────────────────────────────

type Json = Readonly<Record<string, unknown>>
interface Document {
  readonly openapi: string
  readonly servers?: unknown
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly operationId: string; readonly parameters?: readonly Json[]; readonly responses: Json }>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Json>> }
}
const documentOf = async (application: typeof bankApp, options: HttpOptions): Promise<Document> => {
  const handler = httpHandler(await openFor(application), options)
  const { basePath = '' } = options
  return (await (await handler(new Request(`http://db${basePath}/openapi.json`))).json()) as Document
}

/** Everything in a document, with its place. */
function* placesIn(value: unknown, place = '#'): Generator<readonly [place: string, value: Json]> {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) yield [place, value as Json]
  for (const [name, one] of Object.entries(value)) yield* placesIn(one, `${place}/${name}`)
}

describe('the OpenAPI document', () => {
  const everything: HttpOptions = { expose: { tables: [columns.tables.keyed, columns.tables.pair], changes: [columns.tables.plain], events: [columns.events.wrote] }, basePath: '/api', info: { title: 'Columns', version: '7' } }

  test('has what OpenAPI 3.1 asks for: operations with names of their own, responses, parameters with schemas, references that lead somewhere', async () => {
    const document = await documentOf(columnsApp, everything)
    expect(document).toMatchObject({ openapi: '3.1.0', info: { title: 'Columns', version: '7' }, servers: [{ url: '/api' }], jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema' })
    const operations = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({ path, method, operation })))
    expect(operations.map(({ method, path }) => `${method} ${path}`)).toEqual([
      ...['fail', 'nothing', 'refuse', 'spin', 'takePlain', 'takeRuled', 'write', 'writeKey'].map((name) => `post /call/columns/${name}`),
      'get /table/columns/keyed', 'get /table/columns/pair', 'get /changes',
    ])
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length)
    for (const { operation } of operations) {
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['200', 'default']))
      for (const { name, in: place, schema } of operation.parameters ?? []) expect([typeof name, ['query', 'header'].includes(place as string), typeof schema]).toEqual(['string', true, 'object'])
    }
    for (const name of Object.keys(document.components.schemas)) expect(name).toMatch(/^[a-zA-Z0-9._-]+$/)
    const checker = new SchemaChecker(document as unknown as Json)
    let references = 0
    for (const [place, { $ref: reference }] of placesIn(document)) {
      if (typeof reference !== 'string') continue
      references += 1
      expect(() => checker.at(reference), place).not.toThrow()
    }
    expect(references).toBeGreaterThan(30)
  })

  test('describes what the handler answers: calls, errors, rows, pages and commits', async () => {
    const db = await openFor(bankApp)
    const handler = httpHandler(db, { expose: { tables: [bank.tables.account, bank.tables.entry], changes: [bank.tables.account], events: [bank.events.transferred] } })
    const document = (await (await handler(new Request('http://db/openapi.json'))).json()) as Document
    const checker = new SchemaChecker(document as unknown as Json)
    const schemaOf = (path: string, method: string, status: string): Json =>
      (document.paths[path]![method]!.responses[status] as { content: { 'application/json': { schema: Json } } }).content['application/json'].schema
    const post = async (name: string, input: unknown): Promise<unknown> =>
      (await handler(new Request(`http://db/call/bank/${name}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(input) }))).json()
    const get = async (path: string): Promise<unknown> => (await handler(new Request(`http://db${path}`))).json()

    const opened = schemaOf('/call/bank/openAccount', 'post', '200')
    expect(checker.accepts(opened, await post('openAccount', { id: 'ann', balance: 9 }))).toBe(true)
    expect(checker.accepts(opened, await post('openAccount', { id: 'bob' }))).toBe(true)
    const moved = await post('transfer', { from: 'ann', to: 'bob', amount: 1, n: 1 })
    expect(checker.accepts(schemaOf('/call/bank/transfer', 'post', '200'), moved)).toBe(true)
    for (const wrong of [await post('openAccount', { id: 'ann' }), await post('openAccount', 5), await post('transfer', { from: 'ann', to: 'x', amount: 1, n: 2 }), await get('/nowhere')]) {
      expect(checker.accepts(document.components.schemas['Error']!, wrong)).toBe(true)
      expect(checker.accepts(opened, wrong)).toBe(false)
    }
    expect(checker.accepts(schemaOf('/table/bank/account', 'get', '200'), await get('/table/bank/account?key=ann'))).toBe(true)
    const entries = schemaOf('/table/bank/entry', 'get', '200')
    for (const path of ['/table/bank/entry?key=ann&key=1', '/table/bank/entry', '/table/bank/entry?limit=1']) expect(checker.accepts(entries, await get(path)), path).toBe(true)

    const stream = await handler(new Request('http://db/changes?from=beginning'))
    const reader = stream.body!.getReader()
    let text = ''
    while (!text.includes('bank.transferred')) text += new TextDecoder().decode((await reader.read()).value)
    await reader.cancel()
    const commits = [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data!) as unknown)
    expect(commits.length).toBe(3)
    for (const commit of commits) expect(checker.accepts(document.components.schemas['Commit']!, commit), JSON.stringify(commit)).toBe(true)
    expect(checker.accepts(document.components.schemas['Commit']!, { ...(commits[0] as object), changes: [{ table: 'bank.account', kind: 'insert', key: 5 }] })).toBe(false)
  })

  test('a procedure that only reads can be asked for with GET too', () => {
    const description = described(bankApp)
    const reading: Description = { ...description, procedures: description.procedures.map((one) => (one.name === 'bank.transfer' ? { ...one, readonly: true, lane: 'snapshot' as const } : one)) }
    const procedures = new Map(reading.procedures.map((one) => [one.name, { handle: {} as never, description: one }]))
    const document = openApiOf({ description: reading, exposed: { procedures, tables: new Map(), changes: new Map(), events: new Map() }, basePath: '', info: undefined }) as unknown as Document
    expect(Object.keys(document.paths['/call/bank/transfer']!)).toEqual(['get', 'post'])
    expect(document.paths['/call/bank/transfer']!['get']!.parameters).toEqual([{ name: 'input', in: 'query', required: true, content: { 'application/json': { schema: { $ref: '#/components/schemas/bank.transfer.input' } } } }])
    expect(Object.keys(document.paths['/call/bank/openAccount']!)).toEqual(['post'])
  })
})
