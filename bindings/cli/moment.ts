/** Moments as people type them: a position, or a time. */
import type { Moment } from '../../engine/index.js'
import { positionParts } from '../position.js'
import { UsageError } from './arguments.js'

/** An ISO date or time with its zone; without one it is UTC, so that a command means the same on every machine. */
const timePattern = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(Z|[+-]\d\d:?\d\d)?)?$/

export function momentOption(option: string, text: string | undefined): Moment | undefined {
  if (text === undefined) return undefined
  const parts = positionParts(text)
  if (parts !== undefined) return { kind: 'position', ...parts }
  const match = timePattern.exec(text)
  const ms = match === null ? Number.NaN : Date.parse(zoned(text, match[1]))
  if (!Number.isNaN(ms)) return { kind: 'time', ms }
  throw new UsageError(
    `--${option} is a position (16 and 8 hexadecimal digits, as sluice log prints them) or a time ` +
      `such as 2026-01-31T12:00:00Z, not "${text}"`,
  )
}

function zoned(text: string, zone: string | undefined): string {
  const iso = text.replace(' ', 'T')
  return zone === undefined && iso.includes('T') ? `${iso}Z` : iso
}

export const timeText = (ms: number): string => (ms > 0 && ms <= 8.64e15 ? new Date(ms).toISOString() : 'at no known time')
