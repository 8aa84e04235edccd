/**
 * The simulator: the whole engine in one thread, lived through by a seed.
 *
 * A scheduler picks the next step: calls come, main has its turn, a batch runs, the log thread takes a step, snapshots are
 * taken, read and closed, a subscriber reads, the disk fails, a worker dies, the power goes. After each death a new life
 * recovers from what the disk kept. The oracle (oracle.ts) says after every step whether that was right.
 *
 * Checked: answers, changes and events are those of the serial run on plain maps; whatever anybody was told of (answers,
 * events, reads) survives; what is recovered is an exact prefix of what was sealed; snapshots never change; the store
 * passes its own walk.
 *
 * Chance comes in three streams, so that the number of workers changes nothing of the schedule: one for the plan (which
 * calls), one for the schedule (which step), one for the order of lanes. That is what row 25 compares.
 */
import { SluiceError } from '../../engine/base/errors.js'
import type { Program } from '../../engine/schema/descriptor.js'
import type { SnapshotView } from '../../engine/store/snapshot-view.js'
import { checkStore } from '../../engine/store/check.js'
import type { LoggedCatalog } from '../../engine/schema/catalog.js'
import { allRecords, FrameDecoder, type DecodedTransaction } from '../../engine/stream/frame-decoder.js'
import { LogFollower } from '../../engine/stream/log-follower.js'
import { FrameRing } from '../../engine/shared/frame-ring.js'
import { decodeSchema, FrameBodyReader, LogReader, recoverLog, type Durability, type LogStorage, type StorageFault, type StorageOperation } from '../../wal/index.js'
import type { Call } from '../support/plans.js'
import { randomOf, type Random } from '../support/random.js'
import { canon } from '../support/canon.js'
import { CallSource } from './call-source.js'
import { Life } from './life.js'
import { mustShow, Oracle, type Frame } from './oracle.js'
import { SimulatedDisk, type Folder, type OnOperation } from './simulated-disk.js'

export interface SimulationOptions {
  readonly seed: number
  readonly workers: number
  readonly steps: number
  /** Without: nothing fails, nobody dies, nothing crashes. */
  readonly faults: boolean
  /** Workers die: the answers then depend on how many there are. */
  readonly deaths: boolean
  /** The cross-partition lane is run ahead by all workers: nobody must see a difference. */
  readonly runsAhead?: boolean
  /** What chance decides otherwise. */
  readonly durability?: Durability
  readonly segmentBytesMax?: number
  /** Besides those that chance makes. */
  readonly checkpointEvery?: number
  /** Looks at every operation of the disk before it happens, and may make it fail; not while a later life opens. */
  readonly onOperation?: (operation: StorageOperation, at: Moment) => StorageFault | undefined
  /** Sees every frame that is sealed: to find where two runs part. */
  readonly onSeal?: (batch: number, body: Uint8Array) => void
  /** The wall clock says something else in every life. */
  readonly clockJumps?: boolean
  /** Edits the disk between two lives. */
  readonly onRestart?: (disk: SimulatedDisk) => void
  readonly databaseId?: Uint8Array
  /** How the last life ends. */
  readonly ending?: Ending
}

export type Ending = 'power' | 'kill' | 'close'

/** A look at a running simulation. */
export interface Moment {
  readonly disk: SimulatedDisk
  /** Of the operation that is looked at. */
  readonly folder: Folder
  readonly databaseId: Uint8Array
  readonly durability: Durability
  readonly frames: readonly Frame[]
  /** So many of them must survive. */
  readonly promised: number
  /** The log has failed in this life. */
  readonly hasFailed: boolean
  /** It is the log thread that asks. */
  readonly isLogThread: boolean
}

export interface SimulationResult {
  readonly lives: number
  readonly batches: number
  readonly calls: number
  readonly answers: number
  readonly lostFrames: number
  readonly deaths: number
  /** Of them, those of workers that ran ahead of their turn. */
  readonly deathsAhead: number
  /** Runs ahead that were committed, and those that were made again. */
  readonly kept: number
  readonly stale: number
  readonly failures: number
  /** Lives that began with a checkpoint, and checkpoints that were made. */
  readonly checkpoints: number
  readonly jobs: number
  /** How often the subscriber had fallen behind the ring. */
  readonly fromFiles: number
  readonly steps: Readonly<Record<string, number>>
  /** A hash of all files as they are at the end, and of all frames of all lives. */
  readonly disk: string
}

