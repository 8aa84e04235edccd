/**
 * What a checkpoint is to those who fill and read it: a sorted map from key bytes to value bytes, as it was at one batch.
 *
 * Two implementations keep one contract (test/wal/checkpoint-contract.ts): LMDB for files, and plain, one sorted file that runs
 * over any `LogStorage`, so that the simulator can crash it. Both store rows in blocks (checkpoint-blocks.ts).
 *
 * A store keeps environments by name. It knows nothing of what is valid: two of them in turn, their manifests and the checksums of
 * whole files are the business of the set (checkpoint-set.ts).
 */
import type { RowBlock } from './checkpoint-blocks.js'
import type { SortedChanges } from './checkpoint-changes.js'
import type { LogStorage } from './storage.js'

export interface CheckpointAt {
  readonly batch: number
  /** Not looked into here: the catalog and the times of whoever writes. */
  readonly meta: Uint8Array
}

export interface Checkpoint {
  /** 0 when nothing was applied yet. */
  readonly batch: number
  /** Empty when nothing was applied yet. */
  readonly meta: Uint8Array
  readonly rows: number
  /**
   * Applies changes and moves on to a batch that is not older, in one step: after a throw nothing has changed. Blocks; how long is
   * the caller's choice (`SortedChanges.slices`). A deleted key that is not there is fine.
   */
  apply(changes: SortedChanges, at: CheckpointAt): void
  /**
   * All rows in key order, or those from a key on. The block is the same object every time and valid until the next one is asked
   * for; between two blocks any time may pass. An `apply` ends the walk.
   */
  blocks(from?: Uint8Array): Iterable<RowBlock>
  /** A copy of the value. */
  get(key: Uint8Array): Uint8Array | undefined
  /** Returns when all that was applied is on disk. */
  flush(): void
  close(): Promise<void>
}

export interface CheckpointStore {
  readonly kind: CheckpointKind
  /** The folder of its files, and of their manifests. */
  readonly storage: LogStorage
  /** The file that holds an environment: the only one that counts. */
  fileOf(name: string): string | undefined
  /** The name of a file that becomes that of the environment when it is written, after `remove`. */
  newFileOf(name: string): string
  /** With 'write' an environment that does not exist is made. Bytes that were not verified must not get here: LMDB believes them. */
  open(name: string, access: 'read' | 'write'): Checkpoint
  /** Nothing of the environment stays in the folder. */
  remove(name: string): void
}

export const checkpointKinds = ['lmdb', 'plain'] as const
export type CheckpointKind = (typeof checkpointKinds)[number]
