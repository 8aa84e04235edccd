/** What the log says when bytes are wrong: where, what it knows, and what to do. */
import { SluiceError } from '../engine/base/errors.js'

export interface LogDamage {
  readonly segment: number
  /** In the segment file, of the first byte that is not understood. */
  readonly offset: number
  /** The newest batch before the damage. */
  readonly batch: number
  /** The newest batch that is known to have been durable: what lies between the two is lost. */
  readonly durableUpTo: number
  readonly why: string
}

export function logCorrupt(damage: LogDamage): SluiceError {
  const { segment, offset, batch, durableUpTo, why } = damage
  return SluiceError.of(
    'LOG_CORRUPT',
    `The log is damaged in segment ${segment} at byte ${offset}: ${why}. Batches up to ${batch} are whole, ` +
      `durable were those up to ${durableUpTo}. Nothing was changed. Restore the files from a copy, or read what is ` +
      'whole with a salvage.',
    { details: { ...damage } },
  )
}

/** A body that does not hold together although its checksum is right, or that was not written by us. */
export function bodyCorrupt(why: string): SluiceError {
  return SluiceError.of(
    'LOG_CORRUPT',
    `The body of a frame is not well formed: ${why}. Restore the log from a copy, or read it with the version that ` +
      'wrote it.',
    { details: { why } },
  )
}
