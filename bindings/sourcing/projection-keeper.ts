/**
 * One projection of an open database: which of its colors is read, which is built, and who waits for what.
 *
 *   nothing built          a color is begun. One that follows is read at once, and fills; an inline one is read when all that is durable is in it
 *   another version read   the other color is begun beside it, and what is read stands still, where its version left it
 *   this version read      it is followed, or written inline; what was being built beside it goes on
 *
 * A building ends with the turn: the row of the state says another color, in one transaction (P2). For an inline projection nothing else runs
 * meanwhile: calls wait for some milliseconds, until what was in flight when they came is durable and in the new tables (P3).
 */
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import { type AbortLike, endOfBatch, type Engine, extentOf, followLog, type LogFollower, type LogHold, oldestInLog, type OpenEngine, type ProjectionProgram, type SubmitOptions, type TableStore } from '../../engine/index.js'
import { type ReadSource, TableReader } from '../../query/index.js'
import { formatPosition, type Position, positionParts } from '../position.js'
import { shown } from '../schema/definition.js'
import type { ProjectionStatus } from './projection.js'
import { LiveReader } from './projection-reader.js'
import { ProjectionRunner } from './projection-runner.js'
import { allItems, type Color, isOf, isWrittenBy, type ProjectionCursor, type ProjectionRow, type StepInput, theRow } from './projection-service.js'

/** No batch of a log has this number or a smaller one. */
const beforeAll = 1
const beginning: ProjectionCursor = { batch: beforeAll, index: allItems, items: allItems }
const isAlone: SubmitOptions = { isAlone: true }

interface Waiter {
  readonly batch: number
  readonly index: number
  readonly done: () => void
  readonly failed: (error: SluiceError) => void
}

export class ProjectionKeeper {
  readonly #open: OpenEngine
  readonly #projection: ProjectionProgram
  readonly #procedure: number
  readonly #state: TableStore
  readonly #source: ReadSource
  readonly #readers = new Map<string, TableReader>()
  readonly #waiters = new Set<Waiter>()
  readonly tables: Readonly<Record<string, object>>
  /** Follows what is read; none where it is inline, or of another version. */
  #live: ProjectionRunner | undefined
  /** Follows what is built. */
  #next: ProjectionRunner | undefined
  #building: Promise<void> | undefined
  /** Of the color that was read before. */
  #clearing: Promise<void> | undefined
  #error: SluiceError | undefined
  #isClosed = false
  #wake: (() => void) | undefined
  /** Says how far the building is that an opening waits for. */
  #tell: (() => void) | undefined

