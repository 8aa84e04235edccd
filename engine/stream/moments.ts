/** Moments of the log: the last record of a batch, and the last record before a time. The newest part stands in memory, the rest in files. */
import { FrameBodyReader, lastFrameBefore, startsOf } from '../../wal/index.js'
import { type DatabaseFiles, logOf } from './log-follower.js'

/** The last record of a batch. */
export interface LogMoment {
  readonly batch: number
  readonly index: number
  readonly time: number
}

/** The newest batch with a frame in the files that is not after `batch`. `upTo`: a durable batch whose frame is in the files. `goOn` throws when whoever asked has given up. */
export function lastAtBatch(disk: DatabaseFiles, batch: number, upTo: number, goOn?: () => void): Promise<LogMoment | undefined> {
  return lastIn(disk, upTo, (body) => body.batch > batch, goOn)
}

/** The same for a time. */
export function lastAtTime(disk: DatabaseFiles, ms: number, upTo: number, goOn?: () => void): Promise<LogMoment | undefined> {
  return lastIn(disk, upTo, (body) => body.now > ms, goOn)
}

/** The batches behind which the files of the log begin. */
export const startsInLog = (disk: DatabaseFiles): number[] => startsOf(logOf(disk))

async function lastIn(disk: DatabaseFiles, upTo: number, isAfter: (body: FrameBodyReader) => boolean, goOn: (() => void) | undefined): Promise<LogMoment | undefined> {
  const found = await lastFrameBefore(logOf(disk), { databaseId: disk.databaseId, upTo, isAfter: (body) => isAfter(new FrameBodyReader(body)), goOn })
  if (found === undefined) return undefined
  const { batch, now, transactionCount } = new FrameBodyReader(found)
  return { batch, index: Math.max(0, transactionCount - 1), time: now }
}
