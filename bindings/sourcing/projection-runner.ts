/**
 * Keeps one color of a projection up with the log: reads what has happened, and hands it in step by step.
 *
 *   log ──► follower ──► items, in log order ──► portions ──► `$step`: the effects, and the cursor behind them (P1)
 *
 * One step is in flight at a time, so the order of the log is the order of the effects. A step that fails is tried in halves, until the item is
 * found that cannot be applied: there it stands still, for a projection without one of its events would be a wrong one.
 */
import { isDiskFull, isTheEnd, SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { type DecodedTransaction, type Engine, type HandlerFailure, type LogFollower, LogPump, type ProjectionProgram, type SubmitOptions } from '../../engine/index.js'
import { formatPosition } from '../position.js'
import { allItems, type Color, type ColorState, type ProjectionCursor, type ProjectionItem, type StepInput } from './projection-service.js'

export interface RunnerParts {
  readonly engine: Engine
  readonly projection: ProjectionProgram
  readonly color: Color
  readonly state: ColorState
  /** Runs a step as one transaction. */
  readonly step: (input: StepInput, options: SubmitOptions) => Promise<boolean>
  readonly follow: (projection: ProjectionProgram, after: ProjectionCursor) => LogFollower
  /** It has come further, or it has stopped. */
  readonly moved: () => void
  readonly onFailure: (failure: HandlerFailure) => void
}

interface Item extends ProjectionItem {
  readonly cursor: ProjectionCursor
  readonly time: number
}

export class ProjectionRunner {
  readonly color: Color
  readonly version: number
  readonly #parts: RunnerParts
  readonly #pump: LogPump
  readonly #follower: LogFollower
  readonly #sources: ReadonlyMap<string, number>
  readonly #items: Item[] = []
  /** As it is durable. */
  #cursor: ProjectionCursor
  /** Everything up to here has had its effect, or has none. */
  #reached: ProjectionCursor
  #time: number
  /** The batch up to which everything has been taken from the log. */
  #read: number
  #portion: number = limits.projectionItemsMax
  #looking: Promise<void> = Promise.resolve()
  #isStill = false
  #error: SluiceError | undefined

  constructor(parts: RunnerParts) {
    const { projection, state, color } = parts
    this.#parts = parts
    this.color = color
    this.version = state.version
    this.#cursor = state.cursor
    this.#reached = state.cursor
    this.#time = state.time
    this.#read = state.cursor.batch
    this.#pump = new LogPump(parts.engine, () => (this.#looking = this.#look()), (error) => this.#stop(error))
    this.#follower = parts.follow(projection, state.cursor)
    this.#sources = new Map(projection.events.map((event, n) => [event || projection.changes[n]!, n]))
  }

  get reached(): ProjectionCursor {
    return this.#reached
  }
  get cursor(): ProjectionCursor {
    return this.#cursor
  }
  /** Of the last commit that had an effect. */
  get time(): number {
    return this.#time
  }
  get error(): SluiceError | undefined {
    return this.#error
  }
  /** Where in the files of the log it reads; undefined while it reads in memory. */
  get placeInFiles(): LogFollower['placeInFiles'] {
    return this.#follower.placeInFiles
  }
  /** Something durable has had no effect yet. */
  get isBehind(): boolean {
    return this.#reached.batch < this.#parts.engine.durable
  }

  start(): void {
    this.#pump.start()
  }

  /** The step in flight ends, and no other begins until `goOn`. */
  async standStill(): Promise<void> {
    this.#isStill = true
    await this.#looking
  }
  goOn(): void {
    this.#isStill = false
    this.#pump.advance()
  }

  /** It stands still: takes what is durable, all of it, and moves its cursor to the end. */
  async takeAll(options: SubmitOptions): Promise<void> {
    while (!this.#pump.isClosed && (this.#items.length > 0 || (await this.#readMore()))) if (this.#items.length > 0) await this.#handIn(options)
  }
  /** It stands still: its cursor moves to where it is. */
  async noteReached(options: SubmitOptions): Promise<void> {
    if (this.#items.length === 0) await this.#moveCursor(options)
  }

  /** What is in flight ends; nothing new is handed in. */
  async close(): Promise<void> {
    this.#pump.close()
    await this.#looking
    this.#follower.close()
  }

  async #look(): Promise<void> {
    if (this.#isStill || this.#error !== undefined) return
    try {
      while (!this.#pump.isClosed && !this.#isStill) {
        if (this.#items.length === 0 && !(await this.#readMore())) break
        if (this.#items.length > 0) await this.#handIn({})
        this.#parts.moved()
      }
      // Nothing of what it waits for has happened for long: the log need not be kept for it.
      const isFar = this.#items.length === 0 && this.#reached.batch - this.#cursor.batch >= limits.handlerCursorBatchesMax
      if (isFar && !this.#pump.isClosed) await this.#moveCursor({})
    } catch (error) {
      this.#stop(error)
    }
    this.#parts.moved()
  }

  /** Takes more from the log; false where there is nothing to take now. */
  async #readMore(): Promise<boolean> {
    const follower = this.#follower
    if (!follower.isBehind()) return false
    const before = follower.batch
    const { durable } = this.#parts.engine
    const read: DecodedTransaction[] = []
    const isInRing = follower.readRing(limits.projectionItemsMax, read)
    if (!isInRing) await follower.readFiles(limits.projectionItemsMax, read)
    for (const transaction of read) this.#take(transaction)
    // The newest batches may have recorded nothing, and then there is nothing of them to read.
    this.#read = isInRing && read.length < limits.projectionItemsMax ? Math.max(follower.batch, durable) : follower.batch
    if (this.#items.length === 0) this.#reached = endOf(this.#read)
    return read.length > 0 || follower.batch !== before
  }

  /** Of one transaction: what it changed, then what it announced, each in its order. */
  #take({ batch, index, time, changes, events }: DecodedTransaction): void {
    const position = formatPosition(batch, index)
    const of = this.#sources
    const happened = [
      ...changes.filter(({ table }) => of.has(table)).map((change) => ({ source: of.get(change.table)!, happened: { ...change, position, time } })),
      ...events.filter(({ type }) => of.has(type)).map(({ type, payload }) => ({ source: of.get(type)!, happened: this.#parts.projection.isInline ? { type, payload, time } : { type, payload, position, time } })),
    ]
    // A step may have ended inside of this transaction.
    const { items: done } = this.#cursor.batch === batch && this.#cursor.index === index ? this.#cursor : { items: 0 }
    happened.forEach((item, n) => {
      if (n < done) return
      this.#items.push({ ...item, time, cursor: { batch, index, items: n === happened.length - 1 ? allItems : n + 1 } })
    })
  }

  async #handIn(options: SubmitOptions): Promise<void> {
    const items = this.#items.slice(0, this.#portion)
    const { cursor: to, time } = items.at(-1)!
    let pauses = 0
    for (;;) {
      let failure: SluiceError
      try {
        const input: StepInput = { do: 'apply', color: this.color, from: this.#cursor, to, time, items: items.map(({ source, happened }) => ({ source, happened })) }
        const isDone = await this.#parts.step(input, { whenFull: 'wait', ...options })
        if (!isDone) throw SluiceError.of('INVALID_USE', `Projection "${this.#parts.projection.name}" was written by somebody else: its ${this.color} tables are not where this process left them.`)
        this.#items.splice(0, items.length)
        this.#cursor = to
        this.#reached = this.#items.length === 0 ? endOf(this.#read) : to
        this.#time = time
        this.#portion = Math.min(limits.projectionItemsMax, this.#portion * 2)
        return
      } catch (error) {
        if (!SluiceError.is(error)) throw error
        failure = error
      }
      if (isTheEnd(failure) || this.#pump.isClosed) throw failure
      if ((failure.retryable && failure.code !== 'CONFLICT') || isDiskFull(failure)) await this.#pump.pause(pauses++)
      else if (items.length > 1) {
        this.#portion = Math.ceil(items.length / 2)
        return
      } else throw this.#failed(items[0]!, failure)
      if (this.#pump.isClosed) return
    }
  }

  async #moveCursor(options: SubmitOptions): Promise<void> {
    const to = this.#reached
    const isDone = await this.#parts.step({ do: 'apply', color: this.color, from: this.#cursor, to, time: this.#time, items: [] }, { whenFull: 'wait', ...options })
    if (isDone) this.#cursor = to
  }

  /** Who listens to failures of handlers hears of it. */
  #failed({ cursor: { batch, index }, happened }: Item, cause: SluiceError): SluiceError {
    const position = formatPosition(batch, index)
    const what = String(happened['type'] ?? happened['table'])
    const payload = (happened['payload'] ?? happened) as Readonly<Record<string, unknown>>
    this.#parts.onFailure({ handler: this.#parts.projection.name, batch, index, event: { type: what, payload }, error: cause })
    return SluiceError.of(cause.code, `Projection "${this.#parts.projection.name}" stands still at "${what}" of position ${position}: ${cause.message} Mend it, and give it another version.`, {
      cause,
      reason: cause.reason,
      details: { ...cause.details, projection: this.#parts.projection.name, position },
    })
  }

  #stop(error: unknown): void {
    if (this.#pump.isClosed || this.#error !== undefined) return
    this.#error = SluiceError.is(error) ? error : SluiceError.of('LOG_CORRUPT', `Projection "${this.#parts.projection.name}" could not read the log: ${String(error)}`, { cause: error })
    this.#follower.close()
  }
}

const endOf = (batch: number): ProjectionCursor => ({ batch, index: allItems, items: allItems })
