/** The replicas of a program that hold rows of their own: one follower of the log for each (replica-follower.ts). */
import type { Engine } from './database.js'
import { knownCursor } from './handler-host.js'
import { ReplicaFollower, type ReplicaState } from './replica-follower.js'
import type { LoggedCatalog } from './schema/catalog.js'
import { cursorName, replicateName } from './schema/descriptor.js'
import { isCopied, replicaCursorName } from './schema/replica-tables.js'
import { type DatabaseFiles, LogFollower } from './stream/log-follower.js'

export interface ReplicaHostParts {
  readonly engine: Engine
  readonly catalog: LoggedCatalog
  readonly disk: DatabaseFiles | undefined
}

export class ReplicaHost {
  readonly #followers: readonly ReplicaFollower[]

  /** Starts them. Those that have no cursor are filled first, while calls go on. */
  constructor({ engine, catalog, disk }: ReplicaHostParts) {
    const { procedures } = engine.parts.program
    const ordinalOf = (name: string): number => procedures.findIndex(({ descriptor }) => descriptor.name === name)
    const follow = (table: string, afterBatch: number): LogFollower =>
      new LogFollower({
        frames: engine.parts.frames,
        catalog,
        disk,
        durable: () => engine.durable,
        written: () => engine.parts.control.written,
        filter: { tables: new Set([table]), events: new Set(), outcomes: false },
        afterBatch,
        afterIndex: -1,
      })
    this.#followers = (engine.program.replicas ?? []).flatMap((replica, ordinal) => {
      if (!isCopied(replica)) return []
      const cursor = knownCursor(engine, replicaCursorName(replica, engine.program))?.batch
      return [new ReplicaFollower({ engine, replica, ordinal, procedure: ordinalOf(replicateName), cursorProcedure: ordinalOf(cursorName), cursor, follow })]
    })
    for (const follower of this.#followers) follower.start()
  }

  get states(): readonly ReplicaState[] {
    return this.#followers.map((follower) => follower.state)
  }

  /** Nothing new is handed in; what is in flight ends. */
  close(): void {
    for (const follower of this.#followers) follower.close()
  }
}
