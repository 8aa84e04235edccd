/**
 * The control block: the few words through which threads talk. Each word that is written often stands on a cache line of
 * its own.
 *
 *   line  words (Int32 unless said)          written by
 *    0    executed: tick, double             sequencer, at the seal
 *    1    durable:  tick, double             log thread; the sequencer where there is none
 *    2    state, error                       log thread, main: 0 open, 1 stopping, 2 failed
 *    3    mainSleeps                         main sets it, whoever wakes it clears it
 *    4    logSleeps                          log thread, likewise
 *    5    lanes: the batch epoch             sequencer: a new value lets the lanes of the other workers start
 *    6    speculating                        sequencer: the epoch asks for runs of the cross-partition lane, how many; 0: for lanes
 *    7    requestHead                        main
 *    8    requestTail                        sequencer
 *    9    frameHead                          sequencer
 *   10    frameWritten                       log thread
 *   11    frameTail                          sequencer, before it overwrites
 *   12    abandon                            main, a lane (R36)
 *   13    frameBatch: tick, double           sequencer: the newest batch with a frame
 *   14    written: tick, double              log thread: the newest batch whose frame is in the files
 *   15    diskFull                           log thread: 1 from a full disk met ahead of need until there is room again
 *   16+2w sleeps | responseHead of worker w  the worker | sequencer
 *   17+2w responseTail | running, ticks, laneHead, laneEpoch   main | the worker: index + 1 of the running request, 0 between them
 *
 * A batch number is a double beside an Int32 tick: the writer stores the double and then the tick, a reader loads the tick and
 * then the double. An aligned double is loaded and stored in one piece by every processor that Node runs on; a BigInt64 word
 * would say so in the language, and costs 15 ns more for each look (measured).
 *
 * Sleep: set the flag, look again, wait. Wake: publish, then load the flag (R40). A thread may die between any two of these steps, and
 * then owes a wake: whoever hears of its death rouses all. Counters wrap and are compared by difference (R16).
 */
import { assert } from '../base/assert.js'

const line = 16
const halfLine = line / 2
const at = {
  executed: 0, durable: 1, state: 2, mainSleeps: 3, logSleeps: 4, lanes: 5, speculating: 6, requestHead: 7, requestTail: 8,
  frameHead: 9, frameWritten: 10, frameTail: 11, abandon: 12, frameBatch: 13, written: 14, diskFull: 15,
} as const
const perWorkerAt = 16

export const databaseState = { open: 0, stopping: 1, failed: 2 } as const

export type SharedWord = Exclude<keyof typeof at, 'executed' | 'durable' | 'frameBatch' | 'written'>

export class Control {
  readonly buffer: SharedArrayBuffer
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  readonly #alone: boolean

  /** `alone`: no other thread looks, so that plain stores do (a fence costs 20 ns, and a batch has nine). */
  constructor(buffer: SharedArrayBuffer, alone = false) {
    this.buffer = buffer
    this.#alone = alone
    this.#i32 = new Int32Array(buffer)
    this.#f64 = new Float64Array(buffer)
  }

  static create(workers: number): Control {
    return new Control(new SharedArrayBuffer((perWorkerAt + 2 * Math.max(1, workers)) * line * 4))
  }

  // ── batches ───────────────────────────────────────────────────────────────────────────────────────────

