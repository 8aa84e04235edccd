/**
 * One replica with `strength: 'eventual'`: follows the log for the keys of its source that change, and has them copied (txn/replica-copy.ts).
 *
 *   log ──► follower ──► keys, each once, by partition ──► $replicate, one call for some keys ──► all durable: it has reached that batch
 *
 * Invariants:
 *   P1  The cursor stands before every change whose key has not been copied since. Whatever lies behind it is copied again after a
 *       restart, which changes nothing where it has been done: a copy takes a row to its source as it is then.
 *   P2  Without a cursor, or where the log does not reach back to it, every key of source and replica at one snapshot is copied; what
 *       comes after the snapshot is in the log. The cursor is noted when that has ended, so a crash in between begins again.
 *   P3  A row never goes back: copies read what stands, and the lane of its partition runs one at a time.
 *
 * So nothing needs ids, an order, or a share of the log that is held; ten changes of a row between two looks are one copy.
 */
import { ByteWriter } from './base/bytes.js'
import { encodeCanonical } from './base/canonical.js'
import { isDiskFull, isTheEnd, SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { Engine } from './database.js'
import { noteCursor } from './handler-queue.js'
import { LogPump, readOn } from './log-pump.js'
import { endOfBatch, type HandlerCursor } from './schema/handler-ids.js'
import type { CopiedReplica } from './schema/replica-tables.js'
import { unplaced } from './shared/request-ring.js'
import type { TableStore } from './store/table-store.js'
import type { LogFollower } from './stream/log-follower.js'
import type { DecodedTransaction } from './stream/frame-decoder.js'
import type { CopyInput } from './txn/replica-copy.js'

export interface ReplicaState {
  readonly name: string
  readonly source: string
  /** Keys that it has had copied. */
  readonly copied: number
  /** Keys on their way. */
  readonly waiting: number
  /** There is something durable that it has not copied, or not looked at. */
  readonly isBehind: boolean
  /** The batch up to which everything is copied, durably; -1 while it is filled. */
  readonly reached: number
  /** Why it does not go on. */
  readonly stopped: SluiceError | undefined
}

export interface ReplicaFollowerParts {
  readonly engine: Engine
  readonly replica: CopiedReplica
  /** Its place in the program. */
  readonly ordinal: number
  /** Ordinals of the procedures that copy, and that note cursors. */
  readonly procedure: number
  readonly cursorProcedure: number
  /** Under which its cursor is noted. */
  readonly cursorName: string
  /** Undefined: it must be filled. */
  readonly cursor: number | undefined
  /** Follows changes of a table behind a batch. */
  readonly follow: (table: string, after: number) => LogFollower
}

/** Nothing has been copied. */
const nowhere = -1

/** Keys of one partition, for one call. */
interface Portion {
  readonly partition: number
  readonly keys: readonly unknown[]
}

export class ReplicaFollower {
  readonly #parts: ReplicaFollowerParts
  readonly #source: TableStore
  readonly #copy: TableStore
  readonly #cursorName: string
  readonly #writer = new ByteWriter(1_024)
  readonly #pump: LogPump
  /** Undefined while it is filled. */
  #follower: LogFollower | undefined
  #reached: number
  #cursor: number
  #isMoving = false
  #stopped: SluiceError | undefined
  #copied = 0
  #copiedSinceMove = 0
  #waiting = 0

  constructor(parts: ReplicaFollowerParts) {
    this.#parts = parts
    const { engine, replica, cursorName, cursor, follow } = parts
    const { tables } = engine.parts.store
    this.#source = tables[replica.source]!
    this.#copy = tables[replica.table]!
    this.#cursorName = cursorName
    this.#reached = this.#cursor = cursor ?? nowhere
    this.#pump = new LogPump(engine, () => this.#look(), (error) => this.#stop(error))
    if (cursor !== undefined) this.#follower = follow(this.#source.name, cursor)
  }

  get state(): ReplicaState {
    const isBehind = this.#follower === undefined || this.#waiting > 0 || this.#follower.isBehind() || this.#reached < this.#follower.batch
    return { name: this.#copy.name, source: this.#source.name, copied: this.#copied, waiting: this.#waiting, isBehind, reached: this.#reached, stopped: this.#stopped }
  }

  start(): void {
    this.#pump.start()
  }

  close(): void {
    this.#pump.close()
    this.#follower?.close()
  }

  // ── following ─────────────────────────────────────────────────────────────────────────────────────────

  async #look(): Promise<void> {
    if (this.#stopped !== undefined) return
    if (this.#follower === undefined) await this.#fill()
    while (!this.#pump.isClosed && this.#follower!.isBehind()) if (!(await this.#step())) break
    this.#moveCursor(false)
  }

  /** Some of what is behind; false where that is not in the files yet: the next advance finds it. */
  async #step(): Promise<boolean> {
    const follower = this.#follower!
    const read: DecodedTransaction[] = []
    let isNews: boolean
    try {
      isNews = await readOn(follower, limits.replicaTransactionsAheadMax, read)
    } catch (error) {
      if (this.#pump.isClosed || !SluiceError.is(error, 'HISTORY_GONE')) throw error
      follower.close()
      await this.#fill() // P2
      return true
    }
    const { batch } = follower
    const keys = new Keys(this.#source)
    for (const { changes } of read) for (const { key } of changes) keys.add(key)
    await this.#copyAll(keys)
    if (!this.#pump.isClosed) this.#reached = Math.max(this.#reached, batch)
    return isNews
  }

  // ── filling ───────────────────────────────────────────────────────────────────────────────────────────

  /** P2. */
  async #fill(): Promise<void> {
    this.#follower = undefined
    for (let pauses = 0; !this.#pump.isClosed; pauses += 1) {
      try {
        await this.#fillOnce()
        return
      } catch (error) {
        // No slot for a snapshot, or it was given up: memory is short.
        if (!SluiceError.is(error) || !(error.retryable || error.code === 'SNAPSHOT_TOO_OLD')) throw error
        await this.#pump.pause(pauses)
      }
    }
  }

  async #fillOnce(): Promise<void> {
    const { engine, follow } = this.#parts
    const view = engine.openView()!
    try {
      for (const table of [this.#source, this.#copy]) {
        let keys = new Keys(this.#source)
        for (const row of view.all(table)) {
          const key = this.#keyOf(row)
          if (table === this.#copy && view.find(this.#source, key) !== 0) continue // it was one of the source's
          keys.add(key)
          if (keys.count < limits.replicaTransactionsAheadMax) continue
          await this.#copyAll(keys)
          if (this.#pump.isClosed) return
          keys = new Keys(this.#source)
        }
        await this.#copyAll(keys)
      }
    } finally {
      view.close()
    }
    if (this.#pump.isClosed) return
    this.#follower = follow(this.#source.name, view.batch)
    this.#reached = view.batch
    this.#cursor = nowhere
    this.#moveCursor(true)
  }

  #keyOf(row: Readonly<Record<string, unknown>>): unknown {
    const { columns, key } = this.#source.descriptor
    const values = key.map((ordinal) => row[columns[ordinal]!.name])
    return values.length === 1 ? values[0] : values
  }

  // ── copying ───────────────────────────────────────────────────────────────────────────────────────────

  /** Resolves when all of them are copied and durable. */
  async #copyAll(keys: Keys): Promise<void> {
    if (keys.count === 0) return
    this.#waiting += keys.count
    const copies = keys.portions().map((portion) => this.#copyPortion(portion, 0))
    this.#moveCursor(true) // in the batch of these
    await Promise.all(copies)
  }

  async #copyPortion(portion: Portion, pauses: number): Promise<void> {
    const { keys, partition } = portion
    const error = await this.#submit(portion)
    if (error === undefined) {
      this.#copied += keys.length
      this.#copiedSinceMove += keys.length
      this.#waiting -= keys.length
      return
    }
    if (this.#pump.isClosed || isTheEnd(error)) throw error
    if (error.code === 'OUT_OF_SPACE' && !isDiskFull(error) && keys.length > 1) {
      // More than one transaction may write: half of it may be less.
      const half = keys.length >>> 1
      await this.#copyPortion({ partition, keys: keys.slice(0, half) }, pauses)
      await this.#copyPortion({ partition, keys: keys.slice(half) }, pauses)
      return
    }
    if (!error.retryable && error.code !== 'OUT_OF_SPACE') throw error
    await this.#pump.pause(pauses)
    await this.#copyPortion(portion, pauses + 1)
  }

  #submit({ partition, keys }: Portion): Promise<SluiceError | undefined> {
    const { engine, procedure, ordinal } = this.#parts
    this.#writer.reset()
    encodeCanonical(keys, this.#writer)
    const input: CopyInput = { replica: ordinal, keys: this.#writer.copy() }
    return new Promise((resolve) => {
      try {
        engine.submit(procedure, input, { done: () => resolve(undefined), failed: (_index, error) => resolve(error) }, 0, { partition, isOwn: true, whenFull: 'wait' })
      } catch (error) {
        resolve(error as SluiceError)
      }
    })
  }

  // ── the cursor ────────────────────────────────────────────────────────────────────────────────────────

  /** `isUnderWay`: calls are being handed in, in whose batch the move finds its place. */
  #moveCursor(isUnderWay: boolean): void {
    const to = this.#reached
    if (this.#isMoving || this.#pump.isClosed || to <= this.#cursor) return
    const isFar = this.#cursor === nowhere || this.#copiedSinceMove >= limits.replicaTransactionsAheadMax || to - this.#cursor >= limits.handlerCursorBatchesMax
    if (!isFar && !(isUnderWay && this.#copiedSinceMove > 0)) return
    const { engine, cursorProcedure } = this.#parts
    const cursor: HandlerCursor = { batch: to, index: endOfBatch }
    this.#isMoving = true
    this.#copiedSinceMove = 0
    const settled = (moved: boolean): void => {
      this.#isMoving = false
      if (moved) this.#cursor = to
    }
    noteCursor(engine, cursorProcedure, this.#cursorName, cursor).then(
      () => settled(true),
      () => settled(false), // another time: more is copied again then
    )
  }

  #stop(error: unknown): void {
    if (this.#pump.isClosed || this.#stopped !== undefined) return
    this.#stopped = SluiceError.is(error) ? error : SluiceError.of('LOG_CORRUPT', `Replica "${this.#copy.name}" could not read the log: ${String(error)}`, { cause: error })
    this.#follower?.close()
  }
}

/** Keys of a source, each once, by partition. */
class Keys {
  count = 0
  readonly #table: TableStore
  readonly #writer = new ByteWriter(256)
  readonly #byPartition = new Map<number, Map<string, unknown>>()

  constructor(table: TableStore) {
    this.#table = table
  }

  add(key: unknown): void {
    const { isGlobal } = this.#table
    this.#table.key.set(key)
    const partition = isGlobal ? unplaced : this.#table.partitionOfKey()
    let keys = this.#byPartition.get(partition)
    if (keys === undefined) this.#byPartition.set(partition, (keys = new Map()))
    this.#writer.reset()
    encodeCanonical(key, this.#writer)
    const bytes = Buffer.from(this.#writer.memory.buffer, this.#writer.memory.byteOffset, this.#writer.length).toString('latin1')
    if (keys.has(bytes)) return
    keys.set(bytes, key)
    this.count += 1
  }

  portions(): readonly Portion[] {
    const portions: Portion[] = []
    for (const [partition, keys] of this.#byPartition) {
      let some: unknown[] = []
      let bytes = 0
      for (const [text, key] of keys) {
        if (some.length === limits.replicaKeysMax || (some.length > 0 && bytes + text.length > limits.replicaKeysBytesMax)) {
          portions.push({ partition, keys: some })
          some = []
          bytes = 0
        }
        some.push(key)
        bytes += text.length
      }
      if (some.length > 0) portions.push({ partition, keys: some })
    }
    return portions
  }
}
