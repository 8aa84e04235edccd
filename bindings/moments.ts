/** What a user names a moment by, position or Date, as a place in the log of one database. */
import { SluiceError } from '../engine/base/errors.js'
import { lastAtBatch, lastAtTime, type LogMoment, oldestInLog, type OpenEngine } from '../engine/index.js'
import { formatPosition, inPositions, positionParts } from './position.js'
import { shown } from './schema/definition.js'
import { mustNotBeAborted, type SignalLike } from './signal.js'

export type Moment = LogMoment

/** No batch of a log has this number or a smaller one. */
export const beforeAll = 1

export class Moments {
  readonly #open: OpenEngine

  constructor(open: OpenEngine) {
    this.#open = open
  }

  /** The end of the newest durable batch. */
  get now(): Moment {
    return this.endOf(this.#open.engine.durable)
  }

  /** The end of a batch: where it stands in the log, and when it was. */
  endOf(batch: number): Moment {
    const { engine, origin } = this.#open
    const known = engine.momentOf(batch)
    if (known.batch === 0 && origin?.batch === batch) return origin
    return { batch, index: Math.max(0, known.records - 1), time: known.time }
  }

  /** `what`: who asks. A position is the end of its batch; a Date is the last batch that is not after it. `signal` ends the reading of files. */
  find(what: string, moment: unknown, signal?: SignalLike): Moment | Promise<Moment> {
    const { engine } = this.#open
    if (moment instanceof Date) {
      if (Number.isNaN(moment.getTime())) throw SluiceError.of('INVALID_USE', `${what} was given an invalid Date.`)
      return this.lastBefore(moment.getTime(), () => mustNotBeAborted(what, signal))
    }
    const parts = positionParts(moment)
    if (parts === undefined) throw SluiceError.of('INVALID_USE', `${what} takes a Position or a Date, not ${shown(moment)}.`)
    // Of a call that has recorded nothing, before anything was.
    if (parts.batch < beforeAll) return { batch: beforeAll, index: 0, time: 0 }
    if (parts.batch > engine.durable) throw SluiceError.of('INVALID_USE', `${what} was asked for a position that this database has not reached.`)
    const known = engine.momentOf(parts.batch)
    return known.batch === parts.batch ? { batch: known.batch, index: Math.max(0, known.records - 1), time: known.time } : this.#endInFiles(parts, () => mustNotBeAborted(what, signal))
  }

  async #endInFiles(parts: { readonly batch: number; readonly index: number }, goOn: () => void): Promise<Moment> {
    const { disk } = this.#open
    if (disk === undefined || parts.batch <= beforeAll) return { ...parts, time: 0 }
    const end = await inPositions(lastAtBatch(disk, parts.batch, this.#framesUpTo, goOn))
    return end?.batch === parts.batch ? end : { ...parts, time: end?.time ?? 0 }
  }

  /** The last batch whose time is not after a moment. `goOn` throws when whoever asked has given up. */
  async lastBefore(ms: number, goOn: () => void): Promise<Moment> {
    const { engine, disk } = this.#open
    const { batch, records, time } = engine.frames.lastAt(ms, engine.durable)
    if (batch > 0) return { batch, index: Math.max(0, records - 1), time }
    const found = disk === undefined ? undefined : await inPositions(lastAtTime(disk, ms, this.#framesUpTo, goOn))
    if (found !== undefined) return found
    const start = this.oldestBatch
    if (start <= beforeAll) return { batch: beforeAll, index: 0, time: 0 }
    const why = disk === undefined ? 'a database without a path has the newest frames only: open it with a path' : 'retention has removed what was before: keep more of the log'
    throw SluiceError.of('HISTORY_GONE', `That moment is before position ${formatPosition(start, 0)}, where the log begins, for ${why}.`, { details: { oldest: formatPosition(start, 0) } })
  }

  /** The batch before the oldest one that can still be read. */
  get oldestBatch(): number {
    const { engine, disk, origin } = this.#open
    if (disk !== undefined) return Math.max(beforeAll, oldestInLog(disk))
    const { frames } = engine.parts
    return Math.max(beforeAll, frames.read(frames.tail, frames.publishedHead)?.previous ?? origin?.batch ?? beforeAll)
  }

  /** A durable batch whose frame is in the files. */
  get #framesUpTo(): number {
    const { engine } = this.#open
    return Math.min(engine.durable, engine.parts.control.written)
  }
}
