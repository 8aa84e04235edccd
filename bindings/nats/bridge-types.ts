/** What users hold of a bridge. Apart from what it is made of, for their compiler must not reach the engine. */
import type { Position } from '../position.js'

/** `'waiting'`: it tries again after a pause. `'stopped'`: for good, see `lastError`. */
export type BridgeStatus = 'running' | 'waiting' | 'stopped' | 'closed'

export interface PublisherState {
  readonly name: string
  readonly stream: string
  readonly status: BridgeStatus
  /** Of everything up to here the server has acknowledged the messages. */
  readonly position: Position
  /** There is something durable that is not acknowledged. */
  readonly isBehind: boolean
  /** How much older what was acknowledged is than the newest batch. */
  readonly lagMs: number
  /** Messages that were acknowledged, and of those how many the server knew already. */
  readonly published: number
  readonly repeated: number
  readonly inFlight: number
  /** Sessions that began anew: after a failure, or behind a message of somebody else. */
  readonly restarts: number
  /** Why it waits or has stopped; undefined when something was done since. */
  readonly lastError: Error | undefined
}

/** A publisher that runs. `using`, `close()` and its signal end it. */
export interface Publisher extends AsyncDisposable {
  inspect(): PublisherState
  /** Resolves when it was closed, rejects with why it has stopped for good. */
  readonly ended: Promise<void>
  /** Waits for what is in flight, notes how far it has come. */
  close(): Promise<void>
}

/** A message as it is handed to `input`, `key` and `onRefused`. */
export interface IngestedMessage {
  readonly stream: string
  readonly subject: string
  /** In the stream. */
  readonly sequence: number
  /** When the server stored it, in milliseconds since the epoch. */
  readonly time: number
  readonly data: Uint8Array
  /** The value of a header, `''` where there is none. */
  header(name: string): string
  /** The data as JSON; throws where they are none. */
  json(): unknown
}

export interface IngesterState {
  readonly name: string
  readonly stream: string
  readonly status: BridgeStatus
  /** Every message up to this sequence is done, durably. */
  readonly sequence: number
  /** Messages between it and the end of the stream, at the last look; for a moment also those that the filter leaves out. */
  readonly lag: number
  readonly handled: number
  /** Calls whose outcome was known from before. */
  readonly repeated: number
  /** Passed over: `input` answered undefined, or this database has published them. */
  readonly skipped: number
  /** Given to `onRefused`. */
  readonly refused: number
  /** Tries after the first. */
  readonly retried: number
  readonly inFlight: number
  readonly restarts: number
  readonly lastError: Error | undefined
}

/** An ingestion that runs. `using`, `close()` and its signal end it. */
export interface Ingester extends AsyncDisposable {
  inspect(): IngesterState
  /** Resolves when it was closed, rejects with why it has stopped for good. */
  readonly ended: Promise<void>
  /** Takes nothing more, waits for the calls in flight, notes how far it has come. */
  close(): Promise<void>
}
