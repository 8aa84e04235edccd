/** What the contract of bridges runs over: the double always, and a real nats-server where this machine has one. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createRequire } from 'node:module'
import { connect as connectTo, createServer, type AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import type { HeadersLike, JetStreamLike, Publisher } from 'sluicedb/nats'
import { newFolder, until } from '../support/fixture.js'
import { HeadersDouble, JetStreamDouble } from './jetstream-double.js'

export interface StoredText {
  readonly sequence: number
  readonly subject: string
  readonly text: string
  readonly header: (name: string) => string
}

/** A server with JetStream, whichever. Streams take the subjects `<name in lower case>.>`. */
export interface Server {
  readonly client: JetStreamLike
  readonly headers: () => HeadersLike
  /** Of a real one. */
  readonly port?: number
  makeStream(name: string, retention?: 'limits' | 'workqueue' | 'interest'): Promise<void>
  deleteStream(name: string): Promise<void>
  removeUpTo(name: string, sequence: number): Promise<void>
  put(subject: string, text: string): Promise<void>
  stored(name: string): Promise<readonly StoredText[]>
  /** Ends at once and comes back, with what it had stored. */
  restart(): Promise<void>
}

export interface Maker {
  readonly name: string
  readonly make: () => Promise<Server>
}

export const idle = (publisher: Publisher): Promise<void> =>
  until(() => {
    const { isBehind, inFlight, status, lastError } = publisher.inspect()
    if (status === 'stopped') throw lastError!
    return !isBehind && inFlight === 0
  }, 'the publisher has caught up')

export function doubleServer(double: JetStreamDouble): Server {
  return {
    client: double.client(),
    headers: () => new HeadersDouble(),
    makeStream: async (name, retention) => double.makeStream(name, retention),
    deleteStream: async (name) => void double.streams.delete(name),
    removeUpTo: async (name, sequence) => double.removeUpTo(name, sequence),
    put: async (subject, text) => double.put(subject, text),
    stored: async (name) => Array.from(double.streams.get(name)!.messages.values(), ({ seq, subject, data, headers }) => ({ sequence: seq, subject, text: new TextDecoder().decode(data), header: (header: string) => headers.get(header) })),
    restart: async () => double.restart(),
  }
}

// ── the real one ──────────────────────────────────────────────────────────────────────────────────────────────

const program = ['nats-server', '/usr/sbin/nats-server', '/usr/local/bin/nats-server'].find((path) => spawnSync(path, ['-v']).status === 0)

/** The client's package, as far as tests use it; a development dependency. */
interface ClientPackage {
  connect(options: object): Promise<Connection>
  headers(): HeadersLike
}
interface Connection {
  jetstream(options?: object): JetStreamLike
  jetstreamManager(options?: object): Promise<Manager>
  close(): Promise<void>
}
interface Manager {
  readonly streams: {
    add(config: object): Promise<unknown>
    delete(name: string): Promise<unknown>
    purge(name: string, options: { readonly seq: number }): Promise<unknown>
    info(name: string): Promise<{ readonly state: { readonly first_seq: number; readonly last_seq: number } }>
    getMessage(name: string, query: { readonly seq: number }): Promise<{ readonly seq: number; readonly subject: string; readonly data: Uint8Array; readonly header: HeadersLike }>
  }
}

const client = ((): ClientPackage | undefined => {
  try {
    return createRequire(import.meta.url)('nats') as ClientPackage
  } catch {
    return undefined
  }
})()

export const realServers: readonly Maker[] = program === undefined || client === undefined ? [] : [{ name: `nats-server at ${program}`, make: () => startServer() }]
if (realServers.length === 0) process.stderr.write(`no real JetStream here (${program === undefined ? 'no nats-server' : 'the package nats is not installed'}): the contract runs over the double only\n`)

async function startServer(): Promise<Server> {
  const folder = await newFolder()
  const port = await freePort()
  let child: ChildProcess
  const up = async (): Promise<void> => {
    child = spawn(program!, ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', folder], { stdio: 'ignore' })
    await until(() => answers(port), 'nats-server listens')
  }
  const down = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }
  await up()
  onTestFinished(down)
  const connection = await client!.connect({ port, reconnectTimeWait: 20, maxReconnectAttempts: -1 })
  onTestFinished(() => connection.close())
  // What a killed server leaves unanswered is not waited for long.
  const manager = await connection.jetstreamManager({ timeout: 500 })
  return {
    client: connection.jetstream({ timeout: 500 }),
    port,
    headers: () => client!.headers(),
    makeStream: async (name, retention = 'limits') => void (await manager.streams.add({ name, subjects: [`${name.toLowerCase()}.>`], retention, duplicate_window: 100_000_000 })),
    deleteStream: async (name) => void (await manager.streams.delete(name)),
    removeUpTo: async (name, sequence) => void (await manager.streams.purge(name, { seq: sequence + 1 })),
    put: async (subject, text) => void (await connection.jetstream().publish(subject, new TextEncoder().encode(text))),
    stored: async (name) => {
      const { first_seq, last_seq } = (await manager.streams.info(name)).state
      const found: StoredText[] = []
      for (let seq = first_seq; seq <= last_seq; seq += 1) {
        const { subject, data, header } = await manager.streams.getMessage(name, { seq })
        found.push({ sequence: seq, subject, text: new TextDecoder().decode(data), header: (one) => header.get(one) })
      }
      return found
    },
    restart: async () => {
      await down()
      await up()
      await until(() => manager.streams.info('NONE').then(() => true, (error: { code?: string }) => error.code === '404'), 'JetStream answers again')
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTo(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
