/**
 * The log thread as main holds it: started before there is anything to write, so that its modules load meanwhile; then it reads the log for
 * recovery, ahead of main; then it writes it (log-main.ts).
 *
 * Reading ahead is half of replay (reading, checksums, and the search for what lies behind the end), so main does the other half at the
 * same time: it lays rows down. Frames come through a frame ring of their own, in the order of the log.
 */
import { Worker } from 'node:worker_threads'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { sharedBuffer } from '../shared/buffers.js'
import { Control } from '../shared/control.js'
import { FrameRing } from '../shared/frame-ring.js'
import type { FrameSource, SourceFrame } from '../stream/frame-source.js'
import type { LogTail, RecoveryOptions } from '../../wal/index.js'
import { type LogMessage, type LogOrder, type LogThreadData, schemaEntry } from './log-messages.js'

export class LogThread {
  readonly worker = new Worker(new URL('./log-main.js', import.meta.url), { execArgv: [] })

  #leave: () => void = () => undefined

  constructor() {
    this.worker.unref()
  }

  /** Begins to read the log of a folder. */
  recover(directory: string, options: RecoveryOptions): FrameSource {
    const control = Control.create(1)
    const order: LogOrder = {
      kind: 'recover',
      control: control.buffer,
      frames: sharedBuffer(2 * limits.frameBytesAheadMax),
      frameOverflow: sharedBuffer(limits.frameBytesMax),
      frameRingBytes: 2 * limits.frameBytesAheadMax,
      directory,
      options,
    }
    const source = new FramesAhead(new FrameRing(order.frames, order.frameOverflow, control, order.frameRingBytes), control)
    const listeners = {
      message: (message: LogMessage) => source.hear(message),
      error: (error: unknown) => source.fail(error),
      exit: () => source.fail(new Error('the log thread ended while it read the log')),
    }
    this.worker.on('message', listeners.message).on('error', listeners.error).on('exit', listeners.exit)
    this.#leave = () => this.worker.off('message', listeners.message).off('error', listeners.error).off('exit', listeners.exit)
    this.#tell(order)
    return source
  }

  run(data: LogThreadData): void {
    this.#leave()
    this.#tell({ kind: 'run', data })
  }

  #tell(order: LogOrder): void {
    this.worker.ref()
    this.worker.postMessage(order)
  }
}

class FramesAhead implements FrameSource {
  readonly #ring: FrameRing
  readonly #control: Control
  #counter: number
  #tail: LogTail | undefined
  #failure: unknown
  #isAtEnd = false

  constructor(ring: FrameRing, control: Control) {
    this.#ring = ring
    this.#control = control
    this.#counter = ring.publishedHead
  }

  get tail(): LogTail | undefined {
    return this.#isAtEnd ? this.#tail : undefined
  }

  next(): SourceFrame | undefined {
    // What was handed out before is read: its place is free.
    if (this.#control.load('frameWritten') !== this.#counter) {
      this.#control.store('frameWritten', this.#counter)
      this.#control.wakeLog()
    }
    if (this.#failure !== undefined) throw this.#failure
    // Looked at before the ring is: all frames were in it when the end was told.
    const hasEnded = this.#tail !== undefined
    const entry = this.#ring.read(this.#counter, this.#ring.publishedHead)
    if (entry === undefined) {
      this.#isAtEnd = hasEnded
      return undefined
    }
    this.#counter = entry.next
    return { kind: entry.records === schemaEntry ? 'schema' : 'frame', body: entry.body }
  }

  hear(message: LogMessage): void {
    if (message.kind === 'recovered') this.#tail = message.tail
    else if (message.kind === 'failed') {
      const { code, message: text, details, system } = message
      // What the system said goes on as it came: open() puts it into words.
      this.#failure = system === undefined ? SluiceError.of(code, text, { details }) : Object.assign(new Error(text), { code: system })
    }
  }
  fail(error: unknown): void {
    this.#failure ??= error
  }
}