  constructor(open: OpenEngine, projection: ProjectionProgram) {
    const { engine } = open
    const { program, store } = engine.parts
    this.#open = open
    this.#projection = projection
    this.#procedure = program.procedures.findIndex(({ descriptor }) => descriptor.name === `${projection.name}.$step`)
    this.#state = store.tables.find(({ name }) => name === `${projection.name}.state`)!
    this.#source = {
      view: () => engine.reading(),
      lease: () => {
        const view = engine.openView()!
        return { view, end: () => view.close() }
      },
    }
    this.tables = Object.freeze(Object.fromEntries(projection.tables.map((table) => [table, new LiveReader(() => this.#readerOf(`${this.#read.live ?? 'blue'}.${table}`))])))
    open.holders.set(`projection ${this.name}`, () => this.#held)
  }

  get name(): string {
    return this.#projection.name
  }

  /**
   * Begins to follow, or to build. An inline one that nobody could read yet is whole when this resolves; `told` hears how much of the log
   * was read for it.
   */
  async start(told?: (bytes: number, bytesInAll: number) => void): Promise<void> {
    const { version, isInline } = this.#projection
    const row = this.#read
    const live = row.live === null ? undefined : row[row.live]!
    if (live === undefined && !isInline) {
      const state = { version, isInline, cursor: beginning, time: 0 }
      await this.#step({ do: 'begin', color: 'blue', state, isLive: true })
      this.#live = this.#follow('blue')
      return
    }
    const goesOn = row.next !== null && isOf(row[row.next]!, this.#projection)
    if (live !== undefined && isWrittenBy(live, this.#projection)) {
      if (!isInline) this.#live = this.#follow(row.live!)
      if (goesOn) this.#build(row.next!)
      return
    }
    if (live?.isInline === true && live.isLeft !== true) await this.#step({ do: 'leave' }) // P4
    const built = this.#build(goesOn ? row.next! : undefined)
    if (live !== undefined) return
    const { disk } = this.#open
    const extent = disk && extentOf(disk)
    this.#tell = () => {
      const place = this.#next?.placeInFiles
      if (extent !== undefined && place !== undefined) told?.(extent.before(place), extent.bytes)
    }
    await built.then(() => extent && told?.(extent.bytes, extent.bytes), () => undefined) // its status says why
    this.#tell = undefined
  }

  /** What the log is kept for. */
  get #held(): readonly LogHold[] {
    return [this.#live, this.#next].flatMap((runner) => (runner === undefined ? [] : [{ name: this.name, batch: runner.cursor.batch - 1, isUnbounded: true }]))
  }

  // ── what users ask ────────────────────────────────────────────────────────────────────────────────────

  status(): ProjectionStatus {
    const { engine } = this.#open
    engine.mustBeOpen()
    const row = this.#read
    const live = row.live === null ? undefined : row[row.live]!
    const error = this.#live?.error ?? this.#next?.error ?? this.#error
    const reached = this.#seen
    return {
      name: this.name,
      state: error !== undefined ? 'failed' : live === undefined || (live.cursor.batch <= beforeAll && this.#live?.isBehind === true) ? 'building' : this.#next !== undefined || this.#building !== undefined ? 'rebuilding' : 'live',
      version: live?.version,
      position: reached === undefined ? undefined : positionOf(reached, engine),
      lag: live === undefined ? engine.momentOf(engine.durable).time : this.#lag(reached!, this.#live?.time ?? live.time),
      next: this.#next === undefined ? undefined : { version: this.#next.version, position: positionOf(this.#next.reached, engine) },
      error,
    }
  }

  reached(position: Position, options: { readonly signal?: AbortLike | undefined } = {}): Promise<void> {
    const { engine } = this.#open
    return new Promise((resolve, reject: (error: SluiceError) => void) => {
      engine.mustBeOpen()
      const place = positionParts(position)
      if (place === undefined) throw SluiceError.of('INVALID_USE', `reached() takes a Position, not ${shown(position)}.`)
      const { signal } = options
      const waiter: Waiter = {
        ...place,
        done: () => {
          end()
          resolve()
        },
        failed: (error) => {
          end()
          reject(error)
        },
      }
      const onAbort = (): void => waiter.failed(SluiceError.of('CANCELLED', `Waiting for projection "${this.name}" was ended by its signal.`, { cause: signal!.reason }))
      const end = (): void => {
        this.#waiters.delete(waiter)
        signal?.removeEventListener('abort', onAbort)
      }
      this.#waiters.add(waiter)
      signal?.addEventListener('abort', onAbort)
      if (signal?.aborted === true) onAbort()
      else this.#moved()
    })
  }

  async rebuild(options: { readonly signal?: AbortLike | undefined } = {}): Promise<void> {
    this.#open.engine.mustBeOpen()
    const { signal } = options
    const building = this.#building ?? this.#build(undefined)
    if (signal === undefined) return await building
    // It goes on: who does not wait any more has stopped nobody else.
    await new Promise<void>((resolve, reject: (error: unknown) => void) => {
      const onAbort = (): void => reject(SluiceError.of('CANCELLED', `Waiting for the rebuilding of projection "${this.name}" was ended by its signal; it goes on.`, { cause: signal.reason }))
      building.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
      signal.addEventListener('abort', onAbort)
      if (signal.aborted) onAbort()
    })
  }

  /** Nothing new is handed in; what is in flight ends. Resolves when no file is read any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    const closing = [this.#live?.close(), this.#next?.close()]
    this.#wake?.()
    for (const waiter of [...this.#waiters]) waiter.failed(closed())
    await Promise.all(closing)
  }

  readonly #goOn = (): void => {
    if (this.#isClosed) throw closed()
  }

  // ── building ──────────────────────────────────────────────────────────────────────────────────────────

  /** `goesOn`: a color that was being built when the database was closed. Resolves when it is read. */
  #build(goesOn: Color | undefined): Promise<void> {
    this.#error = undefined
    const building = this.#buildAndTurn(goesOn).catch((error: unknown) => {
      void this.#next?.close()
      this.#next = undefined
      this.#live?.goOn()
      if (!this.#isClosed && SluiceError.is(error)) this.#error = error
      throw error
    })
    this.#building = building
    const ended = (): void => {
      this.#building = undefined
      this.#moved()
    }
    building.then(ended, ended)
    return building
  }

  async #buildAndTurn(goesOn: Color | undefined): Promise<void> {
    const { version, isInline, keepsOld } = this.#projection
    const was = this.#read.live
    const color = goesOn ?? (was === 'blue' ? 'green' : 'blue')
    if (goesOn === undefined) {
      this.#mustReachBack()
      await this.#clearing
      await this.#clear(color)
      await this.#step({ do: 'begin', color, state: { version, isInline, cursor: beginning, time: 0 }, isLive: false })
    }
    const runner = (this.#next = this.#follow(color))
    // Up to what is durable now, and once more: what is left then is little, however much is written meanwhile.
    for (let times = 0; times < 2; times += 1) await this.#reaches(runner, this.#open.engine.durable)
    if (isInline) {
      await runner.standStill()
      this.#mustBeWell(runner)
      await this.#open.engine.alone(async () => {
        await runner.takeAll(isAlone)
        this.#mustBeWell(runner)
        await this.#turn(color, isAlone)
      })
      await runner.close()
    } else {
      // What is read stands still for the last steps of the other one, so that there is an end to catching up.
      const live = this.#live
      await live?.standStill()
      if (live !== undefined) await this.#reaches(runner, live.reached.batch)
      await runner.standStill()
      this.#mustBeWell(runner)
      await runner.noteReached({})
      await this.#turn(color, {})
      await live?.close()
      this.#live = runner
      runner.goOn()
    }
    this.#next = undefined
    if (!keepsOld && was !== null) this.#clearing = this.#clear(was).catch(() => undefined) // else before that color is built again
  }

  #reaches(runner: ProjectionRunner, batch: number): Promise<void> {
    return this.#until(() => runner.error !== undefined || runner.reached.batch >= batch)
  }

  async #turn(to: Color, options: SubmitOptions): Promise<void> {
    if (!(await this.#step({ do: 'turn', to }, options))) throw SluiceError.of('INVALID_USE', `Projection "${this.name}" was turned by somebody else while it was built.`)
  }

  #mustBeWell(runner: ProjectionRunner): void {
    if (runner.error !== undefined) throw runner.error
    this.#goOn()
  }

  /** What is made of the log from its beginning needs all of it. */
  #mustReachBack(): void {
    const { engine, disk } = this.#open
    const { frames } = engine.parts
    const oldest = disk !== undefined ? oldestInLog(disk) : (frames.read(frames.tail, frames.publishedHead)?.previous ?? beforeAll)
    if (oldest <= beforeAll) return
    const why = disk === undefined ? 'a database without a path has the newest frames only' : 'retention has removed what was before'
    throw SluiceError.of('HISTORY_GONE', `Projection "${this.name}" is built from the beginning of the log, which is gone, for ${why}. The log begins behind position ${formatPosition(oldest, 0)}.`, {
      details: { projection: this.name, oldest: formatPosition(oldest, 0) },
    })
  }

  /** Removes the rows of a color that nobody reads. */
  async #clear(color: Color): Promise<void> {
    for (const table of this.#projection.tables) {
      const name = `${color}.${table}`
      const reader = this.#readerOf(name)
      const { key, columns } = this.#storeOf(name).descriptor
      const names = key.map((ordinal) => columns[ordinal]!.name)
      while (reader.count() > 0) {
        this.#goOn()
        const keys: unknown[] = []
        for (const row of reader) {
          keys.push(names.length === 1 ? row[names[0]!] : names.map((column) => row[column]))
          if (keys.length === limits.projectionKeysMax) break
        }
        await this.#step({ do: 'clear', table: name, keys })
      }
    }
  }

