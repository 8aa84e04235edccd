/** What `db.stats()` answers. Everything counts since the database was opened, unless it says what it is now. */
import type { ErrorCode } from '../engine/base/errors.js'
import type { ConsumerStats } from './consumer-types.js'
import type { Position } from './position.js'

/** Times of one stage, in milliseconds, one for each batch that was timed. Percentiles are told to 6 %. */
export interface StageStats {
  readonly count: number
  readonly meanMs: number
  readonly p50Ms: number
  readonly p90Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
}

/** A handler that runs after the commit. */
export interface HandlerStats {
  /** Full name: `'bank.note'`. */
  readonly name: string
  /** The event, by its full name. */
  readonly event: string
  /** Events that it has handled, and that it has refused for good. */
  readonly handled: number
  readonly failed: number
  /** Times that an event was tried again, because what stood in its way may pass. */
  readonly retried: number
  /** Events taken from the log and not done, now. */
  readonly waiting: number
  /** There is something durable that it has not handled, or not looked at. */
  readonly isBehind: boolean
  /** Up to here everything is done, durably: where it goes on after a restart. The log is kept from here. */
  readonly position: Position
  /** Why it does not go on: `HISTORY_GONE` where the log does not reach back to it any more. */
  readonly stoppedBy: ErrorCode | undefined
}

/** A replica with `strength: 'eventual'`. */
export interface ReplicaStats {
  /** Full name: `'cart.product'`. */
  readonly name: string
  /** The table that it shows, by its full name. */
  readonly source: string
  /** Rows that were looked at because they had changed, or when it was filled. */
  readonly copied: number
  /** Rows on their way, now. */
  readonly waiting: number
  /** There is something durable that it does not show yet, or has not looked at. */
  readonly isBehind: boolean
  /** It shows everything up to here, durably; undefined while it is filled. */
  readonly position: Position | undefined
  /** Why it does not go on. */
  readonly stoppedBy: ErrorCode | undefined
}

export interface DatabaseStats {
  /** Partition workers; with 0 everything runs on the caller's thread. */
  readonly workers: number
  /** Why so many: what was asked for, or what `workers: 'auto'` has found. */
  readonly workersWhy: string
  readonly partitions: number
  readonly durability: 'fsync' | 'os' | 'memory'
  /** The newest durable batch: what reads see now. */
  readonly position: Position

  /** Calls on their way, now, and the bounds at which calls are refused or wait; `waitingMax` is `queue.calls` of `open()`. */
  readonly calls: {
    readonly waiting: number
    readonly waitingMax: number
    readonly queuedBytes: number
    readonly queuedBytesMax: number
  }
  readonly batches: {
    readonly count: number
    readonly requests: number
    /** Requests that ran in the lane of their partition. */
    readonly partitionLanes: number
    /** Requests that ran in the cross-partition lane: sent there, or strays. */
    readonly crossPartitionLane: number
    /** Of those, the ones that had been placed and left their partition: is the declaration right? */
    readonly strays: number
    /** Batches that ran twice, because a reference with `strength: 'batch'` did not hold at their end. */
    readonly referenceReruns: number
  }
  /** Runs of the cross-partition lane ahead of their turn. Zeros with fewer than two workers. */
  readonly speculation: {
    /** Cross-partition lanes that were run ahead, and that were run in order at once, because that was quicker. */
    readonly lanesAhead: number
    readonly lanesInOrder: number
    /** Runs that were committed as they were, that had read what changed, and that had not come to a good end. */
    readonly kept: number
    readonly stale: number
    readonly unfinished: number
    /** Stale runs among all that came to a good end; 0 without any. */
    readonly staleRatio: number
  }
  /**
   * Where the time of a call goes. `queue`: from being handed in until a batch takes it. `order`: taking the requests of
   * a batch and writing their order down. `execute`: the lanes of a batch, all
   * of them. `validate`: of that, committing in order what was run ahead. `seal`: its frame. `sync`: writing and syncing a group of
   * frames. `release`: from durable to the answer. Of batches with fewer than 64 requests one in 16 is timed.
   */
  readonly stages: {
    readonly queue: StageStats
    readonly order: StageStats
    readonly execute: StageStats
    readonly validate: StageStats
    readonly seal: StageStats
    readonly sync: StageStats
    readonly release: StageStats
  }
  /** Bytes, now. */
  readonly memory: {
    readonly reserved: number
    /** Handed out of it; never given back, but used again. */
    readonly used: number
    /** Of that, what only older snapshots and `asOf` need: versions, and what was deleted. */
    readonly history: number
    /** Above 80 %: the oldest snapshots are given up where that helps. */
    readonly isShort: boolean
  }
  readonly log: {
    readonly frames: number
    readonly frameBytes: number
    /** Groups of frames that were written and synced together; 0 without a path. */
    readonly syncs: number
    /** Frame bytes that are sealed and not in the files yet, now. */
    readonly unwrittenBytes: number
    /** The disk is full: calls are refused until there is room. */
    readonly isDiskFull: boolean
    /** Taken out of segments that stayed, by `retention.compact` and `retention.streams`, since the database was opened. */
    readonly compactedBytes: number
  }
  /** Streams that are open now. */
  readonly streams: {
    readonly count: number
    /** Of them, those that have fallen behind memory and read files. */
    readonly inFiles: number
    /** Streams that have not read all that is durable. */
    readonly behind: number
    /** Commits that wait in the buffers of all of them. */
    readonly buffered: number
  }
  /** Handlers without `atomic: true`. */
  readonly handlers: readonly HandlerStats[]
  /** Replicas that hold rows of their own. */
  readonly replicas: readonly ReplicaStats[]
  /** Durable consumers that are open now. */
  readonly consumers: readonly ConsumerStats[]
  /** Snapshots that are open now. */
  readonly snapshots: number
}
