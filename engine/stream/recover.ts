/**
 * What is on disk, as a store: the newest whole checkpoint, then the frames of the log behind it. What every opening does, and
 * every check of a database.
 *
 *   manifests       which checkpoints there are; the newest is read whole and compared with its checksum, before LMDB maps it
 *   rows            laid down as they are (store/row-loader.ts)
 *   frames          those above the checkpoint's batch (wal/recovery.ts decides where the log ends, and mends its end)
 *   trees           built when all rows are there
 *
 * A checkpoint that is damaged is passed over for the older one, and that for the whole log, as long as the log reaches back so far
 * (R59): the log is kept from the older one's batch.
 *
 * All of it on one thread. Reading and summing the log on another one, ahead of the one that lays rows, was built and measured: a
 * tenth of the work moves, and bodies that another processor has just written are as much dearer to read (4 M transfers in 3.1 s either way).
 *
 * It comes in steps, so that whoever recovers can turn the event loop, tell how far it is, and stop.
 */
import type { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import type { Store, StorePlan } from '../store/store.js'
import { type Checkpoint, type CheckpointCandidate, type CheckpointSet, decodeSchema, type KnownPlace, LogExtent, type LogStorage, type LogTail, recoverLog, type RowBlock, rowWords } from '../../wal/index.js'
import { type CheckpointMeta, decodeMeta, logCatalogOf } from './checkpoint-rows.js'
import { Replay } from './replay.js'

export interface RecoverOptions {
  readonly log: LogStorage
  readonly checkpoints: CheckpointSet
  readonly outcomeWindowMs: number
  /** `'salvage'` changes nothing, and ends at damage instead of throwing. */
  readonly mode: 'repair' | 'salvage'
  /** Told every catalog, oldest first; throws when one is not what it expects. The first call makes the store. */
  readonly layOut: (catalog: LoggedCatalog) => LaidOut
}

export interface LaidOut {
  readonly plan: StorePlan
  readonly store: Store
  /** The catalog of the store: rows of older layouts become such of this one. Undefined: every catalog that comes has its layouts. */
  readonly today?: LoggedCatalog | undefined
}

/** `bytes` of a checkpoint count twice: it is read for its checksum, then for its rows. */
export interface RecoverProgress {
  readonly phase: 'checkpoint' | 'log'
  readonly bytes: number
  readonly bytesInAll: number
}

/** A checkpoint whose manifest is whole, and that is not. */
export interface PassedOver {
  readonly name: string
  readonly batch: number
}

export interface Recovered {
  readonly tail: LogTail
  /** Undefined: nothing was ever written. */
  readonly plan: StorePlan | undefined
  readonly store: Store | undefined
  readonly catalog: LoggedCatalog | undefined
  /** Batch time of the newest frame, milliseconds. */
  readonly lastNow: number
  /** Records of that frame. */
  readonly lastRecords: number
  /** The batch of the checkpoint that was read; 0: none was. */
  readonly checkpoint: number
  readonly passedOver: readonly PassedOver[]
  /** Of the log behind the checkpoint. */
  readonly logBytes: number
  readonly transactions: number
  /** Rows that a unique index of the application would refuse. */
  readonly twice: SluiceError | undefined
}

/** Between two steps of reading files that is long: then the event loop turns. */
export const stepBytes = 4 * 1_024 * 1_024

export async function* recover(options: RecoverOptions): AsyncGenerator<RecoverProgress, Recovered, void> {
  const recovery = new Recovery(options)
  yield* recovery.readCheckpoint()
  yield* recovery.replayLog()
  return recovery.end()
}

class Recovery {
  readonly #options: RecoverOptions
  readonly #passedOver: PassedOver[] = []
  #replay: Replay | undefined
  #plan: StorePlan | undefined
  #store: Store | undefined
  #catalog: LoggedCatalog | undefined
  #batch = 0
  #from: KnownPlace | undefined
  #rowBytes = 0
  #logBytes = 0
  #tail: LogTail | undefined

  constructor(options: RecoverOptions) {
    this.#options = options
  }

  /** The newest checkpoint that is whole. */
  async *readCheckpoint(): AsyncGenerator<RecoverProgress, void, void> {
    const { checkpoints } = this.#options
    for (const candidate of checkpoints.candidates()) {
      if (!(yield* this.#prove(candidate))) {
        this.#passedOver.push(candidate)
        continue
      }
      let from: Uint8Array | undefined
      do {
        // LMDB maps its file, and what is mapped and read counts as memory: opened anew now and then, it gives that back.
        const checkpoint = checkpoints.read(candidate.name)
        try {
          from = yield* this.#layRows(checkpoint, candidate, from)
        } finally {
          await checkpoint.close()
        }
      } while (from !== undefined)
      return
    }
  }

  /** Its file is read twice, for its checksum and for its rows: this is the first half. */
  *#prove({ name, fileBytes }: CheckpointCandidate): Generator<RecoverProgress, boolean, void> {
    const steps = this.#options.checkpoints.verifying(name)
    let step = steps.next()
    try {
      for (; step.done !== true; step = steps.next()) yield { phase: 'checkpoint', bytes: step.value.bytes, bytesInAll: 2 * fileBytes }
      return step.value
    } finally {
      if (step.done !== true) steps.return(false)
    }
  }

  /** Lays down the rows from a key on, a bounded number of bytes; answers where to go on, or undefined at the end. */
  *#layRows(checkpoint: Checkpoint, { fileBytes }: CheckpointCandidate, from: Uint8Array | undefined): Generator<RecoverProgress, Uint8Array | undefined, void> {
    const meta = decodeMeta(checkpoint.meta)
    if (meta === undefined) return undefined
    const replay = this.#schema(logCatalogOf(meta), meta)
    this.#batch = checkpoint.batch
    this.#from = meta.place
    replay.lastNow = meta.now
    replay.lastRecords = meta.records
    let bytes = 0
    let told = 0
    for (const block of checkpoint.blocks(from)) {
      replay.block(block)
      bytes += block.words[1]! // its length
      if (bytes - told < stepBytes) continue
      this.#rowBytes += bytes - told
      told = bytes
      yield { phase: 'checkpoint', bytes: fileBytes + Math.min(this.#rowBytes, fileBytes), bytesInAll: 2 * fileBytes }
      if (bytes >= limits.checkpointMappedBytesMax) return behindLastOf(block)
    }
    // The frames that follow may come before any schema of the log.
    this.#schema(logCatalogOf(meta))
    return undefined
  }

  /** The frames behind the checkpoint. A log that does not reach back to it is damaged (wal/recovery.ts says how). */
  *replayLog(): Generator<RecoverProgress, void, void> {
    const { log, checkpoints, mode } = this.#options
    // A manifest is written behind the sync of what it names, whatever became of the checkpoint since.
    const knownDurable = Math.max(0, ...[...checkpoints.candidates(), ...this.#passedOver].map(({ batch }) => batch))
    const frames = recoverLog(log, { databaseId: checkpoints.databaseId, after: this.#batch, from: this.#from, knownDurable, mode })
    let bytesInAll = 0
    let told = 0
    let step = frames.next()
    try {
      for (; step.done !== true; step = frames.next()) {
        const { kind, body, segment } = step.value
        if (kind === 'schema') this.#schema(JSON.parse(decodeSchema(body)) as LoggedCatalog)
        else {
          this.#replay!.frame(body)
          this.#logBytes += body.length
        }
        if (this.#logBytes - told < stepBytes) continue
        if (told === 0) bytesInAll = new LogExtent(log, segment).bytes
        told = this.#logBytes
        yield { phase: 'log', bytes: this.#logBytes, bytesInAll: Math.max(bytesInAll, this.#logBytes) }
      }
      this.#tail = step.value
    } finally {
      if (step.done !== true) frames.return(undefined as never) // closes its file
    }
  }

  end(): Recovered {
    this.#replay?.end()
    return {
      tail: this.#tail!,
      plan: this.#plan,
      store: this.#store,
      catalog: this.#catalog,
      lastNow: this.#replay?.lastNow ?? 0,
      lastRecords: this.#replay?.lastRecords ?? 0,
      checkpoint: this.#batch,
      passedOver: this.#passedOver,
      logBytes: this.#logBytes,
      transactions: this.#replay?.transactions ?? 0,
      twice: this.#replay?.twice,
    }
  }

  /** `placed`: rows follow that have the places of a checkpoint. */
  #schema(catalog: LoggedCatalog, placed?: Pick<CheckpointMeta, 'catalog' | 'layouts'>): Replay {
    const { layOut, outcomeWindowMs } = this.#options
    this.#catalog = catalog
    const { plan, store, today } = layOut(catalog)
    this.#plan ??= plan
    this.#store ??= store
    this.#replay ??= new Replay(this.#store, outcomeWindowMs, today)
    this.#replay.schema(placed?.catalog ?? catalog, placed?.layouts)
    return this.#replay
  }
}

/** The first key that may come after a block's last one. */
function behindLastOf({ bytes, rows, count }: RowBlock): Uint8Array {
  const last = (count - 1) * rowWords
  const next = new Uint8Array(rows[last + 1]! + 1)
  next.set(bytes.subarray(rows[last]!, rows[last]! + rows[last + 1]!))
  return next
}
