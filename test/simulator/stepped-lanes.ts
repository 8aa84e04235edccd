/**
 * The lanes of W workers in one thread: each worker has its own objects over the shared memory, as in its own thread, and
 * the lanes of a batch are run one at a time, the next one of a worker that chance picks. Lanes of different workers touch
 * nothing in common (that is what R25 and the domains are for), so their order must never show.
 *
 * Workers may be killed: before a request, or when it has been answered and recorded, with everything in between left as
 * it is. What the supervisor does then for a lane's worker is done here; for the sequencer's, `SequencerDied` leaves the
 * batch where it is, and the life (life.ts) repairs.
 */
import { limits } from '../../engine/base/limits.js'
import type { LaneRunner } from '../../engine/partition/lane-runner.js'
import type { Program } from '../../engine/schema/descriptor.js'
import type { LaneHost } from '../../engine/sequencer/sequencer.js'
import { outcomeOfCode } from '../../engine/txn/outcome.js'
import { Realm } from '../../engine/txn/realm.js'
import { BrokenBatch } from '../../engine/txn/transaction.js'
import { EngineParts, type EnginePlan } from '../../engine/worker/engine-plan.js'
import { makeRunner } from '../../engine/worker/lane-hosts.js'
import type { Random } from '../support/random.js'

export class WorkerDied extends Error {}
export class SequencerDied extends Error {}

interface Worker {
  readonly parts: EngineParts
  readonly runner: LaneRunner
}

export class SteppedLanes implements LaneHost {
  readonly #program: Program
  readonly #plan: EnginePlan
  readonly #chance: Random
  readonly #workers: Worker[] = []
  readonly #realm = new Realm()
  /** Requests until a worker dies; Infinity when nobody is to. */
  #untilDeath = Infinity
  deaths = 0

  constructor(program: Program, plan: EnginePlan, chance: Random) {
    this.#program = program
    this.#plan = plan
    this.#chance = chance
    for (let worker = 0; worker < plan.store.domains; worker += 1) this.#start(worker)
  }

  /** The parts of the sequencer's thread. */
  get sequencerParts(): EngineParts {
    return this.#workers[0]!.parts
  }

  /** A worker dies at the `requests`-th time from now that it begins or ends a request. */
  armDeath(requests: number): void {
    this.#untilDeath = requests
  }

  /** Another thread takes the place of the sequencer's. */
  restartSequencer(): void {
    this.#start(0)
  }

  enter(): void {
    this.#realm.enter()
  }
  leave(): void {
    this.#realm.leave()
  }

  runLanes(): void {
    const left = new Map<number, number[]>()
    let broken: BrokenBatch | undefined
    for (const [worker, { parts, runner }] of this.#workers.entries()) {
      const { store, control, record, plan } = parts
      store.reclaim(worker, control.durable, record.batch, limits.reclaimMarksPerBatchMax)
      runner.beginBatch()
      const step = Math.max(1, plan.workers)
      const own: number[] = []
      for (let partition = worker; partition <= record.lastLane; partition += step) own.push(partition)
      if (own.length > 0) left.set(worker, own)
    }
    while (left.size > 0) {
      const worker = this.#chance.pick([...left.keys()])
      const own = left.get(worker)!
      try {
        this.#workers[worker]!.runner.runPartition(own.shift()!)
      } catch (error) {
        if (error instanceof WorkerDied) this.#bury(worker)
        else if (!(error instanceof BrokenBatch)) throw error
        broken ??= new BrokenBatch('a lane of another worker broke the batch')
        own.length = 0
      }
      if (own.length === 0) left.delete(worker)
    }
    const { control } = this.sequencerParts
    for (let worker = 1; worker < this.#workers.length; worker += 1) {
      control.setLaneHead(worker, this.#workers[worker]!.parts.responses[worker]!.head)
    }
    if (broken !== undefined) throw broken
  }

  runCross(strays: number): void {
    try {
      this.#workers[0]!.runner.runCross(strays)
    } catch (error) {
      if (!(error instanceof WorkerDied)) throw error
      this.#bury(0)
    }
  }

  #start(worker: number): void {
    const parts = new EngineParts(this.#program, this.#plan, worker)
    const note = parts.control.noteRunning.bind(parts.control)
    parts.control.noteRunning = (who, place) => {
      // The end of a request is noted when all of it is done: a thread that dies there had it running.
      this.#untilDeath -= 1
      const dies = this.#untilDeath <= 0
      if (!dies || place >= 0) note(who, place)
      if (!dies) return
      this.#untilDeath = Infinity
      throw new WorkerDied()
    }
    this.#workers[worker] = { parts, runner: makeRunner(parts, worker, this.#realm) }
  }

  #bury(worker: number): void {
    this.deaths += 1
    if (worker === 0) throw new SequencerDied()
    const { control, record, requests } = this.sequencerParts
    const { place } = control.running(worker)
    control.noteRunning(worker, -1)
    requests.condemn(record.offset(place), outcomeOfCode('WORKER_LOST'))
    record.condemn(place, outcomeOfCode('WORKER_LOST'))
    this.#start(worker)
  }
}
