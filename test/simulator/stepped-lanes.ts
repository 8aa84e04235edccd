/**
 * The lanes of W workers in one thread: each worker has its own objects over the shared memory, as in its own thread, and
 * the lanes of a batch are run one at a time, the next one of a worker that chance picks. Lanes of different workers touch
 * nothing in common (that is what R25 and the domains are for), so their order must never show.
 *
 * The cross-partition lane is run ahead the same way, where the plan says so: whenever a worker takes a request, another one that has
 * not begun yet may come before it. So each has some of the requests, and what one does lies between steps of the others.
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
import { CrossLane, makeRunner, OwnSpeculation } from '../../engine/worker/lane-hosts.js'
import type { SpeculationCounts } from '../../engine/partition/speculated-lane.js'
import type { Random } from '../support/random.js'

export class WorkerDied extends Error {}
export class SequencerDied extends Error {}

interface Worker {
  readonly parts: EngineParts
  readonly runner: LaneRunner
  readonly ahead: OwnSpeculation
}

export class SteppedLanes implements LaneHost {
  readonly #program: Program
  readonly #plan: EnginePlan
  readonly #chance: Random
  readonly #workers: Worker[] = []
  readonly #realm = new Realm()
  /** Requests until a worker dies; Infinity when nobody is to. */
  #untilDeath = Infinity
  #diesAhead = false
  #isAhead = false
  #cross!: CrossLane
  /** Workers that have not begun to run ahead. */
  #waiting: number[] = []
  #toRunAhead = 0
  #sequencerDied = false
  deaths = 0
  /** Workers that died while they ran ahead. */
  deathsAhead = 0

  constructor(program: Program, plan: EnginePlan, chance: Random) {
    this.#program = program
    this.#plan = plan
    this.#chance = chance
    for (let worker = 0; worker < plan.store.domains; worker += 1) this.#start(worker)
  }

  /** What became of the runs ahead of the last batch that had some. */
  get counts(): SpeculationCounts | undefined {
    return this.#cross.counts
  }

  /** The parts of the sequencer's thread. */
  get sequencerParts(): EngineParts {
    return this.#workers[0]!.parts
  }

  /** A worker dies at the `requests`-th time from now that it begins or ends a request; only ahead of its turn, where that is asked and happens. */
  armDeath(requests: number, onlyAhead = false): void {
    this.#untilDeath = requests
    this.#diesAhead = onlyAhead && this.#plan.speculation !== undefined
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
      this.#cross.run(strays)
    } catch (error) {
      if (!(error instanceof WorkerDied)) throw error
      this.#bury(0)
    }
  }

  /** All workers run so many requests of the cross-partition lane ahead, until none is left. */
  #runAhead(count: number): void {
    const { control } = this.sequencerParts
    control.store('speculating', count)
    this.#toRunAhead = count
    this.#waiting = [...this.#workers.keys()]
    this.#sequencerDied = false
    this.#isAhead = true
    while (this.#waiting.length > 0) this.#beginAhead()
    this.#isAhead = false
    // The others come to the end of their runs, whoever has died; then the supervisor sees to it.
    if (this.#sequencerDied) throw new SequencerDied()
    control.store('speculating', 0)
  }

  #beginAhead(): void {
    const [worker] = this.#waiting.splice(this.#chance.below(this.#waiting.length), 1) as [number]
    try {
      this.#workers[worker]!.ahead.run(this.#toRunAhead)
    } catch (error) {
      if (!(error instanceof WorkerDied)) throw error
      this.#buryAhead(worker)
    }
  }

  /** As `Supervisor` does: nobody is blamed, the request runs in order. */
  #buryAhead(worker: number): void {
    this.deaths += 1
    this.deathsAhead += 1
    if (worker === 0) {
      this.#sequencerDied = true
      return
    }
    const { control, record } = this.sequencerParts
    control.noteRunning(worker, -1)
    record.mustRunInOrder = true
    this.#start(worker)
  }

  #start(worker: number): void {
    const parts = new EngineParts(this.#program, this.#plan, worker)
    const note = parts.control.noteRunning.bind(parts.control)
    parts.control.noteRunning = (who, place) => {
      // The end of a request is noted when all of it is done: a thread that dies there had it running.
      if (this.#isAhead || !this.#diesAhead) this.#untilDeath -= 1
      const dies = this.#untilDeath <= 0
      if (!dies || place >= 0) note(who, place)
      if (!dies) return
      this.#untilDeath = Infinity
      throw new WorkerDied()
    }
    if (parts.speculation !== undefined) {
      const { claims } = parts.speculation
      const take = claims.take.bind(claims)
      claims.take = () => {
        while (this.#waiting.length > 0 && this.#chance.chance(0.3)) this.#beginAhead()
        return take()
      }
    }
    const runner = makeRunner(parts, worker, this.#realm)
    this.#workers[worker] = { parts, runner, ahead: new OwnSpeculation(parts, worker, this.#realm) }
    if (worker === 0) this.#cross = new CrossLane(parts, runner, (count) => this.#runAhead(count))
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
