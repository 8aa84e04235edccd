/**
 * Entry of the log thread. Told to recover, it reads the log for main, ahead of it, and mends its end; told to run, it steps the pump,
 * and waits when there is nothing to do.
 *
 * It works synchronously and sleeps in `Atomics.wait`; the only messages it sends are "look again" to a sleeping main and
 * the word that the log has failed. After the first failed write or sync it never writes again (R44).
 */
import { parentPort } from 'node:worker_threads'
import { nodeEnvironment } from '../base/environment-node.js'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { Control, databaseState } from '../shared/control.js'
import { FrameRing } from '../shared/frame-ring.js'
import { FileLogStorage, type LogTail, LogWriter, recoverLog } from '../../wal/index.js'
import { LogPump } from './log-pump.js'
import { type LogMessage, type LogOrder, type LogThreadData, type RecoverOrder, schemaEntry } from './log-messages.js'

const send = (message: LogMessage): void => parentPort!.postMessage(message)

function run(data: LogThreadData, control: Control): void {
  const { databaseId, schema, durability, spinLoads } = data
  const frames = new FrameRing(data.frames, data.frameOverflow, control, data.frameRingBytes)
  const writer = LogWriter.open(FileLogStorage.open(data.directory), data.tail, { databaseId, schema, durability })
  const { monotonicMs } = nodeEnvironment
  const pump = new LogPump({ control, frames, writer, durability, monotonicMs, ring: () => send({ kind: 'look' }) })
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

/** Sends every frame through the ring, and the tail when all are there. What stops it is told, and the log is as it was. */
function recover({ control: words, frames: ring, frameOverflow, frameRingBytes, directory, options }: RecoverOrder): LogTail {
  const control = new Control(words)
  const frames = new FrameRing(ring, frameOverflow, control, frameRingBytes)
  const hasRoom = (): boolean => frames.aheadBytes() < limits.frameBytesAheadMax
  const steps = recoverLog(FileLogStorage.open(directory), options)
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value
    const { kind, batch, previous, body } = step.value
    while (!hasRoom()) control.sleepLog(hasRoom, limits.turnEveryMs)
    const { bytes, at } = frames.reserve(body.length)
    bytes.set(body, at)
    frames.publish(batch, previous, 0, kind === 'schema' ? schemaEntry : 0, body.length)
  }
}

parentPort!.on('message', obey)

function obey(order: LogOrder): void {
  if (order.kind === 'recover') {
    try {
      send({ kind: 'recovered', tail: recover(order) })
    } catch (error) {
      tell(error, order.directory)
    }
    return
  }
  parentPort!.off('message', obey) // it ends when the database does
  const { data } = order
  const control = new Control(data.control)
  try {
    run(data, control)
  } catch (error) {
    control.store('state', databaseState.failed)
    control.wakeWorker(0)
    tell(error, data.directory)
  }
}

function tell(error: unknown, directory: string): void {
  if (!SluiceError.is(error)) {
    const system = (error as { readonly code?: unknown } | null)?.code
    send({ kind: 'failed', code: 'LOG_FAILED', message: error instanceof Error ? error.message : String(error), details: {}, system: typeof system === 'string' ? system : undefined })
    return
  }
  const path = error.code === 'OUT_OF_SPACE' ? { path: directory } : {}
  send({ kind: 'failed', code: error.code, message: error.message, details: { ...error.details, ...path }, system: undefined })
}
