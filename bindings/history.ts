/**
 * `db.history`: the versions of one row, from the log.
 *
 * Forwards it is one pass. In reverse the log is read in windows, the newest first: a thousand frames of the ring, or a file; of a window the newest
 * versions are kept, as many as fit, and where there are more the window is read once more up to the oldest one that was kept. So memory is
 * bounded by `limits.historyVersionsMax` either way, and a limit ends the reading early.
 */
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { type DecodedTransaction, enginePrefix, LogFollower, type OpenEngine, startsInLog, type TableStore, transactName } from '../engine/index.js'
import { beforeAll, type Moment, type Moments } from './moments.js'
import { formatPosition, indexMax, inPositions, positionParts } from './position.js'
import { shown } from './schema/definition.js'
import type { SignalLike } from './signal.js'
import type { History, HistoryOptions, RowVersion } from './time-types.js'

const historyOptions = new Set(['from', 'to', 'limit', 'reverse', 'signal'])

type AnyVersion = RowVersion<Readonly<Record<string, unknown>>>
type Place = Pick<Moment, 'batch' | 'index'>

/** Records behind `after`, up to `last`, itself included. */
interface Window {
  readonly after: Place
  readonly last: Place
}

export class RowHistory implements History<Readonly<Record<string, unknown>>> {
  readonly oldest: History<unknown>['oldest']
  readonly #open: OpenEngine
  readonly #moments: Moments
  readonly #table: string
  readonly #key: readonly unknown[]
  readonly #options: HistoryOptions
  readonly #newest: Place
  readonly #start: number

  constructor(open: OpenEngine, moments: Moments, table: TableStore, key: unknown, options: HistoryOptions) {
    checkOptions(options)
    table.key.set(key)
    this.#key = [...table.key.values]
    this.#open = open
    this.#moments = moments
    this.#table = table.name
    this.#options = options
    this.#newest = { batch: open.engine.durable, index: indexMax }
    this.#start = Math.max(moments.oldestBatch, this.#compactedUpTo)
    const asked = positionParts(options.from)
    const isWhole = this.#start <= beforeAll || (asked !== undefined && asked.batch > this.#start)
    this.oldest = isWhole ? undefined : formatPosition(this.#start, indexMax)
  }

  [Symbol.asyncIterator](): AsyncIterator<AnyVersion> {
    return this.#versions()
  }

  async *#versions(): AsyncGenerator<AnyVersion, void, void> {
    const { limit = Infinity, reverse = false } = this.#options
    const first = await this.#firstWanted()
    const last = await this.#lastWanted()
    if (last.batch <= this.#start && this.oldest !== undefined) throw gone(this.oldest)
    if (limit === 0) return
    let left = limit
    if (!reverse) {
      for await (const version of this.#read({ after: first, last })) {
        yield version
        left -= 1
        if (left === 0) return
      }
      return
    }
    for (const window of this.#windows(first, last)) {
      for await (const version of this.#backwards(window)) {
        yield version
        left -= 1
        if (left === 0) return
      }
    }
  }

  /** Everything behind it counts. */
  async #firstWanted(): Promise<Place> {
    const { from } = this.#options
    const start = { batch: this.#start, index: -1 }
    if (from === undefined) return start
    const parts = positionParts(from)
    if (parts !== undefined) return parts.batch <= this.#start ? start : parts.index === 0 ? { batch: parts.batch - 1, index: indexMax } : { batch: parts.batch, index: parts.index - 1 }
    // The last batch that is before that millisecond.
    const before = await this.#moments.lastBefore((from as Date).getTime() - 1, this.#goOn).catch((error: unknown) => {
      if (!SluiceError.is(error, 'HISTORY_GONE')) throw error
      return start
    })
    return { batch: Math.max(this.#start, before.batch), index: indexMax }
  }

  async #lastWanted(): Promise<Place> {
    const { to } = this.#options
    if (to === undefined) return this.#newest
    const parts = positionParts(to)
    if (parts !== undefined) return parts.batch > this.#newest.batch ? this.#newest : parts
    const { batch } = await this.#moments.lastBefore((to as Date).getTime(), this.#goOn)
    return { batch, index: indexMax }
  }

