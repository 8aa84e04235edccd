/**
 * A JetStream in memory, as far as bridges use one: streams, publishing with expectations and a window of ids, reading back, durable
 * consumers. What a network and a server do to their clients it does by chance, from a seed: messages and acknowledgements are lost,
 * come late or twice, deliveries get lost, requests fail, and everything is slow.
 */
import type { HeadersLike, JetStreamLike, ManagerLike, MessageLike, MessagesLike, PublishAck, StoredMessageLike, StreamInfoLike } from 'sluicedb/nats'
import { type Random, randomOf } from '../support/random.js'

export interface Faults {
  /** Probabilities. */
  readonly lostMessage: number
  readonly lostAck: number
  readonly lateMessage: number
  readonly lostDelivery: number
  readonly redelivery: number
  readonly failedRequest: number
  /** Of each step, at most. */
  readonly delayMs: number
}
export const noFaults: Faults = { lostMessage: 0, lostAck: 0, lateMessage: 0, lostDelivery: 0, redelivery: 0, failedRequest: 0, delayMs: 0 }

export class HeadersDouble implements HeadersLike {
  readonly #values = new Map<string, string>()
  get(name: string): string {
    return this.#values.get(name) ?? ''
  }
  set(name: string, value: string): void {
    if (/[\r\n]/.test(name + value)) throw new Error('a header has no line breaks')
    this.#values.set(name, value)
  }
  keys(): string[] {
    return [...this.#values.keys()]
  }
}

interface Stored {
  readonly seq: number
  readonly subject: string
  readonly data: Uint8Array
  readonly headers: HeadersLike
  readonly time: number
}
interface StreamDouble {
  readonly created: string
  readonly retention: string
  readonly prefix: string
  readonly messages: Map<number, Stored>
  readonly ids: Map<string, { readonly seq: number; readonly at: number }>
  readonly consumers: Map<string, ConsumerDouble>
  first: number
  last: number
}
interface ConsumerDouble {
  next: number
  deliveries: number
  readonly filter: string | undefined
  readonly acknowledged: Set<number>
}

class ServerError extends Error {
  readonly api_error: { readonly err_code: number }
  constructor(code: number, message: string) {
    super(message)
    this.api_error = { err_code: code }
  }
}

export class JetStreamDouble {
  readonly streams = new Map<string, StreamDouble>()
  /** Of ids. Nothing may depend on it: 0 forgets at once. */
  windowMs = 0
  faults = noFaults
  payloadMax = 1_048_576
  readonly #random: Random
  #made = 0
  /** Counts restarts: what was under way over an older connection is lost. */
  #connection = 0
  isDown = false

  constructor(seed: number) {
    this.#random = randomOf(seed)
  }

  makeStream(name: string, retention = 'limits'): void {
    this.#made += 1
    const created = new Date(1_700_000_000_000 + this.#made).toISOString()
    this.streams.set(name, { created, retention, prefix: `${name.toLowerCase()}.`, messages: new Map(), ids: new Map(), consumers: new Map(), first: 1, last: 0 })
  }

  /** The server ends and comes back: streams and consumers are there, connections are not. */
  restart(): void {
    this.#connection += 1
  }

  removeUpTo(name: string, sequence: number): void {
    const stream = this.streams.get(name)!
    for (let seq = stream.first; seq <= sequence; seq += 1) stream.messages.delete(seq)
    stream.first = sequence + 1
  }

  /** By somebody else. */
  put(subject: string, data: string | Uint8Array): void {
    const stream = this.#streamOf(subject)
    this.#store(stream, subject, typeof data === 'string' ? new TextEncoder().encode(data) : data, new HeadersDouble())
  }

  #store(stream: StreamDouble, subject: string, data: Uint8Array, headers: HeadersLike): number {
    stream.last += 1
    stream.messages.set(stream.last, { seq: stream.last, subject, data, headers, time: Date.now() })
    return stream.last
  }

