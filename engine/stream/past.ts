/** Moments that memory does not hold any more: the log, replayed into a store of its own (R48). */
import { SluiceError } from '../base/errors.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import type { Program } from '../schema/descriptor.js'
import { Store } from '../store/store.js'
import { decodeSchema, FileLogStorage, FrameBodyReader, LogReader } from '../../wal/index.js'
import { Replay, replayBatch } from './replay.js'

export interface PastStore {
  readonly store: Store
  /** The newest batch with a frame in it, and its time. */
  readonly batch: number
  readonly records: number
  readonly time: number
}

/**
 * Replays the log up to a batch, or up to the last batch that is not after `untilMs`. `program` with system tables. The store
 * is read at any snapshot from `replayBatch` on.
 */
export async function openPast(
  program: Program,
  disk: { readonly directory: string; readonly databaseId: Uint8Array } | undefined,
  memoryBytes: number,
  upTo: { readonly batch: number; readonly untilMs: number },
): Promise<PastStore> {
  if (disk === undefined) {
    throw SluiceError.of('HISTORY_GONE', 'That moment has left memory, and a database without a path has nothing else: open with a larger history.bytes, or with a path.')
  }
  const storage = FileLogStorage.open(disk.directory, { create: false })
  const reader = LogReader.readFrom(storage, { databaseId: disk.databaseId, batch: 1 })
  let replay: Replay | undefined
  let store: Store | undefined
  let batch = replayBatch
  let records = 0
  let time = 0
  try {
    for await (const frame of reader.frames(upTo.batch)) {
      if (frame.kind === 'schema') {
        const catalog = JSON.parse(decodeSchema(frame.body)) as LoggedCatalog
        if (store === undefined || replay === undefined) {
          const plan = Store.plan(program, { bytes: memoryBytes, isDefault: true, workers: 0, partitions: catalog.partitions, historyBytes: 0 })
          store = new Store(program, plan, plan.domains)
          replay = new Replay(store, Infinity)
        }
        replay.schema(catalog)
        continue
      }
      const body = new FrameBodyReader(frame.body)
      if (frame.batch > upTo.batch || body.now > upTo.untilMs) break
      replay!.frame(frame.body)
      batch = frame.batch
      records = body.transactionCount
      time = body.now
    }
  } finally {
    reader.close()
  }
  replay?.end()
  if (store === undefined) throw SluiceError.of('HISTORY_GONE', 'The log holds nothing of that moment.')
  return { store, batch, records, time }
}
