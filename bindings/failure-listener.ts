/** Who hears of events that a handler could not handle. */
import { warn } from '../engine/base/environment-node.js'
import type { HandlerFailure as EngineFailure } from '../engine/index.js'
import type { HandlerFailure } from './handler-failure.js'
import { formatPosition } from './position.js'

/**
 * Hands failures to the user's function, or says them as a warning of the process, once for each handler. What the function throws is a
 * warning too: it must not stop the others.
 */
export function failureListener(listener: ((failure: HandlerFailure) => void) | undefined): (failure: EngineFailure) => void {
  const warned = new Set<string>()
  const say = (handler: string, message: string): void => {
    if (warned.has(handler)) return
    warned.add(handler)
    warn('HANDLER', message)
  }
  return ({ handler, batch, index, event, error }) => {
    const position = formatPosition(batch, index)
    if (listener === undefined) {
      say(handler, `Handler "${handler}" could not handle the event at ${position}: ${error.code}, ${error.message} It goes on with the next one; db.stats().handlers counts them, and onHandlerError of open() hears of each.`)
      return
    }
    try {
      listener({ handler, event: { ...event, position }, error })
    } catch (thrown) {
      say(handler, `onHandlerError threw: ${thrown instanceof Error ? thrown.message : typeof thrown}`)
    }
  }
}
