/** Options as they come from users: known names, and signals that are such. */
import { SluiceError } from '../engine/base/errors.js'
import { shown } from './schema/definition.js'
import { isSignal } from './signal.js'

export function checkOptions(what: string, options: unknown, known: ReadonlySet<string>): void {
  if (typeof options !== 'object' || options === null) throw SluiceError.of('INVALID_USE', `The options of ${what} are an object, not ${shown(options)}.`)
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw SluiceError.of('INVALID_USE', `${what} has no option "${name}"; it has ${[...known].join(', ')}.`)
  }
  const { signal } = options as { signal?: unknown }
  if (signal !== undefined && !isSignal(signal)) throw SluiceError.of('INVALID_USE', `The option signal is an AbortSignal, not ${shown(signal)}.`)
}
