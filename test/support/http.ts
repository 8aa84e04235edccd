/** Ways to a handler, for contracts that hold on each: called directly, and over a real server of `node:http`. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { toNode, type HttpHandler } from 'sluicedb/http'
import { onTestFinished } from 'vitest'

export interface Client {
  readonly origin: string
  send(path: string, init?: RequestInit): Promise<Response>
}
export type Way = (handler: HttpHandler) => Promise<Client>

export const directly: Way = async (handler) => ({ origin: 'http://db', send: (path, init) => handler(new Request(`http://db${path}`, init)) })

export const overNode: Way = async (handler) => {
  const { origin } = await listening(createServer(toNode(handler)))
  return { origin, send: (path, init) => fetch(origin + path, init) }
}

/** Listens for the length of one test. */
export async function listening(server: Server): Promise<{ readonly origin: string; readonly port: number }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { origin: `http://127.0.0.1:${port}`, port }
}

export const ways: readonly (readonly [name: string, way: Way])[] = [
  ['directly', directly],
  ['over node:http', overNode],
]

export const post = (client: Client, path: string, input?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
  client.send(path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, ...(input !== undefined && { body: JSON.stringify(input) }) })

export interface Refused {
  readonly error: { readonly code: string; readonly reason?: string; readonly message: string; readonly retryable: boolean; readonly details: Readonly<Record<string, unknown>> }
}

/** The status and the code of a refusal. */
export async function refusal(response: Response): Promise<string> {
  const { error } = (await response.json()) as Refused
  return `${response.status} ${error.code}`
}

export interface Message {
  readonly id?: string
  readonly event?: string
  readonly data?: string
}

/** The messages of a stream of server-sent events, as the standard has a browser read them; comments are left out. */
export async function* messagesOf(response: Response): AsyncGenerator<Message> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = text.slice(0, end).split('\n').filter((line) => !line.startsWith(':')).map((line) => /^(\w+): ?(.*)$/.exec(line)!.slice(1) as [string, string])
      text = text.slice(end + 2)
      if (fields.length > 0) yield Object.fromEntries(fields) as Message
    }
  }
}