interface Asked {
  readonly call: Call
  readonly id: string | undefined
  /** Versions between which it ran; undefined until a batch has run since it was asked. */
  low: number | undefined
  high: number
}

interface Held {
  readonly view: SnapshotView
  readonly batch: number
}

export const simulatedId = Uint8Array.from({ length: 16 }, (_, n) => n * 11 + 3)
class ProcessDied extends Error {}

const noFault = (): undefined => undefined

/** What a seed decides where nobody says otherwise: every seed has its own number of workers, so that a seed says all. */
export const lifeOf = (seed: number, rest: Partial<SimulationOptions> = {}): SimulationOptions => ({
  seed,
  workers: seed % 5,
  steps: 80,
  faults: true,
  deaths: true,
  runsAhead: seed % 3 !== 0,
  ...rest,
})

export async function simulate(program: Program, options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(program, options)
  return simulation.run()
}

class Simulation {
  readonly #program: Program
  readonly #options: SimulationOptions
  readonly #schedule: Random
  readonly #laneSeeds: Random
  readonly #durability: Durability
  readonly #segmentBytesMax: number
  readonly #historyBytes: number
  readonly #source: CallSource
  readonly #ids = new Map<number, string>()
  readonly #oracle: Oracle
  readonly #counts: Record<string, number> = {}
  #disk: SimulatedDisk
  #job: Promise<void> | undefined
  #keepLogBytes: number
  #onOperation: OnOperation = noFault
  #life!: Life
  #asked = new Map<number, Asked>()
  /** Calls with an id of which nobody knows what became. */
  #unknown: number[] = []
  #held: Held[] = []
  #follower!: LogFollower
  /** Versions that the subscriber has been given. */
  #delivered = 0
  #sealedCounter = 0
  #ring!: FrameRing
  readonly #databaseId: Uint8Array
  #isOpening = false
  #hasDied = false
  #isLogStep = false
  #wallMs = 1_700_000_000_000
  #deathsOfLife = 0
  #deathsAheadOfLife = 0
  #digest = 0
  #tally = { lives: 0, batches: 0, answers: 0, lostFrames: 0, deaths: 0, deathsAhead: 0, kept: 0, stale: 0, failures: 0, calls: 0, checkpoints: 0, jobs: 0, fromFiles: 0 }

  constructor(program: Program, options: SimulationOptions) {
    this.#program = program
    this.#options = options
    this.#schedule = randomOf(options.seed)
    this.#laneSeeds = randomOf(options.seed ^ 0x5bd1_e995)
    this.#source = new CallSource(options.seed ^ 0x1234_567)
    const { below, chance } = this.#schedule
    const durability = chance(0.75) ? 'fsync' : chance(0.6) ? 'os' : 'memory'
    const segmentBytesMax = 8_192 << below(4)
    this.#durability = options.durability ?? durability
    this.#segmentBytesMax = options.segmentBytesMax ?? segmentBytesMax
    this.#historyBytes = chance(0.3) ? 0 : 1 << (10 + below(8))
    this.#oracle = new Oracle(this.#source.calls)
    this.#databaseId = options.databaseId ?? simulatedId
    this.#keepLogBytes = this.#schedule.pick([0, 8_192, 65_536])
    this.#disk = SimulatedDisk.create(this.#onDisk)
  }