  #streamOf(subject: string): StreamDouble {
    const found = [...this.streams.values()].find(({ prefix }) => subject.startsWith(prefix))
    if (found === undefined) throw new Error('no responders')
    return found
  }
  #named(name: string): StreamDouble {
    const found = this.streams.get(name)
    if (found === undefined) throw new ServerError(10_059, 'stream not found')
    return found
  }

  async #step(): Promise<void> {
    if (this.faults.delayMs > 0 && this.#random.chance(0.2)) await new Promise((resolve) => setTimeout(resolve, this.#random.fraction() * this.faults.delayMs))
    else await Promise.resolve()
  }

  async #request<T>(answer: () => T): Promise<T> {
    await this.#step()
    if (this.isDown || this.#random.chance(this.faults.failedRequest)) throw new Error('timeout')
    return answer()
  }

  // ── the client ────────────────────────────────────────────────────────────────────────────────────────

  client(): JetStreamLike {
    /** Messages of one connection arrive in their order, unless they are late. */
    let line: Promise<unknown> = Promise.resolve()
    return {
      publish: (subject, data = new Uint8Array(0), options = {}) => {
        const connection = this.#connection
        const { lostMessage, lostAck, lateMessage } = this.faults
        const [isLost, isAckLost, isLate] = [this.#random.chance(lostMessage), this.#random.chance(lostAck), this.#random.chance(lateMessage)]
        if (data.length > this.payloadMax) throw Object.assign(new Error('too long'), { code: 'MAX_PAYLOAD_EXCEEDED' })
        const arrive = async (): Promise<PublishAck> => {
          await this.#step()
          if (this.isDown || connection !== this.#connection || isLost) throw new Error('timeout')
          const ack = this.#take(subject, data, options as never)
          await this.#step()
          if (isAckLost || connection !== this.#connection) throw new Error('timeout')
          return ack
        }
        if (isLate) return new Promise((resolve, reject) => setTimeout(() => arrive().then(resolve, reject), 3))
        const arrived = line.then(arrive)
        line = arrived.catch(() => undefined)
        return arrived
      },
      jetstreamManager: async () => this.#manager(),
      consumers: { get: (stream, name) => this.#request(() => ({ consume: async () => this.#consume(stream, name) })) },
    }
  }

  #take(subject: string, data: Uint8Array, { msgID, headers, expect }: { msgID?: string; headers?: HeadersLike; expect?: { streamName?: string; lastSequence?: number; lastMsgID?: string } }): PublishAck {
    const stream = this.#streamOf(subject)
    const name = [...this.streams].find(([, one]) => one === stream)![0]
    const known = msgID === undefined ? undefined : stream.ids.get(msgID)
    if (known !== undefined && Date.now() - known.at < this.windowMs) return { stream: name, seq: known.seq, duplicate: true }
    if (expect?.streamName !== undefined && expect.streamName !== name) throw new ServerError(10_060, 'expected stream does not match')
    if (expect?.lastSequence !== undefined && expect.lastSequence !== stream.last) throw new ServerError(10_071, `wrong last sequence: ${stream.last}`)
    if (expect?.lastMsgID !== undefined && expect.lastMsgID !== stream.messages.get(stream.last)?.headers.get('Nats-Msg-Id')) throw new ServerError(10_070, 'wrong last msg ID')
    const stored = headers ?? new HeadersDouble()
    if (msgID !== undefined) stored.set('Nats-Msg-Id', msgID)
    const seq = this.#store(stream, subject, data, stored)
    if (msgID !== undefined) stream.ids.set(msgID, { seq, at: Date.now() })
    return { stream: name, seq, duplicate: false }
  }

  #manager(): ManagerLike {
    return {
      streams: {
        info: (name) => this.#request((): StreamInfoLike => {
          const { created, retention, first, last } = this.#named(name)
          return { created, config: { retention }, state: { first_seq: first, last_seq: last } }
        }),
        getMessage: (name, { seq, next_by_subj }) => this.#request((): StoredMessageLike => {
          const { messages } = this.#named(name)
          const found = next_by_subj === undefined ? messages.get(seq) : [...messages.values()].find((message) => message.seq >= seq && isWanted(message, next_by_subj))
          if (found === undefined) throw new ServerError(10_037, 'no message found')
          return { seq: found.seq, header: found.headers }
        }),
      },
      consumers: {
        add: (name, config) => this.#request(() => {
          const { durable_name, opt_start_seq = 1, filter_subject } = config as { durable_name: string; opt_start_seq?: number; filter_subject?: string }
          this.#named(name).consumers.set(durable_name, { next: opt_start_seq, deliveries: 0, filter: filter_subject, acknowledged: new Set() })
        }),
        delete: (name, consumer) => this.#request(() => {
          if (!this.#named(name).consumers.delete(consumer)) throw new ServerError(10_014, 'consumer not found')
        }),
      },
    }
  }

  /** One message at a time, when it is asked for. */
  #consume(name: string, consumer: string): MessagesLike {
    const stream = this.#named(name)
    const state = stream.consumers.get(consumer)
    const connection = this.#connection
    let isClosed = false
    const isOver = (): boolean => isClosed || connection !== this.#connection || this.isDown || this.streams.get(name) !== stream || stream.consumers.get(consumer) !== state
    const deliver = (seq: number): MessageLike => {
      const { subject, data, headers, time } = stream.messages.get(seq)!
      state!.deliveries += 1
      const ack = (): void => {
        if (isOver() || this.#random.chance(this.faults.lostAck)) return
        state!.acknowledged.add(seq)
        if (stream.retention !== 'workqueue') return
        stream.messages.delete(seq)
        stream.first = Math.min(stream.last + 1, ...stream.messages.keys())
      }
      return { seq, subject, data, headers, info: { deliverySequence: state!.deliveries, timestampNanos: time * 1e6 }, ack }
    }
    const random = this.#random
    const faults = (): Faults => this.faults
    const step = (): Promise<void> => this.#step()
    async function* messages(): AsyncGenerator<MessageLike> {
      while (!isOver()) {
        const old = [...stream.messages.keys()].filter((seq) => seq < state!.next && !state!.acknowledged.has(seq))
        if (random.chance(faults().redelivery) && old.length > 0) {
          yield deliver(random.pick(old))
          continue
        }
        while (state!.next <= stream.last && !isWanted(stream.messages.get(state!.next), state!.filter)) state!.next += 1
        if (state!.next > stream.last) {
          await new Promise((resolve) => setTimeout(resolve, 1))
          continue
        }
        const message = deliver(state!.next)
        state!.next += 1
        await step()
        if (!random.chance(faults().lostDelivery)) yield message
      }
    }
    return Object.assign(messages(), { close: async () => void (isClosed = true) })
  }
}

/** Wildcards at the end only. */
const isWanted = (message: Stored | undefined, filter: string | undefined): boolean =>
  message !== undefined && (filter === undefined || message.subject === filter || (filter.endsWith('.>') && message.subject.startsWith(filter.slice(0, -1))))
