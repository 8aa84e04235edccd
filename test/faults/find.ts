/**
 * What an opening finds on a disk: the checkpoint that it reads, and the frames behind it, as bytes. The same steps in the same
 * order as engine/stream/recover.ts, without laying down rows, so that it can be done a hundred thousand times.
 */
import { CheckpointSet, PlainCheckpointStore, recoverLog } from '../../wal/index.js'
import type { Frame } from '../simulator/oracle.js'
import type { SimulatedDisk } from '../simulator/simulated-disk.js'

export interface Found {
  /** The batch of the checkpoint that an opening would read, and of the newest frame. */
  readonly checkpoint: number
  readonly newest: number
  readonly frames: readonly Frame[]
  readonly repairedBytes: number
}

export function find(disk: SimulatedDisk, databaseId: Uint8Array): Found {
  const checkpoints = CheckpointSet.open(new PlainCheckpointStore(disk.checkpoint), { databaseId })
  const candidates = checkpoints.candidates()
  const after = candidates.find(({ name }) => checkpoints.verify(name))?.batch ?? 0
  const knownDurable = Math.max(0, ...candidates.map(({ batch }) => batch))
  const frames: Frame[] = []
  const steps = recoverLog(disk.log, { databaseId, after, knownDurable })
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) {
      const { batch, cutBytes, rewrittenBytes } = step.value
      return { checkpoint: after, newest: batch, frames, repairedBytes: cutBytes + rewrittenBytes }
    }
    const { kind, batch, body } = step.value
    if (kind === 'frame') frames.push({ batch, body: body.slice() })
  }
}
