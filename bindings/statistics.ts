/** Gathers what `db.stats()` answers from where it is kept. Nothing of it is summed up before somebody asks. */
import { limits } from '../engine/base/limits.js'
import type { OpenEngine } from '../engine/index.js'
import { statsOfConsumer } from './consumer.js'
import { formatPosition, indexMax, type Position } from './position.js'
import type { DatabaseStats } from './statistics-types.js'
import type { CommitStream } from './stream.js'

const wordBytes = 8

export interface OpenReaders {
  readonly streams: ReadonlySet<CommitStream<unknown>>
  readonly snapshots: number
}

export function statsOf({ engine, options, durability, keeper, handlers, replicas, consumers }: OpenEngine, position: Position, { streams, snapshots }: OpenReaders): DatabaseStats {
  const { plan, statistics, store, control, requests } = engine.parts
  const count = statistics.count.bind(statistics)
  const stage = statistics.summary.bind(statistics)
  const cross = count('crossRequests')
  const kept = count('keptAhead')
  const stale = count('staleAhead')
  return {
    workers: plan.workers,
    workersWhy: engine.workers.why,
    partitions: plan.partitions,
    durability,
    position,
    calls: {
      waiting: engine.waiting,
      waitingMax: options.queue.calls,
      queuedBytes: requests.queuedBytes,
      queuedBytesMax: limits.requestRingBytes,
    },
    batches: {
      count: count('batches'),
      requests: count('requests'),
      partitionLanes: count('requests') - cross,
      crossPartitionLane: cross,
      strays: count('strays'),
      referenceReruns: count('referenceReruns'),
    },
    speculation: {
      lanesAhead: count('lanesAhead'),
      lanesInOrder: count('lanesInOrder'),
      kept,
      stale,
      unfinished: count('leftAhead'),
      staleRatio: kept + stale === 0 ? 0 : stale / (kept + stale),
    },
    stages: { queue: stage('queue'), order: stage('order'), execute: stage('execute'), validate: stage('validate'), seal: stage('seal'), sync: stage('sync'), release: stage('release') },
    memory: {
      reserved: store.region.words * wordBytes,
      used: store.region.usedWords() * wordBytes,
      history: store.domains.reduce((words, domain) => words + domain.keptWords(), 0) * wordBytes,
      isShort: store.isShort,
    },
    log: {
      frames: count('frames'),
      frameBytes: count('frameBytes'),
      syncs: count('syncs'),
      unwrittenBytes: ((control.load('frameHead') - control.load('frameWritten')) | 0) * wordBytes,
      isDiskFull: control.load('diskFull') !== 0,
      compactedBytes: keeper?.compacted.bytes ?? 0,
    },
    streams: {
      count: streams.size,
      inFiles: [...streams].filter((stream) => stream.isInFiles).length,
      behind: [...streams].filter((stream) => stream.isBehind).length,
      buffered: [...streams].reduce((sum, stream) => sum + stream.buffered, 0),
    },
    handlers: (handlers?.states ?? []).map(({ cursor, stopped, ...state }) => ({
      ...state,
      position: formatPosition(cursor.batch, cursor.index),
      stoppedBy: stopped?.code,
    })),
    replicas: (replicas?.states ?? []).map(({ reached, stopped, ...state }) => ({
      ...state,
      position: reached < 0 ? undefined : formatPosition(reached, indexMax),
      stoppedBy: stopped?.code,
    })),
    consumers: consumers.states.map(statsOfConsumer),
    snapshots,
  }
}
