/** `sluice info`: what a directory holds, in one walk over its log. */
import type { LoggedCatalog } from '../schema/catalog.js'
import { FrameBodyReader } from '../../wal/index.js'
import { type CheckpointState, OfflineCheckpoints } from './checkpoints.js'
import { catalogIn, walkLog } from './log-walk.js'
import type { StatePlace } from './restore.js'
import type { Source } from './source.js'

export interface DatabaseDescription {
  readonly path: string
  readonly format: number
  /** Hexadecimal. */
  readonly databaseId: string
  readonly partitions: number
  readonly tables: LoggedCatalog['tables']
  readonly events: LoggedCatalog['events']
  /** The application's: the engine's own is no part of it. */
  readonly procedures: readonly string[]
  readonly log: {
    readonly segments: number
    readonly bytes: number
    /** The first commit and the last one. */
    readonly first: StatePlace | undefined
    readonly last: StatePlace | undefined
    /** Retention has compacted the log up to this batch; 0: it has not. */
    readonly compactedUpTo: number
    readonly tornBytes: number
    readonly damage: { readonly segment: number; readonly offset: number; readonly why: string } | undefined
  }
  readonly checkpoints: readonly Pick<CheckpointState, 'file' | 'state' | 'batch' | 'rows' | 'bytes'>[]
}

export function describeDatabase(source: Source): DatabaseDescription {
  let catalog: LoggedCatalog | undefined
  let first: StatePlace | undefined
  let last: StatePlace | undefined
  const parts = walkLog(source.log)
  let step = parts.next()
  for (; step.done !== true; step = parts.next()) {
    const part = step.value
    if (part.kind === 'schema') catalog = catalogIn(part)
    if (part.kind !== 'frame') continue
    const { batch, now, transactionCount } = new FrameBodyReader(part.body)
    first ??= { batch, index: 0, time: now }
    last = { batch, index: Math.max(0, transactionCount - 1), time: now }
  }
  const { databaseId, segments, bytes, compactedUpTo, tornBytes, segment, offset, damage } = step.value
  return {
    path: source.path,
    format: 1,
    databaseId: databaseId === undefined ? '' : Buffer.from(databaseId).toString('hex'),
    partitions: catalog?.partitions ?? 0,
    tables: catalog?.tables ?? [],
    events: catalog?.events ?? [],
    procedures: (catalog?.procedures ?? []).filter((name) => !name.startsWith('$')),
    log: { segments, bytes, first, last, compactedUpTo, tornBytes, damage: damage && { segment, offset, why: damage.why } },
    checkpoints: OfflineCheckpoints.listed(source, databaseId),
  }
}
