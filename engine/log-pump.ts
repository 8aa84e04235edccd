/**
 * What follows the log on main and does something with it: looks when the tick has ended that something became durable in, one look at a
 * time, and waits without keeping the process alive.
 */
import { limits } from './base/limits.js'
import type { Engine, Follower } from './database.js'
import type { LoggedCatalog } from './schema/catalog.js'
import { endOfBatch, type HandlerCursor } from './schema/handler-ids.js'
import type { DecodedTransaction, FrameFilter } from './stream/frame-decoder.js'
import { type DatabaseFiles, LogFollower } from './stream/log-follower.js'

export class LogPump implements Follower {
  readonly #engine: Engine
  readonly #look: () => Promise<void>
  readonly #failed: (error: unknown) => void
  /** What ends them early. */
  readonly #pauses = new Set<() => void>()
  #isLooking = false
  /** Something became durable, or there was room, while it looked. */
  #isAsked = false
  #isDue = false
  #isClosed = false

  /** `look` takes what there is; it runs once at a time. What it throws goes to `failed`. */
  constructor(engine: Engine, look: () => Promise<void>, failed: (error: unknown) => void) {
    this.#engine = engine
    this.#look = look
    this.#failed = failed
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** What was read may not have been taken yet: who looks has not come to the end, wherever the follower is. */
  get isLooking(): boolean {
    return this.#isLooking
  }

  start(): void {
    this.#engine.follow(this)
    this.advance()
  }

  /** Something became durable, or there is room again. */
  advance(): void {
    if (this.#isDue || this.#isClosed) return
    this.#isDue = true
    this.#engine.environment.atEndOfTick(() => {
      this.#isDue = false
      void this.#run()
    })
  }

  /** Runs `work` later, unless it is closed before. */
  later(ms: number, work: () => void): void {
    const cancel = this.#engine.environment.later(ms, () => {
      this.#pauses.delete(cancel)
      work()
    })
    this.#pauses.add(cancel)
  }

  /** Resolves after a pause, which is longer the more there were before; or when it is closed. */
  pause(pauses: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#engine.environment.later(pauseMs(pauses), () => end())
      const end = (): void => {
        this.#pauses.delete(end)
        stop()
        resolve()
      }
      this.#pauses.add(end)
    })
  }

  close(): void {
    this.#isClosed = true
    this.#engine.unfollow(this)
    for (const end of [...this.#pauses]) end()
    this.#pauses.clear()
  }

  async #run(): Promise<void> {
    if (this.#isClosed) return
    if (this.#isLooking) {
      this.#isAsked = true
      return
    }
    this.#isLooking = true
    this.#isAsked = false
    try {
      await this.#look()
    } catch (error) {
      if (!this.#isClosed) this.#failed(error)
    } finally {
      this.#isLooking = false
      if (this.#isAsked) this.advance()
    }
  }
}

/** What may pass is tried again so much later, after so many pauses. */
export const pauseMs = (pauses: number): number => Math.min(limits.handlerPauseMsMax, limits.handlerPauseMs * 2 ** Math.min(pauses, 16))

/** What a follower of the log is made of, of an open database. */
export interface FollowedLog {
  readonly engine: Engine
  readonly catalog: LoggedCatalog
  readonly disk: DatabaseFiles | undefined
}

/** Reads what comes after a cursor. `goOn`: between two frames of the files; throws when nobody wants them any more. */
export function followLog({ engine, catalog, disk }: FollowedLog, filter: FrameFilter, { batch, index }: HandlerCursor, goOn?: () => void): LogFollower {
  return new LogFollower({
    frames: engine.parts.frames,
    catalog,
    disk,
    durable: () => engine.durable,
    written: () => engine.parts.control.written,
    filter,
    goOn,
    afterBatch: batch,
    afterIndex: index === endOfBatch ? -1 : index,
  })
}

/** The log is needed behind this batch: one that was seen in part is needed whole. */
export const neededAfter = ({ batch, index }: HandlerCursor): number => (index === endOfBatch ? batch : batch - 1)

/** Reads on, at most about `max` transactions. False: nothing came of it, for what is behind is not in the files yet; the next advance finds it. */
export async function readOn(follower: LogFollower, max: number, into: DecodedTransaction[]): Promise<boolean> {
  const before = follower.batch
  if (!follower.readRing(max, into)) await follower.readFiles(max, into)
  return into.length > 0 || follower.batch !== before
}
