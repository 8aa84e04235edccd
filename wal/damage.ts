/** What the log says when bytes are wrong, or not for us: where, what it knows, and what to do. */
import { messageOf, SluiceError } from '../engine/base/errors.js'

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

/**
 * Files of a later version of the package are whole, so this is no damage, and nothing of them is cut or repaired. `what`
 * is the thing that was written: 'log', 'checkpoint'.
 */
export function newerFormat(what: string, format: number, supported: number): SluiceError {
  return SluiceError.of(
    'INVALID_USE',
    `The ${what} was written by a newer sluicedb (format ${format}; this one reads ${supported}): upgrade the package ` +
      'to open it. Nothing is wrong with the files, and nothing was changed.',
    { details: { format, supported } },
  )
}

/** The disk has no room for files that are needed before anything can be written. */
export function diskIsFull(path: string | undefined, cause: unknown): SluiceError {
  const why = messageOf(cause)
  return SluiceError.of(
    'OUT_OF_SPACE',
    `The disk has no room for the database${path === undefined ? '' : ` in ${path}`} (${why}): make room, then open again.`,
    { cause, details: path === undefined ? { disk: true } : { disk: true, path } },
  )
}

/** What the system says when a disk is full, a quota is used up, or a file may not grow any more. */
export function isNoSpace(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
}

export function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT'
}

function codeOf(error: unknown): unknown {
  return (error as { readonly code?: unknown } | null)?.code
}
