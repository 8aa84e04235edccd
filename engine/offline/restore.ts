/**
 * `sluice restore`: any moment that the files still know, as a database of its own.
 *
 * A moment is known when the log reaches up to it from its beginning, or from a whole checkpoint that is not newer. Where the log has been
 * compacted, it begins behind that. In the middle of a migration there is no moment: it is there as a whole or not at all. Files of which
 * an erasure is not through hold none.
 */
import { SluiceError } from '../base/errors.js'
import { FrameBodyReader } from '../../wal/index.js'
import { checkpointSetOf, type OfflineCheckpoint, OfflineCheckpoints } from './checkpoints.js'
import { copyDatabase } from './copy-database.js'
import { type LogEnd, walkLog } from './log-walk.js'
import { isAfter, type Moment } from './moment.js'
import type { Source } from './source.js'
import type { OnProgress } from './verify.js'

/** The last record of a state. */
export interface StatePlace {
  readonly batch: number
  readonly index: number
  readonly time: number
}

export interface RestoreReport extends StatePlace {
  readonly path: string
  readonly bytes: number
  readonly checkpoints: number
}

export async function restoreDatabase(source: Source, target: string, to: Moment | undefined, onProgress: OnProgress): Promise<RestoreReport> {
  source.mustNotBeHalfErased()
  const found = findMoment(source, to, onProgress)
  const { databaseId } = found.end
  if (databaseId === undefined) throw historyGone('the log is empty', undefined)
  const checkpoints = OfflineCheckpoints.read(source, databaseId)
  let place: StatePlace
  try {
    place = reach(found, to, checkpoints.whole)
  } finally {
    await checkpoints.close()
  }
  const copied = await copyDatabase({
    log: source.log,
    checkpoints: checkpointSetOf(source, databaseId),
    databaseId,
    to: target,
    upTo: place.batch,
    knownDurable: place.batch,
    onProgress,
  })
  return { path: copied.path, bytes: copied.bytes, checkpoints: copied.checkpoints, ...place }
}

interface Found {
  readonly first: StatePlace | undefined
  /** The last frame of the log at or before the moment. */
  readonly last: StatePlace | undefined
  readonly end: LogEnd
  /** The log has frames behind the moment. */
  readonly goesOn: boolean
}

function findMoment(source: Source, to: Moment | undefined, onProgress: OnProgress): Found {
  let first: StatePlace | undefined
  let last: StatePlace | undefined
  let goesOn = false
  let migration: { readonly end: number; readonly before: StatePlace | undefined } | undefined
  const parts = walkLog(source.log)
  for (let step = parts.next(); ; step = parts.next()) {
    if (step.done === true) return { first, last, end: step.value, goesOn }
    const part = step.value
    if (part.groupEnd !== undefined && part.groupEnd !== migration?.end) migration = { end: part.groupEnd, before: last }
    if (part.kind !== 'frame' || goesOn) continue
    onProgress('looking for the moment', part.share)
    const body = new FrameBodyReader(part.body)
    const here = { batch: part.batch, index: Math.max(0, body.transactionCount - 1), time: body.now }
    first ??= here
    if (to === undefined || !isAfter(to, part.batch, body.now)) last = here
    else {
      goesOn = true
      if (migration !== undefined && part.batch <= migration.end) last = migration.before
    }
  }
}

/** The place of the state, when the files reach it. */
function reach({ first, last, end, goesOn }: Found, to: Moment | undefined, whole: readonly OfflineCheckpoint[]): StatePlace {
  const after = Math.max(end.after, end.compactedUpTo)
  if (to?.kind === 'position' && !goesOn && to.batch > Math.max(end.batch, ...whole.map((one) => one.batch))) {
    if (end.damage !== undefined) throw damaged(end)
    throw SluiceError.of('INVALID_USE', `The database has not reached that position: its log ends with batch ${end.batch}.`, { details: { batch: to.batch, newest: end.batch } })
  }
  if (!goesOn && end.damage !== undefined && (to === undefined || to.kind === 'time' || to.batch > end.batch)) throw damaged(end)

  // Without older segments a state begins with a checkpoint: one that the log goes on from, and that is not newer.
  const usable = whole.filter((one) => one.batch >= after && (to === undefined || !isAfter(to, one.batch, one.now)))
  const base = usable.reduce<OfflineCheckpoint | undefined>((best, one) => (best === undefined || one.batch > best.batch ? one : best), undefined)
  if (last !== undefined && (after === 0 || base !== undefined)) return last.batch >= (base?.batch ?? 0) ? last : placeOf(base!)
  if (base !== undefined) return placeOf(base)
  if (after === 0) throw historyGone('the first commit is later', first)
  const oldest = whole.filter((one) => one.batch >= after).sort((a, b) => a.batch - b.batch)[0]
  throw historyGone('older segments of the log have left, or were compacted', oldest && placeOf(oldest))
}

/** How many records its last batch had is in a frame that has left: the position names the batch. */
const placeOf = ({ batch, now }: OfflineCheckpoint): StatePlace => ({ batch, index: 0, time: now })

function historyGone(why: string, oldest: StatePlace | undefined): SluiceError {
  const can = oldest === undefined ? 'There is no moment to go back to' : `The oldest moment to go back to is batch ${oldest.batch}, ${new Date(oldest.time).toISOString()}`
  return SluiceError.of('HISTORY_GONE', `That moment is not in the files any more: ${why}. ${can}.`, {
    details: oldest === undefined ? {} : { oldest: oldest.batch, oldestTime: oldest.time, oldestIndex: oldest.index },
  })
}

function damaged({ segment, offset, batch, damage }: LogEnd): SluiceError {
  return SluiceError.of(
    'LOG_CORRUPT',
    `The log is damaged before that moment, in segment ${segment} at byte ${offset}: ${damage?.why ?? ''}. Whole are the batches up to ` +
      `${batch}: restore to one of them, or see what sluice salvage can read.`,
    { details: { segment, offset, batch, durableUpTo: damage?.durableUpTo } },
  )
}
