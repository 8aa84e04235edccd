/**
 * Two environments, `a` and `b`, brought forward in turn (R59). Each has a manifest that says which bytes it is when it is whole.
 *
 *     begin    the manifest of the one to change says: under way        write, sync
 *              nothing in it, or damaged: the other is copied over it   copy, sync
 *     apply    as often as one likes                                    (nothing of this needs to survive)
 *     finish   everything on disk, closed, summed                       sync, sync of the folder
 *              the manifest says: whole, this sum, this batch           write, sync
 *
 * Invariants:
 *   E1  The file of an environment changes only while its manifest on disk says that it is under way.
 *   E2  While one is under way nobody touches the other: whatever happens, a whole one stays, if there was one.
 *   E3  No bytes get to an environment's reader that were not summed in this life and found as the manifest says, or written by it:
 *       LMDB has no checksums, and follows damaged pages anywhere.
 *   E4  The log stays from the older of two environments that were proved in this life. With fewer, all of it stays: the one that
 *       is left may be damaged tomorrow, and then everything has to be replayed.
 *
 * The sum covers the whole file, also pages that LMDB does not use: what it would read if it were wrong is not known here.
 *
 * One thread owns a set and what it opens, one environment of a name is open at a time.
 */
import { assert } from '../engine/base/assert.js'
import { checkpointCorrupt, compareKeys } from './checkpoint-blocks.js'
import type { SortedChanges } from './checkpoint-changes.js'
import { atOnce, copyFile, isSameSum, sumOfFile, summing, type ChunkHooks, type ChunkStep, type FileSum } from './checkpoint-file.js'
import {
  encodeManifest,
  encodeUnderWay,
  manifestName,
  readManifest,
  writeManifest,
  type Manifest,
  type ManifestState,
} from './checkpoint-manifest.js'
import type { Checkpoint, CheckpointAt, CheckpointStore } from './checkpoint.js'
import type { LogStorage } from './storage.js'

export const environmentNames = ['a', 'b'] as const
export type EnvironmentName = (typeof environmentNames)[number]

export interface CheckpointCandidate {
  readonly name: EnvironmentName
  readonly batch: number
  readonly rows: number
  readonly fileBytes: number
}

export interface CheckpointFinished extends CheckpointCandidate {
  readonly sequence: number
}

/** What is known of an environment; `why` it is not whole, in words. */
interface Standing {
  manifest: Manifest | undefined
  why: string
  /** E3. */
  isProved: boolean
}

export interface CheckpointSetOptions {
  /** Undefined: whatever the manifests say, as long as they agree. Needed before the first run. */
  readonly databaseId?: Uint8Array | undefined
}

export class CheckpointSet {
  readonly #store: CheckpointStore
  readonly #databaseId: Uint8Array | undefined
  readonly #standings: Record<EnvironmentName, Standing>
  #run: CheckpointRun | undefined

  private constructor(store: CheckpointStore, databaseId: Uint8Array | undefined, standings: Record<EnvironmentName, Standing>) {
    this.#store = store
    this.#databaseId = databaseId
    this.#standings = standings
  }

  /** Reads the manifests, and nothing else. Changes nothing. */
  static open(store: CheckpointStore, options: CheckpointSetOptions = {}): CheckpointSet {
    const [a, b] = environmentNames.map((name) => readManifest(store.storage, name)) as [ManifestState, ManifestState]
    let { databaseId } = options
    for (const [name, found] of [['a', a], ['b', b]] as const) {
      const foundId = found.state === 'whole' ? found.manifest.databaseId : found.state === 'under way' ? found.databaseId : undefined
      databaseId ??= foundId
      // Refused and not passed over: the next run would write over files that somebody put here by mistake.
      if (foundId !== undefined && compareKeys(foundId, databaseId!) !== 0) throw checkpointCorrupt(name, 'it belongs to another database')
    }
    return new CheckpointSet(store, databaseId, { a: standingOf(store, 'a', a), b: standingOf(store, 'b', b) })
  }

  get databaseId(): Uint8Array | undefined {
    return this.#databaseId
  }

  /** Environments that are whole as far as their manifests tell, newest first. */
  candidates(): CheckpointCandidate[] {
    return environmentNames
      .flatMap((name) => {
        const { manifest } = this.#standings[name]
        return manifest === undefined ? [] : [{ name, manifest }]
      })
      .sort((left, right) => right.manifest.batch - left.manifest.batch || right.manifest.sequence - left.manifest.sequence)
      .map(({ name, manifest: { batch, rows, fileBytes } }) => ({ name, batch, rows, fileBytes }))
  }

