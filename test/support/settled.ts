/** Waits for the handlers that run after the commit. */
import type { Database } from 'sluicedb'
import { until } from './fixture.js'

/** Every handler has seen everything that is durable, what other handlers announced included. */
export async function settled(db: Database): Promise<void> {
  let quiet = 0
  await until(() => {
    quiet = db.stats().handlers.every(({ isBehind }) => !isBehind) ? quiet + 1 : 0
    return quiet > 3 // what one announced the other may only now come to
  }, 'all handlers are at the end of the log')
}