  // ── following ─────────────────────────────────────────────────────────────────────────────────────────

  #follow(color: Color): ProjectionRunner {
    const { engine } = this.#open
    const runner = new ProjectionRunner({
      engine,
      projection: this.#projection,
      color,
      state: this.#read[color]!,
      step: (input, options) => this.#step(input, options),
      follow: (projection, after) => followerOf(this.#open, projection, after, this.#goOn),
      moved: () => this.#moved(),
      onFailure: (failure) => this.#open.options.onHandlerFailure?.(failure),
    })
    runner.start()
    return runner
  }

  /** Up to where readers see everything; undefined while there is nothing to read. */
  get #seen(): ProjectionCursor | undefined {
    if (this.#live !== undefined) return this.#live.reached
    const row = this.#read
    if (row.live === null) return undefined
    const { cursor } = row[row.live]!
    const isWritten = this.#projection.isInline && isWrittenBy(row[row.live]!, this.#projection)
    return isWritten ? { batch: this.#open.engine.durable, index: allItems, items: allItems } : cursor
  }

  #lag({ batch }: ProjectionCursor, time: number): number {
    const { engine } = this.#open
    const isLate = this.#live === undefined ? batch < engine.durable : this.#live.isBehind
    return isLate ? Math.max(0, engine.momentOf(engine.durable).time - time) : 0
  }

