/**
 * What bridges need of a client of NATS, as shapes: the package `nats` (2.x) and its successor (`@nats-io/jetstream`) have them, and
 * this package depends on neither.
 */

/** What `headers()` of the client answers. */
export interface HeadersLike {
  get(name: string): string
  set(name: string, value: string): void
  keys(): string[]
}

export interface PublishAck {
  readonly stream: string
  readonly seq: number
  readonly duplicate: boolean
}

export interface StreamInfoLike {
  readonly created: string
  readonly config: { readonly retention: string }
  readonly state: { readonly first_seq: number; readonly last_seq: number }
}

export interface StoredMessageLike {
  readonly seq: number
  readonly header: { get(name: string): string } | undefined
}

export interface ManagerLike {
  readonly streams: {
    info(stream: string): Promise<StreamInfoLike>
    getMessage(stream: string, query: { readonly seq: number; readonly next_by_subj?: string }): Promise<StoredMessageLike | null>
  }
  readonly consumers: {
    add(stream: string, config: object): Promise<unknown>
    delete(stream: string, consumer: string): Promise<unknown>
  }
}

export interface MessageLike {
  readonly seq: number
  readonly subject: string
  readonly data: Uint8Array
  readonly headers?: HeadersLike | undefined
  readonly info: { readonly deliverySequence: number; readonly timestampNanos: number }
  ack(): void
}

export interface MessagesLike extends AsyncIterable<MessageLike> {
  close(): Promise<unknown>
}

/** A client of JetStream: `connection.jetstream()`, or `jetstream(connection)` of the successor. */
export interface JetStreamLike {
  publish(subject: string, data?: Uint8Array, options?: object): Promise<PublishAck>
  jetstreamManager(checkAPI?: boolean): Promise<ManagerLike>
  readonly consumers: {
    get(stream: string, name: string): Promise<{ consume(options?: object): Promise<MessagesLike> }>
  }
}
