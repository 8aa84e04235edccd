/**
 * The `ts` blocks of docs/api.md, by the file each names in its first line; blocks that name the same file
 * are one file.
 */

export function examplesOf(page: string): ReadonlyMap<string, string> {
  const files = new Map<string, { imports: string; body: string }>()
  for (const [, code = ''] of page.matchAll(/^```ts\n(.*?)^```$/gms)) {
    const name = /^\/\/ ([\w-]+\.ts)/.exec(code)?.[1]
    if (name === undefined) throw new Error(`a block without the name of its file:\n${code.slice(0, 120)}`)
    const file = files.get(name) ?? { imports: '', body: '' }
    for (const line of code.split('\n')) {
      if (line.startsWith('import ')) file.imports += `${line}\n`
      else file.body += `${line}\n`
    }
    files.set(name, file)
  }
  return new Map([...files].map(([name, { imports, body }]) => [name, imports + body]))
}

/** What the examples take from the application's own code. */
export const elsewhere = `
interface Signal {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}
export declare const signal: Signal
export declare function fetchNote(owner: string): Promise<string>
export declare function sendMail(to: string, options: { key: string; signal: Signal }): Promise<void>
export declare const psp: {
  charge(order: number, options: { key: string; signal: Signal }): Promise<{ receipt: string }>
}

// As the package nats 2.29 declares them, as far as it matters.
declare enum AckPolicy { Explicit = 'explicit' }
type Match = 'exact' | 'CanonicalMIME' | 'IgnoreCase'
interface MsgHdrs extends Iterable<[string, string[]]> {
  readonly code: number
  get(k: string, match?: Match): string
  set(k: string, v: string, match?: Match): void
  keys(): string[]
}
interface JsMsg {
  redelivered: boolean
  info: { stream: string; consumer: string; streamSequence: number; deliverySequence: number; timestampNanos: number; pending: number }
  seq: number
  headers: MsgHdrs | undefined
  data: Uint8Array
  subject: string
  ack(): void
}
interface ConsumerMessages extends AsyncIterable<JsMsg> { close(): Promise<void | Error> }
interface Consumer { consume(opts?: Partial<{ max_messages: number; expires: number; abort_on_missing_resource: boolean }>): Promise<ConsumerMessages> }
interface JetStreamManager {
  streams: {
    info(name: string, data?: Partial<{ deleted_details: boolean }>): Promise<{ created: string; config: { name: string; retention: 'limits' | 'interest' }; state: { messages: number; first_seq: number; last_seq: number } }>
    getMessage(stream: string, query: { seq: number } | { last_by_subj: string }): Promise<{ subject: string; seq: number; header: MsgHdrs; data: Uint8Array }>
  }
  consumers: {
    add(stream: string, cfg: Partial<{ durable_name: string; ack_policy: AckPolicy; opt_start_seq: number }>): Promise<{ name: string }>
    delete(stream: string, consumer: string): Promise<boolean>
  }
}
interface JetStreamClient {
  publish(subj: string, payload?: Uint8Array | string, options?: Partial<{ msgID: string; timeout: number; headers: MsgHdrs; expect: Partial<{ lastMsgID: string; streamName: string; lastSequence: number }> }>): Promise<{ stream: string; domain?: string; seq: number; duplicate: boolean }>
  consumers: { get(stream: string, name?: string | Partial<{ opt_start_seq: number }>): Promise<Consumer> }
  jetstreamManager(checkAPI?: boolean): Promise<JetStreamManager>
}
export declare const jetstream: JetStreamClient
export declare function headers(code?: number, description?: string): MsgHdrs
`
