/** `db.changes` and `db.events`: options checked, the hub of the database, the streams that are open. */
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { type AbortLike, type DecodedTransaction, endOfBatch, LogFollower, type LogPlace, type OpenEngine, type Program, SchemaTrail, type Selection, type SlowPolicy, SnapshotRows, type StreamFilter, StreamHub } from '../engine/index.js'
import { indexMax, type Position, positionParts } from './position.js'
import { schemaChangeOf } from './schema-change.js'
import type { SchemaChange } from './schema-change-types.js'
import { shown } from './schema/definition.js'
import { CommitStream, commitOf, type CommitView, wrongStart } from './stream.js'
import { streamFilterOf, tablesOf } from './stream-filter.js'

type Options = Readonly<Record<string, unknown>>

const common = ['from', 'signal', 'buffer', 'slow', 'onProgress', 'onCaughtUp', 'onSchema'] as const
const changesOptions: ReadonlySet<string> = new Set([...common, 'tables', 'events', 'services'])
const eventsOptions: ReadonlySet<string> = new Set(common)
const policies: readonly SlowPolicy[] = ['spill', 'wait', 'conflate', 'fail']
/** What a follower reads at a time: it may end inside of a frame. */
const stepBytes = limits.streamReadBytes

export interface StreamHostParts {
  readonly open: OpenEngine
  readonly program: Program
  /** The batch before the oldest one that can still be read. */
  readonly oldestBatch: () => number
  /** Where a batch ends, and when it was. */
  readonly endOf: (batch: number) => { readonly index: number; readonly time: number }
  readonly checkOptions: (what: string, options: unknown, known: ReadonlySet<string>) => void
}

interface BridgedCommit extends CommitView {
  readonly transaction: DecodedTransaction
}

type PositionListener = (position: Position) => void
type SchemaListener = (change: SchemaChange) => PromiseLike<void> | void

interface Begin {
  readonly after: LogPlace
  readonly sinceMs?: number
  readonly isSnapshot?: boolean
}

export class StreamHost {
  readonly #parts: StreamHostParts
  readonly #hub: StreamHub<CommitView>
  /** For bridges: commits with what the engine knows of them. */
  #bridgeHub: StreamHub<CommitView> | undefined
  readonly #streams = new Set<CommitStream<unknown>>()

  constructor(parts: StreamHostParts) {
    this.#parts = parts
    this.#hub = this.#makeHub('streams', commitOf)
  }

