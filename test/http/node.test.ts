/** What only a real socket can do: readers that stop reading, bodies that stop coming, requests that no `fetch` would send. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { httpHandler, toNode, type HttpOptions } from 'sluicedb/http'
import { limits } from '../../engine/base/limits.js'
import bankApp, { bank, openAccount, transfer } from '../support/apps/bank-app.js'
import { openFor, until } from '../support/fixture.js'
import { listening, messagesOf, post } from '../support/http.js'

async function served(options: HttpOptions = {}) {
  const db = await openFor(bankApp, { partitions: 4 })
  const server = createServer(toNode(httpHandler(db, options)))
  const { origin, port } = await listening(server)
  return { db, origin, port, client: { origin, send: (path: string, init?: RequestInit) => fetch(origin + path, init) } }
}

function socketTo(port: number): { readonly socket: Socket; readonly text: () => string } {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => (text += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  return { socket, text: () => text }
}

test('a socket that stops reading leaves its stream in the log; when it goes the stream ends', async () => {
  const { db, port } = await served({ expose: { events: [bank.events.transferred] } })
  await db.call(openAccount, { id: 'ann', balance: 1_000_000 })
  await db.call(openAccount, { id: 'bob' })
  const { socket, text } = socketTo(port)
  socket.write('GET /changes HTTP/1.1\r\nhost: db\r\n\r\n')
  await until(() => text().includes('id: '), 'the stream has begun')
  socket.pause()
  let behind = false
  // What the kernel buffers for a socket is not ours to bound: it is filled first.
  for (let n = 0; n < 100_000 && !behind; n += 1_000) {
    await Promise.all(Array.from({ length: 1_000 }, (_, at) => db.call(transfer, { from: 'ann', to: 'bob', amount: 1, n: n + at })))
    await new Promise((resolve) => setTimeout(resolve, 5))
    behind = db.stats().streams.behind === 1
  }
  expect(behind).toBe(true)
  socket.destroy()
  await until(() => db.stats().streams.count === 0, 'the stream ends with its socket')
})

test('a body that is too long is answered before it has arrived, and its connection closed', async () => {
  const { port, db } = await served()
  const { socket, text } = socketTo(port)
  socket.write(`POST /call/bank/openAccount HTTP/1.1\r\nhost: db\r\ncontent-type: application/json\r\ncontent-length: ${limits.httpBodyBytesMax + 1}\r\n\r\n{`)
  await until(() => socket.destroyed || socket.readableEnded, 'the connection is closed')
  expect(text()).toMatch(/^HTTP\/1\.1 413 [^]*connection: close[^]*INVALID_INPUT/i)
  expect(db.table(bank.tables.account).count()).toBe(0)
})

test('a body that stops coming is given up, and a client that goes in the middle of it is no error of the server', async () => {
  const heard: unknown[] = []
  const { port, db } = await served({ limits: { bodyMs: 100 }, onError: (error) => heard.push(error) })
  const head = 'POST /call/bank/openAccount HTTP/1.1\r\nhost: db\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n'
  const slow = socketTo(port)
  slow.socket.write(`${head}{"id":`)
  await until(() => slow.text().includes('408'), 'the body is given up')
  const gone = socketTo(port)
  gone.socket.write(`${head}{"id":`)
  await until(() => gone.socket.bytesWritten > 0, 'it is sent')
  gone.socket.destroy()
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect([heard, db.table(bank.tables.account).count()]).toEqual([[], 0])
})

test.each([
  ['a host that is none', 'GET /openapi.json HTTP/1.1\r\nhost: a b\r\n\r\n', 400],
  ['an address that is a whole one', 'GET http://other/openapi.json HTTP/1.1\r\nhost: db\r\n\r\n', 404],
  ['an address of only a star', 'OPTIONS * HTTP/1.1\r\nhost: db\r\n\r\n', 404],
  ['TRACE, which fetch forbids', 'TRACE /openapi.json HTTP/1.1\r\nhost: db\r\n\r\n', 400],
  ['a chunked body', 'POST /call/bank/openAccount HTTP/1.1\r\nhost: db\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\ne\r\n{"id":"ann"}  \r\n0\r\n\r\n', 200],
  ['a GET with a body, which is not looked at', 'GET /openapi.json HTTP/1.1\r\nhost: db\r\ncontent-length: 2\r\n\r\n{}', 200],
])('%s', async (_name, request, status) => {
  const { port } = await served()
  const { socket, text } = socketTo(port)
  socket.write(request)
  await until(() => /^HTTP\/1\.1 \d+/.test(text()), 'an answer')
  expect(Number(/^HTTP\/1\.1 (\d+)/.exec(text())![1])).toBe(status)
})

test('connections are used again, and many calls at once have their own answers', async () => {
  const { client, db } = await served()
  const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => post(client, '/call/bank/openAccount', { id: `acc${n}`, balance: n })))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  expect([...db.table(bank.tables.account)].map(({ id, balance }) => `acc${balance}` === id)).toEqual(answers.map(() => true))
})

test('a framework that has read the body, and mounts under a path of its own', async () => {
  const db = await openFor(bankApp, { partitions: 4 })
  const bridge = toNode(httpHandler(db, { expose: { events: [bank.events.opened] } }))
  /** As express does with `express.json()` and `app.use('/api', ...)`. */
  const framework = async (request: IncomingMessage & { body?: unknown }, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    if (chunks.length > 0) request.body = JSON.parse(Buffer.concat(chunks).toString())
    request.url = request.url!.slice('/api'.length)
    bridge(request, response)
  }
  const { origin } = await listening(createServer((request, response) => void framework(request, response)))
  const client = { origin, send: (path: string, init?: RequestInit) => fetch(origin + path, init) }
  expect((await post(client, '/api/call/bank/openAccount', { id: 'ann' })).status).toBe(200)
  const messages = messagesOf(await client.send('/api/changes?from=beginning'))
  expect(((await messages.next()).value as { event: string }).event).toBe('commit')
  await messages.return(undefined)
})