  #moved(): void {
    this.#wake?.()
    this.#tell?.()
    if (this.#waiters.size === 0 || this.#isClosed) return
    const seen = this.#seen
    const stopped = this.#live === undefined ? this.#error : this.#live.error
    for (const waiter of [...this.#waiters]) {
      if (seen !== undefined && (seen.batch > waiter.batch || (seen.batch === waiter.batch && (seen.index > waiter.index || (seen.index === waiter.index && seen.items === allItems))))) waiter.done()
      else if (stopped !== undefined && this.#building === undefined) waiter.failed(stopped)
    }
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      this.#goOn()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  // ── reading and writing ───────────────────────────────────────────────────────────────────────────────

  get #read(): ProjectionRow {
    return (this.#open.engine.reading().get(this.#state, theRow) as ProjectionRow | undefined) ?? { id: theRow, live: null, next: null, blue: null, green: null }
  }
  #storeOf(own: string): TableStore {
    return this.#open.engine.parts.store.tables.find(({ name }) => name === `${this.name}.${own}`)!
  }
  #readerOf(own: string): TableReader {
    let reader = this.#readers.get(own)
    if (reader === undefined) this.#readers.set(own, (reader = new TableReader(this.#source, this.#storeOf(own))))
    return reader
  }

  #step(step: StepInput, options: SubmitOptions = {}): Promise<boolean> {
    return new Promise((resolve, reject: (error: unknown) => void) => {
      const caller = { done: (_index: number, value: unknown) => resolve(value as boolean), failed: (_index: number, error: SluiceError) => reject(error) }
      this.#open.engine.submit(this.#procedure, { step }, caller, 0, { whenFull: 'wait', ...options })
    })
  }
}

const closed = (): SluiceError => SluiceError.of('DATABASE_CLOSED', 'The database is closed.')

function followerOf(open: OpenEngine, { events, changes }: ProjectionProgram, { batch, index, items }: ProjectionCursor, goOn: () => void): LogFollower {
  const filter = { tables: new Set(changes.filter((name) => name !== '')), events: new Set(events.filter((name) => name !== '')), outcomes: false }
  if (index === allItems) return followLog(open, filter, { batch, index: endOfBatch }, goOn)
  if (items === allItems) return followLog(open, filter, { batch, index }, goOn)
  // The rest of a transaction is wanted, so it is read whole.
  return followLog(open, filter, index === 0 ? { batch: batch - 1, index: endOfBatch } : { batch, index: index - 1 }, goOn)
}

function positionOf({ batch, index }: ProjectionCursor, engine: Engine): Position {
  const known = engine.momentOf(batch)
  return formatPosition(batch, index !== allItems ? index : known.batch === batch ? Math.max(0, known.records - 1) : 0)
}

