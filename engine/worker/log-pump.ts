/**
 * What the log thread does, step by step: write what is sealed and sync it (group commit), prepare the next segment,
 * certify in idle times. Whoever steps it decides when and where: a thread of its own (log-main.ts), or a simulator that
 * runs the whole engine in one thread.
 *
 *   frames are there       append them all, sync once, show it to everybody; then what is due of the next segment
 *   no frames              one step of the next segment, if it is due
 *   nor that               50 ms after the last group, a certificate
 *
 * Invariants:
 *   P1  `durable` follows the sync (T4), never the other way round.
 *   P2  `diskFull` is set when preparing the next segment meets a full disk, and stays until that segment is whole. Main
 *       refuses new calls meanwhile; those it took before have the rest of this segment, and what is prepared of the next.
 *   P3  After a failure, which `step` throws, nothing is written or synced (the writer's W2).
 *
 * Why prepare also between groups and not only in idle times: a log that is never idle would write the whole segment, and
 * meet the full disk, at the very frame that needs it.
 */
import { limits } from '../base/limits.js'
import type { Control } from '../shared/control.js'
import type { FrameRing } from '../shared/frame-ring.js'
import type { Statistics } from '../shared/statistics.js'
import type { Durability, LogWriter } from '../../wal/index.js'

export interface LogPumpParts {
  readonly control: Control
  readonly frames: FrameRing
  readonly writer: LogWriter
  readonly durability: Durability
  readonly statistics: Statistics
  /** Milliseconds that never go back. */
  readonly monotonicMs: () => number
  /** Main sleeps and has something to look at. */
  readonly ring: () => void
}

export class LogPump {
  readonly #parts: LogPumpParts
  /** In the ring, of the first frame that is not in the files. */
  #counter: number
  #certifyAtMs = Infinity
  /** Infinity: the disk is not full. */
  #retryAtMs = Infinity

  constructor(parts: LogPumpParts) {
    this.#parts = parts
    this.#counter = parts.control.load('frameWritten')
  }

  get hasFrames(): boolean {
    return this.#parts.frames.publishedHead !== this.#counter
  }

  /** How long nothing is due, if no frame comes: Infinity when nothing ever will be. */
  get waitMs(): number {
    const due = Math.min(this.#certifyAtMs, this.#retryAtMs)
    return due === Infinity ? Infinity : Math.max(0, due - this.#parts.monotonicMs())
  }

  /** Does the most urgent thing. `'idle'`: nothing is to be done before a frame comes or `waitMs` has passed. */
  step(): 'worked' | 'idle' {
    if (this.hasFrames) {
      this.#writeGroup()
      while (this.#retryAtMs === Infinity && this.#prepare());
      return 'worked'
    }
    return this.#prepare() || this.#certify() ? 'worked' : 'idle'
  }

  /** Writes what is there and syncs once; then lets everybody see it. */
  #writeGroup(): void {
    const { control, frames, writer, durability, statistics, ring, monotonicMs } = this.#parts
    const beganMs = monotonicMs()
    const head = frames.publishedHead
    let counter = this.#counter
    for (let entry = frames.read(counter, head); entry !== undefined; entry = frames.read(counter, head)) {
      writer.append(entry.body, { batch: entry.batch, previous: entry.previous })
      counter = entry.next
    }
    writer.sync()
    this.#counter = counter
    const nowMs = monotonicMs()
    // First, so that who hears of the frames finds them counted.
    statistics.record('sync', nowMs - beganMs)
    statistics.add('syncs', 1)
    control.store('frameWritten', counter)
    control.written = writer.writtenUpTo
    // At 'memory' the sequencer has said so before (seal.ts).
    if (writer.durableUpTo > control.durable && durability !== 'memory') control.durable = writer.durableUpTo
    if (durability !== 'memory' && statistics.mayLeave('durable')) statistics.leave('durable', writer.durableUpTo, nowMs)
    control.wakeWorker(0)
    if (control.mainMustBeRung()) ring()
    this.#certifyAtMs = nowMs + limits.certifyAfterMs
  }

  /** One step of the next segment. True when there may be another one to take. */
  #prepare(): boolean {
    const { writer, control, monotonicMs } = this.#parts
    const wasFull = this.#retryAtMs !== Infinity
    if (wasFull && monotonicMs() < this.#retryAtMs) return false
    const preparation = writer.prepareNext(wasFull ? 'whole' : 'due')
    if (preparation === 'no-space') {
      this.#retryAtMs = monotonicMs() + limits.diskRetryMs
      control.store('diskFull', 1)
    } else if (preparation === 'ready' && wasFull) {
      this.#retryAtMs = Infinity
      control.store('diskFull', 0)
    }
    return preparation === 'underway'
  }

  #certify(): boolean {
    const { writer, monotonicMs } = this.#parts
    if (this.#certifyAtMs === Infinity || monotonicMs() < this.#certifyAtMs) return false
    this.#certifyAtMs = Infinity
    writer.certify()
    return true
  }
}
