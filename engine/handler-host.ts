/**
 * The handlers of a program that run after the commit (`atomic: false`): one queue for each (handler-queue.ts).
 *
 * Where a handler begins: at its cursor. A handler that has none is new to this database; it sees what is emitted from now on, and its
 * cursor is noted, durably, before the database is handed to anybody: what is emitted then cannot be missed after a crash. A handler
 * that was taken out of the application and comes back goes on where it was, as long as the log reaches back so far.
 */
import { decodeCanonical } from './base/canonical.js'
import { ByteReader } from './base/bytes.js'
import type { Engine } from './database.js'
import { HandlerQueue, type HandlerFailure, type HandlerState, noteCursor } from './handler-queue.js'
import { type FollowedLog, followLog, neededAfter } from './log-pump.js'
import { cursorName } from './schema/descriptor.js'
import { cursorId, endOfBatch, type HandlerCursor } from './schema/handler-ids.js'
import { outcomeTableName } from './sequencer/outcome-table.js'
import type { FrameFilter } from './stream/frame-decoder.js'
import type { LogFollower } from './stream/log-follower.js'
import type { LogHold } from '../wal/index.js'

export interface HandlerHostParts extends FollowedLog {
  readonly onFailure: (failure: HandlerFailure) => void
}

export class HandlerHost {
  readonly #queues: readonly HandlerQueue[]

  private constructor(queues: readonly HandlerQueue[]) {
    this.#queues = queues
  }

  /** Notes the cursors of new handlers, then starts all. Undefined where the program has none. */
  static async start(parts: HandlerHostParts): Promise<HandlerHost | undefined> {
    const { engine, onFailure } = parts
    const { handlers } = engine.program
    if (handlers.length === 0) return undefined
    const { procedures } = engine.parts.program
    const ordinalOf = (name: string): number => procedures.findIndex(({ descriptor }) => descriptor.name === name)
    const cursorProcedure = ordinalOf(cursorName)
    const now: HandlerCursor = { batch: engine.durable, index: endOfBatch }
    const known = handlers.map(({ name }) => knownCursor(engine, name))
    await Promise.all(handlers.map(({ name }, n) => (known[n] === undefined ? noteCursor(engine, cursorProcedure, name, now) : undefined)))
    const host = new HandlerHost(
      handlers.map((handler, n) => {
        const follow = (filter: FrameFilter, after: HandlerCursor): LogFollower => followLog(parts, filter, after)
        return new HandlerQueue({ engine, handler, procedure: ordinalOf(handler.name), cursorProcedure, cursor: known[n] ?? now, follow, onFailure })
      }),
    )
    for (const queue of host.#queues) queue.start()
    return host
  }

  get states(): readonly HandlerState[] {
    return this.#queues.map((queue) => queue.state)
  }

  /** What each has seen and noted: the log is kept from there (R60). */
  get held(): readonly LogHold[] {
    return this.#queues.map(({ name, cursor }) => ({ name, batch: neededAfter(cursor), isUnbounded: true }))
  }

  /** Nothing new is handed in; what is in flight ends. */
  close(): void {
    for (const queue of this.#queues) queue.close()
  }
}

/** The cursor that is durable, if there is one, with its mark. */
export function knownCursor(engine: Engine, handler: string): (HandlerCursor & { readonly mark: string | undefined }) | undefined {
  const { store } = engine.parts
  const table = store.tables.find((one) => one.name === outcomeTableName)!
  const found = engine.reading().get(table, cursorId(handler)) as { readonly value: Uint8Array } | undefined
  if (found === undefined) return undefined
  const [batch, index, mark] = decodeCanonical(new ByteReader(found.value)) as readonly [number, number, string?]
  return { batch, index, mark }
}
