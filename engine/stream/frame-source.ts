/** Where recovery takes the frames of the log from: this thread, or another one that reads ahead (worker/log-thread.ts). */
import { type LogFrame, type LogStorage, type LogTail, recoverLog, type RecoveryOptions } from '../../wal/index.js'

export type SourceFrame = Pick<LogFrame, 'kind' | 'body'>

export interface FrameSource {
  /**
   * The next frame or schema, whose body is valid until the next call. Undefined: all were handed out (`tail` is there), or the next
   * one is still to come: ask again when the event loop has turned. Throws what stopped the reading.
   */
  next(): SourceFrame | undefined
  /** At the end. */
  readonly tail: LogTail | undefined
}

export type ReadLog = (options: RecoveryOptions) => FrameSource

/** Reads in the steps in which it is asked. */
export function readHere(log: LogStorage): ReadLog {
  return (options) => new FramesHere(log, options)
}

class FramesHere implements FrameSource {
  readonly #frames: Generator<LogFrame, LogTail, void>
  tail: LogTail | undefined

  constructor(log: LogStorage, options: RecoveryOptions) {
    this.#frames = recoverLog(log, options)
  }

  next(): SourceFrame | undefined {
    if (this.tail !== undefined) return undefined
    const step = this.#frames.next()
    if (step.done !== true) return step.value
    this.tail = step.value
    return undefined
  }
}