  get executed(): number {
    return this.#batch(at.executed)
  }
  set executed(batch: number) {
    assert(batch >= this.#f64[at.executed * halfLine + 1]!, 'executed never decreases')
    this.#setBatch(at.executed, batch)
  }
  /** The newest batch with a frame that has reached the level of the database. */
  get durable(): number {
    return this.#batch(at.durable)
  }
  set durable(batch: number) {
    assert(batch >= this.#f64[at.durable * halfLine + 1]!, 'T3: durable never decreases')
    this.#setBatch(at.durable, batch)
  }
  /** The newest batch with a frame, durable or not; 0 before the first. */
  get frameBatch(): number {
    return this.#batch(at.frameBatch)
  }
  set frameBatch(batch: number) {
    this.#setBatch(at.frameBatch, batch)
  }
  /** The newest batch whose frame is in the files, durable or not. */
  get written(): number {
    return this.#batch(at.written)
  }
  set written(batch: number) {
    this.#setBatch(at.written, batch)
  }
  #batch(place: number): number {
    if (!this.#alone) Atomics.load(this.#i32, place * line)
    return this.#f64[place * halfLine + 1]!
  }
  #setBatch(place: number, batch: number): void {
    this.#f64[place * halfLine + 1] = batch
    if (!this.#alone) Atomics.store(this.#i32, place * line, batch | 0)
  }

  // ── plain words ───────────────────────────────────────────────────────────────────────────────────────

  load(word: SharedWord): number {
    const index = at[word] * line
    return this.#alone ? this.#i32[index]! : Atomics.load(this.#i32, index)
  }
  store(word: SharedWord, value: number): void {
    this.#store(at[word] * line, value)
  }
  #store(index: number, value: number): void {
    if (this.#alone) this.#i32[index] = value
    else Atomics.store(this.#i32, index, value)
  }

  responseHead(worker: number): number {
    return Atomics.load(this.#i32, (perWorkerAt + 2 * worker) * line + 1)
  }
  publishResponses(worker: number, head: number): void {
    this.#store((perWorkerAt + 2 * worker) * line + 1, head)
  }
  responseTail(worker: number): number {
    return Atomics.load(this.#i32, (perWorkerAt + 2 * worker + 1) * line)
  }
  freeResponses(worker: number, tail: number): void {
    this.#store((perWorkerAt + 2 * worker + 1) * line, tail)
  }
  /** What a worker runs: the place of the request + 1, or 0. Counts transactions besides, so that a watchdog sees progress. */
  running(worker: number): { place: number; ticks: number } {
    const base = (perWorkerAt + 2 * worker + 1) * line
    return { place: Atomics.load(this.#i32, base + 1) - 1, ticks: Atomics.load(this.#i32, base + 2) }
  }
  /** Plain stores: a watchdog that looks every now and then needs no more, and this is on the path of every transaction. */
  noteRunning(worker: number, place: number): void {
    const base = (perWorkerAt + 2 * worker + 1) * line
    this.#i32[base + 1] = place + 1
    this.#i32[base + 2] = this.#i32[base + 2]! + 1
  }

  /** Where the answers of a worker's lanes end, for the sequencer to publish at the seal. */
  laneHead(worker: number): number {
    return Atomics.load(this.#i32, (perWorkerAt + 2 * worker + 1) * line + 3)
  }
  setLaneHead(worker: number, head: number): void {
    Atomics.store(this.#i32, (perWorkerAt + 2 * worker + 1) * line + 3, head)
  }

  /** The batch epoch whose lanes a worker has come to the end of. */
  laneEpoch(worker: number): number {
    return Atomics.load(this.#i32, (perWorkerAt + 2 * worker + 1) * line + 4)
  }
  setLaneEpoch(worker: number, epoch: number): void {
    Atomics.store(this.#i32, (perWorkerAt + 2 * worker + 1) * line + 4, epoch)
  }

  // ── sleeping ──────────────────────────────────────────────────────────────────────────────────────────

  /** Sleeps until `wakeWorker`, unless `ready()` turns true first. */
  sleepWorker(worker: number, ready: () => boolean, timeoutMs = Infinity): void {
    this.#sleep((perWorkerAt + 2 * worker) * line, ready, timeoutMs)
  }
  wakeWorker(worker: number): void {
    this.#wake((perWorkerAt + 2 * worker) * line)
  }
  sleepLog(ready: () => boolean, timeoutMs = Infinity): void {
    this.#sleep(at.logSleeps * line, ready, timeoutMs)
  }
  wakeLog(): void {
    this.#wake(at.logSleeps * line)
  }
  /**
   * Makes up for the wakes that a dead thread owed: what it published and told nobody, and a flag that it took down without a
   * notify, which no `wakeWorker` would ever see again. All that sleep look again.
   */
  rouseAll(): void {
    for (let word = perWorkerAt * line; word < this.#i32.length; word += 2 * line) this.#rouse(word)
    this.#rouse(at.logSleeps * line)
  }
  #rouse(word: number): void {
    Atomics.store(this.#i32, word, 0)
    Atomics.notify(this.#i32, word)
  }
  #sleep(word: number, ready: () => boolean, timeoutMs: number): void {
    Atomics.store(this.#i32, word, 1)
    if (!ready()) Atomics.wait(this.#i32, word, 1, timeoutMs)
    Atomics.store(this.#i32, word, 0)
  }
  #wake(word: number): void {
    if (Atomics.load(this.#i32, word) === 1 && Atomics.compareExchange(this.#i32, word, 1, 0) === 1) Atomics.notify(this.#i32, word)
  }

  /** Main announces that it will sleep on its port; true when it may, false when there is something to look at first. */
  mainFallsAsleep(ready: () => boolean): boolean {
    Atomics.store(this.#i32, at.mainSleeps * line, 1)
    if (!ready()) return true
    return Atomics.compareExchange(this.#i32, at.mainSleeps * line, 1, 0) !== 1
  }
  /** True for the one thread that has to ring. */
  mainMustBeRung(): boolean {
    return (
      Atomics.load(this.#i32, at.mainSleeps * line) === 1 &&
      Atomics.compareExchange(this.#i32, at.mainSleeps * line, 1, 0) === 1
    )
  }

  /** Looks at `ready` for at most about `loads` shared loads. The loads are opaque, so the loop is never optimised away. */
  spin(ready: () => boolean, loads: number): boolean {
    for (let n = 0; n < loads; n += 1) {
      if (ready()) return true
      Atomics.load(this.#i32, at.state * line)
    }
    return false
  }
}
