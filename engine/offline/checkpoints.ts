/**
 * The checkpoints of a directory, for who only reads it.
 *
 * LMDB makes a lock file beside whatever it opens, and a checkpoint of a running database changes under a reader. So an environment
 * is copied into a temporary folder (TMPDIR) and read there: summed on its way, against its manifest, before LMDB sees it.
 */
import type { LoggedCatalog } from '../schema/catalog.js'
import { messageOf, SluiceError } from '../base/errors.js'
import { type CheckpointMeta, decodeMeta, logCatalogOf } from '../stream/checkpoint-rows.js'
import {
  type Checkpoint, type CheckpointCandidate, CheckpointSet, FileLogStorage, LmdbCheckpointStore, TemporaryFolder,
} from '../../wal/index.js'
import type { Source } from './source.js'

export interface CheckpointState {
  /** Inside of the database directory. */
  readonly file: string
  /** `'unfinished'`: a run ended early, and open() passes it over. */
  readonly state: 'whole' | 'damaged' | 'unfinished'
  readonly batch: number
  readonly rows: number
  readonly bytes: number
  /** Of what is not whole. */
  readonly why: string
}

/** One that was proved and opened. */
export interface OfflineCheckpoint extends CheckpointState {
  readonly checkpoint: Checkpoint
  readonly meta: CheckpointMeta
  /** Of the log where it ends. */
  readonly catalog: LoggedCatalog
  /** Batch time of its newest frame. */
  readonly now: number
}

export class OfflineCheckpoints {
  readonly #set: CheckpointSet | undefined
  #states: readonly CheckpointState[] = []
  readonly #opened: OfflineCheckpoint[] = []
  #folder: TemporaryFolder | undefined

  private constructor(set: CheckpointSet | undefined) {
    this.#set = set
  }

  /** Proves and opens all that are whole. To be closed. */
  static read(source: Source, databaseId: Uint8Array | undefined): OfflineCheckpoints {
    const { set, unusable } = setOf(source, databaseId)
    const read = new OfflineCheckpoints(set)
    const others = othersOf(set) // before a candidate that turns out to be damaged becomes one of them
    try {
      read.#states = unusable === undefined ? (set?.candidates() ?? []).map((one) => read.#prove(one)).concat(others) : [damagedFolder(unusable)]
    } catch (error) {
      void read.close() // the copies of those before the one that found no room
      throw error
    }
    return read
  }

  /** What the manifests say, and nothing proved. */
  static listed(source: Source, databaseId: Uint8Array | undefined): readonly CheckpointState[] {
    const { set, unusable } = setOf(source, databaseId)
    return unusable === undefined ? (set?.candidates() ?? []).map(stateOf).concat(othersOf(set)) : [damagedFolder(unusable)]
  }

  get states(): readonly CheckpointState[] {
    return this.#states
  }

  /** As the manifests say it: for a log that does not say it any more. */
  get databaseId(): Uint8Array | undefined {
    return this.#set?.databaseId
  }

  /** Newest first. */
  get whole(): readonly OfflineCheckpoint[] {
    return this.#opened
  }

  async close(): Promise<void> {
    for (const { checkpoint } of this.#opened) await checkpoint.close()
    this.#folder?.remove()
  }

  #prove(candidate: CheckpointCandidate): CheckpointState {
    const state = stateOf(candidate)
    const damaged = (why: string): CheckpointState => ({ ...state, state: 'damaged', why })
    try {
      this.#folder ??= TemporaryFolder.make()
      if (!this.#set!.copyTo(FileLogStorage.open(this.#folder.path), candidate.name)) return damaged('its bytes are not those that its manifest sums')
      const copies = CheckpointSet.open(LmdbCheckpointStore.open(this.#folder.path))
      const checkpoint = copies.read(candidate.name)
      const meta = decodeMeta(checkpoint.meta)
      if (meta === undefined) {
        void checkpoint.close()
        return damaged('it does not say which tables it holds')
      }
      this.#opened.push({ ...state, checkpoint, meta, catalog: logCatalogOf(meta), now: meta.now })
      return state
    } catch (error) {
      if (isNoFault(error)) throw error
      return damaged(messageOf(error))
    }
  }
}

/** What is the machine's or the version's and no damage of the database. */
function isNoFault(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown }
  return SluiceError.is(error, 'INVALID_USE') || code === 'ENOSPC' || code === 'EDQUOT' || code === 'EMFILE'
}

function setOf(source: Source, databaseId: Uint8Array | undefined): { readonly set: CheckpointSet | undefined; readonly unusable: string | undefined } {
  if (source.checkpoints === undefined) return { set: undefined, unusable: undefined }
  try {
    return { set: CheckpointSet.open(LmdbCheckpointStore.open(source.checkpoints), { databaseId }), unusable: undefined }
  } catch (error) {
    if (isNoFault(error)) throw error
    return { set: undefined, unusable: messageOf(error) }
  }
}

/** The set of a source, for copying; undefined when it cannot be used, or is not there. */
export function checkpointSetOf(source: Source, databaseId: Uint8Array): CheckpointSet | undefined {
  return setOf(source, databaseId).set
}

const stateOf = ({ name, batch, rows, fileBytes }: CheckpointCandidate): CheckpointState => ({
  file: `checkpoint/${name}.mdb`,
  state: 'whole',
  batch,
  rows,
  bytes: fileBytes,
  why: '',
})

const damagedFolder = (why: string): CheckpointState => ({ file: 'checkpoint', state: 'damaged', batch: 0, rows: 0, bytes: 0, why })

const underWay = 'it was being brought forward'

function othersOf(set: CheckpointSet | undefined): readonly CheckpointState[] {
  return (set?.others() ?? []).flatMap(({ name, why }): CheckpointState[] => {
    if (why === 'missing') return []
    return [{ file: `checkpoint/${name}.mdb`, state: why === underWay ? 'unfinished' : 'damaged', batch: 0, rows: 0, bytes: 0, why }]
  })
}
