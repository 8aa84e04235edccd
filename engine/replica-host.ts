/** The replicas of a program that hold rows of their own: one follower of the log for each (replica-follower.ts). */
import { knownCursor } from './handler-host.js'
import { type FollowedLog, followLog } from './log-pump.js'
import { ReplicaFollower, type ReplicaState } from './replica-follower.js'
import { generationOf } from './schema/catalog.js'
import { cursorName, replicateName } from './schema/descriptor.js'
import { endOfBatch } from './schema/handler-ids.js'
import { isCopied, replicaCursorName } from './schema/replica-tables.js'
import type { LogFollower } from './stream/log-follower.js'

export class ReplicaHost {
  readonly #followers: readonly ReplicaFollower[]

  /** Starts them. Those that have no cursor are filled first, while calls go on. */
  constructor(parts: FollowedLog) {
    const { engine, catalog } = parts
    const { procedures } = engine.parts.program
    const ordinalOf = (name: string): number => procedures.findIndex(({ descriptor }) => descriptor.name === name)
    const follow = (table: string, batch: number): LogFollower =>
      followLog(parts, { tables: new Set([table]), events: new Set(), outcomes: false }, { batch, index: endOfBatch })
    this.#followers = (engine.program.replicas ?? []).flatMap((replica, ordinal) => {
      if (!isCopied(replica)) return []
      const logged = catalog.tables.find(({ name }) => name === replica.descriptor.name)!
      const noted = replicaCursorName(replica, engine.program, generationOf(logged))
      const cursor = knownCursor(engine, noted)?.batch
      return [new ReplicaFollower({ engine, replica, ordinal, procedure: ordinalOf(replicateName), cursorProcedure: ordinalOf(cursorName), cursorName: noted, cursor, follow })]
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