  /** For those who report: every environment that is no candidate, and why. `'missing'` when there has never been one. */
  others(): { readonly name: EnvironmentName; readonly why: string }[] {
    return environmentNames.filter((name) => this.#standings[name].manifest === undefined).map((name) => ({ name, why: this.#standings[name].why }))
  }

  /** Sums the file of a candidate. One that is not what its manifest says is no candidate any more. */
  verify(name: EnvironmentName, hooks: ChunkHooks = {}): boolean {
    return atOnce(this.verifying(name), hooks)
  }

  /** The same in steps, for who lets the event loop turn in between. */
  *verifying(name: EnvironmentName): Generator<ChunkStep, boolean, void> {
    const standing = this.#standings[name]
    const { manifest } = standing
    if (manifest === undefined) return false
    if (standing.isProved) return true
    const fileName = this.#store.fileOf(name)
    const sum = fileName === undefined ? undefined : yield* summing(this.#store.storage, fileName)
    if (sum !== undefined && isSameSum(sum, promisedBy(manifest))) {
      standing.isProved = true
      return true
    }
    this.#giveUp(name, 'its bytes are not those of its manifest')
    return false
  }

  /** Opens a candidate for reading, proved (E3). */
  read(name: EnvironmentName, hooks: ChunkHooks = {}): Checkpoint {
    assert(this.#run === undefined, 'nobody reads from a set while one of its environments is brought forward')
    if (!this.verify(name, hooks)) throw checkpointCorrupt(name, this.#standings[name].why)
    return this.#opened(name, 'read')
  }

  /**
   * The batch from which on the log must stay (E4): segments that end before it may go. 0: all of them stay.
   */
  olderBatch(): number {
    const proved = environmentNames.flatMap((name) => {
      const { manifest, isProved } = this.#standings[name]
      return manifest !== undefined && isProved ? [manifest.batch] : []
    })
    return proved.length === environmentNames.length ? Math.min(...proved) : 0
  }

  /** Begins to bring the older environment forward. The run starts where `run.checkpoint.batch` says: 0 when nothing was whole. */
  begin(hooks: ChunkHooks = {}): CheckpointRun {
    assert(this.#run === undefined, 'one run at a time')
    assert(this.#databaseId !== undefined, 'a set that is written knows its database')
    for (const { name } of this.candidates()) this.verify(name, hooks)
    const [newest, older] = this.candidates()
    const name = older?.name ?? (newest?.name === 'a' ? 'b' : 'a')

    const previous = this.#standings[name].manifest
    this.#giveUp(name, 'it was being brought forward')
    writeManifest(this.#store.storage, name, encodeUnderWay(this.#store.kind, this.#databaseId))
    if (previous === undefined) this.#startOver(name, newest?.name, hooks)
    this.#run = new CheckpointRun(name, this.#opened(name, 'write', previous), (finished) => this.#finish(name, finished), () => (this.#run = undefined))
    return this.#run
  }

  /**
   * Makes both environments anew, of what `fill` brings over from the newest that is whole: in files that never held anything else, for
   * LMDB leaves what was deleted in its free pages. First the older one, then the newer one as a copy of it, so that E2 holds. Without
   * a whole one there is nothing to bring over: what lies there goes. Answers both, as they are now.
   */
  async makeAnew(fill: (from: Checkpoint, into: Checkpoint) => void, hooks: ChunkHooks = {}): Promise<readonly CheckpointFinished[]> {
    assert(this.#run === undefined, 'one run at a time')
    for (const { name } of this.candidates()) this.verify(name, hooks)
    const [newest] = this.candidates()
    if (newest === undefined) {
      for (const name of environmentNames) this.#store.remove(name)
      this.#store.storage.syncDirectory()
      return []
    }
    const other = newest.name === 'a' ? 'b' : 'a'
    const from = this.read(newest.name, hooks)
    let first: CheckpointFinished
    try {
      first = await this.#filled(other, (into) => fill(from, into), hooks)
    } finally {
      await from.close()
    }
    this.#giveUp(newest.name, 'it was being brought forward')
    writeManifest(this.#store.storage, newest.name, encodeUnderWay(this.#store.kind, this.#databaseId!))
    this.#startOver(newest.name, other, hooks)
    return [first, this.#finish(newest.name, { batch: first.batch, rows: first.rows, hooks })]
  }

  async #filled(name: EnvironmentName, fill: (into: Checkpoint) => void, hooks: ChunkHooks): Promise<CheckpointFinished> {
    assert(this.#databaseId !== undefined, 'a set that is written knows its database')
    this.#giveUp(name, 'it was being brought forward')
    writeManifest(this.#store.storage, name, encodeUnderWay(this.#store.kind, this.#databaseId))
    this.#store.remove(name)
    const into = this.#store.open(name, 'write')
    let held: { readonly batch: number; readonly rows: number }
    try {
      fill(into)
      into.flush()
      held = { batch: into.batch, rows: into.rows }
    } finally {
      await into.close()
    }
    return this.#finish(name, { ...held, hooks })
  }

  /** The checksum of a candidate's file, as its manifest says it. */
  crcOf(name: EnvironmentName): number | undefined {
    return this.#standings[name].manifest?.fileCrc
  }

  /** Copies a candidate, proved, and its manifest into another folder: a set that opens. False when it is damaged. */
  copyTo(target: LogStorage, name: EnvironmentName, hooks: ChunkHooks = {}): boolean {
    const { manifest } = this.#standings[name]
    const fileName = this.#store.fileOf(name)
    if (manifest === undefined || fileName === undefined) return false
    const from = { storage: this.#store.storage, fileName, sum: promisedBy(manifest) }
    if (!copyFile(from, { storage: target, fileName: this.#store.newFileOf(name) }, hooks)) {
      this.#giveUp(name, 'its bytes are not those of its manifest')
      return false
    }
    writeManifest(target, name, encodeManifest(manifest))
    return true
  }

  #giveUp(name: EnvironmentName, why: string): void {
    this.#standings[name] = { manifest: undefined, why, isProved: false }
  }

  /** E1 holds already. What is in the way goes first, so that a full disk has room for the copy. */
  #startOver(name: EnvironmentName, from: EnvironmentName | undefined, hooks: ChunkHooks): void {
    const { storage } = this.#store
    this.#store.remove(name)
    const manifest = from === undefined ? undefined : this.#standings[from].manifest
    if (from === undefined || manifest === undefined) return
    const source = { storage, fileName: this.#store.fileOf(from)!, sum: promisedBy(manifest) }
    if (copyFile(source, { storage, fileName: this.#store.newFileOf(name) }, hooks)) return
    this.#giveUp(from, 'its bytes are not those of its manifest')
  }

  #opened(name: EnvironmentName, access: 'read' | 'write', expected: Manifest | undefined = this.#standings[name].manifest): Checkpoint {
    const checkpoint = this.#store.open(name, access)
    if (expected === undefined || (checkpoint.batch === expected.batch && checkpoint.rows === expected.rows)) return checkpoint
    void checkpoint.close()
    throw checkpointCorrupt(name, 'it holds another batch than its manifest says')
  }

  #finish(name: EnvironmentName, { batch, rows, hooks }: { batch: number; rows: number; hooks: ChunkHooks }): CheckpointFinished {
    const { storage, kind } = this.#store
    storage.syncDirectory()
    const sum = sumOfFile(storage, this.#store.fileOf(name)!, hooks)
    const sequence = 1 + Math.max(0, ...environmentNames.map((one) => this.#standings[one].manifest?.sequence ?? 0))
    const manifest: Manifest = { kind, databaseId: this.#databaseId!, sequence, batch, rows, fileBytes: sum.bytes, fileCrc: sum.crc }
    writeManifest(storage, name, encodeManifest(manifest))
    this.#standings[name] = { manifest, why: '', isProved: true }
    return { name, batch, rows, fileBytes: sum.bytes, sequence }
  }
}

/** An environment on its way forward. Ends with `finish` or `abandon`; a failed `finish` has abandoned it. */
export class CheckpointRun {
  readonly name: EnvironmentName
  readonly checkpoint: Checkpoint
  readonly #prove: (finished: { batch: number; rows: number; hooks: ChunkHooks }) => CheckpointFinished
  readonly #atEnd: () => void
  #hasEnded = false

  constructor(
    name: EnvironmentName,
    checkpoint: Checkpoint,
    prove: (finished: { batch: number; rows: number; hooks: ChunkHooks }) => CheckpointFinished,
    atEnd: () => void,
  ) {
    this.name = name
    this.checkpoint = checkpoint
    this.#prove = prove
    this.#atEnd = atEnd
  }

  /**
   * Applies changes in small steps, and yields after each. In between the environment is between two batches: only `finish` may
   * come after the last step, of these or of more changes up to the same batch.
   */
  *steps(changes: SortedChanges, at: CheckpointAt): Generator<void> {
    for (const slice of changes.slices()) {
      this.checkpoint.apply(slice, at)
      yield
    }
  }

  async finish(hooks: ChunkHooks = {}): Promise<CheckpointFinished> {
    assert(!this.#hasEnded, 'a run ends once')
    this.#hasEnded = true
    const { checkpoint } = this
    const { batch, rows } = checkpoint
    try {
      try {
        checkpoint.flush()
      } finally {
        await checkpoint.close()
      }
      return this.#prove({ batch, rows, hooks })
    } finally {
      this.#atEnd()
    }
  }

  /** Leaves the environment as it is: nobody opens it any more, the next run copies the other one over it. */
  async abandon(): Promise<void> {
    if (this.#hasEnded) return
    this.#hasEnded = true
    try {
      await this.checkpoint.close()
    } finally {
      this.#atEnd()
    }
  }
}

function promisedBy(manifest: Manifest): FileSum {
  return { bytes: manifest.fileBytes, crc: manifest.fileCrc }
}

function standingOf(store: CheckpointStore, name: EnvironmentName, found: ManifestState): Standing {
  const no = (why: string): Standing => ({ manifest: undefined, why, isProved: false })
  switch (found.state) {
    case 'missing':
      return no('missing')
    case 'damaged':
      return no(found.why)
    case 'under way':
      return no('it was being brought forward')
    case 'whole':
      if (found.manifest.kind !== store.kind) return no(`it is of kind ${found.manifest.kind}, and this is a store of kind ${store.kind}`)
      if (store.fileOf(name) === undefined) return no(`${manifestName(name)} says that it is whole, and it is not there`)
      return { manifest: found.manifest, why: '', isProved: false }
  }
}
