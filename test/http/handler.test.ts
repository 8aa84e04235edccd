/** The contract of `sluicedb/http`: called directly and over a real server, the same answers (docs/http.md). */
import { describe, expect, test } from 'vitest'
import { SluiceError, type Database } from 'sluicedb'
import { httpHandler, type HttpOptions, type Operation } from 'sluicedb/http'
import { errorCodes, SluiceError as MadeHere } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { errorResponse, statusByCode } from '../../bindings/adapters/http-error.js'
import bankApp, { bank, deposit, openAccount, transfer } from '../support/apps/bank-app.js'
import columnsApp, { columns, spin } from '../support/apps/columns-app.js'
import readsApp, { put } from '../support/apps/reads-app.js'
import { openFor, refused, thrown } from '../support/fixture.js'
import { post, refusal, ways, type Client, type Refused } from '../support/http.js'

const everything: HttpOptions = {
  expose: { tables: [bank.tables.account, bank.tables.entry], changes: [bank.tables.account], events: [bank.events.transferred] },
}
const json = async <T = Record<string, unknown>>(response: Response): Promise<T> => (await response.json()) as T
const open = { id: 'ann', balance: 10 }

describe.each(ways)('%s', (_, way) => {
  const bankClient = async (options: HttpOptions = everything): Promise<{ client: Client; db: Database }> => {
    const db = await openFor(bankApp, { partitions: 4 })
    return { client: await way(httpHandler(db, options)), db }
  }

  describe('calls', () => {
    test('answer with value, position, durability and repeated', async () => {
      const { client, db } = await bankClient()
      const opened = await post(client, '/call/bank/openAccount', open)
      expect([opened.status, opened.headers.get('content-type'), opened.headers.get('cache-control')]).toEqual([200, 'application/json; charset=utf-8', 'no-store'])
      const { value, ...rest } = await json(opened)
      expect([value, rest]).toEqual([undefined, { position: db.stats().position, durability: 'memory', repeated: false }])
      await db.call(openAccount, { id: 'bob' })
      expect((await json(await post(client, '/call/bank/transfer', { from: 'ann', to: 'bob', amount: 4, n: 1 })))['value']).toEqual({ left: 6, n: 1 })
    })

    test('with an Idempotency-Key have one outcome, aborts too', async () => {
      const { client, db } = await bankClient()
      const first = await json(await post(client, '/call/bank/openAccount', open, { 'idempotency-key': 'k1' }))
      const again = await json(await post(client, '/call/bank/openAccount', open, { 'idempotency-key': 'k1' }))
      expect(again).toEqual({ ...first, repeated: true })
      expect(await refusal(await post(client, '/call/bank/openAccount', { id: 'eve' }, { 'idempotency-key': 'k1' }))).toBe('422 ID_REUSED')
      const missing = { from: 'ann', to: 'nobody', amount: 1, n: 1 }
      expect(await refusal(await post(client, '/call/bank/transfer', missing, { 'idempotency-key': 'k2' }))).toBe('422 ABORTED')
      await db.call(openAccount, { id: 'nobody' })
      expect(await refusal(await post(client, '/call/bank/transfer', missing, { 'idempotency-key': 'k2' }))).toBe('422 ABORTED')
      expect(await refusal(await post(client, '/call/bank/openAccount', open, { 'idempotency-key': 'k'.repeat(limits.requestIdBytesMax + 1) }))).toBe('400 INVALID_INPUT')
      for await (const commit of db.changes({ from: 'beginning' })) {
        expect(commit.requestId).toBe('k1')
        break
      }
    })

    test('refuse with the code, the reason and the details of the error', async () => {
      const { client, db } = await bankClient()
      await db.call(openAccount, open)
      await db.call(openAccount, { id: 'bob' })
      const poor = await post(client, '/call/bank/transfer', { from: 'ann', to: 'bob', amount: 11, n: 1 })
      expect([poor.status, (await json<Refused>(poor)).error]).toEqual([422, { code: 'ABORTED', reason: 'INSUFFICIENT_FUNDS', message: expect.any(String) as unknown, retryable: false, details: { balance: 10 } }])
      expect(await refusal(await post(client, '/call/bank/openAccount', open))).toBe('409 CONSTRAINT')
      const wrong = await post(client, '/call/bank/transfer', { from: 'ann', to: 'bob', amount: 0, n: 1 })
      expect([wrong.status, (await json<Refused>(wrong)).error.details]).toEqual([400, expect.objectContaining({ field: 'amount', rule: 'min' })])
      expect(db.table(bank.tables.account).get('ann')?.balance).toBe(10)
    })

    test('that only read are answered by GET and POST, never sequenced, and see what was answered before', async () => {
      const db = await openFor(readsApp, { partitions: 4 })
      const client = await way(httpHandler(db))
      const address = `/call/store/stockOf?input=${encodeURIComponent(JSON.stringify({ id: 'a' }))}`
      expect(await refusal(await client.send(address))).toBe('422 ABORTED')
      await db.call(put, { id: 'a', kind: 'tea', stock: 10 })
      const sequenced = db.stats().batches.requests
      expect((await json(await client.send(address)))['value']).toBe(10)
      expect((await json(await post(client, '/call/store/stockOf', { id: 'a' })))['value']).toBe(10)
      expect(await refusal(await client.send('/call/store/stockOf?input=nonsense'))).toBe('400 INVALID_INPUT')
      expect(await refusal(await client.send('/call/store/put?input=%7B%7D'))).toBe('405 INVALID_USE')
      expect(db.stats().batches.requests).toBe(sequenced)
    })

    test('that failed inside say their code, and their words only to onError', async () => {
      const heard: unknown[] = []
      const client = await way(httpHandler(await openFor(columnsApp), { onError: (error) => heard.push(error) }))
      const failed = await post(client, '/call/columns/fail', {})
      const text = await failed.text()
      expect([failed.status, (JSON.parse(text) as Refused).error.code, text.includes('secret')]).toEqual([500, 'PROCEDURE_FAILED', false])
      expect(heard.map((error) => SluiceError.is(error, 'PROCEDURE_FAILED'))).toEqual([true])
      expect((await json(await post(client, '/call/columns/nothing')))['value']).toBeUndefined()
      expect((await json<Refused>(await post(client, '/call/columns/refuse', { big: '7' }))).error).toMatchObject({ reason: 'ODD', details: { big: { $bigint: '7' } } })
    })

    const malformed: readonly (readonly [name: string, init: RequestInit, expected: string])[] = [
      ['no JSON', { body: '{"id":' }, '400 INVALID_INPUT'],
      ['no UTF-8', { body: new Uint8Array([0x22, 0xff, 0x22]) }, '400 INVALID_INPUT'],
      ['a list', { body: '[]' }, '400 INVALID_INPUT'],
      ['text', { body: '"ann"' }, '400 INVALID_INPUT'],
      ['null', { body: 'null' }, '400 INVALID_INPUT'],
      ['nothing', {}, '400 INVALID_INPUT'],
      ['an unknown name', { body: '{"id":"ann","idd":1}' }, '400 INVALID_INPUT'],
      ['__proto__', { body: '{"id":"ann","__proto__":{"balance":5}}' }, '400 INVALID_INPUT'],
      ['a wrong type', { body: '{"id":5}' }, '400 INVALID_INPUT'],
      ['a number beyond 2^53', { body: '{"id":"ann","balance":9007199254740993}' }, '400 INVALID_INPUT'],
      ['half of a pair', { body: '{"id":"\\ud800"}' }, '400 INVALID_INPUT'],
      ['deep nesting', { body: `${'['.repeat(100_000)}${']'.repeat(100_000)}` }, '400 INVALID_INPUT'],
      ['the type of a form', { body: '{"id":"ann"}', headers: { 'content-type': 'text/plain' } }, '415 INVALID_INPUT'],
      ['a type that only begins so', { body: '{"id":"ann"}', headers: { 'content-type': 'application/jsonp' } }, '415 INVALID_INPUT'],
    ]
    test.each(malformed)('refuse %s', async (_name, init, expected) => {
      const { client, db } = await bankClient()
      const response = await client.send('/call/bank/openAccount', { method: 'POST', headers: { 'content-type': 'application/json' }, ...init })
      expect(await refusal(response)).toBe(expected)
      expect(db.table(bank.tables.account).count()).toBe(0)
    })

    test('have a body within its bound, and are refused beyond it', async () => {
      const { client } = await bankClient({ limits: { bodyBytes: 100 } })
      const body = (length: number): string => `{"id":"${'a'.repeat(length - 9)}"}`
      const send = (text: string): Promise<Response> => client.send('/call/bank/openAccount', { method: 'POST', headers: { 'content-type': 'application/json' }, body: text })
      expect((await send(body(100))).status).toBe(200)
      expect(await refusal(await send(body(101)))).toBe('413 INVALID_INPUT')
      const chunks = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(64).fill(0x20)) })
      const endless = await client.send('/call/bank/openAccount', { method: 'POST', headers: { 'content-type': 'application/json' }, body: chunks, duplex: 'half' } as RequestInit)
      expect(await refusal(endless)).toBe('413 INVALID_INPUT')
    })

    test('whose body does not arrive end in time', async () => {
      const { client } = await bankClient({ limits: { bodyMs: 50 } })
      const slow = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new Uint8Array([0x7b])) })
      const response = await client.send('/call/bank/openAccount', { method: 'POST', headers: { 'content-type': 'application/json' }, body: slow, duplex: 'half' } as RequestInit)
      expect(await refusal(response)).toBe('408 TIMEOUT')
    })
  })

  describe('addresses', () => {
    const nowhere = ['/', '', '/call', '/call/bank', '/call/bank/', '/call/bank/nothing', '/call/bank/transfer/more', '/call/__proto__/constructor', '/call/bank/__proto__', '/call/bank/toString', '/call/constructor/name', '/call/bank.transfer/x',
      '/table/bank/untouched', '/table/__proto__/x', '/table/bank/hasOwnProperty', '/table/bank', '/openapi.json/x', '/changes/x', '/%2e%2e/x', '/call//transfer', '//call/bank/transfer', '/Call/bank/transfer', '/table/$outcomes/x']
    test.each(nowhere)('"%s" leads nowhere', async (path) => {
      const { client } = await bankClient()
      for (const method of ['GET', 'POST']) expect(await refusal(await client.send(path, { method }))).toBe('404 INVALID_USE')
    })

    test('take their methods and say which', async () => {
      const { client } = await bankClient()
      const wrong = await client.send('/call/bank/transfer')
      expect([await refusal(wrong), wrong.headers.get('allow')]).toEqual(['405 INVALID_USE', 'POST'])
      for (const [path, method] of [['/table/bank/entry', 'POST'], ['/changes', 'DELETE'], ['/openapi.json', 'PUT'], ['/call/bank/transfer', 'OPTIONS']] as const) {
        expect(await refusal(await client.send(path, { method }))).toBe('405 INVALID_USE')
      }
    })

    test('begin with basePath, and are well-formed and short', async () => {
      const { client } = await bankClient({ ...everything, basePath: '/api/v1' })
      expect((await post(client, '/api/v1/call/bank/openAccount', open)).status).toBe(200)
      for (const path of ['/call/bank/openAccount', '/api/v1call/bank/openAccount', '/api/v1']) expect(await refusal(await post(client, path, open))).toBe('404 INVALID_USE')
      expect(await refusal(await post(client, '/api/v1/call/bank/%zz', open))).toBe('400 INVALID_USE')
      const fits = limits.httpAddressLengthMax - client.origin.length - '/api/v1/table/bank/account?key='.length
      expect(await refusal(await client.send(`/api/v1/table/bank/account?key=${'a'.repeat(1_000)}`))).toBe('404 NOT_FOUND')
      if (client.origin === 'http://db') expect(await refusal(await client.send(`/api/v1/table/bank/account?key=${'a'.repeat(fits + 1)}`))).toBe('414 INVALID_USE')
    })

    test('that are not exposed are not there', async () => {
      const { client } = await bankClient({ expose: { procedures: [deposit] } })
      for (const path of ['/call/bank/openAccount', '/call/bank/transfer']) expect(await refusal(await post(client, path, open))).toBe('404 INVALID_USE')
      for (const path of ['/table/bank/account?key=ann', '/changes']) expect(await refusal(await client.send(path))).toBe('404 INVALID_USE')
      expect(Object.keys((await json<{ paths: object }>(await client.send('/openapi.json'))).paths)).toEqual(['/call/bank/deposit'])
      const { client: usual } = await bankClient({})
      expect(await refusal(await usual.send('/table/bank/account?key=ann'))).toBe('404 INVALID_USE')
      expect(await refusal(await usual.send('/changes'))).toBe('404 INVALID_USE')
      expect((await post(usual, '/call/bank/openAccount', open)).status).toBe(200)
    })
  })

  describe('tables', () => {
    const filled = async (options?: HttpOptions): Promise<{ client: Client; db: Database }> => {
      const { client, db } = await bankClient(options)
      for (const id of ['ann', 'bob', 'a/b&c=d ü']) await db.call(openAccount, { id, balance: 1_000 })
      for (let n = 1; n <= 7; n += 1) await db.call(transfer, { from: 'ann', to: 'bob', amount: n, n })
      return { client, db }
    }
    interface Page { readonly rows: readonly { readonly account: string; readonly n: number }[]; readonly position: string; readonly next?: string }
    const pagesOf = async (client: Client, query: string): Promise<Page[]> => {
      const pages: Page[] = []
      for (let next: string | undefined = query; next !== undefined; next = pages.at(-1)!.next) pages.push(await json<Page>(await client.send(`/table/bank/entry${next}`)))
      return pages
    }

    test('answer with one row, or say that there is none', async () => {
      const { client, db } = await filled()
      expect(await json(await client.send('/table/bank/account?key=ann'))).toEqual({ row: { ...db.table(bank.tables.account).get('ann') }, position: db.stats().position })
      expect((await json<{ row: { id: string } }>(await client.send(`/table/bank/account?key=${encodeURIComponent('a/b&c=d ü')}`))).row.id).toBe('a/b&c=d ü')
      expect(await json(await client.send('/table/bank/entry?key=bob&key=3'))).toMatchObject({ row: { account: 'bob', n: 3, amount: 3 } })
      expect(await refusal(await client.send('/table/bank/account?key=eve'))).toBe('404 NOT_FOUND')
    })

    test('answer in pages that lead through all rows once', async () => {
      const { client } = await filled()
      const keys = (pages: readonly Page[]): string[] => pages.flatMap(({ rows }) => rows.map(({ account, n }) => `${account} ${n}`))
      const all = ['ann', 'bob'].flatMap((id) => [1, 2, 3, 4, 5, 6, 7].map((n) => `${id} ${n}`))
      for (const limit of [1, 3, 7, 14, 15]) expect(keys(await pagesOf(client, `?limit=${limit}`))).toEqual(all)
      for (const limit of [1, 4, 14]) expect(keys(await pagesOf(client, `?limit=${limit}&reverse=true`))).toEqual([...all].reverse())
      expect(keys(await pagesOf(client, '?prefix=bob&limit=2'))).toEqual(all.slice(7))
      expect(keys(await pagesOf(client, '?prefix=bob&limit=2&reverse=true'))).toEqual(all.slice(7).reverse())
      expect(keys(await pagesOf(client, '?from=ann&from=6&to=bob&to=3&limit=2'))).toEqual(['ann 6', 'ann 7', 'bob 1', 'bob 2'])
      expect((await pagesOf(client, '?limit=14')).map(({ next }) => next)).toEqual([undefined])
    })

    test('answer with an older state, page by page', async () => {
      const { client, db } = await filled()
      const at = db.stats().position
      for (let n = 8; n <= 12; n += 1) await db.call(transfer, { from: 'ann', to: 'bob', amount: n, n })
      const pages = await pagesOf(client, `?prefix=ann&limit=3&at=${at}`)
      expect(pages.map(({ rows, position }) => [rows.map(({ n }) => n), position])).toEqual([[[1, 2, 3], at], [[4, 5, 6], at], [[7], at]])
      expect(await json(await client.send(`/table/bank/account?key=ann&at=${at}`))).toMatchObject({ row: { balance: 972 }, position: at })
    })

    const wrong: readonly (readonly [query: string, expected: string])[] = [
      ['account', '400 INVALID_USE'], ['account?limit=5', '400 INVALID_USE'], ['account?key=a&key=b', '400 INVALID_USE'], ['account?key=a&limit=5', '400 INVALID_USE'], ['account?kei=a', '400 INVALID_USE'], ['account?__proto__=a', '400 INVALID_USE'],
      ['entry?key=ann', '400 INVALID_USE'], ['entry?key=ann&key=x', '400 INVALID_INPUT'], ['entry?key=ann&key=', '400 INVALID_INPUT'], ['entry?key=ann&key=0x1', '400 INVALID_INPUT'], ['entry?prefix=ann&prefix=1&prefix=2', '400 INVALID_USE'],
      ['entry?limit=0', '400 INVALID_USE'], ['entry?limit=1001', '400 INVALID_USE'], ['entry?limit=1e2', '400 INVALID_USE'], ['entry?limit=1&limit=2', '400 INVALID_USE'], ['entry?reverse=yes', '400 INVALID_USE'], ['entry?at=yesterday', '400 INVALID_USE'],
      ['entry?at=00ffffffffffffff-00000000', '400 INVALID_USE'],
    ]
    test.each(wrong)('refuse %s', async (query, expected) => {
      const { client } = await filled()
      expect(await refusal(await client.send(`/table/bank/${query}`))).toBe(expected)
    })

    test('take keys of every type from an address', async () => {
      const db = await openFor(columnsApp)
      const client = await way(httpHandler(db, { expose: { tables: [columns.tables.keyed] } }))
      const keys = [{ big: '-9223372036854775808', data: '+/8=', flag: true, n: 'Infinity' }, { big: '7', data: '', flag: false, n: -0.5 }, { big: '7', data: 'AAE=', flag: true, n: 1e21 }]
      for (const key of keys) expect((await post(client, '/call/columns/writeKey', key)).status).toBe(200)
      for (const key of keys) {
        const query = new URLSearchParams(Object.values(key).map((value): [string, string] => ['key', String(value)]))
        expect(await json(await client.send(`/table/columns/keyed?${String(query)}`))).toMatchObject({ row: { ...key, note: '' } })
      }
      const found: unknown[] = []
      for (let next: string | undefined = '?limit=1'; next !== undefined; ) {
        const page: { rows: unknown[]; next?: string } = await json(await client.send(`/table/columns/keyed${next}`))
        found.push(...page.rows)
        next = page.next
      }
      expect(found).toHaveLength(3)
      for (const query of ['key=7&key=A&key=true&key=1', 'key=7.0&key=&key=true&key=1', 'key=7&key=&key=yes&key=1', 'key=7&key=&key=true&key=NaN', 'key=9223372036854775808&key=&key=true&key=1']) {
        expect((await client.send(`/table/columns/keyed?${query}`)).status, query).toBe(400)
      }
    })
  })

  describe('authorize', () => {
    test('is asked before anything is done, and told what is asked for', async () => {
      const asked: Operation[] = []
      const { client, db } = await bankClient({ ...everything, authorize: (_request, operation) => (asked.push(operation), false) })
      expect(await refusal(await post(client, '/call/bank/openAccount', open, { 'idempotency-key': 'k' }))).toBe('403 INVALID_USE')
      for (const path of ['/table/bank/entry?key=ann&key=1', '/table/bank/entry?prefix=bob', '/changes?events=bank.transferred', '/openapi.json']) expect(await refusal(await client.send(path))).toBe('403 INVALID_USE')
      expect(asked).toEqual([
        { kind: 'call', procedure: 'bank.openAccount', readonly: false, requestId: 'k', input: expect.any(Function) as unknown },
        { kind: 'read', table: 'bank.entry', key: ['ann', 1], prefix: undefined },
        { kind: 'read', table: 'bank.entry', key: undefined, prefix: ['bob'] },
        { kind: 'changes', tables: [], events: ['bank.transferred'] },
        { kind: 'openapi' },
      ])
      expect(await refusal(await client.send('/call/bank/nothing'))).toBe('404 INVALID_USE')
      expect(asked).toHaveLength(5)
      expect(db.table(bank.tables.account).count()).toBe(0)
    })

    test('sees the input, may answer itself, and what it throws opens no door', async () => {
      const { client } = await bankClient({
        authorize: async (request, operation) => {
          const who = request.headers.get('authorization')
          if (who === null) return new Response('who are you?', { status: 401, headers: { 'www-authenticate': 'Bearer' } })
          if (who === 'broken') throw new Error('no session store')
          if (who === 'truthy') return {} as unknown as boolean
          return operation.kind === 'call' && ((await operation.input()) as { id: string }).id === who
        },
      })
      const anonymous = await post(client, '/call/bank/openAccount', open)
      expect([anonymous.status, anonymous.headers.get('www-authenticate'), await anonymous.text()]).toEqual([401, 'Bearer', 'who are you?'])
      expect(await refusal(await post(client, '/call/bank/openAccount', open, { authorization: 'bob' }))).toBe('403 INVALID_USE')
      expect(await refusal(await post(client, '/call/bank/openAccount', open, { authorization: 'truthy' }))).toBe('403 INVALID_USE')
      expect(await refusal(await post(client, '/call/bank/openAccount', open, { authorization: 'broken' }))).toBe('500 PROCEDURE_FAILED')
      expect((await post(client, '/call/bank/openAccount', open, { authorization: 'ann' })).status).toBe(200)
    })
  })

  test('a call is withdrawn when its client goes away, or its time has passed, before a batch has taken it', async () => {
    const db = await openFor(columnsApp, { workers: 1 })
    const client = await way(httpHandler(db, { limits: { callMs: 100 } }))
    const row = { flag: true, i32: 0, u32: 0, int: 0, f64: 0, big: '0', text: '', uuid: '0b5e7a3c-6f0d-4f6e-9a53-2f1f7d7c1c11', word: 'open', bytes: '', time: 0, json: 0 }
    const send = (id: number, signal?: AbortSignal): Promise<Response> =>
      client.send('/call/columns/write', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ id, ...row }), ...(signal && { signal }) })
    expect((await send(0)).status).toBe(200)
    const busy = refused(db.call(spin, { turns: Number.MAX_SAFE_INTEGER }), 'PROCEDURE_STUCK')
    // What is sent before the worker has taken it may be in the same batch.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    const going = new AbortController()
    const left = send(1, going.signal).then(refusal, () => '499 CANCELLED')
    setTimeout(() => going.abort(), 50)
    const late = send(2).then(refusal)
    expect(await Promise.all([left, late])).toEqual(['499 CANCELLED', '504 TIMEOUT'])
    await busy
    expect((await send(3)).status).toBe(200)
    expect([0, 1, 2, 3].map((id) => db.table(columns.tables.plain).has(id))).toEqual([true, false, false, true])
  })

  test('a closed database says so', async () => {
    const { client, db } = await bankClient()
    await db.close()
    expect(await refusal(await post(client, '/call/bank/openAccount', open))).toBe('503 DATABASE_CLOSED')
    expect(await refusal(await client.send('/table/bank/account?key=ann'))).toBe('503 DATABASE_CLOSED')
    expect(await refusal(await client.send('/changes'))).toBe('503 DATABASE_CLOSED')
  })
})

