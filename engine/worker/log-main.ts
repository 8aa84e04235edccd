/**
 * Entry of the log thread: steps the pump, and waits when there is nothing to do.
 *
 * It is started before recovery, so that its modules load meanwhile, and begins when it is told where the log ends.
 *
 * It works synchronously and sleeps in `Atomics.wait`; the only messages it sends are "look again" to a sleeping main and
 * the word that the log has failed. After the first failed write or sync it never writes again (R44).
 */
import { parentPort } from 'node:worker_threads'
import { nodeEnvironment } from '../base/environment-node.js'
import { type ErrorCode, SluiceError } from '../base/errors.js'
import { Control, databaseState } from '../shared/control.js'
import { FrameRing } from '../shared/frame-ring.js'
import { Statistics } from '../shared/statistics.js'
import { FileLogStorage, LogWriter, type LogTail } from '../../wal/index.js'
import type { Durability } from '../../wal/index.js'
import { LogPump } from './log-pump.js'

export interface LogThreadData {
  readonly control: SharedArrayBuffer
  readonly frames: SharedArrayBuffer
  readonly frameOverflow: SharedArrayBuffer
  readonly frameRingBytes: number
  readonly statistics: SharedArrayBuffer
  readonly directory: string
  readonly tail: LogTail
  readonly databaseId: Uint8Array
  readonly schema: Uint8Array
  readonly durability: Durability
  readonly spinLoads: number
}
export type LogMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'look' }
  | { readonly kind: 'failed'; readonly message: string; readonly code: ErrorCode; readonly details: SluiceError['details'] }

const send = (message: LogMessage): void => parentPort!.postMessage(message)

function run(data: LogThreadData, control: Control): void {
  const { databaseId, schema, durability, spinLoads } = data
  const frames = new FrameRing(data.frames, data.frameOverflow, control, data.frameRingBytes)
  const writer = LogWriter.open(FileLogStorage.open(data.directory), data.tail, { databaseId, schema, durability })
  const { monotonicMs } = nodeEnvironment
  const pump = new LogPump({ control, frames, writer, durability, statistics: new Statistics(data.statistics), monotonicMs, ring: () => send({ kind: 'look' }) })
  send({ kind: 'ready' })
  const isOpen = (): boolean => control.load('state') === databaseState.open
  const mustLook = (): boolean => pump.hasFrames || !isOpen()
  for (;;) {
    if (pump.hasFrames) {
      pump.step()
      continue
    }
    if (!isOpen()) break
    // Frames that follow at once go before everything that can wait.
    if (control.spin(mustLook, spinLoads) || pump.step() === 'worked') continue
    control.sleepLog(mustLook, pump.waitMs)
  }
  writer.close()
}

parentPort!.once('message', (data: LogThreadData) => {
  const control = new Control(data.control)
  try {
    run(data, control)
  } catch (error) {
    control.store('state', databaseState.failed)
    control.wakeWorker(0)
    const { code, message, details } = failureOf(error, data.directory)
    send({ kind: 'failed', code, message, details })
  }
})

function failureOf(error: unknown, directory: string): Pick<SluiceError, 'code' | 'message' | 'details'> {
  if (!SluiceError.is(error)) return { code: 'LOG_FAILED', message: String(error), details: {} }
  const path = error.code === 'OUT_OF_SPACE' ? { path: directory } : {}
  return { code: error.code, message: error.message, details: { ...error.details, ...path } }
}
