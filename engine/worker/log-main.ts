/**
 * Entry of the log thread: writes sealed frames and syncs them, many with one sync (group commit).
 *
 * It works synchronously and sleeps in `Atomics.wait`; the only messages it sends are "look again" to a sleeping main and
 * the word that the log has failed. After the first failed write or sync it never writes again (R44).
 */
import { parentPort, workerData } from 'node:worker_threads'
import { SluiceError } from '../base/errors.js'
import { limits } from '../base/limits.js'
import { Control, databaseState } from '../shared/control.js'
import { FrameRing } from '../shared/frame-ring.js'
import { FileLogStorage, LogWriter, type LogTail } from '../../wal/index.js'
import type { Durability } from '../../wal/index.js'

export interface LogThreadData {
  readonly control: SharedArrayBuffer
  readonly frames: SharedArrayBuffer
  readonly frameOverflow: SharedArrayBuffer
  readonly directory: string
  readonly tail: LogTail
  readonly databaseId: Uint8Array
  readonly schema: Uint8Array
  readonly durability: Durability
  readonly spinLoads: number
}
export type LogMessage = { readonly kind: 'ready' } | { readonly kind: 'look' } | { readonly kind: 'failed'; readonly message: string }

const data = workerData as LogThreadData
const control = new Control(data.control)
const frames = new FrameRing(data.frames, data.frameOverflow, control)
const send = (message: LogMessage): void => parentPort!.postMessage(message)

function run(): void {
  const writer = LogWriter.open(FileLogStorage.open(data.directory), data.tail, {
    databaseId: data.databaseId,
    schema: data.schema,
    durability: data.durability,
  })
  send({ kind: 'ready' })
  let counter = control.load('frameWritten')
  let hasCertified = true
  const hasFrames = (): boolean => frames.publishedHead !== counter
  const mustLook = (): boolean => hasFrames() || control.load('state') !== databaseState.open
  for (;;) {
    if (hasFrames()) {
      counter = writeGroup(writer, counter)
      hasCertified = false
      continue
    }
    if (control.load('state') !== databaseState.open) break
    if (control.spin(mustLook, data.spinLoads)) continue
    if (writer.prepareNext() === 'underway') continue
    control.sleepLog(mustLook, hasCertified ? Infinity : limits.certifyAfterMs)
    if (!mustLook() && !hasCertified) {
      writer.certify()
      hasCertified = true
    }
  }
  writer.close()
}

/** Writes what is there and syncs once; then lets everybody see it. */
function writeGroup(writer: LogWriter, from: number): number {
  let counter = from
  const head = frames.publishedHead
  for (let entry = frames.read(counter, head); entry !== undefined; entry = frames.read(counter, head)) {
    writer.append(entry.body, { batch: entry.batch, previous: entry.previous })
    counter = entry.next
  }
  writer.sync()
  control.store('frameWritten', counter)
  control.written = writer.writtenUpTo
  if (writer.durableUpTo > control.durable && data.durability !== 'memory') control.durable = writer.durableUpTo
  control.wakeWorker(0)
  if (control.mainMustBeRung()) send({ kind: 'look' })
  return counter
}

try {
  run()
} catch (error) {
  control.store('state', databaseState.failed)
  control.wakeWorker(0)
  send({ kind: 'failed', message: SluiceError.is(error) ? error.message : String(error) })
}
