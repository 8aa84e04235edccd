/** What many requests together may hold: bodies, older states, long pages, long numbers. */
import { expect, test } from 'vitest'
import { httpHandler, type HttpHandler } from 'sluicedb/http'
import { limits } from '../../engine/base/limits.js'
import bankApp, { bank, openAccount, transfer } from '../support/apps/bank-app.js'
import columnsApp from '../support/apps/columns-app.js'
import { newFolder, openFor, until } from '../support/fixture.js'
import { refusal } from '../support/http.js'

const post = (handler: HttpHandler, path: string, body: string | ReadableStream<Uint8Array>): Promise<Response> =>
  handler(new Request(`http://db${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body, duplex: 'half' } as RequestInit))

test('bodies that have not arrived hold a bounded number of bytes in all', async () => {
  const handler = httpHandler(await openFor(bankApp))
  const chunk = new Uint8Array(limits.httpBodyBytesMax).fill(0x20)
  const ends: (() => void)[] = []
  const unfinished = (): ReadableStream<Uint8Array> =>
    new ReadableStream({
      start: (controller) => {
        controller.enqueue(chunk)
        ends.push(() => controller.close())
      },
    })
  const held = limits.httpBodiesBytesMax / limits.httpBodyBytesMax
  const waiting = Array.from({ length: held }, () => post(handler, '/call/bank/openAccount', unfinished()))
  await until(async () => (await refusal(await post(handler, '/call/bank/openAccount', '{"id":"ann"}'))) === '503 OVERLOADED', 'no room for one more')
  for (const end of ends) end()
  for (const one of await Promise.all(waiting)) expect(await refusal(one)).toBe('400 INVALID_INPUT')
  expect((await post(handler, '/call/bank/openAccount', '{"id":"ann"}')).status).toBe(200)
})

test('a page of long rows ends early, and goes on', async () => {
  const db = await openFor(bankApp)
  const handler = httpHandler(db, { expose: { tables: [bank.tables.entry] } })
  await db.call(openAccount, { id: 'ann', balance: 100 })
  await db.call(openAccount, { id: 'bob' })
  const filler = 'x'.repeat(limits.httpPageBytesMax / 4)
  for (let n = 0; n < 5; n += 1) await db.call(transfer, { from: 'ann', to: 'bob', amount: 1, n, filler })
  const lengths: number[] = []
  for (let next: string | undefined = ''; next !== undefined; ) {
    const page: { rows: unknown[]; next?: string } = await (await handler(new Request(`http://db/table/bank/entry${next}`))).json() as never
    lengths.push(page.rows.length)
    next = page.next
  }
  expect(lengths).toEqual([4, 4, 2])
})

test('a few older states are read at once', async () => {
  const db = await openFor(bankApp, { path: await newFolder(), history: { bytes: 0 }, durability: 'os' })
  const handler = httpHandler(db, { expose: { tables: [bank.tables.account] } })
  const { position } = await db.submit(openAccount, { id: 'ann', balance: 1 })
  await db.call(openAccount, { id: 'bob' })
  const read = (): Promise<Response> => handler(new Request(`http://db/table/bank/account?key=ann&at=${position}`))
  const answers = await Promise.all(Array.from({ length: limits.httpPastReadsMax + 2 }, read))
  expect(answers.map(({ status }) => status)).toEqual([...Array.from({ length: limits.httpPastReadsMax }, () => 200), 503, 503])
  expect((await read()).status).toBe(200)
})

test('a number in JSON has a bounded number of digits', async () => {
  const handler = httpHandler(await openFor(columnsApp))
  const send = (digits: number): Promise<Response> => post(handler, '/call/columns/takeRuled', JSON.stringify({ ...right, maybeJson: { $bigint: '9'.repeat(digits) } }))
  expect((await send(limits.jsonBigintDigitsMax)).status).toBe(200)
  expect(await refusal(await send(limits.jsonBigintDigitsMax + 1))).toBe('400 INVALID_INPUT')
})
const right = { i32: 0, u32: 1, int: 7, f64: 0, above: 1, below: 0, big: '5', bigPositive: '1', text: 'x', code: 'ab-1', loose: 'B', uuid: '0b5e7a3c-6f0d-4f6e-9a53-2f1f7d7c1c11', bytes0: '' }
