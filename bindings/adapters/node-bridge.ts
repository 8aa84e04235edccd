/**
 * From `node:http` to a handler of Requests: `createServer(toNode(handler))`, `app.use('/api', toNode(handler))` in express and
 * connect, `reply.hijack(); toNode(handler)(request.raw, reply.raw)` in fastify.
 *
 * Invariants:
 *   N1  The signal of the Request aborts when the connection closes before the answer has been written.
 *   N2  The answer is pulled as the socket takes it: a slow reader holds what the stream holds, and not a queue of ours.
 *   N3  What was sent beyond an early answer is not read: the connection is closed behind it.
 */
import { errorResponse, wrongAddress } from './http-error.js'
import type { HttpHandler, HttpResponse } from './fetch-types.js'

/** What is asked of `http.IncomingMessage`. */
export interface NodeRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly complete: boolean
  readonly readableEnded: boolean
  iterator(options: { readonly destroyOnReturn: boolean }): AsyncIterator<Uint8Array>
}
/** What is asked of `http.ServerResponse`. */
export interface NodeResponse {
  readonly writableFinished: boolean
  readonly destroyed: boolean
  writeHead(status: number, headers: Record<string, string | string[]>): unknown
  write(chunk: Uint8Array): boolean
  end(): unknown
  destroy(): unknown
  on(event: 'close' | 'drain' | 'error', listener: () => void): unknown
  off(event: 'close' | 'drain' | 'error', listener: () => void): unknown
}

/** A listener of `node:http` that answers with a handler. Where a framework has read the body already, its `body` is taken. */
export function toNode(handler: HttpHandler): (request: NodeRequest, response: NodeResponse) => void {
  return (request, response) => {
    void serve(handler, request, response)
  }
}

async function serve(handler: HttpHandler, incoming: NodeRequest, outgoing: NodeResponse): Promise<void> {
  const gone = new AbortController()
  const onClose = (): void => {
    if (!outgoing.writableFinished) gone.abort()
  }
  outgoing.on('close', onClose)
  // A socket that breaks says so by 'close' too; without a listener this event would end the process.
  outgoing.on('error', onClose)
  let response: HttpResponse
  try {
    response = await handler(requestOf(incoming, gone.signal))
  } catch (error) {
    response = errorResponse(error)
  }
  await write(response, incoming, outgoing, gone.signal)
}

function requestOf(incoming: NodeRequest, signal: AbortSignal): Request {
  const headers = new Headers()
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value === undefined || name.startsWith(':')) continue
    for (const one of typeof value === 'string' ? [value] : value) headers.append(name, one)
  }
  const host = headers.get('host') ?? 'localhost'
  const address = `http://${host}${incoming.url ?? '/'}`
  if (!URL.canParse(address)) throw wrongAddress('The address or the host is not well-formed.')
  const method = incoming.method ?? 'GET'
  if (forbiddenMethods.has(method)) throw wrongAddress(`Nothing here takes ${method}.`)
  if (method === 'GET' || method === 'HEAD' || !hasBody(incoming)) return new Request(address, { method, headers, signal })
  return new Request(address, { method, headers, signal, body: bodyOf(incoming), duplex: 'half' })
}

/** A Request cannot have these. */
const forbiddenMethods: ReadonlySet<string> = new Set(['CONNECT', 'TRACE', 'TRACK'])
const hasBody = ({ headers }: NodeRequest): boolean => headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined

function bodyOf(incoming: NodeRequest): string | ReadableStream<Uint8Array> {
  const { body } = incoming as { readonly body?: unknown }
  if (incoming.readableEnded) return body === undefined ? '' : JSON.stringify(body)
  const chunks = incoming.iterator({ destroyOnReturn: false })
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await chunks.next()
        if (done === true) controller.close()
        else controller.enqueue(value)
      },
      cancel: async () => {
        await chunks.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

async function write(response: HttpResponse, incoming: NodeRequest, outgoing: NodeResponse, gone: AbortSignal): Promise<void> {
  const headers: Record<string, string | string[]> = Object.fromEntries(response.headers)
  const cookies = response.headers.getSetCookie()
  if (cookies.length > 0) headers['set-cookie'] = cookies
  if (hasBody(incoming) && !incoming.complete) headers['connection'] = 'close' // N3
  const reader = (response.body as ReadableStream<Uint8Array> | null)?.getReader()
  const onGone = (): void => void reader?.cancel().catch(() => undefined)
  gone.addEventListener('abort', onGone)
  try {
    if (gone.aborted) return onGone()
    outgoing.writeHead(response.status, headers)
    for (;;) {
      const next = await reader?.read()
      if (next === undefined || next.done || gone.aborted) break
      if (!outgoing.write(next.value)) await drained(outgoing)
    }
    outgoing.end()
  } catch {
    outgoing.destroy() // the body failed in the middle: the client must see that the answer is cut off
  } finally {
    gone.removeEventListener('abort', onGone)
  }
}

/** N2: resolves when the socket has room again, or is gone. */
function drained(outgoing: NodeResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      outgoing.off('drain', go)
      outgoing.off('close', go)
      resolve()
    }
    outgoing.on('drain', go)
    outgoing.on('close', go)
    if (outgoing.destroyed) go()
  })
}