  #windows(first: Place, last: Place): Window[] {
    const { disk, engine } = this.#open
    const all = new Set([...(disk === undefined ? [] : startsInLog(disk)), ...engine.frames.borders()])
    const borders = [...all].filter((batch) => batch > first.batch && batch < last.batch).sort((a, b) => a - b)
    const starts: Place[] = [first, ...borders.map((batch) => ({ batch, index: indexMax }))]
    return starts.map((after, n) => ({ after, last: starts[n + 1] ?? last })).reverse()
  }

  async *#backwards(window: Window): AsyncGenerator<AnyVersion, void, void> {
    for (let { last } = window; ; ) {
      const kept: AnyVersion[] = []
      const most = Math.min(this.#options.limit ?? Infinity, limits.historyVersionsMax)
      let isAll = true
      for await (const version of this.#read({ after: window.after, last })) {
        kept.push(version)
        if (kept.length < most * 2) continue
        kept.splice(0, most)
        isAll = false
      }
      if (kept.length > most) {
        kept.splice(0, kept.length - most)
        isAll = false
      }
      for (let n = kept.length - 1; n >= 0; n -= 1) yield kept[n]!
      if (isAll) return
      const { batch, index } = positionParts(kept[0]!.position)!
      last = index === 0 ? { batch: batch - 1, index: indexMax } : { batch, index: index - 1 }
    }
  }

  async *#read({ after, last }: Window): AsyncGenerator<AnyVersion, void, void> {
    const { engine, catalog, disk } = this.#open
    const follower = new LogFollower({
      frames: engine.parts.frames, catalog, disk,
      near: (near) => engine.frames.near(near),
      durable: () => Math.min(engine.durable, last.batch),
      written: () => engine.parts.control.written,
      filter: { tables: new Set([this.#table]), events: new Set(), outcomes: false, row: { table: this.#table, key: this.#key } },
      goOn: this.#goOn,
      afterBatch: after.batch,
      afterIndex: after.index === indexMax ? -1 : after.index,
    })
    try {
      while (follower.isBehind()) {
        this.#goOn()
        const records: DecodedTransaction[] = []
        const before = follower.batch
        if (!follower.readRing(limits.streamBufferCommitsMax, records)) {
          await inPositions(follower.readFiles(limits.streamBufferCommitsMax, records))
          // Files that were compacted meanwhile may have been read as they are now.
          const compacted = this.#compactedUpTo
          if (compacted > before) throw gone(formatPosition(compacted, indexMax))
        }
        for (const record of records) {
          if (record.batch > last.batch || (record.batch === last.batch && record.index > last.index)) return
          const version = this.#versionIn(record)
          if (version !== undefined) yield version
        }
        if (records.length === 0 && follower.batch === before) return
      }
    } finally {
      follower.close()
    }
  }

  #versionIn({ batch, index, time, procedure, id, changes }: DecodedTransaction): AnyVersion | undefined {
    const [change] = changes
    if (change === undefined) return undefined
    const { kind, before, after } = change
    return {
      position: formatPosition(batch, index),
      time,
      procedure: procedure === transactName ? undefined : procedure,
      requestId: id?.startsWith(enginePrefix) === true ? undefined : id,
      kind, before, after,
    } as AnyVersion
  }

  /** What the files hold up to there are not all versions. */
  get #compactedUpTo(): number {
    return this.#open.disk?.compactedUpTo() ?? 0
  }

  /** Also between two frames of the files: where nothing is found they are read to the end. */
  readonly #goOn = (): void => {
    const { signal } = this.#options
    if (signal?.aborted === true) throw SluiceError.of('CANCELLED', 'Reading the history of a row was ended by its signal.', { cause: signal.reason })
    if (this.#open.engine.isClosed) throw SluiceError.of('DATABASE_CLOSED', 'The database is closed: open() it again.')
  }
}

function gone(oldest: string): SluiceError {
  return SluiceError.of('HISTORY_GONE', `Retention has removed that part of the log, or versions of rows from it: what comes after position ${oldest} is left.`, { details: { oldest } })
}

function checkOptions(options: HistoryOptions): void {
  if (typeof options !== 'object' || options === null) throw SluiceError.of('INVALID_USE', `The options of db.history() are an object, not ${shown(options)}.`)
  for (const name of Object.keys(options)) if (!historyOptions.has(name)) throw SluiceError.of('INVALID_USE', `db.history() has no option "${name}"; it has ${[...historyOptions].join(', ')}.`)
  for (const name of ['from', 'to'] as const) {
    const moment: unknown = options[name]
    const isDate = moment instanceof Date && !Number.isNaN(moment.getTime())
    if (moment !== undefined && !isDate && positionParts(moment) === undefined) throw SluiceError.of('INVALID_USE', `The option ${name} of db.history() is a Position or a Date, not ${shown(moment)}.`)
  }
  const { limit, reverse, signal } = options as { limit?: unknown; reverse?: unknown; signal?: SignalLike }
  if (limit !== undefined && !(typeof limit === 'number' && Number.isInteger(limit) && limit >= 0)) throw SluiceError.of('INVALID_USE', `The option limit of db.history() is a whole number, 0 or more, not ${shown(limit)}.`)
  if (reverse !== undefined && typeof reverse !== 'boolean') throw SluiceError.of('INVALID_USE', `The option reverse of db.history() is true or false, not ${shown(reverse)}.`)
  if (signal !== undefined && (typeof signal !== 'object' || (signal as unknown) === null || !('aborted' in signal))) throw SluiceError.of('INVALID_USE', `The option signal is an AbortSignal, not ${shown(signal)}.`)
}
