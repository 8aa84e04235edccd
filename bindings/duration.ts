/** Durations as options have them: milliseconds, or text such as '10m'. */
import { SluiceError } from '../engine/base/errors.js'
import { shown } from './schema/definition.js'

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

export function durationMs(name: string, duration: unknown): number {
  if (typeof duration === 'number' && duration >= 0 && Number.isFinite(duration)) return duration
  const match = typeof duration === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration) : null
  if (match === null) throw SluiceError.of('INVALID_USE', `The option ${name} is milliseconds or text such as '10m', not ${shown(duration)}.`)
  return Number(match[1]) * unitMs[match[2]!]!
}