  #makeHub(name: string, shape: (selection: Selection) => CommitView): StreamHub<CommitView> {
    const { engine, catalog, disk, holders, eraser } = this.#parts.open
    const { frames, control } = engine.parts
    let head = control.load('frameHead')
    let logBytes = 0
    const hub = new StreamHub<CommitView>({
      environment: engine.environment,
      durable: () => engine.durable,
      isClosed: () => engine.isClosed,
      // Asked for at every advance, because the counter wraps.
      logBytes: () => {
        const now = control.load('frameHead')
        logBytes += Math.max(0, (now - head) | 0) * 8
        head = now
        return logBytes
      },
      follow: (follower) => engine.follow(follower),
      unfollow: (follower) => engine.unfollow(follower),
      open: (filter, { batch, index }, besides) =>
        new LogFollower({
          frames, catalog, disk, durable: () => engine.durable, written: () => control.written, filter,
          afterBatch: batch, afterIndex: index === endOfBatch ? -1 : index, stepBytes, ...besides,
        }),
      shape,
      placeOf: ({ position }) => positionParts(position)!,
    })
    holders.set(name, () => hub.held)
    eraser.onErased.push(() => hub.reread())
    return hub
  }

  get streams(): ReadonlySet<CommitStream<unknown>> {
    return this.#streams
  }

  changes(options: Options = {}): CommitStream<unknown> {
    this.#parts.checkOptions('changes()', options, changesOptions)
    return this.#stream(streamFilterOf(this.#parts.program, options), options, undefined)
  }

  events(events: unknown, options: Options = {}): CommitStream<unknown> {
    const { program, checkOptions } = this.#parts
    checkOptions('events()', options, eventsOptions)
    const list = Array.isArray(events) ? (events as readonly unknown[]) : [events]
    return this.#stream(streamFilterOf(program, { events: list }), options, (commit) => commit.events)
  }

  transactions(options: Options): CommitStream<unknown> {
    this.#bridgeHub ??= this.#makeHub('streams of bridges', (transaction): BridgedCommit => ({ ...commitOf(transaction), transaction }))
    const parts = (commit: CommitView): readonly [DecodedTransaction] => [(commit as BridgedCommit).transaction]
    return this.#stream(streamFilterOf(this.#parts.program, options), options, parts, this.#bridgeHub)
  }

  /** Streams that wait read what is left; then they end. */
  closing(): void {
    this.#hub.close()
    this.#bridgeHub?.close()
    for (const stream of [...this.#streams]) stream.advance()
  }
  async close(): Promise<void> {
    for (const stream of [...this.#streams]) await stream.close()
  }

  #stream(filter: StreamFilter, options: Options, parts: ((commit: CommitView) => readonly object[]) | undefined, hub = this.#hub): CommitStream<unknown> {
    const { engine } = this.#parts.open
    engine.mustBeOpen()
    const slow = policyOf(options, filter)
    const commits = bufferOf(options['buffer'])
    const onProgress = functionOf<PositionListener>('onProgress', options['onProgress'])
    const onCaughtUp = functionOf<PositionListener>('onCaughtUp', options['onCaughtUp'])
    const onSchema = functionOf<SchemaListener>('onSchema', options['onSchema'])
    const { after, sinceMs, isSnapshot } = this.#beginOf(options['from'], filter)
    const snapshot = isSnapshot === true ? () => this.#rows(filter) : undefined
    const trail = onSchema === undefined ? undefined : this.#trailFrom(after, sinceMs !== undefined)
    const subscription = hub.subscribe({ filter, after, sinceMs, slow, commits, snapshot, trail })
    // It may end while it is made, by its signal.
    let stream: CommitStream<unknown> | undefined
    stream = new CommitStream<unknown>({
      hub,
      subscription,
      parts,
      seeksMoment: sinceMs !== undefined,
      signal: options['signal'] as AbortLike | undefined,
      onProgress,
      onCaughtUp,
      schemas: trail === undefined ? undefined : { trail, tell: (step) => onSchema!(schemaChangeOf(step)) },
      atEndOfTick: (work) => engine.environment.atEndOfTick(work),
      onEnd: () => stream !== undefined && this.#streams.delete(stream),
    })
    if (!stream.isEnded) this.#streams.add(stream)
    return stream
  }

  /** Where a durable consumer begins: it reads what comes after this place (index -1: after the batch). */
  startOf(from: unknown): { readonly batch: number; readonly index: number; readonly since?: number } {
    if (from === 'snapshot') throw SluiceError.of('INVALID_USE', "What is kept is a place in the log, and rows of a snapshot have none: begin at 'beginning', 'now', a Position or a Date.")
    const { after, sinceMs } = this.#beginOf(from, undefined)
    return { batch: after.batch, index: after.index === endOfBatch ? -1 : after.index, ...(sinceMs !== undefined && { since: sinceMs }) }
  }

  #beginOf(from: unknown, filter: StreamFilter | undefined): Begin {
    const { open, oldestBatch } = this.#parts
    const now = { batch: open.engine.durable, index: endOfBatch }
    if (from === undefined || from === 'now') return { after: now }
    if (from === 'beginning') return { after: { batch: oldestBatch(), index: endOfBatch } }
    if (from === 'snapshot') {
      if (filter === undefined || filter.interests.length === 0) throw SluiceError.of('INVALID_USE', "A stream from 'snapshot' begins with the rows of tables: say which (tables).")
      return { after: now, isSnapshot: true }
    }
    if (from instanceof Date && !Number.isNaN(from.getTime())) return { after: { batch: oldestBatch(), index: endOfBatch }, sinceMs: from.getTime() }
    const parts = positionParts(from)
    if (parts === undefined) throw wrongStart(shown(from))
    // The end of a batch is after all of it: the batch itself may have left the log.
    return { after: parts.index === indexMax ? { batch: parts.batch, index: endOfBatch } : parts }
  }

  /** Undefined where all that comes is of today's application. */
  #trailFrom({ batch }: LogPlace, seeksMoment: boolean): SchemaTrail | undefined {
    const { engine, disk, origin, catalog } = this.#parts.open
    if (disk === undefined || origin === undefined || batch > origin.batch) return undefined
    const { frames } = engine.parts
    return new SchemaTrail({ disk, today: catalog, lastBatch: origin.batch, hasGrown: () => frames.read(frames.tail, frames.publishedHead) !== undefined, seeksMoment })
  }

  /** When the first row is asked for, and not before: an open view holds old versions. */
  #rows(filter: StreamFilter): SnapshotRows {
    const { open, program } = this.#parts
    const { engine } = open
    const view = engine.openView()!
    const { tables } = engine.parts.store
    const { index, time } = this.#parts.endOf(view.batch)
    return new SnapshotRows({ view, tables: tablesOf(program, filter).map((ordinal) => tables[ordinal]!), filter, time, index })
  }
}

function policyOf(options: Options, filter: StreamFilter): SlowPolicy {
  const slow = options['slow'] ?? 'spill'
  if (!policies.includes(slow as SlowPolicy)) throw SluiceError.of('INVALID_USE', `The option slow is one of ${policies.join(', ')}, not ${shown(slow)}.`)
  if (slow === 'conflate' && (filter.isOpen || filter.eventInterests.length > 0)) {
    throw SluiceError.of('INVALID_USE', "A stream with slow: 'conflate' has tables and nothing else: events have no key by which they could be merged.")
  }
  return slow as SlowPolicy
}

function bufferOf(buffer: unknown): number {
  if (buffer === undefined) return limits.streamBufferCommitsMax
  const max = limits.streamBufferCommitsOptionMax
  if (Number.isInteger(buffer) && (buffer as number) >= 1 && (buffer as number) <= max) return buffer as number
  throw SluiceError.of('INVALID_USE', `The option buffer is a number of commits from 1 to ${max}, not ${shown(buffer)}.`)
}

function functionOf<F>(name: string, listener: unknown): F | undefined {
  if (listener === undefined || typeof listener === 'function') return listener as F | undefined
  throw SluiceError.of('INVALID_USE', `The option ${name} is a function, not ${shown(listener)}.`)
}
