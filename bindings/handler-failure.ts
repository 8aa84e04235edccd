/** Events that a handler without `atomic: true` could not handle. */
import type { SluiceError } from '../engine/base/errors.js'
import type { AnyEvent } from './service/event.js'

/** An event that a handler has refused for good: its transaction had no effect, and the handler goes on with the next event. */
export interface HandlerFailure {
  /** The full name of the handler: `'bank.note'`. */
  readonly handler: string
  readonly event: Omit<AnyEvent, 'time'>
  /** What the handler's transaction ended with. */
  readonly error: SluiceError
}
