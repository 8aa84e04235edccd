/** What bridges to other logs (bindings/nats) take of a database, beyond what users have. Not part of the contract. */
import { type AbortLike, cursorName, type HandlerCursor, knownCursor, noteCursor, type OpenEngine, type Program } from '../engine/index.js'
import { SluiceError } from '../engine/base/errors.js'
import type { CommitStream } from './stream.js'

/** Bridges find it on a database by this. */
export const bridgeKey = Symbol.for('sluicedb.bridge')

export interface BridgeParts {
  readonly open: OpenEngine
  readonly program: Program
  /** The place behind which a stream begins; index -1: behind all of the batch. */
  readonly startOf: (from: unknown) => { readonly batch: number; readonly index: number }
  /** As `db.changes(options)`, with transactions as the engine has them (`DecodedTransaction`). */
  readonly stream: (options: Readonly<Record<string, unknown>>) => CommitStream<unknown>
}

export function bridgePartsOf(db: unknown, what: string): BridgeParts {
  const parts = typeof db === 'object' && db !== null ? (db as Readonly<Record<symbol, BridgeParts | undefined>>)[bridgeKey] : undefined
  if (parts === undefined) throw SluiceError.of('INVALID_USE', `${what} takes an open database first, what open() answered.`)
  parts.open.engine.mustBeOpen()
  return parts
}

/** A cursor of a bridge: a place that moves, and a mark, kept by the database as those of handlers are. */
export class BridgeCursor {
  readonly #open: OpenEngine
  readonly #procedure: number
  readonly name: string

  constructor({ open }: BridgeParts, name: string) {
    this.#open = open
    this.#procedure = open.engine.parts.program.procedures.findIndex(({ descriptor }) => descriptor.name === cursorName)
    this.name = name
  }

  get known(): (HandlerCursor & { readonly mark: string | undefined }) | undefined {
    return knownCursor(this.#open.engine, this.name)
  }

  /** Resolves when it is durable. */
  move(to: HandlerCursor, mark: string): Promise<void> {
    return noteCursor(this.#open.engine, this.#procedure, this.name, to, mark)
  }
}

/** Rejects nothing: resolves after a time, or when the signal is aborted. */
export function pause({ open }: BridgeParts, ms: number, signal: AbortLike): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const end = (): void => {
      cancel()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const cancel = open.engine.environment.later(ms, end)
    signal.addEventListener('abort', end)
  })
}
