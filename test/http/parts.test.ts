/**
 * Services with projections and aggregates, over HTTP.
 *
 * The story: a projection has a procedure of the engine's own, which no description names. The handler looked descriptions up by the place of
 * a procedure in the program, so it threw for an application with a projection, and where procedures were named it ran `buy` for who
 * asked for `sell`, and told `authorize` the other name. The aborts of an aggregate were those of no service, and a command listed its service's.
 */
import { aggregate, app, column as c, projection, service, table } from 'sluicedb'
import { httpHandler, type HttpOptions, type Operation } from 'sluicedb/http'
import { describe, expect, test } from 'vitest'
import { openFor } from '../support/fixture.js'
import { post, refusal, ways } from '../support/http.js'

const cart = aggregate('cart', {
  id: c.text(),
  events: { added: { product: c.text() } },
  aborts: { FULL: { lines: c.int() } },
  initial: () => 0,
  evolve: { added: (lines) => lines + 1 },
  decide: { add: { input: { product: c.text() }, run: (lines, payload, it) => (lines > 0 ? it.abort('FULL', { lines }) : { type: 'added', payload }) } },
})
const shop = service('shop', { events: { sold: { product: c.text() }, bought: { product: c.text() } }, aggregates: { cart }, aborts: { CLOSED: {} } })
const buy = shop.procedure('buy', { input: { product: c.text() } }, (tx, { product }) => {
  tx.emit('bought', { product })
  return `bought ${product}`
})
const sell = shop.procedure('sell', { input: { product: c.text() } }, (tx, { product }) => {
  tx.emit('sold', { product })
  return `sold ${product}`
})
const totals = projection('totals', { version: 1, tables: { total: table({ columns: { product: c.text(), n: c.int() }, key: ['product'] }) } }).on(
  () => shop.events.sold,
  (tx, { payload: { product } }) => void tx.db.total.put({ product, n: (tx.db.total.get(product)?.n ?? 0) + 1 }),
)
const report = service('report', { projections: { totals } })
const read = report.procedure('read', { input: { product: c.text() }, readonly: true }, (tx, { product }) => tx.projection.totals.total.get(product)?.n ?? 0)
/** What follows is behind the projection in the program. */
const application = app(import.meta.url, [report, shop])

const calls = ['/call/report/read', '/call/shop/buy', '/call/shop/cart.add', '/call/shop/cart.load', '/call/shop/sell']

describe.each(ways)('%s', (_, way) => {
  const clientOf = async (options: HttpOptions) => {
    const db = await openFor(application)
    const asked: Operation[] = []
    const client = await way(httpHandler(db, { ...options, authorize: (_request, operation) => asked.push(operation) > 0 }))
    const valueOf = async (path: string, input: object): Promise<unknown> => ((await (await post(client, path, input)).json()) as { value: unknown }).value
    const names = (): readonly string[] => asked.flatMap((operation) => (operation.kind === 'call' ? [operation.procedure] : []))
    return { db, client, valueOf, names }
  }

  test.each<[string, HttpOptions]>([
    ['exposed by default', {}],
    ['exposed by name', { expose: { procedures: [read, buy, shop.aggregates.cart.add, shop.aggregates.cart.load, sell] } }],
    ['exposed by name, in another order', { expose: { procedures: [sell, shop.aggregates.cart.load, read, shop.aggregates.cart.add, buy] } }],
  ])('each procedure runs under its own name, and authorize is told it: %s', async (_how, options) => {
    const { db, valueOf, names } = await clientOf(options)
    expect(await valueOf('/call/shop/sell', { product: 'tea' })).toBe('sold tea')
    expect(await valueOf('/call/shop/buy', { product: 'tea' })).toBe('bought tea')
    expect(await valueOf('/call/shop/cart.add', { id: 'a', product: 'tea' })).toEqual({ version: 1 })
    expect(await valueOf('/call/shop/cart.load', { id: 'a' })).toEqual({ version: 1, state: 1 })
    await db.projection(totals).reached(db.stats().position)
    expect(await valueOf('/call/report/read', { product: 'tea' })).toBe(1)
    expect(names()).toEqual(['shop.sell', 'shop.buy', 'shop.cart.add', 'shop.cart.load', 'report.read'])
  })

  test('what is not exposed is not there, and the steps of a projection never are', async () => {
    const { client, valueOf, names } = await clientOf({ expose: { procedures: [sell] } })
    expect(await valueOf('/call/shop/sell', { product: 'tea' })).toBe('sold tea')
    expect(await refusal(await post(client, '/call/shop/buy', { product: 'tea' }))).toBe('404 INVALID_USE')
    const { client: usual } = await clientOf({})
    for (const path of ['/call/report/totals.$step', '/call/report.totals/$step', '/call/report/$step']) expect(await refusal(await post(usual, path, { step: { do: 'leave' } }))).toBe('404 INVALID_USE')
    expect(names()).toEqual(['shop.sell'])
  })

  test('the document names what is there, and with each call the reasons that are its own', async () => {
    const { client } = await clientOf({})
    const { paths } = (await (await client.send('/openapi.json')).json()) as { paths: Record<string, { post: { operationId: string; responses: Record<string, { description: string }> } }> }
    expect(Object.keys(paths).sort()).toEqual(calls)
    expect(Object.values(paths).map(({ post: { operationId } }) => operationId).sort()).toEqual(['report.read', 'shop.buy', 'shop.cart.add', 'shop.cart.load', 'shop.sell'])
    const reasons = (path: string): string | undefined => paths[path]!.post.responses['422']?.description
    expect(reasons('/call/shop/cart.add')).toBe('ABORTED, with one of the reasons of its aggregate: FULL; or ID_REUSED.')
    expect(reasons('/call/shop/sell')).toBe('ABORTED, with one of the reasons of its service: CLOSED; or ID_REUSED.')
    expect(reasons('/call/report/read')).toBeUndefined()
    await post(client, '/call/shop/cart.add', { id: 'a', product: 'tea' })
    const full = (await (await post(client, '/call/shop/cart.add', { id: 'a', product: 'cup' })).json()) as { error: object }
    expect(full.error).toMatchObject({ code: 'ABORTED', reason: 'FULL', details: { lines: 1 } })
  })
})

test('the application as data has commands and aborts of an aggregate under one name', async () => {
  const db = await openFor(application)
  const { services, procedures, aborts } = db.describe()
  expect(services).toEqual(['report', 'shop'])
  expect(procedures.map(({ name, service: of, aggregate: part }) => [name, of, part])).toEqual([
    ['report.read', 'report', undefined],
    ['shop.buy', 'shop', undefined],
    ['shop.sell', 'shop', undefined],
    ['shop.cart.add', 'shop', 'cart'],
    ['shop.cart.load', 'shop', 'cart'],
  ])
  expect(aborts.map(({ reason, service: of, aggregate: part }) => [reason, of, part])).toEqual([['CLOSED', 'shop', undefined], ['FULL', 'shop', 'cart']])
})