test('every code has a status, and those that may be tried again say when', () => {
  expect(Object.keys(statusByCode)).toEqual(errorCodes)
  for (const code of errorCodes) {
    const error = MadeHere.of(code, 'x')
    const response = errorResponse(error)
    expect([response.status, response.headers.has('retry-after')]).toEqual([statusByCode[code], statusByCode[code] === 503 && error.retryable])
  }
})

test('wrong options are refused when the handler is made', async () => {
  const db = await openFor(bankApp)
  const wrong: readonly unknown[] = [
    null, 5, { expsoe: {} }, { expose: { table: [] } }, { expose: { tables: bank.tables.account } }, { expose: { tables: [bank.events.opened] } }, { expose: { procedures: [columns] } }, { expose: { tables: [columns.tables.plain] } },
    { basePath: 'api' }, { basePath: '/api/' }, { basePath: '/a?b' }, { authorize: true }, { onError: 'log' }, { limits: { bodyBytes: 0 } }, { limits: { bodyBytes: limits.httpBodyBytesMax + 1 } }, { limits: { rows: 5 } }, { limits: { heartbeatMs: NaN } }, { info: { name: 'x' } },
  ]
  for (const options of wrong) expect(thrown(() => httpHandler(db, options as HttpOptions), 'INVALID_USE').message).not.toBe('')
  thrown(() => httpHandler({} as Database), 'INVALID_USE')
  thrown(() => httpHandler(undefined as unknown as Database), 'INVALID_USE')
})