  async run(): Promise<SimulationResult> {
    await this.#open()
    for (let step = 0; step < this.#options.steps; step += 1) {
      try {
        await this.#step()
        if (step % (this.#options.checkpointEvery ?? Infinity) === 1) this.#checkpoint()
        for (let n = 0; n < 4; n += 1) await Promise.resolve()
        if (this.#jobFailure !== undefined) throw this.#jobFailure
      } catch (error) {
        const which = `seed ${this.#options.seed}, workers ${this.#options.workers}, step ${step} of life ${this.#tally.lives}`
        throw new Error(`${which}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
      }
    }
    this.#onOperation = noFault
    if (this.#hasDied) await this.#restart(0)
    await this.#settle()
    if (this.#life.isOpen && this.#asked.size > 0) throw new Error(`${this.#asked.size} calls were never answered`)
    await this.#end(this.#options.ending ?? 'close')
    await this.#open()
    return { ...this.#tally, steps: this.#counts, disk: `${this.#digest.toString(16)} ${this.#digestOfDisk().toString(16)}` }
  }

  // ── the schedule ──────────────────────────────────────────────────────────────────────────────────────

  async #step(): Promise<void> {
    const { faults, deaths } = this.#options
    const die = this.#schedule.fraction()
    if (this.#hasDied) return this.#count('death', () => this.#restart(die))
    if (!this.#life.isOpen && die < 0.4) return this.#count('restart', () => this.#restart(die * 2.5))
    if (die < 0.3) return this.#count('submit', () => this.#submit())
    if (die < 0.5) return this.#count('batch', () => this.#batch())
    if (die < 0.7) return this.#count('log', () => this.#stepLog())
    if (die < 0.8) return this.#count('turn', () => this.#turn())
    if (die < 0.84) return this.#count('pass', () => this.#life.world.pass(this.#schedule.below(120)))
    if (die < 0.88) return this.#count('hold', () => this.#hold())
    if (die < 0.91) return this.#count('release', () => this.#release())
    if (die < 0.94) return this.#count('subscribe', () => this.#subscribe())
    if (die < 0.95) return this.#count('repeat', () => this.#repeat())
    if (die < 0.96) return this.#count('checkpoint', () => this.#checkpoint())
    // The same die for everybody: with and without faults the rest of the schedule is the same.
    const bad = this.#schedule.fraction()
    if (die < 0.97 && deaths) return this.#count('arm', () => this.#life.lanes.armDeath(1 + Math.floor(bad * 12), Math.floor(bad * 48) % 2 === 1))
    if (!faults) return
    if (die < 0.985) return this.#count('fault', () => this.#armFault(bad))
    if (die < 0.991) return this.#count('restart', () => this.#restart(bad))
  }

  async #restart(bad: number): Promise<void> {
    if (bad < 0.5) await this.#end('power')
    else if (bad < 0.8 || this.#hasDied) await this.#end('kill')
    else {
      await this.#settle()
      await this.#end('close')
    }
    await this.#open()
    // A machine that kills processes may be about to die itself: what was read meanwhile must stay.
    const dies = this.#schedule.chance(0.25)
    if (bad < 0.5 || !dies) return
    this.#hold()
    await this.#end('power')
    await this.#open()
  }

  async #count(name: string, step: () => void | Promise<void>): Promise<void> {
    this.#counts[name] = (this.#counts[name] ?? 0) + 1
    await step()
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────

  #submit(): void {
    const many = 1 + this.#schedule.below(6)
    for (let n = 0; n < many; n += 1) {
      const call = this.#source.next()
      const id = this.#schedule.chance(0.3) ? `call-${call.n}` : undefined
      if (id !== undefined) this.#ids.set(call.n, id)
      this.#ask(call, id)
    }
    this.#life.world.endTick()
  }

  /** Calls of earlier lives whose fate is unknown are asked again: they have one effect, and one answer. */
  #repeat(): void {
    // Main hears of them in an order that depends on the number of workers.
    const n = this.#unknown.sort((a, b) => a - b).shift()
    if (n === undefined) return
    this.#ask(this.#source.calls.get(n)!, this.#ids.get(n))
    this.#life.world.endTick()
  }

  #ask(call: Call, id: string | undefined): void {
    const { engine } = this.#life
    const name = call.at === null ? 'main.run' : 'main.runAt'
    const procedure = this.#program.procedures.findIndex((one) => one.descriptor.name === name)
    const input = call.at === null ? { script: call.script } : { at: call.at, script: call.script }
    const asked: Asked = { call, id, low: undefined, high: 0 }
    const caller = {
      done: (_: number, value: unknown) => this.#answered(asked, { value }),
      failed: (_: number, error: unknown) => this.#answered(asked, { error }),
    }
    try {
      engine.submit(procedure, input, caller, 0, id === undefined ? {} : { id })
    } catch (error) {
      if (!SluiceError.is(error)) throw error
      if (error.code === 'LOG_FAILED' && this.#life.isOpen) throw error
      if (!['LOG_FAILED', 'OVERLOADED', 'OUT_OF_SPACE', 'INVALID_INPUT', 'WORKER_LOST'].includes(error.code)) throw error
      return
    }
    this.#tally.calls += 1
    this.#asked.set(call.n, asked)
  }

  #answered(asked: Asked, answer: { readonly value: unknown } | { readonly error: unknown }): void {
    const { n } = asked.call
    this.#asked.delete(n)
    if ('error' in answer && SluiceError.is(answer.error, 'COMMIT_UNKNOWN')) {
      if (this.#life.isOpen) throw new Error(`call ${n} is unknown, and the database is open`)
      if (asked.id !== undefined) this.#unknown.push(n)
      return
    }
    this.#tally.answers += 1
    if (asked.low === undefined && this.#oracle.versionOf(n) === undefined) throw new Error(`call ${n} was answered before any batch ran`)
    this.#oracle.answered(n, answer, { low: asked.low ?? 0, high: asked.high })
    const version = this.#oracle.versionOf(n)
    const { durable } = this.#life.parts.control
    if (version !== undefined && version.batch > durable) throw new Error(`call ${n} was answered before its batch ${version.batch} was durable (${durable})`)
    if (version !== undefined) this.#oracle.promise(version.batch)
  }

  // ── threads ───────────────────────────────────────────────────────────────────────────────────────────

  async #batch(): Promise<void> {
    if (!this.#life.mayRunBatch) return
    const before = this.#oracle.versions.length
    await this.#life.runBatch()
    this.#tally.batches += 1
    const { deaths, deathsAhead, counts } = this.#life.lanes
    this.#tally.deaths += deaths - this.#deathsOfLife
    this.#deathsOfLife = deaths
    this.#tally.deathsAhead += deathsAhead - this.#deathsAheadOfLife
    this.#deathsAheadOfLife = deathsAhead
    this.#tally.kept += counts?.kept ?? 0
    this.#tally.stale += counts?.stale ?? 0
    // Nobody is blamed for a death ahead of his turn.
    this.#oracle.mayLose(deaths - deathsAhead)
    this.#seal()
    for (const asked of this.#asked.values()) {
      asked.low ??= before
      asked.high = this.#oracle.versions.length
    }
    this.#life.ring()
  }

  /** What the sequencer has put into the ring since the last look. */
  #seal(): void {
    const head = this.#ring.publishedHead
    for (let entry = this.#ring.read(this.#sealedCounter, head); entry !== undefined; entry = this.#ring.read(this.#sealedCounter, head)) {
      const body = entry.body.slice()
      this.#digest = digestOf(body, this.#digest)
      this.#options.onSeal?.(entry.batch, body)
      this.#oracle.sealed(entry.batch, body)
      this.#sealedCounter = entry.next
    }
  }

  #stepLog(): void {
    if (!this.#life.isOpen) return
    this.#isLogStep = true
    this.#life.stepLog()
    this.#isLogStep = false
    if (!this.#life.isOpen) this.#tally.failures += 1
  }

  #turn(): void {
    this.#life.world.turn()
  }

  /** Everything that was asked for is answered, as far as it can be. */
  async #settle(): Promise<void> {
    const life = this.#life
    for (let n = 0; n < 10_000 && life.isOpen; n += 1) {
      if (life.mayRunBatch) await this.#batch()
      else if (life.pump.hasFrames) this.#stepLog()
      else if (life.engine.isQuiet && this.#asked.size === 0) return
      this.#turn()
    }
    if (life.isOpen) throw new Error('a database that is stepped on and on does not come to rest')
  }

  /** The job goes on with every step from now, as the checkpoint thread beside all others. */
  #checkpoint(): void {
    if (this.#job !== undefined) return
    const life = this.#life
    this.#job = life.checkpoint(this.#keepLogBytes).then(
      () => void (this.#tally.jobs += 1),
      (error: unknown) => {
        const code = (error as { code?: unknown }).code
        // The disk fails it, or the life ends; what it reads is durable and in order, so nothing else may.
        if (this.#hasDied || error instanceof ProcessDied) return
        if (!['EIO', 'ENOSPC', 'EDQUOT', 'CANCELLED', 'LOG_FAILED'].includes(String(code))) this.#jobFailure = error
      },
    ).then(() => void (this.#job = undefined))
  }
  #jobFailure: unknown

  // ── readers ───────────────────────────────────────────────────────────────────────────────────────────

  #hold(): void {
    // What memory still holds depends on the number of workers: draw first, then look.
    const isOld = this.#schedule.chance(0.3)
    const back = this.#schedule.below(20)
    if (this.#held.length >= 6) return
    const { engine } = this.#life
    const old = isOld ? this.#oracle.versions.at(-1 - back)?.batch : undefined
    const view = engine.openView(old !== undefined && old < engine.durable ? old : undefined)
    if (view === undefined) return // that moment has left memory
    this.#held.push({ view, batch: view.batch })
    this.#oracle.promise(view.batch)
    this.#mustShow(view, 'a new snapshot')
  }

  #release(): void {
    const which = this.#schedule.below(60)
    if (this.#held.length === 0) return
    const [{ view, batch }] = this.#held.splice(which % this.#held.length, 1) as [Held]
    if (view.batch !== batch) throw new Error('a snapshot has moved')
    this.#mustShow(view, 'a snapshot when it is released')
    view.close()
  }

  #mustShow(view: SnapshotView, what: string): void {
    mustShow(view, view.store, this.#program, this.#oracle.stateAt(view.batch), `${what} of batch ${view.batch}`)
  }

  async #subscribe(): Promise<void> {
    const into: DecodedTransaction[] = []
    const many = 1 + this.#schedule.below(20)
    if (this.#follower.readRing(many, into)) for (const record of into) this.#delivers(record)
    else await this.#readFiles()
  }

  #delivers(record: DecodedTransaction): void {
    const version = this.#oracle.versions[this.#delivered]
    if (version === undefined || version.batch !== record.batch || version.index !== record.index) {
      throw new Error(`the subscriber was given ${record.batch}.${record.index}, and next was ${version?.batch}.${version?.index}`)
    }
    if (record.batch > this.#life.parts.control.durable) throw new Error(`the subscriber was given batch ${record.batch}, which is not durable`)
    mustHaveEvents(record, version.outcome)
    this.#delivered += 1
    this.#oracle.promise(record.batch)
  }

  /** It has fallen behind the ring: what it missed is in the files, as far as they are kept. */
  async #readFiles(): Promise<void> {
    const { control } = this.#life.parts
    const upTo = Math.min(control.durable, control.written)
    try {
      const reader = LogReader.readFrom(this.#disk.log, { databaseId: this.#databaseId, batch: this.#follower.batch + 1 })
      let decoder = new FrameDecoder(this.#life.catalog)
      for await (const frame of reader.frames(upTo)) {
        if (frame.kind === 'schema') decoder = new FrameDecoder(JSON.parse(decodeSchema(frame.body)) as LoggedCatalog)
        else decoder.decode(new FrameBodyReader(frame.body), allRecords, 0, (record) => this.#delivers(record))
      }
      reader.close()
      this.#tally.fromFiles += 1
    } catch (error) {
      if (!SluiceError.is(error, 'HISTORY_GONE')) throw error
    }
    this.#follow(upTo)
  }

  #follow(afterBatch: number): void {
    const { parts, catalog } = this.#life
    const { control, frames } = parts
    this.#follower = new LogFollower({
      frames,
      catalog,
      disk: undefined,
      durable: () => control.durable,
      written: () => control.written,
      filter: allRecords,
      afterBatch,
      afterIndex: -1,
    })
    const next = this.#oracle.versions.findIndex((version) => version.batch > afterBatch)
    this.#delivered = next < 0 ? this.#oracle.versions.length : next
  }

  // ── lives ─────────────────────────────────────────────────────────────────────────────────────────────

  readonly #onDisk = (operation: StorageOperation, folder: Folder): StorageFault | undefined =>
    (this.#isOpening ? undefined : this.#options.onOperation?.(operation, this.#momentIn(folder))) ?? this.#onOperation(operation, folder)

  #momentIn(folder: Folder): Moment {
    return {
      disk: this.#disk,
      folder,
      databaseId: this.#databaseId,
      durability: this.#durability,
      frames: this.#oracle.sealedFrames,
      promised: this.#oracle.promised,
      hasFailed: this.#life !== undefined && !this.#life.isOpen,
      isLogThread: this.#isLogStep,
    }
  }

  /** Some operations from now, one fails, or all of them from then on; or the process dies there. */
  #armFault(bad: number): void {
    const code = bad < 0.4 ? 'EIO' : bad < 0.8 ? 'ENOSPC' : 'EDQUOT'
    // The process dies there: what was written before is readable, and not on disk.
    const isDeath = (bad * 100) % 1 < 0.6
    const isPersistent = bad * 10 - Math.floor(bad * 10) < 0.3
    let left = Math.floor((bad * 1_000) % 12)
    let isOver = false
    this.#onOperation = (operation, folder) => {
      // TODO: faults here too, once a segment that the checkpoint thread could not sync stops the log (W2 of wal/log-writer.ts).
      if (folder === 'log' && operation.kind.startsWith('sync') && !this.#isLogStep) return undefined
      const hits = code === 'EIO' ? operation.kind !== 'read' : operation.kind === 'write' || operation.kind === 'create'
      if (!hits || isOver) return undefined
      left -= 1
      if (left >= 0) return undefined
      if (code === 'EIO' && isDeath) {
        this.#hasDied = true
        isOver = true
        throw new ProcessDied()
      }
      isOver = !isPersistent
      return { code, writtenBytes: Math.floor((operation.bytes * ((bad * 97) % 1)) / 512) * 512 }
    }
  }

  async #end(how: Ending): Promise<void> {
    const { parts, engine } = this.#life
    this.#seal()
    let hasFailed = !this.#life.isOpen
    if (how === 'close') {
      this.#life.end()
      await this.#job
      if (!this.#life.close()) hasFailed = true
    }
    // Nobody outside hears any more.
    for (const { call, id } of this.#asked.values()) if (id !== undefined) this.#unknown.push(call.n)
    this.#asked = new Map()
    for (const { view } of this.#held.splice(0)) {
      this.#mustShow(view, 'a snapshot at the end')
      view.close()
    }
    if (parts.record.batch <= parts.control.executed) checkStore(parts.store, parts.control.executed)
    engine.newest.close(true)
    this.#onOperation = noFault
    // The pages that a dead process leaves stay readable, also those that a failed sync calls clean.
    if (how === 'power') this.#disk = this.#powerCut()
    this.#life.end()
    await this.#job
    if (this.#options.onRestart !== undefined) {
      this.#options.onRestart(this.#disk)
      this.#disk = this.#disk.copy(this.#onDisk) // what was edited is on the platters
    }
    this.#keeps = (how === 'close' && !hasFailed) || survives(this.#durability, how)
  }
  /** What was promised must be there: 'os' promises nothing for power cuts, 'memory' nothing at all. */
  #keeps = true

  #powerCut(): SimulatedDisk {
    const likely = this.#schedule.pick([0, 0.2, 0.5, 0.8, 1])
    const sectors = randomOf(this.#schedule.below(2 ** 31))
    return this.#disk.crash(() => sectors.fraction() < likely, this.#onDisk)
  }

  /** Opens, now and then on a disk that fails meanwhile and loses power again: the next one must do. */
  async #open(): Promise<void> {
    this.#isOpening = this.#tally.lives > 0
    const isHard = this.#options.faults && this.#tally.lives > 0 && this.#schedule.chance(0.3)
    if (isHard) {
      let left = this.#schedule.below(20)
      this.#onOperation = () => ((left -= 1) < 0 ? { code: 'EIO' } : undefined)
    }
    try {
      this.#life = await this.#newLife()
    } catch (error) {
      if (!isHard || !(SluiceError.is(error, 'LOG_FAILED') || (error as { code?: unknown }).code === 'EIO')) throw error
      this.#onOperation = noFault
      this.#disk = this.#powerCut()
      this.#keeps &&= survives(this.#durability, 'power')
      this.#life = await this.#newLife()
    }
    this.#onOperation = noFault
    this.#isOpening = false
    this.#hasDied = false
    this.#tally.lives += 1
    const { recovered, parts, catalog } = this.#life
    const before = this.#oracle.frames
    this.#oracle.begin(catalog)
    const { tail, checkpoint } = recovered
    this.#oracle.recovered(tail.batch, checkpoint, framesBehind(this.#disk.log, this.#databaseId, checkpoint), this.#keeps)
    if (checkpoint > 0) this.#tally.checkpoints += 1
    this.#oracle.mayLose(0)
    this.#deathsOfLife = 0
    this.#deathsAheadOfLife = 0
    this.#tally.lostFrames += before - this.#oracle.frames
    this.#ring = parts.frames
    this.#sealedCounter = parts.frames.tail
    this.#follow(parts.control.durable)
    checkStore(parts.store, parts.control.executed)
    const view = this.#life.engine.openView()!
    this.#mustShow(view, 'what was recovered')
    view.close()
  }

  /** The wall clock may have been set, forward or back, while nobody looked. */
  #newLife(): Promise<Life> {
    const jumps = [0, 1_000, -3_600_000, 10 * 365 * 86_400_000, -1]
    const jump = this.#options.clockJumps === true ? this.#schedule.pick(jumps) : 0
    this.#wallMs += jump
    // R57: after so long nobody remembers an id, so nobody may ask again.
    if (jump > 600_000) this.#unknown = []
    return Life.open(this.#program, {
      disk: this.#disk,
      databaseId: this.#databaseId,
      workers: this.#options.workers,
      durability: this.#durability,
      segmentBytesMax: this.#segmentBytesMax,
      historyBytes: this.#historyBytes,
      runsAhead: this.#options.runsAhead === true,
      laneSeed: this.#laneSeeds.below(2 ** 31),
      wallMs: this.#wallMs,
    })
  }

  #digestOfDisk(): number {
    let digest = 0
    for (const { bytes } of this.#disk.files()) digest = digestOf(bytes, digest)
    return digest
  }
}

const survives = (durability: Durability, how: Ending): boolean =>
  durability === 'fsync' || (durability === 'os' && how !== 'power')

function mustHaveEvents(record: DecodedTransaction, outcome: { readonly ok: boolean }): void {
  const expected = outcome.ok ? (outcome as unknown as { events: readonly unknown[] }).events : []
  const given = record.events.map(({ type, payload }) => ({ type, payload }))
  if (canon(given) !== canon(expected)) throw new Error(`the subscriber was given other events: ${canon(given)}`)
}

/** The frames above a checkpoint, of a log that recovery has put in order. */
function framesBehind(log: LogStorage, databaseId: Uint8Array, after: number): Frame[] {
  const frames: Frame[] = []
  for (const { kind, batch, body } of recoverLog(log, { databaseId, after, mode: 'salvage' })) {
    if (kind === 'frame') frames.push({ batch, body: body.slice() })
  }
  return frames
}

/** FNV-1a over words: enough to compare two runs. */
function digestOf(bytes: Uint8Array, from: number): number {
  let digest = from ^ 0x811c_9dc5
  for (let at = 0; at < bytes.length; at += 1) digest = Math.imul(digest ^ bytes[at]!, 0x0100_0193)
  return digest >>> 0
}
